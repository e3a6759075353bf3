"""Scaling against literal loops: the order, and statistics that see the training rows only."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from disentangledssl import scaling
from disentangledssl.dataset import read_dataset
from disentangledssl.errors import InputError
from disentangledssl.scaling import scale_fold, scale_sequences, scale_view
from disentangledssl.settings import ScalingSettings


def settings(**others):
    defaults = {"unit_norm": False, "clip_quantile": None, "standardise": False, "clip": None, "statistics": "train"}
    return ScalingSettings(**(defaults | others))


def values(rows=40, features=6, seed=0):
    return np.random.default_rng(seed).normal(3, 2, size=(rows, features)).astype(np.float32)


TRAINING = np.arange(0, 40, 2)


def literal(view, training, unit_norm, quantile, standardise, clip):
    rows = [[float(number) for number in row] for row in view]
    if unit_norm:
        rows = [[number / sum(n**2 for n in row) ** 0.5 for number in row] for row in rows]
    for feature in range(len(rows[0])):
        column = [row[feature] for row in rows]
        fitted = [column[k] for k in training]
        if quantile is not None:
            ordered = sorted(fitted)
            ends = []
            for share in (quantile, 1 - quantile):
                place = share * (len(ordered) - 1)
                below = min(int(place), len(ordered) - 2)
                ends.append(ordered[below] + (place - below) * (ordered[below + 1] - ordered[below]))
            column = [min(max(number, ends[0]), ends[1]) for number in column]
            fitted = [column[k] for k in training]
        if standardise:
            mean = sum(fitted) / len(fitted)
            std = (sum((number - mean) ** 2 for number in fitted) / len(fitted)) ** 0.5
            column = [(number - mean) / std for number in column]
        if clip is not None:
            column = [min(max(number, -clip), clip) for number in column]
        for row, number in zip(rows, column, strict=True):
            row[feature] = number
    return np.array(rows)


@pytest.mark.parametrize(
    ("unit_norm", "quantile", "standardise", "clip"),
    [
        (False, None, False, None),
        (True, None, False, None),
        (False, 0.1, False, None),
        (False, None, True, None),
        (False, None, False, 2.5),
        (False, 0.01, True, None),
        (True, 0.05, True, 1.5),
    ],
)
@pytest.mark.parametrize("statistics", ["train", "all"])
def test_every_step_is_the_literal_one(unit_norm, quantile, standardise, clip, statistics):
    view = values()
    options = {"unit_norm": unit_norm, "clip_quantile": quantile, "standardise": standardise, "clip": clip}
    found = scale_view(view, TRAINING, settings(**options, statistics=statistics))
    fitted_on = TRAINING if statistics == "train" else np.arange(len(view))
    np.testing.assert_allclose(found, literal(view, fitted_on, unit_norm, quantile, standardise, clip), atol=1e-6)
    assert found.dtype == np.float32


def test_nothing_asked_nothing_done():
    view = values()
    np.testing.assert_array_equal(scale_view(view, TRAINING, settings()), view)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_input_stays_as_it_was(dtype):
    view = values().astype(dtype)
    before = view.copy()
    scale_view(view, TRAINING, settings(unit_norm=True, clip_quantile=0.1, standardise=True, clip=1.0))
    np.testing.assert_array_equal(view, before)


def test_other_rows_have_no_say_in_the_statistics():
    view, changed = values(), values()
    changed[1::2] *= 100
    options = settings(clip_quantile=0.1, standardise=True)
    np.testing.assert_array_equal(
        scale_view(view, TRAINING, options)[TRAINING], scale_view(changed, TRAINING, options)[TRAINING]
    )
    everything = settings(clip_quantile=0.1, standardise=True, statistics="all")
    assert not np.array_equal(
        scale_view(view, TRAINING, everything)[TRAINING], scale_view(changed, TRAINING, everything)[TRAINING]
    )


@pytest.mark.parametrize("constant", [0.0, 7.3, -1e8])
def test_a_feature_that_is_constant_in_training_becomes_zero(constant):
    view = values()
    view[TRAINING, 2] = constant
    found = scale_view(view, TRAINING, settings(standardise=True))
    assert (found[:, 2] == 0).all()
    assert np.isfinite(found).all()


def test_a_row_of_zeros_survives_unit_norm():
    view = values()
    view[4] = 0
    assert (scale_view(view, TRAINING, settings(unit_norm=True))[4] == 0).all()


def test_a_large_offset_costs_no_precision():
    view = values().astype(np.float64) + 1e6
    found = scale_view(view.astype(np.float32), TRAINING, settings(standardise=True))
    np.testing.assert_allclose(found[TRAINING].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(found[TRAINING].std(axis=0), 1, atol=1e-5)


def test_a_fold_is_fitted_on_its_training_rows_each_counted_once(tiny):
    dataset = read_dataset(tiny)
    standardised = (settings(standardise=True),) * 2
    scaled = [scale_fold(dataset, fold, standardised) for fold in (0, 1)]
    for fold in (0, 1):
        training = dataset.folds[fold] == "train"
        for m in (0, 1):
            rows = sorted(set(dataset.rows[m][training].tolist()))  # a molecule of four profiles is one row
            fitted = dataset.views[m][rows].astype(np.float64)
            expected = (dataset.views[m] - fitted.mean(axis=0)) / fitted.std(axis=0)
            np.testing.assert_allclose(scaled[fold][m], expected, atol=1e-5)
    assert not np.array_equal(scaled[0][1], scaled[1][1])


def test_each_view_has_its_own_scaling(tiny):
    dataset = read_dataset(tiny)
    first, second = scale_fold(dataset, 0, (settings(unit_norm=True), settings(clip=0.5)))
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(second, np.clip(dataset.views[1], -0.5, 0.5))


def test_blocks_change_nothing(monkeypatch):
    everything = settings(unit_norm=True, clip_quantile=0.1, standardise=True, clip=1.0)
    whole = scale_view(values(), TRAINING, everything)
    monkeypatch.setattr(scaling, "FEATURES_AT_A_TIME", 4)
    monkeypatch.setattr(scaling, "ROWS_AT_A_TIME", 7)
    np.testing.assert_array_equal(scale_view(values(), TRAINING, everything), whole)


# ---------------------------------------------------------------- sequences


def sequences(rows=40, steps=7, features=11, seed=0):
    draws = np.random.default_rng(seed)
    lengths = draws.integers(1, steps + 1, rows)
    view = draws.normal(3, 2, size=(rows, steps, features)).astype(np.float32)
    view[np.arange(steps) >= lengths[:, None]] = 0
    return view, lengths


@pytest.mark.parametrize("statistics", ["train", "all"])
def test_sequences_are_standardised_over_valid_steps_of_training_rows(statistics):
    view, lengths = sequences()
    view[..., 2] = np.where(view[..., 2] != 0, 5, 0)  # constant where it is valid
    scaled = scale_sequences(view, lengths, TRAINING, settings(standardise=True, statistics=statistics))
    assert scaled.dtype == np.float32 and scaled.shape == (40, 7, 12)
    for feature in range(11):
        rows = TRAINING if statistics == "train" else range(40)
        fitted = [float(view[row, step, feature]) for row in rows for step in range(lengths[row])]
        mean = sum(fitted) / len(fitted)
        std = (sum((number - mean) ** 2 for number in fitted) / len(fitted)) ** 0.5
        for row in range(40):
            for step in range(7):
                valid = step < lengths[row]
                expected = (view[row, step, feature] - mean) / std if valid and feature != 2 else 0
                assert scaled[row, step, feature] == pytest.approx(expected, abs=1e-5)
                assert scaled[row, step, -1] == valid


def test_sequences_may_stay_as_they_are():
    view, lengths = sequences()
    scaled = scale_sequences(view, lengths, TRAINING, settings())
    np.testing.assert_array_equal(scaled[..., :-1], view)
    np.testing.assert_array_equal(scaled[..., -1].sum(1), lengths)


def test_a_fold_scales_sequences_beside_a_flat_view(tiny):
    dataset = read_dataset(tiny)
    view, lengths = sequences(rows=len(dataset.views[1]))
    dataset = dataclasses.replace(dataset, views=(dataset.views[0], view), lengths=(None, lengths))
    both = settings(standardise=True)
    flat, scaled = scale_fold(dataset, 0, (both, both))
    training = np.unique(dataset.rows[1][dataset.pairs_in(0, "train")])
    np.testing.assert_array_equal(scaled, scale_sequences(view, lengths, training, both))
    assert flat.ndim == 2
    with pytest.raises(InputError) as caught:
        scale_fold(dataset, 0, (both, settings(clip=2.0)))
    assert str(caught.value) == (
        "tiny: scaling.view2: clip is set, but the view holds sequences; "
        "leave it out; standardise is what sequences know."
    )
