"""Speed and memory of training: ours beside the obvious loop, vectorised ones, and the machine's matrix product.

    python benchmarks/speed.py [PART ...] [--rounds 3] [--quick] > table.md

Parts: lone, stacks, memory, data, gpu; all of them unless some are named.

One process, one thread, process CPU time, so that other jobs on the machine matter little. What is compared
takes turns, round by round, and every ratio is taken within its round; the table gives minimum, median and
maximum over the rounds. Only the figures for two threads are wall times; they are left out where others keep the
machine busy. Ours is timed through ``training.train`` itself, data feed included: an epoch is a round.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import memory
import obvious
import psutil
import torch
import vectorised
from flops import BATCH, step_flops
from report import Table, as_factor, as_ratio, as_share, efficiency, grid, mb, ms, processor, ratios
from same import check_obvious, check_vectorised
from timing import HYPERPARAMETERS, SIDE, Beside, Reference, others, simulated_views, starts_of, time_training

from disentangledssl.batches import CHUNK, Augmentation, augment

# The obvious loop, with either of two ways of drawing an augmentation: what it is called in the table.
LOOPS = {"lean": "the leanest obvious loop", "authors": "the obvious loop, organised as the authors'"}
CONTENDERS = LOOPS | {"vectorised": "a vectorised loop"}
# By layers and precision, the share of each contender's time that a lone run of step 1 may take.
LONE = {
    (2, "float32"): {"lean": 1 / 5, "authors": 1 / 5, "vectorised": 1 / 2.2},
    (2, "bfloat16"): {"vectorised": 1 / 3.5},
    (3, "float32"): {"lean": 1 / 2.5, "authors": 1 / 2.5, "vectorised": 1 / 1.5},
    (3, "bfloat16"): {"vectorised": 1 / 2.5},
}
# Runs of a stack, and the steps of it that are timed a round.
STEPS = {1: 12, 3: 6, 7: 3, 13: 3, 39: 1}
HEADLINE = 13  # the stack that has targets: the betas of one seed
# The share of the matrix product's rate that it must reach.
RATES = {"step1": 0.72, "step2": 0.65, "jointopt": 0.65, "focal": 0.65, "dmvae": 0.65}
FEED = 0.02  # of a step, at most
TWO_THREADS = {"step1": 1.75, "step2": 1.75}  # times as fast
SIZES = (9_000, 90_000, 900_000)  # pairs of a data set
QUIET = 0.1  # cores that others may use for a wall time to count


class Bench:
    """What the parts share: data, the machine's rate, and how thorough to be."""

    def __init__(self, rounds: int, quick: bool):
        self.rounds, self.quick = rounds, quick
        times, own, wall = psutil.cpu_times(), time.process_time(), time.perf_counter()
        time.sleep(1)
        self.idle = others(times, time.process_time() - own, time.perf_counter() - wall)
        self.two_threads = self.idle <= QUIET and (os.cpu_count() or 1) >= 2
        self.views, self.reference = simulated_views(), Reference()

    def vectorised(self, method: str, **shape) -> vectorised.Loop:
        """Make a vectorised loop with the hyperparameters of our first run."""
        first = {name: values[0] for name, values in HYPERPARAMETERS[method].items()}
        return vectorised.Loop(method, *self.views, **first, **shape)


