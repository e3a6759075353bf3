"""Random streams: which generator serves whom.

A generator's key is (data set, fold, seed, view, purpose, epoch), never beta, lam or the place in a stack. So
the runs of one seed see the same batches, augmentation and sampling noise, a run alone equals the run in a
stack, and a resumed run equals an undisturbed one.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import torch


class Stream(NamedTuple):
    """What all runs of one data set, fold and seed share."""

    dataset: str
    fold: int
    seed: int


def generator(
    stream: Stream, purpose: str, *, view: int = 0, epoch: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a fresh generator for one key (``view`` 0 means both views).

    >>> stream = Stream("simulation", 0, 1)
    >>> a, b = generator(stream, "augment", view=1), generator(stream, "augment", view=1)
    >>> bool((torch.rand(3, generator=a) == torch.rand(3, generator=b)).all())
    True
    """
    key = f"{stream.dataset}|{stream.fold}|{stream.seed}|{view}|{purpose}|{epoch}"
    seed = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") >> 1
    return torch.Generator(device=device).manual_seed(seed)
