"""MOSI, MOSEI, UR-FUNNY and MUStARD as MultiBench extracted them: from one pickle to the paired-dataset contract.

A pickle holds a dict of ``train``, ``valid`` and ``test``, each a dict of arrays ``vision``, ``audio``, ``text``
(clips, time steps, features), padded with zeros **in front**, and ``labels`` (one number a clip). View 1 is vision,
view 2 text, both sequences; audio is not used, as in the paper.

As in the loader of FactorCL's code (Liang et al. 2023): clips without text are dropped; both views are cut where
the first word is, which removes the padding; no value is scaled. Here padding is put at the end.

Source: the paper, App. H.2; labels and non-finite numbers: docs/choices.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from disentangledssl.dataset import pairs_table
from disentangledssl.errors import InputError
from disentangledssl.files import write_table
from disentangledssl.sequences import Block, rows_at_once, write_sequences
from disentangledssl.sources.conversion import array_of, as_finite
from disentangledssl.sources.curation_report import CurationReport
from disentangledssl.sources.pickles import read_pickle

SPLITS = {"train": "train", "valid": "validation", "test": "test"}  # their names there and here
VIEWS = ("vision", "text")
SENTIMENT = ("mosi", "mosei")
LABELS = {"mosi": "sentiment", "mosei": "sentiment", "ur_funny": "humour", "mustard": "sarcasm"}
TITLES = {"mosi": "CMU-MOSI", "mosei": "CMU-MOSEI", "ur_funny": "UR-FUNNY", "mustard": "MUStARD"}
# Clips of train, valid and test before any is dropped. UR-FUNNY and MUStARD: derived, so compared but not demanded.
PUBLISHED = {
    "mosi": (1284, 229, 686), "mosei": (16265, 1869, 4643), "ur_funny": (8074, 1034, 1058), "mustard": (414, 138, 138)
}  # fmt: skip


@dataclass
class Part:
    """One split of a file: its arrays, which clips are kept, and where of all steps their first words are."""

    name: str
    arrays: dict[str, np.ndarray]
    steps: int
    labels: np.ndarray
    source_ids: list[str]
    kept: np.ndarray
    start: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each clip that is kept."""
        return self.steps - self.start

    @property
    def ids(self) -> list[str]:
        """Names of the clips that are kept: split and row in the file."""
        return [f"{self.name}_{row:05d}" for row in self.kept]


def convert(source: str | os.PathLike[str], out: str | os.PathLike[str], *, name: str, make: Mapping[str, Any]) -> None:
    """Write ``view1``, ``view2``, ``pairs`` (Parquet) and ``curation.csv``; ``meta_split`` is the split of the file.

    Memory: the pickle's own size, and little else.

    Parameters
    ----------
    source : path
        The pickle.
    out : path
        Folder to write into.
    name : str
        Name of the data set.
    make : mapping
        ``set``: ``mosi``, ``mosei``, ``ur_funny`` or ``mustard``. Of sentiment, which is a number from -3 to 3,
        ``neutral``: on which side 0 is, ``positive`` (FactorCL's ``y >= 0``) or ``negative``.

    Raises
    ------
    InputError
        If the file is no such pickle, would run code, lacks an array, has arrays that do not fit together, labels
        that are none, or no clip with text.
    """
    out, report, kind = Path(out), CurationReport(source, rows=0, time_steps=0), make["set"]
    parts = _read(source)
    report.record(
        "read",
        f"{_counts(parts)}, of {parts[0].steps} time steps; "
        + ", ".join(f"{view} of {parts[0].arrays[view].shape[2]}" for view in VIEWS)
        + "; audio is not used",
        rows=sum(len(part.labels) for part in parts),
        time_steps=sum(part.labels.size * part.steps for part in parts),
    )
    _compare(report, parts, kind)
    dropped = {part.name: len(part.labels) - len(part.kept) for part in parts}
    report.record(
        "drop clips without text",
        "no word in any time step: " + ", ".join(f"{count} of {split}" for split, count in dropped.items()),
        rows=sum(len(part.kept) for part in parts),
        time_steps=sum(len(part.kept) * part.steps for part in parts),
    )
    time_steps = sum(int(part.lengths.sum()) for part in parts)
    report.record("cut at the first word", "padding, which is in front, and what is before", time_steps=time_steps)
    info = {
        "name": name, "title": f"{TITLES[kind]}, vision and text (MultiBench)", "stand_in": False,
        "source": "features of MultiBench (Liang et al. 2021), the file that FactorCL uses",
        "licence": "terms of the data set: docs/downloads.md",
    }  # fmt: skip
    labels, meta = _label(source, parts, kind, make.get("neutral"), report)
    replaced = {}
    for m, view in enumerate(VIEWS, 1):
        steps, width = parts[0].arrays[view].shape[1:]
        counts: list[int] = []
        features = [f"{view}_{k}" for k in range(width)]
        write_sequences(out / f"view{m}.parquet", _blocks(parts, view, counts), steps, features, info)
        replaced[view] = sum(counts)
    reason = "set to 0: " + ", ".join(f"{count} of {view}" for view, count in replaced.items())
    report.record("replace numbers that are not finite", reason)
    ids = [one for part in parts for one in part.ids]
    meta["split"] = [SPLITS[part.name] for part in parts for _ in part.kept]
    meta["source_id"] = [part.source_ids[row] for part in parts for row in part.kept]
    write_table(out / "pairs.parquet", pairs_table(ids, ids, ids, ids, {LABELS[kind]: labels}, meta), info)
    report.write(out)


