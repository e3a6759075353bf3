"""Whole runs: the same numbers twice, nothing to do the second time, and killed at any moment."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

RESULTS = "results/small"
LONG_CONFIG = "tests/workflow/configs/long.yaml"
LONG = "results/long"
SECONDS_TO_WAIT = 120
# What a run says of itself, not what it found: times, and who holds the ledger.
NOT_COMPARED = ("logs", "benchmarks")


def outputs(checkout, folder: str) -> dict[str, Path]:
    """Files that must be the same in every run."""
    found = checkout.files(folder, without=NOT_COMPARED)
    return {name: path for name, path in found.items() if not name.endswith(".lock")}


def assert_same_bytes(one: dict[str, Path], other: dict[str, Path]) -> None:
    """Check that two runs made the same files with the same content."""
    assert set(one) == set(other)
    different = [name for name in one if one[name].read_bytes() != other[name].read_bytes()]
    assert not different, f"differ: {different}"


# A whole run


def test_everything_that_was_promised_is_there(finished):
    made = outputs(finished, RESULTS)
    for name in (
        "simulation/probes.csv", "simulation/probes.parquet", "simulation/probes_summary.csv",
        "simulation/probes_summary.parquet", "simulation/figure4a.png", "simulation/figure4a.pdf",
        "simulation/figure4a.csv", "simulation/figure4b.csv", "simulation/figure7.csv", "simulation/figure8.png",
        "lincs_consensus/retrieval.csv", "lincs_consensus/retrieval.parquet",
        "lincs_consensus/retrieval_summary.csv", "lincs_consensus/retrieval_differences.csv",
        "lincs_consensus/retrieval_curves.png", "lincs_consensus/selection.json", "stacks.json",
    ):  # fmt: skip
        assert made[name].stat().st_size > 0
    kinds = {Path(name).suffix for name in made}
    assert kinds == {".csv", ".json", ".parquet", ".pdf", ".png", ".safetensors"}, "no checkpoint, no .part is left"


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


def test_one_run_as_a_file(finished_copy):
    target = f"{RESULTS}/simulation/representations/step2/beta=10,lam=0.01,seed=0.parquet"
    result = finished_copy.run(target).ok()
    assert result.counts == {"export_representations": 1}
    assert (finished_copy / target).stat().st_size > 0


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


# What it will cost


def test_cost_is_predicted_and_nothing_is_left_of_a_finished_run(finished_copy):
    target = f"{RESULTS}/cost.csv"
    rule = finished_copy.run(target).ok()
    assert rule.counts == {"predict_cost": 1}
    assert "small: about" in rule.output and "on 2 cores" in rule.output and "of it are left" in rule.output
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
    assert set(counts) == {"simulate", "curate_screen", "train_mol2vec", "featurise_molecules", "split_dataset"}


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


def test_tiny_preset_makes_the_same_bytes_twice(fresh, tmp_path):
    """Every table, model and figure; logs and benchmarks hold times and are not compared."""
    made = []
    for name in ("one", "other"):
        checkout = fresh.copy(tmp_path / name).under("config/tiny.yaml")
        checkout.run().ok()
        made.append(outputs(checkout, "results/tiny"))
    assert len(made[0]) > 30
    assert_same_bytes(*made)


@pytest.mark.slow
def test_forced_run_makes_the_same_bytes(finished_copy, finished):
    finished_copy.run(f"{RESULTS}/simulation/probes.csv", options=["--forceall"]).ok()
    keep = ("simulation/data/", "simulation/step1/", "simulation/step2/", "simulation/probes")
    made, again = (
        {name: path for name, path in outputs(one, RESULTS).items() if name.startswith(keep)}
        for one in (finished, finished_copy)
    )
    assert_same_bytes(made, again)


# Killed


@pytest.fixture(scope="module")
def undisturbed(fresh, tmp_path_factory) -> Iterator:
    """A finished run of the long config, and how long each training job took (seconds by rule)."""
    checkout = fresh.copy(tmp_path_factory.mktemp("undisturbed") / "copy").under(*fresh.configs, LONG_CONFIG)
    checkout.run().ok()
    yield checkout
    shutil.rmtree(checkout.folder)


def disturbed(undisturbed, tmp_path: Path, name: str):
    """A checkout with the data made and nothing trained."""
    checkout = undisturbed.copy(tmp_path / name)
    for stage in ("step1", "step2"):
        shutil.rmtree(checkout / f"{LONG}/simulation/{stage}")
    for path in (checkout / f"{LONG}/simulation").glob("*.*"):
        path.unlink()
    assert checkout.plan()["train_step1"] == 1
    return checkout


def find_job(process: subprocess.Popen, script: str) -> psutil.Process:
    """Wait for the job that runs this script among the descendants of Snakemake."""
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while time.monotonic() < deadline:
        assert process.poll() is None, f"Snakemake ended before {script} began: {process.stdout.read()}"
        try:
            for child in psutil.Process(process.pid).children(recursive=True):
                # The interpreter itself, not a shell around it.
                words = child.cmdline()
                if any(word.endswith(script) for word in words) and "python" in words[0]:
                    return child
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.02)
    raise AssertionError(f"{script} did not begin within {SECONDS_TO_WAIT} s")


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Wait until a file exists."""
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while not path.exists():
        assert time.monotonic() < deadline and process.poll() is None, f"{path} was not written"
        time.sleep(0.005)


