"""Speed of training: ours beside the obvious loop, a vectorised one, and the machine's own matrix product.

    python benchmarks/speed.py [--rounds 5] [--quick] > table.md

One process, one thread, process CPU time, so that other jobs on the machine matter little. What is compared
takes turns, round by round, and every ratio is taken within its round; the table gives minimum, median and
maximum over the rounds. Only the figures for two threads are wall times; they are left out where others keep the
machine busy. Ours is timed through ``training.train`` itself, data feed included: an epoch is a round.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import obvious
import psutil
import torch
import vectorised
from torch.nn.functional import normalize

from disentangledssl.batches import CHUNK, Augmentation, Feed, FoldData, augment
from disentangledssl.methods import BaseMethod, Layout, load_method
from disentangledssl.objectives import info_nce
from disentangledssl.settings import STAGE_SETTINGS
from disentangledssl.streams import Stream
from disentangledssl.training import train

PAIRS, WIDTH, HIDDEN, DIMENSIONS, BATCH = 72_000, 100, 512, 100, 256
BETAS = (0, 0.001, 0.01, 0.1, 0.5, 1, 5, 10, 50, 100, 300, 500, 1000)
LAMS, STARTS = (0.01, 1, 100), (0, 1, 100)
SIDE = 2048  # of the square matrices whose product gives the machine's rate
WARM_UP = 3  # steps of a first epoch that is not counted
# The obvious loop, with either of two ways of drawing an augmentation: what it is called in the table.
LOOPS = {"lean": "the leanest obvious loop", "authors": "the obvious loop, organised as the authors'"}
CONTENDERS = LOOPS | {"vectorised": "a vectorised loop"}
# By layers, the share of each contender's time that a lone run may take.
TARGETS = {
    2: {"lean": 1 / 5, "authors": 1 / 5, "vectorised": 1 / 2.2},
    3: {"lean": 1 / 2.5, "authors": 1 / 2.5, "vectorised": 1 / 1.5},
}
QUIET = 0.1  # cores that others may use for a wall time to count


def simulated_views() -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the simulation's 72,000 training pairs (its distribution, not its very numbers)."""
    draws = torch.Generator().manual_seed(0)
    shared = torch.randn(PAIRS, WIDTH // 2, generator=draws)
    views = []
    for _ in range(2):
        latent = torch.cat([torch.randn(PAIRS, WIDTH // 2, generator=draws), shared], dim=1) * 0.5**0.5
        views.append(latent @ (2 * torch.rand(WIDTH, WIDTH, generator=draws) - 1))
    return tuple(views)


# --- the matrix products of a step, in floating-point operations ------------------------------------------------


def encoder_flops(rows: int, inputs: int, layers: int, trained: bool = True) -> int:
    """Forward; backward: weight gradients of all layers, input gradients of all but the first."""
    widths = [inputs, *[HIDDEN] * (layers - 1), DIMENSIONS]
    products = [2 * rows * n * k for n, k in itertools.pairwise(widths)]
    return sum(products) + trained * (sum(products) + sum(products[1:]))


def info_nce_flops(dimensions: int) -> int:
    """Forward and the gradient of each side."""
    return 3 * 2 * BATCH * BATCH * dimensions


def step1_flops(layers: int, runs: int) -> int:
    return runs * (2 * encoder_flops(BATCH, WIDTH, layers) + info_nce_flops(DIMENSIONS))


def step2_flops(layers: int, runs: int, starts: int) -> int:
    """Both versions of a view at once; the frozen encoders forward only, once a start; zs + zc in InfoNCE.

    The orthogonality has one product forward and one backward (zc is a constant), for two versions of two views.
    """
    specific = 2 * encoder_flops(2 * BATCH, WIDTH + DIMENSIONS, layers)
    overlap = 4 * 2 * 2 * BATCH * DIMENSIONS**2
    frozen = 2 * encoder_flops(2 * BATCH, WIDTH, layers, trained=False)
    return runs * (specific + 2 * info_nce_flops(2 * DIMENSIONS) + overlap) + starts * frozen


# --- timing -----------------------------------------------------------------------------------------------------


class Reference:
    """The float32 rate of one thread in a large matrix product, measured again and again."""

    def __init__(self):
        self.a, self.b, self.out = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE), torch.empty(SIDE, SIDE)
        self.rates: list[float] = []

    def measure(self) -> float:
        """Return operations a second, from one product of about 0.2 s."""
        start = time.process_time()
        torch.mm(self.a, self.b, out=self.out)
        self.rates.append(2 * SIDE**3 / (time.process_time() - start))
        return self.rates[-1]


class Rounds:
    """Stands in for the feed of ``train``: serves some mini-batches of each epoch and clocks the epoch.

    Between two epochs, with the clock stopped, ``between`` times what is compared. Epoch 0 is a warm-up.
    """

    def __init__(self, feed: Feed, steps: int, threads: list[int], between: Callable[[], None]):
        self.feed, self.steps, self.device, self.threads = feed, steps, feed.device, threads
        self.between = between
        self.cpu: list[float] = []  # seconds a step, by round; of these in the feed:
        self.feeding: list[float] = []
        self.wall: list[float] = []
        self.started: tuple[float, float] | None = None

    def epoch(self, epoch: int):
        self.stop()
        self.between()
        torch.set_num_threads(self.threads[epoch])
        steps = self.steps if epoch else WARM_UP
        self.feeding.append(0.0)
        self.started = time.process_time(), time.perf_counter()
        batches = self.feed.epoch(epoch)
        for _ in range(steps):
            before = time.process_time()
            batch = next(batches)
            self.feeding[-1] += (time.process_time() - before) / steps
            yield batch

    def stop(self) -> None:
        """Stop the clock of the round."""
        if self.started:
            steps = self.steps if self.cpu else WARM_UP
            self.cpu.append((time.process_time() - self.started[0]) / steps)
            self.wall.append((time.perf_counter() - self.started[1]) / steps)
        self.started = None
        torch.set_num_threads(1)


def build(
    stage: str, layers: int, views, hyperparameters, starts: int, precision: str = "float32"
) -> tuple[BaseMethod, Feed, dict]:
    """Build a stack of runs of one seed as ``train_stack`` does, without data set and start files."""
    settings = {
        "epochs": 1, "batch_size": BATCH, "learning_rate": 1e-4, "hidden": HIDDEN, "layers": layers,
        "dimensions": DIMENSIONS, "weight_std": 0.01, "precision": precision, "temperature": 0.07, "kappa": 1000.0,
        "orthogonality": "rows",
        "augmentation": {"noise_std": 0.01, "drop_fraction": 0.1, "dimensions": None},
    }  # fmt: skip
    settings = {name: settings[name] for name in STAGE_SETTINGS[stage].model_fields}
    runs = len(hyperparameters["beta"])
    stream = Stream("benchmark", 0, 0)
    layout = Layout(hyperparameters, [stream], [0] * runs)
    if starts:
        layout = Layout(
            hyperparameters, [stream], [0] * runs, [str(k) for k in range(starts)],
            {"hidden": HIDDEN, "layers": layers, "dimensions": DIMENSIONS},
            [k * starts // runs for k in range(runs)], [0] * starts,
        )  # fmt: skip
    checked = STAGE_SETTINGS[stage].model_validate(settings)
    model = load_method(stage)((WIDTH, WIDTH), checked, layout)
    model.initialise()
    for name in ("zc1", "zc2") if starts else ():
        getattr(model, name).initialise([stream] * starts, name, 0.05)
    rows = torch.arange(PAIRS)
    feed = Feed(
        {0: FoldData(views, (rows, rows))},
        layout.streams,
        smallest=PAIRS,
        batch_size=BATCH,
        augmentation=(Augmentation(0.01, 0.1, None),) * 2,
        second_version=model.second_version,
        noise=model.noise,
        dimensions=DIMENSIONS,
        kappa=settings.get("kappa"),
    )
    return model, feed, settings


def time_training(
    stage: str, layers: int, views, *, steps: int, threads: list[int], between, starts: int = 0, **hyperparameters
) -> Rounds:
    """Train through ``train``, one round for each entry of ``threads``; drop the warm-up's numbers."""
    model, feed, settings = build(stage, layers, views, hyperparameters, starts)
    rounds = Rounds(feed, steps, [1, *threads], between)
    record = train(model, rounds, STAGE_SETTINGS[stage].model_validate(settings | {"epochs": len(rounds.threads)}))
    rounds.stop()
    between()
    if record.note():
        raise RuntimeError(f"{stage}: what was timed diverged{record.note()}")
    for values in (rounds.cpu, rounds.wall, rounds.feeding):
        del values[0]
    return rounds


def time_beside_loops(layers: int, views, *, rounds: int, steps: int, reference: Reference):
    """Time a lone run of step 1, in turns with the obvious loop in both forms and with the vectorised one."""
    loops = {
        "lean": obvious.Loop(*views, layers=layers),
        "authors": obvious.Loop(*views, layers=layers, as_authors=True),
        "vectorised": vectorised.Loop(*views, layers=layers),
    }
    theirs: dict[str, list[float]] = {name: [] for name in loops}
    rates: list[float] = []

    def between() -> None:
        rates.append(reference.measure())
        for name, loop in loops.items():
            count = steps // 2 if theirs[name] else WARM_UP
            start = time.process_time()
            loop.train(count)
            theirs[name].append((time.process_time() - start) / count)

    ours = time_training("step1", layers, views, steps=steps, threads=[1] * rounds, between=between, beta=[1.0])
    # The first call of `between` comes before the warm-up, the last one after the last round.
    return ours, {name: values[1 : rounds + 1] for name, values in theirs.items()}, around(rates)


def around(rates: list[float]) -> list[float]:
    """Rate of each round: the mean of the measurements before and after it (the warm-up's dropped)."""
    return [(before + after) / 2 for before, after in itertools.pairwise(rates[1:])]


def others(before, own: float, wall: float) -> float:
    """Cores that other processes used since ``before``, given our own CPU seconds and the wall time."""
    now = psutil.cpu_times()
    busy = sum(getattr(now, name) - getattr(before, name) for name in ("user", "system", "nice"))
    return max(busy - own, 0) / wall


def time_stack(stage, layers, views, *, rounds, steps, reference, two_threads, **layout) -> dict[str, list[float]]:
    """Time a stack in turns with the matrix product, and on an idle machine with itself on two threads."""
    measured: list[float] = []
    times, own, wall = psutil.cpu_times(), time.process_time(), time.perf_counter()
    threads = [1, 2] * rounds if two_threads else [1] * rounds
    clock = time_training(
        stage, layers, views, steps=steps, threads=threads, between=lambda: measured.append(reference.measure()),
        **layout,
    )  # fmt: skip
    every = 2 if two_threads else 1
    return {
        "cpu": clock.cpu[::every],
        "feeding": clock.feeding[::every],
        "rates": around(measured)[::every],
        "wall": clock.wall[::every],
        "wall on 2 threads": clock.wall[1::2] if two_threads else [],
        "others": [others(times, time.process_time() - own, time.perf_counter() - wall)],
    }


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


def check_same_task(views) -> str:
    """Check that both loops' InfoNCE, and the obvious one's encoders on the same weights, are ours; say how close."""
    draws = torch.Generator().manual_seed(0)
    a = normalize(torch.randn(BATCH, DIMENSIONS, generator=draws), dim=-1)
    c = normalize(a + 0.1 * torch.randn(BATCH, DIMENSIONS, generator=draws), dim=-1)
    values, gradients = [], []
    for function in (lambda a, c, t: info_nce(a[None], c[None], t), obvious.info_nce, vectorised.info_nce):
        pair = [side.clone().requires_grad_() for side in (a, c)]
        value = function(*pair, 0.07).sum()
        value.backward()
        values.append(value.item())
        gradients.append(torch.cat([side.grad for side in pair]))
    gap = max((one - gradients[0]).abs().max() / one.abs().max() for one in gradients[1:])
    if any(abs(value - values[0]) > 1e-5 * abs(value) for value in values[1:]) or gap > 1e-4:
        raise RuntimeError(f"InfoNCE of ours, obvious and vectorised differs: {values}, gradients by {gap:.1e}")
    loop = obvious.Loop(*views, layers=3)
    model, _, _ = build("step1", 3, views, {"beta": [1.0]}, 0)
    with torch.no_grad():
        for ours, theirs in ((model.zc1, loop.encoder1), (model.zc2, loop.encoder2)):
            linears = [module for module in theirs if isinstance(module, torch.nn.Linear)]
            for linear, (i, o), weight, bias in zip(linears, ours.layers, ours.weights, ours.biases, strict=True):
                linear.weight.copy_(weight[0, :i, :o].T)
                linear.bias.copy_(bias[0, 0, :o])
        x = tuple(view[:BATCH] for view in views)
        codes = [encoder(view) for encoder, view in zip((loop.encoder1, loop.encoder2), x, strict=True)]
        expected = [encoder(view[None])[0] for encoder, view in zip((model.zc1, model.zc2), x, strict=True)]
    for left, right in zip(codes, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)
    return (
        f"InfoNCE of ours, the obvious and the vectorised loop on the same codes: "
        f"{', '.join(f'{value:.6f}' for value in values)}, gradients equal "
        f"to {gap:.0e} of the largest; the encoders agree on the same weights."
    )


# --- the table --------------------------------------------------------------------------------------------------


class Table:
    """Rows of the result, by figure; the value is the median over the rounds."""

    def __init__(self):
        self.rows: list[str] = []

    def add(self, name, values, target=None, *, most=False, show=str, note=""):
        """Add a figure; it must reach ``target`` at least, or with ``most`` stay at or below it."""
        middle = median(values)
        goal, reached = "none, reported", ""
        if target is not None:
            goal = f"{'at most' if most else 'at least'} {show(target)}"
            reached = "yes" if (middle <= target if most else middle >= target) else "no"
        points = ", ".join(show(value) for value in (min(values), middle, max(values)))
        self.rows.append(f"| {name} | {show(middle)} | {goal} | {reached} | {points} ({len(values)}) | {note} |")

    def skip(self, name, goal, why):
        """Add a figure that was not measured."""
        self.rows.append(f"| {name} | not measured | {goal} | | | {why} |")

    def __str__(self):
        head = "| figure | measured | target | reached | minimum, median, maximum (rounds) | behind it |"
        return "\n".join([head, "|---|---|---|---|---|---|", *sorted(self.rows, key=lambda row: row[2])])


def as_ratio(value: float) -> str:
    return f"1/{1 / value:.3g}"


def as_share(value: float) -> str:
    return f"{100 * value:.1f} %"


def as_factor(value: float) -> str:
    return f"{value:.2f}"


def ms(values: list[float]) -> str:
    return f"{1e3 * median(values):.2f} ms"


def ratios(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def efficiency(flops: int, seconds: list[float], rates: list[float]) -> list[float]:
    return [flops / s / rate for s, rate in zip(seconds, rates, strict=True)]


def processor() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the stacks; the lone runs take twice as many")
    parser.add_argument("--quick", action="store_true", help="2 rounds, of fewer steps for the stacks: a smoke test")
    arguments = parser.parse_args()
    rounds, steps = (2, 8) if arguments.quick else (arguments.rounds, CHUNK)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    times, own, wall = psutil.cpu_times(), time.process_time(), time.perf_counter()
    time.sleep(1)
    idle = others(times, time.process_time() - own, time.perf_counter() - wall)
    load = os.getloadavg()
    quiet = idle <= QUIET and (os.cpu_count() or 1) >= 2
    views, reference, table = simulated_views(), Reference(), Table()
    same = check_same_task(views)
    reference.measure()
    reference.rates.clear()

    shares = {}
    for layers, targets in TARGETS.items():
        ours, theirs, rates = time_beside_loops(layers, views, rounds=2 * rounds, steps=CHUNK, reference=reference)
        name = f"step 1, {layers} layers, lone run"
        for loop, whose in CONTENDERS.items():
            table.add(
                f"1. {name}: a step / {whose}", ratios(ours.cpu, theirs[loop]), targets[loop], most=True,
                show=as_ratio, note=f"{ms(ours.cpu)} / {ms(theirs[loop])}",
            )  # fmt: skip
        flops = step1_flops(layers, 1)
        table.add(
            f"2. {name}: rate / rate of the matrix product", efficiency(flops, ours.cpu, rates), show=as_share,
            note=f"{flops / 1e9:.2f} GFLOP in {ms(ours.cpu)}",
        )  # fmt: skip
        shares[name] = ours.feeding, ours.cpu

    lams = [lam for _ in STARTS for lam in LAMS]
    stacks = (
        ("2", "step 1, 3 layers, 13 runs", "step1", step1_flops(3, 13), 0.7, rounds, {"beta": list(BETAS)}),
        ("5", "step 2, 3 layers, lone run", "step2", step2_flops(3, 1, 1), None, rounds,
         {"beta": [1.0], "lam": [1.0], "starts": 1}),
        ("5", "step 2, 3 layers, 9 runs (3 starts)", "step2", step2_flops(3, 9, 3), None, -(-rounds * 3 // 5),
         {"beta": [beta for beta in STARTS for _ in LAMS], "lam": lams, "starts": len(STARTS)}),
    )  # fmt: skip
    for figure, name, stage, flops, target, count, layout in stacks:
        lone = len(layout["beta"]) == 1
        found = time_stack(
            stage, 3, views, rounds=count, steps=CHUNK if lone else steps, reference=reference,
            two_threads=quiet and not lone, **layout,
        )  # fmt: skip
        table.add(
            f"{figure}. {name}: rate / rate of the matrix product", efficiency(flops, found["cpu"], found["rates"]),
            target, show=as_share, note=f"{flops / 1e9:.2f} GFLOP in {ms(found['cpu'])}",
        )  # fmt: skip
        shares[name] = found["feeding"], found["cpu"]
        threads = f"4. {name}: wall time of one thread / of two"
        if found["wall on 2 threads"]:
            table.add(
                threads, ratios(found["wall"], found["wall on 2 threads"]), 1.75, show=as_factor,
                note=f"{ms(found['wall'])} / {ms(found['wall on 2 threads'])}; "
                f"others used {found['others'][0]:.2f} cores meanwhile",
            )  # fmt: skip
        elif not lone:
            table.skip(threads, "at least 1.75", f"needs an idle machine of 2 cores: others used {idle:.2f} cores")

    augmenting = time_augmentation(views, rounds=3 * rounds)
    for draw, whose in LOOPS.items():
        table.add(
            f"3. augmenting a sample: in a chunk / as {whose}", ratios(augmenting["ours"], augmenting[draw]), 1 / 60,
            most=True, show=as_ratio,
            note=f"{1e6 * median(augmenting['ours']):.2f} / {1e6 * median(augmenting[draw]):.2f} us",
        )  # fmt: skip
    for name, (feeding, cpu) in shares.items():
        table.add(
            f"6. {name}: share of the data feed", ratios(feeding, cpu), show=as_share,
            note=f"{ms(feeding)} of {ms(cpu)}",
        )  # fmt: skip

    took = time.perf_counter() - wall
    rate = [value / 1e9 for value in reference.rates]
    print(table)
    if arguments.quick:
        print(f"\nQuick: {steps} of the {CHUNK} steps that a stack's feed draws at a time, so its share is too high.")
    print(
        f"\nMachine: {processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"PyTorch {torch.__version__}, CPU capability {torch.backends.cpu.get_cpu_capability()}. "
        f"Product of {SIDE} x {SIDE} float32 matrices on one thread, in the same run: {min(rate):.1f} / "
        f"{median(rate):.1f} / {max(rate):.1f} GFLOP/s ({len(rate)}). {same} Load average at the start "
        f"{', '.join(f'{value:.2f}' for value in load)}; others used {idle:.2f} cores at the start and "
        f"{others(times, time.process_time() - own, took):.2f} over the whole run of {took:.0f} s."
    )


if __name__ == "__main__":
    main()
