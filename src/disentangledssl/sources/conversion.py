"""What the conversions of MultiBench's files have in common: the report of their steps, and numbers made finite.

Every step writes a line of ``curation.csv``: rows and valid time steps before and after, and why. It holds counts
alone, never a row's own values.
"""

from __future__ import annotations

import csv
import logging
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from disentangledssl.errors import InputError
from disentangledssl.files import atomic

COLUMNS = ("step", "rows_before", "rows_after", "time_steps_before", "time_steps_after", "reason")
SPLIT_NAMES = np.array(["train", "validation", "test"])  # by their numbers in bundled files

log = logging.getLogger(__name__)


class Report:
    """The lines of ``curation.csv``, one a step."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path, self.lines = path, []
        self.rows = self.time_steps = 0

    def record(self, step: str, reason: str, rows: int | None = None, time_steps: int | None = None) -> None:
        """Write down a step; counts that it leaves alone need not be given.

        Raises
        ------
        InputError
            If no row is left.
        """
        before = self.rows, self.time_steps
        self.rows = self.rows if rows is None else rows
        self.time_steps = self.time_steps if time_steps is None else time_steps
        line = (step, before[0], self.rows, before[1], self.time_steps, reason)
        self.lines.append(dict(zip(COLUMNS, line, strict=True)))
        log.info("%s: %s: rows %d -> %d, time steps %d -> %d (%s)", self.path, step, *line[1:3], *line[3:5], reason)
        if not self.rows:
            raise InputError(self.path, "", f"no row is left after the step {step} ({reason})", "check the file")

    def write(self, out: Path) -> None:
        """Write ``curation.csv`` into a folder."""
        with atomic(out / "curation.csv") as part, part.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.lines)


def read_bundled(path: str | os.PathLike[str], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read arrays of a bundled ``.npz`` file.

    Raises
    ------
    InputError
        If the file is missing, damaged or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "copy the bundled file anew") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(path, "", f"cannot be read ({error})", "copy the bundled file anew") from None


def as_finite(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the values as float32, a new array, with 0 for what is then not finite, and how many these were."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.array(values, np.float32)
    wrong = ~np.isfinite(values)
    values[wrong] = 0
    return values, int(wrong.sum())


def array_of(content: Any, key: str, ndim: int, path: str | os.PathLike[str], place: str = "") -> np.ndarray:
    """Return an array of numbers out of a dict that was read from a file.

    Raises
    ------
    InputError
        If it is not there, or is no array of numbers of so many dimensions.
    """
    place = f"{place}{key}"
    mend = "check that it is the file that docs/downloads.md names"
    if not isinstance(content, dict) or key not in content:
        raise InputError(path, place, "is missing", mend)
    array = content[key]
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub" or array.ndim != ndim:
        seen = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(path, place, f"is {seen}, not an array of numbers of {ndim} dimensions", mend)
    return array
