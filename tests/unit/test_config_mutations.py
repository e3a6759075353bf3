"""Configs that were damaged at random: accepted and right, or refused in one sentence that names file, place and mend.

Right means: what the config holds is what was written, value by value; it comes back from its own dump; the schema for
editors says the same; and the plan has exactly the runs that the grids, counted here by hand, ask for.
"""

from __future__ import annotations

import copy
import datetime
import json
import math
from pathlib import Path
from traceback import extract_tb
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import assert_is_a_sentence, no_hang
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

from disentangledssl.config import STAGES, Config, ConfigErrors, json_schema, load_config
from disentangledssl.mistakes import TAGS
from disentangledssl.plan import Plan

REPOSITORY = Path(__file__).parents[2]
# Every kind of data set once, own ones too, with short grids: a plan is made of each config that is accepted.
SHORT = """
results: results/short
datasets: [simulation, reading, noisy, lincs_consensus, lincs_cells, mfeat, mustard_text, mine, views]
families:
  simulation:
    seeds: [0, 1]
    grids: {step1: {beta: [0, 1]}, step2: {beta: [1], lam: [0.1, 1]}}
  screen: {seeds: [0], grids: {step1: {beta: [0, 1]}, step2: {beta: [selected, 1], lam: [0.1]}}}
  multibench: {seeds: [0]}
data:
  simulation: {make: {n: 2000}, grids: {step2: {beta: [0], lam: [1]}, jointopt: null, focal: null, dmvae: null}}
  reading: {source: simulation, reading: another width, make: {variant: entangled, n: 2000, data_seeds: [0], noise: 0}}
  noisy: {source: simulation, make: {variant: noisy, n: 2000, data_seeds: [0, 1], noise: 1}, seeds: [3]}
  lincs_cells: {split: {kind: leave_one_out, by: cell_line, values: [PC3, MCF7]}}
  mine: {source: screen, make: {screen: own, path: mine, title: null}, split: {kind: given, folds: 2}}
  views: {source: multibench, make: {set: own, path: views, title: Two views}}
"""
WHOLE: dict[str, Any] = {}
# Merged by Snakemake, the first file too: it copies what aliases share, which an overlay then changes in one place.
update_config(WHOLE, load_configfile(REPOSITORY / "config.yaml"))
update_config(WHOLE, yaml.safe_load(SHORT))
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def places(content: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a config, mappings and lists and what is in them."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [above] * bool(above) + [place for key, value in inside for place in places(value, (*above, key))]


def at(content: Any, place: tuple[Any, ...]) -> Any:
    for step in place:
        content = content[step]
    return content


PLACES = places(WHOLE)
# By name first, as most places are grids and scalings.
BY_NAME = {name: [place for place in PLACES if place[-1] == name] for name in {place[-1] for place in PLACES}}
a_place = st.sampled_from(sorted(BY_NAME, key=str)).flatmap(lambda name: st.sampled_from(BY_NAME[name]))
MAPPINGS = [(), *(place for place in PLACES if isinstance(at(WHOLE, place), dict))]
KEYS = [place for place in PLACES if isinstance(place[-1], str)]
DEEP: Any = 1
for _ in range(40):
    DEEP = [DEEP]
ODD = [
    None, True, False, 0, -1, 1, 3, 0.5, -0.0, 1e308, -1e308, 5e-324, math.nan, math.inf, 10**6, 10**9, 2**63, -(2**63),
    10**400, "", " ", "0", "1e-4", "nan", "yes", "null", "selected", "{x}", "{dataset}", "a/b", "../x", "/", "//", ".",
    "x\ny", "x\n", "\0", "é\u200b", "*", "x" * 5000, [], {}, [[]], [None], ["a", "a"], [0, 0], [0, 0.0], [0, -1], [[0]],
    {"x": 1}, {"": 1}, {1: 2}, {None: None}, {True: 1}, {"a\nb": 1}, datetime.date(2026, 1, 1), b"bytes", DEEP,
]  # fmt: skip
plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
values = st.one_of(
    st.sampled_from(ODD),
    # What is right elsewhere.
    st.sampled_from(PLACES).map(lambda place: copy.deepcopy(at(WHOLE, place))),
    plain,
    st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3)),
)
words = st.one_of(st.sampled_from([key for place in PLACES for key in place[-1:]]), st.text(max_size=6), plain)


