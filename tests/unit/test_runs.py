"""Runs, stacks and the ledger: names, packing, and membership that never changes once made."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disentangledssl import runs
from disentangledssl.errors import InputError
from disentangledssl.runs import Ledger, Run, Stack, expand, pack, spell, stack_id

BETAS = [0, 0.1, 1, 10]
LAMS = [0.01, 1]


def step2(betas=BETAS, lams=LAMS, folds=1, seeds=(0,)) -> list[Run]:
    return expand({"beta": betas, "lam": lams}, folds, seeds)


def ids(stacks: list[Stack]) -> list[tuple[str, ...]]:
    return [tuple(run.id for run in stack.runs) for stack in stacks]


# Names


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"), (1.0, "1"), (0.0, "0"), (-0.0, "0"), (1000.0, "1000"), (0.1, "0.1"), (1e-07, "1e-07"),
        (0.0000001, "1e-07"), (0.30000000000000004, "0.30000000000000004"), (1e16, "1e+16"), ("selected", "selected"),
    ],
)  # fmt: skip
def test_spell(value, text):
    assert spell(value) == text


@given(st.floats(min_value=0, allow_infinity=False, allow_nan=False))
def test_spelling_is_exact(value):
    assert float(spell(value)) == value


def test_ids_follow_the_order_of_the_grid():
    run = Run((("beta", 0.1), ("lam", 0.01)), None, 0)
    assert run.id == "beta=0.1,lam=0.01,seed=0"
    assert Run((("lam", 0.01), ("beta", 0.1)), 3, 1).id == "lam=0.01,beta=0.1,fold=3,seed=1"
    assert Run((), None, 2).id == "seed=2"
    assert run.get("lam") == 0.01


def test_one_and_one_point_zero_are_one_run():
    assert expand({"beta": [1, 0.5]}, 1, [0]) == expand({"beta": [1.0, 5e-1]}, 1, [0])
    assert stack_id(expand({"beta": [1]}, 1, [0])) == stack_id(expand({"beta": [1.0]}, 1, [0]))


def test_expand_goes_through_seeds_then_folds_then_the_grid():
    assert [run.id for run in expand({"beta": [0, 1], "lam": [2, 3]}, folds=1, seeds=[5, 4])] == [
        "beta=0,lam=2,seed=5", "beta=0,lam=3,seed=5", "beta=1,lam=2,seed=5", "beta=1,lam=3,seed=5",
        "beta=0,lam=2,seed=4", "beta=0,lam=3,seed=4", "beta=1,lam=2,seed=4", "beta=1,lam=3,seed=4",
    ]  # fmt: skip
    assert [run.id for run in expand({"beta": [0, 1]}, folds=2, seeds=[0])] == [
        "beta=0,fold=0,seed=0", "beta=1,fold=0,seed=0", "beta=0,fold=1,seed=0", "beta=1,fold=1,seed=0",
    ]  # fmt: skip
    assert [run.id for run in expand({}, folds=1, seeds=[0, 1])] == ["seed=0", "seed=1"]
    assert expand({"beta": []}, folds=1, seeds=[0]) == []


def test_stack_id_is_short_stable_and_of_the_members_alone():
    # Folders on people's disks have these names: a change here is a change of all results.
    assert stack_id(step2()) == "9b4a934ce3"
    assert stack_id(step2()[:3]) != stack_id(step2()[:4])
    assert stack_id(step2()) != stack_id(step2()[::-1])


# Packing


def test_pack_keeps_groups_whole():
    members = pack(step2(lams=[1, 2, 3]), ["beta"], stack_size=7)
    assert [[run.id for run in stack] for stack in members] == [
        [f"beta={beta},lam={lam},seed=0" for beta in pair for lam in (1, 2, 3)] for pair in (("0", "0.1"), ("1", "10"))
    ]


def test_pack_cuts_only_groups_that_are_larger_than_a_stack():
    members = pack(step2(betas=[0, 1], lams=range(5)), ["beta"], stack_size=3)
    assert [len(stack) for stack in members] == [3, 2, 3, 2]
    assert pack([], ["beta"], 3) == []


def test_pack_of_step1_groups_by_seed_and_fold():
    members = pack(expand({"beta": [0, 1, 2]}, 2, [0, 1]), [], stack_size=4)
    assert [{(run.fold, run.seed) for run in stack} for stack in members] == [{(0, 0)}, {(1, 0)}, {(0, 1)}, {(1, 1)}]


@settings(deadline=None)
@given(
    betas=st.lists(st.integers(0, 50), min_size=1, max_size=6, unique=True),
    lams=st.lists(st.integers(0, 50), min_size=1, max_size=6, unique=True),
    folds=st.integers(1, 3),
    seeds=st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True),
    stack_size=st.integers(1, 20),
)
def test_pack_loses_nothing_and_never_splits_what_fits(betas, lams, folds, seeds, stack_size):
    every = step2(betas, lams, folds, seeds)
    members = pack(every, ["beta"], stack_size)
    assert list(itertools.chain(*members)) == every
    assert all(0 < len(stack) <= stack_size for stack in members)
    if len(lams) <= stack_size:
        home = {run.id: number for number, stack in enumerate(members) for run in stack}
        for group in itertools.groupby(every, key=lambda run: (run.seed, run.fold, run.get("beta"))):
            assert len({home[run.id] for run in group[1]}) == 1


# The ledger


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "stacks.json"


def plan(path, members: list[Run], stack_size: int = 4, save: bool = True) -> list[Stack]:
    ledger = Ledger(path)
    stacks = ledger.plan("simulation/step2", members, ["beta"], stack_size)
    if save:
        ledger.save()
    return stacks


def test_planning_writes_nothing(path):
    assert plan(path, step2(), save=False)
    assert not path.parent.exists()


def test_saved_ledger_gives_the_same_stacks(path):
    assert plan(path, step2()) == plan(path, step2()) == plan(path, step2(), stack_size=100)
    assert Ledger(path).stacks["simulation/step2"][stack_id(step2()[:4])]["beta=0,lam=0.01,seed=0"] == {
        "hyperparameters": {"beta": 0, "lam": 0.01}, "fold": None, "seed": 0,
    }  # fmt: skip


def test_value_added_in_mid_grid_makes_new_stacks_of_new_runs(path):
    old = plan(path, step2([0, 0.1, 10]))
    new = plan(path, step2([0, 0.1, 1, 10]))
    assert [stack for stack in new if stack in old] == old
    (added,) = (stack for stack in new if stack not in old)
    assert [run.id for run in added.runs] == ["beta=1,lam=0.01,seed=0", "beta=1,lam=1,seed=0"]


def test_new_lam_and_new_seed_leave_old_stacks_alone(path):
    old = plan(path, step2())
    for more in (step2(lams=[0.01, 0.5, 1]), step2(seeds=[1, 0])):
        stacks = plan(path, more)
        assert {stack.id for stack in old} < {stack.id for stack in stacks}
        assert [run for stack in stacks if stack not in old for run in stack.runs] == [
            run for run in more if run not in step2()
        ]


def test_value_taken_out_keeps_its_stack_with_all_members(path):
    old = plan(path, step2())
    less = plan(path, step2([0, 1]))
    assert less == old, "each stack still holds a wanted run"
    assert plan(path, step2([1, 10])) == old[1:]
    assert plan(path, step2()) == old


def test_order_spelling_and_stack_size_change_nothing(path):
    old = plan(path, step2())
    assert set(plan(path, step2([10, 1.0, 0.1, 0.0], [1, 1e-2]))) == set(old)
    assert plan(path, step2(), stack_size=1) == old


def test_stacks_come_in_the_order_of_the_runs(path):
    old = plan(path, step2())
    assert plan(path, step2([10, 1, 0.1, 0])) == old[::-1]


def test_deleted_ledger_gives_the_same_ids_for_the_same_config(path):
    old = plan(path, step2())
    path.unlink()
    assert plan(path, step2()) == old


def test_data_sets_and_stages_do_not_mix(path):
    ledger = Ledger(path)
    one, other = (ledger.plan(key, step2(), ["beta"], 4) for key in ("simulation/step2", "other/step2"))
    assert one == other
    ledger.save()
    assert list(Ledger(path).stacks) == ["simulation/step2", "other/step2"]


def test_text_axis_and_fold_survive_the_file(path):
    every = step2(["selected", 5], [0.01], folds=2)
    old = plan(path, every)
    assert plan(path, every) == old
    assert old[0].runs[0] == Run((("beta", "selected"), ("lam", 0.01)), 0, 0)


# Saving


def test_saving_twice_does_not_touch_the_file(path):
    plan(path, step2())
    os.utime(path, (1, 1))
    plan(path, step2())
    assert path.stat().st_mtime == 1


def test_saving_merges_what_another_process_saved(path):
    one, other = Ledger(path), Ledger(path)
    mine = one.plan("simulation/step2", step2([0]), ["beta"], 4)
    theirs = other.plan("simulation/step2", step2([1]), ["beta"], 4)
    one.save()
    other.save()
    assert plan(path, step2([0]), save=False) == mine and plan(path, step2([1]), save=False) == theirs


def test_saving_overwrites_nothing(path):
    plan(path, step2())
    content = json.loads(path.read_text())
    name = next(iter(content["stacks"]["simulation/step2"]))
    content["stacks"]["simulation/step2"][name]["beta=0,lam=0.01,seed=0"]["seed"] = 7
    path.write_text(json.dumps(content))
    ledger = Ledger(path)
    ledger.stacks["simulation/step2"][name] = {}
    ledger.save()
    assert json.loads(path.read_text()) == content


def test_a_failure_while_saving_leaves_the_old_file(path, monkeypatch):
    plan(path, step2())
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs.os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        plan(path, step2(seeds=[0, 1]))
    assert path.read_bytes() == before


SAVER = """
import sys
from disentangledssl.runs import Ledger, expand
path, first = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for beta in range(first, 60, 2):
    ledger = Ledger(path)
    ledger.plan("simulation/step1", expand({"beta": [beta]}, 1, [0]), [], 4)
    ledger.save()
