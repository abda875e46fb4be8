"""Between which slopes an activation stays on an interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.nets.activations import LipSwish, activation_lipschitz, lip_swish, sharpness, softplus
from inntf.nets.concat_lip_swish import SwishHalf
from inntf.numerics.intervals import Interval, logistic

Slope = Callable[[np.ndarray], np.ndarray]
_ROUNDED = 1e-8  # Keras holds the constants of some activations in float32, whatever the dtype
_a = keras.activations


def slope_range(activation: Any, low: np.ndarray, high: np.ndarray) -> Interval:
    r"""$\min$ and $\max$ of $a'$ on `[low, high]`, entry by entry.

    Exact where the derivative is known to be piecewise monotone (relu, leaky_relu, elu, tanh, sigmoid, softplus, silu, gelu,
    LipSwish, ...); of others that of all numbers (`global_slopes`), or `(-L, L)` where only a Lipschitz constant `L` is
    declared.  Your own declares it by a method `slope_range(low, high)`, or by `slopes = (low, high)`.

    Args:
        activation: a Keras activation, an activation layer, or `None` (linear).
        low: lower ends, an array of any shape.
        high: upper ends, of the same shape.

    Returns:
        Two arrays of that shape; infinite where nothing is known.

    Source: calculus.

    Example:
        >>> [round(float(end), 6) for end in slope_range("tanh", np.float64(0.0), np.float64(1.0))]
        [0.419974, 1.0]
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    own = getattr(activation, "slope_range", None)
    if callable(own):
        return own(low, high)
    activation = _a.get(activation) if isinstance(activation, str) else activation
    if activation is None or activation is _a.linear:
        return np.ones(low.shape), np.ones(low.shape)
    known = _known(activation)
    if known is None:
        bound, everywhere = activation_lipschitz(activation), global_slopes(activation)
        if everywhere is not None and np.array_equal(low, high):  # single numbers, kept apart: their slopes are derivatives
            return _derivatives(activation, low)
        ends = everywhere or (-bound, bound)
        return np.full(low.shape, ends[0]), np.full(low.shape, ends[1])
    slope, turns = known
    with np.errstate(over="ignore", invalid="ignore"):
        reached = [slope(low), slope(high)]
        for at, value in turns:  # where the slope turns, or jumps: with both of its values there
            inside = (low <= at) & (at <= high)
            reached += [np.where(inside, one, reached[0]) for one in value]
    return np.min(reached, 0) - _ROUNDED, np.max(reached, 0) + _ROUNDED


def _derivatives(activation: Any, at: np.ndarray) -> Interval:
    with tf.GradientTape() as tape:
        x = tf.constant(at)
        tape.watch(x)
        y = activation(x)
    found = tape.gradient(y, x, unconnected_gradients=tf.UnconnectedGradients.ZERO).numpy()
    return found - _ROUNDED, found + _ROUNDED


def global_slopes(activation: Any) -> tuple[float, float] | None:
    r"""$\inf$ and $\sup$ of $a'$ over all numbers, of an activation that acts entry by entry.

    Your own declares them by an attribute `slopes = (low, high)`; a Lipschitz constant alone does not say that entries are
    kept apart.

    Args:
        activation: a Keras activation or its name, an activation layer, `None` (linear), or anything with `slopes`.

    Returns:
        The two numbers, rounded outwards; `None` where they are not known.

    Source: calculus.

    Example:
        >>> global_slopes("relu"), global_slopes("softmax")
        ((0.0, 1.0), None)
    """
    own = getattr(activation, "slopes", None)
    if isinstance(own, tuple):
        return float(own[0]), float(own[1])
    activation = _a.get(activation) if isinstance(activation, str) else activation
    if activation is None:
        return 1.0, 1.0
    if isinstance(activation, keras.layers.Layer):
        return _of_layer(activation)
    try:
        return _EVERYWHERE.get(activation)
    except TypeError:  # unhashable callables are nobody we know
        return None


def why_no_slopes(activation: Any) -> str:
    """What to declare of an activation whose slopes are not known anywhere; empty where they are.

    Source: inntf.

    Example:
        >>> why_no_slopes("tanh"), why_no_slopes(lambda x: x**3)[:22]
        ('', 'the slopes of <lambda>')
    """
    if callable(getattr(activation, "slope_range", None)):
        return ""
    if isinstance(activation, keras.layers.PReLU):
        return f"the slopes of {activation.name} are learned, one an entry, and are not followed"
    if np.isfinite(slope_range(activation, np.zeros(1), np.zeros(1))).all():
        return ""
    name = getattr(activation, "name", None) or getattr(activation, "__name__", type(activation).__name__)
    return f"the slopes of {name} are not declared (`slopes = (low, high)` or `slope_range(low, high)` of the activation)"


