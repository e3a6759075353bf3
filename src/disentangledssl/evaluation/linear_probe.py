"""The linear probe: test accuracy of a logistic regression on frozen representations.

Source: App. H.1 and the authors' code: scikit-learn's ``LogisticRegression`` with its default
C = 1, at most 200 iterations, no scaling. The objective is theirs; how exactly it is minimised
is a choice, because their ``lbfgs`` stops when the gradient of the *mean* loss is below 1e-4:

- ``newton-cholesky`` (default) reaches the optimum, whatever the scale of the codes or the
  number of BLAS threads. With more than two classes the same optimum is found by ``newton-cg``
  (1,400 x 300, 9 classes: 0.1 s against 6 s, since the Hessian has (classes x dimensions)^2 entries).
- ``lbfgs`` is what the paper's code runs. On well-scaled codes it agrees within 0.001 (where there
  is nothing to predict, within 0.003). On codes of small scale its first gradient can already be
  below the tolerance: at a standard deviation of 0.001 it stayed at chance (0.494) where the
  optimum has 0.665.

Both run in float64. In float32 the Hessian of dependent dimensions ([zc1, zc2] after step 1) is
singular to rounding: Newton then falls back to lbfgs, and accuracies moved by up to 0.001.
Seconds on one core, 72,000 x 200, two classes: newton-cholesky 1.0, lbfgs 1.1 to 4.5;
14,400 x 200: 0.2 and 0.2 to 0.9.

The representations are not scaled, so the L2 penalty sees their scale: that is part of the
paper's probe, and of what its accuracies mean.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from disentangledssl.errors import InputError

SOLVERS = ("newton-cholesky", "lbfgs")
# 1e-4 is scikit-learn's, and so the paper's. The Newton steps converge quadratically: 1e-8 costs one more.
TOLERANCES = {"newton-cholesky": 1e-8, "lbfgs": 1e-4}
UNLABELLED = -1


def probe_accuracy(
    train: np.ndarray,
    train_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
    *,
    solver: str = "newton-cholesky",
    max_iter: int = 200,
    tolerance: float | None = None,
) -> float:
    """Fit a logistic regression on training codes and return its accuracy on test codes.

    Parameters
    ----------
    train, test : arrays, ``(pairs, dimensions)``
        Representations of the clean inputs. No dimensions, or only constant ones, are allowed:
        the probe then says the most common training class.
    train_labels, test_labels : arrays of whole numbers, ``(pairs,)``
        Classes; pairs with -1 (not labelled) are left out.
    solver : {"newton-cholesky", "lbfgs"}
        The exact optimum, or the paper's early-stopping solver; see the module.
    max_iter : int
        Most iterations of the solver.
    tolerance : float, optional
        Largest entry of the gradient of the mean loss at which the solver may stop; 1e-8 for
        ``newton-cholesky`` and 1e-4 for ``lbfgs`` unless given.

    Returns
    -------
    float
        Share of labelled test pairs whose class is predicted, 0 to 1.

    Raises
    ------
    InputError
        If a split has no labelled pair or the training labels are all of one class.
    ValueError
        If the arrays do not fit together, hold NaN or infinity, or the solver is unknown.
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver {solver!r} is none of {', '.join(SOLVERS)}")
    train, train_labels = _labelled(train, train_labels, "training")
    test, test_labels = _labelled(test, test_labels, "test")
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"training codes have {train.shape[1]} dimensions, test codes {test.shape[1]}")
    classes, counts = np.unique(train_labels, return_counts=True)
    if len(classes) == 1:
        raise InputError(
            "linear probe",
            "training labels",
            f"all {len(train_labels)} labelled pairs are of class {classes[0]}",
            "choose a label with two classes in the training split, or another split",
        )
    if train.shape[1] == 0:
        return float(np.mean(test_labels == classes[np.argmax(counts)]))
    if solver == "newton-cholesky":
        # The intercept is not penalised, so centring moves no optimum; but a collapsed code, a
        # constant of any size, would make the Hessian singular to rounding.
        centre = train.mean(axis=0)
        train, test = train - centre, test - centre
    probe = LogisticRegression(
        C=1.0,
        solver="newton-cg" if solver == "newton-cholesky" and len(classes) > 2 else solver,
        max_iter=max_iter,
        tol=TOLERANCES[solver] if tolerance is None else tolerance,
    )
    with warnings.catch_warnings():
        if solver == "lbfgs":
            # Stopping at max_iter is part of the paper's probe, not news for each of thousands of fits.
            warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(train, train_labels)
    return float(np.mean(probe.predict(test) == test_labels))


def _labelled(codes: np.ndarray, labels: np.ndarray, split: str) -> tuple[np.ndarray, np.ndarray]:
    codes, labels = np.asarray(codes, np.float64), np.asarray(labels)
    if codes.ndim != 2 or labels.shape != codes.shape[:1]:
        raise ValueError(f"{split} codes of shape {codes.shape} do not fit labels of shape {labels.shape}")
    if not np.isfinite(codes).all():
        raise ValueError(f"{split} codes hold NaN or infinity; leave diverged runs out")
    known = labels != UNLABELLED
    if not known.any():
        raise InputError(
            "linear probe",
            f"{split} labels",
            f"none of {len(labels)} pairs is labelled",
            "choose another label or another split",
        )
    return (codes, labels) if known.all() else (codes[known], labels[known])
