"""Stacked sequence encoders against torch's own, run by run; masks, dropout, initial values, and padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest, uniform
from torch import nn

from disentangledssl.encoders import LANES
from disentangledssl.sequence_encoders import SequenceEncoder
from disentangledssl.sequence_layers import Dropout, StackedLinear
from disentangledssl.streams import Stream

STEPS, FEATURES, WIDTH, BATCH, RUNS = 6, 3, 10, 4, 3
TRANSFORMER = {
    "network": "transformer", "width": WIDTH, "layers": 3, "heads": 5, "feedforward": 14, "dropout": 0.3,
    "readout": "last_step",
}  # fmt: skip
GRU = {"network": "gru", "hidden": 7, "per_step": 4}
READOUTS = ("last_step", "last_valid", "mean")
EVERY = [pytest.param(TRANSFORMER | {"readout": readout}, id=readout) for readout in READOUTS] + [
    pytest.param(GRU, id="gru")
]
every = pytest.mark.parametrize("sequences", EVERY)


def streams(count):
    return [Stream("tiny", k % 2, k // 2) for k in range(count)]


def stack(sequences, runs=RUNS, **others):
    return SequenceEncoder(runs, (STEPS, FEATURES), sequences, **others).initialise(streams(runs), "zc1", 0.01)


def draw(*shape, seed=0, dtype=torch.float64, width=FEATURES):
    """Sequences of every length from 1 to all steps, their padding 0, with the channel that tells it."""
    draws = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, STEPS + 1, shape, generator=draws)
    lengths.view(-1)[:2] = torch.tensor([1, STEPS])
    valid = (torch.arange(STEPS) < lengths[..., None]).to(dtype)
    values = torch.randn(*shape, STEPS, width, generator=draws, dtype=dtype)
    return torch.cat([values * valid[..., None], valid[..., None]], dim=-1)


def parts(layer, run):
    """Weight and bias of a linear layer as torch keeps them."""
    weight = layer.weight[run, :, : layer.outputs].detach().T
    return weight, None if layer.bias is None else layer.bias[run, 0, : layer.outputs].detach()


def fill(linear, layer, run):
    with torch.no_grad():
        for mine, theirs in zip(parts(layer, run), (linear.weight, linear.bias), strict=True):
            if mine is not None:
                theirs.copy_(mine)
    return linear


def torchs_transformer(encoder, run, sequences):
    """The same network of torch's own modules."""
    layer = nn.TransformerEncoderLayer(
        WIDTH, sequences["heads"], sequences["feedforward"], sequences["dropout"], batch_first=True, dtype=torch.float64
    )
    network = nn.TransformerEncoder(layer, sequences["layers"], enable_nested_tensor=False)
    for theirs, mine in zip(network.layers, encoder.network.layers, strict=True):
        with torch.no_grad():
            (query, none), (key_value, some) = parts(mine.query, run), parts(mine.key_value, run)
            theirs.self_attn.in_proj_weight.copy_(torch.cat([query, key_value]))
            theirs.self_attn.in_proj_bias.copy_(torch.cat([none, some]))
            for norm, own in ((theirs.norm1, mine.norm1), (theirs.norm2, mine.norm2)):
                norm.weight.copy_(own.scale[run, 0, :WIDTH])
                norm.bias.copy_(own.shift[run, 0, :WIDTH])
        fill(theirs.self_attn.out_proj, mine.output, run)
        fill(theirs.linear1, mine.first, run)
        fill(theirs.linear2, mine.second, run)
    convolution = nn.Conv1d(FEATURES, WIDTH, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        convolution.weight.copy_(parts(encoder.network.embedding, run)[0][..., None])
    return nn.ModuleList([convolution, network.eval()])


def run_torchs_transformer(modules, x, readout):
    """As the reference has it, or with padding masked."""
    convolution, network = modules
    valid = x[..., -1] == 1
    steps = convolution(x[..., :-1].transpose(1, 2)).transpose(1, 2)
    out = network(steps, src_key_padding_mask=None if readout == "last_step" else ~valid)
    if readout == "last_step":
        return out[:, -1]
    if readout == "last_valid":
        return torch.stack([row[keep][-1] for row, keep in zip(out, valid, strict=True)])
    return torch.stack([row[keep].mean(0) for row, keep in zip(out, valid, strict=True)])


def torchs_gru(encoder, run, sequences):
    own = encoder.network
    network = nn.GRU(FEATURES, sequences["hidden"], batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for layer, name in ((own.input, "ih"), (own.state, "hh")):
            weight, bias = parts(layer, run)
            getattr(network, f"weight_{name}_l0").copy_(weight)
            getattr(network, f"bias_{name}_l0").copy_(bias)
    linear = nn.Linear(sequences["hidden"], sequences["per_step"], dtype=torch.float64)
    return nn.ModuleList([network, fill(linear, own.step, run)])


def oracle(encoder, run, sequences):
    """A function of ``(batch, steps, features + 1)``, and its modules."""
    if sequences["network"] == "gru":
        modules = torchs_gru(encoder, run, sequences)
        return (lambda x: modules[1](modules[0](x[..., :-1])[0]).flatten(1)), modules
    modules = torchs_transformer(encoder, run, sequences)
    return (lambda x: run_torchs_transformer(modules, x, sequences["readout"])), modules


def untidy(encoder):
    """Biases, scales and shifts that are neither 0 nor 1."""
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "bias" in name or "norm" in name:
                parameter += 0.3 * torch.randn(parameter.shape, generator=draws, dtype=parameter.dtype)
    return encoder


@every
def test_outputs_and_gradients_are_torchs_own_run_by_run(sequences):
    encoder = untidy(stack(sequences).double())
    x = draw(RUNS, BATCH).requires_grad_()
    found = encoder(x)
    assert found.shape == (RUNS, BATCH, encoder.outputs)
    upstream = torch.randn(found.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    names, parameters = zip(*encoder.named_parameters(), strict=True)
    slopes = dict(zip(names, torch.autograd.grad((found * upstream).sum(), parameters, retain_graph=True), strict=True))
    (to_views,) = torch.autograd.grad((found * upstream).sum(), [x])
    for run in range(RUNS):
        function, modules = oracle(encoder, run, sequences)
        view = x[run].detach().requires_grad_()
        expected = function(view)
        torch.testing.assert_close(found[run], expected)
        (expected * upstream[run]).sum().backward()
        torch.testing.assert_close(to_views[run, ..., :-1], view.grad[..., :-1])
        if sequences["network"] == "gru":
            network, linear = modules
            pairs = [
                ("input.weight", network.weight_ih_l0), ("input.bias", network.bias_ih_l0),
                ("state.weight", network.weight_hh_l0), ("state.bias", network.bias_hh_l0),
                ("step.weight", linear.weight), ("step.bias", linear.bias),
            ]  # fmt: skip
        else:
            pairs = [("embedding.weight", modules[0].weight)]
            for place, layer in enumerate(modules[1].layers):
                pairs += [
                    (f"layers.{place}.{ours}", parameter)
                    for ours, parameter in (
                        ("output.weight", layer.self_attn.out_proj.weight), ("first.weight", layer.linear1.weight),
                        ("first.bias", layer.linear1.bias), ("second.weight", layer.linear2.weight),
                        ("norm1.scale", layer.norm1.weight), ("norm2.shift", layer.norm2.bias),
                    )
                ]  # fmt: skip
                query, key_value = layer.self_attn.in_proj_weight.grad.split([WIDTH, 2 * WIDTH])
                for ours, expected in (("query", query), ("key_value", key_value)):
                    slope = slopes[f"network.layers.{place}.{ours}.weight"][run].T[: len(expected)]
                    torch.testing.assert_close(slope, expected)
        for ours, parameter in pairs:
            slope = slopes[f"network.{ours}"][run].squeeze(0)
            expected = parameter.grad.squeeze(-1).T if parameter.dim() > 1 else parameter.grad
            slope = slope[..., : expected.shape[-1]]
            torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize("sequences", EVERY[1:3])
def test_a_mask_hides_padding(sequences):
    encoder = untidy(stack(sequences).double())
    x = draw(RUNS, BATCH)
    spoiled = x.clone()
    spoiled[..., :-1] += 100 * (1 - x[..., -1:])
    torch.testing.assert_close(encoder(spoiled), encoder(x))


def test_the_last_step_is_read_and_padding_looked_at_as_in_the_reference():
    encoder = untidy(stack(TRANSFORMER).double())
    x = draw(RUNS, BATCH)
    blind = x.clone()
    blind[..., -1] = 1
    assert torch.equal(encoder(blind), encoder(x))
    reversed_steps = torch.cat([x[:, :, :-1].flip(2), x[:, :, -1:]], dim=2)
    torch.testing.assert_close(encoder(reversed_steps), encoder(x))  # no positions


@every
def test_single_is_forward(sequences):
    encoder = untidy(stack(sequences, outputs=5, beside=2).double())
    x, code = draw(BATCH), torch.randn(BATCH, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    whole = encoder(x.expand(RUNS, *x.shape), code.expand(RUNS, *code.shape))
    assert whole.shape == (RUNS, BATCH, 5)
    for run in range(RUNS):
        torch.testing.assert_close(encoder.single(run, x, code), whole[run])


def test_the_code_beside_reaches_the_last_layer_alone():
    encoder = stack(GRU, outputs=5, beside=2).double()
    x, code = draw(RUNS, BATCH), torch.ones(RUNS, BATCH, 2, dtype=torch.float64)
    weight = encoder.last.weight[:, encoder.network.width :, :5]
    difference = encoder(x, 3 * code) - encoder(x, code)
    torch.testing.assert_close(difference, torch.bmm(2 * code, weight))


@every
def test_a_run_reads_its_own_weights_only(sequences):
    encoder = stack(sequences, outputs=5)
    x = draw(RUNS, BATCH, dtype=torch.float32)
    before = encoder(x)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter[1] = float("nan")
    after = encoder(x)
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert torch.isnan(after[1]).all()


@every
def test_a_runs_slice_is_whole_lanes(sequences):
    for parameter in stack(sequences, outputs=5).parameters():
        assert parameter[0].numel() % LANES == 0


@every
def test_padding_of_parameters_stays_zero_in_training(sequences):
    encoder = stack(sequences, outputs=5)
    before = [parameter.detach().clone() for parameter in encoder.parameters()]
    optimiser = torch.optim.Adam(encoder.parameters(), lr=0.1, fused=True)
    for seed in range(3):
        optimiser.zero_grad(set_to_none=True)
        encoder(draw(RUNS, BATCH, seed=seed, dtype=torch.float32)).square().mean().backward()
        optimiser.step()
    assert all(not torch.equal(p, q) for p, q in zip(before, encoder.parameters(), strict=True))
    for layer in encoder.modules():
        if isinstance(layer, StackedLinear):
            for parameter in layer.parameters():
                assert (parameter[..., layer.outputs :] == 0).all()


def test_bfloat16_is_close_to_float32_and_single_stays_float32():
    plain, rough = (stack(TRANSFORMER, outputs=5, precision=one) for one in ("float32", "bfloat16"))
    x = draw(RUNS, BATCH, dtype=torch.float32)
    expected, found = plain(x), rough(x)
    assert found.dtype == torch.float32
    gap = torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected)
    assert 0 < gap < 0.05
    assert torch.equal(rough.single(1, x[0]), plain.single(1, x[0]))


# ---------------------------------------------------------------- dropout


class Noted(Dropout):
    """Dropout that notes its masks in the order of use: one ``(rows ..., width)`` a stream."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.noted = []

    def masks(self, shape, kind):
        self.noted.append(super().masks(shape, kind))
        return self.noted[-1]


def test_dropout_is_where_torch_has_it():
    """The same masks in torch's own layers, whose attention is written out here; gradients, too."""
    sequences, index = TRANSFORMER | {"readout": "mean"}, [1, 0, 1]
    encoder = untidy(stack(sequences).double())
    encoder.dropout = noted = Noted(streams(2), index, "zc1", 0, 0.3, torch.device("cpu"))
    x = draw(RUNS, BATCH).requires_grad_()
    found = encoder(x)
    assert len(noted.noted) == 4 * sequences["layers"]
    (slopes,) = torch.autograd.grad(found.square().sum(), [x])
    for run in range(RUNS):
        convolution, network = torchs_transformer(encoder, run, sequences)
        masks = iter(
            (mask if mask.dim() == 4 else mask.view(BATCH, STEPS, -1)) * noted.scale
            for mask in (drawn[index[run]] for drawn in noted.noted)
        )
        steps = convolution(x[run, ..., :-1].transpose(1, 2)).transpose(1, 2)
        hidden = torch.where(x[run, :, None, None, :, -1] == 1, 0.0, float("-inf"))
        for layer in network.layers:
            kept = [next(masks) for _ in range(4)]
            inner = nn.functional.linear(steps, layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias)
            query, key, value = (
                one.unflatten(-1, (sequences["heads"], -1)).transpose(1, 2) for one in inner.chunk(3, dim=-1)
            )
            scores = query @ key.transpose(-1, -2) / np.sqrt(query.shape[-1])
            attended = torch.softmax(scores + hidden, dim=-1) * kept[0] @ value
            attended = layer.self_attn.out_proj(attended.transpose(1, 2).flatten(2))
            steps = layer.norm1(steps + attended * kept[1])
            forward = layer.linear2(torch.relu(layer.linear1(steps)) * kept[2])
            steps = layer.norm2(steps + forward * kept[3])
        valid = x[run, ..., -1:]
        expected = (steps * valid).sum(1) / valid.sum(1)
        torch.testing.assert_close(found[run], expected)
        (slope,) = torch.autograd.grad(expected.square().sum(), [x])
        torch.testing.assert_close(slopes[run, ..., :-1], slope[run, ..., :-1])


def test_nothing_is_dropped_before_an_epoch_begins_nor_alone():
    encoder = stack(TRANSFORMER, outputs=5).double()
    x = draw(RUNS, BATCH)
    before, alone = encoder(x), encoder.single(1, x[1])
    encoder.begin_epoch(streams(RUNS), range(RUNS), "zc1", 0)
    assert not torch.allclose(encoder(x), before)
    assert torch.equal(encoder.single(1, x[1]), alone)


def test_an_epoch_begun_again_drops_the_same():
    encoder = stack(TRANSFORMER, outputs=5)
    x, found = draw(RUNS, BATCH, dtype=torch.float32), []
    for epoch in (0, 1, 1):
        encoder.begin_epoch(streams(RUNS), range(RUNS), "zc1", epoch)
        found.append([encoder(x) for _ in range(2)])
    assert all(torch.equal(one, other) for one, other in zip(*found[1:], strict=True))
    assert not torch.equal(found[0][0], found[1][0])


# ---------------------------------------------------------------- initial values


def bounds(parameter):
    return parameter.detach().abs().max().item()


def test_initial_values_are_drawn_as_torchs_transformer_layer_does():
    width, inner = 60, 800
    own = TRANSFORMER | {"width": width, "layers": 2, "feedforward": inner}
    encoder = SequenceEncoder(1, (STEPS, 40), own, outputs=50).initialise(streams(1), "zc1", 0.01)
    theirs = nn.TransformerEncoderLayer(width, 5, inner)
    for mine in encoder.network.layers:
        both = torch.cat([parts(mine.query, 0)[0], parts(mine.key_value, 0)[0]])
        pairs = [
            (both, theirs.self_attn.in_proj_weight), (parts(mine.output, 0)[0], theirs.self_attn.out_proj.weight),
            (parts(mine.first, 0)[0], theirs.linear1.weight), (parts(mine.second, 0)[0], theirs.linear2.weight),
            (parts(mine.first, 0)[1], theirs.linear1.bias), (parts(mine.second, 0)[1], theirs.linear2.bias),
        ]  # fmt: skip
        for ours, reference in pairs:
            bound = bounds(reference)
            assert bounds(ours) == pytest.approx(bound, rel=0.05)
            assert kstest(ours.flatten().numpy(), uniform(-bounds(ours), 2 * bounds(ours)).cdf).pvalue > 1e-3
        for layer, bias in ((mine.query, theirs.self_attn.in_proj_bias), (mine.output, theirs.self_attn.out_proj.bias)):
            assert (parts(layer, 0)[1] == 0).all() and (bias == 0).all()
        for norm in (mine.norm1, mine.norm2):
            assert (norm.scale[..., :width] == 1).all() and (norm.shift == 0).all()
    first, second = (layer.first.weight for layer in encoder.network.layers)
    assert not torch.equal(first, second)
    convolution, last = nn.Conv1d(40, width, 1), nn.Linear(width, 50)
    assert bounds(parts(encoder.network.embedding, 0)[0]) == pytest.approx(bounds(convolution.weight), rel=0.05)
    assert bounds(parts(encoder.last, 0)[0]) == pytest.approx(bounds(last.weight), rel=0.05)


def test_initial_values_are_drawn_as_torchs_gru_does():
    encoder = SequenceEncoder(1, (STEPS, 40), GRU | {"hidden": 50}).initialise(streams(1), "zc1", 0.01)
    theirs = nn.GRU(40, 50)
    for layer, name in ((encoder.network.input, "ih"), (encoder.network.state, "hh")):
        for mine, kind in zip(parts(layer, 0), ("weight", "bias"), strict=True):
            assert bounds(mine) == pytest.approx(bounds(getattr(theirs, f"{kind}_{name}_l0")), rel=0.05)


@every
def test_initial_values_follow_stream_and_name_not_place(sequences):
    def drawn(members, name="zc1"):
        return SequenceEncoder(len(members), (STEPS, FEATURES), sequences, outputs=5).initialise(members, name, 0.01)

    first, second = Stream("a", 0, 0), Stream("a", 0, 1)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    here, there, other = drawn([first, second, first]), drawn([second]), drawn([second], "zc2")
    assert torch.equal(before, torch.get_rng_state())
    for some, one in zip(here.parameters(), there.parameters(), strict=True):
        assert torch.equal(some[1], one[0])
        assert torch.equal(some[0], some[2])
    assert not torch.equal(here.last.weight[0], here.last.weight[1])
    assert not torch.equal(there.last.weight, other.last.weight)
