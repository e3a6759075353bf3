"""Who may import whom, checked from the import statements and at run time."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "src" / "disentangledssl"
SCRIPTS = REPOSITORY / "workflow" / "scripts"
LINES_OF_A_SCRIPT = 25
# Imported whenever the Snakefile is parsed, on a cluster once a job.
LIGHT = ["errors", "runs", "mistakes", "config", "plan", "settings", "codeversion", "summary", "failed_jobs",
         "sources.catalogue", "sources.left_out", "paper.data"]  # fmt: skip
HEAVY = ["torch", "pandas", "numpy", "pyarrow", "scipy", "sklearn", "matplotlib", "rdkit", "gensim", "h5py"]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Names that a file imports: ``torch``, and of this package ``.errors`` or ``.methods.step1``."""
    found = set()
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            parts = (node.module or "").split(".")
            if parts[0] == "disentangledssl":
                inner = ".".join(parts[1:])
                for alias in node.names:
                    both = f"{inner}.{alias.name}".lstrip(".")
                    found.add(f".{both if both in MODULES else inner}")
            else:
                found.add(node.module)
    roots = {name if name.startswith(".") else name.split(".")[0] for name in found}
    return {name for name in roots if name.lstrip(".") not in sys.stdlib_module_names or name.startswith(".")}


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == f".{package}" or name.startswith(f".{package}.") for package in packages)


ONLY = {
    # Pure functions: PyTorch, and the random streams that their generators come from.
    "errors": set(),
    "atomic": {".timings"},
    "runs": {".atomic"},
    "codeversion": set(),
    "timings": set(),
    "summary": {".report.table"},  # which verdicts count
    "failed_jobs": set(),
    "gpus": set(),
    "settings": {"pydantic"},
    "mistakes": {"pydantic", "yaml"},
    "config": {".mistakes", ".runs", ".settings", "pydantic", "yaml"},
    "sources.catalogue": {".mistakes", ".settings", "pydantic", "yaml"},
    "paper.data": {".config"},
    "plan": {".codeversion", ".config", ".errors", ".runs", ".settings", "yaml"},
    "streams": {"torch"},
    "objectives": {"torch"},
    "encoders": {"torch", ".streams"},
    "critics": {"torch", ".encoders", ".objectives"},
    "sequence_layers": {"torch", ".encoders", ".streams"},
    "sequence_encoders": {"torch", ".sequence_layers", ".streams"},
    "vmf": {"torch", "numpy", "scipy", ".streams"},
    "methods": {"torch", ".encoders", ".sequence_encoders", ".settings", ".streams"},
    **{
        name: {"torch", ".methods", ".critics", ".encoders", ".objectives", ".settings", ".streams", ".vmf"}
        for name in MODULES
        if name.startswith("methods.")
    },
}
NEVER = {
    ("evaluation", "tables", "figures"): ("training", "methods", "decoders", "paper"),
    # From tables to what stands beside the paper, and from the comparison to the claims and the layout.
    ("paper",): ("training", "methods", "evaluation", "decoders", "figures", "measurements"),
    ("paper.published", "paper.measured", "paper.consistency"): ("paper.comparison", "paper.claims", "paper.layout"),
    ("paper.comparison",): ("paper.claims", "paper.layout", "paper.verdicts"),
    ("measurements",): ("training",),
    ("contents", "hits", "maps", "targets"): ("training", "methods", "tables", "figures"),
    # The page shows files; what made them it does not know.
    ("report",): ("training", "methods", "decoders", "evaluation", "tables", "figures", "plan", "config"),
    ("sources", "features", "splits", "screen_splits", "structures", "dataset"): (
        "training",
        "methods",
        "evaluation",
        "tables",
        "figures",
    ),
    ("training", "methods", "representations", "batches", "decoders"): (
        "evaluation",
        "tables",
        "figures",
        "selection",
        "measurements",
    ),
    # Decoders are trained by the one loop, which knows nothing of them.
    ("training", "methods", "representations", "batches"): ("decoders",),
}


@pytest.mark.parametrize("module", sorted(ONLY))
def test_module_imports_only_what_it_may(module):
    # Errors are everybody's.
    found = imports(MODULES[module]) - {".errors"}
    # Another method may be built upon.
    found = {name for name in found if not (module.startswith("methods.") and name.startswith(".methods."))}
    assert found <= ONLY[module], f"{module} imports {sorted(found - ONLY[module])}"


@pytest.mark.parametrize(("modules", "forbidden"), NEVER.items(), ids=lambda names: " ".join(names))
def test_no_arrow_goes_back(modules, forbidden):
    for name, path in MODULES.items():
        if within(f".{name}", modules):
            wrong = {other for other in imports(path) if within(other, forbidden)}
            assert not wrong, f"{name} imports {sorted(wrong)}"


def test_nothing_in_the_package_imports_snakemake_or_a_script():
    scripts = {path.stem for path in SCRIPTS.glob("*.py")} - set(MODULES)
    for path in MODULES.values():
        assert not imports(path) & (scripts | {"snakemake", "workflow"}), path


def test_nothing_is_imported_in_a_circle():
    """At the top of a module; a function may import what its module must not load."""
    state: dict[str, str] = {}

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert state.get(name) != "open", f"circle: {' -> '.join([*way, name])}"
        if name in state:
            return
        state[name] = "open"
        for other in sorted(imports(MODULES[name], top_level_only=True)):
            if other.startswith(".") and other != ".":
                visit(other[1:], (*way, name))
        state[name] = "done"

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("module", LIGHT)
def test_what_the_snakefile_imports_is_light(module):
    program = f"import sys, disentangledssl.{module}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert not loaded & set(HEAVY), f"{module} loads {sorted(loaded & set(HEAVY))}"


def test_the_snakefile_imports_nothing_else_of_the_package():
    texts = "".join(
        path.read_text() for path in [*(SCRIPTS.parent / "rules").glob("*.smk"), SCRIPTS.parent / "Snakefile"]
    )
    asked = {
        line.split()[1].removeprefix("disentangledssl.")
        for line in texts.splitlines()
        if "from disentangledssl" in line
    }
    # What a run notes of itself is written, and these are imported, only when it starts and when it has ended.
    assert asked and asked <= {*LIGHT, "files", "manifest", "report.times", "sources.download", "verify"}


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_scripts_are_thin(script):
    text = script.read_text()
    assert len(text.splitlines()) <= LINES_OF_A_SCRIPT
    names = imports(script)
    assert {name for name in names if not name.startswith(".")} == {"_job"}
    assert len({name for name in names if name.startswith(".")}) <= 2
    assert "def " not in text and "class " not in text, "what could be tested belongs in the package"
