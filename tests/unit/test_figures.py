"""Figures: what is drawn is what the table beside it says, and nothing lies upon anything else."""

from __future__ import annotations

import importlib
import itertools
import zlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from cases import cases
from matplotlib import colors
from matplotlib.container import ErrorbarContainer
from matplotlib.text import Text

from disentangledssl.errors import InputError
from disentangledssl.figures import style
from disentangledssl.files import write_table
from disentangledssl.tables.layout import LABELS

FULL = {
    "beta": [0, 0.001, 0.01, 0.1, 0.5, 1, 5, 10, 50, 100, 300, 500, 1000],
    "lam": [0, 0.001, 0.01, 0.1, 1, 10, 100],
    "a": [0.01, 0.1, 1, 10, 100, 1000],
    "kl": [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2],
}
SMALL = {"beta": [0, 1, 100], "lam": [0, 0.01], "a": [1, 100], "kl": [1e-5, 1e-4]}
ONE = {"beta": [0, 1], "lam": [0.01], "a": [1], "kl": [1e-5]}
GRIDS = {"full": FULL, "small": SMALL, "one": ONE}
STAGES = ("step1", "step2", "jointopt", "focal", "dmvae")
SCATTERS = ("figure4b", "figure7", "figure8", "figure9", "recovery")
FIGURES = ("figure4a", "information_plane", *SCATTERS)
REFERENCES = {
    ("oracle", "zc"): (0.80, 0.496, 0.494), ("oracle", "zs1"): (0.497, 0.835, 0.5), ("oracle", "zs2"): (0.5, 0.5, 0.83),
    ("raw", "x1"): (0.799, 0.833, 0.499), ("raw", "x2"): (0.8, 0.499, 0.831), ("chance", None): (0.506, 0.503, 0.501),
    **{("linear_cca", code): (0.8, 0.497, 0.494) for code in ("zc", "zc1", "zc2")},
    ("linear_cca", "zs1"): (0.497, 0.835, 0.501), ("linear_cca", "zs2"): (0.5, 0.5, 0.829),
}  # fmt: skip


# R2 of the true zc, zs1 and zs2; the oracle's are its own latents, chance has none.
RECOVERED = {
    ("oracle", "zc"): (1.0, -0.002, -0.002), ("linear_cca", "zc"): (0.999, -0.002, -0.001),
    ("raw", "x1"): (0.999, 0.998, -0.003), ("raw", "x2"): (0.999, -0.003, 0.998),
}  # fmt: skip


def settings(stage: str, grid: dict) -> list[dict]:
    """Hyperparameters of a stage's grid."""
    axes = {
        "step1": {"beta_value": grid["beta"]},
        "step2": {"beta_value": grid["beta"], "lam": grid["lam"]},
        "dmvae": {"lam": grid["kl"]},
    }.get(stage, {"a": grid["a"], "lam": grid["lam"]})
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def accuracy(*what) -> float:
    """Some accuracy that depends on nothing but its arguments."""
    numbers = tuple(float(one) if isinstance(one, int) else one for one in what)
    return 0.52 + 0.25 * (zlib.crc32(repr(numbers).encode()) % 1000) / 1000


def kept(code: str, beta: float) -> tuple[float, float]:
    """Bits of the own and of the other view that a code keeps: less for a larger beta, under the optimum."""
    own = (90 if code == "zc1" else 80) / (1 + beta**0.7)
    return own, (0.8 if code == "zc1" else 0.7) * known(own)


def known(own: float) -> float:
    """The optimum's bits of the other view."""
    return 40 * (1 - float(np.exp(-own / 40)))


