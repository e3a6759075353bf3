"""The plan: which stacks a config asks for, what each starts from, and that a smaller grid re-trains nothing."""

from __future__ import annotations

import copy
import itertools
import math
import re
from pathlib import Path

import pytest
import yaml

from disentangledssl import critics, plan
from disentangledssl.codeversion import code_version
from disentangledssl.config import STAGES, Config, load_config
from disentangledssl.errors import InputError
from disentangledssl.plan import CODE, PRESETS, Plan, code, presets_with, run_gb
from disentangledssl.settings import GruSettings, TransformerSettings

REPOSITORY = Path(__file__).parents[2]
FULL = yaml.safe_load((REPOSITORY / "config.yaml").read_text())


def config(*, simulation=None, screen=None, **top):
    """The full config with two data sets, small grids, and changes: a setting of a family, or one at the top."""
    content = copy.deepcopy(FULL) | {"datasets": ["simulation", "lincs_cells"]} | top
    content["families"]["simulation"] |= {"seeds": [0], **(simulation or {})}
    content["families"]["screen"] |= {"seeds": [0], **(screen or {})}
    if "grids" not in (simulation or {}):
        content["families"]["simulation"]["grids"] = grids([0, 10], [0.01])
    content["data"]["simulation"].pop("grids")  # those of the family are changed here
    return load_config(content, ["config.yaml"])


def grids(betas, lams, step1=None):
    return {"step1": {"beta": step1 or betas}, "step2": {"beta": betas, "lam": lams}}


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "stacks.json"


def saved(config, ledger) -> Plan:
    plan = Plan(config, ledger)
    plan.save()
    return plan


def test_stacks_by_data_set_and_stage(ledger):
    plan = Plan(config(), ledger)
    assert list(plan.stacks) == [
        ("simulation", "step1"), ("simulation", "step2"),
        ("lincs_cells", "clip"), ("lincs_cells", "step1"), ("lincs_cells", "step2"),
        ("lincs_cells", "jointopt"), ("lincs_cells", "focal"), ("lincs_cells", "dmvae"),
    ]  # fmt: skip
    assert plan.wanted("simulation", "step1") == ["beta=0,seed=0", "beta=10,seed=0"]
    assert plan.wanted("lincs_cells", "clip") == [f"fold={fold},seed=0" for fold in range(5)]
    assert not ledger.exists()


def test_what_is_asked_for_is_told_the_same_however_it_is_written(ledger):
    rows = [Plan(config(simulation={"seeds": seeds, "grids": grids(betas, [0.01])}), ledger).asked()
            for seeds, betas in (([0, 1], [0, 10]), ([1, 0], [10.0, 0.0]))]  # fmt: skip
    assert rows[0] == rows[1]
    assert rows[0][1] == {
        "data set": "simulation", "stage": "step2", "grid": "beta 0, 10; lam 0.01", "folds": "1 of 1", "seeds": "0, 1",
        "runs": 4, "epochs": 30,
    }  # fmt: skip
    step2 = next(row for row in rows[0] if (row["data set"], row["stage"]) == ("lincs_cells", "step2"))
    assert step2["folds"] == "5 of 5" and "selected" in step2["grid"]


def test_only_the_folds_in_use_are_run(ledger):
    split = FULL["families"]["screen"]["split"] | {"use_folds": 2}
    plan = Plan(config(screen={"split": split}), ledger)
    assert plan.wanted("lincs_cells", "clip") == ["fold=0,seed=0", "fold=1,seed=0"]


def test_records_hold_what_training_takes(ledger):
    plan = Plan(config(simulation={"seeds": [3, 4]}), ledger)
    (stack,) = plan.stacks["simulation", "step1"]
    assert plan.records("simulation", "step1", stack.id)[0] == {"id": "beta=0,seed=3", "beta": 0, "fold": 0, "seed": 3}
    (stack,) = plan.stacks["simulation", "step2"]
    records = plan.records("simulation", "step2", stack.id)
    assert [(record["seed"], record["start_seed"]) for record in records] == [(3, 3), (3, 3), (4, 4), (4, 4)]


