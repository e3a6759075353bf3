"""The report of a curation: what its file holds, line by line, and when it refuses to go on."""

from __future__ import annotations

import pytest

from disentangledssl.errors import InputError
from disentangledssl.sources.curation_report import CurationReport


def test_lines_hold_each_count_before_and_after(tmp_path):
    report = CurationReport("raw.pkl", rows=0, time_steps=0)
    report.record("read", "two, of 3", rows=2, time_steps=6)
    report.record("cut", "padding", time_steps=4)
    report.write(tmp_path)
    assert (tmp_path / "curation.csv").read_text() == (
        "step,rows_before,rows_after,time_steps_before,time_steps_after,reason\n"
        'read,0,2,0,6,"two, of 3"\n'
        "cut,2,2,6,4,padding\n"
    )


def test_no_row_left_is_refused():
    report = CurationReport("raw.pkl", rows=3)
    with pytest.raises(InputError, match=r"raw\.pkl: no row is left after the step drop \(none has text\); check"):
        report.record("drop", "none has text", rows=0)
