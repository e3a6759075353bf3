"""Sampling on the sphere: the von Mises-Fisher distribution, reparameterised.

A sample is a fixed noise vector around the first axis, reflected onto the mean direction. The noise does not
depend on the mean, so that all runs of one seed share it, and the reflection carries the gradient. There is no
rejection step: the cosine to the mean is drawn by its quantile function, tabulated once in float64, so one
normal number per dimension is all that a sample uses, on any device.
Source: paper App. G (vMF encoders); the reflection as in hyperspherical VAEs (Davidson et al. 2018); the
quantile table is a choice.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch.autograd.function import once_differentiable

TABLE_END = 8.5  # standard normal scores beyond this are rarer than 1e-16
TABLE_KNOTS = 8193


@functools.cache
def _cosine_table(dimensions: int, kappa: float) -> np.ndarray:
    """Cosines to the mean at equally spaced standard normal scores, ``(TABLE_KNOTS,)`` float64."""

    def log_density(angle: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            # In the angle, not the cosine: the density stays finite for every dimension from 2 on.
            return kappa * (np.cos(angle) - 1) + (dimensions - 2) * np.log(np.sin(angle))

    angle = np.linspace(0, np.pi, 200_001)[1:-1]
    height = log_density(angle)
    inside = angle[height > height.max() - 120]
    angle = np.linspace(inside[0], inside[-1], 200_001)
    height = np.exp(log_density(angle) - height.max())
    pieces = (height[1:] + height[:-1]) / 2
    scores = np.linspace(-TABLE_END, TABLE_END, TABLE_KNOTS)
    # A large score is a large cosine, hence a small angle; each half is read from its own tail.
    log_below = torch.special.log_ndtr(torch.from_numpy(scores)).numpy()
    small_angles = np.log(np.cumsum(pieces) / pieces.sum())
    large_angles = np.log(np.cumsum(pieces[::-1]) / pieces.sum())
    upper = np.interp(log_below[::-1], small_angles, angle[1:])
    lower = np.interp(log_below, large_angles, angle[-2::-1])
    return np.cos(np.where(scores > 0, upper, lower))


def noise_around_first_axis(normal: torch.Tensor, kappa: float) -> torch.Tensor:
    """Turn standard normal numbers into vMF samples around the first axis.

    Parameters
    ----------
    normal : tensor, (..., dimensions)
        Standard normal numbers; at least 2 dimensions.
    kappa : float
        Concentration, positive.

    Returns
    -------
    tensor, (..., dimensions)
        Unit vectors with density proportional to exp(kappa * first coordinate).

    Raises
    ------
    ValueError
        If there are fewer than 2 dimensions, or kappa is not positive.
    """
    dimensions = normal.shape[-1]
    if dimensions < 2 or not kappa > 0:
        raise ValueError(f"vMF needs at least 2 dimensions and kappa > 0, got {dimensions} and {kappa}")
    table = torch.as_tensor(_cosine_table(dimensions, float(kappa)), dtype=normal.dtype, device=normal.device)
    place = (normal[..., :1].clamp(-TABLE_END, TABLE_END) + TABLE_END) * ((TABLE_KNOTS - 1) / (2 * TABLE_END))
    knot = place.floor().clamp(max=TABLE_KNOTS - 2)
    below, above = table[knot.long()], table[knot.long() + 1]
    cosine = torch.lerp(below, above, place - knot)
    tangent = normal[..., 1:]
    length = torch.linalg.vector_norm(tangent, dim=-1, keepdim=True).clamp(min=1e-12)
    return torch.cat([cosine, tangent * ((1 - cosine**2).clamp(min=0).sqrt() / length)], dim=-1)


class _Direction(torch.autograd.Function):
    """:func:`direction` with its gradient by hand."""

    @staticmethod
    def forward(ctx, codes):
        length = torch.linalg.vector_norm(codes, dim=-1, keepdim=True).clamp_(min=1e-12)
        unit = codes / length
        ctx.save_for_backward(unit, length)
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        unit, length = ctx.saved_tensors
        along = (gradient * unit).sum(-1, keepdim=True)
        return torch.addcmul(gradient, unit, along, value=-1).div_(length)


def direction(codes: torch.Tensor) -> torch.Tensor:
    """Scale vectors to length one along the last axis, as ``torch.nn.functional.normalize`` does."""
    return _Direction.apply(codes)


class _Reflection(torch.autograd.Function):
    """:func:`sample` with its gradient by hand.

    With k = 2 (u . noise) / (u . u), the gradient g reaches the mean as k g + 2 (u . g) / (u . u) s.
    """

    @staticmethod
    def forward(ctx, mean, noise):
        u = -mean
        u[..., 0].add_(1)
        # By u's own length, not by 2 (1 - mean_1): that loses its digits for means near e1.
        half = u.square().sum(-1, keepdim=True).clamp_(min=1e-30).div_(2)
        scale = (u * noise).sum(-1, keepdim=True).div_(half)
        samples = torch.addcmul(noise, u, scale, value=-1)
        ctx.save_for_backward(u, half, scale, samples)
        return samples

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        u, half, scale, samples = ctx.saved_tensors
        return (gradient * scale).addcmul_(samples, (u * gradient).sum(-1, keepdim=True).div_(half)), None


def sample(mean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Reflect noise around the first axis onto the mean directions.

    Parameters
    ----------
    mean : tensor, (runs, batch, dimensions)
        Unit vectors; the gradient reaches them.
    noise : tensor, (runs, batch, dimensions)
        From :func:`noise_around_first_axis`; no gradient reaches it.

    Returns
    -------
    tensor, (runs, batch, dimensions)
        Unit vectors distributed as vMF(mean, kappa).

    Notes
    -----
    The Householder reflection that swaps e1 and the mean: with u = e1 - mean,
    s = noise - 2 u (u . noise) / (u . u).
    """
    return _Reflection.apply(mean, noise)
