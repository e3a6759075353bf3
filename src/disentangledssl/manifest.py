"""What made the results of a folder: versions, commit, machine and config (no times, so that two runs agree)."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from disentangledssl import __version__
from disentangledssl.files import write_json

PACKAGES = (
    "gensim", "matplotlib", "numpy", "pandas", "pyarrow", "rdkit", "scikit-learn", "scipy", "snakemake", "torch",
)  # fmt: skip


def write_manifest(path: Path, config: dict[str, Any], repository: Path) -> None:
    """Write the manifest of a run, when it starts."""
    write_json(
        path,
        {
            "disentangledssl": __version__,
            "commit": _git(repository, "rev-parse", "HEAD"),
            "uncommitted_changes": bool(_git(repository, "status", "--porcelain", "--untracked-files=no")),
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "packages": {name: _version(name) for name in PACKAGES},
            "config": config,
        },
    )


def write_steps(path: Path, steps: dict[str, Any]) -> None:
    """Write which rules a run is made of, what each reads, and its jobs, when the run starts."""
    write_json(path, steps)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(repository: Path, *command: str) -> str | None:
    try:
        done = subprocess.run(["git", *command], cwd=repository, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
