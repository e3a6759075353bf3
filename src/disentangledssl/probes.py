"""Linear probes of trained runs (App. H.1)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from disentangledssl.dataset import PairedDataset, read_dataset
from disentangledssl.evaluation import linear_probe
from disentangledssl.evaluation.weight_ratio import weight_ratio
from disentangledssl.files import write_table
from disentangledssl.measurements import RUN_COLUMNS, measurement_table, run_columns
from disentangledssl.timings import phase

PROBE_COLUMNS = RUN_COLUMNS | {
    "representation": pa.string(), "width": pa.int64(), "code_std": pa.float64(),
    "label": pa.string(), "metric": pa.string(), "value": pa.float64(),
}  # fmt: skip


def probe_models(models: Path, dataset_folder: Path, out: Path, *, stage: str, probe: Mapping[str, Any]) -> None:
    """Probe every run of a stack for every label.

    The shared representation is [zc1, zc2] together, and each alone; zs1 and zs2 are probed alone. Not probed again
    in step 2: zc, which is that of the step 1 it started from. Source: App. H.1.
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
        if stage == "step1" and "pure_dimensions" in dataset.info:
            rows += [
                named
                | {
                    "representation": encoder,
                    "metric": "weight_ratio",
                    "value": weight_ratio(stack.first_layer(index, encoder), dataset.info["pure_dimensions"]),
                }
                for encoder in ("zc1", "zc2")
            ]
    write_table(out, measurement_table(rows, PROBE_COLUMNS), {"dataset": dict(dataset.info)})


def probe_rows(named, codes, dataset: PairedDataset, fold: int, probe) -> list[dict[str, Any]]:
    """Probe representations of every pair, by name, for every label of the data set."""
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
