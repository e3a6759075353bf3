"""Mistakes in a config, each as one sentence that names file, place and mend."""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from disentangledssl.errors import InputError, first_few

Files = Sequence[str | os.PathLike[str]]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, many times as fast where it was built
# Settings that tell which model the settings beside them are checked by.
TAGS = ("source", "screen", "set", "network")


class ConfigErrors(InputError):
    """All mistakes of a config, one sentence a line."""

    def __init__(self, problems: Iterable[InputError]):
        self.problems = list(problems)
        first = self.problems[0]
        super().__init__(first.file, first.place, first.problem, first.mend)
        self.args = ("\n".join(map(str, self.problems)),)


def sentence(error: Mapping[str, Any], root: type[BaseModel], files: Files, mend: str | None = None) -> InputError:
    """Turn one error of pydantic, met while checking a config by the model ``root``, into a sentence.

    ``mend`` says what to do about a missing or wrong value, in a file other than a config.
    """
    kind, value = error["type"], error.get("input")
    steps, model, choices = _walk(error["loc"], root)
    if kind == "extra_forbidden":
        known = list(getattr(model, "model_fields", {}))
        near = difflib.get_close_matches(str(steps[-1]), known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {first_few(sorted(known), 12)}"
        return InputError(file_of(files, steps), _dotted(steps[:-1]), f"{steps[-1]} is no setting", hint)
    file, place = file_of(files, steps), _dotted(steps)
    if kind.startswith("union_tag"):
        tag = error["ctx"]["discriminator"].strip("'")
        seen = value.get(tag) if isinstance(value, Mapping) else value
        known = [repr(name) for one in _choices(choices) for name in _tags(one)]
        problem = f"input should be {', '.join(known[:-1])} or {known[-1]}, got {seen!r}"
        return InputError(file, f"{place}.{tag}", problem, "correct it")
    if kind == "missing":
        return InputError(file, place, "is missing", mend or "add it; config.yaml shows every setting")
    number = _number(value)
    if number is not None and kind in ("float_type", "int_type", "literal_error"):
        whole = kind == "int_type" and number.is_integer()
        # repr is the shortest exact spelling; YAML also wants a point in the mantissa.
        mantissa, _, exponent = repr(int(number) if whole else number).partition("e")
        written = f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}" if exponent else mantissa
        if "e" in value and not exponent and not whole:
            written = f"{number:.1e}" if float(f"{number:.1e}") == number else written
        return InputError(file, place, f'"{value}" is text to YAML', f"write it as {written}")
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return InputError(
        file, place, f"{message}, got {value!r}", mend or "correct it; config/README.md lists the settings"
    )


def file_of(files: Files, *places: Sequence[Any]) -> str:
    """Name the last file that holds one of the places whole, else the one that holds most of one."""
    best, depth = "config", -1.0
    for file in files:
        content = _content(file)
        reached = max(_reached(content, place) / max(len(place), 1) for place in places)
        if reached >= depth:
            best, depth = os.fspath(file), reached
    return _short(best)


def repeated_keys(files: Files) -> Iterator[InputError]:
    """Name what stands twice in one mapping of a file, where YAML would silently take the last."""
    for file in files:
        try:
            root = yaml.compose(Path(file).read_text(encoding="utf-8"), LOADER)
        except (OSError, ValueError, yaml.YAMLError):  # Snakemake, which reads it first, has its say
            continue
        for first, second in _repeated(root, set()):
            problem = f"{second.value} stands here for the second time (first in line {first.start_mark.line + 1})"
            yield InputError(_short(os.fspath(file)), f"line {second.start_mark.line + 1}", problem, "keep one of them")


def _repeated(node: yaml.Node | None, seen: set[int]) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return
    seen.add(id(node))  # an alias gives the same node again, also inside itself
    known: dict[Any, yaml.Node] = {}
    for one in node.value:
        key, value = one if isinstance(node, yaml.MappingNode) else (None, one)
        if isinstance(key, yaml.ScalarNode):
            first = known.setdefault((key.tag, key.value), key)
            if first is not key:
                yield first, key
        yield from _repeated(value, seen)


def _short(file: str) -> str:
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative


def _content(file: str | os.PathLike[str]) -> Any:
    try:
        return _parsed(Path(file), os.stat(file).st_mtime_ns)
    except (OSError, ValueError, yaml.YAMLError):
        return None


@functools.lru_cache
def _parsed(file: Path, changed: int) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), LOADER)


def _reached(content: Any, place: Sequence[Any]) -> int:
    for depth, step in enumerate(place):
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return depth
    return len(place)


def _walk(location: Sequence[Any], root: type[BaseModel]) -> tuple[list[Any], Any, Any]:
    """Follow a location of pydantic's through the models.

    Returns the keys of the YAML file (pydantic puts tags of unions and names of validators between them), the model in
    which the last key stands or should stand, and what the value of that key may be.
    """
    keys: list[Any] = []
    kind: Any = root
    inside: Any = root  # the model that the last key belongs to
    for step in location:
        if step == "[key]":  # pydantic's word for the key itself, which was the step before
            continue
        kind = _without_none(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            inside = kind
            keys.append(step)
            field = kind.model_fields.get(step)
            kind = field.annotation if field else None
            continue
        choices = _choices(kind)
        tagged = [one for one in choices if step in _tags(one)]
        if tagged:
            kind = tagged[0]
        elif isinstance(step, int) or _is_mapping(kind):
            keys.append(step)
            kind = (_arguments(kind) or [None])[-1]
        # Else a validator's name: the key before it is the last one of the file.
    return keys, inside, kind


def _without_none(kind: Any) -> Any:
    """Return what a kind is where it is not null (pydantic does not name such a choice)."""
    others = [one for one in getattr(kind, "__args__", ()) if one is not type(None)]
    return others[0] if len(others) == 1 and type(None) in kind.__args__ else kind


def _arguments(kind: Any) -> list[Any]:
    if hasattr(kind, "__metadata__"):  # Annotated
        return _arguments(kind.__origin__)
    return list(getattr(kind, "__args__", ()))


def _choices(kind: Any) -> list[type[BaseModel]]:
    kind = _without_none(kind)
    if hasattr(kind, "__metadata__"):
        return _choices(kind.__origin__)
    found = [kind, *getattr(kind, "__args__", ())]
    return [one for one in found if isinstance(one, type) and issubclass(one, BaseModel)]


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    fields = [model.model_fields[name] for name in TAGS if name in model.model_fields]
    return tuple(tag for field in fields for tag in getattr(field.annotation, "__args__", ()))


def _is_mapping(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) is dict


def _dotted(steps: Sequence[Any]) -> str:
    return ".".join(map(str, steps))


def _number(value: Any) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
