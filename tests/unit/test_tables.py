"""Tables: literal small examples, every number worked out by hand."""

from __future__ import annotations

import json
import statistics

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from disentangledssl.config import STAGES
from disentangledssl.evaluation.retrieval import bootstrap, random_metrics
from disentangledssl.files import read_table, table_info, write_table
from disentangledssl.measurements import measurement_table, reference_run, run_columns
from disentangledssl.probes import PROBE_COLUMNS
from disentangledssl.rankings import null_columns, retrieval_columns
from disentangledssl.tables.layout import LABELS, STAGE_ORDER
from disentangledssl.tables.probes import tabulate_probes
from disentangledssl.tables.retrieval import tabulate_retrieval

INFO = {"name": "simulation", "title": "Simulated pairs", "stand_in": False}
SCREEN = {"name": "cells", "title": "Cells (stand-in)", "stand_in": True}


def run(stage, seed, *, beta=None, a=None, lam=None, fold=0, status="trained", beta_value=None):
    """Columns of one run, with its id."""
    axes = {"beta": beta, "a": a, "lam": lam, "fold": fold, "seed": seed}
    name = ",".join(f"{axis}={value}" for axis, value in axes.items() if value is not None)
    hyperparameters = {axis: axes[axis] for axis in ("beta", "a", "lam") if axes[axis] is not None}
    if beta is not None:
        hyperparameters["beta_value"] = float(beta if beta_value is None else beta_value)
    return run_columns({"id": name, "fold": fold, "seed": seed, "status": status} | hyperparameters, stage)


def probe(named, value, representation="zc", label="c"):
    return named | {
        "representation": representation, "width": 4, "code_std": 1.0, "label": label, "metric": "accuracy",
        "value": value,
    }  # fmt: skip


def write(folder, stacks, columns, info, **more):
    paths = []
    for number, rows in enumerate(stacks):
        paths.append(folder / f"stack{number}.parquet")
        write_table(paths[-1], measurement_table(rows, columns), {"dataset": info, **more})
    return paths


WHOLE = ("seed", "fold", "width", "molecules", "profiles", "n", "n_diverged")


def assert_same_rows(path):
    """Check that CSV and Parquet hold the same rows, with whole numbers in whole-number columns; return them."""
    stored, texts = pq.read_table(path.with_suffix(".parquet")), pd.read_csv(path.with_suffix(".csv"), dtype=str)
    whole = [name for name in WHOLE if name in stored.column_names]
    assert whole
    for name in whole:
        assert stored.schema.field(name).type == pa.int64(), name
        assert texts[name].dropna().str.fullmatch("[0-9]+").all(), name
        assert [None if pd.isna(text) else int(text) for text in texts[name]] == stored[name].to_pylist(), name
    # Whole numbers stay whole where some are missing.
    exact = pd.read_parquet(path.with_suffix(".parquet"), dtype_backend="numpy_nullable")
    assert exact.to_csv(index=False) == path.with_suffix(".csv").read_text()
    rows = pd.read_parquet(path.with_suffix(".parquet"))
    assert list(pd.read_csv(path.with_suffix(".csv")).columns) == list(rows.columns)
    assert len(pd.read_csv(path.with_suffix(".csv"))) == len(rows)
    return rows


# Probes


@pytest.fixture
def probes(tmp_path):
    """Tabulate probe rows (a list a stack); gives the table and its summary."""

    def tabulate(stacks, wanted):
        paths = write(tmp_path, stacks, PROBE_COLUMNS, INFO)
        tabulate_probes(paths, wanted, tmp_path / "probes", tmp_path / "probes_summary")
        return assert_same_rows(tmp_path / "probes"), assert_same_rows(tmp_path / "probes_summary")

    return tabulate


STACKS = [
    [
        probe(run("step1", 0, beta=0), 0.5), probe(run("step1", 1, beta=0), 0.7),
        probe(run("step1", 0, beta=1), 0.9), run("step1", 1, beta=1, status="diverged"),
    ],
    [probe(run("step2", seed, beta=0, lam=0.1), 0.2 + seed / 10, "zs1") for seed in (0, 1)],
    [probe(reference_run("linear_cca", 0), 0.8), reference_run("chance", 0) | {"label": "c", "metric": "accuracy",
                                                                              "value": 0.51}],
]  # fmt: skip
WANTED = [
    *(f"step1/beta={beta},fold=0,seed={seed}" for seed in (0, 1) for beta in (0, 1)),
    *(f"step2/beta=0,lam=0.1,fold=0,seed={seed}" for seed in (0, 1)),
]


