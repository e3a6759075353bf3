"""LINCS L1000, the paper's screen of gene expression, from published files to the paired-dataset contract, two ways.

``geo``
    Level 3 of GEO series GSE92742, curated here: a profile is a well's expression minus that of its plate's controls.
``curated``
    What the authors of the reference code (InfoCORE, Wang et al. 2023) made of it, as they pass it on.

What the paper says: nine core cell lines, at most three replicates a drug and line, 3,315 drugs, 86,833 profiles.
What it leaves open is an argument of :func:`curate`, and docs/choices.md says why each has its default. Values are
clipped here and standardised on loading, as all data are.
"""

from __future__ import annotations

import csv
import itertools
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from disentangledssl.atomic import atomic
from disentangledssl.errors import InputError, first_few
from disentangledssl.files import read_table, table_info
from disentangledssl.sources.curation import Screen, cap_profiles, group_by_skeleton, resolve_structures, write_screen
from disentangledssl.sources.gctx import read_wells
from disentangledssl.sources.pickles import read_pickle
from disentangledssl.timings import phase

LINES = ("A375", "A549", "HA1E", "HCC515", "HEPG2", "HT29", "MCF7", "PC3", "VCAP")
PAPER = {"profiles": 86_833, "molecules": 3_315}
INFO = {
    "geo": {
        "title": "LINCS L1000 (GSE92742)",
        "source": "GEO series GSE92742, Level 3, landmark genes, minus the mean of the plate's vehicle wells",
        "licence": "public GEO deposit of an NIH LINCS centre, free to use; cite Subramanian et al., Cell 2017",
    },
    "curated": {
        "title": "LINCS L1000 (GSE92742), as curated by Wang et al. 2023",
        "source": "github.com/uhlerlab/InfoCORE, GE/data/training_LINCS",
        "licence": "none stated (derived from GEO series GSE92742)",
    },
}
COMPOUND, VEHICLE = "trt_cp", "ctl_vehicle"
USUAL_DOSE = 10.0  # uM, at which most of the screen was done
MICROMOLAR = {
    "um": 1.0,
    "\N{GREEK SMALL LETTER MU}m": 1.0,
    "nm": 1e-3,
}  # casefolded, which turns a micro sign into a mu
HOURS = ([24], [6, 24])
DOSES = {
    "molecule": "of each molecule its most frequent dose",
    "line": "of each molecule and line its most frequent dose",
    "all": "all doses, unknown ones too",
}
WELL_COLUMNS = {
    "inst_id": "id", "rna_plate": "plate", "cell_id": "cell_id", "pert_id": "pert_id", "pert_type": "pert_type",
    "pert_dose": "dose", "pert_dose_unit": "dose_unit", "pert_time": "time", "pert_time_unit": "time_unit",
}  # fmt: skip
# In a folder of this name, whatever lies above it in the archive.
FOLDER = "training_LINCS"
WELLS, CONTROLS, STRUCTURES, VECTORS, DOSE_SUBSET = (
    "inst_info_drug.pkl", "ctl_dict1_mean.pkl", "id_smiles", "mol2vec_mol_repr_dict.pkl", "sel_keys_dosesubset.npy",
)  # fmt: skip
# Of a well in the archive: plate, compound and line by their places in it, expression last.
PLATE, PERT_ID, CELL_ID, EXPRESSION = 0, 2, 9, -1


