"""The paper checked against itself: what its tables allow, and what its text says of them.

**MRR.** If it is the mean of 1 / rank over the queries of the top-N cells, these bound it. Their Random row is N in
percent of the test molecules, so N counts molecules, and a query's rank lies in one of the brackets 1, 2-5, 6-10,
11-20, 21-30 and 31 or more. The largest MRR has every rank at the start of its bracket. Both are linear, so the bound
holds for means over seeds, whatever their spread; rounding moves it by less than 0.0006 in all. Nothing is fitted to
this, here or elsewhere: it is a finding.

**Statements.** What the text says of a table, cell by cell, by the printed means, as its bold type has it; ``errors``
says by how many standard errors of the difference (3 seeds), since several such leads are smaller than their scatter.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from disentangledssl.paper.published import METHOD, PAPERS_BETA0, PARTS, Published, read_published
from disentangledssl.tables.layout import write_tables

CONSISTENT, INCONSISTENT = "consistent", "inconsistent"
COLUMNS = ["check", "section", "table", "dataset", "method", "metric", "statement", "printed", "against", "slack",
           "errors", "verdict", "note"]  # fmt: skip
DIGITS = 9
TOP = (1, 5, 10, 20, 30)
CELL = ["table", "dataset", "method", "metric"]
OWN = [f"{METHOD} ({part})" for part in PARTS]
Row = dict[str, Any]


def check_paper(published: Path, out: Path) -> None:
    """Write every check of the paper against itself, as Parquet and CSV (``out`` has no ending)."""
    write_tables(out, consistency(read_published(published)), {})


def consistency(paper: Published) -> pd.DataFrame:
    """Check the paper against itself: a row a check and cell, columns ``COLUMNS``."""
    cells = Cells(paper)
    checks: list[Callable[[Cells], Iterator[Row]]] = [
        _mrr, _random, _rising, _same_tables, _best_of_multibench, _best_of_retrieval, _beta_helps, _best_of_gains,
        _counterfactual, _both_help, _one_part_carries, _baselines_alike, _counts,
    ]  # fmt: skip
    rows = pd.DataFrame([row for check in checks for row in check(cells)], columns=COLUMNS)
    numbers = dict.fromkeys(("printed", "against", "slack", "errors"), "float64")
    texts = [name for name in COLUMNS if name not in (*numbers, "table")]
    return rows.astype(numbers | {"table": "Int64"} | dict.fromkeys(texts, "string"))


def exceeds_bound(paper: Published) -> set[tuple]:
    """Return the cells (table, dataset, method, metric) of MRR that lie above what their top-N cells allow."""
    rows = pd.DataFrame(_mrr(Cells(paper)))
    return set(rows.loc[rows["verdict"] == INCONSISTENT, CELL].itertuples(index=False, name=None))


def mrr_bounds(shares: Sequence[float], candidates: int, top: Sequence[int] = TOP) -> tuple[float, float]:
    """Return the least and the largest MRR that top-N accuracies allow.

    Parameters
    ----------
    shares : sequence of float
        Share of queries whose rank is N or better, for each N of ``top``, ascending.
    candidates : int
        The worst rank.

    >>> mrr_bounds([0.5], candidates=4, top=[1])
    (0.625, 0.75)
    """
    ends = [*top, candidates]
    starts = [1, *(n + 1 for n in top)]
    mass = [after - before for before, after in itertools.pairwise([0.0, *shares, 1.0])]
    low, high = (sum(share / rank for share, rank in zip(mass, ranks, strict=True)) for ranks in (ends, starts))
    return low, high


class Cells:
    """Cells by their place, with the counts and seeds that go with them."""

    def __init__(self, paper: Published):
        self.paper = paper
        self.by_place = {tuple(row[name] for name in CELL): row for row in paper.cells.to_dict("records")}

    def mean(self, *place) -> float:
        """Return a printed mean."""
        return self.by_place[place]["mean"]

    def errors(self, one: tuple, other: tuple) -> float | None:
        """Return how many standard errors the first of two means lies above the second, None without spreads."""
        stds = [self.by_place[place]["std"] for place in (one, other)]
        error = math.sqrt(sum(std**2 for std in stds) / self.paper.seeds)
        return (self.mean(*one) - self.mean(*other)) / error if error > 0 else None

    def values(self, column: str, table: int) -> list[str]:
        """Return what a column has in a table, in its order."""
        found = self.paper.cells[self.paper.cells["table"] == table]
        return list(dict.fromkeys(found[column]))

    def candidates(self, dataset: str) -> int:
        """Return the number of test molecules: a fifth of the drugs, rounded up."""
        drugs = int(self.paper.facts[dataset, "drugs"])
        return drugs - int(0.8 * drugs)

    def row(self, check: str, section: str, place: tuple, statement: str, holds: bool, **more) -> Row:
        """Make a row of the table."""
        named = dict(zip(CELL, place, strict=True))
        return {"check": check, "section": section, **named, "statement": statement,
                "printed": self.mean(*place) if place in self.by_place else None,
                "verdict": CONSISTENT if holds else INCONSISTENT} | more  # fmt: skip

    def above(self, check: str, section: str, place: tuple, others: Sequence[tuple], statement: str, **more) -> Row:
        """Make a row that says whether a mean is above all others; it is set against the best of these."""
        best = max(others, key=lambda other: self.mean(*other))
        lead = round(self.mean(*place) - self.mean(*best), DIGITS)
        errors = self.errors(place, best)
        close = lead > 0 and errors is not None and errors <= 2
        note = f"against {best[2]}" + (", a lead within two standard errors" if close else "")
        against = {"against": self.mean(*best), "errors": errors, "note": note}
        return self.row(check, section, place, statement, lead > 0, **(against | more))


def _mrr(cells: Cells) -> Iterator[Row]:
    for dataset, method in itertools.product(cells.values("dataset", 2), cells.values("method", 2)):
        place = (2, dataset, method, "mrr")
        if place not in cells.by_place:
            continue
        of = [cells.by_place[2, dataset, method, f"top{n}_percent"] for n in TOP]
        candidates = cells.candidates(dataset)
        low, high = mrr_bounds([one["mean"] / 100 for one in of], candidates)
        # The bound grows with every share, at most by 1 - 1/31 of it.
        slack = cells.by_place[place]["rounding"] + max(one["rounding"] for one in of) / 100
        yield cells.row(
            "mrr_bound", "3.3", place, "MRR is at most what the best rank in each top-N bracket gives",
            round(cells.mean(*place) - high - slack, DIGITS) <= 0, against=high, slack=slack,
            note=f"at least {low:.4f}; N counts molecules, {candidates} of them",
        )  # fmt: skip


def _random(cells: Cells) -> Iterator[Row]:
    for dataset, n in itertools.product(cells.values("dataset", 2), TOP):
        place, molecules = (2, dataset, "Random", f"top{n}_percent"), cells.candidates(dataset)
        expected, slack = 100 * n / molecules, cells.by_place[place]["rounding"]
        yield cells.row(
            "random_row", "3.3", place, "Random is N in percent of the test molecules, a fifth of the drugs",
            round(abs(cells.mean(*place) - expected) - slack, DIGITS) <= 0, against=expected, slack=slack,
            note=f"{n} of {molecules} molecules",
        )  # fmt: skip


def _rising(cells: Cells) -> Iterator[Row]:
    for dataset, method in itertools.product(cells.values("dataset", 2), cells.values("method", 2)):
        shares = [cells.mean(2, dataset, method, f"top{n}_percent") for n in TOP]
        yield cells.row(
            "top_n_rises", "3.3", (2, dataset, method, "top_n_percent"), "top-N accuracy rises with N",
            shares == sorted(shares),
        )  # fmt: skip


def _same_tables(cells: Cells) -> Iterator[Row]:
    methods = set(cells.values("method", 4))
    for method in cells.values("method", 1):
        other = method if method in methods else f"{method} (both)"
        datasets = cells.values("dataset", 1)
        pairs = [((1, name, method, "accuracy_percent"), (4, name, other, "accuracy_percent")) for name in datasets]
        same = [
            all(cells.by_place[one][key] == cells.by_place[two][key] for key in ("mean", "std")) for one, two in pairs
        ]
        yield cells.row(
            "same_in_tables_1_and_4", "H.2", (1, None, method, "accuracy_percent"), "Table 4 completes Table 1",
            all(same), note=f"{sum(same)} of {len(same)} cells are those of {other}",
        )  # fmt: skip


def _best_of_multibench(cells: Cells) -> Iterator[Row]:
    said = {
        1: ("3.2", "better than every baseline on every data set"),
        4: ("H.2", "better than the baselines, whichever of their representations"),
    }
    for table, (section, statement) in said.items():
        for dataset in cells.values("dataset", table):
            place = {name: (table, dataset, name, "accuracy_percent") for name in cells.values("method", table)}
            best = max(OWN, key=lambda name, place=place: cells.mean(*place[name]))
            others = [one for name, one in place.items() if name not in OWN]
            yield cells.above("best_in_column", section, place[best], others, statement)


def _best_of_retrieval(cells: Cells) -> Iterator[Row]:
    for dataset, metric in itertools.product(cells.values("dataset", 2), cells.values("metric", 2)):
        others = [
            (2, dataset, name, metric) for name in cells.values("method", 2) if name not in (METHOD, PAPERS_BETA0)
        ]
        others = [one for one in others if one in cells.by_place]
        statement = "better than every baseline, at every N and in MRR"
        yield cells.above("best_in_column", "3.3", (2, dataset, METHOD, metric), others, statement)


def _beta_helps(cells: Cells) -> Iterator[Row]:
    for dataset, metric in itertools.product(cells.values("dataset", 2), cells.values("metric", 2)):
        places = (2, dataset, METHOD, metric), [(2, dataset, PAPERS_BETA0, metric)]
        yield cells.above("above_beta_0", "3.3", *places, "better than with beta = 0, at every N and in MRR")


def _best_of_gains(cells: Cells) -> Iterator[Row]:
    for dataset, metric in itertools.product(cells.values("dataset", 3), cells.values("metric", 3)):
        others = [(3, dataset, name, metric) for name in cells.values("method", 3) if name != METHOD]
        statement = "the highest gain on both data sets, for both modalities"
        yield cells.above("best_in_column", "3.3", (3, dataset, METHOD, metric), others, statement)


def _counterfactual(cells: Cells) -> Iterator[Row]:
    for dataset in cells.values("dataset", 5):

        def place(method, metric, dataset=dataset):
            return 5, dataset, method, metric

        for metric in cells.values("metric", 5):
            others = [place("JointOpt", metric)]
            yield cells.above(
                "above_jointopt", "H.3", place(METHOD, metric), others, "better than JointOpt in both metrics"
            )
        own, focal = place(METHOD, "diff_fd_s"), [place("FOCAL", "diff_fd_s")]
        yield cells.above(
            "above_focal", "H.3", own, focal, "above FOCAL in Diff-FD-s",
            note="the next sentence calls FOCAL's Diff-FD-s high: Diff-FD-c may be meant",
        )  # fmt: skip
        own, focal = place(METHOD, "diff_fd_c"), [place("FOCAL", "diff_fd_c")]
        yield cells.above("above_focal", "H.3", own, focal, "FOCAL has a low Diff-FD-c (and may be meant above)")


def _both_help(cells: Cells) -> Iterator[Row]:
    names = cells.values("dataset", 1)
    by_part = {
        part: [cells.mean(1, name, f"{METHOD} ({part})", "accuracy_percent") for name in names] for part in PARTS
    }
    better = [both > max(one, other) for one, other, both in zip(*by_part.values(), strict=True)]
    yield cells.row(
        "both_above_either", "3.2", (1, None, f"{METHOD} (both)", "accuracy_percent"),
        "both parts together beat either alone, in most cases", sum(better) > len(better) / 2,
        note=f"{sum(better)} of {len(better)}: {', '.join(itertools.compress(names, better))}",
    )  # fmt: skip


def _one_part_carries(cells: Cells) -> Iterator[Row]:
    for dataset, part, other in (("MOSI", *PARTS[:2]), ("MUSTARD", *PARTS[1::-1])):
        places = [(1, dataset, f"{METHOD} ({one})", "accuracy_percent") for one in (part, other, "both")]
        yield cells.above(
            "one_part_carries", "3.2", places[0], places[1:], f"only {part} information contributes on {dataset}"
        )


def _baselines_alike(cells: Cells) -> Iterator[Row]:
    for method in ("FOCAL", "JointOpt"):
        for dataset, part, other in (("MOSI", *PARTS[:2]), ("MUSTARD", *PARTS[1::-1])):
            places = [(4, dataset, f"{method} ({one})", "accuracy_percent") for one in (part, other)]
            yield cells.above("same_trend", "H.2", places[0], places[1:], f"{part} matters more on {dataset}, too")
            own = [(4, dataset, f"{METHOD} ({one})", "accuracy_percent") for one in (part, other)]
            gap, of_own = (cells.mean(*one) - cells.mean(*two) for one, two in (places, own))
            yield cells.row(
                "less_pronounced", "H.2", places[0], f"the distinction of parts is less pronounced on {dataset}",
                gap < of_own, printed=gap, against=of_own, note=f"{part} less {other}, against {METHOD}'s",
            )  # fmt: skip


def _counts(cells: Cells) -> Iterator[Row]:
    facts = cells.paper.facts
    for dataset in ("RXRX19a", "LINCS"):
        drugs, profiles, replicates = (facts[dataset, name] for name in ("drugs", "profiles", "replicates"))
        lines = facts.get((dataset, "cell_lines"), 1)
        note = f"{profiles / drugs:.2f} profiles a drug"
        if lines > 1:
            note += f"; {replicates:g} a drug and cell line would be at most {drugs * lines * replicates:,.0f}"
        yield cells.row(
            "profiles_per_drug", "3.3", (None, dataset, None, "profiles"), f"{replicates:g} replicates a drug",
            round(profiles / drugs) == replicates, printed=profiles, against=drugs * replicates, note=note,
        )  # fmt: skip
