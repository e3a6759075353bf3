"""DMVAE: a variational autoencoder with one shared and two private Gaussian codes.

Encoder m gives mean and log variance of a shared code c_m and a private code s_m; the joint shared code c is their
product of experts; decoder D_m sees [s_m, c]. Minimise for each run R + R' + lam (K + K'), where

    R  = MSE(D1[s1, c],  x1) + MSE(D2[s2, c],  x2)     K  = KL(s1) + KL(s2) + 2 KL(c)
    R' = MSE(D1[s1, c2], x1) + MSE(D2[s2, c1], x2)     K' = KL(s1) + KL(s2) + KL(c1) + KL(c2)

The MSE is a mean over mini-batch and features, the KL to N(0, I) a sum over mini-batch and dimensions, so that the
usual weight per sample is lam * batch * features / 2. Inputs and targets are the augmented views; one sample of s_m
serves both reconstructions. On drug screens an InfoNCE of the shared means is added (``info_nce_weight``).
Source: Lee & Pavlovic 2021 in the form of the authors' code, which crosses the log variances of the two private
codes in K' (``cross_kl: as_published``; default ``own``) and has no prior among the experts (``prior_expert``).
"""

from __future__ import annotations

import torch
from torch.nn.functional import mse_loss

from disentangledssl.methods import BaseMethod, mlp, spread
from disentangledssl.objectives import gaussian_kl, info_nce, product_of_experts
from disentangledssl.vmf import direction


class Method(BaseMethod):
    """Two encoders of four heads and two decoders; the representations are means."""

    noise = (("private", 1), ("private", 2), ("shared", 1), ("shared", 2), ("joint", 0))
    trained = ("encoder1", "encoder2", "decoder1", "decoder2")
    takes_sequences = False  # which its decoders do not make

    def __init__(self, shapes, settings, layout):
        super().__init__(shapes, settings, layout)
        runs, s = len(layout.stream_of_run), settings
        self.encoder1, self.encoder2 = (
            mlp(runs, size, s.hidden, s.layers, 4 * s.dimensions, s.precision) for (size,) in shapes
        )
        self.decoder1, self.decoder2 = (
            mlp(runs, 2 * s.dimensions, s.hidden, s.layers, size, s.precision) for (size,) in shapes
        )

    def losses(self, batch):
        x = [spread(view, self.layout.stream_of_run) for view in batch.x]
        noise = [spread(draw, self.layout.stream_of_run) for draw in batch.noise]
        heads = [
            encoder(view).chunk(4, dim=-1) for encoder, view in zip((self.encoder1, self.encoder2), x, strict=True)
        ]
        shared, private = [head[:2] for head in heads], [head[2:] for head in heads]
        joint = product_of_experts(shared, prior=self.settings.prior_expert)
        s1, s2, c1, c2, c = (
            mean + torch.exp(log_variance / 2) * draw
            for (mean, log_variance), draw in zip((*private, *shared, joint), noise, strict=True)
        )
        size = x[0].shape[1]
        reconstruction, cross = 0, 0
        for decoder, view, s, other in zip((self.decoder1, self.decoder2), x, (s1, s2), (c2, c1), strict=True):
            codes = torch.cat([torch.cat([s, c], dim=-1), torch.cat([s, other], dim=-1)], dim=1)
            error = mse_loss(decoder(codes), torch.cat([view, view], dim=1), reduction="none").mean(-1)
            reconstruction, cross = reconstruction + error[:, :size].mean(1), cross + error[:, size:].mean(1)
        own = sum(gaussian_kl(*code) for code in private)
        crossed = own
        if self.settings.cross_kl == "as_published":
            crossed = gaussian_kl(private[0][0], private[1][1]) + gaussian_kl(private[1][0], private[0][1])
        kl = own + 2 * gaussian_kl(*joint)
        cross_kl = crossed + sum(gaussian_kl(*code) for code in shared)
        terms = {"reconstruction": reconstruction, "cross_reconstruction": cross, "kl": kl, "cross_kl": cross_kl}
        loss = reconstruction + cross + self.lam * (kl + cross_kl)
        if self.settings.info_nce_weight:
            means = (direction(mean) for mean, _ in shared)
            terms["info_nce"] = info_nce(*means, self.settings.temperature)
            loss = loss + self.settings.info_nce_weight * terms["info_nce"]
        return {"encoders": loss}, terms

    def represent(self, run, x):
        codes = {}
        for m, (encoder, view) in enumerate(zip((self.encoder1, self.encoder2), x, strict=True), 1):
            codes[f"zc{m}"], _, codes[f"zs{m}"], _ = encoder.single(run, view).chunk(4, dim=-1)
        return codes
