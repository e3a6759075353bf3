"""RxRx19a's images to CellProfiler's measurements, a plate at a time and going on where it was interrupted.

Fetched, segmented (``sources.segmentation``), measured by ``cp_measure``, which is CellProfiler's measurements without
CellProfiler, and put together to a profile of each well by ``pycytominer``: the median over its cells.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from disentangledssl.errors import InputError
from disentangledssl.files import read_json, read_table, table_info, write_table
from disentangledssl.sources.segmentation import segment

SITES = (1, 2, 3, 4)
CHANNELS = ("Hoechst", "ConA", "Phalloidin", "Syto14", "WGA")  # w1 to w5
NUCLEI, CELLS = CHANNELS.index("Hoechst"), CHANNELS.index("Phalloidin")
OBJECTS = ("Nuclei", "Cells", "Cytoplasm")
BRIGHTEST = 255
# As a current pipeline for these images has it (github.com/WayScience/RxRx19a-reanalysis).
PARAMETERS = {"texture_params": {"scale": 3}, "correlation_costes_params": {"scale_max": BRIGHTEST}}
# Where on the image a cell lies, and how it is turned, is no matter of the drug.
POSITIONS = ("_Center_", "_BoundingBoxMinimum_", "_BoundingBoxMaximum_", "_Location_", "_Orientation")
PACKAGES = {"cp_measure": "cp_measure", "pycytominer": "pycytominer", "skimage": "scikit-image", "PIL": "pillow"}

log = logging.getLogger(__name__)


def measure_plate(
    plates: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    experiment: str,
    plate: str,
    settings: Mapping[str, Any],
    keep_images: bool,
    code: str,
    folder: str | os.PathLike[str],
    fetch: Callable[[Sequence[Path]], None],
) -> None:
    """Write the profile of every well of a plate: ``well_id``, ``Metadata_Count_Cells``, features (Parquet).

    Each well that is finished is kept beside ``out`` until the plate is, so an interrupted plate goes on from there.

    Parameters
    ----------
    plates : path
        What ``sources.rxrx19a.list_plates`` wrote.
    out : path
    experiment, plate : text
    settings : mapping
        Of the segmentation, see ``config.Segmentation``.
    keep_images : bool
        Whether images stay after their well is measured.
    code : text
        Version of the code: a well that another measured is measured again.
    folder : path
        Where images lie, by experiment and plate.
    fetch : function
        Makes sure that files are there, such as ``download.fetch_all``, whose version is no matter of what is measured.

    Raises
    ------
    InputError
        If a package is missing, or an image cannot be had or read.
    """
    check_packages()
    wells, out = read_json(plates)[experiment][plate], Path(out)
    kept = out.with_suffix("")
    info = {"settings": json.loads(json.dumps(dict(settings))), "code": code}
    parts = []
    for number, well in enumerate(wells, 1):
        part = kept / f"{well}.parquet"
        if not part.exists() or table_info(read_table(part)) != info:
            place = Path(folder, experiment, f"Plate{plate}")
            images = [place / f"{well}_s{site}_w{k + 1}.png" for site in SITES for k in range(len(CHANNELS))]
            fetch(images)
            profile = measure_well(read_sites(images), f"{experiment}_{plate}_{well}", settings)
            write_table(part, pa.Table.from_pandas(profile, preserve_index=False), info)
            if not keep_images:
                for image in images:
                    image.unlink()
        parts.append(part)
        log.info("%s, well %d of %d: %s", out, number, len(wells), well)
    # A well without cells has no features.
    whole = pa.concat_tables([read_table(part) for part in parts], promote_options="default")
    write_table(out, whole, info)
    # With what a killed process left there, and wells that are asked for no longer.
    shutil.rmtree(kept, ignore_errors=True)


def check_packages() -> None:
    """Refuse to begin without the optional packages.

    Raises
    ------
    InputError
        That names what is missing.
    """
    missing = [name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        problem = f"cellprofiler needs {', '.join(missing)}, which is not installed"
        raise InputError("config", "make.route", problem, "pip install -e '.[images]', or take another route")


def read_sites(paths: Sequence[Path]) -> np.ndarray:
    """Read the images of a well, ``(sites, channels, y, x)``, as numbers from 0 to 1.

    Raises
    ------
    InputError
        If one cannot be read, is not 8-bit grey, or differs from the others in size.
    """
    from PIL import Image, UnidentifiedImageError

    found = []
    for path in paths:
        try:
            with Image.open(path) as image:
                values = np.asarray(image)
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            problem = f"cannot be read as an image ({' '.join(str(error).split())})"
            raise InputError(path, "", problem, "delete it and run again") from None
        if values.dtype != np.uint8 or values.ndim != 2 or (found and values.shape != found[0].shape):
            like = f", not {found[0].shape} as others" if found else ""
            problem = f"holds {values.dtype} of shape {values.shape}{like}; 8-bit grey was expected"
            raise InputError(path, "", problem, "use the images as published")
        found.append(values)
    return np.stack(found).reshape(-1, len(CHANNELS), *found[0].shape) / BRIGHTEST


def measure_well(images: np.ndarray, name: str, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Measure the cells of a well and take the median of each feature over them.

    Parameters
    ----------
    images : array, ``(sites, channels, y, x)``
    name : text
        ``well_id`` of the row.
    settings : mapping
        Of the segmentation.

    Returns
    -------
    data frame
        One row: ``well_id``, ``Metadata_Count_Cells`` and, unless there is no cell, ``<object>_<feature>``, without
        positions.
    """
    from pycytominer import aggregate

    cells = measure_cells(images, settings)
    profile = pd.DataFrame({"well_id": [name], "Metadata_Count_Cells": [cells["site"].size]})
    if cells.empty:
        return profile
    measured = cells.columns.drop(["site", "label"])
    features = [name for name in measured if not any(part in name for part in POSITIONS)]
    medians = aggregate(cells.assign(well_id=name), strata=["well_id"], features=features, operation="median")
    return profile.merge(medians, on="well_id")


def measure_cells(images: np.ndarray, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Measure every cell of a well: ``site``, ``label``, then features of nucleus, cell and cytoplasm."""
    from cp_measure.featurizer import featurize, make_featurizer_config

    smoothing, diameter = settings["smoothing"], tuple(settings["diameter"])
    labels = np.stack([segment(one[NUCLEI], one[CELLS], smoothing=smoothing, diameter=diameter) for one in images])
    found = [site for site in range(len(images)) if labels[site, 0].any()]
    if not found:
        return pd.DataFrame({"site": [], "label": []})
    config = make_featurizer_config(list(CHANNELS), objects=list(OBJECTS), **PARAMETERS)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Of features that a cell of this form does not have; they are NaN.
        warnings.simplefilter("ignore")
        values, columns, rows = featurize(images[found], labels[found], config, image_ids=found)
    of_rows = pd.DataFrame(rows, columns=["site", "object", "label"])
    parts = []
    for kind in OBJECTS:
        mine = (of_rows["object"] == kind).to_numpy()
        names = [f"{kind}_{column}" for column in columns]
        index = pd.MultiIndex.from_frame(of_rows.loc[mine, ["site", "label"]])
        parts.append(pd.DataFrame(values[mine], index=index, columns=names))
    return pd.concat(parts, axis=1).reset_index()
