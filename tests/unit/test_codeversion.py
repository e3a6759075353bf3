"""Versions of the code: an edit that can change numbers changes what imports it, and nothing else."""

from __future__ import annotations

import re
import shutil
import textwrap
from pathlib import Path

import pytest
from cases import cases

import disentangledssl
from disentangledssl.codeversion import WITHOUT_EFFECT, code_version
from disentangledssl.plan import CODE

SOURCE = Path(disentangledssl.__file__).parent
PER_METHOD = ("train", "probe", "retrieval", "reconstruction", "contents", "representations", "hits", "maps")
METHODS = ("clip", "step1", "step2", "jointopt", "focal", "dmvae", "factorcl")
# What the rules ask for: a step and, where a stage is trained or measured, its method.
STEPS = {
    **{step: CODE[step] for step in CODE if step not in PER_METHOD},
    **{f"{step} {method}": [*CODE[step], f"methods.{method}"] for step in PER_METHOD for method in METHODS},
}
TRAINING = {step for step in STEPS if step.startswith("train ")}
# What is trained is timed and counted before, and decoders are trained too.
TIMED = TRAINING | {"cost", "operations"} | {step for step in STEPS if step.startswith("reconstruction ")}
SCATTERS = {"figure4b", "figure7", "figure8", "figure9", "recovery", "information_plane"}


class Package:
    """Copies of the package, each in a folder of its own, since files are read once a process."""

    def __init__(self, folder: Path):
        self.folder, self.copies = folder, 0
        self.source = folder / "source"
        shutil.copytree(SOURCE, self.source, ignore=shutil.ignore_patterns("__pycache__"))
        self.before = self.versions()

    def versions(self, module: str | None = None, edit=lambda text: text) -> dict[str, str]:
        """Version of every step, in a new copy with one module edited."""
        self.copies += 1
        root = self.folder / f"copy{self.copies}"
        shutil.copytree(self.source, root)
        if module:
            path = root / f"{module}.py"
            path.write_text(edit(path.read_text()))
        return {step: code_version(*modules, root=root) for step, modules in STEPS.items()}

    def changed(self, module: str, edit) -> set[str]:
        """Steps whose version an edit changes."""
        after = self.versions(module, edit)
        return {step for step in STEPS if after[step] != self.before[step]}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return Package(tmp_path_factory.mktemp("package"))


def swap(old: str, new: str):
    """An edit that replaces one text, which must be there."""

    def edit(text: str) -> str:
        assert old in text, f"{old!r} is not there"
        return text.replace(old, new, 1)

    return edit


def add(line: str):
    """An edit that adds a line at the end."""
    return lambda text: f"{text}\n\n{line}\n"


def imported(text: str, modules: set[str]) -> set[str]:
    """Modules of the package that a source imports anywhere in it."""
    found = set(re.findall(r"^\s*import disentangledssl\.([\w.]+)", text, re.M))
    for package, names in re.findall(r"^\s*from disentangledssl\.?([\w.]*) import (\([^)]*\)|.*)$", text, re.M):
        found.add(package)
        found |= {f"{package}.{name}".lstrip(".") for name in re.findall(r"\w+", names)}
    return found & modules


def importers(source: Path, module: str) -> set[str]:
    """Steps that import a module, directly or not."""
    texts = {}
    for path in source.rglob("*.py"):
        name = ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        texts[name] = path.read_text()
    steps = set()
    for step, modules in STEPS.items():
        seen, waiting = set(), list(modules)
        while waiting:
            one = waiting.pop()
            if one not in seen and one not in WITHOUT_EFFECT:
                seen.add(one)
                waiting += imported(texts[one], set(texts))
        if module in seen:
            steps.add(step)
    return steps


# What changes nothing


@pytest.mark.parametrize(
    "module", ["objectives", "training", "sources/simulation", "methods/step1", "tables/probes", "vmf"]
)
def test_comments_docstrings_and_layout_change_nothing(package, module):
    def edit(text: str) -> str:
        text = "# A remark.\n" + text.replace('"""', '"""In other words: ', 1).replace("\n\n", "\n\n\n\n")
        return text.replace(") -> ", ")  ->  ") + "\n# The end.\n"

    assert package.changed(module, edit) == set()


def test_a_docstring_of_a_class_and_of_a_function_change_nothing(package):
    assert package.changed("encoders", lambda text: re.sub(r' """(?=\w)', ' """Well: ', text)) == set()


@pytest.mark.parametrize(
    "module", ["errors", "progress", "timings", "files", "config", "plan", "runs", "codeversion", "settings"]
)
def test_what_only_a_person_reads_changes_nothing(package, module):
    assert package.changed(module, add("MORE = True")) == set()


def test_copying_the_package_changes_nothing(package):
    assert package.versions() == package.before


def test_versions_are_of_this_package_unless_told():
    assert code_version("vmf") == code_version("vmf", root=SOURCE)


def test_order_of_the_modules_does_not_matter():
    assert code_version("vmf", "objectives") == code_version("objectives", "vmf")


def test_a_new_setting_of_one_stage_changes_nothing(package):
    """Values are parameters of the rules; a new field, or a reworded description, must not cost a training."""
    for edit in (
        swap("passes over the training pairs", "passes over all pairs"),
        swap("    normaliser: bool", "    more: bool = True\n    normaliser: bool"),
    ):
        assert package.changed("settings", edit) == set()


# What changes something


def test_objective_changes_training_and_what_is_measured_and_no_data(package):
    changed = package.changed("objectives", swap("def info_nce(", "def info_nce_renamed("))
    assert changed >= TRAINING
    assert not changed & {"simulate", "curate", "mol2vec", "split", "selection", "probe_table", "figure4a"}