"""


def test_two_processes_saving_at_once_lose_nothing(path):
    path.parent.mkdir()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    savers = [subprocess.Popen([sys.executable, "-c", SAVER, str(path), first], **pipes) for first in ("0", "1")]
    for saver in savers:
        saver.stdout.readline()
    for saver in savers:
        saver.stdin.write("go\n")
        saver.stdin.flush()
    # Whoever reads meanwhile sees a whole file.
    while any(saver.poll() is None for saver in savers):
        Ledger(path)
    for saver in savers:
        saver.communicate()
        assert saver.returncode == 0
    found = {run for members in Ledger(path).stacks["simulation/step1"].values() for run in members}
    assert found == {f"beta={beta},seed=0" for beta in range(60)}
    assert [name.name for name in path.parent.glob("*.part")] == []


# Damage


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "3", '{"version": 1}', '{"stacks": {}}', '{"version": 1, "stacks": []}',
        '{"version": 1, "stacks": {"simulation/step1": {"0123456789": {"beta=0,seed=0": {}}}}}',
        '{"version": 1, "stacks": {"simulation/step1": {"0123456789": ["beta=0,seed=0"]}}}',
    ],
)  # fmt: skip
def test_damaged_ledger_is_told_in_one_sentence(path, text):
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InputError) as error:
        Ledger(path)
    sentence = str(error.value)
    assert sentence.startswith(f"{path}: ") and "damaged" in sentence and "delete it" in sentence
    assert "\n" not in sentence


def test_ledger_cut_anywhere_is_refused_or_whole(path):
    plan(path, step2())
    whole = path.read_bytes()
    moments = random.Random(0)
    for length in sorted(moments.sample(range(len(whole) - 1), 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            Ledger(path)


def test_bytes_that_are_no_text_are_refused(path):
    path.parent.mkdir()
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="damaged"):
        Ledger(path)


def test_ledger_of_another_version_is_refused(path):
    path.parent.mkdir()
    path.write_text('{"version": 2, "stacks": {}}')
    with pytest.raises(InputError, match="version: is 2, not 1"):
        Ledger(path)
