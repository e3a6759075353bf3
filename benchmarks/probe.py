"""Speed and accuracy of the linear probe: our solver beside scikit-learn's, on codes of the simulation's size.

    python benchmarks/probe.py [--rounds 3] > table.md

One process, one thread, process CPU time. Three labels of two classes on 72,000 x 200 float32 codes [zc1, zc2]:
once of untrained networks of three layers, once of step 1 (three layers, beta 1) after one epoch. The solvers take
turns, round by round, and every ratio is taken within its round. Ours gets all labels at once; scikit-learn's, with
C = 1 and at most 200 iterations, one after the other.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
import parity
import torch
from report import processor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from disentangledssl.dataset import read_dataset
from disentangledssl.evaluation.linear_probe import probe_accuracies
from disentangledssl.representations import Models
from disentangledssl.sources.simulation import write_simulation
from disentangledssl.splits import write_splits
from disentangledssl.training import train_stack

DEFAULT = "exact (ours)"
# scikit-learn's solver, its tolerance and the precision it gets; the first is its default, and the authors'.
THEIRS = {
    "lbfgs, float64": ("lbfgs", 1e-4, np.float64),
    "lbfgs, float32": ("lbfgs", 1e-4, np.float32),
    "newton-cholesky, float64": ("newton-cholesky", 1e-8, np.float64),
}


def codes_and_labels(folder: Path):
    """Return codes by name, and labels: each a pair of training and test."""
    write_simulation(folder, name="simulation", variant="entangled", n=90_000, data_seeds=[0], noise=0.0)
    write_splits(folder / "pairs.parquet", folder / "splits.parquet", kind="random", train_fraction=0.8, seed=0)
    dataset = read_dataset(folder)
    splits = [dataset.pairs_in(0, split) for split in ("train", "test")]
    train_stack(
        "step1", folder, [{"id": "beta=1,seed=0", "beta": 1, "fold": 0, "seed": 0}],
        settings=parity.settings("step1", epochs=1), scaling=[parity.SCALING] * 2,
        models=folder / "models.safetensors", history=folder / "history.parquet",
    )  # fmt: skip
    trained = Models(folder / "models.safetensors", dataset).represent(0)
    untrained = []
    torch.manual_seed(0)
    for view, rows in zip(dataset.views, dataset.rows, strict=True):
        widths = [view.shape[1], 512, 512, 100]
        layers = [torch.nn.Linear(*pair) for pair in itertools.pairwise(widths)]
        network = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
        with torch.no_grad():
            untrained.append(network(torch.from_numpy(view)).numpy()[rows])
    codes = {
        "untrained networks": np.concatenate(untrained, axis=1),
        "step 1, beta 1, one epoch": np.concatenate([trained["zc1"], trained["zc2"]], axis=1),
    }
    labels = [{name: values[rows] for name, values in dataset.labels.items()} for rows in splits]
    return {name: [values[rows] for rows in splits] for name, values in codes.items()}, labels


def scikit_learns(train, train_labels, test, test_labels, solver, tolerance, dtype) -> dict[str, float]:
    """Return the accuracies of scikit-learn's logistic regression."""
    train, test = train.astype(dtype), test.astype(dtype)
    accuracies = {}
    for label, classes in train_labels.items():
        probe = LogisticRegression(C=1.0, solver=solver, max_iter=200, tol=tolerance).fit(train, classes)
        accuracies[label] = float(np.mean(probe.predict(test) == test_labels[label]))
    return accuracies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    with tempfile.TemporaryDirectory() as folder:
        codes, (train_labels, test_labels) = codes_and_labels(Path(folder))
    print("| codes | solver | CPU seconds: minimum, median, maximum | ours / this | accuracies |")
    print("|---|---|---|---|---|")
    for name, (train, test) in codes.items():
        data = train, train_labels, test, test_labels
        seconds: dict[str, list[float]] = {}
        accuracies = {}
        for _ in range(arguments.rounds):
            for solver in (DEFAULT, *THEIRS):
                start = time.process_time()
                accuracies[solver] = (
                    probe_accuracies(*data) if solver == DEFAULT else scikit_learns(*data, *THEIRS[solver])
                )
                seconds.setdefault(solver, []).append(time.process_time() - start)
        for solver, spent in seconds.items():
            ratio = median(ours / theirs for ours, theirs in zip(seconds[DEFAULT], spent, strict=True))
            points = ", ".join(f"{value:.3f}" for value in (min(spent), median(spent), max(spent)))
            found = ", ".join(f"{label} {value:.4f}" for label, value in accuracies[solver].items())
            print(f"| {name} | {solver} | {points} | 1/{1 / ratio:.1f} | {found} |")
    print(f"\n{processor()}, one thread, PyTorch {torch.__version__}, {arguments.rounds} rounds.")


if __name__ == "__main__":
    main()
