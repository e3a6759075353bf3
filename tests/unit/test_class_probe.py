"""Balanced accuracy of class probes: planted codes, chance by hand, classes that training lacks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from disentangledssl.evaluation import class_probe
from disentangledssl.evaluation.class_probe import Labelled, balanced_accuracy, blind_accuracy, probe_classes

NAMES = np.array(["a", "b", "c"])


def draw(rng, profiles, *, signal, names=NAMES, rare=False):
    """Codes whose first dimensions hold the class, with noise in all eight."""
    shares = np.array([0.9, 0.07, 0.03]) if rare else None
    which = rng.choice(len(names), profiles, p=shares)
    codes = rng.normal(size=(profiles, 8))
    codes[:, : len(names)] += signal * np.eye(len(names))[which]
    return Labelled(codes * 1e-3, names[which])


def probe(train, validation, test, strata=None):
    return probe_classes(train, validation, test, np.zeros(len(test.classes)) if strata is None else strata)


def test_planted_classes_are_found_at_any_scale_and_however_rare():
    rng = np.random.default_rng(0)
    score = probe(*(draw(rng, n, signal=12, rare=True) for n in (300, 100, 200)))
    assert score.value == 1 and score.chance == pytest.approx(1 / 3) and score.unseen == 0
    assert (score.classes, score.profiles) == (3, 200)


def test_noise_is_at_chance():
    rng = np.random.default_rng(1)
    score = probe(*(draw(rng, n, signal=0) for n in (300, 300, 3000)))
    assert score.value == pytest.approx(score.chance, abs=0.05)


def test_a_class_that_training_lacks_is_left_out_and_counted():
    rng = np.random.default_rng(2)
    train, validation, test = (draw(rng, n, signal=12) for n in (90, 60, 60))
    train = Labelled(train.codes[train.classes != "c"], train.classes[train.classes != "c"])
    score = probe(train, validation, test)
    assert score.unseen == np.sum(test.classes == "c") and score.profiles == 60 - score.unseen
    assert (score.value, score.chance, score.classes) == (1.0, 0.5, 2)


def test_unlabelled_profiles_count_nowhere():
    rng = np.random.default_rng(3)
    splits = [draw(rng, n, signal=12) for n in (90, 60, 60)]
    for one in splits:
        one.classes[:10] = ""
    score = probe(*splits)
    assert (score.value, score.profiles, score.unseen) == (1.0, 50, 0)


def test_without_two_classes_there_is_no_value():
    rng = np.random.default_rng(4)
    train, validation, test = (draw(rng, 30, signal=5) for _ in range(3))
    one = Labelled(test.codes, np.full(30, "a"))
    assert np.isnan(probe(train, validation, one).value) and np.isnan(probe(one, validation, test).value)
    other = probe(train, validation, Labelled(test.codes, np.full(30, "d")))
    assert np.isnan(other.value) and (other.profiles, other.unseen) == (0, 30)


def test_the_penalty_is_chosen_on_validation_alone():
    """With noise in training a strong penalty is best; the choice is the same whatever the test's classes are."""
    rng = np.random.default_rng(5)
    train, validation, test = (draw(rng, n, signal=1) for n in (40, 400, 400))
    other = Labelled(test.codes, rng.permutation(test.classes))

    def alone(inverse_penalty, scored):
        """An independent fit, without the warm start."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(class_probe, "INVERSE_PENALTIES", (inverse_penalty,))
            return probe(train, validation, scored).value

    chosen = max(class_probe.INVERSE_PENALTIES, key=lambda one: alone(one, validation))
    for scored in (test, other):
        values = {one: alone(one, scored) for one in class_probe.INVERSE_PENALTIES}
        assert probe(train, validation, scored).value == pytest.approx(values[chosen], abs=1e-3)
        assert min(abs(values[one] - values[chosen]) for one in values if one != chosen) > 2e-3


def test_validation_without_a_known_class_leaves_the_strongest_penalty(monkeypatch):
    rng = np.random.default_rng(6)
    train, validation, test = (draw(rng, n, signal=1) for n in (40, 40, 400))
    found = probe(train, Labelled(validation.codes, np.full(40, "z")), test)
    for names, same in ((class_probe.INVERSE_PENALTIES[:1], True), (class_probe.INVERSE_PENALTIES[-1:], False)):
        monkeypatch.setattr(class_probe, "INVERSE_PENALTIES", names)
        assert (probe(train, validation, test).value == found.value) == same


def test_of_many_classes_those_with_most_profiles_are_taken(monkeypatch):
    monkeypatch.setattr(class_probe, "MOST_CLASSES", 2)
    rng = np.random.default_rng(7)
    train, validation, test = (draw(rng, 90, signal=12) for _ in range(3))
    kept = np.concatenate([np.flatnonzero(train.classes != "b"), np.flatnonzero(train.classes == "b")[:5]])
    score = probe(Labelled(train.codes[kept], train.classes[kept]), validation, test)
    assert score.classes == 2 and score.unseen == np.sum(test.classes == "b")


@pytest.mark.parametrize("width", [0, 3])
def test_a_code_that_says_nothing_is_at_chance(width):
    rng = np.random.default_rng(8)
    splits = [Labelled(np.ones((60, width)), draw(rng, 60, signal=0).classes) for _ in range(3)]
    assert probe(*splits).value == pytest.approx(1 / 3)


def test_a_collapsed_code_is_at_chance():
    """Although the rounding about its one value is the class."""
    rng = np.random.default_rng(8)
    classes = [draw(rng, 60, signal=0).classes for _ in range(3)]
    codes = [np.float32(0.7) + np.searchsorted(NAMES, one)[:, None].astype(np.float32) * 6e-8 for one in classes]
    splits = [Labelled(code.astype(np.float32), one) for code, one in zip(codes, classes, strict=True)]
    assert len(np.unique(splits[0].codes)) == 3 and probe(*splits).value == pytest.approx(1 / 3)


def test_balanced_accuracy_is_scikit_learns():
    rng = np.random.default_rng(9)
    truth, predicted = rng.choice(NAMES, 50), rng.choice(NAMES, 50)
    assert balanced_accuracy(truth, predicted) == pytest.approx(balanced_accuracy_score(truth, predicted))


def test_chance_in_strata_is_the_best_of_all_guesses():
    """Every rule from strata to classes, tried."""
    rng = np.random.default_rng(10)
    truth, strata = rng.choice(NAMES, 60, p=[0.6, 0.3, 0.1]), rng.choice(["x", "y"], 60)
    tried = [balanced_accuracy(truth, np.where(strata == "x", one, two)) for one in NAMES for two in NAMES]
    assert blind_accuracy(truth, strata) == pytest.approx(max(tried))
    assert blind_accuracy(truth, np.zeros(60)) == pytest.approx(1 / 3)
