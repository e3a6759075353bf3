"""Encoders of sequences, with a leading run axis as in ``encoders``: a Transformer or a GRU, then one linear layer.

A sequence is ``(steps, features + 1)``; the last number of a time step is 1 where it is valid and 0 where it is
padding, which follows the valid steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call
from torch.nn.functional import pad

from disentangledssl.encoders import whole_lanes
from disentangledssl.streams import Stream, generator

CHANCES = 1 << 16  # dropout is decided by 16 random bits a number


class Dropout:
    """What an encoder's dropout draws in one epoch: the same for all runs of a stream, whoever else is in the stack.

    Parameters
    ----------
    streams : sequence of Stream
        The distinct ones.
    stream_of_run : sequence of int
    name : str
        Of the encoder.
    epoch : int
    rate : float
        Chance that a number is dropped, rounded to a multiple of 2^-16.
    device : torch.device

    Attributes
    ----------
    stream_of_run : list of int
    scale : float
        What kept numbers are to be multiplied by.
    """

    def __init__(
        self, streams: Sequence[Stream], stream_of_run: Sequence[int], name: str, epoch: int, rate: float,
        device: torch.device,
    ):  # fmt: skip
        self.draws = [generator(one, f"dropout {name}", epoch=epoch, device=device) for one in streams]
        self.stream_of_run = list(stream_of_run)
        self.dropped = round(rate * CHANCES)
        self.scale = CHANCES / (CHANCES - self.dropped)

    def masks(self, shape: Sequence[int], kind: torch.dtype) -> list[torch.Tensor]:
        """Draw for each number whether it is kept, 1, or not, 0: one ``shape`` a stream."""
        count, made = math.prod(shape), []
        for draws in self.draws:
            bits = torch.empty(-(-count // 4), dtype=torch.int64, device=draws.device)
            bits.random_(-(1 << 63), None, generator=draws)
            kept = bits.view(torch.int16)[:count] >= self.dropped - CHANCES // 2
            made.append(kept.to(kind).view(*shape))
        return made

    def kept(self, x: torch.Tensor) -> torch.Tensor:
        """Draw for each number of ``(runs, ...)`` whether it is kept: 1, or 0."""
        masks = self.masks(x.shape[1:], x.dtype)
        return torch.stack([masks[stream] for stream in self.stream_of_run])


class Pass(NamedTuple):
    """How encoders are passed through."""

    dropout: Dropout | None = None
    low: bool = False  # products with weights in bfloat16


CLEAN = Pass()


class _Linear(torch.autograd.Function):
    """x W, times a scale, + b, run by run.

    Rows of a result start at whole lanes: MKL writes a matrix whose rows are 300 numbers apart a third slower than one
    whose rows are 304 apart.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, outputs, scale, low):
        kind = torch.bfloat16 if low else x.dtype
        x, weight = x.to(kind), weight.to(kind)
        out = _rows(x, outputs)
        for run, product in enumerate(out):
            if bias is None:
                torch.mm(x[run], weight[run, :, :outputs], out=product)
            else:
                shift = bias[run, :, :outputs].to(kind)
                torch.addmm(shift, x[run], weight[run, :, :outputs], alpha=scale, out=product)
        ctx.save_for_backward(x, weight)
        ctx.scale, ctx.biased = scale, bias is not None
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        to_x, to_weight = _rows(x, x.shape[2]) if ctx.needs_input_grad[0] else None, torch.empty_like(weight)
        for run, slope in enumerate(gradient):
            _slopes(x[run], weight[run], slope, ctx.scale, to_weight[run], None if to_x is None else to_x[run])
        to_bias = _padded(gradient.sum(1, keepdim=True), weight) if ctx.biased else None
        return to_x, to_weight, to_bias, None, None, None


