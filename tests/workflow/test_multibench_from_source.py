"""MOSI, MOSEI, UR-FUNNY, MUStARD and MIMIC from Google Drive, or a person's hand, to split data sets, in miniature."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from miniatures_multibench import FILES, draw_clips, pickled
from publisher import DRIVE_REFUSES, drive_asks
from test_bad_input import assert_says

REPOSITORY = Path(__file__).parents[2]
ON_DRIVE = ("mosi", "mosei", "ur_funny", "mustard")
TARGETS = [f"results/tiny/{name}/data/splits.parquet" for name in FILES]
TERMS = [f"{name}_research_use" for name in ("mosi", "mosei", "ur_funny")]


@pytest.fixture
def served(publisher, overlay, tmp_path, monkeypatch):
    """A web server that plays Google Drive with the miniatures; gives, by accepted terms, the config that names it."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    table = yaml.safe_load((REPOSITORY / "workflow/resources/sources.yaml").read_text())
    publisher.behind = {}
    for name in ON_DRIVE:
        source = table["sources"][name]
        path = source["urls"][0].removeprefix("https://drive.google.com")
        body = pickled(name)
        publisher.behind[name] = drive_asks(publisher, path, body)
        source["urls"] = [publisher.url + path]
        source["files"][0]["about"] = len(body)
    del table["sources"]["mimic"]["files"][0]["about"]
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump(table))

    def make(accept=TERMS, retries: int = 0) -> Path:
        downloads = {"table": str(tmp_path / "sources.yaml"), "retries": retries, "timeout_seconds": 5}
        settings = {"datasets": [*FILES], "downloads": downloads | {"accept": list(accept)}}
        return overlay(yaml.safe_dump(settings), "multibench.yaml")

    return make


def place(checkout, name: str, content: bytes) -> None:
    path = checkout / f"downloads/by_hand/{'/'.join(FILES[name])}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.slow
def test_from_drive_and_by_hand_to_split_data_sets(fresh_copy, served, publisher):
    place(fresh_copy, "mimic", pickled("mimic"))
    behind = publisher.behind["mosi"]
    cut = len(publisher.files[behind]) // 2
    publisher.plans[behind] = [{"cut": cut}]
    asks = behind.replace("/download?", "/uc?export=download&").split("&export=download&confirm")[0]
    publisher.plans[asks] = [{"body": DRIVE_REFUSES}]
    # Too many asked for it; then the connection breaks half-way.
    said = assert_says(fresh_copy.run(*TARGETS, overlays=[served()], options=["--keep-going"]), "mosi_data.pkl: could")
    assert "Too many users have viewed or downloaded this file recently" in said
    assert "and put it at downloads/by_hand/mosi/mosi_data.pkl." in said
    assert [(fresh_copy / target).exists() for target in TARGETS] == [False, True, True, True, True]
    said = assert_says(fresh_copy.run(*TARGETS, overlays=[served()]), "mosi_data.pkl: could not be fetched")
    assert "the connection broke" in said and "run the same command again, which goes on from there" in said
    counts = fresh_copy.run(*TARGETS, overlays=[served()]).counts
    assert counts == {"download_file": 1, "convert_multibench": 1, "split_dataset": 1}
    assert publisher.asked[-1].path == behind and publisher.asked[-1].range == f"bytes={cut}-"
    rows = {target: pq.read_table(fresh_copy / target).num_rows for target in TARGETS}
    assert list(rows.values()) == [39, 39, 39, 39, 50]
    assert fresh_copy.plan(*TARGETS, overlays=[served()]) == {}
    # Another class for neutral clips fetches nothing.
    asked, other = len(publisher.asked), served().with_name("other.yaml")
    other.write_text("data: {mosi: {make: {neutral: negative}}}")
    assert fresh_copy.plan(*TARGETS, overlays=[served(), other]) == {"convert_multibench": 1, "split_dataset": 1}
    assert len(publisher.asked) == asked


