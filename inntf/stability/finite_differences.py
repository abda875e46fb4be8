"""Bi-directional finite differences: a penalty on how fast both directions of a block change."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from inntf.core.errors import explain
from inntf.core.refusals import values_only
from inntf.core.vjp import within
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.block_regularizer import BlockRegularizer, checked_choices, drawn_seed, smooth_maps, squared_length


@keras.saving.register_keras_serializable("inntf")
class FiniteDifferences(BlockRegularizer):
    r"""Bi-directional finite differences: both directions of a block are to change slowly.

    $$w\,\Big(\mathrm{mean}_b \frac{\|F(x_b + \epsilon u_b) - F(x_b)\|^2}{\epsilon^2}
      + \mathrm{mean}_b \frac{\|F^{-1}(z_b + \epsilon u'_b) - x_b\|^2}{\epsilon^2}\Big),\qquad z = F(x),$$

    with random directions $u$ of mean squared length 1.  For small $\epsilon$ each part estimates $\|J\|_F^2 / D$, the mean of
    the squared singular values, whatever the dimension D.  In `fit`:
    `DensityModel(..., regularizers=[FiniteDifferences(0.03)])`; in a loop of your own:
    `loss += regularizer(block, x, condition, step=step)`.

    The block is evaluated as at inference, without dropout and without an update of spectral norms, and behind leading blocks
    that round or pad (`Dequantize`).  An application costs, with `outputs`, one pass forward and one back with their
    gradients: about the step again for each direction.  Gradients pass through the inverse to the weights, those of a
    fixed point implicitly.

    Args:
        weight: w, at least 0.
        epsilon: length of the step, above 0; too small a step is lost in rounding.
        direction: `"both"`, `"forward"` or `"inverse"`.
        distribution: of the directions: `"sphere"` (length 1), `"gaussian"` or `"rademacher"` (mean squared length 1).
        every: steps from one application to the next.
        seed: of the directions, which follow from the seed and the `step` that is passed (by `fit`, its steps); without a step
            they are drawn from TensorFlow's own generator. `None` draws a seed.
        name: of the metric that `fit` reports.

    Call arguments: `(block, x, condition=None, *, step=None, outputs=None)`, see `BlockRegularizer`.  Returns a scalar.

    Raises:
        ValueError: for an argument out of range.

    Source: "Understanding and Mitigating Exploding Inverses in Invertible Neural Networks" (2021), equation 6, as a mean over
    the samples; `as_released` converts the coefficients of its tables.

    Example:
        >>> from inntf.blocks import Rescale
        >>> regularizer = FiniteDifferences(1.0, every=10)
        >>> [round(float(regularizer(Rescale(2.0), tf.ones([3, 4]), step=s)), 3) for s in (0, 1, 10)]
        [4.25, 0.0, 4.25]
    """

    def __init__(
        self,
        weight: float,
        *,
        epsilon: float = 0.1,
        direction: str = "both",
        distribution: str = "sphere",
        every: int = 1,
        seed: int | None = None,
        name: str = "finite_differences",
    ):
        super().__init__(weight, every=every, name=name)
        if not epsilon > 0:
            raise ValueError(explain(name, received=f"epsilon={epsilon}", expected="a number above 0"))
        checked_choices(name, direction, distribution)
        self.epsilon, self.direction, self.distribution = float(epsilon), direction, distribution
        self.seed = drawn_seed(seed)

    @classmethod
    def as_released(
        cls, coefficient: float, dim: int, batch_size: int, *, epsilon: float = 0.1, **kwargs: Any
    ) -> FiniteDifferences:
        r"""The regularizer of the paper's released code: a sum over the batch of squared distances, over $\epsilon$.

        There $\lambda / \epsilon \sum_b \|F(x_b + \epsilon d_b) - F(x_b)\|^2$ with directions of mean squared length D / B;
        here that is $w = \lambda \epsilon D$ and steps of length $\epsilon \sqrt{D / B}$.

        Args:
            coefficient: lambda, 1e-3 to 5e-5 in the paper.
            dim: D, numbers of an event.
            batch_size: B.
            epsilon: as there.
            **kwargs: further arguments.
        """
        return cls(coefficient * epsilon * dim, epsilon=epsilon * math.sqrt(dim / batch_size), **kwargs)

    def at(self, maps: BlockFunctions, outputs: Any) -> tuple[BlockFunctions, Any]:
        """Behind what rounds or pads."""
        return smooth_maps(maps, outputs)

    def penalties(
        self, maps: BlockFunctions, outputs: tuple[tf.Tensor, tf.Tensor | None] | None, draw: Callable[..., tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Squared difference quotients by direction."""
        x, block, condition = maps.x, maps.block, maps.condition
        found: dict[str, tf.Tensor] = {}
        with within(None), values_only(weights=True):  # at inference: all passes must be of one map
            z = block.forward_and_log_det(x, condition)[0] if outputs is None else outputs[0]
            if self.direction != "inverse":
                moved = block.forward_and_log_det(x + self._step(draw, x), condition)[0]
                found["the finite difference of forward"] = self._quotient(moved, z)
            if self.direction != "forward":
                moved = block.inverse_and_log_det(z + self._step(draw, z), condition)[0]
                found["the finite difference of inverse"] = self._quotient(moved, x)
        return found

    def _step(self, draw: Callable[..., tf.Tensor], like: tf.Tensor) -> tf.Tensor:
        return tf.cast(self.epsilon, like.dtype) * draw(like, self.distribution)

    def _quotient(self, moved: tf.Tensor, still: tf.Tensor) -> tf.Tensor:
        wide = moved.dtype if moved.dtype.size >= 4 else tf.float32
        return squared_length((tf.cast(moved, wide) - tf.cast(still, wide)) / self.epsilon)
