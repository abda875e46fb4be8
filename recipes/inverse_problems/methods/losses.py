"""What the methods' objectives have in common."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from inntf.core.whole_batch import draw_rows
from inntf.models import energy_score_loss, joint_negative_log_likelihood, l2_loss, latent_mmd_loss
from inntf.numerics import InverseQuadratic
from inntf.numerics.stateless_draws import gaussian

DRAWS = 3  # of x given y in a training step
KERNEL = InverseQuadratic([0.2, 0.45, 0.9, 1.7])  # squared: from a twenty-fifth of a unit to three
FIRST_SD, LAST_SD, ANNEALED = 0.5, 0.03, 0.8  # of y's noise in training, in standard deviations of y; share of the steps


def noise_sd(progress: tf.Tensor, first: float = FIRST_SD, last: float = LAST_SD) -> tf.Tensor:
    """Noise of y at a share of the training: it falls geometrically, then stays.

    Without noise posteriors are surfaces, their densities infinite: the likelihood would be all about sharpness from the start.
    """
    left = tf.maximum(1.0 - progress / ANNEALED, 0.0)
    return last * (first / last) ** left


def noisy(y: tf.Tensor, sd: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """`y` with normal noise of a standard deviation."""
    return y + sd * normal(tf.shape(y), seed)


def normal(shape: Any, seed: tf.Tensor, copies: int = 1) -> tf.Tensor:
    """Standard normal numbers, `(rows, dim)`, the same by XLA and without; on several replicas as one device would draw them.

    Args:
        shape: of the numbers.
        seed: two integers.
        copies: how many copies of the batch the rows are, one after the other.
    """
    return draw_rows(lambda whole: gaussian(whole, seed, tf.float32), shape, copies=copies)


def joint_likelihood(out: tf.Tensor, log_det: tf.Tensor, y: tf.Tensor, sd: tf.Tensor) -> tf.Tensor:
    """Eq. 4 with its constants, nats per entry."""
    dim_y = y.shape[-1]
    nats = joint_negative_log_likelihood(out[:, :dim_y], out[:, dim_y:], log_det, y, sd)
    return tf.reduce_mean(nats) / out.shape[-1]


def fit_and_latent(out: tf.Tensor, y: tf.Tensor, seed: tf.Tensor, z_weight: float) -> tf.Tensor:
    """Eq. 3: least squares for y, and the joint MMD of [z, y hat] against [normal, y]."""
    dim_y = y.shape[-1]
    y_hat, z = out[:, :dim_y], out[:, dim_y:]
    return l2_loss(y_hat, y) + z_weight * latent_mmd_loss(z, y_hat, y, seed, KERNEL)


def score(back: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Energy score of `DRAWS` samples a row, one after the other, against x."""
    return energy_score_loss(tf.reshape(back, [DRAWS, -1, x.shape[-1]]), x)
