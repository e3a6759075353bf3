"""Every claim has its row; verdicts on the numbers that the paper prints, and on others; stand-ins apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_up_run import as_printed, compared, write, write_run
from made_up_simulation import simulation

from disentangledssl.paper.claims import COLUMNS, INTERPRETATIONS, THEORY, all_claims, read_results, write_claims
from disentangledssl.paper.verdicts import FAILS, HOLDS, LEVEL, UNTESTABLE, Mean, Missing, leads, mean_of

STAND_INS = ["digits", "consensus"]
METRICS = ("top1", "top5", "top10", "top20", "top30", "mrr")
OTHERS = ("clip", "dmvae", "jointopt", "focal", "disentangledssl_beta0")


def sharp(cell):
    """What the paper prints, with a spread far smaller than any difference."""
    return cell["mean"], None if pd.isna(cell["std"]) else 1e-4, 3


def differences(errors=-3.0, without=(), **at):
    """Other methods less the selected beta; ``at`` has the errors of a metric in place of all others."""
    return pd.DataFrame(
        [
            {"method": method, "other": "disentangledssl", "unit": unit, "metric": metric,
             "difference": 0.01 * np.nan_to_num(at.get(metric, errors)), "errors": at.get(metric, errors)}
            for method in OTHERS if method not in without
            for unit in ("per_profile", "per_molecule") for metric in (*METRICS, "rank", "top_tenth")
        ]
    ).astype({"errors": float})  # fmt: skip


def claims_of(folder, number=sharp, ranked=None, *, simulations=(None, None, None), **run):
    tables = write_run(folder, number, **run)
    results = read_results(*compared(folder, tables, stand_ins=run.get("stand_ins", ())))
    rows = pd.DataFrame(all_claims(list(simulations), results, ranked or {}))
    return rows.set_index(["claim", "data"])


def verdict(claims, claim, data):
    return claims.loc[(claim, data), "verdict"]


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """The paper's numbers, all far beyond their scatter, and two stand-ins; retrieval decided by molecules."""
    ranked = dict.fromkeys(("lincs", "rxrx19a_file"), differences()) | {"consensus": differences(-1.0)}
    return claims_of(tmp_path_factory.mktemp("papers"), ranked=ranked, stand_ins=STAND_INS)


EXPECTED = [
    ("best of all methods", "MIMIC", HOLDS),
    ("best of all methods", "MUSTARD", HOLDS),
    ("better than FOCAL and JointOpt, whichever of their representations", "MOSI", HOLDS),
    ("combining both representations improves in most cases", "the paper's data sets of MultiBench", HOLDS),
    ("MOSI is carried by the shared representation alone", "MOSI", HOLDS),
    ("MUSTARD is carried by the specific representation alone", "MUSTARD", HOLDS),
    ("FOCAL: shared matters more on MOSI, less clearly than for the method", "MOSI", HOLDS),
    ("JointOpt: specific matters more on MUSTARD, less clearly than for the method", "MUSTARD", HOLDS),
    ("best of all methods in retrieval", "LINCS", HOLDS),
    ("beta > 0 retrieves better than beta = 0", "RXRX19a", HOLDS),
    ("the highest reconstruction gain for both modalities", "LINCS", HOLDS),
    ("better than JointOpt in Diff-FD-c and Diff-FD-s", "RXRX19a", HOLDS),
    ("above FOCAL in Diff-FD-s, as the text has it", "LINCS", FAILS),
    ("above FOCAL in Diff-FD-c, which the text may mean", "LINCS", HOLDS),
    ("FOCAL has a high Diff-FD-s and a low Diff-FD-c", "RXRX19a", HOLDS),
    ("high in Diff-FD-c and in Diff-FD-s", "RXRX19a", HOLDS),
    ("best of all methods in prediction and retrieval", "all data sets of Tables 1 and 2", HOLDS),
]


@pytest.mark.parametrize(("claim", "data", "expected"), EXPECTED)
def test_verdicts_on_what_the_paper_prints(papers, claim, data, expected):
    row = papers.loc[(claim, data)]
    assert row["verdict"] == expected, row["measured"]
    assert row["papers_data"] and row["our_dataset"] and row["criterion"]


def test_verdicts_on_a_stand_in_are_rows_of_their_own(papers):
    others = papers[~papers["papers_data"] & (papers["our_dataset"].notna())].reset_index()
    assert set(others["data"]) == {"stand-in digits", "stand-in consensus"}
    assert verdict(papers, "best of all methods in retrieval", "stand-in consensus") == LEVEL
    assert verdict(papers, "best of all methods in retrieval", "LINCS") == HOLDS
    # The claim about all data sets is not about these.
    assert "holds on 7" in papers.loc["best of all methods in prediction and retrieval"]["measured"].iloc[0]