def summary_table(
    grid: dict, stages=STAGES, *, seeds: int = 3, ratios: bool = True, information: bool = True
) -> pd.DataFrame:
    """A summary as ``tabulate_probes`` writes it, of arbitrary numbers."""
    codes = {"step1": ("zc", "zc1", "zc2"), "step2": ("zs1", "zs2")}
    rows = []

    def add(method, stage, code, label, value, metric="accuracy", **setting):
        std = None if seeds == 1 or stage == "reference" else 0.004
        beta = setting.get("beta_value")
        rows.append(
            {
                "dataset": "simulation", "title": "Simulated pairs", "stand_in": False, "method": method,
                "method_label": LABELS[method], "stage": stage, "beta": None if beta is None else f"{beta:g}",
                "beta_value": beta, "a": setting.get("a"), "lam": setting.get("lam"), "representation": code,
                "width": None if code is None else 100, "label": label, "metric": metric, "mean": value, "std": std,
                "n": 1 if stage == "reference" else seeds, "n_diverged": 0,
            }
        )  # fmt: skip

    for stage in stages:
        for setting in settings(stage, grid):
            method = stage
            if stage in ("step1", "step2"):
                method = "disentangledssl" if setting["beta_value"] else "disentangledssl_beta0"
            for code in codes.get(stage, ("zc", "zc1", "zc2", "zs1", "zs2")):
                for label in ("c", "s1", "s2"):
                    add(method, stage, code, label, accuracy(stage, code, label, *setting.values()), **setting)
                    latent = f"z{label}"
                    add(method, stage, code, latent, accuracy(stage, code, latent, *setting.values()), "r2", **setting)
                if information and stage == "step1" and code != "zc":
                    beta = setting["beta_value"]
                    for label, bits in zip(("own", "other"), kept(code, beta), strict=True):
                        add(method, stage, code, label, bits, "information", **setting)
                    add(method, stage, code, "other", known(kept(code, beta)[0]), "optimum", **setting)
                if ratios and stage == "step1" and code != "zc":
                    add(method, stage, code, None, 100 * accuracy(code, *setting.values()), "weight_ratio", **setting)
    for (method, code), values in REFERENCES.items():
        for label, value in zip(("c", "s1", "s2"), values, strict=True):
            add(method, "reference", code, label, value)
    for (method, code), values in RECOVERED.items():
        for label, value in zip(("zc", "zs1", "zs2"), values, strict=True):
            add(method, "reference", code, label, value, "r2")
    for multiplier, own in zip(np.geomspace(1.5, 1e6, 30), np.linspace(0, 110, 30), strict=True) if information else ():
        for label, bits in (("own", own), ("other", known(own))):
            add("gaussian_bottleneck", "reference", None, label, bits, "information", beta_value=multiplier)
    numbers = dict.fromkeys(["beta_value", "a", "lam", "mean", "std"], float)
    return pd.DataFrame(rows).astype(numbers | dict.fromkeys(["width", "n", "n_diverged"], "Int64"))


def module_of(figure: str):
    return importlib.import_module(f"disentangledssl.figures.{figure}")


def plot(figure: str, summary: pd.DataFrame, folder):
    """Write a table, draw a figure of it; returns the path of the PNG."""
    path = folder / "probes_summary.parquet"
    write_table(path, pa.Table.from_pandas(summary, preserve_index=False))
    png = folder / f"{figure}.png"
    module_of(figure).plot(path, png)
    return png


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw a figure and keep it open: ``drawn(figure, summary)`` gives the figure and its CSV."""
    kept = []

    def keep(figure, png, rows):
        kept.append(figure)
        rows.to_csv(png.with_suffix(".csv"), index=False)

    monkeypatch.setattr(style, "save", keep)

    def draw(figure, summary):
        png = plot(figure, summary, tmp_path)
        return kept[-1], pd.read_csv(png.with_suffix(".csv"))

    yield draw
    for figure in kept:
        style.pyplot.close(figure)


def panels(figure, rows: pd.DataFrame):
    """The scatter panels of a figure, each with its axes and rows."""
    axes = [axis for axis in figure.axes if axis.get_xlabel().startswith(("accuracy of", "$R^2$"))]
    if "panel" not in rows:
        return [(axes[0], rows)]
    letters = [letter for letter, one in rows.groupby("panel") if one["x_label"].ne("beta").all()]
    assert len(axes) == len(letters)
    return [(axis, rows[rows["panel"] == letter]) for axis, letter in zip(axes, letters, strict=True)]


def curves_of(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Points of every curve that the table says is drawn, in the table's order."""
    out = {}
    shown = rows[rows["shown"] & (rows["stage"] != "reference")]
    for (stage, code), one in shown.groupby(["stage", "representation"]):
        between = {"step2": "beta_value", "jointopt": "a", "focal": "a"}.get(stage)
        for value, curve in one.groupby(between) if between else [(None, one)]:
            name = stage if value is None else f"{stage} {value:g}"
            out[f"{name} {code}"] = curve[["x_mean", "y_mean"]].to_numpy()
    return out


