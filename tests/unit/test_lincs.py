"""Curation of LINCS by both routes: counts and values beside plain loops, choices, one sentence for each mistake."""

from __future__ import annotations

import csv
import gzip
import pickle
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from miniatures_lincs import LANDMARKS, draw, members, tsv, write_archive, write_gctx, write_geo
from rdkit import Chem

from disentangledssl.dataset import read_dataset, read_pairs, read_view
from disentangledssl.errors import InputError
from disentangledssl.files import read_table, table_info
from disentangledssl.mol2vec import train, write_molecule_view
from disentangledssl.sources.gctx import MATRIX, WELLS
from disentangledssl.sources.lincs import LINES, at_dose, curate, in_every_line, subtract_controls, write_overlap
from disentangledssl.splits import write_splits

CHOICES = {
    "hours": [24], "dose": "molecule", "minimum_controls": 1, "replicates": 3, "clip": 1.5, "group": "molecule",
    "seed": 0,
}  # fmt: skip
UNKNOWN = ("-666", "1.0|2.0")


@pytest.fixture(scope="module")
def miniature():
    return draw()


def by_geo(folder: Path, miniature, **choices) -> Path:
    """Curate from GEO's files; returns the folder of the data set."""
    files = write_geo(folder / "raw", miniature)
    curate(files, folder / "data", name="lincs", route="geo", **CHOICES | choices)
    return folder / "data"


def by_archive(folder: Path, contents, **choices) -> Path:
    archive = write_archive(folder / "infocore.zip", contents)
    curate({"archive": archive}, folder / "data", name="lincs_curated", route="curated", **CHOICES | choices)
    return folder / "data"


def steps(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "curation.csv").open(encoding="utf-8") as lines:
        return {line["step"]: line for line in csv.DictReader(lines)}


def counts(step: dict[str, str]) -> tuple[int, int]:
    return int(step["rows_after"]), int(step["molecules_after"])


@pytest.fixture(scope="module")
def geo(tmp_path_factory, miniature) -> Path:
    return by_geo(tmp_path_factory.mktemp("geo"), miniature)


@pytest.fixture(scope="module")
def curated(tmp_path_factory, miniature) -> Path:
    return by_archive(tmp_path_factory.mktemp("curated"), members(miniature))


# The same by plain loops


class Literally:
    """The curation of the miniature as downloads.md tells it, well by well."""

    def __init__(self, miniature, hours=("24",), one_dose=True):
        self.miniature, self.steps = miniature, {}
        structure = {row["pert_id"]: row["canonical_smiles"] for row in miniature.compounds}
        wells = [dict(row) for row in miniature.wells]
        for well in wells:
            well["smiles"] = structure.get(well["pert_id"])
        wells = self.step("compounds", [well for well in wells if well["pert_type"] == "trt_cp"])
        wells = self.step("cell lines", [well for well in wells if well["cell_id"] in LINES])
        known = [well for well in wells if well["smiles"] not in (None, "-666", "restricted")]
        wells = self.step("known structures", known)
        wells = self.step("parse SMILES", [well for well in wells if Chem.MolFromSmiles(well["smiles"])])
        for well in wells:
            well["smiles"] = Chem.MolToSmiles(Chem.MolFromSmiles(well["smiles"]))
        self.step("canonical SMILES", wells)
        wells = self.step("plate controls", [well for well in wells if self.vehicles(well["rna_plate"])])
        wells = self.step("time", [well for well in wells if well["pert_time"] in hours])
        if one_dose:
            wells = [well for well in wells if self.dose(well) == self.usual(wells, well["smiles"])]
        wells = self.step("dose", wells)
        lines = defaultdict(set)
        for well in wells:
            lines[well["smiles"]].add(well["cell_id"])
        self.wells = self.step("every line", [well for well in wells if len(lines[well["smiles"]]) == 9])
        self.slots = Counter((well["smiles"], well["cell_id"]) for well in self.wells)

    def step(self, name, wells):
        self.steps[name] = (len(wells), len({well["smiles"] for well in wells} - {None, "-666"}))
        return wells

    def vehicles(self, plate):
        rows = self.miniature.wells
        return [r["inst_id"] for r in rows if r["pert_type"] == "ctl_vehicle" and r["rna_plate"] == plate]

    def dose(self, well):
        """Dose in uM with two digits, None if it is not known."""
        if well["pert_dose"] in UNKNOWN:
            return None
        dose = float(well["pert_dose"]) / (1000 if well["pert_dose_unit"] == "nM" else 1)
        return round(dose, 0 if dose >= 10 else 1)

    def usual(self, wells, smiles):
        """The most frequent dose of a molecule, or that nearest 10 uM of several such, or the lower of two."""
        found = Counter(self.dose(well) for well in wells if well["smiles"] == smiles)
        del found[None]
        most = [dose for dose, count in found.items() if count == max(found.values())]
        nearest = min(abs(dose - 10) for dose in most)
        return min(dose for dose in most if abs(dose - 10) == nearest)

    def difference(self, well, gene):
        """Clipped difference of a well's expression to the mean of the vehicles of its plate."""
        expression = self.miniature.expression
        control = [expression[one][gene] for one in self.vehicles(well.split(":")[0])]
        return min(max(expression[well][gene] - sum(control) / len(control), -1.5), 1.5)

    def drawn(self, seed, most=3):
        """Ids of the wells that are kept of each molecule and line: those drawn first, all being in order of id."""
        ordered = sorted(self.wells, key=lambda well: well["inst_id"])
        draws = np.random.default_rng(seed).permutation(len(ordered))
        slots = defaultdict(list)
        for draw_, well in zip(draws, ordered, strict=True):
            slots[well["smiles"], well["cell_id"]].append((draw_, well["inst_id"]))
        return sorted(name for slot in slots.values() for _, name in sorted(slot)[:most])


