"""A fully connected network on a whole event, images too, in groups that share nothing but the input."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.arguments import checked_count, typed
from inntf.core.checkpointing import Checkpointed
from inntf.core.errors import explain
from inntf.core.shapes import known_sizes
from inntf.nets.activations import activation_lipschitz
from inntf.nets.applied_weights import weights_as_applied
from inntf.nets.follows_owner import FollowsOwner
from inntf.nets.lipschitz import NO_WEIGHTS, unbounded
from inntf.nets.make_conditioner import width_of
from inntf.numerics.norms.power_iteration import spectral_norm


@keras.saving.register_keras_serializable("inntf")
class FlatMLP(FollowsOwner, Checkpointed, keras.layers.Layer):
    r"""`groups` networks $W_k^g\, a(\dots a(W_1^g x + b_1^g) \dots) + b_k^g$ of the flat event, side by side in the channels.

    Where `MLP` acts on the last axis, every output entry of this one sees every entry of the event.  An affine coupling
    with `groups=2` has one network for the shift and one for the raw scale; all groups are computed together.

    Args:
        hidden: widths of the hidden layers of each group; one number for a single one.
        out_channels: channels of the output, divisible by `groups`; `None` lets the coupling set it (and the dtype, where none
            is given).
        groups: number of networks, each of which makes as many of the channels, the first one the first.
        activation: Keras activation between layers.
        zero_last: whether the last layers start at zero; otherwise Glorot uniform.

    Call arguments: `(batch, dim)` or `(batch, height, width, channels)`.  Returns `(batch, out_channels)` or
        `(batch, height, width, out_channels)`.

    Raises:
        ValueError: if built before `out_channels` is known, or for one that is no multiple of `groups`.

    Source: Nguyen, Ardizzone, Koethe, "Training Invertible Neural Networks as Autoencoders" (2019), section 3.1: the
        fully connected coupling, four such networks a coupling.

    Example:
        >>> FlatMLP(8, out_channels=4, groups=2)(keras.ops.ones([2, 6, 6, 3])).shape
        TensorShape([2, 6, 6, 4])
    """

    @typed
    def __init__(
        self,
        hidden: int | Sequence[int] = 128,
        *,
        out_channels: int | None = None,
        groups: int = 1,
        activation: Any = "relu",
        zero_last: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.hidden = (hidden,) if isinstance(hidden, int) else tuple(hidden)
        checked_count("FlatMLP", groups=groups)
        for width in self.hidden:
            checked_count("FlatMLP", hidden=width)
        if not self.hidden:
            raise ValueError(explain("FlatMLP", received="hidden=()", expected="at least one hidden layer"))
        self.out_channels, self.groups = out_channels, groups
        self.activation = keras.activations.get(activation)
        self.zero_last = zero_last

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights: the first kernel `(dim, groups * width)`, those behind `(groups, width, width)`."""
        if width_of(self) % self.groups:
            expected = f"a multiple of groups={self.groups}"
            raise ValueError(explain(self.name, received=f"out_channels={self.out_channels}", expected=expected))
        self._event = known_sizes(input_shape[1:-1])
        channels = width_of(self) // self.groups
        widths = (math.prod(known_sizes(input_shape[1:])), *self.hidden, math.prod(self._event) * channels)
        self.kernels, self.biases = [], []
        for i, (before, after) in enumerate(itertools.pairwise(widths)):
            shape = (before, self.groups * after) if i == 0 else (self.groups, before, after)
            zero = self.zero_last and i == len(self.hidden)
            limit = 0.0 if zero else math.sqrt(6 / (before + after))  # Glorot's, of one network
            start = "zeros" if zero else keras.initializers.RandomUniform(-limit, limit)
            self.kernels.append(self.add_weight(shape=shape, initializer=start, name=f"kernel_{i}"))
            self.biases.append(self.add_weight(shape=(self.groups, 1, after), initializer="zeros", name=f"bias_{i}"))

    def call(self, x: Any) -> Any:
        """Apply the networks."""
        kernels, biases = ([tf.convert_to_tensor(w) for w in part] for part in (self.kernels, self.biases))
        x = tf.cast(tf.convert_to_tensor(x), kernels[0].dtype)
        batch, width = tf.shape(x)[0], self.hidden[0]
        flat = tf.matmul(tf.reshape(x, [-1, kernels[0].shape[0]]), kernels[0])
        y = tf.transpose(tf.reshape(flat, [-1, self.groups, width]), [1, 0, 2]) + biases[0]
        for kernel, bias in zip(kernels[1:], biases[1:], strict=True):
            y = tf.matmul(self.activation(y), kernel) + bias
        channels = width_of(self) // self.groups
        y = tf.reshape(y, [self.groups, batch, math.prod(self._event), channels])
        return tf.reshape(tf.transpose(y, [1, 2, 0, 3]), [batch, *self._event, self.out_channels])

    def matrices(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Kernel `(in, out)` and bias `(out,)` of each layer, float64, all groups in one: of flat events, in raster order."""
        found = []
        for i, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            matrix, shift = weights_as_applied(self, kernel), weights_as_applied(self, bias).reshape(-1)
            if i:
                groups, rows, columns = matrix.shape
                blocks, matrix = matrix, np.zeros([groups * rows, groups * columns])
                for g in range(groups):
                    matrix[g * rows : (g + 1) * rows, g * columns : (g + 1) * columns] = blocks[g]
            found.append((matrix, shift))
        pixels, channels = math.prod(self._event), width_of(self) // self.groups
        order = np.arange(len(found[-1][1])).reshape(self.groups, pixels, channels).transpose(1, 0, 2).reshape(-1)
        matrix, shift = found[-1]
        return [*found[:-1], (matrix[:, order], shift[order])]

    def lipschitz_bound(self) -> tuple[float, str]:
        """Certified `(bound, reason)` of all groups together, as the weights are now: norms of layers multiply."""
        if not self.built:
            return unbounded(self, NO_WEIGHTS)
        slope = activation_lipschitz(self.activation)
        if math.isinf(slope):
            return unbounded(self, "has an activation that declares no Lipschitz constant")
        first, *others = (weights_as_applied(self, kernel) for kernel in self.kernels)
        total = 0.0
        for g, part in enumerate(np.split(first, self.groups, axis=1)):
            norms = [spectral_norm(part), *(slope * spectral_norm(kernel[g]) for kernel in others)]
            total = math.hypot(total, math.prod(norms))
        if not math.isfinite(total):
            return unbounded(self, "has weights that are not finite, or a bound beyond float range")
        return total * (1 + 1e-12), ""

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output."""
        return (*input_shape[:-1], self.out_channels)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "hidden": list(self.hidden),
            "out_channels": self.out_channels,
            "groups": self.groups,
            "activation": keras.activations.serialize(self.activation),
            "zero_last": self.zero_last,
        }
