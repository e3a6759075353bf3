"""The prediction of costs: jobs on cores, bytes of models, steps and shapes; and that a calibration measures."""

from __future__ import annotations

import csv
import io
from types import SimpleNamespace

import pyarrow as pa
import pytest
import torch

from disentangledssl import calibration, cost
from disentangledssl.calibration import Clock, start_runs, time_evaluation, time_references, time_training
from disentangledssl.checkpoints import load_models
from disentangledssl.cost import Costs, Job, at_runs, makespan, predict, sentence
from disentangledssl.dataset import read_dataset
from disentangledssl.files import write_table
from disentangledssl.operations import stack_bytes, step_flops
from disentangledssl.settings import STAGE_SETTINGS
from disentangledssl.training import train_stack

pytestmark = pytest.mark.usefixtures("one_thread")

WEIGHTS = {"temperature": 0.07, "kappa": 1000.0, "orthogonality": "rows", "normaliser": True}
STEP1 = [
    {"id": f"beta={beta},seed={seed}", "beta": beta, "beta_value": float(beta), "fold": 0, "seed": seed}
    for seed in (0, 1)
    for beta in (0, 4)
]
# Two runs share a start; the others have one each, since their seeds see other mini-batches.
STEP2 = [
    {"id": f"{k}", "beta": beta, "beta_value": float(beta), "lam": lam, "fold": 0, "seed": seed, "start_seed": 0}
    for k, (beta, lam, seed) in enumerate([(0, 0, 0), (0, 1, 0), (4, 1, 0), (0, 1, 1)])
]
JOINT = [{"id": f"a={a}", "a": a, "lam": 1, "fold": 0, "seed": 0} for a in (1, 2, 3)]
RUNS = {"step1": STEP1, "step2": STEP2, "jointopt": JOINT}
MEASURED = {"seconds": 0.5, "fixed": 2.0, "gb": 1.0, "gpu_gb": 0.0}


def settings(stage: str, **others):
    """Settings of a small model of one stage."""
    all_of_them = WEIGHTS | {
        "epochs": 2, "batch_size": 16, "mini_batches": "pairs",
        "learning_rate": 1e-3, "hidden": 30, "layers": 3, "dimensions": 10,
        "weight_std": 0.1, "precision": "float32",
        "augmentation": {"kind": "drop", "noise_std": 0.01, "drop_fraction": 0.1, "dimensions": None},
        "sequences": None,
    }  # fmt: skip
    return {name: value for name, value in all_of_them.items() if name in STAGE_SETTINGS[stage].model_fields} | others


@pytest.fixture(scope="module")
def trained(tiny, plain, tmp_path_factory):
    """Models of real, tiny trainings by stage."""
    made, folder = {}, tmp_path_factory.mktemp("trained")
    for stage, runs in RUNS.items():
        made[stage] = folder / f"{stage}.safetensors"
        train_stack(
            stage, tiny, runs, settings=settings(stage), scaling=[plain, plain], models=made[stage],
            history=folder / "history.parquet", starts=[made["step1"]] if stage == "step2" else [],
        )  # fmt: skip
    return made


def stack(stage="step1", runs=STEP1, id="s", dataset="tiny", after=(), selects=False, **others):
    """A stack as the plan describes it."""
    return {
        "dataset": dataset, "stage": stage, "id": id, "runs": runs, "settings": settings(stage, **others),
        "after": list(after), "selects": selects,
    }  # fmt: skip


