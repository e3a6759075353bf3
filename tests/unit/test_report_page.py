"""The report's page from files as a run leaves them: every output is on it, escaped, and it holds all it needs."""

from __future__ import annotations

import base64
import csv
import json
import os
import re
import time
from pathlib import Path

import pandas as pd
import pytest

from disentangledssl.dataset import pairs_table
from disentangledssl.errors import InputError
from disentangledssl.figures import style
from disentangledssl.files import write_table
from disentangledssl.report import times
from disentangledssl.report.captions import render_caption
from disentangledssl.report.page import write_report

REPOSITORY = Path(__file__).parents[2]
HOSTILE = "<script>alert('x')</script> & \"quoted\""
RUNS = [{"data set": "simulation", "stage": "step1", "grid": "beta 0, 1", "folds": "1 of 1", "seeds": "0", "runs": 2,
         "epochs": 50}]  # fmt: skip


def write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def output(file: str, category: str, caption: str, **labels: str) -> dict:
    wildcards = {"dataset": labels["data_set"]} if "data_set" in labels else {}
    labels = {name.replace("_", " "): text for name, text in labels.items()}
    caption = str(REPOSITORY / "workflow" / "report" / caption)
    return {"file": file, "category": category, "labels": labels, "caption": caption, "wildcards": wildcards}


OUTPUTS = [
    output("claims.csv", "Against the paper", "claims.rst", table="claims about the simulation"),
    output("table2.md", "Against the paper", "claims.rst", table="Table 2 as in the paper"),
    output("simulation/probes.csv", "Simulation", "probes.rst", data_set="simulation", table="linear probes"),
    output("simulation/figure4a.png", "Simulation", "figure4a.rst", data_set="simulation", figure="4a"),
    output("cells/retrieval_summary.csv", "Drug screens", "retrieval_summary.rst", data_set="cells", table="retrieval"),
]  # fmt: skip


@pytest.fixture
def results(tmp_path):
    """A folder as a run leaves it."""
    folder = tmp_path / "my results"
    for name, title, stand_in in (("simulation", "Simulation", False), ("cells", "Cells <i>", True)):
        ids = ["a", "b", "c"]
        pairs = pairs_table(ids, ids, ids, ["m", "m", "n"], {}, {})
        write_table(folder / name / "data" / "pairs.parquet", pairs, {"title": title, "stand_in": stand_in})
    verdicts = ["holds", "does not hold", "not testable", "holds", "level"]
    write_csv(folder / "claims.csv", [
        {"section": "3.1", "claim": HOSTILE, "measured": str(k), "verdict": word} for k, word in enumerate(verdicts)
    ])  # fmt: skip
    (folder / "table2.md").write_text(
        "# Table 2: all\n\n| Method | | N=1 |\n| --- | --- | --- |\n| CLIP <b> | paper | **1.0** (0.1) |\n"
    )
    write_csv(folder / "simulation" / "probes.csv", [
        {"dataset": "simulation", "method": "CLIP", "seed": k, "value": k / 7, "lam": ""} for k in range(12)
    ])  # fmt: skip
    common = {"direction": "phenotype_to_molecule", "replicates": "single", "cell_line": ""}
    write_csv(folder / "cells" / "retrieval_summary.csv", [
        {"stand_in": True, **common, "unit": unit, "metric": metric, "beta": k, "mean": k / 7}
        for unit in ("per_molecule", "per_profile") for metric in ("mrr", "rank") for k in range(60)
    ])  # fmt: skip
    figure, axis = style.pyplot.subplots(figsize=(2, 1))
    axis.plot([0, 1])
    style.save(figure, folder / "simulation" / "figure4a.png", pd.DataFrame({"x": [0]}))
    benchmark = folder / "benchmarks" / "simulate.tsv"
    benchmark.parent.mkdir()
    benchmark.write_text("s\th:m:s\tmax_rss\tcpu_time\n36.5\t0:00:36\tNA\t30.5\n")
    benchmark.with_suffix(".seconds.json").write_text('{"start-up": 3.0, "loading": 0.5, "simulating": 33.0}')
    steps = {
        "report": {"after": ["simulate"], "jobs": [{"dataset": None, "benchmark": str(folder / "no.tsv")}]},
        "simulate": {"after": [], "jobs": [{"dataset": "simulation", "benchmark": str(benchmark)}]},
    }
    (folder / "workflow.json").write_text(json.dumps(steps))
    (folder / "manifest.json").write_text(json.dumps({
        "disentangledssl": "9.8.7", "commit": "abc", "uncommitted_changes": True, "python": "3.11", "platform": "Linux",
        "packages": {"torch": "2.13.0", "rdkit": None}, "config": {"results": "<b>bold", "probe": {"codes": "scaled"}},
    }))  # fmt: skip
    return folder


