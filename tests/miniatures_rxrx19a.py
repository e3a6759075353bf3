"""RxRx19a in miniature, in the true formats: zipped metadata of sites, zipped embeddings, a CellProfiler table.

Three experiments of two plates: on each three infected, three mock and one UV-inactivated well without a compound,
a mock well with one, and six compounds at three doses (one well each, on the first plate of HRCE-1 two of the amine).
"""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ACTIVE, MOCK, INACTIVATED = "Active SARS-CoV-2", "Mock", "UV Inactivated SARS-CoV-2"
COMPOUNDS = {
    "ethanol": "CCO |c:1,t:3|",  # CXSMILES
    "alcohol": "OCC",  # the same molecule
    "secret": "",
    "broken": "C1CC",  # a ring that is not closed
    "phenol": "Oc1ccccc1",
    "amine": "CCN",
}
DOSES = ["0.3", "1.0", "3.00"]
WIDTH = 16
CONSTANT, MISSING = "feature_3", "feature_5"
COLUMNS = [
    *("site_id", "well_id", "cell_type", "experiment", "plate", "well", "site"),
    *("disease_condition", "treatment", "treatment_conc", "SMILES"),
]


@dataclass
class Miniature:
    """Rows of the metadata, and the embedding of each site as text by column."""

    sites: list[dict[str, str]]
    embeddings: list[dict[str, str]]


def draw(seed: int = 0, alkanes: int = 0) -> Miniature:
    """Draw the embeddings; one site has none, one of no plate has one, a column is constant and one has a gap.

    ``alkanes`` are compounds beside the six, for what needs more molecules.
    """
    compounds = COMPOUNDS | {f"alkane {k}": "C" * k for k in range(1, alkanes + 1)}
    rng = np.random.default_rng(seed)
    sites = []
    for experiment in ("HRCE-1", "HRCE-2", "VERO-1"):
        for plate in ("1", "2"):
            wells = [(ACTIVE, "", "", "")] * 3 + [(MOCK, "", "", "")] * 3 + [(INACTIVATED, "", "", "")]
            wells += [(MOCK, "phenol", "1.0", COMPOUNDS["phenol"])]
            wells += [(ACTIVE, name, dose, smiles) for name, smiles in compounds.items() for dose in DOSES]
            if (experiment, plate) == ("HRCE-1", "1"):
                wells += [(ACTIVE, "amine", "0.300", COMPOUNDS["amine"]), (ACTIVE, "amine", "", COMPOUNDS["amine"])]
            for number, (condition, treatment, dose, smiles) in enumerate(wells):
                well = f"{'A' * (1 + number // 24)}B{number % 24 + 1:02d}"
                for site in "1234":
                    name = f"{experiment}_{plate}_{well}"
                    values = (f"{name}_{site}", name, experiment[:4], experiment, plate, well, site)
                    sites.append(dict(zip(COLUMNS, (*values, condition, treatment, dose, smiles), strict=True)))
    embeddings = []
    for row in [*sites[1:], sites[1] | {"site_id": "HRCE-9_1_AB01_1"}]:
        # As different as an infected and a treated well may be, so that some are clipped.
        values = rng.normal(2, 1, WIDTH) + 2 * (row["treatment"] == "phenol")
        one = {f"feature_{k}": repr(float(value)) for k, value in enumerate(values)}
        embeddings.append({"site_id": row["site_id"], **one, CONSTANT: "0.1"})
    treated = next(one for one in embeddings if one["site_id"] == "HRCE-2_1_AAB01_3")
    treated[MISSING] = ""
    return Miniature(sites, embeddings)


def text(rows: list[dict[str, str]]) -> bytes:
    """Lay out a CSV file."""
    lines = io.StringIO()
    writer = csv.DictWriter(lines, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return lines.getvalue().encode()


def pack(content: bytes, member: str) -> bytes:
    """Return a zip of one file, and of a folder and the rubbish that a Mac leaves."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("RxRx19a/"), b"")
        archive.writestr(zipfile.ZipInfo(f"__MACOSX/RxRx19a/._{member}"), b"\0")
        archive.writestr(zipfile.ZipInfo(f"RxRx19a/{member}"), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def publish(miniature: Miniature) -> dict[str, bytes]:
    """Return what Recursion would serve, by name."""
    return {
        "RxRx19a-metadata.zip": pack(text(miniature.sites), "metadata.csv"),
        "RxRx19a-DL-embeddings.zip": pack(text(miniature.embeddings), "embeddings.csv"),
    }


def write_published(folder: Path, miniature: Miniature) -> dict[str, Path]:
    """Write them; return them by what they are to curation."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in publish(miniature).items():
        (folder / name).write_bytes(content)
    return {"metadata": folder / "RxRx19a-metadata.zip", "features": folder / "RxRx19a-DL-embeddings.zip"}


def write_profiles(path: Path, miniature: Miniature, without: str | None = None) -> Path:
    """Write a CellProfiler table: a well a row, twelve features and a count that is none."""
    rng = np.random.default_rng(1)
    wells = list({row["well_id"]: row for row in miniature.sites}.values())
    columns = {f"Metadata_{name}": [row[name] for row in wells] for name in ("experiment", "plate", "well")}
    columns["Metadata_plate"] = [int(plate) for plate in columns["Metadata_plate"]]
    for k in range(12):
        part = ("Cells", "Cytoplasm", "Nuclei")[k % 3]
        columns[f"{part}_AreaShape_{k}"] = rng.normal(100, 5, len(wells)).astype(np.float32)
    columns["Image_Count_Cells"] = rng.integers(1, 9, len(wells))
    columns.pop(without, None)
    table = pa.table(columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        path.write_bytes(text(table.to_pylist()))
    return path
