"""Loss terms against literal loops, an independent library, finite differences, and their invariances."""

from __future__ import annotations

import math

import literal
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import cross_entropy, normalize

from disentangledssl.objectives import (
    club_terms,
    gaussian_kl,
    info_nce,
    mean_cosine,
    nce_terms,
    orthogonality,
    product_of_experts,
)

TERMS = {
    "info_nce": lambda a, c: info_nce(normalize(a, dim=-1), normalize(c, dim=-1), 0.2),
    "mean_cosine": lambda a, c: mean_cosine(normalize(a, dim=-1), normalize(c, dim=-1)),
    "hinge": lambda a, c: mean_cosine(normalize(a, dim=-1), normalize(c, dim=-1), hinge=True),
    "rows": lambda a, c: orthogonality(a, c, "rows"),
    "columns": lambda a, c: orthogonality(a, c, "columns"),
}
ROTATION_INVARIANT = ["info_nce", "mean_cosine", "hinge", "rows"]


def codes(shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def unit(shape, seed=0, dtype=torch.float64):
    return normalize(codes(shape, seed, dtype), dim=-1)


# ---------------------------------------------------------------- formulas


@pytest.mark.parametrize("temperature", [0.025, 0.07, 1.0])
@pytest.mark.parametrize("shape", [(1, 2, 2), (3, 7, 5), (2, 12, 3)])
def test_info_nce_is_the_literal_formula(shape, temperature):
    a, c = unit(shape), unit(shape, seed=1)
    expected = [literal.info_nce(x.tolist(), y.tolist(), temperature) for x, y in zip(a, c, strict=True)]
    np.testing.assert_allclose(info_nce(a, c, temperature), expected, rtol=1e-10, atol=1e-12)


def test_info_nce_is_torchs_cross_entropy():
    a, c = unit((3, 9, 4)), unit((3, 9, 4), seed=1)
    for run, found in enumerate(info_nce(a, c, 0.07)):
        logits = a[run] @ c[run].T / 0.07
        both = [torch.nn.functional.cross_entropy(side, torch.arange(9)) for side in (logits, logits.T)]
        torch.testing.assert_close(found, sum(both) / 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_info_nces_gradient_is_that_of_torchs_cross_entropy(dtype):
    weights, found = torch.tensor([1.0, -2.0, 0.5], dtype=dtype), []
    labels = torch.arange(32)
    for by_hand in (True, False):
        a, c = (unit((3, 32, 10), seed=seed, dtype=dtype).requires_grad_(True) for seed in (0, 1))
        if by_hand:
            value = info_nce(a, c, 0.07)
        else:
            logits = torch.bmm(a, c.transpose(1, 2)) / 0.07
            both = [torch.stack([cross_entropy(one, labels) for one in side]) for side in (logits, logits.mT)]
            value = sum(both) / 2
        (value * weights).sum().backward()
        found.append((value, a.grad, c.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_info_nce_is_that_of_pytorch_metric_learning(temperature):
    oracle = pytest.importorskip("pytorch_metric_learning.losses").NTXentLoss(temperature=temperature)
    a, c = unit((2, 8, 5)), unit((2, 8, 5), seed=1)
    # With a reference set, positives and negatives come from it alone: the cross entropy of one direction.
    # Two label tensors: one and the same would tell the library that both sides are the same samples.
    labels, others = torch.arange(8), torch.arange(8).clone()
    for run, found in enumerate(info_nce(a, c, temperature)):
        one_way = oracle(a[run], labels, ref_emb=c[run], ref_labels=others)
        other_way = oracle(c[run], labels, ref_emb=a[run], ref_labels=others)
        torch.testing.assert_close(found, (one_way + other_way) / 2)


def test_mean_cosine_is_the_literal_formula():
    a, c = unit((3, 7, 5)), unit((3, 7, 5), seed=1)
    expected = [literal.mean_cosine(x.tolist(), y.tolist()) for x, y in zip(a, c, strict=True)]
    np.testing.assert_allclose(mean_cosine(a, c), expected, atol=1e-14)
    np.testing.assert_allclose(mean_cosine(a, a), 1)


def test_hinge_is_the_literal_formula():
    a, c = unit((3, 7, 5)), unit((3, 7, 5), seed=1)
    expected = [literal.mean_cosine(x.tolist(), y.tolist(), True) for x, y in zip(a, c, strict=True)]
    np.testing.assert_allclose(mean_cosine(a, c, hinge=True), expected, atol=1e-14)
    assert (mean_cosine(a, c, hinge=True) > mean_cosine(a, c) + 0.01).all()


def test_hinge_is_the_cosine_embedding_loss_of_strangers():
    # FOCAL's own code: target -1, margin 0.
    a, c = unit((3, 7, 5)), unit((3, 7, 5), seed=1)
    for run, found in enumerate(mean_cosine(a, c, hinge=True)):
        expected = torch.nn.functional.cosine_embedding_loss(a[run], c[run], -torch.ones(7), margin=0.0)
        torch.testing.assert_close(found, expected)


def test_hinge_of_hand_made_codes():
    a = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    c = torch.tensor([[[-1.0, 0.0], [0.6, 0.8], [1.0, 0.0]]])
    assert mean_cosine(a, c, hinge=True).item() == pytest.approx(0.2)
    assert mean_cosine(a, c).item() == pytest.approx(-0.4 / 3)


@pytest.mark.parametrize("kind", ["rows", "columns"])
@pytest.mark.parametrize("shape", [(2, 6, 4), (1, 3, 5)])
def test_orthogonality_is_the_literal_formula(shape, kind):
    p, q = codes(shape), codes(shape, seed=1)
    expected = [literal.orthogonality(x.tolist(), y.tolist(), kind) for x, y in zip(p, q, strict=True)]
    np.testing.assert_allclose(orthogonality(p, q, kind), expected, rtol=1e-12)


def test_orthogonality_of_independent_codes_has_its_scale():
    # About 16 (rows) and 6 (columns) for independent codes of a batch of 256, 100 dimensions.
    p, q = codes((1, 256, 100)), codes((1, 256, 100), seed=1)
    assert orthogonality(p, q, "rows").item() == pytest.approx(16, abs=1)
    assert orthogonality(p, q, "columns").item() == pytest.approx(6.25, abs=0.5)


def test_orthogonality_of_hand_made_codes():
    same = torch.eye(3)[None]
    assert orthogonality(same, same, "rows").item() == pytest.approx(math.sqrt(3))
    apart = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]), torch.tensor([[[0.0, 0.0], [0.0, 1.0]]])
    for kind in ("rows", "columns"):
        assert orthogonality(*apart, kind).item() == pytest.approx(0, abs=2e-6)
    with pytest.raises(KeyError):
        orthogonality(same, same, "row")


def test_runs_do_not_touch_each_other():
    a, c = codes((3, 6, 4), dtype=torch.float32), codes((3, 6, 4), seed=1, dtype=torch.float32)
    for term in TERMS.values():
        whole = term(a, c)
        assert whole.shape == (3,)
        spoiled = a.clone()
        spoiled[1] = float("nan")
        beside = term(spoiled, c)
        assert torch.equal(beside[[0, 2]], whole[[0, 2]])
        assert torch.isnan(beside[1])


# ---------------------------------------------------------------- Gaussian codes


def gaussian(shape, seed=0):
    """A mean and a log variance."""
    return codes(shape, seed), 1.5 * codes(shape, seed + 100)


def distribution(mean, log_variance):
    return Normal(mean, torch.exp(log_variance / 2))


def test_gaussian_kl_is_that_of_torch_and_the_literal_formula():
    mean, log_variance = gaussian((3, 7, 5))
    standard = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    found = gaussian_kl(mean, log_variance)
    torch.testing.assert_close(found, kl_divergence(distribution(mean, log_variance), standard).sum((1, 2)))
    expected = [literal.gaussian_kl(*both) for both in zip(mean.tolist(), log_variance.tolist(), strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_gaussian_kl_of_the_prior_is_zero_and_of_hand_made_codes_known():
    zero = torch.zeros(2, 3, 4)
    assert torch.equal(gaussian_kl(zero, zero), torch.zeros(2))
    # Each of 12 numbers: a mean of 2 adds 2, a variance of e adds (e - 2) / 2.
    assert gaussian_kl(zero + 2, zero).tolist() == pytest.approx([24, 24])
    assert gaussian_kl(zero, zero + 1).tolist() == pytest.approx([6 * (math.e - 2)] * 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.01, 5))
def test_gaussian_kl_is_least_at_the_prior(seed, step):
    mean, log_variance = (step * one for one in gaussian((2, 3, 4), seed))
    assert (gaussian_kl(mean, log_variance) > 0).all()
    # Sums over rows: two halves of a mini-batch add up.
    halves = gaussian_kl(mean[:, :1], log_variance[:, :1]) + gaussian_kl(mean[:, 1:], log_variance[:, 1:])
    torch.testing.assert_close(gaussian_kl(mean, log_variance), halves)


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_product_of_experts_is_the_literal_formula(count, prior):
    experts = [gaussian((2, 3, 4), seed) for seed in range(count)]
    found = product_of_experts(experts, prior=prior)
    expected = literal.product_of_experts([tuple(one.numpy() for one in expert) for expert in experts], prior)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("prior", [False, True])
def test_product_of_experts_is_the_product_of_their_densities(prior):
    """On a fine grid, normalised by its sum: mean and variance of the product of densities."""
    experts = [gaussian((1, 1, 3), seed) for seed in range(2)]
    grid = torch.linspace(-60, 60, 240_001, dtype=torch.float64)
    mean, log_variance = product_of_experts(experts, prior=prior)
    for place in range(3):
        log_density = sum(distribution(*(one[0, 0, place] for one in expert)).log_prob(grid) for expert in experts)
        if prior:
            log_density = log_density + Normal(0.0, 1.0).log_prob(grid)
        weights = torch.softmax(log_density, dim=0)
        centre = (weights * grid).sum()
        torch.testing.assert_close(mean[0, 0, place], centre, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(log_variance[0, 0, place].exp(), (weights * (grid - centre) ** 2).sum(), rtol=1e-6,
                                   atol=1e-10)  # fmt: skip


def test_one_expert_without_the_prior_is_itself():
    expert = gaussian((2, 3, 4))
    for one, other in zip(product_of_experts([expert], prior=False), expert, strict=True):
        torch.testing.assert_close(one, other)


def test_the_order_of_experts_does_not_matter_and_the_prior_is_one_of_them():
    first, second = gaussian((2, 3, 4)), gaussian((2, 3, 4), 1)
    standard = (torch.zeros_like(first[0]), torch.zeros_like(first[0]))
    expected = product_of_experts([first, second], prior=True)
    for others in ([second, first], [first, second]):
        for one, other in zip(product_of_experts(others, prior=True), expected, strict=True):
            torch.testing.assert_close(one, other)
    for one, other in zip(product_of_experts([first, second, standard], prior=False), expected, strict=True):
        torch.testing.assert_close(one, other)
    # The product is narrower than each expert, and with the prior narrower still.
    without = product_of_experts([first, second], prior=False)[1]
    assert (without < first[1]).all() and (without < second[1]).all() and (expected[1] < without).all()


@pytest.mark.parametrize("prior", [False, True])
def test_gradients_of_gaussian_codes_are_those_of_finite_differences(prior):
    inputs = [one.requires_grad_(True) for seed in (0, 1) for one in gaussian((2, 2, 3), seed)]
    assert torch.autograd.gradcheck(gaussian_kl, inputs[:2])
    assert torch.autograd.gradcheck(
        lambda m1, v1, m2, v2: product_of_experts([(m1, v1), (m2, v2)], prior=prior), inputs
    )


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize("name", TERMS)
def test_gradient_is_that_of_finite_differences(name):
    a, c = codes((2, 4, 3)).requires_grad_(True), codes((2, 4, 3), seed=1).requires_grad_(True)
    assert torch.autograd.gradcheck(TERMS[name], (a, c))


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("collapse", ["equal", "zero", "opposite", "orthogonal"])
def test_collapsed_codes_have_finite_values_and_gradients(name, collapse):
    a = torch.ones(1, 6, 4)
    c = {"equal": a.clone(), "zero": torch.zeros_like(a), "opposite": -a, "orthogonal": a.clone()}[collapse]
    if collapse == "orthogonal":
        a[..., :2], c[..., 2:] = 0, 0
    a.requires_grad_(True)
    c.requires_grad_(True)
    value = TERMS[name](a, c)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(a.grad).all()
    assert torch.isfinite(c.grad).all()


# ---------------------------------------------------------------- extremes


@pytest.mark.parametrize("temperature", [0.025, 0.07])
def test_info_nce_neither_overflows_nor_vanishes_in_float32(temperature):
    a = unit((1, 16, 5), dtype=torch.float32)
    one = a[:, :1].expand(1, 16, 5)
    for first, second in ((a, a), (a, -a), (one, one), (one, -one), (a, a.roll(1, 1)), (a, one)):
        first = first.clone().requires_grad_(True)
        found = info_nce(first, second, temperature)
        found.sum().backward()
        assert torch.isfinite(first.grad).all()
        expected = literal.info_nce(first[0].double().tolist(), second[0].double().tolist(), temperature)
        assert found.item() == pytest.approx(expected, rel=1e-5, abs=2e-5)


def test_info_nce_of_collapsed_codes_is_the_log_of_the_batch():
    one = unit((1, 1, 5)).expand(1, 16, 5)
    assert info_nce(one, one, 0.07).item() == pytest.approx(math.log(16))


def test_info_nce_tells_pairs_from_strangers():
    a = unit((1, 16, 8))
    assert info_nce(a, a, 0.07) < 0.1 < math.log(16) < info_nce(a, a.roll(1, 1), 0.07)


# ---------------------------------------------------------------- invariances


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 9), st.integers(2, 6), st.sampled_from(sorted(TERMS)))
def test_order_of_the_pairs_does_not_matter(seed, batch, dimensions, name):
    a, c = codes((2, batch, dimensions), seed), codes((2, batch, dimensions), seed + 1)
    order = torch.randperm(batch, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(TERMS[name](a[:, order], c[:, order]), TERMS[name](a, c))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 9), st.integers(2, 6), st.sampled_from(ROTATION_INVARIANT))
def test_a_common_rotation_does_not_matter(seed, batch, dimensions, name):
    a, c = codes((2, batch, dimensions), seed), codes((2, batch, dimensions), seed + 1)
    rotation = torch.linalg.qr(codes((dimensions, dimensions), seed + 2))[0]
    torch.testing.assert_close(TERMS[name](a @ rotation, c @ rotation), TERMS[name](a, c))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 9), st.integers(2, 6))
