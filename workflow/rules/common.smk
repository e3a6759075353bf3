# Settings, the plan of stacks, wildcard constraints and input functions. No rules here.
import functools
import json
import re
import sys
from contextlib import contextmanager
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")

# The package of this repository, installed or not.
REPOSITORY = Path(workflow.current_basedir).parent.parent
sys.path.insert(0, str(REPOSITORY / "src"))

try:
    from disentangledssl.config import SCREEN_SPLITS, STAGES, load_config, read_config
    from disentangledssl.errors import InputError, first_few
    from disentangledssl.failed_jobs import sentences
    from disentangledssl.paper.data import changed_data, departures, other_runs, paper_runs
    from disentangledssl.plan import Plan, code, presets_with, run_gb
    from disentangledssl.sources.catalogue import load_catalogue
    from disentangledssl.sources.left_out import lines_of, reason_of, source_of
    from disentangledssl.summary import summary
except ImportError as error:
    raise WorkflowError(
        f"a Python package that this workflow needs is missing ({error}); "
        "install what it needs beside snakemake: pip install -e ."
    )

try:
    # Later files override earlier ones; Snakemake lists config.yaml after those of the command line, and once for each
    # of the two Snakefiles.
    CONFIG_FILES = dict.fromkeys(Path(file).absolute() for file in workflow.configfiles)
    CONFIG = load_config(config, sorted(CONFIG_FILES, key=lambda file: file != Path("config.yaml").absolute()))
    R = CONFIG.results
    PLAN = Plan(CONFIG, f"{R}/stacks.json")
    CATALOGUE = load_catalogue(CONFIG.downloads.table)
    CATALOGUE.check_accepted(CONFIG.downloads.accept)
except InputError as error:
    raise WorkflowError(str(error))

