"""Encoders and decoders of the classical autoencoders: sizes, and where they begin and end."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.autoencoder import networks
from recipes.autoencoder.reference import REFERENCES
from recipes.common.errors import UserError

# Numbers of a dense layer are (inputs + 1) * outputs, written out by hand.
DENSE = {
    "classic": 401920 + 131328 + 32896 + 129 * 12 + 13 * 128 + 33024 + 131584 + 402192,
    "classic_1024": 803840 + 2 * 1049600 + 1025 * 12 + 13 * 1024 + 2 * 1049600 + 803600,
    "classic_2048": 1607680 + 2 * 4196352 + 2049 * 12 + 13 * 2048 + 2 * 4196352 + 1606416,
    "classic_deep": 803840 + 3 * 1049600 + 1025 * 12 + 13 * 1024 + 3 * 1049600 + 803600,
}


@pytest.mark.parametrize("model", list(DENSE))
def test_dense_ones_have_the_published_sizes(model):
    pair = networks.make_pair("dense", model, (28, 28, 1), 12)
    assert sum(net.count_params() for net in pair) == DENSE[model]
    kernels = [layer.kernel.shape for layer in pair[0].layers if hasattr(layer, "kernel")]
    assert [b for _, b in kernels] == [*networks.WIDTHS[model], 12]


def test_the_invertible_network_has_fewer_weights_than_each_of_them():
    assert min(DENSE.values()) > 1_121_192


def test_convolutions_for_cifar_end_in_9216_numbers():
    encoder, decoder = networks.make_pair("cifar", "classic", (32, 32, 3), 7)
    assert encoder.layers[-2].output.shape[1:] == (9216,)
    assert encoder.output_shape == (None, 7) and decoder.output_shape == (None, 32, 32, 3)
    kernels = [(layer.kernel.shape, layer.filters) for layer in encoder.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [filters for _, filters in kernels] == [64, 128, 256, 512, 1024]
    assert all(tuple(shape[:2]) == (3, 3) for shape, _ in kernels)


def test_convolutions_for_celeba_end_in_five_by_four():
    encoder, decoder = networks.make_pair("celeba", "classic", (218, 178, 3), 3, share=1 / 128)
    assert encoder.layers[-3].output.shape[1:3] == (5, 4)
    assert decoder.output_shape == (None, 218, 178, 3) and 5 * 4 * networks.CELEBA_CHANNELS[-1] == 20480


@pytest.mark.parametrize("kind", ["dense", "cifar"])
def test_first_weights_and_the_range_of_what_comes_out(kind):
    shape = {"dense": (4, 4, 1), "cifar": (32, 32, 3)}[kind]
    encoder, decoder = networks.make_pair(kind, "classic", shape, 16, share=0.05)
    biases = [layer.bias for net in (encoder, decoder) for layer in net.layers if hasattr(layer, "kernel")]
    assert biases and all(np.allclose(bias, 0.01) for bias in biases)
    y = encoder(tf.constant(np.random.default_rng(0).normal(size=(6, *shape)), tf.float32))
    assert np.min(y) < 0 < np.max(y)  # nothing is cut off the code
    assert np.max(np.abs(decoder(1e4 * tf.ones([2, 16])))) <= 1


def test_images_of_another_size_are_refused():
    for kind in ("cifar", "celeba"):
        with pytest.raises(UserError, match="28x28"):
            networks.make_pair(kind, "classic", (28, 28, 1), 2)


def test_published_bottlenecks_grow():
    for reference in REFERENCES.values():
        assert list(reference.bottlenecks) == sorted(set(reference.bottlenecks))
        assert max(reference.drops) < reference.epochs and max(reference.classic_drops) < reference.classic_epochs
