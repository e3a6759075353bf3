"""The table of contents: means over folds and seeds, their chance, and runs that diverged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from disentangledssl.contents import CONTENT_COLUMNS
from disentangledssl.files import write_table
from disentangledssl.measurements import measurement_table, reference_run, run_columns
from disentangledssl.tables.contents import tabulate_contents

SCREEN = {"name": "cells", "title": "Cells (stand-in)", "stand_in": True}


def run(stage, fold, seed, *, beta="1", value=1.0, lam=0.01, status="trained"):
    axes = {"id": f"beta={beta},lam={lam},fold={fold},seed={seed}", "beta_value": value, "lam": lam}
    return run_columns(axes | {"fold": fold, "seed": seed, "status": status}, stage)


def row(named, value, *, code="zc1", target="mechanism", metric="balanced_accuracy", chance=0.1, unseen=1, width=32):
    return named | {
        "representation": code, "width": width, "target": target, "kind": "class", "metric": metric, "value": value,
        "chance": chance, "classes": 10, "profiles": 20, "unseen": unseen,
    }  # fmt: skip


@pytest.fixture
def tabulate(tmp_path):
    def tabulate(*rows, wanted=None):
        write_table(tmp_path / "rows.parquet", measurement_table(rows, CONTENT_COLUMNS), {"dataset": SCREEN})
        wanted = wanted or sorted({f"{one['stage']}/{one['run']}" for one in rows})
        tabulate_contents([tmp_path / "rows.parquet"], wanted, tmp_path / "contents", tmp_path / "summary")
        for name in ("contents", "summary"):
            stored, text = pd.read_parquet(tmp_path / f"{name}.parquet"), pd.read_csv(tmp_path / f"{name}.csv")
            assert list(stored.columns) == list(text.columns) and len(stored) == len(text)
        return pd.read_parquet(tmp_path / "contents.parquet"), pd.read_parquet(tmp_path / "summary.parquet")

    return tabulate


def test_folds_are_averaged_then_seeds(tabulate):
    table, summary = tabulate(
        *(
            row(run("step2", fold, seed), 0.2 + 0.2 * fold + 0.1 * seed, chance=0.1 + 0.1 * fold)
            for fold in (0, 1)
            for seed in (0, 1)
        )
    )
    assert table["value"].tolist() == pytest.approx([0.3, 0.4]) and table["seed"].tolist() == [0, 1]
    assert table["chance"].tolist() == pytest.approx([0.15] * 2)
    assert table["ratio"].tolist() == pytest.approx([2, 8 / 3])
    assert table["std_folds"].tolist() == pytest.approx([np.sqrt(0.02)] * 2)
    assert table[["profiles", "unseen", "folds"]].to_numpy().tolist() == [[40, 2, 2]] * 2
    (mean,) = summary.to_dict("records")
    assert (mean["mean"], mean["std"], mean["n"]) == (pytest.approx(0.35), pytest.approx(np.sqrt(0.005)), 2)
    assert mean["std_folds"] == pytest.approx(np.sqrt(0.02))
    assert (mean["ratio"], mean["n_diverged"], mean["method"]) == (pytest.approx(0.35 / 0.15), 0, "disentangledssl")
    assert (mean["dataset"], mean["stand_in"]) == ("cells", True)


def test_a_fold_without_a_score_is_not_averaged_and_r2_has_no_ratio(tabulate):
    table, _ = tabulate(
        row(run("step2", 0, 0), None), row(run("step2", 1, 0), 0.5),
        *(row(run("step2", fold, 0), 0.4, metric="r2", target="dose", chance=0) for fold in (0, 1)),
    )  # fmt: skip
    found = table.set_index("metric")
    assert found.loc["balanced_accuracy", ["value", "folds"]].tolist() == [0.5, 1]
    assert found.loc["r2", "value"] == 0.4 and np.isnan(found.loc["r2", "ratio"])


def test_a_seed_of_which_a_fold_diverged_has_a_line_without_a_value(tabulate):
    table, summary = tabulate(
        row(run("step2", 0, 0), 0.3), run("step2", 1, 0, status="diverged"),
        row(run("step2", 0, 1), 0.5), row(run("step2", 1, 1), 0.7),
        *(run("step2", fold, 0, beta="5", value=5.0, status="diverged_input") for fold in (0, 1)),
    )  # fmt: skip
    lost = table[table["status"] == "diverged"]
    assert lost[["beta", "seed"]].to_numpy().tolist() == [["1", 0], ["5", 0]] and lost["value"].isna().all()
    found = summary.set_index("beta")
    assert found.loc["1", ["mean", "n", "n_diverged"]].tolist() == [pytest.approx(0.6), 1, 1]
    assert found.loc["5", ["n", "n_diverged"]].tolist() == [0, 1] and np.isnan(found.loc["5", "mean"])


def test_folds_of_unlike_width_are_one_row(tabulate):
    """Linear CCA chooses its components in each fold."""
    table, summary = tabulate(
        row(reference_run("linear_cca", 0), 0.2, width=8), row(reference_run("linear_cca", 1), 0.6, width=17)
    )
    for found, value in ((table, "value"), (summary, "mean")):
        assert found[["width", value, "folds"]].to_numpy().tolist() == [[12.5, 0.4, 2]]
    assert summary["n"].tolist() == [1]


def test_a_selected_beta_is_one_method_and_references_stand_beside(tabulate):
    table, summary = tabulate(
        row(run("step2", 0, 0, beta="selected", value=0.0), 0.3),
        row(run("step2", 1, 0, beta="selected", value=5.0), 0.5),
        row(run("step1", 0, 0, beta="0", value=0.0), 0.1), row(run("step1", 1, 0, beta="0", value=0.0), 0.1),
        row(reference_run("raw", 0), 0.6, code="x1"), row(reference_run("raw", 1), 0.8, code="x1"),
    )  # fmt: skip
    found = table.set_index("method")["value"].to_dict()
    assert found == pytest.approx({"disentangledssl_beta0": 0.1, "disentangledssl": 0.4, "raw": 0.7})
    assert summary.set_index("method").loc["raw", ["mean", "n"]].tolist() == [pytest.approx(0.7), 1]


def test_runs_no_longer_in_the_config_are_left_out(tabulate):
    rows = [row(run("step2", 0, seed), 0.3) for seed in (0, 1)]
    table, _ = tabulate(*rows, wanted=[f"step2/{rows[1]['run']}"])
    assert table["seed"].tolist() == [1]
