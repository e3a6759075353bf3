"""What is planned, and what a change plans again: dry runs, counted by rule.

What follows from a change is written out in full, so that a job too many fails a test as surely as a job too few.
"""

from __future__ import annotations

import json
import os
import re
import resource
import time
from collections import Counter

import pytest
import yaml
from cases import cases
from kills import end

SIMULATION_FIGURES = {"plot_figure4a": 1, "plot_figure4b": 1, "plot_figure7": 1, "plot_figure8": 1, "plot_recovery": 1}
# What follows once, whatever changed: the comparison from tables of screens and MultiBench, the claims from all.
BESIDE_THE_PAPER = {"compare_with_paper": 1, "lay_out_tables": 1, "decide_claims": 1}
SIMULATION_TABLES = {"tabulate_probes": 1, "decide_claims": 1, **SIMULATION_FIGURES}
SCREEN_RETRIEVAL = {"tabulate_retrieval": 1}
SCREEN_TABLES = {**SCREEN_RETRIEVAL, "plot_retrieval_curves": 1, **BESIDE_THE_PAPER}
SCREEN_PICTURES = {"rank_shown_hits": 1, "plot_top_hits": 1}
SCREEN_DECODERS = {"measure_reconstruction": 1, "tabulate_reconstruction": 1, **BESIDE_THE_PAPER}
SCREEN_STEP2 = {"train_step2": 1, **SCREEN_DECODERS, **SCREEN_PICTURES}
SCREEN_CHOICE = {"select_beta": 1, "plot_beta_choice": 1, **SCREEN_STEP2}
SIMULATION_STEP1 = {"train_step1": 1, "probe_representations": 1}
SIMULATION_STEP2 = {"train_step2": 1, "probe_representations": 1}
SIMULATION_BASELINE = {"train_baseline": 1, "probe_representations": 1}
SIMULATION_BASELINES = {"train_baseline": 3, "probe_representations": 3}
MULTIBENCH_STEP1 = {"train_step1": 1, "probe_representations": 1}
MULTIBENCH_STEP2 = {"train_step2": 1, "probe_representations": 1}
MULTIBENCH_BASELINE = {"train_baseline": 1, "probe_representations": 1}
MULTIBENCH_TABLES = {"tabulate_multibench_probes": 1, "tabulate_multibench": 1, **BESIDE_THE_PAPER}
MULTIBENCH_TRAINING = [MULTIBENCH_STEP1, MULTIBENCH_STEP2, MULTIBENCH_BASELINE, MULTIBENCH_BASELINE, MULTIBENCH_TABLES]
MULTIBENCH = [*MULTIBENCH_TRAINING, {"probe_references": 1}]
SCREEN_CLIP = {"train_baseline": 1, "measure_retrieval": 1}
SCREEN_STEP1 = {"train_step1": 1, "measure_retrieval": 1}
SIMULATION_TRAINING = [SIMULATION_STEP1, SIMULATION_STEP2, SIMULATION_BASELINES, SIMULATION_TABLES]
SIMULATION = [*SIMULATION_TRAINING, {"probe_references": 1}]
SCREEN_TRAINING = [SCREEN_CLIP, SCREEN_STEP1, SCREEN_CHOICE, SCREEN_TABLES]
SCREEN = [*SCREEN_TRAINING, {"retrieve_references": 1}]
SIMULATION_DATA = {"simulate": 1, "split_dataset": 1}
SCREEN_DATA = {"curate_screen": 1, "featurise_molecules": 1, "split_dataset": 1}
MULTIBENCH_DATA = {"convert_multibench": 1, "split_dataset": 1}

# Whatever is made again, the page that shows it is.
REPORT = {"report": 1}

# Dry runs cost two seconds each; those that repeat another one's point are left to the slow tests.
SLOW = {
    "device of the same kind", "time between checkpoints", "seed added", "epochs of step 1", "split of the simulation",
    "learning rate of one data set", "data of the screen", "scaling of the screen", "resamples of the standard errors",
    "molecule embedding", "tiny", "middle", "floors", "setting of a stage that is not trained", "cosine of FOCAL",
    "concentration", "temperature of CLIP", "a of FOCAL taken out and another added", "CLIP added to the simulation",
    "beta of the screen added in mid-grid", "beta of the screen taken out", "permutations of the null",
    "published molecule embedding", "switch of DMVAE", "lam added to JointOpt", "baseline taken out",
    "grid of the screen in another order", "numbers spelled otherwise",
}  # fmt: skip


