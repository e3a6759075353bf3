"""Means and covariances in blocks, against numpy's own in one piece."""

from __future__ import annotations

import numpy as np
import pytest

from disentangledssl.evaluation.moments import BLOCK, column_means, covariance


@pytest.mark.parametrize("rows", [1, 2, BLOCK, BLOCK + 1, 2 * BLOCK + 77])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_are_numpys(rows, dtype):
    rng = np.random.default_rng(rows)
    a = (rng.normal(size=(rows, 5)) @ rng.normal(size=(5, 5)) + 100).astype(dtype)
    b = rng.normal(size=(rows, 3)).astype(dtype)
    mean_a, mean_b = column_means(a, "a"), column_means(b, "b")
    np.testing.assert_allclose(mean_a, a.astype(np.float64).mean(axis=0), rtol=1e-13)
    joint = np.cov(np.hstack([a, b]).astype(np.float64), rowvar=False, bias=True) if rows > 1 else np.zeros((8, 8))
    np.testing.assert_allclose(covariance(a, mean_a, a, mean_a), joint[:5, :5], atol=1e-11)
    np.testing.assert_allclose(covariance(a, mean_a, b, mean_b), joint[:5, 5:], atol=1e-11)


@pytest.mark.parametrize("value", [0.0, 7.3, 0.1, -1e6])
def test_a_constant_column_has_exactly_no_variance(value):
    constant = np.full((3 * BLOCK, 2), value)
    for x in (constant, constant.astype(np.float32)):
        mean = column_means(x, "codes")
        assert (covariance(x, mean, x, mean) == 0).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 5, 2 * BLOCK])
def test_what_is_not_finite_is_refused(wrong, row):
    x = np.zeros((2 * BLOCK + 1, 3), np.float32)
    x[row, 1] = wrong
    with pytest.raises(ValueError, match="training codes hold NaN or infinity in 1 columns"):
        column_means(x, "training codes")


@pytest.mark.parametrize("shape", [(5,), (0, 3), (2, 2, 2)])
def test_what_is_no_table_is_refused(shape):
    with pytest.raises(ValueError, match=r"codes of shape \(.*\) are not a table"):
        column_means(np.zeros(shape), "codes")