def curate(
    files: Mapping[str, str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    name: str,
    route: str,
    hours: Sequence[int],
    dose: str,
    minimum_controls: int,
    replicates: int,
    clip: float,
    group: str,
    seed: int,
) -> None:
    """Write ``view1``, ``molecules``, ``pairs`` (Parquet) and ``curation.csv``.

    Parameters
    ----------
    files : mapping of name to path
        ``expression`` (GCTX), ``wells``, ``compounds`` and ``genes`` (gzipped tables of GEO) for the route ``geo``;
        ``archive`` (zip) for ``curated``.
    out : path
        Folder to write into.
    name : str
        Name of the data set.
    route : {"geo", "curated"}
    hours : sequence of int
        Times after treatment that are kept; route ``geo`` only, as are the next two.
    dose : {"molecule", "line", "all"}
        Doses that are kept: the one of most wells, chosen for each molecule over all lines or for each molecule and
        line (after rounding to two digits; of equally frequent ones that nearest 10 uM), or all.
    minimum_controls : int
        Vehicle wells that a plate must have.
    replicates : int
        Profiles of a molecule and line that are kept at the most, drawn evenly.
    clip : float
        Differences to the control are clipped to plus or minus this (log2 units).
    group : {"molecule", "skeleton"}
        What must not be divided between training and test: a canonical SMILES, or all of one InChIKey skeleton.
    seed : int
        Of the draw. It goes by id, so the order of the files does not matter.

    Raises
    ------
    InputError
        If a file lacks something or is damaged, tables and matrix disagree, a value is NaN, or no row is left.

    Notes
    -----
    Source: App. H.3; the order of steps and the clipping after the reference code (Wang et al. 2023); choice.
    """
    files = {key: Path(path) for key, path in files.items()}
    if route == "geo":
        screen, vehicles = read_wells_of_geo(files["wells"], files["compounds"], minimum_controls)
        usable = screen.rows
        screen.keep(at_hours(screen.rows, hours), "time", f"wells at {_spelled(hours)} h")
        screen.keep(at_dose(screen.rows, dose), "dose", DOSES[dose])
    else:
        screen, wells, controls = read_archive(files["archive"])
    screen.keep(in_every_line(screen.rows), "every line", f"molecules with a well in each of the {len(LINES)} lines")
    reason = f"at most {replicates} of a molecule and line, seed {seed}"
    cap_profiles(screen, ["smiles", "cell_id"], replicates, np.random.default_rng(seed), reason)
    if group == "skeleton":
        group_by_skeleton(screen)
    else:
        screen.rows["group"] = screen.rows["smiles"]
    if route == "geo":
        for times, rule in itertools.product(HOURS, DOSES):
            if (times, rule) != (sorted(hours), dose):
                counts = _would_give(usable, times, rule, replicates)
                screen.record(f"other reading: {_spelled(times)} h, dose {rule}", screen.rows, counts)
        genes = read_landmarks(files["genes"])
        values, controls = measure(files["expression"], screen.rows, vehicles, genes)
    else:
        values = _stack(files["archive"], WELLS, wells, screen.rows["id"])
        plates = screen.rows["plate"].unique()
        means = _stack(files["archive"], CONTROLS, controls, plates, values.shape[1])
        controls = dict(zip(plates, means, strict=True))
        # Which gene is which, the archive does not say.
        genes = [f"landmark_{k:03d}" for k in range(values.shape[1])]
    clipped = subtract_controls(values, screen.rows["plate"], controls, clip)
    measured = pd.concat([screen.rows, pd.DataFrame(values, columns=genes)], axis=1)
    screen.record("measure landmark genes", measured, "minus the mean of the plate's vehicle wells", genes)
    screen.record("clip", screen.rows, f"{100 * clipped:.2g} % of the values lay beyond plus or minus {clip:g}")
    screen.compare(**PAPER)
    # The plate's name holds which of the replicate plates it is, where it follows the rule.
    screen.rows["replicate"] = screen.rows["plate"].str.extract(r"_(X\d+)(?:[._]|$)")[0].fillna("unknown")
    screen.labels = {"cell_line": "cell_id"}
    described = {
        "cell_line": "cell_id", "time_h": "time_h", "dose_um": "dose_um", "plate": "plate", "replicate": "replicate",
        "lincs_pert_id": "pert_id",
    }  # fmt: skip
    screen.meta = {key: column for key, column in described.items() if column in screen.rows}
    info = {"name": name, "stand_in": False, **INFO[route], "route": route, "replicates": replicates, "clip": clip,
            "seed": seed}  # fmt: skip
    if route == "geo":
        info |= {"hours": list(hours), "dose": dose, "minimum_controls": minimum_controls}
    write_screen(screen, Path(out), info, None)


def read_wells_of_geo(wells_path: Path, compounds_path: Path, minimum_controls: int) -> tuple[Screen, pd.DataFrame]:
    """Read which wells there are, and keep those that can be used whatever time and dose are chosen.

    Returns
    -------
    screen
        Wells of compounds with a structure, in the nine lines, on plates with controls; no features yet.
    vehicles : data frame
        ``id`` and ``plate`` of the vehicle wells.
    """
    wells = _read_columns(wells_path, WELL_COLUMNS)
    _check_unique(wells_path, "inst_id", wells["id"])
    structures = _read_columns(compounds_path, {"pert_id": "pert_id", "canonical_smiles": "smiles"})
    _check_unique(compounds_path, "pert_id", structures["pert_id"])
    wells["smiles"] = wells["pert_id"].map(structures.set_index("pert_id")["smiles"])
    wells["time_h"] = _numbers(wells["time"]).where(wells["time_unit"].str.casefold() == "h")
    wells["dose_um"] = _numbers(wells["dose"]) * wells["dose_unit"].str.casefold().map(MICROMOLAR).astype(float)
    wells = wells.drop(columns=["time", "time_unit", "dose", "dose_unit"])
    vehicles = wells.loc[wells["pert_type"] == VEHICLE, ["id", "plate"]]
    screen = Screen(wells_path, wells.sort_values("id", kind="stable", ignore_index=True), [])
    screen.keep(screen.rows.pop("pert_type") == COMPOUND, "compounds", f"wells of the type {COMPOUND}")
    screen.keep(screen.rows["cell_id"].isin(LINES), "cell lines", f"the paper's {len(LINES)}: {', '.join(LINES)}")
    resolve_structures(screen, "pert_id")
    controls = screen.rows["plate"].map(vehicles["plate"].value_counts()).fillna(0)
    wanted = "a vehicle well" if minimum_controls == 1 else f"{minimum_controls} vehicle wells"
    screen.keep(controls >= minimum_controls, "plate controls", f"plates with at least {wanted}")
    return screen, vehicles.reset_index(drop=True)


def read_archive(path: Path) -> tuple[Screen, dict[str, Any], dict[str, Any]]:
    """Read what the authors of the reference code pass on, by the steps of their loader.

    Returns
    -------
    screen
        Their wells, of their choice of doses, on plates with controls, of compounds with a structure and a Mol2vec
        vector; no features yet.
    wells, controls : mapping of well, of plate, to array, ``(genes,)``
        Expression, and mean expression of the plate's controls.

    Raises
    ------
    InputError
        If the file is missing, no whole zip, lacks a member or holds another thing in it, or no well is left.
    """
    with phase("loading"):
        try:
            with zipfile.ZipFile(path) as archive:
                wells, controls, structures, vectors = (
                    _read_member(path, archive, name, dict) for name in (WELLS, CONTROLS, STRUCTURES, VECTORS)
                )
                chosen = _read_member(path, archive, DOSE_SUBSET, np.ndarray)
        except FileNotFoundError:
            raise InputError(path, "", "no such file", "make it first, or correct the path") from None
        except (zipfile.BadZipFile, EOFError) as error:
            raise InputError(path, "", f"is no whole zip file ({error})", "delete it and run again") from None
    described = {"id": [], "plate": [], "pert_id": [], "cell_id": []}
    for well, entry in wells.items():
        try:
            where = (str(well), str(entry[PLATE]), str(entry[PERT_ID]), str(entry[CELL_ID]))
            wells[well] = np.asarray(entry[EXPRESSION])
        except (IndexError, KeyError, TypeError):
            problem = f"holds no list of {CELL_ID + 1} or more entries"
            raise InputError(path, f"{WELLS}, well {well}", problem, "use the archive as it is published") from None
        for column, value in zip(described.values(), where, strict=True):
            column.append(value)
    rows = pd.DataFrame(described)
    rows["smiles"] = rows["pert_id"].map({str(key): smiles for key, smiles in structures.items()})
    screen = Screen(path, rows.sort_values("id", kind="stable", ignore_index=True), [])
    screen.keep(screen.rows["id"].isin(chosen.astype(str)), "dose", f"wells that {DOSE_SUBSET} lists")
    screen.keep(screen.rows["cell_id"].isin(LINES), "cell lines", f"the paper's {len(LINES)}: {', '.join(LINES)}")
    screen.keep(screen.rows["plate"].isin(list(controls)), "plate controls", f"plates that {CONTROLS} lists")
    screen.keep(screen.rows["smiles"].isin(list(vectors)), "Mol2vec", f"structures that {VECTORS} lists")
    resolve_structures(screen, "pert_id")
    return screen, wells, controls


def at_hours(rows: pd.DataFrame, hours: Sequence[int]) -> pd.Series:
    """Tell which wells were measured at one of these times."""
    return rows["time_h"].isin(list(hours))


def at_dose(rows: pd.DataFrame, rule: str) -> pd.Series:
    """Tell which wells have the dose that the rule chooses; see :func:`curate`."""
    if rule == "all":
        return pd.Series(True, index=rows.index)
    # A nominal 10 uM is written 10, 10.0 and 9.99 on different plates.
    rounded = rows["dose_um"].map({dose: float(f"{dose:.1e}") for dose in rows["dose_um"].dropna().unique()})
    by = ["smiles"] if rule == "molecule" else ["smiles", "cell_id"]
    found = rows.assign(dose=rounded).groupby([*by, "dose"]).size().rename("wells").reset_index()
    found["distance"] = (found["dose"] - USUAL_DOSE).abs()
    found = found.sort_values(["wells", "distance", "dose"], ascending=[False, True, True]).drop_duplicates(by)
    return rounded == rows[by].merge(found, on=by, how="left")["dose"].to_numpy()


def in_every_line(rows: pd.DataFrame) -> pd.Series:
    """Tell which wells are of molecules that have a well in each of the nine lines."""
    return rows.groupby("smiles")["cell_id"].transform("nunique") == len(LINES)


def read_landmarks(path: Path) -> list[str]:
    """Read the ids of the genes that are measured, in the order of the table; the others are inferred from them.

    Raises
    ------
    InputError
        If the table is missing or damaged, lacks a column, an id is empty or there twice, or no gene is measured.
    """
    genes = _read_columns(path, {"pr_gene_id": "gene", "pr_is_lm": "landmark"})
    _check_unique(path, "pr_gene_id", genes["gene"])
    landmarks = genes.loc[genes["landmark"] == "1", "gene"].to_list()
    if not landmarks:
        raise InputError(path, "column pr_is_lm", "marks no gene with 1", "use the table as GEO gives it")
    return landmarks


def measure(
    path: Path, rows: pd.DataFrame, vehicles: pd.DataFrame, genes: Sequence[str]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read the expression of the wells, ``(wells, genes)``, and the mean of the vehicle wells of each of their plates.

    Both in one pass over the file.
    """
    vehicles = vehicles[vehicles["plate"].isin(rows["plate"])].sort_values("id", ignore_index=True)
    values = read_wells(path, [*rows["id"], *vehicles["id"]], genes)
    expression, control = values[: len(rows)], values[len(rows) :]
    plates = vehicles.groupby("plate").indices
    return expression, {plate: control[where].mean(axis=0, dtype=np.float64) for plate, where in plates.items()}


def subtract_controls(values: np.ndarray, plates: pd.Series, controls: Mapping[str, np.ndarray], clip: float) -> float:
    """Subtract each plate's control from its wells and clip, in place; return the share of values that were clipped.

    Parameters
    ----------
    values : array, ``(wells, genes)``, log2 units
    plates : series of text, ``(wells,)``
    controls : mapping of plate to array, ``(genes,)``, log2 units
        Mean expression of each plate's control wells.
    clip : float
        The largest difference, in log2 units, that stays as it is.
    """
    clipped = 0
    for plate, where in pd.Series(plates.to_numpy()).groupby(plates.to_numpy()).indices.items():
        difference = values[where] - controls[plate]
        clipped += (np.abs(difference) > clip).sum()
        values[where] = np.clip(difference, -clip, clip)
    return clipped / values.size


def write_overlap(first: str | os.PathLike[str], second: str | os.PathLike[str], out: str | os.PathLike[str]) -> None:
    """Write how many molecules and wells two curations of LINCS have, and have in common, as CSV.

    Parameters
    ----------
    first, second : path
        Folders with ``molecules.parquet`` and ``pairs.parquet``.
    out : path
    """
    with atomic(out) as part, part.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(("what", "first", "second", "in_first", "in_second", "in_both"))
        for what, file, column in (("molecules", "molecules.parquet", "smiles"), ("wells", "pairs.parquet", "id")):
            tables = [read_table(Path(folder) / file) for folder in (first, second)]
            one, other = (set(table[column].to_pylist()) for table in tables)
            names = [table_info(table)["name"] for table in tables]
            writer.writerow((what, *names, len(one), len(other), len(one & other)))


def _would_give(rows: pd.DataFrame, hours: Sequence[int], dose: str, replicates: int) -> str:
    """Count what another reading of the paper would give."""
    rows = rows[at_hours(rows, hours)]
    rows = rows[at_dose(rows, dose)]
    rows = rows[in_every_line(rows)]
    profiles = rows.groupby(["smiles", "cell_id"]).size().clip(upper=replicates).sum()
    molecules = rows["smiles"].nunique()
    differences = f"{profiles - PAPER['profiles']:+,} and {molecules - PAPER['molecules']:+,}"
    return f"would give {profiles:,} profiles, {molecules:,} molecules ({differences} to the paper)"


def _spelled(hours: Sequence[int]) -> str:
    return " and ".join(map(str, sorted(hours)))


def _read_columns(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Read some columns of a tab-separated table as text, under names of ours; ``-666`` is null."""
    # Names of compounds and genes may hold a quotation mark.
    layout = arrow_csv.ParseOptions(delimiter="\t", quote_char=False)
    options = arrow_csv.ConvertOptions(
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, pa.string()),
        null_values=["-666", ""],
        strings_can_be_null=True,
    )
    try:
        with phase("loading"):
            with arrow_csv.open_csv(path, parse_options=layout) as lines:
                names = lines.schema.names
            for column in columns:
                if column not in names:
                    mend = f"use the table as GEO gives it (found: {first_few(names, 12)})"
                    raise InputError(path, f"column {column}", "is missing", mend)
            table = arrow_csv.read_csv(path, parse_options=layout, convert_options=options)
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "make it first, or correct the path") from None
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        mend = "delete it and run again, which fetches it anew"
        raise InputError(path, "", f"cannot be read as a gzipped table ({reason})", mend) from None
    return table.rename_columns(list(columns.values())).to_pandas()


