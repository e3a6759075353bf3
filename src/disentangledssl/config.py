"""The config: checked, and resolved into what each stage of each data set needs.

Imports neither torch nor pandas: this runs whenever the Snakefile is parsed.
"""

from __future__ import annotations

import copy
import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, ValidationError, create_model

from disentangledssl.errors import InputError, first_few
from disentangledssl.mistakes import LOADER, ConfigErrors, file_of, repeated_keys, sentence
from disentangledssl.runs import spell
from disentangledssl.settings import (
    STAGE_SETTINGS,
    DecoderSettings,
    ScalingSettings,
    SharedSettings,
    Strict,
    TrainingSettings,
    optional,
)

SELECTED = "selected"
SCREEN_SPLITS = ("scaffold", "leave_one_out")
MULTIBENCH_SPLITS = ("given", "group_folds", "group_holdout")  # with validation
# Which views of a set of MultiBench are sequences; a set that is not here has none.
SEQUENCES = {name: (1, 2) for name in ("mosi", "mosei", "ur_funny", "mustard", "mustard_text")} | {"mimic": (2,)}
HOURS = 24  # time steps of MIMIC, the only set whose code's width depends on them
HEADS = 5  # of FactorCL, for a view
NOISY_PAIRS = 1000  # with fewer, correlations of a sample reach 1 and its information has no bound


class Stage(NamedTuple):
    """A stage that is trained: its grid's axes, those that decide what its runs can share, and its encoders.

    ``divided`` says whether a view has both a shared and a specific code, which ``widths: concatenation`` gives half
    of ``dimensions`` each.
    """

    axes: tuple[str, ...]
    group: tuple[str, ...]
    trained: int
    frozen: int = 0
    divided: bool = True


STAGES = {
    "clip": Stage(axes=(), group=(), trained=2, divided=False),
    "step1": Stage(axes=("beta",), group=(), trained=2),
    "step2": Stage(axes=("beta", "lam"), group=("beta",), trained=2, frozen=2),
    "jointopt": Stage(axes=("a", "lam"), group=(), trained=4),
    "focal": Stage(axes=("a", "lam"), group=(), trained=4),
    "dmvae": Stage(axes=("lam",), group=(), trained=4),
    "factorcl": Stage(axes=(), group=(), trained=2, divided=False),
}


def _path(path: str) -> str:
    if set(path) & set("{}") or not path.isprintable() or path != path.strip() or path.startswith("~"):
        # Snakemake takes what is in braces for a wildcard, and knows no home folder.
        raise ValueError("a path has neither braces, ends of lines nor spaces around it, and no ~ first")
    return path


FilePath = Annotated[str, Field(min_length=1), AfterValidator(_path)]
FolderPath = Annotated[str, Field(pattern=r"[^/]$"), AfterValidator(_path)]
Weight = Annotated[float, Field(ge=0)]
NAME = r"^[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?$"


def _name(name: str) -> str:
    if not re.fullmatch(NAME, name):
        # A word that ends in an underscore is a link in the captions of the report.
        raise ValueError("a name has letters, digits and underscores alone, a letter first and no underscore last")
    return name


Name = Annotated[str, Field(json_schema_extra={"pattern": NAME}), AfterValidator(_name)]
# Folders beside those of the data sets, and of logs.
RESERVED = ("logs", "benchmarks", "mol2vec", "downloads", "paper")


class SimulationSource(Strict):
    """How a simulated data set is drawn (App. H.1)."""

    variant: Literal["entangled", "mixed", "noisy", "nonlinear"]
    n: int = Field(ge=10, description="pairs")
    data_seeds: list[Annotated[int, Field(ge=0)]] = Field(
        min_length=1, description="seeds of the data; with more than one, each is drawn anew and is a fold of its own"
    )
    noise: float = Field(ge=0, description="standard deviation added to the data (noisy, nonlinear)")


class ScreenSource(Strict):
    """Which bundled drug screen is curated, and how."""

    screen: Literal["lincs_consensus", "lincs_cells", "cell_injury"]
    wells_per_molecule: int | None = Field(ge=1, description="at most so many wells a molecule; null = all")
    molecules: int | None = Field(ge=10, description="keep only so many molecule groups (tests); null = all")
    seed: int = Field(ge=0, description="seed of both draws")
    shuffled: bool = Field(description="give each group the molecule of another: a null control")


