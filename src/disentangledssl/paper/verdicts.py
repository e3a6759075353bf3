"""A claim with its criterion, the numbers it was decided on, and the verdict.

A claim about which of two means is larger ``holds`` or ``does not hold`` where they are told apart, and is ``level``
where they are not: a lead that scatter may explain is no reversal. A pattern is there or is not.
A claim that the tables at hand cannot decide is ``not testable``, and says why: data or a method that were not run, one
seed where standard errors are asked for, one setting where a curve is, a theorem. None is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

HOLDS, LEVEL, FAILS, UNTESTABLE = "holds", "level", "does not hold", "not testable"
DIGITS = 9  # to which numbers are compared: 0.8 - 0.795 is 0.005


class Data(NamedTuple):
    """What a claim is decided on: a name to read, whether the paper's own data, and our data set (None: not run)."""

    name: str
    papers: bool
    ours: str | None


class Verdict(NamedTuple):
    """One row of the table of claims."""

    section: str
    claim: str
    data: str
    papers_data: bool
    our_dataset: str | None
    criterion: str
    measured: str
    verdict: str


class Missing(Exception):
    """The tables lack what a claim is about."""


class Mean(NamedTuple):
    """A mean over seeds; ``std`` is NaN for one seed."""

    value: float
    std: float
    n: int

    @property
    def error(self) -> float:
        """Return the standard error."""
        return self.std / math.sqrt(self.n)


Cells = Mapping[tuple[int, str, str], Mean]  # by table, and the paper's names of method and metric


def mean_of(cells: Cells, table: int, method: str, metric: str) -> Mean:
    """Return the number of one cell.

    Raises
    ------
    Missing
        If there is none.
    """
    if not cells:
        raise Missing("the data set was not run")
    if (table, method, metric) not in cells:
        raise Missing(f"no {method} in Table {table}")
    return cells[table, method, metric]


def decide(section: str, claim: str, data: Data, criterion: str, test: Callable[[], tuple[str, str]]) -> Verdict:
    """Decide a claim by a test that says what it measured, and the verdict that follows.

    A test that raises :class:`Missing` makes the claim not testable.
    """
    try:
        measured, verdict = test()
    except Missing as missing:
        return Verdict(section, claim, *data, criterion, str(missing), UNTESTABLE)
    return Verdict(section, claim, *data, criterion, measured, verdict)


def above(value, bound):
    """Return whether numbers are above a bound, but for the last digits of their floating point."""
    return np.round(value - bound, DIGITS) > 0


def apart(difference: float, bound: float) -> str:
    """Return whether a difference that should be positive is beyond a bound, within it, or beyond it the wrong way.

    >>> [apart(difference, 0.2) for difference in (0.3, 0.1, -0.1, -0.3)]
    ['holds', 'level', 'level', 'does not hold']
    """
    return HOLDS if above(difference, bound) else FAILS if above(-difference, bound) else LEVEL


def met(pattern: bool) -> str:
    """Return the verdict on a pattern, which is there or is not."""
    return HOLDS if pattern else FAILS


def together(verdicts: Iterable[str]) -> str:
    """Return the verdict on a claim of several parts: the worst of theirs.

    >>> together(["holds", "level"]), together(["does not hold", "level"])
    ('level', 'does not hold')
    """
    return max(verdicts, key=(HOLDS, LEVEL, FAILS).index)


def leads(one: Mean, other: Mean) -> tuple[str, str]:
    """Say by how much a mean leads another, and the verdict by two standard errors of the difference.

    Raises
    ------
    Missing
        If either is of one seed.
    """
    difference, error = one.value - other.value, math.hypot(one.error, other.error)
    if math.isnan(error):
        raise Missing(f"{difference:+.3g}, but fewer than two seeds, so no standard error")
    return f"{difference:+.3g} ± {error:.2g}", apart(difference, 2 * error)
