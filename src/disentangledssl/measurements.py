"""Measurements: tidy rows, one file a stack; what all kinds of them share.

Every row names its run: ``run, stage, beta, beta_value, a, lam, fold, seed, status``. ``beta`` is text as in the
run's id (it may be ``selected``), ``beta_value`` the number that was used; what a stage does not have is null.
A run that diverged has one row without a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

RUN_COLUMNS = {
    "run": pa.string(), "stage": pa.string(), "beta": pa.string(), "beta_value": pa.float64(), "a": pa.float64(),
    "lam": pa.float64(), "fold": pa.int64(), "seed": pa.int64(), "status": pa.string(),
}  # fmt: skip
REFERENCE = "reference"


def run_columns(run: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """Give the columns that name a run."""
    # As the id spells it; the modules that spell ids decide no number and are not imported by what measures.
    axes = dict(axis.partition("=")[::2] for axis in run["id"].split(","))
    return {
        "run": run["id"],
        "stage": stage,
        "beta": axes.get("beta"),
        "beta_value": run.get("beta_value"),
        "a": run.get("a"),
        "lam": run.get("lam"),
        "fold": run["fold"],
        "seed": run["seed"],
        "status": run["status"],
    }


def reference_run(name: str, fold: int) -> dict[str, Any]:
    """Give the columns that name a reference row."""
    return dict.fromkeys(RUN_COLUMNS) | {"run": name, "stage": REFERENCE, "fold": fold, "status": "exact"}


def label_columns(run: Mapping[str, Any], stage: str, info: Mapping[str, Any]) -> dict[str, Any]:
    """Give the columns that name a run and its data set, for files of one run."""
    named = {"dataset": info["name"], "title": info["title"], "stand_in": info["stand_in"]}
    return named | {name: run_columns(run, stage)[name] for name in ("stage", "run", "beta_value", "fold", "status")}


def measurement_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, pa.DataType]) -> pa.Table:
    """Lay out rows with a fixed schema; a column that a row lacks is null."""
    return pa.table({name: pa.array([row.get(name) for row in rows], kind) for name, kind in columns.items()})
