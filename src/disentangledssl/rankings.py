"""Retrieval by trained runs (sec. 3.3): one row a run, way of ranking, split and molecule group; and its null.

A way of ranking is ``direction``, ``replicates`` (see ``evaluation.retrieval``) and ``cell_line``: null for all
profiles of a split, else the profiles of one line, against the molecules that the split has in this line. Every way is
measured on test; on validation only the paper's, by which beta is chosen. The pool of test may be test alone or, as
one may also read the paper, validation and test together (``retrieval.POOLS``), although beta was chosen on half of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from disentangledssl.dataset import PairedDataset, read_dataset
from disentangledssl.evaluation import retrieval
from disentangledssl.files import write_table
from disentangledssl.measurements import RUN_COLUMNS, measurement_table, run_columns
from disentangledssl.timings import phase

FORWARD, REVERSE = retrieval.DIRECTIONS
SINGLE, AVERAGED = retrieval.REPLICATES
LINE = "cell_line"  # the description of pairs that names their line


def metric_columns(top: Sequence[int]) -> dict[str, pa.DataType]:
    """Columns of the metrics."""
    return dict.fromkeys(retrieval.metric_names(top), pa.float64())


def retrieval_columns(top: Sequence[int]) -> dict[str, pa.DataType]:
    """Columns of a retrieval measurement; ``random_<metric>`` is what Random has in the same row."""
    ways = dict.fromkeys(["direction", "replicates", "cell_line", "split", "group"], pa.string())
    metrics = metric_columns(top)
    random = {f"random_{name}": kind for name, kind in metrics.items()}
    return RUN_COLUMNS | ways | {"profiles": pa.int64(), "pool": pa.int64()} | metrics | random


def null_columns(top: Sequence[int]) -> dict[str, pa.DataType]:
    """Columns of the null: one row a run, unit, permutation and number of folds that test a group.

    It is of the groups that so many ``folds`` test, and weighs ``weight`` in a mean over folds.
    """
    more = {"unit": pa.string(), "permutation": pa.int64(), "folds": pa.int64(), "weight": pa.float64()}
    return RUN_COLUMNS | more | metric_columns(top)


def measure_retrieval(
    models: Path,
    dataset_folder: Path,
    out: Path,
    *,
    stage: str,
    top: Sequence[int],
    permutations: int,
    pool: str,
) -> None:
    """Rank by the codes of every run, and write the rankings, and their null beside them (``<out>_null``).

    View 1 is the phenotype, view 2 the molecule; codes are the raw zc1 and zc2. ``pool`` is one of ``retrieval.POOLS``
    and stands in the files' information. Source: sec. 3.3, Table 2.
    """
    from disentangledssl.representations import Models

    with phase("loading"):
        dataset = read_dataset(dataset_folder)
        stack = Models(models, dataset)
    tables, null = [], []
    for index, run in enumerate(stack.runs):
        # A stack may hold runs of folds that are no longer run, which joined screens (transfer) do not have.
        if run["fold"] >= len(dataset.folds):
            continue
        named = run_columns(run, stage)
        rows = [named]
        if run["status"] == "trained":
            codes = stack.represent_views(index)
            rows = ranking_rows(named, codes["zc1"], codes["zc2"], dataset, run["fold"], top, pool)
            null += null_rows(named, codes["zc1"], codes["zc2"], dataset, run["fold"], top, permutations, pool)
        # As tables, which take a tenth of the memory of rows: a screen of many lines has many.
        tables.append(measurement_table(rows, retrieval_columns(top)))
    write_rankings(out, pa.concat_tables(tables), measurement_table(null, null_columns(top)), dataset, pool=pool)


def write_rankings(out: Path, rankings: pa.Table, null: pa.Table, dataset: PairedDataset, **more: Any) -> None:
    """Write rankings and, beside them, their null."""
    info = {"dataset": dict(dataset.info), **more}
    write_table(out.with_name(f"{out.stem}_null{out.suffix}"), null, info)
    write_table(out, rankings, info)


def ranking_rows(
    named, phenotypes, molecules, dataset: PairedDataset, fold: int, top, pool: str
) -> list[dict[str, Any]]:
    """Rank by codes of every row of the two views, in every way.

    Parameters
    ----------
    named : mapping of text to value
        Columns that every row gets.
    phenotypes, molecules : arrays, ``(rows of view 1, dimensions)`` and ``(rows of view 2, dimensions)``
        Codes of the rows of the views; their norms do not matter.
    dataset : PairedDataset
    fold : int
    top : sequence of int
        The N of top-N accuracy.
    pool : text
        What is ranked on test: one of ``retrieval.POOLS``.

    Returns
    -------
    list of dict
        A row a way of ranking, split and molecule group, in :func:`retrieval_columns`.

    Raises
    ------
    ValueError
        If a code is NaN or infinite, or the codes of the views differ in dimensions.

    Notes
    -----
    Source: sec. 3.3; directions, replicates and lines beyond the paper's are a choice.
    """
    rows = []
    for split in ("validation", "test"):
        for line, pairs in _lines(dataset, fold, split, pool):
            candidates, truth = retrieval.candidate_pool(dataset.rows[1][pairs])
            codes = phenotypes[dataset.rows[0][pairs]], molecules[candidates]
            for way, measured in _ways(*codes, truth, dataset.groups[pairs], top, split):
                same = named | way | {"cell_line": line, "split": split}
                names = list(measured)
                for values in zip(*(column.tolist() for column in measured.values()), strict=True):
                    rows.append(same | dict(zip(names, values, strict=True)))
    return rows


def null_rows(
    named, phenotypes, molecules, dataset: PairedDataset, fold: int, top, permutations: int, pool: str
) -> list[dict[str, Any]]:
    """Pair the phenotypes of test groups with the molecules of groups drawn at random, and rank by the same codes.

    A group may draw its own. Of the paper's way of ranking only. The permutations are those of the fold, whatever the
    run, so that means over seeds and folds are of the same pairings; see :func:`pairings`.

    Parameters
    ----------
    named, phenotypes, molecules, dataset, fold, top, pool
        As in :func:`ranking_rows`.
    permutations : int

    Returns
    -------
    list of dict
        A row a unit, permutation and number of folds that test a group, in :func:`null_columns`.

    Raises
    ------
    ValueError
        If a code is NaN or infinite, or the codes of the views differ in dimensions.

    Notes
    -----
    Source: choice.
    """
    pairs = _tested(dataset, fold, pool)
    candidates, truth = retrieval.candidate_pool(dataset.rows[1][pairs])
    groups, member, profiles = np.unique(dataset.groups[pairs], return_inverse=True, return_counts=True)
    of_molecule = np.empty(len(candidates), np.int64)
    of_molecule[truth] = member
    tables = retrieval.group_tables(
        phenotypes[dataset.rows[0][pairs]], molecules[candidates], member, of_molecule, top=top
    )
    tested = [np.unique(dataset.groups[_tested(dataset, one, pool)]) for one in range(len(dataset.folds))]
    names, counts = np.unique(np.concatenate(tested), return_counts=True)
    orders = pairings(groups, names[counts > 1], fold, permutations)
    folds = counts[np.searchsorted(names, groups)]
    rows = []
    for unit in retrieval.UNITS:
        for count in np.unique(folds):
            weights = np.where(folds == count, retrieval.unit_weights({"profiles": profiles}, unit), 0)
            means = retrieval.shuffled_means(tables, weights, orders)
            same = named | {"unit": unit, "folds": int(count), "weight": weights.sum()}
            rows += [
                same | {"permutation": k} | {name: values[k] for name, values in means.items()}
                for k in range(permutations)
            ]
    return rows


def pairings(groups: np.ndarray, shared: np.ndarray, fold: int, permutations: int) -> np.ndarray:
    """Draw uniform permutations of a fold's groups, in which those that other folds test too meet as they do there.

    A molecule that several folds test is one molecule under the null as well: paired anew in each of them, its mean
    over folds would vary too little. Pools differ, so its partner cannot always be the same. What is the same in all
    folds are the cycles of the shared groups, that is a permutation's when the groups of single folds are taken out.

    Parameters
    ----------
    groups : array of text, ``(groups,)``
        Of the fold, sorted.
    shared : array of text, ``(shared groups,)``
        That several folds test, this one or not; sorted.
    fold, permutations : int

    Returns
    -------
    array of whole numbers, ``(permutations, groups)``
        For each group the place of that whose molecules it gets.

    Notes
    -----
    What is left of the cycles of a uniform permutation is uniform, and independent of where the others stood (the
    Chinese restaurant process). Source: choice.
    """
    of_fold, of_all = np.random.default_rng([0, fold]), np.random.default_rng(1)
    here = np.flatnonzero(np.isin(groups, shared))
    among_shared = np.searchsorted(shared, groups[here])
    orders = []
    for _ in range(permutations):
        order = of_fold.permutation(len(groups))
        leads = remaining_cycles(of_all.permutation(len(shared)), among_shared)
        instead = np.arange(len(groups))
        instead[remaining_cycles(order, here)] = np.searchsorted(groups, shared[leads])
        orders.append(instead[order])
    return np.stack(orders)


def remaining_cycles(order: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Take all but the places ``kept`` out of a permutation's cycles, and say where each of these leads then.

    >>> remaining_cycles(np.array([1, 2, 3, 0]), np.array([0, 2])).tolist()
    [2, 0]
    """
    leads = order[kept]
    while (gone := ~np.isin(leads, kept)).any():
        leads[gone] = order[leads[gone]]
    return leads


