"""Who trains and who is tested: by pair (simulation) or by group of pairs (drug screens).

A group, for example a molecule with all its wells, is never divided. Source: the paper splits
screens by molecule (App. H.3); folds, validation part and seeds: choice.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from disentangledssl.dataset import read_pairs, splits_table
from disentangledssl.errors import InputError
from disentangledssl.files import table_info, with_info, write_table

KINDS = ("random", "group_folds", "group_holdout", "given")


def permutation(n: int, seed: int) -> np.ndarray:
    """Return the order in which :func:`random_pairs` takes the pairs, ``(n,)``."""
    import torch  # slow to import, and only simulated data need it

    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()


def random_pairs(n: int, train_fraction: float, seed: int) -> np.ndarray:
    """Split pairs at random into train and test.

    Equal to ``torch.manual_seed(seed)`` and ``torch.utils.data.random_split`` with lengths
    ``int(train_fraction * n)`` and the rest, but leaves torch's global generator alone.

    Returns
    -------
    array of text, ``(n,)``: ``train`` or ``test``

    Source: the authors' code for the simulation, with seed 0.
    """
    split = np.full(n, "train", dtype="<U10")
    split[permutation(n, seed)[int(train_fraction * n) :]] = "test"
    return split


def group_folds(groups: Sequence[str], folds: int, validation_fraction: float, seed: int) -> list[np.ndarray]:
    """Cut the groups into folds, each of them the test part once.

    Parameters
    ----------
    groups : sequence of text, ``(pairs,)``
    folds : int
        At least 2. Test parts differ by one group at most.
    validation_fraction : float
        Of all groups, taken from the training part; rounded down.
    seed : int

    Returns
    -------
    list of arrays of text, ``(pairs,)``: one a fold

    Raises
    ------
    ValueError
        If there are fewer groups than the parts need.
    """
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    n_validation = int(validation_fraction * len(names))
    largest = -(-len(names) // max(folds, 1))
    if not 2 <= folds <= len(names) or len(names) - largest - n_validation < 1:
        raise ValueError(f"{len(names)} groups do not fill {folds} folds of training, validation and test")
    parts = np.array_split(order, folds)
    result = []
    for k, test in enumerate(parts):
        # The groups that come next in the (cyclic) random order: no further draw.
        rest = np.concatenate([*parts[k + 1 :], *parts[:k]])
        result.append(_assign(len(names), test, rest[:n_validation])[member])
    return result


def group_holdout(
    groups: Sequence[str], seed: int, train_fraction: float = 0.8, validation_fraction: float = 0.1
) -> np.ndarray:
    """Split the groups once; validation comes out of the training part.

    With n groups the test part has ``n - int(train_fraction * n)`` of them, validation
    ``int(validation_fraction * n)``. So 3,315 molecules give 663 for the test, 1,661 give 333.

    Returns
    -------
    array of text, ``(pairs,)``

    Raises
    ------
    ValueError
        If a part would be empty.

    Source: the counts follow from the paper's Table 2, row Random.
    """
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    n_train = int(train_fraction * len(names))
    n_validation = int(validation_fraction * len(names))
    if n_train - n_validation < 1 or n_train == len(names):
        raise ValueError(f"{len(names)} groups do not fill training, validation and test")
    return _assign(len(names), order[n_train:], order[n_train - n_validation : n_train])[member]


def write_splits(
    pairs_path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    kind: str,
    folds: int = 1,
    train_fraction: float = 0.8,
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> None:
    """Write ``splits.parquet`` for ``pairs.parquet``.

    Parameters
    ----------
    pairs_path, out : paths
    kind : {"random", "group_folds", "group_holdout", "given"}
        ``given``: by ``meta_split`` of the pairs, which the source has.
    folds : int
        For ``group_folds`` only. ``random`` makes one for each value of ``meta_draw``, whose pairs it splits (the
        others are unused there); ``group_holdout`` and ``given`` make one.
    train_fraction : float
        Not for ``group_folds`` and ``given``.
    validation_fraction : float
        Not for ``random`` and ``given``.
    seed : int
        Not for ``given``.

    Raises
    ------
    InputError
        If the groups are too few, or a split is given that is not there.
    """
    pairs = read_pairs(pairs_path)
    if kind == "given":
        if "meta_split" not in pairs.column_names:
            mend = "add it, or split with group_holdout"
            raise InputError(pairs_path, "column meta_split", "is missing, but the split is to be as given", mend)
        write_table(out, splits_table(pairs["id"].to_pylist(), [pairs["meta_split"]]), {"kind": kind, "folds": 1})
        return
    groups = pairs["group"].to_numpy().astype(str)
    try:
        if kind == "random":
            columns = _split_draws(pairs, train_fraction, seed)
        elif kind == "group_folds":
            columns = group_folds(groups, folds, validation_fraction, seed)
        elif kind == "group_holdout":
            columns = [group_holdout(groups, seed, train_fraction, validation_fraction)]
        else:
            raise InputError("splits", "kind", f'"{kind}" is no kind of split', f"use one of {', '.join(KINDS)}")
    except ValueError as error:
        raise InputError(pairs_path, "column group", str(error), "use fewer folds or more groups") from None
    info = {"kind": kind, "folds": len(columns), "seed": seed}
    info |= {} if kind == "random" else {"validation_fraction": validation_fraction}
    info |= {} if kind == "group_folds" else {"train_fraction": train_fraction}
    write_table(out, splits_table(pairs["id"].to_pylist(), columns), info)


def _split_draws(pairs: pa.Table, train_fraction: float, seed: int) -> list[np.ndarray]:
    draws = pairs["meta_draw"].to_numpy() if "meta_draw" in pairs.column_names else np.zeros(len(pairs))
    columns = []
    for draw in dict.fromkeys(draws.tolist()):
        column = np.full(len(draws), "unused", dtype="<U10")
        column[draws == draw] = random_pairs(int((draws == draw).sum()), train_fraction, seed)
        columns.append(column)
    return columns


def shuffle_molecules(pairs: pa.Table, seed: int) -> pa.Table:
    """Give each group's profiles the molecules of another group: a null control.

    One random cycle runs through all groups, so none keeps its own molecules. The profiles of
    group g get the molecules of its successor h, the k-th molecule of g replaced by the k-th of h
    (counted from the start again if h has fewer; what h has more is in no pair): profiles that
    shared a molecule still do. The ``group`` becomes h, that of the molecule. As each group is
    the successor of exactly one, splitting by ``group`` still divides neither the profiles of a
    molecule nor the molecules of a group, and a group's name stands for the same molecules as
    in the true data. Ids, labels and descriptions stay with the profile.

    Returns
    -------
    table
        As ``pairs``; its title ends in "molecules shuffled (null)".

    Raises
    ------
    ValueError
        If there are fewer than two groups.
    """
    groups, molecules = (pairs[name].to_numpy().astype(str) for name in ("group", "view2"))
    names = np.unique(groups)
    if len(names) < 2:
        raise ValueError("shuffling molecules needs at least two groups")
    cycle = names[np.random.default_rng(seed).permutation(len(names))]
    successor = dict(zip(cycle, np.roll(cycle, -1), strict=True))
    members = {name: np.unique(molecules[groups == name]) for name in names}
    new_groups = [successor[name] for name in groups]
    new_molecules = []
    for name, molecule, new_name in zip(groups, molecules, new_groups, strict=True):
        rank = int(np.searchsorted(members[name], molecule))
        new_molecules.append(members[new_name][rank % len(members[new_name])])
    for name, values in (("view2", new_molecules), ("group", new_groups)):
        pairs = pairs.set_column(pairs.column_names.index(name), name, pa.array(values, pa.string()))
    info = table_info(pairs)
    info |= {"title": f"{info.get('title', '')}, molecules shuffled (null)".lstrip(", "), "shuffled": seed}
    return with_info(pairs, info)


def _assign(n: int, test: np.ndarray, validation: np.ndarray) -> np.ndarray:
    split = np.full(n, "train", dtype="<U10")
    split[test], split[validation] = "test", "validation"
    return split
