"""The normalizing-flow loss as a regularizer: the log-determinant keeps singular values away from zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.core.errors import explain
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.block_regularizer import BlockRegularizer


@keras.saving.register_keras_serializable("inntf")
class FlowRegularizer(BlockRegularizer):
    r"""The loss of a normalizing flow with a small weight: the block is to be the map of a density, too.

    $$-w\,\mathrm{mean}_b \log p(x_b),\qquad \log p(x) = \log p_Z(F(x)) + \log|\det J_F(x)|,$$

    in nats per sample.  The log-determinant keeps small singular values away from zero, and so the inverse from exploding; the
    base keeps `F(x)` from growing.  Gradients of both parts reach the weights in every backprop mode.  With
    `outputs=(z, log_det)` it costs nothing but the log-determinant.

    Args:
        weight: w, at least 0.
        base: a distribution of one `z` (or of its entries); `None`: standard normal.
        every: steps from one application to the next.
        name: of the metric that `fit` reports.

    Call arguments: `(block, x, condition=None, *, step=None, outputs=None)`, see `BlockRegularizer`.  Returns a scalar.

    Raises:
        ValueError: for a negative weight, or a base whose events are none of the block's; TypeError: if the base is no
            distribution.

    Source: "Understanding and Mitigating Exploding Inverses in Invertible Neural Networks" (2021), section 3.3.

    Example:
        >>> from inntf.blocks import Rescale
        >>> regularizer = FlowRegularizer(1e-2)
        >>> x = tf.zeros([8, 2])  # -log p(0) = log(2 pi) - 2 log 3
        >>> round(float(regularizer(Rescale(3.0), x)) * 100, 3)
        -0.359
    """

    needs_log_det = True

    def __init__(self, weight: float, *, base: Any = None, every: int = 1, name: str = "flow_regularizer"):
        super().__init__(weight, every=every, name=name)
        if base is not None and not isinstance(base, tfp.distributions.Distribution):
            raise TypeError(
                explain(name, received=f"base={base!r}", expected="a tfd.Distribution, or None for the standard normal")
            )
        self.base = base

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments.

        Raises:
            ValueError: with a base of your own, which has no description.
        """
        if self.base is not None:
            raise ValueError(
                explain(
                    f"{self.name}.get_config",
                    received="a base of your own",
                    expected="the standard normal, which needs no description",
                    remedy="Express the base as a block (Rescale) at the end of the chain, or save weights only.",
                )
            )
        return super().get_config()

    def trainable_variables(self, block: Any) -> list[Any]:
        """Those of the block and of the base."""
        return [*super().trainable_variables(block), *getattr(self.base, "trainable_variables", ())]

    def penalties(
        self, maps: BlockFunctions, outputs: tuple[tf.Tensor, tf.Tensor | None] | None, draw: Callable[..., tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """`-log p(x)`."""
        z, log_det = (None, None) if outputs is None else outputs
        if log_det is None:
            z, log_det = maps.block.forward_and_log_det(maps.x, maps.condition)
        return {"the negative log-density": -self._log_prob(tf.cast(z, log_det.dtype)) - log_det}

    def _log_prob(self, z: tf.Tensor) -> tf.Tensor:
        axes = list(range(1, z.shape.rank))
        if self.base is None:
            dim = tf.cast(tf.reduce_prod(tf.shape(z)[1:]), z.dtype)
            return -0.5 * (tf.reduce_sum(tf.square(z), axes) + dim * math.log(2 * math.pi))
        log_prob = self.base.log_prob(tf.cast(z, self.base.dtype))
        if log_prob.shape.rank not in (1, z.shape.rank):
            raise ValueError(
                explain(
                    self.name,
                    received=f"a base with events of shape {self.base.event_shape}",
                    expected=f"one z of shape {tuple(z.shape[1:])}, or one of its entries",
                    remedy="See tfd.Independent, or flatten the latent.",
                )
            )
        return tf.cast(log_prob if log_prob.shape.rank == 1 else tf.reduce_sum(log_prob, axes), z.dtype)
