"""The network whose Lipschitz constant is what was asked for, whatever its weights: rotations and activations that fold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.arguments import checked_count, typed
from inntf.core.checkpointing import Checkpointed
from inntf.core.errors import explain
from inntf.core.shapes import last_size
from inntf.core.weights import read
from inntf.nets.fold import Fold, fold, fold_slope, shift_channels
from inntf.nets.follows_owner import FollowsOwner
from inntf.nets.lipschitz import NO_WEIGHTS, unbounded
from inntf.nets.make_conditioner import width_of
from inntf.numerics.orthogonal import cayley, nonexpansive

_SHARPEST = 5.0  # of log sharpness: beyond e^5 a fold is an absolute value to the eye, and beyond e^88 a NaN


@keras.saving.register_keras_serializable("inntf")
class OrthogonalNet(FollowsOwner, Checkpointed, keras.layers.Layer):
    r"""`c P^T Q_k f(... f(Q_1 f(Q_0 E x + b_1) + b_2) ...) + b`: $\mathrm{Lip} \le c$ for any weights, and c is reached.

    The state has `out_channels` numbers that are carried along and `hidden` ones that an activation folds,
    $f(v) = \log\cosh(\beta v)/\beta$ with a trained sharpness, of slope $\tanh(\beta v)$; each $Q$ is a Cayley transform, E
    embeds, P projects, and none of them stretches.  Rotations lose no slope, so depth costs none, and each singular value of
    the Jacobian may be anything from 0 to c.  Folds and rotations are all that MaxMin is.

    On images the rotations mix the channels of each pixel, and before each fold the folded channels but a fifth move by a
    pixel, up, down, left and right in equal numbers, with zeros coming in at the border.

    At the start the Jacobian is `c initial_slope I` plus at most `1 - |initial_slope|` of something random.

    Args:
        hidden: channels that are folded; as many as the input has let every direction reach every slope.
        depth: number of folds.
        out_channels: width of the output; `None` lets the block set it (and the dtype, where none is given).
        coefficient: c.
        initial_slope: of the start, between -1 and 1.

    Call arguments: `(batch, dim)` or `(batch, height, width, channels)`.  Returns the same with `out_channels`.

    Raises:
        ValueError: on arguments out of range, or if built before `out_channels` is known.

    Source: Anil, Lucas, Grosse, "Sorting out Lipschitz function approximation" (2019), for rotations with activations that
    keep the norm of gradients; the map between two rotations is that of Wang, Dvijotham, Manchester, "Monotone, Bi-Lipschitz,
    and Polyak-Lojasiewicz Networks" (2024), section 4, $2\sigma - I$ for a monotone $\sigma$.

    Example:
        >>> network = OrthogonalNet(8, out_channels=3, coefficient=0.5)
        >>> network(keras.ops.ones([2, 3])).shape, network.lipschitz_bound()
        (TensorShape([2, 3]), (0.5, ''))
    """

    @typed
    def __init__(
        self,
        hidden: int = 64,
        depth: int = 2,
        *,
        out_channels: int | None = None,
        coefficient: float = 1.0,
        initial_slope: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        checked_count(self.name, hidden=hidden, depth=depth)
        if coefficient < 0 or not -1 <= initial_slope <= 1:
            raise ValueError(
                explain(
                    self.name,
                    received=f"coefficient={coefficient}, initial_slope={initial_slope}",
                    expected="a coefficient of at least 0, and an initial slope between -1 and 1",
                )
            )
        self.hidden, self.depth, self.out_channels = int(hidden), int(depth), out_channels
        self.coefficient, self.initial_slope = float(coefficient), float(initial_slope)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights."""
        width = width_of(self) + self.hidden

        self.rotations = [
            self.add_weight(shape=(width, width), initializer=self._first_rotation(), name=f"rotation_{k}")
            for k in range(self.depth + 1)
        ]
        self.biases, self.log_sharpness = [], []
        for k in range(self.depth):
            normal = keras.initializers.RandomNormal(stddev=1.0)
            self.biases.append(self.add_weight(shape=(self.hidden,), initializer=normal, name=f"bias_{k}"))
            self.log_sharpness.append(self.add_weight(shape=(self.hidden,), initializer="zeros", name=f"log_sharpness_{k}"))
        self.last_bias = self.add_weight(shape=(self.out_channels,), initializer="zeros", name="last_bias")
        self._inputs = last_size(input_shape)

    def _first_rotation(self) -> Callable[..., Any]:
        normal = keras.initializers.RandomNormal(stddev=1 / math.sqrt(self.hidden))

        def start(shape: Any, dtype: Any = None) -> Any:
            inner = normal((self.hidden, self.hidden), dtype=dtype)
            return keras.ops.pad(inner, [(self.out_channels, 0)] * 2)  # what is carried along is not turned yet

        return start

    # ---- the map: what is made of the weights once, and applied many times ---------------------------------------

    def effective_weights(self) -> list[tf.Tensor]:
        """Kernels `(in, out)` with norms of at most 1, the last of at most c, then biases and sharpnesses; compute dtype."""
        dtype = tf.as_dtype(self.compute_dtype)
        turned = [cayley(read(raw)) for raw in self.rotations]
        first, last = _embedding(self._inputs, width_of(self), self.hidden, self.initial_slope)
        turned[0] = tf.linalg.matmul(tf.constant(first), turned[0])
        turned[-1] = tf.linalg.matmul(turned[-1], tf.constant(last))
        kernels = [nonexpansive(kernel, dtype) for kernel in turned[:-1]]
        kernels.append(nonexpansive(turned[-1], dtype, self.coefficient))
        sharpness = [tf.exp(_SHARPEST * tf.tanh(read(raw, dtype) / _SHARPEST)) for raw in self.log_sharpness]
        return [*kernels, *(read(b, dtype) for b in self.biases), *sharpness, read(self.last_bias, dtype)]

    def apply(self, x: tf.Tensor, weights: Sequence[tf.Tensor]) -> tf.Tensor:
        """The network with these effective weights, in their dtype."""
        kernels, biases, sharpness, last_bias = self._sorted(weights)
        state = _matmul(tf.cast(x, last_bias.dtype), kernels[0])
        for kernel, bias, sharp in zip(kernels[1:], biases, sharpness, strict=True):
            kept, moved = tf.split(state, [self.out_channels, self.hidden], -1)
            if state.shape.rank == 4:
                moved = shift_channels(moved)
            state = _matmul(tf.concat([kept, fold(moved + bias, sharp)], -1), kernel)
        return state + last_bias

    def value_and_jacobian(self, x: tf.Tensor, weights: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Of vectors `(batch, dim)`: `apply`, and `(batch, out_channels, dim)`, by matrix products alone."""
        kernels, biases, sharpness, last_bias = self._sorted(weights)
        state = _matmul(tf.cast(x, kernels[0].dtype), kernels[0])
        columns = kernels[0][None]
        for kernel, bias, sharp in zip(kernels[1:], biases, sharpness, strict=True):
            kept, moved = tf.split(state, [self.out_channels, self.hidden], -1)
            slopes = tf.concat([tf.ones_like(kept), fold_slope(moved + bias, sharp)], -1)
            columns = tf.linalg.matmul(columns * slopes[:, None, :], kernel)
            state = _matmul(tf.concat([kept, fold(moved + bias, sharp)], -1), kernel)
        return state + last_bias, tf.linalg.matrix_transpose(columns)

    def parts(self) -> list[tuple[np.ndarray, np.ndarray, Fold | None]]:
        """Kernels, biases and what follows each, in float64, for certificates."""
        weights = [np.asarray(tf.cast(value, tf.float64)) for value in self.effective_weights()]
        kernels, biases, sharpness, last_bias = self._sorted(weights)
        biases = [np.concatenate([np.zeros(self.out_channels), bias]) for bias in biases]
        folds = [Fold(width_of(self), sharp) for sharp in sharpness]
        return list(zip(kernels, [*biases, last_bias], [*folds, None], strict=True))

    def call(self, x: Any) -> Any:
        """Apply the network."""
        return self.apply(x, self.effective_weights())

    def _sorted(self, weights: Sequence[tf.Tensor]) -> tuple[Any, Any, Any, tf.Tensor]:
        k = self.depth
        return weights[: k + 1], weights[k + 1 : 2 * k + 1], weights[2 * k + 1 : 3 * k + 1], weights[-1]

    # ---- what is certain ---------------------------------------------------------------------------------------

    def lipschitz_bound(self) -> tuple[float, str]:
        """`(c, "")`, or infinity where a weight is not finite."""
        if not self.built:
            return unbounded(self, NO_WEIGHTS)
        finite = bool(tf.math.is_finite(self.lipschitz_tensor()))
        return (self.coefficient, "") if finite else unbounded(self, "has weights that are not finite")

    def lipschitz_tensor(self) -> tf.Tensor:
        """The same as a float64 scalar."""
        finite = [tf.reduce_all(tf.math.is_finite(read(v))) for v in self.weights]
        return tf.where(tf.reduce_all(finite), tf.constant(self.coefficient, tf.float64), np.inf)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output."""
        return (*input_shape[:-1], self.out_channels)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        names = ("hidden", "depth", "out_channels", "coefficient", "initial_slope")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _embedding(inputs: int, outputs: int, hidden: int, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """`(inputs, outputs + hidden)` and back to the outputs: of each input a part is carried along, the rest is folded."""
    carried, folded = math.sqrt(abs(slope)), math.sqrt(1 - abs(slope))
    there = np.zeros([inputs, outputs + hidden])
    back = np.zeros([outputs + hidden, outputs])
    for i in range(inputs):
        if i < outputs:
            there[i, i] = carried
        if i < hidden:
            there[i, outputs + i] = folded if i < outputs else 1.0
    for i in range(outputs):
        back[i, i] = math.copysign(carried, slope)
        if i < hidden:
            back[outputs + i, i] = folded
    return there, back


def _matmul(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    if x.shape.rank == 2:
        return tf.linalg.matmul(x, kernel)
    flat = tf.linalg.matmul(tf.reshape(x, [-1, kernel.shape[0]]), kernel)
    shape = tf.concat([tf.shape(x)[:-1], [kernel.shape[1]]], 0)
    return tf.ensure_shape(tf.reshape(flat, shape), [*x.shape[:-1], kernel.shape[1]])
