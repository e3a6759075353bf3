"""How long the jobs of a run took, from what Snakemake measured of each and what each job says of itself."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from disentangledssl.files import read_json

# Phases of a job (timings.py) in which nothing is trained, probed or featurised.
AROUND = ("start-up", "loading", "writing")


class Times(NamedTuple):
    """Of several jobs: how many there are and were measured, sums of seconds, and the most memory of one (MB)."""

    jobs: int
    measured: int
    seconds: float
    cpu_seconds: float
    around_seconds: float
    memory: float


def total(benchmarks: Sequence[Path]) -> Times:
    """Add up what jobs took.

    Parameters
    ----------
    benchmarks : sequence of path
        Where Snakemake puts the benchmark of each job; of a job that was not measured there is none.
    """
    rows = [(_row(path), _around(path)) for path in benchmarks if path.exists()]
    return Times(
        len(benchmarks),
        len(rows),
        sum(_number(row, "s") for row, _ in rows),
        sum(_number(row, "cpu_time") for row, _ in rows),
        sum(around for _, around in rows),
        max((_number(row, "max_rss") for row, _ in rows), default=0.0),
    )


def _row(path: Path) -> dict[str, Any]:
    with path.open(newline="", encoding="utf-8") as lines:
        return next(csv.DictReader(lines, delimiter="\t"), {})


def _around(path: Path) -> float:
    own = path.with_suffix(".seconds.json")
    return sum(read_json(own).get(phase, 0.0) for phase in AROUND) if own.exists() else 0.0


def _number(row: dict[str, Any], name: str) -> float:
    """Read a measured number; Snakemake writes NA of a job that was too short to be looked at."""
    try:
        return float(row.get(name) or 0)
    except ValueError:
        return 0.0
