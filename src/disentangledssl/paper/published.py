"""The numbers that the paper prints, from ``data/paper`` (its PROVENANCE.md says what each file holds)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

TABLES = (1, 2, 3, 4, 5)
FAMILIES = {1: "multibench", 2: "screen", 3: "screen", 4: "multibench", 5: "screen"}
METHOD = "DISENTANGLEDSSL"
PAPERS_BETA0 = f"{METHOD} (beta=0)"
SELECTED = "selected"  # the beta that validation chooses
PARTS = ("shared", "specific", "both")


class Published(NamedTuple):
    """What the paper prints.

    Attributes
    ----------
    cells : data frame
        A row a cell: ``table``, ``dataset``, ``method``, ``metric``, ``mean``, ``std`` (NaN where none is printed),
        ``rounding`` (half a unit of the mean's last digit).
    settings : data frame
        ``family``, ``dataset``, ``method``, ``beta`` (text), ``a``, ``lam``; all text, empty where there is none.
    facts : dict
        Other numbers, by data set (or ``""``) and name.
    """

    cells: pd.DataFrame
    settings: pd.DataFrame
    facts: dict[tuple[str, str], float]

    @property
    def seeds(self) -> int:
        """Return how many seeds the means and standard deviations are over."""
        return int(self.facts["", "seeds"])

    def setting(self, table: int, dataset: str, method: str) -> list[dict[str, str]]:
        """Return the settings of a method, the first that was run to be taken: the data set's own, else the family's.

        Where the data set has its own, the family's follows only if it is the selected beta, which may stand in for it.
        Methods without hyperparameters have one setting, of empty values. Of data that the paper does not have there is
        the family's alone.
        """
        of = self.settings[self.settings["family"] == FAMILIES[table]]
        names = [name for name in (method, without_part(method)) if name in set(of["method"])]
        if not names:
            return [dict.fromkeys(("beta", "a", "lam"), "")]
        of = of[of["method"] == names[0]]
        own, familys = (of[of["dataset"] == where].to_dict("records") for where in (dataset, ""))
        if not dataset or not own:
            return familys
        return own + [row for row in familys if row["beta"] == SELECTED]


def read_published(folder: Path) -> Published:
    """Read the paper's tables, settings and facts."""
    cells = []
    for table in TABLES:
        text = pd.read_csv(folder / f"table{table}.csv", dtype=str, keep_default_na=False)
        rounding = [0.5 * 10.0 ** -len(mean.partition(".")[2]) for mean in text["mean"]]
        text["std"] = pd.to_numeric(text["std"].replace("", None))
        cells.append(text.assign(table=table, mean=text["mean"].astype(float), rounding=rounding))
    facts = pd.read_csv(folder / "facts.csv", keep_default_na=False)
    return Published(
        cells=pd.concat(cells, ignore_index=True)[["table", "dataset", "method", "metric", "mean", "std", "rounding"]],
        settings=pd.read_csv(folder / "settings.csv", dtype=str, keep_default_na=False),
        facts={(row["dataset"], row["name"]): row["value"] for row in facts.to_dict("records")},
    )


def without_part(method: str) -> str:
    """Take the representation off a method's name.

    >>> without_part("FOCAL (shared)"), without_part("DISENTANGLEDSSL (beta=0)")
    ('FOCAL', 'DISENTANGLEDSSL (beta=0)')
    """
    return re.sub(rf" \(({'|'.join(PARTS)})\)$", "", method)


def method_key(name: str) -> str:
    """Spell a method's name in the way that ours and the paper's agree in.

    >>> method_key("DISENTANGLEDSSL (beta=0)") == method_key("DisentangledSSL (beta = 0)")
    True
    """
    return name.casefold().replace(" ", "")
