"""MIMIC-III as MultiBench prepared it (``im.pk``): from one pickle to the paired-dataset contract.

The file holds health data that only credentialed users may have: it is never fetched, and neither messages nor
``curation.csv`` hold anything but counts.

View 1 are five static features, view 2 is a sequence of 24 hours of twelve measurements. As in MultiBench's loader:
what is not finite becomes 0; the rows are shuffled with Python's ``random`` at seed 10; the first tenth is
validation, the next tenth test, the rest training. That loader standardises over the whole set: ``scaling`` with
``statistics: all`` in the config.

Source: the paper, App. H.2; MultiBench (Liang et al. 2021); task: docs/choices.md.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from disentangledssl.dataset import pairs_table, write_view
from disentangledssl.errors import InputError
from disentangledssl.files import write_table
from disentangledssl.sequences import write_sequences
from disentangledssl.sources.conversion import array_of, as_finite
from disentangledssl.sources.curation_report import CurationReport
from disentangledssl.sources.pickles import read_pickle

SHUFFLE_SEED = 10
PUBLISHED = 32_616


def convert(source: str | os.PathLike[str], out: str | os.PathLike[str], *, name: str, make: Mapping[str, Any]) -> None:
    """Write ``view1``, ``view2``, ``pairs`` (Parquet) and ``curation.csv``.

    Parameters
    ----------
    source : path
        ``im.pk``.
    out : path
        Folder to write into.
    name : str
        Name of the data set.
    make : mapping
        ``task``: which group of ICD-9 codes is the label, a column of ``y_icd9``, from 0.

    Raises
    ------
    InputError
        If the file is no such pickle, would run code, lacks an array, has arrays that do not fit together or no such
        task.
    """
    out, report, task = Path(out), CurationReport(source, rows=0, time_steps=0), make["task"]
    try:
        with open(source, "rb") as file:
            content = read_pickle(file, source)
    except FileNotFoundError:
        raise InputError(source, "", "no such file", "put it there by hand (docs/downloads.md)") from None
    static, series, groups = (
        array_of(content, key, ndim, source) for key, ndim in (("adm_features_all", 2), ("ep_tdata", 3), ("y_icd9", 2))
    )
    stays, steps, measured = series.shape
    if not len(static) == len(groups) == stays:
        problem = f"has {stays} stays, but adm_features_all has {len(static)} and y_icd9 {len(groups)}"
        raise InputError(source, "ep_tdata", problem, "check the file")
    if task >= groups.shape[1]:
        mend = f"name one of 0 to {groups.shape[1] - 1} in make.task"
        raise InputError(source, "y_icd9", f"has no column {task}", mend)
    reason = f"static features {static.shape[1]}, measurements {measured} in {steps} hours"
    report.record("read", reason, rows=stays, time_steps=stays * steps)
    difference = stays - PUBLISHED
    report.record("compare with what is known", f"expected {PUBLISHED:,} stays: {difference:+,}" if difference else
                  f"expected {PUBLISHED:,} stays: the same")  # fmt: skip
    (static, without), (series, missing) = as_finite(static), as_finite(series)
    reason = f"set to 0: {without} of the static features, {missing} of the measurements"
    report.record("replace numbers that are not finite", reason)
    label = (groups[:, task] > 0).astype(int)
    report.record(f"label y_icd9_{task}", f"1 where column {task} of y_icd9 is above 0: {label.sum()} of {stays} stays")
    split = split_stays(stays)
    counts = ", ".join(f"{name} {int((split == name).sum()):,}" for name in ("train", "validation", "test"))
    report.record("split", f"shuffled with seed {SHUFFLE_SEED}: {counts}")
    info = {
        "name": name, "title": "MIMIC-III, static features and hourly measurements (MultiBench)", "stand_in": False,
        "source": "MIMIC-III as prepared by MultiBench (Liang et al. 2021)",
        "licence": "PhysioNet credentialed health data use agreement; must not be passed on",
    }  # fmt: skip
    ids = [f"stay{row:05d}" for row in range(stays)]
    write_view(out / "view1.parquet", ids, static, [f"static_{k}" for k in range(static.shape[1])], info)
    features = [f"measurement_{k}" for k in range(measured)]
    write_sequences(out / "view2.parquet", [(ids, series, np.full(stays, steps))], steps, features, info)
    pairs = pairs_table(ids, ids, ids, ids, {f"icd9_{task}": label}, {"split": split.tolist()})
    write_table(out / "pairs.parquet", pairs, info)
    report.write(out)


def split_stays(n: int) -> np.ndarray:
    """Return ``train``, ``validation`` or ``test`` for each of ``n`` rows of the file.

    Source: MultiBench's loader, which shuffles the rows by ``random.seed(10)`` and cuts at a tenth and at two.
    """
    order = list(range(n))
    random.Random(SHUFFLE_SEED).shuffle(order)
    split = np.full(n, "train", dtype="<U10")
    split[order[: n // 10]], split[order[n // 10 : n // 5]] = "validation", "test"
    return split
