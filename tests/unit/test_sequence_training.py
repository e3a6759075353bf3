"""Stacks that train on sequences: alone and together, resumed, refused, and used to encode."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from cases import cases

from disentangledssl import representations
from disentangledssl.checkpoints import load_models
from disentangledssl.cost import stack_bytes
from disentangledssl.dataset import PairedDataset
from disentangledssl.errors import InputError
from disentangledssl.representations import Models
from disentangledssl.settings import STAGE_SETTINGS, ScalingSettings
from disentangledssl.training import TRAINED, assemble, save_stack, train

pytestmark = pytest.mark.usefixtures("one_thread")

PAIRS, STEPS, FEATURES = 70, 6, (5, 18)
AUGMENTATION = {"noise_std": 0.1, "drop_fraction": 0.2}
TRANSFORMER = {
    "network": "transformer", "width": 32, "layers": 2, "heads": 2, "feedforward": 48, "dropout": 0.1,
    "readout": "last_step", "augmentation": AUGMENTATION,
}  # fmt: skip
GRU = {"network": "gru", "hidden": 16, "per_step": 4, "augmentation": AUGMENTATION}
KINDS = {"last_step": TRANSFORMER, "mean": TRANSFORMER | {"readout": "mean"}, "gru": GRU}
WHOLE = ("clip", "factorcl")  # stages whose codes are what the Transformer or GRU puts out
RUNS = {
    "step1": [{"beta": 1, "beta_value": 1.0, "seed": seed} for seed in (0, 1, 2)],
    "step2": [{"beta": 1, "beta_value": 1.0, "lam": lam, "seed": seed} for lam, seed in ((0, 1), (2, 0), (2, 1))],
    "clip": [{"seed": seed} for seed in (0, 1)],
    "factorcl": [{"seed": seed} for seed in (0, 1)],
    "jointopt": [{"a": 1, "lam": lam, "seed": seed} for lam, seed in ((0.5, 0), (0.5, 1), (2, 0))],
    "focal": [{"a": 1, "lam": lam, "seed": seed} for lam, seed in ((0.5, 0), (0.5, 1), (2, 0))],
}


def sequences(features, lengths, seed):
    values = np.random.default_rng(seed).normal(size=(len(lengths), STEPS, features)).astype(np.float32)
    values[np.arange(STEPS) >= lengths[:, None]] = 0
    return values


@pytest.fixture(scope="module")
def clips():
    """Two views of sequences, of one length a pair."""
    lengths = 1 + np.arange(PAIRS) % STEPS
    ids = np.array([f"p{k}" for k in range(PAIRS)])
    return PairedDataset(
        views=tuple(sequences(features, lengths, seed) for seed, features in enumerate(FEATURES)),
        rows=(np.arange(PAIRS),) * 2, features=([], []), ids=ids, groups=ids, view_ids=(ids, ids), labels={}, meta={},
        folds=(np.where(np.arange(PAIRS) < 50, "train", "test"),), info={"name": "clips"}, lengths=(lengths, lengths),
    )  # fmt: skip


@pytest.fixture(scope="module")
def stay(clips):
    """A static view beside a sequence, as MIMIC's."""
    static = np.random.default_rng(5).normal(size=(PAIRS, 5)).astype(np.float32)
    return dataclasses.replace(clips, views=(static, clips.views[1]), lengths=(None, clips.lengths[1]))


@pytest.fixture(scope="module")
def scaling(plain):
    both = ScalingSettings(**plain | {"standardise": True})
    return both, both


@pytest.fixture(scope="module")
def settings_of(small):
    def settings(stage, sequences, **others):
        own = {"dimensions": 32 if stage in WHOLE else 16, "batch_size": 16, "sequences": sequences}
        return STAGE_SETTINGS[stage](**small(stage, **(own | others)))

    return settings


@pytest.fixture(scope="module")
def train_in(scaling, settings_of, tmp_path_factory):
    """Train a stack on data in memory, and return where its models are."""

    def trained(stage, dataset, runs, settings, starts=(), device="cpu", **others):
        folder = tmp_path_factory.mktemp(stage)
        runs = [{"id": str(run), "fold": 0} | run for run in runs]
        if stage == "step2":
            runs = [run | {"start_seed": run["seed"]} for run in runs]
        model, feed, _ = assemble(
            stage, dataset, runs, settings=settings, scaling=scaling, starts=starts, device=torch.device(device),
            folder=folder,
        )  # fmt: skip
        record = train(model, feed, settings, **others)
        assert record.note() == ""
        save_stack(folder / "models", model, dataset, scaling, [run | {"status": TRAINED} for run in runs])
        return folder / "models"

    return trained