SIMULATIONS = [name for name in CONFIG.datasets if CONFIG.data[name].source == "simulation"]
SCREENS = [name for name in CONFIG.datasets if CONFIG.data[name].source == "screen"]
SCREEN_SPLIT = [name for name in SCREENS if CONFIG.family(name).split.kind in SCREEN_SPLITS]
LINCS = [name for name in SCREENS if CONFIG.data[name].make.screen == "lincs"]
RXRX19A = [name for name in SCREENS if CONFIG.data[name].make.screen == "rxrx19a"]
OWN = [name for name in CONFIG.datasets if CONFIG.is_own(name)]
TRANSFERS = CONFIG.transfers()
BUNDLED = [name for name in SCREENS if name not in [*LINCS, *RXRX19A, *OWN]]
# One consensus profile a drug, of no one line, dose or time: nothing to probe representations for.
DESCRIBED = [name for name in SCREENS if CONFIG.data[name].make.screen != "lincs_consensus"]
MULTIBENCH = [name for name in CONFIG.datasets if CONFIG.data[name].source == "multibench"]
CONVERTED = [name for name in MULTIBENCH if name not in OWN]
STAND_INS = [*BUNDLED, *(name for name in MULTIBENCH if CONFIG.data[name].make.set in ("mfeat", "mustard_text"))]
# The paper's own data of MultiBench, run or not: how large they are is known without their files.
SIZED = {
    name: one.make.set
    for name, one in CONFIG.data.items()
    if one.source == "multibench" and one.make.set not in ("mfeat", "mustard_text", "own")
}
BASELINES = [stage for stage in STAGES if stage not in ("step1", "step2")]
# Of drug screens: shared representations to rank molecules by (step 2 has those of step 1), and both kinds to decode.
RANKED = [stage for stage in STAGES if stage != "step2"]
DECODED = [stage for stage in STAGES if stage not in ("clip", "step1")]
ELSEWHERE = [name for name in CONFIG.data if name not in CONFIG.datasets]
D = CONFIG.downloads.folder
READINGS = CONFIG.readings()
# By module: its title, the file that it is drawn from, and the data sets that have it.
PROBED = ("probes_summary.parquet", SIMULATIONS)
FIGURES = {
    "figure4a": ("4a", *PROBED),
    "figure4b": ("4b", *PROBED),
    "figure7": ("7", *PROBED),
    "figure8": ("8", *PROBED),
    "figure9": ("9", *PROBED),
    "information_plane": ("information plane (ours)", *PROBED),
    "recovery": ("recovery of the true latents (ours)", *PROBED),
    "beta_choice": ("choice of beta (ours)", "selection.json", SCREENS),
    "retrieval_curves": ("retrieval curves (ours)", "retrieval_summary.parquet", SCREENS),
    "embedding_maps": ("maps of zc and zs (ours)", "embedding_maps.parquet", DESCRIBED),
    "top_hits": ("first hits of test phenotypes (ours)", "top_hits.parquet", SCREENS),
}
# A training job holds a GPU, or the promise of one; a config for the CPU asks for none.
GPU = 0 if CONFIG.device == "cpu" else 1
ENVIRONMENT = "../../envs/disentangledssl.yaml"
# What LINCS is curated from, by route and by what it is to curation.
GSE92742 = f"{D}/lincs/GSE92742_Broad_LINCS_"
LINCS_FILES = {
    "geo": {
        "expression": f"{GSE92742}Level3_INF_mlr12k_n1319138x12328.gctx.gz",
        "wells": f"{GSE92742}inst_info.txt.gz",
        "compounds": f"{GSE92742}pert_info.txt.gz",
        "genes": f"{GSE92742}gene_info.txt.gz",
    },
    "curated": {"archive": f"{D}/lincs_curated/infocore.zip"},
}
# By the set of MultiBench: its file, and the module of sources/ that converts it.
MULTIBENCH_FILES = {
    "mfeat": ("data/mfeat/mfeat.npz", "mfeat"),
    "mustard_text": ("data/mustard_text/mustard_text.npz", "mustard_text"),
    "mosi": (f"{D}/mosi/mosi_data.pkl", "multibench"),
    "mosei": (f"{D}/mosei/mosei_senti_data.pkl", "multibench"),
    "ur_funny": (f"{D}/ur_funny/humor.pkl", "multibench"),
    "mustard": (f"{D}/mustard/sarcasm.pkl", "multibench"),
    "mimic": (f"{D}/mimic/im.pk", "mimic"),
}
# What the paper prints.
PUBLISHED = [f"data/paper/{name}.csv" for name in ("facts", "settings", *(f"table{n}" for n in range(1, 6)))]
RXRX19A_METADATA = f"{D}/rxrx19a/RxRx19a-metadata.zip"
PUBLISHED_MOL2VEC = f"{D}/mol2vec/model_300dim.pkl"
# Whose molecules Mol2vec is trained on.
CORPORA = [
    "data/lincs_consensus/profiles.parquet",
    "data/lincs_cells/profiles.parquet",
    "data/cell_injury/profiles.parquet",
    "data/lincs_meta/GSE70138_Broad_LINCS_pert_info_2017-03-06.txt.gz",
]
MOL2VEC = f"{R}/mol2vec/{CONFIG.mol2vec.model}.parquet"


def one_of(names):
    """A constraint that matches these names only (and nothing, if there are none)."""
    return "|".join(names) or "(?!)"


wildcard_constraints:
    dataset=one_of(CONFIG.datasets),
    stage=one_of(STAGES),
    stack="[0-9a-f]{10}",
    run="[^/]+",


DATASET_FILES = [f"{R}/{{dataset}}/data/{name}.parquet" for name in ("view1", "view2", "pairs", "splits")]
MOLECULES = f"{R}/{{dataset}}/data/molecules.parquet"


def dataset_files(wildcards):
    """The files of a data set, with the true latents where they are known."""
    files = [file.format(dataset=wildcards.dataset) for file in DATASET_FILES]
    if wildcards.dataset in SIMULATIONS:
        files.append(f"{R}/{wildcards.dataset}/data/latents.parquet")
    return files


