"""Curation of a drug screen, step by step, up to the paired-dataset contract; what all screens have in common.

Every step writes a line of ``curation.csv``, see ``report``: rows, molecules and features.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from disentangledssl.dataset import pairs_table, write_view
from disentangledssl.errors import first_few
from disentangledssl.files import table_info, with_info, write_table
from disentangledssl.sources.curation_report import CurationReport
from disentangledssl.splits import shuffle_molecules
from disentangledssl.structures import NO_STRUCTURE, canonical_smiles, skeleton

log = logging.getLogger(__name__)


@dataclass
class Screen:
    """A screen on its way through curation.

    Attributes
    ----------
    path : path
        The file it was read from, for messages.
    rows : data frame
        A profile a row, sorted by ``id``: ``id``, ``smiles``, other descriptions, features;
        later ``group``.
    features : list of text
        Which columns are features; none before they are read.
    labels, meta : mapping of name to column
        What ``pairs.parquet`` is to carry.
    report : CurationReport
        What each step did.
    """

    path: Path
    rows: pd.DataFrame
    features: list[str]
    labels: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)
    report: CurationReport = field(init=False)

    def __post_init__(self):
        self.report = CurationReport(self.path, **self._counts())

    def _counts(self) -> dict[str, int]:
        return {"rows": len(self.rows), "molecules": self.rows["smiles"].nunique(), "features": len(self.features)}

    def keep(self, mask: Sequence[bool], step: str, reason: str) -> None:
        """Keep some rows and write down how many went and why."""
        self.record(step, self.rows[np.asarray(mask, dtype=bool)].reset_index(drop=True), reason)

    def record(self, step: str, rows: pd.DataFrame, reason: str, features: Sequence[str] | None = None) -> None:
        """Replace the rows, and the names of the features if they change, and write down the counts.

        Raises
        ------
        InputError
            If no row is left.
        """
        self.rows, self.features = rows, self.features if features is None else list(features)
        self.report.record(step, reason, **self._counts())

    def compare(self, profiles: int, molecules: int) -> None:
        """Write down how the counts differ from the paper's, for the reader of ``curation.csv``."""
        found = (len(self.rows), self.rows["smiles"].nunique())
        differences = [
            f"{count:,} {name}, the paper has {expected:,} ({count - expected:+,})"
            for name, count, expected in zip(("profiles", "molecules"), found, (profiles, molecules), strict=True)
        ]
        self.record("compare with the paper", self.rows, "; ".join(differences))
        if found != (profiles, molecules):
            log.warning("%s: %s", self.path, "; ".join(differences))


def canonicalise(screen: Screen) -> None:
    """Write SMILES as RDKit does; report, count and drop what it cannot read."""
    given = screen.rows["smiles"]
    canonical = given.map({smiles: canonical_smiles(smiles) for smiles in given.unique()})
    bad = canonical.isna()
    for row, smiles in sorted(zip(screen.rows["row"][bad], given[bad], strict=True)):
        log.warning('%s: column smiles, row %d: "%s" cannot be parsed; the row is left out', screen.path, row, smiles)
    reason = "SMILES that RDKit cannot parse"
    if bad.any():
        reason += f": rows {first_few(sorted(screen.rows['row'][bad]))}"
    screen.keep(~bad, "parse SMILES", reason)
    kept = screen.rows.assign(smiles=canonical[~bad].to_numpy())
    screen.record("canonical SMILES", kept, "one molecule, one SMILES")


