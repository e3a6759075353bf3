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
    assert_same_bytes(*made)
