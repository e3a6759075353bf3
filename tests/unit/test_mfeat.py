"""Handwritten digits: what is in the bundle, and what conversion makes of it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from disentangledssl.dataset import read_dataset
from disentangledssl.errors import InputError
from disentangledssl.multibench_references import untrained_rows
from disentangledssl.sources.mfeat import convert
from disentangledssl.splits import write_splits

BUNDLE = Path(__file__).parents[2] / "data" / "mfeat" / "mfeat.npz"
MAKE = {"set": "mfeat", "view1": "pix", "view2": "zer"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("mfeat")
    convert(BUNDLE, out, name="digits", make=MAKE)
    write_splits(out / "pairs.parquet", out / "splits.parquet", kind="given")
    return out


def test_values_labels_and_split_are_those_of_the_bundle(folder):
    dataset, bundle = read_dataset(folder), np.load(BUNDLE)
    for view, of_pair, name in zip(dataset.views, dataset.rows, ("pix", "zer"), strict=True):
        assert np.array_equal(view[of_pair], bundle[name])
    assert np.array_equal(dataset.labels["c"], bundle["y_c"]) and np.array_equal(dataset.labels["s1"], bundle["y_s1"])
    for number, split in enumerate(("train", "validation", "test")):
        assert np.array_equal(dataset.pairs_in(0, split), np.flatnonzero(bundle["split"] == number))
    assert dataset.info["name"] == "digits" and dataset.info["stand_in"] is True
    assert "stand-in" in dataset.info["title"]


def test_every_row_is_kept_and_that_is_written_down(folder):
    with (folder / "curation.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert (line["step"], line["rows_before"], line["rows_after"]) == ("read", "0", "2000")
    assert line["time_steps_after"] == "0"
    assert line["reason"] == "pix of 240 features, zer of 47 features; no time steps"


def test_labels_are_the_digit_with_9_as_6_and_6_against_9(folder):
    dataset = read_dataset(folder)
    meaning = {6: (6, 0), 9: (6, 1)}
    for digit, shared, specific in zip(dataset.meta["digit"], dataset.labels["c"], dataset.labels["s1"], strict=True):
        assert (shared, specific) == meaning.get(digit, (digit, -1))
    counts = {split: np.bincount(dataset.meta["digit"][dataset.pairs_in(0, split)]) for split in ("train", "test")}
    assert set(counts["train"]) == {120} and set(counts["test"]) == {40}


@pytest.mark.slow
def test_only_the_first_view_tells_6_from_9(folder):
    """What makes the set a test of shared and specific representations (PROVENANCE.md)."""
    rows = untrained_rows(read_dataset(folder), 0, {"solver": "exact", "max_iter": 200, "codes": "raw"})
    test = {(row.get("representation"), row["label"]): row["value"] for row in rows if row["metric"] == "accuracy"}
    assert test["x1", "s1"] == 1 and abs(test["x2", "s1"] - 0.5) < 0.17, "three standard errors of 80 guesses"
    assert min(test["x1", "c"], test["x2", "c"]) > 0.9


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut short"], ids=["missing", "empty", "cut short"])
def test_a_bundle_that_cannot_be_read_is_told(tmp_path, content):
    path = tmp_path / "mfeat.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="copy the bundled file anew"):
        convert(path, tmp_path / "out", name="mfeat", make=MAKE)
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_lacks_an_array_is_told(tmp_path):
    np.savez(tmp_path / "mfeat.npz", pix=np.zeros((3, 2)))
    with pytest.raises(InputError, match="zer"):
        convert(tmp_path / "mfeat.npz", tmp_path / "out", name="mfeat", make=MAKE)
