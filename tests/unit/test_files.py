"""Writing: a final name always holds a whole file, and the same content has the same bytes."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from disentangledssl.atomic import atomic
from disentangledssl.errors import InputError
from disentangledssl.files import read_json, read_table, table_info, write_json, write_table

TABLE = pa.table({"run": ["a", "b"], "value": [0.5, None]})

HALF_A_FILE = """
import sys, time
from disentangledssl.atomic import atomic
with atomic(sys.argv[1]) as part:
    with open(part, "w") as file:
        file.write("half")
        file.flush()
        print("written", flush=True)
        time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- atomic


def test_atomic_makes_folders_and_leaves_the_final_file_alone(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    with atomic(path) as part:
        part.write_text("new")
        assert part.parent == path.parent
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(path.parent) == ["c.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_nothing(tmp_path, error):
    with pytest.raises(error), atomic(tmp_path / "c.txt") as part:
        part.write_text("half")
        raise error
    assert names(tmp_path) == []


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("old")
    with pytest.raises(ValueError), atomic(path) as part:
        part.write_text("half")
        raise ValueError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["c.txt"]


def test_an_error_of_the_disk_names_the_final_file(tmp_path):
    with pytest.raises(OSError) as caught, atomic(tmp_path / "c.txt"):
        raise OSError(errno.EIO, "something")
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(tmp_path / "c.txt"))
    with pytest.raises(OSError) as caught, atomic(tmp_path / "c.txt"):
        raise OSError("in a library's own words, without a number")
    assert caught.value.strerror == "in a library's own words, without a number"
    assert caught.value.filename == str(tmp_path / "c.txt") and names(tmp_path) == []


def test_an_error_that_names_another_file_is_left_alone(tmp_path):
    with pytest.raises(PermissionError) as caught, atomic(tmp_path / "c.txt"):
        raise PermissionError(errno.EACCES, "Permission denied", "input.txt")
    assert caught.value.filename == "input.txt"


@pytest.mark.parametrize(("free", "full"), [(0, True), (2**20 - 1, True), (2**20, False)])
def test_a_librarys_error_on_a_full_disk_says_that_it_is_full(tmp_path, monkeypatch, free, full):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    own = RuntimeError("PytorchStreamWriter failed writing file")
    with pytest.raises(Exception) as caught, atomic(tmp_path / "c.txt") as part:
        part.write_text("half")
        raise own
    if full:
        assert isinstance(caught.value, OSError) and caught.value.__cause__ is own
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "c.txt"))
        assert str(caught.value).startswith(f"[Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}: ")
    else:
        assert caught.value is own
    assert names(tmp_path) == []


def test_a_stop_on_a_full_disk_is_a_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(KeyboardInterrupt), atomic(tmp_path / "c.txt"):
        raise KeyboardInterrupt


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "c.txt"):
        pass
    assert names(tmp_path) == []


def test_text_paths_are_paths(tmp_path):
    with atomic(os.fspath(tmp_path / "c.txt")) as part:
        part.write_text("new")
    assert names(tmp_path) == ["c.txt"]


@pytest.mark.parametrize("old", [None, "old"])
def test_a_kill_in_mid_write_leaves_no_half_file(tmp_path, old):
    path = tmp_path / "c.txt"
    if old:
        path.write_text(old)
    process = subprocess.Popen([sys.executable, "-c", HALF_A_FILE, path], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "written\n"
    finally:
        process.kill()
        process.communicate()
    assert (path.read_text() if path.exists() else None) == old
    assert [name for name in names(tmp_path) if name != "c.txt"] == [f"c.txt.{process.pid}.part"]
    write_json(path, {"whole": True})
    assert read_json(path) == {"whole": True}


# ---------------------------------------------------------------- tables


def test_same_table_same_bytes(tmp_path):
    info = {"title": "Tiny", "seed": 0, "nested": {"b": 1, "a": [1, 2]}}
    write_table(tmp_path / "a.parquet", TABLE, info)
    turned = {key: info[key] for key in reversed(info)}
    write_table(tmp_path / "b.parquet", pa.table(TABLE.to_pydict()), turned)
    # Metadata that came along with a table (here pandas') must not get in.
    write_table(tmp_path / "c.parquet", TABLE.replace_schema_metadata({b"pandas": b"{}"}), info)
    contents = {(tmp_path / name).read_bytes() for name in names(tmp_path)}
    assert len(contents) == 1
    write_table(tmp_path / "d.parquet", TABLE, info | {"seed": 1})
    assert (tmp_path / "d.parquet").read_bytes() not in contents


def test_a_table_comes_back_with_its_info(tmp_path):
    write_table(tmp_path / "a.parquet", TABLE, {"seed": 0})
    table = read_table(tmp_path / "a.parquet")
    assert table.to_pydict() == TABLE.to_pydict()
    assert table_info(table) == {"seed": 0}
    write_table(tmp_path / "b.parquet", TABLE)
    assert table_info(read_table(tmp_path / "b.parquet")) == {}


def test_a_strangers_table_has_no_info(tmp_path):
    pq.write_table(TABLE, tmp_path / "a.parquet")
    assert table_info(read_table(tmp_path / "a.parquet")) == {}


def test_folders_named_key_value_add_no_column(tmp_path):
    # Run ids are such names, and Parquet readers like to see partitions in them.
    write_table(tmp_path / "beta=1,fold=0" / "seed=3" / "a.parquet", TABLE)
    assert read_table(tmp_path / "beta=1,fold=0" / "seed=3" / "a.parquet").column_names == TABLE.column_names


def test_unreadable_tables(tmp_path):
    path = tmp_path / "a.parquet"
    with pytest.raises(InputError, match=r"a\.parquet: no such file; make it first"):
        read_table(path)
    whole = tmp_path / "whole.parquet"
    write_table(whole, pa.table({"x": np.arange(2000.0)}))
    content = whole.read_bytes()
    for damaged in (content[: len(content) // 2], content[:-1], content[:3], b"", b"<html>not found</html>"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.parquet: cannot be read as Parquet") as caught:
            read_table(path)
        assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- JSON


def test_json_comes_back(tmp_path):
    content = {"b": [1, 2.5, None], "a": "ä"}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content
    assert (tmp_path / "a.json").read_text(encoding="utf-8").endswith("}\n")


def test_unreadable_json(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(InputError, match=r"a\.json: no such file"):
        read_json(path)
    for damaged in (b'{"beta": ', b"", b"\xff\xfe"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.json: not valid JSON .*; delete it and run again\."):
            read_json(path)


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"path": tmp_path})
    with pytest.raises(TypeError):
        write_table(tmp_path / "a.parquet", TABLE, {"path": tmp_path})
    assert names(tmp_path) == []
