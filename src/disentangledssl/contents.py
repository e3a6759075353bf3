"""What the representations of a screen hold: one row a run, representation, target and metric.

- ``balanced_accuracy`` of a linear probe for classes and nuisances (``evaluation.class_probe``), ``r2`` for numbers
  (``evaluation.number_probe``): trained on a fold's training molecules, penalties chosen on its validation molecules,
  measured on its test molecules. A plate or batch is probed on those test profiles whose plate training has seen.
- ``neighbours1``, ``neighbours5``, ``neighbours10``: share of a test molecule's nearest that have its class
  (``evaluation.neighbours``), where the class is one of the molecule.

``chance`` stands beside each. A nuisance has also that of a guess that knows cell line and time, in which plates lie
(``chance_in_strata``): what is above it cannot come from these alone. Codes of molecules (view 2) are measured for
what is of the molecule, each molecule once.

Reference rows: the scaled views as principal components of the methods' width (``raw``) and regularised linear CCA.
Source: choice; the paper shows none of this for screens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from disentangledssl.dataset import PairedDataset, read_dataset
from disentangledssl.errors import InputError
from disentangledssl.evaluation.class_probe import Labelled, probe_classes
from disentangledssl.evaluation.neighbours import expected_share, same_class_share
from disentangledssl.evaluation.number_probe import Measured, probe_number
from disentangledssl.evaluation.retrieval import average_directions
from disentangledssl.files import write_table
from disentangledssl.measurements import RUN_COLUMNS, measurement_table, reference_run, run_columns
from disentangledssl.targets import UNLABELLED, Target, find_targets, strata
from disentangledssl.timings import phase

CONTENT_COLUMNS = RUN_COLUMNS | {
    "representation": pa.string(), "width": pa.int64(), "target": pa.string(), "kind": pa.string(),
    "metric": pa.string(), "value": pa.float64(), "chance": pa.float64(), "chance_in_strata": pa.float64(),
    "classes": pa.int64(), "profiles": pa.int64(), "unseen": pa.int64(),
}  # fmt: skip
MOST_PROFILES = 20_000  # of a split that are used
SPLITS = ("train", "validation", "test")


def measure_contents(models: Path, dataset_folder: Path, out: Path, *, stage: str) -> None:
    """Measure every run of a stack.

    Raises
    ------
    InputError
        If models or data are damaged or do not fit, or a fold has no validation pairs.
    """
    from disentangledssl.representations import Models

    with phase("loading"):
        dataset = read_dataset(dataset_folder)
        stack = Models(models, dataset)
    targets, rows = find_targets(dataset), []
    for index, run in enumerate(stack.runs):
        named = run_columns(run, stage)
        if run["status"] != "trained":
            rows.append(named)
            continue
        rows += content_rows(named, stack.represent(index), dataset, run["fold"], targets)
    write_table(out, measurement_table(rows, CONTENT_COLUMNS), {"dataset": dict(dataset.info)})


def measure_reference_contents(
    dataset_folder: Path, out: Path, *, folds: int, scaling: Sequence[Mapping[str, Any]], width: int
) -> None:
    """Measure the reference rows.

    Parameters
    ----------
    dataset_folder, out : path
    folds : int
        That are run.
    scaling : pair of mapping
        See ``ScalingSettings``.
    width : int
        Principal components of a view: the dimensions of the methods' representations.
    """
    from disentangledssl.references import regularised_cca, screen_split
    from disentangledssl.scaling import scale_fold
    from disentangledssl.settings import ScalingSettings

    dataset = read_dataset(dataset_folder)
    scaling = tuple(ScalingSettings.model_validate(one) for one in scaling)
    targets, rows = find_targets(dataset), []
    for fold in range(folds):
        views = scale_fold(dataset, fold, scaling)
        cca = regularised_cca(*(screen_split(dataset, views, fold, split) for split in ("train", "validation")))
        encoded = {
            ("raw", "x1"): principal_components(views[0], _training_rows(dataset, fold, 1), width),
            ("raw", "x2"): principal_components(views[1], _training_rows(dataset, fold, 2), width),
            ("linear_cca", "zc1"): cca.encode_phenotype(views[0]),
            ("linear_cca", "zc2"): cca.encode_molecule(views[1]),
        }
        for (name, representation), values in encoded.items():
            codes = {representation: values[dataset.rows[int(representation[-1]) - 1]]}
            rows += content_rows(reference_run(name, fold), codes, dataset, fold, targets)
    write_table(out, measurement_table(rows, CONTENT_COLUMNS), {"dataset": dict(dataset.info)})


def principal_components(view: np.ndarray, training: np.ndarray, width: int) -> np.ndarray:
    """Return the first principal components of the ``training`` rows for all rows, ``(rows, width or fewer)``."""
    from sklearn.decomposition import PCA

    width = min(width, len(training), view.shape[1])
    return PCA(width, svd_solver="covariance_eigh").fit(view[training]).transform(view)


def content_rows(
    named: Mapping[str, Any],
    codes: Mapping[str, np.ndarray],
    dataset: PairedDataset,
    fold: int,
    targets: Sequence[Target],
) -> list[dict[str, Any]]:
    """Measure what codes hold.

    Parameters
    ----------
    named : mapping
        Columns that name the run.
    codes : mapping of name to array, ``(pairs, dimensions)``
        The last character of a name is its view.
    dataset : PairedDataset
    fold : int
    targets : sequence of Target

    Raises
    ------
    InputError
        If the fold has no validation pairs.
    """
    splits = {split: dataset.pairs_in(fold, split) for split in SPLITS}
    if not len(splits["validation"]):
        problem = "has no validation pairs to choose a penalty on"
        raise InputError(dataset.info["name"], f"fold {fold}", problem, "set split.validation_fraction above 0")
    rows, places = [], strata(dataset)
    for name, values in codes.items():
        pairs = {split: _measured_pairs(dataset, one, int(name[-1])) for split, one in splits.items()}
        for target in targets:
            if target.of_molecule or name[-1] == "1":
                width = values.shape[1]
                described = {"representation": name, "width": width, "target": target.name, "kind": target.kind}
                for metric, measured in _measure(values, target, pairs, dataset.groups, places):
                    known = {column: None if np.isnan(number) else number for column, number in measured.items()}
                    rows.append({**named, **described, "metric": metric, **known})
    return rows


def _measure(
    codes: np.ndarray, target: Target, pairs: Mapping[str, np.ndarray], groups: np.ndarray, places: np.ndarray
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield each metric and its columns, NaN where there is nothing to be measured."""
    if target.kind == "number":
        score = probe_number(*(Measured(codes[pairs[split]], target.values[pairs[split]]) for split in SPLITS))
        yield "r2", {"value": score.value, "chance": 0.0, "profiles": score.profiles}
        return
    test = pairs["test"]
    splits = (Labelled(codes[pairs[split]], target.values[pairs[split]]) for split in SPLITS)
    score = probe_classes(*splits, test_strata=places[test])._asdict()
    if target.kind == "class":
        # Of what a cell line or a mechanism is, time says nothing that a code should not hold.
        del score["chance_in_strata"]
    yield "balanced_accuracy", score
    if target.of_molecule:
        labelled = test[target.values[test] != UNLABELLED]
        names, first, member = np.unique(groups[labelled], return_index=True, return_inverse=True)
        if len(names) < 2:
            return
        points = average_directions(codes[labelled], member)
        classes = target.values[labelled][first]
        counts = {"classes": len(np.unique(classes)), "profiles": len(labelled)}
        for k, share in same_class_share(points, classes).items():
            yield f"neighbours{k}", {"value": share, "chance": expected_share(classes), **counts}


def _measured_pairs(dataset: PairedDataset, pairs: np.ndarray, view: int) -> np.ndarray:
    """Return the pairs that are measured: of a molecule's codes one each, of too many profiles an even draw."""
    if view == 2:
        return pairs[np.unique(dataset.rows[1][pairs], return_index=True)[1]]
    if len(pairs) > MOST_PROFILES:
        return np.sort(np.random.default_rng(0).choice(pairs, MOST_PROFILES, replace=False))
    return pairs


def _training_rows(dataset: PairedDataset, fold: int, view: int) -> np.ndarray:
    return np.unique(dataset.rows[view - 1][dataset.pairs_in(fold, "train")])