# The grids of config/tiny.yaml, with a value more or less.
BETA_IN_MIDDLE = "data: {simulation: {grids: {step1: {beta: [0, 1, 10]}, step2: {beta: [0, 1, 10], lam: [0.01]}}}}"
BETA_TAKEN_OUT = "data: {simulation: {grids: {step1: {beta: [10]}, step2: {beta: [10], lam: [0.01]}}}}"


def total(*parts: dict[str, int]) -> dict[str, int]:
    """Sum of several counts, of what stands beside the paper once."""
    summed = dict(sum(map(Counter, parts), Counter()))
    return summed | {rule: 1 for rule in BESIDE_THE_PAPER if rule in summed}


# Promised times and the full config


def seconds_to_plan(fresh, *targets: str) -> float:
    """CPU time of planning the full config: the wall time of an idle machine, on a busy one too."""
    begun = cpu_of_children()
    # A process of its own, whose imports count.
    process = fresh.under().start(*targets, options=["--dry-run", "--quiet", "all", "--resources", "gpu=1"])
    said = end(process)
    assert process.returncode == 0, said
    return cpu_of_children() - begun


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_full_config_is_planned_within_eight_seconds(fresh):
    assert min(seconds_to_plan(fresh) for _ in range(2)) < 8


def test_one_target_is_planned_within_five_seconds(fresh):
    assert min(seconds_to_plan(fresh, "results/lincs_consensus/retrieval.csv") for _ in range(2)) < 5


def test_full_config_has_every_stage_of_every_data_set(fresh):
    result = fresh.under().run(options=["--dry-run", "--cores", "8", "--resources", "gpu=1"]).ok()
    counts, (simulations, screens, multibench) = result.counts, (4, 5, 3)
    expected = {
        "simulate": simulations, "featurise_molecules": screens, "train_mol2vec": 1, "convert_multibench": multibench,
        # Three screens are bundled; the files of lincs, rxrx19a and mustard are fetched.
        "curate_screen": 3, "curate_lincs": 1, "curate_rxrx19a": 1, "download_file": 7, "unpack_gctx": 1,
        "split_dataset": simulations + screens + multibench, "probe_references": simulations + multibench,
        "retrieve_references": screens, "tabulate_multibench_probes": multibench, "tabulate_multibench": 1,
        "select_beta": screens, "tabulate_probes": simulations, "tabulate_retrieval": screens,
        "tabulate_reconstruction": screens, "plot_beta_choice": screens, "plot_retrieval_curves": screens,
        "plot_top_hits": screens,
        # All but lincs_consensus name something to probe for.
        "tabulate_contents": screens - 1, "measure_reference_contents": screens - 1, "plot_embedding_maps": screens - 1,
        "plot_figure4a": simulations, "plot_figure4b": 3, "plot_figure7": 1, "plot_figure8": 3, "plot_figure9": 1,
        "plot_recovery": simulations, "plot_information_plane": 1,
        **BESIDE_THE_PAPER, "check_paper": 1, "join_screens": 1, "transfer_references": 1, "tabulate_transfer": 1,
    }  # fmt: skip
    assert expected.items() <= counts.items()
    # Step 1 of a simulation: 13 betas x 3 seeds = one stack of 39. All that is trained is measured.
    assert counts["train_step1"] >= simulations + screens + multibench
    assert counts["train_baseline"] >= screens + 3, "CLIP of the screens, three baselines of the simulation"
    trained = sum(counts[rule] for rule in ("train_step1", "train_step2", "train_baseline"))
    # Step 2 of the screens by its decoders alone: its shared representations are those of step 1.
    baselines = len(re.findall(r"Training (?:jointopt|focal|dmvae) on (?:lincs|cell|rxrx)", result.output))
    step2 = counts["measure_reconstruction"] - baselines
    assert step2 >= screens and trained == counts["probe_representations"] + counts["measure_retrieval"] + step2


