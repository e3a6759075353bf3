"""The probe against literal optima, and on degenerate codes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize

from disentangledssl.errors import InputError
from disentangledssl.evaluation.linear_probe import SOLVERS, probe_accuracy


def literal_newton(x, y, steps=30):
    """Minimise sum log(1 + exp(-s (w.x + b))) + w.w / 2 (C = 1, free intercept), step by step."""
    x = np.column_stack([x, np.ones(len(x))])
    penalty = np.diag([1.0] * (x.shape[1] - 1) + [0.0])
    weights = np.zeros(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (p - y) + penalty @ weights
        hessian = (x * (p * (1 - p))[:, None]).T @ x + penalty
        weights -= np.linalg.solve(hessian, gradient)
    assert np.abs(gradient).max() < 1e-6
    return weights


def literal_softmax(x, y, classes):
    """Minimise the multinomial loss + |W|^2 / 2 by BFGS on its written-out gradient."""
    x = np.column_stack([x, np.ones(len(x))])
    onehot = np.eye(classes)[y]

    def loss(flat):
        w = flat.reshape(x.shape[1], classes)
        scores = x @ w
        scores -= scores.max(axis=1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        gradient = x.T @ (np.exp(logs) - onehot)
        gradient[:-1] += w[:-1]
        return -(onehot * logs).sum() + (w[:-1] ** 2).sum() / 2, gradient.ravel()

    found = minimize(loss, np.zeros(x.shape[1] * classes), jac=True, method="BFGS", options={"gtol": 1e-6})
    return found.x.reshape(x.shape[1], classes)


def two_classes(n, dimensions=8, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dimensions)) @ rng.normal(size=(dimensions, dimensions))
    return x, (x[:, 0] + x[:, 1] + 3 * rng.normal(size=n) > 1).astype(int)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_default_is_the_literal_optimum_at_any_scale(scale):
    x, y = two_classes(6000)
    x = x * scale
    weights = literal_newton(x[:1000], y[:1000])
    literal = np.mean((x[1000:] @ weights[:-1] + weights[-1] > 0) == y[1000:])
    assert probe_accuracy(x[:1000], y[:1000], x[1000:], y[1000:]) == pytest.approx(literal, abs=5e-4)


def test_several_classes_are_the_literal_optimum():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(6000, 5))
    y = (x[:, :4] + rng.normal(size=(6000, 4))).argmax(axis=1)
    weights = literal_softmax(x[:800], y[:800], 4)
    literal = np.mean((x[800:] @ weights[:-1] + weights[-1]).argmax(axis=1) == y[800:])
    assert probe_accuracy(x[:800], y[:800], x[800:], y[800:]) == pytest.approx(literal, abs=5e-4)


def test_lbfgs_agrees_on_well_scaled_codes():
    x, y = two_classes(6000)
    exact, early = (probe_accuracy(x[:1000], y[:1000], x[1000:], y[1000:], solver=solver) for solver in SOLVERS)
    assert early == pytest.approx(exact, abs=2e-3)


def test_lbfgs_stops_early_on_codes_of_small_scale():
    # Why it is not the default: the first gradient is below its tolerance and it never starts.
    x, y = two_classes(6000)
    x = (x - x.mean(axis=0)) * 1e-5
    data = x[:1000], y[:1000], x[1000:], y[1000:]
    majority = np.mean(y[1000:] == np.bincount(y[:1000]).argmax())
    assert probe_accuracy(*data, solver="lbfgs") == pytest.approx(majority, abs=0.02)
    assert probe_accuracy(*data, solver="lbfgs", tolerance=1e-12) == pytest.approx(probe_accuracy(*data), abs=2e-3)


def test_float32_codes_give_the_same_accuracy():
    x, y = two_classes(6000)
    single = x.astype(np.float32)
    assert probe_accuracy(single[:1000], y[:1000], single[1000:], y[1000:]) == pytest.approx(
        probe_accuracy(x[:1000], y[:1000], x[1000:], y[1000:]), abs=1e-3
    )


def test_unlabelled_pairs_are_left_out():
    x, y = two_classes(2000)
    train, test = y[:1000].copy(), y[1000:].copy()
    train[::3], test[::4] = -1, -1
    expected = probe_accuracy(x[:1000][train >= 0], train[train >= 0], x[1000:][test >= 0], test[test >= 0])
    assert probe_accuracy(x[:1000], train, x[1000:], test) == expected


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((900, 4)),
        np.full((900, 4), 7.3),
        np.tile([0.0, 1e4, -3e3, 0.1], (900, 1)),
        np.full((900, 4), np.float32(0.1)),
        np.empty((900, 0)),
    ],
    ids=["zero", "constant", "large", "single", "no dimensions"],
)
def test_collapsed_codes_say_the_most_common_class(codes, classes, solver):
    y = np.where(np.arange(900) % 5 < 3, 0, np.arange(900) % classes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accuracy = probe_accuracy(codes[:600], y[:600], codes[600:], y[600:], solver=solver)
    assert accuracy == np.mean(y[600:] == 0)


def test_dependent_dimensions_raise_no_warning():
    x, y = two_classes(2000)
    twice = np.hstack([x, x])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accuracy = probe_accuracy(twice[:1000], y[:1000], twice[1000:], y[1000:])
    assert accuracy == pytest.approx(probe_accuracy(x[:1000], y[:1000], x[1000:], y[1000:]), abs=2e-3)


def test_one_class_in_training_is_told():
    x, y = two_classes(20)
    with pytest.raises(InputError, match=r"training labels: all 20 labelled pairs are of class 1; choose"):
        probe_accuracy(x, np.ones(20, int), x, y)


@pytest.mark.parametrize("split", ["training", "test"])
def test_no_label_is_told(split):
    x, y = two_classes(20)
    none = np.full(20, -1)
    labels = (none, y) if split == "training" else (y, none)
    with pytest.raises(InputError, match=f"{split} labels: none of 20 pairs is labelled"):
        probe_accuracy(x, labels[0], x, labels[1])


def test_arrays_that_do_not_fit_are_refused():
    x, y = two_classes(20)
    broken = x.copy()
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        probe_accuracy(broken, y, x, y)
    with pytest.raises(ValueError, match="do not fit labels"):
        probe_accuracy(x, y[:5], x, y)
    with pytest.raises(ValueError, match="8 dimensions, test codes 3"):
        probe_accuracy(x, y, x[:, :3], y)
    with pytest.raises(ValueError, match="liblinear"):
        probe_accuracy(x, y, x, y, solver="liblinear")
