"""Labels beside what they name, where neither another label nor a drawn line is in the way."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib import patheffects
from matplotlib.transforms import Bbox

from disentangledssl.figures.style import spread

# Points (1/72 inch) between what is labelled and its label; from the second on a hairline joins them.
DISTANCES = (4, 9, 15, 22, 30, 40)
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
PADDING = 2.5  # pixels
LEADER = 9  # points from the axes to a column of labels on their right
# Costs; a sampled point of a line costs its weight.
OUTSIDE, OTHER_LABEL, STRUCK_OUT, FARTHER = 1000, 1000, 10, 3


@dataclass(frozen=True)
class Label:
    """A text and the places that it may stand beside, in data coordinates, best first.

    A hairline leads from a label that is ``joined`` and not close by; ``clear`` is the radius of the marker that
    is labelled, in points.
    """

    text: str
    places: Sequence[tuple[float, float]]
    colour: str
    joined: bool = True
    clear: float = 0


def sample(axis, x: Sequence[float], y: Sequence[float], weight: float = 1.0) -> np.ndarray:
    """Points along a line of data, two pixels apart at most, as rows (x, y, weight) in pixels."""
    corners = axis.transData.transform(np.column_stack([x, y]).astype(float))
    out = [corners]
    for start, end in itertools.pairwise(corners):
        steps = int(np.hypot(*(end - start)) // 2)
        out.append(start + (end - start) * np.linspace(0, 1, steps + 2)[1:-1, None])
    points = np.concatenate(out)
    return np.column_stack([points, np.full(len(points), weight)])


def disc(axis, x: float, y: float, radius: float, weight: float = 1.0) -> np.ndarray:
    """Points of a marker of so many points' radius, as rows (x, y, weight) in pixels."""
    angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    ring = radius * axis.figure.dpi / 72 * np.column_stack([np.cos(angles), np.sin(angles)])
    points = axis.transData.transform((x, y)) + np.concatenate([[(0, 0)], ring])
    return np.column_stack([points, np.full(len(points), weight)])


def point(axis, x: float, y: float, radius: float, x_error: float = 0, y_error: float = 0) -> np.ndarray:
    """Points of a marker with its error bars, as rows (x, y, weight) in pixels."""
    # On a log axis an error bar may reach below 0, which is nowhere.
    ends = np.clip([y - y_error, y + y_error], *sorted(axis.get_ylim()))
    return np.concatenate(
        [
            disc(axis, x, y, radius),
            sample(axis, [x - x_error, x + x_error], [y, y], 0.4),
            sample(axis, [x, x], ends, 0.4),
        ]
    )


def place_labels(axis, labels: Sequence[Label], drawn: Sequence[np.ndarray], taken: Sequence[Bbox] = ()) -> list:
    """Write labels, one after the other, each where it hides least.

    Parameters
    ----------
    axis : Axes
        With its limits and its place in the figure final.
    labels : sequence of Label
        The most important first.
    drawn : sequence of array, ``(points, 3)``
        What is in the way, from :func:`sample`, :func:`disc` and :func:`point`.
    taken : sequence of Bbox
        Where other texts stand, in pixels.

    Returns
    -------
    list of Annotation
        Those that were written.
    """
    renderer = axis.figure.canvas.get_renderer()
    inside = axis.get_window_extent(renderer)
    points = np.concatenate([np.empty((0, 3)), *drawn])
    taken = list(taken)
    written = []
    for label in labels:
        best = min(_candidates(axis, label, renderer), key=lambda one: one.cost + _cost(one, inside, taken, points))
        taken.append(best.box)
        # A hairline is in the way of the labels to come.
        points = np.concatenate([points, np.column_stack([best.line, np.ones(len(best.line))])])
        written.append(_write(axis, label, best))
    return written


