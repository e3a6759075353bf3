"""Curation of RxRx19a: counts and values by hand and beside plain loops, choices, one sentence for each mistake."""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from types import SimpleNamespace

import numpy as np
import pytest
from miniatures_rxrx19a import (
    ACTIVE,
    COMPOUNDS,
    CONSTANT,
    MISSING,
    MOCK,
    WIDTH,
    Miniature,
    draw,
    pack,
    text,
    write_profiles,
    write_published,
)
from rdkit import Chem

from disentangledssl.dataset import read_dataset, read_pairs, read_view
from disentangledssl.errors import InputError
from disentangledssl.evaluation.class_probe import blind_accuracy
from disentangledssl.files import read_table, table_info
from disentangledssl.mol2vec import train, write_molecule_view
from disentangledssl.sources import feature_tables
from disentangledssl.sources.rxrx19a import curate, robust_spread
from disentangledssl.splits import write_splits
from disentangledssl.targets import find_targets, strata

CHOICES = {
    "profile": "experiment", "wells_per_molecule": 6, "control": "untreated", "minimum_controls": 2, "clip": 1.5,
    "group": "molecule", "seed": 0, "table": None,
}  # fmt: skip
TABLE = {"key": ["Metadata_experiment", "Metadata_plate", "Metadata_well"], "prefixes": ["Cells_", "Nuclei_"]}


@pytest.fixture(scope="module")
def miniature() -> Miniature:
    return draw()


def by_embeddings(folder: Path, miniature: Miniature, **choices) -> Path:
    """Curate from the published files; returns the folder of the data set."""
    files = write_published(folder / "raw", miniature)
    curate(files, folder / "data", name="rxrx19a", route="embeddings", **CHOICES | choices)
    return folder / "data"


def by_table(folder: Path, miniature: Miniature, path: Path, **choices) -> Path:
    files = write_published(folder / "raw", miniature) | {"features": path}
    curate(files, folder / "data", name="rxrx19a_file", route="file", **CHOICES | {"table": TABLE} | choices)
    return folder / "data"


def steps(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "curation.csv").open(encoding="utf-8") as lines:
        return {line["step"]: line for line in csv.DictReader(lines)}


def rows_after(folder: Path) -> dict[str, int]:
    return {name: int(step["rows_after"]) for name, step in steps(folder).items()}


@pytest.fixture(scope="module")
def curated(tmp_path_factory, miniature) -> Path:
    return by_embeddings(tmp_path_factory.mktemp("embeddings"), miniature)


# By hand


def site(well: str, number: int, value: float, treatment: str = "", dose: str = "", smiles: str = "", **more: str):
    """One site of plate HRCE-1_7 and its one number."""
    described = {
        "site_id": f"HRCE-1_7_{well}_{number}", "well_id": f"HRCE-1_7_{well}", "cell_type": "HRCE",
        "experiment": "HRCE-1", "plate": "7", "well": well, "site": str(number), "disease_condition": ACTIVE,
        "treatment": treatment, "treatment_conc": dose, "SMILES": smiles,
    }  # fmt: skip
    return described | more, {"site_id": f"HRCE-1_7_{well}_{number}", "feature_0": str(value)}


def by_hand(*sites) -> Miniature:
    return Miniature(*map(list, zip(*sites, strict=True)))


CONTROLS = [
    # Means of the wells: 1, 2, 6; of the plate 3; differences -2, -1, 3 with median -1 and deviations 1, 0, 4.
    *(site("A01", 1, 0), site("A01", 2, 2)),
    *(site("A02", 1, 2), site("A03", 1, 6)),
]