def _tested(dataset: PairedDataset, fold: int, pool: str) -> np.ndarray:
    return np.sort(np.concatenate([dataset.pairs_in(fold, split) for split in retrieval.POOLS[pool]]))


def _lines(dataset: PairedDataset, fold: int, split: str, pool: str) -> Iterator[tuple[str | None, np.ndarray]]:
    """Pairs of a split: all, and of test those of each line, if the data set names several."""
    pairs = _tested(dataset, fold, pool) if split == "test" else dataset.pairs_in(fold, split)
    if len(pairs):
        yield None, pairs
    if split == "test" and LINE in dataset.meta:
        lines = dataset.meta[LINE].astype(str)
        if len(set(lines)) > 1:
            for line in np.unique(lines[pairs]):
                yield str(line), pairs[lines[pairs] == line]


def _ways(phenotypes, molecules, truth, groups, top, split: str) -> Iterator[tuple[dict[str, str], dict]]:
    """Rank in each way; columns a molecule group."""
    rows = retrieval.retrieval_rows(phenotypes, molecules, truth, groups, top=top)
    yield {"direction": FORWARD, "replicates": SINGLE}, _with_random(rows, retrieval.random_rows(rows, top))
    if split == "validation":
        return
    reverse = retrieval.reverse_rows(molecules, phenotypes, truth, groups, top=top)
    yield {"direction": REVERSE, "replicates": SINGLE}, _with_random(*reverse)
    # One phenotype a molecule, in the order of the molecules.
    means, own = retrieval.average_directions(phenotypes, truth), np.arange(len(molecules))
    of_molecule = groups[np.unique(truth, return_index=True)[1]]
    # How many profiles stand behind it is still worth knowing.
    behind = {"profiles": rows["profiles"]}
    averaged = retrieval.retrieval_rows(means, molecules, own, of_molecule, top=top)
    random = retrieval.random_rows(averaged, top)
    yield {"direction": FORWARD, "replicates": AVERAGED}, _with_random(averaged, random) | behind
    reverse = retrieval.reverse_rows(molecules, means, own, of_molecule, top=top)
    yield {"direction": REVERSE, "replicates": AVERAGED}, _with_random(*reverse) | behind


def _with_random(rows: dict[str, np.ndarray], random: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return rows | {f"random_{name}": values for name, values in random.items() if name not in retrieval.KEYS}
