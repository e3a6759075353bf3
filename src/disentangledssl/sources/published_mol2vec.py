"""The published Mol2vec model, from the pickle of an old gensim to the form of ours.

gensim 4 does not read it, and a pickle is a program; here only its words and vectors are taken, nothing in it is run.

Source: Jaeger, Fulle and Turk, J. Chem. Inf. Model. 58, 27 (2018); the layouts of gensim 0.x to 3.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from disentangledssl.dataset import write_view
from disentangledssl.errors import InputError
from disentangledssl.mol2vec import UNKNOWN, features
from disentangledssl.sources.pickles import Record, read_pickle

MEND = "delete it and run again, which fetches it anew, or set mol2vec.model to trained"

log = logging.getLogger(__name__)


def convert_model(path: str | os.PathLike[str], out: str | os.PathLike[str]) -> None:
    """Write words and vectors of a gensim word2vec model as a view table: a word a row, ``m2v_0`` ...

    Raises
    ------
    InputError
        If the file is no pickle, holds no words with vectors, or none for ``UNK``.
    """
    with open(path, "rb") as file:
        model = read_pickle(file, path, records=True)
    words, vectors = _words_and_vectors(path, model)
    if UNKNOWN not in words:
        raise InputError(path, "", f"has no vector for {UNKNOWN}, which stands for unseen substructures", MEND)
    log.info("%s: %d words of %d numbers", path, *vectors.shape)
    write_view(out, words, vectors.astype(np.float32), features(vectors.shape[1]), {"model": "Mol2vec, as published"})


def _words_and_vectors(path: str | os.PathLike[str], model: Any) -> tuple[list[str], np.ndarray]:
    for state in _states(model):
        words = state.get("index2word")
        vectors = next((state[name] for name in ("vectors", "syn0") if isinstance(state.get(name), np.ndarray)), None)
        if isinstance(words, list) and vectors is not None and vectors.shape[:1] == (len(words),) and vectors.ndim == 2:
            return [str(word) for word in words], vectors
    raise InputError(path, "", "holds no words with vectors (a gensim word2vec model does)", MEND)


def _states(model: Any) -> Iterator[dict[str, Any]]:
    """Yield attributes of the model and of its keyed vectors, where gensim 1 to 3 keep both."""
    for one in (model, model.state.get("wv") if isinstance(model, Record) and isinstance(model.state, dict) else None):
        if isinstance(one, Record) and isinstance(one.state, dict):
            yield one.state
