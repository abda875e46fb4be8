"""The conditional Glow, and the network that makes feature maps around the hidden pixels of what is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from inntf.models import Flow, glow
from inntf.nets import ConditionPyramid, ConvNet
from recipes.inverse_problems.digits.observing import Observing
from recipes.inverse_problems.digits.settings import Config


@keras.saving.register_keras_serializable("inntf_recipes")
class SeenPyramid(keras.layers.Layer):
    """Feature maps of the hidden box, one a level, from what is seen around it.

    Two strided convolutions and a dense layer bring all that is seen to every place of the image; cut to the box, this and the
    image itself run through a `ConditionPyramid`.  So maps lie where the pixels are that they speak of.

    Args:
        box: top, bottom, left and right of the hidden pixels.
        channels: of the maps.
        levels: number of maps.
        summary: width of the dense layer.
        name, dtype, trainable: as in `keras.layers.Layer`.

    Call arguments: y, `(batch, height, width, channels)` with sides that divide by four, and the sizes of the levels.

    Source: the pyramid is that of Ardizzone et al., "Guided Image Generation with Conditional Invertible Neural Networks"
    (2019), section 3.3; the dense layer before it and the cut are ours.
    """

    def __init__(self, box: Sequence[int], channels: int, levels: int, summary: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.box, self.summary = tuple(box), summary
        self.pyramid = ConditionPyramid(channels, levels, activation="silu")
        self._sizes: Sequence[tuple[int, int]] | None = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the layers but for the pyramid's, which the first call makes."""
        height, width, _ = input_shape[1:]
        small, channels = (height // 4, width // 4), self.pyramid.channels[0]
        layers = keras.layers
        self.around = keras.Sequential(
            [
                layers.Conv2D(channels, 3, strides=2, padding="same", activation="silu"),
                layers.Conv2D(2 * channels, 3, strides=2, padding="same", activation="silu"),
                layers.Flatten(),
                layers.Dense(self.summary, activation="silu"),
                layers.Dense(small[0] * small[1] * channels, activation="silu"),
                layers.Reshape((*small, channels)),
                layers.Conv2DTranspose(channels, 4, strides=4, activation="silu"),
            ]
        )
        self.around.build(tuple(input_shape))
        self.built = True

    def __call__(self, condition: Any, sizes: Sequence[tuple[int, int]]) -> list[Any]:
        """Apply the network; Keras sees the condition alone."""
        self._sizes = [tuple(size) for size in sizes]
        return super().__call__(condition)

    def call(self, condition: Any) -> list[Any]:
        """The maps, one a level."""
        top, bottom, left, right = self.box
        everywhere = keras.ops.concatenate([self.around(condition), condition], -1)
        return self.pyramid(everywhere[:, top:bottom, left:right], self._sizes)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        own = {"box": self.box, "channels": self.pyramid.channels[0], "levels": self.pyramid.levels, "summary": self.summary}
        return {**super().get_config(), **own}


def make_flow(config: Config, observing: Observing) -> Flow:
    """Over the hidden pixels given y; of the same size whether it is blind or not."""
    return glow(
        event_shape=observing.shape,
        levels=config.levels,
        depth=config.depth,
        conditioner=lambda channels: ConvNet(config.width, out_channels=channels),
        condition_shape=(28, 28, 2),
        condition_network=SeenPyramid(observing.box, config.channels, config.levels, config.summary),
        seed=config.seed,
        name="blind" if observing.blind else "shown",
    )
