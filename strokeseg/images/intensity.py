"""Intensities: histogram equalisation, z-score, clipping; one code for inference and training.

The equalisation is MONAI's ``HistogramNormalize`` (256 bins, 0 to 255) and the z-score its
``NormalizeIntensity(nonzero=False)``, to within float error.
"""

import math
from typing import Literal, get_args

import numpy as np

from strokeseg.arrays import FloatArray, Shape3
from strokeseg.errors import UsageError
from strokeseg.images.foreground import zscore_foreground
from strokeseg.images.hounsfield import hounsfield_offset

Normalisation = Literal["zscore", "histogram", "percentile", "foreground", "minmax", "quantile"]
# What training can draw; the others belong to other people's networks.
TRAINED: tuple[Normalisation, ...] = ("zscore", "histogram", "percentile", "foreground")
Padding = Literal["zero", "darkest"]

_BINS = 256
_TOP = 255.0
_BLOCK = 1 << 16
_HOUNSFIELD_RANGE = (0.0, 80.0)
_PERCENTILES = (1.0, 99.0)


def normalise(
    data: FloatArray,
    how: Normalisation,
    *,
    quantiles: tuple[float, float] = (0.02, 0.98),
    least: Shape3 = (1, 1, 1),
) -> FloatArray:
    """Bring an image to the intensities that a network was trained on.

    Parameters
    ----------
    data : (I, J, K) float32 array
        Finite intensities, any strides.
    how : {"histogram", "percentile", "zscore", "foreground", "minmax", "quantile"}
        Equalise the histogram, or clip to the 1st to 99th percentile, or neither, then z-score;
        or z-score by the foreground alone, see `strokeseg.images.foreground`; or bring the range,
        or what lies between two quantiles, to 0 to 1.
    quantiles
        Between which "quantile" clips, as shares of all voxels.
    least : (I, J, K)
        Size to which the image counts as padded with its darkest voxel, where quantiles are found.

    Returns
    -------
    (I, J, K) float32 array
        A new array (all 0 if the image is constant), of mean 0 and standard deviation 1 unless
        by the foreground or from 0 to 1.

    Raises
    ------
    UsageError
        If `how` is none of these.
    """
    if how == "zscore":
        return zscore(data)
    if how == "histogram":
        return zscore(equalise_histogram(data))
    if how == "percentile":
        low, high = np.percentile(data, _PERCENTILES)
        return zscore(np.clip(data, np.float32(low), np.float32(high)))
    if how == "foreground":
        return zscore_foreground(data)
    if how == "minmax":
        return _to_unit(data, float(data.min()), float(data.max()))
    if how == "quantile":
        return _to_unit(data, *_padded_quantiles(data, quantiles, least))
    raise UsageError(
        f"unknown normalisation {how!r}: it is one of {', '.join(get_args(Normalisation))}"
    )


def _to_unit(data: FloatArray, low: float, high: float) -> FloatArray:
    """Clip to a range and bring it to 0 to 1."""
    if not low < high:
        return np.zeros(data.shape, np.float32)
    clipped = np.clip(data, np.float32(low), np.float32(high))
    clipped -= np.float32(low)
    clipped /= np.float32(high - low)
    return clipped


def _padded_quantiles(
    data: FloatArray, shares: tuple[float, float], least: Shape3
) -> tuple[float, float]:
    """Find quantiles as if the image were padded with its darkest voxel."""
    whole = math.prod(max(size, edge) for size, edge in zip(data.shape, least, strict=True))
    padding = whole - data.size
    # Of the padded image in order, the padding comes first.
    ranks = [max(share * (whole - 1) - padding, 0.0) / max(data.size - 1, 1) for share in shares]
    low, high = np.quantile(data, ranks)
    return float(low), float(high)


def clip_hounsfield(data: FloatArray) -> FloatArray:
    """Clip a CT to the brain window, 0 to 80 HU.

    Parameters
    ----------
    data : (I, J, K) float32 array
        Hounsfield units.
    """
    low, high = _HOUNSFIELD_RANGE
    return np.clip(data, np.float32(low), np.float32(high))


