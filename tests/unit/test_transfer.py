"""Transfer between screens: who was seen, in which scale, and what the table says of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from disentangledssl.dataset import pairs_table, read_dataset, splits_table, write_view
from disentangledssl.errors import InputError
from disentangledssl.evaluation.retrieval import INTERVAL, random_metrics, retrieval_rows
from disentangledssl.files import read_table, table_info, write_table
from disentangledssl.measurements import measurement_table, reference_run
from disentangledssl.rankings import null_columns, null_rows, pairings, retrieval_columns
from disentangledssl.reference_rows import retrieve_references
from disentangledssl.scaling import scale_fold
from disentangledssl.settings import ScalingSettings
from disentangledssl.tables.transfer import tabulate_transfer
from disentangledssl.transfer import join_screens

SOURCE = [
    "CO", "CCN", "C1CCCCC1", "CC(=O)C", "c1ccccc1", "CCS", "NCc1ccccc1", "CC#N", "OC1CCCC1", "CCOC", "c1ccsc1",
    "CC(N)=O",
]  # fmt: skip
FOLDS = (
    ["test"] * 4 + ["validation"] * 2 + ["train"] * 6,
    ["train"] * 4 + ["validation"] * 4 + ["test"] * 4,
)
TARGET = {
    "methanol": "OC",  # SOURCE[0]: tested in fold 0, trained with in fold 1
    "benzylamine": "c1ccccc1CN.Cl",  # SOURCE[6], as a salt: training, validation
    "acetamide": "NC(C)=O",  # SOURCE[11]: training, test
    "pyridine": "c1ccncc1",  # in no fold
    "alanine": "C[C@H](N)C(=O)O",  # in no fold
}
GENES = [f"gene_{k}" for k in range(6)]


def write_screen(folder, name, smiles, folds=None, genes=GENES, scale=1.0, seed=0, lines=None):
    """A screen with two profiles a molecule, each molecule its own group."""
    rng = np.random.default_rng(seed)
    ids = [f"M{k}" for k in range(len(smiles))]
    profiles = [f"{k}.{one}" for k in ids for one in (0, 1)]
    of_pair = np.repeat(np.arange(len(ids)), 2)
    groups = [f"G{k}" for k in of_pair]
    values = scale * (rng.normal(size=(len(profiles), len(genes))) + 2)
    write_view(folder / "view1.parquet", profiles, values, genes)
    write_view(folder / "view2.parquet", ids, rng.normal(size=(len(ids), 3)), ["m2v_0", "m2v_1", "m2v_2"])
    meta = {"cell_line": lines or ["A"] * len(profiles), "dose": [1.0] * len(profiles)}
    table = pairs_table(profiles, profiles, [ids[k] for k in of_pair], groups, meta=meta)
    info = {"name": name, "title": name.title(), "stand_in": name == "few"}
    write_table(folder / "pairs.parquet", table, info)
    write_table(folder / "molecules.parquet", pa.table({"id": ids, "smiles": smiles}))
    if folds:
        write_table(folder / "splits.parquet", splits_table(profiles, [np.repeat(fold, 2) for fold in folds]))
    return folder


@pytest.fixture
def joined(tmp_path):
    """The source, the target (its genes in another order, with one more) and both joined."""
    write_screen(tmp_path / "source", "many", SOURCE, FOLDS)
    genes, lines = ["more", *GENES[::-1]], ["A", "B"] * len(TARGET)
    write_screen(tmp_path / "target", "few", [*TARGET.values()], genes=genes, scale=3.0, seed=1, lines=lines)
    join_screens(tmp_path / "source", tmp_path / "target", tmp_path / "joined", folds=2)
    return tmp_path


def test_molecules_of_training_and_validation_are_not_ranked(joined):
    dataset = read_dataset(joined / "joined")
    names = {f"few/M{k}": name for k, name in enumerate(TARGET)}
    tested = [
        {names[one] for one in dataset.view_ids[1][dataset.rows[1][dataset.pairs_in(fold, "test")]]} for fold in (0, 1)
    ]
    assert tested == [{"methanol", "pyridine", "alanine"}, {"acetamide", "pyridine", "alanine"}]
    sizes = table_info(read_table(joined / "joined" / "splits.parquet"))["test"]
    assert sizes == [{"pairs": 6, "groups": 3}] * 2


def test_training_and_validation_are_the_sources_own(joined):
    source, dataset = read_dataset(joined / "source"), read_dataset(joined / "joined")
    for fold in (0, 1):
        for split in ("train", "validation"):
            own, both = source.pairs_in(fold, split), dataset.pairs_in(fold, split)
            assert [f"many/{one}" for one in source.ids[own]] == dataset.ids[both].tolist()
            for view in (0, 1):
                expected = source.views[view][source.rows[view][own]]
                np.testing.assert_array_equal(dataset.views[view][dataset.rows[view][both]], expected)
        # What the source tests is neither trained with nor ranked.
        assert set(dataset.folds[fold][: len(source.ids)][source.pairs_in(fold, "test")]) == {"unused"}


def test_features_are_matched_by_name(joined):
    dataset, target = read_dataset(joined / "joined"), read_table(joined / "target" / "view1.parquet")
    assert dataset.features[0] == GENES
    at = dataset.view_ids[0].tolist().index("few/M3.1")
    row = target["id"].to_pylist().index("M3.1")
    assert dataset.views[0][at].tolist() == [target[gene][row].as_py() for gene in GENES]


def test_the_target_is_scaled_by_the_sources_training_rows(joined):
    scaling = ScalingSettings(unit_norm=True, clip_quantile=None, standardise=True, clip=None, statistics="train")
    dataset, source = read_dataset(joined / "joined"), read_dataset(joined / "source")
    found = scale_fold(dataset, 1, (scaling, scaling))[0]
    known = source.views[0][source.rows[0][source.pairs_in(1, "train")]].astype(float)
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    test = dataset.rows[0][dataset.pairs_in(1, "test")]
    x = dataset.views[0][test].astype(float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(found[test], (x - known.mean(0)) / known.std(0), rtol=1e-4, atol=1e-4)


def test_texts_that_describe_the_target_are_kept(joined):
    dataset = read_dataset(joined / "joined")
    assert set(dataset.meta) == {"cell_line"}
    assert set(dataset.meta["cell_line"][dataset.folds[0] == "train"]) == {""}
    assert dataset.meta["cell_line"][dataset.pairs_in(0, "test")].tolist() == ["A", "B"] * 3
    assert dataset.info["title"] == "Few, models trained on Many"
    assert (dataset.info["name"], dataset.info["trained_on"], dataset.info["stand_in"]) == ("few", "many", True)


def test_references_are_those_of_the_source(joined, plain):
    """Fitted and chosen on the source alone: what they are on its validation molecules does not change."""
    for name in ("source", "joined"):
        retrieve_references(
            joined / name,
            joined / f"{name}.parquet",
            folds=2,
            scaling=[plain, plain],
            top=[1],
            permutations=10,
            pool="test",
        )
    own, both = (read_table(joined / f"{name}.parquet") for name in ("source", "joined"))
    assert table_info(own)["chosen"] == table_info(both)["chosen"]
    measured = [[row["mrr"] for row in table.to_pylist() if row["split"] == "validation"] for table in (own, both)]
    np.testing.assert_allclose(*measured)
    tested = {row["group"] for row in both.to_pylist() if (row["split"], row["fold"]) == ("test", 0)}
    assert tested == {"few/G0", "few/G3", "few/G4"}


def test_a_screen_without_the_sources_features_is_refused(tmp_path):
    write_screen(tmp_path / "source", "many", SOURCE, FOLDS)
    write_screen(tmp_path / "target", "few", [*TARGET.values()], genes=["gene_0", "x", "y"])
    with pytest.raises(
        InputError, match=r"view1.parquet: has no column gene_1, gene_2, .*which many has; set transfer"
    ):
        join_screens(tmp_path / "source", tmp_path / "target", tmp_path / "joined", folds=2)


def test_a_screen_without_a_new_molecule_is_refused(tmp_path):
    write_screen(tmp_path / "source", "many", SOURCE, FOLDS)
    write_screen(tmp_path / "target", "few", ["OC", "NCC"])
    with pytest.raises(InputError, match=r"every molecule is in training or validation of fold 1 of many; set"):
        join_screens(tmp_path / "source", tmp_path / "target", tmp_path / "joined", folds=2)
    # Where the second fold is not run, it matters to nobody.
    join_screens(tmp_path / "source", tmp_path / "target", tmp_path / "joined", folds=1)
    dataset = read_dataset(tmp_path / "joined")
    assert len(dataset.folds) == 1 and set(dataset.groups[dataset.pairs_in(0, "test")]) == {"few/G0", "few/G1"}


def test_molecules_without_an_inchikey_are_known_by_their_smiles(tmp_path):
    write_screen(tmp_path / "source", "many", [*SOURCE[:-2], "*CO", "*CN"], FOLDS)
    write_screen(tmp_path / "target", "few", ["*CO", "*CS"])
    join_screens(tmp_path / "source", tmp_path / "target", tmp_path / "joined", folds=1)
    dataset = read_dataset(tmp_path / "joined")
    assert set(dataset.groups[dataset.pairs_in(0, "test")]) == {"few/G1"}


# The table


def ranked(named, values, pool):
    """One row a group, of the paper's way of ranking."""
    random = {f"random_{name}": value for name, value in random_metrics(pool, [1]).items()}
    return [
        named
        | {"direction": "phenotype_to_molecule", "replicates": "single", "cell_line": None, "split": "test",
           "group": group, "profiles": 2, "pool": pool, "mrr": value, "top1": 0.0, "top_tenth": 0.0, "rank": 1 / value,
           "percentile": value}
        | random
        for group, value in values.items()
    ]  # fmt: skip


