"""Environments (lock, conda, image, what make asks of a machine) against pyproject.toml; the version, everywhere."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import disentangledssl

REPOSITORY = Path(__file__).parents[2]
# Names that conda-forge has for what PyPI calls otherwise.
ON_PYPI = {"matplotlib-base": "matplotlib", "pytorch": "torch", "snakemake-minimal": "snakemake"}


def split(requirement: str) -> tuple[str, frozenset[str]]:
    """Name and version limits: ``torch >=2.6,<3`` is ``torch`` with ``>=2.6`` and ``<3``."""
    name, limits = re.fullmatch(r"([a-z0-9-]+) *(.*)", requirement).groups()
    return name, frozenset(limits.replace(" ", "").split(",")) - {""}


# What PyTorch's build for GPUs brings, and the lock must not.
FOR_GPUS = ("cuda", "nvidia", "triton")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wanted(project):
    """Everything that the package asks for, with all optional dependencies."""
    return [
        Requirement(one)
        for one in [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    ]


@pytest.fixture(scope="module")
def locked():
    """Requirements of the lock, and how many hashes each has."""
    text = (REPOSITORY / "requirements.lock").read_text().replace("\\\n", "")
    lines = [line.split("--hash=") for line in text.splitlines() if line and not line.startswith("#")]
    return {Requirement(requirement): hashes for requirement, *hashes in lines}


@pytest.fixture(scope="module")
def torch_pin():
    (line,) = [line for line in (REPOSITORY / "requirements-torch.txt").read_text().splitlines() if line[:1] != "#"]
    return Requirement(line)


def pinned(requirement: Requirement) -> Version:
    (limit,) = requirement.specifier
    assert limit.operator == "==", requirement
    return Version(limit.version)


def test_every_package_of_the_lock_is_pinned_with_sha256_hashes(locked):
    assert len(locked) > 100
    for requirement, hashes in locked.items():
        assert pinned(requirement) and hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one.strip()) for one in hashes), requirement


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_lock_holds_what_the_package_asks_for_on_every_python(wanted, locked, torch_pin, python):
    environment = default_environment() | {"python_version": python, "python_full_version": f"{python}.0"}
    here = [one for one in [*locked, torch_pin] if one.marker is None or one.marker.evaluate(environment)]
    versions = {one.name: pinned(one) for one in here}
    assert len(versions) == len(here), "two versions of one package"
    for one in wanted:
        name = one.name.replace("_", "-").lower()
        assert one.specifier.contains(versions[name]), f"{one} is locked at {versions[name]}"


def test_pytorch_is_pinned_apart_since_its_builds_differ(locked):
    names = {one.name for one in locked}
    assert "torch" not in names and not [name for name in names if name.startswith(FOR_GPUS)]
    # But what both builds need is locked.
    assert {"sympy", "fsspec", "networkx"} <= names


def test_make_and_the_image_install_the_lock_with_its_hashes(torch_pin):
    makefile, image = (REPOSITORY / "Makefile").read_text(), (REPOSITORY / "Dockerfile").read_text()
    for recipe in (makefile, image):
        installs = [line for line in recipe.splitlines() if "pip install" in line and "uv>" not in line]
        assert len(installs) == 3
        assert installs[0].endswith(("--no-deps --require-hashes -r requirements.lock", "requirements.lock \\"))
        assert "--require-hashes" in installs[0] and installs[1].endswith("-r requirements-torch.txt")
        assert "--no-deps --no-build-isolation --editable ." in installs[2] and "pip check" in recipe


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


@pytest.mark.parametrize("name", sorted(path.name for path in (REPOSITORY / "envs").iterdir()))
def test_every_line_of_a_conda_environment_is_a_requirement(name):
    rattler = pytest.importorskip("rattler", reason="py-rattler, which reads conda's requirements, is not installed")
    content = yaml.safe_load((REPOSITORY / "envs" / name).read_text())
    assert set(content) == {"channels", "dependencies"} and "defaults" not in content["channels"]
    for line in content["dependencies"]:
        if isinstance(line, dict):
            assert set(line) == {"pip"} and [Requirement(one) for one in line["pip"]]
        else:
            assert rattler.MatchSpec(line, strict=True).name
    with pytest.raises(Exception, match="version"):
        rattler.MatchSpec("numpy >=1.26,,<3", strict=True)


def test_conda_takes_a_python_that_the_package_allows(project, environment):
    (chosen,) = environment["python"]
    assert re.fullmatch(r"=3\.\d+", chosen) and chosen[1:] in SpecifierSet(project["requires-python"])


def test_make_takes_the_pythons_that_the_package_allows(project):
    bounds = re.findall(
        r"not \((\d+), (\d+)\) <= sys.version_info < \((\d+), (\d+)\)", (REPOSITORY / "Makefile").read_text()
    )
    assert len(bounds) == 2
    for least, minor, most, first_refused in bounds:
        assert SpecifierSet(f">={least}.{minor},<{most}.{first_refused}") == SpecifierSet(project["requires-python"])


def test_the_image_passes_its_linter_and_copies_what_is_there():
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("hadolint is not installed (pip install -e .[lint])")
    result = subprocess.run([linter, "Dockerfile"], cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    text = (REPOSITORY / "Dockerfile").read_text()
    assert "FROM python:3.11-" in text
    for names in re.findall(r"^COPY (.+) \S+$", text, re.M):
        assert all((REPOSITORY / name).exists() for name in names.split())
    (preset,) = re.findall(r"config/\w+\.yaml", text)
    assert (REPOSITORY / preset).exists()


def test_version_is_the_same_everywhere(project):
    version = disentangledssl.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", version) and "version" in project["dynamic"], "taken from the package"
    assert yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())["version"] == version
    headings = re.findall(r"^## (.+)$", (REPOSITORY / "CHANGELOG.md").read_text(), re.M)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ \(\d{4}-\d{2}-\d{2}\)", heading) for heading in released), released
    assert released[0].startswith(f"{version} "), "the newest release is the version"
    assert headings.index(released[0]) <= 1 and len(set(headings)) == len(headings)


def test_citation_meets_its_schema():
    pytest.importorskip("check_jsonschema", reason="check-jsonschema, which has the schema, is not installed")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.citation-file-format"]
    good = subprocess.run([*command, "CITATION.cff"], cwd=REPOSITORY, capture_output=True, text=True)
    assert good.returncode == 0, good.stdout + good.stderr


@pytest.mark.parametrize(
    ("has", "lacks"),
    [
        ([], "git, python3.11"),
        (["git"], "python3.11"),
        (["git", "python"], "python3-venv"),
    ],
)
def test_make_says_in_one_sentence_what_a_bare_machine_lacks(tmp_path, has, lacks):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ["make", "bash", "sed", *(name for name in has if name == "git")]:
        (tools / name).symlink_to(shutil.which(name))
    if "python" in has:
        # As Debian's without python3-venv: a Python that fails at `import ensurepip` alone.
        (tools / "python3").write_text("#!/bin/bash\n[[ $* != *ensurepip* ]]\n")
        (tools / "python3").chmod(0o755)
    result = subprocess.run(
        [tools / "make", "--silent", f"VENV={tmp_path}/venv", f"{tmp_path}/venv/bin/.installed"], cwd=REPOSITORY,
        env={"PATH": os.fspath(tools)}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode != 0 and not (tmp_path / "venv").exists()
    assert result.stderr.startswith(
        f"This machine lacks {lacks}: install what is missing (on Debian or Ubuntu: apt install"
    )
