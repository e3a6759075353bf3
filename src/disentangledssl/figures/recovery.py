"""What the shared representation recovers, against linear CCA: by accuracy (a) and by R2 of the true latents (b).

The points of DisentangledSSL are joined by rising beta, mean over seeds, error bars of one standard deviation. On the
clean simulation linear CCA is the ideal; on the nonlinear one, and under noise, it is open who is ahead. Ours.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from disentangledssl.errors import InputError
from disentangledssl.figures import scatter, style
from disentangledssl.files import read_table

PANELS = (scatter.Panel("a", "zc", "s1", ("step1",)), scatter.Panel("b", "zc", "s1", ("step1",), "r2"))


def select_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """One row a point and panel, in the order of joining; ``shown`` and ``why`` say which are drawn."""
    return pd.concat([scatter.select_points(summary, panel) for panel in PANELS], ignore_index=True)


def plot(summary: Path, png: Path) -> None:
    """Draw the figure and write its table.

    Raises
    ------
    InputError
        If the table holds no trained run of step 1, or one of the measurements of none.
    """
    points = select_rows(read_table(summary).to_pandas())
    for panel in PANELS:
        if scatter.trained(points[points["panel"] == panel.letter]).empty:
            problem = f"holds no trained run of step 1 with {panel.metric} of zc"
            raise InputError(summary, "column metric", problem, "add grids.step1")
    tints = scatter.tints(points)
    figure = style.open_page(style.PAGE, 79)
    colour, marker, name = style.METHODS["disentangledssl"]
    key = scatter.blank_axes(figure, 0, 72, 183, 6)
    scatter.draw_mark(key, marker, colour, rf"{name}, $\beta$ beside each point", 12, 6)
    for panel, left in zip(PANELS, scatter.LEFT, strict=True):
        own = points[points["panel"] == panel.letter]
        axis = style.place_axes(figure, left, 10, scatter.WIDE, 58)
        scatter.draw_panel(axis, own, panel, tints, scatter.limits(own), betas=True)
        style.letter_panel(axis, panel.letter, 12)
    style.save(figure, png, points)
