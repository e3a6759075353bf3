"""Encoding with trained stacks: the literal layers, each fold scaled as in training, and what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn.functional import linear

from disentangledssl import representations
from disentangledssl.checkpoints import load_models, save_models
from disentangledssl.dataset import read_dataset
from disentangledssl.errors import InputError
from disentangledssl.files import table_info
from disentangledssl.representations import Models, write_representations
from disentangledssl.scaling import scale_fold
from disentangledssl.settings import ScalingSettings
from disentangledssl.training import train_stack

STEP1 = [{"id": f"beta=1,fold={fold},seed={fold}", "beta": 1, "fold": fold, "seed": fold} for fold in (0, 1)]
STEP2 = [
    run | {"id": f"lam={lam}," + run["id"], "lam": lam, "start_seed": run["seed"]} for run in STEP1 for lam in (0, 1)
]


@pytest.fixture(scope="module")
def stacks(tiny, small, plain, tmp_path_factory):
    """Models of both steps, on standardised views."""
    folder = tmp_path_factory.mktemp("stacks")
    scaling = [plain | {"standardise": True}, plain | {"unit_norm": True}]
    paths = {}
    for stage, runs, starts in (("step1", STEP1, []), ("step2", STEP2, ["step1"])):
        paths[stage] = folder / stage / "models.safetensors"
        train_stack(
            stage, tiny, runs, settings=small(stage, epochs=1), scaling=scaling, models=paths[stage],
            history=folder / stage / "history.parquet", starts=[paths[name] for name in starts],
        )  # fmt: skip
    return paths


def encode(tensors, name, run, x):
    for layer in range(3):
        weight, bias = tensors[f"{name}.weights.{layer}"][run], tensors[f"{name}.biases.{layer}"][run, 0]
        x = torch.relu(x) if layer else x
        outputs = 10 if layer == 2 else 30
        x = linear(x, weight[: x.shape[1]].T, bias[:outputs])
    return x


def scaled(dataset, fold, plain):
    settings = (ScalingSettings(**plain | {"standardise": True}), ScalingSettings(**plain | {"unit_norm": True}))
    return [torch.from_numpy(view) for view in scale_fold(dataset, fold, settings)]


def test_step1_is_encoded_literally(stacks, tiny, plain):
    dataset = read_dataset(tiny)
    tensors, _ = load_models(stacks["step1"])
    models = Models(stacks["step1"], dataset)
    assert [run["id"] for run in models.runs] == [run["id"] for run in STEP1]
    for index, run in enumerate(STEP1):
        views = scaled(dataset, run["fold"], plain)
        found, of_views = models.represent(index), models.represent_views(index)
        assert list(found) == ["zc1", "zc2"]
        for m, name in enumerate(found):
            expected = encode(tensors, name, index, views[m]).numpy()
            assert of_views[name].dtype == np.float32
            np.testing.assert_allclose(of_views[name], expected, atol=1e-5)
            np.testing.assert_array_equal(found[name], of_views[name][dataset.rows[m]])
            assert len(found[name]) == len(dataset.ids)


def test_step2_is_encoded_literally(stacks, tiny, plain):
    dataset = read_dataset(tiny)
    tensors, info = load_models(stacks["step2"])
    models = Models(stacks["step2"], dataset)
    for index, run in enumerate(STEP2):
        views, found = scaled(dataset, run["fold"], plain), models.represent_views(index)
        assert list(found) == ["zc1", "zc2", "zs1", "zs2"]
        for m in (1, 2):
            zc = encode(tensors, f"zc{m}", info["layout"]["start_of_run"][index], views[m - 1])
            zs = encode(tensors, f"zs{m}", index, torch.cat([views[m - 1], zc], dim=1))
            np.testing.assert_allclose(found[f"zc{m}"], zc, atol=1e-5)
            np.testing.assert_allclose(found[f"zs{m}"], zs, atol=1e-5)


def test_step2_has_the_zc_of_step1(stacks, tiny):
    dataset = read_dataset(tiny)
    first, second = (Models(stacks[stage], dataset) for stage in ("step1", "step2"))
    for index, run in enumerate(STEP2):
        start = next(k for k, one in enumerate(STEP1) if one["seed"] == run["start_seed"])
        for name, codes in first.represent(start).items():
            np.testing.assert_array_equal(second.represent(index)[name], codes)


def test_folds_asked_for_in_turn_are_not_mixed_up(stacks, tiny):
    dataset = read_dataset(tiny)
    models = Models(stacks["step1"], dataset)
    here, there, again = (models.represent(index)["zc1"] for index in (0, 1, 0))
    np.testing.assert_array_equal(here, again)
    assert not np.array_equal(here, there)


@pytest.mark.parametrize("rows", [1, 7, 48])
def test_blocks_of_rows_change_nothing(stacks, tiny, rows, monkeypatch):
    # View 2 has fewer rows than view 1: the last blocks of it are empty.
    dataset = read_dataset(tiny)
    whole = Models(stacks["step2"], dataset).represent(1)
    monkeypatch.setattr(representations, "ROWS_AT_A_TIME", rows)
    for name, codes in Models(stacks["step2"], dataset).represent(1).items():
        np.testing.assert_allclose(codes, whole[name], atol=1e-6)


def test_encoding_leaves_no_gradient(stacks, tiny):
    models = Models(stacks["step1"], read_dataset(tiny))
    models.represent(0)
    assert all(parameter.grad is None for parameter in models.method.parameters())


def test_views_of_other_widths_are_refused(stacks, write_tiny, tmp_path):
    other = read_dataset(write_tiny(tmp_path / "data", widths=(30, 16)))
    with pytest.raises(InputError) as caught:
        Models(stacks["step1"], other)
    assert str(caught.value) == (
        f"{stacks['step1']}: was trained on views of 30 features and 17 features, "
        "the data set has 30 features and 16 features; train it again on these data."
    )


def test_damaged_models_are_refused(stacks, tiny, tmp_path):
    path = tmp_path / "models.safetensors"
    path.write_bytes(stacks["step1"].read_bytes()[:-9])
    with pytest.raises(InputError, match="is not a readable stack of models"):
        Models(path, read_dataset(tiny))


def test_a_diverged_run_is_nan_and_its_mate_is_not(stacks, tiny, tmp_path):
    tensors, info = load_models(stacks["step1"])
    for tensor in tensors.values():
        tensor[0] = float("nan")
    save_models(tmp_path / "models.safetensors", tensors, info)
    dataset = read_dataset(tiny)
    spoiled, whole = Models(tmp_path / "models.safetensors", dataset), Models(stacks["step1"], dataset)
    assert np.isnan(spoiled.represent(0)["zc1"]).all()
    np.testing.assert_array_equal(spoiled.represent(1)["zc1"], whole.represent(1)["zc1"])


def test_written_representations(stacks, tiny, tmp_path):
    dataset = read_dataset(tiny)
    run = STEP2[2]
    write_representations(stacks["step2"], dataset, run["id"], tmp_path / "codes.parquet")
    table = pq.read_table(tmp_path / "codes.parquet")
    codes = Models(stacks["step2"], dataset).represent(2)
    assert table.column_names == ["id", *[f"{name}_{k}" for name in ("zc1", "zc2", "zs1", "zs2") for k in range(10)]]
    assert table["id"].to_pylist() == dataset.ids.tolist()
    for name, values in codes.items():
        found = np.stack([table[f"{name}_{k}"].to_numpy() for k in range(10)], axis=1)
        np.testing.assert_array_equal(found, values)
    info = table_info(table)
    assert info["run"]["id"] == run["id"]
    assert info["run"]["status"] == "trained"
    assert info["dataset"]["name"] == "tiny"


def test_a_run_that_is_not_in_the_stack_is_a_sentence(stacks, tiny, tmp_path):
    with pytest.raises(InputError, match="beta=9"):
        write_representations(stacks["step1"], read_dataset(tiny), "beta=9,seed=0", tmp_path / "codes.parquet")
