"""How beta was chosen: validation MRR against beta, each fold and their mean, and the choice of each fold.

MRR depends on the number of candidates, so Random among the same molecules is drawn beside it. Ours; the paper tunes
beta (App. H.3) without showing how.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from disentangledssl.errors import InputError
from disentangledssl.figures import style
from disentangledssl.files import read_json


def select_rows(selection: dict) -> pd.DataFrame:
    """One row a fold and beta, with ``chosen``, and the mean of the folds (``fold`` is null) of each beta."""
    grid = pd.DataFrame(selection["grid"])
    grid["chosen"] = grid["beta"] == grid["fold"].astype(str).map(selection["beta"])
    complete = grid.groupby("beta")["validation_mrr"].agg(lambda values: values.notna().all())
    mean = grid[grid["beta"].map(complete)].groupby("beta", as_index=False)[["validation_mrr", "random"]].mean()
    rows = pd.concat([grid, mean.assign(fold=None, chosen=False)], ignore_index=True)
    for name in ("stand_in", "title", "name"):
        rows.insert(0, "dataset" if name == "name" else name, selection["dataset"][name])
    return rows.astype({"fold": "Int64", "n_seeds": "Int64", "n_diverged": "Int64"})


def plot(selection: Path, png: Path) -> None:
    """Draw the figure and write its table.

    Raises
    ------
    InputError
        If there were no validation molecules.
    """
    rows = select_rows(read_json(selection))
    if rows["validation_mrr"].isna().all():
        raise InputError(selection, "grid", "holds no validation MRR", "set split.validation_fraction above 0")
    colour, marker, _ = style.METHODS["disentangledssl"]
    figure, axis = style.pyplot.subplots(figsize=(style.COLUMN, 0.78 * style.COLUMN))
    betas = sorted(rows["beta"].unique())
    places = dict(zip(betas, style.log_positions(betas)[0], strict=True))
    folds = rows[rows["fold"].notna()]
    for _, one in folds.groupby("fold"):
        one = one.dropna(subset="validation_mrr")
        axis.plot(one["beta"].map(places), one["validation_mrr"], color=style.FAINT, linewidth=0.7, zorder=1)
    chosen = folds[folds["chosen"]]
    axis.plot(
        chosen["beta"].map(places), chosen["validation_mrr"], linestyle="none", marker="o", markersize=5,
        markerfacecolor="none", markeredgecolor=style.REFERENCE_COLOUR, zorder=2, label="choice of a fold",
    )  # fmt: skip
    mean = rows[rows["fold"].isna()]
    if folds["fold"].nunique() > 1 and len(mean):
        axis.plot(
            mean["beta"].map(places), mean["validation_mrr"], color=colour, marker=marker, zorder=3,
            label="mean of the folds",
        )  # fmt: skip
    random = folds["random"].mean()
    axis.axhline(random, color=style.REFERENCE_COLOUR, linewidth=0.8, linestyle=":")
    axis.annotate(
        "Random", (max(places.values()), random), xytext=(0, 2), textcoords="offset points", ha="right", va="bottom",
        color=style.REFERENCE_COLOUR,
    )  # fmt: skip
    axis.set_ylim(bottom=0)
    style.label_log_axis(axis, betas)
    axis.set_xlabel(r"$\beta$ (weight of the conditional bottleneck)")
    axis.set_ylabel("MRR of the validation molecules")
    axis.legend(frameon=False, loc="best", handlelength=1.5)
    style.name_data(axis, rows)
    style.save(figure, png, rows)
