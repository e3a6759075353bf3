"""The bundled drug screens: from ``data/<screen>`` to the paired-dataset contract.

``lincs_consensus``
    L1000, one consensus profile a drug. Stands in for LINCS where cell lines do not matter.
``lincs_cells``
    L1000, one profile a drug, cell line and time; few and weak drugs. Stands in for LINCS where
    they do.
``cell_injury``
    Cell Painting of U-2 OS cells, one profile a well. Stands in for RxRx19a.

None of them is the paper's data. A molecule is a distinct canonical SMILES; molecules that
must not be divided between training and test share a group. Values are written as they are in
the bundle: scaling is fitted per fold, on loading.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from disentangledssl.errors import InputError
from disentangledssl.files import read_table
from disentangledssl.sources.curation import (
    Screen,
    canonicalise,
    cap_profiles,
    drop_missing,
    group_by_skeleton,
    write_screen,
)
from disentangledssl.structures import canonical_smiles

DMSO = "CS(=O)C"
INFO = {
    "lincs_consensus": {
        "title": "LINCS L1000 consensus (stand-in for LINCS)",
        "source": "github.com/dhimmel/lincs 69956de, consensus signatures of LINCS L1000 (GSE92742)",
        "licence": "CC BY 4.0",
    },
    "lincs_cells": {
        "title": "LINCS L1000, liver-label drugs in 12 cell lines (stand-in for LINCS)",
        "source": "github.com/anikaliu/CAMDA-DILI 82270b4, level-5 signatures of LINCS L1000 (GSE92742)",
        "licence": "CC BY 4.0",
    },
    "cell_injury": {
        "title": "Cell injury, Cell Painting of U-2 OS cells (stand-in for RxRx19a)",
        "source": "github.com/WayScience/Cytotoxic-Nuisance-Metadata-Analysis, profiles of IDR idr0133",
        "licence": "CC BY 4.0",
    },
}


def curate(
    screen: str,
    source: Path,
    out: Path,
    *,
    name: str | None = None,
    wells_per_molecule: int | None = None,
    molecules: int | None = None,
    seed: int = 0,
    shuffled: bool = False,
) -> None:
    """Write ``view1``, ``molecules``, ``pairs`` (Parquet) and ``curation.csv`` of a bundled screen.

    Parameters
    ----------
    screen : {"lincs_consensus", "lincs_cells", "cell_injury"}
    source : path
        Folder of the bundled screen, with ``profiles.parquet``.
    out : path
        Folder to write into.
    name : str, optional
        Name of the data set; the screen's unless given.
    wells_per_molecule : int, optional
        Keep at most so many profiles of a molecule, drawn evenly; None: all.
    molecules : int, optional
        Keep only so many molecule groups, drawn at random: for quick trials.
    seed : int
        Of the draws. They go by id, so the order of the file does not matter.
    shuffled : bool
        Give each group the molecules of another: a null control, see ``splits.shuffle_molecules``.

    Raises
    ------
    InputError
        If the screen is not known, its file lacks a column, or no row is left.
    """
    if screen not in CURATORS:
        raise InputError("datasets", screen, "is no bundled screen", f"use one of {', '.join(CURATORS)}")
    source, out = Path(source), Path(out)
    curated = CURATORS[screen](source)
    generator = np.random.default_rng(seed)
    if molecules is not None:
        groups = np.unique(curated.rows["group"].to_numpy(str))
        chosen = generator.permutation(groups)[:molecules]
        curated.keep(curated.rows["group"].isin(chosen), "draw molecules", f"{molecules} groups wanted, seed {seed}")
    if wells_per_molecule is not None:
        reason = f"at most {wells_per_molecule} of a molecule, seed {seed}"
        cap_profiles(curated, ["smiles"], wells_per_molecule, generator, reason)
    info = {"name": name or screen, "stand_in": True, **INFO[screen],
            "wells_per_molecule": wells_per_molecule, "molecules": molecules, "seed": seed}  # fmt: skip
    write_screen(curated, out, info, seed if shuffled else None)


def curate_lincs_consensus(source: Path) -> Screen:
    """Read LINCS consensus signatures and keep one row of each molecule group.

    The rows of a group are stereo forms and salts of one drug, mostly with the very same
    profile. The first stands for all.
    """
    described = ("id", "smiles", "smiles_source", "lincs_pert_id", "molecule_group")
    screen = _read(source, described, "id")
    canonicalise(screen)
    drop_missing(screen)
    screen.keep(~screen.rows["molecule_group"].duplicated(), "one row a group", "stereo forms and salts of one drug")
    screen.rows["group"] = screen.rows["molecule_group"]
    screen.meta = {"lincs_pert_id": "lincs_pert_id", "smiles_source": "smiles_source"}
    return screen


def curate_lincs_cells(source: Path) -> Screen:
    """Read LINCS level-5 signatures of 12 cell lines; a group is an InChIKey skeleton."""
    described = (
        *("sig_id", "pert_id", "pert_iname", "smiles", "cell_id"),
        *("pert_time_h", "pert_dose_um", "inchikey_skeleton"),
    )
    screen = _read(source, described, "sig_id")
    canonicalise(screen)
    drop_missing(screen)
    group_by_skeleton(screen)
    # A signature id is <plate series>_<cell line>_<time>:<compound>:<dose>.
    screen.rows["plate"] = screen.rows["id"].str.split(":").str[0]
    screen.labels = {"cell_line": "cell_id"}
    screen.meta = {
        "cell_line": "cell_id",
        "time_h": "pert_time_h",
        "dose_um": "pert_dose_um",
        "plate": "plate",
        "compound": "pert_iname",
        "lincs_pert_id": "pert_id",
    }
    return screen


def curate_cell_injury(source: Path) -> Screen:
    """Read Cell Painting wells, without the solvent controls; a group is an InChIKey skeleton.

    Controls are known by their SMILES. One compound is in the source under two names and two
    injury types (ebselen): its wells keep the label that they have there.
    """
    described = (
        *("plate", "well", "cell_line", "time_h", "batch", "compound", "brd", "smiles", "inchikey"),
        *("concentration_um", "compound_class", "injury_type"),
        *("mahalanobis_distance", "relative_cell_count", "control_type"),
    )
    screen = _read(source, described, "plate", "well")
    canonicalise(screen)
    solvent = screen.rows["smiles"] == canonical_smiles(DMSO)
    screen.keep(~solvent, "drop solvent controls", f"DMSO, known by its SMILES {DMSO}")
    drop_missing(screen)
    group_by_skeleton(screen)
    # One compound has no name, and most are no control; a description must not be empty.
    screen.rows["compound"] = screen.rows["compound"].fillna(screen.rows["brd"])
    screen.rows["control_type"] = screen.rows["control_type"].fillna("none")
    screen.labels = {"injury": "injury_type"}
    screen.meta = {
        "cell_line": "cell_line",
        "time_h": "time_h",
        "dose_um": "concentration_um",
        "plate": "plate",
        "well": "well",
        "batch": "batch",
        "compound": "compound",
        "brd": "brd",
        "compound_class": "compound_class",
        "injury_type": "injury_type",
        "control_type": "control_type",
        "mahalanobis_distance": "mahalanobis_distance",
        "relative_cell_count": "relative_cell_count",
    }
    return screen


CURATORS = {
    "lincs_consensus": curate_lincs_consensus,
    "lincs_cells": curate_lincs_cells,
    "cell_injury": curate_cell_injury,
}


def _read(source: Path, described: Sequence[str], *identifiers: str) -> Screen:
    path = Path(source) / "profiles.parquet"
    table = read_table(path)
    missing = [name for name in described if name not in table.column_names]
    if missing:
        raise InputError(path, f"column {missing[0]}", "is missing", "copy the bundled file anew")
    rows = table.to_pandas()
    ids = rows[identifiers[0]].str.cat([rows[name] for name in identifiers[1:]], sep="_")
    if ids.duplicated().any():
        row = int(np.flatnonzero(ids.duplicated())[0])
        raise InputError(path, f"row {row}", f'profile "{ids[row]}" appears twice', "keep one of them")
    rows = rows.assign(id=ids, row=np.arange(len(rows))).sort_values("id", kind="stable", ignore_index=True)
    features = [name for name in table.column_names if name not in described]
    for name in features:
        if not pa.types.is_floating(table.schema.field(name).type):
            kind = table.schema.field(name).type
            raise InputError(path, f"column {name}", f"is a feature and holds {kind}, not numbers (text?)", "mend it")
    return Screen(path, rows, features)
