"""Loss terms as pure functions: representations (or a critic's scores of them) in, one number a run out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import normalize


class _InfoNCE(torch.autograd.Function):
    """:func:`info_nce` with its gradient by hand: one pass over the batch x batch matrix where autograd needs many."""

    @staticmethod
    def forward(ctx, a, c, temperature):
        shift = 1 / temperature  # the largest value S can take, so that exp never overflows
        similarity = torch.bmm(a, c.transpose(1, 2)).mul_(shift)
        positive = similarity.diagonal(dim1=1, dim2=2).mean(1)
        # Both directions use the same exponentials: one exp of the batch x batch matrix instead of two.
        exponential = similarity.sub_(shift).exp_()
        rows, columns = exponential.sum(2), exponential.sum(1)
        ctx.save_for_backward(a, c, exponential, rows, columns)
        ctx.shift = shift
        return (rows.log().mean(1) + columns.log().mean(1)) / 2 + shift - positive

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        a, c, exponential, rows, columns = ctx.saved_tensors
        factor = (gradient * (ctx.shift / 2 / rows.shape[1]))[:, None]
        # With respect to a c^T: both softmaxes, less twice the diagonal.
        change = ((factor / rows)[:, :, None] + (factor / columns)[:, None, :]).mul_(exponential)
        change.diagonal(dim1=1, dim2=2).sub_(2 * factor)
        return torch.bmm(change, c), torch.bmm(change.transpose(1, 2), a), None


def info_nce(a: torch.Tensor, c: torch.Tensor, temperature: float) -> torch.Tensor:
    """Symmetric InfoNCE between paired unit vectors.

    Parameters
    ----------
    a, c : tensor, (runs, batch, dimensions)
        Unit vectors; row i of one belongs to row i of the other, all other rows are negatives.
    temperature : float
        At least 0.025 in float32 (below it, the shared exponentials could vanish).

    Returns
    -------
    tensor, (runs,)
        Mean of the two cross entropies, of S = a c^T / temperature and of its transpose, against the diagonal.

    Notes
    -----
    Source: paper sec. 2.4, App. G; negatives from the other view only, as in the authors' code.
    """
    return _InfoNCE.apply(a, c, temperature)


def mean_cosine(p: torch.Tensor, q: torch.Tensor, *, hinge: bool = False) -> torch.Tensor:
    """Mean over the batch of p . q.

    Parameters
    ----------
    p, q : tensor, (runs, batch, dimensions)
        Unit vectors.
    hinge : bool
        Count negative cosines as 0.

    Returns
    -------
    tensor, (runs,)

    Notes
    -----
    Source: paper sec. 2.4 and App. G, the bound on I(Z^1; X^1 | X^2) of step 1: between two mean directions it is,
    up to constants, minus the KL divergence of two vMF encoders. Orthogonality of FOCAL (Liu et al. 2024): hinge
    in their own code, signed in the authors'.
    """
    cosine = (p * q).sum(-1)
    return (cosine.clamp(min=0) if hinge else cosine).mean(1)


def orthogonality(p: torch.Tensor, q: torch.Tensor, unit: str) -> torch.Tensor:
    """Frobenius norm of Pn^T Qn: how much two representations of a batch overlap.

    Parameters
    ----------
    p, q : tensor, (runs, batch, dimensions)
        Representations of the same batch.
    unit : {"rows", "columns"}
        What is scaled to length one: each sample (the authors' code) or each latent dimension (the paper's
        text). They are on different scales, so a ``lam`` of one is not a ``lam`` of the other.

    Returns
    -------
    tensor, (runs,)

    Notes
    -----
    Source: paper sec. 2.4 and App. G (orthogonal loss of step 2).
    """
    axis = {"rows": 2, "columns": 1}[unit]
    product = torch.bmm(normalize(p, dim=axis).transpose(1, 2), normalize(q, dim=axis))
    # The floor keeps the gradient finite where the overlap is exactly zero.
    return product.square().sum((1, 2)).clamp(min=1e-12).sqrt()


def gaussian_kl(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL divergence of diagonal Gaussians from N(0, I), summed over mini-batch and dimensions.

    Parameters
    ----------
    mean, log_variance : tensor, (runs, batch, dimensions)

    Returns
    -------
    tensor, (runs,)

    Notes
    -----
    Source: Kingma & Welling 2014, App. B; the sum over the mini-batch as in the authors' code of DMVAE.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum((1, 2)) / 2


def product_of_experts(
    experts: Sequence[tuple[torch.Tensor, torch.Tensor]], *, prior: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and log variance of the normalised product of diagonal Gaussians.

    Parameters
    ----------
    experts : sequence of (mean, log variance), tensors of one shape
    prior : bool
        Whether N(0, I) is one more expert.

    Notes
    -----
    Source: Hinton 2002; in DMVAE (Lee & Pavlovic 2021) with the prior, in the authors' code without.
    """
    precisions = [torch.exp(-log_variance) for _, log_variance in experts]
    total = sum(precisions) + prior
    mean = sum(precision * mean for precision, (mean, _) in zip(precisions, experts, strict=True)) / total
    return mean, -total.log()


def nce_terms(scores: torch.Tensor, first: int = 0) -> torch.Tensor:
    """What each v adds to the NCE bound: f(u_j, v_j) - [logsumexp_k f(u_k, v_j) - log B].

    Their mean over the mini-batch is a lower bound on the information of u and v, at most log B, for any score f.

    Parameters
    ----------
    scores : tensor, (runs, batch, columns)
        f(u_k, v_j) of every u of a mini-batch, and of some v.
    first : int
        Place in the mini-batch of the first of those v.

    Returns
    -------
    tensor, (runs, columns)

    Notes
    -----
    Source: Oord et al. 2018 in the form of FactorCL's code (Liang et al. 2024): the positive pair is among the B, and
    negatives are those of one direction only. Without a temperature, which the critic would undo.
    """
    return scores.diagonal(-first, 1, 2) - scores.logsumexp(1) + math.log(scores.shape[1])


def club_terms(scores: torch.Tensor, first: int = 0) -> torch.Tensor:
    """What each v adds to the CLUB bound: f(u_j, v_j) - mean_k f(u_k, v_j).

    Their mean over the mini-batch is an upper bound on the information of u and v if f is, up to what depends on v
    alone, log p(v | u); in NCE-CLUB it is the score that maximises the NCE bound.

    Parameters
    ----------
    scores, first
        As of :func:`nce_terms`.

    Returns
    -------
    tensor, (runs, columns)

    Notes
    -----
    Source: Cheng et al. 2020; NCE-CLUB: Liang et al. 2024.
    """
    return scores.diagonal(-first, 1, 2) - scores.mean(1)