def test_stand_ins_alone_decide_nothing_about_the_papers_data(tmp_path):
    ranked = {"consensus": differences()}
    claims = claims_of(tmp_path, ranked=ranked, datasets=[], stand_ins=STAND_INS)
    assert set(claims.loc[claims["papers_data"], "verdict"]) == {UNTESTABLE}
    assert verdict(claims, "best of all methods in retrieval", "stand-in consensus") == HOLDS
    assert verdict(claims, "best of all methods", "stand-in digits") == HOLDS


def test_no_claim_is_dropped_when_nothing_was_run(papers, tmp_path):
    nothing = claims_of(tmp_path, datasets=[])
    assert set(nothing["verdict"]) == {UNTESTABLE} and nothing["measured"].str.len().gt(0).all()
    on_papers = papers[papers["papers_data"]]
    assert set(nothing[nothing["papers_data"]].index) == set(on_papers.index)
    assert {(claim, "") for _, claim, _ in (*THEORY, *INTERPRETATIONS)} <= set(nothing.index)
    assert nothing.index.is_unique


# Thresholds


def test_a_lead_counts_beyond_two_standard_errors():
    one, other = Mean(60.0, 0.3, 3), Mean(59.42, 0.4, 3)  # 2 sqrt((0.3^2 + 0.4^2) / 3) = 0.577
    assert leads(one, other) == ("+0.58 ± 0.29", HOLDS)
    assert leads(one, other._replace(value=59.43))[1] == leads(other._replace(value=59.43), one)[1] == LEVEL
    assert leads(other, one)[1] == FAILS
    with pytest.raises(Missing, match="fewer than two seeds"):
        leads(one, Mean(50.0, float("nan"), 1))
    with pytest.raises(Missing, match="no CLIP in Table 1"):
        mean_of({(1, "FOCAL", "mrr"): one}, 1, "CLIP", "mrr")


def test_the_papers_own_spreads_leave_few_leads(tmp_path):
    """By its printed standard deviations only MOSEI has a lead beyond two standard errors; none is a reversal."""
    claims = claims_of(tmp_path, as_printed)
    found = claims.loc["best of all methods"]["verdict"]
    assert found[found == HOLDS].index.tolist() == ["MOSEI"]
    assert set(found) == {HOLDS, LEVEL}


def test_one_seed_decides_no_means_but_retrieval(tmp_path):
    claims = claims_of(tmp_path, lambda cell: (cell["mean"], None, 1), {"lincs": differences()})
    assert set(claims.loc["best of all methods"]["verdict"]) == {UNTESTABLE}
    assert claims.loc[("best of all methods", "MIMIC"), "measured"].endswith(
        "fewer than two seeds, so no standard error"
    )
    assert verdict(claims, "best of all methods in retrieval", "LINCS") == HOLDS


@pytest.mark.parametrize(
    ("ranked", "expected"),
    [
        (differences(-2.01), HOLDS),
        (differences(-2.0), LEVEL),
        (differences(top30=-1.0), LEVEL),
        (differences(top30=2.0), LEVEL),
        (differences(top30=2.01), FAILS),
        (differences(rank=5.0, top_tenth=5.0), HOLDS),  # not of Table 2
        (differences(top30=np.nan), HOLDS),  # all molecules are found
        (differences(np.nan), UNTESTABLE),
        (differences(without=["focal"]), UNTESTABLE),
    ],
)
def test_retrieval_is_decided_in_every_metric_of_table_2(tmp_path, ranked, expected):
    claims = claims_of(tmp_path, ranked={"lincs": ranked}, datasets=["LINCS"])
    assert verdict(claims, "best of all methods in retrieval", "LINCS") == expected


def test_a_baseline_that_ties_is_not_behind(tmp_path):
    """A tie counts in every metric in which any method differs."""
    ranked = differences()
    ranked.loc[ranked["method"] == "clip", ["difference", "errors"]] = [0.0, np.nan]
    claims = claims_of(tmp_path, ranked={"lincs": ranked}, datasets=["LINCS"])
    row = claims.loc[("best of all methods in retrieval", "LINCS")]
    assert row["verdict"] == LEVEL and row["measured"].startswith("18 of 24 differences"), row["measured"]
    assert verdict(claims, "beta > 0 retrieves better than beta = 0", "LINCS") == HOLDS


