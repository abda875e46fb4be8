"""What every model of the benchmark is: it has an objective on pairs, and samples of x given y."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Callable
from typing import Any, ClassVar

import keras
import tensorflow as tf


class Method(keras.Model, abc.ABC):
    """A model of `p(x | y)` in standardized coordinates.

    A user adds one by subclassing and an entry in `METHODS`.  Its methods run in graphs, as they are: where a tensor
    decides, write `tf.cond` and `tf.while_loop`, not `if` and `while`, and `tf.shape(x)[0]` for `len(x)`.

    Args:
        dim_x, dim_y: entries of x and y.
        weights_wanted: about how many weights the model should have; widths follow from it.

    Attributes:
        title: in tables.
        supervised: whether it is trained to predict y from x.  Counts among the parameters then keep their noise, and y is
            that of the noisy ones: a map of x can only be smooth.
        likelihood: whether its objective is a likelihood.
        has_density: whether `log_prob` is there.
        jit_compile: whether XLA makes a step of its training faster on a CPU: one device then compiles it.
        noise_of_y: how much of `losses.noise_sd` is added to y; a training sets it to 1 where y itself has no noise.
    """

    title: ClassVar[str]
    supervised: ClassVar[bool] = False
    likelihood: ClassVar[bool] = False
    has_density: ClassVar[bool] = False
    jit_compile: ClassVar[bool] = False
    noise_of_y = 0.0

    def __init__(self, dim_x: int, dim_y: int, weights_wanted: int):
        super().__init__()
        self.dim_x, self.dim_y, self.weights_wanted = dim_x, dim_y, weights_wanted

    @property
    def dim_z(self) -> int | None:
        """Entries of the latent; `None` for a model without."""
        return self.dim_x

    @abc.abstractmethod
    def objective(self, x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """The loss of a batch, a scalar.

        Args:
            x: `(n, dim x)`.
            y: `(n, dim y)`.
            seed: two integers for what it draws.
            progress: share of the training that is done, from 0 to 1.
        """

    @abc.abstractmethod
    def sample_posterior(self, y: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A draw of x for each row of y: `(n, dim y)` to `(n, dim x)`."""

    def log_prob(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """`log p(x | y)`, `(n,)`.

        Raises:
            NotImplementedError: for a model without a density.
        """
        raise NotImplementedError(f"{self.title} has no density")

    def prepare(self, x: tf.Tensor, y: tf.Tensor) -> None:
        """See the first batch: data-dependent initialization.  Nothing by default."""
        del x, y

    def after_step(self) -> None:
        """What follows each step of the optimizer: spectral norms, for one.  Nothing by default."""

    def finish(self) -> None:
        """What follows the last step.  Nothing by default."""

    def invertible_block(self) -> Any:
        """The `inntf.Block` whose stability is reported; `None` for a model that has none."""
        return None

    def block_input(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """What that block gets for a pair: its input and its condition; x and y by default."""
        return x, y

    def count_weights(self) -> int:
        """Number of trained weights."""
        return sum(int(tf.size(w.value)) for w in self.trainable_weights)


def width_for(wanted: int, weights: Callable[[int], int], most: int = 4096) -> int:
    """The largest width whose model has at most the wanted number of weights (at least 4).

    >>> width_for(1000, lambda width: width * width)
    31
    """
    low, high = 4, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if weights(middle) <= wanted else (low, middle - 1)
    return low


def mlp_weights(inputs: int, widths: list[int], outputs: int) -> int:
    """Weights of a dense network, biases too.

    >>> mlp_weights(2, [3], 1)
    13
    """
    sizes = [inputs, *widths, outputs]
    return sum((a + 1) * b for a, b in itertools.pairwise(sizes))
