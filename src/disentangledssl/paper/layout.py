"""Tables 1-5 as the paper lays them out, in Markdown and LaTeX: its number above, this run's below.

What was measured on other data stands in a table of its own, which has no number of the paper. Numbers have as many
digits as the paper prints.
"""

from __future__ import annotations

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
    """What a table is of, and by which columns of the comparison its rows and columns go."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
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
    2: Layout("Top-N accuracy (%) and mean reciprocal rank of retrieval", ("dataset", "method"), ("metric",)),
    3: Layout("Reconstruction gain in R2", ("method",), ("dataset", "metric")),
    4: ACCURACY._replace(title=f"{ACCURACY.title}, by representation"),
    5: Layout("Counterfactual phenotypes: differences of Frechet distances", ("method",), ("dataset", "metric")),
}
METRICS = {
    **{f"top{n}_percent": f"N={n}" for n in (1, 5, 10, 20, 30)}, "mrr": "MRR", "rg_molecule": "RG-molecule",
    "rg_phenotype": "RG-phenotype", "diff_fd_c": "Diff-FD-c", "diff_fd_s": "Diff-FD-s",
}  # fmt: skip
MARKS = {WITHIN: "≈", HIGHER: "↑", LOWER: "↓", UNDECIDED: "?", INCONSISTENT: "†"}
TEX = {"≈": r"$\approx$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "†": r"$^\dagger$", "±": r"$\pm$",
       "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
       "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}  # fmt: skip
ABSENT = "-"
LEGEND = (
    "Mean (standard deviation over seeds); of two lines the upper one is the paper's, the lower one this run's. "
    "≈ within two standard errors of the difference, ↑ higher, ↓ lower, ? one seed, or none that did not diverge, "
    "† inconsistent in the source: above what the paper's own top-N cells allow. comparison.csv has the numbers, and "
    "why a cell was not run."
)
OTHER_LEGEND = (
    "The same measurements on data that are not the paper's: stand-ins, or other measurements of the same. No number "
    "here is comparable with one of the paper."
)
PAPER, OURS = "paper", "this run"


class Grid(NamedTuple):
    """A table of texts: heading lines, then body lines, each with its cells; ``stub`` columns name the row."""

    head: list[list[str]]
    body: list[list[str]]
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
    """Spell out one table in LaTeX, as two tables where other data were measured; needs the package booktabs."""
    title = f"{LAYOUTS[table].title} (Table {table} of the paper)."
    text = "% Needs \\usepackage{booktabs}.\n"
    caption = " ".join([title, LEGEND, *LAYOUTS[table].notes, *_departures(cells)])
    text += _latex_table(paper_grid(table, cells), caption, f"tab:paper-{table}")
    if others.empty:
        return text
    caption = " ".join([f"{title} On other data.", OTHER_LEGEND, *_departures(others)])
    return text + "\n" + _latex_table(other_grid(table, others, cells), caption, f"tab:other-{table}")


def _departures(rows: pd.DataFrame) -> list[str]:
    """Say of each data set in what its run departs from the full one, where it does."""
    departing = rows[rows["departures"].notna()].drop_duplicates("dataset")
    return [
        f"{row['dataset']}: this run departs from the full one in: {row['departures']}."
        for row in departing.to_dict("records")
    ]


def paper_grid(table: int, cells: pd.DataFrame) -> Grid:
    """Lay out one table of the paper: two lines a row."""
    rows = cells.to_dict("records")

    def lines(found: Sequence[Row | None]) -> list[tuple[str, list[str]]]:
        return [
            (PAPER, [ABSENT if one is None else _papers(one) for one in found]),
            (OURS, [ABSENT if one is None else _ours(one) for one in found]),
        ]

    return _grid(LAYOUTS[table], rows, lines)


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
    return _grid(
        layout, rows, lambda found: [(OURS, [ABSENT if one is None else _number(one, "mean", "std") for one in found])]
    )


def _grid(
    layout: Layout, rows: Sequence[Row], lines: Callable[[list[Row | None]], list[tuple[str, list[str]]]]
) -> Grid:
    across = list(dict.fromkeys(tuple(row[name] for name in layout.columns) for row in rows))
    if layout.columns[-1] == "metric":
        # The Random row, which comes first, has no MRR; a screen may lack a metric.
        places = {name: place for place, name in enumerate(METRICS)}
        first = list(dict.fromkeys(column[:-1] for column in across))
        across.sort(key=lambda column: (first.index(column[:-1]), places[column[-1]]))
    down = list(dict.fromkeys(tuple(row[name] for name in layout.rows) for row in rows))
    found = {tuple(row[name] for name in (*layout.rows, *layout.columns)): row for row in rows}
    stub = [name.capitalize() for name in layout.rows]
    head = [[*stub, "", *(METRICS.get(column[level], column[level]) for column in across)]
            for level in range(len(layout.columns))]  # fmt: skip
    for line in head[:-1]:
        line[: len(stub)] = [""] * len(stub)
    body = []
    for row in down:
        for number, (who, cells) in enumerate(lines([found.get((*row, *column)) for column in across])):
            body.append([*(row if number == 0 else [""] * len(row)), who, *cells])
    return Grid(head, body, len(stub) + 1)


def _papers(row: Row) -> str:
    return _number(row, "paper_mean", "paper_std") + (MARKS[INCONSISTENT] if row["verdict"] == INCONSISTENT else "")


def _ours(row: Row) -> str:
    if pd.isna(row["mean"]):
        return f"diverged {MARKS[UNDECIDED]}" if row["n_diverged"] > 0 else NOT_RUN
    mark = "" if row["verdict"] == INCONSISTENT else f" {MARKS[row['verdict']]}"
    return _number(row, "mean", "std") + mark


def _number(row: Row, mean: str, std: str) -> str:
    digits = round(-math.log10(2 * row["rounding"]))
    return f"{row[mean]:.{digits}f}" + ("" if pd.isna(row[std]) else f" ({row[std]:.{digits}f})")


def _markdown_table(grid: Grid) -> str:
    # Markdown has one heading line.
    head = [" ".join(dict.fromkeys(filter(None, parts))) for parts in zip(*grid.head, strict=True)]
    lines = [head, ["---"] * len(head), *grid.body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _latex_table(grid: Grid, caption: str, label: str) -> str:
    columns = "l" * grid.stub + "c" * (len(grid.head[0]) - grid.stub)
    lines = [r"\begin{table}[t]", r"\centering", rf"\caption{{{_tex(caption)}}}", rf"\label{{{label}}}",
             rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]  # fmt: skip
    lines += [_tex_line(line) for line in grid.head]
    lines.append(r"\midrule")
    lines += [_tex_line(line) for line in grid.body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _tex_line(cells: Sequence[str]) -> str:
    return " & ".join(map(_tex, cells)) + r" \\"


def _tex(text: str) -> str:
    return "".join(TEX.get(character, character) for character in text).replace("beta=0", r"$\beta=0$")
