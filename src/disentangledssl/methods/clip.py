"""CLIP: step 1 without sampling and with beta = 0.

Minimise InfoNCE(zc1 / |zc1|, zc2 / |zc2|) at a fixed temperature, without projection heads.
Source: the authors' code; Radford et al. 2021 learn the temperature and add linear heads.
"""

from __future__ import annotations

from disentangledssl.methods import step1
from disentangledssl.objectives import info_nce


class Method(step1.Method):
    """Two encoders, aligned."""

    noise = ()
    last_layer = False

    def losses(self, batch):
        loss = info_nce(*self.means(batch), self.settings.temperature)
        return {"encoders": loss}, {"info_nce": loss}
