"""Reference rows against scikit-learn and literal eigenproblems, and what they must not see."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from disentangledssl import references
from disentangledssl.evaluation.linear_probe import probe_accuracies
from disentangledssl.evaluation.retrieval import random_metrics, retrieval_rows, summarise
from disentangledssl.references import (
    ScreenSplit,
    chance,
    linear_cca,
    nearest_neighbour,
    probe_references,
    regularised_cca,
    ridge,
    tanimoto,
    validated_cca,
)


def views(n=500, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    x1 = np.hstack([z, rng.normal(size=(n, 3))]) @ rng.normal(size=(5, 5)) + 4
    x2 = np.hstack([z + 0.5 * rng.normal(size=(n, 2)), rng.normal(size=(n, 2))]) @ rng.normal(size=(4, 4)) - 1
    return x1, x2


def correlate(a, b):
    return np.array([np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(min(a.shape[1], b.shape[1]))])


# ---------------------------------------------------------------- linear CCA


@pytest.mark.parametrize("regularisation", [0.0, 0.3])
def test_correlations_solve_the_generalised_eigenproblem(regularisation):
    x1, x2 = views()
    c11, c22 = np.cov(x1.T, bias=True), np.cov(x2.T, bias=True)
    c12 = (x1 - x1.mean(0)).T @ (x2 - x2.mean(0)) / len(x1)
    c11 += regularisation * np.trace(c11) / 5 * np.eye(5)
    c22 += regularisation * np.trace(c22) / 4 * np.eye(4)
    squares = eigh(c12 @ np.linalg.solve(c22, c12.T), c11, eigvals_only=True)[::-1][:4]
    found = linear_cca(x1, x2, regularisation=regularisation)
    np.testing.assert_allclose(found.correlations, np.sqrt(squares), atol=1e-8)


def test_variates_are_scikit_learns():
    x1, x2 = views()
    found, other = linear_cca(x1, x2), CCA(n_components=2, scale=False, max_iter=5000, tol=1e-12).fit(x1, x2)
    for ours, theirs in zip((found.project1(x1), found.project2(x2)), other.transform(x1, x2), strict=True):
        np.testing.assert_allclose(np.abs(correlate(ours[:, :2], theirs)), 1, atol=1e-5)


def test_variates_are_white_and_correlate_as_said():
    x1, x2 = views()
    found = linear_cca(x1, x2)
    v1, v2 = found.project1(x1), found.project2(x2)
    np.testing.assert_allclose(np.cov(v1.T, bias=True), np.eye(5), atol=1e-9)
    np.testing.assert_allclose(np.cov(v2.T, bias=True), np.eye(4), atol=1e-9)
    np.testing.assert_allclose(correlate(v1, v2), found.correlations, atol=1e-9)
    assert found.shared() == 2


def test_invertible_maps_of_a_view_change_no_correlation():
    x1, x2 = views()
    rng = np.random.default_rng(5)
    plain = linear_cca(x1, x2)
    moved = linear_cca(x1 @ rng.normal(size=(5, 5)) + 3, x2 @ rng.normal(size=(4, 4)))
    np.testing.assert_allclose(moved.correlations, plain.correlations, atol=1e-7)


def test_weights_are_repetitions():
    x1, x2 = views(60)
    times = np.random.default_rng(0).integers(1, 5, size=60)
    weighted, repeated = linear_cca(x1, x2, weights=times), linear_cca(np.repeat(x1, times, 0), np.repeat(x2, times, 0))
    np.testing.assert_allclose(weighted.correlations, repeated.correlations)
    np.testing.assert_allclose(weighted.means[0], repeated.means[0])


def test_blocks_change_nothing(monkeypatch):
    x1, x2 = views()
    whole = linear_cca(x1, x2).correlations
    monkeypatch.setattr(references, "BLOCK", 37)
    np.testing.assert_allclose(linear_cca(x1, x2).correlations, whole, atol=1e-12)


def test_directions_without_variance_are_left_out():
    x1, x2 = views()
    wider = np.hstack([x1, x1[:, :2] - x1[:, 1:3], np.full((len(x1), 1), 1e3)]).astype(np.float32)
    found = linear_cca(wider, x2)
    assert found.project1(wider).shape == (500, 5)
    np.testing.assert_allclose(found.correlations, linear_cca(x1, x2).correlations, atol=1e-5)


def test_views_that_cannot_be_fitted_are_refused():
    x1, x2 = views()
    with pytest.raises(ValueError, match="500 and 499 rows do not pair"):
        linear_cca(x1, x2[1:])
    with pytest.raises(ValueError, match="view 2 is constant"):
        linear_cca(x1, np.full((500, 3), 1e5 / 3))
    x1[4, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        linear_cca(x1, x2)


# ---------------------------------------------------------------- rows for the probe


def small_simulation(n=6000, d=4, seed=0):
    rng = np.random.default_rng(seed)
    zc, zs1, zs2 = (rng.normal(size=(n, d)) for _ in range(3))
    x1, x2 = (np.hstack([zs, zc]) @ rng.uniform(-1, 1, (2 * d, 2 * d)) for zs in (zs1, zs2))
    return x1.astype(np.float32), x2.astype(np.float32), {"zc": zc, "zs1": zs1, "zs2": zs2}


def test_cca_is_the_oracle_on_clean_linear_data():
    x1, x2, latents = small_simulation()
    train, test = np.arange(4000), np.arange(4000, 6000)
    codes = probe_references(x1, x2, train, latents)
    assert {reference for reference, _ in codes} == {"oracle", "raw", "linear_cca"}
    assert codes["linear_cca", "zc"].shape == (6000, 8)
    for latent, own in (("zc", "zc"), ("zs1", "zs1"), ("zs2", "zs2")):
        y = (latents[latent].sum(axis=1) > 0).astype(int)
        for name in ("zc", "zs1", "zs2"):
            cca, oracle = (
                probe_accuracies(code[train], {"y": y[train]}, code[test], {"y": y[test]})["y"]
                for code in (codes["linear_cca", name], codes["oracle", name])
            )
            assert cca == pytest.approx(oracle, abs=0.03)
            assert (oracle > 0.95) == (name == own)


def test_unrelated_views_share_nothing_and_the_probe_still_runs():
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(2, 400, 3))
    codes = probe_references(x1, x2, np.arange(300))
    assert ("oracle", "zc") not in codes
    assert codes["linear_cca", "zc"].shape == (400, 0)
    assert codes["linear_cca", "zs1"].shape == (400, 3)
    y = (np.arange(400) % 3 == 0).astype(int)
    code = codes["linear_cca", "zc"]
    accuracy = probe_accuracies(code[:300], {"y": y[:300]}, code[300:], {"y": y[300:]})["y"]
    assert accuracy == chance(y[300:])


def test_cca_is_fitted_to_training_pairs_alone():
    x1, x2, _ = small_simulation(600)
    before = probe_references(x1, x2, np.arange(400))
    x1[400:] += 10
    after = probe_references(x1, x2, np.arange(400))
    np.testing.assert_array_equal(before["linear_cca", "zc1"][:400], after["linear_cca", "zc1"][:400])


def test_chance():
    assert chance(np.array([0, 1, 1, 2, -1, -1, -1])) == 0.5
    with pytest.raises(ValueError, match="none of 2"):
        chance(np.array([-1, -1]))


# ---------------------------------------------------------------- drug screens


def screen(molecules, seed, profiles=(1, 6), noise=1.0):
    """Molecules whose first features drive the phenotype; several profiles each."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(molecules, 10))
    truth = np.repeat(np.arange(molecules), rng.integers(*profiles, size=molecules))
    effect = np.random.default_rng(99).normal(size=(10, 25))
    phenotypes = features[truth] @ effect + 3 * noise * rng.normal(size=(len(truth), 25))
    return ScreenSplit(phenotypes.astype(np.float32), features.astype(np.float32), truth, truth.astype(str))


