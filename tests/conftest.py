"""What several test modules share: a tiny paired data set, small settings of every stage, one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from publisher import Publisher

from disentangledssl.dataset import pairs_table, splits_table, view_table
from disentangledssl.files import write_table
from disentangledssl.settings import STAGE_SETTINGS
from disentangledssl.splits import group_folds

MOLECULES = 48


def _write_tiny(folder: Path, *, widths: tuple[int, int] = (30, 17), folds: int = 2, seed: int = 0) -> Path:
    """Write a screen in miniature: 120 profiles of 48 molecules, which share latents; folds of unequal size.

    The molecules are stored in no order, so that row numbers of pairs and of views differ.
    """
    rng = np.random.default_rng(seed)
    molecule = np.repeat(np.arange(MOLECULES), 1 + np.arange(MOLECULES) % 4)
    pairs = len(molecule)
    latents = rng.normal(size=(MOLECULES, 4))
    profiles = latents[molecule] @ rng.normal(size=(4, widths[0])) + rng.normal(size=(pairs, widths[0]))
    structures = latents @ rng.normal(size=(4, widths[1])) + rng.normal(size=(MOLECULES, widths[1]))
    stored = rng.permutation(MOLECULES)
    names = np.array([f"m{k:02d}" for k in range(MOLECULES)])
    ids = [f"p{k:03d}" for k in range(pairs)]
    info = {"name": "tiny", "title": "Tiny", "stand_in": True}
    view1 = view_table(ids, profiles, [f"gene_{k}" for k in range(widths[0])])
    view2 = view_table(names[stored], structures[stored], [f"bit_{k}" for k in range(widths[1])])
    labels, meta = {"c": (latents[molecule, 0] > 0).astype(int)}, {"dose": rng.uniform(size=pairs).tolist()}
    write_table(folder / "view1.parquet", view1, info)
    write_table(folder / "view2.parquet", view2, info)
    write_table(folder / "pairs.parquet", pairs_table(ids, ids, names[molecule], names[molecule], labels, meta), info)
    write_table(folder / "splits.parquet", splits_table(ids, group_folds(names[molecule], folds, 0.1, seed=0)))
    return folder


@pytest.fixture(scope="session")
def write_tiny() -> Callable[..., Path]:
    """The function that writes the tiny data set into a folder (``widths``, ``folds``, ``seed``)."""
    return _write_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny data set; read only."""
    return _write_tiny(tmp_path_factory.mktemp("tiny") / "data")


@pytest.fixture(scope="session")
def write_simulated() -> Callable[..., Path]:
    """A function that writes a small simulated data set, split, into a folder: ``write_simulated(folder, "mixed")``."""
    from disentangledssl.sources.simulation import write_simulation
    from disentangledssl.splits import write_splits

    def write(
        folder: Path, variant: str, *, n: int = 400, data_seeds: Sequence[int] = (0,), noise: float = 1.0
    ) -> Path:
        write_simulation(folder, name=variant, variant=variant, n=n, data_seeds=list(data_seeds), noise=noise)
        write_splits(folder / "pairs.parquet", folder / "splits.parquet", kind="random")
        return folder

    return write


@pytest.fixture(scope="session")
def small() -> Callable[..., dict[str, Any]]:
    """Settings of a small model of a stage: ``small("step1")``, or with others, ``small("step1", hidden=100)``."""
    defaults = {
        "epochs": 2, "batch_size": 16, "mini_batches": "pairs",
        "learning_rate": 1e-3, "hidden": 30, "layers": 3, "dimensions": 10,
        "weight_std": 0.1, "precision": "float32", "temperature": 0.07, "kappa": 1000.0, "orthogonality": "rows",
        "augmentation": {"kind": "drop", "noise_std": 0.01, "drop_fraction": 0.1, "dimensions": None},
        "sequences": None,
        "normaliser": True, "cosine": "signed", "prior_expert": False, "cross_kl": "own", "info_nce_weight": 0.0,
        "head_width": "kept", "critic_hidden": 30,
    }  # fmt: skip

    def settings(stage: str, **others: Any) -> dict[str, Any]:
        fields = STAGE_SETTINGS[stage].model_fields
        assert not set(others) - set(fields), f"{stage} has no {set(others) - set(fields)}"
        return {name: value for name, value in (defaults | others).items() if name in fields}

    return settings


@pytest.fixture(scope="session")
def plain() -> dict[str, Any]:
    """Scaling of one view that does nothing."""
    return {"unit_norm": False, "clip_quantile": None, "standardise": False, "clip": None, "statistics": "train"}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Bit-equal numbers are promised for one thread count; afterwards the old count is back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A web server on this machine, which no proxy of the environment stands before."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with Publisher() as server:
        yield server