class _FeedForward(torch.autograd.Function):
    """The feed-forward part of a Transformer: dropout(ReLU(x W1 + b1)) W2 + b2, run by run.

    Dropout comes before ReLU, which is the same, so that both are done in place; W2 does the scaling. What is left
    after both says where the gradient passes, so neither mask nor what was before them is kept.
    """

    @staticmethod
    def forward(ctx, x, weight1, bias1, weight2, bias2, width, outputs, dropout, low):
        kind = torch.bfloat16 if low else x.dtype
        x, weight1, weight2, bias1, bias2 = (one.to(kind) for one in (x, weight1, weight2, bias1, bias2))
        out, inner, ctx.scale = _rows(x, outputs), [], 1.0
        if dropout is not None:
            masks, ctx.scale = dropout.masks((x.shape[1], width), kind), dropout.scale
        for run, seen in enumerate(x):
            # Memory of a run at a time: the allocator gives a larger piece back at once, and has to clear the next one.
            inner.append(_rows(seen, width))
            torch.addmm(bias1[run, :, :width], seen, weight1[run, :, :width], out=inner[run])
            if dropout is not None:
                inner[run].mul_(masks[dropout.stream_of_run[run]])
            inner[run].relu_()
            torch.addmm(bias2[run, :, :outputs], inner[run], weight2[run, :, :outputs], alpha=ctx.scale, out=out[run])
        ctx.save_for_backward(x, weight1, weight2, *inner)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, weight1, weight2, *inner = ctx.saved_tensors
        to_x, to_weight1, to_weight2 = _rows(x, x.shape[2]), torch.empty_like(weight1), torch.empty_like(weight2)
        to_inner, to_bias1 = _rows(inner[0], inner[0].shape[1]), []
        for run, slope in enumerate(gradient):
            _slopes(inner[run], weight2[run], slope, ctx.scale, to_weight2[run], to_inner)
            torch.ops.aten.threshold_backward.grad_input(to_inner, inner[run], 0, grad_input=to_inner)
            to_bias1.append(to_inner.sum(0, keepdim=True))
            _slopes(x[run], weight1[run], to_inner, 1.0, to_weight1[run], to_x[run])
        to_biases = _padded(torch.stack(to_bias1), weight1), _padded(gradient.sum(1, keepdim=True), weight2)
        return to_x, to_weight1, to_biases[0], to_weight2, to_biases[1], None, None, None, None


def _rows(like: torch.Tensor, width: int) -> torch.Tensor:
    """Make room for as many rows as ``like`` has, which start at whole lanes."""
    return like.new_empty(*like.shape[:-1], whole_lanes(width))[..., :width]


def _slopes(x, weight, slope, scale, to_weight, to_x) -> None:
    """Gradients of one run's product: to its weight, whose padding gets 0, and to its input, if there is room."""
    slope, outputs = slope.to(x.dtype), slope.shape[1]
    to_weight[:, outputs:] = 0
    own = to_weight[:, :outputs]
    torch.addmm(own, x.T, slope, beta=0, alpha=scale, out=own)
    if to_x is not None:
        torch.addmm(to_x, slope, weight[:, :outputs].T, beta=0, alpha=scale, out=to_x)


