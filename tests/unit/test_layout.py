"""Tables as the paper lays them out: every number of the comparison in its place, in Markdown and in LaTeX."""

from __future__ import annotations

import re
import shutil
import subprocess

import pandas as pd
import pytest
from made_up_run import as_printed, compared, write_run

from disentangledssl.paper.layout import LEGEND, METRICS, lay_out_tables

STAND_INS = ["digits", "consensus"]
SHAPES = {1: (8, 5), 2: (14, 6), 3: (4, 4), 4: (12, 5), 5: (3, 4)}
METRIC_NAMES = {label: name for name, label in METRICS.items()}


def shifted(cell):
    """Ours: a little off the paper's, by three seeds, of MIMIC a lot."""
    mean, std, n = as_printed(cell)
    return mean + (5 if cell["dataset"] == "MIMIC" else 0), std, n


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    tables = write_run(folder, shifted, datasets=["MIMIC", "MOSI", "LINCS"], stand_ins=STAND_INS, without=["FOCAL"])
    rows, others = compared(folder, tables, stand_ins=STAND_INS)
    lay_out_tables(folder / "comparison.parquet", folder / "other_data.parquet", folder)
    return folder, rows, others


def read_markdown(text: str) -> list[list[list[str]]]:
    """Every table of a text, as lines of cells, heading first."""
    tables: list[list[list[str]]] = []
    before = ""
    for line in text.splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                tables.append([])
            tables[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        before = line
    return [[lines[0], *lines[2:]] for lines in tables]


def spelled(mean, std, rounding) -> str:
    digits = len(f"{2 * rounding:.10f}".rstrip("0").partition(".")[2])
    return f"{mean:.{digits}f}" + ("" if pd.isna(std) else f" ({std:.{digits}f})")


def column_of(table: int, head: str) -> dict[str, str]:
    if table in (1, 4):
        return {"dataset": head}
    if table == 2:
        return {"metric": METRIC_NAMES[head]}
    dataset, metric = head.split()
    return {"dataset": dataset, "metric": METRIC_NAMES[metric]}


@pytest.mark.parametrize("table", SHAPES)
def test_every_number_of_the_comparison_is_in_its_place(laid_out, table):
    folder, rows, _ = laid_out
    grid = read_markdown((folder / f"table{table}.md").read_text())[0]
    lines, across = SHAPES[table]
    stub = 3 if table == 2 else 2
    assert len(grid) == 1 + 2 * lines and {len(line) for line in grid} == {stub + across}
    wanted = {tuple(row[name] for name in ("dataset", "method", "metric")): row
              for row in rows[rows["table"] == table].to_dict("records")}  # fmt: skip
    seen, dataset = set(), ""
    for upper, lower in zip(grid[1::2], grid[2::2], strict=True):
        # A data set is named once.
        dataset = upper[0] or dataset
        assert (upper[stub - 1], lower[stub - 1]) == ("paper", "this run")
        for head, theirs, ours in zip(grid[0][stub:], upper[stub:], lower[stub:], strict=True):
            known = {"method": upper[stub - 2], "metric": "accuracy_percent"} | column_of(table, head)
            known |= {"dataset": dataset} if table == 2 else {}
            cell = tuple(known[name] for name in ("dataset", "method", "metric"))
            if cell not in wanted:
                assert cell[1:] == ("Random", "mrr") and theirs == ours == "-"
                continue
            row = wanted[cell]
            seen.add(cell)
            theirs, ours = theirs.replace("*", ""), ours.replace("*", "")
            assert theirs.rstrip(" †") == spelled(row["paper_mean"], row["paper_std"], row["rounding"])
            assert theirs.endswith("†") == (row["metric"] == "mrr")
            if pd.isna(row["mean"]):
                assert ours == "not run"
            else:
                assert ours.rstrip(" ≈↑↓?") == spelled(row["mean"], row["std"], row["rounding"])
    assert seen == set(wanted)


def test_marks_say_the_verdict(laid_out):
    folder, rows, _ = laid_out
    grid = read_markdown((folder / "table1.md").read_text())[0]
    clip = dict(zip(grid[0], grid[2], strict=True))
    assert clip["MIMIC"].endswith(" ↑") and clip["MOSI"].endswith(" ≈") and clip["MOSEI"] == "not run"
    assert rows.set_index(["table", "dataset", "method"]).loc[(1, "MIMIC", "CLIP"), "verdict"] == "differs: higher"


BOLD = r"\*\*(-?[\d.]+)\*\*"


@pytest.mark.parametrize(
    ("table", "printed"),
    [
        (1, ["65.16", "61.60", "66.44", "77.45", "64.24"]),
        (2, ["4.03", "9.62", "13.12", "18.36", "22.82", "0.111", "4.67", "11.70", "16.39", "22.68", "30.84", "0.163"]),
        (3, ["0.153", "0.591", "0.143", "0.622"]),
        (5, ["22.89", "0.765", "20.92", "0.277"]),
    ],
)
def test_the_best_are_bold_as_in_the_paper(laid_out, table, printed):
    grid = read_markdown((laid_out[0] / f"table{table}.md").read_text())[0]
    assert [found for line in grid[1::2] for found in re.findall(BOLD, " | ".join(line))] == printed
    # Of ours likewise; of what was not run nothing is.
    ours = [[cell for cell in column if re.match(r"(\*\*)?-?\d", cell)] for column in zip(*grid[2::2], strict=True)]
    for column in filter(None, ours) if table != 2 else ():
        best = {cell for cell in column if cell.startswith("**")}
        values = [float(cell.replace("*", "").split()[0]) for cell in column]
        assert {float(re.match(BOLD, cell)[1]) for cell in best} == {max(values)}


def test_a_number_alone_is_not_bold(tmp_path):
    others = ["CLIP", "FactorCL-emb", "FactorCL-proj", "FOCAL", "DISENTANGLEDSSL"]
    compared(tmp_path, write_run(tmp_path, datasets=["MOSI"], without=others))
    lay_out_tables(tmp_path / "comparison.parquet", tmp_path / "other_data.parquet", tmp_path)
    grid = read_markdown((tmp_path / "table1.md").read_text())[0]
    assert [cell for line in grid[2::2] for cell in line if re.search(r"\d", cell)] == ["64.24 (1.75) ≈"]


def test_other_data_stand_apart_with_their_label_and_without_the_paper(laid_out):
    folder, _, others = laid_out
    for table in SHAPES:
        text = (folder / f"table{table}.md").read_text()
        grid = read_markdown(text)[1]
        assert "## On other data" in text and "comparable" in text.split("## On other data")[1]
        named = {cell for line in grid for cell in line if "(stand-in)" in cell}
        assert named and not [line for line in grid if "paper" in line]
        numbers = [cell for line in grid[1:] for cell in line if re.match(r"(\*\*)?-?\d", cell)]
        assert len(numbers) == (others["table"] == table).sum()
    assert read_markdown((folder / "table1.md").read_text())[1][0] == ["Method", "digits (stand-in)"]


def test_without_other_data_there_is_one_table(tmp_path):
    compared(tmp_path, write_run(tmp_path, datasets=["MOSI"]))
    lay_out_tables(tmp_path / "comparison.parquet", tmp_path / "other_data.parquet", tmp_path)
    text = (tmp_path / "table3.md").read_text()
    assert len(read_markdown(text)) == 1 and "other data" not in text and LEGEND in text
    assert (tmp_path / "table3.tex").read_text().count(r"\begin{tabular}") == 1


def test_departures_are_below_the_table_of_the_data_set_that_departs(tmp_path):
    less = {"mosi": "epochs 6 (full run: 50)", "digits": "width 8 (full run: 64)"}
    tables = write_run(tmp_path, datasets=["MOSI", "MIMIC"], stand_ins=["digits"])
    compared(tmp_path, tables, stand_ins=["digits"], departures=less)
    lay_out_tables(tmp_path / "comparison.parquet", tmp_path / "other_data.parquet", tmp_path)
    for ending in ("md", "tex"):
        text = (tmp_path / f"table1.{ending}").read_text()
        assert text.count("this run departs from the full one in") == 2
        of_paper, of_others = text.split("n other data")[:2]
        assert "MOSI: this run departs from the full one in: epochs 6 (full run: 50)." in of_paper
        assert "digits: this run departs from the full one in: width 8 (full run: 64)." in of_others
        assert "departs" not in (tmp_path / f"table2.{ending}").read_text()


def test_an_mrr_of_which_every_seed_diverged_was_run(tmp_path):
    def diverged(row):
        lost = {"mean": None, "std": None, "n": 0, "n_diverged": 3, "metric": None, "unit": None}
        return row | (lost if row["method"] == "jointopt" and "molecules" in row else {})

    compared(tmp_path, write_run(tmp_path, edit=diverged, datasets=["LINCS"]))
    lay_out_tables(tmp_path / "comparison.parquet", tmp_path / "other_data.parquet", tmp_path)
    grid = read_markdown((tmp_path / "table2.md").read_text())[0]
    named = next(place for place, line in enumerate(grid) if line[0] == "LINCS")
    ours = next(grid[place + 1] for place in range(named, len(grid)) if grid[place][1] == "JointOpt")
    assert set(ours[3:]) == {"diverged ?"}


# LaTeX


def unescaped(line: str) -> list[str]:
    """Split a line of a table at its ampersands, with as many cells as one spans."""
    cells = []
    for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\")):
        span = re.match(r"\s*\\multicolumn\{(\d+)\}", cell)
        cells += [cell] + [""] * (int(span[1]) - 1 if span else 0)
    return cells


@pytest.mark.parametrize("table", SHAPES)
def test_latex_is_balanced_and_every_line_has_all_columns(laid_out, table):
    text = (laid_out[0] / f"table{table}.tex").read_text()
    assert text.isascii(), "old engines read no more"
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", body):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0 and body.count("$") % 2 == 0
    opened = re.findall(r"\\(begin|end)\{(\w+)\}", body)
    assert [name for what, name in opened if what == "begin"] == ["table", "tabular", "minipage"] * 2
    assert [name for what, name in opened if what == "end"] == ["tabular", "minipage", "table"] * 2
    for columns, inner in re.findall(r"\\begin\{tabular\}\{([^\n]+)\}\n(.*?)\\end\{tabular\}", body, re.S):
        lines = [line for line in inner.splitlines() if "&" in line]
        assert lines and all(line.endswith(r"\\") for line in lines)
        assert {len(unescaped(line)) for line in lines} == {len(columns.replace(r"@{\,}", ""))}
    outside = re.sub(r"\$[^$]*\$|\\.|\\label\{[^}]*\}", "", body)
    assert not re.search(r"[_#^~%]", re.sub(r"\\label\{.*?\}", "", outside))


def test_latex_spans_the_columns_of_a_data_set_and_rules_its_rows(laid_out):
    folder = laid_out[0]
    for table in (3, 5):
        lines = (folder / f"table{table}.tex").read_text().splitlines()
        head = lines[lines.index(r"\toprule") + 1 :][:2]
        names = [r"\multicolumn{4}{c}{RXRX19a}", r"\multicolumn{4}{c}{LINCS}"]
        assert head == [" & ".join(["", *names]) + r" \\", r"\cmidrule(lr){2-5}\cmidrule(lr){6-9}"]
    lines = (folder / "table2.tex").read_text().split(r"\bottomrule")[0].splitlines()
    assert "Dataset & Top N Acc (\\%) & " in lines[lines.index(r"\toprule") + 1]
    rules = [place for place, line in enumerate(lines) if line == r"\midrule"]
    assert [lines[place + 1].split(" & ")[0] for place in rules] == ["RXRX19a", "LINCS"]
    assert sum("LINCS" in line for line in lines) == 1


@pytest.mark.parametrize("table", SHAPES)
def test_latex_and_markdown_hold_the_same_numbers(laid_out, table):
    folder, *_ = laid_out
    grids = read_markdown((folder / f"table{table}.md").read_text())
    number = r"-?\d+\.\d+(?: \(\d+\.\d+\))?"
    in_markdown = [cell for grid in grids for line in grid[1:] for cell in re.findall(number, " | ".join(line))]
    text = (folder / f"table{table}.tex").read_text()
    inner = "\n".join(re.findall(r"\\midrule(.*?)\\bottomrule", re.sub(r"\\phantom\{.*?\}", "", text), re.S))
    assert re.findall(number, inner) == in_markdown and in_markdown


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex on this machine: syntax is checked above")
def test_latex_compiles(laid_out, tmp_path):
    inputs = "".join(rf"\input{{{laid_out[0]}/table{table}.tex}}" for table in SHAPES)
    document = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}" + inputs + r"\end{document}"
    (tmp_path / "all.tex").write_text(document)
    subprocess.run(["pdflatex", "-halt-on-error", "all.tex"], cwd=tmp_path, check=True, capture_output=True)