def own_files(dataset):
    """The user's own files that are copied as they are, by the names that they get."""
    folder, screen = Path(CONFIG.data[dataset].make.path), dataset in SCREENS
    names = ["view1", "view2"] + ["molecules"] * screen + ["splits"] * (CONFIG.family(dataset).split.kind == "given")
    # Made from molecules.parquet, or from meta_split of the pairs, where they are not there.
    optional = ["splits"] + ["view2"] * screen
    wanted = [name for name in names if name not in optional or (folder / f"{name}.parquet").exists()]
    return {f"{dataset}/data/{name}.parquet": str(folder / f"{name}.parquet") for name in wanted}


OWN_FILES = {file: source for name in OWN for file, source in own_files(name).items()}
# Whose splits are made here, by groups or pairs; and whose features of molecules.
SPLIT = [
    name for name in CONFIG.datasets if name not in SCREEN_SPLIT and f"{name}/data/splits.parquet" not in OWN_FILES
]
FEATURISED = [name for name in SCREENS if f"{name}/data/view2.parquet" not in OWN_FILES]


def own_inputs(wildcards):
    """The files of a folder of the user's own, which has to be there, with all that is needed."""
    name = wildcards.dataset
    folder, place = Path(CONFIG.data[name].make.path), f"{name}: make.path"
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "no such folder"
        raise WorkflowError(str(InputError(folder, "", problem, f"correct {place}; docs/data.md says what it holds")))
    splits, kind = folder / "splits.parquet", CONFIG.family(name).split.kind
    if splits.exists() and kind != "given":
        mend = f"set data.{name}.split to {{kind: given, folds: <how many it has>}}, or take the file away"
        raise WorkflowError(str(InputError(splits, "", f"is there, but split.kind is {kind}", mend)))
    files = [str(folder / "pairs.parquet"), *own_files(name).values()]
    for file in files:
        if not Path(file).is_file():
            mend = f"write it (docs/data.md), or correct {place}"
            raise WorkflowError(str(InputError(file, "", "no such file", mend)))
    return files


def raw_files(dataset):
    """The raw files that a data set is made from, bundled or downloaded, whether or not it is run.

    Of route cellprofiler, one of a million images: they are no inputs (docs/design.md, "Downloads").
    """
    source, make = CONFIG.data[dataset].source, CONFIG.data[dataset].make
    if CONFIG.is_own(dataset) or source == "simulation":
        return []
    if source == "multibench":
        return [MULTIBENCH_FILES[make.set][0]]
    if make.screen == "lincs":
        return list(LINCS_FILES[make.route].values())
    if make.screen == "rxrx19a":
        features = {
            "embeddings": f"{D}/rxrx19a/RxRx19a-DL-embeddings.zip",
            "file": make.table and make.table.path,
            "cellprofiler": f"{D}/rxrx19a/images/HRCE-1/Plate1/AA02_s1_w1.png",
        }
        return [RXRX19A_METADATA, features[make.route]]
    return [f"data/{make.screen}/profiles.parquet"]


def converter(dataset):
    """The module of sources/ that converts a data set of MultiBench."""
    return MULTIBENCH_FILES[CONFIG.data[dataset].make.set][1]


def mol2vec_files(dataset):
    """The raw file of the molecule embedding, where a data set has molecules and it is not trained here."""
    return [PUBLISHED_MOL2VEC] if dataset in FEATURISED and CONFIG.mol2vec.model == "published" else []


def lincs_inputs(wildcards):
    """The files that a curation of LINCS reads, by what they are to it; the matrix is unpacked before."""
    files = LINCS_FILES[CONFIG.data[wildcards.dataset].make.route]
    return {name: re.sub(r"\.gctx\.gz$", ".gctx", file) for name, file in files.items()}


def rxrx19a_inputs(wildcards):
    """The files that a curation of RxRx19a reads, by what they are to it; a table that must be placed has to be there."""
    metadata, features = raw_files(wildcards.dataset)
    route = CONFIG.data[wildcards.dataset].make.route
    if route == "cellprofiler":
        plates = json.loads(Path(checkpoints.list_plates.get(dataset=wildcards.dataset).output[0]).read_text())
        folder = f"{R}/{wildcards.dataset}/measurements"
        features = [f"{folder}/{name}/Plate{plate}.parquet" for name, one in plates.items() for plate in one]
    if route == "file" and not Path(features).exists():
        problem = "no such file: CellProfiler features of RxRx19a, a row a well or site, are published by nobody"
        mend = (
            f"get them from whoever measured them and put them there, or correct {wildcards.dataset}: make.table.path"
        )
        raise WorkflowError(str(InputError(features, "", problem, mend)))
    return {"metadata": metadata, "features": features}


