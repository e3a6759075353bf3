"""FOCAL's loss against a literal computation for one run, its switch, and codes that are trained together."""

from __future__ import annotations

import literal
import numpy as np
import pytest
import torch
from miniature import HYPERPARAMETERS, RUNS, build, draw_batch, views_of
from torch.nn.functional import normalize

A, LAM = HYPERPARAMETERS["focal"]["a"], HYPERPARAMETERS["focal"]["lam"]


@pytest.fixture
def method(small):
    return build("focal", small)


@pytest.fixture
def batch(method):
    return draw_batch(method)


def literal_terms(method, batch, run, hinge, temperature):
    """The three terms of one run, each pair of codes by name."""
    zc, zs = literal.four_codes(method, run, *views_of(batch, run))
    zc, zs = ({key: literal.unit(code) for key, code in codes.items()} for codes in (zc, zs))
    shared = literal.info_nce(zc[1, ""], zc[2, ""], temperature) + literal.info_nce(zc[1, "+"], zc[2, "+"], temperature)
    specific = sum(literal.info_nce(zs[m, ""], zs[m, "+"], temperature) for m in (1, 2))
    apart = [
        (zs[1, ""], zc[1, ""]), (zs[2, ""], zc[2, ""]), (zs[1, "+"], zc[1, "+"]), (zs[2, "+"], zc[2, "+"]),
        (zs[1, ""], zs[2, ""]), (zs[1, "+"], zs[2, "+"]),
    ]  # fmt: skip
    return shared, specific, sum(literal.mean_cosine(*pair, hinge) for pair in apart)


@pytest.mark.parametrize("cosine", ["signed", "hinge"])
@pytest.mark.parametrize("run", RUNS)
def test_loss_is_the_literal_one(small, batch, run, cosine):
    method = build("focal", small, cosine=cosine, temperature=0.2)
    shared, specific, overlap = literal_terms(method, batch, run, cosine == "hinge", 0.2)
    losses, terms = method.losses(batch)
    assert list(terms) == ["info_nce_shared", "info_nce_specific", "cosine"]
    assert terms["info_nce_shared"][run].item() == pytest.approx(shared, rel=1e-9)
    assert terms["info_nce_specific"][run].item() == pytest.approx(specific, rel=1e-9)
    assert terms["cosine"][run].item() == pytest.approx(overlap, rel=1e-9)
    expected = shared + A[run] * specific + LAM[run] * overlap
    assert losses["encoders"][run].item() == pytest.approx(expected, rel=1e-9)


def test_the_switch_matters_where_cosines_are_negative(small, batch):
    signed, hinge = (build("focal", small, cosine=one).losses(batch)[1]["cosine"] for one in ("signed", "hinge"))
    assert (hinge > signed + 1e-3).all()
    assert (hinge >= 0).all()


@pytest.mark.parametrize("cosine", ["signed", "hinge"])
def test_opposite_codes_are_rewarded_by_the_signed_cosine_alone(small, method, batch, monkeypatch, cosine):
    """The authors' form ends at zs = -zc, which holds all of the shared information; FOCAL's own is content at 0."""
    method = build("focal", small, cosine=cosine)
    code = normalize(torch.randn(4, 14, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), dim=-1)
    monkeypatch.setattr(method, "encode", lambda batch: ([code, code], [-code, -code]))
    overlap = method.losses(batch)[1]["cosine"]
    # Two versions of: two views with cosine -1, and zs1 with zs2 at 1.
    torch.testing.assert_close(overlap, torch.full((4,), -2.0 if cosine == "signed" else 2.0, dtype=torch.float64))


@pytest.mark.parametrize("term", ["info_nce_shared", "info_nce_specific", "cosine"])
def test_every_term_reaches_the_shared_encoders(method, batch, term):
    """The specific encoders see zc, which is not detached; step 2 of DisentangledSSL holds it constant."""
    method.losses(batch)[1][term].sum().backward()
    for name in ("zc1", "zc2"):
        for parameter in getattr(method, name).parameters():
            assert (parameter.grad != 0).flatten(1).any(1).all()


def test_it_samples_nothing(method):
    assert method.noise == ()
    assert not hasattr(method.settings, "kappa")


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
