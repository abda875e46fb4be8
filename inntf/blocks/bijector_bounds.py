"""What is known of the slopes of TFP's bijectors: affine ones, maps of each entry, and compositions of these."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from inntf.blocks.entrywise import entrywise_bounds
from inntf.core import LipschitzBounds
from inntf.core.bounds import unknown
from inntf.core.boxes import EVERYWHERE, Box, broadcast_box, centre_and_radius, check_box, finite_box, is_finite
from inntf.core.shapes import Shape, known_sizes, static
from inntf.core.upper_bounds import upper_reciprocal
from inntf.numerics import entry_maps
from inntf.numerics.entry_maps import EntryMap

_LARGEST = 1024  # numbers of an event whose matrix is written down
_AFFINE = {
    "Cumsum", "DiscreteCosineTransform", "Householder", "Identity", "Permute", "Reshape", "Scale", "ScaleMatvecDiag",
    "ScaleMatvecLU", "ScaleMatvecLinearOperator", "ScaleMatvecTriL", "Shift", "Transpose",
}  # fmt: skip


def _number(value: Any, default: float) -> float:
    return default if value is None else float(np.asarray(tf.convert_to_tensor(value), np.float64))


_ENTRIES: dict[str, Callable[[Any], EntryMap]] = {
    "Exp": lambda b: entry_maps.EXP,
    "Expm1": lambda b: entry_maps.EXPM1,
    "Log": lambda b: entry_maps.EXP.inverted(),
    "Log1p": lambda b: entry_maps.EXPM1.inverted(),
    "NormalCDF": lambda b: entry_maps.NORMAL_CDF,
    "Power": lambda b: entry_maps.power(_number(b.power, 1.0)),
    "Sigmoid": lambda b: entry_maps.sigmoid(_number(b.low, 0.0), _number(b.high, 1.0)),
    "Sinh": lambda b: entry_maps.SINH,
    "Softplus": lambda b: entry_maps.plus(entry_maps.softplus(_number(b.hinge_softness, 1.0)), _number(b.low, 0.0)),
    "Softsign": lambda b: entry_maps.SOFTSIGN,
    "Square": lambda b: entry_maps.power(2.0),
    "Tanh": lambda b: entry_maps.TANH,
}


def kind(bijector: tfb.Bijector) -> str:
    """The name of its class among `tfp.bijectors`; empty for one of another class."""
    name = type(bijector).__name__.removeprefix("_")
    return name if type(bijector).__module__.startswith("tensorflow_probability.") else ""


def is_affine(bijector: tfb.Bijector) -> bool:
    """Whether it is known to be affine: a constant log-determinant alone does not say so."""
    if kind(bijector) == "Invert":
        return is_affine(bijector.bijector)
    if kind(bijector) == "Chain":
        return all(is_affine(part) for part in bijector.bijectors)
    return kind(bijector) in _AFFINE


def entry_map_of(bijector: tfb.Bijector) -> EntryMap | None:
    """The map of one number that it applies to each entry, where it is a known one."""
    if kind(bijector) == "Invert":
        inner = entry_map_of(bijector.bijector)
        return None if inner is None else inner.inverted()
    if kind(bijector) not in _ENTRIES:
        return None
    try:
        return _ENTRIES[kind(bijector)](bijector)
    except (TypeError, ValueError):  # other parameters for other entries
        return None


def bounds_and_image(bijector: tfb.Bijector, event: Shape, domain: Box | None, dtype: str) -> tuple[LipschitzBounds, Box]:
    """Lipschitz bounds on a box, and a box that holds its image.

    Args:
        bijector: of `tfp.bijectors`.
        event: shape of one `x`.
        domain: the box, `None` for all of space.
        dtype: that it computes in.

    Source: constants of compositions multiply; singular values of a matrix; the mean value theorem.
    """
    if is_affine(bijector):
        return _affine(bijector, event, domain, tf.as_dtype(dtype))
    entry = entry_map_of(bijector)
    if entry is not None:
        image = EVERYWHERE if domain is None else finite_box(*entry.image(*check_box(domain)))
        return entrywise_bounds(entry, domain, kind(bijector)), image
    if kind(bijector) == "Chain":
        total, box = LipschitzBounds(1.0, 1.0, "global" if domain is None else "local"), domain
        for part in reversed(bijector.bijectors):
            bounds, box = bounds_and_image(part, event, box, dtype)
            box = None if domain is None else box
            total, event = total.then(bounds), static(part.forward_event_shape(tf.TensorShape(event)))
        return total, EVERYWHERE if box is None else box
    if kind(bijector) == "Invert":
        inner = static(bijector.forward_event_shape(tf.TensorShape(event)))
        return bounds_and_image(bijector.bijector, inner, None, dtype)[0].inverted(), EVERYWHERE
    return unknown(f"of TFP's {type(bijector).__name__} no Lipschitz bound is known"), EVERYWHERE


def _affine(bijector: tfb.Bijector, event: Shape, domain: Box | None, dtype: tf.DType) -> tuple[LipschitzBounds, Box]:
    name, size = type(bijector).__name__, math.prod(n or 0 for n in event)
    each = bijector.forward_min_event_ndims == 0
    if None in event or not (each or size <= _LARGEST):
        return unknown(f"{name}: a matrix for events of shape {event} is too large to be looked at"), EVERYWHERE
    zero = tf.zeros([1, *event], dtype)
    if each:  # log|slope|, which no shift takes digits from
        log_slopes = bijector.forward_log_det_jacobian(zero, event_ndims=0)
        sizes = np.exp(np.broadcast_to(np.asarray(log_slopes, np.float64), (1, *event)))
        matrix = np.diag(sizes.ravel()) if size <= _LARGEST else None
        singular = sizes
    else:
        matrix = _matrix(bijector, zero)
        singular = np.linalg.svd(matrix, compute_uv=False)
    room = 1 + 64 * float(np.finfo(dtype.as_numpy_dtype).eps)  # for the rounding of the bijector itself
    bounds = LipschitzBounds(float(singular.max()) * room, upper_reciprocal(float(singular.min())) * room)
    if domain is None or not is_finite(domain) or matrix is None:
        return bounds, EVERYWHERE
    centre, radius = centre_and_radius(broadcast_box(domain, event, name))
    middle = np.asarray(bijector.forward(tf.constant(centre[None], dtype)), np.float64)[0]
    reach = (np.abs(matrix) @ radius.ravel()).reshape(middle.shape) * room + (room - 1) * np.abs(middle)
    return bounds, finite_box(middle - reach, middle + reach)


def _matrix(bijector: tfb.Bijector, zero: tf.Tensor) -> np.ndarray:
    outputs = math.prod(known_sizes(static(bijector.forward_event_shape(zero.shape[1:]))))
    x = tf.repeat(zero, outputs, 0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = bijector.forward(x)
    rows = tape.gradient(z, x, output_gradients=tf.reshape(tf.eye(outputs, dtype=z.dtype), tf.shape(z)))
    return np.asarray(rows, np.float64).reshape(outputs, -1)
