"""The paper against itself: bounds computed by hand and by brute force, and what its own tables say of its text."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_up_run import PAPER

from disentangledssl.paper.consistency import COLUMNS, INCONSISTENT, check_paper, consistency, exceeds_bound, mrr_bounds
from disentangledssl.paper.published import read_published


@pytest.fixture(scope="module")
def paper():
    return read_published(PAPER)


@pytest.fixture(scope="module")
def checks(paper):
    return consistency(paper)


def of(checks, check):
    return checks[checks["check"] == check].set_index(["dataset", "method", "metric"])


# The bound


def test_the_bound_by_hand():
    """Half at rank 1, a quarter at 2 or 3, the rest at 4 to 10."""
    low, high = mrr_bounds([0.5, 0.75], candidates=10, top=[1, 3])
    assert high == pytest.approx(0.5 + 0.25 / 2 + 0.25 / 4)
    assert low == pytest.approx(0.5 + 0.25 / 3 + 0.25 / 10)


def test_all_first_and_all_last():
    assert mrr_bounds([1.0] * 5, candidates=100) == (1.0, 1.0)
    low, high = mrr_bounds([0.0] * 5, candidates=100)
    assert (low, high) == (pytest.approx(1 / 100), pytest.approx(1 / 31))


@pytest.mark.parametrize("seed", range(20))
def test_every_ranking_lies_within_its_own_bounds(seed):
    rng = np.random.default_rng(seed)
    ranks = np.ceil(333 * rng.beta(0.3, 2, size=500))
    shares = [np.mean(ranks <= n) for n in (1, 5, 10, 20, 30)]
    low, high = mrr_bounds(shares, candidates=333)
    assert low - 1e-12 <= np.mean(1 / ranks) <= high + 1e-12


@pytest.mark.parametrize(("dataset", "bound", "printed"), [("RXRX19a", 0.106, 0.111), ("LINCS", 0.121, 0.163)])
def test_mrr_of_the_method_exceeds_what_its_top_n_cells_allow(checks, dataset, bound, printed):
    row = of(checks, "mrr_bound").loc[dataset, "DISENTANGLEDSSL", "mrr"]
    assert round(row["against"], 3) == bound and row["printed"] == printed


def test_all_twelve_mrr_cells_exceed_their_bound(paper, checks):
    rows = of(checks, "mrr_bound")
    assert len(rows) == 12 and set(rows["verdict"]) == {INCONSISTENT}
    assert (rows["printed"] - rows["against"] > 9 * rows["slack"]).all(), "by far more than rounding"
    assert len(exceeds_bound(paper)) == 12


def test_mrr_within_its_bound_is_consistent(paper):
    """At the bound and half a digit above it; one digit more is too much."""
    cells = paper.cells.copy()
    one = (
        (cells["table"] == 2) & (cells["dataset"] == "LINCS") & (cells["method"] == "CLIP") & (cells["metric"] == "mrr")
    )
    for mean, exceeds in ((0.113, False), (0.1136, False), (0.1138, True)):
        cells.loc[one, "mean"] = mean
        assert ((2, "LINCS", "CLIP", "mrr") in exceeds_bound(paper._replace(cells=cells))) == exceeds


def test_random_is_n_of_a_fifth_of_the_drugs(checks):
    rows = of(checks, "random_row")
    assert len(rows) == 10 and set(rows["verdict"]) == {"consistent"}
    assert rows.loc["LINCS", "Random", "top10_percent"]["note"] == "10 of 663 molecules"
    assert rows.loc["RXRX19a", "Random", "top10_percent"]["note"] == "10 of 333 molecules"


# Statements


def test_what_the_papers_own_tables_contradict(checks):
    wrong = checks[(checks["verdict"] == INCONSISTENT) & (checks["check"] != "mrr_bound")]
    assert wrong[["check", "dataset", "metric"]].to_numpy().tolist() == [
        ["best_in_column", "LINCS", "top1_percent"],
        ["above_focal", "RXRX19a", "diff_fd_s"],
        ["above_focal", "LINCS", "diff_fd_s"],
        ["profiles_per_drug", "LINCS", "profiles"],
    ]
    first = wrong.iloc[0]
    assert (first["printed"], first["against"], first["note"]) == (4.48, 4.67, "against JointOpt")


def test_a_lead_in_standard_errors_of_three_seeds(checks):
    row = checks[(checks["check"] == "best_in_column") & (checks["table"] == 1) & (checks["dataset"] == "MIMIC")].iloc[
        0
    ]
    assert (row["printed"], row["against"]) == (66.44, 66.11)
    assert row["errors"] == pytest.approx((66.44 - 66.11) / np.sqrt((0.31**2 + 0.64**2) / 3))
    assert row["note"] == "against JointOpt, a lead within two standard errors"


def test_of_table_1_one_lead_of_five_is_beyond_two_standard_errors(checks):
    rows = checks[(checks["check"] == "best_in_column") & (checks["table"] == 1)]
    assert set(rows["verdict"]) == {"consistent"}
    assert rows.loc[rows["errors"] > 2, "dataset"].tolist() == ["MOSEI"]


def test_every_cell_of_a_column_counts_for_the_best(paper):
    """A baseline's cell is raised: the statement about its column fails, and no other changes."""
    cells = paper.cells.copy()
    one = (cells["table"] == 3) & (cells["dataset"] == "LINCS") & (cells["method"] == "DMVAE")
    cells.loc[one & (cells["metric"] == "rg_molecule"), "mean"] = 0.2
    before, after = consistency(paper), consistency(paper._replace(cells=cells))
    changed = before.loc[before["verdict"] != after["verdict"], ["check", "table", "dataset", "metric"]]
    assert changed.to_numpy().tolist() == [["best_in_column", 3, "LINCS", "rg_molecule"]]


def test_a_cell_that_differs_between_tables_1_and_4_is_found(paper):
    cells = paper.cells.copy()
    one = (cells["table"] == 4) & (cells["dataset"] == "MOSI") & (cells["method"] == "FOCAL (both)")
    cells.loc[one, "std"] = 1.0
    rows = consistency(paper._replace(cells=cells))
    row = rows[(rows["check"] == "same_in_tables_1_and_4") & (rows["method"] == "FOCAL")].iloc[0]
    assert (row["verdict"], row["note"]) == (INCONSISTENT, "4 of 5 cells are those of FOCAL (both)")


def test_the_files(tmp_path, checks):
    check_paper(PAPER, tmp_path / "consistency")
    rows = pd.read_csv(tmp_path / "consistency.csv")
    assert list(rows) == COLUMNS and len(rows) == len(checks)
    assert len(pd.read_parquet(tmp_path / "consistency.parquet")) == len(checks)
