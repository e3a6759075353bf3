"""Which stacks a config asks for, and what each starts from (standard library and the config only)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from disentangledssl.codeversion import code_version
from disentangledssl.config import HEADS, SELECTED, STAGES, Config
from disentangledssl.errors import InputError
from disentangledssl.runs import Ledger, Run, Stack, expand, spell
from disentangledssl.settings import FactorclSettings, GruSettings, TrainingSettings

# Modules that a step of the workflow runs, for its ``code`` parameter.
CODE = {
    "simulate": ["sources.simulation"],
    "curate": ["sources.screens"],
    "curate_lincs": ["sources.lincs"],
    "curate_rxrx19a": ["sources.rxrx19a"],
    "convert": ["sources.conversion"],
    "own": ["sources.own"],
    "list_plates": ["sources.rxrx19a"],
    "measure_plate": ["sources.cellprofiler"],
    "mol2vec": ["mol2vec"],
    "published_mol2vec": ["sources.published_mol2vec"],
    "split": ["splits"],
    "split_screen": ["screen_splits"],
    "train": ["training"],
    "probe": ["probes", "representations"],
    "retrieval": ["rankings", "representations"],
    "reconstruction": ["reconstructions", "representations", "decoders"],
    "contents": ["contents", "representations"],
    "probe_references": ["reference_rows"],
    "retrieve_references": ["reference_rows"],
    "join_screens": ["transfer"],
    "selection": ["selection"],
    "representations": ["representations"],
    "hits": ["hits", "representations"],
    "maps": ["maps", "representations"],
    "probe_table": ["tables.probes"],
    "multibench_tables": ["tables.multibench"],
    "retrieval_table": ["tables.retrieval"],
    "transfer_table": ["tables.transfer"],
    "reconstruction_table": ["tables.reconstruction"],
    "contents_table": ["tables.contents"],
    "consistency": ["paper.consistency"],
    "comparison": ["paper.comparison"],
    "layout": ["paper.layout"],
    "claims": ["paper.claims"],
    "readings": ["readings"],
    "figure4a": ["figures.figure4a"],
    "figure4b": ["figures.figure4b"],
    "figure7": ["figures.figure7"],
    "figure8": ["figures.figure8"],
    "figure9": ["figures.figure9"],
    "information_plane": ["figures.information_plane"],
    "recovery": ["figures.recovery"],
    "beta_choice": ["figures.beta_choice"],
    "retrieval_curves": ["figures.retrieval_curves"],
    "embedding_maps": ["figures.embedding_maps"],
    "top_hits": ["figures.top_hits"],
    "report": ["report.page"],
    # Seconds are measured, so all code that is timed counts; methods are loaded by name, which no import shows.
    "cost": ["cost", *(f"methods.{stage}" for stage in STAGES)],
    "operations": ["operations", *(f"methods.{stage}" for stage in STAGES)],
}

INPUTS, STEPS = 1000, 50  # features of a view, time steps of a sequence, for estimates
PAIRS = 2048  # that a critic scores at a time, as in ``critics``, which imports PyTorch
# Runs of a stack where the config leaves it open. A seed's grid of a baseline in the simulation has 42; on a CPU a
# step of so many takes longer a run (benchmarks/speed.py).
STACK_SIZE, STACK_SIZE_ON_CPU = 42, 13
PRESETS = ("quick", "floors", "middle")  # smallest first; tiny is for tests


class Plan:
    """Stacks by data set and stage.

    Parameters
    ----------
    config : Config
    ledger : path
        ``stacks.json`` in the results folder; read here, written only by :meth:`save`.
    """

    def __init__(self, config: Config, ledger: str | os.PathLike[str]):
        self.config, self.ledger = config, Ledger(ledger)
        self.stacks: dict[tuple[str, str], list[Stack]] = {}
        for dataset in config.datasets:
            for stage in self.stages(dataset):
                fitting = config.stack_gb / run_gb(stage, config.training_of(dataset, stage))
                wanted = config.stack_size or (STACK_SIZE_ON_CPU if config.device == "cpu" else STACK_SIZE)
                self.stacks[dataset, stage] = self.ledger.plan(
                    f"{dataset}/{stage}", self.runs(dataset, stage), STAGES[stage].group,
                    max(1, int(min(wanted, fitting))),
                )  # fmt: skip

    def save(self) -> None:
        """Remember the stacks."""
        self.ledger.save()

    def stages(self, dataset: str) -> list[str]:
        """Stages that a data set is trained with, in the order they are trained."""
        grids = self.config.family(dataset).grids
        return [stage for stage in STAGES if stage in grids]

    def runs(self, dataset: str, stage: str) -> list[Run]:
        """Runs that the config asks for."""
        family = self.config.family(dataset)
        grid = {axis: family.grids[stage][axis] for axis in STAGES[stage].axes}
        runs, used = expand(grid, self.config.folds(dataset), family.seeds), self.config.used_folds(dataset)
        return [run for run in runs if (run.fold or 0) < used]

    def stack(self, dataset: str, stage: str, stack: str) -> Stack:
        """Return one stack by its id, be its runs still asked for or not.

        Raises
        ------
        InputError
            If the stage has no stack of this id.
        """
        for one in self.ledger.all_stacks(f"{dataset}/{stage}"):
            if one.id == stack:
                return one
        mend = "ask for a table, which names its stacks itself, or for one listed in the ledger"
        raise InputError(dataset, "", f"{stage} has no stack {stack}", mend)

    def records(self, dataset: str, stage: str, stack: str) -> list[dict[str, Any]]:
        """Members of a stack in the form that training takes."""
        family = self.config.family(dataset)
        records = []
        for run in self.stack(dataset, stage, stack).runs:
            record = {"id": run.id, **dict(run.hyperparameters), "fold": run.fold or 0, "seed": run.seed}
            if stage == "step2":
                own = family.step2_starts_from == "own_seed"
                record["start_seed"] = run.seed if own else family.seeds[0]
            records.append(record)
        return records

    def starts(self, dataset: str, stack: str) -> list[str]:
        """Ids of the step-1 stacks that the members of a step-2 stack start from.

        Also of members, and of betas to select from, that the config no longer asks for: the inputs of a finished
        stack do not change when a value is taken out of a grid.
        """
        found, several = [], self.config.folds(dataset) > 1
        for record in self.records(dataset, "step2", stack):
            fold = record["fold"] if several else None
            for one in self.ledger.all_stacks(f"{dataset}/step1"):
                betas = [run.get("beta") for run in one.runs if (run.fold, run.seed) == (fold, record["start_seed"])]
                if betas and record["beta"] in (SELECTED, *betas):
                    found.append(one.id)
        return list(dict.fromkeys(found))

    def uses_selection(self, dataset: str, stack: str) -> bool:
        """Whether a step-2 stack needs to know which beta was selected."""
        return any(record["beta"] == SELECTED for record in self.records(dataset, "step2", stack))

    def trainings(self) -> list[dict[str, Any]]:
        """List what every stack is trained with."""
        return [
            {
                "dataset": dataset, "stage": stage, "id": stack.id, "runs": self.records(dataset, stage, stack.id),
                "settings": self.config.training_of(dataset, stage).model_dump(),
                "after": self.starts(dataset, stack.id) if stage == "step2" else [],
                "selects": stage == "step2" and self.uses_selection(dataset, stack.id),
            }
            for (dataset, stage), stacks in self.stacks.items()
            for stack in stacks
        ]  # fmt: skip

    def shown(self, dataset: str) -> Run:
        """Return the run of step 2 that pictures show: of the selected beta, if any, the first fold and seed."""
        seeds = self.config.family(dataset).seeds

        def order(run: Run) -> tuple[Any, ...]:
            beta = run.get("beta")
            return beta != SELECTED, run.fold or 0, seeds.index(run.seed), beta, run.get("lam")

        return min(self.runs(dataset, "step2"), key=order)

    def asked(self) -> list[dict[str, Any]]:
        """List what the config asks for, a row a data set and stage: its grid in words, folds, seeds, runs, epochs."""
        rows = []
        for dataset, stage in self.stacks:
            family, runs = self.config.family(dataset), self.runs(dataset, stage)
            # Numbers by size, then words, so that a grid in another order is the same.
            grid = {
                axis: sorted(family.grids[stage][axis], key=lambda one: (isinstance(one, str), one))
                for axis in STAGES[stage].axes
            }
            folds, used = self.config.folds(dataset), self.config.used_folds(dataset)
            rows.append(
                {
                    "data set": dataset, "stage": stage,
                    "grid": "; ".join(f"{axis} {', '.join(map(spell, values))}" for axis, values in grid.items()),
                    "folds": f"{used} of {folds}", "seeds": ", ".join(map(str, sorted(family.seeds))),
                    "runs": len(runs), "epochs": self.config.training_of(dataset, stage).epochs,
                }
            )  # fmt: skip
        return rows

    def wanted(self, dataset: str, stage: str) -> list[str]:
        """Ids of the runs that the config asks for (a stack may hold others)."""
        return [run.id for run in self.runs(dataset, stage)]


def run_gb(stage: str, settings: TrainingSettings) -> float:
    """Estimate the memory that one run takes in a stack, in GB; measured peaks lie below it.

    Weights, gradients, Adam's two moments and what the allocator holds beside them, for two views of a thousand
    features (what the data have is not known before they are made); activations of two versions, with gradients.
    """
    kind, (weights, outputs, width) = STAGES[stage], _encoder_numbers(settings)
    numbers = kind.trained * (8 * weights + 4 * outputs) + kind.frozen * (weights + outputs)
    if isinstance(settings, FactorclSettings):
        weights, outputs = _critic_numbers(settings, width)
        numbers += 8 * weights + 4 * outputs
    return 4e-9 * numbers


def _encoder_numbers(settings: TrainingSettings) -> tuple[int, int, int]:
    """Count the weights of an encoder and what its layers put out for a mini-batch; return also its output's width."""
    rows, sequences = 2 * settings.batch_size, settings.sequences
    if sequences is None:
        hidden, width = settings.hidden, settings.dimensions
        weights = hidden * (INPUTS + max(settings.layers - 2, 0) * hidden + width)
        return weights, rows * (hidden * (settings.layers - 1) + width), width
    if isinstance(sequences, GruSettings):
        state = sequences.hidden
        return 3 * INPUTS * state, 4 * rows * STEPS * state, STEPS * sequences.per_step
    width, inner = sequences.width, sequences.feedforward
    weights = sequences.layers * (4 * width**2 + 2 * width * inner) + INPUTS * width
    step = sequences.layers * (4 * width + inner // 2 + sequences.heads * STEPS)
    return weights, rows * STEPS * step, width


def _critic_numbers(settings: FactorclSettings, width: int) -> tuple[int, int]:
    """Count the same of the ten heads and six critics of FactorCL, whose encoders' output is ``width`` wide.

    A critic sees two codes, or two of each view; of its two hidden layers there is one block of pairs at a time.
    """
    hidden, rows, heads, critics = settings.critic_hidden, 2 * settings.batch_size, 2 * HEADS, 6
    code = settings.dimensions if settings.head_width == "kept" else settings.dimensions // HEADS
    weights = heads * width * (width + code) + critics * hidden * (4 * code + hidden)
    block = 2 * max(PAIRS, settings.batch_size) * hidden
    return weights, rows * (heads * (width + code) + critics * hidden) + block


def code(step: str, *more: str) -> str:
    """Version of the code of a workflow step."""
    return code_version(*CODE[step], *more)


def presets_with(dataset: str) -> list[str]:
    """Names of the config files of this repository that run a data set, smallest first.

    Preset files are overlays: one without ``datasets`` runs those of ``config.yaml``.
    """
    full = yaml.safe_load(Path("config.yaml").read_text())["datasets"]
    files = [Path("config", f"{name}.yaml") for name in PRESETS]
    found = [str(file) for file in files if dataset in (yaml.safe_load(file.read_text()) or {}).get("datasets", full)]
    return found + (["config.yaml"] if dataset in full else [])