def _check_unique(path: Path, column: str, values: pd.Series) -> None:
    if values.isna().any():
        row = int(np.flatnonzero(values.isna())[0])
        raise InputError(path, f"column {column}, row {row}", "is empty", "use the table as GEO gives it")
    if values.duplicated().any():
        first, second = np.flatnonzero(values == values[values.duplicated()].iloc[0])[:2]
        problem = f'"{values[first]}" appears twice'
        raise InputError(path, f"column {column}, rows {first} and {second}", problem, "keep one of them")


def _numbers(text: pd.Series) -> pd.Series:
    """Numbers of a column, NaN where it holds something else or a spelling of -666."""
    values = pd.to_numeric(text, errors="coerce").astype(float)
    return values.where(values >= 0)


def _read_member(path: Path, archive: zipfile.ZipFile, name: str, kind: type) -> Any:
    """Read one pickle or array of the archive."""
    found = [member for member in archive.namelist() if member.split("/")[-2:] in ([FOLDER, name], [name])]
    if len(found) != 1:
        problem = f"has {len(found) or 'no'} files {FOLDER}/{name}"
        raise InputError(path, "", problem, "use the archive as it is published")
    with archive.open(found[0]) as member:
        if kind is np.ndarray:
            try:
                content = np.lib.format.read_array(member, allow_pickle=False)
            except ValueError as error:
                raise InputError(path, name, f"is no plain array ({error})", "use the archive as published") from None
        else:
            content = read_pickle(member, path, name)
    if not isinstance(content, kind) or not len(content):
        problem = f"holds a {type(content).__name__}, not a filled {kind.__name__}"
        raise InputError(path, name, problem, "use the archive as it is published")
    return content


def _stack(
    path: Path, name: str, vectors: Mapping[str, Any], keys: Sequence[str], width: int | None = None
) -> np.ndarray:
    """Stack vectors as float32; refuse those that are not alike, or hold NaN."""
    width = width or np.size(vectors[keys[0]])
    values = np.empty((len(keys), width), np.float32)
    for row, key in enumerate(keys):
        vector = np.asarray(vectors[key])
        if vector.shape != (width,) or vector.dtype.kind != "f":
            problem = f"holds {vector.dtype} of shape {vector.shape}, not {width} numbers as others do"
        elif not np.isfinite(vector).all():
            problem = "holds NaN or infinity"
        else:
            values[row] = vector
            continue
        raise InputError(path, f"{name}, {key}", problem, "use the archive as it is published")
    return values