# Networks that learn nothing in a moment; MIMIC's code is what its GRU puts out, 24 numbers a unit of per_step.
SMALL = """
families:
  multibench:
    training: {epochs: 1, batch_size: 8, hidden: 8}
    seeds: [0]
    grids: {jointopt: {a: [1], lam: [0.001]}, focal: {a: [1], lam: [0.001]}}
stages: {factorcl: {critic_hidden: 8}}
data:
"""
CLIPS = "  %s: {training: {batch_size: 8, dimensions: 20, sequences: {width: null, layers: 1, feedforward: 8}}}\n"
MIMIC = "  mimic: {training: {batch_size: 8, dimensions: 120, sequences: {hidden: 4, per_step: 5}}}\n"


@pytest.mark.slow
def test_from_the_publisher_to_table_1(fresh_copy, served, publisher, tmp_path):
    """Every method on every set, from the raw file to both tables."""
    place(fresh_copy, "mimic", pickled("mimic"))
    small = tmp_path / "networks.yaml"
    small.write_text(SMALL + "".join(CLIPS % name for name in ON_DRIVE) + MIMIC)
    fresh_copy.run("results/tiny/table1.csv", overlays=[served(), small]).ok()
    table = pq.read_table(fresh_copy / "results/tiny/table1.parquet").to_pandas()
    rows = table[table["label"].notna()].groupby("dataset")["row"].agg(set)
    assert set(rows.index) == set(FILES)
    names = {"CLIP", "FactorCL-emb", "FactorCL-proj", "FOCAL", "JointOpt"}
    names |= {f"DisentangledSSL ({kind})" for kind in ("shared", "specific", "both")}
    for found in rows:
        assert names <= found
    assert table["mean"].between(0, 1).all() and not table["stand_in"].any()
    both = table[table["row"] == "DisentangledSSL (both)"].set_index("dataset")["width"]
    assert both.to_dict() == dict.fromkeys(ON_DRIVE, 40) | {"mimic": 240}


@pytest.mark.slow
def test_terms_are_accepted_by_name(fresh_copy, served, publisher):
    said = assert_says(fresh_copy.run(TARGETS[1], overlays=[served(accept=[])]), "research use only")
    assert "add mosei_research_use to downloads.accept in your config" in said and publisher.asked == []


@pytest.mark.slow
def test_mimic_is_never_fetched(fresh_copy, served, publisher):
    said = assert_says(fresh_copy.run(TARGETS[-1], overlays=[served()]), "downloads/mimic/im.pk: cannot be fetched")
    assert "PhysioNet" in said and said.rstrip().endswith("then put the file at downloads/by_hand/mimic/im.pk.")
    assert publisher.asked == []


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("made",)


def test_a_hostile_pickle_is_refused_by_name(fresh_copy, served):
    place(fresh_copy, "mustard", pickle.dumps(draw_clips("mustard") | {"more": Hostile()}))
    said = assert_says(fresh_copy.run(TARGETS[3], overlays=[served()]), "sarcasm.pkl: is a pickle that asks for")
    assert "posix.mkdir, which may run code" in said and not (fresh_copy / "made").exists()
    assert not (fresh_copy / "results/tiny/mustard/data/pairs.parquet").exists()


@pytest.mark.slow
def test_a_wrong_file_by_hand_is_refused(fresh_copy, served):
    place(fresh_copy, "mosi", pickled("mosi")[:-4000])
    said = assert_says(fresh_copy.run(TARGETS[0], overlays=[served()]), "by_hand/mosi/mosi_data.pkl: holds")
    assert ", not about " in said and said.rstrip().endswith("put the right file there.")
    place(fresh_copy, "mosi", 1000 * DRIVE_REFUSES)
    assert_says(
        fresh_copy.run(TARGETS[0], overlays=[served()]), 'mosi_data.pkl: sent a web page ("Google Drive - Quota'
    )


@pytest.mark.slow
def test_the_bundled_text_of_mustard(fresh_copy, overlay):
    target = "results/tiny/mustard_text/data/splits.parquet"
    chosen = overlay("datasets: [mustard_text]")
    result = fresh_copy.run(target, overlays=[chosen])
    assert result.counts == {"convert_multibench": 1, "split_dataset": 1}
    assert "stand-ins for the paper's data: mustard_text" in result.output
    assert pq.read_table(fresh_copy / target).num_rows == 687
