"""What the log-determinant estimators share: the contract, the probes and their saving."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from inntf.core.configured import Configured
from inntf.core.whole_batch import draw_rows
from inntf.numerics.pullback import Function
from inntf.numerics.stateless_draws import gaussian, random_bits

CHOICES = {"noise": ("rademacher", "gaussian"), "gradient": ("autodiff", "neumann"), "dense": (True, False, None)}
Seed = Any
Probe = Any  # a tensor, or a function (shape, dtype, seed) -> tensor


class LogDetEstimator(Configured):
    r"""A callable `estimator(function, x, seed) -> (function(x), log_det)` for blocks $x \mapsto x + g(x)$.

    `log_det`, of shape `(batch,)`, estimates $\log|\det(I + J_g(x))|$ of every sample.  The function is evaluated
    once, so a network that updates a state does so once.  Both results are differentiable by `x` and by every
    variable or tensor that the function closes over, in eager mode, in a `tf.function`, under XLA and inside other
    functions.  The same seed gives the same estimate.

    The series estimators also take their random vectors, `probe=`: a tensor `(batch, *event)` or `(samples, batch, *event)`,
    where a 1 stands for one probe for the whole batch; or a function `(shape, dtype, seed)` that draws the latter.  So two
    models, or two points, are compared by common random numbers.  Its mean of $v v^\top$ should be the identity.

    Subclasses define `__call__`; constructor arguments are recorded, so that a registered one is saved.

    Source: Behrmann et al., "Invertible Residual Networks" (2019), section 3.2.

    Example:
        >>> class Zero(LogDetEstimator):  # for volume-preserving branches
        ...     def __call__(self, function, x, seed=None):
        ...         return function(x), tf.zeros(tf.shape(x)[:1], x.dtype)
        >>> Zero()(lambda x: 0 * x, tf.ones([3, 2]))[1].shape
        TensorShape([3])
    """

    is_exact = False  # whether the value is the log-determinant itself, free of noise and bias
    needs_seed = True

    def __call__(self, function: Function, x: tf.Tensor, seed: Seed = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`function(x)` and the estimate."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__.")

    def cayley(self, function: Function, x: tf.Tensor, seed: Seed = None) -> tuple[tf.Tensor, tf.Tensor]:
        r"""`function(x)` and $\log|\det (I - J)(I + J)^{-1}|$, of the Cayley transform of J; by two calls where not better."""
        value, plus = self(function, x, seed)
        return value, self(lambda x: -function(x), x, seed)[1] - plus


class SeriesEstimator(LogDetEstimator):
    """An estimator by the series of the logarithm; subclasses define `_estimate`."""

    @tf.autograph.experimental.do_not_convert
    def __call__(
        self, function: Function, x: tf.Tensor, seed: Seed = None, probe: Probe | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`function(x)` and the estimate."""
        return self._estimate(function, x, seed, probe)

    @tf.autograph.experimental.do_not_convert
    def cayley(self, function: Function, x: tf.Tensor, seed: Seed = None) -> tuple[tf.Tensor, tf.Tensor]:
        """As in `LogDetEstimator`: twice the odd terms, of one evaluation; the even ones and their variance cancel."""
        return self._estimate(function, x, seed, cayley=True)

    def _estimate(
        self, function: Function, x: tf.Tensor, seed: Seed, probe: Probe | None = None, cayley: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        raise NotImplementedError(f"{type(self).__name__} does not define _estimate.")


def probes(x: tf.Tensor, seed: tf.Tensor | None, noise: str, samples: int, probe: Probe | None = None) -> tuple[tf.Tensor, ...]:
    """`samples` independent probes of the shape of `x`, with `E v v^T = I`; or those that were given."""
    if probe is not None:
        return _given(x, seed, samples, probe)

    def draw(shape: tf.Tensor) -> tf.Tensor:
        if noise == "gaussian":
            return gaussian(shape, seed, x.dtype)
        return tf.cast(1 - 2 * (random_bits(shape, seed) & 1), x.dtype)

    shape = tf.shape(x)
    drawn = draw_rows(draw, tf.concat([samples * shape[:1], shape[1:]], 0), copies=samples)
    v = tf.reshape(drawn, tf.concat([[samples], shape], 0))
    return tuple(tf.ensure_shape(part, x.shape) for part in tf.unstack(v, samples))


def _given(x: tf.Tensor, seed: tf.Tensor | None, samples: int, probe: Probe) -> tuple[tf.Tensor, ...]:
    shape = tf.concat([[samples], tf.shape(x)], 0)
    value = tf.convert_to_tensor(probe(shape, x.dtype, seed) if callable(probe) else probe)
    if not value.dtype.is_floating:
        raise TypeError(
            f"log_det: received a probe of dtype {value.dtype.name}, expected a floating one, such as {x.dtype.name}."
        )
    value = tf.cast(value, x.dtype)
    if value.shape.rank == x.shape.rank:
        value = value[None]
    fits = value.shape.rank == x.shape.rank + 1 and value.shape[0] == samples
    if not fits or not all(a in (1, None) or b is None or a == b for a, b in zip(value.shape[1:], x.shape, strict=True)):
        raise ValueError(
            f"log_det: received a probe of shape {value.shape} for x of shape {x.shape} and samples={samples}, expected "
            "(samples, batch, *event), or (batch, *event) for one; a batch of 1 serves every sample."
        )
    return tuple(tf.ensure_shape(part, x.shape) for part in tf.unstack(tf.broadcast_to(value, shape), samples))


def checked_seed(name: str, seed: Seed) -> tf.Tensor:
    """The seed as an int32 tensor of shape `(2,)`."""
    if seed is None:
        raise ValueError(f"{name}: received no seed, expected an int32 tensor of shape (2,). Pass one, a new one a step.")
    seed = tf.cast(tf.convert_to_tensor(seed), tf.int32)
    if not seed.shape.is_compatible_with([2]):
        raise ValueError(f"{name}: received a seed of shape {seed.shape}, expected (2,). Pass two integers.")
    return seed


def checked_choice(name: str, **given: Any) -> None:
    """Refuse an argument that is not among its choices."""
    for argument, value in given.items():
        if value not in CHOICES[argument]:
            expected = " or ".join(map(repr, CHOICES[argument]))
            raise ValueError(f"{name}: received {argument}={value!r}, expected {expected}. Choose one of them.")
