"""Kill what runs, at any moment, and look at what is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from comparison import content

SECONDS_TO_WAIT = 120
# What a kill may leave: nothing reads it under such a name, but for the checkpoint, which is whole.
UNFINISHED = (".part", "checkpoint.pt", ".unfinished")


def find_job(process: subprocess.Popen, script: str) -> psutil.Process:
    """Wait for the job that runs this script among the descendants of Snakemake."""
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while time.monotonic() < deadline:
        assert process.poll() is None, f"Snakemake ended before {script} began: {process.stdout.read()}"
        try:
            for child in psutil.Process(process.pid).children(recursive=True):
                # The interpreter itself, not a shell around it.
                words = child.cmdline()
                if any(word.endswith(script) for word in words) and "python" in words[0]:
                    return child
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.02)
    raise AssertionError(f"{script} did not begin within {SECONDS_TO_WAIT} s")


def wait_for(what: Callable[[], Any], process: subprocess.Popen, told: str, seconds: float = SECONDS_TO_WAIT) -> Any:
    """Wait until a function gives something, while Snakemake runs."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, f"Snakemake ended before {told}: {process.stdout.read()}"
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{told}: not within {seconds} s")


def scripts_of(process: subprocess.Popen) -> list[psutil.Process]:
    """Jobs that run a script of the workflow now."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                words = child.cmdline()
                if len(words) == 2 and "python" in words[0] and "/.snakemake/scripts/" in words[1]:
                    found.append(child)
    return found


def end(process: subprocess.Popen, seconds: float = SECONDS_TO_WAIT) -> str:
    """Collect what Snakemake said, when it ends; one that does not is killed, with its jobs."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return output


def assert_no_half_file(made: dict[str, Path], whole: dict[str, Path]) -> None:
    """Check that what has a final name is there to its last byte."""
    left = {name: path for name, path in made.items() if not name.endswith(UNFINISHED)}
    assert set(left) <= set(whole)
    assert [name for name, path in left.items() if content(path) != content(whole[name])] == []


def random_moments() -> random.Random:
    """Moments that are others each time, and can be had again."""
    seed = time.time_ns() % 10**9
    print(f"seed of the moments: {seed}")
    return random.Random(seed)
