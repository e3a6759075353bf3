"""The workflow's graph, drawn: what feeds what, from top to bottom.

Rules that are fed by the same and feed the same share a box. Boxes are put in layers, each below all that feeds it;
within a layer they stand where lines cross least, by Sugiyama's method: lines over several layers get a place in each,
and every place moves to the mean of its neighbours', down and up in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from itertools import pairwise
from typing import NamedTuple

LINE, CHARACTER, PADDING = 16, 7.3, 9  # height of a line of text, width of a character, and around both: pixels
BESIDE, BELOW, LANE = 18, 34, 14  # between boxes, between layers, and the width that a passing line takes
SWEEPS = 24
PULL = 0.85  # share of its distance to the middle that a place keeps in a sweep, or the drawing would grow wide


class Box(NamedTuple):
    """One or several rules: the middle of the upper edge, the size, and a line of text a rule."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]


class Drawing(NamedTuple):
    """What an SVG needs: size, boxes, and lines as paths."""

    width: float
    height: float
    boxes: list[Box]
    paths: list[str]


def draw(after: Mapping[str, Set[str]], jobs: Mapping[str, int]) -> Drawing:
    """Lay the graph of rules out.

    Parameters
    ----------
    after : mapping of str to set of str
        By rule, the rules whose outputs it reads. An arrow that others imply is not drawn.
    jobs : mapping of str to int
        How often each rule runs.
    """
    after = _merge(_reduce(after))
    layers, edges = _layers(after)
    texts = {node: tuple(f"{rule} ({jobs[rule]})" for rule in node) for node in after}
    widths = {node: CHARACTER * max(map(len, lines)) + 2 * PADDING for node, lines in texts.items()}
    x = _across(layers, edges, widths)
    boxes, tops, bottoms, y = [], {}, {}, 0.0
    for layer in layers:
        heights = {node: LINE * len(texts[node]) + 2 * PADDING for node in layer if node in texts}
        tallest = max(heights.values())
        for node in layer:
            tops[node], bottoms[node] = y, y + heights.get(node, tallest)
            if node in texts:
                boxes.append(Box(x[node], y, widths[node], heights[node], texts[node]))
        y += tallest + BELOW
    paths = [_path(way, x, tops, bottoms) for way in edges]
    return Drawing(max(box.x + box.width / 2 for box in boxes), y - BELOW, boxes, paths)


def _ancestors(after: Mapping[str, Set[str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}

    def of(rule: str) -> set[str]:
        if rule not in found:
            found[rule] = set().union(*({one} | of(one) for one in after[rule]))
        return found[rule]

    for rule in after:
        of(rule)
    return found


def _reduce(after: Mapping[str, Set[str]]) -> dict[str, set[str]]:
    """Leave out every arrow that is a short cut for others."""
    above = _ancestors(after)
    return {rule: {one for one in feeds if not any(one in above[other] for other in feeds)}
            for rule, feeds in after.items()}  # fmt: skip


def _merge(after: Mapping[str, Set[str]]) -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    """Join rules that are fed by the same and feed the same."""
    below = {rule: frozenset(one for one, feeds in after.items() if rule in feeds) for rule in after}
    groups: dict[tuple, list[str]] = {}
    for rule in sorted(after):
        groups.setdefault((frozenset(after[rule]), below[rule]), []).append(rule)
    node = {rule: tuple(group) for group in groups.values() for rule in group}
    return {node[rule]: {node[one] for one in feeds} for rule, feeds in after.items()}


def _layers(after: Mapping) -> tuple[list[list], list[list]]:
    """Return the nodes by layer, with a place for every line in the layers that it passes, and the lines' ways."""
    depth: dict = {}

    def down(node) -> int:
        if node not in depth:
            depth[node] = 1 + max(map(down, after[node]), default=-1)
        return depth[node]

    for node in sorted(after):
        down(node)
    # What nothing feeds stands right above what it feeds.
    for node in after:
        fed = [depth[other] for other, feeds in after.items() if node in feeds]
        if not after[node] and fed:
            depth[node] = min(fed) - 1
    layers: list[list] = [[] for _ in range(1 + max(depth.values()))]
    for node in sorted(after):
        layers[depth[node]].append(node)
    ways = []
    for node in sorted(after):
        for other in sorted(after[node]):
            passed = [("passing", other, node, layer) for layer in range(depth[other] + 1, depth[node])]
            for place in passed:
                layers[place[-1]].append(place)
            ways.append([other, *passed, node])
    return layers, ways


def _across(layers: list[list], ways: list[list], widths: Mapping) -> dict:
    """Order every layer in place, and return the middle of each node across the page."""
    above: dict = {node: [] for layer in layers for node in layer}
    below: dict = {node: [] for layer in layers for node in layer}
    for one, other in (step for way in ways for step in pairwise(way)):
        below[one].append(other)
        above[other].append(one)
    x = {node: place - len(layer) / 2 for layer in layers for place, node in enumerate(layer)}
    for sweep in range(SWEEPS):
        near, order = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        for layer in order:
            means = {node: _mean([x[one] for one in near[node]], x[node]) for node in layer}
            layer.sort(key=means.get)
            x |= _spread(layer, {node: PULL * mean for node, mean in means.items()}, widths)
    left = min(x[node] - widths.get(node, LANE) / 2 for layer in layers for node in layer)
    return {node: value - left for node, value in x.items()}


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _spread(layer: list, wanted: Mapping, widths: Mapping) -> dict:
    """Put the nodes of a layer as near to where they want to be as their widths allow, in their order."""
    lefts, edge = [], float("-inf")
    for node in layer:
        half = widths.get(node, LANE) / 2
        edge = max(edge, wanted[node] - half)
        lefts.append(edge)
        edge += 2 * half + BESIDE
    # Pushed to the right only; so shift all by the mean of what they were pushed.
    pushed = _mean([at + widths.get(n, LANE) / 2 - wanted[n] for at, n in zip(lefts, layer, strict=True)], 0)
    return {n: at + widths.get(n, LANE) / 2 - pushed for at, n in zip(lefts, layer, strict=True)}


def _path(way: list, x: Mapping, tops: Mapping, bottoms: Mapping) -> str:
    """Draw one line: curved between layers, straight through those that it passes."""
    text = f"M{x[way[0]]:.0f} {bottoms[way[0]]:.0f}"
    for one, other in pairwise(way):
        middle = (bottoms[one] + tops[other]) / 2
        text += f"C{x[one]:.0f} {middle:.0f} {x[other]:.0f} {middle:.0f} {x[other]:.0f} {tops[other]:.0f}"
        if other is not way[-1]:
            text += f"V{bottoms[other]:.0f}"
    return text
