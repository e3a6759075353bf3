"""MOSI, MOSEI, UR-FUNNY and MUStARD: their pickles in miniature, against the loader spelled out row by row."""

from __future__ import annotations

import csv
import os
import pickle
import weakref

import numpy as np
import pytest
from miniatures_multibench import CLIPS, STEPS, WIDTHS, WORDLESS, draw_clips

from disentangledssl import sequences
from disentangledssl.dataset import read_dataset, read_pairs, read_view
from disentangledssl.errors import InputError
from disentangledssl.sources import multibench
from disentangledssl.sources.multibench import LABELS, PUBLISHED, SPLITS, convert
from disentangledssl.splits import write_splits

KINDS = ("mosi", "mosei", "ur_funny", "mustard")
MOSI = {"set": "mosi", "neutral": "positive"}


def write(folder, content, protocol: int = 4):
    path = folder / "raw.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.fixture
def made(tmp_path):
    """Convert a miniature (or ``content``) and give the folder."""

    def run(kind: str = "mosi", content=None, protocol: int = 4, **settings):
        settings = ({"neutral": "positive"} if kind in ("mosi", "mosei") else {}) | settings
        path = write(tmp_path, draw_clips(kind) if content is None else content, protocol)
        convert(path, tmp_path / "data", name=kind, make={"set": kind, **settings})
        return tmp_path / "data"

    return run


def load_as_the_reference(content):
    """What the loader of FactorCL's code keeps of each split: (split, row, vision, text, label), cut at the front."""
    for split, arrays in content.items():
        for row in range(len(arrays["text"])):
            vision, text = arrays["vision"][row], arrays["text"][row]
            if text.sum() == 0:
                continue
            start = text.nonzero()[0][0]
            yield split, row, vision[start:], text[start:], float(arrays["labels"][row].item())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", [2, 4])
def test_clips_are_those_of_the_reference_loader(made, kind, protocol):
    folder = made(kind, protocol=protocol)
    pairs = read_pairs(folder / "pairs.parquet").to_pylist()
    views = [read_view(folder / f"view{m}.parquet") for m in (1, 2)]
    lengths = [sequences.read_lengths(folder / f"view{m}.parquet") for m in (1, 2)]
    expected = list(load_as_the_reference(draw_clips(kind)))
    assert len(pairs) == len(expected) == sum(CLIPS.values()) - 1
    for place, (pair, (split, row, *arrays, label)) in enumerate(zip(pairs, expected, strict=True)):
        assert pair["id"] == pair["view1"] == pair["view2"] == pair["group"] == f"{split}_{row:05d}"
        assert pair["meta_split"] == SPLITS[split]
        for (values, _, ids), length, array in zip(views, lengths, arrays, strict=True):
            assert ids[place] == pair["id"] and length[place] == len(array)
            np.testing.assert_array_equal(values[place, : len(array)], array.astype(np.float32))
            assert not values[place, len(array) :].any()
        at_least = label >= 0 if kind in ("mosi", "mosei") else label == 1
        assert pair[f"y_{LABELS[kind]}"] == at_least


def test_the_folder_is_a_paired_data_set(made):
    folder = made("mustard")
    write_splits(folder / "pairs.parquet", folder / "splits.parquet", kind="given")
    dataset = read_dataset(folder)
    assert [view.shape for view in dataset.views] == [(39, STEPS, WIDTHS["vision"]), (39, STEPS, WIDTHS["text"])]
    assert dataset.features[0] == [f"vision_{k}" for k in range(4)] and set(dataset.labels) == {"sarcasm"}
    assert [dataset.pairs_in(0, split).size for split in ("train", "validation", "test")] == [23, 8, 8]
    assert dataset.info["name"] == "mustard" and dataset.info["stand_in"] is False
    assert 1 <= dataset.lengths[0].min() < dataset.lengths[0].max() == STEPS
    assert (dataset.lengths[0] == dataset.lengths[1]).all()


@pytest.mark.parametrize("neutral", ["positive", "negative"])
def test_on_which_side_a_neutral_clip_is(made, neutral):
    pairs = read_pairs(made("mosi", neutral=neutral) / "pairs.parquet").to_pylist()
    by_score = {pair["meta_sentiment"]: set() for pair in pairs}
    for pair in pairs:
        by_score[pair["meta_sentiment"]].add(pair["y_sentiment"])
    assert by_score.pop(0.0) == {int(neutral == "positive")}
    assert all(classes == {int(score > 0)} for score, classes in by_score.items()) and len(by_score) > 4


