"""Step 1's loss against a literal computation for one run, in float64."""

from __future__ import annotations

import literal
import numpy as np
import pytest
import torch
from miniature import BATCH, HYPERPARAMETERS, RUNS, SHAPES, build, draw_batch, noise_of, views_of

BETAS = HYPERPARAMETERS["step1"]["beta"]


@pytest.fixture
def method(small):
    return build("step1", small)


@pytest.fixture
def batch(method):
    return draw_batch(method)


@pytest.mark.parametrize("run", RUNS)
def test_loss_is_the_literal_one(method, batch, run):
    x, _ = views_of(batch, run)
    noise = noise_of(method, batch, run)
    means = [literal.unit(literal.encode(getattr(method, f"zc{m}"), run, x[m - 1])) for m in (1, 2)]
    samples = [
        [literal.reflect(mean, draw) for mean, draw in zip(means[m - 1], noise["sample", m], strict=True)]
        for m in (1, 2)
    ]
    relevance = literal.info_nce(*samples, 0.07)
    redundancy = literal.mean_cosine(*means)
    losses, terms = method.losses(batch)
    assert list(terms) == ["info_nce", "mean_cosine"]
    assert terms["info_nce"][run].item() == pytest.approx(relevance, rel=1e-9)
    assert terms["mean_cosine"][run].item() == pytest.approx(redundancy, rel=1e-9)
    assert losses["encoders"][run].item() == pytest.approx(relevance - BETAS[run] * redundancy, rel=1e-9)


def test_runs_of_a_stream_differ_by_beta_alone(method, batch):
    losses, terms = method.losses(batch)
    torch.testing.assert_close(losses["encoders"][0] - losses["encoders"][1], 0.5 * terms["mean_cosine"][0])
    assert losses["encoders"][0] == terms["info_nce"][0]


def test_representations_are_raw_outputs_of_one_run(method, batch):
    x = tuple(view[0] for view in batch.x)
    for run in RUNS:
        codes = method.represent(run, x)
        assert list(codes) == ["zc1", "zc2"]
        for name, view in zip(codes, x, strict=True):
            expected = literal.encode(getattr(method, name), run, view)
            assert len(expected) == BATCH
            np.testing.assert_allclose(codes[name].detach(), expected, rtol=1e-9)
            assert not np.allclose(np.linalg.norm(expected, axis=1), 1, atol=0.01)


def test_both_views_have_encoders_of_their_own(method):
    assert not torch.equal(method.zc1.biases[0], method.zc2.biases[0])
    assert [(encoder.layers[0][0],) for encoder in (method.zc1, method.zc2)] == list(SHAPES)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layers_are_linear_layers(small, layers):
    widths = [9, *[8] * (layers - 1), 4]
    expected = [(widths[k], widths[k + 1]) for k in range(layers)]
    assert build("step1", small, dimensions=4, layers=layers).zc1.layers == expected