@pytest.mark.parametrize("preset", cases(["tiny", "quick", "middle", "floors"], SLOW))
def test_presets_can_be_planned_into_folders_of_their_own(fresh, preset):
    result = fresh.under(f"config/{preset}.yaml").run(options=["--dry-run"]).ok()
    assert result.counts["train_step1"] and result.counts["tabulate_retrieval"]
    outputs = [line for line in result.output.splitlines() if line.strip().startswith("input: results/")]
    assert outputs and all(f"results/{preset}/" in line for line in outputs)


def tables_of_the_claims(output: str) -> set[str]:
    """What the claims are decided on, of a plan from scratch."""
    (tables,) = re.findall(r"Deciding the paper's claims.*\nReason: .*updated by another job: (.+)", output)
    return set(tables.split(", "))


@pytest.mark.slow
def test_readings_are_planned_and_compared(fresh):
    """The readings are trained on top of the middle preset, whose own runs they are compared with."""
    middle = fresh.under("config/middle.yaml").run("simulations", options=["--dry-run"]).ok()
    result = fresh.under("config/middle.yaml", "config/readings.yaml")
    result = result.run("results/middle/simulation/readings.csv", options=["--dry-run"]).ok()
    every = len(yaml.safe_load((fresh / "config/readings.yaml").read_text())["datasets"])
    expected = {
        "simulate": every, "split_dataset": every, "probe_references": every, "tabulate_probes": every,
        "tabulate_readings": 1,
    }  # fmt: skip
    trained = ("train_step1", "train_step2", "train_baseline", "probe_representations")
    assert {rule: jobs for rule, jobs in result.counts.items() if rule not in trained} == expected
    assert sum(result.counts[rule] for rule in trained[:3]) == result.counts["probe_representations"]
    (job,) = re.findall(r"Comparing readings of the paper on (\w+)", result.output)
    assert job == "simulation"
    stacks = [set(re.findall(r"step 2 on simulation, stack (\w+)", one.output)) for one in (middle, result)]
    assert stacks[0] and stacks[0] == stacks[1]


# A reading comes before the data set that it departs from.
VARIANTS = """
datasets: [turned, simulation_mixed, simulation_noisy, clean, simulation]
data:
  turned: {source: simulation, reading: turned, make: {variant: entangled, n: 400, data_seeds: [0], noise: 0}}
  simulation_mixed: {make: {n: 400}, grids: {step2: {beta: [0], lam: [1]}}}
  simulation_noisy: {make: {n: 1000}, grids: {step1: {beta: [0]}, step2: null}}
  clean: {source: simulation, make: {variant: noisy, n: 400, data_seeds: [0], noise: 0}, grids: {step1: {beta: [0]}}}
"""


@pytest.mark.slow
def test_figures_are_those_that_data_and_stages_are_enough_for(fresh, overlay):
    result = fresh.run(overlays=[overlay(VARIANTS)], options=["--dry-run"]).ok()
    drawn: dict[str, set[str]] = {}
    for figure, dataset in re.findall(r"Drawing (\w+) of (\w+)", result.output):
        drawn.setdefault(dataset, set()).add(figure)
    assert drawn == {
        "turned": {"figure4a", "recovery"},
        "simulation_mixed": {"figure4a", "figure4b", "figure8", "figure9", "recovery"},
        # Step 2 is taken out.
        "simulation_noisy": {"figure4a", "recovery", "information_plane"},
        # Without noise there is no optimum.
        "clean": {"figure4a", "recovery"},
        "simulation": {"figure4a", "figure4b", "figure7", "figure8", "recovery"},
    }
    assert tables_of_the_claims(result.output) == {
        *(
            f"results/tiny/{name}/probes_summary.parquet"
            for name in ("simulation", "simulation_mixed", "simulation_noisy")
        ),
        *(f"results/tiny/paper/{name}.parquet" for name in ("comparison", "other_data")),
    }


def test_tiny_preset_from_scratch(fresh):
    once = {"train_mol2vec": 1, "check_paper": 1}
    data = [SIMULATION_DATA, SCREEN_DATA, MULTIBENCH_DATA]
    assert fresh.plan() == total(*SIMULATION, *SCREEN, *MULTIBENCH, *data, once, REPORT)