def test_shared_variates_are_those_that_correlate_on_validation():
    """Profile by profile, every molecule weighing the same."""
    train, validation = screen(60, 0, noise=2), screen(30, 1, noise=2)
    cca, shared = validated_cca(train, validation)
    weights = [1 / list(validation.groups).count(group) for group in validation.groups]
    first, second = cca.project1(validation.phenotypes), cca.project2(validation.molecules[validation.truth])
    found = [np.cov(first[:, k], second[:, k], aweights=weights, ddof=0) for k in range(len(cca.correlations))]
    expected = [bool(one[0, 1] / np.sqrt(one[0, 0] * one[1, 1]) > 0.5) for one in found]
    assert shared.tolist() == expected and 0 < sum(expected) < len(expected)
    chosen = regularised_cca(train, validation).chosen["regularisation"]
    again = linear_cca(train.phenotypes, train.molecules[train.truth], regularisation=chosen, weights=train.weights())
    assert np.array_equal(cca.correlations, again.correlations)


FITS = [pytest.param(regularised_cca, id="cca"), pytest.param(ridge, id="ridge")]


def mrr(reference, split):
    codes = reference.encode_phenotype(split.phenotypes), reference.encode_molecule(split.molecules)
    return summarise(retrieval_rows(*codes, split.truth, split.groups), "per_molecule")["mrr"]


