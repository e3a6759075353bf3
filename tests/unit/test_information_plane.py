"""The information plane against the literal Gaussian bottleneck, numerical optimisation and real vMF samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import vonmises_fisher

from disentangledssl.evaluation.information_plane import (
    Covariances,
    canonical_correlations,
    channel_information,
    gaussian_bottleneck,
    highest_relevance,
    linear_information,
    mean_resultant_length,
    mutual_information,
    sample_covariances,
)
from disentangledssl.sources.simulation import LATENT_DIMENSIONS, LATENT_VARIANCE, simulate
from disentangledssl.vmf import noise_around_first_axis, sample


def population_covariances(mixing1, mixing2, *, shared, latent_variance, noise):
    """Exact covariances of x_m = [zs_m, zc] T_m + N(0, noise^2 I); the last ``shared`` rows of T_m carry zc."""
    within = (latent_variance * t.T @ t + noise**2 * np.eye(t.shape[1]) for t in (mixing1, mixing2))
    return Covariances(*within, latent_variance * mixing1[-shared:].T @ mixing2[-shared:])


def views(seed=0, specific=3, shared=4, noise=0.3):
    """The noisy simulation in miniature: mixing matrices and the population's covariances."""
    rng = np.random.default_rng(seed)
    width = specific + shared
    mixing = [rng.uniform(-1, 1, (width, width)) for _ in range(2)]
    return mixing, population_covariances(*mixing, shared=shared, latent_variance=0.5, noise=noise)


def draw(mixing, pairs, seed=1, shared=4, noise=0.3):
    rng = np.random.default_rng(seed)
    zc = np.sqrt(0.5) * rng.normal(size=(pairs, shared))
    zs = [np.sqrt(0.5) * rng.normal(size=(pairs, len(t) - shared)) for t in mixing]
    return [np.hstack([s, zc]) @ t + noise * rng.normal(size=(pairs, len(t))) for s, t in zip(zs, mixing, strict=True)]


def bits(covariance_total, covariance_given):
    return (np.linalg.slogdet(covariance_total)[1] - np.linalg.slogdet(covariance_given)[1]) / (2 * np.log(2))


def literal_bottleneck(covariances, beta):
    """Theorem 3.1 of Chechik et al.: T = A x1 + N(0, I), rows of A scaled left eigenvectors of C(x1|x2) C(x1)^-1."""
    x1, x2, cross = covariances
    given = x1 - cross @ np.linalg.inv(x2) @ cross.T
    eigenvalues, left = np.linalg.eig((given @ np.linalg.inv(x1)).T)
    rows = []
    for eigenvalue, v in zip(eigenvalues.real, left.real.T, strict=True):
        if beta * (1 - eigenvalue) > 1:
            rows.append(np.sqrt((beta * (1 - eigenvalue) - 1) / (eigenvalue * (v @ x1 @ v))) * v)
    return np.array(rows).reshape(-1, len(x1))


def point(projection, noise, covariances):
    """Both coordinates from determinants, T = projection x1 + N(0, noise)."""
    x1, x2, cross = covariances
    total = projection @ x1 @ projection.T + noise
    given2 = projection @ (x1 - cross @ np.linalg.inv(x2) @ cross.T) @ projection.T + noise
    return bits(total, noise), bits(total, given2)


# ---------------------------------------------------------------- the curve


@pytest.mark.parametrize("seed", [0, 1])
def test_curve_is_the_literal_bottleneck(seed):
    covariances = views(seed)[1]
    multipliers = np.array([0.5, 1.0, 1.02, 1.4, 1.6, 2, 5, 30, 1e4])
    curve = gaussian_bottleneck(covariances, multipliers=multipliers)
    assert (curve.multipliers == multipliers).all()
    for beta, own, other in zip(*curve, strict=True):
        projection = literal_bottleneck(covariances, beta)
        assert (own, other) == pytest.approx(point(projection, np.eye(len(projection)), covariances), abs=1e-8)
    assert curve.own[0] == curve.other[0] == 0 and curve.own[-1] > curve.own[3] > 0


def test_no_encoder_found_by_optimisation_is_better():
    covariances = views(2, specific=1, shared=2)[1]
    beta = 3.0
    curve = gaussian_bottleneck(covariances, multipliers=np.array([beta]))

    def lagrangian(flat):
        own, other = channel_information(flat.reshape(3, 3), np.eye(3), covariances)
        return own - beta * other

    best = min(minimize(lagrangian, np.random.default_rng(seed).normal(size=9), method="BFGS").fun for seed in range(4))
    assert best == pytest.approx(curve.own[0] - beta * curve.other[0], abs=1e-5)


