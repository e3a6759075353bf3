"""How much of the true latents a representation holds: R2 of a ridge regression from codes to latents.

Complements the linear probe on simulated data. The probe sees one binary label per latent, and its penalty sees
the scale of the codes; this sees all latent dimensions and is the same for codes of any scale. Source: choice.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from disentangledssl.evaluation.moments import BLOCK, column_means, covariance

# Keeps dependent dimensions ([zc1, zc2] after step 1) solvable and lets a direction count as soon as its standard
# deviation is above a thousandth of the typical one. On the clean simulation, zc from raw x1 has R2 0.99998.
RIDGE = 1e-6


def latent_r2(
    train_codes: np.ndarray,
    train_latents: Mapping[str, np.ndarray],
    test_codes: np.ndarray,
    test_latents: Mapping[str, np.ndarray],
    *,
    ridge: float = RIDGE,
) -> dict[str, float]:
    """Fit a ridge regression from training codes to each latent and return its R2 on test codes.

    Parameters
    ----------
    train_codes, test_codes : arrays, ``(pairs, dimensions)``
        Representations of the clean inputs. No dimensions, or only constant ones, are allowed: the regression then
        says the training mean, and R2 is 0 but for the difference of the two splits' means.
    train_latents, test_latents : mappings of name to array, ``(pairs, dimensions of the latent)``
        True latents of the same pairs.
    ridge : float
        Penalty, as a multiple of the mean eigenvalue of the training codes' covariance (both per pair, so that it
        means the same for any number of pairs and any scale of the codes). The intercept is not penalised.

    Returns
    -------
    dict of name to float
        R2 = 1 - SSE / SST over all dimensions of a latent together, SST about the test mean: 1 is perfect, 0 is no
        better than the mean, and a regression that misleads is negative.

    Raises
    ------
    ValueError
        If the arrays do not fit together, hold NaN or infinity, a latent is constant on the test pairs (a single
        one, too), or the ridge is not positive.
    """
    if not 0 < ridge < np.inf:
        raise ValueError(f"ridge must be a positive number, got {ridge}")
    train_targets, ends = _side_by_side(train_latents, len(train_codes), "training")
    test_targets, test_ends = _side_by_side(test_latents, len(test_codes), "test")
    if ends != test_ends:
        raise ValueError(f"training latents end at columns {ends}, test latents at {test_ends}")
    mean, target_mean = column_means(train_codes, "training codes"), column_means(train_targets, "training latents")
    test_mean = column_means(test_codes, "test codes")
    if len(test_mean) != len(mean):
        raise ValueError(f"training codes have {len(mean)} dimensions, test codes {len(test_mean)}")
    test_target_mean = column_means(test_targets, "test latents")
    weights = _ridge_weights(
        covariance(train_codes, mean, train_codes, mean),
        covariance(train_codes, mean, train_targets, target_mean),
        ridge,
    )
    errors, spread = np.zeros(len(target_mean)), np.zeros(len(target_mean))
    for start in range(0, len(test_codes), BLOCK):
        block = slice(start, start + BLOCK)
        predicted = (test_codes[block] - mean) @ weights + target_mean
        errors += ((test_targets[block] - predicted) ** 2).sum(axis=0)
        spread += ((test_targets[block] - test_target_mean) ** 2).sum(axis=0)
    scores, start = {}, 0
    for name, end in ends.items():
        total = spread[start:end].sum()
        if not total > 0:
            raise ValueError(f"{name} is constant over the {len(test_codes)} test pairs; R2 is undefined")
        scores[name] = float(1 - errors[start:end].sum() / total)
        start = end
    return scores


def _ridge_weights(within: np.ndarray, cross: np.ndarray, ridge: float) -> np.ndarray:
    """Weights of all targets from one factorisation, ``(dimensions, targets)``."""
    scale = np.trace(within) / max(len(within), 1)
    if not scale > 0:
        return np.zeros_like(cross)
    # Divided by the scale first: codes of size 1e-20 would underflow in the factorisation.
    return np.linalg.solve(within / scale + ridge * np.eye(len(within)), cross / scale)


def _side_by_side(latents: Mapping[str, np.ndarray], pairs: int, split: str) -> tuple[np.ndarray, dict[str, int]]:
    """Return all latents as one array and the column at which each one ends."""
    if not latents:
        raise ValueError(f"no {split} latents were given")
    for name, values in latents.items():
        if values.ndim != 2 or len(values) != pairs or not values.shape[1]:
            raise ValueError(f"{split} latent {name} of shape {values.shape} does not fit codes of {pairs} pairs")
    ends = np.cumsum([values.shape[1] for values in latents.values()]).tolist()
    return np.concatenate(list(latents.values()), axis=1), dict(zip(latents, ends, strict=True))