def steps_of(*methods: str) -> set[str]:
    """Steps in which methods are trained or measured, and timed."""
    measured = {f"{step} {method}" for step in PER_METHOD for method in methods}
    return measured | {"cost", "operations"}


def test_formula_changes_its_method_only(package):
    for method in ("clip", "jointopt", "focal", "dmvae", "factorcl"):
        assert package.changed(f"methods/{method}", add("MORE = True")) == steps_of(method)
    # JointOpt's terms of the specific codes are those of step 2.
    changed = package.changed("methods/step2", swap("return relevance, overlap / 2", "return relevance, overlap / 3"))
    assert changed == steps_of("step2", "jointopt")


def test_step1_is_part_of_clip_too(package):
    changed = package.changed("methods/step1", add("MORE = True"))
    assert {"train step1", "train clip"} <= changed and "train step2" not in changed


def test_number_in_a_formula_is_seen(package):
    assert package.changed("training", swap("math.pi * epoch", "math.pi * (epoch + 1)")) == TIMED


@pytest.mark.parametrize(
    ("module", "steps"),
    [
        ("sources/simulation", {"simulate"}),
        ("sources/screens", {"curate"}),
        ("sources/curation", {"curate", "curate_lincs", "curate_rxrx19a", "list_plates"}),
        ("sources/rxrx19a", {"curate_rxrx19a", "list_plates"}),
        ("sources/feature_tables", {"curate_rxrx19a", "list_plates"}),
        ("sources/cellprofiler", {"measure_plate"}),
        ("sources/segmentation", {"measure_plate"}),
        ("sources/lincs", {"curate_lincs"}),
        ("sources/gctx", {"curate_lincs"}),
        ("selection", {"selection"}),
        ("figures/figure4a", {"figure4a"}),
        ("figures/figure8", {"figure8"}),
        ("figures/information_plane", {"information_plane"}),
        ("figures/recovery", {"recovery"}),
        ("figures/scatter", SCATTERS),
        ("figures/style", SCATTERS | {"figure4a", "beta_choice", "retrieval_curves", "embedding_maps", "top_hits"}),
        (
            "tables/layout",
            {
                *("probe_table", "retrieval_table", "transfer_table", "reconstruction_table", "contents_table"),
                *("multibench_tables", "consistency", "comparison", "layout", "claims"),
            },
        ),
        ("tables/retrieval", {"retrieval_table"}),
        ("tables/scores", {"retrieval_table", "transfer_table", "comparison", "layout", "claims"}),
        ("tables/transfer", {"transfer_table"}),
        ("transfer", {"join_screens"}),
        ("screen_splits", {"split_screen"}),
        ("paper/published", {"consistency", "comparison", "layout", "claims"}),
        ("paper/consistency", {"consistency", "comparison", "layout"}),
        ("paper/measured", {"comparison", "layout", "claims"}),
        ("paper/comparison", {"comparison", "layout"}),
        ("paper/layout", {"layout"}),
        ("paper/simulation_claims", {"claims"}),
        ("paper/data", set()),
        ("readings", {"readings"}),
        ("cost", {"cost"}),
        ("calibration", {"cost"}),
        ("operations", {"cost", "operations"}),
        ("training", TIMED),
        ("batches", TIMED),
    ],
)
def test_module_of_one_step_changes_that_step(package, module, steps):
    assert package.changed(module, add("MORE = True")) == steps


MODULES = sorted(
    str(path.relative_to(SOURCE).with_suffix(""))
    for path in SOURCE.rglob("*.py")
    if path.name != "__init__.py" and path.stem not in WITHOUT_EFFECT
)


@pytest.mark.parametrize("module", cases(MODULES, slow={*MODULES} - {*MODULES[::10]}))
def test_every_module_changes_the_steps_that_import_it_and_only_those(package, module):
    assert package.changed(module, add("MORE = True")) == importers(package.source, module.replace("/", "."))


# How imports are read


@pytest.fixture
def write(tmp_path):
    """Write a package of a few modules; gives its root."""
    count = iter(range(100))

    def write(**modules: str) -> Path:
        root = tmp_path / f"package{next(count)}"
        for name, text in modules.items():
            path = root / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return root

    return write


@pytest.mark.parametrize(
    "statement",
    [
        "from disentangledssl.b import f",
        "from disentangledssl import b",
        "from disentangledssl import (a,\n    b)",
        "import disentangledssl.b",
        "import disentangledssl.b as other",
        "def g():\n    from disentangledssl.b import f\n    return f",
        "if True:\n    from disentangledssl import b",
    ],
)
def test_every_form_of_import_is_followed(write, statement):
    old, new = (code_version("a", root=write(a=statement, b=f"f = {value}")) for value in (1, 2))
    assert old != new


def test_imports_are_followed_through_others_and_in_circles(write):
    modules = {"a": "from disentangledssl import b", "b": "from disentangledssl import c, a"}
    old, new = (code_version("a", root=write(**modules, c=f"f = {value}")) for value in (1, 2))
    assert old != new


def test_a_package_and_a_module_in_it_are_both_followed(write):
    (write(a="", d="") / "e").mkdir()
    versions = []
    for init, inner in (("1", "1"), ("2", "1"), ("1", "2")):
        root = write(a="from disentangledssl.methods import clip", d="")
        (root / "methods").mkdir()
        (root / "methods" / "__init__.py").write_text(f"f = {init}")
        (root / "methods" / "clip.py").write_text(f"f = {inner}")
        versions.append(code_version("a", root=root))
    assert len(set(versions)) == 3


def test_a_module_without_effect_hides_what_it_imports(write):
    text = "from disentangledssl.errors import first_few"
    old, new = (
        code_version("a", root=write(a=text, errors="from disentangledssl import b", b=f"f = {v}")) for v in (1, 2)
    )
    assert old == new