def test_points_are_equally_spaced_and_agree_with_their_multipliers():
    covariances = views()[1]
    curve = gaussian_bottleneck(covariances, points=50)
    np.testing.assert_allclose(np.diff(curve.own), curve.own[-1] / 49)
    assert curve.own[-1] == pytest.approx(2 * mutual_information(covariances))
    again = gaussian_bottleneck(covariances, multipliers=curve.multipliers)
    np.testing.assert_allclose(again.own, curve.own, atol=1e-9)
    np.testing.assert_allclose(again.other, curve.other, atol=1e-9)
    np.testing.assert_allclose(highest_relevance(covariances, curve.own), curve.other)
    assert gaussian_bottleneck(covariances, points=3, end=0.5).own == pytest.approx([0, 0.25, 0.5])


def test_curve_is_concave_with_the_multipliers_as_slope_and_ends_at_the_mutual_information():
    covariances = views()[1]
    curve = gaussian_bottleneck(covariances, points=4000)
    slopes = np.diff(curve.other) / np.diff(curve.own)
    assert (np.diff(slopes) < 1e-9).all()
    np.testing.assert_allclose(slopes, 1 / np.sqrt(curve.multipliers[1:] * curve.multipliers[:-1]), rtol=1e-3)
    assert slopes[0] == pytest.approx(canonical_correlations(covariances)[0] ** 2, rel=1e-2)
    x1, x2, cross = covariances
    joint = np.block([[x1, cross], [cross.T, x2]])
    total = -bits(joint, np.zeros((0, 0))) + bits(x1, np.zeros((0, 0))) + bits(x2, np.zeros((0, 0)))
    assert mutual_information(covariances) == pytest.approx(total)
    assert highest_relevance(covariances, 200.0) == pytest.approx(total, rel=1e-6)
    assert (curve.other < total).all() and (curve.other[1:] < curve.own[1:]).all()


def test_one_correlation_is_the_scalar_formula():
    # T with a share q of noise-free variance: I = -1/2 log(1 - q), -1/2 log(1 - q r^2).
    covariances = Covariances(np.array([[2.0]]), np.array([[3.0]]), np.array([[0.8 * np.sqrt(6)]]))
    q = np.array([0, 0.2, 0.9, 0.999])
    np.testing.assert_allclose(
        highest_relevance(covariances, -np.log2(1 - q) / 2), -np.log2(1 - 0.64 * q) / 2, atol=1e-12
    )


def test_linear_maps_of_the_views_change_nothing():
    covariances = views()[1]
    a, b = np.random.default_rng(9).normal(size=(2, 7, 7))
    mapped = Covariances(a.T @ covariances.x1 @ a, b.T @ covariances.x2 @ b, a.T @ covariances.cross @ b)
    np.testing.assert_allclose(canonical_correlations(mapped), canonical_correlations(covariances), atol=1e-9)
    # A feature said twice, and one that never varies.
    wider = np.hstack([np.eye(7), np.eye(7)[:, :1], np.zeros((7, 1))])
    mapped = Covariances(wider.T @ covariances.x1 @ wider, covariances.x2, wider.T @ covariances.cross)
    np.testing.assert_allclose(canonical_correlations(mapped), canonical_correlations(covariances), atol=1e-9)
    assert canonical_correlations(covariances.swapped()) == pytest.approx(canonical_correlations(covariances))


def test_views_that_share_nothing():
    covariances = Covariances(np.eye(3), np.eye(2), np.zeros((3, 2)))
    assert mutual_information(covariances) == 0
    assert (highest_relevance(covariances, np.array([0.0, 5.0])) == 0).all()
    with pytest.raises(ValueError, match="an end above 0 bits, got 200 and"):
        gaussian_bottleneck(covariances)


