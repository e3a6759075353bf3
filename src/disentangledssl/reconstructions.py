"""What the representations of trained runs hold of their views, by decoders (sec. 3.3, Table 3; App. H.3, Table 5).

One row a run, decoder and metric:

- ``r2`` and ``r2_per_feature`` of each decoder on test, each row of the target view once (a molecule counts once,
  however many profiles it has), ``constant_features`` that the latter leaves out, and ``epoch``, whose weights it has;
- the gains of both representations over the single ones (see ``evaluation.reconstruction``);
- for phenotypes made from a molecule's shared and a phenotype's specific representation the distances between
  generated sets (see ``evaluation.counterfactual``).

A decoder that diverged has rows without a value. View 1 is the phenotype, view 2 the molecule.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import torch

from disentangledssl.dataset import PairedDataset, read_dataset
from disentangledssl.evaluation.counterfactual import FORMULAS, counterfactual_distances
from disentangledssl.evaluation.reconstruction import reconstruction_gains, reconstruction_r2
from disentangledssl.files import write_table
from disentangledssl.measurements import RUN_COLUMNS, measurement_table, run_columns
from disentangledssl.scaling import STANDARDISED, scale_view
from disentangledssl.settings import DecoderSettings
from disentangledssl.streams import Stream, generator
from disentangledssl.timings import phase

RECONSTRUCTION_COLUMNS = RUN_COLUMNS | {
    "representation": pa.string(), "target": pa.string(), "metric": pa.string(), "value": pa.float64(),
}  # fmt: skip
GENERATOR = "zc2+zs1"

log = logging.getLogger(__name__)


def measure_reconstruction(
    models: Path,
    dataset_folder: Path,
    out: Path,
    *,
    stage: str,
    decoders: Mapping[str, Any],
    device: str = "cpu",
    terminal: TextIO | None = None,
) -> None:
    """Fit the decoders of every run of a stack, and measure them.

    Parameters
    ----------
    models, dataset_folder, out : path
    stage : str
    decoders : mapping
        See ``DecoderSettings``.
    device : str
    terminal : text stream, optional
        Where the progress line goes.

    Raises
    ------
    InputError
        If models or data are damaged or do not fit, or a fold has no validation pairs.
    """
    from disentangledssl.decoders import fit_decoders
    from disentangledssl.representations import Models

    settings = DecoderSettings.model_validate(decoders)
    with phase("loading"):
        dataset = read_dataset(dataset_folder)
        stack = Models(models, dataset, device)
    named = [run_columns(run, stage) for run in stack.runs]
    alive = [index for index, run in enumerate(stack.runs) if run["status"] == "trained"]
    rows = [[] if index in alive else [named[index]] for index in range(len(named))]
    codes = [stack.represent(index) for index in alive]
    for view in (1, 2) if alive else ():
        targets = {fold: standard_view(stack, fold, view) for fold in sorted({named[index]["fold"] for index in alive})}
        fitted, inputs = fit_decoders(
            codes, [stack.runs[index] for index in alive], dataset, targets, view,
            settings=settings, folder=dataset_folder, device=device, terminal=terminal,
        )  # fmt: skip
        for place, index in enumerate(alive):
            own = named[index] | {"target": f"x{view}"}
            rows[index] += decoder_rows(own, fitted, place, inputs[place], dataset, targets[own["fold"]], view)
            if GENERATOR in fitted.kinds:
                rows[index] += counterfactual_rows(own, fitted, place, inputs[place], dataset)
    table = measurement_table([row for of_run in rows for row in of_run], RECONSTRUCTION_COLUMNS)
    write_table(out, table, {"dataset": dict(dataset.info), "formulas": FORMULAS})


def standard_view(stack, fold: int, view: int) -> np.ndarray:
    """Return a view as the runs of a fold see it, every feature standardised on training rows, ``(rows, features)``."""
    training = np.unique(stack.dataset.rows[view - 1][stack.dataset.pairs_in(fold, "train")])
    return scale_view(stack.scaled_views(fold)[view - 1].cpu().numpy(), training, STANDARDISED)


def decoder_rows(
    named: Mapping[str, Any],
    decoders,
    place: int,
    codes: torch.Tensor,
    dataset: PairedDataset,
    target: np.ndarray,
    view,
) -> list[dict[str, Any]]:
    """Measure R2 of every decoder of one run on test, and the gains.

    Parameters
    ----------
    named : mapping
        Columns of the run and the target.
    decoders : Decoders
    place : int
        Of the run in them.
    codes : tensor, (pairs, width of all representations)
    dataset : PairedDataset
    target : array, (rows of the view, features)
    view : int
        1 or 2.
    """
    test = dataset.pairs_in(named["fold"], "test")
    of_row, first = np.unique(dataset.rows[view - 1][test], return_index=True)
    rows, pooled = [], {}
    for kind in decoders.kinds:
        made = decoders.decode(place, kind, codes[test[first]])
        r2 = reconstruction_r2(target[of_row], made)._asdict() if np.isfinite(made).all() else {}
        pooled[kind] = r2.get("pooled", np.nan)
        values = {"r2": pooled[kind], "r2_per_feature": r2.get("per_feature"), "constant_features": r2.get("constant")}
        rows += _rows(named, kind, values | {"epoch": decoders.kept_epoch(place, kind)})
    three = f"zc{view}", f"zs{view}", f"zc{view}+zs{view}"
    if three[2] in pooled:
        rows += _rows(named, three[2], reconstruction_gains(*(pooled[kind] for kind in three)))
    return rows


def counterfactual_rows(
    named: Mapping[str, Any], decoders, place: int, codes: torch.Tensor, dataset: PairedDataset
) -> list[dict[str, Any]]:
    """Generate phenotypes of validation, of test, and of validation phenotypes with test molecules; compare the sets.

    Every validation phenotype is given one of the distinct test molecules by chance, the same for all runs of a fold
    and seed. Arguments are those of :func:`decoder_rows`. No rows where the sets are too small to have halves.
    """
    validation, test = (dataset.pairs_in(named["fold"], split) for split in ("validation", "test"))
    if len(validation) < 2 or len(test) < 4:
        log.warning("%s: no distances between %d and %d phenotypes", named["run"], len(validation), len(test))
        return []
    stream = Stream(dataset.info.get("name", ""), named["fold"], named["seed"])
    draws = np.random.default_rng(generator(stream, "counterfactual").initial_seed())
    _, molecules = np.unique(dataset.rows[1][test], return_index=True)
    others = test[molecules][draws.integers(len(molecules), size=len(validation))]
    mixed, molecule = codes[validation], decoders.columns["zc2"]
    mixed[:, molecule] = codes[others, molecule]
    made = [decoders.decode(place, GENERATOR, one) for one in (codes[validation], codes[test], mixed)]
    known = all(np.isfinite(one).all() for one in made)
    return _rows(named, GENERATOR, counterfactual_distances(*made, draws) if known else dict.fromkeys(FORMULAS))


def _rows(named: Mapping[str, Any], kind: str, values: Mapping[str, float | None]) -> list[dict[str, Any]]:
    return [
        dict(named)
        | {"representation": kind, "metric": metric, "value": None if value is None or np.isnan(value) else value}
        for metric, value in values.items()
    ]