class LincsSource(Strict):
    """How LINCS L1000 is curated from published files (docs/choices.md says what is open)."""

    screen: Literal["lincs"]
    route: Literal["geo", "curated"] = Field(
        description="geo: from GEO's Level 3; curated: the reference code's own files, which settle the next three"
    )
    hours: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, description="times after treatment that are kept")
    dose: Literal["molecule", "line", "all"] = Field(
        description="keep one dose, that of most wells, of each molecule or of each molecule and line; or all"
    )
    minimum_controls: int = Field(ge=1, description="vehicle wells that a plate must have")
    replicates: int = Field(ge=1, description="at most so many profiles a molecule and cell line")
    clip: float = Field(gt=0, description="differences to the control are clipped to plus or minus this")
    group: Literal["molecule", "skeleton"] = Field(
        description="what is never divided in a split: a canonical SMILES, or all of one InChIKey skeleton"
    )
    seed: int = Field(ge=0, description="seed of the draw of replicates")


class FeatureTable(Strict):
    """A table of features that somebody measured."""

    path: FilePath = Field(description=".parquet, .csv, .csv.gz or .zip; a row a site or a well")
    key: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=1, description="columns that make, joined by _, <experiment>_<plate>_<well> (or ..._<site>)"
    )
    prefixes: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=1, description="what the names of features begin with"
    )


class Segmentation(Strict):
    """How nuclei and cells are found in images."""

    smoothing: float = Field(gt=0, description="standard deviation of the Gaussian before the threshold, in pixels")
    diameter: list[Annotated[float, Field(gt=0)]] = Field(
        min_length=2, max_length=2, description="least and largest diameter of a nucleus, in pixels"
    )


class RxrxSource(Strict):
    """How RxRx19a is curated from published files (docs/choices.md says what is open)."""

    screen: Literal["rxrx19a"]
    route: Literal["embeddings", "file", "cellprofiler"] = Field(
        description="embeddings: Recursion's own numbers, not the paper's CellProfiler; file: a table that you have; "
        "cellprofiler: measured here from the images"
    )
    profile: Literal["experiment", "dose", "wells"] = Field(
        description="what a profile is: a molecule at a dose in an experiment, or in all of them; or a single well"
    )
    wells_per_molecule: int = Field(ge=1, description="of profile: wells alone, at most so many a molecule")
    control: Literal["untreated", "mock"] = Field(
        description="which wells of a plate are subtracted: infected without a compound, or without virus"
    )
    minimum_controls: int = Field(ge=1, description="control wells that a plate must have")
    clip: float = Field(gt=0, description="clipped to plus or minus this, in robust standard deviations of controls")
    group: Literal["molecule", "skeleton"] = Field(
        description="what is never divided in a split: a canonical SMILES, or all of one InChIKey skeleton"
    )
    seed: int = Field(ge=0, description="seed of the draw of wells")
    table: FeatureTable | None = Field(description="of route: file alone, where it is and how it is laid out")
    segmentation: Segmentation | None = Field(description="of route: cellprofiler alone")
    keep_images: bool = Field(description="of route: cellprofiler alone, keep images whose well is measured (445 GB)")


MfeatView = Literal["pix", "fac", "kar", "fou", "zer", "mor"]


class MfeatSource(Strict):
    """Which two descriptions of handwritten digits are the views: a bundled stand-in for MultiBench."""

    set: Literal["mfeat"]
    view1: MfeatView = Field(description="pix: pixels, 240; fac: profile correlations, 216; kar: Karhunen-Loeve, 64")
    view2: MfeatView = Field(description="fou: Fourier, 76; zer: Zernike moments, 47; mor: morphology, 6")


class SentimentSource(Strict):
    """CMU-MOSI or CMU-MOSEI, vision and text, from the file of MultiBench."""

    set: Literal["mosi", "mosei"]
    neutral: Literal["positive", "negative"] = Field(
        description="which class a sentiment of 0 has; positive: FactorCL's; negative: that of MultiBench's loader"
    )


class ClipsSource(Strict):
    """UR-FUNNY or MUStARD, vision and text, from the file of MultiBench."""

    set: Literal["ur_funny", "mustard"]


class MimicSource(Strict):
    """MIMIC-III, static features and hourly measurements, from the file that MultiBench's authors send."""

    set: Literal["mimic"]
    task: int = Field(ge=0, le=19, description="which group of ICD-9 codes is the label; 7 is FactorCL's")


class MustardTextSource(Strict):
    """The text of MUStARD, what was said and what before it: a bundled stand-in for MultiBench."""

    set: Literal["mustard_text"]


class OwnFolder(Strict):
    """A folder of your own, in the form of docs/data.md."""

    path: FilePath = Field(description="folder that holds view1.parquet, pairs.parquet and the others")
    title: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="what tables and figures call the data; null = its own title, or its name here",
    )


class OwnScreen(OwnFolder):
    """A drug screen of your own: view 1 the phenotype, view 2 the molecule."""

    screen: Literal["own"]


