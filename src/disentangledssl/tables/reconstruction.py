"""Reconstruction and counterfactual phenotypes on a screen (Tables 3 and 5): a row a method, seed, decoder and metric.

A value is the mean over folds. A seed of which any fold diverged has no value, but it has a line. What a difference of
distances is made of, and with which sign, stands beside it (``formula``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from disentangledssl.evaluation.counterfactual import FORMULAS
from disentangledssl.tables.layout import labelled, methods_over_folds, read_rows, with_diverged, write_tables

METHOD = ["method", "stage", "beta", "a", "lam"]
MEASURED = ["target", "representation", "metric"]


def tabulate_reconstruction(measurements: Sequence[Path], wanted: Sequence[str], table: Path, summary: Path) -> None:
    """Join the reconstruction measurements of a screen: one row a run without its fold, decoder and metric.

    Parameters
    ----------
    measurements : sequence of path
    wanted : sequence of str
        ``stage/run`` of the runs in the config; stacks may hold others.
    table, summary : path
        Without ending; both are written as Parquet and CSV. The summary has mean, std and n over seeds.
    """
    rows, info = read_rows(measurements, wanted)
    rows.insert(0, "method", methods_over_folds(rows))
    per_seed = _per_seed(rows, rows["fold"].nunique())
    for path, one in ((table, per_seed), (summary, _over_seeds(per_seed))):
        one["formula"] = one["metric"].map(FORMULAS)
        write_tables(path, labelled(one, info), info)


def _per_seed(rows: pd.DataFrame, folds: int) -> pd.DataFrame:
    """Mean over folds; a line without a metric for a seed that has not all of them."""
    seed = [*METHOD, "seed"]
    complete = rows.groupby(seed, dropna=False, sort=False).agg(
        trained=("status", lambda status: (status == "trained").all()), folds=("fold", "nunique")
    )
    complete = (complete["trained"] & (complete["folds"] == folds)).rename("complete").reset_index()
    rows = rows.merge(complete, on=seed, how="left")
    trained = rows[rows["complete"]]
    values = (
        trained.groupby([*seed, *MEASURED], dropna=False, sort=False)["value"]
        # A decoder that diverged in one fold makes no mean of the others.
        .agg(lambda values: values.mean(skipna=False))
        .reset_index()
    )
    values["status"] = "trained"
    lost = rows[~rows["complete"]][seed].drop_duplicates().assign(status="diverged")
    return pd.concat([values, lost], ignore_index=True)


def _over_seeds(per_seed: pd.DataFrame) -> pd.DataFrame:
    lost = per_seed["status"] == "diverged"
    measured = per_seed[~lost].groupby([*METHOD, *MEASURED], dropna=False, sort=False)
    means = measured["value"].agg(mean="mean", std=lambda values: values.std(ddof=1), n="count").reset_index()
    return with_diverged(means, per_seed[lost], per_seed, METHOD)
