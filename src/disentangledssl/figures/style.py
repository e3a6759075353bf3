"""One look for all figures: sizes, fonts, and a fixed colour and marker for everything that appears in several."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from disentangledssl.atomic import atomic

matplotlib.use("Agg")
from matplotlib import colors, pyplot

MILLIMETRE = 1 / 25.4
COLUMN = 89 * MILLIMETRE
PAGE = 183 * MILLIMETRE
# Okabe and Ito's palette: told apart by colour-blind readers and in grey.
LABELS = {
    "c": ("#0072B2", "o", "$y_c$ (shared)"),
    "s1": ("#D55E00", "s", "$y_{s1}$ (specific to $x_1$)"),
    "s2": ("#009E73", "^", "$y_{s2}$ (specific to $x_2$)"),
}
# Of the same palette, chosen to differ in lightness too. Beta = 0 is a point of DisentangledSSL's curve. No marker here
# is one of LABELS or REFERENCES, so that a shape alone says what it stands for.
METHODS = {
    "disentangledssl": ("#0072B2", "D", "DisentangledSSL"),
    "disentangledssl_beta0": ("#0072B2", "D", "DisentangledSSL"),
    "jointopt": ("#E69F00", "v", "JointOpt"),
    "focal": ("#009E73", "P", "FOCAL"),
    "dmvae": ("#000000", "X", "DMVAE"),
    "clip": ("#56B4E9", "p", "CLIP"),
}
# The shared encoder of a view: its curve in the information plane, and its weight ratio, which the text is of, beside
# accuracies. Light and dark of one colour, that of the axis that ratios are read from.
VIEWS = {"zc1": ("#CC79A7", "<", "weight ratio of $x_1$"), "zc2": ("#7B3F61", ">", "weight ratio of $x_2$")}
REFERENCE_COLOUR = "#555555"
FAINT = "#BBBBBB"
# Hollow, and of sizes that leave each visible when they lie upon one another.
REFERENCES = {"oracle": ("*", 4.5), "raw": ("h", 5.5), "linear_cca": ("o", 8)}
LIGHTEST, DARKEST = 78, 25  # CIE lightness of the first and last of several tints

pyplot.rcParams.update(
    {
        "font.size": 7, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
        "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6, "lines.linewidth": 1.2,
        "lines.markersize": 4, "savefig.dpi": 300, "pdf.fonttype": 42, "figure.constrained_layout.use": True,
    }
)  # fmt: skip


def save(figure, png: Path, rows: pd.DataFrame) -> None:
    """Write PNG, PDF and the drawn rows (CSV) beside each other; same input, same bytes."""
    for ending, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None, "Producer": None})):
        drawn = io.BytesIO()
        figure.savefig(drawn, format=ending, metadata=metadata)
        with atomic(png.with_suffix(f".{ending}")) as part:
            part.write_bytes(drawn.getvalue())
    with atomic(png.with_suffix(".csv")) as part:
        rows.to_csv(part, index=False)
    pyplot.close(figure)


def open_page(width: float, height: float):
    """Start a figure ``COLUMN`` or ``PAGE`` wide and so many millimetres high that :func:`place_axes` lays out."""
    figure = pyplot.figure(figsize=(width, height * MILLIMETRE))
    figure.set_layout_engine("none")
    return figure


def place_axes(figure, left: float, bottom: float, width: float, height: float, **how):
    """Add axes at a place given in millimetres from the figure's lower left corner."""
    across, up = figure.get_size_inches() / MILLIMETRE
    return figure.add_axes((left / across, bottom / up, width / across, height / up), **how)


def say(title: str, text: str):
    """Start a figure that only says why there is nothing to be drawn."""
    figure = open_page(COLUMN, 20)
    figure.text(0.5, 0.6, text, ha="center", va="center")
    figure.text(0.5, 0.3, title, ha="center", va="center", color=REFERENCE_COLOUR)
    return figure


TITLE_LETTERS = 56  # of 7 points, over the axes of a figure of one column


def name_data(axis, rows: pd.DataFrame) -> None:
    """Write what was measured above the axes: a figure goes where its caption does not."""
    (title,) = rows["title"].unique()
    # A long one is made small, since a second line would leave the page.
    size = 7 * TITLE_LETTERS / max(TITLE_LETTERS, len(title))
    axis.set_title(title, fontsize=size, color=REFERENCE_COLOUR, loc="left")