def write(results: Path, outputs=OUTPUTS) -> str:
    page = results / "report.html"
    write_report(page, outputs=outputs, runs=RUNS, kinds={"simulation": "simulated", "cells": "stand-in"})
    return page.read_text()


@pytest.fixture
def page(results):
    return write(results)


def article(page: str, name: str) -> str:
    return re.search(rf'<article id="{name}">.*?</article>', page, re.DOTALL)[0]


def rows_of(article: str) -> list[list[str]]:
    body = re.search(r"<tbody>(.*?)</tbody>", article, re.DOTALL)[1]
    cells = [
        re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)
        for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    ]
    return [[re.sub(r"<[^>]*>", "", cell).strip() for cell in row] for row in cells]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "workflow" / "report").glob("*.rst")), ids=lambda path: path.stem)
def test_every_caption_can_be_shown(path):
    shown = render_caption(path, {"dataset": "<cells>"}, {"probe": {"codes": "scaled"}})
    assert shown.startswith("<p>") and "<cells>" not in shown and "``" not in shown


@pytest.mark.parametrize("name", ["a__b", "my_cells", "Mine2"])
def test_the_name_of_a_data_set_is_no_markup_of_its_caption(name):
    """Names that a config may have: of others see its tests."""
    path = REPOSITORY / "workflow" / "report" / "probes.rst"
    shown = render_caption(path, {"dataset": name}, {"probe": {"codes": "scaled"}})
    assert f"Data set: {name}." in shown


def test_every_output_is_shown_with_its_caption(page):
    assert re.findall(r'<article id="(.*?)">', page) == [
        "claims-csv", "table2-md", "simulation-figure4a-png", "simulation-probes-csv", "cells-retrieval_summary-csv",
    ]  # fmt: skip
    assert "Every qualitative claim of the paper" in article(page, "claims-csv")
    assert "against β on simulation" in article(page, "simulation-figure4a-png")
    assert [re.search("<h4>(.*)</h4>", one)[1] for one in page.split("<article")[1:]] == [
        "Claims about the simulation", "Table 2 as in the paper", "Figure 4a", "Linear probes", "Retrieval",
    ]  # fmt: skip


def test_nothing_that_was_read_becomes_markup(page):
    assert "alert('x')" not in page and "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &#34;quoted&#34;" in page
    for bare in ("<b>bold", "Cells <i>", "CLIP <b>"):
        assert bare not in page and bare.replace("<", "&lt;").replace(">", "&gt;") in page
    assert "<td><b>1.0</b> (0.1)</td>" in article(page, "table2-md")