def test_table_1_is_planned_from_the_data_of_multibench_alone(fresh):
    plan = fresh.plan("results/tiny/table1.csv")
    assert plan == {
        rule: jobs for rule, jobs in total(MULTIBENCH_DATA, *MULTIBENCH).items() if rule not in BESIDE_THE_PAPER
    }


@pytest.mark.slow
def test_table_1_without_data_of_multibench_is_told(fresh, overlay):
    without = overlay("datasets: [simulation, lincs_consensus]")
    said = fresh.run("results/tiny/table1.csv", overlays=[without], options=["--dry-run"]).fails().output
    assert "this config runs none of it; add mfeat to datasets" in said


def test_one_target_of_a_screen_plans_nothing_of_the_simulation(fresh):
    wanted = total(SCREEN_CLIP, SCREEN_STEP1, {"select_beta": 1, "retrieve_references": 1}, SCREEN_RETRIEVAL)
    plan = fresh.plan("results/tiny/lincs_consensus/retrieval.csv")
    assert plan == total(wanted, SCREEN_DATA, {"train_mol2vec": 1})


@pytest.mark.slow
def test_a_screen_is_split_by_scaffold_from_its_structures(fresh, overlay):
    by_scaffold = overlay("data: {lincs_consensus: {split: {kind: scaffold}}}")
    plan = fresh.plan("results/tiny/lincs_consensus/data/splits.parquet", overlays=[by_scaffold])
    assert plan == {"curate_screen": 1, "split_screen": 1}


@pytest.mark.slow
def test_transfer_is_of_models_that_are_trained_anyway(fresh, overlay):
    both = overlay("datasets: [lincs_consensus, lincs_cells]")
    plan = fresh.plan("results/tiny/lincs_cells/transfer.csv", overlays=[both])
    # Nothing is trained on the target, nor is it split.
    data = total(SCREEN_DATA, {"curate_screen": 1, "featurise_molecules": 1, "train_mol2vec": 1, "join_screens": 1})
    measured = {"measure_transfer": 2, "transfer_references": 1, "tabulate_transfer": 1}
    trained = {"train_baseline": 1, "train_step1": 1, "measure_retrieval": 1, "select_beta": 1}
    assert plan == total(data, trained, measured)


@pytest.mark.slow
def test_one_target_of_the_simulation_plans_nothing_of_the_screens(fresh):
    assert fresh.plan("results/tiny/simulation/probes.csv") == total(
        SIMULATION_STEP1,
        SIMULATION_STEP2,
        SIMULATION_BASELINES,
        {"probe_references": 1, "tabulate_probes": 1},
        SIMULATION_DATA,
    )


def test_one_stack_asked_for_plans_its_data_and_itself(finished, fresh):
    stack = next((finished / "results/tiny/simulation/step1").iterdir()).name
    plan = fresh.plan(f"results/tiny/simulation/step1/{stack}/probes.parquet")
    assert plan == total(SIMULATION_DATA, SIMULATION_STEP1)


def test_planning_writes_nothing(finished, overlay):
    before = finished.times()
    finished.plan(overlays=[overlay(BETA_IN_MIDDLE)])
    assert finished.times() == before


# The table: what a change of the config plans again


UNCHANGED = {
    "nothing": "{}",
    "stack size": "stack_size: 1",
    "device of the same kind": "device: cpu",
    "grid in another order": "data: {simulation: {grids: "
    "{step1: {beta: [10, 0]}, step2: {beta: [10, 0], lam: [0.01]}}}}",
    "grid of the screen in another order": "families: {screen: {grids: {step1: {beta: [5, 0]}}}}",
    "numbers spelled otherwise": "data: {simulation: {grids: "
    "{step1: {beta: [0.0, 10.0]}, step2: {beta: [0.0, 10.0], lam: [1.0e-2]}, focal: {a: [1.0], lam: [1.0e-2]}}}}",
    "setting of a stage that is not trained": "families: {screen: {stages: {dmvae: {prior_expert: true}}}}",
    "time between checkpoints": "checkpoint_seconds: 30",
}


