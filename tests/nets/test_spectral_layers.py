"""Spectrally normalized layers: the norm they promise, in every way Keras runs them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from inntf import nets
from inntf.nets import SpectralConv2D, SpectralDense

SHAPE = (6, 6, 2)
LARGE = keras.initializers.RandomNormal(stddev=1.0, seed=3)

MAKERS = {
    "dense": (lambda **k: SpectralDense(4, 0.7, kernel_initializer=LARGE, **k), (5,)),
    "conv": (lambda **k: SpectralConv2D(3, 3, coefficient=0.7, kernel_initializer=LARGE, **k), SHAPE),
    "strided": (lambda **k: SpectralConv2D(3, 3, 2, coefficient=0.7, kernel_initializer=LARGE, **k), SHAPE),
    "valid": (lambda **k: SpectralConv2D(3, 5, padding="valid", coefficient=0.7, kernel_initializer=LARGE, **k), SHAPE),
    "dilated": (lambda **k: SpectralConv2D(3, 3, dilation_rate=2, coefficient=0.7, kernel_initializer=LARGE, **k), SHAPE),
}
ALL = pytest.mark.parametrize("name", MAKERS)
TWO = pytest.mark.parametrize("name", ["dense", "conv"])


def make(name, **kwargs):
    maker, shape = MAKERS[name]
    layer = maker(**kwargs)
    layer.build((None, *shape))
    return layer, shape


def operator_norm(layer, shape):
    """Norm of the layer's matrix, by its images of the basis."""
    size = int(np.prod(shape))
    basis = tf.reshape(tf.eye(size, dtype=layer.compute_dtype), [size, *shape])
    image = layer(basis) - layer(tf.zeros_like(basis))
    return np.linalg.norm(tf.reshape(tf.cast(image, tf.float64), [size, -1]).numpy(), 2)


def data(shape, n=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, *shape)).astype("float32")


@ALL
def test_norm_is_near_the_coefficient_from_the_start(name):
    layer, shape = make(name)
    norm = operator_norm(layer, shape)
    assert norm == pytest.approx(0.7, rel=0.02)
    assert norm <= layer.certify() * (1 + 1e-5)
    assert layer.certify() == nets.lipschitz_constant(layer)[0]


@ALL
def test_certify_makes_the_coefficient_hold(name):
    layer, shape = make(name)
    bound = layer.certify(rescale=True)
    assert bound <= 0.7
    assert operator_norm(layer, shape) <= 0.7 * (1 + 1e-5)
    assert bound == layer.certify() == layer.certify(rescale=True)
    assert bound > 0.65


@ALL
def test_normalization_is_soft(name):
    """A kernel below the coefficient is left as it is."""
    layer, _ = make(name)
    small = layer.kernel.numpy() * 0.01
    layer.kernel.assign(small)
    layer.update()
    np.testing.assert_allclose(layer.effective_kernel(), small)
    assert layer.certify(rescale=True) < 0.7
    np.testing.assert_array_equal(layer.kernel, small)


@TWO
def test_gradient_goes_through_the_norm(name):
    """Finite differences of the whole normalization, sigma at convergence."""
    options = {"dtype": "float64", "tolerance": 1e-14, "max_iterations": 100}
    shape = (4, 4, 1) if name == "conv" else (5,)
    layer = SpectralConv2D(2, 3, coefficient=0.7, **options) if name == "conv" else SpectralDense(4, 0.7, **options)
    layer.build((None, *shape))
    # Weights whose second singular value is 0.8 of the first or less, so that the iteration does converge.
    layer.kernel.assign(np.random.default_rng(4).normal(size=layer.kernel.shape))
    update = tf.function(layer.update)
    update()
    x = tf.constant(data(shape, 3).astype("float64"))
    weights = tf.constant(np.random.default_rng(1).normal(size=layer(x).shape))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(layer(x) * weights)
    gradient = tape.gradient(value, layer.kernel.value).numpy()
    kernel, direction = layer.kernel.numpy(), np.random.default_rng(2).normal(size=layer.kernel.shape)
    values = []
    for step in (1e-5, -1e-5):
        layer.kernel.assign(kernel + step * direction)
        update()
        values.append(float(tf.reduce_sum(layer(x) * weights)))
    assert np.sum(gradient * direction) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4)
    # The norm is pinned at the coefficient: along the kernel itself nothing changes.
    assert abs(np.sum(gradient * kernel)) < 1e-6 * np.linalg.norm(gradient) * np.linalg.norm(kernel)


