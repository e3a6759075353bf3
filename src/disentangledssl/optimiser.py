"""Adam, as the training loop needs it and no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.optim.adam import adam


class Adam:
    """Adam without weight decay by PyTorch's fused kernel: bit by bit the numbers of ``torch.optim.Adam(fused=True)``.

    The first ``torch.optim`` object of a process imports PyTorch's compiler, for more than a second of every
    training job; the function that such an object calls does not.

    Parameters
    ----------
    parameters : iterable of torch.nn.Parameter
        Each must have a gradient whenever ``step`` is called.
    rate : float
        Learning rate; may be set anew before any step.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], rate: float):
        self.parameters, self.rate = list(parameters), rate
        self.means = [torch.zeros_like(one) for one in self.parameters]
        self.squares = [torch.zeros_like(one) for one in self.parameters]
        self.steps = [torch.zeros((), device=one.device) for one in self.parameters]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter from its gradient."""
        adam(
            self.parameters, [one.grad for one in self.parameters], self.means, self.squares, [], self.steps,
            fused=True, amsgrad=False, beta1=0.9, beta2=0.999, lr=self.rate, weight_decay=0.0, eps=1e-8, maximize=False,
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds: the moments and the counts of steps, not the learning rate."""
        return {"means": self.means, "squares": self.squares, "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what a checkpoint holds."""
        for name, own in self.state_dict().items():
            for mine, theirs in zip(own, state[name], strict=True):
                mine.copy_(theirs)