def test_each_step_counts_what_plain_loops_count(geo, miniature):
    literally, found = Literally(miniature), steps(geo)
    assert {name: counts(found[name]) for name in literally.steps} == literally.steps
    assert counts(found["cap profiles"]) == (sum(min(3, n) for n in literally.slots.values()), 4)
    chain = list(found.values())
    assert all(one[f"{what}_after"] == other[f"{what}_before"] for one, other in pairwise(chain)
               for what in ("rows", "molecules", "features"))  # fmt: skip
    assert int(chain[0]["rows_before"]) == len(miniature.wells)
    assert found["parse SMILES"]["reason"].endswith('cannot parse: 1 of 7 compounds: BRD-K00000005 ("C1CC")')
    assert (found["measure landmark genes"]["features_before"], chain[-1]["features_after"]) == ("0", "6")


def test_the_last_line_sets_the_counts_beside_the_papers(geo, curated):
    for folder in (geo, curated):
        last = list(steps(folder).values())[-1]
        rows = int(last["rows_after"])
        expected = (
            f"{rows:,} profiles, the paper has 86,833 ({rows - 86833:+,}); 4 molecules, the paper has 3,315 (-3,311)"
        )
        assert (last["step"], last["reason"]) == ("compare with the paper", expected)


def test_every_other_reading_is_counted(geo, miniature):
    """What each would give is what curating by it gives."""
    found = steps(geo)
    for hours, times in (((24,), "24"), ((6, 24), "6 and 24")):
        for one_dose, rule in ((True, "molecule"), (False, "all")):
            literally = Literally(miniature, [str(hour) for hour in hours], one_dose)
            profiles, molecules = sum(min(3, n) for n in literally.slots.values()), literally.steps["every line"][1]
            if (times, rule) == ("24", "molecule"):
                assert (profiles, molecules) == counts(found["cap profiles"])
            else:
                reason = found[f"other reading: {times} h, dose {rule}"]["reason"]
                assert reason.startswith(f"would give {profiles} profiles, {molecules} molecules (-86,7")
    assert sum(name.startswith("other reading") for name in found) == 5


def test_view_and_pairs_are_those_of_plain_loops(geo, miniature):
    literally = Literally(miniature)
    values, genes, ids = read_view(geo / "view1.parquet")
    assert ids.tolist() == literally.drawn(seed=0) and genes == LANDMARKS
    expected = [[literally.difference(well, gene) for gene in genes] for well in ids]
    np.testing.assert_allclose(values, expected, rtol=0, atol=2e-6)
    assert 0 < (np.abs(values) == 1.5).mean() < 1
    pairs = read_pairs(geo / "pairs.parquet").to_pylist()
    molecules = {row["id"]: row["smiles"] for row in read_table(geo / "molecules.parquet").to_pylist()}
    rows = {row["inst_id"]: row for row in literally.wells}
    for pair in pairs:
        row = rows[pair["id"]]
        assert molecules[pair["view2"]] == pair["group"] == row["smiles"]
        assert (pair["meta_cell_line"], pair["meta_plate"]) == (row["cell_id"], row["rna_plate"])
        assert (pair["meta_time_h"], pair["meta_lincs_pert_id"]) == (24, row["pert_id"])
        assert round(pair["meta_dose_um"], 0 if pair["meta_dose_um"] > 9 else 1) == literally.dose(row)
        plate = row["rna_plate"]
        assert pair["meta_replicate"] == ("unknown" if "_X" not in plate else plate.split("_")[3])
    info = table_info(read_pairs(geo / "pairs.parquet"))
    assert [info["classes"]["cell_line"][pair["y_cell_line"]] for pair in pairs] == [p["meta_cell_line"] for p in pairs]
    assert (info["title"], info["stand_in"], info["hours"]) == ("LINCS L1000 (GSE92742)", False, [24])
    assert "GSE92742" in info["source"] and "Subramanian" in info["licence"]


