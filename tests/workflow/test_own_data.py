"""A folder of the user's own through Snakemake: the example of docs/data.md as it stands there, and mistakes."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from cases import cases
from test_bad_input import assert_nothing_made, assert_says

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "docs/data.md").read_text().split("\n# Your own data\n")[1].split("\n# The bundled data\n")[0]
FILES = {"python": "example.py", "yaml": "my.yaml"}
DATA = "results/my/{}/data/splits.parquet"
TARGETS = [DATA.format(name) for name in ("my_screen", "my_cells")]
TINY = "config/tiny.yaml"


def block(language: str) -> str:
    """The one block of this language in the guide."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.M | re.S)
    return found


@pytest.fixture
def mine(fresh_copy):
    """A checkout in which somebody did what the guide says, up to the call of Snakemake."""
    for language, name in FILES.items():
        (fresh_copy / name).write_text(block(language))
    subprocess.run([sys.executable, "example.py"], cwd=fresh_copy.folder, check=True)
    fresh_copy.configs = [TINY, "my.yaml"]
    return fresh_copy


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_guide_tells_what_is_tested():
    commands = re.findall(r"^    (.+)$", GUIDE.split("```")[-1], re.M)
    assert commands == ["python example.py", f"snakemake --cores 2 --configfile {TINY} my.yaml"]


@pytest.mark.slow
def test_the_example_of_the_guide(mine):
    """Everything that the config asks for: tables and figures of a screen, and Tables 1 and 4."""
    mine.run().ok()
    results = mine / "results/my"
    retrieval = rows_of(results / "my_screen/retrieval.csv")
    assert {(row["dataset"], row["title"], row["stand_in"]) for row in retrieval} == {
        ("my_screen", "My screen", "False")
    }
    assert {"clip", "disentangledssl", "ridge", "ridge_fingerprints", "random"} <= {row["method"] for row in retrieval}
    probes = rows_of(results / "my_cells/probes.csv")
    assert {(row["dataset"], row["stand_in"], row["label"]) for row in probes} == {("my_cells", "False", "state")}
    assert {row["dataset"] for row in rows_of(results / "table1.csv")} == {"my_cells"}
    # What linear methods find is in these data; nothing is asked of two epochs.
    found = [float(row["value"]) for row in probes if (row["representation"], row["metric"]) == ("x", "accuracy")]
    assert len(found) == 1 and found[0] > 0.8
    # No description, so nothing to probe for: a table without rows.
    assert rows_of(results / "my_screen/contents.csv") == []
    assert mine.plan() == {}


@pytest.mark.slow
def test_folders_become_data_sets_and_follow_their_files(mine):
    counts = mine.run(*TARGETS).counts
    assert counts == {"check_own": 2, "split_dataset": 2}
    files = mine.files("results/my", without=["logs", "benchmarks"])
    assert {name for name in files if name.endswith(".parquet")} == {
        f"{name}/data/{file}.parquet" for name in ("my_screen", "my_cells") for file in ("pairs", "splits")
    }
    assert mine.plan(*TARGETS) == {}
    views = [f"results/my/my_cells/data/view{m}.parquet" for m in (1, 2)]
    mine.run(*views).ok()
    assert (mine / views[0]).read_bytes() == (mine / "my_cells/view1.parquet").read_bytes()
    changed = pd.read_parquet(mine / "my_cells/view1.parquet")
    changed["gene_0"] += 1
    changed.to_parquet(mine / "my_cells/view1.parquet")
    assert mine.plan(*views, *TARGETS) == {"check_own": 1, "copy_own": 2, "split_dataset": 1}


@pytest.mark.slow
def test_splits_and_features_that_are_given_are_taken(mine, overlay):
    split = "pairs = pd.read_parquet('{0}/pairs.parquet')[['id']].assign(fold_0='train')\n"
    split += "pairs.loc[:9, 'fold_0'], pairs.loc[10:29, 'fold_0'] = 'test', 'validation'\n"
    split += "pairs.to_parquet('{0}/splits.parquet')\n"
    features = "view(molecules, rng.normal(size=(60, 8)), 'own').to_parquet('my_screen/view2.parquet')\n"
    script = block("python") + split.format("my_screen") + split.format("my_cells") + features
    subprocess.run([sys.executable, "-c", script], cwd=mine.folder, check=True)
    refused = mine.run(TARGETS[0])
    assert_says(refused, "my_screen/splits.parquet: is there, but split.kind is group_folds; set data.my_screen.split")
    given = overlay("data: {my_screen: {split: {kind: given, folds: 1}}, my_cells: {split: {kind: given}}}")
    view2 = "results/my/my_screen/data/view2.parquet"
    counts = mine.run(*TARGETS, view2, overlays=[given]).counts
    assert counts == {"check_own": 2, "copy_own": 3}
    for name in ("my_screen/{}view2.parquet", "my_screen/{}splits.parquet", "my_cells/{}splits.parquet"):
        assert (mine / f"results/my/{name.format('data/')}").read_bytes() == (mine / name.format("")).read_bytes()
    target = "results/my/my_screen/hits/clip/seed=0/W000.csv"
    library = overlay("hits: {library: my_screen/molecules.csv}", "library.yaml")
    said = assert_says(mine.run(target, overlays=[given, library]), "hits.library: its molecules have no features")
    assert "my_screen/view2.parquet" in said


MISSING = {
    "no folder": ("data: {my_cells: {make: {path: mycells}}}", "mycells: no such folder; correct my_cells: make.path"),
    "a file": (
        "data: {my_cells: {make: {path: my_cells/view1.parquet}}}",
        "my_cells/view1.parquet: is a file, not a folder; correct my_cells: make.path",
    ),
    "no view 2": ("data: {my_cells: {make: {path: my_screen}}}", "my_screen/view2.parquet: no such file; write it"),
    "no molecules": (
        "data: {my_screen: {make: {path: my_cells}}}",
        "my_cells/molecules.parquet: no such file; write it (docs/data.md), or correct my_screen: make.path",
    ),
}


@pytest.mark.parametrize(("text", "sentence"), cases(MISSING, slow=[*MISSING][1:]))
def test_what_is_not_there_is_said_before_any_job(mine, overlay, text, sentence):
    assert_says(mine.run(*TARGETS, overlays=[overlay(text)], options=["--dry-run"]), sentence)


def test_what_is_wrong_in_a_file_is_said_before_any_training(mine):
    damage = "rows = pd.read_parquet('{0}'); rows.loc[{1}] = {2}; rows.to_parquet('{0}')\n"
    script = "import pandas as pd\n" + damage.format("my_screen/molecules.parquet", "7, 'smiles'", "'C1CC'")
    script += damage.format("my_cells/pairs.parquet", "4, 'view2'", "'cell999'")
    subprocess.run([sys.executable, "-c", script], cwd=mine.folder, check=True)
    result = mine.run(*TARGETS, options=["--keep-going"])
    assert_says(result, 'my_screen/molecules.parquet: column smiles, row 7: "C1CC" cannot be parsed; correct it.')
    assert_says(result, 'my_cells/pairs.parquet: column view2, row 4: "cell999" has no row in view2.parquet; add that')
    assert_nothing_made(mine)
