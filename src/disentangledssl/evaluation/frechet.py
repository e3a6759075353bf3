"""Frechet distance between Gaussians fitted to two sets, and how biased it is (App. H.3, Table 5).

The distance is d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), squared, as in the Frechet inception distance; means
m and covariances C (divided by n - 1) are those of the sets. Source: Dowson & Landau 1982; which power the paper's
tables hold is not said.

With A the centred set over sqrt(n - 1), C = A^T A and tr (C1 C2)^(1/2) is the sum of the singular values of A1 A2^T.
So no square root of a covariance is taken, which for fewer samples than features, where covariances are singular,
has errors of the square root of the machine's precision.

The distance between two samples of one distribution is above 0 and falls about as 1 / n: compare sets of one size only,
and see :func:`halves_distance`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from disentangledssl.evaluation.moments import column_means

ROUNDING = 1e-12  # of the total variance; what is below cannot be told from 0


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Return the squared Frechet distance between Gaussians fitted to two sets.

    Parameters
    ----------
    x, y : arrays, ``(samples of the set, features)``
        At least two samples each.

    Returns
    -------
    float
        Not negative, and exactly 0 for equal sets.

    Raises
    ------
    ValueError
        If the sets differ in features, have fewer than two samples, or hold NaN or infinity.
    """
    (mean1, factor1), (mean2, factor2) = (_fit(values, name) for values, name in ((x, "first set"), (y, "second set")))
    if len(mean1) != len(mean2):
        raise ValueError(f"sets of {len(mean1)} and {len(mean2)} features cannot be compared")
    total = np.square(factor1).sum() + np.square(factor2).sum()
    between = total - 2 * np.linalg.svd(factor1 @ factor2.T, compute_uv=False).sum()
    if between < ROUNDING * total:
        between = 0.0
    return float(np.square(mean1 - mean2).sum() + between)


def cut_to_one_size(sets: Mapping[str, np.ndarray], draws: np.random.Generator) -> dict[str, np.ndarray]:
    """Cut every set to the size of the smallest one, by chance and without replacement, in the order of the sets."""
    size = min(len(values) for values in sets.values())
    return {
        name: values if len(values) == size else values[np.sort(draws.permutation(len(values))[:size])]
        for name, values in sets.items()
    }


def halves_distance(values: np.ndarray, draws: np.random.Generator, *, largest: int | None = None) -> tuple[float, int]:
    """Return the distance between two random halves of one set, and their size: what is bias alone.

    Parameters
    ----------
    values : array, ``(samples, features)``
    draws : numpy.random.Generator
    largest : int, optional
        Size of the halves at the most: that of the sets whose distances it is set beside.

    Raises
    ------
    ValueError
        If there are fewer than four samples.
    """
    size = min(len(values) // 2, largest or len(values))
    if size < 2:
        raise ValueError(f"{len(values)} samples have no halves of two samples or more")
    order = draws.permutation(len(values))
    return frechet_distance(values[order[:size]], values[order[size : 2 * size]]), size


def _fit(values: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean, and a factor F of the covariance F^T F with no more rows than samples or features."""
    mean = column_means(values, name)
    if len(values) < 2:
        raise ValueError(f"{name}: one sample has no covariance")
    centred = (values - mean) / np.sqrt(len(values) - 1)
    return mean, np.linalg.qr(centred, mode="r") if len(centred) > centred.shape[1] else centred
