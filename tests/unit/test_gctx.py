"""GCTX: slices are what was asked for, memory is bounded, and each kind of damage ends in one sentence."""

from __future__ import annotations

import gzip
import io
import os
import tracemalloc
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from miniatures_lincs import draw, write_gctx

from disentangledssl.errors import InputError
from disentangledssl.sources import gctx
from disentangledssl.sources.gctx import GENES, MATRIX, WELLS, hdf5_bytes, read_wells, stretches, unpack

MINIATURE = draw()
IDS = [row["inst_id"] for row in MINIATURE.wells]


@pytest.fixture
def path(tmp_path) -> Path:
    write_gctx(tmp_path / "mini.gctx", MINIATURE)
    return tmp_path / "mini.gctx"


def refuse(path: Path, wells=IDS[:3], genes=("107", "119")) -> str:
    """The one sentence that reading ends in."""
    with pytest.raises(InputError) as error:
        read_wells(path, list(wells), list(genes))
    assert str(error.value).startswith(f"{path}") and "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "storage",
    [{}, {"chunks": (7, 20)}, {"chunks": (7, 3), "compression": "gzip"}, {"chunks": (500, 20), "maxshape": (None, 20)}],
    ids=["contiguous", "chunks of rows", "compressed", "one chunk"],
)
@pytest.mark.parametrize("block", [1, 3 * 80, 2**26])
def test_wells_and_genes_come_in_the_order_asked_for(tmp_path, monkeypatch, storage, block):
    monkeypatch.setattr(gctx, "BLOCK_BYTES", block)
    monkeypatch.setattr(gctx, "READ_THROUGH", 100)
    write_gctx(tmp_path / "mini.gctx", MINIATURE, **storage)
    rng = np.random.default_rng(1)
    wells, genes = rng.permutation(IDS)[:60].tolist(), ["119", "100", "112"]
    values = read_wells(tmp_path / "mini.gctx", wells, genes)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.float32([[MINIATURE.expression[w][g] for g in genes] for w in wells]))
    assert read_wells(tmp_path / "mini.gctx", [], genes).shape == (0, 3)


def test_ids_padded_or_of_any_length(path):
    with h5py.File(path, "r+") as file:
        ids = [name.decode().ljust(60) for name in file[WELLS][:]]
        del file[WELLS]
        file[WELLS] = ids  # text of variable length, padded with blanks
    assert read_wells(path, IDS[:1], ["107"])[0, 0] == np.float32(MINIATURE.expression[IDS[0]]["107"])


