"""The graph of the report: boxes in layers, no arrow lost, none that others imply, nothing upon another."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from disentangledssl.report import graph


def test_rules_stand_below_what_they_read():
    drawing = graph.draw(
        {"make": set(), "train": {"make"}, "measure": {"make", "train"}, "draw": {"measure"}, "list": {"measure"}},
        {"make": 1, "train": 12, "measure": 12, "draw": 1, "list": 1},
    )
    tops = {line.split(" (")[0]: box.y for box in drawing.boxes for line in box.lines}
    assert tops["make"] < tops["train"] < tops["measure"] < tops["draw"] == tops["list"]
    # Both read the same and feed nothing: one box. "make -> measure" is implied by the others.
    assert sorted(box.lines for box in drawing.boxes) == [
        ("draw (1)", "list (1)"), ("make (1)",), ("measure (12)",), ("train (12)",),
    ]  # fmt: skip
    assert len(drawing.paths) == 3


@st.composite
def graphs(draw):
    """Rules that read earlier ones."""
    count = draw(st.integers(1, 14))
    return {f"r{k}": draw(st.sets(st.sampled_from([f"r{j}" for j in range(k)]))) if k else set() for k in range(count)}


@given(graphs())
def test_every_rule_is_drawn_once_and_none_upon_another(after):
    drawing = graph.draw(after, dict.fromkeys(after, 1))
    assert sorted(line for box in drawing.boxes for line in box.lines) == sorted(f"{rule} (1)" for rule in after)
    for one, other in itertools.combinations(drawing.boxes, 2):
        apart = abs(one.x - other.x) >= (one.width + other.width) / 2
        assert apart or one.y + one.height <= other.y or other.y + other.height <= one.y
    for box in drawing.boxes:
        assert box.x - box.width / 2 >= -1e-6 and box.x + box.width / 2 <= drawing.width + 1e-6
        assert box.y + box.height <= drawing.height + 1e-6


@given(graphs())
def test_what_is_drawn_says_who_needs_whom_and_no_more(after):
    """Reachability is the same with the arrows that others imply as without them."""
    reduced = graph._reduce(after)
    assert graph._ancestors(reduced) == graph._ancestors(after)
    for rule, feeds in reduced.items():
        for one in feeds:
            fewer = reduced | {rule: feeds - {one}}
            assert one not in graph._ancestors(fewer)[rule], "an arrow that others imply"
