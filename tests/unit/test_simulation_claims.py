"""Claims about the simulation: each holds, fails or cannot be tested on tables made by hand, and at its threshold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_up_simulation import (
    FLAT,
    KEPT,
    RATIOS,
    SHARED,
    WORSE,
    method_at,
    mixed,
    noisy,
    points,
    shared,
    simulation,
    specific,
    table,
)

from disentangledssl.paper.simulation_claims import BASELINES, simulation_claims
from disentangledssl.paper.verdicts import FAILS, HOLDS, LEVEL, UNTESTABLE

(
    LAM, BITS, MNI, STARTS, FALLS, JOINT1, ALL1, JOINT2, ALL2, LEFT1, LEFT2, CHANCE, POINT, COLLAPSE, FOCAL, RATIO,
    ATTENTION, PLATEAU, LINEAR,
) = range(19)  # fmt: skip
EVERY = [claim for claim in range(19) if claim != MNI]  # that one is refuted or not testable
OF_MIXED, OF_NOISY = {RATIO, ATTENTION, PLATEAU}, {BITS, POINT}


def verdicts(simulation_table, mixed_table=None, noisy_table=None):
    return [claim.verdict for claim in simulation_claims(simulation_table, mixed_table, noisy_table)]


def verdict(claim, simulation_table, mixed_table=None, noisy_table=None):
    return verdicts(simulation_table, mixed_table, noisy_table)[claim]


def undecided(found):
    """Which claims are not testable, where all others hold; MNI, which never holds, is not looked at."""
    assert {one for one in found if one != UNTESTABLE} == {HOLDS}, found
    return {claim for claim in EVERY if found[claim] == UNTESTABLE}


# All of them


def test_everything_holds_on_tables_as_the_paper_has_them():
    claims = simulation_claims(simulation(), mixed(), noisy())
    assert undecided([claim.verdict for claim in claims]) == set(), claims
    assert {claim for claim in EVERY if not claims[claim].papers_data} == OF_NOISY
    assert {claim.our_dataset for claim in claims} == {"made_up"}


@pytest.mark.parametrize("seed", range(3))
def test_order_of_the_rows_decides_nothing(seed):
    ordered = simulation(), mixed(), noisy()
    shuffled = [one.sample(frac=1, random_state=seed) for one in ordered]
    assert simulation_claims(*shuffled) == simulation_claims(*ordered)


def test_each_claim_fails_where_its_numbers_are_turned_around():
    rising = {beta: tuple(1.3 - one for one in values) for beta, values in SHARED.items()}
    worse = specific("disentangledssl", {0.01: (0.69, 0.65), 1: (0.70, 0.66)}, beta=1)
    above = {name: {0.01: (0.60, 0.80, 0.60), 1: (0.58, 0.79, 0.58)} for name in BASELINES}
    wrong = simulation(zc=shared(rising), zs=worse, linear=(0.60, 0.59), zc_of=above)
    ratios = {0: 80.0, 10: 40.0, 100: 20.0, 1000: 30.0}
    gaining = {beta: (40 - own, 40 - other) for beta, (own, other) in KEPT.items()}
    found = verdicts(wrong, mixed(ratios, dict.fromkeys(FLAT, 0.7)), noisy(gaining))
    # At collapse the method has no worse a point than DMVAE if its own first one is there.
    assert [found[claim] for claim in EVERY if claim not in (STARTS, COLLAPSE)] == [FAILS] * (len(EVERY) - 2)
    low = shared({0: (0.75, 0.49, 0.74), 1: (0.51, 0.60, 0.5)})
    assert verdict(STARTS, simulation(zc=low)) == verdict(COLLAPSE, simulation(zc=low)) == FAILS


# What cannot be tested


def test_data_sets_that_were_not_run():
    assert set(verdicts(None, None)) == {UNTESTABLE}
    assert undecided(verdicts(simulation(), None, noisy())) == OF_MIXED
    assert undecided(verdicts(simulation(), mixed())) == OF_NOISY
    found = verdicts(None, mixed(), noisy())
    assert undecided(found) == set(EVERY) - {RATIO, ATTENTION} - OF_NOISY
    claims = simulation_claims(None, None, None)
    assert {claim.measured for claim in claims} == {"the data set was not run"}
    assert {claim.our_dataset for claim in claims} == {None}


def test_a_table_of_references_alone():
    alone = simulation()
    alone = alone[alone["method"] == "linear_cca"]
    assert set(verdicts(alone, alone, alone)) == {UNTESTABLE}


@pytest.mark.parametrize(
    ("left_out", "claims"),
    [
        ("jointopt", {JOINT1, JOINT2, ALL1, ALL2, LEFT1, LEFT2, FOCAL, LINEAR}),
        # "All baselines" is not said of two of them.
        ("focal", {ALL1, ALL2, LEFT1, LEFT2, FOCAL, LINEAR}),
        ("dmvae", {ALL1, ALL2, LEFT1, LEFT2, LINEAR, COLLAPSE}),
        ("linear_cca", {LINEAR}),
    ],
)
def test_methods_that_were_not_run(left_out, claims):
    assert undecided(verdicts(simulation(without=[left_out]), mixed(), noisy())) == claims


def test_one_seed_has_no_standard_error():
    one = {"std": np.nan, "n": 1}
    claims = simulation_claims(simulation(zc=shared(**one)), mixed(), noisy(**one))
    assert undecided([claim.verdict for claim in claims]) == {BITS, STARTS, FALLS, LEFT1, LEFT2}
    assert claims[STARTS].measured == "fewer than two seeds, so no standard error, at beta 0"
    assert claims[FALLS].measured.endswith("at beta 0, 1, 100, 1000")


def test_a_beta_of_which_every_seed_diverged_is_left_out():
    lost = shared({10: (np.nan,) * 3}, std=np.nan, n=0)
    tables = [simulation(zc=shared() + lost), simulation()]
    first, second = (simulation_claims(one, mixed(), noisy()) for one in tables)
    assert first == second and undecided([claim.verdict for claim in first]) == set()


def test_one_setting_is_no_curve():
    curves = {JOINT1, ALL1, JOINT2, ALL2}
    one = specific("disentangledssl", {1: (0.80, 0.51)}, beta=1)
    assert undecided(verdicts(simulation(zs=one), mixed(), noisy())) == curves | {LAM}
    assert undecided(verdicts(simulation(baselines={1: (0.7, 0.6)}), mixed(), noisy())) == curves
    found = verdicts(simulation(zc=shared({1: SHARED[1]})), mixed(), noisy({0: KEPT[0]}))
    assert undecided(found) == {STARTS, FALLS, LEFT1, LEFT2, CHANCE, COLLAPSE} | OF_NOISY


def test_a_label_that_was_not_probed():
    every = set(EVERY) - {RATIO, ATTENTION, CHANCE} - OF_NOISY
    for label, claims in (("s2", {LAM, STARTS, FALLS, JOINT2, ALL2, LEFT2}), ("c", every)):
        both = [one[one["label"] != label] for one in (simulation(), mixed())]
        assert undecided(verdicts(*both, noisy())) == claims


def test_a_grid_too_coarse_for_a_plateau():
    """Betas 0, 1 and 100: nothing is inside that spans a factor of ten."""
    coarse = {beta: FLAT.get(beta, 0.5) for beta in (0, 1, 100)}
    assert verdict(PLATEAU, simulation(), mixed(flat=coarse)) == UNTESTABLE
    assert verdict(RATIO, None, mixed(ratios={0: 20.0, 1: 80.0})) == UNTESTABLE
    assert verdict(ATTENTION, None, mixed(ratios={0: 20.0, 1: 80.0})) == UNTESTABLE


def test_nothing_that_collapsed():
    kept = {beta: values for beta, values in SHARED.items() if beta < 1000}
    assert verdict(COLLAPSE, simulation(zc=shared(kept))) == UNTESTABLE


# Thresholds


@pytest.mark.parametrize(("mean", "expected"), [(0.5021, HOLDS), (0.502, LEVEL), (0.498, LEVEL), (0.4979, FAILS)])
@pytest.mark.parametrize("label", [0, *(pytest.param(label, marks=pytest.mark.slow) for label in (1, 2))])
def test_above_chance_is_more_than_two_standard_errors(mean, expected, label):
    first = [0.75, 0.78, 0.74]
    first[label] = mean
    curve = SHARED | {0: tuple(first)}
    assert verdict(STARTS, simulation(zc=shared(curve, std=0.002, n=4))) == expected


@pytest.mark.parametrize(("rise", "expected"), [(-0.1, HOLDS), (0.0049, HOLDS), (0.005, HOLDS), (0.0051, FAILS)])
def test_a_rise_within_two_standard_errors_is_none(rise, expected):
    """Two errors of a difference: 2 sqrt(0.0015^2 + 0.002^2) = 0.005."""
    curve = {0: (0.75, 0.78, 0.74), 1: (0.65, 0.7, 0.65), 10: (0.65, 0.7 + rise, 0.65), 100: (0.5, 0.5, 0.5)}
    rows = []
    for beta, values in curve.items():
        rows += shared({beta: values}, std=0.003 if beta == 1 else 0.004, n=4)
    claim = simulation_claims(simulation(zc=rows), None, None)[FALLS]
    assert claim.verdict == expected
    # The rise that decides is named, with its standard error.
    head, _, named = claim.measured.partition("y_s2: 0.740 to 0.500, largest rise 0.000")
    assert head.endswith(f"y_c: 0.780 to 0.500, largest rise {max(rise, 0):.3f}; ")
    assert named == ("; y_c rises by 0.0051 ± 0.0025 from beta 1 to 10" if expected == FAILS else "")


@pytest.mark.parametrize(("fall", "expected"), [(0.0051, HOLDS), (0.005, LEVEL), (-0.005, LEVEL), (-0.0051, FAILS)])
def test_a_fall_is_more_than_two_standard_errors(fall, expected):
    rows = shared({0: (0.7, 0.7, 0.7)}, std=0.003, n=4) + shared({1: (0.5, 0.7 - fall, 0.5)}, std=0.004, n=4)
    assert verdict(FALLS, simulation(zc=rows)) == expected


@pytest.mark.parametrize(
    ("own", "c", "expected"),
    # The baselines' better point is at (0.76, 0.55).
    [(0.755, 0.555, HOLDS), (0.7549, 0.555, FAILS), (0.755, 0.5551, FAILS), (0.76, 0.55, HOLDS)],
)
def test_a_point_is_covered_within_the_margin(own, c, expected):
    curve = {0.01: (own, c), 1: (0.745, 0.53)}
    found = verdicts(simulation(zs=specific("disentangledssl", curve, beta=1)))
    assert [found[claim] for claim in (JOINT1, ALL1, JOINT2, ALL2)] == [expected] * 4


@pytest.mark.parametrize(("std", "expected"), [(0.003, FAILS), (0.004, HOLDS)])
def test_a_point_is_covered_within_two_standard_errors(std, expected):
    """One is behind by 0.006 in its own label: 2 sqrt(2 * std^2 / 3) is 0.0049 and 0.0065."""
    curve = {0.01: (0.754, 0.50), 1: (0.745, 0.49)}
    found = verdicts(simulation(zs=specific("disentangledssl", curve, beta=1)).assign(std=std))
    assert [found[claim] for claim in (JOINT1, JOINT2)] == [expected] * 2


def test_points_of_one_seed_decide_nothing():
    """Nothing of the method covers the baselines' points here, which scatter could explain."""
    worse = specific("disentangledssl", {0.01: (0.70, 0.60), 1: (0.69, 0.60)}, beta=1)
    assert verdict(JOINT1, simulation(zs=worse)) == FAILS
    one = simulation_claims(simulation(zs=worse).assign(std=np.nan, n=1), None, None)
    assert {one[claim].verdict for claim in (JOINT1, ALL1, JOINT2, ALL2, LEFT1, LEFT2)} == {UNTESTABLE}
    assert one[JOINT1].measured == "fewer than two settings of the method with two seeds, so no standard errors"
    # A setting of which all seeds but one diverged is no point, either.
    lucky = table(specific("jointopt", {100: (0.90, 0.50)}, a=1, std=np.nan, n=1))
    assert verdict(JOINT1, pd.concat([simulation(), lucky])) == HOLDS


