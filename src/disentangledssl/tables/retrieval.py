"""Retrieval on a screen (Table 2): every unit and metric, with errors from resampling molecules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from disentangledssl.evaluation import retrieval
from disentangledssl.files import read_json
from disentangledssl.tables.layout import labelled, method_id, read_rows, write_tables


def tabulate_retrieval(
    measurements: Sequence[Path],
    wanted: Sequence[str],
    selection: Path | None,
    table: Path,
    summary: Path,
    *,
    bootstrap: int,
) -> None:
    """Join the retrieval measurements of a screen: one row a method, beta, seed, unit and metric.

    Folds are pooled: each molecule is tested once, so a value is a mean over all tested molecules and its
    standard error comes from resampling molecules (never wells). ``beta = selected`` takes, fold by fold, the
    beta that validation chose. Every row carries what Random has in the same pools. The summary averages a
    molecule's values over seeds before it is resampled.
    """
    rows, info = read_rows(measurements, wanted)
    rows = rows[(rows["split"] == "test") | rows["split"].isna()]
    methods = _retrieval_methods(rows, selection)
    per_seed, over_seeds = [], []
    folds = rows["fold"].nunique()
    for (method, beta), chosen in methods.items():
        trained = chosen[chosen["status"].isin(["trained", "exact"])]
        complete = {
            seed: one for seed, one in trained.groupby(trained["seed"].fillna(-1)) if one["fold"].nunique() == folds
        }
        n_diverged = chosen["seed"].nunique(dropna=False) - len(complete)
        named = {"method": method, "beta": beta}
        for seed, one in complete.items():
            seeded = named | {"seed": None if seed < 0 else int(seed), "status": one["status"].iloc[0]}
            per_seed += [seeded | value for value in _scores(one, bootstrap)]
        # A seed of which any fold diverged has no value, but it has a line.
        lost = sorted(set(chosen["seed"].dropna()) - set(complete))
        per_seed += [named | {"seed": int(seed), "status": "diverged"} for seed in lost]
        if complete:
            mean = pd.concat(complete.values()).groupby(["fold", "group"], as_index=False).mean(numeric_only=True)
            over_seeds += [
                named | value | {"n": len(complete), "n_diverged": n_diverged, "std": _spread(per_seed, named, value)}
                for value in _scores(mean, bootstrap)
            ]
        else:
            over_seeds.append(named | {"n": 0, "n_diverged": n_diverged})
    write_tables(table, labelled(pd.DataFrame(per_seed), info), info)
    write_tables(summary, labelled(pd.DataFrame(over_seeds).rename(columns={"value": "mean"}), info), info)


def _retrieval_methods(rows: pd.DataFrame, selection: Path | None) -> dict[tuple[str, str | None], pd.DataFrame]:
    methods: dict[tuple[str, str | None], pd.DataFrame] = {}
    for name in ("clip", "step1"):
        stage = rows[rows["stage"] == name]
        if name == "clip" and len(stage):
            methods["clip", None] = stage
        for beta in sorted(stage["beta_value"].dropna().unique()):
            here = stage[stage["beta_value"] == beta]
            methods[method_id(name, None, beta), here["beta"].iloc[0]] = here
    if selection is not None:
        chosen = {int(fold): beta for fold, beta in read_json(selection)["beta"].items()}
        stage = rows[rows["stage"] == "step1"]
        methods["disentangledssl", "selected"] = stage[stage["beta_value"] == stage["fold"].map(chosen)]
    for name, one in rows[rows["stage"] == "reference"].groupby("run"):
        methods[name, None] = one
    # Random is computed from the pools of any complete method: here those of a closed form.
    source = rows[rows["stage"] == "reference"]
    source = source[source["run"] == source["run"].iloc[0]]
    methods["random", None] = source.assign(**_random(source))
    return methods


def _metrics(rows: pd.DataFrame) -> list[str]:
    known = ("mrr", "top_tenth", "rank", "percentile")
    return [name for name in rows.columns if name in known or (name.startswith("top") and name[3:].isdigit())]


def _random(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    top = [int(name[3:]) for name in _metrics(rows) if name[3:].isdigit()]
    columns = {name: rows[name].to_numpy() for name in retrieval.KEYS}
    exact = retrieval.random_rows(columns, top)
    return {name: exact[name] for name in _metrics(rows)}


def _scores(rows: pd.DataFrame, bootstrap: int) -> list[dict[str, Any]]:
    """Score one set of molecule rows (each molecule once): every unit and metric, with its standard error."""
    columns = {name: rows[name].to_numpy() for name in retrieval.KEYS}
    random = _random(rows)
    out = []
    for unit in retrieval.UNITS:
        weights = retrieval.unit_weights(columns, unit)
        metrics = _metrics(rows)
        values, chance = rows[metrics].to_numpy(float), np.stack([random[name] for name in metrics], axis=1)
        errors = retrieval.bootstrap_standard_errors(values - chance, weights, bootstrap)
        means = np.average(values, axis=0, weights=weights), np.average(chance, axis=0, weights=weights)
        for metric, value, exact, error in zip(metrics, *means, errors, strict=True):
            out.append(
                {
                    "unit": unit, "metric": metric, "value": value, "standard_error": error, "random": exact,
                    "errors_above_random": (value - exact) / error if error > 1e-12 else None,
                    "molecules": len(rows), "profiles": int(rows["profiles"].sum()),
                }
            )  # fmt: skip
    return out


def _spread(per_seed: list[dict[str, Any]], named: dict[str, Any], value: dict[str, Any]) -> float | None:
    same = named | {"unit": value["unit"], "metric": value["metric"]}
    values = [row["value"] for row in per_seed if all(row.get(key) == same[key] for key in same)]
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
