"""Operations and bytes of training, known without training: of any stack, and of all of Tables 1 and 4.

A real step of a stack is made with tensors that have shapes and no numbers. Counted are the floating-point operations
of matrix products, forward and backward, where they are needed: an addition and a multiplication each. Everything else
a step does costs time and counts nothing; evaluation is not in it.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import torch

from disentangledssl.atomic import atomic
from disentangledssl.batches import Batch, EpochSize
from disentangledssl.methods import STRUCTURE, BaseMethod, Layout, Shape, load_method
from disentangledssl.settings import STAGE_SETTINGS
from disentangledssl.streams import Stream
from disentangledssl.training import make_step

HISTORY_BYTES = 10  # a row of a loss curve, compressed
COLUMNS = ("dataset", "part", "stacks", "runs", "epochs", "steps", "flop", "memory_gb", "disk_gb")


class Size(NamedTuple):
    """A data set as its publishers have it: shapes of the views, training pairs, and all pairs."""

    shapes: tuple[Shape, Shape]
    training: int
    pairs: int


# By set of MultiBench: static features and hourly measurements, or vision and text, clips without text included.
SIZES = {
    "mimic": Size(((5,), (24, 12)), 26_093, 32_616),
    "mosei": Size(((50, 35), (50, 300)), 16_265, 22_777),
    "mosi": Size(((50, 20), (50, 300)), 1_284, 2_199),
    "ur_funny": Size(((40, 371), (40, 300)), 8_074, 10_166),
    "mustard": Size(((50, 371), (50, 300)), 414, 690),
}


def start_runs(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """List the step-1 runs that step-2 runs start from, one for each seed whose mini-batches it sees."""
    keys = [(run["beta_value"], run["fold"], run["start_seed"], run["seed"]) for run in runs if "start_seed" in run]
    return [{"beta_value": beta, "fold": fold, "seed": seed} for beta, fold, seed, _ in dict.fromkeys(keys)]


def stack_model(
    stage: str, settings: Mapping, shapes: tuple[Shape, Shape], step1: Mapping, *, runs: int, starts: int
) -> BaseMethod:
    """Build the model of a stack whose runs are of one stream; step 2 starts from so many models of ``step1``."""
    none, shape = [0] * runs, {name: step1[name] for name in STRUCTURE} if starts else {}
    axes = dict.fromkeys(("beta", "a", "lam"), none)
    layout = Layout(axes, [Stream("", 0, 0)], none, [""] * starts, shape, none, [0] * starts)
    return load_method(stage)(shapes, STAGE_SETTINGS[stage].model_validate(settings), layout)


def stack_bytes(
    stage: str, settings: Mapping, shapes: tuple[Shape, Shape], step1: Mapping, *, runs: int, starts: int
) -> int:
    """Return the bytes of a stack's weights, which are never allocated."""
    with torch.device("meta"):
        model = stack_model(stage, settings, shapes, step1, runs=runs, starts=starts)
    return sum(tensor.nbytes for tensor in model.state_dict().values())


def step_flops(
    stage: str, settings: Mapping, shapes: tuple[Shape, Shape], step1: Mapping, *, runs: int, starts: int, batch: int
) -> int:
    """Return the operations of one training step of a stack, with mini-batches of ``batch`` pairs.

    They are in proportion to the runs and, of step 2, to the distinct frozen models, whose codes runs share.
    """
    alone = _counted(stage, settings, shapes, step1, runs=1, starts=min(starts, 1), batch=batch)
    if not starts:
        return runs * alone
    another = _counted(stage, settings, shapes, step1, runs=2, starts=1, batch=batch) - alone
    return runs * another + starts * (alone - another)


def _counted(stage, settings: Mapping, shapes, step1: Mapping, **numbers: int) -> int:
    """Count once for each shape of a stack: neither epochs nor learning rate are part of it."""
    settings, step1 = (
        json.dumps({name: value for name, value in one.items() if name not in ("epochs", "learning_rate")})
        for one in (settings, step1)
    )
    return _count(stage, settings, tuple(map(tuple, shapes)), step1, **numbers)


