"""Linear probes of MultiBench: shared, specific and both representations, on every split (sec. 3.2, App. H.2).

Of what a stage has, both views together: ``shared`` is [zc1, zc2], ``specific`` [zs1, zs2], ``both`` all four;
FactorCL's are ``emb`` and ``proj``. The probe is fitted on training pairs; it is scored on them, on validation and on
test pairs, so that one sees how much of an accuracy is learnt by heart.

No objective fixes the scale of the codes, for all look at directions only, but the L2 penalty of the probe depends on
it: on codes of a standard deviation of 0.01, and with some thousand pairs, it says the most common class whatever they
hold. So they are standardised by default (``probe.codes``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from disentangledssl.code_scaling import standardise_codes
from disentangledssl.dataset import PairedDataset
from disentangledssl.evaluation import linear_probe
from disentangledssl.evaluation.logistic import UNLABELLED

METRICS = {"train": "train_accuracy", "validation": "validation_accuracy", "test": "accuracy"}
KINDS = {"zc": "shared", "zs": "specific"}


def joined_codes(codes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put the codes of both views side by side, by kind, and shared and specific ones together where both are there.

    >>> codes = {name: np.zeros((2, 1)) for name in ("zc1", "zc2", "zs1", "zs2")}
    >>> {name: code.shape[1] for name, code in joined_codes(codes).items()}
    {'shared': 2, 'specific': 2, 'both': 4}
    """
    parts: dict[str, list[np.ndarray]] = {}
    for name, code in codes.items():
        # The last character of a representation's name is its view.
        parts.setdefault(KINDS.get(name[:-1], name[:-1]), []).append(code)
    if set(KINDS.values()) <= set(parts):
        parts["both"] = [code for kind in KINDS.values() for code in parts[kind]]
    return {kind: np.concatenate(some, axis=1) for kind, some in parts.items()}


def accuracy_rows(
    named: Mapping[str, Any],
    codes: Mapping[str, np.ndarray],
    dataset: PairedDataset,
    fold: int,
    probe: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Probe representations of every pair for every label: a row a representation, label and split.

    Parameters
    ----------
    named : mapping
        Columns that name the run.
    codes : mapping of name to array, ``(pairs, dimensions)``
    dataset : PairedDataset
    fold : int
    probe : mapping
        Options of ``linear_probe``, and ``codes``, what it sees: ``raw``, as they are, or ``standardised``, each
        dimension on training pairs.
    """
    rows, options = [], {name: value for name, value in probe.items() if name != "codes"}
    train, test = dataset.pairs_in(fold, "train"), dataset.pairs_in(fold, "test")
    labels = {label: classes[train] for label, classes in dataset.labels.items()}
    for name, values in codes.items():
        described = dict(named) | {
            "representation": name,
            "width": values.shape[1],
            "code_std": float(values[test].std()) if values.size else None,
        }
        if probe["codes"] == "standardised":
            values = standardise_codes(values, values[train]).astype(np.float32)
        predicted = linear_probe.probe_predictions(values[train], labels, values, **options)
        for label, classes in predicted.items():
            rows += [described | row for row in split_accuracies(label, classes, dataset, fold)]
    return rows


def split_accuracies(label: str, predicted: np.ndarray, dataset: PairedDataset, fold: int) -> Iterator[dict[str, Any]]:
    """Yield the accuracy of predicted classes, ``(pairs,)``, on each split that has labelled pairs."""
    values = dataset.labels[label]
    for split, metric in METRICS.items():
        pairs = dataset.pairs_in(fold, split)
        pairs = pairs[values[pairs] != UNLABELLED]
        if pairs.size:
            yield {"label": label, "metric": metric, "value": float(np.mean(predicted[pairs] == values[pairs]))}