def stack_files(dataset, stage, name):
    """One file of every stack of a stage."""
    stacks = PLAN.stacks.get((dataset, stage), [])
    return [f"{R}/{dataset}/{stage}/{stack.id}/{name}" for stack in stacks]


def start_models(wildcards):
    """The step-1 models that a step-2 stack starts from."""
    stacks = PLAN.starts(wildcards.dataset, wildcards.stack)
    return [f"{R}/{wildcards.dataset}/step1/{stack}/models.safetensors" for stack in stacks]


def start_selection(wildcards):
    """The choice of beta, where a step-2 stack needs it."""
    uses = PLAN.uses_selection(wildcards.dataset, wildcards.stack)
    return [f"{R}/{wildcards.dataset}/selection.json"] if uses else []


def more(amount):
    """So much of a resource at the first attempt, and as much again at each further one."""
    return lambda wildcards, attempt: attempt * amount


def all_cores():
    """The cores that this run may use at a time; on a cluster, where that has no bound, those of a training job."""
    try:
        return workflow.cores or 1
    except WorkflowError:
        return CONFIG.threads


def training_memory(stage=None):
    """Megabytes that training a stack takes at the most, and as much again at each further attempt."""

    def megabytes(wildcards, attempt):
        name = stage or wildcards.stage
        runs = len(PLAN.stack(wildcards.dataset, name, wildcards.stack).runs)
        return attempt * int(4000 + 1000 * runs * run_gb(name, CONFIG.training_of(wildcards.dataset, name)))

    return megabytes


def stack_runs(stage=None):
    """The members of a stack, as training takes them (of the stage in the wildcards, unless named)."""
    return lambda wildcards: PLAN.records(wildcards.dataset, stage or wildcards.stage, wildcards.stack)


def training_settings(stage=None):
    """The training settings of a stage (of that in the wildcards, unless named)."""
    return lambda wildcards: CONFIG.training_of(wildcards.dataset, stage or wildcards.stage).model_dump()


def view_scaling(dataset):
    """How the two views of a data set are scaled."""
    views = CONFIG.family(dataset).scaling
    return [views.view1.model_dump(), views.view2.model_dump()]


def probe_options(dataset):
    """The linear probe; `codes`, what it sees, is of MultiBench alone, elsewhere codes are probed as they are."""
    return CONFIG.probe.model_dump(exclude=None if dataset in MULTIBENCH else {"codes"})


def reference_width(dataset):
    """Principal components that stand beside the representations of a screen: as many as these have dimensions."""
    return CONFIG.training_of(dataset, PLAN.stages(dataset)[0]).dimensions


def scaling(wildcards):
    """How the two views are scaled."""
    return view_scaling(wildcards.dataset)


def measurements(name, *stages):
    """The measurements of all stacks of these stages, and of the reference rows."""

    def files(wildcards):
        found = [file for stage in stages for file in stack_files(wildcards.dataset, stage, name)]
        return found + [f"{R}/{wildcards.dataset}/references/{name}"]

    return files


def transfer_measurements(name):
    """How all stacks of the other screen, and its reference rows, rank the molecules of this one."""

    def files(wildcards):
        folder, source = f"{R}/{wildcards.dataset}/transfer", TRANSFERS[wildcards.dataset]
        stacks = [f"{stage}/{stack.id}" for stage in RANKED for stack in PLAN.stacks.get((source, stage), [])]
        return [f"{folder}/{stack}/{name}" for stack in [*stacks, "references"]]

    return files


