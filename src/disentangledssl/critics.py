"""Critics: learned scores of pairs of codes, with a leading run axis, and the bounds on information they give."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.autograd.function import once_differentiable

from disentangledssl.encoders import StackedMLP
from disentangledssl.objectives import club_terms, nce_terms

PAIRS = 2048  # whose scores of one run are computed at a time


class Critic(StackedMLP):
    """A score of two codes, f(u, v): three linear layers with ReLU between, of [u, v], one network a run.

    Called as any network it scores rows of [u, v]. The bounds score every u with every v of a mini-batch: the first
    layer then serves each code once instead of each pair, and pairs pass in blocks, so that memory does not grow with
    the square of the mini-batch.

    Parameters
    ----------
    runs : int
    widths : pair of int
        Of u and v.
    hidden : int
    precision : {"float32", "bfloat16"}
        Of the matrix product between the two hidden layers and its gradient, where nearly all of the time goes.

    Notes
    -----
    Source: Liang et al. 2024 and their code (hidden width 512).
    """

    def __init__(self, runs: int, widths: tuple[int, int], hidden: int, precision: str = "float32"):
        super().__init__(runs, [sum(widths), hidden, hidden, 1], precision)
        self.first_width = widths[0]
        # It cancels in every bound: nothing but rounding would move it.
        self.biases[-1].requires_grad_(False)

    def lower_bound(self, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """NCE bound on the information of codes ``(runs, batch, width)``: ``(runs,)``, see ``objectives.nce_terms``."""
        return self._bound(nce_terms, u, v, [*self._unpadded()])

    def upper_bound(self, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """CLUB bound on it, the critic held fixed: ``(runs,)``, see ``objectives.club_terms``."""
        return self._bound(club_terms, u, v, [(weight.detach(), bias.detach()) for weight, bias in self._unpadded()])

    def _bound(self, terms, u, v, layers):
        (first, bias1), (second, bias2), (last, _) = layers
        a = torch.baddbmm(bias1, u, first[:, : self.first_width])
        c = torch.bmm(v, first[:, self.first_width :])
        return _Bound.apply(terms, self.precision, a, c, second, bias2, last)


class _Bound(torch.autograd.Function):
    """Mean over the v of terms of the scores; a number a run, so that gradients are made on the way, block by block."""

    @staticmethod
    def forward(ctx, terms: Callable, precision: str, a, c, *layers):
        need_a, need_c, *need_layers = ctx.needs_input_grad[2:]
        a, *layers = (
            one.detach().requires_grad_(need) for one, need in zip((a, *layers), (need_a, *need_layers), strict=True)
        )
        batch = a.shape[1]
        columns = max(1, PAIRS // batch)
        bound = a.new_zeros(len(a))
        sums = [torch.zeros_like(one) if one.requires_grad else None for one in (a, *layers)]
        of_c = torch.zeros_like(c) if need_c else None
        for start in range(0, batch, columns):
            place = slice(start, start + columns)
            block = c[:, place].detach().requires_grad_(need_c)
            needed = [one for one in (a, *layers, block) if one.requires_grad]
            with torch.enable_grad():
                part = terms(_scores(a, block, *layers, precision), start).sum(1) / batch
                found = [*torch.autograd.grad(part.sum(), needed)] if needed else []
            bound += part.detach()
            if need_c:
                of_c[:, place] = found.pop()
            for total, one in zip((total for total in sums if total is not None), found, strict=True):
                total += one
        ctx.save_for_backward(sums[0], of_c, *sums[1:])
        return bound

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        factor = gradient[:, None, None]
        return None, None, *(None if one is None else factor * one for one in ctx.saved_tensors)


def _scores(a, c, second, bias, last, precision):
    """Scores of every a with every c after the first layer, ``(runs, number of a, number of c)``."""
    hidden = torch.relu_(a[:, :, None] + c[:, None]).flatten(1, 2)
    with torch.autocast(a.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        hidden = torch.relu_(torch.baddbmm(bias, hidden, second))
    # By a matrix product of one column a run alone and the same run in a stack would differ in the last bits.
    return (hidden * last.transpose(1, 2)).sum(2).unflatten(1, (a.shape[1], c.shape[1]))
