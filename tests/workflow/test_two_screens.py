"""Two screens, of which one's models rank the other's molecules, and a split that leaves cell lines out."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from disentangledssl.dataset import read_dataset
from disentangledssl.representations import Models
from disentangledssl.structures import skeleton

pytestmark = pytest.mark.slow
SOURCE, CELLS = (f"results/tiny/{name}" for name in ("lincs_consensus", "lincs_cells"))
LINES = ["A375", "MCF7"]
PAPERS_WAY = {"direction": "phenotype_to_molecule", "replicates": "single"}
# Trained enough for stages to rank differently.
OVERLAY = f"""
datasets: [lincs_consensus, lincs_cells]
training: {{learning_rate: 0.01, epochs: 5}}
data:
  lincs_cells:
    make: {{molecules: 30}}
    split: {{kind: leave_one_out, by: cell_line, values: {LINES}, train_fraction: 0.5, use_folds: null}}
    decoders: {{batch_size: 8}}
"""


@pytest.fixture(scope="module")
def screens(fresh, tmp_path_factory):
    folder = tmp_path_factory.mktemp("screens")
    (folder / "two.yaml").write_text(OVERLAY)
    checkout = fresh.copy(folder / "copy").under(*fresh.configs, str(folder / "two.yaml"))
    checkout.run(
        *(f"{CELLS}/{name}" for name in ("transfer.csv", "contents.csv", "retrieval.csv", "embedding_maps.png"))
    ).ok()
    yield checkout
    shutil.rmtree(checkout.folder)


def table(path):
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def pairs_and_folds(checkout, screen):
    """Columns of the pairs, and for each fold the split of every pair."""
    pairs, splits = (pq.read_table(checkout / f"{screen}/data/{name}.parquet") for name in ("pairs", "splits"))
    assert pairs["id"].equals(splits["id"])
    columns = {name: pairs[name].to_numpy() for name in pairs.column_names}
    return columns, [splits[name].to_numpy() for name in splits.column_names if name.startswith("fold_")]


def test_each_fold_tests_new_molecules_in_a_line_that_it_was_not_trained_on(screens):
    pairs, folds = pairs_and_folds(screens, CELLS)
    lines, groups = pairs["meta_cell_line"], pairs["group"]
    assert len(folds) == len(LINES)
    for line, split in zip(LINES, folds, strict=True):
        trained, tested = np.isin(split, ["train", "validation"]), split == "test"
        assert set(lines[tested]) == {line} and line not in set(lines[trained])
        assert not set(groups[tested]) & set(groups[trained])
        with_line = len(set(groups[lines == line]))
        assert len(set(groups[tested])) == with_line - with_line // 2


def test_retrieval_is_told_by_the_lines_that_were_left_out(screens):
    pairs, folds = pairs_and_folds(screens, CELLS)
    tested = {line: set(pairs["group"][split == "test"]) for line, split in zip(LINES, folds, strict=True)}
    rows = table(screens / f"{CELLS}/retrieval.csv")
    counts = {(row["cell_line"], int(row["molecules"])) for row in rows}
    assert counts == {("", len(set.union(*tested.values()))), *((line, len(found)) for line, found in tested.items())}
    assert {"clip", "disentangledssl_beta0", "disentangledssl", "random"} <= {row["method"] for row in rows}


def test_contents_are_measured_of_what_the_profiles_say(screens):
    """A line that was left out is no class of the probe, nor are its plates: they count as unseen, without a value."""
    _, folds = pairs_and_folds(screens, CELLS)
    tested = sum(int((split == "test").sum()) for split in folds)
    rows = table(screens / f"{CELLS}/contents.csv")
    assert {(row["target"], row["kind"], row["metric"]) for row in rows} == {
        ("cell_line", "class", "balanced_accuracy"),
        ("time", "number", "r2"),
        ("plate", "nuisance", "balanced_accuracy"),
    }
    for row in rows:
        seen = row["target"] == "time"
        assert (int(row["profiles"]), int(row["unseen"])) == ((tested, 0) if seen else (0, tested)), row
        assert bool(row["value"]) == seen, row
    of_time = {(row["method"], row["beta"], row["representation"]): row["value"] for row in rows if row["value"]}
    named = {(method, code) for method, _, code in of_time}
    assert {("clip", "zc1"), ("disentangledssl", "zc1"), ("disentangledssl", "zs1"), ("raw", "x1")} <= named
    assert len(set(of_time.values())) > len(of_time) / 2, "each is of its own codes"


def test_maps_place_the_test_profiles_of_the_first_fold(screens):
    pairs, folds = pairs_and_folds(screens, CELLS)
    tested = folds[0] == "test"
    described = dict(zip(pairs["id"][tested], pairs["meta_time_h"][tested].astype(float), strict=True))
    rows = table(screens / f"{CELLS}/embedding_maps.csv")
    for code in ("zc1", "zs1"):
        mapped = [row for row in rows if row["representation"] == code]
        assert {row["id"]: float(row["time"]) for row in mapped} == described and len(mapped) == len(described)
        assert {row["cell_line"] for row in mapped} == {LINES[0]}
        assert len({(row["x"], row["y"]) for row in mapped}) == len(mapped)


def test_models_of_the_one_screen_rank_the_molecules_of_the_other(screens):
    """As written down here once more, by the paper's way of ranking."""
    target, _ = pairs_and_folds(screens, CELLS)
    source, source_folds = pairs_and_folds(screens, SOURCE)
    smiles = pq.read_table(screens / f"{SOURCE}/data/molecules.parquet")
    smiles_of = dict(zip(smiles["id"].to_pylist(), smiles["smiles"].to_pylist(), strict=True))
    seen = {skeleton(smiles_of[one]) for one in source["view2"][np.isin(source_folds[0], ["train", "validation"])]}
    # The target's groups are blocks of InChIKeys, too.
    new = set(target["group"]) - seen
    assert 0 < len(new) < len(set(target["group"])), "or nothing was to be left out"
    rows = table(screens / f"{CELLS}/transfer.csv")
    assert {row["trained_on"] for row in rows} == {"lincs_consensus"}
    assert {int(row["molecules"]) for row in rows if not row["cell_line"]} == {len(new)}
    references = {"linear_cca", "ridge", "ridge_fingerprints", "ridge_descriptors", "nearest_neighbour", "random"}
    assert {row["method"] for row in rows} == {*references, "clip", "disentangledssl_beta0", "disentangledssl"}
    joined = read_dataset(screens / f"{CELLS}/transfer/data")
    pairs = joined.pairs_in(0, "test")
    assert {name.partition("/")[2] for name in joined.groups[pairs]} == new
    found = set()
    for stage, beta, method in (("clip", "", "clip"), ("step1", "5", "disentangledssl")):
        (path,) = (screens / f"{SOURCE}/{stage}").glob("*/models.safetensors")
        models = Models(path, joined)
        (index,) = [k for k, run in enumerate(models.runs) if str(run.get("beta", "")) == beta]
        score = mean_reciprocal_rank(models.represent(index), joined, pairs)
        named = {"method": method, "beta": beta, "cell_line": "", "unit": "per_profile", "metric": "mrr"} | PAPERS_WAY
        (row,) = [row for row in rows if named.items() <= row.items()]
        assert float(row["mean"]) == pytest.approx(score, abs=1e-6), stage
        found.add(row["mean"])
    assert len(found) == 2


def mean_reciprocal_rank(codes, dataset, pairs):
    """Mean over profiles of 1 / the place of the own molecule, by the cosine; ties share their places."""
    profiles, molecules = (codes[name][pairs].astype(float) for name in ("zc1", "zc2"))
    profiles, molecules = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (profiles, molecules))
    _, first, own = np.unique(dataset.rows[1][pairs], return_index=True, return_inverse=True)
    scores = []
    for cosines, true in zip(profiles @ molecules[first].T, own, strict=True):
        above = np.sum(cosines > cosines[true] + 1e-6)
        up_to = np.sum(cosines >= cosines[true] - 1e-6)
        scores.append(np.mean(1 / np.arange(above + 1, up_to + 1)))
    return np.mean(scores)
