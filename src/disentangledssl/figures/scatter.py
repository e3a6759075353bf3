"""Accuracy on y_c against accuracy on a specific label: what Figures 4b, 7, 8 and 9b share.

A point is one setting of the hyperparameters, mean over seeds, with error bars of one standard deviation. Points of
a curve differ in one hyperparameter and are joined in its order: lam falling, for the shared representation of
DisentangledSSL beta rising. The end of the smallest lam is hollow. Settings of which every seed diverged are in the
figure's table, marked as not shown; the curve goes on to the next point. Added to the paper's figures: the true
latents, the raw input, linear CCA and chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle, Wedge
from matplotlib.transforms import ScaledTranslation

from disentangledssl.figures import style
from disentangledssl.figures.labels import Label, disc, place_labels, point, sample

# By stage: the hyperparameter that tells curves apart, and the one along a curve with whether it rises.
CURVES = {
    "step1": (None, "beta_value", True),
    "step2": ("beta_value", "lam", False),
    "jointopt": ("a", "lam", False),
    "focal": ("a", "lam", False),
    "dmvae": (None, "lam", False),
}
# By method: the hyperparameter that its tints stand for.
TINTED = {"disentangledssl": "beta_value", "jointopt": "a", "focal": "a"}
SYMBOLS = {"beta_value": r"$\beta$", "a": "$a$", "lam": r"$\lambda$"}
DATA = ["dataset", "title", "stand_in"]
SETTING = ["method", "method_label", "stage", "beta", "beta_value", "a", "lam", "representation", "width"]
COLUMNS = [
    *DATA, "panel", *SETTING, "x_label", "x_mean", "x_std", "y_label", "y_mean", "y_std", "n", "n_diverged",
    "shown", "why",
]  # fmt: skip
# Why a row is in the table.
EVERY, LOST = "every setting", "every seed diverged"

# Millimetres: panels side by side on a page, and a swatch of the key, as wide as "1000".
LEFT, WIDE, SWATCH = (14, 106), 74.5, 6.5
MARKER = 3.0  # points

Tints = Mapping[str, Mapping[float | None, str]]
Limits = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """What one panel shows: a representation's accuracy on y_c against that on ``specific`` (s1 or s2).

    With the metric ``r2`` it is R2 of the true latents: zc against zs1 or zs2.
    """

    letter: str
    representation: str
    specific: str
    stages: tuple[str, ...]
    metric: str = "accuracy"

    @property
    def labels(self) -> tuple[str, str]:
        """Labels of the horizontal and of the vertical axis in the table."""
        return (self.specific, "c") if self.metric == "accuracy" else (f"z{self.specific}", "zc")

    def describe(self, label: str) -> str:
        """Text of the axis with this label."""
        if self.metric == "accuracy":
            return f"accuracy of {code(self.representation)} on {style.LABELS[label][2]}"
        return f"$R^2$ of the true {code(label) if label != 'zc' else '$z_c$'} from {code(self.representation)}"

    @property
    def shared(self) -> bool:
        """Whether the representation is meant to be shared, not specific."""
        return self.representation.startswith("zc")

    @property
    def references(self) -> dict[str, str]:
        """What is drawn of each reference row; for both views together, the raw input with the specific label."""
        view = self.representation[2:] or self.specific[1]
        return {
            "oracle": "zc" if self.shared else self.representation,
            "raw": f"x{view}",
            "linear_cca": self.representation,
        }

    @property
    def ideal(self) -> tuple[int, int]:
        """The corner to be reached: right and up, as 0 or 1."""
        return (0, 1) if self.shared else (1, 0)


def select_points(summary: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """One row a point of a panel, in the order in which points are joined; reference rows and chance last.

    Returns
    -------
    DataFrame
        With ``COLUMNS``. Chance is one row, its two lines. ``shown`` tells what is drawn, ``why`` the reason.
    """
    wanted = summary["stage"].isin(panel.stages) & (summary["representation"] == panel.representation)
    for reference, representation in panel.references.items():
        wanted |= (summary["method"] == reference) & (summary["representation"] == representation)
    wanted |= summary["method"] == "chance"
    rows = summary[wanted & (summary["metric"] == panel.metric)]
    keys = [*DATA, *SETTING]
    x, y = (
        rows[rows["label"] == label].rename(columns={name: f"{axis}_{name}" for name in ("label", "mean", "std")})
        for axis, label in zip("xy", panel.labels, strict=True)
    )
    points = x[[*keys, "x_label", "x_mean", "x_std"]].merge(y.drop(columns="metric"), on=keys)
    points["why"] = np.where(points["stage"] == "reference", "reference", EVERY)
    points["shown"] = True
    # A setting of which every seed diverged has one line, which names no representation.
    lost = summary[summary["stage"].isin(panel.stages) & (summary["n"] == 0)]
    lost = lost[[*keys, "n", "n_diverged"]].assign(
        representation=panel.representation, x_label=panel.labels[0], y_label=panel.labels[1], why=LOST, shown=False
    )
    points = pd.concat([points, lost]) if len(lost) else points
    points["panel"] = panel.letter
    return _in_order(points)[COLUMNS]


def _in_order(points: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for stage, (between, along, rising) in CURVES.items():
        one = points[points["stage"] == stage]
        by = [name for name in (between, along) if name]
        parts.append(one.sort_values(by, ascending=[True] * (len(by) - 1) + [rising], kind="stable"))
    parts.append(points[points["stage"] == "reference"])
    return pd.concat(parts, ignore_index=True)


def trained(points: pd.DataFrame) -> pd.DataFrame:
    """The points that are drawn, without reference rows."""
    return points[points["shown"] & (points["stage"] != "reference")]


def curves(points: pd.DataFrame, stage: str) -> list[tuple[float | None, pd.DataFrame]]:
    """The drawn curves of a stage, each with the value that tells it from the others."""
    one = trained(points)
    one = one[one["stage"] == stage]
    between = CURVES[stage][0]
    if between is None:
        return [(None, one)] if len(one) else []
    return list(one.groupby(between, sort=True))


def tints(points: pd.DataFrame) -> dict[str, dict[float | None, str]]:
    """Colour of every value that a method is tinted by, the same in all panels of a figure."""
    out = {}
    one = trained(points)
    families = one["method"].map(_family)
    for method in families.unique():
        colour = style.METHODS[method][0]
        values = sorted(one.loc[families == method, TINTED[method]].unique()) if method in TINTED else [None]
        out[method] = dict(zip(values, style.tints(colour, len(values)), strict=True))
    return out


def _family(method: str) -> str:
    """Beta = 0 is a point of DisentangledSSL's curve."""
    return "disentangledssl" if method == "disentangledssl_beta0" else method


