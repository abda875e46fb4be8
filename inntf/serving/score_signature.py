"""A likelihood with what tells whether to believe it: the error of the inverse there, and how it enlarges errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf

from inntf.core.random_states import same_draws
from inntf.core.shapes import closed, known_sizes
from inntf.models.flow import Flow
from inntf.serving.maps import Maps, given
from inntf.serving.served import Served
from inntf.stability.reconstruction import distance

PROBES = 8
_REFERENCE = 64  # samples whose spread stands for that of the data
_SMALLEST = 1.6465 / PROBES  # what the mean of 8 squared normal numbers is above of in 99 % of all draws


def score_function(served: Served, flow: Flow, maps: Maps, make: Callable[..., Any], limit: float) -> Any:
    r"""`score`: `x [, condition]` to `log_prob`, `reconstruction_error`, `inverse_lipschitz` and `trusted`, `(batch,)` each.

    `inverse_lipschitz` bounds $\|\partial F^{-1}/\partial z\|_2$ at $z = F(x)$ by the Frobenius norm $\|J\|_F$, from
    differences of the inverse over steps of $\sqrt\epsilon \max(|z|, \sqrt D)$: along all axes up to 8 dimensions.  Above,
    along 8 random directions $u$, for which $E|Ju|^2 = \|J\|_F^2 / D$; the mean is divided by the 1 % quantile of
    $\chi^2_8 / 8$, so that the bound holds in 99 % of all draws even where one singular value outweighs the others.

    `trusted`: the log-density is finite, and neither the error of the inverse nor what it can make of the rounding of $z$,
    $\epsilon \max(|z|, \sqrt D)$ times the bound, is above `limit`.

    Args:
        served: the model.
        flow: its density.
        maps: its two directions.
        make: `(name, function, *specs)` to a concrete function that looks at what it is given.
        limit: 1 % of `data_scale`.

    Returns:
        A concrete function.

    Source: inntf; Behrmann et al., "Understanding and Mitigating Exploding Inverses in Invertible Neural Networks" (2021),
        on likelihoods that a lost inverse makes meaningless.
    """
    dims = math.prod(known_sizes(served.z_shape))
    probes = min(dims, PROBES)

    def score(x: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        base = flow.base
        h, log_det = maps.leading(x, condition)
        found = maps.smooth_forward(h, *given(condition))
        log_prob = base.log_prob(found["z"]) + tf.cast(log_det + found["log_det"], base.dtype)
        count, rounding = tf.shape(x)[0], float(ml_dtypes.finfo(x.dtype.as_numpy_dtype).eps)
        z = tf.reshape(found["z"], [count, dims])
        size = tf.maximum(tf.norm(z, axis=1), tf.constant(math.sqrt(dims), z.dtype))
        step = math.sqrt(rounding) * size
        moved = z + step[:, None] * _directions(probes, dims, z.dtype)[:, None, :]
        points = tf.reshape(tf.concat([z[None], moved], 0), [(probes + 1) * count, *served.z_shape])
        images = maps.smooth_inverse(points, *given(_repeated(condition, count, probes + 1)))["x"]
        again = tf.reshape(tf.cast(images, tf.float64), [probes + 1, count, math.prod(h.shape[1:])])
        stretches = tf.norm(again[1:] - again[0], axis=2) / tf.cast(step, tf.float64)
        squares = tf.reduce_sum(stretches**2, 0)
        bound = tf.sqrt(squares if probes == dims else squares * (dims / probes / _SMALLEST))
        error = distance(h, images[:count])
        small = (tf.cast(error, tf.float64) <= limit) & (rounding * bound * tf.cast(size, tf.float64) <= limit)
        return {
            "log_prob": log_prob,
            "reconstruction_error": error,
            "inverse_lipschitz": tf.cast(bound, x.dtype),
            "trusted": small & tf.math.is_finite(log_prob),
        }

    return make("score", score, tf.TensorSpec([None, *served.x_shape], served.dtype, name="x"))


def data_scale(served: Served, maps: Maps, sample: Any, x: Any, condition: Any) -> float:
    """Median distance of data from their mean, of those that are finite; 0 where there are none: nothing is trusted then.

    Args:
        served: the model.
        maps: its two directions.
        sample: its signature of that name, which is asked where there are no data; `None` for a base without samples, for
            which normal latents stand.
        x: data or `None`.
        condition: that belongs to `x`.
    """
    dtype = tf.as_dtype(served.dtype)
    if x is None:
        values, n = {"seed": tf.constant([0, 0]), "temperature": tf.constant(1.0)}, _REFERENCE
        if served.condition_shape is not None:
            condition, n = tf.random.stateless_normal([_REFERENCE, *closed(served.condition_shape)], [0, 1]), 1
            values["condition"] = tf.cast(condition, dtype)
        if sample is None:
            z = tf.cast(tf.random.stateless_normal([_REFERENCE, *served.z_shape], [0, 2]), dtype)
            x = maps.inverse(z, *([values["condition"]] if "condition" in values else []))["x"]
        else:
            x = tf.reshape(sample(n=tf.constant(n), **values)["x"], [_REFERENCE, *served.x_shape])
    x, condition = tf.cast(x, dtype), None if condition is None else tf.cast(condition, dtype)
    with same_draws(served.computed):
        h = tf.reshape(tf.cast(maps.leading(x, condition)[0], tf.float64), [tf.shape(x)[0], -1]).numpy()
    h = h[np.isfinite(h).all(1)]
    if not len(h):
        return 0.0
    spread = float(np.median(np.linalg.norm(h - h.mean(0), axis=1)))
    return spread or float(np.median(np.linalg.norm(h, axis=1)))


def _directions(probes: int, dims: int, dtype: tf.DType) -> tf.Tensor:
    if probes == dims:
        return tf.eye(dims, dtype=dtype)
    v = tf.random.stateless_normal([probes, dims], [0, 0], dtype=tf.float32)  # drawn there: as a constant they may be megabytes
    return tf.cast(v / tf.norm(v, axis=1, keepdims=True), dtype)


def _repeated(condition: tf.Tensor | None, count: tf.Tensor, times: int) -> tf.Tensor | None:
    """As many copies of a condition for each value, or of one for all of them."""
    if condition is None:
        return None
    each = tf.broadcast_to(condition, tf.concat([[count], tf.shape(condition)[1:]], 0))
    return tf.tile(each, [times] + [1] * (condition.shape.rank - 1))