def test_a_selected_beta_of_zero_is_said(tmp_path):
    ranked = differences()
    ranked.loc[ranked["method"] == "disentangledssl_beta0", ["difference", "errors"]] = [0.0, np.nan]
    claims = claims_of(tmp_path, ranked={"lincs": ranked}, datasets=["LINCS"])
    row = claims.loc[("beta > 0 retrieves better than beta = 0", "LINCS")]
    assert (row["verdict"], row["measured"]) == (UNTESTABLE, "the selected beta is 0")
    assert verdict(claims, "best of all methods in retrieval", "LINCS") == HOLDS


def test_most_cases_are_decided_as_soon_as_they_can_be(tmp_path):
    """Of the paper's five data sets MIMIC, MOSEI and UR-FUNNY gain by both; three are most."""
    claim, data = "combining both representations improves in most cases", "the paper's data sets of MultiBench"
    for names, expected in ((["MIMIC", "MOSEI"], UNTESTABLE), (["MIMIC", "MOSEI", "UR-FUNNY"], HOLDS)):
        assert verdict(claims_of(tmp_path / str(len(names)), datasets=names), claim, data) == expected

    def worse(cell):
        mean, std, n = sharp(cell)
        return mean - 20 * cell["method"].endswith("(both)"), std, n

    assert verdict(claims_of(tmp_path / "worse", worse, datasets=["MIMIC", "MOSEI", "MOSI"]), claim, data) == FAILS


def test_combining_and_carrying_are_told_from_scatter(tmp_path):
    """By the printed spreads MIMIC and MOSEI gain, MUSTARD loses, and the two others are level."""
    claims = claims_of(tmp_path, as_printed, stand_ins=["digits"])
    most = claims.loc["combining both representations improves in most cases"].iloc[0]
    assert most["verdict"] == LEVEL
    assert most["measured"] == "holds on MIMIC, MOSEI; level on MOSI, UR-FUNNY; does not hold on MUSTARD"
    assert verdict(claims, "combining both representations improves", "stand-in digits") == HOLDS
    # 62.10 (0.44) and 61.61 (1.27); the method's lead is 13.46, its standard error 0.63.
    alike = claims.loc[("FOCAL: shared matters more on MOSI, less clearly than for the method", "MOSI")]
    assert alike["verdict"] == LEVEL
    assert alike["measured"] == (
        "shared less specific: FOCAL +0.49 ± 0.78, DISENTANGLEDSSL +13.5 ± 0.63, more by +13 ± 1"
    )


@pytest.mark.parametrize(("std", "expected"), [(2.0, HOLDS), (2.1, LEVEL)])
def test_less_clearly_is_by_more_than_two_standard_errors(tmp_path, std, expected):
    """JointOpt leads by 11.13 and the method by 13.46: 2.33 more, by four accuracies of 3 seeds, 1 / 1.1547 of std."""
    claims = claims_of(tmp_path, lambda cell: (cell["mean"], std / 2, 3), datasets=["MOSI"])
    assert (
        verdict(claims, "JointOpt: shared matters more on MOSI, less clearly than for the method", "MOSI") == expected
    )


@pytest.mark.parametrize(
    ("left_out", "expected"),
    [
        ("MUSTARD", UNTESTABLE),  # two improve and two are level: it may make three that improve
        ("MOSEI", LEVEL),  # one improves, two are level, one does not: whatever it is
    ],
)
def test_most_cases_may_be_level(tmp_path, left_out, expected):
    names = [name for name in ("MIMIC", "MOSEI", "MOSI", "UR-FUNNY", "MUSTARD") if name != left_out]
    claims = claims_of(tmp_path, as_printed, datasets=names)
    data = "the paper's data sets of MultiBench"
    assert verdict(claims, "combining both representations improves in most cases", data) == expected


def test_one_data_set_that_fails_decides_the_claim_about_all(tmp_path):
    claim = "best of all methods in prediction and retrieval"
    alone = claims_of(tmp_path / "a", datasets=["MOSI"])
    assert alone.loc[claim]["verdict"].tolist() == [UNTESTABLE]
    failing = claims_of(tmp_path / "b", ranked={"lincs": differences(3.0)}, datasets=["LINCS"])
    assert failing.loc[claim]["verdict"].tolist() == [FAILS]


