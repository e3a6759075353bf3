"""profiles/slurm on a real Slurm of one node: the same bytes as without it, and what becomes of jobs that fail.

The Slurm is started by tests/slurm/start.sh; where it cannot be, these tests are skipped, saying why.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from comparison import assert_same_bytes, outputs, whole_outputs
from conftest import LONG, REPOSITORY, Checkout
from kills import end, wait_for

pytestmark = pytest.mark.slow
TINY = "results/tiny"
STEP1 = f"{LONG}/simulation/step1"
SECONDS_TO_WAIT, SECONDS_OF_TINY = 1200, 3600
# MB for a job that runs PyTorch and two Snakemakes, which take about 700 (three attempts are made).
TOO_LITTLE = 400
# Memory that the node is said to have, so that jobs are not refused on a small machine.
NODE = {"SLURM_NODE_MB": "64000", "SLURM_NODE_CPUS": "2", "SLURM_NODE_GPUS": "2"}


class OnSlurm(Checkout):
    """A checkout whose jobs are submitted; it looks at them more often than at those of a real cluster."""

    def command(self, *targets, overlays=(), options=()):
        local = super().command(*targets, overlays=overlays, options=options)
        at = local.index("--cores")
        how = ["--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "1"]
        return [*local[:at], *how, *local[at + 2 :]]


@pytest.fixture(scope="module")
def slurm() -> Iterator[Path]:
    """Folder of a Slurm that runs, and to which this process's environment points."""
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="Slurm's plugin is not installed (.[slurm])")
    # Short: it holds a socket.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    scripts = REPOSITORY / "tests" / "slurm"
    started = subprocess.run([scripts / "start.sh", folder], env=os.environ | NODE, capture_output=True, text=True)
    if started.returncode:
        shutil.rmtree(folder, ignore_errors=True)  # start.sh leaves an empty one
        pytest.skip(f"no Slurm can be started here: {started.stderr.strip()}")
    shown = subprocess.run(
        ["bash", "-c", f"source {folder}/env; echo $SLURM_CONF; echo $PATH"], check=True, capture_output=True, text=True
    )
    with pytest.MonkeyPatch.context() as environment:
        for name, value in zip(("SLURM_CONF", "PATH"), shown.stdout.splitlines(), strict=True):
            environment.setenv(name, value)
        try:
            yield folder
        finally:
            subprocess.run([scripts / "stop.sh", folder], check=True)


def ended(slurm: Path) -> list[dict[str, str]]:
    """Jobs that have ended, by Slurm's own notes."""
    notes = slurm / "log" / "jobs"
    lines = notes.read_text().splitlines() if notes.exists() else []
    return [dict(pair.split("=", 1) for pair in line.split() if "=" in pair) for line in lines]