class OwnViews(OwnFolder):
    """Two views of your own with labels, which linear probes are to find."""

    set: Literal["own"]


class SplitSettings(Strict):
    """How pairs are divided."""

    kind: Literal["random", "group_folds", "group_holdout", "scaffold", "leave_one_out", "given"] = Field(
        description="random: pairs, training and test only; group_folds: whole groups, each tested once; "
        "group_holdout: whole groups, one split; scaffold: whole scaffolds, each tested once; leave_one_out: a fold "
        "for each value of a description, tested with molecules that are not trained with; given: as the source has it "
        "(your own: splits.parquet, or meta_split of the pairs)"
    )
    folds: int = Field(
        ge=1, le=1000, description="of group_folds, scaffold and your own splits.parquet; others make one"
    )
    train_fraction: float = Field(
        gt=0, lt=1, description="training and validation together; not of group_folds and scaffold"
    )
    validation_fraction: float = Field(ge=0, lt=1, description="of all groups, taken from training; not of random")
    seed: int = Field(ge=0)
    by: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")] | None = Field(
        description="of leave_one_out: a description of the pairs (meta_<by>), such as cell_line"
    )
    values: list[str] | None = Field(min_length=1, description="of leave_one_out: its values, a fold each")
    use_folds: int | None = Field(ge=1, description="run only the first so many folds; null = all")


class ViewScaling(Strict):
    """Scaling of both views."""

    view1: ScalingSettings
    view2: ScalingSettings


class Mol2vecSettings(Strict):
    """The molecule embedding (Jaeger et al. 2018), and how ours is trained."""

    model: Literal["trained", "published"] = Field(
        description="trained on the molecules of this repository, or the authors' own, which is downloaded first"
    )
    dimensions: int = Field(ge=1)
    window: int = Field(ge=1)
    epochs: int = Field(ge=1)
    minimum_count: int = Field(ge=1, description="rarer words become UNK")
    seed: int = Field(ge=0)


class ProbeSettings(Strict):
    """The linear probe."""

    solver: Literal["exact", "newton-cholesky", "lbfgs"] = Field(
        description="exact: the optimum; newton-cholesky: the same by scikit-learn; lbfgs: the authors' early stop"
    )
    max_iter: int = Field(ge=1)
    codes: Literal["raw", "standardised"] = Field(
        description="what a probe of MultiBench sees: representations as they are, or each dimension standardised on "
        "training pairs (those of the simulation are probed as they are)"
    )


class RetrievalSettings(Strict):
    """How retrieval is scored."""

    pool: Literal["test", "valtest"] = Field(
        description="molecules and profiles that are ranked: of test, or of validation and test together"
    )
    top: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, description="N of the top-N accuracies")
    bootstrap: int = Field(ge=10, description="resamples of molecules for standard errors and intervals")
    permutations: int = Field(ge=10, description="pairings of test molecules and phenotypes at random, for the null")


class HitSettings(Strict):
    """Which molecules are ranked for a phenotype."""

    library: FilePath | None = Field(
        description="CSV with the columns id and smiles; null = the test molecules of the screen"
    )


class DownloadSettings(Strict):
    """Where raw data are kept, and how they are fetched (docs/downloads.md)."""

    folder: FolderPath = Field(description="folder of all downloads, without a last slash")
    by_hand: FolderPath = Field(description="a file that is put there is taken instead of being fetched")
    table: FilePath = Field(description="the table of sources")
    accept: list[str] = Field(description="names of terms that you accept, where a source asks for it")
    mirror: str | None = Field(pattern=r"^https?://\S*[^/]$", description="asked first, for <mirror>/<source>/<file>")
    proxy: str | None = Field(
        pattern=r"^https?://\S+$",
        description="for all addresses; null = the environment's (where a proxy's password belongs)",
    )
    retries: int = Field(ge=0, description="attempts after a failure of the network, one after another")
    timeout_seconds: float = Field(gt=0, description="silence after which a connection is given up")


TrainingOverrides = optional(SharedSettings, "TrainingOverrides")
StageOverrides = create_model(
    "StageOverrides",
    __base__=Strict,
    __doc__="Overrides of one stage each.",
    **{
        stage: (kind, kind())
        for stage, kind in (
            (stage, optional(model, model.__name__.replace("Settings", "Overrides")))
            for stage, model in STAGE_SETTINGS.items()
        )
    },
)
Values = Annotated[list[Weight | Literal["selected"]], Field(min_length=1)]
Grid = dict[Literal["beta", "a", "lam"], Values]
# null: an overlay takes a stage out, which merging could not.
Grids = dict[Literal[tuple(STAGES)], Grid | None]