def test_ids_can_be_names_of_files(geo, curated):
    for folder in (geo, curated):
        ids = read_pairs(folder / "pairs.parquet")["id"].to_pylist()
        assert not [one for one in ids if "/" in one or len(one) > 100]


def test_it_is_a_paired_data_set_split_by_molecule(geo, tmp_path):
    for file in geo.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    train([row["smiles"] for row in read_table(geo / "molecules.parquet").to_pylist()], tmp_path / "model.parquet",
          dimensions=4, epochs=1)  # fmt: skip
    write_molecule_view(tmp_path / "molecules.parquet", tmp_path / "model.parquet", tmp_path / "view2.parquet")
    write_splits(tmp_path / "pairs.parquet", tmp_path / "splits.parquet", kind="group_holdout")
    dataset = read_dataset(tmp_path)
    assert len(set(dataset.groups[dataset.pairs_in(0, "test")])) == 4 - int(0.8 * 4)


# Order, draws and choices


def test_the_order_of_the_files_does_not_matter(tmp_path, geo, miniature):
    rng = np.random.default_rng(5)
    shuffled = type(miniature)(
        *([rows[k] for k in rng.permutation(len(rows))] for rows in (miniature.wells, miniature.compounds)),
        miniature.genes, miniature.expression,
    )  # fmt: skip
    files = write_geo(tmp_path / "raw", shuffled)
    write_gctx(files["expression"], shuffled, seed=9, chunks=(13, 20), compression="gzip")
    curate(files, tmp_path / "data", name="lincs", route="geo", **CHOICES)
    for name in ("view1.parquet", "molecules.parquet", "pairs.parquet"):
        assert (tmp_path / "data" / name).read_bytes() == (geo / name).read_bytes()


@pytest.mark.parametrize(("seed", "most"), [(1, 3), (0, 1)])
def test_replicates_are_drawn_by_the_seed(tmp_path, miniature, seed, most):
    folder = by_geo(tmp_path, miniature, seed=seed, replicates=most)
    ids = read_view(folder / "view1.parquet")[2].tolist()
    literally = Literally(miniature)
    assert ids == literally.drawn(seed, most) and (most == 1 or ids != literally.drawn(0))


def test_plates_with_few_controls_are_left_out(tmp_path, miniature):
    alone = "CPC001_A375_24H_X2_B1"
    wells = [row for row in miniature.wells if row["inst_id"] != f"{alone}:A01"]
    fewer = type(miniature)(wells, miniature.compounds, miniature.genes, miniature.expression)
    plates = {n: set(read_pairs(by_geo(tmp_path / str(n), fewer, minimum_controls=n) / "pairs.parquet")["meta_plate"]
                     .to_pylist()) for n in (1, 2)}  # fmt: skip
    assert plates[1] - plates[2] == {alone}
    # The one well that is left is the control.
    values, _, ids = read_view(tmp_path / "1" / "data" / "view1.parquet")
    row = next(k for k, well in enumerate(ids) if well.startswith(alone))
    expected = [np.clip(miniature.expression[ids[row]][gene] - miniature.expression[f"{alone}:A02"][gene], -1.5, 1.5)
                for gene in LANDMARKS]  # fmt: skip
    np.testing.assert_allclose(values[row], expected, atol=2e-6)