@pytest.mark.parametrize("fit", FITS)
def test_unseen_molecules_are_found(fit):
    reference = fit(screen(80, 0), screen(30, 1))
    assert mrr(reference, screen(30, 2)) > 3 * random_metrics(30)["mrr"]


@pytest.mark.parametrize("fit", FITS)
def test_settings_are_the_best_on_validation(fit):
    validation = screen(30, 1, noise=3)
    reference = fit(screen(40, 0, noise=3), validation)
    scores = [row["validation_mrr"] for row in reference.grid]
    assert reference.chosen == reference.grid[int(np.argmax(scores))]
    assert mrr(reference, validation) == pytest.approx(max(scores))
    assert len(scores) == (10 if fit is regularised_cca else 6)  # 8 and 10 of 8, 16, ... variates exist


def test_of_equal_scores_the_simplest_is_taken():
    alone = screen(1, 1)  # one candidate: every setting is perfect
    assert ridge(screen(40, 0), alone).chosen == {"strength": 100.0, "validation_mrr": 1.0}
    chosen = regularised_cca(screen(40, 0), alone).chosen
    assert chosen == {"regularisation": 100.0, "components": 8, "validation_mrr": 1.0}


@pytest.mark.parametrize("fit", FITS)
def test_every_group_weighs_the_same(fit):
    train, validation = screen(40, 0), screen(10, 1)
    again = np.concatenate([np.arange(len(train.truth)), *[np.flatnonzero(train.truth == 3)] * 50])
    repeated = ScreenSplit(train.phenotypes[again], train.molecules, train.truth[again], train.groups[again])
    plain, other = fit(train, validation), fit(repeated, validation)
    assert other.chosen == pytest.approx(plain.chosen)
    for codes in (
        [reference.encode_phenotype(validation.phenotypes) for reference in (plain, other)],
        [reference.encode_molecule(validation.molecules) for reference in (plain, other)],
    ):
        # Up to the sign that eigenvectors are free to have.
        np.testing.assert_allclose(np.abs(codes[0]), np.abs(codes[1]), rtol=1e-4, atol=1e-6)


def test_ridge_is_scikit_learns():
    train, validation = screen(40, 0, profiles=(3, 4)), screen(10, 1)
    found = ridge(train, validation, strengths=(0.2,), components=6)
    pca = PCA(6).fit(train.phenotypes.astype(float))  # every group has three profiles: equal weights
    targets = pca.transform(train.phenotypes.astype(float))
    codes = found.encode_phenotype(validation.phenotypes)
    signs = np.sign((codes * pca.transform(validation.phenotypes.astype(float))).sum(axis=0))
    np.testing.assert_allclose(codes * signs, pca.transform(validation.phenotypes.astype(float)), atol=1e-4)
    weights = train.weights()
    features = train.molecules[train.truth].astype(float)
    alpha = 0.2 * weights.sum() * np.trace(np.cov(features.T, aweights=weights, bias=True)) / 10
    model = Ridge(alpha=alpha).fit(features, targets, sample_weight=weights)
    expected = model.predict(validation.molecules.astype(float))
    np.testing.assert_allclose(found.encode_molecule(validation.molecules) * signs, expected, atol=1e-4)


def test_cca_encoders_are_variates_weighted_by_their_correlation():
    train, validation = screen(40, 0), screen(10, 1)
    found = regularised_cca(train, validation, regularisations=(0.5,), components=(3,))
    cca = linear_cca(train.phenotypes, train.molecules[train.truth], regularisation=0.5, weights=train.weights())
    expected = cca.project1(validation.phenotypes)[:, :3] * cca.correlations[:3]
    np.testing.assert_allclose(found.encode_phenotype(validation.phenotypes), expected, atol=1e-8)
    expected = cca.project2(validation.molecules)[:, :3] * cca.correlations[:3]
    np.testing.assert_allclose(found.encode_molecule(validation.molecules), expected, atol=1e-8)


