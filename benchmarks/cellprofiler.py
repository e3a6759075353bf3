"""What does it cost to measure a well of RxRx19a as CellProfiler does, and what would the whole screen?

    python benchmarks/cellprofiler.py [--size 1024] [--cells 100] [--rounds 1]

Needs the optional dependencies (pip install -e '.[images]'). Draws a site of noisy, roundish cells, segments
and measures it, and says how long each part took and what the screen takes at that rate.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import psutil

from disentangledssl.sources.cellprofiler import CELLS, CHANNELS, NUCLEI, SITES, check_packages, measure_cells
from disentangledssl.sources.segmentation import segment

WELLS = 60_000  # treated, infected HRCE wells; control wells are a few per cent more
SETTINGS = {"smoothing": 1.0, "diameter": [12, 60]}
RADII = (9.0, 14.0)  # of nuclei, in pixels


def draw(size: int, cells: int) -> np.ndarray:
    """Draw a site, ``(1, channels, y, x)`` from 0 to 1: cells on a jittered lattice, so that few overlap."""
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 0.04, (len(CHANNELS), size, size))
    side = int(np.ceil(np.sqrt(cells)))
    step = size / side
    y, x = np.mgrid[:size, :size]
    for number in range(cells):
        row, column = (np.array(divmod(number, side)) + rng.uniform(0.35, 0.65, 2)) * step
        radius = rng.uniform(*RADII)
        reach = int(4 * radius)
        window = tuple(slice(max(0, int(middle) - reach), int(middle) + reach) for middle in (row, column))
        distance = np.hypot(y[window] - row, 1.2 * (x[window] - column))
        for channel in range(len(CHANNELS)):
            inside = distance < (radius if channel == NUCLEI else 2.2 * radius)
            image[channel][window] += inside * rng.uniform(0.2, 0.5) * rng.uniform(0.7, 1, distance.shape)
    return np.round(255 * np.clip(image, 0, 1))[None] / 255


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=1024, help="pixels of a side; RxRx19a's is 1024")
    parser.add_argument("--cells", type=int, default=100, help="cells of a site")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    check_packages()
    images = draw(options.size, options.cells)
    took: dict[str, list[float]] = {"segment": [], "segment and measure": []}
    for _ in range(options.rounds):
        start = time.process_time()
        labels = segment(
            images[0, NUCLEI], images[0, CELLS], smoothing=SETTINGS["smoothing"], diameter=SETTINGS["diameter"]
        )
        took["segment"].append(time.process_time() - start)
        start = time.process_time()
        cells = measure_cells(images, SETTINGS)
        took["segment and measure"].append(time.process_time() - start)
    print(f"{options.size} x {options.size} pixels, {labels[0].max()} cells found of {options.cells} drawn, ", end="")
    print(f"{len(cells.columns) - 2:,} features, {options.rounds} rounds, medians of CPU time\n")
    print("| part | seconds a site | seconds a well | CPU hours a screen |")
    print("|---|---|---|---|")
    for part, seconds in took.items():
        site = statistics.median(seconds)
        well = site * len(SITES)
        print(f"| {part} | {site:.1f} | {well:.1f} | {well * WELLS / 3600:,.0f} |")
    peak = psutil.Process().memory_info().rss / 1e9
    print(f"\n{WELLS:,} wells of {len(SITES)} sites. This process held {peak:.1f} GB at the end.")


if __name__ == "__main__":
    main()
