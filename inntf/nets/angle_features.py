"""Angles as a network should see them: by cosine and sine, which do not jump where the circle closes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.arguments import typed
from inntf.core.errors import explain
from inntf.core.shapes import last_size
from inntf.numerics.intervals import Interval


@keras.saving.register_keras_serializable("inntf")
class AngleFeatures(keras.layers.Layer):
    r"""$x \mapsto [\cos(\omega x_a), \sin(\omega x_a), x_b]$ of the angles `a` and the others `b`, $\omega = \pi /$ `bound`.

    Its Lipschitz constant is $\max(1, \omega)$: in radians the features move as far as the angles.  A conditioner that begins
    with it is a function on the circle.

    Args:
        angles: which entries of the last axis are angles; all by default.
        bound: half of the circle's length; `pi` for radians, 180 for degrees.

    Call arguments: `(..., n)`.  Returns `(..., n + number of angles)`.

    Raises:
        ValueError: for a bound that is not positive, repeated angles, or at build for one that the input does not have.

    Source: Rezende et al., "Normalizing Flows on Tori and Spheres" (2020), section 2.2 (conditioners on tori).

    Example:
        >>> AngleFeatures([1])(tf.constant([[5.0, 0.0]])).numpy().tolist()
        [[1.0, 0.0, 5.0]]
    """

    @typed
    def __init__(self, angles: Any = None, bound: float = math.pi, **kwargs: Any):
        super().__init__(**({"autocast": False} | kwargs))
        self.angles, self.bound = checked_angles(self.name, angles), bound
        if not bound > 0:
            expected = "a positive number, half of the circle's length"
            raise ValueError(explain(self.name, received=f"bound={bound}", expected=expected, remedy="For radians pi."))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Part the entries.

        Raises:
            ValueError: if there are fewer of them.
        """
        size = last_size(input_shape)
        angles = list(range(size)) if self.angles is None else self.angles
        if angles and max(angles) >= size:
            expected, remedy = (
                "indices below that",
                "They count in what the network sees: the identity part, then the condition.",
            )
            received = f"angles={angles} for an input of {size} entries"
            raise ValueError(explain(self.name, received=received, expected=expected, remedy=remedy))
        self.places = np.asarray(angles, np.int32), np.setdiff1d(np.arange(size), angles).astype(np.int32)
        self.units = size + len(angles)
        self.built = True

    def call(self, x: Any) -> Any:
        """Cosines, sines, and the others."""
        angles, others = (tf.gather(x, at, axis=-1) for at in self.places)
        angles = angles * (math.pi / self.bound)
        return tf.concat([tf.cos(angles), tf.sin(angles), others], -1)

    @property
    def is_angle(self) -> np.ndarray:
        """Of each entry, `(n,)`."""
        return np.isin(np.arange(sum(map(len, self.places))), self.places[0])

    def rows_of_entries(self) -> tuple[np.ndarray, np.ndarray]:
        """For each entry the feature that is its cosine or itself, and that of its sine, or the number of features for none."""
        angles, others = self.places
        first = np.full(len(angles) + len(others), 0, np.int32)
        first[angles], first[others] = np.arange(len(angles)), 2 * len(angles) + np.arange(len(others))
        second = np.full_like(first, self.units)
        second[angles] = len(angles) + np.arange(len(angles))
        return first, second

    def of_features(self, values: np.ndarray) -> np.ndarray:
        """Numbers of the entries, `(n,)`, as those of the features that come from them."""
        angles, others = (values[at] for at in self.places)
        return np.concatenate([angles, angles, others])

    def lipschitz_bound(self) -> tuple[float, str]:
        """`max(1, pi / bound)`."""
        return max(1.0, math.pi / self.bound), ""

    def as_matrix(self) -> tuple[np.ndarray, np.ndarray, SinusOfSome]:
        """Kernel `(n, out)`, bias and activation of a dense layer that computes the same: a cosine is a sine, turned."""
        angles, others = self.places
        count, n = len(angles), len(angles) + len(others)
        kernel, bias = np.zeros([n, self.units]), np.zeros(self.units)
        turn = math.pi / self.bound
        kernel[angles, np.arange(count)] = kernel[angles, count + np.arange(count)] = turn
        kernel[others, 2 * count + np.arange(len(others))] = 1.0
        bias[:count] = math.pi / 2
        return kernel, bias, SinusOfSome(2 * count)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output."""
        size = last_size(input_shape)
        return (*input_shape[:-1], size + (size if self.angles is None else len(self.angles)))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        config = super().get_config()
        config.pop("autocast", None)
        return {**config, "angles": self.angles, "bound": self.bound}


def checked_angles(name: str, angles: Any) -> list[int] | None:
    """Indices as a list, `None` for all.

    Raises:
        ValueError: for anything but distinct whole numbers from 0 on.

    Source: inntf.

    Example:
        >>> checked_angles("net", (0, 2))
        [0, 2]
    """
    return None if angles is None else checked_entries(name, "angles", angles, "Leave it out where all entries are angles.")


def checked_entries(name: str, what: str, entries: Any, remedy: str = "") -> list[int]:
    """Indices of entries as a list.

    Args:
        name: of the owner.
        what: the argument's name.
        entries: the indices.
        remedy: for the message.

    Raises:
        ValueError: for anything but distinct whole numbers from 0 on.

    Source: inntf.

    Example:
        >>> checked_entries("net", "identity", (0, 2))
        [0, 2]
    """
    whole = isinstance(entries, Sequence | np.ndarray) and all(isinstance(a, int | np.integer) and a >= 0 for a in entries)
    if not whole or isinstance(entries, str) or any(isinstance(a, bool) for a in entries) or len(set(entries)) < len(entries):
        expected = "distinct indices of entries, from 0 on"
        raise ValueError(explain(name, received=f"{what}={entries!r}", expected=expected, remedy=remedy))
    return [int(a) for a in entries]


@dataclasses.dataclass(frozen=True)
class SinusOfSome:
    """The sine of the first `count` entries, the others as they are.

    Source: as `AngleFeatures`.
    """

    count: int

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Of `(n, out)`."""
        return tf.concat([tf.sin(x[:, : self.count]), x[:, self.count :]], 1)

    def slope_range(self, low: np.ndarray, high: np.ndarray) -> Interval:
        """The cosine turns at every multiple of pi."""
        least, most = np.ones(np.shape(low)), np.ones(np.shape(low))
        a, b = low[:, : self.count], high[:, : self.count]
        ends, turns = (np.cos(a), np.cos(b)), 2 * np.pi
        holds_top, holds_bottom = (np.floor((b - at) / turns) > np.floor((a - at) / turns) for at in (0.0, np.pi))
        most[:, : self.count] = np.where(holds_top, 1.0, np.maximum(*ends))
        least[:, : self.count] = np.where(holds_bottom, -1.0, np.minimum(*ends))
        return least, most
