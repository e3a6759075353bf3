"""One look for all figures: sizes, fonts, and a fixed colour and marker for everything that appears in several."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from disentangledssl.files import atomic

matplotlib.use("Agg")
from matplotlib import pyplot

MILLIMETRE = 1 / 25.4
COLUMN = 89 * MILLIMETRE
# Okabe and Ito's palette: told apart by colour-blind readers and in grey.
LABELS = {
    "c": ("#0072B2", "o", "$y_c$ (shared)"),
    "s1": ("#D55E00", "s", "$y_{s1}$ (specific to $x_1$)"),
    "s2": ("#009E73", "^", "$y_{s2}$ (specific to $x_2$)"),
}
REFERENCE_COLOUR = "#555555"

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
