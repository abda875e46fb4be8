"""Inputs of a network kept within an interval, so that no outlier carries it away."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.arguments import typed
from inntf.core.errors import explain
from inntf.core.shapes import last_size
from inntf.numerics.intervals import Interval


@keras.saving.register_keras_serializable("inntf")
class Clip(keras.layers.Layer):
    r"""$x \mapsto \min(\max(x, -b), b)$ of the first entries, the others (such as a condition) as they are; 1-Lipschitz.

    A network that begins with it is bounded in these entries.  What a coupling makes of an outlier is then an affine map with
    the slopes of the nearest data, in both directions, not what a ReLU network extrapolates to, compounded by every step.

    Args:
        bound: `b`, half-width of the interval.
        entries: how many entries of the last axis, from the first on; `None` for all.

    Call arguments: `(..., n)`.  Returns the same shape.

    Raises:
        ValueError: for a bound that is not positive, or at build for more entries than there are.

    Source: inntf.

    Example:
        >>> Clip(3.0, entries=1)(tf.constant([[100.0, 100.0]])).numpy().tolist()
        [[3.0, 100.0]]
    """

    slopes = (0.0, 1.0)

    @typed
    def __init__(self, bound: float = 3.0, entries: int | None = None, **kwargs: Any):
        super().__init__(**({"autocast": False} | kwargs))
        self.bound, self.entries = bound, entries
        if not bound > 0 or (entries is not None and entries < 1):
            received, expected = f"bound={bound}, entries={entries}", "a positive bound, and at least one entry"
            raise ValueError(explain(self.name, received=received, expected=expected, remedy="Leave entries out for all."))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Note the width.

        Raises:
            ValueError: if there are fewer entries than are to be clipped.
        """
        self.units = last_size(input_shape)
        if self.entries is not None and self.entries > self.units:
            received = f"entries={self.entries} for an input of {self.units}"
            raise ValueError(explain(self.name, received=received, expected="at most as many as the input has"))
        self.built = True

    def call(self, x: Any) -> Any:
        """Clipped."""
        if self.entries is None or self.entries == self.units:
            return tf.clip_by_value(x, -self.bound, self.bound)
        first, others = tf.split(x, [self.entries, self.units - self.entries], -1)
        return tf.concat([tf.clip_by_value(first, -self.bound, self.bound), others], -1)

    def slope_range(self, low: np.ndarray, high: np.ndarray) -> Interval:
        """1 within, 0 outside; of entries that are not clipped 1."""
        least = ((low > -self.bound) & (high < self.bound)).astype(np.float64)
        most = ((high >= -self.bound) & (low <= self.bound)).astype(np.float64)
        # Of an image all pixels come in one row.
        free = np.arange(np.shape(low)[-1]) % self.units >= (self.units if self.entries is None else self.entries)
        return np.where(free, 1.0, least), np.where(free, 1.0, most)

    def lipschitz_bound(self) -> tuple[float, str]:
        """1."""
        return 1.0, ""

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        config = super().get_config()
        config.pop("autocast", None)
        return {**config, "bound": self.bound, "entries": self.entries}


def checked_input_bound(name: str, bound: Any, angles: Any) -> float | None:
    """A bound of inputs, or `None`.

    Args:
        name: of the owner.
        bound: half-width of the interval.
        angles: of the owner, which has its own way with them.

    Raises:
        ValueError: for a bound that is not positive, or one of angles.

    Source: inntf.

    Example:
        >>> checked_input_bound("net", 3, False)
        3.0
    """
    if bound is None:
        return None
    if not bound > 0:
        raise ValueError(explain(name, received=f"input_bound={bound}", expected="a positive number, or None"))
    if angles is not False:
        expected = "one of them"
        raise ValueError(
            explain(name, received="angles and input_bound", expected=expected, remedy="Circles have no outliers.")
        )
    return float(bound)
