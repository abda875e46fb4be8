"""A base for angles: uniform on the circle, beside standard normals for the other entries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from inntf.core.arguments import checked_count, typed
from inntf.core.errors import explain
from inntf.nets.angle_features import checked_angles


class CircularBase(tfd.Distribution):
    r"""Angles uniform on `[-bound, bound)`, the other entries standard normal, all independent.

    $\log p(z) = -\sum_{angles} \log(2\,\mathrm{bound}) - \frac12 \sum_{others} (z_i^2 + \log 2 \pi)$; an angle outside of the
    circle has no density: `log_prob` is minus infinity there.

    Args:
        dim: number of entries.
        angles: which of them are angles; all by default.
        bound: half of the circle's length; `pi` for radians.
        dtype: of the samples.
        validate_args, allow_nan_stats, name: as in `tfd.Distribution`.

    Shapes: events `(dim,)`.

    Raises:
        ValueError: for angles that are no distinct entries, or a bound that is not positive.

    Source: Rezende et al., "Normalizing Flows on Tori and Spheres" (2020), section 3 (uniform bases on tori).

    Example:
        >>> base = CircularBase(3, angles=[0, 1])
        >>> base.sample(4, seed=1).shape, round(float(base.log_prob(tf.zeros([3]))), 4)  # -2 ln 2 pi - ln(2 pi) / 2
        (TensorShape([4, 3]), -4.5947)
    """

    @typed
    def __init__(
        self,
        dim: int,
        angles: Any = None,
        bound: float = math.pi,
        dtype: Any = tf.float32,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "CircularBase",
    ):
        parameters = dict(locals())
        checked_count(name, dim=dim)
        indices = checked_angles(name, angles)
        if not bound > 0 or (indices and max(indices) >= dim):
            expected, remedy = f"indices below {dim} and a positive bound", "For radians bound=pi."
            raise ValueError(explain(name, received=f"angles={angles!r}, bound={bound}", expected=expected, remedy=remedy))
        self._is_angle = np.full(dim, indices is None)
        self._is_angle[indices or []] = True
        self._bound = bound
        super().__init__(
            dtype=tf.as_dtype(dtype),
            reparameterization_type=tfd.FULLY_REPARAMETERIZED,
            validate_args=validate_args,
            allow_nan_stats=allow_nan_stats,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: int | None = None) -> dict[str, Any]:
        return {}

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([len(self._is_angle)])

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant([len(self._is_angle)], tf.int32)

    def _batch_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _batch_shape_tensor(self, **kwargs: Any) -> tf.Tensor:
        return tf.constant([], tf.int32)

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        on_circle = (value >= -self._bound) & (value < self._bound)
        uniform = tf.where(on_circle, tf.constant(-math.log(2 * self._bound), value.dtype), -math.inf)
        normal = -0.5 * (tf.square(value) + math.log(2 * math.pi))
        return tf.reduce_sum(tf.where(self._is_angle, uniform, normal), -1)

    def _sample_n(self, n: tf.Tensor, seed: Any = None) -> tf.Tensor:
        first, second = tfp.random.split_seed(seed)
        shape = tf.stack([n, len(self._is_angle)])
        uniform = tf.random.stateless_uniform(shape, first, -self._bound, self._bound, self.dtype)
        return tf.where(self._is_angle, uniform, tf.random.stateless_normal(shape, second, dtype=self.dtype))

    def _default_event_space_bijector(self) -> Any:
        return tfb.Identity()
