"""Retrieval on a screen (Table 2): every way of ranking, unit and metric, with errors from resampling molecules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from disentangledssl.evaluation import retrieval
from disentangledssl.files import read_table, table_info
from disentangledssl.tables.layout import BETA0, LABELS, labelled, read_rows, write_tables
from disentangledssl.tables.scores import (
    METHOD,
    PAPERS_WAY,
    UNSEEDED,
    WAY,
    in_errors,
    metrics_of,
    null_scores,
    ranked_methods,
    rows_by_method,
    rows_by_way,
    score,
    score_key,
    spread,
)


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
    folds say of it, of the difference to Random in the same pools. ``beta = selected`` takes, fold by fold, the beta
    that validation chose. The summary averages a molecule's values over seeds before it is resampled, and has beside
    the paper's way of ranking what shuffled pairs have there. ``differences`` are between methods, molecule by
    molecule, in the paper's way of ranking.
    """
    rows, info = read_rows(measurements, wanted)
    shuffled = rows_by_method(read_rows(null, wanted)[0], selection)
    per_seed, over_seeds, means = [], [], {}
    for ranked in ranked_methods(rows, selection):
        scores = {seed: score(one, bootstrap) for seed, one in ranked.complete.items()}
        for seed, values in scores.items():
            status = ranked.complete[seed]["status"].iloc[0]
            seeded = {"seed": None if seed == UNSEEDED else seed, "status": status}
            per_seed += [ranked.named() | seeded | value for value in values]
        # A seed of which any fold diverged has no value, but it has a line.
        per_seed += [ranked.named() | {"seed": seed, "status": "diverged"} for seed in ranked.lost]
        if not ranked.complete:
            over_seeds.append(ranked.named() | ranked.counts())
            continue
        of_molecule = pd.concat(ranked.complete.values()).groupby([*WAY, "fold", "group"], sort=False, dropna=False)
        means[ranked.method] = of_molecule.mean(numeric_only=True).reset_index()
        std, pairs_at_random = spread(scores.values()), null_scores(shuffled.get(ranked.method), list(ranked.complete))
        over_seeds += [
            ranked.named()
            | value
            | ranked.counts()
            | {"std": std[score_key(value)]}
            | pairs_at_random.get(score_key(value), {})
            for value in score(means[ranked.method], bootstrap)
        ]
    # Which splits are ranked is one setting for all files.
    evaluated_on = " and ".join(retrieval.POOLS[table_info(read_table(measurements[0]))["pool"]])
    for path, found in ((table, per_seed), (summary, over_seeds), (differences, _differences(means, bootstrap))):
        frame = labelled(pd.DataFrame(found), info)
        frame.insert(frame.columns.get_loc("method_label") + 1, "evaluated_on", evaluated_on)
        write_tables(path, frame.rename(columns={"value": "mean"}) if path == summary else frame, info)


def _differences(means: Mapping[tuple, pd.DataFrame], samples: int) -> list[dict[str, Any]]:
    """Subtract, molecule by molecule, CLIP, beta = 0, the selected beta and each reference from every other method."""
    papers = {}
    for method, rows in means.items():
        if method[0] != "random":
            of_way = next(one for way, one in rows_by_way(rows) if way == PAPERS_WAY)
            papers[method] = of_way.sort_values(["fold", "group"])
    out = []
    for other, theirs in papers.items():
        # References have no seeds.
        if other[0] not in ("clip", BETA0) and other[1] != "selected" and theirs["seed"].notna().any():
            continue
        metrics, methods = metrics_of(theirs), [method for method in papers if method != other]
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
                        "errors": in_errors(difference, error), "molecules": len(molecules),
                    }
                )  # fmt: skip
    return out
