"""Reference rows of MultiBench, measured by the same probe: what needs no training (sec. 3.2; rows and choices ours).

The most common class of training pairs; the views themselves, each feature standardised on training rows; and linear
CCA of these, fitted to training pairs (``references.validated_cca``): ``shared``, ``specific`` and ``both`` as of the
methods. A view that is a sequence is the mean over its valid time steps, and the rows say so (``raw_mean``,
``linear_cca_mean``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from disentangledssl.dataset import PairedDataset
from disentangledssl.evaluation.logistic import UNLABELLED
from disentangledssl.measurements import reference_run
from disentangledssl.multibench_probes import accuracy_rows, joined_codes, split_accuracies
from disentangledssl.references import screen_split, validated_cca
from disentangledssl.scaling import STANDARDISED, scale_view


def untrained_rows(dataset: PairedDataset, fold: int, probe: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure all reference rows of a fold; linear CCA only where there are validation pairs to choose by.

    Parameters
    ----------
    dataset : PairedDataset
    fold : int
    probe : mapping
        As of ``multibench_probes.accuracy_rows``.
    """
    sequences = [view.ndim == 3 for view in dataset.views]
    views = flat_views(dataset, fold)
    rows = majority_rows(dataset, fold)
    parts = [view[of_pair] for view, of_pair in zip(views, dataset.rows, strict=True)]
    raw = {"x1": (parts[:1], sequences[:1]), "x2": (parts[1:], sequences[1:]), "x": (parts, sequences)}
    for name, (some, means) in raw.items():
        run = reference_run("raw_mean" if any(means) else "raw", fold)
        rows += accuracy_rows(run, {name: np.concatenate(some, axis=1)}, dataset, fold, {**probe, "codes": "raw"})
    if dataset.pairs_in(fold, "validation").size:
        run = reference_run("linear_cca_mean" if any(sequences) else "linear_cca", fold)
        rows += accuracy_rows(run, cca_codes(dataset, views, fold), dataset, fold, probe)
    return rows


def majority_rows(dataset: PairedDataset, fold: int) -> list[dict[str, Any]]:
    """Measure the most common training class."""
    rows, train = [], dataset.pairs_in(fold, "train")
    for label, values in dataset.labels.items():
        classes, counts = np.unique(values[train][values[train] != UNLABELLED], return_counts=True)
        said = np.full(len(values), classes[np.argmax(counts)])
        rows += [reference_run("majority", fold) | row for row in split_accuracies(label, said, dataset, fold)]
    return rows


def flat_views(dataset: PairedDataset, fold: int) -> list[np.ndarray]:
    """Return both views, ``(rows, features)``, standardised on training rows; of sequences their means."""
    views, train = [], dataset.pairs_in(fold, "train")
    for view, lengths, of_pair in zip(dataset.views, dataset.lengths, dataset.rows, strict=True):
        flat = valid_mean(view, lengths) if view.ndim == 3 else view
        views.append(scale_view(flat, np.unique(of_pair[train]), STANDARDISED))
    return views


def valid_mean(view: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Mean over the valid time steps of each row: ``(rows, steps, features)``, ``(rows,)`` -> ``(rows, features)``."""
    valid = np.arange(view.shape[1]) < lengths[:, None]
    return (view * valid[:, :, None]).sum(axis=1, dtype=np.float64) / lengths[:, None]


def cca_codes(dataset: PairedDataset, views: list[np.ndarray], fold: int) -> dict[str, np.ndarray]:
    """Return the variates of every pair, ``(pairs, dimensions)``, by kind; a kind may have no dimensions."""
    cca, shared = validated_cca(*(screen_split(dataset, views, fold, split) for split in ("train", "validation")))
    codes = {}
    for m, project in enumerate((cca.project1, cca.project2)):
        variates = project(views[m])[dataset.rows[m]]
        of_view = np.pad(shared, (0, variates.shape[1] - len(shared)))
        codes |= {f"zc{m + 1}": variates[:, of_view], f"zs{m + 1}": variates[:, ~of_view]}
    return joined_codes(codes)
