"""Figure 4b: what the specific representation zs1 holds, by method and hyperparameters.

Accuracy on y_c against accuracy on y_s1, mean over seeds, error bars of one standard deviation. DisentangledSSL has
a curve for each beta, JointOpt one for each a. Of FOCAL and DMVAE only the best curve is drawn (Figure 8 has all):
that with the point of the largest acc(y_s1) - acc(y_c), means over seeds; of equals, the first in the grid. FOCAL
has a curve for each a, DMVAE only one. The rest is in the figure's table, marked as not shown.
Source: sec. 3.1, Fig. 4b; the rule for "best" is a choice, the paper does not state its own.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from disentangledssl.errors import InputError
from disentangledssl.figures import scatter, style
from disentangledssl.files import read_table

PANEL = scatter.Panel("", "zs1", "s1", ("step2", "jointopt", "focal", "dmvae"))
ONLY_BEST = ("focal", "dmvae")


def select_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """One row a point, in the order of joining; ``shown`` and ``why`` say which are drawn."""
    points = scatter.select_points(summary, PANEL)
    for stage in ONLY_BEST:
        curves = scatter.curves(points, stage)
        if not curves:
            continue
        best = max((curve for _, curve in curves), key=lambda curve: (curve["x_mean"] - curve["y_mean"]).max())
        drawn = (points["stage"] == stage) & points["shown"]
        chosen = points.index.isin(best.index)
        points.loc[drawn & chosen, "why"] = "best curve: largest acc(y_s1) - acc(y_c)"
        points.loc[drawn & ~chosen, ["shown", "why"]] = [False, "not the best curve"]
    return points


def plot(summary: Path, png: Path) -> None:
    """Draw the figure and write its table.

    Raises
    ------
    InputError
        If the table holds no trained run of any method that has zs1.
    """
    points = select_rows(read_table(summary).to_pandas())
    if scatter.trained(points).empty:
        raise InputError(summary, "column representation", "holds no trained run with zs1", "add grids.step2")
    tints = scatter.tints(points)
    key_height = 20 if len(tints) > 1 else 13
    figure = style.open_page(style.COLUMN, 77 + key_height)
    key = scatter.blank_axes(figure, 1.5, 76, 86.5, key_height)
    scatter.draw_key(key, tints, "disentangledssl", 0, key_height)
    scatter.draw_key(key, tints, "jointopt", 0, 10.5)
    for k, method in enumerate(ONLY_BEST):
        scatter.draw_key(key, tints, method, 46, 10.5 - 3.3 * k)
    scatter.draw_note(key, points, 46 if len(tints) > 1 else 0, 3.9)
    axis = style.place_axes(figure, 14, 10, 73.5, 62)
    scatter.draw_panel(axis, points, PANEL, tints, scatter.limits(points))
    style.save(figure, png, points.drop(columns="panel"))