@pytest.mark.parametrize(
    ("ahead", "std", "expected"),
    # Of four accuracies by three seeds: 2 sqrt(4 * 0.0015^2 / 3) = 0.0035.
    [(0.004, 0.0015, HOLDS), (0.003, 0.0015, LEVEL), (-0.003, 0.0015, LEVEL), (-0.004, 0.0015, FAILS),
     (-0.004, 0.003, LEVEL)],
)  # fmt: skip
def test_to_be_as_good_everywhere_is_not_to_be_better(ahead, std, expected):
    """All points are covered, within the margin; the best corners are ahead by more than scatter, or not, or behind."""
    curve = {0.01: (0.76 + ahead / 2, 0.55 - ahead / 2), 1: (0.74 + ahead / 2, 0.53 - ahead / 2)}
    table_of = simulation(zs=specific("disentangledssl", curve, beta=1)).assign(std=std)
    found = simulation_claims(table_of, None, None)
    for claim in (JOINT1, ALL1, JOINT2, ALL2):
        assert found[claim].verdict == expected and "points are covered" in found[claim].measured, found[claim]
        assert found[claim].measured[0] == found[claim].measured[5]


def test_two_points_do_not_cover_what_lies_between_them():
    """One is better on the one label, one on the other: none is as good in both."""
    curve = {0.01: (0.80, 0.60), 1: (0.70, 0.50)}
    found = simulation_claims(simulation(zs=specific("disentangledssl", curve, beta=1)), None, None)
    assert found[JOINT1].verdict == FAILS
    assert found[JOINT1].measured.startswith("0 of 2 points are covered") and "ours 0.200" in found[JOINT1].measured