@functools.cache
def _count(stage: str, settings: str, shapes: tuple[Shape, Shape], step1: str, runs: int, starts: int, batch: int):
    # Imported here, as a training job, whose start-up the calibration times, does without.
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        whole = {"epochs": 1, "learning_rate": 1.0, **json.loads(settings)}
        model = stack_model(stage, whole, shapes, json.loads(step1), runs=runs, starts=starts)
        # Of a time step the last number says whether it is valid.
        views = tuple(torch.ones(1, batch, *shape[:-1], shape[-1] + (len(shape) == 2)) for shape in shapes)
        noise = tuple(torch.ones(1, batch, model.settings.dimensions) for _ in model.noise)
        groups = model.parameter_groups()
        # An optimiser multiplies no matrices, so any will do.
        optimisers = {name: torch.optim.SGD(one, lr=0.0, foreach=False) for name, one in groups.items()}
        make_step(model, groups, optimisers, Batch(views, views if model.second_version else None, noise))
    return counter.get_total_flops()


def multibench_rows(stacks: Sequence[Mapping[str, Any]], sets: Mapping[str, str]) -> list[dict[str, Any]]:
    """Say what training takes on MultiBench's own data, there or not: a row a data set and stage, its data, and all.

    Parameters
    ----------
    stacks : sequence of mapping
        What ``Plan.trainings`` gives, with ``gb``, the memory that the runs take by the plan's estimate.
    sets : mapping of data set to set
        Keys of ``SIZES``.

    Returns
    -------
    list of mapping
        By ``COLUMNS``: ``flop`` and ``disk_gb`` (weights and loss curves) are of all stacks, ``memory_gb`` is of the
        largest one; of the data it is both views in float32.
    """
    rows = []
    for name, kind in sets.items():
        size = SIZES[kind]
        own = [stack for stack in stacks if stack["dataset"] == name]
        step1 = next((stack["settings"] for stack in own if stack["stage"] == "step1"), {})
        for stage in dict.fromkeys(stack["stage"] for stack in own):
            some = [stack for stack in own if stack["stage"] == stage]
            settings = some[0]["settings"]
            batch, steps = EpochSize.of_pairs(size.training, settings["batch_size"])
            steps *= settings["epochs"]
            counts = [{"runs": len(stack["runs"]), "starts": len(start_runs(stack["runs"]))} for stack in some]
            of_stage = stage, settings, size.shapes, step1
            weights = sum(stack_bytes(*of_stage, **count) for count in counts)
            runs = sum(count["runs"] for count in counts)
            rows.append({
                "dataset": name, "part": stage, "stacks": len(some), "runs": runs, "epochs": settings["epochs"],
                "steps": steps, "flop": steps * sum(step_flops(*of_stage, **count, batch=batch) for count in counts),
                "memory_gb": max(stack["gb"] for stack in some),
                "disk_gb": (weights + HISTORY_BYTES * runs * settings["epochs"] * 3) / 1e9,
            })  # fmt: skip
        numbers = sum(torch.Size(shape).numel() for shape in size.shapes)
        rows.append({"dataset": name, "part": "data", "memory_gb": 4e-9 * size.pairs * numbers})
    total = {name: sum(row.get(name, 0) for row in rows) for name in ("stacks", "runs", "flop", "disk_gb")}
    return [*rows, {"dataset": "all", "part": "all", **total}]


def count_operations(stacks: Sequence[Mapping[str, Any]], sets: Mapping[str, str], out: Path, terminal: TextIO) -> None:
    """Write :func:`multibench_rows` as CSV, and show them."""
    rows = multibench_rows([stack | {"runs": [*map(with_beta, stack["runs"])]} for stack in stacks], sets)
    with atomic(out) as part, open(part, "w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    head = f"  {'data set':16}{'part':10}{'runs':>6}{'steps':>9}{'TFLOP':>10}{'GB of memory':>15}{'GB of disk':>13}"
    print("\n".join(["", head, *map(_line, rows), f"The rows are in {out}."]), file=terminal, flush=True)


def _line(row: Mapping[str, Any]) -> str:
    cells = [f"  {row['dataset']:16}{row['part']:10}"]
    for name, width, spelling, scale in (
        ("runs", 6, "d", 1), ("steps", 9, ",d", 1), ("flop", 10, ",.0f", 1e-12), ("memory_gb", 15, ".2f", 1),
        ("disk_gb", 13, ".3f", 1),
    ):  # fmt: skip
        cells.append(f"{format(row[name] * scale, spelling) if name in row else '':>{width}}")
    return "".join(cells)


def with_beta(run: Mapping[str, Any]) -> dict[str, Any]:
    """Give a run a beta to be timed and counted with, of its own where it is not chosen yet."""
    if "beta" not in run:
        return dict(run)
    # The word itself: the config decides no time, and an edit of it must not cost a calibration.
    return run | {"beta_value": -1.0 if run["beta"] == "selected" else float(run["beta"])}