@pytest.fixture
def costs(tiny, plain, monkeypatch, tmp_path):
    """Costs of some stacks of the tiny data set, on a machine where a step takes half a second."""

    class Workers:
        def __init__(self, count):
            self.start_up, self.count = {"training": 2.0, "evaluation": 3.0}, count

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def measure(self, function, **task):
            asked.append((function.__name__, task))
            return dict(MEASURED, seconds=0.5 * len(task.get("runs", [0])))

    asked: list = []
    monkeypatch.setattr(cost, "Workers", Workers)
    monkeypatch.setattr(cost, "light_start_up", lambda: 1.0)

    def calibrated(stacks, kind="retrieval", evaluated=("clip", "step1"), more=None, shown=None, **machine):
        options = {"pool": "test", "top": [1], "permutations": 10}
        datasets = {
            "tiny": {
                "folder": str(tiny), "folds": 2, "scaling": [plain, plain],
                "kinds": {kind: (evaluated, options)}, "references": {kind: options},
                **({"shown": shown} if shown else {}),
            },
            **(more or {}),
        }  # fmt: skip
        costs = Costs(stacks, datasets, tmp_path, **({"device": "cpu", "cores": 2, "threads": 1} | machine))
        costs.calibrate()
        costs.asked = asked
        return costs

    return calibrated


# Jobs on cores


@pytest.mark.parametrize(("cores", "expected"), [(1, 13), (2, 7), (3, 6), (9, 6)])
def test_jobs_start_when_a_core_is_free_and_what_they_need_is_there(cores, expected):
    """Two cores: a until 2, b until 3, c from 2 to 5, d from 3 to 7, e from 5 to 6."""
    jobs = [Job("a", 2), Job("b", 3), Job("c", 3, ["a"]), Job("d", 4, ["a"]), Job("e", 1, ["c"])]
    assert makespan(jobs, cores) == expected


def test_a_job_of_several_threads_takes_as_many_cores_and_never_more_than_there_are():
    jobs = [Job("a", 2, cores=2), Job("b", 2, cores=2), Job("c", 1)]
    assert makespan(jobs, cores=2) == 5
    assert makespan(jobs, cores=3) == 4
    assert makespan(jobs, cores=1) == 5


def test_one_job_at_a_time_holds_the_gpu_and_others_run_beside_it():
    jobs = [Job("a", 2, gpus=1), Job("b", 2, gpus=1), Job("c", 1, after=["a"])]
    assert makespan(jobs, cores=8) == 4


def test_a_job_that_waits_for_what_is_not_there_is_named():
    with pytest.raises(ValueError, match="b waits for what never ends"):
        makespan([Job("a", 1), Job("b", 1, after=["z"])], cores=1)


# Exact: bytes, starts, steps


@pytest.mark.parametrize("stage", RUNS)
def test_bytes_are_those_of_the_file(trained, tiny, stage):
    tensors, _ = load_models(trained[stage])
    shapes = read_dataset(tiny).shapes
    numbers = {"runs": len(RUNS[stage]), "starts": len(start_runs(RUNS[stage]))}
    predicted = stack_bytes(stage, settings(stage), shapes, settings("step1"), **numbers)
    assert predicted == sum(tensor.nbytes for tensor in tensors.values())
    assert 0 < trained[stage].stat().st_size - predicted < 8000


def test_starts_are_those_of_a_real_stack(trained):
    _, info = load_models(trained["step2"])
    assert len(start_runs(STEP2)) == len(info["layout"]["starts"]) == 3
    assert start_runs(STEP1) == start_runs(JOINT) == []


def test_steps_are_those_of_a_real_training(costs, tiny, plain, caplog, tmp_path):
    with caplog.at_level("INFO"):
        train_stack(
            "step1", tiny, STEP1, settings=settings("step1"), scaling=[plain, plain], models=tmp_path / "m",
            history=tmp_path / "h",
        )  # fmt: skip
    one = stack()
    assert f"2 epochs of {costs([one]).steps(one)} mini-batches" in caplog.text


def test_each_shape_is_measured_once_at_its_smallest_and_largest_stack(costs):
    stacks = [stack(runs=STEP1[:count], id=str(count), epochs=epochs) for count, epochs in [(1, 2), (3, 9), (4, 2)]]
    asked = costs([*stacks, stack(hidden=50)]).asked
    assert [len(task["runs"]) for name, task in asked if name == "time_training"] == [1, 4, 4]
    assert [len(task["runs"]) for name, task in asked if name == "time_evaluation"] == [1]
    assert [name for name, _ in asked].count("time_references") == 1


