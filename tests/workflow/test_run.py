"""Whole runs: what they leave, and nothing to do the second time."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from comparison import assert_same_bytes, outputs

from disentangledssl.report.columns import DESCRIPTIONS

RESULTS = "results/tiny"

# A whole run


def test_everything_that_was_promised_is_there(finished):
    made = outputs(finished, RESULTS)
    for name in (
        "simulation/probes.csv", "simulation/probes.parquet", "simulation/probes_summary.csv",
        "simulation/probes_summary.parquet", "simulation/figure4a.png", "simulation/figure4a.pdf",
        "simulation/figure4a.csv", "simulation/figure4b.csv", "simulation/figure7.csv", "simulation/figure8.png",
        "lincs_consensus/retrieval.csv", "lincs_consensus/retrieval.parquet",
        "lincs_consensus/retrieval_summary.csv", "lincs_consensus/retrieval_differences.csv",
        "lincs_consensus/retrieval_curves.png", "lincs_consensus/selection.json", "stacks.json", "workflow.json",
        "report.html", "manifest.json", "SHA256SUMS",
    ):  # fmt: skip
        assert made[name].stat().st_size > 0
    kinds = {Path(name).suffix for name in made if name != "SHA256SUMS"}
    assert kinds == {".csv", ".html", ".json", ".md", ".parquet", ".pdf", ".png", ".safetensors", ".tex"}, (
        "no checkpoint, no .part, no mark of a start is left"
    )


def test_the_report_explains_every_column(finished):
    tables = [path for path in (finished / RESULTS).rglob("*.csv") if not path.with_suffix(".png").exists()]
    tables = [path for path in tables if path.name != "curation.csv"]
    assert len(tables) >= 8
    for path in tables:
        with path.open(newline="") as lines:
            unknown = set(next(csv.reader(lines))) - set(DESCRIPTIONS)
        assert not unknown, f"{path.name}: say in report/columns.py what {unknown} mean"


def verified(checkout):
    command = [sys.executable, "-m", "disentangledssl.verify", RESULTS, "--configfile", *checkout.configs]
    return subprocess.run(command, cwd=checkout.folder, env=checkout.environment(), capture_output=True, text=True)


@pytest.mark.slow
def test_a_run_notes_what_it_made_and_of_what(finished_copy):
    result = verified(finished_copy)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 differ, 0 missing" in result.stdout and "settings of the last start: these" in result.stdout
    table = finished_copy / f"{RESULTS}/simulation/probes.csv"
    table.write_text(table.read_text().replace("0.", "1.", 1))
    result = verified(finished_copy)
    assert result.returncode == 1 and "  differs: simulation/probes.csv" in result.stdout
    # Nor does a later run that ends well vouch for it: one that writes but a figure.
    figure = finished_copy / f"{RESULTS}/simulation/figure8.png"
    figure.unlink()
    told = finished_copy.run(f"{RESULTS}/simulation/figure8.png").ok().output
    assert "Changed since a run wrote them, by no run: simulation/probes.csv. Restore them" in told
    result = verified(finished_copy)
    assert "1 differ, 0 missing\n  differs: simulation/probes.csv" in result.stdout


def test_the_manifest_names_every_raw_file_that_jobs_read(finished):
    """By the jobs' own account: what they take in, none of them makes, and is no part of the report's page."""
    shown = finished.run(options=["--detailed-summary"]).ok().output
    rows = list(csv.DictReader(shown[shown.index("output_file\t") :].splitlines(), delimiter="\t"))
    made = {row["output_file"] for row in rows}
    read = {path for row in rows for path in (row["input-file(s)"] or "").split(",") if path not in ("", "-")}
    read = {path for path in read if not path.startswith(("workflow/", "src/"))}
    noted = json.loads((finished / f"{RESULTS}/manifest.json").read_text())["data"]
    assert len(read) > 20 and set(noted) == read - made
    assert all(one.startswith("sha256:") for one in noted.values())


def test_every_job_left_its_log_its_benchmark_and_its_seconds(finished):
    logs = set(finished.files(f"{RESULTS}/logs"))
    assert {name.removesuffix(".log") for name in logs} == {
        name.removesuffix(".tsv") for name in finished.files(f"{RESULTS}/benchmarks") if name.endswith(".tsv")
    }
    assert {name.removesuffix(".log") for name in logs} == {
        name.removesuffix(".seconds.json")
        for name in finished.files(f"{RESULTS}/benchmarks")
        if name.endswith(".seconds.json")
    }
    start = json.loads((finished / f"{RESULTS}/benchmarks/start.json").read_text())
    assert start["jobs"] == len(logs) and 0 < start["without_work"] < 1


def test_selected_beta_is_what_step2_was_trained_with(finished):
    folder = finished / f"{RESULTS}/lincs_consensus"
    chosen = json.loads((folder / "selection.json").read_text())["beta"]["0"]
    history = next(folder.glob("step2/*/history.parquet"))
    assert pq.read_table(history)["run"].unique().to_pylist() == ["beta=selected,lam=0.01,fold=0,seed=0"]
    models = history.with_name("models.safetensors").read_bytes()
    assert f'\\"beta_value\\": {chosen}'.encode() in models


def test_second_call_has_nothing_to_do_and_touches_nothing(finished_copy):
    before = finished_copy.times()
    result = finished_copy.run().ok()
    assert "Nothing to be done" in result.output
    assert finished_copy.times() == before


@pytest.mark.slow
def test_one_run_as_a_file(finished_copy):
    target = f"{RESULTS}/simulation/representations/step2/beta=10,lam=0.01,seed=0.parquet"
    result = finished_copy.run(target).ok()
    assert result.counts == {"export_representations": 1}
    assert (finished_copy / target).stat().st_size > 0


@pytest.mark.slow
def test_a_new_beta_leaves_what_was_trained_alone(finished_copy, overlay):
    """The old stacks keep their times and bytes, the table gains the new rows."""
    before, old = finished_copy.times(RESULTS), outputs(finished_copy, f"{RESULTS}/simulation/step1")
    content = {name: path.read_bytes() for name, path in old.items()}
    rows = pq.read_table(finished_copy / f"{RESULTS}/simulation/probes.parquet").to_pylist()
    text = "data: {simulation: {grids: {step1: {beta: [0, 1, 10]}, step2: {beta: [0, 10], lam: [0.01]}}}}"
    finished_copy.run(overlays=[overlay(text)]).ok()
    after = finished_copy.times(RESULTS)
    trained = [name for name in before if "/step1/" in name or "/step2/" in name]
    assert trained and all(after[name] == before[name] for name in trained)
    assert all(old[name].read_bytes() == content[name] for name in old)
    more = pq.read_table(finished_copy / f"{RESULTS}/simulation/probes.parquet").to_pylist()
    assert [row for row in more if row["beta"] != "1"] == rows
    assert {row["beta"] for row in more} == {"0", "1", "10", None}
    # And taken out again, the table is the old one.
    finished_copy.run().ok()
    assert pq.read_table(finished_copy / f"{RESULTS}/simulation/probes.parquet").to_pylist() == rows


BASELINES_ON_A_SCREEN = """
families: {screen: {grids: {jointopt: {a: [1], lam: [0.01]}, focal: {a: [1], lam: [0.01]}, dmvae: {lam: [0.00001]}}}}
"""


@pytest.mark.slow
def test_baselines_on_a_screen_are_ranked_and_reconstructed(finished_copy, overlay):
    """The tiny preset trains none of them there, so Tables 2, 3 and 5 get their rows here."""
    targets = [f"{RESULTS}/lincs_consensus/{name}.csv" for name in ("retrieval", "reconstruction")]
    counts = finished_copy.run(*targets, overlays=[overlay(BASELINES_ON_A_SCREEN)]).counts
    assert counts == {
        "train_baseline": 3, "measure_retrieval": 3, "measure_reconstruction": 3,
        "tabulate_retrieval": 1, "tabulate_reconstruction": 1,
    }  # fmt: skip
    for target in targets:
        with open(finished_copy / target, newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if row["method"] in ("jointopt", "focal", "dmvae")]
        assert {row["method"] for row in rows} == {"jointopt", "focal", "dmvae"}
        assert all(math.isfinite(float(row["value"])) for row in rows)


# What it will cost


@pytest.mark.slow
def test_cost_is_predicted_and_nothing_is_left_of_a_finished_run(finished_copy):
    target = f"{RESULTS}/cost.csv"
    rule = finished_copy.run(target).ok()
    assert rule.counts == {"predict_cost": 1}
    assert "tiny: about" in rule.output and "on 2 cores" in rule.output and "of it are left" in rule.output
    with open(finished_copy / target, newline="") as lines:
        rows = list(csv.DictReader(lines))
    trained = [row for row in rows if row["stacks"] and row["dataset"] != "all"]
    folders = {path.parent.parent for path in (finished_copy / RESULTS).glob("*/*/*/models.safetensors")}
    assert {(row["dataset"], row["part"]) for row in trained} == {(one.parent.name, one.name) for one in folders}
    assert all(row["finished"] == row["stacks"] and float(row["seconds_a_step"]) > 0 for row in trained)
    weights = sum(path.stat().st_size for path in (finished_copy / RESULTS).glob("*/*/*/models.safetensors"))
    data = sum(path.stat().st_size for path in (finished_copy / RESULTS).glob("*/data/*"))
    assert float(rows[-2]["disk_gb"]) * 1e9 == pytest.approx(weights + data, rel=0.1)
    assert float(rows[-1]["hours"]) == 0 < float(rows[-2]["hours"])
    assert finished_copy.plan() == {}, "the prediction makes nothing again"


@pytest.mark.slow
def test_cost_of_a_fresh_checkout_makes_the_data_and_trains_nothing(fresh):
    counts = fresh.plan(f"{RESULTS}/cost.csv")
    assert counts.pop("predict_cost") == 1
    assert set(counts) == {
        *("simulate", "curate_screen", "train_mol2vec", "featurise_molecules", "convert_multibench", "split_dataset"),
    }


def test_operations_of_tables_1_and_4_are_counted_without_any_data(fresh):
    assert fresh.plan(f"{RESULTS}/operations.csv") == {"count_operations": 1}


def grids(betas: str, lams: str) -> str:
    """An overlay with other grids of the simulation."""
    return f"data: {{simulation: {{grids: {{step1: {{beta: {betas}}}, step2: {{beta: {betas}, lam: {lams}}}}}}}}}"


@pytest.mark.slow
def test_value_taken_out_trains_nothing_though_a_stack_still_holds_it(finished_copy, overlay):
    """Beta 1 comes later than the others, so the new lam share one stack of step 2 with two starts."""
    target = f"{RESULTS}/simulation/probes.csv"
    finished_copy.run(target, overlays=[overlay(grids("[0, 1, 10]", "[0.01]"))]).ok()
    finished_copy.run(target, overlays=[overlay(grids("[0, 1, 10]", "[0.01, 1]"))]).ok()
    less = overlay(grids("[0, 10]", "[0.01, 1]"))
    assert finished_copy.run(target, overlays=[less]).counts == {"tabulate_probes": 1}


@pytest.mark.slow
def test_forced_run_makes_the_same_bytes(finished_copy, finished):
    finished_copy.run(f"{RESULTS}/simulation/probes.csv", options=["--forceall"]).ok()
    keep = ("simulation/data/", "simulation/step1/", "simulation/step2/", "simulation/probes")
    made, again = (
        {name: path for name, path in outputs(one, RESULTS).items() if name.startswith(keep)}
        for one in (finished, finished_copy)
    )
    assert_same_bytes(made, again)
