"""Maps of zc and zs of the test phenotypes of one run, coloured by what the screen names. Ours.

One row of panels a colouring: mechanism, cell line, dose. Classes have a colour and a marker each, those with most
profiles first; those beyond ``MOST_CLASSES`` are grey, and so is what is not labelled.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colors

from disentangledssl.figures import style
from disentangledssl.files import read_table, table_info

CODES = {"zc1": "$z_c$ (shared)", "zs1": "$z_s$ (specific)"}
CLASSES = {"mechanism": "Mechanism", "cell_line": "Cell line"}
DOSE = "dose"
OTHER = "other or unlabelled"
MOST_CLASSES = 7
# Okabe and Ito's palette without its yellow, which is hardly seen on white; each with a marker of its own.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LETTERS = 15  # of a line of the legend
PANEL, GAP, LEFT, TOP, BOTTOM, BETWEEN = 30.0, 2.0, 2.0, 8.5, 2.0, 2.5  # millimetres


def plot(maps: Path, png: Path) -> None:
    """Draw the figure and write its table."""
    table = read_table(maps)
    rows, info = table.to_pandas(), table_info(table)["dataset"]
    if rows.empty:
        style.save(style.say(info["title"], "The run to be shown diverged: there is nothing to map."), png, rows)
        return
    colourings = [name for name in (*CLASSES, DOSE) if name in rows and rows[name].nunique() > 1] or [None]
    height = TOP + BOTTOM + PANEL * len(colourings) + BETWEEN * (len(colourings) - 1)
    figure = style.open_page(style.COLUMN, height)
    for line, colouring in enumerate(colourings):
        bottom = height - TOP - PANEL - line * (PANEL + BETWEEN)
        panels = []
        for place, (code, label) in enumerate(CODES.items()):
            axis = style.place_axes(figure, LEFT + place * (PANEL + GAP), bottom, PANEL, PANEL)
            frame(axis, rows[rows["representation"] == code])
            if line == 0:
                axis.annotate(label, (0, 1), xytext=(0, 3), xycoords="axes fraction", textcoords="offset points")
            panels.append((axis, rows[rows["representation"] == code]))
        beside = LEFT + 2 * PANEL + GAP + 1.5, bottom
        draw = draw_dose if colouring == DOSE else draw_classes
        draw(figure, panels, colouring, beside)
    across, up = figure.get_size_inches() / style.MILLIMETRE
    figure.text(LEFT / across, 1 - 1 / up, info["title"], fontsize=7, color=style.REFERENCE_COLOUR, ha="left", va="top")
    style.save(figure, png, rows)


def frame(axis, rows: pd.DataFrame) -> None:
    """Give a panel limits with equal units and a frame without ticks: places have no unit."""
    middle = (rows[["x", "y"]].max() + rows[["x", "y"]].min()) / 2
    reach = 0.53 * max((rows[["x", "y"]].max() - rows[["x", "y"]].min()).max(), 1e-6)
    axis.set_xlim(middle["x"] - reach, middle["x"] + reach)
    axis.set_ylim(middle["y"] - reach, middle["y"] + reach)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[["top", "right"]].set_visible(True)
    for spine in axis.spines.values():
        spine.set_color(style.FAINT)


def shown_classes(values: pd.Series) -> list[str]:
    """Name the classes that get a colour: those with most profiles, then by name."""
    counts = values[values != ""].value_counts()
    return sorted(counts.index, key=lambda name: (-counts[name], name))[:MOST_CLASSES]


def draw_classes(figure, panels, colouring: str | None, beside: tuple[float, float]) -> None:
    """Draw profiles by class, and the legend beside the panels."""
    if colouring is None:
        for axis, rows in panels:
            axis.scatter(rows["x"], rows["y"], s=4, color=style.REFERENCE_COLOUR, linewidths=0)
        return
    classes = shown_classes(panels[0][1][colouring])
    for axis, rows in panels:
        for name, colour, marker in zip(classes, COLOURS, MARKERS, strict=False):
            here = rows[rows[colouring] == name]
            axis.scatter(here["x"], here["y"], s=6, color=colour, marker=marker, linewidths=0, label=name, zorder=2)
        others = rows[~rows[colouring].isin(classes)]
        if len(others):
            axis.scatter(others["x"], others["y"], s=3, color=style.FAINT, linewidths=0, label=OTHER, zorder=1)
    handles, labels = panels[0][0].get_legend_handles_labels()
    labels = ["\n".join(textwrap.wrap(label, LETTERS)) for label in labels]
    across, up = figure.get_size_inches() / style.MILLIMETRE
    figure.legend(
        handles, labels, title=CLASSES[colouring], loc="upper left", fontsize=6, title_fontsize=7, frameon=False,
        bbox_to_anchor=(beside[0] / across, (beside[1] + PANEL + 1) / up), borderaxespad=0, handletextpad=0.2,
        handlelength=1.2, labelspacing=0.25, markerscale=1.4, alignment="left", borderpad=0,
    )  # fmt: skip


def draw_dose(figure, panels, colouring: str, beside: tuple[float, float]) -> None:
    """Draw profiles by log10 of dose, and the scale beside the panels."""
    doses = panels[0][1][colouring]
    norm = colors.Normalize(doses.min(), doses.max())
    for axis, rows in panels:
        # Points of all doses are drawn in the order of their ids, not of the dose: none is always on top.
        unknown = rows[rows[colouring].isna()]
        axis.scatter(unknown["x"], unknown["y"], s=3, color=style.FAINT, linewidths=0, zorder=1)
        drawn = axis.scatter(
            rows["x"], rows["y"], s=4, c=rows[colouring], cmap="cividis", norm=norm, linewidths=0, zorder=2
        )
    scale = style.place_axes(figure, beside[0] + 1, beside[1] + 1, 2.5, PANEL - 8)
    ticks = np.arange(np.ceil(norm.vmin), np.floor(norm.vmax) + 1)
    bar = figure.colorbar(drawn, cax=scale, ticks=ticks if len(ticks) > 1 else None)
    if len(ticks) > 1:
        bar.ax.set_yticklabels([f"{10.0**tick:g}" for tick in ticks])
    else:
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{10**value:.2g}")
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(labelsize=6, width=0.4, length=2)
    place = {"xycoords": "axes fraction", "textcoords": "offset points"}
    scale.annotate("Dose (µM)", (0, 1), xytext=(-2, 6), **place, ha="left", va="bottom")
