"""What is measured of representations: planted contents, really trained runs, and runs that diverged."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from disentangledssl import contents
from disentangledssl.checkpoints import load_models, save_models
from disentangledssl.contents import CONTENT_COLUMNS, content_rows, measure_contents, measure_reference_contents
from disentangledssl.dataset import read_dataset
from disentangledssl.errors import InputError
from disentangledssl.evaluation.neighbours import expected_share
from disentangledssl.files import read_table, table_info, write_table
from disentangledssl.representations import Models
from disentangledssl.targets import find_targets
from disentangledssl.training import train_stack

pytestmark = pytest.mark.usefixtures("one_thread")

NAMED = {"run": "planted", "stage": "step2", "fold": 0, "seed": 0, "status": "trained"}
RUNS = [{"id": f"a=1,lam=0.1,fold={fold},seed=0", "a": 1, "lam": 0.1, "fold": fold, "seed": 0} for fold in (0, 1)]


@pytest.fixture(scope="module")
def described(tiny, tmp_path_factory):
    """The tiny screen with a mechanism, a line, a dose and a plate for each profile; its folder."""
    folder = tmp_path_factory.mktemp("described") / "data"
    shutil.copytree(tiny, folder)
    pairs = read_table(folder / "pairs.parquet")
    info, rng = table_info(pairs), np.random.default_rng(0)
    molecule = np.array([int(name[1:]) for name in pairs["group"].to_pylist()])
    line = rng.choice(["A", "B"], len(molecule))
    columns = {
        "injury_type": np.array(["Kinase", "HDAC", "Redox", "Miscellaneous"])[molecule % 5 % 4],
        "cell_line": line,
        "dose_um": 10.0 ** rng.integers(-2, 2, len(molecule)),
        "plate": np.char.add(line, rng.choice(["1", "2"], len(molecule))),
    }
    for name, values in columns.items():
        pairs = pairs.append_column(f"meta_{name}", pa.array(values.tolist()))
    write_table(folder / "pairs.parquet", pairs, info)
    return folder


@pytest.fixture(scope="module")
def dataset(described):
    return read_dataset(described)


@pytest.fixture(scope="module")
def trained(described, small, plain, tmp_path_factory):
    """JointOpt on both folds, and its path."""
    folder = tmp_path_factory.mktemp("stack")
    train_stack(
        "jointopt", described, RUNS, settings=small("jointopt", dimensions=12), scaling=[plain] * 2,
        models=folder / "models.safetensors", history=folder / "history.parquet",
    )  # fmt: skip
    return folder / "models.safetensors"


def one_hot(values):
    return (values[:, None] == np.unique(values)).astype(float)


def value(rows, representation, target, metric=None):
    (row,) = (
        row
        for row in rows
        if (row["representation"], row["target"]) == (representation, target) and metric in (None, row["metric"])
    )
    return row


def test_each_planted_content_is_found_and_nothing_else(dataset):
    targets = {target.name: target for target in find_targets(dataset)}
    noise = np.random.default_rng(1).normal(size=(len(dataset.ids), 3))
    for planted in targets.values():
        code = planted.values[:, None] if planted.kind == "number" else one_hot(planted.values)
        rows = content_rows(NAMED, {"zc1": np.hstack([code, 0.01 * noise])}, dataset, 0, list(targets.values()))
        scores = {row["target"]: row["value"] for row in rows if not row["metric"].startswith("neighbours")}
        assert scores.pop(planted.name) == pytest.approx(1, abs=1e-3)
        if planted.name == "plate":
            # Plates lie in lines: who knows the one knows the other.
            assert scores.pop("cell_line") == 1
        if planted.name == "cell_line":
            plate = value(rows, "zc1", "plate")
            assert plate["value"] == pytest.approx(plate["chance_in_strata"], abs=0.15)
            assert (plate["chance"], plate["chance_in_strata"]) == (0.25, 0.5)
            del scores["plate"]
        assert all(score < 0.85 for score in scores.values())


def test_neighbours_are_molecules_of_the_test_split_with_a_mechanism(dataset):
    (mechanism,) = (target for target in find_targets(dataset) if target.name == "mechanism")
    rows = content_rows(NAMED, {"zs1": one_hot(mechanism.values)}, dataset, 0, [mechanism])
    test = dataset.pairs_in(0, "test")
    classes = {dataset.groups[pair]: mechanism.values[pair] for pair in test if mechanism.values[pair]}
    chance = expected_share(np.array(list(classes.values())))
    sizes = np.unique(list(classes.values()), return_counts=True)[1]
    for k in (1, 5, 10):
        row = value(rows, "zs1", "mechanism", f"neighbours{k}")
        # All of a class tie at the front; then come the others, tied too.
        others = [min(k, n - 1) / min(k, len(classes) - 1) for n in sizes for _ in range(n)]
        assert row["value"] == pytest.approx(np.mean(others))
        assert row["chance"] == pytest.approx(chance)
        assert row["profiles"] == sum(bool(mechanism.values[pair]) for pair in test)


def test_codes_of_molecules_are_measured_once_a_molecule_and_for_what_is_theirs(dataset):
    codes = {"zc2": np.random.default_rng(2).normal(size=(len(dataset.ids), 4))}
    rows = content_rows(NAMED, codes, dataset, 0, find_targets(dataset))
    assert {row["target"] for row in rows} == {"mechanism"}
    (row,) = (row for row in rows if row["metric"] == "balanced_accuracy")
    test = dataset.pairs_in(0, "test")
    labelled = dataset.meta["injury_type"] != "Miscellaneous"
    assert row["profiles"] == len(set(dataset.groups[test[labelled[test]]]))


def test_only_test_profiles_are_scored_and_only_training_is_fitted(dataset):
    """Codes of validation say nothing of the class, those of test say another."""
    (line,) = (target for target in find_targets(dataset) if target.name == "cell_line")
    codes = one_hot(line.values)
    codes[dataset.pairs_in(0, "test")] = codes[dataset.pairs_in(0, "test")][:, ::-1]
    (row,) = content_rows(NAMED, {"zc1": codes}, dataset, 0, [line])
    assert row["value"] == 0 and row["profiles"] == len(dataset.pairs_in(0, "test"))


def test_a_screen_with_too_many_profiles_is_drawn_from(dataset, monkeypatch):
    monkeypatch.setattr(contents, "MOST_PROFILES", 20)
    codes = {"zc1": np.random.default_rng(3).normal(size=(len(dataset.ids), 4))}
    (row, _, _) = content_rows(NAMED, codes, dataset, 0, [t for t in find_targets(dataset) if not t.of_molecule])
    assert row["profiles"] == 20


def test_a_fold_without_validation_is_refused(dataset):
    folds = tuple(np.where(fold == "validation", "train", fold) for fold in dataset.folds)
    with pytest.raises(InputError, match=r"tiny: fold 0: has no validation pairs .*validation_fraction above 0"):
        content_rows(NAMED, {"zc1": np.ones((len(dataset.ids), 2))}, replace(dataset, folds=folds), 0, [])


def test_trained_runs_have_a_row_each_code_and_target(trained, described, dataset, tmp_path):
    measure_contents(trained, described, tmp_path / "contents.parquet", stage="jointopt")
    table = read_table(tmp_path / "contents.parquet")
    assert table.schema.remove_metadata() == pa.schema(CONTENT_COLUMNS)
    assert table_info(table)["dataset"]["name"] == "tiny"
    rows, stack = table.to_pylist(), Models(trained, dataset)
    of_molecule = [("mechanism", metric) for metric in ("balanced_accuracy", *(f"neighbours{k}" for k in (1, 5, 10)))]
    of_profile = [("cell_line", "balanced_accuracy"), ("dose", "r2"), ("plate", "balanced_accuracy")]
    for index, run in enumerate(RUNS):
        found = [row for row in rows if row["run"] == run["id"]]
        codes = stack.represent(index)
        expected = [(name, *one) for name in codes for one in of_molecule + of_profile * (name[-1] == "1")]
        assert [(row["representation"], row["target"], row["metric"]) for row in found] == expected
        again = content_rows({}, codes, dataset, run["fold"], find_targets(dataset))
        assert [row["value"] for row in found] == [row["value"] for row in again]
        assert {(row["fold"], row["status"], row["width"]) for row in found} == {(run["fold"], "trained", 12)}


def test_a_run_that_diverged_has_a_line_without_a_value(trained, described, tmp_path):
    tensors, info = load_models(trained)
    info["runs"][0]["status"] = "diverged"
    save_models(tmp_path / "models", tensors, info)
    measure_contents(tmp_path / "models", described, tmp_path / "contents.parquet", stage="jointopt")
    rows = read_table(tmp_path / "contents.parquet").to_pylist()
    lost = [row for row in rows if row["run"] == RUNS[0]["id"]]
    assert [(row["status"], row["target"], row["value"]) for row in lost] == [("diverged", None, None)]
    assert len(rows) > 10


def test_reference_rows_are_principal_components_and_linear_cca(described, plain, tmp_path):
    measure_reference_contents(described, tmp_path / "contents.parquet", folds=2, scaling=[plain] * 2, width=5)
    rows = read_table(tmp_path / "contents.parquet").to_pylist()
    assert {(row["run"], row["representation"], row["fold"]) for row in rows} == {
        (*one, fold)
        for one in (("raw", "x1"), ("raw", "x2"), ("linear_cca", "zc1"), ("linear_cca", "zc2"))
        for fold in (0, 1)
    }
    assert {row["width"] for row in rows if row["run"] == "raw"} == {5}
    assert {row["status"] for row in rows} == {"exact"} and {row["stage"] for row in rows} == {"reference"}


def test_principal_components_are_those_of_the_training_rows():
    rng = np.random.default_rng(4)
    view, training = rng.normal(size=(30, 4)) * [5, 3, 1, 0.1], np.arange(20)
    found = contents.principal_components(view, training, 2)
    centred = view - view[training].mean(0)
    _, _, directions = np.linalg.svd(centred[training], full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(centred @ directions[:2].T), atol=1e-9)
    assert contents.principal_components(view, training, 32).shape == (30, 4)
