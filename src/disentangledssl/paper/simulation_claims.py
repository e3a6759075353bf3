"""Claims about the simulation study (sec. 3.1, App. H.1), and what theory says that it can show.

Every criterion is written out in the table, with the numbers it was decided on. Criteria are a choice: the paper argues
from its figures.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from disentangledssl.paper.verdicts import FAILS, Data, Missing, Verdict, above, apart, decide, met, together

BASELINES = ("jointopt", "focal", "dmvae")
OURS = ("disentangledssl", "disentangledssl_beta0")
LABELS = ("s1", "c", "s2")
COLLAPSED = 0.52  # accuracy on a specific label up to which a shared representation counts as free of it
CLOSE = 0.005  # accuracies closer than this are level
FLAT = 0.02  # a plateau moves by less
RISE = 1.5  # a peak is so many times its surroundings
ONE = 2  # a weight ratio up to this, and down to its inverse, is about one
POINT = 1  # bits: codes that tell less of their view do not even tell two halves of the pairs apart
ALL, NOTHING = 0.99, 0.01  # R2 from which on, and up to which, a code has all or nothing of a latent
BEFORE_COLLAPSE = 10  # the beta at which the text sees the encoders on the pure dimensions
VERY_LARGE = 300  # the least "very large" beta: the paper's grid ends in 300, 500 and 1000


def simulation_claims(
    simulation: pd.DataFrame | None, mixed: pd.DataFrame | None, noisy: pd.DataFrame | None
) -> list[Verdict]:
    """Decide every qualitative claim of sec. 3.1 and App. H.1, those of sec. 2 that these data show, and one of ours.

    Parameters
    ----------
    simulation, mixed, noisy : data frame or None
        ``probes_summary.parquet`` of the entangled, the mixed and the noisy data; None where they were not run.
    """
    entangled = Data("simulation", True, _name(simulation))
    mixed_data = Data("simulation, mixed entanglement", True, _name(mixed))
    noisy_data = Data("simulation, noisy (ours)", False, _name(noisy))
    verdicts = [
        decide(
            "2.2.3, 2.3", "lam trades coverage against disentanglement of the specific representations", entangled,
            "y_s of the own view and y_c of zs1 and of zs2, mean over beta: lower at the largest lam than at the "
            "smallest, and no rise between neighbours, by more than two standard errors (the mean of those at each "
            "beta, which is the most that it can be)",
            lambda: _trade_off(simulation),
        ),
        decide(
            "2.3.1, Prop. 2", "information about either view falls as beta grows", noisy_data,
            "bits that zc1 keeps of its own and of the other view: fewer at the largest beta than at the smallest, and "
            "no rise between neighbours, by more than two standard errors",
            lambda: _information(noisy),
        ),
        decide(
            "3.1, H.1", "MNI is unattainable, by noise and dropout in training", entangled,
            "not so of the clean pairs, which are probed, if linear CCA, a closed form, finds in each view what is "
            f"shared and nothing else: R2 of the true zc from {ALL} on, of zs1 and zs2 up to {NOTHING} (else not "
            "testable)",
            lambda: _attainable(simulation),
        ),
        decide(
            "3.1, Fig. 4a", "for low beta the shared representation holds shared and specific information", entangled,
            "at the smallest beta all three accuracies are above 0.5 by more than two standard errors",
            lambda: _starts_high(simulation),
        ),
        decide(
            "3.1, Fig. 4a", "all accuracies of the shared representation fall as beta grows", entangled,
            "each label: lower at the largest beta than at the smallest, and no rise between neighbours, by more than "
            "two standard errors",
            lambda: _falls(_by_beta(simulation, "zc"), LABELS, "y_"),
        ),
    ]  # fmt: skip
    covers = (
        "each point of {} has one of the method's that is as good in both accuracies (behind by no more than "
        f"{CLOSE} or two standard errors, whichever is more), and the method's largest {{}} is ahead of theirs by more "
        "than two standard errors (level: not told apart), added by quadrature from each accuracy's std over seeds, "
        "which is too much where a run's accuracies move together; settings of one seed do not count"
    )
    for view, others in itertools.product((1, 2), (("jointopt",), BASELINES)):
        joint = len(others) == 1
        verdicts.append(
            decide(
                "3.1, Fig. 4b" if view == 1 else "H.1, Fig. 8",
                f"zs{view}: step-wise beats joint" if joint else f"zs{view} lies to the bottom right of all baselines",
                entangled,
                f"y_s{view} against y_c: "
                + covers.format("JointOpt" if joint else "every baseline", f"y_s{view} - y_c"),
                lambda view=view, others=others: _covers(simulation, f"zs{view}", others, high=f"s{view}", low="c"),
            )
        )
    verdicts += [
        decide(
            "H.1, Fig. 7",
            f"zc lies to the top left of all baselines on y_c against y_s{view}{exception}",
            entangled,
            f"{covers.format('every baseline', f'y_c - y_s{view}')}{left_out}",
            lambda view=view, bound=bound: _covers(
                simulation, "zc", BASELINES, high="c", low=f"s{view}", above_low=bound
            ),
        )
        # The text makes the exception for Fig. 7a, which is of view 1.
        for view, exception, left_out, bound in (
            (1, ", except at collapse", f"; points with y_s1 up to {COLLAPSED} left out", COLLAPSED),
            (2, "", "", 0.0),
        )
    ]
    return [
        *verdicts,
        decide(
            "H.1, Fig. 7a", "at very large beta the shared representation is free of specific information", entangled,
            f"at the largest beta, {VERY_LARGE} or more, y_s1 of zc is at most {COLLAPSED}",
            lambda: _chance(simulation),
        ),
        decide(
            "H.1, Fig. 7a", "noisy data: at very large beta codes come to nearly one point", noisy_data,
            f"at the largest beta, {VERY_LARGE} or more, zc1 and zc2 keep less than {POINT} bit of their own view, by "
            "sampled codes and linearly (a lower bound: what is carried otherwise is not seen)",
            lambda: _one_point(noisy),
        ),
        decide(
            "H.1, Fig. 7a", "at collapse DMVAE is better", entangled,
            f"best y_c among points of zc with y_s1 up to {COLLAPSED}: DMVAE above the method, by more than {CLOSE} "
            "(level: within)",
            lambda: _collapse(simulation),
        ),
        decide(
            "H.3, Fig. 8", "FOCAL's specific representations hold shared information", entangled,
            "y_c of zs1 and of zs2, mean over all settings: FOCAL's above the method's and JointOpt's, by more than "
            f"{CLOSE} (level: within)",
            lambda: _holds_shared(simulation),
        ),
        decide(
            "H.1, Fig. 9a", "mixed data: the weight ratio rises with beta, then falls to 1", mixed_data,
            f"both views: the largest value lies inside the grid, is above 1 and above {RISE} times that of the "
            f"smallest and that of the largest beta ({VERY_LARGE} or more), which is between {1 / ONE:g} and {ONE} "
            "(paper: about 20, nearly 80, 1)",
            lambda: _weight_ratio(mixed),
        ),
        decide(
            "H.1, Fig. 9a", f"mixed data: at beta {BEFORE_COLLAPSE} the encoders attend to pure dimensions", mixed_data,
            f"both views: the weight ratio at beta {BEFORE_COLLAPSE} is above 1 and above {RISE} times that of the "
            "smallest beta",
            lambda: _attention(mixed),
        ),
        decide(
            "H.1, Fig. 9", "mixed data: the learned information has a plateau in beta", mixed_data,
            f"somewhere over a factor of ten in beta y_c of zc1 moves by less than {FLAT}, after a fall and before "
            f"another by more than {FLAT}, and by less than on the entangled data",
            lambda: _plateau(mixed, simulation),
        ),
        decide(
            "ours", "linear CCA, a closed form, reaches what no trained method does", entangled,
            "zs1, y_s1 - y_c: linear CCA above the best point of every trained method",
            lambda: _linear(simulation),
        ),
    ]  # fmt: skip


def _name(summary: pd.DataFrame | None) -> str | None:
    return None if summary is None else summary["dataset"].iloc[0]


def _accuracies(
    summary: pd.DataFrame | None,
    methods: Sequence[str],
    representation: str,
    labels: Sequence[str] = LABELS,
    metric: str = "accuracy",
) -> pd.DataFrame:
    """One row a hyperparameter setting, columns ``(mean | error, label)``; settings that diverged are left out."""
    if summary is None:
        raise Missing("the data set was not run")
    chosen = summary[
        summary["method"].isin(methods)
        & (summary["representation"] == representation)
        & (summary["metric"] == metric)
        & summary["mean"].notna()
    ]
    if chosen.empty:
        raise Missing(f"no {representation} of {' or '.join(methods)}")
    chosen = chosen.assign(error=chosen["std"].astype(float) / np.sqrt(chosen["n"].astype(float)))
    keys = ["method", "beta_value", "a", "lam"]
    # Pivoting drops rows whose keys are null.
    chosen[keys[1:]] = chosen[keys[1:]].astype(float).fillna(-1)
    table = chosen.pivot(index=keys, columns="label", values=["mean", "error"])
    for label in labels:
        if label not in table["mean"]:
            raise Missing(f"no y_{label} of {representation} of {' or '.join(methods)}")
    table = table[table["mean"][[*labels]].notna().all(axis=1)]
    if table.empty:
        raise Missing(f"no setting of {' or '.join(methods)} has all of {', '.join(labels)}")
    return table


def _by_beta(
    summary: pd.DataFrame | None, representation: str, labels: Sequence[str] = LABELS, metric: str = "accuracy"
) -> pd.DataFrame:
    table = _accuracies(summary, OURS, representation, labels, metric)
    table = table[table.index.get_level_values("lam") == -1].droplevel(["method", "a", "lam"]).sort_index()
    if len(table) < 2:
        raise Missing("fewer than two values of beta")
    return table.rename_axis("beta")


def _by_lam(summary: pd.DataFrame | None, representation: str, labels: Sequence[str]) -> pd.DataFrame:
    """Mean over those values of beta that have every lam; of errors, too, for seeds are the same at each."""
    table = _accuracies(summary, OURS, representation, labels).droplevel(["method", "a"])
    betas, values = (table.index.unique(level) for level in ("beta_value", "lam"))
    if len(values) < 2:
        raise Missing("fewer than two values of lam")
    whole = betas[table.groupby(level="beta_value").size().reindex(betas) == len(values)]
    if whole.empty:
        raise Missing("no beta has every lam")
    by_lam = table[table.index.get_level_values("beta_value").isin(whole)].groupby(level="lam")
    # One error that is unknown leaves the mean unknown.
    return by_lam.sum(min_count=len(whole)) / len(whole)


def _errors(table: pd.DataFrame, labels: Sequence[str] = LABELS) -> pd.DataFrame:
    """Standard errors, which one seed does not have."""
    errors = table["error"][[*labels]]
    unknown = errors.index[errors.isna().any(axis=1)]
    if len(unknown):
        at = ", ".join(f"{one:g}" for one in unknown)
        raise Missing(f"fewer than two seeds, so no standard error, at {table.index.name} {at}")
    return errors


def _starts_high(summary: pd.DataFrame | None) -> tuple[str, str]:
    first = _by_beta(summary, "zc").iloc[:1]
    mean, error = first["mean"].iloc[0], _errors(first).iloc[0]
    said = ", ".join(f"y_{label} {mean[label]:.3f}" for label in LABELS)
    verdicts = (apart(mean[label] - 0.5, 2 * error[label]) for label in LABELS)
    return f"beta {first.index[0]:g}: {said}", together(verdicts)


def _falls(table: pd.DataFrame, labels: Sequence[str], prefix: str) -> tuple[str, str]:
    errors, values, said, against, verdicts = _errors(table, labels), table.index, [], [], []
    for label in labels:
        mean, error = table["mean"][label].to_numpy(), errors[label].to_numpy()
        rises, scatter = np.diff(mean), np.hypot(error[1:], error[:-1])
        verdicts.append(apart(mean[0] - mean[-1], 2 * np.hypot(error[0], error[-1])))
        told = np.flatnonzero(above(rises, 2 * scatter))
        verdicts.append(met(not len(told)))
        said.append(f"{prefix}{label}: {mean[0]:.3f} to {mean[-1]:.3f}, largest rise {max(rises.max(), 0):.3f}")
        against += [
            f"{prefix}{label} rises by {rises[k]:.4f} ± {scatter[k]:.4f} "
            f"from {values.name} {values[k]:g} to {values[k + 1]:g}"
            for k in told
        ]
    return "; ".join(said + against), together(verdicts)


def _trade_off(summary: pd.DataFrame | None) -> tuple[str, str]:
    views = [
        _falls(_by_lam(summary, f"zs{view}", labels), labels, f"zs{view}, y_")
        for view, labels in ((1, ("s1", "c")), (2, ("s2", "c")))
    ]
    return "; ".join(said for said, _ in views), together(verdict for _, verdict in views)


def _attainable(summary: pd.DataFrame | None) -> tuple[str, str]:
    said, exact = [], True
    for code in ("zc1", "zc2"):
        r2 = _accuracies(summary, ("linear_cca",), code, ("zc", "zs1", "zs2"), "r2")["mean"].iloc[0]
        specific = max(r2["zs1"], r2["zs2"])
        exact &= not (above(ALL, r2["zc"]) or above(specific, NOTHING))
        said.append(f"{code} of linear CCA: R2 of zc {r2['zc']:.3f}, of zs1 or zs2 at most {max(specific, 0):.3f}")
    if not exact:
        raise Missing(f"{'; '.join(said)}: another way may find what this one does not")
    return "; ".join(said), FAILS


def _one_point(summary: pd.DataFrame | None) -> tuple[str, str]:
    ends = [_by_beta(summary, code, ("own",), "information").iloc[-1] for code in ("zc1", "zc2")]
    for end in ends:
        _check_end(end.name)
    bits = [end["mean"]["own"] for end in ends]
    said = ", ".join(f"{code} {value:.3f} bits" for code, value in zip(("zc1", "zc2"), bits, strict=True))
    return f"beta {ends[0].name:g}: {said}", met(above(POINT, max(bits)))


def _information(summary: pd.DataFrame | None) -> tuple[str, str]:
    labels = ("own", "other")
    return _falls(_by_beta(summary, "zc1", labels, "information"), labels, "bits of the view, ")


def _covers(
    summary: pd.DataFrame | None,
    representation: str,
    others: Sequence[str],
    *,
    high: str,
    low: str,
    above_low: float = 0.0,
) -> tuple[str, str]:
    named = {"the method": OURS} | {name: (name,) for name in others}
    own, *each = (
        _points(_accuracies(summary, methods, representation, (high, low)), name, (high, low))
        for name, methods in named.items()
    )
    own, baselines = (one[above(one["mean"][low], above_low)] for one in (own, pd.concat(each)))
    for name, points in (("the method", own), (" or ".join(others), baselines)):
        if points.empty:
            raise Missing(f"no point of {name} has y_{low} above {above_low}")
    ours, theirs = own["mean"], baselines["mean"]
    worse = np.zeros((len(theirs), len(ours)), bool)
    for label, sign in ((high, 1), (low, -1)):
        behind = sign * (theirs[label].to_numpy()[:, None] - ours[label].to_numpy())
        error = np.hypot(baselines["error"][label].to_numpy()[:, None], own["error"][label].to_numpy())
        worse |= above(behind, np.maximum(CLOSE, 2 * error))
    covered = ~worse.all(axis=1)
    best = []
    for points in (own, baselines):
        differences = points["mean"][high] - points["mean"][low]
        first = int(differences.to_numpy().argmax())
        errors = points["error"][[high, low]].iloc[first]
        best.append((differences.iloc[first], np.hypot(*errors)))
    (one, one_error), (other, other_error) = best
    error = np.hypot(one_error, other_error)
    said = (
        f"{int(covered.sum())} of {len(theirs)} points are covered; largest y_{high} - y_{low}: "
        f"ours {one:.3f}, theirs {other:.3f}, ahead by {one - other:+.3f} ± {error:.3f}"
    )
    return said, apart(one - other, 2 * error) if covered.all() else FAILS


def _points(table: pd.DataFrame, name: str, labels: Sequence[str]) -> pd.DataFrame:
    """Return the settings that can be told apart from others: those with a standard error."""
    if len(table) < 2:
        raise Missing(f"fewer than two settings of {name}")
    table = table[table["error"][[*labels]].notna().all(axis=1)]
    if len(table) < 2:
        raise Missing(f"fewer than two settings of {name} with two seeds, so no standard errors")
    return table


def _linear(summary: pd.DataFrame | None) -> tuple[str, str]:
    best = {}
    for methods in (("linear_cca",), OURS, *((name,) for name in BASELINES)):
        table = _accuracies(summary, methods, "zs1", ("s1", "c"))["mean"]
        best[methods[0]] = (table["s1"] - table["c"]).max()
    said = ", ".join(f"{name} {value:.3f}" for name, value in best.items())
    return said, met(above(best.pop("linear_cca"), max(best.values())))


def _collapse(summary: pd.DataFrame | None) -> tuple[str, str]:
    best = []
    for methods in (("dmvae",), OURS):
        table = _accuracies(summary, methods, "zc", ("s1", "c"))["mean"]
        inside = table[~above(table["s1"], COLLAPSED)]["c"]
        if inside.empty:
            raise Missing(f"no point of {methods[0]} has y_s1 up to {COLLAPSED}")
        best.append(inside.max())
    return f"y_c: DMVAE {best[0]:.3f}, the method {best[1]:.3f}", apart(best[0] - best[1], CLOSE)


def _check_end(beta: float) -> None:
    """Raise if what a claim says of very large values of beta cannot be seen, since the grid ends before."""
    if beta < VERY_LARGE:
        raise Missing(f"the largest beta is {beta:g}, where a very large one is {VERY_LARGE} or more")


def _chance(summary: pd.DataFrame | None) -> tuple[str, str]:
    last = _by_beta(summary, "zc", ("s1",)).iloc[-1]
    _check_end(last.name)
    value = last["mean"]["s1"]
    return f"beta {last.name:g}: y_s1 {value:.3f}", met(not above(value, COLLAPSED))


def _holds_shared(summary: pd.DataFrame | None) -> tuple[str, str]:
    said, verdicts = [], []
    for view in (1, 2):
        found = [
            _accuracies(summary, one, f"zs{view}", ("c",))["mean"]["c"] for one in (("focal",), OURS, ("jointopt",))
        ]
        focal, *others = (values.mean() for values in found)
        verdicts.append(apart(focal - max(others), CLOSE))
        said.append(f"zs{view}: FOCAL {focal:.3f}, the method {others[0]:.3f}, JointOpt {others[1]:.3f}")
    return "; ".join(said), together(verdicts)


def _ratios(summary: pd.DataFrame | None, view: int) -> pd.Series:
    """Weight ratio of a view by beta."""
    if summary is None:
        raise Missing("the data set was not run")
    ours = summary["method"].isin(OURS) & (summary["representation"] == f"zc{view}")
    rows = summary[ours & (summary["metric"] == "weight_ratio") & summary["mean"].notna()]
    return rows.set_index("beta_value")["mean"].sort_index()


def _attention(summary: pd.DataFrame | None) -> tuple[str, str]:
    said, holds = [], True
    for view in (1, 2):
        ratio = _ratios(summary, view)
        if BEFORE_COLLAPSE not in ratio.index or ratio.index[0] == BEFORE_COLLAPSE:
            raise Missing(f"no weight ratio of x{view} at beta {BEFORE_COLLAPSE} and at a smaller one")
        first, there = ratio.iloc[0], ratio[BEFORE_COLLAPSE]
        holds &= bool(above(there, max(RISE * first, 1)))
        said.append(f"x{view}: {there:.2f} at beta {BEFORE_COLLAPSE}, {first:.2f} at {ratio.index[0]:g}")
    return "; ".join(said), met(holds)


def _weight_ratio(summary: pd.DataFrame | None) -> tuple[str, str]:
    said, holds = [], True
    for view in (1, 2):
        ratio = _ratios(summary, view)
        if len(ratio) < 3:
            raise Missing(f"fewer than three values of beta with a weight ratio of x{view}")
        _check_end(ratio.index[-1])
        first, last, peak = ratio.iloc[0], ratio.iloc[-1], ratio.idxmax()
        inside = ratio.index[0] < peak < ratio.index[-1]
        high = above(ratio[peak], max(RISE * first, RISE * last, 1))
        holds &= bool(inside and high and above(ONE, last) and above(last, 1 / ONE))
        said.append(
            f"x{view}: {first:.2f} at beta {ratio.index[0]:g}, {ratio[peak]:.2f} at {peak:g}, {last:.2f} at the end"
        )
    return "; ".join(said), met(holds)


def _plateau(mixed: pd.DataFrame | None, entangled: pd.DataFrame | None) -> tuple[str, str]:
    flat, beside = (_by_beta(summary, "zc1", ("c",))["mean"]["c"] for summary in (mixed, entangled))
    # Between the ends of the grid, which the falls before and after it need.
    betas = [beta for beta in flat.index[1:-1] if beta > 0 and beta in beside.index]
    spans = [(low, high) for low in betas for high in betas if high >= 10 * low]
    if not spans:
        raise Missing("no two values of beta inside the grid are a factor of ten apart on both data sets")
    moves = []
    for low, high in spans:
        inside, other = flat[low:high], beside[low:high]
        falls = flat.iloc[0] - inside.mean(), inside.mean() - flat.iloc[-1]
        move, moved = inside.max() - inside.min(), other.max() - other.min()
        holds = bool(above(FLAT, move) and above(min(falls), FLAT) and above(moved, move))
        moves.append((not holds, move, moved, low, high))
    fails, move, moved, low, high = min(moves)
    said = f"beta {low:g} to {high:g}: y_c moves by {move:.3f}, on the entangled data by {moved:.3f}"
    ends = f"; {flat.iloc[0]:.3f} at beta {flat.index[0]:g}, {flat.iloc[-1]:.3f} at {flat.index[-1]:g}"
    return said + ends, met(not fails)
