"""Splits by scaffold and by what is left out: nothing that should be new was seen, and sizes are as said."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disentangledssl.dataset import pairs_table
from disentangledssl.errors import InputError
from disentangledssl.files import read_table, table_info, write_table
from disentangledssl.screen_splits import leave_one_out, scaffold_blocks, scaffold_folds, write_screen_splits

PARTS = ("train", "validation", "test")


def shared(values, split, *parts):
    """What is in all of these parts."""
    return set.intersection(*(set(values[split == part].tolist()) for part in parts))


# By scaffold


def test_groups_that_share_a_scaffold_are_one_block():
    groups = ["a", "a", "b", "c", "c", "d", "e", "f"]
    scaffolds = ["x", "y", "y", "", "z", "", "", "z"]
    # a and b share y; c and f share z though c has a molecule without a ring; d and e have no ring.
    assert scaffold_blocks(groups, scaffolds).tolist() == [0, 0, 0, 1, 1, 2, 3, 1]


def some_screen(n_groups, seed, largest=8):
    """Groups of one to three molecules, most with the scaffold of their group, some without a ring."""
    rng = np.random.default_rng(seed)
    kinds = np.concatenate([np.full(largest, 0), rng.integers(1, n_groups, n_groups - largest)])
    group = np.repeat(np.arange(n_groups), rng.integers(1, 4, n_groups))
    scaffolds = np.array([f"s{kind}" for kind in kinds])[group]
    scaffolds[rng.uniform(size=len(group)) < 0.1] = ""
    return np.array([f"g{k:03d}" for k in group]), scaffolds


@settings(max_examples=25, deadline=None)
@given(st.integers(30, 80), st.integers(2, 5), st.integers(0, 100))
def test_no_scaffold_is_in_two_parts_and_every_group_is_tested_once(n_groups, folds, seed):
    groups, scaffolds = some_screen(n_groups, seed)
    columns = scaffold_folds(groups, scaffold_blocks(groups, scaffolds), folds, 0.1, seed)
    ringed = scaffolds != ""
    for column in columns:
        for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
            assert not shared(groups, column, one, other)
            assert not shared(scaffolds[ringed], column[ringed], one, other)
        held_out = len(set(groups[column == "validation"]))
        assert 1 <= held_out <= int(0.1 * n_groups)
    tested = [set(groups[column == "test"].tolist()) for column in columns]
    assert sorted(name for part in tested for name in part) == sorted(set(groups))


def test_folds_are_of_like_size_though_one_scaffold_is_large():
    names = np.array([f"g{k:03d}" for k in range(100)])
    scaffolds = np.array(["benzene"] * 18 + [f"s{k}" for k in range(82)])
    columns = scaffold_folds(names, scaffold_blocks(names, scaffolds), 5, 0.1, 0)
    assert [int((column == "test").sum()) for column in columns] == [20] * 5
    assert [int((column == "validation").sum()) for column in columns] == [10] * 5


def test_molecules_without_a_ring_are_spread_over_the_folds():
    names = np.array([f"g{k:03d}" for k in range(100)])
    scaffolds = np.array([""] * 40 + [f"s{k}" for k in range(60)])
    columns = scaffold_folds(names, scaffold_blocks(names, scaffolds), 4, 0.1, 0)
    assert all(1 <= (column[:40] == "test").sum() < 25 for column in columns)


def test_scaffold_folds_depend_on_the_seed_and_not_on_the_order_of_pairs():
    groups, scaffolds = some_screen(40, 0)
    order = np.random.default_rng(5).permutation(len(groups))

    def second(groups, scaffolds, seed):
        return scaffold_folds(groups, scaffold_blocks(groups, scaffolds), 3, 0.1, seed)[1]

    assert (second(groups, scaffolds, 0)[order] == second(groups[order], scaffolds[order], 0)).all()
    assert (second(groups, scaffolds, 0) != second(groups, scaffolds, 1)).any()


@pytest.mark.parametrize(("folds", "fraction"), [(1, 0.1), (3, 0.1), (2, 0.6)])
def test_scaffolds_that_do_not_fill_the_folds_are_refused(folds, fraction):
    names, scaffolds = np.array(["a", "b", "c", "d"]), np.array(["x", "x", "x", "y"])
    with pytest.raises(ValueError, match=f"4 groups of 2 scaffolds do not fill {folds} folds"):
        scaffold_folds(names, scaffold_blocks(names, scaffolds), folds, fraction, 0)


# By what is left out


def lines_of(n_groups=40, seed=0):
    """Profiles of molecules in some of four lines; some molecules are in one line only."""
    rng = np.random.default_rng(seed)
    pairs = [(f"g{k:02d}", line) for k in range(n_groups) for line in "ABCD" if rng.uniform() < 0.6 for _ in range(2)]
    return (np.array(column) for column in zip(*pairs, strict=True))


@settings(max_examples=25, deadline=None)
@given(st.integers(20, 60), st.integers(0, 100), st.sampled_from("ABCD"))
def test_neither_molecule_nor_line_of_the_test_was_seen(n_groups, seed, line):
    groups, lines = lines_of(n_groups, seed)
    split = leave_one_out(groups, lines, line, train_fraction=0.8, validation_fraction=0.1, seed=seed)
    assert set(lines[split == "test"]) == {line}
    assert line not in set(lines[np.isin(split, ("train", "validation"))])
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        assert not shared(groups, split, one, other)
    # Counts as said, from sets.
    own = set(groups[lines == line])
    assert len(set(groups[split == "test"])) == len(own) - int(0.8 * len(own))
    others = set(groups[lines != line]) - set(groups[split == "test"])
    assert len(set(groups[split == "validation"])) == int(0.1 * len(others))
    assert set(groups[np.isin(split, ("train", "validation"))]) == others
    # Nothing is left away but what would have been seen: the line, and held-out molecules elsewhere.
    unused = split == "unused"
    assert ((lines[unused] == line) | np.isin(groups[unused], groups[split == "test"])).all()


def test_what_is_held_out_depends_on_the_seed_and_the_line_alone():
    groups, lines = lines_of()
    fractions = {"train_fraction": 0.5, "validation_fraction": 0.1}
    order = np.random.default_rng(5).permutation(len(groups))
    first, second, other = (leave_one_out(groups, lines, line, **fractions, seed=s) for line, s in ("A0", "A1", "B0"))
    moved = leave_one_out(groups[order], lines[order], "A", **fractions, seed=np.int64(0))
    assert (first[order] == moved).all()
    assert set(groups[first == "test"]) != set(groups[second == "test"])
    assert set(groups[first == "test"]) != set(groups[other == "test"])


def test_a_line_that_all_are_in_leaves_nothing_to_train_with():
    with pytest.raises(ValueError, match="3 groups with A and 0 others do not fill its fold"):
        leave_one_out(["a", "b", "c"], ["A"] * 3, "A", train_fraction=0.5, validation_fraction=0.1, seed=0)


# Files

SMILES = ["c1ccccc1C", "c1ccccc1O", "C1CCCCC1", "C1CCNCC1", "CCO", "CCN", "c1ccncc1", "c1ccsc1", "C1CC1", "C1CCC1"]


@pytest.fixture
def files(tmp_path):
    """Pairs of ten molecules in two lines, and their SMILES."""
    ids = [f"p{k}" for k in range(20)]
    molecules = [f"m{k % 10}" for k in range(20)]
    lines = ["A"] * 10 + ["B"] * 10
    write_table(tmp_path / "pairs.parquet", pairs_table(ids, ids, molecules, molecules, meta={"cell_line": lines}))
    table = pa.table({"id": [f"m{k}" for k in range(10)], "smiles": SMILES})
    write_table(tmp_path / "molecules.parquet", table)

    def write(**options):
        defaults = {"kind": "scaffold", "folds": 2, "by": None, "values": None, "train_fraction": 0.7,
                    "validation_fraction": 0.2, "seed": 0}  # fmt: skip
        out = tmp_path / "splits.parquet"
        write_screen_splits(tmp_path / "pairs.parquet", tmp_path / "molecules.parquet", out, **defaults | options)
        return read_table(out)

    return write


def test_write_scaffold_folds(files):
    table = files()
    assert table.column_names == ["id", "fold_0", "fold_1"]
    info = table_info(table)
    # Toluene and phenol share benzene; ethanol and ethylamine are without a ring.
    assert (info["blocks"], info["largest_block"], info["groups_without_ring"]) == (9, 2, 2)
    assert info["sizes"][0]["test"] == {"pairs": 10, "groups": 5}
    for name in ("fold_0", "fold_1"):
        split = table[name].to_pylist()
        assert split[0] == split[1] == split[10] == split[11]


def test_write_lines_left_out(files):
    table = files(kind="leave_one_out", by="cell_line", values=["B", "A"])
    info = table_info(table)
    assert (info["by"], info["values"], info["folds"]) == ("cell_line", ["B", "A"], 2)
    assert all(sizes["test"] == {"pairs": 3, "groups": 3} for sizes in info["sizes"])
    split = np.array(table["fold_0"].to_pylist())
    assert np.flatnonzero(split == "test").min() >= 10 > np.flatnonzero(split == "train").max()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "line", "values": ["A"]}, "column meta_line: is missing; set split.by to one of cell_line"),
        ({"by": "cell_line", "values": ["C"]}, 'column meta_cell_line: has no "C"; leave out any of A, B'),
        (
            {"by": "cell_line", "values": ["A"], "validation_fraction": 0.1},
            "column meta_cell_line: 10 groups with A and 7 others do not fill its fold; use fewer folds",
        ),
        (
            {"kind": "scaffold", "folds": 20},
            "column group: 10 groups of 9 scaffolds do not fill 20 folds; use fewer folds",
        ),
    ],
)
def test_screens_that_cannot_be_split_so(files, options, said):
    with pytest.raises(InputError) as error:
        files(**{"kind": "leave_one_out"} | options)
    assert said in str(error.value)
