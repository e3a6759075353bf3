"""What a person sees of a long job: lines in the log, one line at a time on a terminal."""

from __future__ import annotations

import logging
import time
from typing import TextIO

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10

log = logging.getLogger(__name__)


class Progress:
    """Report step, loss and time left.

    Parameters
    ----------
    name : str
        What is being trained.
    steps, done : int
        Steps in all, and steps already done by an earlier attempt.
    terminal : text stream or None
        Where the single line goes, if that is a terminal.
    """

    def __init__(self, name: str, steps: int, done: int = 0, terminal: TextIO | None = None):
        self.steps, self.done, self.first = steps, done, done
        self.started = self.last_line = time.monotonic()
        shown = terminal is not None and terminal.isatty()
        self.bar = tqdm(
            total=steps, initial=done, desc=name, file=terminal, disable=not shown, leave=False, unit="step"
        )

    def epoch(self, steps: int, loss: float, note: str) -> None:
        """Count the steps of an epoch; write a log line now and then."""
        self.done += steps
        self.bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
        self.bar.update(steps)
        now = time.monotonic()
        if now - self.last_line >= SECONDS_BETWEEN_LINES or self.done in (self.first + steps, self.steps):
            self.last_line = now
            left = (now - self.started) / (self.done - self.first) * (self.steps - self.done)
            log.info("step %d/%d, loss %.4f, about %.0f s left%s", self.done, self.steps, loss, left, note)

    def close(self) -> None:
        """Clear the line."""
        self.bar.close()
