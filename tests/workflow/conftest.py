"""Real Snakemake in a copy of the repository: the copy's package is the one that is imported."""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from filelock import FileLock
from preloaded import Preloaded

pytest.importorskip("snakemake", reason="workflow tests run Snakemake, which is not installed")

REPOSITORY = Path(__file__).parents[2]
TINY = "config/tiny.yaml"
LONG_CONFIG = "tests/workflow/configs/long.yaml"
LONG = "results/long"
SHOWN_LINES = 60
SECONDS = 1800  # that the tiny preset may take: two minutes, of an idle machine


class Result:
    """What one call of Snakemake said."""

    def __init__(self, command: Sequence[str], returncode: int, output: str):
        self.command, self.returncode, self.output = list(command), returncode, output

    def __repr__(self) -> str:
        last = "\n".join(self.output.splitlines()[-SHOWN_LINES:])
        return f"`{' '.join(self.command)}` ended with {self.returncode} and said\n{last}\n"

    def ok(self) -> Result:
        """Fail the test, showing what was said, unless the call went well."""
        assert self.returncode == 0, repr(self)
        return self

    def fails(self) -> Result:
        """Fail the test unless the call ended with an error."""
        assert self.returncode != 0, repr(self)
        return self

    @property
    def counts(self) -> dict[str, int]:
        """Jobs by rule, without the target rule; empty if there is nothing to be done."""
        self.ok()
        if "Nothing to be done" in self.output:
            return {}
        assert "Job stats:" in self.output, repr(self)
        table = self.output.split("Job stats:")[1].split("\ntotal ")[0]
        found = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}
        return {name: count for name, count in found.items() if name not in ("everything", "all")}


class Checkout:
    """A copy of the repository's files in which Snakemake runs."""

    def __init__(self, folder: Path, configs: Sequence[str | Path] = (TINY,)):
        self.folder, self.configs = folder, list(configs)

    def __truediv__(self, path: str) -> Path:
        return self.folder / path

    def command(self, *targets: str, overlays: Sequence[str | Path] = (), options: Sequence[str] = ()) -> list[str]:
        """Spell out a call with this checkout's configs, then the overlays."""
        configs = [*map(str, self.configs), *map(str, overlays)]
        named = ["--configfile", *configs] if configs else []
        return [sys.executable, "-m", "snakemake", "--cores", "2", "--nocolor", *named, *options, "--", *targets]

    def start(self, *targets: str, **how) -> subprocess.Popen[str]:
        """Start Snakemake as the leader of a new process group that listens to Ctrl-C."""
        return subprocess.Popen(
            self.command(*targets, **how),
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A shell's background job, and all its children, would ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *targets: str, seconds: float = SECONDS, **how) -> Result:
        """Run Snakemake to its end."""
        command = self.command(*targets, **how)
        arguments = command[command.index("snakemake") + 1 :]
        return Result(command, *_preloaded().call(arguments, self.folder, self.environment(), seconds))

    def plan(self, *targets: str, overlays: Sequence[str | Path] = (), options: Sequence[str] = ()) -> dict[str, int]:
        """Jobs by rule that Snakemake would run."""
        return self.run(*targets, overlays=overlays, options=["--dry-run", *options]).counts

    def environment(self) -> dict[str, str]:
        """Environment in which the copy's package comes before an installed one."""
        return os.environ | {"PYTHONPATH": str(self.folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}

    def files(self, folder: str = ".", *, without: Sequence[str] = ()) -> dict[str, Path]:
        """Files below a folder by their path in it, without those in folders of these names."""
        root = self.folder / folder
        return {
            str(path.relative_to(root)): path
            for path in sorted(root.rglob("*"))
            if path.is_file() and not set(path.relative_to(root).parts[:-1]) & set(without)
        }

    def times(self, folder: str = ".") -> dict[str, int]:
        """When each file was last written, in nanoseconds; Snakemake's own notes left out."""
        return {name: path.stat().st_mtime_ns for name, path in self.files(folder, without=[".snakemake"]).items()}

    def under(self, *configs: str) -> Checkout:
        """The same folder under other configs (none: the full run)."""
        return Checkout(self.folder, configs)

    def copy(self, folder: Path) -> Checkout:
        """Copy everything, results and Snakemake's notes too, with all times."""
        subprocess.run(["cp", "-a", str(self.folder), str(folder)], check=True)
        return Checkout(folder, self.configs)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that a file holds exactly once."""
        file = self.folder / path
        text = file.read_text()
        assert text.count(old) == 1, f"{path} holds {old!r} {text.count(old)} times"
        file.write_text(text.replace(old, new))


def check_out(folder: Path, configs: Sequence[str | Path] = (TINY,)) -> Checkout:
    """Copy the repository's files (tracked, or new and not ignored) with their times, and no results."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        source = REPOSITORY / name
        if source.is_file() and not name.startswith("results/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    return Checkout(folder, configs)


@functools.cache
def _preloaded() -> Preloaded:
    """The server of this process of tests, which ends with it."""
    server = Preloaded()
    atexit.register(server.close)
    return server


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which nothing was ever run. Only for dry runs: do not change it."""
    return check_out(tmp_path_factory.mktemp("fresh") / "copy")


@pytest.fixture(scope="session")
def finished(fresh: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the tiny preset was run to its end. Only for dry runs: do not change it."""
    base = tmp_path_factory.getbasetemp()
    # Processes that test side by side share it: the first to ask makes it, and the others wait.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    checkout, made = Checkout(shared / "finished", fresh.configs), shared / "finished.made"
    with FileLock(shared / "finished.lock"):
        if not made.exists():
            shutil.rmtree(checkout.folder, ignore_errors=True)
            fresh.copy(checkout.folder).run().ok()
            made.touch()
    return checkout


@pytest.fixture
def finished_copy(finished: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    """A finished checkout that the test may change."""
    yield finished.copy(tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy")


@pytest.fixture
def fresh_copy(fresh: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    """A checkout without results that the test may change."""
    yield fresh.copy(tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy")


@pytest.fixture(scope="module")
def trained(fresh: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Step 1 of the long config, trained by 300 epochs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "shorter.yaml").write_text("training: {epochs: 300}")
    checkout = fresh.copy(folder / "copy").under(*fresh.configs, LONG_CONFIG, str(folder / "shorter.yaml"))
    planned = checkout.run(options=["--dry-run"]).ok().output
    (stack,) = re.findall(r"Training step 1 on simulation, stack (\w+)", planned)
    checkout.run(f"{LONG}/simulation/step1/{stack}/models.safetensors").ok()
    yield checkout
    shutil.rmtree(checkout.folder)


@pytest.fixture
def untrained(trained: Checkout, tmp_path: Path) -> Iterator[tuple[Checkout, str]]:
    """The same with the data made and nothing trained, and the models that are to be."""
    stage = f"{LONG}/simulation/step1"
    (models,) = (trained / stage).glob("*/models.safetensors")
    checkout = trained.copy(tmp_path / "copy")
    shutil.rmtree(checkout / stage)
    yield checkout, str(models.relative_to(trained.folder))
    shutil.rmtree(checkout.folder)


@pytest.fixture
def overlay(tmp_path: Path):
    """Write a config on top of the checkout's own; gives its path."""

    def write(text: str, name: str = "overlay.yaml") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write
