"""Make the bundled data from the original files.

``python data/bundle.py ORIGINALS OUT`` reads the files that each folder's PROVENANCE.md lists
(``ORIGINALS/<folder>/<file>``), checks their SHA-256, and writes ``OUT/lincs_consensus``,
``OUT/lincs_cells``, ``OUT/cell_injury``, ``OUT/lincs_meta``, ``OUT/mfeat``, ``OUT/mustard_text`` and
``OUT/SHA256SUMS``.
The same originals give the same bytes (under the same version of pyarrow). ``mustard_text.npz`` is an
original itself: it cannot be made again from what is here, so it is checked and copied. What ``data/paper``
holds was typed by hand: it is only summed.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from disentangledssl.atomic import atomic
from disentangledssl.errors import InputError

CONSENSUS, CELLS, INJURY, META, MFEAT, MUSTARD_TEXT = (
    "lincs_consensus_drugbank",
    "lincs_l1000_cells",
    "cellinjury_cellpainting",
    "lincs_meta",
    "mfeat",
    "mustard_text",
)
PERT_INFO = "GSE70138_Broad_LINCS_pert_info_2017-03-06.txt.gz"
ORIGINALS = {
    f"{CONSENSUS}/consensi-drugbank.tsv.gz": "f36371a1acc0c4f7cbd20a35969af5447cfadac1c36a640ae892243562847ce2",
    f"{CONSENSUS}/molecules.csv": "a5dc95a4f998a14977fb2294e755048427f0d40977d656b7493874cb13ad2e40",
    f"{CONSENSUS}/genes.csv": "b182aa63f1646bfd920ee405c3d9dcb0e196c99130111837bc3cb0c752ede9f2",
    f"{CELLS}/train_PHH_24h_10uM.csv.gz": "70775074a5221e3c4714b1ac17a247dc0242c517bf4b1e7e21f4c6f19238d271",
    f"{CELLS}/external_A375_6h_10uM.csv.gz": "1b6d4a155ab9d59603deee12a4939058040cab8a25710d25bf489e41115123ae",
    f"{CELLS}/external_A549_24h_10uM.csv.gz": "4b9b6ea088e3c40ade14a1f864f4591cea2b26620f7734ae9d3082e86e10f930",
    f"{CELLS}/external_ASC_24h_10uM.csv.gz": "5976fdb41e75629a2718bad950ef145ccacdbb9ec965d172fa3ae9e14a7ac05e",
    f"{CELLS}/external_HA1E_6h_10uM.csv.gz": "ab7311e0da5a318b1ef1fef3ab4cc1505474b4a640d852af4940287cc800c6eb",
    f"{CELLS}/external_HCC515_6h_10uM.csv.gz": "384030e3a22e36518ca3b8938a760c705001b0a64b14c95783e9de6fbc91e2df",
    f"{CELLS}/external_HEPG2_6h_10uM.csv.gz": "c858f4721c9daad519ad53e6fec40c6ba746a83a93b6a81e782d78f365adde95",
    f"{CELLS}/external_HT29_6h_10uM.csv.gz": "74efe333e8c21e52aa0795af9ce71837070b365d7d8a1cefaa85c9caaf39f762",
    f"{CELLS}/external_MCF7_24h_10uM.csv.gz": "ef60a9e0d6467456ad3b1a702e8e41fac368cdaa63a3cc238ba498c47bb6baae",
    f"{CELLS}/external_MCF7_6h_10uM.csv.gz": "2aac6ad53d6a539b57b8f004cea0f0757f68d13c7a1e810788c24e923fa1d0b2",
    f"{CELLS}/external_PC3_24h_10uM.csv.gz": "fe71d3dce00fc55fc845b32f7ff0a18335d5d226820bbe0a101cb5d450d4248c",
    f"{CELLS}/external_PC3_6h_10uM.csv.gz": "3adc936025d293c5fd861af5ef7d5948c2254042d73774c4a5023bb445674fb0",
    f"{CELLS}/external_PHH_24h_10uM.csv.gz": "7de744e7d2100680c486ecf73daa19ce85ca3ec185273b3157fe254455c681a3",
    f"{CELLS}/external_SKB_24h_10uM.csv.gz": "a84eb22dbdf8405e2d898a705ca62ac9e3f54691a2f9f2a9223ae99cc8085ae0",
    f"{CELLS}/external_VCAP_6h_10uM.csv.gz": "820de4d65b1e4935706846eba6ac7f728a8a55581b6fe82984da88a5e876ebbf",
    f"{CELLS}/signatures.csv.gz": "3d5ccce1e9c64a58d5c0a2e892f67985b4c42c3f885915eb1fd6a5aa20873313",
    f"{CELLS}/genes.csv": "e96f7a2c252f6ea984b9f20470b62f04916f106870bf2d0c2c6126d0fd38faa0",
    f"{INJURY}/treatment_holdout.csv.gz": "ce0fc66b7835d3bd4fa82c17d685c739a6d24c4ac41050c1b6c278545d785b42",
    f"{INJURY}/wells_holdout.csv.gz": "3f18076658188acdeb2653eda3ffd9a413a046841e70b7392fae1b9153588587",
    f"{INJURY}/plate_holdout.csv.gz": "378c58a5d385173f8106ffd63faca87306fa0799c62ecc57558b7aee50382e78",
    f"{INJURY}/treatment_holdout_v2.csv.gz": "f94e4e92db23d71690270fde70762699e5149db269c30db02878e850f2a0c7fa",
    f"{INJURY}/fs_well_holdout.csv.gz": "3e293a38d12762fb73d291b35eb3dbbd414c853813b1552ce99dbc1a3400590f",
    f"{INJURY}/fs_treatment_holdout.csv.gz": "5e42139659f416937961683c64502e34a635c8851138b32ede66df954eada962",
    f"{META}/{PERT_INFO}": "000171e8ce17cb00a3e80a907d97f0bc4218077eb4cb2ac03f4e0f9f4f2e5493",
    f"{MFEAT}/mfeat-fac.csv": "fc9f88143a423f7cf9df6ce9a2afcdde23c1d4e3202e436e17447c09945da1ca",
    f"{MFEAT}/mfeat-fou.csv": "b517f89501eff177b4daf897d8f7e8eb6a5b0e5671f740e57cc1d768f6b969b3",
    f"{MFEAT}/mfeat-kar.csv": "685544902516d302e92f84736cec34cb7268169b1f0dbba706dbd46dc76426df",
    f"{MFEAT}/mfeat-mor.csv": "44c5c8cc7a06b3540947729c55f95dabd8bfc4eb422ccfecad625e769c2a99e8",
    f"{MFEAT}/mfeat-pix.csv": "4aabd68ecf903736cabcaa1c8e4b32e62384c827ced972e540ac2580d1bd26bd",
    f"{MFEAT}/mfeat-zer.csv": "9d89df4f793790fc318e0a598eaa06cea0fd5f22734731e1c3e53fda0c108ea9",
    f"{MUSTARD_TEXT}/mustard_text.npz": "6c209456e5b57aaf73ce94d8ebfb9934a2f9a0fc22df923e17873de1c5b2ecbf",
}
INJURY_COLUMNS = {
    "plate": "Plate",
    "well": "Well",
    "cell_line": "Characteristics [Cell Line]",
    "time_h": "Experimental Condition [Treatment time (h)]",
    "batch": "Experimental Condition [Experimental Batch]",
    "compound": "Compound Name",
    "brd": "Compound BRD",
    "smiles": "Compound SMILES",
    "inchikey": "Compound InChIKey",
    "concentration_um": "Compound Concentration (microMolar)",
    "compound_class": "Compound Class",
    "injury_type": "injury_type",
    "mahalanobis_distance": "Mahalanobis distance",
    "relative_cell_count": "Relative well cellcount",
    "control_type": "Control Type",
}


def main() -> None:
    """Read the command line, check the originals, write the folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("originals", type=Path, help="folder with the original files, one sub-folder a source")
    parser.add_argument("out", type=Path, help="folder to write into (the repository's data/)")
    arguments = parser.parse_args()
    for name, digest in ORIGINALS.items():
        check(arguments.originals / name, digest)
    bundle_consensus(arguments.originals / CONSENSUS, arguments.out / "lincs_consensus")
    bundle_cells(arguments.originals / CELLS, arguments.out / "lincs_cells")
    bundle_injury(arguments.originals / INJURY, arguments.out / "cell_injury")
    with atomic(arguments.out / "lincs_meta" / PERT_INFO) as part:
        shutil.copyfile(arguments.originals / META / PERT_INFO, part)
    bundle_mfeat(arguments.originals / MFEAT, arguments.out / "mfeat")
    with atomic(arguments.out / "mustard_text" / "mustard_text.npz") as part:
        shutil.copyfile(arguments.originals / MUSTARD_TEXT / "mustard_text.npz", part)
    write_sums(arguments.out)