def test_groups_by_skeleton_hold_stereo_forms_together(tmp_path, miniature):
    forms = dict(zip(("BRD-K00000001", "BRD-K00000008"), ("C[C@H](N)O", "C[C@@H](N)O"), strict=True))
    compounds = [row | {"canonical_smiles": forms.get(row["pert_id"], row["canonical_smiles"])}
                 for row in miniature.compounds]  # fmt: skip
    other = type(miniature)(miniature.wells, compounds, miniature.genes, miniature.expression)
    found = {}
    for group in ("molecule", "skeleton"):
        pairs = read_pairs(by_geo(tmp_path / group, other, group=group) / "pairs.parquet")
        found[group] = len(set(pairs["group"].to_pylist())), len(set(pairs["view2"].to_pylist()))
    assert found == {"molecule": (4, 4), "skeleton": (3, 4)}


def test_one_dose_of_a_molecule_or_of_each_line():
    rows = pd.DataFrame(
        [("C", "A", 10), ("C", "A", 9.96), ("C", "A", 1), ("C", "B", 1), ("C", "B", 1.04), ("C", "B", 10),
         ("C", "B", 1), ("N", "A", np.nan), ("N", "B", 0.1), ("O", "A", np.nan)],
        columns=["smiles", "cell_id", "dose_um"],
    )  # fmt: skip
    assert rows.index[at_dose(rows, "molecule")].tolist() == [2, 3, 4, 6, 8]
    assert rows.index[at_dose(rows, "line")].tolist() == [0, 1, 3, 4, 6, 8]
    assert at_dose(rows, "all").all()


def test_every_line_means_each_of_the_nine():
    rows = pd.DataFrame([("C", line) for line in LINES] + [("N", line) for line in LINES[1:]] * 2,
                        columns=["smiles", "cell_id"])  # fmt: skip
    assert in_every_line(rows).tolist() == [True] * 9 + [False] * 16


def test_controls_are_subtracted_plate_by_plate():
    values = np.array([[1, 9], [2, 2], [0, 1]], np.float32)
    controls = {"a": np.array([1.0, 1.0]), "b": np.array([2.0, 0.0])}
    assert subtract_controls(values, pd.Series(["a", "b", "a"]), controls, 1.5) == 2 / 6
    np.testing.assert_array_equal(values, [[0, 1.5], [0, 1.5], [-1, 0]])


# The archive


def test_the_archive_by_plain_loops(curated, miniature):
    contents = members(miniature)
    structures, controls = contents["id_smiles"], contents["ctl_dict1_mean.pkl"]
    smiles, slots = {}, defaultdict(list)
    for well in contents["sel_keys_dosesubset.npy"].tolist():
        entry = contents["inst_info_drug.pkl"][well]
        molecule = Chem.MolFromSmiles(structures.get(entry[2], "-666").replace("restricted", "-666"))
        if entry[9] in LINES and molecule is not None:
            smiles[well] = Chem.MolToSmiles(molecule)
            slots[smiles[well], entry[9]].append(well)
    complete = [one for one in set(smiles.values()) if all((one, line) in slots for line in LINES)]
    expected = {slot: min(3, len(wells)) for slot, wells in slots.items() if slot[0] in complete}
    values, genes, ids = read_view(curated / "view1.parquet")
    pairs = read_pairs(curated / "pairs.parquet").to_pylist()
    assert Counter((pair["group"], pair["meta_cell_line"]) for pair in pairs) == expected
    assert genes == [f"landmark_{k:03d}" for k in range(6)]
    for well, row in zip(ids, values, strict=True):
        entry = contents["inst_info_drug.pkl"][well]
        np.testing.assert_allclose(row, np.clip(entry[-1] - controls[entry[0]], -1.5, 1.5), atol=1e-6)
    assert all({"meta_plate", "meta_replicate"} <= set(pair) and "meta_dose_um" not in pair for pair in pairs)
    assert "Wang et al. 2023" in table_info(read_pairs(curated / "pairs.parquet"))["title"]


def test_only_compounds_with_a_mol2vec_vector_and_plates_with_a_control(tmp_path, miniature):
    contents = members(miniature)
    del contents["mol2vec_mol_repr_dict.pkl"]["OCC"], contents["ctl_dict1_mean.pkl"]["CPC001_A375_24H_X1_B1"]
    pairs = read_pairs(by_archive(tmp_path, contents) / "pairs.parquet")
    assert "CCO" not in pairs["group"].to_pylist()
    assert "CPC001_A375_24H_X1_B1" not in pairs["meta_plate"].to_pylist()