def wanted_of(dataset, *stages):
    """`stage/run` of the runs that the config asks for; sorted, so that a grid's order changes nothing."""
    return sorted(
        f"{stage}/{run}" for stage in stages if (dataset, stage) in PLAN.stacks for run in PLAN.wanted(dataset, stage)
    )


def wanted_runs(*stages):
    """The runs that the config asks for, of the data set in the wildcards."""
    return lambda wildcards: wanted_of(wildcards.dataset, *stages)


def summaries_of(variant):
    """The probe table of the simulation that stands for the paper's, in one of its variants, if it is run."""
    data = {name: CONFIG.data[name] for name in SIMULATIONS}
    # A reading departs from what the claims are about.
    found = [name for name, one in data.items() if one.make.variant == variant and not one.reading]
    return [f"{R}/{name}/probes_summary.parquet" for name in found[:1]]


def is_decoded(dataset):
    """Whether a screen has representations of both kinds to decode (Tables 3 and 5)."""
    return any((dataset, stage) in PLAN.stacks for stage in DECODED)


@functools.cache
def full_config():
    """The config without overlays."""
    try:
        return read_config(["config.yaml"])
    except InputError as error:
        raise WorkflowError(str(error))


def departures_of(datasets):
    """In what the runs of these data sets differ from those of the full config, for who reads their numbers."""

    def texts(wildcards):
        said = {name: departures(CONFIG, full_config(), name) for name in datasets}
        return {name: text for name, text in said.items() if text}

    return texts


def changed_of(datasets):
    """Those of these data sets that are not made, split or pooled as in the full config."""
    return lambda wildcards: [name for name in datasets if changed_data(CONFIG, full_config(), name)]


def streams_of(wildcards):
    """The data set whose random streams a simulation is trained with: its own, or that which it is a reading of."""
    return next((base for base, names in READINGS.items() if wildcards.dataset in names), wildcards.dataset)


def has_betas(dataset):
    """Whether there is a grid of step 1 to choose from."""
    return (dataset, "step1") in PLAN.stacks


def selection_of(dataset):
    """The choice of beta, where there is one."""
    return [f"{R}/{dataset}/selection.json"] if has_betas(dataset) else []


def selection_file(wildcards):
    """The choice of beta of the data set in the wildcards, where there is one."""
    return selection_of(wildcards.dataset)


def stack_of(dataset, stage, run):
    """The models of the stack that holds a run, if there is one."""
    for stack in PLAN.stacks.get((dataset, stage), []):
        if run in [one.id for one in stack.runs]:
            return f"{R}/{dataset}/{stage}/{stack.id}/models.safetensors"


def shown_stack(wildcards):
    """The models of the stack that holds the run of step 2 that pictures show."""
    if (wildcards.dataset, "step2") not in PLAN.stacks:
        raise WorkflowError(f"{wildcards.dataset}: pictures show a run of step 2, and this config has none; add a grid")
    return stack_of(wildcards.dataset, "step2", PLAN.shown(wildcards.dataset).id)


def library_file(wildcards):
    """The molecules to rank, where they are not the screen's own."""
    library, dataset = CONFIG.hits.library, wildcards.dataset
    if library and dataset not in FEATURISED:
        source = OWN_FILES[f"{dataset}/data/view2.parquet"]
        problem = f"its molecules have no features such as those of {source}"
        mend = "set it to null, or leave the features to Mol2vec by taking that file away"
        raise WorkflowError(str(InputError("hits.library", "", problem, mend)))
    if library and not Path(library).is_file():
        raise WorkflowError(f"hits.library: there is no file {library}; correct the path, or set it to null")
    return [library] if library else []


def run_stack(wildcards):
    """The models of the stack that holds a run that was asked for."""
    if found := stack_of(wildcards.dataset, wildcards.stage, wildcards.run):
        return found
    known = (
        PLAN.wanted(wildcards.dataset, wildcards.stage) if (wildcards.dataset, wildcards.stage) in PLAN.stacks else []
    )
    raise WorkflowError(
        f"{wildcards.dataset}: {wildcards.stage} has no run {wildcards.run}; "
        f"there are {len(known)}, for example {', '.join(known[:3]) or 'none'}"
    )