def test_nothing_is_fetched(page):
    """Pictures are in the page, and the browser is told to take nothing from elsewhere."""
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=\"?(https?:|//)|@import|url\(", page)
    for source in re.findall(r'src="(.*?)"', page):
        assert base64.b64decode(source.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


def test_figures_are_described_and_as_large_as_they_were_drawn(page):
    image = re.search(r'width="(\d+)" height="(\d+)" style="--drawn: (\d+)px" alt="(.*?)"', page)
    # Two inches by one, enlarged.
    assert image.groups() == ("259", "130", "192", "Figure 4a, simulation. Its numbers are in simulation/figure4a.csv.")


def test_what_is_in_every_row_is_said_once(page):
    probes = article(page, "simulation-probes-csv")
    assert re.search(r"In every row: <b>dataset</b> simulation, <b>method</b> CLIP\.\s*Always empty: lam\.", probes)
    assert rows_of(probes)[:2] == [["0", "0.0"], ["1", "0.1429"]]
    assert "data-v=0.14285714285714285" in probes
    assert "<dt>seed</dt><dd>seed of the training</dd>" in probes


def test_a_long_table_shows_what_is_read_first(page):
    summary = article(page, "cells-retrieval_summary-csv")
    said = re.search(r"60 of 240 rows: those where (.*?)\.</p>", summary)[1]
    assert said.split(", ") == [
        "direction is phenotype_to_molecule", "replicates is single", "cell_line is empty", "unit is per_molecule",
        "metric is mrr or top1 or top5 or top10",
    ]  # fmt: skip
    assert len(rows_of(summary)) == 60


def test_a_long_table_of_which_nothing_is_known_is_described(results):
    rows = [{"seed": k, "value": k / 7, "label": "c" if k % 2 else "s1", "lam": ""} for k in range(2000)]
    write_csv(results / "simulation" / "probes.csv", rows)
    probes = article(write(results), "simulation-probes-csv")
    assert "2,000 rows, too many for a page" in probes
    assert rows_of(probes) == [
        ["seed", "2000 values from 0 to 1999", "seed of the training"],
        ["value", "2000 values from 0.0 to 285.6", "measured value"],
        ["label", "s1, c", "label that is predicted: c shared, s1 and s2 specific"],
        ["lam", "empty", "weight lambda"],
    ]


def test_verdicts_are_words_with_a_sign_and_counted(page):
    claims = article(page, "claims-csv")
    counts = re.search(r'<p class="verdicts">(.*?)</p>', claims, re.DOTALL)[1]
    said = " ".join(re.sub(r"<[^>]*>", " ", counts).split())
    assert said == "✓ holds 2 ✗ does not hold 1 ○ not testable 1 ≈ level 1"
    assert [row[1] for row in rows_of(claims)] == ["✓ holds", "✗ does not hold", "○ not testable", "✓ holds", "≈ level"]
    kinds = re.findall(r'class="badge (\w+)"', claims.split("<tbody>")[1])
    assert kinds == ["good", "bad", "open", "good", "level"]


def test_verdicts_on_other_data_and_on_claims_of_ours_are_counted_apart(results):
    rows = [("True", "3.1", "holds"), ("False", "3.1", "holds"), ("True", "ours", "level"), ("False", "3.2", "holds")]
    names = ("papers_data", "section", "verdict")
    write_csv(
        results / "claims.csv", [{"claim": str(k)} | dict(zip(names, row, strict=True)) for k, row in enumerate(rows)]
    )
    counts = re.findall(r'<p class="verdicts">(.*?)</p>', article(write(results), "claims-csv"), re.DOTALL)
    assert [" ".join(re.sub(r"<[^>]*>", " ", one).split()) for one in counts] == [
        "✓ holds 1", "Of other data than the paper's, and of claims of ours: ✓ holds 2 ≈ level 1",
    ]  # fmt: skip


def test_stand_ins_are_named_as_such(page):
    assert re.search(r'class="warning"><b>Stand-ins\.</b> cells: data that stand in', page)
    data = re.search(r'<section id="data".*?</section>', page, re.DOTALL)[0]
    shown = [(*row[:2], *row[3:5]) for row in rows_of(data)]
    assert shown == [("simulation", "simulated", "3", "2"), ("cells", "stand-in", "3", "2")]


def test_times_are_summed_and_the_rest_does_not_change(results, page):
    times = re.search(r'<section id="times".*?</section>', page, re.DOTALL)[0]
    assert rows_of(times)[0] == ["simulate", "1", "1", "36.5", "30.5", "3.5", "0"]
    assert "abc, with uncommitted changes" in page and "<dt>rdkit</dt><dd>not installed</dd>" in page
    (results / "benchmarks" / "simulate.tsv").write_text("s\tcpu_time\n99\t98\n")
    later = write(results)
    assert later != page
    assert page.replace(times, "") == re.sub(r'<section id="times".*?</section>', "", later, flags=re.DOTALL)


def test_the_last_starts_cores_are_accounted_for(results):
    """Of 4 cores x 100 s: 30 s of training on 2 cores, and 20 s of simulating; before it began, and tables, no work."""
    folder, now = results / "benchmarks", time.time()

    def account(name, rule, threads, ended, **seconds):
        path = folder / "any" / f"{name}.seconds.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"rule": rule, "threads": threads, **seconds}))
        os.utime(path, (ended, ended))

    assert times.last_start(results, now) is None
    times.note_beginning(results, now - 100, 4)
    (folder / "simulate.seconds.json").unlink()
    os.utime(folder / "start.json", (now - 95, now - 95))
    account("earlier", "train_step1", 2, now - 96, **{"all": 50, "training": 50})
    account("one", "train_step1", 2, now - 50, **{"all": 40, "start-up": 5, "loading": 3, "writing": 2, "training": 29})
    account("two", "simulate", 1, now - 10, **{"all": 21, "start-up": 1})
    account("three", "tabulate_probes", 1, now - 5, **{"all": 30, "start-up": 1})
    start = times.last_start(results, now)
    assert (start.jobs, start.cores) == (3, 4) and start.seconds == pytest.approx(100)
    assert start.without_work == pytest.approx(1 - 80 / 400)
    assert re.search(
        r"last start ran 3 jobs on 4 cores, and was 1\.7 minutes old .* In\s80 % of its", write(results), re.S
    )
    times.note_ending(results, now)
    assert json.loads((folder / "start.json").read_text())["without_work"] == pytest.approx(0.8)
    # On a cluster no one knows.
    times.note_beginning(results, now - 100, None)
    assert times.last_start(results, now) is None and "The last start ran" not in write(results)


def test_plates_that_a_checkpoint_added_are_among_the_jobs(results):
    steps = json.loads((results / "workflow.json").read_text())
    steps |= {
        "list_plates": {"after": [], "jobs": [{"dataset": "images", "benchmark": str(results / "no.tsv")}]},
        "curate_rxrx19a": {"after": ["list_plates"], "jobs": [{"dataset": "images", "benchmark": "no.tsv"}]},
    }
    steps["report"]["after"] = ["curate_rxrx19a", "simulate"]
    (results / "workflow.json").write_text(json.dumps(steps))
    for plate, seconds in ((1, 1000), (2, 500)):
        path = results / "benchmarks" / "images" / "measurements" / "HRCE-1" / f"Plate{plate}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tcpu_time\n{seconds}\t7\n")
    page = write(results)
    shown = rows_of(re.search(r'<section id="workflow".*?</section>', page, re.DOTALL)[0])
    assert ["measure_plate", "2", "list_plates"] in shown
    assert ["curate_rxrx19a", "1", "list_plates, measure_plate"] in shown
    assert "measure_plate (2)" in page
    assert '<th scope="row">images</th><td class=n>4</td><td class=n>2</td><td class=n>1500.0</td>' in page


def test_what_cannot_be_shown_is_named(results):
    (results / "simulation" / "figure4a.png").write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match=r"figure4a\.png: is no PNG; delete it and run again"):
        write(results)
    caption = results / "caption.rst"
    caption.write_text("Of {{ snakemake.wildcards.nothing }}.")
    with pytest.raises(InputError, match=r"caption\.rst: cannot be shown \(.*nothing.*\); correct this caption"):
        write(results, [OUTPUTS[0] | {"caption": str(caption)}])
    caption.write_text("An *emphasis without end.")
    with pytest.raises(InputError, match=r"caption\.rst: cannot be shown \(.*emphasis.*\); correct this caption"):
        write(results, [OUTPUTS[0] | {"caption": str(caption)}])
