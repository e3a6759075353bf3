"""The one training loop, for all methods: trains a stack of runs, resumes, writes the models."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import torch

from disentangledssl.batches import (
    Augmentation,
    Augmenting,
    Batch,
    EpochSize,
    Feed,
    FoldData,
    Mixup,
    SequenceAugmentation,
)
from disentangledssl.checkpoints import fingerprint, load_checkpoint, load_models, save_checkpoint, save_models
from disentangledssl.dataset import PairedDataset, read_dataset
from disentangledssl.errors import InputError
from disentangledssl.files import read_json, write_table
from disentangledssl.methods import STRUCTURE, BaseMethod, Layout, Shape, load_method
from disentangledssl.optimiser import Adam
from disentangledssl.progress import Progress
from disentangledssl.scaling import scale_fold
from disentangledssl.settings import STAGE_SETTINGS, ScalingSettings, TrainingSettings
from disentangledssl.streams import Stream
from disentangledssl.timings import phase

log = logging.getLogger(__name__)

DATASET_FILES = ("view1.parquet", "view2.parquet", "pairs.parquet", "splits.parquet")
HISTORY = pa.schema({"run": pa.string(), "epoch": pa.int64(), "term": pa.string(), "value": pa.float64()})
TRAINED, DIVERGED, DIVERGED_INPUT = "trained", "diverged", "diverged_input"


def train_stack(
    method: str,
    dataset_folder: Path,
    runs: Sequence[Mapping[str, Any]],
    *,
    settings: Mapping[str, Any],
    scaling: Sequence[Mapping[str, Any]],
    models: Path,
    history: Path,
    starts: Sequence[Path] = (),
    selection: Path | None = None,
    code: str = "",
    device: str = "cpu",
    checkpoint_seconds: float = 30,
    terminal: TextIO | None = None,
) -> None:
    """Train a stack of runs of one data set and stage, and write its models and loss curves.

    Parameters
    ----------
    method : str
        Stage: the name of a module in ``disentangledssl.methods``.
    dataset_folder : path
        A data set in the form of ``disentangledssl.dataset``.
    runs : sequence of mapping
        ``id``, ``seed``, ``fold`` and one entry a hyperparameter; in step 2 ``start_seed``, the seed of the
        step-1 run to start from.
    settings, scaling : mapping, pair of mappings
        See ``settings.STAGE_SETTINGS`` and ``ScalingSettings``.
    models, history : path
        Outputs: weights (safetensors) and one row a run, epoch and term (Parquet).
    starts : sequence of path
        Models of the earlier stage (step 2).
    selection : path, optional
        The file that says which beta ``beta=selected`` stands for, per fold.
    code : str
        Version of the code: a checkpoint of other code is not resumed.
    device : str
    checkpoint_seconds : float
        A checkpoint is written at the first end of an epoch after so many seconds.
    terminal : text stream, optional
        Where the progress line goes.

    Raises
    ------
    InputError
        If data, starts or checkpoint are damaged, or all starts of a run are missing.
    """
    device = torch.device(device)
    settings = STAGE_SETTINGS[method].model_validate(settings)
    scaling = tuple(ScalingSettings.model_validate(one) for one in scaling)
    with phase("loading"):
        dataset = read_dataset(dataset_folder)
        runs = [_resolve(run, selection) for run in runs]
    model, feed, start_status = assemble(
        method, dataset, runs, settings=settings, scaling=scaling, starts=starts, device=device, folder=dataset_folder
    )
    log.info(
        "%s: %d runs, %d epochs of %d mini-batches of %d pairs, on %s with %d threads",
        method, len(runs), settings.epochs, feed.steps, feed.batch, device, torch.get_num_threads(),
    )  # fmt: skip
    if settings.precision == "bfloat16" and device.type == "cpu" and _emulates_bfloat16():
        log.warning("this processor has no instructions for bfloat16: float32 is many times faster")
    identity = fingerprint(
        {"method": method, "runs": runs, "settings": settings.model_dump(), "code": code,
         # A GPU's random numbers are its own, and the last bits depend on the threads.
         "device": device.type, "threads": torch.get_num_threads(),
         "scaling": [one.model_dump() for one in scaling]},
        [*(dataset_folder / name for name in DATASET_FILES), *starts],
    )  # fmt: skip
    checkpoint = models.with_name("checkpoint.pt")
    record = train(
        model, feed, settings, checkpoint=checkpoint, identity=identity, checkpoint_seconds=checkpoint_seconds,
        progress_name=f"{dataset_folder.parent.name} {method}", terminal=terminal,
    )  # fmt: skip
    with phase("writing"):
        names = [run["id"] for run in runs]
        status = record.status(names, start_status)
        write_table(history, record.history(names), {"dataset": dataset.info})
        save_stack(models, model, dataset, scaling, [run | one for run, one in zip(runs, status, strict=True)])
        checkpoint.unlink(missing_ok=True)


def _emulates_bfloat16() -> bool:
    """Whether the processor has no instructions for it, as far as PyTorch can tell (older ones cannot)."""
    known = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known) and not any(there for name, there in known.items() if "bf16" in name)


def assemble(
    method: str,
    dataset: PairedDataset,
    runs: Sequence[Mapping[str, Any]],
    *,
    settings: TrainingSettings,
    scaling: tuple[ScalingSettings, ScalingSettings],
    starts: Sequence[Path],
    device: torch.device,
    folder: Path,
) -> tuple[BaseMethod, Feed, list[str]]:
    """Build what a stack is trained with, on the device: its model, its feed and the status of each run's start.

    Runs with a beta hold its number as ``beta_value``; ``folder`` is named in errors.
    """
    with phase("loading"):
        folds = {k: _fold_data(dataset, k, scaling, device) for k in sorted({run["fold"] for run in runs})}
        size = epoch_size(dataset, folder, settings)
        layout, start_tensors, start_status = _lay_out(dataset, runs, starts)
    _check_sequences(load_method(method), dataset.shapes, settings, folder)
    model = load_method(method)(dataset.shapes, settings, layout)
    model.load_state_dict(start_tensors, strict=False)
    model.initialise()
    model.to(device)
    feed = Feed(
        folds,
        layout.streams,
        size=size,
        augmentation=tuple(augmentation_of(shape, settings, size.batch) for shape in dataset.shapes),
        second_version=model.second_version,
        first_clean=model.first_clean,
        noise=model.noise,
        dimensions=settings.dimensions,
        kappa=getattr(settings, "kappa", None),
        distinct_groups=settings.mini_batches == "distinct_groups",
    )
    return model, feed, start_status


def augmentation_of(shape: Shape, settings: TrainingSettings, batch: int) -> Augmenting:
    """Return how a view of some shape is augmented in mini-batches of so many pairs."""
    flat = settings.augmentation
    if len(shape) == 2:
        return SequenceAugmentation(**settings.sequences.augmentation.model_dump())
    if flat.kind == "mixup":
        return Mixup(flat.noise_std, batch)
    return Augmentation(flat.noise_std, flat.drop_fraction, flat.dimensions)


def _check_sequences(
    method: type[BaseMethod], shapes: tuple[Shape, Shape], settings: TrainingSettings, folder: Path
) -> None:
    name, sequences = method.__module__.rpartition(".")[2], settings.sequences
    for number, shape in enumerate(shapes, 1):
        if len(shape) == 1:
            continue
        problem = mend = ""
        if sequences is None:
            problem, mend = "training.sequences is null", "say there what encodes them (config/README.md)"
        elif not method.takes_sequences:
            problem, mend = f"{name} reconstructs views without time steps only", f"set grids.{name} to null"
        else:
            width = sequences.outputs(shape[0])
            if not method.last_layer and width != settings.dimensions:
                problem = f"{name} takes what the {sequences.network} puts out, {width} numbers, as its code"
                mend = f"set training.dimensions, now {settings.dimensions}, to {width}"
        if problem:
            raise InputError(folder / f"view{number}.parquet", "", f"holds sequences, but {problem}", mend)


def save_stack(
    models: Path,
    model: BaseMethod,
    dataset: PairedDataset,
    scaling: Sequence[ScalingSettings],
    runs: Sequence[Mapping[str, Any]],
) -> None:
    """Write a stack's weights with all that is needed to use them; ``runs`` tell the status of each."""
    info = {
        "method": type(model).__module__.rpartition(".")[2], "dataset": dataset.info.get("name"),
        "shapes": model.shapes, "settings": model.settings.model_dump(),
        "scaling": [one.model_dump() for one in scaling], "layout": model.layout.__dict__, "runs": list(runs),
    }  # fmt: skip
    save_models(models, model.state_dict(), info)


