"""Retrieval by cosine of shared codes: phenotype profiles rank molecules, and molecules rank profiles.

Source: sec. 3.3 and Table 2 (top-N accuracy, MRR, Random row), which has the first direction only. Choices:

- **phenotype_to_molecule**: each profile ranks the distinct molecule ids (rows of view 2) of its split; a hit is the
  profile's own id. Stereo forms of one group are candidates of their own: where their features are the same (Mol2vec
  does not see stereo) they tie.
- **molecule_to_phenotype**: each of these molecules ranks all profiles of the split; a hit is any profile of the very
  same molecule id, so its rank is that of the first own profile.
- **single** replicates are profiles as they are; **averaged** ones are, for each molecule, the mean of its profiles'
  unit directions: one query, or one candidate, a molecule.
- **Ties**: every metric is its expectation over a random order of the candidates that tie with the (first) own one, so
  that a collapsed code scores exactly what the Random row says, and never better by the order of rows. Cosines closer
  than ``NEAR_TIE`` tie: single-precision cosines (rounding 1e-7) cannot order them, and collapsed codes would be ranked
  by rounding noise.
- **Unit**: values are averaged over a molecule group's queries first. ``per_molecule`` means weigh groups equally (our
  main unit on stand-in data), ``per_profile`` means (the paper's, where profiles are the queries) by their profiles;
  the bootstrap resamples groups, never wells, which are not independent.
- MRR depends on the pool (exact Random is H_n / n): never compare values of different pools.
- **Null**: the groups' molecules are dealt out anew at random, and ranked by the same codes; some get their own again.

Metrics, in columns of these names: ``mrr`` (reciprocal rank), ``top<N>`` (top-N accuracy), ``top_tenth`` (own
candidate within the best ceil(0.1 x pool)), ``rank`` (1 = best, mid-rank) and ``percentile`` (share of others'
candidates that are ranked lower, half for ties; 1 = best; Random has k / (k + 1) with k own candidates, so 0.5 with
one). All but ``rank`` are between 0 and 1.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

TOP = (1, 5, 10, 20, 30)
NEAR_TIE = 1e-6
DIRECTIONS = ("phenotype_to_molecule", "molecule_to_phenotype")
REPLICATES = ("single", "averaged")
UNITS = ("per_profile", "per_molecule")
POOLS = {"test": ("test",), "valtest": ("validation", "test")}  # splits whose profiles and molecules are ranked
KEYS = ("group", "profiles", "pool")
INTERVAL = (0.025, 0.975)  # quantiles that bound the intervals
BLOCK = 2**20  # cosines held at once: 8 MB


def metric_names(top: Sequence[int]) -> list[str]:
    """Return the names of the metrics, in their order.

    >>> metric_names([1, 5])
    ['mrr', 'top1', 'top5', 'top_tenth', 'rank', 'percentile']
    """
    return ["mrr", *(f"top{n}" for n in top), "top_tenth", "rank", "percentile"]


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
    queries, candidates = _codes(queries, candidates)
    truth = np.asarray(truth)
    if truth.shape != queries.shape[:1]:
        raise ValueError(f"truth has shape {truth.shape}, but there are {len(queries)} profiles")
    if len(truth) and (truth.min() < 0 or truth.max() >= len(candidates)):
        raise ValueError(f"truth names rows {truth.min()} to {truth.max()} of {len(candidates)} candidates")
    better, tied = np.empty(len(queries), np.int64), np.empty(len(queries), np.int64)
    for block, cosines in _cosines(queries, candidates):
        own = cosines[np.arange(len(cosines)), truth[block]][:, None]
        better[block] = np.count_nonzero(cosines > own + near_tie, axis=1)
        tied[block] = np.count_nonzero(cosines >= own - near_tie, axis=1) - better[block] - 1
    return better, tied


def rank_first(
    queries: np.ndarray, candidates: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the candidates that are ranked above the best own one of each query, and those that tie with it.

    Parameters
    ----------
    queries : array, ``(molecules, dimensions)``
        zc of the molecules. The cosine with a code of norm 0 is defined as 0.
    candidates : array, ``(profiles, dimensions)``
        zc of the phenotypes.
    truth : array of whole numbers, ``(profiles,)``
        Row of ``queries`` that each candidate belongs to; each query has one candidate at least.

    Returns
    -------
    better, tied, own_tied : arrays of whole numbers, ``(molecules,)``
        Others' candidates with a higher cosine than the query's best own one; others' that tie with it; own ones that
        do, itself included.

    Raises
    ------
    ValueError
        If shapes do not fit, a query has no candidate, or a code is NaN or infinite.
    """
    queries, candidates = _codes(queries, candidates)
    truth = np.asarray(truth)
    if truth.shape != candidates.shape[:1] or set(truth.tolist()) != set(range(len(queries))):
        raise ValueError(f"the {len(candidates)} candidates do not belong to {len(queries)} queries, one each at least")
    better, tied, own_tied = (np.empty(len(queries), np.int64) for _ in range(3))
    for block, cosines in _cosines(queries, candidates):
        own = truth == np.arange(len(queries))[block, None]
        best = np.where(own, cosines, -np.inf).max(axis=1, keepdims=True)
        near = cosines >= best - NEAR_TIE
        above = np.count_nonzero((cosines > best + NEAR_TIE) & ~own, axis=1)
        better[block], own_tied[block] = above, np.count_nonzero(near & own, axis=1)
        tied[block] = np.count_nonzero(near & ~own, axis=1) - above
    return better, tied, own_tied


