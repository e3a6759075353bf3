"""From measurements to the tables a person reads: tidy long rows, and their mean, std and n over seeds.

Columns start with ``dataset, title, stand_in, method`` so that no number can be read without knowing what it
was measured on. Parquet and CSV hold the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from disentangledssl.evaluation import retrieval
from disentangledssl.files import atomic, read_json, read_table, table_info, write_table

BETA0 = "disentangledssl_beta0"
STAGE_ORDER = ("clip", "step1", "step2", "jointopt", "focal", "dmvae", "reference")
LABELS = {
    "clip": "CLIP",
    BETA0: "DisentangledSSL (beta = 0)",
    "disentangledssl": "DisentangledSSL",
    "jointopt": "JointOpt",
    "focal": "FOCAL",
    "dmvae": "DMVAE",
    "gaussian_bottleneck": "Gaussian bottleneck",
    "linear_cca": "Linear CCA",
    "ridge": "Ridge regression",
    "oracle": "True latents",
    "raw": "Raw input",
    "chance": "Chance",
    "random": "Random",
}


def tabulate_probes(measurements: Sequence[Path], wanted: Sequence[str], table: Path, summary: Path) -> None:
    """Join the probe measurements of a data set into one table, and aggregate over seeds.

    Parameters
    ----------
    measurements : sequence of path
    wanted : sequence of str
        ``stage/run`` of the runs in the config; stacks may hold others.
    table, summary : path
        Without ending; both are written as Parquet and CSV.
    """
    rows, info = _read(measurements, wanted)
    rows.insert(
        0, "method", [_method(*one) for one in zip(rows["stage"], rows["run"], rows["beta_value"], strict=True)]
    )
    rows = _labelled(rows, info).drop(columns=["run"])
    _write(table, rows, info)
    _write(
        summary, _labelled(_aggregate(rows.drop(columns=["dataset", "title", "stand_in", "method_label"])), info), info
    )


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
    rows, info = _read(measurements, wanted)
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
    _write(table, _labelled(pd.DataFrame(per_seed), info), info)
    _write(summary, _labelled(pd.DataFrame(over_seeds).rename(columns={"value": "mean"}), info), info)


def _method(stage: str, run: str | None, beta: float | None) -> str:
    """Id of the method that a row belongs to; steps 1 and 2 with beta = 0 are a method of their own."""
    if stage == "reference":
        return run
    if stage in ("step1", "step2"):
        return BETA0 if beta == 0 else "disentangledssl"
    return stage


def _retrieval_methods(rows: pd.DataFrame, selection: Path | None) -> dict[tuple[str, str | None], pd.DataFrame]:
    methods: dict[tuple[str, str | None], pd.DataFrame] = {}
    for name in ("clip", "step1"):
        stage = rows[rows["stage"] == name]
        if name == "clip" and len(stage):
            methods["clip", None] = stage
        for beta in sorted(stage["beta_value"].dropna().unique()):
            here = stage[stage["beta_value"] == beta]
            methods[_method(name, None, beta), here["beta"].iloc[0]] = here
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


def _aggregate(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean, std and n over seeds and folds; hyperparameters of which every run diverged keep a line."""
    run = ["method", "stage", "beta", "beta_value", "a", "lam"]
    keys = [*run, "representation", "width", "label", "metric"]
    measured = rows["value"].notna()
    grouped = rows[measured].groupby(keys, dropna=False, sort=False)["value"]
    means = grouped.agg(mean="mean", std=lambda values: values.std(ddof=1), n="count").reset_index()
    diverged = rows[~measured].groupby(run, dropna=False, sort=False).size().rename("n_diverged").reset_index()
    both = means.merge(diverged, on=run, how="outer", sort=False).fillna({"n": 0, "n_diverged": 0})
    # An outer merge re-orders; runs go back to where the config has them.
    order = rows[run].drop_duplicates().reset_index(drop=True).reset_index(names="order")
    both = both.merge(order, on=run, how="left").sort_values("order", kind="stable", ignore_index=True)
    return both.drop(columns="order").astype({"n": "int64", "n_diverged": "int64"})


def _read(measurements: Sequence[Path], wanted: Sequence[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    tables = [read_table(path) for path in measurements]
    info = table_info(tables[0])["dataset"]
    rows = pa.concat_tables(table.replace_schema_metadata(None) for table in tables).to_pandas()
    asked = (rows["stage"] + "/" + rows["run"]).isin(set(wanted)) | (rows["stage"] == "reference")
    rows = rows[asked]
    # By stage and hyperparameters, whatever stacks the runs happen to be in and however the grid is ordered.
    stages = {name: place for place, name in enumerate(STAGE_ORDER)}
    keys = pd.DataFrame(
        {
            "stage": rows["stage"].map(stages),
            "selected": rows["beta"] == "selected",
            **{name: rows[name] for name in ("beta_value", "a", "lam", "fold", "seed")},
        }
    )
    order = keys.sort_values(list(keys.columns), kind="stable", na_position="first").index
    return rows.loc[order].reset_index(drop=True), info


def _labelled(rows: pd.DataFrame, info: dict[str, Any]) -> pd.DataFrame:
    for name in ("stand_in", "title", "name"):
        rows.insert(0, "dataset" if name == "name" else name, info[name])
    rows.insert(rows.columns.get_loc("method") + 1, "method_label", rows["method"].map(LABELS).fillna(rows["method"]))
    return rows


def _write(path: Path, rows: pd.DataFrame, info: dict[str, Any]) -> None:
    whole = [name for name in ("seed", "fold", "width", "molecules", "profiles", "n", "n_diverged") if name in rows]
    rows = rows.astype(dict.fromkeys(whole, "Int64"))
    write_table(path.with_suffix(".parquet"), pa.Table.from_pandas(rows, preserve_index=False), {"dataset": info})
    with atomic(path.with_suffix(".csv")) as part:
        rows.to_csv(part, index=False)
