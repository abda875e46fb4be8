"""The two-sided affine coupling of Ardizzone et al."""

from __future__ import annotations

from typing import Any

import keras

from inntf.blocks.named_couplings import AffineCoupling
from inntf.blocks.splits import ChannelSplit
from inntf.core.blocks_in_turn import BlocksInTurn
from inntf.core.errors import explain
from inntf.nets.make_conditioner import Conditioner
from inntf.numerics.transformers.scales import Scale


@keras.saving.register_keras_serializable("inntf")
class TwoSidedCoupling(BlocksInTurn):
    """Both halves in turn, each conditioned on the other as it is then.

        z1 = x1 * scale(raw2) + shift2,  [shift2, raw2] = conditioner_2(x2, condition)
        z2 = x2 * scale(raw1) + shift1,  [shift1, raw1] = conditioner_1(z1, condition)

    `log_det = sum log scale(raw1) + sum log scale(raw2)`.  Inverse: the second line is undone first.

    Args:
        conditioner: a function of the output channels that makes a Keras layer, called once per side (the half that is
            transformed first comes first), or a pair of layers or functions; the output of each as in `AffineCoupling`.
        scale: a scale object, `ExpScale(2.0)` by default (the paper clips the exponent).
        at: number of channels in `x1`; half by default.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: as `AffineCoupling`; TypeError: if one layer is given for both sides.

    Source: Nguyen, Ardizzone, Koethe, "Training Invertible Neural Networks as Autoencoders" (2019), eq. 1-4.

    Example:
        >>> import tensorflow as tf
        >>> block = TwoSidedCoupling(); x = tf.random.normal([3, 6])
        >>> z, log_det = block.forward_and_log_det(x)
        >>> bool(tf.reduce_max(tf.abs(block.inverse_and_log_det(z)[0] - x)) < 1e-5)
        True
    """

    allowed_event_ndims = (1, 3)

    def __init__(
        self,
        *,
        conditioner: Conditioner | tuple[Conditioner, Conditioner] | None = None,
        scale: Scale | None = None,
        at: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if isinstance(conditioner, keras.layers.Layer):
            expected = "a function that makes one per side, or a pair: the sides need weights of their own"
            raise TypeError(explain(self.name, received="one layer as conditioner", expected=expected))
        first, second = conditioner if isinstance(conditioner, list | tuple) else (conditioner, conditioner)
        common = {"scale": scale, "dtype": self.dtype_policy, "event_ndims": self._event_ndims}
        self.first = AffineCoupling(conditioner=first, split=ChannelSplit(at, swap=True), name="first", **common)
        self.second = AffineCoupling(conditioner=second, split=ChannelSplit(at), name="second", **common)

    def __dir__(self) -> list[str]:
        """All but `parameters`: Keras saves layers where it finds them first in `dir`, and that stands before `second`."""
        return [name for name in super().__dir__() if name != "parameters"]

    def blocks_in_turn(self) -> tuple[AffineCoupling, AffineCoupling]:
        """The two sides."""
        return self.first, self.second

    def config_arguments(self) -> dict[str, Any]:
        """Constructor arguments, with the conditioners as the layers they have become."""
        built = {"conditioner": [self.first.conditioner, self.second.conditioner]} if self.built else {}
        return super().config_arguments() | built
