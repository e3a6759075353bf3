"""The paired-dataset contract: what is read back, and one sentence for every breach of it."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from disentangledssl.dataset import (
    PairedDataset,
    pairs_table,
    read_dataset,
    read_pairs,
    read_view,
    splits_table,
    view_table,
    write_view,
)
from disentangledssl.errors import InputError
from disentangledssl.files import write_table

FILES = ("view1.parquet", "view2.parquet", "pairs.parquet", "splits.parquet", "latents.parquet")
IDS = ["a", "b", "c", "d", "e", "f"]
GROUPS = ["g1", "g1", "g2", "g3", "g3", "g4"]
FOLDS = [["train"] * 2 + ["validation"] + ["test"] * 3, ["test"] * 2 + ["train"] * 4]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Six pairs: four molecules in view 2, two folds, labels, descriptions and latents."""
    folder = tmp_path_factory.mktemp("whole")
    rng = np.random.default_rng(0)
    write_view(folder / "view1.parquet", IDS, rng.normal(size=(6, 3)), ["u", "v", "w"])
    write_view(folder / "view2.parquet", ["m3", "m1", "m0", "m2"], rng.normal(size=(4, 2)), ["p", "q"])
    pairs = pairs_table(
        IDS, IDS, ["m0", "m0", "m1", "m2", "m2", "m3"], GROUPS,
        labels={"c": [0, 1, -1, 0, 1, 1]}, meta={"dose": [1.0] * 6, "line": list("xyxyxy")},
    )  # fmt: skip
    write_table(folder / "pairs.parquet", pairs, {"name": "six", "stand_in": True})
    write_table(folder / "splits.parquet", splits_table(IDS, FOLDS))
    latents = [f"{name}_{k}" for name in ("zc", "zs1", "zs2") for k in range(2)]
    write_view(folder / "latents.parquet", IDS, rng.normal(size=(6, 6)), latents)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(whole, tmp_path / "data")


def change(path, edit):
    pq.write_table(edit(pq.read_table(path)), path)


def replaced(name, values, kind=None):
    """An edit: put other values into a column."""

    def edit(table):
        place = table.column_names.index(name)
        return table.set_column(place, name, pa.array(values, kind or table.schema.field(name).type))

    return edit


def with_entry(name, row, value):
    """An edit: put another value into one row of a column."""

    def edit(table):
        values = table[name].to_pylist()
        values[row] = value
        return replaced(name, values)(table)

    return edit


def added(name, values, kind=None):
    return lambda table: table.append_column(name, pa.array(values, kind))


def without(name):
    return lambda table: table.drop_columns([name])


def twice(name):
    """An edit: two columns of one name."""
    return lambda table: table.append_column(name, table[name])


NAN, INF = float("nan"), float("inf")

