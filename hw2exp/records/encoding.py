"""Encode distributions and pictures for TensorBoard; equal values give equal bytes."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray

BINS = 30


def bins(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count values in bins of equal width, as TensorBoard's own histograms do.

    Args:
        values: values of any shape; non-finite values are left out.

    Returns:
        The left edge, the right edge and the count of each bin, ``(BINS, 3)``. Equal values all
        fall into the last bin; without values, everything is zero.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return np.zeros((BINS, 3))
    low, high = known.min(), known.max()
    edges = np.linspace(low, high, BINS + 1)
    width = (high - low) / BINS
    # The width is zero if all values are the same, or too close for a float between them.
    places = np.floor((known - low) / width) if width > 0 else np.full(known.shape, BINS)
    counts = np.bincount(np.minimum(places.astype(int), BINS - 1), minlength=BINS)
    return np.stack([edges[:-1], edges[1:], counts], axis=1)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode a picture as PNG.

    Args:
        pixels: red, green and blue, ``(h, w, 3)``, uint8.

    Raises:
        ValueError: the pixels have another shape or type.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}, not uint8 (h, w, 3)")
    from PIL import Image

    content = BytesIO()
    Image.fromarray(pixels).save(content, "PNG", compress_level=1)  # half the time, 8 % larger
    return content.getvalue()
