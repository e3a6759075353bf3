"""What a person sees when something is wrong: an error code and one sentence that says file, place and mend."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cases import cases

PROFILES = "data/lincs_consensus/profiles.parquet"
CURATED = "results/tiny/lincs_consensus/data/view1.parquet"


def assert_says(result, *parts: str) -> str:
    """Check that the call failed and that one line of the terminal holds all parts; return that line."""
    result.fails()
    lines = [line.strip() for line in result.output.splitlines() if all(part in line for part in parts)]
    assert lines, f"no line says {parts}: {result!r}"
    assert "Traceback (most recent call last)" not in result.output, repr(result)
    return lines[0]


def assert_nothing_made(checkout) -> None:
    """Check that neither results nor half results were left."""
    left = checkout.files("results", without=["logs", "benchmarks"]) if (checkout / "results").exists() else {}
    assert [name for name in left if not name.endswith(("stacks.json", "manifest.json", ".unfinished", ".lock"))] == []


# The config, seen before any job


# Two of the many that tests/unit/test_config.py goes through, as they look on the terminal.
CONFIGS = {
    "typo": ("stack_siz: 3", ["overlay.yaml: stack_siz is no setting; did you mean stack_size?"]),
    "data set not defined": (
        "datasets: [simulaton]",
        ["datasets: simulaton is not defined under data; did you mean simulation?"],
    ),
}


@pytest.mark.parametrize(("text", "parts"), CONFIGS.values(), ids=CONFIGS)
def test_mistakes_in_the_config(fresh, overlay, text, parts):
    result = fresh.run(overlays=[overlay(text)])
    line = assert_says(result, *parts)
    assert line.endswith((".", "?")) and len(line) < 250
    assert not (fresh / "results").exists()


@pytest.mark.slow
def test_several_mistakes_are_named_at_once(fresh, overlay):
    result = fresh.run(overlays=[overlay("stack_siz: 3\nprobe: {max_iter: none, solvr: lbfgs}\n")])
    for parts in (["stack_siz is no setting"], ["probe.max_iter", "none"], ["probe: solvr", "did you mean solver?"]):
        assert_says(result, "overlay.yaml: ", *parts)


@pytest.mark.slow
def test_of_two_overlays_the_one_that_counts_is_named(fresh, overlay):
    first, second = overlay("stack_size: 1", "first.yaml"), overlay("stack_size: 0", "second.yaml")
    assert_says(fresh.run(overlays=[first, second]), "second.yaml: stack_size:", "got 0")


def test_a_setting_that_stands_twice_is_told_once(fresh_copy):
    """Though both Snakefiles name config.yaml."""
    with (fresh_copy / "config.yaml").open("a") as file:
        file.write("\ndevice: cpu\n")
    result = fresh_copy.run(options=["--dry-run"])
    assert_says(result, "config.yaml: line ", "device stands here for the second time (first in line 21)")
    assert result.output.count("for the second time") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("# Größe\nstack_size: 3\n".encode("latin-1"), "UnicodeDecodeError: 'utf-8' codec can't decode byte "),
        (b"results: 2026-13-01\n", "ValueError: month must be in 1..12"),
    ],
    ids=["not UTF-8", "no such date"],
)
def test_what_snakemake_cannot_read_ends_in_a_traceback_that_the_documentation_explains(fresh, tmp_path, content, told):
    """It reads the files of the command line before any Snakefile, so that a sentence of ours would come too late."""
    (tmp_path / "overlay.yaml").write_bytes(content)
    result = fresh.run(overlays=[tmp_path / "overlay.yaml"]).fails()
    assert result.output.strip().splitlines()[-1].startswith(told), repr(result)
    assert told in (fresh / "docs/troubleshooting.md").read_text()
    assert not (fresh / "results").exists()


def test_damaged_ledger(finished_copy):
    ledger = finished_copy / "results/tiny/stacks.json"
    ledger.write_text(ledger.read_text()[:-40])
    assert_says(finished_copy.run(), "results/tiny/stacks.json: the ledger of stacks is damaged", "delete it")


# What is asked for


def test_data_set_of_another_preset_is_named_with_that_preset(fresh):
    quick = fresh.under("config/quick.yaml")
    result = quick.run("results/quick/lincs_cells/retrieval.csv")
    line = assert_says(result, "lincs_cells is not among the data sets of this config")
    assert "config/middle.yaml" in line or "config.yaml" in line
    assert "config/quick.yaml" not in line and "TypeError" not in result.output


def test_unknown_run(fresh):
    target = "results/tiny/lincs_consensus/representations/step1/beta=7,fold=0,seed=0.parquet"
    result = fresh.run(target)
    assert_says(
        result, "lincs_consensus: step1 has no run beta=7,fold=0,seed=0; there are 2, for example beta=0,fold=0"
    )


@pytest.mark.slow
def test_unknown_run_of_a_stage_that_is_not_trained(fresh):
    result = fresh.run("results/tiny/simulation/representations/clip/seed=0.parquet")
    assert_says(result, "simulation: clip has no run seed=0")


@pytest.mark.slow
def test_missing_library(fresh, overlay):
    target = "results/tiny/lincs_consensus/hits/clip/fold=0,seed=0/LC0001.csv"
    result = fresh.run(target, overlays=[overlay("hits: {library: none.csv}")])
    assert_says(result, "hits.library: there is no file none.csv; correct the path, or set it to null")


def test_unknown_stack(fresh):
    result = fresh.run("results/tiny/simulation/step1/0123456789/models.safetensors")
    assert_says(result, "simulation: step1 has no stack 0123456789")


# Probes and their figure are of simulations, retrieval and the choice of beta of screens, contents of some of them.
NO_RULE = [
    "simulation/probs.csv",
    "simulation/retrieval.csv",
    "simulation/selection.json",
    "lincs_consensus/probes.csv",
    "lincs_consensus/contents.csv",
]


@pytest.mark.parametrize("name", cases(NO_RULE, slow=NO_RULE[1:]))
def test_unknown_file(fresh, name):
    assert_says(fresh.run(f"results/tiny/{name}"), f"No rule to produce results/tiny/{name}")


# Data, seen before any training


def cut_in_half(path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def without_smiles(path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["smiles"]), path)


def all_nan(path) -> None:
    table = pq.read_table(path)
    at = next(k for k, field in enumerate(table.schema) if pa.types.is_floating(field.type))
    values = pa.array([float("nan")] * len(table), table.schema.field(at).type)
    pq.write_table(table.set_column(at, table.schema.field(at), values), path)


def text_feature(path) -> None:
    table = pq.read_table(path)
    at = next(k for k, field in enumerate(table.schema) if pa.types.is_floating(field.type))
    pq.write_table(table.set_column(at, table.schema.names[at], pa.array(["high"] * len(table))), path)


def numeric_smiles(path) -> None:
    table = pq.read_table(path)
    at = table.schema.get_field_index("smiles")
    pq.write_table(table.set_column(at, "smiles", pa.array(range(len(table)))), path)


def text_file(path) -> None:
    path.write_text("<!DOCTYPE html><title>404</title>")


DAMAGES = {
    "cut in half": (cut_in_half, [f"{PROFILES}: ", "cannot be read as Parquet"]),
    "a web page": (text_file, [f"{PROFILES}: ", "cannot be read as Parquet"]),
    "missing column": (without_smiles, [f"{PROFILES}: ", "smiles"]),
    "a feature that is NaN in all rows": (all_nan, [f"{PROFILES}: ", "no row is left", "NaN"]),
    "text for a feature": (text_feature, [f"{PROFILES}: column ", "text"]),
    "numbers for SMILES": (numeric_smiles, [f"{PROFILES}: ", "SMILES that RDKit cannot parse"]),
}


@pytest.mark.parametrize(("damage", "parts"), cases(DAMAGES, slow=[*DAMAGES][1:]))
def test_damaged_data(fresh_copy, damage, parts):
    damage(fresh_copy / PROFILES)
    result = fresh_copy.run(CURATED)
    line = assert_says(result, *parts)
    assert "; " in line and line.endswith("."), f"no mend: {line}"
    assert "please report it" not in line
    assert_says(result, "(log: results/tiny/logs/lincs_consensus/curate_screen.log)")
    assert "Traceback" in (fresh_copy / "results/tiny/logs/lincs_consensus/curate_screen.log").read_text()
    assert_nothing_made(fresh_copy)


def test_raw_data_that_cannot_be_read(fresh_copy):
    """The sentence is of reading that file, not of writing the results."""
    facts = fresh_copy / "data/paper/facts.csv"
    facts.unlink()
    facts.mkdir()
    assert_says(fresh_copy.run(CURATED), "data/paper/facts.csv: cannot be read (Is a directory); mend its permissions")
    assert_nothing_made(fresh_copy)


def test_missing_data(fresh_copy):
    (fresh_copy / PROFILES).unlink()
    result = fresh_copy.run(CURATED)
    assert_says(result, PROFILES)
    assert "MissingInputException" in result.output
    assert_nothing_made(fresh_copy)


@pytest.mark.slow
def test_damaged_intermediate_file(finished_copy):
    """The next step refuses it and says what to do; after that, the same command mends it."""
    view = "results/tiny/simulation/data/view1.parquet"
    cut_in_half(finished_copy / view)
    result = finished_copy.run()
    assert_says(result, f"{view}: cannot be read as Parquet", "delete it and run again")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_results_that_cannot_be_written(fresh_copy):
    (fresh_copy / "results").mkdir()
    (fresh_copy / "results").chmod(0o500)
    try:
        assert_says(fresh_copy.run(CURATED), "results", "Permission denied")
    finally:
        (fresh_copy / "results").chmod(0o700)
