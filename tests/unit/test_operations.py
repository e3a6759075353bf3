"""Operations and bytes: against real steps, products counted one by one, and models that were really written."""

from __future__ import annotations

import csv
import io
from itertools import pairwise

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from disentangledssl.batches import Batch
from disentangledssl.methods import STRUCTURE
from disentangledssl.operations import SIZES, count_operations, multibench_rows, stack_bytes, stack_model, step_flops
from disentangledssl.settings import STAGE_SETTINGS
from disentangledssl.sources import mimic, multibench
from disentangledssl.training import make_step

pytestmark = pytest.mark.usefixtures("one_thread")

BATCH, STEPS, CODE = 6, 4, 10
AUGMENTED = {"augmentation": {"noise_std": 0.1, "drop_fraction": 0.2}}
TRANSFORMER = {"network": "transformer", "width": CODE, "layers": 3, "heads": 2, "feedforward": 14, "dropout": 0.1,
               "readout": "last_step", **AUGMENTED}  # fmt: skip
GRU = {"network": "gru", "hidden": 7, "per_step": 3, **AUGMENTED}
VIEWS = {
    "flat": (((9,), (7,)), None),
    "transformer": (((STEPS, 5), (STEPS, 8)), TRANSFORMER),
    "gru": (((9,), (STEPS, 8)), GRU),
}


def counted(model, shapes) -> int:
    """Operations of a real step on real numbers, as PyTorch counts them."""
    draws = torch.Generator().manual_seed(0)
    widths = [shape if len(shape) == 1 else (shape[0], shape[1] + 1) for shape in shapes]
    views, others = (tuple(torch.rand(1, BATCH, *width, generator=draws) for width in widths) for _ in range(2))
    noise = tuple(torch.nn.functional.normalize(torch.randn(1, BATCH, CODE, generator=draws), dim=-1)
                  for _ in model.noise)  # fmt: skip
    model.initialise()
    groups = model.parameter_groups()
    optimisers = {name: torch.optim.SGD(one, lr=0.0) for name, one in groups.items()}
    with FlopCounterMode(display=False) as counter:
        make_step(model, groups, optimisers, Batch(views, others if model.second_version else None, noise))
    return counter.get_total_flops()


# DMVAE takes no sequences.
@pytest.mark.parametrize(
    ("stage", "views"),
    [
        pytest.param(stage, views, marks=[pytest.mark.slow] * (stage not in ("step2", "factorcl")))
        for stage in STAGE_SETTINGS
        for views in VIEWS
        if stage != "dmvae" or views == "flat"
    ],
)
def test_operations_are_those_of_a_real_step_of_several_runs(small, stage, views):
    shapes, sequences = VIEWS[views]
    settings, step1 = (small(name, dimensions=CODE, sequences=sequences) for name in (stage, "step1"))
    numbers = {"runs": 3, "starts": 2 if stage == "step2" else 0}
    if views == "gru" and stage == "clip":
        settings |= {"dimensions": STEPS * 3}  # what the GRU puts out
    real = counted(stack_model(stage, settings, shapes, step1, **numbers), shapes)
    assert step_flops(stage, settings, shapes, step1, **numbers, batch=BATCH) == real > 0


# Literal: forward, the gradient of the weights and, where it is passed on, of the inputs


def product(rows: int, inputs: int, outputs: int, *, passed_on: bool = True) -> int:
    return (2 + passed_on) * 2 * rows * inputs * outputs


def info_nce(width: int) -> int:
    return 3 * 2 * BATCH * BATCH * width


def transformer(features: int, readout: str) -> int:
    total = product(BATCH * STEPS, features, CODE, passed_on=False)
    for layer in range(TRANSFORMER["layers"]):
        last = layer == TRANSFORMER["layers"] - 1
        read = 1 if last and readout != "mean" else STEPS
        query_output = 2 * product(BATCH * read, CODE, CODE)
        key_value = product(BATCH * STEPS, CODE, 2 * CODE)
        scores_mixtures = sum(product(read, CODE, STEPS) for _ in range(2 * BATCH))
        both_layers = product(BATCH * read, CODE, 14) + product(BATCH * read, 14, CODE)
        total += query_output + key_value + scores_mixtures + both_layers
    return total


def gru(features: int) -> int:
    seen = product(BATCH * STEPS, features, 3 * 7, passed_on=False)
    # The first state is zero, and passes no gradient on.
    states = sum(product(BATCH, 7, 3 * 7, passed_on=step > 0) for step in range(STEPS))
    return seen + states + product(BATCH * STEPS, 7, 3)


def mlp(*widths: int) -> int:
    return sum(product(BATCH, *pair, passed_on=place > 0) for place, pair in enumerate(pairwise(widths)))


