"""Fit the base's variance to a finished flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.rescale import Rescale
from inntf.compose.chain import Chain
from inntf.core.arguments import typed
from inntf.core.errors import explain
from inntf.models.flow import Flow


class RefittedPrior(NamedTuple):
    """What `refit_prior` returns: the flow with the base `N(0, scale^2)`, and what that is worth.

    Attributes:
        flow: with the fitted base.
        scale: standard deviations of the base, of the latent's shape.
        gain: mean log-likelihood won on the fitted data, nats per sample.

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


@typed
def refit_prior(
    flow: Flow,
    x: Any = None,
    condition: Any = None,
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
    shares the flow's weights, those of the network for the condition too, and can be saved and exported like any other.

    Args:
        flow: a flow with a standard normal base.
        x: data to fit on, `(n, *event_shape)`; or `(x, condition)`, or `{"x": x, "condition": condition}`; or a
            `tf.data.Dataset` of batches of these.
        condition: `(n, *condition_shape)`, or one for all, where `x` holds none.
        second_moment: mean of `z^2` over the data, of the latent's shape, in place of `x` where it is known already.
        method: `"closed_form"` or `"gradient"`.
        batch_size: samples a forward pass.
        floor: smallest standard deviation, for latents that do not vary.
        steps: of Adam, on all data at once; the learning rate falls to zero by a cosine.
        learning_rate: at the start.

    Returns:
        `RefittedPrior(flow, scale, gain)`.

    Raises:
        ValueError: for another method, another base, neither or both of `x` and `second_moment`, a second moment of another
            shape than the latents', no data, or latents that are not finite.

    Source: "On the Invertibility of Invertible Neural Networks", appendix I; closed form: inntf.

    Example:
        >>> from inntf.models import real_nvp
        >>> flow = real_nvp(event_shape=2, depth=1, hidden=(4,))
        >>> refit_prior(flow, 3.0 * tf.random.normal([500, 2])).gain > 0
        True
    """
    if method not in ("closed_form", "gradient"):
        raise ValueError(explain("refit_prior", received=f"method={method!r}", expected="'closed_form' or 'gradient'"))
    if (x is None) == (second_moment is None):
        raise ValueError(
            explain("refit_prior", received="neither or both of x and second_moment", expected="one", remedy="Pass the data.")
        )
    if not is_standard_normal(flow.base):
        raise ValueError(
            explain(
                "refit_prior",
                received=f"a flow with the base {flow.base.name}",
                expected="the standard normal over one latent, which the fitted base takes the place of",
                remedy="Express the base as a block (Rescale, ActNorm) at the end of the chain.",
            )
        )
    second = _second_moment(flow, x, condition, batch_size) if second_moment is None else _given_moment(flow, second_moment)
    if not np.all(np.isfinite(second)):
        raise ValueError(
            explain(
                "refit_prior",
                received="latents that are NaN, infinite or beyond float64's squares",
                expected="finite ones",
                remedy="The flow maps some data to infinity; look at inntf.stability.stability_report(flow, x).",
            )
        )
    floored = np.maximum(second, floor**2)
    log_scale = 0.5 * np.log(floored) if method == "closed_form" else _by_gradient(floored, steps, learning_rate)
    gain = float(np.sum(-log_scale + 0.5 * second * (1 - np.exp(-2 * log_scale))))
    scale = np.exp(log_scale)
    policy = flow.block.dtype_policy
    block = Chain([flow.block, Rescale(scale=1 / scale, dtype=policy)], dtype=policy)
    block.ensure_built(tuple(flow.event_shape), flow.block.condition_shape)
    settings = {
        key: flow.parameters[key] for key in ("condition_shape", "condition_network", "validate_args", "allow_nan_stats")
    }
    refitted = Flow(block, event_shape=tuple(flow.event_shape), name=f"{flow.name}_refitted", **settings)
    return RefittedPrior(refitted, scale, gain)


def is_standard_normal(base: Any) -> bool:
    """Whether a base is the standard normal over one latent, by its log-density at normal draws, whatever its class or name."""
    if base.batch_shape.rank != 0:
        return False
    shape = base.event_shape.as_list()
    ndims = len(shape)
    z = tf.cast(3.0 * tf.random.stateless_normal([4, *shape], [3, 1]), base.dtype)
    normal = -0.5 * tf.reduce_sum(tf.square(z) + np.log(2 * np.pi), list(range(1, ndims + 1)))
    tolerance = 64 * tf.experimental.numpy.finfo(base.dtype.as_numpy_dtype).eps
    try:
        found = base.log_prob(z)
    except tf.errors.InvalidArgumentError:  # a density that refuses what is out of its support
        return False
    return bool(tf.reduce_all(tf.abs(found - normal) <= tolerance * (1 + tf.abs(normal))))


def _given_moment(flow: Flow, second: Any) -> np.ndarray:
    second, latent = np.asarray(second, np.float64), tuple(flow.base.event_shape)
    if second.shape != latent or np.any(second < 0):
        raise ValueError(
            explain(
                "refit_prior",
                received=f"a second_moment of shape {second.shape}, its smallest entry {second.min(initial=np.inf):.3g}",
                expected=f"{latent}, the latent's shape, and no negative numbers",
                remedy="Pass the mean of z**2 over the data, entry by entry.",
            )
        )
    return second


def _second_moment(flow: Flow, x: Any, condition: Any, batch_size: int) -> np.ndarray:
    def latent(x: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
        return flow.block.forward_and_log_det(x, flow.embed(condition))[0]

    forward = tf.function(latent, reduce_retracing=True, autograph=False)
    total, count = np.zeros(tuple(flow.base.event_shape)), 0
    for part, given in _batches(flow, x, condition, batch_size):
        part = tf.cast(tf.convert_to_tensor(part), flow.dtype)
        given = None if given is None else tf.cast(tf.convert_to_tensor(given), flow.dtype)
        z = tf.cast(forward(part, given), tf.float64).numpy()
        total, count = total + np.sum(z**2, 0), count + len(z)
    if not count:
        raise ValueError(explain("refit_prior", received="no data", expected="at least one sample", remedy="Pass the data."))
    return total / count


def _batches(flow: Flow, x: Any, condition: Any, batch_size: int) -> Iterator[tuple[Any, Any]]:
    if isinstance(x, tf.data.Dataset):
        for batch in x:
            # Keras reads (x, y, ...) from a dataset of tuples: the inputs may be a pair themselves.
            yield _pair(batch[0] if isinstance(batch, tuple) and isinstance(batch[0], tuple | dict) else batch, condition)
        return
    x, condition = _pair(x, condition)
    x = x if hasattr(x, "shape") else np.asarray(x)
    rows_of_it = condition is not None and _one_for_each(flow, condition, len(x))
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        yield x[rows], condition[rows] if rows_of_it else condition


def _one_for_each(flow: Flow, condition: Any, count: int) -> bool:
    """Whether conditions go with the rows of the data: one for all is broadcast by the flow."""
    value = flow.conditions.tensor(condition)
    return value.shape.rank > flow.conditions.event_ndims(value) and value.shape[0] == count


def _pair(x: Any, condition: Any) -> tuple[Any, Any]:
    given = (x["x"], x.get("condition")) if isinstance(x, dict) else x if isinstance(x, tuple) else (x,)
    if len(given) > 2 or (len(given) == 2 and condition is not None and given[1] is not None):
        raise ValueError(
            explain(
                "refit_prior",
                received=f"{len(given)} parts" + (" and a condition apart" if condition is not None else ""),
                expected="x, (x, condition), {'x': x, 'condition': condition}, or x and condition=",
                remedy="Say the condition once.",
            )
        )
    return given[0], given[1] if len(given) == 2 and given[1] is not None else condition


def _by_gradient(second: np.ndarray, steps: int, learning_rate: float) -> np.ndarray:
    log_scale = tf.Variable(tf.zeros(second.shape, tf.float64))
    target = tf.constant(second, tf.float64)
    # A short memory of the squared gradient: it falls by many orders of magnitude on the way, and Adam must follow.
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps), beta_1=0.5, beta_2=0.8)
    optimizer.build([log_scale])

    @tf.function(autograph=False)
    def step() -> None:
        with tf.GradientTape() as tape:
            nll = tf.reduce_sum(log_scale + 0.5 * target * tf.exp(-2 * log_scale))
        optimizer.apply([tape.gradient(nll, log_scale)], [log_scale])

    for _ in range(steps):
        step()
    return log_scale.numpy()
