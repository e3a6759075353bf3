"""What is timed and how: stacks of any method through ``training.train``, beside the machine's own matrix product."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import psutil
import torch
from flops import BATCH, DIMENSIONS, HIDDEN, WIDTH

from disentangledssl.batches import EpochSize, Feed, FoldData
from disentangledssl.methods import STRUCTURE, BaseMethod, Layout, load_method
from disentangledssl.settings import STAGE_SETTINGS, TrainingSettings
from disentangledssl.streams import Stream
from disentangledssl.training import augmentation_of, train

PAIRS = 72_000
SIDE = 2048  # of the square matrices whose product gives the machine's rate
WARM_UP = 3  # steps of a first epoch that is not counted
# The runs of a stack take these values in turns; a lone run the first.
HYPERPARAMETERS = {
    "step1": {"beta": (1, 0, 0.001, 0.01, 0.1, 0.5, 5, 10, 50, 100, 300, 500, 1000)},
    "clip": {},
    "step2": {"lam": (0.01, 1, 100)},
    "jointopt": {"a": (1, 0.01, 100), "lam": (0.01, 1, 100)},
    "focal": {"a": (1, 0.01, 100), "lam": (0.01, 1, 100)},
    "dmvae": {"lam": (1e-5, 1e-6, 1e-7)},
}
SETTINGS = {
    "epochs": 1, "batch_size": BATCH, "mini_batches": "pairs",
    "learning_rate": 1e-4, "hidden": HIDDEN, "layers": 3, "dimensions": DIMENSIONS,
    "weight_std": 0.01, "precision": "float32", "temperature": 0.07, "kappa": 1000.0, "orthogonality": "rows",
    "augmentation": {"kind": "drop", "noise_std": 0.01, "drop_fraction": 0.1, "dimensions": None}, "sequences": None,
    "normaliser": True, "cosine": "signed", "prior_expert": False, "cross_kl": "own", "info_nce_weight": 0.0,
}  # fmt: skip


def simulated_views() -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the simulation's 72,000 training pairs (its distribution, not its very numbers)."""
    draws = torch.Generator().manual_seed(0)
    shared = torch.randn(PAIRS, WIDTH // 2, generator=draws)
    views = []
    for _ in range(2):
        latent = torch.cat([torch.randn(PAIRS, WIDTH // 2, generator=draws), shared], dim=1) * 0.5**0.5
        views.append(latent @ (2 * torch.rand(WIDTH, WIDTH, generator=draws) - 1))
    return tuple(views)


def settings_of(method: str, **others) -> TrainingSettings:
    """Settings of the simulation, or others, as far as the method has them."""
    fields = STAGE_SETTINGS[method].model_fields
    return STAGE_SETTINGS[method].model_validate({k: v for k, v in (SETTINGS | others).items() if k in fields})


def starts_of(method: str, runs: int) -> int:
    """Return how many distinct frozen models a stack of step 2 starts from: one for three runs."""
    return max(1, runs // 3) if method == "step2" else 0


def build(method: str, views, runs: int = 1, **others) -> tuple[BaseMethod, Feed]:
    """Build a stack of runs of one seed as ``train_stack`` does, without data set and start files."""
    settings, device = settings_of(method, **others), views[0].device
    cycled = {
        name: list(itertools.islice(itertools.cycle(values), runs)) for name, values in HYPERPARAMETERS[method].items()
    }
    stream, starts = Stream("benchmark", 0, 0), starts_of(method, runs)
    layout = Layout(cycled, [stream], [0] * runs)
    if starts:
        layout = Layout(
            cycled, [stream], [0] * runs, [str(k) for k in range(starts)],
            settings.model_dump(include=set(STRUCTURE)),
            [k * starts // runs for k in range(runs)], [0] * starts,
        )  # fmt: skip
    model = load_method(method)(tuple(view.shape[1:] for view in views), settings, layout)
    model.initialise()
    for name in ("zc1", "zc2") if starts else ():
        getattr(model, name).initialise([stream] * starts, name, 0.05)
    rows = torch.arange(len(views[0]), device=device)
    feed = Feed(
        {0: FoldData(tuple(views), (rows, rows))},
        layout.streams,
        size=EpochSize.of_pairs(len(rows), settings.batch_size),
        augmentation=tuple(augmentation_of(view.shape[1:], settings, settings.batch_size) for view in views),
        second_version=model.second_version,
        first_clean=model.first_clean,
        noise=model.noise,
        dimensions=settings.dimensions,
        kappa=getattr(settings, "kappa", None),
    )
    return model.to(device), feed


class Reference:
    """The float32 rate of one thread in a large matrix product, measured again and again."""

    def __init__(self):
        self.a, self.b, self.out = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE), torch.empty(SIDE, SIDE)
        torch.mm(self.a, self.b, out=self.out)
        self.rates: list[float] = []

    def measure(self) -> float:
        """Return operations a second, from one product of about 0.2 s."""
        start = time.process_time()
        torch.mm(self.a, self.b, out=self.out)
        self.rates.append(2 * SIDE**3 / (time.process_time() - start))
        return self.rates[-1]


class Rounds:
    """Stands in for the feed of ``train``: serves some mini-batches of each epoch and clocks the epoch.

    Between two epochs, with the clock stopped, ``between`` times what is compared. Epoch 0 is a warm-up. The feed
    draws a whole chunk at the first step, so what it takes is spread over the chunk's steps, however few are made.
    """

    def __init__(self, feed: Feed, steps: int, threads: list[int], between: Callable[[], None]):
        self.feed, self.steps, self.device = feed, steps, feed.device
        self.threads, self.between = [1, *threads], between
        self.chunk = min(feed.chunk, feed.steps)
        self.cpu: list[float] = []  # seconds a step, by round; of these in the feed:
        self.feeding: list[float] = []
        self.wall: list[float] = []
        self.running, self.began, self.fed = False, (0.0, 0.0), (0.0, 0.0)

    def now(self) -> tuple[float, float]:
        """Process and wall clock, with nothing under way on a GPU."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.process_time(), time.perf_counter()

    def epoch(self, epoch: int):
        self.stop()
        self.between()
        torch.set_num_threads(self.threads[epoch])
        self.running, self.fed, self.began = True, (0.0, 0.0), self.now()
        batches = self.feed.epoch(epoch)
        for step in range(self.steps if epoch else min(WARM_UP, self.steps)):
            # A later mini-batch is a few slices: not worth halting a GPU for.
            before = time.process_time(), time.perf_counter()
            batch = next(batches)
            after = self.now() if step == 0 else (time.process_time(), time.perf_counter())
            self.fed = tuple(total + b - a for total, a, b in zip(self.fed, before, after, strict=True))
            yield batch

    def stop(self) -> None:
        """Stop the clock of the round."""
        if self.running:
            steps = self.steps if self.cpu else min(WARM_UP, self.steps)
            cpu, wall = (
                (end - start - fed) / steps + fed / self.chunk
                for start, end, fed in zip(self.began, self.now(), self.fed, strict=True)
            )
            self.cpu.append(cpu)
            self.wall.append(wall)
            self.feeding.append(self.fed[0] / self.chunk)
        self.running = False
        torch.set_num_threads(1)


def time_training(
    method: str, views, *, steps: int, threads: list[int], between=lambda: None, runs: int = 1, **settings
) -> Rounds:
    """Train through ``train``, one round for each entry of ``threads``; drop the warm-up's numbers."""
    model, feed = build(method, views, runs, **settings)
    rounds = Rounds(feed, steps, threads, between)
    record = train(model, rounds, settings_of(method, **settings, epochs=len(rounds.threads)))
    rounds.stop()
    between()
    if record.note():
        raise RuntimeError(f"{method}: what was timed diverged{record.note()}")
    for values in (rounds.cpu, rounds.wall, rounds.feeding):
        del values[0]
    return rounds


class Beside:
    """Takes turns with a training: called between its rounds, it times the matrix product and every loop.

    Parameters
    ----------
    reference : Reference
    loops : mapping of name to object with ``train(steps)``
    steps : int
        Of a loop, each time.
    """

    def __init__(self, reference: Reference, loops, steps: int):
        self.reference, self.loops, self.steps = reference, loops, steps
        self.measured: list[float] = []
        self.times: dict[str, list[float]] = {name: [] for name in loops}

    def __call__(self) -> None:
        self.measured.append(self.reference.measure())
        for name, loop in self.loops.items():
            start = time.process_time()
            loop.train(self.steps)
            self.times[name].append((time.process_time() - start) / self.steps)

    # The first call comes before the warm-up, the last one after the last round.

    def rates(self) -> list[float]:
        """Rate of the product in each round: the mean of before and after it."""
        return [(before + after) / 2 for before, after in itertools.pairwise(self.measured[1:])]

    def seconds(self, name: str) -> list[float]:
        """Seconds a step of a loop, before each round."""
        return self.times[name][1:-1]


def others(before, own: float, wall: float) -> float:
    """Cores that other processes used since ``before``, given our own CPU seconds and the wall time."""
    now = psutil.cpu_times()
    busy = sum(getattr(now, name) - getattr(before, name) for name in ("user", "system", "nice"))
    return max(busy - own, 0) / wall
