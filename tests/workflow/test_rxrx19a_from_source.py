"""RxRx19a from its publisher's address to retrieval by CLIP, in miniature, and what is said when a file is wrong."""

from __future__ import annotations

import csv
import importlib.util
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from cells import draw_site, write_site
from miniatures_rxrx19a import ACTIVE, COLUMNS, draw, pack, publish, text, write_profiles
from test_bad_input import assert_says

from disentangledssl.sources.cellprofiler import PACKAGES

REPOSITORY = Path(__file__).parents[2]
DATA = "results/tiny/rxrx19a/data"
METADATA, EMBEDDINGS = "/RxRx19a-metadata.zip", "/RxRx19a-DL-embeddings.zip"
# Of so few molecules only CLIP is trained.
CLIP = {"grids": {"clip": {}, "step1": None, "step2": None}, "decoders": {"batch_size": 4}}


@pytest.fixture
def published(publisher, overlay, tmp_path, monkeypatch):
    """A web server that holds the miniatures; gives the config whose table of sources has its address."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    publisher.files = {f"/{name}": content for name, content in publish(draw(alkanes=17)).items()}
    table = yaml.safe_load((REPOSITORY / "workflow/resources/sources.yaml").read_text())
    table["sources"]["rxrx19a"]["urls"] = [f"{publisher.url}/{{name}}"]
    for file in table["sources"]["rxrx19a"]["files"]:
        file.pop("about", None)  # of the true files
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump(table))
    settings = {
        "datasets": ["rxrx19a"],
        "families": {"screen": {"training": {"batch_size": 4}}},
        "data": {"rxrx19a": CLIP, "rxrx19a_file": CLIP, "rxrx19a_cellprofiler": CLIP},
        "downloads": {"table": str(tmp_path / "sources.yaml"), "retries": 0, "timeout_seconds": 5},
    }
    return overlay(yaml.safe_dump(settings), "rxrx19a.yaml")


def last_step(checkout, name: str = "rxrx19a") -> dict[str, str]:
    with (checkout / f"results/tiny/{name}/data/curation.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))[-1]


@pytest.mark.slow
def test_from_the_publisher_to_retrieval(fresh_copy, published, publisher):
    target, files = "results/tiny/rxrx19a/retrieval.csv", dict(publisher.files)
    view = f"{DATA}/view1.parquet"

    def says(*parts: str) -> None:
        assert_says(fresh_copy.run(view, overlays=[published]), *parts)
        assert not (fresh_copy / view).exists()

    # The connection breaks; a web page comes; then the release that lacks a column; then an archive that was cut
    # before it was published. Each ends in a sentence, and the right file is taken where it comes.
    publisher.plans[EMBEDDINGS] = [{"cut": len(files[EMBEDDINGS]) // 2}]
    publisher.plans[METADATA] = [{"page": True}]
    result = fresh_copy.run(view, overlays=[published], options=["--keep-going"])
    assert_says(result, "embeddings.zip: could not be fetched", "the connection broke")
    assert_says(result, "metadata.zip: could not be fetched", 'sent a web page ("Quota exceeded")')
    old = [{name: value for name, value in row.items() if name != "SMILES"} for row in draw(alkanes=17).sites]
    publisher.files[METADATA] = pack(text(old), "metadata.csv")
    says("metadata.zip: column SMILES: is missing, as in the release of April 2020", "fetch the release of August 2020")
    # Deleted with the note of its first use, as the sentence for a file that changed would ask.
    for name in ("RxRx19a-metadata.zip", "downloads.lock.json"):
        (fresh_copy / f"downloads/rxrx19a/{name}").unlink()
    publisher.files[METADATA] = files[METADATA][:-40]
    says("metadata.zip: cannot be read as a zip with metadata.csv (", "delete it and run again")
    for name in ("RxRx19a-metadata.zip", "downloads.lock.json"):
        (fresh_copy / f"downloads/rxrx19a/{name}").unlink()
    publisher.files = files
    counts = fresh_copy.run(target, overlays=[published]).counts
    assert counts["download_file"] == counts["curate_rxrx19a"] == 1, "the embeddings were there"
    assert last_step(fresh_copy)["step"] == "compare with the paper"
    assert pq.read_table(fresh_copy / f"{DATA}/splits.parquet").num_rows == int(last_step(fresh_copy)["rows_after"])
    with (fresh_copy / target).open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["title"] for row in rows} == {
        "RxRx19a (Recursion's embeddings, not CellProfiler: departs from the paper)"
    }
    assert {"clip", "random"} <= {row["method"] for row in rows}
    assert fresh_copy.plan(target, overlays=[published]) == {}


@pytest.mark.slow
def test_a_table_that_a_person_places(fresh_copy, published, overlay):
    chosen = overlay("datasets: [rxrx19a_file]", "file.yaml")
    target, place = "results/tiny/rxrx19a_file/data/splits.parquet", "downloads/by_hand/rxrx19a/cellprofiler.parquet"
    assert_says(
        fresh_copy.run(target, overlays=[published, chosen]),
        f"{place}: no such file: CellProfiler features of RxRx19a, a row a well or site, are published by nobody; get",
        "from whoever measured them and put them there, or correct rxrx19a_file: make.table.path",
    )
    assert not (fresh_copy / "downloads").exists(), "nothing is fetched for nothing"
    write_profiles(fresh_copy / place, draw(alkanes=17), without="Metadata_plate")
    said = "cellprofiler.parquet: column Metadata_plate: is missing; name the columns that say which well a row is"
    assert_says(fresh_copy.run(target, overlays=[published, chosen]), said)
    write_profiles(fresh_copy / place, draw(alkanes=17))
    assert fresh_copy.run(target, overlays=[published, chosen]).counts == {"curate_rxrx19a": 1, "split_dataset": 1}
    assert int(last_step(fresh_copy, "rxrx19a_file")["rows_after"]) == 20 * 3 * 2, "molecules, doses, experiments"


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in PACKAGES),
    reason="measuring images needs pip install -e '.[images]'",
)
def test_from_images_to_profiles(fresh_copy, published, publisher, overlay, tmp_path):
    """One plate of two control and two treated wells, whose nuclei differ in size; an image of the last is late."""
    radii = {"AA01": 7, "AA02": 8, "AA03": 9, "AA04": 8}
    sites = []
    for well, radius in radii.items():
        treated = well > "AA02"
        described = (
            ("phenol", "1", "Oc1ccccc1") if well == "AA03" else ("amine", "1", "CCN") if treated else ("", "", "")
        )
        for number in "1234":
            name = f"HRCE-1_1_{well}"
            values = (f"{name}_{number}", name, "HRCE", "HRCE-1", "1", well, number, ACTIVE, *described)
            sites.append(dict(zip(COLUMNS, values, strict=True)))
            write_site(tmp_path / "Plate1", well, int(number), draw_site([(32, 32, radius)], size=64))
    publisher.files = {
        f"/images/HRCE-1/Plate1/{path.name}": path.read_bytes() for path in (tmp_path / "Plate1").iterdir()
    }
    publisher.files[METADATA] = pack(text(sites), "metadata.csv")
    late = "/images/HRCE-1/Plate1/AA04_s4_w5.png"
    publisher.plans[late] = [{"page": True}]
    chosen = overlay("datasets: [rxrx19a_cellprofiler]", "cellprofiler.yaml")
    target = "results/tiny/rxrx19a_cellprofiler/data/view1.parquet"
    assert_says(fresh_copy.run(target, overlays=[published, chosen]), "AA04_s4_w5.png: could not be fetched")
    folder = fresh_copy / "results/tiny/rxrx19a_cellprofiler/measurements/HRCE-1"
    assert sorted(path.name for path in folder.rglob("*.parquet")) == ["AA01.parquet", "AA02.parquet", "AA03.parquet"]
    fresh_copy.run(target, overlays=[published, chosen]).ok()
    asked = [one.path for one in publisher.asked]
    assert asked.count(late) == 2 and asked.count(late.replace("AA04", "AA03")) == 1
    profiles = pq.read_table(folder / "Plate1.parquet").to_pylist()
    assert {row["well_id"]: row["Metadata_Count_Cells"] for row in profiles} == {f"HRCE-1_1_{one}": 4 for one in radii}
    areas = [row["Nuclei_Area"] for row in profiles]
    assert areas == pytest.approx([math.pi * radius**2 for radius in radii.values()], rel=0.08)
    view = pq.read_table(fresh_copy / target).to_pylist()
    # Of the controls one is half a unit of 1.4826 deviations below, one above.
    scale = 1.4826 * (areas[1] - areas[0]) / 2
    expected = [(area - (areas[0] + areas[1]) / 2) / scale for area in (areas[3], areas[2])]
    assert [row["Nuclei_Area"] for row in view] == pytest.approx([min(max(one, -1.5), 1.5) for one in expected])


@pytest.mark.slow
def test_what_rxrx19a_needs_is_listed(fresh_copy, overlay):
    result = fresh_copy.run("downloads", overlays=[overlay("datasets: [rxrx19a]")]).ok()
    assert "This config (rxrx19a) needs 2 files that are not there, 1.45 GB as far as sizes are known." in result.output
