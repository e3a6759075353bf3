"""Decoders: multilayer perceptrons from representations to a view, fitted to see what the representations hold.

A decoder is named by what it sees: ``zc1``, ``zs1``, ``zc1+zs1`` (sec. 3.3, Table 3) or ``zc2+zs1`` (the molecule's
shared and the phenotype's specific representation, App. H.3, Table 5). All decoders of a stack of runs that have one
view as target are trained together, a place of the run axis each, by the one training loop. Every decoder of a run is
given all of the run's representations, those that it may not see as zeros: their weights get no gradient, so that a
decoder is the same whoever else is in the stack.

Each decoder keeps the weights of the epoch with the lowest validation error, and no later than ``patience`` epochs
after the best one it improves no more. Training ends when that is so for all of them, which changes none.

Source: 2-layer MLP decoders fitted on the training set: sec. 3.3; all else: choice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import torch

from disentangledssl.batches import CHUNK, EpochSize
from disentangledssl.code_scaling import standardise_codes
from disentangledssl.dataset import PairedDataset
from disentangledssl.encoders import StackedMLP
from disentangledssl.errors import InputError
from disentangledssl.methods import BaseMethod, Layout, spread
from disentangledssl.settings import DecoderSettings
from disentangledssl.streams import Stream, generator
from disentangledssl.training import smallest_fold, train

# By target view, what decoders see. The last one of view 1 generates phenotypes for other molecules.
DECODERS = {1: ("zc1", "zs1", "zc1+zs1", "zc2+zs1"), 2: ("zc2", "zs2", "zc2+zs2")}
ROWS_AT_A_TIME = 2048

log = logging.getLogger(__name__)


class CodeBatch(NamedTuple):
    """Pairs for decoders.

    Attributes
    ----------
    codes : tensor, (runs, batch, width of all representations)
    target : tensor, (streams, batch, features)
    real : tensor of bool, (streams, batch)
        False where a stream had fewer pairs than another and one of its own was repeated.
    """

    codes: torch.Tensor
    target: torch.Tensor
    real: torch.Tensor


class CodeFeed:
    """Serves the representations of a stack of runs and their target in mini-batches, the same to all runs of a stream.

    Parameters
    ----------
    codes : tensor, (runs, pairs, width of all representations)
    targets : mapping of fold to tensor, (rows of the view, features)
    rows : tensor, (pairs,)
        For each pair the row of the target.
    training, validation : mappings of fold to tensor
        Positions of pairs.
    layout : Layout
        Of the runs, not of their decoders.
    size : EpochSize
        Of all folds of the data set, see :class:`batches.Feed`.
    """

    def __init__(
        self,
        codes: torch.Tensor,
        targets: Mapping[int, torch.Tensor],
        rows: torch.Tensor,
        training: Mapping[int, torch.Tensor],
        validation: Mapping[int, torch.Tensor],
        layout: Layout,
        *,
        size: EpochSize,
    ):
        self.codes, self.targets, self.rows = codes, targets, rows
        self.training, self.held_out, self.layout = training, validation, layout
        self.batch, self.steps = size
        self.device = codes.device

    def epoch(self, epoch: int) -> Iterator[CodeBatch]:
        """Yield the mini-batches of one epoch."""
        orders = []
        for stream in self.layout.streams:
            pairs = self.training[stream.fold]
            draws = generator(stream, "decoder batches", epoch=epoch, device=self.device)
            orders.append(pairs[torch.randperm(len(pairs), generator=draws, device=self.device)])
        for start in range(0, self.steps * self.batch, CHUNK * self.batch):
            stop = min(start + CHUNK * self.batch, self.steps * self.batch)
            drawn = self._gather(torch.stack([order[start:stop] for order in orders]))
            for at in range(0, stop - start, self.batch):
                yield CodeBatch(*(one[:, at : at + self.batch] for one in drawn))

    def validation(self) -> Iterator[CodeBatch]:
        """Yield all validation pairs, in their order."""
        held_out = [self.held_out[stream.fold] for stream in self.layout.streams]
        longest = max(len(pairs) for pairs in held_out)
        places = torch.arange(longest, device=self.device)
        pairs = torch.stack([one[places.clamp(max=len(one) - 1)] for one in held_out])
        real = torch.stack([places < len(one) for one in held_out])
        for start in range(0, longest, self.batch):
            block = slice(start, start + self.batch)
            yield self._gather(pairs[:, block])._replace(real=real[:, block])

    def _gather(self, pairs: torch.Tensor) -> CodeBatch:
        codes = [
            of_run.index_select(0, pairs[stream])
            for of_run, stream in zip(self.codes, self.layout.stream_of_run, strict=True)
        ]
        target = [
            self.targets[stream.fold].index_select(0, self.rows.index_select(0, own))
            for stream, own in zip(self.layout.streams, pairs, strict=True)
        ]
        return CodeBatch(torch.stack(codes), torch.stack(target), torch.ones_like(pairs, dtype=torch.bool))


class Decoders(BaseMethod):
    """The decoders of a stack of runs that have one view as target; run after run, in the order of ``kinds``.

    Parameters
    ----------
    kinds : sequence of str
        What the decoders of a run see.
    widths : mapping of str to int
        Width of each representation, in their order in ``CodeBatch.codes``.
    features : int
        Of the target.
    settings : DecoderSettings
    layout : Layout
        Of the runs.

    Attributes
    ----------
    columns : mapping of str to slice
        Where each representation lies in the codes.
    best : StackedMLP
        The decoders to use; NaN for one that never had a finite validation error.
    best_error : tensor, (decoders,)
        Mean squared validation error of each.
    best_epoch : tensor, (decoders,)
        The epoch, from 1, whose weights were kept; 0 if none.
    """

    annealed = False

    def __init__(
        self, kinds: Sequence[str], widths: Mapping[str, int], features: int, settings: DecoderSettings, layout: Layout
    ):
        of_decoder = [stream for stream in layout.stream_of_run for _ in kinds]
        inputs = sum(widths.values())
        super().__init__(((inputs,), (features,)), settings, Layout({}, layout.streams, of_decoder))
        self.kinds, self.stream_of_run = list(kinds), list(layout.stream_of_run)
        names = [name for name, width in widths.items() for _ in range(width)]
        self.columns = {name: slice(names.index(name), names.index(name) + width) for name, width in widths.items()}
        seen = torch.tensor([[name in kind.split("+") for name in names] for kind in kinds])
        self.register_buffer("seen", seen, persistent=False)
        shape = (len(of_decoder), [inputs, settings.hidden, features])
        self.network, self.best = StackedMLP(*shape), StackedMLP(*shape).requires_grad_(False)
        with torch.no_grad():
            for parameter in self.best.parameters():
                parameter.fill_(float("nan"))
        self.register_buffer("best_error", torch.full((len(of_decoder),), float("inf"), dtype=torch.float64))
        self.register_buffer("best_epoch", torch.zeros(len(of_decoder), dtype=torch.int64))

    def initialise(self):
        """Draw each decoder's initial values as if it had only the inputs that it sees."""
        with torch.no_grad():
            for place, stream in enumerate(self.layout.stream_of_run):
                kind = place % len(self.kinds)
                seen = self.seen[kind].nonzero()[:, 0]
                single = StackedMLP(1, [len(seen), self.settings.hidden, *self.shapes[1]])
                single.initialise(
                    [self.layout.streams[stream]], f"decoder {self.kinds[kind]}", self.settings.weight_std
                )
                first, *others = zip(self.network.weights, single.weights, strict=True)
                first[0][place, seen] = first[1][0, : len(seen)]
                for mine, drawn in (*others, *zip(self.network.biases, single.biases, strict=True)):
                    mine[place] = drawn[0]

    def parameter_groups(self):
        return {"decoders": list(self.network.parameters())}

    def losses(self, batch):
        return {"decoders": self.errors(self.network, batch).mean(1)}, {}

    def errors(self, network: StackedMLP, batch: CodeBatch) -> torch.Tensor:
        """Return each decoder's squared error, mean over the features, ``(decoders, batch)``."""
        shape = (len(self.stream_of_run), len(self.kinds))
        made = network(self._inputs(batch.codes)).unflatten(0, shape)
        return (made - spread(batch.target, self.stream_of_run)[:, None]).square().mean(-1).flatten(0, 1)

    @torch.no_grad()
    def end_epoch(self, epoch, feed):
        """Keep the weights of each decoder that has improved; True once none can any more."""
        total, pairs = 0, 0
        for batch in feed.validation():
            real = spread(batch.real, self.layout.stream_of_run)
            total = total + torch.where(real, self.errors(self.network, batch).double(), 0.0).sum(1)
            pairs = pairs + real.sum(1)
        error = total / pairs
        # A decoder that has waited too long stays as it is, although the others keep the stack going.
        better = (error < self.best_error) & (epoch + 1 - self.best_epoch <= self.settings.patience)
        for kept, current in zip(self.best.parameters(), self.network.parameters(), strict=True):
            kept[better] = current[better]
        self.best_error[better] = error[better]
        self.best_epoch[better] = epoch + 1
        return bool((epoch + 1 - self.best_epoch >= self.settings.patience).all())

    @torch.no_grad()
    def decode(self, run: int, kind: str, codes: torch.Tensor) -> np.ndarray:
        """Make the target from one run's representations with its best decoder.

        Parameters
        ----------
        run : int
        kind : str
        codes : tensor, (rows, width of all representations)

        Returns
        -------
        array, (rows, features)
        """
        seen = torch.where(self.seen[self.kinds.index(kind)], codes, 0)
        pieces = [self.best.single(self._place(run, kind), block).cpu() for block in seen.split(ROWS_AT_A_TIME)]
        return torch.cat(pieces).numpy()

    def kept_epoch(self, run: int, kind: str) -> int:
        """Return the epoch, from 1, whose weights were kept for a decoder of one run; 0 if none."""
        return int(self.best_epoch[self._place(run, kind)])

    def _place(self, run: int, kind: str) -> int:
        return run * len(self.kinds) + self.kinds.index(kind)

    def _inputs(self, codes: torch.Tensor) -> torch.Tensor:
        return torch.where(self.seen[:, None], codes[:, None], 0).flatten(0, 1)


