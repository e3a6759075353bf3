"""Folders of the user's own, damaged at random: accepted and right, or refused in one sentence that names the file.

Right means: after the check, the copies and the split that the workflow makes, ``read_dataset`` gives value by value
what another reader finds in the user's files, and no group is on both sides of a split.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import assert_is_a_sentence, no_hang

from disentangledssl.dataset import SPLITS, pairs_table, read_dataset, splits_table, view_table
from disentangledssl.errors import InputError
from disentangledssl.sources.own import check_own, copy_file
from disentangledssl.splits import write_splits

MOLECULES = [f"m{k}" for k in range(6)]
SMILES = ["CCO", "CCN", "c1ccccc1", "CC(=O)O", "CCCl", "CCS"]
WELLS = [f"w{k:02d}" for k in range(12)]
OF_WELL = [MOLECULES[k // 2] for k in range(12)]
SPLIT = [part for part in ("train", "train", "train", "train", "validation", "test") for _ in range(2)]
STEPS, FEATURES = 3, ["a", "b"]
KEY = b"disentangledssl"


def tables(sequences: bool) -> dict[str, pa.Table]:
    """A folder without a mistake: six molecules in two wells each; view 2 may be sequences."""
    rng = np.random.default_rng(0)
    pairs = pairs_table(
        WELLS, WELLS, OF_WELL, OF_WELL,
        labels={"active": [0, 1] * 6}, meta={"split": SPLIT, "dose": rng.uniform(size=12).tolist()},
    )  # fmt: skip
    found = {
        "view1": view_table(WELLS, rng.normal(size=(12, 3)), ["u", "v", "w"]),
        "view2": view_table(MOLECULES, rng.normal(size=(6, 2)), ["p", "q"]),
        "pairs": pairs.replace_schema_metadata({KEY: b'{"title": "Mine"}'}),
        "splits": splits_table(WELLS, [SPLIT]),
        "molecules": pa.table({"id": MOLECULES, "smiles": SMILES}),
    }
    if sequences:
        lengths = np.array([1, 2, 3, 3, 2, 1])
        values = rng.normal(size=(6, STEPS, 2)) * (np.arange(STEPS) < lengths[:, None])[..., None]
        flat = pa.array(values.astype(np.float32).reshape(-1))
        columns = [MOLECULES, pa.array(lengths, pa.int32()), pa.FixedSizeListArray.from_arrays(flat, STEPS * 2)]
        metadata = {KEY: json.dumps({"steps": STEPS, "features": FEATURES}).encode()}
        found["view2"] = pa.table(columns, names=["id", "length", "sequence"]).replace_schema_metadata(metadata)
    return found


class Kind(NamedTuple):
    """What a folder is to be, as ``check_own`` takes it, and whether its view 2 is of sequences."""

    screen: bool
    kind: str
    sequences: bool = False


KINDS = [
    Kind(True, "group_folds"), Kind(True, "given"), Kind(False, "group_holdout"), Kind(False, "given"),
    Kind(False, "given", sequences=True), Kind(True, "given", sequences=True),
]  # fmt: skip
NOT_UTF8 = pa.Array.from_buffers(
    pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xe9!")]
)
TYPES = [
    pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.float16(), pa.float32(), pa.float64(), pa.int8(),
    pa.int32(), pa.int64(), pa.uint64(), pa.bool_(), pa.date32(), pa.timestamp("ns"), pa.decimal128(20, 4), pa.null(),
    pa.dictionary(pa.int32(), pa.string()), pa.list_(pa.float32()), pa.list_(pa.float32(), 6), pa.list_(pa.string()),
    pa.struct([("x", pa.int32())]),
]  # fmt: skip
VALUES = [
    None, "", " ", "m0", "w00", "m99", "é", "a\nb", "a\0", "a\0b", "x" * 9999, "train", "test", "Train",
    "unused", "C1CC", "C" * 20_000, "[Xx]", "nan", 0, -1, -2, 1, 2, 7, 255, 2**31 - 1, -(2**31), 2**62, True, 0.5,
    float("nan"), float("inf"), -float("inf"), 3.4e38, -3.4e38, 1e-45, -0.0, 1e300,
]  # fmt: skip
NAMES = [
    "id", "view1", "view2", "group", "y_active", "meta_dose", "meta_", "y_", "fold_0", "fold_1", "fold_2", "length",
    "sequence", "smiles", "u", "", " ", "a\nb", "é", "x" * 5000, "Id",
]  # fmt: skip
METADATA = [
    b"", b"{", b"[]", b"3", b"null", b'"x"', b"\xff\xfe", b'{"title": 3}', b'{"title": null, "stand_in": "yes"}',
    b'{"title": "a\\nb"}', b'{"steps": 3, "features": ["a", "b"]}', b'{"steps": 2, "features": ["a", "b", "c"]}',
    b'{"steps": true, "features": ["a"]}', b'{"steps": -3, "features": ["a", "b"]}', b'{"steps": 6, "features": "x"}',
    b'{"steps": 3, "features": ["a", "a"]}', b'{"steps": 3.0, "features": ["a", "b"]}', b'{"name": [1], "title": {}}',
]  # fmt: skip
Edit = Callable[[pa.Table], pa.Table]


def cast(values: list[Any], kind: pa.DataType) -> pa.Array:
    """An array of a type, with null where a value has no place in it."""
    column = []
    for value in values:
        try:
            pa.array([value], kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            value = None
        column.append(value)
    return pa.array(column, kind)


@st.composite
def edits(draw, table: pa.Table) -> pa.Table:
    """One change to a table."""
    how = draw(
        st.sampled_from(
            [
                "cell",
                "cell",
                "cell",
                "type",
                "drop",
                "rename",
                "twice",
                "add",
                "rows",
                "rows",
                "constant",
                "not UTF-8",
                "metadata",
            ]
        )
    )
    at = draw(st.integers(0, max(table.num_columns - 1, 0)))
    if not table.num_columns or (how not in ("add", "metadata", "rows") and not table.num_rows):
        return table
    name, field = table.column_names[at], table.schema.field(at)
    try:
        column = table.column(at).to_pylist()
    except UnicodeDecodeError:  # an earlier edit's
        return table
    row = draw(st.integers(0, max(table.num_rows - 1, 0)))

    def put(values: list[Any], kind: pa.DataType, name: str = name) -> pa.Table:
        return table.set_column(at, name, cast(values, kind))

    if how == "cell":
        value = draw(st.sampled_from([*VALUES, *column]))
        if isinstance(column[row], list) and not isinstance(value, list):
            value = [value if k == draw(st.integers(0, 5)) else x for k, x in enumerate(column[row])]
        return put([*column[:row], value, *column[row + 1 :]], field.type)
    if how == "constant":
        return put([draw(st.sampled_from([*VALUES, *column]))] * table.num_rows, field.type)
    if how == "type":
        kind = draw(st.sampled_from(TYPES))
        try:
            return table.set_column(at, name, table.column(at).cast(kind))
        except pa.ArrowException:
            return put(column, kind)
    if how == "drop":
        return table.remove_column(at)
    if how == "rename":
        return table.rename_columns(
            [*table.column_names[:at], draw(st.sampled_from(NAMES)), *table.column_names[at + 1 :]]
        )
    if how == "twice":
        return table.append_column(name, table.column(at))
    if how == "add":
        values = [draw(st.sampled_from(VALUES))] * table.num_rows
        return table.append_column(draw(st.sampled_from(NAMES)), cast(values, draw(st.sampled_from(TYPES))))
    if how == "rows":
        some = draw(st.sampled_from(["none", "fewer", "reversed", "one twice", "all twice"]))
        rows = list(range(table.num_rows))
        chosen = {"none": [], "fewer": rows[:row] + rows[row + 1 :], "reversed": rows[::-1], "all twice": rows * 2}
        return table.take(pa.array(chosen.get(some, [*rows, row][: len(rows) + 1] if rows else []), pa.int64()))
    if how == "metadata":
        return table.replace_schema_metadata({KEY: draw(st.sampled_from(METADATA))})
    others = pa.chunked_array([cast([*column[:row]], pa.string()), NOT_UTF8, cast(column[row + 1 :], pa.string())])
    return table.set_column(at, name, others)


@st.composite
def damages(draw, content: bytes, others: list[bytes]) -> bytes:
    """Bytes of a file: cut, flipped, added to, or something else altogether."""
    how = draw(st.sampled_from(["cut", "flip", "flip", "flip", "middle", "before", "after", "gzip", "other"]))
    at = draw(st.integers(0, max(len(content) - 1, 0)))
    if how == "cut":
        return content[:at]
    if how == "flip":
        flipped = bytearray(content)
        for _ in range(draw(st.integers(1, 3))):
            # Most of a small file is its footer, where lengths and types stand.
            flipped[draw(st.integers(0, len(content) - 1))] ^= draw(st.integers(1, 255))
        return bytes(flipped)
    if how == "middle":
        return content[:at] + content[at + draw(st.integers(1, 40)) :]
    odd = draw(
        st.sampled_from([b"", b"PAR1", b"\0" * 64, b"<!DOCTYPE html>", b"id,u\nw00,1\n", b"{}", b"\xff\xfei\0d\0"])
    )
    return {"before": odd + content, "after": content + odd, "gzip": gzip.compress(content)}.get(
        how, draw(st.sampled_from([odd, *others]))
    )


def as_bytes(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


def as_other(table: pa.Table) -> list[bytes]:
    """The same as CSV and as Feather."""
    found = []
    for write in (pyarrow.csv.write_csv, pyarrow.feather.write_feather):
        sink = pa.BufferOutputStream()
        write(table, sink)
        found.append(sink.getvalue().to_pybytes())
    return found


BASES = {sequences: tables(sequences) for sequences in (False, True)}
CSVS = as_other(BASES[False]["view1"])


@st.composite
def folders(draw) -> tuple[Kind, dict[str, bytes]]:
    """A kind of folder and its files, of which one or two tables or one file are damaged."""
    kind = draw(st.sampled_from(KINDS))
    found = dict(BASES[kind.sequences])
    damaged = draw(st.booleans()) and draw(st.booleans())
    for _ in range(0 if damaged else draw(st.sampled_from([1, 1, 1, 2, 3]))):
        name = draw(st.sampled_from(sorted(found)))
        found[name] = draw(edits(found[name]))
    options = {
        "compression": draw(st.sampled_from(["snappy", "zstd", "gzip", "none"])),
        "use_dictionary": draw(st.booleans()),
        "write_page_checksum": draw(st.booleans()),
        "data_page_version": draw(st.sampled_from(["1.0", "2.0"])),
        "row_group_size": draw(st.sampled_from([1, 5, 100])),
    }
    files = {name: as_bytes(table, **options) for name, table in found.items()}
    if damaged:
        name = draw(st.sampled_from(sorted(files)))
        files[name] = draw(damages(files[name], [*files.values(), *CSVS]))
    if draw(st.sampled_from([False] * 9 + [True])):
        del files[draw(st.sampled_from(sorted(files)))]
    return kind, files


def judge(kind: Kind, files: dict[str, bytes], folder: Path) -> str:
    """Take a folder over as the workflow does; fail unless it is accepted and right or refused in a sentence."""
    mine, out = folder / "mine", folder / "out"
    for path in (mine, out):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    for name, content in files.items():
        (mine / f"{name}.parquet").write_bytes(content)
    with no_hang():
        try:
            take_over(kind, mine, out)
            dataset = read_dataset(out)
        except InputError as error:
            assert_is_a_sentence(error)
            assert Path(error.file).parent in (mine, out) and Path(error.file).suffix == ".parquet", str(error)
            assert not list(folder.rglob("*.part"))
            return "refused"
    assert_right(dataset, kind, mine, out)
    return "accepted"


def take_over(kind: Kind, mine: Path, out: Path) -> None:
    """What the rules ``check_own``, ``copy_own`` and ``split_dataset`` do."""
    check_own(
        mine,
        out / "pairs.parquet",
        name="data",
        title=None,
        screen=kind.screen,
        kind=kind.kind,
        folds=1 + (kind.kind == "group_folds"),
    )
    copied = ["view1", "view2"] + ["splits"] * (kind.kind == "given" and (mine / "splits.parquet").exists())
    for name in copied:
        if not (kind.screen and name == "view2") or (mine / "view2.parquet").exists():
            copy_file(mine / f"{name}.parquet", out / f"{name}.parquet")
    if "splits" not in copied:
        write_splits(out / "pairs.parquet", out / "splits.parquet", kind=kind.kind, folds=2)
    if not (out / "view2.parquet").exists():  # what Mol2vec would make of the molecules
        ids = pq.read_table(mine / "molecules.parquet")["id"].to_pylist()
        pq.write_table(view_table(ids, np.ones((len(ids), 2)), ["p", "q"]), out / "view2.parquet")


def assert_right(dataset, kind: Kind, mine: Path, out: Path) -> None:
    """Compare with what PyArrow alone reads, as Python objects."""
    for m, name in enumerate(("view1", "view2")):
        source = mine if (mine / f"{name}.parquet").exists() else out
        columns = pq.ParquetFile(source / f"{name}.parquet").read().to_pydict()
        ids = columns.pop("id")
        assert dataset.view_ids[m].tolist() == ids
        if dataset.lengths[m] is None:
            assert dataset.features[m] == list(columns)
            expected = np.array(list(columns.values()), np.float32).T
        else:
            assert dataset.lengths[m].tolist() == columns["length"]
            expected = np.array(columns["sequence"], np.float32).reshape(dataset.views[m].shape)
            behind = np.arange(expected.shape[1]) >= dataset.lengths[m][:, None]
            assert not expected[behind].any()
        np.testing.assert_array_equal(dataset.views[m], expected)
        assert np.isfinite(dataset.views[m]).all()
    pairs = pq.ParquetFile(mine / "pairs.parquet").read().to_pydict()
    assert dataset.ids.tolist() == pairs["id"] and dataset.groups.tolist() == pairs["group"]
    assert len(set(pairs["id"])) == len(pairs["id"])
    for m in (0, 1):
        assert dataset.view_ids[m][dataset.rows[m]].tolist() == pairs[f"view{m + 1}"]
    for letter, found in (("y_", dataset.labels), ("meta_", dataset.meta)):
        given = {name.removeprefix(letter): values for name, values in pairs.items() if name.startswith(letter)}
        assert repr({name: values.tolist() for name, values in found.items()}) == repr(given)  # NaN is not NaN
    assert all(isinstance(value, int) for values in dataset.labels.values() for value in values.tolist())
    assert dataset.info["name"] == "data" and isinstance(dataset.info["title"], str)
    assert isinstance(dataset.info["stand_in"], bool)
    for fold in dataset.folds:
        assert set(fold) <= set(SPLITS) and {"train", "test"} <= set(fold)
        sides = {(group, part) for group, part in zip(dataset.groups, fold, strict=True) if part != "unused"}
        assert len(sides) == len({group for group, _ in sides}), "a group is divided"
        assert not kind.screen or "validation" in fold or kind.kind != "given"


HOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


def check(examples: int, folder: Path, **how) -> None:
    """Judge so many folders; neither verdict may be rare, or next to nothing was tried."""
    verdicts = []

    @settings(max_examples=examples, **HOW, **how)
    @given(damaged=folders())
    def one(damaged):
        verdicts.append(judge(*damaged, folder))

    one()
    shares = {verdict: verdicts.count(verdict) / len(verdicts) for verdict in ("accepted", "refused")}
    print(f"{len(verdicts)} folders: {shares}")
    assert len(verdicts) >= examples and min(shares.values()) > 0.1


def test_folders_with_damaged_files(folder):
    check(200, folder, derandomize=True)


@pytest.mark.slow
def test_many_folders_with_damaged_files(folder):
    """Others at every call; a failure prints the folder, which is tried first the next time."""
    check(3000, folder)
