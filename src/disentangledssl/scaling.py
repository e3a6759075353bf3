"""Scaling of a view, fitted on the training rows of a fold and applied to all rows."""

from __future__ import annotations

import numpy as np

from disentangledssl.dataset import PairedDataset
from disentangledssl.settings import ScalingSettings

# Statistics are in double precision; a large screen in it, and a few copies, would be most of a job's memory.
FEATURES_AT_A_TIME = 64
ROWS_AT_A_TIME = 4096


def scale_view(values: np.ndarray, training: np.ndarray, settings: ScalingSettings) -> np.ndarray:
    """Scale ``(rows, features)`` with statistics of the ``training`` rows.

    A feature that is constant on the training rows carries nothing to learn from and becomes 0.

    Notes
    -----
    Source: order and clipping after the reference code of the LINCS set (Wang et al. 2023); choice.
    """
    scaled = np.empty(values.shape, np.float32)
    lengths = _lengths(values) if settings.unit_norm else None
    for start in range(0, values.shape[1], FEATURES_AT_A_TIME):
        columns = slice(start, start + FEATURES_AT_A_TIME)
        block = values[:, columns].astype(np.float64)
        if lengths is not None:
            block /= np.maximum(lengths, 1e-12)
        scaled[:, columns] = _scale_features(block, training, settings)
    return scaled


def _scale_features(values: np.ndarray, training: np.ndarray, settings: ScalingSettings) -> np.ndarray:
    fitted = values if settings.statistics == "all" else values[training]
    if settings.clip_quantile is not None:
        low, high = np.quantile(fitted, [settings.clip_quantile, 1 - settings.clip_quantile], axis=0)
        values, fitted = np.clip(values, low, high), np.clip(fitted, low, high)
    if settings.standardise:
        mean, std = fitted.mean(axis=0), fitted.std(axis=0)
        constant = std <= 1e-12 * np.maximum(np.abs(mean), 1)
        values = np.where(constant, 0, (values - mean) / np.where(constant, 1, std))
    if settings.clip is not None:
        values = np.clip(values, -settings.clip, settings.clip)
    return values


def _lengths(values: np.ndarray) -> np.ndarray:
    blocks = np.array_split(values, len(values) // ROWS_AT_A_TIME + 1)
    return np.concatenate([np.linalg.norm(block.astype(np.float64), axis=1, keepdims=True) for block in blocks])


def scale_fold(
    dataset: PairedDataset, fold: int, settings: tuple[ScalingSettings, ScalingSettings]
) -> tuple[np.ndarray, np.ndarray]:
    """Scale both views of one fold; each row of a view counts once, however many pairs name it."""
    training = dataset.pairs_in(fold, "train")
    return tuple(
        scale_view(view, np.unique(rows[training]), one)
        for view, rows, one in zip(dataset.views, dataset.rows, settings, strict=True)
    )
