"""Linear probes of a data set: a row a run, representation, label and metric, and their mean over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from disentangledssl.tables.layout import labelled, method_id, read_rows, with_diverged, write_tables


def tabulate_probes(measurements: Sequence[Path], wanted: Sequence[str], table: Path, summary: Path) -> None:
    """Join the probe measurements of a data set into one table, and aggregate over seeds.

    Parameters
    ----------
    measurements : sequence of path
    wanted : sequence of str
        ``stage/run`` of the runs in the config; stacks may hold others.
    table, summary : path
        Without ending; both are written as Parquet and CSV.
    """
    rows, info = read_rows(measurements, wanted)
    rows.insert(
        0, "method", [method_id(*one) for one in zip(rows["stage"], rows["run"], rows["beta_value"], strict=True)]
    )
    rows = labelled(rows, info).drop(columns=["run"]).astype({"width": "Int64"})
    write_tables(table, rows, info)
    write_tables(
        summary, labelled(_aggregate(rows.drop(columns=["dataset", "title", "stand_in", "method_label"])), info), info
    )


def _aggregate(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean, std and n over seeds and folds; hyperparameters of which every run diverged keep a line."""
    run = ["method", "stage", "beta", "beta_value", "a", "lam"]
    keys = [*run, "representation", "width", "label", "metric"]
    measured = rows["value"].notna()
    grouped = rows[measured].groupby(keys, dropna=False, sort=False)["value"]
    means = grouped.agg(mean="mean", std=lambda values: values.std(ddof=1), n="count").reset_index()
    both = with_diverged(means, rows[~measured], rows, run)
    return both.astype({"n": "int64", "n_diverged": "int64"})