def test_settings_are_not_resolved_anew_for_every_run(ledger, monkeypatch):
    """The full config has a thousand runs, and is planned again by every job of a cluster."""
    original, calls = Config.family, []
    monkeypatch.setattr(Config, "family", lambda self, dataset: calls.append(dataset) or original(self, dataset))

    def resolved(seeds):
        calls.clear()
        plan = Plan(config(simulation={"seeds": seeds}, screen={"seeds": seeds}, stack_size=1000, stack_gb=1e6), ledger)
        (stack,) = plan.stacks["lincs_cells", "step2"]
        plan.starts("lincs_cells", stack.id)
        return len(calls)

    assert resolved([0]) == resolved(list(range(12)))


def test_unknown_stack_is_a_sentence(ledger):
    plan = Plan(config(), ledger)
    for ask in (plan.stack, plan.records):
        with pytest.raises(InputError, match=r"simulation: step1 has no stack 0123456789; ask for a table, .*\.$"):
            ask("simulation", "step1", "0123456789")


@pytest.mark.parametrize(("device", "most"), [("auto", 42), ("cuda", 42), ("cpu", 13)])
def test_where_the_size_of_stacks_is_left_open_it_is_that_of_the_device(ledger, device, most):
    plan = Plan(config(simulation={"grids": grids([*range(50)], [0.01])}, device=device, stack_size=None), ledger)
    assert max(len(stack.runs) for stack in plan.stacks["simulation", "step1"]) == most


def test_authors_start_step2_from_the_first_seed(ledger):
    plan = Plan(config(simulation={"seeds": [3, 4], "step2_starts_from": "first_seed"}), ledger)
    (stack,) = plan.stacks["simulation", "step2"]
    assert {record["start_seed"] for record in plan.records("simulation", "step2", stack.id)} == {3}


def test_step2_starts_from_the_stacks_that_hold_its_betas(ledger):
    plan = Plan(config(stack_size=1), ledger)
    step1 = {stack.runs[0].get("beta"): stack.id for stack in plan.stacks["simulation", "step1"]}
    for stack in plan.stacks["simulation", "step2"]:
        assert plan.starts("simulation", stack.id) == [step1[stack.runs[0].get("beta")]]
        assert not plan.uses_selection("simulation", stack.id)


def test_selected_beta_starts_from_the_whole_grid_of_its_fold(ledger):
    grid = {"step1": {"beta": [0, 1]}, "step2": {"beta": ["selected"], "lam": [0.01]}}
    plan = Plan(config(screen={"grids": grid}, stack_size=1), ledger)
    step1 = plan.stacks["lincs_cells", "step1"]
    for stack in plan.stacks["lincs_cells", "step2"]:
        fold = stack.runs[0].fold
        assert plan.starts("lincs_cells", stack.id) == [one.id for one in step1 if one.runs[0].fold == fold]
        assert plan.uses_selection("lincs_cells", stack.id)


def test_starts_do_not_change_when_a_value_is_taken_out(ledger):
    """Else the stack is trained again, and cannot be: it still holds the run of the value that is gone."""
    saved(config(), ledger)
    saved(config(simulation={"grids": grids([0, 1, 10], [0.01])}), ledger)
    full = saved(config(simulation={"grids": grids([0, 1, 10], [0.01, 1])}), ledger)
    mixed = next(stack for stack in full.stacks["simulation", "step2"] if len(stack.runs) == 3)
    before = full.starts("simulation", mixed.id), full.records("simulation", "step2", mixed.id)
    assert len(before[0]) == 2
    less = saved(config(simulation={"grids": grids([0, 10], [0.01, 1])}), ledger)
    assert mixed in less.stacks["simulation", "step2"]
    assert (less.starts("simulation", mixed.id), less.records("simulation", "step2", mixed.id)) == before


def test_every_start_of_a_stack_is_among_its_inputs(ledger):
    """A beta dropped from step 1 alone, too, leaves its runs in the old stack."""
    both = saved(config(), ledger)
    less = saved(config(simulation={"grids": grids([0], [0.01])}), ledger)
    (stack,) = less.stacks["simulation", "step2"]
    assert less.starts("simulation", stack.id) == both.starts("simulation", stack.id)
    assert less.wanted("simulation", "step2") == ["beta=0,lam=0.01,seed=0"]


def test_one_frozen_step1_serves_all_lam(ledger):
    plan = Plan(config(simulation={"grids": grids([0, 1, 10], [1, 2, 3])}, stack_size=7), ledger)
    for stack in plan.stacks["simulation", "step2"]:
        betas = [run.get("beta") for run in stack.runs]
        assert all(betas.count(beta) == 3 for beta in betas)


# Memory


