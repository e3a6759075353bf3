"""Retrieval by trained runs: one row a run, split and molecule group (sec. 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from disentangledssl.dataset import PairedDataset, read_dataset
from disentangledssl.evaluation import retrieval
from disentangledssl.files import write_table
from disentangledssl.measurements import RUN_COLUMNS, measurement_table, run_columns
from disentangledssl.timings import phase


def retrieval_columns(top: Sequence[int]) -> dict[str, pa.DataType]:
    """Columns of a retrieval measurement: one row a run, split and molecule group."""
    metrics = dict.fromkeys(["mrr", *(f"top{n}" for n in top), "top_tenth", "rank", "percentile"], pa.float64())
    return (
        RUN_COLUMNS | {"split": pa.string(), "group": pa.string(), "profiles": pa.int64(), "pool": pa.int64()} | metrics
    )


def measure_retrieval(models: Path, dataset_folder: Path, out: Path, *, stage: str, top: Sequence[int]) -> None:
    """Rank the molecules of the validation and of the test split for each of their profiles, run by run.

    View 1 is the phenotype, view 2 the molecule; codes are the raw zc1 and zc2. Source: sec. 3.3, Table 2.
    """
    from disentangledssl.representations import Models

    with phase("loading"):
        dataset = read_dataset(dataset_folder)
        stack = Models(models, dataset)
    rows = []
    for index, run in enumerate(stack.runs):
        named = run_columns(run, stage)
        if run["status"] != "trained":
            rows.append(named)
            continue
        codes = stack.represent_views(index)
        rows += ranking_rows(named, codes["zc1"], codes["zc2"], dataset, run["fold"], top)
    write_table(out, measurement_table(rows, retrieval_columns(top)), {"dataset": dict(dataset.info)})


def ranking_rows(named, phenotypes, molecules, dataset: PairedDataset, fold: int, top) -> list[dict[str, Any]]:
    """Rank the molecules of validation and test by codes of every row of the two views."""
    rows = []
    for split in ("validation", "test"):
        pairs = dataset.pairs_in(fold, split)
        if not len(pairs):
            continue
        pool, truth = retrieval.candidate_pool(dataset.rows[1][pairs])
        measured = retrieval.retrieval_rows(
            phenotypes[dataset.rows[0][pairs]], molecules[pool], truth, dataset.groups[pairs], top=top
        )
        names = list(measured)
        for values in zip(*(column.tolist() for column in measured.values()), strict=True):
            rows.append(named | {"split": split} | dict(zip(names, values, strict=True)))
    return rows
