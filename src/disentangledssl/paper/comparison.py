"""Every cell of the paper's Tables 1-5 beside ours, with a verdict; and what was measured on other data.

A cell is compared with a run on the paper's own data and at the setting that the paper states, with nothing else: what
a stand-in gives is kept apart (``other_data``), without a number of the paper beside it.

The tolerance. Both means are over seeds, and uncertain by their standard errors: together u = sqrt(s^2 / n + s'^2 /
n'), primes for the paper's. A printed mean is moreover rounded, by at most r. ``within uncertainty`` is |difference| <=
2 u + r; ``verdict_at_1`` and ``verdict_at_3`` have 1 and 3 for 2. Only seeds make u: no other data, split or setting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from disentangledssl.paper.consistency import exceeds_bound
from disentangledssl.paper.measured import pick, read_measured
from disentangledssl.paper.published import FAMILIES, SELECTED, Published, method_key, read_published, without_part
from disentangledssl.tables.layout import write_tables

WITHIN, HIGHER, LOWER = "within uncertainty", "differs: higher", "differs: lower"
UNDECIDED, NOT_RUN, INCONSISTENT = "not decided", "not run", "inconsistent in the source"
ERRORS = {"verdict_at_1": 1, "verdict": 2, "verdict_at_3": 3}
DIGITS = 9  # to which numbers are compared: 54.35 - 54.345 is 0.005
CELL = ["table", "dataset", "method", "metric"]
OURS = ["mean", "std", "n", "n_diverged", "setting"]
COMPARISON = [*CELL, "paper_mean", "paper_std", "paper_n", *OURS[:4], "our_dataset", "setting", "departures",
              "difference", "uncertainty", "rounding", "errors", *ERRORS, "reason"]  # fmt: skip
NUMBERS = ["paper_mean", "paper_std", "mean", "std", "difference", "uncertainty", "rounding", "errors"]
COUNTS = ["table", "paper_n", "n", "n_diverged"]
OTHER = ["table", "dataset", "title", "stand_in", "label", "method", "metric", *OURS, "departures", "reason"]


def compare_with_paper(
    published: Path,
    multibench: Mapping[int, Path],
    retrieval: Sequence[Path],
    reconstruction: Sequence[Path],
    *,
    runs: Mapping[str, Mapping[str, str | None]],
    others: Mapping[str, str],
    departures: Mapping[str, str],
    comparison: Path,
    other_data: Path,
) -> None:
    """Write both tables, each as Parquet and CSV.

    Parameters
    ----------
    published : path
        Folder of the paper's numbers.
    multibench, retrieval, reconstruction
        As :func:`read_measured` takes them.
    runs : mapping
        By the paper's name of a data set: ours (``dataset``), or the ``reason`` why there is none.
    others : mapping of str to str
        Our other data sets, and why each is not compared.
    departures : mapping of str to str
        In what the run of each of our data sets differs from the full run.
    comparison, other_data : path
        Without ending.
    """
    paper, measured = read_published(published), read_measured(multibench, retrieval, reconstruction)
    write_tables(comparison, compare(paper, measured, runs, departures), {})
    write_tables(other_data, measured_elsewhere(paper, measured, others, departures), {})


def compare(
    paper: Published,
    measured: pd.DataFrame,
    runs: Mapping[str, Mapping[str, str | None]],
    departures: Mapping[str, str],
) -> pd.DataFrame:
    """Set every cell beside ours: a row a cell, in the paper's order; columns ``COMPARISON``."""
    impossible = exceeds_bound(paper)
    rows = []
    for cell in paper.cells.to_dict("records"):
        run = runs[cell["dataset"]]
        if run["dataset"] is None:
            ours, reason = {}, run["reason"]
        else:
            ours, reason = _find(paper, measured, run["dataset"], cell)
            ours |= {"our_dataset": run["dataset"], "departures": departures.get(run["dataset"]) or None}
        row = {name: cell[name] for name in CELL}
        row |= {"paper_mean": cell["mean"], "paper_std": cell["std"], "rounding": cell["rounding"]}
        row["paper_n"] = None if math.isnan(cell["std"]) else paper.seeds
        row |= ours | decide(
            ours.get("mean"), ours.get("std"), ours.get("n"),
            cell["mean"], cell["std"], paper.seeds, rounding=cell["rounding"],
        )  # fmt: skip
        row["reason"] = reason or row.get("reason")
        if tuple(row[name] for name in CELL) in impossible:
            why = "the paper's value lies above the bound that its top-N cells set (consistency.csv)"
            row |= dict.fromkeys(ERRORS, INCONSISTENT)
            row["reason"] = "; ".join(filter(None, [why, row["reason"]]))
        rows.append(row)
    return _typed(pd.DataFrame(rows, columns=COMPARISON))


