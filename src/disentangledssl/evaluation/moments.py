"""Means and covariances of tall arrays, in blocks: what the linear measurements have in common.

Everything is accumulated in float64. Single precision would halve the time (0.04 instead of 0.09 s for a covariance of
72,000 x 200), but its rounding is as large as the smallest directions that a regression on dependent dimensions has
to tell apart.
"""

from __future__ import annotations

import numpy as np

BLOCK = 2048  # rows held in float64 at once; 200 columns of them stay in a core's cache


def column_means(values: np.ndarray, name: str) -> np.ndarray:
    """Return the mean of each column, ``(columns,)`` float64.

    Parameters
    ----------
    values : array, ``(rows, columns)``
    name : str
        What the array is, for the error.

    Raises
    ------
    ValueError
        If the array is not two-dimensional, has no rows, or holds NaN or infinity.
    """
    if values.ndim != 2 or not len(values):
        raise ValueError(f"{name} of shape {values.shape} are not a table with at least one row")
    # From the first row on, so that a constant column is centred to exact zeros.
    first = values[0].astype(np.float64)
    with np.errstate(invalid="ignore"):
        means = first + sum((values[block] - first).sum(axis=0) for block in _blocks(values)) / len(values)
    # A sum is finite only if all that went into it is: no second pass over the array.
    if not np.isfinite(means).all():
        raise ValueError(f"{name} hold NaN or infinity in {np.count_nonzero(~np.isfinite(means))} columns")
    return means


def covariance(a: np.ndarray, mean_a: np.ndarray, b: np.ndarray, mean_b: np.ndarray) -> np.ndarray:
    """Return the covariance of the columns of two arrays with the same rows, ``(columns of a, columns of b)``.

    Divided by the number of rows, not by one less.
    """
    total = np.zeros((a.shape[1], b.shape[1]))
    for block in _blocks(a):
        left = a[block] - mean_a
        # The very same array on both sides lets BLAS compute half of the product.
        total += left.T @ (left if b is a else b[block] - mean_b)
    return total / len(a)


def _blocks(values: np.ndarray) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, len(values), BLOCK)]
