"""A version of the code that a step runs, so that an edit which can change numbers re-runs it.

Snakemake sees a changed script by its time stamp and a changed package not at all. Rules therefore carry this
version as a parameter: a hash of the syntax trees of the modules that the step imports from this package, directly
or through others. Docstrings, comments and descriptions of settings are left out. Standard library only.
"""

from __future__ import annotations

import ast
import functools
import gc
import hashlib
from pathlib import Path

PACKAGE = "disentangledssl"
# These decide what a person reads, how bytes reach the disk and which settings are refused, never a number: the
# values of settings are parameters of the rules themselves.
WITHOUT_EFFECT = frozenset({"atomic", "errors", "files", "progress", "settings", "timings"})

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


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
    """Return the digest of a module and the modules of the package that it imports."""
    digest, imports = _digest(_path(root, module).read_text(encoding="utf-8"))
    imported = []
    for inner, names in imports:
        for name in names:
            candidate = f"{inner}.{name}" if inner else name
            # "from package.methods import step1" names a module, "... import spread" a function.
            imported.append(candidate if _path(root, candidate).exists() else inner)
        imported.append(inner)
    return digest, tuple(name for name in dict.fromkeys(imported) if name)


@functools.cache
def _digest(source: str) -> tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]:
    """Return the digest of a source and what it imports of the package: modules, each with the names taken from it."""
    parts: list[str] = []
    imports: list[tuple[str, tuple[str, ...]]] = []
    # Nodes hold each other and are many: the collector would look at all of them again and again, and find nothing.
    collected = gc.isenabled()
    gc.disable()
    try:
        _write(ast.parse(source), parts, imports)
    finally:
        if collected:
            gc.enable()
    return hashlib.blake2b("\0".join(parts).encode()).hexdigest(), tuple(imports)


def _write(node: ast.AST, parts: list[str], imports: list[tuple[str, tuple[str, ...]]]) -> None:
    """Append a syntax tree in words, without places in the file, docstrings and descriptions; and its imports."""
    if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
        imports.append((node.module.partition(".")[2], tuple(name.name for name in node.names)))
    elif isinstance(node, ast.Import):
        imports.extend((n.name.partition(".")[2], ()) for n in node.names if n.name.split(".")[0] == PACKAGE)
    parts.append(type(node).__name__)
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(value, ast.AST):
            _write(value, parts, imports)
        elif isinstance(value, list):
            parts.append("[")
            for item in _counted(node, field, value):
                if isinstance(item, ast.AST):
                    _write(item, parts, imports)
                else:
                    parts.append(repr(item))
            parts.append("]")
        else:
            parts.append(repr(value))


def _counted(node: ast.AST, field: str, items: list) -> list:
    """Return the items of a field without those that are there for a reader."""
    if field == "body" and isinstance(node, DOCUMENTED) and items:
        first = items[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            return items[1:] or [ast.Pass()]
    if field == "keywords" and isinstance(node, ast.Call):
        return [keyword for keyword in items if keyword.arg != "description"]
    return items


def _path(root: Path, module: str) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
