"""What a data set names: which columns become targets, and of which kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from disentangledssl.dataset import read_dataset
from disentangledssl.errors import InputError
from disentangledssl.targets import find_targets, strata


@pytest.fixture(scope="module")
def dataset(tiny):
    return read_dataset(tiny)


def described(dataset, **meta):
    pairs = len(dataset.ids)
    return replace(dataset, meta={name: np.resize(np.array(values), pairs) for name, values in meta.items()})


def test_targets_of_every_kind(dataset):
    screen = described(
        dataset, injury_type=["Kinase", "HDAC", "Miscellaneous"], cell_line=["A", "B"], dose_um=[10.0, 0.1, 0.0],
        time_h=[24, 48], plate=["p1", "p2"], batch=[1, 2], compound=["x", "y"],
    )  # fmt: skip
    found = {target.name: target for target in find_targets(screen)}
    kinds = {name: (target.kind, target.of_molecule) for name, target in found.items()}
    assert kinds == {
        "mechanism": ("class", True), "cell_line": ("class", False), "dose": ("number", False),
        "time": ("number", False), "plate": ("nuisance", False), "batch": ("nuisance", False),
    }  # fmt: skip
    assert found["mechanism"].values[:3].tolist() == ["Kinase", "HDAC", ""]
    np.testing.assert_allclose(found["dose"].values[:3], [1, -1, np.nan])
    assert found["time"].values[:2].tolist() == [24.0, 48.0]
    assert found["batch"].values[:2].tolist() == ["1", "2"]
    assert strata(screen)[:2].tolist() == ["A|24", "B|48"]


def test_mechanism_goes_before_injury_type(dataset):
    screen = described(dataset, injury_type=["Kinase", "HDAC"], mechanism=["a", "b"])
    (found,) = find_targets(screen)
    assert (found.name, found.kind, found.of_molecule) == ("mechanism", "class", True)
    assert found.values[:2].tolist() == ["a", "b"]


def test_what_has_one_value_is_no_target(dataset):
    screen = described(
        dataset, cell_line=["A"], dose_um=[10], injury_type=["Kinase", "Miscellaneous"], plate=["p1", "unknown"]
    )
    assert find_targets(screen) == []
    assert set(strata(described(dataset, plate=["p"]))) == {""}


def test_text_in_a_column_of_numbers_is_refused(dataset):
    with pytest.raises(InputError, match=r"meta_dose_um: holds text .*'high'.*; write numbers"):
        find_targets(described(dataset, dose_um=["1", "high"]))
