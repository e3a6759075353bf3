"""How many molecules a second does a trained Mol2vec featurise, and does the same seed give the same vectors?

    python benchmarks/featurise.py [--rounds 5] [--epochs 30]

One process, one thread, process CPU time. The model is trained as the workflow does, on all molecules that come with
the repository; then each of them is featurised, from its SMILES text to its vector.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from report import Table, processor

from disentangledssl.mol2vec import corpus, featurise, train

TARGET = 3000
DATA = Path(__file__).parent.parent / "data"
SOURCES = [
    *(DATA / screen / "profiles.parquet" for screen in ("lincs_consensus", "lincs_cells", "cell_injury")),
    DATA / "lincs_meta" / "GSE70138_Broad_LINCS_pert_info_2017-03-06.txt.gz",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30, help="of training Mol2vec")
    options = parser.parse_args()
    smiles = corpus(SOURCES)
    table, rates = Table(), []
    with tempfile.TemporaryDirectory() as folder:
        models = [Path(folder) / f"{name}.parquet" for name in ("first", "second")]
        seconds = []
        for model in models:
            start = time.process_time()
            train(smiles, model, epochs=options.epochs)
            seconds.append(time.process_time() - start)
        vectors = [featurise(smiles, model) for model in models]
        for _ in range(options.rounds):
            start = time.process_time()
            featurise(smiles, models[0])
            rates.append(len(smiles) / (time.process_time() - start))
    table.add(
        "molecules a second and core",
        rates,
        TARGET,
        show=lambda value: f"{value:,.0f}",
        note=f"{len(smiles):,} molecules",
    )
    table.add("training, CPU seconds", seconds, show=lambda value: f"{value:.1f}", note=f"{options.epochs} epochs")
    print(table)
    same = "the same" if np.array_equal(*vectors) else "DIFFERENT"
    print(
        f"\nTrained twice with one seed: {same} vectors, bit for bit. Processor: {processor()}, {os.cpu_count()} cores."
    )


if __name__ == "__main__":
    main()