def running(rule: str) -> str | None:
    """Number of the job that runs a rule now."""
    command = ["squeue", "--noheader", "--states=RUNNING", "--format=%A %k"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = [line.split()[0] for line in listed.splitlines() if f"rule_{rule}" in line]
    return found[0] if found else None


@pytest.fixture(scope="module")
def undisturbed(slurm, trained) -> Checkout:
    """Step 1 of the long config, trained on this machine without Slurm; not where there is none to compare it with."""
    return trained


@pytest.fixture
def training(undisturbed, untrained) -> Iterator[Training]:
    """The same on Slurm, with the data made and nothing trained."""
    checkout, models = untrained
    one = Training(OnSlurm(checkout.folder, checkout.configs), models)
    yield one
    one.stop()


class Training:
    """A stack that is trained on Slurm."""

    def __init__(self, checkout: OnSlurm, models: str):
        self.checkout, self.models, self.folder = checkout, models, (checkout / models).parent
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *options: str, **how) -> subprocess.Popen[str]:
        self.started.append(self.checkout.start(self.models, options=options, **how))
        return self.started[-1]

    def stop(self) -> None:
        """End what a test that failed has left running."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                process.communicate(timeout=SECONDS_TO_WAIT)

    def files(self) -> set[str]:
        """Names in its folder, but for unfinished files that say so."""
        found = self.folder.glob("*") if self.folder.exists() else ()
        return {path.name for path in found if not path.name.endswith(".part")}

    def log(self) -> str:
        return next((self.checkout / LONG / "logs").rglob("train_step1.log")).read_text()

    def assert_as(self, undisturbed: Checkout) -> None:
        """Check that it ended with the bytes of one that nothing happened to."""
        assert_same_bytes(outputs(undisturbed, STEP1), whole_outputs(self.checkout, STEP1))


def script_of(checkout: Checkout, name: str) -> psutil.Process | None:
    """The process that runs a script in this checkout; on a node of a cluster, so no child of ours."""
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        if len(words) == 2 and words[1].endswith(name) and process.info["cwd"] == str(checkout.folder):
            return process
    return None


def test_the_tiny_preset_makes_the_same_bytes_on_slurm_and_without(slurm, fresh, finished, tmp_path):
    cluster = OnSlurm(fresh.copy(tmp_path / "slurm").folder, fresh.configs)
    jobs, before = sum(cluster.plan().values()), len(ended(slurm))
    cluster.run(seconds=SECONDS_OF_TINY).ok()
    assert_same_bytes(outputs(finished, TINY), outputs(cluster, TINY))
    submitted = ended(slurm)[before:]
    assert {one["JobState"] for one in submitted} == {"COMPLETED"}
    # Short ones go together, and none is done beside Slurm.
    told = f"The tiny preset's {jobs} jobs are {len(submitted)} of Slurm's."
    words = " ".join((REPOSITORY / "docs/cluster.md").read_text().split())
    assert told in words, f"docs/cluster.md does not say: {told}"
    assert "Nothing to be done" in cluster.run(options=["--dry-run"]).ok().output


@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_a_training_job_that_is_cut_off_is_submitted_again_and_ends_in_the_same_bytes(how, training, undisturbed):
    process = training.start()
    wait_for(lambda: "checkpoint.pt" in training.files(), process, "a checkpoint was written", SECONDS_TO_WAIT)
    number = running("train_step1")
    if how == "cancelled":
        subprocess.run(["scancel", number], check=True)
    else:
        script_of(training.checkout, "train_step1.py").kill()
    output = end(process, SECONDS_TO_WAIT)
    assert process.returncode == 0, output
    # The log names the job, and what became of it.
    state = "CANCELLED" if how == "cancelled" else "FAILED"
    assert "Error in rule train_step1:" in output
    assert f"SLURM-job '{number}' failed, SLURM status is: '{state}'" in output and "Trying to restart job" in output
    assert "resumed after epoch" in training.log()
    training.assert_as(undisturbed)


def test_a_job_out_of_memory_is_submitted_again_with_more(slurm, training, undisturbed):
    before = len(ended(slurm))
    process = training.start("--set-resources", f"train_step1:mem_mb=attempt*{TOO_LITTLE}")
    output = end(process, SECONDS_TO_WAIT)
    assert process.returncode == 0, output
    attempts = [(one["JobState"], re.search(r"mem=(\d+)M", one["Tres"])[1]) for one in ended(slurm)[before:]]
    assert len(attempts) in (2, 3), attempts
    assert [int(memory) for _, memory in attempts] == [TOO_LITTLE * (1 + place) for place in range(len(attempts))]
    assert all(state != "COMPLETED" for state, _ in attempts[:-1]) and attempts[-1][0] == "COMPLETED"
    training.assert_as(undisturbed)


def test_a_job_out_of_time_is_submitted_again_with_more_and_goes_on(slurm, training, undisturbed):
    """Its script is halted once it has a checkpoint, so that its minute is too short on any machine."""
    before = len(ended(slurm))
    process = training.start("--retries", "1", "--set-resources", "train_step1:runtime=1+59*(attempt-1)")
    wait_for(lambda: "checkpoint.pt" in training.files(), process, "a checkpoint was written", SECONDS_TO_WAIT)
    number = running("train_step1")
    script_of(training.checkout, "train_step1.py").suspend()
    output = end(process, SECONDS_TO_WAIT)
    assert process.returncode == 0, output
    assert [(one["JobState"], one["TimeLimit"]) for one in ended(slurm)[before:]] == [
        ("TIMEOUT", "1"),
        ("COMPLETED", "60"),
    ]
    assert f"SLURM-job '{number}' failed, SLURM status is: 'TIMEOUT'" in output and "Trying to restart job" in output
    assert "resumed after epoch" in training.log()
    training.assert_as(undisturbed)


def test_a_mistake_in_a_file_is_told_in_its_own_sentence(training):
    """Slurm's log of the job has it, which nobody would look for."""
    damaged = training.checkout / f"{LONG}/simulation/data/view1.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    process = training.start("--retries", "0")
    output = end(process, SECONDS_TO_WAIT)
    assert process.returncode != 0
    (told,) = [line for line in output.splitlines() if line.startswith("train_step1 (job ")]
    assert "view1.parquet: cannot be read as Parquet" in told and "delete it and run again" in told, output
    assert not training.files()


