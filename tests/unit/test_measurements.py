"""Measurements: what names a row, the probes and the rankings of trained runs and of the reference rows."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from disentangledssl import references
from disentangledssl.checkpoints import load_models, save_models
from disentangledssl.dataset import PairedDataset, read_dataset, write_view
from disentangledssl.diagnostics import bottleneck_rows, information_rows
from disentangledssl.evaluation.latent_regression import latent_r2
from disentangledssl.evaluation.linear_probe import probe_accuracies
from disentangledssl.evaluation.retrieval import (
    DIRECTIONS,
    REPLICATES,
    candidate_pool,
    random_metrics,
    retrieval_rows,
    summarise,
)
from disentangledssl.files import read_table, table_info, write_table
from disentangledssl.measurements import RUN_COLUMNS, measurement_table, reference_run, run_columns
from disentangledssl.probes import PROBE_COLUMNS, probe_models
from disentangledssl.rankings import (
    measure_retrieval,
    null_columns,
    null_rows,
    pairings,
    ranking_rows,
    retrieval_columns,
)
from disentangledssl.reference_rows import probe_references, retrieve_references
from disentangledssl.representations import Models
from disentangledssl.runs import expand, spell
from disentangledssl.structures import descriptors
from disentangledssl.training import train_stack

PROBE = {"solver": "exact", "max_iter": 200}
RUNS = [
    {"id": f"beta={beta},fold={fold},seed=0", "beta": beta, "fold": fold, "seed": 0}
    for beta in (0, 1)
    for fold in (0, 1)
]


def probe(codes, labels, train, test):
    """Accuracy of one label by the probe itself."""
    return probe_accuracies(codes[train], {"c": labels[train]}, codes[test], {"c": labels[test]}, **PROBE)["c"]


# What names a row


def test_run_columns():
    run = {"id": "beta=selected,lam=0.1,fold=2,seed=3", "beta": "selected", "beta_value": 5.0, "lam": 0.1, "fold": 2,
           "seed": 3, "status": "trained", "start_seed": 3}  # fmt: skip
    assert run_columns(run, "step2") == {
        "run": "beta=selected,lam=0.1,fold=2,seed=3", "stage": "step2", "beta": "selected", "beta_value": 5.0,
        "a": None, "lam": 0.1, "fold": 2, "seed": 3, "status": "trained",
    }  # fmt: skip
    clip = run_columns({"id": "seed=0", "fold": 0, "seed": 0, "status": "diverged"}, "clip")
    assert clip["beta"] is clip["beta_value"] is clip["a"] is clip["lam"] is None


def test_run_columns_of_a_baseline():
    run = {"id": "a=10,lam=0.1,seed=3", "a": 10, "lam": 0.1, "fold": 0, "seed": 3, "status": "trained"}
    row = run_columns(run, "jointopt")
    assert list(row) == list(RUN_COLUMNS)
    assert row == {
        "run": "a=10,lam=0.1,seed=3", "stage": "jointopt", "beta": None, "beta_value": None, "a": 10, "lam": 0.1,
        "fold": 0, "seed": 3, "status": "trained",
    }  # fmt: skip
    table = measurement_table([row, row | {"a": 0.01}], RUN_COLUMNS)
    assert table.schema.field("a").type == pa.float64()
    assert table["a"].to_pylist() == [10.0, 0.01]


@pytest.mark.parametrize("beta", [0, 0.0, 1, 1.0, 0.1, 0.5, 1000.0, 1e-07, 1e-05, 0.001, "selected"])
def test_beta_is_written_as_in_the_id(beta):
    (run,) = expand({"beta": [beta]}, 1, [0])
    row = run_columns({"id": run.id, "beta": beta, "fold": 0, "seed": 0, "status": "trained"}, "step1")
    assert row["beta"] == spell(beta) == run.id.removeprefix("beta=").removesuffix(",seed=0")


def test_reference_run_has_no_hyperparameters():
    row = reference_run("ridge", 4)
    assert list(row) == list(RUN_COLUMNS)
    assert {name: value for name, value in row.items() if value is not None} == {
        "run": "ridge", "stage": "reference", "fold": 4, "status": "exact",
    }  # fmt: skip


def test_table_has_a_fixed_schema_whatever_the_rows():
    empty, one = measurement_table([], PROBE_COLUMNS), measurement_table([reference_run("raw", 0)], PROBE_COLUMNS)
    assert empty.schema == one.schema == pa.schema(PROBE_COLUMNS)
    assert one["value"].to_pylist() == [None] and one["seed"].to_pylist() == [None]
    assert list(retrieval_columns([1, 5])) == [
        *RUN_COLUMNS, "direction", "replicates", "cell_line", "split", "group", "profiles", "pool",
        "mrr", "top1", "top5", "top_tenth", "rank", "percentile",
        *(f"random_{name}" for name in ("mrr", "top1", "top5", "top_tenth", "rank", "percentile")),
    ]  # fmt: skip


# Trained runs


@pytest.fixture(scope="module")
def models(tiny, small, plain, tmp_path_factory):
    """A stack of step 1 in which the last run is marked as diverged."""
    folder = tmp_path_factory.mktemp("stack")
    path = folder / "models.safetensors"
    train_stack(
        "step1", tiny, RUNS, settings=small("step1", epochs=1), scaling=[plain, plain], models=path,
        history=folder / "history.parquet",
    )  # fmt: skip
    tensors, info = load_models(path)
    info["runs"][-1]["status"] = "diverged"
    save_models(path, tensors, info)
    return path


@pytest.fixture(scope="module")
def step2_models(tiny, small, plain, models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("step2")
    run = {"id": "beta=1,lam=0.1,fold=0,seed=0", "beta": 1, "lam": 0.1, "fold": 0, "seed": 0, "start_seed": 0}
    train_stack(
        "step2", tiny, [run], settings=small("step2", epochs=1), scaling=[plain, plain],
        models=folder / "models.safetensors", history=folder / "history.parquet", starts=[models],
    )  # fmt: skip
    return folder / "models.safetensors"


def test_probes_of_step1(models, tiny, tmp_path):
    probe_models(models, tiny, tmp_path / "probes.parquet", stage="step1", probe=PROBE)
    table = read_table(tmp_path / "probes.parquet")
    assert table.schema.remove_metadata() == pa.schema(PROBE_COLUMNS)
    dataset = read_dataset(tiny)
    assert table_info(table)["dataset"] == dict(dataset.info)
    rows = table.to_pylist()
    assert [(row["run"], row["representation"]) for row in rows] == [
        *((run["id"], name) for run in RUNS[:3] for name in ("zc1", "zc2", "zc")), (RUNS[3]["id"], None),
    ]  # fmt: skip
    stack = Models(models, dataset)
    for index, run in enumerate(RUNS[:3]):
        codes = stack.represent(index)
        codes["zc"] = np.hstack([codes["zc1"], codes["zc2"]])
        train, test = dataset.pairs_in(run["fold"], "train"), dataset.pairs_in(run["fold"], "test")
        labels = dataset.labels["c"]
        for row in rows[3 * index : 3 * index + 3]:
            code = codes[row["representation"]]
            assert row["width"] == code.shape[1] and row["label"] == "c" and row["metric"] == "accuracy"
            assert row["code_std"] == pytest.approx(code[test].std())
            assert row["value"] == probe(code, labels, train, test)
            assert (row["beta"], row["beta_value"], row["fold"]) == (str(run["beta"]), run["beta"], run["fold"])


def test_diverged_run_has_one_row_without_a_value(models, tiny, tmp_path):
    probe_models(models, tiny, tmp_path / "probes.parquet", stage="step1", probe=PROBE)
    measure_retrieval(models, tiny, tmp_path / "retrieval.parquet", stage="step1", top=[1], permutations=2, pool="test")
    assert RUNS[3]["id"] not in read_table(tmp_path / "retrieval_null.parquet")["run"].to_pylist()
    for name in ("probes", "retrieval"):
        (row,) = (row for row in read_table(tmp_path / f"{name}.parquet").to_pylist() if row["run"] == RUNS[3]["id"])
        named = run_columns(RUNS[3] | {"status": "diverged", "beta_value": 1.0}, "step1")
        assert {key: value for key, value in row.items() if value is not None} == {
            key: value for key, value in named.items() if value is not None
        }


def test_probes_of_step2_are_of_the_specific_representations(step2_models, tiny, tmp_path):
    probe_models(step2_models, tiny, tmp_path / "probes.parquet", stage="step2", probe=PROBE)
    every = read_table(tmp_path / "probes.parquet").to_pylist()
    rows = [row for row in every if row["metric"] == "accuracy"]
    assert [row["representation"] for row in rows] == ["zs1", "zs2"]
    assert [(row["representation"], row["label"]) for row in every if row["metric"] == "cka"] == [
        ("zc1", "zs1"), ("zc2", "zs2"),
    ]  # fmt: skip
    assert {(row["stage"], row["lam"]) for row in rows} == {("step2", 0.1)}


BASELINES = {
    "jointopt": [{"id": f"a={a},lam=0.1,fold=0,seed=0", "a": a, "lam": 0.1, "fold": 0, "seed": 0} for a in (1, 10)],
    "focal": [{"id": "a=0.5,lam=0,fold=1,seed=0", "a": 0.5, "lam": 0, "fold": 1, "seed": 0}],
    "dmvae": [{"id": "lam=1e-05,fold=0,seed=0", "lam": 1e-5, "fold": 0, "seed": 0}],
}


@pytest.mark.parametrize("stage", BASELINES)
def test_probes_of_a_baseline_are_of_all_its_representations(tiny, small, plain, stage, tmp_path):
    models, runs = tmp_path / "models.safetensors", BASELINES[stage]
    train_stack(
        stage, tiny, runs, settings=small(stage, epochs=1), scaling=[plain, plain], models=models,
        history=tmp_path / "history.parquet",
    )  # fmt: skip
    probe_models(models, tiny, tmp_path / "probes.parquet", stage=stage, probe=PROBE)
    rows, dataset = read_table(tmp_path / "probes.parquet").to_pylist(), read_dataset(tiny)
    stack, labels = Models(models, dataset), dataset.labels["c"]
    cka = [row for row in rows if row["metric"] == "cka"]
    rows = [row for row in rows if row["metric"] == "accuracy"]
    assert len(rows) == 5 * len(runs) and len(cka) == 2 * len(runs)
    for index, run in enumerate(runs):
        codes = stack.represent(index)
        codes["zc"] = np.hstack([codes["zc1"], codes["zc2"]])
        train, test = dataset.pairs_in(run["fold"], "train"), dataset.pairs_in(run["fold"], "test")
        own = {row["representation"]: row for row in rows if row["run"] == run["id"]}
        assert set(own) == {"zc1", "zc2", "zs1", "zs2", "zc"}
        for name, row in own.items():
            code = codes[name]
            assert (row["stage"], row["a"], row["lam"], row["fold"]) == (stage, run.get("a"), run["lam"], run["fold"])
            assert row["beta"] is row["beta_value"] is None
            assert row["width"] == code.shape[1] == (20 if name == "zc" else 10)
            expected = probe_accuracies(code[train], {"c": labels[train]}, code[test], {"c": labels[test]}, **PROBE)
            assert row["value"] == expected["c"]


def test_retrieval_ranks_molecules_of_validation_and_test(models, tiny, tmp_path):
    measure_retrieval(
        models, tiny, tmp_path / "retrieval.parquet", stage="step1", top=[1, 5], permutations=2, pool="test"
    )
    table = read_table(tmp_path / "retrieval.parquet")
    assert table.schema.remove_metadata() == pa.schema(retrieval_columns([1, 5]))
    assert table_info(table)["pool"] == "test"
    dataset, rows = read_dataset(tiny), table.to_pylist()
    codes = Models(models, dataset).represent_views(1)
    for split in ("validation", "test"):
        pairs = dataset.pairs_in(RUNS[1]["fold"], split)
        pool, truth = candidate_pool(dataset.rows[1][pairs])
        expected = retrieval_rows(
            codes["zc1"][dataset.rows[0][pairs]], codes["zc2"][pool], truth, dataset.groups[pairs], top=[1, 5]
        )
        found = [row for row in of_run(rows, RUNS[1], split) if way_of(row) == PAPERS_WAY]
        assert [row["group"] for row in found] == sorted(set(dataset.groups[pairs]))
        for name, values in expected.items():
            assert [row[name] for row in found] == values.tolist()
        assert {row["random_mrr"] for row in found} == {random_metrics(len(pool))["mrr"]}


PAPERS_WAY = ("phenotype_to_molecule", "single", None)
WAYS = [(direction, replicates, None) for replicates in REPLICATES for direction in DIRECTIONS]


def way_of(row):
    return row["direction"], row["replicates"], row["cell_line"]


def of_run(rows, run, split="test"):
    return [row for row in rows if row["run"] == run["id"] and row["split"] == split]


def test_every_way_is_measured_on_test_and_only_the_papers_on_validation(models, tiny, tmp_path):
    measure_retrieval(models, tiny, tmp_path / "retrieval.parquet", stage="step1", top=[1], permutations=2, pool="test")
    rows = read_table(tmp_path / "retrieval.parquet").to_pylist()
    assert {way_of(row) for row in of_run(rows, RUNS[0], "validation")} == {PAPERS_WAY}
    by_way = {way: [row for row in of_run(rows, RUNS[0]) if way_of(row) == way] for way in WAYS}
    assert sum(map(len, by_way.values())) == len(of_run(rows, RUNS[0]))
    dataset = read_dataset(tiny)
    pairs = dataset.pairs_in(0, "test")
    groups, profiles = np.unique(dataset.groups[pairs], return_counts=True)
    for (direction, replicates, _), found in by_way.items():
        assert [(row["group"], row["profiles"]) for row in found] == list(zip(groups, profiles, strict=True))
        among_profiles = (direction, replicates) == ("molecule_to_phenotype", "single")
        assert {row["pool"] for row in found} == {len(pairs) if among_profiles else len(groups)}


# Two molecules, a of two profiles and b of one, on the axes of a plane; a third, c, in another line.
PLANE = {"a": (1.0, 0.0), "b": (0.0, 1.0), "c": (-1.0, 0.0)}
#           profile: molecule, line, code
PROFILES = [("a", "A549", (2.0, 0.1)), ("a", "A549", (0.1, 0.2)), ("b", "A549", (0.0, 1.0)), ("c", "MCF7", (1.0, 0.0))]


@pytest.fixture
def plane():
    """Three molecules of one fold, all in test, and the codes of their profiles and of themselves."""
    molecules, lines, codes = zip(*PROFILES, strict=True)
    rows = np.arange(4), np.array([list(PLANE).index(name) for name in molecules])
    dataset = PairedDataset(
        views=(np.zeros((4, 1)), np.zeros((3, 1))), rows=rows, features=(["f"], ["f"]), ids=rows[0].astype(str),
        groups=np.array(molecules), view_ids=(rows[0].astype(str), np.array(list(PLANE))), labels={},
        meta={"cell_line": np.array(lines, object)}, folds=(np.full(4, "test"),),
    )  # fmt: skip
    return dataset, np.array(codes), np.array(list(PLANE.values()))


def ranks(plane, dataset=None):
    given, *codes = plane
    rows = ranking_rows({}, *codes, dataset or given, 0, [1], "test")
    found = {}
    for row in rows:
        found.setdefault(way_of(row), {})[row["group"]] = row["rank"]
    return found, rows


def test_ranks_in_the_plane(plane):
    found, rows = ranks(plane)
    # Its second profile leads a to b first, and c's lies where a is: c comes last.
    assert found["phenotype_to_molecule", "single", None] == {"a": 1.5, "b": 1, "c": 3}
    # c's profile lies nearest to a, a's first one just behind; all profiles of others are nearer to c than its own.
    assert found["molecule_to_phenotype", "single", None] == {"a": 2, "b": 1, "c": 4}
    # Unit directions (0.999, 0.050) and (0.447, 0.894): their mean lies at 33 degrees, nearer to a than to b.
    assert found["phenotype_to_molecule", "averaged", None] == {"a": 1, "b": 1, "c": 3}
    assert found["molecule_to_phenotype", "averaged", None] == {"a": 2, "b": 1, "c": 3}
    by_group = {row["group"]: row for row in rows if way_of(row) == ("molecule_to_phenotype", "single", None)}
    # Of four profiles in random order a's first of two is at 1, 2, 3 with chances 3/6, 2/6, 1/6.
    assert by_group["a"]["random_mrr"] == pytest.approx(3 / 6 + 2 / 6 / 2 + 1 / 6 / 3)
    assert by_group["b"]["random_mrr"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_a_line_is_ranked_among_its_own_molecules(plane):
    found, rows = ranks(plane)
    assert found["phenotype_to_molecule", "single", "A549"] == {"a": 1.5, "b": 1}
    assert found["molecule_to_phenotype", "single", "A549"] == {"a": 1, "b": 1}
    # Alone, c is first of one.
    assert found["phenotype_to_molecule", "single", "MCF7"] == {"c": 1}
    assert {row["pool"] for row in rows if row["cell_line"] == "A549" and row["replicates"] == "averaged"} == {2}
    (row,) = (row for row in rows if way_of(row) == ("molecule_to_phenotype", "single", "A549") and row["group"] == "a")
    assert (row["profiles"], row["pool"]) == (2, 3)


def test_data_of_one_line_have_no_rows_by_line(plane):
    dataset = replace(plane[0], meta={"cell_line": np.full(4, "A549", object)})
    assert set(ranks(plane, dataset)[0]) == set(WAYS)


def test_the_pool_may_be_validation_and_test_together(plane):
    given, *codes = plane
    dataset = replace(given, folds=(np.array(["validation", "validation", "test", "test"]),))
    both = [row for row in ranking_rows({}, *codes, dataset, 0, [1], "valtest") if row["split"] == "test"]
    assert both == [row for row in ranking_rows({}, *codes, given, 0, [1], "test") if row["split"] == "test"]
    alone = ranking_rows({}, *codes, dataset, 0, [1], "test")
    assert {row["group"] for row in alone if row["split"] == "test"} == {"b", "c"}
    # What beta is chosen by stays the same.
    found = ranking_rows({}, *codes, dataset, 0, [1], "valtest")
    validation = [row for row in found if row["split"] == "validation"]
    assert validation == [row for row in alone if row["split"] == "validation"] != []
    null = [null_rows({}, *codes, dataset, 0, [1], 20, pool) for pool in ("test", "valtest")]
    assert [{row["weight"] for row in rows if row["unit"] == "per_profile"} for rows in null] == [{2.0}, {4.0}]


def test_null_pairs_groups_within_the_fold_alike_for_all_runs(models, tiny, tmp_path):
    measure_retrieval(models, tiny, tmp_path / "retrieval.parquet", stage="step1", top=[1], permutations=3, pool="test")
    table, dataset = read_table(tmp_path / "retrieval_null.parquet"), read_dataset(tiny)
    assert table.schema.remove_metadata() == pa.schema(null_columns([1]))
    stack = Models(models, dataset)
    for index, run in enumerate(RUNS[:3]):
        codes, pairs = stack.represent_views(index), dataset.pairs_in(run["fold"], "test")
        pool, truth = candidate_pool(dataset.rows[1][pairs])
        groups, member = np.unique(dataset.groups[pairs], return_inverse=True)
        # In the tiny data a molecule is a group, and they are stored in no order.
        molecule = dict(zip(member, truth, strict=True))
        rng = np.random.default_rng([0, run["fold"]])
        for permutation in range(3):
            order = rng.permutation(len(groups))
            paired = np.array([molecule[order[group]] for group in member])
            rows = retrieval_rows(
                codes["zc1"][dataset.rows[0][pairs]], codes["zc2"][pool], paired, dataset.groups[pairs], top=[1]
            )
            for unit, weight in (("per_molecule", len(groups)), ("per_profile", len(pairs))):
                (found,) = (
                    row
                    for row in table.to_pylist()
                    if (row["run"], row["permutation"], row["unit"]) == (run["id"], permutation, unit)
                )
                assert found["weight"] == weight
                for name, value in summarise(rows, unit).items():
                    assert found[name] == pytest.approx(value)


def test_groups_of_several_folds_meet_alike_in_each_and_any_permutation_may_come():
    shared = np.array(["b", "c", "e"])
    groups = {0: np.array(["a", "b", "c"]), 1: np.array(["b", "c", "d", "e"])}
    orders = {fold: pairings(names, shared, fold, 6000) for fold, names in groups.items()}
    for fold, names in groups.items():
        found = Counter(map(tuple, orders[fold].tolist()))
        every = math.factorial(len(names))
        assert len(found) == every
        # Chi-squared of every - 1 degrees of freedom.
        assert sum((count - 6000 / every) ** 2 for count in found.values()) / (6000 / every) < every + 20

    def first(names, order, name):
        """The first of b and c that one comes to."""
        while (name := names[order[names.tolist().index(name)]]) not in ("b", "c"):
            pass
        return name

    met = [[first(groups[fold], order, "b") for order in orders[fold]] for fold in (0, 1)]
    assert met[0] == met[1] and Counter(met[0])["c"] == pytest.approx(3000, abs=150)


def test_pairings_of_folds_that_share_no_group_are_their_own():
    names = np.array(["a", "b", "c"])
    rng = np.random.default_rng([0, 4])
    assert pairings(names, names[:0], 4, 3).tolist() == [rng.permutation(3).tolist() for _ in range(3)]


# What only some simulated data allow


SIMULATED = {
    "step1": [{"id": f"beta={beta},seed=0", "beta": beta, "fold": 0, "seed": 0} for beta in (0, 100)],
    "focal": [{"id": "a=1,lam=0.1,seed=0", "a": 1, "lam": 0.1, "fold": 0, "seed": 0}],
}


@pytest.fixture(scope="module")
def simulated(write_simulated, tmp_path_factory):
    """Folders of the simulated data, by variant; written when asked for."""
    folders = {}

    def folder(variant: str, noise: float = 1.0):
        if (variant, noise) not in folders:
            folders[variant, noise] = write_simulated(tmp_path_factory.mktemp(variant) / "data", variant, noise=noise)
        return folders[variant, noise]

    return folder


@pytest.fixture
def probed(simulated, small, plain, tmp_path):
    """Train a stage on simulated data and probe it: its models, the data set and the rows."""

    def probe(variant: str, stage: str = "step1", noise: float = 1.0):
        data, models = simulated(variant, noise), tmp_path / "models.safetensors"
        train_stack(
            stage, data, SIMULATED[stage], settings=small(stage, epochs=1, batch_size=64), scaling=[plain, plain],
            models=models, history=tmp_path / "history.parquet",
        )  # fmt: skip
        probe_models(models, data, tmp_path / "probes.parquet", stage=stage, probe=PROBE)
        dataset = read_dataset(data)
        return Models(models, dataset), dataset, read_table(tmp_path / "probes.parquet").to_pylist()

    return probe


def test_mixed_data_have_a_weight_ratio_of_each_view(probed):
    stack, dataset, rows = probed("mixed")
    found = [row for row in rows if row["metric"] == "weight_ratio"]
    assert [(row["run"], row["representation"]) for row in found] == [
        (run["id"], encoder) for run in SIMULATED["step1"] for encoder in ("zc1", "zc2")
    ]
    pure = dataset.info["pure_dimensions"]
    assert pure == 15
    for index in range(2):
        for encoder in ("zc1", "zc2"):
            squares = np.square(stack.first_layer(index, encoder).astype(np.float64)).sum(axis=1)
            assert squares.shape == (100,)
            (row,) = (
                row
                for row in found
                if (row["run"], row["representation"]) == (SIMULATED["step1"][index]["id"], encoder)
            )
            assert row["value"] == pytest.approx(squares[85:].mean() / squares[:85].mean())
            assert row["label"] is row["width"] is None and row["beta_value"] == SIMULATED["step1"][index]["beta"]
    assert len({row["value"] for row in found}) == 4


def test_noisy_data_have_points_of_the_information_plane(probed):
    stack, dataset, rows = probed("noisy")
    found = [row for row in rows if row["metric"] in ("information", "optimum")]
    expected = []
    for index, run in enumerate(SIMULATED["step1"]):
        named = run_columns(stack.runs[index], "step1")
        expected += information_rows(named, stack.represent(index), stack.settings.kappa, dataset, 0)
        assert {row["beta_value"] for row in found if row["run"] == run["id"]} == {run["beta"]}
    assert len(found) == 12
    for row, wanted in zip(found, expected, strict=True):
        assert wanted.items() <= row.items()
    points = {(row["run"], row["representation"], row["label"], row["metric"]): row["value"] for row in found}
    for run, code in {(row["run"], row["representation"]) for row in found}:
        below, above = (points[run, code, "other", metric] for metric in ("information", "optimum"))
        assert 0 <= below <= above + 1e-9 <= points[run, code, "own", "information"] + 2e-9


@pytest.mark.parametrize(
    ("variant", "stage", "noise"),
    [("entangled", "step1", 0.0), ("nonlinear", "step1", 1.0), ("noisy", "step1", 0.0), ("noisy", "focal", 1.0),
     ("mixed", "focal", 0.0)],
)  # fmt: skip
def test_other_data_and_stages_have_neither(probed, variant, stage, noise):
    """Without noise the optimum is infinite; only step 1 has a concentration, and Figure 9 shows its weights."""
    *_, rows = probed(variant, stage, noise)
    assert {row["metric"] for row in rows} == {"accuracy", "r2"} | ({"cka"} if stage == "focal" else set())


def test_r2_and_accuracy_of_every_representation(probed):
    """Of the codes that are probed, [zc1, zc2] among them, for every latent and every label."""
    stack, dataset, rows = probed("noisy")
    codes = stack.represent(1)
    both = np.hstack([codes["zc1"], codes["zc2"]])
    train, test = dataset.pairs_in(0, "train"), dataset.pairs_in(0, "test")
    latents = [{name: values[pairs] for name, values in dataset.latents.items()} for pairs in (train, test)]
    found = {
        row["label"]: row["value"]
        for row in rows
        if row["run"] == SIMULATED["step1"][1]["id"] and (row["representation"], row["metric"]) == ("zc", "r2")
    }
    assert found == pytest.approx(latent_r2(both[train], latents[0], both[test], latents[1]))
    named = {(row["representation"], row["label"]) for row in rows if row["metric"] == "accuracy"}
    assert named == {(name, label) for name in ("zc", "zc1", "zc2") for label in ("c", "s1", "s2")}


def test_the_references_of_noisy_data_have_the_optimal_curve(simulated, tmp_path):
    for variant, noise, metrics in (("noisy", 1.0, {"information"}), ("entangled", 0.0, set())):
        folder = simulated(variant, noise)
        probe_references(folder, tmp_path / "probes.parquet", folds=1, probe=PROBE)
        rows = read_table(tmp_path / "probes.parquet").to_pylist()
        assert {row["metric"] for row in rows} == {"accuracy", "r2"} | metrics
        curve = [row for row in rows if row["run"] == "gaussian_bottleneck"]
        expected = bottleneck_rows(reference_run("gaussian_bottleneck", 0), read_dataset(folder), 0) if metrics else []
        assert [(row["label"], row["beta_value"], row["value"]) for row in curve] == [
            (row["label"], row["beta_value"], row["value"]) for row in expected
        ]
        # The oracle's own latent, all of it.
        oracle = {(row["representation"], row["label"]): row["value"] for row in rows
                  if row["run"] == "oracle" and row["metric"] == "r2"}  # fmt: skip
        assert oracle["zc", "zc"] == pytest.approx(1, abs=1e-3) and oracle["zc", "zs1"] < 0.1


# Reference rows


def test_probes_of_the_references(tiny, tmp_path):
    probe_references(tiny, tmp_path / "probes.parquet", folds=2, probe=PROBE)
    rows = read_table(tmp_path / "probes.parquet").to_pylist()
    assert {row["status"] for row in rows} == {"exact"} and {row["fold"] for row in rows} == {0, 1}
    assert {row["run"] for row in rows} == {"chance", "raw", "linear_cca"}, "the tiny data have no true latents"
    dataset = read_dataset(tiny)
    for row in rows:
        train, test = dataset.pairs_in(row["fold"], "train"), dataset.pairs_in(row["fold"], "test")
        labels = dataset.labels["c"]
        if row["run"] == "chance":
            assert row["value"] == references.chance(labels[test])
        if (row["run"], row["representation"]) == ("raw", "x1"):
            x = dataset.views[0][dataset.rows[0]]
            assert row["value"] == probe(x, labels, train, test)


def test_only_the_folds_in_use_are_measured(tiny, plain, tmp_path):
    probe_references(tiny, tmp_path / "probes.parquet", folds=1, probe=PROBE)
    how = {"scaling": [plain, plain], "top": [1], "permutations": 2, "pool": "test"}
    retrieve_references(tiny, tmp_path / "retrieval.parquet", folds=1, **how)
    for name in ("probes", "retrieval", "retrieval_null"):
        assert set(read_table(tmp_path / f"{name}.parquet")["fold"].to_pylist()) == {0}


def test_retrieval_of_the_references(tiny, plain, tmp_path):
    how = {"scaling": [plain, plain], "top": [1], "permutations": 2, "pool": "test"}
    retrieve_references(tiny, tmp_path / "retrieval.parquet", folds=2, **how)
    table, null = (read_table(tmp_path / f"{name}.parquet") for name in ("retrieval", "retrieval_null"))
    # Two methods, folds, units and permutations.
    assert len(null) == 2**4
    rows, dataset = table.to_pylist(), read_dataset(tiny)
    assert set(table_info(table)["chosen"]) == {f"{name}, fold {k}" for name in ("linear_cca", "ridge") for k in (0, 1)}
    assert table_info(table)["pool"] == "test"
    for name in ("linear_cca", "ridge"):
        for fold in (0, 1):
            found = [
                row["group"]
                for row in rows
                if (row["run"], row["fold"], row["split"], way_of(row)) == (name, fold, "test", PAPERS_WAY)
            ]
            assert found == sorted(set(dataset.groups[dataset.pairs_in(fold, "test")]))


@pytest.fixture
def with_structures(tiny, tmp_path):
    """The tiny screen with a SMILES for each molecule: chains and rings of many lengths."""
    folder = tmp_path / "data"
    shutil.copytree(tiny, folder)
    ids = read_dataset(folder).view_ids[1].tolist()
    smiles = ["C" * (1 + k % 12) + ("O" if k % 2 else "N") + "c1ccccc1" * (k % 3 > 0) for k in range(len(ids))]
    table = pa.table({"id": ids[::-1], "smiles": smiles[::-1]})  # in an order of its own
    write_table(folder / "molecules.parquet", table)
    return folder, smiles


def test_references_from_structures(with_structures, plain, tmp_path):
    folder, smiles = with_structures
    retrieve_references(
        folder, tmp_path / "retrieval.parquet", folds=2, scaling=[plain, plain], top=[1], permutations=2, pool="test"
    )
    table = read_table(tmp_path / "retrieval.parquet")
    names = ("linear_cca", "ridge", "ridge_fingerprints", "ridge_descriptors", "nearest_neighbour")
    assert set(table_info(table)["chosen"]) == {f"{name}, fold {k}" for name in names for k in (0, 1)}
    # By hand, for fold 1: descriptors in units of the training molecules.
    dataset = read_dataset(folder)
    x = descriptors(smiles).astype(float)
    known = x[np.unique(dataset.rows[1][dataset.pairs_in(1, "train")])]
    x = ((x - known.mean(0)) / np.where(known.std(0) > 0, known.std(0), np.inf)).astype(np.float32)

    def split(name):
        pairs = dataset.pairs_in(1, name)
        pool, truth = candidate_pool(dataset.rows[1][pairs])
        return references.ScreenSplit(dataset.views[0][dataset.rows[0][pairs]], x[pool], truth, dataset.groups[pairs])

    fitted, test = references.ridge(split("train"), split("validation")), split("test")
    expected = retrieval_rows(
        fitted.encode_phenotype(test.phenotypes), fitted.encode_molecule(test.molecules), test.truth, test.groups
    )
    found = [row["mrr"] for row in table.to_pylist()
             if (row["run"], row["fold"], row["split"]) == ("ridge_descriptors", 1, "test")
             and (row["direction"], row["replicates"]) == (DIRECTIONS[0], REPLICATES[0])]  # fmt: skip
    np.testing.assert_allclose(found, expected["mrr"])


@pytest.mark.parametrize("name", ["ridge_fingerprints", "ridge_descriptors", "nearest_neighbour"])
def test_references_from_structures_never_see_the_test(with_structures, plain, tmp_path, name):
    """Other structures and phenotypes of the test molecules change neither what was chosen nor a validation row."""
    folder, _ = with_structures
    dataset = read_dataset(folder)
    test = dataset.pairs_in(0, "test")
    answers = []
    for changed in (False, True):
        if changed:
            phenotypes, molecules = (read_table(folder / f"{file}.parquet") for file in ("view1", "molecules"))
            rows = set(dataset.ids[test])  # a profile's id is its pair's
            values = {column: [0.0 if k in rows else v for k, v in zip(phenotypes["id"].to_pylist(),
                      phenotypes[column].to_pylist(), strict=True)] for column in dataset.features[0]}  # fmt: skip
            write_view(folder / "view1.parquet", phenotypes["id"].to_pylist(),
                       np.stack([*values.values()], axis=1), dataset.features[0])  # fmt: skip
            held_out = set(dataset.view_ids[1][dataset.rows[1][test]])
            smiles = [
                "FC(F)(F)c1ncncc1" if one in held_out else text
                for one, text in zip(molecules["id"].to_pylist(), molecules["smiles"].to_pylist(), strict=True)
            ]
            write_table(folder / "molecules.parquet", pa.table({"id": molecules["id"], "smiles": smiles}))
        retrieve_references(
            folder, tmp_path / "out", folds=1, scaling=[plain, plain], top=[1], permutations=2, pool="test"
        )
        table = read_table(tmp_path / "out")
        rows = [row for row in table.to_pylist() if row["run"] == name]
        answers.append((table_info(table)["chosen"][f"{name}, fold 0"],
                        [row for row in rows if row["split"] == "validation"],
                        [row for row in rows if row["split"] == "test"]))  # fmt: skip
    assert answers[0][:2] == answers[1][:2]
    assert answers[0][2] != answers[1][2], "the test itself did change"


def test_runs_of_folds_that_the_data_lack_are_left_out(models, tiny, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(tiny, folder)
    splits = read_table(folder / "splits.parquet")
    write_table(folder / "splits.parquet", splits.drop_columns("fold_1"), table_info(splits))
    how = {"stage": "step1", "top": [1], "permutations": 2, "pool": "valtest"}
    found = []
    for name, data in (("all", tiny), ("first", folder)):
        measure_retrieval(models, data, tmp_path / name, **how)
        found.append(read_table(tmp_path / name))
        assert table_info(found[-1])["pool"] == "valtest"
    assert {*found[0]["fold"].to_pylist()} == {0, 1}
    assert found[1].to_pylist() == [row for row in found[0].to_pylist() if row["fold"] == 0]


def test_the_same_measurement_is_the_same_bytes(models, tiny, tmp_path):
    for name in ("a", "b"):
        measure_retrieval(models, tiny, tmp_path / name, stage="step1", top=[1], permutations=2, pool="test")
    for end in ("", "_null"):
        assert (tmp_path / f"a{end}").read_bytes() == (tmp_path / f"b{end}").read_bytes()
