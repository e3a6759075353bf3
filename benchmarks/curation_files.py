"""Made-up files of two screens, in their publishers' layouts and of any share of their length, for curation.py.

LINCS: the three tables, gzipped and tab-separated, of 1,319,138 wells, 51,383 perturbagens (20,413 compounds, with
peptides as structures) and 12,328 genes (978 landmarks); and the matrix, wells by genes in float32, its wells in
another order than the table's. 357 wells a plate, 24 of them vehicles; a third of the plates at 24 h, a third at 6 h, a
third of genetic perturbations; the paper's nine lines and three others. In each of the nine lines each of the paper's
molecules has three wells or five, or two, at 10 uM and 24 h, so that at most three of each are the paper's profiles;
no other compound is in all nine. Unlike GEO's matrix, which is 65 GB in one piece, this one is stored well by well and
packed, and has only the landmarks of these wells and of their vehicles: all else is read as zeros and takes no disk.

RxRx19a: zips of ``metadata.csv``, 305,520 sites, and of ``embeddings.csv``, 1,024 numbers of each. 1,380 wells a plate,
165 of them without a compound; ten plates in eleven are of HRCE, in two experiments, each with one half of the paper's
1,661 drugs at six doses.
"""

from __future__ import annotations

import itertools
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from disentangledssl.sources import gctx, lincs, rxrx19a

WELLS, PLATE, VEHICLES = 1_319_138, 357, 24  # the last two: wells of a plate
PERTURBAGENS, COMPOUNDS = 51_383, 20_413
GENES, LANDMARKS = 12_328, 978
CELL_LINES = (*lincs.LINES, "YAPC", "NPC", "SKB")
HOURS = ("24", "6", "96")  # by kind of plate: two of compounds, one of genetic perturbations
USUAL, OTHER_DOSES = "10.0", ("0.04", "0.12", "0.37", "1.11", "3.33")
SIDE_CHAINS = (
    "C", "CO", "CS", "C(C)O", "CC(C)C", "CC(=O)O", "CC(N)=O", "CCC(N)=O", "CCSC", "CCCCN", "Cc1ccccc1", "Cc1ccc(O)cc1",
)  # fmt: skip

SITES, SITES_OF_A_WELL, FEATURES = 305_520, 4, 1024
IMAGED = 1380  # wells of a plate
UNTREATED = {rxrx19a.ACTIVE: 100, rxrx19a.MOCK: 50, "UV Inactivated SARS-CoV-2": 15}  # wells of a plate
DOSES = ("0.03", "0.1", "0.3", "1.0", "3.0", "10.0")
ROWS = 2**12  # of embeddings that are written at once


def write_lincs(folder: Path, share: float) -> dict[str, Path]:
    """Write GEO's files; return them by what they are to curation."""
    rng = np.random.default_rng(0)
    compounds = np.array([f"BRD-K{k:08d}" for k in range(COMPOUNDS)], object)
    others = np.array([f"TRCN{k:010d}" for k in range(PERTURBAGENS - COMPOUNDS)], object)
    wells, read = lay_out_wells(share, compounds, others, rng)
    tables = {
        "wells": wells,
        "compounds": pd.DataFrame({
            "pert_id": [*compounds, *others], "pert_iname": [name.lower() for name in (*compounds, *others)],
            "pert_type": np.repeat(["trt_cp", "trt_sh"], [len(compounds), len(others)]), "is_touchstone": "0",
            "inchi_key_prefix": "-666", "inchi_key": "-666",
            "canonical_smiles": [*peptides(len(compounds)), *["-666"] * len(others)], "pubchem_cid": "-666",
        }),
        "genes": pd.DataFrame({
            "pr_gene_id": np.arange(GENES), "pr_gene_symbol": [f"G{k}" for k in range(GENES)], "pr_gene_title": "-666",
            "pr_is_lm": (np.arange(GENES) < LANDMARKS).astype(int), "pr_is_bing": 1,
        }),
    }  # fmt: skip
    files = {name: folder / f"{name}.txt.gz" for name in tables}
    for name, table in tables.items():
        table.to_csv(files[name], sep="\t", index=False, compression={"method": "gzip", "compresslevel": 1})
    files["expression"] = folder / "expression.gctx"
    order = rng.permutation(len(wells))
    with h5py.File(files["expression"], "w") as file:
        file.attrs["version"] = "GCTX1.0"
        # A piece a well, for then those that are never written take no disk on any file system.
        matrix = file.create_dataset(gctx.MATRIX, (len(wells), GENES), np.float32, chunks=(1, GENES), compression="lzf")
        for row in np.flatnonzero(read[order]):
            matrix[row, :LANDMARKS] = rng.normal(8, 1, LANDMARKS)
        file[gctx.WELLS] = wells["inst_id"].to_numpy()[order].astype("S")
        file[gctx.GENES] = np.arange(GENES).astype("S")
    return files


