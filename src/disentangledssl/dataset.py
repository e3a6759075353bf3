"""The paired-dataset contract: one on-disk form for every pair of views.

A data set is a folder of four Parquet files, and a fifth of what is known besides: molecules or true latents.

``view1.parquet``, ``view2.parquet``
    ``id`` (text, unique), then one float32 column a feature; or, of sequences, ``id``, ``length`` and ``sequence``
    (see ``sequences``).
``pairs.parquet``
    ``id`` (text, unique), ``view1`` and ``view2`` (ids of rows of the two views), ``group``
    (text: what must never be divided between training and test, for example the molecule),
    then any ``y_<name>`` (whole numbers: labels for probes, -1 = not labelled) and any
    ``meta_<name>`` (text or numbers: descriptions such as dose or cell line).
``splits.parquet``
    ``id`` (as in ``pairs.parquet``, same order), then ``fold_0``, ``fold_1``, ...: text,
    one of ``train``, ``validation``, ``test``, ``unused`` (none of them in this fold).
``molecules.parquet`` (drug screens, optional; read by ``structures``)
    ``id`` (as in ``view2.parquet``), ``smiles``.
``latents.parquet`` (simulations)
    ``id`` (as in ``pairs.parquet``, same order), then float32 columns ``zc_0`` ..., ``zs1_0``
    ..., ``zs2_0`` ...

Many pairs may name the same row of a view, so that a molecule's features are stored once.
Source: choice; docs/data.md shows an example.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from disentangledssl.errors import InputError, first_few
from disentangledssl.files import open_table, read_table, table_info, write_table
from disentangledssl.sequences import holds_sequences, read_lengths, read_sequences

SPLITS = ("train", "validation", "test", "unused")
LATENTS = ("zc", "zs1", "zs2")
LONGEST_TEXT = 1000  # characters of an id or a description
PAIR_COLUMNS = ("id", "view1", "view2", "group")


@dataclass(frozen=True)
class PairedDataset:
    """A checked data set in memory.

    Attributes
    ----------
    views : pair of arrays
        ``(rows of the view, features)``, or ``(rows, steps, features)`` of sequences, float32.
    rows : pair of arrays
        For each pair the row of each view, ``(pairs,)``.
    features : pair of lists
        Names of the features.
    ids, groups : arrays of text, ``(pairs,)``
    view_ids : pair of arrays of text
        Ids of the rows of each view.
    labels, meta : mapping of name to array, ``(pairs,)``
    folds : tuple of arrays of text, ``(pairs,)``
        One array a fold, with entries from ``SPLITS``.
    latents : mapping of name to array, or None
        True latents where they are known, ``(pairs, dimensions)``.
    info : mapping
        ``name``, ``title``, ``stand_in`` and where the data come from.
    lengths : pair of arrays or None
        How many steps each sequence of a view has, ``(rows of the view,)``, int32; what is behind is 0. None of a view
        without sequences.
    """

    views: tuple[np.ndarray, np.ndarray]
    rows: tuple[np.ndarray, np.ndarray]
    features: tuple[list[str], list[str]]
    ids: np.ndarray
    groups: np.ndarray
    view_ids: tuple[np.ndarray, np.ndarray]
    labels: Mapping[str, np.ndarray]
    meta: Mapping[str, np.ndarray]
    folds: tuple[np.ndarray, ...]
    latents: Mapping[str, np.ndarray] | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    lengths: tuple[np.ndarray | None, np.ndarray | None] = (None, None)

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shape of a row of each view: ``(features,)``, or of sequences ``(steps, features)``."""
        first, second = (view.shape[1:] for view in self.views)
        return first, second

    def pairs_in(self, fold: int, split: str) -> np.ndarray:
        """Return the positions of the pairs of one split of one fold."""
        return np.flatnonzero(self.folds[fold] == split)


def view_table(ids: Sequence[str], values: np.ndarray, features: Sequence[str]) -> pa.Table:
    """Lay out a view (or the latents) as the contract wants it.

    Parameters
    ----------
    ids : sequence of text, ``(rows,)``
    values : array, ``(rows, features)``
        Of any numeric type; laid out as float32.
    features : sequence of text, ``(features,)``
    """
    columns = [pa.array(ids, pa.string())]
    columns += [pa.array(np.ascontiguousarray(column), pa.float32()) for column in np.asarray(values, np.float32).T]
    return pa.table(columns, names=["id", *features])


