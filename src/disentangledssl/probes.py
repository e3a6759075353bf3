"""Linear probes of trained runs (App. H.1; of MultiBench by ``multibench_probes``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from disentangledssl.dataset import PairedDataset, read_dataset
from disentangledssl.diagnostics import dependence_rows, information_rows, latent_rows
from disentangledssl.evaluation import linear_probe
from disentangledssl.evaluation.weight_ratio import weight_ratio
from disentangledssl.files import write_table
from disentangledssl.measurements import RUN_COLUMNS, measurement_table, run_columns
from disentangledssl.multibench_probes import accuracy_rows, joined_codes
from disentangledssl.timings import phase

PROBE_COLUMNS = RUN_COLUMNS | {
    "representation": pa.string(), "width": pa.int64(), "code_std": pa.float64(),
    "label": pa.string(), "metric": pa.string(), "value": pa.float64(),
}  # fmt: skip


def probe_models(models: Path, dataset_folder: Path, out: Path, *, stage: str, probe: Mapping[str, Any]) -> None:
    """Probe every run of a stack for every label.

    The shared representation is [zc1, zc2] together, and each alone; zs1 and zs2 are probed alone. Not probed again
    in step 2: zc, which is that of the step 1 it started from. Source: App. H.1.

    Where ``probe`` has ``codes`` (MultiBench): shared, specific and both representations instead, on every split, and
    shared of step 1 alone; see ``multibench_probes``.
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
        codes, fold = stack.represent(index), run["fold"]
        if "codes" in probe:
            joined = joined_codes(codes)
            if stage == "step2":
                del joined["shared"]
            rows += accuracy_rows(named, joined, dataset, fold, probe)
            continue
        rows += dependence_rows(named, codes, dataset, fold)
        if stage == "step2":
            probed = {name: codes[name] for name in ("zs1", "zs2")}
        else:
            probed = codes | {"zc": np.concatenate([codes["zc1"], codes["zc2"]], axis=1)}
        rows += probe_rows(named, probed, dataset, fold, probe)
        if stage == "step1":
            rows += _step1_rows(named, codes, stack, index, dataset)
    write_table(out, measurement_table(rows, PROBE_COLUMNS), {"dataset": dict(dataset.info)})


def _step1_rows(named, codes, stack, index: int, dataset: PairedDataset) -> list[dict[str, Any]]:
    """Measure what only some data allow: the information plane (Gaussian), the weight ratio (mixed)."""
    rows = []
    if dataset.info.get("gaussian"):
        rows += information_rows(named, codes, stack.settings.kappa, dataset, stack.runs[index]["fold"])
    if "pure_dimensions" in dataset.info:
        pure = dataset.info["pure_dimensions"]
        rows += [
            named
            | {
                "representation": encoder,
                "metric": "weight_ratio",
                "value": weight_ratio(stack.first_layer(index, encoder), pure),
            }
            for encoder in ("zc1", "zc2")
        ]
    return rows


def probe_rows(named, codes, dataset: PairedDataset, fold: int, probe) -> list[dict[str, Any]]:
    """Probe representations of every pair, by name, for every label, and for the true latents where they are known.

    Parameters
    ----------
    named : mapping of text to value
        Columns that every row gets.
    codes : mapping of name to array, ``(pairs, dimensions)``
        Of all pairs of the data set.
    dataset : PairedDataset
    fold : int
    probe : mapping of text to value
        ``solver`` and ``max_iter`` of ``linear_probe.probe_accuracies``.

    Returns
    -------
    list of dict
        A row a representation and label (accuracy on test pairs, 0 to 1) or latent (R2), in ``PROBE_COLUMNS``.

    Raises
    ------
    InputError
        As ``linear_probe.probe_accuracies``.
    ValueError
        As ``linear_probe.probe_accuracies`` and ``latent_regression.latent_r2``.

    Notes
    -----
    Source: App. H.1; that latents are looked for is a choice.
    """
    rows = latent_rows(named, codes, dataset, fold)
    train, test = dataset.pairs_in(fold, "train"), dataset.pairs_in(fold, "test")
    labels = [{name: classes[pairs] for name, classes in dataset.labels.items()} for pairs in (train, test)]
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