# File, edit, and what the sentence must say: place, what was seen.
BREACHES = {
    "view without id": ("view1", without("id"), "column id: is missing; add it (found: u, v, w)."),
    "view without features": (
        "view2", lambda t: t.select(["id"]), "holds no feature column; add one float32 column a feature."
    ),
    "view with float64": ("view1", replaced("v", [0.0] * 6, pa.float64()), "column v: is of type double"),
    "view with whole numbers": ("view2", replaced("q", [0] * 4, pa.int64()), "column q: is of type int64"),
    "view with text": ("view1", added("smiles", ["C"] * 6), "column smiles: is of type string"),
    "view with NaN": ("view1", with_entry("v", 4, NAN), "column v, row 4: is NaN; impute it"),
    "view with two NaN": (
        "view1", lambda t: with_entry("w", 5, NAN)(with_entry("u", 2, NAN)(t)), "column u, row 2: is NaN (and 1 more)"
    ),
    "view with infinity": ("view2", with_entry("p", 3, INF), "column p, row 3: is infinite"),
    "view with minus infinity": ("view2", with_entry("p", 0, -INF), "column p, row 0: is infinite"),
    "view with both infinities": (
        "view2", lambda t: with_entry("p", 1, -INF)(with_entry("p", 0, INF)(t)), "column p, row 0: is infinite"
    ),
    "view with null": ("view1", with_entry("w", 3, None), "column w, row 3: is empty"),
    "view with duplicate id": ("view1", with_entry("id", 5, "b"), 'column id, rows 1 and 5: "b" appears twice'),
    "view with number ids": (
        "view2", replaced("id", range(4), pa.int64()), "column id: is of type int64, but must be text; cast it"
    ),
    "view with null id": ("view1", with_entry("id", 2, None), "column id, row 2: is empty"),
    "view with no rows": ("view1", lambda t: t.slice(0, 0), "holds no rows"),
    "view with two columns of one name": ("view1", twice("v"), "column v: appears twice; rename or drop one of them."),
    "pairs without view2": ("pairs", without("view2"), "column view2: is missing"),
    "pairs without group": ("pairs", without("group"), "column group: is missing"),
    "pairs without id": ("pairs", without("id"), "column id: is missing"),
    "pairs with a strange column": ("pairs", added("dose", [1.0] * 6), "column dose: is not part of the contract"),
    "pairs with real labels": (
        "pairs", replaced("y_c", [0.5] * 6, pa.float64()), "column y_c: is of type double, but labels are whole numbers"
    ),
    "pairs with text labels": ("pairs", added("y_line", list("xyxyxy")), "column y_line: is of type string"),
    "pairs with truth values as labels": ("pairs", added("y_t", [True] * 6), "column y_t: is of type bool"),
    "pairs with null label": ("pairs", with_entry("y_c", 3, None), "column y_c, row 3: is empty"),
    "pairs with null description": ("pairs", with_entry("meta_line", 1, None), "column meta_line, row 1: is empty"),
    "pairs with null group": ("pairs", with_entry("group", 4, None), "column group, row 4: is empty"),
    "pairs with number groups": ("pairs", replaced("group", range(6), pa.int64()), "column group: is of type int64"),
    "pairs with duplicate id": ("pairs", with_entry("id", 3, "a"), 'column id, rows 0 and 3: "a" appears twice'),
    "pairs with unknown row": (
        "pairs", with_entry("view2", 2, "m9"), 'column view2, row 2: "m9" has no row in view2.parquet; add that row'
    ),
    "pairs with two unknown rows": (
        "pairs",
        lambda t: with_entry("view1", 5, "z")(with_entry("view1", 1, "y")(t)),
        'column view1, row 1: "y" has no row in view1.parquet (and 1 more)',
    ),
    "pairs with two columns of one name": ("pairs", twice("y_c"), "column y_c: appears twice"),
    "splits without id": ("splits", without("id"), "column id: is missing"),
    "splits without folds": ("splits", lambda t: t.select(["id"]), "column fold_0: is missing"),
    "splits that skip a fold": (
        "splits", lambda t: t.rename_columns(["id", "fold_0", "fold_2"]), "column fold_2: is not part of the contract"
    ),
    "splits with a strange column": ("splits", added("seed", [0] * 6), "column seed: is not part of the contract"),
    "splits with a strange word": (
        "splits",
        with_entry("fold_1", 3, "dev"),
        'column fold_1, row 3: holds "dev"; use one of train, validation, test'
    ),
    "splits with null": ("splits", with_entry("fold_0", 1, None), "column fold_0, row 1: is empty"),
    "splits with numbers": ("splits", replaced("fold_0", [0] * 6, pa.int64()), "column fold_0: is of type int64"),
    "splits without test": (
        "splits", replaced("fold_1", ["train"] * 6), "column fold_1: the test split is empty; put some pairs into test"
    ),
    "splits without train": (
        "splits", replaced("fold_0", ["test"] * 6), "column fold_0: the train split is empty"
    ),
    "group in two splits": (
        "splits",
        with_entry("fold_0", 1, "test"),
        'column fold_0, rows 0 and 1: group "g1" is in train and in test; put all pairs of a group into one split',
    ),
    "splits in another order": (
        "splits", lambda t: t.take([0, 2, 1, 3, 4, 5]), 'column id, row 1: holds "c" where pairs.parquet has "b"'
    ),
    "splits too short": ("splits", lambda t: t.slice(0, 5), "has 5 rows, but pairs.parquet has 6"),
    "splits with duplicate id": ("splits", with_entry("id", 3, "a"), 'column id, rows 0 and 3: "a" appears twice'),
    "splits with two columns of one name": ("splits", twice("fold_0"), "column fold_0: appears twice"),
    "latents without a kind": (
        "latents", lambda t: t.drop_columns(["zs1_0", "zs1_1"]), "columns zs1_0 ...: are missing"
    ),
    "latents with a strange column": ("latents", added("x_0", [0.0] * 6, pa.float32()), "column x_0"),
    "latents in another order": ("latents", lambda t: t.take([5, 1, 2, 3, 4, 0]), 'column id, row 0: holds "f"'),
    "latents with NaN": ("latents", with_entry("zc_1", 2, NAN), "column zc_1, row 2: is NaN"),
    "latents with float64": ("latents", replaced("zc_0", [0.0] * 6, pa.float64()), "column zc_0: is of type double"),
}  # fmt: skip


@pytest.mark.parametrize("breach", BREACHES)
def test_every_breach_is_one_sentence_with_file_and_place(folder, breach):
    name, edit, expected = BREACHES[breach]
    path = folder / f"{name}.parquet"
    change(path, edit)
    with pytest.raises(InputError) as caught:
        read_dataset(folder)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert "; " in message
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.parametrize("name", FILES[:4])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name}: no such file"):
        read_dataset(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_file_is_named(folder, name, share):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=f"{name}: cannot be read as Parquet"):
        read_dataset(folder)


# ---------------------------------------------------------------- what is read


