"""The figure of how beta was chosen: the rows it draws, and that it says what the data are."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from disentangledssl.errors import InputError
from disentangledssl.figures import beta_choice


@pytest.fixture
def selection():
    """Two folds; beta = 5 diverged in the second."""
    scores = {0: {0.0: 0.2, 1.0: 0.3, 5.0: 0.1}, 1: {0.0: 0.4, 1.0: 0.1, 5.0: None}}
    return {
        "dataset": {"name": "tiny", "title": "Tiny (stand-in)", "stand_in": True},
        "beta": {"0": 1.0, "1": 0.0},
        "grid": [
            {"fold": fold, "beta": beta, "validation_mrr": score, "random": 0.05, "n_seeds": 1, "n_diverged": 0}
            for fold, one in scores.items()
            for beta, score in one.items()
        ],
    }


def test_rows_hold_every_fold_its_choice_and_the_mean_of_complete_betas(selection):
    rows = beta_choice.select_rows(selection)
    assert set(rows["title"]) == {"Tiny (stand-in)"} and rows["stand_in"].all()
    chosen = rows[rows["chosen"]]
    assert list(zip(chosen["fold"], chosen["beta"], strict=True)) == [(0, 1.0), (1, 0.0)]
    mean = rows[rows["fold"].isna()].set_index("beta")["validation_mrr"]
    # A mean of fewer folds would not be comparable: MRR depends on the molecules.
    assert mean.to_dict() == pytest.approx({0.0: 0.3, 1.0: 0.2})


def test_figure_and_its_rows_are_written(selection, tmp_path):
    source = tmp_path / "selection.json"
    source.write_text(json.dumps(selection))
    beta_choice.plot(source, tmp_path / "beta_choice.png")
    assert (tmp_path / "beta_choice.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "beta_choice.pdf").read_bytes().startswith(b"%PDF")
    assert len(pd.read_csv(tmp_path / "beta_choice.csv")) == 8


def test_without_validation_molecules_there_is_nothing_to_draw(selection, tmp_path):
    for row in selection["grid"]:
        row["validation_mrr"] = None
    source = tmp_path / "selection.json"
    source.write_text(json.dumps(selection))
    with pytest.raises(InputError, match="holds no validation MRR"):
        beta_choice.plot(source, tmp_path / "beta_choice.png")
    assert not list(tmp_path.glob("beta_choice*"))