def as_seen(modality: str, data: FloatArray) -> FloatArray:
    """Give a scan (I, J, K) as networks and people see it: a CT in the brain window.

    A CT that lies 1024 above Hounsfield units has that taken off.
    """
    if modality != "ct":
        return data
    offset = hounsfield_offset(data)
    return clip_hounsfield(data - np.float32(offset) if offset else data)


def equalise_histogram(data: FloatArray) -> FloatArray:
    """Map intensities to 0 to 255 through their cumulative histogram.

    256 bins of equal width span the image's range; the cumulative counts, scaled so that the first
    bin has 0 and the last 255, are read at the bins' centres and between them linearly.

    Parameters
    ----------
    data : (I, J, K) float32 array
        Finite intensities, any strides.

    Returns
    -------
    (I, J, K) float32 array
        A new array in [0, 255]; all 0 if the image is constant.
    """
    flat_in, flat_out, out = _in_memory_order(data)
    low, high = flat_in.min(), flat_in.max()
    if low == high:
        flat_out.fill(0.0)
        return out
    counts = np.zeros(_BINS, dtype=np.int64)
    for start in range(0, flat_in.size, _BLOCK):
        position = flat_out[start : start + _BLOCK]
        np.subtract(flat_in[start : start + _BLOCK], low, out=position)
        position *= np.float32(_BINS)
        position /= np.float32(high - low)
        bins = np.minimum(position.astype(np.int32), _BINS - 1)
        counts += np.bincount(bins, minlength=_BINS)
    cumulative = np.cumsum(counts).astype(np.float64)
    levels = (cumulative - cumulative[0]) * (_TOP / (cumulative[-1] - cumulative[0]))
    slopes = np.append(np.diff(levels), 0.0).astype(np.float32)
    floors = levels.astype(np.float32)
    for start in range(0, flat_out.size, _BLOCK):
        position = flat_out[start : start + _BLOCK]
        position -= np.float32(0.5)
        np.clip(position, 0.0, np.float32(_BINS - 1), out=position)
        bins = position.astype(np.int32)
        position -= bins
        position *= slopes[bins]
        position += floors[bins]
    return out


def zscore(data: FloatArray) -> FloatArray:
    """Subtract the mean and divide by the standard deviation, over the whole image.

    Parameters
    ----------
    data : float32 array
        Finite intensities, any strides.

    Returns
    -------
    float32 array
        A new array; all 0 if the image is constant.
    """
    flat_in, flat_out, out = _in_memory_order(data)
    if flat_in.min() == flat_in.max():
        flat_out.fill(0.0)
        return out
    mean = flat_in.mean(dtype=np.float64)
    squares = 0.0
    for start in range(0, flat_in.size, _BLOCK):
        centred = flat_out[start : start + _BLOCK]
        np.subtract(flat_in[start : start + _BLOCK], np.float32(mean), out=centred)
        squares += float(np.sum(np.square(centred), dtype=np.float64))
    deviation = float(np.sqrt(squares / flat_in.size))
    if deviation > 0.0:
        flat_out *= np.float32(1.0 / deviation)
    return out


def padding_value(image: FloatArray, padding: Padding) -> float:
    """Give the intensity that is taken to lie outside a normalised image.

    The darkest voxel's, as the air in the images of training, or 0, as MONAI's sliding windows
    have it.
    """
    return float(image.min()) if padding == "darkest" else 0.0


def _in_memory_order(data: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Flatten an image as it lies in memory, and make room for a result that lies the same way.

    Returns
    -------
    flat_in, flat_out, out : float32 arrays
        The image, flat (no copy where it is contiguous); an empty flat array; and that same array
        with the shape and axis order of `data`.
    """
    order = np.argsort([-abs(stride) for stride in data.strides], kind="stable")
    moved = data.transpose(order)
    flat_out = np.empty(data.size, dtype=np.float32)
    out = flat_out.reshape(moved.shape).transpose(np.argsort(order))
    return moved.reshape(-1), flat_out, out
