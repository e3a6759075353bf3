"""Methods: which loss terms with which weights. One module a trained stage, each with a class ``Method``.

A stage is found by its module's name (``disentangledssl.methods.step1``), so adding a method touches no list
here and re-trains nothing that exists.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from disentangledssl.encoders import StackedMLP
from disentangledssl.sequence_encoders import SequenceEncoder
from disentangledssl.settings import TrainingSettings
from disentangledssl.streams import Stream

STRUCTURE = ("hidden", "layers", "dimensions", "sequences")  # settings that decide what an encoder of a view is
Shape = tuple[int, ...]  # of a view: (features,), or of sequences (steps, features)
Encoder = StackedMLP | SequenceEncoder


@dataclass(frozen=True)
class Layout:
    """Which run of a stack uses what.

    Attributes
    ----------
    hyperparameters : mapping of name to list
        One value a run.
    streams : list of Stream
        The distinct streams; their mini-batches are shared by the runs that name them.
    stream_of_run : list of int
    starts : list of str
        Ids of the distinct runs of an earlier stage that the runs start from (step 2).
    start_shape : mapping
        The settings of ``STRUCTURE`` that their encoders were built with.
    start_of_run : list of int
    stream_of_start : list of int
    """

    hyperparameters: dict[str, list[float]]
    streams: list[Stream]
    stream_of_run: list[int]
    starts: list[str] = field(default_factory=list)
    start_shape: dict[str, Any] = field(default_factory=dict)
    start_of_run: list[int] = field(default_factory=list)
    stream_of_start: list[int] = field(default_factory=list)


class BaseMethod(nn.Module):
    """What every stage provides; a stage overrides ``__init__``, ``losses`` and ``represent``.

    Attributes
    ----------
    shapes : pair of Shape
        Of the views.
    second_version : bool
        Whether ``losses`` needs a second augmented version of each view.
    first_clean : bool
        Whether the first version is the clean view, or augmented too.
    noise : tuple of (purpose, view)
        The noise that ``losses`` samples with, by the key of its random stream; vMF noise where the settings have
        a ``kappa``, else standard normal numbers.
    trained : tuple of str
        Names of the encoders that this stage trains.
    annealed : bool
        Whether the learning rate falls to 0 over the epochs, or stays as it is.
    takes_sequences : bool
        Whether views may be sequences.
    last_layer : bool
        Whether codes of sequences come out of a linear layer, or are what the Transformer or GRU puts out.
    """

    second_version = False
    first_clean = False
    noise: tuple[tuple[str, int], ...] = ()
    trained: tuple[str, ...] = ()
    annealed = True
    takes_sequences = True
    last_layer = True

    def __init__(self, shapes: tuple[Shape, Shape], settings: TrainingSettings, layout: Layout):
        super().__init__()
        self.shapes, self.settings, self.layout = shapes, settings, layout
        for name, values in layout.hyperparameters.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def encoder(self, shape: Shape, *, beside: int = 0) -> Encoder:
        """Build the encoder of a view for every run; a specific one sees a code of width ``beside``, too."""
        settings, runs = self.settings, len(self.layout.stream_of_run)
        return build_encoder(
            runs, shape, **settings.model_dump(include=set(STRUCTURE)), precision=settings.precision, beside=beside,
            last_layer=self.last_layer,
        )  # fmt: skip

    def initialise(self) -> None:
        """Draw the initial values of every trained encoder from the streams of its runs."""
        streams = [self.layout.streams[k] for k in self.layout.stream_of_run]
        for name in self.trained:
            getattr(self, name).initialise(streams, name, self.settings.weight_std)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by group; each group has an optimiser and a loss of its own."""
        return {"encoders": [p for name in self.trained for p in getattr(self, name).parameters()]}

    def losses(self, batch) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return the loss of each parameter group and, for the log, each term: ``(runs,)`` each.

        Raises
        ------
        NotImplementedError
            Here; every method has its own.
        """
        raise NotImplementedError

    def begin_epoch(self, epoch: int) -> None:
        """Give the trained encoders what they draw from in an epoch, counted from 0."""
        for name in self.trained:
            encoder = getattr(self, name)
            if isinstance(encoder, SequenceEncoder):
                encoder.begin_epoch(self.layout.streams, self.layout.stream_of_run, name, epoch)

    def end_epoch(self, epoch: int, feed) -> bool:
        """Look at what an epoch, counted from 0, has trained; True ends the training.

        What it remembers must be in the state of the module, so that a resumed run has it too.
        """
        return False

    def represent(self, run: int, x: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Encode clean views ``(rows, features)`` with one run: raw outputs by name, ``(rows, dimensions)``.

        Sequences are ``(rows, steps, features + 1)``, see ``sequence_encoders``.

        Raises
        ------
        NotImplementedError
            Here; every method has its own.
        """
        raise NotImplementedError