def test_unit_rows_know_no_scale_of_a_sample_and_unit_columns_none_of_a_dimension(seed, batch, dimensions):
    p, q = codes((1, batch, dimensions), seed), codes((1, batch, dimensions), seed + 1)
    scale = codes((batch, dimensions), seed + 2).abs() + 0.1
    torch.testing.assert_close(orthogonality(p * scale[:, :1], q, "rows"), orthogonality(p, q, "rows"))
    torch.testing.assert_close(orthogonality(p * scale[:1], q, "columns"), orthogonality(p, q, "columns"))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(sorted(TERMS)))
def test_the_views_are_alike(seed, name):
    a, c = codes((2, 5, 4), seed), codes((2, 5, 4), seed + 1)
    torch.testing.assert_close(TERMS[name](a, c), TERMS[name](c, a))


# ---------------------------------------------------------------- bounds from the scores of a critic

BOUNDS = pytest.mark.parametrize("terms", [nce_terms, club_terms])


@BOUNDS
@pytest.mark.parametrize("shape", [(1, 2, 2), (3, 7, 7)])
def test_bounds_are_the_literal_formulas(shape, terms):
    scores = codes(shape)
    formula = {nce_terms: literal.nce, club_terms: literal.club}[terms]
    found = terms(scores)
    assert found.shape == shape[:2]
    np.testing.assert_allclose(found.mean(1), [formula(one.tolist()) for one in scores], rtol=1e-12, atol=1e-14)