def train(
    model: BaseMethod,
    feed: Feed,
    settings: TrainingSettings,
    *,
    checkpoint: Path | None = None,
    identity: str = "",
    checkpoint_seconds: float = 30,
    progress_name: str = "",
    terminal: TextIO | None = None,
) -> Record:
    """Train a method on a feed, in place; resume from the checkpoint if it is of the same identity.

    Notes
    -----
    Source: App. H.1 and the authors' code: Adam without weight decay, cosine to 0 stepped once an epoch. A method may
    do without the cosine, and end its training before the epochs run out.
    """
    device = feed.device
    groups = model.parameter_groups()
    optimisers = {name: Adam(parameters, settings.learning_rate) for name, parameters in groups.items()}
    record, first = Record(len(model.layout.stream_of_run), feed.steps, device), 0
    state = load_checkpoint(checkpoint, identity, device) if checkpoint else None
    if state:
        first = state["epoch"]
        model.load_state_dict(state["model"])
        for name, optimiser in optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        record.load(state["record"])
        log.info("resumed after epoch %d from %s", first, checkpoint)
    progress = Progress(progress_name, settings.epochs * feed.steps, first * feed.steps, terminal)
    saved = time.monotonic()
    with phase("training"):
        for epoch in range(first, settings.epochs):
            fall = (1 + math.cos(math.pi * epoch / settings.epochs)) / 2 if model.annealed else 1
            for optimiser in optimisers.values():
                optimiser.rate = settings.learning_rate * fall
            model.begin_epoch(epoch)
            for batch in feed.epoch(epoch):
                losses, terms = make_step(model, groups, optimisers, batch)
                record.step({f"loss_{name}": loss for name, loss in losses.items()} | terms)
                if progress.due():
                    progress.show(record.steps_in_epoch, record.mean_loss(), record.note())
            record.end_epoch([p for parameters in groups.values() for p in parameters])
            progress.end_epoch(feed.steps, record.mean_loss(), record.note())
            if model.end_epoch(epoch, feed):
                break
            if checkpoint and epoch + 1 < settings.epochs and time.monotonic() - saved >= checkpoint_seconds:
                save_checkpoint(
                    checkpoint,
                    {
                        "fingerprint": identity, "epoch": epoch + 1, "model": model.state_dict(),
                        "optimisers": {name: optimiser.state_dict() for name, optimiser in optimisers.items()},
                        "record": record.state(),
                    },
                )  # fmt: skip
                saved = time.monotonic()
    progress.close()
    return record


