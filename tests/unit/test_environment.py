"""The conda environment, the package, the citation and the changelog: one list of dependencies, one version."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import disentangledssl

REPOSITORY = Path(__file__).parents[2]
# Names that conda-forge has for what PyPI calls otherwise.
ON_PYPI = {"matplotlib-base": "matplotlib", "pytorch": "torch", "snakemake-minimal": "snakemake"}


def split(requirement: str) -> tuple[str, frozenset[str]]:
    """Name and version limits: ``torch >=2.6,<3`` is ``torch`` with ``>=2.6`` and ``<3``."""
    name, limits = re.fullmatch(r"([a-z0-9-]+) *(.*)", requirement).groups()
    return name, frozenset(limits.replace(" ", "").split(",")) - {""}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def environment():
    content = yaml.safe_load((REPOSITORY / "envs" / "disentangledssl.yaml").read_text())
    assert content["channels"][0] == "conda-forge"
    found = [split(requirement) for requirement in content["dependencies"]]
    assert len(dict(found)) == len(found), "a package is listed twice"
    return {ON_PYPI.get(name, name): limits for name, limits in found}


def test_conda_and_pip_install_the_same_packages(project, environment):
    wanted = dict(map(split, project["dependencies"]))
    assert {name: limits for name, limits in environment.items() if name != "python"} == wanted


def test_the_environment_for_images_is_the_other_with_the_optional_packages(project):
    texts = [
        yaml.safe_load((REPOSITORY / "envs" / name).read_text()) for name in ("disentangledssl.yaml", "images.yaml")
    ]
    common, images = (content["dependencies"] for content in texts)
    more = [one for one in images if one not in common]
    (from_pypi,) = [one["pip"] for one in more if isinstance(one, dict)]
    from_conda = [one for one in more if isinstance(one, str) and one != "pip"]
    assert [one for one in images if one in common] == common and texts[0]["channels"] == texts[1]["channels"]
    wanted = sorted(one.replace(" ", "") for one in project["optional-dependencies"]["images"])
    assert sorted(one.replace(" ", "") for one in [*from_conda, *from_pypi]) == wanted


def test_conda_takes_a_python_that_the_package_allows(project, environment):
    def numbers(version: str) -> tuple[int, ...]:
        return tuple(map(int, re.findall(r"\d+", version)))

    (chosen,) = environment["python"]
    assert re.fullmatch(r"=3\.\d+", chosen) and numbers(chosen) >= numbers(project["requires-python"])


def test_version_is_the_same_everywhere(project):
    version = disentangledssl.__version__
    assert "version" in project["dynamic"], "taken from the package"
    assert yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())["version"] == version
    headings = re.findall(r"^## \[?([^\s\]]+)", (REPOSITORY / "CHANGELOG.md").read_text(), re.M)
    assert version in headings
