"""Layers of sequence encoders: gradients written by hand against autograd's, normalisation, what dropout draws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from disentangledssl.sequence_layers import CLEAN, Dropout, StackedLinear, StackedNorm
from disentangledssl.streams import Stream

RUNS, ROWS = 3, 4


def streams(count):
    return [Stream("tiny", k % 2, k // 2) for k in range(count)]


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_and_its_gradients_are_the_literal_ones(bias):
    layer = StackedLinear(RUNS, 5, 7, bias=bias).double()
    layer.initialise([torch.Generator().manual_seed(run) for run in range(RUNS)])
    x, upstream = draw(RUNS, ROWS, 5).requires_grad_(), draw(RUNS, ROWS, 7, seed=1)
    parameters = [x, *layer.parameters()]
    found = layer(x, CLEAN, scale=1.25)
    slopes = torch.autograd.grad((found * upstream).sum(), parameters)
    expected = 1.25 * torch.einsum("rni,rio->rno", x, layer.weight[..., :7])
    if bias:
        expected = expected + layer.bias[..., :7]
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(slopes, torch.autograd.grad((expected * upstream).sum(), parameters), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_normalisation_is_torchs_run_by_run():
    layer = StackedNorm(RUNS, 6).double()
    layer.initialise()
    with torch.no_grad():
        layer.scale += draw(*layer.scale.shape, seed=1)
        layer.shift += draw(*layer.shift.shape, seed=2)
    x = draw(RUNS, ROWS, 6)
    found = layer(x)
    for run in range(RUNS):
        weights = layer.scale[run, 0, :6], layer.shift[run, 0, :6]
        torch.testing.assert_close(found[run], nn.functional.layer_norm(x[run], (6,), *weights))


def dropout(members, index, name="zc1", epoch=0, rate=0.1):
    return Dropout(members, index, name, epoch, rate, torch.device("cpu"))


def test_dropout_drops_its_share():
    one = dropout(streams(1), [0])
    kept = one.kept(torch.empty(1, 1000, 500))
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    n = kept.numel()
    assert kept.mean().item() == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / n) + 1e-5)
    assert one.scale * kept.mean().item() == pytest.approx(1, abs=4 * np.sqrt(0.09 / n) / 0.9)
    # Neighbours, which share a 64-bit number, know nothing of each other.
    flat = kept.flatten() - 0.9
    for lag in (1, 2, 3, 4):
        assert abs((flat[:-lag] * flat[lag:]).mean().item()) / 0.09 < 5 / np.sqrt(n)


def test_dropout_follows_stream_name_and_epoch_not_place_or_mates():
    first, second = streams(2)
    x = torch.empty(4, 30)
    here = dropout([first, second], [1, 0, 1, 1]).kept(x)
    assert torch.equal(here[0], here[2]) and torch.equal(here[0], here[3]) and not torch.equal(here[0], here[1])
    assert torch.equal(dropout([second], [0]).kept(x[:1])[0], here[0])
    assert torch.equal(dropout([first], [0]).kept(x[:1])[0], here[1])
    others = [
        dropout([stream], [0], name, epoch).kept(torch.empty(1, 300))
        for stream, name, epoch in ((first, "zc1", 0), (first, "zc2", 0), (first, "zc1", 1), (second, "zc1", 0))
    ]
    for one, other in itertools.combinations(others, 2):
        assert not torch.equal(one, other)
    again = dropout([first], [0])
    assert not torch.equal(again.kept(x[:1]), again.kept(x[:1]))
