"""What conversions of MultiBench's files have in common: bundled files read, arrays checked, numbers made finite."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from disentangledssl.errors import InputError

SPLIT_NAMES = np.array(["train", "validation", "test"])  # by their numbers in bundled files


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
