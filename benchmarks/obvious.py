"""The obvious training loop for step 1: what one writes first from the paper's text; speed.py times ours against it.

Written from the description (App. G, App. H.1) with PyTorch's usual parts, neither tuned nor slowed down: a Dataset
that augments each sample in Python, a DataLoader in the same process, nn.Sequential encoders, von Mises-Fisher
samples by rejection as in hyperspherical VAEs (Davidson et al. 2018), the supervised-contrastive form of InfoNCE
over all 2B codes (Khosla et al. 2020) and Adam as it comes. One run at a time. ``as_authors`` feeds the data the way
the authors' public loop is organised (labels travel along, rows are augmented after collating); the lean form does
no more than the task asks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn.functional import normalize
from torch.utils.data import DataLoader, Dataset


def augment_sample(x: torch.Tensor) -> torch.Tensor:
    """Augment one sample: add noise, set a tenth of the dimensions to 0, or leave it."""
    kind = torch.randint(3, (1,)).item()
    if kind == 0:
        return x + 0.01 * torch.randn_like(x)
    if kind == 1:
        x = x.clone()
        x[torch.randperm(len(x))[: len(x) // 10]] = 0
        return x
    return x


def augment_rows(batch: torch.Tensor) -> torch.Tensor:
    """Do the same with the rows of a batch, one after the other, as the authors' loop does.

    Both draws are numpy's ``choice`` without replacement, and every row is written back into a copy.
    """
    out = torch.clone(batch)
    for row in range(len(batch)):
        kind = np.random.choice(3, 1, replace=False)[0]
        if kind == 0:
            out[row] = out[row] + 0.01 * torch.randn(out[row].shape)
        elif kind == 1:
            dropped = torch.clone(out[row])
            dropped[np.random.choice(len(dropped), len(dropped) // 10, replace=False)] = 0
            out[row] = dropped
        else:
            out[row] = batch[row]
    return out


class AugmentedPairs(Dataset):
    """Pairs of views, augmented sample by sample as they are asked for."""

    def __init__(self, x1: torch.Tensor, x2: torch.Tensor):
        self.x1, self.x2 = x1, x2

    def __len__(self) -> int:
        return len(self.x1)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return augment_sample(self.x1[index]), augment_sample(self.x2[index])


class LabelledPairs(Dataset):
    """Pairs of views with their three labels, as the authors' data set hands them out."""

    def __init__(self, x1: torch.Tensor, x2: torch.Tensor):
        self.views = torch.stack([x1, x2])
        self.labels = [np.zeros(len(x1)) for _ in range(3)]

    def __len__(self) -> int:
        return self.views.shape[1]

    def __getitem__(self, index: int) -> tuple:
        return (*(self.views[m, index] for m in (0, 1)), *(labels[index] for labels in self.labels))


def encoder(inputs: int, hidden: int, outputs: int, layers: int) -> nn.Sequential:
    """Linear layers with ReLU between, weights from N(0, 0.01^2)."""
    widths = [inputs, *[hidden] * (layers - 1), outputs]
    modules = []
    for i in range(layers):
        linear = nn.Linear(widths[i], widths[i + 1])
        nn.init.normal_(linear.weight, std=0.01)
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def info_nce(a: torch.Tensor, c: torch.Tensor, temperature: float) -> torch.Tensor:
    """InfoNCE over the 2B x 2B matrix of both views, pairs of the same view masked out."""
    batch = len(a)
    codes = torch.cat([a, c])
    similarity = codes @ codes.T / temperature
    similarity = similarity - similarity.max(dim=1, keepdim=True).values.detach()
    view = torch.arange(2 * batch) // batch
    sample = torch.arange(2 * batch) % batch
    other_view = (view[:, None] != view[None, :]).float()
    positive = (sample[:, None] == sample[None, :]).float() * other_view
    log_probability = similarity - torch.log((torch.exp(similarity) * other_view).sum(1, keepdim=True))
    return -((positive * log_probability).sum(1) / positive.sum(1)).mean()


def sample_vmf(mean: torch.Tensor, kappa: float) -> torch.Tensor:
    """Sample vMF(mean, kappa) with one sample a row: the cosine by rejection, then a Householder reflection."""
    batch, d = mean.shape
    root = (4 * kappa**2 + (d - 1) ** 2) ** 0.5
    b = (-2 * kappa + root) / (d - 1)
    a = (d - 1 + 2 * kappa + root) / 4
    offset = 4 * a * b / (1 + b) - (d - 1) * torch.log(torch.tensor(d - 1.0))
    beta = torch.distributions.Beta(torch.tensor((d - 1) / 2), torch.tensor((d - 1) / 2))
    cosine = torch.zeros(batch, 1)
    pending = torch.ones(batch, 1, dtype=torch.bool)
    while pending.any():
        e = beta.sample((batch, 1))
        u = torch.rand(batch, 1)
        proposal = (1 - (1 + b) * e) / (1 - (1 - b) * e)
        t = 2 * a * b / (1 - (1 - b) * e)
        accepted = ((d - 1) * torch.log(t) - t + offset > torch.log(u)) & pending
        cosine[accepted] = proposal[accepted]
        pending = pending & ~accepted
    tangent = normalize(torch.randn(batch, d)[:, 1:], dim=-1)
    noise = torch.cat([cosine, torch.sqrt(torch.clamp(1 - cosine**2, min=1e-10)) * tangent], dim=-1)
    first_axis = torch.zeros(d)
    first_axis[0] = 1
    u = first_axis - mean
    u = u / (u.norm(dim=-1, keepdim=True) + 1e-5)
    return noise - 2 * (noise * u).sum(-1, keepdim=True) * u


class Loop:
    """Step 1, one run: InfoNCE(s1, s2) - beta * mean(mu1 . mu2)."""

    def __init__(self, x1, x2, *, layers, hidden=512, dimensions=100, batch_size=256, beta=1.0, kappa=1000.0,
                 temperature=0.07, learning_rate=1e-4, as_authors=False):  # fmt: skip
        self.encoder1 = encoder(x1.shape[1], hidden, dimensions, layers)
        self.encoder2 = encoder(x2.shape[1], hidden, dimensions, layers)
        self.as_authors = as_authors
        pairs = LabelledPairs(x1, x2) if as_authors else AugmentedPairs(x1, x2)
        self.loader = DataLoader(pairs, batch_size=batch_size, shuffle=True, drop_last=True, num_workers=0)
        parameters = [*self.encoder1.parameters(), *self.encoder2.parameters()]
        self.optimiser = torch.optim.Adam(parameters, lr=learning_rate)
        self.beta, self.kappa, self.temperature = beta, kappa, temperature
        self.batches = self.forever()

    def forever(self) -> Iterator[list[torch.Tensor]]:
        """Serve mini-batches, epoch after epoch."""
        while True:
            yield from self.loader

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
            x1, x2 = next(self.batches)[:2]
            if self.as_authors:
                x1, x2 = augment_rows(x1), augment_rows(x2)
            loss = self.loss(x1, x2)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            total += loss.item()
        return total / steps