def test_ids_of_the_file_are_kept_as_descriptions(made):
    pairs = read_pairs(made("mosi") / "pairs.parquet").to_pylist()
    assert pairs[0]["meta_source_id"] == "train_video0[0]"


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (np.array([["v", "0", "1"]] * 24), "v_0_1"),
        (np.array([[b"v", b"0", b"1"]] * 24, object), "v_0_1"),
        ([b"v"] * 24, "v"),
        (np.arange(24), "0"),
        (["too", "few"], ""),
        (None, ""),
    ],
)
def test_ids_of_any_form(made, ids, expected):
    content = draw_clips()
    content["train"]["id"] = ids
    assert read_pairs(made("mosi", content) / "pairs.parquet").to_pylist()[0]["meta_source_id"] == expected


def test_blocks_make_no_difference(made, monkeypatch):
    whole = read_view(made() / "view1.parquet")[0]
    monkeypatch.setattr(sequences, "GROUP_BYTES", 3 * 8 * STEPS * WIDTHS["vision"])
    folder = made()
    np.testing.assert_array_equal(read_view(folder / "view1.parquet")[0], whole)


def test_numbers_that_are_not_finite_become_zero_and_are_counted(made):
    content = draw_clips()
    content["train"]["vision"][0, 5, 0], content["test"]["vision"][1, 5, 1] = np.nan, -np.inf
    content["valid"]["text"][2, 5, 3] = 1e300  # beyond float32
    # Padding is cut off with what is in it.
    row = int(np.flatnonzero(~content["train"]["text"][:, 0].any(axis=1))[0])
    content["train"]["vision"][row, 0, 0] = np.nan
    folder = made("mosi", content)
    vision, text = (read_view(folder / f"view{m}.parquet")[0] for m in (1, 2))
    assert np.isfinite(vision).all() and np.isfinite(text).all() and vision[0, 5, 0] == 0
    assert lines(folder)["replace numbers that are not finite"]["reason"] == "set to 0: 2 of vision, 1 of text"


def lines(folder) -> dict[str, dict[str, str]]:
    with (folder / "curation.csv").open(newline="") as file:
        return {line["step"]: line for line in csv.DictReader(file)}


def test_every_step_is_a_line_of_the_report(made):
    report = lines(made("ur_funny"))
    kept = [len(text) for _, _, _, text, _ in load_as_the_reference(draw_clips("ur_funny"))]
    counts = {step: (int(line["rows_after"]), int(line["time_steps_after"])) for step, line in report.items()}
    assert counts == {
        "read": (40, 40 * STEPS),
        "compare with what is known": (40, 40 * STEPS),
        "drop clips without text": (39, 39 * STEPS),
        "cut at the first word": (39, sum(kept)),
        "label y_humour": (39, sum(kept)),
        "replace numbers that are not finite": (39, sum(kept)),
    }
    assert report["read"]["reason"] == (
        "train 24, validation 8, test 8, of 6 time steps; vision of 4, text of 5; audio is not used"
    )
    assert report["drop clips without text"]["reason"] == "no word in any time step: 1 of train, 0 of valid, 0 of test"
    assert report["compare with what is known"]["reason"] == (
        "expected 8,074, 1,034, 1,058 clips: train -8,050, validation -1,026, test -1,050"
    )
    assert report["label y_humour"]["reason"].startswith("1 where the file has 1, else 0: ")


def test_the_known_counts_are_those_of_the_files():
    """Sizes that gdown printed: clips x steps x features x bytes of a number."""
    totals = {kind: sum(counts) for kind, counts in PUBLISHED.items()}
    assert totals == {"mosi": 2199, "mosei": 22777, "ur_funny": 10166, "mustard": 690}
    assert round(totals["mosei"] * 50 * 409 * 8 / 1e9, 2) == 3.73
    assert round(totals["ur_funny"] * 40 * 752 * 4 / 1e9, 2) == 1.22
    assert round(totals["mustard"] * 50 * 752 * 8 / 1e6) == 208


# What is refused


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("made",)


def without(split, key):
    def edit(content):
        del content[split][key]

    return edit


def put(split, key, value):
    def edit(content):
        content[split][key] = value

    return edit


