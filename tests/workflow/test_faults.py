"""The machine fails: a full disk, a disk that may only be read, damaged files, a clock that was wrong; or a run does.

Real ones: small memory disks are mounted, so most of it needs root; without, it is skipped, saying so.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from comparison import assert_same_bytes, outputs, whole_outputs
from conftest import LONG, Result
from kills import end, find_job, wait_for
from test_bad_input import assert_nothing_made, assert_says

from disentangledssl.checkpoints import load_models

RESULTS = "results/tiny"
SPLITS = f"{RESULTS}/simulation/data/splits.parquet"
VIEW = f"{RESULTS}/simulation/data/view1.parquet"
STEP1 = f"{LONG}/simulation/step1"
MORE = "data: {simulation: {make: {n: 20000}}}"  # 20 MB


@pytest.fixture
def disk() -> Iterator:
    """Mount a memory disk at a folder: ``disk(checkout / "results", "size=1m")``; once more changes it."""
    mounted: list[Path] = []

    def mount(folder: Path, options: str) -> Path:
        folder.mkdir(exist_ok=True)
        how = f"remount,{options}" if folder in mounted else options
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", folder], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a disk cannot be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in set(mounted):
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, left: int) -> None:
    """Fill a disk up to a few bytes."""
    blocks = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(blocks.f_bavail * blocks.f_frsize - left))


@pytest.mark.slow
def test_full_disk(fresh_copy, disk, overlay):
    disk(fresh_copy / "results", "size=1m")
    result = fresh_copy.run(SPLITS, overlays=[overlay(MORE)])
    said = assert_says(
        result, f"{RESULTS}/simulation/data/", "No space left on device, ", " MB free; mend this and run"
    )
    assert said.split(": ")[0].endswith(".parquet")
    assert_nothing_made(fresh_copy)
    disk(fresh_copy / "results", "size=64m")
    assert fresh_copy.run(SPLITS, overlays=[overlay(MORE)]).counts == {"simulate": 1, "split_dataset": 1}
    assert "Nothing to be done" in fresh_copy.run(SPLITS, overlays=[overlay(MORE)]).output


@pytest.mark.slow
def test_disk_that_is_full_before_anything_is_made(fresh_copy, disk):
    fill(disk(fresh_copy / "results", "size=1m"), 8192)
    assert_says(fresh_copy.run(SPLITS), "cannot be written (No space left on device); mend this and run again.")
    assert_nothing_made_but_filler(fresh_copy)


def assert_nothing_made_but_filler(checkout) -> None:
    (checkout / "results/filler").unlink()
    assert_nothing_made(checkout)


@pytest.mark.slow
def test_disk_of_snakemakes_own_notes_is_full(fresh_copy, disk):
    """Its sentence names the folder; nothing is left that a next run would take for whole."""
    folder = disk(fresh_copy / ".snakemake", "size=200k")
    fill(folder, 16384)
    said = assert_says(fresh_copy.run(SPLITS), "[Errno 28] No space left on device", ".snakemake")
    assert said.startswith("Error recording metadata")
    assert_nothing_made(fresh_copy)
    (folder / "filler").unlink()
    assert fresh_copy.run(SPLITS).counts == {"simulate": 1, "split_dataset": 1}


@pytest.mark.slow
def test_results_that_may_only_be_read(fresh_copy, disk):
    disk(fresh_copy / "results", "size=16m,ro")
    assert_says(
        fresh_copy.run(SPLITS), f"{RESULTS}: cannot be written (Read-only file system); mend this and run again."
    )
    disk(fresh_copy / "results", "size=16m,rw")
    assert fresh_copy.run(SPLITS).counts == {"simulate": 1, "split_dataset": 1}


@pytest.mark.slow
def test_finished_results_that_may_only_be_read(fresh_copy, disk):
    """Whoever only looks needs not write."""
    disk(fresh_copy / "results", "size=16m")
    fresh_copy.run(SPLITS).ok()
    disk(fresh_copy / "results", "size=16m,ro")
    assert "Nothing to be done" in fresh_copy.run(SPLITS).ok().output
    assert_says(fresh_copy.run(f"{RESULTS}/simulation/references/probes.parquet"), "Read-only file system")


@pytest.mark.slow
def test_disk_that_is_full_when_a_run_has_ended(fresh_copy):
    """What was made is told first; the next good end notes what this one could not."""
    write = "    with atomic(sums) as part:\n"
    broken = write + "        raise OSError(28, 'No space left on device', str(sums))\n"
    fresh_copy.edit("src/disentangledssl/verify.py", write, broken)
    result = fresh_copy.run(SPLITS)
    said = assert_says(result, f"{RESULTS}/SHA256SUMS: cannot be written (No space left on device); mend this, remove ")
    assert result.output.index("All tables and figures are in") < result.output.index(said)
    assert not (fresh_copy / f"{RESULTS}/SHA256SUMS").exists()
    fresh_copy.edit("src/disentangledssl/verify.py", broken, write)
    (fresh_copy / SPLITS).unlink()
    fresh_copy.run(SPLITS).ok()
    assert "simulation/data/view1.parquet" in (fresh_copy / f"{RESULTS}/SHA256SUMS").read_text()


@pytest.mark.slow
def test_disk_that_is_full_when_a_checkpoint_is_written(untrained, trained, disk):
    """The one before it stays whole, and training goes on from there."""
    checkout, models = untrained
    results, checkpoint = checkout / "results", Path(models).with_name("checkpoint.pt")
    aside = results.rename(checkout / "aside")
    shutil.copytree(aside, disk(results, "size=64m"), dirs_exist_ok=True)
    process = checkout.start(models)
    job = find_job(process, "train_step1.py")
    wait_for((checkout / checkpoint).exists, process, "a checkpoint was written")
    halt_between_checkpoints(job, (checkout / checkpoint).parent)
    fill(results, 0)
    job.resume()
    output = end(process)
    result = Result(process.args, process.returncode, output)
    assert_says(result, f"{checkpoint}: No space left on device, 0 MB free; mend this and run again.")
    assert [path.name for path in (checkout / checkpoint).parent.iterdir()] == ["checkpoint.pt"]
    (results / "filler").unlink()
    checkout.run(models).ok()
    assert "resumed after epoch" in log_of_training(checkout)
    assert_same_bytes(outputs(trained, STEP1), outputs(checkout, STEP1))


def halt_between_checkpoints(job: psutil.Process, folder: Path) -> None:
    """Suspend a job that trains at a moment when it writes no checkpoint, which would make room at its end."""
    job.suspend()
    while list(folder.glob("*.part")):
        job.resume()
        time.sleep(0.01)
        job.suspend()


def log_of_training(checkout) -> str:
    (log,) = (checkout / f"{LONG}/logs").rglob("train_step1.log")
    return log.read_text()


def flip(path: Path, at: float = 0.5) -> None:
    """Flip a byte, so far into the file; its date stays."""
    content, times = bytearray(path.read_bytes()), path.stat()
    content[int(at * len(content))] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.slow
def test_damage_to_weights_and_data_is_told_and_mended_by_the_same_command(finished_copy, finished):
    """A byte that a disk lost, which no date tells of: what is made of the file next tells."""
    (weights,) = (finished_copy / f"{RESULTS}/simulation/step1").glob("*/models.safetensors")
    table = finished_copy / f"{RESULTS}/simulation/probes.csv"
    for damaged, told in (
        (weights, "is not a readable stack of models (wrong checksum"),
        (finished_copy / VIEW, "cannot be read as Parquet"),
    ):
        flip(damaged)
        for rows in weights.parent.glob("probes.parquet"):
            rows.unlink()
        table.unlink(missing_ok=True)
        said = assert_says(finished_copy.run(str(table.relative_to(finished_copy.folder))), damaged.name, told)
        assert "delete it and run again" in said
        damaged.unlink()
        finished_copy.run().ok()
        assert_same_bytes(outputs(finished, f"{RESULTS}/simulation"), outputs(finished_copy, f"{RESULTS}/simulation"))


@pytest.mark.slow
def test_damage_to_the_checkpoint_of_a_killed_job_is_told(untrained, trained):
    """It is not what training goes on from: once deleted, training begins anew and ends in the same bytes."""
    checkout, models = untrained
    checkpoint = checkout / Path(models).with_name("checkpoint.pt")
    process = checkout.start(models)
    job = find_job(process, "train_step1.py")
    wait_for(checkpoint.exists, process, "a checkpoint was written")
    job.kill()
    end(process)
    flip(checkpoint)
    damaged, name = checkpoint.read_bytes(), checkpoint.relative_to(checkout.folder)
    told = f"{name}: the checkpoint is damaged (ValueError); delete it; training then starts anew."
    assert_says(checkout.run(models), told)
    assert checkpoint.read_bytes() == damaged and not (checkout / models).exists()
    checkpoint.unlink()
    checkout.run(models).ok()
    assert "resumed" not in log_of_training(checkout)
    assert_same_bytes(outputs(trained, STEP1), whole_outputs(checkout, STEP1))


# In float32 1e39 is infinite, and so is that run's first loss. Of 12 dimensions or more, codes are the same bits in any
# stack (docs/design.md).
BETAS = """
datasets: [simulation]
families: {{simulation: {{training: {{dimensions: 12}}}}}}
data:
  simulation:
    grids: {{step1: {{beta: {0}}}, step2: {{beta: {0}, lam: [0.01]}}, jointopt: null, focal: null, dmvae: null}}
