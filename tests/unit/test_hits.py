"""Hit lists: ranks by hand, libraries with mistakes, and what a picture shows."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from disentangledssl import hits
from disentangledssl.checkpoints import load_models, save_models
from disentangledssl.dataset import read_dataset, read_view
from disentangledssl.errors import InputError
from disentangledssl.files import read_table, table_info, write_table
from disentangledssl.hits import hit_rows, rank_hits, rank_shown_hits, read_library
from disentangledssl.representations import Models
from disentangledssl.training import train_stack

pytestmark = pytest.mark.usefixtures("one_thread")

RUN = {"id": "beta=1,fold=0,seed=0", "beta": 1, "fold": 0, "seed": 0}


@pytest.fixture(scope="module")
def screen(tiny, tmp_path_factory):
    """The tiny screen with alkanes as molecules, in the order of their names; its folder."""
    folder = tmp_path_factory.mktemp("screen") / "data"
    shutil.copytree(tiny, folder)
    names = sorted(read_view(folder / "view2.parquet")[2].tolist())
    smiles = ["C" * (1 + k) for k in range(len(names))]
    write_table(folder / "molecules.parquet", pa.table({"id": names[::-1], "smiles": smiles[::-1]}))
    return folder


@pytest.fixture(scope="module")
def trained(screen, small, plain, tmp_path_factory):
    """One run of step 1, with a scaled second view; the path of its stack."""
    folder = tmp_path_factory.mktemp("stack")
    train_stack(
        "step1", screen, [RUN], settings=small("step1", dimensions=12), models=folder / "models.safetensors",
        scaling=[plain, plain | {"standardise": True, "clip": 2.5}], history=folder / "history.parquet",
    )  # fmt: skip
    return folder / "models.safetensors"


@pytest.fixture(scope="module")
def dataset(screen):
    return read_dataset(screen)


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_ranks_of_hand_made_codes():
    codes = np.array([[0.0, 1.0], [1.0, 0.0], [3.0, 3.0], [0.0, 0.0], [0.0, 7.0], [-1.0, 0.0]], np.float32)
    rows = hit_rows(np.array([2.0, 0.0], np.float32), codes)
    # A code without a direction has the cosine 0 and ties with what is at a right angle.
    assert rows["candidate"].tolist() == [1, 2, 0, 3, 4, 5]
    assert rows["rank"].tolist() == [1, 2, 4, 4, 4, 6]
    np.testing.assert_allclose(rows["cosine"], [1, np.sqrt(0.5), 0, 0, 0, -1], atol=1e-12)


def test_the_screens_own_test_molecules_are_ranked(trained, screen, dataset, tmp_path):
    pair = dataset.pairs_in(0, "test")[5]
    rank_hits(trained, screen, tmp_path / "hits.csv", stage="step1", run=RUN["id"], phenotype=dataset.ids[pair])
    rows = pd.read_csv(tmp_path / "hits.csv")
    codes = Models(trained, dataset).represent(0)
    test = dataset.pairs_in(0, "test")
    expected = {dataset.groups[other]: cosine(codes["zc1"][pair], codes["zc2"][other]) for other in test}
    ordered = sorted(expected, key=expected.get, reverse=True)
    assert rows["id"].tolist() == ordered and rows["rank"].tolist() == list(range(1, len(ordered) + 1))
    np.testing.assert_allclose(rows["cosine"], [expected[name] for name in ordered], atol=1e-6)
    assert rows["id"][rows["is_true"]].tolist() == [dataset.groups[pair]]
    assert rows["smiles"].tolist() == ["C" * (1 + int(name[1:])) for name in ordered]
    (said,) = rows[["dataset", "stand_in", "stage", "run", "status", "split"]].drop_duplicates().to_numpy().tolist()
    assert said == ["tiny", True, "step1", RUN["id"], "trained", "test"]


@pytest.fixture
def library(dataset, tmp_path, monkeypatch):
    """A library of 12 molecules of the screen under other names and order, whose features are known; its path."""
    smiles = {"C" * (1 + int(name[1:])): row for row, name in enumerate(dataset.view_ids[1])}

    def featurise(given, model_path, *, file):
        assert model_path == tmp_path / "model.parquet" and file == tmp_path / "library.csv"
        return dataset.views[1][[smiles[one] for one in given]]

    monkeypatch.setattr(hits.mol2vec, "featurise", featurise)
    lines = [f"L{k},{'C' * (1 + k)}" for k in range(12)]
    (tmp_path / "library.csv").write_text("\n".join(["id,smiles", *lines, "bad,C1CC", "L99,", ""]))
    return tmp_path / "library.csv"


@pytest.mark.parametrize("lines", ["x,CCO,\ny,CC,", "x,CCO,1"])
def test_values_without_a_name_are_refused(tmp_path, lines):
    (tmp_path / "library.csv").write_text(f"id,smiles\n{lines}\n")
    with pytest.raises(InputError, match="more values than its first line has names; name every column"):
        hits.read_library(tmp_path / "library.csv")


def test_a_library_is_ranked_as_the_screens_own_molecules_are(trained, screen, dataset, library, tmp_path):
    """The same features give the same codes, whatever else is in the library: scaling is the data set's."""
    pair = int(np.flatnonzero(dataset.groups == "m07")[0])
    terminal = io.StringIO()
    rank_hits(
        trained, screen, tmp_path / "hits.csv", stage="step1", run=RUN["id"], phenotype=dataset.ids[pair],
        library=library, mol2vec_model=tmp_path / "model.parquet", terminal=terminal,
    )  # fmt: skip
    rows = pd.read_csv(tmp_path / "hits.csv").set_index("id")
    codes = Models(trained, dataset).represent_views(0)
    query = codes["zc1"][dataset.rows[0][pair]]
    own = dict(zip(dataset.view_ids[1].tolist(), codes["zc2"], strict=True))
    for k in range(12):
        assert rows.loc[f"L{k}", "cosine"] == pytest.approx(cosine(query, own[f"m{k:02d}"]), abs=1e-6)
    assert len(rows) == 12 and rows.index[rows["is_true"]].tolist() == ["L7"]
    assert terminal.getvalue() == (
        f'{library}: column smiles: 2 of 14 cannot be parsed and are left out: line 14 ("C1CC"), line 15 ("").\n'
    )


