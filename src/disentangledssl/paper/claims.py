"""Every qualitative claim of the paper, each with a verdict computed from this run's tables.

A claim about the paper's data is decided on these alone; what a stand-in says of it is a row of its own, which names
it and has ``papers_data`` false. Claims that no run tests have a row that says so, and why (``untested_claims``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd

from disentangledssl.files import read_table
from disentangledssl.paper.multibench_claims import multibench_claims
from disentangledssl.paper.screen_claims import screen_claims
from disentangledssl.paper.simulation_claims import simulation_claims
from disentangledssl.paper.untested_claims import INTERPRETATIONS, THEORY
from disentangledssl.paper.verdicts import (
    FAILS,
    HOLDS,
    LEVEL,
    UNTESTABLE,
    Cells,
    Data,
    Mean,
    Missing,
    Verdict,
    decide,
    together,
)
from disentangledssl.tables.layout import write_tables

COLUMNS = ["section", "claim", "data", "papers_data", "our_dataset", "departures", "criterion", "measured", "verdict"]
BEST = ("best of all methods", "best of all methods in retrieval")
BESIDE_ALL = "of all baselines"  # in the claims about curves of the simulation


def write_claims(
    simulation: Path | None,
    mixed: Path | None,
    noisy: Path | None,
    comparison: Path,
    other_data: Path,
    differences: Mapping[str, Path],
    departures: Mapping[str, str],
    changed: Collection[str],
    out: Path,
) -> None:
    """Write the verdicts as Parquet and CSV.

    Parameters
    ----------
    simulation, mixed, noisy : path or None
        ``probes_summary.parquet`` of the variants of the simulation; None where they were not run.
    comparison, other_data : path
        As :func:`disentangledssl.paper.comparison.compare_with_paper` wrote them (Parquet).
    differences : mapping of str to path
        ``retrieval_differences.parquet`` by our screens.
    departures : mapping of str to str
        In what the run of each of our data sets differs from the full run.
    changed : collection of str
        Simulations that are not drawn as the full run's: no claim on them is on the paper's data. Of other data
        :func:`disentangledssl.paper.comparison.compare_with_paper` has set such apart already.
    out : path
        Without ending.
    """
    tables = [None if path is None else read_table(path).to_pandas() for path in (simulation, mixed, noisy)]
    results = read_results(*(read_table(path).to_pandas() for path in (comparison, other_data)))
    verdicts = all_claims(tables, results, {name: read_table(path).to_pandas() for name, path in differences.items()})
    rows = pd.DataFrame(verdicts)
    rows["departures"] = [departures.get(name) or None for name in rows["our_dataset"]]
    rows["papers_data"] &= ~rows["our_dataset"].isin(changed)
    texts = dict.fromkeys([name for name in COLUMNS if name != "papers_data"], "string")
    write_tables(out, rows[COLUMNS].astype(texts), {})


def all_claims(
    simulations: list[pd.DataFrame | None],
    results: Mapping[int, Mapping[Data, Cells]],
    differences: Mapping[str, pd.DataFrame],
) -> list[Verdict]:
    """Decide every claim.

    Parameters
    ----------
    simulations : list of data frame or None
        Entangled, mixed, noisy.
    results : mapping
        By a table that all have of the family (1: MultiBench, 2: screens), what :func:`read_results` found.
    differences : mapping of str to data frame
    """
    tested = [*multibench_claims(results[1]), *screen_claims(results[2], differences)]
    theory, interpretations = (
        [Verdict(section, claim, "", True, None, "none", why, UNTESTABLE) for section, claim, why in untested]
        for untested in (THEORY, INTERPRETATIONS)
    )
    simulated = simulation_claims(*simulations)
    real = [one for one in tested if one.claim in BEST and one.papers_data]
    curves = [one for one in simulated if BESIDE_ALL in one.claim]
    return [
        _everywhere(
            "Abstract, 1", "best of all methods in prediction and retrieval", "all data sets of Tables 1 and 2",
            "the claims of sec. 3.2 and 3.3 hold on each", real,
        ),
        _everywhere(
            "5", "best of all methods on synthetic and on real data", "the simulation, all data sets of Tables 1 and 2",
            "the claims of sec. 3.2 and 3.3 hold on each, and those of Figures 4b, 7 and 8 about all baselines",
            [*curves, *real],
        ),
        *theory, *simulated, *tested, *interpretations,
    ]  # fmt: skip


def _everywhere(section: str, claim: str, name: str, criterion: str, parts: list[Verdict]) -> Verdict:
    """Decide a claim from those that it sums up."""
    run = ", ".join(dict.fromkeys(filter(None, (one.our_dataset for one in parts)))) or None

    def test() -> tuple[str, str]:
        count = {verdict: sum(one.verdict == verdict for one in parts) for verdict in (HOLDS, LEVEL, FAILS, UNTESTABLE)}
        said = ", ".join(f"{verdict} on {number}" for verdict, number in count.items())
        if count[UNTESTABLE] and not count[FAILS]:
            raise Missing(said)
        return said, together(one.verdict for one in parts if one.verdict != UNTESTABLE)

    return decide(section, claim, Data(name, True, run), criterion, test)


def read_results(comparison: pd.DataFrame, other_data: pd.DataFrame) -> dict[int, dict[Data, Cells]]:
    """Read means by data: of MultiBench under 1, of screens under 2; the paper's data first."""
    out: dict[int, dict[Data, Cells]] = {1: {}, 2: {}}
    for first, found in out.items():
        for name in dict.fromkeys(comparison.loc[comparison["table"] == first, "dataset"]):
            rows = comparison[comparison["dataset"] == name]
            ours = rows["our_dataset"].dropna()
            found[Data(name, True, ours.iloc[0] if len(ours) else None)] = _cells(rows)
    for (dataset, label), rows in other_data.groupby(["dataset", "label"], sort=False, dropna=False):
        labels = other_data.loc[other_data["dataset"] == dataset, "label"].nunique()
        kind = "stand-in" if rows["stand_in"].iloc[0] else "other data"
        named = f"{kind} {dataset}" + (f", y_{label}" if labels > 1 else "")
        out[1 if 1 in set(rows["table"]) else 2][Data(named, False, dataset)] = _cells(rows)
    return out


def _cells(rows: pd.DataFrame) -> Cells:
    return {
        (row["table"], row["method"], row["metric"]): Mean(
            row["mean"], float("nan") if pd.isna(row["std"]) else row["std"], row["n"]
        )
        for row in rows[rows["mean"].notna()].to_dict("records")
    }
