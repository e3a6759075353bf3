"""vMF samples against scipy, the exact law of their cosine, and the reflection's geometry and gradient."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import cumulative_simpson, quad
from scipy.special import ive, ndtr, xlogy
from scipy.stats import ks_2samp, kstest, vonmises_fisher

from disentangledssl.vmf import direction, noise_around_first_axis, sample

SAMPLES = 20_000
CASES = [(d, kappa) for d in (2, 3, 10, 100) for kappa in (0.5, 10.0, 1000.0)]


def random_mean(dimensions, seed=0):
    mean = np.random.default_rng(seed).normal(size=dimensions)
    return mean / np.linalg.norm(mean)


def draw(mean, kappa, samples=SAMPLES, seed=1, dtype=torch.float64):
    draws = torch.Generator().manual_seed(seed)
    normal = torch.randn(samples, len(mean), generator=draws, dtype=dtype)
    noise = noise_around_first_axis(normal, kappa)
    means = torch.tensor(mean, dtype=dtype).expand_as(noise)
    return sample(means[None], noise[None])[0].double().numpy()


def mean_resultant_length(dimensions, kappa):
    return ive(dimensions / 2, kappa) / ive(dimensions / 2 - 1, kappa)


def exact_cdf(dimensions, kappa):
    """Distribution function of the cosine: density proportional to (1 - w^2)^((d-3)/2) exp(kappa w)."""
    angle = np.linspace(0, np.pi, 400_001)
    height = kappa * (np.cos(angle) - 1) + xlogy(dimensions - 2, np.abs(np.sin(angle)))
    below = cumulative_simpson(np.exp(height - height.max()), x=angle, initial=0)
    return lambda cosine: 1 - np.interp(np.arccos(np.clip(cosine, -1, 1)), angle, below / below[-1])


def normalised_quad(dimensions, kappa, end):
    """P(angle < end) by adaptive quadrature."""
    mode = np.arctan2(np.sqrt(max(dimensions - 2, 0.25)), np.sqrt(kappa)) if kappa > 1 else np.pi / 2

    def density(angle):
        return np.exp(kappa * (np.cos(angle) - np.cos(mode))) * (np.sin(angle) / np.sin(mode)) ** (dimensions - 2)

    pieces = [0, *[p for p in (mode / 2, mode, min(2 * mode, 3)) if p < np.pi], np.pi]
    whole = sum(quad(density, a, b, epsabs=0, epsrel=1e-10)[0] for a, b in pairwise(pieces))
    inner = [p for p in pieces if p < end] + [end]
    return sum(quad(density, a, b, epsabs=1e-16)[0] for a, b in pairwise(inner)) / whole


# ---------------------------------------------------------------- distribution


@pytest.mark.parametrize(("dimensions", "kappa"), CASES)
def test_mean_resultant_is_the_theory(dimensions, kappa):
    mean = random_mean(dimensions)
    samples = draw(mean, kappa)
    resultant, cosines = samples.mean(axis=0), samples @ mean
    expected = mean_resultant_length(dimensions, kappa)
    assert resultant @ mean == pytest.approx(expected, abs=4.5 * cosines.std() / np.sqrt(SAMPLES))
    sideways = resultant - (resultant @ mean) * mean
    assert np.linalg.norm(sideways) < 4.5 * np.sqrt((1 - (cosines**2).mean()) / SAMPLES)


@pytest.mark.parametrize(("dimensions", "kappa"), CASES)
def test_samples_are_scipys(dimensions, kappa):
    mean, side = random_mean(dimensions), random_mean(dimensions, seed=5)
    side -= (side @ mean) * mean
    ours = draw(mean, kappa, samples=5000)
    theirs = vonmises_fisher(mean, kappa, seed=2).rvs(5000)
    for axis in (mean, side):
        assert ks_2samp(ours @ axis, theirs @ axis).pvalue > 1e-3


@pytest.mark.parametrize(("dimensions", "kappa"), [(3, 10.0), (10, 10.0), (10, 1000.0)])
def test_scipys_fit_finds_mean_and_kappa(dimensions, kappa):
    mean = random_mean(dimensions)
    found_mean, found_kappa = vonmises_fisher.fit(draw(mean, kappa))
    assert found_mean @ mean > 0.999
    assert found_kappa == pytest.approx(kappa, rel=0.03)


@pytest.mark.parametrize(("dimensions", "kappa"), [*CASES, (32, 1000.0), (300, 1000.0)])
def test_cosine_has_the_exact_distribution(dimensions, kappa):
    mean = random_mean(dimensions)
    assert kstest(draw(mean, kappa) @ mean, exact_cdf(dimensions, kappa)).pvalue > 1e-3


@pytest.mark.parametrize(("dimensions", "kappa"), CASES)
def test_a_normal_score_becomes_the_cosine_of_the_same_rank(dimensions, kappa):
    scores = np.array([-4.1, -2.33, -1.0, -0.21, 0.0, 0.4, 1.2, 2.9, 4.4])
    normal = torch.ones(len(scores), dimensions, dtype=torch.float64)
    normal[:, 0] = torch.tensor(scores)
    angles = np.arccos(noise_around_first_axis(normal, kappa)[:, 0].numpy())
    for score, angle in zip(scores, angles, strict=True):
        # A larger angle is a smaller cosine: P(angle beyond) = P(score below).
        assert 1 - normalised_quad(dimensions, kappa, angle) == pytest.approx(ndtr(score), rel=1e-3, abs=5e-6)


def test_cosine_grows_with_the_score_to_the_very_ends():
    normal = torch.ones(2001, 100)
    normal[:, 0] = torch.linspace(-20, 20, 2001)
    noise = noise_around_first_axis(normal, 1000.0)
    assert torch.isfinite(noise).all()
    assert (noise[1:, 0] >= noise[:-1, 0]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("dimensions", "kappa"), CASES)
def test_unit_norm(dimensions, kappa, dtype):
    samples = draw(random_mean(dimensions), kappa, samples=2000, dtype=dtype)
    tolerance = 3e-6 if dtype == torch.float32 else 1e-12
    np.testing.assert_allclose(np.linalg.norm(samples, axis=1), 1, atol=tolerance)


def test_noise_alone_decides_nothing_about_the_mean():
    normal = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(noise_around_first_axis(normal, 3.0), noise_around_first_axis(normal.clone(), 3.0))
    assert not torch.equal(noise_around_first_axis(normal, 3.0), noise_around_first_axis(normal, 4.0))


@pytest.mark.parametrize(("dimensions", "kappa"), [(1, 1.0), (3, 0.0), (3, -1.0), (3, float("nan"))])
def test_bad_input_is_refused(dimensions, kappa):
    with pytest.raises(ValueError, match=f"at least 2 dimensions and kappa > 0, got {dimensions} and"):
        noise_around_first_axis(torch.randn(2, dimensions), kappa)


# ---------------------------------------------------------------- reflection


def unit(shape, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(shape, generator=draws, dtype=torch.float64), dim=-1)


@pytest.mark.parametrize("dimensions", [2, 3, 10, 100])
def test_reflection_maps_e1_to_the_mean_and_is_its_own_inverse(dimensions):
    mean, noise = unit((2, 7, dimensions)), unit((2, 7, dimensions), seed=1)
    first_axis = torch.zeros_like(mean)
    first_axis[..., 0] = 1
    torch.testing.assert_close(sample(mean, first_axis), mean)
    torch.testing.assert_close(sample(mean, mean), first_axis)
    torch.testing.assert_close(sample(mean, sample(mean, noise)), noise)


def test_reflection_is_the_literal_householder_matrix():
    mean, noise = unit((2, 5, 6)), unit((2, 5, 6), seed=1)
    found = sample(mean, noise)
    for run in range(2):
        for row in range(5):
            u = np.eye(6)[0] - mean[run, row].numpy()
            matrix = np.eye(6) - 2 * np.outer(u, u) / (u @ u)
            np.testing.assert_allclose(found[run, row], matrix @ noise[run, row].numpy(), atol=1e-12)


def test_samples_keep_the_angles_of_the_noise():
    mean, noise = unit((1, 1, 8)).expand(1, 6, 8), unit((1, 6, 8), seed=1)
    found = sample(mean, noise)
    torch.testing.assert_close(found[0] @ found[0].T, noise[0] @ noise[0].T)
    torch.testing.assert_close((found * mean).sum(-1), noise[..., 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mean_equal_to_e1_has_finite_values_and_gradient(dtype):
    mean = torch.zeros(1, 4, 5, dtype=dtype)
    mean[..., 0] = 1
    mean.requires_grad_(True)
    noise = unit((1, 4, 5)).to(dtype)
    found = sample(mean, noise)
    torch.testing.assert_close(found, noise)
    found.square().sum().backward()
    assert torch.isfinite(mean.grad).all()


def test_mean_opposite_to_e1():
    mean, noise = -torch.eye(5, dtype=torch.float64)[0].expand(1, 4, 5), unit((1, 4, 5))
    torch.testing.assert_close(sample(mean, noise), noise * torch.tensor([-1.0, 1, 1, 1, 1], dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dimensions", [2, 100])
def test_mean_near_e1_still_gives_unit_vectors(dimensions, dtype):
    angle = torch.tensor([1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 0], dtype=torch.float64)[:, None]
    mean = torch.zeros(6, 50, dimensions, dtype=torch.float64)
    mean[..., 0], mean[..., 1] = angle.cos(), angle.sin()
    mean = mean.to(dtype).requires_grad_(True)
    noise = unit((6, 50, dimensions)).to(dtype)
    found = sample(mean, noise)
    (found * unit((6, 50, dimensions), seed=1).to(dtype)).sum().backward()
    assert torch.isfinite(mean.grad).all()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-9
    np.testing.assert_allclose(found.detach().norm(dim=-1), 1, atol=tolerance)


@pytest.mark.parametrize("dimensions", [2, 3, 10])
def test_gradient_is_that_of_finite_differences(dimensions):
    codes = (3 * unit((2, 3, dimensions))).requires_grad_(True)
    noise = unit((2, 3, dimensions), seed=1)

    def from_codes(codes):
        return sample(direction(codes), noise)

    assert torch.autograd.gradcheck(from_codes, codes)
    weights = unit((2, 3, dimensions), seed=2)
    (from_codes(codes) * weights).sum().backward()
    step = 1e-6
    for place in ((0, 0, 0), (1, 2, dimensions - 1)):
        ahead, behind = codes.detach().clone(), codes.detach().clone()
        ahead[place] += step
        behind[place] -= step
        slope = ((from_codes(ahead) - from_codes(behind)) * weights).sum() / (2 * step)
        assert codes.grad[place].item() == pytest.approx(slope.item(), abs=1e-7)


def test_noise_gets_no_gradient_from_a_constant_mean():
    mean, noise = unit((1, 3, 4)).requires_grad_(True), unit((1, 3, 4), seed=1)
    assert sample(mean, noise).requires_grad
    assert not sample(mean.detach(), noise).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("runs", [1, 3])
def test_gradients_by_hand_are_those_of_autograd(runs, dtype):
    noise, weights = (unit((runs, 16, 100), seed=seed).to(dtype) for seed in (1, 2))

    def plain(codes):
        mean = torch.nn.functional.normalize(codes, dim=-1)
        u = torch.eye(100, dtype=dtype)[0] - mean
        return mean, noise - 2 * u * (u * noise).sum(-1, keepdim=True) / (u * u).sum(-1, keepdim=True)

    def by_hand(codes):
        mean = direction(codes)
        return mean, sample(mean, noise)

    found = []
    for function in (plain, by_hand):
        codes = (3 * unit((runs, 16, 100))).to(dtype).requires_grad_(True)
        mean, samples = function(codes)
        (mean * noise + samples * weights).sum().backward()
        found.append((mean, samples, codes.grad))
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_direction_is_torchs_normalize_at_zero_too():
    results = []
    for function in (direction, lambda x: torch.nn.functional.normalize(x, dim=-1)):
        codes = torch.tensor([[[0.0, 0, 0], [3, 4, 0], [1e-20, 0, 0]]], requires_grad=True)
        unit_vectors = function(codes)
        unit_vectors[..., :2].sum().backward()
        results.append((unit_vectors, codes.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_gradient_has_no_gradient_of_its_own():
    codes = unit((1, 3, 4)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(direction(codes).square().sum(), codes, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
