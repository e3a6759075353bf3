"""The config: every mistake ends in one sentence with file, key and mend; every override lands where it should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from disentangledssl.config import STAGES, Config, ConfigErrors, json_schema, load_config
from disentangledssl.errors import InputError
from disentangledssl.settings import STAGE_SETTINGS, TrainingSettings

REPOSITORY = Path(__file__).parents[2]
FULL = REPOSITORY / "config.yaml"
PRESETS = sorted((REPOSITORY / "config").glob("*.yaml"))
SCHEMA = REPOSITORY / "workflow" / "schemas" / "config.schema.json"


def merged(base: Any, over: Any) -> Any:
    """Merge two configs as Snakemake does: mappings are merged, all else is replaced."""
    if not isinstance(over, dict):
        return over
    base = base if isinstance(base, dict) else {}
    return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}


def load(*texts_or_paths: str | Path, tmp_path: Path | None = None) -> Config:
    """Load config.yaml with overlays on top: files, or texts that become ``overlay0.yaml`` and so on."""
    files = [FULL]
    for number, overlay in enumerate(texts_or_paths):
        if isinstance(overlay, str):
            (tmp_path / f"overlay{number}.yaml").write_text(overlay)
            overlay = tmp_path / f"overlay{number}.yaml"
        files.append(overlay)
    content: Any = {}
    for file in files:
        content = merged(content, yaml.safe_load(file.read_text()))
    return load_config(content, files)


@pytest.fixture
def sentences(tmp_path):
    """Sentences that an overlay on config.yaml is refused with."""

    def refuse(*overlays: str) -> list[str]:
        with pytest.raises(InputError) as error:
            load(*overlays, tmp_path=tmp_path)
        return str(error.value).splitlines()

    return refuse


# Presets


@pytest.mark.parametrize("preset", [None, *PRESETS], ids=lambda path: path.stem if path else "full")
def test_presets_load_and_resolve(preset):
    config = load(*[preset] if preset else [])
    for dataset in config.datasets:
        family = config.family(dataset)
        for stage in family.grids:
            assert isinstance(config.training_of(dataset, stage), TrainingSettings)
        assert 1 <= config.used_folds(dataset) <= config.folds(dataset)


def test_every_preset_has_a_results_folder_of_its_own():
    assert load().results == "results"
    own = [path for path in PRESETS if path.stem != "readings"]
    assert [load(path).results for path in own] == [f"results/{path.stem}" for path in own]


def test_full_config_is_the_papers():
    config = load()
    step1, step2 = config.training_of("simulation", "step1"), config.training_of("simulation", "step2")
    assert (step1.epochs, step2.epochs, step1.batch_size, step1.learning_rate) == (50, 30, 256, 1e-4)
    assert (step1.hidden, step1.layers, step1.dimensions) == (512, 3, 100)
    grids = config.family("simulation").grids
    assert grids["step1"]["beta"] == [0, 0.001, 0.01, 0.1, 0.5, 1, 5, 10, 50, 100, 300, 500, 1000]
    assert grids["step2"]["lam"] == [0, 0.001, 0.01, 0.1, 1, 10, 100]
    screen = config.training_of("lincs_cells", "step1")
    assert (screen.hidden, screen.dimensions) == (2560, 32)
    assert config.family("simulation").seeds == config.family("lincs_cells").seeds == [0, 1, 2]


def test_codes_of_multibench_share_the_width_of_a_view():
    config = load()
    assert config.training.dimensions == 100 and config.family("simulation").widths == "each"
    found = {stage: config.training_of("mfeat", stage).dimensions for stage in config.family("mfeat").grids}
    assert found == {"clip": 60, "step1": 30, "step2": 30, "jointopt": 30, "focal": 30, "factorcl": 60}
    assert config.training_of("simulation", "step1").dimensions == 100
    content = yaml.safe_load(FULL.read_text())
    content["data"]["mfeat"]["widths"] = "each"
    config = load_config(content, [])
    assert {config.training_of("mfeat", stage).dimensions for stage in found} == {60}


# Mistakes: one sentence each, with file, key and mend

ONE_MISTAKE = {
    # A key that is none, and the nearest that is one.
    "typo at the top": ("stack_siz: 3", "stack_siz is no setting; did you mean stack_size?"),
    "typo in training": ("training: {epoch: 3}", "training: epoch is no setting; did you mean epochs?"),
    "typo in augmentation": (
        "training: {augmentation: {noise: 1}}",
        "training.augmentation: noise is no setting; did you mean noise_std?",
    ),
    "typo in a family": (
        "families: {screen: {seed: [1]}}",
        "families.screen: seed is no setting; did you mean seeds?",
    ),
    "a set that is none": ("data: {mosi: {make: {set: mossi}}}", "data.mosi.make.set: input should be 'mfeat', 'mosi'"),
    "typo of a set": ("data: {mosi: {make: {neutrl: 1}}}", "make: neutrl is no setting; did you mean neutral?"),
    "typo in scaling": (
        "families: {screen: {scaling: {view1: {standardize: true}}}}",
        "families.screen.scaling.view1: standardize is no setting; did you mean standardise?",
    ),
    "typo in a data set": (
        "data: {simulation: {trainng: {}}}",
        "data.simulation: trainng is no setting; did you mean training?",
    ),
    "typo in make": (
        "data: {simulation: {make: {varaint: mixed}}}",
        "data.simulation.make: varaint is no setting; did you mean variant?",
    ),
    "name that reads as a link": (
        "data: {mine_: {source: multibench, make: {set: mustard_text}}}",
        "data.mine_: a name has letters, digits and underscores alone, a letter first and no underscore last, got",
    ),
    "nothing like it": ("mol2vec: {q: 3}", "mol2vec: q is no setting; known here: dimensions, epochs"),
    "setting of other data": ("data: {lincs_cells: {make: {n: 3}}}", "data.lincs_cells.make: n is no setting"),
    # YAML's traps.
    "1e-4": ("training: {learning_rate: 1e-4}", 'training.learning_rate: "1e-4" is text to YAML; write it as '),
    "1e-7 in a grid": (
        "families: {simulation: {grids: {step1: {beta: [1e-7]}}}}",
        'families.simulation.grids.step1.beta.0: "1e-7" is text to YAML; write it as 1.0e-07',
    ),
    "quoted number": ("probe: {max_iter: '200'}", 'probe.max_iter: "200" is text to YAML'),
    # Wrong kind.
    "word for a number": ("training: {learning_rate: fast}", "training.learning_rate: ", "got 'fast'"),
    "word for an integer": ("stack_size: many", "stack_size: ", "got 'many'"),
    "part of an integer": ("stack_size: 2.5", "stack_size: ", "integer", "got 2.5"),
    "yes for a number": ("training: {epochs: true}", "training.epochs: ", "got True"),
    "number for a list": ("retrieval: {top: 3}", "retrieval.top: ", "list", "got 3"),
    "word for a list": ("datasets: simulation", "datasets: ", "list", "got 'simulation'"),
    "number for a mapping": ("data: {simulation: 3}", "data.simulation", "got 3"),
    "nothing for a mapping": ("training: null", "training: ", "got None"),
    # Out of range.
    "zero": ("stack_size: 0", "stack_size: ", "greater than or equal to 1, got 0"),
    "below": ("training: {temperature: 0.001}", "training.temperature: ", "0.025, got 0.001"),
    "above": (
        "families: {screen: {scaling: {view1: {clip_quantile: 0.7}}}}",
        "families.screen.scaling.view1.clip_quantile: ",
        "less than 0.5, got 0.7",
    ),
    "negative in a grid": (
        "families: {simulation: {grids: {step1: {beta: [0, -1]}}}}",
        "families.simulation.grids.step1.beta.1: ",
        "greater than or equal to 0, got -1",
    ),
    "negative seed": ("families: {screen: {seeds: [0, -1]}}", "families.screen.seeds.1: ", "got -1"),
    "no seed": ("families: {screen: {seeds: []}}", "families.screen.seeds: ", "at least 1"),
    "no data set": ("datasets: []", "datasets: ", "at least 1"),
    "NaN": ("training: {learning_rate: .nan}", "training.learning_rate: ", "finite", "got nan"),
    "infinity": ("training: {kappa: .inf}", "training.kappa: ", "finite", "got inf"),
    "NaN in a grid": (
        "families: {simulation: {grids: {step1: {beta: [.nan]}}}}",
        "families.simulation.grids.step1.beta.0: ",
        "finite",
        "got nan",
    ),
    # None of the words that may stand there.
    "no such device": ("device: gpu", "device: ", "'auto', 'cpu' or 'cuda', got 'gpu'"),
    "no such stage": ("stages: {step3: {}}", "stages: step3 is no setting; did you mean step2?"),
    "no such axis": (
        "families: {simulation: {grids: {step1: {bta: [1]}}}}",
        "families.simulation.grids.step1.bta: ",
        "'beta', 'a' or 'lam', got 'bta'",
    ),
    "no such word in a grid": (
        "families: {screen: {grids: {step2: {beta: [selectd], lam: [1]}}}}",
        "families.screen.grids.step2.beta.0: ",
        "selected",
        "got 'selectd'",
    ),
    "no such variant": (
        "data: {simulation: {make: {variant: mixd}}}",
        "data.simulation.make.variant: ",
        "'mixed'",
        "got 'mixd'",
    ),
    "no such screen": (
        "data: {mine: {source: screen, make: {screen: lincs_cell}}}",
        "data.mine.make.screen: input should be 'lincs_consensus', 'lincs_cells', 'cell_injury', 'lincs', 'rxrx19a' or",
        "'own', got 'lincs_cell'; correct it",
    ),
    "no screen": ("data: {mine: {source: screen, make: {seed: 0}}}", "data.mine.make.screen: ", "got None"),
    "typo in a screen's make": (
        "data: {lincs: {make: {hour: [24]}}}",
        "data.lincs.make: hour is no setting; did you mean hours?",
    ),
    "setting of another screen": (
        "data: {lincs: {make: {molecules: 30}}}",
        "data.lincs.make: molecules is no setting; known here: clip, dose, group, hours, minimum_controls, ",
    ),
    "setting of LINCS for a bundled screen": (
        "data: {lincs_cells: {make: {route: geo}}}",
        "data.lincs_cells.make: route is no setting; known here: molecules, screen, seed, shuffled, ",
    ),
    "no such route": ("data: {lincs: {make: {route: gee}}}", "data.lincs.make.route: ", "'curated', got 'gee'"),
    "no such profile": (
        "data: {rxrx19a: {make: {profile: well}}}",
        "data.rxrx19a.make.profile: ",
        "'wells', got 'well'",
    ),
    "no such time": ("data: {lincs: {make: {hours: []}}}", "data.lincs.make.hours: ", "at least 1 item"),
    "no such source": ("data: {mine: {source: screens}}", "data.mine", "'screen'", "'screens'"),
    # Something lacks.
    "no source": ("data: {mine: {make: {}}}", "data.mine", "source"),
    "no make": ("data: {mine: {source: screen}}", "data.mine.make: is missing; add it"),
    "data set not defined": ("datasets: [simulaton]", "datasets: simulaton is not defined", "did you mean simulation?"),
    # Things that do not go together.
    "step 2 from a beta that step 1 lacks": (
        "datasets: [simulation]\ndata: {simulation: {grids: {step2: {beta: [0, 7], lam: [1]}}}}",
        "simulation",
        "grids.step2.beta: 7",
        "is not in grids.step1.beta; add it there",
    ),
    "selected without validation": (
        "datasets: [simulation]\ndata: {simulation: {grids: {step2: {beta: [selected], lam: [1]}}}}",
        "simulation",
        "selected",
        "validation",
    ),
    "selected without a validation part": (
        "datasets: [cell_injury]\nfamilies: {screen: {split: {validation_fraction: 0}}}",
        "cell_injury: split: a screen needs validation molecules",
        "beta and linear rows are chosen on them; split by groups with split.validation_fraction above 0",
    ),
    "simulation split by scaffold": (
        "datasets: [simulation]\nfamilies: {simulation: {split: {kind: scaffold, folds: 2}}}",
        "simulation: split.kind: scaffold is of drug screens; use random",
    ),
    "one fold of scaffolds": (
        "datasets: [cell_injury]\nfamilies: {screen: {split: {kind: scaffold, folds: 1}}}",
        "cell_injury: split.folds: 1 fold is no cross-validation",
    ),
    "a pool of validation and test in folds": (
        "datasets: [cell_injury]\nretrieval: {pool: valtest}",
        "retrieval.pool: is valtest, but in the folds of cell_injury each molecule is tested once already",
        "set it to test, or split with group_holdout",
    ),
    "nothing to leave out": (
        "datasets: [lincs_cells]\ndata: {lincs_cells: {split: {kind: leave_one_out, by: cell_line}}}",
        "lincs_cells: split: leave_one_out of what?; name a description in split.by and in split.values what is left",
    ),
    "a line left out twice": (
        "datasets: [lincs_cells]\n"
        "data: {lincs_cells: {split: {kind: leave_one_out, by: cell_line, values: [PC3, PC3]}}}",
        "lincs_cells: split.values: holds a value twice (PC3, PC3); list each once",
    ),
    "given split of a screen": (
        "datasets: [cell_injury]\nfamilies: {screen: {split: {kind: given}}}",
        "cell_injury: split.kind: given is of MultiBench and of your own data, whose sources say who is tested; use",
    ),
    "own data named as a folder of the results": (
        "datasets: [logs]\ndata: {logs: {source: screen, make: {screen: own, path: mine}}}",
        "data.logs: is the name of another folder; rename it",
    ),
    "own data named as the folder beside the paper": (
        "datasets: [paper]\ndata: {paper: {source: screen, make: {screen: own, path: mine}}}",
        "data.paper: is the name of another folder; rename it",
    ),
    "own data where results are put": (
        "results: results/my\ndatasets: [mine]\n"
        "data: {mine: {source: screen, make: {screen: own, path: ./results/my/mine/data/}}}",
        "mine: make.path: ./results/my/mine/data/ is where the workflow puts what it has read; keep your folder",
    ),
    "own data without a folder": (
        "data: {mine: {source: multibench, make: {set: own}}}",
        "data.mine.make.path: is missing",
    ),
    "own data by a setting of bundled data": (
        "data: {mine: {source: multibench, make: {set: own, path: mine, pth: 1}}}",
        "data.mine.make: pth is no setting; did you mean path?",
    ),
    "unknown set of MultiBench": (
        "data: {mine: {source: multibench, make: {set: mine, path: mine}}}",
        "data.mine.make.set: input should be 'mfeat', ",
        "or 'own', got 'mine'; correct it",
    ),
    "own views by a split that is not of them": (
        "datasets: [mine]\ndata: {mine: {source: multibench, make: {set: own, path: m}, split: {kind: random}}}",
        "mine: split.kind: random is not of MultiBench; use one of given, group_folds, group_holdout",
    ),
    "MultiBench split by pairs": (
        "datasets: [mfeat]\nfamilies: {multibench: {split: {kind: random}}}",
        "mfeat: split.kind: random is not of MultiBench; use one of given, group_folds, group_holdout",
    ),
    "two views that are one": (
        "datasets: [mfeat]\ndata: {mfeat: {make: {view1: zer}}}",
        "mfeat: make.view2: zer is view 1 already; use another",
    ),
    "width that cannot be halved": (
        "datasets: [mfeat]\ndata: {mfeat: {training: {dimensions: 5}}}",
        "mfeat: training.dimensions: 5 cannot be halved, as widths: concatenation asks; use an even number",
    ),
    "beta chosen without a screen": (
        "datasets: [mfeat]\ndata: {mfeat: {grids: {step2: {beta: [selected], lam: [0.1]}}}}",
        "mfeat: grids.step2.beta: selected needs validation molecules, which only a screen has; list numbers",
    ),
    "screen split by pairs": (
        "datasets: [cell_injury]\nfamilies: {screen: {split: {kind: random}}}",
        "cell_injury: split: a screen needs validation molecules",
        "; split by groups with split.validation_fraction above 0",
    ),
    "reading without its data set": (
        "datasets: [simulation_mixed, mine]\ndata: {mine: {source: simulation, reading: mine, make: "
        "{variant: entangled, n: 90000, data_seeds: [0], noise: 0}}}",
        "mine: reading: there is nothing to compare it with; list the data set it departs from, with the same make",
    ),
    "reading of readings": (
        "datasets: [simulation]\ndata: {simulation: {reading: mine}}",
        "simulation: reading: there is nothing to compare it with",
    ),
    "reading that says nothing": (
        "data: {simulation: {reading: ''}}",
        "data.simulation.reading: ",
    ),
    "two readings that say the same": (
        "datasets: [simulation, one, two]\ndata: {one: &mine {source: simulation, reading: mine, make: "
        "{variant: entangled, n: 90000, data_seeds: [0], noise: 0}}, two: *mine}",
        "two: reading: says the same as that of one; say how it departs",
    ),
    "too few noisy pairs": (
        "datasets: [simulation_noisy]\ndata: {simulation_noisy: {make: {n: 200}}}",
        "simulation_noisy: make.n: 200 pairs are too few for the information plane; use 1000 or more",
    ),
    "one fold": (
        "datasets: [cell_injury]\nfamilies: {screen: {split: {folds: 1}}}",
        "cell_injury: split.folds: 1 fold is no cross-validation; use 2 or more, or group_holdout",
    ),
    "seed twice": (
        "datasets: [simulation]\nfamilies: {simulation: {seeds: [0, 1, 0]}}",
        "simulation: seeds: holds a value twice (0, 1, 0); list each once",
    ),
    "value twice": (
        "datasets: [simulation]\ndata: {simulation: {grids: {step2: {beta: [1, 5, 1.0], lam: [1]}}}}",
        "simulation: grids.step2.beta: holds a value twice",
        "; list each once",
    ),
    "files placed by hand among the downloads": (
        "downloads: {by_hand: ./downloads}",
        "downloads.by_hand: is downloads.folder itself, where a wrong file is fetched again; name a folder of its own",
    ),
    "proxy with a password": (
        "downloads: {proxy: 'http://me:secret@proxy:3128'}",
        "downloads.proxy: names a user, and the config is copied into the results; put the proxy in HTTPS_PROXY",
    ),
    "proxy without http": ("downloads: {proxy: 'proxy:3128'}", "downloads.proxy: ", "got 'proxy:3128'"),
    "route without its table": (
        "datasets: [rxrx19a_file]\ndata: {rxrx19a_file: {make: {table: null}}}",
        "rxrx19a_file: make.table: is null with route: file; give it as in config.yaml",
    ),
    "route without its segmentation": (
        "datasets: [rxrx19a]\ndata: {rxrx19a: {make: {route: cellprofiler}}}",
        "rxrx19a: make.segmentation: is null with route: cellprofiler; give it as in config.yaml",
    ),
    "diameters in the wrong order": (
        "datasets: [rxrx19a_cellprofiler]\n"
        "data: {rxrx19a_cellprofiler: {make: {segmentation: {diameter: [60, 12.5]}}}}",
        "make.segmentation.diameter: ends (12.5) where it begins (60), or before; give the least first",
    ),
    "data set twice": ("datasets: [simulation, simulation]", "datasets: simulation is listed twice; list it once"),
    "selected in step 1": (
        "datasets: [lincs_cells]\nfamilies: {screen: {grids: {step1: {beta: [0, 1, 5, selected]}}}}",
        "lincs_cells",
        "grids.step1.beta: holds selected; list numbers",
    ),
    "axis of another stage": (
        "datasets: [lincs_cells]\nfamilies: {screen: {grids: {clip: {beta: [0]}}}}",
        "lincs_cells",
        "grids.clip: has the axes ['beta']",
    ),
    "selected in another stage": (
        "datasets: [simulation]\ndata: {simulation: {grids: {jointopt: {a: [1, selected], lam: [1]}}}}",
        "simulation: grids.jointopt.a: holds selected; list numbers",
    ),
    "selected lam": (
        "datasets: [lincs_cells]\nfamilies: {screen: {grids: {step2: {beta: [1], lam: [selected]}}}}",
        "lincs_cells: grids.step2.lam: holds selected; list numbers",
    ),
    "FactorCL of a simulation": (
        "datasets: [simulation]\nfamilies: {simulation: {grids: {factorcl: {}}}}",
        "simulation: grids.factorcl: is not for a simulation, where zc and zs are measured: FactorCL has neither; "
        "take it out",
    ),
    "FactorCL of a screen": (
        "datasets: [lincs_cells]\ndata: {lincs_cells: {grids: {factorcl: {}}}}",
        "lincs_cells: grids.factorcl: is not for a screen",
    ),
    "width that five heads cannot share": (
        "datasets: [mfeat]\ndata: {mfeat: {training: {dimensions: 64}}}",
        "mfeat: training.dimensions: 64 cannot be divided among the 5 projection heads of a view; "
        "use a multiple of 5, or stages.factorcl.head_width: kept",
    ),
    "axis too few": (
        "datasets: [simulation_mixed]\ndata: {simulation_mixed: {grids: {focal: {a: [1]}}}}",
        "simulation_mixed: grids.focal: has the axes ['a'], but focal has ['a', 'lam']; correct the axes",
    ),
    "axis of another method": (
        "datasets: [simulation]\ndata: {simulation: {grids: {dmvae: {a: [1], lam: [1]}}}}",
        "simulation: grids.dmvae: has the axes ['a', 'lam'], but dmvae has ['lam']; correct the axes",
    ),
    "a twice": (
        "datasets: [simulation]\ndata: {simulation: {grids: {focal: {a: [1, 1.0], lam: [1]}}}}",
        "simulation: grids.focal.a: holds a value twice",
    ),
    "no stage left": (
        "datasets: [simulation_mixed]\nfamilies: {simulation: {grids: {step1: null}}}",
        "simulation_mixed: grids: has no stage left; leave one that is not null",
    ),
    "step 1 taken out and step 2 left": (
        "datasets: [simulation]\n"
        "data: {simulation: {grids: {step1: null, step2: {beta: [1], lam: [1]}}}}",
        "simulation: grids.step2.beta: 1 is not in grids.step1.beta; add it there",
    ),
    "null for the values of an axis": (
        "data: {simulation: {grids: {jointopt: {a: null}}}}",
        "data.simulation.grids.jointopt.a: ",
        "list",
        "got None",
    ),
    "no such stage in a grid": (
        "data: {simulation: {grids: {jointop: null}}}",
        "data.simulation.grids.jointop: ",
        "'jointopt'",
        "got 'jointop'",
    ),
    # Settings by stage.
    "typo in a stage": (
        "stages: {jointopt: {normalizer: true}}",
        "stages.jointopt: normalizer is no setting; did you mean normaliser?",
    ),
    "setting of another stage": (
        "stages: {clip: {kappa: 3}}",
        "stages.clip: kappa is no setting; known here: augmentation, batch_size, ",
    ),
    "setting of another stage in a family": (
        "families: {screen: {stages: {focal: {orthogonality: rows}}}}",
        "families.screen.stages.focal: orthogonality is no setting; known here: ",
    ),
    "setting of another stage in a data set": (
        "data: {simulation: {stages: {step1: {orthogonality: rows}}}}",
        "data.simulation.stages.step1: orthogonality is no setting; known here: ",
    ),
    "setting of one stage for all": (
        "training: {normaliser: true}",
        "training: normaliser is no setting; known here: ",
    ),
    "no such cosine": ("stages: {focal: {cosine: hing}}", "stages.focal.cosine: ", "'signed' or 'hinge', got 'hing'"),
    "no such divergence": (
        "data: {simulation: {stages: {dmvae: {cross_kl: mine}}}}",
        "data.simulation.stages.dmvae.cross_kl: ",
        "'own' or 'as_published', got 'mine'",
    ),
    "number for a yes or no": ("stages: {dmvae: {prior_expert: 1}}", "stages.dmvae.prior_expert: ", "boolean, got 1"),
    "null for a stage's settings": ("stages: {focal: null}", "stages.focal: ", "got None"),
    "null for a setting of a stage": (
        "stages: {jointopt: {normaliser: null}}",
        "stages.jointopt.normaliser: ",
        "got None",
    ),
    "empty grid": (
        "datasets: [simulation]\nfamilies: {simulation: {grids: {step1: {beta: []}}}}",
        "grids.step1.beta",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE_MISTAKE.values(), ids=ONE_MISTAKE)
def test_one_mistake_is_one_sentence(sentences, case):
    overlay, *parts = case
    (sentence,) = sentences(overlay)
    assert all(part in sentence for part in parts), sentence
    problem, _, mend = sentence.rpartition("; ")
    assert problem and mend and sentence.endswith((".", "?")), "what is wrong; what to do"


@pytest.mark.parametrize("case", ONE_MISTAKE.values(), ids=ONE_MISTAKE)
def test_the_file_with_the_mistake_is_named(sentences, case):
    for sentence in sentences(case[0]):
        assert Path(sentence.split(": ")[0]).name == "overlay0.yaml", sentence


@pytest.mark.parametrize(
    ("overlay", "number"),
    [
        ("threads: '2'", 2),
        ("training: {layers: 1e1}", 10),
        ("training: {epochs: '30'}", 30),
        ("training: {learning_rate: 1e-4}", 1e-4),
        ("training: {learning_rate: 1e-7}", 1e-7),
        ("training: {weight_std: '0.1'}", 0.1),
        ("training: {kappa: 1e3}", 1000),
        ("families: {screen: {scaling: {view1: {clip_quantile: 1e-3}}}}", 1e-3),
    ],
)
def test_who_follows_the_advice_is_not_refused_again(sentences, tmp_path, overlay, number):
    """2.0e+00 would be no integer, and 1e-7 is text."""
    (sentence,) = sentences(overlay)
    advised = sentence.split("write it as ")[1].split(" or ")[0].rstrip(".")
    assert yaml.safe_load(advised) == number
    load(overlay.replace("'", "").replace(overlay.split(": ")[-1].strip("}'"), advised), tmp_path=tmp_path)


def test_a_key_is_not_proposed_where_it_is_refused(sentences):
    (sentence,) = sentences("data: {lincs_cells: {make: {n: 3}}}")
    assert "did you mean n?" not in sentence


def test_several_mistakes_are_named_at_once(sentences):
    found = sentences("stack_siz: 3\ntraining: {epochs: 0, learning_rate: 1e-4}\nprobe: {solvr: lbfgs}")
    assert len(found) == 4
    for parts in (("stack_siz", "stack_size"), ("training.epochs", "got 0"), ("1e-4",), ("probe: solvr", "solver")):
        assert any(all(part in sentence for part in parts) for sentence in found), parts


def test_several_crossed_mistakes_are_named_at_once(sentences):
    found = sentences(
        "datasets: [simulation, simulaton, lincs_cells]\n"
        "data: {simulation: {grids: {step2: {beta: [7, 8], lam: [1]}}}}\n"
        "families: {screen: {split: {validation_fraction: 0}}}"
    )
    for part in ("simulaton is not defined", "7", "8", "lincs_cells"):
        assert any(part in sentence for sentence in found), part


def test_missing_settings_are_all_named():
    content = yaml.safe_load(FULL.read_text())
    del content["probe"], content["training"]["epochs"]
    with pytest.raises(ConfigErrors) as error:
        load_config(content, [FULL])
    assert sorted(sentence.split(": ")[1] for sentence in str(error.value).splitlines()) == ["probe", "training.epochs"]


def test_an_empty_config_is_told_what_it_lacks():
    with pytest.raises(ConfigErrors) as error:
        load_config({}, [])
    assert "datasets: is missing; add it" in str(error.value)


def test_later_file_is_named_when_it_overrides(sentences):
    (sentence,) = sentences("stack_size: 5", "stack_size: 0")
    assert "overlay1.yaml: stack_size" in sentence
    (sentence,) = sentences("stack_size: 0", "threads: 1")
    assert "overlay0.yaml: stack_size" in sentence


def test_file_is_named_as_seen_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        load("stack_size: 0", tmp_path=tmp_path)
    assert str(error.value).startswith("overlay0.yaml: stack_size: ")


def test_checking_does_not_change_the_config_it_was_given():
    content = yaml.safe_load(FULL.read_text())
    load_config(content, [FULL])
    assert content == yaml.safe_load(FULL.read_text())


# Who wins

LAYERS = [
    "training: {hidden: 1}",
    "stages: {step2: {hidden: 2}}",
    "families: {simulation: {training: {hidden: 3}}}",
    "families: {simulation: {stages: {step2: {hidden: 4}}}}",
    "data: {simulation: {training: {hidden: 5}}}",
    "data: {simulation: {stages: {step2: {hidden: 6}}}}",
]


@pytest.mark.parametrize("above", range(len(LAYERS)))
@pytest.mark.parametrize("below", range(len(LAYERS)))
def test_precedence_of_training_settings(tmp_path, below, above):
    """General < stage < family < stage of the family < data set < stage of the data set, in whatever order written."""
    config = load(LAYERS[above], LAYERS[below], tmp_path=tmp_path)
    assert config.training_of("simulation", "step2").hidden == max(below, above) + 1


def test_overrides_reach_nobody_else(tmp_path):
    config = load(*LAYERS, tmp_path=tmp_path)
    for stage in STAGES:
        hidden = {
            name: config.training_of(name, stage).hidden for name in ("simulation", "simulation_noisy", "lincs_cells")
        }
        own = stage == "step2"
        assert hidden == {"simulation": 5 + own, "simulation_noisy": 3 + own, "lincs_cells": 2560}, stage


# Settings by stage


def test_every_stage_gets_its_own_settings_and_no_others():
    config = load()
    for dataset in config.datasets:
        for stage in config.grids(dataset):
            found = config.training_of(dataset, stage)
            assert type(found) is STAGE_SETTINGS[stage]
    step1 = config.training_of("simulation", "step1").model_dump()
    assert step1["kappa"] == 1000 and "orthogonality" not in step1
    jointopt = config.training_of("simulation", "jointopt")
    assert (jointopt.normaliser, jointopt.kappa, jointopt.orthogonality) == (True, 1000, "rows")
    assert config.training_of("simulation", "focal").cosine == "signed"
    dmvae = config.training_of("simulation", "dmvae").model_dump()
    assert (dmvae["prior_expert"], dmvae["cross_kl"], dmvae["info_nce_weight"]) == (False, "own", 0)
    assert not {"kappa", "orthogonality", "normaliser", "cosine"} & set(dmvae)


# Who is trained again: stages whose settings change with one value.
REACHES = {
    "training: {orthogonality: columns}": {"step2", "jointopt"},
    "training: {kappa: 10}": {"step1", "jointopt"},
    "training: {temperature: 0.2}": set(STAGES) - {"factorcl"},  # which has none
    "training: {epochs: 3}": set(STAGES) - {"step2"},  # which has epochs of its own
    "families: {simulation: {training: {orthogonality: columns}}}": {"step2", "jointopt"},
    "data: {simulation: {training: {kappa: 10}}}": {"step1", "jointopt"},
    "stages: {jointopt: {normaliser: false}}": {"jointopt"},
    "stages: {jointopt: {orthogonality: columns}}": {"jointopt"},
    "families: {simulation: {stages: {focal: {cosine: hinge}}}}": {"focal"},
    "data: {simulation: {stages: {dmvae: {cross_kl: as_published}}}}": {"dmvae"},
    "data: {simulation: {stages: {dmvae: {info_nce_weight: 1}}}}": {"dmvae"},
    "stages: {factorcl: {critic_hidden: 64}}": {"factorcl"},
    "data: {simulation_noisy: {training: {kappa: 10}}}": set(),
    "families: {screen: {training: {temperature: 0.2}}}": set(),
}


@pytest.mark.parametrize("overlay", REACHES)
def test_a_changed_value_changes_the_stages_that_use_it(tmp_path, overlay):
    before, after = load(), load(overlay, tmp_path=tmp_path)
    changed = {
        stage for stage in STAGES if before.training_of("simulation", stage) != after.training_of("simulation", stage)
    }
    assert changed == REACHES[overlay]


def test_factorcl_as_published(tmp_path):
    """Forty dimensions and heads as wide; D need not be a multiple of the heads then."""
    overlay = "data: {mfeat: {training: {dimensions: 62}, stages: {factorcl: {dimensions: 40, head_width: kept}}}}"
    config = load("datasets: [mfeat]", overlay, tmp_path=tmp_path)
    found = config.training_of("mfeat", "factorcl")
    assert (found.dimensions, found.head_width) == (40, "kept")
    assert config.training_of("mfeat", "clip").dimensions == 62


def test_factorcls_embedding_is_as_wide_as_clips_code():
    found = load().training_of("mfeat", "factorcl")
    assert found.dimensions == load().training_of("mfeat", "clip").dimensions


OWN_LAYERS = [
    "stages: {dmvae: {info_nce_weight: 1}}",
    "families: {simulation: {stages: {dmvae: {info_nce_weight: 2}}}}",
    "data: {simulation: {stages: {dmvae: {info_nce_weight: 3}}}}",
]


@pytest.mark.parametrize("above", range(len(OWN_LAYERS)))
@pytest.mark.parametrize("below", range(len(OWN_LAYERS)))
def test_precedence_of_a_setting_that_one_stage_has(tmp_path, below, above):
    config = load(OWN_LAYERS[above], OWN_LAYERS[below], tmp_path=tmp_path)
    assert config.training_of("simulation", "dmvae").info_nce_weight == max(below, above) + 1
    assert config.training_of("simulation", "dmvae").cross_kl == "own"


@pytest.mark.parametrize(
    ("stage", "name"),
    [("focal", "cosine"), ("jointopt", "normaliser"), ("dmvae", "prior_expert"), ("dmvae", "info_nce_weight")],
)
def test_missing_setting_of_a_stage_is_one_sentence(tmp_path, stage, name):
    """No model can demand it: it is asked for where the stage is trained, and nowhere else."""
    content = yaml.safe_load(FULL.read_text()) | {"datasets": ["simulation"]}
    del content["stages"][stage][name]
    with pytest.raises(InputError) as error:
        load_config(content, [FULL])
    (sentence,) = str(error.value).splitlines()
    assert f"simulation: stages.{stage}.{name}: is missing; add it; config.yaml shows every setting." in sentence
    content["data"]["simulation"]["grids"][stage] = None
    load_config(content, [FULL])
    content["data"]["simulation"]["grids"].pop(stage)
    load_config(content, [FULL])


def test_a_setting_may_be_given_for_one_data_set_alone():
    content = yaml.safe_load(FULL.read_text()) | {"datasets": ["simulation"]}
    content["data"]["simulation"]["stages"] = {"focal": {"cosine": content["stages"]["focal"].pop("cosine")}}
    assert load_config(content, [FULL]).training_of("simulation", "focal").cosine == "signed"


# Stages taken out


def test_null_takes_a_stage_out(tmp_path):
    config = load("data: {simulation: {grids: {focal: null, dmvae: null}}}", tmp_path=tmp_path)
    assert list(config.family("simulation").grids) == list(config.grids("simulation")) == ["step1", "step2", "jointopt"]


def test_null_of_a_data_set_takes_a_stage_of_its_family_out(tmp_path):
    config = load("data: {lincs_cells: {grids: {clip: null}}}", tmp_path=tmp_path)
    baselines = ["jointopt", "focal", "dmvae"]
    assert list(config.family("lincs_cells").grids) == ["step1", "step2", *baselines]
    assert list(config.family("cell_injury").grids) == ["clip", "step1", "step2", *baselines]


def test_null_of_a_family_takes_a_stage_out_of_every_data_set_without_its_own(tmp_path):
    overlay = "families: {screen: {grids: {step2: null}}}\ndata: {cell_injury: {grids: {step2: {beta: [0], lam: [1]}}}}"
    config = load(overlay, tmp_path=tmp_path)
    assert "step2" not in config.family("lincs_cells").grids
    assert config.family("cell_injury").grids["step2"] == {"beta": [0], "lam": [1]}


def test_a_later_overlay_brings_a_stage_back(tmp_path):
    out, back = (f"data: {{simulation: {{grids: {{dmvae: {grid}}}}}}}" for grid in ("null", "{lam: [5]}"))
    assert load(out, back, tmp_path=tmp_path).family("simulation").grids["dmvae"] == {"lam": [5]}
    assert "dmvae" not in load(back, out, tmp_path=tmp_path).family("simulation").grids


def test_override_of_one_setting_keeps_the_others(tmp_path):
    config = load("data: {simulation: {stages: {step2: {augmentation: {noise_std: 0.5}}}}}", tmp_path=tmp_path)
    own = config.training_of("simulation", "step2").augmentation
    assert (own.noise_std, own.drop_fraction) == (0.5, 0.1)
    assert config.training_of("simulation", "step1").augmentation.noise_std == 0.01


TRANSFORMER = (
    "{network: transformer, width: null, layers: 5, heads: 5, feedforward: 2048, dropout: 0.1, readout: last_step, "
    "augmentation: {noise_std: 0.1, drop_fraction: 0.2}}"
)
GRU = "{network: gru, hidden: 30, per_step: 15, augmentation: {noise_std: 0.1, drop_fraction: 0.2}}"


def test_encoders_of_sequences_are_overridden_whole(tmp_path):
    four_heads = TRANSFORMER.replace("heads: 5", "heads: 4")
    overlay = (
        f"training: {{dimensions: 300, sequences: {four_heads}}}\n"
        f"data: {{simulation: {{training: {{sequences: {GRU}}}}}, cell_injury: {{training: {{sequences: null}}}}}}"
    )
    config = load(overlay, tmp_path=tmp_path)
    own = config.training_of("simulation", "step1").sequences
    assert own.model_dump() == yaml.safe_load(GRU)
    assert config.training_of("cell_injury", "step1").sequences is None
    other = config.training_of("simulation_noisy", "step1").sequences
    assert other.model_dump() == yaml.safe_load(four_heads) | {"width": 300}


def test_a_transformer_is_as_wide_as_a_views_codes_together(tmp_path):
    overlay = f"data: {{mfeat: {{training: {{dimensions: 100, sequences: {TRANSFORMER}}}}}}}"
    config = load(overlay, tmp_path=tmp_path)
    for stage, code in (("step1", 50), ("clip", 100)):
        settings = config.training_of("mfeat", stage)
        assert (settings.dimensions, settings.sequences.width) == (code, 100)
    wider = load(overlay.replace("width: null", "width: 60"), tmp_path=tmp_path)
    assert wider.training_of("mfeat", "step1").sequences.width == 60


def test_heads_that_do_not_divide_the_width_are_one_sentence(sentences):
    four = TRANSFORMER.replace("heads: 5", "heads: 4")
    (found,) = sentences(f"data: {{mfeat: {{training: {{dimensions: 70, sequences: {four}}}}}}}")
    assert found.endswith("mfeat: training.sequences.heads: 4 do not divide the width 70; use a multiple of 4.")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ("mosi: {training: {sequences: null}}", "mosi: training.sequences: is null"),
        ("mosi: {grids: {dmvae: {lam: [1]}}}", "mosi: grids.dmvae: mosi holds sequences"),
        (
            "mosi: {grids: {factorcl: null}, training: {dimensions: 200, sequences: {width: 300}}}",
            "mosi: training.dimensions: is 200, but the code of clip",
        ),
        (
            "mimic: {grids: {clip: null}, training: {dimensions: 300}}",
            "the code of factorcl is what the gru puts out, 360",
        ),
        ("mosi: {scaling: {view1: {unit_norm: true}}}", "mosi: scaling.view1.unit_norm: is set"),
        ("mimic: {scaling: {view2: {clip: 3}}}", "mimic: scaling.view2.clip: is set"),
        ("mosi: {split: {kind: group_holdout}}", "mosi: split.kind: group_holdout"),
    ],
)
def test_what_sequences_cannot_be_trained_with_is_told_before_they_are_fetched(sentences, data, place):
    (found,) = sentences(f"datasets: [mosi, mimic]\ndata: {{{data}}}")
    assert place in found


def test_a_view_that_is_not_a_sequence_is_scaled_as_any(tmp_path):
    config = load("datasets: [mimic]\ndata: {mimic: {scaling: {view1: {clip: 3}}}}", tmp_path=tmp_path)
    assert config.family("mimic").scaling.view1.clip == 3


def test_a_network_that_is_none_is_one_sentence(sentences):
    (found,) = sentences("training: {sequences: {network: lstm}}")
    assert found.endswith("training.sequences.network: input should be 'transformer' or 'gru', got 'lstm'; correct it.")


def test_decoders_of_a_screen_override_those_of_all(tmp_path):
    config = load("decoders: {epochs: 7}\ndata: {cell_injury: {decoders: {hidden: 5}}}", tmp_path=tmp_path)
    own, other = config.decoders_of("cell_injury"), config.decoders_of("lincs_consensus")
    assert (own.epochs, own.hidden, own.patience) == (7, 5, config.decoders.patience)
    assert (other.epochs, other.hidden) == (7, 512)


def test_null_overrides_where_null_is_a_value(tmp_path):
    config = load(
        "training: {augmentation: {dimensions: 7}}\ndata: {simulation: {training: {augmentation: {dimensions: null}}}}",
        tmp_path=tmp_path,
    )
    assert config.training_of("simulation", "step1").augmentation.dimensions is None
    assert config.training_of("simulation_noisy", "step1").augmentation.dimensions == 7


def test_mixed_data_augments_their_first_85_dimensions():
    config = load()
    assert config.training_of("simulation_mixed", "step2").augmentation.dimensions == 85
    assert config.training_of("simulation", "step2").augmentation.dimensions is None


def test_data_set_overrides_its_family(tmp_path):
    config = load("data: {lincs_cells: {seeds: [7], split: {folds: 3}}}", tmp_path=tmp_path)
    own, other = config.family("lincs_cells"), config.family("cell_injury")
    assert (own.seeds, own.split.folds, own.split.validation_fraction) == ([7], 3, 0.1)
    assert (other.seeds, other.split.folds) == ([0, 1, 2], 5)
    consensus = config.family("lincs_consensus").scaling
    assert consensus.view1.unit_norm and not other.scaling.view1.unit_norm and consensus.view2 == other.scaling.view2


def test_grid_of_a_data_set_replaces_that_of_its_family(tmp_path):
    config = load("data: {simulation: {grids: {step2: {beta: [1], lam: [5]}}}}", tmp_path=tmp_path)
    grids = config.family("simulation").grids
    assert grids["step2"] == {"beta": [1], "lam": [5]}
    assert grids["step1"] == config.family("simulation_noisy").grids["step1"]


def test_folds(tmp_path):
    config = load("families: {screen: {split: {folds: 4, use_folds: 2}}}", tmp_path=tmp_path)
    assert (config.folds("lincs_cells"), config.used_folds("lincs_cells")) == (4, 2)
    assert (config.folds("simulation"), config.used_folds("simulation")) == (1, 1)
    config = load("families: {screen: {split: {folds: 4, use_folds: 9}}}", tmp_path=tmp_path)
    assert config.used_folds("lincs_cells") == 4
    config = load("families: {screen: {split: {kind: group_holdout, folds: 4}}}", tmp_path=tmp_path)
    assert config.folds("lincs_cells") == 1
    config = load("families: {screen: {split: {kind: scaffold, folds: 4}}}", tmp_path=tmp_path)
    assert config.folds("lincs_cells") == 4
    left_out = "{kind: leave_one_out, by: cell_line, values: [PC3, MCF7], use_folds: 1}"
    config = load(f"data: {{lincs_cells: {{split: {left_out}}}}}", tmp_path=tmp_path)
    assert (config.folds("lincs_cells"), config.used_folds("lincs_cells")) == (2, 1)
    assert config.family("lincs_consensus").split.values is None


# Transfer


def test_transfer_is_measured_where_both_screens_are_run(tmp_path):
    assert load().transfers() == {"lincs_cells": "lincs_consensus"}
    assert load("datasets: [lincs_cells]", tmp_path=tmp_path).transfers() == {}
    assert load("data: {lincs_cells: {transfer_from: null}}", tmp_path=tmp_path).transfers() == {}


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        ("data: {lincs_cells: {transfer_from: lincs_cells}}", "lincs_cells is no other screen under data; name one"),
        ("data: {lincs_cells: {transfer_from: simulation}}", "simulation is no other screen under data; name one"),
        ("data: {lincs_cells: {transfer_from: nothing}}", "nothing is no other screen under data; name one"),
        (
            "data: {lincs_consensus: {scaling: {view1: {statistics: all}}}}",
            "lincs_consensus is scaled by statistics of all rows, and this screen's would be among them; set its",
        ),
    ],
)
def test_screens_that_nothing_can_be_transferred_from(sentences, overlay, said):
    (sentence,) = sentences(overlay)
    assert f"lincs_cells: transfer_from: {said}" in sentence


# Readings

READING = "{source: simulation, reading: %s, make: {variant: entangled, n: %d, data_seeds: [0], noise: 0}}"


def with_readings(tmp_path, datasets: str, **more: str) -> Config:
    data = {"first": READING % ("first", 90000), "second": READING % ("second", 90000), **more}
    definitions = "".join(f"  {name}: {text}\n" for name, text in data.items())
    return load(f"datasets: [{datasets}]\ndata:\n{definitions}", tmp_path=tmp_path)


def test_readings_are_compared_with_the_first_data_set_of_the_same_make(tmp_path):
    plain = READING.replace("reading: %s, ", "")
    config = with_readings(
        tmp_path,
        "second, small, simulation_mixed, simulation, again, first, of_small, lincs_cells",
        again=plain % 90000, small=plain % 80000, of_small=READING % ("of small", 80000),
    )  # fmt: skip
    assert config.readings() == {"simulation": ["second", "first"], "small": ["of_small"]}
    # The order of the list says which is first.
    config = with_readings(tmp_path, "again, first, simulation", again=plain % 90000)
    assert config.readings() == {"again": ["first"]}


def test_readings_that_are_not_run_are_not_compared(tmp_path):
    assert with_readings(tmp_path, "simulation, second").readings() == {"simulation": ["second"]}
    assert with_readings(tmp_path, "simulation, lincs_cells").readings() == {}


def test_readings_are_of_the_data_and_in_the_folder_of_the_preset_before_them():
    middle, both = (
        load(*(REPOSITORY / "config" / f"{name}.yaml" for name in names))
        for names in (["middle"], ["middle", "readings"])
    )
    assert both.results == middle.results
    assert {stage: both.training_of("simulation", stage) for stage in both.grids("simulation")} == {
        stage: middle.training_of("simulation", stage) for stage in middle.grids("simulation")
    }


def test_readings_of_the_preset():
    config = load(REPOSITORY / "config" / "readings.yaml")
    base, *readings = config.datasets
    assert readings and config.readings() == {base: readings}


def test_what_a_reading_says_of_itself_changes_no_setting(tmp_path):
    config = with_readings(tmp_path, "simulation, first")
    assert config.training_of("first", "step1") == config.training_of("simulation", "step1")


# The schema for editors


def test_schema_file_is_in_step_with_the_code():
    mend = (
        "python -c 'import json; from disentangledssl.config import json_schema; "
        f"print(json.dumps(json_schema(), indent=1))' > {SCHEMA.relative_to(REPOSITORY)}"
    )
    assert SCHEMA.exists() and json.loads(SCHEMA.read_text()) == json_schema(), f"write it anew: {mend}"


def test_schema_accepts_the_full_config_and_refuses_a_typo():
    validator = jsonschema.validators.validator_for(json_schema())(json_schema())
    content = yaml.safe_load(FULL.read_text())
    assert list(validator.iter_errors(content)) == []
    assert list(validator.iter_errors(content | {"stack_siz": 3}))
    assert list(validator.iter_errors(content | {"stack_size": "many"}))


def test_every_setting_is_described_in_the_readme():
    readme = (REPOSITORY / "config" / "README.md").read_text()

    def names(content: Any) -> set[str]:
        return {key for key, value in content.items()} | {
            name for value in content.values() if isinstance(value, dict) for name in names(value)
        }

    content = yaml.safe_load(FULL.read_text())
    content["data"] = {name: {"make": one["make"]} for name, one in content["data"].items()}
    known = names({key: value for key, value in content.items() if key != "data"})
    known |= {name for one in content["data"].values() for name in one["make"]}
    assert [name for name in sorted(known) if f"`{name}" not in readme and f".{name}`" not in readme] == []


# Data of the user's own

OWN = """
datasets: [screen, views]
data:
  screen: {source: screen, make: {screen: own, path: mine}}
  views: {source: multibench, make: {set: own, path: other/mine, title: Mine}}
"""


def test_own_data_have_the_settings_of_their_family(tmp_path):
    config = load(OWN, tmp_path=tmp_path)
    assert [name for name in config.data if config.is_own(name)] == ["screen", "views"]
    assert [config.data[name].make.title for name in config.datasets] == [None, "Mine"]
    assert config.family("screen") == config.family("cell_injury")
    assert config.training_of("screen", "step1") == config.training_of("cell_injury", "step1")
    assert (config.family("screen").split.kind, config.folds("screen")) == ("group_folds", 5)
    assert (config.family("views").split.kind, config.folds("views")) == ("given", 1)


def test_a_given_split_has_as_many_folds_as_the_config_says(tmp_path):
    split = "data: {screen: {split: {kind: given, folds: 3}}, views: {split: {kind: given, folds: 4, use_folds: 2}}}"
    config = load(OWN, split, tmp_path=tmp_path)
    assert [config.folds(name) for name in config.datasets] == [3, 4]
    assert [config.used_folds(name) for name in config.datasets] == [3, 2]
    # The split of a set of MultiBench is one, whatever folds says.
    assert load("data: {mosi: {split: {folds: 4}}}", tmp_path=tmp_path).folds("mosi") == 1
