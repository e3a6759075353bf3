"""L2-penalised logistic regressions of many labels on the same codes, fitted together.

Minimises, for each label, the sum over its labelled rows of the negative log-likelihood plus half the squared
weights; the intercept is free. That is scikit-learn's ``LogisticRegression(C=1)``: one column of weights for two
classes, a softmax with one column a class for more.

Method (choice): L-BFGS (Nocedal & Wright 2006, algorithm 7.4) whose initial Hessian is c X^T X + I, with c the mean of
p (1 - p) over the rows (Boehning & Lindsay 1988 use its bound, 1/4). One eigendecomposition serves all labels, columns
and passes, one pass over the codes evaluates all labels, and about six passes fit 72,000 x 200 codes. Where c is far
from p (1 - p) of single rows (heavy tails, classes almost apart) it takes more; every 20 passes X^T X is therefore
weighted anew, column by column. A step that does not lower the loss is shortened. The end is measured in the Hessian's
own norm, so that neither the scale of the codes nor their dependence matters.

Products with float32 codes are taken in float32, while that lowers the loss; the end is always found, and confirmed,
in float64. All else is float64 throughout.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import softplus

UNLABELLED = -1
BLOCK_BYTES = 3 << 20  # of codes on a CPU: a block stays in the cache between its two products
GRAM_ROWS = 64  # a dimension are enough for X^T X, which shapes the steps but not the end
MEMORY = 10
REWEIGH = 20
SUFFICIENT = 1e-4  # share of the decrease promised by the slope that a step must bring
SHORTEST = 1e-3  # a step that must be shorter than this says that rounding hides the loss
ROUNDING = 1e-15  # of the loss
FLOAT32_TOLERANCE = 1e-6  # float64 takes it from here: one pass, mostly


class Fit(NamedTuple):
    """Logistic regression of one label.

    Attributes
    ----------
    weights : tensor, ``(columns, dimensions + 1)`` float64
        Of the codes less ``centre``; the last is the intercept. One column for two classes.
    centre : tensor, ``(dimensions,)``
    passes : int
        Passes over the codes.
    remaining : float
        Share of the loss that was still expected to go before the last step.
    converged : bool
    """

    weights: torch.Tensor
    centre: torch.Tensor
    passes: int
    remaining: float
    converged: bool


def fit_logistic(
    codes: torch.Tensor, labels: Sequence[torch.Tensor], *, max_iter: int = 200, tolerance: float = 1e-8
) -> list[Fit]:
    """Fit every label on the same codes.

    Parameters
    ----------
    codes : tensor, ``(rows, dimensions)``, float32 or float64
    labels : sequence of tensors, ``(rows,)`` int64
        Classes 0, 1, ... of each label, at least two; -1 where a row has none.
    max_iter : int
        Most passes over the codes.
    tolerance : float
        A label is finished when the next step is expected to lower its loss by less than this share.

    Raises
    ------
    ValueError
        If the codes hold NaN or infinity.
    """
    centre = codes.mean(dim=0)
    if not torch.isfinite(centre).all():
        raise ValueError("codes hold NaN, infinity or numbers too large to add; leave diverged runs out")
    losses = [_Loss(classes) for classes in labels]
    shape = _Shape(_gram(codes, centre), len(codes))
    searches = [_Search([shape] * loss.columns, codes.shape[1]) for loss in losses]
    if codes.dtype == torch.float32:
        _descend(codes, centre, losses, searches, max(tolerance, FLOAT32_TOLERANCE), min(max_iter, REWEIGH))
    _descend(codes, centre, losses, searches, tolerance, max_iter, final=True)
    return [Fit(one.weights, centre, one.passes, one.remaining, one.state == "finished") for one in searches]


def predict_classes(fits: Sequence[Fit], codes: torch.Tensor) -> list[torch.Tensor]:
    """Return the most likely class of each row, ``(rows,)`` int64, for every fit on the same codes."""
    every, widths = torch.cat([fit.weights for fit in fits]), [len(fit.weights) for fit in fits]
    blocks = _blocks(codes, fits[0].centre, torch.float64)
    scores = torch.cat([_scores(block, every) for _, block in blocks], dim=1)
    return [(own[0] > 0).long() if len(own) == 1 else own.argmax(dim=0) for own in scores.split(widths)]


def _descend(codes, centre, losses, searches, tolerance: float, max_iter: int, final: bool = False) -> None:
    """Search until each label is finished or stuck: in the precision of the codes, or finally in float64."""

    def weigh(loss: _Loss, search: _Search) -> None:
        if final and search.wants_shapes:
            grams = _weighted_grams(codes, centre, loss, search.weights)
            search.reshape([_Shape(gram, len(codes)) for gram in grams])

    for loss, search in zip(losses, searches, strict=True):
        search.start(tolerance)
        weigh(loss, search)
    while active := [k for k, one in enumerate(searches) if one.state == "searching" and one.passes < max_iter]:
        dtype = torch.float64 if final else codes.dtype
        found = _evaluate(codes, centre, dtype, [losses[k] for k in active], [searches[k].trial for k in active])
        for k, evaluated in zip(active, found, strict=True):
            searches[k].judge(*evaluated)
            weigh(losses[k], searches[k])


def _blocks(codes: torch.Tensor, centre: torch.Tensor, dtype: torch.dtype) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield the centred codes, some rows at a time, in memory that the next block takes over."""
    width = max(1, codes.shape[1])
    size = max(1, BLOCK_BYTES // (width * dtype.itemsize)) if codes.device.type == "cpu" else len(codes)
    buffer = torch.empty((min(size, len(codes)), codes.shape[1]), dtype=dtype, device=codes.device)
    for start in range(0, len(codes), size):
        rows = codes[start : start + size]
        yield slice(start, start + size), torch.sub(rows, centre, out=buffer[: len(rows)])


def _scores(block: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the scores of centred codes, ``(columns, rows)`` float64."""
    scores = (block @ weights[:, :-1].to(block.dtype).T).T
    return scores.to(torch.float64, memory_format=torch.contiguous_format) + weights[:, -1:]


class _Loss:
    """The loss of one label as a function of the scores."""

    def __init__(self, classes: torch.Tensor):
        count = int(classes.max()) + 1
        self.columns = count if count > 2 else 1
        self.known = (classes != UNLABELLED).double()
        self.classes = classes.clamp(min=0)
        self.signs = (1 - 2 * classes).double() * self.known

    def __call__(self, scores: torch.Tensor, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the summed loss of some rows and its gradient for their scores, ``(columns, rows)``.

        Where a prediction is all but certain the gradient is a small number, not a difference of large ones.
        """
        known = self.known[rows]
        if self.columns == 1:
            against = self.signs[rows] * scores
            return softplus(against[0]).dot(known), self.signs[rows] * torch.sigmoid(against)
        own = self.classes[rows][None]
        total = torch.logsumexp(scores, dim=0)
        others = (torch.exp(scores - total) * known).scatter_(0, own, 0.0)
        loss = (total - scores.gather(0, own)[0]).dot(known)
        return loss, others.scatter_(0, own, -others.sum(dim=0, keepdim=True))


def _curvature(residuals: torch.Tensor) -> torch.Tensor:
    """Return p (1 - p), be the residual p or p - 1."""
    return residuals.abs() - residuals.square()


def _evaluate(
    codes: torch.Tensor,
    centre: torch.Tensor,
    dtype: torch.dtype,
    losses: Sequence[_Loss],
    weights: Sequence[torch.Tensor],
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Return loss, gradient and mean curvature of the columns of each label, from one pass over the codes."""
    widths = [loss.columns for loss in losses]
    every = torch.cat(list(weights))
    sums = [own[:, :-1].square().sum() / 2 for own in weights]
    gradient = every.clone()
    gradient[:, -1] = 0
    curvature = torch.zeros_like(gradient[:, 0])
    for rows, block in _blocks(codes, centre, dtype):
        scores, residuals = _scores(block, every), []
        for k, own in enumerate(scores.split(widths)):
            loss, residual = losses[k](own, rows)
            sums[k] += loss
            residuals.append(residual)
        residuals = torch.cat(residuals)
        gradient[:, :-1] += residuals.to(dtype) @ block
        gradient[:, -1] += residuals.sum(dim=1)
        curvature += _curvature(residuals).sum(dim=1)
    return zip(sums, gradient.split(widths), (curvature / len(codes)).split(widths), strict=True)


def _gram(codes: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Return X^T X of the centred codes, ``(dimensions, dimensions)``, from evenly spaced rows."""
    some = codes[:: max(1, len(codes) // max(1, GRAM_ROWS * codes.shape[1]))]
    gram = torch.zeros(2 * codes.shape[1:], dtype=torch.float64, device=codes.device)
    for _, block in _blocks(some, centre, codes.dtype):
        gram += block.T @ block
    return gram * (len(codes) / len(some))


def _weighted_grams(codes: torch.Tensor, centre: torch.Tensor, loss: _Loss, weights: torch.Tensor) -> torch.Tensor:
    """Return X^T X weighted by each column's curvature, of mean 1: ``(columns, dimensions, dimensions)``."""
    grams = torch.zeros((len(weights), *2 * codes.shape[1:]), dtype=torch.float64, device=codes.device)
    total = torch.zeros_like(weights[:, 0])
    for rows, block in _blocks(codes, centre, torch.float64):
        curvature = _curvature(loss(_scores(block, weights), rows)[1])
        total += curvature.sum(dim=1)
        for gram, one in zip(grams, curvature, strict=True):
            gram += (block * one[:, None]).T @ block
    return grams * (len(codes) / total)[:, None, None]


class _Shape:
    """The inverse of c gram + I for any c, with a free intercept."""

    def __init__(self, gram: torch.Tensor, rows: int):
        self.rows = rows
        values, self.vectors = torch.linalg.eigh(gram)
        self.values = values.clamp(min=0)

    def solve(self, gradient: torch.Tensor, curvature: torch.Tensor) -> torch.Tensor:
        """Return the Newton step of one column, ``(dimensions + 1,)``."""
        turned = gradient[:-1] @ self.vectors / (curvature * self.values + 1)
        return torch.cat([self.vectors @ turned, gradient[-1:] / (curvature * self.rows)])


class _Search:
    """L-BFGS of one label: proposes ``trial`` and is told what it is worth."""

    def __init__(self, shapes: list[_Shape], dimensions: int):
        self.shapes = shapes
        self.weights = shapes[0].values.new_zeros((len(shapes), dimensions + 1))
        self.pairs = deque(maxlen=MEMORY)  # steps, and the changes of the gradient along them
        self.passes, self.remaining, self.state = 0, float("inf"), "searching"
        self.fresh = False  # no step was taken since the shapes were weighted

    def start(self, tolerance: float) -> None:
        """Go on from the weights found so far, with products of another precision."""
        self.tolerance, self.stuck = tolerance, self.state == "stalled"
        self.trial, self.loss, self.state = self.weights, None, "searching"

    @property
    def wants_shapes(self) -> bool:
        """Whether X^T X should be weighted anew: the search is slow, or stuck with the present one."""
        slow = self.state == "searching" and self.passes > 0 and self.passes % REWEIGH == 0
        return slow or self.stuck or (self.state == "stalled" and not self.fresh)

    def reshape(self, shapes: list[_Shape]) -> None:
        """Go on from the weights found so far with other shapes."""
        self.shapes, self.fresh = shapes, True
        self.pairs.clear()
        self.start(self.tolerance)
        self.stuck = False

    def judge(self, loss: torch.Tensor, gradient: torch.Tensor, curvature: torch.Tensor) -> None:
        self.passes += 1
        if self.loss is not None:
            promised = self.length * self.slope
            if not loss <= (1 + ROUNDING) * self.loss + SUFFICIENT * promised:
                # The lowest point of the parabola through what is known, within bounds.
                lowest = float(promised / (promised - (loss - self.loss)) / 2) if torch.isfinite(loss) else 0.1
                self.length *= min(max(lowest, 0.1), 0.5)
                self.trial = self.weights + self.length * self.direction
                if self.length < SHORTEST:
                    self.state = "stalled"
                return
            self.fresh = False
            step, change = self.trial - self.weights, gradient - self.gradient
            if (step * change).sum() > 0:
                self.pairs.append((step, change))
        self.weights, self.loss, self.gradient = self.trial, loss, gradient
        self.direction = -self._inverse_hessian(gradient, curvature)
        self.slope = (gradient * self.direction).sum()
        self.length = 1.0
        self.trial = self.weights + self.direction
        self.remaining = float(-self.slope / loss)
        if self.remaining <= self.tolerance:
            # Too short a step to need a check.
            self.weights, self.state = self.trial, "finished"

    def _inverse_hessian(self, gradient: torch.Tensor, curvature: torch.Tensor) -> torch.Tensor:
        shares = []
        for step, change in reversed(self.pairs):
            shares.append((step * gradient).sum() / (step * change).sum())
            gradient = gradient - shares[-1] * change
        columns = zip(self.shapes, gradient, curvature, strict=True)
        direction = torch.stack([shape.solve(*column) for shape, *column in columns])
        for (step, change), share in zip(self.pairs, reversed(shares), strict=True):
            direction = direction + (share - (change * direction).sum() / (step * change).sum()) * step
        return direction
