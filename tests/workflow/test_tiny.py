"""The tiny preset, twice."""

from __future__ import annotations

import csv

from comparison import assert_same_bytes, outputs


def test_tiny_preset_makes_the_same_bytes_twice(fresh, tmp_path):
    """Every table, model and figure; logs and benchmarks hold times and are not compared."""
    made = []
    for name in ("one", "other"):
        checkout = fresh.copy(tmp_path / name).under("config/tiny.yaml")
        checkout.run().ok()
        made.append(outputs(checkout, "results/tiny"))
    assert len(made[0]) > 30
    with made[0]["table1.csv"].open() as lines:
        rows = list(csv.DictReader(lines))
    assert {"CLIP", "FOCAL", "JointOpt", "DisentangledSSL (both)", "Most common class"} <= {row["row"] for row in rows}
    assert {(row["dataset"], row["stand_in"]) for row in rows} == {("mfeat", "True")}
    # Of a view: CLIP's code has all of the 20 dimensions, the others have 10 for each of two.
    widths = {row["row"]: row["width"] for row in rows}
    assert (widths["CLIP"], widths["DisentangledSSL (shared)"], widths["DisentangledSSL (both)"]) == ("40", "20", "40")
    # Every cell of the paper, none compared: this preset has stand-ins alone.
    with made[0]["paper/comparison.csv"].open() as lines:
        cells = list(csv.DictReader(lines))
    assert len(cells) == 210 and {row["verdict"] for row in cells} == {"not run", "inconsistent in the source"}
    assert not any(row["mean"] or row["our_dataset"] for row in cells)
    with made[0]["paper/other_data.csv"].open() as lines:
        others = list(csv.DictReader(lines))
    assert {(row["dataset"], row["stand_in"]) for row in others} == {("mfeat", "True"), ("lincs_consensus", "True")}
    assert {row["table"] for row in others} == {"1", "2", "3", "4", "5"}
    with made[0]["paper/claims.csv"].open() as lines:
        verdicts = {row["verdict"] for row in csv.DictReader(lines) if row["data"] == "simulation"}
    assert verdicts - {"not testable"}, "the simulation is the paper's own"
    assert {f"paper/table{n}.{ending}" for n in range(1, 6) for ending in ("md", "tex")} <= set(made[0])
    assert_same_bytes(*made)
