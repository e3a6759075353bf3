"""Decoders: the plain loop with early stop, alone as in a stack, and what each of them sees."""

from __future__ import annotations

import copy
import dataclasses
import logging

import numpy as np
import pytest
import torch
from torch import nn

from disentangledssl.batches import EpochSize
from disentangledssl.dataset import read_dataset
from disentangledssl.decoders import DECODERS, CodeBatch, CodeFeed, Decoders, fit_decoders
from disentangledssl.errors import InputError
from disentangledssl.methods import Layout
from disentangledssl.settings import DecoderSettings
from disentangledssl.streams import Stream
from disentangledssl.training import train

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH = 12
SETTINGS = {
    "hidden": 24, "epochs": 6, "batch_size": 16, "learning_rate": 3e-3, "patience": 6, "weight_std": 0.1, "codes": "raw"
}  # fmt: skip
# Neighbours share a stream, a fold, a seed or nothing; folds have training sets of unequal size.
RUNS = [
    {"id": f"fold={fold},seed={seed}", "fold": fold, "seed": seed} for fold, seed in [(0, 0), (0, 0), (1, 0), (0, 1)]
]


def settings(**others):
    return DecoderSettings(**SETTINGS | others)


@pytest.fixture(scope="module")
def dataset(tiny):
    return read_dataset(tiny)


@pytest.fixture(scope="module")
def codes(dataset):
    """Representations of four runs: zc of a pair tells of both views, zs1 and zs2 of their own."""
    out = []
    for run in range(len(RUNS)):
        rng = np.random.default_rng(run)
        views = [view[rows] for view, rows in zip(dataset.views, dataset.rows, strict=True)]
        maps = [rng.normal(size=(view.shape[1], WIDTH)) / 5 for view in (*views, *views)]
        made = [views[0] @ maps[0], views[1] @ maps[1], views[0] @ maps[2], views[1] @ maps[3]]
        out.append({name: one.astype(np.float32) for name, one in zip(("zc1", "zc2", "zs1", "zs2"), made, strict=True)})
    return out


def fit(tiny, dataset, representations, runs=RUNS, view=1, targets=None, **others):
    targets = targets or {fold: dataset.views[view - 1] for fold in (0, 1)}
    return fit_decoders(representations, runs, dataset, targets, view, settings=settings(**others), folder=tiny)


# ---------------------------------------------------------------- an independent, slow reference


