"""The tiny preset on one thread and on two: what of its tables another number of threads may move."""

from __future__ import annotations

import csv

import pytest
from comparison import outputs

RESULTS = "results/tiny"
# docs/design.md, "Randomness".
TOLERANCE = 1e-3


@pytest.mark.slow
def test_tables_of_one_and_of_two_threads_are_the_same_within_the_tolerance(fresh_copy, finished, overlay):
    fresh_copy.run(overlays=[overlay("threads: 2")]).ok()
    one, two = (tables(checkout) for checkout in (finished, fresh_copy))
    assert set(one) == set(two) and len(one) > 20
    moved = [
        (movement(*values), name, line, column)
        for name in one
        for line, column, *values in differences(one[name], two[name], name)
    ]
    numbers = sum(number(value) is not None for rows in one.values() for row in rows for value in row.values())
    print(f"{len(moved)} of {numbers} numbers in {len(one)} tables moved, at the most {max(moved, default='none')}")
    assert numbers > 1000 and not [one for one in moved if one[0] > TOLERANCE], max(moved)


def tables(checkout) -> dict[str, list[dict[str, str]]]:
    """Rows of every CSV table of a run."""
    found = {}
    for name, path in outputs(checkout, RESULTS).items():
        if path.suffix == ".csv":
            with path.open(newline="") as lines:
                found[name] = list(csv.DictReader(lines))
    return found


def differences(one, two, name: str):
    """Yield line, column and both texts of every cell that differs; lines and columns must be the same."""
    assert len(one) == len(two), name
    for line, (first, second) in enumerate(zip(one, two, strict=True), 2):
        assert first.keys() == second.keys(), name
        for column in first:
            if first[column] != second[column]:
                yield line, column, first[column], second[column]


def movement(one: str, two: str) -> float:
    """How far apart two numbers are, in parts of the larger, or of 1 if both are smaller; a text is infinitely far."""
    first, second = number(one), number(two)
    if first is None or second is None:
        return float("inf")
    return abs(first - second) / max(1, abs(first), abs(second))


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
