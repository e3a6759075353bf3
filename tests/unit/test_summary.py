"""The closing text of a run: of all that a table of retrieval holds, only the paper's way of ranking."""

from __future__ import annotations

import csv
from pathlib import Path

from disentangledssl.summary import summary

COLUMNS = (
    "title", "method", "method_label", "beta", "direction", "replicates", "cell_line", "unit", "metric", "mean",
    "standard_error", "molecules",
)  # fmt: skip


def write(path: Path, rows) -> None:
    path.parent.mkdir(parents=True)
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(COLUMNS)
        lines.writerows(rows)


def test_the_papers_way_of_ranking_is_shown_and_no_other(tmp_path):
    rows = []
    for method, label, mean in (("clip", "CLIP", 0.25), ("random", "Random", 0.125)):
        for metric in ("mrr", "top1", "top_tenth"):
            for direction, replicates, line, unit, more in (
                ("phenotype_to_molecule", "single", "", "per_molecule", 0),
                ("phenotype_to_molecule", "single", "", "per_profile", 0.1),
                ("phenotype_to_molecule", "averaged", "", "per_molecule", 0.2),
                ("molecule_to_phenotype", "single", "", "per_molecule", 0.3),
                ("phenotype_to_molecule", "single", "A375", "per_molecule", 0.4),
            ):
                named = ("A screen (stand-in)", method, label, "", direction, replicates, line, unit, metric)
                rows.append((*named, mean + more, 0.01, 40 if not line else 7))
    write(tmp_path / "cells" / "retrieval_summary.csv", rows)
    text = summary(tmp_path, [], ["cells"])
    assert "cells: A screen (stand-in): phenotype finds its molecule, 40 test molecules" in text
    (clip,) = (line for line in text.splitlines() if line.split()[:1] == ["CLIP"])
    assert clip.split()[1:] == ["0.250", "±", "0.010"] * 3
    (random,) = (line for line in text.splitlines() if line.split()[:1] == ["Random"])
    assert random.split()[1:] == ["0.125"] * 3


def test_multibench_shows_rows_with_settings_and_widths_and_a_column_a_label(tmp_path):
    columns = ("dataset", "title", "label", "row", "beta", "a", "lam", "width", "mean")
    rows = [
        ("mfeat", "Digits (stand-in)", "c", "DisentangledSSL (both)", "1", "", "0.001", "64", "0.75"),
        ("mfeat", "Digits (stand-in)", "s1", "DisentangledSSL (both)", "1", "", "0.001", "64", "0.5"),
        ("mfeat", "Digits (stand-in)", "c", "FOCAL", "", "1.0", "0.001", "64", ""),
        ("mosi", "MOSI", "y", "CLIP", "", "", "", "32", "0.25"),
    ]
    with (tmp_path / "table1.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    lines = summary(tmp_path, [], [], ["mfeat"]).splitlines()
    assert lines[0] == "mfeat: Digits (stand-in): linear-probe accuracy on test pairs"
    assert lines[1].split() == ["width", "y_c", "y_s1"]
    assert lines[2].split("  ")[1] == "DisentangledSSL (both), beta 1, lam 0.001"
    assert lines[2].split()[-3:] == ["64", "0.750", "0.500"]
    assert not any("FOCAL" in line or "CLIP" in line for line in lines)


def test_beside_the_paper_cells_and_claims_are_counted(tmp_path):
    cells = ["within uncertainty"] * 3 + ["differs: lower", "differs: higher", "not run", "inconsistent in the source"]
    claims = [("3.1", "True", "holds")] * 2 + [
        ("3.1", "True", "not testable"), ("3.2", "True", "level"),
        ("3.1", "False", "does not hold"), ("ours", "True", "holds"),
    ]  # fmt: skip
    (tmp_path / "paper").mkdir()
    for name, lines in (
        ("comparison", [["verdict"], *([one] for one in cells)]),
        ("claims", [["section", "papers_data", "verdict"], *claims]),
    ):  # fmt: skip
        with (tmp_path / "paper" / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(lines)
    first, second = (line for line in summary(tmp_path, [], []).splitlines() if line.startswith("beside the paper"))
    assert first.endswith("5 compared (3 within uncertainty, 2 differ), 1 not run, 1 inconsistent in the source")
    # What a stand-in says is no verdict on the paper's data.
    assert second.endswith(
        "2 hold, 1 are level (what is compared is not told apart), 0 do not hold, 1 not testable by this run"
    )
