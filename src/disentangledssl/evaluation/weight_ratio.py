"""How much of an encoder's attention goes to the pure dimensions of the mixed simulation (App. H.1, Figure 9a)."""

from __future__ import annotations

import numpy as np


def weight_ratio(first_layer: np.ndarray, pure: int) -> float:
    """Mean squared weight of the last, pure inputs over that of the other, mixed ones.

    Parameters
    ----------
    first_layer : array, (inputs, hidden)
        Weights of the first linear layer.
    pure : int
        Number of pure inputs; they are the last ones.

    Returns
    -------
    float
        mean(diag(W^T W)) over the pure inputs, divided by the same over the mixed ones (W: hidden x inputs).

    Raises
    ------
    ValueError
        If there is no pure or no mixed input.

    >>> weight_ratio(np.array([[1.0, 1.0], [2.0, 0.0]]), pure=1)
    2.0
    """
    if not 0 < pure < len(first_layer):
        raise ValueError(f"{pure} pure of {len(first_layer)} inputs leave nothing to compare")
    diagonal = np.square(np.asarray(first_layer, np.float64)).sum(axis=1)
    return float(diagonal[-pure:].mean() / diagonal[:-pure].mean())
