"""Views of sequences: what is read back, one sentence for every breach of their form, and how lean it is."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from disentangledssl import sequences
from disentangledssl.dataset import pairs_table, read_dataset, read_view, splits_table, write_view
from disentangledssl.errors import InputError
from disentangledssl.files import METADATA_KEY, write_table
from disentangledssl.sequences import read_lengths, read_sequences, write_sequences

IDS, LENGTHS = list("abcde"), [4, 1, 3, 2, 4]
STEPS, FEATURES = 4, ["u", "v", "w"]
NAN, INF = float("nan"), float("inf")


def drawn() -> np.ndarray:
    """Five sequences of up to four steps of three numbers, padded with 0 at the end."""
    values = np.random.default_rng(0).normal(size=(5, STEPS, 3)).astype(np.float32)
    for row, length in zip(values, LENGTHS, strict=True):
        row[length:] = 0
    return values


@pytest.fixture
def path(tmp_path):
    write_sequences(tmp_path / "view2.parquet", [(IDS, drawn(), LENGTHS)], STEPS, FEATURES, {"name": "five"})
    return tmp_path / "view2.parquet"


def test_round_trip(path):
    values, features, ids = read_view(path)
    np.testing.assert_array_equal(values, drawn())
    assert values.dtype == np.float32 and features == FEATURES and ids.tolist() == IDS
    assert read_lengths(path).tolist() == LENGTHS and read_lengths(path).dtype == np.int32


def test_what_is_on_disk_is_what_the_contract_says(path):
    table = pq.read_table(path)
    assert dict(zip(table.column_names, table.schema.types, strict=True)) == {
        "id": pa.string(), "length": pa.int32(), "sequence": pa.list_(pa.float32(), 12)
    }  # fmt: skip
    # Step by step: the three features of the first step, then those of the second.
    assert table["sequence"][0].as_py() == [float(number) for step in drawn()[0] for number in step]
    assert json.loads(table.schema.metadata[METADATA_KEY]) == {"name": "five", "steps": 4, "features": FEATURES}


@pytest.mark.parametrize("cuts", [[0, 5], [0, 1, 2, 5], [0, 0, 5], [0, 2, 2, 5]])
def test_blocks_and_groups_of_rows_make_no_difference(tmp_path, monkeypatch, cuts):
    values = drawn()
    blocks = [(IDS[a:b], values[a:b], LENGTHS[a:b]) for a, b in itertools.pairwise(cuts)]
    monkeypatch.setattr(sequences, "GROUP_BYTES", 2 * 12 * 4)
    write_sequences(tmp_path / "view1.parquet", iter(blocks), STEPS, FEATURES)
    assert pq.ParquetFile(tmp_path / "view1.parquet").metadata.num_row_groups >= 3
    found, _, ids = read_view(tmp_path / "view1.parquet")
    np.testing.assert_array_equal(found, values)
    assert ids.tolist() == IDS and read_lengths(tmp_path / "view1.parquet").tolist() == LENGTHS


def test_values_of_any_layout_and_type_are_written_as_float32(tmp_path):
    values = np.asfortranarray(drawn().astype(np.float64))
    write_sequences(tmp_path / "view1.parquet", [(IDS, values, LENGTHS)], STEPS, FEATURES)
    np.testing.assert_array_equal(read_sequences(tmp_path / "view1.parquet")[0], drawn())


def test_nothing_is_left_when_a_block_fails(tmp_path):
    def blocks():
        yield IDS, drawn(), LENGTHS
        raise InputError("raw", "", "is broken", "mend it")

    with pytest.raises(InputError, match="is broken"):
        write_sequences(tmp_path / "view1.parquet", blocks(), STEPS, FEATURES)
    assert not list(tmp_path.iterdir())


# Breaches


def changed(**columns):
    """An edit: other arrays in place of columns."""

    def edit(table):
        for name, array in columns.items():
            place = table.column_names.index(name)
            table = table.set_column(place, name, array)
        return table

    return edit


def with_number(row, step, feature, value):
    def edit(table):
        rows = table["sequence"].to_pylist()
        rows[row][3 * step + feature] = value
        return changed(sequence=pa.array(rows, table.schema.field("sequence").type))(table)

    return edit


def with_length(row, value, kind=None):
    return lambda table: changed(length=pa.array([*LENGTHS[:row], value, *LENGTHS[row + 1 :]], kind or pa.int32()))(
        table
    )


def with_info(**info):
    return lambda table: table.replace_schema_metadata({METADATA_KEY: json.dumps(info).encode()})


def with_list_type(kind):
    return lambda table: changed(sequence=pa.array(table["sequence"].to_pylist(), kind))(table)


def without_row(table):
    rows = table["sequence"].to_pylist()
    return changed(sequence=pa.array([*rows[:3], None, *rows[4:]], table.schema.field("sequence").type))(table)


FITS = "do not give steps and names of features that make the 12 numbers of a sequence"
BREACHES = {
    "without id": (lambda t: t.drop_columns(["id"]), "column id: is missing; add it (found: length, sequence)."),
    "without length": (lambda t: t.drop_columns(["length"]), "column length: is missing; add it (found: id, sequence)"),
    "another name": (lambda t: t.rename_columns(["id", "length", "steps"]), "column sequence: is missing"),
    "a feature beside": (
        lambda t: t.append_column("age", pa.array([1.0] * 5, pa.float32())),
        "column age: is not part of the contract; a view of sequences has id, length, sequence and nothing else",
    ),
    "two lengths": (lambda t: t.append_column("length", t["length"]), "column length: appears twice; rename or drop"),
    "two ids": (lambda t: t.append_column("id", t["id"]), "column id: appears twice; rename or drop"),
    "two sequences": (lambda t: t.append_column("sequence", t["sequence"]), "column sequence: appears twice"),
    "length as text": (changed(length=pa.array(list("41324"))), "column length: is of type string, but must be int32"),
    "length as int64": (with_length(0, 4, pa.int64()), "column length: is of type int64, but must be int32; cast it"),
    "length 0": (with_length(3, 0), "column length, row 3: is 0, but a sequence has 1 to 4 steps; correct it"),
    "length beyond the steps": (with_length(4, 5), "column length, row 4: is 5, but a sequence has 1 to 4 steps"),
    "negative length": (with_length(1, -1), "column length, row 1: is -1"),
    "no length": (with_length(2, None), "column length, row 2: is empty; fill it in or drop the row."),
    "no sequence": (without_row, "column sequence, row 3: is empty"),
    "no number": (with_number(4, 1, 2, None), "column sequence, row 4: has an empty number"),
    "NaN": (with_number(2, 1, 0, NAN), "column sequence, row 2, step 1, feature u: is NaN; impute it or drop the row."),
    "infinity": (with_number(4, 3, 2, INF), "column sequence, row 4, step 3, feature w: is infinite"),
    "two infinities that cancel": (
        lambda t: with_number(0, 0, 1, INF)(with_number(0, 2, 0, -INF)(t)),
        "column sequence, row 0, step 0, feature v: is infinite (and 1 more)",
    ),
    "a number behind the end": (
        with_number(3, 2, 1, 0.5),
        "column sequence, row 3, step 2: is not 0, but lies behind the end of the sequence, whose length is 2; put",
    ),
    "padding in front": (with_length(0, 3), "column sequence, row 0, step 3: is not 0, but lies behind the end"),
    "NaN behind the end": (with_number(1, 3, 0, NAN), "column sequence, row 1, step 3, feature u: is NaN"),
    "float64": (with_list_type(pa.list_(pa.float64(), 12)), "column sequence: is of type fixed_size_list"),
    "lists of any size": (
        with_list_type(pa.list_(pa.float32())), "but must be a list of float, of one size; cast it to fixed_size_list"
    ),
    "no metadata": (lambda t: t.replace_schema_metadata(None), f"metadata: {FITS}; write it with write_sequences"),
    "no steps": (with_info(features=FEATURES), FITS),
    "steps as text": (with_info(steps="4", features=FEATURES), FITS),
    "number of features": (with_info(steps=4, features=3), FITS),
    "features without names": (with_info(steps=4, features=[1, 2, 3]), FITS),
    "other steps": (with_info(steps=5, features=FEATURES), FITS),
    "no rows": (lambda t: t.slice(0, 0), "holds no rows"),
    "duplicate id": (changed(id=pa.array(list("abcda"))), 'column id, rows 0 and 4: "a" appears twice'),
    "number ids": (changed(id=pa.array(range(5))), "column id: is of type int64, but must be text"),
}  # fmt: skip


@pytest.mark.parametrize("breach", BREACHES)
@pytest.mark.parametrize("rows_a_group", [1, 5])
def test_every_breach_is_one_sentence_with_file_and_place(path, breach, rows_a_group):
    edit, expected = BREACHES[breach]
    pq.write_table(edit(pq.read_table(path)), path, row_group_size=rows_a_group)
    with pytest.raises(InputError) as caught:
        read_view(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and expected in message
    assert "; " in message and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_file_is_named(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"view2\.parquet: cannot be read as Parquet"):
        read_view(path)


def test_a_flipped_byte_is_found(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_view(path)


def test_the_largest_numbers_pass(tmp_path):
    values = np.full((5, STEPS, 3), np.finfo(np.float32).max)
    write_sequences(tmp_path / "view1.parquet", [(IDS, values, [STEPS] * 5)], STEPS, FEATURES)
    np.testing.assert_array_equal(read_view(tmp_path / "view1.parquet")[0], values)


# In a data set


@pytest.fixture
def folder(path):
    """Six pairs of a flat view and of the five sequences."""
    folder = path.parent
    ids = [f"p{k}" for k in range(6)]
    write_view(folder / "view1.parquet", ids, np.arange(12.0).reshape(6, 2), ["length", "q"])
    write_table(folder / "pairs.parquet", pairs_table(ids, ids, list("edcbaa"), ids), {"name": "six"})
    write_table(folder / "splits.parquet", splits_table(ids, [["train"] * 4 + ["test"] * 2]))
    return folder


def test_one_view_of_sequences_and_one_without(folder):
    """A feature may be called length: only lists make a view one of sequences."""
    dataset = read_dataset(folder)
    assert dataset.views[0].shape == (6, 2) and dataset.lengths[0] is None
    np.testing.assert_array_equal(dataset.views[1][dataset.rows[1]], drawn()[[4, 3, 2, 1, 0, 0]])
    assert dataset.lengths[1][dataset.rows[1]].tolist() == [4, 2, 3, 1, 4, 4]
    assert dataset.features == (["length", "q"], FEATURES)


def test_without_sequences_there_are_no_lengths(tiny):
    assert read_dataset(tiny).lengths == (None, None)


def test_latents_are_no_sequences(folder):
    (folder / "view2.parquet").rename(folder / "latents.parquet")
    write_view(folder / "view2.parquet", list("abcde"), np.zeros((5, 1)), ["p"])
    with pytest.raises(InputError, match=r"latents\.parquet: column sequence: is not part of the contract"):
        read_dataset(folder)


PEAK = """
import resource, sys
import numpy as np
from disentangledssl.sequences import read_sequences, write_sequences
rows, steps, width = 1000, 50, 1000
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.argv[1] == "write":
    rng = np.random.default_rng(0)
    blocks = (([f"{k}_{i}" for i in range(100)], rng.random((100, steps, width), np.float32), [steps] * 100)
              for k in range(10))
    write_sequences(sys.argv[2], blocks, steps, [f"f{k}" for k in range(width)])
else:
    assert read_sequences(sys.argv[2])[0].nbytes == 200_000_000
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


@pytest.mark.slow
def test_writing_holds_a_block_and_reading_the_values_once(tmp_path):
    """200 MB in blocks of 20 MB, and in groups of 64 MB."""
    peak = {}
    for what in ("write", "read"):
        command = [sys.executable, "-c", PEAK, what, str(tmp_path / "view1.parquet")]
        peak[what] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert peak["write"] < 150e6 and peak["read"] < 200e6 + 5 * sequences.GROUP_BYTES, peak
