"""What all tables have in common: rows of measurements in their order, labels, and both files.

Columns start with ``dataset, title, stand_in, method`` so that no number can be read without knowing what it
was measured on. Parquet and CSV hold the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from disentangledssl.atomic import atomic
from disentangledssl.files import read_table, table_info, write_table

BETA0 = "disentangledssl_beta0"
STAGE_ORDER = ("clip", "step1", "step2", "jointopt", "focal", "dmvae", "factorcl", "reference")
LABELS = {
    "clip": "CLIP",
    "factorcl": "FactorCL",
    BETA0: "DisentangledSSL (beta = 0)",
    "disentangledssl": "DisentangledSSL",
    "jointopt": "JointOpt",
    "focal": "FOCAL",
    "dmvae": "DMVAE",
    "gaussian_bottleneck": "Gaussian bottleneck",
    "linear_cca": "Linear CCA",
    "linear_cca_mean": "Linear CCA, means over valid steps",
    "ridge": "Ridge regression",
    "ridge_fingerprints": "Ridge, fingerprints",
    "ridge_descriptors": "Ridge, descriptors",
    "nearest_neighbour": "Nearest neighbours",
    "oracle": "True latents",
    "raw": "Raw input",
    "raw_mean": "Raw input, mean over valid steps",
    "majority": "Most common class",
    "chance": "Chance",
    "random": "Random",
}


def method_id(stage: str, run: str | None, beta: float | None) -> str:
    """Id of the method that a row belongs to; steps 1 and 2 with beta = 0 are a method of their own."""
    if stage == "reference":
        return run
    if stage in ("step1", "step2"):
        return BETA0 if beta == 0 else "disentangledssl"
    return stage


def methods_over_folds(rows: pd.DataFrame) -> list[str]:
    """Ids of the methods that rows belong to, where folds are averaged: a selected beta may be 0 in one of them."""
    named = rows[["stage", "run", "beta", "beta_value"]].itertuples(index=False)
    return [
        "disentangledssl" if beta == "selected" else method_id(stage, run, value) for stage, run, beta, value in named
    ]


def with_diverged(means: pd.DataFrame, lost: pd.DataFrame, rows: pd.DataFrame, method: list[str]) -> pd.DataFrame:
    """Count the diverged runs of each method and setting beside its means.

    Parameters
    ----------
    means : DataFrame
        With ``n``; what has only diverged runs has no line yet, and gets one.
    lost : DataFrame
        A row a diverged run.
    rows : DataFrame
        All rows, in whose order methods and settings are to stand.
    method : list of str
        Columns that say which method and setting a row is of.
    """
    diverged = lost.groupby(method, dropna=False, sort=False).size().rename("n_diverged").reset_index()
    both = means.merge(diverged, on=method, how="outer", sort=False).fillna({"n": 0, "n_diverged": 0})
    # An outer merge re-orders.
    order = rows[method].drop_duplicates().reset_index(drop=True).reset_index(names="order")
    both = both.merge(order, on=method, how="left").sort_values("order", kind="stable", ignore_index=True)
    return both.drop(columns="order")


def read_rows(measurements: Sequence[Path], wanted: Sequence[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the measurements of the runs in the config, in their order, and what is known of the data set."""
    tables = [read_table(path) for path in measurements]
    info = table_info(tables[0])["dataset"]
    rows = pa.concat_tables(table.replace_schema_metadata(None) for table in tables).to_pandas()
    asked = (rows["stage"] + "/" + rows["run"]).isin(set(wanted)) | (rows["stage"] == "reference")
    rows = rows[asked]
    # By stage and hyperparameters, whatever stacks the runs happen to be in and however the grid is ordered.
    stages = {name: place for place, name in enumerate(STAGE_ORDER)}
    keys = pd.DataFrame(
        {
            "stage": rows["stage"].map(stages),
            "selected": rows["beta"] == "selected",
            **{name: rows[name] for name in ("beta_value", "a", "lam", "fold", "seed")},
        }
    )
    order = keys.sort_values(list(keys.columns), kind="stable", na_position="first").index
    return rows.loc[order].reset_index(drop=True), info


def labelled(rows: pd.DataFrame, info: dict[str, Any]) -> pd.DataFrame:
    """Put the data set before the method, and the method's label behind it."""
    for name in ("stand_in", "title", "name"):
        rows.insert(0, "dataset" if name == "name" else name, info[name])
    rows.insert(rows.columns.get_loc("method") + 1, "method_label", rows["method"].map(LABELS).fillna(rows["method"]))
    return rows


def write_tables(path: Path, rows: pd.DataFrame, info: dict[str, Any]) -> None:
    """Write a table, whose path has no ending, as Parquet and as CSV."""
    counts = ("seed", "fold", "molecules", "profiles", "unseen", "folds", "n", "n_diverged")
    whole = [name for name in counts if name in rows]
    rows = rows.astype(dict.fromkeys(whole, "Int64"))
    write_table(path.with_suffix(".parquet"), pa.Table.from_pandas(rows, preserve_index=False), {"dataset": info})
    with atomic(path.with_suffix(".csv")) as part:
        rows.to_csv(part, index=False)