@TWO
def test_updates_only_in_training(name):
    layer, shape = make(name)
    layer.kernel.assign(np.random.default_rng(5).normal(size=layer.kernel.shape))
    before = layer.singular_vector.numpy()
    layer(data(shape))
    layer(data(shape), training=False)
    np.testing.assert_array_equal(layer.singular_vector, before)
    layer(data(shape), training=True)
    assert not np.allclose(layer.singular_vector, before)
    assert operator_norm(layer, shape) == pytest.approx(0.7, rel=0.02)


def test_updates_once_a_step_where_asked():
    network = keras.Sequential([SpectralDense(5, kernel_initializer=LARGE, update_every_call=False) for _ in range(2)])
    network.build((None, 5))
    first, second = nets.spectral_layers(network)
    first.kernel.assign(tf.random.stateless_normal([5, 5], [1, 1]))
    before = first.singular_vector.numpy()
    network(tf.ones([2, 5]), training=True)
    np.testing.assert_array_equal(first.singular_vector, before)
    nets.update_norms(network)
    assert not np.allclose(first.singular_vector, before)
    assert set(nets.certify_norms(network, rescale=True)) == {first.path, second.path}
    assert nets.lipschitz_constant(network)[0] <= 0.81


@ALL
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_precisions(name, dtype):
    layer, shape = make(name, dtype=dtype)
    y = layer(data(shape), training=True)
    assert y.dtype == layer.compute_dtype
    assert layer.effective_kernel().dtype == ("float64" if dtype == "float64" else "float32")
    assert layer.certify(rescale=True) <= 0.7
    assert operator_norm(layer, shape) <= 0.7 * (1 + (1e-9 if dtype == "float64" else 0.01))


def small_model():
    make_conv = MAKERS["conv"][0]
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            make_conv(activation=nets.lip_swish),
            nets.LipSwish(),
            keras.layers.Flatten(),
            SpectralDense(4, 0.9),
            nets.MaxMin(),
            SpectralDense(1, 0.9),
        ]
    )


@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_fit_save_load(tmp_path, jit):
    keras.utils.set_random_seed(0)
    model = small_model()
    x, y = data(SHAPE, 32), data((1,), 32) * 5
    vector = model.layers[0].singular_vector.numpy()
    model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=jit)
    losses = model.fit(x, y, epochs=6, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert not np.allclose(model.layers[0].singular_vector, vector)
    bound, reason = nets.lipschitz_constant(model)
    assert reason == "" and bound < 0.7 * 0.9 * 0.9 * 1.05
    nets.certify_norms(model, rescale=True)
    bound, _ = nets.lipschitz_constant(model)
    assert bound <= 0.7 * 0.9 * 0.9 * (1 + 1e-9)
    ratios = np.abs(model(x)[1:] - model(x)[:-1])[:, 0] / np.linalg.norm((x[1:] - x[:-1]).reshape(31, -1), axis=1)
    assert ratios.max() <= bound

    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert nets.lipschitz_constant(loaded)[0] == bound
    np.testing.assert_array_equal(loaded.layers[0].singular_vector, model.layers[0].singular_vector)


def test_mirrored_strategy():
    cpus = tf.config.list_logical_devices("CPU")
    strategy = tf.distribute.MirroredStrategy([c.name for c in cpus])
    with strategy.scope():
        model = small_model()
        optimizer = keras.optimizers.SGD(0.1)
        model.build((None, *SHAPE))
        optimizer.build(model.trainable_variables)
    x = tf.constant(data(SHAPE))
    vector = model.layers[0].singular_vector.numpy()

    @tf.function
    def step():
        def replica():
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(x, training=True) - 3))
            optimizer.apply_gradients(
                zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
            )
            return loss

        return strategy.reduce("mean", strategy.run(replica), axis=None)

    losses = [float(step()) for _ in range(4)]
    assert losses[-1] < losses[0]
    assert not np.allclose(model.layers[0].singular_vector, vector)
    with strategy.scope():
        model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, np.ones([8, 1], "float32"), verbose=0)


