"""Whether a results folder still is what its run left, and what made it still the same.

    python -m disentangledssl.verify results/quick --configfile config/quick.yaml

A run that ends well leaves ``SHA256SUMS`` in its folder: every table, figure and measurement, in the form that
``sha256sum --check`` reads. Two runs whose files agree byte for byte have the same one. Beside it, ``manifest.json``
says what made them. Weights are not in it (tables follow from them), nor is what differs from run to run: logs, times,
the state of downloads.
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

import yaml

from disentangledssl.atomic import atomic
from disentangledssl.errors import InputError, first_few
from disentangledssl.files import digest, read_json
from disentangledssl.manifest import MANIFEST, origin

SUMS = "SHA256SUMS"
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


def write_sums(results: Path) -> None:
    """Note the digests of all files of a run that has ended well."""
    with atomic(results / SUMS) as part:
        lines = [f"{digest(results / name).partition(':')[2]}  {name}\n" for name in recorded_files(results)]
        part.write_text("".join(lines), encoding="utf-8")


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
    """Compare a results folder, and what made it, with what its run noted.

    Parameters
    ----------
    results : path
    configs : sequence of path
        Overlays of ``config.yaml``, as the run had them; the settings are compared too.

    Returns
    -------
    text : str
        For a person.
    same : bool
        Whether files, raw data and settings are as they were. Other versions are told, but may well make the same.

    Raises
    ------
    InputError
        If the folder has no notes of a run that ended well, or a file cannot be read.
    """
    manifest = read_json(results / MANIFEST)
    files, data = compare_results(results), compare_data(manifest["data"])
    settings = list(changed(manifest["config"], _settings(configs))) if configs else []
    now = origin()
    versions = list(changed({name: manifest[name] for name in now}, now))
    state = " with uncommitted changes" if manifest["uncommitted_changes"] else ""
    lines = [
        f"{results}: made by disentangledssl {manifest['disentangledssl']}, commit {manifest['commit']}{state}",
        f"tables, figures, measurements: {_counted(files)}",
        *(f"  not recorded, so made since: {name}" for name in files.unrecorded),
        f"raw data: {_counted(data)}",
        *(f"  digest not known: {name}" for name in data.unrecorded),
        *(["settings: as then" if not settings else "settings:"] if configs else []),
        *(f"  {one}" for one in settings),
        "versions: as then" if not versions else "versions (which may well make the same):",
        *(f"  {one}" for one in versions),
    ]
    return "\n".join(lines), not (files.different or files.missing or data.different or data.missing or settings)


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


def _read_sums(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "it is written when a run of this folder ends well") from None
    matches = [re.fullmatch(r"([0-9a-f]{64})  (\S.*)", line) for line in lines]
    if None in matches:
        wrong = [number for number, match in enumerate(matches, 1) if match is None]
        problem = "is not <sha256>, two blanks and a path"
        raise InputError(path, f"line {first_few(wrong)}", problem, "restore it, or run again after removing an output")
    return {match[2]: match[1] for match in matches}


def _settings(configs: Sequence[Path]) -> dict[str, Any]:
    """What these overlays make of ``config.yaml``: mappings are merged, all else is replaced, as Snakemake does."""
    from disentangledssl.config import load_config

    def merge(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
        for key, value in over.items():
            both = isinstance(value, Mapping) and isinstance(under.get(key), Mapping)
            under[key] = merge(dict(under[key]), value) if both else value
        return under

    files = [Path("config.yaml"), *configs]
    merged: dict[str, Any] = {}
    for file in files:
        try:
            merged = merge(merged, yaml.safe_load(file.read_text(encoding="utf-8")) or {})
        except FileNotFoundError:
            mend = "correct the path, and start this where config.yaml is"
            raise InputError(file, "", "no such file", mend) from None
    return load_config(merged, files).model_dump(mode="json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the comparison; 0 if all is as it was, else 1."""
    parser = argparse.ArgumentParser(prog="python -m disentangledssl.verify", description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="a results folder, such as results/quick")
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], help="the configs that the run had")
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
