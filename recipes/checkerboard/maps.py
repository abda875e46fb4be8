"""What a flow does on a grid over [-8, 8]^2: density, errors of both round trips, log-determinant, condition number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.models import Flow
from inntf.stability import summarize
from recipes.checkerboard.data import EDGE

SIDE = 8.0
_CHUNK = 1600


def grid_axis(step: float) -> np.ndarray:
    """Coordinates of the grid, -8 included, 8 not: `(n,)` float32."""
    return (-SIDE + step * np.arange(round(2 * SIDE / step))).astype(np.float32)


class Mapper:
    """Traces a flow once and maps it as often as asked.

    The five maps, `(n, n)` float64, first index `x2`, second `x1`; NaN and infinity stay in them:

        log_prob              log p(x), nats
        error                 |x - inverse(forward(x))|
        latent_error          |z - forward(inverse(z))|, the grid taken as latents
        log_det_difference    |log_det - log|det J||, J the Jacobian of forward by backpropagation
        condition_number      largest over smallest singular value of J
    """

    def __init__(self, flow: Flow):
        spec = tf.TensorSpec([None, 2], tf.float32)
        self._flow = flow
        self._at_data = tf.function(self._forward_and_back, [spec], autograph=False)
        self._at_latents = tf.function(self._back_and_forward, [spec], autograph=False)

    def _forward_and_back(self, x: tf.Tensor) -> tuple[tf.Tensor, ...]:
        block = self._flow.block
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(x)
            z, log_det = block.forward_and_log_det(x)
            parts = tf.unstack(z, axis=1)
        jacobian = tf.stack([tape.gradient(part, x) for part in parts], 1)
        log_prob = self._flow.base.log_prob(z) + log_det
        return log_prob, log_det, jacobian, block.inverse_and_log_det(z)[0]

    def _back_and_forward(self, z: tf.Tensor) -> tf.Tensor:
        block = self._flow.block
        return block.forward_and_log_det(block.inverse_and_log_det(z)[0])[0]

    def __call__(self, axis: np.ndarray) -> dict[str, np.ndarray]:
        """The maps on the grid `axis` x `axis`."""
        points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
        chunks = [tf.constant(points[i : i + _CHUNK]) for i in range(0, len(points), _CHUNK)]
        found = [[part.numpy().astype(np.float64) for part in self._at_data(chunk)] for chunk in chunks]
        log_prob, log_det, jacobian, x_again = (np.concatenate(parts) for parts in zip(*found, strict=True))
        z_again = np.concatenate([self._at_latents(chunk).numpy().astype(np.float64) for chunk in chunks])
        log_volume, condition = measure_jacobians(jacobian)
        with np.errstate(all="ignore"):
            maps = {
                "log_prob": log_prob,
                "error": np.linalg.norm(points - x_again, axis=1),
                "latent_error": np.linalg.norm(points - z_again, axis=1),
                "log_det_difference": np.abs(log_det - log_volume),
                "condition_number": condition,
            }
        return {name: values.reshape(len(axis), len(axis)) for name, values in maps.items()}


def measure_jacobians(jacobian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`log|det J|` and condition number of `(n, 2, 2)` matrices, in float64; NaN and infinity pass through.

    With `s = |J|_F^2` and `d = |det J|`, the singular values are `(sqrt(s + 2 d) +- sqrt(s - 2 d)) / 2`, so that the
    condition number is `(sqrt(s + 2 d) + sqrt(s - 2 d))^2 / (4 d)`.
    """
    with np.errstate(all="ignore"):
        determinant = np.abs(jacobian[:, 0, 0] * jacobian[:, 1, 1] - jacobian[:, 0, 1] * jacobian[:, 1, 0])
        square = np.sum(jacobian**2, (1, 2))
        sums = np.sqrt(square + 2 * determinant) + np.sqrt(np.maximum(square - 2 * determinant, 0))
        return np.log(determinant), sums**2 / (4 * determinant)


def inside(axis: np.ndarray) -> np.ndarray:
    """Which points of the grid lie in the square of the data: `(n, n)` bool."""
    within = np.abs(axis) < EDGE
    return within[:, None] & within[None, :]


def describe(maps: dict[str, np.ndarray], axis: np.ndarray) -> dict[str, Any]:
    """Numbers of the maps, inside and outside of the data's square; what is not finite is counted, never averaged.

    `mass` is the integral of the density over the grid: 1 for a true density that has not left it.
    """
    data = inside(axis)
    out: dict[str, Any] = {}
    for name, values in maps.items():
        out[name] = {"inside": summarize(values[data])._asdict(), "outside": summarize(values[~data])._asdict()}
    density = density_of(maps["log_prob"])
    out["mass"] = float(np.sum(density[np.isfinite(density)]) * float(axis[1] - axis[0]) ** 2)
    out["density_nan_share"] = float(np.mean(np.isnan(maps["log_prob"])))
    out["nonfinite_values"] = int(sum(np.sum(~np.isfinite(values)) for values in maps.values()))
    out["largest_error"] = worst(maps["error"], maps["latent_error"])
    return out


def density_of(log_prob: np.ndarray) -> np.ndarray:
    """`exp(log_prob)`; NaN stays."""
    with np.errstate(over="ignore"):
        return np.exp(log_prob)


def worst(*maps: np.ndarray) -> float:
    """The largest value; infinity if any is not finite."""
    return max(float(np.max(values)) if np.all(np.isfinite(values)) else math.inf for values in maps)
