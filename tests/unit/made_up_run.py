"""Summaries of a run as its tables have them, with numbers made from the paper's cells by a rule of the test."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa

from disentangledssl.files import write_table
from disentangledssl.paper.comparison import compare_with_paper
from disentangledssl.paper.data import NEEDS
from disentangledssl.paper.published import Published, read_published, without_part

PAPER = Path(__file__).parents[2] / "data" / "paper"
# Ours by the paper's; the labels of methods in tables of screens.
DATASETS = {"MIMIC": "mimic", "MOSEI": "mosei", "MOSI": "mosi", "UR-FUNNY": "ur_funny", "MUSTARD": "mustard",
            "RXRX19a": "rxrx19a_file", "LINCS": "lincs"}  # fmt: skip
STAND_INS = {"digits": "MOSEI", "consensus": "LINCS"}
Number = Callable[[dict], tuple[float, float | None, int]]  # of a cell: mean and std in the paper's units, n


def as_printed(cell: dict) -> tuple[float, float | None, int]:
    """What the paper prints, by three seeds."""
    return cell["mean"], None if pd.isna(cell["std"]) else cell["std"], 3


def label(method: str) -> str:
    """Ours for a method of the paper."""
    return method.replace("DISENTANGLEDSSL", "DisentangledSSL").replace("beta=0", "beta = 0")


def write(path: Path, rows: Iterable[dict]) -> Path:
    write_table(path, pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False))
    return path


def write_run(
    folder: Path,
    number: Number = as_printed,
    *,
    datasets: Iterable[str] = tuple(DATASETS),
    stand_ins: Iterable[str] = (),
    without: Iterable[str] = (),
    edit: Callable[[dict], dict] = dict,
) -> tuple[dict[int, Path], list[Path], list[Path]]:
    """Write the tables that a run on these of the paper's data sets, and stand-ins, has; without some methods.

    A stand-in has the numbers of the data set that it stands for. ``edit`` may change each row of a table.
    """
    paper = read_published(PAPER)
    names = {DATASETS[name]: (name, False) for name in datasets} | {name: (STAND_INS[name], True) for name in stand_ins}
    multibench, retrieval, reconstruction = {1: [], 4: []}, [], []
    for ours, (name, stand_in) in names.items():
        rows = {table: [edit(row) for row in _rows(paper, table, ours, name, stand_in, number, set(without))]
                for table in range(1, 6)}  # fmt: skip
        for table in multibench:
            multibench[table] += rows[table]
        if rows[2]:
            retrieval.append(write(folder / ours / "retrieval_summary.parquet", rows[2]))
        if rows[3]:
            reconstruction.append(write(folder / ours / "reconstruction_summary.parquet", rows[3] + rows[5]))
    written = {table: write(folder / f"table{table}.parquet", rows) for table, rows in multibench.items() if rows}
    return written, retrieval, reconstruction


def compared(
    folder: Path, tables, *, stand_ins: Iterable[str] = (), departures=()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare such a run with the paper, by the files."""
    there = {row for paths in tables for path in (paths.values() if isinstance(paths, dict) else paths)
             for row in pd.read_parquet(path)["dataset"]}  # fmt: skip
    runs = {name: {"dataset": None, "reason": "not among the data sets"} for name in NEEDS}
    runs |= {name: {"dataset": ours, "reason": None} for name, ours in DATASETS.items() if ours in there}
    compare_with_paper(
        PAPER, *tables, runs=runs, others=dict.fromkeys(stand_ins, "stands in for the paper's data"),
        departures=dict(departures), comparison=folder / "comparison", other_data=folder / "other_data",
    )  # fmt: skip
    return tuple(pd.read_parquet(folder / f"{name}.parquet") for name in ("comparison", "other_data"))


def _rows(paper: Published, table: int, ours: str, name: str, stand_in: bool, number: Number, without: set[str]):
    cells = paper.cells[(paper.cells["table"] == table) & (paper.cells["dataset"] == name)]
    for cell in cells.to_dict("records"):
        method = without_part(cell["method"])
        if method in without or (table == 2 and cell["method"] == "Random" and cell["metric"] == "mrr"):
            continue
        setting = paper.setting(table, name, cell["method"])[0]
        mean, std, n = number(cell)
        factor = 100 if cell["metric"].endswith("_percent") else 1
        yield {
            "dataset": ours, "title": f"Title of {ours}", "stand_in": stand_in, "method": method.casefold(),
            "method_label": label(cell["method"]), "beta": setting["beta"] or None,
            "a": float(setting["a"]) if setting["a"] else None, "mean": mean / factor,
            "lam": float(setting["lam"]) if setting["lam"] and table != 2 else None,
            "std": None if std is None else std / factor, "n": n, "n_diverged": 3 - n,
        } | _kind(table, cell)  # fmt: skip


def _kind(table: int, cell: dict) -> dict:
    if table in (1, 4):
        return {"row": label(cell["method"]), "label": "y", "width": 600, "validation": 0.61, "train": 0.7}
    if table == 2:
        way = {"direction": "phenotype_to_molecule", "replicates": "single", "cell_line": None, "unit": "per_profile"}
        counts = {"molecules": 333, "profiles": 2000, "evaluated_on": "test"}
        return way | counts | {"metric": cell["metric"].removesuffix("_percent")}
    if table == 3:
        view = "x1" if cell["metric"] == "rg_phenotype" else "x2"
        return {"metric": "gain_over_better", "target": view}
    return {"metric": cell["metric"], "target": "x1"}
