"""Tables 1 and 4 of the paper: accuracies of all methods on all data sets of MultiBench that are run.

A row is a data set, label, method, representation and setting: test accuracy (a share) as mean, std and n over seeds,
mean accuracy on validation and training pairs, and the width of the probed vector. ``row`` is the paper's, but for its
capitals.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from disentangledssl.files import read_table, table_info
from disentangledssl.tables.layout import write_tables

METHODS = ("clip", "factorcl", "focal", "jointopt", "dmvae", "disentangledssl_beta0", "disentangledssl")
REFERENCES = ("majority", "raw", "raw_mean", "linear_cca", "linear_cca_mean")
WHOLE = ("focal", "jointopt", "dmvae")  # of which Table 1 has both representations together alone
REPRESENTATIONS = ("shared", "specific", "both", "emb", "proj", "x1", "x2", "x")
SETTINGS = ["beta", "beta_value", "a", "lam"]
ROW = ["dataset", "title", "stand_in", "method", "method_label", "stage", *SETTINGS]
MEANS = {"validation_accuracy": "validation", "train_accuracy": "train"}
COLUMNS = ["dataset", "title", "stand_in", "method", "method_label", "row", *SETTINGS, "representation", "width",
           "label", "mean", "std", "n", "n_diverged", "validation", "train"]  # fmt: skip


def tabulate_multibench(summaries: Sequence[Path], table1: Path, table4: Path) -> None:
    """Write both tables.

    Parameters
    ----------
    summaries : sequence of path
        ``probes_summary.parquet`` of the data sets, in the order in which they are to stand.
    table1, table4 : path
        Without ending; each is written as Parquet and CSV. Table 1 has FOCAL and JointOpt by both representations
        together only, and calls them by the method's name.
    """
    tables = [read_table(path) for path in summaries]
    info = {"datasets": {table_info(one)["dataset"]["name"]: table_info(one)["dataset"] for one in tables}}
    rows = pd.concat([_rows_of(table.to_pandas()) for table in tables], ignore_index=True)
    rows = rows.astype({"width": "Int64"})
    write_tables(table4, _named(rows, short=False), info)
    whole = ~rows["method"].isin(WHOLE) | ~rows["representation"].isin(["shared", "specific"])
    write_tables(table1, _named(rows[whole], short=True), info)


def _rows_of(summary: pd.DataFrame) -> pd.DataFrame:
    """Lay out one data set: a line a row, splits side by side, in the order of the paper."""
    keys = [*ROW, "label", "representation", "width"]
    test = summary[(summary["metric"] == "accuracy") | summary["metric"].isna()]
    for metric, name in MEANS.items():
        one = summary[summary["metric"] == metric].rename(columns={"mean": name})
        test = test.merge(one[[*keys, name]], on=keys, how="left")
    places = {name: place for place, name in enumerate([*METHODS, *REFERENCES])}
    kinds = {name: place for place, name in enumerate(REPRESENTATIONS)}
    order = pd.DataFrame(
        {
            "label": test["label"],
            "place": test["method"].map(places),
            **{name: test[name] for name in ("beta_value", "a", "lam")},
            "kind": test["representation"].map(kinds),
        }
    )
    return test.loc[order.sort_values(list(order.columns), kind="stable", na_position="first").index]


def _named(rows: pd.DataFrame, *, short: bool) -> pd.DataFrame:
    named = [_row_name(*one, short=short) for one in rows[["method", "method_label", "representation"]].to_numpy()]
    return rows.assign(row=named)[COLUMNS]


def _row_name(method: str, label: str, representation: str | None, *, short: bool) -> str:
    if not isinstance(representation, str) or method == "clip":
        return label
    if method == "factorcl":
        return f"{label}-{representation}"
    if short and method in WHOLE:
        return label
    return f"{label} ({'x1, x2' if representation == 'x' else representation})"
