"""LINCS L1000 in miniature, in the true formats: GEO's tables and GCTX, and the reference code's archive.

Twelve plates of the nine core lines (three replicates of A375, one of MCF7 at 6 h), a thirteenth of another line; ten
compounds at three doses each and two vehicle wells on a plate; twenty genes, six of them landmarks.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

SERIES = "GSE92742_Broad_LINCS_"
MATRIX = f"{SERIES}Level3_INF_mlr12k_n1319138x12328.gctx"
TABLES = {"wells": "inst_info", "compounds": "pert_info", "genes": "gene_info"}
PLATES = [  # name, cell line, hours
    *((f"CPC001_A375_24H_X{k}_B1", "A375", "24") for k in (1, 2, 3)),
    *((f"CPC001_{line}_24H_X1_B1", line, "24") for line in ("A549", "HA1E", "HCC515", "HEPG2", "HT29", "MCF7", "PC3")),
    ("CPC001_VCAP_24H_B1", "VCAP", "24"),  # without the number of the replicate plate
    ("CPC001_MCF7_6H_X1_B1", "MCF7", "6"),
    ("CPC001_YAPC_24H_X1_B1", "YAPC", "24"),
]
# SMILES and the doses of the three wells on each plate; None: not in the table of compounds.
COMPOUNDS = {
    "BRD-K00000001": ("OCC", ["10.0", "10", "3.33"]),
    "BRD-K00000002": (None, ["10", "10", "10"]),
    "BRD-K00000003": ("-666", ["10", "10", "10"]),
    "BRD-K00000004": ("restricted", ["10", "10", "10"]),
    "BRD-K00000005": ("C1CC", ["10", "10", "10"]),  # a ring that is not closed
    "BRD-K00000006": ("c1ccccc1O", ["10.04", "9.96", "3.33"]),
    "BRD-K00000007": ("Oc1ccccc1", ["3.33", "3.33", "3.34"]),  # the structure of the one before
    "BRD-K00000008": ("CC(=O)O", ["20", "4", "0.5"]),  # as many wells at each dose
    "BRD-K00000009": ("CCN", ["5", "15", "-666"]),  # two doses as near to 10 uM as each other
    "BRD-K00000010": ("CCCl", ["10000", "10000", "1.0|2.0"]),  # the first two in nM, and nowhere in VCAP
}
UNITS = {"BRD-K00000010": ["nM", "nM", "\u00b5M"]}
LANDMARKS = ["100", "103", "107", "108", "113", "119"]


@dataclass
class Miniature:
    """Rows of the tables, as mappings of column to text, and the expression of each well by gene."""

    wells: list[dict[str, str]]
    compounds: list[dict[str, str]]
    genes: list[dict[str, str]]
    expression: dict[str, dict[str, float]]


def draw(seed: int = 0, alkanes: int = 0) -> Miniature:
    """Draw the expression, log2 around 8, in which a compound moves a few genes far beyond the clip.

    ``alkanes`` are compounds beside the ten, at most 20 (a plate has 96 wells), for what needs more molecules.
    """
    compounds = COMPOUNDS | {f"BRD-K{100 + k:08d}": ("C" * k, ["10", "10", "10"]) for k in range(1, alkanes + 1)}
    rng = np.random.default_rng(seed)
    genes = [{"pr_gene_id": str(100 + k), "pr_gene_symbol": f"G{k}", "pr_gene_title": f"5\" end of {k}",
              "pr_is_lm": str(int(str(100 + k) in LANDMARKS)), "pr_is_bing": "1"} for k in range(20)]  # fmt: skip
    listed = [
        {"pert_id": name, "pert_iname": name.lower(), "pert_type": "trt_cp", "is_touchstone": "0",
         "inchi_key_prefix": "-666", "inchi_key": "-666", "canonical_smiles": smiles, "pubchem_cid": "-666"}
        for name, (smiles, _) in compounds.items() if smiles is not None
    ]  # fmt: skip
    wells, expression = [], {}
    for plate, line, hours in PLATES:
        layout = [("ctl_vehicle", "DMSO", "-666", "-666")] * 2 + [("ctl_untrt", "UnTrt", "-666", "-666")]
        layout += [("trt_sh", "TRCN0000000001", "-666", "-666")]
        for name, (_, doses) in compounds.items():
            if (name, line) != ("BRD-K00000010", "VCAP"):
                units = UNITS.get(name, ["um", "\u00b5M", "\u03bcM"])
                layout += [("trt_cp", name, dose, unit) for dose, unit in zip(doses, units, strict=True)]
        for number, (kind, name, dose, unit) in enumerate(layout):
            well = f"{'ABCDEFGH'[number // 12]}{number % 12 + 1:02d}"
            wells.append({
                "inst_id": f"{plate}:{well}", "rna_plate": plate, "rna_well": well, "pert_id": name,
                "pert_iname": name.lower(), "pert_type": kind, "pert_dose": dose, "pert_dose_unit": unit,
                "pert_time": hours, "pert_time_unit": "h", "cell_id": line,
            })  # fmt: skip
            values = rng.normal(8, 1, len(genes)) + 5 * (rng.uniform(size=len(genes)) < 0.1)
            expression[f"{plate}:{well}"] = dict(zip((g["pr_gene_id"] for g in genes), values.tolist(), strict=True))
    return Miniature(wells, listed, genes, expression)


def tsv(rows: list[dict[str, str]]) -> bytes:
    """Lay out a table as GEO does: tab-separated, gzipped."""
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
    return gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0)


def write_gctx(path: Path, miniature: Miniature, seed: int = 0, **storage) -> None:
    """Write the matrix, wells and genes in an order of their own; ``storage`` says how HDF5 keeps it."""
    rng = np.random.default_rng(seed)
    wells = rng.permutation([row["inst_id"] for row in miniature.wells])
    genes = rng.permutation([row["pr_gene_id"] for row in miniature.genes])
    with h5py.File(path, "w") as file:
        file.attrs["version"] = "GCTX1.0"
        values = np.array([[miniature.expression[well][gene] for gene in genes] for well in wells], np.float32)
        file.create_dataset("/0/DATA/0/matrix", data=values, **storage)
        file["/0/META/COL/id"], file["/0/META/ROW/id"] = wells.astype("S"), genes.astype("S")


def write_geo(folder: Path, miniature: Miniature) -> dict[str, Path]:
    """Write tables and matrix under GEO's names; return them by what they are to curation."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{SERIES}{table}.txt.gz" for name, table in TABLES.items()}
    for name, file in files.items():
        file.write_bytes(tsv(getattr(miniature, name)))
    write_gctx(folder / MATRIX, miniature)
    return files | {"expression": folder / MATRIX}