def expected_metrics(
    better: np.ndarray,
    tied: np.ndarray,
    pool: int,
    top: Sequence[int] = TOP,
    *,
    own_tied: np.ndarray | int = 1,
    own: np.ndarray | int = 1,
) -> dict[str, np.ndarray]:
    """Return each query's metrics, expected over a random order of the tied candidates.

    With b better and t tied candidates the rank of one own candidate is uniform on b + 1 ... b + t + 1. If k own ones
    are in the tie, the first of them is at place j of its t + k with probability C(t + k - j, k - 1) / C(t + k, k)
    (negative hypergeometric).

    Parameters
    ----------
    better, tied : arrays of whole numbers, of one shape
        From :func:`rank_queries` or :func:`rank_first`: others' candidates above the first own one, and tied with it.
    pool : int
        Number of candidates.
    top : sequence of int
        The N of top-N accuracy. N of the pool's size or more is always a hit.
    own_tied, own : arrays of whole numbers, or int
        Own candidates in the tie (1 at least), and all of the query's own.

    Returns
    -------
    dict of arrays, of the shape of ``better``
        One a metric; see the module for their names.

    Raises
    ------
    ValueError
        If the pool is empty or smaller than the counts of a query, or more own candidates tie than there are.
    """
    better, tied, own_tied, own = np.broadcast_arrays(better, tied, own_tied, own)
    if pool < 1 or (better.size and ((better + tied + own).max() > pool or (own_tied > own).any())):
        raise ValueError(f"a pool of {pool} candidates does not fit the counts of better and tied ones")
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, pool + 1))])
    places = tied + 1
    limits = {**{f"top{n}": n for n in top}, "top_tenth": _tenth(pool)}
    metrics = {"mrr": (harmonic[better + places] - harmonic[better]) / places}
    metrics |= {name: np.clip(n - better, 0, places) / places for name, n in limits.items()}
    metrics["rank"] = better + 1 + tied / (own_tied + 1)
    several = (own_tied > 1) & (tied > 0)
    for b, t, k in np.unique(np.stack([better[several], tied[several], own_tied[several]]), axis=1).T:
        these, ranks, chances = (better == b) & (tied == t) & (own_tied == k), np.arange(b + 1, b + t + 2), _first(t, k)
        metrics["mrr"][these] = chances @ (1 / ranks)
        for name, n in limits.items():
            metrics[name][these] = chances[ranks <= n].sum()
    # A query without others' candidates is perfect and random at once: it gets what Random has elsewhere.
    others = pool - own
    lower = 1 - (metrics["rank"] - 1) / np.maximum(others, 1)
    metrics["percentile"] = np.where(others > 0, lower, own / (own + 1))
    return metrics


def random_metrics(pool: int, top: Sequence[int] = TOP, *, own: int = 1) -> dict[str, float]:
    """Return the exact Random row: the metrics when all ``pool`` candidates tie, ``own`` of them the query's.

    With one own candidate H_n / n for MRR, min(N / n, 1) for top-N accuracy.

    >>> round(100 * random_metrics(663)["top30"], 2), round(random_metrics(4, own=3)["rank"], 2)
    (4.52, 1.25)
    """
    metrics = expected_metrics(np.array([0]), np.array([pool - own]), pool, top, own_tied=own, own=own)
    return {name: float(values[0]) for name, values in metrics.items()}


