"""Nuclei and cells in images of one site, by scikit-image (of the optional dependencies ``images``).

``otsu_watershed``
    Nuclei: smoothed, above Otsu's threshold, holes filled, divided by a watershed of the distance to the edge; what is
    too small or too large, or touches the edge of the image, is left out. Cells: a watershed of the smoothed actin from
    the nuclei, as far as Otsu's threshold reaches. Cytoplasm: the cell without its nucleus.

Source: the usual order of Cell Painting pipelines (Bray et al., Nat. Protoc. 11, 1757 (2016)); choice.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SEEDS_APART = 0.5  # least distance of two seeds, in least diameters


def segment(nuclei: np.ndarray, cells: np.ndarray, *, smoothing: float, diameter: tuple[float, float]) -> np.ndarray:
    """Find the objects of a site.

    Parameters
    ----------
    nuclei, cells : array, ``(y, x)``
        Intensities of a dye of DNA and of one that fills cells.
    smoothing : float
        Standard deviation of the Gaussian that both are smoothed by, in pixels.
    diameter : pair of float
        Least and largest diameter of a nucleus, in pixels: that of a disc of its area.

    Returns
    -------
    labels : array of int32, ``(3, y, x)``
        Nuclei, cells, cytoplasm; 0 is background, and a number is the same cell in all three.
    """
    inner = segment_nuclei(nuclei, smoothing=smoothing, diameter=diameter)
    whole = segment_cells(cells, inner, smoothing=smoothing)
    return np.stack([inner, whole, np.where(inner > 0, 0, whole)]).astype(np.int32)


def segment_nuclei(image: np.ndarray, *, smoothing: float, diameter: tuple[float, float]) -> np.ndarray:
    """Number the nuclei from 1; see :func:`segment`."""
    from skimage.feature import peak_local_max
    from skimage.segmentation import clear_border, relabel_sequential, watershed

    inside = ndimage.binary_fill_holes(_foreground(image, smoothing))
    # Smoothed, as an oblong nucleus has several deepest points.
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), diameter[0] / 4)
    apart = max(1, round(SEEDS_APART * diameter[0]))
    peaks = peak_local_max(distance, min_distance=apart, labels=inside.astype(int), exclude_border=False)
    seeds = np.zeros(image.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = clear_border(watershed(-distance, seeds, mask=inside))
    area = np.bincount(labels.ravel())
    least, largest = (np.pi / 4 * length**2 for length in diameter)
    return relabel_sequential(np.where((area < least) | (area > largest), 0, np.arange(len(area)))[labels])[0]


def segment_cells(image: np.ndarray, nuclei: np.ndarray, *, smoothing: float) -> np.ndarray:
    """Grow each nucleus to its cell; see :func:`segment`."""
    from skimage.segmentation import watershed

    inside = _foreground(image, smoothing) | (nuclei > 0)
    return watershed(-ndimage.gaussian_filter(image.astype(float), smoothing), nuclei, mask=inside)


def _foreground(image: np.ndarray, smoothing: float) -> np.ndarray:
    """Tell which pixels are brighter than Otsu's threshold; none of an image without contrast."""
    from skimage.filters import threshold_otsu

    smooth = ndimage.gaussian_filter(image.astype(float), smoothing)
    return smooth > threshold_otsu(smooth) if np.ptp(smooth) else np.zeros(image.shape, bool)
