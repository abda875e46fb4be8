"""The concatenated LipSwish: an activation that keeps more of its Lipschitz constant than LipSwish does."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import tensorflow as tf

from inntf.nets.activations import SWISH_SUPREMUM, LipSwish, sharpness

_SHRINK = 1.1044  # the slopes of the two halves add up to one, so their norm is largest where one is at its supremum


@keras.saving.register_keras_serializable("inntf")
def concat_lip_swish(x: Any, beta: Any = 1.0) -> Any:
    r"""$[s(x), s(-x)] / 1.1044$ with the swish $s(x) = x\,\mathrm{sigmoid}(\beta x)$: twice the channels, 1-Lipschitz.

    With $t = s'(x)$ the slopes are $t$ and $1 - t$, of norm between $\sqrt{1/2}$ (at zero) and
    $\sup\sqrt{t^2 + (1-t)^2} < 1.1044$: at zero 0.64 of the Lipschitz constant is left, where `lip_swish` leaves 0.45.

    Args:
        x: `(..., channels)`.
        beta: positive sharpness; the Lipschitz constant does not depend on it.

    Returns:
        `(..., 2 channels)`.

    Source: Perugachi-Diaz, Tomczak, Bhulai, "Invertible DenseNets with Concatenated LipSwish" (2021), section 3.4.

    Example:
        >>> concat_lip_swish(tf.constant([2.0])).numpy().round(4).tolist()
        [1.5951, -0.2159]
    """
    half = x * tf.sigmoid(beta * x)
    return tf.concat([half, half - x], -1) / _SHRINK  # s(-x) = s(x) - x


concat_lip_swish.lipschitz = math.hypot(SWISH_SUPREMUM, SWISH_SUPREMUM - 1) / _SHRINK


@keras.saving.register_keras_serializable("inntf")
class ConcatLipSwish(LipSwish):
    r"""`concat_lip_swish` with a trained sharpness $\beta = \mathrm{softplus}(b) > 0$; 1-Lipschitz, twice the channels.

    Args:
        initial: the start of b, unconstrained.

    Call arguments: `(..., channels)`.  Returns `(..., 2 channels)`.

    Raises:
        nothing.

    Source: Perugachi-Diaz, Tomczak, Bhulai, "Invertible DenseNets with Concatenated LipSwish" (2021), section 3.4.

    Example:
        >>> ConcatLipSwish()(tf.zeros([2, 3])).shape
        TensorShape([2, 6])
    """

    lipschitz = concat_lip_swish.lipschitz

    def call(self, x: Any) -> Any:
        """Apply the activation."""
        return concat_lip_swish(x, sharpness(self.raw_beta, x.dtype))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Twice the channels."""
        return (*input_shape[:-1], 2 * input_shape[-1])


@dataclasses.dataclass(frozen=True)
class SwishHalf:
    r"""One half of `concat_lip_swish`, entry by entry: $x\,\mathrm{sigmoid}(\beta x) / 1.1044$.

    Attributes:
        beta: positive.

    Source: as `concat_lip_swish`.

    Example:
        >>> SwishHalf(1.0)(tf.constant([2.0])).numpy().round(4).tolist()
        [1.5951]
    """

    beta: float
    divisor = _SHRINK

    @classmethod
    def of(cls, layer: ConcatLipSwish) -> SwishHalf:
        """That of a layer, with the sharpness that it has now."""
        return cls(float(sharpness(layer.raw_beta, "float64")))

    def __call__(self, x: Any) -> Any:
        """Of every entry."""
        return x * tf.sigmoid(self.beta * x) / _SHRINK