def check(path: Path, digest: str) -> None:
    """Refuse an original that is missing or not the one that PROVENANCE.md names."""
    if not path.exists():
        raise InputError(path, "", "no such file", "fetch it from the source that PROVENANCE.md names")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != digest:
        raise InputError(path, "", f"has SHA-256 {found}, not {digest}", "fetch it anew")


def bundle_consensus(originals: Path, out: Path) -> None:
    """Keep rows whose SMILES comes from LINCS; every DrugBank id, name and InChIKey stays out."""
    molecules = pd.read_csv(originals / "molecules.csv")
    profiles = pd.read_csv(originals / "consensi-drugbank.tsv.gz", sep="\t")
    genes = pd.read_csv(originals / "genes.csv", dtype=str)
    assert (molecules["perturbagen"] == profiles["perturbagen"]).all()
    assert list(genes["entrez_id"]) == list(profiles.columns[1:])
    free = (molecules["smiles_source"] != "drugbank_inchi").to_numpy()
    molecules, profiles = molecules[free].reset_index(drop=True), profiles[free]
    ids = pd.Series([f"LC{number:04d}" for number in range(1, len(molecules) + 1)])
    # The source names a group by a DrugBank id; the first row that is left names it here.
    group = ids.groupby(molecules["molecule_group"]).transform("first")
    columns = {
        "id": ids,
        "smiles": molecules["smiles"],
        "smiles_source": molecules["smiles_source"],
        "lincs_pert_id": molecules["lincs_pert_id"],
        "molecule_group": group,
    }
    write_profiles(out / "profiles.parquet", columns, profiles[list(genes["entrez_id"])])
    write_csv(out / "genes.csv", genes)


