"""Retrieval on hand-made cases, against literal oracles and torchmetrics, and its invariances."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disentangledssl.evaluation import retrieval
from disentangledssl.evaluation.retrieval import (
    TOP,
    average_directions,
    bootstrap,
    candidate_pool,
    expected_metrics,
    group_tables,
    random_metrics,
    random_rows,
    rank_first,
    rank_queries,
    retrieval_rows,
    reverse_rows,
    shuffled_means,
    summarise,
    unit_weights,
)


def random_case(seed, profiles=30, molecules=12, dimensions=4):
    rng = np.random.default_rng(seed)
    queries, candidates = rng.normal(size=(profiles, dimensions)), rng.normal(size=(molecules, dimensions))
    return queries, candidates, rng.integers(molecules, size=profiles)


def literal_counts(queries, candidates, truth):
    better, tied = [], []
    for query, own in zip(queries, truth, strict=True):
        cosines = []
        for candidate in candidates:
            norms = np.linalg.norm(query) * np.linalg.norm(candidate)
            cosines.append(query @ candidate / norms if norms else 0.0)
        others = [cosine - cosines[own] for k, cosine in enumerate(cosines) if k != own]
        better.append(sum(d > 1e-6 for d in others))
        tied.append(sum(abs(d) <= 1e-6 for d in others))
    return np.array(better), np.array(tied)


# ---------------------------------------------------------------- ranks


def test_perfect_worst_and_collapsed():
    candidates = np.eye(5)
    better, tied = rank_queries(3 * candidates, candidates, np.arange(5))
    assert better.tolist() == [0] * 5
    assert tied.tolist() == [0] * 5
    better, tied = rank_queries(-candidates, candidates, np.arange(5))
    assert better.tolist() == [4] * 5
    better, tied = rank_queries(np.ones((5, 3)), np.ones((5, 3)), np.arange(5))
    assert better.tolist() == [0] * 5
    assert tied.tolist() == [4] * 5


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_the_literal_ones(seed):
    rng = np.random.default_rng(seed)
    queries = rng.integers(-1, 2, size=(40, 3)).astype(float)  # many ties, some codes of norm 0
    candidates = rng.integers(-1, 2, size=(15, 3)).astype(float)
    truth = rng.integers(15, size=40)
    better, tied = literal_counts(queries, candidates, truth)
    found = rank_queries(queries, candidates, truth)
    np.testing.assert_array_equal(found[0], better)
    np.testing.assert_array_equal(found[1], tied)


def test_blocks_change_nothing(monkeypatch):
    case = random_case(0)
    whole = rank_queries(*case)
    monkeypatch.setattr(retrieval, "BLOCK", 30)
    for found, expected in zip(rank_queries(*case), whole, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_near_ties_tie():
    query = np.array([[1.0, 0.0]])
    candidates = np.array([[1.0, 0.0], [1.0, 1e-4], [1.0, 0.1]])  # cosines 1, 1 - 5e-9, 0.995
    assert [counts.tolist() for counts in rank_queries(query, candidates, np.array([1]))] == [[0], [1]]
    assert [counts.tolist() for counts in rank_queries(query, candidates, np.array([1]), near_tie=0)] == [[1], [0]]


def test_collapse_up_to_rounding_is_random():
    rng = np.random.default_rng(0)
    codes = (np.ones((20, 8)) + 1e-6 * rng.normal(size=(20, 8))).astype(np.float32)
    better, tied = rank_queries(codes, codes, np.arange(20))
    assert (better == 0).all()
    assert (tied == 19).all()


def test_code_of_norm_zero_has_cosine_zero():
    candidates = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    better, tied = rank_queries(np.array([[1.0, 0.0], [0.0, 0.0]]), candidates, np.array([2, 0]))
    assert better.tolist() == [1, 0]
    assert tied.tolist() == [0, 2]


def test_arrays_that_do_not_fit_are_refused():
    queries, candidates, truth = random_case(0)
    for broken in (np.nan, np.inf):
        codes = queries.copy()
        codes[7, 1] = broken
        with pytest.raises(ValueError, match="query codes hold NaN or infinity in 1 of 30 rows, first in row 7"):
            rank_queries(codes, candidates, truth)
    with pytest.raises(ValueError, match="4 dimensions, candidate codes 3"):
        rank_queries(queries, candidates[:, :3], truth)
    with pytest.raises(ValueError, match="of 12 candidates"):
        rank_queries(queries, candidates, truth + 5)
    with pytest.raises(ValueError, match="there are 30 profiles"):
        rank_queries(queries, candidates, truth[:3])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1e-30, 1e-3, 1.0, 1e30]))
def test_ranks_know_no_rotation_scale_or_order(seed, scale):
    queries, candidates, truth = random_case(seed)
    rng = np.random.default_rng(seed + 1)
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    scales = scale * rng.uniform(0.1, 10, size=(len(candidates), 1))
    order = rng.permutation(len(candidates))
    moved = rank_queries(queries @ rotation / scale, (scales * candidates @ rotation)[order], np.argsort(order)[truth])
    for found, expected in zip(moved, rank_queries(queries, candidates, truth), strict=True):
        np.testing.assert_array_equal(found, expected)


# ---------------------------------------------------------------- metrics


@pytest.mark.parametrize(
    ("above", "equal", "below"), [(0, 0, 4), (0, 4, 0), (2, 1, 2), (1, 3, 0), (4, 0, 0), (0, 0, 0)]
)
def test_expectation_over_all_orders_of_the_ties(above, equal, below):
    pool, own = above + equal + 1 + below, 0
    sums = {"mrr": 0.0, "top1": 0.0, "top3": 0.0, "top_tenth": 0.0, "rank": 0.0}
    orders = list(permutations(range(equal + 1)))
    for order in orders:
        rank = above + 1 + order.index(own)
        sums["mrr"] += 1 / rank
        sums["top1"] += rank <= 1
        sums["top3"] += rank <= 3
        sums["top_tenth"] += rank <= -(-pool // 10)
        sums["rank"] += rank
    metrics = expected_metrics(np.array([above]), np.array([equal]), pool, top=(1, 3))
    for name, total in sums.items():
        assert metrics[name][0] == pytest.approx(total / len(orders), abs=1e-12)


@pytest.mark.parametrize("pool", [1, 2, 9, 28, 333, 663])
def test_collapsed_code_is_exactly_the_random_row(pool):
    codes = np.full((pool, 3), 0.7)
    better, tied = rank_queries(codes, codes, np.arange(pool))
    metrics, row = expected_metrics(better, tied, pool), random_metrics(pool)
    assert metrics.keys() == row.keys()
    for name, values in metrics.items():
        assert (values == row[name]).all()


def test_random_row_is_the_formula_and_the_papers():
    row = random_metrics(663)
    assert row["mrr"] == pytest.approx(sum(1 / k for k in range(1, 664)) / 663, rel=1e-12)
    for n in TOP:
        assert row[f"top{n}"] == pytest.approx(n / 663)
    assert row["top_tenth"] == pytest.approx(67 / 663)
    assert row["rank"] == 332
    assert row["percentile"] == 0.5
    assert random_metrics(333)["top30"] == pytest.approx(0.0901, abs=5e-5)  # Table 2, RxRx19a


def test_random_row_is_the_mean_over_all_ranks():
    metrics = expected_metrics(np.arange(28), np.zeros(28, int), 28)
    for name, value in random_metrics(28).items():
        assert metrics[name].mean() == pytest.approx(value)


def test_pool_smaller_than_n_is_always_a_hit():
    metrics = expected_metrics(np.array([0, 3]), np.array([0, 0]), 4)
    for n in (5, 10, 20, 30):
        assert metrics[f"top{n}"].tolist() == [1, 1]
        assert random_metrics(4)[f"top{n}"] == 1


def test_counts_beyond_the_pool_are_refused():
    with pytest.raises(ValueError, match="pool of 4"):
        expected_metrics(np.array([3]), np.array([1]), 4)


def test_mrr_and_top_n_are_torchmetrics():
    torchmetrics = pytest.importorskip("torchmetrics.retrieval")
    import torch

    queries, candidates, truth = random_case(3, profiles=25, molecules=40)
    cosines = queries @ candidates.T / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(candidates, axis=1)
    hits = np.zeros(cosines.shape, bool)
    hits[np.arange(25), truth] = True
    # Cosines + 2: torchmetrics counts a true item of score 0 or less as never found.
    arrays = torch.tensor(cosines.ravel() + 2), torch.tensor(hits.ravel()), torch.arange(25).repeat_interleave(40)
    metrics = expected_metrics(*rank_queries(queries, candidates, truth), 40)
    assert metrics["mrr"].mean() == pytest.approx(float(torchmetrics.RetrievalMRR()(*arrays)), abs=1e-6)
    for n in (1, 5, 10):
        expected = float(torchmetrics.RetrievalHitRate(top_k=n)(*arrays))
        assert metrics[f"top{n}"].mean() == pytest.approx(expected, abs=1e-6)


# ---------------------------------------------------------------- rows, means, bootstrap


def test_candidate_pool():
    pool, truth = candidate_pool(np.array([4, 9, 4, 2]))
    assert pool.tolist() == [2, 4, 9]
    assert truth.tolist() == [1, 2, 1, 0]


def test_a_molecules_profiles_are_averaged_first():
    candidates = np.eye(3)
    queries = np.array([[3.0, 2, 1], [1, 2, 3], [3, 1, 2], [1, 3, 2]])
    truth = np.array([0, 0, 0, 1])  # ranks 1, 3, 1 and 1
    rows = retrieval_rows(queries, candidates, truth, np.array(["b", "b", "b", "a"]))
    assert rows["group"].tolist() == ["a", "b"]
    assert rows["profiles"].tolist() == [1, 3]
    assert rows["pool"].tolist() == [3, 3]
    np.testing.assert_allclose(rows["mrr"], [1, (1 + 1 / 3 + 1) / 3])
    np.testing.assert_allclose(rows["top1"], [1, 2 / 3])
    assert summarise(rows, "per_molecule")["mrr"] == pytest.approx((1 + 7 / 9) / 2)
    assert summarise(rows, "per_profile")["mrr"] == pytest.approx((1 + 1 + 1 / 3 + 1) / 4)
    assert set(summarise(rows, "per_profile")) == set(rows) - {"group", "profiles", "pool"}


def test_stereo_forms_are_candidates_of_their_own():
    # One group, two structures with the same features: each ties with the other.
    candidates = np.array([[1.0, 0], [1.0, 0], [0, 1.0]])
    rows = retrieval_rows(candidates, candidates, np.arange(3), np.array(["x", "x", "y"]))
    np.testing.assert_allclose(rows["mrr"], [0.75, 1])
    np.testing.assert_allclose(rows["top1"], [0.5, 1])


def test_per_profile_mean_is_the_mean_over_profiles():
    queries, candidates, truth = random_case(1)
    groups = np.array([f"m{t // 2}" for t in truth])
    rows = retrieval_rows(queries, candidates, truth, groups)
    metrics = expected_metrics(*rank_queries(queries, candidates, truth), len(candidates))
    for name, mean in summarise(rows, "per_profile").items():
        assert mean == pytest.approx(metrics[name].mean())


def test_random_rows_follow_each_rows_pool():
    small, large = (retrieval_rows(np.eye(n), np.eye(n), np.arange(n), np.arange(n).astype(str)) for n in (3, 5))
    rows = {name: np.concatenate([small[name], large[name]]) for name in small}
    expected = random_rows(rows)
    assert expected.keys() == rows.keys()
    np.testing.assert_allclose(expected["mrr"], [random_metrics(3)["mrr"]] * 3 + [random_metrics(5)["mrr"]] * 5)
    np.testing.assert_allclose(expected["percentile"], 0.5)


def test_rows_need_profiles_groups_and_a_known_unit():
    queries, candidates, truth = random_case(1)
    with pytest.raises(ValueError, match="groups have shape"):
        retrieval_rows(queries, candidates, truth, np.array(["a"]))
    with pytest.raises(ValueError, match="no profile"):
        retrieval_rows(queries[:0], candidates, truth[:0], np.array([], str))
    with pytest.raises(ValueError, match="per_well"):
        unit_weights({"profiles": np.ones(3)}, "per_well")


def test_bootstrap_is_the_textbook_standard_error():
    values = np.random.default_rng(0).normal(size=400)
    one = values[:, None]
    error = bootstrap(one).standard_errors
    assert error == pytest.approx(values.std() / 20, rel=0.06)
    assert bootstrap(one).standard_errors == error
    assert bootstrap(one, np.full(400, 3.0)).standard_errors == pytest.approx(error)
    both = bootstrap(np.stack([values, 2 * values], axis=1))
    assert both.standard_errors == pytest.approx([*error, *(2 * error)])
    assert np.isnan(bootstrap(one[:1])).all()


def test_bootstrap_draws_weights_with_their_molecule():
    # A literal bootstrap of the profiles of the drawn molecules; far from 0, where the number of
    # profiles drawn would dominate if it did not divide as well.
    rng = np.random.default_rng(0)
    values, profiles = 10 + rng.normal(size=30), rng.integers(1, 20, size=30)
    means = []
    for _ in range(4000):
        drawn = rng.integers(30, size=30)
        means.append(np.repeat(values[drawn], profiles[drawn]).mean())
    assert bootstrap(values[:, None], profiles).standard_errors[0] == pytest.approx(np.std(means), rel=0.08)


def test_interval_holds_what_is_between_the_percentiles_of_the_resampled_means():
    values = np.random.default_rng(0).normal(size=400)[:, None]
    found = bootstrap(values, samples=4000)
    assert found.low < values.mean() < found.high
    # Of a mean of many values, 1.96 standard errors to either side.
    assert [found.low[0], found.high[0]] == pytest.approx(
        [values.mean() - 1.96 * values.std() / 20, values.mean() + 1.96 * values.std() / 20], abs=0.01
    )
    # Ten of one value and ten of another: the share of the second is binomial, of which the quantiles are known.
    shares = bootstrap(np.repeat([0.0, 1.0], 10)[:, None], samples=20_000)
    assert [shares.low[0], shares.high[0]] == pytest.approx([6 / 20, 14 / 20])


# ---------------------------------------------------------------- molecules rank profiles


def test_rows_of_a_group_are_drawn_together():
    rng = np.random.default_rng(3)
    values, weights, groups = rng.random((6, 2)), np.array([1.0, 3, 1, 2, 1, 5]), np.array([0, 1, 0, 2, 3, 2])
    # Each group as one row: its sum of weights and its weighted mean.
    of_group = np.array([weights[groups == group].sum() for group in range(4)])
    means = [np.average(values[groups == group], axis=0, weights=weights[groups == group]) for group in range(4)]
    found = bootstrap(values, weights, groups=groups)
    np.testing.assert_allclose(found, bootstrap(np.array(means), of_group))
    # A value that every group repeats says no more than once; taken as independent, it would.
    twice = np.concatenate([values, values])
    np.testing.assert_allclose(bootstrap(twice, groups=np.tile(np.arange(6), 2)), bootstrap(values))
    assert (bootstrap(twice).standard_errors < 0.8 * bootstrap(values).standard_errors).all()
    np.testing.assert_array_equal(bootstrap(values, weights, groups=np.arange(6)), bootstrap(values, weights))
    assert np.isnan(bootstrap(values, groups=np.zeros(6, int))).all()


def literal_reverse(molecules, phenotypes, truth, top, pool):
    """Metrics of each molecule, averaged over every order of the phenotypes that tie with its best own one."""
    out = []
    for number, query in enumerate(molecules):
        cosines = []
        for candidate in phenotypes:
            norms = np.linalg.norm(query) * np.linalg.norm(candidate)
            cosines.append(query @ candidate / norms if norms else 0.0)
        best = max(cosine for cosine, owner in zip(cosines, truth, strict=True) if owner == number)
        above = sum(cosine > best + 1e-6 for cosine, owner in zip(cosines, truth, strict=True) if owner != number)
        mine = [owner == number for cosine, owner in zip(cosines, truth, strict=True) if abs(cosine - best) <= 1e-6]
        # Which places of the tie are own ones, every choice being as likely.
        ranks = [above + 1 + min(places) for places in combinations(range(len(mine)), sum(mine))]
        others = pool - sum(owner == number for owner in truth)
        out.append(
            {
                "mrr": np.mean([1 / rank for rank in ranks]),
                f"top{top}": np.mean([rank <= top for rank in ranks]),
                "top_tenth": np.mean([rank <= -(-pool // 10) for rank in ranks]),
                "rank": np.mean(ranks),
                "percentile": 1 - (np.mean(ranks) - 1) / others,
            }
        )
    return out


@pytest.mark.parametrize("seed", range(5))
def test_molecules_rank_profiles_as_in_the_literal_loop(seed):
    rng = np.random.default_rng(seed)
    molecules = rng.integers(-1, 2, size=(5, 2)).astype(float)  # many ties, some codes of norm 0
    phenotypes = rng.integers(-1, 2, size=(14, 2)).astype(float)
    truth = np.concatenate([np.arange(5), rng.integers(5, size=9)])
    groups = np.array(["x", "x", "y", "z", "w"])[truth]  # two molecules are of one group
    rows, _ = reverse_rows(molecules, phenotypes, truth, groups, top=[2])
    literal = literal_reverse(molecules, phenotypes, truth, 2, 14)
    assert rows["group"].tolist() == ["w", "x", "y", "z"]
    assert rows["profiles"].tolist() == [sum(groups == name) for name in "wxyz"]
    for name in literal[0]:
        a, b, c, d, e = (one[name] for one in literal)
        np.testing.assert_allclose(rows[name], [e, (a + b) / 2, c, d], atol=1e-12)


def test_several_own_profiles_in_a_tie_of_known_chances():
    # Six tie, two of them own: the first own one is at 1 ... 5 with chances 5, 4, 3, 2, 1 of 15; one is above all.
    metrics = expected_metrics(np.array([1]), np.array([4]), 8, top=(1, 2, 4), own_tied=2, own=3)
    chances = np.array([5, 4, 3, 2, 1]) / 15
    assert metrics["mrr"][0] == pytest.approx(chances @ (1 / np.arange(2, 7)))
    assert [metrics[f"top{n}"][0] for n in (1, 2, 4)] == pytest.approx([0, 5 / 15, 12 / 15])
    assert metrics["rank"][0] == pytest.approx(chances @ np.arange(2, 7))
    assert metrics["percentile"][0] == pytest.approx(1 - (chances @ np.arange(2, 7) - 1) / 5)


@pytest.mark.parametrize(("pool", "own"), [(6, 1), (6, 2), (6, 5), (9, 4), (3, 3), (1, 1)])
def test_random_with_several_own_profiles_is_the_mean_over_all_places(pool, own):
    firsts = [min(places) + 1 for places in combinations(range(pool), own)]
    row = random_metrics(pool, top=(1, 3), own=own)
    assert row["mrr"] == pytest.approx(np.mean([1 / rank for rank in firsts]))
    assert row["top1"] == pytest.approx(own / pool)
    assert row["top3"] == pytest.approx(np.mean([rank <= 3 for rank in firsts]))
    assert row["rank"] == pytest.approx((pool + 1) / (own + 1))
    assert row["percentile"] == pytest.approx(own / (own + 1))


def test_collapsed_code_is_random_in_the_other_direction_too():
    codes, truth = np.full((40, 3), 0.7), np.arange(40) % 7
    rows, random = reverse_rows(codes[:7], codes, truth, truth.astype(str))
    assert rows.keys() == random.keys()
    for name, values in rows.items():
        assert values.tolist() == random[name].tolist()
    assert len(set(random["mrr"])) == 2, "five molecules have six profiles, two have five"


def test_random_stays_exact_among_thousands():
    row = random_metrics(17_000, own=40)
    assert row["top30"] == pytest.approx(1 - np.prod([(16_960 - k) / (17_000 - k) for k in range(30)]))
    assert row["rank"] == pytest.approx(17_001 / 41)


def test_every_molecule_needs_a_profile():
    molecules, phenotypes, _ = random_case(0)
    for truth in (np.zeros(12, int), np.arange(11)):
        with pytest.raises(ValueError, match="the 12 candidates do not belong to 30 queries"):
            rank_first(molecules, phenotypes, truth)


def test_average_of_opposite_profiles_has_no_direction():
    codes = average_directions(np.array([[2.0, 0.0], [-5.0, 0.0], [0.0, 3.0]]), np.array([1, 1, 0]))
    np.testing.assert_allclose(codes, [[0.0, 1.0], [0.0, 0.0]], atol=1e-15)


def test_a_code_of_norm_0_counts_as_zeros_in_the_average():
    codes = average_directions(np.array([[10.0, 0.0], [0.0, 0.0], [0.0, 0.1], [0.0, 0.0]]), np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(codes, [[1 / 3, 1 / 3], [0.0, 0.0]])


# ---------------------------------------------------------------- pairs at random


@pytest.mark.parametrize("block", [20, 2**20])
@pytest.mark.parametrize("integers", [True, False])
def test_shuffled_pairs_are_ranked_as_by_hand(monkeypatch, integers, block):
    """Each permutation is carried out, and everything ranked anew; groups have one molecule each."""
    monkeypatch.setattr(retrieval, "BLOCK", block)
    rng = np.random.default_rng(3)
    queries, candidates = rng.normal(size=(20, 3)), rng.normal(size=(6, 3))
    if integers:  # many ties
        queries, candidates = queries.round(), candidates.round()
    member = np.concatenate([np.arange(6), rng.integers(6, size=14)])
    molecule_of_group = rng.permutation(6)
    tables = group_tables(queries, candidates, member, np.argsort(molecule_of_group), top=[1, 2])
    orders = np.stack([np.arange(6), *(rng.permutation(6) for _ in range(8))])
    for unit in ("per_profile", "per_molecule"):
        weights = unit_weights({"profiles": np.bincount(member)}, unit)
        found = shuffled_means(tables, weights, orders)
        for number, order in enumerate(orders):
            paired = molecule_of_group[order[member]]
            expected = summarise(retrieval_rows(queries, candidates, paired, member.astype(str), top=[1, 2]), unit)
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                assert found[name][number] == pytest.approx(value, abs=1e-12)


def test_group_of_two_molecules_lends_each_of_them_in_turn():
    queries, candidates = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    tables = group_tables(queries, candidates, np.array([0, 1]), np.array([0, 1, 1]), top=[1])
    # Profile 0 ranks the molecules 0, 2, 1: those of group 1 are third and second.
    assert tables["rank"].tolist() == [[1, 2.5], [3, 1.5]]
    found = shuffled_means(tables, np.ones(2), np.array([[0, 1], [1, 0]]))
    assert found["rank"].tolist() == [1.25, 2.75]


def test_mean_over_all_pairings_is_random():
    queries, candidates, member = *(np.random.default_rng(k).normal(size=(5, 3)) for k in (0, 1)), np.arange(5)
    found = shuffled_means(
        group_tables(queries, candidates, member, member), np.ones(5), np.array([*permutations(range(5))])
    )
    for name, value in random_metrics(5).items():
        assert found[name].mean() == pytest.approx(value)
