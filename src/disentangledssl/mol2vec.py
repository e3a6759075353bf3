"""Mol2vec: a molecule as the sum of vectors of its substructures.

A molecule is a sentence, its words are Morgan identifiers of radius 0 and 1, and word2vec
(skip-gram) gives each word a vector. A trained model is a view table (see ``dataset``) whose
ids are the words: no pickle, and the same input gives the same bytes.

Source: Jaeger, Fulle and Turk, J. Chem. Inf. Model. 58, 27 (2018). The published model was
trained on 20 million compounds; ours sees only the SMILES it is given (choice).
"""

from __future__ import annotations

import csv
import gzip
import logging
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rdkit.Chem import rdFingerprintGenerator
from scipy.sparse import csr_array

from disentangledssl.dataset import read_view, write_view
from disentangledssl.errors import InputError, first_few
from disentangledssl.files import read_table, table_info
from disentangledssl.structures import NO_STRUCTURE, canonical_smiles, parse

UNKNOWN = "UNK"

log = logging.getLogger(__name__)
_morgan = rdFingerprintGenerator.GetMorganGenerator(radius=1)


def sentence(smiles: str) -> list[str]:
    """Return the words of a molecule, in the atom order of its canonical SMILES.

    For each atom comes its identifier of radius 0, then that of radius 1. The Morgan algorithm
    gives two atoms with the very same surroundings one identifier of radius 1 (in ethane, the
    only bond); the other atom then has no word of radius 1, as in the original.

    Raises
    ------
    ValueError
        If the SMILES cannot be parsed.

    Source: ``mol2alt_sentence`` of the original package (samoturk/mol2vec).

    >>> sentence("CO")
    ['2246728737', '864662311', '1533899907']
    """
    canonical = canonical_smiles(smiles)
    if canonical is None:
        raise ValueError(f'"{smiles}" cannot be parsed')
    molecule = parse(canonical)
    output = rdFingerprintGenerator.AdditionalOutput()
    output.AllocateBitInfoMap()
    _morgan.GetSparseCountFingerprint(molecule, additionalOutput=output)
    places = [(atom, radius, word) for word, found in output.GetBitInfoMap().items() for atom, radius in found]
    return [str(word) for _, _, word in sorted(places)]


