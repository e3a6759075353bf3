"""Writing and reading JSON and Parquet so that a final name always holds a whole file, and damage is told."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from disentangledssl.atomic import atomic
from disentangledssl.errors import InputError
from disentangledssl.timings import phase

METADATA_KEY = b"disentangledssl"


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write ``content`` as indented JSON, atomically."""
    with atomic(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read JSON.

    Raises
    ------
    InputError
        If the file is missing, cannot be read or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "make it first") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(path, "", f"not valid JSON ({error})", "delete it and run again") from None
    except OSError as error:
        raise unreadable(path, error) from None


def digest(path: str | os.PathLike[str], algorithm: str = "sha256") -> str:
    """Return the digest of a file as ``<algorithm>:<hexadecimal>``.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: str | os.PathLike[str], error: OSError) -> InputError:
    """Say that the machine does not let us read a file."""
    problem = f"cannot be read ({error.strerror or error})"
    return InputError(path, "", problem, "mend its permissions or its disk, or copy it anew")


def write_table(path: str | os.PathLike[str], table: pa.Table, info: Mapping[str, Any] | None = None) -> None:
    """Write a Parquet file atomically, with ``info`` as JSON in its metadata.

    The bytes depend on the table and ``info`` alone: no time, no machine.
    """
    with atomic(path) as part:
        pq.write_table(with_info(table, info), part, compression="zstd", write_page_checksum=True)


def with_info(table: pa.Table, info: Mapping[str, Any] | None) -> pa.Table:
    """Return the table with ``info`` as JSON in its metadata."""
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(info or {}, sort_keys=True).encode()})


def read_table(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file, or only some columns of it.

    Raises
    ------
    InputError
        If the file is missing, cut short or not Parquet, or a text in it is not UTF-8.
    """
    with open_table(path) as file:
        table = file.read(columns)
        # What a text is made of, reading does not look at.
        table.validate(full=True)
        return table


@contextmanager
def open_table(path: str | os.PathLike[str]) -> Iterator[pq.ParquetFile]:
    """Give a Parquet file to read from piece by piece.

    Raises
    ------
    InputError
        If the file is missing, cut short or not Parquet, now or while the block reads it.
    """
    try:
        # Not read_table, which trips over a column name that appears twice before it can be told.
        with phase("loading"), pq.ParquetFile(path, page_checksum_verification=True) as file:
            _check_info(path, file.schema_arrow.metadata)
            yield file
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "make it first, or correct the path") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError(
            path, "", f"cannot be read as Parquet ({reason})", "delete it and run again, or copy it anew"
        ) from None


def _check_info(path: str | os.PathLike[str], metadata: Mapping[bytes, bytes] | None) -> None:
    try:
        mapping = isinstance(json.loads((metadata or {}).get(METADATA_KEY, b"{}")), dict)
    except ValueError:
        mapping = False
    if not mapping:
        problem = f"hold no mapping in JSON under {METADATA_KEY.decode()}"
        raise InputError(path, "metadata", problem, "write one there, or nothing")


def table_info(table: pa.Table) -> dict[str, Any]:
    """Return what :func:`write_table` was given as ``info`` (empty if the file is not ours)."""
    return json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))
