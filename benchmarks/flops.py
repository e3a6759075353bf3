"""Floating-point operations of a training step: those of its matrix products, counted only where they are needed.

Forward and backward; everything else a step does costs time and counts nothing.
"""

from __future__ import annotations

import itertools

WIDTH, HIDDEN, DIMENSIONS, BATCH = 100, 512, 100, 256  # the simulation's, of a view, the encoders and a mini-batch


def mlp_flops(
    rows: int, inputs: int, outputs: int = DIMENSIONS, *, layers: int, hidden: int = HIDDEN, trained: bool = True,
    passed_on: int = 0,
) -> int:  # fmt: skip
    """Forward; if trained, the gradients of all weights and of all inputs but those of the first layer.

    Of the first layer's inputs only ``passed_on`` need a gradient: codes that another trained network made.
    """
    widths = [inputs, *[hidden] * (layers - 1), outputs]
    products = [2 * rows * n * k for n, k in itertools.pairwise(widths)]
    forward = sum(products)
    return forward + trained * (forward + sum(products[1:]) + 2 * rows * passed_on * widths[1])


def info_nce_flops(dimensions: int = DIMENSIONS) -> int:
    """Forward and the gradient of each side."""
    return 3 * 2 * BATCH * BATCH * dimensions


def orthogonality_flops(sides: int) -> int:
    """Forward and the gradient of so many sides."""
    return (1 + sides) * 2 * BATCH * DIMENSIONS**2


def step_flops(method: str, layers: int, runs: int = 1, starts: int = 0) -> int:
    """Operations of one step of a stack; of step 2 with so many distinct frozen starts."""
    return runs * OF_A_RUN[method](layers) + starts * _frozen(layers)


def _step1(layers: int) -> int:
    return 2 * mlp_flops(BATCH, WIDTH, layers=layers) + info_nce_flops()


def _step2(layers: int) -> int:
    """Both versions of a view at once; zs + zc in InfoNCE; four orthogonalities, in which zc is a constant."""
    specific = 2 * mlp_flops(2 * BATCH, WIDTH + DIMENSIONS, layers=layers)
    return specific + 2 * info_nce_flops(2 * DIMENSIONS) + 4 * orthogonality_flops(1)


def _frozen(layers: int) -> int:
    """The frozen encoders, forward only: once a start, however many runs build on it."""
    return 2 * mlp_flops(2 * BATCH, WIDTH, layers=layers, trained=False)


def _four_encoders(layers: int) -> int:
    """Both versions of a view at once; the specific encoders pass a gradient on to zc."""
    shared = mlp_flops(2 * BATCH, WIDTH, layers=layers)
    return 2 * (shared + mlp_flops(2 * BATCH, WIDTH + DIMENSIONS, layers=layers, passed_on=DIMENSIONS))


def _jointopt(layers: int) -> int:
    """InfoNCE of zc twice, of zs + zc twice; four orthogonalities, whose gradient reaches both sides."""
    relevance = 2 * info_nce_flops() + 2 * info_nce_flops(2 * DIMENSIONS)
    return _four_encoders(layers) + relevance + 4 * orthogonality_flops(2)


def _focal(layers: int) -> int:
    """InfoNCE of zc twice, of zs twice; cosines are no matrix products."""
    return _four_encoders(layers) + 4 * info_nce_flops()


def _dmvae(layers: int) -> int:
    """Encoders of four heads; each decoder sees two pairs of codes, and passes a gradient on to all of them."""
    encoder = mlp_flops(BATCH, WIDTH, 4 * DIMENSIONS, layers=layers)
    decoder = mlp_flops(2 * BATCH, 2 * DIMENSIONS, WIDTH, layers=layers, passed_on=2 * DIMENSIONS)
    return 2 * (encoder + decoder)


OF_A_RUN = {"step1": _step1, "clip": _step1, "step2": _step2, "jointopt": _jointopt, "focal": _focal, "dmvae": _dmvae}
