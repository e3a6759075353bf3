"""Maps of representations: the same each time, planted groups apart, and pictures that show the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from matplotlib import image

from disentangledssl import maps
from disentangledssl.checkpoints import load_models, save_models
from disentangledssl.dataset import read_dataset
from disentangledssl.errors import InputError
from disentangledssl.figures import embedding_maps, style, top_hits
from disentangledssl.files import read_table, table_info, write_table
from disentangledssl.maps import map_representations, place_codes
from disentangledssl.training import train_stack

pytestmark = pytest.mark.usefixtures("one_thread")

INFO = {"name": "cells", "title": "Cells (stand-in)", "stand_in": True}
RUN = {"id": "a=1,lam=0.1,fold=0,seed=0", "a": 1, "lam": 0.1, "fold": 0, "seed": 0}


@pytest.fixture(scope="module")
def trained(tiny, small, plain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack")
    train_stack(
        "jointopt", tiny, [RUN], settings=small("jointopt"), scaling=[plain] * 2, models=folder / "models.safetensors",
        history=folder / "history.parquet",
    )  # fmt: skip
    return folder / "models.safetensors"


def test_planted_groups_lie_apart_and_the_map_is_the_same_each_time():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(3), 12)
    codes = (np.eye(3)[group] + 0.05 * rng.normal(size=(36, 3))) * rng.uniform(0.1, 10, (36, 1))
    places = place_codes(codes)
    assert places.shape == (36, 2) and np.array_equal(places, place_codes(codes))
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (group[distances.argmin(axis=1)] == group).all()
    # Directions alone count.
    np.testing.assert_array_equal(place_codes(4 * codes), places)


def test_a_collapsed_code_is_one_point():
    assert not place_codes(np.ones((9, 4)) * np.arange(1, 10)[:, None]).any()
    assert not place_codes(np.zeros((9, 4))).any()


def test_a_map_has_the_test_profiles_of_both_representations(trained, tiny, tmp_path):
    map_representations(trained, tiny, tmp_path / "maps.parquet", run=RUN["id"])
    table, dataset = read_table(tmp_path / "maps.parquet"), read_dataset(tiny)
    rows, test = table.to_pandas(), dataset.pairs_in(0, "test")
    assert table_info(table)["dataset"]["name"] == "tiny"
    for name in ("zc1", "zs1"):
        here = rows[rows["representation"] == name]
        assert here["id"].tolist() == dataset.ids[test].tolist()
        assert here["group"].tolist() == dataset.groups[test].tolist()
        assert np.isfinite(here[["x", "y"]]).all(axis=None) and here["x"].nunique() > 10
    assert len(rows) == 2 * len(test) and set(rows["run"]) == {RUN["id"]} and rows["stand_in"].all()


def test_a_large_screen_is_drawn_from_and_a_tiny_one_refused(trained, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "place_codes", lambda codes: np.zeros((len(codes), 2)))
    monkeypatch.setattr(maps, "MOST_PROFILES", 10)
    map_representations(trained, tiny, tmp_path / "maps.parquet", run=RUN["id"])
    assert read_table(tmp_path / "maps.parquet").num_rows == 20
    monkeypatch.setattr(maps, "FEWEST_PROFILES", 1000)
    with pytest.raises(InputError, match=r"column fold_0: has \d+ test profiles; a map wants 1000; use fewer folds"):
        map_representations(trained, tiny, tmp_path / "none.parquet", run=RUN["id"])


def test_a_run_that_diverged_is_said_to_be_so(trained, tiny, tmp_path):
    tensors, info = load_models(trained)
    info["runs"][0]["status"] = "diverged"
    save_models(tmp_path / "models", tensors, info)
    map_representations(tmp_path / "models", tiny, tmp_path / "maps.parquet", run=RUN["id"])
    assert read_table(tmp_path / "maps.parquet").num_rows == 0
    embedding_maps.plot(tmp_path / "maps.parquet", tmp_path / "embedding_maps.png")
    assert (tmp_path / "embedding_maps.png").exists() and (tmp_path / "embedding_maps.csv").read_text().count("\n") == 1


# Pictures


def draw(tmp_path, monkeypatch, module, table):
    """Draw, and give the figure before it is closed."""
    drawn = []
    monkeypatch.setattr(style.pyplot, "close", drawn.append)
    write_table(tmp_path / "rows.parquet", pa.Table.from_pandas(table, preserve_index=False), {"dataset": INFO})
    module.plot(tmp_path / "rows.parquet", tmp_path / "figure.png")
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "figure.csv"), table, check_dtype=False)
    return drawn[0]


def map_rows(classes, **more):
    rng = np.random.default_rng(0)
    count = len(classes)
    one = {"id": [f"p{k}" for k in range(count)], "mechanism": classes, **more}
    return pd.concat(
        [
            pd.DataFrame({"representation": code, "x": rng.normal(size=count), "y": rng.normal(size=count), **one})
            for code in ("zc1", "zs1")
        ],
        ignore_index=True,
    ).assign(title=INFO["title"])


def test_maps_show_every_profile_in_its_class_and_dose(tmp_path, monkeypatch):
    names = [name for k, name in enumerate("abcdefghi") for _ in range(12 - k)]
    rows = map_rows(names, dose=np.linspace(-2, 1.3, len(names)))
    figure = draw(tmp_path, monkeypatch, embedding_maps, rows)
    panels, (scale,) = figure.axes[:4], figure.axes[4:]
    for axis, code in zip(panels, ("zc1", "zs1", "zc1", "zs1"), strict=True):
        shown = np.concatenate([one.get_offsets().data for one in axis.collections if len(one.get_offsets())])
        here = rows.loc[rows["representation"] == code, ["x", "y"]].to_numpy()
        assert sorted(map(tuple, shown)) == sorted(map(tuple, here))
        (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
        assert right - left == pytest.approx(high - low) and left < here[:, 0].min() and here[:, 1].max() < high
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*"abcdefg", "other or\nunlabelled"]
    assert [text.get_text() for text in scale.get_yticklabels()] == ["0.01", "0.1", "1", "10"]
    # Nothing is cut off at the page's edge.
    figure.draw_without_rendering()
    page, boxes = figure.bbox, [legend.get_window_extent(), scale.get_tightbbox()]
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1 for box in boxes)
    assert not boxes[0].overlaps(boxes[1])


def test_classes_beyond_those_with_a_colour_are_the_rarest():
    values = pd.Series(["b"] * 3 + ["a"] * 3 + ["c"] + [""] * 9)
    assert embedding_maps.shown_classes(values) == ["a", "b", "c"]
    assert len(embedding_maps.shown_classes(pd.Series(list("abcdefghij")))) == embedding_maps.MOST_CLASSES
    assert len(set(zip(embedding_maps.COLOURS, embedding_maps.MARKERS, strict=True))) == embedding_maps.MOST_CLASSES


def test_a_screen_that_names_nothing_is_drawn_in_one_colour(tmp_path, monkeypatch):
    figure = draw(tmp_path, monkeypatch, embedding_maps, map_rows(["same"] * 20))
    assert len(figure.axes) == 2 and not figure.legends


def test_hits_are_drawn_with_rank_and_cosine_and_the_own_one_framed(tmp_path, monkeypatch):
    smiles = ["CCO", "c1ccccc1", "CC(=O)O", "CCN", "CCCl", "O=C(O)c1ccccc1"]
    late = {
        "phenotype": "late", "rank": [1.0, 2, 3, 4, 5, 9], "id": list("abcdef"), "smiles": smiles,
        "cosine": [0.9, 0.8, 0.7, 0.6, 0.5, -0.12], "is_true": [False] * 5 + [True], "pool": 12,
    }  # fmt: skip
    late = pd.DataFrame(late)
    early = late[:5].assign(phenotype="early", is_true=[False, True, False, False, False])
    figure = draw(tmp_path, monkeypatch, top_hits, pd.concat([early, late], ignore_index=True))
    framed = [axis for axis in figure.axes if axis.spines["left"].get_linewidth() > 1]
    assert len(figure.axes) == 11 and [figure.axes.index(axis) for axis in framed] == [1, 10]
    texts = [text.get_text() for text in figure.texts]
    assert "9:  -0.12" in texts and "2:  0.80" in texts and "late\nown molecule:\nrank 9 of 12" in texts
    assert INFO["title"] in texts
    boxes = [axis.get_position() for axis in figure.axes]
    assert all(box.min.min() >= 0 and box.max.max() <= 1 for box in boxes)
    assert not any(one.overlaps(two) for k, one in enumerate(boxes) for two in boxes[:k])


def test_a_molecule_is_drawn_in_black_and_the_same_each_time():
    drawn = top_hits.draw_molecule("CC(=O)Nc1ccc(O)cc1")
    assert np.array_equal(drawn, top_hits.draw_molecule("CC(=O)Nc1ccc(O)cc1"))
    colour, height, width = drawn[..., :3], *drawn.shape[:2]
    assert (colour.max(axis=2) - colour.min(axis=2) < 0.02).all(), "no colour"
    ink = colour.mean(axis=2) < 0.5
    assert 0.005 < ink.mean() < 0.2 and width / height == pytest.approx(top_hits.WIDTH / top_hits.HEIGHT, rel=0.01)


def test_pictures_are_the_same_bytes_each_time(tmp_path):
    write_table(
        tmp_path / "rows.parquet", pa.Table.from_pandas(map_rows(list("aabb")), preserve_index=False), {"dataset": INFO}
    )
    for name in ("one", "two"):
        embedding_maps.plot(tmp_path / "rows.parquet", tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert image.imread(tmp_path / "one.png").shape[1] == pytest.approx(300 * style.COLUMN, abs=2)
