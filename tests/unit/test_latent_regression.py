"""R2 of latents from codes, against scikit-learn, the population's value and what must not change it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score

from disentangledssl.evaluation.latent_regression import latent_r2


def drawn(pairs=3000, seed=0, noise=0.5):
    """Codes that hold zc with noise, some of zs1 and nothing of zs2: first two thirds are for training."""
    rng = np.random.default_rng(seed)
    latents = {
        "zc": rng.normal(2, 1, (pairs, 4)),
        "zs1": rng.normal(0, 3, (pairs, 3)),
        "zs2": rng.normal(size=(pairs, 2)),
    }
    held = np.hstack([latents["zc"], latents["zs1"][:, :1]])
    codes = held @ rng.normal(size=(5, 9)) + noise * rng.normal(size=(pairs, 9)) + rng.normal(size=9)
    return codes, latents


def halves(codes, latents):
    cut = len(codes) * 2 // 3
    return codes[:cut], {k: v[:cut] for k, v in latents.items()}, codes[cut:], {k: v[cut:] for k, v in latents.items()}


def literal(train, train_latents, test, test_latents, model):
    """One regression a latent, its dimensions weighted by their variance: SSE and SST over all of them."""
    return {
        name: r2_score(test_latents[name], model.fit(train, values).predict(test), multioutput="variance_weighted")
        for name, values in train_latents.items()
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_scikit_learns_least_squares(dtype):
    codes, latents = drawn(30_000)
    data = halves(codes.astype(dtype), latents)
    expected = literal(*data, LinearRegression())
    found = latent_r2(*data)
    assert list(found) == ["zc", "zs1", "zs2"]
    assert found == pytest.approx(expected, abs=2e-6)
    assert 0.8 < found["zc"] < 1 and abs(found["zs2"]) < 0.01


@pytest.mark.parametrize("ridge", [1e-3, 1.0, 100.0])
def test_it_is_scikit_learns_ridge(ridge):
    data = halves(*drawn())
    train = data[0]
    penalty = ridge * len(train) * np.linalg.eigvalsh(np.cov(train, rowvar=False, bias=True)).mean()
    assert latent_r2(*data, ridge=ridge) == pytest.approx(literal(*data, Ridge(alpha=penalty)), abs=1e-10)


def test_r2_is_the_populations():
    rng = np.random.default_rng(3)
    latent = rng.normal(size=(60_000, 2))
    # One dimension is seen with noise of variance 1 (R2 1/2), the other with 1/3 (R2 3/4).
    codes = latent + rng.normal(size=latent.shape) * np.sqrt([1, 1 / 3])
    assert latent_r2(*halves(codes, {"zc": latent}))["zc"] == pytest.approx((0.5 + 0.75) / 2, abs=0.01)


def test_exact_codes_have_r2_of_one():
    _, latents = drawn()
    exact = np.hstack([latents["zc"], latents["zs1"]]) @ np.random.default_rng(1).normal(size=(7, 7))
    found = latent_r2(*halves(exact, {"zc": latents["zc"], "zs1": latents["zs1"]}))
    assert found == pytest.approx({"zc": 1, "zs1": 1}, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-20, 1e-6, 1e6])
def test_scale_shift_and_rotation_change_nothing(scale):
    codes, latents = drawn()
    before = latent_r2(*halves(codes, latents), ridge=0.1)
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(9, 9)))[0]
    assert latent_r2(*halves(scale * (codes @ rotation + 3), latents), ridge=0.1) == pytest.approx(before, abs=1e-9)


def test_latents_are_measured_apart():
    codes, latents = drawn()
    together = latent_r2(*halves(codes, latents))
    for name, values in latents.items():
        assert latent_r2(*halves(codes, {name: values})) == pytest.approx({name: together[name]}, abs=1e-12)


def test_dependent_dimensions_change_nothing():
    codes, latents = drawn()
    twice = np.hstack([codes, codes @ np.random.default_rng(2).normal(size=(9, 9)), np.ones((len(codes), 2))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = latent_r2(*halves(twice.astype(np.float32), latents))
    assert found == pytest.approx(latent_r2(*halves(codes, latents)), abs=1e-4)


@pytest.mark.parametrize(
    "codes",
    [np.zeros((3000, 4)), np.full((3000, 4), 7.3), np.full((3000, 4), np.float32(0.1)), np.empty((3000, 0))],
    ids=["zero", "constant", "single", "no dimensions"],
)
def test_collapsed_codes_say_the_training_mean(codes):
    _, latents = drawn()
    data = halves(codes, latents)
    expected = {
        name: r2_score(
            values, np.broadcast_to(data[1][name].mean(axis=0), values.shape), multioutput="variance_weighted"
        )
        for name, values in data[3].items()
    }
    assert latent_r2(*data) == pytest.approx(expected, abs=1e-12)
    assert max(map(abs, expected.values())) < 0.01


def test_a_single_training_pair_says_its_own_latents():
    codes, latents = drawn(30)
    train, train_latents, test, test_latents = halves(codes, latents)
    found = latent_r2(train[:1], {k: v[:1] for k, v in train_latents.items()}, test, test_latents)
    errors = ((test_latents["zc"] - train_latents["zc"][0]) ** 2).sum()
    spread = ((test_latents["zc"] - test_latents["zc"].mean(axis=0)) ** 2).sum()
    assert found["zc"] == pytest.approx(1 - errors / spread)


def test_input_that_has_no_answer_is_refused():
    codes, latents = drawn(30)
    train, train_latents, test, test_latents = halves(codes, latents)
    broken = train.copy()
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="training codes hold NaN or infinity in 1 columns"):
        latent_r2(broken, train_latents, test, test_latents)
    with pytest.raises(ValueError, match="test codes hold NaN"):
        latent_r2(train, train_latents, np.full_like(test, np.inf), test_latents)
    with pytest.raises(ValueError, match="zc is constant over the 1 test pairs"):
        latent_r2(train, train_latents, test[:1], {k: v[:1] for k, v in test_latents.items()})
    with pytest.raises(ValueError, match="9 dimensions, test codes 3"):
        latent_r2(train, train_latents, test[:, :3], test_latents)
    with pytest.raises(ValueError, match=r"test latent zc of shape \(4, 4\) does not fit codes of 10 pairs"):
        latent_r2(train, train_latents, test, {k: v[:4] for k, v in test_latents.items()})
    with pytest.raises(ValueError, match=r"training latents end at columns .*'zs2': 9.*, test latents at \{'zc': 4\}"):
        latent_r2(train, train_latents, test, {"zc": test_latents["zc"]})
    with pytest.raises(ValueError, match="no training latents"):
        latent_r2(train, {}, test, {})
    for ridge in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match=f"ridge must be a positive number, got {ridge}"):
            latent_r2(train, train_latents, test, test_latents, ridge=ridge)
