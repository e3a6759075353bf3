"""Encoders whose parameters have a leading run axis: one object holds the networks of a whole stack."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from disentangledssl.streams import Stream, generator

LANES = 16


def whole_lanes(count: int) -> int:
    """Return the least multiple of ``LANES`` that is no less.

    >>> whole_lanes(300)
    304
    """
    return -(-count // LANES) * LANES


class StackedMLP(nn.Module):
    """Linear layers with ReLU between, one network a run.

    Parameters
    ----------
    runs : int
    widths : sequence of int
        Input, hidden ..., output.
    precision : {"float32", "bfloat16"}
        Of the matrix products of :meth:`forward` and its gradient.

    Notes
    -----
    Source: App. H.1 (MLP encoders); initial values from the authors' code, see :meth:`initialise`.

    Each run's slice of a parameter is a whole number of vector lanes: the fused Adam rounds the few elements
    that are left over at a tensor's end differently, so that without the padding (zeros that nothing reads) a
    run alone and the same run in a stack would differ in the last bit now and then.
    """

    def __init__(self, runs: int, widths: Sequence[int], precision: str = "float32"):
        super().__init__()
        self.precision = precision
        pairs = list(itertools.pairwise(widths))
        self.layers = pairs
        self.weights = nn.ParameterList(
            nn.Parameter(torch.zeros(runs, i if i * o % LANES == 0 else whole_lanes(i), o)) for i, o in pairs
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(runs, 1, whole_lanes(o))) for _, o in pairs)

    def initialise(self, streams: Sequence[Stream], name: str, weight_std: float | None) -> StackedMLP:
        """Draw weights from N(0, weight_std^2) and biases as torch.nn.Linear does, from each run's own stream.

        Without a ``weight_std`` weights are drawn as torch.nn.Linear does, too.
        """
        with torch.no_grad():
            for run, stream in enumerate(streams):
                draws = generator(stream, f"init {name}")
                for weight, bias in self._unpadded():
                    bound = weight.shape[1] ** -0.5
                    values = torch.empty(weight.shape[1:])
                    if weight_std is None:
                        weight[run] = values.uniform_(-bound, bound, generator=draws)
                    else:
                        weight[run] = values.normal_(0, weight_std, generator=draws)
                    bias[run] = torch.empty(bias.shape[1:]).uniform_(-bound, bound, generator=draws)
        return self

    @property
    def outputs(self) -> int:
        """Width of what comes out."""
        return self.layers[-1][1]

    def forward(self, x: torch.Tensor, zc: torch.Tensor | None = None) -> torch.Tensor:
        """Encode ``(runs, batch, inputs)`` into ``(runs, batch, outputs)`` of the parameters' own type.

        With ``zc`` the inputs are those of both, side by side.
        """
        x = x if zc is None else torch.cat([x, zc], dim=-1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            for layer, (weight, bias) in enumerate(self._unpadded()):
                x = torch.baddbmm(bias, torch.relu_(x) if layer else x, weight)
        return x.to(self.biases[0].dtype)

    def single(self, run: int, x: torch.Tensor, zc: torch.Tensor | None = None) -> torch.Tensor:
        """Encode ``(rows, inputs)`` with the network of one run into ``(rows, outputs)``."""
        x = x if zc is None else torch.cat([x, zc], dim=-1)
        for layer, (weight, bias) in enumerate(self._unpadded()):
            x = torch.addmm(bias[run], torch.relu_(x) if layer else x, weight[run])
        return x

    def _unpadded(self):
        for (inputs, outputs), weight, bias in zip(self.layers, self.weights, self.biases, strict=True):
            # Not sliced unless padded: the backward pass of a slice writes the whole parameter twice.
            yield (
                weight if weight.shape[1] == inputs else weight[:, :inputs],
                bias if bias.shape[2] == outputs else bias[..., :outputs],
            )
