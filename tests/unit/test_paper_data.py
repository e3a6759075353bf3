"""Which of our data sets are the paper's, and in what a run departs from the full one."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from disentangledssl.config import load_config
from disentangledssl.paper.data import NEEDS, SETS, changed_data, departures, other_runs, paper_runs
from disentangledssl.sources.catalogue import load_catalogue

REPOSITORY = Path(__file__).parents[2]
FULL = yaml.safe_load((REPOSITORY / "config.yaml").read_text())


def merged(base, over):
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = merged(base[key], value) if both else value
    return base


def config(**over):
    return load_config(merged(copy.deepcopy(FULL), over), ["config.yaml"])


AS_IS = config()


def own(folder):
    return {"source": "screen", "make": {"screen": "own", "path": str(folder)}}


def test_the_full_config_runs_what_anyone_can_fetch_and_says_what_the_rest_needs():
    found = paper_runs(AS_IS, AS_IS)
    assert list(found) == list(NEEDS)
    own = {name: one["dataset"] for name, one in found.items() if one["dataset"]}
    assert own == {"MUSTARD": "mustard", "LINCS": "lincs"}
    assert found["RXRX19a"]["reason"].startswith("run as rxrx19a alone")
    rest = found.keys() - own.keys() - {"RXRX19a"}
    assert len(rest) == 4 and all(NEEDS[name] in found[name]["reason"] for name in rest)


def test_presets_run_on_bundled_data_alone():
    fetched = ("lincs", "rxrx19a", *SETS)
    from_publishers = {
        name for name, one in FULL["data"].items() if {one["make"].get("screen"), one["make"].get("set")} & {*fetched}
    }
    assert len(from_publishers) == 10
    for preset in sorted((REPOSITORY / "config").glob("*.yaml")):
        assert not from_publishers & {*yaml.safe_load(preset.read_text())["datasets"]}, preset


def test_needs_are_those_of_the_table_of_sources():
    sources = load_catalogue(REPOSITORY / FULL["downloads"]["table"]).table.sources
    groups = {"MIMIC": "mimic", "MOSEI": "mosei", "MOSI": "mosi", "UR-FUNNY": "ur_funny", "MUSTARD": "mustard"}
    for name, group in groups.items():
        said = "on request" if sources[group].ask else "terms accepted" if sources[group].accept else "downloaded"
        assert said in NEEDS[name], name


def test_the_nearest_route_stands_for_a_screen_whatever_the_order():
    for datasets in (["lincs", "lincs_curated"], ["lincs_curated", "lincs"]):
        found = config(datasets=datasets)
        assert paper_runs(found, AS_IS)["LINCS"] == {"dataset": "lincs_curated", "reason": None}
        assert other_runs(found, AS_IS) == {"lincs": "the paper's LINCS is set beside lincs_curated"}
    assert paper_runs(config(datasets=["lincs"]), AS_IS)["LINCS"]["dataset"] == "lincs"


def test_other_features_than_the_papers_do_not_stand_for_it():
    found = config(datasets=["rxrx19a"])
    run = paper_runs(found, AS_IS)["RXRX19a"]
    assert run["dataset"] is None and run["reason"].startswith("run as rxrx19a alone, which departs")
    assert other_runs(found, AS_IS) == {"rxrx19a": "other measurements than the paper's RXRX19a"}
    both = config(datasets=["rxrx19a", "rxrx19a_cellprofiler"])
    assert paper_runs(both, AS_IS)["RXRX19a"]["dataset"] == "rxrx19a_cellprofiler"


def test_stand_ins_and_own_data_are_named_as_such(tmp_path):
    found = config(datasets=["simulation", "mfeat", "mosi", "lincs_consensus", "mine"], data={"mine": own(tmp_path)})
    assert other_runs(found, AS_IS) == {
        "mfeat": "stands in for the paper's data", "lincs_consensus": "stands in for the paper's data",
        "mine": "your own data",
    }  # fmt: skip
    assert [name for name, one in paper_runs(found, AS_IS).items() if one["dataset"]] == ["MOSI"]


CHANGED = [
    ({"data": {"mimic": {"make": {"task": 1}}}}, "mimic", "MIMIC", "data.task 1 (full run: 7)"),
    ({"data": {"mosi": {"make": {"neutral": "negative"}}}}, "mosi", "MOSI", "data.neutral negative (full run: pos"),
    ({"data": {"lincs": {"split": {"kind": "scaffold"}}}}, "lincs", "LINCS", "split.kind scaffold (full run: group_h"),
    ({"retrieval": {"pool": "valtest"}}, "lincs_curated", "LINCS", "retrieval.pool valtest (full run: test)"),
]  # fmt: skip


@pytest.mark.parametrize(("over", "dataset", "name", "change"), CHANGED)
def test_changed_data_are_not_the_papers(over, dataset, name, change):
    found = config(datasets=[dataset], **over)
    run = paper_runs(found, AS_IS)[name]
    assert run["dataset"] is None
    assert run["reason"].startswith(f"run as {dataset} alone, which departs from the paper's data; {change}")
    (said,) = other_runs(found, AS_IS).values()
    assert said.startswith(f"other data than the paper's {name}: {change}")


def test_changed_data_give_way_to_unchanged_ones():
    found = config(datasets=["lincs_curated", "lincs"], data={"lincs_curated": {"make": {"replicates": 2}}})
    assert paper_runs(found, AS_IS)["LINCS"] == {"dataset": "lincs", "reason": None}
    assert list(other_runs(found, AS_IS)) == ["lincs_curated"]


@pytest.mark.parametrize(
    ("over", "dataset", "changed"),
    [
        ({"data": {"simulation": {"make": {"n": 400}}}}, "simulation", "data.n 400 (full run: 90000)"),
        ({"data": {"simulation": {"make": {"data_seeds": [0, 1]}}}}, "simulation", ""),
        ({"data": {"simulation": {"make": {"data_seeds": [5]}}}}, "simulation", ""),
        ({"stages": {"step2": {"epochs": 6}}, "training": {"hidden": 16}}, "simulation", ""),
        # Read where else there is a table, and of a kind of split that heeds no folds.
        ({"data": {"rxrx19a_file": {"make": {"table": {"path": "mine.csv"}}}}}, "rxrx19a_file", ""),
        ({"families": {"screen": {"split": {"folds": 2, "use_folds": 1}}}}, "lincs", ""),
        # Another route is judged by its rank, not by its name.
        ({"data": {"lincs": {"make": {"route": "curated"}}}}, "lincs", ""),
    ],
)  # fmt: skip
def test_what_changes_the_data(over, dataset, changed):
    assert changed_data(config(datasets=[dataset], **over), AS_IS, dataset) == changed


@pytest.mark.parametrize(
    ("over", "dataset", "expected"),
    [
        ({}, "simulation", ""),
        ({"device": "cpu", "stack_size": 3}, "simulation", ""),
        ({"families": {"simulation": {"seeds": [0]}}}, "simulation_mixed", ""),
        ({"data": {"simulation": {"make": {"n": 400}}}}, "simulation", "data.n 400 (full run: 90000)"),
        ({"training": {"batch_size": 64}}, "simulation", "batch_size 64 (full run: 256)"),
        ({"stages": {"step2": {"epochs": 6}}}, "simulation", "epochs of step2 6 (full run: 30)"),
        ({"stages": {"dmvae": {"epochs": 6}}}, "mosi", ""),
        (
            {"families": {"screen": {"split": {"use_folds": 1}}}},
            "lincs_consensus",
            "split.use_folds 1 (full run: 5)",
        ),
        ({"datasets": ["lincs"], "retrieval": {"pool": "valtest"}}, "lincs", "retrieval.pool valtest (full run: test)"),
        ({"retrieval": {"bootstrap": 10}}, "lincs", ""),
        ({"datasets": ["lincs"], "retrieval": {"pool": "valtest"}}, "mosi", ""),
    ],
)
def test_departures_from_the_full_run(over, dataset, expected):
    assert departures(config(**over), AS_IS, dataset) == expected


def test_a_data_set_that_the_full_config_does_not_define(tmp_path):
    found = config(datasets=["mine"], data={"mine": own(tmp_path)})
    assert departures(found, AS_IS, "mine") == "a data set of this config's own"


def test_another_name_hides_no_departure():
    """It is set beside the data set of the full config that is made of the same."""
    mosi = copy.deepcopy(FULL["data"]["mosi"])
    assert departures(config(datasets=["again"], data={"again": mosi}), AS_IS, "again") == ""
    cells = copy.deepcopy(FULL["data"]["lincs"])
    cells["make"] |= {"replicates": 2}
    said = departures(config(datasets=["again"], data={"again": cells}), AS_IS, "again")
    assert said.startswith("data.replicates 2 (full run: ")
    less = mosi | {"training": mosi["training"] | {"hidden": 7}}
    assert "hidden 7 (full run: " in departures(config(datasets=["again"], data={"again": less}), AS_IS, "again")
