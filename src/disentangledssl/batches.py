"""Mini-batches, augmentation and sampling noise for all streams of a stack.

Everything random of an epoch is drawn in chunks of many mini-batches at a time, each stream from its own
generators, so that the cost per mini-batch is that of a few large tensor operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from disentangledssl.streams import Stream, generator
from disentangledssl.vmf import noise_around_first_axis

# Mini-batches drawn at a time; of sequences as many as a stream's larger view fits into so many bytes. Part of what the
# random numbers depend on.
CHUNK, CHUNK_BYTES = 32, 64_000_000


@dataclass(frozen=True)
class FoldData:
    """The training pairs of one fold, scaled and on the device.

    Attributes
    ----------
    views : pair of tensors, (rows of the view, features)
        Of sequences (rows of the view, steps, features + 1), see ``sequence_encoders``.
    rows : pair of tensors, (training pairs,)
        For each training pair the row of each view.
    groups : tensor of whole numbers, (training pairs,), optional
        Number of each training pair's group, from 0; needed to keep the pairs of a group apart.
    """

    views: tuple[torch.Tensor, torch.Tensor]
    rows: tuple[torch.Tensor, torch.Tensor]
    groups: torch.Tensor | None = None


class EpochSize(NamedTuple):
    """The mini-batches of an epoch, equal for all folds of a data set, so that folds can be trained in one stack."""

    batch: int  # pairs of a mini-batch
    steps: int  # mini-batches

    @classmethod
    def of_pairs(cls, smallest: int, batch_size: int) -> EpochSize:
        """As many full mini-batches as a fold of ``smallest`` training pairs can serve.

        >>> EpochSize.of_pairs(511, 256)
        EpochSize(batch=256, steps=1)
        """
        batch = min(batch_size, smallest)
        return cls(batch, smallest // batch)

    @classmethod
    def of_distinct_groups(cls, group_sizes: Sequence[np.ndarray], batch_size: int) -> EpochSize:
        """As many full mini-batches of distinct groups as every fold can serve.

        In s mini-batches a group has at most s of its pairs, whatever its size.

        Parameters
        ----------
        group_sizes : sequence of arrays of whole numbers, ``(groups,)``
            Training pairs of each group, fold by fold.
        batch_size : int

        >>> EpochSize.of_distinct_groups([np.array([1, 1, 5])], 2)
        EpochSize(batch=2, steps=2)
        """
        batch = min(batch_size, *(len(sizes) for sizes in group_sizes))
        steps = 1
        while all(np.minimum(sizes, steps + 1).sum() >= batch * (steps + 1) for sizes in group_sizes):
            steps += 1
        return cls(batch, steps)


@dataclass(frozen=True)
class Augmentation:
    """How a view is augmented (App. H.1; numbers from the authors' code).

    Attributes
    ----------
    noise_std : float
        Standard deviation of the added noise.
    drop_fraction : float
        Share of the dimensions set to zero: exactly ``int(share * dimensions)`` of them.
    dimensions : int or None
        Only the first so many dimensions are touched (the mixed simulation); None = all.
    """

    noise_std: float
    drop_fraction: float
    dimensions: int | None = None


@dataclass(frozen=True)
class Mixup:
    """How the view without time steps beside a sequence is augmented, a whole mini-batch at a time.

    Attributes
    ----------
    noise_std : float
        Standard deviation of the added noise.
    batch : int
        Samples of a mini-batch.
    """

    noise_std: float
    batch: int


@dataclass(frozen=True)
class SequenceAugmentation:
    """How sequences are augmented (numbers from FactorCL's code, which pays no regard to padding).

    Attributes
    ----------
    noise_std : float
        Standard deviation of the noise that is added to valid time steps.
    drop_fraction : float
        Share of the valid time steps set to zero: exactly ``int(share * valid)`` of them. They stay valid.
    """

    noise_std: float
    drop_fraction: float


Augmenting = Augmentation | Mixup | SequenceAugmentation


@dataclass(frozen=True)
class Batch:
    """One mini-batch, ``(streams, batch, features)`` each, of sequences ``(streams, batch, steps, features + 1)``.

    Attributes
    ----------
    x : pair of tensors
        The augmented views (clean ones, for methods that contrast them with ``v``).
    v : pair of tensors or None
        The views augmented once more (methods that contrast two versions of a view).
    noise : tuple of tensors, ``(streams, batch, dimensions)`` each
        What the method samples with, in the order of the feed's ``noise``.
    """

    x: tuple[torch.Tensor, torch.Tensor]
    v: tuple[torch.Tensor, torch.Tensor] | None
    noise: tuple[torch.Tensor, ...]


def augment(x: torch.Tensor, augmentation: Augmentation, draws: torch.Generator) -> torch.Tensor:
    """Return an augmented copy: per sample one of noise, dropped dimensions or nothing, with equal chance.

    Parameters
    ----------
    x : tensor, (samples, features)
    augmentation : Augmentation
    draws : torch.Generator
        On the device of ``x``.

    Returns
    -------
    tensor, (samples, features)
    """
    out = x.clone()
    active = min(augmentation.dimensions or x.shape[1], x.shape[1])
    kind = torch.randint(3, (len(x),), generator=draws, device=x.device)
    noisy = (kind == 0).nonzero()[:, 0]
    noise = torch.randn(len(noisy), active, generator=draws, device=x.device, dtype=x.dtype)
    out[:, :active].index_add_(0, noisy, noise, alpha=augmentation.noise_std)
    dropped = (kind == 1).nonzero()
    count = int(augmentation.drop_fraction * active + 1e-9)  # 0.29 * 100 is a little less than 29
    out[dropped, random_subsets(len(dropped), active, count, draws, x.device)] = 0
    return out


def augment_mini_batches(x: torch.Tensor, augmentation: Mixup, draws: torch.Generator) -> torch.Tensor:
    """Return an augmented copy: per mini-batch one of noise, mixup or nothing, with equal chance.

    Mixup gives each sample a share of another one of its mini-batch: one share for all, from a Beta(1, 1), that is a
    uniform, distribution.

    Parameters
    ----------
    x : tensor, (samples, features)
        Whole mini-batches, one after the other.
    augmentation : Mixup
    draws : torch.Generator
        On the device of ``x``.

    Notes
    -----
    Source: FactorCL's code for the static view of MIMIC.
    """
    out = x.clone().view(-1, augmentation.batch, x.shape[1])
    kind = torch.randint(3, (len(out),), generator=draws, device=x.device)
    noisy, mixed = (kind == 0).nonzero()[:, 0], (kind == 1).nonzero()[:, 0]
    noise = torch.randn(len(noisy), *out.shape[1:], generator=draws, device=x.device, dtype=x.dtype)
    out.index_add_(0, noisy, noise, alpha=augmentation.noise_std)
    others = torch.rand(len(mixed), augmentation.batch, generator=draws, device=x.device).argsort(1)
    share = torch.rand(len(mixed), 1, 1, generator=draws, device=x.device, dtype=x.dtype)
    own = out[mixed]
    out[mixed] = torch.lerp(own, own.take_along_dim(others[..., None], 1), share)
    return out.view_as(x)


def augment_sequences(x: torch.Tensor, augmentation: SequenceAugmentation, draws: torch.Generator) -> torch.Tensor:
    """Return an augmented copy: per sequence one of these, with equal chance; padding stays as it is.

    Its valid time steps are shuffled, or noise is added to them, or some of them are set to zero, or nothing is done.

    Parameters
    ----------
    x : tensor, (samples, steps, features + 1)
        The last number of a time step is 1 where it is valid, 0 where it is padding.
    augmentation : SequenceAugmentation
    draws : torch.Generator
        On the device of ``x``.

    Returns
    -------
    tensor, (samples, steps, features + 1)
    """
    out, steps = x.clone(), x.shape[1]
    kind = torch.randint(4, (len(x),), generator=draws, device=x.device)
    shuffled, noisy, dropped = ((kind == one).nonzero()[:, 0] for one in range(3))

    def places(samples: torch.Tensor) -> torch.Tensor:
        """Random order of the time steps of each sample, padding last."""
        order = torch.rand(len(samples), steps, generator=draws, device=x.device)
        return (order + 2 * (x[samples, :, -1] == 0)).argsort(1)

    out[shuffled] = x[shuffled].take_along_dim(places(shuffled)[..., None], 1)
    noise = torch.randn(len(noisy), steps, x.shape[2] - 1, generator=draws, device=x.device, dtype=x.dtype)
    out[noisy, :, :-1] += noise.mul_(augmentation.noise_std) * x[noisy, :, -1:]
    valid = x[dropped, :, -1].sum(1, keepdim=True)
    count = (augmentation.drop_fraction * valid.double() + 1e-9).long()
    sample, place = (torch.arange(steps, device=x.device) < count).nonzero(as_tuple=True)
    out[dropped[sample], places(dropped)[sample, place], :-1] = 0
    return out


AUGMENT = {Augmentation: augment, Mixup: augment_mini_batches, SequenceAugmentation: augment_sequences}


def random_subsets(
    samples: int, size: int, count: int, draws: torch.Generator, device: torch.device | str
) -> torch.Tensor:
    """Draw ``count`` of ``size`` without replacement for every sample, ``(samples, count)``.

    Floyd's algorithm, all samples at once: ``count`` numbers a sample instead of a sort of ``size``.
    """
    uniform = torch.rand(count, samples, generator=draws, device=device, dtype=torch.float64)
    chosen = torch.empty(count, samples, dtype=torch.int64, device=device)
    for position, largest in enumerate(range(size - count, size)):
        candidate = (uniform[position] * (largest + 1)).long()
        taken = (chosen[:position] == candidate).any(0)
        chosen[position] = torch.where(taken, largest, candidate)
    return chosen.T


def spread_groups(groups: torch.Tensor, order: torch.Tensor, size: EpochSize, draws: torch.Generator) -> torch.Tensor:
    """Deal pairs out to mini-batches so that none holds two pairs of one group.

    Group by group, in random order, pairs go to one mini-batch after the other; of a group with more pairs than there
    are mini-batches a random part sits this epoch out.

    Parameters
    ----------
    groups : tensor of whole numbers, (pairs,)
    order : tensor of whole numbers, (pairs,)
        A random order of the pairs.
    size : EpochSize
        One that the groups can serve.
    draws : torch.Generator
        On the device of ``order``.

    Returns
    -------
    tensor, (steps * batch,)
        Positions of pairs, mini-batch after mini-batch.
    """
    places = torch.randperm(int(groups.max()) + 1, generator=draws, device=order.device)[groups[order]]
    places, by_group = places.sort(stable=True)
    first = torch.searchsorted(places, places)
    kept = order[by_group][torch.arange(len(places), device=order.device) - first < size.steps]
    return kept[: len(kept) // size.steps * size.steps].view(-1, size.steps).T[:, : size.batch].reshape(-1)


def chunk_size(views: Sequence[torch.Tensor], batch: int) -> int:
    """Return how many mini-batches are drawn at a time.

    >>> chunk_size([torch.empty(1, 100), torch.empty(1, 100)], 256), chunk_size([torch.empty(1, 50, 372)], 128)
    (32, 6)
    """
    of_sequences = [view[0].nbytes * batch for view in views if view.dim() == 3]
    return min(CHUNK, max(1, CHUNK_BYTES // max(of_sequences))) if of_sequences else CHUNK


class Feed:
    """Serves the mini-batches of an epoch for several streams at once.

    Parameters
    ----------
    folds : mapping of fold to FoldData
        The folds that the streams use.
    streams : sequence of Stream
    size : EpochSize
        Of all folds of the data set, used here or not, so that a run does not depend on which others are in its
        stack. A last, partial mini-batch is dropped.
    augmentation : pair of Augmentation, Mixup or SequenceAugmentation
        One a view.
    second_version : bool
        Whether ``Batch.v`` is wanted.
    first_clean : bool
        Whether ``Batch.x`` is left as it is.
    noise : sequence of (purpose, view)
        Key of each tensor of noise that a mini-batch has, see :mod:`streams`.
    dimensions : int
        Of the noise.
    kappa : float or None
        Concentration of vMF noise around the first axis; None for standard normal numbers.
    distinct_groups : bool
        Whether a mini-batch holds at most one pair of a group; else pairs are drawn whatever their group.
    """

    def __init__(
        self,
        folds: dict[int, FoldData],
        streams: Sequence[Stream],
        *,
        size: EpochSize,
        augmentation: tuple[Augmenting, Augmenting],
        second_version: bool,
        first_clean: bool = False,
        noise: Sequence[tuple[str, int]] = (),
        dimensions: int = 0,
        kappa: float | None = None,
        distinct_groups: bool = False,
    ):
        self.folds, self.streams = folds, list(streams)
        self.size, self.distinct_groups = size, distinct_groups
        self.batch, self.steps = size
        self.augmentation = augmentation
        self.second_version, self.first_clean = second_version, first_clean
        self.noise, self.dimensions, self.kappa = noise, dimensions, kappa
        first = next(iter(folds.values()))
        self.device = first.rows[0].device
        self.chunk = chunk_size(first.views, self.batch)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the mini-batches of one epoch."""

        def generators(purpose: str, view: int) -> list[torch.Generator]:
            return [generator(s, purpose, view=view, epoch=epoch, device=self.device) for s in self.streams]

        orders = [
            self._order(self.folds[s.fold], draws)
            for s, draws in zip(self.streams, generators("batches", 0), strict=True)
        ]
        augmenting = {m: generators("augment", m + 1) for m in (0, 1)}
        sampling = [generators(purpose, view) for purpose, view in self.noise]
        for start in range(0, self.steps, self.chunk):
            steps = min(self.chunk, self.steps - start)
            chosen = [order[start * self.batch : (start + steps) * self.batch] for order in orders]
            x, v = zip(*(self._views(m, chosen, augmenting[m]) for m in (0, 1)), strict=True)
            noise = [self._noise(steps * self.batch, draws) for draws in sampling]
            for step in range(steps):
                rows = slice(step * self.batch, (step + 1) * self.batch)
                yield Batch(
                    x=(x[0][:, rows], x[1][:, rows]),
                    v=(v[0][:, rows], v[1][:, rows]) if self.second_version else None,
                    noise=tuple(one[:, rows] for one in noise),
                )

    def _order(self, fold: FoldData, draws: torch.Generator) -> torch.Tensor:
        order = torch.randperm(len(fold.rows[0]), generator=draws, device=self.device)
        return spread_groups(fold.groups, order, self.size, draws) if self.distinct_groups else order

    def _views(self, m: int, chosen, augmenting):
        x, v = [], []
        for stream, pairs, draws in zip(self.streams, chosen, augmenting, strict=True):
            fold = self.folds[stream.fold]
            # Four times as fast as indexing by square brackets.
            clean = fold.views[m].index_select(0, fold.rows[m].index_select(0, pairs))
            augmentation = self.augmentation[m]
            x.append(clean if self.first_clean else AUGMENT[type(augmentation)](clean, augmentation, draws))
            if self.second_version:
                v.append(AUGMENT[type(augmentation)](x[-1], augmentation, draws))
        return torch.stack(x), torch.stack(v) if v else None

    def _noise(self, samples: int, draws: Sequence[torch.Generator]) -> torch.Tensor:
        shape = (samples, self.dimensions)
        normal = torch.stack([torch.randn(shape, generator=one, device=self.device) for one in draws])
        return normal if self.kappa is None else noise_around_first_axis(normal, self.kappa)
