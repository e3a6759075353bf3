"""Summaries of the simulation's probes made by hand, as the paper has its curves; parts can be replaced."""

from __future__ import annotations

import numpy as np
import pandas as pd

from disentangledssl.paper.simulation_claims import BASELINES
from disentangledssl.runs import spell

LABELS = ("s1", "c", "s2")


def points(method, code, *accuracies, std=0.001, n=3, metric="accuracy", **setting):
    """Rows of one setting: accuracies on y_s1, y_c and y_s2, or as many as are given."""
    beta = setting.get("beta")
    return [
        {
            "dataset": "made_up", "method": method, "stage": "reference" if method == "linear_cca" else method,
            "beta": None if beta is None else spell(beta), "beta_value": beta, "a": setting.get("a"),
            "lam": setting.get("lam"), "representation": code, "label": label, "metric": metric, "mean": mean,
            "std": std, "n": n, "n_diverged": 3 - n,
        }
        for label, mean in zip(LABELS if metric == "accuracy" else [None], accuracies, strict=False)
    ]  # fmt: skip


def method_at(beta):
    return "disentangledssl" if beta else "disentangledssl_beta0"


def table(rows) -> pd.DataFrame:
    """A summary as it is read from its Parquet file, with nothing measured of a setting that diverged."""
    lost = points("focal", None, np.nan, std=np.nan, n=0, a=1000, lam=100)[:1]
    lost[0] |= {"label": None, "metric": None}
    floats = dict.fromkeys(["beta_value", "a", "lam", "mean", "std"], float)
    return pd.DataFrame([*rows, *lost]).astype(floats)


SHARED = {0: (0.75, 0.78, 0.74), 1: (0.70, 0.76, 0.70), 100: (0.55, 0.70, 0.55), 1000: (0.50, 0.52, 0.50)}
# (accuracy on its own label, on y_c) of zs1 and zs2, by lam
SPECIFIC = {0.01: (0.80, 0.52), 1: (0.78, 0.51)}
WORSE = {0.01: (0.76, 0.55), 1: (0.74, 0.53)}


def shared(curve=SHARED, **how):
    return [row for beta, values in curve.items() for row in points(method_at(beta), "zc", *values, beta=beta, **how)]


def specific(method, curve, views=(1, 2), **setting):
    rows = []
    for lam, (own, c) in curve.items():
        for view in views:
            values = (own, c, 0.5) if view == 1 else (0.5, c, own)
            rows += points(method, f"zs{view}", *values, lam=lam, **setting)
    return rows


def simulation(*, zc=None, zs=None, without=(), linear=(0.83, 0.50), baselines=WORSE, zc_of=None, std=0.001):
    """The entangled data as the paper has them; parts can be replaced."""
    rows = shared(std=std) if zc is None else zc
    rows = rows + (specific("disentangledssl", SPECIFIC, beta=1) if zs is None else zs)
    others = {name: {0.01: (0.72, 0.72, 0.72), 1: (0.66, 0.68, 0.66)} for name in BASELINES} | (zc_of or {})
    for name in BASELINES:
        setting = {} if name == "dmvae" else {"a": 1}
        more = 0.05 if name == "focal" else 0  # shared information in its specific codes
        rows = rows + specific(name, {lam: (own, c + more) for lam, (own, c) in baselines.items()}, **setting)
        for lam, values in others[name].items():
            rows = rows + points(name, "zc", *values, lam=lam, **setting)
    rows = rows + points("dmvae", "zc", 0.51, 0.58, 0.56, lam=100)  # collapsed
    rows = rows + points("linear_cca", "zs1", linear[0], linear[1], 0.5, std=None, n=1)
    rows = [row for row in rows if row["method"] not in without]
    by_view = {0: 0.75, 1: 0.70, 3: 0.68, 10: 0.64, 30: 0.58, 1000: 0.5}
    if "disentangledssl" not in without:
        for beta, c in by_view.items():
            rows = rows + points(method_at(beta), "zc1", 0.6, c, 0.5, beta=beta)
    return table(rows)


RATIOS = {0: 20.0, 1: 40.0, 10: 50.0, 100: 80.0, 1000: 1.0}
FLAT = {0: 0.75, 1: 0.70, 3: 0.695, 10: 0.69, 30: 0.6, 1000: 0.5}


def mixed(ratios=RATIOS, flat=FLAT, second=None):
    rows = []
    for view, by_beta in ((1, ratios), (2, second or ratios)):
        for beta, value in by_beta.items():
            rows += points(method_at(beta), f"zc{view}", value, metric="weight_ratio", beta=beta)
    for beta, c in flat.items():
        rows += points(method_at(beta), "zc1", 0.6, c, 0.5, beta=beta)
    return table(rows)


KEPT = {0: (30.0, 12.0), 1: (20.0, 10.0), 1000: (0.5, 0.3)}


def noisy(curve=KEPT, second=None, **how):
    """Bits that zc1, and zc2, keep of their own and of the other view, by beta."""
    rows = []
    for code, by_beta in (("zc1", curve), ("zc2", second or curve)):
        for beta, kept in by_beta.items():
            for label, bits in zip(("own", "other"), kept, strict=True):
                (row,) = points(method_at(beta), code, bits, metric="information", beta=beta, **how)
                rows.append(row | {"label": label})
    return table(rows)
