"""Choosing beta: by validation alone, fold by fold, the same file from the same scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from disentangledssl.errors import InputError
from disentangledssl.files import write_table
from disentangledssl.measurements import measurement_table, run_columns
from disentangledssl.rankings import retrieval_columns
from disentangledssl.selection import select_beta

NINE = pytest.approx(sum(1 / rank for rank in range(1, 10)) / 9)  # exact Random among nine


def rows(beta, seed=0, fold=0, *, validation=(), test=(), status="trained"):
    """Rows of one run: the MRR of each molecule of both splits; one row without values if it diverged."""
    run = {"id": f"beta={beta},seed={seed}", "beta": beta, "beta_value": float(beta), "fold": fold, "seed": seed}
    named = run_columns(run | {"status": status}, "step1")
    if status != "trained":
        return [named]
    return [
        named | {"split": split, "group": f"g{k}", "profiles": 1, "pool": 9, "mrr": value}
        for split, values in (("validation", validation), ("test", test))
        for k, value in enumerate(values)
    ]


@pytest.fixture
def choose(tmp_path):
    """Write stacks (lists of rows), select, and give what the file says."""

    def choose(*stacks, betas=(0, 1, 5), seeds=(0,)):
        paths = []
        for number, stack in enumerate(stacks):
            paths.append(tmp_path / "step1" / f"stack{number}" / "retrieval.parquet")
            info = {"name": "tiny", "title": "Tiny (stand-in)", "stand_in": True}
            write_table(paths[-1], measurement_table(stack, retrieval_columns([1])), {"dataset": info})
        select_beta(paths, tmp_path / "selection.json", betas=betas, seeds=seeds)
        return json.loads((tmp_path / "selection.json").read_text())

    return choose


def test_best_validation_mrr_wins_whatever_the_test_says(choose):
    stack = [
        *rows(0, validation=[0.2, 0.3], test=[0.9, 0.9]),
        *rows(1, validation=[0.5, 0.3], test=[0.1, 0.1]),
        *rows(5, validation=[0.1, 0.1], test=[1.0, 1.0]),
    ]
    content = choose(stack)
    assert content["beta"] == {"0": 1.0}
    assert content["grid"] == [
        {"fold": 0, "beta": 0.0, "validation_mrr": 0.25, "random": NINE, "n_seeds": 1, "n_diverged": 0},
        {"fold": 0, "beta": 1.0, "validation_mrr": 0.4, "random": NINE, "n_seeds": 1, "n_diverged": 0},
        {"fold": 0, "beta": 5.0, "validation_mrr": 0.1, "random": NINE, "n_seeds": 1, "n_diverged": 0},
    ]
    altered = [row | ({"mrr": 0.0} if row["split"] == "test" else {}) for row in stack]
    assert choose(altered) == content


def test_each_fold_chooses_for_itself(choose):
    stack = [
        row
        for fold, scores in enumerate([(0.1, 0.2, 0.3), (0.3, 0.2, 0.1), (0.1, 0.3, 0.2)])
        for beta, score in zip((0, 1, 5), scores, strict=True)
        for row in rows(beta, fold=fold, validation=[score])
    ]
    assert choose(stack)["beta"] == {"0": 5.0, "1": 0.0, "2": 1.0}


def test_seeds_count_alike_however_many_molecules_they_ranked(choose):
    """A mean of means: the many good molecules of seed 1 do not drown those of seed 0."""
    stack = [
        *rows(0, 0, validation=[0.0]), *rows(0, 1, validation=[0.8] * 9),
        *rows(1, 0, validation=[0.5]), *rows(1, 1, validation=[0.5] * 9),
    ]  # fmt: skip
    content = choose(stack, betas=(0, 1), seeds=(0, 1))
    assert [one["validation_mrr"] for one in content["grid"]] == pytest.approx([0.4, 0.5])
    assert content["beta"] == {"0": 1.0}


def test_stacks_are_read_together(choose):
    assert choose(rows(0, validation=[0.1]), rows(1, validation=[0.2]), rows(5, validation=[0.3]))["beta"] == {"0": 5.0}


def test_tie_takes_the_smaller_beta_in_whatever_order(choose):
    stacks = [rows(5, validation=[0.5]), rows(1, validation=[0.5]), rows(0, validation=[0.4])]
    assert choose(*stacks, betas=(5, 1, 0))["beta"] == choose(*stacks, betas=(0, 1, 5))["beta"] == {"0": 1.0}


def test_diverged_run_is_left_out_and_counted(choose):
    stack = [
        *rows(0, 0, validation=[0.3]), *rows(0, 1, validation=[0.3]),
        *rows(1, 0, validation=[0.4]), *rows(1, 1, status="diverged"),
        *rows(5, 0, status="diverged"), *rows(5, 1, status="diverged"),
    ]  # fmt: skip
    content = choose(stack, seeds=(0, 1))
    assert content["beta"] == {"0": 1.0}
    assert [(one["beta"], one["validation_mrr"], one["n_seeds"], one["n_diverged"]) for one in content["grid"]] == [
        (0.0, pytest.approx(0.3), 2, 0), (1.0, pytest.approx(0.4), 1, 1), (5.0, None, 0, 2),
    ]  # fmt: skip


def test_all_diverged_is_one_sentence(choose, tmp_path):
    stack = [*rows(0, status="diverged"), *rows(1, status="diverged"), *rows(0, fold=1, validation=[0.5])]
    with pytest.raises(InputError, match="fold 0: every run of step 1 diverged, nothing to select; lower") as error:
        choose(stack, betas=(0, 1))
    assert Path(error.value.file) == tmp_path / "step1" and "\n" not in str(error.value)
    assert not (tmp_path / "selection.json").exists()


def test_values_no_longer_in_the_grid_are_ignored(choose):
    stack = [*rows(0, validation=[0.1]), *rows(5, validation=[0.9]), *rows(0, seed=3, validation=[1.0])]
    content = choose(stack, betas=(0,), seeds=(0,))
    assert content["beta"] == {"0": 0.0} and len(content["grid"]) == 1
    assert content["grid"][0]["validation_mrr"] == pytest.approx(0.1)


def test_unchanged_choice_is_the_same_file(choose, tmp_path):
    """Snakemake removes an output before its job, so the file must come out the same, byte for byte."""
    stack = [*rows(0, validation=[0.1], test=[0.5]), *rows(1, validation=[0.2], test=[0.5])]
    choose(stack, betas=(0, 1))
    before = (tmp_path / "selection.json").read_bytes()
    choose([row | ({"mrr": 0.7} if row["split"] == "test" else {}) for row in stack], betas=(1, 0))
    assert (tmp_path / "selection.json").read_bytes() == before
    choose([*rows(0, validation=[0.3]), *rows(1, validation=[0.2])], betas=(0, 1))
    assert (tmp_path / "selection.json").read_bytes() != before


def test_order_of_betas_seeds_and_stacks_does_not_matter(choose):
    stacks = [
        [row for seed in (0, 1) for row in rows(beta, seed, validation=[beta / 10 + seed / 100])] for beta in (0, 1, 5)
    ]
    assert choose(*stacks, seeds=(0, 1)) == choose(*stacks[::-1], betas=(5, 0, 1), seeds=(1, 0))