# What is drawn is in the table


@pytest.mark.parametrize("figure", SCATTERS)
@pytest.mark.parametrize("grid", cases(GRIDS, slow=["full"]))
def test_curves_and_reference_marks_are_the_rows_of_the_table(drawn, figure, grid):
    page, rows = drawn(figure, summary_table(grid))
    for axis, own in panels(page, rows):
        lines = {line.get_label(): line for line in axis.lines if not line.get_label().startswith("_")}
        for name, points in curves_of(own).items():
            np.testing.assert_array_equal(lines.pop(name).get_xydata(), points)
        for row in own[(own["stage"] == "reference") & (own["method"] != "chance")].itertuples():
            np.testing.assert_array_equal(lines.pop(row.method).get_xydata(), [[row.x_mean, row.y_mean]])
        chance = own[own["method"] == "chance"]
        # R2 has none.
        assert len(chance) == own["x_label"].isin(["s1", "s2"]).any()
        if len(chance):
            level, upright = [line for line in axis.lines if line.get_label() == "chance"]
            assert set(level.get_ydata()) == {chance["y_mean"].item()}
            assert set(upright.get_xdata()) == {chance["x_mean"].item()}
            del lines["chance"]
        assert not lines, "something is drawn that is not in the table"


@pytest.mark.parametrize("figure", SCATTERS)
def test_markers_and_error_bars_are_those_of_the_table(drawn, figure):
    page, rows = drawn(figure, summary_table(SMALL))
    for axis, own in panels(page, rows):
        shown = own[own["shown"] & (own["stage"] != "reference")]
        marked = {tuple(place) for marks in axis.collections for place in marks.get_offsets().tolist()}
        expected = shown[["x_mean", "y_mean"]].to_numpy()
        assert {tuple(place) for place in expected} <= marked
        bars = [one for one in axis.containers if isinstance(one, ErrorbarContainer)]
        segments = [segment for bar in bars for segment in bar.lines[2][0].get_segments()]
        assert len(segments) == len(shown)
        ends = {tuple(np.round(segment.ravel(), 9)) for segment in segments}
        assert ends == {
            tuple(np.round((x - e, y, x + e, y), 9))
            for x, y, e in shown[["x_mean", "y_mean", "x_std"]].itertuples(index=False)
        }


def test_figure9a_is_the_rows_of_the_table(drawn):
    page, rows = drawn("figure9", summary_table(SMALL))
    own = rows[rows["panel"] == "a"]
    left = page.axes[1]
    right = next(axis for axis in page.axes if axis.get_ylabel().startswith("weight ratio"))
    places = dict(zip(SMALL["beta"], style.log_positions(SMALL["beta"])[0], strict=True))
    method = own[own["stage"] == "step1"]
    wanted = [method[method["y_label"] == label] for label in ("c", "s1", "s2")]
    ratio = method[method["y_label"] == "weight_ratio"]
    wanted_right = [ratio[ratio["representation"] == code] for code in ("zc1", "zc2")]
    for axis, groups in ((left, wanted), (right, wanted_right)):
        bars = [one for one in axis.containers if isinstance(one, ErrorbarContainer)]
        assert len(bars) == len(groups)
        for bar, group in zip(bars, groups, strict=True):
            expected = np.column_stack([group["x_mean"].map(places), group["y_mean"]])
            np.testing.assert_array_equal(bar.lines[0].get_xydata(), expected)
            spans = np.array([segment[:, 1] for segment in bar.lines[2][0].get_segments()])
            np.testing.assert_allclose(np.diff(spans)[:, 0], 2 * group["y_std"])
    levels = {line.get_label(): line.get_ydata()[0] for line in left.lines if not line.get_label().startswith("_")}
    levels = {name: value for name, value in levels.items() if name in ("oracle", "linear_cca", "chance")}
    assert levels == dict(own[own["stage"] == "reference"][["method", "y_mean"]].itertuples(index=False))