def test_what_is_said_of_synthetic_data_too_counts_their_curves(papers, tmp_path):
    """Four claims about all baselines in Figures 4b, 7 and 8 beside the seven about tables."""
    claim, data = "best of all methods on synthetic and on real data", "the simulation, all data sets of Tables 1 and 2"
    assert verdict(papers, claim, data) == UNTESTABLE  # without the simulation
    ranked = dict.fromkeys(("lincs", "rxrx19a_file"), differences())
    both = claims_of(tmp_path / "a", ranked=ranked, simulations=(simulation(), None, None)).loc[(claim, data)]
    assert both["verdict"] == HOLDS and both["measured"].startswith("holds on 11"), both
    assert both["our_dataset"].split(", ")[0] == "made_up" and both["our_dataset"].count("made_up") == 1
    # Curves of FOCAL's that nothing covers.
    above = simulation(zc_of={"focal": {0.01: (0.6, 0.9, 0.6), 1: (0.6, 0.8, 0.6)}})
    claims = claims_of(tmp_path / "b", ranked=ranked, simulations=(above, None, None))
    assert verdict(claims, claim, data) == FAILS
    assert claims.loc["best of all methods in prediction and retrieval"]["verdict"].tolist() == [HOLDS]


@pytest.mark.parametrize(
    ("c", "s", "expected"),
    [
        # FOCAL has 15.30 and 22.89, JointOpt 20.34 and 9.40; two errors of a difference are 0.00016.
        (15.3002, 9.4002, HOLDS),
        (15.3001, 30.0, LEVEL),
        (30.0, 9.3, FAILS),
    ],
)
def test_high_in_both_distances_is_above_the_lower_baseline(tmp_path, c, s, expected):
    def number(cell):
        own = cell["method"] == "DISENTANGLEDSSL" and {"diff_fd_c": c, "diff_fd_s": s}.get(cell["metric"])
        return own or cell["mean"], 1e-4, 3

    claims = claims_of(tmp_path, number, datasets=["RXRX19a"])
    assert verdict(claims, "high in Diff-FD-c and in Diff-FD-s", "RXRX19a") == expected


def test_distances_below_zero_are_not_high(tmp_path):
    """The right batch makes it worse, if by less than for the others."""
    claims = claims_of(tmp_path, lambda cell: (cell["mean"] - 30, 1e-4, 3), datasets=["RXRX19a"])
    assert verdict(claims, "high in Diff-FD-c and in Diff-FD-s", "RXRX19a") == FAILS
    assert verdict(claims, "better than JointOpt in Diff-FD-c and Diff-FD-s", "RXRX19a") == HOLDS


def test_the_files(tmp_path):
    compared(tmp_path, write_run(tmp_path, sharp, datasets=["LINCS"]))
    ranked = {"lincs": write(tmp_path / "differences.parquet", differences().to_dict("records"))}
    write_claims(
        None, None, None, tmp_path / "comparison.parquet", tmp_path / "other_data.parquet", ranked,
        {"lincs": "epochs 1 (full run: 50)"}, [], tmp_path / "claims",
    )  # fmt: skip
    rows = pd.read_csv(tmp_path / "claims.csv", keep_default_na=False)
    assert list(rows) == COLUMNS and not rows.duplicated(["claim", "data"]).any()
    of_lincs = rows[rows["our_dataset"] == "lincs"]
    assert set(of_lincs["departures"]) == {"epochs 1 (full run: 50)"} and HOLDS in set(of_lincs["verdict"])
    assert len(pd.read_parquet(tmp_path / "claims.parquet")) == len(rows)


@pytest.mark.parametrize("changed", [[], ["small"]])
def test_a_simulation_drawn_otherwise_is_not_the_papers(tmp_path, changed):
    compared(tmp_path, write_run(tmp_path, datasets=[]))
    row = {"dataset": "small", "method": "disentangledssl", "stage": "step1", "beta": "1", "beta_value": 1.0, "a": 1.0,
           "lam": 1.0, "representation": "zc", "label": "c", "metric": "accuracy", "mean": 0.7, "std": 0.1,
           "n": 3}  # fmt: skip
    summary = write(tmp_path / "small.parquet", [row])
    write_claims(
        summary, None, None, tmp_path / "comparison.parquet", tmp_path / "other_data.parquet", {},
        {"small": "data.n 9 (full run: 90)"}, changed, tmp_path / "claims",
    )  # fmt: skip
    rows = pd.read_parquet(tmp_path / "claims.parquet")
    small = rows["our_dataset"] == "small"
    assert small.sum() > 10 and set(rows.loc[small, "papers_data"]) == {not changed}
    assert set(rows.loc[~small & (rows["data"] != "simulation, noisy (ours)"), "papers_data"]) == {True}
