"""Killed at any moment, started twice: nothing half-written, nothing lost, the same numbers in the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from comparison import assert_same_bytes, outputs, whole_outputs
from conftest import LONG, LONG_CONFIG
from kills import SECONDS_TO_WAIT, assert_no_half_file, end, find_job, random_moments, scripts_of, wait_for

RESULTS = "results/tiny"
KILLS = 20


@pytest.fixture(scope="module")
def undisturbed(fresh, tmp_path_factory) -> Iterator:
    """A finished run of the long config, with all figures."""
    checkout = fresh.copy(tmp_path_factory.mktemp("undisturbed") / "copy").under(*fresh.configs, LONG_CONFIG)
    checkout.run().ok()
    yield checkout
    shutil.rmtree(checkout.folder)


def disturbed(undisturbed, tmp_path: Path, name: str):
    """A checkout with the data made and nothing trained."""
    checkout = undisturbed.copy(tmp_path / name)
    for stage in ("step1", "step2"):
        shutil.rmtree(checkout / f"{LONG}/simulation/{stage}")
    shutil.rmtree(checkout / f"{LONG}/paper", ignore_errors=True)
    of_the_run = [checkout / f"{LONG}/{name}" for name in ("report.html", "workflow.json", "SHA256SUMS")]
    for path in [*(checkout / f"{LONG}/simulation").glob("*.*"), *of_the_run]:
        path.unlink(missing_ok=True)
    assert checkout.plan()["train_step1"] == 1
    return checkout


def only_stack(checkout, stage: str) -> Path:
    """Folder of the only stack of a stage, by the ledger."""
    stacks = json.loads((checkout / f"{LONG}/stacks.json").read_text())["stacks"]
    (stack,) = stacks[f"simulation/{stage}"]
    return checkout / f"{LONG}/simulation/{stage}/{stack}"


def assert_no_final_file(folder: Path) -> None:
    """Check that a stack holds at most a checkpoint and unfinished files that say so."""
    left = [path.name for path in folder.glob("*")] if folder.exists() else []
    assert [name for name in left if name != "checkpoint.pt" and not name.endswith(".part")] == []


def assert_as_undisturbed(checkout, undisturbed) -> None:
    """Check that the same command ends the run with the bytes of an undisturbed one, and leaves nothing over."""
    checkout.run().ok()
    assert_same_bytes(outputs(undisturbed, LONG), whole_outputs(checkout, LONG))
    assert "Nothing to be done" in checkout.run(options=["--dry-run"]).ok().output


@pytest.mark.slow
def test_twenty_kills_at_random_moments(undisturbed, tmp_path):
    """Kill -9 of a job, of Snakemake alone or of both, whatever is running; runs that get to their end are compared."""
    moments, kills, orphans, runs = random_moments(), [], [], 0
    checkout = disturbed(undisturbed, tmp_path, "0")
    begun = time.monotonic()
    disturbed(undisturbed, tmp_path, "timed").run().ok()
    seconds = time.monotonic() - begun
    while len(kills) < KILLS:
        process = checkout.start()
        time.sleep(moments.uniform(0, 0.7 * seconds))
        victim = moments.choice(["job", "snakemake", "both"])
        jobs = scripts_of(process)
        if process.poll() is not None or (victim == "job" and not jobs):
            # Nothing to kill: at its end, or between two jobs.
            output = end(process)
            assert process.returncode == 0, output
        elif victim == "job":
            with suppress(psutil.NoSuchProcess):  # it may just have ended
                moments.choice(jobs).kill()
                kills.append(victim)
            end(process)
        else:
            if victim == "both":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
                orphans += jobs
            process.wait(SECONDS_TO_WAIT)
            process.stdout.close()
            kills.append(victim)
            checkout.run(options=["--unlock"]).ok()
        assert_no_half_file(outputs(checkout, LONG), outputs(undisturbed, LONG))
        if set(outputs(undisturbed, LONG)) <= set(outputs(checkout, LONG)):
            assert_as_undisturbed(checkout, undisturbed)
            runs += 1
            checkout = disturbed(undisturbed, tmp_path, str(runs))
    assert_as_undisturbed(checkout, undisturbed)
    counted = ", ".join(f"{kills.count(one)} x {one}" for one in sorted({*kills}))
    print(f"{runs + 1} runs of {seconds:.0f} s, killed: {counted}")
    assert not psutil.wait_procs(orphans, timeout=SECONDS_TO_WAIT)[1], "an orphan goes on for ever"


@pytest.mark.slow
def test_killed_training_goes_on_from_its_checkpoint(undisturbed, tmp_path):
    checkout = disturbed(undisturbed, tmp_path, "copy")
    process = checkout.start()
    job = find_job(process, "train_step1.py")
    folder = only_stack(undisturbed, "step1").name
    checkpoint = checkout / f"{LONG}/simulation/step1/{folder}/checkpoint.pt"
    wait_for(checkpoint.exists, process, "a checkpoint was written")
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
    time.sleep(random_moments().uniform(0, 4))
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
    checkpoint = checkout / f"{LONG}/simulation/step1/{folder}/checkpoint.pt"
    wait_for(checkpoint.exists, process, "a checkpoint was written")
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    output = end(process)
    assert process.returncode != 0, output
    assert time.monotonic() - begun < 30 and not job.is_running()
    assert_no_final_file(checkout / f"{LONG}/simulation/step1/{folder}")
    assert_as_undisturbed(checkout, undisturbed)


def test_second_snakemake_is_refused_and_the_first_unharmed(fresh_copy, finished):
    first = fresh_copy.start(f"{RESULTS}/simulation/data/splits.parquet")
    find_job(first, "simulate.py")
    second = fresh_copy.run(f"{RESULTS}/simulation/data/splits.parquet").fails()
    assert "LockException" in second.output
    output = end(first)
    assert first.returncode == 0, output
    assert_same_bytes(*(outputs(one, f"{RESULTS}/simulation/data") for one in (finished, fresh_copy)))
