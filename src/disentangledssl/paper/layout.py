"""Tables 1-5 as the paper lays them out, in Markdown and LaTeX: its number above, this run's below.

What was measured on other data stands in a table of its own, which has no number of the paper. Numbers have as many
digits as the paper prints.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from disentangledssl.atomic import atomic
from disentangledssl.files import read_table
from disentangledssl.paper.comparison import HIGHER, INCONSISTENT, LOWER, NOT_RUN, UNDECIDED, WITHIN
from disentangledssl.paper.published import TABLES

Row = Mapping[str, Any]


class Layout(NamedTuple):
    """What a table is of, and by which columns of the comparison its rows and columns go; ``stub`` heads the rows."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    stub: tuple[str, ...] = ("Method",)
    notes: tuple[str, ...] = ()


ACCURACY = Layout(
    "Test accuracy (%) of linear probes on MultiBench", ("method",), ("dataset",),
    notes=(
        "The width of what was probed and the accuracies on validation and training pairs stand beside every number in "
        "comparison.csv and other_data.csv (setting). FactorCL's notebook scores MIMIC on training pairs and later "
        "code on validation pairs, so the paper's MIMIC cells may be either.",
    ),
)  # fmt: skip
LAYOUTS = {
    1: ACCURACY,
    2: Layout(
        "Top-N accuracy (%) and mean reciprocal rank of retrieval", ("dataset", "method"), ("metric",),
        ("Dataset", "Top N Acc (%)"),
    ),
    3: Layout("Reconstruction gain in R²", ("method",), ("dataset", "metric")),
    4: ACCURACY._replace(title=f"{ACCURACY.title}, by representation"),
    5: Layout("Counterfactual phenotypes: differences of Frechet distances", ("method",), ("dataset", "metric")),
}  # fmt: skip
METRICS = {
    **{f"top{n}_percent": f"N={n}" for n in (1, 5, 10, 20, 30)}, "mrr": "MRR", "rg_molecule": "RG-molecule",
    "rg_phenotype": "RG-phenotype", "diff_fd_c": "Diff-FD-c", "diff_fd_s": "Diff-FD-s",
}  # fmt: skip
MARKS = {WITHIN: "≈", HIGHER: "↑", LOWER: "↓", UNDECIDED: "?", INCONSISTENT: "†"}
WORDS = {"beta=0": r"$\beta=0$", "DISENTANGLEDSSL": r"\textsc{DisentangledSSL}"}
TEX = {"²": "$^2$", "≈": r"$\approx$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "†": r"$^\dagger$", "±": r"$\pm$",
       "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
       "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}  # fmt: skip
ABSENT = "-"
LEGEND = (
    "Mean (standard deviation over seeds); of two lines the upper one is the paper's, the lower one this run's. "
    "≈ within two standard errors of the difference, ↑ higher, ↓ lower, ? one seed, or none that did not diverge, "
    "† inconsistent in the source: above what the paper's own top-N cells allow. Bold: the best of a column and data "
    "set, among the paper's and among this run's. comparison.csv has the numbers, and why a cell was not run."
)
OTHER_LEGEND = (
    "The same measurements on data that are not the paper's: stand-ins, or other measurements of the same. No number "
    "here is comparable with one of the paper. Bold: the best of a column and data set."
)
PAPER, OURS = "paper", "this run"


class Cell(NamedTuple):
    """What stands in a cell: a number, its spread, a mark, and whether it is the best; or a word alone."""

    text: str
    spread: str = ""
    mark: str = ""
    is_number: bool = False
    is_best: bool = False


class Line(NamedTuple):
    """One line of a row: what names the row (empty where it is named above), who measured, and what."""

    names: list[str]
    who: str
    cells: list[Cell]


class Grid(NamedTuple):
    """A table: heading lines, whose first ``stub`` texts are above the names of rows, and the body.

    That is a list of groups, one a data set where rows go by data sets; a group is of rows, and a row of lines.
    """

    head: list[list[str]]
    body: list[list[list[Line]]]
    stub: int


def lay_out_tables(comparison: Path, other_data: Path, folder: Path) -> None:
    """Write ``table1.md``, ``table1.tex`` ... ``table5.tex`` into a folder.

    Parameters
    ----------
    comparison, other_data : path
        As :func:`disentangledssl.paper.comparison.compare_with_paper` wrote them (Parquet).
    folder : path
    """
    cells, others = (read_table(path).to_pandas() for path in (comparison, other_data))
    for table in TABLES:
        of_table = [one[one["table"] == table] for one in (cells, others)]
        for ending, spell in (("md", markdown), ("tex", latex)):
            with atomic(folder / f"table{table}.{ending}") as part:
                part.write_text(spell(table, *of_table), encoding="utf-8")


def markdown(table: int, cells: pd.DataFrame, others: pd.DataFrame) -> str:
    """Spell out one table of the paper in Markdown, with what other data gave below it."""
    text = f"# Table {table}: {LAYOUTS[table].title}\n\n{_markdown_table(paper_grid(table, cells))}\n\n{LEGEND}\n"
    text += "".join(f"\n{line}\n" for line in (*LAYOUTS[table].notes, *_departures(cells)))
    if others.empty:
        return text
    return (
        f"{text}\n## On other data\n\n{_markdown_table(other_grid(table, others, cells))}\n\n{OTHER_LEGEND}\n"
        + "".join(f"\n{line}\n" for line in _departures(others))
    )


def latex(table: int, cells: pd.DataFrame, others: pd.DataFrame) -> str:
    """Spell out one table in LaTeX, as two tables where other data were measured; needs booktabs and graphicx."""
    title = f"{LAYOUTS[table].title} (Table {table} of the paper)."
    notes = [LEGEND, *LAYOUTS[table].notes, *_departures(cells)]
    text = "% Needs \\usepackage{booktabs,graphicx}.\n"
    text += _latex_table(paper_grid(table, cells), title, notes, f"tab:paper-{table}")
    if others.empty:
        return text
    notes = [OTHER_LEGEND, *_departures(others)]
    return (
        text
        + "\n"
        + _latex_table(other_grid(table, others, cells), f"{title} On other data.", notes, f"tab:other-{table}")
    )


def _departures(rows: pd.DataFrame) -> list[str]:
    """Say of each data set in what its run departs from the full one, where it does."""
    departing = rows[rows["departures"].notna()].drop_duplicates("dataset")
    return [
        f"{row['dataset']}: this run departs from the full one in: {row['departures']}."
        for row in departing.to_dict("records")
    ]


def paper_grid(table: int, cells: pd.DataFrame) -> Grid:
    """Lay out one table of the paper: two lines a row."""
    return _grid(LAYOUTS[table], cells.to_dict("records"), {PAPER: _papers, OURS: _ours})


def other_grid(table: int, others: pd.DataFrame, cells: pd.DataFrame) -> Grid:
    """Lay out what was measured on other data: one line a row."""
    # As many digits of a metric as the paper prints at the most: its data sets differ in scale.
    rounding = cells.groupby("metric")["rounding"].min()
    several = others.groupby("dataset")["label"].nunique()
    rows = []
    for row in others.to_dict("records"):
        label = f", y_{row['label']}" if several[row["dataset"]] > 1 else ""
        kind = "stand-in" if row["stand_in"] else "not the paper's"
        named = f"{row['dataset']}{label} ({kind})"
        rows.append(row | {"dataset": named, "rounding": rounding[row["metric"]]})
    layout = LAYOUTS[table]
    order = {name: place for place, name in enumerate(dict.fromkeys(cells["method"]))}
    rows.sort(key=lambda row: order[row["method"]])
    if layout.rows[0] == "dataset":
        datasets = list(dict.fromkeys(others["dataset"]))
        rows.sort(key=lambda row: datasets.index(row["dataset"].split(" (")[0].split(", y_")[0]))
    return _grid(layout, rows, {"": _measured})


def _grid(layout: Layout, rows: Sequence[Row], spell: Mapping[str, Callable[[Row], Cell]]) -> Grid:
    """Lay out rows, each in a line for everyone who measured; ``spell`` has by their name how a cell is written."""
    across = list(dict.fromkeys(tuple(row[name] for name in layout.columns) for row in rows))
    if layout.columns[-1] == "metric":
        # The Random row, which comes first, has no MRR; a screen may lack a metric.
        places = {name: place for place, name in enumerate(METRICS)}
        first = list(dict.fromkeys(column[:-1] for column in across))
        across.sort(key=lambda column: (first.index(column[:-1]), places[column[-1]]))
    down = list(dict.fromkeys(tuple(row[name] for name in layout.rows) for row in rows))
    found = {tuple(row[name] for name in (*layout.rows, *layout.columns)): row for row in rows}
    head = [[*layout.stub, *(METRICS.get(column[level], column[level]) for column in across)]
            for level in range(len(layout.columns))]  # fmt: skip
    for line in head[:-1]:
        line[: len(layout.stub)] = [""] * len(layout.stub)
    body = []
    for _, group in itertools.groupby(down, key=lambda row: row[:-1]):
        of_group = []
        for place, row in enumerate(group):
            # A data set is named once, a method in the first of its lines.
            names = [*row] if place == 0 else [""] * (len(row) - 1) + [row[-1]]
            here = [found.get((*row, *column)) for column in across]
            of_group.append([
                Line(names if number == 0 else [""] * len(row), who,
                     [Cell(ABSENT) if one is None else spelled(one) for one in here])
                for number, (who, spelled) in enumerate(spell.items())
            ])  # fmt: skip
        body.append(_with_best(of_group))
    return Grid(head, body, len(layout.stub))


def _with_best(rows: list[list[Line]]) -> list[list[Line]]:
    """Mark the best of every column among the numbers of whoever measured; a number alone is no best."""
    most = []
    for lines in zip(*rows, strict=True):
        columns = zip(*(line.cells for line in lines), strict=True)
        numbers = [[float(cell.text) for cell in column if cell.is_number] for column in columns]
        most.append([max(column) if len(column) > 1 else None for column in numbers])

    def marked(line: Line, best: list[float | None]) -> Line:
        return line._replace(cells=[cell._replace(is_best=cell.is_number and float(cell.text) == one)
                                    for cell, one in zip(line.cells, best, strict=True)])  # fmt: skip

    return [[marked(line, best) for line, best in zip(row, most, strict=True)] for row in rows]


def _papers(row: Row) -> Cell:
    mark = MARKS[INCONSISTENT] if row["verdict"] == INCONSISTENT else ""
    return _number(row, "paper_mean", "paper_std")._replace(mark=mark)


def _ours(row: Row) -> Cell:
    if pd.isna(row["mean"]):
        return Cell(f"diverged {MARKS[UNDECIDED]}" if row["n_diverged"] > 0 else NOT_RUN)
    return _measured(row)._replace(mark="" if row["verdict"] == INCONSISTENT else MARKS[row["verdict"]])


def _measured(row: Row) -> Cell:
    return _number(row, "mean", "std")


def _number(row: Row, mean: str, std: str) -> Cell:
    digits = round(-math.log10(2 * row["rounding"]))
    spread = "" if pd.isna(row[std]) else f"({row[std]:.{digits}f})"
    return Cell(f"{row[mean]:.{digits}f}", spread, is_number=True)


def _markdown_table(grid: Grid) -> str:
    # Markdown has one heading line.
    head = [" ".join(dict.fromkeys(filter(None, parts))) for parts in zip(*grid.head, strict=True)]
    body = [line for group in grid.body for row in group for line in row]
    lines = [[*line.names, line.who, *map(_markdown_cell, line.cells)] for line in body]
    lines = [[*head[: grid.stub], "", *head[grid.stub :]], ["---"] * (len(head) + 1), *lines]
    if not any(line.who for line in body):
        lines = [line[: grid.stub] + line[grid.stub + 1 :] for line in lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _markdown_cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.is_best else cell.text
    return " ".join(filter(None, [text, cell.spread, cell.mark]))


def _latex_table(grid: Grid, caption: str, notes: Sequence[str], label: str) -> str:
    """Spell out a table, made smaller where it is wider than the text.

    A column of numbers is two, that of the marks to its right. Who measured stands below the name of the row.
    """
    columns = "l" * grid.stub + r"r@{\,}l" * (len(grid.head[0]) - grid.stub)
    lines = [
        r"\begin{table}[t]",
        r"\centering\small\setlength{\tabcolsep}{3pt}\setlength{\belowcaptionskip}{4pt}",
        rf"\caption{{{_tex(caption)}}}",
        rf"\label{{{label}}}",
        rf"\resizebox{{\ifdim\width>\linewidth\linewidth\else\width\fi}}{{!}}{{\begin{{tabular}}{{{columns}}}",
        r"\toprule",
    ]
    for line in grid.head:
        lines += _latex_head(line, grid.stub, rules=line is not grid.head[-1])
    for group in grid.body:
        lines.append(r"\midrule")
        for row in group:
            # A little space keeps the lines of a row together.
            lines += [r"\addlinespace[2pt]"] * (len(row) > 1 and row is not group[0])
            lines += [" & ".join([*_latex_names(line), *map(_latex_cell, line.cells)]) + r" \\" for line in row]
    lines += [r"\bottomrule", r"\end{tabular}}", "", r"\medskip", r"\begin{minipage}{\linewidth}\footnotesize"]
    lines.append("\n\n".join(map(_tex, notes)))
    return "\n".join([*lines, r"\end{minipage}", r"\end{table}", ""])


def _latex_head(line: Sequence[str], stub: int, *, rules: bool) -> list[str]:
    """Spell out a heading line; one with ``rules`` below has the same heads side by side as one."""
    cells, below, place = [*map(_tex, line[:stub])], "", stub + 1
    heads = itertools.groupby(line[stub:]) if rules else ((name, [name]) for name in line[stub:])
    for name, same in heads:
        width = 2 * len([*same])
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{_tex(name)}}}")
        below += rf"\cmidrule(lr){{{place}-{place + width - 1}}}"
        place += width
    return [" & ".join(cells) + r" \\", *([below] if rules else [])]


def _latex_names(line: Line) -> list[str]:
    names = [*map(_tex, line.names)]
    return names if names[-1] or not line.who else [*names[:-1], rf"\quad {_tex(line.who)}"]


def _latex_cell(cell: Cell) -> str:
    if not cell.is_number:
        return rf"\multicolumn{{2}}{{c}}{{{_tex(cell.text)}}}"
    text = rf"\textbf{{{cell.text}}}" if cell.is_best else cell.text
    # As wide as the spread of others, so that points stand below each other.
    spread = cell.spread or rf"\phantom{{(0.{'0' * len(cell.text.partition('.')[2])})}}"
    return " ".join(filter(None, [text, spread, "&", _tex(cell.mark)]))


def _tex(text: str) -> str:
    text = "".join(TEX.get(character, character) for character in text)
    for word, spelled in WORDS.items():
        text = text.replace(word, spelled)
    return text