def limits(points: pd.DataFrame, *, chance: bool = True) -> Limits:
    """Axis limits that hold every drawn point with its error bars, and chance unless told otherwise."""
    shown = points[points["shown"] & (chance | (points["method"] != "chance"))]
    out = []
    for axis in "xy":
        error = shown[f"{axis}_std"].fillna(0)
        low, high = (shown[f"{axis}_mean"] - error).min(), (shown[f"{axis}_mean"] + error).max()
        # The ideal corner holds a reference row and a word.
        room = 0.11 * max(high - low, 0.02)
        out.append((float(low - room), float(high + room)))
    return out[0], out[1]


def draw_panel(axis, points: pd.DataFrame, panel: Panel, tints: Tints, limits: Limits, *, betas: bool = False) -> None:
    """Draw one panel.

    Parameters
    ----------
    axis : Axes
        From :func:`style.place_axes`: its place is final, which labels rely on.
    points : DataFrame
        From :func:`select_points`, of this panel.
    panel : Panel
    tints, limits
        From the functions of these names, of the whole figure.
    betas : bool
        Write beta beside the points of step 1.
    """
    axis.set_xlim(limits[0])
    axis.set_ylim(limits[1])
    ideal = _mark_ideal(axis, panel)
    in_the_way, labels = [], []
    # The more curves a stage has, the lower it lies, so that none is buried.
    for level, stage in enumerate(("step2", "jointopt", "focal", "dmvae", "step1")):
        for value, curve in curves(points, stage):
            own = curve["representation"] == panel.representation
            in_the_way += _draw_curve(axis, curve[own], value, tints, zorder=2 + 0.2 * level)
            if betas:
                named = curve[own].set_index("beta_value")
                places = {beta: (row["x_mean"], row["y_mean"]) for beta, row in named.iterrows()}
                labels += [
                    Label(", ".join(f"{beta:g}" for beta in group), [places[group[0]]], "black")
                    for group in together(axis, places)
                ]
            for representation, other in curve[~own].groupby("representation"):
                in_the_way += _draw_curve(axis, other, value, tints, zorder=2 + 0.2 * level, light=True)
                places = list(zip(other["x_mean"], other["y_mean"], strict=True))
                labels.append(Label(f"{code(representation)} alone", places, style.METHODS["disentangledssl"][0]))
    reference_labels, marks = _draw_references(axis, points, panel)
    place_labels(axis, reference_labels + labels, in_the_way + marks, [ideal.get_window_extent().padded(8)])
    for label, write in zip(panel.labels, (axis.set_xlabel, axis.set_ylabel), strict=True):
        write(panel.describe(label), labelpad=2)