def corpus(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Collect the distinct canonical SMILES of several files, sorted.

    Parameters
    ----------
    paths : paths
        Each a Parquet file with a column ``smiles``, or a LINCS perturbagen table
        (``.txt.gz``; its compounds, ``pert_type`` ``trt_cp``, are taken).

    What cannot be parsed is left out, counted and logged with its row.
    """
    found: set[str] = set()
    for path in paths:
        read = _read_molecules if Path(path).suffix == ".parquet" else _read_perturbagens
        total, unparsable = 0, []
        for row, smiles in read(path):
            canonical = canonical_smiles(smiles)
            total += 1
            if canonical is None:
                unparsable.append(f'row {row} ("{smiles}")')
            else:
                found.add(canonical)
        if unparsable:
            log.warning("%s: %d SMILES cannot be parsed, left out: %s", path, len(unparsable), first_few(unparsable))
        log.info("%s: %d structures", path, total - len(unparsable))
    return sorted(found)


def train(
    smiles: Iterable[str],
    out: str | os.PathLike[str],
    *,
    dimensions: int = 300,
    window: int = 10,
    epochs: int = 30,
    minimum_count: int = 3,
    seed: int = 0,
) -> None:
    """Train word vectors by skip-gram and write them to ``out``.

    Parameters
    ----------
    smiles : texts
        The molecules; order and repetition do not matter.
    out : path
        The model: a view table with a word a row and columns ``m2v_0`` ...
    dimensions, window, epochs : int
        Of word2vec. Source: the published model has 300 and 10; epochs: choice.
    minimum_count : int
        Words seen fewer times become ``UNK``. Source: the paper's text; the original code
        also replaces words seen exactly 3 times.
    seed : int
        Of the initial vectors, the order of the molecules and the sampling.

    Raises
    ------
    InputError
        If there is no molecule, or one cannot be parsed.
    """
    from gensim.models import Word2Vec  # slow to import, and only training needs it

    molecules = sorted(set(smiles))
    if not molecules:
        raise InputError(out, "", "no molecule to train Mol2vec on", "give at least one SMILES that can be parsed")
    try:
        sentences = [sentence(molecules[k]) for k in np.random.default_rng(seed).permutation(len(molecules))]
    except ValueError as error:
        raise InputError(out, "", str(error), "correct or drop this SMILES") from None
    counts = Counter(word for words in sentences for word in words)
    sentences = [[word if counts[word] >= minimum_count else UNKNOWN for word in words] for words in sentences]
    model = Word2Vec(
        sentences,
        sg=1,
        vector_size=dimensions,
        window=window,
        epochs=epochs,
        min_count=1,
        seed=seed,
        # A second worker would make the order of updates a matter of chance, and Python's own
        # hash of text changes from process to process.
        workers=1,
        hashfxn=lambda text: zlib.crc32(text.encode()),
    )
    words, vectors = list(model.wv.index_to_key), model.wv.vectors
    if UNKNOWN not in words:
        # Nothing was rare, so nothing says where an unseen word lies: it adds nothing.
        words, vectors = [*words, UNKNOWN], np.vstack([vectors, np.zeros((1, dimensions), np.float32)])
    rare = sum(count < minimum_count for count in counts.values())
    log.info("Mol2vec: %d molecules, %d words, %d rare ones as %s", len(molecules), len(counts), rare, UNKNOWN)
    info = {
        "model": "Mol2vec, trained by this pipeline",
        "molecules": len(molecules),
        "words": len(counts) - rare,
        "rare_words": rare,
        "window": window,
        "epochs": epochs,
        "minimum_count": minimum_count,
        "seed": seed,
    }
    write_view(out, words, vectors, features(dimensions), info)


def featurise(
    smiles: Sequence[str], model_path: str | os.PathLike[str], *, file: str | os.PathLike[str] = "SMILES"
) -> np.ndarray:
    """Sum each molecule's word vectors; a word that the model has not seen counts as ``UNK``.

    Parameters
    ----------
    smiles : sequence of text
    model_path : path
        As written by :func:`train`.
    file : str
        Where the SMILES are from, for the error.

    Returns
    -------
    array, ``(molecules, dimensions)``, float32

    Raises
    ------
    InputError
        If a SMILES cannot be parsed or the model has no ``UNK``.
    """
    vectors, _, words = read_view(model_path)
    position = {word: k for k, word in enumerate(words.tolist())}
    if UNKNOWN not in position:
        raise InputError(model_path, "column id", f"has no word {UNKNOWN}", "train the model with this program")
    columns, counts, ends = [], [], [0]
    for row, text in enumerate(smiles):
        molecule = parse(text)
        if molecule is None:
            raise InputError(file, f"column smiles, row {row}", f'"{text}" cannot be parsed', "correct or drop the row")
        # The order of words does not matter to a sum, so neither does the canonical form.
        for word, count in _morgan.GetSparseCountFingerprint(molecule).GetNonzeroElements().items():
            columns.append(position.get(str(word), position[UNKNOWN]))
            counts.append(count)
        ends.append(len(columns))
    occurrences = csr_array((np.array(counts, np.float64), columns, ends), shape=(len(ends) - 1, len(words)))
    return (occurrences @ vectors.astype(np.float64)).astype(np.float32)


def features(dimensions: int) -> list[str]:
    """Return the names of a molecule's features.

    >>> features(2)
    ['m2v_0', 'm2v_1']
    """
    return [f"m2v_{k}" for k in range(dimensions)]


def write_molecule_view(
    molecules_path: str | os.PathLike[str], model_path: str | os.PathLike[str], out: str | os.PathLike[str]
) -> None:
    """Write the molecules of ``molecules.parquet`` as a view: ``id``, ``m2v_0`` ..."""
    table = read_table(molecules_path)
    values = featurise(
        [smiles for _, smiles in _column(molecules_path, table, ("id", "smiles"))], model_path, file=molecules_path
    )
    write_view(out, table["id"].to_pylist(), values, features(values.shape[1]), table_info(read_table(model_path)))


def _read_molecules(path) -> Iterator[tuple[int, str]]:
    return _column(path, read_table(path), ("smiles",))


def _column(path, table, needed: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    for name in needed:
        if name not in table.column_names:
            raise InputError(path, f"column {name}", "is missing", f"add it (found: {first_few(table.column_names)})")
    return enumerate(table["smiles"].to_pylist())


def _read_perturbagens(path) -> Iterator[tuple[int, str]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "copy it anew") from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(path, "", f"cannot be read as gzipped text ({error})", "copy it anew") from None
    for name in ("pert_type", "canonical_smiles"):
        if not rows or name not in rows[0]:
            raise InputError(path, f"column {name}", "is missing", "use the perturbagen table as GEO gives it")
    for row, entry in enumerate(rows):
        if entry["pert_type"] == "trt_cp" and entry["canonical_smiles"] not in NO_STRUCTURE:
            yield row, entry["canonical_smiles"]
