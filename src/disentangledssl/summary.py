"""The few lines a person reads when a run has ended (imports nothing heavy)."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from disentangledssl.report.table import is_of_paper

# Of the ways of ranking in a table of retrieval: the paper's, each molecule weighing the same.
SHOWN = {
    "direction": "phenotype_to_molecule",
    "replicates": "single",
    "cell_line": "",
    "unit": "per_molecule",
}


def summary(results: Path, simulations: Sequence[str], screens: Sequence[str], multibench: Sequence[str] = ()) -> str:
    """Return a short text: accuracies of simulations and MultiBench, retrieval of screens, the paper, the files."""
    parts = [_simulation(results / name) for name in simulations] + [_screen(results / name) for name in screens]
    parts += [*(_multibench(results, name) for name in multibench), _paper(results / "paper")]
    page = results / "report.html"
    shown = f"; {page} shows them all" if page.exists() else ""
    return "\n\n".join([*(part for part in parts if part), f"All tables and figures are in {results}/{shown}."])


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[k]) for line in [head, *rows]) for k in range(len(head))]
    lines = []
    for line in [head, *rows]:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        lines.append("  " + "  ".join(cells))
    return "\n".join(lines)


def _simulation(folder: Path) -> str:
    found: dict[str, dict[str, str]] = {}
    for row in _rows(folder / "probes_summary.csv"):
        # Methods with a lam have a line a setting: too many to read here.
        if row["representation"] == "zc" and row["metric"] == "accuracy" and not row["lam"]:
            name = row["method_label"].removesuffix(" (beta = 0)") + (f", beta {row['beta']}" if row["beta"] else "")
            found.setdefault(name, {})[row["label"]] = f"{float(row['mean']):.3f}"
    if not found:
        return ""
    lines = [[name, *(cells.get(label, "") for label in ("s1", "c", "s2"))] for name, cells in found.items()]
    title = f"{folder.name}: linear-probe accuracy of the shared representation (all else: {folder}/probes_summary.csv)"
    return f"{title}\n{_table(['', 'y_s1', 'y_c', 'y_s2'], lines)}"


def _screen(folder: Path) -> str:
    rows = [row for row in _rows(folder / "retrieval_summary.csv") if SHOWN.items() <= row.items()]
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["metric"] in ("mrr", "top1", "top_tenth"):
            name = row["method_label"] + (f", beta {row['beta']}" if row["beta"] and row["beta"] != "0" else "")
            error = (
                f" ± {float(row['standard_error']):.3f}" if row["standard_error"] and row["method"] != "random" else ""
            )
            found.setdefault(name, {})[row["metric"]] = f"{float(row['mean']):.3f}{error}"
    if not found:
        return ""
    lines = [
        [name, *(cells.get(metric, "") for metric in ("mrr", "top1", "top_tenth"))] for name, cells in found.items()
    ]
    return (
        f"{folder.name}: {rows[0]['title']}: phenotype finds its molecule, {rows[0]['molecules']} test molecules\n"
        + _table(["mean ± standard error", "MRR", "top-1", "top-10 %"], lines)
    )


def _multibench(results: Path, dataset: str) -> str:
    rows = [row for row in _rows(results / "table1.csv") if row["dataset"] == dataset]
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        if row["mean"]:
            settings = [f"{axis} {float(row[axis]):g}" for axis in ("beta", "a", "lam") if row[axis]]
            name = ", ".join([row["row"].replace(" (beta = 0)", ""), *settings])
            found.setdefault((name, row["width"]), {})[row["label"]] = f"{float(row['mean']):.3f}"
    if not found:
        return ""
    labels = list(dict.fromkeys(row["label"] for row in rows if row["label"]))
    lines = [[name, width, *(cells.get(one, "") for one in labels)] for (name, width), cells in found.items()]
    head = ["", "width", *(f"y_{label}" for label in labels)]
    return f"{dataset}: {rows[0]['title']}: linear-probe accuracy on test pairs\n{_table(head, lines)}"


def _paper(folder: Path) -> str:
    cells = Counter(row["verdict"] for row in _rows(folder / "comparison.csv"))
    claims = Counter(row["verdict"] for row in _rows(folder / "claims.csv") if is_of_paper(row))
    if not cells:
        return ""
    within = cells.pop("within uncertainty", 0)
    differ = sum(cells.pop(verdict, 0) for verdict in ("differs: higher", "differs: lower"))
    lines = [
        f"beside the paper, cells of Tables 1-5: {within + differ} compared "
        f"({within} within uncertainty, {differ} differ)",
        *(f"{count} {verdict}" for verdict, count in cells.items()),
    ]
    return (
        f"{', '.join(lines)}\nbeside the paper, claims on its own data: {claims['holds']} hold, "
        f"{claims['level']} are level (what is compared is not told apart), {claims['does not hold']} do not hold, "
        f"{claims['not testable']} not testable by this run"
    )
