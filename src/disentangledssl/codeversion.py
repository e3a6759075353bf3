"""A version of the code that a step runs, so that an edit which can change numbers re-runs it.

Snakemake sees a changed script by its time stamp and a changed package not at all. Rules therefore carry this
version as a parameter: a hash of the syntax trees of the modules that the step imports from this package, directly
or through others. Docstrings, comments and descriptions of settings are left out. Standard library only.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = "disentangledssl"
# These decide what a person reads, how bytes reach the disk and which settings are refused, never a number: the
# values of settings are parameters of the rules themselves.
WITHOUT_EFFECT = frozenset({"errors", "files", "progress", "settings", "timings"})


def code_version(*modules: str, root: Path | None = None) -> str:
    """Return the version of the given modules (dotted, without the package's name) and all they import.

    >>> code_version("vmf") == code_version("vmf"), code_version("vmf") == code_version("batches")
    (True, False)
    """
    root = root or Path(__file__).parent
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in seen or module in WITHOUT_EFFECT:
            continue
        digest, imported = _read(root, module)
        seen[module] = digest
        waiting += imported
    return hashlib.blake2b(repr(sorted(seen.items())).encode(), digest_size=8).hexdigest()


@functools.cache
def _read(root: Path, module: str) -> tuple[str, tuple[str, ...]]:
    path = _path(root, module)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            inner = node.module.partition(".")[2]
            for name in node.names:
                candidate = f"{inner}.{name.name}" if inner else name.name
                # "from package.methods import step1" names a module, "... import spread" a function.
                imported.append(candidate if _path(root, candidate).exists() else inner)
                if inner:
                    imported.append(inner)
        elif isinstance(node, ast.Import):
            imported += [n.name.partition(".")[2] for n in node.names if n.name.split(".")[0] == PACKAGE]
        _drop_docstring(node)
        if isinstance(node, ast.Call):
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
    return hashlib.blake2b(ast.dump(tree).encode()).hexdigest(), tuple(name for name in dict.fromkeys(imported) if name)


def _path(root: Path, module: str) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:] or [ast.Pass()]