def retrieval_rows(
    queries: np.ndarray,
    candidates: np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray,
    *,
    top: Sequence[int] = TOP,
) -> dict[str, np.ndarray]:
    """Rank, measure, and average over the profiles of each molecule group.

    Parameters
    ----------
    queries, candidates, truth
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
    better, tied = rank_queries(queries, candidates, truth)
    metrics = expected_metrics(better, tied, len(candidates), top)
    names, member, profiles = np.unique(groups, return_inverse=True, return_counts=True)
    rows = {"group": names, "profiles": profiles, "pool": np.full(len(names), len(candidates))}
    return rows | {name: np.bincount(member, values) / profiles for name, values in metrics.items()}


def reverse_rows(
    molecules: np.ndarray,
    phenotypes: np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray,
    *,
    top: Sequence[int] = TOP,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Let molecules rank phenotypes: :func:`retrieval_rows` in the other direction.

    Parameters
    ----------
    molecules : array, ``(molecules, dimensions)``
        zc of the molecules, the queries.
    phenotypes, truth
        Candidates, and the molecule that each belongs to, as in :func:`rank_first`.
    groups : array of text, ``(phenotypes,)``
        Molecule group of each phenotype.
    top : sequence of int
        The N of top-N accuracy.

    Returns
    -------
    rows, random : dicts of arrays, ``(groups,)``
        Columns as in :func:`retrieval_rows`, where ``pool`` is the number of phenotypes; and the same with what Random
        has, which depends on how many phenotypes each molecule has of its own.
    """
    better, tied, own_tied = rank_first(molecules, phenotypes, truth)
    own, pool = np.bincount(truth), len(phenotypes)
    names, member, profiles = np.unique(groups, return_inverse=True, return_counts=True)
    of_molecule = np.empty(len(molecules), np.int64)
    of_molecule[truth] = member
    counts, which = np.unique(own, return_inverse=True)
    by_count = [random_metrics(pool, top, own=int(count)) for count in counts]
    random = {name: np.array([one[name] for one in by_count])[which] for name in by_count[0]}
    keys = {"group": names, "profiles": profiles, "pool": np.full(len(names), pool)}
    found, random = (
        keys | {name: np.bincount(of_molecule, values) / np.bincount(of_molecule) for name, values in one.items()}
        for one in (expected_metrics(better, tied, pool, top, own_tied=own_tied, own=own), random)
    )
    return found, random