def _draw_curve(axis, curve: pd.DataFrame, value: float | None, tints: Tints, zorder: float, light: bool = False):
    """Draw one curve, thinner and hollow if ``light``; returns what is in the way of labels."""
    stage, method = curve["stage"].iloc[0], _family(curve["method"].iloc[0])
    colour, marker, _ = style.METHODS[method]
    along = CURVES[stage][1]
    # Where beta changes along the curve, each point has its own tint.
    by_point = along == TINTED.get(method)
    own = [tints[method][one] for one in (curve[along] if by_point else [value] * len(curve))]
    x, y = curve["x_mean"].to_numpy(), curve["y_mean"].to_numpy()
    errors = curve[["x_std", "y_std"]].fillna(0).to_numpy()
    axis.errorbar(
        x, y, xerr=errors[:, 0], yerr=errors[:, 1], fmt="none", ecolor=own, elinewidth=0.4, alpha=0.6, zorder=zorder
    )
    name = stage if value is None else f"{stage} {value:g}"
    axis.plot(
        x, y, color=colour if by_point else own[0], linewidth=0.7, linestyle=":" if light else "-", zorder=zorder,
        label=f"{name} {curve['representation'].iloc[0]}",
    )  # fmt: skip
    faces = [*own[:-1], "white"] if _ends_hollow(stage, curve) else ["white"] * len(own) if light else own
    axis.scatter(x, y, s=MARKER**2, c=faces, edgecolors=own, linewidths=0.5, marker=marker, zorder=zorder + 0.1)
    marks = [point(axis, *place, MARKER / 2, *error) for *place, error in zip(x, y, errors, strict=True)]
    return [sample(axis, x, y), *marks]


def _ends_hollow(stage: str, curve: pd.DataFrame) -> bool:
    return CURVES[stage][1] == "lam" and len(curve) > 1


