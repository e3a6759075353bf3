"""Our tables in the paper's terms: its tables, methods, metrics and units.

A row is one of our data sets, label, method with its setting, and metric. Which reading of the paper stands for it,
where its text is open: retrieval by profile (``per_profile``), among test molecules; the reconstruction gain over the
better single representation. The other readings are in the tables that these are taken from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from disentangledssl.files import read_table
from disentangledssl.paper.published import method_key
from disentangledssl.tables.scores import PAPERS_WAY, WAY

PERCENT = 100
COLUMNS = ["table", "our_dataset", "title", "stand_in", "label", "key", "metric", "mean", "std", "n", "n_diverged",
           "beta", "a", "lam", "detail"]  # fmt: skip
UNIT = "per_profile"
GAIN = "gain_over_better"
DETAILS = {
    "gain": "gain over the better single representation",
    "difference": "of Frechet distances between Gaussians",
}


def read_measured(
    multibench: Mapping[int, Path], retrieval: Sequence[Path], reconstruction: Sequence[Path]
) -> pd.DataFrame:
    """Read what a run has of the paper's tables.

    Parameters
    ----------
    multibench : mapping of 1 and 4 to path
        ``table1.parquet`` and ``table4.parquet``, if there are any.
    retrieval, reconstruction : sequences of path
        ``retrieval_summary.parquet`` and ``reconstruction_summary.parquet`` of the screens that have them.

    Returns
    -------
    data frame
        ``COLUMNS``. ``key`` is the method as :func:`method_key` spells it. A setting of which every seed diverged has
        a row without a metric.
    """
    parts = [_multibench(table, path) for table, path in multibench.items()]
    parts += [_retrieval(path) for path in retrieval]
    parts += [part for path in reconstruction for part in _reconstruction(path)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _multibench(table: int, path: Path) -> pd.DataFrame:
    rows = _read(path)
    found = rows["mean"].notna()
    detail = [_probed(row) if pd.notna(row["width"]) else None for row in rows.to_dict("records")]
    return _columns(
        rows.assign(
            table=table, key=rows["row"].map(method_key), metric=found.map({True: "accuracy_percent", False: None}),
            mean=PERCENT * rows["mean"], std=PERCENT * rows["std"], detail=detail,
        )
    )  # fmt: skip


def _probed(row: Mapping[str, Any]) -> str:
    """What was probed, and how well its other splits are told: a cell of the paper may be of one of them."""
    parts = (("validation", "validation"), ("train", "training"))
    others = [f"{said} {PERCENT * row[name]:.2f}" for name, said in parts if pd.notna(row[name])]
    return ", ".join([f"probed width {row['width']}", *others])


def _retrieval(path: Path) -> pd.DataFrame:
    rows = _read(path)
    way = pd.Series(True, index=rows.index)
    for name, value in zip(WAY, PAPERS_WAY, strict=True):
        way &= rows[name].isna() if value is None else rows[name] == value
    rows = rows[(way & (rows["unit"] == UNIT)) | rows["metric"].isna()]
    top = rows["metric"].str.fullmatch(r"top\d+", na=False)
    kept = top | (rows["metric"] == "mrr") | rows["metric"].isna()
    rows, top = rows[kept], top[kept]
    factor = top.map({True: PERCENT, False: 1})
    detail = [
        f"{UNIT}, {int(molecules)} molecules, {int(profiles)} profiles of {split}" if pd.notna(molecules) else None
        for molecules, profiles, split in zip(rows["molecules"], rows["profiles"], rows["evaluated_on"], strict=True)
    ]
    return _columns(
        rows.assign(
            table=2, label=None, key=rows["method_label"].map(method_key),
            metric=rows["metric"].where(~top, rows["metric"] + "_percent"),
            mean=factor * rows["mean"], std=factor * rows["std"], detail=detail,
        )
    )  # fmt: skip


def _reconstruction(path: Path) -> Iterable[pd.DataFrame]:
    rows = _read(path).assign(label=None)
    rows["key"], lost = rows["method_label"].map(method_key), rows["metric"].isna()
    gains = rows[(rows["metric"] == GAIN) | lost]
    views = {"x1": "rg_phenotype", "x2": "rg_molecule"}
    yield _columns(gains.assign(table=3, metric=gains["target"].map(views), detail=DETAILS["gain"]))
    differences = rows[rows["metric"].isin(["diff_fd_c", "diff_fd_s"]) | lost]
    yield _columns(differences.assign(table=5, detail=DETAILS["difference"]))


def _read(path: Path) -> pd.DataFrame:
    rows = read_table(path).to_pandas()
    return rows.rename(columns={"dataset": "our_dataset"})


def _columns(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.astype({"mean": float, "std": float, "n": int, "n_diverged": int, "a": float, "lam": float})
    return rows.astype({name: object for name in ("label", "metric", "beta", "detail")})[COLUMNS]


def pick(rows: pd.DataFrame, metric: str, settings: Sequence[Mapping[str, str]]) -> pd.Series | None:
    """Return the row of one method, data set and label at the first setting that was run, or None.

    A row of a setting of which every seed diverged comes where there is none with the metric. A hyperparameter that a
    row does not have is not asked for: the shared representation of step 1 has no lam.
    """
    for setting in settings:
        at = rows[
            _same(rows["beta"], setting["beta"]) & _same(rows["a"], setting["a"]) & _same(rows["lam"], setting["lam"])
        ]
        for chosen in (at[at["metric"] == metric], at[at["metric"].isna()]):
            if len(chosen):
                return chosen.iloc[0]
    return None


def _same(values: pd.Series, wanted: str) -> pd.Series:
    if wanted in ("", "selected"):
        return values.isna() if not wanted else values == wanted
    numbers = pd.to_numeric(values, errors="coerce")
    return values.isna() | (numbers == float(wanted))