def test_two_wells_of_one_dose_by_hand(tmp_path):
    sites = [
        site("B01", 1, 3.2, "ethanol", "1", "CCO |c:1|"),  # well 3.4, difference 0.4
        site("B01", 2, 3.6, "ethanol", "1", "CCO |c:1|"),
        site("B02", 1, 4.4, "alcohol", "1.0", "OCC"),  # difference 1.4, so the profile is 0.9
        site("B03", 1, 4.0, "ethanol", "3", "CCO"),
        site("B04", 1, -9.0, "amine", "1", "CCN"),  # beyond the clip
    ]
    folder = by_embeddings(tmp_path, by_hand(*CONTROLS, *sites))
    values, _, ids = read_view(folder / "view1.parquet")
    spread = 1.4826 * 1
    assert ids.tolist() == ["HRCE-1_M0001_1.0", "HRCE-1_M0002_1.0", "HRCE-1_M0002_3.0"]
    molecules = {row["id"]: row["smiles"] for row in read_table(folder / "molecules.parquet").to_pylist()}
    assert molecules == {"M0001": "CCN", "M0002": "CCO"}
    np.testing.assert_allclose(values[:, 0], [-1.5, 0.9 / spread, 1 / spread], rtol=1e-6)
    first = read_pairs(folder / "pairs.parquet").to_pylist()[1]
    assert (first["meta_compound"], first["meta_wells"], first["meta_dose_um"]) == ("alcohol+ethanol", 2, 1.0)
    assert (first["meta_batch"], first["meta_plates"], first["group"]) == ("HRCE-1", "HRCE-1_7", "CCO")
    found = rows_after(folder)
    assert (found["cells"], found["compounds"], found["measured"], found["profiles"]) == (7, 4, 4, 3)
    assert steps(folder)["clip"]["reason"].endswith("33 % lay beyond plus or minus 1.5")


def test_a_mock_control_by_hand(tmp_path):
    mock = [site(f"C0{k}", 1, value, disease_condition=MOCK) for k, value in enumerate((10, 11, 15))]
    treated = site("B01", 1, 13, "ethanol", "1", "CCO")
    folder = by_embeddings(tmp_path, by_hand(*CONTROLS, *mock, treated), control="mock")
    # Mean 12; differences -2, -1, 3.
    assert read_view(folder / "view1.parquet")[0].item() == pytest.approx(1 / 1.4826)


def test_robust_spread_is_the_deviation_of_a_normal_sample_and_ignores_a_tenth_of_outliers():
    sample = np.random.default_rng(0).normal(5, 3, (20000, 1))
    sample[::20] = 1e6
    assert robust_spread(sample) == pytest.approx(3, rel=0.08)


# The same by plain loops


class Literally:
    """The curation of the miniature as its documentation tells it, site by site."""

    def __init__(self, miniature: Miniature, by=("experiment", "molecule", "dose")):
        self.features = [f"feature_{k}" for k in range(WIDTH) if f"feature_{k}" not in (CONSTANT, MISSING)]
        numbers = {row["site_id"]: row for row in miniature.embeddings}
        sites = defaultdict(list)
        described = {}
        for row in miniature.sites:
            described[row["well_id"]] = row
            if row["site_id"] in numbers:
                sites[row["well_id"]].append([float(numbers[row["site_id"]][name]) for name in self.features])
        self.wells = {well: [mean(column) for column in zip(*rows, strict=True)] for well, rows in sites.items()}
        controls = defaultdict(list)
        for well, row in described.items():
            if (row["cell_type"], row["disease_condition"], row["treatment"]) == ("HRCE", ACTIVE, ""):
                controls[row["experiment"], row["plate"]].append(self.wells[well])
        means = {plate: [mean(column) for column in zip(*rows, strict=True)] for plate, rows in controls.items()}
        differences = [
            [a - b for a, b in zip(row, means[plate], strict=True)] for plate, rows in controls.items() for row in rows
        ]
        spread = []
        for column in zip(*differences, strict=True):
            middle = median(column)
            spread.append(1.4826 * median([abs(value - middle) for value in column]))
        self.profiles = defaultdict(list)
        for well, row in described.items():
            molecule = Chem.MolFromSmiles(row["SMILES"].split(" ")[0]) if row["SMILES"] else None
            if row["cell_type"] != "HRCE" or row["disease_condition"] != ACTIVE or not row["treatment"]:
                continue
            if molecule is not None and row["treatment_conc"]:
                number = {"CCN": "M0001", "CCO": "M0002", "Oc1ccccc1": "M0003"}[Chem.MolToSmiles(molecule)]
                keys = {"experiment": row["experiment"], "molecule": number, "well": well}
                keys["dose"] = f"{float(row['treatment_conc'])}"
                plate = means[row["experiment"], row["plate"]]
                scaled = [(a - b) / c for a, b, c in zip(self.wells[well], plate, spread, strict=True)]
                self.profiles["_".join(keys[name] for name in by)].append(scaled)

    def values(self):
        """Profiles by id, clipped."""
        return {
            name: [min(max(mean(column), -1.5), 1.5) for column in zip(*rows, strict=True)]
            for name, rows in self.profiles.items()
        }