@pytest.mark.parametrize(("device", "counts"), [("cpu", [6, 12]), ("cuda", [40])])
def test_large_stacks_are_timed_in_part_on_a_cpu(costs, device, counts):
    measured = costs([stack(runs=STEP1 * 10)], device=device)
    assert [len(task["runs"]) for name, task in measured.asked if name == "time_training"] == counts
    assert measured.training(measured.stacks[0])["seconds"] == pytest.approx(20)


def test_between_two_measured_stacks_the_time_is_linear_and_beyond_in_proportion():
    points = {2: {"seconds": 1.0, "fixed": 1.0, "gb": 1.0}, 4: {"seconds": 3.0, "fixed": 1.0, "gb": 2.0}}
    assert at_runs(points, 3)["seconds"] == 2
    assert at_runs(points, 8) == {"seconds": 6.0, "fixed": 2.0, "gb": 4.0}
    assert at_runs({2: points[2]}, 2) == points[2]


# The whole prediction


def hours(costs, *stacks, **how) -> tuple[float, float]:
    """Hours and CPU hours of some stacks."""
    row = costs(stacks, **how).rows()[-2]
    return row["hours"], row["cpu_hours"]


def test_more_epochs_more_runs_and_fewer_cores_take_longer(costs):
    few = stack(runs=STEP1[:2], id="a")
    base = hours(costs, few)
    assert hours(costs, few | {"settings": settings("step1", epochs=3)}) > base
    assert hours(costs, stack(id="a")) > base
    two = few, stack(runs=STEP1[2:], id="b")
    assert hours(costs, *two, cores=1)[0] > hours(costs, *two)[0] > base[0]
    assert hours(costs, *two, cores=1)[1] == pytest.approx(hours(costs, *two)[1])


def test_hours_are_the_longest_way_through_the_jobs(costs):
    """Step 1, its evaluation, the choice, step 2: by hand."""
    stacks = [stack(id="a"), stack("step2", STEP2, id="b", after=["a"], selects=True)]
    measured = costs(stacks, cores=8)
    own = cost.SNAKEMAKE["seconds"]
    steps = measured.steps(stacks[0])
    training = 2 + own + 2 + 0.5 * 4 * steps * 2
    evaluation, choice = 3 + own + 2 + 0.5 * 4, 1 + own
    assert measured.rows()[-2]["hours"] * 3600 == pytest.approx(2 * training + evaluation + choice)


def test_what_is_there_is_not_left(costs, tmp_path):
    measured = costs([stack(id="a"), stack(runs=JOINT, stage="jointopt", id="b")])
    whole, left = measured.rows()[-2:]
    assert left["cpu_hours"] == whole["cpu_hours"] and "left" not in sentence("tiny", 2, measured.rows())
    (tmp_path / "tiny/step1/a").mkdir(parents=True)
    (tmp_path / "tiny/step1/a/models.safetensors").touch()
    rows = measured.rows()
    assert rows[0]["finished"] == 1 and rows[1]["finished"] == 0
    assert rows[-2]["cpu_hours"] == whole["cpu_hours"]
    assert rows[-1]["cpu_hours"] == pytest.approx(whole["cpu_hours"] - rows[0]["cpu_hours"])
    assert "are left" in sentence("tiny", 2, rows)


def test_a_beta_to_be_chosen_is_a_start_of_its_own(costs):
    runs = [run | {"beta": beta} for run in STEP2[:1] for beta in ("selected", 1)]
    measured = costs([stack(), stack("step2", runs, id="b", after=["s"])])
    assert len(start_runs(measured.stacks[1]["runs"])) == 2


