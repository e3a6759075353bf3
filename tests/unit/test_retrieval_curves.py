"""The figure of top-N accuracy: what it draws is the table, and its labels can be read."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from disentangledssl.errors import InputError
from disentangledssl.figures import retrieval_curves, style
from disentangledssl.figures.labels import Label, label_ends
from disentangledssl.tables.layout import labelled, write_tables

INFO = {"name": "cells", "title": "Cells (stand-in)", "stand_in": True}
TOP = (1, 5, 10)
# Accuracy at N = 10; most methods are close to one another.
METHODS = {
    ("clip", None): 0.20, ("disentangledssl_beta0", "0"): 0.201, ("disentangledssl", "1"): 0.9,
    ("disentangledssl", "selected"): 0.202, ("jointopt", None): 0.203, ("focal", None): 0.2, ("dmvae", None): 0.199,
    ("linear_cca", None): 0.19, ("ridge", None): 0.02, ("random", None): 0.01,
}  # fmt: skip
MAIN = {"direction": "phenotype_to_molecule", "replicates": "single", "cell_line": None, "unit": "per_molecule"}


def summary(methods=METHODS, more=()):
    """A summary with these accuracies, and rows that must not be drawn."""
    rows = [
        MAIN | {"method": method, "beta": beta, "a": None, "lam": None, "metric": f"top{n}", "mean": value * n / 10,
                "standard_error": None if method == "random" else 0.003}
        for (method, beta), value in methods.items()
        for n in TOP
    ]  # fmt: skip
    others = [{"metric": "mrr"}, {"metric": "top_tenth"}, {"unit": "per_profile"}, {"cell_line": "A549"},
              {"direction": "molecule_to_phenotype"}, {"replicates": "averaged"}]  # fmt: skip
    rows += [rows[0] | {"mean": 0.7} | other for other in others]
    # A method of which every seed diverged has a row without a metric.
    rows.append({"method": "jointopt", "a": 3.0, "n_diverged": 3})
    return labelled(pd.DataFrame(rows + list(more)), INFO)


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw a summary; gives the open figure and the rows that would be written beside it."""
    kept = []
    monkeypatch.setattr(style, "save", lambda figure, png, rows: kept.append((figure, rows)))

    def draw(table):
        write_tables(tmp_path / "summary", table, INFO)
        retrieval_curves.plot(tmp_path / "summary.parquet", tmp_path / "curves.png")
        return kept.pop()

    yield draw
    style.pyplot.close("all")


def test_curves_and_bands_are_the_rows_of_the_table(drawn):
    figure, rows = drawn(summary())
    (axis,) = figure.axes
    shown = {method: value for (method, beta), value in METHODS.items() if beta != "1"}
    assert list(rows["method"].unique()) == list(shown) and len(rows) == 3 * len(shown)
    curves = [line.get_xydata() for line in axis.lines]
    assert len(curves) == len(shown)
    for curve, value in zip(curves, shown.values(), strict=True):
        np.testing.assert_allclose(curve, [[n, 100 * value * n / 10] for n in TOP])
    for band, (method, value) in zip(axis.collections, shown.items(), strict=True):
        edge = band.get_paths()[0].vertices
        at_ten = sorted(set(edge[edge[:, 0] == 10, 1].round(6)))
        error = 0 if method == "random" else 0.3
        assert at_ten == pytest.approx(sorted({round(100 * value - error, 6), round(100 * value + error, 6)}))


def test_an_n_that_finds_every_molecule_is_not_drawn(drawn):
    """A screen of ten molecules: the names would all point at one end."""
    table = summary()
    table.loc[table["metric"] == "top10", "mean"] = 1
    figure, rows = drawn(table)
    assert sorted(rows["n_best"].unique()) == list(figure.axes[0].get_xticks()) == [1, 5]
    table.loc[table["metric"].isin(["top1", "top5"]), "mean"] = 1
    assert sorted(drawn(table)[1]["n_best"].unique()) == list(TOP), "rather all than none"


