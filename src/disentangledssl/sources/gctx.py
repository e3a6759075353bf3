"""GCTX, the matrix format of LINCS: expression of wells, read in slices, since the whole does not fit into memory.

A GCTX file is HDF5: the matrix lies in it as ``(wells, genes)``, so a well is one stretch of bytes, beside the ids of
its rows and columns. Source: Enache et al., Bioinformatics 35, 1427 (2019).
"""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from disentangledssl.atomic import atomic
from disentangledssl.errors import InputError, first_few
from disentangledssl.timings import phase

MATRIX = "/0/DATA/0/matrix"
# The format's names are those of the printed matrix, genes by wells.
WELLS, GENES = "/0/META/COL/id", "/0/META/ROW/id"
BLOCK_BYTES = 2**23  # of whole rows that are in memory at once; more no cache would hold
READ_THROUGH = 2**19  # bytes between two wells up to which it is faster to read on than to ask again
SIGNATURE = b"\x89HDF\r\n\x1a\n"
COPIED = 2**22  # bytes at a time
AFRESH = "delete it and run again, which makes it anew"

log = logging.getLogger(__name__)


def unpack(source: str | os.PathLike[str], out: str | os.PathLike[str]) -> None:
    """Unpack a gzipped file beside others, piece by piece.

    Raises
    ------
    InputError
        If it is cut short or damaged, or if the disk is too small, which HDF5 lets one know at its very beginning.
        Nothing is left under the final name.
    """
    source, out = Path(source), Path(out)
    with atomic(out) as part:
        try:
            with gzip.open(source) as packed, part.open("wb") as unpacked:
                first = packed.read(64)
                needed, free = hdf5_bytes(first), shutil.disk_usage(out.parent).free
                if needed > free:
                    problem = f"{needed / 1e6:.0f} MB are to be unpacked and {free / 1e6:.0f} MB are free"
                    raise InputError(out, "", problem, "free some space, or move the folder to a larger disk")
                unpacked.write(first)
                shutil.copyfileobj(packed, unpacked, COPIED)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            mend = "delete it and run again, which fetches it anew"
            raise InputError(source, "", f"is cut short or damaged ({error})", mend) from None


def hdf5_bytes(first: bytes) -> int:
    """Return the size that an HDF5 file says it has, from its first bytes; 0 if they do not say.

    Source: HDF5 file format specification 3.0, section II.A, superblocks of the versions 0 to 3.
    """
    if not first.startswith(SIGNATURE):
        return 0
    end_of_file = {0: 40, 1: 44, 2: 28, 3: 28}.get(first[8])
    return 0 if end_of_file is None else int.from_bytes(first[end_of_file : end_of_file + 8], "little")


def read_wells(path: str | os.PathLike[str], wells: Sequence[str], genes: Sequence[str]) -> np.ndarray:
    """Read the expression of some genes in some wells, whatever their order in the file.

    Parameters
    ----------
    path : path
    wells, genes : sequence of text
        Each once.

    Returns
    -------
    array, ``(wells, genes)``, float32, in the order asked for; besides it, no more than ``BLOCK_BYTES`` of the matrix
    are in memory

    Raises
    ------
    InputError
        If the file is no whole GCTX file, names a row or column twice or not at all, or holds NaN or infinity where it
        is read.
    """
    with phase("loading"):
        try:
            file = h5py.File(path, "r")
        except FileNotFoundError:
            raise InputError(path, "", "no such file", "make it first, or correct the path") from None
        except OSError as error:
            raise InputError(path, "", f"cannot be read as HDF5 ({_reason(error)})", AFRESH) from None
        with file:
            for name in (MATRIX, WELLS, GENES):
                if not isinstance(file.get(name), h5py.Dataset):
                    raise InputError(path, name, "is missing", "use a GCTX file")
            matrix = file[MATRIX]
            if matrix.ndim != 2 or matrix.dtype.kind != "f":
                problem = f"holds {matrix.dtype} of shape {matrix.shape}, not numbers by well and gene"
                raise InputError(path, MATRIX, problem, "use a GCTX file")
            rows = _positions(path, file, WELLS, wells, matrix.shape[0])
            columns = _positions(path, file, GENES, genes, matrix.shape[1])
            return _read(path, matrix, rows, columns, wells, genes)


