"""LINCS from its publishers' addresses, in miniature: to a split data set by both routes, and to retrieval by CLIP."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from miniatures_lincs import MATRIX, draw, members, publish, write_archive
from test_bad_input import assert_says
from test_rxrx19a_from_source import CLIP

REPOSITORY = Path(__file__).parents[2]
GEO = "lincs/GSE92742_Broad_LINCS_"
SPLITS = ["results/tiny/lincs/data/splits.parquet", "results/tiny/lincs_curated/data/splits.parquet"]
OVERLAP = "results/tiny/lincs/overlap/lincs_curated.csv"


@pytest.fixture
def serve(publisher, overlay, tmp_path, monkeypatch):
    """Let a web server hold a miniature; gives a config whose table of sources has its addresses and digests."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    return lambda miniature, **settings: overlay(
        yaml.safe_dump(settings | {"downloads": hold(publisher, tmp_path, miniature)}), "lincs.yaml"
    )


def hold(publisher, tmp_path, miniature):
    """Put both publishers' files on the server; give the settings of downloads that go there."""
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
    return {"table": str(tmp_path / "sources.yaml"), "retries": 0, "timeout_seconds": 5}


@pytest.mark.slow
def test_from_the_publishers_to_a_split_data_set(fresh_copy, serve, publisher):
    published = serve(draw(), datasets=["lincs", "lincs_curated"])
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


@pytest.mark.slow
def test_from_the_publisher_to_retrieval(fresh_copy, serve):
    published = serve(
        draw(alkanes=17), datasets=["lincs"], data={"lincs": CLIP}, families={"screen": {"training": {"batch_size": 4}}}
    )
    target, data = "results/tiny/lincs/retrieval.csv", fresh_copy / "results/tiny/lincs/data"
    counts = fresh_copy.run(target, overlays=[published]).counts
    assert counts["download_file"] == 4 and counts["unpack_gctx"] == counts["train_mol2vec"] == 1
    features = {tuple(row.values()) for row in pq.read_table(data / "view2.parquet").drop_columns("id").to_pylist()}
    assert len(features) == 4 + 17 and {len(one) for one in features} == {8}, "each its own, as wide as Mol2vec"
    groups, splits = (pq.read_table(data / f"{name}.parquet") for name in ("pairs", "splits"))
    tested = set(groups["group"].filter(pc.equal(splits["fold_0"], "test")).to_pylist())
    with (fresh_copy / target).open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {(row["title"], row["stand_in"]) for row in rows} == {("LINCS L1000 (GSE92742)", "False")}
    assert {"clip", "linear_cca", "ridge_fingerprints", "random"} <= {row["method"] for row in rows}
    assert {int(row["molecules"]) for row in rows if not row["cell_line"]} == {len(tested)} and len(tested) > 1
    assert fresh_copy.plan(target, overlays=[published]) == {}


def test_what_lincs_needs_is_listed(fresh_copy, overlay):
    chosen = overlay("datasets: [simulation, lincs]")
    result = fresh_copy.run("downloads", overlays=[chosen]).ok()
    assert "This config (lincs) needs 4 files that are not there, 52.4 GB as far as sizes are known." in result.output
    with (fresh_copy / "results/tiny/downloads.csv").open(newline="") as lines:
        needed = [row["file"] for row in csv.DictReader(lines) if row["needed_by"] == "lincs"]
    assert len(needed) == 4 and all(file.startswith(f"downloads/{GEO}") for file in needed)