def only_stack(checkout, stage: str) -> Path:
    """Folder of the only stack of a stage, by the ledger."""
    stacks = json.loads((checkout / f"{LONG}/stacks.json").read_text())["stacks"]
    (stack,) = stacks[f"simulation/{stage}"]
    return checkout / f"{LONG}/simulation/{stage}/{stack}"


def end(process: subprocess.Popen) -> str:
    """Collect what Snakemake said, when it ends."""
    output, _ = process.communicate(timeout=SECONDS_TO_WAIT)
    return output


def assert_no_final_file(folder: Path) -> None:
    """Check that a stack holds at most a checkpoint and unfinished files that say so."""
    left = [path.name for path in folder.glob("*")] if folder.exists() else []
    assert [name for name in left if name != "checkpoint.pt" and not name.endswith(".part")] == []


def assert_as_undisturbed(checkout, undisturbed, *options: str) -> None:
    """Check that the same command ends the run with the bytes of an undisturbed one, and leaves nothing over."""
    checkout.run(options=options).ok()
    # A kill may leave a .part file, under a name that nothing reads.
    made = {name: path for name, path in outputs(checkout, LONG).items() if not name.endswith(".part")}
    assert_same_bytes(outputs(undisturbed, LONG), made)
    assert "Nothing to be done" in checkout.run(options=["--dry-run"]).ok().output


def test_training_killed_at_three_random_moments(undisturbed, tmp_path):
    """Kill -9 of the training job; the same command goes on and ends with the same bytes."""
    seed = time.time_ns() % 10**9
    print(f"seed of the moments: {seed}")
    moments = random.Random(seed)
    left = {}
    for stage in ("step1", "step2"):
        timed = next((undisturbed / f"{LONG}/benchmarks/simulation").glob(f"{stage}/*/train_*.seconds.json"))
        left[stage] = json.loads(timed.read_text())["all"]
    checkout, kills = disturbed(undisturbed, tmp_path, "copy"), 0
    for stage in ("step1", moments.choice(["step1", "step2"]), "step2"):
        folder = checkout / only_stack(undisturbed, stage).relative_to(undisturbed.folder)
        if (folder / "models.safetensors").exists():
            continue
        process = checkout.start()
        job = find_job(process, f"train_{stage}.py")
        moment = moments.uniform(0, 0.8 * left[stage])
        time.sleep(moment)
        if not job.is_running():
            print(f"{stage}: ended within {moment:.2f} s")
            os.killpg(process.pid, signal.SIGINT)
            end(process)
            continue
        print(f"{stage}: killed {moment:.2f} s after its start, of about {left[stage]:.2f} s; checkpoint:", end=" ")
        job.kill()
        print((folder / "checkpoint.pt").exists())
        output = end(process)
        assert process.returncode != 0, output
        assert_no_final_file(folder)
        left[stage] -= moment
        kills += 1
    assert kills
    assert_as_undisturbed(checkout, undisturbed)