def lay_out_wells(
    share: float, compounds: np.ndarray, others: np.ndarray, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """Lay out the table of wells; return it, and which of them may be read."""
    count, nine = int(share * WELLS), len(lincs.LINES)
    plate, place = np.divmod(np.arange(count), PLATE)
    number, kind = np.divmod(np.arange(plate[-1] + 1), len(HOURS) * len(CELL_LINES))
    hours, line = np.divmod(kind, len(CELL_LINES))
    names = np.array([
        f"CPC{n // 3:03d}_{CELL_LINES[one]}_{HOURS[h]}H_X{n % 3 + 1}_B{n // 3 + 1}"
        for n, h, one in zip(number, hours, line, strict=True)
    ], object)  # fmt: skip
    lines, times = np.array(CELL_LINES, object)[line][plate], np.array(HOURS, object)[hours][plate]
    hours, line, vehicle = hours[plate], line[plate], place < VEHICLES
    treated = ~vehicle & (hours < 2)
    compound, dose = rng.integers(COMPOUNDS, size=count), rng.choice(np.array(OTHER_DOSES, object), count)
    molecules, profiles = (int(share * lincs.PAPER[name]) for name in ("molecules", "profiles"))
    compound -= (compound >= molecules) & (compound % nine == line)  # which leaves it out of a line
    wells_of = rng.choice([3, 5], (nine, molecules), p=[0.9, 0.1])
    wells_of.flat[rng.choice(wells_of.size, 3 * wells_of.size - profiles, replace=False)] = 2
    for k, wells in enumerate(wells_of):
        free = np.flatnonzero(treated & (hours == 0) & (line == k))
        chosen = rng.choice(free, wells.sum(), replace=False)
        compound[chosen], dose[chosen] = np.repeat(np.arange(molecules), wells), USUAL
    ids = np.where(vehicle, "DMSO", np.where(treated, compounds[compound], others[compound]))
    wells = pd.DataFrame({
        "rna_plate": names[plate], "rna_well": np.array([well(k) for k in range(PLATE)], object)[place],
        "pert_id": ids, "pert_iname": np.char.lower(ids.astype("U")).astype(object),
        "pert_type": np.select([vehicle, treated], [lincs.VEHICLE, lincs.COMPOUND], "trt_sh"),
        "pert_dose": np.where(treated, dose, "-666"), "pert_dose_unit": np.where(treated, "um", "-666"),
        "pert_time": times, "pert_time_unit": "h", "cell_id": lines,
    })  # fmt: skip
    wells.insert(0, "inst_id", wells["rna_plate"] + ":" + wells["rna_well"])
    return wells, (line < nine) & (hours == 0) & (vehicle | (dose == USUAL))


def write_rxrx19a(folder: Path, share: float) -> dict[str, Path]:
    """Write Recursion's files; return them by what they are to curation."""
    rng = np.random.default_rng(0)
    sites = lay_out_sites(share)
    files = {"metadata": folder / "RxRx19a-metadata.zip", "features": folder / "RxRx19a-DL-embeddings.zip"}
    with (
        zipfile.ZipFile(files["metadata"], "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("RxRx19a/metadata.csv", "w") as member,
    ):
        sites.to_csv(member, index=False)
    names = [f"feature_{k}" for k in range(FEATURES)]
    schema = pa.schema([("site_id", pa.string()), *((name, pa.float32()) for name in names)])
    with (
        zipfile.ZipFile(files["features"], "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("RxRx19a/embeddings.csv", "w", force_zip64=True) as member,
        arrow_csv.CSVWriter(member, schema) as writer,
    ):
        for start in range(0, len(sites), ROWS):
            ids = sites["site_id"].iloc[start : start + ROWS].to_list()
            values = rng.standard_normal((FEATURES, len(ids)), np.float32)
            writer.write(pa.record_batch([ids, *values], schema=schema))
    return files


def lay_out_sites(share: float) -> pd.DataFrame:
    """Lay out the table of sites, those of a well one after the other."""
    count, molecules = int(share * SITES / SITES_OF_A_WELL), int(share * rxrx19a.PAPER["molecules"])
    plate, place = np.divmod(np.arange(count), IMAGED)
    plates, bare = plate[-1] + 1, sum(UNTREATED.values())
    of_hrce = max(2, plates * 10 // 11)
    experiment = np.searchsorted([of_hrce // 2, of_hrce], plate, side="right")
    half, treated = (molecules + 1) // 2, place >= bare
    turn = plate % (of_hrce // 2) * (IMAGED - bare) + place - bare  # among the treated wells of the experiment
    compound = np.minimum(turn % half + half * (experiment == 1), molecules - 1)
    conditions = np.repeat([*UNTREATED, rxrx19a.ACTIVE], [*UNTREATED.values(), IMAGED - bare])
    names = np.array(["HRCE-1", "HRCE-2", "VERO-1"], object)[experiment]
    wells = pd.DataFrame({
        "cell_type": [name[:4] for name in names], "experiment": names, "plate": (plate + 1).astype(str),
        "well": np.array([well(k, 48) for k in range(IMAGED)], object)[place], "site": "",
        "disease_condition": conditions[place],
        "treatment": np.where(treated, np.array([f"drug {k}" for k in range(molecules)], object)[compound], ""),
        "treatment_conc": np.where(treated, np.array(DOSES, object)[turn // half % len(DOSES)], ""),
        "SMILES": np.where(treated, np.array(peptides(molecules), object)[compound], ""),
    })  # fmt: skip
    wells.insert(0, "well_id", wells["experiment"] + "_" + wells["plate"] + "_" + wells["well"])
    sites = wells.loc[wells.index.repeat(SITES_OF_A_WELL)].reset_index(drop=True)
    sites["site"] = np.resize([str(k + 1) for k in range(SITES_OF_A_WELL)], len(sites))
    sites.insert(0, "site_id", sites["well_id"] + "_" + sites["site"])
    return sites


def peptides(count: int) -> list[str]:
    """Structures of so many molecules, four amino acids each."""
    chains = itertools.islice(itertools.product(SIDE_CHAINS, repeat=4), count)
    return ["".join(f"N[C@@H]({side})C(=O)" for side in four) + "O" for four in chains]


def well(place: int, columns: int = 24) -> str:
    """Name a well by its row and column."""
    row, column = divmod(place, columns)
    return f"{'A' * (row // 26)}{chr(ord('A') + row % 26)}{column + 1:02d}"
