"""Tables of features of wells or sites, in any of the forms that they come in, averaged by well as they are read.

A table of every site of a screen is larger than what is kept of it, so it goes by in blocks and is never whole in
memory.
"""

from __future__ import annotations

import csv
import io
import logging
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from disentangledssl.errors import InputError, first_few
from disentangledssl.timings import phase

BLOCK_BYTES = 2**24  # of a table as text
BLOCK_ROWS = 2**12  # of a Parquet file
ANEW = "delete it and run again, or copy it anew"
DAMAGED = (pa.ArrowException, zipfile.BadZipFile, zlib.error, EOFError, OSError, UnicodeDecodeError)

log = logging.getLogger(__name__)


@contextmanager
def damage_told(path: Path, kind: str) -> Iterator[None]:
    """Tell in one sentence that a file is missing, cut short, damaged or of another kind.

    Raises
    ------
    InputError
        In place of what the libraries raise.
    """
    try:
        with phase("loading"):
            yield
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "make it first, or correct the path") from None
    except DAMAGED as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise InputError(path, "", f"cannot be read as {kind} ({reason})", ANEW) from None


@contextmanager
def open_text(path: Path, member: str = ".csv") -> Iterator[BinaryIO]:
    """Open a table that may be packed: by gzip, or as the one file of a zip whose name ends so.

    Raises
    ------
    InputError
        If the zip has no such file, or several.
    """
    if path.suffix != ".zip":
        with pa.input_stream(str(path), compression="detect") as stream:
            yield stream
        return
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(member) and not name.startswith("__MACOSX")]
        if len(names) != 1:
            problem = f"has {len(names) or 'no'} files *{member} (found: {first_few(archive.namelist()) or 'nothing'})"
            raise InputError(path, "", problem, "use the archive as it is published")
        with archive.open(names[0]) as stream:
            yield stream


def column_names(path: Path, member: str = ".csv") -> list[str]:
    """Read the names of a table's columns.

    Raises
    ------
    InputError
        If one is there twice, or as :func:`open_text`; what else is damaged is told by :func:`damage_told`.
    """
    if path.suffix == ".parquet":
        names = pq.read_schema(path).names
    else:
        with open_text(path, member) as stream:
            line = io.BufferedReader(stream).readline() if isinstance(stream, pa.NativeFile) else stream.readline()
        names = next(csv.reader([line.decode("utf-8-sig")]), [])
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise InputError(path, f"column {twice[0]}", "is there twice", "name each column once")
    return names


def check_columns(path: Path, names: Sequence[str], wanted: Sequence[str], mend: str) -> None:
    """Refuse a table that lacks a column.

    Raises
    ------
    InputError
        If it lacks one of those ``wanted``, naming the first.
    """
    for column in wanted:
        if column not in names:
            raise InputError(path, f"column {column}", "is missing", f"{mend} (found: {first_few(names, 12)})")


def blocks(path: Path, key: Sequence[str], features: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read a table block by block: names of its rows, from the columns of the key, and features, ``(rows, features)``.

    What is missing is NaN.
    """
    for batch in _batches(path, [*key, *features], key):
        parts = [batch.column(k).cast(pa.string()).to_numpy(zero_copy_only=False) for k in range(len(key))]
        names = np.array(["_".join(map(str, row)) for row in zip(*parts, strict=True)], object)
        values = np.empty((batch.num_rows, len(features)))
        for k in range(len(features)):
            column = batch.column(len(key) + k)
            values[:, k] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        yield names, values


def _batches(path: Path, columns: Sequence[str], key: Sequence[str]) -> Iterator[pa.RecordBatch]:
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BLOCK_ROWS, columns=list(columns)):
                yield batch.select(list(columns))
        return
    kinds = {column: pa.string() if column in key else pa.float64() for column in columns}
    with open_text(path) as stream:
        yield from arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(block_size=BLOCK_BYTES),
            convert_options=arrow_csv.ConvertOptions(column_types=kinds, include_columns=list(columns)),
        )


def average_by_well(
    paths: Sequence[Path], key: Sequence[str], prefixes: Sequence[str] | None, wells: Mapping[str, int], count: int
) -> tuple[np.ndarray, list[str], str]:
    """Read features of wells, as the mean over the rows of each.

    Parameters
    ----------
    paths : sequence of path
        One table, or one a plate: ``.csv``, ``.csv.gz``, ``.zip`` with one CSV in it, ``.parquet``.
    key : sequence of text
        Columns that name a row; several are joined by ``_``.
    prefixes : sequence of text, optional
        What the names of features begin with; None: all columns but the key are features.
    wells : mapping of text to int
        Which well a row of this name is of; other rows are passed over.
    count : int
        Wells.

    Returns
    -------
    values : array, ``(wells, features)``, float64
        NaN all through where the table has no row. A row of which more than half is missing is a site without cells,
        and left out.
    features : list of text
    passed : text
        What was passed over.

    Raises
    ------
    InputError
        If a table is missing or damaged, lacks a column, names a row twice, or none of the wells.
    """
    features: list[str] = []
    total, found, seen = np.empty(0), np.zeros(count, np.int64), set()
    others, empty, example = 0, 0, None
    for path in paths:
        with damage_told(path, "a table"):
            names = column_names(path)
            check_columns(
                path, names, key, "name the columns that say which well a row is, or use the file as published"
            )
            here = [
                name for name in names if name not in key and (prefixes is None or name.startswith(tuple(prefixes)))
            ]
            if not here:
                begin = f" that begins with {first_few(prefixes)}" if prefixes else ""
                raise InputError(path, "", f"has no column{begin}", f"correct it (found: {first_few(names, 12)})")
            if not features:
                features, total = here, np.zeros((count, len(here)))
            check_columns(path, here, features, "measure all plates alike")
            for rows, values in blocks(path, key, features):
                example = example or rows[0]
                where = np.array([wells.get(row, -1) for row in rows], np.int64)
                others += (where < 0).sum()
                for row in rows[where >= 0]:
                    if row in seen:
                        raise InputError(path, f"key {' '.join(key)}", f'"{row}" appears twice', "keep one of them")
                    seen.add(row)
                full = np.isfinite(values).sum(axis=1) * 2 >= len(features)
                empty += (~full & (where >= 0)).sum()
                used = full & (where >= 0)
                np.add.at(total, where[used], values[used])
                np.add.at(found, where[used], 1)
    if not found.any():
        problem = f'names no well of the metadata (its first row is "{example}", a well is "{next(iter(wells))}")'
        raise InputError(paths[0], f"key {' '.join(key)}", problem, "correct the key, or the ids in the file")
    with np.errstate(invalid="ignore"):
        total /= found[:, None]
    return total, features, f"{others} rows are of other wells, {empty} hold no cells"