def pairs_table(
    ids: Sequence[str],
    view1: Sequence[str],
    view2: Sequence[str],
    group: Sequence[str],
    labels: Mapping[str, Sequence[int]] | None = None,
    meta: Mapping[str, Sequence[Any]] | None = None,
) -> pa.Table:
    """Lay out the pairs as the contract wants them."""
    columns: dict[str, pa.Array] = {
        name: pa.array(values, pa.string())
        for name, values in zip(PAIR_COLUMNS, (ids, view1, view2, group), strict=True)
    }
    columns |= {f"y_{name}": pa.array(values, pa.int64()) for name, values in (labels or {}).items()}
    columns |= {f"meta_{name}": pa.array(values) for name, values in (meta or {}).items()}
    return pa.table(columns)


def splits_table(ids: Sequence[str], folds: Sequence[Sequence[str]]) -> pa.Table:
    """Lay out the folds as the contract wants them."""
    columns = {"id": pa.array(ids, pa.string())}
    columns |= {f"fold_{k}": pa.array(fold, pa.string()) for k, fold in enumerate(folds)}
    return pa.table(columns)


def write_view(path: str | os.PathLike[str], ids, values, features, info=None) -> None:
    """Write one view; see the module for its form, and ``sequences.write_sequences`` for sequences.

    Parameters
    ----------
    path : path
    ids : sequence of text, ``(rows,)``
    values : array, ``(rows, features)``
        Of any numeric type; written as float32.
    features : sequence of text, ``(features,)``
    info : mapping, optional
        Goes into the metadata, as JSON.
    """
    write_table(path, view_table(ids, values, features), info)


def read_dataset(folder: str | os.PathLike[str]) -> PairedDataset:
    """Read and check a data set.

    Raises
    ------
    InputError
        On the first breach of the contract: a missing or extra column, a wrong type, NaN or
        infinity, a duplicate id, views that do not pair, an empty split, a group in two splits.
    """
    folder = Path(folder)
    view_paths = [folder / f"view{m}.parquet" for m in (1, 2)]
    views, features, view_ids = zip(*map(read_view, view_paths), strict=True)
    lengths = tuple(
        read_lengths(view_path) if view.ndim == 3 else None for view_path, view in zip(view_paths, views, strict=True)
    )
    path = folder / "pairs.parquet"
    pairs = read_pairs(path)
    ids = _text(pairs, "id")
    rows = tuple(
        look_up(path, f"view{m + 1}", _text(pairs, f"view{m + 1}"), view_ids[m], view_paths[m]) for m in (0, 1)
    )
    groups = _text(pairs, "group")
    folds = read_splits(folder / "splits.parquet", path, ids, groups)
    latents = None
    if (folder / "latents.parquet").exists():
        latents = _read_latents(folder / "latents.parquet", path, ids)
    columns = {name: pairs[name].to_numpy() for name in pairs.column_names}
    return PairedDataset(
        views=views,
        rows=rows,
        features=features,
        ids=ids,
        groups=groups,
        view_ids=view_ids,
        labels={name[2:]: values for name, values in columns.items() if name.startswith("y_")},
        meta={name[5:]: values for name, values in columns.items() if name.startswith("meta_")},
        folds=folds,
        latents=latents,
        info={"name": folder.name, "title": folder.name, "stand_in": False} | table_info(pairs),
        lengths=lengths,
    )


