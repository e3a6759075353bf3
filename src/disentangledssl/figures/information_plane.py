"""The information plane of the noisy simulation: what a shared code keeps of the other view against its own view.

One point a beta and view, mean over seeds, error bars of one standard deviation; the curve is the optimum, the
Gaussian information bottleneck of the same data. Ours; the paper's clean data have no such optimum.
Source: Chechik et al. 2005; ``evaluation.information_plane`` says what is measured of an encoder.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from disentangledssl.errors import InputError
from disentangledssl.figures import style
from disentangledssl.files import read_table

VIEWS = {"zc1": ("#0072B2", "o", "$z_c^1$"), "zc2": ("#D55E00", "s", "$z_c^2$")}


def select_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """Rows that the figure draws: points of step 1 and the optimal curve."""
    chosen = summary["stage"].isin(["step1"]) | (summary["method"] == "gaussian_bottleneck")
    return summary[chosen & (summary["metric"] == "information")].reset_index(drop=True)


def plot(summary: Path, png: Path) -> None:
    """Draw the figure and write its table.

    Raises
    ------
    InputError
        If the table has no point of the information plane.
    """
    rows = select_rows(read_table(summary).to_pandas())
    points = rows[rows["stage"] == "step1"]
    if points.empty:
        raise InputError(summary, "column metric", "holds no information of step 1", "use a noisy simulation")
    figure, axis = style.pyplot.subplots(figsize=(style.COLUMN, 0.85 * style.COLUMN))
    curve = _plane(rows[rows["method"] == "gaussian_bottleneck"], ["beta_value"]).sort_values("own")
    axis.plot(curve["own"], curve["other"], color=style.REFERENCE_COLOUR, linewidth=0.9, zorder=1)
    end = curve.iloc[-1]
    axis.annotate(
        "optimum (Gaussian bottleneck)", (end["own"], end["other"]), xytext=(0, 3), textcoords="offset points",
        ha="right", va="bottom", color=style.REFERENCE_COLOUR,
    )  # fmt: skip
    for name, (colour, marker, text) in VIEWS.items():
        one = _plane(points[points["representation"] == name], ["beta_value"]).sort_values("beta_value")
        axis.errorbar(
            one["own"], one["other"], xerr=one["own_std"].fillna(0), yerr=one["other_std"].fillna(0), color=colour,
            marker=marker, linestyle="-", linewidth=0.7, capsize=1.2, elinewidth=0.7, label=text,
        )  # fmt: skip
        if name == "zc1":
            _label_betas(axis, one)
    axis.legend(frameon=False, loc="lower right", handlelength=1.2)
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("kept of its own view, $I(T_m; X_m)$ (bits)")
    axis.set_ylabel("kept of the other view, $I(T_m; X_{m'})$ (bits)")
    style.save(figure, png, rows)


def _plane(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """One row a point: ``own``, ``other`` and their standard deviations."""
    table = rows.pivot_table(index=keys, columns="label", values=["mean", "std"], dropna=False)
    flat = {f"{label}{'' if value == 'mean' else '_std'}": table[value, label] for value, label in table.columns}
    out = pd.DataFrame(flat).reset_index()
    for label in ("own", "other"):
        out[f"{label}_std"] = out.get(f"{label}_std", float("nan"))
    return out[out["own"].notna()]


def _label_betas(axis, points: pd.DataFrame) -> None:
    """Write beta below its point, leaving out what would touch the last label written."""
    last = None
    for beta, own, other in zip(points["beta_value"], points["own"], points["other"], strict=True):
        if last is None or abs(own - last) > 0.07 * points["own"].max():
            axis.annotate(
                rf"$\beta$ = {beta:g}" if last is None else f"{beta:g}", (own, other), xytext=(4, -4),
                textcoords="offset points", ha="left", va="top", color=VIEWS["zc1"][0], fontsize=6.5,
            )  # fmt: skip
            last = own
