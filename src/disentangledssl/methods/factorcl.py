"""FactorCL: shared and unique information of two views by learned bounds, in its self-supervised form.

With h_m the embedding of view m, h_m+ that of its augmented version, p the projection heads of a term (a pair of them,
one a view; the unique term of a view has one for both sides) and f its own critic, maximise for each run

    S   = NCE(p h1, p h2) - CLUB([p h1, p h1+], [p h2, p h2+])
    U_m = NCE(p h_m, p h_m+) - CLUB(p h1, p h2) + NCE([p h1, p h1+], [p h2, p h2+])

each term once. Beside the code of a view, that of its augmented version stands for what a task asks for. The critics of
both CLUB terms are no part of this: they maximise their own NCE bound on the same codes, held constant.

Representations are raw: ``emb`` is h_m, ``proj`` the outputs of the five heads of a view in a row.
Source: Liang et al. 2024 in the form of their code for MultiBench; there the CLUB critics take their step after the
encoders', here both are updated from the same codes, so theirs lag a step behind.
"""

from __future__ import annotations

import torch

from disentangledssl.critics import Critic
from disentangledssl.encoders import StackedMLP
from disentangledssl.methods import BaseMethod, spread

ENCODERS = ("emb1", "emb2")
HEADS = ("shared", "club", "unique", "conditional", "conditional_club")
NCE_CRITICS = ("shared", "unique1", "unique2", "conditional")
CLUB_CRITICS = ("club", "conditional_club")


class Method(BaseMethod):
    """Two encoders, five projection heads a view, four critics of NCE terms and two of CLUB terms."""

    second_version = True
    first_clean = True
    annealed = False
    last_layer = False
    trained = (
        *ENCODERS, *(f"head_{name}{m}" for name in HEADS for m in (1, 2)),
        *(f"critic_{name}" for name in (*NCE_CRITICS, *CLUB_CRITICS)),
    )  # fmt: skip

    def __init__(self, shapes, settings, layout):
        super().__init__(shapes, settings, layout)
        runs, s = len(layout.stream_of_run), settings
        projection = s.dimensions if s.head_width == "kept" else s.dimensions // len(HEADS)
        self.emb1, self.emb2 = (self.encoder(shape) for shape in shapes)
        for name in HEADS:
            for m, encoder in ((1, self.emb1), (2, self.emb2)):
                widths = [encoder.outputs, encoder.outputs, projection]
                self.add_module(f"head_{name}{m}", StackedMLP(runs, widths, s.precision))
        for name in (*NCE_CRITICS, *CLUB_CRITICS):
            width = projection * (2 if name.startswith("conditional") else 1)
            self.add_module(f"critic_{name}", Critic(runs, (width, width), s.critic_hidden, s.precision))

    def initialise(self):
        streams = [self.layout.streams[k] for k in self.layout.stream_of_run]
        for name in self.trained:
            # Heads and critics as in their code.
            std = self.settings.weight_std if name in ENCODERS else None
            getattr(self, name).initialise(streams, name, std)

    def parameter_groups(self):
        critics = [f"critic_{name}" for name in CLUB_CRITICS]
        groups = {"encoders": [name for name in self.trained if name not in critics], "critics": critics}
        return {
            group: [p for name in names for p in getattr(self, name).parameters() if p.requires_grad]
            for group, names in groups.items()
        }

    def head(self, name: str, view: int) -> StackedMLP:
        """The projection head of a term for a view, 1 or 2."""
        return getattr(self, f"head_{name}{view}")

    def critic(self, name: str) -> Critic:
        """The critic of a term."""
        return getattr(self, f"critic_{name}")

    def losses(self, batch):
        size = batch.x[0].shape[1]
        # Both versions lie in one tensor; h[m - 1][:, :size] is of the clean view.
        h = [
            encoder(spread(torch.cat([x, v], dim=1), self.layout.stream_of_run))
            for encoder, x, v in zip((self.emb1, self.emb2), batch.x, batch.v, strict=True)
        ]
        codes = {name: [self.head(name, m)(h[m - 1][:, :size]) for m in (1, 2)] for name in ("shared", "club")}
        for m in (1, 2):
            codes[f"unique{m}"] = [*self.head("unique", m)(h[m - 1]).split(size, dim=1)]
        for name in ("conditional", "conditional_club"):
            codes[name] = [torch.cat(self.head(name, m)(h[m - 1]).split(size, dim=1), dim=-1) for m in (1, 2)]
        terms = {f"nce_{name}": self.critic(name).lower_bound(*codes[name]) for name in NCE_CRITICS}
        terms |= {name: self.critic(name).upper_bound(*codes[name]) for name in CLUB_CRITICS}
        constant = {name: [code.detach() for code in codes[name]] for name in CLUB_CRITICS}
        fits = {f"nce_{name}": self.critic(name).lower_bound(*constant[name]) for name in CLUB_CRITICS}
        losses = {
            "encoders": sum(terms[name] for name in CLUB_CRITICS) - sum(terms[f"nce_{name}"] for name in NCE_CRITICS),
            "critics": -sum(fits.values()),
        }
        return losses, terms | fits

    def represent(self, run, x):
        codes = {}
        for m, (encoder, view) in enumerate(zip((self.emb1, self.emb2), x, strict=True), 1):
            codes[f"emb{m}"] = h = encoder.single(run, view)
            codes[f"proj{m}"] = torch.cat([self.head(name, m).single(run, h) for name in HEADS], dim=-1)
        return codes
