"""How long the jobs of a run took, from what Snakemake measured of each and what each job says of itself."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from disentangledssl.files import read_json, write_json

# Phases of a job (timings.py) in which nothing is trained, probed or featurised.
AROUND = ("start-up", "loading", "writing")
# What the rules do, by how their names begin, that fetch data or lay out what others found: no such work either.
BESIDE = ("download", "tabulate_", "plot_", "check_paper", "compare_", "lay_out_", "decide_", "report", "predict_cost")
START = Path("benchmarks", "start.json")


class Times(NamedTuple):
    """Of several jobs: how many there are and were measured, sums of seconds, and the most memory of one (MB)."""

    jobs: int
    measured: int
    seconds: float
    cpu_seconds: float
    around_seconds: float
    memory: float


class LastStart(NamedTuple):
    """Of the workflow's last start: the jobs that it has run, its cores, the seconds since, and ``without_work``.

    That is the share of the cores' time in which no job trained, measured or made data.
    """

    jobs: int
    cores: int
    seconds: float
    without_work: float


def note_beginning(results: Path, began: float, cores: int | None) -> None:
    """Note when a start began (epoch time) and how many cores it has; None where it has no bound, as on a cluster."""
    write_json(results / START, {"began": began, "cores": cores})


def last_start(results: Path, now: float) -> LastStart | None:
    """Say what the last start's cores did until now (epoch time), or None if that is not known.

    Of earlier starts it says nothing: a job that was broken off or has run again leaves no account of its time.
    """
    note = results / START
    known = read_json(note) if note.exists() else {"cores": None}
    if known["cores"] is None:
        return None
    since = note.stat().st_mtime
    own = [path for path in note.parent.rglob("*.seconds.json") if path.stat().st_mtime >= since]
    work = sum(map(_work, own))
    seconds = now - known["began"]
    return LastStart(len(own), known["cores"], seconds, 1 - work / (known["cores"] * seconds))


def note_ending(results: Path, now: float) -> None:
    """Add to the note of a start what it came to."""
    if start := last_start(results, now):
        write_json(results / START, read_json(results / START) | start._asdict())


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


def _work(own: Path) -> float:
    """Return the seconds of cores that a job's own account has for its work."""
    said = read_json(own)
    if said["rule"].startswith(BESIDE):
        return 0.0
    return said["threads"] * (said["all"] - sum(said.get(phase, 0.0) for phase in AROUND))


def _number(row: dict[str, Any], name: str) -> float:
    """Read a measured number; Snakemake writes NA of a job that was too short to be looked at."""
    try:
        return float(row.get(name) or 0)
    except ValueError:
        return 0.0
