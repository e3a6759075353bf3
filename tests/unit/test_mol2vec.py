"""Mol2vec: words against RDKit's older interface, vectors against a plain sum."""

from __future__ import annotations

import gzip
import logging
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem
from rdkit.rdBase import BlockLogs

from disentangledssl.dataset import read_view
from disentangledssl.errors import InputError
from disentangledssl.files import read_table, table_info, write_table
from disentangledssl.mol2vec import corpus, featurise, sentence, train, write_molecule_view
from disentangledssl.structures import canonical_smiles

DATA = Path(__file__).parents[2] / "data"
PERTURBAGENS = DATA / "lincs_meta" / "GSE70138_Broad_LINCS_pert_info_2017-03-06.txt.gz"
MOLECULES = [
    "CC",  # one bond, so one word of radius 1 for two atoms
    "C",
    "[Na+].[Cl-]",
    "c1ccccc1",
    "CC(=O)Oc1ccccc1C(=O)O",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "C[C@@H](N)C(=O)O",
    "O=C(O)CCCC[C@@H]1SC[C@@H]2NC(=O)N[C@@H]21",
    "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O.FC(F)(F)F",
]
SMALL = {"dimensions": 8, "epochs": 2}


@pytest.fixture(scope="module")
def compounds() -> list[str]:
    return corpus([PERTURBAGENS])[::8]


@pytest.fixture(scope="module")
def model(compounds, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mol2vec") / "model.parquet"
    train(compounds, path, **SMALL)
    return path


def literal_sentence(smiles: str) -> list[str]:
    """Atom by atom, radius by radius, with the interface that the original package used."""
    molecule = Chem.MolFromSmiles(Chem.MolToSmiles(Chem.MolFromSmiles(smiles)))
    places: dict[int, tuple] = {}
    with BlockLogs():
        AllChem.GetMorganFingerprint(molecule, 1, bitInfo=places)
    words = []
    for atom in range(molecule.GetNumAtoms()):
        for radius in (0, 1):
            words += [str(word) for word, found in places.items() if (atom, radius) in found]
    return words


@pytest.mark.parametrize("smiles", MOLECULES)
def test_sentence_is_the_originals(smiles):
    assert sentence(smiles) == literal_sentence(smiles)


@pytest.mark.parametrize("smiles", MOLECULES)
def test_sentence_has_a_word_an_atom_and_a_word_a_distinct_surrounding(smiles):
    molecule = Chem.MolFromSmiles(smiles)
    surroundings = {frozenset(bond.GetIdx() for bond in atom.GetBonds()) for atom in molecule.GetAtoms()}
    assert len(sentence(smiles)) == molecule.GetNumAtoms() + len(surroundings - {frozenset()})


def test_sentence_of_methanol_has_the_known_identifiers():
    # Those of a methyl carbon and of a hydroxyl oxygen are well known from ECFP.
    assert sentence("OC")[:2] == ["2246728737", "864662311"]


def test_sentence_does_not_depend_on_how_the_smiles_is_written():
    assert sentence("OC(=O)c1ccccc1OC(C)=O") == sentence("CC(=O)Oc1ccccc1C(=O)O")
    with pytest.raises(ValueError, match='"C1CC" cannot be parsed'):
        sentence("C1CC")


def test_corpus_collects_distinct_structures_and_reports_the_others(tmp_path, caplog):
    found = corpus([PERTURBAGENS])
    assert 1_780 <= len(found) <= 1_794  # 1,796 compounds, two of them without a structure
    assert found == sorted(set(found)) and all(canonical_smiles(smiles) == smiles for smiles in found[::100])
    table = pa.table({"id": ["a", "b", "c", "d"], "smiles": ["OCC", "C1CC", "CCO", None]})
    write_table(tmp_path / "molecules.parquet", table)
    lines = (
        "pert_id\tcanonical_smiles\tpert_type\n1\tCCN\ttrt_cp\n2\t-666\ttrt_cp\n3\tCCCC\tctl_vehicle\n4\tX\ttrt_cp\n"
    )
    with gzip.open(tmp_path / "pert.txt.gz", "wt") as file:
        file.write(lines)
    with caplog.at_level(logging.WARNING):
        assert corpus([tmp_path / "molecules.parquet", tmp_path / "pert.txt.gz"]) == ["CCN", "CCO"]
    assert 'molecules.parquet: 2 SMILES cannot be parsed, left out: row 1 ("C1CC"), row 3' in caplog.text
    assert 'pert.txt.gz: 1 SMILES cannot be parsed, left out: row 3 ("X")' in caplog.text


def test_corpus_refuses_what_is_not_a_table(tmp_path):
    (tmp_path / "pert.txt.gz").write_bytes(PERTURBAGENS.read_bytes()[:20_000])
    with pytest.raises(InputError, match=r"pert.txt.gz: cannot be read as gzipped text"):
        corpus([tmp_path / "pert.txt.gz"])
    write_table(tmp_path / "molecules.parquet", pa.table({"id": ["a"]}))
    with pytest.raises(InputError, match=r"molecules.parquet: column smiles: is missing"):
        corpus([tmp_path / "molecules.parquet"])


def test_train_knows_the_words_seen_three_times(compounds, model):
    counts = Counter(word for smiles in compounds for word in sentence(smiles))
    _, features, words = read_view(model)
    assert set(words) == {word for word, count in counts.items() if count >= 3} | {"UNK"}
    assert features == [f"m2v_{k}" for k in range(8)]
    assert table_info(read_table(model))["molecules"] == len(compounds)


def test_train_gives_the_same_bytes_whatever_the_order_and_pythons_hash_seed(compounds, model, tmp_path):
    train(list(reversed(compounds)), tmp_path / "again", **SMALL)
    assert (tmp_path / "again").read_bytes() == model.read_bytes()
    train(compounds, tmp_path / "other", **SMALL, seed=1)
    assert (tmp_path / "other").read_bytes() != model.read_bytes()
    (tmp_path / "smiles").write_text("\n".join(compounds))
    program = (
        "import sys; from pathlib import Path; from disentangledssl.mol2vec import train\n"
        f"train(Path(sys.argv[1]).read_text().split(), sys.argv[2], **{SMALL})"
    )
    arguments = [str(tmp_path / "smiles"), str(tmp_path / "process")]
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program, *arguments], env=environment, check=True)
    assert (tmp_path / "process").read_bytes() == model.read_bytes()


