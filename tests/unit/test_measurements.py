"""Measurements: what names a row, the probes and the rankings of trained runs and of the reference rows."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pytest

from disentangledssl import references
from disentangledssl.checkpoints import load_models, save_models
from disentangledssl.dataset import read_dataset, write_view
from disentangledssl.diagnostics import bottleneck_rows, information_rows
from disentangledssl.evaluation.latent_regression import latent_r2
from disentangledssl.evaluation.linear_probe import probe_accuracies
from disentangledssl.evaluation.retrieval import candidate_pool, retrieval_rows
from disentangledssl.files import read_table, table_info, write_table
from disentangledssl.measurements import RUN_COLUMNS, measurement_table, reference_run, run_columns
from disentangledssl.probes import PROBE_COLUMNS, probe_models
from disentangledssl.rankings import measure_retrieval, retrieval_columns
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
        *RUN_COLUMNS, "split", "group", "profiles", "pool", "mrr", "top1", "top5", "top_tenth", "rank", "percentile",
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
    measure_retrieval(models, tiny, tmp_path / "retrieval.parquet", stage="step1", top=[1])
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
    measure_retrieval(models, tiny, tmp_path / "retrieval.parquet", stage="step1", top=[1, 5])
    table = read_table(tmp_path / "retrieval.parquet")
    assert table.schema.remove_metadata() == pa.schema(retrieval_columns([1, 5]))
    dataset, rows = read_dataset(tiny), table.to_pylist()
    codes = Models(models, dataset).represent_views(1)
    for split in ("validation", "test"):
        pairs = dataset.pairs_in(RUNS[1]["fold"], split)
        pool, truth = candidate_pool(dataset.rows[1][pairs])
        expected = retrieval_rows(
            codes["zc1"][dataset.rows[0][pairs]], codes["zc2"][pool], truth, dataset.groups[pairs], top=[1, 5]
        )
        found = [row for row in rows if row["run"] == RUNS[1]["id"] and row["split"] == split]
        assert [row["group"] for row in found] == sorted(set(dataset.groups[pairs]))
        for name, values in expected.items():
            assert [row[name] for row in found] == values.tolist()


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
    retrieve_references(tiny, tmp_path / "retrieval.parquet", folds=1, scaling=[plain, plain], top=[1])
    for name in ("probes", "retrieval"):
        assert set(read_table(tmp_path / f"{name}.parquet")["fold"].to_pylist()) == {0}


def test_retrieval_of_the_references(tiny, plain, tmp_path):
    retrieve_references(tiny, tmp_path / "retrieval.parquet", folds=2, scaling=[plain, plain], top=[1])
    table = read_table(tmp_path / "retrieval.parquet")
    rows, dataset = table.to_pylist(), read_dataset(tiny)
    assert set(table_info(table)["chosen"]) == {f"{name}, fold {k}" for name in ("linear_cca", "ridge") for k in (0, 1)}
    for name in ("linear_cca", "ridge"):
        for fold in (0, 1):
            found = [row["group"] for row in rows if (row["run"], row["fold"], row["split"]) == (name, fold, "test")]
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
    retrieve_references(folder, tmp_path / "retrieval.parquet", folds=2, scaling=[plain, plain], top=[1])
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
             if (row["run"], row["fold"], row["split"]) == ("ridge_descriptors", 1, "test")]  # fmt: skip
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
        retrieve_references(folder, tmp_path / "out", folds=1, scaling=[plain, plain], top=[1])
        table = read_table(tmp_path / "out")
        rows = [row for row in table.to_pylist() if row["run"] == name]
        answers.append((table_info(table)["chosen"][f"{name}, fold 0"],
                        [row for row in rows if row["split"] == "validation"],
                        [row for row in rows if row["split"] == "test"]))  # fmt: skip
    assert answers[0][:2] == answers[1][:2]
    assert answers[0][2] != answers[1][2], "the test itself did change"


def test_the_same_measurement_is_the_same_bytes(models, tiny, tmp_path):
    for name in ("a", "b"):
        measure_retrieval(models, tiny, tmp_path / name, stage="step1", top=[1])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