def test_both_routes_agree_on_the_wells_that_they_share(geo, curated, tmp_path):
    write_overlap(geo, curated, tmp_path / "overlap.csv")
    ids = [set(read_view(folder / "view1.parquet")[2].tolist()) for folder in (geo, curated)]
    with (tmp_path / "overlap.csv").open(newline="") as lines:
        molecules, wells = csv.DictReader(lines)
    assert molecules == {"what": "molecules", "first": "lincs", "second": "lincs_curated", "in_first": "4",
                         "in_second": "4", "in_both": "4"}  # fmt: skip
    assert [int(wells[name]) for name in ("in_first", "in_second", "in_both")] == [*map(len, ids), len(ids[0] & ids[1])]
    both = sorted(ids[0] & ids[1])
    values = [dict(zip(view[2].tolist(), view[0], strict=True))
              for view in (read_view(folder / "view1.parquet") for folder in (geo, curated))]  # fmt: skip
    assert len(both) > 20
    np.testing.assert_allclose([values[0][one] for one in both], [values[1][one] for one in both], atol=2e-6)


# Mistakes: one sentence each


def refused(make, *arguments, **choices) -> str:
    with pytest.raises(InputError) as error:
        make(*arguments, **choices)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("column", ["inst_id", "rna_plate", "cell_id", "pert_dose", "pert_time_unit"])
def test_a_column_that_is_missing(tmp_path, miniature, column):
    files = write_geo(tmp_path, miniature)
    files["wells"].write_bytes(tsv([{k: v for k, v in row.items() if k != column} for row in miniature.wells]))
    said = refused(curate, files, tmp_path / "data", name="lincs", route="geo", **CHOICES)
    assert f"inst_info.txt.gz: column {column}: is missing; use the table as GEO gives it (found: " in said
    assert not (tmp_path / "data").exists()


def damage(content: bytes, how: str) -> bytes:
    half = len(content) // 2
    return {
        "cut short": content[:half],
        "one byte": content[:half] + bytes([content[half] ^ 0x55]) + content[half + 1 :],
        "web page": b"<html>sorry</html>",
        "ragged": gzip.compress(gzip.decompress(content) + b"one\ttwo\n"),
        "empty": gzip.compress(b""),
    }[how]


@pytest.mark.parametrize("table", ["wells", "compounds", "genes"])
@pytest.mark.parametrize("how", ["cut short", "one byte", "web page", "ragged", "empty"])
def test_a_damaged_table(tmp_path, miniature, table, how):
    files = write_geo(tmp_path, miniature)
    files[table].write_bytes(damage(files[table].read_bytes(), how))
    said = refused(curate, files, tmp_path / "data", name="lincs", route="geo", **CHOICES)
    assert (
        said.startswith(f"{files[table]}: cannot be read as a gzipped table (") and "; delete it and run again" in said
    )
    assert not (tmp_path / "data").exists()


def test_a_table_that_is_not_there(tmp_path, miniature):
    files = write_geo(tmp_path, miniature)
    files["genes"].unlink()
    said = refused(curate, files, tmp_path / "data", name="lincs", route="geo", **CHOICES)
    assert "gene_info.txt.gz: no such file; make it first" in said


def test_a_well_twice(tmp_path, miniature):
    wells = [*miniature.wells, miniature.wells[7]]
    twice = type(miniature)(wells, miniature.compounds, miniature.genes, miniature.expression)
    said = refused(by_geo, tmp_path, twice)
    name = miniature.wells[7]["inst_id"]
    assert f'inst_info.txt.gz: column inst_id, rows 7 and {len(wells) - 1}: "{name}" appears twice; keep one' in said


def test_a_compound_twice_and_one_without_a_name(tmp_path, miniature):
    files = write_geo(tmp_path, miniature)
    files["compounds"].write_bytes(tsv([*miniature.compounds, miniature.compounds[0]]))
    said = refused(curate, files, tmp_path / "data", name="lincs", route="geo", **CHOICES)
    assert 'pert_info.txt.gz: column pert_id, rows 0 and 9: "BRD-K00000001" appears twice' in said
    files["compounds"].write_bytes(tsv([*miniature.compounds, miniature.compounds[0] | {"pert_id": "-666"}]))
    said = refused(curate, files, tmp_path / "data", name="lincs", route="geo", **CHOICES)
    assert "pert_info.txt.gz: column pert_id, row 9: is empty" in said


def test_no_landmark(tmp_path, miniature):
    files = write_geo(tmp_path, miniature)
    files["genes"].write_bytes(tsv([row | {"pr_is_lm": "0"} for row in miniature.genes]))
    said = refused(curate, files, tmp_path / "data", name="lincs", route="geo", **CHOICES)
    assert "gene_info.txt.gz: column pr_is_lm: marks no gene with 1" in said


