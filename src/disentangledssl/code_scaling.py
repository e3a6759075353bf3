"""Standardising codes, for whoever reads them: probes and decoders. Views are scaled in ``scaling``."""

from __future__ import annotations

import numpy as np

SINGLE_ROUNDING = 1e-6  # of a number; a spread below it is that of float32


def standardise_codes(codes: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Standardise each dimension on training codes; one that only rounding keeps from being constant becomes 0.

    Divided by its spread, the rounding of a collapsed dimension would be noise as large as any signal. There is no
    absolute floor, for codes may be of any scale.

    Parameters
    ----------
    codes : array, ``(rows, dimensions)``
    training : array, ``(training rows, dimensions)``
        What mean and standard deviation are taken of.

    Returns
    -------
    array, ``(rows, dimensions)``, float64

    Raises
    ------
    ValueError
        If codes hold NaN or infinity.

    Notes
    -----
    Source: choice.

    >>> standardise_codes(np.array([[1, 0.7], [5, 0.7]]), np.array([[1, 0.7], [3, 0.7 + 6e-8]])).tolist()
    [[-1.0, 0.0], [3.0, 0.0]]
    """
    if not (np.isfinite(codes).all() and np.isfinite(training).all()):
        raise ValueError("codes hold NaN or infinity; leave diverged runs out")
    training = np.asarray(training, np.float64)
    mean, std = training.mean(axis=0), training.std(axis=0)
    constant = std <= SINGLE_ROUNDING * np.abs(mean)
    return np.where(constant, 0, (codes - mean) / np.where(constant, 1, std))
