"""Linear CKA against its kernel form (matrices of all pairs), and what it is invariant to."""

from __future__ import annotations

import numpy as np
import pytest

from disentangledssl.evaluation.dependence import linear_cka


def literal(a, b):
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with the linear kernels of all pairs, centred by H."""
    n = len(a)
    centring = np.eye(n) - np.ones((n, n)) / n
    first, second = (centring @ (x @ x.T) @ centring for x in (a, b))
    return np.trace(first @ second) / np.sqrt(np.trace(first @ first) * np.trace(second @ second))


def drawn(pairs=300, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(pairs, 4))
    a = z @ rng.normal(size=(4, 7)) + rng.normal(size=(pairs, 7)) + 5
    return a, np.hstack([z, rng.normal(size=(pairs, 1))]) @ rng.normal(size=(5, 6)) + rng.normal(size=(pairs, 6))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_kernel_form(seed, dtype):
    a, b = (x.astype(dtype) for x in drawn(seed=seed))
    assert linear_cka(a, b) == pytest.approx(literal(a.astype(float), b.astype(float)), rel=1e-10)
    assert 0.05 < linear_cka(a, b) < 0.95


def test_it_is_symmetric_and_one_with_itself():
    a, b = drawn()
    assert linear_cka(a, b) == pytest.approx(linear_cka(b, a), rel=1e-12)
    assert linear_cka(a, a) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-60, 1e-6, 1e6, 1e60])
def test_scale_shift_and_rotation_change_nothing(scale):
    a, b = drawn()
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(7, 7)))[0]
    assert linear_cka(scale * (a @ rotation - 3), b) == pytest.approx(linear_cka(a, b), rel=1e-9)


def test_another_linear_map_does_change_it():
    a, b = drawn()
    assert abs(linear_cka(a * np.array([10, 1, 1, 1, 1, 1, 1]), b) - linear_cka(a, b)) > 0.01


def test_dependent_and_constant_dimensions_change_nothing():
    a, b = drawn()
    padded = np.hstack([a, a, np.full((len(a), 3), 4.2)])
    assert linear_cka(padded, b) == pytest.approx(linear_cka(a, b), rel=1e-10)


def test_independent_codes_score_about_dimensions_over_pairs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20_000, 40))
    assert linear_cka(a, b) == pytest.approx(40 / 20_000, rel=0.15)


def test_uncorrelated_codes_score_zero():
    # Dependent, but not linearly: linear CKA sees second moments only.
    a = np.array([[-1.0], [0.0], [1.0]])
    assert linear_cka(a, a**2) == pytest.approx(0, abs=1e-30)


@pytest.mark.parametrize(
    "collapsed",
    [np.zeros((300, 4)), np.full((300, 4), 7.3), np.full((300, 4), np.float32(0.1)), np.empty((300, 0))],
    ids=["zero", "constant", "single", "no dimensions"],
)
def test_a_collapsed_code_has_no_similarity(collapsed):
    a, _ = drawn()
    assert np.isnan(linear_cka(a, collapsed)) and np.isnan(linear_cka(collapsed, a))
    assert np.isnan(linear_cka(collapsed, collapsed))


def test_a_single_pair_has_no_similarity():
    a, b = drawn()
    assert np.isnan(linear_cka(a[:1], b[:1]))


def test_input_that_does_not_fit_is_refused():
    a, b = drawn()
    with pytest.raises(ValueError, match="300 and 20 rows do not pair"):
        linear_cka(a, b[:20])
    broken = b.copy()
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="second codes hold NaN or infinity in 1 columns"):
        linear_cka(a, broken)
    with pytest.raises(ValueError, match=r"first codes of shape \(0, 7\)"):
        linear_cka(a[:0], b[:0])