@pytest.mark.parametrize("text", cases(UNCHANGED, SLOW))
def test_nothing_is_planned(finished, overlay, text):
    assert finished.plan(overlays=[overlay(text)]) == {}


CHANGED = {
    "beta of the simulation added in mid-grid": (
        BETA_IN_MIDDLE,
        [SIMULATION_STEP1, SIMULATION_STEP2, SIMULATION_TABLES],
    ),
    # Step 2 starts from the beta that is chosen among all, so the choice comes first.
    "beta of the screen added in mid-grid": (
        "families: {screen: {grids: {step1: {beta: [0, 1, 5]}}}}",
        [SCREEN_STEP1, SCREEN_CHOICE, SCREEN_TABLES],
    ),
    "lam added": (
        "data: {simulation: {grids: {step2: {beta: [0, 10], lam: [0.01, 1]}}}}",
        [SIMULATION_STEP2, SIMULATION_TABLES],
    ),
    "seed added": (
        "families: {simulation: {seeds: [0, 1]}}",
        SIMULATION_TRAINING,
    ),
    "value taken out": (BETA_TAKEN_OUT, [SIMULATION_TABLES]),
    # Without it another beta may be the best; that it is not is only known once the choice was made.
    "beta of the screen taken out": (
        "families: {screen: {grids: {step1: {beta: [5]}}}}",
        [SCREEN_CHOICE, SCREEN_TABLES],
    ),
    # MultiBench's family has epochs of its own.
    "epochs of step 2": (
        "stages: {step2: {epochs: 2}}",
        [SIMULATION_STEP2, SIMULATION_TABLES, SCREEN_STEP2],
    ),
    "epochs of step 1": (
        "stages: {step1: {epochs: 2}}",
        [SIMULATION_STEP1, SIMULATION_STEP2, SIMULATION_TABLES, SCREEN_STEP1, SCREEN_CHOICE, SCREEN_TABLES],
    ),
    "learning rate": (
        "training: {learning_rate: 0.001}",
        [*SIMULATION_TRAINING, *SCREEN_TRAINING, *MULTIBENCH_TRAINING],
    ),
    "learning rate of one data set": (
        "data: {simulation: {training: {learning_rate: 0.001}}}",
        SIMULATION_TRAINING,
    ),
    "data of the simulation": ("data: {simulation: {make: {n: 300}}}", [SIMULATION_DATA, *SIMULATION]),
    "data of the screen": ("data: {lincs_consensus: {make: {molecules: 29}}}", [SCREEN_DATA, *SCREEN]),
    "split of the simulation": ("families: {simulation: {split: {seed: 1}}}", [{"split_dataset": 1}, *SIMULATION]),
    "scaling of the screen": (
        "families: {screen: {scaling: {view2: {clip: 3}}}}",
        SCREEN,
    ),
    "probe": (
        "probe: {max_iter: 100}",
        [{"probe_representations": 9, "probe_references": 2}, SIMULATION_TABLES, MULTIBENCH_TABLES],
    ),
    "resamples of the standard errors": ("retrieval: {bootstrap: 30}", [SCREEN_TABLES]),
    "permutations of the null": (
        "retrieval: {permutations: 11}",
        [{"measure_retrieval": 2, "retrieve_references": 1}, SCREEN_CHOICE, SCREEN_TABLES],
    ),
    "molecule embedding": (
        "mol2vec: {epochs: 2}",
        [{"train_mol2vec": 1, "featurise_molecules": 1}, *SCREEN],
    ),
    "published molecule embedding": (
        "mol2vec: {model: published}",
        [{"download_file": 1, "convert_mol2vec": 1, "featurise_molecules": 1}, *SCREEN],
    ),
}


@pytest.mark.parametrize(("text", "follows"), cases(CHANGED, SLOW))
def test_what_follows_from_a_change_is_planned_and_nothing_else(finished, overlay, text, follows):
    assert finished.plan(overlays=[overlay(text)]) == total(*follows, REPORT)


