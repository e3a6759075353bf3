"""CLIP's loss against a literal computation, and as the limit of step 1."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import linear

from disentangledssl.batches import Batch
from disentangledssl.methods import Layout, load_method
from disentangledssl.settings import SharedSettings
from disentangledssl.streams import Stream

SIZES, BATCH, TEMPERATURE = (9, 6), 7, 0.1
STREAMS = [Stream("tiny", 0, 0), Stream("tiny", 1, 0)]


@pytest.fixture
def method(small):
    settings = SharedSettings(**small(hidden=8, dimensions=5, weight_std=0.4, temperature=TEMPERATURE))
    built = load_method("clip")(SIZES, settings, Layout({}, STREAMS, [0, 1, 0]))
    built.initialise()
    return built.double()


@pytest.fixture
def batch():
    draws = torch.Generator().manual_seed(0)
    return Batch(tuple(torch.randn(2, BATCH, s, generator=draws, dtype=torch.float64) for s in SIZES), None, None)


def encode(encoder, run, x):
    for layer, (inputs, outputs) in enumerate(encoder.layers):
        x = torch.relu(x) if layer else x
        x = linear(x, encoder.weights[layer][run, :inputs, :outputs].T, encoder.biases[layer][run, 0, :outputs])
    return x.detach().numpy()


def cosine(p, q):
    return sum(a * b for a, b in zip(p, q, strict=True)) / math.sqrt(sum(p**2) * sum(q**2))


@pytest.mark.parametrize("run", range(3))
def test_loss_is_the_literal_one(method, batch, run):
    stream = [0, 1, 0][run]
    zc1, zc2 = encode(method.zc1, run, batch.x[0][stream]), encode(method.zc2, run, batch.x[1][stream])
    scores = np.array([[cosine(p, q) / TEMPERATURE for q in zc2] for p in zc1])
    total = 0.0
    for i in range(BATCH):
        for others in (scores[i, :], scores[:, i]):
            total += math.log(sum(math.exp(score) for score in others)) - scores[i, i]
    losses, terms = method.losses(batch)
    assert losses["encoders"][run].item() == pytest.approx(total / 2 / BATCH, rel=1e-9)
    assert torch.equal(losses["encoders"], terms["info_nce"])


def test_it_needs_neither_noise_nor_beta_nor_a_second_version(method):
    assert (method.samples, method.second_version) == (False, False)
    assert method.trained == ("zc1", "zc2")
    assert not hasattr(method, "beta")


def test_runs_of_a_stream_are_the_same_run(method, batch):
    losses, _ = method.losses(batch)
    assert losses["encoders"][0] == losses["encoders"][2]
    assert losses["encoders"][0] != losses["encoders"][1]


def test_it_starts_from_the_weights_of_step1(method):
    step1 = load_method("step1")(SIZES, method.settings, method.layout)
    step1.initialise()
    for mine, theirs in zip(method.parameters(), step1.double().parameters(), strict=True):
        assert torch.equal(mine, theirs)
