"""Which of our data sets are the paper's, and how a config departs from the full run.

The Snakefile asks this at every parse, so it is answered from the config, and no result is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from disentangledssl.config import Config

# The paper's name by our set or screen; the routes of a screen that have the paper's measurements, nearest first.
SETS = {"mimic": "MIMIC", "mosei": "MOSEI", "mosi": "MOSI", "ur_funny": "UR-FUNNY", "mustard": "MUSTARD"}
SCREENS = {"rxrx19a": "RXRX19a", "lincs": "LINCS"}
ROUTES = {"lincs": ("curated", "geo"), "rxrx19a": ("file", "cellprofiler")}
NEEDS = {
    "MIMIC": "its file is sent on request, after PhysioNet gave access",
    "MOSEI": "its download wants its terms accepted by name",
    "MOSI": "its download wants its terms accepted by name",
    "UR-FUNNY": "its download wants its terms accepted by name",
    "MUSTARD": "it has to be downloaded",
    "RXRX19a": "its CellProfiler features are published by nobody: place a table, or measure 445 GB of images",
    "LINCS": "it has to be downloaded",
}
ELSEWHERE = "docs/downloads.md"
OF_ITS_OWN = "a data set of this config's own"
# Settings that change what is measured on, but for these: the seeds of draws, of which the paper states none, and how
# files lie.
OF_DATA = ("data.", "split.", "retrieval.pool")
SAME_DATA = ("data.seed", "data.data_seeds", "data.keep_images", "data.table.", "split.seed")


def paper_runs(config: Config, full: Config) -> dict[str, dict[str, str | None]]:
    """Say for each data set of the paper which of the config's stands for it, or why none does.

    One that is made, split or pooled otherwise than by the full config does not.

    Returns
    -------
    dict
        By the paper's name: ``dataset`` (ours, or None) and ``reason`` (why none, or None).
    """
    ranked: dict[str, list[tuple[int, int, str]]] = {name: [] for name in NEEDS}
    departing: dict[str, list[str]] = {name: [] for name in NEEDS}
    for place, dataset in enumerate(config.datasets):
        name, rank = _paper_name(config, dataset)
        if rank is not None and not changed_data(config, full, dataset):
            ranked[name].append((rank, place, dataset))
        elif name:
            departing[name].append(dataset)
    out: dict[str, dict[str, str | None]] = {}
    for name, found in ranked.items():
        reason = f"not among the data sets of this config; {NEEDS[name]} ({ELSEWHERE})"
        if departing[name]:
            why = filter(None, (changed_data(config, full, dataset) for dataset in departing[name]))
            reason = f"run as {', '.join(departing[name])} alone, which departs from the paper's data; "
            reason += "; ".join(why) or NEEDS[name]
        first = min(found)[2] if found else None
        out[name] = {"dataset": first, "reason": None if first else reason}
    return out


def other_runs(config: Config, full: Config) -> dict[str, str]:
    """Say of each MultiBench set and screen of the config that stands for none of the paper's, why it does not."""
    taken = {one["dataset"]: name for name, one in paper_runs(config, full).items() if one["dataset"]}
    out = {}
    for dataset in config.datasets:
        if config.data[dataset].source == "simulation" or dataset in taken:
            continue
        name, rank = _paper_name(config, dataset)
        changed = changed_data(config, full, dataset)
        if rank is not None and changed:
            out[dataset] = f"other data than the paper's {name}: {changed}"
        elif rank is not None:
            (instead,) = [one for one, of in taken.items() if of == name]
            out[dataset] = f"the paper's {name} is set beside {instead}"
        elif name:
            out[dataset] = f"other measurements than the paper's {name}"
        elif config.is_own(dataset):
            out[dataset] = "your own data"
        else:
            out[dataset] = "stands in for the paper's data"
    return out


