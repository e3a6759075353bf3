"""Whether two runs made the same."""

from __future__ import annotations

from pathlib import Path

# What a run says of itself, not what it found: times, and who holds the ledger.
NOT_COMPARED = ("logs", "benchmarks")


def outputs(checkout, folder: str) -> dict[str, Path]:
    """Files that must be the same in every run."""
    found = checkout.files(folder, without=NOT_COMPARED)
    return {name: path for name, path in found.items() if not name.endswith(".lock")}


def assert_same_bytes(one: dict[str, Path], other: dict[str, Path]) -> None:
    """Check that two runs made the same files with the same content."""
    assert set(one) == set(other)
    different = [name for name in one if one[name].read_bytes() != other[name].read_bytes()]
    assert not different, f"differ: {different}"
