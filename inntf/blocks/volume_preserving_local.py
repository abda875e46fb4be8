"""Log-scales that are clipped and centred, as maps of a conditioner's outputs, for bounds in balls."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import tensorflow as tf

from inntf.nets.linear_map_kinds import LinearMap
from inntf.numerics.intervals import Interval


@dataclasses.dataclass(frozen=True)
class CentringMap(LinearMap):
    """The mean of the outputs at `places` is taken from them; a projection, so its own transpose."""

    places: np.ndarray
    norm = 1.0 + 1e-15

    def image(self, x: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        out = np.array(x)
        out[:, self.places] -= out[:, self.places].mean(1, keepdims=True)
        return out

    def transposed(self, y: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        return self.image(y)

    def squared(self, weights: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        out, n = np.array(weights), len(self.places)
        own = out[:, self.places]
        out[:, self.places] = (1.0 - 2.0 / n) * own + own.sum(1, keepdims=True) / n**2
        return out


@dataclasses.dataclass(frozen=True)
class ClippedAt:
    """`clamp * 2/pi * atan` of the outputs at `places`, the others as they are."""

    places: np.ndarray
    clamp: float | None

    def __call__(self, x: tf.Tensor) -> np.ndarray:
        """Of `(n, out)`."""
        out = np.array(x)
        if self.clamp is not None:
            out[:, self.places] = self.clamp * 2 / math.pi * np.arctan(out[:, self.places])
        return out

    def slope_range(self, low: np.ndarray, high: np.ndarray) -> Interval:
        """The slope is steepest at zero, and falls on either side of it."""
        least, most = np.ones(np.shape(low)), np.ones(np.shape(low))
        if self.clamp is not None:
            a, b = low[:, self.places], high[:, self.places]
            nearest, furthest = np.clip(0.0, a, b), np.maximum(np.abs(a), np.abs(b))
            least[:, self.places], most[:, self.places] = (self.clamp * 2 / math.pi / (1 + at**2) for at in (furthest, nearest))
        return least, most
