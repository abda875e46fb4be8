"""A masked network as linear maps in turn, and a linear path beside them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.nets.linear_map_kinds import DenseMap
from inntf.nets.local_network import LocalNetwork, local_network
from inntf.nets.masked import MaskedMLP
from inntf.nets.slope_ranges import slope_range
from inntf.numerics.intervals import Interval


def masked_in_balls(net: MaskedMLP, centre: np.ndarray, radius: np.ndarray, condition: Any = None) -> LocalNetwork:
    """`local_network` of a masked network; a residual layer carries its input beside its activations.

    Args:
        net: built.
        centre: `(n, dim)`, float64.
        radius: `(n,)`.
        condition: `(n, width)`, held fixed, if the network has one.

    Returns:
        `LocalNetwork`, its outputs those of entry after entry.

    Source: inntf.

    Example:
        >>> net = MaskedMLP(2, hidden=(8,), zero_last=False, dtype="float64"); net.build((None, 3))
        >>> masked_in_balls(net, np.zeros([1, 3]), np.full(1, 1e-3)).jacobian.shape
        (1, 6, 3)
    """
    *kernels, last = (np.asarray(kernel, np.float64) for kernel in net.masked_kernels())
    direct = np.asarray(net.masked_direct_kernel(), np.float64) if net.direct else None
    first = np.asarray(net.first_inputs(condition), np.float64)
    biases = [first, *(np.asarray(bias, np.float64) for bias in net.masked_biases()[1:])]
    maps, carried = [], None  # features or clipped entries, which the direct path sees at the end
    if net.features is not None:
        turned, shift, sine = net.features.as_matrix()
        maps.append(DenseMap(shift, sine, turned))
    elif net.clip is not None:
        maps.append(DenseMap(np.zeros(net.dim), net.clip, np.eye(net.dim)))
    if maps and net.direct:
        carried = np.eye(len(maps[0].bias))
    # What a layer multiplies, and the features, as matrices on what the layer before it hands on.
    here = np.eye(len(kernels[0]))
    for i, kernel in enumerate(kernels):
        kept = [*([] if carried is None else [carried]), *([here] if i and net.residual else [])]
        width = sum(one.shape[1] for one in kept)
        bias, activation = biases[i], net.activation
        if kept:  # handed on as it is beside the activations
            bias = np.concatenate([np.zeros([*np.shape(bias)[:-1], width]), bias], -1)
            activation = _BesideIdentity(net.activation, width)
        maps.append(DenseMap(bias, activation, np.concatenate([*kept, here @ kernel], 1)))
        size, end = width + kernel.shape[1], np.eye(width + kernel.shape[1])
        carried = None if carried is None else end[:, : carried.shape[1]]
        here = end[:, width:] + (end[:, size - 2 * kernel.shape[1] : width] if i and net.residual else 0.0)
    if carried is None:
        maps.append(DenseMap(biases[-1], None, here @ last))
    else:
        maps.append(DenseMap(biases[-1], None, here @ last + carried @ direct))
    found = local_network(maps, centre, radius)
    if direct is None or carried is not None:
        return found
    return dataclasses.replace(found, value=found.value + centre @ direct, jacobian=found.jacobian + direct.T)


@dataclasses.dataclass(frozen=True)
class _BesideIdentity:
    """Nothing for the first `width` units, an activation for the others."""

    activation: Any
    width: int

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.concat([x[:, : self.width], self.activation(x[:, self.width :])], 1)

    def slope_range(self, low: np.ndarray, high: np.ndarray) -> Interval:
        """1, and the activation's."""
        ends = slope_range(self.activation, low[:, self.width :], high[:, self.width :])
        return tuple(np.concatenate([np.ones([len(end), self.width]), end], 1) for end in ends)
