"""What a preset takes, known before it is paid: hours, memory and disk, from a short calibration.

Steps, shapes and sizes are exact: they follow from the plan of stacks and from the data sets. Seconds are measured
(``calibration``), once for each distinct shape of a stack, and the jobs put on the cores as Snakemake would.

Source: choice. Not predicted, a percent or less each: making the data sets (it is done before this), checkpoints,
resampling for the tables of retrieval.
"""

from __future__ import annotations

import csv
import heapq
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import torch

from disentangledssl.atomic import atomic
from disentangledssl.calibration import (
    Workers,
    light_start_up,
    start_runs,
    time_evaluation,
    time_references,
    time_training,
)
from disentangledssl.dataset import read_dataset
from disentangledssl.methods import STRUCTURE, Layout, Shape, load_method
from disentangledssl.settings import STAGE_SETTINGS
from disentangledssl.streams import Stream
from disentangledssl.training import epoch_size

log = logging.getLogger(__name__)

SECONDS = 3.0  # of steps that are timed, about, for each shape
MOST_RUNS = 12  # of a stack that is timed on a CPU; for more, its time is scaled
SNAKEMAKE = {"seconds": 0.7, "gb": 0.2}  # its share of every job, and its own memory; measured
HISTORY_BYTES = 10  # a row of a loss curve, compressed
COLUMNS = (
    "dataset", "part", "stacks", "finished", "runs", "epochs", "steps", "seconds_a_step", "cpu_hours", "hours",
    "memory_gb", "gpu_memory_gb", "disk_gb",
)  # fmt: skip


class Job(NamedTuple):
    """A job of the workflow: how long, on how many cores, after which others."""

    name: str
    seconds: float
    after: Sequence[str] = ()
    cores: int = 1
    gpus: int = 0
    done: bool = False


def makespan(jobs: Sequence[Job], cores: int) -> float:
    """Return the seconds until all jobs are done, if each starts as soon as it may and fits, earlier ones first.

    There is one GPU for those that need it.

    >>> makespan([Job("a", 3), Job("b", 1), Job("c", 1, after=["b"])], cores=2)
    3.0
    """
    waiting, running, ended, now = list(jobs), [], set(), 0.0
    free, gpus = cores, 1
    while waiting or running:
        for job in list(waiting):
            if set(job.after) <= ended and min(job.cores, cores) <= free and job.gpus <= gpus:
                waiting.remove(job)
                heapq.heappush(running, (now + job.seconds, job.name, job))
                free, gpus = free - min(job.cores, cores), gpus - job.gpus
        if not running:
            raise ValueError(f"{waiting[0].name} waits for what never ends: {set(waiting[0].after) - ended}")
        now, _, job = heapq.heappop(running)
        free, gpus = free + min(job.cores, cores), gpus + job.gpus
        ended.add(job.name)
    return now


def stack_bytes(
    stage: str, settings: Mapping, shapes: tuple[Shape, Shape], runs: Sequence[Mapping[str, Any]], step1: Mapping
) -> int:
    """Return the bytes of a stack's weights, which are never allocated; step 2 starts from models of ``step1``."""
    starts, none = start_runs(runs), [0] * len(runs)
    shape = {name: step1[name] for name in STRUCTURE} if starts else {}
    layout = Layout({}, [Stream("", 0, 0)], none, [""] * len(starts), shape, none, [0] * len(starts))
    with torch.device("meta"):
        model = load_method(stage)(shapes, STAGE_SETTINGS[stage].model_validate(settings), layout)
    return sum(tensor.nbytes for tensor in model.state_dict().values())


def at_runs(points: Mapping[int, Mapping[str, float]], runs: int) -> dict[str, float]:
    """Return what a stack of so many runs takes, from measurements at one or two numbers of runs.

    Linear between and, for memory, beyond them; the seconds of more runs are in proportion, which noise cannot bend.
    """
    low, high = min(points), max(points)
    if low == high:
        return dict(points[low])
    share = (runs - low) / (high - low)
    found = {name: points[low][name] + share * (points[high][name] - points[low][name]) for name in points[low]}
    if runs > high:
        found |= {name: points[high][name] * runs / high for name in ("seconds", "fixed")}
    return found


