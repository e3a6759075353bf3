"""Seconds and memory of single jobs, measured on this machine: a few real steps, one run's evaluation.

Each measurement runs in processes of its own, as many side by side as a run will have training jobs, so that what
they take from each other is in the figures. Needs Linux (``/proc``) for the peak of memory.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from disentangledssl.batches import Feed
from disentangledssl.dataset import read_dataset
from disentangledssl.operations import start_runs
from disentangledssl.settings import STAGE_SETTINGS, ScalingSettings
from disentangledssl.training import TRAINED, assemble, save_stack, train

WARM_UP, FEWEST, MOST = 3, 4, 32  # steps: not counted; at least; served at a time
EPOCHS = 20  # served for timing at the most, where an epoch has few steps


def now(device: str = "cpu") -> float:
    """Return seconds: those of this process alone where it has one thread, so that others' work matters little."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif torch.get_num_threads() == 1:
        return time.process_time()
    return time.perf_counter()


class Clock:
    """Stands in for the feed of ``train``: serves a few steps to warm up, then some for about ``seconds``.

    ``steps`` and ``spent`` are those that are timed: the clock runs from epoch to epoch, all that ends one included.
    """

    def __init__(self, feed: Feed, seconds: float):
        self.feed, self.device, self.seconds = feed, feed.device, seconds
        self.steps = self.longest = min(feed.steps, MOST)  # ``train`` asks for ``steps`` of an epoch
        self.served, self.spent, self.started = 0, 0.0, None

    def now(self) -> float:
        """Return the seconds of :func:`now` on the feed's device."""
        return now(self.device.type)

    def stop(self) -> None:
        """Stop the clock, if it runs, and add what it shows to ``spent``."""
        if self.started is not None:
            self.spent += self.now() - self.started
        self.started = None

    def epoch(self, epoch: int):
        """Serve mini-batches: in epoch 0 to warm up, then timed, and none once half of ``seconds`` is spent."""
        self.stop()
        if epoch == 0:
            self.feed.steps = min(WARM_UP, self.longest)
            for step, batch in enumerate(self.feed.epoch(0)):
                if step < 2:  # the first step of all is slower than the others
                    started = self.now()
                yield batch
            self.step = (self.now() - started) / max(self.feed.steps - 1, 1)
        elif self.spent < self.seconds / 2:
            fitting = int((self.seconds - self.spent) / self.step)
            self.feed.steps = min(max(fitting, FEWEST), self.longest)
            self.served += self.feed.steps
            self.started = self.now()
            yield from self.feed.epoch(epoch)


def time_training(
    stage: str, folder: str, runs: list[dict], settings: dict, step1: dict, scaling: list[dict], device: str,
    threads: int, seconds: float,
) -> dict[str, float]:  # fmt: skip
    """Train a stack for a few steps: seconds a step, seconds of all the rest, and the peak of memory.

    Raises
    ------
    RuntimeError
        If a run diverges in these steps.
    """
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as temporary:
        starts = _untrained("step1", folder, start_runs(runs), step1, scaling, [], Path(temporary, "starts"))
        begun = _reset_peak(device)
        kind, scaling = STAGE_SETTINGS[stage], tuple(map(ScalingSettings.model_validate, scaling))
        dataset = read_dataset(folder)
        model, feed, _ = assemble(
            stage, dataset, runs, settings=kind.model_validate(settings), scaling=scaling, device=torch.device(device),
            starts=starts, folder=Path(folder),
        )  # fmt: skip
        loaded, clock = now(device), Clock(feed, seconds)
        # How many epochs fill the time is not known before; the last ones serve nothing.
        record = train(model, clock, kind.model_validate(settings | {"epochs": EPOCHS}))
        clock.stop()
        if record.note():
            raise RuntimeError(f"{stage}: what was timed diverged{record.note()}")
        trained = now(device)
        save_stack(Path(temporary, "models"), model, dataset, scaling, [])
        fixed = loaded - begun + now(device) - trained
    return {"seconds": clock.spent / clock.served, "fixed": fixed, **_peak(device)}


