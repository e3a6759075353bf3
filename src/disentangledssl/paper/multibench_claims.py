"""Claims about MultiBench (sec. 3.2, App. H.2): by the numbers that stand in the cells of Tables 1 and 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from disentangledssl.paper.published import METHOD, PARTS
from disentangledssl.paper.verdicts import (
    HOLDS,
    Cells,
    Data,
    Mean,
    Missing,
    Verdict,
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
    both = "accuracy of both representations together above that of either alone"
    verdicts.append(
        decide(
            "3.2, Table 1", "combining both representations improves in most cases", _all(results),
            f"{both}, by the means, on more than half of the five data sets", lambda: _in_most(papers),
        )
    )  # fmt: skip
    verdicts += [
        decide("3.2, Table 1", "combining both representations improves", data, f"{both}, by the means",
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
                    f"{part} above {other} by the means, by less than for {METHOD}",
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
    shared, specific, both = (one.value for one in _own(cells))
    return f"shared {shared:.2f}, specific {specific:.2f}, both {both:.2f}", met(both > max(shared, specific))


def _in_most(papers: Mapping[str, Cells]) -> tuple[str, str]:
    found = {name: _combining(cells)[1] == HOLDS for name, cells in papers.items() if cells}
    better, left = sum(found.values()), len(papers) - len(found)
    said = (
        f"{better} of {len(found)} that were run: {', '.join(name for name, holds in found.items() if holds) or 'none'}"
    )
    if better <= len(papers) / 2 < better + left:
        raise Missing(f"too few data sets were run ({said})" if found else "no data set of the paper was run")
    return said, met(better > len(papers) / 2)


def _carried(cells: Cells, part: str, other: str) -> tuple[str, str]:
    one, two, both = _own(cells, (part, other, "both"))
    (over, ahead), (gain, more) = leads(one, two), leads(both, one)
    return f"{part} less {other} {over}; both less {part} {gain}", together([ahead, met(more != HOLDS)])


def _alike(cells: Cells, method: str, part: str, other: str) -> tuple[str, str]:
    gaps = [
        _mean(cells, f"{name} ({part})", 4).value - _mean(cells, f"{name} ({other})", 4).value
        for name in (method, METHOD)
    ]
    return f"{part} less {other}: {method} {gaps[0]:+.2f}, {METHOD} {gaps[1]:+.2f}", met(0 < gaps[0] < gaps[1])
