"""The simulation: the authors' numbers at seed 0, and what the variants add to them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from disentangledssl.dataset import read_dataset, splits_table
from disentangledssl.files import write_table
from disentangledssl.sources.simulation import TITLES, simulate, write_simulation
from disentangledssl.splits import random_pairs, write_splits

REFERENCE = json.loads((Path(__file__).parents[1] / "data" / "simulation_seed0.json").read_text())
VARIANTS = ["entangled", "mixed", "noisy", "nonlinear"]


@pytest.fixture(scope="module")
def authors():
    """The full entangled data at seed 0."""
    return simulate("entangled", REFERENCE["n"], REFERENCE["seed"], 0)


@pytest.fixture(scope="module")
def variants():
    """Every variant, small."""
    return {variant: simulate(variant, 600, 3, 0.7) for variant in VARIANTS}


# ---------------------------------------------------------------- the authors' numbers


@pytest.mark.parametrize("m", [1, 2])
def test_views_are_the_authors(authors, m):
    view = authors[0][m - 1]
    np.testing.assert_allclose(view[0, :5], REFERENCE[f"x{m}_row0_first5"], atol=6e-7)
    assert view.std() == pytest.approx(REFERENCE[f"x{m}_std"], abs=6e-7)
    assert view.shape == (90_000, 100)


@pytest.mark.parametrize("name", ["zc", "zs1"])
def test_latents_are_the_authors(authors, name):
    np.testing.assert_allclose(authors[1][name][0, :5], REFERENCE[f"{name}_row0_first5"], atol=6e-7)


@pytest.mark.parametrize("name", ["s1", "c", "s2"])
def test_labels_are_the_authors(authors, name):
    assert authors[2][name][:20].tolist() == REFERENCE[f"y_{name}_first20"]


def test_the_split_is_the_authors():
    split = random_pairs(REFERENCE["n"], 0.8, 0)
    assert (split[REFERENCE["split_train_first10"]] == "train").all()
    assert (split[REFERENCE["split_test_first10"]] == "test").all()


def test_latents_have_their_distribution(authors):
    for latent in authors[1].values():
        assert latent.shape == (90_000, 50)
        assert kstest(latent[:2000].ravel(), norm(0, np.sqrt(0.5)).cdf).pvalue > 1e-3
    zc, zs1, zs2 = (latent[:5000] for latent in authors[1].values())
    joint = np.cov(np.concatenate([zc, zs1, zs2], axis=1).T)
    np.testing.assert_allclose(joint, 0.5 * np.eye(150), atol=0.05)


# ---------------------------------------------------------------- all variants


@pytest.mark.parametrize("variant", VARIANTS)
def test_shapes_and_balanced_labels(variants, variant):
    views, latents, labels = variants[variant]
    assert [view.shape for view in views] == [(600, 100)] * 2
    assert list(latents) == ["zc", "zs1", "zs2"]
    assert list(labels) == ["s1", "c", "s2"]
    for label in labels.values():
        assert set(label.tolist()) == {0, 1}
        assert label.sum() == 300
    assert all(np.isfinite(view).all() for view in views)


@pytest.mark.parametrize("variant", VARIANTS)
def test_latents_are_the_same_in_every_variant(variants, variant):
    for name, latent in variants["entangled"][1].items():
        np.testing.assert_array_equal(variants[variant][1][name], latent)


@pytest.mark.parametrize("variant", VARIANTS)
def test_labels_follow_their_own_latent(variants, variant):
    # A network of zc decides y_c: a linear fit on the right latent is better than chance, on the others not.
    _, latents, labels = simulate(variant, 4000, 0, 0.5)
    for name, own in (("s1", "zs1"), ("c", "zc"), ("s2", "zs2")):
        for latent, values in latents.items():
            train, test = slice(0, 3000), slice(3000, None)
            weights = np.linalg.lstsq(values[train], labels[name][train] - 0.5, rcond=None)[0]
            accuracy = ((values[test] @ weights > 0) == labels[name][test]).mean()
            assert accuracy > 0.65 if latent == own else accuracy < 0.57


@pytest.mark.parametrize("variant", VARIANTS)
def test_same_seed_same_data_other_seed_other_data(variant):
    first, again, other = (simulate(variant, 50, seed, 0.5) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[1]["zc"], other[1]["zc"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_global_generators_are_left_alone(variant):
    np.random.seed(4)
    torch.manual_seed(4)
    numpy_before, torch_before = np.random.get_state(), torch.get_rng_state()
    first = simulate(variant, 50, 0, 0.5)
    numpy_after = np.random.get_state()
    np.testing.assert_array_equal(numpy_before[1], numpy_after[1])
    assert numpy_before[2:] == numpy_after[2:]
    assert torch.equal(torch_before, torch.get_rng_state())
    np.random.seed(5)
    torch.manual_seed(5)
    np.testing.assert_array_equal(simulate(variant, 50, 0, 0.5)[0], first[0])


def linear_residual(inputs, outputs):
    return outputs - inputs @ np.linalg.lstsq(inputs, outputs, rcond=None)[0]


# ---------------------------------------------------------------- one variant each


def test_entangled_views_are_linear_in_their_own_latents(variants):
    views, latents, _ = variants["entangled"]
    for m in (1, 2):
        z = np.concatenate([latents[f"zs{m}"], latents["zc"]], axis=1)
        mixing = np.linalg.lstsq(z, views[m - 1], rcond=None)[0]
        np.testing.assert_allclose(z @ mixing, views[m - 1], atol=1e-8)
        assert np.abs(mixing).max() <= 1 + 1e-8
        assert kstest((mixing.ravel() + 1) / 2, "uniform").pvalue > 1e-3


def test_mixed_views_end_in_the_pure_block_as_it_is(variants):
    views, latents, _ = variants["mixed"]
    for m in (1, 2):
        np.testing.assert_array_equal(views[m - 1][:, 85:], latents["zc"][:, 35:])
        z = np.concatenate([latents[f"zs{m}"], latents["zc"][:, :35]], axis=1)
        np.testing.assert_allclose(linear_residual(z, views[m - 1][:, :85]), 0, atol=1e-8)


def test_noisy_views_are_the_entangled_ones_plus_noise(variants):
    entangled, noisy = variants["entangled"], variants["noisy"]
    added = [noisy[0][m] - entangled[0][m] for m in (0, 1)]
    for noise in added:
        assert kstest(noise.ravel(), norm(0, 0.7).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 4.5 / np.sqrt(added[0].size)
    for name, label in entangled[2].items():
        np.testing.assert_array_equal(noisy[2][name], label)


def test_noise_of_zero_is_the_entangled_data():
    np.testing.assert_array_equal(simulate("noisy", 50, 0, 0)[0], simulate("entangled", 50, 0, 0)[0])


@pytest.mark.parametrize("variant", ["entangled", "mixed"])
def test_clean_variants_have_no_noise(variant):
    np.testing.assert_array_equal(simulate(variant, 50, 0, 0)[0], simulate(variant, 50, 0, 5.0)[0])


def test_nonlinear_views_are_two_layers_of_leaky_relu():
    views, latents, _ = simulate("nonlinear", 3000, 0, 0)
    rng = np.random.RandomState(0)
    for _ in range(3):
        rng.multivariate_normal(np.zeros(50), 0.5 * np.eye(50), 3000)
    for m in (1, 2):
        z = np.concatenate([latents[f"zs{m}"], latents["zc"]], axis=1)
        x = z
        for _ in range(2):
            x = x @ np.linalg.qr(rng.normal(size=(100, 100)))[0]
            x = np.maximum(x, 0.2 * x)
        np.testing.assert_allclose(views[m - 1], x / x.std() * np.sqrt(0.5 * 100 / 3), atol=1e-9)
        unexplained = linear_residual(np.c_[z, np.ones(len(z))], views[m - 1]).var() / views[m - 1].var()
        assert 0.1 < unexplained < 0.9


def test_nonlinear_noise_is_added_last():
    clean, noisy = (simulate("nonlinear", 600, 3, noise)[0] for noise in (0, 0.7))
    for m in (0, 1):
        assert kstest((noisy[m] - clean[m]).ravel(), norm(0, 0.7).cdf).pvalue > 1e-3


def test_unknown_variant():
    with pytest.raises(KeyError, match="tangled"):
        simulate("tangled", 10, 0, 0)


# ---------------------------------------------------------------- on disk


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_written_meets_the_contract(tmp_path, variant):
    write_simulation(tmp_path, name="sim", variant=variant, n=60, data_seeds=[1], noise=0.5)
    ids = [f"s{k:07d}" for k in range(60)]
    write_table(tmp_path / "splits.parquet", splits_table(ids, [random_pairs(60, 0.8, 0)]))
    dataset = read_dataset(tmp_path)
    views, latents, labels = simulate(variant, 60, 1, 0.5)
    for m in (0, 1):
        np.testing.assert_array_equal(dataset.views[m][dataset.rows[m]], views[m].astype(np.float32))
    for name, latent in latents.items():
        np.testing.assert_array_equal(dataset.latents[name], latent.astype(np.float32))
    for name, label in labels.items():
        np.testing.assert_array_equal(dataset.labels[name], label)
    assert dataset.ids.tolist() == ids == dataset.groups.tolist()
    assert dataset.info["title"] == TITLES[variant]
    assert dataset.info["name"] == "sim"


def test_written_twice_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        write_simulation(tmp_path / folder, name="sim", variant="noisy", n=60, data_seeds=[1], noise=0.5)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_several_draws_follow_each_other_and_are_told_apart(tmp_path):
    write_simulation(tmp_path, name="sim", variant="entangled", n=60, data_seeds=[4, 1], noise=0)
    write_splits(tmp_path / "pairs.parquet", tmp_path / "splits.parquet", kind="random", train_fraction=0.8, seed=0)
    dataset = read_dataset(tmp_path)
    assert dataset.meta["draw"].tolist() == [4] * 60 + [1] * 60 and len(dataset.folds) == 2
    for place, seed in enumerate((4, 1)):
        here = slice(60 * place, 60 * (place + 1))
        views, latents, labels = simulate("entangled", 60, seed, 0)
        np.testing.assert_array_equal(dataset.views[0][here], views[0].astype(np.float32))
        np.testing.assert_array_equal(dataset.latents["zc"][here], latents["zc"].astype(np.float32))
        np.testing.assert_array_equal(dataset.labels["s2"][here], labels["s2"])
        fold = dataset.folds[place]
        # Each draw is split as it would be alone, and nothing of the others is used.
        assert fold[here].tolist() == random_pairs(60, 0.8, 0).tolist()
        assert set(np.delete(fold, np.r_[here])) == {"unused"}


def test_a_reading_names_the_streams_of_another(tmp_path):
    for folder, streams in (("own", None), ("reading", "simulation")):
        write_simulation(
            tmp_path / folder, name=folder, variant="mixed", n=60, data_seeds=[1], noise=0, streams=streams
        )
        write_splits(tmp_path / folder / "pairs.parquet", tmp_path / folder / "splits.parquet", kind="random")
    assert read_dataset(tmp_path / "own").info["streams"] == "own"
    assert read_dataset(tmp_path / "reading").info["streams"] == "simulation"
