"""The information plane of the noisy simulation: what a shared code keeps of the other view against its own view.

One point a beta and view, mean over seeds, error bars of one standard deviation, joined by rising beta, which stands
beside the points of zc1; the curve is the optimum, the Gaussian information bottleneck of the same data. Ours; the
paper's clean data have no such optimum.
Source: Chechik et al. 2005; ``evaluation.information_plane`` says what is measured of an encoder.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from disentangledssl.errors import InputError
from disentangledssl.figures import scatter, style
from disentangledssl.figures.labels import Label, place_labels, point, sample
from disentangledssl.files import read_table

BETAS_BESIDE = "zc1"
ROOM = 0.03  # of the axes' length: a marker at 0 is whole


def select_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """Rows that the figure draws: points of step 1 and the optimal curve."""
    chosen = (summary["stage"] == "step1") | (summary["method"] == "gaussian_bottleneck")
    return summary[chosen & (summary["metric"] == "information")].reset_index(drop=True)


def plot(summary: Path, png: Path) -> None:
    """Draw the figure and write its table.

    Raises
    ------
    InputError
        If the table has no point of the information plane.
    """
    rows = select_rows(read_table(summary).to_pandas())
    trained = rows[rows["stage"] == "step1"]
    if trained.empty:
        problem = "holds no trained run of step 1 with information"
        raise InputError(summary, "column metric", problem, "use a noisy simulation")
    optimum = _plane(rows[rows["method"] == "gaussian_bottleneck"]).sort_values("own")
    views = {name: _plane(trained[trained["representation"] == name]) for name in style.VIEWS}
    figure = style.open_page(style.COLUMN, 76)
    axis = style.place_axes(figure, 11, 10, 75, 64)
    _set_limits(axis, [optimum, *views.values()])
    in_the_way, labels = [], []
    for name, points in views.items():
        in_the_way += _draw_view(axis, name, points)
    legend = axis.legend(frameon=False, loc="lower right", handlelength=1.6)
    if len(optimum):
        x, y = optimum["own"].to_numpy(), optimum["other"].to_numpy()
        axis.plot(x, y, color=style.REFERENCE_COLOUR, linewidth=0.9, zorder=1, label="optimum")
        in_the_way.append(sample(axis, x, y))
        places = list(zip(x, y, strict=True))[::-1]
        labels.append(Label("optimum (Gaussian bottleneck)", places, style.REFERENCE_COLOUR, joined=False))
    labels += _beta_labels(axis, views[BETAS_BESIDE])
    place_labels(axis, labels, in_the_way, [legend.get_window_extent()])
    axis.set_xlabel("kept of its own view, $I(T_m; X_m)$ (bits)", labelpad=2)
    axis.set_ylabel("kept of the other view, $I(T_m; X_{m'})$ (bits)", labelpad=2)
    style.save(figure, png, rows)


def _plane(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a beta: ``own``, ``other`` and their standard deviations, 0 where there is none."""
    own, other = (
        rows[rows["label"] == label][["beta_value", "mean", "std"]].rename(
            columns={"mean": label, "std": f"{label}_std"}
        )
        for label in ("own", "other")
    )
    both = own.merge(other, on="beta_value").sort_values("beta_value", ignore_index=True)
    return both.astype(float).fillna({"own_std": 0, "other_std": 0})


def _set_limits(axis, drawn: list[pd.DataFrame]) -> None:
    for label, set_limits in (("own", axis.set_xlim), ("other", axis.set_ylim)):
        high = max((points[label] + points[f"{label}_std"]).max() for points in drawn if len(points)) or 1.0
        set_limits(-ROOM * high, (1 + 2 * ROOM) * high)


def _draw_view(axis, name: str, points: pd.DataFrame) -> list:
    """Draw the curve of a view; returns what is in the way of labels."""
    colour, marker, _ = style.VIEWS[name]
    x, y = points["own"].to_numpy(), points["other"].to_numpy()
    errors = points[["own_std", "other_std"]].to_numpy()
    axis.errorbar(x, y, xerr=errors[:, 0], yerr=errors[:, 1], fmt="none", ecolor=colour, elinewidth=0.7, capsize=1.2)
    text = scatter.code(name) + (r", $\beta$ beside each point" if name == BETAS_BESIDE else "")
    axis.plot(x, y, color=colour, marker=marker, markersize=scatter.MARKER, linewidth=0.7, label=text)
    marks = [point(axis, *place, scatter.MARKER / 2, *error) for *place, error in zip(x, y, errors, strict=True)]
    return [sample(axis, x, y), *marks]


def _beta_labels(axis, points: pd.DataFrame) -> list[Label]:
    """Beta beside each point; of points upon one another, theirs together."""
    places = {beta: (own, other) for beta, own, other in points[["beta_value", "own", "other"]].itertuples(index=False)}
    groups = scatter.together(axis, places)
    texts = [", ".join(f"{beta:g}" for beta in group) for group in groups]
    texts[:1] = [rf"$\beta$ = {text}" for text in texts[:1]]
    return [Label(text, [places[group[0]]], "black") for text, group in zip(texts, groups, strict=True)]
