"""The tiny preset, twice."""

from __future__ import annotations

from comparison import assert_same_bytes, outputs


def test_tiny_preset_makes_the_same_bytes_twice(fresh, tmp_path):
    """Every table, model and figure; logs and benchmarks hold times and are not compared."""
    made = []
    for name in ("one", "other"):
        checkout = fresh.copy(tmp_path / name).under("config/tiny.yaml")
        checkout.run().ok()
        made.append(outputs(checkout, "results/tiny"))
    assert len(made[0]) > 30
    assert_same_bytes(*made)
