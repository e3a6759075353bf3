"""The bundled screens: what is in them, and what curation makes of them."""

from __future__ import annotations

import csv
import gzip
import hashlib
import logging
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from rdkit import Chem

from disentangledssl.dataset import read_dataset, read_pairs, read_view
from disentangledssl.errors import InputError
from disentangledssl.files import read_table, table_info, write_table
from disentangledssl.mol2vec import train, write_molecule_view
from disentangledssl.sources import curation
from disentangledssl.sources.screens import curate
from disentangledssl.splits import write_splits
from disentangledssl.structures import canonical_smiles

DATA = Path(__file__).parents[2] / "data"
CAP = {"lincs_consensus": None, "lincs_cells": None, "cell_injury": 24}
# rows, molecules, groups, features
SHAPE = {
    "lincs_consensus": (1075, 1075, 1075, 978),
    "lincs_cells": (1832, 292, 240, 978),
    "cell_injury": (3326, 143, 141, 340),
}


@pytest.fixture(scope="module")
def curated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("screens")
    for screen, cap in CAP.items():
        curate(screen, DATA / screen, folder / screen, wells_per_molecule=cap, seed=0)
    return folder


def steps(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "curation.csv").open(encoding="utf-8") as lines:
        return {line["step"]: line for line in csv.DictReader(lines)}


def rows(step: dict[str, str]) -> tuple[int, int]:
    return int(step["rows_before"]), int(step["rows_after"])


def test_bundled_files_are_those_of_the_list():
    lines = (DATA / "SHA256SUMS").read_text().splitlines()
    listed = dict(reversed(line.split("  ")) for line in lines)
    for folder in (*CAP, "lincs_meta", "paper"):
        files = {path for path in (DATA / folder).iterdir() if path.suffix != ".md"}
        assert files and {path.relative_to(DATA).as_posix() for path in files} <= set(listed)
    for name, digest in listed.items():
        assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == digest, name


def test_no_drugbank_id_is_bundled():
    drugbank = re.compile(r"\bDB\d{5}\b")
    for path in sorted(DATA.rglob("*")):
        if path.suffix == ".parquet":
            table = read_table(path)
            columns = [name for name in table.column_names if table.schema.field(name).type != pa.float32()]
            text = " ".join([*table.column_names, *(str(table[name].to_pylist()) for name in columns)])
        elif path.suffix == ".gz":
            text = gzip.decompress(path.read_bytes()).decode()
        elif path.suffix in {".csv", ".md", ".py"}:
            text = path.read_text(encoding="utf-8")
        else:
            continue
        assert not drugbank.search(text), path


def test_bundle_of_lincs_consensus():
    table = read_table(DATA / "lincs_consensus" / "profiles.parquet")
    assert table.num_rows == 1146 and table["id"].to_pylist()[0::1145] == ["LC0001", "LC1146"]
    assert Counter(table["smiles_source"].to_pylist()) == {"lincs_full_inchikey": 884, "lincs_skeleton": 262}
    first = dict(zip(reversed(table["molecule_group"].to_pylist()), reversed(table["id"].to_pylist()), strict=True))
    assert len(first) == 1075 and all(group == row for group, row in first.items())
    assert table["10007"][0].as_py() == pytest.approx(0.649)


def test_bundle_of_lincs_cells():
    table = read_table(DATA / "lincs_cells" / "profiles.parquet")
    assert table.num_rows == len(set(table["sig_id"].to_pylist())) == 1832
    assert len(set(table["cell_id"].to_pylist())) == 12
    row = table["sig_id"].to_pylist().index("CPC012_PHH_24H:BRD-K72238567-001-12-4:10")
    assert table["5720"][row].as_py() == pytest.approx(-0.0944, abs=1e-6)  # first column of the original
    for sig_id, pert_id, cell in zip(*(table[c].to_pylist() for c in ("sig_id", "pert_id", "cell_id")), strict=True):
        assert sig_id.split(":")[1].startswith(pert_id) and f"_{cell}_" in sig_id


def test_bundle_of_cell_injury():
    table = read_table(DATA / "cell_injury" / "profiles.parquet")
    described = {name: table[name].to_pylist() for name in table.column_names[:15]}
    assert table.num_rows == len(set(zip(described["plate"], described["well"], strict=True))) == 5967
    assert len(table.column_names) - 15 == 340 and len(set(described["plate"])) == 84
    assert all(table.schema.field(name).type == pa.float32() for name in table.column_names[15:])
    # The class of a compound and the injury type, which was a code in one file, tell the same.
    alike = {"Solvent control": "Control", "Proteosome": "Proteasome"}
    for named, injury in zip(described["compound_class"], described["injury_type"], strict=True):
        assert named == "CDRP-HC" or alike.get(named, named) == injury
    assert Counter(described["injury_type"])["Control"] == described["smiles"].count("CS(=O)C") == 1488