def stretches(rows: np.ndarray, row_bytes: int, chunk: int, end: int) -> Iterator[tuple[slice, int, int]]:
    """Cut sorted rows into stretches of the file that are read at once.

    Parameters
    ----------
    rows : array, ``(rows,)``
        Positions in the file, increasing.
    row_bytes : int
        Bytes of a row.
    chunk : int
        Rows that the file stores as one piece: it is read as a whole, unless it is larger than a block.
    end : int
        Rows of the file.

    Yields
    ------
    which of ``rows`` lie in a stretch, and its first row and the one after its last
    """
    unit = min(chunk, max(1, BLOCK_BYTES // row_bytes))
    most = max(1, BLOCK_BYTES // (row_bytes * unit)) * unit
    first = 0
    for k in range(1, len(rows) + 1):
        start, stop = rows[first] // unit * unit, min((rows[k - 1] // unit + 1) * unit, end)
        if k < len(rows):
            gap = (rows[k] // unit * unit - stop) * row_bytes
            if gap <= READ_THROUGH and (rows[k] // unit + 1) * unit - start <= most:
                continue
        yield slice(first, k), int(start), int(stop)
        first = k


def _read(
    path, matrix: h5py.Dataset, rows: np.ndarray, columns: np.ndarray, wells: Sequence[str], genes: Sequence[str]
) -> np.ndarray:
    """Read in the order of the file, which spares a disk the way back, and sort into the order asked for."""
    values = np.empty((len(rows), len(columns)), np.float32)
    order, sorted_columns = np.argsort(rows), np.sort(columns)
    asked = np.searchsorted(sorted_columns, columns)
    row_bytes = matrix.shape[1] * matrix.dtype.itemsize
    cut = list(stretches(rows[order], row_bytes, matrix.chunks[0] if matrix.chunks else 1, matrix.shape[0]))
    buffer = np.empty((max((stop - start for _, start, stop in cut), default=0), matrix.shape[1]), matrix.dtype)
    for which, start, stop in cut:
        chosen = order[which]
        try:
            matrix.read_direct(buffer, np.s_[start:stop], np.s_[: stop - start])
        except OSError as error:
            raise InputError(
                path, MATRIX, f"rows {start} to {stop - 1} cannot be read ({_reason(error)})", AFRESH
            ) from None
        # Columns first and from left to right: from here and there they cost more than reading them from the disk.
        read = buffer[: stop - start].take(sorted_columns, axis=1)[np.ix_(rows[chosen] - start, asked)]
        _check_finite(path, read, chosen, wells, genes)
        values[chosen] = read
    log.info("%s: %d wells, %d genes, read in %d stretches", path, *values.shape, len(cut))
    return values


def _positions(path, file: h5py.File, name: str, wanted: Sequence[str], expected: int) -> np.ndarray:
    """Where the wanted ids stand in the file."""
    what, dataset = "well" if name == WELLS else "gene", file[name]
    if h5py.check_string_dtype(dataset.dtype) is None:
        raise InputError(path, name, f"holds {dataset.dtype}, not text", "use a GCTX file")
    try:
        ids = pc.utf8_trim_whitespace(pa.array(dataset.asstr()[:], pa.string()))
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(path, name, f"cannot be read ({_reason(error)})", AFRESH) from None
    if len(ids) != expected:
        problem = f"names {len(ids)} {what}s, but the matrix has {expected}"
        raise InputError(path, name, problem, AFRESH)
    counts = pc.value_counts(ids)
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values").to_pylist()
    if twice:
        raise InputError(path, name, f"names a {what} twice: {first_few(twice)}", "use a file that names each once")
    found = pc.index_in(pa.array(wanted, pa.string()), value_set=ids)
    if found.null_count:
        missing = [text for text, known in zip(wanted, found.is_valid().to_pylist(), strict=True) if not known]
        problem = f"does not name {what}s that the tables list: {first_few(missing)}"
        raise InputError(path, name, problem, "use matrix and tables of one series")
    return found.to_numpy()


def _check_finite(path, values: np.ndarray, chosen: np.ndarray, wells: Sequence[str], genes: Sequence[str]) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        seen = "NaN" if np.isnan(values[row, column]) else "infinite"
        more = f" (and {(~finite).sum() - 1} more near it)" if (~finite).sum() > 1 else ""
        place = f"well {wells[chosen[row]]}, gene {genes[column]}"
        raise InputError(path, place, f"is {seen}{more}", "fetch the file anew, or leave the well out of the tables")


def _reason(error: Exception) -> str:
    """What HDF5 says, without its own preamble."""
    text = " ".join(str(error).split())
    return text.partition("(")[2].rstrip(")") or text
