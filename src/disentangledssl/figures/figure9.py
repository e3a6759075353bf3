"""Figure 9: the shared representation zc1 where some dimensions of the views are purely shared.

a: accuracy on y_c, y_s1 and y_s2 against beta (left) and the weight ratio of both encoders' first layers (right):
mean of diag(W^T W) over the pure inputs, over the mixed ones. b: accuracy on y_c against y_s2 of [zc1, zc2] and of
zc1 alone, joined by rising beta. Mean over seeds, error bars of one standard deviation.
Source: App. H.1, Fig. 9. Whose accuracy b shows the paper leaves open. zc1 is made from x1, which holds nothing of
y_s2, so zc1 alone can only be at chance: hence both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullLocator

from disentangledssl.errors import InputError
from disentangledssl.figures import scatter, style
from disentangledssl.figures.labels import Label, place_labels, point, sample
from disentangledssl.files import read_table

CODE = "zc1"
PANEL = scatter.Panel("b", "zc", "s2", ("step1",))
ALONE = scatter.Panel("b", CODE, "s2", ("step1",))
RATIO = "weight_ratio"
LEVELS = ("oracle", "linear_cca")  # of the reference rows, on y_c


def select_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """One row a point and panel, in the order of joining.

    In panel a ``x_label`` is beta and ``y_label`` a label or the weight ratio of the encoder named by
    ``representation``; reference rows, which have no beta, are level lines, chance that of the mean over labels.
    """
    method = summary["stage"] == "step1"
    ratio = method & (summary["metric"] == RATIO)
    accuracy = (summary["metric"] == "accuracy") & summary["label"].isin(style.LABELS)
    probed = method & accuracy & (summary["representation"] == CODE)
    level = summary["representation"] == summary["method"].map({name: ALONE.references[name] for name in LEVELS})
    level &= accuracy & (summary["label"] == "c")
    chance = summary[(summary["method"] == "chance") & accuracy]
    lines = chance.iloc[:1].assign(mean=chance["mean"].mean(), label="mean of the labels")
    lost = summary[method & (summary["n"] == 0)].assign(representation=CODE)
    curves = summary[probed | ratio].sort_values(["metric", "representation", "label", "beta_value"], kind="stable")
    rows = pd.concat([curves, lost, summary[level], lines])
    rows = rows.assign(
        panel="a", x_label="beta", x_mean=rows["beta_value"], x_std=np.nan, y_mean=rows["mean"], y_std=rows["std"],
        y_label=rows["label"].where(rows["metric"] != RATIO, RATIO), shown=rows["n"] > 0,
        why=np.where(rows["stage"] == "reference", "reference", np.where(rows["n"] == 0, scatter.LOST, scatter.EVERY)),
    )  # fmt: skip
    alone = scatter.select_points(summary, ALONE)
    alone = alone[alone["stage"] != "reference"]
    return pd.concat([rows[scatter.COLUMNS], alone, scatter.select_points(summary, PANEL)], ignore_index=True)


def plot(summary: Path, png: Path) -> None:
    """Draw the figure and write its table.

    Raises
    ------
    InputError
        If the table holds no trained run of step 1.
    """
    points = select_rows(read_table(summary).to_pandas())
    if scatter.trained(points).empty:
        raise InputError(summary, "column stage", "holds no trained run of step 1", "train some beta in grids.step1")
    left, right = (points[points["panel"] == letter] for letter in "ab")
    figure = style.open_page(style.PAGE, 78)
    key = scatter.blank_axes(figure, 0, 71.5, 183, 6)
    axis = style.place_axes(figure, 14, 10, 66, 57)
    _draw_against_beta(axis, left, key)
    style.letter_panel(axis, "a", 12)
    other = style.place_axes(figure, 109, 10, 71.5, 57)
    tints = scatter.tints(right)
    colour, marker, name = style.METHODS["disentangledssl"]
    scatter.draw_mark(key, marker, colour, rf"{name}, $\beta$ beside each point", 106, 6)
    scatter.draw_panel(other, right, PANEL, tints, scatter.limits(right), betas=True)
    style.letter_panel(other, "b", 12)
    style.save(figure, png, points)


def _draw_against_beta(axis, points: pd.DataFrame, key) -> None:
    drawn = scatter.trained(points)
    betas = np.sort(drawn["x_mean"].unique())
    places = dict(zip(betas, style.log_positions(betas)[0], strict=True))
    low, high = min(places.values()), max(places.values())
    axis.set_xlim(low - 0.04 * (high - low) - 0.1, high + 0.04 * (high - low) + 0.1)
    style.label_log_axis(axis, betas)
    axis.set_xlabel(r"$\beta$ (weight of the conditional bottleneck)")
    axis.set_ylabel(f"accuracy of {scatter.code(CODE)}", labelpad=2)
    lines = []
    for k, (label, (colour, marker, text)) in enumerate(style.LABELS.items()):
        lines.append((axis, *_draw_line(axis, drawn[drawn["y_label"] == label], places, colour, marker)))
        scatter.draw_mark(key, marker, colour, text.split(" ")[0], 13 + 9 * k, 6)
    ratios = drawn[drawn["y_label"] == RATIO]
    if len(ratios):
        second = axis.twinx()
        for k, (representation, (colour, marker, text)) in enumerate(style.VIEWS.items()):
            one = ratios[ratios["representation"] == representation]
            lines.append((second, *_draw_line(second, one, places, colour, marker, hollow=True)))
            scatter.draw_mark(key, marker, colour, text, 42 + 29 * k, 6, hollow=True)
        # The accuracies and the labels lie on top.
        axis.set_zorder(2)
        axis.patch.set_visible(False)
        colour = style.VIEWS["zc2"][0]
        # Of a smaller span a logarithmic axis would name next to no value.
        if ratios["y_mean"].max() > 5 * ratios["y_mean"].min() > 0:
            second.set_yscale("log")
            second.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            second.yaxis.set_major_formatter("{x:g}")
            second.yaxis.set_minor_locator(NullLocator())
        second.tick_params(axis="y", colors=colour)
        second.spines["right"].set(visible=True, color=colour)
        second.set_ylabel("weight ratio, pure / mixed inputs (dashed)", color=colour)
    _draw_levels(axis, points[points["stage"] == "reference"], lines)


def _draw_line(axis, rows: pd.DataFrame, places, colour: str, marker: str, *, hollow: bool = False):
    """Draw a line of points with error bars, broken between 0 and the log scale; returns points and errors."""
    x, y, error = rows["x_mean"].map(places).to_numpy(), rows["y_mean"].to_numpy(), rows["y_std"].fillna(0).to_numpy()
    face = "white" if hollow else colour
    axis.errorbar(
        x, y, yerr=error, color=colour, marker=marker, markerfacecolor=face, linestyle="none",
        capsize=1.5, elinewidth=0.8, markeredgewidth=0.8, zorder=3, label=rows["y_label"].iloc[0],
    )  # fmt: skip
    positive = rows["x_mean"].to_numpy() > 0
    axis.plot(x[positive], y[positive], color=colour, linestyle="--" if hollow else "-", linewidth=1, zorder=2.5)
    return x, y, error


def _draw_levels(axis, rows: pd.DataFrame, lines) -> None:
    """Draw the reference rows as level lines, each with its name where that hides least."""
    grey = style.REFERENCE_COLOUR
    levels = dict(zip(rows["method"], rows["y_mean"], strict=True))
    texts = {"oracle": "true $z_c$", "linear_cca": "linear CCA", "chance": "chance"}
    dashes = {"oracle": (0, (5, 3)), "linear_cca": "-.", "chance": ":"}
    for method, level in levels.items():
        axis.axhline(level, color=grey, linewidth=0.8, linestyle=dashes[method], zorder=1, label=method)
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.09 * (high - low))
    left, right = axis.get_xlim()
    in_the_way = [sample(one, x, y) for one, x, y, _ in lines]
    in_the_way += [
        point(one, *values, radius=2, y_error=error)
        for one, x, y, errors in lines
        for *values, error in zip(x, y, errors, strict=True)
    ]
    in_the_way += [sample(axis, [left, right], [level, level]) for level in levels.values()]
    labels = []
    for group in scatter.together(axis, {method: (left, level) for method, level in levels.items()}):
        places = [(left + part * (right - left), levels[group[0]]) for part in np.linspace(0.15, 0.85, 8)]
        on = "" if group == ["chance"] else " on $y_c$"
        labels.append(Label(", ".join(texts[method] for method in group) + on, places, grey, joined=False))
    place_labels(axis, labels, in_the_way)