def of_run(models, run):
    tensors, info = load_models(models)
    starts = info["layout"]["start_of_run"]
    frozen = ("zc1", "zc2") if starts else ()
    return {n: t[starts[run] if starts and n.startswith(frozen) else run] for n, t in tensors.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", cases([*RUNS], slow={*RUNS} - {"step1", "step2"}))
def test_a_run_alone_is_the_run_in_a_stack_bit_by_bit(clips, stay, train_in, settings_of, stage, kind):
    dataset = stay if kind == "gru" else clips
    augmentation = {"kind": "mixup", "noise_std": 0.1, "drop_fraction": 0.1, "dimensions": None}
    others = {"augmentation": augmentation, **({"dimensions": 24} if stage in WHOLE and kind == "gru" else {})}
    settings = settings_of(stage, KINDS[kind], **others)
    starts = []
    if stage == "step2":
        start = settings_of("step1", KINDS[kind])
        starts = [train_in("step1", dataset, RUNS["step1"], start)]
    together = train_in(stage, dataset, RUNS[stage], settings, starts)
    sums = set()
    for place, run in enumerate(RUNS[stage]):
        alone, here = of_run(train_in(stage, dataset, [run], settings, starts), 0), of_run(together, place)
        assert alone.keys() == here.keys()
        assert all(torch.equal(alone[name], here[name]) for name in alone)
        sums.add(sum(tensor.double().sum().item() for tensor in here.values()))
    assert len(sums) == len(RUNS[stage])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: torch.cuda.is_available() is false")
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_gpu_a_run_alone_is_nearly_the_run_in_a_stack(clips, stay, train_in, settings_of, kind):
    dataset, settings = (stay if kind == "gru" else clips), settings_of("step1", KINDS[kind])
    together = train_in("step1", dataset, RUNS["step1"], settings, device="cuda")
    for place, run in enumerate(RUNS["step1"]):
        alone = of_run(train_in("step1", dataset, [run], settings, device="cuda"), 0)
        for name, tensor in of_run(together, place).items():
            torch.testing.assert_close(tensor, alone[name], atol=5e-4, rtol=1e-2)


class Stopped(Exception):
    pass


def test_a_resumed_run_drops_what_an_undisturbed_one_does(clips, scaling, train_in, settings_of, tmp_path):
    settings, runs = settings_of("step1", TRANSFORMER, epochs=3), RUNS["step1"]
    whole = train_in("step1", clips, runs, settings)
    model, feed, _ = assemble(
        "step1", clips, [{"id": "", "fold": 0} | run for run in runs], settings=settings, scaling=scaling, starts=(),
        device=torch.device("cpu"), folder=tmp_path,
    )  # fmt: skip
    served = feed.epoch

    def until_the_last(epoch):
        if epoch == 2:
            raise Stopped
        return served(epoch)

    feed.epoch = until_the_last
    checkpoint = {"checkpoint": tmp_path / "checkpoint.pt", "identity": "same", "checkpoint_seconds": 0}
    with pytest.raises(Stopped):
        train(model, feed, settings, **checkpoint)
    resumed = train_in("step1", clips, runs, settings, **checkpoint)
    (first, _), (second, _) = load_models(whole), load_models(resumed)
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = train_in("step1", clips, runs, settings_of("step1", TRANSFORMER | {"dropout": 0.0}, epochs=3))
    assert any(not torch.equal(tensor, first[name]) for name, tensor in load_models(other)[0].items())


def test_frozen_encoders_drop_nothing(clips, scaling, train_in, settings_of, tmp_path):
    starts = [train_in("step1", clips, RUNS["step1"], settings_of("step1", TRANSFORMER))]
    runs = [{"id": "", "fold": 0, "start_seed": run["seed"]} | run for run in RUNS["step2"]]
    model, feed, _ = assemble(
        "step2", clips, runs, settings=settings_of("step2", TRANSFORMER), scaling=scaling, starts=starts,
        device=torch.device("cpu"), folder=tmp_path,
    )  # fmt: skip
    model.begin_epoch(0)
    assert [getattr(model, name).dropout is None for name in ("zc1", "zc2", "zs1", "zs2")] == [True, True, False, False]
    batch = next(feed.epoch(0))
    zc, _ = model.encode(batch)
    both = torch.cat([batch.x[0], batch.v[0]], dim=1)
    for run, start in enumerate(model.layout.start_of_run):
        stream = model.layout.stream_of_run[run]
        torch.testing.assert_close(zc[0][run], model.zc1.single(start, both[stream]))


def test_a_start_of_another_network_is_taken_as_it_is(clips, train_in, settings_of):
    start = train_in("step1", clips, RUNS["step1"], settings_of("step1", TRANSFORMER))
    out = train_in("step2", clips, RUNS["step2"], settings_of("step2", GRU), [start])
    found, expected = Models(out, clips).represent_views(1), Models(start, clips).represent_views(0)
    for name in ("zc1", "zc2"):
        np.testing.assert_array_equal(found[name], expected[name])


def test_pieces_of_any_size_give_the_same_codes(clips, train_in, settings_of, monkeypatch):
    models = Models(train_in("jointopt", clips, RUNS["jointopt"], settings_of("jointopt", TRANSFORMER)), clips)
    whole = models.represent_views(1)
    assert {name: codes.shape for name, codes in whole.items()} == {
        name: (PAIRS, 16) for name in ("zc1", "zc2", "zs1", "zs2")
    }
    seen = []
    models.method.zc1.register_forward_pre_hook(lambda _, args: seen.append(len(args[0][0])))
    monkeypatch.setattr(representations, "ROWS_AT_A_TIME", 4 * STEPS)
    for name, codes in models.represent_views(1).items():
        np.testing.assert_allclose(codes, whole[name], atol=1e-5)
    assert set(seen) == {4, PAIRS % 4}


def test_a_view_of_fewer_rows_ends_before_the_other(clips, train_in, settings_of, monkeypatch):
    few = dataclasses.replace(
        clips, views=(clips.views[0], clips.views[1][:10]), rows=(clips.rows[0], clips.rows[1] % 10),
        lengths=(clips.lengths[0], clips.lengths[1][:10]),
    )  # fmt: skip
    models = Models(train_in("jointopt", few, RUNS["jointopt"], settings_of("jointopt", TRANSFORMER)), few)
    monkeypatch.setattr(representations, "ROWS_AT_A_TIME", 4 * STEPS)
    assert {name: len(codes) for name, codes in models.represent_views(0).items()} == {
        "zc1": PAIRS, "zc2": 10, "zs1": PAIRS, "zs2": 10
    }  # fmt: skip


def test_factorcl_hands_on_what_the_network_and_its_heads_put_out(clips, train_in, settings_of):
    models = Models(train_in("factorcl", clips, RUNS["factorcl"], settings_of("factorcl", TRANSFORMER)), clips)
    codes = models.represent(1)
    assert {name: code.shape for name, code in codes.items()} == {
        "emb1": (PAIRS, 32), "proj1": (PAIRS, 160), "emb2": (PAIRS, 32), "proj2": (PAIRS, 160),
    }  # fmt: skip
    x = models.scaled_views(0)[0]
    own = models.method.emb1.single(1, x)
    torch.testing.assert_close(torch.from_numpy(codes["emb1"]), own.detach())
    club = models.method.head("club", 1).single(1, own).detach()
    torch.testing.assert_close(torch.from_numpy(codes["proj1"][:, 32:64]), club)


def test_bytes_of_a_stack_are_those_of_its_weights(clips, train_in, settings_of):
    settings = settings_of("step1", TRANSFORMER)
    tensors, _ = load_models(train_in("step1", clips, RUNS["step1"], settings))
    of_stage = settings.model_dump()
    predicted = stack_bytes("step1", of_stage, clips.shapes, of_stage, runs=len(RUNS["step1"]), starts=0)
    assert predicted == sum(tensor.nbytes for tensor in tensors.values())


REFUSED = {
    "no network": (
        "step1", {"sequences": None},
        "view1.parquet: holds sequences, but training.sequences is null; "
        "say there what encodes them (config/README.md).",
    ),
    "reconstruction": (
        "dmvae", {},
        "view1.parquet: holds sequences, but dmvae reconstructs views without time steps only; "
        "set grids.dmvae to null.",
    ),
    "a code of another width": (
        "clip", {"dimensions": 16},
        "view1.parquet: holds sequences, but clip takes what the transformer puts out, 32 numbers, as its code; "
        "set training.dimensions, now 16, to 32.",
    ),
    "a GRU of another width": (
        "clip", {"sequences": GRU, "dimensions": 16},
        "view1.parquet: holds sequences, but clip takes what the gru puts out, 24 numbers, as its code; "
        "set training.dimensions, now 16, to 24.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("stage", "others", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_trained_on_sequences_is_a_sentence(clips, scaling, settings_of, tmp_path, stage, others, said):
    others = {"sequences": TRANSFORMER} | others
    settings = settings_of(stage, others.pop("sequences"), **others)
    run = {"id": "", "fold": 0, "seed": 0, "beta": 1, "beta_value": 1.0, "lam": 1}
    with pytest.raises(InputError) as caught:
        assemble(
            stage, clips, [run], settings=settings, scaling=scaling, starts=(), device=torch.device("cpu"),
            folder=tmp_path,
        )  # fmt: skip
    assert str(caught.value) == f"{tmp_path}/{said}"


def test_models_of_other_steps_are_refused(clips, train_in, settings_of):
    models = train_in("step1", clips, RUNS["step1"], settings_of("step1", TRANSFORMER))
    fewer = dataclasses.replace(clips, views=(clips.views[0], clips.views[1][..., 1:]))
    with pytest.raises(InputError, match="views of 6 steps of 5 features and 6 steps of 18 features, the data set has"):
        Models(models, fewer)