@pytest.mark.parametrize(
    ("profile", "by"), [("experiment", ("experiment", "molecule", "dose")), ("dose", ("molecule", "dose"))]
)
def test_view_is_that_of_plain_loops(tmp_path, miniature, profile, by):
    folder, literally = by_embeddings(tmp_path, miniature, profile=profile), Literally(miniature, by)
    values, features, ids = read_view(folder / "view1.parquet")
    assert features == literally.features and sorted(literally.profiles) == ids.tolist()
    np.testing.assert_allclose(values, [literally.values()[one] for one in ids], rtol=0, atol=2e-6)
    assert 0.02 < (np.abs(values) == 1.5).mean() < 0.9
    pairs = {row["id"]: row for row in read_pairs(folder / "pairs.parquet").to_pylist()}
    assert {name: row["meta_wells"] for name, row in pairs.items()} == {
        name: len(rows) for name, rows in literally.profiles.items()
    }


def test_wells_as_profiles_are_drawn_by_the_seed(tmp_path, miniature):
    folders = {seed: by_embeddings(tmp_path / str(seed), miniature, profile="wells", wells_per_molecule=2, seed=seed)
               for seed in (0, 1)}  # fmt: skip
    literally = Literally(miniature, ("well",)).values()
    ids = {}
    for seed, folder in folders.items():
        values, _, found = read_view(folder / "view1.parquet")
        np.testing.assert_allclose(values, [literally[one] for one in found], rtol=0, atol=2e-6)
        assert Counter(read_pairs(folder / "pairs.parquet")["group"].to_pylist()) == {
            "CCO": 2, "Oc1ccccc1": 2, "CCN": 2,
        }  # fmt: skip
        ids[seed] = found.tolist()
    assert ids[0] != ids[1]


