"""FOCAL: shared codes aligned across views, specific codes across versions of a view, all kept apart.

With x_m the augmented view, + its second version and n(z) = z / |z|, minimise for each run

    InfoNCE(n(zc1), n(zc2)) + InfoNCE(n(zc1+), n(zc2+)) + a sum_m InfoNCE(n(zs_m), n(zs_m+))
    + lam sum over both versions of [C(zs1, zc1) + C(zs2, zc2) + C(zs1, zs2)]

where C is the mean cosine and zs_m = Es_m([x_m, zc_m]) sees the raw zc_m.
Source: Liu et al. 2024 in the form of the authors' code: encoders of their own for zc and zs, negatives of the
other side only, no temporal term, and a *signed* cosine (default), whose minimum is -1, not 0. FOCAL's own code
takes its positive part (``cosine: hinge``).
"""

from __future__ import annotations

from disentangledssl.methods import FourEncoders
from disentangledssl.objectives import info_nce, mean_cosine
from disentangledssl.vmf import direction


class Method(FourEncoders):
    """Four encoders, trained together."""

    def losses(self, batch):
        size, temperature = batch.x[0].shape[1], self.settings.temperature
        zc, zs = ([direction(code) for code in codes] for codes in self.encode(batch))
        first, second = slice(None, size), slice(size, None)
        shared = sum(info_nce(zc[0][:, version], zc[1][:, version], temperature) for version in (first, second))
        specific = sum(info_nce(code[:, first], code[:, second], temperature) for code in zs)
        hinge = self.settings.cosine == "hinge"
        # Both versions lie in one tensor, so that the mean over it is half of their sum.
        overlap = 2 * sum(mean_cosine(*pair, hinge=hinge) for pair in ((zs[0], zc[0]), (zs[1], zc[1]), (zs[0], zs[1])))
        terms = {"info_nce_shared": shared, "info_nce_specific": specific, "cosine": overlap}
        return {"encoders": shared + self.a * specific + self.lam * overlap}, terms