def settings_of(stage: str, **changes):
    """Training settings of a stage of the simulation, with changes."""
    checked = config(simulation={"grids": WHOLE}).training_of("simulation", stage)
    return checked.model_copy(update=changes)


WHOLE = grids([0, 1], [0.01]) | {
    "clip": {}, "jointopt": {"a": [1], "lam": [1]}, "focal": {"a": [1], "lam": [1]}, "dmvae": {"lam": [1]},
}  # fmt: skip


TRANSFORMER = {
    "network": "transformer", "width": 300, "layers": 5, "heads": 5, "feedforward": 2048, "dropout": 0.1,
    "readout": "last_step", "augmentation": {"noise_std": 0.1, "drop_fraction": 0.2},
}  # fmt: skip


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_takes_more_memory_the_larger_it_is(stage):
    grown = {
        "hidden": [64, 100, 512, 2048], "layers": [2, 3, 5], "dimensions": [8, 50, 300], "batch_size": [64, 100, 4096],
    }  # fmt: skip
    for name, values in grown.items():
        taken = [run_gb(stage, settings_of(stage, **{name: value})) for value in values]
        assert taken[0] > 0 and all(less < more for less, more in itertools.pairwise(taken)), name
    # No layer is missing below none.
    assert run_gb(stage, settings_of(stage, layers=1)) <= run_gb(stage, settings_of(stage, layers=2))


def test_a_run_takes_more_memory_the_more_networks_it_has():
    settings = settings_of("step2")
    gb = {stage: run_gb(stage, settings) for stage in STAGES}
    # Frozen networks have neither gradients nor moments.
    assert gb["clip"] == gb["step1"] < gb["step2"] < gb["jointopt"] == gb["focal"] == gb["dmvae"]
    assert gb["jointopt"] == pytest.approx(2 * gb["step1"])


def test_weights_of_a_run_are_counted():
    """Two networks of three layers, each weight with gradient, moments and as much again: 8 numbers of 4 bytes."""
    settings = settings_of("step1", hidden=512, layers=3, dimensions=50, batch_size=1)
    weights = 1000 * 512 + 512 * 512 + 512 * 50
    activations = 2 * (512 + 512 + 50)
    assert run_gb("step1", settings) == pytest.approx(2 * 4 * (8 * weights + 4 * activations) / 1e9)


def test_heads_and_critics_of_factorcl_are_counted_beside_its_two_encoders():
    settings = settings_of("factorcl", dimensions=50, batch_size=128)
    beside = run_gb("factorcl", settings) - run_gb("clip", settings_of("clip", dimensions=50, batch_size=128))
    code, hidden = 10, settings.critic_hidden
    inputs = [2 * code] * 4 + [4 * code] * 2
    weights = 10 * (50 * 50 + 50 * code) + sum(hidden * (one + hidden + 1) for one in inputs)
    # Each weight with gradient, moments and as much again; the outputs of a block of pairs, with gradients.
    assert plan.PAIRS == critics.PAIRS
    assert beside >= 4e-9 * (8 * weights + 4 * 2 * plan.PAIRS * hidden)
    # Measured: 0.132 GB a run more for four runs than for one, of two views of a thousand features.
    assert run_gb("factorcl", settings_of("factorcl", dimensions=60, batch_size=128)) > 0.132
    # Beside large encoders it is little.
    large = {"dimensions": 300, "sequences": TransformerSettings(**TRANSFORMER)}
    assert 1 < run_gb("factorcl", settings_of("factorcl", **large)) / run_gb("clip", settings_of("clip", **large)) < 1.1


def test_sequences_take_more_with_everything_that_makes_their_encoders_larger():
    def estimate(network, **own):
        kind = {"transformer": TransformerSettings, "gru": GruSettings}[network]
        return run_gb("step1", settings_of("step1", sequences=kind(network=network, **own)))

    gb = estimate(**TRANSFORMER)
    # Five layers of 1,589,000 weights, and activations that outweigh them.
    assert gb > 2 * 4e-9 * 8 * 5 * (4 * 300**2 + 2 * 300 * 2048)
    for name in ("width", "layers", "heads", "feedforward"):
        assert estimate(**TRANSFORMER | {name: 2 * TRANSFORMER[name]}) > gb
    gru = {"network": "gru", "hidden": 30, "per_step": 15, "augmentation": TRANSFORMER["augmentation"]}
    assert 0 < estimate(**gru) < estimate(**gru | {"hidden": 60}) < gb


