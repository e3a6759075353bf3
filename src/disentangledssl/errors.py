"""The one error that users should see."""

from __future__ import annotations

import os
from collections.abc import Iterable

LONGEST = 300  # characters of a part of a sentence


class InputError(Exception):
    """Something a user gave us is wrong, told in one sentence on one line, whatever the user's file holds.

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
        where = f"{self.file}: {_shown(place)}" if place else self.file
        super().__init__(f"{where}: {_shown(problem)}; {_shown(mend)}{'' if mend.endswith('?') else '.'}")


def _shown(text: str) -> str:
    """Cut a text that is too long in the middle, and escape what cannot be printed, such as ends of lines."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST * 2 // 3]} ... {text[-LONGEST // 4 :]}"
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def first_few(items: Iterable[object], shown: int = 5) -> str:
    """Join the first few items for a message and count the rest.

    >>> first_few(["a", "b", "c"], shown=2)
    'a, b and 1 more'
    """
    items = [str(item) for item in items]
    if len(items) <= shown:
        return ", ".join(items)
    return f"{', '.join(items[:shown])} and {len(items) - shown} more"
