"""How speed.py shows what it measured: one table of figures with targets, and what ran where."""

from __future__ import annotations

import platform
from pathlib import Path
from statistics import median


class Table:
    """Rows of figures; the value is the median over the rounds."""

    def __init__(self):
        self.rows: list[str] = []

    def add(self, name, values, target=None, *, most=False, show=str, note=""):
        """Add a figure; it must reach ``target`` at least, or with ``most`` stay at or below it."""
        middle = median(values)
        goal, reached = "none, reported", ""
        if target is not None:
            goal = f"{'at most' if most else 'at least'} {show(target)}"
            reached = "yes" if (middle <= target if most else middle >= target) else "no"
        points = ", ".join(show(value) for value in (min(values), middle, max(values)))
        self.rows.append(f"| {name} | {show(middle)} | {goal} | {reached} | {points} ({len(values)}) | {note} |")

    def skip(self, name, goal, why):
        """Add a figure that was not measured."""
        self.rows.append(f"| {name} | not measured | {goal} | | | {why} |")

    def __str__(self):
        return grid("figure | measured | target | reached | minimum, median, maximum (rounds) | behind it", self.rows)


def grid(head: str, rows: list[str]) -> str:
    """Lay out a Markdown table."""
    return "\n".join([f"| {head} |", "|" + "---|" * (head.count("|") + 1), *rows])


def as_ratio(value: float) -> str:
    return f"1/{1 / value:.3g}"


def as_share(value: float) -> str:
    return f"{100 * value:.1f} %"


def as_factor(value: float) -> str:
    return f"{value:.2f}"


def ms(values: list[float]) -> str:
    return f"{1e3 * median(values):.2f} ms"


def mb(count: float) -> str:
    return f"{count / 1e6:,.0f} MB"


def ratios(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def efficiency(flops: int, seconds: list[float], rates: list[float]) -> list[float]:
    return [flops / s / rate for s, rate in zip(seconds, rates, strict=True)]


def processor() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
