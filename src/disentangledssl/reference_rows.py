"""Measurements of the rows that need no training: linear probes and retrieval of ``references``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from disentangledssl import references
from disentangledssl.dataset import PairedDataset, read_dataset
from disentangledssl.evaluation import retrieval
from disentangledssl.files import write_table
from disentangledssl.measurements import measurement_table, reference_run
from disentangledssl.rankings import ranking_rows, retrieval_columns
from disentangledssl.scaling import scale_fold
from disentangledssl.settings import ScalingSettings


def probe_references(dataset_folder: Path, out: Path, *, folds: int, probe: Mapping[str, Any]) -> None:
    """Probe the reference rows: chance, true latents (oracle), raw input, linear CCA."""
    # PyTorch takes longer to import than the other function here to run.
    from disentangledssl.diagnostics import bottleneck_rows
    from disentangledssl.probes import PROBE_COLUMNS, probe_rows

    dataset = read_dataset(dataset_folder)
    rows = []
    for fold in range(folds):
        x1, x2 = (view[rows_] for view, rows_ in zip(dataset.views, dataset.rows, strict=True))
        codes = references.probe_references(x1, x2, dataset.pairs_in(fold, "train"), dataset.latents)
        for (name, representation), values in codes.items():
            rows += probe_rows(reference_run(name, fold), {representation: values}, dataset, fold, probe)
        if dataset.info.get("gaussian"):
            rows += bottleneck_rows(reference_run("gaussian_bottleneck", fold), dataset, fold)
        test = dataset.pairs_in(fold, "test")
        rows += [
            reference_run("chance", fold)
            | {"label": label, "metric": "accuracy", "value": references.chance(values[test])}
            for label, values in dataset.labels.items()
        ]
    write_table(out, measurement_table(rows, PROBE_COLUMNS), {"dataset": dict(dataset.info)})


def retrieve_references(
    dataset_folder: Path, out: Path, *, folds: int, scaling: Sequence[Mapping[str, Any]], top: Sequence[int]
) -> None:
    """Rank by the reference rows: regularised linear CCA and ridge regression (settings chosen on validation)."""
    dataset = read_dataset(dataset_folder)
    scaling = tuple(ScalingSettings.model_validate(one) for one in scaling)
    rows, chosen = [], {}
    for fold in range(folds):
        views = scale_fold(dataset, fold, scaling)
        train, validation = (screen_split(dataset, views, fold, split) for split in ("train", "validation"))
        for name, fit in (("linear_cca", references.regularised_cca), ("ridge", references.ridge)):
            fitted = fit(train, validation)
            chosen[f"{name}, fold {fold}"] = fitted.chosen
            rows += ranking_rows(
                reference_run(name, fold), fitted.encode_phenotype(views[0]), fitted.encode_molecule(views[1]),
                dataset, fold, top,
            )  # fmt: skip
    write_table(out, measurement_table(rows, retrieval_columns(top)), {"dataset": dict(dataset.info), "chosen": chosen})


def screen_split(dataset: PairedDataset, views, fold: int, split: str) -> references.ScreenSplit:
    """Return one split of one fold, from both views scaled as the methods see them."""
    pairs = dataset.pairs_in(fold, split)
    pool, truth = retrieval.candidate_pool(dataset.rows[1][pairs])
    return references.ScreenSplit(views[0][dataset.rows[0][pairs]], views[1][pool], truth, dataset.groups[pairs])
