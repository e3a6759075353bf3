"""Why a data set that is defined is not run: what has to be fetched, accepted, placed or asked for before it could be.

Imports neither torch nor pandas: this runs whenever a run starts.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from disentangledssl.config import DownloadSettings
from disentangledssl.errors import InputError
from disentangledssl.sources.catalogue import Catalogue, Source, spell_bytes

# By kind, from the least hurdle to the highest.
KINDS = {
    "unlisted": "only not listed under datasets",
    "download": "to be downloaded",
    "terms": "to be downloaded, after terms are accepted by name in downloads.accept",
    "place": "needs a file that you place, since nobody publishes it",
    "ask": "needs a file that only people with access are given",
}
WIDTH = 118


class Reason(NamedTuple):
    """Why a data set is not run: its kind, a key of ``KINDS``, and what of it is to be had where."""

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{KINDS[self.kind]} ({self.detail})" if self.detail else KINDS[self.kind]


def reason_of(files: Sequence[str], catalogue: Catalogue, downloads: DownloadSettings) -> Reason:
    """Return what keeps a data set from being run, the highest hurdle of several; a file that is there is none.

    Parameters
    ----------
    files : sequence of path
        What it is made from: bundled, below the downloads folder, or elsewhere, where a person puts it.
    catalogue : Catalogue
    downloads : DownloadSettings
    """
    found = {file: source_of(file, catalogue, downloads) for file in files if not Path(file).exists()}
    sources = [source for source in found.values() if source]
    missing = [source for source in sources if not Path(downloads.by_hand, source.path).exists()]
    for source in missing:
        if source.settings.ask:
            return Reason("ask", f"{downloads.by_hand}/{source.path}; ask {source.settings.ask}")
    if nobodys := [file for file, source in found.items() if source is None]:
        return Reason("place", ", ".join(nobodys))
    hosts = dict.fromkeys(urlsplit(source.urls[0]).hostname for source in missing)
    fetched = [f"{_size(missing)} from {' and '.join(hosts)}"] if missing else []
    # Those of a file that was placed are to be accepted all the same.
    if terms := sorted({source.settings.accept for source in sources} - {None, *downloads.accept}):
        return Reason("terms", ", ".join([*terms, *fetched]))
    return Reason("download", fetched[0]) if fetched else Reason("unlisted")


def lines_of(reasons: Mapping[str, Reason]) -> list[str]:
    """Spell out for a terminal which data sets are left out, by kind of reason."""
    lines = []
    for kind, title in KINDS.items():
        named = [
            f"{name} ({reason.detail})" if reason.detail else name
            for name, reason in reasons.items()
            if reason.kind == kind
        ]
        if named:
            lines += textwrap.wrap(
                f"{title}: {('; ' if kind != 'unlisted' else ', ').join(named)}", WIDTH, initial_indent="  ",
                subsequent_indent="    ", break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
    return ["Defined, but not run by this config:", *lines] if lines else []


def source_of(file: str, catalogue: Catalogue, downloads: DownloadSettings) -> Source | None:
    """Return what the table says of a file, if it has it."""
    try:
        return catalogue.find(file.removeprefix(f"{downloads.folder}/"))
    except InputError:
        return None


def _size(sources: Sequence[Source]) -> str:
    """Size of some files for people; one of many files of a pattern counts as all of them."""
    if len(sources) == 1:
        return f"{sources[0].size}{' size' if sources[0].size == 'unknown' else ''}"
    known = [source.file.bytes or source.file.about for source in sources]
    spelled = spell_bytes(sum(size for size in known if size))
    if not any(known):
        return "unknown size"
    if None in known:
        return f"{spelled} or more"
    return spelled if all(source.file.bytes for source in sources) else f"about {spelled}"
