"""The information plane of Gaussian views: the optimal trade-off, and where an encoder lies.

An encoder T of view 1 has two coordinates, both in **bits**: what it keeps, I(T; X1), and what of this the other
view knows, I(T; X2). The noisy simulation x_m = [zs_m, zc] T_m + noise is jointly Gaussian, so the best I(T; X2)
for every I(T; X1) is known in closed form: the Gaussian information bottleneck (Chechik, Globerson, Tishby, Weiss
2005, "Information Bottleneck for Gaussian Variables", JMLR 6), a function of the canonical correlations alone.

**What** :func:`linear_information` **measures** is the Gaussian channel that an encoder is when one looks at first
and second moments only: T = B x1 + noise, where B is the linear regression of the mean direction on x1, and the
noise is all that x1 does not explain linearly: vMF sampling, and the nonlinear part of the encoder.

- For Gaussian X1, the residual of any function of x1 on x1 is uncorrelated with x2 (E[X2 | X1] is linear). So the
  surrogate is a channel T - X1 - X2, and its point lies on or below the curve of the same covariances, always: a
  theorem, and by construction free of sampling error.
- For Gaussian views both coordinates are **lower bounds** of the encoder's true ones (of all T with these second
  moments, the jointly Gaussian one tells least about a Gaussian X). The true point lies further right and further
  up, and is under the curve as well.
- It says nothing of what is carried nonlinearly (say, the length of x1, or a sign): that counts as noise. An
  encoder whose point is far below the curve may be nonlinear rather than wasteful, and the vertical distance to the
  curve bounds the true distance neither way. Nor does it apply to views that are not Gaussian: the curve is then
  not the optimum.
- The information of an encoder without sampling noise (CLIP) is infinite. Giving it a kappa asks what its directions
  *would* carry if they were sampled as step 1's are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ive

from disentangledssl.evaluation.moments import column_means, covariance

# Directions with less than this share of a view's largest variance are rounding, not signal.
SMALLEST_VARIANCE = 1e-12
# Closer to 1 than this, two views share something without noise, and the information has no bound.
NOISE_FREE = 1e-9
UNIT_LENGTH_TOLERANCE = 1e-3


class Covariances(NamedTuple):
    """Second moments of a pair of views: ``(features 1, features 1)``, ``(features 2, features 2)`` and across."""

    x1: np.ndarray
    x2: np.ndarray
    cross: np.ndarray

    def swapped(self) -> Covariances:
        """Return the covariances with the views exchanged, for an encoder of view 2."""
        return Covariances(self.x2, self.x1, self.cross.T)


class Information(NamedTuple):
    """A point of the plane, in bits: with the encoder's own view, and with the other one."""

    own: float
    other: float


class Curve(NamedTuple):
    """The optimal trade-off, in bits; ``multipliers`` are the bottleneck's beta, ``(points,)`` each."""

    multipliers: np.ndarray
    own: np.ndarray
    other: np.ndarray


# ---------------------------------------------------------------- covariances of the views


def sample_covariances(x1: np.ndarray, x2: np.ndarray) -> Covariances:
    """Return the covariances of training pairs, ``(pairs, features of the view)`` each.

    Canonical correlations of a sample are too high: with n pairs and p and
    q features, I(X1; X2) gains about p q / (2 n ln 2) bits (0.1 for 100, 100 and 72,000).

    Raises
    ------
    ValueError
        If the views do not pair, or hold NaN or infinity.
    """
    if len(x1) != len(x2):
        raise ValueError(f"views of {len(x1)} and {len(x2)} rows do not pair")
    mean1, mean2 = column_means(x1, "rows of view 1"), column_means(x2, "rows of view 2")
    return Covariances(
        covariance(x1, mean1, x1, mean1), covariance(x2, mean2, x2, mean2), covariance(x1, mean1, x2, mean2)
    )


# ---------------------------------------------------------------- the optimum


