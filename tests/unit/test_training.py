"""The training loop: a run alone is the run in a stack, a resumed run the undisturbed one, a diverged run nobody's."""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import literal
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from cases import cases
from torch import nn

from disentangledssl import training
from disentangledssl.batches import Augmentation, EpochSize, Feed, FoldData
from disentangledssl.checkpoints import load_models
from disentangledssl.dataset import read_dataset, view_table
from disentangledssl.errors import InputError
from disentangledssl.files import read_table, table_info, write_json, write_table
from disentangledssl.methods import BaseMethod, Layout, load_method
from disentangledssl.optimiser import Adam
from disentangledssl.representations import Models
from disentangledssl.settings import ClipSettings, Step1Settings
from disentangledssl.streams import Stream
from disentangledssl.training import train, train_stack

pytestmark = pytest.mark.usefixtures("one_thread")

HUGE = 1e39  # infinite in float32

# Two folds, two seeds and two betas, in an order in which neighbours share a stream, a seed, a fold or nothing.
STEP1 = [
    {"id": f"beta={beta},fold={fold},seed={seed}", "beta": beta, "fold": fold, "seed": seed}
    for beta, fold, seed in [
        (0, 0, 0), (4, 0, 0), (4, 1, 0), (0, 0, 1), (4, 0, 1), (0, 1, 1), (4, 1, 1), (0, 1, 0)
    ]
]  # fmt: skip
CLIP = [{"id": f"fold={seed % 2},seed={seed}", "fold": seed % 2, "seed": seed} for seed in range(8)]
STEP2 = [
    {"id": f"beta={beta},lam={lam},seed={seed},{start}", "beta": beta, "lam": lam, "fold": 0, "seed": seed,
     "start_seed": start}
    for beta, lam, seed, start in [
        (0, 0, 0, 0), (0, 2, 0, 0), (4, 2, 0, 0), (0, 2, 1, 1), (0, 2, 1, 0), (4, 0, 1, 1), (4, 2, 1, 1), (4, 2, 0, 1)
    ]
]  # fmt: skip
JOINT = [
    {"id": f"a={a},lam={lam},fold={fold},seed={seed}", "a": a, "lam": lam, "fold": fold, "seed": seed}
    for a, lam, fold, seed in [
        (1, 0, 0, 0), (1, 2, 0, 0), (8, 2, 1, 0), (1, 0, 0, 1), (8, 0, 0, 1), (1, 2, 1, 1), (8, 2, 1, 1), (8, 0, 1, 0)
    ]
]  # fmt: skip
DMVAE = [
    {"id": f"lam={lam},fold={fold},seed={seed}", "lam": lam, "fold": fold, "seed": seed}
    for lam, fold, seed in [
        (0, 0, 0), (0.01, 0, 0), (0.01, 1, 0), (0, 0, 1), (0.01, 0, 1), (0, 1, 1), (0.01, 1, 1), (0, 1, 0)
    ]
]  # fmt: skip
RUNS = {
    "step1": STEP1,
    "clip": CLIP,
    "step2": STEP2,
    "jointopt": JOINT,
    "focal": JOINT,
    "dmvae": DMVAE,
    "factorcl": CLIP,
}


@pytest.fixture(scope="module")
def train_in(tiny, small, plain):
    """Train a stack in a folder and return what it wrote."""

    def trained(folder, method, runs, *, data=tiny, settings=None, starts=(), scaling=None, **others):
        models, history = folder / "models.safetensors", folder / "history.parquet"
        train_stack(
            method, data, runs, settings=settings or small(method), scaling=scaling or [plain, plain], models=models,
            history=history, starts=starts, **others,
        )  # fmt: skip
        tensors, info = load_models(models)
        return SimpleNamespace(models=models, history=history, tensors=tensors, info=info)

    return trained


@pytest.fixture(scope="module")
def step1_stacks(train_in, small, tmp_path_factory):
    """The step-1 runs, for the widths asked for, in one stack."""
    made = {}

    def stack(**widths):
        key = tuple(widths.items())
        if key not in made:
            made[key] = train_in(
                tmp_path_factory.mktemp("step1"), "step1", STEP1, settings=small("step1", **widths)
            ).models
        return made[key]

    return stack


def of_run(out, index):
    """Every tensor of one run, whatever its place in the stack."""
    starts = out.info["layout"]["start_of_run"]
    frozen = ("zc1", "zc2") if starts else ()
    return {
        name: tensor[starts[index] if name.startswith(frozen) and starts else index]
        for name, tensor in out.tensors.items()
    }


def same_run(first, i, second, j):
    one, other = of_run(first, i), of_run(second, j)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def curves(out, run):
    rows = read_table(out.history).to_pylist()
    return [(row["epoch"], row["term"], row["value"]) for row in rows if row["run"] == run["id"]]


# ---------------------------------------------------------------- alone and in a stack