@pytest.mark.parametrize("screen", CAP)
def test_curated_screen_has_its_counts_and_its_contract(curated, screen):
    n_rows, n_molecules, n_groups, n_features = SHAPE[screen]
    pairs = read_pairs(curated / screen / "pairs.parquet")
    values, features, ids = read_view(curated / screen / "view1.parquet")
    assert values.shape == (n_rows, n_features) == (pairs.num_rows, len(features))
    assert ids.tolist() == pairs["view1"].to_pylist() == sorted(ids)
    molecules = read_table(curated / screen / "molecules.parquet")
    assert molecules.column_names == ["id", "smiles"]
    smiles = dict(zip(molecules["id"].to_pylist(), molecules["smiles"].to_pylist(), strict=True))
    assert len(smiles) == len(set(smiles.values())) == n_molecules
    assert all(canonical_smiles(text) == text for text in smiles.values())
    assert set(pairs["view2"].to_pylist()) == set(smiles)
    assert len(set(pairs["group"].to_pylist())) == n_groups
    # A skeleton in two groups would leak from training into the test.
    groups: dict[str, set[str]] = {}
    for molecule, group in zip(pairs["view2"].to_pylist(), pairs["group"].to_pylist(), strict=True):
        groups.setdefault(Chem.MolToInchiKey(Chem.MolFromSmiles(smiles[molecule]))[:14], set()).add(group)
    assert all(len(found) == 1 for found in groups.values())
    info = table_info(pairs)
    assert info["stand_in"] is True and "stand-in for" in info["title"] and info["licence"] and info["source"]


def test_every_row_that_went_is_accounted_for(curated):
    consensus, cells, injury = (steps(curated / screen) for screen in CAP)
    assert rows(consensus["one row a group"]) == (1146, 1075)
    assert {rows(step) for step in cells.values()} == {(1832, 1832)}
    assert rows(injury["drop solvent controls"]) == (5967, 5967 - 1488)
    assert rows(injury["drop missing features"]) == (4479, 4477)
    assert rows(injury["cap profiles"]) == (4477, 3326)
    for recorded in (consensus, cells, injury):
        chain = [rows(step) for step in recorded.values()]
        assert all(left[1] == right[0] for left, right in pairwise(chain))


def test_labels_and_descriptions(curated):
    pairs = read_pairs(curated / "cell_injury" / "pairs.parquet")
    classes = table_info(pairs)["classes"]["injury"]
    assert len(classes) == 14
    assert [classes[code] for code in pairs["y_injury"].to_pylist()] == pairs["meta_injury_type"].to_pylist()
    assert set(pairs["meta_time_h"].to_pylist()) == {24, 48}
    assert 0 < min(pairs["meta_dose_um"].to_pylist()) <= max(pairs["meta_dose_um"].to_pylist()) == 20
    assert max(Counter(pairs["view2"].to_pylist()).values()) == 24
    cells = read_pairs(curated / "lincs_cells" / "pairs.parquet")
    lines = table_info(cells)["classes"]["cell_line"]
    assert [lines[code] for code in cells["y_cell_line"].to_pylist()] == cells["meta_cell_line"].to_pylist()


@pytest.mark.parametrize("screen", CAP)
def test_ids_can_be_names_of_files(curated, screen):
    ids = read_pairs(curated / screen / "pairs.parquet")["id"].to_pylist()
    assert not [one for one in ids if "/" in one or len(one) > 100]


def test_values_are_those_of_the_bundle(curated):
    table = read_table(DATA / "cell_injury" / "profiles.parquet")
    wells = zip(table["plate"].to_pylist(), table["well"].to_pylist(), strict=True)
    place = {f"{plate}_{well}": row for row, (plate, well) in enumerate(wells)}
    values, features, ids = read_view(curated / "cell_injury" / "view1.parquet")
    expected = np.stack([table[name].to_numpy() for name in features], axis=1)[[place[name] for name in ids]]
    np.testing.assert_array_equal(values, expected)


def small(folder: Path, n_rows: int, order=None, smiles=None) -> Path:
    """The first wells of cell_injury with few features, re-ordered or with other SMILES."""
    table = read_table(DATA / "cell_injury" / "profiles.parquet").slice(0, n_rows)
    table = table.select(table.column_names[:20])
    if smiles:
        text = table["smiles"].to_pylist()
        for row, new in smiles.items():
            text[row] = new
        table = table.set_column(table.column_names.index("smiles"), "smiles", pa.array(text, pa.string()))
    write_table(folder / "profiles.parquet", table if order is None else table.take(order))
    return folder


def test_same_seed_same_bytes_whatever_the_order_of_the_file(tmp_path):
    a, b = small(tmp_path / "a", 700), small(tmp_path / "b", 700, np.random.default_rng(0).permutation(700))
    for source, out, seed in ((a, "one", 0), (a, "two", 0), (b, "three", 0), (a, "four", 1)):
        curate("cell_injury", source, tmp_path / out, wells_per_molecule=3, molecules=20, seed=seed)
    for name in ("view1.parquet", "molecules.parquet", "pairs.parquet"):
        one, two, three, four = ((tmp_path / out / name).read_bytes() for out in ("one", "two", "three", "four"))
        assert one == two == three != four
    pairs = read_pairs(tmp_path / "one" / "pairs.parquet")
    assert len(set(pairs["group"].to_pylist())) == 20
    assert max(Counter(pairs["view2"].to_pylist()).values()) == 3


