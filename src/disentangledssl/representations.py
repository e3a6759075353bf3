"""From trained models and data to representations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from disentangledssl.checkpoints import load_models
from disentangledssl.dataset import PairedDataset
from disentangledssl.errors import InputError
from disentangledssl.methods import Layout, load_method
from disentangledssl.scaling import scale_fold, scale_view
from disentangledssl.settings import STAGE_SETTINGS, ScalingSettings

ROWS_AT_A_TIME = 8192  # of sequences so many time steps


class Models:
    """The trained runs of one stack, ready to encode a data set.

    Parameters
    ----------
    path : path
        What ``training.train_stack`` wrote.
    dataset : PairedDataset
        Scaled as in training, fold by fold.
    device : str

    Attributes
    ----------
    runs : list of mapping
        ``id``, hyperparameters, ``fold``, ``seed`` and ``status`` of each run.
    settings : TrainingSettings
        Of the stage.

    Raises
    ------
    InputError
        If the file is damaged or was trained on views of other shapes.
    """

    def __init__(self, path: str | os.PathLike[str], dataset: PairedDataset, device: str = "cpu"):
        self.path = path
        tensors, info = load_models(path)
        trained_on = info.get("shapes", [])
        if [tuple(shape) for shape in trained_on] != list(dataset.shapes):
            seen, given = (" and ".join(map(_in_words, shapes)) or "others" for shapes in (trained_on, dataset.shapes))
            raise InputError(
                path, "", f"was trained on views of {seen}, the data set has {given}", "train it again on these data"
            )
        self.runs: list[dict[str, Any]] = info["runs"]
        self.dataset, self.device = dataset, torch.device(device)
        self.scaling = tuple(ScalingSettings.model_validate(one) for one in info["scaling"])
        self.settings = STAGE_SETTINGS[info["method"]].model_validate(info["settings"])
        self.method = load_method(info["method"])(dataset.shapes, self.settings, Layout(**info["layout"]))
        self.method.load_state_dict(tensors)
        self.method.to(self.device)
        self._scaled: tuple[int, tuple[torch.Tensor, torch.Tensor]] | None = None

    def scaled_views(self, fold: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both views as the runs of a fold see them, ``(rows of the view, features)``, on the device.

        Of sequences ``(rows of the view, steps, features + 1)``, see ``scaling.scale_sequences``.
        """
        if self._scaled is None or self._scaled[0] != fold:
            views = scale_fold(self.dataset, fold, self.scaling)
            self._scaled = (fold, tuple(torch.from_numpy(view).to(self.device) for view in views))
        return self._scaled[1]

    def represent_views(self, index: int) -> dict[str, np.ndarray]:
        """Encode every row of each view with one run: name -> ``(rows of its view, dimensions)`` float32.

        Only for stages whose representations depend on one view each.
        """
        views = self.scaled_views(self.runs[index]["fold"])
        pieces: dict[str, list[torch.Tensor]] = {}
        with torch.no_grad():
            steps = max(view[0].numel() // view.shape[-1] for view in views)
            at_a_time = max(1, ROWS_AT_A_TIME // steps)
            for start in range(0, max(len(view) for view in views), at_a_time):
                x = tuple(view[start : start + at_a_time] for view in views)
                for name, codes in self.method.represent(index, x).items():
                    pieces.setdefault(name, []).append(codes.cpu())
        return {name: torch.cat(codes).numpy() for name, codes in pieces.items()}

    def index_of(self, run: str) -> int:
        """Return the place of a run in the stack.

        Raises
        ------
        InputError
            If the stack has no such run.
        """
        for index, one in enumerate(self.runs):
            if one["id"] == run:
                return index
        raise InputError(self.path, run, "is no run of this stack", "ask for one of its runs")

    def represent_molecules(self, index: int, features: np.ndarray) -> np.ndarray:
        """Encode molecules that the data set need not have: their zc2, ``(molecules, dimensions)`` float32.

        Parameters
        ----------
        index : int
            Of the run.
        features : array, ``(molecules, features of view 2)``
            As the data set's own are made, and scaled here by its statistics.
        """
        settings, view, fold = self.scaling[1], self.dataset.views[1], self.runs[index]["fold"]
        known = self.dataset.rows[1][self.dataset.pairs_in(fold, "train")]
        fitted = np.arange(len(view)) if settings.statistics == "all" else np.unique(known)
        both = np.concatenate([view, features.astype(np.float32)])
        # Statistics of the rows that the data set's own were scaled by, whatever is ranked.
        scaled = scale_view(both, fitted, settings.model_copy(update={"statistics": "train"}))[len(view) :]
        x1, x2 = self.scaled_views(fold)[0][:0], torch.from_numpy(scaled).to(self.device)
        with torch.no_grad():
            pieces = [
                self.method.represent(index, (x1, x2[start : start + ROWS_AT_A_TIME]))["zc2"].cpu()
                for start in range(0, len(x2), ROWS_AT_A_TIME)
            ]
        return torch.cat(pieces).numpy()

    def first_layer(self, index: int, encoder: str) -> np.ndarray:
        """Return the first weights of one run's encoder, ``(inputs, hidden)``."""
        network = getattr(self.method, encoder)
        inputs = network.layers[0][0]
        return network.weights[0][index, :inputs].detach().cpu().numpy()

    def represent(self, index: int) -> dict[str, np.ndarray]:
        """Encode both views of every pair with one run: name -> ``(pairs, dimensions)`` float32."""
        return {
            # The last character of a representation's name is its view.
            name: codes[self.dataset.rows[int(name[-1]) - 1]]
            for name, codes in self.represent_views(index).items()
        }


def _in_words(shape: Sequence[int]) -> str:
    """Say what a view's rows are.

    >>> _in_words((50, 300)), _in_words([47])
    ('50 steps of 300 features', '47 features')
    """
    *steps, features = shape
    return "".join(f"{count} steps of " for count in steps) + f"{features} features"


def write_representations(models: Path, dataset: PairedDataset, run: str, out: Path) -> None:
    """Write one run's representations: ``id`` of the pair, then ``zc1_0`` ... float32."""
    from disentangledssl.dataset import write_view

    stack = Models(models, dataset)
    index = stack.index_of(run)
    codes = stack.represent(index)
    features = [f"{name}_{k}" for name, values in codes.items() for k in range(values.shape[1])]
    write_view(
        out, dataset.ids, np.concatenate(list(codes.values()), axis=1), features,
        {"dataset": dict(dataset.info), "run": stack.runs[index]},
    )  # fmt: skip