class Family(Strict):
    """What all data sets of one source share."""

    widths: Literal["each", "concatenation"] = Field(
        description="what has the width training.dimensions: each code, or a view's shared and specific codes together"
    )
    training: TrainingOverrides = TrainingOverrides()
    stages: StageOverrides = StageOverrides()
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    step2_starts_from: Literal["own_seed", "first_seed"] = Field(
        description="step 2 of seed k starts from step 1 of seed k (ours) or of the first seed (authors' code)"
    )
    grids: Grids = Field(min_length=1)
    scaling: ViewScaling
    split: SplitSettings


FamilyOverrides = optional(Family, "FamilyOverrides")
DecoderOverrides = optional(DecoderSettings, "DecoderOverrides")


class SimulationData(FamilyOverrides):
    """A simulated data set."""

    source: Literal["simulation"]
    make: SimulationSource
    reading: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="how training departs from that of the first data set with the same make: effects are tabulated",
    )


class ScreenData(FamilyOverrides):
    """A drug screen."""

    source: Literal["screen"]
    make: Annotated[ScreenSource | LincsSource | RxrxSource | OwnScreen, Field(discriminator="screen")]
    decoders: DecoderOverrides = DecoderOverrides()
    transfer_from: Name | None = Field(
        default=None,
        description="screen whose models also rank the molecules of this one, where both are run; null = none",
    )


class MultibenchData(FamilyOverrides):
    """A data set of MultiBench, or a stand-in for one."""

    source: Literal["multibench"]
    make: Annotated[
        MfeatSource | SentimentSource | ClipsSource | MimicSource | MustardTextSource | OwnViews,
        Field(discriminator="set"),
    ]


class Families(Strict):
    """Settings by kind of data."""

    simulation: Family
    screen: Family
    multibench: Family


class Config(Strict):
    """The whole config."""

    results: FolderPath = Field(description="folder that everything is written to, without a last slash")
    datasets: list[str] = Field(min_length=1, description="data sets that are run")
    stack_size: int | None = Field(
        ge=1, description="most runs that one job trains together; null: 42, and 13 where device is cpu"
    )
    stack_gb: float = Field(gt=0, description="most memory that one job's runs may take by estimate; fewer runs if so")
    device: Literal["auto", "cpu", "cuda"]
    threads: int = Field(ge=1, description="CPU threads of a training job; part of what its last bits depend on")
    checkpoint_seconds: float = Field(ge=0, description="time between checkpoints, at ends of epochs")
    training: SharedSettings
    stages: StageOverrides
    families: Families
    data: dict[Name, Annotated[SimulationData | ScreenData | MultibenchData, Field(discriminator="source")]]
    mol2vec: Mol2vecSettings
    probe: ProbeSettings
    retrieval: RetrievalSettings
    decoders: DecoderSettings
    hits: HitSettings
    downloads: DownloadSettings

    _resolved: dict[str, Family] = PrivateAttr(default_factory=dict)  # planning asks hundreds of times

    def family(self, dataset: str) -> Family:
        """Return the settings of one data set: its family's, overridden by its own."""
        if dataset not in self._resolved:
            self._resolved[dataset] = self._resolve(dataset)
        return self._resolved[dataset]

    def _resolve(self, dataset: str) -> Family:
        data = self.data[dataset]
        base = getattr(self.families, data.source).model_dump(exclude_none=False)
        own = data.model_dump(exclude={"source", "make", "reading", "decoders", "transfer_from"}, exclude_unset=True)
        merged = _merge(base, {key: value for key, value in own.items() if value is not None})
        merged["grids"] = self.grids(dataset)
        return Family.model_validate(_drop_none(merged, Family))

    def grids(self, dataset: str) -> dict[str, dict[str, list[Any]]]:
        """Return the grids of the stages that one data set is trained with."""
        family, own = getattr(self.families, self.data[dataset].source).grids, self.data[dataset].grids or {}
        # A grid replaces the family's; it is not blended into it.
        return {stage: grid for stage, grid in {**family, **own}.items() if grid is not None}

    def training_of(self, dataset: str, stage: str) -> TrainingSettings:
        """Return the training settings of one stage on one data set: general, stage, family, data set.

        ``dimensions`` is the width of one code, which ``widths: concatenation`` makes half of what the config says.
        """
        merged = self._merged_training(dataset, stage)
        if self.halves_codes(dataset, stage):
            merged["dimensions"] //= 2
        kind = STAGE_SETTINGS[stage]
        return kind.model_validate({name: value for name, value in merged.items() if name in kind.model_fields})

    def halves_codes(self, dataset: str, stage: str) -> bool:
        """Return whether a code of a stage has half of ``dimensions``, the other half being that of its partner."""
        data = self.data[dataset]
        widths = data.widths or getattr(self.families, data.source).widths
        return widths == "concatenation" and STAGES[stage].divided

    def _merged_training(self, dataset: str, stage: str) -> dict[str, Any]:
        data, family = self.data[dataset], getattr(self.families, self.data[dataset].source)
        merged = self.training.model_dump()
        for layer in (
            getattr(self.stages, stage), family.training, getattr(family.stages, stage), data.training,
            data.stages and getattr(data.stages, stage),
        ):  # fmt: skip
            if layer is not None:
                merged = _merge(merged, layer.model_dump(exclude_unset=True))
        sequences = merged["sequences"]
        if sequences and "width" in sequences:
            merged["sequences"] = sequences | {"width": sequences["width"] or merged["dimensions"]}
        return merged

    def is_own(self, dataset: str) -> bool:
        """Return whether a data set is read from a folder of the user's own."""
        return isinstance(self.data[dataset].make, OwnFolder)

    def decoders_of(self, dataset: str) -> DecoderSettings:
        """Return the settings of the decoders of one drug screen."""
        own = self.data[dataset].decoders.model_dump(exclude_unset=True)
        return DecoderSettings.model_validate(_merge(self.decoders.model_dump(), own))

    def readings(self) -> dict[str, list[str]]:
        """Return, by the data set they are compared with, the data sets whose training departs from it."""
        known = [name for name in self.datasets if name in self.data]
        departs = {name: bool(getattr(self.data[name], "reading", None)) for name in known}
        found: dict[str, list[str]] = {}
        for name in known:
            same = [one for one in known if not departs[one] and self.data[one].make == self.data[name].make]
            if departs[name] and same:
                found.setdefault(same[0], []).append(name)
        return found

    def transfers(self) -> dict[str, str]:
        """Return, by the screen whose molecules are ranked, the screen whose models rank them; both are run."""
        sources = {name: getattr(self.data[name], "transfer_from", None) for name in self.datasets if name in self.data}
        return {name: source for name, source in sources.items() if source in self.datasets}

    def folds(self, dataset: str) -> int:
        """Return how many folds a data set has (``use_folds`` of them are run)."""
        split, make = self.family(dataset).split, self.data[dataset].make
        if split.kind == "random":
            return len(getattr(make, "data_seeds", [0]))
        if split.kind == "leave_one_out":
            return len(split.values or [])
        given = split.kind == "given" and self.is_own(dataset)
        return split.folds if given or split.kind in ("group_folds", "scaffold") else 1

    def used_folds(self, dataset: str) -> int:
        """Return how many folds of a data set are run."""
        return min(self.folds(dataset), self.family(dataset).split.use_folds or self.folds(dataset))


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in over.items():
        # What is set for one network of sequences says nothing about another.
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping) and key != "sequences"
        out[key] = _merge(out[key], value) if both else value
    return out


