"""Images in [0, 1], and CelebA as tensorflow-datasets would give it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from recipes.autoencoder import data
from recipes.autoencoder.settings import PRESETS
from recipes.common.errors import UserError

FACES = np.random.default_rng(0).integers(0, 256, (20, 218, 178, 3), np.uint8)


def test_pixels_there_and_back():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    x = data.scaled(pixels)
    assert float(tf.reduce_min(x)) == 0 and float(tf.reduce_max(x)) == 1
    np.testing.assert_allclose(data.to_pixels(x), pixels, atol=1e-4)


@pytest.fixture
def celeba(monkeypatch):
    def load(name, data_dir, split, download):
        assert (name, split, download) == ("celeb_a", "all", False)
        return tf.data.Dataset.from_tensor_slices({"image": FACES})

    monkeypatch.setattr(data.tfds, "load", load)
    data._loaded.cache_clear()
    yield dataclasses.replace(PRESETS["paper"], dataset="celeba", batch_size=4)
    data._loaded.cache_clear()


def test_faces_are_smaller_for_invertible_networks_and_split_alike(celeba):
    small, large = data.images_for(celeba, "inn"), data.images_for(celeba, "classic")
    assert small.shape == (156, 128, 3) and large.shape == (218, 178, 3)
    assert len(large.test) == 4 and len(large.train) == 16
    averaged = tf.image.resize(large.test, (156, 128), "area")
    np.testing.assert_allclose(small.test, averaged, atol=0.51)
    everything = np.concatenate([large.train, large.test])
    assert {image.tobytes() for image in everything} == {image.tobytes() for image in FACES}


def test_as_many_faces_as_asked_for(celeba):
    assert len(data.images_for(dataclasses.replace(celeba, images=8), "classic").train) == 8


def test_bottlenecks_are_below_the_size_of_an_image():
    config = dataclasses.replace(PRESETS["small"], bottlenecks=(784,))
    with pytest.raises(UserError, match="below 784"):
        data.images_for(config, "inn")
    assert data.images_for(config, "inn_vae").shape == (28, 28, 1)  # its own list counts
