"""CLIP's loss against a literal computation, and as the limit of step 1."""

from __future__ import annotations

import literal
import pytest
import torch
from miniature import RUNS, build, draw_batch, views_of


@pytest.fixture
def method(small):
    return build("clip", small, temperature=0.1)


@pytest.fixture
def batch(method):
    return draw_batch(method)


@pytest.mark.parametrize("run", RUNS)
def test_loss_is_the_literal_one(method, batch, run):
    x, _ = views_of(batch, run)
    codes = [literal.unit(literal.encode(getattr(method, f"zc{m}"), run, x[m - 1])) for m in (1, 2)]
    losses, terms = method.losses(batch)
    assert losses["encoders"][run].item() == pytest.approx(literal.info_nce(*codes, 0.1), rel=1e-9)
    assert torch.equal(losses["encoders"], terms["info_nce"])


def test_it_needs_neither_noise_nor_beta_nor_a_second_version(method):
    assert (method.noise, method.second_version) == ((), False)
    assert method.trained == ("zc1", "zc2")
    assert not hasattr(method, "beta")


def test_runs_of_a_stream_are_the_same_run(method, batch):
    losses, _ = method.losses(batch)
    assert losses["encoders"][0] == losses["encoders"][1]
    assert losses["encoders"][0] != losses["encoders"][2]


def test_it_starts_from_the_weights_of_step1(small, method):
    step1 = build("step1", small)
    for mine, theirs in zip(method.parameters(), step1.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_only_sampling_makes_step1_differ_from_it(small):
    step1 = build("step1", small)
    batch = draw_batch(step1)
    first_axis = torch.zeros_like(batch.noise[0])
    first_axis[..., 0] = 1  # noise on the first axis is reflected onto the mean itself
    _, terms = step1.losses(type(batch)(batch.x, None, (first_axis, first_axis)))
    clip = build("clip", small)
    torch.testing.assert_close(terms["info_nce"], clip.losses(batch)[0]["encoders"])
