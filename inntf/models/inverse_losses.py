"""Losses of models of inverse problems: maps `x -> [y, z]` and back, trained by likelihood or by distances."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from inntf.core.errors import explain
from inntf.core.whole_batch import whole_batch
from inntf.numerics.kernels import X_SIDE_KERNEL, Z_SIDE_KERNEL, Kernel
from inntf.numerics.mmd import Estimator, mmd_squared
from inntf.numerics.stateless_draws import gaussian


def l2_loss(y_hat: Any, y: Any) -> tf.Tensor:
    r"""$L2(y) = E \|\hat y - y\|^2$: summed over entries, the mean over the batch.

    Args:
        y_hat: what the model predicts, `(batch, dim_y)`.
        y: what was observed, `(batch, dim_y)`.

    Returns:
        A scalar.

    Raises:
        ValueError: for two shapes.

    Source: Kruse et al., "Benchmarking invertible architectures on inverse problems" (2019), eq. 1.

    Example:
        >>> float(l2_loss([[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]))
        1.0
    """
    y_hat, y = _pair("l2_loss", y_hat, y)
    return tf.reduce_mean(_squared_norm(y_hat - y))


def cycle_loss(x: Any, x_hat: Any) -> tf.Tensor:
    r"""$E \|x - \hat x\|^2$ for $\hat x$ the decoding of the encoding of $x$.

    Args:
        x: `(batch, dim_x)`.
        x_hat: `(batch, dim_x)`.

    Returns:
        A scalar.

    Raises:
        ValueError: for two shapes.

    Source: Kruse et al. (2019), eqs. 6 and 7, the term of alpha and beta.

    Example:
        >>> float(cycle_loss([[3.0, 4.0]], [[0.0, 0.0]]))
        25.0
    """
    x, x_hat = _pair("cycle_loss", x, x_hat)
    return tf.reduce_mean(_squared_norm(x - x_hat))


def joint_negative_log_likelihood(y_hat: Any, z: Any, log_det: Any, y: Any, sigma: Any) -> tf.Tensor:
    r"""$-\log \mathcal N(y; \hat y, \sigma^2) - \log \mathcal N(z; 0, I) - \log|\det J_{x \mapsto [y, z]}|$, per sample.

    Constants are in it, so that `sigma` can be trained and values of two `sigma` be compared: it is the negative log density of
    `x` given that `y` was observed with that noise, up to the density of `y`.

    Args:
        y_hat: the first part of the model's value, `(batch, dim_y)`.
        z: the second part, `(batch, dim_z)`.
        log_det: of the map from `x` to both, `(batch,)`.
        y: observed, `(batch, dim_y)`.
        sigma: the noise's standard deviation, positive: a number, or a tensor that broadcasts with `(batch, dim_y)`.

    Returns:
        `(batch,)`, nats.

    Raises:
        ValueError: for shapes of `y_hat` and `y` that differ, or a number `sigma` that is not positive.

    Source: Kruse et al. (2019), eq. 4.

    Example:
        >>> joint_negative_log_likelihood([[0.5]], [[0.0]], [0.0], [[0.5]], sigma=1.0).numpy().round(4).tolist()
        [1.8379]
    """
    y_hat, y = _pair("joint_negative_log_likelihood", y_hat, y)
    z, log_det = tf.convert_to_tensor(z, y_hat.dtype), tf.convert_to_tensor(log_det)
    if isinstance(sigma, int | float) and not sigma > 0:
        raise ValueError(explain("joint_negative_log_likelihood", received=f"sigma={sigma}", expected="a positive one"))
    sigma = tf.broadcast_to(tf.convert_to_tensor(sigma, y_hat.dtype), tf.shape(y_hat))
    of_y = _squared_norm((y_hat - y) / sigma) / 2 + tf.reduce_sum(tf.math.log(sigma), -1)
    entries = tf.cast(tf.shape(y_hat)[-1] + tf.shape(z)[-1], y_hat.dtype)
    return of_y + _squared_norm(z) / 2 + entries * (math.log(2 * math.pi) / 2) - tf.cast(log_det, y_hat.dtype)


def latent_mmd_loss(
    z: Any, y_hat: Any, y: Any, seed: Any, kernel: Kernel = Z_SIDE_KERNEL, estimator: Estimator = "biased"
) -> tf.Tensor:
    r"""$\mathrm{MMD}^2([z, \hat y], [\epsilon, y])$: is `z` normal, whatever `y` is?

    With $\epsilon \sim \mathcal N(0, I)$.  No gradient passes through `y_hat`: that is `l2_loss`'s.  A discrepancy of `z` alone
    would leave `z` free to depend on `y`.  On several replicas both samples are those of the whole batch.

    Args:
        z: `(batch, dim_z)`.
        y_hat: what the model predicts beside `z`, `(batch, dim_y)`.
        y: observed, `(batch, dim_y)`.
        seed: two integers, for the normal numbers.
        kernel: of `mmd_squared`.
        estimator: of `mmd_squared`.

    Returns:
        A scalar.

    Raises:
        ValueError: for shapes of `y_hat` and `y` that differ.

    Source: Kruse et al. (2019), eqs. 2 and 3; jointly with `y` as in Ardizzone et al., "Analyzing inverse problems with
        invertible neural networks" (2019), eq. 6.

    Example:
        >>> from inntf.numerics.stateless_draws import gaussian
        >>> y, z = gaussian([200, 1], [0, 1], tf.float32), gaussian([200, 1], [0, 2], tf.float32)
        >>> bool(latent_mmd_loss(z, y, y, [0, 3]) < 0.3 * latent_mmd_loss(y, y, y, [0, 3]))  # z = y is normal, too
        True
    """
    y_hat, y = _pair("latent_mmd_loss", y_hat, y)
    z = tf.convert_to_tensor(z, y_hat.dtype)
    ours, y = whole_batch(tf.concat([z, tf.stop_gradient(y_hat)], -1), y)
    normal = gaussian([tf.shape(ours)[0], z.shape[-1]], tf.convert_to_tensor(seed, tf.int32), z.dtype)
    return mmd_squared(ours, tf.concat([normal, y], -1), kernel, estimator)


def backward_mmd_loss(
    x_hat: Any, x: Any, y: Any = None, kernel: Kernel = X_SIDE_KERNEL, estimator: Estimator = "biased"
) -> tf.Tensor:
    r"""$\mathrm{MMD}^2(\hat x, x)$ for $\hat x$ the inverse of `[y, z]` with `z` drawn: do posteriors add up to the prior?

    With `y` both sets are compared beside it, $\mathrm{MMD}^2([\hat x, y], [x, y])$, zero for the right posteriors only.

    Args:
        x_hat: what the model makes of each row of `y` and a random `z`, `(batch, dim_x)`.
        x: of the prior, `(batch, dim_x)`; row by row what gave `y`, where `y` is given.
        y: `(batch, dim_y)`, or `None`.
        kernel: of `mmd_squared`.
        estimator: of `mmd_squared`.

    Returns:
        A scalar.

    Raises:
        ValueError: for shapes of `x_hat` and `x` that differ.

    Source: Ardizzone et al. (2019), section 3.3, the loss of `x`.

    Example:
        >>> float(backward_mmd_loss([[0.0], [1.0]], [[1.0], [0.0]]))
        0.0
        >>> bool(backward_mmd_loss([[0.0], [1.0]], [[1.0], [0.0]], y=[[0.0], [1.0]]) > 0.1)
        True
    """
    x_hat, x = _pair("backward_mmd_loss", x_hat, x)
    if y is not None:
        y = tf.convert_to_tensor(y, x.dtype)
        x_hat, x = tf.concat([x_hat, y], -1), tf.concat([x, y], -1)
    return mmd_squared(*whole_batch(x_hat, x), kernel, estimator)  # type: ignore[call-arg]


def energy_score_loss(samples: Any, x: Any) -> tf.Tensor:
    r"""$E \|\hat x_1 - x\| - \tfrac12 E \|\hat x_1 - \hat x_2\|$: the energy distance of each posterior, up to a constant.

    The samples of a row are drawn given the `y` of that row alone, and one draw of the true posterior, the `x` that gave `y`,
    is enough: the score is strictly proper, so its mean is smallest for the right posterior at every `y`.  `backward_mmd_loss`
    compares a batch with a batch; this compares row by row, so time and memory grow like the batch, and nothing blurs `y`.

    Args:
        samples: `(m, batch, dim_x)`, `m >= 2` independent ones for each row.
        x: `(batch, dim_x)`.

    Returns:
        A scalar.

    Raises:
        ValueError: for shapes that do not fit, or fewer than two samples.

    Source: Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation" (2007), section 4.3.

    Example:
        >>> x = tf.constant([[0.0], [4.0]])
        >>> float(energy_score_loss([x + 1.0, x - 1.0], x))
        0.0
        >>> float(energy_score_loss([x, x + 2.0], x))  # two right posteriors, of which x is no typical draw
        0.0
        >>> float(energy_score_loss([x + 5.0, x + 3.0], x))
        3.0
    """
    samples, x = tf.convert_to_tensor(samples), tf.convert_to_tensor(x)
    known = samples.shape.rank == 3 and x.shape.rank == 2 and samples.shape[1:].is_compatible_with(x.shape)
    if not known or samples.shape[0] is None or samples.shape[0] < 2:
        received = f"samples {samples.shape} and x {x.shape}"
        expected = "(m, batch, dim) with m >= 2, and (batch, dim)"
        raise ValueError(explain("energy_score_loss", received=received, expected=expected))
    number = samples.shape[0]
    pairs = [_distance(samples[i], samples[j]) for i in range(number) for j in range(i)]
    return tf.reduce_mean(_distance(samples, x)) - 0.5 * tf.add_n([tf.reduce_mean(pair) for pair in pairs]) / len(pairs)


def _distance(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """With a gradient of zero where the points are one."""
    squares = _squared_norm(a - b)
    apart = squares > 0
    return tf.where(apart, tf.sqrt(tf.where(apart, squares, 1.0)), 0.0)


def _squared_norm(x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.square(x), -1)


def _pair(function: str, a: Any, b: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Two tensors of one shape: broadcasting here would be a mistake that trains."""
    a = tf.convert_to_tensor(a)
    b = tf.convert_to_tensor(b, a.dtype)
    if a.shape.rank != 2 or not a.shape.is_compatible_with(b.shape):
        raise ValueError(explain(function, received=f"shapes {a.shape} and {b.shape}", expected="two times (batch, dim)"))
    return a, b
