"""Whether a results folder still is what its runs left, and raw data and settings still those of its last start.

    python -m disentangledssl.verify results/quick --configfile config/quick.yaml

A run that ends well leaves ``SHA256SUMS`` in its folder: every table, figure and measurement, in the form that
``sha256sum --check`` reads. Two runs whose files agree byte for byte have the same one. What the run did not write
keeps the digest that it had. Beside it, ``manifest.json`` says the versions, settings and raw data of the last start,
which need not have made every file. Weights are not in it (tables follow from them), nor is what differs from run to
run: logs, times, the state of downloads.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from disentangledssl.atomic import atomic
from disentangledssl.config import read_config
from disentangledssl.errors import InputError, first_few
from disentangledssl.files import digest, read_json, unreadable
from disentangledssl.manifest import MANIFEST, origin
from disentangledssl.mistakes import ConfigErrors, sentence
from disentangledssl.sources.catalogue import Digest

SUMS = "SHA256SUMS"
# There from the first start after a good end to the next good end: size and date of each file at that start.
UNFINISHED = ".unfinished"
KINDS = {".csv", ".json", ".md", ".parquet", ".pdf", ".png", ".tex"}
FOLDERS_LEFT_OUT = {"benchmarks", "logs"}
FILES_LEFT_OUT = {"cost.csv", "downloads.csv"}


@dataclass(frozen=True)
class Comparison:
    """Files as they are against files as they were, by path.

    Attributes
    ----------
    same, different, missing : list of text
    unrecorded : list of text
        Files of which nothing was noted.
    """

    same: list[str]
    different: list[str]
    missing: list[str]
    unrecorded: list[str]


def recorded_files(results: Path) -> Iterator[str]:
    """Name the files of a results folder that are recorded; a folder in it with a manifest of its own is another's."""
    for folder, folders, files in os.walk(results):
        here = Path(folder)
        folders[:] = sorted(set(folders) - FOLDERS_LEFT_OUT)
        folders[:] = [name for name in folders if not (here / name / MANIFEST).exists()]
        names = (name for name in sorted(files) if Path(name).suffix in KINDS and name not in FILES_LEFT_OUT)
        yield from ((here / name).relative_to(results).as_posix() for name in names)


class _Manifest(BaseModel):
    """What is read of ``manifest.json``."""

    disentangledssl: str
    commit: str | None
    uncommitted_changes: bool
    python: str
    platform: str
    packages: dict[str, str | None]
    config: dict[str, Any]
    data: dict[str, Digest | None]


def mark_start(results: Path) -> None:
    """Note how the files looked when the first run began that has not ended well: their sizes and dates."""
    mark = results / UNFINISHED
    if not mark.exists():
        seen = [f"{_looks(results / name)} {name}\n" for name in recorded_files(results)]
        with atomic(mark) as part:
            part.write_text("".join(seen), encoding="utf-8", errors="surrogateescape")


def write_sums(results: Path) -> list[str]:
    """Note the digests of what was written since :func:`mark_start`, when a run has ended well; others keep theirs.

    Written is what has another size or date than at the start, be it an earlier date: clocks may go back.

    Returns
    -------
    list of text
        Files that changed without a run. They keep the digest that was noted, so that :func:`verify` tells.

    Raises
    ------
    InputError
        If a file cannot be read, or the notes are damaged.
    """
    mark, sums = results / UNFINISHED, results / SUMS
    seen = set(mark.read_text(encoding="utf-8", errors="surrogateescape").splitlines())
    noted, now = _read_sums(sums) if sums.exists() else {}, {}
    altered = []
    for name in recorded_files(results):
        now[name] = digest(results / name).partition(":")[2]
        if noted.get(name, now[name]) != now[name] and f"{_looks(results / name)} {name}" in seen:
            altered.append(name)
    with atomic(sums) as part:
        lines = [f"{noted[name] if name in altered else sha}  {name}\n" for name, sha in now.items()]
        part.write_text("".join(lines), encoding="utf-8")
    mark.unlink()
    return altered


def compare_results(results: Path) -> Comparison:
    """Compare a folder's files with what its run noted of them.

    Raises
    ------
    InputError
        If the folder has no such notes, or they are damaged.
    """
    noted = _read_sums(results / SUMS)
    found = _compare({name: results / name for name in noted}, {name: f"sha256:{sha}" for name, sha in noted.items()})
    return Comparison(*found, [name for name in recorded_files(results) if name not in noted])


def compare_data(noted: Mapping[str, str | None]) -> Comparison:
    """Compare raw files with the digests that a manifest has of them."""
    known = {path: one for path, one in noted.items() if one}
    return Comparison(*_compare({path: Path(path) for path in known}, known), sorted(set(noted) - set(known)))