def test_figure4a_is_the_rows_of_the_table(drawn):
    page, rows = drawn("figure4a", summary_table(SMALL))
    places = dict(zip(SMALL["beta"], style.log_positions(SMALL["beta"])[0], strict=True))
    bars = [one for one in page.axes[0].containers if isinstance(one, ErrorbarContainer)]
    for bar, label in zip(bars, style.LABELS, strict=True):
        own = rows[(rows["stage"] == "step1") & (rows["label"] == label)].sort_values("beta_value")
        expected = np.column_stack([own["beta_value"].map(places), own["mean"]])
        np.testing.assert_array_equal(bar.lines[0].get_xydata(), expected)


@pytest.mark.parametrize("grid", [FULL, SMALL, ONE], ids=["full", "small", "one"])
def test_the_information_plane_is_the_rows_of_the_table(drawn, grid):
    page, rows = drawn("information_plane", summary_table(grid).sample(frac=1, random_state=0))
    assert set(rows["metric"]) == {"information"} and set(rows["stage"]) == {"step1", "reference"}
    (axis,) = page.axes
    lines = {line.get_label().split(",")[0]: line for line in axis.lines if not line.get_label().startswith("_")}
    for name, order, own in (
        ("$z_c^1$", "beta_value", rows[rows["representation"] == "zc1"]),
        ("$z_c^2$", "beta_value", rows[rows["representation"] == "zc2"]),
        ("optimum", "beta_value", rows[rows["method"] == "gaussian_bottleneck"]),
    ):
        x, y = (own[own["label"] == label].sort_values(order)["mean"] for label in ("own", "other"))
        assert len(x) == (30 if name == "optimum" else len(grid["beta"]))
        np.testing.assert_array_equal(lines.pop(name).get_xydata(), np.column_stack([x, y]))
    assert not lines, "something is drawn that is not in the table"
    bars = [one for one in axis.containers if isinstance(one, ErrorbarContainer)]
    segments = [segment for bar in bars for part in bar.lines[2] for segment in part.get_segments()]
    assert len(segments) == 2 * 2 * len(grid["beta"])
    np.testing.assert_allclose([np.ptp(segment, axis=0).max() for segment in segments], 2 * 0.004)


def test_the_information_plane_names_every_beta_once(drawn):
    page, _ = drawn("information_plane", summary_table(FULL))
    texts = [text.get_text().removeprefix(r"$\beta$ = ") for text in page.axes[0].texts]
    named = [float(one) for text in texts if not text.startswith("optimum") for one in text.split(", ")]
    assert sorted(named) == FULL["beta"] and sum(text.startswith("optimum") for text in texts) == 1


def test_the_information_plane_without_its_optimum_is_drawn(drawn):
    summary = summary_table(SMALL)
    summary = summary[summary["method"] != "gaussian_bottleneck"]
    page, rows = drawn("information_plane", summary)
    assert set(rows["stage"]) == {"step1"} and len(page.axes[0].lines) > 0
    # Nor where all is 0.
    page, _ = drawn("information_plane", summary.assign(mean=0.0, std=0.0))
    assert page.axes[0].get_xlim()[0] < 0 < page.axes[0].get_xlim()[1]


