"""MIMIC as MultiBench prepared it, in miniature: the loader spelled out, and nothing but counts in what is said."""

from __future__ import annotations

import csv
import pickle
import random

import numpy as np
import pytest
from miniatures_multibench import draw_mimic

from disentangledssl.dataset import read_dataset, read_pairs
from disentangledssl.errors import InputError
from disentangledssl.sources.mimic import PUBLISHED, convert, split_stays
from disentangledssl.splits import write_splits


@pytest.fixture
def made(tmp_path):
    def run(content=None, task: int = 7, protocol: int = 4):
        (tmp_path / "im.pk").write_bytes(pickle.dumps(draw_mimic() if content is None else content, protocol))
        convert(tmp_path / "im.pk", tmp_path / "data", name="mimic", make={"set": "mimic", "task": task})
        return tmp_path / "data"

    return run


@pytest.mark.parametrize("protocol", [2, 4])
def test_rows_are_those_of_the_file_with_zeros_for_what_is_not_finite(made, protocol):
    folder = made(protocol=protocol)
    write_splits(folder / "pairs.parquet", folder / "splits.parquet", kind="given")
    dataset, raw = read_dataset(folder), draw_mimic()
    for view, rows, key in zip(dataset.views, dataset.rows, ("adm_features_all", "ep_tdata"), strict=True):
        expected = np.where(np.isfinite(raw[key]), raw[key], 0).astype(np.float32)
        np.testing.assert_array_equal(view[rows], expected)
    assert dataset.lengths[0] is None and dataset.lengths[1].tolist() == [24] * 50
    np.testing.assert_array_equal(dataset.labels["icd9_7"], raw["y_icd9"][:, 7])
    assert dataset.ids[[0, 49]].tolist() == ["stay00000", "stay00049"]


def test_the_task_is_a_column(made):
    raw = draw_mimic()
    assert read_pairs(made(task=0) / "pairs.parquet")["y_icd9_0"].to_pylist() == raw["y_icd9"][:, 0].tolist()


def test_the_split_is_that_of_the_loader():
    """Which shuffles the rows themselves, after seeding Python's generator."""
    for n in (50, 57, 1003):
        rows = [f"row {k}" for k in range(n)]
        state = random.getstate()
        random.seed(10)
        random.shuffle(rows)
        random.setstate(state)
        valid, test, train = rows[: n // 10], rows[n // 10 : n // 5], rows[n // 5 :]
        split = split_stays(n)
        for name, expected in (("validation", valid), ("test", test), ("train", train)):
            assert {f"row {k}" for k in np.flatnonzero(split == name)} == set(expected)


def test_the_split_of_the_true_file_has_the_counts_that_the_paper_s_baseline_printed():
    names, counts = np.unique(split_stays(PUBLISHED), return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {"train": 26093, "validation": 3261, "test": 3262}


def test_splitting_leaves_python_s_generator_alone():
    random.seed(3)
    expected = random.random()
    random.seed(3)
    split_stays(100)
    assert random.random() == expected


def test_the_report_holds_counts_alone(made, caplog):
    caplog.set_level("INFO")
    with (made() / "curation.csv").open(newline="") as file:
        report = {line["step"]: line["reason"] for line in csv.DictReader(file)}
    positive = int(draw_mimic()["y_icd9"][:, 7].sum())
    assert report == {
        "read": "static features 5, measurements 12 in 24 hours",
        "compare with what is known": "expected 32,616 stays: -32,566",
        "replace numbers that are not finite": "set to 0: 1 of the static features, 3 of the measurements",
        "label y_icd9_7": f"1 where column 7 of y_icd9 is above 0: {positive} of 50 stays",
        "split": "shuffled with seed 10: train 40, validation 5, test 5",
    }
    numbers = [str(round(float(number), 3)) for number in draw_mimic()["ep_tdata"][:5].ravel()]
    assert caplog.text and not any(number in caplog.text for number in numbers)


def changed(**arrays):
    return lambda content: content.update(arrays)


BREACHES = {
    "no series": (lambda content: content.pop("ep_tdata"), "ep_tdata: is missing"),
    "no labels": (lambda content: content.pop("y_icd9"), "y_icd9: is missing"),
    "static as text": (changed(adm_features_all=np.array([["a"]])), "adm_features_all: is <U1 of shape (1, 1), not"),
    "flat series": (changed(ep_tdata=np.zeros((50, 288))), "ep_tdata: is float64 of shape (50, 288), not an array"),
    "fewer labels": (
        changed(y_icd9=np.zeros((49, 20))), "ep_tdata: has 50 stays, but adm_features_all has 50 and y_icd9 49; check"
    ),
    "fewer tasks": (changed(y_icd9=np.zeros((50, 7))), "y_icd9: has no column 7; name one of 0 to 6 in make.task."),
    "hostile": (changed(adm_labels_all=print), "is a pickle that asks for builtins.print, which may run code"),
}  # fmt: skip


@pytest.mark.parametrize("breach", BREACHES)
def test_every_breach_is_one_sentence(tmp_path, made, breach):
    edit, expected = BREACHES[breach]
    content = draw_mimic()
    edit(content)
    with pytest.raises(InputError) as caught:
        made(content)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'im.pk'}: ") and expected in said and said.endswith(".") and "\n" not in said
    assert not list((tmp_path / "data").glob("*"))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file; put it there by hand"):
        convert(tmp_path / "im.pk", tmp_path / "data", name="mimic", make={"set": "mimic", "task": 7})