def lone(bench: Bench) -> str:
    """Step 1, a run alone, in turns with the obvious loop in both forms and with the vectorised one; augmentation."""
    table = Table()
    for (layers, precision), targets in LONE.items():
        loops = {
            "lean": obvious.Loop(*bench.views, layers=layers),
            "authors": obvious.Loop(*bench.views, layers=layers, as_authors=True),
            "vectorised": bench.vectorised("step1", layers=layers),
        }
        beside = Beside(bench.reference, {name: loops[name] for name in targets}, steps=CHUNK // 2)
        ours = time_training(
            "step1", bench.views, steps=CHUNK, threads=[1] * 2 * bench.rounds, between=beside, layers=layers,
            precision=precision,
        )  # fmt: skip
        name = f"step 1, {layers} layers, {precision}, lone run"
        for loop, target in targets.items():
            table.add(
                f"{name}: a step / {CONTENDERS[loop]}", ratios(ours.cpu, beside.seconds(loop)), target, most=True,
                show=as_ratio, note=f"{ms(ours.cpu)} / {ms(beside.seconds(loop))}",
            )  # fmt: skip
        flops = step_flops("step1", layers)
        table.add(
            f"{name}: rate / rate of the float32 product", efficiency(flops, ours.cpu, beside.rates()), show=as_share,
            note=f"{flops / 1e9:.2f} GFLOP in {ms(ours.cpu)}",
        )  # fmt: skip
        table.add(
            f"{name}: share of the data feed", ratios(ours.feeding, ours.cpu), show=as_share,
            note=f"{ms(ours.feeding)} of {ms(ours.cpu)}",
        )  # fmt: skip
    augmenting = time_augmentation(bench.views, rounds=3 * bench.rounds)
    for draw, whose in LOOPS.items():
        table.add(
            f"augmenting a sample: in a chunk / as {whose}", ratios(augmenting["ours"], augmenting[draw]), 1 / 60,
            most=True, show=as_ratio,
            note=f"{1e6 * median(augmenting['ours']):.2f} / {1e6 * median(augmenting[draw]):.2f} us",
        )  # fmt: skip
    return str(table)


def time_augmentation(views, *, rounds: int) -> dict[str, list[float]]:
    """Time a chunk as the feed augments it, in turns with the two per-sample loops: seconds a sample."""
    chunk, few = views[0][: CHUNK * BATCH], views[0][: 4 * BATCH]
    draws, augmentation = torch.Generator().manual_seed(0), Augmentation(0.01, 0.1, None)
    contenders = {
        "ours": (lambda: [augment(chunk, augmentation, draws) for _ in range(4)], 4 * len(chunk)),
        "lean": (lambda: torch.stack([obvious.augment_sample(x) for x in few]), len(few)),
        "authors": (lambda: obvious.augment_rows(few), len(few)),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, (call, samples) in contenders.items():
            start = time.process_time()
            call()
            times[name].append((time.process_time() - start) / samples)
    return {name: values[1:] for name, values in times.items()}


def stacks(bench: Bench) -> str:
    """Every method, lone and in stacks, in turns with the matrix product and its vectorised loop."""
    table, rows = Table(), []
    cases = [(method, 3, "float32") for method in HYPERPARAMETERS]
    cases[1:1] = [("step1", 3, "bfloat16"), ("step1", 2, "float32")]
    for method, layers, precision in cases:
        name = ", ".join([method, *[precision] * (precision != "float32"), *["2 layers"] * (layers == 2)])
        for runs, steps in STEPS.items():
            starts = starts_of(method, runs)
            beside = Beside(bench.reference, {"vectorised": bench.vectorised(method, layers=layers)}, steps=2)
            every = 2 if bench.two_threads else 1
            times, own, wall = psutil.cpu_times(), time.process_time(), time.perf_counter()
            clock = time_training(
                method, bench.views, runs=runs, steps=steps, threads=[1, 2][:every] * bench.rounds, between=beside,
                layers=layers, precision=precision,
            )  # fmt: skip
            busy = others(times, time.process_time() - own, time.perf_counter() - wall)
            cpu, feeding = clock.cpu[::every], clock.feeding[::every]
            flops = step_flops(method, layers, runs, starts)
            rates = efficiency(flops, cpu, beside.rates()[::every])
            beside_loop = ratios(cpu, [runs * seconds for seconds in beside.seconds("vectorised")[::every]])
            threads = ratios(clock.wall[::2], clock.wall[1::2]) if bench.two_threads else []
            rows.append(
                f"| {name} | {runs}{f' ({starts})' if starts else ''} | {flops / runs / 1e9:.2f} | "
                f"{ms([seconds / runs for seconds in cpu])} | {as_share(median(rates))} | "
                f"{ms(beside.seconds('vectorised'))} | {as_ratio(median(beside_loop))} | "
                f"{as_share(median(ratios(feeding, cpu)))} | {as_factor(median(threads)) if threads else '-'} |"
            )
            if runs != HEADLINE or layers == 2:
                continue
            where = f"{name}, 3 layers, {runs} runs{f' ({starts} starts)' if starts else ''}"
            if precision == "float32":
                table.add(
                    f"{where}: rate / rate of the product", rates, RATES.get(method), show=as_share,
                    note=f"{flops / 1e9:.2f} GFLOP in {ms(cpu)}",
                )  # fmt: skip
            table.add(
                f"{where}: share of the data feed", ratios(feeding, cpu), FEED, most=True, show=as_share,
                note=f"{ms(feeding)} of {ms(cpu)}",
            )  # fmt: skip
            if threads:
                table.add(
                    f"{where}: wall time of one thread / of two", threads, TWO_THREADS.get(name), show=as_factor,
                    note=f"{ms(clock.wall[::2])} / {ms(clock.wall[1::2])}; others used {busy:.2f} cores meanwhile",
                )  # fmt: skip
    if not bench.two_threads:
        table.skip(
            "wall time of one thread / of two", "", f"needs an idle machine of 2 cores: others used {bench.idle:.2f}"
        )
    head = (
        "method (3 layers, if not told) | runs (starts) | GFLOP a step and run | a step and run"
        " | rate / rate of the float32 product | a step of the vectorised loop | a step and run / the loop's"
        " | data feed | one thread / two, wall time"
    )
    return f"{table}\n\n{grid(head, rows)}"


def memory_of_training(bench: Bench) -> str:
    """Peak memory of a stack of 13 and of the vectorised loop's one run, each in a process of its own."""
    rows = []
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        for method in HYPERPARAMETERS:
            ours = memory.ask("train", method, "--runs", HEADLINE, "--device", device)["peak"]
            alone = memory.ask("train", method, "--device", device)["peak"]
            loop = memory.ask("train", method, "--vectorised", "--device", device)["peak"]
            rows.append(
                f"| {method} | {device} | {mb(ours)} | {mb(ours / HEADLINE)} | {mb(alone)} | {mb(loop)} | "
                f"{ours / HEADLINE / loop:.2f} |"
            )
    head = (
        f"method (3 layers) | device | stack of {HEADLINE} | a run of it | a run alone | the vectorised loop's run | "
        "a run of the stack / the loop's"
    )
    return grid(head, rows)


def data(bench: Bench) -> str:
    """Reading, scaling and feeding data sets of growing size."""
    table, rows, found = Table(), [], []
    for pairs in SIZES[: 2 if bench.quick else None]:
        with tempfile.TemporaryDirectory() as folder:
            memory.write_pairs(Path(folder), pairs)
            found.append(memory.ask("data", folder))
        one = found[-1]
        rows.append(
            f"| {pairs:,} | {mb(one['views'])} | {mb(one['read'])} | {mb(one['peak'])} | "
            f"{one['peak'] / one['views']:.2f} | {mb(one['left'])} | {one['seconds_reading']:.2f} s | "
            f"{one['seconds_assembling']:.2f} s | {ms([one['step']])} | {ms([one['feeding']])} | {one['epoch']:,} |"
        )
    for before, after, few, many in zip(found, found[1:], SIZES, SIZES[1:], strict=False):
        table.add(
            f"{few:,} to {many:,} pairs: growth of the peak / growth of the two views",
            [(after["peak"] / before["peak"]) / (after["views"] / before["views"])], 1, most=True, show=as_factor,
            note=f"{mb(before['peak'])} to {mb(after['peak'])}; views {mb(before['views'])} to {mb(after['views'])}",
        )  # fmt: skip
    head = (
        "pairs | both views | peak of reading | peak of all | peak / views | held while training | reading | scaling "
        "and building | a step (step 1, lone run) | data feed | steps an epoch"
    )
    return f"{table}\n\n{grid(head, rows)}"


def gpu(bench: Bench) -> str:
    """On a GPU: 39 runs of step 1 as one stack, and one after the other."""
    if not torch.cuda.is_available():
        return "Not measured: no GPU (torch.cuda.is_available() is false)."
    table, runs = Table(), 39
    views = tuple(view.cuda() for view in bench.views)
    for precision in ("float32", "bfloat16"):
        # A lone run's step, 39 times: what training them in turn takes.
        stack, alone = (
            time_training(
                "step1", views, runs=count, steps=CHUNK, threads=[1] * bench.rounds, precision=precision
            ).wall
            for count in (runs, 1)
        )  # fmt: skip
        table.add(
            f"step 1, 3 layers, {precision}, {runs} runs as one stack / one after the other, wall time",
            [a / (runs * b) for a, b in zip(stack, alone, strict=True)], show=as_ratio,
            note=f"{ms(stack)} / {runs} x {ms(alone)}; {step_flops('step1', 3, runs) / median(stack) / 1e12:.1f} "
            f"TFLOP/s on {torch.cuda.get_device_name()}",
        )  # fmt: skip
    return str(table)


PARTS = {"lone": lone, "stacks": stacks, "memory": memory_of_training, "data": data, "gpu": gpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the stacks; the lone runs take twice as many")
    parser.add_argument("--quick", action="store_true", help="2 rounds and no large data set: a smoke test")
    arguments = parser.parse_args()
    for part in arguments.parts:
        if part not in PARTS:
            parser.error(f"{part} is no part; choose from {', '.join(PARTS)}")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    wall, times, own, load = time.perf_counter(), psutil.cpu_times(), time.process_time(), os.getloadavg()
    bench = Bench(2 if arguments.quick else arguments.rounds, arguments.quick)
    same = [check_obvious(bench.views), check_vectorised(bench.views)]
    for part in arguments.parts or PARTS:
        start = time.perf_counter()
        print(f"### {part}: {PARTS[part].__doc__}\n\n{PARTS[part](bench)}\n", flush=True)
        print(f"{part} took {time.perf_counter() - start:.0f} s", file=sys.stderr)
    took = time.perf_counter() - wall
    rate = [value / 1e9 for value in bench.reference.rates]
    product = (
        f"Product of {SIDE} x {SIDE} float32 matrices on one thread, in the same run: {min(rate):.1f} / "
        f"{median(rate):.1f} / {max(rate):.1f} GFLOP/s ({len(rate)}). "
        if rate
        else ""
    )
    print(
        f"Machine: {processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"PyTorch {torch.__version__}, CPU capability {torch.backends.cpu.get_cpu_capability()}. "
        f"{product}{' '.join(same)} Load average at the start "
        f"{', '.join(f'{value:.2f}' for value in load)}; others used {bench.idle:.2f} cores at the start and "
        f"{others(times, time.process_time() - own, took):.2f} over the whole run of {took:.0f} s (processes that it "
        "started itself for memory and data count as others)."
    )


if __name__ == "__main__":
    main()
