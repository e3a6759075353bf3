"""How fast is FactorCL trained? Its critics score every pair of a mini-batch: beside their plain form, and JointOpt.

    python benchmarks/critics.py [--rounds 5] [--batch 128]

A lone run, views of the widths of mfeat (240 and 47 numbers), 300 dimensions, float32; CPU time of one thread, what is
compared in turns.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping

import torch
from report import Table, processor
from timing import HYPERPARAMETERS, SETTINGS, build

from disentangledssl.methods import BaseMethod
from disentangledssl.objectives import nce_terms
from disentangledssl.optimiser import Adam
from disentangledssl.training import make_step

WIDTHS, DIMENSIONS = (240, 47), 300


def step_of(method: BaseMethod, feed) -> Callable[[], None]:
    """Return what makes one training step, always on the same mini-batch."""
    groups = method.parameter_groups()
    optimisers = {name: Adam(parameters, 1e-4) for name, parameters in groups.items()}
    batch = next(feed.epoch(0))
    return lambda: make_step(method, groups, optimisers, batch)


def in_turns(works: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Return the CPU milliseconds of each, round by round, after one that is not counted."""
    took = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            took[name].append(1000 * (time.process_time() - start))
    return {name: values[1:] for name, values in took.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = options.batch
    HYPERPARAMETERS["factorcl"] = {}
    SETTINGS.update(head_width="divided", critic_hidden=512)
    views = tuple(torch.randn(2 * size, width, generator=torch.Generator().manual_seed(width)) for width in WIDTHS)
    methods = {
        name: build(name, views, batch_size=size, dimensions=DIMENSIONS) for name in ("jointopt", "factorcl")
    }  # fmt: skip
    critic, width = methods["factorcl"][0].critic("shared"), methods["factorcl"][0].settings.projection
    u, v = (torch.randn(1, size, width, requires_grad=True) for _ in range(2))

    def plain():
        pairs = torch.cat([u[:, :, None].expand(-1, -1, size, -1), v[:, None].expand(-1, size, -1, -1)], dim=-1)
        nce_terms(critic(pairs.flatten(1, 2)).view(1, size, size)).mean().backward()

    works = {
        "NCE bound of a critic and its gradient, all pairs through the network": plain,
        "the same in blocks, as it is trained": lambda: critic.lower_bound(u, v).sum().backward(),
        "a step of JointOpt": step_of(*methods["jointopt"]),
        "a step of FactorCL": step_of(*methods["factorcl"]),
    }
    table = Table()
    for name, values in in_turns(works, options.rounds).items():
        table.add(name, values, None, show=lambda value: f"{value:.0f} ms")
    print(table)
    print(
        f"\n{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; mini-batches of {size}, "
        f"PyTorch {torch.__version__}."
    )


if __name__ == "__main__":
    main()
