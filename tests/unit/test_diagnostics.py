"""What else is measured of runs on simulated data, against the evaluation functions on the data themselves."""

from __future__ import annotations

import numpy as np
import pytest

from disentangledssl.dataset import read_dataset
from disentangledssl.diagnostics import CURVE_POINTS, bottleneck_rows, dependence_rows, information_rows, latent_rows
from disentangledssl.evaluation.dependence import linear_cka
from disentangledssl.evaluation.information_plane import (
    gaussian_bottleneck,
    highest_relevance,
    linear_information,
    sample_covariances,
)
from disentangledssl.evaluation.latent_regression import latent_r2

NAMED = {"run": "beta=1,seed=0", "stage": "step1"}
NAMES = ("zc1", "zc2", "zs1", "zs2")
KAPPA, FOLD = 1000.0, 1


@pytest.fixture(scope="module")
def noisy(write_simulated, tmp_path_factory):
    """Two draws, so that each fold leaves the pairs of the other unused."""
    return read_dataset(write_simulated(tmp_path_factory.mktemp("noisy"), "noisy", n=500, data_seeds=[0, 1]))


@pytest.fixture(scope="module")
def codes(noisy):
    """Codes of every pair: linear maps of the own view, of unequal widths."""
    rng = np.random.default_rng(0)
    views = [view[rows] for view, rows in zip(noisy.views, noisy.rows, strict=True)]
    return {
        name: (views[int(name[-1]) - 1] @ rng.normal(size=(100, width))).astype(np.float32)
        for name, width in zip(NAMES, (6, 5, 4, 3), strict=True)
    }


def parts(dataset):
    return dataset.pairs_in(FOLD, "train"), dataset.pairs_in(FOLD, "test")


def views_in(dataset, pairs):
    return [view[rows][pairs] for view, rows in zip(dataset.views, dataset.rows, strict=True)]


# R2


def test_r2_of_every_latent_from_every_representation(noisy, codes):
    rows = latent_rows(NAMED, codes, noisy, FOLD)
    assert [(row["representation"], row["label"]) for row in rows] == [
        (name, latent) for name in NAMES for latent in ("zc", "zs1", "zs2")
    ]
    train, test = parts(noisy)
    for row in rows:
        code, latent = codes[row["representation"]], {row["label"]: noisy.latents[row["label"]]}
        alone = latent_r2(code[train], {k: v[train] for k, v in latent.items()}, code[test],
                          {k: v[test] for k, v in latent.items()})  # fmt: skip
        assert row["value"] == pytest.approx(alone[row["label"]], abs=1e-12)
        assert (row["metric"], row["width"], row["run"]) == ("r2", code.shape[1], "beta=1,seed=0")
    # A view knows nothing of what is specific to the other one.
    values = {(row["representation"], row["label"]): row["value"] for row in rows}
    assert values["zc1", "zs1"] > 0.01 > values["zc1", "zs2"]


def test_r2_of_a_constant_code_is_that_of_the_mean(noisy, codes):
    (row,) = (
        row for row in latent_rows(NAMED, {"zc1": np.full_like(codes["zc1"], 0.3)}, noisy, FOLD) if row["label"] == "zc"
    )
    train, test = parts(noisy)
    latent = noisy.latents["zc"].astype(np.float64)
    error = ((latent[test] - latent[train].mean(axis=0)) ** 2).sum()
    assert row["value"] == pytest.approx(1 - error / ((latent[test] - latent[test].mean(axis=0)) ** 2).sum())


def test_data_without_true_latents_have_no_r2(tiny):
    dataset = read_dataset(tiny)
    assert latent_rows(NAMED, {"zc1": np.zeros((len(dataset.ids), 2))}, dataset, 0) == []


# CKA


