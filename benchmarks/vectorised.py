"""A clean vectorised loop for one run of any method: PyTorch's usual parts, and no loop over samples left.

speed.py times ours against it. nn.Sequential encoders, mini-batches by indexing, augmentation of a whole batch at
once, von Mises-Fisher samples by rejection until every row has one (Wood 1994), two cross entropies, Adam as it
comes. Autograd does every gradient. One run at a time. Each loss is written from the formula in the docstring of
the package's method of that name, in the form of the default settings.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from obvious import encoder
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss, normalize

# How many tensors of noise a mini-batch of a method needs; the other methods sample nothing.
NOISE = {"step1": 2, "jointopt": 4, "dmvae": 5}


def augment(x: torch.Tensor) -> torch.Tensor:
    """Augment a batch: for each row add noise, set a tenth of the dimensions to 0, or leave it."""
    kind = torch.randint(3, (len(x), 1))
    noisy = x + 0.01 * torch.randn_like(x)
    lowest = torch.rand_like(x).topk(x.shape[1] // 10, largest=False).indices
    dropped = x.scatter(1, lowest, 0)
    return torch.where(kind == 0, noisy, torch.where(kind == 1, dropped, x))


def sample_cosine(rows: int, d: int, kappa: float) -> torch.Tensor:
    """Draw cosines to the mean by rejection, ``(rows, 1)``."""
    b = (d - 1) / (2 * kappa + (4 * kappa**2 + (d - 1) ** 2) ** 0.5)
    x0 = (1 - b) / (1 + b)
    offset = kappa * x0 + (d - 1) * torch.log(torch.tensor(1 - x0**2))
    beta = torch.distributions.Beta((d - 1) / 2, (d - 1) / 2)
    cosine, pending = torch.empty(rows), torch.arange(rows)
    while len(pending):
        z = beta.sample((len(pending),))
        proposal = (1 - (1 + b) * z) / (1 - (1 - b) * z)
        height = kappa * proposal + (d - 1) * torch.log(1 - x0 * proposal) - offset
        accepted = height >= torch.log(torch.rand(len(pending)))
        cosine[pending[accepted]] = proposal[accepted]
        pending = pending[~accepted]
    return cosine[:, None]


def vmf_noise(rows: int, d: int, kappa: float) -> torch.Tensor:
    """Sample vMF around the first axis: a cosine and a tangent."""
    cosine = sample_cosine(rows, d, kappa)
    tangent = normalize(torch.randn(rows, d - 1), dim=-1)
    return torch.cat([cosine, (1 - cosine**2).clamp(min=0).sqrt() * tangent], dim=-1)


def reflect(mean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Reflect noise around the first axis onto the mean."""
    first_axis = torch.zeros_like(mean[0])
    first_axis[0] = 1
    u = normalize(first_axis - mean, dim=-1)
    return noise - 2 * (noise * u).sum(-1, keepdim=True) * u