def canonical_correlations(covariances: Covariances) -> np.ndarray:
    """Return the canonical correlations of two views, descending, ``(smaller of the ranks,)``.

    Raises
    ------
    ValueError
        If the shapes do not fit, a covariance holds NaN or infinity or has no positive variance, or the three are
        not covariances of one distribution (a correlation above 1).
    """
    x1, x2, cross = _checked(covariances)
    correlations = np.linalg.svd(_whitening(x1).T @ cross @ _whitening(x2), compute_uv=False)
    if correlations[0] > 1 + 1e-6:
        raise ValueError(f"not covariances of one distribution: a canonical correlation is {correlations[0]:.6g}")
    return np.minimum(correlations, 1)


def mutual_information(covariances: Covariances) -> float:
    """Return I(X1; X2) of Gaussian views, in bits: the height that the curve tends to.

    Raises
    ------
    ValueError
        As :func:`canonical_correlations`, or if the views share something free of noise.
    """
    return float(-np.log2(1 - _squared_correlations(covariances)).sum() / 2)


def gaussian_bottleneck(
    covariances: Covariances,
    *,
    multipliers: np.ndarray | None = None,
    points: int = 200,
    end: float | None = None,
) -> Curve:
    """Return the largest I(T; X2) for every I(T; X1): the information curve of Gaussian views.

    Parameters
    ----------
    covariances : Covariances
        Of the population where it is known, else of training pairs.
    multipliers : array, ``(points,)``, optional
        Lagrange multipliers beta of I(T; X1) - beta I(T; X2). Up to the first critical value, 1 over the largest
        squared canonical correlation, the best encoder is empty.
    points : int
        Without multipliers: this many points, equally spaced in I(T; X1) from 0 on.
    end : float, optional
        The last of these, in bits; twice I(X1; X2) unless given (the Minimum Necessary Information point, which the
        curve misses, has both coordinates equal to I(X1; X2)).

    Returns
    -------
    Curve
        Steeper than 1 nowhere, concave, and below both the diagonal and I(X1; X2).

    Raises
    ------
    ValueError
        As :func:`mutual_information`; for views that are not correlated at all and neither multipliers nor ``end``
        given; for multipliers that are not positive numbers; or for fewer than 2 points.

    Notes
    -----
    With squared canonical correlations r, mode i is used from beta r_i > 1 on, at the signal-to-noise ratio
    (beta r_i - 1) / (1 - r_i). It then carries 1/2 log((beta - 1) r_i / (1 - r_i)) about X1, of which
    1/2 log(beta r_i) is lost on X2.
    Source: Chechik et al. 2005, theorem 3.1, and the information curve that follows from it.
    """
    squared = _squared_correlations(covariances)
    if multipliers is None:
        if end is None:
            end = float(-np.log2(1 - squared).sum())
        if not (points >= 2 and 0 < end < np.inf):
            raise ValueError(f"a curve needs at least 2 points and an end above 0 bits, got {points} and {end:g}")
        log_excess = _log_excess_at(squared, np.linspace(0, end, points))
        multipliers = 1 + np.exp(log_excess)
    else:
        multipliers = np.asarray(multipliers, np.float64)
        if not ((multipliers > 0) & np.isfinite(multipliers)).all():
            raise ValueError(f"multipliers must be positive numbers, got {multipliers.min()} to {multipliers.max()}")
        with np.errstate(divide="ignore"):
            log_excess = np.log(np.maximum(multipliers - 1, 0))
    return Curve(multipliers, *_coordinates(squared, log_excess))


def highest_relevance(covariances: Covariances, kept: np.ndarray | float) -> np.ndarray:
    """Return the curve's I(T; X2) at given I(T; X1), both in bits, in the shape of ``kept``.

    Its difference to an encoder's I(T; X2) is the information that the encoder wastes on what view 2 does not know,
    seen linearly.

    Raises
    ------
    ValueError
        As :func:`mutual_information`, or if ``kept`` is negative or not finite.
    """
    kept = np.asarray(kept, np.float64)
    if not ((kept >= 0) & np.isfinite(kept)).all():
        raise ValueError(f"I(T; X1) must be 0 bits or more, got {kept.min()} to {kept.max()}")
    squared = _squared_correlations(covariances)
    return _coordinates(squared, _log_excess_at(squared, kept.ravel()))[1].reshape(kept.shape)


