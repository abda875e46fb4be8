"""The exact linear case: `y = R D x` is decorrelated by `R^T`, stable, and by `D^-1 R^T`, as ill-conditioned as `D`."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks import InvertibleLinear
from recipes.common.schedule import warm_cosine
from recipes.decorrelation.correlation import decorrelation_loss
from recipes.decorrelation.settings import Config

_SAMPLES = 1000
_SHOWN = 400
TRAINED = ("rotation", "free", "likelihood")


class LinearCase(NamedTuple):
    """Data whose decorrelation is known.

    Attributes:
        x: `(n, d)`, of sample covariance I.
        rotation: `R`, `(d, d)`.
        scaling: the diagonal of `D`, `(d,)`.
        y: `(n, d)`, `R D x`.
    """

    x: np.ndarray
    rotation: np.ndarray
    scaling: np.ndarray
    y: np.ndarray


def make_case(seed: int, dim: int, condition: float) -> LinearCase:
    """Normal data, whitened exactly: what holds for the covariance holds for this sample up to rounding."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((max(_SAMPLES, 4 * dim), dim))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / (len(x) - 1))).T
    rotation = np.linalg.qr(draw.standard_normal((dim, dim)))[0]
    scaling = np.geomspace(condition**0.5, condition**-0.5, dim)
    return LinearCase(x, rotation, scaling, (x * scaling) @ rotation.T)


class Rotation(keras.constraints.Constraint):
    """The nearest orthogonal matrix: `U V^T` of the singular value decomposition."""

    def __call__(self, w: Any) -> tf.Tensor:
        """Project `(d, d)`."""
        _, left, right = tf.linalg.svd(w)
        return tf.matmul(left, right, adjoint_b=True)


def train_linear(kind: str, case: LinearCase, config: Config) -> np.ndarray:
    """A matrix trained on all of `y` from a random rotation.

    Args:
        kind: `rotation`: decorrelation among rotations; `free`: decorrelation among all matrices; `likelihood`: maximum
            likelihood under a standard normal, whose solutions are `D^-1 R^T` and what rotations make of it.
        case: the data.
        config: settings of the run.

    Returns:
        The matrix, `(d, d)`.
    """
    y = tf.constant(case.y)
    parametrization = "plu" if kind == "likelihood" else "dense"
    block = InvertibleLinear(parametrization=parametrization, seed=config.seed, dtype="float64")
    block.ensure_built(case.y.shape[1:])
    if kind == "rotation":
        block.matrix.constraint = Rotation()
    optimizer = make_optimizer(kind, config.linear_steps)
    weights = block.trainable_variables
    optimizer.build(weights)
    unbiased = len(case.y) / (len(case.y) - 1)

    def loss() -> tf.Tensor:
        z, log_det = block.forward_and_log_det(y)
        if kind != "likelihood":
            return decorrelation_loss(z)
        return unbiased * tf.reduce_mean(0.5 * tf.reduce_sum(tf.square(z), 1)) - tf.reduce_mean(log_det)

    @tf.function(autograph=False)
    def step() -> None:
        with tf.GradientTape() as tape:
            value = loss()
        optimizer.apply(tape.gradient(value, [w.value for w in weights]), weights)

    for _ in range(config.linear_steps):
        step()
    return block.kernel().numpy()


def make_optimizer(kind: str, steps: int) -> keras.optimizers.Optimizer:
    """Plain gradient descent where each step is projected (Adam's steps hardly move along the rotations), Adam elsewhere."""
    if kind == "rotation":
        return keras.optimizers.SGD(warm_cosine(0.1, steps), global_clipnorm=1.0)
    return keras.optimizers.Adam(warm_cosine(0.1 if kind == "likelihood" else 0.03, steps))


def measure_linear(config: Config) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Loss and condition number of both closed forms and of the trained matrices, and points to show."""
    case = make_case(config.seed, config.linear_dim, config.linear_condition)
    matrices = {"rotation_back": case.rotation.T, "rotation_and_scaling_back": case.rotation.T / case.scaling[:, None]}
    matrices |= {f"trained_{kind}": train_linear(kind, case, config) for kind in TRAINED}
    points = {"x": case.x, "y": case.y, **{name: case.y @ matrix.T for name, matrix in matrices.items()}}
    numbers = {
        name: {
            "loss": float(decorrelation_loss(tf.constant(points[name]))),
            "condition_number": float(np.linalg.cond(matrix)),
        }
        for name, matrix in matrices.items()
    }
    start = float(decorrelation_loss(tf.constant(case.y)))
    condition = float(case.scaling.max() / case.scaling.min())
    return {"loss_untrained": start, "condition_number_of_D": condition, **numbers}, {k: v[:_SHOWN] for k, v in points.items()}
