"""Formulas as one would write them first, in plain loops and float64: what the package's own are compared with."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn


def as_torch(stacked, run):
    """Copy one run's network of linear layers and ReLU into torch's own, in float64."""
    layers = []
    for (inputs, outputs), weight, bias in zip(stacked.layers, stacked.weights, stacked.biases, strict=True):
        layer = nn.Linear(inputs, outputs, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(weight[run, :inputs, :outputs].T)
            layer.bias.copy_(bias[run, 0, :outputs])
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def encode(encoder, run, x):
    """One row after the other through one run's layers."""
    rows = []
    for row in np.asarray(x):
        for layer, (inputs, outputs) in enumerate(encoder.layers):
            weight = encoder.weights[layer][run].detach().numpy()[:inputs, :outputs]
            bias = encoder.biases[layer][run, 0].detach().numpy()[:outputs]
            row = np.maximum(row, 0) if layer else row
            row = np.array([bias[o] + sum(row[i] * weight[i, o] for i in range(inputs)) for o in range(outputs)])
        rows.append(row)
    return np.array(rows)


def four_codes(method, run, x, v, start=None):
    """Shared and specific codes of one run, by view and version (``""`` and ``"+"``), from its two views."""
    zc, zs = {}, {}
    for version, views in (("", x), ("+", v)):
        for m in (1, 2):
            view = np.asarray(views[m - 1])
            zc[m, version] = encode(getattr(method, f"zc{m}"), run if start is None else start, view)
            zs[m, version] = encode(getattr(method, f"zs{m}"), run, beside(view, zc[m, version]))
    return zc, zs


def beside(*parts):
    """Codes of the same rows side by side."""
    return np.array([[number for part in parts for number in part[i]] for i in range(len(parts[0]))])


def norm(numbers):
    return math.sqrt(sum(number**2 for number in numbers))


def unit(rows):
    return np.array([row / norm(row) for row in rows])


def dot(p, q):
    return sum(x * y for x, y in zip(p, q, strict=True))


def reflect(mean, noise):
    """Reflect noise around the first axis onto a mean direction."""
    u = np.eye(len(mean))[0] - mean
    return noise - 2 * u * dot(u, noise) / dot(u, u)


def info_nce(a, c, temperature):
    """Mean of the cross entropies of both directions, of unit vectors."""
    total = 0.0
    for first, second in ((a, c), (c, a)):
        for i in range(len(first)):
            scores = [dot(first[i], other) / temperature for other in second]
            largest = max(scores)
            total += largest + math.log(sum(math.exp(score - largest) for score in scores)) - scores[i]
    return total / (2 * len(a))


def mean_cosine(p, q, hinge=False):
    """Mean cosine of unit vectors, or of its positive part."""
    cosines = [dot(one, other) for one, other in zip(p, q, strict=True)]
    return sum(max(0.0, cosine) if hinge else cosine for cosine in cosines) / len(cosines)


def orthogonality(p, q, kind):
    """Frobenius norm of Pn^T Qn with unit rows or columns."""
    batch, d = len(p), len(p[0])

    def length(z, i, k):
        return norm(z[i]) if kind == "rows" else norm([row[k] for row in z])

    total = 0.0
    for k in range(d):
        for m in range(d):
            entry = sum(p[i][k] / length(p, i, k) * q[i][m] / length(q, i, m) for i in range(batch))
            total += entry**2
    return math.sqrt(total)


def specific_info_nce(zc, zs, temperature):
    """Sum over the views of InfoNCE(n([zs_m, zc_m']), n([zs_m+, zc_m'+])), from :func:`four_codes`."""
    total = 0.0
    for m, other in ((1, 2), (2, 1)):
        total += info_nce(*(unit(beside(zs[m, version], zc[other, version])) for version in ("", "+")), temperature)
    return total


def half_orthogonality(zc, zs, kind):
    """Half the sum over views and versions of O(zs_m, zc_m), from :func:`four_codes`."""
    return sum(orthogonality(zs[key], zc[key], kind) for key in zc) / 2


def nce(scores):
    """NCE bound from a critic's scores f(u_k, v_j), k down and j across."""
    size, total = len(scores), 0.0
    for j in range(size):
        total += scores[j][j] - math.log(sum(math.exp(scores[k][j]) for k in range(size)) / size)
    return total / size


def club(scores):
    """CLUB bound from a critic's scores f(u_k, v_j), k down and j across."""
    size = len(scores)
    positive = sum(scores[j][j] for j in range(size)) / size
    return positive - sum(number for row in scores for number in row) / size**2


def gaussian_kl(mean, log_variance):
    """KL divergence from N(0, I), summed over rows and dimensions."""
    total = 0.0
    for means, log_variances in zip(mean, log_variance, strict=True):
        for mu, log_var in zip(means, log_variances, strict=True):
            total += (mu**2 + math.exp(log_var) - 1 - log_var) / 2
    return total


def product_of_experts(experts, prior):
    """Mean and log variance of the product of Gaussians, number by number."""
    mean, log_variance = (np.zeros_like(np.asarray(experts[0][0])) for _ in range(2))
    for place in np.ndindex(mean.shape):
        precisions = [1 / math.exp(log_var[place]) for _, log_var in experts] + [1.0] * prior
        centres = [mu[place] for mu, _ in experts] + [0.0] * prior
        mean[place] = sum(p * centre for p, centre in zip(precisions, centres, strict=True)) / sum(precisions)
        log_variance[place] = math.log(1 / sum(precisions))
    return mean, log_variance


def squared_error(p, q):
    """Mean over rows and features."""
    return sum(
        sum((x - y) ** 2 for x, y in zip(*rows, strict=True)) / len(rows[0]) for rows in zip(p, q, strict=True)
    ) / len(p)
