"""Shares of neighbours with the same class: counted by hand, and by every permutation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from disentangledssl.evaluation.neighbours import expected_share, same_class_share


def at(*degrees):
    return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1)


# Five molecules on a half circle; the nearest of 0 is 10, of 50 is 85, of 120 is 85.
CODES, CLASSES = at(0, 10, 50, 85, 120), np.array(["a", "a", "b", "a", "b"])


def test_shares_are_those_counted_by_hand():
    # Nearest: 0-10 same, 10-0 same, 50-85 not, 85-50 or 120, tied and neither the same, 120-85 not.
    # Two nearest: 0: 10, 50; 10: 0, 50; 50: 85, 10; 85: 50, 120; 120: 85, 50.
    shares = same_class_share(CODES, CLASSES, (1, 2, 4, 10))
    assert shares[1] == pytest.approx(2 / 5)
    assert shares[2] == pytest.approx((1 / 2 + 1 / 2 + 0 + 0 + 1 / 2) / 5)
    # All four others: two of the three a, and one of the two b.
    assert shares[4] == shares[10] == pytest.approx((3 * 2 / 4 + 2 * 1 / 4) / 5)
    assert shares[4] == pytest.approx(expected_share(CLASSES))


def test_length_does_not_matter():
    lengths = np.array([[1], [1e3], [1e-3], [5], [2]])
    assert same_class_share(CODES * lengths, CLASSES) == pytest.approx(same_class_share(CODES, CLASSES))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_permutation_of_the_classes_gives_the_expected_share(k):
    permuted = [same_class_share(CODES, np.array(one), (k,))[k] for one in itertools.permutations(CLASSES)]
    assert np.mean(permuted) == pytest.approx(expected_share(CLASSES))


@pytest.mark.parametrize("codes", [np.ones((5, 3)), np.zeros((5, 3)), np.empty((5, 0))], ids=["one", "zero", "empty"])
def test_a_collapsed_code_has_what_a_permutation_has(codes):
    assert same_class_share(codes, CLASSES, (1, 3)) == pytest.approx(dict.fromkeys((1, 3), expected_share(CLASSES)))


def test_a_tie_is_its_expectation_over_orders():
    # The only other at 0 degrees, then two tied ones of which one has the class.
    shares = same_class_share(at(0, 0, 40, -40), np.array(["a", "b", "a", "c"]), (2,))
    # First: (0 + 1/2) / 2; second: none; third: tied a and b at 0, both are taken: 1/2; fourth: none.
    assert shares[2] == pytest.approx((1 / 4 + 0 + 1 / 2 + 0) / 4)


def test_one_molecule_has_no_neighbours():
    with pytest.raises(ValueError, match="no neighbours"):
        same_class_share(np.ones((1, 2)), np.array(["a"]))
