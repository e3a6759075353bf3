"""The probe against literal optima, and on degenerate codes."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from disentangledssl.errors import InputError
from disentangledssl.evaluation.linear_probe import SOLVERS, probe_accuracies
from disentangledssl.evaluation.logistic import fit_logistic


def probe_accuracy(train, train_labels, test, test_labels, **options):
    return probe_accuracies(train, {"y": train_labels}, test, {"y": test_labels}, **options)["y"]


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
    exact, also_exact, early = (
        probe_accuracy(x[:1000], y[:1000], x[1000:], y[1000:], solver=solver) for solver in SOLVERS
    )
    assert also_exact == pytest.approx(exact, abs=2e-4) and early == pytest.approx(exact, abs=2e-3)


def test_lbfgs_stops_early_on_codes_of_small_scale():
    # Why it is not the default: the first gradient is below its tolerance and it never starts.
    x, y = two_classes(6000)
    x = (x - x.mean(axis=0)) * 1e-5
    data = x[:1000], y[:1000], x[1000:], y[1000:]
    majority = np.mean(y[1000:] == np.bincount(y[:1000]).argmax())
    assert probe_accuracy(*data, solver="lbfgs") == pytest.approx(majority, abs=0.02)
    assert probe_accuracy(*data) == pytest.approx(probe_accuracy(*data, solver="newton-cholesky"), abs=5e-4)


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
    with pytest.raises(InputError, match=r"training labels of y: all 20 labelled pairs are of class 1; choose"):
        probe_accuracy(x, np.ones(20, int), x, y)


@pytest.mark.parametrize("split", ["training", "test"])
def test_no_label_is_told(split):
    x, y = two_classes(20)
    none = np.full(20, -1)
    labels = (none, y) if split == "training" else (y, none)
    with pytest.raises(InputError, match=f"{split} labels of y: none of 20 pairs is labelled"):
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


# The solver itself


def objective(x, y, weights, centre):
    """The penalised loss, from its definition."""
    scores = (x.astype(np.float64) - centre) @ weights[:, :-1].T + weights[:, -1]
    scores = np.column_stack([np.zeros(len(x)), scores]) if scores.shape[1] == 1 else scores
    top = scores.max(axis=1, keepdims=True)
    total = top[:, 0] + np.log(np.exp(scores - top).sum(axis=1))
    known = y >= 0
    return (total - scores[np.arange(len(y)), y])[known].sum() + (weights[:, :-1] ** 2).sum() / 2


def scikit_learns(x, y):
    """The optimum of the same objective by scikit-learn: its weights, with the intercept last."""
    known, solver = y >= 0, "newton-cholesky" if y.max() == 1 else "newton-cg"
    probe = LogisticRegression(C=1, solver=solver, tol=1e-10, max_iter=50).fit(x[known].astype(np.float64), y[known])
    return np.column_stack([probe.coef_, probe.intercept_])


def noisy(rng, n, dimensions, classes):
    """Codes with something to predict."""
    y = np.r_[np.arange(classes), rng.integers(classes, size=n - classes)]
    return rng.normal(size=(n, dimensions)) + 0.4 * rng.normal(size=(classes, dimensions))[y], y


def heavy_tailed(rng, n, dimensions, classes):
    """Codes whose largest rows decide X^T X, but have no curvature."""
    x = rng.standard_t(1.2, size=(n, dimensions))
    return x, (np.tanh(x[:, :classes]) + rng.normal(size=(n, classes))).argmax(axis=1)


def dependent(rng, n, dimensions, classes):
    """Codes of few directions, of decaying size."""
    few = rng.normal(size=(n, 12))
    mixing = rng.normal(size=(12, dimensions)) * np.logspace(0, -3, 12)[:, None]
    return few @ mixing + 0.3, (few[:, :classes] + rng.normal(size=(n, classes))).argmax(axis=1)


def random_labels(rng, n, dimensions, classes):
    return rng.normal(size=(n, dimensions)), rng.integers(classes, size=n)


@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(
    ("draw", "n", "dimensions"),
    [(noisy, 112, 300), (random_labels, 112, 300), (noisy, 2000, 20), (heavy_tailed, 2000, 20), (dependent, 1500, 30)],
)
def test_the_optimum_is_scikit_learns(draw, n, dimensions, classes, scale, dtype):
    x, y = draw(np.random.default_rng(0), n, dimensions, classes)
    x = (x * scale).astype(dtype)
    (fit,) = fit_logistic(torch.from_numpy(x), [torch.from_numpy(y)])
    assert fit.converged
    centre = x.mean(axis=0, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at large scales scikit-learn gives up; its loss is then higher
        theirs = objective(x, y, scikit_learns(x - centre, y), centre)
    assert objective(x, y, fit.weights.numpy(), fit.centre.numpy()) <= theirs * (1 + 1e-6)


def test_labels_fitted_together_are_those_fitted_alone():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(700, 9)).astype(np.float32)
    labels = [(x[:, 0] > rng.normal(size=700)).astype(int), x[:, :3].argmax(axis=1), (x[:, 4] > 1).astype(int)]
    labels[0][::3], labels[1][1::5] = -1, -1
    fits = fit_logistic(torch.from_numpy(x), [torch.from_numpy(one) for one in labels])
    for fit, y in zip(fits, labels, strict=True):
        (alone,) = fit_logistic(torch.from_numpy(x), [torch.from_numpy(y)])
        torch.testing.assert_close(fit.weights, alone.weights, rtol=0, atol=1e-3)
        theirs = objective(x, y, scikit_learns(x, y), 0.0)
        assert objective(x, y, fit.weights.numpy(), fit.centre.numpy()) <= theirs * (1 + 1e-8)


def test_stopping_before_the_optimum_is_told():
    x, y = two_classes(2000)
    with pytest.warns(RuntimeWarning, match=r"linear probe of y: after 2 passes .* raise probe.max_iter"):
        probe_accuracy(x[:1000], y[:1000], x[1000:], y[1000:], max_iter=2)


def test_the_default_does_not_import_scikit_learn():
    code = "import sys, disentangledssl.probes; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