def _drop_none(values: Any, model: Any) -> Any:
    """Drop entries that were not overridden, keeping nulls that a setting allows."""
    if isinstance(values, Mapping) and isinstance(model, type) and issubclass(model, BaseModel):
        kinds = {name: field.annotation for name, field in model.model_fields.items()}
        return {
            key: _drop_none(value, kinds.get(key))
            for key, value in values.items()
            if value is not None or _allows_none(kinds.get(key))
        }
    if isinstance(values, Mapping):
        return {key: _drop_none(value, TrainingOverrides) for key, value in values.items()}
    return values


def _allows_none(kind: Any) -> bool:
    return type(None) in getattr(kind, "__args__", ())


def load_config(config: Mapping[str, Any], files: Sequence[str | os.PathLike[str]]) -> Config:
    """Check a merged config.

    Parameters
    ----------
    config : mapping
        As Snakemake merged it.
    files : sequence of path
        The files it came from, later ones overriding earlier ones: only to name the right one.

    Raises
    ------
    InputError
        One sentence a mistake, each with file, key and mend, all of them together.
    """
    repeated = list(repeated_keys(files))
    try:
        checked = Config.model_validate(copy.deepcopy(dict(config)))
    except ValidationError as error:
        found: dict[str, InputError] = {}
        for item in error.errors():
            problem = sentence(item, Config, files)
            key = f"{problem.place}: {problem.problem if item['type'] == 'extra_forbidden' else ''}"
            if key in found and item["type"] == "literal_error" and isinstance(item["input"], str):
                # A text that is neither a number nor a known word was meant as the word.
                found[key] = problem if "text to YAML" not in found[key].problem else found[key]
            # A value that fits no kind of a union is one mistake, not one a kind.
            found.setdefault(key, problem)
        raise ConfigErrors([*repeated, *found.values()]) from None
    problems = [*repeated, *_cross_checks(checked, files)]
    if problems:
        raise ConfigErrors(problems)
    return checked


