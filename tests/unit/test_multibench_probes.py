"""Linear probes of shared, specific and both representations: against scikit-learn, split by split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from disentangledssl.dataset import read_dataset
from disentangledssl.files import read_table
from disentangledssl.measurements import reference_run
from disentangledssl.multibench_probes import METRICS, accuracy_rows, joined_codes, untrained_rows, valid_mean
from disentangledssl.probes import PROBE_COLUMNS, probe_models
from disentangledssl.reference_rows import probe_references
from disentangledssl.training import train_stack

PROBE = {"solver": "exact", "max_iter": 200, "codes": "standardised"}
RAW = PROBE | {"codes": "raw"}
NAMED = reference_run("any", 0)


@pytest.fixture
def dataset(tiny):
    """The tiny data set with a second label, which half of the pairs have."""
    data = read_dataset(tiny)
    some = np.where(np.arange(len(data.ids)) % 2, -1, data.labels["c"])
    return replace(data, labels={"c": data.labels["c"], "s1": some})


def literal(code, data, label, fold=0):
    """Accuracy on each split, pair by pair."""
    values, train = data.labels[label], data.pairs_in(fold, "train")
    train = [k for k in train if values[k] != -1]
    fitted = LogisticRegression(max_iter=1000, tol=1e-10).fit(code[train].astype(float), values[train])
    found = {}
    for split, metric in METRICS.items():
        pairs = [k for k in data.pairs_in(fold, split) if values[k] != -1]
        found[metric] = sum(fitted.predict(code[[k]].astype(float))[0] == values[k] for k in pairs) / len(pairs)
    return found


def accuracies(rows, representation, label):
    return {
        row["metric"]: row["value"]
        for row in rows
        if (row.get("representation"), row["label"]) == (representation, label)
    }


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


def test_a_split_without_labelled_pairs_has_no_row(dataset):
    labels = dataset.labels["c"].copy()
    labels[dataset.pairs_in(0, "validation")] = -1
    codes = {"shared": np.ones((len(labels), 1), np.float32)}
    rows = accuracy_rows(NAMED, codes, replace(dataset, labels={"c": labels}), 0, RAW)
    assert [row["metric"] for row in rows] == ["train_accuracy", "accuracy"]


def test_untrained_rows_are_the_most_common_training_class_and_the_standardised_views(dataset):
    rows = untrained_rows(dataset, 0, PROBE)
    majority = [row for row in rows if row["run"] == "majority"]
    for label, values in dataset.labels.items():
        known = [values[k] for k in dataset.pairs_in(0, "train") if values[k] != -1]
        most = max(set(known), key=known.count)
        for split, metric in METRICS.items():
            pairs = [k for k in dataset.pairs_in(0, split) if values[k] != -1]
            (row,) = (row for row in majority if (row["label"], row["metric"]) == (label, metric))
            assert row["value"] == np.mean([values[k] == most for k in pairs])
    views = []
    for view, of_pair in zip(dataset.views, dataset.rows, strict=True):
        fitted = view[sorted(set(of_pair[dataset.pairs_in(0, "train")]))].astype(np.float64)
        views.append((((view - fitted.mean(axis=0)) / fitted.std(axis=0)).astype(np.float32))[of_pair])
    assert {row["run"] for row in rows} == {"majority", "raw"}
    for name, code in {"x1": views[0], "x2": views[1], "x": np.hstack(views)}.items():
        assert accuracies(rows, name, "c") == literal(code, dataset, "c")


def test_mean_is_over_valid_time_steps():
    rng = np.random.default_rng(2)
    view, lengths = rng.normal(size=(4, 5, 3)).astype(np.float32), np.array([1, 5, 2, 3])
    found = valid_mean(view, lengths)
    for row, length in enumerate(lengths):
        for feature in range(3):
            steps = [float(view[row, step, feature]) for step in range(length)]
            assert found[row, feature] == pytest.approx(sum(steps) / length)


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


def test_references_have_rows_of_every_fold(tiny, tmp_path):
    probe_references(tiny, tmp_path / "probes.parquet", folds=2, probe=PROBE)
    rows = read_table(tmp_path / "probes.parquet").to_pylist()
    assert {(row["run"], row["fold"]) for row in rows} == {(name, k) for name in ("majority", "raw") for k in (0, 1)}
    assert {row["status"] for row in rows} == {"exact"}
