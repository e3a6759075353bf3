"""Choosing beta on validation, per fold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from disentangledssl.errors import InputError
from disentangledssl.evaluation.retrieval import random_metrics
from disentangledssl.files import read_table, table_info, write_json


def select_beta(measurements: Sequence[Path], out: Path, *, betas: Sequence[float], seeds: Sequence[int]) -> None:
    """Choose, for each fold, the beta with the best validation MRR per molecule, mean over seeds.

    Diverged runs are left out; of equal scores the smaller beta is taken. The file holds the whole grid, with what
    Random has among the same molecules. Test rows are not read. Source: choice; the paper (App. H.3) tunes beta without
    saying how.

    Raises
    ------
    InputError
        If every run of a fold diverged.
    """
    columns = ["beta_value", "seed", "fold", "split", "status", "mrr", "pool"]
    tables = [read_table(path) for path in measurements]
    info = table_info(tables[0])["dataset"]
    tables = [table.select(columns).to_pydict() for table in tables]
    rows = {name: np.concatenate([np.asarray(one[name]) for one in tables]) for name in columns}
    # A stack may also hold runs that are no longer in the grid.
    wanted = np.isin(rows["beta_value"].astype(float), betas) & np.isin(rows["seed"], seeds)
    rows = {name: values[wanted] for name, values in rows.items()}
    choice, grid = {}, []
    for fold in np.unique(rows["fold"]):
        scores, held_out = {}, (rows["fold"] == fold) & (rows["split"] == "validation")
        pools = rows["pool"][held_out].astype(int)
        random = float(np.mean([random_metrics(pool)["mrr"] for pool in pools])) if len(pools) else None
        for beta in sorted(float(beta) for beta in betas):
            here = held_out & (rows["beta_value"] == beta)
            by_seed = [
                float(np.mean(rows["mrr"][here & (rows["seed"] == seed)].astype(float)))
                for seed in seeds
                if (here & (rows["seed"] == seed)).any()
            ]
            if by_seed:
                scores[beta] = float(np.mean(by_seed))
            grid.append(
                {"fold": int(fold), "beta": beta, "validation_mrr": scores.get(beta), "random": random,
                 "n_seeds": len(by_seed), "n_diverged": len(seeds) - len(by_seed)}
            )  # fmt: skip
        if not scores:
            raise InputError(
                Path(measurements[0]).parent.parent, f"fold {fold}", "every run of step 1 diverged, nothing to select",
                "lower the learning rate or beta",
            )  # fmt: skip
        choice[str(fold)] = max(scores, key=lambda beta: (scores[beta], -beta))
    named = {name: info[name] for name in ("name", "title", "stand_in")}
    criterion = "validation MRR per molecule, mean over seeds"
    write_json(out, {"dataset": named, "criterion": criterion, "beta": choice, "grid": grid})
