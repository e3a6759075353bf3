"""Reference rows: what needs no training, set beside every method.

Simulations: **chance**, **oracle** (true latents), **raw** input and **linear CCA** (shared =
canonical variates with correlation above 0.5, specific = the rest of each view). On the clean
simulation linear CCA reaches the ideal corner of the paper's figures: its data are linear and
free of noise, so that 50 canonical correlations are 1. This is a finding, not an artefact.

MultiBench: **linear CCA** too, of the same two parts; with a few hundred pairs it needs regularisation, and which
variates are shared is told by their correlations on validation pairs (:func:`validated_cca`).

Drug screens: **regularised CCA**, **ridge** regression from molecule features to principal
components of the phenotypes, and the **nearest neighbours** of a molecule by its fingerprint. All
choose their few settings on the validation molecules (mean reciprocal rank per molecule, stated
grid), never on test: where retrieval ranks validation and test together (``retrieval.pool:
valtest``), on part of what is scored. Choices:

- Every molecule *group* weighs the same in means, covariances and fits: a profile has the weight
  1 / (profiles of its group). Else the molecules with hundreds of wells would be the fit.
- Regularisation adds ``regularisation`` times the mean eigenvalue of a view's covariance to its
  diagonal: a number without unit, so that one grid serves all screens.
- Canonical variates are weighted by their correlations, on both sides, before the cosine.
- Grids run from the simplest setting on; of equal scores the first, simplest one is taken.

Everything is float64 numpy. Source: choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from disentangledssl.dataset import PairedDataset
from disentangledssl.evaluation.retrieval import candidate_pool, retrieval_rows, summarise

SHARED_ABOVE = 0.5
RIDGE_COMPONENTS = 64
RIDGE_STRENGTHS = (100.0, 10.0, 1.0, 0.1, 0.01, 0.001)
CCA_REGULARISATIONS = (100.0, 10.0, 1.0, 0.1, 0.01)
CCA_COMPONENTS = (8, 16, 32, 64, 128)
NEIGHBOURS = (20, 10, 5, 3, 1)
# Directions with less than this share of the largest variance are rounding of float32 data.
SMALLEST_VARIANCE = 1e-10
BLOCK = 8192  # rows held in float64 at once


@dataclass(frozen=True)
class LinearCCA:
    """A fitted canonical correlation analysis.

    Attributes
    ----------
    correlations : array, ``(min of the views' ranks,)``
        Canonical correlations, descending.
    means, directions : pairs of arrays, ``(features,)`` and ``(features, rank of the view)``
        A view's variates are (x - mean) @ directions, in the order of ``correlations``; a view of
        higher rank than the other has more of them, whose correlation is 0.
    """

    correlations: np.ndarray
    means: tuple[np.ndarray, np.ndarray]
    directions: tuple[np.ndarray, np.ndarray]

    def project1(self, x: np.ndarray) -> np.ndarray:
        """Return the canonical variates of view 1, ``(rows, rank of view 1)``."""
        return (x - self.means[0]) @ self.directions[0]

    def project2(self, x: np.ndarray) -> np.ndarray:
        """Return the canonical variates of view 2, ``(rows, rank of view 2)``."""
        return (x - self.means[1]) @ self.directions[1]

    def shared(self, above: float = SHARED_ABOVE) -> int:
        """Return the number of variates whose correlation is higher than ``above``."""
        return int(np.count_nonzero(self.correlations > above))


def linear_cca(
    x1: np.ndarray, x2: np.ndarray, *, regularisation: float = 0.0, weights: np.ndarray | None = None
) -> LinearCCA:
    """Fit linear CCA: whiten both views, then the SVD of their cross-covariance.

    Parameters
    ----------
    x1, x2 : arrays, ``(pairs, features of the view)``
        Training pairs. Directions without variance are left out.
    regularisation : float
        Ridge, as a multiple of each view's mean eigenvalue. Needed where pairs are fewer than
        features: else every correlation is 1.
    weights : array, ``(pairs,)``, optional
        Weights of the pairs; equal unless given.

    Raises
    ------
    ValueError
        If the views do not pair, hold NaN or infinity, or one of them is constant.
    """
    return _solve_cca(_moments(x1, x2, weights), regularisation)


def chance(labels: np.ndarray) -> float:
    """Return the accuracy of always saying the most common class of the test labels, ``(pairs,)`` (-1 left out).

    Raises
    ------
    ValueError
        If no pair is labelled.
    """
    labels = np.asarray(labels)
    counts = np.unique(labels[labels != -1], return_counts=True)[1]
    if not counts.size:
        raise ValueError(f"none of {len(labels)} labels is a class")
    return float(counts.max() / counts.sum())


def probe_references(
    x1: np.ndarray, x2: np.ndarray, train: np.ndarray, latents: Mapping[str, np.ndarray] | None = None
) -> dict[tuple[str, str], np.ndarray]:
    """Return the codes of the reference rows that are measured with the linear probe.

    Parameters
    ----------
    x1, x2 : arrays, ``(pairs, features of the view)``
    train : array of whole numbers
        Positions of the training pairs, to which CCA is fitted.
    latents : mapping, optional
        True ``zc``, ``zs1``, ``zs2``, ``(pairs, dimensions)``, where they are known.

    Returns
    -------
    dict of (reference, representation) to array, ``(pairs, dimensions)``
        ``oracle``: zc, zs1, zs2; ``raw``: x1, x2; ``linear_cca``: zc1, zc2, zc (both together, as
        the methods' shared representation is probed), zs1, zs2. A code may have no dimensions
        where no variate, or every one, is shared.
    """
    codes = {("oracle", name): np.asarray(values) for name, values in (latents or {}).items()}
    codes |= {("raw", "x1"): x1, ("raw", "x2"): x2}
    cca = linear_cca(x1[train], x2[train])
    shared = cca.shared()
    (zc1, zs1), (zc2, zs2) = (np.split(v, [shared], axis=1) for v in (cca.project1(x1), cca.project2(x2)))
    found = {"zc1": zc1, "zc2": zc2, "zc": np.hstack([zc1, zc2]), "zs1": zs1, "zs2": zs2}
    return codes | {("linear_cca", name): values for name, values in found.items()}


@dataclass(frozen=True)
class ScreenSplit:
    """One split of one fold of a drug screen, scaled as the methods see it.

    Attributes
    ----------
    phenotypes : array, ``(profiles, features)``
    molecules : array, ``(molecules, features)``
        Distinct molecules of the split: the candidates.
    truth : array of whole numbers, ``(profiles,)``
        Row of ``molecules`` that belongs to each profile.
    groups : array of text, ``(profiles,)``
        Molecule group of each profile.
    """

    phenotypes: np.ndarray
    molecules: np.ndarray
    truth: np.ndarray
    groups: np.ndarray

    def weights(self) -> np.ndarray:
        """Return weights under which every group counts 1, ``(profiles,)``."""
        _, member, profiles = np.unique(self.groups, return_inverse=True, return_counts=True)
        return 1 / profiles[member]


def screen_split(dataset: PairedDataset, views: Sequence[np.ndarray], fold: int, split: str) -> ScreenSplit:
    """Return one split of one fold, from both views scaled as the methods see them."""
    pairs = dataset.pairs_in(fold, split)
    pool, truth = candidate_pool(dataset.rows[1][pairs])
    return ScreenSplit(views[0][dataset.rows[0][pairs]], views[1][pool], truth, dataset.groups[pairs])


class Reference(NamedTuple):
    """A fitted retrieval reference: two encoders, the settings chosen, and the grid with its scores.

    ``chosen`` and each row of ``grid`` hold the settings and ``validation_mrr`` (per molecule).
    """

    encode_phenotype: Callable[[np.ndarray], np.ndarray]
    encode_molecule: Callable[[np.ndarray], np.ndarray]
    chosen: dict[str, Any]
    grid: list[dict[str, Any]]


def regularised_cca(
    train: ScreenSplit,
    validation: ScreenSplit,
    *,
    regularisations: Sequence[float] = CCA_REGULARISATIONS,
    components: Sequence[int] = CCA_COMPONENTS,
) -> Reference:
    """Fit ridge-regularised CCA between phenotypes and molecules, settings chosen on validation.

    Parameters
    ----------
    train, validation : ScreenSplit
    regularisations : sequence of float
        Grid, as in :func:`linear_cca`, the same for both views.
    components : sequence of int
        Grid of how many variates to keep; cut to those that exist.

    Raises
    ------
    ValueError
        If validation has no profile, or as :func:`linear_cca`.
    """
    moments = _moments(train.phenotypes, train.molecules[train.truth], train.weights())
    fitted, grid = [], []
    for regularisation in regularisations:
        cca = _solve_cca(moments, regularisation)
        for kept in sorted({min(kept, len(cca.correlations)) for kept in components}):
            encoders = tuple(
                _affine(cca.means[m], cca.directions[m][:, :kept] * cca.correlations[:kept]) for m in (0, 1)
            )
            fitted.append(encoders)
            score = _validation_mrr(*encoders, validation)
            grid.append({"regularisation": regularisation, "components": kept, "validation_mrr": score})
    return _best(fitted, grid)


def validated_cca(train: ScreenSplit, validation: ScreenSplit) -> tuple[LinearCCA, np.ndarray]:
    """Fit CCA with the regularisation that :func:`regularised_cca` chooses, and tell which variates are shared.

    Of few pairs the correlations in training say little: with more features than pairs all of them are 1. So a pair of
    variates is shared where its correlation over the *validation* pairs is higher than ``SHARED_ABOVE``.

    Parameters
    ----------
    train, validation : ScreenSplit
        View 1 is ``phenotypes``, view 2 ``molecules``.

    Returns
    -------
    cca : LinearCCA
    shared : array of bool, ``(min of the views' ranks,)``
        In the order of its variates; those of the view of higher rank that have no partner are not in it.

    Raises
    ------
    ValueError
        As :func:`regularised_cca`.
    """
    regularisation = regularised_cca(train, validation).chosen["regularisation"]
    x1, x2 = train.phenotypes, train.molecules[train.truth]
    cca = linear_cca(x1, x2, regularisation=regularisation, weights=train.weights())
    paired, shares = len(cca.correlations), validation.weights() / validation.weights().sum()
    sides = cca.project1(validation.phenotypes), cca.project2(validation.molecules[validation.truth])
    first, second = (side[:, :paired] - shares @ side[:, :paired] for side in sides)
    spread = np.sqrt((shares @ first**2) * (shares @ second**2))
    return cca, shares @ (first * second) > SHARED_ABOVE * spread


def ridge(
    train: ScreenSplit,
    validation: ScreenSplit,
    *,
    strengths: Sequence[float] = RIDGE_STRENGTHS,
    components: int = RIDGE_COMPONENTS,
) -> Reference:
    """Fit ridge regression from molecules to principal components of the training phenotypes.

    A profile's code is its principal components, a molecule's code their prediction.

    Parameters
    ----------
    train, validation : ScreenSplit
    strengths : sequence of float
        Grid of the penalty, as a multiple of the mean eigenvalue of the molecules' covariance.
    components : int
        Principal components, at most the rank of the training phenotypes.

    Raises
    ------
    ValueError
        If validation has no profile, or a view is constant or holds NaN or infinity.
    """
    moments = _moments(train.phenotypes, train.molecules[train.truth], train.weights())
    phenotypes, molecules = moments.views
    principal = _principal(phenotypes, components)
    target = molecules.basis.T @ moments.cross.T @ principal
    fitted, grid = [], []
    for strength in strengths:
        penalised = molecules.variances + strength * molecules.mean_variance
        encoders = (
            _affine(phenotypes.mean, principal),
            _affine(molecules.mean, molecules.basis @ (target / penalised[:, None])),
        )
        fitted.append(encoders)
        grid.append({"strength": strength, "validation_mrr": _validation_mrr(*encoders, validation)})
    return _best(fitted, grid)


def nearest_neighbour(
    train: ScreenSplit,
    validation: ScreenSplit,
    *,
    neighbours: Sequence[int] = NEIGHBOURS,
    components: int = RIDGE_COMPONENTS,
) -> Reference:
    """Give a molecule the mean phenotype of the training molecules that are most similar to it.

    A profile's code is its principal components, as in :func:`ridge`; a molecule's code the mean over its nearest
    training molecules, weighted by :func:`tanimoto`, of the mean code of their profiles. It is 0, the mean
    phenotype, where no training molecule has a bit in common. Of equally similar molecules at the border those that
    come first in ``train.molecules`` are taken.

    Parameters
    ----------
    train, validation : ScreenSplit
        Their ``molecules`` are fingerprints of 0 and 1.
    neighbours : sequence of int
        Grid of how many are averaged, smoothest first; cut to the training molecules.
    components : int
        Principal components, at most the rank of the training phenotypes.

    Raises
    ------
    ValueError
        If validation has no profile, or the phenotypes are constant or hold NaN or infinity.
    """
    phenotypes = _view(train.phenotypes, train.weights(), 1)
    encode_phenotype = _affine(phenotypes.mean, _principal(phenotypes, components))
    count = len(train.molecules)
    profiles = np.bincount(train.truth, minlength=count)
    sums = [np.bincount(train.truth, column, count) for column in encode_phenotype(train.phenotypes).T]
    codes = np.stack(sums, axis=1) / profiles[:, None]

    def encoder(kept: int) -> Callable[[np.ndarray], np.ndarray]:
        def encode(molecules: np.ndarray) -> np.ndarray:
            similar = tanimoto(molecules, train.molecules)
            nearest = np.argsort(-similar, axis=1, kind="stable")[:, :kept]
            weights = np.take_along_axis(similar, nearest, axis=1)
            weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(float).tiny)
            return np.einsum("mn,mnd->md", weights, codes[nearest])

        return encode

    fitted, grid = [], []
    for kept in dict.fromkeys(min(kept, count) for kept in neighbours):
        fitted.append((encode_phenotype, encoder(kept)))
        grid.append({"neighbours": kept, "validation_mrr": _validation_mrr(*fitted[-1], validation)})
    return _best(fitted, grid)


def tanimoto(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the Tanimoto similarities of fingerprints, ``(rows of first, rows of second)``: bits in common by bits.

    Two fingerprints without a bit have the similarity 0.

    >>> tanimoto(np.array([[1, 1, 0]]), np.array([[0, 1, 1], [1, 1, 0], [0, 0, 0]])).round(2).tolist()
    [[0.33, 1.0, 0.0]]
    """
    common = (first @ second.T).astype(np.float64)
    either = first.sum(axis=1)[:, None] + second.sum(axis=1) - common
    return common / np.maximum(either, 1)


def _best(fitted: list[tuple], grid: list[dict[str, Any]]) -> Reference:
    best = int(np.argmax([row["validation_mrr"] for row in grid]))
    return Reference(*fitted[best], chosen=grid[best], grid=grid)


def _validation_mrr(encode_phenotype: Callable, encode_molecule: Callable, validation: ScreenSplit) -> float:
    if not len(validation.truth):
        raise ValueError("validation has no profile; settings are chosen on validation, so give it some molecules")
    codes = encode_phenotype(validation.phenotypes), encode_molecule(validation.molecules)
    return summarise(retrieval_rows(*codes, validation.truth, validation.groups), "per_molecule")["mrr"]


def _affine(mean: np.ndarray, directions: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    # x @ W - m @ W instead of (x - m) @ W: no second copy of a large view.
    offset = mean @ directions
    return lambda x: np.asarray(x, np.float64) @ directions - offset


class _View(NamedTuple):
    mean: np.ndarray  # (features,)
    basis: np.ndarray  # (features, rank), principal directions, ascending variance
    variances: np.ndarray  # (rank,)
    mean_variance: float  # over all features, those without variance too


class _Moments(NamedTuple):
    views: tuple[_View, _View]
    cross: np.ndarray  # (features 1, features 2), weighted cross-covariance


def _moments(x1: np.ndarray, x2: np.ndarray, weights: np.ndarray | None) -> _Moments:
    if len(x1) != len(x2) or not len(x1):
        raise ValueError(f"views of {len(x1)} and {len(x2)} rows do not pair")
    weights = np.ones(len(x1)) if weights is None else weights
    views = _view(x1, weights, 1), _view(x2, weights, 2)
    cross = np.zeros((len(views[0].mean), len(views[1].mean)))
    for first, second in zip(
        *(_centred(x, view.mean, weights) for x, view in zip((x1, x2), views, strict=True)), strict=True
    ):
        cross += first.T @ second
    return _Moments(views, cross)


def _view(x: np.ndarray, weights: np.ndarray, number: int) -> _View:
    shares = weights / weights.sum()
    # Means from the first row on, so that a constant column is centred to exact zeros.
    first = x[0].astype(np.float64)
    mean = x[0] + sum(shares[block] @ (x[block] - first) for block in _blocks(len(x)))
    if not np.isfinite(mean).all():
        raise ValueError(f"view {number} holds NaN or infinity")
    covariance = np.zeros((len(mean), len(mean)))
    for centred in _centred(x, mean, weights):
        covariance += centred.T @ centred
    variances, basis = np.linalg.eigh(covariance)
    kept = variances > SMALLEST_VARIANCE * variances.max(initial=0)
    if not kept.any():
        raise ValueError(f"view {number} is constant over the training pairs")
    return _View(mean, basis[:, kept], variances[kept], float(np.trace(covariance) / len(mean)))


def _centred(x: np.ndarray, mean: np.ndarray, weights: np.ndarray) -> Iterator[np.ndarray]:
    """Weighted and centred rows, in blocks: a screen of 69,000 x 978 is 0.5 GB in float64."""
    root = np.sqrt(weights / weights.sum())[:, None]
    for block in _blocks(len(x)):
        yield root[block] * (x[block] - mean)


def _blocks(rows: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, rows, BLOCK)]


def _principal(view: _View, components: int) -> np.ndarray:
    return view.basis[:, -components:][:, ::-1]


def _solve_cca(moments: _Moments, regularisation: float) -> LinearCCA:
    whitening = [view.basis / np.sqrt(view.variances + regularisation * view.mean_variance) for view in moments.views]
    left, correlations, right = np.linalg.svd(whitening[0].T @ moments.cross @ whitening[1], full_matrices=True)
    return LinearCCA(
        correlations=correlations,
        means=(moments.views[0].mean, moments.views[1].mean),
        directions=(whitening[0] @ left, whitening[1] @ right.T),
    )