def changed(then: Any, now: Any, place: str = "") -> Iterator[str]:
    """Say where two nested settings differ, a text a place.

    >>> list(changed({"data": {"n": 10}, "seed": 1}, {"data": {"n": 20}, "seed": 1}))
    ['data.n: 10, now 20']
    """
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*then, *now]):
            yield from changed(then.get(key), now.get(key), f"{place}.{key}" if place else str(key))
    elif then != now:
        yield f"{place}: {then}, now {now}"


def verify(results: Path, configs: Sequence[Path] = ()) -> tuple[str, bool]:
    """Compare a results folder with what its runs noted, and raw data and settings with those of the last start.

    Parameters
    ----------
    results : path
    configs : sequence of path
        Overlays of ``config.yaml``, as the last start had them; the settings are compared too.

    Returns
    -------
    text : str
        For a person.
    same : bool
        Whether files, raw data and settings are as they were. Other versions are told, but may well make the same.

    Raises
    ------
    InputError
        If the folder has no notes of a run that ended well, or they are damaged, or a file cannot be read.
    """
    manifest = _read_manifest(results / MANIFEST)
    files, data = compare_results(results), compare_data(manifest["data"])
    settings: list[str] = []
    if configs:
        given = read_config(["config.yaml", *configs])
        settings = list(changed(manifest["config"], given.model_dump(mode="json")))
    now = origin()
    versions = list(changed({name: manifest[name] for name in now}, now))
    state = " with uncommitted changes" if manifest["uncommitted_changes"] else ""
    lines = [
        f"{results}: last start by disentangledssl {manifest['disentangledssl']}, commit {manifest['commit']}{state}",
        f"tables, figures, measurements: {_counted(files)}",
        *(f"  not recorded, so made since: {name}" for name in files.unrecorded),
        f"raw data of the last start: {_counted(data)}",
        *(f"  digest not known: {name}" for name in data.unrecorded),
        *([f"settings of the last start: {'other' if settings else 'these'}"] if configs else []),
        *(f"  {one}" for one in settings),
        f"versions of the last start: {'others (which may well make the same)' if versions else 'these'}",
        *(f"  {one}" for one in versions),
    ]
    return "\n".join(lines), not (files.different or files.missing or data.different or data.missing or settings)


def _looks(path: Path) -> str:
    """Say what of a file changes whenever it is written, without reading it."""
    state = path.lstat()
    return f"{state.st_size} {state.st_mtime_ns}"


def _counted(found: Comparison) -> str:
    lines = [f"{len(found.same)} as then, {len(found.different)} differ, {len(found.missing)} missing"]
    lines += [f"  differs: {name}" for name in found.different] + [f"  missing: {name}" for name in found.missing]
    return "\n".join(lines)


def _compare(paths: Mapping[str, Path], noted: Mapping[str, str]) -> tuple[list[str], list[str], list[str]]:
    same: list[str] = []
    different: list[str] = []
    missing: list[str] = []
    for name, path in paths.items():
        if not path.exists():
            missing.append(name)
        else:
            algorithm = noted[name].partition(":")[0]
            (same if digest(path, algorithm) == noted[name] else different).append(name)
    return same, different, missing


def _read_manifest(path: Path) -> dict[str, Any]:
    content, mend = read_json(path), "restore it, or start the workflow again, which writes it"
    if not isinstance(content, Mapping):
        raise InputError(path, "", "is not what a run notes of itself", mend)
    try:
        return _Manifest.model_validate(content).model_dump()
    except ValidationError as error:
        raise ConfigErrors([sentence(item, _Manifest, [path], mend) for item in error.errors()]) from None


def _read_sums(path: Path) -> dict[str, str]:
    mend = "restore it, or remove it and an output, and run again"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "it is written when a run of this folder ends well") from None
    except UnicodeDecodeError:
        raise InputError(path, "", "is not text", mend) from None
    except OSError as error:
        raise unreadable(path, error) from None
    matches = [re.fullmatch(r"([0-9a-f]{64})  (\S.*)", line) for line in lines]
    if None in matches:
        wrong = [number for number, match in enumerate(matches, 1) if match is None]
        raise InputError(path, f"line {first_few(wrong)}", "is not <sha256>, two blanks and a path", mend)
    return {match[2]: match[1] for match in matches}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the comparison; 0 if all is as it was, else 1."""
    parser = argparse.ArgumentParser(prog="python -m disentangledssl.verify", description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="a results folder, such as results/quick")
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], help="the configs that the last start had")
    given = parser.parse_args(arguments)
    try:
        text, same = verify(given.results, given.configfile)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    print(text)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
