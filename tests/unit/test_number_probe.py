"""R2 of number probes: planted numbers, noise, and what has no value."""

from __future__ import annotations

import numpy as np
import pytest

from disentangledssl.evaluation import number_probe
from disentangledssl.evaluation.number_probe import Measured, probe_number


def draw(rng, profiles, noise):
    codes = rng.normal(size=(profiles, 6))
    return Measured(codes * 1e3, 3 + codes @ [1, -2, 0, 0, 0, 0] + noise * rng.normal(size=profiles))


def test_a_planted_number_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    assert probe_number(*(draw(rng, 200, 0) for _ in range(3))).value == pytest.approx(1, abs=1e-4)
    splits = [draw(rng, n, 0) for n in (200, 200, 2000)]
    noise = [one._replace(numbers=rng.normal(size=len(one.numbers))) for one in splits]
    assert abs(probe_number(*noise).value) < 0.05


def test_r2_is_that_of_ridge_by_its_normal_equations():
    rng = np.random.default_rng(1)
    train, validation, test = (draw(rng, n, 2) for n in (20, 300, 300))
    centre, spread = train.codes.mean(0), train.codes.std(0)

    def fit(penalty):
        x = (train.codes - centre) / spread
        weights = np.linalg.solve(x.T @ x + penalty * len(x) * np.eye(6), x.T @ (train.numbers - train.numbers.mean()))
        return lambda codes: (codes - centre) / spread @ weights + train.numbers.mean()

    errors = [np.mean((fit(one)(validation.codes) - validation.numbers) ** 2) for one in number_probe.PENALTIES]
    penalty = number_probe.PENALTIES[int(np.argmin(errors))]
    sse = np.sum((fit(penalty)(test.codes) - test.numbers) ** 2)
    assert probe_number(train, validation, test).value == pytest.approx(
        1 - sse / np.sum((test.numbers - test.numbers.mean()) ** 2)
    )


def test_unknown_numbers_count_nowhere():
    rng = np.random.default_rng(2)
    splits = [draw(rng, 60, 0) for _ in range(3)]
    for one in splits:
        one.numbers[:5] = np.nan
        one.codes[:5] = 1e6
    score = probe_number(*splits)
    assert score.profiles == 55 and score.value == pytest.approx(1, abs=1e-3)


def test_one_value_has_no_r2_and_an_empty_code_has_none_to_give():
    rng = np.random.default_rng(3)
    train, validation, test = (draw(rng, 40, 0) for _ in range(3))
    constant = Measured(test.codes, np.ones(40))
    assert np.isnan(probe_number(train, validation, constant).value)
    assert np.isnan(probe_number(constant, validation, test).value)
    empty = [Measured(one.codes[:, :0], one.numbers) for one in (train, validation, test)]
    assert -0.2 < probe_number(*empty).value <= 0


def test_a_collapsed_code_has_no_r2():
    """Although the rounding about its one value is the number."""
    rng = np.random.default_rng(4)
    numbers = [rng.integers(2, size=60).astype(float) for _ in range(3)]
    splits = [Measured((0.7 + 6e-8 * one[:, None]).astype(np.float32), one) for one in numbers]
    assert len(np.unique(splits[0].codes)) == 2 and -0.2 < probe_number(*splits).value <= 0
