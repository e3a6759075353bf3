"""What representations of a screen hold: a row a method, seed, representation, target and metric.

A value is the mean over folds, and so are its chance and the width of the codes (linear CCA chooses its components in
each fold); ``ratio`` is value over chance, where chance is not 0. A seed of which any fold diverged has no value, but
it has a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from disentangledssl.tables.layout import labelled, methods_over_folds, read_rows, with_diverged, write_tables

METHOD = ["method", "stage", "beta", "a", "lam"]
MEASURED = ["representation", "target", "kind", "metric"]


def tabulate_contents(measurements: Sequence[Path], wanted: Sequence[str], table: Path, summary: Path) -> None:
    """Join what was measured of a screen's representations: one row a run without its fold, and metric.

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
    per_seed = _per_seed(rows)
    write_tables(table, labelled(per_seed, info), info)
    write_tables(summary, labelled(_over_seeds(per_seed), info), info)


def _per_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over folds; a line without a metric for a seed that has not all of them."""
    seed = [*METHOD, "seed"]
    rows["lost"] = ~rows["status"].isin(["trained", "exact"])
    rows["lost"] = rows.groupby(seed, dropna=False, sort=False)["lost"].transform("any")
    measured = rows[~rows["lost"]].groupby([*seed, *MEASURED, "status"], dropna=False, sort=False)
    # A fold whose test molecules allow no score (one class) has none; the others are averaged, and counted.
    values = measured.agg(
        width=("width", "mean"), value=("value", "mean"), std_folds=("value", lambda values: values.std(ddof=1)),
        chance=("chance", "mean"), chance_in_strata=("chance_in_strata", "mean"), classes=("classes", "mean"),
        profiles=("profiles", "sum"), unseen=("unseen", "sum"), folds=("value", "count"),
    ).reset_index()  # fmt: skip
    values.insert(values.columns.get_loc("chance") + 1, "ratio", _ratio(values["value"], values["chance"]))
    lost = rows[rows["lost"]][seed].drop_duplicates().assign(status="diverged")
    return pd.concat([values, lost], ignore_index=True)


def _over_seeds(per_seed: pd.DataFrame) -> pd.DataFrame:
    lost = per_seed["status"] == "diverged"
    means = (
        per_seed[~lost]
        .groupby([*METHOD, *MEASURED], dropna=False, sort=False)
        .agg(
            width=("width", "mean"), mean=("value", "mean"), std=("value", lambda values: values.std(ddof=1)),
            std_folds=("std_folds", "mean"), chance=("chance", "mean"), chance_in_strata=("chance_in_strata", "mean"),
            folds=("folds", "min"), n=("value", "count"),
        )
        .reset_index()
    )  # fmt: skip
    means.insert(means.columns.get_loc("chance") + 1, "ratio", _ratio(means["mean"], means["chance"]))
    return with_diverged(means, per_seed[lost], per_seed, METHOD)


def _ratio(value: pd.Series, chance: pd.Series) -> pd.Series:
    return value / chance.where(chance > 0)