# Which stages a change trains again; all that is trained is measured, and tabulated with the rest.
TRAINED_AGAIN = {
    "switch of DMVAE": (
        "stages: {dmvae: {prior_expert: true}}",
        ["dmvae on simulation"],
        [SIMULATION_BASELINE, SIMULATION_TABLES],
    ),
    "cosine of FOCAL": (
        "data: {simulation: {stages: {focal: {cosine: hinge}}}}",
        ["focal on simulation"],
        [SIMULATION_BASELINE, SIMULATION_TABLES],
    ),
    # Not step 1, which has none.
    "orthogonality": (
        "training: {orthogonality: columns}",
        ["step 2 on simulation", "jointopt on simulation", "step 2 on lincs_consensus", "step 2 on mfeat"],
        [
            *[SIMULATION_STEP2, SIMULATION_BASELINE, SIMULATION_TABLES, SCREEN_STEP2],
            *[MULTIBENCH_STEP2, MULTIBENCH_TABLES],
        ],
    ),
    "concentration": (
        "data: {simulation: {training: {kappa: 100}}}",
        ["step 1 on simulation", "step 2 on simulation", "jointopt on simulation"],
        [SIMULATION_STEP1, SIMULATION_STEP2, SIMULATION_BASELINE, SIMULATION_TABLES],
    ),
    "temperature of CLIP": (
        "stages: {clip: {temperature: 0.1}}",
        ["clip on lincs_consensus", "clip on mfeat"],
        [SCREEN_CLIP, SCREEN_TABLES, MULTIBENCH_BASELINE, MULTIBENCH_TABLES],
    ),
    # The new runs alone, in a stack of their own.
    "lam added to JointOpt": (
        "data: {simulation: {grids: {jointopt: {a: [1], lam: [0.01, 1]}}}}",
        ["jointopt on simulation"],
        [SIMULATION_BASELINE, SIMULATION_TABLES],
    ),
    "a of FOCAL taken out and another added": (
        "data: {simulation: {grids: {focal: {a: [10], lam: [0.01]}}}}",
        ["focal on simulation"],
        [SIMULATION_BASELINE, SIMULATION_TABLES],
    ),
    "baseline taken out": ("data: {simulation: {grids: {dmvae: null}}}", [], [SIMULATION_TABLES]),
    "CLIP added to the simulation": (
        "data: {simulation: {grids: {clip: {}}}}",
        ["clip on simulation"],
        [SIMULATION_BASELINE, SIMULATION_TABLES],
    ),
}


@pytest.mark.parametrize(("text", "trained", "follows"), cases(TRAINED_AGAIN, SLOW))
def test_a_change_trains_what_uses_it_and_nothing_else(finished, overlay, text, trained, follows):
    result = finished.run(overlays=[overlay(text)], options=["--dry-run"])
    assert result.counts == total(*follows, REPORT)
    assert sorted(re.findall(r"Training (.+ on \w+), stack", result.output)) == sorted(trained)


@pytest.mark.slow
def test_added_lam_is_trained_without_the_old_ones(finished_copy, overlay):
    """The stack of the finished run keeps its member; the new one holds only what is new."""
    text = "data: {simulation: {grids: {jointopt: {a: [1], lam: [0.01, 1]}}}}"
    target, before = "results/tiny/simulation/probes.csv", finished_copy.times("results/tiny/simulation/jointopt")
    assert finished_copy.run(target, overlays=[overlay(text)]).ok().counts == total(
        SIMULATION_BASELINE, {"tabulate_probes": 1}
    )
    stacks = json.loads((finished_copy / "results/tiny/stacks.json").read_text())["stacks"]["simulation/jointopt"]
    assert sorted(map(list, stacks.values())) == [["a=1,lam=0.01,seed=0"], ["a=1,lam=1,seed=0"]]
    after = finished_copy.times("results/tiny/simulation/jointopt")
    assert before and before.items() <= after.items()
    lines = (finished_copy / target).read_text().splitlines()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:] if ",jointopt," in line]
    assert {(row["a"], row["lam"]) for row in rows} == {("1.0", "0.01"), ("1.0", "1.0")}


@pytest.mark.slow
def test_a_new_stack_takes_no_name_of_an_old_one(finished, overlay):
    output = finished.run(overlays=[overlay(BETA_IN_MIDDLE)], options=["--dry-run"]).ok().output
    old = {path.name for path in (finished / "results/tiny/simulation/step1").iterdir()}
    planned = {line.split("stack ")[1] for line in output.splitlines() if "Training step 1 on simulation" in line}
    assert len(planned) == 1 and not planned & old


