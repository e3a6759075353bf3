"""RxRx19a, the paper's screen of cell images, from published files to the paired-dataset contract, three ways.

``embeddings``
    Recursion's own 1,024 numbers of a site. A departure: the paper's are CellProfiler's, which nobody publishes.
``file``
    A table of CellProfiler's features that somebody measured.
``cellprofiler``
    CellProfiler's features, measured here from the images (``sources.cellprofiler``).

What the paper says: human renal cells (HRCE), active SARS-CoV-2, 1,661 drugs, 10,117 profiles. Of each drug there are
about 36 wells at six doses, so a profile must be a drug at a dose. What the paper leaves open is an argument of
:func:`curate`, and docs/choices.md says why each has its default. Values are clipped here and standardised on loading.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from disentangledssl.errors import InputError, first_few
from disentangledssl.files import write_json
from disentangledssl.sources.curation import (
    Screen,
    cap_profiles,
    group_by_skeleton,
    number_molecules,
    resolve_structures,
    write_screen,
)
from disentangledssl.sources.feature_tables import average_by_well, check_columns, column_names, damage_told, open_text

PAPER = {"profiles": 10_117, "molecules": 1_661}
TITLES = {
    "embeddings": "RxRx19a (Recursion's embeddings, not CellProfiler: departs from the paper)",
    "file": "RxRx19a (CellProfiler features of a given table)",
    "cellprofiler": "RxRx19a (CellProfiler features by cp_measure)",
}
SOURCES = {
    "embeddings": "RxRx19a-metadata.zip and RxRx19a-DL-embeddings.zip of rxrx.ai/rxrx19a",
    "file": "RxRx19a-metadata.zip of rxrx.ai/rxrx19a, features from a table that was given",
    "cellprofiler": "RxRx19a-metadata.zip and images of rxrx.ai/rxrx19a",
}
LICENCE = "CC BY 4.0 (Recursion); cite Heiser et al. 2020"
# Columns that name a row of features, and what the names of features begin with (None: all others).
LAYOUTS = {"embeddings": (["site_id"], None), "cellprofiler": (["well_id"], ["Cells_", "Cytoplasm_", "Nuclei_"])}
CELL_TYPE, ACTIVE, MOCK = "HRCE", "Active SARS-CoV-2", "Mock"
CONTROLS = {"untreated": (ACTIVE, "untreated infected wells"), "mock": (MOCK, "untreated wells without virus")}
# What is one profile: wells that agree in these columns, averaged; or a few single wells of a molecule.
PROFILES = {"experiment": ["experiment", "smiles", "dose_um"], "dose": ["smiles", "dose_um"], "wells": ["id"]}
# Where a profile comes from. A mean over several plates or experiments names all, which is no class to probe for.
PLACES = {
    "experiment": {"batch": "experiment", "plates": "plate"},
    "dose": {"batches": "experiment", "plates": "plate"},
    "wells": {"batch": "experiment", "plate": "plate"},
}
COLUMNS = {
    "site_id": "site_id", "cell_type": "cell_type", "experiment": "experiment", "plate": "plate", "well": "well",
    "disease_condition": "condition", "treatment": "treatment", "treatment_conc": "dose_um", "SMILES": "smiles",
}  # fmt: skip
PUBLISHED = "use the metadata as published in August 2020"
ROBUST = 1.4826  # of a normal distribution: standard deviation over median absolute deviation
CONSTANT = 1e-9  # spread over size below which a feature is constant but for rounding

log = logging.getLogger(__name__)


def curate(
    files: Mapping[str, Any],
    out: str | os.PathLike[str],
    *,
    name: str,
    route: str,
    profile: str,
    wells_per_molecule: int,
    control: str,
    minimum_controls: int,
    clip: float,
    group: str,
    seed: int,
    table: Mapping[str, Any] | None,
) -> None:
    """Write ``view1``, ``molecules``, ``pairs`` (Parquet) and ``curation.csv``.

    Parameters
    ----------
    files : mapping of name to path
        ``metadata`` (zip) and ``features``: one table, or a list of one a plate.
    out : path
        Folder to write into.
    name : str
        Name of the data set.
    route : {"embeddings", "file", "cellprofiler"}
        Where the features come from.
    profile : {"experiment", "dose", "wells"}
        What is a profile: a molecule at a dose in an experiment, or in all of them (means over wells), or a well.
    wells_per_molecule : int
        Of ``wells`` alone: profiles of a molecule that are kept at the most, drawn evenly.
    control : {"untreated", "mock"}
        Which wells of a plate are subtracted: infected ones without a compound, or such without virus.
    minimum_controls : int
        Control wells that a plate must have.
    clip : float
        Profiles are clipped to plus or minus this, in robust standard deviations of the control wells.
    group : {"molecule", "skeleton"}
        What must not be divided between training and test: a canonical SMILES, or all of one InChIKey skeleton.
    seed : int
        Of the draw. It goes by id, so the order of the files does not matter.
    table : mapping, optional
        Of the route ``file``: ``key``, the columns that name a site or a well (several are joined by ``_``), and
        ``prefixes`` of the features' names.

    Raises
    ------
    InputError
        If a file lacks something or is damaged, the files disagree, or no row or feature is left.

    Notes
    -----
    Source: App. H.3; the control, its subtraction and the clip after the reference code of LINCS (Wang et al. 2023);
    choice.
    """
    path, tables = Path(files["metadata"]), files["features"]
    tables = [Path(one) for one in ([tables] if isinstance(tables, str | os.PathLike) else tables)]
    screen, controls, sites = read_population(path, control)
    # Before profiles are named: it may lose a molecule.
    if group == "skeleton":
        group_by_skeleton(screen)
    else:
        screen.rows["group"] = screen.rows["smiles"]
    wells = pd.concat([screen.rows["id"], controls["id"]], ignore_index=True)
    position = dict(zip(wells, range(len(wells)), strict=True))
    position |= {site: position[well] for site, well in sites.items() if well in position}
    key, prefixes = (table["key"], table["prefixes"]) if route == "file" else LAYOUTS[route]
    values, features, passed = average_by_well(tables, key, prefixes, position, len(wells))
    measured = np.isfinite(values).any(axis=1)
    treated, control_values = values[: len(screen.rows)], values[len(screen.rows) :][measured[len(screen.rows) :]]
    controls = controls[measured[len(screen.rows) :]].reset_index(drop=True)
    screen.rows["row"] = np.arange(len(screen.rows))
    screen.keep(measured[: len(screen.rows)], "measured", f"wells that the features name; {passed}")
    enough = screen.rows["plate"].map(controls["plate"].value_counts()).fillna(0) >= minimum_controls
    what = f"plates with at least {minimum_controls} {CONTROLS[control][1]}"
    screen.keep(enough, "plate controls", what)
    kept = controls["plate"].isin(screen.rows["plate"]).to_numpy()
    controls, control_values = controls[kept].reset_index(drop=True), control_values[kept]
    treated = treated[screen.rows.pop("row")]
    del values  # half of the memory
    size = np.abs(control_values).max(axis=0)
    subtract_controls(treated, screen.rows["plate"], control_values, controls["plate"])
    spread = robust_spread(control_values)
    good = np.isfinite(treated).all(axis=0) & (spread > CONSTANT * size)
    if not good.any():
        problem = f"none of {len(features)} features is measured in all wells and differs between control wells"
        raise InputError(tables[0], "", problem, "check the features")
    dropped = [one for one, fine in zip(features, good, strict=True) if not fine]
    if dropped:
        log.warning("%s: features left out: %s", tables[0], ", ".join(dropped))
    for reading in PROFILES:
        if reading != profile:
            reason = _would_give(screen.rows, reading, wells_per_molecule)
            screen.record(f"other reading: {reading}", screen.rows, reason)
    features = [one for one, fine in zip(features, good, strict=True) if fine]
    treated = treated[:, good]
    reason = f"minus the mean of the plate's {CONTROLS[control][1]}"
    screen.record("measure", screen.rows, reason, [*features, *dropped])
    reason = f"constant, missing or infinite somewhere: {first_few(dropped) or 'none'}"
    screen.record("drop features", screen.rows, reason, features)
    rows, treated = average_profiles(screen.rows, treated, profile)
    screen.record("profiles", rows, f"a profile is one of {' x '.join(PROFILES[profile])}, the mean over its wells")
    treated /= spread[good]
    clipped = float((np.abs(treated) > clip).mean())
    profiles = pd.DataFrame(np.clip(treated, -clip, clip, out=treated).astype(np.float32), columns=features)
    screen.rows = pd.concat([screen.rows, profiles], axis=1)
    reason = f"in robust standard deviations of control wells; {100 * clipped:.2g} % lay beyond plus or minus {clip:g}"
    screen.record("clip", screen.rows, reason)
    if profile == "wells":
        reason = f"at most {wells_per_molecule} of a molecule, seed {seed}"
        cap_profiles(screen, ["smiles"], wells_per_molecule, np.random.default_rng(seed), reason)
    screen.compare(**PAPER)
    screen.meta = PLACES[profile] | {name: name for name in ("dose_um", "compound", "wells")}
    info = {"name": name, "stand_in": False, "title": TITLES[route], "source": SOURCES[route], "licence": LICENCE,
            "route": route, "profile": profile, "control": control, "minimum_controls": minimum_controls,
            "clip": clip, "seed": seed}  # fmt: skip
    write_screen(screen, Path(out), info, None)


def list_plates(metadata: str | os.PathLike[str], out: str | os.PathLike[str]) -> None:
    """Write which wells have to be measured, as JSON: experiment, plate, wells.

    They are the paper's population and control wells of either kind on the same plates.
    """
    found: dict[str, dict[str, set[str]]] = {}
    for control in CONTROLS:
        screen, controls, _ = read_population(Path(metadata), control)
        plates = set(screen.rows["plate"])
        for name in [*screen.rows["id"], *controls["id"][controls["plate"].isin(plates)]]:
            experiment, plate, well = name.rsplit("_", 2)
            found.setdefault(experiment, {}).setdefault(plate, set()).add(well)
    plates = {name: {plate: sorted(wells) for plate, wells in sorted(one.items())} for name, one in found.items()}
    write_json(out, dict(sorted(plates.items())))


def read_population(path: Path, control: str) -> tuple[Screen, pd.DataFrame, dict[str, str]]:
    """Read the wells of the paper's population, their controls, and which well each site is of.

    Returns
    -------
    screen
        Infected HRCE wells that hold a known dose of a compound with a structure; no features yet.
    controls : data frame
        ``id`` and ``plate`` of the control wells.
    sites : mapping of text to text

    Raises
    ------
    InputError
        As :func:`read_metadata`, or if the sites of a well are described differently, or no well is left.
    """
    table = read_metadata(path)
    sites = dict(zip(table["site_id"], table["id"], strict=True))
    wells = table.drop(columns="site_id").drop_duplicates()
    if wells["id"].duplicated().any():
        twice = wells["id"][wells["id"].duplicated()].iloc[0]
        raise InputError(path, f"well {twice}", "its sites are described differently", PUBLISHED)
    # CXSMILES: what follows the first blank says where atoms are, or which of them are alike.
    wells["smiles"] = wells["smiles"].str.split().str[0]
    screen = Screen(path, wells.sort_values("id", kind="stable", ignore_index=True), [])
    screen.keep(screen.rows.pop("cell_type") == CELL_TYPE, "cells", f"wells of {CELL_TYPE}")
    untreated = screen.rows[screen.rows["treatment"].isna()]
    controls = untreated.loc[untreated["condition"] == CONTROLS[control][0], ["id", "plate"]].reset_index(drop=True)
    screen.keep(screen.rows.pop("condition") == ACTIVE, "condition", f"wells with {ACTIVE}")
    screen.keep(screen.rows["treatment"].notna(), "compounds", "wells with a treatment")
    resolve_structures(screen, "treatment")
    # Half-log steps; a dose may be written with more digits or fewer.
    dose = pd.to_numeric(screen.rows["dose_um"], errors="coerce")
    screen.rows["dose_um"] = dose.map({one: float(f"{one:.2e}") for one in dose.dropna().unique()})
    screen.keep(screen.rows["dose_um"] > 0, "dose", "wells with a known dose, taken to three digits")
    return screen, controls, sites


def read_metadata(path: Path) -> pd.DataFrame:
    """Read the description of every site; ``id`` is the well's, ``<experiment>_<plate>_<well>``.

    Raises
    ------
    InputError
        If the archive is damaged, a column is missing (such as the SMILES in the release of April 2020), or a site is
        there twice or without a place.
    """
    options = arrow_csv.ConvertOptions(
        include_columns=list(COLUMNS),
        column_types=dict.fromkeys(COLUMNS, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
    )
    with damage_told(path, "a zip with metadata.csv"):
        names = column_names(path, "metadata.csv")
        if "SMILES" not in names and "site_id" in names:
            problem = "is missing, as in the release of April 2020, whose compounds were mapped wrongly"
            raise InputError(path, "column SMILES", problem, "fetch the release of August 2020 or a later one")
        check_columns(path, names, list(COLUMNS), PUBLISHED)
        with open_text(path, "metadata.csv") as stream:
            table = arrow_csv.read_csv(stream, convert_options=options)
    rows = table.rename_columns(list(COLUMNS.values())).to_pandas()
    for column in ("site_id", "cell_type", "experiment", "plate", "well", "condition"):
        if rows[column].isna().any():
            row = int(np.flatnonzero(rows[column].isna())[0])
            raise InputError(path, f"column {column}, row {row}", "is empty", PUBLISHED)
    if rows["site_id"].duplicated().any():
        twice = rows["site_id"][rows["site_id"].duplicated()].iloc[0]
        first, second = np.flatnonzero(rows["site_id"] == twice)[:2]
        raise InputError(path, f"column site_id, rows {first} and {second}", f'"{twice}" appears twice', PUBLISHED)
    rows["plate"] = rows["experiment"] + "_" + rows["plate"]
    return rows.assign(id=rows["plate"] + "_" + rows.pop("well"))


def subtract_controls(treated: np.ndarray, plates: pd.Series, controls: np.ndarray, control_plates: pd.Series) -> None:
    """Subtract from all wells of a plate the mean of its control wells, in place.

    Parameters
    ----------
    treated, controls : array, ``(wells, features)``
    plates, control_plates : series, ``(wells,)``
    """
    of_controls = control_plates.groupby(control_plates.to_numpy()).indices
    for plate, where in plates.groupby(plates.to_numpy()).indices.items():
        mean = controls[of_controls[plate]].mean(axis=0)
        treated[where] -= mean
        controls[of_controls[plate]] -= mean


def robust_spread(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each column as the median absolute deviation tells it; NaN where one is missing.

    >>> robust_spread(np.array([[0.0], [1.0], [-1.0], [1000.0], [-2.0]])).round(3).tolist()
    [1.483]
    """
    return ROBUST * np.median(np.abs(values - np.median(values, axis=0)), axis=0)


