"""A CSV file as the page shows it: what tells its rows apart in columns, what is in every row said once.

A table of too many rows is cut down to what is read first (``READ_FIRST``); if that does not do, its columns are
described instead; one with verdicts is always shown whole. The page links to the file, which holds every digit.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from disentangledssl.report.columns import DESCRIPTIONS

MOST_ROWS = 150
MOST_VALUES = 10  # that a description of a column lists
SHORT = 5  # characters of a number that is shown as it is written
WORD = 32  # characters that are not broken into lines
# By file: the rows of a table too long to be shown that are read first, as values of its columns.
PAPERS_RANKING = {"direction": ["phenotype_to_molecule"], "replicates": ["single"], "cell_line": [""]}
READ_FIRST = {
    "probes_summary": {"metric": ["accuracy"]},
    "retrieval_summary": PAPERS_RANKING | {"unit": ["per_molecule"], "metric": ["mrr", "top1", "top5", "top10"]},
    "retrieval_differences": {"unit": ["per_molecule"], "metric": ["mrr"]},
    "reconstruction_summary": {"metric": ["r2", "gain_over_better", "diff_fd_c", "diff_fd_s"]},
    "contents_summary": {"metric": ["balanced_accuracy", "r2"]},
    "transfer": PAPERS_RANKING | {"unit": ["per_molecule"], "metric": ["mrr", "top1", "top5", "top10"]},
}
# An id is left out where its name stands beside it.
IDS = {"method": "method_label", "other": "other_label"}
# By verdict; every other one is open.
KINDS = {
    **dict.fromkeys(("holds", "within uncertainty", "consistent"), "good"),
    **dict.fromkeys(("does not hold", "differs: higher", "differs: lower", "inconsistent"), "bad"),
    "level": "level",
}


class Column(NamedTuple):
    """A column: its name, what it means, and what it holds: ``number``, ``verdict``, ``word``, or longer ``text``."""

    name: str
    meaning: str
    kind: str


class Cell(NamedTuple):
    """A cell: what is shown, the whole number behind it (empty: the same), and of a verdict its kind.

    Kinds are ``good``, ``level``, ``bad`` and ``open``.
    """

    text: str
    exact: str
    kind: str


class Content(NamedTuple):
    """What a column of a table that is not shown holds, in words."""

    column: Column
    values: str


class Table(NamedTuple):
    """A table as the page shows it.

    ``common`` are the columns with one value, ``empty`` those with none; ``picked`` says which rows are shown of all
    ``total``. A table too long for the page has ``contents`` in place of ``rows``. ``verdicts`` counts those on what
    the paper says of its own data, ``others`` the rest.
    """

    columns: list[Column]
    rows: list[list[Cell]]
    total: int
    common: list[tuple[Column, str]]
    empty: list[str]
    picked: dict[str, list[str]]
    contents: list[Content]
    verdicts: dict[str, int]
    others: dict[str, int]


def is_of_paper(row: Mapping[str, str]) -> bool:
    """Return whether a row with a verdict is of the paper's data, and no claim of ours.

    >>> is_of_paper({"verdict": "holds"}), is_of_paper({"papers_data": "True", "section": "ours"})
    (True, False)
    """
    return row.get("papers_data") != "False" and row.get("section") != "ours"


def read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of a CSV file, as text."""
    with path.open(newline="", encoding="utf-8") as lines:
        head, *rows = list(csv.reader(lines)) or [[]]
    return head, rows


def show_table(name: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Decide how a table is shown.

    Parameters
    ----------
    name : str
        Of the file, without ending.
    head : sequence of str
        Names of the columns.
    rows : sequence of sequence of str
    """
    total, picked = len(rows), {}
    verdicts: dict[str, int] = {}
    others: dict[str, int] = {}
    for one in (dict(zip(head, row, strict=True)) for row in rows if "verdict" in head):
        counts = verdicts if is_of_paper(one) else others
        counts[one["verdict"]] = counts.get(one["verdict"], 0) + 1
    short = total <= MOST_ROWS or "verdict" in head
    if not short and name in READ_FIRST:
        picked = {column: values for column, values in READ_FIRST[name].items() if column in head}
        wanted = {head.index(column): values for column, values in picked.items()}
        rows = [row for row in rows if all(row[place] in values for place, values in wanted.items())]
    columns = [_column(title, [row[place] for row in rows]) for place, title in enumerate(head)]
    if not short and len(rows) > MOST_ROWS:
        contents = [Content(column, _values(column, [row[place] for row in rows]))
                    for place, column in enumerate(columns)]  # fmt: skip
        return Table(columns, [], total, [], [], picked, contents, verdicts, others)
    places = [place for place, title in enumerate(head) if IDS.get(title) not in head]
    distinct = [{row[place] for row in rows} for place in range(len(head))]
    empty = [place for place in places if distinct[place] <= {""}]
    # Of a single row everything is in every row.
    common = [place for place in places if len(rows) > 1 and len(distinct[place]) == 1 and place not in empty]
    kept = [place for place in places if place not in empty and place not in common]
    for place in [place for place in kept if head[place] == "verdict"]:
        # It is not to be looked for behind all that it rests on.
        kept.remove(place)
        kept.insert(1, place)
    shown = [[_cell(columns[place], row[place]) for place in kept] for row in rows]
    return Table(
        [columns[place] for place in kept],
        shown,
        total,
        [(columns[place], _cell(columns[place], rows[0][place]).text) for place in common],
        [head[place] for place in empty] if rows else [],
        picked,
        [],
        verdicts,
        others,
    )


def _column(name: str, values: Sequence[str]) -> Column:
    filled = [value for value in values if value]
    if name.startswith("verdict"):
        kind = "verdict"
    elif filled and all(map(_is_number, filled)):
        kind = "number"
    else:
        kind = "word" if all(len(value) <= WORD for value in filled) else "text"
    return Column(name, DESCRIPTIONS.get(name, ""), kind)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _cell(column: Column, text: str) -> Cell:
    if column.kind == "verdict":
        return Cell(text, "", KINDS.get(text, "open"))
    if column.kind == "number" and len(text) > SHORT:
        shown = _round(text)
        return Cell(shown, text if shown != text else "", "")
    return Cell({"True": "yes", "False": "no"}.get(text, text), "", "")


def _round(text: str) -> str:
    """Shorten a number to four decimals, or to four digits where these would say too little or too much.

    >>> [_round(text) for text in ("0.499637", "-0.000012345", "1234.5678", "1075000")]
    ['0.4996', '-1.234e-05', '1235', '1075000']
    """
    value = float(text)
    if text.lstrip("-").isdigit():
        return text
    return f"{value:.4f}" if 0.001 <= abs(value) < 100 else f"{value:.4g}"


def _values(column: Column, values: Sequence[str]) -> str:
    filled = [value for value in values if value]
    distinct = list(dict.fromkeys(filled))
    gaps = f"; empty in {len(values) - len(filled)} rows" if len(filled) < len(values) else ""
    if not distinct:
        return "empty"
    if len(distinct) <= MOST_VALUES:
        return ", ".join(_cell(column, value).text for value in distinct) + gaps
    if column.kind == "number":
        least, most = (_cell(column, value).text for value in (min(filled, key=float), max(filled, key=float)))
        return f"{len(distinct)} values from {least} to {most}{gaps}"
    return f"{len(distinct)} values, for example {distinct[0]}{gaps}"