class Costs:
    """What the stacks and data sets of a plan take; each distinct shape is measured once.

    Parameters
    ----------
    stacks : sequence of mapping
        What ``Plan.trainings`` gives.
    datasets : mapping of name to mapping
        ``folder``, ``folds`` that are run, ``scaling``, ``kinds`` of evaluation (``probes``, ``retrieval``,
        ``reconstruction``), each with its stages and options, and ``references``: kinds with options.
    results : path
        Where finished stacks are looked for.
    device : str
    cores, threads : int
        Of the whole run, of a training job.
    seconds : float
        Of steps that are timed for each shape.
    """

    def __init__(
        self, stacks: Sequence[Mapping], datasets: Mapping[str, Mapping], results: Path, *, device: str, cores: int,
        threads: int, seconds: float = SECONDS,
    ):  # fmt: skip
        self.stacks = [stack | {"runs": [_with_beta(run) for run in stack["runs"]]} for stack in stacks]
        self.datasets, self.results = datasets, results
        self.device, self.cores, self.threads, self.seconds = device, cores, min(threads, cores), seconds
        self.beside = 1 if device == "cuda" else max(1, cores // threads)  # training jobs at a time
        self.shapes, self.pairs, self.facts, self.epochs = {}, {}, {}, {}
        for name, one in datasets.items():
            dataset = read_dataset(one["folder"])
            self.shapes[name] = dataset.shapes
            self.pairs[name] = len(dataset.ids)
            # What is true of some data only (Gaussian, pure dimensions) decides what is measured of them.
            self.facts[name] = sorted(fact for fact, value in dataset.info.items() if value and fact != "name")
            for stack in stacks:
                if stack["dataset"] == name:
                    settings = STAGE_SETTINGS[stack["stage"]].model_validate(stack["settings"])
                    self.epochs[name, stack["stage"]] = epoch_size(dataset, Path(one["folder"]), settings)
        self.step1 = {stack["dataset"]: stack["settings"] for stack in stacks if stack["stage"] == "step1"}
        self.measured: dict[tuple, Any] = {}

    def steps(self, stack: Mapping) -> int:
        """Return the mini-batches of an epoch."""
        return self.epochs[stack["dataset"], stack["stage"]].steps

    def shape(self, stack: Mapping) -> str:
        """Name what the time of a step depends on, but for the number of runs."""
        name = stack["dataset"]
        settings = [
            {key: value for key, value in one.items() if key not in ("epochs", "learning_rate")}
            for one in (stack["settings"], self.step1.get(name, {}) if stack["stage"] == "step2" else {})
        ]
        return json.dumps([stack["stage"], settings, self.shapes[name], self.pairs[name]])

    def evaluation(self, name: str, kind: str, stage: str = "references") -> tuple:
        """Name what the time of evaluating a run of a stage, or the reference rows, depends on."""
        return kind, stage, self.shapes[name], self.pairs[name], *self.facts[name]

    def calibrate(self) -> None:
        """Measure every shape of stack, evaluation and reference rows."""
        groups: dict[str, list[Mapping]] = {}
        for stack in self.stacks:
            groups.setdefault(self.shape(stack), []).append(stack)
        with Workers(self.beside) as workers:
            for shape, stacks in groups.items():
                stacks = sorted(stacks, key=lambda stack: len(stack["runs"]))
                counts = [len(stacks[0]["runs"]), len(stacks[-1]["runs"])]
                if self.device == "cpu" and counts[1] > MOST_RUNS:
                    counts = [min(counts[0], MOST_RUNS // 2), MOST_RUNS]
                self.measured["training", shape] = {
                    count: workers.measure(
                        time_training, **self.task(stacks[-1], count), device=self.device, threads=self.threads,
                        seconds=self.seconds,
                    )
                    for count in dict.fromkeys(counts)
                }  # fmt: skip
                name, stage = stacks[0]["dataset"], stacks[0]["stage"]
                log.info("%s %s, by runs: %s", name, stage, self.measured["training", shape])
            for stack in self.stacks:
                name, stage, one = stack["dataset"], stack["stage"], self.datasets[stack["dataset"]]
                for kind, (stages, options) in one["kinds"].items():
                    key = self.evaluation(name, kind, stage)
                    if stage in stages and key not in self.measured:
                        task = {"kind": kind, **self.task(stack, 1), "options": options}
                        took = self.measured[key] = workers.measure(time_evaluation, **task)
                        log.info("%s %s, %s of a run: %s", name, stage, kind, took)
            for name, one in self.datasets.items():
                for kind, options in one["references"].items():
                    key = self.evaluation(name, kind)
                    if key not in self.measured:
                        task = {"kind": kind, "folder": one["folder"], "options": options}
                        took = self.measured[key] = workers.measure(time_references, **task)
                        log.info("%s, references, %s: %s", name, kind, took)
            self.start_up = workers.start_up | {"light": light_start_up()}
        log.info("start-up: %s", self.start_up)

    def task(self, stack: Mapping, count: int) -> dict[str, Any]:
        """Return what both kinds of measurement of a stack are told."""
        name = stack["dataset"]
        return {
            "stage": stack["stage"], "folder": self.datasets[name]["folder"], "runs": stack["runs"][:count],
            "settings": stack["settings"], "step1": self.step1.get(name, {}), "scaling": self.datasets[name]["scaling"],
        }  # fmt: skip

    def training(self, stack: Mapping) -> dict[str, float]:
        """Return seconds a step, fixed seconds and memory of training a stack."""
        return at_runs(self.measured["training", self.shape(stack)], len(stack["runs"]))

    def jobs(self) -> list[Job]:
        """List the jobs of the whole run."""
        found = []
        for name, one in self.datasets.items():
            folder = self.results / name
            evaluated: dict[str, list[str]] = {kind: [] for kind in one["kinds"]}
            for kind in one["references"]:
                seconds = one["folds"] * self.measured[self.evaluation(name, kind)]["seconds"]
                found.append(self.job(f"{name}/references/{kind}", folder / f"references/{kind}.parquet", seconds))
                evaluated[kind].append(found[-1].name)
            for stack in (stack for stack in self.stacks if stack["dataset"] == name):
                job, place = f"{name}/{stack['stage']}/{stack['id']}", folder / stack["stage"] / stack["id"]
                after = [f"{name}/step1/{start}" for start in stack["after"]] + [f"{name}/selection"] * stack["selects"]
                took = self.training(stack)
                seconds = took["fixed"] + took["seconds"] * self.steps(stack) * stack["settings"]["epochs"]
                gpus = int(self.device == "cuda")
                machine = {"kind": "training", "cores": self.threads, "gpus": gpus}
                found.append(self.job(job, place / "models.safetensors", seconds, after, **machine))
                for kind, (stages, _) in one["kinds"].items():
                    if stack["stage"] in stages:
                        took = self.measured[self.evaluation(name, kind, stack["stage"])]
                        seconds = took["fixed"] + took["seconds"] * len(stack["runs"])
                        output = place / f"{kind}.parquet"
                        found.append(self.job(f"{job}/{kind}", output, seconds, [job], kind="evaluation"))
                        evaluated[kind].append(found[-1].name)
            if "retrieval" in evaluated:
                step1 = [job for job in evaluated["retrieval"] if job.startswith(f"{name}/step1/")]
                found.append(self.job(f"{name}/selection", folder / "selection.json", 0, step1))
            for kind, jobs in evaluated.items():
                if jobs:
                    found.append(self.job(f"{name}/{kind} table", folder / f"{kind}.csv", 0, jobs))
                    found.append(self.job(f"{name}/{kind} figure", folder / f"{kind}.csv", 0, jobs))
        return found

    def job(
        self, name: str, output: Path, seconds: float, after: Sequence[str] = (), kind: str = "light", **more
    ) -> Job:
        """Make a job, with its start-up; it is done if its output is there."""
        seconds += self.start_up[kind] + SNAKEMAKE["seconds"]
        return Job(name, seconds, after, done=output.exists(), **more)

    def memory(self) -> dict[str, float]:
        """Return the peak of memory, if the largest jobs run at once, and that of the GPU: GB."""
        training = [self.training(stack) for stack in self.stacks]
        weights = max(self.bytes(stack) for stack in self.stacks) / 1e9
        evaluations = [took["gb"] for (what, *_), took in self.measured.items() if what != "training"]
        largest, other = max(took["gb"] for took in training), weights + max(evaluations)
        rest = self.cores - self.beside * self.threads
        return {
            "memory_gb": SNAKEMAKE["gb"] + max(self.beside * largest + rest * other, self.cores * other),
            "gpu_memory_gb": max(took["gpu_gb"] for took in training),
        }

    def bytes(self, stack: Mapping) -> int:
        """Return the bytes of a stack's weights."""
        step1 = self.step1.get(stack["dataset"], {})
        return stack_bytes(stack["stage"], stack["settings"], self.shapes[stack["dataset"]], stack["runs"], step1)

    def rows(self) -> list[dict[str, Any]]:
        """Return the prediction: a row a data set and stage, the rest of each data set, all, and what is left."""
        jobs, rows = self.jobs(), []

        def add(dataset: str, part: str, chosen: Sequence[Job], **more) -> None:
            hours = sum(job.seconds * min(job.cores, self.cores) for job in chosen) / 3600
            rows.append({"dataset": dataset, "part": part, "cpu_hours": hours, **more})

        for dataset, stage in dict.fromkeys((stack["dataset"], stack["stage"]) for stack in self.stacks):
            stacks = [stack for stack in self.stacks if (stack["dataset"], stack["stage"]) == (dataset, stage)]
            names = {f"{dataset}/{stage}/{stack['id']}" for stack in stacks}
            chosen, took = [job for job in jobs if job.name in names], [self.training(stack) for stack in stacks]
            runs, epochs = sum(len(stack["runs"]) for stack in stacks), stacks[0]["settings"]["epochs"]
            add(
                dataset, stage, chosen, stacks=len(stacks), finished=sum(job.done for job in chosen), runs=runs,
                epochs=epochs, steps=epochs * self.steps(stacks[0]),
                seconds_a_step=sum(one["seconds"] for one in took) / len(took),
                memory_gb=max(one["gb"] for one in took), gpu_memory_gb=max(one["gpu_gb"] for one in took),
                disk_gb=(sum(map(self.bytes, stacks)) + HISTORY_BYTES * runs * epochs * 3) / 1e9,
            )  # fmt: skip
        trained = sum(row["cpu_hours"] for row in rows)
        names = {f"{stack['dataset']}/{stack['stage']}/{stack['id']}" for stack in self.stacks}
        for name, one in self.datasets.items():
            data = sum(file.stat().st_size for file in Path(one["folder"]).iterdir())
            rest = [job for job in jobs if job.name.startswith(f"{name}/") and job.name not in names]
            add(name, "data and evaluation", rest, disk_gb=data / 1e9)
        disk = sum(row["disk_gb"] for row in rows)
        hours = makespan(jobs, self.cores) / 3600
        add("all", "all", jobs, stacks=len(names), hours=hours, disk_gb=disk, **self.memory())
        rows[-1]["training"] = trained / rows[-1]["cpu_hours"]
        left = [job._replace(seconds=0.0) if job.done else job for job in jobs]
        add("all", "left", left, hours=makespan(left, self.cores) / 3600)
        return rows


def _with_beta(run: Mapping[str, Any]) -> dict[str, Any]:
    """Give a run a beta to be timed with, of its own where it is not chosen yet."""
    if "beta" not in run:
        return dict(run)
    # The word itself: the config decides no time, and an edit of it must not cost a calibration.
    return run | {"beta_value": -1.0 if run["beta"] == "selected" else float(run["beta"])}


def sentence(name: str, cores: int, rows: Sequence[Mapping[str, Any]]) -> str:
    """Say the prediction in one line."""
    whole, left = rows[-2:]
    done = f"; {_time(left['hours'])} of it are left" if left["cpu_hours"] < whole["cpu_hours"] else ""
    gpu = f" (GPU: {whole['gpu_memory_gb']:.1f} GB)" if whole["gpu_memory_gb"] else ""
    return (
        f"{name}: about {_time(whole['hours'])} on {cores} core{'s' * (cores > 1)} "
        f"({whole['cpu_hours']:.2g} CPU hours), {whole['memory_gb']:.1f} GB of memory{gpu}, "
        f"{whole['disk_gb']:.2g} GB of disk; training {100 * whole['training']:.0f} %{done}"
    )


def predict(stacks, datasets, out: Path, *, terminal: TextIO, **machine: Any) -> None:
    """Calibrate, write the prediction as CSV, and show it; ``out`` lies in the results folder."""
    costs = Costs(stacks, datasets, out.parent, **machine)
    costs.calibrate()
    rows = costs.rows()
    with atomic(out) as part, open(part, "w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(
        f"\n{table(rows)}\n\n{sentence(out.parent.name, costs.cores, rows)}\nThe rows are in {out}.\n",
        file=terminal,
        flush=True,
    )


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lay out the columns that people look at first."""
    lines = [f"  {'data set':24}{'part':22}{'stacks':>7}{'runs':>6}{'steps':>8}{'s a step':>10}{'CPU time':>10}"]
    for row in rows[:-2]:
        step = f"{row['seconds_a_step']:.3f}" if "seconds_a_step" in row else ""
        lines.append(
            f"  {row['dataset']:24}{row['part']:22}{row.get('stacks', ''):>7}{row.get('runs', ''):>6}"
            f"{row.get('steps', ''):>8}{step:>10}{_time(row['cpu_hours']):>10}"
        )
    return "\n".join(lines)


def _time(hours: float) -> str:
    """Spell a time for people.

    >>> _time(0.004), _time(0.5), _time(3.14), _time(80)
    ('14 s', '30 min', '3.1 h', '3.3 days')
    """
    if hours >= 48:
        return f"{hours / 24:.1f} days"
    if hours >= 1.5:
        return f"{hours:.1f} h"
    return f"{60 * hours:.0f} min" if hours >= 1 / 30 else f"{3600 * hours:.0f} s"