def _paper_name(config: Config, dataset: str) -> tuple[str | None, int | None]:
    """Return the paper's name of a data set, if it has one, and how near the data are (None: not the paper's)."""
    data = config.data[dataset]
    if data.source == "multibench" and getattr(data.make, "set", None) in SETS:
        return SETS[data.make.set], 0
    screen = getattr(data.make, "screen", None)
    if screen not in SCREENS:
        return None, None
    routes = ROUTES[screen]
    return SCREENS[screen], routes.index(data.make.route) if data.make.route in routes else None


def departures(config: Config, full: Config, dataset: str) -> str:
    """Say in what one data set's run differs from that of the full config, which has the paper's settings.

    It is set beside that one of the full config's data sets that is made of the same, whatever its name. Grids and
    seeds are left out: every table names the setting and the number of seeds of its numbers.
    """
    said = _differing(config, full, dataset)
    return OF_ITS_OWN if said is None else "; ".join(text for _, text in said)


def changed_data(config: Config, full: Config, dataset: str) -> str:
    """Say in what the data differ from those of the full config: the departures that are no settings of a method."""
    said = _differing(config, full, dataset)
    if said is None:
        return OF_ITS_OWN
    return "; ".join(text for name, text in said if name.startswith(OF_DATA) and not name.startswith(SAME_DATA))


def _differing(config: Config, full: Config, dataset: str) -> list[tuple[str, str]] | None:
    """List names of settings that differ, and what to say of each; None where there is nothing to set it beside."""
    beside = _alike(config, full, dataset)
    if beside is None:
        return None
    ours, theirs = (_flat(_settings(one, name)) for one, name in ((config, dataset), (full, beside)))
    differing: dict[tuple[str, str], list[str]] = {}
    for key in ours:
        if key in theirs and ours[key] != theirs[key]:
            stage, _, name = key.rpartition("/")
            values = ("none" if one[key] is None else one[key] for one in (ours, theirs))
            differing.setdefault((name, "{} (full run: {})".format(*values)), []).append(stage)
    stages = {key.rpartition("/")[0] for key in ours} - {""}
    said = []
    for (name, values), where in differing.items():
        everywhere = where == [""] or stages <= set(where)
        said.append((name, f"{name} {values}" if everywhere else f"{name} of {', '.join(where)} {values}"))
    return said


def _alike(config: Config, full: Config, dataset: str) -> str | None:
    """Name the full config's data set of the same screen (of its route, if there is one), set or variant.

    Of several it is that of the same name.
    """
    if config.is_own(dataset):
        return None

    def made_of(one: Config, name: str, *keys: str) -> tuple[str | None, ...]:
        return tuple(getattr(one.data[name].make, key, None) for key in keys)

    for keys in (("screen", "set", "variant", "route"), ("screen", "set", "variant")):
        for name in sorted(full.data, key=lambda name: name != dataset):
            if made_of(full, name, *keys) == made_of(config, dataset, *keys):
                return name
    return None


def _settings(config: Config, dataset: str) -> dict[str, Any]:
    data, family = config.data[dataset], config.family(dataset)
    out = {f"{stage}/": config.training_of(dataset, stage).model_dump() for stage in family.grids}
    kept = {"widths", "step2_starts_from", "scaling", "split"}
    out |= {"": family.model_dump(include=kept) | {"data": data.make.model_dump()}}
    # What they come to: kinds that make one fold heed neither, and folds of a simulation are further draws.
    folds = (config.folds(dataset), config.used_folds(dataset)) if family.split.kind != "random" else (None, None)
    out[""]["split"] |= zip(("folds", "use_folds"), folds, strict=True)
    if data.source == "screen":
        out[""] |= {
            "mol2vec": config.mol2vec.model_dump(), "decoders": config.decoders_of(dataset).model_dump(),
            "retrieval": config.retrieval.model_dump(include={"pool"}),
        }  # fmt: skip
    else:
        out[""] |= {"probe": config.probe.model_dump()}
    return out


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            out |= _flat(value, name if not name or name.endswith("/") else f"{name}.")
        else:
            out[name] = value
    return out