def publish(folder: Path, miniature: Miniature) -> dict[str, bytes]:
    """Return what GEO would serve, by name: all of it gzipped, with the list of digests."""
    files = write_geo(folder, miniature)
    matrix = files.pop("expression")
    served = {file.name: file.read_bytes() for file in files.values()}
    served[f"{matrix.name}.gz"] = gzip.compress(matrix.read_bytes(), mtime=0)
    sums = [f"{hashlib.sha512(content).hexdigest()}  {name}\n" for name, content in served.items()]
    served["GSE92742_SHA512SUMS.txt.gz"] = gzip.compress("".join(sums).encode(), mtime=0)
    return served


def members(miniature: Miniature) -> dict[str, object]:
    """What the reference code's authors would make of it: their pickles, and an array of the wells they chose."""
    landmarks = [gene["pr_gene_id"] for gene in miniature.genes if gene["pr_is_lm"] == "1"]

    def vector(well: str) -> np.ndarray:
        return np.array([miniature.expression[well][gene] for gene in landmarks])

    wells, vehicles = {}, {}
    for row in miniature.wells:
        described = [text for column, text in row.items() if column != "inst_id"]
        if row["pert_type"] == "trt_cp":
            wells[row["inst_id"]] = [*described, vector(row["inst_id"])]
        elif row["pert_type"] == "ctl_vehicle":
            vehicles.setdefault(row["rna_plate"], []).append(vector(row["inst_id"]))
    structures = {row["pert_id"]: row["canonical_smiles"] for row in miniature.compounds}
    # All at 10 uM, but for two compounds, of which they took what they liked.
    chosen = [
        row["inst_id"] for row in miniature.wells
        if row["pert_type"] == "trt_cp" and (row["pert_dose"][:2] == "10" or row["pert_dose"] in ("4", "5"))
    ]  # fmt: skip
    return {
        "inst_info_drug.pkl": wells,
        "ctl_dict1_mean.pkl": {plate: np.mean(values, axis=0) for plate, values in vehicles.items()},
        "id_smiles": structures,
        "mol2vec_mol_repr_dict.pkl": {smiles: np.ones(3, np.float32) for smiles in structures.values()},
        "sel_keys_dosesubset.npy": np.array(chosen),
    }


def write_archive(path: Path, contents: dict[str, object]) -> Path:
    """Pack them as Dropbox does, the whole folder with its paths; bytes are packed as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("CP/data/id_smiles", b"of the other screen")
        for name, content in contents.items():
            packed = io.BytesIO()
            if isinstance(content, np.ndarray):
                np.save(packed, content)
            elif isinstance(content, bytes):
                packed.write(content)
            else:
                pickle.dump(content, packed, protocol=4)
            archive.writestr(f"GE/data/training_LINCS/{name}", packed.getvalue())
    return path
