"""Maps of a run's shared and specific representations of the test phenotypes, for the eye.

t-SNE of the codes' directions (van der Maaten & Hinton 2008), so that near means a high cosine, as in training. It
starts from the first two principal components (Kobak & Berens 2019: this keeps the coarse layout and makes the map
repeatable) with a fixed seed. Distances between far points and sizes of clouds mean nothing; numbers are in
``contents``. Source: choice.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.preprocessing import normalize

from disentangledssl.dataset import read_dataset
from disentangledssl.errors import InputError
from disentangledssl.files import write_table
from disentangledssl.measurements import label_columns
from disentangledssl.targets import find_targets
from disentangledssl.timings import phase

MAPPED = ("zc1", "zs1")
PERPLEXITY = 30
MOST_PROFILES = 5000
FEWEST_PROFILES = 4
SEED = 0


def map_representations(models: Path, dataset_folder: Path, out: Path, *, run: str) -> None:
    """Write a row a representation and test profile: ``x``, ``y`` and what the screen says of the profile.

    Of more than ``MOST_PROFILES`` an even draw is mapped. No rows if the run diverged. The run is one of step 2, as its
    rows say: pictures show no other stage.

    Raises
    ------
    InputError
        If the run is not in the stack, or a fold has too few test profiles to be mapped.
    """
    from disentangledssl.representations import Models

    with phase("loading"):
        dataset = read_dataset(dataset_folder)
        stack = Models(models, dataset)
    index = stack.index_of(run)
    targets, tables = find_targets(dataset), []
    if stack.runs[index]["status"] == "trained":
        fold = stack.runs[index]["fold"]
        pairs = dataset.pairs_in(fold, "test")
        if len(pairs) < FEWEST_PROFILES:
            problem = f"has {len(pairs)} test profiles; a map wants {FEWEST_PROFILES}"
            raise InputError(Path(dataset_folder, "splits.parquet"), f"column fold_{fold}", problem, "use fewer folds")
        if len(pairs) > MOST_PROFILES:
            pairs = np.sort(np.random.default_rng(SEED).choice(pairs, MOST_PROFILES, replace=False))
        described = {"id": dataset.ids[pairs], "group": dataset.groups[pairs]}
        described |= {target.name: target.values[pairs] for target in targets}
        codes = stack.represent(index)
        for name in MAPPED:
            x, y = place_codes(codes[name][pairs]).T
            tables.append(pd.DataFrame({"representation": name, "x": x, "y": y, **described}))
    columns = ["representation", "x", "y", "id", "group", *(target.name for target in targets)]
    rows = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
    rows = rows.assign(**label_columns(stack.runs[index], "step2", dataset.info))
    write_table(out, pa.Table.from_pandas(rows, preserve_index=False), {"dataset": dict(dataset.info)})


def place_codes(codes: np.ndarray) -> np.ndarray:
    """Place codes ``(profiles, dimensions)`` on a plane: ``(profiles, 2)`` float64, the same each time.

    Codes that are all alike lie upon one another.
    """
    from sklearn.manifold import TSNE

    directions = normalize(codes.astype(np.float64))
    if np.ptp(directions, axis=0).max(initial=0) < 1e-6:
        return np.zeros((len(codes), 2))
    perplexity = min(PERPLEXITY, (len(codes) - 1) / 3)
    # One job: sums of several threads differ in their last bits, which the descent makes large.
    plane = TSNE(init="pca", perplexity=perplexity, random_state=SEED, n_jobs=1)
    return plane.fit_transform(directions).astype(np.float64)