def near(place: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """Values for a place that may well be right: those of the same name elsewhere, or a little different."""
    value = at(WHOLE, place)
    elsewhere = st.sampled_from(BY_NAME[place[-1]]).map(lambda other: copy.deepcopy(at(WHOLE, other)))
    if isinstance(value, bool):
        return elsewhere | st.just(not value)
    if isinstance(value, (int, float)):
        factors = st.sampled_from([0, 0.5, 2, 2, 3, 10, 100, 10**9, 10**15, -1])
        return (
            factors.map(lambda factor: type(value)(value * factor)) | st.integers(1, 50) | st.floats(0, 2) | elsewhere
        )
    if isinstance(value, list):
        return elsewhere | st.sampled_from([value[:1], value[::-1], value[1:], value * 2, [*value, 7], [*value, "x"]])
    return elsewhere


@st.composite
def typos(draw, word: str) -> str:
    """A word with one letter doubled, left out, swapped or replaced."""
    k = draw(st.integers(0, len(word) - 1))
    return draw(
        st.sampled_from(
            [word[: k + 1] + word[k:], word[:k] + word[k + 1 :], word[:k] + word[k:][:2][::-1] + word[k + 2 :],
             word[:k] + "_" + word[k + 1 :], word.upper(), word.replace("_", "-"), word + "s", word[0]]
        )
    )  # fmt: skip


def nested(place: tuple[Any, ...], value: Any) -> dict[Any, Any]:
    """An overlay that sets one place; a list, which merging replaces, is written whole."""
    for depth, step in enumerate(place):
        if isinstance(step, int):
            whole = copy.deepcopy(at(WHOLE, place[:depth]))
            at(whole, place[depth:-1])[place[-1]] = value
            return nested(place[:depth], whole)
    for step in reversed(place):
        value = {step: value}
    return value


@st.composite
def overlays(draw) -> dict[Any, Any]:
    """One to three settings that are replaced, misspelt or added."""
    overlay: dict[Any, Any] = {}
    for _ in range(draw(st.sampled_from([1, 1, 1, 1, 2, 3]))):
        how = draw(st.sampled_from(["vary", "vary", "vary", "replace", "misspell", "add"]))
        place = draw(a_place)
        if how == "vary":
            one = nested(place, draw(near(place)))
        elif how == "replace":
            one = nested(place, draw(values))
        elif how == "misspell":
            place = draw(st.sampled_from(KEYS))
            one = nested((*place[:-1], draw(typos(place[-1]))), copy.deepcopy(at(WHOLE, place)))
        else:
            one = nested((*draw(st.sampled_from(MAPPINGS)), draw(words)), draw(values))  # or replaced
        update_config(overlay, one)
    return overlay


SNIPPETS = (
    """
\t|\tresults: x|a: b: c|- x|x: [1|x: {|x: 'y|<<: *nothing|<<: 3|&a *a|x: &a [*a]|x: *a|? x|---|...|%YAML 9.9|# é|on: off
y: n|n: 1|1: 2|null: 1|training:|training: ~|training: []|stages: {step2: {epochs: 2}}|device: !!str cpu|seeds: [1]
x: !!python/name:os.system|stack_size: 0x10|stack_size: 1_000|stack_size: 010|stack_size: 1:30|stack_gb: 1e1|threads: 1.
stack_gb: .5|results: 2026-01-01|results: >-|x: 2026-99-99|"\\0": 1|datasets:|datasets: [[simulation]]
""".strip("\n")
    .replace("\n", "|")
    .split("|")
)
TINY = (REPOSITORY / "config/tiny.yaml").read_text().splitlines()


@st.composite
def texts(draw) -> bytes:
    """The tiny preset with one or two lines left out, doubled, moved, indented or made up, in several encodings."""
    lines = list(TINY)
    for _ in range(draw(st.sampled_from([1, 1, 2]))):
        at = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["left out", "doubled", "moved", "indented", "letter", "snippet", "cut"]))
        if how == "left out":
            del lines[at]
        elif how == "doubled":
            lines.insert(draw(st.integers(0, len(lines))), lines[at])
        elif how == "moved":
            lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(at))
        elif how == "indented":
            lines[at] = draw(st.sampled_from([" ", "  ", "\t", "    "])) + lines[at]
        elif how == "letter" and lines[at]:
            k = draw(st.integers(0, len(lines[at]) - 1))
            lines[at] = lines[at][:k] + draw(st.sampled_from(list(" :,]}#&-01abex"))) + lines[at][k + 1 :]
        elif how == "snippet":
            lines.insert(at, draw(st.sampled_from(["", "  ", "      "])) + draw(st.sampled_from(SNIPPETS)))
        elif how == "cut":
            lines[at:] = [lines[at][: len(lines[at]) // 2]]
            break
    encode = st.sampled_from(["utf-8"] * 18 + ["utf-8-sig", "utf-16", "latin-1"])
    return draw(st.sampled_from(["\n"] * 8 + ["\r\n", "\r"])).join([*lines, ""]).encode(draw(encode))


def judge(content: dict[Any, Any], files: list[Path]) -> str:
    """Load a config as the Snakefile does; fail unless it is accepted and right or refused in sentences."""
    with no_hang():
        try:
            config = load_config(content, files)
        except ConfigErrors as error:
            assert len({str(one) for one in error.problems}) == len(error.problems), str(error)
            for one in error.problems:
                assert_is_a_sentence(one)
                assert (one.place or "is no setting" in one.problem) and Path(one.file).resolve() in [
                    file.resolve() for file in files
                ], str(one)
            # All was right before the last file, so some of what is wrong is in it; or a setting of it says what others
            # mean, or is of a data set that another one refers to.
            named = any(Path(one.file).resolve() == files[-1].resolve() for one in error.problems)
            refers = all(one.place.endswith((": reading", ": transfer_from")) for one in error.problems)
            assert named or refers or any(tag in files[-1].read_text() for tag in TAGS), str(error)
            return "refused"
        assert_right(config, content)
        return "accepted"


def assert_right(config: Config, content: dict[Any, Any]) -> None:
    """Check that an accepted config holds what was written, and that its plan is what it asks for."""
    assert same(config.model_dump(exclude_unset=True), content)
    # As the manifest of a run holds it.
    assert same(json.loads(json.dumps(config.model_dump(mode="json", exclude_unset=True), allow_nan=False)), content)
    assert next(VALIDATOR.iter_errors(content), None) is None, "the schema for editors refuses it"
    plan = Plan(config, "/no/such/folder/stacks.json")
    for dataset in config.datasets:
        seeds = len(config.family(dataset).seeds)
        for stage, grid in config.family(dataset).grids.items():
            runs = math.prod(len(grid[axis]) for axis in STAGES[stage].axes) * seeds * config.used_folds(dataset)
            stacks = plan.stacks[dataset, stage]
            assert len(set(plan.wanted(dataset, stage))) == sum(len(stack.runs) for stack in stacks) == runs
            most = config.stack_size or {"cpu": 13}.get(config.device, 42)
            assert max(len(stack.runs) for stack in stacks) <= most
    plan.trainings()


def same(one: Any, other: Any) -> bool:
    """Whether two contents are equal, where a whole number may stand for its float but true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def merged(text: str | bytes, folder: Path) -> tuple[dict[Any, Any], list[Path]]:
    """The short config under an overlay, read and merged by Snakemake's own functions, and the files."""
    files = [REPOSITORY / "config.yaml", folder / "short.yaml", folder / "overlay.yaml"]
    files[1].write_text(SHORT)
    files[2].write_bytes(text.encode() if isinstance(text, str) else text)
    content = copy.deepcopy(WHOLE)
    update_config(content, load_configfile(files[2]))
    return content, files


HOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("overlays")


def judge_text(text: str | bytes, folder: Path) -> str:
    """Judge the short config under an overlay; what Snakemake, which comes first, says of it is not ours."""
    try:
        content, files = merged(text, folder)
    except WorkflowError:
        return "Snakemake's"
    except UnicodeDecodeError:  # this and the next end in a traceback: docs/troubleshooting.md
        return "not UTF-8"
    except ValueError as error:
        assert extract_tb(error.__traceback__)[-1].filename.endswith("constructor.py"), f"not PyYAML's: {error!r}"
        return "no such date or number"
    return judge(content, files)


def check(texts: st.SearchStrategy, examples: int, folder: Path, **how) -> None:
    """Judge so many overlays; neither verdict may be rare, or next to nothing was tried."""
    verdicts = []

    @settings(max_examples=examples, **HOW, **how)
    @given(text=texts)
    def one(text):
        verdicts.append(judge_text(text, folder))

    one()
    shares = {verdict: verdicts.count(verdict) / len(verdicts) for verdict in sorted({*verdicts})}
    print(f"{len(verdicts)} overlays: {shares}")
    assert len(verdicts) >= examples and min(shares["accepted"], shares["refused"]) > 0.1


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("stack_size: [3", "Snakemake's"),
        ("# Grösse\nstack_size: 3".encode("latin-1"), "not UTF-8"),
        ("stack_size: 3".encode("utf-16"), "not UTF-8"),
        ("stack_size: 2026-02-30", "no such date or number"),
        ("stack_size: 0x_", "no such date or number"),
    ],
)
def test_what_snakemake_says_first(folder, text, verdict):
    assert judge_text(text, folder) == verdict