"""


@pytest.mark.slow
def test_run_that_diverges_is_told_and_its_mates_never_see_it(fresh_copy, fresh, overlay, tmp_path):
    table, diverged = f"{RESULTS}/simulation/probes_summary.csv", "1e+39"
    beside = fresh.copy(tmp_path / "beside")
    beside.run(table, overlays=[overlay(BETAS.format("[0, 10]"), "two.yaml")]).ok()
    fresh_copy.run(overlays=[overlay(BETAS.format("[0, 1.0e+39, 10]"), "three.yaml")]).ok()
    rows = {name: rows_of(one / table) for name, one in (("two", beside), ("three", fresh_copy))}
    lost = [row for row in rows["three"] if row["beta"] == diverged]
    assert [(row["stage"], row["n"], row["n_diverged"], row["mean"]) for row in lost] == [
        ("step1", "0", "1", ""),
        ("step2", "0", "1", ""),
    ]
    assert [row for row in rows["three"] if row not in lost] == rows["two"]
    assert {row["n_diverged"] for row in rows["two"]} == {"0"}
    assert [
        (row["stage"], row["status"])
        for row in rows_of(fresh_copy / f"{RESULTS}/simulation/probes.csv")
        if row["beta"] == diverged
    ] == [("step1", "diverged"), ("step2", "diverged_input")]
    report = (fresh_copy / f"{RESULTS}/report.html").read_text()
    assert re.findall(r"<td>(diverged\w*)</td>", report) == ["diverged", "diverged_input"]
    for stage in ("step1", "step2"):
        alone, among = weights_by_run(beside, stage), weights_by_run(fresh_copy, stage)
        assert len(alone) == 2 and len(among) == 3
        for run, weights in alone.items():
            assert all(torch.equal(tensor, among[run][name]) for name, tensor in weights.items()), f"{stage}: {run}"
    shutil.rmtree(beside.folder)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def weights_by_run(checkout, stage: str) -> dict[str, dict[str, torch.Tensor]]:
    """The weights of the only stack of a stage of the simulation, by run."""
    (models,) = (checkout / f"{RESULTS}/simulation/{stage}").glob("*/models.safetensors")
    tensors, info = load_models(models)
    return {
        run["id"]: {name: tensor[place] for name, tensor in tensors.items()} for place, run in enumerate(info["runs"])
    }


@pytest.mark.slow
def test_clock_that_was_ahead(fresh_copy):
    """What was written then is dated in the future: no step is called finished that would be older than its input."""
    fresh_copy.run(SPLITS).ok()
    content = (fresh_copy / SPLITS).read_bytes()
    (fresh_copy / SPLITS).unlink()
    pairs = fresh_copy / f"{RESULTS}/simulation/data/pairs.parquet"
    os.utime(pairs, (time.time() + 86400,) * 2)
    result = fresh_copy.run(SPLITS)
    assert_says(result, "has older modification time", "pairs.parquet")
    assert_says(result, "dated in the future", "`touch` it")
    assert not (fresh_copy / SPLITS).exists()
    os.utime(pairs)
    fresh_copy.run(SPLITS).ok()
    assert (fresh_copy / SPLITS).read_bytes() == content
    assert "Nothing to be done" in fresh_copy.run(SPLITS).output


@pytest.mark.slow
def test_clock_that_went_back(finished_copy):
    """Dates of long ago, and of a copy that lost them all, make nothing again."""
    for path in finished_copy.files("results").values():
        os.utime(path, (10**9,) * 2)
    assert finished_copy.plan() == {}