def test_cka_of_each_shared_and_specific_code(noisy, codes):
    rows = dependence_rows(NAMED, codes, noisy, FOLD)
    _, test = parts(noisy)
    assert [(row["representation"], row["label"]) for row in rows] == [("zc1", "zs1"), ("zc2", "zs2")]
    for row in rows:
        expected = linear_cka(codes[row["representation"]][test], codes[row["label"]][test])
        assert row["metric"] == "cka" and row["value"] == expected and 0 < expected < 1


def test_a_stage_without_specific_codes_has_no_cka(noisy, codes):
    assert dependence_rows(NAMED, {name: codes[name] for name in ("zc1", "zc2")}, noisy, FOLD) == []


@pytest.mark.parametrize("collapsed", NAMES)
def test_a_collapsed_code_has_no_cka(noisy, codes, collapsed):
    """A 0 would be read as independent."""
    rows = dependence_rows(NAMED, codes | {collapsed: np.full_like(codes[collapsed], 0.7)}, noisy, FOLD)
    assert [row["representation"][-1] for row in rows] == ["2" if collapsed.endswith("1") else "1"]


# The information plane


def test_points_of_the_information_plane(noisy, codes):
    rows = information_rows(NAMED, codes, KAPPA, noisy, FOLD)
    assert [(row["representation"], row["label"], row["metric"]) for row in rows] == [
        (name, label, metric)
        for name in ("zc1", "zc2")
        for label, metric in (("own", "information"), ("other", "information"), ("other", "optimum"))
    ]
    train, _ = parts(noisy)
    x = views_in(noisy, train)
    values = {(row["representation"], row["label"], row["metric"]): row["value"] for row in rows}
    for name, covariances, own in (
        ("zc1", sample_covariances(x[0], x[1]), x[0]), ("zc2", sample_covariances(x[1], x[0]), x[1]),
    ):  # fmt: skip
        code = codes[name][train].astype(np.float64)
        point = linear_information(code / np.sqrt((code**2).sum(axis=1))[:, None], KAPPA, own, covariances)
        assert values[name, "own", "information"] == pytest.approx(point.own, abs=1e-9)
        assert values[name, "other", "information"] == pytest.approx(point.other, abs=1e-9)
        optimum = values[name, "other", "optimum"]
        assert optimum == pytest.approx(float(highest_relevance(covariances, point.own)), abs=1e-9)
        assert 0 < point.other < optimum < point.own


def test_the_length_of_a_code_says_nothing(noisy, codes):
    """Samples are drawn around its direction."""
    scaled = {name: 7 * code for name, code in codes.items()}
    first, second = (information_rows(NAMED, one, KAPPA, noisy, FOLD) for one in (codes, scaled))
    assert [row["value"] for row in first] == pytest.approx([row["value"] for row in second], rel=1e-5)


@pytest.mark.parametrize("value", [0.3, -2.0, 1e-4])
@pytest.mark.parametrize("width", [2, 7, 100])
def test_a_collapsed_code_keeps_nothing(noisy, value, width):
    direction = value * np.random.default_rng(width).normal(size=width)
    code = np.tile(direction.astype(np.float32), (len(noisy.ids), 1))
    rows = information_rows(NAMED, {"zc1": code, "zc2": code}, KAPPA, noisy, FOLD)
    assert [row["value"] for row in rows] == pytest.approx([0] * 6, abs=1e-6)


def test_the_optimal_curve(noisy):
    rows = bottleneck_rows({"run": "gaussian_bottleneck", "stage": "reference"}, noisy, FOLD)
    train, _ = parts(noisy)
    curve = gaussian_bottleneck(sample_covariances(*views_in(noisy, train)), points=CURVE_POINTS)
    assert len(rows) == 2 * CURVE_POINTS
    for label, values in (("own", curve.own), ("other", curve.other)):
        one = [row for row in rows if row["label"] == label]
        assert [row["value"] for row in one] == values.tolist()
        assert [row["beta_value"] for row in one] == curve.multipliers.tolist()
    assert {row["metric"] for row in rows} == {"information"} and {row["run"] for row in rows} == {
        "gaussian_bottleneck"
    }
