"""Checks that what speed.py compares computes the same thing, before anything is timed."""

from __future__ import annotations

import obvious
import torch
import vectorised
from flops import BATCH, DIMENSIONS
from timing import HYPERPARAMETERS, build
from torch import nn
from torch.nn.functional import normalize

from disentangledssl.batches import Batch
from disentangledssl.encoders import StackedMLP
from disentangledssl.objectives import info_nce


def linears(stacked: StackedMLP, network: nn.Sequential):
    """Layer by layer: weight and bias of a stack's only run as torch.nn.Linear keeps them, and that Linear."""
    theirs = [module for module in network if isinstance(module, nn.Linear)]
    for (inputs, outputs), weight, bias, linear in zip(
        stacked.layers, stacked.weights, stacked.biases, theirs, strict=True
    ):
        yield weight, bias, (slice(inputs), slice(outputs)), linear


def copy_weights(stacked: StackedMLP, network: nn.Sequential) -> None:
    """Give a network the weights of a stack's only run."""
    with torch.no_grad():
        for weight, bias, (inputs, outputs), linear in linears(stacked, network):
            linear.weight.copy_(weight[0, inputs, outputs].T)
            linear.bias.copy_(bias[0, 0, outputs])


def check_obvious(views) -> str:
    """Check InfoNCE and encoders of the obvious loop; say how close they are."""
    draws = torch.Generator().manual_seed(0)
    a = normalize(torch.randn(BATCH, DIMENSIONS, generator=draws), dim=-1)
    c = normalize(a + 0.1 * torch.randn(BATCH, DIMENSIONS, generator=draws), dim=-1)
    values, gradients = [], []
    for function in (lambda a, c, t: info_nce(a[None], c[None], t), obvious.info_nce):
        pair = [side.clone().requires_grad_() for side in (a, c)]
        value = function(*pair, 0.07).sum()
        value.backward()
        values.append(value.item())
        gradients.append(torch.cat([side.grad for side in pair]))
    gap = (gradients[1] - gradients[0]).abs().max() / gradients[1].abs().max()
    if abs(values[1] - values[0]) > 1e-5 * abs(values[1]) or gap > 1e-4:
        raise RuntimeError(f"InfoNCE of the obvious loop is {values[1]}, ours {values[0]}, gradients differ by {gap}")
    loop = obvious.Loop(*views, layers=3)
    model, _ = build("step1", views)
    for stacked, network, view in ((model.zc1, loop.encoder1, views[0]), (model.zc2, loop.encoder2, views[1])):
        copy_weights(stacked, network)
        with torch.no_grad():
            torch.testing.assert_close(network(view[:BATCH]), stacked(view[None, :BATCH])[0], rtol=1e-4, atol=1e-5)
    return (
        f"InfoNCE of the obvious loop and ours on the same codes: {values[1]:.6f} and {values[0]:.6f}, gradients equal "
        f"to {gap:.0e} of the largest; the encoders agree on the same weights."
    )


def check_vectorised(views) -> str:
    """Check loss and gradients of every method's vectorised loop, on the same weights, mini-batch and noise."""
    found, worst = [], 0.0
    for method, grid in HYPERPARAMETERS.items():
        # Larger weights than in training, so that the codes differ from row to row; float64, so that only a true
        # difference shows.
        model, feed = build(method, views, weight_std=0.05)
        loop = vectorised.Loop(method, *views, **{name: getattr(model, name).item() for name in grid})
        model.double()
        loop.networks.double()
        for name, network in loop.networks.items():
            copy_weights(getattr(model, name), network)
        batch = next(feed.epoch(0))
        x, v, noise = (tuple(one.double() for one in part or ()) for part in (batch.x, batch.v, batch.noise))
        ours = model.losses(Batch(x, v, noise))[0]["encoders"]
        theirs = loop.loss(*([one[0] for one in part] for part in (x, v, noise)))
        ours.sum().backward()
        theirs.backward()
        gaps = [abs(ours.item() / theirs.item() - 1)]
        for name in model.trained:
            for weight, bias, (inputs, outputs), linear in linears(getattr(model, name), loop.networks[name]):
                for own, other in (
                    (weight.grad[0, inputs, outputs].T, linear.weight.grad),
                    (bias.grad[0, 0, outputs], linear.bias.grad),
                ):
                    gaps.append(((own - other).abs().max() / other.abs().max()).item())
        if not max(gaps) < 1e-9:
            raise RuntimeError(f"{method}: the vectorised loop's loss is {theirs.item()}, ours {ours.item()}: {gaps}")
        found.append(f"{method} {theirs.item():.6f}")
        worst = max(worst, *gaps)
    return (
        f"Losses of the vectorised loops and ours on the same weights, mini-batch and noise: {', '.join(found)}; "
        f"these and the gradients of all weights are equal to {worst:.0e}."
    )