def test_curve_input_that_has_no_answer_is_refused():
    covariances = views()[1]
    with pytest.raises(ValueError, match="4 canonical correlations are 1"):
        gaussian_bottleneck(views(noise=0)[1])
    with pytest.raises(ValueError, match=r"canonical correlation is 1\.5"):
        canonical_correlations(Covariances(np.eye(2), np.eye(2), 1.5 * np.eye(2)))
    with pytest.raises(ValueError, match="holds NaN"):
        canonical_correlations(covariances._replace(x2=np.full((7, 7), np.nan)))
    with pytest.raises(ValueError, match=r"\(7, 7\), \(7, 7\) and \(7, 3\) do not fit"):
        canonical_correlations(covariances._replace(cross=np.zeros((7, 3))))
    with pytest.raises(ValueError, match="no variance"):
        canonical_correlations(covariances._replace(x1=np.zeros((7, 7))))
    with pytest.raises(ValueError, match=r"must be positive numbers, got -1.0 to 2.0"):
        gaussian_bottleneck(covariances, multipliers=np.array([2.0, -1.0]))
    with pytest.raises(ValueError, match="at least 2 points and an end above 0 bits, got 1"):
        gaussian_bottleneck(covariances, points=1)
    with pytest.raises(ValueError, match="0 bits or more, got -1"):
        highest_relevance(covariances, -1.0)
    with pytest.raises(ValueError, match="views of 3 and 2 rows"):
        sample_covariances(np.zeros((3, 2)), np.zeros((2, 2)))


# ---------------------------------------------------------------- covariances


def test_population_covariances_are_those_of_the_noisy_simulation():
    pairs, noise = 20_000, 1.0
    clean, latents, _ = simulate("entangled", pairs, 0, 0.0)
    noisy, _, _ = simulate("noisy", pairs, 0, noise)
    # Without noise, the mixing is found exactly.
    mixing = [
        np.linalg.lstsq(np.hstack([latents[f"zs{m}"], latents["zc"]]), view)[0] for m, view in enumerate(clean, 1)
    ]
    population = population_covariances(*mixing, shared=LATENT_DIMENSIONS, latent_variance=LATENT_VARIANCE, noise=noise)
    found = sample_covariances(*noisy)
    for ours, theirs in zip(population, found, strict=True):
        # Standard error of a covariance of variables with variances around 18.
        np.testing.assert_allclose(ours, theirs, atol=6 * 18 / np.sqrt(pairs))
    gain = 100 * 100 / (2 * pairs * np.log(2))
    assert mutual_information(found) - mutual_information(population) == pytest.approx(gain, rel=0.25)


# ---------------------------------------------------------------- the vMF's moments


@pytest.mark.parametrize(
    ("dimensions", "kappa"), [(2, 0.3), (3, 5.0), (10, 1e-3), (100, 1000.0), (300, 1.0), (32, 1e5)]
)
def test_mean_resultant_length_is_the_integral(dimensions, kappa):
    # In the angle, around the mode, so that the integrands neither overflow nor hide between the nodes.
    mode = np.arctan2(np.sqrt(max(dimensions - 2, 0.25)), np.sqrt(max(kappa, 1e-9)))

    def density(angle):
        sine = np.sin(angle) / np.sin(mode)
        return np.exp(kappa * (np.cos(angle) - np.cos(mode)) + (dimensions - 2) * np.log(np.maximum(sine, 1e-300)))

    # The mean cosine of small kappa is a difference of nearly equal halves: fold them upon each other.
    width = 12 / np.sqrt(max(dimensions + kappa, 1))
    inner = [p for p in (mode - width, mode, mode + width) if 0 < p < np.pi]
    total = quad(density, 0, np.pi, points=inner, epsabs=0, epsrel=1e-11, limit=500)[0]
    moment = quad(
        lambda t: np.cos(t) * (density(t) - density(np.pi - t)), 0, np.pi / 2, epsabs=0, epsrel=1e-11, limit=500,
        points=[p for p in inner if p < np.pi / 2] or None,
    )[0]  # fmt: skip
    assert mean_resultant_length(dimensions, kappa) == pytest.approx(moment / total, rel=1e-6)


@pytest.mark.parametrize("kappa", [0.5, 2.0])
@pytest.mark.parametrize("dimensions", [600, 1200])
def test_mean_resultant_length_where_bessel_functions_underflow(dimensions, kappa):
    # kappa / d to first order; the next term is smaller by kappa^2 / d^2.
    assert mean_resultant_length(dimensions, kappa) == pytest.approx(
        kappa / dimensions, rel=2 * (kappa / dimensions) ** 2
    )


# ---------------------------------------------------------------- encoders


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def random_encoder(kind, rng, features, dimensions):
    first, second = rng.normal(size=(features, 16)), rng.normal(size=(16, dimensions))
    if kind == "linear":
        return lambda x: unit(x @ first @ second)
    if kind == "offset":
        return lambda x: unit(0.05 * x @ first @ second + 1)
    return lambda x: unit(np.maximum(x @ first, 0) @ second)


