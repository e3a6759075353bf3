"""Counterfactual generation: distances between sets of generated phenotypes (App. H.3, Table 5).

One decoder makes phenotypes from the shared representation of a molecule and the specific one of a phenotype:
``validation`` has both from validation, ``test`` both from test, ``counterfactual`` the phenotypes of validation, each
with a test molecule. Reported is how much nearer it lies to test, and to validation, than those two to each other:

    diff_fd_c = FD(validation, test) - FD(counterfactual, test)
    diff_fd_s = FD(validation, test) - FD(counterfactual, validation)
"""

from __future__ import annotations

import numpy as np

from disentangledssl.evaluation.frechet import cut_to_one_size, frechet_distance, halves_distance

FORMULAS = {
    "diff_fd_c": "fd_validation_test - fd_counterfactual_test",
    "diff_fd_s": "fd_validation_test - fd_counterfactual_validation",
}


def counterfactual_distances(
    validation: np.ndarray, test: np.ndarray, counterfactual: np.ndarray, draws: np.random.Generator
) -> dict[str, float]:
    """Return every distance between the generated sets, and the differences that the paper reports.

    Parameters
    ----------
    validation, test, counterfactual : arrays, ``(generated phenotypes, features)``
        Cut to one size (``set_size``), since the distance is biased by it.
    draws : numpy.random.Generator
        Decides which samples are left out, and the halves.

    Returns
    -------
    dict
        ``fd_validation_test``, ``fd_counterfactual_test``, ``fd_counterfactual_validation``, ``diff_fd_c``,
        ``diff_fd_s``, ``set_size``; ``fd_halves`` of ``halves_size`` samples each, taken from the whole ``test`` set:
        the bias of all of these.
    """
    halves, halves_size = halves_distance(test, draws, largest=min(len(validation), len(counterfactual)))
    sets = cut_to_one_size({"validation": validation, "test": test, "counterfactual": counterfactual}, draws)
    apart = frechet_distance(sets["validation"], sets["test"])
    to_test, to_validation = (frechet_distance(sets["counterfactual"], sets[name]) for name in ("test", "validation"))
    return {
        "fd_validation_test": apart,
        "fd_counterfactual_test": to_test,
        "fd_counterfactual_validation": to_validation,
        "diff_fd_c": apart - to_test,
        "diff_fd_s": apart - to_validation,
        "set_size": len(sets["test"]),
        "fd_halves": halves,
        "halves_size": halves_size,
    }
