"""Splits: the authors' own split, groups never divided, the null control."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from disentangledssl.dataset import pairs_table
from disentangledssl.errors import InputError
from disentangledssl.files import read_table, table_info, write_table
from disentangledssl.splits import (
    group_folds,
    group_holdout,
    permutation,
    random_pairs,
    shuffle_molecules,
    write_splits,
)

REFERENCE = Path(__file__).parents[1] / "data" / "simulation_seed0.json"


def many_groups(n_groups: int, seed: int = 0) -> np.ndarray:
    """One to six pairs a group, in no order."""
    generator = np.random.default_rng(seed)
    names = [f"G{k:03d}" for k in range(n_groups)]
    return generator.permutation(np.repeat(names, generator.integers(1, 7, n_groups)))


def groups_in(groups: np.ndarray, split: np.ndarray, part: str) -> set[str]:
    return set(groups[split == part])


def test_random_pairs_is_the_authors_split():
    reference = json.loads(REFERENCE.read_text())
    order = permutation(90_000, 0)
    assert order[:10].tolist() == reference["split_train_first10"]
    assert order[72_000:72_010].tolist() == reference["split_test_first10"]
    split = random_pairs(90_000, 0.8, 0)
    assert (split == "train").sum() == 72_000 and (split == "test").sum() == 18_000
    assert (split[reference["split_train_first10"]] == "train").all()
    assert (split[reference["split_test_first10"]] == "test").all()


@pytest.mark.parametrize("seed", [0, 7])
def test_random_pairs_equals_random_split_and_leaves_torch_alone(seed):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    split = random_pairs(101, 0.8, seed)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(seed)
    train, test = torch.utils.data.random_split(range(101), [80, 21])
    assert np.flatnonzero(split == "train").tolist() == sorted(train.indices)
    assert np.flatnonzero(split == "test").tolist() == sorted(test.indices)


@pytest.mark.parametrize(("n_groups", "folds", "n_validation"), [(141, 5, 14), (23, 4, 2), (10, 10, 1)])
def test_group_folds_test_each_group_once_and_divide_none(n_groups, folds, n_validation):
    groups = many_groups(n_groups)
    splits = group_folds(groups, folds, 0.1, seed=1)
    tested = [groups_in(groups, split, "test") for split in splits]
    assert sorted(name for part in tested for name in part) == sorted(set(groups))
    assert {len(part) for part in tested} <= {n_groups // folds, -(-n_groups // folds)}
    for split in splits:
        parts = [groups_in(groups, split, part) for part in ("train", "validation", "test")]
        assert sum(map(len, parts)) == len(set.union(*parts)) == n_groups
        assert len(parts[1]) == n_validation and parts[0]


@pytest.mark.parametrize(("n_groups", "n_test", "n_validation"), [(3315, 663, 331), (1661, 333, 166), (141, 29, 14)])
def test_group_holdout_has_the_papers_counts(n_groups, n_test, n_validation):
    groups = many_groups(n_groups)
    split = group_holdout(groups, seed=0)
    parts = [groups_in(groups, split, part) for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [n_groups - n_test - n_validation, n_validation, n_test]
    assert len(set.union(*parts)) == n_groups


def test_group_splits_depend_on_the_seed_and_not_on_the_order_of_pairs():
    groups = many_groups(40)
    order = np.random.default_rng(5).permutation(len(groups))
    for split in (lambda g, seed: group_folds(g, 5, 0.1, seed)[2], group_holdout):
        assert (split(groups, 0) == split(groups, 0)).all()
        assert (split(groups, 0)[order] == split(groups[order], 0)).all()
        assert (split(groups, 0) != split(groups, 1)).any()


@pytest.mark.parametrize("folds", [0, 1, 4])
def test_too_few_groups_are_refused(folds):
    with pytest.raises(ValueError, match=f"3 groups do not fill {folds} folds"):
        group_folds(["a", "b", "c"], folds, 0.1, 0)
    with pytest.raises(ValueError, match="1 groups"):
        group_holdout(["a"], 0)


def some_pairs(n_groups: int = 12):
    """Groups of one to three molecules, each with one or two profiles."""
    rows = []
    for g in range(n_groups):
        for m in range(1 + g % 3):
            rows += [(f"p{g}.{m}.{k}", f"m{g}.{m}", f"g{g}") for k in range(1 + m % 2)]
    profiles, molecules, groups = zip(*rows, strict=True)
    return pairs_table(profiles, profiles, molecules, groups, meta={"own_group": groups})


def test_write_splits(tmp_path):
    write_table(tmp_path / "pairs.parquet", some_pairs())
    for kind, folds in (("random", 1), ("group_folds", 3), ("group_holdout", 1)):
        for name in ("a", "b"):
            write_splits(tmp_path / "pairs.parquet", tmp_path / name, kind=kind, folds=folds, seed=2)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
        table = read_table(tmp_path / "a")
        assert table.column_names == ["id", *(f"fold_{k}" for k in range(folds))]
        assert table_info(table)["kind"] == kind
    with pytest.raises(InputError, match=r"pairs.parquet: column group: 12 groups do not fill 13 folds"):
        write_splits(tmp_path / "pairs.parquet", tmp_path / "c", kind="group_folds", folds=13)
    with pytest.raises(InputError, match='"group" is no kind of split'):
        write_splits(tmp_path / "pairs.parquet", tmp_path / "c", kind="group")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_molecules_stay_splittable_and_none_stays_at_home(seed):
    pairs = some_pairs()
    shuffled = shuffle_molecules(pairs, seed)
    before, after = pairs.to_pydict(), shuffled.to_pydict()
    assert after["id"] == before["id"] and after["view1"] == before["view1"]
    assert after["meta_own_group"] == before["group"]
    home = dict(zip(before["view2"], before["group"], strict=True))
    # The group is that of the molecule, no group keeps its own, each is used once.
    assert [home[molecule] for molecule in after["view2"]] == after["group"]
    assert all(old != new for old, new in zip(before["group"], after["group"], strict=True))
    assert len(set(zip(before["group"], after["group"], strict=True))) == len(set(after["group"])) == 12
    # Profiles of one molecule still share one, so they stay in one part.
    assert len(set(zip(before["view2"], after["view2"], strict=True))) == len(set(before["view2"]))
    assert shuffled.equals(shuffle_molecules(pairs, seed))


def test_shuffled_molecules_say_so():
    info = table_info(shuffle_molecules(some_pairs(), 3))
    assert info["title"].endswith("molecules shuffled (null)") and info["shuffled"] == 3
    with pytest.raises(ValueError, match="two groups"):
        shuffle_molecules(some_pairs(1), 0)


def test_a_given_split_is_taken_as_it_is(tmp_path):
    ids, given = ["a", "b", "c", "d"], ["test", "train", "unused", "validation"]
    write_table(tmp_path / "pairs.parquet", pairs_table(ids, ids, ids, ids, meta={"split": given}))
    write_splits(tmp_path / "pairs.parquet", tmp_path / "splits.parquet", kind="given")
    table = read_table(tmp_path / "splits.parquet")
    assert table.to_pydict() == {"id": ids, "fold_0": given}
    assert table_info(table) == {"kind": "given", "folds": 1}


def test_a_given_split_that_is_not_there_is_told(tmp_path):
    write_table(tmp_path / "pairs.parquet", pairs_table(["a"], ["a"], ["a"], ["a"]))
    with pytest.raises(InputError, match="column meta_split: is missing"):
        write_splits(tmp_path / "pairs.parquet", tmp_path / "splits.parquet", kind="given")
