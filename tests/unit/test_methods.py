"""What holds for every method: runs that know nothing of each other, exact gradients, no order in a mini-batch."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from miniature import BATCH, HYPERPARAMETERS, RUNS, build, draw_batch

from disentangledssl.methods import spread
from disentangledssl.methods.factorcl import Method as FactorCL
from disentangledssl.settings import STAGE_SETTINGS

# Every stage with its switches as by default, and with all of them turned.
OTHERWISE = {
    "step2": {"orthogonality": "columns"},
    "jointopt": {"orthogonality": "columns", "normaliser": False},
    "focal": {"cosine": "hinge"},
    "dmvae": {"prior_expert": True, "cross_kl": "as_published", "info_nce_weight": 0.5},
    "factorcl": {"head_width": "divided"},
}
CASES = [pytest.param(stage, {}, id=stage) for stage in STAGE_SETTINGS] + [
    pytest.param(stage, settings, id=f"{stage}, switched") for stage, settings in OTHERWISE.items()
]
every = pytest.mark.parametrize(("stage", "settings"), CASES)


@pytest.fixture
def method(small, stage, settings):
    return build(stage, small, **settings)


@pytest.fixture
def batch(method):
    return draw_batch(method)


def test_no_stage_is_left_out():
    assert set(HYPERPARAMETERS) == set(STAGE_SETTINGS)


@every
def test_losses_and_terms_are_one_number_a_run(method, batch):
    losses, terms = method.losses(batch)
    assert list(losses) == list(method.parameter_groups())
    assert list(losses) == (["encoders", "critics"] if isinstance(method, FactorCL) else ["encoders"])
    assert terms
    for value in (*losses.values(), *terms.values()):
        assert value.shape == (len(RUNS),)
        assert torch.isfinite(value).all()


@every
def test_terms_depend_on_the_stream_and_on_no_hyperparameter(method, batch):
    # Runs 0 and 1, and 2 and 3, share seed, mini-batch and noise; only a, beta and lam tell them apart.
    for name, term in method.losses(batch)[1].items():
        assert term[0] == term[1], name
        assert term[2] == term[3], name
        assert term[0] != term[2], name


@every
def test_gradient_of_a_run_stays_in_its_slice(method, batch):
    losses, _ = method.losses(batch)
    for name, parameters in method.parameter_groups().items():
        for gradient in torch.autograd.grad(losses[name][2], parameters):
            assert (gradient[[0, 1, 3]] == 0).all()
            assert (gradient[2] != 0).any()


@every
def test_every_parameter_that_is_not_frozen_is_trained(method):
    trained = [id(p) for group in method.parameter_groups().values() for p in group]
    named = {id(p) for name in method.trained for p in getattr(method, name).parameters() if p.requires_grad}
    assert set(trained) == named == {id(p) for p in method.parameters() if p.requires_grad}
    assert len(trained) == len(named)


@every
def test_gradient_is_that_of_finite_differences(method, batch):
    for name, parameters in method.parameter_groups().items():
        check_gradient(method, batch, name, parameters)


def check_gradient(method, batch, name, parameters):
    draws = torch.Generator().manual_seed(1)
    loss = method.losses(batch)[0][name]
    gradients = torch.autograd.grad(loss.sum(), parameters)
    start = [p.detach().clone() for p in parameters]
    step = 1e-7  # small, since a critic has kinks for every pair
    for _ in range(3):
        direction = [torch.randn(p.shape, generator=draws, dtype=p.dtype) for p in parameters]
        # Of each run apart: a run's loss depends on its own slice only.
        expected = sum((g * d).flatten(1).sum(1) for g, d in zip(gradients, direction, strict=True))
        moved = []
        with torch.no_grad():
            for sign in (1, -1):
                for p, origin, d in zip(parameters, start, direction, strict=True):
                    p.copy_(origin + sign * step * d)
                moved.append(method.losses(batch)[0][name])
        torch.testing.assert_close((moved[0] - moved[1]) / (2 * step), expected, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        for p, origin in zip(parameters, start, strict=True):
            p.copy_(origin)


def reorder(batch, order):
    """The same mini-batch with its pairs, and what was drawn for them, in another order."""
    return dataclasses.replace(
        batch, x=tuple(x[:, order] for x in batch.x), v=batch.v and tuple(v[:, order] for v in batch.v),
        noise=tuple(draw[:, order] for draw in batch.noise),
    )  # fmt: skip


@every
def test_order_of_the_pairs_does_not_matter(method, batch):
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(2))
    for first, second in zip(method.losses(batch), method.losses(reorder(batch, order)), strict=True):
        for name, values in first.items():
            torch.testing.assert_close(second[name], values, rtol=1e-10, atol=1e-12)


@every
def test_a_run_of_nan_leaves_its_mates_alone(method, batch):
    expected = method.losses(batch)
    groups, others = method.parameter_groups(), [0, 2, 3]
    gradients = gradients_of(expected[0], groups)
    with torch.no_grad():
        for parameter in (p for group in groups.values() for p in group):
            parameter[1] = float("nan")
    losses, terms = method.losses(batch)
    for first, second in zip(expected, (losses, terms), strict=True):
        for name, values in first.items():
            assert torch.equal(second[name][others], values[others]), name
    assert all(torch.isnan(loss[1]) for loss in losses.values())
    for before, after in zip(gradients, gradients_of(losses, groups), strict=True):
        assert torch.equal(after[others], before[others])


def gradients_of(losses, groups):
    """Of each group's loss with respect to its parameters."""
    return [one for name, group in groups.items() for one in torch.autograd.grad(losses[name].sum(), group)]


@every
def test_representations_are_of_one_view_each(method, batch):
    x = [view[1] for view in batch.x]
    codes = method.represent(2, tuple(x))
    for m in (0, 1):
        others = list(x)
        others[1 - m] = torch.zeros_like(x[1 - m])
        for name, values in method.represent(2, tuple(others)).items():
            heads = 5 * method.head("shared", 1).layers[-1][1] if name.startswith("proj") else None
            assert values.shape == (BATCH, heads or method.settings.dimensions)
            assert torch.equal(values, codes[name]) == (name[-1] == str(m + 1)), name


@pytest.mark.parametrize(
    ("streams", "index"), [(1, [0]), (1, [0, 0, 0]), (3, [0, 1, 2]), (3, [2, 0, 1]), (2, [0, 0, 1])]
)
def test_spread_gives_each_run_its_stream(streams, index):
    values = torch.arange(streams * 6.0).reshape(streams, 2, 3)
    found = spread(values, index)
    assert found.shape == (len(index), 2, 3)
    for run, stream in enumerate(index):
        assert torch.equal(found[run], values[stream])
