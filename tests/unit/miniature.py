"""Stacks of four runs of two streams on tiny views, in float64, of any stage."""

from __future__ import annotations

import torch

from disentangledssl.batches import Batch
from disentangledssl.methods import STRUCTURE, BaseMethod, Layout, load_method
from disentangledssl.settings import STAGE_SETTINGS
from disentangledssl.streams import Stream
from disentangledssl.vmf import noise_around_first_axis

SHAPES, BATCH, DIMENSIONS = ((9,), (6,)), 7, 5
STREAMS = [Stream("tiny", 0, 0), Stream("tiny", 0, 1)]
STREAM_OF_RUN = [0, 0, 1, 1]
RUNS = range(len(STREAM_OF_RUN))
# Exact in binary, since a method holds them in float32.
HYPERPARAMETERS = {
    "clip": {},
    "step1": {"beta": [0.0, 0.5, 300.0, 0.5]},
    "step2": {"lam": [0.0, 0.25, 100.0, 0.25]},
    "jointopt": {"a": [0.0, 0.5, 64.0, 0.5], "lam": [0.25, 0.0, 8.0, 0.5]},
    "focal": {"a": [0.0, 0.5, 64.0, 0.5], "lam": [0.25, 0.0, 8.0, 0.5]},
    "dmvae": {"lam": [0.0, 0.25, 8.0, 0.5]},
    "factorcl": {},
}
# Runs of step 2 that share a start, and the same with a copy of the start for each.
SHARED = {"starts": ["a", "b"], "start_of_run": [0, 0, 1, 1], "stream_of_start": [0, 1]}
APART = {"starts": ["a", "a", "b", "b"], "start_of_run": [0, 1, 2, 3], "stream_of_start": [0, 0, 1, 1]}


def build(stage: str, small, *, starts=SHARED, hyperparameters=None, **settings) -> BaseMethod:
    """Build a stack with initial weights that are large enough to matter."""
    sizes = {"hidden": 8, "dimensions": DIMENSIONS, "weight_std": 0.4}
    checked = STAGE_SETTINGS[stage](**small(stage, **(sizes | settings)))
    more = {}
    if stage == "step2":
        more = {**starts, "start_shape": checked.model_dump(include=set(STRUCTURE))}
    layout = Layout(hyperparameters or HYPERPARAMETERS[stage], STREAMS, STREAM_OF_RUN, **more)
    method = load_method(stage)(SHAPES, checked, layout)
    if stage == "step2":
        for name in ("zc1", "zc2"):
            streams = [STREAMS[k] for k in layout.stream_of_start]
            getattr(method, name).initialise(streams, name, checked.weight_std)
    method.initialise()
    return method.double()


def draw_batch(method: BaseMethod, seed: int = 0) -> Batch:
    """Draw a mini-batch with all that a method asks for."""
    draws = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(len(STREAMS), BATCH, *shape, generator=draws, dtype=torch.float64)

    x, v = (tuple(normal(*shape) for shape in SHAPES) for _ in range(2))
    kappa = getattr(method.settings, "kappa", None)
    noise = (normal(DIMENSIONS) for _ in method.noise)
    return Batch(
        x, v if method.second_version else None,
        tuple(one if kappa is None else noise_around_first_axis(one, kappa) for one in noise),
    )  # fmt: skip


def views_of(batch: Batch, run: int):
    """Both views of a run's stream as arrays, and their second versions."""
    stream = STREAM_OF_RUN[run]
    return [[view[stream].numpy() for view in views] if views else None for views in (batch.x, batch.v)]


def noise_of(method: BaseMethod, batch: Batch, run: int):
    """Noise of a run's stream by name."""
    return {name: draw[STREAM_OF_RUN[run]].numpy() for name, draw in zip(method.noise, batch.noise, strict=True)}
