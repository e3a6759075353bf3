"""Retrieval: each phenotype profile ranks all candidate molecules of its split by cosine.

Source: sec. 3.3 and Table 2 (top-N accuracy, MRR, Random row). Choices:

- **Candidates** are the distinct molecule ids (rows of view 2) of the split; a hit is the
  profile's own id. Stereo forms of one group are candidates of their own: where their features
  are the same (Mol2vec does not see stereo) they tie.
- **Ties**: every metric is its expectation over a random order of the molecules that tie with
  the true one, so that a collapsed code scores exactly what the Random row says, and never
  better by the order of rows. Cosines closer than ``NEAR_TIE`` tie: single-precision cosines
  (rounding 1e-7) cannot order them, and collapsed codes would be ranked by rounding noise.
- **Unit**: values are averaged over a molecule group's profiles first. ``per_molecule`` means
  weigh groups equally (our main unit on stand-in data), ``per_profile`` means (the paper's) by
  their profiles; the bootstrap resamples groups, never wells, which are not independent.
- MRR depends on the pool (exact Random is H_n / n): never compare values of different pools.

Metrics, in columns of these names: ``mrr`` (reciprocal rank), ``top<N>`` (top-N accuracy),
``top_tenth`` (own molecule within the best ceil(0.1 x pool)), ``rank`` (1 = best, mid-rank) and
``percentile`` (share of the other candidates that are ranked lower, half for ties; 1 = best,
0.5 = random). All but ``rank`` are between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

TOP = (1, 5, 10, 20, 30)
NEAR_TIE = 1e-6
UNITS = ("per_profile", "per_molecule")
KEYS = ("group", "profiles", "pool")
BLOCK = 2**20  # cosines held at once: 8 MB


def candidate_pool(molecules: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct molecules of a split's pairs and each pair's place among them.

    >>> pool, truth = candidate_pool(np.array([7, 3, 7]))
    >>> pool.tolist(), truth.tolist()
    ([3, 7], [1, 0, 1])
    """
    pool, truth = np.unique(molecules, return_inverse=True)
    return pool, truth


def rank_queries(
    queries: np.ndarray, candidates: np.ndarray, truth: np.ndarray, *, near_tie: float = NEAR_TIE
) -> tuple[np.ndarray, np.ndarray]:
    """Count the candidates that are ranked above the true one, and those that tie with it.

    Parameters
    ----------
    queries : array, ``(profiles, dimensions)``
        zc of the phenotypes. The cosine with a code of norm 0 is defined as 0.
    candidates : array, ``(molecules, dimensions)``
        zc of the molecules.
    truth : array of whole numbers, ``(profiles,)``
        Row of ``candidates`` that belongs to each profile.
    near_tie : float
        Cosines that differ by at most this tie.

    Returns
    -------
    better, tied : arrays of whole numbers, ``(profiles,)``
        Candidates with a higher cosine than the true one; others that tie with it.

    Raises
    ------
    ValueError
        If shapes do not fit, ``truth`` points outside the pool, or a code is NaN or infinite.
    """
    queries, candidates = _directions(queries, "phenotype"), _directions(candidates, "molecule")
    truth = np.asarray(truth)
    if queries.shape[1] != candidates.shape[1]:
        raise ValueError(f"phenotype codes have {queries.shape[1]} dimensions, molecule codes {candidates.shape[1]}")
    if truth.shape != queries.shape[:1]:
        raise ValueError(f"truth has shape {truth.shape}, but there are {len(queries)} profiles")
    if len(truth) and (truth.min() < 0 or truth.max() >= len(candidates)):
        raise ValueError(f"truth names rows {truth.min()} to {truth.max()} of {len(candidates)} candidates")
    better, tied = np.empty(len(queries), np.int64), np.empty(len(queries), np.int64)
    step = max(1, BLOCK // max(1, len(candidates)))
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        cosines = queries[block] @ candidates.T
        own = cosines[np.arange(len(cosines)), truth[block]][:, None]
        better[block] = np.count_nonzero(cosines > own + near_tie, axis=1)
        tied[block] = np.count_nonzero(cosines >= own - near_tie, axis=1) - better[block] - 1
    return better, tied


def expected_metrics(
    better: np.ndarray, tied: np.ndarray, pool: int, top: Sequence[int] = TOP
) -> dict[str, np.ndarray]:
    """Return each profile's metrics, expected over a random order of the tied candidates.

    With b better and t tied candidates the rank of the true one is uniform on b + 1 ... b + t + 1.

    Parameters
    ----------
    better, tied : arrays of whole numbers, ``(profiles,)``
        From :func:`rank_queries`.
    pool : int
        Number of candidates.
    top : sequence of int
        The N of top-N accuracy. N of the pool's size or more is always a hit.

    Returns
    -------
    dict of arrays, ``(profiles,)``
        One a metric; see the module for their names.
    """
    better, tied = np.asarray(better), np.asarray(tied)
    if pool < 1 or (better.size and (better + tied).max() >= pool):
        raise ValueError(f"a pool of {pool} candidates does not fit the counts of better and tied ones")
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, pool + 1))])
    places = tied + 1
    metrics = {"mrr": (harmonic[better + places] - harmonic[better]) / places}
    for name, n in {**{f"top{n}": n for n in top}, "top_tenth": _tenth(pool)}.items():
        metrics[name] = np.clip(n - better, 0, places) / places
    metrics["rank"] = better + 1 + tied / 2
    # A pool of one is perfect and random at once; 0.5 keeps it equal to its Random row.
    metrics["percentile"] = 1 - (better + tied / 2) / (pool - 1) if pool > 1 else np.full(better.shape, 0.5)
    return metrics