def label_ends(axis, labels: Sequence[Label]) -> list:
    """Write labels in a column on the right of the axes, each at the height of its line's end or near it.

    Parameters
    ----------
    axis : Axes
        With its limits and its place in the figure final.
    labels : sequence of Label
        With one place each, the end of a line.

    Returns
    -------
    list of Annotation
        One a label, in their order, joined to its line's end.
    """
    renderer = axis.figure.canvas.get_renderer()
    inside, pixels = axis.get_window_extent(renderer), axis.figure.dpi / 72
    ends = np.array([axis.transData.transform(*label.places) for label in labels])
    gap = max(_size(axis, label, renderer)[1] for label in labels) + 1
    heights = spread(ends[:, 1], gap)
    # Within the height of the axes: above stands the title.
    below, rank = np.arange(len(labels)), np.argsort(np.argsort(heights, kind="stable"))
    lowest, highest = inside.y0 + gap * (below + 0.5), inside.y1 - gap * (below[::-1] + 0.5)
    heights = np.minimum(np.maximum(heights, lowest[rank]), highest[rank])
    written = []
    for label, end, height in zip(labels, ends, heights, strict=True):
        offset = (inside.x1 - end[0]) / pixels + LEADER, (height - end[1]) / pixels
        line = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2.5}
        written.append(
            axis.annotate(
                label.text, *label.places, xytext=offset, textcoords="offset points", color=label.colour, ha="left",
                va="center", arrowprops=line | {"relpos": (0, 0.5)}, annotation_clip=False,
            )
        )  # fmt: skip
    return written


class _Candidate(NamedTuple):
    """A place for a label: its box and hairline in pixels, its offset in points from what is labelled."""

    box: Bbox
    line: np.ndarray
    place: tuple[float, float]
    offset: tuple[float, float]
    side: tuple[int, int]
    cost: float


def _candidates(axis, label: Label, renderer) -> Iterator[_Candidate]:
    width, height = _size(axis, label, renderer)
    pixels = axis.figure.dpi / 72
    for order, place in enumerate(label.places):
        start = axis.transData.transform(place)
        for far, distance in enumerate(DISTANCES):
            for turn, (right, up) in enumerate(DIRECTIONS):
                # Diagonal neighbours are as far away as straight ones.
                offset = np.array([right, up]) * (distance + label.clear) / np.hypot(right, up)
                end = start + offset * pixels
                box = Bbox.from_bounds(end[0] + (right - 1) / 2 * width, end[1] + (up - 1) / 2 * height, width, height)
                line = np.linspace(start, end, 12) if far and label.joined else np.empty((0, 2))
                cost = FARTHER * far + 0.01 * turn + 0.1 * order
                yield _Candidate(box, line, place, tuple(offset), (right, up), cost)


def _size(axis, label: Label, renderer) -> tuple[float, float]:
    text = axis.text(0, 0, label.text)
    box = text.get_window_extent(renderer)
    text.remove()
    return box.width, box.height


def _cost(one: _Candidate, inside: Bbox, taken: Sequence[Bbox], points: np.ndarray) -> float:
    box, wide = one.box, one.box.padded(PADDING)
    cost = 0.0
    if box.x0 < inside.x0 + 1 or box.x1 > inside.x1 or box.y0 < inside.y0 + 1 or box.y1 > inside.y1:
        cost += OUTSIDE
    cost += OTHER_LABEL * sum(wide.overlaps(other) for other in taken)
    cost += STRUCK_OUT * sum(other.contains(*place) for other in taken for place in one.line)
    hit = (points[:, 0] > wide.x0) & (points[:, 0] < wide.x1) & (points[:, 1] > wide.y0) & (points[:, 1] < wide.y1)
    return cost + float(points[hit, 2].sum())


def _write(axis, label: Label, one: _Candidate):
    right, up = one.side
    line = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2.5}
    return axis.annotate(
        label.text, one.place, xytext=one.offset, textcoords="offset points", color=label.colour,
        ha={1: "left", 0: "center", -1: "right"}[right], va={1: "bottom", 0: "center", -1: "top"}[up],
        arrowprops=line if len(one.line) else None, zorder=8,
        path_effects=[patheffects.withStroke(linewidth=1.5, foreground="white")],
    )  # fmt: skip
