"""A clean vectorised loop for one run of step 1: PyTorch's usual parts, and no loop over samples left.

speed.py times ours against it, too. nn.Sequential encoders, mini-batches by indexing, augmentation of a whole batch
at once, von Mises-Fisher samples by rejection until every row has one (Wood 1994), two cross entropies, Adam as it
comes. Autograd does every gradient. One run at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from obvious import encoder
from torch.nn.functional import cross_entropy, normalize


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


def sample_vmf(mean: torch.Tensor, kappa: float) -> torch.Tensor:
    """Sample vMF(mean, kappa) once a row: a cosine and a tangent around the first axis, reflected onto the mean."""
    rows, d = mean.shape
    cosine = sample_cosine(rows, d, kappa)
    tangent = normalize(torch.randn(rows, d - 1), dim=-1)
    noise = torch.cat([cosine, (1 - cosine**2).clamp(min=0).sqrt() * tangent], dim=-1)
    first_axis = torch.zeros(d)
    first_axis[0] = 1
    u = normalize(first_axis - mean, dim=-1)
    return noise - 2 * (noise * u).sum(-1, keepdim=True) * u


def info_nce(a: torch.Tensor, c: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean of the cross entropies of both directions."""
    logits = a @ c.T / temperature
    labels = torch.arange(len(a))
    return (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2


class Loop:
    """Step 1, one run: InfoNCE(s1, s2) - beta * mean(mu1 . mu2)."""

    def __init__(self, x1, x2, *, layers, hidden=512, dimensions=100, batch_size=256, beta=1.0, kappa=1000.0,
                 temperature=0.07, learning_rate=1e-4):  # fmt: skip
        self.encoder1 = encoder(x1.shape[1], hidden, dimensions, layers)
        self.encoder2 = encoder(x2.shape[1], hidden, dimensions, layers)
        self.views, self.batch_size = (x1, x2), batch_size
        parameters = [*self.encoder1.parameters(), *self.encoder2.parameters()]
        self.optimiser = torch.optim.Adam(parameters, lr=learning_rate)
        self.beta, self.kappa, self.temperature = beta, kappa, temperature
        self.batches = self.forever()

    def forever(self) -> Iterator[list[torch.Tensor]]:
        """Serve augmented mini-batches, epoch after epoch."""
        while True:
            order = torch.randperm(len(self.views[0]))
            for rows in order[: len(order) // self.batch_size * self.batch_size].split(self.batch_size):
                yield [augment(view[rows]) for view in self.views]

    def loss(self, x1: torch.Tensor, x2: torch.Tensor) -> torch.Tensor:
        """Loss of one mini-batch."""
        mean1 = normalize(self.encoder1(x1), dim=-1)
        mean2 = normalize(self.encoder2(x2), dim=-1)
        sample1, sample2 = sample_vmf(mean1, self.kappa), sample_vmf(mean2, self.kappa)
        return info_nce(sample1, sample2, self.temperature) - self.beta * (mean1 * mean2).sum(-1).mean()

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
