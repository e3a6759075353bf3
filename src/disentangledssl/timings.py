"""Where a job's time goes: start-up, loading, writing, and the rest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

seconds: dict[str, float] = {}
_state = {"inside": False, "first": None}


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Add the time spent in the block to the phase ``name``; a phase inside another counts for the outer one."""
    if _state["inside"]:
        yield
        return
    _state["inside"], start = True, time.perf_counter()
    _state["first"] = _state["first"] or time.time()
    try:
        yield
    finally:
        _state["inside"] = False
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start


def report(birth: float) -> dict[str, float]:
    """Return the seconds of each phase of a process born at ``birth`` (epoch time).

    Start-up is all until the first phase, the interpreter and every import, and what is put into a phase of that
    name later.
    """
    now = time.time()
    until_first = (_state["first"] or now) - birth
    return {**seconds, "start-up": until_first + seconds.get("start-up", 0.0), "all": now - birth}
