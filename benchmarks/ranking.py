"""How fast are molecules ranked? The test split of LINCS: 17,000 profiles against 663 molecules, 32 dimensions.

    python benchmarks/ranking.py [--rounds 5]

Random codes; CPU time, all threads together, so that other jobs matter little. Besides the paper's ranking (its
target is one second), what else is measured of a run's test split: molecules that rank profiles, averaged profiles,
and the null of 200 permutations.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
from report import Table, processor

from disentangledssl.evaluation import retrieval

PROFILES, MOLECULES, DIMENSIONS, PERMUTATIONS = 17_000, 663, 32, 200
TARGET = 1.0  # seconds


def seconds(work: Callable[[], object], rounds: int) -> list[float]:
    """Return the CPU time of each round, all threads together."""
    took = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    rng = np.random.default_rng(0)
    profiles, molecules = (rng.normal(size=(count, DIMENSIONS)).astype(np.float32) for count in (PROFILES, MOLECULES))
    truth = np.concatenate([np.arange(MOLECULES), rng.integers(MOLECULES, size=PROFILES - MOLECULES)])
    orders = np.stack([rng.permutation(MOLECULES) for _ in range(PERMUTATIONS)])

    def rank():
        return retrieval.expected_metrics(*retrieval.rank_queries(profiles, molecules, truth), MOLECULES)

    def reverse():
        return retrieval.reverse_rows(molecules, profiles, truth, truth)

    def averaged():
        means, own = retrieval.average_directions(profiles, truth), np.arange(MOLECULES)
        return retrieval.expected_metrics(*retrieval.rank_queries(means, molecules, own), MOLECULES)

    def null():
        tables = retrieval.group_tables(profiles, molecules, truth, np.arange(MOLECULES))
        return retrieval.shuffled_means(tables, np.bincount(truth), orders)

    table = Table()
    for name, work, target in (
        ("profiles rank molecules", rank, TARGET),
        ("molecules rank profiles", reverse, None),
        ("averaged profiles rank molecules", averaged, None),
        (f"null of {PERMUTATIONS} permutations", null, None),
    ):
        table.add(name, seconds(work, rounds), target, most=True, show=lambda value: f"{value:.2f} s")
    print(table)
    print(
        f"\n{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {PROFILES:,} profiles, "
        f"{MOLECULES} molecules, {DIMENSIONS} dimensions, numpy {np.__version__}."
    )


if __name__ == "__main__":
    main()