@pytest.mark.parametrize("gb", [0.001, 0.05, 0.2, 0.5, 1, 4, 1e6])
def test_no_stack_exceeds_the_memory_it_may_take(ledger, gb):
    grid = {"grids": grids([0, 1, 5, 10, 100], [0.01, 1])}
    asked = config(simulation=grid, stack_size=6, stack_gb=gb)
    plan = Plan(asked, ledger)
    for (dataset, stage), stacks in plan.stacks.items():
        one = run_gb(stage, asked.training_of(dataset, stage))
        sizes = [len(stack.runs) for stack in stacks]
        assert sum(sizes) == len(plan.wanted(dataset, stage))
        # At least one run, however little it may take; never more than stack_size.
        assert all(size == 1 or size * one <= gb for size in sizes) and max(sizes) <= 6
        # As many as fit, where neither folds nor betas keep runs apart.
        if (dataset, stage) == ("simulation", "step1"):
            assert len(sizes) == math.ceil(5 / max(1, min(6, int(gb / one))))


def test_more_memory_never_makes_more_stacks(tmp_path):
    counts = []
    for number, gb in enumerate([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2]):
        plan = Plan(config(simulation={"grids": grids([0, 1, 5, 10], [1])}, stack_gb=gb), tmp_path / f"{number}.json")
        counts.append(len(plan.stacks["simulation", "step1"]))
    assert counts == sorted(counts, reverse=True) and counts[0] == 4 and counts[-1] == 1


def test_less_memory_leaves_known_stacks_as_they_are(ledger):
    before = saved(config(), ledger).stacks
    assert Plan(config(stack_gb=0.001), ledger).stacks == before


# Code


@pytest.mark.parametrize("step", CODE)
def test_every_step_names_modules_that_exist(step):
    assert re.fullmatch("[0-9a-f]{16}", code(step))
    assert code(step) == code_version(*CODE[step])
    assert (code(step, "methods.clip") == code(step)) == ("methods.clip" in CODE[step])


def test_rules_ask_for_steps_that_are_known():
    asked = [
        step
        for path in (REPOSITORY / "workflow" / "rules").glob("*.smk")
        for step in re.findall(r'\bcode\("(\w+)"', path.read_text())
    ]
    # One rule a figure, made in a loop over this table.
    common = (REPOSITORY / "workflow" / "rules" / "common.smk").read_text()
    figures = re.findall(r'^    "(\w+)": .+,$', common.split("\nFIGURES = {")[1].split("\n}")[0], re.M)
    assert "figure4a" in figures
    assert {*asked, *figures} == set(CODE)


# The run that pictures show


@pytest.mark.parametrize(
    ("betas", "lams", "seeds", "shown"),
    [
        ([5, "selected", 1], [0.1, 0.01], [3, 2], "beta=selected,lam=0.01,fold=0,seed=3"),
        ([5, 1], [0.01], [0, 1], "beta=1,lam=0.01,fold=0,seed=0"),
    ],
)
def test_pictures_show_the_selected_beta_of_the_first_fold_and_seed(ledger, betas, lams, seeds, shown):
    for order in (1, -1):
        plan = Plan(config(screen={"grids": grids(betas[::order], lams, [1, 5]), "seeds": seeds}), ledger)
        assert plan.shown("lincs_cells").id == shown


# Presets


def test_presets_with_a_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config.yaml").write_text("datasets: [a, b]\n")
    texts = {
        "quick": "datasets: [a]",
        "middle": "# the data sets of config.yaml",
        "floors": "datasets: [own, a]",
    }
    for name in PRESETS:
        (tmp_path / "config" / f"{name}.yaml").write_text(texts[name])
    (tmp_path / "config" / "tiny.yaml").write_text("datasets: [a, tiny]")
    (tmp_path / "config" / "a_users_own.yaml").write_text("datasets: [a, tiny]")
    assert presets_with("a") == ["config/quick.yaml", "config/floors.yaml", "config/middle.yaml", "config.yaml"]
    assert presets_with("b") == ["config/middle.yaml", "config.yaml"]
    assert presets_with("own") == ["config/floors.yaml"]
    assert presets_with("tiny") == presets_with("nowhere") == []


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_files(name):
    assert (REPOSITORY / "config" / f"{name}.yaml").is_file()


def test_presets_of_this_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    assert presets_with("lincs_cells") == ["config/middle.yaml", "config.yaml"]
