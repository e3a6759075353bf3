"""How fast are wells read from a GCTX file, beside the disk's own rate on the same file?

    python benchmarks/gctx.py [FOLDER] [--gigabytes 4] [--rounds 3]

Makes a file of the shape of LINCS L1000 (12,328 genes, as many wells as fit), and deletes it at the end. Before each
reading its pages are dropped from memory; the line below the table says how much really came from the disk.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import psutil

from disentangledssl.sources.gctx import BLOCK_BYTES, GENES, MATRIX, WELLS, read_wells, stretches

GENE_COUNT, LANDMARKS = 12_328, 978
ROW_BYTES = 4 * GENE_COUNT
ROWS = 1000  # wells that are written at once
TARGET = 1 / 3
# Of all wells: what LINCS takes (profiles and vehicles of 1.3 million), and all.
SHARES = {"wells here and there, 1 in 12": 1 / 12, "half of the wells": 1 / 2, "every well": 1.0}


def write(path: Path, wells: int) -> None:
    """Write a matrix of random numbers, one after the other on the disk, as GEO's are."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file.attrs["version"] = "GCTX1.0"
        matrix = file.create_dataset(MATRIX, (wells, GENE_COUNT), np.float32)
        for start in range(0, wells, ROWS):
            matrix[start : start + ROWS] = rng.random((min(ROWS, wells - start), GENE_COUNT), np.float32)
        file[WELLS] = np.array([f"PLATE{k // 384:04d}_A375_24H:{k % 384:03d}" for k in range(wells)], "S")
        file[GENES] = np.arange(GENE_COUNT).astype("S")


def forget(path: Path) -> None:
    """Drop the file's pages from memory."""
    with path.open("rb") as file:
        os.fsync(file.fileno())  # what is not on the disk yet is not dropped
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_through(path: Path) -> int:
    """Read the whole file from its first byte to its last; return its bytes."""
    buffer, total = bytearray(BLOCK_BYTES), 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total += count
    return total


def timed(path: Path, read: Callable[[], object]) -> tuple[float, float]:
    """Return seconds of a reading that begins on the disk, and the bytes that came from there."""
    forget(path)
    before, start = psutil.Process().io_counters().read_bytes, time.perf_counter()
    read()
    return time.perf_counter() - start, psutil.Process().io_counters().read_bytes - before


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="on the disk that is meant")
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    wells = int(options.gigabytes * 1e9 / ROW_BYTES)
    rng = np.random.default_rng(1)
    genes = rng.choice(GENE_COUNT, LANDMARKS, replace=False).astype(str).tolist()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder, "benchmark.gctx")
        write(path, wells)
        size = path.stat().st_size
        with h5py.File(path) as file:
            names = file[WELLS].asstr()[:]
        print(f"{size / 1e9:.1f} GB, {wells:,} wells, {options.rounds} rounds, medians\n")
        print("| read | wells | seconds | MB/s that it read | the disk's | ratio | MB/s of what was asked for |")
        print("|---|---|---|---|---|---|---|")
        came = []
        for what, share in SHARES.items():
            rows = np.flatnonzero(rng.random(wells) < share)
            # In the order of a table, which is not that of the file.
            chosen = rng.permutation(names[rows]).tolist()
            covered = sum(stop - start for _, start, stop in stretches(rows, ROW_BYTES, 1, wells)) * ROW_BYTES
            took, disk, ratios = [], [], []
            for _ in range(options.rounds):
                # Each beside the whole file, so that others who use the disk slow both.
                seconds, bytes_read = timed(path, lambda: read_through(path))
                disk.append(size / seconds)
                came.append(bytes_read / size)
                took.append(timed(path, lambda chosen=chosen: read_wells(path, chosen, genes))[0])
                ratios.append(covered / took[-1] / disk[-1])
            seconds, asked = statistics.median(took), len(chosen) * ROW_BYTES
            rates = [f"{rate / 1e6:.0f}" for rate in (covered / seconds, statistics.median(disk), asked / seconds)]
            ratio = f"{statistics.median(ratios):.2f}"
            cells = (what, f"{len(chosen):,}", f"{seconds:.2f}", *rates[:2], ratio, rates[2])
            print(f"| {' | '.join(cells)} |", flush=True)
        print(
            f"\nOf the whole file, {100 * min(came):.0f} % or more came from the disk. Target: a ratio of {TARGET:.2f}."
        )


if __name__ == "__main__":
    main()
