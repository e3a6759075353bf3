"""The one error that users should see."""

from __future__ import annotations

import os
from collections.abc import Iterable


class InputError(Exception):
    """Something a user gave us is wrong, told in one sentence.

    Parameters
    ----------
    file : str or path
        The file (or setting source) the mistake is in.
    place : str
        Where in it: a column, a row, a key; empty when the whole file is meant.
    problem : str
        What is wrong, with the value that was seen.
    mend : str
        What to do about it.
    """

    def __init__(self, file: str | os.PathLike[str], place: str, problem: str, mend: str):
        self.file, self.place, self.problem, self.mend = os.fspath(file), place, problem, mend
        where = f"{self.file}: {place}" if place else self.file
        super().__init__(f"{where}: {problem}; {mend}{'' if mend.endswith('?') else '.'}")


def first_few(items: Iterable[object], shown: int = 5) -> str:
    """Join the first few items for a message and count the rest.

    >>> first_few(["a", "b", "c"], shown=2)
    'a, b and 1 more'
    """
    items = [str(item) for item in items]
    if len(items) <= shown:
        return ", ".join(items)
    return f"{', '.join(items[:shown])} and {len(items) - shown} more"
