"""Reference rows of MultiBench: the most common class, the views, linear CCA; literal, and blind to test pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from probing import PROBE, RAW, accuracies, literal, two_labels

from disentangledssl.files import read_table
from disentangledssl.multibench_probes import METRICS
from disentangledssl.multibench_references import cca_codes, flat_views, untrained_rows, valid_mean
from disentangledssl.reference_rows import probe_references


@pytest.fixture
def dataset(tiny):
    return two_labels(tiny)


def related(n=300, shared=2, own=3, noise=0.3, seed=0):
    """Two views of ``shared`` common latents and ``own`` of each, mixed linearly, with noise."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, shared))
    mixed = (np.hstack([z, rng.normal(size=(n, own))]) @ rng.normal(size=(shared + own, 8)) for _ in range(2))
    return z, [view + noise * rng.normal(size=view.shape) for view in mixed]


@pytest.fixture
def made(dataset):
    """A data set of one-to-one pairs that share two of five latents, whose signs are the labels."""

    def make(views, labels, lengths=(None, None)):
        n = len(views[0])
        folds = (np.repeat(["train", "validation", "test"], [n - 2 * (n // 4), n // 4, n // 4]),)
        rows, ids = np.arange(n), np.array([f"p{k}" for k in range(n)])
        return replace(
            dataset, views=tuple(np.asarray(view, np.float32) for view in views), rows=(rows, rows), ids=ids,
            groups=ids, view_ids=(ids, ids), labels=labels, meta={}, folds=folds, lengths=lengths,
        )  # fmt: skip

    return make


def test_rows_are_the_most_common_training_class_and_the_standardised_views(dataset):
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
    assert {row["run"] for row in rows} == {"majority", "raw", "linear_cca"}
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


def test_cca_tells_shared_from_specific(made):
    z, views = related()
    data = made(views, {"c": (z[:, 0] > 0).astype(int)})
    codes = cca_codes(data, flat_views(data, 0), 0)
    assert {name: code.shape[1] for name, code in codes.items()} == {"shared": 4, "specific": 12, "both": 16}
    rows = untrained_rows(data, 0, PROBE)
    shared, specific = (accuracies(rows, name, "c")["accuracy"] for name in ("shared", "specific"))
    assert shared > 0.85 > 0.65 > specific
    # The same probe as of the methods, on standardised variates.
    train = data.pairs_in(0, "train")
    code = codes["shared"] - codes["shared"][train].mean(axis=0)
    assert accuracies(rows, "shared", "c") == literal(code / code[train].std(axis=0), data, "c")


def test_cca_sees_no_test_pair(made):
    z, views = related()
    data = made(views, {"c": (z[:, 0] > 0).astype(int)})
    test = data.pairs_in(0, "test")
    others = [view.copy() for view in data.views]
    for view in others:
        view[test] = view[test][::-1] * 7
    codes, changed = (cca_codes(one, flat_views(one, 0), 0) for one in (data, replace(data, views=tuple(others))))
    kept = np.setdiff1d(np.arange(len(data.ids)), test)
    for name in ("shared", "specific"):
        assert np.array_equal(codes[name][kept], changed[name][kept])
        assert not np.array_equal(codes[name][test], changed[name][test])


def test_variates_are_shared_by_validation_where_training_correlates_anything(made):
    """Fewer pairs than features, and nothing in common: every training correlation could be 1, and none is shared."""
    rng = np.random.default_rng(3)
    data = made([rng.normal(size=(120, 80)), rng.normal(size=(120, 70))], {"c": np.arange(120) % 2})
    codes = cca_codes(data, flat_views(data, 0), 0)
    assert codes["shared"].shape[1] <= 2
    rows = untrained_rows(data, 0, PROBE)
    assert {row["representation"] for row in rows if row["run"] == "linear_cca"} == {"shared", "specific", "both"}


def test_a_code_without_dimensions_says_the_most_common_class(made, monkeypatch):
    monkeypatch.setattr("disentangledssl.references.SHARED_ABOVE", 1.0)
    z, views = related()
    rows = untrained_rows(made(views, {"c": (z[:, 0] > 0).astype(int)}), 0, PROBE)
    majority = {row["metric"]: row["value"] for row in rows if row["run"] == "majority"}
    assert accuracies(rows, "shared", "c") == majority
    (none,) = {(row["width"], row["code_std"]) for row in rows if row.get("representation") == "shared"}
    assert none == (0, None)


def test_sequences_are_seen_by_their_means_and_the_rows_say_so(made):
    z, (view, flat) = related()
    lengths = np.random.default_rng(4).integers(1, 4, len(z))
    steps = np.where(np.arange(4)[:, None] < lengths[:, None, None], view[:, None], 99.0)
    labels = {"c": (z[:, 0] > 0).astype(int)}
    rows = untrained_rows(made([steps, flat], labels, (lengths, None)), 0, PROBE)
    means = untrained_rows(made([view, flat], labels), 0, PROBE)
    named = {(row["run"], row.get("representation")) for row in rows}
    kinds = ("shared", "specific", "both")
    assert named == {
        ("majority", None), ("raw_mean", "x1"), ("raw", "x2"), ("raw_mean", "x"),
        *(("linear_cca_mean", kind) for kind in kinds),
    }  # fmt: skip
    for kind in kinds:
        assert accuracies(rows, kind, "c") == pytest.approx(accuracies(means, kind, "c"), abs=0.02)


def test_without_validation_pairs_there_is_no_cca(made):
    z, views = related()
    data = made(views, {"c": (z[:, 0] > 0).astype(int)})
    data = replace(data, folds=(np.where(data.folds[0] == "validation", "train", data.folds[0]),))
    assert {row["run"] for row in untrained_rows(data, 0, RAW)} == {"majority", "raw"}


def test_references_have_rows_of_every_fold(tiny, tmp_path):
    probe_references(tiny, tmp_path / "probes.parquet", folds=2, probe=PROBE)
    rows = read_table(tmp_path / "probes.parquet").to_pylist()
    names = ("majority", "raw", "linear_cca")
    assert {(row["run"], row["fold"]) for row in rows} == {(name, k) for name in names for k in (0, 1)}
    assert {row["status"] for row in rows} == {"exact"}
