"""Sentences on failed jobs of Slurm, from logs as Snakemake 9.27, its plugin 2.8 and Slurm 22.05 wrote them."""

from __future__ import annotations

import pytest

from disentangledssl.failed_jobs import failures, sentences

GROUP = """
[Sat Nov 28 01:01:43 2026]
    message: Error in group data
    log: {logs}/group_data_simulate_split_dataset/13.log (check log file(s) for error details)
    jobs:
        rule split_dataset:
            jobid: 0
            output: results/splits.parquet
            log: results/logs/split_dataset.log (check log file(s) for error details)
        rule simulate:
            jobid: 1
            output: results/view1.parquet, results/pairs.parquet
            log: results/logs/simulate.log (check log file(s) for error details)
    [Sat Nov 28 01:01:43 2026]
    Error in rule simulate:
        message: None
        jobid: 1
        output: results/view1.parquet, results/pairs.parquet
        log: results/logs/simulate.log (check log file(s) for error details)
Shutting down, this might take some time.
"""
RULE = """
[Sat Nov 28 01:10:00 2026]
Error in rule train_step1:
    message: SLURM-job '{job}' failed, SLURM status is: '{state}'. Detailed failure reason unavailable (status command is not 'sacct').
    jobid: 4
    input: results/view1.parquet
    output: results/models.safetensors, results/history.parquet
    log: results/logs/train_step1.log, {logs}/rule_train_step1/simulation_44/{job}.log (check log file(s) for error details)
Trying to restart job 4.
"""  # noqa: E501
TIME = "slurmstepd: error: *** STEP 7.0 ON vm CANCELLED AT 2026-11-28T01:10:00 DUE TO TIME LIMIT ***\n"
CANCELLED = "slurmstepd: error: *** JOB 7 ON vm CANCELLED AT 2026-11-28T01:10:00 ***\n"
MEMORY = "slurmstepd: error: Job 7 exceeded memory limit (812345600 > 419430400), being killed\n" + CANCELLED
OWN = "Job 4\n\nresults/view1.parquet: cannot be read as Parquet; delete it and run again.\n(log: results/x.log)\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write what Slurm has logged of job 7, and give Snakemake's log of how it ended."""
    monkeypatch.chdir(tmp_path)
    logs = tmp_path / ".snakemake" / "slurm_logs"

    def one(said: str, state: str = "FAILED", job: int = 7) -> str:
        path = logs / "rule_train_step1" / "simulation_44" / f"{job}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(said)
        return RULE.format(logs=logs, state=state, job=job)

    return one


@pytest.mark.parametrize(
    ("said", "state", "told"),
    [
        (TIME, "TIMEOUT", "time; the same command goes on, or give it more: --set-resources train_step1:runtime="),
        ("", "TIMEOUT", "ran out of time; "),
        (CANCELLED, "CANCELLED", "was cancelled; the same command goes on."),
        (MEMORY, "FAILED", "more memory than it had asked for; give it more: --set-resources train_step1:mem_mb="),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.0.", "OUT_OF_MEMORY", "needed more memory"),
        (OWN, "FAILED", ": results/view1.parquet: cannot be read as Parquet; delete it and run again."),
        ("Killed", "FAILED", "ended before it was done; what it said is in "),
    ],
)  # fmt: skip
def test_each_end_has_a_sentence_that_names_the_job(write, said, state, told):
    (sentence,) = sentences(write(said, state))
    assert sentence.startswith("train_step1 (job 7 of Slurm, for results/models.safetensors)")
    assert told in sentence and "\n" not in sentence


def test_of_several_attempts_the_last_is_told(write):
    log = write(CANCELLED, "CANCELLED") + write(TIME, "TIMEOUT", job=9)
    (sentence,) = sentences(log)
    assert "job 9" in sentence and "ran out of time" in sentence


def test_what_another_attempt_has_made_is_not_told(write, tmp_path):
    log = write(CANCELLED, "CANCELLED")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "models.safetensors").touch()
    assert sentences(log), "one of its two files is still missing"
    (tmp_path / "results" / "history.parquet").touch()
    assert sentences(log) == []


def test_a_group_that_never_started_is_told_once(tmp_path):
    (failure,) = failures(GROUP.format(logs=tmp_path / "slurm_logs"))
    assert failure.rules == ["split_dataset", "simulate"] and failure.job == "13"
    assert failure.outputs == ["results/splits.parquet", "results/view1.parquet", "results/pairs.parquet"]
    (sentence,) = sentences(GROUP.format(logs=tmp_path / "slurm_logs"))
    assert "split_dataset, simulate (job 13 of Slurm" in sentence and "never started" in sentence


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (TIME, "--set-resources split_dataset:runtime=<minutes> simulate:runtime=<minutes>."),
        (MEMORY, "--set-resources split_dataset:mem_mb=<MB> simulate:mem_mb=<MB>."),
    ],
)
def test_every_rule_of_a_group_is_given_more(said, advice, tmp_path):
    log = tmp_path / "slurm_logs" / "group_data_simulate_split_dataset" / "13.log"
    log.parent.mkdir(parents=True)
    log.write_text(said)
    (sentence,) = sentences(GROUP.format(logs=tmp_path / "slurm_logs"))
    assert sentence.endswith(advice)


@pytest.mark.parametrize("place", ["my repo", "a, b"])
@pytest.mark.parametrize("own", ["results/logs/train_step1.log", "/my results/logs/train_step1.log"])
def test_a_log_is_found_in_folders_whose_names_have_spaces(place, own, tmp_path):
    path = tmp_path / place / ".snakemake/slurm_logs/rule_train_step1/my screen_44/7.log"
    path.parent.mkdir(parents=True)
    path.write_text(TIME)
    log = RULE.format(logs=tmp_path / place / ".snakemake/slurm_logs", state="FAILED", job=7)
    log = log.replace("simulation_44", "my screen_44").replace("results/logs/train_step1.log", own)
    (failure,) = failures(log)
    assert failure.log == path and failure.job == "7"
    (sentence,) = sentences(log)
    assert "ran out of time" in sentence


def test_failures_without_slurm_are_left_to_snakemake():
    log = "Error in rule simulate:\n    jobid: 1\n    output: results/a.parquet\n    log: results/logs/a.log\n"
    assert list(failures(log)) == [] and sentences("") == []
