"""A folder of the user's own: what is taken over, and every mistake as a sentence that names the user's file."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from disentangledssl.dataset import read_dataset
from disentangledssl.errors import InputError
from disentangledssl.files import read_table, table_info
from disentangledssl.sequences import write_sequences
from disentangledssl.sources.own import check_own, copy_file

VIEWS = {"screen": False, "kind": "group_holdout", "folds": 1}
SCREEN = {"screen": True, "kind": "group_folds", "folds": 5}
SMILES = ["CCO", "CCN", "c1ccccc1", "CC(=O)O", "CCCl", "CCS"]
MOLECULES = [f"m{k}" for k in range(len(SMILES))]
WELLS = [f"w{k}" for k in range(12)]


def table(ids, prefix: str, columns: int = 3) -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=(len(ids), columns)).astype(np.float32)
    return pd.DataFrame({"id": ids, **{f"{prefix}_{k}": values[:, k] for k in range(columns)}})


@pytest.fixture
def folder(tmp_path) -> Path:
    """Six molecules in two wells each, as pandas writes it: with labels, features of both views and SMILES."""
    folder = tmp_path / "mine"
    folder.mkdir()
    of_well = [MOLECULES[k // 2] for k in range(12)]
    split = np.repeat(["train", "train", "train", "train", "validation", "test"], 2)
    table(WELLS, "gene").to_parquet(folder / "view1.parquet")
    table(MOLECULES, "bit").to_parquet(folder / "view2.parquet")
    pairs = {"id": WELLS, "view1": WELLS, "view2": of_well, "group": of_well}
    pairs |= {"y_active": np.arange(12) % 2, "meta_split": split}
    pd.DataFrame(pairs).to_parquet(folder / "pairs.parquet")
    pd.DataFrame({"id": MOLECULES, "smiles": SMILES}).to_parquet(folder / "molecules.parquet")
    pd.DataFrame({"id": WELLS, "fold_0": split}).to_parquet(folder / "splits.parquet")
    return folder


def check(folder: Path, title: str | None = None, **how) -> dict:
    """Check the folder; gives the metadata of the pairs that are written."""
    out = folder.parent / "out" / "pairs.parquet"
    check_own(folder, out, name="my_data", title=title, **how)
    return table_info(read_table(out))


def edit(path: Path, change) -> None:
    pd_table = pd.read_parquet(path)
    change(pd_table).to_parquet(path)


def set_cell(column: str, row: int, value):
    def change(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[row, column] = value
        return rows

    return change


@pytest.mark.parametrize("how", [VIEWS, SCREEN, SCREEN | {"kind": "given", "folds": 1}])
def test_what_is_taken_over_is_a_data_set(folder, how):
    info = check(folder, **how)
    assert info == {"name": "my_data", "title": "my_data", "stand_in": False}
    for name in ("view1", "view2", "splits"):
        copy_file(folder / f"{name}.parquet", folder.parent / "out" / f"{name}.parquet")
    dataset = read_dataset(folder.parent / "out")
    assert dataset.info == info and dataset.shapes == ((3,), (3,))
    given = pd.read_parquet(folder / "pairs.parquet")
    assert dataset.ids.tolist() == given["id"].tolist() and dataset.labels["active"].tolist() == [0, 1] * 6
    assert dataset.meta["split"].tolist() == given["meta_split"].tolist()
    ids, names = dataset.view_ids[1], given["view2"]
    assert ids[dataset.rows[1]].tolist() == names.tolist()


def test_titles_and_what_the_file_says_of_itself(folder):
    assert check(folder, "My own", **VIEWS)["title"] == "My own"
    copied = pq.read_table(folder / "pairs.parquet").replace_schema_metadata(
        {"disentangledssl": '{"name": "theirs", "title": "Theirs", "stand_in": true, "licence": "CC0"}'}
    )
    pq.write_table(copied, folder / "pairs.parquet")
    assert check(folder, **VIEWS) == {"name": "my_data", "title": "Theirs", "stand_in": True, "licence": "CC0"}
    assert check(folder, "My own", **VIEWS)["title"] == "My own"


def test_a_screen_may_leave_its_features_and_its_split_to_the_pipeline(folder):
    for name in ("view2", "splits"):
        (folder / f"{name}.parquet").unlink()
    check(folder, **SCREEN)
    check(folder, **SCREEN | {"kind": "given", "folds": 1})  # by meta_split


def test_two_views_need_no_molecules(folder):
    (folder / "molecules.parquet").unlink()
    check(folder, **VIEWS)


def test_a_view_may_be_of_sequences_but_not_in_a_screen(folder):
    values = np.ones((6, 2, 3), np.float32)
    write_sequences(folder / "view2.parquet", [(MOLECULES, values, np.full(6, 2))], 2, ["a", "b", "c"])
    check(folder, **VIEWS)
    with pytest.raises(InputError, match=r"mine/view2.parquet: column sequence: holds sequences, which a screen does"):
        check(folder, **SCREEN)


def without(name: str):
    return lambda folder: (folder / f"{name}.parquet").unlink()


def changed(name: str, change):
    return lambda folder: edit(folder / f"{name}.parquet", change)


GIVEN = {"kind": "given", "folds": 1}
MISTAKES = {
    "no view 1": (without("view1"), VIEWS, "mine/view1.parquet: no such file"),
    "no view 2": (without("view2"), VIEWS, "mine/view2.parquet: no such file"),
    "no molecules": (without("molecules"), SCREEN, "mine/molecules.parquet: no such file"),
    "float64, which is what pandas makes": (
        changed("view1", lambda rows: rows.astype({"gene_1": "float64"})),
        VIEWS,
        "mine/view1.parquet: column gene_1: is of type double, but every column except id is a feature of type float; "
        "cast it to float32",
    ),
    "missing value, which pandas writes as null": (
        changed("view2", set_cell("bit_2", 4, np.nan)),
        SCREEN,
        "mine/view2.parquet: column bit_2, row 4: is empty; fill it in or drop the row.",
    ),
    "pairs that do not match": (
        changed("pairs", set_cell("view1", 3, "w99")),
        VIEWS,
        'mine/pairs.parquet: column view1, row 3: "w99" has no row in view1.parquet; add that row or drop the pair.',
    ),
    "a molecule that is not there": (
        changed("pairs", set_cell("view2", 5, "m99")),
        SCREEN,
        'mine/pairs.parquet: column view2, row 5: "m99" has no row in view2.parquet',
    ),
    "a molecule without SMILES": (
        changed("molecules", lambda rows: rows.drop(2)),
        SCREEN,
        'mine/molecules.parquet: column id: molecule "m2" of view 2 is missing; add its row.',
    ),
    "no group": (
        changed("pairs", lambda rows: rows.drop(columns="group")),
        VIEWS,
        "mine/pairs.parquet: column group: is missing",
    ),
    "no label": (
        changed("pairs", lambda rows: rows.drop(columns="y_active")),
        VIEWS,
        "mine/pairs.parquet: has no label for the linear probes; add a column y_<name>",
    ),
    "one class": (
        changed("pairs", lambda rows: rows.assign(y_active=np.where(rows["y_active"] == 1, 1, -1))),
        VIEWS,
        "mine/pairs.parquet: column y_active: has fewer than two classes; label more pairs or drop it.",
    ),
    "a divided group": (
        changed("splits", set_cell("fold_0", 0, "test")),
        VIEWS | GIVEN,
        'mine/splits.parquet: column fold_0, rows 0 and 1: group "m0" is in test and in train',
    ),
    "an unknown split": (
        changed("splits", set_cell("fold_0", 2, "val")),
        VIEWS | GIVEN,
        'mine/splits.parquet: column fold_0, row 2: holds "val"; use one of train, validation, test, unused.',
    ),
    "another number of folds": (
        lambda folder: None,
        SCREEN | GIVEN | {"folds": 5},
        "mine/splits.parquet: holds 1 fold, but split.folds is 5; set data.my_data.split.folds to 1.",
    ),
    "a screen without validation": (
        changed("splits", lambda rows: rows.replace("validation", "train")),
        SCREEN | GIVEN,
        "mine/splits.parquet: column fold_0: has no validation pairs, on which a screen's beta",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "how", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(folder, damage, how, sentence):
    damage(folder)
    with pytest.raises(InputError) as error:
        check(folder, **how)
    assert sentence in str(error.value)
    assert not (folder.parent / "out").exists()


def test_split_that_is_not_there(folder):
    (folder / "splits.parquet").unlink()
    edit(folder / "pairs.parquet", set_cell("meta_split", 7, "dev"))
    with pytest.raises(InputError, match=r'mine/pairs.parquet: column meta_split, row 7: holds "dev"; use one of'):
        check(folder, **VIEWS | GIVEN)
    edit(folder / "pairs.parquet", lambda rows: rows.drop(columns="meta_split"))
    sentence = "no such file, and pairs.parquet has no column meta_split, but split.kind is given; add one of them, or"
    with pytest.raises(InputError, match=f"mine/splits.parquet: {sentence}"):
        check(folder, **VIEWS | GIVEN)


@pytest.mark.parametrize("features", [True, False], ids=["view 2 given", "by Mol2vec"])
def test_smiles_that_cannot_be_parsed_are_named_by_row(folder, features):
    """All of them at once: to mend one a run would be a day's work."""
    if not features:
        (folder / "view2.parquet").unlink()
    edit(folder / "molecules.parquet", lambda rows: rows.assign(smiles=["CCO", "C1CC", "CCN", "", "CCS", "xyz"]))
    with pytest.raises(InputError) as error:
        check(folder, **SCREEN)
    assert str(error.value).endswith(
        'mine/molecules.parquet: column smiles, row 1: "C1CC" cannot be parsed (and 2 more: rows 3, 5); correct it.'
    )


def test_a_copy_is_whole_or_not_there(folder, monkeypatch):
    def fail(source, out):
        Path(out).write_bytes(b"half")
        raise OSError(5, "broken", str(source))

    copy_file(folder / "view1.parquet", folder.parent / "out" / "view1.parquet")
    assert (folder.parent / "out" / "view1.parquet").read_bytes() == (folder / "view1.parquet").read_bytes()
    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(OSError, match="broken"):
        copy_file(folder / "view2.parquet", folder.parent / "out" / "view2.parquet")
    assert [path.name for path in (folder.parent / "out").iterdir()] == ["view1.parquet"]