@pytest.mark.slow
def test_two_presets_do_not_meet(finished):
    """Another preset plans all of its own, and the finished results stay as they are."""
    counts = finished.under("config/quick.yaml").plan()
    assert counts["train_step1"] > 3 and counts["simulate"] == 1


# What a change of files plans again


def test_deleted_ledger_plans_nothing(finished_copy):
    (finished_copy / "results/tiny/stacks.json").unlink()
    assert finished_copy.plan() == {}


def test_ledger_names_the_stack_of_every_run(finished):
    stacks = json.loads((finished / "results/tiny/stacks.json").read_text())["stacks"]
    runs = {key: [run for members in one.values() for run in members] for key, one in stacks.items()}
    assert runs == {
        "simulation/step1": ["beta=0,seed=0", "beta=10,seed=0"],
        "simulation/step2": ["beta=0,lam=0.01,seed=0", "beta=10,lam=0.01,seed=0"],
        "simulation/jointopt": ["a=1,lam=0.01,seed=0"],
        "simulation/focal": ["a=1,lam=0.01,seed=0"],
        "simulation/dmvae": ["lam=1e-05,seed=0"],
        "lincs_consensus/clip": ["fold=0,seed=0"],
        "lincs_consensus/step1": ["beta=0,fold=0,seed=0", "beta=5,fold=0,seed=0"],
        "lincs_consensus/step2": ["beta=selected,lam=0.01,fold=0,seed=0"],
        "mfeat/clip": ["seed=0"],
        "mfeat/factorcl": ["seed=0"],
        "mfeat/step1": ["beta=0,seed=0", "beta=1,seed=0"],
        "mfeat/step2": ["beta=1,lam=0.001,seed=0"],
    }
    for key, one in stacks.items():
        assert {path.name for path in (finished / "results/tiny" / key).iterdir()} == set(one)


def touch(path) -> None:
    """Make a file look just written."""
    later = time.time() + 5
    os.utime(path, (later, later))


def test_touched_inputs_plan_nothing(finished_copy):
    """Snakemake compares inputs by content, up to the profile's max-checksum-file-size, so a touch is no change."""
    bundled = list((finished_copy / "data").glob("*/profiles.parquet"))
    assert bundled
    for path in bundled:
        touch(path)
    touch(finished_copy / "results/tiny/lincs_consensus/selection.json")
    touch(finished_copy / "results/tiny/simulation/probes_summary.parquet")
    assert finished_copy.plan() == {}


def test_touched_scripts_and_rules_plan_nothing(finished_copy):
    """Switching branches touches every file; only a change may cost a training."""
    for folder in ("workflow", "src", "config", "profiles"):
        for path in finished_copy.files(folder).values():
            touch(path)
    assert finished_copy.plan() == {}


def only_stack(checkout, stage: str):
    folders = [path for path in (checkout / f"results/tiny/{stage}").iterdir() if path.is_dir()]
    assert len(folders) == 1
    return folders[0]


@pytest.mark.slow
def test_missing_file_of_a_stack_asked_for_plans_that_file(finished_copy):
    """Snakemake does not look for a missing file that nothing needs; asked for, it alone is made."""
    for name, rule in (("models.safetensors", "train_step1"), ("probes.parquet", "probe_representations")):
        path = only_stack(finished_copy, "simulation/step1") / name
        content = path.read_bytes(), path.stat()
        path.unlink()
        assert finished_copy.plan() == {}
        assert finished_copy.plan(str(path.relative_to(finished_copy.folder))) == {rule: 1}
        path.write_bytes(content[0])
        os.utime(path, ns=(content[1].st_atime_ns, content[1].st_mtime_ns))


def test_missing_models_of_step1_plan_them_and_what_follows(finished_copy):
    (only_stack(finished_copy, "simulation/step1") / "models.safetensors").unlink()
    (only_stack(finished_copy, "simulation/step2") / "models.safetensors").unlink()
    (finished_copy / "results/tiny/simulation/probes.csv").unlink()
    (only_stack(finished_copy, "simulation/step2") / "probes.parquet").unlink()
    assert finished_copy.plan() == total(SIMULATION_STEP1, SIMULATION_STEP2, SIMULATION_TABLES, REPORT)


