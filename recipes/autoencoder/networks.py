"""Encoders and decoders of the classical autoencoders, which the rivals share."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from recipes.common.errors import UserError

Pair = tuple[keras.Sequential, keras.Sequential]

WIDTHS = {
    "classic": (512, 256, 128),
    "classic_1024": (1024,) * 3,
    "classic_2048": (2048,) * 3,
    "classic_deep": (1024,) * 4,
}
CIFAR_CHANNELS = (64, 128, 256, 512, 1024)
CELEBA_CHANNELS = (128, 256, 512, 1024, 1024)
_START = {"kernel_initializer": "glorot_uniform", "bias_initializer": keras.initializers.Constant(0.01)}


def dense_pair(shape: tuple[int, ...], bottleneck: int, widths: Sequence[int]) -> Pair:
    """Fully connected: event - widths - bottleneck, and mirrored; ReLU between, nothing on the code, tanh at the end.

    Args:
        shape: of an image.
        bottleneck: dimensions of the code.
        widths: of the encoder's hidden layers.

    Returns:
        Encoder `(batch, *shape)` to `(batch, bottleneck)`, and decoder.

    Source: Nguyen et al. (2019), section 3.1: 784-512-256-128-b.

    Example:
        >>> sum(net.count_params() for net in dense_pair((28, 28, 1), 12, (512, 256, 128)))
        1136156
    """
    dims = 1
    for size in shape:
        dims *= size
    layers = keras.layers
    encoder = [layers.Flatten(), *(layers.Dense(w, "relu", **_START) for w in widths), layers.Dense(bottleneck, **_START)]
    decoder = [*(layers.Dense(w, "relu", **_START) for w in reversed(widths)), layers.Dense(dims, "tanh", **_START)]
    return _built(encoder, [*decoder, layers.Reshape(shape)], shape, bottleneck)


def cifar_pair(shape: tuple[int, ...], bottleneck: int, channels: Sequence[int] = CIFAR_CHANNELS) -> Pair:
    """For 32x32: convolutions 3x3 without padding, two with a maximum over 2x2 behind, a fully connected layer; mirrored.

    The mirror of a maximum repeats each number 2x2 times.

    Source: Nguyen et al. (2019), section 3.1: channels 64-128-pool-256-512-pool-1024, so 9216 numbers to the code.
    """
    if tuple(shape[:2]) != (32, 32):
        raise UserError(f"the convolutional autoencoder: received images of {shape[0]}x{shape[1]}, expected 32x32")
    layers, (a, b, c, d, e) = keras.layers, channels
    convolve = lambda n: layers.Conv2D(n, 3, activation="relu", **_START)  # noqa: E731
    spread = lambda n: layers.Conv2DTranspose(n, 3, activation="relu", **_START)  # noqa: E731
    encoder = [convolve(a), convolve(b), layers.MaxPool2D(), convolve(c), convolve(d), layers.MaxPool2D(), convolve(e)]
    encoder += [layers.Flatten(), layers.Dense(bottleneck, **_START)]
    decoder = [layers.Dense(9 * e, "relu", **_START), layers.Reshape((3, 3, e)), spread(d), layers.UpSampling2D()]
    decoder += [spread(c), spread(b), layers.UpSampling2D(), spread(a)]
    decoder += [layers.Conv2DTranspose(shape[2], 3, activation="tanh", **_START)]
    return _built(encoder, decoder, shape, bottleneck)


def celeba_pair(shape: tuple[int, ...], bottleneck: int, channels: Sequence[int] = CELEBA_CHANNELS) -> Pair:
    """For 218x178: convolutions 4x4 of stride 2, the last one padded by one pixel, a fully connected layer; mirrored.

    Source: Nguyen et al. (2019), section 3.1; that padding alone gives the 5 x 4 x 1024 = 20480 numbers of the public code.
    """
    if tuple(shape[:2]) != (218, 178):
        raise UserError(f"the convolutional autoencoder: received images of {shape[0]}x{shape[1]}, expected 218x178")
    layers = keras.layers
    *firsts, last = (layers.Conv2D(n, 4, strides=2, activation="relu", **_START) for n in channels)
    encoder = [*firsts, layers.ZeroPadding2D(1), last, layers.Flatten(), layers.Dense(bottleneck, **_START)]
    decoder = [layers.Dense(20 * channels[-1], "relu", **_START), layers.Reshape((5, 4, channels[-1]))]
    # Sizes 5x4, 11x9, 25x20, 53x43, 108x88, 218x178: a transposed convolution makes 2 n + 2 of n, and what is asked for more.
    more = [None, (1, 0), (1, 1), (0, 0), (0, 0)]
    outputs = [*reversed(channels[:-1]), shape[2]]
    for i, (width, extra) in enumerate(zip(outputs, more, strict=True)):
        activation = "tanh" if i == len(outputs) - 1 else "relu"
        decoder += [layers.Conv2DTranspose(width, 4, strides=2, output_padding=extra, activation=activation, **_START)]
        decoder += [layers.Cropping2D(((1, 0), (1, 0)))] if i == 0 else []
    return _built(encoder, decoder, shape, bottleneck)


def make_pair(kind: str, model: str, shape: tuple[int, ...], bottleneck: int, share: float = 1.0) -> Pair:
    """The networks of a classical autoencoder.

    Args:
        kind: `dense`, `cifar` or `celeba`.
        model: of `WIDTHS`, for the dense ones; those of the rivals are `classic`.
        shape: of an image.
        bottleneck: dimensions of the code.
        share: of all widths, at least 1 of each is left.
    """
    if kind == "dense":
        return dense_pair(shape, bottleneck, _scaled(WIDTHS.get(model, WIDTHS["classic"]), share))
    make, channels = (cifar_pair, CIFAR_CHANNELS) if kind == "cifar" else (celeba_pair, CELEBA_CHANNELS)
    return make(shape, bottleneck, _scaled(channels, share))


def _scaled(widths: Sequence[int], share: float) -> list[int]:
    return [max(1, round(width * share)) for width in widths]


def _built(encoder: list[keras.Layer], decoder: list[keras.Layer], shape: tuple[int, ...], bottleneck: int) -> Pair:
    made = keras.Sequential(encoder, name="encoder"), keras.Sequential(decoder, name="decoder")
    for net, event in zip(made, (tuple(shape), (bottleneck,)), strict=True):
        net.build((None, *event))
    return made