def test_probes_are_one_row_a_run_representation_and_label(probes):
    table, _ = probes(STACKS, WANTED)
    columns = ["method", "stage", "beta", "lam", "seed", "status", "representation", "value"]
    assert table[columns].replace({np.nan: None}).to_numpy().tolist() == [
        ["disentangledssl_beta0", "step1", "0", None, 0, "trained", "zc", 0.5],
        ["disentangledssl_beta0", "step1", "0", None, 1, "trained", "zc", 0.7],
        ["disentangledssl", "step1", "1", None, 0, "trained", "zc", 0.9],
        ["disentangledssl", "step1", "1", None, 1, "diverged", None, None],
        ["disentangledssl_beta0", "step2", "0", 0.1, 0, "trained", "zs1", 0.2],
        ["disentangledssl_beta0", "step2", "0", 0.1, 1, "trained", "zs1", pytest.approx(0.3)],
        ["linear_cca", "reference", None, None, None, "exact", "zc", 0.8],
        ["chance", "reference", None, None, None, "exact", None, 0.51],
    ]


def test_every_row_says_what_it_was_measured_on(probes, tmp_path):
    for table in probes(STACKS, WANTED)[::-1]:
        assert list(table.columns[:5]) == ["dataset", "title", "stand_in", "method", "method_label"], "docs/outputs.md"
        assert set(table["dataset"]) == {"simulation"} and set(table["title"]) == {"Simulated pairs"}
        assert not table["stand_in"].any()
    assert table_info(read_table(tmp_path / "probes.parquet"))["dataset"] == INFO
    labels = dict(zip(table["method"], table["method_label"], strict=True))
    assert labels == {
        "disentangledssl_beta0": "DisentangledSSL (beta = 0)",
        "disentangledssl": "DisentangledSSL",
        "linear_cca": "Linear CCA",
        "chance": "Chance",
    }


def test_summary_is_mean_std_and_n_over_seeds(probes):
    _, summary = probes(STACKS, WANTED)
    found = summary.set_index(["method", "stage", "beta"])[["mean", "std", "n", "n_diverged"]]
    mean, std, n, n_diverged = found.loc[("disentangledssl_beta0", "step1", "0")]
    assert (mean, std, n, n_diverged) == (pytest.approx(0.6), pytest.approx(statistics.stdev([0.5, 0.7])), 2, 0)
    mean, std, n, n_diverged = found.loc[("disentangledssl", "step1", "1")]
    assert (mean, n, n_diverged) == (0.9, 1, 1) and np.isnan(std)
    mean, std, n, n_diverged = found.loc[("disentangledssl_beta0", "step2", "0")]
    assert (mean, std, n, n_diverged) == (pytest.approx(0.25), pytest.approx(statistics.stdev([0.2, 0.3])), 2, 0)
    assert summary[summary["method"] == "chance"]["mean"].tolist() == [0.51]


def test_hyperparameters_of_which_every_seed_diverged_stay_in_the_summary(probes):
    """A line that silently disappears would hide the divergence."""
    stack = [*STACKS[0], *(run("step1", seed, beta=5, status="diverged") for seed in (0, 1))]
    _, summary = probes([stack], [*WANTED, "step1/beta=5,fold=0,seed=0", "step1/beta=5,fold=0,seed=1"])
    row = summary[summary["beta"] == "5"]
    assert row[["n", "n_diverged"]].to_numpy().tolist() == [[0, 2]] and row["mean"].isna().all()


def test_runs_no_longer_in_the_config_are_left_out(probes):
    table, summary = probes(STACKS, [name for name in WANTED if "beta=0" in name])
    assert set(table["beta"].dropna()) == set(summary["beta"].dropna()) == {"0"}
    assert "linear_cca" in set(table["method"])


def test_rows_are_ordered_by_stage_hyperparameters_fold_and_seed(probes):
    """As numbers, whatever stacks they come from and whatever their ids look like."""
    runs = [
        *(run("step1", seed, beta=beta, fold=fold) for beta in (0, 2, 10) for fold in (0, 1) for seed in (0, 1)),
        *(run("step2", seed, beta=2, lam=lam, fold=fold) for lam in (0.5, 3) for fold in (0, 1) for seed in (0, 1)),
        run("step2", 0, beta="selected", lam=0.5, beta_value=0),
    ]
    wanted = [f"{one['stage']}/{one['run']}" for one in runs]
    shuffled = [runs[k] for k in np.random.default_rng(0).permutation(len(runs))]
    table, _ = probes([[probe(one, 0.5)] for one in [*shuffled, reference_run("raw", 0)]], wanted)
    columns = ["stage", "beta", "lam", "fold", "seed"]
    expected = [[one.get(name) for name in columns] for one in runs]
    found = table[columns].replace({np.nan: None}).to_numpy().tolist()
    assert found == [*expected, ["reference", None, None, 0, None]]