def bundle_cells(originals: Path, out: Path) -> None:
    """Join each signature, by its id, to its 978 genes; the files' own compound labels are not read."""
    signatures = pd.read_csv(originals / "signatures.csv.gz")
    genes = pd.read_csv(originals / "genes.csv", dtype=str)
    assert list(genes["position"]) == [str(position) for position in range(len(genes))]
    parts = []
    for file, rows in signatures.groupby("file", sort=True):
        table = pd.read_csv(originals / file)
        ids = table["index" if "index" in table.columns else "Unnamed: 0"]
        assert list(ids.iloc[rows["row"]]) == list(rows["sig_id"])
        parts.append(table[list(genes["position"])].set_axis(list(ids), axis=0))
    values = pd.concat(parts).loc[signatures["sig_id"]].set_axis(list(genes["entrez_id"]), axis=1)
    kept = ["sig_id", "pert_id", "pert_iname", "smiles", "cell_id", "pert_time_h", "pert_dose_um", "inchikey_skeleton"]
    order = np.argsort(signatures["sig_id"].to_numpy().astype(str), kind="stable")
    columns = {name: signatures[name].iloc[order] for name in kept}
    write_profiles(out / "profiles.parquet", columns, values.iloc[order])
    write_csv(out / "genes.csv", genes[["entrez_id", "symbol"]])