def test_nce_bound_is_torchs_cross_entropy():
    """Which v_j's own u is among all of them, negatives being other u of the same v."""
    scores = codes((3, 9, 9))
    for run, terms in enumerate(nce_terms(scores)):
        torch.testing.assert_close(terms.mean(), math.log(9) - cross_entropy(scores[run].T, torch.arange(9)))


@BOUNDS
def test_terms_of_some_v_are_those_among_all(terms):
    scores = codes((2, 8, 8))
    whole = terms(scores)
    for first, last in ((0, 3), (3, 4), (4, 8)):
        assert torch.equal(terms(scores[:, :, first:last], first), whole[:, first:last])


@BOUNDS
def test_what_depends_on_v_alone_adds_nothing(terms):
    scores = codes((3, 6, 6))
    torch.testing.assert_close(terms(scores + 5 * codes((3, 1, 6), seed=1)), terms(scores))


def test_the_two_sides_of_a_bound_are_not_alike():
    scores = codes((1, 6, 6))
    assert not torch.isclose(nce_terms(scores).mean(), nce_terms(scores.transpose(1, 2)).mean())
    torch.testing.assert_close(club_terms(scores).mean(), club_terms(scores.transpose(1, 2)).mean())


def test_nce_bound_ends_at_the_log_of_the_batch_and_club_nowhere():
    scores = torch.eye(8, dtype=torch.float32)[None]
    for scale in (1.0, 100.0, 1e4):
        assert nce_terms(scale * scores).mean() <= math.log(8) + 1e-6
        torch.testing.assert_close(club_terms(scale * scores).mean(), torch.tensor(scale * 7 / 8))
    torch.testing.assert_close(nce_terms(1e4 * scores).mean(), torch.tensor(math.log(8)))
    assert nce_terms(torch.zeros(1, 8, 8)).abs().max() < 1e-6
