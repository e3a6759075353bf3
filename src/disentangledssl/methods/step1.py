"""Step 1 of DisentangledSSL: shared representations.

Minimise, for each run, InfoNCE(s1, s2) - beta * mean(mu1 . mu2) with mu_m = zc_m / |zc_m| and s_m ~ vMF(mu_m, kappa).
Source: paper Eq. 3, sec. 2.4 and App. G; the sum of the paper's two directions is twice this.
"""

from __future__ import annotations

from disentangledssl.methods import BaseMethod, spread
from disentangledssl.objectives import info_nce, mean_cosine
from disentangledssl.vmf import direction, sample


class Method(BaseMethod):
    """Two encoders, zc1 and zc2, each seeing its own view alone."""

    noise = (("sample", 1), ("sample", 2))
    trained = ("zc1", "zc2")

    def __init__(self, shapes, settings, layout):
        super().__init__(shapes, settings, layout)
        self.zc1, self.zc2 = (self.encoder(shape) for shape in shapes)

    def losses(self, batch):
        means = self.means(batch)
        noise = (spread(noise, self.layout.stream_of_run) for noise in batch.noise)
        samples = [sample(mean, draw) for mean, draw in zip(means, noise, strict=True)]
        relevance = info_nce(*samples, self.settings.temperature)
        redundancy = mean_cosine(*means)
        return {"encoders": relevance - self.beta * redundancy}, {"info_nce": relevance, "mean_cosine": redundancy}

    def means(self, batch):
        """Mean directions of both views, ``(runs, batch, dimensions)`` each."""
        return [
            direction(encoder(spread(x, self.layout.stream_of_run)))
            for encoder, x in zip((self.zc1, self.zc2), batch.x, strict=True)
        ]

    def represent(self, run, x):
        return {"zc1": self.zc1.single(run, x[0]), "zc2": self.zc2.single(run, x[1])}
