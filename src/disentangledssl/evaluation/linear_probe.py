"""The linear probe: test accuracy of a logistic regression on frozen representations.

Source: App. H.1 and the authors' code: scikit-learn's ``LogisticRegression`` with its default
C = 1, at most 200 iterations, no scaling. The objective is theirs; how exactly it is minimised
is a choice, because their ``lbfgs`` stops when the gradient of the *mean* loss is below 1e-4:

- ``exact`` (default) reaches the optimum, whatever the scale of the codes or the number of
  threads, for all labels of a data set together; see ``logistic``.
- ``newton-cholesky`` is scikit-learn's way to the same optimum, in float64. With more than two
  classes it is found by ``newton-cg`` (1,400 x 300, 9 classes: 0.1 s against 6 s, since the
  Hessian has (classes x dimensions)^2 entries).
- ``lbfgs`` is what the paper's code runs, in float64. Where the codes have a standard deviation of
  1 or more it agrees within 0.003. On codes of small scale its first gradients can already be
  below the tolerance: at a standard deviation of 0.023 (step 1, beta = 0, 3 epochs) it stopped at
  0.629 where the optimum has 0.641, and at 0.001 it stayed at chance.

CPU seconds on one thread for three labels of two classes, 72,000 x 200 (``benchmarks/probe.py`` and
codes of other runs): ``exact`` 0.13 to 0.25, ``lbfgs`` 1.9 to 7.7, ``newton-cholesky`` 1.8 to 4.1.

The representations are not scaled, so the L2 penalty sees their scale: that is part of the
paper's probe, and of what its accuracies mean.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import torch

from disentangledssl.errors import InputError
from disentangledssl.evaluation.logistic import UNLABELLED, fit_logistic, predict_classes

SOLVERS = ("exact", "newton-cholesky", "lbfgs")
# 1e-4 is scikit-learn's, and so the paper's. The Newton steps converge quadratically: 1e-8 costs one more.
SKLEARN_TOLERANCES = {"newton-cholesky": 1e-8, "lbfgs": 1e-4}


def probe_accuracies(
    train: np.ndarray,
    train_labels: Mapping[str, np.ndarray],
    test: np.ndarray,
    test_labels: Mapping[str, np.ndarray],
    *,
    solver: str = "exact",
    max_iter: int = 200,
) -> dict[str, float]:
    """Fit a logistic regression a label on training codes and return their accuracies on test codes.

    Parameters
    ----------
    train, test : arrays, ``(pairs, dimensions)``
        Representations of the clean inputs. No dimensions, or only constant ones, are allowed:
        the probe then says the most common training class.
    train_labels, test_labels : mappings of arrays of whole numbers, ``(pairs,)``
        Classes, by label; pairs with -1 (not labelled) are left out of that label.
    solver : {"exact", "newton-cholesky", "lbfgs"}
        The optimum, by our way or scikit-learn's, or the paper's early-stopping solver; see the module.
    max_iter : int
        Most iterations of the solver.

    Returns
    -------
    dict of float
        By label, the share of labelled test pairs whose class is predicted, 0 to 1.

    Raises
    ------
    InputError
        If a label marks no pair of a split, or the training labels are all of one class.
    ValueError
        If the arrays do not fit together, hold NaN or infinity, or the solver is unknown.

    Warns
    -----
    RuntimeWarning
        If ``exact`` has not reached the optimum in ``max_iter`` passes; scikit-learn warns of
        ``newton-cholesky`` in its own way. ``lbfgs`` stops early on purpose.
    """
    _checked(test, test_labels, "test")
    predicted = probe_predictions(train, train_labels, test, solver=solver, max_iter=max_iter)
    accuracies = {}
    for label, values in test_labels.items():
        known = np.asarray(values) != UNLABELLED
        accuracies[label] = float(np.mean((predicted[label] == values)[known]))
    return accuracies


def probe_predictions(
    train: np.ndarray,
    train_labels: Mapping[str, np.ndarray],
    test: np.ndarray,
    *,
    solver: str = "exact",
    max_iter: int = 200,
) -> dict[str, np.ndarray]:
    """Fit as :func:`probe_accuracies` and return, by label, the class of each test code, ``(pairs,)``.

    Raises
    ------
    InputError
        If a label marks no training pair, or all that it marks are of one class.
    ValueError
        If the arrays do not fit together, hold NaN or infinity, or the solver is unknown.
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver {solver!r} is none of {', '.join(SOLVERS)}")
    train, test = _checked(train, train_labels, "training"), _checked(test, {}, "test")
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"training codes have {train.shape[1]} dimensions, test codes {test.shape[1]}")
    classes = {label: _classes(label, values) for label, values in train_labels.items()}
    if solver == "exact":
        return _exact(train, train_labels, test, classes, max_iter)
    return _sklearn(train, train_labels, test, classes, max_iter, solver)


