"""Transfer: how models of one screen rank the molecules of another, with errors from resampling molecules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from disentangledssl.tables.layout import labelled, read_rows, write_tables
from disentangledssl.tables.retrieval import METHOD, WAY, _key, _methods, _scores, _spread, _with_random


def tabulate_transfer(
    measurements: Sequence[Path], wanted: Sequence[str], selection: Path | None, table: Path, *, bootstrap: int
) -> None:
    """Write one row a method, its settings, way of ranking, unit and metric.

    Of a molecule that several folds' models rank (one that their screen does not have) the mean over these folds is
    taken first, of Random too, since pools differ; then the mean over seeds; so that each molecule counts once when
    molecules are resampled. ``beta = selected`` is the choice of the models' own screen.
    """
    rows, info = read_rows(measurements, wanted)
    rows = rows[(rows["split"] == "test") | rows["split"].isna()]
    folds, out = rows["fold"].nunique(), []
    for method, chosen in _with_random(_methods(rows, selection)).items():
        named = dict(zip(METHOD, method, strict=True))
        measured = chosen[chosen["status"].isin(["trained", "exact"])].assign(seed=lambda one: one["seed"].fillna(-1))
        complete = {seed: one for seed, one in measured.groupby("seed") if one["fold"].nunique() == folds}
        counts = {"n": len(complete), "n_diverged": chosen["seed"].nunique(dropna=False) - len(complete)}
        if not complete:
            out.append(named | counts)
            continue
        spread = _spread([_scores(_over_folds(one), bootstrap) for one in complete.values()])
        # Every seed has a molecule in the same folds, so one mean is over both.
        scores = _scores(_over_folds(pd.concat(complete.values())), bootstrap)
        out += [named | value | counts | {"std": spread[_key(value)]} for value in scores]
    frame = labelled(pd.DataFrame(out).rename(columns={"value": "mean"}), info)
    frame.insert(frame.columns.get_loc("method"), "trained_on", info["trained_on"])
    write_tables(table, frame, info)


def _over_folds(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.groupby([*WAY, "group"], sort=False, dropna=False).mean(numeric_only=True).reset_index()
