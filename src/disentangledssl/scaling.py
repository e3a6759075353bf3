"""Scaling of a view, fitted on the training rows of a fold and applied to all rows."""

from __future__ import annotations

import numpy as np

from disentangledssl.dataset import PairedDataset
from disentangledssl.errors import InputError
from disentangledssl.settings import ScalingSettings

# Statistics are in double precision; a large screen in it, and a few copies, would be most of a job's memory.
FEATURES_AT_A_TIME = 64
ROWS_AT_A_TIME = 4096
SEQUENCE_FEATURES_AT_A_TIME = 8

STANDARDISED = ScalingSettings(unit_norm=False, clip_quantile=None, standardise=True, clip=None, statistics="train")


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


def scale_sequences(
    values: np.ndarray, lengths: np.ndarray, training: np.ndarray, settings: ScalingSettings
) -> np.ndarray:
    """Scale sequences, each feature over the valid time steps of the ``training`` rows, and tell which are valid.

    Parameters
    ----------
    values : array, (rows, steps, features)
    lengths : array of whole numbers, (rows,)
        Valid time steps of each row, which come first.
    training : array of whole numbers
        Rows.
    settings : ScalingSettings
        Of which sequences know ``standardise`` and ``statistics``.

    Returns
    -------
    array, (rows, steps, features + 1), float32
        Padding is 0; the last number of a time step is 1 where it is valid.
    """
    rows, steps, features = values.shape
    valid = np.arange(steps) < lengths[:, None]
    scaled = np.zeros((rows, steps, features + 1), np.float32)
    scaled[..., -1] = valid
    if not settings.standardise:
        scaled[..., :-1] = values
        return scaled
    # Of the valid time steps one after the other, those of training rows.
    fitted = np.flatnonzero(np.isin(np.repeat(np.arange(rows), lengths), training))
    for start in range(0, features, SEQUENCE_FEATURES_AT_A_TIME):
        columns = slice(start, min(start + SEQUENCE_FEATURES_AT_A_TIME, features))
        block = values[..., columns][valid].astype(np.float64)
        scaled[..., columns][valid] = _scale_features(block, fitted, settings)
    return scaled


def _lengths(values: np.ndarray) -> np.ndarray:
    blocks = np.array_split(values, len(values) // ROWS_AT_A_TIME + 1)
    return np.concatenate([np.linalg.norm(block.astype(np.float64), axis=1, keepdims=True) for block in blocks])


def scale_fold(
    dataset: PairedDataset, fold: int, settings: tuple[ScalingSettings, ScalingSettings]
) -> tuple[np.ndarray, np.ndarray]:
    """Scale both views of one fold; each row of a view counts once, however many pairs name it.

    Raises
    ------
    InputError
        If sequences are to be scaled in a way that is none for them.
    """
    training, scaled = dataset.pairs_in(fold, "train"), []
    for m, (view, lengths, one) in enumerate(zip(dataset.views, dataset.lengths, settings, strict=True)):
        rows = np.unique(dataset.rows[m][training])
        if lengths is None:
            scaled.append(scale_view(view, rows, one))
            continue
        asked = [name for name in ("unit_norm", "clip_quantile", "clip") if getattr(one, name) not in (False, None)]
        if asked:
            name, problem = dataset.info.get("name", ""), f"{asked[0]} is set, but the view holds sequences"
            raise InputError(name, f"scaling.view{m + 1}", problem, "leave it out; standardise is what sequences know")
        scaled.append(scale_sequences(view, lengths, rows, one))
    return tuple(scaled)
