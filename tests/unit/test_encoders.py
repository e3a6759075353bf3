"""Stacked encoders against torch's own layers, their initial values, and padding that nothing touches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, kstest, norm, uniform
from torch.nn.functional import linear

from disentangledssl.encoders import LANES, StackedMLP
from disentangledssl.streams import Stream

WIDTHS = [(30, 30, 30, 10), (17, 100, 100, 7), (100, 512, 100), (8, 32, 16), (5, 3)]


def streams(count):
    return [Stream("tiny", k % 2, k // 2) for k in range(count)]


def stack(runs, widths, weight_std=0.3):
    return StackedMLP(runs, widths).initialise(streams(runs), "zc1", weight_std)


def layers_of(encoder, run):
    """Weights as torch.nn.Linear keeps them, and biases, of one run."""
    for (inputs, outputs), weight, bias in zip(encoder.layers, encoder.weights, encoder.biases, strict=True):
        yield weight[run, :inputs, :outputs].T, bias[run, 0, :outputs]


def literal(encoder, run, x):
    for layer, (weight, bias) in enumerate(layers_of(encoder, run)):
        x = linear(torch.relu(x) if layer else x, weight, bias)
    return x


def padding(encoder):
    """Every entry that no layer reads."""
    for (inputs, outputs), weight, bias in zip(encoder.layers, encoder.weights, encoder.biases, strict=True):
        yield from (weight[:, inputs:], weight[:, :, outputs:], bias[..., outputs:])


@pytest.mark.parametrize("widths", WIDTHS)
def test_forward_is_torchs_layers_run_by_run(widths):
    encoder = stack(3, widths).double()
    x = torch.randn(3, 11, widths[0], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = encoder(x)
    assert found.shape == (3, 11, widths[-1])
    for run in range(3):
        torch.testing.assert_close(found[run], literal(encoder, run, x[run]))


def test_output_layer_has_no_relu_and_the_input_is_left_as_it_was():
    encoder = stack(2, (6, 8, 5))
    x = torch.randn(2, 200, 6, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    assert (encoder(x) < 0).any()
    encoder.single(0, x[0])
    assert torch.equal(x, before)


@pytest.mark.parametrize("widths", WIDTHS)
def test_single_is_forward(widths):
    encoder = stack(3, widths).double()
    x = torch.randn(11, widths[0], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = encoder(x.expand(3, -1, -1))
    for run in range(3):
        torch.testing.assert_close(encoder.single(run, x), whole[run])


def test_a_code_beside_the_view_is_more_inputs():
    encoder = stack(3, (9, 8, 5))
    draws = torch.Generator().manual_seed(0)
    x, code = torch.randn(3, 4, 6, generator=draws), torch.randn(3, 4, 3, generator=draws)
    assert encoder.outputs == 5
    assert torch.equal(encoder(x, code), encoder(torch.cat([x, code], dim=-1)))
    assert torch.equal(encoder.single(1, x[1], code[1]), encoder.single(1, torch.cat([x[1], code[1]], dim=-1)))


def test_a_run_reads_its_own_weights_only():
    encoder = stack(3, (6, 8, 5))
    x = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))
    before = encoder(x)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter[1] = float("nan")
    after = encoder(x)
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert torch.isnan(after[1]).all()


@pytest.mark.parametrize("widths", WIDTHS)
def test_a_runs_slice_is_whole_lanes(widths):
    for parameter in StackedMLP(3, widths).parameters():
        assert parameter[0].numel() % LANES == 0


@pytest.mark.parametrize("widths", WIDTHS)
def test_padding_stays_zero_in_training(widths):
    encoder = stack(2, widths)
    before = [parameter.detach().clone() for parameter in encoder.parameters()]
    optimiser = torch.optim.Adam(encoder.parameters(), lr=0.1, fused=True)
    draws = torch.Generator().manual_seed(0)
    for _ in range(5):
        optimiser.zero_grad(set_to_none=True)
        encoder(torch.randn(2, 9, widths[0], generator=draws)).square().mean().backward()
        optimiser.step()
    assert all((part == 0).all() for part in padding(encoder))
    assert all(not torch.equal(p, q) for p, q in zip(before, encoder.parameters(), strict=True))


# ---------------------------------------------------------------- bfloat16

PAPERS = (100, 512, 512, 100)


def pair(runs, widths, weight_std=0.1):
    """The same networks in both precisions."""
    return (
        StackedMLP(runs, widths, precision).initialise(streams(runs), "zc1", weight_std)
        for precision in ("float32", "bfloat16")
    )


def gradients(encoder, x, upstream):
    return torch.autograd.grad((encoder(x) * upstream).sum(), list(encoder.parameters()))


def gap(found, expected):
    """Length of the difference, as a share of what is expected."""
    return (torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected)).item()


@pytest.mark.parametrize("widths", [*WIDTHS, PAPERS])
def test_bfloat16_is_close_to_float32(widths):
    plain, rough = pair(3, widths)
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(3, 64, widths[0], generator=draws)
    upstream = torch.randn(3, 64, widths[-1], generator=draws)
    found, expected = rough(x), plain(x)
    assert found.dtype == torch.float32
    # One rounding is 2^-9 of a number; equality would mean that the option does nothing.
    assert 0 < gap(found, expected) < 0.01
    for mine, theirs in zip(gradients(rough, x, upstream), gradients(plain, x, upstream), strict=True):
        assert mine.dtype == torch.float32
        # Units near zero are on in one precision and off in the other, so a gradient is rougher than an output.
        assert gap(mine, theirs) < 0.15


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("widths", [*WIDTHS, PAPERS])
def test_bfloat16_alone_is_bfloat16_in_a_stack(widths):
    _, whole = pair(5, widths)
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(5, 48, widths[0], generator=draws)
    upstream = torch.randn(5, 48, widths[-1], generator=draws)
    together, slopes = whole(x), gradients(whole, x, upstream)
    for run in range(5):
        alone = StackedMLP(1, widths, "bfloat16").initialise([streams(5)[run]], "zc1", 0.1)
        assert torch.equal(alone(x[run : run + 1])[0], together[run])
        for mine, theirs in zip(gradients(alone, x[run : run + 1], upstream[run : run + 1]), slopes, strict=True):
            assert torch.equal(mine[0], theirs[run])


def test_single_stays_float32():
    plain, rough = pair(2, (17, 100, 7))
    x = torch.randn(11, 17, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rough.single(1, x), plain.single(1, x))


# ---------------------------------------------------------------- initial values


def test_initial_values_have_their_distributions():
    encoder = StackedMLP(1, (150, 200, 90)).initialise(streams(1), "zc1", 0.01)
    for weight, bias in layers_of(encoder, 0):
        inputs = weight.shape[1]
        assert kstest(weight.detach().flatten().numpy(), norm(0, 0.01).cdf).pvalue > 1e-3
        bound = 1 / np.sqrt(inputs)
        assert bias.abs().max() <= bound
        assert kstest(bias.detach().numpy(), uniform(-bound, 2 * bound).cdf).pvalue > 1e-3


def test_initial_values_without_a_standard_deviation_are_those_of_torchs_linear():
    layer = torch.nn.Linear(150, 200)
    weight, bias = next(layers_of(StackedMLP(1, (150, 200)).initialise(streams(1), "zc1", None), 0))
    for ours, theirs in ((weight, layer.weight), (bias, layer.bias)):
        ours, theirs = ours.detach().flatten().numpy(), theirs.detach().flatten().numpy()
        assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.03)
        assert ks_2samp(ours, theirs).pvalue > 1e-3


def test_initial_biases_have_the_bound_of_torchs_linear():
    torch_bias = torch.nn.Linear(50, 4000).bias.detach()
    _, bias = next(layers_of(StackedMLP(1, (50, 4000)).initialise(streams(1), "zc1", 0.01), 0))
    assert bias.abs().max().item() == pytest.approx(torch_bias.abs().max().item(), rel=0.01)


def test_initial_values_follow_stream_and_name_not_place():
    here = StackedMLP(3, (6, 8, 5)).initialise([Stream("a", 0, 0), Stream("a", 0, 1), Stream("a", 0, 0)], "zc1", 0.01)
    there = StackedMLP(1, (6, 8, 5)).initialise([Stream("a", 0, 1)], "zc1", 0.01)
    for some, one in zip(here.parameters(), there.parameters(), strict=True):
        assert torch.equal(some[1], one[0])
        assert torch.equal(some[0], some[2])
        assert not torch.equal(some[0], some[1])
    others = [
        StackedMLP(1, (6, 8, 5)).initialise([Stream("a", fold, seed)], name, 0.01).weights[0]
        for fold, seed, name in ((0, 1, "zc1"), (0, 1, "zc2"), (0, 2, "zc1"), (1, 1, "zc1"))
    ]
    for first, second in itertools.combinations(others, 2):
        assert not torch.equal(first, second)


def test_initial_values_scale_with_weight_std_and_use_no_global_generator():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    small, large = (StackedMLP(1, (6, 8)).initialise(streams(1), "zc1", std) for std in (0.01, 0.5))
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(small.weights[0] * 50, large.weights[0])
    assert torch.equal(small.biases[0], large.biases[0])