def test_no_row_is_left(tmp_path, miniature):
    said = refused(by_geo, tmp_path, miniature, hours=[48])
    assert "inst_info.txt.gz: no row is left after the step time (wells at 48 h)" in said


def test_tables_and_matrix_of_different_series(tmp_path, miniature):
    files = write_geo(tmp_path, miniature)
    fewer = type(miniature)(miniature.wells[:-200], miniature.compounds, miniature.genes, miniature.expression)
    write_gctx(files["expression"], fewer)
    said = refused(curate, files, tmp_path / "data", name="lincs", route="geo", **CHOICES)
    assert f"{files['expression']}: {WELLS}: does not name wells that the tables list: " in said


def test_a_value_that_is_nan(tmp_path, geo, miniature):
    files = write_geo(tmp_path, miniature)
    well = read_view(geo / "view1.parquet")[2][3]
    with h5py.File(files["expression"], "r+") as file:
        genes = file["/0/META/ROW/id"][:].astype(str).tolist()
        file[MATRIX][file[WELLS][:].astype(str).tolist().index(well), genes.index("107")] = np.nan
    said = refused(curate, files, tmp_path / "data", name="lincs", route="geo", **CHOICES)
    assert f"{files['expression']}: well {well}, gene 107: is NaN; " in said
    assert not (tmp_path / "data").exists()


def test_a_hostile_pickle_is_not_run(tmp_path, monkeypatch, miniature):
    monkeypatch.chdir(tmp_path)
    hostile = b"\x80\x04cos\nmkdir\n\x8c\x04made\x85R."
    assert pickle.loads(hostile) is None and (tmp_path / "made").exists()
    (tmp_path / "made").rmdir()
    said = refused(by_archive, tmp_path, members(miniature) | {"ctl_dict1_mean.pkl": hostile})
    assert "infocore.zip: ctl_dict1_mean.pkl: is a pickle that asks for os.mkdir, which may run code; " in said
    assert not (tmp_path / "made").exists() and not (tmp_path / "data").exists()


def test_what_the_archive_lacks_or_holds_in_another_form(tmp_path, miniature):
    contents = members(miniature)

    def said(name, content):
        return refused(by_archive, tmp_path, contents | {name: content})

    without = {name: content for name, content in contents.items() if name != "id_smiles"}
    assert "infocore.zip: has no files training_LINCS/id_smiles" in refused(by_archive, tmp_path, without)
    assert "id_smiles: holds a list, not a filled dict" in said("id_smiles", ["CCO"])
    assert "id_smiles: holds a dict, not a filled dict" in said("id_smiles", {})
    assert "id_smiles: cannot be read as a pickle (" in said("id_smiles", pickle.dumps(contents["id_smiles"])[:-9])
    assert "sel_keys_dosesubset.npy: is no plain array (" in said("sel_keys_dosesubset.npy", np.array(["x", 1], object))
    well = "CPC001_A549_24H_X1_B1:A05"
    entry = contents["inst_info_drug.pkl"][well]
    other = contents["inst_info_drug.pkl"] | {well: entry[:3]}
    assert f"inst_info_drug.pkl, well {well}: holds no list of 10 or more" in said("inst_info_drug.pkl", other)
    other = contents["inst_info_drug.pkl"] | {well: [*entry[:-1], entry[-1] * np.nan]}
    assert f"inst_info_drug.pkl, {well}: holds NaN or infinity" in said("inst_info_drug.pkl", other)
    plate = "CPC001_A549_24H_X1_B1"
    other = contents["ctl_dict1_mean.pkl"] | {plate: np.zeros(7)}
    assert f"{plate}: holds float64 of shape (7,), not 6 numbers as others do" in said("ctl_dict1_mean.pkl", other)


def test_an_archive_that_is_cut_short(tmp_path, miniature):
    archive = write_archive(tmp_path / "infocore.zip", members(miniature))
    archive.write_bytes(archive.read_bytes()[:-100])
    said = refused(curate, {"archive": archive}, tmp_path / "data", name="lincs", route="curated", **CHOICES)
    assert "infocore.zip: is no whole zip file (" in said and not (tmp_path / "data").exists()
    archive.unlink()
    said = refused(curate, {"archive": archive}, tmp_path / "data", name="lincs", route="curated", **CHOICES)
    assert "infocore.zip: no such file" in said
