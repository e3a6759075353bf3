"""R2 of a reconstruction against scikit-learn's, and the readings of the reconstruction gain."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import r2_score

from disentangledssl.evaluation.reconstruction import reconstruction_gains, reconstruction_r2


def drawn(seed=0, samples=60, features=8):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(samples, features)) * np.linspace(0.1, 3, features) + rng.normal(size=features)
    return truth, 0.7 * truth + rng.normal(size=truth.shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_scikit_learns(seed, dtype):
    truth, predicted = (values.astype(dtype) for values in drawn(seed))
    found = reconstruction_r2(truth, predicted)
    truth, predicted = truth.astype(float), predicted.astype(float)
    assert found.pooled == pytest.approx(r2_score(truth, predicted, multioutput="variance_weighted"), rel=1e-12)
    assert found.per_feature == pytest.approx(r2_score(truth, predicted, multioutput="uniform_average"), rel=1e-12)
    assert found.constant == 0
    assert abs(found.pooled - found.per_feature) > 0.1, "the two would not be told apart"


def test_constant_features_are_left_out_of_the_mean_and_counted():
    truth, predicted = drawn()
    # 0.1 in single precision: its mean over many rows is not exactly itself unless the mean starts from it.
    held = np.full((len(truth), 2), np.float32(0.1))
    found = reconstruction_r2(np.hstack([truth, held]), np.hstack([predicted, held + 1]))
    plain = reconstruction_r2(truth, predicted)
    assert found.constant == 2
    assert found.per_feature == pytest.approx(plain.per_feature, rel=1e-12)
    total, error = np.sum((truth - truth.mean(0)) ** 2), np.sum((truth - predicted) ** 2)
    # An error in a constant feature is an error all the same.
    assert found.pooled == pytest.approx(1 - (error + 2 * len(truth)) / total, rel=1e-6)


def test_ends_of_the_scale():
    truth, _ = drawn()
    assert reconstruction_r2(truth, truth)[:2] == (1.0, 1.0)
    mean = np.tile(truth.mean(0), (len(truth), 1))
    assert reconstruction_r2(truth, mean)[:2] == pytest.approx((0, 0), abs=1e-12)
    assert reconstruction_r2(truth, mean + 1).pooled < 0
    nothing = reconstruction_r2(np.ones((5, 3)), np.zeros((5, 3)))
    assert np.isnan(nothing.pooled) and np.isnan(nothing.per_feature) and nothing.constant == 3


def test_input_that_does_not_fit_is_refused():
    truth, predicted = drawn()
    with pytest.raises(ValueError, match=r"shapes \(60, 8\) and \(59, 8\) do not pair"):
        reconstruction_r2(truth, predicted[:-1])
    predicted[4, 4] = np.inf
    with pytest.raises(ValueError, match="predictions hold NaN or infinity in 1 columns"):
        reconstruction_r2(truth, predicted)


@pytest.mark.parametrize(
    ("shared", "specific", "both", "better", "mean", "zc"),
    [(0.1, 0.3, 0.35, 0.05, 0.15, 0.25), (0.3, 0.1, 0.35, 0.05, 0.15, 0.05), (0.5, 0.5, 0.4, -0.1, -0.1, -0.1)],
)
def test_gains(shared, specific, both, better, mean, zc):
    gains = reconstruction_gains(shared, specific, both)
    assert gains == pytest.approx({"gain_over_better": better, "gain_over_mean": mean, "gain_over_zc": zc})


def test_an_unknown_r2_makes_every_gain_it_enters_unknown():
    # max() of Python would let the order decide.
    assert all(np.isnan(value) for value in reconstruction_gains(np.nan, 0.2, 0.5).values())
    assert np.isnan(reconstruction_gains(0.2, np.nan, 0.5)["gain_over_better"])
    assert reconstruction_gains(0.2, np.nan, 0.5)["gain_over_zc"] == pytest.approx(0.3)