@pytest.mark.parametrize("kind", ["linear", "offset", "relu"])
@pytest.mark.parametrize("kappa", [3.0, 50.0, 1000.0])
def test_no_encoder_lies_above_the_curve(kind, kappa):
    mixing, covariances = views()
    for seed in range(3):
        x1, x2 = draw(mixing, 3000, seed=seed)
        mu = random_encoder(kind, np.random.default_rng(seed), 7, 5)(x1)
        for used in (covariances, sample_covariances(x1, x2)):
            own, other = linear_information(mu, kappa, x1, used)
            assert 0 < other <= own
            # By construction, not only up to sampling error.
            assert other <= highest_relevance(used, own) + 1e-9


@pytest.mark.parametrize("beta", [1.5, 3.0, 10.0])
def test_the_optimal_linear_channel_lies_on_the_curve(beta):
    covariances = views()[1]
    projection = literal_bottleneck(covariances, beta)
    noise = np.cov(np.random.default_rng(0).normal(size=(len(projection), 50)))
    noise = np.atleast_2d(noise)
    weights = projection.T @ np.linalg.cholesky(noise).T
    own, other = channel_information(weights, noise, covariances)
    assert (own, other) == pytest.approx(point(weights.T, noise, covariances), abs=1e-9)
    assert other == pytest.approx(highest_relevance(covariances, own), abs=1e-9)


@pytest.mark.parametrize("beta", [1.5, 3.0, 10.0])
def test_a_vmf_encoder_built_from_the_optimum_lies_on_the_curve(beta):
    mixing, covariances = views()
    curve = gaussian_bottleneck(covariances, multipliers=np.array([beta]))
    x1, _ = draw(mixing, 40_000)
    projected = x1 @ literal_bottleneck(covariances, beta).T
    # A small cap of the sphere is flat: directions (small projection, 1), sampling noise as small.
    small = 1e-3
    mu = unit(np.hstack([small * projected, np.ones((len(x1), 1))]))
    own, other = linear_information(mu, small**-2, x1, covariances)
    assert own == pytest.approx(curve.own[0], rel=0.01)
    assert other == pytest.approx(curve.other[0], rel=0.01)
    assert highest_relevance(covariances, own) - other < 0.002 * other
    # The same width, turned to random directions: as many bits of x1, fewer that x2 knows.
    turned = x1 @ np.random.default_rng(0).normal(size=(7, projected.shape[1]))
    turned *= projected.std() / turned.std()
    own, other = linear_information(
        unit(np.hstack([small * turned, np.ones((len(x1), 1))])), small**-2, x1, covariances
    )
    assert other < 0.9 * highest_relevance(covariances, own)


@pytest.mark.parametrize(("kind", "kappa"), [("linear", 4.0), ("relu", 30.0), ("offset", 1000.0)])
def test_both_coordinates_are_those_of_regressions_on_real_samples(kind, kappa):
    mixing, covariances = views()
    x1, x2 = draw(mixing, 200_000)
    mu = random_encoder(kind, np.random.default_rng(1), 7, 5)(x1)
    normal = torch.randn(mu.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    s = sample(torch.from_numpy(mu)[None], noise_around_first_axis(normal, kappa)[None])[0].numpy()
    joint = np.cov(np.hstack([s, x1, x2]), rowvar=False)
    code, own, other = slice(0, 5), slice(5, 12), slice(12, 19)
    expected = [
        bits(
            joint[code, code],
            joint[code, code] - joint[code, view] @ np.linalg.solve(joint[view, view], joint[view, code]),
        )
        for view in (own, other)
    ]
    assert linear_information(mu, kappa, x1, covariances) == pytest.approx(expected, rel=0.01, abs=2e-3)


def test_sampling_noise_is_scipys():
    # A collapsed code of two directions, unrelated to x: all of T is noise, whose covariance has a literal value.
    x = np.random.default_rng(0).normal(size=(4000, 2))
    mu = unit(np.where(np.arange(4000)[:, None] % 2, [1.0, 0.2, 0.0], [0.3, 1.0, 0.5]))
    kappa = 6.0
    drawn = np.vstack([vonmises_fisher(mu[k], kappa, seed=k).rvs(200_000) for k in (0, 1)])
    resultant = mean_resultant_length(3, kappa)
    across, along = resultant / kappa, 1 - 3 * resultant / kappa - resultant**2
    means = mu[:2].mean(axis=0)
    second = mu[:2].T @ mu[:2] / 2
    ours = across * np.eye(3) + along * second + resultant**2 * (second - np.outer(means, means))
    np.testing.assert_allclose(ours, np.cov(drawn, rowvar=False), atol=2e-3)
    information = linear_information(mu, kappa, x, Covariances(np.eye(2), np.eye(2), 0.5 * np.eye(2)))
    assert information == pytest.approx((0, 0), abs=2e-3)


def test_rotations_linear_maps_of_x_and_dependent_features_change_nothing():
    mixing, covariances = views()
    x1, _ = draw(mixing, 2000)
    mu = random_encoder("relu", np.random.default_rng(0), 7, 5)(x1)
    before = linear_information(mu, 20.0, x1, covariances)
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(5, 5)))[0]
    assert linear_information(mu @ rotation, 20.0, x1, covariances) == pytest.approx(before, abs=1e-9)
    wider = np.hstack([np.random.default_rng(6).normal(size=(7, 7)), np.zeros((7, 2))])
    mapped = Covariances(wider.T @ covariances.x1 @ wider, covariances.x2, wider.T @ covariances.cross)
    assert linear_information(mu, 20.0, x1 @ wider + 3, mapped) == pytest.approx(before, abs=1e-7)
    # Dimensions that are always 0 change the vMF, by little where kappa is large, and never break the determinants.
    padded = np.hstack([mu, np.zeros((len(mu), 3))])
    near = linear_information(mu, 1e5, x1, covariances)
    assert linear_information(padded, 1e5, x1, covariances) == pytest.approx(near, rel=1e-3)