def average_directions(codes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the mean of the unit directions of each molecule's profiles, ``(molecules, dimensions)`` float64.

    Long codes weigh no more than short ones, as for the cosine; a code of norm 0 has no direction and counts as zeros.

    >>> average_directions(np.array([[9.0, 0.0], [0.0, 1.0], [2.0, 0.0]]), np.array([0, 0, 1])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    sums = np.zeros((truth.max() + 1, codes.shape[1]))
    np.add.at(sums, truth, _directions(codes, "phenotype"))
    return sums / np.bincount(truth)[:, None]


def group_tables(
    queries: np.ndarray,
    candidates: np.ndarray,
    query_groups: np.ndarray,
    candidate_groups: np.ndarray,
    *,
    top: Sequence[int] = TOP,
) -> dict[str, np.ndarray]:
    """Measure every pairing of a group's phenotypes with a group's molecules, as if it were the true one.

    Each query ranks the candidates once; the rank of each of them says what the metrics would be if it were the true
    one. Any pairing of whole groups is then a sum over the entries of a table.

    Parameters
    ----------
    queries, candidates
        As in :func:`rank_queries`.
    query_groups, candidate_groups : arrays of whole numbers, ``(profiles,)`` and ``(molecules,)``
        Group of each, 0 ... groups - 1; each group has one of both at least.
    top : sequence of int
        The N of top-N accuracy.

    Returns
    -------
    dict of arrays, ``(groups, groups)``
        One a metric: mean over the profiles of the first group, and over the molecules of the second (each of which
        is taken for the true one in turn).
    """
    queries, candidates = _codes(queries, candidates)
    pool, groups = len(candidates), int(max(query_groups.max(), candidate_groups.max())) + 1
    order = np.argsort(query_groups, kind="stable")
    by_candidate: dict[str, np.ndarray] = {}
    for block, cosines in _cosines(queries[order], candidates):
        better, tied = np.empty(cosines.shape, np.int64), np.empty(cosines.shape, np.int64)
        for place, (row, ascending) in enumerate(zip(cosines, np.sort(cosines, axis=1), strict=True)):
            better[place] = pool - np.searchsorted(ascending, row + NEAR_TIE, "right")
            tied[place] = pool - 1 - better[place] - np.searchsorted(ascending, row - NEAR_TIE, "left")
        present, starts = np.unique(query_groups[order[block]], return_index=True)
        for name, values in expected_metrics(better, tied, pool, top).items():
            # A group may go on in the next block.
            by_candidate.setdefault(name, np.zeros((groups, pool)))[present] += np.add.reduceat(values, starts)
    mean = (candidate_groups[:, None] == np.arange(groups)) / np.bincount(candidate_groups, minlength=groups)
    return {name: sums / np.bincount(query_groups)[:, None] @ mean for name, sums in by_candidate.items()}


def shuffled_means(tables: Mapping[str, np.ndarray], weights: np.ndarray, orders: np.ndarray) -> dict[str, np.ndarray]:
    """Return the metrics when the phenotypes of group g are paired with the molecules of group ``order[g]``.

    Parameters
    ----------
    tables : mapping of name to array, ``(groups, groups)``
        From :func:`group_tables`.
    weights : array, ``(groups,)``
        From :func:`unit_weights`.
    orders : array of whole numbers, ``(permutations, groups)``

    Returns
    -------
    dict of arrays, ``(permutations,)``
    """
    own = np.arange(orders.shape[1])
    return {name: table[own, orders] @ weights / weights.sum() for name, table in tables.items()}


def random_rows(rows: Mapping[str, np.ndarray], top: Sequence[int] = TOP) -> dict[str, np.ndarray]:
    """Return ``rows`` with every metric replaced by what Random has in that row's pool."""
    pools, which = np.unique(rows["pool"], return_inverse=True)
    metrics = [random_metrics(int(pool), top) for pool in pools]
    keys = {name: rows[name] for name in KEYS}
    return keys | {name: np.array([row[name] for row in metrics])[which] for name in metrics[0]}


def unit_weights(rows: Mapping[str, np.ndarray], unit: str) -> np.ndarray:
    """Return the weight of each group, ``(groups,)``: its profiles (``per_profile``) or 1 (``per_molecule``).

    Raises
    ------
    ValueError
        If the unit is none of ``UNITS``.
    """
    if unit not in UNITS:
        raise ValueError(f"unit {unit!r} is none of {', '.join(UNITS)}")
    return rows["profiles"].astype(float) if unit == "per_profile" else np.ones(len(rows["profiles"]))


def summarise(rows: Mapping[str, np.ndarray], unit: str) -> dict[str, float]:
    """Return the mean of every metric, ``per_profile`` or ``per_molecule``."""
    weights = unit_weights(rows, unit)
    return {name: float(np.average(rows[name], weights=weights)) for name in rows if name not in KEYS}


class Bootstrap(NamedTuple):
    """What resampling says of means: standard errors, and the ends of 95 % percentile intervals, ``(columns,)``."""

    standard_errors: np.ndarray
    low: np.ndarray
    high: np.ndarray


def bootstrap(
    values: np.ndarray,
    weights: np.ndarray | None = None,
    samples: int = 2000,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Bootstrap:
    """Resample molecule groups: standard errors and intervals of weighted means.

    Parameters
    ----------
    values : array, ``(rows, columns)``
        A value a row and, say, metric; all columns see the same resamples, and so do all calls with as many groups.
    weights : array, ``(rows,)``, optional
        Weights of the rows in the mean (:func:`unit_weights`); they are drawn along with the group. Equal unless given.
    samples : int
        Bootstrap samples.
    seed : int
        Seed of the resampling; no model's randomness depends on it.
    groups : array of whole numbers, ``(rows,)``, optional
        Molecule group of each row, 0 ... groups - 1: all rows of a group are drawn together. Each row is a group of its
        own unless given.

    Returns
    -------
    Bootstrap
        Standard deviation of the weighted mean over the samples and its percentiles; NaN for fewer than two groups.

    Raises
    ------
    ValueError
        If the values do not have two dimensions, or the weights are not one a row.
    """
    values = np.asarray(values, float)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, float)
    if values.ndim != 2 or weights.shape != values.shape[:1]:
        raise ValueError(f"weights have shape {weights.shape}, values {values.shape}")
    groups = np.arange(len(values)) if groups is None else np.asarray(groups)
    count = int(groups.max(initial=-1)) + 1
    if count < 2:
        return Bootstrap(*np.full((3, values.shape[1]), np.nan))
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, groups, weights[:, None] * values)
    draws = _draws(count, samples, seed)
    means = draws @ sums / (draws @ np.bincount(groups, weights))[:, None]
    return Bootstrap(np.std(means, axis=0, ddof=1), *np.quantile(means, INTERVAL, axis=0))


# A table asks for the same resamples once a method.
@functools.lru_cache(maxsize=32)
def _draws(groups: int, samples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.multinomial(groups, np.full(groups, 1 / groups), size=samples).astype(float)


def _first(tied: int, own: int) -> np.ndarray:
    """Chance of each place, 1 ... tied + 1, of the first of ``own`` among ``own + tied`` in random order."""
    before = np.arange(tied)
    later = np.concatenate([[1.0], np.cumprod((tied - before) / (tied + own - before)), [0.0]])
    return later[:-1] - later[1:]


def _tenth(pool: int) -> int:
    return -(-pool // 10)


def _codes(queries: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    queries, candidates = _directions(queries, "query"), _directions(candidates, "candidate")
    if queries.shape[1] != candidates.shape[1]:
        raise ValueError(f"query codes have {queries.shape[1]} dimensions, candidate codes {candidates.shape[1]}")
    return queries, candidates


def _cosines(queries: np.ndarray, candidates: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Cosines of unit directions, some queries at a time."""
    step = max(1, BLOCK // max(1, len(candidates)))
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        yield block, queries[block] @ candidates.T


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