def clip(fold, seed, status="trained"):
    return reference_run(f"fold={fold},seed={seed}", fold) | {"stage": "clip", "seed": seed, "status": status}


# Group c is new to the models of both folds.
VALUES = {0: {"a": 0.5, "c": 1.0}, 1: {"b": 0.25, "c": 0.5}}
POOLS = {0: 4, 1: 2}


@pytest.fixture
def tabulate(tmp_path):
    """Tabulate rows of CLIP beside a ridge; gives the table by method, unit and metric."""

    def write(rows, null=()):
        rows = rows + [
            row for fold in (0, 1) for row in ranked(reference_run("ridge", fold), VALUES[fold], POOLS[fold])
        ]
        info = {"dataset": {"name": "few", "title": "Few", "stand_in": True, "trained_on": "many"}}
        write_table(tmp_path / "rows.parquet", measurement_table(rows, retrieval_columns([1])), info)
        write_table(tmp_path / "null.parquet", measurement_table(list(null), null_columns([1])), info)
        wanted = [f"clip/fold={fold},seed={seed}" for fold in (0, 1) for seed in (0, 1)]
        measured = [tmp_path / "rows.parquet"], [tmp_path / "null.parquet"]
        tabulate_transfer(*measured, wanted, None, tmp_path / "transfer.parquet", bootstrap=50)
        table = read_table(tmp_path / "transfer.parquet").to_pylist()
        return {(row["method"], row["unit"], row["metric"]): row for row in table}

    return write


