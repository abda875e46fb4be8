"""Blocks whose stability is known exactly."""

import keras
import numpy as np
import tensorflow as tf

from inntf import Block
from inntf.core import LipschitzBounds


def with_spectrum(values, seed=0):
    """A square matrix with exactly these singular values."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(len(values), len(values))))[0] for _ in range(2))
    return left @ np.diag(values) @ right.T


@keras.saving.register_keras_serializable("stability_tests")
class Linear(Block):
    """`z = A x` on the flattened event, with given singular values."""

    def __init__(self, spectrum, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.matrix = with_spectrum(spectrum, seed)
        self.spectrum = np.sort(np.asarray(spectrum, float))[::-1]

    def apply(self, value, matrix):
        flat = tf.reshape(value, [tf.shape(value)[0], -1]) @ tf.constant(matrix.T, value.dtype)
        return tf.reshape(flat, tf.shape(value))

    def forward_and_log_det(self, x, condition=None):
        return self.apply(x, self.matrix), tf.constant(np.log(self.spectrum).sum(), x.dtype)

    def inverse_and_log_det(self, z, condition=None):
        return self.apply(z, np.linalg.inv(self.matrix)), tf.constant(-np.log(self.spectrum).sum(), z.dtype)

    def lipschitz_bounds(self, domain=None):
        return LipschitzBounds(float(self.spectrum[0]), float(1 / self.spectrum[-1]))


class Shifted(Linear):
    """As `Linear`, but the inverse misses by a constant l2 distance, and by infinity where the first entry exceeds 3."""

    def __init__(self, spectrum, miss=0.0, **kwargs):
        super().__init__(spectrum, **kwargs)
        self.miss = miss

    def inverse_and_log_det(self, z, condition=None):
        x, log_det = super().inverse_and_log_det(z)
        size = int(np.prod(x.shape[1:]))
        first = tf.reshape(x, [tf.shape(x)[0], -1])[:, 0]
        extra = tf.where(first > 3, tf.constant(np.inf, x.dtype), self.miss / np.sqrt(size))
        return x + tf.reshape(extra, [-1] + [1] * (x.shape.rank - 1)), log_det


class Unlike(Linear):
    """As `Linear`, but the inverse is the identity."""

    def inverse_and_log_det(self, z, condition=None):
        return z, tf.zeros([], z.dtype)


class Additive(Block):
    """`z = [a, b + slope * tanh(a) + condition]`."""

    def __init__(self, slope, **kwargs):
        super().__init__(**kwargs)
        self.slope = slope

    def shift(self, kept, condition):
        return self.slope * tf.tanh(kept) + (0 if condition is None else condition)

    def forward_and_log_det(self, x, condition=None):
        a, b = tf.split(x, 2, -1)
        return tf.concat([a, b + self.shift(a, condition)], -1), tf.zeros([], x.dtype)

    def inverse_and_log_det(self, z, condition=None):
        a, b = tf.split(z, 2, -1)
        return tf.concat([a, b - self.shift(a, condition)], -1), tf.zeros([], z.dtype)


@keras.saving.register_keras_serializable("stability_tests")
class Scaled(Block):
    """`z = x * scale`, where `scale` is a weight; `scale=0` breaks the inverse."""

    def __init__(self, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.initial = scale

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), initializer=keras.initializers.Constant(self.initial), name="scale")

    def forward_and_log_det(self, x, condition=None):
        scale = tf.convert_to_tensor(self.scale)
        return x * scale, tf.cast(tf.size(x[0]), x.dtype) * tf.math.log(tf.abs(scale))

    def inverse_and_log_det(self, z, condition=None):
        scale = tf.convert_to_tensor(self.scale)
        return z / scale, -tf.cast(tf.size(z[0]), z.dtype) * tf.math.log(tf.abs(scale))
