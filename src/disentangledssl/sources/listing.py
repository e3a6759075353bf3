"""What would be fetched, how large it is, under what terms, and what is there: no network is touched."""

from __future__ import annotations

import csv
import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from disentangledssl.atomic import atomic
from disentangledssl.config import DownloadSettings
from disentangledssl.sources.catalogue import Catalogue, Source, load_catalogue, spell_bytes

COLUMNS = (
    "source", "file", "what", "bytes", "about", "digest", "state", "needed_by", "terms", "accept", "page", "from",
)  # fmt: skip
WIDTH = 118


def list_downloads(
    settings: Mapping[str, Any], needed: Mapping[str, Sequence[str]], out: str | os.PathLike[str], terminal: TextIO
) -> None:
    """Write the list as CSV and show it.

    Parameters
    ----------
    settings : mapping
        ``downloads`` of the config.
    needed : mapping of data set -> sequence of path
        Raw files of the data sets that the config runs.
    out : path
        The CSV file.
    terminal : text stream
    """
    checked = DownloadSettings.model_validate(settings)
    catalogue = load_catalogue(checked.table)
    rows = rows_of(catalogue, checked, needed)
    with atomic(out) as part, part.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print("\n".join(["", *lines_of(catalogue, checked, rows, needed), f"As a table: {out}"]), file=terminal, flush=True)


def rows_of(
    catalogue: Catalogue, settings: DownloadSettings, needed: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """One row a file of the table, in its order."""
    rows = []
    for path, source in catalogue.sources.items():
        wanted = [name for name, files in needed.items() if any(_is_of(file, source, settings) for file in files)]
        rows.append(
            {
                "source": source.group,
                "file": f"{settings.folder}/{path}",
                "what": source.file.what,
                "bytes": source.file.bytes,
                "about": source.file.about,
                "digest": source.file.digest or "first use",
                "state": state(source, settings),
                "needed_by": ", ".join(wanted),
                "terms": source.settings.terms,
                "accept": source.settings.accept,
                "page": source.settings.page,
                "from": " ".join(source.urls) or f"ask {source.settings.ask}",
            }
        )
    return rows


def state(source: Source, settings: DownloadSettings) -> str:
    """What has to happen to a file, or has happened."""
    target, by_hand = Path(settings.folder, source.path), Path(settings.by_hand, source.path)
    if source.file.fields:
        folder = Path(settings.folder, source.path.partition("{")[0]).parent
        there = sum(name.endswith(target.suffix) for _, _, names in os.walk(folder) for name in names)
        if there:
            return f"{there} there"
    elif target.exists():
        size = target.stat().st_size
        return "there" if source.file.bytes in (None, size) else f"wrong size: {size} bytes"
    if source.settings.accept and source.settings.accept not in settings.accept:
        return f"accept {source.settings.accept} first"
    if by_hand.exists() and not source.file.fields:
        return "placed by hand"
    part = target.with_name(f"{target.name}.part")
    if part.exists():
        return f"{spell_bytes(part.stat().st_size)} there"
    return "to be fetched" if source.urls else "to be placed"


def lines_of(
    catalogue: Catalogue,
    settings: DownloadSettings,
    rows: Sequence[Mapping[str, Any]],
    needed: Mapping[str, Sequence[str]],
) -> list[str]:
    """Spell out the list for a terminal."""
    lines = []
    for group, one in catalogue.table.sources.items():
        lines += [f"{group}: {one.title}", *_wrapped(f"terms: {one.terms}")]
        if one.ask:
            lines += textwrap.wrap(
                f"ask: {one.ask}; put files in {settings.by_hand}/{group}/", WIDTH, initial_indent="  "
            )
        for row in rows:
            if row["source"] == group:
                source = catalogue.sources[row["file"].removeprefix(f"{settings.folder}/")]
                wanted = f"  needed by {row['needed_by']}" if row["needed_by"] else ""
                lines.append(f"  {row['file']}\n      {source.size:>13}  {row['state']:<14}  {row['what']}{wanted}")
        lines.append("")
    wanted = [row for row in rows if row["needed_by"]]
    missing = [row for row in wanted if row["state"] != "there"]
    using = [name for name in needed if any(name in row["needed_by"].split(", ") for row in wanted)]
    if missing:
        size = spell_bytes(sum(row["bytes"] or row["about"] or 0 for row in missing))
        count = "1 file that is" if len(missing) == 1 else f"{len(missing)} files that are"
        lines.append(f"This config ({', '.join(using)}) needs {count} not there, {size} as far as sizes are known.")
    elif wanted:
        lines.append(f"All that {', '.join(using)} {'needs' if len(using) == 1 else 'need'} is there.")
    else:
        lines.append(f"None of these is needed by this config ({', '.join(needed)}).")
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="      ")


def _is_of(file: str, source: Source, settings: DownloadSettings) -> bool:
    return re.fullmatch(source.pattern, file.removeprefix(f"{settings.folder}/")) is not None
