"""The workflow's form: lint, format, and what every rule and every result must carry."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# Targets that run nothing, and the rule whose input function only says which preset has a data set.
WITHOUT_JOBS = {"all", "everything", "not_in_this_config", "simulations", "screens", "multibench", "paper"}
# A benchmark is an output, and the list of downloads is made whenever it is asked for.
WITHOUT_BENCHMARK = {"downloads"}
# A new version of their code must not fetch 50 GB, nor unpack them, again; names and digests are the table's.
WITHOUT_CODE = {"download_file", "download_images", "downloads", "unpack_gctx"}

# The other rules that run the script of another: what they measure is the same, on other files.
SHARED = {
    "download_images": "download_file",
    "measure_transfer": "measure_retrieval", "transfer_references": "retrieve_references",
    "tabulate_multibench_probes": "tabulate_probes",
}  # fmt: skip

# Run in a checkout: what Snakemake itself knows of the rules, as JSON.
DESCRIBE = """
import json, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings
with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
    workflow = api.workflow(
        resource_settings=ResourceSettings(cores=1),
        config_settings=ConfigSettings(configfiles=[Path(path) for path in sys.argv[1:]]),
        snakefile=Path("Snakefile"),
    )._workflow
    rules = [
        {
            "name": rule.name, "log": len(rule.log), "benchmark": bool(rule.benchmark), "conda": bool(rule.conda_env),
            "message": bool(rule.message), "script": rule.script, "shell": bool(rule.shellcmd),
            "params": list(rule.params.keys()), "kinds": rule.params.get("kinds"),
            "resources": list(rule.resources), "docstring": rule.docstring,
            "outputs": [
                {"path": str(output), "report": bool(output.flags.get("report")),
                 "caption": str(getattr(output.flags.get("report"), "caption", None) or ""),
                 "category": str(getattr(output.flags.get("report"), "category", None) or "")}
                for output in rule.output
            ],
        }
        for rule in workflow.rules
    ]
print("RULES" + json.dumps(rules))
"""


# Data sets by the badge that the report gives them.
KINDS = {
    "simulation": "simulated", "simulation_mixed": "simulated", "simulation_noisy": "simulated, variant of ours",
    "simulation_nonlinear": "simulated, variant of ours", "lincs_consensus": "stand-in", "mfeat": "stand-in",
    "mosi": "as published",
}  # fmt: skip


@pytest.fixture(scope="module")
def rules(fresh, tmp_path_factory):
    every = tmp_path_factory.mktemp("config") / "every.yaml"
    betas = "families: {simulation: {grids: {step1: {beta: [0, 1, 10, 100]}}}}"
    every.write_text(f"datasets: [{', '.join(KINDS)}]\n{betas}\n")
    result = subprocess.run(
        [sys.executable, "-c", DESCRIBE, *fresh.configs, every], cwd=fresh.folder, env=fresh.environment(), text=True,
        capture_output=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    described = json.loads(result.stdout.split("RULES")[1])
    return {rule["name"]: rule for rule in described if rule["name"] not in WITHOUT_JOBS}


def test_lint_finds_nothing(fresh):
    result = fresh.run(options=["--lint"]).ok()
    assert "Congratulations, your workflow is in a good condition!" in result.output


def workflow_files():
    found = [REPOSITORY / "Snakefile", REPOSITORY / "workflow" / "Snakefile"]
    return [str(path) for path in [*found, *sorted((REPOSITORY / "workflow" / "rules").glob("*.smk"))]]


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("snakefmt", ["--check", "--compact-diff", *workflow_files()]),
        ("ruff", ["check", "--no-cache", "."]),
        ("ruff", ["format", "--check", "--no-cache", "."]),
    ],
    ids=["snakefmt", "ruff check", "ruff format"],
)
def test_form(module, arguments):
    pytest.importorskip(module, reason=f"{module} is not installed (pip install -e .[lint])")
    result = subprocess.run([sys.executable, "-m", module, *arguments], cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_rule_has_log_benchmark_environment_and_message(rules):
    assert len(rules) >= 17
    for rule in rules.values():
        wanted = ["log", "conda", "message"] + ["benchmark"] * (rule["name"] not in WITHOUT_BENCHMARK)
        lacking = [what for what in wanted if not rule[what]]
        assert not lacking, f"rule {rule['name']} has no {', '.join(lacking)}"


def test_every_rule_runs_the_script_of_its_name(rules):
    # All figures are drawn by one.
    named = {name: "plot_figure" if name.startswith("plot_") else SHARED.get(name, name) for name in rules}
    for name, rule in rules.items():
        assert rule["script"].endswith(f"scripts/{named[name]}.py") and not rule["shell"]
    scripts = {path.stem for path in (REPOSITORY / "workflow" / "scripts").glob("[!_]*.py")}
    assert scripts == set(named.values())


def test_every_rule_knows_the_version_of_its_code(rules):
    assert {name for name, rule in rules.items() if "code" not in rule["params"]} == WITHOUT_CODE


def test_the_report_says_which_data_are_the_papers(rules):
    assert rules["report"]["kinds"] == KINDS


def test_downloads_take_turns_and_never_run_again_by_themselves(rules):
    for name in ("download_file", "download_images"):
        assert "network" in rules[name]["resources"] and rules[name]["params"] == []


def test_training_asks_for_a_gpu_memory_and_time(rules):
    for name in ("train_baseline", "train_step1", "train_step2"):
        assert {"gpu", "mem_mb", "runtime"} <= set(rules[name]["resources"])


def test_every_figure_and_table_of_all_has_a_caption(fresh, rules):
    lines = fresh.run(options=["--dry-run", "--printshellcmds"]).ok().output.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("rule everything"))
    wanted = lines[at + 1].partition("input:")[2].split(", ")
    shown = [path.strip() for path in wanted if path.endswith((".csv", ".png"))]
    assert len(shown) >= 5
    outputs = [output for rule in rules.values() for output in rule["outputs"]]
    for path in shown:
        name = path.rsplit("/", 1)[1]
        owners = [output for output in outputs if output["path"].endswith(f"/{name}")]
        assert owners, f"no rule makes {path}"
        for output in owners:
            assert output["report"] and output["category"], f"{output['path']} is not in the report"
            caption = REPOSITORY / "workflow" / "report" / output["caption"].rsplit("/", 1)[-1]
            assert caption.suffix == ".rst" and len(caption.read_text().split()) >= 8, f"{caption} says too little"


def test_every_caption_is_used(rules):
    used = {output["caption"].rsplit("/", 1)[-1] for rule in rules.values() for output in rule["outputs"]}
    assert {path.name for path in (REPOSITORY / "workflow" / "report").glob("*.rst")} == used - {""}


@pytest.mark.slow
def test_report_shows_every_figure_and_table(finished_copy):
    """Captions hold wildcards, which only a real report fills in."""
    finished_copy.run(options=["--report", "report.zip"]).ok()
    with zipfile.ZipFile(finished_copy / "report.zip") as report:
        shown = {name.rsplit("/", 1)[-1] for name in report.namelist()}
        page = next(report.read(name).decode() for name in report.namelist() if name.endswith("report.html"))
    tables = {"probes.csv", "probes_summary.csv", "retrieval.csv", "retrieval_summary.csv"}
    tables |= {"retrieval_differences.csv", "retrieval_curves.png", "comparison.csv", "claims.csv", "table1.md"}
    assert shown >= tables | {"figure4a.png", "figure4b.png", "figure7.png", "figure8.png"}
    assert "on simulation: mean over" in page and "snakemake.wildcards" not in page
    assert "a stand-in is never the paper" in page
