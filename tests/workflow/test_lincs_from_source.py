"""LINCS from its publishers' addresses to a split data set, in miniature and by both routes."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from miniatures_lincs import MATRIX, draw, members, publish, write_archive
from test_bad_input import assert_says

REPOSITORY = Path(__file__).parents[2]
GEO = "lincs/GSE92742_Broad_LINCS_"
SPLITS = ["results/tiny/lincs/data/splits.parquet", "results/tiny/lincs_curated/data/splits.parquet"]
OVERLAP = "results/tiny/lincs/overlap/lincs_curated.csv"


@pytest.fixture
def published(publisher, overlay, tmp_path, monkeypatch):
    """A web server that holds the miniatures; gives the config whose table of sources has its addresses and digests."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    miniature = draw()
    served = publish(tmp_path / "raw", miniature)
    archive = write_archive(tmp_path / "infocore.zip", members(miniature))
    publisher.files = {f"/{name}": content for name, content in served.items()}
    publisher.files["/infocore.zip"] = archive.read_bytes()
    listed = gzip.decompress(served["GSE92742_SHA512SUMS.txt.gz"]).decode().split()
    digests = dict(zip(listed[1::2], listed[::2], strict=True))
    table = yaml.safe_load((REPOSITORY / "workflow/resources/sources.yaml").read_text())
    for source in ("lincs", "lincs_curated"):
        table["sources"][source]["urls"] = [f"{publisher.url}/{{name}}"]
        for file in table["sources"][source]["files"]:
            if file["name"] in digests:
                file |= {"bytes": len(served[file["name"]]), "digest": f"sha512:{digests[file['name']]}"}
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump(table))
    settings = {
        "datasets": ["lincs", "lincs_curated"],
        "downloads": {"table": str(tmp_path / "sources.yaml"), "retries": 0, "timeout_seconds": 5},
    }
    return overlay(yaml.safe_dump(settings), "lincs.yaml")


@pytest.mark.slow
def test_from_the_publishers_to_a_split_data_set(fresh_copy, published, publisher):
    name = f"/{MATRIX}.gz"
    cut = len(publisher.files[name]) // 2
    publisher.plans[name] = [{"cut": cut}]
    said = assert_says(
        fresh_copy.run(*SPLITS, overlays=[published], options=["--keep-going"]), "gctx.gz: could not be fetched"
    )
    assert "the connection broke" in said and "run the same command again, which goes on from there" in said
    assert not (fresh_copy / SPLITS[0]).exists() and (fresh_copy / SPLITS[1]).exists()
    counts = fresh_copy.run(*SPLITS, OVERLAP, overlays=[published]).counts
    once = ("download_file", "unpack_gctx", "curate_lincs", "split_dataset", "compare_curations")
    assert counts == dict.fromkeys(once, 1), "the rest was done the first time"
    assert [one.range for one in publisher.asked if one.path == name] == [None, f"bytes={cut}-"]
    assert (fresh_copy / f"downloads/lincs/{MATRIX}").read_bytes() == gzip.decompress(publisher.files[name])
    for path in SPLITS:
        with (fresh_copy / path).with_name("curation.csv").open(newline="") as lines:
            last = list(csv.DictReader(lines))[-1]
        assert last["step"] == "compare with the paper" and pq.read_table(fresh_copy / path).num_rows == int(
            last["rows_after"]
        )
    with (fresh_copy / OVERLAP).open(newline="") as lines:
        assert {row["what"]: row["in_both"] for row in csv.DictReader(lines)} == {"molecules": "4", "wells": "38"}
    assert fresh_copy.plan(*SPLITS, OVERLAP, overlays=[published]) == {}
    # Another choice reads the unpacked matrix again, and nothing is fetched.
    asked = len(publisher.asked)
    other = published.with_name("other.yaml")
    other.write_text("data: {lincs: {make: {replicates: 1}}}")
    assert fresh_copy.plan(SPLITS[0], overlays=[published, other]) == {"curate_lincs": 1, "split_dataset": 1}
    # Whoever is short of space may delete the matrix: it is missed only when it is needed.
    (fresh_copy / f"downloads/lincs/{MATRIX}").unlink()
    assert fresh_copy.plan(*SPLITS, overlays=[published]) == {}
    assert "unpack_gctx" in fresh_copy.plan(SPLITS[0], overlays=[published, other])
    assert len(publisher.asked) == asked


def test_what_lincs_needs_is_listed(fresh_copy, overlay):
    chosen = overlay("datasets: [simulation, lincs]")
    result = fresh_copy.run("downloads", overlays=[chosen]).ok()
    assert "This config (lincs) needs 4 files that are not there, 52.4 GB as far as sizes are known." in result.output
    with (fresh_copy / "results/tiny/downloads.csv").open(newline="") as lines:
        needed = [row["file"] for row in csv.DictReader(lines) if row["needed_by"] == "lincs"]
    assert len(needed) == 4 and all(file.startswith(f"downloads/{GEO}") for file in needed)
