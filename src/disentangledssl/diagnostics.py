"""More than a saturated probe: what else is measured of every trained run on simulated data.

Linear accuracy tops out near 0.80 even for the true latents. So each representation is also asked for the true
latents (R2 of ridge regression), each pair of shared and specific codes for its dependence (linear CKA), and, where
the data are Gaussian, each shared representation for its place in the information plane beside the optimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from disentangledssl.dataset import PairedDataset
from disentangledssl.evaluation import information_plane
from disentangledssl.evaluation.dependence import linear_cka
from disentangledssl.evaluation.latent_regression import latent_r2

CURVE_POINTS = 60
VIEWS = {"zc1": 0, "zc2": 1}


def latent_rows(named: Mapping[str, Any], codes: Mapping[str, np.ndarray], dataset: PairedDataset, fold: int):
    """Measure R2 of every true latent from every representation, on test pairs.

    Parameters
    ----------
    named : mapping
        Columns that every row gets.
    codes : mapping of name to array, ``(pairs, dimensions)``
        Of all pairs of the data set.
    dataset : PairedDataset
    fold : int

    Returns
    -------
    list of dict
        A row a representation and latent; none where the latents are not known.

    Raises
    ------
    ValueError
        As ``latent_regression.latent_r2``.
    """
    train, test = dataset.pairs_in(fold, "train"), dataset.pairs_in(fold, "test")
    latents = dataset.latents or {}
    of = [{name: values[pairs] for name, values in latents.items()} for pairs in (train, test)]
    return [
        dict(named) | {"representation": name, "width": code.shape[1], "label": latent, "metric": "r2", "value": value}
        for name, code in (codes.items() if latents else ())
        for latent, value in latent_r2(code[train], of[0], code[test], of[1]).items()
    ]


def dependence_rows(named: Mapping[str, Any], codes: Mapping[str, np.ndarray], dataset: PairedDataset, fold: int):
    """Measure linear CKA between the shared and the specific code of each view, on test pairs; 0 is independent.

    Parameters
    ----------
    named, codes, dataset, fold
        As in :func:`latent_rows`; of ``codes``, zc1 and zs1, zc2 and zs2 are looked at.

    Returns
    -------
    list of dict
        A row a view that has both codes, unless one of them is constant.

    Raises
    ------
    ValueError
        As ``dependence.linear_cka``.
    """
    test = dataset.pairs_in(fold, "test")
    return [
        dict(named) | {"representation": shared, "label": specific, "metric": "cka", "value": value}
        for shared, specific in (("zc1", "zs1"), ("zc2", "zs2"))
        if shared in codes
        and specific in codes
        # A collapsed code depends on nothing and has no value.
        and np.isfinite(value := linear_cka(codes[shared][test], codes[specific][test]))
    ]


def information_rows(
    named: Mapping[str, Any], codes: Mapping[str, np.ndarray], kappa: float, dataset: PairedDataset, fold: int
):
    """Place the shared codes of Gaussian views in the information plane: bits kept of the own and of the other view.

    ``information`` is what vMF samples around the code carry, linearly; ``optimum`` the most that anything could keep
    of the other view for the same of its own. From covariances of the training pairs.

    Parameters
    ----------
    named, codes, dataset, fold
        As in :func:`latent_rows`; of ``codes``, zc1 and zc2 are looked at, whose norms do not matter.
    kappa : float
        Concentration with which step 1 samples.

    Returns
    -------
    list of dict
        Three rows a view, in bits.

    Raises
    ------
    ValueError
        As ``information_plane.sample_covariances``, ``linear_information`` and ``highest_relevance``.
    """
    train = dataset.pairs_in(fold, "train")
    x = _views(dataset, train)
    both = information_plane.sample_covariances(*x)
    rows = []
    for name, view in VIEWS.items():
        code = codes[name][train].astype(np.float64)
        length = np.linalg.norm(code, axis=1, keepdims=True)
        covariances = both if view == 0 else both.swapped()
        point = information_plane.linear_information(code / length, kappa, x[view], covariances)
        optimum = float(information_plane.highest_relevance(covariances, point.own))
        rows += [
            dict(named) | {"representation": name, "label": label, "metric": metric, "value": value}
            for label, metric, value in (
                ("own", "information", point.own),
                ("other", "information", point.other),
                ("other", "optimum", optimum),
            )
        ]
    return rows


def bottleneck_rows(named: Mapping[str, Any], dataset: PairedDataset, fold: int):
    """Compute the optimum of Gaussian views in the information plane, the same for both, from training pairs.

    ``beta_value`` is the bottleneck's own multiplier.

    Parameters
    ----------
    named, dataset, fold
        As in :func:`latent_rows`.

    Returns
    -------
    list of dict
        For each of ``CURVE_POINTS`` points, a row for what is kept of the own view and one for the other, in bits.

    Raises
    ------
    ValueError
        As ``information_plane.sample_covariances`` and ``gaussian_bottleneck``.
    """
    covariances = information_plane.sample_covariances(*_views(dataset, dataset.pairs_in(fold, "train")))
    curve = information_plane.gaussian_bottleneck(covariances, points=CURVE_POINTS)
    return [
        dict(named) | {"beta_value": multiplier, "label": label, "metric": "information", "value": value}
        for multiplier, own, other in zip(*(values.tolist() for values in curve), strict=True)
        for label, value in (("own", own), ("other", other))
    ]


def _views(dataset: PairedDataset, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = (view[rows[pairs]] for view, rows in zip(dataset.views, dataset.rows, strict=True))
    return first, second
