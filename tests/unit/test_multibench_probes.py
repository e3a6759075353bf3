"""Linear probes of shared, specific and both representations: against scikit-learn, split by split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from probing import PROBE, RAW, accuracies, literal, two_labels

from disentangledssl.files import read_table
from disentangledssl.measurements import reference_run
from disentangledssl.multibench_probes import METRICS, accuracy_rows, joined_codes
from disentangledssl.probes import PROBE_COLUMNS, probe_models
from disentangledssl.training import train_stack

NAMED = reference_run("any", 0)


@pytest.fixture
def dataset(tiny):
    return two_labels(tiny)


def test_codes_are_put_side_by_side_by_kind():
    rng = np.random.default_rng(0)
    zc1, zc2, zs1, zs2 = codes = [rng.normal(size=(3, width)) for width in (2, 2, 4, 4)]
    found = joined_codes(dict(zip(("zc1", "zc2", "zs1", "zs2"), codes, strict=True)))
    assert list(found) == ["shared", "specific", "both"]
    assert np.array_equal(found["both"], np.hstack([zc1, zc2, zs1, zs2]))
    assert np.array_equal(found["shared"], found["both"][:, :4])
    assert np.array_equal(found["specific"], np.hstack([zs1, zs2]))
    assert list(joined_codes({"zc1": zc1, "zc2": zc2})) == ["shared"], "CLIP and step 1"
    others = joined_codes({"emb1": zc1, "emb2": zc2, "proj1": zs1, "proj2": zs2})
    assert {name: code.shape for name, code in others.items()} == {"emb": (3, 4), "proj": (3, 8)}


def test_accuracies_of_every_split_are_those_of_scikit_learn(dataset):
    rng = np.random.default_rng(1)
    signal = dataset.labels["c"][:, None] + rng.normal(size=(len(dataset.ids), 3))
    codes = {"shared": signal.astype(np.float32), "specific": rng.normal(size=(len(signal), 5)).astype(np.float32)}
    rows = accuracy_rows(NAMED, codes, dataset, 0, RAW)
    assert len(rows) == 2 * 2 * 3
    for name, code in codes.items():
        for label in ("c", "s1"):
            assert accuracies(rows, name, label) == literal(code, dataset, label)
    (width,) = {row["width"] for row in rows if row["representation"] == "specific"}
    assert width == 5
    for row in rows:
        code = codes[row["representation"]]
        assert row["code_std"] == pytest.approx(code[dataset.pairs_in(0, "test")].std())


def test_standardised_codes_are_those_of_training_pairs_whatever_their_scale(dataset):
    rng, train = np.random.default_rng(1), dataset.pairs_in(0, "train")
    signal = dataset.labels["c"][:, None] + rng.normal(size=(len(dataset.ids), 3))
    signal = (signal * [1, 5, 0.2] + 3).astype(np.float32)
    mean, std = (getattr(signal[train].astype(np.float64), moment)(axis=0) for moment in ("mean", "std"))
    expected = literal((signal - mean) / std, dataset, "c")
    majority = max(np.bincount(dataset.labels["c"][train])) / len(train)
    for scale in (1, 1e-4):
        codes = {"shared": (signal * np.float32(scale))}
        rows = accuracy_rows(NAMED, codes, dataset, 0, PROBE)
        assert accuracies(rows, "shared", "c") == expected
    raw = accuracies(accuracy_rows(NAMED, codes, dataset, 0, RAW), "shared", "c")
    assert raw["train_accuracy"] == majority < expected["train_accuracy"]


def test_a_collapsed_code_says_the_most_common_class(dataset):
    """Although the rounding about its one value is the class."""
    train, test = (dataset.pairs_in(0, split) for split in ("train", "test"))
    classes = dataset.labels["c"]
    codes = {"shared": (np.float32(0.7) + classes[:, None] * np.float32(6e-8)).astype(np.float32)}
    assert len(np.unique(codes["shared"])) == len(np.unique(classes)) == 2
    found = accuracies(accuracy_rows(NAMED, codes, dataset, 0, PROBE), "shared", "c")
    assert found["accuracy"] == np.mean(classes[test] == np.bincount(classes[train]).argmax())


def test_a_split_without_labelled_pairs_has_no_row(dataset):
    labels = dataset.labels["c"].copy()
    labels[dataset.pairs_in(0, "validation")] = -1
    codes = {"shared": np.ones((len(labels), 1), np.float32)}
    rows = accuracy_rows(NAMED, codes, replace(dataset, labels={"c": labels}), 0, RAW)
    assert [row["metric"] for row in rows] == ["train_accuracy", "accuracy"]


@pytest.mark.parametrize(
    ("stage", "axes", "found"),
    [
        ("clip", {}, ["shared"]),
        ("focal", {"a": 1, "lam": 0.1}, ["shared", "specific", "both"]),
    ],
)
def test_probes_of_a_stack(tiny, small, plain, tmp_path, stage, axes, found):
    run = {
        "id": ",".join([*(f"{axis}={value}" for axis, value in axes.items()), "fold=0,seed=0"]),
        "fold": 0,
        "seed": 0,
    }
    models = tmp_path / "models.safetensors"
    train_stack(
        stage, tiny, [run | axes], settings=small(stage, epochs=1), scaling=[plain, plain], models=models,
        history=tmp_path / "history.parquet",
    )  # fmt: skip
    out = tmp_path / "probes.parquet"
    probe_models(models, tiny, out, stage=stage, probe=PROBE)
    table = read_table(out)
    assert table.schema.names == list(PROBE_COLUMNS)
    rows = table.to_pylist()
    assert list(dict.fromkeys(row["representation"] for row in rows)) == found
    widths = {row["representation"]: row["width"] for row in rows}
    assert widths["shared"] == 2 * small(stage)["dimensions"]
    if stage == "focal":
        assert widths["both"] == widths["shared"] + widths["specific"]
    assert {row["metric"] for row in rows} == set(METRICS.values())
