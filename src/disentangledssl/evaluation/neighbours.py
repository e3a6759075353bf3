"""Whether molecules of one class lie together: the share of each one's nearest others that are of its class.

A molecule is one point, the mean direction of its profiles' codes, so that wells of one molecule are never neighbours.
Nearness is the cosine, as in training and in retrieval. Where cosines tie, the share is its expectation over a random
order of the tied. Source: choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.preprocessing import normalize

from disentangledssl.evaluation.retrieval import NEAR_TIE

NEIGHBOURS = (1, 5, 10)


def same_class_share(codes: np.ndarray, classes: np.ndarray, nearest: Sequence[int] = NEIGHBOURS) -> dict[int, float]:
    """Return the mean share of the k nearest other molecules that have the same class, by k.

    Parameters
    ----------
    codes : array, ``(molecules, dimensions)``
        The cosine with a code of norm 0 is 0.
    classes : array, ``(molecules,)``
        All labelled.
    nearest : sequence of int
        The k; more than there are others means all others.

    Raises
    ------
    ValueError
        If there are fewer than two molecules, or a code is NaN or infinite.
    """
    if len(codes) < 2:
        raise ValueError(f"{len(codes)} molecule has no neighbours")
    directions = normalize(np.asarray(codes, np.float64)) if codes.shape[1] else np.zeros((len(codes), 1))
    cosines = directions @ directions.T
    same = classes[:, None] == classes[None, :]
    others = ~np.eye(len(codes), dtype=bool)
    # Without the diagonal: every molecule's others, the nearest first.
    cosines, same = (one[others].reshape(len(codes), -1) for one in (cosines, same))
    order = np.argsort(-cosines, axis=1, kind="stable")
    cosines, same = (np.take_along_axis(one, order, axis=1) for one in (cosines, same))
    shares = {}
    for k in nearest:
        k_or_all = min(k, cosines.shape[1])
        last = cosines[:, k_or_all - 1, None]
        nearer, tied = cosines > last + NEAR_TIE, np.abs(cosines - last) <= NEAR_TIE
        left = k_or_all - nearer.sum(axis=1)
        found = (same & nearer).sum(axis=1) + left * (same & tied).sum(axis=1) / tied.sum(axis=1)
        shares[k] = float(np.mean(found / k_or_all))
    return shares


def expected_share(classes: np.ndarray) -> float:
    """Return the share that a random permutation of the classes gives, exactly and for every k.

    >>> expected_share(np.array(["a", "a", "b"])).round(3)
    np.float64(0.333)
    """
    counts = np.unique(classes, return_counts=True)[1]
    return (counts * (counts - 1)).sum() / (counts.sum() * (counts.sum() - 1))