def read_config(files: Sequence[str | os.PathLike[str]]) -> Config:
    """Merge config files as Snakemake does, later ones over earlier ones, and check what they make.

    Raises
    ------
    InputError
        If a file cannot be read as settings, and as :func:`load_config`.
    """
    merged: dict[str, Any] = {}
    for file in files:
        merged = _overlaid(merged, _settings_in(file))
    return load_config(merged, files)


def _overlaid(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two files as Snakemake does: mappings key by key, networks of sequences too; all else is replaced."""
    out = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = _overlaid(out[key], value) if both else value
    return out


def _settings_in(file: str | os.PathLike[str]) -> Mapping[str, Any]:
    try:
        content = yaml.load(Path(file).read_text(encoding="utf-8"), LOADER)
    except FileNotFoundError:
        mend = "correct the path, and start this where config.yaml is"
        raise InputError(file, "", "no such file", mend) from None
    except OSError as error:
        raise InputError(file, "", f"cannot be read ({error.strerror})", "name a config file") from None
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(file, "", f"is not YAML ({' '.join(str(error).split())})", "correct it") from None
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        problem = f"holds no settings, but {content!r}"
        raise InputError(file, "", problem, "write each as name: value; config/README.md lists them")
    return content


def _cross_checks(config: Config, files: Sequence[str | os.PathLike[str]]) -> Iterable[InputError]:
    """What no setting can be blamed for alone."""
    yield from _check_folders(config, files)
    for index, dataset in enumerate(config.datasets):
        place = ["datasets", index]
        if dataset in config.datasets[:index]:
            if config.datasets[:index].count(dataset) == 1:
                yield InputError(file_of(files, place), "datasets", f"{dataset} is listed twice", "list it once")
            continue
        if dataset not in config.data:
            near = difflib.get_close_matches(dataset, config.data, 1)
            mend = f"did you mean {near[0]}?" if near else f"known: {first_few(config.data, 12)}"
            yield InputError(file_of(files, place), "datasets", f"{dataset} is not defined under data", mend)
            continue
        here = _Here(config, dataset, files)
        if not config.grids(dataset):
            yield here.mistake("grids", "has no stage left", "leave one that is not null")
            continue
        for check in (
            _check_split,
            _check_scaling,
            _check_others,
            _check_make,
            _check_lists,
            _check_grids,
            _check_stages,
        ):
            yield from check(here)


def _check_folders(config: Config, files: Sequence[str | os.PathLike[str]]) -> Iterable[InputError]:
    for name in sorted(set(RESERVED) & set(config.data)):
        yield InputError(file_of(files, ["data", name]), f"data.{name}", "is the name of another folder", "rename it")
    downloads = config.downloads
    if os.path.normpath(downloads.by_hand) == os.path.normpath(downloads.folder):
        problem = "is downloads.folder itself, where a wrong file is fetched again"
        file = file_of(files, ["downloads", "by_hand"])
        yield InputError(file, "downloads.by_hand", problem, "name a folder of its own")
    if "@" in (downloads.proxy or ""):
        problem = "names a user, and the config is copied into the results"
        mend = "put the proxy in HTTPS_PROXY in the environment"
        yield InputError(file_of(files, ["downloads", "proxy"]), "downloads.proxy", problem, mend)


class _Here:
    """A data set that is run, as its checks see it."""

    def __init__(self, config: Config, dataset: str, files: Sequence[str | os.PathLike[str]]):
        self.config, self.dataset, self.files = config, dataset, files
        self.data = config.data[dataset]
        self.source, self.make = self.data.source, self.data.make
        self.sequences = SEQUENCES.get(getattr(self.make, "set", ""), ())

    @cached_property
    def family(self) -> Family:
        return self.config.family(self.dataset)

    def mistake(self, place: str, problem: str, mend: str, *more: str) -> InputError:
        """A mistake in a setting of the data set or its family, of which ``more`` settings may hold the other half."""
        above = (["families", self.source], ["data", self.dataset])
        places = [[*one, *name.split(".")] for name in (place, *more) for one in above]
        # What all data sets train with stands at the top, too.
        places += [name.split(".") for name in (place, *more) if name.startswith(("training.", "stages."))]
        return InputError(file_of(self.files, *places), f"{self.dataset}: {place}", problem, mend)


def _check_split(here: _Here) -> Iterable[InputError]:
    config, source, split = here.config, here.source, here.family.split
    if source == "screen" and (split.kind == "random" or not split.validation_fraction):
        mend = "split by groups with split.validation_fraction above 0"
        yield here.mistake(
            "split", "a screen needs validation molecules: beta and linear rows are chosen on them", mend
        )
    if source == "simulation" and split.kind in SCREEN_SPLITS:
        yield here.mistake("split.kind", f"{split.kind} is of drug screens", "use random")
    if split.kind == "given" and source != "multibench" and not config.is_own(here.dataset):
        problem = "given is of MultiBench and of your own data, whose sources say who is tested"
        yield here.mistake("split.kind", problem, "use another")
    if source == "multibench" and split.kind not in MULTIBENCH_SPLITS:
        problem, mend = f"{split.kind} is not of MultiBench", f"use one of {', '.join(MULTIBENCH_SPLITS)}"
        yield here.mistake("split.kind", problem, mend)
    elif here.sequences and split.kind != "given":
        problem = f"{split.kind} is not of {here.make.set}, whose source says who is tested"
        yield here.mistake("split.kind", problem, "use given")
    if split.kind == "leave_one_out" and not (split.by and split.values):
        mend = "name a description in split.by and in split.values what is left out of it"
        yield here.mistake("split", "leave_one_out of what?", mend)
    if source == "screen" and config.retrieval.pool == "valtest" and config.folds(here.dataset) > 1:
        problem = f"is valtest, but in the folds of {here.dataset} each molecule is tested once already"
        mend = "set it to test, or split with group_holdout"
        yield InputError(file_of(here.files, ["retrieval", "pool"]), "retrieval.pool", problem, mend)
    if split.kind in ("group_folds", "scaffold") and split.folds < 2:
        problem = f"{split.folds} fold is no cross-validation"
        yield here.mistake("split.folds", problem, "use 2 or more, or group_holdout")
    if len(getattr(here.make, "data_seeds", [])) > 1 and split.kind != "random":
        yield here.mistake("split.kind", f"{split.kind} with several make.data_seeds", "use random")


def _check_scaling(here: _Here) -> Iterable[InputError]:
    for view in here.sequences:
        one = getattr(here.family.scaling, f"view{view}")
        for name in ("unit_norm", "clip_quantile", "clip"):
            if getattr(one, name) not in (False, None):
                problem = "is set, but the view holds sequences, which know standardise alone"
                mend = f"set it to {'false' if name == 'unit_norm' else 'null'}"
                yield here.mistake(f"scaling.view{view}.{name}", problem, mend)


def _check_others(here: _Here) -> Iterable[InputError]:
    """What a data set says of others: what it is a reading of, and what is transferred to it."""
    config, dataset = here.config, here.dataset
    reading = getattr(here.data, "reading", None)
    if reading and not any(dataset in names for names in config.readings().values()):
        mend = "list the data set it departs from, with the same make"
        yield here.mistake("reading", "there is nothing to compare it with", mend)
    for other in config.datasets[: config.datasets.index(dataset)]:
        if reading and reading == getattr(config.data.get(other), "reading", None):
            yield here.mistake("reading", f"says the same as that of {other}", "say how it departs")
    origin = getattr(here.data, "transfer_from", None)
    if origin == dataset or (origin and getattr(config.data.get(origin), "source", None) != "screen"):
        yield here.mistake("transfer_from", f"{origin} is no other screen under data", "name one, or set it to null")
    elif origin and "all" in [view["statistics"] for view in config.family(origin).scaling.model_dump().values()]:
        problem = f"{origin} is scaled by statistics of all rows, and this screen's would be among them"
        yield here.mistake("transfer_from", problem, "set its scaling to statistics: train")


def _check_make(here: _Here) -> Iterable[InputError]:
    make = here.make
    if getattr(make, "variant", None) == "noisy" and make.noise and make.n < NOISY_PAIRS:
        problem = f"{make.n} pairs are too few for the information plane"
        yield here.mistake("make.n", problem, f"use {NOISY_PAIRS} or more")
    made = os.path.abspath(os.path.join(here.config.results, here.dataset, "data"))
    if here.config.is_own(here.dataset) and os.path.abspath(make.path) == made:
        problem = f"{make.path} is where the workflow puts what it has read"
        yield here.mistake("make.path", problem, "keep your folder elsewhere")
    if isinstance(make, MfeatSource) and make.view1 == make.view2:
        yield here.mistake("make.view2", f"{make.view2} is view 1 already", "use another", "make.view1")
    needed = {"file": "table", "cellprofiler": "segmentation"}.get(getattr(make, "route", None))
    if needed and getattr(make, needed) is None:
        problem, mend = f"is null with route: {make.route}", "give it as in config.yaml"
        yield here.mistake(f"make.{needed}", problem, mend, "make.route")
    bounds = getattr(getattr(make, "segmentation", None), "diameter", (0, 1))
    if bounds[0] >= bounds[1]:
        problem = f"ends ({spell(bounds[1])}) where it begins ({spell(bounds[0])}), or before"
        yield here.mistake("make.segmentation.diameter", problem, "give the least first, then the largest")


def _check_lists(here: _Here) -> Iterable[InputError]:
    lists = {
        "seeds": here.family.seeds,
        "make.data_seeds": getattr(here.make, "data_seeds", []),
        "split.values": here.family.split.values or [],
    }
    for stage, grid in here.family.grids.items():
        lists |= {f"grids.{stage}.{axis}": values for axis, values in grid.items()}
    for place, values in lists.items():
        if len(set(values)) < len(values):
            yield here.mistake(place, f"holds a value twice ({first_few(values, 12)})", "list each once")


def _check_grids(here: _Here) -> Iterable[InputError]:
    grids = here.family.grids
    for stage, grid in grids.items():
        if set(grid) != set(STAGES[stage].axes):
            problem = f"has the axes {sorted(grid)}, but {stage} has {list(STAGES[stage].axes)}"
            yield here.mistake(f"grids.{stage}", problem, "correct the axes")
        for axis in STAGES[stage].axes:
            if SELECTED in grid.get(axis, []) and (stage, axis) != ("step2", "beta"):
                mend = "list numbers: only the beta of step 2 is selected, from those of step 1"
                yield here.mistake(f"grids.{stage}.{axis}", "holds selected", mend)
    if "factorcl" in grids and here.source != "multibench":
        problem = f"is not for a {here.source}, where zc and zs are measured: FactorCL has neither"
        yield here.mistake("grids.factorcl", problem, "take it out")
    if "dmvae" in grids and here.sequences:
        problem = f"{here.dataset} holds sequences, which DMVAE does not make"
        yield here.mistake("grids.dmvae", problem, "set it to null")
    step1, step2 = (grids.get(stage, {}).get("beta", []) for stage in ("step1", "step2"))
    if SELECTED in step2 and here.source != "screen":
        problem = "selected needs validation molecules, which only a screen has"
        yield here.mistake("grids.step2.beta", problem, "list numbers")
    for beta in step2:
        if beta != SELECTED and beta not in step1:
            problem = f"{spell(beta)} is not in grids.step1.beta"
            yield here.mistake(
                "grids.step2.beta", problem, "add it there: step 2 starts from step 1", "grids.step1.beta"
            )


def _check_stages(here: _Here) -> Iterable[InputError]:
    """The training settings of each stage, as they come out of all that overrides them."""
    once: dict[str, InputError] = {}  # by what is wrong: the same of every stage
    for stage in here.family.grids:
        width = here.config._merged_training(here.dataset, stage)["dimensions"]
        if here.config.halves_codes(here.dataset, stage) and (width % 2 or width < 4):
            problem = f"{width} cannot be halved, as widths: concatenation asks"
            yield here.mistake("training.dimensions", problem, "use an even number of 4 or more, or widths: each")
            break
        try:
            settings = here.config.training_of(here.dataset, stage)
        except ValidationError as error:
            # What only this stage has is given in its own block, which no model can demand.
            for item in error.errors():
                place = f"stages.{stage}.{item['loc'][0]}"
                yield here.mistake(place, "is missing", "add it; config.yaml shows every setting")
            continue
        between, heads = (getattr(settings.sequences, name, 0) or 1 for name in ("width", "heads"))
        if between % heads:
            problem = f"{heads} do not divide the width {between}"
            once[problem] = here.mistake("training.sequences.heads", problem, f"use a multiple of {heads}")
        if stage == "factorcl" and here.source == "multibench" and width % HEADS and settings.head_width == "divided":
            problem = f"{width} cannot be divided among the {HEADS} projection heads of a view"
            mend = f"use a multiple of {HEADS}, or stages.factorcl.head_width: kept"
            yield here.mistake("training.dimensions", problem, mend, "stages.factorcl.dimensions")
        if here.sequences and settings.sequences is None:
            problem, mend = (
                f"is null, but {here.dataset} holds sequences",
                "say there what encodes them (config/README.md)",
            )
            once[problem] = here.mistake("training.sequences", problem, mend)
        elif here.sequences and not STAGES[stage].divided and settings.sequences.outputs(HOURS) != settings.dimensions:
            put_out = settings.sequences.outputs(HOURS)
            code = f"the code of {stage} is what the {settings.sequences.network} puts out, {put_out}"
            problem = f"is {settings.dimensions}, but {code}"
            yield here.mistake("training.dimensions", problem, f"use {put_out}", f"stages.{stage}.dimensions")
    yield from once.values()


def json_schema() -> dict[str, Any]:
    """Return the config's JSON schema, for editors."""
    return Config.model_json_schema()
