"""Harder splits of drug screens: whole scaffolds at once, and unseen molecules in an unseen cell line.

Both keep every molecule group in one split of a fold, as the splits of ``splits`` do, and ask for more: that no
training molecule has the scaffold of a test molecule; that neither the molecule nor the line (or dose, or batch) of a
test profile was seen. Source: choice.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from disentangledssl.dataset import SPLITS, read_pairs, splits_table
from disentangledssl.errors import InputError, first_few
from disentangledssl.files import write_table

log = logging.getLogger(__name__)


def scaffold_blocks(groups: Sequence[str], scaffolds: Sequence[str]) -> np.ndarray:
    """Return which block each pair is in, ``(pairs,)``: groups that are joined by scaffolds are in one.

    A block is a scaffold with all its groups, or several scaffolds where a group has molecules of each. Molecules
    without a ring (empty scaffold) have no structure in common: their groups are blocks of their own.

    >>> scaffold_blocks(["a", "b", "c", "d", "e"], ["x", "x", "y", "", ""]).tolist()
    [0, 0, 1, 2, 3]
    """
    names, group = np.unique(np.asarray(groups, str), return_inverse=True)
    rings = np.flatnonzero(np.asarray(scaffolds, str) != "")
    kinds, kind = np.unique(np.asarray(scaffolds, str)[rings], return_inverse=True)
    nodes = len(names) + len(kinds)
    edges = coo_array((np.ones(len(rings)), (group[rings], len(names) + kind)), shape=(nodes, nodes))
    return connected_components(edges, directed=False)[1][group]


def scaffold_folds(
    groups: Sequence[str], blocks: np.ndarray, folds: int, validation_fraction: float, seed: int
) -> list[np.ndarray]:
    """Cut the blocks into folds, each of them the test part once.

    Parameters
    ----------
    groups : sequence of text, ``(pairs,)``
    blocks : array of whole numbers, ``(pairs,)``
        From :func:`scaffold_blocks`. The largest come first, equal ones in random order, and each goes to the fold
        with the fewest groups, so that folds are of like size.
    folds : int
        At least 2.
    validation_fraction : float
        Of all groups, taken from the training part: blocks in random order, as far as they fit.
    seed : int

    Returns
    -------
    list of arrays of text, ``(pairs,)``: one a fold

    Raises
    ------
    ValueError
        If a part of a fold would be empty.
    """
    first = np.unique(np.asarray(groups, str), return_index=True)[1]
    block_of_group = blocks[first]
    sizes = np.bincount(block_of_group)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of_block, filled = np.empty(len(sizes), int), np.zeros(max(folds, 1), int)
    for block in order:
        fold_of_block[block] = np.argmin(filled)
        filled[fold_of_block[block]] += sizes[block]
    result = []
    for fold in range(folds):
        split = np.where(fold_of_block == fold, "test", "train").astype("<U10")
        left = int(validation_fraction * len(first))
        for block in generator.permutation(np.flatnonzero(split == "train")):
            if sizes[block] <= left:
                split[block] = "validation"
                left -= sizes[block]
        result.append(split[blocks])
    needed = ("train", "validation", "test") if validation_fraction else ("train", "test")
    if folds < 2 or not all((split == part).any() for split in result for part in needed):
        raise ValueError(f"{len(first)} groups of {len(sizes)} scaffolds do not fill {folds} folds")
    return result


def leave_one_out(
    groups: Sequence[str],
    values: Sequence[str],
    value: str,
    *,
    train_fraction: float,
    validation_fraction: float,
    seed: int,
) -> np.ndarray:
    """Leave out the pairs with one value, and with them some of their groups altogether.

    Parameters
    ----------
    groups, values : sequences of text, ``(pairs,)``
        For example the molecule and the cell line of each pair.
    value : text
        What is left out. Of n groups that have it, ``n - int(train_fraction * n)`` are held out: with the value they
        are the test, without it unused. Other groups with the value are unused too: it is not trained with.
    train_fraction, validation_fraction : float
        Validation is ``int(validation_fraction * m)`` of the m groups that are not held out and have other values.
    seed : int
        The draw also depends on the value, but not on which others are left out.

    Returns
    -------
    array of text, ``(pairs,)``

    Raises
    ------
    ValueError
        If a part would be empty.
    """
    groups, here = np.asarray(groups, str), np.asarray(values, str) == value
    order = np.random.default_rng([seed, zlib.crc32(value.encode())]).permutation(np.unique(groups))
    own = order[np.isin(order, groups[here])]
    held_out = own[int(train_fraction * len(own)) :]
    others = order[np.isin(order, groups[~here]) & ~np.isin(order, held_out)]
    validation, train = np.split(others, [int(validation_fraction * len(others))])
    split = np.full(len(groups), "unused", dtype="<U10")
    split[here & np.isin(groups, held_out)] = "test"
    split[~here & np.isin(groups, validation)] = "validation"
    split[~here & np.isin(groups, train)] = "train"
    if not (len(held_out) and len(train)) or (validation_fraction and not len(validation)):
        raise ValueError(f"{len(own)} groups with {value} and {len(others)} others do not fill its fold")
    return split


def write_screen_splits(
    pairs_path: str | os.PathLike[str],
    molecules_path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    kind: str,
    folds: int,
    by: str | None,
    values: Sequence[str] | None,
    train_fraction: float,
    validation_fraction: float,
    seed: int,
) -> None:
    """Write ``splits.parquet`` for a screen; its metadata tell the size of every split.

    Parameters
    ----------
    pairs_path, molecules_path, out : paths
        ``molecules.parquet`` is read for scaffolds only.
    kind : {"scaffold", "leave_one_out"}
    folds : int
        Of ``scaffold``.
    by, values : text, sequence of text
        Of ``leave_one_out``: the description (column ``meta_<by>``) and, a fold each, its values that are left out.
    train_fraction : float
        Of ``leave_one_out``.
    validation_fraction : float
    seed : int

    Raises
    ------
    InputError
        If a description or a value is not there, molecules have no SMILES, or a split would be empty.
    """
    pairs = read_pairs(pairs_path)
    groups = pairs["group"].to_numpy().astype(str)
    info: dict[str, Any] = {"kind": kind, "seed": seed, "validation_fraction": validation_fraction}
    place = "column group"
    try:
        if kind == "scaffold":
            found = _scaffolds(pairs["view2"].to_pylist(), molecules_path)
            blocks = scaffold_blocks(groups, found)
            columns = scaffold_folds(groups, blocks, folds, validation_fraction, seed)
            info |= _block_sizes(groups, blocks, found)
        else:
            place = f"column meta_{by}"
            here = _described(pairs_path, pairs, by, values)
            columns = [
                leave_one_out(
                    groups, here, value, train_fraction=train_fraction, validation_fraction=validation_fraction,
                    seed=seed,
                )
                for value in values
            ]  # fmt: skip
            info |= {"by": by, "values": list(values), "train_fraction": train_fraction}
    except ValueError as error:
        mend = "use fewer folds, another part for validation, or more molecules"
        raise InputError(pairs_path, place, str(error), mend) from None
    info |= {"folds": len(columns), "sizes": [_sizes(groups, column) for column in columns]}
    for number, sizes in enumerate(info["sizes"]):
        log.info("%s, fold %d: %s", kind, number, sizes)
    write_table(out, splits_table(pairs["id"].to_pylist(), columns), info)


def _scaffolds(molecules: Sequence[str], path: str | os.PathLike[str]) -> np.ndarray:
    """Scaffold of the molecule of each pair."""
    from disentangledssl.structures import read_smiles, scaffold  # RDKit is slow to import, lines need it not

    names, member = np.unique(np.asarray(molecules, str), return_inverse=True)
    return np.array([scaffold(smiles) for smiles in read_smiles(path, names.tolist())])[member]


def _described(path, pairs, by: str, values: Sequence[str]) -> np.ndarray:
    name = f"meta_{by}"
    if name not in pairs.column_names:
        known = [one.removeprefix("meta_") for one in pairs.column_names if one.startswith("meta_")]
        raise InputError(path, f"column {name}", "is missing", f"set split.by to one of {first_few(known, 12)}")
    here = pairs[name].to_numpy().astype(str)
    known = sorted(set(here))
    for value in values:
        if value not in known:
            raise InputError(path, f"column {name}", f'has no "{value}"', f"leave out any of {first_few(known, 12)}")
    return here


def _block_sizes(groups: np.ndarray, blocks: np.ndarray, scaffolds: np.ndarray) -> dict[str, int]:
    per_block = np.bincount(blocks[np.unique(groups, return_index=True)[1]])
    acyclic = len(np.unique(groups[scaffolds == ""]))
    return {"blocks": len(per_block), "largest_block": int(per_block.max()), "groups_without_ring": acyclic}


def _sizes(groups: np.ndarray, column: np.ndarray) -> dict[str, dict[str, int]]:
    return {
        part: {"pairs": int((column == part).sum()), "groups": len(np.unique(groups[column == part]))}
        for part in SPLITS
        if (column == part).any()
    }
