"""Linear probes of trained runs (App. H.1)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from disentangledssl.dataset import PairedDataset, read_dataset
from disentangledssl.evaluation import linear_probe
from disentangledssl.files import write_table
from disentangledssl.measurements import RUN_COLUMNS, measurement_table, run_columns
from disentangledssl.timings import phase

PROBE_COLUMNS = RUN_COLUMNS | {
    "representation": pa.string(), "width": pa.int64(), "code_std": pa.float64(),
    "label": pa.string(), "metric": pa.string(), "value": pa.float64(),
}  # fmt: skip


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
        rows += probe_rows(named, codes, dataset, run["fold"], probe)
    write_table(out, measurement_table(rows, PROBE_COLUMNS), {"dataset": dict(dataset.info)})


def probe_rows(named, codes, dataset: PairedDataset, fold: int, probe) -> list[dict[str, Any]]:
    """Probe representations of every pair, by name, for every label of the data set."""
    train, test = dataset.pairs_in(fold, "train"), dataset.pairs_in(fold, "test")
    labels = [{name: classes[pairs] for name, classes in dataset.labels.items()} for pairs in (train, test)]
    rows = []
    for name, values in codes.items():
        on_test = values[test]
        described = named | {
            "representation": name,
            "width": values.shape[1],
            # The probe is not scaled, so its L2 penalty sees this.
            "code_std": float(on_test.std()) if values.size else None,
            "metric": "accuracy",
        }
        accuracies = linear_probe.probe_accuracies(values[train], labels[0], on_test, labels[1], **probe)
        rows += [described | {"label": label, "value": accuracy} for label, accuracy in accuracies.items()]
    return rows
