"""Ranked molecules for a phenotype: what a run would have tested first.

The score is the cosine of zc(phenotype) and zc(molecule), as in retrieval (sec. 3.3). Molecules whose cosines tie share
the mean of their ranks. Source: choice.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.preprocessing import normalize

from disentangledssl import mol2vec
from disentangledssl.atomic import atomic
from disentangledssl.dataset import PairedDataset, read_dataset
from disentangledssl.errors import InputError, first_few
from disentangledssl.evaluation.retrieval import NEAR_TIE
from disentangledssl.files import write_table
from disentangledssl.measurements import label_columns
from disentangledssl.structures import canonical_smiles, parse, read_smiles
from disentangledssl.timings import phase

SHOWN_HITS = 5
SHOWN_COLUMNS = ["phenotype", "rank", "id", "smiles", "cosine", "is_true", "pool"]
SHOWN_QUANTILES = (1 / 8, 3 / 8, 5 / 8, 7 / 8)

log = logging.getLogger(__name__)


class Library(NamedTuple):
    """Molecules to rank.

    Attributes
    ----------
    ids, smiles : lists of text, ``(molecules,)``
    left_out : text
        One sentence on rows that cannot be parsed; empty if there are none.
    """

    ids: list[str]
    smiles: list[str]
    left_out: str


def read_library(path: Path) -> Library:
    """Read a CSV with the columns ``id`` and ``smiles``; rows whose SMILES cannot be parsed are left out and counted.

    Raises
    ------
    InputError
        If it is no such file, an id is empty or appears twice, or no SMILES can be parsed.
    """
    try:
        with phase("loading"), warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            rows = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False, index_col=False)
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "correct hits.library in the config") from None
    except pd.errors.ParserWarning:
        problem = "has lines with more values than its first line has names"
        raise InputError(path, "", problem, "name every column, and quote values with a comma") from None
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(path, "", f"cannot be read as CSV ({reason})", "save it as CSV, UTF-8") from None
    for name in ("id", "smiles"):
        if name not in rows:
            raise InputError(path, f"column {name}", "is missing", f"add it (found: {first_few(rows.columns)})")
    # As an editor counts them: the first holds the names of the columns.
    lines = rows.index.to_numpy() + 2
    unnamed = rows["id"].str.strip() == ""
    if unnamed.any():
        raise InputError(path, f"column id, line {lines[unnamed][0]}", "is empty", "give each molecule its own id")
    twice = rows["id"].duplicated(keep=False)
    if twice.any():
        name = rows["id"][twice].iloc[0]
        first, second = lines[rows["id"] == name][:2]
        raise InputError(
            path, f"column id, lines {first} and {second}", f'"{name}" appears twice', "give each molecule its own id"
        )
    bad = np.array([parse(smiles) is None for smiles in rows["smiles"]], bool)
    if bad.all():
        problem = f"none of {len(rows)} SMILES can be parsed"
        raise InputError(path, "column smiles", problem, "write one SMILES a line below the heading")
    left_out = ""
    if bad.any():
        found = zip(lines[bad], rows["smiles"][bad], strict=True)
        seen = first_few(f'line {line} ("{smiles}")' for line, smiles in found)
        left_out = f"{path}: column smiles: {bad.sum()} of {len(rows)} cannot be parsed and are left out: {seen}."
    return Library(rows["id"][~bad].to_list(), rows["smiles"][~bad].to_list(), left_out)


def rank_hits(
    models: Path,
    dataset_folder: Path,
    out: Path,
    *,
    stage: str,
    run: str,
    phenotype: str,
    library: Path | None = None,
    mol2vec_model: Path | None = None,
    terminal: TextIO | None = None,
) -> None:
    """Rank molecules for one phenotype and write them as CSV, the best first.

    Parameters
    ----------
    models : path
        The stack that holds the run.
    dataset_folder : path
        With ``molecules.parquet`` beside the data set's own files.
    out : path
    stage, run : str
    phenotype : str
        Id of a pair; ``split`` in the file says where it was when the run was trained.
    library, mol2vec_model : path, optional
        Molecules to rank, see :func:`read_library`, and what makes features of them; the test molecules of the run's
        fold unless given.
    terminal : text stream, optional
        Where a sentence on SMILES that cannot be parsed goes.

    Raises
    ------
    InputError
        If run, phenotype or library are not what they should be, or the run diverged.
    """
    from disentangledssl.representations import Models

    with phase("loading"):
        dataset = read_dataset(dataset_folder)
        stack = Models(models, dataset)
        smiles = _smiles(dataset_folder, dataset)
    index = stack.index_of(run)
    if stack.runs[index]["status"] != "trained":
        raise InputError(models, run, f"is {stack.runs[index]['status']} and has no representations", "ask for another")
    pair = _find_phenotype(dataset_folder, dataset, phenotype)
    fold, own = stack.runs[index]["fold"], dataset.rows[1][pair]
    codes = stack.represent_views(index)
    query = codes["zc1"][dataset.rows[0][pair]]
    if library is None:
        candidates = np.unique(dataset.rows[1][dataset.pairs_in(fold, "test")])
        rows = hit_rows(query, codes["zc2"][candidates])
        names, structures, true = dataset.view_ids[1][candidates], smiles[candidates], candidates == own
    else:
        given = read_library(library)
        if given.left_out:
            log.warning(given.left_out)
            print(given.left_out, file=terminal, flush=True)
        features = mol2vec.featurise(given.smiles, mol2vec_model, file=library)
        rows = hit_rows(query, stack.represent_molecules(index, features))
        names, structures = np.array(given.ids), np.array(given.smiles)
        # A screen of the user's own keeps its SMILES as they were written.
        wanted = canonical_smiles(smiles[own])
        true = np.array([canonical_smiles(one) == wanted for one in given.smiles])
    rows.insert(1, "id", names[rows["candidate"]])
    rows.insert(2, "smiles", structures[rows["candidate"]])
    rows["is_true"] = true[rows.pop("candidate")]
    labels = label_columns(stack.runs[index], stage, dataset.info)
    rows = rows.assign(phenotype=phenotype, split=dataset.folds[fold][pair], **labels)
    with atomic(out) as part:
        rows.to_csv(part, index=False)


def hit_rows(query: np.ndarray, candidates: np.ndarray) -> pd.DataFrame:
    """Rank candidates for one query by cosine, the best first.

    Parameters
    ----------
    query : array, ``(dimensions,)``
    candidates : array, ``(molecules, dimensions)``

    Returns
    -------
    data frame
        ``rank`` (1 = best; of tied ones the mean), ``candidate`` (row) and ``cosine``.
    """
    cosines = (normalize(candidates.astype(np.float64)) @ normalize(query[None].astype(np.float64)).T)[:, 0]
    order = np.argsort(-cosines, kind="stable")
    ordered = -cosines[order]
    better = np.searchsorted(ordered, ordered - NEAR_TIE, side="left")
    worse = np.searchsorted(ordered, ordered + NEAR_TIE, side="right")
    return pd.DataFrame({"rank": (better + 1 + worse) / 2, "candidate": order, "cosine": cosines[order]})


def rank_shown_hits(models: Path, dataset_folder: Path, out: Path, *, run: str) -> None:
    """Write the first hits of a few test phenotypes of one run, and where their own molecule stands.

    Shown is the first profile of each of four test molecules, spread evenly over how well their own molecule is ranked
    (``SHOWN_QUANTILES``), so that the picture is neither of the best nor of chance. A row a phenotype and hit; the
    phenotype's own molecule has one whatever its rank. No rows if the run diverged. Source: choice.

    The run is one of step 2, as its rows say: pictures show no other stage.
    """
    from disentangledssl.representations import Models

    with phase("loading"):
        dataset = read_dataset(dataset_folder)
        stack = Models(models, dataset)
        smiles = _smiles(dataset_folder, dataset)
    index, shown = stack.index_of(run), []
    fold = stack.runs[index]["fold"]
    if stack.runs[index]["status"] == "trained":
        codes, test = stack.represent_views(index), dataset.pairs_in(fold, "test")
        candidates, first = np.unique(dataset.rows[1][test], return_index=True)
        ranked = []
        for pair, own in zip(test[first], candidates, strict=True):
            hits = hit_rows(codes["zc1"][dataset.rows[0][pair]], codes["zc2"][candidates])
            hits["row"] = candidates[hits.pop("candidate")]
            hits["is_true"] = hits["row"] == own
            ranked.append(hits.assign(phenotype=dataset.ids[pair], pool=len(candidates)))
        ranked.sort(key=lambda hits: hits.loc[hits["is_true"], "rank"].item())
        places = dict.fromkeys(int(quantile * len(ranked)) for quantile in SHOWN_QUANTILES)
        for hits in [ranked[place] for place in places]:
            hits = hits[(hits.index < SHOWN_HITS) | hits["is_true"]]
            shown.append(hits.assign(id=dataset.view_ids[1][hits["row"]], smiles=smiles[hits["row"]]))
    table = pd.concat(shown)[SHOWN_COLUMNS] if shown else pd.DataFrame(columns=SHOWN_COLUMNS)
    table = table.assign(**label_columns(stack.runs[index], "step2", dataset.info))
    write_table(out, pa.Table.from_pandas(table, preserve_index=False), {"dataset": dict(dataset.info)})


def _find_phenotype(dataset_folder: Path, dataset: PairedDataset, phenotype: str) -> int:
    """Return the pair of this id."""
    found = np.flatnonzero(dataset.ids == phenotype)
    if not len(found):
        problem = f'has no phenotype "{phenotype}"'
        mend = f"use one of its ids: {first_few(dataset.ids, 3)}"
        raise InputError(Path(dataset_folder, "pairs.parquet"), "column id", problem, mend)
    return int(found[0])


def _smiles(dataset_folder: Path, dataset: PairedDataset) -> np.ndarray:
    """Return the SMILES of every row of view 2, ``(rows,)``."""
    return np.array(read_smiles(Path(dataset_folder, "molecules.parquet"), dataset.view_ids[1].tolist()))