def no_words(content):
    for arrays in content.values():
        arrays["text"][:] = 0


BREACHES = {
    "no valid": (lambda content: content.pop("valid"), "valid: is missing, or no dict of arrays; check that it is"),
    "a list of splits": (lambda content: content.update(train=[1]), "train: is missing, or no dict of arrays"),
    "no text": (without("test", "text"), "test.text: is missing; check that it is the file that docs/downloads.md"),
    "text as text": (
        put("train", "text", np.array([[["a"]]])), "train.text: is <U1 of shape (1, 1, 1), not an array of numbers of 3"
    ),
    "flat vision": (put("valid", "vision", np.zeros((8, 4))), "valid.vision: is float64 of shape (8, 4), not an array"),
    "vision as list": (put("valid", "vision", []), "valid.vision: is list, not an array of numbers of 3 dimensions"),
    "other clips": (
        put("test", "vision", np.zeros((7, 6, 4))), "test.vision: has (7, 6) clips and time steps, but text has (8, 6)"
    ),
    "other time steps": (put("test", "vision", np.zeros((8, 5, 4))), "test.vision: has (8, 5) clips and time steps"),
    "other features": (
        put("test", "vision", np.ones((8, 6, 3))),
        "vision: differs between the splits (train (6, 4), valid (6, 4), test (6, 3))",
    ),
    "labels of another task": (
        put("train", "labels", np.zeros((24, 1, 7))), "train.labels: is not one number a clip ((24, 1, 7), 24 clips)"
    ),
    "no labels": (without("train", "labels"), "train.labels: is not one number a clip (NoneType, 24 clips)"),
    "no score": (put("test", "labels", np.full((8, 1, 1), np.nan)), "labels: holds numbers that are not finite"),
    "no words at all": (no_words, "no row is left after the step drop clips without text"),
    "hostile": (put("train", "id", Hostile()), "is a pickle that asks for posix.mkdir, which may run code"),
}  # fmt: skip


@pytest.mark.parametrize("breach", BREACHES)
def test_every_breach_is_one_sentence(tmp_path, monkeypatch, made, breach):
    monkeypatch.chdir(tmp_path)
    edit, expected = BREACHES[breach]
    content = draw_clips()
    edit(content)
    with pytest.raises(InputError) as caught:
        made("mosi", content)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'raw.pkl'}: ") and expected in said
    assert said.endswith(".") and "\n" not in said
    assert not (tmp_path / "made").exists() and not list((tmp_path / "data").glob("*"))


def test_a_splits_array_is_let_go_when_it_is_written():
    arrays = [np.ones((2, 3, 1)), np.ones((1, 3, 1))]
    parts = [
        multibench.Part("train", {"text": one}, 3, np.zeros(len(one)), [], np.arange(len(one)), np.zeros(len(one), int))
        for one in arrays
    ]
    known = [weakref.ref(arrays.pop(0)), weakref.ref(arrays.pop(0))]
    blocks = multibench._blocks(parts, "text", [])
    next(blocks)
    assert all(one() is not None for one in known)
    next(blocks)
    assert known[0]() is None and known[1]() is not None


def test_a_third_class_is_refused(made):
    content = draw_clips("ur_funny")
    content["test"]["labels"][0] = 2
    with pytest.raises(InputError, match=r"labels: holds 2\.0, but a label is 1, or else 0 or -1"):
        made("ur_funny", content)


@pytest.mark.parametrize("content", [b"", b"\x80\x04K", b"<html></html>"])
def test_what_is_no_pickle(tmp_path, content):
    (tmp_path / "raw.pkl").write_bytes(content)
    with pytest.raises(InputError, match=r"raw\.pkl: cannot be read as a pickle"):
        convert(tmp_path / "raw.pkl", tmp_path / "data", name="mosi", make=MOSI)


def test_what_is_no_file(tmp_path):
    with pytest.raises(InputError, match="no such file; fetch it, or put it there by hand"):
        convert(tmp_path / "raw.pkl", tmp_path / "data", name="mosi", make=MOSI)


def test_a_dict_is_demanded(made):
    with pytest.raises(InputError, match="train: is missing"):
        made("mosi", [1, 2])


def test_the_wordless_clip_is_the_one_that_is_dropped(made):
    ids = read_view(made() / "view2.parquet")[2].tolist()
    assert f"train_{WORDLESS:05d}" not in ids and "train_00000" in ids