def test_the_information_plane_of_collapsed_codes(drawn):
    """Nothing is kept; the points lie at the origin, whole, and beta stands inside."""
    summary = summary_table(SMALL)
    lost = (summary["stage"] == "step1") & (summary["metric"] == "information")
    page, _ = drawn("information_plane", summary.assign(mean=summary["mean"].mask(lost, 0.0)))
    (axis,) = page.axes
    page.draw_without_rendering()
    assert axis.get_xlim()[0] < 0 < axis.get_xlim()[1] and axis.get_ylim()[0] < 0
    assert {text.get_text() for text in axis.texts} >= {r"$\beta$ = 0, 1, 100"}
    inside = axis.get_window_extent().padded(2)
    for text in axis.texts:
        box = Text.get_window_extent(text, page.canvas.get_renderer())
        assert inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1)


def test_recovery_shows_accuracy_and_r2_of_the_same_runs(drawn):
    _, rows = drawn("recovery", summary_table(SMALL))
    a, b = (rows[(rows["panel"] == panel) & (rows["stage"] == "step1")] for panel in "ab")
    assert a["beta_value"].tolist() == b["beta_value"].tolist() == SMALL["beta"]
    for own, labels in ((a, ("s1", "c")), (b, ("zs1", "zc"))):
        assert own[["x_label", "y_label"]].drop_duplicates().to_numpy().tolist() == [list(labels)]
        for row in own.itertuples():
            expected = tuple(accuracy("step1", "zc", label, row.beta_value) for label in labels)
            assert (row.x_mean, row.y_mean) == expected
    references = rows[(rows["panel"] == "b") & (rows["stage"] == "reference")]
    assert dict(zip(references["method"], references["y_mean"], strict=True)) == {
        "oracle": 1.0, "raw": 0.999, "linear_cca": 0.999,
    }  # fmt: skip


@pytest.mark.parametrize("metric", ["accuracy", "r2"])
def test_recovery_without_one_of_its_measurements_ends_in_one_sentence(tmp_path, metric):
    summary = summary_table(SMALL)
    with pytest.raises(InputError, match=rf"holds no trained run of step 1 with {metric} of zc; add grids.step1"):
        plot("recovery", summary[summary["metric"] != metric], tmp_path)


def test_the_information_plane_of_other_data_ends_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"no trained run of step 1 with information; use a noisy simulation\.$"):
        plot("information_plane", summary_table(SMALL, information=False), tmp_path)


def test_every_row_of_the_summary_is_looked_up(drawn):
    """A point's two accuracies belong to one setting."""
    summary = summary_table(SMALL)
    _, rows = drawn("figure8", summary)
    for row in rows[rows["stage"] == "focal"].itertuples():
        for label, value in ((row.x_label, row.x_mean), (row.y_label, row.y_mean)):
            assert value == accuracy("focal", row.representation, label, row.a, row.lam)


# Which points, in which order


def test_points_are_joined_by_falling_lam_and_rising_beta(drawn):
    shuffled = summary_table(FULL).sample(frac=1, random_state=0)
    for figure in ("figure7", "figure8"):
        _, rows = drawn(figure, shuffled)
        for (_, stage), own in rows.groupby(["panel", "stage"]):
            if stage == "step1":
                assert own["beta_value"].tolist() == FULL["beta"]
            elif stage == "dmvae":
                assert own["lam"].tolist() == FULL["kl"][::-1]
            elif stage != "reference":
                axis = "beta_value" if stage == "step2" else "a"
                assert own[axis].is_monotonic_increasing
                assert all(curve["lam"].tolist() == FULL["lam"][::-1] for _, curve in own.groupby(axis))


def test_beta_0_is_a_point_of_the_curve_of_disentangledssl(drawn):
    _, rows = drawn("figure7", summary_table(SMALL))
    own = rows[(rows["panel"] == "a") & (rows["stage"] == "step1")]
    assert own["method"].tolist() == ["disentangledssl_beta0", "disentangledssl", "disentangledssl"]


