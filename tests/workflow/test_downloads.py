"""The rules that fetch raw files, from a web server on loopback that stands for the publishers."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import time
from pathlib import Path

import pytest
from test_bad_input import assert_says

REPOSITORY = Path(__file__).parents[2]
NAME = "GSE70138_Broad_LINCS_pert_info_2017-03-06.txt.gz"
TARGET = f"downloads/lincs_phase2/{NAME}"
# A true file of the table, which is bundled: the publisher's own size and digest are checked.
CONTENT = (REPOSITORY / "data" / "lincs_meta" / NAME).read_bytes()
IMAGE = "rxrx19a/images/HRCE-1/Plate7/AA02"


@pytest.fixture
def mirror(publisher, overlay):
    """A mirror that holds one file; gives the config that names it."""
    publisher.files[f"/lincs_phase2/{NAME}"] = CONTENT
    # The publishers' own addresses lead to a proxy that is not there: no test may reach the internet.
    return overlay(f"downloads: {{mirror: '{publisher.url}', retries: 1, timeout_seconds: 5}}", "mirror.yaml")


@pytest.fixture(autouse=True)
def no_internet(monkeypatch, publisher):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_one_file_through_the_workflow(fresh_copy, mirror, publisher):
    publisher.plans[f"/lincs_phase2/{NAME}"] = [{"cut": 40_000}]
    assert fresh_copy.run(TARGET, overlays=[mirror]).counts == {"download_file": 1}
    assert (fresh_copy / TARGET).read_bytes() == CONTENT
    assert [one.range for one in publisher.asked] == [None, "bytes=40000-"]
    # Nothing is fetched again: not for other settings, and when forced only if the file is wrong.
    assert fresh_copy.plan(TARGET) == {}
    before = (fresh_copy / TARGET).stat().st_ino
    fresh_copy.run(TARGET, overlays=[mirror], options=["--force"]).ok()
    assert len(publisher.asked) == 2 and (fresh_copy / TARGET).stat().st_ino == before
    (fresh_copy / TARGET).write_bytes(CONTENT[:-1] + b"?")
    fresh_copy.run(TARGET, overlays=[mirror], options=["--force"]).ok()
    assert len(publisher.asked) == 3 and (fresh_copy / TARGET).read_bytes() == CONTENT


@pytest.mark.slow
def test_what_cannot_be_had_ends_in_one_sentence(fresh_copy, mirror, publisher):
    publisher.plans[f"/lincs_phase2/{NAME}"] = [{"page": True} for _ in range(3)]
    # Snakemake may be told to start failed jobs again (the Slurm profile does); these would only repeat themselves.
    result = fresh_copy.run(TARGET, overlays=[mirror], options=["--retries", "2"])
    said = assert_says(result, f"{TARGET}: could not be fetched (127.0.0.1", "sent a web page", "the proxy of the env")
    assert "correct downloads.proxy in the config, or HTTPS_PROXY in the environment" in said
    assert sum("could not be fetched" in line for line in result.output.splitlines()) == 1
    assert not (fresh_copy / TARGET).exists()
    # A file placed by hand needs no network.
    by_hand = fresh_copy / f"downloads/by_hand/lincs_phase2/{NAME}"
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(CONTENT)
    fresh_copy.run(TARGET).ok()
    assert (fresh_copy / TARGET).resolve() == by_hand and len(publisher.asked) == 1


@pytest.mark.slow
def test_the_manifest_takes_the_digest_of_first_use(fresh_copy, overlay):
    """Of gigabytes that were read when they came; noted at the start, whatever becomes of the jobs."""
    folder = fresh_copy / "downloads/mosi"
    folder.mkdir(parents=True)
    (folder / "mosi_data.pkl").write_bytes(b"\x80.")
    (folder / "downloads.lock.json").write_text(json.dumps({"mosi_data.pkl": {"sha256": 32 * "ab", "date": "today"}}))
    fresh_copy.run("results/tiny/mosi/data/view1.parquet", overlays=[overlay("datasets: [mosi]")]).fails()
    noted = json.loads((fresh_copy / "results/tiny/manifest.json").read_text())["data"]
    assert noted["downloads/mosi/mosi_data.pkl"] == f"sha256:{32 * 'ab'}"


@pytest.mark.slow
def test_what_only_a_person_can_get(fresh_copy):
    result = fresh_copy.run("downloads/mimic/im.pk")
    assert_says(
        result, "downloads/mimic/im.pk: cannot be fetched: ask first PhysioNet", "downloads/by_hand/mimic/im.pk"
    )


@pytest.mark.slow
def test_the_images_of_a_well_are_one_job(fresh_copy, mirror, publisher):
    pictures = {f"{IMAGE}_s{site}_w{channel}.png": b"\x89PNG%d%d" % (site, channel) for site in range(1, 5)
                for channel in range(1, 6)}  # fmt: skip
    publisher.files |= {f"/{path}": content for path, content in pictures.items()}
    assert fresh_copy.run(f"downloads/{IMAGE}_s2_w3.png", overlays=[mirror]).counts == {"download_images": 1}
    assert {path: (fresh_copy / f"downloads/{path}").read_bytes() for path in pictures} == pictures
    notes = json.loads((fresh_copy / f"downloads/{IMAGE}").with_name("downloads.lock.json").read_text())
    assert notes["AA02_s2_w3.png"]["sha256"] == hashlib.sha256(b"\x89PNG23").hexdigest() and len(notes) == 20


@pytest.mark.slow
def test_killed_and_started_again(fresh_copy, mirror, publisher):
    publisher.chunk, publisher.pause = 2**16, 20
    process = fresh_copy.start(TARGET, overlays=[mirror])
    part = fresh_copy / f"{TARGET}.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    came = part.stat().st_size
    assert 0 < came < len(CONTENT) and not (fresh_copy / TARGET).exists()
    publisher.pause = 0
    fresh_copy.run(options=["--unlock"]).ok()
    fresh_copy.run(TARGET, overlays=[mirror]).ok()
    assert (fresh_copy / TARGET).read_bytes() == CONTENT and publisher.asked[-1].range == f"bytes={came}-"


@pytest.mark.slow
def test_the_list_touches_no_network_and_is_made_each_time(fresh_copy, publisher, overlay):
    mirror = overlay(f"downloads: {{mirror: '{publisher.url}'}}")
    first = fresh_copy.run("downloads", overlays=[mirror])
    assert first.counts == {"downloads": 1}
    assert_lists = ("terms: public GEO deposit", "52.4 GB", "None of these is needed by this config (simulation, ")
    assert all(text in first.output for text in assert_lists), repr(first)
    # What is not run is told at the start, with the reason.
    reasons = ("to be downloaded: lincs (52.4 GB from ", "mosi (mosi_research_use, about 154 MB from drive.google.com)")
    assert all(text in " ".join(first.output.split()) for text in reasons), repr(first)
    (fresh_copy / TARGET).parent.mkdir(parents=True)
    (fresh_copy / TARGET).write_bytes(CONTENT)
    assert fresh_copy.run("downloads", overlays=[mirror]).counts == {"downloads": 1}
    with (fresh_copy / "results/tiny/downloads.csv").open(newline="") as lines:
        states = {row["file"]: row["state"] for row in csv.DictReader(lines)}
    assert states[TARGET] == "there" and states["downloads/mimic/im.pk"] == "to be placed"
    assert publisher.asked == []


@pytest.mark.slow
def test_mistakes_in_table_and_config_are_seen_before_anything_runs(fresh, overlay, tmp_path):
    (tmp_path / "sources.yaml").write_text("sources: {mine: {title: x, terms: free, fils: []}}")
    table = overlay(f"downloads: {{table: {tmp_path / 'sources.yaml'}}}", "table.yaml")
    assert_says(fresh.run("downloads", overlays=[table]), "sources.mine: fils is no setting; did you mean files?")
    accept = overlay("downloads: {accept: [cohort]}", "accept.yaml")
    assert_says(fresh.run("downloads", overlays=[accept]), "downloads.accept: no source asks for cohort")
    proxy = overlay("downloads: {proxy: 'http://me:secret@proxy:3128'}", "proxy.yaml")
    assert_says(fresh.run("downloads", overlays=[proxy]), "proxy.yaml: downloads.proxy: names a user")


def test_an_unknown_file_of_a_source(fresh):
    assert_says(fresh.run("downloads/lincs/GSE92742_gene_info.txt.gz"), "No rule to produce downloads/lincs/GSE92742")
