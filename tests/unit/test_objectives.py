"""Loss terms against literal loops, an independent library, finite differences, and their invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, normalize

from disentangledssl.objectives import info_nce, mean_cosine, orthogonality

TERMS = {
    "info_nce": lambda a, c: info_nce(normalize(a, dim=-1), normalize(c, dim=-1), 0.2),
    "mean_cosine": lambda a, c: mean_cosine(normalize(a, dim=-1), normalize(c, dim=-1)),
    "rows": lambda a, c: orthogonality(a, c, "rows"),
    "columns": lambda a, c: orthogonality(a, c, "columns"),
}
ROTATION_INVARIANT = ["info_nce", "mean_cosine", "rows"]


def codes(shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def unit(shape, seed=0, dtype=torch.float64):
    return normalize(codes(shape, seed, dtype), dim=-1)


def literal_info_nce(a, c, temperature):
    total = 0.0
    for first, second in ((a, c), (c, a)):
        for i in range(len(first)):
            scores = [sum(x * y for x, y in zip(first[i], other, strict=True)) / temperature for other in second]
            largest = max(scores)
            total += largest + math.log(sum(math.exp(score - largest) for score in scores)) - scores[i]
    return total / (2 * len(a))


def literal_mean_cosine(a, c):
    return sum(sum(x * y for x, y in zip(p, q, strict=True)) for p, q in zip(a, c, strict=True)) / len(a)


def literal_orthogonality(p, q, unit):
    batch, d = len(p), len(p[0])

    def length(z, i, k):
        return math.sqrt(sum(z[i][n] ** 2 for n in range(d)) if unit == "rows" else sum(row[k] ** 2 for row in z))

    total = 0.0
    for k in range(d):
        for m in range(d):
            entry = sum(p[i][k] / length(p, i, k) * q[i][m] / length(q, i, m) for i in range(batch))
            total += entry**2
    return math.sqrt(total)


# ---------------------------------------------------------------- formulas


@pytest.mark.parametrize("temperature", [0.025, 0.07, 1.0])
@pytest.mark.parametrize("shape", [(1, 2, 2), (3, 7, 5), (2, 12, 3)])
def test_info_nce_is_the_literal_formula(shape, temperature):
    a, c = unit(shape), unit(shape, seed=1)
    expected = [literal_info_nce(x.tolist(), y.tolist(), temperature) for x, y in zip(a, c, strict=True)]
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
    expected = [literal_mean_cosine(x.tolist(), y.tolist()) for x, y in zip(a, c, strict=True)]
    np.testing.assert_allclose(mean_cosine(a, c), expected, atol=1e-14)
    np.testing.assert_allclose(mean_cosine(a, a), 1)


@pytest.mark.parametrize("kind", ["rows", "columns"])
@pytest.mark.parametrize("shape", [(2, 6, 4), (1, 3, 5)])
def test_orthogonality_is_the_literal_formula(shape, kind):
    p, q = codes(shape), codes(shape, seed=1)
    expected = [literal_orthogonality(x.tolist(), y.tolist(), kind) for x, y in zip(p, q, strict=True)]
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
        expected = literal_info_nce(first[0].double().tolist(), second[0].double().tolist(), temperature)
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
