"""Readings: differences, seed by seed, and their standard errors against literal arithmetic."""

from __future__ import annotations

import math
import statistics

import pandas as pd
import pyarrow as pa
import pytest

from disentangledssl.files import write_table
from disentangledssl.readings import tabulate_readings

NAMES = ["method_label", "stage", "beta", "a", "lam", "representation", "label", "metric"]
STEP1 = ("DisentangledSSL", "step1", "1", None, None, "zc", "c", "accuracy")
STEP2 = ("DisentangledSSL", "step2", "1", None, 0.01, "zs1", "s1", "accuracy")
JOINT = ("JointOpt", "jointopt", None, 1.0, 0.01, "zc", "c", "accuracy")
DMVAE = ("DMVAE", "dmvae", None, None, 1e-5, "zc", "c", "accuracy")
DEFAULT = {
    STEP1: [0.75, 0.74, 0.77],
    (*STEP1[:2], "100", *STEP1[3:]): [0.70, 0.69, 0.70],
    STEP2: [0.80, 0.81, 0.79],
    JOINT: [0.71, 0.70, 0.73],
    (*JOINT[:3], 100.0, *JOINT[4:]): [0.61, 0.60, 0.63],
    DMVAE: [0.5],
    (*STEP1[:6], "zc", "r2"): [0.9, 0.9, 0.9],
    ("True latents", "reference", None, None, None, "zc", "c", "accuracy"): [0.8],
}


def write(path, values):
    """Write measurements, a row a setting and seed, as ``tabulate_probes`` does; None is a run that diverged."""
    rows = [
        dict(zip(NAMES, setting, strict=True)) | {"fold": 0, "seed": seed, "value": value}
        for setting, by_seed in values.items()
        for seed, value in enumerate(by_seed)
    ]
    kinds = {"a": float, "lam": float, "value": float}
    write_table(path, pa.Table.from_pandas(pd.DataFrame(rows).astype(kinds), preserve_index=False))
    return path


@pytest.fixture
def tabulate(tmp_path):
    """Tabulate readings given as measurements; returns the CSV's rows."""

    def tabulate(base=DEFAULT, **readings) -> pd.DataFrame:
        paths = {text: write(tmp_path / f"{text}.parquet", values) for text, values in readings.items()}
        tabulate_readings(write(tmp_path / "base.parquet", base), paths, tmp_path / "readings.csv")
        return pd.read_csv(tmp_path / "readings.csv", dtype={"beta": str})

    return tabulate


def test_effects_are_paired_by_seed(tabulate):
    other = {STEP1: [0.76, 0.77, 0.79], JOINT: [0.70, 0.70, 0.71]}
    rows = tabulate(other=other).set_index("method")
    for method, setting in (("DisentangledSSL", STEP1), ("JointOpt", JOINT)):
        differences = [new - old for new, old in zip(other[setting], DEFAULT[setting], strict=True)]
        row, error = rows.loc[method], statistics.stdev(differences) / math.sqrt(3)
        assert row["effect"] == pytest.approx(statistics.mean(differences))
        assert row["standard_error"] == pytest.approx(error)
        assert row["in_errors"] == pytest.approx(row["effect"] / error)
        assert row["n"] == 3
        assert (row["default_mean"], row["mean"]) == pytest.approx(
            (statistics.mean(DEFAULT[setting]), statistics.mean(other[setting]))
        )
        assert (row["default_std"], row["std"]) == pytest.approx(
            (statistics.stdev(DEFAULT[setting]), statistics.stdev(other[setting]))
        )


def test_a_constant_shift_has_no_error_however_much_the_seeds_scatter(tabulate):
    (row,) = tabulate(other={STEP1: [0.5 + value for value in DEFAULT[STEP1]]}).itertuples()
    assert row.effect == pytest.approx(0.5) and row.standard_error == pytest.approx(0, abs=1e-12)


def test_settings_and_seeds_of_one_table_only_are_left_out(tabulate):
    own = ("FOCAL", "focal", None, 1.0, 0.01, "zc", "c", "accuracy")
    rows = tabulate(other={STEP2: [0.8, 0.8], own: [0.7]})
    (row,) = rows.itertuples()
    assert (row.method, row.beta, row.lam, row.n) == ("DisentangledSSL", "1", 0.01, 2)
    assert row.default_mean == pytest.approx(0.805), "of the seeds that both have"


def test_accuracies_of_trained_runs_only(tabulate):
    rows = tabulate(other=DEFAULT)
    assert len(rows) == 6 and (rows["effect"] == 0).all() and "True latents" not in set(rows["method"])


def test_a_reading_of_a_baseline_alone_has_no_beta_at_all(tabulate):
    """Its column is empty, of another type than that of the default."""
    rows = tabulate(hinge={JOINT: [0.72, 0.71, 0.74], (*JOINT[:3], 100.0, *JOINT[4:]): [0.62, 0.61, 0.64]})
    assert rows["a"].tolist() == [1.0, 100.0] and rows["beta"].isna().all()
    assert rows["effect"].tolist() == pytest.approx([0.01, 0.01])


def test_readings_come_in_their_order(tabulate):
    rows = tabulate(second={JOINT: [0.7], STEP1: [0.7]}, first={STEP1: [0.7]})
    assert rows[["reading", "method"]].to_numpy().tolist() == [
        ["second", "JointOpt"], ["second", "DisentangledSSL"], ["first", "DisentangledSSL"],
    ]  # fmt: skip


def test_one_seed_has_an_effect_but_no_error(tabulate):
    (row,) = tabulate(other={DMVAE: [0.52]}).itertuples()
    assert row.effect == pytest.approx(0.02) and math.isnan(row.standard_error) and math.isnan(row.in_errors)


def test_seeds_that_diverged_are_left_out(tabulate):
    (row,) = tabulate(other={STEP1: [0.76, None, 0.78]}).itertuples()
    assert row.n == 2 and row.effect == pytest.approx(0.01)


def test_a_reading_that_shares_no_setting_leaves_a_table_without_rows(tabulate):
    rows = tabulate(other={(*STEP1[:2], "7", *STEP1[3:]): [0.7]})
    assert len(rows) == 0 and list(rows)[:2] == ["reading", "method"] and list(rows)[-1] == "in_errors"
