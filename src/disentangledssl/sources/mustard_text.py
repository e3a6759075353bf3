"""The text of MUStARD: from ``data/mustard_text`` to the paired-dataset contract.

View 1 is the utterance, view 2 what was said before it, both sequences of GloVe word vectors. A stand-in for MUStARD of
MultiBench, whose first view is vision: always "text only".
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from disentangledssl.dataset import pairs_table
from disentangledssl.files import write_table
from disentangledssl.sequences import Block, rows_at_once, write_sequences
from disentangledssl.sources.conversion import SPLIT_NAMES, read_bundled
from disentangledssl.sources.curation_report import CurationReport

VIEWS = ("utterance", "context")
ARRAYS = (*VIEWS, "vectors", "id", "sarcasm", "show", "speaker", "fold", "split")
INFO = {
    "title": "MUStARD, text only (stand-in for MultiBench)",
    "stand_in": True,
    "source": "github.com/soujanyaporia/MUStARD b34b513; word vectors GloVe 840B",
    "licence": "MIT (MUStARD), PDDL (GloVe)",
}


def convert(source: str | os.PathLike[str], out: str | os.PathLike[str], *, name: str, make: Mapping[str, Any]) -> None:
    """Write ``view1``, ``view2``, ``pairs`` (Parquet) and ``curation.csv``; ``meta_split`` is the split of the file.

    Parameters
    ----------
    source : path
        ``mustard_text.npz``, see ``data/mustard_text/PROVENANCE.md``.
    out : path
        Folder to write into.
    name : str
        Name of the data set.
    make : mapping
        ``set`` alone: nothing is to be chosen.

    Raises
    ------
    InputError
        If the file is missing, damaged or lacks an array.
    """
    out, report = Path(out), CurationReport(source, rows=0, time_steps=0)
    content = read_bundled(source, ARRAYS)
    lengths = {view: (content[view] >= 0).sum(axis=1) for view in VIEWS}
    widths = {view: content[view].shape[1] for view in VIEWS}
    rows = len(content["id"])
    said = ", ".join(f"{view} of at most {width} words" for view, width in widths.items())
    report.record("read", f"{said}, padded in front", rows=rows, time_steps=rows * sum(widths.values()))
    report.record("move padding to the end", "words only", time_steps=int(sum(one.sum() for one in lengths.values())))
    kept = np.flatnonzero((lengths["utterance"] > 0) & (lengths["context"] > 0))
    # A pair without one of its views is none; the loader of MultiBench drops clips without text too.
    time_steps = int(sum(one[kept].sum() for one in lengths.values()))
    report.record(
        "drop pairs without text", "utterance or context without a word", rows=len(kept), time_steps=time_steps
    )
    ids, info = content["id"][kept].astype(str).tolist(), {"name": name, **INFO}
    features = [f"glove_{k}" for k in range(content["vectors"].shape[1])]
    for m, view in enumerate(VIEWS, 1):
        blocks = _blocks(ids, content[view][kept], lengths[view][kept], content["vectors"])
        write_sequences(out / f"view{m}.parquet", blocks, widths[view], features, info)
    labels = {key: content[key][kept] for key in ("sarcasm", "show")}
    meta = {"split": SPLIT_NAMES[content["split"][kept]]} | {key: content[key][kept] for key in ("speaker", "fold")}
    write_table(out / "pairs.parquet", pairs_table(ids, ids, ids, ids, labels, meta), info)
    report.write(out)


def _blocks(ids: list[str], words: np.ndarray, lengths: np.ndarray, vectors: np.ndarray) -> Iterator[Block]:
    """Look the words' vectors up; what was padding in front becomes zeros at the end."""
    # Stable, so that the words stay in their order.
    words = np.take_along_axis(words, np.argsort(words < 0, axis=1, kind="stable"), axis=1)
    table = np.concatenate([vectors, np.zeros_like(vectors[:1])])
    rows = rows_at_once(words.shape[1] * vectors[0].nbytes)
    for first in range(0, len(words), rows):
        chosen = slice(first, first + rows)
        yield ids[chosen], table[words[chosen]], lengths[chosen]
