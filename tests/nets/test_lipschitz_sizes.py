"""Convolutions are certified at the sizes they are used at, whatever they were built for first."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import AdditiveCoupling, ResidualBlock
from inntf.compose import Chain, Repeat
from inntf.nets import ConvNet, SpectralConv2D, certify_norms, lipschitz_constant
from inntf.nets.applied_weights import built_size
from inntf.nets.lipschitz_tensor import lipschitz_tensor
from inntf.numerics import batch_jacobian

ONES = {"kernel_initializer": "ones", "padding": "same"}


def slope(function, shape):
    """The largest slope at a point of shape `(1, ...)`."""
    jacobian = batch_jacobian(function, tf.constant(np.random.default_rng(0).normal(size=shape)))
    return float(np.linalg.norm(np.reshape(jacobian, [np.prod(jacobian.shape[1:]) // np.prod(shape), np.prod(shape)]), 2))


def conv(filters, **kwargs):
    return keras.layers.Conv2D(filters, 3, **{**ONES, "dtype": "float64", **kwargs})


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("repeated", [False, True])
def test_blocks_for_images_of_any_size(symbolic, repeated):
    make = lambda: AdditiveCoupling(conditioner=lambda n: conv(n), dtype="float64")  # noqa: E731
    block = Repeat(make, 1) if repeated else make()
    if symbolic:
        block(keras.Input((None, None, 2), dtype="float64"))
    else:
        block.ensure_built((None, None, 2))
    bounds = block.lipschitz_bounds()
    for size in (4, 12):
        assert slope(lambda x: block.value(x), (1, size, size, 2)) <= bounds.forward * (1 + 1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_residual_block_of_any_size_is_a_contraction_at_every_size(dtype):
    make = lambda n: SpectralConv2D(n, 3, coefficient=0.9, kernel_initializer="ones", dtype=dtype)  # noqa: E731
    block = ResidualBlock(network=make, dtype=dtype)
    block(keras.Input((None, None, 2), dtype=dtype))
    certify_norms(block, rescale=True)
    kernel, bias = block.network.effective_kernel(), block.network.bias
    for size in (4, 16):
        branch = lambda x: tf.nn.conv2d(x, tf.cast(kernel, x.dtype), 1, "SAME")  # noqa: E731
        assert slope(branch, (1, size, size, 2)) <= 0.9 * (1 + 1e-6)
    assert bias is not None and float(lipschitz_tensor(block.network)) <= 0.91
    x = tf.constant(np.random.default_rng(1).normal(size=(2, 7, 7, 2)), dtype)
    z = block.forward_and_log_det(x)[0]
    back, _, certificate = block.inverse_with_certificate(z)
    error = np.sqrt(np.sum((back - x).numpy().astype(np.float64) ** 2, (1, 2, 3)))
    assert (error <= certificate.error_bound.numpy() + 1e-12).all()


def test_a_network_built_before_or_shared_by_sizes():
    net = ConvNet((3, 3), out_channels=1, zero_last=False, dtype="float64")
    net(tf.zeros([1, 4, 4, 1], tf.float64))
    shared = conv(1)
    for conditioner in (net, shared):
        for size in (4, 12):
            block = AdditiveCoupling(conditioner=conditioner, dtype="float64").ensure_built((size, size, 2))
            bounds = block.lipschitz_bounds()
            assert slope(lambda x, block=block: block.value(x), (1, size, size, 2)) <= bounds.forward * (1 + 1e-9)
    assert built_size(shared) is None


def test_one_layer_at_several_sizes_of_a_model():
    layer = conv(1)
    inputs = keras.Input((2, 2, 1), dtype="float64")
    padded = keras.layers.ZeroPadding2D(5, dtype="float64")(layer(inputs))
    twice = keras.Model(inputs, layer(padded))
    small = conv(1)
    small.build((None, 2, 2, 1))
    wide = keras.Sequential([keras.Input((12, 12, 1), dtype="float64"), small])
    for model, shape in ((twice, (1, 2, 2, 1)), (wide, (1, 12, 12, 1))):
        bound, reason = lipschitz_constant(model)
        assert not reason and slope(lambda x, model=model: model(x), shape) <= bound * (1 + 1e-9)


def test_a_network_of_one_size_keeps_its_exact_norm():
    block = Chain([AdditiveCoupling(conditioner=lambda n: conv(n), dtype="float64")]).ensure_built((4, 4, 2))
    assert built_size(block.blocks[0].conditioner) == (4, 4)
    seen = slope(lambda x: block.value(x), (1, 4, 4, 2))
    assert seen <= block.lipschitz_bounds().forward * (1 + 1e-9) < 1.001 * seen
