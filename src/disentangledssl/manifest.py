"""What made the results of a folder: versions, commit, machine, config, raw data (no times, so that two runs agree)."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from disentangledssl import __version__
from disentangledssl.files import digest, unreadable, write_json

MANIFEST = "manifest.json"
PACKAGES = (
    "gensim", "matplotlib", "numpy", "pandas", "pyarrow", "rdkit", "scikit-learn", "scipy", "snakemake", "torch",
)  # fmt: skip


def write_manifest(
    results: Path, config: Mapping[str, Any], data: Mapping[str, str | None], repository: Path | None = None
) -> None:
    """Write the manifest of a run, when it starts and again when it has ended well.

    Parameters
    ----------
    results : path
    config : mapping
    data : mapping of path to text or None
        The raw files that the results are made from, each with the digest that is known of it; None: taken here, if
        the file is there (what is downloaded is not, at the start of a first run).
    repository : path, optional
        As :func:`origin`.

    Raises
    ------
    InputError
        If a raw file is there and cannot be read.
    """
    digests = {path: known or _digest_now(path) for path, known in sorted(data.items())}
    write_json(results / MANIFEST, {**origin(repository), "config": config, "data": digests})


def origin(repository: Path | None = None) -> dict[str, Any]:
    """Return the versions of code, Python and packages here.

    Parameters
    ----------
    repository : path, optional
        That whose commit is named; by default the one that this package is in.
    """
    repository = repository or Path(__file__).parents[2]
    changed = _git(repository, "status", "--porcelain", "--untracked-files=no")
    return {
        "disentangledssl": __version__,
        "commit": _git(repository, "rev-parse", "HEAD"),
        "uncommitted_changes": bool(changed),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _digest_now(path: str) -> str | None:
    try:
        state = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, error) from None
    return _digest_once(path, state.st_size, state.st_mtime_ns)


@functools.cache
def _digest_once(path: str, size: int, changed: int) -> str:
    """Of gigabytes that were noted at the start of a run, and have not changed at its end."""
    return digest(path)


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
