"""FactorCL's two losses against a literal computation for one run, and who moves whom."""

from __future__ import annotations

import literal
import numpy as np
import pytest
import torch
from miniature import BATCH, DIMENSIONS, RUNS, build, draw_batch, views_of
from torch import nn

from disentangledssl import config
from disentangledssl.methods.factorcl import CLUB_CRITICS, HEADS, NCE_CRITICS
from disentangledssl.optimiser import Adam
from disentangledssl.training import Record, make_step

WIDTHS = pytest.mark.parametrize("head_width", ["kept", "divided"])


@pytest.fixture
def method(small):
    return build("factorcl", small)


@pytest.fixture
def batch(method):
    return draw_batch(method)


class Lone:
    """One run's networks as torch's own layers, which share no tensor with the stack; every pair is scored alone."""

    def __init__(self, method, run):
        self.networks = {name: literal.as_torch(getattr(method, name), run) for name in method.trained}

    def scores(self, critic, u, v):
        f = self.networks[f"critic_{critic}"]
        return [[f(torch.cat([u[k], v[j]]))[0] for j in range(len(v))] for k in range(len(u))]

    def nce(self, critic, u, v):
        scores, total = self.scores(critic, u, v), 0
        for j in range(BATCH):
            among = sum(torch.exp(scores[k][j]) for k in range(BATCH))
            total = total + scores[j][j] - (torch.log(among) - np.log(BATCH))
        return total / BATCH

    def club(self, critic, u, v):
        scores = self.scores(critic, u, v)
        positive = sum(scores[i][i] for i in range(BATCH)) / BATCH
        return positive - sum(scores[k][i] for i in range(BATCH) for k in range(BATCH)) / BATCH**2

    def losses(self, x, v):
        n = self.networks
        h1, h2 = (n[f"emb{m}"](torch.from_numpy(x[m - 1])) for m in (1, 2))
        h1_plus, h2_plus = (n[f"emb{m}"](torch.from_numpy(v[m - 1])) for m in (1, 2))

        def conditional(name):
            first = torch.cat([n[f"head_{name}1"](h1), n[f"head_{name}1"](h1_plus)], 1)
            return first, torch.cat([n[f"head_{name}2"](h2), n[f"head_{name}2"](h2_plus)], 1)

        shared = n["head_shared1"](h1), n["head_shared2"](h2)
        club = n["head_club1"](h1), n["head_club2"](h2)
        unique1 = n["head_unique1"](h1), n["head_unique1"](h1_plus)
        unique2 = n["head_unique2"](h2), n["head_unique2"](h2_plus)
        given, club_given = conditional("conditional"), conditional("conditional_club")
        terms = {
            "nce_shared": self.nce("shared", *shared),
            "nce_unique1": self.nce("unique1", *unique1),
            "nce_unique2": self.nce("unique2", *unique2),
            "nce_conditional": self.nce("conditional", *given),
            "club": self.club("club", *club),
            "conditional_club": self.club("conditional_club", *club_given),
            "nce_club": self.nce("club", *club),
            "nce_conditional_club": self.nce("conditional_club", *club_given),
        }
        encoders = (
            -terms["nce_shared"] + terms["club"] - terms["nce_unique1"] - terms["nce_unique2"]
            - terms["nce_conditional"] + terms["conditional_club"]
        )  # fmt: skip
        return {"encoders": encoders, "critics": -terms["nce_club"] - terms["nce_conditional_club"]}, terms


@pytest.mark.parametrize(("run", "head_width"), [(0, "kept"), (2, "divided")])
def test_losses_terms_and_gradients_are_the_literal_ones(small, run, head_width):
    """The gradient of each loss, for the networks of its own group alone."""
    method = build("factorcl", small, head_width=head_width, critic_hidden=9)
    batch = draw_batch(method)
    losses, terms = method.losses(batch)
    lone = Lone(method, run)
    expected, expected_terms = lone.losses(*views_of(batch, run))
    assert list(terms) == list(expected_terms)
    for found, wanted in ((losses, expected), (terms, expected_terms)):
        for name, value in wanted.items():
            assert found[name][run].item() == pytest.approx(value.item(), rel=1e-10, abs=1e-14), name
    clubs = [f"critic_{name}" for name in CLUB_CRITICS]
    groups = {"critics": clubs, "encoders": [name for name in method.trained if name not in clubs]}
    assert list(losses) == list(method.parameter_groups())
    for group, names in groups.items():
        stacked, own, cuts = [], [], []
        for name in names:
            network, layers = getattr(method, name), [one for one in lone.networks[name] if isinstance(one, nn.Linear)]
            for layer, weight, bias in zip(layers, network.weights, network.biases, strict=True):
                i, o = layer.in_features, layer.out_features
                stacked, own = [*stacked, weight], [*own, layer.weight]
                cuts.append(lambda gradient, i=i, o=o: gradient[run, :i, :o].T)
                if bias.requires_grad:
                    stacked, own = [*stacked, bias], [*own, layer.bias]
                    cuts.append(lambda gradient, o=o: gradient[run, 0, :o])
        found = torch.autograd.grad(losses[group].sum(), stacked)
        wanted = torch.autograd.grad(expected[group], own, retain_graph=True)
        for gradient, cut, literal_gradient in zip(found, cuts, wanted, strict=True):
            torch.testing.assert_close(cut(gradient), literal_gradient, rtol=1e-8, atol=1e-14)
    (unused,) = torch.autograd.grad(expected["encoders"], lone.networks["critic_shared"][-1].bias)
    assert unused.abs().max() < 1e-12, "what is not trained has no gradient"


