"""What a preset takes, known before it is paid: hours, memory and disk, from a short calibration.

Steps, shapes, operations and sizes are exact: they follow from the plan of stacks and from the data sets
(``operations``). Seconds are measured (``calibration``), once for each distinct shape of a stack, and the jobs put on
the cores as Snakemake would.

Source: choice. Not predicted, a percent or less each: making the data sets (it is done before this), checkpoints,
resampling for the tables of retrieval; nor what is made only when asked for (one run's hits or representations).
"""

from __future__ import annotations

import csv
import heapq
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

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
from disentangledssl.operations import HISTORY_BYTES, stack_bytes, step_flops, with_beta
from disentangledssl.settings import STAGE_SETTINGS
from disentangledssl.training import epoch_size

log = logging.getLogger(__name__)

SECONDS = 3.0  # of steps that are timed, about, for each shape
MOST_RUNS = 12  # of a stack that is timed on a CPU; for more, its time is scaled
SNAKEMAKE = {"seconds": 0.7, "gb": 0.2}  # its share of every job, and its own memory; measured
COLUMNS = (
    "dataset", "part", "stacks", "finished", "runs", "epochs", "steps", "flop", "seconds_a_step", "cpu_hours",
    "hours", "memory_gb", "gpu_memory_gb", "disk_gb",
)  # fmt: skip


class Job(NamedTuple):
    """A job of the workflow: how long, on how many cores, after which others."""

    name: str
    seconds: float
    after: Sequence[str] = ()
    cores: int = 1
    gpus: int = 0
    done: bool = False
    row: tuple[str, str] = ("", "")  # data set and part that it is counted under


