"""Step 2's loss against a literal computation for one run, the frozen encoders, and starts that are shared."""

from __future__ import annotations

import literal
import numpy as np
import pytest
import torch
from miniature import APART, BATCH, HYPERPARAMETERS, RUNS, SHARED, STREAM_OF_RUN, build, draw_batch, views_of

LAMS = HYPERPARAMETERS["step2"]["lam"]


@pytest.fixture
def method(small):
    return build("step2", small)


@pytest.fixture
def batch(method):
    return draw_batch(method)


@pytest.mark.parametrize("kind", ["rows", "columns"])
@pytest.mark.parametrize("run", RUNS)
def test_loss_is_the_literal_one(small, batch, run, kind):
    method = build("step2", small, orthogonality=kind)
    zc, zs = literal.four_codes(method, run, *views_of(batch, run), start=SHARED["start_of_run"][run])
    relevance, overlap = literal.specific_info_nce(zc, zs, 0.07), literal.half_orthogonality(zc, zs, kind)
    losses, terms = method.losses(batch)
    assert terms["info_nce"][run].item() == pytest.approx(relevance, rel=1e-9)
    assert terms["orthogonality"][run].item() == pytest.approx(overlap, rel=1e-9)
    assert losses["encoders"][run].item() == pytest.approx(relevance + LAMS[run] * overlap, rel=1e-9)


def test_the_specific_encoder_sees_the_view_and_its_own_raw_zc(method, batch):
    seen = {}
    for name in ("zs1", "zs2"):
        getattr(method, name).register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args}))
    method.losses(batch)
    for m in (1, 2):
        for run in RUNS:
            both = torch.cat([batch.x[m - 1], batch.v[m - 1]], dim=1)[STREAM_OF_RUN[run]]
            zc = getattr(method, f"zc{m}").single(SHARED["start_of_run"][run], both)
            view, code = seen[f"zs{m}"]
            torch.testing.assert_close(view[run], both)
            torch.testing.assert_close(code[run], zc)
            assert not torch.allclose(zc.norm(dim=1), torch.ones(2 * BATCH, dtype=torch.float64), atol=0.01)


def test_no_gradient_reaches_the_frozen_encoders(method, batch):
    losses, _ = method.losses(batch)
    losses["encoders"].sum().backward()
    for name in ("zc1", "zc2"):
        for parameter in getattr(method, name).parameters():
            assert parameter.grad is None
            assert not parameter.requires_grad
    for name in ("zs1", "zs2"):
        for parameter in getattr(method, name).parameters():
            assert (parameter.grad != 0).flatten(1).any(1).all()


def test_only_the_specific_encoders_are_trained(method):
    trained = {id(p) for p in method.parameter_groups()["encoders"]}
    assert trained == {id(p) for name in ("zs1", "zs2") for p in getattr(method, name).parameters()}
    assert {id(p) for p in method.parameters() if p.requires_grad} == trained


def test_initialising_leaves_the_frozen_encoders_alone(method):
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method.initialise()
    for name, value in method.state_dict().items():
        if name.startswith("zc"):
            assert torch.equal(value, before[name])


def test_a_shared_start_equals_separate_ones(small, batch):
    shared, apart = build("step2", small, starts=SHARED), build("step2", small, starts=APART)
    for first, second in zip(shared.losses(batch), apart.losses(batch), strict=True):
        for name, values in first.items():
            assert torch.equal(values, second[name])
    for run in RUNS:
        x = tuple(view[0] for view in batch.x)
        for name, codes in shared.represent(run, x).items():
            assert torch.equal(codes, apart.represent(run, x)[name])


def test_runs_of_a_start_differ_by_lam_alone(method, batch):
    losses, terms = method.losses(batch)
    torch.testing.assert_close(losses["encoders"][2] - losses["encoders"][3], 99.75 * terms["orthogonality"][2])
    assert losses["encoders"][0] == terms["info_nce"][0]


def test_representations_are_raw_outputs_of_the_clean_views(method, batch):
    for run in RUNS:
        x = tuple(view[1] for view in batch.x)
        codes = method.represent(run, x)
        assert list(codes) == ["zc1", "zc2", "zs1", "zs2"]
        for m in (1, 2):
            zc = literal.encode(getattr(method, f"zc{m}"), SHARED["start_of_run"][run], x[m - 1])
            zs = literal.encode(getattr(method, f"zs{m}"), run, np.concatenate([x[m - 1], zc], axis=1))
            np.testing.assert_allclose(codes[f"zc{m}"].detach(), zc, rtol=1e-9)
            np.testing.assert_allclose(codes[f"zs{m}"].detach(), zs, rtol=1e-9)