def literal(network, place, seen):
    """One decoder as plain layers in float64, of what it sees alone."""
    layers = []
    for (inputs, outputs), weight, bias in zip(network.layers, network.weights, network.biases, strict=True):
        linear = nn.Linear(inputs, outputs, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(weight[place, :inputs].T)
            linear.bias.copy_(bias[place, 0, :outputs])
        layers += [linear, nn.ReLU()]
    with torch.no_grad():
        layers[0].weight = nn.Parameter(layers[0].weight[:, seen].clone())
    return nn.Sequential(*layers[:-1])


def in_float64(seed=0, **others):
    """Two runs of two streams, codes of two widths, and validation sets of 9 and 14 pairs."""
    rng = torch.Generator().manual_seed(seed)
    codes = torch.randn(2, 60, 5, generator=rng, dtype=torch.float64)
    target = {fold: torch.randn(50, 4, generator=rng, dtype=torch.float64) for fold in (0, 1)}
    rows = torch.randint(50, (60,), generator=rng)
    layout = Layout({}, [Stream("made", 0, 0), Stream("made", 1, 5)], [0, 1])
    feed = CodeFeed(
        codes, target, rows, {0: torch.arange(0, 35), 1: torch.arange(5, 45)},
        {0: torch.arange(40, 49), 1: torch.arange(46, 60)}, layout, size=EpochSize.of_pairs(35, 8),
    )  # fmt: skip
    chosen = settings(hidden=7, epochs=12, learning_rate=2e-2, patience=3, **others)
    decoders = Decoders(("zc1", "zs1", "zc1+zs1"), {"zc1": 3, "zs1": 2}, 4, chosen, layout)
    decoders.initialise()
    return decoders.double(), feed, chosen


def test_it_is_the_plain_loop_with_early_stop():
    decoders, feed, chosen = in_float64()
    seen = [[0, 1, 2], [3, 4], [0, 1, 2, 3, 4]]
    references = [literal(decoders.network, place, seen[place % 3]) for place in range(6)]
    train(decoders, feed, chosen)
    stopped = []
    for place, reference in enumerate(references):
        run, columns = place // 3, seen[place % 3]
        stream = feed.layout.streams[run]
        held_out = feed.held_out[stream.fold]
        optimiser = torch.optim.Adam(reference.parameters(), lr=chosen.learning_rate, foreach=False, fused=False)
        best, kept, kept_at = np.inf, None, 0
        for epoch in range(1, chosen.epochs + 1):
            for batch in feed.epoch(epoch - 1):
                error = nn.functional.mse_loss(reference(batch.codes[run][:, columns]), batch.target[run])
                optimiser.zero_grad()
                error.backward()
                optimiser.step()
            with torch.no_grad():
                x, y = feed.codes[run][held_out][:, columns], feed.targets[stream.fold][feed.rows[held_out]]
                error = float((reference(x) - y).square().mean())
            if error < best:
                best, kept, kept_at = error, copy.deepcopy(reference), epoch
            elif epoch - kept_at >= chosen.patience:
                break
        stopped.append(epoch)
        assert decoders.best_epoch[place] == kept_at
        assert decoders.best_error[place].item() == pytest.approx(best, rel=1e-6)
        found = literal(decoders.best, place, columns)
        for mine, theirs in zip(found.parameters(), kept.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-7, rtol=1e-5)
        kind, x = decoders.kinds[place % 3], feed.codes[run]
        np.testing.assert_allclose(decoders.decode(run, kind, x), kept(x[:, columns]).detach(), atol=1e-6)
        assert decoders.kept_epoch(run, kind) == kept_at
    assert len(set(stopped)) > 1 and min(stopped) < chosen.epochs, "early stops must differ for the test to show much"


def test_initial_values_are_those_of_the_inputs_that_are_seen():
    decoders, _, _ = in_float64()
    weights, seen = decoders.network.weights[0], decoders.seen
    for place in range(6):
        own = seen[place % 3]
        assert (weights[place, :5][own] != 0).all() and (weights[place, :5][~own] == 0).all()
    # Different for each kind and stream.
    assert len({one.sum().item() for one in decoders.network.weights[1]}) == 6
    bounds = decoders.network.biases[0][..., :7].abs().amax((1, 2))
    assert (bounds <= torch.tensor([3, 2, 5, 3, 2, 5]) ** -0.5).all() and bounds.max() > 5**-0.5


# ---------------------------------------------------------------- one decoder never influences another


def same(one, i, other, j):
    return all(
        torch.equal(a[i], b[j]) for a, b in zip(one.best.parameters(), other.best.parameters(), strict=True)
    ) and torch.equal(one.best_error[i], other.best_error[j])


@pytest.mark.parametrize("view", [1, 2])
def test_a_run_alone_is_the_run_in_a_stack_bit_by_bit(tiny, dataset, codes, view):
    number = len(DECODERS[view])
    whole, _ = fit(tiny, dataset, codes, view=view)
    for order in ([0], [3], [2, 1], [3, 2, 1, 0]):
        part, _ = fit(tiny, dataset, [codes[k] for k in order], [RUNS[k] for k in order], view)
        for place, run in enumerate(order):
            for kind in range(number):
                assert same(part, place * number + kind, whole, run * number + kind), (order, run, kind)
    assert len({one.item() for one in whole.best_error}) == number * len(RUNS)


def test_decoders_of_other_kinds_change_nothing(tiny, dataset, codes, monkeypatch):
    whole, inputs = fit(tiny, dataset, codes)
    for kind in DECODERS[1]:
        monkeypatch.setitem(DECODERS, 1, (kind,))
        alone, own = fit(tiny, dataset, codes)
        for run in range(len(RUNS)):
            assert alone.kept_epoch(run, kind) == whole.kept_epoch(run, kind)
            np.testing.assert_allclose(
                alone.decode(run, kind, own[run]), whole.decode(run, kind, inputs[run]), atol=1e-4, rtol=1e-3
            )


def test_a_stack_that_goes_on_changes_no_decoder_that_is_done(tiny, dataset, codes):
    # Targets that zc1 of run 3 tells well, and nothing else at all: the others are done long before.
    targets = {fold: np.random.default_rng(fold).normal(size=(len(dataset.ids), 16)).astype("f4") for fold in (0, 1)}
    told = [dict(one) for one in codes]
    told[3]["zc1"] = targets[0][:, :WIDTH]
    others = {"targets": targets, "patience": 2, "epochs": 40}
    whole, _ = fit(tiny, dataset, told, **others)
    alone, _ = fit(tiny, dataset, told[:1], RUNS[:1], **others)
    last = alone.best_epoch.max() + 2
    assert last < 20 < whole.best_epoch[12]
    for kind in range(4):
        assert same(alone, kind, whole, kind)


def test_a_decoder_that_diverges_leaves_the_others_alone(tiny, dataset, codes, caplog):
    spoiled = [dict(one) for one in codes]
    spoiled[1]["zs1"] = spoiled[1]["zs1"] * np.float32(1e30)
    found, inputs = fit(tiny, dataset, spoiled)
    sound, _ = fit(tiny, dataset, codes)
    kinds = found.kinds
    for run in range(len(RUNS)):
        for kind in kinds:
            made, place = found.decode(run, kind, inputs[run]), run * len(kinds) + kinds.index(kind)
            if run == 1 and "zs1" in kind:
                assert np.isnan(made).all() and found.kept_epoch(run, kind) == 0
            else:
                assert same(found, place, sound, place)
                assert np.isfinite(made).all()
    said = [record.getMessage() for record in caplog.records if "diverged" in record.getMessage()]
    assert said == [f"decoder {kind} of fold=0,seed=0 diverged" for kind in kinds if "zs1" in kind]


def test_weights_from_before_a_divergence_are_kept():
    decoders, feed, chosen = in_float64()
    original, calls = decoders.losses, []

    def losses(batch):
        calls.append(batch)
        wrong = torch.zeros(6, dtype=torch.float64)
        wrong[4] = float("nan") if len(calls) > 2 * feed.steps else 0
        return {"decoders": original(batch)[0]["decoders"] + wrong}, {}

    decoders.losses = losses
    train(decoders, feed, chosen)
    assert torch.isnan(decoders.network.weights[0][4]).all()
    assert torch.isfinite(decoders.best.weights[0]).all()
    assert decoders.best_epoch[4] in (1, 2)


def test_what_a_decoder_may_not_see_it_does_not(tiny, dataset, codes):
    fitted, inputs = fit(tiny, dataset, codes)
    for kind in fitted.kinds:
        before = fitted.decode(0, kind, inputs[0])
        for name, columns in fitted.columns.items():
            other = inputs[0].clone()
            other[:, columns] = float("nan")
            after = fitted.decode(0, kind, other)
            if name in kind.split("+"):
                assert np.isnan(after).all()
            else:
                np.testing.assert_array_equal(after, before)


# ---------------------------------------------------------------- what is kept


class Errors:
    """A feed of one validation pair, and decoders whose errors are told."""

    def __init__(self, decoders, script):
        self.decoders, self.script, self.epoch = decoders, script, -1
        decoders.errors = lambda network, batch: torch.tensor(self.script[self.epoch])[:, None]

    def validation(self):
        runs = len(self.decoders.stream_of_run)
        yield CodeBatch(torch.zeros(runs, 1, 5), torch.zeros(1, 1, 4), torch.ones(1, 1, dtype=torch.bool))


def test_each_decoder_keeps_its_best_epoch_within_patience():
    layout = Layout({}, [Stream("made", 0, 0)], [0])
    decoders = Decoders(("a", "b", "c"), {"a": 2, "b": 2, "c": 1}, 4, settings(hidden=3, patience=2, epochs=9), layout)
    nan = float("nan")
    # a: best at 2, done at 4, so that the 0 at 5 comes too late; b: a tie is no improvement, best at 3, then at 5;
    # c: never a number, done at 2.
    script = [[5.0, 5, nan], [4.0, 5, nan], [4.0, 3, 1], [6.0, 4, 1], [0.0, 2, 1], [0.0, 2, 1], [0.0, 9, 1]]
    feed, done = Errors(decoders, script), []
    for epoch in range(len(script)):
        feed.epoch = epoch
        with torch.no_grad():
            for parameter in decoders.network.parameters():
                parameter.fill_(epoch + 1)
        done.append(decoders.end_epoch(epoch, feed))
    assert decoders.best_epoch.tolist() == [2, 5, 0]
    assert decoders.best_error.tolist() == [4, 2, float("inf")]
    assert done == [False, False, False, False, False, False, True]
    for parameter in decoders.best.parameters():
        assert (parameter[0] == 2).all() and (parameter[1] == 5).all() and torch.isnan(parameter[2]).all()


def test_a_feed_serves_validation_once_and_streams_their_own_pairs():
    _, feed, _ = in_float64()
    for stream in (0, 1):
        real = torch.cat([batch.real[stream] for batch in feed.validation()])
        codes = torch.cat([batch.codes[stream] for batch in feed.validation()])[real]
        targets = torch.cat([batch.target[stream] for batch in feed.validation()])[real]
        pairs = feed.held_out[stream]
        assert torch.equal(codes, feed.codes[stream][pairs])
        assert torch.equal(targets, feed.targets[stream][feed.rows[pairs]])
    batches = list(feed.epoch(3))
    assert len(batches) == feed.steps == 35 // 8
    for stream in (0, 1):
        served = torch.cat([batch.codes[stream] for batch in batches])
        found = [(feed.codes[stream] == row).all(1).nonzero().item() for row in served]
        assert len(set(found)) == len(found) == 32
        assert set(found) <= set(feed.training[stream].tolist())
        targets = torch.cat([batch.target[stream] for batch in batches])
        assert torch.equal(targets, feed.targets[stream][feed.rows[found]])
        again = torch.cat([batch.codes[stream] for batch in feed.epoch(3)])
        other = torch.cat([batch.codes[stream] for batch in feed.epoch(4)])
        assert torch.equal(served, again) and not torch.equal(served, other)


def test_runs_of_one_stream_see_the_same_pairs(tiny, dataset, codes):
    rows = torch.arange(len(dataset.ids), dtype=torch.float32)[None, :, None].expand(3, -1, 1)
    layout = Layout({}, [Stream("tiny", 0, 0), Stream("tiny", 0, 1)], [0, 1, 0])
    training = {0: torch.from_numpy(dataset.pairs_in(0, "train"))}
    feed = CodeFeed(
        rows, {0: torch.zeros(200, 2)}, torch.arange(200), training, training, layout, size=EpochSize.of_pairs(40, 16)
    )
    for batch in feed.epoch(0):
        assert torch.equal(batch.codes[0], batch.codes[2]) and not torch.equal(batch.codes[0], batch.codes[1])


# ---------------------------------------------------------------- from data


def test_decoders_find_what_is_there_and_nothing_else(tiny, dataset, codes):
    # A target that zc1 and zs1 each tell half of.
    known = [dict(one) for one in codes[:1]]
    half = np.random.default_rng(0).normal(size=(2, len(dataset.ids), WIDTH)).astype(np.float32)
    known[0] |= {
        "zc1": half[0],
        "zs1": half[1],
        "zc2": np.random.default_rng(1).normal(size=half[0].shape).astype("f4"),
    }
    target = np.concatenate([half[0], half[1]], axis=1)
    fitted, inputs = fit(tiny, dataset, known, RUNS[:1], targets={0: target}, epochs=150, patience=150, hidden=64)
    test = dataset.pairs_in(0, "test")
    r2 = {kind: 1 - np.var(target[test] - fitted.decode(0, kind, inputs[0][test])) for kind in fitted.kinds}
    assert r2["zc1+zs1"] > 0.75
    for kind in ("zc1", "zs1", "zc2+zs1"):
        assert 0.1 < r2[kind] < 0.55
    of_own, of_other = np.split(target[test] - fitted.decode(0, "zc1", inputs[0][test]), 2, axis=1)
    assert np.var(of_own) < 0.5 and np.var(of_other) > 0.95


def test_kinds_follow_from_the_representations(tiny, dataset, codes):
    only_shared = [{name: one[name] for name in ("zc1", "zc2")} for one in codes]
    for view in (1, 2):
        fitted, inputs = fit(tiny, dataset, only_shared, view=view, epochs=1)
        assert fitted.kinds == [f"zc{view}"] and inputs.shape == (4, len(dataset.ids), WIDTH)
    fitted, inputs = fit(tiny, dataset, codes, epochs=1)
    assert fitted.kinds == ["zc1", "zs1", "zc1+zs1", "zc2+zs1"]
    for name, columns in fitted.columns.items():
        np.testing.assert_array_equal(inputs[2][:, columns], codes[2][name])


def test_standardised_codes(tiny, dataset, codes):
    collapsed = [dict(one) for one in codes]
    scaled = [{name: 1e-3 * one + 5 for name, one in run.items()} for run in codes]
    for run in collapsed:
        rounding = np.random.default_rng(0).integers(2, size=len(dataset.ids)) * np.float32(1e-7)
        run["zc1"] = np.tile((1 + rounding)[:, None], (1, WIDTH)).astype(np.float32)
    (_, plain), (_, shifted), (decoders, none) = (
        fit(tiny, dataset, one, codes="standardised", epochs=1) for one in (codes, scaled, collapsed)
    )
    torch.testing.assert_close(plain, shifted, atol=2e-3, rtol=0)
    for place, run in enumerate(RUNS):
        train_pairs = dataset.pairs_in(run["fold"], "train")
        torch.testing.assert_close(plain[place][train_pairs].mean(0), torch.zeros(3 * WIDTH), atol=1e-5, rtol=0)
        torch.testing.assert_close(plain[place][train_pairs].std(0, correction=0), torch.ones(3 * WIDTH))
        assert (none[place][:, decoders.columns["zc1"]] == 0).all()


def test_the_smallest_fold_decides_the_steps_and_the_log_says_so(tiny, dataset, codes, caplog):
    caplog.set_level(logging.INFO)
    smallest = min(len(dataset.pairs_in(fold, "train")) for fold in (0, 1))
    fit(tiny, dataset, codes[:1], RUNS[:1], epochs=2)
    (said,) = (record.getMessage() for record in caplog.records if "kept" in record.getMessage())
    assert said.startswith(f"4 decoders of view 1: 2 epochs of {smallest // 16} mini-batches of 16 pairs")


def test_no_validation_is_a_sentence(tiny, dataset, codes):
    folds = tuple(np.where(fold == "validation", "unused", fold) for fold in dataset.folds)
    with pytest.raises(InputError) as caught:
        fit(tiny, dataclasses.replace(dataset, folds=folds), codes)
    assert str(caught.value) == (
        f"{tiny / 'splits.parquet'}: column fold_0: has no validation pairs; put some pairs into validation: decoders "
        "are stopped by their error there."
    )


def test_global_generators_neither_matter_nor_change(tiny, dataset, codes):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, _ = fit(tiny, dataset, codes[:1], RUNS[:1])
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    second, _ = fit(tiny, dataset, codes[:1], RUNS[:1])
    assert all(same(first, kind, second, kind) for kind in range(4))
