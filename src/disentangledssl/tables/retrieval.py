"""Retrieval on a screen (Table 2): every way of ranking, unit and metric, with errors from resampling molecules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from disentangledssl.evaluation import retrieval
from disentangledssl.files import read_json
from disentangledssl.measurements import REFERENCE
from disentangledssl.tables.layout import BETA0, LABELS, labelled, method_id, read_rows, write_tables

METHOD = ("method", "beta", "a", "lam")
WAY = ("direction", "replicates", "cell_line")
PAPERS_WAY = (retrieval.DIRECTIONS[0], retrieval.REPLICATES[0], None)
SMALLEST_ERROR = 1e-12  # below it a difference is the same for all molecules


def tabulate_retrieval(
    measurements: Sequence[Path],
    null: Sequence[Path],
    wanted: Sequence[str],
    selection: Path | None,
    table: Path,
    summary: Path,
    differences: Path,
    *,
    bootstrap: int,
) -> None:
    """Join the retrieval measurements of a screen: one row a method, its settings, seed, way, unit and metric.

    Folds are pooled: a value is a mean over all tested molecules, where one that several folds test (``leave_one_out``)
    counts once in each. Standard error and interval come from resampling molecules (never wells), each with what all
    folds say of it, of the difference to Random in the same pools. ``beta = selected`` takes, fold by fold, the beta that
    validation chose. The summary averages a molecule's values over seeds before it is resampled, and has beside the
    paper's way of ranking what shuffled pairs have there. ``differences`` are between methods, molecule by molecule, in
    the paper's way of ranking.
    """
    rows, info = read_rows(measurements, wanted)
    rows = rows[(rows["split"] == "test") | rows["split"].isna()]
    shuffled = _methods(read_rows(null, wanted)[0], selection)
    per_seed, over_seeds, means = [], [], {}
    folds = rows["fold"].nunique()
    for method, chosen in _with_random(_methods(rows, selection)).items():
        named = dict(zip(METHOD, method, strict=True))
        trained = chosen[chosen["status"].isin(["trained", "exact"])]
        complete = {
            seed: one for seed, one in trained.groupby(trained["seed"].fillna(-1)) if one["fold"].nunique() == folds
        }
        n_diverged = chosen["seed"].nunique(dropna=False) - len(complete)
        scores = {seed: _scores(one, bootstrap) for seed, one in complete.items()}
        for seed, score in scores.items():
            seeded = {"seed": None if seed < 0 else int(seed), "status": complete[seed]["status"].iloc[0]}
            per_seed += [named | seeded | value for value in score]
        # A seed of which any fold diverged has no value, but it has a line.
        lost = sorted(set(chosen["seed"].dropna()) - set(complete))
        per_seed += [named | {"seed": int(seed), "status": "diverged"} for seed in lost]
        if not complete:
            over_seeds.append(named | {"n": 0, "n_diverged": n_diverged})
            continue
        of_molecule = pd.concat(complete.values()).groupby([*WAY, "fold", "group"], sort=False, dropna=False)
        means[method] = of_molecule.mean(numeric_only=True).reset_index()
        spread, pairs_at_random = _spread(scores.values()), _null(shuffled.get(method), list(complete))
        over_seeds += [
            named
            | value
            | {"n": len(complete), "n_diverged": n_diverged, "std": spread[_key(value)]}
            | pairs_at_random.get(_key(value), {})
            for value in _scores(means[method], bootstrap)
        ]
    write_tables(table, labelled(pd.DataFrame(per_seed), info), info)
    write_tables(summary, labelled(pd.DataFrame(over_seeds).rename(columns={"value": "mean"}), info), info)
    write_tables(differences, labelled(pd.DataFrame(_differences(means, bootstrap)), info), info)


def _methods(rows: pd.DataFrame, selection: Path | None) -> dict[tuple, pd.DataFrame]:
    """Rows by method and settings, in the order of the rows; the selected betas behind those of step 1."""
    methods: dict[tuple, pd.DataFrame] = {}
    for stage, of_stage in rows.groupby("stage", sort=False):
        axes = ["run"] if stage == REFERENCE else ["beta_value", "a", "lam"]
        for _, one in of_stage.groupby(axes, sort=False, dropna=False):
            first = one.iloc[0]
            settings = (None if pd.isna(first[name]) else first[name] for name in METHOD[1:])
            methods[method_id(stage, first["run"], first["beta_value"]), *settings] = one
        if stage == "step1" and selection is not None:
            chosen = {int(fold): beta for fold, beta in read_json(selection)["beta"].items()}
            one = of_stage[of_stage["beta_value"] == of_stage["fold"].map(chosen)]
            methods[method_id(stage, None, None), "selected", None, None] = one
    return methods


def _with_random(methods: dict[tuple, pd.DataFrame]) -> dict[tuple, pd.DataFrame]:
    """Add Random, which is known in the pools of any complete method: here those of a closed form."""
    source = next(rows for rows in methods.values() if rows["stage"].iloc[0] == REFERENCE)
    exact = {name: source[f"random_{name}"] for name in _metrics(source)}
    return methods | {("random", None, None, None): source.assign(**exact)}


def _metrics(rows: pd.DataFrame) -> list[str]:
    known = ("mrr", "top_tenth", "rank", "percentile")
    return [name for name in rows.columns if name in known or (name.startswith("top") and name[3:].isdigit())]


def _ways(rows: pd.DataFrame) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """Rows by way of ranking, in the order of measurement: all lines together (null) before each."""
    for (direction, replicates, line), one in rows.groupby(list(WAY), sort=False, dropna=False):
        yield (direction, replicates, None if pd.isna(line) else line), one


def _scores(rows: pd.DataFrame, samples: int) -> list[dict[str, Any]]:
    """Score one set of molecule rows (each molecule once in a way and fold): every unit and metric, with errors."""
    metrics, out = _metrics(rows), []
    for way, one in _ways(rows):
        values, chance = (one[[f"{kind}{name}" for name in metrics]].to_numpy(float) for kind in ("", "random_"))
        groups, molecules = pd.factorize(one["group"])
        counts = {"molecules": len(molecules), "profiles": int(one["profiles"].sum())}
        for unit in retrieval.UNITS:
            # Only where profiles are the queries can each of them count once.
            if unit == "per_profile" and way[:2] != PAPERS_WAY[:2]:
                continue
            weights = retrieval.unit_weights({"profiles": one["profiles"].to_numpy()}, unit)
            found = retrieval.bootstrap(values - chance, weights, samples, groups=groups)
            means = np.average(values, axis=0, weights=weights), np.average(chance, axis=0, weights=weights)
            for metric, value, exact, error, low, high in zip(metrics, *means, *found, strict=True):
                out.append(
                    dict(zip(WAY, way, strict=True))
                    | {
                        "unit": unit, "metric": metric, "value": value, "standard_error": error, "low": exact + low,
                        "high": exact + high, "random": exact, "errors_above_random": _in_errors(value - exact, error),
                    }
                    | counts
                )  # fmt: skip
    return out


def _in_errors(difference: float, error: float) -> float | None:
    return difference / error if error > SMALLEST_ERROR else None


def _key(value: Mapping[str, Any]) -> tuple:
    return tuple(value[name] for name in (*WAY, "unit", "metric"))


def _spread(scores: Sequence[list[dict[str, Any]]]) -> dict[tuple, float | None]:
    """Standard deviation over seeds of each value."""
    values: dict[tuple, list[float]] = {}
    for score in scores:
        for value in score:
            values.setdefault(_key(value), []).append(value["value"])
    return {key: float(np.std(some, ddof=1)) if len(some) > 1 else None for key, some in values.items()}


def _null(rows: pd.DataFrame | None, seeds: Sequence[float]) -> dict[tuple, dict[str, float]]:
    """Mean and percentiles over permutations of what shuffled pairs have, each a mean over seeds and all folds."""
    if rows is None:
        return {}
    rows, metrics = rows[rows["seed"].fillna(-1).isin(seeds)], _metrics(rows)
    out = {}
    for unit, one in rows.groupby("unit"):
        sums = one[metrics].mul(one["weight"], axis=0).groupby(one["permutation"]).sum()
        pooled = sums.div(one.groupby("permutation")["weight"].sum(), axis=0)
        ends = pooled.quantile(list(retrieval.INTERVAL))
        for metric in metrics:
            low, high = ends[metric]
            out[*PAPERS_WAY, unit, metric] = {
                "null_mean": pooled[metric].mean(), "null_low": low, "null_high": high,
            }  # fmt: skip
    return out


def _differences(means: Mapping[tuple, pd.DataFrame], samples: int) -> list[dict[str, Any]]:
    """Subtract, molecule by molecule, CLIP, beta = 0, the selected beta and each reference from every other method."""
    papers = {}
    for method, rows in means.items():
        if method[0] != "random":
            papers[method] = next(one for way, one in _ways(rows) if way == PAPERS_WAY).sort_values(["fold", "group"])
    out = []
    for other, theirs in papers.items():
        # References have no seeds.
        if other[0] not in ("clip", BETA0) and other[1] != "selected" and theirs["seed"].notna().any():
            continue
        metrics, methods = _metrics(theirs), [method for method in papers if method != other]
        groups, molecules = pd.factorize(theirs["group"])
        for unit in retrieval.UNITS:
            weights = retrieval.unit_weights({"profiles": theirs["profiles"].to_numpy()}, unit)
            paired = [papers[method][metrics].to_numpy() - theirs[metrics].to_numpy() for method in methods]
            # All methods in one call, so that all see the same resamples.
            values = np.concatenate(paired, axis=1)
            found = retrieval.bootstrap(values, weights, samples, groups=groups)
            names = [(method, metric) for method in methods for metric in metrics]
            columns = np.average(values, axis=0, weights=weights), *found
            for (method, metric), difference, error, low, high in zip(names, *columns, strict=True):
                out.append(
                    dict(zip(METHOD, method, strict=True))
                    | {
                        "other": other[0], "other_label": LABELS.get(other[0], other[0]), "unit": unit,
                        "metric": metric, "difference": difference, "standard_error": error, "low": low, "high": high,
                        "errors": _in_errors(difference, error), "molecules": len(molecules),
                    }
                )  # fmt: skip
    return out
