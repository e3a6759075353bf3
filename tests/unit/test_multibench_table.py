"""Tables 1 and 4: literal small examples, every line in its place."""

from __future__ import annotations

import pandas as pd
import pytest

from disentangledssl.files import read_table, table_info, write_table
from disentangledssl.measurements import measurement_table, reference_run, run_columns
from disentangledssl.probes import PROBE_COLUMNS
from disentangledssl.tables.multibench import tabulate_multibench
from disentangledssl.tables.probes import tabulate_probes

GROUPS = ("shared", "specific", "both")
WIDTHS = {"shared": 4, "specific": 4, "both": 8, "emb": 8, "proj": 40, "x1": 3, "x2": 5, "x": 8}
SPLITS = {"accuracy": 0.0, "validation_accuracy": 0.01, "train_accuracy": 0.02}


def run(stage, seed, status="trained", **axes):
    name = ",".join(f"{axis}={value}" for axis, value in [*axes.items(), ("seed", seed)])
    beta = {"beta_value": float(axes["beta"])} if "beta" in axes else {}
    return run_columns({"id": name, "fold": 0, "seed": seed, "status": status} | axes | beta, stage)


def probed(named, value, *representations, label="c"):
    return [
        named
        | {"representation": one, "width": WIDTHS.get(one), "label": label, "metric": metric, "value": value + more}
        for one in representations
        for metric, more in SPLITS.items()
    ]


def rows_of(*, beta=1):
    rows = []
    for seed in (0, 1):
        rows += probed(run("clip", seed), 0.5 + seed / 10, "shared")
        rows += probed(run("step1", seed, beta=beta), 0.6, "shared")
        rows += probed(run("step2", seed, beta=beta, lam=0.001), 0.6, "specific", "both")
        rows += probed(run("jointopt", seed, a=1, lam=0.001), 0.7, *GROUPS)
        rows += probed(run("focal", seed, a=1, lam=0.001), 0.8, *GROUPS)
        rows += probed(run("factorcl", seed), 0.9, "emb", "proj")
    rows += probed(reference_run("majority", 0), 0.2, None) + probed(reference_run("linear_cca", 0), 0.25, *GROUPS)
    return rows + probed(reference_run("raw", 0), 0.3, "x1", "x2", "x")


@pytest.fixture
def tables(tmp_path):
    """Tabulate data sets, given by name: their rows; gives both tables."""

    def tabulate(**datasets):
        paths = []
        for name, rows in datasets.items():
            folder = tmp_path / name
            info = {"name": name, "title": f"Title of {name}", "stand_in": name != "mosi"}
            write_table(folder / "stack.parquet", measurement_table(rows, PROBE_COLUMNS), {"dataset": info})
            wanted = [f"{row['stage']}/{row['run']}" for row in rows]
            tabulate_probes([folder / "stack.parquet"], wanted, folder / "probes", folder / "probes_summary")
            paths.append(folder / "probes_summary.parquet")
        tabulate_multibench(paths, tmp_path / "table1", tmp_path / "table4")
        for name in ("table1", "table4"):
            exact = pd.read_parquet(tmp_path / f"{name}.parquet", dtype_backend="numpy_nullable")
            assert exact.to_csv(index=False) == (tmp_path / f"{name}.csv").read_text()
        return pd.read_parquet(tmp_path / "table1.parquet"), pd.read_parquet(tmp_path / "table4.parquet")

    return tabulate


METHOD_ROWS = [f"DisentangledSSL ({kind})" for kind in GROUPS]
REFERENCE_ROWS = [
    "Most common class", "Raw input (x1)", "Raw input (x2)", "Raw input (x1, x2)",
    *(f"Linear CCA ({kind})" for kind in GROUPS),
]  # fmt: skip


def test_table_1_has_the_papers_rows_in_its_order(tables):
    table, _ = tables(mosi=rows_of())
    assert table["row"].tolist() == [
        "CLIP", "FactorCL-emb", "FactorCL-proj", "FOCAL", "JointOpt", *METHOD_ROWS, *REFERENCE_ROWS,
    ]  # fmt: skip
    by_row = table.set_index("row")
    assert by_row.loc[["FOCAL", "JointOpt"], "representation"].tolist() == ["both", "both"]
    widths = [4, 8, 40, 8, 8, 4, 4, 8, None, 3, 5, 8, 4, 4, 8]
    assert [None if pd.isna(width) else width for width in by_row["width"]] == widths


def test_table_4_has_the_parts_of_focal_and_jointopt_too(tables):
    table1, table4 = tables(mosi=rows_of())
    parts = [f"{name} ({kind})" for name in ("FOCAL", "JointOpt") for kind in GROUPS]
    assert table4["row"].tolist() == ["CLIP", "FactorCL-emb", "FactorCL-proj", *parts, *METHOD_ROWS, *REFERENCE_ROWS]
    assert list(table4.columns) == list(table1.columns)


def test_splits_stand_side_by_side_with_mean_std_and_n_of_test(tables):
    table, _ = tables(mosi=rows_of())
    clip = table.iloc[0]
    assert clip["mean"] == pytest.approx(0.55) and clip["std"] == pytest.approx(0.1 / 2**0.5)
    assert clip["validation"] == pytest.approx(0.56) and clip["train"] == pytest.approx(0.57)
    assert (clip["n"], clip["n_diverged"], clip["width"]) == (2, 0, 4)
    raw = table.set_index("row").loc["Raw input (x1, x2)"]
    assert (raw["mean"], raw["n"]) == (0.3, 1) and pd.isna(raw["std"])


def test_the_shared_representation_is_that_of_step_1(tables):
    rows = [*rows_of(), *probed(run("step1", 0, beta=0), 0.4, "shared")]
    table, _ = tables(mosi=rows)
    (shared,) = table[table["row"] == "DisentangledSSL (shared)"].to_dict("records")
    assert (shared["n"], shared["beta"]) == (2, "1") and pd.isna(shared["lam"])
    (line,) = table[table["row"] == "DisentangledSSL (beta = 0) (shared)"]["mean"]
    assert line == 0.4


def test_data_sets_stand_in_their_order_each_with_its_labels(tables):
    label = [row | {"label": "s1"} for row in rows_of()]
    table, _ = tables(mosi=rows_of(), digits=[*rows_of(), *label])
    blocks = table[["dataset", "label", "stand_in"]].drop_duplicates().to_numpy().tolist()
    assert blocks == [["mosi", "c", False], ["digits", "c", True], ["digits", "s1", True]]
    assert len(table) == 3 * 15


def test_settings_of_which_every_seed_diverged_keep_a_line(tables, tmp_path):
    rows = [*rows_of(), *(run("step2", seed, "diverged", beta=1, lam=10) for seed in (0, 1))]
    table, _ = tables(mosi=rows)
    (line,) = table[table["lam"] == 10].to_dict("records")
    assert (line["row"], line["n"], line["n_diverged"]) == ("DisentangledSSL", 0, 2) and pd.isna(line["mean"])
    assert table_info(read_table(tmp_path / "table1.parquet"))["dataset"]["datasets"]["mosi"]["stand_in"] is False
