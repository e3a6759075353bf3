"""Transfer: models trained on one screen (the source) rank the molecules of another (the target).

Both screens become one data set (docs/data.md), on which everything else runs as it does on any: the source's training
and validation pairs are as they were, and the test are the target's pairs, fold by fold those whose molecule the fold's
models have not seen. Choices:

- **Seen** is every molecule of the fold's training and validation pairs, by the first block of the InChIKey of its
  largest part: salts and stereo forms too, whatever the screens call a group. What the source tests in a fold is not
  seen by that fold's models, so its target profiles are ranked by them, and by no other fold's.
- **Scaling** is the source's, with the statistics of its training rows: as for any test, nothing of the target is used,
  and a single new profile could be ranked. The statistics of the target, whose profiles are on another scale, would
  help, but belong to whoever has many profiles and no molecules.
- **Features** are matched by name and put in the source's order; the target must have all of them, what it has more is
  left out.

Source: choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from disentangledssl.dataset import pairs_table, read_dataset, read_pairs, read_view, splits_table, write_view
from disentangledssl.errors import InputError, first_few
from disentangledssl.files import table_info, write_table
from disentangledssl.structures import read_smiles, skeleton


def join_screens(source_folder: Path, target_folder: Path, out: Path, *, folds: int) -> None:
    """Write the data set that the source's models are measured on: view1, view2, molecules, pairs, splits (Parquet).

    Parameters
    ----------
    source_folder, target_folder : paths
        Data sets with ``molecules.parquet``; the target's splits are not read.
    out : path
        Folder to write into. Ids and groups begin with the name of their screen. Of the descriptions the target's texts
        are kept, empty for the source.
    folds : int
        Of the source that are run: the joined screens have these.

    Raises
    ------
    InputError
        If the target lacks features of the source, molecules have no SMILES, or the models of a fold have seen every
        molecule of the target.
    """
    source = read_dataset(source_folder)
    pairs = read_pairs(target_folder / "pairs.parquet")
    names = str(source.info["name"]), str(table_info(pairs)["name"])
    view_ids = []
    for number, view in enumerate(("view1", "view2")):
        path = target_folder / f"{view}.parquet"
        values, features, ids = read_view(path)
        own = source.features[number]
        missing = [name for name in own if name not in set(features)]
        if missing:
            problem = f"has no column {first_few(missing)}, which {names[0]} has"
            raise InputError(path, "", problem, "set transfer_from to a screen with the same features, or to null")
        place = {name: column for column, name in enumerate(features)}
        both = np.concatenate([source.views[number], values[:, [place[name] for name in own]]])
        view_ids.append((source.view_ids[number], ids))
        write_view(out / f"{view}.parquet", _named(names, view_ids[-1]), both, own)
    smiles = [
        read_smiles(folder / "molecules.parquet", ids.tolist())
        for folder, ids in zip((source_folder, target_folder), view_ids[1], strict=True)
    ]
    molecules = pa.table({"id": _named(names, view_ids[1]), "smiles": [*smiles[0], *smiles[1]]})
    write_table(out / "molecules.parquet", molecules)
    # A molecule without an InChIKey is known by its SMILES.
    keys = [np.array([skeleton(text) or text for text in one]) for one in smiles]
    row_of = {name: row for row, name in enumerate(view_ids[1][1].tolist())}
    key_of_pair = keys[1][[row_of[name] for name in pairs["view2"].to_pylist()]]
    groups = pairs["group"].to_numpy().astype(str)
    columns = []
    for number, fold in enumerate(source.folds[:folds]):
        seen = np.unique(keys[0][source.rows[1][np.isin(fold, ("train", "validation"))]])
        new = unseen(groups, key_of_pair, seen)
        if not new.any():
            problem = f"every molecule is in training or validation of fold {number} of {names[0]}"
            raise InputError(target_folder / "pairs.parquet", "", problem, "set transfer_from to null")
        own = np.where(fold == "test", "unused", fold)
        columns.append(np.concatenate([own, np.where(new, "test", "unused")]))
    profiles = [source.view_ids[0][source.rows[0]], pairs["view1"].to_numpy().astype(str)]
    of_pairs = [source.view_ids[1][source.rows[1]], pairs["view2"].to_numpy().astype(str)]
    ids = _named(names, (source.ids, pairs["id"].to_numpy().astype(str)))
    joined = pairs_table(
        ids,
        _named(names, profiles),
        _named(names, of_pairs),
        _named(names, (source.groups, groups)),
        meta={
            name.removeprefix("meta_"): [""] * len(source.ids) + pairs[name].to_pylist()
            for name in pairs.column_names
            if name.startswith("meta_") and pa.types.is_string(pairs.schema.field(name).type)
        },
    )
    target = table_info(pairs)
    info = {
        "name": names[1],
        "title": f"{target['title']}, models trained on {source.info['title']}",
        "stand_in": bool(target["stand_in"] or source.info["stand_in"]),
        "trained_on": names[0],
    }
    write_table(out / "pairs.parquet", joined, info)
    sizes = [
        {"pairs": int((fold == "test").sum()), "groups": len(np.unique(groups[fold[len(source.ids) :] == "test"]))}
        for fold in columns
    ]
    write_table(out / "splits.parquet", splits_table(ids, columns), info | {"test": sizes})


def unseen(groups: np.ndarray, keys: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Tell which pairs are of a group none of whose molecules was seen, ``(pairs,)`` of bool.

    >>> unseen(np.array(["a", "a", "b"]), np.array(["X", "Y", "Z"]), np.array(["Y"])).tolist()
    [False, False, True]
    """
    return ~np.isin(groups, groups[np.isin(keys, seen)])


def _named(names: Sequence[str], ids: Sequence[np.ndarray]) -> list[str]:
    return [f"{name}/{one}" for name, some in zip(names, ids, strict=True) for one in some.tolist()]
