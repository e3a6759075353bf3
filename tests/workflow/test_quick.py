"""The quick preset, twice."""

from __future__ import annotations

import pytest


@pytest.mark.slow
def test_quick_preset_from_scratch_notes_the_same_sums_twice(fresh, tmp_path):
    """Ten minutes of two idle cores. Every table, figure and measurement is in the sums, byte for byte."""
    noted = []
    for name in ("one", "other"):
        checkout = fresh.copy(tmp_path / name).under("config/quick.yaml")
        checkout.run(seconds=5400).ok()
        noted.append((checkout / "results/quick/SHA256SUMS").read_text().splitlines())
    assert len(noted[0]) > 100 and noted[0] == noted[1]