def refuse(wildcards):
    """Say which preset holds a data set that this config does not run."""
    presets = presets_with(wildcards.elsewhere)
    hint = f"use {' or '.join(presets)}" if presets else "add it to datasets in your config"
    raise WorkflowError(
        f"{wildcards.elsewhere} is not among the data sets of this config ({', '.join(CONFIG.datasets)}); {hint}"
    )


def figures_of(name):
    """The figures that the stages and the data of a data set are enough for."""
    if name in SCREENS:
        trained = any((name, stage) in PLAN.stacks for stage in RANKED)
        shown = (name, "step2") in PLAN.stacks
        maps = ["embedding_maps"] * (shown and name in DESCRIBED)
        return ["beta_choice"] * has_betas(name) + ["retrieval_curves"] * trained + maps + ["top_hits"] * shown
    step1, step2, *baselines = [
        (name, stage) in PLAN.stacks for stage in ("step1", "step2", "jointopt", "focal", "dmvae")
    ]
    make = CONFIG.data[name].make
    drawn = {
        "figure4a": step1,
        "figure4b": step2,
        "figure7": step1 and any(baselines),
        "figure8": step2,
        "figure9": step1 and make.variant == "mixed",
        "information_plane": step1 and make.variant == "noisy" and make.noise,
        "recovery": step1,
    }
    return [figure for figure, can in drawn.items() if can]


def evaluation(dataset):
    """How a data set is evaluated: by kind the stages and options."""
    if dataset in SIMULATIONS + MULTIBENCH:
        options = {"probe": probe_options(dataset)}
        kinds, references = {"probes": ([*STAGES], options)}, {"probes": options}
    else:
        ranking = CONFIG.retrieval.model_dump(exclude={"bootstrap"})
        kinds = {
            "retrieval": (RANKED, ranking),
            "reconstruction": (DECODED, {"decoders": CONFIG.decoders_of(dataset).model_dump()}),
        }
        references = {"retrieval": ranking | {"scaling": view_scaling(dataset)}}
        if dataset in DESCRIBED:
            kinds["contents"] = ([*STAGES], {})
            references["contents"] = {"scaling": view_scaling(dataset), "width": reference_width(dataset)}
    return {
        "folder": f"{R}/{dataset}/data",
        "folds": CONFIG.used_folds(dataset),
        "scaling": view_scaling(dataset),
        "kinds": kinds,
        "references": references,
    }


def shown_evaluation(dataset):
    """The run that pictures of a screen show, and the kinds of them that are measured first."""
    if dataset not in SCREENS or (dataset, "step2") not in PLAN.stacks:
        return {}
    kinds = ["embedding_maps"] * (dataset in DESCRIBED) + ["top_hits"]
    return {"shown": {"run": PLAN.shown(dataset).id, "kinds": kinds}}


def transfer_evaluation(dataset):
    """How the models of another screen are evaluated on this one: as of ``evaluation``."""
    source = TRANSFERS[dataset]
    ranking = CONFIG.retrieval.model_dump(exclude={"bootstrap"}) | {"pool": "test"}
    return {
        "folder": f"{R}/{dataset}/transfer/data",
        "trained_on": source,
        "folds": CONFIG.used_folds(source),
        "scaling": view_scaling(source),
        "kinds": {"retrieval": (RANKED, ranking)},
        "references": {"retrieval": ranking | {"scaling": view_scaling(source)}},
    }


def evaluations():
    """How all that is trained is evaluated, for the prediction of costs: by data set, transfer apart."""
    found = {name: evaluation(name) | shown_evaluation(name) for name in CONFIG.datasets}
    return found | {f"{name}/transfer": transfer_evaluation(name) for name in TRANSFERS}


def sized_stacks():
    """The stacks of the paper's own data of MultiBench, run or not, with the memory of their runs by estimate."""
    stacks = Plan(CONFIG.model_copy(update={"datasets": [*SIZED]}), f"{R}/stacks.json").trainings()
    return [
        one | {"gb": len(one["runs"]) * run_gb(one["stage"], CONFIG.training_of(one["dataset"], one["stage"]))}
        for one in stacks
    ]