def test_a_library_has_the_phenotypes_own_molecule_however_the_screen_writes_it(
    trained, screen, dataset, tmp_path, monkeypatch
):
    shutil.copytree(screen, tmp_path / "data")
    molecules = read_table(screen / "molecules.parquet").to_pydict()
    molecules["smiles"][molecules["id"].index("m07")] = "OCC"
    write_table(tmp_path / "data" / "molecules.parquet", pa.table(molecules))
    (tmp_path / "library.csv").write_text("id,smiles\na,CCO\nb,C(O)C\nc,CCC\n")
    monkeypatch.setattr(hits.mol2vec, "featurise", lambda smiles, model, file: dataset.views[1][: len(smiles)])
    rank_hits(
        trained, tmp_path / "data", tmp_path / "hits.csv", stage="step1", run=RUN["id"],
        phenotype=dataset.ids[np.flatnonzero(dataset.groups == "m07")[0]], library=tmp_path / "library.csv",
    )  # fmt: skip
    rows = pd.read_csv(tmp_path / "hits.csv").set_index("id")
    assert rows["is_true"].to_dict() == {"a": True, "b": True, "c": False}


@pytest.mark.parametrize("statistics", ["train", "all"])
def test_scaling_of_new_molecules_is_that_of_the_data_sets_own(screen, dataset, small, plain, tmp_path, statistics):
    scaling = [plain, plain | {"standardise": True, "clip_quantile": 0.1, "statistics": statistics}]
    train_stack(
        "clip", screen, [{"id": "fold=0,seed=0", "fold": 0, "seed": 0}], settings=small("clip", epochs=1),
        scaling=scaling, models=tmp_path / "models", history=tmp_path / "history",
    )  # fmt: skip
    stack = Models(tmp_path / "models", dataset)
    own = stack.represent_views(0)["zc2"]
    far = np.full((1, dataset.views[1].shape[1]), 1e6, np.float32)
    found = stack.represent_molecules(0, np.concatenate([far, dataset.views[1][:5]]))
    np.testing.assert_allclose(found[1:], own[:5], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,smiles\na,C\n", r"column id: is missing; add it \(found: name, smiles\)"),
        ("id,structure\na,C\n", "column smiles: is missing"),
        ("id,smiles\na,C\nb,CC\na,CCC\n", 'column id, lines 2 and 4: "a" appears twice'),
        ("id,smiles\na,C\n ,CC\n", "column id, line 3: is empty"),
        ("id,smiles\na,C1CC\nb,xyz\n", "column smiles: none of 2 SMILES can be parsed"),
        ("id,smiles\n", "none of 0 SMILES can be parsed"),
        ("", "cannot be read as CSV"),
        ("id,smiles\na,C\nb,C,d,e\n", "cannot be read as CSV"),
    ],
)
def test_mistakes_in_a_library(tmp_path, text, said):
    (tmp_path / "library.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_library(tmp_path / "library.csv")


def test_a_library_that_is_no_text_or_not_there(tmp_path):
    (tmp_path / "library.csv").write_bytes(b"id,smiles\na,\xff\xfe\n")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        read_library(tmp_path / "library.csv")
    with pytest.raises(InputError, match=r"no such file; correct hits\.library"):
        read_library(tmp_path / "none.csv")


def test_a_phenotype_a_run_or_a_molecule_that_is_not_there(trained, screen, dataset, tmp_path):
    given = {"stage": "step1", "run": RUN["id"], "phenotype": "p000"}
    with pytest.raises(InputError, match='has no phenotype "x"; use one of its ids: p000, p001, p002 and 117 more'):
        rank_hits(trained, screen, tmp_path / "hits.csv", **given | {"phenotype": "x"})
    with pytest.raises(InputError, match="beta=7: is no run of this stack"):
        rank_hits(trained, screen, tmp_path / "hits.csv", **given | {"run": "beta=7"})
    tensors, info = load_models(trained)
    info["runs"][0]["status"] = "diverged"
    save_models(tmp_path / "models", tensors, info)
    with pytest.raises(InputError, match="is diverged and has no representations"):
        rank_hits(tmp_path / "models", screen, tmp_path / "hits.csv", **given)
    shutil.copytree(screen, tmp_path / "data")
    write_table(tmp_path / "data" / "molecules.parquet", read_table(screen / "molecules.parquet").slice(1))
    with pytest.raises(InputError, match='molecule "m47" of view 2 is missing; add its row'):
        rank_hits(trained, tmp_path / "data", tmp_path / "hits.csv", **given)
    assert not (tmp_path / "hits.csv").exists()


def test_shown_phenotypes_are_spread_over_the_ranks_of_their_own_molecule(screen, dataset, monkeypatch, tmp_path):
    """Codes are made so that the n-th test molecule is ranked n-th by its own first phenotype."""
    test = dataset.pairs_in(0, "test")
    candidates, first = np.unique(dataset.rows[1][test], return_index=True)
    assert len(candidates) >= 16
    angles = np.deg2rad(np.arange(len(candidates)))
    molecules = np.zeros((len(dataset.views[1]), 2))
    molecules[candidates] = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    phenotypes = np.zeros((len(dataset.views[0]), 2))
    # All look along the first axis, from which the molecules turn away one by one.
    phenotypes[dataset.rows[0][test[first]]] = [1, 0]

    class Fake:
        runs = [RUN | {"status": "trained"}]

        def __init__(self, path, given):
            pass

        def index_of(self, run):
            assert run == "shown"
            return 0

        def represent_views(self, index):
            return {"zc1": phenotypes, "zc2": molecules}

    monkeypatch.setattr("disentangledssl.representations.Models", Fake)
    rank_shown_hits(tmp_path / "models", screen, tmp_path / "top_hits.parquet", run="shown")
    table = read_table(tmp_path / "top_hits.parquet")
    rows, count = table.to_pandas(), len(candidates)
    assert table_info(table)["dataset"]["name"] == "tiny"
    own = rows[rows["is_true"]]
    assert own["rank"].tolist() == [1 + int(share * count) for share in (1 / 8, 3 / 8, 5 / 8, 7 / 8)]
    assert own["phenotype"].tolist() == [dataset.ids[test[first[int(rank) - 1]]] for rank in own["rank"]]
    for _, shown in rows.groupby("phenotype"):
        ranks = shown["rank"].tolist()
        assert ranks[:5] == [1, 2, 3, 4, 5] and len(ranks) <= 6 and shown["is_true"].sum() == 1
    assert set(rows["pool"]) == {count} and rows["smiles"].str.fullmatch("C+").all()


def test_a_shown_run_that_diverged_has_no_rows(trained, screen, tmp_path):
    tensors, info = load_models(trained)
    info["runs"][0]["status"] = "diverged"
    save_models(tmp_path / "models", tensors, info)
    rank_shown_hits(tmp_path / "models", screen, tmp_path / "top_hits.parquet", run=RUN["id"])
    assert read_table(tmp_path / "top_hits.parquet").num_rows == 0
