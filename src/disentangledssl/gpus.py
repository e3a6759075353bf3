"""Which GPU a job takes where a machine has several: one that no other job holds (standard library only)."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO


def take_gpu(names: Sequence[str], folder: Path) -> tuple[int, TextIO]:
    """Take the first GPU that fewest jobs hold, for as long as the file that is returned stays open.

    Snakemake counts GPUs and does not number them, so the jobs that it runs at a time would all take the first one. A
    lock file is held by its process alone, so that one that is killed leaves its GPU free.

    Parameters
    ----------
    names : sequence of str
        The GPUs that this process sees, by names that are theirs on the whole machine.
    folder : path
        Where the lock files are, the same for all jobs of the machine; made if it is not there.

    Returns
    -------
    place : int
        Of the GPU in ``names``.
    held : file
        To be kept open.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not names:
        raise ValueError("no GPU to take")
    folder.mkdir(parents=True, exist_ok=True)
    # A second round, and a third, where more jobs are run than there are GPUs: they share them evenly.
    for turn in itertools.count():
        for place, name in enumerate(names):
            held = open(folder / f"{name}.{turn}.lock", "w")  # noqa: SIM115 (open until the process ends)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.close()
            else:
                return place, held
    raise AssertionError("not reached")


def only(place: int, visible: str | None) -> str:
    """Spell ``CUDA_VISIBLE_DEVICES`` for processes that are to see one GPU of those that this one sees.

    >>> only(1, None), only(1, "2,5"), only(0, "GPU-6f")
    ('1', '5', 'GPU-6f')
    """
    return visible.split(",")[place].strip() if visible else str(place)


def lock_folder(temporary: str) -> Path:
    """Name the folder of lock files of this user in the machine's folder for temporary files."""
    return Path(temporary) / f"disentangledssl-gpus-{os.getuid()}"
