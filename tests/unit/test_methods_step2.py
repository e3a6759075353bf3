"""Step 2's loss against a literal computation for one run, the frozen encoders, and starts that are shared."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from disentangledssl.batches import Batch
from disentangledssl.methods import Layout, load_method
from disentangledssl.settings import SharedSettings
from disentangledssl.streams import Stream

SIZES, BATCH, DIMENSIONS = (9, 6), 7, 5
LAMS = [0.0, 0.25, 100.0, 0.25]
STREAMS = [Stream("tiny", 0, 0), Stream("tiny", 0, 1)]
STREAM_OF_RUN = [0, 0, 1, 1]
SHARED = {"starts": ["a", "b"], "start_of_run": [0, 0, 1, 1], "stream_of_start": [0, 1]}
APART = {"starts": ["a", "a", "b", "b"], "start_of_run": [0, 1, 2, 3], "stream_of_start": [0, 0, 1, 1]}


def build(small, unit="rows", starts=SHARED):
    settings = SharedSettings(**small(hidden=8, dimensions=DIMENSIONS, weight_std=0.4, orthogonality=unit))
    shape = settings.model_dump(include={"hidden", "layers", "dimensions"})
    layout = Layout({"lam": LAMS}, STREAMS, STREAM_OF_RUN, start_shape=shape, **starts)
    method = load_method("step2")(SIZES, settings, layout)
    for name in ("zc1", "zc2"):
        streams = [STREAMS[k] for k in layout.stream_of_start]
        getattr(method, name).initialise(streams, name, settings.weight_std)
    method.initialise()
    return method.double()


@pytest.fixture
def batch():
    draws = torch.Generator().manual_seed(0)
    x, v = (
        tuple(torch.randn(2, BATCH, size, generator=draws, dtype=torch.float64) for size in SIZES) for _ in range(2)
    )
    return Batch(x, v, None)


def encode(encoder, run, x):
    """One row after the other through one run's layers."""
    rows = []
    for row in np.asarray(x):
        for layer, (inputs, outputs) in enumerate(encoder.layers):
            weight = encoder.weights[layer][run].detach().numpy()[:inputs, :outputs]
            bias = encoder.biases[layer][run, 0].detach().numpy()[:outputs]
            row = np.maximum(row, 0) if layer else row
            row = np.array([bias[o] + sum(row[i] * weight[i, o] for i in range(inputs)) for o in range(outputs)])
        rows.append(row)
    return np.array(rows)


def norm(numbers):
    return math.sqrt(sum(number**2 for number in numbers))


def info_nce(a, c, temperature):
    a, c = ([row / norm(row) for row in side] for side in (a, c))
    total = 0.0
    for first, second in ((a, c), (c, a)):
        for i, row in enumerate(first):
            terms = [math.exp(row @ other / temperature - 1 / temperature) for other in second]
            total -= math.log(terms[i] / sum(terms)) / 2 / len(first)
    return total


def orthogonality(p, q, unit):
    p, q = ((z if unit == "rows" else z.T) for z in (p, q))
    p, q = (np.array([line / norm(line) for line in z]) for z in (p, q))
    p, q = ((z if unit == "rows" else z.T) for z in (p, q))
    total = 0.0
    for k in range(p.shape[1]):
        for m in range(q.shape[1]):
            total += sum(p[i, k] * q[i, m] for i in range(len(p))) ** 2
    return math.sqrt(total)


@pytest.mark.parametrize("unit", ["rows", "columns"])
@pytest.mark.parametrize("run", range(len(LAMS)))
def test_loss_is_the_literal_one(small, batch, run, unit):
    method = build(small, unit)
    stream, start = STREAM_OF_RUN[run], SHARED["start_of_run"][run]
    zc, zs = {}, {}
    for version, views in (("", batch.x), ("+", batch.v)):
        for m in (1, 2):
            x = views[m - 1][stream].numpy()
            zc[m, version] = encode(getattr(method, f"zc{m}"), start, x)
            zs[m, version] = encode(getattr(method, f"zs{m}"), run, np.concatenate([x, zc[m, version]], axis=1))
    relevance, overlap = 0.0, 0.0
    for own, other in ((1, 2), (2, 1)):
        joint = [np.concatenate([zs[own, version], zc[other, version]], axis=1) for version in ("", "+")]
        relevance += info_nce(*joint, 0.07)
        overlap += sum(orthogonality(zs[own, version], zc[own, version], unit) for version in ("", "+")) / 2
    losses, terms = method.losses(batch)
    assert terms["info_nce"][run].item() == pytest.approx(relevance, rel=1e-9)
    assert terms["orthogonality"][run].item() == pytest.approx(overlap, rel=1e-9)
    assert losses["encoders"][run].item() == pytest.approx(relevance + LAMS[run] * overlap, rel=1e-9)


