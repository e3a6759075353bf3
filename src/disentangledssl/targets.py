"""What a screen says of its profiles, and so what representations can be probed for.

========== ======================= ======== ==========================================================
name       column of the pairs     kind     note
========== ======================= ======== ==========================================================
mechanism  ``meta_mechanism``      class    of the molecule; else ``meta_injury_type``
cell_line  ``meta_cell_line``      class
dose       ``meta_dose_um``        number   log10 of micromolar
time       ``meta_time_h``         number   hours
plate      ``meta_plate``          nuisance technical: should be in no representation
batch      ``meta_batch``          nuisance technical
========== ======================= ======== ==========================================================

A column that a screen lacks, or that has one value only, is no target of that screen. A profile that is a mean over
plates or batches has a column ``meta_plates`` or ``meta_batches`` in their place, which is none. Source: choice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from disentangledssl.dataset import PairedDataset
from disentangledssl.errors import InputError

UNLABELLED = ""
# What a curator calls the rest is no mechanism: two such molecules have nothing in common.
NO_CLASS = (UNLABELLED, "Miscellaneous", "unknown")
COLUMNS = (
    ("mechanism", "mechanism", "class", True),
    ("mechanism", "injury_type", "class", True),
    ("cell_line", "cell_line", "class", False),
    ("dose", "dose_um", "number", False),
    ("time", "time_h", "number", False),
    ("plate", "plate", "nuisance", False),
    ("batch", "batch", "nuisance", False),
)
# Plates and batches lie within these, so a code that holds them tells of the plate by that alone.
STRATA = ("cell_line", "time_h")


class Target(NamedTuple):
    """Something that a representation may hold.

    Attributes
    ----------
    name : str
    kind : {"class", "number", "nuisance"}
        A nuisance is a class that comes from how the screen was run.
    values : array, ``(pairs,)``
        Text, ``""`` where not labelled; of a number float64, NaN where not known.
    of_molecule : bool
        Whether it is a property of the molecule, so that codes of molecules may hold it too.
    """

    name: str
    kind: str
    values: np.ndarray
    of_molecule: bool


def find_targets(dataset: PairedDataset) -> list[Target]:
    """List the targets that a data set names, with two values or more.

    Raises
    ------
    InputError
        If a column of numbers holds text.
    """
    found = []
    for name, column, kind, of_molecule in COLUMNS:
        if column not in dataset.meta or name in [target.name for target in found]:
            continue
        given = dataset.meta[column]
        values = _numbers(name, column, given) if kind == "number" else _classes(given)
        known = values[np.isfinite(values)] if kind == "number" else values[values != UNLABELLED]
        if len(np.unique(known)) > 1:
            found.append(Target(name, kind, values, of_molecule))
    return found


def strata(dataset: PairedDataset) -> np.ndarray:
    """Return cell line and time of every pair as one text, where the data set names them, ``(pairs,)``.

    A screen of one line and time has one stratum, in which a guess has no more than chance.
    """
    columns = [dataset.meta[name].astype(str) for name in STRATA if name in dataset.meta]
    return np.array(["|".join(one) for one in zip(*columns, strict=True)] or [""] * len(dataset.ids))


def _classes(given: np.ndarray) -> np.ndarray:
    values = given.astype(str)
    return np.where(np.isin(values, NO_CLASS), UNLABELLED, values)


def _numbers(name: str, column: str, given: np.ndarray) -> np.ndarray:
    try:
        values = given.astype(np.float64)
    except ValueError as error:
        raise InputError("pairs.parquet", f"column meta_{column}", f"holds text ({error})", "write numbers") from None
    if name != "dose":
        return values
    return np.log10(values, where=values > 0, out=np.full(len(values), np.nan))