@pytest.mark.parametrize("chunk", [1, 4, 50])
def test_stretches_hold_each_row_once_and_no_more_than_a_block(monkeypatch, chunk):
    monkeypatch.setattr(gctx, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(gctx, "READ_THROUGH", 35)
    rng = np.random.default_rng(chunk)
    for _ in range(20):
        rows = np.flatnonzero(rng.uniform(size=203) < rng.uniform())
        found = list(stretches(rows, 10, chunk, 203))
        covered = [row for which, _, _ in found for row in rows[which]]
        assert covered == rows.tolist()
        for which, start, stop in found:
            assert start <= rows[which][0] and rows[which][-1] < stop <= 203 and (stop - start) * 10 <= 1000
            assert start % chunk == 0 and (stop % chunk == 0 or stop == 203)
            # Within a stretch, whole chunks that nobody wants are few.
            pieces = np.unique(rows[which] // chunk)
            assert (np.diff(pieces) - 1).max(initial=0) * chunk * 10 <= 35
        assert all(one[2] <= other[1] for one, other in pairwise(found))


def test_the_matrix_is_never_whole_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(gctx, "BLOCK_BYTES", 2**20)
    wells, genes = [f"w{k}" for k in range(6000)], [f"g{k}" for k in range(1000)]
    with h5py.File(tmp_path / "large.gctx", "w") as file:
        file[MATRIX] = np.repeat(np.arange(6000, dtype=np.float32)[:, None], 1000, axis=1)
        file[WELLS], file[GENES] = np.array(wells, "S"), np.array(genes, "S")
    tracemalloc.start()
    values = read_wells(tmp_path / "large.gctx", wells, genes[::100])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (values == np.arange(6000)[:, None]).all()
    # 24 MB of matrix; a block, the values asked for and the ids are 3.
    assert peak < 5 * 2**20


# Damage


def test_no_hdf5_file(path):
    assert "no such file; make it first" in refuse(path.with_name("other.gctx"))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "cannot be read as HDF5 (truncated file" in refuse(path)
    path.write_bytes(b"<html>sorry</html>")
    assert "cannot be read as HDF5 (file signature not found)" in refuse(path)


@pytest.mark.parametrize("name", [MATRIX, WELLS, GENES])
def test_a_missing_data_set(path, name):
    with h5py.File(path, "r+") as file:
        del file[name]
    assert f": {name}: is missing; use a GCTX file." in refuse(path)


def test_what_is_no_matrix_of_numbers(path):
    with h5py.File(path, "r+") as file:
        del file[MATRIX]
        file[MATRIX] = np.arange(20)
    assert "holds int64 of shape (20,), not numbers by well and gene" in refuse(path)


def test_ids_that_are_no_text(path):
    with h5py.File(path, "r+") as file:
        del file[GENES]
        file[GENES] = np.arange(20)
    assert f"{GENES}: holds int64, not text" in refuse(path)


@pytest.mark.parametrize(("name", "what", "count"), [(WELLS, "wells", len(IDS)), (GENES, "genes", 20)])
def test_ids_and_matrix_that_disagree(path, name, what, count):
    with h5py.File(path, "r+") as file:
        ids = file[name][:-1]
        del file[name]
        file[name] = ids
    assert f"{name}: names {count - 1} {what}, but the matrix has {count}" in refuse(path)


def test_an_id_twice(path):
    with h5py.File(path, "r+") as file:
        file[WELLS][5] = file[WELLS][9]
        twice = file[WELLS][9].decode()
    assert f"{WELLS}: names a well twice: {twice}; use a file that names each once." in refuse(path, [twice])


def test_an_id_that_is_not_there(path):
    said = refuse(path, [*IDS[:2], "x:A01", "y:A01"])
    assert f"{WELLS}: does not name wells that the tables list: x:A01, y:A01; use matrix and tables of one" in said
    assert f"{GENES}: does not name genes that the tables list: 7" in refuse(path, genes=["107", "7"])


@pytest.mark.parametrize(("value", "seen"), [(np.nan, "is NaN"), (-np.inf, "is infinite")])
def test_what_is_not_finite_is_named_by_well_and_gene(path, value, seen):
    with h5py.File(path, "r+") as file:
        row = file[WELLS][:].tolist().index(IDS[1].encode())
        column = file[GENES][:].tolist().index(b"119")
        file[MATRIX][row, column] = value
    assert f": well {IDS[1]}, gene 119: {seen}; " in refuse(path)
    # It does not matter where nobody looks.
    assert (
        np.isfinite(read_wells(path, IDS[:3], ["107"])).all() and np.isfinite(read_wells(path, IDS[2:], ["119"])).all()
    )


def test_a_damaged_chunk(tmp_path):
    path = tmp_path / "mini.gctx"
    write_gctx(path, MINIATURE, chunks=(50, 20), compression="gzip", fletcher32=True)
    with h5py.File(path) as file:
        offset = file[MATRIX].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 30] ^= 1
    path.write_bytes(content)
    assert "rows " in (said := refuse(path, IDS)) and "cannot be read" in said


# Unpacking


def test_unpacked_is_what_was_packed(path, tmp_path):
    packed = tmp_path / "mini.gctx.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    unpack(packed, tmp_path / "out" / "mini.gctx")
    assert (tmp_path / "out" / "mini.gctx").read_bytes() == path.read_bytes()
    assert os.listdir(tmp_path / "out") == ["mini.gctx"]


@pytest.mark.parametrize("damage", ["cut short", "no end", "one bit"])
def test_a_damaged_gzip_leaves_nothing(path, tmp_path, damage):
    content = bytearray(gzip.compress(path.read_bytes()))
    if damage == "one bit":
        content[len(content) // 2] ^= 4
    packed = tmp_path / "mini.gctx.gz"
    packed.write_bytes({"cut short": content[: len(content) // 2], "no end": content[:-8]}.get(damage, content))
    with pytest.raises(InputError, match=r"mini\.gctx\.gz: is cut short or damaged \(.*\); delete it and run again"):
        unpack(packed, tmp_path / "out" / "mini.gctx")
    assert os.listdir(tmp_path / "out") == []


def test_a_disk_that_is_too_small_is_known_before_it_is_full(path, tmp_path):
    content = bytearray(path.read_bytes())
    content[40:48] = (10**17).to_bytes(8, "little")  # where HDF5 says how large it is
    (tmp_path / "mini.gctx.gz").write_bytes(gzip.compress(content))
    with pytest.raises(
        InputError, match=r"mini\.gctx: 100000000000 MB are to be unpacked and \d+ MB are free; free some"
    ):
        unpack(tmp_path / "mini.gctx.gz", tmp_path / "out" / "mini.gctx")
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("version", ["earliest", "v110", "latest"])
def test_hdf5_knows_its_size(version):
    file = io.BytesIO()
    with h5py.File(file, "w", libver=version) as content:
        content["x"] = np.arange(100_000)
    assert hdf5_bytes(file.getvalue()[:64]) == len(file.getvalue()) > 400_000
    assert hdf5_bytes(b"PK\x03\x04") == 0