def _padded(to_bias: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return pad(to_bias, (0, weight.shape[2] - to_bias.shape[2]))


class StackedLinear(nn.Module):
    """A linear layer a run: ``(runs, rows, inputs)`` to ``(runs, rows, outputs)``.

    Parameters
    ----------
    runs, inputs, outputs : int
    bias : bool

    Notes
    -----
    As in ``encoders``, each run's slice of a parameter is a whole number of vector lanes.
    """

    def __init__(self, runs: int, inputs: int, outputs: int, *, bias: bool = True):
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.weight = nn.Parameter(torch.zeros(runs, inputs, whole_lanes(outputs)))
        self.bias = nn.Parameter(torch.zeros(runs, 1, whole_lanes(outputs))) if bias else None

    def initialise(
        self, draws: Sequence[torch.Generator], bound: float | None = None, bias_bound: float | None = None
    ) -> None:
        """Draw weights and biases uniformly within bounds, run by run; None: the bound of torch.nn.Linear."""
        usual = self.inputs**-0.5
        parts = [(self.weight, usual if bound is None else bound)]
        if self.bias is not None:
            parts.append((self.bias, usual if bias_bound is None else bias_bound))
        with torch.no_grad():
            for run, one in enumerate(draws):
                for values, within in parts:
                    own = values[run, :, : self.outputs]
                    own.copy_(torch.empty(own.shape).uniform_(-within, within, generator=one))

    def forward(self, x: torch.Tensor, how: Pass, scale: float = 1.0) -> torch.Tensor:
        """Multiply by weights and by ``scale``, then add biases; what comes out is of the type of ``x``."""
        return _Linear.apply(x, self.weight, self.bias, self.outputs, scale, how.low).to(x.dtype)


class StackedNorm(nn.Module):
    """Layer normalisation of ``(runs, rows, width)``, with a scale and a shift a run."""

    def __init__(self, runs: int, width: int):
        super().__init__()
        self.width = width
        self.scale, self.shift = (nn.Parameter(torch.zeros(runs, 1, whole_lanes(width))) for _ in range(2))

    def initialise(self) -> None:
        """Set scales to 1 and shifts to 0."""
        with torch.no_grad():
            self.scale[..., : self.width] = 1
            self.shift.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise over the last axis."""
        scale, shift = (one[..., : self.width] for one in (self.scale, self.shift))
        return torch.addcmul(shift, torch.layer_norm(x, (self.width,)), scale)


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward part, each with dropout, added to what came in and normalised after that.

    Parameters
    ----------
    runs, width, heads, feedforward : int
    """

    def __init__(self, runs: int, width: int, heads: int, feedforward: int):
        super().__init__()
        self.width, self.heads = width, heads
        self.query, self.key_value = StackedLinear(runs, width, width), StackedLinear(runs, width, 2 * width)
        self.output = StackedLinear(runs, width, width)
        self.first, self.second = StackedLinear(runs, width, feedforward), StackedLinear(runs, feedforward, width)
        self.norm1, self.norm2 = StackedNorm(runs, width), StackedNorm(runs, width)

    def initialise(self, draws: Sequence[torch.Generator]) -> None:
        """Draw initial values as torch.nn.TransformerEncoderLayer does."""
        # Xavier's bound, for the one matrix in which PyTorch keeps query, key and value.
        bound = (6 / (self.width + 3 * self.width)) ** 0.5
        self.query.initialise(draws, bound, 0.0)
        self.key_value.initialise(draws, bound, 0.0)
        self.output.initialise(draws, bias_bound=0.0)
        self.first.initialise(draws)
        self.second.initialise(draws)
        self.norm1.initialise()
        self.norm2.initialise()

    def forward(
        self, x: torch.Tensor, steps: torch.Tensor, batch: int, hidden: torch.Tensor | None, how: Pass
    ) -> torch.Tensor:
        """Let some time steps look at all time steps of their sequence.

        Parameters
        ----------
        x : tensor, (runs, batch * rows, width)
            The time steps whose output is wanted, sequence after sequence.
        steps : tensor, (runs, batch * steps, width)
        batch : int
            Sequences.
        hidden : tensor, (runs, batch, 1, 1, steps) or None
            Added to the scores: minus infinity where a time step may not be looked at.
        how : Pass

        Returns
        -------
        tensor, (runs, batch * rows, width)
        """
        x = self.norm1(_add(x, self._attend(x, steps, batch, hidden, how), how.dropout))
        parameters = (one for layer in (self.first, self.second) for one in (layer.weight, layer.bias))
        more = _FeedForward.apply(x, *parameters, self.first.outputs, self.width, *how)
        return self.norm2(_add(x, more.to(x.dtype), how.dropout))

    def _attend(self, x, steps, batch, hidden, how):
        def heads(rows: torch.Tensor) -> torch.Tensor:
            return rows.unflatten(1, (batch, -1)).unflatten(-1, (self.heads, -1)).transpose(2, 3)

        query, (key, value) = heads(self.query(x, how)), map(heads, self.key_value(steps, how).chunk(2, dim=-1))
        scores = torch.matmul(query * (self.width // self.heads) ** -0.5, key.transpose(-1, -2))
        attention = torch.softmax(scores if hidden is None else scores + hidden, dim=-1)
        if how.dropout is not None:
            # scaled_dot_product_attention drops by PyTorch's global generator, which no run could own.
            attention = attention * how.dropout.kept(attention)
        mixed = torch.matmul(attention, value).transpose(2, 3).flatten(-2).flatten(1, 2)
        return self.output(mixed, how, how.dropout.scale if how.dropout else 1.0)


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
        Width of what comes out; None: what the backbone puts out, without a last layer.
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
            self.backbone = StackedGRU(runs, steps, features, **own)
        else:
            self.backbone = StackedTransformer(runs, features, **own)
        self.last = None if outputs is None else StackedLinear(runs, self.backbone.width + beside, outputs)
        self.outputs = outputs or self.backbone.width
        self.rate, self.precision = sequences.get("dropout", 0), precision
        self.dropout: Dropout | None = None

    def initialise(self, streams: Sequence[Stream], name: str, weight_std: float) -> SequenceEncoder:
        """Draw initial values as PyTorch's own layers do, from each run's own stream; ``weight_std`` is for MLPs."""
        draws = [generator(stream, f"init {name}") for stream in streams]
        self.backbone.initialise(draws)
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
        codes = self.backbone(x, how)
        if self.last is None:
            return codes
        return self.last(codes if zc is None else torch.cat([codes, zc], dim=-1), how)

    def single(self, run: int, x: torch.Tensor, zc: torch.Tensor | None = None) -> torch.Tensor:
        """Encode ``(rows, steps, features + 1)`` with the network of one run, cleanly, into ``(rows, outputs)``."""
        if not len(x):
            return x.new_empty(0, self.outputs)
        own = {name: parameter[run : run + 1] for name, parameter in self.named_parameters()}
        return functional_call(self, own, (x[None], None if zc is None else zc[None]), {"clean": True})[0]


def _add(x: torch.Tensor, more: torch.Tensor, dropout: Dropout | None) -> torch.Tensor:
    """Add what is left of ``more`` after dropout."""
    return x + more if dropout is None else torch.addcmul(x, more, dropout.kept(more), value=dropout.scale)
