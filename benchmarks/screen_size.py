"""Training at the size of the paper's LINCS screen: memory, and the share of the machine's matrix-product rate.

    python benchmarks/screen_size.py [--runs 3] [--rounds 5] [--threads 2] [--steps 10] > table.md

Random numbers in the shape of 86,833 profiles of 978 genes and 3,315 molecules of 300 numbers, encoders of the paper
(3 layers, 2,560 wide, codes of 32). Memory is that of a process of its own, which reads the data set, scales it and
trains a stack for some steps as ``train_stack`` does. Rates are wall times on an idle machine, those of the product
taken before and after each round.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import torch
from flops import BATCH, info_nce_flops, mlp_flops
from memory import Peak
from report import Table, as_share, processor
from timing import SIDE, Rounds, settings_of

from disentangledssl.dataset import pairs_table, read_dataset, splits_table, write_view
from disentangledssl.files import write_table
from disentangledssl.settings import ScalingSettings
from disentangledssl.splits import group_holdout
from disentangledssl.training import assemble, train

PROFILES, GENES, MOLECULES, FEATURES = 86_833, 978, 3_315, 300
SHAPE = {"hidden": 2560, "layers": 3, "dimensions": 32}
SCALING = (
    ScalingSettings(unit_norm=False, clip_quantile=None, standardise=True, clip=None, statistics="train"),
    ScalingSettings(unit_norm=False, clip_quantile=None, standardise=True, clip=2.5, statistics="train"),
)
MOST_GB, LEAST_RATE = 8, 0.65


def write_screen(folder: Path) -> None:
    """Write a data set of the screen's size, its molecules divided as the paper's."""
    draws = np.random.default_rng(0)
    profiles, molecules = ([f"{kind}{k:06d}" for k in range(n)] for kind, n in (("p", PROFILES), ("m", MOLECULES)))
    of = [molecules[k % MOLECULES] for k in range(PROFILES)]
    profile_values = draws.standard_normal((PROFILES, GENES), np.float32)
    write_view(folder / "view1.parquet", profiles, profile_values, [f"g{k}" for k in range(GENES)])
    molecule_values = draws.standard_normal((MOLECULES, FEATURES), np.float32)
    write_view(folder / "view2.parquet", molecules, molecule_values, [f"f{k}" for k in range(FEATURES)])
    write_table(folder / "pairs.parquet", pairs_table(profiles, profiles, of, of))
    write_table(folder / "splits.parquet", splits_table(profiles, [group_holdout(of, 0)]))


def products_rate(threads: int) -> float:
    """Operations a second of a large matrix product, wall time."""
    torch.set_num_threads(threads)
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    torch.mm(a, b)
    start = time.perf_counter()
    for _ in range(5):
        torch.mm(a, b)
    rate = 5 * 2 * SIDE**3 / (time.perf_counter() - start)
    torch.set_num_threads(1)
    return rate


def measure(folder: Path, runs: int, rounds: int, threads: int, steps: int) -> dict:
    """Read, scale and train; return the peak of memory and the seconds and rates of each round."""
    held, start = Peak(), time.perf_counter()
    dataset = read_dataset(folder)
    settings = settings_of("step1", epochs=rounds + 1, **SHAPE)
    members = [{"id": f"beta=1,seed={k}", "beta": 1, "beta_value": 1.0, "fold": 0, "seed": k} for k in range(runs)]
    model, feed, _ = assemble(
        "step1", dataset, members, settings=settings, scaling=SCALING, starts=(), device=torch.device("cpu"),
        folder=folder,
    )  # fmt: skip
    assembled, rates = time.perf_counter() - start, []
    clock = Rounds(feed, steps, [threads] * rounds, lambda: rates.append(products_rate(threads)))
    train(model, clock, settings)
    clock.stop()
    rates.append(products_rate(threads))
    # Rates were taken before each epoch, of which the first is a warm-up, and after the last one.
    beside = [(before + after) / 2 for before, after in itertools.pairwise(rates[1:])]
    return {
        "peak": held.bytes() / 1e9, "assembled": assembled, "wall": clock.wall[1:], "rates": beside,
        "steps": feed.steps,
    }  # fmt: skip


def step_flops(runs: int) -> int:
    """Operations of a step of step 1."""
    encoders = sum(mlp_flops(BATCH, inputs, SHAPE["dimensions"], layers=3, hidden=2560) for inputs in (GENES, FEATURES))
    return runs * (encoders + info_nce_flops(SHAPE["dimensions"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("runs", 3), ("rounds", 5), ("threads", 2), ("steps", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = {name: getattr(arguments, name) for name in ("runs", "rounds", "threads", "steps")}
    if arguments.folder:
        print(json.dumps(measure(arguments.folder, **sizes)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        write_screen(Path(temporary))
        command = [sys.executable, __file__, "--folder", temporary]
        command += [part for name, value in sizes.items() for part in (f"--{name}", str(value))]
        before, busy = time.perf_counter(), psutil.cpu_percent()
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        busy = psutil.cpu_percent() * (psutil.cpu_count() or 1) / 100
        took = time.perf_counter() - before
    table = Table()
    table.add(f"memory, {arguments.runs} runs, GB", [found["peak"]], MOST_GB, most=True, show="{:.2f}".format)
    flops = step_flops(arguments.runs)
    shares = [flops / wall / rate for wall, rate in zip(found["wall"], found["rates"], strict=True)]
    note = f"{1e3 * median(found['wall']):.0f} ms a step; product {median(found['rates']) / 1e9:.0f} GFLOP/s"
    table.add(f"share of the product's rate, {arguments.threads} threads", shares, LEAST_RATE, show=as_share, note=note)
    print(table)
    epoch = found["steps"] * median(found["wall"]) / 60
    print(
        f"\n{processor()}, {os.cpu_count()} cores, torch {torch.__version__}; {found['assembled']:.0f} s until the "
        f"first step; an epoch of {found['steps']} steps: {epoch:.1f} min; {took:.0f} s in all, {busy:.1f} cores busy."
    )


if __name__ == "__main__":
    main()
