"""What decoders of really trained runs are measured by: every row against a computation of its own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import r2_score

from disentangledssl import reconstructions
from disentangledssl.checkpoints import load_models, save_models
from disentangledssl.dataset import read_dataset
from disentangledssl.decoders import fit_decoders
from disentangledssl.errors import InputError
from disentangledssl.evaluation.counterfactual import FORMULAS
from disentangledssl.evaluation.frechet import frechet_distance
from disentangledssl.files import read_table, table_info
from disentangledssl.measurements import run_columns
from disentangledssl.reconstructions import (
    RECONSTRUCTION_COLUMNS,
    counterfactual_rows,
    measure_reconstruction,
    standard_view,
)
from disentangledssl.representations import Models
from disentangledssl.settings import DecoderSettings
from disentangledssl.training import train_stack

pytestmark = pytest.mark.usefixtures("one_thread")

DECODERS = {
    "hidden": 24, "epochs": 4, "batch_size": 16, "learning_rate": 1e-3, "patience": 4, "weight_std": 0.1, "codes": "raw"
}  # fmt: skip
STEP1 = [{"id": f"beta=1,fold={fold},seed=0", "beta": 1, "fold": fold, "seed": 0} for fold in (0, 1)]
RUNS = {
    "step1": STEP1,
    "step2": [
        run | {"id": f"beta=1,lam={lam},fold={run['fold']},seed=0", "lam": lam, "start_seed": 0}
        for run in STEP1
        for lam in (0, 1)
    ],
    "jointopt": [{"id": f"a=1,lam=0.1,fold={k},seed=0", "a": 1, "lam": 0.1, "fold": k, "seed": 0} for k in (0, 1)],
    "focal": [{"id": "a=1,lam=0,fold=1,seed=2", "a": 1, "lam": 0, "fold": 1, "seed": 2}],
    "dmvae": [{"id": "lam=1e-05,fold=0,seed=0", "lam": 1e-5, "fold": 0, "seed": 0}],
}
R2 = ["r2", "r2_per_feature", "constant_features", "epoch"]
GAINS = ["gain_over_better", "gain_over_mean", "gain_over_zc"]
DISTANCES = [
    "fd_validation_test", "fd_counterfactual_test", "fd_counterfactual_validation", "diff_fd_c", "diff_fd_s",
    "set_size", "fd_halves", "halves_size",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tiny, small, plain, tmp_path_factory):
    """Models of every stage that has representations to decode; view 1 clipped, view 2 not standardised."""
    folder = tmp_path_factory.mktemp("stacks")
    scaling = [plain | {"standardise": True, "clip": 1.5}, plain | {"unit_norm": True}]
    paths = {}
    for stage, runs in RUNS.items():
        paths[stage] = folder / stage / "models.safetensors"
        train_stack(
            stage, tiny, runs, settings=small(stage, dimensions=12), scaling=scaling, models=paths[stage],
            history=folder / stage / "history.parquet", starts=[paths["step1"]] if stage == "step2" else [],
        )  # fmt: skip
    return paths


@pytest.fixture(scope="module")
def measured(trained, tiny, tmp_path_factory):
    """Rows of every stage."""
    folder = tmp_path_factory.mktemp("measured")
    tables = {}
    for stage, path in trained.items():
        measure_reconstruction(path, tiny, folder / stage, stage=stage, decoders=DECODERS)
        tables[stage] = read_table(folder / stage)
    return tables


def value(rows, run, representation, metric, target="x1"):
    key = {"run": run, "representation": representation, "metric": metric, "target": target}
    (row,) = (row for row in rows if key.items() <= row.items())
    return row["value"]


@pytest.mark.parametrize("stage", ["step2", "jointopt", "focal", "dmvae"])
def test_rows_of_a_stage_with_shared_and_specific_codes(measured, stage):
    table = measured[stage]
    assert table.schema.remove_metadata() == pa.schema(RECONSTRUCTION_COLUMNS)
    info = table_info(table)
    assert info["dataset"]["name"] == "tiny" and info["formulas"] == FORMULAS
    rows, expected = table.to_pylist(), []
    for run in RUNS[stage]:
        for view in (1, 2):
            both = f"zc{view}+zs{view}"
            kinds = [f"zc{view}", f"zs{view}", both, *(["zc2+zs1"] if view == 1 else [])]
            expected += [(run["id"], f"x{view}", kind, metric) for kind in kinds for metric in R2]
            expected += [(run["id"], f"x{view}", both, metric) for metric in GAINS]
            expected += [(run["id"], "x1", "zc2+zs1", metric) for metric in DISTANCES if view == 1]
    assert [tuple(row[name] for name in ("run", "target", "representation", "metric")) for row in rows] == expected
    assert all(row["value"] is not None and np.isfinite(row["value"]) for row in rows)
    stages = {(row["run"], row["stage"], row["fold"], row["seed"], row["status"]) for row in rows}
    assert stages == {(run["id"], stage, run["fold"], run["seed"], "trained") for run in RUNS[stage]}


def test_a_stage_without_specific_codes_is_decoded_from_the_shared_ones(measured):
    rows = measured["step1"].to_pylist()
    found = [(row["run"], row["target"], row["representation"], row["metric"]) for row in rows]
    assert found == [(run["id"], f"x{view}", f"zc{view}", metric) for run in STEP1 for view in (1, 2) for metric in R2]


@pytest.mark.parametrize("stage", ["step2", "jointopt", "focal", "dmvae"])
def test_r2_is_that_of_the_decoders_on_test(measured, trained, tiny, stage):
    dataset, rows = read_dataset(tiny), measured[stage].to_pylist()
    stack, runs = Models(trained[stage], dataset), RUNS[stage]
    codes = [stack.represent(index) for index in range(len(runs))]
    settings = DecoderSettings(**DECODERS)
    for view in (1, 2):
        targets = {}
        for fold in (0, 1):
            # Standardised by hand, each row of the view once.
            seen = stack.scaled_views(fold)[view - 1].numpy().astype(float)
            fitted = seen[sorted(set(dataset.rows[view - 1][dataset.pairs_in(fold, "train")].tolist()))]
            targets[fold] = ((seen - fitted.mean(0)) / fitted.std(0)).astype(np.float32)
            np.testing.assert_allclose(standard_view(stack, fold, view), targets[fold], atol=1e-5)
        targets = {fold: standard_view(stack, fold, view) for fold in (0, 1)}
        decoders, inputs = fit_decoders(codes, runs, dataset, targets, view, settings=settings, folder=tiny)
        for place, run in enumerate(runs):
            test = dataset.pairs_in(run["fold"], "test")
            # A dictionary keeps one pair for each row of the view.
            pairs = list({dataset.rows[view - 1][pair]: pair for pair in test}.values())
            assert len(pairs) < len(test) or view == 1
            truth = targets[run["fold"]][dataset.rows[view - 1][pairs]]
            pooled = {}
            for kind in decoders.kinds:
                made = decoders.decode(place, kind, inputs[place][pairs])
                pooled[kind] = r2_score(truth, made, multioutput="variance_weighted")
                found = {name: value(rows, run["id"], kind, name, f"x{view}") for name in R2}
                assert found == pytest.approx(
                    {
                        "r2": pooled[kind], "r2_per_feature": r2_score(truth, made), "constant_features": 0,
                        "epoch": decoders.kept_epoch(place, kind),
                    },
                    rel=1e-4, abs=1e-6,
                )  # fmt: skip
            shared, specific, both = pooled[f"zc{view}"], pooled[f"zs{view}"], pooled[f"zc{view}+zs{view}"]
            gains = [both - max(shared, specific), both - (shared + specific) / 2, both - shared]
            found = [value(rows, run["id"], f"zc{view}+zs{view}", name, f"x{view}") for name in GAINS]
            assert found == pytest.approx(gains, rel=1e-4, abs=1e-6)


def test_formulas_hold_in_the_rows(measured):
    for stage in ("step2", "jointopt", "focal", "dmvae"):
        rows = measured[stage].to_pylist()
        for run in RUNS[stage]:
            found = {name: value(rows, run["id"], "zc2+zs1", name) for name in DISTANCES}
            for name, formula in FORMULAS.items():
                first, second = formula.split(" - ")
                assert found[name] == found[first] - found[second]
            # All codes of a screen decode into something: no set is a point.
            assert min(value for name, value in found.items() if name.startswith("fd")) > 0
            assert found["halves_size"] <= found["set_size"]


class Transparent:
    """A decoder that gives back what it is given."""

    columns = {"zc1": slice(0, 2), "zc2": slice(2, 4), "zs1": slice(4, 6)}

    def __init__(self):
        self.given = []

    def decode(self, place, kind, codes):
        assert kind == "zc2+zs1"
        self.given.append(codes.numpy())
        return self.given[-1]


def test_the_counterfactual_has_validation_phenotypes_and_test_molecules(tiny):
    dataset = read_dataset(tiny)
    rng = np.random.default_rng(0)
    # As representations are: zc2 is the same for all pairs of a molecule, zs1 is each phenotype's own.
    molecule, phenotype = rng.normal(size=(48, 2)), rng.normal(size=(len(dataset.ids), 2))
    codes = np.hstack([phenotype + 9, molecule[dataset.rows[1]], phenotype]).astype(np.float32)
    named, given = {"run": "r", "fold": 1, "seed": 0}, {}
    for seed in (0, 0, 1):
        decoders = Transparent()
        rows = counterfactual_rows(named | {"seed": seed}, decoders, 0, torch.from_numpy(codes), dataset)
        given.setdefault(seed, []).append(decoders.given)
        validation, test, mixed = decoders.given
        pairs = {split: dataset.pairs_in(1, split) for split in ("validation", "test")}
        np.testing.assert_array_equal(validation, codes[pairs["validation"]])
        np.testing.assert_array_equal(test, codes[pairs["test"]])
        # Nothing but the molecule's code is exchanged, and for one of test.
        np.testing.assert_array_equal(mixed[:, [0, 1, 4, 5]], validation[:, [0, 1, 4, 5]])
        of_test = {tuple(row) for row in test[:, 2:4].tolist()}
        assert {tuple(row) for row in mixed[:, 2:4].tolist()} <= of_test
        assert len({tuple(row) for row in mixed[:, 2:4].tolist()}) > 1
        found = {row["metric"]: row["value"] for row in rows}
        assert found["fd_counterfactual_validation"] == pytest.approx(frechet_distance(mixed, validation))
        assert found["set_size"] == len(validation) < len(test)
    np.testing.assert_array_equal(given[0][0][2], given[0][1][2])
    assert not np.array_equal(given[0][0][2], given[1][0][2])


def test_every_test_molecule_has_the_same_chance(tiny, monkeypatch):
    # Not weighted by its profiles: of many draws each molecule gets about its share.
    dataset = read_dataset(tiny)
    codes = torch.zeros(len(dataset.ids), 6)
    codes[:, 2] = torch.from_numpy(dataset.rows[1].astype("f4"))
    monkeypatch.setattr(reconstructions, "counterfactual_distances", lambda *_: {})
    counts, profiles = {}, {}
    for pair in dataset.pairs_in(0, "test"):
        profiles[int(dataset.rows[1][pair])] = profiles.get(int(dataset.rows[1][pair]), 0) + 1
    for seed in range(400):
        decoders = Transparent()
        counterfactual_rows({"run": "r", "fold": 0, "seed": seed}, decoders, 0, codes, dataset)
        for row in decoders.given[2][:, 2].astype(int).tolist():
            counts[row] = counts.get(row, 0) + 1
    share = {row: len(profiles) * count / sum(counts.values()) for row, count in counts.items()}
    assert set(counts) == set(profiles)
    assert max(profiles.values()) == 4 and min(profiles.values()) == 1
    assert all(0.75 < one < 1.3 for one in share.values()), share


def test_runs_that_diverged_have_one_row_and_no_decoder(measured, trained, tiny, tmp_path):
    tensors, info = load_models(trained["jointopt"])
    info["runs"][0]["status"] = "diverged"
    for tensor in tensors.values():
        tensor[0] = float("nan")
    save_models(tmp_path / "models.safetensors", tensors, info)
    measure_reconstruction(tmp_path / "models.safetensors", tiny, tmp_path / "out", stage="jointopt", decoders=DECODERS)
    first, *others = read_table(tmp_path / "out").to_pylist()
    named = run_columns(info["runs"][0], "jointopt")
    assert {name: one for name, one in first.items() if one is not None} == {
        name: one for name, one in named.items() if one is not None
    }
    alone = [row for row in measured["jointopt"].to_pylist() if row["run"] == RUNS["jointopt"][1]["id"]]
    values = [[row.pop("value") for row in rows] for rows in (others, alone)]
    assert others == alone
    # A product's last bits depend on where in memory its factors start, and differences of distances show them.
    assert values[0] == pytest.approx(values[1], rel=1e-4, abs=1e-8)
    for run in info["runs"]:
        run["status"] = "diverged"
    save_models(tmp_path / "models.safetensors", tensors, info)
    measure_reconstruction(tmp_path / "models.safetensors", tiny, tmp_path / "out", stage="jointopt", decoders=DECODERS)
    assert [row["value"] for row in read_table(tmp_path / "out").to_pylist()] == [None, None]


def test_a_decoder_that_diverged_has_rows_without_a_value(trained, tiny, tmp_path, monkeypatch):
    original = Models.represent

    def represent(self, index):
        codes = original(self, index)
        return codes | {"zs1": codes["zs1"] * np.float32(1e38)}

    monkeypatch.setattr(Models, "represent", represent)
    measure_reconstruction(trained["dmvae"], tiny, tmp_path / "out", stage="dmvae", decoders=DECODERS)
    rows = read_table(tmp_path / "out").to_pylist()
    for row in rows:
        broken = "zs1" in row["representation"] and row["metric"] != "epoch"
        assert (row["value"] is None) == broken, row
    assert value(rows, RUNS["dmvae"][0]["id"], "zs1", "epoch") == 0
    lost = {row["metric"] for row in rows if row["representation"] == "zc2+zs1"}
    assert lost == {*R2, "diff_fd_c", "diff_fd_s"}


def test_sets_too_small_to_compare_have_no_distances(tiny, caplog):
    import dataclasses

    dataset = read_dataset(tiny)
    fold = dataset.folds[0].copy()
    fold[dataset.pairs_in(0, "validation")[1:]] = "unused"
    small = dataclasses.replace(dataset, folds=(fold,))
    codes = torch.zeros(len(dataset.ids), 6)
    assert counterfactual_rows({"run": "r", "fold": 0, "seed": 0}, Transparent(), 0, codes, small) == []
    assert caplog.messages == [f"r: no distances between 1 and {(fold == 'test').sum()} phenotypes"]


def test_the_same_measurement_is_the_same_bytes(trained, tiny, tmp_path):
    for name in ("a", "b"):
        measure_reconstruction(trained["focal"], tiny, tmp_path / name, stage="focal", decoders=DECODERS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_settings_and_damaged_models_are_refused(trained, tiny, tmp_path):
    with pytest.raises(ValueError, match="patience"):
        measure_reconstruction(
            trained["focal"], tiny, tmp_path / "out", stage="focal", decoders=DECODERS | {"patience": 0}
        )
    with pytest.raises(InputError, match="no such file"):
        measure_reconstruction(tmp_path / "none", tiny, tmp_path / "out", stage="focal", decoders=DECODERS)
    assert list(tmp_path.iterdir()) == []