def bundle_injury(originals: Path, out: Path) -> None:
    """Put the six hold-out tables back together, one row a well."""
    tables = {name: pd.read_csv(originals / name.split("/")[1]) for name in ORIGINALS if name.startswith(INJURY)}
    coded = tables[f"{INJURY}/treatment_holdout_v2.csv.gz"]
    named = {name: table for name, table in tables.items() if table is not coded}
    coded["injury_type"] = coded["injury_type"].map(injury_names(coded, named.values()))
    first = next(iter(tables.values()))
    features = [
        name
        for name in first.columns
        if name.startswith(("Cells_", "Cytoplasm_", "Nuclei_")) and all(name in table for table in tables.values())
    ]
    kept = [*INJURY_COLUMNS.values(), *features]
    rows = pd.concat([table[kept] for table in tables.values()], ignore_index=True)
    wells = rows.drop_duplicates(["Plate", "Well"])
    # A well that is in several tables must be the same in all, or which one is kept would matter.
    assert len(rows.drop_duplicates()) == len(wells)
    wells = wells.sort_values(["Plate", "Well"])
    columns = {name: wells[original] for name, original in INJURY_COLUMNS.items()}
    write_profiles(out / "profiles.parquet", columns, wells[features])


def injury_names(coded: pd.DataFrame, named) -> dict[int, str]:
    """Read off what the integer codes mean, from the wells that are in another table too."""
    names = pd.concat([table[["Plate", "Well", "injury_type"]] for table in named]).drop_duplicates()
    both = coded.merge(names, on=["Plate", "Well"], suffixes=("_code", "_name"))
    pairs = both[["injury_type_code", "injury_type_name"]].drop_duplicates()
    meaning = dict(zip(pairs["injury_type_code"], pairs["injury_type_name"], strict=True))
    assert len(pairs) == len(meaning) == len(set(meaning.values()))  # one to one
    assert set(coded["injury_type"]) == set(meaning)
    # Two tables carry code and name side by side: they must say the same.
    for table in named:
        if "injury_code" in table:
            assert (table["injury_code"].map(meaning) == table["injury_type"]).all()
    return meaning


def bundle_mfeat(originals: Path, out: Path) -> None:
    """Put the six descriptions of the digits side by side, with the two labels and the split that are ours."""
    arrays, digits = {}, []
    for view in ("pix", "fac", "kar", "fou", "zer", "mor"):
        table = pd.read_csv(originals / f"mfeat-{view}.csv").to_numpy()  # the last column is the digit
        arrays[view] = table[:, :-1].astype(np.float32)
        digits.append(table[:, -1].astype(np.int64))
    digit = digits[0]
    assert all((digit == other).all() for other in digits)
    split, generator = np.zeros(len(digit), np.int8), np.random.default_rng(0)
    for one in np.unique(digit):
        rows = generator.permutation(np.flatnonzero(digit == one))
        split[rows[120:160]], split[rows[160:]] = 1, 2
    arrays |= {
        "digit": digit,
        "y_c": np.where(digit == 9, 6, digit),
        "y_s1": np.select([digit == 6, digit == 9], [0, 1], -1),
        "split": split,
    }
    with atomic(out / "mfeat.npz") as part, open(part, "wb") as file:
        np.savez_compressed(file, **arrays)


def write_profiles(path: Path, columns: dict[str, pd.Series], values: pd.DataFrame) -> None:
    """Write descriptions, then the features as float32, as small as Parquet can lossless."""
    table = {}
    for name, column in columns.items():
        missing = column.isna().to_numpy()
        numeric = pd.api.types.is_numeric_dtype(column)
        table[name] = pa.array(column.to_numpy() if numeric else column.astype(object).to_list(), mask=missing)
    table |= {name: pa.array(values[name].to_numpy(np.float32)) for name in values.columns}
    with atomic(path) as part:
        pq.write_table(
            pa.table(table),
            part,
            compression="zstd",
            compression_level=19,
            use_dictionary=list(columns),
            use_byte_stream_split=list(values.columns),
            write_statistics=False,
        )


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a small table as text."""
    with atomic(path) as part:
        table.to_csv(part, index=False, lineterminator="\n")


def write_sums(out: Path) -> None:
    """Write the SHA-256 of every data file below ``out``, for ``sha256sum --check``."""
    files = sorted(path for path in out.rglob("*") if path.suffix in {".parquet", ".csv", ".gz", ".npz"})
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(out).as_posix()}\n" for path in files]
    with atomic(out / "SHA256SUMS") as part:
        part.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
