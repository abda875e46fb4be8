"""The residual block: its certificate in every mode, precision, failure, training, and what it tells of itself."""

from __future__ import annotations

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import InverseNotReached, ResidualBlock
from inntf.compose import Repeat
from inntf.nets import ConvNet, LipschitzMLP, SpectralConv2D, certify_norms, lipschitz_constant, lipschitz_tensor
from inntf.numerics import PowerSeries


def block(**kwargs):
    kwargs = {"network": LipschitzMLP((8,), coefficient=0.8, dtype=kwargs.get("dtype", "float32")), "seed": 0, **kwargs}
    return ResidualBlock(**kwargs).ensure_built((3,))


def data(n=5, dim=3, seed=0, dtype="float32"):
    return tf.constant(np.random.default_rng(seed).normal(size=(n, dim)), dtype)


def hard(lipschitz, dim=3, **kwargs):
    """g(x) = -L x: the bound is attained, and x = z / (1 - L)."""
    network = keras.layers.Dense(dim, use_bias=False, dtype=kwargs.get("dtype", "float32"))
    made = ResidualBlock(network=network, **kwargs).ensure_built((dim,))
    network.kernel.assign(-lipschitz * np.eye(dim))
    return made


@pytest.mark.parametrize("lipschitz", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("refine", [None, "float64"])
def test_certificate_is_true(lipschitz, refine):
    z = data()
    made = hard(lipschitz, refine=refine, tolerance=1e-4)
    x, log_det, certificate = made.inverse_with_certificate(z)
    exact = z.numpy().astype(np.float64) / (1 - np.float64(np.float32(lipschitz)))
    error = np.linalg.norm(x.numpy().astype(np.float64) - exact, axis=1)
    bound, reached = certificate.error_bound.numpy(), certificate.reached.numpy()
    assert np.all(error <= bound)
    assert np.all(bound[reached] <= 1e-4)
    assert reached.all() or (refine is None and lipschitz >= 0.9)  # float32 is too coarse
    if lipschitz < 0.9:  # close to a singular Jacobian the closed form of the determinant has few digits in float32
        np.testing.assert_allclose(log_det, -3 * np.log(1 - lipschitz), rtol=1e-4)
    assert float(certificate.lipschitz) == pytest.approx(lipschitz, rel=1e-5)


def test_shapes_of_a_certificate():
    made = block()
    for lead in ((), (2,), (2, 3), (0,)):
        x, log_det, certificate = made.inverse_with_certificate(tf.zeros([*lead, 3]))
        assert x.shape == (*lead, 3)
        for part in (log_det, certificate.error_bound, certificate.reached, certificate.evaluations):
            assert part.shape == lead


def test_failure_is_never_silent():
    z = data()
    for made, why in (
        (hard(1.0), "certify"),
        (hard(0.99, tolerance=1e-6), "refine"),
        (hard(0.9, tolerance=1e-5, max_evaluations=2, memory=0), "2 evaluations"),
    ):
        with pytest.raises(InverseNotReached, match=why):
            made.inverse_and_log_det(z)
        with pytest.raises(tf.errors.InvalidArgumentError, match="InverseNotReached"):
            tf.function(made.inverse_and_log_det)(z)
        _, _, certificate = made.inverse_with_certificate(z)
        assert not certificate.reached.numpy().any()
        flagged = made.copy(on_failure="flag")
        assert np.isfinite(flagged.inverse_and_log_det(z)[0]).all()
    compiled = tf.function(hard(1.0).inverse_and_log_det, jit_compile=True)
    assert np.isnan(compiled(z)[0]).all(), "XLA drops assertions: then the numbers must not look like an inverse"


def test_constant_is_never_stale():
    made, z = hard(0.5), data()
    graph = tf.function(lambda z: made.inverse_with_certificate(z)[2].lipschitz)
    for lipschitz in (0.5, 0.9, 0.3):
        made.network.kernel.assign(-lipschitz * np.eye(3))
        assert made.certify() == pytest.approx(lipschitz, rel=1e-5)
        assert made.lipschitz_bounds().inverse == pytest.approx(1 / (1 - lipschitz), rel=1e-4)
        assert lipschitz <= float(graph(z)) * (1 + 1e-7) and float(graph(z)) == pytest.approx(lipschitz, rel=3e-3)
    made.network.kernel.assign(-1.5 * np.eye(3))
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.function(made.inverse_and_log_det)(z)
    assert made.lipschitz_bounds().inverse == float("inf")


def test_graph_constant_is_a_bound_for_images():
    made = ResidualBlock(seed=1).ensure_built((6, 6, 3))
    exact = lipschitz_constant(made.network)[0]
    assert exact * (1 - 1e-6) <= float(lipschitz_tensor(made.network)) <= 1.01 * exact


def test_a_certified_block_on_a_tiny_image_is_inverted_in_a_graph_too():
    """On 4x4 pixels the torus is 15 % too large a layer: three layers of 0.9 would look like no contraction."""
    arguments = {"coefficient": 0.9, "update_every_call": False}
    network = ConvNet(
        24,
        activation="elu",
        zero_last=False,
        convolution=SpectralConv2D,
        convolution_arguments=arguments,
        kernel_sizes=(3, 1, 3),
    )
    made = ResidualBlock(network=network, on_failure="raise", seed=1).ensure_built((4, 4, 24))
    for layer in network.convolutions:
        # Positive kernels: all is in the lowest frequency, where a border weighs most.
        layer.kernel.assign(tf.abs(tf.random.stateless_normal(layer.kernel.shape, [3, 4])))
    assert made.certify(rescale=True) == pytest.approx(0.9**3, rel=1e-3)
    x = tf.random.stateless_normal([3, 4, 4, 24], [1, 2])
    z = made.forward_and_log_det(x)[0]
    back = tf.function(lambda z: made.inverse_and_log_det(z)[0])(z)
    np.testing.assert_allclose(back, x, atol=1e-4)


def test_unknown_layer_is_refused_in_a_graph_only():
    network = keras.Sequential([keras.layers.Dense(3), keras.layers.BatchNormalization()])
    made = ResidualBlock(network=network).ensure_built((3,))
    network.layers[0].kernel.assign(0.5 * np.eye(3))
    made.inverse_and_log_det(data())
    with pytest.raises(NotImplementedError, match="lipschitz_tensor"):
        tf.function(made.inverse_and_log_det, autograph=False)(data())


def test_rescaling_makes_a_contraction():
    made = block()
    for v in made.trainable_weights:
        v.assign(v + np.random.default_rng(0).normal(size=v.shape))
    assert made.certify() > 1
    with pytest.raises(InverseNotReached):
        made.inverse_and_log_det(data())
    assert made.certify(rescale=True) <= 0.65
    z, _ = made.forward_and_log_det(data())
    np.testing.assert_allclose(made.inverse_and_log_det(z)[0], data(), atol=1e-5)


def test_training_updates_norms_once_a_call():
    made = block()
    vector = made.network.layers[0].singular_vector
    made.network.layers[0].kernel.assign(np.random.default_rng(1).normal(size=(3, 8)))
    before = vector.numpy()
    made(data())
    np.testing.assert_array_equal(vector, before)
    made(data(), training=True)
    assert not np.allclose(vector, before)
    assert made.certify() <= 0.64 * 1.001
    np.testing.assert_allclose(list(certify_norms(made).values()), 0.8, rtol=0.02)


def test_noise():
    fresh = block(log_det=PowerSeries(5, dense=False))
    x = data()
    first, second = fresh.forward_and_log_det(x)[1], fresh.forward_and_log_det(tf.identity(x))[1]
    assert np.any(first != second) and fresh.tags.stochastic
    fixed = block(log_det=PowerSeries(5, dense=False), noise="fixed")
    np.testing.assert_array_equal(fixed.forward_and_log_det(x)[1], fixed.forward_and_log_det(tf.identity(x))[1])
    assert not fixed.tags.stochastic


def test_reversible_backpropagation_sees_the_noise_of_the_forward_pass():
    """With an estimator that draws, the gradients of a reversible pass are those of the stored one with the same seeds."""
    make = lambda: ResidualBlock(network=LipschitzMLP((6,)), log_det=PowerSeries(4, dense=False), seed=3)  # noqa: E731
    grads, start = {}, None
    for backprop in ("stored", "reversible"):
        flow = Repeat(make, 2, backprop=backprop, drift_tolerance=float("inf")).ensure_built((3,))
        start = start or flow.get_weights()
        flow.set_weights(start)
        with tf.GradientTape() as tape:
            z, log_det = flow.forward_and_log_det(data())
            loss = tf.reduce_sum(tf.square(z)) - tf.reduce_sum(tf.range(5.0) * log_det)
        grads[backprop] = tape.gradient(loss, [v.value for v in flow.trainable_weights])
    for a, b in zip(*grads.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_image_box_holds_the_image():
    made, x = block(), data(200)
    low, high = made.image_box((-1.0, 1.0))
    z, _ = made.forward_and_log_det(tf.clip_by_value(x, -1, 1))
    assert np.all(z >= low) and np.all(z <= high)
    assert np.all(high - low < 2 + 2 * 0.65 * np.sqrt(3) + 1e-3)


def test_bad_arguments_are_refused():
    for kwargs in ({"noise": "loud"}, {"on_failure": "ignore"}, {"refine": "float32"}, {"tolerance": 0.0}):
        with pytest.raises(ValueError, match="expected"):
            ResidualBlock(**kwargs)
    with pytest.raises(ValueError, match="refine"):
        ResidualBlock(refine="float64", dtype="mixed_bfloat16")
    with pytest.raises(ValueError, match="output channels"):
        ResidualBlock(network=keras.layers.Dense(4)).ensure_built((3,))


def test_keras_can_say_in_which_layer_an_inverse_was_not_reached():
    made = hard(1.0)

    class Back(keras.layers.Layer):
        def call(self, z):
            return made.inverse_and_log_det(z)[0]

    with pytest.raises(InverseNotReached, match="certify"):
        Back()(data())


def test_the_error_can_be_pickled_and_copied():
    error = InverseNotReached("not reached")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert isinstance(again, InverseNotReached) and again.message == "not reached"