def average_profiles(rows: pd.DataFrame, values: np.ndarray, profile: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Average wells to profiles, sorted by id.

    Returns
    -------
    rows : data frame
        ``id``, ``smiles``, ``group``, ``dose_um``, ``experiment``, ``plate``, ``compound`` (several are joined) and
        ``wells``. An id names its molecule as ``molecules.parquet`` does: hits are files named by it, and a SMILES may
        hold a slash or be too long.
    values : array, ``(profiles, features)``
    """
    named = rows.assign(smiles=rows["smiles"].map(number_molecules(rows["smiles"])))
    by = PROFILES[profile]
    names = named[by[0]].str.cat([named[column].astype(str) for column in by[1:]], sep="_")
    profiles = rows.assign(id=names, compound=rows["treatment"], wells=rows["id"]).groupby("id")
    joined = dict.fromkeys(("experiment", "plate", "compound"), lambda column: "+".join(sorted(column.unique())))
    first = dict.fromkeys(("smiles", "group", "dose_um"), "first")
    described = profiles.agg(first | joined | {"wells": "size"}).reset_index()
    total = np.zeros((len(described), values.shape[1]))
    np.add.at(total, profiles.ngroup(), values)
    return described, total / described["wells"].to_numpy()[:, None]


def _would_give(rows: pd.DataFrame, reading: str, wells_per_molecule: int) -> str:
    """Count what another reading of the word "profile" would give."""
    profiles = rows.groupby(PROFILES[reading]).ngroups
    if reading == "wells":
        profiles = int(rows.groupby("smiles").size().clip(upper=wells_per_molecule).sum())
    return f"would give {profiles:,} profiles ({profiles - PAPER['profiles']:+,} to the paper)"
