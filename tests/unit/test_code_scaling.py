"""Standardised codes: by the formula at any scale, and nothing left of a collapsed one."""

from __future__ import annotations

import numpy as np
import pytest

from disentangledssl.code_scaling import standardise_codes


@pytest.mark.parametrize("scale", [1e-12, 1, 1e12])
def test_mean_and_spread_are_those_of_training_codes_at_any_scale(scale):
    rng = np.random.default_rng(0)
    codes = (scale * (rng.normal(size=(50, 3)) * [1, 5, 0.01] + [0, 100, 1])).astype(np.float32)
    found = standardise_codes(codes, codes[:30])
    fitted = codes[:30].astype(float)
    np.testing.assert_allclose(found, (codes - fitted.mean(0)) / fitted.std(0), rtol=1e-12)
    np.testing.assert_allclose(found[:30].std(0), 1, rtol=1e-12)


@pytest.mark.parametrize("value", [0.7, -0.7, 7e-8, 0])
def test_a_dimension_that_only_rounding_keeps_from_being_constant_says_nothing(value):
    value = np.float32(value)
    rounded = np.where(np.arange(40) % 2, value, np.nextafter(value, np.float32(np.inf)) if value else value)
    codes = np.stack([rounded, np.arange(40)], axis=1).astype(np.float32)
    # Nor where what follows is far from it.
    codes[30:, 0] = 5
    found = standardise_codes(codes, codes[:30])
    assert (found[:, 0] == 0).all() and found[:30, 1].std() == pytest.approx(1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_codes_of_a_diverged_run_are_refused(bad):
    codes = np.ones((4, 2), np.float32)
    codes[3, 1] = bad
    for given in ((codes, codes[:2]), (codes[:2], codes)):
        with pytest.raises(ValueError, match="NaN or infinity"):
            standardise_codes(*given)
