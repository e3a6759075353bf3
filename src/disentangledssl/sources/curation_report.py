"""What the steps from raw files to a data set did: ``curation.csv``, a line a step, counts before and after and why."""

from __future__ import annotations

import csv
import logging
import os
from pathlib import Path

from disentangledssl.atomic import atomic
from disentangledssl.errors import InputError

log = logging.getLogger(__name__)


class CurationReport:
    """The lines of ``curation.csv``: ``step``, for each count ``<name>_before`` and ``<name>_after``, ``reason``.

    Parameters
    ----------
    path : path
        The file that is read, for messages.
    counts : int
        What is counted, ``rows`` among it, before the first step.
    """

    def __init__(self, path: str | os.PathLike[str], **counts: int):
        self.path, self.counts, self.lines = path, counts, []

    def record(self, step: str, reason: str, **after: int) -> None:
        """Write down a step; counts that it leaves alone need not be given.

        Raises
        ------
        InputError
            If no row is left.
        """
        before, self.counts = self.counts, self.counts | after
        line, said = {"step": step}, []
        for name, count in self.counts.items():
            line |= {f"{name}_before": before[name], f"{name}_after": count}
            said.append(f"{name.replace('_', ' ')} {before[name]} -> {count}")
        self.lines.append(line | {"reason": reason})
        log.info("%s: %s: %s (%s)", self.path, step, ", ".join(said), reason)
        if not self.counts["rows"]:
            raise InputError(self.path, "", f"no row is left after the step {step} ({reason})", "check the file")

    def write(self, folder: Path) -> None:
        """Write ``curation.csv`` into a folder."""
        with atomic(folder / "curation.csv") as part, part.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, list(self.lines[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.lines)