def test_ctrl_c_takes_a_job_from_slurm_and_one_out_of_time_ends_in_a_sentence(training, overlay):
    """And it asks for a GPU where the device is not the CPU."""
    endless = overlay("{device: auto, training: {epochs: 1000000}}")
    stopped = training.start(overlays=[endless])
    wait_for(lambda: "checkpoint.pt" in training.files(), stopped, "a checkpoint was written", SECONDS_TO_WAIT)
    number = running("train_step1")
    os.killpg(stopped.pid, signal.SIGINT)
    end(stopped, SECONDS_TO_WAIT)
    assert stopped.returncode != 0 and wait_for_state(number) == "CANCELLED"
    assert training.files() == {"checkpoint.pt"}
    limits = ["--retries", "0", "--set-resources", "train_step1:runtime=1", "train_step1:slurm_partition=gpu"]
    limited = training.start(*limits, overlays=[endless])
    number = wait_for(lambda: running("train_step1"), limited, "the job ran", SECONDS_TO_WAIT)
    asked = subprocess.run(["scontrol", "show", "job", "-d", number], check=True, capture_output=True, text=True).stdout
    assert "GRES=gpu:1" in asked and "Partition=gpu" in asked and "TimeLimit=00:01:00" in asked
    output = end(limited, SECONDS_TO_WAIT)
    assert limited.returncode != 0
    told = f"train_step1 (job {number} of Slurm, for {training.models}) ran out of time; the same command goes on"
    assert told in output, output
    assert training.files() == {"checkpoint.pt"}


def test_stopping_ends_what_slurm_has_forgotten_and_nothing_else(tmp_path):
    """As after slurmctld was killed: a job, its script, and the daemon of its step, which heeds no SIGTERM."""
    folder = tmp_path / "slurm"
    script = folder / "spool" / "job00007" / "slurm_script"
    script.parent.mkdir(parents=True)
    script.write_text("import time; time.sleep(600)")
    (folder / "slurm.conf").write_text(f"StateSaveLocation={folder}/state\n")
    daemon = shutil.copy(shutil.which("sleep"), tmp_path / "slurmstepd")
    knows = {"SLURM_CONF": str(folder / "slurm.conf")}
    with (folder / "log").open("w") as log:
        jobs = [
            subprocess.Popen(
                [daemon, "600"], stdout=log, preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN)
            ),
            subprocess.Popen([sys.executable, script]),
            subprocess.Popen(["sleep", "600"], env=os.environ | knows | {"SLURM_JOB_ID": "7"}),
        ]
        others = [
            subprocess.Popen(["sleep", "600"], env=os.environ | knows),
            subprocess.Popen(["sleep", "600"], stdout=log),
        ]
    try:
        subprocess.run([REPOSITORY / "tests" / "slurm" / "stop.sh", folder], check=True)
        assert [one.poll() for one in jobs] == [-signal.SIGKILL, -signal.SIGTERM, -signal.SIGTERM]
        assert [one.poll() for one in others] == [None, None] and not folder.exists()
    finally:
        for one in jobs + others:
            one.kill()
            one.wait()


def wait_for_state(number: str) -> str:
    """State in which a job of Slurm ended."""
    deadline = time.monotonic() + SECONDS_TO_WAIT
    state = "RUNNING"
    while state in ("RUNNING", "COMPLETING", "PENDING") and time.monotonic() < deadline:
        state = subprocess.run(
            ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={number}"], check=True, text=True,
            capture_output=True,
        ).stdout.strip()  # fmt: skip
        time.sleep(0.2)
    return state
