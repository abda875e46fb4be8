"""Fit the base's variance to a finished flow."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.rescale import Rescale
from inntf.compose.chain import Chain
from inntf.core.errors import explain
from inntf.models.flow import Flow


class RefittedPrior(NamedTuple):
    """What `refit_prior` returns: the flow with the base `N(0, scale^2)`, and what that is worth.

    Attributes:
        flow: with the fitted base.
        scale: standard deviations of the base, of the latent's shape.
        gain: mean log-likelihood won on the fitted data, nats a sample.

    Source: Behrmann et al., "On the Invertibility of Invertible Neural Networks", appendix I.

    Example:
        >>> from inntf.models import real_nvp
        >>> fitted = refit_prior(real_nvp(event_shape=2, depth=1, hidden=(4,)), second_moment=np.array([4.0, 1.0]))
        >>> fitted.scale.tolist(), round(fitted.gain, 4)  # (4 - 1 - ln 4) / 2
        ([2.0, 1.0], 0.8069)
    """

    flow: Flow
    scale: np.ndarray
    gain: float


def refit_prior(
    flow: Flow,
    x: Any = None,
    *,
    second_moment: np.ndarray | None = None,
    method: str = "closed_form",
    batch_size: int = 256,
    floor: float = 1e-6,
    steps: int = 1500,
    learning_rate: float = 0.3,
) -> RefittedPrior:
    """Freeze the flow and fit a diagonal base `N(0, sigma^2)` to its latents by maximum likelihood.

    In closed form `sigma_i^2 = mean z_i^2`, and the gain in mean log-likelihood is `sum_i (m_i - 1 - ln m_i) / 2 >= 0` with
    `m_i = mean z_i^2`.  With `method="gradient"` Adam minimizes the same convex objective over `log sigma`.

    The fitted base is returned as a block: the chain `[block, Rescale(1 / sigma)]` onto the standard normal, which
    shares the flow's weights and can be saved and exported like any other.

    Args:
        flow: a flow with a standard normal base.
        x: data to fit on, `(n, *event_shape)`.
        second_moment: mean of `z^2` over the data, of the latent's shape, in place of `x` where it is known already.
        method: `"closed_form"` or `"gradient"`.
        batch_size: samples a forward pass.
        floor: smallest standard deviation, for latents that do not vary.
        steps: of Adam, on all data at once; the learning rate falls to zero by a cosine.
        learning_rate: at the start.

    Returns:
        `RefittedPrior(flow, scale, gain)`.

    Raises:
        ValueError: for another method, neither or both of `x` and `second_moment`, or latents that are not finite.

    Source: "On the Invertibility of Invertible Neural Networks", appendix I; closed form: inntf.

    Example:
        >>> from inntf.models import real_nvp
        >>> flow = real_nvp(event_shape=2, depth=1, hidden=(4,))
        >>> refit_prior(flow, 3.0 * tf.random.normal([500, 2])).gain > 0
        True
    """
    if method not in ("closed_form", "gradient"):
        raise ValueError(
            explain("refit_prior", received=f"method={method!r}", expected="'closed_form' or 'gradient'", remedy="Spell it so.")
        )
    if (x is None) == (second_moment is None):
        raise ValueError(
            explain("refit_prior", received="neither or both of x and second_moment", expected="one", remedy="Pass the data.")
        )
    second = _second_moment(flow, x, batch_size) if second_moment is None else np.asarray(second_moment, np.float64)
    if not np.all(np.isfinite(second)):
        raise ValueError(
            explain(
                "refit_prior",
                received="latents that are NaN, infinite or beyond float64's squares",
                expected="finite ones",
                remedy="The flow maps some data to infinity; look at inntf.stability.stability_report(flow, x).",
            )
        )
    second = np.maximum(second, floor**2)
    log_scale = 0.5 * np.log(second) if method == "closed_form" else _by_gradient(second, steps, learning_rate)
    gain = float(np.sum(-log_scale + 0.5 * second * (1 - np.exp(-2 * log_scale))))
    scale = np.exp(log_scale)
    rescale = Rescale(scale=1 / scale, dtype=flow.block.dtype_policy)
    block = Chain([flow.block, rescale], dtype=flow.block.dtype_policy)
    refitted = Flow(
        block,
        event_shape=tuple(flow.event_shape),
        condition_shape=flow.block.condition_shape,
        name=f"{flow.name}_refitted",
    )
    return RefittedPrior(refitted, scale, gain)


def _second_moment(flow: Flow, x: Any, batch_size: int) -> np.ndarray:
    forward = tf.function(lambda x: flow.block.forward_and_log_det(x)[0])
    total, count = 0.0, 0
    for start in range(0, len(x), batch_size):
        z = forward(tf.convert_to_tensor(x[start : start + batch_size], flow.dtype)).numpy().astype(np.float64)
        total, count = total + np.sum(z**2, 0), count + len(z)
    return total / count


def _by_gradient(second: np.ndarray, steps: int, learning_rate: float) -> np.ndarray:
    log_scale = tf.Variable(tf.zeros(second.shape, tf.float64))
    target = tf.constant(second, tf.float64)
    # A short memory of the squared gradient: it falls by many orders of magnitude on the way, and Adam must follow.
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps), beta_1=0.5, beta_2=0.8)
    optimizer.build([log_scale])

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            nll = tf.reduce_sum(log_scale + 0.5 * target * tf.exp(-2 * log_scale))
        optimizer.apply([tape.gradient(nll, log_scale)], [log_scale])

    for _ in range(steps):
        step()
    return log_scale.numpy()
