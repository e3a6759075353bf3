"""How alike two representations are: linear centred kernel alignment (CKA).

Source: Kornblith et al. 2019, "Similarity of Neural Network Representations Revisited", sec. 3: with
centred A and B, |B^T A|^2 / (|A^T A| |B^T B|) in Frobenius norms. It is 1 for codes that are equal up to rotation,
shift and scale, and does not change with any of these; it is not invariant to other linear maps, so that it weighs
directions by their variance.

The plain estimator has a floor: independent isotropic codes of d dimensions and n pairs score about d / n (0.006
for 100 and 18,000), more on few pairs. Compare values of one number of pairs only.
"""

from __future__ import annotations

import numpy as np

from disentangledssl.evaluation.moments import column_means, covariance


def linear_cka(a: np.ndarray, b: np.ndarray) -> float:
    """Return the linear CKA of two representations of the same pairs.

    Parameters
    ----------
    a, b : arrays, ``(pairs, dimensions of the code)``

    Returns
    -------
    float
        Between 0 (uncorrelated) and 1. NaN where a code is constant or has no dimensions: a collapsed code is
        neither like nor unlike another one, and a 0 would be read as "disentangled".

    Raises
    ------
    ValueError
        If the codes do not pair, or hold NaN or infinity.
    """
    if len(a) != len(b):
        raise ValueError(f"codes of {len(a)} and {len(b)} rows do not pair")
    means = column_means(a, "first codes"), column_means(b, "second codes")
    within = [covariance(x, mean, x, mean) for x, mean in zip((a, b), means, strict=True)]
    variances = [np.trace(one) for one in within]
    if not min(variances) > 0:
        return float("nan")
    # Unit total variance: the fourth powers of small codes would underflow.
    norms = [np.linalg.norm(one / variance) for one, variance in zip(within, variances, strict=True)]
    cross = covariance(a, means[0], b, means[1]) / np.sqrt(variances[0]) / np.sqrt(variances[1])
    return float(np.linalg.norm(cross) ** 2 / (norms[0] * norms[1]))