def resolve_structures(screen: Screen, compound: str) -> None:
    """Keep wells of compounds with a structure; compounds of one canonical SMILES become one molecule.

    Compounds whose SMILES RDKit cannot read are reported by the column ``compound``, counted and dropped.
    """
    given = screen.rows["smiles"]
    known = given.notna() & ~given.isin(NO_STRUCTURE)
    screen.keep(known, "known structures", "compounds without a published structure")
    given = screen.rows["smiles"]
    canonical = {smiles: canonical_smiles(smiles) for smiles in given.unique()}
    bad = [smiles for smiles, one in canonical.items() if one is None]
    wells = screen.rows.groupby([compound, "smiles"]).size()
    unread = wells[wells.index.isin(bad, level="smiles")]
    for (name, smiles), count in unread.items():
        log.warning('%s: compound %s: "%s" cannot be parsed; wells left out: %d', screen.path, name, smiles, count)
    reason = f"SMILES that RDKit cannot parse: {len(unread)} of {len(wells)} compounds"
    if bad:
        reason += ": " + first_few(f'{name} ("{smiles}")' for name, smiles in unread.index)
    screen.keep(~given.isin(bad), "parse SMILES", reason)
    merged = screen.rows.assign(smiles=screen.rows["smiles"].map(canonical))
    screen.record("canonical SMILES", merged, "compounds of one canonical SMILES are one molecule; salts stay apart")


def drop_missing(screen: Screen) -> None:
    """Drop profiles with a missing feature."""
    complete = np.isfinite(screen.rows[screen.features].to_numpy(np.float32)).all(axis=1)
    screen.keep(complete, "drop missing features", "profiles with NaN or infinite features")


def group_by_skeleton(screen: Screen) -> None:
    """Group molecules by the first block of the InChIKey of their largest part.

    Stereo forms are one group, and so are a drug and its entry with a counter-ion, a stray solvent or a second
    copy of itself, whose whole InChIKeys differ.
    """
    group = screen.rows["smiles"].map({smiles: skeleton(smiles) for smiles in screen.rows["smiles"].unique()})
    screen.rows["group"] = group
    screen.keep(group != "", "group by InChIKey", "molecules without an InChIKey")


def cap_profiles(screen: Screen, by: Sequence[str], most: int, generator: np.random.Generator, reason: str) -> None:
    """Keep at most so many profiles of each that is alike in the columns ``by``, drawn evenly."""
    draw = pd.Series(generator.permutation(len(screen.rows)))
    rank = draw.groupby([screen.rows[column] for column in by]).rank()
    screen.keep(rank <= most, "cap profiles", reason)


def number_molecules(smiles: pd.Series) -> dict[str, str]:
    """Return the id of each molecule, ``M0001`` and so on in the order of their SMILES."""
    return {text: f"M{number:04d}" for number, text in enumerate(sorted(smiles.unique()), 1)}


def write_screen(screen: Screen, out: Path, info: Mapping[str, Any], shuffle_seed: int | None) -> None:
    """Write ``view1``, ``molecules``, ``pairs`` (Parquet) and ``curation.csv``.

    Parameters
    ----------
    screen : Screen
    out : path
        Folder to write into.
    info : mapping
        ``name``, ``title``, ``stand_in``, ``source``, ``licence``; written into every file.
    shuffle_seed : int, optional
        Give each group the molecules of another: a null control, see ``splits.shuffle_molecules``.
    """
    rows = screen.rows
    molecule = number_molecules(rows["smiles"])
    classes = {label: sorted(rows[column].unique()) for label, column in screen.labels.items()}
    labels = {label: [classes[label].index(value) for value in rows[column]] for label, column in screen.labels.items()}
    info = {**info, "classes": classes}
    screen.report.write(out)
    ids = rows["id"].to_list()
    write_view(out / "view1.parquet", ids, rows[screen.features].to_numpy(np.float32), screen.features, info)
    molecules = pa.table({"id": list(molecule.values()), "smiles": list(molecule)})
    write_table(out / "molecules.parquet", molecules, info)
    pairs = pairs_table(
        ids,
        ids,
        [molecule[text] for text in rows["smiles"]],
        rows["group"].to_list(),
        labels,
        {name: rows[column].to_list() for name, column in screen.meta.items()},
    )
    if shuffle_seed is not None:
        pairs = shuffle_molecules(with_info(pairs, info), shuffle_seed)
        info = table_info(pairs)
    write_table(out / "pairs.parquet", pairs, info)