def read_view(path: str | os.PathLike[str]) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Read and check one view: its values, feature names and row ids.

    Values are ``(rows, features)``, or of sequences ``(rows, steps, features)``, float32.

    Raises
    ------
    InputError
        If the file is missing or damaged, an id is empty or there twice, there is no feature, a feature is not float32,
        or a value is empty, NaN or infinite; of sequences as ``sequences.read_sequences``.
    """
    with open_table(path) as file:
        sequences = holds_sequences(file.schema_arrow)
    if sequences:
        values, features = read_sequences(path)
        ids = read_table(path, ["id"])
        _check_ids(path, ids)
        return values, features, _text(ids, "id")
    table = read_table(path)
    _check_ids(path, table)
    features = [name for name in table.column_names if name != "id"]
    if not features:
        raise InputError(path, "", "holds no feature column", "add one float32 column a feature")
    for name in features:
        kind = table.schema.field(name).type
        if kind != pa.float32():
            raise InputError(
                path,
                f"column {name}",
                f"is of type {kind}, but every column except id is a feature of type float",
                "cast it to float32, encode it as numbers, or drop it",
            )
        if table[name].null_count:
            row = int(np.flatnonzero(table[name].is_null().to_numpy())[0])
            raise InputError(path, f"column {name}, row {row}", "is empty", "fill it in or drop the row")
    values = np.empty((table.num_rows, len(features)), np.float32)
    for position, name in enumerate(features):
        values[:, position] = table[name].to_numpy()
    _check_finite(path, values, features)
    return values, features, _text(table, "id")


def read_pairs(path: str | os.PathLike[str]) -> pa.Table:
    """Read and check ``pairs.parquet`` by itself (without the views it refers to).

    Raises
    ------
    InputError
        If the file is missing or damaged, a column is missing, extra or of a wrong type, a value is empty, or an id is
        there twice.
    """
    table = read_table(path)
    _check_ids(path, table)
    for name in PAIR_COLUMNS:
        check_text(path, table, name)
    for name in table.column_names:
        kind = table.schema.field(name).type
        if name in PAIR_COLUMNS:
            continue
        if name.startswith("y_"):
            if not pa.types.is_integer(kind):
                raise InputError(
                    path, f"column {name}", f"is of type {kind}, but labels are whole numbers", "encode the classes"
                )
        elif name.startswith("meta_"):
            _check_description(path, table, name)
        else:
            raise InputError(
                path,
                f"column {name}",
                "is not part of the contract",
                f"name it y_{name} if it is a label, meta_{name} if it describes the pair, or drop it",
            )
        if table[name].null_count:
            row = int(np.flatnonzero(table[name].is_null().to_numpy())[0])
            raise InputError(path, f"column {name}, row {row}", "is empty", "fill it in (labels: -1 = not labelled)")
    return table


def read_splits(path: Path, pairs_path: Path, ids: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, ...]:
    """Read and check ``splits.parquet`` of pairs with these ids and groups, ``(pairs,)``: one array of text a fold.

    Raises
    ------
    InputError
        If the file is missing or damaged, its rows are not the pairs in their order, it has no fold or a column that is
        none, or as :func:`check_fold`.
    """
    table = read_table(path)
    _check_aligned(path, table, pairs_path, ids)
    names = [name for name in table.column_names if name != "id"]
    expected = [f"fold_{k}" for k in range(len(names))]
    if not names:
        raise InputError(path, "column fold_0", "is missing", "add one column a fold with train, validation or test")
    for name in sorted(set(names) - set(expected)):
        raise InputError(path, f"column {name}", "is not part of the contract", f"name the folds {', '.join(expected)}")
    folds = []
    for name in expected:
        check_text(path, table, name)
        folds.append(_text(table, name))
        check_fold(path, name, folds[-1], groups)
    return tuple(folds)


def check_fold(path: Path, name: str, fold: np.ndarray, groups: np.ndarray) -> None:
    """Check a column ``name`` of splits, ``(pairs,)``, of pairs with these groups.

    Raises
    ------
    InputError
        If it holds another word than those of ``SPLITS``, training or test is empty, or a group is divided.
    """
    wrong = np.flatnonzero(~np.isin(fold, SPLITS))
    if wrong.size:
        raise InputError(
            path, f"column {name}, row {wrong[0]}", f'holds "{fold[wrong[0]]}"', f"use one of {', '.join(SPLITS)}"
        )
    for split in ("train", "test"):
        if not (fold == split).any():
            raise InputError(path, f"column {name}", f"the {split} split is empty", f"put some pairs into {split}")
    _check_groups(path, name, fold, groups)


def look_up(path: Path, column: str, wanted: np.ndarray, known: np.ndarray, known_path: Path) -> np.ndarray:
    """Return the row of each id of a column of ``path`` among the ``known`` ids of another file, ``(wanted,)``.

    Raises
    ------
    InputError
        If one is not among them.
    """
    position = pc.index_in(pa.array(wanted), value_set=pa.array(known))
    missing = position.is_null().to_numpy(zero_copy_only=False)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        more = f" (and {int(missing.sum()) - 1} more)" if missing.sum() > 1 else ""
        raise InputError(
            path,
            f"column {column}, row {row}",
            f'"{wanted[row]}" has no row in {known_path.name}{more}',
            "add that row or drop the pair",
        )
    return position.to_numpy()


def _check_groups(path: Path, name: str, fold: np.ndarray, groups: np.ndarray) -> None:
    used = np.flatnonzero(fold != "unused")
    order = used[np.argsort(groups[used], kind="stable")]
    change = (groups[order][1:] == groups[order][:-1]) & (fold[order][1:] != fold[order][:-1])
    if change.any():
        at = int(np.flatnonzero(change)[0])
        first, second = int(order[at]), int(order[at + 1])
        raise InputError(
            path,
            f"column {name}, rows {first} and {second}",
            f'group "{groups[first]}" is in {fold[first]} and in {fold[second]}',
            "put all pairs of a group into one split",
        )


def _read_latents(path: Path, pairs_path: Path, ids: np.ndarray) -> dict[str, np.ndarray]:
    values, features, latent_ids = read_view(path)
    if values.ndim > 2:
        raise InputError(path, "column sequence", "is not part of the contract", "latents have one column each")
    _check_same_ids(path, latent_ids, pairs_path, ids)
    latents = {}
    kinds = [feature.rpartition("_")[0] for feature in features]
    for feature, kind in zip(features, kinds, strict=True):
        if kind not in LATENTS:
            raise InputError(path, f"column {feature}", "is not part of the contract", f"use {', '.join(LATENTS)}")
    for name in LATENTS:
        chosen = [k for k, kind in enumerate(kinds) if kind == name]
        if not chosen:
            raise InputError(path, f"columns {name}_0 ...", "are missing", "add them or remove the file")
        latents[name] = values[:, chosen]
    return latents


def _text(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy().astype(str)


def check_once(path: str | os.PathLike[str], names: Sequence[str]) -> None:
    """Check that no name of a column appears twice.

    Raises
    ------
    InputError
        If one does.
    """
    for name in names:
        if names.count(name) > 1:
            raise InputError(path, f"column {name}", "appears twice", "rename or drop one of them")


def check_text(path: str | os.PathLike[str], table: pa.Table, name: str, longest: int = LONGEST_TEXT) -> None:
    """Check that a column is there and holds text in every row, of at most so many characters, none of them NUL.

    Raises
    ------
    InputError
        If it does not.
    """
    if name not in table.column_names:
        raise InputError(path, f"column {name}", "is missing", f"add it (found: {first_few(table.column_names)})")
    kind = table.schema.field(name).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise InputError(path, f"column {name}", f"is of type {kind}, but must be text", "cast it to string")
    if table.num_rows == 0:
        raise InputError(path, "", "holds no rows", "check the step that made it")
    if table[name].null_count:
        row = int(np.flatnonzero(table[name].is_null().to_numpy())[0])
        raise InputError(path, f"column {name}, row {row}", "is empty", "fill it in or drop the row")

    _check_letters(path, table, name, longest)


def _check_letters(path, table: pa.Table, name: str, longest: int = LONGEST_TEXT) -> None:
    """Check that texts can be told apart in NumPy's arrays, which have one width for all and end at a NUL."""
    lengths = pc.utf8_length(table[name]).to_numpy()
    if lengths.max(initial=0) > longest:
        row = int(np.flatnonzero(lengths > longest)[0])
        problem = f"holds a text of {lengths[row]} characters, more than {longest}"
        raise InputError(path, f"column {name}, row {row}", problem, "shorten it")
    ends = pc.match_substring(table[name], "\0").to_numpy()
    if ends.any():
        row = int(np.flatnonzero(ends)[0])
        raise InputError(path, f"column {name}, row {row}", "holds a NUL character", "take it out")


