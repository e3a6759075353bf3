"""The text of MUStARD: the bundled file, looked up word by word, and what is wrong with a damaged one."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest

from disentangledssl import sequences
from disentangledssl.dataset import read_dataset
from disentangledssl.errors import InputError
from disentangledssl.sources.mustard_text import convert
from disentangledssl.splits import write_splits

BUNDLED = Path(__file__).parents[2] / "data" / "mustard_text" / "mustard_text.npz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mustard_text")
    convert(BUNDLED, folder, name="mustard_text", make={"set": "mustard_text"})
    write_splits(folder / "pairs.parquet", folder / "splits.parquet", kind="given")
    return folder


@pytest.fixture(scope="module")
def raw():
    with np.load(BUNDLED, allow_pickle=False) as arrays:
        return dict(arrays)


def test_words_are_looked_up_in_their_order(folder, raw):
    dataset = read_dataset(folder)
    rows = {name: row for row, name in enumerate(raw["id"].tolist())}
    assert [view.shape for view in dataset.views] == [(687, 50, 300), (687, 100, 300)]
    for m, view in enumerate(("utterance", "context")):
        for pair in range(0, 687, 23):
            words = [word for word in raw[view][rows[dataset.ids[pair]]] if word >= 0]
            place = dataset.rows[m][pair]
            assert dataset.lengths[m][place] == len(words)
            np.testing.assert_array_equal(dataset.views[m][place, : len(words)], raw["vectors"][words])
            assert not dataset.views[m][place, len(words) :].any()


def test_labels_and_splits_are_those_of_the_file(folder, raw):
    dataset = read_dataset(folder)
    rows = [raw["id"].tolist().index(name) for name in dataset.ids]
    np.testing.assert_array_equal(dataset.labels["sarcasm"], raw["sarcasm"][rows])
    np.testing.assert_array_equal(dataset.labels["show"], raw["show"][rows])
    for number, name in enumerate(("train", "validation", "test")):
        np.testing.assert_array_equal(dataset.folds[0] == name, raw["split"][rows] == number)
    assert [dataset.pairs_in(0, split).size for split in ("train", "validation", "test")] == [412, 137, 138]


def test_the_three_without_context_are_dropped(folder, raw):
    without = raw["id"][(raw["context"] < 0).all(axis=1)].tolist()
    assert len(without) == 3 and not set(without) & set(read_dataset(folder).ids.tolist())
    with (folder / "curation.csv").open(newline="") as file:
        report = list(csv.DictReader(file))
    assert [(line["step"], line["rows_after"]) for line in report] == [
        ("read", "690"), ("move padding to the end", "690"), ("drop pairs without text", "687")
    ]  # fmt: skip
    words = (raw["utterance"] >= 0).sum() + (raw["context"] >= 0).sum()
    assert int(report[1]["time_steps_after"]) == words


def test_it_is_never_called_more_than_text(folder):
    info = read_dataset(folder).info
    assert "text only" in info["title"] and info["stand_in"] is True


def test_blocks_make_no_difference(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(sequences, "GROUP_BYTES", 20 * 50 * 1200)
    convert(BUNDLED, tmp_path, name="mustard_text", make={"set": "mustard_text"})
    write_splits(tmp_path / "pairs.parquet", tmp_path / "splits.parquet", kind="given")
    np.testing.assert_array_equal(read_dataset(tmp_path).views[0], read_dataset(folder).views[0])


def test_the_file_is_the_one_of_its_provenance():
    digest = hashlib.sha256(BUNDLED.read_bytes()).hexdigest()
    assert digest in (BUNDLED.parent / "PROVENANCE.md").read_text()


def test_a_damaged_or_missing_file_is_named(tmp_path):
    path = tmp_path / "mustard_text.npz"
    with pytest.raises(InputError, match=r"mustard_text\.npz: no such file; copy the bundled file anew"):
        convert(path, tmp_path, name="mustard_text", make={"set": "mustard_text"})
    path.write_bytes(BUNDLED.read_bytes()[:100_000])
    with pytest.raises(InputError, match=r"mustard_text\.npz: cannot be read \("):
        convert(path, tmp_path, name="mustard_text", make={"set": "mustard_text"})
    np.savez(path, vectors=np.zeros((2, 300)))
    with pytest.raises(InputError, match=r"cannot be read \(.*utterance"):
        convert(path, tmp_path, name="mustard_text", make={"set": "mustard_text"})
