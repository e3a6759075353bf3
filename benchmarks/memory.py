"""Peak memory of training, each in a process of its own; speed.py starts them and reads the JSON they print.

    python benchmarks/memory.py train step1 --runs 13        # a stack of ours
    python benchmarks/memory.py train step1 --vectorised     # the vectorised loop, one run
    python benchmarks/memory.py data FOLDER                  # read a data set, train on it for a moment

Add ``--device cuda`` to ask for a GPU's memory instead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import torch
import vectorised
from flops import WIDTH
from peak import peak_bytes
from timing import PAIRS, Rounds, settings_of, time_training

from disentangledssl.batches import CHUNK
from disentangledssl.dataset import pairs_table, read_dataset, splits_table, view_table
from disentangledssl.files import write_table
from disentangledssl.settings import ScalingSettings
from disentangledssl.training import assemble, train

STEPS = 2
PLAIN = ScalingSettings(unit_norm=False, clip_quantile=None, standardise=False, clip=None, statistics="train")


class Peak:
    """Bytes that this process came to hold beyond those it held when this was made."""

    def __init__(self, device: str = "cpu"):
        self.device = device
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.start = torch.cuda.memory_allocated()
        else:
            self.start = psutil.Process().memory_info().rss

    def bytes(self) -> int:
        """Return the largest amount so far."""
        if self.device == "cuda":
            return torch.cuda.max_memory_allocated() - self.start
        return peak_bytes() - self.start


def measure_training(method: str, runs: int, plain_loop: bool, device: str) -> dict[str, float]:
    """Train a few steps on views of the simulation's size; the views themselves do not count."""
    torch.manual_seed(0)
    # Drawn in place: what making them took would else hide what training takes.
    views = tuple(torch.randn(PAIRS, WIDTH, device=device) for _ in range(2))
    # What a first step loads (libraries, kernels) is no stack's memory.
    few = tuple(view[:1024] for view in views)
    sizes = {"hidden": 16, "layers": 2, "dimensions": 8}
    time_training(method, few, steps=1, threads=[1], **sizes)
    with torch.device(device):  # the loop makes everything on the default device
        vectorised.Loop(method, *few, **sizes).train(1)
    peak = Peak(device)
    if plain_loop:
        with torch.device(device):
            vectorised.Loop(method, *views).train(STEPS)
    else:
        time_training(method, views, steps=STEPS, threads=[1], runs=runs)
    return {"peak": peak.bytes()}


def write_pairs(folder: Path, pairs: int) -> None:
    """Write a data set of random numbers of the simulation's widths, four fifths of it for training."""
    draws = np.random.default_rng(0)
    ids = [f"s{k:07d}" for k in range(pairs)]
    for m in (1, 2):
        view = draws.standard_normal((pairs, WIDTH), np.float32)
        write_table(folder / f"view{m}.parquet", view_table(ids, view, [f"x{m}_{k}" for k in range(WIDTH)]))
    write_table(folder / "pairs.parquet", pairs_table(ids, ids, ids, ids))
    fold = np.where(np.arange(pairs) % 5, "train", "test")
    write_table(folder / "splits.parquet", splits_table(ids, [fold]))


def measure_data(folder: Path, device: str) -> dict[str, float]:
    """Read a data set and train a run of step 1 on a part of an epoch, as ``train_stack`` does."""
    settings = settings_of("step1", epochs=2)
    held, start = Peak(), time.perf_counter()
    dataset = read_dataset(folder)
    read = time.perf_counter() - start
    after_reading = held.bytes()
    model, feed, _ = assemble(
        "step1", dataset, [{"id": "beta=1", "beta_value": 1.0, "beta": 1, "fold": 0, "seed": 0}],
        settings=settings, scaling=(PLAIN, PLAIN), starts=(), device=torch.device(device), folder=folder,
    )  # fmt: skip
    assembled = time.perf_counter() - start - read
    rounds = Rounds(feed, min(CHUNK, feed.steps), [1], lambda: None)
    train(model, rounds, settings)
    rounds.stop()
    return {
        "views": sum(view.nbytes for view in dataset.views), "read": after_reading, "peak": held.bytes(),
        "left": psutil.Process().memory_info().rss - held.start,
        "seconds_reading": read, "seconds_assembling": assembled,
        "step": rounds.cpu[-1], "feeding": rounds.feeding[-1], "epoch": feed.steps,
    }  # fmt: skip


def ask(*arguments) -> dict[str, float]:
    """Run this script with arguments in a fresh process; return what it prints."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "data"))
    parser.add_argument("subject", help="method, or folder of a data set")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--vectorised", action="store_true", help="the vectorised loop instead of ours")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "train":
        found = measure_training(arguments.subject, arguments.runs, arguments.vectorised, arguments.device)
    else:
        found = measure_data(Path(arguments.subject), arguments.device)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