def test_shuffled_pairs_are_the_only_pairs_ever_written(tmp_path, monkeypatch):
    source, written = small(tmp_path / "source", 700), []
    curate("cell_injury", source, tmp_path / "true", molecules=20, seed=3)

    def write(path, table, info=None):
        written.append(path.name)
        write_table(path, table, info)

    monkeypatch.setattr(curation, "write_table", write)
    curate("cell_injury", source, tmp_path / "null", molecules=20, seed=3, shuffled=True)
    assert written.count("pairs.parquet") == 1
    true, null = (read_pairs(tmp_path / name / "pairs.parquet") for name in ("true", "null"))
    same = [name for name in true.column_names if name not in ("view2", "group")]
    assert null.select(same).to_pydict() == true.select(same).to_pydict()
    assert null["view2"].to_pylist() != true["view2"].to_pylist()
    assert Counter(null["view2"].to_pylist()).keys() == Counter(true["view2"].to_pylist()).keys()
    before, after = table_info(true), table_info(null)
    assert after == before | {"title": f"{before['title']}, molecules shuffled (null)", "shuffled": 3}
    for name in ("view1.parquet", "molecules.parquet", "curation.csv"):
        assert (tmp_path / "null" / name).read_bytes() == (tmp_path / "true" / name).read_bytes()


def test_bad_smiles_are_reported_counted_and_dropped(tmp_path, caplog, capfd):
    source = small(tmp_path / "source", 60, smiles={20: "C1CC", 21: None, 22: "not a molecule"})
    with caplog.at_level(logging.WARNING):
        curate("cell_injury", source, tmp_path / "out")
    assert 'profiles.parquet: column smiles, row 20: "C1CC" cannot be parsed' in caplog.text
    assert len(caplog.records) == 3
    step = steps(tmp_path / "out")["parse SMILES"]
    assert rows(step) == (60, 57) and step["reason"].endswith("rows 20, 21, 22")
    assert capfd.readouterr() == ("", "")


def test_compounds_with_bad_smiles_are_reported_counted_and_dropped(caplog):
    """Of screens whose structures are those of a list of compounds; two compounds may have the same bad one."""
    smiles = {f"K{k}": f"C{k}CC" for k in range(1, 7)} | {"K7": "C1CC", "K8": "OCC"}
    rows = pd.DataFrame({"pert_id": [*smiles, "K2"], "smiles": [*smiles.values(), "C2CC"]})
    screen = curation.Screen(Path("wells.txt"), rows, [])
    curation.resolve_structures(screen, "pert_id")
    assert screen.rows["pert_id"].tolist() == ["K8"] and screen.rows["smiles"].tolist() == ["CCO"]
    (reason,) = (line["reason"] for line in screen.report.lines if line["step"] == "parse SMILES")
    assert reason == (
        'SMILES that RDKit cannot parse: 7 of 8 compounds: K1 ("C1CC"), K2 ("C2CC"), K3 ("C3CC"), K4 ("C4CC"), '
        'K5 ("C5CC") and 2 more'
    )
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    wells = [1, 2, 1, 1, 1, 1, 1]
    assert said == [
        f'wells.txt: compound K{k}: "{smiles[f"K{k}"]}" cannot be parsed; wells left out: {count}'
        for k, count in enumerate(wells, 1)
    ]


def test_what_cannot_be_curated_is_refused(tmp_path):
    with pytest.raises(InputError, match="lincs: is no bundled screen"):
        curate("lincs", DATA, tmp_path / "out")
    with pytest.raises(InputError, match="no row is left after the step parse SMILES"):
        source = small(tmp_path / "all_bad", 5, smiles=dict.fromkeys(range(5), "C1CC"))
        curate("cell_injury", source, tmp_path / "out")
    table = read_table(DATA / "cell_injury" / "profiles.parquet").slice(0, 5).drop_columns(["injury_type"])
    write_table(tmp_path / "less" / "profiles.parquet", table)
    with pytest.raises(InputError, match="column injury_type: is missing"):
        curate("cell_injury", tmp_path / "less", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_whole_data_set_can_be_read(curated, tmp_path):
    folder = curated / "lincs_cells"
    smiles = read_table(folder / "molecules.parquet")["smiles"].to_pylist()
    train(smiles, tmp_path / "model", dimensions=5, epochs=1)
    write_molecule_view(folder / "molecules.parquet", tmp_path / "model", folder / "view2.parquet")
    write_splits(folder / "pairs.parquet", folder / "splits.parquet", kind="group_folds", folds=5, seed=0)
    data = read_dataset(folder)
    assert data.views[1].shape == (292, 5) and len(data.folds) == 5
    for fold in range(5):
        parts = [set(data.groups[data.pairs_in(fold, part)]) for part in ("train", "validation", "test")]
        assert len(set.union(*parts)) == sum(map(len, parts)) == 240 and len(parts[1]) == 24
