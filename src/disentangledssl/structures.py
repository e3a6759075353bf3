"""Molecules as what structures alone tell: fingerprints, classical descriptors, scaffolds, and what one molecule is.

They come from the SMILES of ``molecules.parquet`` (docs/data.md), which all screens of this repository have.

Source: Morgan fingerprints of radius 2 (ECFP4), Rogers and Hahn, J. Chem. Inf. Model. 50, 742 (2010); scaffolds of
Bemis and Murcko, J. Med. Chem. 39, 2887 (1996); QED, Bickerton et al., Nature Chem. 4, 90 (2012). Choice.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors, Lipinski, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.Chem.QED import qed
from rdkit.Chem.Scaffolds import MurckoScaffold
from rdkit.rdBase import BlockLogs

from disentangledssl.dataset import check_once, check_text
from disentangledssl.errors import InputError, first_few
from disentangledssl.files import read_table

BITS = 2048
LONGEST_SMILES = 10_000  # characters; a peptide of fifty residues has a thousand
# What LINCS writes for "no structure".
NO_STRUCTURE = {"", "-666", "restricted"}
DESCRIPTORS = {
    "weight": Descriptors.MolWt,
    "heavy_atoms": Lipinski.HeavyAtomCount,
    "heteroatoms": Lipinski.NumHeteroatoms,
    "charge": Chem.GetFormalCharge,
    "logp": Crippen.MolLogP,
    "molar_refractivity": Crippen.MolMR,
    "tpsa": rdMolDescriptors.CalcTPSA,
    "surface": rdMolDescriptors.CalcLabuteASA,
    "donors": Lipinski.NumHDonors,
    "acceptors": Lipinski.NumHAcceptors,
    "rotatable_bonds": Lipinski.NumRotatableBonds,
    "rings": rdMolDescriptors.CalcNumRings,
    "aromatic_rings": rdMolDescriptors.CalcNumAromaticRings,
    "aliphatic_rings": rdMolDescriptors.CalcNumAliphaticRings,
    "fraction_sp3": rdMolDescriptors.CalcFractionCSP3,
    "qed": qed,
}

_morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=BITS)


def parse(smiles: str) -> Chem.Mol | None:
    """Parse a SMILES without a word on stderr; None if it cannot be parsed or has no atom."""
    if not isinstance(smiles, str):
        return None
    with BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    return molecule if molecule is not None and molecule.GetNumAtoms() else None


def canonical_smiles(smiles: str) -> str | None:
    """Write a SMILES in RDKit's canonical form; None if it cannot be parsed.

    >>> canonical_smiles("OCC"), canonical_smiles("C1CC")
    ('CCO', None)
    """
    molecule = parse(smiles)
    return None if molecule is None else Chem.MolToSmiles(molecule)


def read_smiles(path: str | os.PathLike[str], ids: Sequence[str] | None = None) -> list[str]:
    """Read the SMILES of the molecules with these ids from ``molecules.parquet``, in the order of the ids (null: all).

    Raises
    ------
    InputError
        If a column is missing, is no text or has gaps, an id stands there twice or not at all, or a SMILES that is
        asked for cannot be parsed.
    """
    smiles = read_molecules(path)
    rows = {name: row for row, name in enumerate(smiles)}
    ids = list(smiles) if ids is None else ids
    for name in ids:
        if name not in rows:
            raise InputError(path, "column id", f'molecule "{name}" of view 2 is missing', "add its row")
    bad = [rows[name] for name in ids if parse(smiles[name]) is None]
    if bad:
        more = f" (and {len(bad) - 1} more: rows {first_few(bad[1:])})" if len(bad) > 1 else ""
        problem = f'"{list(smiles.values())[bad[0]]}" cannot be parsed{more}'
        raise InputError(path, f"column smiles, row {bad[0]}", problem, "correct it")
    return [smiles[name] for name in ids]


def read_molecules(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read ``molecules.parquet``: SMILES by id, in the order of the file, as they are written there.

    Raises
    ------
    InputError
        If a column is missing, is no text or has gaps, or an id stands there twice.
    """
    table = read_table(path)
    check_once(path, table.column_names)
    check_text(path, table, "id")
    check_text(path, table, "smiles", LONGEST_SMILES)
    place: dict[str, int] = {}
    for row, name in enumerate(table["id"].to_pylist()):
        if name in place:
            raise InputError(path, f"column id, rows {place[name]} and {row}", f'"{name}" appears twice', "keep one")
        place[name] = row
    return dict(zip(place, table["smiles"].to_pylist(), strict=True))


def fingerprints(smiles: Sequence[str]) -> np.ndarray:
    """Return Morgan fingerprints of radius 2, ``(molecules, 2048)``, float32 of 0 and 1."""
    return np.stack([_morgan.GetFingerprintAsNumPy(parse(text)) for text in smiles]).astype(np.float32)


def descriptors(smiles: Sequence[str]) -> np.ndarray:
    """Return the physico-chemical descriptors of ``DESCRIPTORS``, ``(molecules, 16)``, float32, as RDKit has them."""
    with BlockLogs():
        molecules = map(parse, smiles)
        return np.array([[kind(molecule) for kind in DESCRIPTORS.values()] for molecule in molecules], np.float32)


def skeleton(smiles: str) -> str:
    """Return the first block of the InChIKey of a molecule's largest part: the same for its salts and stereo forms.

    Empty where RDKit finds no InChIKey.

    >>> skeleton("C[C@H](N)C(=O)O.Cl") == skeleton("C[C@@H](N)C(=O)O")
    True
    """
    with BlockLogs():
        return Chem.MolToInchiKey(rdMolStandardize.FragmentParent(parse(smiles)))[:14]


def scaffold(smiles: str) -> str:
    """Return the Bemis-Murcko scaffold of a molecule's largest part: its rings and what links them, as SMILES.

    Stereo is left out; atoms bound to the scaffold by a double bond belong to it (RDKit's reading). Empty without a
    ring.

    >>> scaffold("OC(=O)c1ccccc1.[Na]"), scaffold("CCO")
    ('c1ccccc1', '')
    """
    with BlockLogs():
        parent = Chem.MolToSmiles(rdMolStandardize.FragmentParent(parse(smiles)))
        return MurckoScaffold.MurckoScaffoldSmiles(parent)