@pytest.mark.parametrize("readout", ["last_step", "last_valid", "mean"])
def test_products_of_a_transformer_are_counted_one_by_one(small, readout):
    settings = small("clip", dimensions=CODE, sequences=TRANSFORMER | {"readout": readout})
    expected = transformer(5, readout) + transformer(8, readout) + info_nce(CODE)
    found = step_flops("clip", settings, VIEWS["transformer"][0], {}, runs=1, starts=0, batch=BATCH)
    assert found == expected


def test_products_of_a_gru_and_an_mlp_are_counted_one_by_one(small):
    settings = small("clip", dimensions=12, sequences=GRU, hidden=6, layers=2)
    found = step_flops("clip", settings, VIEWS["gru"][0], {}, runs=1, starts=0, batch=BATCH)
    assert found == gru(8) + mlp(9, 6, 12) + info_nce(12)


# Tables 1 and 4


def test_sizes_are_those_that_the_converters_expect():
    for name, counts in multibench.PUBLISHED.items():
        assert (SIZES[name].training, SIZES[name].pairs) == (counts[0], sum(counts))
    stays = mimic.split_stays(mimic.PUBLISHED)
    assert (SIZES["mimic"].training, SIZES["mimic"].pairs) == ((stays == "train").sum(), len(stays))


@pytest.fixture
def stacks(small):
    """What a plan gives of two data sets: CLIP, step 1 and step 2 of two seeds, by a small network."""

    def make(name: str):
        of_run = {
            "clip": {},
            "step1": {"beta": 1, "fold": 0},
            "step2": {"beta": 1, "fold": 0, "lam": 0.1},
        }
        found = []
        for stage, axes in of_run.items():
            settings = small(stage, epochs=3, batch_size=32, dimensions=CODE, sequences=TRANSFORMER | {"layers": 1})
            runs = [{"id": f"{k}", "seed": k, "fold": 0} | axes for k in (0, 1)]
            if stage == "step2":
                runs = [run | {"start_seed": run["seed"]} for run in runs]
            found.append({"dataset": name, "stage": stage, "runs": runs, "settings": settings, "gb": 1.5})
        return found

    return [*make("mosi"), *make("sarcasm")]


def test_rows_are_steps_times_operations_and_the_bytes_of_weights(stacks, tmp_path):
    terminal, out = io.StringIO(), tmp_path / "operations.csv"
    count_operations(stacks, {"mosi": "mosi", "sarcasm": "mustard"}, out, terminal)
    rows = list(csv.DictReader(out.open()))
    assert [(row["dataset"], row["part"]) for row in rows] == [
        *((name, part) for name in ("mosi", "sarcasm") for part in ("clip", "step1", "step2", "data")), ("all", "all"),
    ]  # fmt: skip
    step2 = rows[2]
    assert int(step2["steps"]) == 1284 // 32 * 3 and int(step2["runs"]) == 2
    settings, step1 = stacks[2]["settings"], stacks[1]["settings"]
    of_stack = {"runs": 2, "starts": 2}
    step = step_flops("step2", settings, SIZES["mosi"].shapes, step1, **of_stack, batch=32)
    assert int(step2["flop"]) == int(step2["steps"]) * step
    weights = stack_bytes("step2", settings, SIZES["mosi"].shapes, step1, **of_stack)
    assert float(step2["disk_gb"]) * 1e9 == pytest.approx(weights + 10 * 2 * 3 * 3)
    assert float(step2["memory_gb"]) == 1.5
    assert float(rows[3]["memory_gb"]) * 1e9 == pytest.approx(2199 * 50 * 320 * 4) and rows[3]["flop"] == ""
    assert int(rows[-1]["flop"]) == sum(int(row["flop"] or 0) for row in rows[:-1])
    assert "mosi" in terminal.getvalue() and str(out) in terminal.getvalue()


def test_a_mini_batch_is_no_larger_than_the_training_part(stacks):
    large = [stack | {"settings": stack["settings"] | {"batch_size": 1000}} for stack in stacks[3:4]]
    (clip, _, _) = multibench_rows([one | {"dataset": "mustard"} for one in large], {"mustard": "mustard"})
    assert clip["steps"] == 3
    shapes, settings = SIZES["mustard"].shapes, large[0]["settings"]
    assert clip["flop"] == 3 * step_flops("clip", settings, shapes, {}, runs=2, starts=0, batch=414)


@pytest.mark.parametrize("stage", ["step1", "step2"])
def test_bytes_of_weights_are_those_of_a_model_that_is_allocated(small, stage):
    shapes, sequences = VIEWS["transformer"]
    settings, step1 = (small(name, dimensions=CODE, sequences=sequences) for name in (stage, "step1"))
    numbers = {"runs": 3, "starts": 2 if stage == "step2" else 0}
    model = stack_model(stage, settings, shapes, {name: step1[name] for name in STRUCTURE}, **numbers)
    found = stack_bytes(stage, settings, shapes, step1, **numbers)
    assert found == sum(tensor.nbytes for tensor in model.state_dict().values())