def fit_decoders(
    codes: Sequence[Mapping[str, np.ndarray]],
    runs: Sequence[Mapping[str, Any]],
    dataset: PairedDataset,
    targets: Mapping[int, np.ndarray],
    view: int,
    *,
    settings: DecoderSettings,
    folder: Path,
    device: torch.device | str = "cpu",
    terminal: TextIO | None = None,
) -> tuple[Decoders, torch.Tensor]:
    """Fit the decoders of one view from the representations of some runs.

    Parameters
    ----------
    codes : sequence of mapping of name to array, ``(pairs, dimensions)``
        One mapping a run, all of the same names and widths, as ``Models.represent`` gives them.
    runs : sequence of mapping
        ``fold`` and ``seed`` of each.
    dataset : PairedDataset
    targets : mapping of fold to array, ``(rows of the view, features)``
        Standardised.
    view : int
        1 or 2: whose rows the targets are.
    settings : DecoderSettings
    folder : path
        Of the data set, named in errors.
    device : torch.device or str
    terminal : text stream, optional
        Where the progress line goes.

    Returns
    -------
    Decoders
        Trained; of the kinds in ``DECODERS`` for which the runs have representations.
    tensor, (runs, pairs, width of all representations)
        What :meth:`Decoders.decode` takes.

    Raises
    ------
    InputError
        If a fold has no validation pairs or too few training pairs.
    """
    device, name = torch.device(device), dataset.info.get("name", "")
    kinds = [kind for kind in DECODERS[view] if all(part in codes[0] for part in kind.split("+"))]
    # In one order, whatever the kinds, so that a decoder's first weights do not depend on the others.
    widths = {part: codes[0][part].shape[1] for part in sorted(set("+".join(kinds).split("+")))}
    stream_of = [Stream(name, run["fold"], run["seed"]) for run in runs]
    streams = list(dict.fromkeys(stream_of))
    layout = Layout({}, streams, [streams.index(stream) for stream in stream_of])
    folds = sorted({run["fold"] for run in runs})
    training, validation = (
        {fold: torch.from_numpy(dataset.pairs_in(fold, split)).to(device) for fold in folds}
        for split in ("train", "validation")
    )
    for fold in folds:
        if not len(validation[fold]):
            raise InputError(
                folder / "splits.parquet", f"column fold_{fold}", "has no validation pairs",
                "put some pairs into validation: decoders are stopped by their error there",
            )  # fmt: skip
    inputs = torch.empty(len(codes), len(dataset.ids), sum(widths.values()))
    for place, (run, of_run) in enumerate(zip(runs, codes, strict=True)):
        whole = np.concatenate([of_run[part] for part in widths], axis=1)
        if settings.codes == "standardised":
            whole = standardise_codes(whole, whole[dataset.pairs_in(run["fold"], "train")])
        inputs[place] = torch.from_numpy(whole)
    feed = CodeFeed(
        inputs.to(device),
        {fold: torch.from_numpy(targets[fold]).to(device) for fold in folds},
        torch.from_numpy(dataset.rows[view - 1].astype("int64")).to(device),
        training,
        validation,
        layout,
        size=EpochSize.of_pairs(smallest_fold(dataset, folder), settings.batch_size),
    )
    decoders = Decoders(kinds, widths, targets[folds[0]].shape[1], settings, layout)
    decoders.initialise()
    decoders.to(device)
    record = train(decoders, feed, settings, progress_name=f"{name} decoders of view {view}", terminal=terminal)
    for place in (record.diverged_step >= 0).nonzero()[:, 0].tolist():
        log.warning("decoder %s of %s diverged", kinds[place % len(kinds)], runs[place // len(kinds)].get("id"))
    log.info(
        "%d decoders of view %d: %d epochs of %d mini-batches of %d pairs; weights of epoch %d to %d are kept",
        len(decoders.best_epoch), view, len(record.curves), feed.steps, feed.batch,
        decoders.best_epoch.min(), decoders.best_epoch.max(),
    )  # fmt: skip
    return decoders, feed.codes
