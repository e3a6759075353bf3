"""Pickles from elsewhere: arrays, containers and scalars are read, and nothing in the file is ever run.

A pickle is a program that may name any function on this machine. This one may name only what rebuilds numpy arrays
and the containers and scalars of Python itself.
"""

from __future__ import annotations

import os
import pickle
from typing import Any, BinaryIO

import numpy as np

from disentangledssl.errors import InputError


class _Refused(Exception):
    """A pickle names what it may not."""


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise _Refused(f"_codecs.encode to {encoding}")
    return text.encode("latin1")


# Found by what numpy itself would write, as their modules have other names in each version of numpy.
_RECONSTRUCT, _SCALAR = np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]
_ADMITTED = {
    **{
        (f"numpy.{core}.multiarray", name): function
        for core in ("core", "_core")
        for name, function in (("_reconstruct", _RECONSTRUCT), ("scalar", _SCALAR))
    },
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    # The other containers and scalars have codes of their own and need no name.
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")
        for kind in (bytearray, bytes, complex, frozenset, set)
    },
    # How protocols before 3 spell bytes, and so the content of an array.
    ("_codecs", "encode"): _latin1,
}


class Record(dict):
    """What stands in for an object of any other type: its attributes in ``state``, and no code of its type."""

    def __new__(cls, *arguments: Any) -> Record:
        """Take whatever the type's own constructor would be given."""
        return super().__new__(cls)

    def __init__(self, *arguments: Any):
        super().__init__()
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        """Keep the attributes."""
        self.state = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None


class _RecordingUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _ADMITTED.get((module, name), Record)


def read_pickle(file: BinaryIO, path: str | os.PathLike[str], place: str = "", *, records: bool = False) -> Any:
    """Read one pickle.

    Parameters
    ----------
    file : binary stream
    path, place : path and text
        What it is called in messages: a file, and a member of it.
    records : bool
        Whether objects of other types are read as a :class:`Record` of their attributes; else they are refused.
        Nothing of theirs is run either way.

    Raises
    ------
    InputError
        If it names anything but arrays, containers and scalars, which is then not loaded (without ``records``), or is
        no whole pickle.
    """
    try:
        return (_RecordingUnpickler if records else _Unpickler)(file).load()
    except _Refused as name:
        mend = "take it from whom you trust, in a form that holds only arrays, lists, dicts, text and numbers"
        raise InputError(path, place, f"is a pickle that asks for {name}, which may run code", mend) from None
    except Exception as error:
        # A damaged pickle can fail in as many ways as there are types.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            path, place, f"cannot be read as a pickle ({reason})", "delete it and run again, which fetches it anew"
        ) from None
