"""Every cell of the paper once; verdicts on made-up numbers; nothing of a stand-in beside a number of the paper."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
from made_up_run import DATASETS, PAPER, as_printed, compared, write_run

from disentangledssl.paper.comparison import (
    CELL,
    COMPARISON,
    HIGHER,
    INCONSISTENT,
    LOWER,
    NOT_RUN,
    OTHER,
    UNDECIDED,
    WITHIN,
    decide,
)

CELLS = 210


def printed():
    """The cells as the files hold them, read by other means than the package's."""
    for table in range(1, 6):
        with (PAPER / f"table{table}.csv").open() as lines:
            for row in csv.DictReader(lines):
                yield (table, row["dataset"], row["method"], row["metric"]), row


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """A run on all data of the paper that gives what it prints, and on two stand-ins."""
    folder, stand_ins = tmp_path_factory.mktemp("reproduced"), ["digits", "consensus"]
    return compared(folder, write_run(folder, stand_ins=stand_ins), stand_ins=stand_ins, departures={"mosi": "less"})


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nothing")
    return compared(folder, write_run(folder, datasets=[]))


def by_cell(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.set_index(CELL)


@pytest.mark.parametrize("run", ["reproduced", "nothing"])
def test_every_cell_of_the_paper_is_there_once(run, request):
    rows, _ = request.getfixturevalue(run)
    expected = dict(printed())
    assert len(rows) == CELLS == len(expected)
    assert list(rows) == COMPARISON
    found = list(rows[CELL].itertuples(index=False, name=None))
    assert found == list(expected), "each once, in the order of the paper"
    for cell, row in zip(found, rows.to_dict("records"), strict=True):
        assert row["paper_mean"] == float(expected[cell]["mean"])
        assert (
            (expected[cell]["std"] == "")
            if np.isnan(row["paper_std"])
            else row["paper_std"] == float(expected[cell]["std"])
        )
    assert set(rows["verdict"]) <= {WITHIN, HIGHER, LOWER, UNDECIDED, NOT_RUN, INCONSISTENT}


def test_what_was_not_run_says_so_and_why(nothing):
    rows, others = nothing
    mrr = rows["metric"] == "mrr"
    assert mrr.sum() == 12 and set(rows.loc[mrr, "verdict"]) == {INCONSISTENT}
    assert set(rows.loc[~mrr, "verdict"]) == {NOT_RUN} == set(rows.loc[~mrr, "verdict_at_1"])
    assert rows["reason"].str.contains("not among the data sets").all()
    assert rows[["mean", "n", "our_dataset", "difference"]].isna().all().all() and others.empty


def test_the_papers_own_numbers_are_within_uncertainty_in_its_units(reproduced):
    rows, _ = reproduced
    kept = rows[rows["metric"] != "mrr"]
    assert set(kept["verdict"]) == set(kept["verdict_at_1"]) == {WITHIN}
    assert np.allclose(rows["mean"], rows["paper_mean"]) and np.allclose(rows["difference"], 0)
    assert rows["our_dataset"].tolist() == [DATASETS[name] for name in rows["dataset"]]
    assert (rows["departures"] == "less").tolist() == (rows["dataset"] == "MOSI").tolist()


def test_mrr_has_our_number_and_no_verdict_but_that_it_is_inconsistent(reproduced):
    rows, _ = reproduced
    mrr = rows[rows["metric"] == "mrr"]
    assert set(mrr["verdict"]) == set(mrr["verdict_at_3"]) == {INCONSISTENT}
    assert mrr["mean"].notna().all() and mrr["uncertainty"].gt(0).all()
    assert mrr["reason"].str.contains("above the bound").all()


def test_rounding_is_half_a_unit_of_the_last_digit(reproduced):
    rounding = by_cell(reproduced[0])["rounding"]
    assert rounding[1, "MIMIC", "CLIP", "accuracy_percent"] == pytest.approx(0.005)
    assert rounding[2, "LINCS", "CLIP", "mrr"] == pytest.approx(0.0005)


def test_the_setting_is_the_papers_for_the_data_set(reproduced):
    setting = by_cell(reproduced[0])["setting"]
    own, probed = "DISENTANGLEDSSL", "probed width 600, validation 61.00, training 70.00"
    assert setting[1, "MOSI", f"{own} (both)", "accuracy_percent"] == f"beta 0.01, lam 0.001; {probed}"
    assert setting[1, "MIMIC", f"{own} (both)", "accuracy_percent"] == f"beta 1, lam 0.001; {probed}"
    of_test = "per_profile, 333 molecules, 2000 profiles of test"
    assert setting[2, "RXRX19a", own, "top1_percent"] == f"beta 5; {of_test}"
    assert setting[2, "LINCS", own, "top1_percent"] == f"beta 1; {of_test}"
    assert setting[2, "LINCS", f"{own} (beta=0)", "mrr"] == f"beta 0; {of_test}"
    assert setting[3, "LINCS", "JointOpt", "rg_molecule"].startswith("a 1, lam 0.01; gain over the better")


# One cell


@pytest.mark.parametrize(
    ("mean", "at_1", "at_2", "at_3"),
    [
        # sqrt(0.3^2 / 3 + 0.4^2 / 3) = 0.2887, rounding 0.005.
        (60.29, WITHIN, WITHIN, WITHIN),
        (60.30, HIGHER, WITHIN, WITHIN),
        (60.58, HIGHER, WITHIN, WITHIN),
        (60.59, HIGHER, HIGHER, WITHIN),
        (60.88, HIGHER, HIGHER, HIGHER),
        (59.70, LOWER, WITHIN, WITHIN),
        (59.41, LOWER, LOWER, WITHIN),
        (59.12, LOWER, LOWER, LOWER),
    ],
)
def test_the_verdict_moves_with_the_tolerance(mean, at_1, at_2, at_3):
    found = decide(mean, 0.3, 3, 60.0, 0.4, 3, rounding=0.005)
    assert (found["verdict_at_1"], found["verdict"], found["verdict_at_3"]) == (at_1, at_2, at_3)
    assert found["difference"] == pytest.approx(mean - 60) and found["uncertainty"] == pytest.approx(0.28868, abs=1e-4)
    assert found["errors"] == pytest.approx((abs(mean - 60) - 0.005) / 0.28868, abs=1e-3)


def test_more_seeds_of_ours_make_the_verdict_sharper():
    few, many = (decide(61.0, 1.0, n, 60.0, 0.1, 3, rounding=0.005)["verdict"] for n in (3, 30))
    assert (few, many) == (WITHIN, HIGHER)


def test_one_seed_has_no_uncertainty_and_no_verdict():
    for std in (None, float("nan")):
        found = decide(61.0, std, 1, 60.0, 0.1, 3, rounding=0.005)
        assert found["verdict"] == found["verdict_at_3"] == UNDECIDED and found["difference"] == 1.0
        assert "one seed" in found["reason"] and "uncertainty" not in found


@pytest.mark.parametrize(("mean", "expected"), [(0.30, WITHIN), (0.305, WITHIN), (0.3051, HIGHER), (0.29, LOWER)])
def test_a_number_without_spread_is_exact_up_to_its_rounding(mean, expected):
    found = decide(mean, None, 1, 0.30, float("nan"), 3, rounding=0.005)
    assert found["verdict"] == found["verdict_at_1"] == expected and found["errors"] is None


def test_a_printed_spread_of_zero_does_not_make_a_rounded_number_exact():
    """All seeds at 75 of 138: the paper prints 54.35 (0.00)."""
    assert decide(100 * 75 / 138, 0.0, 3, 54.35, 0.0, 3, rounding=0.005)["verdict"] == WITHIN
    assert decide(100 * 76 / 138, 0.0, 3, 54.35, 0.0, 3, rounding=0.005)["verdict"] == HIGHER


@pytest.mark.parametrize(("mean", "n", "expected"), [(None, None, NOT_RUN), (float("nan"), 0, UNDECIDED)])
def test_no_number_has_no_verdict(mean, n, expected):
    assert decide(mean, None, n, 60.0, 0.1, 3, rounding=0.005) == dict.fromkeys(
        ("verdict_at_1", "verdict", "verdict_at_3"), expected
    )


# Parts of a run


def test_one_seed_in_all_tables(tmp_path):
    rows, _ = compared(tmp_path, write_run(tmp_path, lambda cell: (cell["mean"], None, 1)))
    kept = rows[(rows["metric"] != "mrr") & (rows["method"] != "Random")]
    assert set(kept["verdict"]) == {UNDECIDED} and kept["difference"].notna().all()
    assert set(rows.loc[rows["method"] == "Random", "verdict"]) == {WITHIN}


def test_a_data_set_and_a_method_that_were_not_run(tmp_path):
    tables = write_run(tmp_path, datasets=["MOSI", "LINCS"], without=["FOCAL"])
    rows = by_cell(compared(tmp_path, tables)[0])
    cell = rows.loc[1, "MOSI", "FOCAL", "accuracy_percent"]
    assert (cell["verdict"], cell["reason"]) == (NOT_RUN, "FOCAL is not trained on mosi by this config")
    assert rows.loc[4, "MOSI", "FOCAL (shared)", "accuracy_percent"]["verdict"] == NOT_RUN
    assert rows.loc[3, "LINCS", "FOCAL", "rg_molecule"]["reason"] == "FOCAL is not trained on lincs by this config"
    assert rows.loc[3, "RXRX19a", "FOCAL", "rg_molecule"]["reason"] == "not among the data sets"
    assert rows.loc[1, "MOSI", "CLIP", "accuracy_percent"]["verdict"] == WITHIN


def test_another_setting_than_the_papers_is_not_compared(tmp_path):
    def other(row):
        return row | ({"lam": 0.5} if row["method"] == "jointopt" else {})

    rows = by_cell(compared(tmp_path, write_run(tmp_path, edit=other))[0])
    cell = rows.loc[1, "MOSI", "JointOpt", "accuracy_percent"]
    assert (cell["verdict"], cell["reason"]) == (NOT_RUN, "mosi has no run of it at a 1, lam 0.001")


def test_the_familys_beta_does_not_stand_in_for_a_data_sets_own(tmp_path):
    """The paper has beta 0.01 on MOSI, 1 on the others."""

    def familys(row):
        return row | ({"beta": "1"} if row["dataset"] == "mosi" and row["beta"] == "0.01" else {})

    cell = by_cell(compared(tmp_path, write_run(tmp_path, edit=familys, datasets=["MOSI"]))[0]).loc[
        1, "MOSI", "DISENTANGLEDSSL (both)", "accuracy_percent"
    ]
    assert (cell["verdict"], cell["reason"]) == (NOT_RUN, "mosi has no run of it at beta 0.01, lam 0.001")


def test_the_selected_beta_stands_in_where_the_papers_was_not_run(tmp_path):
    def selected(row):
        return row | ({"beta": "selected"} if row["beta"] in ("1", "5") and "label" not in row else {})

    rows = by_cell(compared(tmp_path, write_run(tmp_path, edit=selected))[0])
    setting, reason = rows["setting"], rows["reason"]
    why = "at the selected beta: lincs has no run at beta 1, lam 0.01, the paper's"
    assert reason[2, "LINCS", "DISENTANGLEDSSL", "top1_percent"] == why
    assert setting[2, "LINCS", "DISENTANGLEDSSL", "mrr"].startswith("beta selected; ")
    assert setting[3, "LINCS", "DISENTANGLEDSSL", "rg_molecule"].startswith("beta selected, lam 0.01; ")


def test_a_setting_of_which_every_seed_diverged(tmp_path):
    def diverged(row):
        if row["method"] != "jointopt":
            return row
        lost = {"mean": None, "std": None, "n": 0, "n_diverged": 3}
        # As the tables have it: no representation in its name, no metric.
        return row | lost | ({"row": "JointOpt"} if "row" in row else {"metric": None, "unit": None, "target": None})

    rows = by_cell(compared(tmp_path, write_run(tmp_path, edit=diverged))[0])
    for cell in ((1, "MOSI", "JointOpt", "accuracy_percent"), (4, "MOSI", "JointOpt (shared)", "accuracy_percent"),
                 (2, "LINCS", "JointOpt", "top1_percent"), (5, "LINCS", "JointOpt", "diff_fd_c")):  # fmt: skip
        assert (rows.loc[cell]["verdict"], rows.loc[cell]["reason"]) == (UNDECIDED, "all 3 seeds diverged"), cell
    assert rows.loc[2, "LINCS", "JointOpt", "mrr"]["verdict"] == INCONSISTENT


# Stand-ins


def test_stand_ins_are_never_beside_a_number_of_the_paper(tmp_path):
    stand_ins = ["digits", "consensus"]
    rows, others = compared(tmp_path, write_run(tmp_path, datasets=[], stand_ins=stand_ins), stand_ins=stand_ins)
    assert rows["mean"].isna().all() and rows["our_dataset"].isna().all()
    assert set(rows["verdict"]) == {NOT_RUN, INCONSISTENT}
    assert list(others) == OTHER and not [name for name in others if "paper" in name]
    assert others["stand_in"].all() and set(others["reason"]) == {"stands in for the paper's data"}
    # All that their tables have, each once: 8 + 12 rows of MultiBench; of a screen 41, 8 and 6, less those of the
    # method, whose made-up run has beta 1 and not the selected one.
    assert others.groupby(["dataset", "table"]).size().to_dict() == {
        ("digits", 1): 8, ("digits", 4): 12, ("consensus", 2): 35, ("consensus", 3): 6, ("consensus", 5): 4,
    }  # fmt: skip


def test_a_stand_in_is_listed_at_the_familys_setting(reproduced):
    """The paper's own beta of LINCS is not that of its stand-in, for which validation chooses."""
    _, others = reproduced
    of_consensus = others[(others["dataset"] == "consensus") & (others["method"] == "DISENTANGLEDSSL")]
    # The made-up run has beta 1 alone.
    assert of_consensus.empty
    digits = others[(others["dataset"] == "digits") & (others["method"] == "DISENTANGLEDSSL (both)")]
    assert set(digits["setting"]) == {"beta 1, lam 0.001; probed width 600, validation 61.00, training 70.00"}


def test_csv_and_parquet_hold_the_same(tmp_path):
    rows, _ = compared(tmp_path, write_run(tmp_path, as_printed, datasets=["MOSI"]))
    as_text = pd.read_csv(tmp_path / "comparison.csv")
    assert len(as_text) == CELLS and list(as_text) == list(rows)
    assert as_text["verdict"].tolist() == rows["verdict"].tolist()
