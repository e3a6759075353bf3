"""What tests of MultiBench's probes share: a small data set of two labels, and accuracies pair by pair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression

from disentangledssl.dataset import PairedDataset, read_dataset
from disentangledssl.multibench_probes import METRICS

PROBE = {"solver": "exact", "max_iter": 200, "codes": "standardised"}
RAW = PROBE | {"codes": "raw"}


def two_labels(tiny) -> PairedDataset:
    """The tiny data set with a second label, which half of the pairs have."""
    data = read_dataset(tiny)
    some = np.where(np.arange(len(data.ids)) % 2, -1, data.labels["c"])
    return replace(data, labels={"c": data.labels["c"], "s1": some})


def literal(code, data, label, fold=0):
    """Accuracy on each split, pair by pair."""
    values, train = data.labels[label], data.pairs_in(fold, "train")
    train = [k for k in train if values[k] != -1]
    fitted = LogisticRegression(max_iter=1000, tol=1e-10).fit(code[train].astype(float), values[train])
    found = {}
    for split, metric in METRICS.items():
        pairs = [k for k in data.pairs_in(fold, split) if values[k] != -1]
        found[metric] = sum(fitted.predict(code[[k]].astype(float))[0] == values[k] for k in pairs) / len(pairs)
    return found


def accuracies(rows, representation, label):
    """Accuracies of one representation and label, by metric."""
    return {
        row["metric"]: row["value"]
        for row in rows
        if (row.get("representation"), row["label"]) == (representation, label)
    }
