"""Monotone maps of single numbers with parameters from a network: what an autoregressive block applies to each entry."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.numerics.arguments import typed
from inntf.numerics.scales import ExpScale, Scale
from inntf.numerics.splines import spline_forward, spline_inverse


class Elementwise:
    """A monotone map `u -> v` of each entry, with `parameters` raw numbers an entry.

    Define `forward(u, raw)` and `inverse(v, raw)` for `u`, `v` of any shape `S` and `raw` of shape `S + (parameters,)`; both
    return the new value and the log-derivative of the direction called, of shape `S`.  With `raw = 0` the map should be close
    to the identity.

    Source: inntf; the transformer of Papamakarios et al., "Normalizing Flows for Probabilistic Modeling and Inference"
    (2021), section 3.1.1.

    Example:
        >>> class Shift(Elementwise):
        ...     parameters = 1
        ...     def forward(self, u, raw):
        ...         return u + raw[..., 0], tf.zeros_like(u)
        >>> Shift().forward(tf.ones([2]), tf.ones([2, 1]))[0].numpy().tolist()
        [2.0, 2.0]
    """

    parameters: int = 1

    def forward(self, u: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`v` and `log dv/du`."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")

    def inverse(self, v: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`u` and `log du/dv`."""
        raise NotImplementedError(f"{type(self).__name__} does not define inverse.")

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Elementwise:
        """A map from `get_config()`."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


@keras.saving.register_keras_serializable("inntf")
class AffineTransform(Elementwise):
    """`v = u * scale(raw[1]) + raw[0]`; `log dv/du = log scale(raw[1])`.

    Args:
        scale: a scale object with a declared range, `ExpScale(2.0)` by default.

    Raises:
        TypeError: if `scale` is no `Scale`.

    Source: Papamakarios et al., "Masked Autoregressive Flow for Density Estimation" (2017), eq. 3.

    Example:
        >>> AffineTransform().forward(tf.ones([2]), tf.zeros([2, 2]))[0].numpy().tolist()
        [1.0, 1.0]
    """

    parameters = 2

    @typed
    def __init__(self, scale: Scale | None = None):
        if scale is not None and not isinstance(scale, Scale):
            raise TypeError(
                f"AffineTransform: received scale of type {type(scale).__name__}, expected a Scale. For example "
                "inntf.numerics.SigmoidScale(low=0.5)."
            )
        self.scale = scale or ExpScale(2.0)

    def forward(self, u: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scale, then shift."""
        log_scale = self.scale.log_scale(raw[..., 1])
        return u * tf.exp(log_scale) + raw[..., 0], log_scale

    def inverse(self, v: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Undo the shift, then the scale."""
        log_scale = self.scale.log_scale(raw[..., 1])
        return (v - raw[..., 0]) * tf.exp(-log_scale), -log_scale

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"scale": keras.saving.serialize_keras_object(self.scale)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AffineTransform:
        """A map from `get_config()`."""
        scale = config["scale"]
        return cls(keras.saving.deserialize_keras_object(scale) if isinstance(scale, dict) else scale)


@keras.saving.register_keras_serializable("inntf")
class SplineTransform(Elementwise):
    """`v = spline(u; raw)`, a monotone rational-quadratic spline on `[-bound, bound]`, the identity outside.

    Args:
        num_bins: number of bins.
        bound: half-width of the interval.

    Raises:
        ValueError: for fewer than two bins or a bound that is not positive.

    Source: Durkan et al., "Neural Spline Flows" (2019), eqs 4-8.

    Example:
        >>> v, log_derivative = SplineTransform(4).forward(tf.constant([0.5]), tf.zeros([1, 11]))
        >>> bool(abs(v[0] - 0.5) < 1e-6)
        True
    """

    @typed
    def __init__(self, num_bins: int = 8, bound: float = 3.0):
        if num_bins < 2 or not bound > 0:
            raise ValueError(
                f"SplineTransform: received num_bins={num_bins}, bound={bound}, expected at least 2 bins and a positive bound. "
                "8 bins on [-3, 3] are usual for standardized data."
            )
        self.num_bins, self.bound = int(num_bins), float(bound)
        self.parameters = 3 * self.num_bins - 1

    def forward(self, u: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Through the spline."""
        return spline_forward(u, raw, num_bins=self.num_bins, bound=self.bound)

    def inverse(self, v: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Back through the spline."""
        return spline_inverse(v, raw, num_bins=self.num_bins, bound=self.bound)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"num_bins": self.num_bins, "bound": self.bound}


_NAMED = {"affine": AffineTransform, "spline": SplineTransform}


def make_elementwise(owner: str, transform: Any) -> Elementwise:
    """The map that a user means by `"affine"`, `"spline"`, a `Scale` (an affine map with it) or an `Elementwise`.

    Args:
        owner: who asks, for the message.
        transform: what the user gave.

    Returns:
        The map.

    Raises:
        ValueError: for an unknown name; TypeError: for anything else.

    Source: inntf.

    Example:
        >>> make_elementwise("block", "spline")
        SplineTransform(num_bins=8, bound=3.0)
    """
    if isinstance(transform, Elementwise):
        return transform
    if isinstance(transform, Scale):
        return AffineTransform(transform)
    if isinstance(transform, str) and transform in _NAMED:
        return _NAMED[transform]()
    error = ValueError if isinstance(transform, str) else TypeError
    raise error(
        f"{owner}: received transform={transform!r}, expected 'affine', 'spline', a Scale or an Elementwise. For example "
        "SplineTransform(num_bins=4, bound=5.0)."
    )