def _checked(codes: np.ndarray, labels: Mapping[str, np.ndarray], split: str) -> np.ndarray:
    codes = np.asarray(codes)
    if codes.dtype != np.float32:
        codes = codes.astype(np.float64)
    for label, values in labels.items():
        if codes.ndim != 2 or np.shape(values) != codes.shape[:1]:
            raise ValueError(f"{split} codes of shape {codes.shape} do not fit labels of shape {np.shape(values)}")
        if not np.any(np.asarray(values) != UNLABELLED):
            raise InputError(
                "linear probe",
                f"{split} labels of {label}",
                f"none of {len(values)} pairs is labelled",
                "choose another label or another split",
            )
    # One sum instead of a mask of the whole array: only bad codes pay for the search.
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(codes.sum())
    if not finite and not np.isfinite(codes).all():
        raise ValueError(f"{split} codes hold NaN or infinity; leave diverged runs out")
    return codes


def _classes(label: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    values = values[values != UNLABELLED]
    classes = np.unique(values)
    if len(classes) == 1:
        raise InputError(
            "linear probe",
            f"training labels of {label}",
            f"all {len(values)} labelled pairs are of class {classes[0]}",
            "choose a label with two classes in the training split, or another split",
        )
    return classes


def _exact(train, train_labels, test, classes, max_iter) -> dict[str, np.ndarray]:
    indices = []
    for label, values in train_labels.items():
        values = np.asarray(values)
        known = np.searchsorted(classes[label], values)
        indices.append(torch.from_numpy(np.where(values == UNLABELLED, UNLABELLED, known)))
    fits = fit_logistic(torch.from_numpy(train), indices, max_iter=max_iter)
    for label, fit in zip(train_labels, fits, strict=True):
        if not fit.converged:
            warnings.warn(
                f"linear probe of {label}: after {fit.passes} passes its loss may still fall by a share of "
                f"{fit.remaining:.0e}; raise probe.max_iter",
                RuntimeWarning,
                stacklevel=3,
            )
    predicted = predict_classes(fits, torch.from_numpy(test))
    return {label: classes[label][index.numpy()] for label, index in zip(train_labels, predicted, strict=True)}


def _sklearn(train, train_labels, test, classes, max_iter, solver) -> dict[str, np.ndarray]:
    # Takes longer to import than the default solver takes to fit.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    train, test = train.astype(np.float64), test.astype(np.float64)
    predicted = {}
    for label, values in train_labels.items():
        known = np.asarray(values) != UNLABELLED
        codes, values = train[known], np.asarray(values)[known]
        if train.shape[1] == 0:
            most_common = classes[label][np.argmax([np.sum(values == one) for one in classes[label]])]
            predicted[label] = np.full(len(test), most_common)
            continue
        # The intercept is not penalised, so centring moves no optimum; but a collapsed code, a
        # constant of any size, would make the Hessian singular to rounding.
        centre = 0.0 if solver == "lbfgs" else codes.mean(axis=0)
        probe = LogisticRegression(
            C=1.0,
            solver="newton-cg" if solver == "newton-cholesky" and len(classes[label]) > 2 else solver,
            max_iter=max_iter,
            tol=SKLEARN_TOLERANCES[solver],
        )
        with warnings.catch_warnings():
            if solver == "lbfgs":
                # Stopping at max_iter is part of the paper's probe, not news for each of thousands of fits.
                warnings.simplefilter("ignore", ConvergenceWarning)
            probe.fit(codes - centre, values)
        predicted[label] = probe.predict(test - centre)
    return predicted
