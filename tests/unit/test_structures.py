"""What structures alone tell: known descriptors, scaffolds and parents; molecules that are refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem

from disentangledssl.errors import InputError
from disentangledssl.files import write_table
from disentangledssl.references import tanimoto
from disentangledssl.structures import (
    DESCRIPTORS,
    canonical_smiles,
    descriptors,
    fingerprints,
    read_smiles,
    scaffold,
    skeleton,
)

ASPIRIN, PARACETAMOL, CAFFEINE = "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "Cn1c(=O)c2c(ncn2C)n(C)c1=O"


def test_canonical_smiles_is_silent(capfd):
    assert canonical_smiles("OCC") == canonical_smiles("C(O)C") == "CCO"
    assert [canonical_smiles(bad) for bad in ("C1CC", "", None, float("nan"), "c1cccc1")] == [None] * 5
    assert capfd.readouterr() == ("", "")


def test_descriptors_of_aspirin():
    found = dict(zip(DESCRIPTORS, descriptors([ASPIRIN])[0].tolist(), strict=True))
    # Weight, TPSA and counts as PubChem lists them for CID 2244 (it counts both oxygens of an ester as acceptors).
    assert found["weight"] == pytest.approx(180.16, abs=0.01)
    assert found["tpsa"] == pytest.approx(63.6, abs=0.01)
    assert found["fraction_sp3"] == pytest.approx(1 / 9)
    counts = {"heavy_atoms": 13, "heteroatoms": 4, "charge": 0, "donors": 1, "acceptors": 3, "rings": 1,
              "aromatic_rings": 1, "aliphatic_rings": 0}  # fmt: skip
    assert {name: found[name] for name in counts} == counts
    assert 0 < found["qed"] < 1 and 1 < found["logp"] < 1.5


def test_charge_and_aliphatic_rings_count():
    found = dict(zip(DESCRIPTORS, descriptors(["[NH3+]C1CCCCC1"])[0].tolist(), strict=True))
    assert (found["charge"], found["aliphatic_rings"], found["aromatic_rings"], found["fraction_sp3"]) == (1, 1, 0, 1)


def test_fingerprints_are_bits_of_radius_2():
    smiles = [ASPIRIN, PARACETAMOL, CAFFEINE]
    bits = fingerprints(smiles)
    assert bits.shape == (3, 2048) and set(np.unique(bits)) == {0, 1}
    # RDKit's older functions, as an oracle: fingerprint and similarity.
    older = [AllChem.GetMorganFingerprintAsBitVect(Chem.MolFromSmiles(text), 2, nBits=2048) for text in smiles]
    np.testing.assert_array_equal(bits, [[*one] for one in older])
    expected = [[DataStructs.TanimotoSimilarity(a, b) for b in older] for a in older]
    np.testing.assert_allclose(tanimoto(bits, bits), expected)


def test_a_fingerprint_sees_no_stereo_and_no_way_of_writing():
    np.testing.assert_array_equal(*fingerprints(["C[C@H](N)C(=O)O", "OC(=O)[C@H](C)N"]))
    assert (fingerprints(["CCO"]) != fingerprints(["CCN"])).any()


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        (ASPIRIN, "c1ccccc1"),
        (PARACETAMOL, "c1ccccc1"),
        (CAFFEINE, "O=c1[nH]c(=O)c2[nH]cnc2[nH]1"),
        ("Cc1ccccc1CCNc1ccncc1.Cl", "c1ccc(CCNc2ccncc2)cc1"),  # rings, what links them, no salt
        ("C[C@H]1CC[C@@H](O)CC1", "C1CCCCC1"),
        ("CCCCN", ""),
    ],
)
def test_scaffolds(smiles, expected):
    assert scaffold(smiles) == (Chem.CanonSmiles(expected) if expected else "")


def test_skeletons_see_through_salts_and_stereo_only():
    alanine = skeleton("C[C@H](N)C(=O)O")
    assert alanine == "QNAYBMKLOCPYGJ"  # the first block of L-alanine's InChIKey
    assert skeleton("C[C@@H](N)C(=O)O") == skeleton("CC(N)C(=O)O.Cl") == alanine
    assert skeleton("CCC(N)C(=O)O") != alanine


def test_a_molecule_without_an_inchikey_has_no_skeleton():
    assert skeleton("*") == skeleton("*.*") == ""


def test_smiles_come_in_the_order_of_the_ids(tmp_path):
    write_table(tmp_path / "molecules.parquet", pa.table({"id": ["a", "b", "c"], "smiles": ["CC", "CO", "CN"]}))
    assert read_smiles(tmp_path / "molecules.parquet", ["c", "a"]) == ["CN", "CC"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"id": ["a", "b"]}, "column smiles: is missing; add it"),
        ({"id": ["a", "b"], "smiles": [1, 2]}, "column smiles: is of type int64, but must be text"),
        ({"id": ["a", "b"], "smiles": ["CC", None]}, "column smiles, row 1: is empty"),
        ({"id": ["a", "a"], "smiles": ["CC", "CO"]}, 'column id, rows 0 and 1: "a" appears twice'),
        ({"id": ["a", "z"], "smiles": ["CC", "CO"]}, 'column id: molecule "b" of view 2 is missing; add its row'),
        ({"id": ["b", "a"], "smiles": ["CC", "C1C"]}, 'column smiles, row 1: "C1C" cannot be parsed; correct it'),
    ],
)
def test_wrong_molecules_are_named(tmp_path, columns, said):
    write_table(tmp_path / "molecules.parquet", pa.table(columns))
    with pytest.raises(InputError) as error:
        read_smiles(tmp_path / "molecules.parquet", ["a", "b"])
    assert said in str(error.value)
