"""Distances of generated sets: literal values, signs, sizes and seeds."""

from __future__ import annotations

import numpy as np
import pytest

from disentangledssl.evaluation.counterfactual import FORMULAS, counterfactual_distances
from disentangledssl.evaluation.frechet import frechet_distance


def draws(seed=0):
    return np.random.default_rng(seed)


def test_distances_of_shifted_copies():
    base = draws().normal(size=(30, 2))
    found = counterfactual_distances(base, base + np.array([3, 0]), base + np.array([3, 4]), draws())
    halves = found.pop("fd_halves")
    assert halves > 0
    assert found == pytest.approx(
        {
            "fd_validation_test": 9, "fd_counterfactual_test": 16, "fd_counterfactual_validation": 25,
            "diff_fd_c": 9 - 16, "diff_fd_s": 9 - 25, "set_size": 30, "halves_size": 15,
        }
    )  # fmt: skip


def test_signs():
    validation, test = draws(1).normal(size=(40, 3)), draws(2).normal(size=(40, 3)) * 2 + 5
    apart = frechet_distance(validation, test)
    # All of it from the molecule: the set is test's own; all of it from the phenotype: validation's own.
    from_molecules = counterfactual_distances(validation, test, test, draws())
    assert from_molecules["diff_fd_c"] == pytest.approx(apart) and from_molecules["diff_fd_s"] == pytest.approx(0)
    from_phenotypes = counterfactual_distances(validation, test, validation, draws())
    assert from_phenotypes["diff_fd_c"] == pytest.approx(0) and from_phenotypes["diff_fd_s"] == pytest.approx(apart)


def test_formulas_are_what_is_computed():
    found = counterfactual_distances(*(draws(seed).normal(size=(30, 3)) + seed for seed in range(3)), draws())
    for name, formula in FORMULAS.items():
        first, second = formula.split(" - ")
        assert found[name] == found[first] - found[second]
        assert found[name] != 0


def test_sets_are_cut_to_one_size():
    # Three sets of one distribution: uncut, the larger ones would lie nearer to each other.
    sizes = {"validation": 20, "test": 400, "counterfactual": 20}
    sets = {name: draws(k).normal(size=(size, 5)) for k, (name, size) in enumerate(sizes.items())}
    found = counterfactual_distances(**sets, draws=draws())
    assert found["set_size"] == 20 and found["halves_size"] == 20
    assert found["fd_validation_test"] != pytest.approx(frechet_distance(sets["validation"], sets["test"]), rel=0.05)
    assert found["fd_counterfactual_validation"] == frechet_distance(sets["counterfactual"], sets["validation"])
    # The halves are as large as the sets, so their distance is that of sets that differ by chance alone.
    several = [counterfactual_distances(**sets, draws=draws(seed)) for seed in range(8)]
    halves, apart = (np.mean([one[name] for one in several]) for name in ("fd_halves", "fd_validation_test"))
    assert 0.5 < halves / apart < 2


def test_the_generator_decides():
    sets = [draws(seed).normal(size=(size, 3)) for seed, size in enumerate((12, 50, 12))]
    first, again, other = (counterfactual_distances(*sets, draws(seed)) for seed in (0, 0, 1))
    assert first == again
    assert first["fd_validation_test"] != other["fd_validation_test"] and first["fd_halves"] != other["fd_halves"]
