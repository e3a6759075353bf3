"""Frechet distance against the matrix square root and closed forms, where it is stable, and how biased it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from disentangledssl.evaluation.frechet import cut_to_one_size, frechet_distance, halves_distance


def literal(x, y):
    """The formula with a matrix square root of the product of the covariances."""
    c1, c2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.real(sqrtm(c1 @ c2))
    return np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(c1 + c2 - 2 * root)


def drawn(n=40, m=55, features=6, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features)) @ rng.normal(size=(features, features))
    return x, rng.normal(size=(m, features)) @ rng.normal(size=(features, features)) + rng.normal(size=features)


def with_moments(mean, std, samples, seed):
    """A set whose mean is exactly this and whose covariance is exactly diag(std^2)."""
    rng, varying = np.random.default_rng(seed), np.flatnonzero(std)
    x = rng.normal(size=(samples, len(varying)))
    whitened = np.linalg.qr(x - x.mean(0))[0] * np.sqrt(samples - 1)
    out = np.tile(np.asarray(mean, float), (samples, 1))
    out[:, varying] += whitened * np.asarray(std)[varying]
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_formula_with_a_matrix_square_root(seed, dtype):
    x, y = (values.astype(dtype) for values in drawn(seed=seed))
    assert frechet_distance(x, y) == pytest.approx(literal(x.astype(float), y.astype(float)), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(4, 5), (4, 60), (60, 5)])
def test_sets_smaller_than_their_features(n, m):
    # The literal form is as exact as the square root of the precision allows.
    x, y = drawn(n, m, features=9)
    assert frechet_distance(x, y) == pytest.approx(literal(x, y), rel=1e-5)


@pytest.mark.parametrize("samples", [30, 8])
def test_commuting_covariances_have_a_closed_form(samples):
    # Eight samples of twelve features: covariances of rank 5 that share 3 directions.
    std1 = np.array([1, 2, 3, 0.1, 5, 0, 0, 0, 0, 0, 0, 0.0])
    std2 = np.array([0, 0, 1, 4.0, 5, 7, 2, 0, 0, 0, 0, 0.0])
    mean1, mean2 = np.zeros(12), np.linspace(-1, 1, 12)
    x, y = with_moments(mean1, std1, samples, seed=1), with_moments(mean2, std2, samples, seed=2)
    expected = np.sum((mean1 - mean2) ** 2) + np.sum((std1 - std2) ** 2)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_singular_covariances_cost_no_precision():
    # 10 samples of 300 features, of which only the scale differs: d^2 = (1.001 - 1)^2 tr C.
    x = np.random.default_rng(0).normal(size=(10, 300))
    y = x.mean(0) + 1.001 * (x - x.mean(0))
    exact = 1e-6 * np.trace(np.cov(x, rowvar=False))
    assert frechet_distance(x, y) == pytest.approx(exact, rel=1e-6)
    with np.errstate(all="ignore"):
        assert abs(literal(x, y) / exact - 1) > 1e-3, "if the literal form were as good, it should be used"


@pytest.mark.parametrize("shape", [(50, 4), (5, 40), (2, 1)])
def test_equal_sets_have_distance_zero_exactly(shape):
    x = np.random.default_rng(3).normal(size=shape) * 1e3 + 1e4
    assert frechet_distance(x, x) == frechet_distance(x, x.copy()) == 0.0
    assert frechet_distance(x, np.random.default_rng(4).permutation(x)) == pytest.approx(0, abs=1e-18)
    assert frechet_distance(np.ones(shape), np.ones(shape)) == 0.0


def test_a_shift_alone_counts_its_square():
    x = np.random.default_rng(0).normal(size=(20, 3))
    assert frechet_distance(x, x + np.array([3.0, 0, 4])) == pytest.approx(25, rel=1e-12)


def test_invariances():
    x, y = drawn()
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(6, 6)))[0]
    value = frechet_distance(x, y)
    assert frechet_distance(y, x) == pytest.approx(value, rel=1e-12)
    assert frechet_distance(x @ rotation + 7, y @ rotation + 7) == pytest.approx(value, rel=1e-10)
    assert frechet_distance(10 * x, 10 * y) == pytest.approx(100 * value, rel=1e-12)
    assert frechet_distance(x[::-1], y) == pytest.approx(value, rel=1e-12)
    assert frechet_distance(np.hstack([x, x * 0]), np.hstack([y, y * 0])) == pytest.approx(value, rel=1e-12)
    assert frechet_distance(x + 1e6, y + 1e6) == pytest.approx(value, rel=1e-8)
    assert frechet_distance(x[:, :-1], y[:, :-1]) != pytest.approx(value, rel=1e-3)


def test_halves_show_the_bias_and_how_it_falls():
    values = np.random.default_rng(0).normal(size=(3200, 20))
    found = {}
    for largest in (100, 400, 1600):
        several = [halves_distance(values, np.random.default_rng(seed), largest=largest) for seed in range(5)]
        assert {size for _, size in several} == {largest}
        found[largest] = np.mean([distance for distance, _ in several])
        assert found[largest] > 0
    # About as 1 / n.
    assert 3 < found[100] / found[400] < 5.5 and 3 < found[400] / found[1600] < 5.5


def test_halves_are_disjoint_and_drawn_by_the_generator():
    values = np.vstack([np.zeros((5, 3)), np.full((5, 3), 2.0)])
    # Any division of ten points into two halves of five: overlapping ones could both be all zeros.
    distances = {halves_distance(values, np.random.default_rng(seed))[0] for seed in range(40)}
    assert len(distances) > 1 and max(distances) <= 12
    first, again = (halves_distance(values, np.random.default_rng(1)) for _ in range(2))
    assert first == again and first[1] == 5
    assert halves_distance(np.vstack([values, values[:1]]), np.random.default_rng(1))[1] == 5
    # A distance of 0 would need the same points on both sides; five and five cannot be shared evenly.
    assert min(distances) > 0
    with pytest.raises(ValueError, match="3 samples have no halves"):
        halves_distance(values[:3], np.random.default_rng(0))


def test_cut_to_one_size():
    sets = {"a": np.arange(30.0)[:, None], "b": np.arange(7.0)[:, None], "c": np.arange(12.0)[:, None]}
    cut = cut_to_one_size(sets, np.random.default_rng(0))
    assert {name: len(values) for name, values in cut.items()} == {"a": 7, "b": 7, "c": 7}
    np.testing.assert_array_equal(cut["b"], sets["b"])
    for name in "ac":
        kept = cut[name][:, 0]
        assert len(set(kept)) == 7 and (np.diff(kept) > 0).all() and set(kept) <= set(sets[name][:, 0])
    assert cut["a"][:, 0].tolist() != list(range(7)), "not simply the first ones"
    again, other = (cut_to_one_size(sets, np.random.default_rng(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(again["a"], cut["a"])
    assert not np.array_equal(other["a"], cut["a"])


def test_input_that_does_not_fit_is_refused():
    x, y = drawn()
    with pytest.raises(ValueError, match="sets of 6 and 5 features"):
        frechet_distance(x, y[:, :5])
    with pytest.raises(ValueError, match="second set: one sample has no covariance"):
        frechet_distance(x, y[:1])
    broken = x.copy()
    broken[2, 3] = np.nan
    with pytest.raises(ValueError, match="first set hold NaN or infinity in 1 columns"):
        frechet_distance(broken, y)
