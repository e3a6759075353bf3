"""Readings: what changes when a choice is made the other way, beside the spread over seeds.

Where paper, authors' code and a baseline's own code differ, both readings are config values. A reading is trained as
a data set of its own on the same data; here its accuracies are set beside those of the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from disentangledssl.files import atomic, read_table

SETTING = ["method_label", "beta", "a", "lam", "representation", "label"]


def tabulate_readings(base: Path, readings: Mapping[str, Path], out: Path) -> None:
    """Write one row a reading, setting and label: both means and spreads, their difference and its standard error.

    Parameters
    ----------
    base : path
        ``probes_summary.parquet`` of the default.
    readings : mapping of text to path
        The same of each reading, under what it says of itself.
    out : path
        CSV. ``effect`` is reading minus default; ``in_errors`` is it in standard errors of the difference, from the
        seeds of both. Settings that only one of the two has are left out.
    """
    default = _accuracies(base)
    rows = []
    for text, path in readings.items():
        both = _accuracies(path).merge(default, on=SETTING, suffixes=("", "_default"), sort=False)
        error = np.sqrt(both["std"] ** 2 / both["n"] + both["std_default"] ** 2 / both["n_default"])
        effect = both["mean"] - both["mean_default"]
        named = both[SETTING].rename(columns={"method_label": "method"})
        named.insert(0, "reading", text)
        rows.append(
            named.assign(
                default_mean=both["mean_default"], default_std=both["std_default"], mean=both["mean"], std=both["std"],
                n=both["n"], effect=effect, standard_error=error, in_errors=effect / error.where(error > 0),
            )
        )  # fmt: skip
    with atomic(out) as part:
        pd.concat(rows).to_csv(part, index=False)


def _accuracies(summary: Path) -> pd.DataFrame:
    rows = read_table(summary).to_pandas()
    measured = rows[(rows["metric"] == "accuracy") & (rows["stage"] != "reference") & rows["mean"].notna()]
    return measured[[*SETTING, "mean", "std", "n"]]