def test_pictures_are_measured_once_with_the_run_that_they_show(costs, tmp_path):
    shown = {"run": STEP2[2]["id"], "kinds": ["embedding_maps", "top_hits"]}
    stacks = [stack(id="a"), stack("step2", STEP2, id="b", after=["a"])]
    plain, measured = costs(stacks, cores=8), costs(stacks, cores=8, shown=shown)
    asked = [task for name, task in measured.asked if name == "time_evaluation" and task["stage"] == "step2"]
    assert [(task["kind"], task["runs"]) for task in asked] == [(kind, [STEP2[2]]) for kind in shown["kinds"]]
    # Two jobs of start-up, 2 seconds fixed and half a second each, and two figures, after the stack of step 2.
    own = cost.SNAKEMAKE["seconds"]
    added = 2 * (3 + own + 2 + 0.5) + 2 * (1 + own)
    rest = [row for row in measured.rows() if row["part"] == "data and evaluation"]
    before = [row for row in plain.rows() if row["part"] == "data and evaluation"]
    assert (rest[0]["cpu_hours"] - before[0]["cpu_hours"]) * 3600 == pytest.approx(added)
    (job,) = (job for job in measured.jobs() if job.name == "tiny/top_hits")
    assert job.after == ["tiny/step2/b"] and not job.done
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/top_hits.parquet").touch()
    (job,) = (job for job in measured.jobs() if job.name == "tiny/top_hits")
    assert job.done


