"""Figure 7: what the shared representation [zc1, zc2] holds, all methods and hyperparameters.

Accuracy on y_c against accuracy on y_s1 (a) and y_s2 (b), mean over seeds, error bars of one standard deviation. The
points of DisentangledSSL are joined by rising beta, those of the other methods by falling lam. The raw input is that
of the view whose specific label is on the axis.
Source: App. H.1, Fig. 7.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from disentangledssl.errors import InputError
from disentangledssl.figures import scatter, style
from disentangledssl.files import read_table

STAGES = ("step1", "jointopt", "focal", "dmvae")
PANELS = (scatter.Panel("a", "zc", "s1", STAGES), scatter.Panel("b", "zc", "s2", STAGES))


def select_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """One row a point and panel, in the order of joining; ``shown`` and ``why`` say which are drawn."""
    return pd.concat([scatter.select_points(summary, panel) for panel in PANELS], ignore_index=True)


def plot(summary: Path, png: Path) -> None:
    """Draw the figure and write its table.

    Raises
    ------
    InputError
        If the table holds no trained run of any method that has zc.
    """
    points = select_rows(read_table(summary).to_pandas())
    if scatter.trained(points).empty:
        raise InputError(summary, "column representation", "holds no trained run with zc", "add grids.step1")
    tints, limits = scatter.tints(points), scatter.limits(points)
    figure = style.open_page(style.PAGE, 88)
    scatter.draw_wide_key(figure, points, tints, 74)
    for panel, left in zip(PANELS, scatter.LEFT, strict=True):
        axis = style.place_axes(figure, left, 10, scatter.WIDE, 58)
        scatter.draw_panel(axis, points[points["panel"] == panel.letter], panel, tints, limits)
        style.letter_panel(axis, panel.letter, 12)
    style.save(figure, png, points)
