"""RxRx19a from its publisher's address to retrieval by CLIP, in miniature, and what is said when a file is wrong."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from miniatures_rxrx19a import draw, pack, publish, text, write_profiles
from test_bad_input import assert_says

REPOSITORY = Path(__file__).parents[2]
DATA = "results/small/rxrx19a/data"
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
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump(table))
    settings = {
        "datasets": ["rxrx19a"],
        "families": {"screen": {"training": {"batch_size": 4}}},
        "data": {"rxrx19a": CLIP, "rxrx19a_file": CLIP},
        "downloads": {"table": str(tmp_path / "sources.yaml"), "retries": 0, "timeout_seconds": 5},
    }
    return overlay(yaml.safe_dump(settings), "rxrx19a.yaml")


def last_step(checkout, name: str = "rxrx19a") -> dict[str, str]:
    with (checkout / f"results/small/{name}/data/curation.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))[-1]


@pytest.mark.slow
def test_from_the_publisher_to_retrieval(fresh_copy, published, publisher):
    target, files = "results/small/rxrx19a/retrieval.csv", dict(publisher.files)
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
    target, place = "results/small/rxrx19a_file/data/splits.parquet", "downloads/by_hand/rxrx19a/cellprofiler.parquet"
    assert_says(
        fresh_copy.run(target, overlays=[published, chosen]),
        f"{place}: no such file: CellProfiler features of RxRx19a, a row a well or site, are published by nobody; get",
        "from whoever measured them and put them there, or correct rxrx19a_file: make.table.path",
    )
    assert not (fresh_copy / "downloads").exists(), "nothing is fetched for nothing"
    write_profiles(fresh_copy / place, draw(), without="Metadata_plate")
    said = "cellprofiler.parquet: column Metadata_plate: is missing; name the columns that say which well a row is"
    assert_says(fresh_copy.run(target, overlays=[published, chosen]), said)
    write_profiles(fresh_copy / place, draw())
    assert fresh_copy.run(target, overlays=[published, chosen]).counts == {"curate_rxrx19a": 1, "split_dataset": 1}
    assert int(last_step(fresh_copy, "rxrx19a_file")["rows_after"]) == 18


def test_what_rxrx19a_needs_is_listed(fresh_copy, overlay):
    result = fresh_copy.run("downloads", overlays=[overlay("datasets: [rxrx19a]")]).ok()
    assert "This config (rxrx19a) needs 2 files that are not there, 1.45 GB as far as sizes are known." in result.output
