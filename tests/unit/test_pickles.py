"""Pickles from elsewhere: data come through every protocol, and nothing else does."""

from __future__ import annotations

import collections
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from disentangledssl.errors import InputError
from disentangledssl.sources.pickles import read_pickle

DATA = {
    "arrays": [np.arange(6.0).reshape(2, 3), np.array(["a", "bc"]), np.array([1, "x", None], object)],
    "scalars": [np.float32(2.5), np.int64(-1), np.str_("well"), np.bool_(True), 1, 1.5, 2j, True, None, "t", b"b", b""],
    "containers": [(1, 2), {3}, frozenset([4]), bytearray(b"5"), [[]], {}],
}


def read(content: bytes):
    return read_pickle(io.BytesIO(content), "some.pkl")


def refuse(content: bytes) -> str:
    with pytest.raises(InputError) as error:
        read(content)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_containers_and_scalars_are_read(protocol):
    found = read(pickle.dumps(DATA, protocol))
    for one, other in zip(found["arrays"], DATA["arrays"], strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert found["scalars"] == DATA["scalars"] and found["containers"] == DATA["containers"]
    assert list(map(type, found["scalars"])) == list(map(type, DATA["scalars"]))


@pytest.mark.parametrize("core", ["core", "_core"])
def test_of_any_version_of_numpy(core):
    content = pickle.dumps(DATA, 2)
    old, new = b"numpy.core.multiarray", b"numpy._core.multiarray"
    assert old in content or new in content
    content = content.replace(new, old)
    found = read(content if core == "core" else content.replace(old, new))
    np.testing.assert_array_equal(found["arrays"][0], DATA["arrays"][0])


class Hostile:
    """Unpickled by pickle itself, this would make a file."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (Hostile(os.mkdir, "made"), "posix.mkdir"),
        (Hostile(eval, "1 + 1"), "builtins.eval"),
        (Hostile(getattr, "x", "upper"), "builtins.getattr"),
        (collections.OrderedDict(a=1), "collections.OrderedDict"),
        (Hostile(pd.read_pickle, "other.pkl"), "pandas."),
        (Path("x"), "pathlib"),
        (np.random.default_rng, "numpy.random"),
    ],
    ids=["function", "eval", "getattr", "subclass", "pandas", "path", "numpy's own"],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_everything_else_is_refused_by_name(tmp_path, monkeypatch, content, name, protocol):
    monkeypatch.chdir(tmp_path)
    name = name.replace("builtins", "__builtin__") if protocol < 3 else name
    # Behind data, and inside them, as a hostile file would have it.
    said = refuse(pickle.dumps([DATA, {"deep": [content]}], protocol))
    assert said.startswith(f"some.pkl: is a pickle that asks for {name}") and ", which may run code; " in said
    assert not (tmp_path / "made").exists()


def test_text_is_encoded_as_old_protocols_do_and_not_otherwise():
    assert "asks for _codecs.encode to rot13" in refuse(b"c_codecs\nencode\n(Vuryyb\nVrot13\ntR.")


@pytest.mark.parametrize("content", [b"", b"<html></html>", pickle.dumps(DATA)[:-40], pickle.dumps(DATA)[5:]])
def test_what_is_no_pickle(content):
    assert refuse(content).startswith("some.pkl: cannot be read as a pickle (")