def time_evaluation(
    kind: str, stage: str, folder: str, runs: list[dict], settings: dict, step1: dict, scaling: list[dict],
    options: dict,
) -> dict[str, float]:  # fmt: skip
    """Evaluate one run (its weights matter little to the time): seconds of it and of loading, the peak of memory."""
    from disentangledssl import contents, probes, rankings, reconstructions

    measure, named = (
        {
            "contents": contents.measure_contents,
            "probes": probes.probe_models,
            "retrieval": rankings.measure_retrieval,
            "reconstruction": reconstructions.measure_reconstruction,
        }.get(kind),
        {"stage": stage},
    )
    if measure is None:
        # Of the one run that pictures show; imported here, as what they need would be in the memory of all others.
        from disentangledssl import hits, maps

        measure = {"embedding_maps": maps.map_representations, "top_hits": hits.rank_shown_hits}[kind]
        named = {"run": runs[0]["id"]}
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        starts = _untrained("step1", folder, start_runs(runs), step1, scaling, [], Path(temporary, "starts"))
        (models,) = _untrained(stage, folder, runs, settings, scaling, starts, Path(temporary, "models"))
        begun = _reset_peak()
        read_dataset(folder)
        read = now()
        measure(models, Path(folder), Path(temporary, "out"), **named, **options)
        took = now() - read
    return {"seconds": took - (read - begun), "fixed": read - begun, **_peak("cpu")}


def time_references(kind: str, folder: str, options: dict) -> dict[str, float]:
    """Measure the reference rows on one fold."""
    from disentangledssl import contents, reference_rows

    measure = {
        "contents": contents.measure_reference_contents,
        "probes": reference_rows.probe_references,
        "retrieval": reference_rows.retrieve_references,
    }[kind]
    with tempfile.TemporaryDirectory() as temporary:
        begun = _reset_peak()
        measure(Path(folder), Path(temporary, "out"), folds=1, **options)
    return {"seconds": now() - begun, "fixed": 0.0, **_peak("cpu")}


def _untrained(stage, folder, runs, settings, scaling, starts, path: Path) -> list[Path]:
    """Write the models of a stack that was never trained, if it has runs."""
    if not runs:
        return []
    scaling = tuple(map(ScalingSettings.model_validate, scaling))
    dataset = read_dataset(folder)
    model, _, _ = assemble(
        stage, dataset, runs, settings=STAGE_SETTINGS[stage].model_validate(settings), scaling=scaling, starts=starts,
        device=torch.device("cpu"), folder=Path(folder),
    )  # fmt: skip
    known = [{"id": str(k), "status": TRAINED} | run for k, run in enumerate(runs)]
    save_stack(path, model, dataset, scaling, known)
    return [path]


def _reset_peak(device: str = "cpu") -> float:
    """Forget the peak of memory so far, and return the time."""
    Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    return now(device)


def _peak(device: str) -> dict[str, float]:
    kilobytes = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]
    return {
        "gb": int(kilobytes) * 1024 / 1e9,
        "gpu_gb": torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0,
    }


def work() -> None:
    """Answer tasks, a line of JSON each, with measurements."""
    torch.set_num_threads(1)
    print(now(), flush=True)  # ready, as a training job
    from disentangledssl import probes  # noqa: F401

    print(now(), flush=True)  # as an evaluation
    for line in sys.stdin:
        task = json.loads(line)
        print(json.dumps(globals()[task.pop("function")](**task)), flush=True)


class Workers:
    """Processes that do the same task side by side.

    Attributes
    ----------
    start_up : mapping of str to float
        Seconds until they were ready for ``training`` and for ``evaluation``.
    """

    def __init__(self, count: int):
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "disentangledssl.calibration"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"},
            )
            for _ in range(count)
        ]  # fmt: skip
        self.start_up = {}
        for kind in ("training", "evaluation"):
            self.start_up[kind] = max(self._answers())

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_) -> None:
        for process in self.processes:
            process.stdin.close()
            process.terminate()
            process.wait()

    def measure(self, function, **task) -> dict[str, float]:
        """Let all do the task at once: the mean of their seconds, the peak of their memory."""
        for process in self.processes:
            process.stdin.write(json.dumps({"function": function.__name__, **task}) + "\n")
            process.stdin.flush()
        answers = self._answers()
        return {
            name: max(one[name] for one in answers)
            if "gb" in name
            else sum(one[name] for one in answers) / len(answers)
            for name in answers[0]
        }

    def _answers(self) -> list[Any]:
        lines = [process.stdout.readline() for process in self.processes]
        if not all(lines):
            raise RuntimeError("a process of the calibration ended; the log says why")
        return [json.loads(line) for line in lines]


def light_start_up() -> float:
    """Return the seconds until a job without PyTorch begins its work."""
    program = "import time, disentangledssl.tables.layout; print(time.process_time())"
    answer = subprocess.run(
        [sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    return float(answer.stdout)


if __name__ == "__main__":
    work()