def _of_layer(layer: keras.layers.Layer) -> tuple[float, float] | None:
    kind = type(layer)
    if kind is keras.layers.Activation:
        return global_slopes(layer.activation)
    if kind is LipSwish:
        return _EVERYWHERE[lip_swish]
    if kind is keras.layers.ReLU and not layer.threshold:
        flat = () if layer.max_value is None else (0.0,)
        return _hull(1.0, layer.negative_slope or 0.0, *flat)
    if kind is keras.layers.LeakyReLU:
        return _hull(1.0, layer.negative_slope)
    if kind is keras.layers.ELU:
        return _hull(0.0, 1.0, layer.alpha)
    if kind is keras.layers.PReLU and layer.built:
        alpha = np.asarray(keras.ops.convert_to_numpy(layer.alpha), np.float64)
        return _hull(1.0, alpha.min(), alpha.max()) if np.isfinite(alpha).all() else None
    return None


def _hull(*slopes: Any) -> tuple[float, float]:
    ends = [float(end) for end in slopes]
    exact = set(ends) <= {0.0, 1.0}
    margin = 0.0 if exact else _ROUNDED * max(map(abs, ends))
    return min(ends) - margin, max(ends) + margin


def _known(activation: Any) -> tuple[Slope, tuple] | None:
    """The derivative, and the points between which it is monotone, each with its extreme values there."""
    if type(activation) is keras.layers.Activation:
        return _known(activation.activation)
    if isinstance(activation, SwishHalf):
        return _swish(activation.beta, activation.divisor)
    if type(activation) is LipSwish:
        return _swish(float(sharpness(activation.raw_beta, "float64")), 1.1)
    if type(activation) is keras.layers.ReLU and not activation.threshold and activation.max_value is None:
        return _kinked(float(activation.negative_slope or 0.0))
    if type(activation) is keras.layers.LeakyReLU:
        return _kinked(float(activation.negative_slope))
    try:
        return _KNOWN.get(activation)
    except TypeError:  # unhashable callables are nobody we know
        return None


def _kinked(left: float, right: float = 1.0) -> tuple[Slope, tuple]:
    left = float(np.float32(left))  # as TensorFlow holds it, whatever the dtype
    return lambda x: np.where(x > 0, right, left), ((0.0, (left, right)),)


def _swish(beta: float, divisor: float = 1.0) -> tuple[Slope, tuple]:
    def slope(x: np.ndarray) -> np.ndarray:
        s = logistic(beta * x)
        return s * (1 + beta * x * (1 - s)) / divisor

    peak = 2.399357280520 / beta if beta else math.inf  # of d/dx x sigmoid(x), within 1e-9: the value there is flat
    top, bottom = 1.0998393202 / divisor, -0.0998393202 / divisor
    return slope, ((peak, (top,)), (-peak, (bottom,)))


def _gelu_slope(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, -40.0, 40.0)
    erf = np.vectorize(math.erf, otypes=[np.float64])
    return 0.5 * (1 + erf(x / math.sqrt(2))) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def _bump(slope: Slope, top: float) -> tuple[Slope, tuple]:
    return slope, ((0.0, (top,)),)


_GELU = (_gelu_slope, ((math.sqrt(2), (1.12890417,)), (-math.sqrt(2), (-0.12890417,))))
_KNOWN = {
    _a.relu: _kinked(0.0),
    _a.leaky_relu: _kinked(0.2),
    _a.elu: (lambda x: np.where(x > 0, 1.0, np.exp(np.minimum(x, 0.0))), ()),
    _a.tanh: _bump(lambda x: 4 * np.exp(-2 * np.abs(x)) / (1 + np.exp(-2 * np.abs(x))) ** 2, 1.0),
    _a.sigmoid: _bump(lambda x: logistic(x) * logistic(-x), 0.25),
    _a.softplus: (logistic, ()),
    softplus: (logistic, ()),
    _a.softsign: _bump(lambda x: 1 / (1 + np.abs(x)) ** 2, 1.0),
    _a.silu: _swish(1.0),
    _a.gelu: _GELU,
    lip_swish: _swish(1.0, 1.1),
}
_EVERYWHERE = {  # inf a' and sup a', rounded outwards
    **dict.fromkeys(
        [_a.relu, _a.relu6, _a.elu, _a.celu, _a.tanh, _a.hard_tanh, _a.softplus, _a.softsign, softplus], (0.0, 1.0)
    ),
    **dict.fromkeys([_a.soft_shrink, _a.sparse_plus, _a.squareplus, _a.log_sigmoid, _a.tanh_shrink], (0.0, 1.0)),
    _a.gelu: (-0.129, 1.129),
    _a.hard_sigmoid: (0.0, 1 / 6 + _ROUNDED),
    _a.hard_silu: (-0.5 - _ROUNDED, 1.5 + _ROUNDED),
    _a.leaky_relu: _hull(0.2, 1.0),
    _a.linear: (1.0, 1.0),
    _a.mish: (-0.1126, 1.0885),
    _a.selu: (0.0, 1.7581),
    _a.sigmoid: (0.0, 0.25),
    _a.silu: (-0.0998394, 1.0998394),
    _a.sparse_sigmoid: (0.0, 0.5),
    lip_swish: (-0.0998394 / 1.1, 1.0998394 / 1.1),
}