def makespan(jobs: Sequence[Job], cores: int) -> float:
    """Return the seconds until all jobs are done, if each starts as soon as it may and fits, earlier ones first.

    There is one GPU for those that need it.

    >>> makespan([Job("a", 3), Job("b", 1), Job("c", 1, after=["b"])], cores=2)
    3.0

    Raises
    ------
    ValueError
        If jobs are left that can never start: what they wait for is not there, or waits for them.
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
        ``reconstruction``), each with its stages and options, ``references``: kinds with options, and ``shown``: the
        run of step 2 that pictures show, if any, and their kinds. Where the models of another data set are evaluated
        (transfer), ``trained_on`` names it, and the name is that of a folder of results below the data set's.
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
        self.stacks = [stack | {"runs": [with_beta(run) for run in stack["runs"]]} for stack in stacks]
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

    def evaluated(self, name: str) -> list[Mapping]:
        """Return the stacks that are evaluated on a data set: its own, or those of the one it is ranked by."""
        return [stack for stack in self.stacks if stack["dataset"] == self.datasets[name].get("trained_on", name)]

    def shown(self, name: str) -> Mapping:
        """Return the stack of the run that pictures show, with this run alone."""
        (stack, run) = next(
            (stack, run)
            for stack in self.evaluated(name)
            for run in stack["runs"]
            if (stack["stage"], run["id"]) == ("step2", self.datasets[name]["shown"]["run"])
        )
        return stack | {"runs": [run]}

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
            for name, one in self.datasets.items():
                asked = [
                    (kind, stack, options)
                    for stack in self.evaluated(name)
                    for kind, (stages, options) in one["kinds"].items()
                    if stack["stage"] in stages
                ] + [(kind, self.shown(name), {}) for kind in one.get("shown", {}).get("kinds", ())]
                for kind, stack, options in asked:
                    key = self.evaluation(name, kind, stack["stage"])
                    if key not in self.measured:
                        task = self.task(stack, 1) | {"kind": kind, "folder": one["folder"], "options": options}
                        took = self.measured[key] = workers.measure(time_evaluation, **task)
                        log.info("%s %s, %s of a run: %s", name, stack["stage"], kind, took)
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
        return [job for name in self.datasets for job in (*self.trainings(name), *self.evaluations(name))]

    def trainings(self, name: str) -> list[Job]:
        """List the jobs that train the stacks of a data set."""
        found = []
        for stack in (stack for stack in self.stacks if stack["dataset"] == name):
            after = [f"{name}/step1/{start}" for start in stack["after"]] + [f"{name}/selection"] * stack["selects"]
            took = self.training(stack)
            seconds = took["fixed"] + took["seconds"] * self.steps(stack) * stack["settings"]["epochs"]
            output = self.results / name / stack["stage"] / stack["id"] / "models.safetensors"
            machine = {"kind": "training", "cores": self.threads, "gpus": int(self.device == "cuda")}
            found.append(self.job(_named(stack), output, seconds, after, row=(name, stack["stage"]), **machine))
        return found

    def evaluations(self, name: str) -> list[Job]:
        """List all other jobs of a data set: measurements, reference rows, tables and figures."""
        one, folder, found = self.datasets[name], self.results / name, []
        evaluated: dict[str, list[str]] = {kind: [] for kind in one["kinds"]}

        def add(what: str, output: Path, seconds: float = 0, after: Sequence[str] = (), kind: str = "light") -> str:
            found.append(self.job(f"{name}/{what}", output, seconds, after, kind, row=_row(name)))
            return found[-1].name

        for kind in one["references"]:
            seconds = one["folds"] * self.measured[self.evaluation(name, kind)]["seconds"]
            evaluated[kind].append(add(f"references/{kind}", folder / f"references/{kind}.parquet", seconds))
        for stack in self.evaluated(name):
            for kind, (stages, _) in one["kinds"].items():
                if stack["stage"] in stages:
                    took = self.measured[self.evaluation(name, kind, stack["stage"])]
                    seconds = took["fixed"] + took["seconds"] * len(stack["runs"])
                    what = f"{stack['stage']}/{stack['id']}/{kind}"
                    evaluated[kind].append(
                        add(what, folder / f"{what}.parquet", seconds, [_named(stack)], "evaluation")
                    )
        if "trained_on" in one:
            add("table", folder.with_suffix(".csv"), after=[job for jobs in evaluated.values() for job in jobs])
            return found
        if "retrieval" in evaluated:
            step1 = [job for job in evaluated["retrieval"] if job.startswith(f"{name}/step1/")]
            add("selection", folder / "selection.json", after=step1)
        for kind, jobs in evaluated.items():
            if jobs:
                add(f"{kind} table", folder / f"{kind}.csv", after=jobs)
                add(f"{kind} figure", folder / f"{kind}.csv", after=jobs)
        for kind in one.get("shown", {}).get("kinds", ()):
            took = self.measured[self.evaluation(name, kind, "step2")]
            stack = _named(self.shown(name))
            shown = add(kind, folder / f"{kind}.parquet", took["fixed"] + took["seconds"], [stack], "evaluation")
            add(f"{kind} figure", folder / f"{kind}.png", after=[shown])
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

    def described(self, stack: Mapping) -> dict[str, Any]:
        """Return what bytes and operations of a stack depend on."""
        name, runs = stack["dataset"], stack["runs"]
        return {
            "stage": stack["stage"], "settings": stack["settings"], "shapes": self.shapes[name],
            "step1": self.step1.get(name, {}), "runs": len(runs), "starts": len(start_runs(runs)),
        }  # fmt: skip

    def bytes(self, stack: Mapping) -> int:
        """Return the bytes of a stack's weights."""
        return stack_bytes(**self.described(stack))

    def step_flops(self, stack: Mapping) -> int:
        """Return the operations of a step of a stack."""
        batch = self.epochs[stack["dataset"], stack["stage"]].batch
        return step_flops(**self.described(stack), batch=batch)

    def rows(self) -> list[dict[str, Any]]:
        """Return the prediction: a row a data set and stage, the rest of each data set, all, and what is left."""
        jobs, rows = self.jobs(), []

        def add(dataset: str, part: str, chosen: Sequence[Job], **more) -> None:
            hours = sum(job.seconds * min(job.cores, self.cores) for job in chosen) / 3600
            rows.append({"dataset": dataset, "part": part, "cpu_hours": hours, **more})

        counted = {row: [job for job in jobs if job.row == row] for row in dict.fromkeys(job.row for job in jobs)}
        stages = dict.fromkeys((stack["dataset"], stack["stage"]) for stack in self.stacks)
        for dataset, stage in stages:
            stacks = [stack for stack in self.stacks if (stack["dataset"], stack["stage"]) == (dataset, stage)]
            chosen, took = counted[dataset, stage], [self.training(stack) for stack in stacks]
            runs, epochs = sum(len(stack["runs"]) for stack in stacks), stacks[0]["settings"]["epochs"]
            steps = epochs * self.steps(stacks[0])
            add(
                dataset, stage, chosen, stacks=len(stacks), finished=sum(job.done for job in chosen), runs=runs,
                epochs=epochs, steps=steps, flop=steps * sum(map(self.step_flops, stacks)),
                seconds_a_step=sum(one["seconds"] for one in took) / len(took),
                memory_gb=max(one["gb"] for one in took), gpu_memory_gb=max(one["gpu_gb"] for one in took),
                disk_gb=(sum(map(self.bytes, stacks)) + HISTORY_BYTES * runs * epochs * 3) / 1e9,
            )  # fmt: skip
        trained = sum(row["cpu_hours"] for row in rows)
        for name, one in self.datasets.items():
            data = sum(file.stat().st_size for file in Path(one["folder"]).iterdir())
            add(*_row(name), counted.get(_row(name), []), disk_gb=data / 1e9)
        disk = sum(row["disk_gb"] for row in rows)
        hours = makespan(jobs, self.cores) / 3600
        add("all", "all", jobs, stacks=len(self.stacks), hours=hours, disk_gb=disk, **self.memory())
        rows[-1]["training"] = trained / rows[-1]["cpu_hours"]
        left = [job._replace(seconds=0.0) if job.done else job for job in jobs]
        add("all", "left", left, hours=makespan(left, self.cores) / 3600)
        return rows


def _named(stack: Mapping) -> str:
    return f"{stack['dataset']}/{stack['stage']}/{stack['id']}"


def _row(name: str) -> tuple[str, str]:
    """Row that all but training is counted under; transfer, below a data set, has one of its own."""
    dataset, _, part = name.partition("/")
    return dataset, part or "data and evaluation"


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
    head = (
        f"  {'data set':24}{'part':22}{'stacks':>7}{'runs':>6}{'steps':>8}{'TFLOP':>9}{'s a step':>10}{'CPU time':>10}"
    )
    lines = [head]
    for row in rows[:-2]:
        step = f"{row['seconds_a_step']:.3f}" if "seconds_a_step" in row else ""
        flop = f"{row['flop'] / 1e12:,.1f}" if "flop" in row else ""
        lines.append(
            f"  {row['dataset']:24}{row['part']:22}{row.get('stacks', ''):>7}{row.get('runs', ''):>6}"
            f"{row.get('steps', ''):>8}{flop:>9}{step:>10}{_time(row['cpu_hours']):>10}"
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
