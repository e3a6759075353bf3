"""The machine fails: a full disk, a disk that may only be read, damaged files, a clock that was wrong.

Real ones: small memory disks are mounted, so most of it needs root; without, it is skipped, saying so.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from comparison import assert_same_bytes, outputs
from test_bad_input import assert_nothing_made, assert_says

RESULTS = "results/tiny"
SPLITS = f"{RESULTS}/simulation/data/splits.parquet"
VIEW = f"{RESULTS}/simulation/data/view1.parquet"
MORE = "data: {simulation: {make: {n: 20000}}}"  # 20 MB


@pytest.fixture
def disk(fresh_copy) -> Iterator:
    """Mount a memory disk at a folder of the checkout: ``disk("results", "size=1m")``; once more changes it."""
    mounted: list[Path] = []

    def mount(name: str, options: str) -> Path:
        folder = fresh_copy / name
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
    disk("results", "size=1m")
    result = fresh_copy.run(SPLITS, overlays=[overlay(MORE)])
    said = assert_says(
        result, f"{RESULTS}/simulation/data/", "No space left on device, ", " MB free; mend this and run"
    )
    assert said.split(": ")[0].endswith(".parquet")
    assert_nothing_made(fresh_copy)
    disk("results", "size=64m")
    assert fresh_copy.run(SPLITS, overlays=[overlay(MORE)]).counts == {"simulate": 1, "split_dataset": 1}
    assert "Nothing to be done" in fresh_copy.run(SPLITS, overlays=[overlay(MORE)]).output


@pytest.mark.slow
def test_disk_that_is_full_before_anything_is_made(fresh_copy, disk):
    fill(disk("results", "size=1m"), 8192)
    assert_says(fresh_copy.run(SPLITS), "cannot be written (No space left on device); mend this and run again.")
    assert_nothing_made_but_filler(fresh_copy)


def assert_nothing_made_but_filler(checkout) -> None:
    (checkout / "results/filler").unlink()
    assert_nothing_made(checkout)


@pytest.mark.slow
def test_disk_of_snakemakes_own_notes_is_full(fresh_copy, disk):
    """Its sentence names the folder; nothing is left that a next run would take for whole."""
    folder = disk(".snakemake", "size=200k")
    fill(folder, 16384)
    said = assert_says(fresh_copy.run(SPLITS), "[Errno 28] No space left on device", ".snakemake")
    assert said.startswith("Error recording metadata")
    assert_nothing_made(fresh_copy)
    (folder / "filler").unlink()
    assert fresh_copy.run(SPLITS).counts == {"simulate": 1, "split_dataset": 1}


@pytest.mark.slow
def test_results_that_may_only_be_read(fresh_copy, disk):
    disk("results", "size=16m,ro")
    assert_says(
        fresh_copy.run(SPLITS), f"{RESULTS}: cannot be written (Read-only file system); mend this and run again."
    )
    disk("results", "size=16m,rw")
    assert fresh_copy.run(SPLITS).counts == {"simulate": 1, "split_dataset": 1}


@pytest.mark.slow
def test_finished_results_that_may_only_be_read(fresh_copy, disk):
    """Whoever only looks needs not write."""
    disk("results", "size=16m")
    fresh_copy.run(SPLITS).ok()
    disk("results", "size=16m,ro")
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
