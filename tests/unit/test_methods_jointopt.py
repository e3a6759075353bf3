"""JointOpt's loss against a literal computation for one run, its switches, and codes that are trained together."""

from __future__ import annotations

import literal
import numpy as np
import pytest
import torch
from miniature import HYPERPARAMETERS, RUNS, build, draw_batch, noise_of, views_of

A, LAM = HYPERPARAMETERS["jointopt"]["a"], HYPERPARAMETERS["jointopt"]["lam"]
SAMPLE = {"": "sample", "+": "sample second version"}


@pytest.fixture
def method(small):
    return build("jointopt", small)


@pytest.fixture
def batch(method):
    return draw_batch(method)


def literal_terms(method, batch, run, kind, temperature):
    """Lsh, Lsp and Lor of one run."""
    zc, zs = literal.four_codes(method, run, *views_of(batch, run))
    noise, shared = noise_of(method, batch, run), 0.0
    for version in ("", "+"):
        samples = []
        for m in (1, 2):
            means, draws = literal.unit(zc[m, version]), noise[SAMPLE[version], m]
            samples.append([literal.reflect(mean, draw) for mean, draw in zip(means, draws, strict=True)])
        shared += literal.info_nce(*samples, temperature) / 2
    return shared, literal.specific_info_nce(zc, zs, temperature), literal.half_orthogonality(zc, zs, kind)


@pytest.mark.parametrize("normaliser", [True, False])
@pytest.mark.parametrize("kind", ["rows", "columns"])
@pytest.mark.parametrize("run", RUNS)
def test_loss_is_the_literal_one(small, run, kind, normaliser):
    method = build("jointopt", small, orthogonality=kind, normaliser=normaliser, temperature=0.2, kappa=30.0)
    batch = draw_batch(method)
    shared, specific, overlap = literal_terms(method, batch, run, kind, 0.2)
    losses, terms = method.losses(batch)
    assert list(terms) == ["info_nce_shared", "info_nce_specific", "orthogonality"]
    assert terms["info_nce_shared"][run].item() == pytest.approx(shared, rel=1e-9)
    assert terms["info_nce_specific"][run].item() == pytest.approx(specific, rel=1e-9)
    assert terms["orthogonality"][run].item() == pytest.approx(overlap, rel=1e-9)
    relevance = (2 * shared + A[run] * specific) / (1 + A[run] if normaliser else 1)
    assert losses["encoders"][run].item() == pytest.approx(relevance + LAM[run] * overlap, rel=1e-9)


def test_the_normaliser_divides_the_relevance_and_not_the_overlap(small, batch):
    hyperparameters = {"a": [3.0, 3.0, 3.0, 3.0], "lam": [0.0, 1.0, 0.0, 1.0]}
    with_it, without = (
        build("jointopt", small, normaliser=normaliser, hyperparameters=hyperparameters).losses(batch)[0]["encoders"]
        for normaliser in (True, False)
    )
    torch.testing.assert_close(with_it[[0, 2]], without[[0, 2]] / 4)
    torch.testing.assert_close(with_it[[1, 3]] - with_it[[0, 2]], without[[1, 3]] - without[[0, 2]])


@pytest.mark.parametrize("term", ["info_nce_shared", "info_nce_specific", "orthogonality"])
def test_every_term_reaches_the_shared_encoders(method, batch, term):
    """What "joint" means; step 2 holds zc constant."""
    method.losses(batch)[1][term].sum().backward()
    for name in ("zc1", "zc2"):
        for parameter in getattr(method, name).parameters():
            assert (parameter.grad != 0).flatten(1).any(1).all()


def test_the_shared_term_leaves_the_specific_encoders_alone(method, batch):
    method.losses(batch)[1]["info_nce_shared"].sum().backward()
    assert all(p.grad is None for name in ("zs1", "zs2") for p in getattr(method, name).parameters())


def test_zc_is_sampled_for_the_shared_term_alone(method, batch):
    """The specific encoders see the raw zc, whatever the noise."""
    before = method.losses(batch)[1]
    after = method.losses(type(batch)(batch.x, batch.v, tuple(draw.flip(1) for draw in batch.noise)))[1]
    assert not torch.equal(after["info_nce_shared"], before["info_nce_shared"])
    for name in ("info_nce_specific", "orthogonality"):
        assert torch.equal(after[name], before[name])


def test_each_version_of_each_view_has_noise_of_its_own(method, batch):
    assert len(set(method.noise)) == 4
    before = method.losses(batch)[1]["info_nce_shared"]
    for place in range(4):
        noise = list(batch.noise)
        noise[place] = noise[place].flip(1)
        after = method.losses(type(batch)(batch.x, batch.v, tuple(noise)))[1]["info_nce_shared"]
        assert not torch.isclose(after, before).any(), method.noise[place]


def test_terms_of_the_specific_codes_are_those_of_step2(small, method, batch):
    step2 = build("step2", small, starts={"starts": list("abcd"), "start_of_run": [0, 1, 2, 3],
                                          "stream_of_start": [0, 0, 1, 1]})  # fmt: skip
    step2.load_state_dict(method.state_dict())
    terms = step2.losses(batch)[1]
    torch.testing.assert_close(terms["info_nce"], method.losses(batch)[1]["info_nce_specific"])
    torch.testing.assert_close(terms["orthogonality"], method.losses(batch)[1]["orthogonality"])


def test_there_is_no_beta(method):
    assert not hasattr(method, "beta")


def test_representations_are_raw_outputs_of_the_clean_views(method, batch):
    x = tuple(view[1] for view in batch.x)
    for run in RUNS:
        codes = method.represent(run, x)
        zc, zs = literal.four_codes(method, run, x, x)
        assert list(codes) == ["zc1", "zc2", "zs1", "zs2"]
        for m in (1, 2):
            np.testing.assert_allclose(codes[f"zc{m}"].detach(), zc[m, ""], rtol=1e-9)
            np.testing.assert_allclose(codes[f"zs{m}"].detach(), zs[m, ""], rtol=1e-9)
            assert not np.allclose(np.linalg.norm(zc[m, ""], axis=1), 1, atol=0.01)
