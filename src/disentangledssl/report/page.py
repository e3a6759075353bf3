"""One page of a whole run, ``report.html``: no file beside it is needed to read it, none is fetched.

The tables and figures of the config, with the captions that Snakemake's own report shows too; what was run, on what
data; the workflow's graph; how long the jobs took; versions and config. Two runs of the same give the same page, but
for the section of run times.
"""

from __future__ import annotations

import base64
import datetime
import os
import struct
import time
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import psutil
import pyarrow.compute as pc
import yaml
from markupsafe import Markup

from disentangledssl.atomic import atomic
from disentangledssl.errors import InputError
from disentangledssl.files import read_json, read_table, table_info
from disentangledssl.report import graph, table, times
from disentangledssl.report.captions import render_caption
from disentangledssl.report.markdown import in_bold, read_blocks

# What is read first comes first; categories that are not named here follow.
CATEGORIES = ("Against the paper", "Simulation", "MultiBench", "Drug screens")
OF_ALL = ("", "all")  # labels of what is of no one data set
INCH, ENLARGED = 96, 1.35  # CSS pixels in one; figures are drawn for print, whose letters are small on a screen


def write_report(
    out: Path,
    *,
    outputs: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]],
    kinds: Mapping[str, str],
) -> None:
    """Write the page.

    Parameters
    ----------
    out : path
        In the folder of results, which also holds ``manifest.json`` and ``workflow.json``.
    outputs : sequence of mapping
        Tables (CSV, or Markdown) and figures (PNG) in the order in which they are shown: ``file`` (in that folder),
        ``category``, ``labels`` (``table`` or ``figure``: its title; ``data set``), ``caption`` (path of a template),
        ``wildcards``.
    runs : sequence of mapping
        What the config asks for (:meth:`disentangledssl.plan.Plan.asked`).
    kinds : mapping of str to str
        By data set, whether it is simulated, stands in for the paper's, is as published, or the user's own.

    Raises
    ------
    InputError
        If a file is missing or cannot be read, or a caption cannot be shown.
    """
    results = out.parent
    manifest, steps = read_json(results / "manifest.json"), _steps(results)
    data = [_data_set(results, name, kind) for name, kind in kinds.items()]
    # The page itself is under way, and below everything.
    jobs = {name: step["jobs"] for name, step in steps.items() if name != "report"}
    measured = {name: times.total([Path(job["benchmark"]) for job in one]) for name, one in jobs.items()}
    text = _template().render(
        name=results.name,
        version=manifest["disentangledssl"],
        categories=_categories(results, outputs, manifest["config"], data),
        runs=runs,
        run_table=_table(list(runs)),
        data=data,
        stand_ins=[one["name"] for one in data if one["stand_in"]],
        graph=graph.draw({name: set(steps[name]["after"]) for name in jobs}, {name: len(jobs[name]) for name in jobs}),
        padding=graph.PADDING,
        line_height=graph.LINE,
        step_table=_table([{"rule": name, "jobs": len(step["jobs"]), "reads what these make": ", ".join(step["after"])}
                           for name, step in steps.items()]),
        time_table=_table([_time_row("rule", name, one) for name, one in measured.items()]),
        data_time_table=_table(_by_data_set(jobs)),
        all_times=times.total([Path(job["benchmark"]) for one in jobs.values() for job in one]),
        start=times.last_start(results, time.time()),
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cores=os.cpu_count(),
        memory=round(psutil.virtual_memory().total / 2**30),
        versions=_versions(manifest),
        config=yaml.safe_dump(manifest["config"], sort_keys=False, allow_unicode=True),
    )  # fmt: skip
    with atomic(out) as part:
        part.write_text(text, encoding="utf-8")


def _template() -> jinja2.Template:
    folder = resources.files("disentangledssl.report")

    def own(name: str) -> Markup:
        return Markup(folder.joinpath(name).read_text(encoding="utf-8"))

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.globals.update(
        style=own("style.css"),
        script=own("sort.js"),
        in_words=_in_words,
        in_bold=in_bold,
        as_verdict=lambda word: table.show_table("", ["verdict"], [[word]]).rows[0][0],
    )
    return environment.from_string(folder.joinpath("page.html").read_text(encoding="utf-8"))


def _in_words(picked: Mapping[str, Sequence[str]]) -> str:
    """Say which rows are meant.

    >>> _in_words({"unit": ["per_molecule"], "cell_line": [""], "metric": ["mrr", "top1"]})
    'unit is per_molecule, cell_line is empty, metric is mrr or top1'
    """
    return ", ".join(
        f"{column} is {' or '.join(one or 'empty' for one in values)}" for column, values in picked.items()
    )


def _steps(results: Path) -> dict[str, dict[str, Any]]:
    """Read of which rules and jobs the run consists.

    Plates that are measured were planned, in a first run, when it was under way: they are known by their benchmarks.
    """
    steps = read_json(results / "workflow.json")
    plates = sorted(results.glob("benchmarks/*/measurements/*/Plate*.tsv"))
    if plates and "list_plates" in steps and "measure_plate" not in steps:
        jobs = [{"dataset": path.parents[2].name, "benchmark": str(path)} for path in plates]
        steps["measure_plate"] = {"after": ["list_plates"], "jobs": jobs}
        curation = steps["curate_rxrx19a"]
        curation["after"] = sorted({*curation["after"], "measure_plate"})
    return dict(sorted(steps.items()))


