"""Runs, grids, stacks and the ledger (standard library only: this is imported whenever the Snakefile is parsed).

A run is one set of hyperparameters, fold and seed of one data set and stage. Its id is text, in the order of the
grid's keys: ``beta=0.1,lam=0.01,seed=0``. A stack is some runs of one data set and stage that one job trains
together. The ledger remembers which stack each run was first put in, so that a value added to a grid makes new
stacks of new runs and leaves the old ones alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from disentangledssl.atomic import atomic
from disentangledssl.errors import InputError

LEDGER_VERSION = 1


class Run(NamedTuple):
    """One training: hyperparameters of the grid, fold (None where there is but one) and seed."""

    hyperparameters: tuple[tuple[str, Any], ...]
    fold: int | None
    seed: int

    @property
    def id(self) -> str:
        """The run's name in paths and tables."""
        axes = [*self.hyperparameters]
        if self.fold is not None:
            axes.append(("fold", self.fold))
        axes.append(("seed", self.seed))
        return ",".join(f"{name}={spell(value)}" for name, value in axes)

    def get(self, name: str) -> Any:
        """Value of one hyperparameter."""
        return dict(self.hyperparameters)[name]


class Stack(NamedTuple):
    """Runs that one job trains, under a short id."""

    id: str
    runs: tuple[Run, ...]


def spell(value: Any) -> str:
    """Write a value in its shortest exact form, so that 1 and 1.0 name the same run.

    >>> spell(1.0), spell(0.001), spell(1e-07), spell("selected")
    ('1', '0.001', '1e-07', 'selected')
    """
    value = _plain(value)
    return repr(value) if isinstance(value, (int, float)) else str(value)


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e16 else value


def expand(grid: Mapping[str, Sequence[Any]], folds: int, seeds: Sequence[int]) -> list[Run]:
    """List every run of a grid, seeds slowest, then folds, then the grid's keys in their order.

    >>> [run.id for run in expand({"beta": [0, 1.0]}, folds=1, seeds=[0])]
    ['beta=0,seed=0', 'beta=1,seed=0']
    """
    names = list(grid)
    return [
        Run(tuple(zip(names, map(_plain, values), strict=True)), fold if folds > 1 else None, seed)
        for seed in seeds
        for fold in range(folds)
        for values in itertools.product(*grid.values())
    ]


def pack(runs: Sequence[Run], group: Sequence[str], stack_size: int) -> list[tuple[Run, ...]]:
    """Pack runs into stacks of at most ``stack_size``, keeping whole groups together where they fit.

    ``group`` names the hyperparameters that, with seed and fold, decide what runs can share (step 2: beta, so
    that one frozen shared representation serves all lam).
    """
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault((run.seed, run.fold, *(run.get(name) for name in group)), []).append(run)
    stacks: list[list[Run]] = []
    for members in groups.values():
        if stacks and len(stacks[-1]) + len(members) <= stack_size:
            stacks[-1].extend(members)
        else:
            stacks += [members[at : at + stack_size] for at in range(0, len(members), stack_size)]
    return [tuple(stack) for stack in stacks]


def stack_id(runs: Iterable[Run]) -> str:
    """Short hash of the members' ids.

    >>> stack_id([Run((("beta", 0),), None, 0)])
    '369446b9e6'
    """
    return hashlib.blake2b("\n".join(run.id for run in runs).encode(), digest_size=5).hexdigest()


class Ledger:
    """Which stack each run belongs to, as a JSON file in the results folder.

    Reading it and planning with it write nothing; :meth:`save` is called once Snakemake really starts.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.stacks = self._read()

    def plan(self, key: str, runs: Sequence[Run], group: Sequence[str], stack_size: int) -> list[Stack]:
        """Give the stacks that hold these runs, in the order of the runs.

        Runs without a stack get new ones. A stack may hold runs that are no longer asked for.
        """
        known = self.stacks.setdefault(key, {})
        home = {run: stack for stack, members in known.items() for run in members}
        for members in pack([run for run in runs if run.id not in home], group, stack_size):
            name = stack_id(members)
            known[name] = {run.id: _record(run) for run in members}
            home |= {run.id: name for run in members}
        wanted = dict.fromkeys(home[run.id] for run in runs)
        stacks = {stack.id: stack for stack in self.all_stacks(key)}
        return [stacks[name] for name in wanted]

    def all_stacks(self, key: str) -> list[Stack]:
        """Every stack under a key, also those that hold none of the runs asked for."""
        return [
            Stack(name, tuple(_run(record) for record in members.values()))
            for name, members in self.stacks.get(key, {}).items()
        ]

    def save(self) -> None:
        """Merge what was planned into the file, atomically and under a lock; nothing there is overwritten."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.with_name(f".{self.path.name}.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            merged = self._read()
            for key, stacks in self.stacks.items():
                for name, members in stacks.items():
                    merged.setdefault(key, {}).setdefault(name, members)
            text = json.dumps({"version": LEDGER_VERSION, "stacks": merged}, indent=1) + "\n"
            if not self.path.exists() or self.path.read_text() != text:
                with atomic(self.path) as part:
                    part.write_text(text)

    def _read(self) -> dict[str, dict[str, dict[str, Any]]]:
        if not self.path.exists():
            return {}
        mend = "restore it from a copy, or delete it: finished stacks of an unchanged grid are found again"
        try:
            content = json.loads(self.path.read_text())
            if content["version"] != LEDGER_VERSION:
                raise InputError(self.path, "version", f"is {content['version']}, not {LEDGER_VERSION}", mend)
            for stacks in content["stacks"].values():
                for members in stacks.values():
                    for record in members.values():
                        _run(record)
            return content["stacks"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(self.path, "", f"the ledger of stacks is damaged ({error!r})", mend) from None


def _record(run: Run) -> dict[str, Any]:
    return {"hyperparameters": dict(run.hyperparameters), "fold": run.fold, "seed": run.seed}


def _run(record: Mapping[str, Any]) -> Run:
    return Run(tuple(record["hyperparameters"].items()), record["fold"], record["seed"])
