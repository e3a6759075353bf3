"""The picture of the data's way in docs/design.md, against Snakemake's own graph of the rules."""

from __future__ import annotations

import itertools
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# Every kind of data set that can be planned without its files being there.
EVERYTHING = """
results: results/picture
datasets: [simulation, simulation_mixed, lincs_consensus, lincs_cells, cell_injury, lincs, rxrx19a, mfeat, mosi]
"""


@pytest.fixture(scope="module")
def picture():
    """Patterns of rules by box, and the arrows between boxes."""
    (text,) = re.findall(r"```mermaid\n(.*?)```", (REPOSITORY / "docs" / "design.md").read_text(), re.S)
    first, *lines = [line.strip() for line in text.splitlines()]
    assert first == "flowchart LR"
    boxes, arrows = {}, set()
    for line in lines:
        if box := re.fullmatch(r'(\w+)\["[^"<]+<br/>([a-z0-9_*, ]+)"\]', line):
            boxes[box[1]] = box[2].split(", ")
        else:
            start, ends = re.fullmatch(r"(\w+) --> (\w+(?: & \w+)*)", line).groups()
            arrows |= {(start, end) for end in ends.split(" & ")}
    return boxes, arrows


@pytest.fixture(scope="module")
def graph(fresh, tmp_path_factory):
    """Pairs of rules of which one takes in what the other puts out."""
    overlay = tmp_path_factory.mktemp("picture") / "everything.yaml"
    overlay.write_text(EVERYTHING)
    shown = fresh.under(str(overlay)).run(options=["--rulegraph", "dot"]).ok().output
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)', shown, re.M))
    pairs = {(names[one], names[other]) for one, other in re.findall(r"(\d+) -> (\d+)", shown)}
    return {pair for pair in pairs if pair[1] != "everything"}


def boxes_of(rule, boxes):
    return [box for box, patterns in boxes.items() if any(fnmatch(rule, pattern) for pattern in patterns)]


def test_every_rule_has_one_box_and_every_box_has_rules(picture, graph):
    boxes, _ = picture
    rules = set(itertools.chain(*graph))
    assert len(rules) > 40
    for rule in sorted(rules):
        assert len(boxes_of(rule, boxes)) == 1, f"{rule} stands in {boxes_of(rule, boxes) or 'no box'}"
    for pattern in itertools.chain(*boxes.values()):
        assert any(fnmatch(rule, pattern) for rule in rules), f"no rule is called {pattern}"


def test_arrows_are_those_of_the_rules(picture, graph):
    boxes, arrows = picture
    real = {(start, end) for one, other in graph for start in boxes_of(one, boxes) for end in boxes_of(other, boxes)}
    assert arrows == {(start, end) for start, end in real if start != end}


def test_no_arrow_goes_back(picture):
    boxes, arrows = picture
    place = {box: number for number, box in enumerate(boxes)}
    assert not [arrow for arrow in arrows if place[arrow[0]] >= place[arrow[1]]]
