"""What the number of CPU threads may change: less than docs/design.md allows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from disentangledssl.dataset import read_dataset
from disentangledssl.evaluation.linear_probe import probe_predictions
from disentangledssl.representations import Models
from disentangledssl.training import train_stack

# docs/design.md, "Randomness": of the standard deviation of the codes; and of test pairs.
TOLERANCE, FLIPPED = 1e-3, 0.002
RUN = {"id": "beta=1,fold=0,seed=0", "beta": 1, "fold": 0, "seed": 0}


@pytest.mark.usefixtures("one_thread")
def test_one_and_two_threads_end_in_the_same_within_the_tolerance(write_simulated, small, plain, tmp_path):
    """At the widths of the paper, where matrix products are large enough for threads to share them."""
    folder = write_simulated(tmp_path / "data", "entangled", n=2000)
    dataset = read_dataset(folder)
    train, test = dataset.pairs_in(0, "train"), dataset.pairs_in(0, "test")
    settings = small("step1", epochs=2, batch_size=256, hidden=512, dimensions=100, learning_rate=1e-4)
    codes, predicted = [], []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        models = tmp_path / str(threads) / "models.safetensors"
        train_stack(
            "step1", folder, [RUN], settings=settings, scaling=[plain, plain], models=models,
            history=models.with_name("history.parquet"),
        )  # fmt: skip
        codes.append(Models(models, dataset).represent(0))
        both = np.concatenate([codes[-1]["zc1"], codes[-1]["zc2"]], axis=1)
        with threadpool_limits(threads, user_api="blas"):
            labels = {"c": dataset.labels["c"][train]}
            predicted.append(probe_predictions(both[train], labels, both[test])["c"])
    for name in ("zc1", "zc2"):
        difference = np.abs(codes[0][name] - codes[1][name]).max() / codes[0][name].std()
        assert difference < TOLERANCE, f"{name}: {difference:.1e} of a standard deviation"
    assert np.mean(predicted[0] != predicted[1]) <= FLIPPED
