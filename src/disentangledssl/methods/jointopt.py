"""JointOpt: shared and modality-specific representations at once, none of them frozen.

With x_m the augmented view, + its second version, m' the other view, n(z) = z / |z| and s_m ~ vMF(n(zc_m), kappa),
minimise for each run (2 Lsh + a Lsp) / (1 + a) + lam Lor, where

    Lsh = 1/2 [InfoNCE(s1, s2) + InfoNCE(s1+, s2+)]
    Lsp = sum_m InfoNCE(n([zs_m, zc_m']), n([zs_m+, zc_m'+]))
    Lor = 1/2 sum_m [O(zs_m, zc_m) + O(zs_m+, zc_m+)]

and zs_m = Es_m([x_m, zc_m]) sees the raw zc_m. Lsp and Lor reach the shared encoders too: that is what step 2 of
DisentangledSSL avoids by freezing them. There is no beta.
Source: paper sec. 3 and App. G, after Pan et al. 2021; the authors' code divides by 1 + a (default), the paper's
text does not (``normaliser: false``).
"""

from __future__ import annotations

import torch

from disentangledssl.methods import FourEncoders, spread
from disentangledssl.methods.step2 import specific_terms
from disentangledssl.objectives import info_nce
from disentangledssl.vmf import direction, sample


class Method(FourEncoders):
    """Four encoders, trained together."""

    noise = (("sample", 1), ("sample", 2), ("sample second version", 1), ("sample second version", 2))

    def losses(self, batch):
        zc, zs = self.encode(batch)
        draws = [spread(torch.cat(batch.noise[m::2], dim=1), self.layout.stream_of_run) for m in (0, 1)]
        samples = [sample(direction(code), noise) for code, noise in zip(zc, draws, strict=True)]
        size, temperature = batch.x[0].shape[1], self.settings.temperature
        versions = (slice(None, size), slice(size, None))
        shared = sum(info_nce(*(s[:, version] for s in samples), temperature) for version in versions) / 2
        specific, overlap = specific_terms(zc, zs, self.settings)
        relevance = 2 * shared + self.a * specific
        if self.settings.normaliser:
            relevance = relevance / (1 + self.a)
        terms = {"info_nce_shared": shared, "info_nce_specific": specific, "orthogonality": overlap}
        return {"encoders": relevance + self.lam * overlap}, terms
