"""The table of sources, ``sources.yaml``: what can be had where, how large it is, under which terms.

Imports neither torch nor pandas: this runs whenever the Snakefile is parsed.
"""

from __future__ import annotations

import difflib
import itertools
import os
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import yaml
from pydantic import Field, ValidationError

from disentangledssl.errors import InputError, first_few
from disentangledssl.mistakes import ConfigErrors, sentence
from disentangledssl.settings import Strict

HELP = "correct it; docs/downloads.md explains every key"
Url = Annotated[str, Field(pattern=r"^https?://[^/\s]+/\S*$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Digest = Annotated[str, Field(pattern=r"^(sha512:[0-9a-f]{128}|sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})$")]


class SourceFile(Strict):
    """One file of a source, or many whose names follow a pattern."""

    largest = 2**63 - 1  # bytes

    name: str = Field(pattern=r"^[^/\s][^\s]*[^/\s]$", description="path below the source's folder")
    what: str = Field(min_length=1, description="what it holds, in a few words")
    bytes: int | None = Field(default=None, ge=1, description="exact size, checked; null = unknown")
    about: int | None = Field(default=None, ge=1, description="rough size; less than nine tenths of it is refused")
    digest: Digest | None = Field(default=None, description="<algorithm>:<hexadecimal>; null = trusted on first use")
    packed_on_request: bool = Field(
        default=False, description="a zip that is packed anew each time: what is in it is compared, not its bytes"
    )
    fields: dict[Name, str | list[int | str]] = Field(
        default={}, description="of a name with {fields}: a pattern, or the list of what is fetched together"
    )
    urls: list[Url] | None = Field(default=None, min_length=1, description="in place of the source's")


class SourceSettings(Strict):
    """Where the files of one source come from."""

    title: str = Field(min_length=1)
    page: Url | None = Field(default=None, description="where a person reads about it")
    terms: str = Field(min_length=1, description="licence, or what is known of it")
    accept: Name | None = Field(default=None, description="name to list under downloads.accept, where it asks for this")
    urls: list[Url] = Field(default=[], description="places in order; {name} stands for the file's name")
    ask: str | None = Field(default=None, description="whom to ask, where a person must fetch the files")
    files: list[SourceFile] = Field(min_length=1)


class Table(Strict):
    """The whole file."""

    sources: dict[Name, SourceSettings] = Field(min_length=1)


@dataclass(frozen=True)
class Source:
    """One file: all that the table says of it, with its path below the downloads folder."""

    path: str
    group: str
    settings: SourceSettings
    file: SourceFile
    urls: tuple[str, ...]

    @property
    def pattern(self) -> str:
        """Regular expression of the paths, if it is one of many; else of the path."""
        parts = string.Formatter().parse(self.path)
        return "".join(re.escape(text) + (f"(?P<{name}>{self._one(name)})" if name else "") for text, name, *_ in parts)

    def _one(self, field: str) -> str:
        values = self.file.fields[field]
        return values if isinstance(values, str) else "|".join(re.escape(str(value)) for value in values)

    @property
    def size(self) -> str:
        """Size for people."""
        known = self.file.bytes or self.file.about
        return "unknown" if known is None else f"{'' if self.file.bytes else 'about '}{spell_bytes(known)}"


class Catalogue:
    """Every file of the table, by its path below the downloads folder: ``<source>/<name>``."""

    def __init__(self, table: Table, path: str | os.PathLike[str]):
        self.table, self.path = table, os.fspath(path)
        self.sources = {
            f"{group}/{file.name}": Source(f"{group}/{file.name}", group, settings, file, _urls(settings, file))
            for group, settings in table.sources.items()
            for file in settings.files
        }

    @property
    def single(self) -> list[str]:
        """Paths of the files that are named one by one."""
        return [path for path, source in self.sources.items() if not source.file.fields]

    def find(self, path: str) -> Source:
        """Return what the table says of one file; one of many gets its own path and URLs.

        Raises
        ------
        InputError
            If the table has no such file.
        """
        if path in self.single:
            return self.sources[path]
        for source in self.sources.values():
            match = re.fullmatch(source.pattern, path) if source.file.fields else None
            if match:
                filled = {field: match[field] for field in source.file.fields}
                urls = tuple(url.format(**filled) for url in source.urls)
                return Source(path, source.group, source.settings, source.file, urls)
        near = difflib.get_close_matches(path, self.single, 1)
        mend = f"did you mean {near[0]}?" if near else "snakemake downloads lists what it has"
        raise InputError(self.path, "", f"has no file {path}", mend)

    def together(self, path: str) -> list[str]:
        """Paths of what is fetched together of a file that is one of many; patterns stay ``{fields}``.

        >>> fields = {"well": "[A-Z]", "site": [1, 2]}
        >>> file = SourceFile(name="{well}_{site}.png", what="images", fields=fields)
        >>> settings = SourceSettings(title="t", terms="none", ask="them", files=[file])
        >>> Catalogue(Table(sources={"a": settings}), "sources.yaml").together("a/{well}_{site}.png")
        ['a/{well}_1.png', 'a/{well}_2.png']
        """
        fields = self.sources[path].file.fields
        choices = [[f"{{{name}}}"] if isinstance(values, str) else values for name, values in fields.items()]
        return [path.format(**dict(zip(fields, chosen, strict=True))) for chosen in itertools.product(*choices)]

    def check_accepted(self, accepted: Iterable[str], files: str = "config") -> None:
        """Refuse a name among the accepted terms that no source asks for.

        Raises
        ------
        InputError
            Because it is a slip, and the terms that were meant would stay unaccepted.
        """
        asked = sorted({settings.accept for settings in self.table.sources.values()} - {None})
        for name in accepted:
            if name not in asked:
                near = difflib.get_close_matches(name, asked, 1)
                mend = f"did you mean {near[0]}?" if near else f"names that are asked for: {first_few(asked) or 'none'}"
                raise InputError(files, "downloads.accept", f"no source asks for {name}", mend)


def spell_bytes(count: float) -> str:
    """Write a size for people.

    >>> spell_bytes(52407725132), spell_bytes(216692), spell_bytes(12)
    ('52.4 GB', '217 kB', '12 bytes')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= 0.9995 * unit:
            value = count / unit
            return f"{value:.0f} {name}" if value >= 99.95 else f"{value:.3g} {name}"
    return f"{count:.0f} bytes"


def _urls(settings: SourceSettings, file: SourceFile) -> tuple[str, ...]:
    """Fill the file's name into the places; fields in the name stay to be filled."""
    if file.fields:
        return tuple(url.replace("{name}", file.name) for url in file.urls or settings.urls)
    return tuple(url.replace("{name}", quote(file.name)) for url in file.urls or settings.urls)


def load_catalogue(path: str | os.PathLike[str]) -> Catalogue:
    """Read and check the table of sources.

    Raises
    ------
    InputError
        One sentence a mistake, each with file, key and mend, all of them together.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(path, "", "no such table of sources", "correct downloads.table in the config") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(path, "", f"is not YAML ({' '.join(str(error).split())})", "correct it") from None
    if not isinstance(content, Mapping):
        raise InputError(path, "", "holds no sources", HELP)
    try:
        table = Table.model_validate(content)
    except ValidationError as error:
        raise ConfigErrors([sentence(item, Table, [path], HELP) for item in error.errors()]) from None
    problems = list(_cross_checks(table, path))
    if problems:
        raise ConfigErrors(problems)
    return Catalogue(table, path)


def _cross_checks(table: Table, path: str | os.PathLike[str]) -> Iterable[InputError]:
    """What no key can be blamed for alone."""
    for group, settings in table.sources.items():
        names = [file.name for file in settings.files]
        for index, file in enumerate(settings.files):

            def mistake(key: str, problem: str, mend: str, place: Any = f"sources.{group}.files.{index}") -> InputError:
                return InputError(path, f"{place}.{key}", problem, mend)

            if names.count(file.name) > 1:
                yield mistake("name", f"{file.name} is listed twice", "list it once")
            if ".." in file.name.split("/"):
                yield mistake("name", f"{file.name} leaves its folder", "name a path below it")
            if bool(file.urls or settings.urls) == bool(settings.ask):
                problem = "is given beside ask" if settings.ask else "is missing, and so is ask"
                yield mistake("urls", problem, "give urls, or say in ask who has the file, but not both")
            if file.packed_on_request and (file.bytes or file.digest):
                problem = "is given for a zip that is packed anew each time"
                yield mistake("bytes" if file.bytes else "digest", problem, "leave it out")
            if file.fields and (file.bytes or file.digest):
                yield mistake("bytes" if file.bytes else "digest", "is given for many files", "leave it out")
            try:
                used = {field for _, field, *_ in string.Formatter().parse(file.name) if field is not None}
            except ValueError:
                used = {file.name}
            for field in sorted(used ^ set(file.fields)):
                problem = "is in the name, but not defined" if field in used else "is defined, but not in the name"
                yield mistake("fields", f"{field} {problem}", "make name and fields agree")
            for field, values in file.fields.items():
                if isinstance(values, str) and not _is_pattern(values):
                    yield mistake(f"fields.{field}", f"{values!r} is no regular expression", "correct it")
                elif not values:
                    yield mistake(f"fields.{field}", "is empty", "list at least one value")


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return bool(text)
