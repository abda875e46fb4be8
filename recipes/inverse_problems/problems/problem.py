"""What an inverse problem is: a prior over parameters x, a forward process to observations y, and the supports of x."""

from __future__ import annotations

import abc
from typing import ClassVar

import tensorflow as tf

from recipes.inverse_problems.problems.supports import Support


class Problem(abc.ABC):
    """Parameters `x ~ p(x)`, observations `y = f(x)` or `y ~ p(y | x)`; the inverse problem asks for `p(x | y)`.

    A user adds one by subclassing and an entry in `PROBLEMS`.  Both functions are pure TensorFlow, so that they run in graphs
    and on any device; the same seed gives the same draws.

    Attributes:
        name: in tables and file names.
        parameters, observations: names of the entries of x and y.
        supports: where each parameter lives, in their order; models work on the transform of it to the real line.
        deterministic: whether y is a function of x.
        shown: the observation that figures show; one is drawn where there is none.
        draws: of how many equal parts y consists that are independent, and alike distributed, given x.
    """

    name: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]]
    observations: ClassVar[tuple[str, ...]]
    supports: ClassVar[tuple[Support, ...]]
    deterministic: ClassVar[bool] = True
    shown: ClassVar[tuple[float, ...] | None] = None
    draws: int = 1

    @abc.abstractmethod
    def prior(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """`n` draws of the parameters.

        Args:
            n: number of draws.
            seed: two integers, as `tf.random.stateless_normal` takes.

        Returns:
            `(n, dim x)`, float32.
        """

    @abc.abstractmethod
    def forward(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """What is observed of the parameters; rows without an observation are NaN.

        Args:
            x: `(n, dim x)`.
            seed: of the noise, where there is any.

        Returns:
            `(n, dim y)`, float32.
        """

    def symmetric(self, y: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Another observation of the same distribution given x: exchangeable parts of y in another order.

        Training draws it anew for every batch.  By default y itself.
        """
        del seed
        return y

    def log_prior(self, x: tf.Tensor) -> tf.Tensor:
        """`log p(x)` within the support, `(n,)`; for methods that learn the likelihood.

        Raises:
            NotImplementedError: by default.
        """
        raise NotImplementedError(f"{self.name}: the density of the prior is not given; write log_prior")

    @property
    def dim_x(self) -> int:
        """Number of parameters."""
        return len(self.parameters)

    @property
    def dim_y(self) -> int:
        """Number of observed entries."""
        return len(self.observations)


def simulate(problem: Problem, n: int, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
    """`n` pairs of parameters and observations; pairs without an observation are drawn again.

    Args:
        problem: the problem.
        n: number of pairs.
        seed: the same seed gives the same pairs.

    Returns:
        `(n, dim x)` and `(n, dim y)`.

    Raises:
        ValueError: if hardly any draw has an observation.
    """
    xs, ys, found = [], [], 0
    for turn in range(100):
        x = problem.prior(n, tf.constant([seed, 2 * turn]))
        y = problem.forward(x, tf.constant([seed, 2 * turn + 1]))
        valid = tf.reduce_all(tf.math.is_finite(y), axis=-1)
        xs.append(tf.boolean_mask(x, valid))
        ys.append(tf.boolean_mask(y, valid))
        found += int(tf.math.count_nonzero(valid))
        if found >= n:
            return tf.concat(xs, 0)[:n], tf.concat(ys, 0)[:n]
    raise ValueError(f"{problem.name}: {found} of {100 * n} draws of the prior have an observation")