def simulation_outputs():
    """Everything that the config asks for of simulated data."""
    outputs = [f"{R}/{name}/readings.csv" for name in READINGS]
    for name in SIMULATIONS:
        outputs += [f"{R}/{name}/{table}.csv" for table in ("probes", "probes_summary")]
        outputs += [f"{R}/{name}/{figure}.png" for figure in figures_of(name)]
    return outputs


def screen_outputs():
    """Everything that the config asks for of drug screens."""
    outputs = []
    for name in SCREENS:
        tables = ["retrieval"] + ["reconstruction"] * is_decoded(name)
        tables += ["contents"] * (name in DESCRIBED)
        outputs += [f"{R}/{name}/{table}{kind}.csv" for table in tables for kind in ("", "_summary")]
        outputs.append(f"{R}/{name}/retrieval_differences.csv")
        outputs += [f"{R}/{name}/{figure}.png" for figure in figures_of(name)]
    return outputs + [f"{R}/{name}/transfer.csv" for name in TRANSFERS]


def multibench_summaries(wildcards):
    """The probe tables of all data sets of MultiBench that are run."""
    if not MULTIBENCH:
        raise WorkflowError("Tables 1 and 4 are of MultiBench, and this config runs none of it; add mfeat to datasets")
    return [f"{R}/{name}/probes_summary.parquet" for name in MULTIBENCH]


def multibench_outputs():
    """Everything that the config asks for of MultiBench and its stand-ins."""
    outputs = [f"{R}/{name}/{table}.csv" for name in MULTIBENCH for table in ("probes", "probes_summary")]
    return outputs + ([f"{R}/table1.csv", f"{R}/table4.csv"] if MULTIBENCH else [])


def paper_outputs():
    """What stands beside the paper; nothing where only the user's own data are run."""
    if len(OWN) == len(CONFIG.datasets):
        return []
    tables = [f"{name}.csv" for name in ("comparison", "other_data", "consistency", "claims")]
    return [f"{R}/paper/{name}" for name in [*tables, *(f"table{n}.md" for n in range(1, 6))]]


def all_outputs():
    """Every table and figure that the config asks for."""
    return simulation_outputs() + screen_outputs() + multibench_outputs() + paper_outputs()


def shown_outputs():
    """The same as the report shows them: with what the rules that make them say of them to Snakemake's own report."""
    flagged = [output for rule in workflow.rules for output in rule.output if output.flags.get("report")]
    shown = []
    for file in all_outputs():
        # In front of the folder stands, in a storage, where Snakemake keeps it.
        output, match = next(
            (output, found) for output in flagged if (found := output.match(str(output).rpartition(f"{R}/")[0] + file))
        )
        said, wildcards = output.flags["report"], match.groupdict()
        shown.append(
            {
                "file": str(Path(file).relative_to(R)),
                "category": said.category,
                "labels": {name: text.format(**wildcards) for name, text in said.labels.items()},
                "caption": f"workflow/report/{Path(str(said.caption)).name}",
                "wildcards": wildcards,
            }
        )
    return shown


def kind_of_data(dataset):
    """Whether a data set is the paper's, in a word."""
    if dataset in STAND_INS:
        return "stand-in"
    if dataset in SIMULATIONS:
        # What is noisy or nonlinear in its data the paper does not have.
        ours = CONFIG.data[dataset].make.variant in ("noisy", "nonlinear")
        return "simulated, variant of ours" if ours else "simulated"
    return "your own" if dataset in OWN else "as published"


def write_run_graph(dag):
    """Note of which jobs a run consists, if it ends in the report, which draws them."""
    from disentangledssl.files import write_json

    steps = {}
    for job in dag.jobs:
        if job.rule.name != "report" and not job.output:
            continue
        step = steps.setdefault(job.rule.name, {"after": set(), "jobs": []})
        step["after"] |= {one.rule.name for one in dag.dependencies[job]}
        step["jobs"].append({"dataset": job.wildcards_dict.get("dataset"), "benchmark": str(job.benchmark)})
    if "report" in steps:
        for step in steps.values():
            step["after"] = sorted(step["after"])
            step["jobs"].sort(key=lambda job: job["benchmark"])
        write_json(Path(R) / "workflow.json", dict(sorted(steps.items())))