def test_zero_start_and_open_size():
    layer = SpectralConv2D(2, 3, kernel_initializer="zeros")
    layer.build((None, None, None, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(data((7, 5, 2)), training=True))
    gradient = tape.gradient(loss, layer.kernel.value)
    assert np.all(np.isfinite(gradient)) and np.any(gradient != 0)
    layer.kernel.assign(gradient)
    layer(data((7, 5, 2)), training=True)
    assert layer.certify() < 1.05 * 0.9
    assert layer.certify(rescale=True) <= 0.9


def test_inside_a_subclassed_model_and_a_symbolic_build():
    class Wrapper(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = SpectralDense(4, 0.5, kernel_initializer=LARGE)

        def call(self, x):
            return self.inner(x)

    x = keras.Input((3,))
    model = keras.Model(x, Wrapper()(x))  # Keras traces `call`, with weights that are made only afterwards
    (layer,) = nets.spectral_layers(model)
    assert operator_norm(layer, (3,)) == pytest.approx(0.5, rel=0.01)
    conv = SpectralConv2D(2, 3)
    assert tf.function(lambda x: conv(x, training=True))(tf.ones([1, 5, 5, 1])).shape == (1, 5, 5, 2)
    assert conv.certify() < 1.05 * 0.9


def test_serves_as_convolution_of_a_convnet():
    net = nets.ConvNet(4, out_channels=2, zero_last=False, convolution=SpectralConv2D, activation=nets.lip_swish)
    net.build((None, *SHAPE))
    nets.certify_norms(net, rescale=True)
    bound, reason = nets.lipschitz_constant(net)
    assert reason == "" and bound <= 0.9**3


@settings(max_examples=15, deadline=None)
@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    taps=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.integers(1, 3),
    padding=st.sampled_from(["same", "valid"]),
)
def test_shapes(size, taps, channels, strides, padding):
    size = tuple(max(n, k) for n, k in zip(size, taps, strict=True)) if padding == "valid" else size
    layer = SpectralConv2D(channels[1], taps, strides, padding, kernel_initializer=LARGE)
    x = data((*size, channels[0]), 2)
    assert tuple(layer(x).shape) == layer.compute_output_shape(x.shape)
    assert layer.certify(rescale=True) <= 0.9
    assert operator_norm(layer, x.shape[1:]) <= 0.9 * (1 + 1e-5)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: SpectralDense(3, coefficient=0.0), "coefficient"),
        (lambda: SpectralDense(3, tolerance=-1.0), "tolerance"),
        (lambda: SpectralConv2D(3, 3, padding="circular"), "padding"),
        (lambda: SpectralConv2D(3, 3, 2, dilation_rate=2), "dilation"),
        (lambda: SpectralDense(3).certify(), "built"),
    ],
)
def test_bad_arguments(call, word):
    with pytest.raises(ValueError, match=word):
        call()


def test_config_round_trip():
    for name in MAKERS:
        layer, shape = make(name, use_bias=False, activation="elu", max_iterations=7)
        again = type(layer).from_config(layer.get_config())
        again.build((None, *shape))
        again.set_weights(layer.get_weights())
        np.testing.assert_array_equal(again(data(shape)), layer(data(shape)))
        assert again.get_config() == layer.get_config()
