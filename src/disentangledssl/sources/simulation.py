"""The paper's simulation (sec. 3.1, App. H.1) and two variants of ours.

``entangled``
    zc, zs1, zs2 ~ N(0, 0.5 I), 50 dimensions each; x1 = [zs1, zc] T1, x2 = [zs2, zc] T2, T ~ Uniform(-1, 1).
    The draws repeat the authors' generator number by number.
``mixed``
    zc splits into 35 "mix" and 15 "pure" dimensions; the first 85 dimensions of x are [zs, zc_mix] T, the last
    15 are zc_pure as it is. No public code exists; the order of the draws is a choice.
``noisy`` (ours)
    The entangled data plus N(0, sigma^2) in the data themselves, test pairs included: the Minimum Necessary
    Information point cannot be reached, and everything is Gaussian, so the optimal trade-off is known.
``nonlinear`` (ours)
    x = two layers of leaky ReLU with random orthogonal matrices over [zs, zc], plus noise: linear CCA is no
    longer optimal.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from disentangledssl.dataset import pairs_table, view_table
from disentangledssl.files import write_table
from disentangledssl.timings import phase

LATENT_DIMENSIONS = 50
LATENT_VARIANCE = 0.5
PURE_DIMENSIONS = 15
LEAKY_SLOPE = 0.2
LABEL_NETWORK_WIDTH = 100
LABEL_NOISE = 0.1
TITLES = {
    "entangled": "Simulation",
    "mixed": "Simulation, mixed entanglement",
    "noisy": "Simulation, noisy (ours)",
    "nonlinear": "Simulation, nonlinear (ours)",
}


def simulate(
    variant: str, n: int, seed: int, noise: float
) -> tuple[tuple[np.ndarray, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Draw a simulated data set.

    Parameters
    ----------
    variant : {"entangled", "mixed", "noisy", "nonlinear"}
    n : int
        Pairs.
    seed : int
        Seed of NumPy's legacy generator, as in the authors' code.
    noise : float
        Standard deviation added to the data (``noisy`` and ``nonlinear`` only).

    Returns
    -------
    views : pair of (n, 100) float64 arrays
    latents : mapping of zc, zs1, zs2 to (n, 50) float64 arrays
    labels : mapping of s1, c, s2 to (n,) arrays of 0 and 1
        Above the median of a random two-layer network of zs1, zc, zs2, plus noise.

    Notes
    -----
    Source: App. H.1; order of the draws from the authors' public generator.
    """
    rng = np.random.RandomState(seed)
    covariance = LATENT_VARIANCE * np.eye(LATENT_DIMENSIONS)
    latents = {
        name: rng.multivariate_normal(np.zeros(LATENT_DIMENSIONS), covariance, n) for name in ("zc", "zs1", "zs2")
    }
    views = tuple(_VIEWS[variant](latents[f"zs{m}"], latents["zc"], rng) for m in (1, 2))
    labels = {
        name: _label(latents[latent], network_seed, rng)
        for network_seed, (name, latent) in enumerate((("s1", "zs1"), ("c", "zc"), ("s2", "zs2")))
    }
    if variant in ("noisy", "nonlinear"):
        # After the labels, so that latents, mixing and labels are those of the data without noise.
        views = tuple(view + rng.normal(0.0, noise, view.shape) for view in views)
    return views, latents, labels


def _entangled(zs: np.ndarray, zc: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    z = np.concatenate([zs, zc], axis=1)
    return z @ rng.uniform(-1, 1, (z.shape[1], z.shape[1]))


def _mixed(zs: np.ndarray, zc: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    mix = LATENT_DIMENSIONS - PURE_DIMENSIONS
    return np.concatenate([_entangled(zs, zc[:, :mix], rng), zc[:, mix:]], axis=1)


def _nonlinear(zs: np.ndarray, zc: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    x = np.concatenate([zs, zc], axis=1)
    for _ in range(2):
        # An orthogonal matrix has condition number 1: neither layer squeezes a direction away.
        orthogonal = np.linalg.qr(rng.normal(size=(x.shape[1], x.shape[1])))[0]
        x = x @ orthogonal
        x = np.where(x > 0, x, LEAKY_SLOPE * x)
        # Back to the spread of the entangled data, so that one sigma means the same in both variants.
        x = x / x.std() * (np.sqrt(LATENT_VARIANCE * x.shape[1] / 3))
    return x


_VIEWS = {"entangled": _entangled, "mixed": _mixed, "noisy": _entangled, "nonlinear": _nonlinear}


def _label(z: np.ndarray, network_seed: int, rng: np.random.RandomState) -> np.ndarray:
    # torch.nn.Linear and xavier_uniform_ without touching torch's global generator, draw by draw.
    generator = torch.Generator().manual_seed(network_seed)
    shapes = ((z.shape[1], LABEL_NETWORK_WIDTH), (LABEL_NETWORK_WIDTH, 1))
    biases = []
    for inputs, outputs in shapes:
        bound = 1 / inputs**0.5
        torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator)  # drawn by Linear, then redrawn
        biases.append(torch.empty(outputs).uniform_(-bound, bound, generator=generator))
    hidden = torch.from_numpy(z).float()
    for layer, ((inputs, outputs), bias) in enumerate(zip(shapes, biases, strict=True)):
        bound = (6 / (inputs + outputs)) ** 0.5
        weight = torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator)
        hidden = torch.nn.functional.linear(hidden, weight, bias)
        if layer == 0:
            hidden = torch.relu(hidden)
    score = hidden[:, 0].numpy() + rng.normal(0, LABEL_NOISE, len(z))
    return (score >= np.median(score)).astype(np.int64)


def write_simulation(
    out: str | os.PathLike[str],
    *,
    name: str,
    variant: str,
    n: int,
    data_seeds: Sequence[int],
    noise: float,
    streams: str | None = None,
) -> None:
    """Simulate and write ``view1``, ``view2``, ``pairs`` and ``latents.parquet`` into ``out``.

    ``streams`` names the data set whose random streams training takes, its own unless given: a reading takes those of
    the data set it is compared with, so that both see the same initial values, mini-batches and noise.

    Several ``data_seeds``: as many draws of ``n`` pairs one after the other, told apart by ``meta_draw``.
    """
    out = Path(out)
    with phase("simulating"):
        draws = [simulate(variant, n, seed, noise) for seed in data_seeds]
    views = [np.concatenate([draw[0][m] for draw in draws]) for m in (0, 1)]
    latents = np.concatenate([np.concatenate(list(draw[1].values()), axis=1) for draw in draws])
    labels = {label: np.concatenate([draw[2][label] for draw in draws]) for label in draws[0][2]}
    ids = [f"s{k:07d}" for k in range(len(latents))]
    info = {
        "name": name, "streams": streams or name, "title": TITLES[variant], "stand_in": False, "source": "simulated",
        "data_seeds": data_seeds,
    }  # fmt: skip
    info["gaussian"] = variant == "noisy" and noise > 0  # with an optimum in closed form
    if variant == "mixed":
        info["pure_dimensions"] = PURE_DIMENSIONS
    for m, view in enumerate(views, 1):
        write_table(out / f"view{m}.parquet", view_table(ids, view, [f"x{m}_{k}" for k in range(view.shape[1])]), info)
    columns = [f"{latent}_{k}" for latent in draws[0][1] for k in range(LATENT_DIMENSIONS)]
    write_table(out / "latents.parquet", view_table(ids, latents, columns), info)
    meta = {"draw": np.repeat(data_seeds, n)}
    write_table(out / "pairs.parquet", pairs_table(ids, ids, ids, ids, labels, meta), info)
