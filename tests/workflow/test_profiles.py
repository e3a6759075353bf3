"""The profiles: one GPU, several of one machine, CPUs only, Slurm; what jobs ask for, by dry runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
PROFILES = ["default", "gpus", "cpu", "slurm"]
TRAINING = ["train_step1", "train_step2", "train_baseline"]
# What each profile says again, since Snakemake reads one of a workflow's alone.
SHARED = ["rerun-triggers", "rerun-incomplete", "max-checksum-file-size"]

# Snakemake, which lists each job that it would submit: where a rule has a message, it prints this alone.
TELL = """
import json, sys
from snakemake.cli import main
from snakemake.executors.dryrun import Executor
def tell(self, job):
    for one in job.jobs if job.is_group() else [job]:
        given = {name: value for name, value in one.resources.items() if isinstance(value, int)}
        print("JOB", json.dumps([one.rule.name, job.is_group(), given], sort_keys=True))
Executor.printjob = tell
main(sys.argv[1:])
"""


def settings(profile: str) -> dict:
    return yaml.safe_load((REPOSITORY / "profiles" / profile / "config.yaml").read_text())


def jobs(checkout, profile: str, *options: str) -> list[list]:
    """Rule, whether in a group, and resources of every job that a dry run under a profile plans."""
    if profile == "slurm":
        pytest.importorskip("snakemake_executor_plugin_slurm", reason="Slurm's plugin is not installed (.[slurm])")
    how = ["--dry-run", "--cores", "8", "--workflow-profile", f"profiles/{profile}", *options]
    told = subprocess.run(
        [sys.executable, "-c", TELL, *how], cwd=checkout.folder, env=checkout.environment(), text=True,
        capture_output=True,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    found = [json.loads(line.removeprefix("JOB ")) for line in told.stdout.splitlines() if line.startswith("JOB ")]
    assert len(found) > 100
    named = [one for one in found if one[0] != "everything"]
    return sorted(named, key=lambda one: (one[0], one[1], one[2].get("mem_mb", 0)))


@pytest.fixture(scope="module")
def on_slurm(fresh):
    """Jobs of the full config under the profile for Slurm."""
    return jobs(fresh.under(), "slurm")


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_runs_steps_again_for_the_same_reasons(profile):
    assert {name: settings(profile)[name] for name in SHARED} == {name: settings("default")[name] for name in SHARED}


def test_training_asks_slurm_for_a_gpu_memory_by_its_stack_and_time(on_slurm):
    asked = [given for rule, _, given in on_slurm if rule in TRAINING]
    assert {one["gpu"] for one in asked} == {1} and {one["runtime"] for one in asked} == {720}
    memory = {one["mem_mb"] for one in asked}
    bound = 1000 * yaml.safe_load((REPOSITORY / "config.yaml").read_text())["stack_gb"]
    assert len(memory) > 3 and min(memory) > 4000 and max(memory) <= 4000 + bound


@pytest.mark.slow
def test_every_further_attempt_is_given_as_much_memory_and_time_again(on_slurm, fresh):
    third = jobs(fresh.under(), "slurm", "--attempt", "3")
    for (rule, _, once), (same, _, thrice) in zip(on_slurm, third, strict=True):
        assert rule == same
        for name in ("mem_mb", "runtime"):
            assert thrice[name] == 3 * once[name], f"{rule}: {name}"


def test_short_jobs_are_grouped_and_long_ones_are_not(on_slurm):
    groups = settings("slurm")["groups"]
    for rule, _, given in on_slurm:
        assert rule not in groups or given["runtime"] == 30, f"{rule} says how long it runs, so it is not short"
    assert {rule for rule, grouped, _ in on_slurm if grouped} >= {
        "simulate",
        "tabulate_probes",
        "plot_figure4a",
        "report",
    }


def test_groups_name_rules_that_there_are(fresh):
    said = fresh.under().run(options=["--list-rules"]).ok().output
    assert set(settings("slurm")["groups"]) <= set(said.split())


@pytest.mark.slow
def test_for_the_cpu_no_gpu_is_asked_for(fresh):
    for profile, options in (("cpu", []), ("slurm", ["--config", "device=cpu"])):
        assert {given.get("gpu", 0) for _, _, given in jobs(fresh.under(), profile, *options)} == {0}, profile


def test_profiles_give_as_many_gpus_as_the_page_on_them_says():
    page = (REPOSITORY / "docs" / "cluster.md").read_text()
    (several,) = re.findall(r"as `gpu=` in it says \((\d+): change it\)", page)
    (cluster,) = re.findall(r"`gpu=(\d+)` of\s+`resources`", page)
    given = {profile: dict(one.split("=") for one in settings(profile)["resources"]).get("gpu") for profile in PROFILES}
    assert given == {"default": "1", "gpus": several, "cpu": None, "slurm": cluster}
