"""Claims about MultiBench (sec. 3.2, App. H.2): by the numbers that stand in the cells of Tables 1 and 4."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from disentangledssl.paper.published import METHOD, PARTS
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
    apart,
    decide,
    leads,
    mean_of,
    met,
    together,
)

BASELINES = ("CLIP", "FactorCL-emb", "FactorCL-proj", "FOCAL", "JointOpt")
# The part that alone contributes, and a stand-in that is of the same data.
CARRIED = {"MOSI": ("shared", "specific"), "MUSTARD": ("specific", "shared")}
SAME_SOURCE = {"mustard_text": "MUSTARD"}
BEST = "the best of the method's three rows above every baseline, by more than two standard errors of the difference"
METRIC = "accuracy_percent"


def multibench_claims(results: Mapping[Data, Cells]) -> list[Verdict]:
    """Decide the claims: on each data set of the paper, then on what stands in for them.

    Parameters
    ----------
    results : mapping of data to cells
        The paper's five data sets first, without cells where not run.
    """
    papers = {data.name: cells for data, cells in results.items() if data.papers}
    verdicts = [
        decide("3.2, Table 1", "best of all methods", data, BEST, lambda cells=cells: _best(cells))
        for data, cells in results.items()
    ]
    parts = [f"{name} ({part})" for name in ("FOCAL", "JointOpt") for part in PARTS]
    verdicts += [
        decide(
            "H.2, Table 4", "better than FOCAL and JointOpt, whichever of their representations", data,
            "the best of the method's three rows above each of theirs, by more than two standard errors",
            lambda cells=cells: _best(cells, 4, parts),
        )
        for data, cells in results.items()
    ]  # fmt: skip
    both = "both representations together above the better of either alone, by more than two standard errors"
    verdicts.append(
        decide(
            "3.2, Table 1", "combining both representations improves in most cases", _all(results),
            f"{both}, on more than half of the five data sets (level: on more than half improves or is level)",
            lambda: _in_most(papers),
        )
    )  # fmt: skip
    verdicts += [
        decide("3.2, Table 1", "combining both representations improves", data, both,
               lambda cells=cells: _combining(cells))
        for data, cells in results.items() if not data.papers
    ]  # fmt: skip
    for data, cells in results.items():
        name = data.name if data.papers else SAME_SOURCE.get(data.ours)
        if name not in CARRIED:
            continue
        part, other = CARRIED[name]
        verdicts.append(
            decide(
                "3.2, Table 1", f"{name} is carried by the {part} representation alone", data,
                f"{part} above {other}, and both together not above {part}, each by more than two standard errors",
                lambda cells=cells, part=part, other=other: _carried(cells, part, other),
            )
        )  # fmt: skip
        for method in ("FOCAL", "JointOpt"):
            verdicts.append(
                decide(
                    "H.2, Table 4", f"{method}: {part} matters more on {name}, less clearly than for the method", data,
                    f"{part} above {other}, and by less than for {METHOD}, each by more than two standard errors (the "
                    "four accuracies' by quadrature)",
                    lambda cells=cells, method=method, part=part, other=other: _alike(cells, method, part, other),
                )
            )  # fmt: skip
    return verdicts


def _all(results: Mapping[Data, Cells]) -> Data:
    run = [data.ours for data in results if data.papers and data.ours]
    return Data("the paper's data sets of MultiBench", True, ", ".join(run) or None)


def _mean(cells: Cells, method: str, table: int = 1) -> Mean:
    return mean_of(cells, table, method, METRIC)


def _own(cells: Cells, parts: Sequence[str] = PARTS) -> list[Mean]:
    return [_mean(cells, f"{METHOD} ({part})") for part in parts]


def _best(cells: Cells, table: int = 1, baselines: Sequence[str] = BASELINES) -> tuple[str, str]:
    own = dict(zip(PARTS, _own(cells), strict=True))
    others = {name: _mean(cells, name, table) for name in baselines}
    part, best = (max(one, key=lambda name, one=one: one[name].value) for one in (own, others))
    said, verdict = leads(own[part], others[best])
    return f"{part} {own[part].value:.2f}, {best} {others[best].value:.2f}: {said}", verdict


def _combining(cells: Cells) -> tuple[str, str]:
    shared, specific, both = _own(cells)
    said, verdict = leads(both, max(shared, specific, key=lambda mean: mean.value))
    return f"shared {shared.value:.2f}, specific {specific.value:.2f}, both {both.value:.2f}: {said}", verdict


def _in_most(papers: Mapping[str, Cells]) -> tuple[str, str]:
    found: dict[str, list[str]] = {HOLDS: [], LEVEL: [], FAILS: [], UNTESTABLE: []}
    for name, cells in papers.items():
        try:
            found[_combining(cells)[1]].append(name)
        except Missing:
            found[UNTESTABLE].append(name)
    said = "; ".join(f"{verdict} on {', '.join(names)}" for verdict, names in found.items() if names)
    # Where the untested ones may yet decide, nothing is said.
    outcomes = {_most(found, unknown) for unknown in (HOLDS, LEVEL, FAILS)}
    if len(outcomes) > 1:
        raise Missing(said)
    return said, outcomes.pop()


def _most(found: Mapping[str, Sequence[str]], unknown: str) -> str:
    """Return the verdict on most data sets, if all untested ones had one and the same."""
    count = {verdict: len(found[verdict]) + len(found[UNTESTABLE]) * (verdict == unknown) for verdict in found}
    half = sum(len(names) for names in found.values()) / 2
    if count[HOLDS] > half:
        return HOLDS
    return LEVEL if count[HOLDS] + count[LEVEL] > half else FAILS


def _carried(cells: Cells, part: str, other: str) -> tuple[str, str]:
    one, two, both = _own(cells, (part, other, "both"))
    (over, ahead), (gain, more) = leads(one, two), leads(both, one)
    return f"{part} less {other} {over}; both less {part} {gain}", together([ahead, met(more != HOLDS)])


def _alike(cells: Cells, method: str, part: str, other: str) -> tuple[str, str]:
    (one, two), (first, second) = (
        [_mean(cells, f"{name} ({of})", 4) for of in (part, other)] for name in (method, METHOD)
    )
    (over, ahead), (more, _) = leads(one, two), leads(first, second)
    gap = (first.value - second.value) - (one.value - two.value)
    error = math.hypot(*(mean.error for mean in (one, two, first, second)))
    said = f"{part} less {other}: {method} {over}, {METHOD} {more}, more by {gap:+.3g} ± {error:.2g}"
    return said, together([ahead, apart(gap, 2 * error)])
