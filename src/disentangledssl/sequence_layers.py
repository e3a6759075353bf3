"""Layers of encoders of sequences, with a leading run axis as in ``encoders``, their gradients written by hand, and the
dropout between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable
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
            shift, beta = (product, 0) if bias is None else (bias[run, :, :outputs].to(kind), 1)
            torch.addmm(shift, x[run], weight[run, :, :outputs], beta=beta, alpha=scale, out=product)
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


def _add(x: torch.Tensor, more: torch.Tensor, dropout: Dropout | None) -> torch.Tensor:
    """Add what is left of ``more`` after dropout."""
    return x + more if dropout is None else torch.addcmul(x, more, dropout.kept(more), value=dropout.scale)
