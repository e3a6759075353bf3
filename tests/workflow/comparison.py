"""Whether two runs made the same."""

from __future__ import annotations

import re
from pathlib import Path

# What a run says of itself, not what it found: times, and who holds the ledger.
NOT_COMPARED = ("logs", "benchmarks")
TIMES = re.compile(rb'<section id="times".*?</section>', re.DOTALL)


def outputs(checkout, folder: str) -> dict[str, Path]:
    """Files that must be the same in every run."""
    found = checkout.files(folder, without=NOT_COMPARED)
    return {name: path for name, path in found.items() if not name.endswith(".lock")}


def whole_outputs(checkout, folder: str) -> dict[str, Path]:
    """The same, but for files that a kill left unfinished: their names end in ``.part``, and nothing reads them."""
    return {name: path for name, path in outputs(checkout, folder).items() if not name.endswith(".part")}


def assert_same_bytes(one: dict[str, Path], other: dict[str, Path]) -> None:
    """Check that two runs made the same files with the same content; of the report, all but its section of times."""
    assert set(one) == set(other)
    different = [name for name in one if content(one[name]) != content(other[name])]
    assert not different, f"differ: {different}"


def content(path: Path) -> bytes:
    """Read what must be the same in every run."""
    whole = path.read_bytes()
    if path.name != "report.html":
        return whole
    assert len(TIMES.findall(whole)) == 1
    return TIMES.sub(b"", whole)
