"""Figure 8: what the specific representations hold, all methods and hyperparameters.

Accuracy of zs1 on y_c against y_s1 (a, b) and of zs2 on y_c against y_s2 (c, d), mean over seeds, error bars of one
standard deviation, points joined by falling lam. a and c: DisentangledSSL, a curve for each beta. b and d: with
JointOpt and FOCAL, a curve for each a, and DMVAE.
Source: App. H.1, Fig. 8.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from disentangledssl.errors import InputError
from disentangledssl.figures import scatter, style
from disentangledssl.files import read_table

METHOD, ALL = ("step2",), ("step2", "jointopt", "focal", "dmvae")
PANELS = (
    scatter.Panel("a", "zs1", "s1", METHOD), scatter.Panel("b", "zs1", "s1", ALL),
    scatter.Panel("c", "zs2", "s2", METHOD), scatter.Panel("d", "zs2", "s2", ALL),
)  # fmt: skip
HEIGHT, BOTTOMS = 58, (83, 83, 10, 10)


def select_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """One row a point and panel, in the order of joining; ``shown`` and ``why`` say which are drawn."""
    return pd.concat([scatter.select_points(summary, panel) for panel in PANELS], ignore_index=True)


def plot(summary: Path, png: Path) -> None:
    """Draw the figure and write its table.

    Raises
    ------
    InputError
        If the table holds no trained run of step 2, of which panels a and c are.
    """
    points = select_rows(read_table(summary).to_pandas())
    if not (scatter.trained(points)["stage"] == "step2").any():
        raise InputError(summary, "column stage", "holds no trained run of step 2", "add grids.step2")
    tints = scatter.tints(points)
    close = points[points["panel"].isin(["a", "c"])]
    limits = [scatter.limits(close, chance=False), scatter.limits(points)] * 2
    figure = style.open_page(style.PAGE, 161)
    scatter.draw_wide_key(figure, points, tints, 147)
    for panel, left, bottom, limit in zip(PANELS, scatter.LEFT * 2, BOTTOMS, limits, strict=True):
        axis = style.place_axes(figure, left, bottom, scatter.WIDE, HEIGHT)
        scatter.draw_panel(axis, points[points["panel"] == panel.letter], panel, tints, limit)
        style.letter_panel(axis, panel.letter, 12)
    style.save(figure, png, points)
