"""A results folder against what its run noted, with the real sha256sum beside."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from disentangledssl.config import load_config
from disentangledssl.errors import InputError
from disentangledssl.files import digest
from disentangledssl.manifest import origin, write_manifest
from disentangledssl.verify import (
    SUMS,
    UNFINISHED,
    compare_results,
    main,
    mark_start,
    recorded_files,
    verify,
    write_sums,
)

REPOSITORY = Path(__file__).parents[2]
OLD = 10**9  # seconds since 1970


@pytest.fixture
def raw(tmp_path):
    """A raw file."""
    path = tmp_path / "raw.csv"
    path.write_text("1\n")
    return path


@pytest.fixture(scope="module")
def config():
    """The quick preset, merged by Snakemake itself and checked."""
    merged = {}
    for file in ("config.yaml", "config/quick.yaml"):
        update_config(merged, yaml.safe_load((REPOSITORY / file).read_text()))
    return load_config(merged, []).model_dump(mode="json")


@pytest.fixture
def results(tmp_path, raw, config, monkeypatch):
    """A folder that a run of the quick preset might leave, with the results of another preset in it."""
    monkeypatch.chdir(REPOSITORY)
    folder = tmp_path / "results"
    for name, text in {
        "table1.csv": "a,b\n1,2\n", "screen/figure.png": "png", "screen/with blank.csv": "x\n", "stacks.json": "{}",
        "screen/step1/0/models.safetensors": "weights", "screen/step1/0/history.parquet": "rows",
        "logs/screen/a.json": "12:00", "benchmarks/a.json": "3 s", "cost.csv": "hours\n", "half.csv.7.part": "1,",
        "tiny/table1.csv": "another", "tiny/manifest.json": "{}",
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    later = "sha512:" + hashlib.sha512(raw.read_bytes()).hexdigest()
    again = shutil.copy(raw, raw.with_name("fetched.csv"))
    data = {str(raw): None, str(again): later, str(raw.with_name("not yet there")): None}
    for path in folder.rglob("*"):
        os.utime(path, (OLD, OLD))
    run(folder, lambda: write_manifest(folder, config, data))
    return folder


def run(folder, write=lambda: None):
    """What a run notes of itself, around what it writes."""
    mark_start(folder)
    write()
    return write_sums(folder)


def put(path, text):
    """Write a file long before any run that follows."""
    path.write_text(text)
    os.utime(path, (OLD, OLD))


RECORDED = {
    "manifest.json", "screen/figure.png", "screen/step1/0/history.parquet", "screen/with blank.csv", "stacks.json",
    "table1.csv",
}  # fmt: skip


def test_recorded_is_what_is_the_same_in_every_run(results):
    assert set(recorded_files(results)) == RECORDED


def test_sha256sum_reads_the_notes(results):
    program = shutil.which("sha256sum")
    if not program:
        pytest.skip("sha256sum is not installed")
    command = [program, "--check", "--strict", SUMS]
    good = subprocess.run(command, cwd=results, capture_output=True, text=True)
    assert good.returncode == 0 and good.stdout.count(": OK") == len(RECORDED)
    (results / "table1.csv").write_text("a,b\n1,3\n")
    assert subprocess.run(command, cwd=results, capture_output=True).returncode == 1


def test_an_untouched_folder_is_as_it_was(results):
    text, same = verify(results, [Path("config/quick.yaml")])
    assert same
    assert (
        f"{len(RECORDED)} as then, 0 differ, 0 missing" in text
        and "raw data of the last start: 2 as then, 0 differ" in text
    )
    assert "settings of the last start: these" in text and "versions of the last start: these" in text
    assert "digest not known: " in text and "not yet there" in text


def test_what_differs_is_missing_or_is_new_is_named(results):
    (results / "table1.csv").write_text("a,b\n1,3\n")
    (results / "screen" / "figure.png").unlink()
    (results / "later.csv").write_text("1\n")
    found = compare_results(results)
    assert (found.different, found.missing, found.unrecorded) == (["table1.csv"], ["screen/figure.png"], ["later.csv"])
    assert set(found.same) == RECORDED - {"table1.csv", "screen/figure.png"}
    text, same = verify(results)
    assert not same
    assert "  differs: table1.csv" in text and "  missing: screen/figure.png" in text
    assert "  not recorded, so made since: later.csv" in text


def test_a_new_file_alone_is_no_difference(results):
    (results / "later.csv").write_text("1\n")
    assert verify(results)[1]


@pytest.mark.parametrize("name", ["raw.csv", "fetched.csv"])
def test_changed_and_lost_raw_data_are_named(results, raw, name):
    raw.with_name(name).write_text("2\n")
    text, same = verify(results)
    assert not same and f"  differs: {raw.with_name(name)}" in text
    raw.with_name(name).unlink()
    text, same = verify(results)
    assert not same and f"  missing: {raw.with_name(name)}" in text


def test_changed_settings_are_named_by_their_place(results, tmp_path):
    overlay = tmp_path / "more.yaml"
    overlay.write_text("retrieval: {bootstrap: 77}\n")
    text, same = verify(results, [Path("config/quick.yaml"), overlay])
    assert not same
    (line,) = [line for line in text.splitlines() if "bootstrap" in line]
    assert line.startswith("  retrieval.bootstrap: ") and line.endswith(", now 77")


def test_other_versions_are_told_and_are_no_difference(results):
    manifest = json.loads((results / "manifest.json").read_text())
    manifest["packages"]["numpy"] = "1.0"
    run(results, lambda: (results / "manifest.json").write_text(json.dumps(manifest)))
    text, same = verify(results)
    assert same and "  packages.numpy: 1.0, now " in text


def test_a_manifest_of_a_start_that_did_not_end_well_differs(results):
    write_manifest(results, {"seed": 1}, {})
    text, same = verify(results)
    assert not same and "  differs: manifest.json" in text


def test_no_notes_and_damaged_notes_are_one_sentence(results):
    (results / SUMS).write_text("0123  table1.csv\n")
    with pytest.raises(InputError, match=r"SHA256SUMS: line 1: is not <sha256>, two blanks and a path; "):
        verify(results)
    (results / SUMS).unlink()
    with pytest.raises(InputError, match=r"SHA256SUMS: no such file; it is written when a run .* ends well\.$"):
        verify(results)
    (results / SUMS).write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"SHA256SUMS: is not text; "):
        verify(results)


def test_a_run_vouches_only_for_what_it_wrote(results):
    """Altered before it, written by it, and new to it, whatever its date."""
    put(results / "table1.csv", "a,b\n1,3\n")
    put(results / "copied.csv", "1\n")
    assert run(results, lambda: (results / "screen" / "figure.png").write_text("new")) == ["table1.csv"]
    found = compare_results(results)
    assert (found.different, found.missing, found.unrecorded) == (["table1.csv"], [], [])
    assert {"screen/figure.png", "copied.csv"} <= set(found.same)
    # Made again, or restored, it is vouched for.
    assert run(results, lambda: (results / "table1.csv").write_text("a,b\n1,4\n")) == []
    put(results / "table1.csv", "a,b\n1,3\n")
    assert run(results) == ["table1.csv"]
    put(results / "table1.csv", "a,b\n1,4\n")
    assert run(results) == [] and not compare_results(results).different


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_run_vouches_for_what_it_wrote_whatever_the_clock_says(results, hours):
    """The clock goes back, or was set back before: neither is the run accused nor who altered a file excused."""
    (results / "table1.csv").write_text("a,b\n1,3\n")
    os.utime(results / "table1.csv", (time.time() + 10**6,) * 2)
    mark_start(results)
    for name in ("screen/figure.png", "manifest.json"):
        put(results / name, "new")
        os.utime(results / name, (OLD + 3600 * hours,) * 2)
    assert write_sums(results) == ["table1.csv"]
    assert compare_results(results).different == ["table1.csv"]


def test_a_run_that_goes_on_from_a_killed_one_vouches_for_both(results):
    put(results / "screen" / "figure.png", "altered before")
    mark_start(results)
    (results / "table1.csv").write_text("a,b\n1,3\n")
    os.utime(results / "table1.csv", (OLD - 3600,) * 2)
    assert run(results) == ["screen/figure.png"] and compare_results(results).different == ["screen/figure.png"]
    assert not (results / UNFINISHED).exists()


def test_a_link_that_leads_nowhere_keeps_no_run_from_starting(results):
    (results / "linked.csv").symlink_to("nowhere.csv")
    mark_start(results)
    with pytest.raises(InputError, match=r"linked\.csv: cannot be read \(No such file or directory\)"):
        write_sums(results)


MANIFESTS = {
    "{}": "manifest.json: disentangledssl: is missing; restore it, or start",
    "[]": "manifest.json: is not what a run notes of itself; restore it",
    '{"data": {"a.csv": "sha256:12"}}': "manifest.json: data.a.csv: string should match",
    '{"config": 1}': "manifest.json: config: input should be a valid dictionary, got 1",
}


@pytest.mark.parametrize(("text", "said"), MANIFESTS.items())
def test_a_damaged_manifest_is_told_in_sentences(results, capsys, text, said):
    (results / "manifest.json").write_text(text)
    assert main([str(results)]) == 1
    assert said in capsys.readouterr().err


CONFIGS = {
    "broken YAML": ("a: [1\n", ".yaml: is not YAML ("),
    "no text": (b"\xff\xfe\xff", ".yaml: is not YAML ("),
    "list": ("- simulation\n", ".yaml: holds no settings, but ['simulation']; write each as name: value;"),
    "folder": (None, ".yaml: cannot be read (Is a directory); name a config file."),
}


@pytest.mark.parametrize(("content", "said"), CONFIGS.values(), ids=CONFIGS)
def test_a_config_that_cannot_be_read_is_one_sentence(results, tmp_path, capsys, content, said):
    overlay = tmp_path / "overlay.yaml"
    if content is None:
        overlay.mkdir()
    else:
        overlay.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main([str(results), "--configfile", str(overlay)]) == 1
    shown = capsys.readouterr().err
    assert said in shown and len(shown.splitlines()) == 1


@pytest.mark.parametrize("name", ["table1.csv", SUMS, "manifest.json"])
def test_a_result_that_cannot_be_read_is_one_sentence(results, capsys, name):
    (results / name).unlink()
    (results / name).mkdir()
    assert main([str(results)]) == 1
    assert capsys.readouterr().err.startswith(f"{results / name}: cannot be read (Is a directory); ")


def test_raw_data_that_cannot_be_read_are_one_sentence(results, raw):
    raw.unlink()
    raw.mkdir()
    with pytest.raises(InputError, match=r"raw\.csv: cannot be read \(Is a directory\); "):
        write_manifest(results, {}, {str(raw): None})


def test_raw_data_are_read_once_a_run_unless_they_change(tmp_path, raw):
    """At the end what was read at the start is not read again: other content of the same size and date is not seen."""

    def noted():
        write_manifest(tmp_path, {}, {str(raw): None})
        return json.loads((tmp_path / "manifest.json").read_text())["data"][str(raw)]

    put(raw, "1\n")
    first = noted()
    put(raw, "2\n")
    assert noted() == first == "sha256:" + hashlib.sha256(b"1\n").hexdigest()
    raw.write_text("2\n")
    assert noted() == "sha256:" + hashlib.sha256(b"2\n").hexdigest()


def test_the_command_tells_by_its_exit_status(results, capsys):
    assert main([str(results), "--configfile", "config/quick.yaml"]) == 0
    (results / "table1.csv").unlink()
    assert main([str(results)]) == 1
    assert "missing: table1.csv" in capsys.readouterr().out
    assert main([str(results / "nowhere")]) == 1
    assert capsys.readouterr().err.endswith("no such file; make it first.\n")
    module = [sys.executable, "-m", "disentangledssl.verify", str(results), "--configfile", "config/no.yaml"]
    result = subprocess.run(module, capture_output=True, text=True)
    assert result.returncode == 1 and result.stderr.startswith("config/no.yaml: no such file; ")


def test_make_verifies_any_folder():
    make = shutil.which("make")
    if not make:
        pytest.skip("make is not installed")

    def asked(*settings):
        plan = subprocess.run(
            [make, "-n", "--no-print-directory", "verify", *settings], cwd=REPOSITORY, capture_output=True, text=True
        )
        return plan.stdout.splitlines()[-1].partition("verify ")[2]

    assert asked() == "results/quick --configfile config/quick.yaml"
    configs = "config/middle.yaml my.yaml"
    assert asked("RESULTS=results/middle", f"CONFIG={configs}") == f"results/middle --configfile {configs}"


def test_origin_names_this_commit(tmp_path):
    here = origin(REPOSITORY)
    git = ["git", "rev-parse", "HEAD"]
    known = subprocess.run(git, cwd=REPOSITORY, capture_output=True, text=True)
    assert here["commit"] == (known.stdout.strip() if known.returncode == 0 else None)
    assert origin(tmp_path)["commit"] is None and origin(tmp_path)["uncommitted_changes"] is False


def test_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert digest(tmp_path / "file") == "sha256:" + hashlib.sha256(b"abc").hexdigest()
    assert digest(tmp_path / "file", "md5") == "md5:" + hashlib.md5(b"abc").hexdigest()