def test_round_trip(whole):
    dataset = read_dataset(whole)
    rng = np.random.default_rng(0)
    first, second, latents = (rng.normal(size=shape).astype(np.float32) for shape in ((6, 3), (4, 2), (6, 6)))
    np.testing.assert_array_equal(dataset.views[0], first)
    np.testing.assert_array_equal(dataset.views[1], second)
    assert all(view.dtype == np.float32 for view in dataset.views)
    assert dataset.features == (["u", "v", "w"], ["p", "q"])
    assert [ids.tolist() for ids in dataset.view_ids] == [IDS, ["m3", "m1", "m0", "m2"]]
    assert dataset.ids.tolist() == IDS
    assert dataset.groups.tolist() == GROUPS
    assert dataset.labels["c"].tolist() == [0, 1, -1, 0, 1, 1]
    assert set(dataset.meta) == {"dose", "line"}
    assert dataset.meta["line"].tolist() == list("xyxyxy")
    assert [fold.tolist() for fold in dataset.folds] == FOLDS
    # The title is the name of the folder, as the file has none.
    assert dataset.info == {"name": "six", "title": whole.name, "stand_in": True}
    np.testing.assert_array_equal(
        np.concatenate([dataset.latents[name] for name in ("zc", "zs1", "zs2")], axis=1), latents
    )


def test_many_pairs_share_a_molecule(whole):
    dataset = read_dataset(whole)
    assert dataset.rows[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert dataset.rows[1].tolist() == [2, 2, 1, 3, 3, 0]
    wanted = [dataset.view_ids[1][row] for row in dataset.rows[1]]
    assert wanted == ["m0", "m0", "m1", "m2", "m2", "m3"]


def test_rows_of_a_view_may_be_in_no_pair(folder):
    change(folder / "pairs.parquet", replaced("view2", ["m0"] * 6))
    assert read_dataset(folder).rows[1].tolist() == [2] * 6


def test_pairs_in_a_split(whole):
    dataset = read_dataset(whole)
    found = [dataset.pairs_in(0, split).tolist() for split in ("train", "validation", "test")]
    assert found == [[0, 1], [2], [3, 4, 5]]
    assert dataset.pairs_in(1, "validation").tolist() == []


def test_labels_and_latents_may_be_absent(folder):
    (folder / "latents.parquet").unlink()
    needed = ["id", "view1", "view2", "group"]
    change(folder / "pairs.parquet", lambda table: pa.table(table.select(needed).to_pydict()))
    dataset = read_dataset(folder)
    assert dataset.latents is None
    assert dataset.labels == {}
    assert dataset.meta == {}
    assert dataset.info == {"name": folder.name, "title": folder.name, "stand_in": False}


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.int32()])
def test_any_whole_number_is_a_label(folder, kind):
    change(folder / "pairs.parquet", replaced("y_c", [0, 1, 2, 0, 1, 2], kind))
    assert read_dataset(folder).labels["c"].tolist() == [0, 1, 2, 0, 1, 2]


def test_what_pandas_writes_is_read(folder, whole):
    # Text may come as large strings, and pandas leaves its own metadata.
    for name in FILES:
        table = pq.read_table(folder / name)
        kinds = [pa.large_string() if kind == pa.string() else kind for kind in table.schema.types]
        table = table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))
        pq.write_table(pa.Table.from_pandas(table.to_pandas(), preserve_index=False), folder / name)
    found, expected = read_dataset(folder), read_dataset(whole)
    np.testing.assert_array_equal(found.views[0], expected.views[0])
    assert found.ids.tolist() == expected.ids.tolist()


def test_a_text_path_is_a_path(whole):
    assert isinstance(read_dataset(str(whole)), PairedDataset)


def test_parts_read_alone(folder):
    values, features, ids = read_view(folder / "view2.parquet")
    assert (values.shape, features, ids.tolist()) == ((4, 2), ["p", "q"], ["m3", "m1", "m0", "m2"])
    (folder / "view1.parquet").unlink()
    assert read_pairs(folder / "pairs.parquet").num_rows == 6


def test_non_finite_sums_of_finite_numbers_pass(folder):
    # The quick check sums the matrix; the largest float32 numbers must not trip it.
    largest = np.finfo(np.float32).max
    change(folder / "view1.parquet", replaced("v", [largest] * 6))
    assert (read_dataset(folder).views[0][:, 1] == largest).all()


def test_tables_have_the_types_of_the_contract():
    view = view_table(["a"], np.array([[1, 2]]), ["u", "v"])
    assert view.schema.types == [pa.string(), pa.float32(), pa.float32()]
    pairs = pairs_table(["a"], ["x"], ["y"], ["g"], {"c": [1]}, {"dose": [0.5]})
    assert pairs.column_names == ["id", "view1", "view2", "group", "y_c", "meta_dose"]
    assert pairs.schema.field("y_c").type == pa.int64()
    splits = splits_table(["a"], [["train"], ["test"]])
    assert splits.column_names == ["id", "fold_0", "fold_1"]