@pytest.mark.parametrize(
    "widths",
    [{"hidden": 100, "dimensions": 13}, pytest.param({"hidden": 30, "dimensions": 10}, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("method", RUNS)
def test_a_run_alone_is_the_run_in_a_stack_bit_by_bit(train_in, small, step1_stacks, method, widths, tmp_path):
    settings, starts = small(method, **widths), [step1_stacks(**widths)] if method == "step2" else []
    runs = RUNS[method]
    alone = [
        train_in(tmp_path / f"alone{k}", method, [run], settings=settings, starts=starts) for k, run in enumerate(runs)
    ]
    for stack in (runs[:2], runs[2:5], runs, runs[::-1]):
        out = train_in(tmp_path / "stack", method, stack, settings=settings, starts=starts)
        for place, run in enumerate(stack):
            single = alone[runs.index(run)]
            assert same_run(out, place, single, 0), f"{run['id']} at place {place} of {len(stack)}"
            assert curves(out, run) == curves(single, run)
    # The runs are no copies of each other, or the test would show nothing.
    last = [name for name in alone[0].tensors if name.endswith("weights.2")][-1]
    assert len({alone[k].tensors[last].sum().item() for k in range(8)}) == 8


def test_codes_narrower_than_twelve_are_nearly_the_same(train_in, small, step1_stacks, tmp_path):
    # For matrices of 5, 6, 7, 9, 10 or 11 columns, MKL's result depends on the address of each run's slice (whether
    # it is a multiple of 16 bytes), as in the 7 x 7 product of the orthogonality loss: bits are not promised there.
    widths = {"hidden": 100, "dimensions": 7}
    starts = [step1_stacks(**widths)]
    out = train_in(tmp_path / "stack", "step2", STEP2, settings=small("step2", **widths), starts=starts)
    for place in (1, 2, 6):
        alone = train_in(
            tmp_path / f"{place}", "step2", [STEP2[place]], settings=small("step2", **widths), starts=starts
        )
        single = of_run(alone, 0)
        for name, tensor in of_run(out, place).items():
            torch.testing.assert_close(tensor, single[name], atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("method", ["step1", "step2", "jointopt", "focal", "dmvae", "factorcl"])
def test_the_same_in_the_papers_widths(train_in, small, step1_stacks, method, tmp_path):
    sizes = {"hidden": 512, "dimensions": 100, "batch_size": 48, "epochs": 2, "weight_std": 0.01}
    settings = small(method, **sizes)
    stack = STEP1 if method == "step1" else RUNS[method][:3]
    starts = []
    if method == "step2":
        starts = [train_in(tmp_path / "start", "step1", STEP1[:2], settings=small("step1", **sizes)).models]
    out = train_in(tmp_path / "stack", method, stack, settings=settings, starts=starts)
    for place in (0, len(stack) - 1):
        single = train_in(tmp_path / f"alone{place}", method, [stack[place]], settings=settings, starts=starts)
        assert same_run(out, place, single, 0)


def test_a_shared_start_gives_each_lam_what_it_gets_alone(train_in, step1_stacks, tmp_path):
    runs = [STEP2[1] | {"id": f"lam={lam}", "lam": lam} for lam in (0, 0.5, 8)]
    out = train_in(tmp_path / "stack", "step2", runs, starts=[step1_stacks()])
    assert out.info["layout"]["start_of_run"] == [0, 0, 0]
    assert len(out.tensors["zc1.weights.0"]) == 1
    for place, run in enumerate(runs):
        alone = train_in(tmp_path / run["id"], "step2", [run], starts=[step1_stacks()])
        assert same_run(out, place, alone, 0)


def test_starts_may_lie_in_several_stacks(train_in, step1_stacks, tmp_path):
    halves = [train_in(tmp_path / f"half{k}", "step1", STEP1[k::2]).models for k in (0, 1)]
    whole = train_in(tmp_path / "whole", "step2", STEP2, starts=[step1_stacks()])
    split = train_in(tmp_path / "split", "step2", STEP2, starts=halves)
    assert all(same_run(whole, k, split, k) for k in range(len(STEP2)))


@pytest.mark.parametrize("method", ["step1", "step2"])
def test_two_threads_give_nearly_the_same(train_in, small, step1_stacks, method, tmp_path):
    # Large enough for work to be shared out.
    settings = small(method, hidden=100, dimensions=10, batch_size=40)
    starts = [step1_stacks(hidden=100, dimensions=10)] if method == "step2" else []
    one = train_in(tmp_path / "one", method, RUNS[method], settings=settings, starts=starts)
    torch.set_num_threads(2)
    two = train_in(tmp_path / "two", method, RUNS[method], settings=settings, starts=starts)
    for name, tensor in one.tensors.items():
        torch.testing.assert_close(two.tensors[name], tensor, atol=2e-4, rtol=1e-3)


def test_the_same_twice_the_same_bytes(train_in, step1_stacks, tmp_path):
    for method, runs in RUNS.items():
        starts = [step1_stacks()] if method == "step2" else []
        first, second = (train_in(tmp_path / method / k, method, runs, starts=starts) for k in "ab")
        assert first.models.read_bytes() == second.models.read_bytes()
        assert first.history.read_bytes() == second.history.read_bytes()


def test_global_generators_neither_matter_nor_change(train_in, tmp_path):
    torch.manual_seed(1)
    np.random.seed(1)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = train_in(tmp_path / "a", "step1", STEP1[:2])
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_before, np.random.get_state()[1])
    torch.manual_seed(2)
    second = train_in(tmp_path / "b", "step1", STEP1[:2])
    assert first.models.read_bytes() == second.models.read_bytes()


# ---------------------------------------------------------------- what step 2 trains


def test_step2_leaves_its_start_as_it_was(train_in, step1_stacks, tmp_path):
    start, info = load_models(step1_stacks())
    out = train_in(tmp_path, "step2", STEP2, starts=[step1_stacks()])
    ids = [run["id"] for run in info["runs"]]
    for place, run in enumerate(STEP2):
        index = ids.index(f"beta={run['beta']},fold=0,seed={run['start_seed']}")
        for name, tensor in of_run(out, place).items():
            if name.startswith(("zc1", "zc2")):
                assert torch.equal(tensor, start[name][index])


def test_step2_takes_the_start_of_its_own_fold(train_in, step1_stacks, tmp_path):
    runs = [{"id": f"fold={fold}", "beta": 4, "lam": 1, "fold": fold, "seed": 0, "start_seed": 0} for fold in (0, 1)]
    start, info = load_models(step1_stacks())
    ids = [run["id"] for run in info["runs"]]
    out = train_in(tmp_path, "step2", runs, starts=[step1_stacks()])
    for place in (0, 1):
        index = ids.index(f"beta=4,fold={place},seed=0")
        assert torch.equal(of_run(out, place)["zc2.weights.0"], start["zc2.weights.0"][index])


def test_a_missing_start_is_a_sentence(train_in, step1_stacks, tmp_path):
    run = STEP2[0] | {"beta": 9, "id": "beta=9,lam=0,seed=0"}
    with pytest.raises(InputError) as caught:
        train_in(tmp_path, "step2", [STEP2[0], run], starts=[step1_stacks()])
    said = "step 1 has no run with beta 9.0, fold 0, seed 0; add that beta to grids.step1."
    assert str(caught.value).endswith(f"beta=9,lam=0,seed=0: {said}")
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_absent_starts_are_sentences(train_in, step1_stacks, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(step1_stacks().read_bytes()[:-50])
    for path, said in ((damaged, "is not a readable stack of models"), (tmp_path / "none", "no such file")):
        with pytest.raises(InputError, match=said):
            train_in(tmp_path / "out", "step2", STEP2[:1], starts=[path])


@pytest.mark.parametrize(
    ("start", "here"),
    [
        ({"hidden": 10, "dimensions": 10, "layers": 2}, {"hidden": 10, "dimensions": 10, "layers": 3}),
        ({"hidden": 10, "dimensions": 10, "layers": 3}, {"hidden": 10, "dimensions": 10, "layers": 2}),
        ({"hidden": 30, "dimensions": 10}, {"hidden": 32, "dimensions": 10}),
        ({"hidden": 30, "dimensions": 10}, {"hidden": 30, "dimensions": 12}),
    ],
    ids=["fewer layers", "more layers", "other hidden", "other dimensions"],
)
def test_a_start_of_another_shape_is_taken_as_it_is(train_in, small, tiny, tmp_path, start, here):
    # The config allows layers and widths of its own for each stage. Where all widths are equal, a layer more or
    # less still fits the names and shapes of the weights, but is another network.
    first = train_in(tmp_path / "start", "step1", STEP1[:1], settings=small("step1", **start))
    out = train_in(tmp_path / "out", "step2", STEP2[:1], settings=small("step2", **here), starts=[first.models])
    dataset = read_dataset(tiny)
    expected, found = (Models(one.models, dataset).represent_views(0) for one in (first, out))
    for name in ("zc1", "zc2"):
        np.testing.assert_array_equal(found[name], expected[name])


def test_beta_selected_is_the_selected_beta_of_the_fold(train_in, step1_stacks, tmp_path):
    selection = tmp_path / "selection.json"
    write_json(selection, {"beta": {"0": 4.0, "1": 0.0}})
    runs = [
        {"id": f"{beta},fold={fold}", "beta": beta, "lam": 2, "fold": fold, "seed": 0, "start_seed": 0}
        for fold, beta in ((0, "selected"), (1, "selected"), (0, 4), (1, 0))
    ]
    out = train_in(tmp_path / "out", "step2", runs, starts=[step1_stacks()], selection=selection)
    assert same_run(out, 0, out, 2)
    assert same_run(out, 1, out, 3)
    assert [run["beta_value"] for run in out.info["runs"]] == [4.0, 0.0, 4.0, 0.0]
    assert [run["beta"] for run in out.info["runs"]] == ["selected", "selected", 4, 0]
    with pytest.raises(InputError, match="no such file"):
        train_in(tmp_path / "none", "step2", runs, starts=[step1_stacks()], selection=tmp_path / "none.json")


# ---------------------------------------------------------------- an independent, slow reference


class Reference(nn.Module):
    """Step 1 for one run as one would write it first."""

    def __init__(self, stacked, run, beta, settings):
        super().__init__()
        self.beta, self.settings = beta, settings
        self.encoders = nn.ModuleList(literal.as_torch(encoder, run) for encoder in (stacked.zc1, stacked.zc2))

    def loss(self, x, noise):
        means = [torch.nn.functional.normalize(e(view), dim=1) for e, view in zip(self.encoders, x, strict=True)]
        samples = []
        for mean, draw in zip(means, noise, strict=True):
            u = torch.eye(mean.shape[1], dtype=mean.dtype)[0] - mean
            samples.append(draw - 2 * u * (u * draw).sum(1, keepdim=True) / (u * u).sum(1, keepdim=True))
        logits = samples[0] @ samples[1].T / self.settings.temperature
        labels = torch.arange(len(logits))
        cross = [torch.nn.functional.cross_entropy(side, labels) for side in (logits, logits.T)]
        return sum(cross) / 2 - self.beta * (means[0] * means[1]).sum(1).mean()


def in_float64(tiny, small, **others):
    """Feed, settings and the layout of two runs of two streams, all in float64."""
    settings = Step1Settings(**small("step1", epochs=4, **others))
    dataset = read_dataset(tiny)
    views = tuple(torch.from_numpy(view).double() for view in dataset.views)
    folds = {
        fold: FoldData(views, tuple(torch.from_numpy(rows[dataset.pairs_in(fold, "train")]) for rows in dataset.rows))
        for fold in (0, 1)
    }
    layout = Layout({"beta": [0.5, 4.0]}, [Stream("tiny", 0, 0), Stream("tiny", 1, 3)], [0, 1])
    feed = Feed(
        folds, layout.streams,
        size=EpochSize.of_pairs(min(len(fold.rows[0]) for fold in folds.values()), settings.batch_size),
        augmentation=(Augmentation(0.01, 0.1),) * 2, second_version=False,
        noise=load_method("step1").noise, dimensions=settings.dimensions, kappa=settings.kappa,
    )  # fmt: skip
    method = load_method("step1")(((30,), (17,)), settings, layout)
    method.initialise()
    return method.double(), feed, settings


def test_step1_is_the_plain_loop_with_torchs_adam_and_schedule(tiny, small):
    method, feed, settings = in_float64(tiny, small)
    references = [Reference(method, run, beta, settings) for run, beta in enumerate((0.5, 4.0))]
    record = train(method, feed, settings)
    for run, reference in enumerate(references):
        optimiser = torch.optim.Adam(reference.parameters(), lr=1e-3, foreach=False, fused=False)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=settings.epochs)
        means = []
        for epoch in range(settings.epochs):
            losses = []
            for batch in feed.epoch(epoch):
                loss = reference.loss([x[run] for x in batch.x], [draw[run].double() for draw in batch.noise])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
            schedule.step()
            means.append(np.mean(losses))
        found = [curve[record.names.index("loss_encoders"), run].item() for curve in record.curves]
        np.testing.assert_allclose(found, means, rtol=1e-6)
        assert feed.steps * settings.epochs >= 12
        for stacked, plain in zip((method.zc1, method.zc2), reference.encoders, strict=True):
            copied = literal.as_torch(stacked, run)
            for mine, theirs in zip(copied.parameters(), plain.parameters(), strict=True):
                torch.testing.assert_close(mine, theirs, atol=1e-7, rtol=1e-5)


def test_learning_rate_is_torchs_cosine(tiny, small, monkeypatch):
    seen = []

    class Spy(Adam):
        def step(self):
            seen.append(self.rate)
            super().step()

    method, feed, settings = in_float64(tiny, small)
    monkeypatch.setattr(training, "Adam", Spy)
    train(method, feed, settings)
    optimiser = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=settings.epochs)
    expected = []
    for _ in range(settings.epochs):
        expected += [schedule.get_last_lr()[0]] * feed.steps
        optimiser.step()
        schedule.step()
    np.testing.assert_allclose(seen, expected, rtol=1e-12)


def test_history_is_the_mean_over_an_epochs_steps(train_in, tmp_path):
    out = train_in(tmp_path, "step1", STEP1)
    table = read_table(out.history)
    assert table.column_names == ["run", "epoch", "term", "value"]
    assert table.num_rows == 8 * 2 * 3
    assert table_info(table)["dataset"]["name"] == "tiny"
    for run in STEP1:
        values = {(epoch, term): value for epoch, term, value in curves(out, run)}
        assert {epoch for epoch, _ in values} == {1, 2}
        for epoch in (1, 2):
            expected = values[epoch, "info_nce"] - run["beta"] * values[epoch, "mean_cosine"]
            assert values[epoch, "loss_encoders"] == pytest.approx(expected, abs=1e-5)


def test_training_learns(train_in, small, tmp_path):
    out = train_in(tmp_path, "clip", CLIP[:2], settings=small("clip", epochs=15))
    for run in CLIP[:2]:
        losses = [value for _, _, value in curves(out, run)]
        assert losses[-1] < 0.6 * losses[0]


def test_info_says_what_was_trained(train_in, small, tmp_path):
    out = train_in(tmp_path, "step1", STEP1)
    assert (out.info["method"], out.info["dataset"], out.info["shapes"]) == ("step1", "tiny", [[30], [17]])
    assert out.info["settings"] == small("step1")
    assert [run["id"] for run in out.info["runs"]] == [run["id"] for run in STEP1]
    assert all(run["status"] == "trained" for run in out.info["runs"])
    assert out.info["layout"]["streams"] == [["tiny", 0, 0], ["tiny", 1, 0], ["tiny", 0, 1], ["tiny", 1, 1]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.parquet", "models.safetensors"]


def test_a_fold_that_no_run_uses_decides_the_steps_too(caplog, train_in, small, tiny, tmp_path):
    caplog.set_level(logging.INFO)
    sizes = [len(read_dataset(tiny).pairs_in(fold, "train")) for fold in (0, 1)]
    assert sizes[0] // 3 != sizes[1] // 3
    larger = int(np.argmax(sizes))
    train_in(tmp_path, "clip", [{"id": "a", "fold": larger, "seed": 0}], settings=small("clip", batch_size=3))
    assert f"of {min(sizes) // 3} mini-batches of 3 pairs" in caplog.text


def test_mini_batches_of_distinct_groups(caplog, train_in, small, tiny, tmp_path):
    caplog.set_level(logging.INFO)
    dataset = read_dataset(tiny)
    groups = [dataset.groups[dataset.pairs_in(fold, "train")] for fold in (0, 1)]
    fewest = min(len(set(one)) for one in groups)
    settings = small("step1", mini_batches="distinct_groups", batch_size=1000)
    alone = train_in(tmp_path / "alone", "step1", STEP1[:1], settings=settings)
    assert f"mini-batches of {fewest} pairs" in caplog.text
    # The setting decides the weights, and a stack does not.
    together = train_in(tmp_path / "together", "step1", STEP1, settings=settings)
    pairs = train_in(tmp_path / "pairs", "step1", STEP1[:1], settings=small("step1", batch_size=fewest))
    for name, tensor in alone.tensors.items():
        assert torch.equal(tensor[0], together.tensors[name][0])
    assert any(not torch.equal(tensor, pairs.tensors[name]) for name, tensor in alone.tensors.items())


def test_one_training_group_is_too_few_to_be_kept_apart(write_tiny, train_in, small, tmp_path):
    data = write_tiny(tmp_path / "data")
    table, groups = pq.read_table(data / "splits.parquet"), read_dataset(data).groups
    repeated = next(group for group in groups if (groups == group).sum() > 1)
    words = ["train" if group == repeated else "test" for group in groups]
    write_table(data / "splits.parquet", table.set_column(2, "fold_1", pa.array(words)))
    settings = small("clip", mini_batches="distinct_groups")
    with pytest.raises(InputError, match="column fold_1: has training pairs of one group only; mini-batches of"):
        train_in(tmp_path / "out", "clip", CLIP[:1], data=data, settings=settings)


@pytest.mark.parametrize("fold", [0, 1])
def test_one_training_pair_is_too_few(write_tiny, train_in, tmp_path, fold):
    # Also where the run's own fold is large: all folds take the batch that the smallest can serve.
    data = write_tiny(tmp_path / "data")
    table = pq.read_table(data / "splits.parquet")
    words = ["train"] + ["test"] * (table.num_rows - 1)  # the first molecule has one pair
    write_table(data / "splits.parquet", table.set_column(2, "fold_1", pa.array(words)))
    with pytest.raises(InputError, match="column fold_1: has 1 training pairs; contrastive training needs at least 2"):
        train_in(tmp_path / "out", "clip", [CLIP[fold]], data=data)


# ---------------------------------------------------------------- resuming


class Stop(Exception):
    pass


def interrupted(monkeypatch, train_in, folder, method, runs, after, **others):
    """Train, and stop when epoch ``after`` (from 0) is about to begin or in the middle of it."""
    original = Feed.epoch

    def epoch(self, number):
        for step, batch in enumerate(original(self, number)):
            if number == after and step == 1:
                raise Stop
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(Feed, "epoch", epoch)
        with pytest.raises(Stop):
            train_in(folder, method, runs, checkpoint_seconds=0, **others)
    assert not (folder / "models.safetensors").exists()
    assert not (folder / "history.parquet").exists()


def resumed_after(caplog):
    return [record.args[0] for record in caplog.records if record.msg.startswith("resumed after epoch")]


@pytest.mark.parametrize("method", RUNS)
@pytest.mark.parametrize("after", [1, 3])
def test_a_resumed_stack_is_the_undisturbed_one(
    monkeypatch, caplog, train_in, small, step1_stacks, method, after, tmp_path
):
    caplog.set_level(logging.INFO)
    runs, others = RUNS[method][:4], {"settings": small(method, epochs=4)}
    if method == "step2":
        others["starts"] = [step1_stacks()]
    whole = train_in(tmp_path / "whole", method, runs, **others)
    interrupted(monkeypatch, train_in, tmp_path / "again", method, runs, after, **others)
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["checkpoint.pt"]
    caplog.clear()
    again = train_in(tmp_path / "again", method, runs, **others)
    assert resumed_after(caplog) == [after]
    assert again.models.read_bytes() == whole.models.read_bytes()
    assert again.history.read_bytes() == whole.history.read_bytes()
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == ["history.parquet", "models.safetensors"]


@pytest.mark.parametrize("method", cases([*RUNS], slow={*RUNS} - {"step1", "jointopt"}))
def test_in_bfloat16_a_stack_trains_and_resumes(monkeypatch, train_in, small, step1_stacks, method, tmp_path):
    runs, others = RUNS[method][:4], {"settings": small(method, epochs=4, precision="bfloat16")}
    if method == "step2":
        others["starts"] = [step1_stacks()]
    whole = train_in(tmp_path / "whole", method, runs, **others)
    assert all(run["status"] == "trained" for run in whole.info["runs"])
    assert all(tensor.dtype == torch.float32 and torch.isfinite(tensor).all() for tensor in whole.tensors.values())
    plain = train_in(tmp_path / "plain", method, runs, **(others | {"settings": small(method, epochs=4)}))
    rough, smooth = ([value for _, _, value in curves(out, runs[-1])] for out in (whole, plain))
    np.testing.assert_allclose(rough, smooth, rtol=0.05, atol=0.05)
    assert rough != smooth
    interrupted(monkeypatch, train_in, tmp_path / "again", method, runs, 2, **others)
    again = train_in(tmp_path / "again", method, runs, **others)
    assert again.models.read_bytes() == whole.models.read_bytes()
    alone = train_in(tmp_path / "alone", method, runs[-1:], **others)
    assert same_run(whole, 3, alone, 0)


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="the processor is not described here")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_processor_that_emulates_bfloat16_is_told(caplog, train_in, small, precision, tmp_path):
    flags = set(re.findall(r"\S+", Path("/proc/cpuinfo").read_text()))
    train_in(tmp_path, "step1", STEP1[:1], settings=small("step1", precision=precision))
    told = "float32 is many times faster" in caplog.text
    assert told == (precision == "bfloat16" and not flags & {"avx512_bf16", "amx_bf16", "bf16", "svebf16"})


def test_resumed_twice_is_still_the_same(monkeypatch, train_in, small, tmp_path):
    settings = small("step1", epochs=4)
    whole = train_in(tmp_path / "whole", "step1", STEP1[:3], settings=settings)
    for after in (1, 2):
        interrupted(monkeypatch, train_in, tmp_path / "again", "step1", STEP1[:3], after, settings=settings)
    again = train_in(tmp_path / "again", "step1", STEP1[:3], settings=settings)
    assert again.models.read_bytes() == whole.models.read_bytes()
    assert again.history.read_bytes() == whole.history.read_bytes()


KILLED = """
import json, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from disentangledssl.batches import Feed
from disentangledssl.training import train_stack
original = Feed.epoch
def slow(self, number):
    for batch in original(self, number):
        time.sleep(0.05)
        yield batch
Feed.epoch = slow
options = json.loads(sys.argv[1])
for name in ("models", "history"):
    options[name] = Path(options[name])
train_stack("step1", Path(sys.argv[2]), json.loads(sys.argv[3]), checkpoint_seconds=0, **options)
"""


def test_a_killed_process_is_resumed_to_the_same_numbers(train_in, tiny, small, plain, tmp_path):
    settings, folder = small("step1", epochs=6), tmp_path / "killed"
    options = {
        "settings": settings, "scaling": [plain, plain], "models": str(folder / "models.safetensors"),
        "history": str(folder / "history.parquet"),
    }  # fmt: skip
    command = [sys.executable, "-c", KILLED, json.dumps(options), str(tiny), json.dumps(STEP1[:2])]
    process = subprocess.Popen(command)
    try:
        while not (folder / "checkpoint.pt").exists():
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert not (folder / "models.safetensors").exists()
    again = train_in(folder, "step1", STEP1[:2], settings=settings)
    whole = train_in(tmp_path / "whole", "step1", STEP1[:2], settings=settings)
    assert again.models.read_bytes() == whole.models.read_bytes()
    assert again.history.read_bytes() == whole.history.read_bytes()


@pytest.mark.parametrize("other", ["settings", "runs", "scaling", "code", "threads", "data", "starts"])
def test_a_checkpoint_of_something_else_is_not_resumed(
    monkeypatch, caplog, train_in, small, plain, write_tiny, step1_stacks, other, tmp_path
):
    caplog.set_level(logging.INFO)
    data = write_tiny(tmp_path / "data")
    method, runs = ("step2", STEP2[:2]) if other == "starts" else ("step1", STEP1[:2])
    start = tmp_path / "start.safetensors"
    before = {"settings": small(method, epochs=4), "data": data, "code": "one"}
    if other == "starts":
        shutil.copy(step1_stacks(), start)
        before["starts"] = [start]
    interrupted(monkeypatch, train_in, tmp_path / "again", method, runs, 2, **before)
    after = dict(before)
    if other == "settings":
        after["settings"] = small(method, epochs=4, temperature=0.2)
    elif other == "runs":
        runs = STEP1[1:3]
    elif other == "scaling":
        after["scaling"] = [plain | {"standardise": True}, plain]
    elif other == "code":
        after["code"] = "two"
    elif other == "threads":
        torch.set_num_threads(2)  # one_thread puts the old count back
    elif other == "data":
        view = read_dataset(data)
        changed = view_table(view.view_ids[1], 2 * view.views[1], view.features[1])
        write_table(data / "view2.parquet", changed)
    else:
        start.write_bytes(
            train_in(tmp_path / "other", "step1", STEP1, settings=small("step1", epochs=1)).models.read_bytes()
        )
    caplog.clear()
    again = train_in(tmp_path / "again", method, runs, **after)
    assert resumed_after(caplog) == []
    fresh = train_in(tmp_path / "fresh", method, runs, **after)
    assert again.models.read_bytes() == fresh.models.read_bytes()
    assert again.history.read_bytes() == fresh.history.read_bytes()


def test_a_damaged_checkpoint_is_a_sentence(monkeypatch, train_in, small, tmp_path):
    settings = small("step1", epochs=4)
    interrupted(monkeypatch, train_in, tmp_path, "step1", STEP1[:1], 2, settings=settings)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"checkpoint\.pt: the checkpoint is damaged .*; delete it; training then"):
        train_in(tmp_path, "step1", STEP1[:1], settings=settings)


def test_checkpoints_keep_their_distance(monkeypatch, train_in, small, tmp_path):
    saved = []
    monkeypatch.setattr(training, "save_checkpoint", lambda path, state: saved.append(state["epoch"]))
    train_in(tmp_path / "a", "step1", STEP1[:1], settings=small("step1", epochs=4), checkpoint_seconds=3600)
    assert saved == []
    train_in(tmp_path / "b", "step1", STEP1[:1], settings=small("step1", epochs=4), checkpoint_seconds=0)
    assert saved == [1, 2, 3]  # none after the last epoch: the models come next


# ---------------------------------------------------------------- divergence


def diverging(run):
    return run | {"id": f"diverging,{run['id']}", "beta": HUGE}


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_diverged_run_is_recorded_and_its_mates_never_see_it(train_in, tmp_path, place):
    mates = STEP1[:3]
    bad = diverging(STEP1[1])
    out = train_in(tmp_path / "with", "step1", [*mates[:place], bad, *mates[place:]])
    without = train_in(tmp_path / "without", "step1", mates)
    one = out.info["runs"][place]
    assert one["status"] == "diverged"
    assert (one["diverged_step"], one["diverged_term"]) == (0, "loss_encoders")
    assert all(torch.isnan(tensor).all() for tensor in of_run(out, place).values())
    others = [k for k in range(4) if k != place]
    for k, mate in zip(others, range(3), strict=True):
        assert out.info["runs"][k] == without.info["runs"][mate]
        assert same_run(out, k, without, mate)
        assert curves(out, mates[mate]) == curves(without, mates[mate])


def test_step2_of_a_diverged_run_is_diverged_input(train_in, tmp_path):
    bad = diverging(STEP1[0])
    first = train_in(tmp_path / "first", "step1", [bad, STEP1[0]])
    lams = [
        {"id": f"beta={beta},lam={lam}", "beta": beta, "lam": lam, "fold": 0, "seed": 0, "start_seed": 0}
        for beta, lam in ((HUGE, 0), (0, 0), (HUGE, 2))
    ]
    second = train_in(tmp_path / "second", "step2", lams, starts=[first.models])
    assert [run["status"] for run in second.info["runs"]] == ["diverged_input", "trained", "diverged_input"]
    assert "diverged_step" not in second.info["runs"][0]
    alone = train_in(tmp_path / "alone", "step2", lams[1:2], starts=[first.models])
    assert same_run(second, 1, alone, 0)
    assert all(torch.isnan(second.tensors["zs1.weights.0"][k]).all() for k in (0, 2))


BASELINES = [
    ("jointopt", {"a": HUGE}), ("jointopt", {"lam": HUGE}), ("focal", {"a": HUGE}), ("focal", {"lam": HUGE}),
    ("dmvae", {"lam": HUGE}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "huge"), BASELINES, ids=lambda one: one if isinstance(one, str) else "".join(one))
def test_a_diverged_run_of_a_baseline_leaves_its_mates_alone(train_in, method, huge, tmp_path):
    mates = RUNS[method][:2]
    bad = mates[1] | huge | {"id": "diverging"}
    out = train_in(tmp_path / "with", method, [mates[0], bad, mates[1]])
    without = train_in(tmp_path / "without", method, mates)
    assert [run["status"] for run in out.info["runs"]] == ["trained", "diverged", "trained"]
    assert all(torch.isnan(tensor).all() for tensor in of_run(out, 1).values())
    for place, mate in ((0, 0), (2, 1)):
        assert same_run(out, place, without, mate)
        assert curves(out, mates[mate]) == curves(without, mates[mate])


def test_a_stack_may_diverge_as_a_whole(train_in, tmp_path):
    out = train_in(tmp_path, "step1", [diverging(STEP1[0])])
    assert [run["status"] for run in out.info["runs"]] == ["diverged"]


def test_divergence_survives_a_resume(monkeypatch, train_in, small, tmp_path):
    runs, settings = [diverging(STEP1[0]), STEP1[1]], small("step1", epochs=4)
    whole = train_in(tmp_path / "whole", "step1", runs, settings=settings)
    interrupted(monkeypatch, train_in, tmp_path / "again", "step1", runs, 2, settings=settings)
    again = train_in(tmp_path / "again", "step1", runs, settings=settings)
    assert again.info["runs"] == whole.info["runs"]
    assert again.models.read_bytes() == whole.models.read_bytes()
    assert again.history.read_bytes() == whole.history.read_bytes()


def test_weights_that_turn_nan_in_the_very_last_step_are_no_success(train_in, small, tmp_path):
    # The loss of the only step is finite (3e38), its gradient is not: only the weights show it.
    run = STEP1[0] | {"id": "beta=3e38", "beta": 3e38}
    out = train_in(tmp_path, "step1", [run], settings=small("step1", epochs=1, batch_size=256, weight_std=1e-4))
    assert np.isfinite([value for _, term, value in curves(out, run) if term == "loss_encoders"]).all()
    finite = all(torch.isfinite(tensor).all() for tensor in out.tensors.values())
    assert not finite, "the case is meant to spoil the weights"
    assert out.info["runs"][0]["status"] == "diverged"


class Scripted(BaseMethod):
    """One weight a run, and losses as told, step by step."""

    def __init__(self, script, epochs, small):
        runs = script.shape[1]
        layout = Layout({}, [Stream("tiny", 0, 0)], [0] * runs)
        super().__init__((1, 1), ClipSettings(**small("clip", epochs=epochs, batch_size=2)), layout)
        self.weight, self.script, self.step = nn.Parameter(torch.zeros(runs, 16)), script, 0

    def parameter_groups(self):
        return {"main": [self.weight]}

    def losses(self, batch):
        inner = self.script[self.step]
        self.step += 1
        loss = self.weight.sum(1) + inner
        return {"main": loss}, {"inner": inner}


def scripted_feed(method, steps):
    """So many mini-batches of two pairs an epoch."""
    fold = FoldData((torch.zeros(2 * steps, 1),) * 2, (torch.arange(2 * steps),) * 2)
    return Feed(
        {0: fold}, method.layout.streams, size=EpochSize(2, steps), augmentation=(Augmentation(0.0, 0.0),) * 2,
        second_version=False,
    )  # fmt: skip


def train_scripted(script, epochs, small):
    method = Scripted(torch.tensor(script), epochs, small)
    return method, train(method, scripted_feed(method, len(script) // epochs), method.settings)


def test_step_and_term_of_divergence(small):
    nan, inf = math.nan, math.inf
    # Six steps in two epochs; runs: sound, NaN at 1, infinite at 3, sound until the last step, NaN at 4 after inf at 2.
    script = [
        [1.0, 1.0, 1.0, 1.0, 1.0],
        [1.0, nan, 1.0, 1.0, 1.0],
        [1.0, 1.0, 1.0, 1.0, -inf],
        [1.0, 1.0, inf, 1.0, 1.0],
        [1.0, 1.0, 1.0, 1.0, nan],
        [1.0, 1.0, 1.0, nan, 1.0],
    ]
    method, record = train_scripted(script, 2, small)
    status = record.status(list("abcde"), ["trained"] * 5)
    assert [one["status"] for one in status] == ["trained"] + ["diverged"] * 4
    assert [one.get("diverged_step") for one in status] == [None, 1, 3, 5, 2]
    assert {one["diverged_term"] for one in status[1:]} == {"inner"}  # the innermost term that is wrong
    assert torch.isnan(method.weight[1:]).all()
    assert torch.isfinite(method.weight[0]).all()
    assert record.note() == ", 4 of 5 runs diverged"
    assert math.isfinite(record.mean_loss())


class TwoGroups(Scripted):
    """Two weights, each with a loss of its own."""

    def __init__(self, *args):
        super().__init__(*args)
        self.critic = nn.Parameter(torch.zeros(2, 16))

    def parameter_groups(self):
        return {"main": [self.weight], "critic": [self.critic]}

    def losses(self, batch):
        main = (self.weight + self.critic.detach()).square().sum(1) + self.weight.sum(1)
        critic = (self.critic + self.weight.detach()).square().sum(1) - self.critic.sum(1)
        return {"main": main, "critic": critic}, {}


def test_each_group_has_a_loss_and_an_optimiser_of_its_own(small):
    method = TwoGroups(torch.zeros(4, 2), 2, small)
    record = train(method, scripted_feed(method, 2), method.settings)
    assert record.names == ["loss_main", "loss_critic"]
    weight, critic = (torch.zeros(2, 16, requires_grad=True) for _ in range(2))
    optimisers = [torch.optim.Adam([one], lr=1e-3) for one in (weight, critic)]
    for rate in (1e-3, 1e-3, 5e-4, 5e-4):
        losses = [
            (weight + critic.detach()).square().sum() + weight.sum(),
            (critic + weight.detach()).square().sum() - critic.sum(),
        ]
        for optimiser, loss in zip(optimisers, losses, strict=True):
            optimiser.param_groups[0]["lr"] = rate
            optimiser.zero_grad()
            loss.backward()
        for optimiser in optimisers:
            optimiser.step()
    torch.testing.assert_close(method.weight, weight)
    torch.testing.assert_close(method.critic, critic)
    assert (method.weight < 0).all()
    assert (method.critic > 0).all()


def test_status_of_a_bad_start_wins(small):
    _, record = train_scripted([[1.0, math.nan]] * 2, 1, small)
    status = record.status(["a", "b"], ["diverged", "diverged_input"])
    assert status == [{"status": "diverged_input"}] * 2


def test_record_comes_back(small):
    _, record = train_scripted([[1.0, math.nan], [2.0, 1.0]], 2, small)
    _, copy = train_scripted([[0.0, 0.0]], 1, small)
    copy.load(record.state())
    curves = [one.history(["a", "b"])["value"].to_numpy() for one in (copy, record)]
    np.testing.assert_array_equal(*curves)
    assert copy.status(["a", "b"], ["trained"] * 2) == record.status(["a", "b"], ["trained"] * 2)
    assert copy.names == ["loss_main", "inner"]


# ---------------------------------------------------------------- what a person sees


def test_the_log_says_what_runs_and_who_diverged(caplog, train_in, tiny, tmp_path):
    caplog.set_level(logging.INFO)
    train_in(tmp_path, "step1", [STEP1[0], diverging(STEP1[1])])
    said = caplog.text
    steps = min(len(read_dataset(tiny).pairs_in(fold, "train")) for fold in (0, 1)) // 16
    assert f"step1: 2 runs, 2 epochs of {steps} mini-batches of 16 pairs, on cpu with 1 threads" in said
    assert "diverging,beta=4,fold=0,seed=0 diverged at step 0: loss_encoders is not finite" in said
    assert "1 of 2 runs diverged" in said


def test_lines_in_mid_epoch_change_no_number(caplog, monkeypatch, train_in, tmp_path):
    caplog.set_level(logging.INFO)
    quiet = train_in(tmp_path / "quiet", "step1", STEP1[:3])
    lines = len(caplog.records)
    monkeypatch.setattr("disentangledssl.progress.SECONDS_BETWEEN_LINES", 0)
    caplog.clear()
    chatty = train_in(tmp_path / "chatty", "step1", STEP1[:3])
    assert len(caplog.records) > lines
    assert chatty.models.read_bytes() == quiet.models.read_bytes()
    assert chatty.history.read_bytes() == quiet.history.read_bytes()


@pytest.mark.parametrize("mistake", ["unknown setting", "setting of another stage", "text", "unknown scaling"])
def test_unchecked_settings_are_refused_before_anything_is_read(train_in, small, plain, tmp_path, mistake):
    settings, scaling = small("step1"), [plain, plain]
    if mistake == "unknown setting":
        settings["tau"] = 0.1
    elif mistake == "setting of another stage":
        settings["orthogonality"] = "rows"
    elif mistake == "text":
        settings["epochs"] = "2"
    else:
        scaling = [plain | {"statistics": "test"}, plain]
    with pytest.raises(ValueError, match="validation error"):
        train_in(tmp_path, "step1", STEP1[:1], settings=settings, scaling=scaling, data=tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- GPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: torch.cuda.is_available() is false")
@pytest.mark.parametrize("method", RUNS)
def test_on_a_gpu_a_run_alone_is_nearly_the_run_in_a_stack(train_in, small, method, tmp_path):
    sizes, starts = {"hidden": 100, "dimensions": 10}, []
    settings = small(method, **sizes)
    if method == "step2":
        first = train_in(tmp_path / "start", "step1", STEP1, settings=small("step1", **sizes), device="cuda")
        starts = [first.models]
    runs = RUNS[method]
    out = train_in(tmp_path / "stack", method, runs, settings=settings, starts=starts, device="cuda")
    assert all(run["status"] == "trained" for run in out.info["runs"])
    for place in (0, 3, 7):
        alone = train_in(
            tmp_path / f"alone{place}", method, [runs[place]], settings=settings, starts=starts, device="cuda"
        )
        single = of_run(alone, 0)
        for name, tensor in of_run(out, place).items():
            torch.testing.assert_close(tensor, single[name], atol=5e-4, rtol=1e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: torch.cuda.is_available() is false")
def test_on_a_gpu_divergence_and_resume_work_as_on_a_cpu(monkeypatch, train_in, small, tmp_path):
    runs, settings = [diverging(STEP1[0]), STEP1[1]], small("step1", epochs=4)
    whole = train_in(tmp_path / "whole", "step1", runs, settings=settings, device="cuda")
    assert [run["status"] for run in whole.info["runs"]] == ["diverged", "trained"]
    interrupted(monkeypatch, train_in, tmp_path / "again", "step1", runs, 2, settings=settings, device="cuda")
    again = train_in(tmp_path / "again", "step1", runs, settings=settings, device="cuda")
    for name, tensor in again.tensors.items():
        torch.testing.assert_close(tensor, whole.tensors[name], atol=5e-4, rtol=1e-2, equal_nan=True)


# ---------------------------------------------------------------- what a method may decide about its training


class Watched(Scripted):
    """Counts in its state the epochs that have ended, and says after which of them it is done."""

    def __init__(self, script, epochs, small, last):
        super().__init__(torch.tensor(script), epochs, small)
        self.register_buffer("ended", torch.zeros((), dtype=torch.int64))
        self.last, self.seen, self.annealed = last, [], False

    def end_epoch(self, epoch, feed):
        self.ended += 1
        self.seen.append((epoch, int(self.ended), feed.steps, self.weight.detach().clone()))
        return int(self.ended) == self.last


def test_a_method_may_end_its_training(small):
    script = [[float(step), 1.0] for step in range(12)]
    method = Watched(script, 6, small, last=4)
    record = train(method, scripted_feed(method, 2), method.settings)
    assert [one[:3] for one in method.seen] == [(0, 1, 2), (1, 2, 2), (2, 3, 2), (3, 4, 2)]
    assert method.step == 8 and len(record.curves) == 4
    assert torch.equal(method.seen[-1][3], method.weight)
    # Adam moves a weight of constant gradient by the learning rate, which here stays what it is.
    for epochs, (_, _, _, weight) in enumerate(method.seen, 1):
        torch.testing.assert_close(weight, torch.full_like(weight, -2e-3 * epochs), rtol=1e-5, atol=0)


def test_what_a_method_remembers_of_its_epochs_survives_a_resume(small, tmp_path):
    script = [[float(step), 1.0] for step in range(12)]
    whole = Watched(script, 6, small, last=5)
    train(whole, scripted_feed(whole, 2), whole.settings)
    options = {"checkpoint": tmp_path / "checkpoint.pt", "identity": "same", "checkpoint_seconds": 0}
    killed = Watched(script[:6], 6, small, last=5)
    with pytest.raises(IndexError):
        train(killed, scripted_feed(killed, 2), killed.settings, **options)
    again = Watched(script[6:], 6, small, last=5)
    train(again, scripted_feed(again, 2), again.settings, **options)
    assert [one[:2] for one in again.seen] == [(3, 4), (4, 5)]
    assert torch.equal(again.weight, whole.weight) and torch.equal(again.ended, whole.ended)


def test_a_method_of_a_stage_ends_by_its_epochs_alone(small):
    method = Scripted(torch.zeros(4, 2), 2, small)
    assert BaseMethod.end_epoch(method, 0, None) is False
    assert BaseMethod.end_epoch(method, 10**6, None) is False