@pytest.mark.parametrize(("s1", "expected"), [(0.52, HOLDS), (0.5201, FAILS)])
def test_points_at_collapse_are_left_out(s1, expected):
    better = {"dmvae": {0.01: (s1, 0.78, 0.52), 1: (0.66, 0.68, 0.66)}}
    assert verdict(LEFT1, simulation(zc_of=better)) == expected


def test_at_collapse_of_the_second_view_there_is_no_exception():
    better = {"dmvae": {0.01: (0.52, 0.78, 0.51), 1: (0.66, 0.68, 0.66)}}
    found = simulation_claims(simulation(zc_of=better), None, None)
    assert (found[LEFT1].verdict, found[LEFT2].verdict) == (HOLDS, FAILS)
    assert "collapse" in found[LEFT1].claim and "collapse" not in found[LEFT2].claim
    assert "left out" not in found[LEFT2].criterion


@pytest.mark.parametrize(("c", "expected"), [(0.5251, HOLDS), (0.525, LEVEL), (0.515, LEVEL), (0.5149, FAILS)])
def test_at_collapse_better_is_above(c, expected):
    summary = simulation(zc=shared())
    summary = summary[(summary["method"] != "dmvae") | (summary["representation"] != "zc")]
    summary = pd.concat([summary, table(points("dmvae", "zc", 0.52, c, 0.5, lam=1))])
    assert verdict(COLLAPSE, summary) == expected


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ({0: 20.0, 1: 30.1, 300: 1.9}, HOLDS),
        ({0: 20.0, 1: 30.0, 300: 1.9}, FAILS),  # 1.5 times and no more
        ({0: 20.0, 1: 80.0, 300: 2.0}, FAILS),
        ({0: 20.0, 1: 10.0, 300: 1.0}, FAILS),  # the peak is the start
        ({0: 1.0, 1: 1.2, 300: 1.9}, FAILS),  # the peak is the end
        ({0: 1.0, 1: 1.9, 300: 1.8}, FAILS),  # it never fell
        ({0: 0.3, 1: 0.6, 300: 0.35}, FAILS),
        ({0: 0.3, 1: 1.0, 300: 0.6}, FAILS),  # at its peak the pure dimensions weigh no more
        ({0: 0.3, 1: 1.2, 300: 0.5}, FAILS),  # the end is not about 1
        ({0: 0.3, 1: 1.2, 300: 0.51}, HOLDS),
    ],
)
def test_the_weight_ratio_rises_and_falls(ratios, expected):
    assert verdict(RATIO, None, mixed(ratios)) == expected
    # In both views.
    assert verdict(RATIO, None, mixed(RATIOS, second=ratios)) == expected


