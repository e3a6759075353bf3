"""Memory and time that a pickle of CMU-MOSEI's shape and size takes to be converted, and then to be read.

    python benchmarks/multibench_convert.py [FOLDER] [--share 1]

Random float64 numbers in the layout of MultiBench: 22,777 clips of at most 50 words, padded in front, 3.7 GB. What is
written into FOLDER (on the disk that is meant; by default a temporary one) is deleted afterwards. Each step is a
process of its own, whose largest memory counts; times are wall times.
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from peak import peak_bytes

from disentangledssl.dataset import read_dataset
from disentangledssl.sources.multibench import PUBLISHED, convert
from disentangledssl.splits import write_splits

STEPS, WIDTHS = 50, {"vision": 35, "audio": 74, "text": 300}
MOST_GB = 8
LITTLE = 2.5  # disk, in sizes of the pickle: itself and what is made of it


def make(folder: Path, share: float) -> None:
    """Write the pickle."""
    rng = np.random.default_rng(0)
    content = {}
    for split, clips in zip(("train", "valid", "test"), PUBLISHED["mosei"], strict=True):
        clips = max(1, int(clips * share))
        arrays = {view: rng.random((clips, STEPS, width)) for view, width in WIDTHS.items()}
        for row, words in enumerate(rng.integers(1, STEPS + 1, clips)):
            for array in arrays.values():
                array[row, : STEPS - words] = 0
        labels = rng.uniform(-3, 3, (clips, 1, 1))
        content[split] = {**arrays, "labels": labels, "id": np.array([[str(row), "0", "1"] for row in range(clips)])}
    with open(folder / "mosei.pkl", "wb") as file:
        pickle.dump(content, file, 4)


def convert_it(folder: Path, share: float) -> None:
    """Convert as the workflow does."""
    convert(folder / "mosei.pkl", folder / "data", name="mosei", make={"set": "mosei", "neutral": "positive"})


def read_it(folder: Path, share: float) -> None:
    """Read as training does."""
    write_splits(folder / "data/pairs.parquet", folder / "data/splits.parquet", kind="given")
    read_dataset(folder / "data")


STEPS_OF = {"make": make, "convert": convert_it, "read": read_it}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="on the disk that is meant")
    parser.add_argument("--share", type=float, default=1, help="of the clips")
    parser.add_argument("--only", choices=STEPS_OF, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        began = time.monotonic()
        STEPS_OF[options.only](options.folder, options.share)
        print(json.dumps({"seconds": time.monotonic() - began, "peak": peak_bytes()}))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        needed = LITTLE * 8 * sum(PUBLISHED["mosei"]) * options.share * STEPS * sum(WIDTHS.values())
        if shutil.disk_usage(folder).free < needed:
            sys.exit(f"{folder}: {needed / 1e9:.1f} GB are needed; name a folder on another disk.")
        print("| step | seconds | peak memory, GB |\n|---|---|---|")
        for step in STEPS_OF:
            command = [sys.executable, __file__, folder, "--share", str(options.share), "--only", step]
            said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(f"| {step} | {said['seconds']:.0f} | {said['peak'] / 1e9:.2f} |", flush=True)
        size, made = Path(folder, "mosei.pkl").stat().st_size, sorted(Path(folder, "data").iterdir())
        sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e9:.2f}" for path in made)
        print(f"\nThe pickle has {size / 1e9:.2f} GB; made of it, in GB: {sizes}. Target: convert in {MOST_GB} GB.")


if __name__ == "__main__":
    main()
