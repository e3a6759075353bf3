"""Retrieval curves: top-N accuracy against N, each method of Table 2 with a band of one standard error. Ours.

Of the paper's way of ranking, every molecule counting once; DisentangledSSL at the beta that validation chose, and at
beta = 0. Bands come from resampling molecules; two that overlap may still differ, since molecules are the same for all:
``retrieval_differences`` says so.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.ticker import MaxNLocator

from disentangledssl.errors import InputError
from disentangledssl.figures import style
from disentangledssl.figures.labels import Label, label_ends
from disentangledssl.files import read_table

HEIGHT = 72  # millimetres
AXES = (11.5, 10, 43.5, 57)  # left, bottom, width, height; on the right stand the names
BETA0 = "disentangledssl_beta0"
# Grey as they are, references differ in their dashes; Random alone is dashed evenly.
DASHES = ((0, (6, 1.5, 1, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (10, 1.5)), (0, (3, 1, 1, 1, 1, 1)))


def select_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """Rows that are drawn, with their ``n_best`` (N) and ``label``; a baseline of several settings has their values.

    Left out is an N that finds every molecule by every method.
    """
    top = summary["metric"].fillna("").str.extract(r"^top(\d+)$")[0]
    drawn = (
        top.notna()
        & (summary["direction"] == "phenotype_to_molecule")
        & (summary["replicates"] == "single")
        & summary["cell_line"].isna()
        & (summary["unit"] == "per_molecule")
        & ((summary["method"] != "disentangledssl") | (summary["beta"] == "selected"))
    )
    rows = summary[drawn].assign(n_best=top[drawn].astype(int), label=summary["method_label"])
    several = rows.groupby("method")[["a", "lam"]].nunique().max(axis=1).gt(1)
    apart = rows["method"].map(several).astype(bool)
    settings = [
        ", ".join(f"{sign} = {value:g}" for sign, value in (("a", a), (r"$\lambda$", lam)) if pd.notna(value))
        for a, lam in zip(rows["a"], rows["lam"], strict=True)
    ]
    rows["label"] = rows["label"].str.replace("beta", r"$\beta$").where(~apart, rows["label"] + " " + settings)
    # Where N is all molecules there are, every curve is at 100 % and no name could be told from another.
    told = rows.groupby("n_best")["mean"].transform("min") < 1
    return rows[told | ~told.any()]


def plot(summary: Path, png: Path) -> None:
    """Draw the figure and write its table.

    Raises
    ------
    InputError
        If the table holds no top-N accuracy of a trained method.
    """
    rows = select_rows(read_table(summary).to_pandas())
    if not rows["method"].isin(style.METHODS).any():
        raise InputError(
            summary, "column method", "holds no top-N accuracy of a trained method", "train one, for example clip"
        )
    figure = style.open_page(style.COLUMN, HEIGHT)
    axis = style.place_axes(figure, *AXES)
    dashes, ends = iter(DASHES * len(rows)), []
    for (method, label), one in rows.groupby(["method", "label"], sort=False):
        one = one.sort_values("n_best")
        x, y, error = one["n_best"], 100 * one["mean"], 100 * one["standard_error"].fillna(0)
        if method in style.METHODS:
            colour, marker, _ = style.METHODS[method]
            # The paper's method lies upon the others, which often are close.
            how = {"marker": marker, "markersize": 3, "linewidth": 1, "zorder": 4 if method == "disentangledssl" else 3}
            if method == BETA0:
                how |= {"markerfacecolor": "white", "linestyle": (0, (4, 1))}
        else:
            colour = style.REFERENCE_COLOUR
            how = {"linewidth": 0.9, "linestyle": "--" if method == "random" else next(dashes), "zorder": 2}
        axis.fill_between(x, y - error, y + error, color=colour, alpha=0.12, linewidth=0, zorder=1)
        axis.plot(x, y, color=colour, **how)
        ends.append(Label(label, [(x.iloc[-1], y.iloc[-1])], colour))
    axis.set_ylim(bottom=0)
    axis.set_xlim(0, rows["n_best"].max() * 1.03)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axis.set_xticks(sorted(rows["n_best"].unique()))
    axis.set_xlabel("N (best-ranked molecules)")
    axis.set_ylabel("top-N accuracy (%)")
    label_ends(axis, ends)
    style.name_data(axis, rows)
    style.save(figure, png, rows)
