"""Training at the size of MultiBench's MOSI: a stack of runs beside runs one after the other, rate and memory.

    python benchmarks/multibench.py [--runs 3] [--rounds 4] [--threads 2] [--steps 2] [--device cuda] > table.md

Random numbers in the shape of MOSI's training part (1,284 clips of 50 time steps, 20 and 300 features), Transformers of
five layers, 300 wide, codes of 150, mini-batches of 32. A stack takes turns with a lone run in one process, step for
step the same as through ``training.train``; each ratio is of one round. Memory is that of a process of its own, which
trains the stack alone. Times are wall times; with one thread they are CPU times, so that other work on the machine
matters little. On a GPU a stack is to cost at most 0.6 of its runs; its memory is not that of a process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import torch
from flops import info_nce_flops
from memory import PLAIN, Peak
from report import Table, as_factor, as_share, processor
from timing import SIDE, others, settings_of

from disentangledssl.dataset import PairedDataset
from disentangledssl.optimiser import Adam
from disentangledssl.training import assemble, make_step

CLIPS, STEPS, FEATURES, BATCH, CODE = 1_284, 50, (20, 300), 32, 150
WIDTH, LAYERS, HEADS, FEEDFORWARD = 300, 5, 5, 2048
SEQUENCES = {
    "network": "transformer", "width": WIDTH, "layers": LAYERS, "heads": HEADS, "feedforward": FEEDFORWARD,
    "dropout": 0.1, "readout": "last_step", "augmentation": {"noise_std": 0.1, "drop_fraction": 0.2},
}  # fmt: skip
MOST_COST, LEAST_RATE, MOST_GB = {"cpu": 1.0, "cuda": 0.6}, 0.65, 6


def clips() -> PairedDataset:
    """Draw clips of 3 to 50 time steps."""
    draws = np.random.default_rng(0)
    lengths = draws.integers(3, STEPS + 1, CLIPS + 2)
    ids, rows = np.array([f"clip{k}" for k in range(CLIPS + 2)]), np.arange(CLIPS + 2)
    views = [draws.standard_normal((CLIPS + 2, STEPS, features), np.float32) for features in FEATURES]
    for view in views:
        view[np.arange(STEPS) >= lengths[:, None]] = 0
    return PairedDataset(
        views=tuple(views), rows=(rows, rows), features=([], []), ids=ids, groups=ids, view_ids=(ids, ids), labels={},
        meta={}, folds=(np.where(rows < CLIPS, "train", "test"),), info={"name": "mosi"}, lengths=(lengths, lengths),
    )  # fmt: skip


def product_flops(rows: int, inputs: int, outputs: int, *, passed_on: bool = True) -> int:
    """Forward, and the gradients of the weights and, if it is passed on, of the inputs."""
    return (2 + passed_on) * 2 * rows * inputs * outputs


def layer_flops(read: int) -> int:
    """Operations of a layer whose output is wanted of so many time steps a clip."""
    steps, rows = BATCH * STEPS, BATCH * read
    own = product_flops(rows, WIDTH, 2 * WIDTH + 2 * FEEDFORWARD)  # query and output; both of the feed-forward part
    attention = 2 * product_flops(BATCH * read, WIDTH, STEPS)  # scores and mixtures, all heads together
    return own + product_flops(steps, WIDTH, 2 * WIDTH) + attention


def step_flops(runs: int) -> int:
    """Operations of a step of step 1, forward and backward: of the last layer those of the one step that is read."""
    encoders = sum(
        product_flops(BATCH * STEPS, features, WIDTH, passed_on=False) + (LAYERS - 1) * layer_flops(STEPS)
        + layer_flops(1) + product_flops(BATCH, WIDTH, CODE)
        for features in FEATURES
    )  # fmt: skip
    return runs * (encoders + info_nce_flops(CODE) * BATCH**2 // 256**2)


class Training:
    """A stack of runs of step 1 that is trained a few steps at a time."""

    def __init__(self, dataset: PairedDataset, seeds: list[int], device: torch.device):
        settings = settings_of("step1", batch_size=BATCH, dimensions=CODE, sequences=SEQUENCES)
        members = [{"id": f"{k}", "beta": 0.01, "beta_value": 0.01, "fold": 0, "seed": k} for k in seeds]
        self.model, self.feed, _ = assemble(
            "step1", dataset, members, settings=settings, scaling=(PLAIN, PLAIN), starts=(),
            device=device, folder=Path(),
        )  # fmt: skip
        self.groups = self.model.parameter_groups()
        self.optimisers = {name: Adam(one, settings.learning_rate) for name, one in self.groups.items()}
        self.model.begin_epoch(0)
        self.batches = self.feed.epoch(0)
        self.step()

    def step(self) -> None:
        """Make one step as ``training.train`` does."""
        make_step(self.model, self.groups, self.optimisers, next(self.batches))

    def weights(self, run: int) -> torch.Tensor:
        return torch.cat([parameter[run].detach().flatten() for parameter in self.model.parameters()])


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def product_rate(device: torch.device) -> float:
    """Operations a second of a large matrix product."""
    a, b, out = (torch.randn(SIDE, SIDE, device=device) for _ in range(3))
    torch.mm(a, b, out=out)
    start = now(device)
    for _ in range(3):
        torch.mm(a, b, out=out)
    return 3 * 2 * SIDE**3 / (now(device) - start)


def seconds(trainings: list[Training], steps: int, device: torch.device) -> float:
    """Seconds of so many steps of each, one training after the other, a step."""
    start = now(device)
    for training in trainings:
        for _ in range(steps):
            training.step()
    return (now(device) - start) / steps


def compare(runs: int, rounds: int, threads: int, steps: int, device: torch.device) -> dict:
    """Let the stack and its runs, one after the other, take turns; return times, rates and how far weights differ."""
    torch.set_num_threads(threads)
    dataset = clips()
    stack = Training(dataset, list(range(runs)), device)
    alone = [Training(dataset, [k], device) for k in range(runs)]
    found = {"stack": [], "alone": [], "rates": []}
    before, began, own = psutil.cpu_times(), time.perf_counter(), time.process_time()
    for turn in range(rounds):
        turns = [("stack", [stack]), ("alone", alone)]
        for name, trainings in turns if turn % 2 else turns[::-1]:
            found[name].append(seconds(trainings, steps, device))
        found["rates"].append(product_rate(device))
    busy = others(before, time.process_time() - own, time.perf_counter() - began)
    gaps = [(stack.weights(k) - one.weights(0)).abs().max().item() for k, one in enumerate(alone)]
    return found | {"gap": max(gaps), "busy": busy, "epoch": stack.feed.steps}


def peak(runs: int, threads: int, steps: int) -> dict:
    """Train the stack alone; return the largest memory, data included, in GB."""
    torch.set_num_threads(threads)
    held = Peak()
    training = Training(clips(), list(range(runs)), torch.device("cpu"))
    for _ in range(steps):
        training.step()
    return {"peak": held.bytes() / 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("runs", 3), ("rounds", 4), ("threads", 2), ("steps", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", choices=MOST_COST, default="cpu")
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    runs, threads, steps, device = arguments.runs, arguments.threads, arguments.steps, torch.device(arguments.device)
    if arguments.peak:
        print(json.dumps(peak(runs, threads, steps)))
        return
    found = compare(runs, arguments.rounds, threads, steps, device)
    table = Table()
    costs = [stack / alone for stack, alone in zip(found["stack"], found["alone"], strict=True)]
    note = f"{median(found['stack']):.2f} s a step; the same weights to {found['gap']:.0e}"
    beside = f"a stack of {runs} beside {runs} lone runs"
    table.add(beside, costs, MOST_COST[device.type], most=True, show=as_factor, note=note)
    for name in ("stack", "alone"):
        shares = [step_flops(runs) / took / rate for took, rate in zip(found[name], found["rates"], strict=True)]
        where = f"{threads} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)
        label = f"share of the product's rate, {'the stack' if name == 'stack' else 'lone runs'}, {where}"
        note = f"product {median(found['rates']) / 1e9:.0f} GFLOP/s; {step_flops(runs) / 1e9:.0f} GFLOP a step"
        table.add(label, shares, LEAST_RATE, show=as_share, note=note)
    if device.type == "cpu":
        command = [sys.executable, __file__, "--peak", f"--runs={runs}", f"--threads={threads}", f"--steps={steps}"]
        memory = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        table.add(f"memory, {runs} runs, GB", [memory["peak"]], MOST_GB, most=True, show="{:.2f}".format)
    print(table)
    epoch = found["epoch"] * median(found["stack"]) / 60
    print(
        f"\n{processor()}, {os.cpu_count()} cores, torch {torch.__version__}; an epoch of {found['epoch']} steps of "
        f"{runs} runs: {epoch:.1f} min; other work kept {found['busy']:.1f} cores busy."
    )


if __name__ == "__main__":
    main()
