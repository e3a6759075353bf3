"""Step 1's loss against a literal computation for one run, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from disentangledssl.batches import Batch
from disentangledssl.methods import Layout, load_method, spread
from disentangledssl.settings import SharedSettings
from disentangledssl.streams import Stream
from disentangledssl.vmf import noise_around_first_axis

SIZES, BATCH, DIMENSIONS = (9, 6), 7, 5
BETAS = [0.0, 0.5, 300.0, 0.5]
STREAM_OF_RUN = [0, 0, 1, 1]


@pytest.fixture
def method(small):
    settings = SharedSettings(**small(hidden=8, dimensions=DIMENSIONS, weight_std=0.4))
    layout = Layout({"beta": BETAS}, [Stream("tiny", 0, 0), Stream("tiny", 0, 1)], STREAM_OF_RUN)
    built = load_method("step1")(SIZES, settings, layout)
    built.initialise()
    return built.double()


@pytest.fixture
def batch():
    draws = torch.Generator().manual_seed(0)
    x = tuple(torch.randn(2, BATCH, size, generator=draws, dtype=torch.float64) for size in SIZES)
    normal = (torch.randn(2, BATCH, DIMENSIONS, generator=draws, dtype=torch.float64) for _ in SIZES)
    return Batch(x, None, tuple(noise_around_first_axis(numbers, 1000.0) for numbers in normal))


def encode(encoder, run, x):
    """One row after the other through one run's layers."""
    rows = []
    for row in np.asarray(x):
        for layer, (inputs, outputs) in enumerate(encoder.layers):
            weight = encoder.weights[layer][run].detach().numpy()[:inputs, :outputs]
            bias = encoder.biases[layer][run, 0].detach().numpy()[:outputs]
            row = np.maximum(row, 0) if layer else row
            row = np.array([bias[o] + sum(row[i] * weight[i, o] for i in range(inputs)) for o in range(outputs)])
        rows.append(row)
    return np.array(rows)


def unit(rows):
    return np.array([row / math.sqrt(sum(number**2 for number in row)) for row in rows])


def info_nce(a, c, temperature):
    total = 0.0
    for first, second in ((a, c), (c, a)):
        for i, row in enumerate(first):
            terms = [math.exp(row @ other / temperature - 1 / temperature) for other in second]
            total -= math.log(terms[i] / sum(terms)) / 2 / len(first)
    return total


def reflect(mean, noise):
    u = np.eye(len(mean))[0] - mean
    return noise - 2 * u * (u @ noise) / (u @ u)


@pytest.mark.parametrize("run", range(len(BETAS)))
def test_loss_is_the_literal_one(method, batch, run):
    stream = STREAM_OF_RUN[run]
    means = [
        unit(encode(encoder, run, x[stream])) for encoder, x in zip((method.zc1, method.zc2), batch.x, strict=True)
    ]
    samples = [
        np.array([reflect(mean, row) for mean, row in zip(view, noise[stream].numpy(), strict=True)])
        for view, noise in zip(means, batch.noise, strict=True)
    ]
    relevance = info_nce(*samples, 0.07)
    redundancy = sum(p @ q for p, q in zip(*means, strict=True)) / BATCH
    losses, terms = method.losses(batch)
    assert terms["info_nce"][run].item() == pytest.approx(relevance, rel=1e-9)
    assert terms["mean_cosine"][run].item() == pytest.approx(redundancy, rel=1e-9)
    assert losses["encoders"][run].item() == pytest.approx(relevance - BETAS[run] * redundancy, rel=1e-9)


def test_terms_are_one_number_a_run(method, batch):
    losses, terms = method.losses(batch)
    assert list(losses) == ["encoders"]
    assert list(terms) == ["info_nce", "mean_cosine"]
    assert all(value.shape == (len(BETAS),) for value in (*losses.values(), *terms.values()))


def test_runs_of_a_stream_start_alike_and_differ_by_beta_alone(method, batch):
    losses, terms = method.losses(batch)
    # Runs 0 and 1 share seed, mini-batch and noise.
    assert terms["info_nce"][0] == terms["info_nce"][1]
    assert terms["info_nce"][0] != terms["info_nce"][2]
    torch.testing.assert_close(losses["encoders"][0] - losses["encoders"][1], 0.5 * terms["mean_cosine"][0])
    assert losses["encoders"][0] == terms["info_nce"][0]


def test_gradient_of_a_run_stays_in_its_slice(method, batch):
    losses, _ = method.losses(batch)
    losses["encoders"][2].backward()
    for parameter in method.parameters():
        assert (parameter.grad[[0, 1, 3]] == 0).all()
        assert (parameter.grad[2] != 0).any()


def test_every_parameter_is_trained(method):
    groups = method.parameter_groups()
    assert list(groups) == ["encoders"]
    assert {id(p) for p in groups["encoders"]} == {id(p) for p in method.parameters()}


def test_only_sampling_makes_it_differ_from_clip(method, batch, small):
    clip = load_method("clip")(SIZES, method.settings, method.layout).double()
    clip.load_state_dict(method.state_dict())
    first_axis = torch.zeros_like(batch.noise[0])
    first_axis[..., 0] = 1  # noise on the first axis is reflected onto the mean itself
    _, terms = method.losses(Batch(batch.x, None, (first_axis, first_axis)))
    torch.testing.assert_close(terms["info_nce"], clip.losses(batch)[0]["encoders"])


def test_representations_are_raw_outputs_of_one_run(method, batch):
    x = tuple(view[0] for view in batch.x)
    for run in range(len(BETAS)):
        codes = method.represent(run, x)
        assert list(codes) == ["zc1", "zc2"]
        for name, view in zip(codes, x, strict=True):
            expected = encode(getattr(method, name), run, view)
            np.testing.assert_allclose(codes[name].detach(), expected, rtol=1e-9)
            assert not np.allclose(np.linalg.norm(expected, axis=1), 1, atol=0.01)


def test_both_views_have_encoders_of_their_own(method):
    assert not torch.equal(method.zc1.biases[0], method.zc2.biases[0])
    assert [encoder.layers[0][0] for encoder in (method.zc1, method.zc2)] == list(SIZES)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layers_are_linear_layers(small, layers):
    settings = SharedSettings(**small(hidden=8, dimensions=4, layers=layers))
    layout = Layout({"beta": [0.0]}, [Stream("tiny", 0, 0)], [0])
    widths = [9, *[8] * (layers - 1), 4]
    expected = [(widths[k], widths[k + 1]) for k in range(layers)]
    assert load_method("step1")(SIZES, settings, layout).zc1.layers == expected


@pytest.mark.parametrize(
    ("streams", "index"), [(1, [0]), (1, [0, 0, 0]), (3, [0, 1, 2]), (3, [2, 0, 1]), (2, [0, 0, 1])]
)
def test_spread_gives_each_run_its_stream(streams, index):
    values = torch.arange(streams * 6.0).reshape(streams, 2, 3)
    found = spread(values, index)
    assert found.shape == (len(index), 2, 3)
    for run, stream in enumerate(index):
        assert torch.equal(found[run], values[stream])
