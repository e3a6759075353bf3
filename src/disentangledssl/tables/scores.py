"""Scores of methods on a screen, with errors from resampling molecules: for the tables of retrieval and of transfer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from disentangledssl.evaluation import retrieval
from disentangledssl.files import read_json
from disentangledssl.measurements import REFERENCE
from disentangledssl.tables.layout import method_id

METHOD = ("method", "beta", "a", "lam")
WAY = ("direction", "replicates", "cell_line")
PAPERS_WAY = (retrieval.DIRECTIONS[0], retrieval.REPLICATES[0], None)
UNSEEDED = -1  # stands for the seed that references do not have
SMALLEST_ERROR = 1e-12  # below it a difference is the same for all molecules


class Ranked(NamedTuple):
    """Rankings by one method with its settings.

    Attributes
    ----------
    method : tuple
        Values of ``METHOD``.
    complete : dict of seed to data frame
        Rows of each seed that was trained in every fold.
    lost : list of int
        Seeds of which any fold diverged.
    """

    method: tuple
    complete: dict[int, pd.DataFrame]
    lost: list[int]

    def named(self) -> dict[str, Any]:
        """Give the columns that name the method."""
        return dict(zip(METHOD, self.method, strict=True))

    def counts(self) -> dict[str, int]:
        """Give the columns that count its seeds."""
        return {"n": len(self.complete), "n_diverged": len(self.lost)}


def ranked_methods(rows: pd.DataFrame, selection: Path | None) -> Iterator[Ranked]:
    """Yield every method and setting with its test rows, and Random last.

    Random is known in the pools of any complete method: here those of a closed form.
    """
    rows = rows[(rows["split"] == "test") | rows["split"].isna()]
    folds, methods = rows["fold"].nunique(), rows_by_method(rows, selection)
    source = next(rows for rows in methods.values() if rows["stage"].iloc[0] == REFERENCE)
    exact = {name: source[f"random_{name}"] for name in metrics_of(source)}
    for method, chosen in (methods | {("random", None, None, None): source.assign(**exact)}).items():
        seeds = chosen["seed"].fillna(UNSEEDED).astype(int)
        trained = chosen["status"].isin(["trained", "exact"])
        by_seed = chosen[trained].groupby(seeds[trained])
        complete = {seed: one for seed, one in by_seed if one["fold"].nunique() == folds}
        yield Ranked(method, complete, sorted(set(seeds) - set(complete)))


def rows_by_method(rows: pd.DataFrame, selection: Path | None) -> dict[tuple, pd.DataFrame]:
    """Part rows by method and settings, in the order of the rows; the selected betas behind those of step 1."""
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


def metrics_of(rows: pd.DataFrame) -> list[str]:
    """Names of the metrics that rows have."""
    top = rows.columns.str.extract(r"^top(\d+)$", expand=False).dropna()
    return retrieval.metric_names([int(n) for n in top])


def rows_by_way(rows: pd.DataFrame) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """Yield rows by way of ranking, in the order of measurement: all lines together (null) before each."""
    for (direction, replicates, line), one in rows.groupby(list(WAY), sort=False, dropna=False):
        yield (direction, replicates, None if pd.isna(line) else line), one


def score(rows: pd.DataFrame, samples: int) -> list[dict[str, Any]]:
    """Score one set of molecule rows (each molecule once in a way and fold): every unit and metric, with errors."""
    metrics, out = metrics_of(rows), []
    for way, one in rows_by_way(rows):
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
                        "high": exact + high, "random": exact, "errors_above_random": in_errors(value - exact, error),
                    }
                    | counts
                )  # fmt: skip
    return out


def in_errors(difference: float, error: float) -> float | None:
    """Return a difference in standard errors, none where it is the same for all molecules."""
    return difference / error if error > SMALLEST_ERROR else None


def score_key(value: Mapping[str, Any]) -> tuple:
    """Say which way, unit and metric a score is of."""
    return tuple(value[name] for name in (*WAY, "unit", "metric"))


def spread(scores: Sequence[list[dict[str, Any]]]) -> dict[tuple, float | None]:
    """Return the standard deviation over seeds of each score, by :func:`score_key`."""
    values: dict[tuple, list[float]] = {}
    for one in scores:
        for value in one:
            values.setdefault(score_key(value), []).append(value["value"])
    return {key: float(np.std(some, ddof=1)) if len(some) > 1 else None for key, some in values.items()}


def null_scores(rows: pd.DataFrame | None, seeds: Sequence[int]) -> dict[tuple, dict[str, float]]:
    """Return mean and percentiles over permutations of what shuffled pairs score, by :func:`score_key`.

    Parameters
    ----------
    rows : data frame, optional
        Of one method's null, see ``rankings.null_columns``; none if it has none.
    seeds : sequence of int
        Of which the mean is taken, as over all folds.
    """
    if rows is None:
        return {}
    rows, metrics = rows[rows["seed"].fillna(UNSEEDED).isin(seeds)], metrics_of(rows)
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