@pytest.mark.parametrize(
    ("flat", "beside", "expected"),
    [
        # Moves by 0.019, after a fall and before another of more than 0.02 from the plateau's mean.
        ({0: 0.75, 1: 0.7, 10: 0.681, 100: 0.6}, 0.1, HOLDS),
        ({0: 0.75, 1: 0.7, 10: 0.68, 100: 0.6}, 0.1, FAILS),
        ({0: 0.71, 1: 0.7, 10: 0.7, 100: 0.6}, 0.1, FAILS),
        ({0: 0.72, 1: 0.7, 10: 0.7, 100: 0.6}, 0.1, FAILS),  # 0.02 and no more
        ({0: 0.75, 1: 0.7, 10: 0.7, 100: 0.68}, 0.1, FAILS),
        ({0: 0.75, 1: 0.7, 10: 0.69, 100: 0.6}, 0.01, FAILS),  # as flat on the entangled data
        ({0: 0.75, 1: 0.7, 9: 0.7, 100: 0.6}, 0.1, UNTESTABLE),
    ],
)
def test_a_plateau(flat, beside, expected):
    entangled = dict.fromkeys(flat, 0.7) | {sorted(flat)[2]: 0.7 - beside}
    assert verdict(PLATEAU, mixed(flat=entangled), mixed(flat=flat)) == expected


