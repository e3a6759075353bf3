"""Transfer: how models of one screen rank the molecules of another, with errors from resampling molecules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from disentangledssl.tables.layout import labelled, read_rows, write_tables
from disentangledssl.tables.scores import WAY, null_scores, ranked_methods, rows_by_method, score, score_key, spread


def tabulate_transfer(
    measurements: Sequence[Path],
    null: Sequence[Path],
    wanted: Sequence[str],
    selection: Path | None,
    table: Path,
    *,
    bootstrap: int,
) -> None:
    """Write one row a method, its settings, way of ranking, unit and metric.

    Of a molecule that several folds' models rank (one that their screen does not have) the mean over these folds is
    taken first, of Random too, since pools differ; then the mean over seeds; so that each molecule counts once when
    molecules are resampled. ``beta = selected`` is the choice of the models' own screen. Beside the paper's way of
    ranking stands what shuffled pairs have there, averaged alike.
    """
    (rows, info), out = read_rows(measurements, wanted), []
    at_random = read_rows(null, wanted)[0]
    # A molecule's share in the mean over its folds.
    at_random["weight"] /= at_random["folds"]
    shuffled = rows_by_method(at_random, selection)
    for ranked in ranked_methods(rows, selection):
        if not ranked.complete:
            out.append(ranked.named() | ranked.counts())
            continue
        std = spread([score(_over_folds(one), bootstrap) for one in ranked.complete.values()])
        # Every seed has a molecule in the same folds, so one mean is over both.
        scores = score(_over_folds(pd.concat(ranked.complete.values())), bootstrap)
        pairs_at_random = null_scores(shuffled.get(ranked.method), list(ranked.complete))
        out += [
            ranked.named()
            | value
            | ranked.counts()
            | {"std": std[score_key(value)]}
            | pairs_at_random.get(score_key(value), {})
            for value in scores
        ]
    frame = labelled(pd.DataFrame(out).rename(columns={"value": "mean"}), info)
    frame.insert(frame.columns.get_loc("method"), "trained_on", info["trained_on"])
    write_tables(table, frame, info)


def _over_folds(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.groupby([*WAY, "group"], sort=False, dropna=False).mean(numeric_only=True).reset_index()