def _read(path: str | os.PathLike[str]) -> list[Part]:
    """Read the pickle; what is not used of it is let go."""
    try:
        with open(path, "rb") as file:
            content = read_pickle(file, path)
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "fetch it, or put it there by hand") from None
    parts = []
    for name in SPLITS:
        if not isinstance(content, dict) or not isinstance(content.get(name), dict):
            mend = "check that it is the file that docs/downloads.md names"
            raise InputError(path, name, "is missing, or no dict of arrays", mend)
        one = content.pop(name)
        parts.append(_part(path, name, one))
    for view in VIEWS:
        shapes = {part.name: part.arrays[view].shape[1:] for part in parts}
        if len(set(shapes.values())) > 1:
            said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise InputError(path, view, f"differs between the splits ({said})", "check the file")
    return parts


def _part(path: str | os.PathLike[str], name: str, one: Mapping[str, Any]) -> Part:
    place = f"{name}."
    arrays = {view: array_of(one, view, 3, path, place) for view in VIEWS}
    labels = one.get("labels")
    clips, steps = arrays["text"].shape[:2]
    if arrays["vision"].shape[:2] != (clips, steps):
        problem = f"has {arrays['vision'].shape[:2]} clips and time steps, but text has {(clips, steps)}"
        raise InputError(path, f"{place}vision", problem, "check the file")
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "fiub" or labels.size != clips:
        seen = labels.shape if isinstance(labels, np.ndarray) else type(labels).__name__
        raise InputError(path, f"{place}labels", f"is not one number a clip ({seen}, {clips} clips)", "check the file")
    # By blocks: a mask of all of MOSEI's text would be a quarter of a gigabyte.
    words = np.concatenate([block.any(axis=2) for block in _slices(arrays["text"])] or [np.zeros((0, steps), bool)])
    kept = np.flatnonzero(words.any(axis=1))
    source_ids = one.get("id")
    return Part(name, arrays, steps, labels.reshape(-1), _texts(source_ids, clips), kept, words[kept].argmax(axis=1))


def _texts(source_ids: Any, clips: int) -> list[str]:
    """What the file calls each clip: text, bytes, or several of them (video, from, to)."""
    if not isinstance(source_ids, (np.ndarray, list)) or len(source_ids) != clips:
        return [""] * clips
    return ["_".join(map(_text, np.ravel(np.asarray(one, object)))) for one in source_ids]


def _text(one: Any) -> str:
    return one.decode(errors="replace") if isinstance(one, bytes) else str(one)


def _slices(array: np.ndarray) -> Iterator[np.ndarray]:
    rows = rows_at_once(array[:1].nbytes)
    return (array[start : start + rows] for start in range(0, len(array), rows))


def _blocks(parts: list[Part], view: str, replaced: list[int]) -> Iterator[Block]:
    """The rows of a view, from the first word on; each split's array is let go when it is written."""
    for part in parts:
        array = part.arrays.pop(view)
        rows = rows_at_once(array[:1].nbytes)
        for first in range(0, len(part.kept), rows):
            chosen = slice(first, first + rows)
            moved = _move_to_front(array[part.kept[chosen]], part.start[chosen])
            values, count = as_finite(moved)
            replaced.append(count)
            yield part.ids[chosen], values, part.lengths[chosen]
        del array


def _move_to_front(values: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Put step ``start`` of each row first, and zeros behind the last.

    >>> _move_to_front(np.array([[[1], [2], [3]], [[4], [5], [6]]]), np.array([1, 0]))[:, :, 0]
    array([[2, 3, 0],
           [4, 5, 6]])
    """
    moved = np.zeros_like(values)
    for row, begin in enumerate(start):
        moved[row, : values.shape[1] - begin] = values[row, begin:]
    return moved


def _label(
    path: str | os.PathLike[str], parts: list[Part], kind: str, neutral: str | None, report: CurationReport
) -> tuple[list[int], dict[str, list[Any]]]:
    """Make classes of the numbers; those of sentiment are kept as a description."""
    numbers = np.concatenate([part.labels[part.kept] for part in parts]).astype(np.float64)
    if kind in SENTIMENT:
        if not np.isfinite(numbers).all():
            raise InputError(path, "labels", "holds numbers that are not finite", "check the file")
        classes = numbers >= 0 if neutral == "positive" else numbers > 0
        rule = f"1 where the sentiment is {'at least' if neutral == 'positive' else 'above'} 0"
        meta = {"sentiment": numbers.tolist()}
    else:
        strange = set(np.unique(numbers).tolist()) - {-1.0, 0.0, 1.0}
        if strange:
            problem = f"holds {min(strange)}, but a label is 1, or else 0 or -1"
            raise InputError(path, "labels", problem, "check the file")
        classes, rule, meta = numbers == 1, "1 where the file has 1, else 0", {}
    report.record(f"label y_{LABELS[kind]}", f"{rule}: {int(classes.sum())} of {classes.size} clips")
    return classes.astype(int).tolist(), meta


def _counts(parts: list[Part]) -> str:
    return ", ".join(f"{SPLITS[part.name]} {len(part.labels):,}" for part in parts)


def _compare(report: CurationReport, parts: list[Part], kind: str) -> None:
    """Write down how the counts differ from what is known of the file."""
    differences = [
        f"{SPLITS[part.name]} {len(part.labels) - expected:+,}"
        for part, expected in zip(parts, PUBLISHED[kind], strict=True)
        if len(part.labels) != expected
    ]
    expected = ", ".join(f"{count:,}" for count in PUBLISHED[kind])
    report.record("compare with what is known", f"expected {expected} clips: {', '.join(differences) or 'the same'}")
