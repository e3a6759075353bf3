"""Readings: differences and their standard errors against literal arithmetic, on the settings that both tables have."""

from __future__ import annotations

import math

import pandas as pd
import pyarrow as pa
import pytest

from disentangledssl.files import write_table
from disentangledssl.readings import tabulate_readings

NAMES = ["method_label", "stage", "beta", "a", "lam", "representation", "label", "metric", "mean", "std", "n"]
DEFAULT = [
    ("DisentangledSSL", "step1", "1", None, None, "zc", "c", "accuracy", 0.75, 0.003, 3),
    ("DisentangledSSL", "step1", "1", None, None, "zc1", "c", "accuracy", 0.74, 0.002, 3),
    ("DisentangledSSL", "step1", "100", None, None, "zc", "c", "accuracy", 0.70, 0.004, 3),
    ("DisentangledSSL", "step1", "1", None, None, "zc", "s1", "accuracy", 0.60, 0.0, 3),
    ("DisentangledSSL", "step2", "1", None, 0.01, "zs1", "s1", "accuracy", 0.80, 0.001, 3),
    ("JointOpt", "jointopt", None, 1.0, 0.01, "zc", "c", "accuracy", 0.71, 0.006, 2),
    ("JointOpt", "jointopt", None, 100.0, 0.01, "zc", "c", "accuracy", 0.61, 0.006, 2),
    ("DMVAE", "dmvae", None, None, 1e-5, "zc", "c", "accuracy", 0.5, None, 1),
    ("DisentangledSSL", "step1", "1", None, None, "zc", "zc", "r2", 0.9, 0.01, 3),
    ("True latents", "reference", None, None, None, "zc", "c", "accuracy", 0.8, None, 1),
]


def changed(rows, *, places=None, by=0.0, **values):
    """The rows, or some of them, with their means moved and other values in place."""
    chosen = [rows[place] for place in places] if places else rows
    moved = [dict(zip(NAMES, row, strict=True)) for row in chosen]
    return [tuple((row | {"mean": row["mean"] + by} | values).values()) for row in moved]


def write(path, rows):
    kinds = {"a": float, "lam": float, "mean": float, "std": float, "n": "Int64"}
    frame = pd.DataFrame(rows, columns=NAMES).astype(kinds)
    write_table(path, pa.Table.from_pandas(frame, preserve_index=False))
    return path


@pytest.fixture
def tabulate(tmp_path):
    """Tabulate readings given as rows; returns the CSV's rows."""

    def tabulate(base=DEFAULT, **readings) -> pd.DataFrame:
        paths = {text: write(tmp_path / f"{text}.parquet", rows) for text, rows in readings.items()}
        tabulate_readings(write(tmp_path / "base.parquet", base), paths, tmp_path / "readings.csv")
        return pd.read_csv(tmp_path / "readings.csv", dtype={"beta": str})

    return tabulate


def key(row) -> tuple:
    return tuple(None if pd.isna(one) else one for one in row)


def test_effects_and_standard_errors_are_those_of_literal_arithmetic(tabulate):
    rows = tabulate(other=changed(DEFAULT, by=0.013, std=0.002, n=4))
    default = {key(row[:1] + row[2:7]): row for row in DEFAULT if row[7] == "accuracy" and row[1] != "reference"}
    assert len(rows) == len(default) == 8 and set(rows["reading"]) == {"other"}
    for row in rows.itertuples():
        *_, mean, std, n = default[key((row.method, row.beta, row.a, row.lam, row.representation, row.label))]
        assert (row.default_mean, row.mean, row.n) == (mean, pytest.approx(mean + 0.013), 4)
        assert row.effect == pytest.approx(0.013)
        if std is None:
            assert math.isnan(row.default_std) and math.isnan(row.standard_error) and math.isnan(row.in_errors)
            continue
        error = math.sqrt(0.002**2 / 4 + std**2 / n)
        assert (row.default_std, row.std) == (std, 0.002)
        assert row.standard_error == pytest.approx(error) and row.in_errors == pytest.approx(0.013 / error)


def test_an_effect_is_reading_minus_default(tabulate):
    (row,) = tabulate(other=changed(DEFAULT, places=[0], by=-0.03)).itertuples()
    assert row.effect == pytest.approx(-0.03) and row.in_errors == pytest.approx(-0.03 / (0.003 * math.sqrt(2 / 3)))


def test_settings_of_one_table_only_are_left_out(tabulate):
    own = [("FOCAL", "focal", None, 1.0, 0.01, "zc", "c", "accuracy", 0.7, 0.001, 3)]
    rows = tabulate(other=changed(DEFAULT, places=[4, 5]) + own)
    assert rows[["method", "beta", "a", "lam"]].apply(key, axis=1).tolist() == [
        ("DisentangledSSL", "1", None, 0.01), ("JointOpt", None, 1.0, 0.01),
    ]  # fmt: skip


def test_a_reading_of_a_baseline_alone_has_no_beta_at_all(tabulate):
    """Its column is empty, of another type than that of the default."""
    rows = tabulate(hinge=changed(DEFAULT, places=[5, 6], by=0.01))
    assert rows["a"].tolist() == [1.0, 100.0] and rows["beta"].isna().all()
    assert rows["effect"].tolist() == pytest.approx([0.01, 0.01])


def test_readings_come_in_their_order_and_settings_in_that_of_their_table(tabulate):
    rows = tabulate(second=changed(DEFAULT, places=[5, 0]), first=changed(DEFAULT, places=[2, 1]))
    assert rows["reading"].tolist() == ["second", "second", "first", "first"]
    assert rows["method"].tolist() == ["JointOpt"] + ["DisentangledSSL"] * 3
    assert rows["beta"].fillna("").tolist() == ["", "1", "100", "1"]


def test_without_a_spread_there_is_no_number_of_errors(tabulate):
    """One seed has no standard deviation; equal seeds have none that anything could be measured in."""
    for std, n in ((None, 1), (0.0, 3)):
        base = changed(DEFAULT, places=[0], std=std, n=n)
        (row,) = tabulate(base, other=changed(base, by=0.02)).itertuples()
        assert row.effect == pytest.approx(0.02) and math.isnan(row.in_errors)
        assert math.isnan(row.standard_error) if std is None else row.standard_error == 0


def test_settings_that_diverged_have_no_effect(tabulate):
    lost = changed(DEFAULT, places=[2], mean=None, std=None, n=0)
    rows = tabulate(other=changed(DEFAULT, places=[0]) + lost)
    assert rows["beta"].tolist() == ["1"]


def test_a_reading_that_shares_no_setting_leaves_a_table_without_rows(tabulate):
    rows = tabulate(other=changed(DEFAULT, places=[0], beta="7"))
    assert len(rows) == 0 and list(rows)[:2] == ["reading", "method"] and list(rows)[-1] == "in_errors"