def make_step(
    model: BaseMethod, groups: Mapping[str, list[torch.nn.Parameter]], optimisers: Mapping[str, Adam], batch: Batch
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Make one training step, in which each loss moves its own group of parameters.

    Returns
    -------
    losses, terms : mapping of name to tensor, ``(runs,)``
        Before the step, see ``BaseMethod.losses``.
    """
    losses, terms = model.losses(batch)
    for name, loss in losses.items():
        optimisers[name].zero_grad()
        # The sum couples nothing: each run's loss reaches only that run's slice.
        loss.sum().backward(inputs=groups[name] if len(groups) > 1 else None)
    for optimiser in optimisers.values():
        optimiser.step()
    return losses, terms


class Record:
    """Loss curves and divergence of every run, kept on the device without a copy to the host in a step.

    A run whose loss or any term turns NaN or infinite is frozen: its weights are void (NaN) from the end of
    that epoch on, and its mates never see it.

    Parameters
    ----------
    runs : int
    steps : int
        Steps an epoch.
    device : torch.device
    """

    def __init__(self, runs: int, steps: int, device: torch.device):
        self.names: list[str] = []
        self.steps, self.steps_in_epoch = steps, 0
        self.values: torch.Tensor | None = None  # of this epoch, (steps, terms, runs)
        self.curves: list[torch.Tensor] = []  # epoch means, (terms, runs) each
        self.diverged_step = torch.full((runs,), -1, dtype=torch.int64)
        self.diverged_term = torch.full((runs,), -1, dtype=torch.int64)
        self.device = device

    def step(self, terms: Mapping[str, torch.Tensor]) -> None:
        """Add one step's terms, ``(runs,)`` each; losses first, the terms they are made of after them."""
        if self.values is None:
            self.names = list(terms)
            self.values = torch.zeros(self.steps, len(terms), len(self.diverged_step), device=self.device)
        torch.stack([value.detach() for value in terms.values()], out=self.values[self.steps_in_epoch])
        self.steps_in_epoch += 1

    def end_epoch(self, parameters: Sequence[torch.Tensor]) -> None:
        """Close the epoch's means, and void the weights of runs that diverged."""
        values = self.values.cpu().double()
        self.steps_in_epoch = 0
        wrong = ~torch.isfinite(values)
        first = wrong.any(1).to(torch.int8).argmax(0)  # the first step at which a run has any wrong term
        for run in (wrong.any(1).any(0) & (self.diverged_step < 0)).nonzero()[:, 0].tolist():
            self.diverged_step[run] = len(self.curves) * self.steps + first[run]
            # The last listed term is the innermost: a loss is wrong because one of its terms is.
            self.diverged_term[run] = wrong[first[run], :, run].nonzero().max()
        self.curves.append(values.mean(0))
        # A finite loss can have a gradient that is not: seen here, and in the next step's loss if there is one.
        for parameter in parameters:
            spoiled = ~torch.isfinite(parameter.detach()).flatten(1).all(1).cpu() & (self.diverged_step < 0)
            self.diverged_step[spoiled], self.diverged_term[spoiled] = len(self.curves) * self.steps - 1, 0
        dead = self.diverged_step >= 0
        if dead.any():
            with torch.no_grad():
                for parameter in parameters:
                    parameter[dead.to(parameter.device)] = float("nan")

    def mean_loss(self) -> float:
        """Mean loss of the epoch so far, or of the last one, over the runs still alive."""
        means = self.values[: self.steps_in_epoch].mean(0).cpu() if self.steps_in_epoch else self.curves[-1]
        alive = self.diverged_step < 0
        return means[0][alive].mean().item() if alive.any() else float("nan")

    def note(self) -> str:
        """Say how many runs diverged, if any."""
        dead = int((self.diverged_step >= 0).sum())
        return f", {dead} of {len(self.diverged_step)} runs diverged" if dead else ""

    def status(self, runs: Sequence[str], start_status: Sequence[str]) -> list[dict[str, Any]]:
        """Return status, and step and term of divergence, of each run."""
        out = []
        steps, terms = self.diverged_step.tolist(), self.diverged_term.tolist()
        for run, step, term, start in zip(runs, steps, terms, start_status, strict=True):
            if start != TRAINED:
                out.append({"status": DIVERGED_INPUT})
            elif step >= 0:
                out.append({"status": DIVERGED, "diverged_step": step, "diverged_term": self.names[term]})
                log.warning("%s diverged at step %d: %s is not finite; frozen from there", run, step, self.names[term])
            else:
                out.append({"status": TRAINED})
        return out

    def history(self, runs: Sequence[str]) -> pa.Table:
        """Return the loss curves: run, epoch (from 1), term, value (mean over the epoch's steps)."""
        rows = [
            {"run": run, "epoch": epoch, "term": name, "value": float(values[term, index])}
            for index, run in enumerate(runs)
            for epoch, values in enumerate(self.curves, 1)
            for term, name in enumerate(self.names)
        ]
        return pa.Table.from_pylist(rows, HISTORY)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {
            "names": self.names, "curves": torch.stack(self.curves),
            "diverged_step": self.diverged_step, "diverged_term": self.diverged_term,
        }  # fmt: skip

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what a checkpoint holds."""
        self.names, self.curves = list(state["names"]), list(state["curves"].cpu())
        self.diverged_step, self.diverged_term = state["diverged_step"].cpu(), state["diverged_term"].cpu()


def smallest_fold(dataset: PairedDataset, folder: Path) -> int:
    """Return how many training pairs the smallest fold has.

    Raises
    ------
    InputError
        If they are fewer than two.
    """
    pairs = [int((fold == "train").sum()) for fold in dataset.folds]
    if min(pairs) < 2:
        raise InputError(
            folder / "splits.parquet",
            f"column fold_{pairs.index(min(pairs))}",
            f"has {min(pairs)} training pairs",
            "contrastive training needs at least 2",
        )
    return min(pairs)


def epoch_size(dataset: PairedDataset, folder: Path, settings: TrainingSettings) -> EpochSize:
    """Return the mini-batches of an epoch, which are those of the fold that can serve the fewest.

    Raises
    ------
    InputError
        If a fold has fewer than two training pairs, or, where these are kept apart, groups.
    """
    smallest = smallest_fold(dataset, folder)
    if settings.mini_batches == "pairs":
        return EpochSize.of_pairs(smallest, settings.batch_size)
    groups = [dataset.groups[dataset.pairs_in(fold, "train")] for fold in range(len(dataset.folds))]
    sizes = [np.unique(one, return_counts=True)[1] for one in groups]
    fewest = min(range(len(sizes)), key=lambda fold: len(sizes[fold]))
    if len(sizes[fewest]) < 2:
        raise InputError(
            folder / "splits.parquet",
            f"column fold_{fewest}",
            "has training pairs of one group only",
            "mini-batches of distinct groups need at least 2",
        )
    return EpochSize.of_distinct_groups(sizes, settings.batch_size)


def _fold_data(
    dataset: PairedDataset, fold: int, scaling: tuple[ScalingSettings, ScalingSettings], device: torch.device
) -> FoldData:
    views = tuple(torch.from_numpy(view).to(device) for view in scale_fold(dataset, fold, scaling))
    training = dataset.pairs_in(fold, "train")
    rows = tuple(torch.from_numpy(row[training].astype("int64")).to(device) for row in dataset.rows)
    groups = np.unique(dataset.groups[training], return_inverse=True)[1]
    return FoldData(views, rows, torch.from_numpy(groups).to(device))


def _resolve(run: Mapping[str, Any], selection: Path | None) -> dict[str, Any]:
    """Replace ``beta=selected`` by the beta that was selected on validation for the run's fold."""
    run = dict(run)
    if run.get("beta") == "selected":
        run["beta_value"] = read_json(selection)["beta"][str(run["fold"])]
    elif "beta" in run:
        run["beta_value"] = float(run["beta"])
    return run


def _lay_out(
    dataset: PairedDataset, runs: Sequence[Mapping[str, Any]], starts: Sequence[Path]
) -> tuple[Layout, dict[str, torch.Tensor], list[str]]:
    """Find the shared streams and starts of the runs, and gather the weights of the starts."""
    name = dataset.info.get("streams", dataset.info.get("name", ""))
    stream_of = [Stream(name, run["fold"], run["seed"]) for run in runs]
    streams = list(dict.fromkeys(stream_of))
    hyperparameters = {
        axis: [float(run[source]) for run in runs]
        for axis, source in (("beta", "beta_value"), ("a", "a"), ("lam", "lam"))
        if all(source in run for run in runs)
    }
    layout = {
        "hyperparameters": hyperparameters,
        "streams": streams,
        "stream_of_run": [streams.index(stream) for stream in stream_of],
    }
    if not starts:
        return Layout(**layout), {}, [TRAINED] * len(runs)
    wanted = [(float(run["beta_value"]), run["fold"], run["start_seed"]) for run in runs]
    # Two runs share a frozen start only if they also see the same mini-batches.
    keys = list(zip(wanted, layout["stream_of_run"], strict=True))
    distinct = list(dict.fromkeys(keys))
    found: dict[tuple, tuple[dict[str, Any], dict[str, torch.Tensor]]] = {}
    shape: dict[str, Any] = {}

    def key(start: Mapping[str, Any]) -> tuple:
        return start["beta_value"], start["fold"], start["seed"]

    for path in starts:
        needed = set(wanted) - set(found)
        weights, info = load_models(path, lambda info: [k for k, one in enumerate(info["runs"]) if key(one) in needed])  # noqa: B023 (called at once)
        chosen = [start for start in info["runs"] if key(start) in needed]
        for index, start in enumerate(chosen):
            found[key(start)] = (start, {name: tensor[index] for name, tensor in weights.items()})
        shape = {name: info["settings"][name] for name in STRUCTURE}
    for run, start in zip(runs, wanted, strict=True):
        if start not in found:
            raise InputError(
                starts[0].parent.parent,
                run["id"],
                "step 1 has no run with beta {}, fold {}, seed {}".format(*start),
                "add that beta to grids.step1",
            )
    tensors = {name: torch.stack([found[start][1][name] for start, _ in distinct]) for name in found[distinct[0][0]][1]}
    layout |= {
        "starts": [found[start][0]["id"] for start, _ in distinct],
        "start_shape": shape,
        "start_of_run": [distinct.index(key) for key in keys],
        "stream_of_start": [stream for _, stream in distinct],
    }
    return Layout(**layout), tensors, [found[start][0]["status"] for start in wanted]
