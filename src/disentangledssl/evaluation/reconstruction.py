"""How much of a view its decoders give back: R2, and the gain of two representations over one (sec. 3.3, Table 3).

The paper's reconstruction gain is a difference of R2 between the combined and the single representations; which of the
single ones, its text leaves open. All readings are measured; the gain over the better single one is the main one.
Source: sec. 3.3; R2 and readings: choice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from disentangledssl.evaluation.moments import column_means


class Reconstruction(NamedTuple):
    """R2 of a reconstruction.

    Attributes
    ----------
    pooled : float
        1 - SSE / SST, both summed over all features; NaN where every feature is constant.
    per_feature : float
        Mean over the features of each one's own R2, those that are constant left out.
    constant : int
        Number of features that are constant on what was reconstructed.
    """

    pooled: float
    per_feature: float
    constant: int


def reconstruction_r2(truth: np.ndarray, predicted: np.ndarray) -> Reconstruction:
    """Measure a reconstruction; SST is about the mean of each feature of ``truth``.

    Parameters
    ----------
    truth, predicted : arrays, ``(samples, features)``
        Standardised, so that features weigh alike in the pooled R2.

    Raises
    ------
    ValueError
        If the arrays differ in shape, or hold NaN or infinity.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth and prediction of shapes {truth.shape} and {predicted.shape} do not pair")
    column_means(predicted, "predictions")  # refuses NaN and infinity
    total = np.square(truth - column_means(truth, "true values")).sum(axis=0)
    error = np.square(truth - predicted.astype(np.float64)).sum(axis=0)
    varies = total > 0
    if not varies.any():
        return Reconstruction(float("nan"), float("nan"), len(total))
    return Reconstruction(
        pooled=float(1 - error.sum() / total.sum()),
        per_feature=float(np.mean(1 - error[varies] / total[varies])),
        constant=int(np.count_nonzero(~varies)),
    )


def reconstruction_gains(shared: float, specific: float, both: float) -> dict[str, float]:
    """Return the gain in R2 of both representations over the single ones, by every reading.

    >>> gains = reconstruction_gains(shared=0.25, specific=0.5, both=0.75)
    >>> gains["gain_over_better"], gains["gain_over_mean"], gains["gain_over_zc"]
    (0.25, 0.375, 0.5)
    """
    return {
        "gain_over_better": both - float(np.maximum(shared, specific)),  # NaN wins, unlike in max()
        "gain_over_mean": both - (shared + specific) / 2,
        "gain_over_zc": both - shared,
    }