def test_a_molecule_of_several_folds_counts_once(tabulate):
    table = tabulate([])
    row = table["ridge", "per_molecule", "mrr"]
    assert row["mean"] == pytest.approx((0.5 + 0.25 + (1.0 + 0.5) / 2) / 3)
    assert (row["molecules"], row["profiles"], row["n"], row["trained_on"], row["stand_in"]) == (3, 6, 1, "many", True)
    # So does its Random, which is of two pools: H_4 / 4 and H_2 / 2.
    four, two = (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, (1 + 1 / 2) / 2
    assert row["random"] == pytest.approx((four + two + (four + two) / 2) / 3)
    assert table["random", "per_molecule", "mrr"]["mean"] == pytest.approx(row["random"])


def test_seeds_are_averaged_and_lost_ones_counted(tabulate):
    better = {fold: {group: value / 2 for group, value in values.items()} for fold, values in VALUES.items()}
    rows = [row for fold in (0, 1) for row in ranked(clip(fold, 0), VALUES[fold], POOLS[fold])]
    two = rows + [row for fold in (0, 1) for row in ranked(clip(fold, 1), better[fold], POOLS[fold])]
    one = tabulate(rows)["clip", "per_molecule", "mrr"]
    both = tabulate(two)["clip", "per_molecule", "mrr"]
    assert both["mean"] == pytest.approx(0.75 * one["mean"]) and (both["n"], one["n"]) == (2, 1)
    assert both["std"] == pytest.approx(np.std([one["mean"], one["mean"] / 2], ddof=1))
    lost = tabulate([*rows, *ranked(clip(0, 1), better[0], 4), clip(1, 1, "diverged")])["clip", "per_molecule", "mrr"]
    assert (lost["mean"], lost["n"], lost["n_diverged"]) == (pytest.approx(one["mean"]), 1, 1)


def test_null_is_that_of_each_molecule_averaged_over_its_folds(joined, tabulate):
    """By pairing molecules literally, in each permutation, and averaging as the table does; seeds are averaged too."""
    dataset, rng, pairs_at_random = read_dataset(joined / "joined"), np.random.default_rng(0), 40
    rows, null, literal = [], [], []
    tested = {fold: dataset.pairs_in(fold, "test") for fold in (0, 1)}
    both = np.intersect1d(*(dataset.groups[pairs] for pairs in tested.values()))
    assert both.tolist() == ["few/G3", "few/G4"]
    for seed in (0, 1):
        for fold, pairs in tested.items():
            codes = [rng.normal(size=(len(view), 4)) for view in dataset.views]
            rows += ranked(clip(fold, seed), VALUES[fold], POOLS[fold])
            null += null_rows(clip(fold, seed), *codes, dataset, fold, [1], pairs_at_random, "test")
            # A molecule is a group here.
            groups, member = np.unique(dataset.groups[pairs], return_inverse=True)
            pool = np.array([dataset.rows[1][pairs[member == place][0]] for place in range(len(groups))])
            for permutation, order in enumerate(pairings(groups, both, fold, pairs_at_random)):
                found = retrieval_rows(
                    codes[0][dataset.rows[0][pairs]], codes[1][pool], order[member], dataset.groups[pairs], top=[1]
                )
                found = pd.DataFrame(found).assign(permutation=permutation, fold=fold, seed=seed)
                literal.append(found)
    table = tabulate(rows, null)
    of_molecule = pd.concat(literal).groupby(["permutation", "group"]).mean(numeric_only=True).reset_index()
    assert of_molecule["group"].nunique() == 4
    for metric in ("mrr", "top1", "rank"):
        expected = of_molecule.groupby("permutation")[metric].mean()
        row = table["clip", "per_molecule", metric]
        assert row["null_mean"] == pytest.approx(expected.mean())
        assert [row["null_low"], row["null_high"]] == pytest.approx(np.quantile(expected, INTERVAL).tolist())
    assert table["ridge", "per_molecule", "mrr"]["null_mean"] is None
