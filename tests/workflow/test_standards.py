"""What the public catalogue of workflows and a CODECHECK ask of a repository."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
PRESET = "config/quick.yaml"


def test_the_catalogue_finds_what_it_looks_for():
    """Lint and snakefmt, which it shows too, are in test_lint.py."""
    readme = (REPOSITORY / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme
    assert (REPOSITORY / "workflow" / "Snakefile").exists() and list((REPOSITORY / "workflow" / "rules").glob("*.smk"))
    assert len((REPOSITORY / "config" / "README.md").read_text()) > 1000
    usage = yaml.safe_load((REPOSITORY / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment"} and usage["mandatory-flags"]["desc"]
    deployment = usage["software-stack-deployment"]
    assert deployment == {"conda": True, "apptainer": False, "apptainer+conda": False, "report": True}
    # No rule names a container, which apptainer would need.
    assert not any("container:" in path.read_text() for path in (REPOSITORY / "workflow").rglob("*.smk"))


@pytest.fixture(scope="module")
def codecheck():
    text = (REPOSITORY / "codecheck.yml").read_text(encoding="utf-8")
    assert text.splitlines()[1] == "---", "an explicit document"
    return yaml.safe_load(text)


def test_codecheck_says_what_the_paper_is(codecheck):
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())["references"][0]
    assert codecheck["paper"]["title"] == citation["title"] and codecheck["paper"]["reference"]
    names = [f"{one['given-names']} {one['family-names']}" for one in citation["authors"]]
    assert [one["name"] for one in codecheck["paper"]["authors"]] == names
    assert codecheck["version"] == "https://codecheck.org.uk/spec/config/1.0/"


def test_every_file_of_the_codecheck_is_made_by_the_quick_preset(codecheck, fresh):
    files = [one["file"] for one in codecheck["manifest"]]
    assert len(files) == len(set(files)) >= 10 and all(one["comment"] for one in codecheck["manifest"])
    # Written by the run itself when it has ended; test_verify.py.
    files.remove("results/quick/SHA256SUMS")
    planned = fresh.under(PRESET).run(*files, options=["--dry-run"]).ok()
    shown = planned.output.split("rule everything")[0]
    assert all(file in shown for file in files)