def test_each_step_counts(curated):
    found = rows_after(curated)
    # Wells on a plate: 8 without a compound in infected HRCE, 18 with one; two more on the first.
    on_plates = 4 * 18 + 2
    expected = {
        "cells": 4 * 26 + 2, "condition": 4 * 21 + 2, "compounds": on_plates, "known structures": on_plates - 12,
        "parse SMILES": on_plates - 24, "canonical SMILES": on_plates - 24, "dose": on_plates - 25,
        "measured": on_plates - 25, "plate controls": on_plates - 25, "profiles": 2 * 3 * 3,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    chain = list(steps(curated).values())
    assert all(one[f"{what}_after"] == other[f"{what}_before"] for one, other in pairwise(chain)
               for what in ("rows", "molecules", "features"))  # fmt: skip
    assert int(chain[0]["rows_before"]) == 6 * 26 + 2
    drop = steps(curated)["drop features"]
    assert (drop["features_before"], drop["features_after"]) == ("16", "14")
    assert drop["reason"].endswith(f"somewhere: {CONSTANT}, {MISSING}")
    # Sites of HRCE wells that are not of the population, of Vero, and one that the metadata do not know.
    others = 4 * 4 * 5 + 4 * 4 * 6 + 4 + 2 * 4 * 26 + 1
    assert steps(curated)["measured"]["reason"] == (
        f"wells that the features name; {others} rows are of other wells, 0 hold no cells"
    )


def test_the_last_line_sets_the_counts_beside_the_papers_and_other_readings_are_counted(tmp_path, curated, miniature):
    last = list(steps(curated).values())[-1]
    assert (last["step"], last["reason"]) == (
        "compare with the paper",
        "18 profiles, the paper has 10,117 (-10,099); 3 molecules, the paper has 1,661 (-1,658)",
    )
    counts = {}
    for reading in ("dose", "wells"):
        counts[reading] = rows_after(by_embeddings(tmp_path / reading, miniature, profile=reading))
        number = counts[reading]["compare with the paper"]
        expected = f"would give {number} profiles ({number - 10117:+,} to the paper)"
        assert steps(curated)[f"other reading: {reading}"]["reason"] == expected
    assert counts["dose"]["profiles"] == 9 and counts["wells"]["cap profiles"] == 18


def test_it_is_a_paired_data_set_split_by_molecule_and_says_what_it_departs_in(curated, tmp_path):
    for file in curated.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    smiles = [row["smiles"] for row in read_table(curated / "molecules.parquet").to_pylist()]
    assert smiles == ["CCN", "CCO", "Oc1ccccc1"]
    train(smiles, tmp_path / "model.parquet", dimensions=4, epochs=1)
    write_molecule_view(tmp_path / "molecules.parquet", tmp_path / "model.parquet", tmp_path / "view2.parquet")
    write_splits(tmp_path / "pairs.parquet", tmp_path / "splits.parquet", kind="group_holdout")
    dataset = read_dataset(tmp_path)
    assert len(set(dataset.groups[dataset.pairs_in(0, "test")])) == 1
    info = table_info(read_pairs(curated / "pairs.parquet"))
    assert info["title"] == "RxRx19a (Recursion's embeddings, not CellProfiler: departs from the paper)"
    assert (info["stand_in"], info["profile"]) == (False, "experiment") and "CC BY 4.0" in info["licence"]


def test_the_order_of_the_files_and_the_size_of_blocks_do_not_matter(tmp_path, curated, miniature, monkeypatch):
    monkeypatch.setattr(feature_tables, "BLOCK_BYTES", 2000)
    rng = np.random.default_rng(5)
    shuffled = Miniature(
        *([rows[k] for k in rng.permutation(len(rows))] for rows in (miniature.sites, miniature.embeddings))
    )
    folder = by_embeddings(tmp_path, shuffled)
    for name in ("molecules.parquet", "pairs.parquet"):
        assert (folder / name).read_bytes() == (curated / name).read_bytes()
    # Sums of four numbers in another order.
    np.testing.assert_allclose(read_view(folder / "view1.parquet")[0], read_view(curated / "view1.parquet")[0],
                               atol=1e-6)  # fmt: skip


def test_plates_with_few_controls_and_wells_without_numbers_are_left_out(tmp_path, miniature):
    lost = {f"HRCE-1_1_AB0{k}_{site}" for k in (1, 2) for site in "1234"} | {f"HRCE-2_2_AB09_{s}" for s in "1234"}
    fewer = Miniature(miniature.sites, [row for row in miniature.embeddings if row["site_id"] not in lost])
    fewer.embeddings[-1] = {name: "" for name in fewer.embeddings[-1]} | {"site_id": "HRCE-2_2_AB09_1"}
    found = {}
    for least in (1, 2):
        folder = by_embeddings(tmp_path / str(least), fewer, minimum_controls=least)
        found[least] = rows_after(folder)
        assert "1 hold no cells" in steps(folder)["measured"]["reason"]
        plates = {one for joined in read_pairs(folder / "pairs.parquet")["meta_plates"].to_pylist()
                  for one in joined.split("+")}  # fmt: skip
        assert ("HRCE-1_1" in plates) == (least == 1)
    assert found[1]["measured"] == found[1]["dose"] - 1
    assert found[2]["plate controls"] == found[2]["measured"] - 13


@pytest.mark.parametrize(
    ("profile", "nuisances"),
    [
        ("experiment", {"batch": {"HRCE-1", "HRCE-2"}}),
        ("dose", {}),
        ("wells", {"batch": {"HRCE-1", "HRCE-2"}, "plate": {"HRCE-1_1", "HRCE-1_2", "HRCE-2_1", "HRCE-2_2"}}),
    ],
)
def test_only_a_single_plate_or_experiment_is_a_nuisance(tmp_path, miniature, profile, nuisances):
    pairs = read_pairs(by_embeddings(tmp_path, miniature, profile=profile) / "pairs.parquet").to_pandas()
    meta = {name[5:]: values.to_numpy() for name, values in pairs.items() if name.startswith("meta_")}
    dataset = SimpleNamespace(meta=meta, ids=pairs["id"].to_numpy())
    found = {target.name: set(target.values) for target in find_targets(dataset) if target.kind == "nuisance"}
    assert found == nuisances
    for target in find_targets(dataset):
        if target.name in nuisances:
            assert blind_accuracy(target.values, strata(dataset)) == 1 / len(nuisances[target.name]), "chance"


def test_groups_by_skeleton_hold_stereo_forms_together(tmp_path, miniature):
    forms = {"ethanol": "C[C@H](N)O", "alcohol": "C[C@H](N)O", "amine": "C[C@@H](N)O"}
    sites = [row | {"SMILES": forms.get(row["treatment"], row["SMILES"])} for row in miniature.sites]
    found = {}
    for group in ("molecule", "skeleton"):
        folder = by_embeddings(tmp_path / group, Miniature(sites, miniature.embeddings), group=group)
        pairs = read_pairs(folder / "pairs.parquet")
        found[group] = len(set(pairs["group"].to_pylist())), len(set(pairs["view2"].to_pylist()))
    assert found == {"molecule": (3, 3), "skeleton": (2, 3)}


@pytest.mark.parametrize("group", ["molecule", "skeleton"])
@pytest.mark.parametrize("profile", ["experiment", "dose", "wells"])
def test_ids_can_be_names_of_files_and_name_the_molecule(tmp_path, miniature, profile, group):
    # A double bond that is marked by slashes, a long molecule, and an atom without an InChIKey, first by its SMILES.
    structures = {"ethanol": r"C/C=C/C", "phenol": "C" * 150, "alcohol": "*"}
    sites = [row | {"SMILES": structures.get(row["treatment"], row["SMILES"])} for row in miniature.sites]
    odd = Miniature(sites, miniature.embeddings)
    folder = by_embeddings(tmp_path, odd, profile=profile, group=group)
    pairs = read_pairs(folder / "pairs.parquet").to_pylist()
    assert all(row["group"] for row in pairs)
    assert len({row["view2"] for row in pairs}) == (3 if group == "skeleton" else 4)
    assert not [row["id"] for row in pairs if "/" in row["id"] or len(row["id"]) > 100]
    if profile != "wells":
        assert all(row["view2"] in row["id"].split("_") for row in pairs)


# A table of one's own


@pytest.mark.parametrize("name", ["profiles.parquet", "profiles.csv", "profiles.csv.gz", "profiles.zip"])
def test_a_table_in_every_form(tmp_path, miniature, name):
    parquet = write_profiles(tmp_path / "profiles.parquet", miniature)
    content = text(read_table(parquet).to_pylist())
    packed = {".gz": gzip.compress, ".zip": lambda content: pack(content, "profiles.csv"), ".csv": bytes}
    table = tmp_path / name
    if table != parquet:
        table.write_bytes(packed[table.suffix](content))
    folder = by_table(tmp_path, miniature, table)
    values, features, ids = read_view(folder / "view1.parquet")
    assert features == [f"{part}_AreaShape_{k}" for k in range(12) for part in [("Cells", "", "Nuclei")[k % 3]] if part]
    assert len(ids) == 18 and table_info(read_pairs(folder / "pairs.parquet"))["title"] == (
        "RxRx19a (CellProfiler features of a given table)"
    )
    reference = by_table(tmp_path / "again", miniature, parquet)
    np.testing.assert_allclose(values, read_view(reference / "view1.parquet")[0], atol=1e-6)


def test_plates_may_be_a_table_each(tmp_path, miniature):
    whole = write_profiles(tmp_path / "whole.parquet", miniature)
    rows = read_table(whole).to_pylist()
    files = write_published(tmp_path / "raw", miniature)
    files["features"] = []
    for plate in ("HRCE-1", "HRCE-2", "VERO-1"):
        one = tmp_path / f"{plate}.csv"
        one.write_bytes(text([row for row in rows if row["Metadata_experiment"] == plate]))
        files["features"].append(one)
    curate(files, tmp_path / "parts", name="rxrx19a_file", route="file", **CHOICES | {"table": TABLE})
    folders = (tmp_path / "parts", by_table(tmp_path, miniature, whole))
    values = [read_view(folder / "view1.parquet")[0] for folder in folders]
    np.testing.assert_allclose(*values, atol=1e-6)


# Mistakes: one sentence each


def refused(make, *arguments, **choices) -> str:
    with pytest.raises(InputError) as error:
        make(*arguments, **choices)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("column", ["site_id", "cell_type", "plate", "disease_condition", "treatment_conc"])
def test_a_column_of_the_metadata_that_is_missing(tmp_path, miniature, column):
    sites = [{name: value for name, value in row.items() if name != column} for row in miniature.sites]
    said = refused(by_embeddings, tmp_path, Miniature(sites, miniature.embeddings))
    assert f"RxRx19a-metadata.zip: column {column}: is missing; use the metadata as published in August 2020" in said
    assert not (tmp_path / "data").exists()


def test_the_release_without_smiles(tmp_path, miniature):
    sites = [{name: value for name, value in row.items() if name != "SMILES"} for row in miniature.sites]
    said = refused(by_embeddings, tmp_path, Miniature(sites, miniature.embeddings))
    assert (
        "column SMILES: is missing, as in the release of April 2020" in said and "fetch the release of August" in said
    )


def test_metadata_that_contradict_themselves(tmp_path, miniature):
    def said(*sites):
        return refused(by_embeddings, tmp_path, Miniature([*miniature.sites, *sites], miniature.embeddings))

    last, count = miniature.sites[-1], len(miniature.sites)
    assert f'column site_id, rows {count - 1} and {count}: "{last["site_id"]}" appears twice' in said(last)
    other = last | {"site_id": "x", "treatment": "phenol"}
    assert f"well {last['well_id']}: its sites are described differently; use the metadata as" in said(other)
    assert f"column plate, row {count}: is empty; use" in said(last | {"site_id": "x", "plate": ""})


def damage(content: bytes, how: str) -> bytes:
    half = len(content) // 2
    return {
        "cut short": content[:half],
        "one byte": content[:half] + bytes([content[half] ^ 0x55]) + content[half + 1 :],
        "web page": b"<!DOCTYPE html><html>sorry</html>",
        "empty": b"",
    }[how]


@pytest.mark.parametrize("what", ["metadata", "features"])
@pytest.mark.parametrize("how", ["cut short", "one byte", "web page", "empty"])
def test_a_damaged_archive(tmp_path, miniature, what, how):
    files = write_published(tmp_path, miniature)
    files[what].write_bytes(damage(files[what].read_bytes(), how))
    said = refused(curate, files, tmp_path / "data", name="rxrx19a", route="embeddings", **CHOICES)
    kind = {"metadata": "a zip with metadata.csv", "features": "a table"}[what]
    assert said.startswith(f"{files[what]}: cannot be read as {kind} (") and "; delete it and run again" in said
    assert not (tmp_path / "data").exists()


def embeddings_refused(tmp_path, miniature, content: bytes) -> str:
    files = write_published(tmp_path, miniature)
    files["features"].write_bytes(pack(content, "embeddings.csv"))
    said = refused(curate, files, tmp_path / "data", name="rxrx19a", route="embeddings", **CHOICES)
    assert said.startswith(str(files["features"])) and not (tmp_path / "data").exists()
    return said


def test_embeddings_of_another_form(tmp_path, miniature):
    whole = text(miniature.embeddings)
    said = embeddings_refused(tmp_path, miniature, whole + b"HRCE-1_1_X,1,2\n")
    assert "cannot be read as a table (" in said and "Expected 17 columns, got 3" in said
    said = embeddings_refused(tmp_path, miniature, whole.replace(b"site_id", b"site", 1))
    assert "column site_id: is missing; name the columns" in said and "(found: site, feature_0" in said
    said = embeddings_refused(tmp_path, miniature, whole.replace(b"feature_1,", b"feature_0,", 1))
    assert "column feature_0: is there twice" in said
    said = embeddings_refused(tmp_path, miniature, whole.replace(b"0.1", b"ten", 1))
    assert "conversion error" in said
    said = embeddings_refused(tmp_path, miniature, whole + whole.splitlines()[5] + b"\n")
    assert f'key site_id: "{miniature.embeddings[4]["site_id"]}" appears twice' in said
    said = embeddings_refused(tmp_path, miniature, whole.replace(b"HRCE-", b"X").replace(b"VERO-", b"Y"))
    assert 'names no well of the metadata (its first row is "X1_1_AB01_2", a well is "HRCE-1_1_' in said
    said = embeddings_refused(tmp_path, miniature, b"site_id\nHRCE-1_1_AB01_2\n")
    assert "has no column; correct it (found: site_id)" in said
    said = embeddings_refused(tmp_path, miniature, b"")
    assert "column site_id: is missing" in said


def test_archives_that_lack_their_file_or_are_not_there(tmp_path, miniature):
    files = write_published(tmp_path, miniature)
    files["metadata"].write_bytes(pack(b"", "readme.txt"))
    said = refused(curate, files, tmp_path / "data", name="rxrx19a", route="embeddings", **CHOICES)
    assert "RxRx19a-metadata.zip: has no files *metadata.csv (found: RxRx19a/, " in said
    files["metadata"].unlink()
    said = refused(curate, files, tmp_path / "data", name="rxrx19a", route="embeddings", **CHOICES)
    assert "RxRx19a-metadata.zip: no such file; make it first" in said


def test_a_table_that_lacks_a_key_or_has_other_wells(tmp_path, miniature):
    table = write_profiles(tmp_path / "profiles.parquet", miniature, without="Metadata_well")
    said = refused(by_table, tmp_path, miniature, table)
    assert "profiles.parquet: column Metadata_well: is missing; name the columns that say which well a row is" in said
    table = write_profiles(tmp_path / "profiles.parquet", miniature)
    said = refused(by_table, tmp_path, miniature, table, table=TABLE | {"prefixes": ["Image_X", "Nucleus"]})
    assert "profiles.parquet: has no column that begins with Image_X, Nucleus; correct it" in said
    said = refused(
        by_table, tmp_path, miniature, table, table=TABLE | {"key": ["Metadata_experiment", "Metadata_well"]}
    )
    assert (
        'key Metadata_experiment Metadata_well: names no well of the metadata (its first row is "HRCE-1_AB01"' in said
    )
    texts = {"prefixes": ["Metadata_experiment", "Cells_"], "key": ["Metadata_plate", "Metadata_well"]}
    said = refused(by_table, tmp_path, miniature, table, table=texts)
    assert "profiles.parquet: cannot be read as a table (Failed to parse string: '" in said
    table.unlink()
    assert "profiles.parquet: no such file" in refused(by_table, tmp_path, miniature, table)
    write_profiles(table, miniature).write_bytes(b"<html>")
    assert "profiles.parquet: cannot be read as a table (" in refused(by_table, tmp_path, miniature, table)


def test_no_row_and_no_feature_is_left(tmp_path, miniature):
    sites = [row | {"disease_condition": MOCK} for row in miniature.sites]
    said = refused(by_embeddings, tmp_path, Miniature(sites, miniature.embeddings))
    assert "RxRx19a-metadata.zip: no row is left after the step condition (wells with Active SARS-CoV-2)" in said
    flat = [{name: value if name == "site_id" else "1" for name, value in row.items()} for row in miniature.embeddings]
    said = refused(by_embeddings, tmp_path, Miniature(miniature.sites, flat))
    assert "embeddings.zip: none of 16 features is measured in all wells and differs between control wells" in said
    said = refused(by_embeddings, tmp_path, miniature, minimum_controls=4)
    assert "plates with at least 4 untreated infected wells" in said


def test_every_compound_of_the_miniature_plays_its_part():
    assert [Chem.MolFromSmiles(smiles.split(" ")[0]) is not None for smiles in COMPOUNDS.values()].count(False) == 1
