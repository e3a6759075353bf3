"""Drawn cells, of known place, size and brightness, as images of a well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

NUCLEUS, CELL, DISC = 120, 80, 15  # brightness of Hoechst, of the actin, and of all else
TIMES = 2.0  # radius of a cell over that of its nucleus


def draw_site(discs: Sequence[tuple[float, float, float]], size: int = 96) -> np.ndarray:
    """Draw nuclei at (y, x) of these radii, and a round cell about each; uint8, ``(channels, y, x)``."""
    y, x = np.mgrid[:size, :size]
    image = np.zeros((5, size, size), np.uint8)
    for row, column, radius in discs:
        distance = np.hypot(y - row, x - column)
        image[0][distance < radius] = NUCLEUS
        image[2][distance < TIMES * radius] = CELL
        for channel in (1, 3, 4):
            image[channel][distance < TIMES * radius] = DISC * channel
    return image


def write_site(folder: Path, well: str, site: int, image: np.ndarray) -> None:
    """Write a site as PNG, as Recursion publishes it."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for channel, values in enumerate(image, 1):
        Image.fromarray(values).save(folder / f"{well}_s{site}_w{channel}.png")