def test_table_does_not_depend_on_how_runs_were_stacked(probes, tmp_path):
    probes(STACKS, WANTED)
    before = {name: (tmp_path / name).read_bytes() for name in ("probes.parquet", "probes_summary.csv")}
    rows = [row for stack in STACKS for row in stack]
    probes([[row] for row in rows[:6][::-1]] + [rows[6:]], WANTED)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


# Two seeds of JointOpt at two a and two lam, FOCAL at one a, DMVAE at two lam: accuracy a + lam + seed / 100.
BASELINES = [
    *(run("jointopt", seed, a=a, lam=lam) for a in (0.1, 0.4) for lam in (0, 0.2) for seed in (0, 1)),
    *(run("focal", seed, a=0.1, lam=0.2) for seed in (0, 1)),
    *(run("dmvae", seed, lam=lam) for lam in (1e-7, 0.2) for seed in (0, 1)),
]


def baseline_rows():
    return [probe(one, (one["a"] or 0) + one["lam"] + one["seed"] / 100) for one in BASELINES]


def ids(runs):
    return [f"{one['stage']}/{one['run']}" for one in runs]


def test_baselines_have_a_line_for_each_a_and_lam(probes):
    table, summary = probes([*STACKS, baseline_rows()], [*WANTED, *ids(BASELINES)])
    for rows in (table, summary):
        at = list(rows.columns).index("a")
        assert list(rows.columns)[at - 2 : at + 2] == ["beta", "beta_value", "a", "lam"], "docs/outputs.md"
    found = summary[summary["stage"].isin(["jointopt", "focal", "dmvae"])]
    columns = ["method", "method_label", "beta", "a", "lam", "mean", "n", "n_diverged"]
    assert found[columns].replace({np.nan: None}).to_numpy().tolist() == [
        ["jointopt", "JointOpt", None, 0.1, 0.0, pytest.approx(0.105), 2, 0],
        ["jointopt", "JointOpt", None, 0.1, 0.2, pytest.approx(0.305), 2, 0],
        ["jointopt", "JointOpt", None, 0.4, 0.0, pytest.approx(0.405), 2, 0],
        ["jointopt", "JointOpt", None, 0.4, 0.2, pytest.approx(0.605), 2, 0],
        ["focal", "FOCAL", None, 0.1, 0.2, pytest.approx(0.305), 2, 0],
        ["dmvae", "DMVAE", None, None, 1e-7, pytest.approx(0.0050001), 2, 0],
        ["dmvae", "DMVAE", None, None, 0.2, pytest.approx(0.205), 2, 0],
    ]
    np.testing.assert_allclose(found["std"].astype(float), statistics.stdev([0, 0.01]))
    # The others have no a.
    assert table[~table["stage"].isin(["jointopt", "focal"])]["a"].isna().all()


def test_stages_are_in_the_order_of_the_methods(probes):
    table, summary = probes([baseline_rows()[::-1], STACKS[1], STACKS[0], STACKS[2]], [*WANTED, *ids(BASELINES)])
    for rows in (table, summary):
        assert list(dict.fromkeys(rows["stage"])) == ["step1", "step2", "jointopt", "focal", "dmvae", "reference"]
    found = table[table["stage"] == "jointopt"][["a", "lam", "seed"]].to_numpy().tolist()
    assert found == [[a, lam, seed] for a in (0.1, 0.4) for lam in (0, 0.2) for seed in (0, 1)]


def test_every_stage_has_a_place_and_a_label():
    assert (*STAGES, "reference") == STAGE_ORDER
    assert {stage for stage in STAGES if stage not in ("step1", "step2")} <= set(LABELS)


def test_a_diverged_baseline_is_counted_with_its_own_a(probes):
    rows = baseline_rows()
    rows[1] = run("jointopt", 1, a=0.1, lam=0, status="diverged")
    rows[2:4] = [run("jointopt", seed, a=0.1, lam=0.2, status="diverged") for seed in (0, 1)]
    _, summary = probes([rows], ids(BASELINES))
    found = summary[summary["stage"] == "jointopt"].set_index(["a", "lam"])[["n", "n_diverged"]]
    assert found.to_numpy().tolist() == [[1, 1], [0, 2], [2, 0], [2, 0]]
    assert list(found.index) == [(0.1, 0.0), (0.1, 0.2), (0.4, 0.0), (0.4, 0.2)]


# Retrieval

MOLECULES = {0: (("a", 1), ("b", 3)), 1: (("c", 1), ("d", 1))}
POOLS = {0: 4, 1: 2}


