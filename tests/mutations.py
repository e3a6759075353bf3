"""What tests of bad input share: a time limit, and what a refusal has to look like."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from disentangledssl.errors import InputError

SECONDS = 60  # of a busy machine; each takes a fraction of a second


@contextmanager
def no_hang(seconds: int = SECONDS) -> Iterator[None]:
    """Fail if the block takes longer."""

    def stop(number, frame):
        raise AssertionError(f"still at it after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def assert_is_a_sentence(error: InputError) -> None:
    """Check that a refusal is one line that can be read, with file, problem and mend."""
    said = str(error)
    assert said.isprintable(), f"more than one line, or not printable: {said!r}"
    assert len(said) - len(error.file) < 1000, f"{len(said)} characters: {said[:200]}..."
    assert error.file and error.problem and error.mend, repr(error.__dict__)
    assert "; " in said and said.endswith((".", "?")), said