def test_the_flattest_stretch_need_not_be_the_one():
    """It is flat on the entangled data, too; the other one is not."""
    flat = {0: 0.9, 1: 0.8, 10: 0.8, 100: 0.7, 1000: 0.69, 1e4: 0.5}
    beside = {0: 0.9, 1: 0.8, 10: 0.8, 100: 0.7, 1000: 0.6, 1e4: 0.5}
    assert verdict(PLATEAU, mixed(flat=beside), mixed(flat=flat)) == HOLDS


@pytest.mark.parametrize(("c", "expected"), [(0.5299, HOLDS), (0.53, FAILS), (0.54, FAILS)])
def test_linear_cca_is_above_the_best_point(c, expected):
    curve = {0.01: (0.80, 0.53), 1: (0.77, 0.52)}
    assert verdict(LINEAR, simulation(zs=specific("disentangledssl", curve, beta=1), linear=(0.80, c))) == expected
    # A baseline's best point counts as well.
    ours = specific("disentangledssl", WORSE, beta=1)
    assert verdict(LINEAR, simulation(baselines=curve, zs=ours, linear=(0.80, c))) == expected


@pytest.mark.parametrize(("s1", "expected"), [(0.52, HOLDS), (0.5201, FAILS)])
def test_free_of_specific_information_at_the_largest_beta(s1, expected):
    curve = SHARED | {1000: (s1, 0.52, 0.50)}
    assert verdict(CHANCE, simulation(zc=shared(curve))) == expected


