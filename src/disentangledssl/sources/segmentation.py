"""Nuclei and cells in images of one site, by scikit-image (of the optional dependencies ``images``).

Nuclei: smoothed, above Otsu's threshold, holes filled, divided by a watershed of the distance to the edge. Cells: a
watershed of the smoothed actin from all nuclei, as far as Otsu's threshold reaches. Only then are cells left out whose
nucleus is too small or too large, or touches the edge of the image. Cytoplasm: the cell without its nucleus.

Source: the usual order of Cell Painting pipelines (Bray et al., Nat. Protoc. 11, 1757 (2016)); choice. CellProfiler
grows, of nuclei that are left out, only those at the edge.
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
    every = segment_nuclei(nuclei, smoothing=smoothing, least=diameter[0])
    # From all of them: a neighbour would flood the cell of a nucleus that is left out.
    grown = segment_cells(cells, every, smoothing=smoothing)
    number = choose_nuclei(every, diameter)
    inner, whole = number[every], number[grown]
    return np.stack([inner, whole, np.where(inner > 0, 0, whole)]).astype(np.int32)


def segment_nuclei(image: np.ndarray, *, smoothing: float, least: float) -> np.ndarray:
    """Number all nuclei from 1; see the module.

    Parameters
    ----------
    image : array, ``(y, x)``
        Intensities of a dye of DNA.
    smoothing : float
        Standard deviation of the Gaussian that it is smoothed by, in pixels.
    least : float
        Least diameter of a nucleus, in pixels. Smaller ones are numbered too: it sets how far apart the seeds of two
        must be, and how much their distances are smoothed.

    Returns
    -------
    labels : array of int32, ``(y, x)``
        0 is background.
    """
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    inside = ndimage.binary_fill_holes(_foreground(image, smoothing))
    # Smoothed, as an oblong nucleus has several deepest points.
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), least / 4)
    apart = max(1, round(SEEDS_APART * least))
    peaks = peak_local_max(distance, min_distance=apart, labels=inside.astype(int), exclude_border=False)
    seeds = np.zeros(image.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-distance, seeds, mask=inside)


def choose_nuclei(labels: np.ndarray, diameter: tuple[float, float]) -> np.ndarray:
    """Return the new number of each label, from 1, or 0: too small, too large or on the edge of the image.

    Parameters
    ----------
    labels : array of whole numbers, ``(y, x)``
        From :func:`segment_nuclei`.
    diameter : pair of float
        Least and largest diameter of a nucleus, in pixels: that of a disc of its area.

    Returns
    -------
    array of whole numbers, ``(largest label + 1,)``
        Of background, 0.
    """
    area = np.bincount(labels.ravel())
    least, largest = (np.pi / 4 * length**2 for length in diameter)
    kept = (area >= least) & (area <= largest)
    kept[0] = False
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        kept[edge] = False
    return np.where(kept, np.cumsum(kept), 0)


def segment_cells(image: np.ndarray, nuclei: np.ndarray, *, smoothing: float) -> np.ndarray:
    """Grow each nucleus to its cell; see the module.

    Parameters
    ----------
    image : array, ``(y, x)``
        Intensities of a dye that fills cells.
    nuclei : array of int32, ``(y, x)``
        From :func:`segment_nuclei`.
    smoothing : float
        Standard deviation of the Gaussian that the image is smoothed by, in pixels.

    Returns
    -------
    labels : array of int32, ``(y, x)``
        A cell has the number of its nucleus; 0 is background.
    """
    from skimage.segmentation import watershed

    inside = _foreground(image, smoothing) | (nuclei > 0)
    return watershed(-ndimage.gaussian_filter(image.astype(float), smoothing), nuclei, mask=inside)


def _foreground(image: np.ndarray, smoothing: float) -> np.ndarray:
    """Tell which pixels are brighter than Otsu's threshold; none of an image without contrast."""
    from skimage.filters import threshold_otsu

    smooth = ndimage.gaussian_filter(image.astype(float), smoothing)
    return smooth > threshold_otsu(smooth) if np.ptp(smooth) else np.zeros(image.shape, bool)