def ranked(named, values, split="test", way=("phenotype_to_molecule", "single", None)):
    """Rows of the two molecules of a run's fold, with their MRR; the other metrics follow from it."""
    direction, replicates, line = way
    random = {f"random_{name}": value for name, value in random_metrics(POOLS[named["fold"]], [1]).items()}
    return [
        named
        | {"direction": direction, "replicates": replicates, "cell_line": line, "split": split, "group": group,
           "profiles": profiles, "pool": POOLS[named["fold"]], "mrr": value,
           "top1": float(value == 1), "top_tenth": float(value == 1), "rank": 1 / value, "percentile": value}
        | random
        for (group, profiles), value in zip(MOLECULES[named["fold"]], values, strict=True)
    ]  # fmt: skip


def shuffled(named, values, weights=(("per_molecule", 2), ("per_profile", 4))):
    """Rows of the null of a run: the MRR of each permutation, tenfold per profile."""
    return [
        named
        | {
            "unit": unit,
            "permutation": k,
            "folds": 1,
            "weight": weight,
            "mrr": value * (1 if unit == "per_molecule" else 10),
        }
        | dict.fromkeys(["top1", "top_tenth", "rank", "percentile"], 0.0)
        for unit, weight in weights
        for k, value in enumerate(values)
    ]


@pytest.fixture
def retrieval(tmp_path):
    """Tabulate retrieval rows (a list a stack); gives the table and its summary, and writes the differences."""

    def tabulate(stacks, wanted, chosen=None, null=(), pool="test"):
        paths = write(tmp_path, stacks, retrieval_columns([1]), SCREEN, pool=pool)
        (tmp_path / "null").mkdir(exist_ok=True)
        pairs_at_random = write(tmp_path / "null", [null], null_columns([1]), SCREEN)
        selection = None
        if chosen:
            selection = tmp_path / "selection.json"
            selection.write_text(json.dumps({"beta": chosen}))
        tables = (tmp_path / name for name in ("retrieval", "summary", "others"))
        tabulate_retrieval(paths, pairs_at_random, wanted, selection, *tables, bootstrap=20)
        return assert_same_rows(tmp_path / "retrieval"), assert_same_rows(tmp_path / "summary")

    return tabulate


REFERENCES = [row for fold in (0, 1) for row in ranked(reference_run("ridge", fold), [0.5, 1.0])]
# Values of (beta, fold, seed): the two molecules of the fold.
VALUES = {
    (0, 0, 0): (0.5, 0.25), (0, 1, 0): (1.0, 0.5), (0, 0, 1): (1.0, 0.25), (0, 1, 1): (0.5, 0.5),
    (1, 0, 0): (1.0, 1.0), (1, 1, 0): (0.5, 0.5), (1, 0, 1): (0.5, 1.0), (1, 1, 1): (1.0, 1.0),
}  # fmt: skip
STEP1 = [
    row
    for (beta, fold, seed), values in VALUES.items()
    for row in ranked(run("step1", seed, beta=beta, fold=fold), values)
]
CLIP = [row for fold in (0, 1) for row in ranked(run("clip", 0, fold=fold), (0.25, 0.5))]
ASKED = [
    *(f"clip/fold={fold},seed=0" for fold in (0, 1)),
    *(f"step1/beta={beta},fold={fold},seed={seed}" for beta, fold, seed in VALUES),
]


def value_of(table, method, metric="mrr", unit="per_molecule", column=None, **where):
    """The one value that a row has."""
    column = column or ("value" if "value" in table.columns else "mean")
    rows = table[(table["method"] == method) & (table["metric"] == metric) & (table["unit"] == unit)]
    for name, value in where.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows[column].iloc[0]


def test_folds_are_pooled_molecule_by_molecule(retrieval):
    table, _ = retrieval([CLIP, STEP1, REFERENCES], ASKED)
    # Molecules a, b, c, d with 1, 3, 1, 1 profiles.
    assert value_of(table, "clip") == pytest.approx((0.25 + 0.5 + 0.25 + 0.5) / 4)
    assert value_of(table, "clip", unit="per_profile") == pytest.approx((0.25 + 3 * 0.5 + 0.25 + 0.5) / 6)
    beta0 = value_of(table, "disentangledssl_beta0", beta="0", seed=0)
    assert beta0 == pytest.approx((0.5 + 0.25 + 1.0 + 0.5) / 4)
    assert value_of(table, "disentangledssl", "top1", beta="1", seed=1) == pytest.approx(3 / 4)
    assert value_of(table, "ridge", "rank") == pytest.approx((2 + 1 + 2 + 1) / 4)
    clip = table[table["method"] == "clip"]
    assert set(clip["molecules"]) == {4} and set(clip["profiles"]) == {6}