def letter_panel(axis, letter: str, left: float) -> None:
    """Write a panel's letter above its upper left corner, ``left`` millimetres to the left of the axes."""
    place = {"xycoords": "axes fraction", "textcoords": "offset points"}
    offset = (-left * MILLIMETRE * 72, 4)
    axis.annotate(letter, (0, 1), xytext=offset, **place, fontsize=8, fontweight="bold", ha="left", va="bottom")


def tints(colour: str, count: int) -> list[str]:
    """Return a colour in several lightnesses, evenly spaced from light to dark, so that order shows in grey too.

    >>> tints("#0072B2", 1)
    ['#0072B2']
    >>> tints("#0072B2", 3)
    ['#b2c2d9', '#417fb7', '#003e65']
    """
    if count == 1:
        return [colour]
    # Mixing with white or black in linear light changes the luminance in proportion.
    srgb = np.array(colors.to_rgb(colour))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    own = float(linear @ [0.2126, 0.7152, 0.0722])
    out = []
    for lightness in np.linspace(LIGHTEST, DARKEST, count):
        wanted = ((lightness + 16) / 116) ** 3
        white = (wanted - own) / (1 - own)
        mixed = linear + (1 - linear) * white if wanted > own else linear * wanted / own
        encoded = np.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed ** (1 / 2.4) - 0.055)
        out.append(colors.to_hex(np.clip(encoded, 0, 1)))
    return out


def log_positions(values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Place positive values on a log10 axis and 0 apart on its left.

    Returns
    -------
    positions : array
        log10 of each value; for 0, one step and a half to the left of the smallest positive one.
    positive : array of bool
    """
    values = np.asarray(values, float)
    positive = values > 0
    logs = np.log10(values, where=positive, out=np.zeros_like(values))
    left = logs[positive].min() - 1 if positive.any() else 0.0
    return np.where(positive, logs, left), positive


def label_log_axis(axis, values: Sequence[float]) -> None:
    """Write 0 and the powers of ten on an axis laid out by :func:`log_positions`, with a break after 0."""
    positions, positive = log_positions(values)
    ticks, texts = [], []
    if not positive.all():
        ticks, texts = [positions[~positive][0]], ["0"]
    if positive.any():
        low, high = int(np.floor(positions[positive].min())), int(np.ceil(positions[positive].max()))
        powers = [power for power in range(low, high + 1) if positions[positive].min() - 0.1 <= power]
        ticks += powers
        texts += [f"$10^{{{power}}}$" if abs(power) > 3 else f"{10.0**power:g}" for power in powers]
    axis.set_xticks(ticks, texts)
    if positive.any() and not positive.all():
        # A gap in the axis line, a fixed few points wide, says that 0 is not on the log scale.
        middle = (positions[~positive][0] + positions[positive].min()) / 2
        place = {"xy": (middle, 0), "xycoords": axis.get_xaxis_transform(), "ha": "center", "va": "center"}
        axis.annotate(
            "//", **place, fontsize=7, zorder=10, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        )


def spread(values: Sequence[float], gap: float) -> np.ndarray:
    """Move label positions apart until neighbours are at least ``gap`` apart, each as little as possible.

    >>> spread([0.0, 0.1, 5.0], gap=1.0).round(2).tolist()
    [-0.45, 0.55, 5.0]
    """
    order = np.argsort(values, kind="stable")
    # Blocks of labels that touch are placed around the mean of where they want to be.
    blocks: list[list[float]] = []
    for value in np.asarray(values, float)[order]:
        blocks.append([value])
        while len(blocks) > 1 and _low(blocks[-1], gap) - _low(blocks[-2], gap) < gap * len(blocks[-2]) - 1e-12:
            last = blocks.pop()
            blocks[-1] += last
    out = np.empty(len(order))
    out[order] = [_low(block, gap) + gap * k for block in blocks for k in range(len(block))]
    return out


def _low(block: Sequence[float], gap: float) -> float:
    return float(np.mean(block)) - gap * (len(block) - 1) / 2
