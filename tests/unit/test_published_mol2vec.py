"""The published Mol2vec: a model in the layouts of old gensims becomes one of ours, and nothing in the file is run."""

from __future__ import annotations

import os
import pickle
import sys
from collections import defaultdict
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from disentangledssl.dataset import read_view
from disentangledssl.errors import InputError
from disentangledssl.files import read_table, table_info
from disentangledssl.mol2vec import featurise, sentence
from disentangledssl.sources.published_mol2vec import convert_model

WORDS = [*sentence("CO"), "UNK"]
VECTORS = np.arange(4 * len(WORDS), dtype=np.float32).reshape(-1, 4)


@pytest.fixture
def old_gensim(monkeypatch):
    """Classes of a module whose name is as long as gensim's: pickles name them by that of gensim 3."""
    made = {}
    for module in ("gxnsim", "gxnsim.models", "gxnsim.models.word2vec"):
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    for name in ("Word2Vec", "Word2VecVocab", "KeyedVectors", "Vocab"):
        made[name] = type(name, (), {"__module__": module})
        setattr(sys.modules[module], name, made[name])
    return SimpleNamespace(**made)


def write(path, gensim, *, protocol=2, words=WORDS, vectors=VECTORS, layout="wv"):
    """Pickle a model as gensim did, with what else it kept: counts, generators, functions."""
    vocabulary = {}
    for word in words:
        vocabulary[word] = gensim.Vocab()
        vocabulary[word].__dict__.update(count=3, index=0)
    attributes = {
        "wv": {"index2word": words, "vectors": vectors, "vocab": vocabulary},
        "syn0": {"index2word": words, "syn0": vectors, "vocab": vocabulary},
    }[layout]
    model = gensim.Word2Vec()
    model.__dict__.update(
        random=np.random.RandomState(1),
        hashfxn=hash,
        raw_vocab=defaultdict(int, a=1),
        vocabulary=gensim.Word2VecVocab(),
    )
    if layout == "wv":
        model.wv = gensim.KeyedVectors()
        model.wv.__dict__.update(attributes)
    else:
        model.__dict__.update(attributes)
    content = pickle.dumps(model, protocol)
    assert b"gxnsim" in content
    path.write_bytes(content.replace(b"gxnsim", b"gensim"))
    return path


@pytest.mark.parametrize("layout", ["wv", "syn0"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_words_and_vectors_are_those_of_the_model(tmp_path, old_gensim, layout, protocol):
    out = tmp_path / "model.parquet"
    convert_model(write(tmp_path / "model.pkl", old_gensim, protocol=protocol, layout=layout), out)
    vectors, names, words = read_view(out)
    assert words.tolist() == WORDS and names == ["m2v_0", "m2v_1", "m2v_2", "m2v_3"]
    np.testing.assert_array_equal(vectors, VECTORS)
    assert table_info(read_table(out))["model"] == "Mol2vec, as published"
    # Methanol is all its words, ethane's are unseen but for none.
    np.testing.assert_array_equal(featurise(["CO", "N"], out), [VECTORS[:3].sum(0), VECTORS[3]])


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("made",)


def test_a_hostile_model_makes_nothing(tmp_path, monkeypatch, old_gensim):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps([Hostile(), Hostile()], 2))
    with pytest.raises(InputError, match="holds no words with vectors"):
        convert_model(path, tmp_path / "out.parquet")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.pkl"]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"words": WORDS[:-1], "vectors": VECTORS[:-1]}, "has no vector for UNK"),
        ({"vectors": VECTORS[:-1]}, "holds no words with vectors"),
        ({"vectors": "in another file"}, "holds no words with vectors"),
    ],
)
def test_what_is_no_model_is_said_in_one_sentence(tmp_path, old_gensim, others, said):
    path = write(tmp_path / "model.pkl", old_gensim, **others)
    with pytest.raises(InputError, match=said) as error:
        convert_model(path, tmp_path / "out.parquet")
    assert "\n" not in str(error.value) and "mol2vec.model to trained" in str(error.value)
    assert not (tmp_path / "out.parquet").exists()


def test_half_a_file_is_no_pickle(tmp_path, old_gensim):
    path = write(tmp_path / "model.pkl", old_gensim)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read as a pickle"):
        convert_model(path, tmp_path / "out.parquet")
