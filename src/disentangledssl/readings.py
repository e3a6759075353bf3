"""Readings: what changes when a choice is made the other way, beside the spread over seeds.

Where paper, authors' code and a baseline's own code differ, both readings are config values. A reading is trained as
a data set of its own on the same data and with the same random streams; here its accuracies are set beside those of
the default, seed by seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from disentangledssl.atomic import atomic
from disentangledssl.files import read_table

SETTING = ["method_label", "beta", "a", "lam", "representation", "label"]
RUN = ["fold", "seed"]


def tabulate_readings(base: Path, readings: Mapping[str, Path], out: Path) -> None:
    """Write one row a reading, setting and label: both means and spreads, their difference and its standard error.

    Parameters
    ----------
    base : path
        ``probes.parquet`` of the default.
    readings : mapping of text to path
        The same of each reading, under what it says of itself.
    out : path
        CSV. ``effect`` is the mean over seeds of reading minus default; ``in_errors`` is it in standard errors, from
        the spread of that difference over seeds. Runs that only one of the two has are left out.
    """
    default = _accuracies(base)
    tables = []
    for text, path in readings.items():
        pairs = _accuracies(path).merge(default, on=[*SETTING, *RUN], suffixes=("", "_default"), sort=False)
        pairs["effect"] = pairs["value"] - pairs["value_default"]
        grouped = pairs.groupby(SETTING, dropna=False, sort=False)
        effect, n = grouped["effect"].mean(), grouped.size()
        error = grouped["effect"].std(ddof=1) / np.sqrt(n)
        table = pd.DataFrame(
            {
                "default_mean": grouped["value_default"].mean(), "default_std": grouped["value_default"].std(ddof=1),
                "mean": grouped["value"].mean(), "std": grouped["value"].std(ddof=1), "n": n, "effect": effect,
                "standard_error": error, "in_errors": effect / error.where(error > 0),
            }
        ).reset_index()  # fmt: skip
        table.insert(0, "reading", text)
        tables.append(table.rename(columns={"method_label": "method"}))
    with atomic(out) as part:
        pd.concat(tables).to_csv(part, index=False)


def _accuracies(probes: Path) -> pd.DataFrame:
    rows = read_table(probes).to_pandas()
    measured = rows[(rows["metric"] == "accuracy") & (rows["stage"] != "reference") & rows["value"].notna()]
    # A reading of a baseline alone has no beta at all, and its empty column no type.
    return measured[[*SETTING, *RUN, "value"]].astype({"beta": object})
