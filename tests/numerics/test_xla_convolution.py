"""Gradients of convolutions within XLA are those without it: first, second, along directions."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.util import _pywrap_util_port

from inntf.core.under_xla import in_xla
from inntf.models import DensityModel, glow, residual_flow, spline_flow
from inntf.nets import ConvNet
from inntf.nets.residual_net import ResidualNet
from inntf.numerics import RussianRoulette
from inntf.numerics.xla_convolution import convolution

pytestmark = pytest.mark.filterwarnings("ignore:XLA")
CASES = [
    ((1, 1), "SAME", (1, 1), (3, 3)),
    ((1, 1), "VALID", (1, 1), (3, 2)),
    ((1, 1), "SAME", (2, 1), (3, 4)),
    pytest.param((1, 1), "VALID", (2, 2), (2, 3), marks=pytest.mark.slow),
    pytest.param((2, 2), "SAME", (1, 1), (3, 3), marks=pytest.mark.slow),
    ((1, 1), "SAME", (1, 1), (1, 1)),
]


def draw(*shape):
    return tf.constant(np.random.default_rng(sum(shape)).standard_normal(shape))


def second(f, x, kernel):
    """First derivatives, and second ones of a function of them."""
    with tf.GradientTape() as outer:
        outer.watch((x, kernel))
        with tf.GradientTape() as tape:
            tape.watch((x, kernel))
            loss = tf.reduce_sum(tf.sin(f(x, kernel)))
        first = tape.gradient(loss, (x, kernel))
        again = sum(tf.reduce_sum(tf.cos(g)) for g in first)
    return (*first, *outer.gradient(again, (x, kernel)))


@pytest.mark.parametrize(("strides", "padding", "dilations", "size"), CASES)
def test_values_and_derivatives_of_both_orders(strides, padding, dilations, size):
    x, kernel = draw(3, 7, 8, 2), draw(*size, 2, 5)

    def f(x, kernel):
        return convolution(x, kernel, strides, padding, dilations)

    compiled = tf.function(lambda x, kernel: (f(x, kernel), *second(f, x, kernel)), jit_compile=True, autograph=False)
    for ours, expected in zip(compiled(x, kernel), (f(x, kernel), *second(f, x, kernel)), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-10)


def test_along_a_direction_and_in_a_vectorized_map():
    x, kernel, v = draw(2, 5, 5, 2), draw(3, 3, 2, 2), draw(2, 5, 5, 2)

    def derivatives(x):
        with tf.autodiff.ForwardAccumulator(x, v) as along:
            z = convolution(x, kernel, (1, 1), "SAME", (1, 1))
        with tf.GradientTape() as tape:
            tape.watch(x)
            flat = tf.reshape(convolution(x, kernel, (1, 1), "SAME", (1, 1)), [2, -1])
        return along.jvp(z), tape.batch_jacobian(flat, x)

    assert not in_xla()
    for ours, expected in zip(tf.function(derivatives, jit_compile=True)(x), derivatives(x), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("make", [ConvNet, ResidualNet])
def test_networks_in_a_loop(make):
    net = make(4, out_channels=2, zero_last=False, dtype="float64")
    x = draw(3, 4, 4, 2)
    net(x)

    def loss_and_gradients(x):
        with tf.GradientTape() as tape:
            h = tf.while_loop(lambda i, h: i < 2, lambda i, h: (i + 1, tf.sin(net(h))), (0, x), maximum_iterations=2)[1]
            loss = tf.reduce_sum(h)
        return tape.gradient(loss, [w.value for w in net.trainable_variables])

    compiled = tf.function(loss_and_gradients, jit_compile=True, autograph=False)
    for ours, expected in zip(compiled(x), loss_and_gradients(x), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


def messages(run):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        run()
    return " ".join(str(w.message) for w in found if "XLA" in str(w.message))


@pytest.mark.parametrize("fast", [True, False], ids=["oneDNN", "Eigen"])
def test_who_asks_for_xla_hears_where_it_is_the_slower(fast, monkeypatch):
    if tf.config.list_logical_devices("GPU"):
        pytest.skip("XLA is not slower on a GPU")
    monkeypatch.setattr(_pywrap_util_port, "IsMklEnabled", lambda: fast)
    model = DensityModel(glow(event_shape=(4, 4, 1), levels=1, depth=1, hidden=4))
    x = np.random.default_rng(0).normal(size=(4, 4, 4, 1)).astype("float32")

    def fit(jit):
        model.compile("adam", jit_compile=jit)
        model.fit(x, batch_size=4, verbose=0)

    assert not messages(lambda: fit(False))
    assert ("leave jit_compile out" in messages(lambda: fit(True))) == fast


@pytest.mark.parametrize("fast", [True, False], ids=["oneDNN", "Eigen"])
@pytest.mark.parametrize(("factory", "size"), [(spline_flow, 4), (residual_flow, 2)], ids=["splines", "residual"])
def test_steps_that_are_slower_within_xla_where_there_is_no_onednn(factory, size, fast, monkeypatch):
    if tf.config.list_logical_devices("GPU"):
        pytest.skip("XLA is not slower on a GPU")
    monkeypatch.setattr(_pywrap_util_port, "IsMklEnabled", lambda: fast)
    flow = factory(event_shape=size, depth=2, hidden=(4,))
    x = tf.random.stateless_normal([4, *flow.event_shape], [0, 1])

    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(flow.log_prob(x))
        return tape.gradient(loss, flow.trainable_variables[0])

    assert ("without oneDNN" in messages(lambda: tf.function(step, jit_compile=True, autograph=False)(x))) == (not fast)
    assert not messages(lambda: tf.function(step, autograph=False)(x))
    assert not messages(lambda: tf.function(flow.log_prob, jit_compile=True, autograph=False)(x))


@pytest.mark.parametrize(("gradient", "told"), [("autodiff", True), ("neumann", False)])
def test_a_random_number_of_terms_of_images_whose_products_xla_keeps(gradient, told):
    shape = (4, 4, 1)
    flow = residual_flow(event_shape=shape, depth=1, hidden=4, log_det=RussianRoulette(gradient=gradient))
    x = tf.ones([2, *shape])

    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(flow.log_prob(x))
        return tape.gradient(loss, flow.trainable_variables[0])

    assert ("neumann" in messages(lambda: tf.function(step, jit_compile=True, autograph=False)(x))) == told
    assert "neumann" not in messages(lambda: tf.function(flow.log_prob, jit_compile=True, autograph=False)(x))
    assert "neumann" not in messages(lambda: tf.function(step, autograph=False)(x))
