"""A linear probe of classes: balanced accuracy of a multinomial logistic regression on frozen codes.

Unlike ``linear_probe``, which is the paper's, this one asks what a code holds whatever its scale and however uneven the
classes are. Choices: codes are standardised on training profiles; every class weighs the same in the fit, by
scikit-learn's ``class_weight="balanced"``; the L2 penalty is that with the best balanced accuracy on validation, of
equal ones the strongest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from disentangledssl.code_scaling import standardise_codes
from disentangledssl.targets import UNLABELLED

INVERSE_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
MOST_CLASSES = 100
MAX_ITER = 1000


class ClassScore(NamedTuple):
    """What a probe of classes found.

    Attributes
    ----------
    value : float
        Balanced accuracy: mean over the classes of the test profiles of the share that is recognised, 0 to 1. NaN
        where test has fewer than two classes that training has.
    chance, chance_in_strata : float
        The best balanced accuracy of a guess that does not see the codes: without knowing anything, and knowing each
        profile's stratum; see :func:`blind_accuracy`.
    classes, profiles : int
        Classes of the test profiles that were scored, and how many they are.
    unseen : int
        Labelled test profiles that were left out because training has none of their class.
    """

    value: float
    chance: float
    chance_in_strata: float
    classes: int
    profiles: int
    unseen: int


class Labelled(NamedTuple):
    """Codes ``(profiles, dimensions)`` and their classes ``(profiles,)``, text, ``""`` where not labelled."""

    codes: np.ndarray
    classes: np.ndarray


def probe_classes(train: Labelled, validation: Labelled, test: Labelled, test_strata: np.ndarray) -> ClassScore:
    """Fit on training profiles, choose the penalty on validation, score on test.

    Parameters
    ----------
    train, validation, test : Labelled
        Of training, the classes with most profiles are taken if there are more than ``MOST_CLASSES`` (plates).
    test_strata : array of text, ``(test profiles,)``
        What a guess may know for ``chance_in_strata``.

    Raises
    ------
    ValueError
        If codes hold NaN or infinity.
    """
    names, counts = np.unique(train.classes[train.classes != UNLABELLED], return_counts=True)
    seen = names[np.argsort(-counts, kind="stable")[:MOST_CLASSES]]
    known = np.isin(test.classes, seen)
    unseen = int(np.count_nonzero(~known & (test.classes != UNLABELLED)))
    classes, profiles = len(np.unique(test.classes[known])), int(np.count_nonzero(known))
    if len(seen) < 2 or classes < 2:
        return ClassScore(np.nan, np.nan, np.nan, classes, profiles, unseen)
    chances = 1 / classes, blind_accuracy(test.classes[known], test_strata[known])
    train, validation, test = (_only(one, seen) for one in (train, validation, test))
    fitted = _wide(train.codes)
    train, validation, test = (
        one._replace(codes=standardise_codes(_wide(one.codes), fitted)) for one in (train, validation, test)
    )
    # Each fit starts from that with the next stronger penalty.
    probe = LogisticRegression(class_weight="balanced", max_iter=MAX_ITER, warm_start=True)
    best_score, value = -np.inf, np.nan
    for inverse_penalty in INVERSE_PENALTIES:
        probe.set_params(C=inverse_penalty).fit(train.codes, train.classes)
        score = 0.0
        if len(validation.classes):
            score = balanced_accuracy(validation.classes, probe.predict(validation.codes))
        if score > best_score:
            best_score = score
            value = balanced_accuracy(test.classes, probe.predict(test.codes))
    return ClassScore(value, *chances, classes, profiles, unseen)


def balanced_accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean over the classes of ``truth`` of the share that is recognised, 0 to 1.

    Parameters
    ----------
    truth, predicted : arrays of text, ``(profiles,)``

    >>> balanced_accuracy(np.array(["a", "a", "a", "b"]), np.array(["a", "a", "c", "b"])).round(3)
    np.float64(0.833)
    """
    return np.mean([np.mean(predicted[truth == name] == name) for name in np.unique(truth)])


def blind_accuracy(truth: np.ndarray, strata: np.ndarray) -> float:
    """Return the best balanced accuracy of a guess that knows each profile's stratum and nothing else.

    Without strata it is 1 / classes. With them it is the mean over classes of P(stratum | class), taken for the class
    guessed in each stratum: plates that each lie in one of s strata have s / plates.

    Parameters
    ----------
    truth, strata : arrays of text, ``(profiles,)``

    >>> blind_accuracy(np.array(["p1", "p2", "p3", "p3"]), np.array(["6 h", "6 h", "24 h", "24 h"])).round(3)
    np.float64(0.667)
    """
    names, which = np.unique(truth, return_inverse=True)
    places, where = np.unique(strata, return_inverse=True)
    shares = np.zeros((len(names), len(places)))
    np.add.at(shares, (which, where), 1)
    return (shares / shares.sum(axis=1, keepdims=True)).max(axis=0).sum() / len(names)


def _only(split: Labelled, seen: np.ndarray) -> Labelled:
    kept = np.isin(split.classes, seen)
    return Labelled(split.codes[kept], split.classes[kept])


def _wide(codes: np.ndarray) -> np.ndarray:
    """Give a code without dimensions one that says nothing."""
    codes = np.asarray(codes, np.float64)
    return codes if codes.shape[1] else np.zeros((len(codes), 1))
