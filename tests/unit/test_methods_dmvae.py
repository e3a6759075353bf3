"""DMVAE's loss against a literal computation for one run, and each of its switches."""

from __future__ import annotations

import literal
import numpy as np
import pytest
import torch
from miniature import BATCH, DIMENSIONS, HYPERPARAMETERS, RUNS, SHAPES, build, draw_batch, noise_of, views_of

LAM = HYPERPARAMETERS["dmvae"]["lam"]
DEFAULT = {"prior_expert": False, "cross_kl": "own", "info_nce_weight": 0.0}
SWITCHES = [
    DEFAULT, DEFAULT | {"prior_expert": True}, DEFAULT | {"cross_kl": "as_published"},
    DEFAULT | {"info_nce_weight": 0.75}, {"prior_expert": True, "cross_kl": "as_published", "info_nce_weight": 2.0},
]  # fmt: skip


@pytest.fixture
def method(small):
    return build("dmvae", small)


@pytest.fixture
def batch(method):
    return draw_batch(method)


def heads(method, run, x):
    """Mean and log variance of the shared and of the private code of each view, in the order of the outputs."""
    shared, private = {}, {}
    for m in (1, 2):
        out = literal.encode(getattr(method, f"encoder{m}"), run, x[m - 1])
        assert out.shape[1] == 4 * DIMENSIONS
        quarters = [out[:, k * DIMENSIONS : (k + 1) * DIMENSIONS] for k in range(4)]
        shared[m], private[m] = quarters[:2], quarters[2:]
    return shared, private


def draw(code, noise):
    return code[0] + np.sqrt(np.exp(code[1])) * noise


def literal_terms(method, batch, run, *, prior_expert, cross_kl, temperature):
    """R, Rx, K, Kx and the InfoNCE of the shared means, as in the authors' code."""
    (x, _), noise = views_of(batch, run), noise_of(method, batch, run)
    shared, private = heads(method, run, x)
    joint = literal.product_of_experts([shared[1], shared[2]], prior_expert)
    s = {m: draw(private[m], noise["private", m]) for m in (1, 2)}
    c = {m: draw(shared[m], noise["shared", m]) for m in (1, 2)}
    both = draw(joint, noise["joint", 0])

    def error(m, code):
        decoded = literal.encode(getattr(method, f"decoder{m}"), run, literal.beside(s[m], code))
        return literal.squared_error(decoded, x[m - 1])

    kl = literal.gaussian_kl
    own = kl(*private[1]) + kl(*private[2])
    swapped = kl(private[1][0], private[2][1]) + kl(private[2][0], private[1][1])
    return {
        "reconstruction": error(1, both) + error(2, both),
        "cross_reconstruction": error(1, c[2]) + error(2, c[1]),
        "kl": own + 2 * kl(*joint),
        "cross_kl": {"own": own, "as_published": swapped}[cross_kl] + kl(*shared[1]) + kl(*shared[2]),
        "info_nce": literal.info_nce(literal.unit(shared[1][0]), literal.unit(shared[2][0]), temperature),
    }


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda one: ", ".join(map(str, one.values())))
@pytest.mark.parametrize("run", RUNS)
def test_loss_is_the_literal_one(small, batch, run, switches):
    method = build("dmvae", small, temperature=0.2, **switches)
    weight = switches["info_nce_weight"]
    expected = literal_terms(
        method, batch, run, prior_expert=switches["prior_expert"], cross_kl=switches["cross_kl"], temperature=0.2
    )
    if not weight:
        expected.pop("info_nce")
    losses, terms = method.losses(batch)
    assert list(terms) == list(expected)
    for name, value in expected.items():
        assert terms[name][run].item() == pytest.approx(value, rel=1e-9), name
    total = expected["reconstruction"] + expected["cross_reconstruction"]
    total += LAM[run] * (expected["kl"] + expected["cross_kl"]) + weight * expected.get("info_nce", 0)
    assert losses["encoders"][run].item() == pytest.approx(total, rel=1e-9)


def changed(small, batch, **switches):
    """Names of the terms that a switch changes, for every run."""
    before, after = (build("dmvae", small, **one).losses(batch)[1] for one in (DEFAULT, DEFAULT | switches))
    return {name for name, value in after.items() if name not in before or not torch.isclose(value, before[name]).any()}


def test_each_switch_changes_its_own_terms(small, batch):
    assert changed(small, batch) == set()
    # A narrower joint code: its sample is another, and so is its divergence.
    assert changed(small, batch, prior_expert=True) == {"reconstruction", "kl"}
    assert changed(small, batch, info_nce_weight=1.0) == {"info_nce"}


