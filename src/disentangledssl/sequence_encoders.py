"""Encoders of sequences, with a leading run axis as in ``encoders``: a Transformer or a GRU, then one linear layer.

A sequence is ``(steps, features + 1)``; the last number of a time step is 1 where it is valid and 0 where it is
padding, which follows the valid steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from disentangledssl.sequence_layers import CLEAN, Dropout, Pass, StackedLinear, TransformerLayer
from disentangledssl.streams import Stream, generator


class StackedTransformer(nn.Module):
    """A linear map of each time step, layers of self-attention without positions, and one vector read out.

    Parameters
    ----------
    runs, features, width, layers, heads, feedforward : int
        ``features`` of a time step, ``width`` between the layers; see ``settings.TransformerSettings``.
    readout : {"last_step", "last_valid", "mean"}
        ``last_step``: the last of all steps, which is padding for most; padding is looked at like any step.
        ``last_valid`` and ``mean``: the last valid step, the mean of valid steps; padding is looked at by none.

    Notes
    -----
    Source: the encoder of FactorCL's MultiBench code: a 1x1 convolution without bias, post-norm layers, ``last_step``
    without a mask. There a mini-batch is padded to its longest sequence, so that a representation depends on its mates;
    here all have the steps of the file (choice). Initial values are those of torch.nn.TransformerEncoderLayer, but
    every layer draws its own, where torch.nn.TransformerEncoder copies those of one.
    """

    def __init__(
        self, runs: int, features: int, *, width: int, layers: int, heads: int, feedforward: int, readout: str
    ):
        super().__init__()
        self.width, self.readout = width, readout
        self.embedding = StackedLinear(runs, features, width, bias=False)
        self.layers = nn.ModuleList(TransformerLayer(runs, width, heads, feedforward) for _ in range(layers))

    def initialise(self, draws: Sequence[torch.Generator]) -> None:
        """Draw initial values, run by run."""
        self.embedding.initialise(draws)
        for layer in self.layers:
            layer.initialise(draws)

    def forward(self, x: torch.Tensor, how: Pass) -> torch.Tensor:
        """Encode ``(runs, batch, steps, features + 1)`` into ``(runs, batch, width)``."""
        batch, valid, hidden = x.shape[1], x[..., -1], None
        if self.readout != "last_step":
            hidden = torch.zeros_like(valid).masked_fill_(valid == 0, float("-inf"))[:, :, None, None]
        steps = self.embedding(x[..., :-1].flatten(1, 2), how)
        *first, last = self.layers
        for layer in first:
            steps = layer(steps, steps, batch, hidden, how)
        if self.readout == "mean":
            steps = last(steps, steps, batch, hidden, how).unflatten(1, (batch, -1))
            return (steps * valid[..., None]).sum(2) / valid.sum(2)[..., None]
        # One time step is read, so the last layer computes no other.
        place = torch.full(valid.shape[:2], valid.shape[2] - 1, device=x.device)
        if self.readout == "last_valid":
            place = valid.sum(2).long() - 1
        read = steps.unflatten(1, (batch, -1)).take_along_dim(place[..., None, None], 2)[:, :, 0]
        return last(read, steps, batch, hidden, how)


class StackedGRU(nn.Module):
    """A GRU, its state after each time step mapped to a few numbers, those of all steps side by side.

    Parameters
    ----------
    runs, steps, features, hidden, per_step : int
        See ``settings.GruSettings``. Padding is read like any step.

    Notes
    -----
    Source: the encoder of MIMIC in FactorCL's code, in the form that gives 24 x 15 = 360 numbers. Initial values are
    those of torch.nn.GRU and torch.nn.Linear.
    """

    def __init__(self, runs: int, steps: int, features: int, *, hidden: int, per_step: int):
        super().__init__()
        self.width, self.hidden = steps * per_step, hidden
        self.input, self.state = StackedLinear(runs, features, 3 * hidden), StackedLinear(runs, hidden, 3 * hidden)
        self.step = StackedLinear(runs, hidden, per_step)

    def initialise(self, draws: Sequence[torch.Generator]) -> None:
        """Draw initial values, run by run."""
        bound = self.hidden**-0.5
        for layer in (self.input, self.state):
            layer.initialise(draws, bound, bound)
        self.step.initialise(draws)

    def forward(self, x: torch.Tensor, how: Pass) -> torch.Tensor:
        """Encode ``(runs, batch, steps, features + 1)`` into ``(runs, batch, width)``; there is no dropout."""
        state, states = x.new_zeros(*x.shape[:2], self.hidden), []
        for seen in self.input(x[..., :-1].flatten(1, 2), how).unflatten(1, x.shape[1:3]).unbind(2):
            ours = self.state(state, how)
            reset, update = torch.sigmoid(seen[..., : -self.hidden] + ours[..., : -self.hidden]).chunk(2, dim=-1)
            new = torch.tanh(seen[..., -self.hidden :] + reset * ours[..., -self.hidden :])
            state = torch.lerp(new, state, update)
            states.append(state)
        return self.step(torch.stack(states, dim=2).flatten(1, 2), how).unflatten(1, x.shape[1:3]).flatten(2)


class SequenceEncoder(nn.Module):
    """Encode sequences; a code beside the sequence is seen by the last, linear layer.

    Parameters
    ----------
    runs : int
    shape : (int, int)
        Steps and features of a view.
    sequences : mapping
        ``settings.TransformerSettings`` or ``settings.GruSettings``, their width filled in.
    outputs : int or None
        Width of what comes out; None: what the Transformer or GRU puts out, without a last layer.
    beside : int
        Width of the code beside the sequence.
    precision : {"float32", "bfloat16"}
        Of the products with weights in :meth:`forward` and its gradient.

    Attributes
    ----------
    outputs : int
    """

    def __init__(
        self, runs: int, shape: tuple[int, int], sequences: Mapping[str, Any], *, outputs: int | None = None,
        beside: int = 0, precision: str = "float32",
    ):  # fmt: skip
        super().__init__()
        steps, features = shape
        own = {name: value for name, value in sequences.items() if name not in ("network", "dropout", "augmentation")}
        if sequences["network"] == "gru":
            self.network = StackedGRU(runs, steps, features, **own)
        else:
            self.network = StackedTransformer(runs, features, **own)
        self.last = None if outputs is None else StackedLinear(runs, self.network.width + beside, outputs)
        self.outputs = outputs or self.network.width
        self.rate, self.precision = sequences.get("dropout", 0), precision
        self.dropout: Dropout | None = None

    def initialise(self, streams: Sequence[Stream], name: str, weight_std: float) -> SequenceEncoder:
        """Draw initial values as PyTorch's own layers do, from each run's own stream; ``weight_std`` is for MLPs."""
        draws = [generator(stream, f"init {name}") for stream in streams]
        self.network.initialise(draws)
        if self.last is not None:
            self.last.initialise(draws)
        return self

    def begin_epoch(self, streams: Sequence[Stream], stream_of_run: Sequence[int], name: str, epoch: int) -> None:
        """Drop out from here on, by what the streams draw in this epoch; before the first call nothing is dropped."""
        device = next(self.parameters()).device
        self.dropout = Dropout(streams, stream_of_run, name, epoch, self.rate, device) if self.rate else None

    def forward(self, x: torch.Tensor, zc: torch.Tensor | None = None, *, clean: bool = False) -> torch.Tensor:
        """Encode ``(runs, batch, steps, features + 1)`` into ``(runs, batch, outputs)``.

        ``zc`` is ``(runs, batch, beside)``; ``clean``: without dropout and in full precision.
        """
        how = CLEAN if clean else Pass(self.dropout, self.precision == "bfloat16")
        codes = self.network(x, how)
        if self.last is None:
            return codes
        return self.last(codes if zc is None else torch.cat([codes, zc], dim=-1), how)

    def single(self, run: int, x: torch.Tensor, zc: torch.Tensor | None = None) -> torch.Tensor:
        """Encode ``(rows, steps, features + 1)`` with the network of one run, cleanly, into ``(rows, outputs)``."""
        if not len(x):
            return x.new_empty(0, self.outputs)
        own = {name: parameter[run : run + 1] for name, parameter in self.named_parameters()}
        return functional_call(self, own, (x[None], None if zc is None else zc[None]), {"clean": True})[0]