def _data_set(results: Path, name: str, kind: str) -> dict[str, Any]:
    pairs = read_table(results / name / "data" / "pairs.parquet", ["group"])
    info = table_info(pairs)
    return {
        "name": name, "kind": kind, "title": info["title"], "stand_in": info["stand_in"],
        "source": info.get("source", ""), "pairs": pairs.num_rows, "groups": pc.count_distinct(pairs["group"]).as_py(),
    }  # fmt: skip


def _categories(
    results: Path, outputs: Sequence[Mapping[str, Any]], config: Mapping[str, Any], data: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Sort outputs by category, then by data set, figures first."""
    by_name = {one["name"]: one for one in data}
    found: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in CATEGORIES}
    for output in outputs:
        group = output["labels"].get("data set", "")
        group = "" if group in OF_ALL else group
        found.setdefault(output["category"], {}).setdefault(group, []).append(_output(results, output, config))
    return [
        {
            "name": category,
            "groups": [
                {
                    "name": name, "data": by_name.get(name),
                    "title": f"{name}: {by_name[name]['title']}" if name in by_name else name or "All data sets",
                    "outputs": sorted(shown, key=lambda one: "image" not in one),
                }
                for name, shown in groups.items()
            ],
        }
        for category, groups in found.items() if groups
    ]  # fmt: skip


def _output(results: Path, output: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    path, labels = results / output["file"], output["labels"]
    title = _title(labels)
    dataset = labels.get("data set", "")
    shown = {
        "file": output["file"], "title": title, "label": title if dataset in OF_ALL else f"{title}, {dataset}",
        "caption": render_caption(Path(output["caption"]), output["wildcards"], config), "table": None, "blocks": None,
    }  # fmt: skip
    beside = [path.with_suffix(ending) for ending in (".csv", ".parquet", ".pdf", ".md", ".tex")]
    shown["files"] = [str(one.relative_to(results)) for one in beside if one.exists()]
    if path.suffix == ".png":
        return shown | _image(path) | {"alt": f"{shown['label']}. Its numbers are in {shown['files'][0]}."}
    if path.suffix == ".md":
        return shown | {"blocks": read_blocks(path.read_text(encoding="utf-8"))}
    head, rows = table.read_csv(path)
    return shown | {"table": table.show_table(path.stem, head, rows)}


def _title(labels: Mapping[str, str]) -> str:
    """Name an output as a heading does.

    >>> _title({"figure": "4a"}), _title({"data set": "all", "table": "linear probes"})
    ('Figure 4a', 'Linear probes')
    """
    title = labels.get("figure") or labels["table"]
    return f"Figure {title}" if title[0].isdigit() else title[0].upper() + title[1:]


def _image(path: Path) -> dict[str, Any]:
    """Put a PNG into the page, with the size that it is drawn for."""
    content = path.read_bytes()
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise InputError(path, "", "is no PNG", "delete it and run again")
    width, height = struct.unpack(">II", content[16:24])
    at = content.find(b"pHYs")
    # Pixels a metre, where the file says; else as many as a screen has.
    scale = INCH / (struct.unpack(">I", content[at + 4 : at + 8])[0] * 0.0254) if at > 0 else 1
    return {
        "image": f"data:image/png;base64,{base64.b64encode(content).decode()}",
        "drawn": round(width * scale),
        "width": round(ENLARGED * width * scale),
        "height": round(ENLARGED * height * scale),
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> table.Table:
    """Show rows of our own: all of them, and every column."""
    head = list(rows[0]) if rows else []
    columns = [table.Column(name, "", _kind([row[name] for row in rows])) for name in head]
    cells = [[table.Cell(_spell(row[name]), "", "") for name in head] for row in rows]
    return table.Table(columns, cells, len(rows), [], [], {}, [], {}, {})


def _kind(values: Sequence[Any]) -> str:
    if all(isinstance(value, int | float) for value in values):
        return "number"
    return "word" if all(len(value) <= table.WORD for value in values) else "text"


def _spell(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _time_row(kind: str, name: str, one: times.Times) -> dict[str, Any]:
    return {
        kind: name, "jobs": one.jobs, "measured": one.measured, "seconds": one.seconds, "CPU seconds": one.cpu_seconds,
        "around the work": one.around_seconds, "memory, MB": round(one.memory),
    }  # fmt: skip


def _by_data_set(jobs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    found: dict[str, list[Path]] = {}
    for one in (job for several in jobs.values() for job in several):
        found.setdefault(one["dataset"] or "all together", []).append(Path(one["benchmark"]))
    return [_time_row("data set", name, times.total(files)) for name, files in found.items()]


def _versions(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    commit = manifest["commit"] or "unknown"
    rest = {"disentangledssl": manifest["disentangledssl"],
            "commit": f"{commit}, with uncommitted changes" if manifest["uncommitted_changes"] else commit,
            "python": manifest["python"], "platform": manifest["platform"]}  # fmt: skip
    return [*rest.items(), *((name, version or "not installed") for name, version in manifest["packages"].items())]
