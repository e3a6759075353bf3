"""The tiny preset once more beside its finished run, and this time killed at random moments."""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import time
from contextlib import suppress

import psutil
import pytest
from comparison import assert_same_bytes, outputs, whole_outputs
from conftest import SECONDS
from kills import assert_no_half_file, end, random_moments, scripts_of

RESULTS = "results/tiny"
KILLS, MANY_KILLS = 3, 20


def test_every_table_of_the_tiny_preset_holds_what_it_should(finished):
    made = outputs(finished, RESULTS)
    assert len(made) > 30
    with made["table1.csv"].open() as lines:
        rows = list(csv.DictReader(lines))
    found = {row["row"] for row in rows}
    assert {"CLIP", "FactorCL-emb", "FactorCL-proj", "DisentangledSSL (both)", "Most common class"} <= found
    assert {(row["dataset"], row["stand_in"]) for row in rows} == {("mfeat", "True")}
    # Of a view: CLIP's code has all of the 20 dimensions, the others have 10 for each of two.
    widths = {row["row"]: row["width"] for row in rows}
    assert (widths["CLIP"], widths["DisentangledSSL (shared)"], widths["DisentangledSSL (both)"]) == ("40", "20", "40")
    # Every cell of the paper, none compared: this preset has stand-ins alone.
    with made["paper/comparison.csv"].open() as lines:
        cells = list(csv.DictReader(lines))
    assert len(cells) == 210 and {row["verdict"] for row in cells} == {"not run", "inconsistent in the source"}
    assert not any(row["mean"] or row["our_dataset"] for row in cells)
    with made["paper/other_data.csv"].open() as lines:
        others = list(csv.DictReader(lines))
    assert {(row["dataset"], row["stand_in"]) for row in others} == {("mfeat", "True"), ("lincs_consensus", "True")}
    assert {row["table"] for row in others} == {"1", "2", "3", "4", "5"}
    with made["paper/claims.csv"].open() as lines:
        verdicts = {row["verdict"] for row in csv.DictReader(lines) if row["data"] == "simulation"}
    assert verdicts - {"not testable"}, "the simulation is the paper's own"
    assert {f"paper/table{n}.{ending}" for n in range(1, 6) for ending in ("md", "tex")} <= set(made)


def test_the_same_bytes_again_after_three_kills_at_random_moments(fresh_copy, finished):
    """Every table, model and figure; logs and benchmarks hold times and are not compared."""
    seconds, moments = _seconds(finished), random_moments()
    killed = [_kill(fresh_copy, moments, 0.4 * seconds) for _ in range(KILLS)]
    print(f"killed, of a run of {seconds:.0f} s: {killed}")
    assert any(killed)
    assert_no_half_file(outputs(fresh_copy, RESULTS), outputs(finished, RESULTS))
    _assert_ends_as(finished, fresh_copy)


@pytest.mark.slow
def test_the_same_bytes_again_after_twenty_kills_at_random_moments(fresh, finished, tmp_path):
    """A run that gets to its end between them is compared, and the next is begun."""
    seconds, moments = _seconds(finished), random_moments()
    whole, killed, runs = outputs(finished, RESULTS), [], 1
    checkout = fresh.copy(tmp_path / "0")
    while len(killed) < MANY_KILLS:
        if what := _kill(checkout, moments, 0.2 * seconds):
            killed.append(what)
        assert_no_half_file(outputs(checkout, RESULTS), whole)
        if set(whole) <= set(outputs(checkout, RESULTS)):
            _assert_ends_as(finished, checkout)
            shutil.rmtree(checkout.folder)
            checkout, runs = fresh.copy(tmp_path / str(runs)), runs + 1
    _assert_ends_as(finished, checkout)
    print(f"killed, in {runs} runs of {seconds:.0f} s: {killed}")
    shutil.rmtree(checkout.folder)


def _seconds(finished) -> float:
    """How long the finished run took."""
    written = finished.times(RESULTS).values()
    return (max(written) - min(written)) / 1e9


def _assert_ends_as(finished, checkout) -> None:
    """Check that the same command comes to its end, with the bytes of the finished run."""
    # In a process of its own, where texts have other hashes, and so sets another order.
    process = checkout.start()
    said = end(process, SECONDS)
    assert process.returncode == 0, said
    assert_same_bytes(outputs(finished, RESULTS), whole_outputs(checkout, RESULTS))


def _kill(checkout, moments: random.Random, latest: float) -> str:
    """Start the run and kill -9 a job of it, or Snakemake and its jobs, as a power cut would; say what was killed."""
    process = checkout.start()
    time.sleep(moments.uniform(0, latest))
    jobs = scripts_of(process)
    if process.poll() is not None:
        assert process.returncode == 0, end(process)
        return ""
    if jobs and moments.choice(["job", "both"]) == "job":
        job = moments.choice(jobs)
        with suppress(psutil.NoSuchProcess):  # it may just have ended, and the run goes on
            name = job.cmdline()[1].rpartition("/")[2]
            job.kill()
            end(process, SECONDS)
            return name.partition(".")[2] if process.returncode else ""
    os.killpg(process.pid, signal.SIGKILL)
    end(process)
    checkout.run(options=["--unlock"]).ok()
    return f"snakemake and {len(jobs)} jobs"
