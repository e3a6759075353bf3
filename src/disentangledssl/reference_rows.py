"""Measurements of the rows that need no training: linear probes and retrieval of ``references``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from disentangledssl import references
from disentangledssl.dataset import PairedDataset, read_dataset
from disentangledssl.files import write_table
from disentangledssl.measurements import measurement_table, reference_run
from disentangledssl.rankings import null_columns, null_rows, ranking_rows, retrieval_columns, write_rankings
from disentangledssl.scaling import STANDARDISED, scale_fold, scale_view
from disentangledssl.settings import ScalingSettings


def probe_references(dataset_folder: Path, out: Path, *, folds: int, probe: Mapping[str, Any]) -> None:
    """Probe the reference rows: chance, true latents (oracle), raw input, linear CCA.

    Where ``probe`` has ``codes`` (MultiBench): see ``multibench_references``.
    """
    # PyTorch takes longer to import than the other function here to run.
    from disentangledssl.diagnostics import bottleneck_rows
    from disentangledssl.multibench_references import untrained_rows
    from disentangledssl.probes import PROBE_COLUMNS, probe_rows

    dataset = read_dataset(dataset_folder)
    rows = []
    for fold in range(folds):
        if "codes" in probe:
            rows += untrained_rows(dataset, fold, probe)
            continue
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
    dataset_folder: Path,
    out: Path,
    *,
    folds: int,
    scaling: Sequence[Mapping[str, Any]],
    top: Sequence[int],
    permutations: int,
    pool: str,
) -> None:
    """Rank by the reference rows, whose settings are chosen on validation.

    Regularised linear CCA and ridge regression see the molecules as the methods do. Where ``molecules.parquet`` tells
    their SMILES, ridge regression also sees fingerprints, and descriptors (standardised on the training molecules), and
    the nearest neighbours are those of fingerprints. The null is written beside the rankings, as by
    :func:`rankings.measure_retrieval`; where ``pool`` holds validation, settings were chosen on part of what is ranked.
    """
    dataset = read_dataset(dataset_folder)
    scaling = tuple(ScalingSettings.model_validate(one) for one in scaling)
    structures = _structures(dataset_folder / "molecules.parquet", dataset)
    rows, null, chosen = [], [], {}
    for fold in range(folds):
        phenotypes, molecules = scale_fold(dataset, fold, scaling)
        fits = {"linear_cca": (references.regularised_cca, molecules), "ridge": (references.ridge, molecules)}
        if structures:
            bits, values = structures
            known = np.unique(dataset.rows[1][dataset.pairs_in(fold, "train")])
            # Bits that tell no training molecule from another say nothing, and are a fit's most costly part.
            telling = bits[:, np.ptp(bits[known], axis=0) > 0]
            fits |= {
                "ridge_fingerprints": (references.ridge, telling),
                "ridge_descriptors": (references.ridge, scale_view(values, known, STANDARDISED)),
                "nearest_neighbour": (references.nearest_neighbour, bits),
            }
        for name, (fit, described) in fits.items():
            views = (phenotypes, described)
            fitted = fit(*(references.screen_split(dataset, views, fold, split) for split in ("train", "validation")))
            chosen[f"{name}, fold {fold}"] = fitted.chosen
            codes = fitted.encode_phenotype(phenotypes), fitted.encode_molecule(described)
            rows += ranking_rows(reference_run(name, fold), *codes, dataset, fold, top, pool)
            null += null_rows(reference_run(name, fold), *codes, dataset, fold, top, permutations, pool)
    tables = measurement_table(rows, retrieval_columns(top)), measurement_table(null, null_columns(top))
    write_rankings(out, *tables, dataset, pool=pool, chosen=chosen)


def _structures(path: Path, dataset: PairedDataset) -> tuple[np.ndarray, np.ndarray] | None:
    """Fingerprints and descriptors of the rows of view 2, where their SMILES are known."""
    if not path.exists():
        return None
    # RDKit takes longer to import than the probes' rows here to start.
    from disentangledssl.structures import descriptors, fingerprints, read_smiles

    smiles = read_smiles(path, dataset.view_ids[1].tolist())
    return fingerprints(smiles), descriptors(smiles)
