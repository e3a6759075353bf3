"""MultiBench's pickles in miniature, in their true layout: splits of padded clips, and MIMIC's arrays."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

CLIPS = {"train": 24, "valid": 8, "test": 8}
STEPS = 6
WIDTHS = {"vision": 4, "audio": 3, "text": 5}
WORDLESS = 3  # row of train without a word
FILES = {
    "mosi": ("mosi", "mosi_data.pkl"), "mosei": ("mosei", "mosei_senti_data.pkl"),
    "ur_funny": ("ur_funny", "humor.pkl"), "mustard": ("mustard", "sarcasm.pkl"), "mimic": ("mimic", "im.pk"),
}  # fmt: skip


def draw_clips(kind: str = "mosi", seed: int = 0) -> dict[str, dict[str, Any]]:
    """Clips of 1 to 6 steps in float64, padded in front; one of train has no word, and one -inf in audio.

    Sentiment goes from -3 to 3, with zeros; humour is 0 or 1, sarcasm -1 or 1. Vision has numbers in what is padding
    to text, as frames begin before words.
    """
    rng = np.random.default_rng(seed)
    content = {}
    for split, clips in CLIPS.items():
        arrays = {view: rng.normal(size=(clips, STEPS, width)) for view, width in WIDTHS.items()}
        words = rng.integers(1, STEPS + 1, clips)
        for row, count in enumerate(words):
            arrays["text"][row, : STEPS - count] = 0
            arrays["audio"][row, : STEPS - count] = 0
            arrays["vision"][row, : max(0, STEPS - count - 1)] = 0
        # A silent pause within the words is no padding.
        arrays["text"][0, :] = rng.normal(size=(STEPS, WIDTHS["text"]))
        arrays["text"][0, 2] = 0
        if split == "train":
            arrays["text"][WORDLESS] = 0
            arrays["audio"][5, -1, 1] = -np.inf
        if kind in ("mosi", "mosei"):
            labels = rng.integers(-3, 4, (clips, 1, 1)).astype(np.float64)
            labels[:3, 0, 0] = 0, 0.5, -0.5
        else:
            labels = rng.integers(0, 2, (clips, 1, 1)) * (1.0 if kind == "ur_funny" else 2.0)
            labels -= 0 if kind == "ur_funny" else 1
        if kind == "mosei":
            ids = np.array([[f"video{row // 2}", str(row), str(row + 1)] for row in range(clips)])
        else:
            ids = np.array([f"{split}_video{row // 2}[{row}]" for row in range(clips)], object)
        content[split] = {**arrays, "labels": labels, "id": ids}
    return content


def draw_mimic(stays: int = 50, seed: int = 0) -> dict[str, np.ndarray]:
    """Static features, measurements, two kinds of labels; some numbers are missing or infinite."""
    rng = np.random.default_rng(seed)
    content = {
        "ep_tdata": rng.normal(5, 2, (stays, 24, 12)),
        "adm_features_all": rng.normal(size=(stays, 5)),
        "adm_labels_all": rng.integers(0, 2, (stays, 6)).astype(float),
        "y_icd9": rng.integers(0, 2, (stays, 20)).astype(float),
    }
    content["ep_tdata"][4, 3, 2], content["ep_tdata"][9, 0, 0], content["ep_tdata"][9, 1, 0] = np.nan, np.inf, -np.inf
    content["adm_features_all"][7, 4] = np.nan
    return content


def pickled(kind: str, protocol: int = 4, seed: int = 0) -> bytes:
    """Bytes of the file of one set."""
    return pickle.dumps(draw_mimic(seed=seed) if kind == "mimic" else draw_clips(kind, seed), protocol)
