"""Views of sequences: an extension of the paired-dataset contract for views whose rows are sequences of steps.

``view1.parquet`` or ``view2.parquet`` then has exactly three columns: ``id`` (text, unique), ``length`` (int32, 1 to
``steps``) and ``sequence`` (a list of ``steps * features`` float32 numbers, one step after the other, 0 from
``length`` on). Its metadata hold ``steps`` and the names of the ``features``.

Files are written and read by groups of rows, so that what is held beside the values themselves stays small: text of
CMU-MOSEI, 22,777 sequences of 50 steps of 300 numbers, is 1.4 GB.

Source: choice; docs/data.md shows an example.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from disentangledssl.atomic import atomic
from disentangledssl.errors import InputError, first_few
from disentangledssl.files import open_table, read_table, table_info, with_info

COLUMNS = ("id", "length", "sequence")
GROUP_BYTES = 2**26  # of the values that are written or read at once

Block = tuple[Sequence[str], np.ndarray, np.ndarray]


def holds_sequences(schema: pa.Schema) -> bool:
    """Whether a view is one of sequences: whether any of its columns holds lists."""
    return any(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        for kind in schema.types
    )


def rows_at_once(row_bytes: int) -> int:
    """How many rows of so many bytes are read or written together, at least one."""
    return max(1, GROUP_BYTES // max(1, row_bytes))


def write_sequences(
    path: str | os.PathLike[str],
    blocks: Iterable[Block],
    steps: int,
    features: Sequence[str],
    info: Mapping[str, Any] | None = None,
) -> None:
    """Write a view of sequences.

    Parameters
    ----------
    path : path
    blocks : iterable of (ids, values, lengths)
        ``(rows,)``, ``(rows, steps, features)`` and ``(rows,)``: the rows, in blocks that need never be in memory
        together. Values from ``length`` on are written as they are, so they should be 0.
    steps : int
    features : sequence of text
    info : mapping, optional
        Goes into the metadata beside ``steps`` and ``features``.
    """
    size = steps * len(features)
    kinds = (pa.string(), pa.int32(), pa.list_(pa.float32(), size))
    empty = pa.schema(list(zip(COLUMNS, kinds, strict=True))).empty_table()
    schema = with_info(empty, {**(info or {}), "steps": steps, "features": list(features)}).schema
    # Of numbers that hardly ever repeat, a dictionary is built in vain.
    settings = {"compression": "zstd", "write_page_checksum": True, "use_dictionary": ["id"]}
    with atomic(path) as part, pq.ParquetWriter(part, schema, **settings) as writer:
        for ids, values, lengths in blocks:
            flat = np.ascontiguousarray(values, np.float32).reshape(-1)
            columns = [
                pa.array(ids, pa.string()),
                pa.array(np.asarray(lengths, np.int32)),
                pa.FixedSizeListArray.from_arrays(pa.array(flat), size),
            ]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=rows_at_once(4 * size))


def read_sequences(path: str | os.PathLike[str]) -> tuple[np.ndarray, list[str]]:
    """Read and check a view of sequences, all but its ids.

    Returns
    -------
    values : array, ``(rows, steps, features)``, float32
    features : list of text

    Raises
    ------
    InputError
        On the first breach of the contract: a missing or extra column, a wrong type, metadata that do not fit, an empty
        row, a length that is none, NaN or infinity, a number other than 0 behind the end of a sequence.
    """
    with open_table(path) as file:
        steps, features = _check_layout(path, file)
        values = np.empty((file.metadata.num_rows, steps, len(features)), np.float32)
        start = 0
        for group in range(file.metadata.num_row_groups):
            table = file.read_row_group(group, columns=["length", "sequence"])
            lengths = _lengths(path, table, steps, start)
            stop = start + table.num_rows
            _fill(path, table["sequence"], values[start:stop], start)
            _check_values(path, values[start:stop], lengths, features, start)
            start = stop
    return values, features


def read_lengths(path: str | os.PathLike[str]) -> np.ndarray:
    """Read how many steps each sequence of a checked view has, ``(rows,)``, int32."""
    return read_table(path, ["length"])["length"].to_numpy()


def _check_layout(path: str | os.PathLike[str], file: pq.ParquetFile) -> tuple[int, list[str]]:
    """Check columns, their types and the metadata; return steps and features."""
    schema = file.schema_arrow
    for name in COLUMNS:
        if name not in schema.names:
            raise InputError(path, f"column {name}", "is missing", f"add it (found: {first_few(schema.names)})")
    for name in schema.names:
        if name not in COLUMNS:
            mend = f"a view of sequences has {', '.join(COLUMNS)} and nothing else; drop it"
            raise InputError(path, f"column {name}", "is not part of the contract", mend)
    for name in COLUMNS:
        if schema.names.count(name) > 1:
            raise InputError(path, f"column {name}", "appears twice", "rename or drop one of them")
    kind, length = schema.field("sequence").type, schema.field("length").type
    if not (pa.types.is_fixed_size_list(kind) and kind.value_type == pa.float32()):
        problem = f"is of type {kind}, but must be a list of float, of one size"
        raise InputError(path, "column sequence", problem, "cast it to fixed_size_list<float32>")
    if length != pa.int32():
        raise InputError(path, "column length", f"is of type {length}, but must be int32", "cast it to int32")
    info = table_info(schema.empty_table())
    steps, features = info.get("steps"), info.get("features")
    named = isinstance(features, list) and all(isinstance(name, str) for name in features)
    named = named and len(features) == len(set(features)) > 0
    if not (type(steps) is int and named and steps * len(features) == kind.list_size):
        problem = f"do not give steps and names of features that make the {kind.list_size} numbers of a sequence"
        raise InputError(path, "metadata", problem, "write it with write_sequences, which does")
    return steps, features


def _lengths(path: str | os.PathLike[str], table: pa.Table, steps: int, start: int) -> np.ndarray:
    column = table["length"]
    _check_filled(path, "length", column, start)
    lengths = column.to_numpy()
    wrong = np.flatnonzero((lengths < 1) | (lengths > steps))
    if wrong.size:
        place, seen = f"column length, row {start + wrong[0]}", lengths[wrong[0]]
        raise InputError(path, place, f"is {seen}, but a sequence has 1 to {steps} steps", "correct it or drop the row")
    return lengths


def _check_filled(path: str | os.PathLike[str], name: str, column: pa.ChunkedArray, start: int) -> None:
    if column.null_count:
        row = start + int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise InputError(path, f"column {name}, row {row}", "is empty", "fill it in or drop the row")


def _fill(path: str | os.PathLike[str], column: pa.ChunkedArray, values: np.ndarray, start: int) -> None:
    """Copy a column of sequences into ``(rows, steps, features)``."""
    _check_filled(path, "sequence", column, start)
    first = 0
    for chunk in column.chunks:
        numbers = chunk.flatten()
        if numbers.null_count:
            row = first + int(np.flatnonzero(numbers.is_null().to_numpy(zero_copy_only=False))[0]) // values[0].size
            raise InputError(path, f"column sequence, row {start + row}", "has an empty number", "fill it in")
        values[first : first + len(chunk)] = numbers.to_numpy().reshape(len(chunk), *values.shape[1:])
        first += len(chunk)


def _check_values(
    path: str | os.PathLike[str], values: np.ndarray, lengths: np.ndarray, features: Sequence[str], start: int
) -> None:
    # A sum in place of a mask of all: only a bad file pays for the search.
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(values.sum(dtype=np.float64))
    wrong = [] if finite else np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, step, feature = wrong[0]
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        seen = "NaN" if np.isnan(values[row, step, feature]) else "infinite"
        place = f"column sequence, row {start + row}, step {step}, feature {features[feature]}"
        raise InputError(path, place, f"is {seen}{more}", "impute it or drop the row")
    behind = np.arange(values.shape[1]) >= lengths[:, None]
    filled = np.flatnonzero(values[behind].any(axis=1))
    if filled.size:
        row, step = np.argwhere(behind)[filled[0]]
        place = f"column sequence, row {start + row}, step {step}"
        problem = f"is not 0, but lies behind the end of the sequence, whose length is {lengths[row]}"
        raise InputError(path, place, problem, "put padding at the end and set it to 0")
