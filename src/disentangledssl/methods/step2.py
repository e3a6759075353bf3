"""Step 2 of DisentangledSSL: modality-specific representations, step 1 frozen.

With x_m the augmented view, + its second version, m' the other view and n(z) = z / |z|, minimise for each run
sum_m InfoNCE(n([zs_m, zc_m']), n([zs_m+, zc_m'+])) + lam / 2 * sum_m [O(zs_m, zc_m) + O(zs_m+, zc_m+)],
where zs_m = Es_m([x_m, zc_m]) sees the raw zc_m and all zc are constants.
Source: paper Eq. 4, sec. 2.4 and App. G; O by unit rows or columns, see ``objectives.orthogonality``.
"""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from disentangledssl.methods import BaseMethod, mlp, spread
from disentangledssl.objectives import info_nce, orthogonality


class Method(BaseMethod):
    """Two trained encoders, zs1 and zs2; the frozen zc1 and zc2 have one network for each distinct start."""

    second_version = True
    trained = ("zs1", "zs2")

    def __init__(self, sizes, settings, layout):
        super().__init__(sizes, settings, layout)
        runs, starts = len(layout.stream_of_run), len(layout.starts)
        # As step 1 made them, whatever the shape of this stage's own encoders.
        self.zc1, self.zc2 = (mlp(starts, size, **layout.start_shape) for size in sizes)
        self.zc1.requires_grad_(False)
        self.zc2.requires_grad_(False)
        self.zs1, self.zs2 = (self.encoder(runs, size + layout.start_shape["dimensions"]) for size in sizes)

    def losses(self, batch):
        size = batch.x[0].shape[1]
        relevance, overlap, zc, zs = 0, 0, [], []
        for shared, specific, x, v in zip((self.zc1, self.zc2), (self.zs1, self.zs2), batch.x, batch.v, strict=True):
            both = torch.cat([x, v], dim=1)
            # Once for each start, however many lam build on it.
            frozen = shared(spread(both, self.layout.stream_of_start))
            zc.append(spread(frozen, self.layout.start_of_run))
            zs.append(specific(torch.cat([spread(both, self.layout.stream_of_run), zc[-1]], dim=-1)))
        for own, other in ((0, 1), (1, 0)):
            joint = normalize(torch.cat([zs[own], zc[other]], dim=-1), dim=-1)
            relevance = relevance + info_nce(joint[:, :size], joint[:, size:], self.settings.temperature)
            for version in (slice(None, size), slice(size, None)):
                overlap = overlap + orthogonality(zs[own][:, version], zc[own][:, version], self.settings.orthogonality)
        overlap = overlap / 2
        return {"encoders": relevance + self.lam * overlap}, {"info_nce": relevance, "orthogonality": overlap}

    def represent(self, run, x):
        start = self.layout.start_of_run[run]
        zc = [encoder.single(start, view) for encoder, view in zip((self.zc1, self.zc2), x, strict=True)]
        zs = [
            encoder.single(run, torch.cat([view, shared], dim=-1))
            for encoder, view, shared in zip((self.zs1, self.zs2), x, zc, strict=True)
        ]
        return {"zc1": zc[0], "zc2": zc[1], "zs1": zs[0], "zs2": zs[1]}