def info_nce(a: torch.Tensor, c: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean of the cross entropies of both directions."""
    logits = a @ c.T / temperature
    labels = torch.arange(len(a), device=a.device)
    return (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2


def cosine(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Mean over the rows of two batches of unit vectors."""
    return (p * q).sum(-1).mean()


def orthogonality(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Frobenius norm of P^T Q with unit rows."""
    return torch.linalg.matrix_norm(normalize(p, dim=-1).T @ normalize(q, dim=-1))


def kl(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL divergence from N(0, I), summed over the batch."""
    return (mean**2 + log_variance.exp() - 1 - log_variance).sum() / 2


class Loop:
    """One run of ``method``; its loss is the method of that name."""

    def __init__(self, method, x1, x2, *, layers=3, hidden=512, dimensions=100, batch_size=256, beta=1.0, a=1.0,
                 lam=0.01, kappa=1000.0, temperature=0.07, learning_rate=1e-4):  # fmt: skip
        self.views, self.batch_size, self.dimensions = (x1, x2), batch_size, dimensions
        self.noises, self.two_versions = NOISE.get(method, 0), method in ("step2", "jointopt", "focal")
        self.beta, self.a, self.lam, self.kappa, self.temperature = beta, a, lam, kappa, temperature
        self.method, self.loss = method, getattr(self, method)
        self.networks = nn.ModuleDict()
        for m, view in enumerate(self.views, 1):
            features = view.shape[1]
            if method == "dmvae":
                self.networks[f"encoder{m}"] = encoder(features, hidden, 4 * dimensions, layers)
                self.networks[f"decoder{m}"] = encoder(2 * dimensions, hidden, features, layers)
                continue
            self.networks[f"zc{m}"] = encoder(features, hidden, dimensions, layers)
            if self.two_versions:
                self.networks[f"zs{m}"] = encoder(features + dimensions, hidden, dimensions, layers)
            if method == "step2":
                self.networks[f"zc{m}"].requires_grad_(False)
        trained = [parameter for parameter in self.networks.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.Adam(trained, lr=learning_rate)
        self.batches = self.forever()

    def forever(self) -> Iterator[tuple]:
        """Serve augmented mini-batches, their second versions and noise, epoch after epoch."""
        while True:
            order = torch.randperm(len(self.views[0]))
            for rows in order[: len(order) // self.batch_size * self.batch_size].split(self.batch_size):
                x = [augment(view[rows]) for view in self.views]
                yield x, [augment(view) for view in x] if self.two_versions else None, self.noise()

    def noise(self) -> list[torch.Tensor]:
        """Draw what the loss samples with."""
        if self.method == "dmvae":
            return [torch.randn(self.batch_size, self.dimensions) for _ in range(self.noises)]
        return [vmf_noise(self.batch_size, self.dimensions, self.kappa) for _ in range(self.noises)]

    def train(self, steps: int) -> float:
        """Take so many steps; return the mean loss."""
        total = 0.0
        for _ in range(steps):
            loss = self.loss(*next(self.batches))
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            total += loss.item()
        return total / steps

    def shared(self, views):
        """zc1 and zc2."""
        return [self.networks[f"zc{m}"](view) for m, view in enumerate(views, 1)]

    def codes(self, views):
        """zc1 and zc2; zs1 and zs2."""
        zc = self.shared(views)
        both = enumerate(zip(views, zc, strict=True), 1)
        return zc, [self.networks[f"zs{m}"](torch.cat([view, code], dim=-1)) for m, (view, code) in both]

    def align(self, p, q):
        """InfoNCE of the directions of two batches."""
        return info_nce(normalize(p, dim=-1), normalize(q, dim=-1), self.temperature)

    # --- the losses: augmented views x, their second versions v and noise in, a number out --------------------------

    def clip(self, x, v, noise):
        return self.align(*self.shared(x))

    def step1(self, x, v, noise):
        means = [normalize(code, dim=-1) for code in self.shared(x)]
        samples = map(reflect, means, noise)
        return info_nce(*samples, self.temperature) - self.beta * cosine(*means)

    def specific(self, zc, zs, zc_v, zs_v):
        """Both terms of step 2: relevance and orthogonality of zs."""
        relevance = sum(
            self.align(torch.cat([zs[m], zc[1 - m]], dim=-1), torch.cat([zs_v[m], zc_v[1 - m]], dim=-1)) for m in (0, 1)
        )
        overlap = sum(orthogonality(zs[m], zc[m]) + orthogonality(zs_v[m], zc_v[m]) for m in (0, 1)) / 2
        return relevance, overlap

    def step2(self, x, v, noise):
        relevance, overlap = self.specific(*self.codes(x), *self.codes(v))
        return relevance + self.lam * overlap

    def jointopt(self, x, v, noise):
        zc, zs = self.codes(x)
        zc_v, zs_v = self.codes(v)
        s1, s2, s1_v, s2_v = (
            reflect(normalize(code, dim=-1), draw) for code, draw in zip((*zc, *zc_v), noise, strict=True)
        )
        shared = (info_nce(s1, s2, self.temperature) + info_nce(s1_v, s2_v, self.temperature)) / 2
        specific, overlap = self.specific(zc, zs, zc_v, zs_v)
        return (2 * shared + self.a * specific) / (1 + self.a) + self.lam * overlap

    def focal(self, x, v, noise):
        zc, zs, zc_v, zs_v = (
            [normalize(code, dim=-1) for code in codes] for views in (x, v) for codes in self.codes(views)
        )
        shared = info_nce(*zc, self.temperature) + info_nce(*zc_v, self.temperature)
        specific = sum(info_nce(zs[m], zs_v[m], self.temperature) for m in (0, 1))
        overlap = sum(cosine(s[0], c[0]) + cosine(s[1], c[1]) + cosine(s[0], s[1]) for s, c in ((zs, zc), (zs_v, zc_v)))
        return shared + self.a * specific + self.lam * overlap

    def dmvae(self, x, v, noise):
        heads = [self.networks[f"encoder{m}"](view).chunk(4, dim=-1) for m, view in enumerate(x, 1)]
        (mean1, log1, *_), (mean2, log2, *_) = heads
        private1, private2 = heads[0][2:], heads[1][2:]
        precision1, precision2 = torch.exp(-log1), torch.exp(-log2)
        variance = 1 / (precision1 + precision2)
        joint = (precision1 * mean1 + precision2 * mean2) * variance, variance.log()
        codes = (private1, private2, (mean1, log1), (mean2, log2), joint)
        s1, s2, c1, c2, c = (
            mean + torch.exp(log_variance / 2) * draw for (mean, log_variance), draw in zip(codes, noise, strict=True)
        )
        errors = [
            mse_loss(self.networks[decoder](torch.cat(code, dim=-1)), view)
            for decoder, view, own, other in (("decoder1", x[0], s1, c2), ("decoder2", x[1], s2, c1))
            for code in ((own, c), (own, other))
        ]
        weights = (2, 2, 1, 1, 2)  # the private codes in both sums, the joint one twice in the first
        return sum(errors) + self.lam * sum(w * kl(*code) for w, code in zip(weights, codes, strict=True))
