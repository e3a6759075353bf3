"""What a script's frame says when the machine fails: one sentence, in whatever words the error has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
JOB = """
import errno, sys
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
from _job import job
from disentangledssl.atomic import atomic
with job(SimpleNamespace(log=[sys.argv[2]], rule="split")):
    {block}
"""
ERRORS = {
    "raised by a library": ("raise OSError('the page is cut')", "{log}: the page is cut; mend this and run again."),
    "in writing": (
        "with atomic(sys.argv[2] + '.csv'): raise OSError('the page is cut')",
        "{log}.csv: the page is cut; mend this and run again.",
    ),
    "of the machine": (
        "raise OSError(errno.EROFS, 'Read-only file system', 'a.csv')",
        "a.csv: Read-only file system; mend this and run again.",
    ),
}


@pytest.mark.parametrize(("block", "sentence"), ERRORS.values(), ids=ERRORS)
def test_an_error_of_the_machine_is_one_sentence(tmp_path, block, sentence):
    log = tmp_path / "split.log"
    command = [sys.executable, "-c", JOB.format(block=block), str(SCRIPTS), str(log)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == f"\n{sentence.format(log=log)}\n(log: {log})\n"
    assert "Traceback (most recent call last)" in log.read_text()