def test_featurise_is_the_sum_of_the_words(model):
    vectors, _, words = read_view(model)
    vector = dict(zip(words.tolist(), vectors.astype(np.float64), strict=True))
    found = featurise(MOLECULES, model)
    assert found.shape == (len(MOLECULES), 8) and found.dtype == np.float32
    unseen = 0
    for smiles, values in zip(MOLECULES, found, strict=True):
        said = sentence(smiles)
        unseen += sum(word not in vector for word in said)
        np.testing.assert_allclose(values, sum(vector.get(word, vector["UNK"]) for word in said), rtol=1e-6, atol=1e-6)
    assert unseen  # else this would not test UNK
    np.testing.assert_array_equal(featurise(["OCC"], model), featurise(["CCO"], model))
    assert featurise([], model).shape == (0, 8)


def test_without_rare_words_an_unseen_word_adds_nothing(tmp_path):
    train(["CCO"] * 2 + ["CCCO"], tmp_path / "model", minimum_count=1, **SMALL)
    assert (featurise(["[Na+]"], tmp_path / "model") == 0).all()


def test_bad_molecules_are_named(model, tmp_path):
    with pytest.raises(InputError, match=r'SMILES: column smiles, row 1: "C1CC" cannot be parsed'):
        featurise(["CC", "C1CC"], model)
    with pytest.raises(InputError, match=r'"C1CC" cannot be parsed'):
        train(["CC", "C1CC"], tmp_path / "new", **SMALL)
    with pytest.raises(InputError, match="no molecule"):
        train([], tmp_path / "new", **SMALL)
    assert not (tmp_path / "new").exists()


def test_write_molecule_view(model, tmp_path):
    write_table(tmp_path / "molecules.parquet", pa.table({"id": ["a", "b"], "smiles": MOLECULES[4:6]}))
    write_molecule_view(tmp_path / "molecules.parquet", model, tmp_path / "view2.parquet")
    values, features, ids = read_view(tmp_path / "view2.parquet")
    assert ids.tolist() == ["a", "b"] and features[0] == "m2v_0"
    np.testing.assert_array_equal(values, featurise(MOLECULES[4:6], model))
