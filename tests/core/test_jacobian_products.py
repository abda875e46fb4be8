"""Jacobian products of every kind of block and composition, against its dense Jacobian by TensorFlow and that one's inverse."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    InvertibleConv1x1,
    InvertibleLinear,
    Logit,
    MaskedAutoregressive,
    Permutation,
    ResidualBlock,
    SplineCoupling,
    Squeeze,
    TwoSidedCoupling,
)
from inntf.compose import Blockwise, Chain, Multiscale, Repeat
from inntf.nets import MLP, ConvNet

WAYS = [(inverse, transposed) for inverse in (False, True) for transposed in (False, True)]


@pytest.fixture(autouse=True)
def float64():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


def net(channels):
    """A conditioner that is no constant, and whose slopes change."""
    return keras.Sequential([keras.layers.Dense(5, "tanh"), keras.layers.Dropout(0.5), keras.layers.Dense(channels)])


class Doubled(Chain):
    """A composition that defines its map anew: twice what the chain gives."""

    def forward_and_log_det(self, x, condition=None):
        z, log_det = super().forward_and_log_det(x, condition)
        return 2 * z, log_det

    def inverse_and_log_det(self, z, condition=None):
        return super().inverse_and_log_det(z / 2, condition)


class Nearly(AffineCoupling):
    """A coupling whose conditioner sees something else."""

    def raw_parameters(self, identity, condition, network=None):
        return super().raw_parameters(tf.sin(identity), condition, network)


def image_step(i=0):
    return Chain([ActNorm(), InvertibleConv1x1(seed=i), AffineCoupling(conditioner=ConvNet(3, activation="tanh"))])


CASES = {
    "additive": (lambda: AdditiveCoupling(conditioner=net), (4,), None),
    "affine, condition": (lambda: AffineCoupling(conditioner=net), (4,), (2,)),
    "affine, activations by name": (lambda: AffineCoupling(conditioner=MLP((6, 6), activation="tanh")), (5,), None),
    "spline": (lambda: SplineCoupling(conditioner=net), (4,), None),
    "raw parameters of its own": (lambda: Nearly(conditioner=net), (4,), None),
    "two sides": (lambda: TwoSidedCoupling(conditioner=net), (4,), None),
    "checkerboard": (lambda: AffineCoupling(split="checkerboard", conditioner=ConvNet(3, activation="tanh")), (4, 2, 1), None),
    "linear": (lambda: InvertibleLinear(seed=1), (4,), None),
    "shuffle": (lambda: Permutation.shuffle(3), (5,), None),
    "reverse": (lambda: Permutation.reverse(), (5,), None),
    "logit": (lambda: Logit(), (3,), None),
    "autoregressive": (lambda: MaskedAutoregressive(), (3,), None),
    "chain with a map of its own": (lambda: Doubled([ActNorm(), AffineCoupling(conditioner=net)]), (4,), None),
    "side by side": (lambda: Blockwise([AffineCoupling(conditioner=net), Logit()], [[3, 0], [1, 2]]), (4,), (2,)),
    "repeat": (lambda: Repeat(lambda i: Chain([Permutation.shuffle(i), AffineCoupling(conditioner=net)]), 2), (4,), (2,)),
    "multiscale": (
        lambda: Multiscale([Chain([Squeeze(), Repeat(image_step, 2)]), Squeeze()], priors="learned"),
        (4, 4, 1),
        (2,),
    ),
}


def made(name):
    """The block in float64 with random weights, two samples, a condition for each."""
    make, shape, condition_shape = CASES[name]
    keras.utils.set_random_seed(1)
    block = make().ensure_built(shape, condition_shape)
    rng = np.random.default_rng(0)
    for weight in block.trainable_variables:
        weight.assign_add(0.3 * rng.normal(size=weight.shape))
    x = tf.constant(rng.uniform(0.1, 0.9, size=(2, *shape)))
    return block, x, None if condition_shape is None else tf.constant(rng.normal(size=(2, *condition_shape)))


def dense(block, x, condition):
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        z = block.forward_and_log_det(x, condition)[0]
        flat = tf.reshape(z, [2, -1])
    return z, tape.batch_jacobian(flat, x, experimental_use_pfor=False).numpy().reshape(2, flat.shape[1], -1)


@pytest.mark.parametrize("name", CASES)
def test_products_are_those_of_the_dense_jacobian(name):
    block, x, condition = made(name)
    z, jacobian = dense(block, x, condition)
    for inverse, transposed in WAYS:
        matrix = np.linalg.inv(jacobian) if inverse else jacobian
        value, image = (z, x) if inverse else (x, z)
        out, points = block.linearize(value, condition, inverse)
        np.testing.assert_allclose(out, image, rtol=1e-6, atol=1e-8)
        ends = (image, value) if transposed else (value, image)
        vector = tf.constant(np.random.default_rng(2).normal(size=ends[0].shape))
        product = block.jacobian_product(points, vector, condition, inverse, transposed)
        assert product.shape == ends[1].shape
        expected = np.einsum("bij,bj->bi", np.swapaxes(matrix, 1, 2) if transposed else matrix, vector.numpy().reshape(2, -1))
        np.testing.assert_allclose(product.numpy().reshape(2, -1), expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("transposed", [False, True])
def test_in_a_graph_with_a_batch_of_any_size(transposed):
    block, x, condition = made("multiscale")
    z, jacobian = dense(block, x, condition)
    vector = z if transposed else x
    spec = [tf.TensorSpec([None, *t.shape[1:]], t.dtype) for t in (x, condition, vector)]

    @tf.function(input_signature=spec, autograph=False)
    def product(x, condition, vector):
        return block.jacobian_product(block.linearize(x, condition)[1], vector, condition, transposed=transposed)

    matrix = np.swapaxes(jacobian, 1, 2) if transposed else jacobian
    expected = np.einsum("bij,bj->bi", matrix, vector.numpy().reshape(2, -1))
    for n in (2, 1):
        found = product(x[:n], condition[:n], vector[:n]).numpy().reshape(n, -1)
        np.testing.assert_allclose(found, expected[:n], rtol=1e-9, atol=1e-12)


def test_who_iterates():
    residual = ResidualBlock()
    assert residual.iterates and Chain([ActNorm(), residual]).iterates and Repeat(lambda: ResidualBlock(), 2).iterates
    assert not Chain([ActNorm()]).iterates and not Repeat(lambda: ActNorm(), 2).iterates