def random_metrics(pool: int, top: Sequence[int] = TOP) -> dict[str, float]:
    """Return the exact Random row: the metrics when all ``pool`` candidates tie.

    H_n / n for MRR, min(N / n, 1) for top-N accuracy.

    >>> round(100 * random_metrics(663)["top30"], 2)
    4.52
    """
    metrics = expected_metrics(np.array([0]), np.array([pool - 1]), pool, top)
    return {name: float(values[0]) for name, values in metrics.items()}


def retrieval_rows(
    queries: np.ndarray,
    candidates: np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray,
    *,
    top: Sequence[int] = TOP,
    near_tie: float = NEAR_TIE,
) -> dict[str, np.ndarray]:
    """Rank, measure, and average over the profiles of each molecule group.

    Parameters
    ----------
    queries, candidates, truth, near_tie
        As in :func:`rank_queries`.
    groups : array of text, ``(profiles,)``
        Molecule group of each profile.
    top : sequence of int
        The N of top-N accuracy.

    Returns
    -------
    dict of arrays, ``(groups,)``
        Columns ``group`` (sorted), ``profiles`` (how many), ``pool`` (number of candidates) and
        one a metric: its mean over the group's profiles. Columns of several folds may be joined.

    Raises
    ------
    ValueError
        As :func:`rank_queries`, or if there is no profile.
    """
    groups = np.asarray(groups)
    if groups.shape != (len(queries),):
        raise ValueError(f"groups have shape {groups.shape}, but there are {len(queries)} profiles")
    if not len(queries):
        raise ValueError("there is no profile to rank with")
    better, tied = rank_queries(queries, candidates, truth, near_tie=near_tie)
    metrics = expected_metrics(better, tied, len(candidates), top)
    names, member, profiles = np.unique(groups, return_inverse=True, return_counts=True)
    rows = {"group": names, "profiles": profiles, "pool": np.full(len(names), len(candidates))}
    return rows | {name: np.bincount(member, values) / profiles for name, values in metrics.items()}


def random_rows(rows: Mapping[str, np.ndarray], top: Sequence[int] = TOP) -> dict[str, np.ndarray]:
    """Return ``rows`` with every metric replaced by what Random has in that row's pool."""
    pools, which = np.unique(rows["pool"], return_inverse=True)
    metrics = [random_metrics(int(pool), top) for pool in pools]
    keys = {name: rows[name] for name in KEYS}
    return keys | {name: np.array([row[name] for row in metrics])[which] for name in metrics[0]}


def unit_weights(rows: Mapping[str, np.ndarray], unit: str) -> np.ndarray:
    """Return the weight of each group: its profiles (``per_profile``) or 1 (``per_molecule``)."""
    if unit not in UNITS:
        raise ValueError(f"unit {unit!r} is none of {', '.join(UNITS)}")
    return rows["profiles"].astype(float) if unit == "per_profile" else np.ones(len(rows["profiles"]))


def summarise(rows: Mapping[str, np.ndarray], unit: str) -> dict[str, float]:
    """Return the mean of every metric, ``per_profile`` or ``per_molecule``."""
    weights = unit_weights(rows, unit)
    return {name: float(np.average(rows[name], weights=weights)) for name in rows if name not in KEYS}


def bootstrap_standard_errors(
    values: np.ndarray, weights: np.ndarray | None = None, samples: int = 2000, seed: int = 0
) -> np.ndarray:
    """Return the bootstrap standard errors of means over molecules.

    Parameters
    ----------
    values : array, ``(groups, metrics)``
        A value a molecule group and metric; all metrics see the same resamples.
    weights : array, ``(groups,)``, optional
        Weights of the groups in the mean (:func:`unit_weights`); they are drawn along with the
        group. Equal unless given.
    samples : int
        Bootstrap samples.
    seed : int
        Seed of the resampling; no model's randomness depends on it.

    Returns
    -------
    array, ``(metrics,)``
        Standard deviation of the weighted mean over the samples; NaN for fewer than two groups.
    """
    values = np.asarray(values, float)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, float)
    if values.ndim != 2 or weights.shape != values.shape[:1]:
        raise ValueError(f"weights have shape {weights.shape}, values {values.shape}")
    if len(values) < 2:
        return np.full(values.shape[1], np.nan)
    draws = np.random.default_rng(seed).multinomial(len(values), np.full(len(values), 1 / len(values)), size=samples)
    means = draws @ (weights[:, None] * values) / (draws @ weights)[:, None]
    return np.std(means, axis=0, ddof=1)


def _tenth(pool: int) -> int:
    return -(-pool // 10)


def _directions(codes: np.ndarray, what: str) -> np.ndarray:
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2:
        raise ValueError(f"{what} codes have shape {codes.shape}, not (rows, dimensions)")
    if not np.isfinite(codes).all():
        rows = np.flatnonzero(~np.isfinite(codes).all(axis=1))
        raise ValueError(
            f"{what} codes hold NaN or infinity in {len(rows)} of {len(codes)} rows, first in row {rows[0]}"
        )
    # Dividing by the largest entry first: squares of very large or small codes leave the range of floats.
    largest = np.abs(codes).max(axis=1, keepdims=True, initial=0)
    codes = np.divide(codes, largest, out=np.zeros_like(codes), where=largest > 0)
    norms = np.linalg.norm(codes, axis=1, keepdims=True)
    return np.divide(codes, norms, out=codes, where=norms > 0)