def _draw_references(axis, points: pd.DataFrame, panel: Panel) -> tuple[list[Label], list[np.ndarray]]:
    grey = style.REFERENCE_COLOUR
    rows = points[points["stage"] == "reference"].set_index("method")
    places, labels, marks = {}, [], []
    for method, (marker, size) in style.REFERENCES.items():
        if method in rows.index:
            x, y = places[method] = tuple(rows.loc[method, ["x_mean", "y_mean"]])
            axis.plot(
                x, y, marker=marker, markersize=size, markerfacecolor="none", markeredgecolor=grey, markeredgewidth=0.8,
                linestyle="none", zorder=6, label=method,
            )  # fmt: skip
            marks.append(disc(axis, x, y, size / 2, weight=2))
    true = "$z_c$" if panel.shared else code(panel.representation)
    texts = {"oracle": f"true {true}", "raw": f"raw {code(panel.references['raw'])}", "linear_cca": "linear CCA"}
    for group in together(axis, places):
        text, size = ", ".join(texts[method] for method in group), max(style.REFERENCES[method][1] for method in group)
        labels.append(Label(text, [places[group[0]]], grey, joined=False, clear=size / 2 - 1))
    if "chance" in rows.index:
        x, y = rows.loc["chance", ["x_mean", "y_mean"]]
        (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
        axis.axhline(y, color=grey, linewidth=0.6, linestyle=":", zorder=1, label="chance")
        axis.axvline(x, color=grey, linewidth=0.6, linestyle=":", zorder=1, label="chance")
        marks += [sample(axis, [left, right], [y, y], 0.3), sample(axis, [x, x], [bottom, top], 0.3)]
        along = [(left + part * (right - left), y) for part in (0.02, 0.3, 0.5, 0.7)]
        labels.append(Label("chance", [(x, y), *along] if left < x < right else along, grey, joined=False))
    return labels, marks


def together(axis, places: Mapping[Any, tuple[float, float]]) -> list[list[Any]]:
    """Group the names of points that lie upon one another: they share a label."""
    groups: list[list[Any]] = []
    pixels = {name: axis.transData.transform(place) for name, place in places.items()}
    for name in places:
        for group in groups:
            if np.hypot(*(pixels[name] - pixels[group[0]])) < 5 * axis.figure.dpi / 72:
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def code(name: str) -> str:
    """Return the paper's symbol of a representation or view, ``zc1``, ``x1``; ``zc`` is both shared codes together."""
    if name == "zc":
        return "[$z_c^1$, $z_c^2$]"
    return f"${name[0]}_{name[1]}$" if len(name) == 2 else f"${name[0]}_{name[1]}^{name[2]}$"


def _mark_ideal(axis, panel: Panel):
    """Shade the corner to be reached; returns its text."""
    right, up = panel.ideal
    start = {(1, 0): 90, (0, 1): 270}[right, up]
    # Round in millimetres, whatever the axes' shape.
    inches = axis.figure.dpi_scale_trans + ScaledTranslation(right, up, axis.transAxes)
    wedge = Wedge((0, 0), 10 * style.MILLIMETRE, start, start + 90, transform=inches)
    axis.add_patch(wedge)
    wedge.set(facecolor="#E8E8E8", linewidth=0, zorder=0)
    return axis.annotate(
        "ideal", (right, up), xycoords="axes fraction", xytext=(2 - 4 * right, 2 - 4 * up), textcoords="offset points",
        ha="right" if right else "left", va="top" if up else "bottom", color=style.REFERENCE_COLOUR,
    )  # fmt: skip


def blank_axes(figure, left: float, bottom: float, width: float, height: float):
    """Axes without frame whose data coordinates are millimetres, for a key."""
    key = style.place_axes(figure, left, bottom, width, height)
    key.set_xlim(0, width)
    key.set_ylim(0, height)
    key.axis("off")
    return key


def draw_key(key, tints: Tints, method: str, left: float, top: float) -> None:
    """Draw a method's marker, name and, if there are several, its tints with their values; nothing if not drawn.

    Parameters
    ----------
    key : Axes
        From :func:`blank_axes`.
    left, top : float
        Millimetres.
    """
    if method not in tints:
        return
    colour, marker, name = style.METHODS[method]
    values = tints[method]
    if method in TINTED:
        symbol = SYMBOLS[TINTED[method]]
        name += f", by {symbol}" if len(values) > 1 else f", {symbol} = {_spell(*values)}"
    draw_mark(key, marker, colour, name, left, top)
    if len(values) > 1:
        for k, (value, tint) in enumerate(values.items()):
            key.add_patch(Rectangle((left + k * SWATCH, top - 5.4), SWATCH, 1.8, facecolor=tint, linewidth=0))
            key.text(left + (k + 0.5) * SWATCH, top - 7.4, _spell(value), ha="center", va="center")


def draw_mark(key, marker: str, colour: str, text: str, left: float, top: float, *, hollow: bool = False) -> None:
    """Draw a marker and what it stands for."""
    face = "white" if hollow else colour
    key.plot(
        left + 1.2, top - 1.6, marker=marker, color=colour, markerfacecolor=face, markersize=4, linestyle="none",
        markeredgewidth=0.8,
    )  # fmt: skip
    key.text(left + 3.2, top - 1.6, text, va="center")


def draw_note(key, points: pd.DataFrame, left: float, top: float) -> None:
    """Say which end of a curve is which, if any has two."""
    panels = [one for _, one in points.groupby("panel")]
    if any(_ends_hollow(stage, curve) for one in panels for stage in CURVES for _, curve in curves(one, stage)):
        key.text(left, top - 1.6, r"hollow: smallest $\lambda$", va="center", color=style.REFERENCE_COLOUR)


def draw_wide_key(figure, points: pd.DataFrame, tints: Tints, bottom: float) -> None:
    """Draw the key of a figure as wide as the page: DisentangledSSL on the left, the other methods on the right."""
    key = blank_axes(figure, 0, bottom, 183, 13)
    draw_key(key, tints, "disentangledssl", 2, 13)
    draw_key(key, tints, "jointopt", 92, 13)
    draw_key(key, tints, "focal", 138, 13)
    draw_key(key, tints, "dmvae", 138, 4)
    draw_note(key, points, 92 if len(tints) > 1 else 2, 4)


def _spell(value: float) -> str:
    """A value no wider than a swatch."""
    power = np.log10(value) if value > 0 else 0.0
    return f"$10^{{{power:.0f}}}$" if power < -2.5 and abs(power - round(power)) < 1e-9 else f"{value:g}"