def raw_data():
    """Every file that no rule makes, or that is fetched, with its digest if that is known without reading the file."""
    from disentangledssl.sources.download import known_digest

    files = [file for name in CONFIG.datasets for file in [*raw_files(name), *mol2vec_files(name)]]
    files += [str(Path(CONFIG.data[name].make.path) / "pairs.parquet") for name in OWN]
    files += [*OWN_FILES.values(), *([CONFIG.hits.library] if CONFIG.hits.library else [])]
    files += CORPORA if FEATURISED and CONFIG.mol2vec.model == "trained" else []
    files += PUBLISHED if paper_outputs() else []
    sources = {file: source_of(file, CATALOGUE, CONFIG.downloads) for file in files}
    return {file: source and known_digest(source, D) for file, source in sources.items()}


@contextmanager
def told(mend):
    """Say in a sentence what keeps a run from its notes."""
    try:
        yield
    except InputError as error:
        raise WorkflowError(str(error))
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error})"
        raise WorkflowError(str(InputError(error.filename or R, "", problem, mend)))


# What a run notes of itself; imported here, since planning needs none of it.
def note_start():
    """Remember the stacks, and note of which jobs, by which versions and config, what follows is made."""
    import psutil

    from disentangledssl.report.times import note_beginning
    from disentangledssl.verify import mark_start

    # What --touch dates, it does not write.
    if workflow.touch:
        return
    with told("mend this and run again"):
        mark_start(Path(R))
        PLAN.save()
        write_run_manifest()
        write_run_graph(workflow.dag)
        # Where jobs are sent elsewhere, their number is bound, not their cores.
        cores = None if workflow.nodes else workflow.cores
        note_beginning(Path(R), psutil.Process().create_time(), cores)


def write_run_manifest():
    from disentangledssl.manifest import write_manifest

    write_manifest(Path(R), CONFIG.model_dump(mode="json"), raw_data())


def note_end():
    """Note what a run that ended well has written, and tell what has changed without a run."""
    import time

    from disentangledssl.report.times import note_ending
    from disentangledssl.verify import write_sums

    if workflow.touch:
        return
    with told("mend this, remove an output, such as a figure, and run again, so that the notes are written"):
        # Once more: what was fetched in the meantime has a digest now.
        write_run_manifest()
        altered = write_sums(Path(R))
        note_ending(Path(R), time.time())
    if altered:
        print(
            f"\nChanged since a run wrote them, by no run: {first_few(altered)}. Restore them, or remove them and run "
            "again; `python -m disentangledssl.verify` tells them until then.",
            file=sys.stderr,
        )


def starting_lines():
    """What is run and what is not, and why, for the person who started it."""
    stand_ins = f"; stand-ins for the paper's data: {', '.join(STAND_INS)}" if STAND_INS else ""
    first = f"Data sets: {', '.join(CONFIG.datasets)}{stand_ins}. Results go to {R}/."
    reasons = {name: reason_of(raw_files(name), CATALOGUE, CONFIG.downloads) for name in ELSEWHERE}
    return "\n".join([first, *lines_of(reasons)])


def failing_lines(logs):
    """What to do after a failure that Snakemake's own logs tell of."""
    lines = ["A step failed: its sentence stands above, its whole story in the log that Snakemake names."]
    said = "\n".join(Path(log).read_text() for log in logs)
    if of_slurm := sentences(said):
        lines = ["Steps failed; their whole story is in the logs that Snakemake names.", *of_slurm]
    if "has older modification time" in said:
        lines.append(
            "The input in that sentence is dated in the future, as after a clock that was wrong: `touch` it, if it is right."
        )
    return "\n".join(
        [*lines, "After mending the cause, the same command goes on from here; finished steps are not repeated."]
    )