def test_more_concentration_is_more_information():
    mixing, covariances = views()
    x1, _ = draw(mixing, 2000)
    mu = random_encoder("linear", np.random.default_rng(0), 7, 5)(x1)
    points = np.array([linear_information(mu, kappa, x1, covariances) for kappa in (0.01, 1, 10, 100, 1e4)])
    assert (np.diff(points, axis=0) > 0).all()
    assert points[0] == pytest.approx([0, 0], abs=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kappa", [1.0, 1000.0, 1e6])
def test_a_collapsed_encoder_is_at_the_origin(kappa, dtype):
    mixing, covariances = views()
    x1, _ = draw(mixing, 500)
    mu = np.tile(unit(np.arange(1.0, 101)[None]), (500, 1)).astype(dtype)
    assert linear_information(mu, kappa, x1, covariances) == (0, 0)


def test_what_is_carried_nonlinearly_counts_as_noise():
    mixing, covariances = views()
    x1, _ = draw(mixing, 20_000)
    angle = np.abs(x1[:, 0])
    mu = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert linear_information(mu, 1000.0, x1, covariances) == pytest.approx((0, 0), abs=5e-3)


def test_single_precision_gives_the_same_point():
    mixing, covariances = views()
    x1, _ = draw(mixing, 5000)
    mu = random_encoder("offset", np.random.default_rng(0), 7, 5)(x1)
    single = linear_information(mu.astype(np.float32), 1000.0, x1.astype(np.float32), covariances)
    assert single == pytest.approx(linear_information(mu, 1000.0, x1, covariances), abs=1e-4)


def test_encoder_input_that_does_not_fit_is_refused():
    mixing, covariances = views()
    x1, _ = draw(mixing, 50)
    mu = unit(np.random.default_rng(0).normal(size=(50, 5)))
    broken = mu.copy()
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="mean directions hold NaN"):
        linear_information(broken, 10.0, x1, covariances)
    with pytest.raises(ValueError, match=r"directions \(50, 5\), x \(49, 7\)"):
        linear_information(mu, 10.0, x1[:49], covariances)
    with pytest.raises(ValueError, match=r"x \(50, 3\) and a covariance \(7, 7\)"):
        linear_information(mu, 10.0, x1[:, :3], covariances)
    with pytest.raises(ValueError, match="1 pairs are too few for a regression on 7 features"):
        linear_information(mu[:1], 10.0, x1[:1], covariances)
    with pytest.raises(ValueError, match=r"must have length 1, got .* to 2"):
        linear_information(np.vstack([mu[:-1], 2 * mu[-1:]]), 10.0, x1, covariances)
    with pytest.raises(ValueError, match=r"at least 2 dimensions and kappa > 0, got 1 and 10\.0"):
        linear_information(np.ones((50, 1)), 10.0, x1, covariances)
    for kappa in (0.0, np.inf, np.nan):
        with pytest.raises(ValueError, match=f"kappa > 0, got 5 and {kappa}"):
            linear_information(mu, kappa, x1, covariances)
    with pytest.raises(ValueError, match=r"weights \(6, 5\) and noise \(5, 5\) do not fit"):
        channel_information(np.zeros((6, 5)), np.eye(5), covariances)
    with pytest.raises(ValueError, match="positive definite, its smallest eigenvalue is 0"):
        channel_information(np.zeros((7, 5)), np.zeros((5, 5)), covariances)
