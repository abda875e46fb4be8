"""What a served autoencoder answers beside its block: codes, data of codes, samples, reconstructions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from inntf.core.shapes import built_shape
from inntf.models.invertible_autoencoder import InnAutoencoder
from inntf.numerics.stateless_draws import gaussian
from inntf.serving.input_checks import checked_count, checked_seed, checked_temperature
from inntf.stability.reconstruction import distance


def autoencoder_functions(model: InnAutoencoder, function: Callable[..., Any], maps: dict[str, Any]) -> dict[str, Any]:
    """`encode` (`x` to `y`), `decode` (`y` to `x`), `reconstruct`, and `sample`, whose codes are drawn from N(0, I).

    The bottleneck is that of the model at the export.

    Args:
        model: the autoencoder.
        function: `(name, function, *specs)` to a concrete function that compares what it is given with the specs.
        maps: concrete functions `forward` and `inverse` of its block, which these call.

    Returns:
        Concrete functions by name.
    """
    dtype = model.block.variable_dtype
    x_spec = tf.TensorSpec([None, *built_shape(model.block.event_shape)], dtype, name="x")
    y_spec = tf.TensorSpec([None, model.bottleneck], dtype, name="y")

    def encode(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.reshape(maps["forward"](x)["z"], [-1, model.dim])[:, : model.bottleneck]}

    def decode(y: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"x": maps["inverse"](model.padded(y))["x"]}

    encode, decode = function("encode", encode, x_spec), function("decode", decode, y_spec)

    def reconstruct(x: tf.Tensor) -> dict[str, tf.Tensor]:
        back = decode(encode(x)["y"])["x"]
        return {"x": back, "reconstruction_error": distance(x, back)}

    def sample(n: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> dict[str, tf.Tensor]:
        n, seed, temperature = checked_count(n, model.dim), checked_seed(seed), checked_temperature(temperature)
        y = gaussian(tf.stack([n, model.bottleneck]), seed, tf.as_dtype(dtype)) * tf.cast(temperature, dtype)
        return decode(y)

    scalars = (
        tf.TensorSpec([], tf.int32, "n"),
        tf.TensorSpec(None, tf.int32, "seed"),
        tf.TensorSpec([], tf.float32, "temperature"),
    )
    return {
        "encode": encode,
        "decode": decode,
        "reconstruct": function("reconstruct", reconstruct, x_spec),
        "sample": function("sample", sample, *scalars),
    }