def _squared_correlations(covariances: Covariances) -> np.ndarray:
    """Return the squared canonical correlations that are not 0, descending."""
    squared = canonical_correlations(covariances) ** 2
    if squared[0] > 1 - NOISE_FREE:
        free = np.count_nonzero(squared > 1 - NOISE_FREE)
        raise ValueError(f"{free} canonical correlations are 1: views without noise of their own share infinite bits")
    # Squared rounding errors of a float64 SVD.
    return squared[squared > 1e-28]


def _log_excess_at(squared: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return log(beta - 1) at which the optimum keeps these bits of X1, ``(points,)``.

    I(T; X1) is linear in log(beta - 1) between the values at which modes set in: water-filling, solved exactly.
    """
    if not len(squared):
        return np.full(kept.shape, -np.inf)
    gains = np.log(squared) - np.log1p(-squared)
    sums = np.cumsum(gains)
    used = np.arange(1, len(gains) + 1)
    nats = kept * np.log(2)
    set_in = (sums - used * gains) / 2
    modes = np.searchsorted(set_in, nats, side="right").clip(min=1)
    return (2 * nats - sums[modes - 1]) / modes


def _coordinates(squared: np.ndarray, log_excess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gains = np.log(squared) - np.log1p(-squared)
    kept = np.maximum(log_excess[:, None] + gains, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        # beta r = (beta / (beta - 1)) (1 - r) (1 + signal-to-noise ratio), without its rounding.
        known = np.where(kept > 0, -np.logaddexp(0, -log_excess)[:, None] - np.log1p(-squared), 0)
    return kept.sum(axis=1) / (2 * np.log(2)), known.sum(axis=1) / (2 * np.log(2))


# ---------------------------------------------------------------- an encoder


def linear_information(directions: np.ndarray, kappa: float, x: np.ndarray, covariances: Covariances) -> Information:
    """Return I(T; X1) and I(T; X2) of the Gaussian surrogate of a vMF encoder of view 1; see the module.

    Parameters
    ----------
    directions : array, ``(pairs, dimensions)``
        Mean directions mu(x1), unit vectors. Training pairs: the regression on x1 is fitted to them.
    kappa : float
        Concentration with which step 1 samples s ~ vMF(mu, kappa).
    x : array, ``(pairs, features of view 1)``
        The inputs, as the encoder saw them.
    covariances : Covariances
        Of the views as the encoders saw them, scaled alike: of the population where it is known, else of training
        pairs. For an encoder of view 2, ``covariances.swapped()``.

    Returns
    -------
    Information
        Bits. Never above the curve of the same covariances. Chance correlations add about d p / (2 n ln 2) bits at
        most to a code that is mostly noise (0.1 for d = p = 100 and n = 72,000).

    Raises
    ------
    ValueError
        If the arrays do not fit together, hold NaN or infinity, are fewer pairs than features + 2, the directions
        are not unit vectors or of one dimension, or kappa is not a positive number.

    Notes
    -----
    vMF sampling is exact to second order. With d dimensions, A = A_d(kappa) the mean resultant length and
    M = E[mu mu^T]: E[s | mu] = A mu, and Cov(s | mu), averaged over mu, is
    (A / kappa) I + (1 - d A / kappa - A^2) M; for large kappa this is (I - M) / kappa, noise in the tangent plane.
    Source: moments of the vMF from E[w^2] = 1 - (d - 1) A / kappa, w the cosine to the mean (Mardia and Jupp 2000,
    Directional Statistics, ch. 9); the surrogate is a choice.
    """
    mean, mean_x = column_means(directions, "mean directions"), column_means(x, "rows of x")
    pairs, dimensions = directions.shape
    if len(x) != pairs or x.shape[1] != len(covariances.x1):
        raise ValueError(
            f"directions {directions.shape}, x {x.shape} and a covariance {covariances.x1.shape} do not fit"
        )
    if pairs < x.shape[1] + 2:
        raise ValueError(f"{pairs} pairs are too few for a regression on {x.shape[1]} features")
    if dimensions < 2 or not 0 < kappa < np.inf:
        raise ValueError(f"vMF needs at least 2 dimensions and kappa > 0, got {dimensions} and {kappa}")
    lengths = np.linalg.norm(directions, axis=1)
    if np.abs(lengths - 1).max() > UNIT_LENGTH_TOLERANCE:
        raise ValueError(f"mean directions must have length 1, got {lengths.min():.4g} to {lengths.max():.4g}")
    within = covariance(directions, mean, directions, mean)
    cross = covariance(x, mean_x, directions, mean)
    whitening = _whitening(covariance(x, mean_x, x, mean_x))
    weights = whitening @ (whitening.T @ cross)
    # Unbiased: the regression has used up one degree of freedom for each feature and one for the mean.
    residual = (within - cross.T @ weights) * pairs / (pairs - whitening.shape[1] - 1)
    resultant = mean_resultant_length(dimensions, kappa)
    across, along = resultant / kappa, 1 - dimensions * resultant / kappa - resultant**2
    second = within + np.outer(mean, mean)
    # Its trace is 1 for unit vectors; in float32 it is off by more than the noise along a mean that never varies.
    sampling = across * np.eye(dimensions) + along * second / np.trace(second)
    return channel_information(resultant * weights, sampling + resultant**2 * residual, covariances)


def channel_information(weights: np.ndarray, noise: np.ndarray, covariances: Covariances) -> Information:
    """Return I(T; X1) and I(T; X2), in bits, of T = x1 @ weights + N(0, noise) for Gaussian views.

    Parameters
    ----------
    weights : array, ``(features of view 1, dimensions)``
    noise : array, ``(dimensions, dimensions)``
        Covariance of the noise, which does not depend on the views.
    covariances : Covariances

    Raises
    ------
    ValueError
        If the shapes do not fit, or the noise is not positive definite.
    """
    x1, x2, cross = _checked(covariances)
    if weights.shape[0] != len(x1) or noise.shape != (weights.shape[1],) * 2:
        raise ValueError(f"weights {weights.shape} and noise {noise.shape} do not fit a covariance {x1.shape}")
    try:
        factor = np.linalg.cholesky(noise)
    except np.linalg.LinAlgError:
        smallest = np.linalg.eigvalsh(noise).min()
        raise ValueError(f"the noise must be positive definite, its smallest eigenvalue is {smallest:.3g}") from None
    # In coordinates in which the noise is white, the smallest eigenvalue of either determinant is 1.
    white = np.linalg.solve(factor, weights.T)
    signal = white @ x1 @ white.T
    explained = white @ cross @ _whitening(x2)
    unit = np.eye(len(noise))
    total = np.linalg.slogdet(unit + signal)[1]
    unknown = np.linalg.slogdet(unit + signal - explained @ explained.T)[1]
    return Information(float(total / (2 * np.log(2))), float((total - unknown) / (2 * np.log(2))))


def mean_resultant_length(dimensions: int, kappa: float) -> float:
    """Return A_d(kappa), the length of the mean of a von Mises-Fisher distribution: I_{d/2} / I_{d/2 - 1}.

    >>> round(mean_resultant_length(3, 2.0), 6)  # coth(kappa) - 1 / kappa
    0.537315
    """
    above, below = ive([dimensions / 2, dimensions / 2 - 1], kappa)
    if above > 1e-290:
        return float(above / below)
    # Both have underflown, so kappa is small beside d, and the recurrence of the ratio forgets its start at once.
    order, ratio = dimensions / 2 + 100, 0.0
    while order >= dimensions / 2:
        ratio = 1 / (2 * order / kappa + ratio)
        order -= 1
    return float(ratio)


def _whitening(matrix: np.ndarray) -> np.ndarray:
    """Return W with W^T matrix W = 1, over the directions that have variance, ``(features, rank)``."""
    variances, basis = np.linalg.eigh(matrix)
    kept = variances > SMALLEST_VARIANCE * variances.max()
    if not variances.max() > 0:
        raise ValueError(f"a view has no variance: the largest eigenvalue of its covariance is {variances.max():.3g}")
    return basis[:, kept] / np.sqrt(variances[kept])


def _checked(covariances: Covariances) -> Covariances:
    x1, x2, cross = covariances
    if x1.shape != (len(x1),) * 2 or x2.shape != (len(x2),) * 2 or cross.shape != (len(x1), len(x2)):
        raise ValueError(f"covariances of shapes {x1.shape}, {x2.shape} and {cross.shape} do not fit together")
    if not all(np.isfinite(one).all() for one in covariances):
        raise ValueError("a covariance holds NaN or infinity")
    return covariances