SETTINGS = overlays().map(lambda overlay: yaml.safe_dump(overlay, allow_unicode=True))


def test_settings_that_are_replaced_misspelt_or_added(folder):
    check(SETTINGS, 200, folder, derandomize=True)


def test_lines_that_are_left_out_doubled_moved_or_made_up(folder):
    check(texts(), 100, folder, derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("overlays", [SETTINGS, texts()], ids=["settings", "lines"])
def test_many_overlays(folder, overlays):
    """Others at every call; a failure prints the overlay, which is tried first the next time."""
    check(overlays, 2000, folder)


# Found by the tests above, each once.
FOUND = {
    "more folds than can be planned": ("families: {screen: {split: {folds: 2000000}}}", "less than or equal to 1000"),
    "a number that no float holds": (f"training: {{dimensions: 1{'0' * 320}}}", "whole numbers go up to 2147483647"),
    "a wildcard in a path": ('results: "results/{x}"', "results: a path has neither braces"),
    "an end of line in a path": ('downloads: {folder: "x\\n"}', "downloads.folder: a path has neither braces"),
    "a home folder": ("results: ~/results", "results: a path has neither braces"),
    "a key that stands twice": (
        "stack_size: 3\nthreads: 1\nstack_size: 4",
        "overlay.yaml: line 3: stack_size stands here for the second time (first in line 1); keep one of them.",
    ),
    "a data set that is listed three times": ("datasets: [mfeat, mfeat, mfeat]", "datasets: mfeat is listed twice"),
    "a mistake in what may be null": (
        "data: {rxrx19a_file: {make: {table: {prefixes: [1]}}}}",
        "data.rxrx19a_file.make.table.prefixes.0: input should be a valid string, got 1",
    ),
    "a key of two lines": ('training: {"a\\nb": 1}', "training: a\\nb is no setting; "),
    "a width of all that one stage cannot divide": (
        "training: {dimensions: 32}",
        "overlay.yaml: views: training.dimensions: 32 cannot be divided among the 5 projection heads",
    ),
    "a long value": (f"device: {'x' * 5000}", "got 'xxx", " ... xxx"),
}


@pytest.mark.parametrize(("text", "parts"), [(text, parts) for text, *parts in FOUND.values()], ids=FOUND)
def test_what_was_found(folder, text, parts):
    with pytest.raises(ConfigErrors) as error:
        load_config(*merged(text, folder))
    assert len(error.value.problems) == 1 and all(part in str(error.value) for part in parts)


def test_memory_that_is_no_number_of_runs(folder):
    config = load_config(*merged("stack_gb: 1.0e+308", folder))
    assert (
        max(len(stack.runs) for stack in Plan(config, "/no/such/folder/stacks.json").stacks["simulation", "step2"]) > 1
    )
