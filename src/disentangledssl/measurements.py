"""From models (or closed forms) and data to measurements: tidy rows, one file a stack.

Every row names its run: ``run, stage, beta, beta_value, lam, fold, seed, status``. ``beta`` is text as in the
run's id (it may be ``selected``), ``beta_value`` the number that was used; what a stage does not have is null.
A run that diverged has one row without a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from disentangledssl.dataset import PairedDataset, read_dataset
from disentangledssl.evaluation import linear_probe, retrieval
from disentangledssl.files import write_table
from disentangledssl.scaling import scale_fold
from disentangledssl.settings import ScalingSettings
from disentangledssl.timings import phase

RUN_COLUMNS = {
    "run": pa.string(), "stage": pa.string(), "beta": pa.string(), "beta_value": pa.float64(), "lam": pa.float64(),
    "fold": pa.int64(), "seed": pa.int64(), "status": pa.string(),
}  # fmt: skip
PROBE_COLUMNS = RUN_COLUMNS | {
    "representation": pa.string(), "width": pa.int64(), "code_std": pa.float64(),
    "label": pa.string(), "metric": pa.string(), "value": pa.float64(),
}  # fmt: skip
REFERENCE = "reference"


def run_columns(run: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """Give the columns that name a run."""
    beta = run.get("beta")
    return {
        "run": run["id"],
        "stage": stage,
        "beta": None if beta is None else f"{beta:.15g}" if isinstance(beta, (int, float)) else beta,
        "beta_value": run.get("beta_value"),
        "lam": run.get("lam"),
        "fold": run["fold"],
        "seed": run["seed"],
        "status": run["status"],
    }


def reference_run(name: str, fold: int) -> dict[str, Any]:
    """Give the columns that name a reference row."""
    return dict.fromkeys(RUN_COLUMNS) | {"run": name, "stage": REFERENCE, "fold": fold, "status": "exact"}


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, pa.DataType]) -> pa.Table:
    """Lay out rows with a fixed schema; a column that a row lacks is null."""
    return pa.table({name: pa.array([row.get(name) for row in rows], kind) for name, kind in columns.items()})


def probe_models(models: Path, dataset_folder: Path, out: Path, *, stage: str, probe: Mapping[str, Any]) -> None:
    """Probe every run of a stack for every label.

    Step 1 and CLIP: the shared representation, [zc1, zc2] together (and each alone). Step 2: zs1 and zs2 alone.
    Source: App. H.1.
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
        codes = stack.represent(index)
        if stage == "step2":
            codes = {name: codes[name] for name in ("zs1", "zs2")}
        else:
            codes["zc"] = np.concatenate([codes["zc1"], codes["zc2"]], axis=1)
        rows += _probe_rows(named, codes, dataset, run["fold"], probe)
    write_table(out, table(rows, PROBE_COLUMNS), {"dataset": dict(dataset.info)})


def probe_references(dataset_folder: Path, out: Path, *, folds: int, probe: Mapping[str, Any]) -> None:
    """Probe the reference rows: chance, true latents (oracle), raw input, linear CCA."""
    from disentangledssl import references

    dataset = read_dataset(dataset_folder)
    rows = []
    for fold in range(folds):
        x1, x2 = (view[rows_] for view, rows_ in zip(dataset.views, dataset.rows, strict=True))
        codes = references.probe_references(x1, x2, dataset.pairs_in(fold, "train"), dataset.latents)
        for (name, representation), values in codes.items():
            rows += _probe_rows(reference_run(name, fold), {representation: values}, dataset, fold, probe)
        test = dataset.pairs_in(fold, "test")
        rows += [
            reference_run("chance", fold)
            | {"label": label, "metric": "accuracy", "value": references.chance(values[test])}
            for label, values in dataset.labels.items()
        ]
    write_table(out, table(rows, PROBE_COLUMNS), {"dataset": dict(dataset.info)})


def _probe_rows(named, codes, dataset: PairedDataset, fold: int, probe) -> list[dict[str, Any]]:
    train, test = dataset.pairs_in(fold, "train"), dataset.pairs_in(fold, "test")
    return [
        named
        | {
            "representation": name,
            "width": values.shape[1],
            # The probe is not scaled, so its L2 penalty sees this.
            "code_std": float(values[test].std()) if values.size else None,
            "label": label,
            "metric": "accuracy",
            "value": linear_probe.probe_accuracy(values[train], classes[train], values[test], classes[test], **probe),
        }
        for name, values in codes.items()
        for label, classes in dataset.labels.items()
    ]


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
        rows += _retrieval_rows(named, codes["zc1"], codes["zc2"], dataset, run["fold"], top)
    write_table(out, table(rows, retrieval_columns(top)), {"dataset": dict(dataset.info)})


def retrieve_references(
    dataset_folder: Path, out: Path, *, folds: int, scaling: Sequence[Mapping[str, Any]], top: Sequence[int]
) -> None:
    """Rank by the reference rows: regularised linear CCA and ridge regression (settings chosen on validation)."""
    from disentangledssl import references

    dataset = read_dataset(dataset_folder)
    scaling = tuple(ScalingSettings.model_validate(one) for one in scaling)
    rows, chosen = [], {}
    for fold in range(folds):
        views = scale_fold(dataset, fold, scaling)
        train, validation = (_screen_split(dataset, views, fold, split) for split in ("train", "validation"))
        for name, fit in (("linear_cca", references.regularised_cca), ("ridge", references.ridge)):
            fitted = fit(train, validation)
            chosen[f"{name}, fold {fold}"] = fitted.chosen
            rows += _retrieval_rows(
                reference_run(name, fold), fitted.encode_phenotype(views[0]), fitted.encode_molecule(views[1]),
                dataset, fold, top,
            )  # fmt: skip
    write_table(out, table(rows, retrieval_columns(top)), {"dataset": dict(dataset.info), "chosen": chosen})


def _screen_split(dataset: PairedDataset, views, fold: int, split: str):
    from disentangledssl.references import ScreenSplit

    pairs = dataset.pairs_in(fold, split)
    pool, truth = retrieval.candidate_pool(dataset.rows[1][pairs])
    return ScreenSplit(views[0][dataset.rows[0][pairs]], views[1][pool], truth, dataset.groups[pairs])


def _retrieval_rows(named, phenotypes, molecules, dataset: PairedDataset, fold: int, top) -> list[dict[str, Any]]:
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