def test_the_specific_encoder_sees_the_view_and_its_own_raw_zc(small, batch):
    method = build(small)
    seen = {}
    for name in ("zs1", "zs2"):
        getattr(method, name).register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
    method.losses(batch)
    for m in (1, 2):
        for run in range(len(LAMS)):
            both = torch.cat([batch.x[m - 1], batch.v[m - 1]], dim=1)[STREAM_OF_RUN[run]]
            zc = getattr(method, f"zc{m}").single(SHARED["start_of_run"][run], both)
            torch.testing.assert_close(seen[f"zs{m}"][run], torch.cat([both, zc], dim=1))
            assert not torch.allclose(zc.norm(dim=1), torch.ones(2 * BATCH, dtype=torch.float64), atol=0.01)


def test_no_gradient_reaches_the_frozen_encoders(small, batch):
    method = build(small)
    losses, _ = method.losses(batch)
    losses["encoders"].sum().backward()
    for name in ("zc1", "zc2"):
        for parameter in getattr(method, name).parameters():
            assert parameter.grad is None
            assert not parameter.requires_grad
    for name in ("zs1", "zs2"):
        for parameter in getattr(method, name).parameters():
            assert (parameter.grad != 0).flatten(1).any(1).all()


def test_only_the_specific_encoders_are_trained(small):
    method = build(small)
    trained = {id(p) for p in method.parameter_groups()["encoders"]}
    assert trained == {id(p) for name in ("zs1", "zs2") for p in getattr(method, name).parameters()}
    assert {id(p) for p in method.parameters() if p.requires_grad} == trained


def test_initialising_leaves_the_frozen_encoders_alone(small):
    method = build(small)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method.initialise()
    for name, value in method.state_dict().items():
        if name.startswith("zc"):
            assert torch.equal(value, before[name])


def test_a_shared_start_equals_separate_ones(small, batch):
    shared, apart = build(small, starts=SHARED), build(small, starts=APART)
    for first, second in zip(shared.losses(batch), apart.losses(batch), strict=True):
        for name, values in first.items():
            assert torch.equal(values, second[name])
    for run in range(len(LAMS)):
        x = tuple(view[0] for view in batch.x)
        for name, codes in shared.represent(run, x).items():
            assert torch.equal(codes, apart.represent(run, x)[name])


def test_gradient_of_a_run_stays_in_its_slice(small, batch):
    method = build(small)
    losses, _ = method.losses(batch)
    losses["encoders"][2].backward()
    for parameter in method.parameter_groups()["encoders"]:
        assert (parameter.grad[[0, 1, 3]] == 0).all()


def test_runs_of_a_start_begin_alike_and_differ_by_lam_alone(small, batch):
    losses, terms = build(small).losses(batch)
    assert terms["info_nce"][2] == terms["info_nce"][3]
    torch.testing.assert_close(losses["encoders"][2] - losses["encoders"][3], 99.75 * terms["orthogonality"][2])
    assert losses["encoders"][0] == terms["info_nce"][0]


def test_representations_are_raw_outputs_of_the_clean_views(small, batch):
    method = build(small)
    for run in range(len(LAMS)):
        x = tuple(view[1] for view in batch.x)
        codes = method.represent(run, x)
        assert list(codes) == ["zc1", "zc2", "zs1", "zs2"]
        for m in (1, 2):
            zc = encode(getattr(method, f"zc{m}"), SHARED["start_of_run"][run], x[m - 1])
            zs = encode(getattr(method, f"zs{m}"), run, np.concatenate([x[m - 1], zc], axis=1))
            np.testing.assert_allclose(codes[f"zc{m}"].detach(), zc, rtol=1e-9)
            np.testing.assert_allclose(codes[f"zs{m}"].detach(), zs, rtol=1e-9)