class FourEncoders(BaseMethod):
    """Shared encoders of each view, zc_m, and specific ones of [x_m, raw zc_m], zs_m: here all trained together."""

    second_version = True
    trained: tuple[str, ...] = ("zc1", "zc2", "zs1", "zs2")

    def __init__(self, shapes: tuple[Shape, Shape], settings: TrainingSettings, layout: Layout):
        super().__init__(shapes, settings, layout)
        self.zc1, self.zc2 = self.shared_encoders()
        self.zs1, self.zs2 = (self.encoder(shape, beside=self.zc1.outputs) for shape in shapes)

    def shared_encoders(self) -> tuple[Encoder, Encoder]:
        """Build zc1 and zc2."""
        first, second = (self.encoder(shape) for shape in self.shapes)
        return first, second

    def encode_shared(self, encoder: Encoder, views: torch.Tensor) -> torch.Tensor:
        """Encode views of every stream into shared codes of every run."""
        return encoder(spread(views, self.layout.stream_of_run))

    def shared_network(self, run: int) -> int:
        """Place of a run's network in the shared encoders."""
        return run

    def encode(self, batch) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Encode both versions of both views: zc and zs, ``(runs, 2 * batch, dimensions)`` a view."""
        zc, zs = [], []
        for shared, specific, x, v in zip((self.zc1, self.zc2), (self.zs1, self.zs2), batch.x, batch.v, strict=True):
            both = torch.cat([x, v], dim=1)
            zc.append(self.encode_shared(shared, both))
            zs.append(specific(spread(both, self.layout.stream_of_run), zc[-1]))
        return zc, zs

    def represent(self, run, x):
        shared = self.shared_network(run)
        zc = [encoder.single(shared, view) for encoder, view in zip((self.zc1, self.zc2), x, strict=True)]
        zs = [encoder.single(run, view, code) for encoder, view, code in zip((self.zs1, self.zs2), x, zc, strict=True)]
        return {"zc1": zc[0], "zc2": zc[1], "zs1": zs[0], "zs2": zs[1]}


def build_encoder(
    runs: int, shape: Shape, *, hidden: int, layers: int, dimensions: int, sequences: Mapping[str, Any] | None,
    precision: str = "float32", beside: int = 0, last_layer: bool = True,
) -> Encoder:  # fmt: skip
    """Build the encoder of views of one shape (App. H.1, H.2).

    Parameters
    ----------
    runs : int
    shape : Shape
        Of a view.
    hidden, layers, dimensions, sequences, precision
        See ``TrainingSettings``.
    beside : int
        Width of a code that is seen beside the view.
    last_layer : bool
        See ``BaseMethod``.
    """
    if len(shape) == 2:
        outputs = dimensions if last_layer else None
        return SequenceEncoder(runs, shape, sequences, outputs=outputs, beside=beside, precision=precision)
    return mlp(runs, shape[0] + beside, hidden, layers, dimensions, precision)


def mlp(runs: int, inputs: int, hidden: int, layers: int, dimensions: int, precision: str = "float32") -> StackedMLP:
    """Build a network of so many linear layers."""
    return StackedMLP(runs, [inputs, *[hidden] * (layers - 1), dimensions], precision)


def spread(values: torch.Tensor, index: Sequence[int]) -> torch.Tensor:
    """Give each run the slice it shares with others: ``(streams, ...)`` -> ``(runs, ...)``."""
    if len(values) == 1:
        return values.expand(len(index), *values.shape[1:])
    if list(index) == list(range(len(values))):
        return values
    return values[_places(tuple(index), values.device)]


@functools.cache
def _places(index: tuple[int, ...], device: torch.device) -> torch.Tensor:
    # Made once: a step copies nothing to a GPU, which would make it wait.
    return torch.as_tensor(index, device=device)


def load_method(name: str) -> type[BaseMethod]:
    """Return the class of a trained stage."""
    return importlib.import_module(f"disentangledssl.methods.{name}").Method