def test_random_is_grey_and_dashed_and_alone_so(drawn):
    figure, rows = drawn(summary())
    lines = dict(zip(rows["method"].unique(), figure.axes[0].lines, strict=True))
    assert lines["random"].get_linestyle() == "--" and lines["random"].get_color() == style.REFERENCE_COLOUR
    looks = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in lines.values()}
    assert len(looks) == len(lines)


def test_names_overlap_neither_one_another_nor_the_page(drawn):
    figure, rows = drawn(summary())
    figure.canvas.draw()
    (axis,) = figure.axes
    # Matplotlib keeps ticks beyond the limits, which it does not draw.
    beyond = {
        tick.label1
        for ticks, limits in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim()))
        for tick in ticks.get_major_ticks()
        if not limits[0] <= tick.get_loc() <= limits[1]
    }
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible() and text not in beyond]
    assert set(rows["label"]) <= {text.get_text() for text in texts}
    # Of the text alone: an annotation's own extent holds its line.
    boxes = [Text.get_window_extent(text) for text in texts]
    page = figure.bbox
    for text, box in zip(texts, boxes, strict=True):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text.get_text()
    for (one, a), (other, b) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        assert not a.overlaps(b), (one.get_text(), other.get_text())
    assert figure.get_size_inches()[0] == pytest.approx(89 / 25.4)


def test_a_baseline_of_several_settings_is_told_apart(drawn):
    focal = MAIN | {"method": "focal", "lam": 0.01, "standard_error": 0.01}
    more = [focal | {"a": a, "metric": f"top{n}", "mean": 0.1 * a} for a in (1.0, 2.5) for n in TOP]
    methods = {key: value for key, value in METHODS.items() if key[0] != "focal"}
    _, rows = drawn(summary(methods, more))
    assert set(rows[rows["method"] == "focal"]["label"]) == {
        r"FOCAL a = 1, $\lambda$ = 0.01", r"FOCAL a = 2.5, $\lambda$ = 0.01",
    }  # fmt: skip
    assert set(rows[rows["method"] == "clip"]["label"]) == {"CLIP"}


def test_without_a_trained_method_there_is_nothing_to_draw(tmp_path):
    references = {key: value for key, value in METHODS.items() if key[0] in ("ridge", "random")}
    table = summary(references)
    write_tables(tmp_path / "summary", table[table["method"] != "jointopt"], INFO)
    with pytest.raises(InputError, match="holds no top-N accuracy of a trained method"):
        retrieval_curves.plot(tmp_path / "summary.parquet", tmp_path / "curves.png")
    assert not list(tmp_path.glob("curves*"))


def test_the_same_table_is_the_same_files(tmp_path):
    write_tables(tmp_path / "summary", summary(), INFO)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        retrieval_curves.plot(tmp_path / "summary.parquet", tmp_path / name / "curves.png")
    for ending in ("png", "pdf", "csv"):
        one, other = ((tmp_path / name / f"curves.{ending}").read_bytes() for name in ("a", "b"))
        assert one == other and one


def test_column_of_labels_stays_within_the_axes_in_the_order_of_the_ends():
    figure = style.open_page(style.COLUMN, 60)
    axis = style.place_axes(figure, 10, 10, 40, 40)
    axis.set_ylim(0, 1)
    ends = [0.99, 1.0, 0.0, 0.01, 0.5, 0.99]
    written = label_ends(axis, [Label(str(end), [(1, end)], "black") for end in ends])
    figure.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in written]
    inside = axis.get_window_extent()
    middles = [(box.y0 + box.y1) / 2 for box in boxes]
    assert np.argsort(middles).tolist() == [2, 3, 4, 5, 0, 1], "of two at one height the first is on top"
    assert min(middles) > inside.y0 and max(middles) < inside.y1
    assert all(not a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert len({round(box.x0) for box in boxes}) == 1 and boxes[0].x0 > inside.x1
    # One with room around it stands where its line ends.
    assert middles[4] == pytest.approx((inside.y0 + inside.y1) / 2, abs=2)
    style.pyplot.close(figure)
