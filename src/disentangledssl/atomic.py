"""Files that appear whole or not at all (standard library only: the ledger is written by the Snakefile's process)."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from disentangledssl.timings import phase


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside ``path``; rename it to ``path`` when the block ends well.

    A kill at any moment leaves either the old file, the new file or a ``.part`` file,
    never half a file under the final name.

    Raises
    ------
    OSError
        In place of what the block raised, and naming ``path``: if the disk is full, or an OSError named no file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with phase("writing"):
            yield part
            with open(part, "rb") as written:  # else a power cut could leave an empty file under the final name
                os.fsync(written.fileno())
            os.replace(part, path)
    except Exception as error:
        # Libraries tell of a full disk in words of their own, or without the file's name.
        full = shutil.disk_usage(path.parent).free < 2**20
        if full or (isinstance(error, OSError) and error.filename is None):
            number = errno.ENOSPC if full else error.errno
            raise OSError(number, os.strerror(number) if number else str(error), str(path)) from error
        raise
    finally:
        part.unlink(missing_ok=True)
