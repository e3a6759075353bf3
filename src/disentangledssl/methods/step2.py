"""Step 2 of DisentangledSSL: modality-specific representations, step 1 frozen.

With x_m the augmented view, + its second version, m' the other view and n(z) = z / |z|, minimise for each run
sum_m InfoNCE(n([zs_m, zc_m']), n([zs_m+, zc_m'+])) + lam / 2 * sum_m [O(zs_m, zc_m) + O(zs_m+, zc_m+)],
where zs_m = Es_m([x_m, zc_m]) sees the raw zc_m and all zc are constants.
Source: paper Eq. 4, sec. 2.4 and App. G; O by unit rows or columns, see ``objectives.orthogonality``.
"""

from __future__ import annotations

import torch

from disentangledssl.methods import FourEncoders, build_encoder, spread
from disentangledssl.objectives import info_nce, orthogonality
from disentangledssl.vmf import direction


class Method(FourEncoders):
    """Two trained encoders, zs1 and zs2; the frozen zc1 and zc2 have one network for each distinct start."""

    trained = ("zs1", "zs2")

    def shared_encoders(self):
        # As step 1 made them, whatever the shape of this stage's own encoders.
        starts, precision = len(self.layout.starts), self.settings.precision
        return tuple(
            build_encoder(starts, shape, **self.layout.start_shape, precision=precision).requires_grad_(False)
            for shape in self.shapes
        )

    def encode_shared(self, encoder, views):
        # Once for each start, however many lam build on it.
        return spread(encoder(spread(views, self.layout.stream_of_start)), self.layout.start_of_run)

    def shared_network(self, run):
        return self.layout.start_of_run[run]

    def losses(self, batch):
        relevance, overlap = specific_terms(*self.encode(batch), self.settings)
        return {"encoders": relevance + self.lam * overlap}, {"info_nce": relevance, "orthogonality": overlap}


def specific_terms(zc, zs, settings) -> tuple[torch.Tensor, torch.Tensor]:
    """Relevance and overlap of the modality-specific representations: the two terms of Eq. 4.

    Parameters
    ----------
    zc, zs : pairs of tensors, (runs, 2 * batch, dimensions)
        Shared and specific codes of each view; the second versions of the samples follow the first ones.
    settings : settings with ``temperature`` and ``orthogonality``

    Returns
    -------
    relevance, overlap : tensors, (runs,)
        Sum over the views of InfoNCE(n([zs_m, zc_m']), n([zs_m+, zc_m'+])); half the sum over views and versions
        of the orthogonality of zs_m and zc_m.
    """
    size = zc[0].shape[1] // 2
    relevance, overlap = 0, 0
    for own, other in ((0, 1), (1, 0)):
        joint = direction(torch.cat([zs[own], zc[other]], dim=-1))
        relevance = relevance + info_nce(joint[:, :size], joint[:, size:], settings.temperature)
        for version in (slice(None, size), slice(size, None)):
            overlap = overlap + orthogonality(zs[own][:, version], zc[own][:, version], settings.orthogonality)
    return relevance, overlap / 2