def test_validation_rows_do_not_count(retrieval):
    before, _ = retrieval([CLIP, REFERENCES], ASKED)
    more = [row for fold in (0, 1) for row in ranked(run("clip", 0, fold=fold), (1.0, 1.0), split="validation")]
    after, _ = retrieval([CLIP + more, REFERENCES], ASKED)
    pd.testing.assert_frame_equal(before, after)


def test_random_row_is_exact_and_stands_beside_every_value(retrieval):
    table, summary = retrieval([CLIP, STEP1, REFERENCES], ASKED)
    # Two molecules in a pool of 4 and two in a pool of 2: H_n / n, and 1 / n.
    mrr = (2 * (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4 + 2 * (1 + 1 / 2) / 2) / 4
    top1 = (2 / 4 + 2 / 2) / 4
    for rows in (table, summary):
        assert value_of(rows, "random") == pytest.approx(mrr, abs=1e-15)
        assert value_of(rows, "random", "top1") == pytest.approx(top1, abs=1e-15)
        for metric, unit, exact in (("mrr", "per_molecule", mrr), ("top1", "per_molecule", top1)):
            these = rows[(rows["metric"] == metric) & (rows["unit"] == unit)]
            np.testing.assert_allclose(these["random"].astype(float), exact, atol=1e-15)
    per_profile = (4 * (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4 + 2 * (1 + 1 / 2) / 2) / 6
    assert value_of(table, "random", unit="per_profile") == pytest.approx(per_profile, abs=1e-15)
    assert value_of(table, "random", column="standard_error") == pytest.approx(0, abs=1e-15)


def test_selected_row_is_the_chosen_beta_of_each_fold(retrieval):
    table, summary = retrieval([CLIP, STEP1, REFERENCES], ASKED, chosen={"0": 1.0, "1": 0.0})
    for seed in (0, 1):
        chosen = [*VALUES[1, 0, seed], *VALUES[0, 1, seed]]
        found = value_of(table, "disentangledssl", beta="selected", seed=seed)
        assert found == pytest.approx(sum(chosen) / 4)
    assert value_of(summary, "disentangledssl", beta="selected", column="n") == 2
    plain = value_of(table, "disentangledssl", beta="1", seed=0)
    assert plain == pytest.approx(sum(VALUES[1, 0, 0] + VALUES[1, 1, 0]) / 4)


def test_without_a_selection_there_is_no_selected_row(retrieval):
    table, _ = retrieval([CLIP, STEP1, REFERENCES], ASKED)
    assert "selected" not in set(table["beta"].dropna())


def test_summary_averages_seeds_and_resamples_molecules(retrieval):
    table, summary = retrieval([CLIP, STEP1, REFERENCES], ASKED)
    of_seed = [np.array(VALUES[1, 0, seed] + VALUES[1, 1, seed]) for seed in (0, 1)]
    means = [one.mean() for one in of_seed]
    one = {"method": "disentangledssl", "beta": "1"}
    assert value_of(summary, **one) == pytest.approx(np.mean(means))
    assert value_of(summary, **one, column="std") == pytest.approx(statistics.stdev(means))
    assert (value_of(summary, **one, column="n"), value_of(summary, **one, column="n_diverged")) == (2, 0)
    chance = np.array([25 / 48, 25 / 48, 3 / 4, 3 / 4])
    error = bootstrap((np.mean(of_seed, axis=0) - chance)[:, None], samples=20).standard_errors[0]
    assert value_of(summary, **one, column="standard_error") == pytest.approx(error)
    above = value_of(summary, **one, column="errors_above_random")
    assert above == pytest.approx((np.mean(means) - chance.mean()) / error)
    alone = bootstrap((of_seed[0] - chance)[:, None], samples=20).standard_errors[0]
    assert value_of(table, **one, seed=0, column="standard_error") == pytest.approx(alone)


def test_seed_that_diverged_in_one_fold_is_counted_and_not_averaged(retrieval):
    stack = [row for row in STEP1 if (row["beta"], row["fold"], row["seed"]) != ("1", 1, 1)]
    stack.append(run("step1", 1, beta=1, fold=1, status="diverged"))
    table, summary = retrieval([CLIP, stack, REFERENCES], ASKED)
    one = {"method": "disentangledssl", "beta": "1"}
    assert (value_of(summary, **one, column="n"), value_of(summary, **one, column="n_diverged")) == (1, 1)
    assert value_of(summary, **one) == pytest.approx(sum(VALUES[1, 0, 0] + VALUES[1, 1, 0]) / 4)
    measured = table[(table["beta"] == "1") & table["value"].notna()]
    assert set(measured["seed"]) == {0} and set(measured["status"]) == {"trained"}
    (lost,) = table[(table["beta"] == "1") & table["value"].isna()][["seed", "status"]].to_numpy().tolist()
    assert lost == [1, "diverged"]


def test_beta_of_which_every_seed_diverged_stays_in_the_summary(retrieval):
    stack = [row for row in STEP1 if row["beta"] == "0"]
    stack += [run("step1", seed, beta=1, fold=fold, status="diverged") for seed in (0, 1) for fold in (0, 1)]
    table, summary = retrieval([CLIP, stack, REFERENCES], ASKED)
    row = summary[summary["beta"] == "1"]
    assert row[["n", "n_diverged"]].to_numpy().tolist() == [[0, 2]]
    lost = table[table["beta"] == "1"]
    assert lost[["seed", "status"]].to_numpy().tolist() == [[0, "diverged"], [1, "diverged"]]
    assert lost["value"].isna().all()


def test_every_row_says_that_it_is_a_stand_in(retrieval):
    for table in retrieval([CLIP, STEP1, REFERENCES], ASKED, chosen={"0": 1.0, "1": 0.0}):
        assert list(table.columns[:5]) == ["dataset", "title", "stand_in", "method", "method_label"]
        assert set(table["title"]) == {"Cells (stand-in)"} and table["stand_in"].all()
        assert set(table["method_label"]) == {
            "CLIP", "DisentangledSSL (beta = 0)", "DisentangledSSL", "Ridge regression", "Random",
        }  # fmt: skip


@pytest.mark.parametrize(("pool", "said"), [("test", "test"), ("valtest", "validation and test")])
def test_every_row_says_what_was_ranked(retrieval, tmp_path, pool, said):
    lost = [run("clip", 1, fold=fold, status="diverged") for fold in (0, 1)]
    asked = [*ASKED, "clip/fold=0,seed=1", "clip/fold=1,seed=1"]
    tables = retrieval([CLIP + lost, REFERENCES], asked, pool=pool)
    for table in [*tables, assert_same_rows(tmp_path / "others")]:
        assert set(table["evaluated_on"]) == {said}
    assert "diverged" in set(tables[0]["status"])


def test_dropped_beta_is_left_out(retrieval):
    table, summary = retrieval([CLIP, STEP1, REFERENCES], [name for name in ASKED if "beta=1" not in name])
    assert set(table["beta"].dropna()) == set(summary["beta"].dropna()) == {"0"}


def test_interval_is_of_the_same_resamples_as_the_standard_error(retrieval):
    table, _ = retrieval([CLIP, STEP1, REFERENCES], ASKED)
    one = {"method": "disentangledssl", "beta": "1", "seed": 0}
    chance = np.array([25 / 48, 25 / 48, 3 / 4, 3 / 4])
    found = bootstrap((np.array(VALUES[1, 0, 0] + VALUES[1, 1, 0]) - chance)[:, None], samples=20)
    assert value_of(table, **one, column="low") == pytest.approx(chance.mean() + found.low[0])
    assert value_of(table, **one, column="high") == pytest.approx(chance.mean() + found.high[0])
    assert value_of(table, "random", column="low") == pytest.approx(chance.mean())
    assert value_of(table, "random", column="high") == pytest.approx(chance.mean())


def test_ways_of_ranking_stand_beside_one_another(retrieval):
    ways = [("molecule_to_phenotype", "single", None), ("phenotype_to_molecule", "averaged", None),
            ("phenotype_to_molecule", "single", "A549")]  # fmt: skip
    more = [
        row
        for k, way in enumerate(ways)
        for fold in (0, 1)
        # The line was met in the first fold only.
        if fold == 0 or way[2] is None
        for row in ranked(run("clip", 0, fold=fold), (0.25 * (k + 1), 0.5), way=way)
    ]
    table, summary = retrieval([[*CLIP, *more], REFERENCES], ASKED)
    for rows in (table, summary):
        clip = rows[(rows["method"] == "clip") & (rows["metric"] == "mrr")]
        value = "value" if "value" in rows.columns else "mean"
        clip = clip[["direction", "replicates", "cell_line", "unit", value, "molecules"]]
        found = [[None if pd.isna(value) else value for value in row] for row in clip.to_numpy().tolist()]
        assert found == [
            ["phenotype_to_molecule", "single", None, "per_profile", pytest.approx(2.5 / 6), 4],
            ["phenotype_to_molecule", "single", None, "per_molecule", 0.375, 4],
            ["molecule_to_phenotype", "single", None, "per_molecule", 0.375, 4],
            ["phenotype_to_molecule", "averaged", None, "per_molecule", 0.5, 4],
            ["phenotype_to_molecule", "single", "A549", "per_profile", pytest.approx((0.75 + 3 * 0.5) / 4), 2],
            ["phenotype_to_molecule", "single", "A549", "per_molecule", 0.625, 2],
        ]  # fmt: skip


def test_null_is_pooled_over_folds_and_seeds(retrieval):
    null = [
        *shuffled(run("step1", 0, beta=1, fold=0), (0.1, 0.2, 0.3)),
        *shuffled(run("step1", 1, beta=1, fold=0), (0.3, 0.2, 0.3)),
        # Three times as many molecules.
        *(row | {"weight": 3 * row["weight"]} for seed in (0, 1)
          for row in shuffled(run("step1", seed, beta=1, fold=1), (0.4, 0.6, 0.2))),
        *(row for fold in (0, 1) for row in shuffled(reference_run("ridge", fold), (0.5, 0.5, 0.5))),
    ]  # fmt: skip
    table, summary = retrieval([CLIP, STEP1, REFERENCES], ASKED, null=null)
    pooled = np.array([(0.2 + 3 * 0.4) / 4, (0.2 + 3 * 0.6) / 4, (0.3 + 3 * 0.2) / 4])
    one = {"method": "disentangledssl", "beta": "1"}
    for unit, scale in (("per_molecule", 1), ("per_profile", 10)):
        assert value_of(summary, **one, unit=unit, column="null_mean") == pytest.approx(scale * pooled.mean())
        ends = [value_of(summary, **one, unit=unit, column=f"null_{end}") for end in ("low", "high")]
        assert ends == pytest.approx(scale * np.quantile(pooled, [0.025, 0.975]))
    assert value_of(summary, "ridge", column="null_low") == value_of(summary, "ridge", column="null_high") == 0.5
    assert np.isnan(value_of(summary, "random", column="null_mean"))
    assert "null_mean" not in table.columns


def test_null_of_the_selected_beta_is_that_of_each_fold(retrieval):
    null = [
        row
        for beta, fold, seed in VALUES
        for row in shuffled(run("step1", seed, beta=beta, fold=fold), [0.1 * beta + 0.2 * fold] * 2)
    ]
    _, summary = retrieval([CLIP, STEP1, REFERENCES], ASKED, chosen={"0": 1.0, "1": 0.0}, null=null)
    found = value_of(summary, "disentangledssl", beta="selected", column="null_mean")
    assert found == pytest.approx((0.1 + 0.2) / 2)


def test_null_leaves_out_a_seed_that_diverged_elsewhere(retrieval):
    stack = [row for row in STEP1 if (row["beta"], row["fold"], row["seed"]) != ("1", 1, 1)]
    stack.append(run("step1", 1, beta=1, fold=1, status="diverged"))
    null = [
        row
        for fold, seed in ((0, 0), (1, 0), (0, 1))
        for row in shuffled(run("step1", seed, beta=1, fold=fold), [0.1 + seed] * 2)
    ]
    _, summary = retrieval([CLIP, stack, REFERENCES], ASKED, null=null)
    assert value_of(summary, "disentangledssl", beta="1", column="null_mean") == pytest.approx(0.1)


# Fold 1 tests b again, in the place of c.
SHARED = {"c": "b"}


def again(rows):
    return [row | {"group": SHARED.get(row["group"], row["group"])} if "group" in row else row for row in rows]


def test_a_molecule_of_several_folds_is_one_molecule_in_every_error(retrieval, tmp_path):
    table, summary = retrieval([again(CLIP), again(STEP1), again(REFERENCES)], ASKED)
    # Rows a, b of fold 0; b, d of fold 1. As molecules: a; b twice, by the mean; d.
    weights, chance = np.array([1, 2, 1]), np.array([25 / 48, (25 / 48 + 3 / 4) / 2, 3 / 4])
    one, clip = np.array([1.0, 0.75, 0.5]), np.array([0.25, 0.375, 0.5])
    named = {"method": "disentangledssl", "beta": "1", "seed": 0}
    expected = bootstrap((one - chance)[:, None], weights, samples=20)
    # Values are as they were: each fold's molecules count once in it.
    assert value_of(table, **named) == pytest.approx(np.average(one, weights=weights)) == pytest.approx(0.75)
    assert value_of(table, **named, column="standard_error") == pytest.approx(expected.standard_errors[0])
    assert value_of(table, **named, column="molecules") == 3 and value_of(table, **named, column="profiles") == 6
    assert set(summary["molecules"].dropna()) == {3}
    # Per profile b weighs 3 of its first fold and 1 of its second.
    profiles, of_profiles = np.array([1, 4, 1]), np.array([1.0, (3 * 1.0 + 0.5) / 4, 0.5])
    at_random = np.array([25 / 48, (3 * 25 / 48 + 3 / 4) / 4, 3 / 4])
    expected = bootstrap((of_profiles - at_random)[:, None], profiles, samples=20)
    error = value_of(table, **named, unit="per_profile", column="standard_error")
    assert error == pytest.approx(expected.standard_errors[0])
    rows = pd.read_parquet(tmp_path / "others.parquet")
    (found,) = rows[
        (rows["method"] == "ridge") & (rows["other"] == "clip") & (rows["metric"] == "mrr")
        & (rows["unit"] == "per_molecule")
    ].to_dict("records")  # fmt: skip
    paired = np.array([0.5, (1.0 + 0.5) / 2, 1.0]) - clip
    expected = bootstrap(paired[:, None], weights, samples=20)
    assert found["difference"] == pytest.approx(np.average(paired, weights=weights))
    assert (found["standard_error"], found["molecules"]) == (pytest.approx(expected.standard_errors[0]), 3)


# Molecules a, b, c, d: the mean of two seeds of beta = 1, and CLIP.
BETA1 = np.array([(1 + 0.5) / 2, (1 + 1) / 2, (0.5 + 1) / 2, (0.5 + 1) / 2])


def test_differences_are_paired_by_molecule_after_averaging_seeds(retrieval, tmp_path):
    # The rows of a run need not be in the order of another's.
    retrieval([CLIP[::-1], STEP1, REFERENCES], ASKED, chosen={"0": 1.0, "1": 0.0})
    rows = assert_same_rows(tmp_path / "others")
    assert set(rows["other"]) == {"clip", "disentangledssl_beta0", "disentangledssl", "ridge"}
    assert set(rows["other_label"]) == {"CLIP", "DisentangledSSL (beta = 0)", "DisentangledSSL", "Ridge regression"}
    # Five methods, less the other one.
    assert len(rows) == 4 * 4 * 2 * 5
    paired = BETA1 - np.array([0.25, 0.5, 0.25, 0.5])
    for unit, weights in (("per_molecule", np.ones(4)), ("per_profile", np.array([1, 3, 1, 1]))):
        (found,) = rows[
            (rows["method"] == "disentangledssl") & (rows["beta"] == "1") & (rows["other"] == "clip")
            & (rows["metric"] == "mrr") & (rows["unit"] == unit)
        ].to_dict("records")  # fmt: skip
        expected = bootstrap(paired[:, None], weights, samples=20)
        assert found["difference"] == pytest.approx(np.average(paired, weights=weights))
        assert [found[name] for name in ("standard_error", "low", "high")] == pytest.approx(
            [one[0] for one in expected]
        )
        assert found["errors"] == pytest.approx(found["difference"] / found["standard_error"])
        assert found["molecules"] == 4


def test_methods_that_do_the_same_do_not_differ(retrieval, tmp_path):
    retrieval([CLIP, STEP1, REFERENCES], ASKED, chosen={"0": 1.0, "1": 1.0})
    rows = pd.read_parquet(tmp_path / "others.parquet")
    same = rows[(rows["beta"] == "1") & (rows["other"] == "disentangledssl")]
    assert len(same) == 10 and (same[["difference", "standard_error", "low", "high"]] == 0).all(axis=None)
    assert same["errors"].isna().all()


def test_a_method_of_which_every_seed_diverged_has_no_difference(retrieval, tmp_path):
    stack = [row for row in STEP1 if row["beta"] == "0"]
    stack += [run("step1", seed, beta=1, fold=fold, status="diverged") for seed in (0, 1) for fold in (0, 1)]
    retrieval([CLIP, stack, REFERENCES], ASKED)
    assert set(pd.read_parquet(tmp_path / "others.parquet")["beta"].dropna()) == {"0"}


def test_baselines_stand_in_the_table_by_their_settings(retrieval, tmp_path):
    baselines = [
        row
        for fold in (0, 1)
        for a in (1, 10)
        for row in ranked(run("jointopt", 0, a=a, lam=0.01, fold=fold), (1.0, 1 / a))
    ]
    asked = [f"jointopt/a={a},lam=0.01,fold={fold},seed=0" for a in (1, 10) for fold in (0, 1)]
    table, summary = retrieval([CLIP, baselines, REFERENCES], ASKED + asked)
    assert value_of(table, "jointopt", a=10, lam=0.01) == pytest.approx((1 + 0.1) / 2)
    assert value_of(summary, "jointopt", a=1, lam=0.01) == 1
    rows = pd.read_parquet(tmp_path / "others.parquet")
    assert sorted(rows["a"].dropna().unique()) == [1, 10] and "jointopt" not in set(rows["other"])
