"""Cells that were drawn, found and measured again; plates that are interrupted; one sentence for each mistake."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from cells import CELL, DISC, NUCLEUS, TIMES, draw_site, write_site
from miniatures_rxrx19a import draw, write_published

from disentangledssl.errors import InputError
from disentangledssl.files import read_table, write_json
from disentangledssl.sources import cellprofiler
from disentangledssl.sources.cellprofiler import check_packages, measure_cells, measure_plate, measure_well, read_sites
from disentangledssl.sources.rxrx19a import list_plates

SETTINGS = {"smoothing": 1.0, "diameter": [12, 60]}
DISCS = [(70, 60, 11), (24, 24, 9)]  # numbered from the largest
WITH_PACKAGES = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in cellprofiler.PACKAGES),
    reason="measuring images needs pip install -e '.[images]'",
)


# Segmentation


@pytest.fixture(scope="module")
def segmentation():
    pytest.importorskip("skimage", reason="segmentation needs pip install -e '.[images]'")
    from disentangledssl.sources import segmentation

    return segmentation


def found(labels: np.ndarray) -> list[tuple[float, ...]]:
    """Of each object its middle and area."""
    return [(*np.argwhere(labels == k).mean(axis=0), (labels == k).sum()) for k in range(1, labels.max() + 1)]


def test_nuclei_are_found_where_and_as_large_as_they_are(segmentation):
    image = draw_site(DISCS)
    labels = segmentation.segment(image[0] / 255, image[2] / 255, smoothing=1, diameter=(12, 60))
    for index, times in ((0, 1), (1, TIMES)):
        assert labels[index].max() == 2
        for (y, x, area), (row, column, radius) in zip(found(labels[index]), DISCS, strict=True):
            assert (y, x) == pytest.approx((row, column), abs=0.5)
            assert area == pytest.approx(np.pi * (times * radius) ** 2, rel=0.06)
    assert np.array_equal(labels[2], np.where(labels[0] > 0, 0, labels[1]))


def test_nuclei_that_touch_are_divided_and_an_oblong_one_is_not(segmentation):
    touching = draw_site([(48, 36, 10), (48, 55, 10)])[0] / 255
    areas = [area for *_, area in found(segmentation.segment_nuclei(touching, smoothing=1, least=12))]
    assert areas == pytest.approx([np.pi * 100] * 2, rel=0.08)
    y, x = np.mgrid[:96, :96]
    oblong = (((y - 48) / 9) ** 2 + ((x - 48) / 16) ** 2 < 1).astype(float)
    assert segmentation.segment_nuclei(oblong, smoothing=1, least=12).max() == 1


def test_what_is_too_small_too_large_or_on_the_edge_is_no_nucleus(segmentation):
    def count(*discs, **settings):
        image = draw_site(discs) / 255
        labels = segmentation.segment(image[0], image[2], **{"smoothing": 1, "diameter": (12, 60)} | settings)
        assert labels[0].max() == labels[1].max(), "what has no nucleus is no cell"
        return labels[0].max()

    assert count((48, 48, 9)) == 1
    assert count((48, 48, 4)) == 0 and count((48, 48, 4), diameter=(6, 60)) == 1
    assert count((48, 48, 9), diameter=(6, 15)) == 0
    assert count((3, 48, 9)) == 0
    assert count((48, 30, 9), (48, 70, 4)) == 1
    assert segmentation.segment_nuclei(np.full((96, 96), 0.2), smoothing=1, least=12).max() == 0


def test_neighbouring_cells_are_told_apart_by_their_nuclei(segmentation):
    image = draw_site([(48, 30, 9), (48, 64, 9)])
    nuclei = segmentation.segment_nuclei(image[0] / 255, smoothing=1, least=12)
    cells = segmentation.segment_cells(image[2] / 255, nuclei, smoothing=1)
    # Discs of radius 18 at a distance of 34 overlap a little; a cell without a nucleus is none.
    assert cells.max() == 2 and abs((cells == 1).sum() - (cells == 2).sum()) < 60
    assert not segmentation.segment_cells(image[2] / 255, np.zeros_like(nuclei), smoothing=1).any()


@pytest.mark.parametrize(
    ("disc", "neighbour"),
    [
        pytest.param((48, 34, 9), (48, 59, 4), id="too small"),
        pytest.param((48, 24, 9), (48, 71, 15), id="too large"),
        pytest.param((20, 48, 9), (56, 48, 9), id="at the edge"),
    ],
)
def test_a_cell_does_not_take_that_of_a_neighbour_whose_nucleus_is_left_out(segmentation, disc, neighbour):
    image = draw_site([disc, neighbour])[:, : 64 if neighbour[0] == 56 else 96]
    labels = segmentation.segment(image[0] / 255, image[2] / 255, smoothing=1, diameter=(12, 28))
    assert labels[0].max() == labels[1].max() == 1
    ((y, x, area),) = found(labels[1])
    # Cells of twice the radii that touch: each keeps its own, but for the rim.
    assert (y, x) == pytest.approx(disc[:2], abs=1)
    assert area == pytest.approx(np.pi * (TIMES * disc[2]) ** 2, rel=0.06)


# Measurements


@pytest.fixture(scope="module")
def cells():
    """Two cells of the first site, none of the second."""
    images = np.stack([draw_site(DISCS), np.zeros((5, 96, 96), np.uint8)]) / 255
    return measure_cells(images, SETTINGS)


@WITH_PACKAGES
def test_cells_are_measured_where_as_large_and_as_bright_as_they_are(cells):
    assert cells["site"].tolist() == [0, 0]
    for part, times in (("Nuclei", 1), ("Cells", TIMES)):
        areas = [np.pi * (times * radius) ** 2 for *_, radius in DISCS]
        assert cells[f"{part}_Area"].tolist() == pytest.approx(areas, rel=0.06)
        assert cells[f"{part}_Center_Y"].tolist() == pytest.approx([row for row, *_ in DISCS], abs=0.5)
        assert cells[f"{part}_Center_X"].tolist() == pytest.approx([column for _, column, _ in DISCS], abs=0.5)
    assert (cells["Cytoplasm_Area"] == cells["Cells_Area"] - cells["Nuclei_Area"]).all()
    # Half a pixel at the rim may be background.
    assert cells["Nuclei_Intensity_MeanIntensity__Hoechst"].tolist() == pytest.approx([NUCLEUS / 255] * 2, rel=0.06)
    assert cells["Nuclei_Intensity_MeanIntensity__Phalloidin"].tolist() == pytest.approx([CELL / 255] * 2)
    for channel, name in ((1, "ConA"), (3, "Syto14"), (4, "WGA")):
        assert cells[f"Nuclei_Intensity_MaxIntensity__{name}"].tolist() == pytest.approx([DISC * channel / 255] * 2)
    assert len(cells.columns) > 3000 and any("Correlation" in name for name in cells.columns)


@WITH_PACKAGES
def test_a_profile_is_the_median_over_cells_without_their_place(cells, monkeypatch):
    monkeypatch.setattr(cellprofiler, "measure_cells", lambda images, settings: cells)
    profile = measure_well(np.zeros((1, 5, 9, 9)), "HRCE-1_1_AB01", SETTINGS)
    assert profile.loc[0, ["well_id", "Metadata_Count_Cells"]].tolist() == ["HRCE-1_1_AB01", 2]
    for name in ("Nuclei_Area", "Cells_Intensity_IntegratedIntensity__WGA"):
        assert profile[name].item() == pytest.approx(np.median(cells[name]))
    assert not [name for name in profile if "Center" in name or "Location" in name or "BoundingBoxM" in name]


@WITH_PACKAGES
def test_a_well_without_cells_has_a_row_without_features():
    profile = measure_well(np.zeros((2, 5, 32, 32)), "HRCE-1_1_AB01", SETTINGS)
    assert profile.to_dict("records") == [{"well_id": "HRCE-1_1_AB01", "Metadata_Count_Cells": 0}]


# Plates


@pytest.fixture
def plate(tmp_path, monkeypatch):
    """A plate of three wells, whose measurement is the brightness of a channel; gives a function that measures it."""
    monkeypatch.setattr(cellprofiler, "check_packages", lambda: None)
    asked = []

    def measured(images, name, settings):
        asked.append(name)
        import pandas as pd

        row = {"well_id": [name], "Metadata_Count_Cells": [1]}
        return pd.DataFrame(row | ({"Cells_A": [255 * images[:, 1].max()]} if images.any() else {}))

    monkeypatch.setattr(cellprofiler, "measure_well", measured)
    write_json(tmp_path / "plates.json", {"HRCE-1": {"7": ["AA01", "AA02", "AA03"]}})
    fetched = []

    def fetch(paths):
        for path in paths:
            well = path.name[:4]
            fetched.append(path.name)
            if fetch.until == well:
                raise InputError(path, "", "could not be fetched", "run again")
            path.parent.mkdir(parents=True, exist_ok=True)
            site, channel = int(path.name[6]), int(path.name[9])
            # The third well is dark.
            write_site(path.parent, well, site, np.full((5, 4, 4), int(well[-1]) * (well != "AA03"), np.uint8))
            assert (path.parent / f"{well}_s{site}_w{channel}.png").exists()

    fetch.until = None

    def measure(until=None, **more):
        asked.clear(), fetched.clear()
        fetch.until = until
        how = {"settings": SETTINGS, "keep_images": False, "code": "a", "folder": tmp_path / "images"}
        out = tmp_path / "measurements/HRCE-1/Plate7.parquet"
        measure_plate(tmp_path / "plates.json", out, experiment="HRCE-1", plate="7", fetch=fetch, **how | more)
        return out

    measure.asked, measure.fetched, measure.folder = asked, fetched, tmp_path
    return measure


def test_a_plate_has_a_row_a_well_and_leaves_nothing_else(plate):
    out = plate()
    assert read_table(out).to_pylist() == [
        {"well_id": "HRCE-1_7_AA01", "Metadata_Count_Cells": 1, "Cells_A": 1.0},
        {"well_id": "HRCE-1_7_AA02", "Metadata_Count_Cells": 1, "Cells_A": 2.0},
        {"well_id": "HRCE-1_7_AA03", "Metadata_Count_Cells": 1, "Cells_A": None},
    ]
    assert len(plate.fetched) == 60 and plate.fetched[:6] == [
        *(f"AA01_s1_w{k}.png" for k in range(1, 6)),
        "AA01_s2_w1.png",
    ]
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert not list((plate.folder / "images").rglob("*.png"))


def test_images_stay_where_that_is_wanted(plate):
    plate(keep_images=True)
    assert len(list((plate.folder / "images/HRCE-1/Plate7").glob("*.png"))) == 60


def test_an_interrupted_plate_goes_on_from_the_wells_that_are_finished(plate):
    with pytest.raises(InputError, match="could not be fetched"):
        plate(until="AA03")
    out = plate.folder / "measurements/HRCE-1/Plate7.parquet"
    assert not out.exists() and plate.asked == ["HRCE-1_7_AA01", "HRCE-1_7_AA02"]
    plate()
    assert out.exists() and plate.asked == ["HRCE-1_7_AA03"]


@pytest.mark.parametrize("other", [{"code": "b"}, {"settings": SETTINGS | {"smoothing": 2.0}}])
def test_wells_that_were_measured_otherwise_are_measured_again(plate, other):
    with pytest.raises(InputError):
        plate(until="AA02")
    plate(**other)
    assert plate.asked == ["HRCE-1_7_AA01", "HRCE-1_7_AA02", "HRCE-1_7_AA03"]


def test_what_a_killed_process_left_and_wells_that_are_no_longer_asked_for_do_not_matter(plate):
    with pytest.raises(InputError):
        plate(until="AA03")
    kept = plate.folder / "measurements/HRCE-1/Plate7"
    (kept / "AA03.parquet.123.part").write_bytes(b"half")
    write_json(plate.folder / "plates.json", {"HRCE-1": {"7": ["AA02", "AA03"]}})
    out = plate()
    assert plate.asked == ["HRCE-1_7_AA03"]
    assert read_table(out)["well_id"].to_pylist() == ["HRCE-1_7_AA02", "HRCE-1_7_AA03"]
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_plates_are_those_of_the_population_with_controls_of_either_kind(tmp_path):
    list_plates(write_published(tmp_path, draw())["metadata"], tmp_path / "plates.json")
    found = json.loads((tmp_path / "plates.json").read_text())
    assert {name: list(one) for name, one in found.items()} == {"HRCE-1": ["1", "2"], "HRCE-2": ["1", "2"]}
    # Three infected and three mock wells; ethanol, its alias, phenol and amine at three doses, the amine twice at one.
    wells = [f"AB{k:02d}" for k in (*range(1, 7), *range(9, 15), *range(21, 25))] + ["AAB01", "AAB02"]
    assert found["HRCE-2"]["1"] == sorted(wells) and found["HRCE-1"]["1"] == sorted([*wells, "AAB03"])


# Mistakes


def refused(make, *arguments) -> str:
    with pytest.raises(InputError) as error:
        make(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_package_that_is_missing(monkeypatch):
    monkeypatch.setattr(cellprofiler, "PACKAGES", {"PIL": "pillow", "no_such_module": "no-such"})
    assert refused(check_packages) == (
        "config: make.route: cellprofiler needs no-such, which is not installed; "
        "pip install -e '.[images]', or take another route."
    )


def test_images_that_are_none_or_of_another_form(tmp_path):
    from PIL import Image

    write_site(tmp_path, "AA01", 1, draw_site(DISCS))
    paths = [tmp_path / f"AA01_s1_w{k}.png" for k in range(1, 6)]
    assert np.array_equal(read_sites(paths)[0] * 255, draw_site(DISCS))
    whole = paths[2].read_bytes()
    paths[2].write_bytes(whole[: len(whole) // 2])
    assert f"{paths[2]}: cannot be read as an image (" in refused(read_sites, paths)
    paths[2].write_bytes(b"<html>")
    assert f"{paths[2]}: cannot be read as an image (" in refused(read_sites, paths)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(paths[2])
    assert f"{paths[2]}: holds uint8 of shape (9, 9), not (96, 96) as others; 8-bit" in refused(read_sites, paths)
    Image.fromarray(np.zeros((96, 96), np.uint16)).save(paths[2])
    assert f"{paths[2]}: holds uint16 of shape (96, 96)" in refused(read_sites, paths)