def test_transfer_is_a_row_of_its_own_after_the_trainings_of_the_other_screen(costs, write_tiny, plain, tmp_path):
    joined = write_tiny(tmp_path / "joined", seed=1, widths=(20, 10))
    options = {"pool": "test", "top": [1], "permutations": 10}
    transfer = {
        "other/transfer": {
            "folder": str(joined), "trained_on": "tiny", "folds": 2, "scaling": [plain, plain],
            "kinds": {"retrieval": (("clip", "step1"), options)}, "references": {"retrieval": options},
        }
    }  # fmt: skip
    measured = costs([stack(id="a"), stack("step2", STEP2, id="b", after=["a"])], more=transfer)
    folders = [task["folder"] for name, task in measured.asked if name == "time_evaluation"]
    assert folders[-1] == str(joined) and len(folders) == 2, "step 1 on both data, step 2 on none"
    (row,) = (row for row in measured.rows() if (row["dataset"], row["part"]) == ("other", "transfer"))
    own = cost.SNAKEMAKE["seconds"]
    ranking, references, table = 3 + own + 2 + 0.5 * 4, 1 + own + 2 * 0.5, 1 + own
    assert row["cpu_hours"] * 3600 == pytest.approx(ranking + references + table)
    (job,) = (job for job in measured.jobs() if job.name == "other/transfer/step1/a/retrieval")
    assert job.after == ["tiny/step1/a"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other/transfer.csv").touch()
    assert [job.done for job in measured.jobs() if job.name == "other/transfer/table"] == [True]


def test_operations_are_steps_times_those_of_every_stack(costs, tiny):
    runs = [{"id": f"seed={k}", "fold": 0, "seed": k} for k in range(3)]
    stacks = [stack("clip", runs[:count], id=str(count)) for count in (1, 3)]
    measured = costs(stacks)
    row, shapes = measured.rows()[0], read_dataset(tiny).shapes
    of_run = step_flops("clip", settings("clip"), shapes, {}, runs=1, starts=0, batch=16)
    assert row["flop"] == 2 * measured.steps(measured.stacks[0]) * 4 * of_run


def test_prediction_is_written_and_shown(costs, tiny, plain, monkeypatch, tmp_path):
    measured, terminal = costs([stack()]), io.StringIO()
    out = tmp_path / "results" / "cost.csv"
    predict(measured.stacks, measured.datasets, out, terminal=terminal, device="cpu", cores=2, threads=1)
    rows = list(csv.DictReader(out.open()))
    assert [(row["dataset"], row["part"]) for row in rows] == [
        ("tiny", "step1"), ("tiny", "data and evaluation"), ("all", "all"), ("all", "left")
    ]  # fmt: skip
    assert float(rows[0]["disk_gb"]) + float(rows[1]["disk_gb"]) == pytest.approx(float(rows[2]["disk_gb"]))
    assert "results: about" in terminal.getvalue() and "on 2 cores" in terminal.getvalue()


# The calibration


class SlowFeed:
    """A feed whose steps take what the test's own clock says."""

    def __init__(self, steps):
        self.steps, self.device = steps, torch.device("cpu")

    def epoch(self, epoch):
        yield from range(self.steps)


@pytest.mark.parametrize(("steps", "second"), [(281, 0.1), (281, 2.0), (3, 0.1), (1, 0.25)])
def test_clock_counts_its_steps_and_no_others(monkeypatch, steps, second):
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(calibration.time, "process_time", lambda: now.seconds)
    clock = Clock(SlowFeed(steps), seconds=3)
    for epoch in range(calibration.EPOCHS):
        for _ in clock.epoch(epoch):
            now.seconds += second if epoch else 10 * second
        now.seconds += 0.01  # what ends an epoch
    clock.stop()
    assert clock.served >= min(calibration.FEWEST, steps)
    assert clock.spent == pytest.approx(clock.served * second, rel=0.05)
    assert 1.5 <= clock.spent <= max(4.5, 4 * second + 0.1) or steps == 1


@pytest.fixture(scope="module")
def with_molecules(write_tiny, tmp_path_factory):
    """The tiny data set with the SMILES of its molecules."""
    folder = write_tiny(tmp_path_factory.mktemp("molecules") / "data")
    ids = read_dataset(folder).view_ids[1].tolist()
    write_table(folder / "molecules.parquet", pa.table({"id": ids, "smiles": ["C" * (1 + k) for k in range(len(ids))]}))
    return folder


@pytest.mark.parametrize("stage", RUNS)
def test_training_and_evaluation_are_timed_with_real_data(tiny, with_molecules, plain, stage):
    given = {
        "stage": stage, "folder": str(tiny), "runs": RUNS[stage], "settings": settings(stage),
        "step1": settings("step1"), "scaling": [plain, plain],
    }  # fmt: skip
    took = time_training(**given, device="cpu", threads=1, seconds=0.05)
    assert 0 < took["seconds"] < 1 and took["fixed"] > 0 and 0.05 < took["gb"] < 4 and took["gpu_gb"] == 0
    probe = {"probe": {"solver": "newton-cholesky", "max_iter": 200}}
    assert time_evaluation("probes", **given | {"runs": RUNS[stage][:1]}, options=probe)["seconds"] > 0
    assert time_evaluation("contents", **given | {"runs": RUNS[stage][:1]}, options={})["seconds"] > 0
    if stage == "step2":
        maps = given | {"runs": RUNS[stage][1:2], "options": {}}
        assert time_evaluation("embedding_maps", **maps)["seconds"] > 0
        assert time_evaluation("top_hits", **maps | {"folder": str(with_molecules)})["seconds"] > 0
    if stage != "jointopt":
        ranking = {"pool": "test", "top": [1], "permutations": 10}
        assert time_evaluation("retrieval", **given | {"runs": RUNS[stage][:1]}, options=ranking)["seconds"] > 0


def test_reference_rows_are_timed(tiny, plain):
    for kind, options in (("retrieval", {"pool": "test", "top": [1], "permutations": 10}), ("contents", {"width": 4})):
        took = time_references(kind, str(tiny), options | {"scaling": [plain, plain]})
        assert took["seconds"] > 0


@pytest.mark.slow
def test_processes_answer_and_say_so_when_they_cannot(tiny, plain):
    with calibration.Workers(2) as workers:
        assert 0 < workers.start_up["training"] < workers.start_up["evaluation"]
        options = {"pool": "test", "top": [1], "permutations": 10, "scaling": [plain, plain]}
        took = workers.measure(time_references, kind="retrieval", folder=str(tiny), options=options)
        assert took["seconds"] > 0 and took["gb"] > 0
        with pytest.raises(RuntimeError, match="calibration ended"):
            workers.measure(time_references, kind="nothing", folder=str(tiny), options={})