@pytest.mark.parametrize("fit", FITS)
def test_fewer_molecules_than_features(fit):
    reference = fit(screen(6, 0), screen(5, 1))
    assert np.isfinite(reference.encode_molecule(screen(5, 2).molecules)).all()


@pytest.mark.parametrize("fit", FITS)
def test_empty_validation_is_refused(fit):
    none = ScreenSplit(np.zeros((0, 25)), np.zeros((0, 10)), np.zeros(0, int), np.zeros(0, str))
    with pytest.raises(ValueError, match="validation has no profile"):
        fit(screen(6, 0), none)


# ---------------------------------------------------------------- nearest neighbours


def fingerprint_screen(molecules, seed, bits=24):
    """Molecules whose bits drive the phenotype; several profiles each."""
    rng = np.random.default_rng(seed)
    fingerprints = (rng.uniform(size=(molecules, bits)) < 0.3).astype(np.float32)
    truth = np.repeat(np.arange(molecules), rng.integers(1, 4, size=molecules))
    effect = np.random.default_rng(98).normal(size=(bits, 25))
    phenotypes = fingerprints[truth] @ effect + rng.normal(size=(len(truth), 25))
    return ScreenSplit(phenotypes.astype(np.float32), fingerprints, truth, truth.astype(str))


def likeness(a, b):
    """Tanimoto similarity of two fingerprints, from sets."""
    a, b = (set(np.flatnonzero(one).tolist()) for one in (a, b))
    return len(a & b) / len(a | b) if a | b else 0.0


def test_tanimoto_is_that_of_sets():
    first, second = (fingerprint_screen(9, seed).molecules for seed in (0, 1))
    first[3] = second[5] = 0
    expected = [[likeness(a, b) for b in second] for a in first]
    np.testing.assert_allclose(tanimoto(first, second), expected, atol=1e-12)


@pytest.mark.parametrize("kept", [1, 3, 100])
def test_a_molecule_has_the_weighted_mean_phenotype_of_its_neighbours(kept):
    train, validation = fingerprint_screen(30, 0), fingerprint_screen(12, 1)
    validation.molecules[4] = 0  # nothing is like it
    found = nearest_neighbour(train, validation, neighbours=(kept,), components=5)
    codes = found.encode_phenotype(train.phenotypes)
    for molecule, code in zip(validation.molecules, found.encode_molecule(validation.molecules), strict=True):
        similar = [likeness(molecule, other) for other in train.molecules]
        nearest = sorted(range(30), key=lambda k, similar=similar: (-similar[k], k))[:kept]
        total = sum(similar[k] for k in nearest)
        means = [codes[train.truth == k].mean(axis=0) for k in nearest]
        expected = sum(similar[k] / total * mean for k, mean in zip(nearest, means, strict=True)) if total else 0 * code
        np.testing.assert_allclose(code, expected, atol=1e-9)


def test_phenotypes_of_neighbours_are_ridges():
    train, validation = fingerprint_screen(30, 0), fingerprint_screen(12, 1)
    codes = [fit(train, validation, components=6).encode_phenotype(validation.phenotypes)
             for fit in (ridge, nearest_neighbour)]  # fmt: skip
    np.testing.assert_array_equal(*codes)


def test_the_number_of_neighbours_is_the_best_on_validation():
    train, validation = fingerprint_screen(60, 0), fingerprint_screen(25, 1)
    found = nearest_neighbour(train, validation)
    scores = {
        kept: mrr(nearest_neighbour(train, validation, neighbours=(kept,)), validation) for kept in (20, 10, 5, 3, 1)
    }
    assert {row["neighbours"]: row["validation_mrr"] for row in found.grid} == pytest.approx(scores)
    assert len(set(scores.values())) > 1, "else the choice could be any"
    assert scores[found.chosen["neighbours"]] == max(scores.values())
    # 4 training molecules have no 5 neighbours.
    assert [row["neighbours"] for row in nearest_neighbour(fingerprint_screen(4, 0), validation).grid] == [4, 3, 1]


def test_neighbours_find_unseen_molecules():
    reference = nearest_neighbour(fingerprint_screen(200, 0), fingerprint_screen(30, 1))
    assert mrr(reference, fingerprint_screen(30, 2)) > 2 * random_metrics(30)["mrr"]
