"""Docstrings name the errors of public functions, of which a signature says nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import disentangledssl

PACKAGE = Path(disentangledssl.__file__).parent
SECTION = re.compile(r"^Raises\n------$", re.MULTILINE)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def raises(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether there is a ``raise`` in a function's own body, not in what is defined within it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise):
            return True
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)
    return False


def silent(owner: ast.Module | ast.ClassDef, where: str = "") -> Iterator[str]:
    """Give public functions and methods that raise without a section about it; that of ``__init__`` is its class's."""
    for node in owner.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from silent(node, f"{where}{node.name}.")
        elif isinstance(node, FUNCTIONS) and (node.name == "__init__" or not node.name.startswith("_")):
            described = owner if node.name == "__init__" else node
            if raises(node) and not SECTION.search(ast.get_docstring(described) or ""):
                yield where + node.name


def test_public_functions_say_what_they_raise():
    modules = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
    found = [name for module, path in modules.items() for name in silent(ast.parse(path.read_text()), f"{module}: ")]
    assert not found, f'a section "Raises" is missing in the docstrings of {", ".join(found)}'


MADE_UP = '''
def caught():
    """No section."""
    try:
        pass
    except OSError:
        raise ValueError from None

def told():
    """One.

    Raises
    ------
    ValueError
        Always.
    """
    raise ValueError

def passes_on():
    def _inner():
        raise ValueError
    _inner()

def _private():
    raise ValueError

class Told:
    """One.

    Raises
    ------
    ValueError
        Always.
    """
    def __init__(self):
        raise ValueError
    def method(self):
        raise ValueError

class Untold:
    def __init__(self):
        raise ValueError
'''


def test_it_would_be_seen():
    assert list(silent(ast.parse(MADE_UP))) == ["caught", "Told.method", "Untold.__init__"]
