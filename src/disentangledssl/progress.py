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

    def due(self) -> bool:
        """Whether a line should be written now (asking for the loss can make a GPU wait)."""
        return time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES

    def show(self, steps: int, loss: float, note: str) -> None:
        """Write a line, so many steps into the current epoch."""
        done, now = self.done + steps, time.monotonic()
        self.last_line = now
        left = (now - self.started) / (done - self.first) * (self.steps - done)
        log.info("step %d/%d, loss %.4f, about %.0f s left%s", done, self.steps, loss, left, note)
        self.bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
        self.bar.update(done - self.bar.n)

    def end_epoch(self, steps: int, loss: float, note: str) -> None:
        """Count the steps of an epoch; the first and the last one always get a line."""
        self.done += steps
        if self.due() or self.done in (self.first + steps, self.steps):
            self.show(0, loss, note)

    def close(self) -> None:
        """Clear the line."""
        self.bar.close()
