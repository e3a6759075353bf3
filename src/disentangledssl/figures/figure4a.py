"""Figure 4a: what the shared representation holds, against beta.

Linear-probe accuracy of [zc1, zc2] on y_c, y_s1 and y_s2, mean over seeds, error bars of one standard deviation.
Added to the paper's figure: the true latents, linear CCA and chance.
Source: sec. 3.1, Fig. 4a.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from disentangledssl.errors import InputError
from disentangledssl.figures import style
from disentangledssl.files import read_table


def select_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """Rows that the figure draws: the method's zc by beta, and zc of the reference rows."""
    method = (summary["stage"] == "step1") & (summary["representation"] == "zc")
    reference = summary["method"].isin(["oracle", "linear_cca"]) & (summary["representation"] == "zc")
    rows = summary[method | reference | (summary["method"] == "chance")]
    return rows[rows["label"].isin(style.LABELS)].sort_values(
        ["stage", "method", "beta_value", "label"], kind="stable", ignore_index=True
    )


def plot(summary: Path, png: Path) -> None:
    """Draw the figure and write its table.

    Raises
    ------
    InputError
        If the table holds no trained run of step 1.
    """
    rows = select_rows(read_table(summary).to_pandas())
    method = rows[rows["stage"] == "step1"]
    if method.empty:
        raise InputError(summary, "column stage", "holds no trained run of step 1", "train some beta in grids.step1")
    figure, axis = style.pyplot.subplots(figsize=(style.COLUMN, 0.78 * style.COLUMN))
    betas = np.sort(method["beta_value"].unique())
    places = dict(zip(betas, style.log_positions(betas)[0], strict=True))
    last = max(places.values())
    _draw_references(axis, rows, last)
    ends = {}
    for label, (colour, marker, _) in style.LABELS.items():
        one = method[method["label"] == label].sort_values("beta_value")
        x = one["beta_value"].map(places).to_numpy()
        positive = one["beta_value"].to_numpy() > 0
        error = one["std"].fillna(0).to_numpy()
        axis.errorbar(
            x, one["mean"], yerr=error, color=colour, marker=marker, linestyle="none", capsize=1.5, elinewidth=0.8
        )
        axis.plot(x[positive], one["mean"].to_numpy()[positive], color=colour)
        ends[label] = one["mean"].iloc[-1]
    low, high = axis.get_ylim()
    label_places = style.spread(list(ends.values()), gap=0.06 * (high - low))
    for label, place in zip(ends, label_places, strict=True):
        colour, _, text = style.LABELS[label]
        axis.annotate(text, (last, place), xytext=(6, 0), textcoords="offset points", color=colour, va="center")
    style.label_log_axis(axis, betas)
    axis.set_xlabel(r"$\beta$ (weight of the conditional bottleneck)")
    axis.set_ylabel("linear-probe accuracy of [$z_c^1$, $z_c^2$]")
    axis.set_xlim(min(places.values()) - 0.3, last + 0.12 * (last - min(places.values())) + 0.1)
    style.save(figure, png, rows)


def _draw_references(axis, rows: pd.DataFrame, right: float) -> None:
    lines = [("chance", rows[rows["method"] == "chance"]["mean"].mean(), ":", "bottom")]
    for method, linestyle, text, side in (
        ("oracle", "--", "true $z_c$ on $y_c$", "bottom"),
        ("linear_cca", "-.", "linear CCA on $y_c$", "top"),
    ):
        values = rows[(rows["method"] == method) & (rows["label"] == "c")]["mean"]
        lines += [(text, value, linestyle, side) for value in values]
    for text, value, linestyle, side in lines:
        axis.axhline(value, color=style.REFERENCE_COLOUR, linewidth=0.8, linestyle=linestyle)
        axis.annotate(
            text, (right, value), xytext=(0, 2 if side == "bottom" else -2), textcoords="offset points", va=side,
            ha="right", color=style.REFERENCE_COLOUR,
        )  # fmt: skip
