"""Augmentation and mini-batches: proportions, permutations, and streams that do not know of each other."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest, norm

from disentangledssl import batches
from disentangledssl.batches import (
    Augmentation,
    EpochSize,
    Feed,
    FoldData,
    Mixup,
    SequenceAugmentation,
    augment,
    augment_mini_batches,
    augment_sequences,
    random_subsets,
)
from disentangledssl.streams import Stream, generator
from disentangledssl.vmf import noise_around_first_axis

NOTHING = Augmentation(0.0, 0.0)
PAPER = Augmentation(0.01, 0.1)
SAMPLE = (("sample", 1), ("sample", 2))  # the noise of step 1


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def full(samples, features):
    """Rows without a zero."""
    return torch.rand(samples, features, generator=draws(9)) + 1


def kinds(before, after):
    """Per row: unaltered, dropped or noisy."""
    altered, zero = after != before, after == 0
    return np.where(~altered.any(1), "unaltered", np.where(zero.any(1), "dropped", "noisy"))


# ---------------------------------------------------------------- augmentation


def test_three_kinds_with_equal_chance():
    x = full(9000, 20)
    counts = Counter(kinds(x, augment(x, Augmentation(0.5, 0.1), draws())))
    assert set(counts) == {"unaltered", "dropped", "noisy"}
    assert chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("features", [10, 17, 30, 85, 100, 300, 978])
def test_a_dropped_row_loses_exactly_a_tenth(features):
    x = full(300, features)
    after = augment(x, PAPER, draws())
    dropped = kinds(x, after) == "dropped"
    assert ((after[dropped] == 0).sum(1) == features // 10).all()
    kept = after[dropped] != 0
    assert torch.equal(after[dropped][kept], x[dropped][kept])


def test_a_tenth_is_never_cut_short_by_rounding():
    assert all(int(0.1 * features) == features // 10 for features in range(1, 5000))


def test_fewer_than_ten_dimensions_lose_none():
    x = full(60, 9)
    assert (augment(x, Augmentation(0.0, 0.1), draws()) == x).all()


def test_every_dimension_is_dropped_equally_often():
    x = full(6000, 20)
    lost = (augment(x, Augmentation(0.0, 0.1), draws()) == 0).sum(0)
    assert chisquare(lost.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("std", [0.01, 0.7])
def test_noise_has_its_standard_deviation_on_every_dimension(std):
    x = full(3000, 20).double()
    after = augment(x, Augmentation(std, 0.0), draws())
    noisy = (after != x).any(1)
    added = (after - x)[noisy]
    assert (added != 0).all()
    assert kstest(added.flatten().numpy(), norm(0, std).cdf).pvalue > 1e-3
    np.testing.assert_allclose(added.std(0), std, rtol=0.12)


@pytest.mark.parametrize("active", [1, 12, 20])
def test_only_the_first_dimensions_are_touched(active):
    x = full(900, 30)
    after = augment(x, Augmentation(0.5, 0.25, active), draws())
    assert torch.equal(after[:, active:], x[:, active:])
    assert set((after == 0).sum(1).tolist()) == {0, active // 4}
    altered = (after != x).any(1).float().mean().item()
    assert altered == pytest.approx(2 / 3 if active // 4 else 1 / 3, abs=0.06)


def test_more_dimensions_than_the_view_has_are_all_of_them():
    # One setting serves both views, and views differ in width.
    x = full(30, 8)
    assert torch.equal(augment(x, Augmentation(0.5, 0.25, 12), draws()), augment(x, Augmentation(0.5, 0.25), draws()))


def test_the_input_stays_as_it_was():
    x = full(90, 20)
    before = x.clone()
    after = augment(x, PAPER, draws())
    assert torch.equal(x, before)
    assert after.data_ptr() != x.data_ptr()


# ---------------------------------------------------------------- subsets


def test_subsets_are_without_replacement_and_in_range():
    chosen = random_subsets(500, 12, 7, draws(), "cpu")
    assert chosen.shape == (500, 7)
    assert chosen.min() >= 0
    assert chosen.max() < 12
    assert all(len(set(row)) == 7 for row in chosen.tolist())


@pytest.mark.parametrize(("size", "count"), [(5, 2), (5, 3), (6, 1), (4, 4)])
def test_all_subsets_are_equally_likely(size, count):
    chosen = random_subsets(20_000, size, count, draws(), "cpu")
    counts = Counter(tuple(sorted(row)) for row in chosen.tolist())
    every = list(itertools.combinations(range(size), count))
    assert set(counts) == set(every)
    if len(every) > 1:
        assert chisquare([counts[subset] for subset in every]).pvalue > 1e-3


def test_empty_subsets():
    assert random_subsets(4, 5, 0, draws(), "cpu").shape == (4, 0)
    assert random_subsets(0, 5, 2, draws(), "cpu").shape == (0, 2)


# ---------------------------------------------------------------- feed


def numbered(pairs, rows2=None):
    """A fold whose views hold the number of the pair, so that a mini-batch tells which pairs it has."""
    number = torch.arange(pairs, dtype=torch.float32)[:, None]
    rows2 = torch.arange(pairs) if rows2 is None else rows2
    return FoldData((number.expand(-1, 3) + 1, 1000 + number.expand(-1, 2)), (torch.arange(pairs), rows2))


# All folds of a data set are given, also those that no stream uses: the smallest decides the steps.
def feed(folds, streams, batch_size=8, augmentation=NOTHING, second_version=False, noise=(), dimensions=4, kappa=10.0):
    return Feed(
        {one.fold: folds[one.fold] for one in streams},
        streams,
        size=EpochSize.of_pairs(min(len(fold.rows[0]) for fold in folds.values()), batch_size),
        augmentation=(augmentation, augmentation),
        second_version=second_version,
        noise=noise,
        dimensions=dimensions,
        kappa=kappa,
    )


def stream(fold=0, seed=0):
    return Stream("tiny", fold, seed)


def pairs_seen(batch_list, place=0):
    return [(batch.x[0][place, :, 0] - 1).long().tolist() for batch in batch_list]


@pytest.mark.parametrize(("pairs", "batch_size"), [(50, 8), (48, 8), (500, 3)])
def test_an_epoch_is_a_permutation_and_the_last_partial_batch_is_dropped(pairs, batch_size):
    one = feed({0: numbered(pairs)}, [stream()], batch_size)
    for epoch in range(3):
        seen = pairs_seen(one.epoch(epoch))
        assert len(seen) == one.steps == pairs // batch_size
        assert all(len(batch) == batch_size for batch in seen)
        every = list(itertools.chain(*seen))
        assert len(set(every)) == len(every)
        assert set(every) <= set(range(pairs))


def test_epochs_differ_and_leave_out_different_pairs():
    one = feed({0: numbered(50)}, [stream()])
    orders = [tuple(itertools.chain(*pairs_seen(one.epoch(epoch)))) for epoch in range(5)]
    assert len(set(orders)) == 5
    assert len({frozenset(order) for order in orders}) > 1


def test_views_stay_paired():
    partner = torch.randperm(20, generator=draws())
    for batch in feed({0: numbered(20, partner)}, [stream()]).epoch(0):
        pair = (batch.x[0][0, :, 0] - 1).long()
        assert torch.equal(batch.x[1][0, :, 0] - 1000, partner[pair].float())


def test_many_pairs_may_share_a_row_of_a_view():
    molecule = torch.arange(20) // 5
    for batch in feed({0: numbered(20, molecule)}, [stream()]).epoch(0):
        assert torch.equal(batch.x[1][0, :, 0] - 1000, (batch.x[0][0, :, 0] - 1) // 5)


def test_batch_shapes_and_what_is_not_asked_for():
    streams = [stream(), stream(seed=1)]
    batch = next(feed({0: numbered(20)}, streams).epoch(0))
    assert batch.v is None
    assert batch.noise == ()
    batch = next(feed({0: numbered(20)}, streams, second_version=True, noise=SAMPLE, dimensions=5).epoch(0))
    assert [tuple(x.shape) for x in (*batch.x, *batch.v)] == [(2, 8, 3), (2, 8, 2)] * 2
    assert [tuple(noise.shape) for noise in batch.noise] == [(2, 8, 5)] * 2


def same(first, second):
    """Whether two lists of mini-batches hold the same numbers."""

    def tensors(batch):
        return [*batch.x, *(batch.v or ()), *batch.noise]

    return len(first) == len(second) and all(
        torch.equal(a, b)
        for one, other in zip(first, second, strict=True)
        for a, b in zip(tensors(one), tensors(other), strict=True)
    )


def only(batch, place):
    def cut(tensors):
        return tuple(x[place : place + 1] for x in tensors)

    return batches.Batch(cut(batch.x), cut(batch.v), cut(batch.noise))


def random_fold(pairs, seed):
    generator = draws(seed)
    views = tuple(torch.randn(pairs, features, generator=generator) for features in (30, 17))
    return FoldData(views, (torch.arange(pairs), torch.arange(pairs)))


@pytest.mark.parametrize("dimensions", [4, 7])
def test_a_stream_does_not_know_who_else_is_in_the_stack(dimensions):
    folds = {0: random_fold(50, 0), 1: random_fold(57, 1)}
    streams = [stream(0, 0), stream(1, 0), stream(0, 1), stream(1, 5)]
    options = {"augmentation": PAPER, "second_version": True, "noise": SAMPLE, "dimensions": dimensions}
    together = list(feed(folds, streams, **options).epoch(2))
    for place, one in enumerate(streams):
        alone = list(feed(folds, [one], **options).epoch(2))
        assert same(alone, [only(batch, place) for batch in together])


def test_an_epoch_does_not_depend_on_those_before():
    options = {"augmentation": PAPER, "second_version": True, "noise": SAMPLE}
    one = feed({0: random_fold(50, 0)}, [stream()], **options)
    for epoch in range(3):
        list(one.epoch(epoch))
    assert same(list(one.epoch(3)), list(feed({0: random_fold(50, 0)}, [stream()], **options).epoch(3)))
    assert not same(list(one.epoch(3)), list(one.epoch(4)))


def test_seeds_folds_and_data_sets_differ():
    data = random_fold(50, 0)  # both folds alike, so that only the key can tell them apart
    streams = [stream(0, 0), stream(0, 1), stream(1, 0), Stream("other", 0, 0)]
    drawn = [next(feed({0: data, 1: data}, [one], noise=SAMPLE).epoch(0)) for one in streams]
    for first, second in itertools.combinations(drawn, 2):
        assert not torch.equal(first.x[0], second.x[0])
        assert not torch.equal(first.noise[0], second.noise[0])


def test_noise_is_the_same_whatever_kappa_draws_from_it():
    # The stream gives normal numbers; kappa only bends the cosine: the tangent directions are the same.
    def tangents(kappa):
        noise = next(feed({0: random_fold(50, 0)}, [stream()], noise=SAMPLE, kappa=kappa).epoch(0)).noise[0][..., 1:]
        return torch.nn.functional.normalize(noise, dim=-1)

    torch.testing.assert_close(tangents(1.0), tangents(50.0))


def test_views_are_augmented_and_sampled_apart():
    one = random_fold(400, 0)
    alike = FoldData((one.views[0], one.views[0]), one.rows)
    batch = next(feed({0: alike}, [stream()], 400, PAPER, noise=SAMPLE).epoch(0))
    assert not torch.equal(batch.x[0], batch.x[1])
    assert not torch.equal(batch.noise[0], batch.noise[1])


def test_noise_is_unit_vectors_around_the_first_axis():
    batch = next(feed({0: random_fold(400, 0)}, [stream()], 400, noise=SAMPLE, dimensions=6, kappa=50.0).epoch(0))
    for noise in batch.noise:
        torch.testing.assert_close(noise.norm(dim=-1), torch.ones(1, 400))
        assert noise[..., 0].mean() > 0.9


# ---------------------------------------------------------------- sequences

STEPS = 12
SEQUENCES = SequenceAugmentation(0.1, 0.2)


def sequences(samples, features=4, seed=9):
    """Sequences of every length, numbers other than 0 on their valid steps."""
    lengths = 1 + torch.arange(samples) % STEPS
    valid = (torch.arange(STEPS) < lengths[:, None]).float()[..., None]
    values = torch.rand(samples, STEPS, features, generator=draws(seed)) + 1
    return torch.cat([values * valid, valid], dim=-1)


def kinds_of_sequences(before, after):
    """Per sequence of more than one step, whose shuffle is seen: unaltered, shuffled, dropped or noisy."""
    found = []
    for old, new in zip(before, after, strict=True):
        valid = old[:, -1] == 1
        rows = [sorted(map(tuple, one[valid].tolist())) for one in (old, new)]
        zero = (new[valid][:, :-1] == 0).all(1)
        if torch.equal(old, new):
            found.append("unaltered")
        else:
            found.append("shuffled" if rows[0] == rows[1] else "dropped" if zero.any() else "noisy")
    return np.array(found)


def test_four_kinds_of_sequences_with_equal_chance():
    x = sequences(8 * 9000)
    long = x[:, -1, -1] == 1  # of so many steps that no shuffle leaves all in place
    after = augment_sequences(x, SEQUENCES, draws())
    counts = Counter(kinds_of_sequences(x[long], after[long]))
    assert set(counts) == {"unaltered", "shuffled", "dropped", "noisy"}
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_padding_and_what_is_valid_are_never_touched():
    x = sequences(6000)
    after = augment_sequences(x, SEQUENCES, draws())
    assert torch.equal(after[..., -1], x[..., -1])
    assert (after[x[..., -1] == 0] == 0).all()
    assert torch.equal(x, sequences(6000))  # nor the input


def test_a_shuffle_keeps_the_steps_and_every_order_is_as_likely():
    x = sequences(12_000)
    three = x[x[..., -1].sum(1) == 3].repeat(20, 1, 1)
    after = augment_sequences(three, SequenceAugmentation(0.0, 0.0), draws())
    for old, new in zip(three[:500], after[:500], strict=True):
        assert sorted(map(tuple, old.tolist())) == sorted(map(tuple, new.tolist()))
    orders = [tuple(one) for one in (after[:, :3, None, 0] == three[:, None, :3, 0]).int().argmax(2).tolist()]
    counts = Counter(orders)
    assert len(counts) == 6
    identity = counts.pop((0, 1, 2))
    assert chisquare(list(counts.values())).pvalue > 1e-3
    assert abs(identity - len(three) * (3 / 4 + 1 / 24)) < 5 * np.sqrt(len(three) / 5)


@pytest.mark.parametrize("share", [0.2, 0.29, 0.5])
def test_exactly_a_share_of_the_valid_steps_is_dropped(share):
    x = sequences(20_000)
    after = augment_sequences(x, SequenceAugmentation(0.0, share), draws())
    valid, zero = (x[..., -1] == 1), (after[..., :-1] == 0).all(-1)
    lost = (valid & zero).sum(1)
    for length in range(1, STEPS + 1):
        seen = set(lost[valid.sum(1) == length].tolist())
        assert seen == {0, int(round(share * length, 9))}
    # Every step is as likely to go.
    of_all = (valid & zero)[valid.sum(1) == STEPS].sum(0)
    assert chisquare(of_all.tolist()).pvalue > 1e-3


def test_noise_on_valid_steps_has_its_size():
    x = sequences(20_000)
    after = augment_sequences(x, SequenceAugmentation(0.3, 0.0), draws())
    moved = (after - x)[..., :-1][(kinds_of_sequences(x, after) == "noisy")]
    valid = x[..., -1][(kinds_of_sequences(x, after) == "noisy")] == 1
    assert kstest(moved[valid].flatten()[:20_000].numpy() / 0.3, norm.cdf).pvalue > 1e-3


def test_mini_batches_are_noisy_mixed_or_left_with_equal_chance():
    batch, count = 5, 3000
    x = full(batch * count, 6)
    after = augment_mini_batches(x, Mixup(0.5, batch), draws())
    old, new = (one.view(count, batch, 6) for one in (x, after))
    kept = (old == new).flatten(1).all(1)
    # A mini-batch that is mixed stays in the box that its samples span.
    inside = ((new >= old.amin(1, keepdim=True) - 1e-6) & (new <= old.amax(1, keepdim=True) + 1e-6)).flatten(1).all(1)
    counts = [int(kept.sum()), int((inside & ~kept).sum()), int((~inside).sum())]
    assert chisquare(counts).pvalue > 1e-3


def test_mixup_gives_each_sample_one_share_of_another():
    batch, x = 4, full(4 * 300, 6)
    after = augment_mini_batches(x, Mixup(0.0, batch), draws())
    shares = []
    for old, new in zip(x.view(-1, batch, 6), after.view(-1, batch, 6), strict=True):
        if torch.equal(old, new):
            continue
        # new = old + share * (old[order] - old), with one share and an order that is a permutation.
        found = []
        for order in itertools.permutations(range(batch)):
            step = old[list(order)] - old
            share = ((new - old) * step).sum() / step.square().sum().clamp(min=1e-12)
            if torch.allclose(old + share * step, new, atol=1e-5):
                found.append(share.item())
        assert found
        shares.append(found[0])
    assert kstest(shares, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("augmentation", [Mixup(0.5, 5), SEQUENCES])
def test_augmentation_follows_the_generator(augmentation):
    x = full(60, 6) if isinstance(augmentation, Mixup) else sequences(60)
    function = batches.AUGMENT[type(augmentation)]
    assert torch.equal(function(x, augmentation, draws(3)), function(x, augmentation, draws(3)))
    assert not torch.equal(function(x, augmentation, draws(3)), function(x, augmentation, draws(4)))


def sequence_fold(pairs=50):
    return FoldData((torch.randn(pairs, 30, generator=draws(1)), sequences(pairs)), (torch.arange(pairs),) * 2)


def test_a_stream_of_sequences_does_not_know_who_else_is_in_the_stack():
    streams = [stream(0, 0), stream(0, 1), stream(0, 5)]
    options = {"augmentation": (Mixup(0.5, 8), SEQUENCES), "second_version": True, "noise": SAMPLE}

    def serve(streams):
        size = EpochSize.of_pairs(50, 8)
        return list(Feed({0: sequence_fold()}, streams, size=size, dimensions=4, **options).epoch(2))

    together = serve(streams)
    assert together[0].x[1].shape == (3, 8, STEPS, 5)
    for place, one in enumerate(streams):
        assert same(serve([one]), [only(batch, place) for batch in together])


def test_few_mini_batches_of_sequences_are_drawn_at_a_time(monkeypatch):
    monkeypatch.setattr(batches, "CHUNK_BYTES", 2 * 8 * STEPS * 5 * 4)
    options = {"size": EpochSize.of_pairs(50, 8), "augmentation": (NOTHING, SequenceAugmentation(0.0, 0.0))}
    one = Feed({0: sequence_fold()}, [stream()], second_version=False, **options)
    assert (one.chunk, one.steps) == (2, 6)
    order = torch.randperm(50, generator=generator(stream(), "batches", epoch=0))
    served = torch.cat([batch.x[0][0] for batch in one.epoch(0)])
    assert torch.equal(served, sequence_fold().views[0][order[:48]])


# ---------------------------------------------------------------- noise by name

DMVAE = (("private", 1), ("private", 2), ("shared", 1), ("shared", 2), ("joint", 0))


def noise_of(names, *, epoch=0, pairs=400, **others):
    """Noise of a mini-batch of all pairs, by name."""
    batch = next(feed({0: random_fold(pairs, 0)}, [stream()], pairs, noise=names, **others).epoch(epoch))
    assert len(batch.noise) == len(names)
    return dict(zip(names, batch.noise, strict=True))


def test_noise_comes_from_the_generator_of_its_name():
    for name, found in noise_of(DMVAE, epoch=3, kappa=None).items():
        purpose, view = name
        draws = generator(stream(), purpose, view=view, epoch=3)
        assert torch.equal(found[0], torch.randn(400, 4, generator=draws))


def test_noise_of_every_name_is_different():
    drawn = noise_of((*DMVAE, *SAMPLE), kappa=None)
    for first, second in itertools.combinations(drawn.values(), 2):
        assert not torch.equal(first, second)
        assert abs(np.corrcoef(first.flatten(), second.flatten())[0, 1]) < 0.1


def test_noise_of_a_name_does_not_depend_on_the_other_names():
    whole = noise_of(DMVAE, kappa=None)
    for names in (DMVAE[:1], DMVAE[3:], DMVAE[::-1]):
        for name, found in noise_of(names, kappa=None).items():
            assert torch.equal(found, whole[name])


def test_noise_without_kappa_is_standard_normal():
    for found in noise_of(DMVAE, pairs=2000, dimensions=5, kappa=None).values():
        for dimension in range(5):
            assert kstest(found[0, :, dimension].numpy(), norm.cdf).pvalue > 1e-3
        assert np.abs(np.corrcoef(found[0].T.numpy()) - np.eye(5)).max() < 0.1


def test_noise_with_kappa_is_that_of_the_sphere():
    for name, found in noise_of(SAMPLE, kappa=7.0).items():
        draws = generator(stream(), name[0], view=name[1], epoch=0)
        torch.testing.assert_close(found[0], noise_around_first_axis(torch.randn(400, 4, generator=draws), 7.0))


def test_noise_goes_on_from_chunk_to_chunk(monkeypatch):
    options = {"batch_size": 5, "noise": DMVAE, "kappa": None}
    whole = [batch.noise for batch in feed({0: random_fold(50, 0)}, [stream()], **options).epoch(0)]
    drawn = {name: torch.cat([noise[k] for noise in whole], dim=1) for k, name in enumerate(DMVAE)}
    for name, found in drawn.items():
        assert len(torch.unique(found[0], dim=0)) == 50, f"{name}: a sample came twice"
    monkeypatch.setattr(batches, "CHUNK", 4)
    pieces = [batch.noise for batch in feed({0: random_fold(50, 0)}, [stream()], **options).epoch(0)]
    for k, name in enumerate(DMVAE):
        first = torch.cat([noise[k] for noise in pieces], dim=1)
        assert len(torch.unique(first[0], dim=0)) == 50, f"{name}: a chunk came twice"


# As drawn before noise had names: other values here would move every trained number of step 1.
STEP1_NOISE = {
    1: [[0.9454743, -0.2914898, -0.1452998], [0.9526872, -0.2346289, -0.1932262]],
    2: [[0.8466273, 0.5042396, -0.1701899], [0.9276631, -0.3710688, 0.0418227]],
}


@pytest.mark.parametrize("view", [1, 2])
def test_noise_of_step1_stays_what_it_was(view):
    noise = noise_of(SAMPLE, epoch=1, pairs=50, dimensions=3, kappa=10.0)["sample", view]
    torch.testing.assert_close(noise[0, :2], torch.tensor(STEP1_NOISE[view]), atol=1e-6, rtol=0)


# ---------------------------------------------------------------- the second version


def one_big_batch(augmentation, pairs=4000, features=20):
    """Raw rows, x and v of one view, row by row."""
    raw = full(pairs, features)
    data = FoldData((raw, raw), (torch.arange(pairs), torch.arange(pairs)))
    keyed = FoldData((torch.arange(pairs)[:, None].float(),) * 2, data.rows)
    order = next(feed({0: keyed}, [stream()], pairs).epoch(0)).x[0][0, :, 0].long()
    batch = next(feed({0: data}, [stream()], pairs, augmentation, second_version=True).epoch(0))
    return raw[order], batch.x[0][0], batch.v[0][0]


def test_v_is_the_augmentation_of_the_augmented_x():
    raw, x, v = one_big_batch(Augmentation(0.5, 0.1))
    first, second = kinds(raw, x), np.where((v == x).all(1), "unaltered", np.where((v == 0).any(1), "dropped", "noisy"))
    # x was noised and v left or dropped: what v keeps is x's noised number, not the raw one.
    noised_then_dropped = (first == "noisy") & (second == "dropped")
    kept = v[noised_then_dropped] != 0
    assert torch.equal(v[noised_then_dropped][kept], x[noised_then_dropped][kept])
    assert (v[noised_then_dropped][kept] != raw[noised_then_dropped][kept]).all()
    # Left alone twice: one in nine is the raw row still; x and v agree in one of three.
    assert (v == raw).all(1).float().mean().item() == pytest.approx(1 / 9, abs=0.025)
    assert (v == x).all(1).float().mean().item() == pytest.approx(1 / 3, abs=0.035)


def test_what_x_dropped_is_lost_to_v():
    raw, x, v = one_big_batch(Augmentation(0.0, 0.1))
    assert (v[x == 0] == 0).all()
    lost = (v == 0).sum(1)
    assert set(lost.tolist()) == {0, 2, 3, 4}
    assert (lost == 0).float().mean().item() == pytest.approx(4 / 9, abs=0.035)
    kept = v != 0
    assert torch.equal(v[kept], raw[kept])


def test_v_is_the_augmentation_of_the_clean_x_where_x_is_left_clean():
    shared = {"size": EpochSize(40, 2), "augmentation": (PAPER, PAPER), "second_version": True}
    data = FoldData((torch.randn(80, 30), torch.randn(80, 30)), (torch.arange(80), torch.arange(80)))
    for batch in Feed({0: data}, [stream()], first_clean=True, **shared).epoch(0):
        for x, v, view in zip(batch.x, batch.v, data.views, strict=True):
            rows = [int((view == row).all(1).nonzero()) for row in x[0]]
            assert torch.equal(view[rows], x[0]), "every row is one of the view, as it is"
            assert set(kinds(x[0].numpy(), v[0].numpy())) == {"unaltered", "dropped", "noisy"}


def test_the_two_augmentations_are_independent():
    raw, x, v = one_big_batch(Augmentation(0.5, 0.1), pairs=9000)
    first = kinds(raw, x)
    second = np.where((v == x).all(1), "unaltered", np.where((v == 0).sum(1) > (x == 0).sum(1), "dropped", "noisy"))
    # A noised row keeps no zero of x, so that a drop after a drop is told by its greater number of zeros.
    counts = Counter(zip(first.tolist(), second.tolist(), strict=True))
    assert len(counts) == 9
    for (_, kind), count in counts.items():
        if kind == "unaltered":
            assert count / 9000 == pytest.approx(1 / 9, abs=0.016)


# ---------------------------------------------------------------- steps


def test_all_folds_take_the_steps_of_the_smallest():
    folds = {0: numbered(50), 1: numbered(33), 2: numbered(70)}
    for fold in folds:
        one = feed(folds, [stream(fold)], 8)
        assert one.steps == 4
        assert len(list(one.epoch(0))) == 4


def test_larger_folds_draw_from_all_their_pairs():
    one = feed({0: numbered(8), 1: numbered(70)}, [stream(1)], 8)
    seen = {pair for epoch in range(60) for batch in pairs_seen(one.epoch(epoch)) for pair in batch}
    assert seen == set(range(70))


def test_a_batch_is_no_larger_than_the_smallest_fold():
    folds = {0: numbered(5), 1: numbered(12)}
    for fold in folds:
        one = feed(folds, [stream(fold)], 256)
        assert (one.batch, one.steps) == (5, 1)
        assert len(pairs_seen(one.epoch(0))[0]) == 5
    for pairs, expected in ((255, (255, 1)), (256, (256, 1)), (511, (256, 1)), (512, (256, 2))):
        one = feed({0: numbered(pairs)}, [stream()], 256)
        assert (one.batch, one.steps) == expected


# ---------------------------------------------------------------- distinct groups


def grouped(sizes, groups=None):
    """A fold of so many pairs of each group, as ``numbered``."""
    groups = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)) if groups is None else groups
    return dataclasses.replace(numbered(sum(sizes)), groups=groups)


@pytest.mark.parametrize(
    ("sizes", "batch_size", "expected"),
    [
        ([[1, 1, 1, 1]], 2, (2, 2)),  # as pairs
        ([[1, 1, 1, 1, 1]], 2, (2, 2)),
        ([[3, 3, 3]], 3, (3, 3)),
        ([[9, 1, 1]], 2, (2, 2)),  # in three mini-batches: 3 + 1 + 1 pairs are no 6
        ([[9, 1, 1]], 256, (3, 1)),  # no more pairs than groups
        ([[4, 4, 4, 4], [1, 1, 1]], 2, (2, 1)),  # the poorest fold decides
        ([[4, 4, 4, 4], [5, 2]], 256, (2, 2)),
    ],
)
def test_mini_batches_of_distinct_groups_by_hand(sizes, batch_size, expected):
    assert EpochSize.of_distinct_groups([np.array(one) for one in sizes], batch_size) == expected


def feed_of_groups(fold, batch_size, seed=0):
    sizes = np.bincount(fold.groups)
    size = EpochSize.of_distinct_groups([sizes], batch_size)
    return Feed(
        {0: fold}, [stream(seed=seed)], size=size, augmentation=(NOTHING, NOTHING), second_version=False,
        distinct_groups=True,
    )  # fmt: skip


@pytest.mark.parametrize("sizes", [[1] * 30, [24] * 11 + [1, 2, 3], [60, 5, 5, 5, 5, 1, 1], [2, 1]])
def test_no_mini_batch_holds_two_pairs_of_a_group(sizes):
    torch.manual_seed(len(sizes))
    groups = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    fold = grouped(sizes, groups[torch.randperm(len(groups))])
    one = feed_of_groups(fold, 5)
    for epoch in range(4):
        seen = pairs_seen(one.epoch(epoch))
        assert [len(batch) for batch in seen] == [one.batch] * one.steps
        for batch in seen:
            assert len(set(fold.groups[batch].tolist())) == one.batch
        every = list(itertools.chain(*seen))
        assert len(set(every)) == len(every)


def test_every_pair_of_a_large_group_has_its_turn():
    fold = grouped([40, 1, 1, 1])
    one = feed_of_groups(fold, 2)
    assert one.steps == 3
    seen = [pairs_seen(one.epoch(epoch)) for epoch in range(400)]
    counts = Counter(itertools.chain(*itertools.chain(*seen)))
    assert set(counts) == set(range(43))
    # Three of the 40 in each epoch.
    assert all(counts[pair] / 400 == pytest.approx(3 / 40, abs=0.06) for pair in range(40))


def test_distinct_groups_are_drawn_anew_by_epoch_and_seed_and_alike_otherwise():
    fold = grouped([6] * 8)
    first = pairs_seen(feed_of_groups(fold, 4).epoch(0))
    assert first == pairs_seen(feed_of_groups(fold, 4).epoch(0))
    assert first != pairs_seen(feed_of_groups(fold, 4).epoch(1))
    assert first != pairs_seen(feed_of_groups(fold, 4, seed=1).epoch(0))


def test_global_generators_are_left_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    list(feed({0: random_fold(50, 0)}, [stream()], 8, PAPER, True, SAMPLE).epoch(0))
    assert torch.equal(before, torch.get_rng_state())
