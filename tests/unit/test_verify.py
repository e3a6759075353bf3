"""A results folder against what its run noted, with the real sha256sum beside."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from disentangledssl.config import load_config
from disentangledssl.errors import InputError
from disentangledssl.files import digest
from disentangledssl.manifest import origin, write_manifest
from disentangledssl.verify import SUMS, compare_results, main, recorded_files, verify, write_sums

REPOSITORY = Path(__file__).parents[2]


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
    write_manifest(folder, config, data)
    write_sums(folder)
    return folder


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
    assert f"{len(RECORDED)} as then, 0 differ, 0 missing" in text and "raw data: 2 as then, 0 differ" in text
    assert "settings: as then" in text and "versions: as then" in text
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
    (results / "manifest.json").write_text(json.dumps(manifest))
    write_sums(results)
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