def test_figure4b_shows_the_best_curve_of_focal(drawn):
    """a = 100 has the largest acc(y_s1) - acc(y_c) at one point, a = 1 the larger mean and the larger accuracy."""
    summary = summary_table(SMALL)
    focal = (summary["stage"] == "focal") & (summary["representation"] == "zs1")
    values = {(1, 0): (0.80, 0.60), (1, 0.01): (0.80, 0.60), (100, 0): (0.75, 0.52), (100, 0.01): (0.55, 0.75)}
    for (a, lam), (specific, shared) in values.items():
        here = focal & (summary["a"] == a) & (summary["lam"] == lam)
        summary.loc[here & (summary["label"] == "s1"), "mean"] = specific
        summary.loc[here & (summary["label"] == "c"), "mean"] = shared
    _, rows = drawn("figure4b", summary)
    own = rows[rows["stage"] == "focal"]
    assert own["shown"].tolist() == [False, False, True, True] and own["a"].tolist() == [1, 1, 100, 100]
    assert own["why"].tolist() == ["not the best curve"] * 2 + ["best curve: largest acc(y_s1) - acc(y_c)"] * 2
    assert rows.loc[rows["stage"].isin(["step2", "jointopt", "dmvae"]), "shown"].all()


def test_diverged_settings_are_in_the_table_and_not_drawn(drawn):
    summary = summary_table(SMALL)
    lost = (summary["stage"] == "step2") & (summary["beta_value"] == 100) & (summary["lam"] == 0)
    line = summary[lost].iloc[:1].assign(
        representation=None, label=None, metric=None, mean=np.nan, std=np.nan, n=0, n_diverged=3, width=pd.NA
    )  # fmt: skip
    page, rows = drawn("figure8", pd.concat([summary[~lost], line], ignore_index=True))
    own = rows[~rows["shown"]]
    assert own["panel"].tolist() == ["a", "b", "c", "d"] and own["x_mean"].isna().all()
    assert set(own["why"]) == {"every seed diverged"} and set(own["n_diverged"]) == {3}
    for axis, shown in panels(page, rows[rows["shown"]]):
        code = shown["representation"].iloc[0]
        line = next(line for line in axis.lines if line.get_label() == f"step2 100 {code}")
        assert len(line.get_xydata()) == 1


@pytest.mark.parametrize("figure", SCATTERS)
@pytest.mark.parametrize("left_out", cases(STAGES, slow=STAGES[1:]))
def test_methods_may_be_missing(drawn, figure, left_out):
    summary = summary_table(SMALL, [stage for stage in STAGES if stage != left_out])
    if (figure, left_out) in {("figure8", "step2"), ("figure9", "step1"), ("recovery", "step1")}:
        with pytest.raises(InputError, match="no trained run of step"):
            drawn(figure, summary)
        return
    page, rows = drawn(figure, summary)
    assert left_out not in set(rows["stage"])
    named = {text.get_text().split(",")[0] for axis in page.axes for text in axis.texts}
    name = style.METHODS.get(left_out, style.METHODS["disentangledssl"])[2]
    others = {"figure4b": "step2", "figure7": "step1"}
    if left_out in ("jointopt", "focal", "dmvae") or others.get(figure) == left_out:
        assert name not in named


@pytest.mark.parametrize(("ratios", "scale"), [([0.7, 0.9, 1.1], "linear"), ([20, 80, 1], "log")])
def test_the_axis_of_weight_ratios_names_several_values(drawn, ratios, scale):
    summary = summary_table(SMALL)
    rows = summary["metric"] == "weight_ratio"
    summary.loc[rows, "mean"] = np.resize(ratios, rows.sum())
    axis = next(one for one in drawn("figure9", summary)[0].axes if one.get_ylabel().startswith("weight ratio"))
    low, high = axis.get_ylim()
    assert axis.get_yscale() == scale and sum(low <= tick <= high for tick in axis.get_yticks()) >= 3


def test_figure9_without_weight_ratios_has_one_axis_less(drawn):
    page, rows = drawn("figure9", summary_table(SMALL, ratios=False))
    assert len(page.axes) == 3 and "weight_ratio" not in set(rows["y_label"])