def decide(
    mean: float | None,
    std: float | None,
    n: int | None,
    paper_mean: float,
    paper_std: float,
    paper_n: int,
    *,
    rounding: float,
) -> dict[str, Any]:
    """Decide one cell.

    Parameters
    ----------
    mean, std, n
        Ours; ``mean`` None or NaN where there is none, ``std`` where one seed has none.
    paper_mean, paper_std, paper_n
        The paper's; ``paper_std`` NaN where it prints none, of a number that is exact (Random).
    rounding : float
        Half a unit of the last digit of ``paper_mean``.

    Returns
    -------
    dict
        ``difference`` (ours less the paper's), ``uncertainty`` (one standard error), ``errors`` (of the difference
        beyond rounding), the verdicts at 1, 2 and 3 standard errors, and the ``reason`` of one that is not decided.

    >>> decide(65.9, 0.6, 3, 64.97, 0.6, 3, rounding=0.005)["verdict"]
    'within uncertainty'
    """
    if mean is None or math.isnan(mean):
        return {name: UNDECIDED if n == 0 else NOT_RUN for name in ERRORS}
    difference = mean - paper_mean
    exact = math.isnan(paper_std)
    if not exact and (std is None or math.isnan(std)):
        verdicts = dict.fromkeys(ERRORS, UNDECIDED)
        return verdicts | {"difference": difference, "reason": "one seed of ours: no standard deviation"}
    uncertainty = 0.0 if exact else math.sqrt(std**2 / n + paper_std**2 / paper_n)
    beyond = max(abs(difference) - rounding, 0.0)
    out = {
        "difference": difference,
        "uncertainty": uncertainty,
        "errors": beyond / uncertainty if uncertainty else None,
    }
    for name, errors in ERRORS.items():
        differs = round(beyond - errors * uncertainty, DIGITS) > 0
        out[name] = (HIGHER if difference > 0 else LOWER) if differs else WITHIN
    return out


def measured_elsewhere(
    paper: Published, measured: pd.DataFrame, others: Mapping[str, str], departures: Mapping[str, str]
) -> pd.DataFrame:
    """List what was measured on data that are not the paper's, at the settings that it states for the family.

    A row is one of our data sets, label, and a method and metric of one of its tables; columns ``OTHER``.
    """
    wanted = paper.cells.drop_duplicates(["table", "method", "metric"])
    rows = []
    for dataset, reason in others.items():
        of_dataset = measured[measured["our_dataset"] == dataset]
        labels = list(dict.fromkeys(of_dataset["label"].dropna())) or [None]
        for table in FAMILIES:
            for label in labels:
                here = of_dataset[(of_dataset["table"] == table) & _is(of_dataset["label"], label)]
                if here.empty:
                    continue
                known = {
                    "table": table,
                    "label": label,
                    "reason": reason,
                    "departures": departures.get(dataset) or None,
                }
                known |= {"dataset": dataset, **here[["title", "stand_in"]].iloc[0].to_dict()}
                for cell in wanted[wanted["table"] == table].to_dict("records"):
                    found = pick(
                        _of_method(here, cell["method"]), cell["metric"], paper.setting(table, "", cell["method"])
                    )
                    if found is not None and found["metric"] == cell["metric"]:
                        rows.append(known | {"method": cell["method"], "metric": cell["metric"]} | _ours(found))
    return _typed(pd.DataFrame(rows, columns=OTHER))


def _find(
    paper: Published, measured: pd.DataFrame, dataset: str, cell: Mapping[str, Any]
) -> tuple[dict[str, Any], str | None]:
    """Find our number for a cell on one of our data sets, or the reason why there is none."""
    rows = measured[(measured["our_dataset"] == dataset) & (measured["table"] == cell["table"])]
    settings = paper.setting(cell["table"], cell["dataset"], cell["method"])
    found = pick(_of_method(rows, cell["method"]), cell["metric"], settings)
    if found is not None:
        reasons = []
        if found["metric"] != cell["metric"]:
            reasons.append(f"all {int(found['n_diverged'])} seeds diverged")
        if found["beta"] == SELECTED != settings[0]["beta"]:
            reasons.append(f"at the selected beta: {dataset} has no run at {_spell(settings[0])}, the paper's")
        return _ours(found), "; ".join(reasons) or None
    if method_key(cell["method"]) not in set(rows["key"]):
        return {}, f"{without_part(cell['method'])} is not trained on {dataset} by this config"
    return {}, f"{dataset} has no run of it at {' or '.join(map(_spell, settings))}"


def _of_method(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    """Rows of a method, and those of its lost settings, which have no representation in their name."""
    lost = (rows["key"] == method_key(without_part(method))) & rows["metric"].isna()
    return rows[(rows["key"] == method_key(method)) | lost]


def _ours(found: pd.Series) -> dict[str, Any]:
    setting = _spell({name: found[name] for name in ("beta", "a", "lam")})
    setting = "; ".join(part for part in (setting, found["detail"]) if part)
    return {name: found[name] for name in OURS if name != "setting"} | {"setting": setting or None}


def _spell(setting: Mapping[str, Any]) -> str:
    given = {name: value for name, value in setting.items() if name in ("beta", "a", "lam") and not _empty(value)}
    return ", ".join(f"{name} {value if isinstance(value, str) else f'{value:g}'}" for name, value in given.items())


def _empty(value: Any) -> bool:
    return value == "" or pd.isna(value)


def _is(values: pd.Series, wanted: str | None) -> pd.Series:
    return values.isna() if wanted is None else values == wanted


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    kinds = dict.fromkeys(rows, "string") | dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(COUNTS, "Int64")
    kinds["stand_in"] = "bool"
    return rows.astype({name: kinds[name] for name in rows})
