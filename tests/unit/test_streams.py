"""Generators: one a key, told apart by every part of it, and deaf to the global ones."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from disentangledssl.streams import Stream, generator

STREAM = Stream("simulation", 0, 1)


def numbers(*args, **kwargs):
    return torch.rand(8, generator=generator(*args, **kwargs))


def test_same_key_same_numbers():
    first, second = (numbers(stream, "augment", view=1, epoch=3) for stream in (STREAM, Stream(*STREAM)))
    assert torch.equal(first, second)


def test_every_part_of_the_key_counts():
    keys = [
        (STREAM, "augment", 1, 3),
        (STREAM._replace(dataset="mosei"), "augment", 1, 3),
        (STREAM._replace(fold=1), "augment", 1, 3),
        (STREAM._replace(seed=2), "augment", 1, 3),
        (STREAM._replace(fold=1, seed=0), "augment", 1, 3),  # swapped fold and seed
        (STREAM, "sample", 1, 3),
        (STREAM, "augment", 2, 3),
        (STREAM, "augment", 0, 3),
        (STREAM, "augment", 1, 4),
        (STREAM, "augment", 3, 1),  # swapped view and epoch
    ]
    drawn = [numbers(stream, purpose, view=view, epoch=epoch) for stream, purpose, view, epoch in keys]
    assert len({tuple(draw.tolist()) for draw in drawn}) == len(keys)


def test_neighbouring_keys_are_unrelated():
    drawn = np.stack([torch.randn(500, generator=generator(STREAM, "batches", epoch=k)).numpy() for k in range(40)])
    correlations = np.corrcoef(drawn)[np.triu_indices(40, 1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(500)


def test_key_is_the_documented_one():
    # Finished results rest on it: a change here changes every number.
    digest = hashlib.blake2b(b"simulation|0|1|2|sample|7", digest_size=8).digest()
    assert generator(STREAM, "sample", view=2, epoch=7).initial_seed() == int.from_bytes(digest, "big") >> 1


def test_global_generators_are_left_alone():
    torch.manual_seed(5)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    numbers(STREAM, "augment")
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_before, np.random.get_state()[1])
    torch.manual_seed(6)
    assert torch.equal(numbers(STREAM, "augment"), numbers(STREAM, "augment"))
