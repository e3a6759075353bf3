"""The weight ratio of a first layer, against a literal loop over W^T W."""

from __future__ import annotations

import numpy as np
import pytest

from disentangledssl.evaluation.weight_ratio import weight_ratio


def literal(weights: np.ndarray, pure: int) -> float:
    """mean(diag(W^T W)) over the last inputs, over that of the first; W: hidden x inputs."""
    w = weights.T.tolist()
    inputs = len(w[0])
    product = [[sum(row[i] * row[j] for row in w) for j in range(inputs)] for i in range(inputs)]
    mixed = inputs - pure
    over_pure = sum(product[i][i] for i in range(mixed, inputs)) / pure
    return over_pure / (sum(product[i][i] for i in range(mixed)) / mixed)


@pytest.mark.parametrize(("inputs", "hidden", "pure"), [(7, 4, 2), (7, 4, 1), (7, 4, 6), (2, 1, 1), (100, 16, 15)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_the_literal_ratio(inputs, hidden, pure, dtype):
    weights = np.random.default_rng(inputs + pure).normal(size=(inputs, hidden)).astype(dtype)
    weights[-pure:] *= 3
    ratio = weight_ratio(weights, pure)
    assert isinstance(ratio, float) and ratio == pytest.approx(literal(weights, pure), rel=1e-12)


def test_small_weights_of_float32_do_not_underflow():
    weights = np.full((4, 3), 1e-30, np.float32)
    weights[-1] *= 2
    assert weight_ratio(weights, 1) == pytest.approx(4, rel=1e-6)


def test_only_the_ratio_counts_and_not_the_hidden_units():
    weights = np.random.default_rng(0).normal(size=(9, 5))
    ratio = weight_ratio(weights, 3)
    assert weight_ratio(7 * weights, 3) == pytest.approx(ratio)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    assert weight_ratio(weights @ rotation, 3) == pytest.approx(ratio)
    assert weight_ratio(weights[::-1], 6) == pytest.approx(1 / ratio)


@pytest.mark.parametrize("pure", [0, -1, 4, 5])
def test_nothing_to_compare_is_refused(pure):
    with pytest.raises(ValueError, match=rf"{pure} pure of 4 inputs leave nothing to compare"):
        weight_ratio(np.ones((4, 2)), pure)
