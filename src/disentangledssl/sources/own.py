"""A folder of the user's own, checked by the paired-dataset contract and taken over.

All of it is checked before anything is trained, in the user's own files, so that every sentence names one of them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from disentangledssl.atomic import atomic
from disentangledssl.dataset import check_fold, look_up, read_pairs, read_splits, read_view
from disentangledssl.errors import InputError
from disentangledssl.files import table_info, write_table
from disentangledssl.structures import read_molecules, read_smiles

UNLABELLED = -1


def check_own(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    name: str,
    title: str | None,
    screen: bool,
    kind: str,
    folds: int,
) -> None:
    """Check a folder and write its pairs, whose metadata then say what the data set is called.

    Parameters
    ----------
    folder : path
        With ``view1.parquet``, ``pairs.parquet``, ``view2.parquet`` (which a screen may leave to Mol2vec), of a screen
        ``molecules.parquet``, and, if ``kind`` is ``given``, ``splits.parquet`` or ``meta_split`` of the pairs.
    out : path
        ``pairs.parquet`` to be written.
    name : str
        Name of the data set.
    title : str, optional
        What tables call it; else the title in the metadata of the file, else the name.
    screen : bool
        Whether view 2 is molecules that are to be found; else the pairs need labels, which probes are to find.
    kind : str
        Of split, see ``splits``.
    folds : int
        How many a given split should have.

    Raises
    ------
    InputError
        On the first breach of the contract, or of what screens or probes ask for besides.
    """
    folder = Path(folder)
    path = folder / "pairs.parquet"
    pairs = read_pairs(path)
    known = _molecule_rows(folder) if screen else _view_rows(folder)
    for column, (file, ids) in zip(("view1", "view2"), known, strict=True):
        look_up(path, column, _text(pairs, column), ids, file)
    if not screen:
        _check_labels(path, pairs)
    if kind == "given":
        _check_given(folder, pairs, name, screen, folds)
    info = {"title": name, "stand_in": False} | table_info(pairs) | {"name": name}
    for key, kind, meant in (("title", str, "text"), ("stand_in", bool, "true or false")):
        if not isinstance(info[key], kind):
            raise InputError(path, "metadata", f"{key} is {info[key]!r}, not {meant}", "correct it, or leave it out")
    write_table(out, pairs, info | ({"title": title} if title else {}))


def copy_file(source: str | os.PathLike[str], out: str | os.PathLike[str]) -> None:
    """Copy a file, atomically."""
    with atomic(out) as part:
        shutil.copyfile(source, part)


def _text(pairs: pa.Table, column: str) -> np.ndarray:
    return pairs[column].to_numpy().astype(str)


def _view_rows(folder: Path) -> list[tuple[Path, np.ndarray]]:
    """Check both views; return their files and the ids of their rows."""
    paths = [folder / "view1.parquet", folder / "view2.parquet"]
    return [(path, read_view(path)[2]) for path in paths]


def _molecule_rows(folder: Path) -> list[tuple[Path, np.ndarray]]:
    """Check the files of a screen; of one without ``view2.parquet`` the molecules are the rows of view 2."""
    molecules, found = folder / "molecules.parquet", []
    for path in (folder / "view1.parquet", folder / "view2.parquet"):
        if path.name == "view2.parquet" and not path.exists():
            read_smiles(molecules)
            found.append((molecules, np.array(list(read_molecules(molecules)))))
            continue
        values, _, ids = read_view(path)
        if values.ndim > 2:
            problem = "holds sequences, which a screen does not know"
            raise InputError(path, "column sequence", problem, "write one column a feature")
        found.append((path, ids))
    if found[1][0] != molecules:
        read_smiles(molecules, found[1][1].tolist())
    return found


def _check_labels(path: Path, pairs: pa.Table) -> None:
    labels = [column for column in pairs.column_names if column.startswith("y_")]
    if not labels:
        mend = "add a column y_<name> of whole numbers (-1: not labelled)"
        raise InputError(path, "", "has no label for the linear probes", mend)
    for label in labels:
        values = pairs[label].to_numpy()
        if len(np.unique(values[values != UNLABELLED])) < 2:
            raise InputError(path, f"column {label}", "has fewer than two classes", "label more pairs or drop it")


def _check_given(folder: Path, pairs: pa.Table, name: str, screen: bool, folds: int) -> None:
    """Check the split that a folder gives."""
    path, pairs_path = folder / "splits.parquet", folder / "pairs.parquet"
    groups = _text(pairs, "group")
    if path.exists():
        found = {f"fold_{k}": one for k, one in enumerate(read_splits(path, pairs_path, _text(pairs, "id"), groups))}
    elif "meta_split" in pairs.column_names:
        path, found = pairs_path, {"meta_split": _text(pairs, "meta_split")}
        check_fold(path, "meta_split", found["meta_split"], groups)
    else:
        problem = "no such file, and pairs.parquet has no column meta_split, but split.kind is given"
        mend = f"add one of them, or set data.{name}.split.kind to group_holdout"
        raise InputError(path, "", problem, mend)
    if len(found) != folds:
        problem = f"holds {len(found)} fold{'s' * (len(found) > 1)}, but split.folds is {folds}"
        raise InputError(path, "", problem, f"set data.{name}.split.folds to {len(found)}")
    for column, fold in found.items():
        if screen and not (fold == "validation").any():
            problem = "has no validation pairs, on which a screen's beta and linear rows are chosen"
            raise InputError(path, f"column {column}", problem, "put some groups into validation")