def _check_description(path, table: pa.Table, name: str) -> None:
    kind = table.schema.field(name).type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        _check_letters(path, table, name)
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        problem = f"is of type {kind}, but a description is text or numbers"
        raise InputError(path, f"column {name}", problem, "cast it to string")


def _check_ids(path, table: pa.Table) -> None:
    check_once(path, table.column_names)
    check_text(path, table, "id")
    ids = _text(table, "id")
    order = np.argsort(ids, kind="stable")
    twice = np.flatnonzero(ids[order][1:] == ids[order][:-1])
    if twice.size:
        first, second = int(order[twice[0]]), int(order[twice[0] + 1])
        raise InputError(
            path, f"column id, rows {first} and {second}", f'"{ids[first]}" appears twice', "give each row its own id"
        )


def _check_finite(path, values: np.ndarray, features: Sequence[str]) -> None:
    # One sum instead of a mask of the whole matrix: only a bad file pays for the search.
    with np.errstate(invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)):
            return
    wrong = np.argwhere(~np.isfinite(values))
    if not len(wrong):
        return
    row, column = wrong[0]
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    seen = "NaN" if np.isnan(values[row, column]) else "infinite"
    raise InputError(
        path, f"column {features[column]}, row {row}", f"is {seen}{more}", "impute it, or drop the row or the column"
    )


def _check_aligned(path: Path, table: pa.Table, pairs_path: Path, ids: np.ndarray) -> None:
    _check_ids(path, table)
    _check_same_ids(path, _text(table, "id"), pairs_path, ids)


def _check_same_ids(path: Path, found: np.ndarray, pairs_path: Path, ids: np.ndarray) -> None:
    if len(found) != len(ids):
        raise InputError(
            path,
            "",
            f"has {len(found)} rows, but {pairs_path.name} has {len(ids)}",
            "make it anew so that each pair has one row",
        )
    wrong = np.flatnonzero(found != ids)
    if wrong.size:
        row = int(wrong[0])
        raise InputError(
            path,
            f"column id, row {row}",
            f'holds "{found[row]}" where {pairs_path.name} has "{ids[row]}"',
            "write the rows in the order of the pairs",
        )
