"""Lipschitz constants of networks: never exceeded by what autodiff measures, and infinite rather than wrong."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import nets
from inntf.nets import activation_lipschitz, lipschitz_constant

L = keras.layers
SHAPE = (6, 6, 2)


def slopes(function, shape, points=12, scale=2.0):
    """Largest singular values of the Jacobian at random points."""
    x = tf.constant(np.random.default_rng(0).normal(size=(points, *shape)) * scale, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    jacobian = tape.batch_jacobian(y, x)
    return np.linalg.svd(tf.reshape(jacobian, [points, math.prod(y.shape[1:]), -1]), compute_uv=False)[:, 0]


def built(layer, shape=SHAPE):
    layer.build((None, *shape))
    return layer


NAMES = [
    "celu",
    "elu",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "tanh",
    "tanh_shrink",
]


@pytest.mark.parametrize("activation", [*NAMES, nets.lip_swish, nets.LipSwish(), L.ReLU(negative_slope=1.5), L.ELU(alpha=2.0)])
def test_declared_constants_are_the_suprema(activation):
    function = keras.activations.get(activation) if isinstance(activation, str) else activation
    x = tf.constant(np.linspace(-40, 40, 160001) + 1e-7)  # off the kinks, where autodiff picks a subgradient
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    measured = np.nanmax(np.abs(tape.gradient(y, x)))
    declared = activation_lipschitz(activation)
    assert measured <= declared + 1e-6
    assert declared <= 1.002 * measured


def test_softmax_and_max_min():
    assert slopes(keras.activations.softmax, (5,)).max() <= activation_lipschitz("softmax")
    np.testing.assert_allclose(slopes(nets.max_min, (6,)), 1, rtol=1e-6)
    np.testing.assert_allclose(slopes(nets.MaxMin(), (6,)), 1, rtol=1e-6)
    with pytest.raises(ValueError, match="even"):
        nets.max_min(tf.ones([2, 3]))


@pytest.mark.parametrize("activation", [nets.concat_lip_swish, lambda x: nets.concat_lip_swish(x, 3.0), nets.ConcatLipSwish()])
def test_concat_lip_swish(activation):
    x = tf.constant(np.linspace(-40, 40, 160001)[:, None])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        there, back = tf.split(activation(x), 2, axis=-1)
    slopes = np.hypot(tape.gradient(there, x), tape.gradient(back, x))
    declared = nets.ConcatLipSwish.lipschitz
    assert declared <= 1 and declared - 1e-5 <= slopes.max() <= declared + 1e-6
    np.testing.assert_allclose(slopes.min(), np.sqrt(0.5) / 1.1044, rtol=1e-6)
    np.testing.assert_allclose(back, activation(-x)[:, :1], atol=1e-5)  # the other half is the mirrored one


def test_concat_lip_swish_in_a_network():
    net = keras.Sequential([L.Dense(4), nets.ConcatLipSwish(), L.Dense(3)])
    assert net(tf.ones([2, 5])).shape == (2, 3) and net.compute_output_shape((2, 5)) == (2, 3)
    bound = lipschitz_constant(net)[0]
    assert bound == pytest.approx(np.prod([np.linalg.norm(layer.kernel.numpy(), 2) for layer in net.layers[::2]]), rel=1e-4)
    assert 1 <= float(nets.lipschitz_tensor(net)) / bound < 1.02
    again = keras.Sequential.from_config(net.get_config())
    again(tf.ones([2, 5]))
    again.set_weights(net.get_weights())
    np.testing.assert_array_equal(again(tf.ones([2, 5])), net(tf.ones([2, 5])))


def test_what_is_not_declared_is_infinite():
    for unknown in ("exponential", lambda x: 3 * x, L.ReLU(threshold=1.0), L.PReLU()):
        assert math.isinf(activation_lipschitz(unknown))

    def mine(x):
        return 3 * x

    mine.lipschitz = 3.0
    assert activation_lipschitz(mine) == 3.0


def residual_model():
    x = keras.Input(SHAPE)
    h = L.Conv2D(4, 3, padding="same", activation="elu")(x)
    h = L.Concatenate()([h, L.Conv2D(1, 5, strides=1, padding="same")(x)])
    h = L.Conv2D(2, 1)(h)
    return keras.Model(x, L.Add()([h, x]) + h)


CASES = {
    "dense": lambda: built(L.Dense(4, activation="elu"), (3,)),
    "conv": lambda: built(L.Conv2D(3, 3, padding="same")),
    "valid": lambda: built(L.Conv2D(3, 5, activation="selu")),
    "strided": lambda: built(L.Conv2D(3, 3, strides=2, padding="same")),
    "dilated": lambda: built(L.Conv2D(3, 3, dilation_rate=2, padding="same")),
    "average": lambda: L.AveragePooling2D(3, 2),
    "max": lambda: L.MaxPooling2D(3, 1),
    "batch norm": lambda: built(L.BatchNormalization(gamma_initializer=keras.initializers.RandomNormal(seed=1))),
    "rescaling": lambda: L.Rescaling(-3.0, 1.0),
    "flat": lambda: keras.Sequential(
        [keras.Input(SHAPE), L.Flatten(), L.Dense(5), L.Dropout(0.5), L.Activation("gelu"), L.Dense(3)]
    ),
    "residual": residual_model,
    "mlp": lambda: built(nets.MLP([5, 5], out_channels=2, zero_last=False, activation="tanh"), (3,)),
    "convnet": lambda: built(nets.ConvNet(3, out_channels=2, zero_last=False, activation="softplus")),
}


@pytest.mark.parametrize("name", CASES)
def test_bound_holds(name):
    keras.utils.set_random_seed(1)
    layer = CASES[name]()
    bound, reason = lipschitz_constant(layer)
    shape = (3,) if name in ("dense", "mlp") else SHAPE
    measured = slopes(layer, shape).max()
    assert reason == ""
    assert measured <= bound * (1 + 1e-5)  # measured in float32
    assert bound < 12 * max(measured, 1e-3)  # a bound that says something


@pytest.mark.parametrize("name", ["dense", "rescaling", "batch norm"])
def test_bound_of_one_layer_is_exact(name):
    layer = CASES[name]()
    layer.activation = None
    measured = slopes(layer, (3,) if name == "dense" else SHAPE, points=2).max()
    assert lipschitz_constant(layer)[0] == pytest.approx(measured, rel=1e-5)


def test_grouped_convolution():
    """By its images of the basis: TensorFlow has no gradient of grouped convolutions on CPU."""
    layer = built(L.Conv2D(4, 3, groups=2, padding="same"))
    basis = tf.reshape(tf.eye(math.prod(SHAPE)), [-1, *SHAPE])
    matrix = tf.reshape(layer(basis), [basis.shape[0], -1]).numpy()
    assert np.linalg.norm(matrix, 2) <= lipschitz_constant(layer)[0] * (1 + 1e-6)
    assert lipschitz_constant(layer)[0] <= 1.3 * np.linalg.norm(matrix, 2)


def test_bound_follows_the_weights():
    layer = CASES["conv"]()
    before = lipschitz_constant(layer)[0]
    layer.kernel.assign(layer.kernel * 3)
    assert lipschitz_constant(layer)[0] == pytest.approx(3 * before)


def test_open_size_is_bounded_for_every_size():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 1, 1))
    layer = built(L.Conv2D(1, 3, padding="same"), (None, None, 1))
    layer.kernel.assign(kernel)
    bound = lipschitz_constant(layer)[0]
    for size in (3, 8, 20):
        fixed = built(L.Conv2D(1, 3, padding="same"), (size, size, 1))
        fixed.kernel.assign(kernel)
        assert lipschitz_constant(fixed)[0] <= bound


def test_sixteen_bit_weights_are_bounded_as_they_are_applied():
    dense = L.Dense(1, use_bias=False, dtype="mixed_bfloat16")
    dense.build((None, 1))
    dense.kernel.assign([[1.00391]])  # rounds up to 1.0078125
    assert lipschitz_constant(dense)[0] == pytest.approx(1.0078125, rel=1e-6)


class Louder(L.Dense):
    """A subclass that does something else."""

    def call(self, x):
        """A hundred times the parent."""
        return 100 * super().call(x)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: L.Dense(3), "build"),
        (lambda: built(L.Dense(3, activation="exponential"), (2,)), "exponential"),
        (lambda: L.Lambda(lambda x: 5 * x, name="odd"), "odd"),
        (lambda: built(Louder(2), (2,)), "Louder"),
        (lambda: built(L.LayerNormalization()), "LayerNormalization"),
        (lambda: [L.ReLU(), L.Lambda(lambda x: x, name="inside")], "inside"),
        (lambda: nets.MLP([2], out_channels=2), "build"),
        (lambda: keras.Model(*(lambda x: (x, L.Multiply()([x, x])))(keras.Input((3,)))), "several"),
        (lambda: keras.Model(*(lambda x: (x, x + L.Dense(1)(x)))(keras.Input((3,)))), "broadcast"),
    ],
)
def test_unknown_is_infinite_and_named(make, word):
    bound, reason = lipschitz_constant(make())
    assert math.isinf(bound)
    assert word in reason


def test_weights_that_are_not_finite():
    layer = CASES["conv"]()
    layer.kernel.assign(layer.kernel * np.nan)
    bound, reason = lipschitz_constant(layer)
    assert math.isinf(bound) and "finite" in reason
