"""A picture of repeated reconstruction: the data in the first row, one pass forward and back a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

_BROKEN = np.array([255, 0, 255], np.uint8)  # magenta: no data looks like it
_WIDEST = 256


def passes_picture(samples: Any, most: int = 8, rows: str = "passes") -> tf.Tensor:
    """Draw samples through passes: rows are passes and columns samples, or the other way; figure 4 of the paper.

    Images are shown as they are (one or three channels; of others the first one or three).  Vectors are shown as strips of
    grey boxes, one an entry.  The range of the data spans black to white, values outside it are clipped, and entries
    that are not finite are magenta.

    Args:
        samples: `(passes + 1, batch, ...)`, as from `repeated_reconstruction`.
        most: samples shown, the first ones.
        rows: `"passes"` or `"samples"`.

    Returns:
        `(height, width, 3)`, uint8.

    Source: "On the Invertibility of Invertible Neural Networks", figure 4.

    Example:
        >>> passes_picture(tf.zeros([10, 4, 8, 8, 1])).shape
        TensorShape([89, 35, 3])
    """
    samples = np.asarray(samples, np.float64)[:, :most]
    data = samples[0][np.isfinite(samples[0])]
    low, high = (data.min(), data.max()) if data.size else (0.0, 1.0)
    with np.errstate(invalid="ignore"):
        shade = np.nan_to_num((samples - low) / (high - low if high > low else 1.0))
    colours = _as_images(np.clip(shade, 0, 1) * 255).astype(np.uint8)
    colours = np.where(_as_images(np.isfinite(samples).astype(float)) < 1, _BROKEN, colours)
    # One white line between neighbours.
    lines = [_joined(list(line), axis=1) for line in (colours if rows == "passes" else np.swapaxes(colours, 0, 1))]
    return tf.constant(_joined(lines, axis=0))


def _as_images(samples: np.ndarray) -> np.ndarray:
    if samples.ndim <= 3:  # vectors: boxes of 8 pixels
        strip = samples.reshape(*samples.shape[:2], 1, -1, 1)[..., :_WIDEST, :]
        samples = strip.repeat(8, 2).repeat(8 if strip.shape[3] <= 16 else 1, 3)
    elif samples.ndim == 4:
        samples = samples[..., None]
    channels = samples[..., :3] if samples.shape[-1] >= 3 else samples[..., :1]
    return np.broadcast_to(channels, (*channels.shape[:-1], 3))


def _joined(parts: list[np.ndarray], axis: int) -> np.ndarray:
    shape = list(parts[0].shape)
    shape[axis] = 1
    line = np.full(shape, 255, np.uint8)
    return np.concatenate([piece for part in parts for piece in (part, line)][:-1], axis)
