"""A linear probe of a number: R2 on test of a ridge regression from frozen codes.

Choices: codes are standardised on training profiles; the penalty is that with the smallest squared error on validation,
of equal ones the strongest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from disentangledssl.code_scaling import standardise_codes

PENALTIES = (100.0, 10.0, 1.0, 0.1, 0.01, 0.001)  # a training profile, of standardised codes


class NumberScore(NamedTuple):
    """What a probe of a number found.

    Attributes
    ----------
    value : float
        1 - SSE / SST about the test mean: 1 is perfect, 0 no better than the mean, negative misleads. NaN where the
        number is one value on training or on test.
    profiles : int
        Test profiles whose number is known.
    """

    value: float
    profiles: int


class Measured(NamedTuple):
    """Codes ``(profiles, dimensions)`` and their numbers ``(profiles,)`` float64, NaN where not known."""

    codes: np.ndarray
    numbers: np.ndarray


def probe_number(train: Measured, validation: Measured, test: Measured) -> NumberScore:
    """Fit on training profiles, choose the penalty on validation, score on test.

    Raises
    ------
    ValueError
        If codes hold NaN or infinity.
    """
    train, validation, test = (_known(one) for one in (train, validation, test))
    profiles = len(test.numbers)
    if any(len(np.unique(one.numbers)) < 2 for one in (train, test)):
        return NumberScore(np.nan, profiles)
    fitted = train.codes
    train, validation, test = (
        one._replace(codes=standardise_codes(one.codes, fitted)) for one in (train, validation, test)
    )
    least_error, value = np.inf, np.nan
    for penalty in PENALTIES:
        probe = Ridge(alpha=penalty * len(train.numbers)).fit(train.codes, train.numbers)
        error = 0.0
        if len(validation.numbers):
            error = np.square(probe.predict(validation.codes) - validation.numbers).mean()
        if error < least_error:
            least_error, value = error, r2_score(test.numbers, probe.predict(test.codes))
    return NumberScore(value, profiles)


def _known(split: Measured) -> Measured:
    kept = np.isfinite(split.numbers)
    codes = np.asarray(split.codes, np.float64)[kept]
    # A code without dimensions says nothing.
    return Measured(codes if codes.shape[1] else np.zeros((len(codes), 1)), split.numbers[kept])