@pytest.mark.slow
def test_killed_training_goes_on_from_its_checkpoint(undisturbed, tmp_path):
    checkout = disturbed(undisturbed, tmp_path, "copy")
    process = checkout.start()
    job = find_job(process, "train_step1.py")
    folder = only_stack(undisturbed, "step1").name
    wait_for(checkout / f"{LONG}/simulation/step1/{folder}/checkpoint.pt", process)
    job.kill()
    end(process)
    assert_as_undisturbed(checkout, undisturbed)
    log = (checkout / f"{LONG}/logs/simulation/step1/{folder}/train_step1.log").read_text()
    assert "resumed after epoch" in log


@pytest.mark.slow
def test_killed_snakemake_needs_unlock_and_then_goes_on(undisturbed, tmp_path):
    """Kill -9 of Snakemake and of what it started, as a power cut would."""
    checkout = disturbed(undisturbed, tmp_path, "copy")
    process = checkout.start()
    find_job(process, "train_step1.py")
    time.sleep(random.uniform(0, 4))
    os.killpg(process.pid, signal.SIGKILL)
    end(process)
    locked = checkout.run().fails()
    assert "--unlock" in locked.output
    checkout.run(options=["--unlock"]).ok()
    assert_as_undisturbed(checkout, undisturbed)


@pytest.mark.slow
def test_job_that_outlives_snakemake_and_the_next_run_do_not_mix(undisturbed, tmp_path):
    """Kill -9 of Snakemake alone: its job lives on, while the next run trains the same stack."""
    checkout = disturbed(undisturbed, tmp_path, "copy")
    process = checkout.start()
    orphan = find_job(process, "train_step1.py")
    process.kill()
    # Not end(): the orphan holds the other end of the pipe.
    process.wait(SECONDS_TO_WAIT)
    assert orphan.is_running()
    checkout.run(options=["--unlock"]).ok()
    try:
        assert_as_undisturbed(checkout, undisturbed)
    finally:
        gone, _ = psutil.wait_procs([orphan], timeout=SECONDS_TO_WAIT)
        process.stdout.close()
    assert gone, "the orphan goes on for ever"
    made = {name: path for name, path in outputs(checkout, LONG).items() if name.startswith("simulation/step1/")}
    whole = {name: path for name, path in outputs(undisturbed, LONG).items() if name.startswith("simulation/step1/")}
    assert_same_bytes(whole, made)


@pytest.mark.slow
def test_interrupted_run_leaves_no_half_output_and_goes_on(undisturbed, tmp_path):
    """Ctrl-C reaches Snakemake and its job, as in a terminal."""
    checkout = disturbed(undisturbed, tmp_path, "copy")
    process = checkout.start()
    job = find_job(process, "train_step1.py")
    folder = only_stack(undisturbed, "step1").name
    wait_for(checkout / f"{LONG}/simulation/step1/{folder}/checkpoint.pt", process)
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    output = end(process)
    assert process.returncode != 0, output
    assert time.monotonic() - begun < 30 and not job.is_running()
    assert_no_final_file(checkout / f"{LONG}/simulation/step1/{folder}")
    assert_as_undisturbed(checkout, undisturbed)


def test_second_snakemake_is_refused_and_the_first_unharmed(fresh_copy):
    first = fresh_copy.start(f"{RESULTS}/simulation/data/splits.parquet")
    find_job(first, "simulate.py")
    second = fresh_copy.run(f"{RESULTS}/simulation/data/splits.parquet").fails()
    assert "LockException" in second.output
    output = end(first)
    assert first.returncode == 0, output
    assert (fresh_copy / f"{RESULTS}/simulation/data/splits.parquet").exists()