def test_crossed_log_variances_come_to_the_same(small, batch):
    """The divergence is a sum of a part of the mean and a part of the variance, so that over both views they meet."""
    own, crossed = (build("dmvae", small, cross_kl=one).losses(batch) for one in ("own", "as_published"))
    torch.testing.assert_close(own[1]["cross_kl"], crossed[1]["cross_kl"], rtol=1e-12, atol=0)
    torch.testing.assert_close(own[0]["encoders"], crossed[0]["encoders"], rtol=1e-12, atol=0)


def test_inputs_and_targets_are_the_augmented_views(method, batch):
    """A decoder that says nothing errs by the augmented view itself."""
    with torch.no_grad():
        for name in ("decoder1", "decoder2"):
            for parameter in getattr(method, name).parameters():
                parameter.zero_()
    terms = method.losses(batch)[1]
    for run in RUNS:
        x, _ = views_of(batch, run)
        expected = sum((view**2).mean() for view in x)
        assert terms["reconstruction"][run].item() == pytest.approx(expected, rel=1e-12)
        assert terms["cross_reconstruction"][run].item() == pytest.approx(expected, rel=1e-12)


def test_error_is_a_mean_and_divergence_a_sum(method, batch):
    """Every pair twice: errors stay, divergences double; lam of another batch size is another lam."""
    twice = type(batch)(
        tuple(x.repeat(1, 2, 1) for x in batch.x), None, tuple(draw.repeat(1, 2, 1) for draw in batch.noise)
    )
    before, after = method.losses(batch)[1], method.losses(twice)[1]
    for name, factor in (("reconstruction", 1), ("cross_reconstruction", 1), ("kl", 2), ("cross_kl", 2)):
        torch.testing.assert_close(after[name], factor * before[name])


@pytest.mark.parametrize(
    ("name", "reaches"),
    [
        (("private", 1), {"reconstruction", "cross_reconstruction"}),
        (("private", 2), {"reconstruction", "cross_reconstruction"}),
        (("shared", 1), {"cross_reconstruction"}),
        (("shared", 2), {"cross_reconstruction"}),
        (("joint", 0), {"reconstruction"}),
    ],
)
def test_which_sample_serves_which_term(method, batch, name, reaches):
    noise = [draw.flip(1) if one == name else draw for one, draw in zip(method.noise, batch.noise, strict=True)]
    before, after = method.losses(batch)[1], method.losses(type(batch)(batch.x, None, tuple(noise)))[1]
    assert {term for term in before if not torch.equal(before[term], after[term])} == reaches
    assert not any(torch.isclose(before[term], after[term], rtol=1e-9).any() for term in reaches)


def test_it_needs_one_version_of_each_view_and_five_samples(method):
    assert method.second_version is False
    assert len(set(method.noise)) == len(method.noise) == 5
    assert not hasattr(method.settings, "kappa"), "with it the noise would be that of the sphere"


def test_the_cross_reconstruction_takes_the_shared_code_of_the_other_view(method, batch):
    """View 1 is decoded from its own private code and the shared code of view 2."""
    terms = method.losses(batch)[1]
    with torch.no_grad():  # decoder 2 says nothing: what is left of the term is the decoding of view 1
        for parameter in method.decoder2.parameters():
            parameter.zero_()
    silent = method.losses(batch)[1]["cross_reconstruction"]
    assert not torch.equal(silent, terms["cross_reconstruction"])
    silent.sum().backward()
    shared = slice(0, 2 * DIMENSIONS)
    last1, last2 = method.encoder1.weights[-1].grad, method.encoder2.weights[-1].grad
    assert (last1[..., shared] == 0).all() and (last2[..., shared] != 0).any()
    private = slice(2 * DIMENSIONS, 4 * DIMENSIONS)
    assert (last1[..., private] != 0).any() and (last2[..., private] == 0).all()


def test_networks_have_the_layers_asked_for(small):
    method = build("dmvae", small, layers=2, hidden=8)
    for m in (1, 2):
        (size,) = SHAPES[m - 1]
        assert getattr(method, f"encoder{m}").layers == [(size, 8), (8, 4 * DIMENSIONS)]
        assert getattr(method, f"decoder{m}").layers == [(2 * DIMENSIONS, 8), (8, size)]


def test_representations_are_the_means_of_the_clean_views(method, batch):
    """Shared ones per view, not their product; neither samples nor log variances."""
    x = tuple(view[1] for view in batch.x)
    for run in RUNS:
        codes = method.represent(run, x)
        assert set(codes) == {"zc1", "zc2", "zs1", "zs2"}
        shared, private = heads(method, run, x)
        for m in (1, 2):
            assert codes[f"zc{m}"].shape == codes[f"zs{m}"].shape == (BATCH, DIMENSIONS)
            np.testing.assert_allclose(codes[f"zc{m}"].detach(), shared[m][0], rtol=1e-9)
            np.testing.assert_allclose(codes[f"zs{m}"].detach(), private[m][0], rtol=1e-9)
