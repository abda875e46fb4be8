"""Balls that an audit found beyond their certificates: inexact centres, images, subclasses, conditioning, padding."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import (
    AdditiveCoupling,
    AffineCoupling,
    BiLipschitz,
    InjectivePadding,
    InvertibleLinear,
    LeakyReLU,
    MonotoneBlock,
    ResidualBlock,
    Sylvester,
)
from inntf.compose import Chain
from inntf.nets import Clip, LipschitzMLP
from inntf.numerics import batch_jacobian
from inntf.stability.ball_certificate import certify_balls

DOUBLE = {"dtype": "float64"}


def slopes(block, points, inverse=False):
    """Exact ones at points, by the Jacobian of the forward map."""
    at = tf.constant(points) if not inverse else block.inverse_and_log_det(tf.constant(points))[0]
    jacobian = batch_jacobian(block.value, at).numpy()
    values = np.linalg.svd(jacobian.reshape(len(points), -1, at[0].shape.num_elements()), compute_uv=False)
    return 1 / values.min(1) if inverse else values.max(1)


INEXACT = {
    "bi-Lipschitz": lambda: BiLipschitz(0.2, 5.0, hidden=8, tolerance=1e-1, **DOUBLE),
    "residual": lambda: ResidualBlock(
        network=lambda n: LipschitzMLP([8], out_channels=n, coefficient=0.98, **DOUBLE), tolerance=1e-1, **DOUBLE
    ),
}


@pytest.mark.parametrize("make", INEXACT.values(), ids=INEXACT)
def test_what_an_inverse_leaves_moves_the_balls_behind_it(make):
    chain = Chain([LeakyReLU(0.01, **DOUBLE), make()]).ensure_built((2,))
    x = np.random.default_rng(0).normal(size=(200, 2)) * 1e-2  # beside the kink, where the inverse arrives
    found = certify_balls(chain, x, 1e-6)
    jacobian = np.linalg.svd(batch_jacobian(chain.value, tf.constant(x)).numpy(), compute_uv=False)
    assert (found.inverse >= (1 - 1e-9) / jacobian.min(1)).all() and (found.forward >= jacobian.max(1) * (1 - 1e-9)).all()


def test_an_inexact_image_widens_the_next_ball():
    inexact = MonotoneBlock(
        network=lambda n: LipschitzMLP([8], out_channels=n, coefficient=0.95, **DOUBLE), tolerance=0.5, **DOUBLE
    ).ensure_built((2,))
    exact = MonotoneBlock.from_config(inexact.get_config() | {"tolerance": 1e-12}).ensure_built((2,))
    exact.set_weights(inexact.get_weights())
    kink = LeakyReLU(100.0, **DOUBLE).ensure_built((2,))
    x = np.random.default_rng(0).normal(size=(200, 2)) * 1e-2
    found = certify_balls(Chain([inexact, kink]).ensure_built((2,)), x, 1e-6)
    assert (found.forward >= slopes(Chain([exact, kink]).ensure_built((2,)), x) * (1 - 1e-6)).all()


def test_a_clip_on_an_image_clips_every_pixel():
    opposite = [[[[100.0], [-100.0]]]]

    def net(channels):
        return keras.Sequential(
            [
                keras.layers.Conv2D(2, 1, kernel_initializer="ones", **DOUBLE),
                Clip(1.0, **DOUBLE),
                keras.layers.Conv2D(channels, 1, kernel_initializer=keras.initializers.Constant(opposite), **DOUBLE),
            ]
        )

    block = AdditiveCoupling(conditioner=net, **DOUBLE).ensure_built((1, 2, 2))
    block.conditioner.layers[0].bias.assign([10.0, 0.0])
    x = np.zeros([1, 1, 2, 2])
    x[0, 0, 0] = 50.0
    found = certify_balls(block, x, 1e-3)
    seen = slopes(block, x)
    assert seen[0] > 100 and found.forward[0] >= seen[0] and found.inverse[0] >= seen[0]


@keras.saving.register_keras_serializable("inntf_tests")
class Skipping(keras.Sequential):
    """Computes more than its layers in turn."""

    def call(self, inputs, training=None, mask=None):
        return inputs + super().call(inputs)


def test_a_sequential_with_another_call_is_not_taken_apart():
    net = lambda n: Skipping([keras.layers.Dense(n, kernel_initializer="zeros", **DOUBLE)])  # noqa: E731
    block = AdditiveCoupling(conditioner=net, **DOUBLE).ensure_built((2,))
    found = certify_balls(block, np.zeros([1, 2]), 1e-3)
    assert found.forward[0] >= slopes(block, np.zeros([1, 2]))[0]


@pytest.mark.parametrize("exponent", [7, 10, 15])
def test_an_ill_conditioned_matrix_is_inverted_with_its_rounding(exponent):
    block = InvertibleLinear(parametrization="dense", seed=0, **DOUBLE).ensure_built((3,))
    left, right = (np.linalg.qr(np.random.default_rng(i).normal(size=(3, 3)))[0] for i in range(2))
    block.matrix.assign(left @ np.diag([1.0, 1.0, 10.0**-exponent]) @ right)
    exact = np.linalg.svd(block.matrix.numpy().astype(np.longdouble).astype(np.float64), compute_uv=False)
    found = certify_balls(block, np.zeros([1, 3]), 1e-3)
    assert found.inverse[0] >= (1 + 0.1 * 10.0 ** (exponent - 16)) / exact.min() * (1 - 10.0 ** (exponent - 15))


def test_padding_among_others():
    for parts in (
        [AffineCoupling(**DOUBLE), InjectivePadding(6, **DOUBLE)],
        [AffineCoupling(**DOUBLE), InjectivePadding(6, **DOUBLE), AffineCoupling(**DOUBLE), AffineCoupling(**DOUBLE)],
    ):
        chain = Chain(parts).ensure_built((4,))
        for weight in chain.trainable_weights:
            weight.assign_add(tf.random.stateless_normal(weight.shape, [1, 2], dtype=tf.float64) * 0.1)
        x = np.random.default_rng(0).normal(size=(2, 4))
        found = certify_balls(chain, x, 1e-4)
        assert (found.forward >= slopes(chain, x)).all() and (found.forward < 1e3).all()


def test_networks_that_are_not_followed_say_so():
    relu = AdditiveCoupling(
        conditioner=lambda n: keras.Sequential([keras.layers.Dense(4), keras.layers.PReLU(), keras.layers.Dense(n)])
    ).ensure_built((4,))
    found = certify_balls(relu, np.zeros([1, 4]), 1e-3)
    assert np.isfinite(found.forward).all() and "learned" in found.reasons[0]


def test_a_dilated_convolution_is_followed():
    net = lambda n: keras.Sequential(  # noqa: E731
        [
            keras.layers.Conv2D(3, 3, padding="same", dilation_rate=2, activation="tanh"),
            keras.layers.Conv2D(n, 3, padding="same"),
        ]
    )
    block = AdditiveCoupling(conditioner=net, **DOUBLE).ensure_built((6, 6, 2))
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 2))
    found = certify_balls(block, x, 1e-4)
    assert not found.reasons and found.forward[0] >= slopes(block, x)[0] * (1 - 1e-5)


def test_large_weights_are_no_error():
    block = Sylvester(directions=2, seed=0, **DOUBLE).ensure_built((3,))
    for weight in block.trainable_weights:
        weight.assign(weight + 300.0)
    found = certify_balls(block, np.ones([1, 3]), 1e-3)
    assert found.forward[0] >= slopes(block, np.ones([1, 3]))[0] * (1 - 1e-9)