@pytest.mark.parametrize("largest", [10, 299])
def test_what_is_said_of_very_large_values_is_not_tested_on_smaller_ones(largest):
    curve = {0: SHARED[0], 1: SHARED[1], largest: SHARED[1000]}
    ratios = {0: 20.0, 1: 80.0, largest: 1.0}
    found = simulation_claims(simulation(zc=shared(curve)), mixed(ratios), None)
    for claim in (CHANCE, RATIO):
        assert found[claim].verdict == UNTESTABLE
        assert found[claim].measured == f"the largest beta is {largest}, where a very large one is 300 or more"
    assert verdict(CHANCE, simulation(zc=shared({0: SHARED[0], 300: SHARED[1000]}))) == HOLDS


@pytest.mark.parametrize(("more", "expected"), [(0.0551, HOLDS), (0.055, LEVEL), (0.045, LEVEL), (0.0449, FAILS)])
@pytest.mark.parametrize("view", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_focals_specific_codes_against_the_better_of_the_others(more, expected, view):
    """The others' y_c is 0.54 in the mean; FOCAL's, 0.59, has to be above by more than the margin, in both views."""
    rows = simulation()
    rows = rows[(rows["method"] != "disentangledssl") | (rows["representation"] != f"zs{view}")]
    c = 0.64 - more
    ours = specific("disentangledssl", {0.01: (0.8, c), 1: (0.8, c)}, views=[view], beta=1)
    assert verdict(FOCAL, pd.concat([rows, table(ours)])) == expected


@pytest.mark.parametrize(("ratio", "expected"), [(30.1, HOLDS), (30.0, FAILS)])
def test_attention_to_the_pure_dimensions(ratio, expected):
    assert verdict(ATTENTION, None, mixed(RATIOS | {10: ratio})) == expected
    assert verdict(ATTENTION, None, mixed(RATIOS, second=RATIOS | {10: ratio})) == expected


@pytest.mark.parametrize(("ratio", "expected"), [(1.01, HOLDS), (1.0, FAILS), (0.6, FAILS)])
def test_attention_is_a_ratio_above_one(ratio, expected):
    assert verdict(ATTENTION, None, mixed(RATIOS | {0: 0.3, 10: ratio})) == expected


@pytest.mark.parametrize(("bits", "expected"), [(0.99, HOLDS), (1.0, FAILS)])
def test_one_point_is_less_than_a_bit_in_both_views(bits, expected):
    assert verdict(POINT, None, None, noisy(KEPT | {1000: (bits, 0.3)})) == expected
    assert verdict(POINT, None, None, noisy(KEPT, second=KEPT | {1000: (bits, 0.3)})) == expected
    smaller = {0: KEPT[0], 299: KEPT[1000]}
    assert verdict(POINT, None, None, noisy(smaller)) == UNTESTABLE


@pytest.mark.parametrize("view", [0, 1])
def test_information_about_both_views_falls(view):
    rising = {beta: list(kept) for beta, kept in KEPT.items()}
    rising[1000][view] = rising[1][view] + 0.01
    assert verdict(BITS, None, None, noisy(rising)) == FAILS
    # Within two standard errors it is no rise.
    assert verdict(BITS, None, None, noisy(rising, std=0.1)) == HOLDS


def over_lam(view, own, c, std=0.003):
    """Both views at two values of beta and three of lam; the accuracies of one view are given, at the second beta."""
    rows = []
    for beta in (0, 1):
        for k, lam in enumerate((0, 0.1, 10)):
            falls = {lam: (0.8 - 0.1 * k, 0.7 - 0.1 * k)}
            given = {lam: (own[k], c[k])}
            for one in (1, 2):
                curve = given if one == view and beta else falls
                rows += specific(method_at(beta), curve, views=[one], beta=beta, std=std)
    return rows


@pytest.mark.parametrize("view", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("own", "c", "expected"),
    # Means over both values of beta: a rise of the given one counts half. Two errors of a difference of means, of
    # 0.003 / sqrt(3) at each beta: 2 sqrt(2) 0.001732 = 0.0049.
    [
        ((0.8, 0.7, 0.6), (0.7, 0.6, 0.5), HOLDS),
        ((0.8, 0.7, 0.8096), (0.7, 0.6, 0.5), HOLDS),
        ((0.8, 0.7, 0.8102), (0.7, 0.6, 0.5), FAILS),
        ((0.8, 0.7, 0.6), (0.7, 0.8102, 0.5), FAILS),
        ((0.8, 0.5, 0.5), (0.55, 0.5, 0.74), FAILS),  # no fall from end to end
    ],
)
def test_lam_trades_one_accuracy_for_the_other(view, own, c, expected):
    assert verdict(LAM, table(over_lam(view, own, c))) == expected


def test_lam_is_looked_at_where_its_grid_is_whole():
    rows = over_lam(1, (0.8, 0.7, 0.6), (0.7, 0.6, 0.5))
    # A third beta at which lam 10 was not run, or diverged, and accuracies rise.
    rows += specific("disentangledssl", {0: (0.5, 0.5), 0.1: (0.9, 0.9)}, beta=5)
    assert verdict(LAM, table(rows)) == HOLDS
    alone = [row for row in rows if row["lam"] != 10 or row["beta"] == "0"]
    claim = simulation_claims(table([row for row in alone if row["beta"] != "0" or row["lam"] == 10]), None, None)[LAM]
    assert (claim.verdict, claim.measured) == (UNTESTABLE, "no beta has every lam")
    # One setting of one seed, at one beta.
    rows[0] |= {"std": np.nan, "n": 1}
    claim = simulation_claims(table(rows), None, None)[LAM]
    assert claim.measured == "fewer than two seeds, so no standard error, at lam 0"


def test_a_rise_over_lam_is_named():
    rows = over_lam(2, (0.8, 0.7, 0.6), (0.7, 0.9, 0.5))
    claim = simulation_claims(table(rows), None, None)[LAM]
    assert claim.measured.endswith("; zs2, y_c rises by 0.0500 ± 0.0024 from lam 0 to 0.1")


@pytest.mark.parametrize(
    ("zc", "zs", "expected"), [(0.99, 0.01, FAILS), (0.9899, 0.0, UNTESTABLE), (1.0, 0.0101, UNTESTABLE)]
)
@pytest.mark.parametrize("view", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_closed_form_that_finds_what_is_shared_and_no_more_refutes(zc, zs, expected, view):
    rows = []
    for code in ("zc1", "zc2"):
        values = {"zc": zc, "zs1": -0.01, "zs2": zs} if code == f"zc{view}" else {"zc": 1.0, "zs1": 0.0, "zs2": 0.0}
        for latent, value in values.items():
            (row,) = points("linear_cca", code, value, metric="r2", std=None, n=1)
            rows.append(row | {"label": latent})
    claim = simulation_claims(table(rows), None, None)[MNI]
    assert claim.verdict == expected, claim
    assert claim.measured.endswith("another way may find what this one does not") == (expected == UNTESTABLE)


def test_what_was_measured_is_said():
    claims = simulation_claims(simulation(), mixed(), noisy())
    assert claims[JOINT1].measured == (
        "2 of 2 points are covered; largest y_s1 - y_c: ours 0.280, theirs 0.210, ahead by +0.070 ± 0.001"
    )
    assert claims[COLLAPSE].measured == "y_c: DMVAE 0.580, the method 0.520"
    assert len({(claim.section, claim.claim) for claim in claims}) == len(claims)