@pytest.mark.parametrize("figure", FIGURES)
def test_one_seed_has_no_error_bars(drawn, figure):
    _, rows = drawn(figure, summary_table(SMALL, seeds=1))
    assert rows[[name for name in rows if name.endswith("std")]].isna().all().all()


@pytest.mark.parametrize("figure", FIGURES)
def test_table_without_runs_ends_in_one_sentence(tmp_path, figure):
    with pytest.raises(InputError) as error:
        plot(figure, summary_table(SMALL, stages=()), tmp_path)
    assert "probes_summary.parquet: column" in str(error.value) and "no trained run" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["probes_summary.parquet"]


@pytest.mark.parametrize("figure", cases(FIGURES, slow={*FIGURES} - {"figure8"}))
def test_drawn_twice_the_files_are_the_same(tmp_path, figure):
    content = []
    for name in ("first", "second"):
        png = plot(figure, summary_table(SMALL), tmp_path / name)
        content.append([png.with_suffix(ending).read_bytes() for ending in (".png", ".pdf", ".csv")])
    assert content[0] == content[1]


# What a reader sees


@pytest.mark.parametrize("figure", [*SCATTERS, "information_plane"])
@pytest.mark.parametrize("grid", cases(GRIDS, slow=["small"]))
def test_no_text_overlaps_another_or_leaves_the_page(drawn, figure, grid):
    page, _ = drawn(figure, summary_table(grid))
    page.draw_without_rendering()
    renderer = page.canvas.get_renderer()
    texts = [text for axis in page.axes for text in axis.texts if text.get_text() not in ("", "//")]
    texts += [text for axis in page.axes for text in (axis.xaxis.label, axis.yaxis.label) if text.get_text()]
    texts += [text for axis in page.axes if axis.get_legend() for text in axis.get_legend().get_texts()]
    # Of the texts alone: an annotation's own extent holds its hairline.
    extents = [Text.get_window_extent(text, renderer) for text in texts]
    width, height = page.get_size_inches() * page.dpi
    for text, box in zip(texts, extents, strict=True):
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, f"{text.get_text()} leaves the page"
    for (one, box), (other, box2) in itertools.combinations(zip(texts, extents, strict=True), 2):
        assert not box.overlaps(box2), f"{one.get_text()} lies on {other.get_text()}"


@pytest.mark.parametrize("figure", FIGURES)
def test_figures_have_a_journals_widths(drawn, figure):
    page, _ = drawn(figure, summary_table(SMALL))
    assert page.get_size_inches()[0] * 25.4 == pytest.approx(
        89 if figure in ("figure4a", "figure4b", "information_plane") else 183
    )
    sizes = {text.get_fontsize() for axis in page.axes for text in [*axis.texts, axis.xaxis.label, axis.yaxis.label]}
    assert sizes <= {7.0, 8.0}


def test_a_marker_means_one_thing():
    methods = {name: marker for name, (_, marker, _) in style.METHODS.items() if name != "disentangledssl_beta0"}
    assert style.METHODS["disentangledssl_beta0"] == style.METHODS["disentangledssl"]
    every = [*methods.values(), *(marker for _, marker, _ in (*style.LABELS.values(), *style.VIEWS.values()))]
    every += [marker for marker, _ in style.REFERENCES.values() if marker != "o"]  # hollow and grey
    assert len(set(every)) == len(every)
    assert len({style.METHODS[name][0] for name in methods}) == len(methods)


def luminance(colour: str) -> float:
    srgb = np.array(colors.to_rgb(colour))
    return float(np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("method", ["disentangledssl", "jointopt", "focal"])
def test_tints_grow_darker_step_by_step(method):
    lightness = [116 * luminance(tint) ** (1 / 3) - 16 for tint in style.tints(style.METHODS[method][0], 13)]
    np.testing.assert_allclose(lightness, np.linspace(style.LIGHTEST, style.DARKEST, 13), atol=0.5)
