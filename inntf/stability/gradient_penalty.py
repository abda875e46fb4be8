"""A penalty on the length of Jacobian products, of either direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from inntf.compose import backprop_mode
from inntf.core.errors import explain
from inntf.core.refusals import values_only
from inntf.core.vjp import within
from inntf.numerics.jacobian import vjp
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.block_regularizer import BlockRegularizer, checked_choices, drawn_seed, smooth_maps, squared_length


@keras.saving.register_keras_serializable("inntf")
class GradientPenalty(BlockRegularizer):
    r"""Lengths of Jacobian products are to be a target: both directions are to be about an isometry.

    $$w\,\Big(\mathrm{mean}_b (\|J_F(x_b)^\top u_b\| - t)^2 + \mathrm{mean}_b (\|J_{F^{-1}}(z_b)^\top u'_b\| - t)^2\Big),
      \qquad z = F(x),$$

    with random directions $u$ of mean squared length 1.  With `one_sided` only lengths above $t$ count.  With $t = 0$ it is
    the limit of `FiniteDifferences` for small steps.  It differentiates twice, so activations are stored whatever the backprop
    mode of the block is: finite differences are the cheaper choice for deep blocks.

    Args:
        weight: w, at least 0.
        target: t, at least 0.
        one_sided: whether lengths below the target are free.
        direction: `"both"`, `"forward"` or `"inverse"`.
        distribution: of the directions: `"sphere"`, `"gaussian"` or `"rademacher"`.
        every: steps from one application to the next.
        seed: of the directions, which follow from the seed and the `step` that is passed (by `fit`, its steps); without a step
            they are drawn from TensorFlow's own generator. `None` draws a seed.
        name: of the metric that `fit` reports.

    Call arguments: `(block, x, condition=None, *, step=None, outputs=None)`, see `BlockRegularizer`.  Returns a scalar.

    Raises:
        ValueError: for an argument out of range.

    Source: Gulrajani et al., "Improved Training of Wasserstein GANs" (2017), section 4, for the form.

    Example:
        >>> from inntf.blocks import Rescale
        >>> round(float(GradientPenalty(1.0)(Rescale(2.0), tf.ones([3, 4]))), 3)  # (2 - 1)^2 + (1/2 - 1)^2
        1.25
    """

    def __init__(
        self,
        weight: float,
        *,
        target: float = 1.0,
        one_sided: bool = False,
        direction: str = "both",
        distribution: str = "sphere",
        every: int = 1,
        seed: int | None = None,
        name: str = "gradient_penalty",
    ):
        super().__init__(weight, every=every, name=name)
        if target < 0:
            raise ValueError(explain(name, received=f"target={target}", expected="a number >= 0"))
        checked_choices(name, direction, distribution)
        self.target, self.one_sided, self.direction, self.distribution = float(target), one_sided, direction, distribution
        self.seed = drawn_seed(seed)

    def at(self, maps: BlockFunctions, outputs: Any) -> tuple[BlockFunctions, Any]:
        """Behind what rounds or pads."""
        return smooth_maps(maps, outputs)

    def penalties(
        self, maps: BlockFunctions, outputs: tuple[tf.Tensor, tf.Tensor | None] | None, draw: Callable[..., tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Squared distances of lengths to the target, by direction."""
        x, block, condition = maps.x, maps.block, maps.condition
        found: dict[str, tf.Tensor] = {}
        with within(None), values_only(weights=True), backprop_mode("stored"):
            # Of reversible activations there is no second derivative, but a z that is given needs none.
            z = block.forward_and_log_det(x, condition)[0] if outputs is None else outputs[0]
            if self.direction != "inverse":
                product = vjp(lambda x: block.forward_and_log_det(x, condition)[0], x, draw(z, self.distribution))
                found["the gradient of forward"] = self._distance(product)
            if self.direction != "forward":
                product = vjp(lambda z: block.inverse_and_log_det(z, condition)[0], z, draw(x, self.distribution))
                found["the gradient of inverse"] = self._distance(product)
        return found

    def _distance(self, product: tf.Tensor) -> tf.Tensor:
        squared = squared_length(product)
        if self.target == 0:
            return squared
        # A product of length 0 has no gradient of its length.
        far = tf.sqrt(tf.maximum(squared, 1e-30)) - self.target
        return tf.square(tf.maximum(far, 0.0) if self.one_sided else far)
