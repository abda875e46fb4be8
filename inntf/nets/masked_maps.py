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
    biases = [np.asarray(net.first_inputs(condition), np.float64), *(np.asarray(b, np.float64) for b in net.biases[1:])]
    maps, wide = [], False
    for i, kernel in enumerate(kernels):
        bias, activation = biases[i], net.activation
        if i and net.residual:  # of what comes in, twice: as it is, and for the activation
            kernel, bias = np.concatenate([np.eye(len(kernel)), kernel], 1), np.concatenate([np.zeros(len(bias)), bias])
            activation = _BesideIdentity(net.activation, len(kernel))
        maps.append(DenseMap(bias, activation, np.concatenate([kernel, kernel]) if wide else kernel))
        wide = bool(i and net.residual)
    maps.append(DenseMap(biases[-1], None, np.concatenate([last, last]) if wide else last))
    found = local_network(maps, centre, radius)
    if not net.direct:
        return found
    direct = np.asarray(net.masked_direct_kernel(), np.float64)
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