def test_each_loss_moves_its_own_group_alone(method, batch):
    """As the training loop calls them: two backward passes, which share no graph."""
    groups, before = method.parameter_groups(), {}
    losses, _ = method.losses(batch)
    for mover, other in (("encoders", "critics"), ("critics", "encoders")):
        for parameter in method.parameters():
            parameter.grad = None
        losses[mover].sum().backward()
        assert all((p.grad != 0).any() for p in groups[mover])
        assert all(p.grad is None for p in groups[other]), f"the loss of {mover} reaches {other}"
    before = {name: [p.detach().clone() for p in group] for name, group in groups.items()}
    losses, _ = method.losses(batch)
    for name, loss in losses.items():
        loss.sum().backward(inputs=groups[name])
        Adam(groups[name], 0.01).step()
        moved = {one: [not torch.equal(p, q) for p, q in zip(groups[one], before[one], strict=True)] for one in groups}
        assert all(moved["encoders"])
        assert all(moved["critics"]) if name == "critics" else not any(moved["critics"])


def test_club_critics_see_the_codes_before_the_encoders_step(method, batch):
    """Their loss is made with the encoders' and not touched by what the encoders' step does then."""
    losses, _ = method.losses(batch)
    value = losses["critics"].detach().clone()
    gradients = torch.autograd.grad(losses["critics"].sum(), method.parameter_groups()["critics"], retain_graph=True)
    with torch.no_grad():
        for parameter in method.parameter_groups()["encoders"]:
            parameter.mul_(1.5)
    again = torch.autograd.grad(losses["critics"].sum(), method.parameter_groups()["critics"])
    assert all(torch.equal(p, q) for p, q in zip(gradients, again, strict=True))
    assert not torch.isclose(method.losses(batch)[0]["critics"], value).any()


@WIDTHS
def test_widths_of_heads_and_critics(small, head_width):
    method = build("factorcl", small, head_width=head_width, dimensions=15, critic_hidden=9)
    width = {"kept": 15, "divided": 3}[head_width]
    assert len(HEADS) == config.HEADS
    for name in HEADS:
        for m in (1, 2):
            assert method.head(name, m).layers == [(15, 15), (15, width)]
    for name in (*NCE_CRITICS, *CLUB_CRITICS):
        codes = 4 * width if "conditional" in name else 2 * width
        assert method.critic(name).layers == [(codes, 9), (9, 9), (9, 1)]


def test_encoders_start_as_those_of_other_methods_and_the_rest_as_torchs_layers(small):
    method = build("factorcl", small, dimensions=40, critic_hidden=64, hidden=64, weight_std=0.5)
    for name in method.trained:
        for (inputs, outputs), weight in zip(getattr(method, name).layers, getattr(method, name).weights, strict=True):
            values, bound = weight[0, :inputs, :outputs].detach(), inputs**-0.5
            if name.startswith("emb"):
                assert values.std() == pytest.approx(0.5, rel=0.15)
            else:
                assert values.abs().max() <= bound
                assert outputs == 1 or values.std() == pytest.approx(bound / 3**0.5, rel=0.1)


@WIDTHS
def test_representations_are_raw_and_of_all_heads(small, head_width):
    method = build("factorcl", small, head_width=head_width)
    batch = draw_batch(method)
    x = tuple(view[1] for view in batch.x)
    for run in RUNS:
        codes = method.represent(run, x)
        assert list(codes) == ["emb1", "proj1", "emb2", "proj2"]
        for m in (1, 2):
            emb = literal.encode(getattr(method, f"emb{m}"), run, x[m - 1])
            proj = literal.beside(*(literal.encode(method.head(name, m), run, emb) for name in HEADS))
            np.testing.assert_allclose(codes[f"emb{m}"].detach(), emb, rtol=1e-9)
            np.testing.assert_allclose(codes[f"proj{m}"].detach(), proj, rtol=1e-9, atol=1e-12)
            assert proj.shape[1] == (5 * DIMENSIONS if head_width == "kept" else DIMENSIONS)


@pytest.mark.parametrize("network", ["emb1", "head_conditional2", "critic_unique1", "critic_club"])
def test_a_diverged_run_is_recorded_and_void_in_both_groups(small, batch, network):
    method, mate = (build("factorcl", small) for _ in range(2))
    with torch.no_grad():
        getattr(method, network).weights[0][1] = float("inf")
    curves = {}
    for one in (method, mate):
        groups = one.parameter_groups()
        optimisers = {name: Adam(parameters, 1e-3) for name, parameters in groups.items()}
        record = Record(len(RUNS), 3, torch.device("cpu"))
        for _ in range(3):
            losses, terms = make_step(one, groups, optimisers, batch)
            record.step({f"loss_{name}": loss for name, loss in losses.items()} | terms)
        parameters = [p for group in groups.values() for p in group]
        record.end_epoch(parameters)
        curves[one] = record.curves[0], parameters, record.status([str(run) for run in RUNS], ["trained"] * len(RUNS))
    assert [one["status"] for one in curves[method][2]] == ["trained", "diverged", "trained", "trained"]
    assert all(torch.isnan(p[1]).all() for p in curves[method][1])
    others = [0, 2, 3]
    assert torch.equal(curves[method][0][:, others], curves[mate][0][:, others])
    assert all(torch.equal(p[others], q[others]) for p, q in zip(curves[method][1], curves[mate][1], strict=True))
