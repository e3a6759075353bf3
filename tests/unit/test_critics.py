"""Critics and their bounds against every pair on its own, what is held fixed, and codes of known information."""

from __future__ import annotations

import math

import pytest
import torch

from disentangledssl import critics
from disentangledssl.critics import Critic
from disentangledssl.objectives import club_terms, nce_terms
from disentangledssl.optimiser import Adam
from disentangledssl.streams import Stream

RUNS, BATCH, WIDTHS, HIDDEN = 3, 7, (5, 4), 20


def build(widths=WIDTHS, hidden=HIDDEN, runs=RUNS, precision="float32"):
    streams = [Stream("tiny", 0, k) for k in range(runs)]
    return Critic(runs, widths, hidden, precision).initialise(streams, "critic", None)


def draw(batch=BATCH, widths=WIDTHS, runs=RUNS, dtype=torch.float64):
    draws = torch.Generator().manual_seed(0)
    return [torch.randn(runs, batch, w, generator=draws, dtype=dtype).requires_grad_() for w in widths]


def plain(critic, u, v):
    """Every pair through the whole network, and both bounds of the scores."""
    rows = []
    for k in range(u.shape[1]):
        pairs = [torch.cat([u[:, k], v[:, j]], -1)[:, None] for j in range(v.shape[1])]
        rows.append(torch.stack([critic(pair)[:, 0, 0] for pair in pairs]))
    scores = torch.stack(rows).permute(2, 0, 1)
    return {"lower_bound": nce_terms(scores).mean(1), "upper_bound": club_terms(scores).mean(1)}


def trained(critic):
    return [parameter for parameter in critic.parameters() if parameter.requires_grad]


@pytest.mark.parametrize("pairs", [1, BATCH, 3 * BATCH, 5 * BATCH + 1, 10_000])
@pytest.mark.parametrize("bound", ["lower_bound", "upper_bound"])
def test_bounds_and_gradients_are_those_of_every_pair_on_its_own(monkeypatch, bound, pairs):
    """However many pairs make a block; each run with a weight of its own, as no loss but a sum would give it."""
    monkeypatch.setattr(critics, "PAIRS", pairs)
    critic, (u, v) = build().double(), draw()
    found, expected = getattr(critic, bound)(u, v), plain(critic, u, v)[bound]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    leaves = [u, v, *(trained(critic) if bound == "lower_bound" else [])]
    ours, literal = (torch.autograd.grad((weights * one).sum(), leaves) for one in (found, expected))
    for mine, theirs in zip(ours, literal, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-14)
        assert (mine != 0).any()


def test_the_upper_bound_holds_the_critic_fixed_and_the_lower_one_does_not():
    critic, (u, v) = build().double(), draw()
    critic.upper_bound(u, v).sum().backward()
    assert all(parameter.grad is None for parameter in critic.parameters())
    assert u.grad is not None and v.grad is not None
    critic.lower_bound(u.detach(), v.detach()).sum().backward()
    assert all((parameter.grad != 0).any() for parameter in trained(critic))


def test_nothing_is_trained_that_no_bound_depends_on():
    critic, (u, v) = build().double(), draw()
    last = critic.biases[-1]
    assert [p is last for p in critic.parameters()] == [not p.requires_grad for p in critic.parameters()]
    before = [critic.lower_bound(u, v), critic.upper_bound(u, v)]
    with torch.no_grad():
        last.add_(3)
    assert not torch.equal(plain(critic, u, v)["lower_bound"], before[0])  # the same but for rounding
    for old, new in zip(before, plain(critic, u, v).values(), strict=True):
        torch.testing.assert_close(new, old)


def test_codes_that_need_no_gradient_cost_none():
    critic, (u, v) = build().double(), [code.detach() for code in draw()]
    assert not critic.upper_bound(u, v).requires_grad
    with torch.no_grad():
        assert not critic.lower_bound(u, v).requires_grad
    (gradient,) = torch.autograd.grad(critic.upper_bound(u.requires_grad_(), v).sum(), u)
    both = torch.autograd.grad(critic.upper_bound(u, v.requires_grad_()).sum(), (u, v))
    torch.testing.assert_close(gradient, both[0])


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("hidden", "widths", "batch"), [(30, (10, 10), 16), (512, (60, 60), 48), (100, (26, 13), 50)])
def test_a_run_alone_is_the_run_in_a_stack_bit_by_bit(hidden, widths, batch, precision):
    critic = build(widths, hidden, precision=precision)
    u, v = draw(batch, widths, dtype=torch.float32)
    leaves = [u, v, *trained(critic)]
    bounds = critic.lower_bound(u, v)
    gradients = torch.autograd.grad(bounds.sum(), leaves)
    for run in range(RUNS):
        alone = Critic(1, widths, hidden, precision)
        alone.load_state_dict({name: value[run : run + 1] for name, value in critic.state_dict().items()})
        own = [code[run : run + 1].detach().requires_grad_() for code in (u, v)]
        bound = alone.lower_bound(*own)
        assert torch.equal(bound[0], bounds[run])
        for mine, stacked in zip(torch.autograd.grad(bound.sum(), [*own, *trained(alone)]), gradients, strict=True):
            assert torch.equal(mine[0], stacked[run])


def test_bfloat16_is_nearly_float32():
    u, v = draw(48, (60, 60), dtype=torch.float32)
    rough, smooth = (build((60, 60), 128, precision=one).lower_bound(u, v) for one in ("bfloat16", "float32"))
    assert rough.dtype == torch.float32 and not torch.equal(rough, smooth)
    torch.testing.assert_close(rough, smooth, rtol=0.02, atol=5e-3)


@pytest.mark.parametrize(("batch", "largest"), [(8, 64), (16, 128), (32, 128), (64, 128), (200, 200)])
def test_memory_does_not_grow_with_the_square_of_the_mini_batch(monkeypatch, batch, largest):
    """Pairs pass in blocks, of one v at the least."""
    seen, scores = [], critics._scores

    def watch(a, c, *more):
        seen.append(a.shape[1] * c.shape[1])
        return scores(a, c, *more)

    monkeypatch.setattr(critics, "PAIRS", 128)
    monkeypatch.setattr(critics, "_scores", watch)
    build().lower_bound(*draw(batch, dtype=torch.float32))
    assert max(seen) == largest and sum(seen) == batch**2


@pytest.mark.usefixtures("one_thread")
def test_bounds_of_codes_whose_information_is_known():
    """Pairs of Gaussians, 4 dimensions of correlation 0.8 in one run and of none in the other: 2.04 and 0 nats."""
    correlation, batch, width = 0.8, 64, 4
    information = -width / 2 * math.log(1 - correlation**2)
    critic = build((width, width), 64, runs=2)
    optimiser, draws = Adam(trained(critic), 2e-3), torch.Generator().manual_seed(0)

    def pairs():
        u, noise = (torch.randn(2, batch, width, generator=draws) for _ in range(2))
        rho = torch.tensor([correlation, 0.0])[:, None, None]
        return u, rho * u + (1 - rho**2).sqrt() * noise

    for _ in range(300):
        optimiser.zero_grad()
        (-critic.lower_bound(*pairs()).sum()).backward()
        optimiser.step()
    with torch.no_grad():
        found = [[critic.lower_bound(u, v), critic.upper_bound(u, v)] for u, v in (pairs() for _ in range(30))]
    lower, upper = (torch.stack(one).mean(0).tolist() for one in zip(*found, strict=True))
    assert 0.6 * information < lower[0] < information
    assert upper[0] > lower[0]
    assert abs(lower[1]) < 0.1 and abs(upper[1]) < 0.3