def test_missing_measurement_and_table_plan_no_training(finished_copy):
    (only_stack(finished_copy, "simulation/step1") / "probes.parquet").unlink()
    (finished_copy / "results/tiny/simulation/probes.csv").unlink()
    assert finished_copy.plan() == total({"probe_representations": 1}, SIMULATION_TABLES, REPORT)


def test_missing_table_plans_the_table(finished_copy):
    (finished_copy / "results/tiny/lincs_consensus/retrieval.csv").unlink()
    assert finished_copy.plan() == total(SCREEN_TABLES, REPORT)


# What a change of the package plans again


def test_comment_and_docstring_plan_nothing(finished_copy):
    for name in ("objectives", "training", "sources/simulation", "tables/probes"):
        path = finished_copy / f"src/disentangledssl/{name}.py"
        path.write_text("# A remark.\n" + path.read_text().replace('"""', '"""In other words: ', 1) + "\n# The end.\n")
    assert finished_copy.plan() == {}


def change(checkout, module: str) -> None:
    """Change what the module is, in the eyes of Python."""
    path = checkout / f"src/disentangledssl/{module}.py"
    path.write_text(path.read_text() + "\n\nCHANGED = True\n")


def test_changed_objective_plans_training_and_no_data(finished_copy):
    change(finished_copy, "objectives")
    references = total({"probe_references": 1}, {"retrieve_references": 1})
    plan = finished_copy.plan()
    measured = {"train_baseline": 6, "train_step1": 3, "train_step2": 3}
    measured |= {"probe_representations": 9, "measure_retrieval": 2, "measure_reconstruction": 1}
    for rule, jobs in measured.items():
        assert plan.pop(rule) == jobs
    for rule in references:
        plan.pop(rule, None)
    tables = {**SCREEN_TABLES, "tabulate_reconstruction": 1, **SCREEN_PICTURES}
    choice = {"select_beta": 1, "plot_beta_choice": 1}
    assert plan == total(SIMULATION_TABLES, tables, choice, MULTIBENCH_TABLES, REPORT)


CHANGED_METHODS = {
    "clip": [SCREEN_CLIP, SCREEN_TABLES, MULTIBENCH_BASELINE, MULTIBENCH_TABLES],
    "dmvae": [SIMULATION_BASELINE, SIMULATION_TABLES],
    # JointOpt's terms of the specific codes are those of step 2.
    "step2": [
        *[SIMULATION_STEP2, SIMULATION_BASELINE, SIMULATION_TABLES, SCREEN_STEP2],
        *[MULTIBENCH_STEP2, MULTIBENCH_TABLES],
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "follows"), CHANGED_METHODS.items(), ids=CHANGED_METHODS)
def test_changed_method_plans_that_method(finished_copy, method, follows):
    change(finished_copy, f"methods/{method}")
    assert finished_copy.plan() == total(*follows, REPORT)


def test_changed_wording_of_errors_plans_nothing(finished_copy):
    for module in ("errors", "progress", "timings", "config", "plan", "runs", "settings"):
        change(finished_copy, module)
    assert finished_copy.plan() == {}


@pytest.mark.slow
def test_what_stands_beside_the_paper_is_planned_alone(finished_copy):
    """The paper's numbers are inputs: a correction trains nothing."""
    (finished_copy / "results/tiny/paper/claims.csv").unlink()
    assert finished_copy.plan() == {"decide_claims": 1, **REPORT}
    finished_copy.edit("data/paper/facts.csv", "LINCS,drugs,3315,3.3", "LINCS,drugs,3316,3.3")
    assert finished_copy.plan() == {"check_paper": 1, **BESIDE_THE_PAPER, **REPORT}


@pytest.mark.slow
def test_changed_figure_plans_the_figure(finished_copy):
    change(finished_copy, "figures/figure4a")
    assert finished_copy.plan() == {"plot_figure4a": 1, **REPORT}
    change(finished_copy, "figures/scatter")
    assert finished_copy.plan() == {**SIMULATION_FIGURES, **REPORT}
