"""The little Markdown that tables in the paper's layout are written in: headings, paragraphs, tables, bold cells."""

from __future__ import annotations

import re
from typing import NamedTuple

from markupsafe import Markup, escape


class Block(NamedTuple):
    """A heading, a paragraph or a table: ``text`` of the former, ``head`` and ``rows`` of the latter."""

    kind: str
    text: str
    head: list[str]
    rows: list[list[str]]


def read_blocks(text: str) -> list[Block]:
    """Take a text apart at its empty lines.

    >>> [block.kind for block in read_blocks("# Table 1\\n\\n| a | b |\\n| --- | --- |\\n| 1 | 2 |\\n\\nAll of it.\\n")]
    ['heading', 'table', 'paragraph']
    """
    blocks = []
    for lines in (part.splitlines() for part in re.split(r"\n\s*\n", text.strip())):
        if lines[0].startswith("|"):
            head, _, *rows = map(_cells, lines)
            blocks.append(Block("table", "", head, rows))
        elif lines[0].startswith("#"):
            blocks.append(Block("heading", lines[0].lstrip("# "), [], []))
        else:
            blocks.append(Block("paragraph", " ".join(lines), [], []))
    return blocks


def in_bold(text: str) -> Markup:
    """Return a text as HTML, in which what stands between two pairs of asterisks is bold.

    >>> in_bold("**4.03** (0.39) <")
    Markup('<b>4.03</b> (0.39) &lt;')
    """
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", str(escape(text))))


def _cells(line: str) -> list[str]:
    r"""Split a line at its bars, but for escaped ones.

    >>> _cells(r"| a\|b | 2 |")
    ['a|b', '2']
    """
    return [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
