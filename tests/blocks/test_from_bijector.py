"""FromBijector: variables that train, shapes, bounds against singular values, files, and what is refused."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from inntf import Flow
from inntf.blocks import AffineCoupling, FromBijector
from inntf.compose import Chain, Repeat
from inntf.models import DensityModel
from inntf.nets import MLP
from inntf.stability import singular_values

tfb = tfp.bijectors
TRIANGLE = np.array([[1.5, 0.0, 0.0], [-0.4, 0.7, 0.0], [2.0, 0.3, -1.1]])
REFLECTION = np.array([0.6, 0.0, 0.8])

# Each with whether its bounds are exact, on a box of positive numbers below 1.
KNOWN = {
    "scale": (lambda: tfb.Scale(np.array([-2.0, 0.5, 1.0])), True),
    "shift": (lambda: tfb.Shift(np.float64(1e6)), True),
    "diagonal": (lambda: tfb.ScaleMatvecDiag(np.array([3.0, -0.2, 1.0])), True),
    "triangle": (lambda: tfb.ScaleMatvecTriL(TRIANGLE), True),
    "lu": (lambda: tfb.ScaleMatvecLU(TRIANGLE + np.eye(3), [2, 0, 1]), True),
    "householder": (lambda: tfb.Householder(REFLECTION), True),
    "cumsum": (lambda: tfb.Cumsum(), True),
    "softplus": (lambda: tfb.Softplus(hinge_softness=np.float64(0.5), low=np.float64(1.0)), True),
    "sigmoid": (lambda: tfb.Sigmoid(np.float64(-1.0), np.float64(3.0)), True),
    "log": (lambda: tfb.Invert(tfb.Exp()), True),
    "tanh": (lambda: tfb.Tanh(), True),
    "normal": (lambda: tfb.NormalCDF(), True),
    "softsign": (lambda: tfb.Softsign(), True),
    "sinh": (lambda: tfb.Sinh(), True),
    "expm1": (lambda: tfb.Expm1(), True),
    "power": (lambda: tfb.Power(np.float64(3.0)), True),
    "chain": (lambda: tfb.Chain([tfb.Softplus(), tfb.ScaleMatvecTriL(TRIANGLE), tfb.Exp()]), False),
}


@pytest.mark.parametrize(("make", "exact"), KNOWN.values(), ids=KNOWN)
def test_bounds_hold_on_a_box(make, exact):
    block = FromBijector(make(), dtype="float64").ensure_built((3,))
    box = (0.2, 0.9)
    corners = np.stack(np.meshgrid(*[box] * 3), -1).reshape(-1, 3)
    x = tf.constant(np.concatenate([corners, np.random.default_rng(0).uniform(*box, (40, 3))]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = block.forward_and_log_det(x)[0]
    singular = np.linalg.svd(tape.batch_jacobian(z, x).numpy(), compute_uv=False)
    bounds = block.lipschitz_bounds(box)
    largest, smallest = singular.max(), singular.min()
    assert largest <= bounds.forward * (1 + 1e-9) and 1 / smallest <= bounds.inverse * (1 + 1e-9)
    if exact:
        assert bounds.forward <= largest * (1 + 1e-6) and bounds.inverse <= (1 + 1e-6) / smallest
    low, high = block.image_box(box)
    assert np.all(z >= low - 1e-9) and np.all(z <= high + 1e-9)


def test_what_is_not_known_is_infinite_with_the_reason():
    block = FromBijector(tfb.Chain([tfb.Scale(2.0), tfb.SinhArcsinh(0.1)])).ensure_built((2,))
    bounds = block.lipschitz_bounds((0.0, 1.0))
    assert math.isinf(bounds.forward) and "SinhArcsinh" in bounds.reason
    assert "not built" in FromBijector(tfb.Exp()).lipschitz_bounds().reason


def test_local_maps_are_those_of_the_bijector():
    x, radius = np.array([[0.3, -0.2, 0.1]]), np.array([0.1])
    block = FromBijector(tfb.ScaleMatvecTriL(TRIANGLE), dtype="float64").ensure_built((3,))
    found = block.local_map(x, radius)
    np.testing.assert_allclose(found.jacobian[0], TRIANGLE, atol=1e-12)
    assert found.deviation[0] == 0
    found = FromBijector(tfb.Tanh(), dtype="float64").ensure_built((3,)).local_map(x, radius)
    assert 0 < found.deviation[0] < 0.1 and found.jacobian[0, 0, 1] == 0
    assert float(singular_values(block, x).largest[0]) == pytest.approx(np.linalg.norm(TRIANGLE, 2))


def test_fit_trains_what_is_in_the_bijector_and_each_name_sees_it():
    loc, scale = tf.Variable([0.0, 0.0]), tfp.util.TransformedVariable([1.0, 1.0], tfb.Softplus())
    block = FromBijector(tfb.Invert(tfb.Chain([tfb.Shift(loc), tfb.ScaleMatvecDiag(scale)])))
    wanted = {id(loc), id(scale.pretransformed_input)}
    assert {id(v.value) for v in block.trainable_weights} == wanted
    assert {id(v) for v in tfb.Invert(block).trainable_variables} == wanted
    data = (np.array([3.0, -1.0]) + np.array([0.5, 2.0]) * np.random.default_rng(0).standard_normal((512, 2))).astype(
        np.float32
    )
    model = DensityModel(Chain([block]), event_shape=(2,))
    model.compile(keras.optimizers.Adam(0.3))
    model.fit(data, batch_size=128, epochs=12, verbose=0)
    np.testing.assert_allclose(loc, data.mean(0), atol=0.4)
    np.testing.assert_allclose(tf.convert_to_tensor(scale), data.std(0), rtol=0.3)


def test_no_stale_value_after_a_weight_has_changed():
    scale = tf.Variable(2.0)
    block, x = FromBijector(tfb.Scale(scale)), tf.ones([1, 3])
    first = block.forward_and_log_det(x)
    scale.assign(3.0)
    second = block.forward_and_log_det(x)
    assert float(first[0][0, 0]) == 2.0 and float(second[0][0, 0]) == 3.0
    assert float(second[1][0]) == pytest.approx(3 * math.log(3.0))


@pytest.mark.parametrize("backprop", ["stored", "reversible"])
def test_in_a_scanned_stack_each_step_has_its_own_variables(backprop):
    stack = Repeat(lambda: FromBijector(tfb.Scale(tf.Variable(1.5))), 3, backprop=backprop).ensure_built((2,))
    assert len(stack.trainable_weights) == 1
    stack.trainable_weights[0].assign([2.0, 3.0, 5.0])
    x = tf.ones([1, 2])
    with tf.GradientTape() as tape:
        z, log_det = stack.forward_and_log_det(x)
    np.testing.assert_allclose(z, [[30.0, 30.0]])
    assert float(log_det[0]) == pytest.approx(2 * math.log(30.0), rel=1e-6)
    gradient = tape.gradient(z, stack.trainable_weights[0].value)
    np.testing.assert_allclose(gradient, [30.0, 20.0, 12.0], rtol=1e-5)


def test_shapes_may_change_and_events_have_any_rank():
    block = FromBijector(tfb.Reshape([2, 2, 1], event_shape_in=[4]))
    z, log_det = block.forward_and_log_det(tf.reshape(tf.range(8.0), [2, 4]))
    assert z.shape == (2, 2, 2, 1) and log_det.numpy().tolist() == [0.0, 0.0]
    assert block.inverse_and_log_det(tf.identity(z))[0].shape == (2, 4)
    flow = Flow(FromBijector(tfb.Invert(tfb.FillTriangular())), event_shape=(2, 2))
    assert flow.sample(3, seed=1).shape == (3, 2, 2)
    images = FromBijector(tfb.Scale(2.0))
    assert float(images.forward_and_log_det(tf.ones([1, 2, 2, 3]))[1][0]) == pytest.approx(12 * math.log(2.0))


def test_keras_networks_of_a_bijector_are_weights_too():
    net = keras.Sequential([keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(2)])

    def shift_and_log_scale(x, units, **kwargs):
        return tf.split(net(x), 2, -1)

    hidden = FromBijector(tfb.RealNVP(num_masked=1, shift_and_log_scale_fn=shift_and_log_scale)).ensure_built((2,))
    assert not hidden.trainable_weights  # in a function nobody finds it
    shift_and_log_scale = _Network(net)
    block = FromBijector(tfb.RealNVP(num_masked=1, shift_and_log_scale_fn=shift_and_log_scale)).ensure_built((2,))
    assert len(block.trainable_weights) == 4
    x = tf.constant([[0.3, -0.7]])
    z = block.forward_and_log_det(x)[0]
    np.testing.assert_allclose(block.inverse_and_log_det(tf.identity(z))[0], x, atol=1e-6)
    with pytest.raises(TypeError, match="shift_and_log_scale_fn"):
        block.get_config()


class _Network(keras.layers.Layer):
    def __init__(self, net):
        super().__init__()
        self._allow_non_tensor_positional_args = True
        self.net = net

    def call(self, x, units, **kwargs):
        return tf.split(self.net(x), 2, -1)


def test_configuration_is_plain_and_makes_classes_of_tfp_alone():
    block = FromBijector(tfb.Chain([tfb.Shift(tf.Variable([1.0, 2.0])), tfb.Softplus(hinge_softness=0.5)]), name="stock")
    config = json.loads(json.dumps(block.get_config()))
    again = FromBijector.from_config(config)
    np.testing.assert_array_equal(again(tf.ones([1, 2])), block(tf.ones([1, 2])))
    assert again.weights[0].value is not block.weights[0].value
    config["bijector"]["of"] = "bijector"
    with pytest.raises(ValueError, match="tfp.bijectors"):
        FromBijector.from_config(config)


def test_another_dtype_makes_the_bijector_again():
    scale = tf.Variable([0.1, 3.0])
    wide = FromBijector(tfb.Scale(scale), dtype="float64")
    assert wide.weights[0].dtype == "float64" and wide(np.ones([1, 2])).dtype == tf.float64
    assert FromBijector(tfb.Scale(np.float64(2.0))).variable_dtype == "float64"


class Mine(tfb.Bijector):
    def __init__(self):
        super().__init__(forward_min_event_ndims=0, parameters={})

    def _forward(self, x):
        return 2 * x

    def _inverse(self, y):
        return y / 2

    def _forward_log_det_jacobian(self, x):
        return tf.fill(tf.shape(x), tf.math.log(2.0))


def test_a_bijector_of_ones_own_works_and_says_what_it_lacks():
    block = FromBijector(Mine())
    flow = Flow(block, event_shape=(2,))
    assert float(flow.log_prob(tf.zeros([1, 2]))[0]) == pytest.approx(2 * math.log(2.0) - math.log(2 * math.pi))
    for call in (block.get_config, block.copy, lambda: FromBijector(Mine()).copy(dtype="float64")):
        with pytest.raises(TypeError, match="class Mine"):
            call()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: FromBijector(3.0), TypeError, "a TFP bijector"),
        (lambda: FromBijector(AffineCoupling(conditioner=MLP((4,)))), TypeError, "as it is"),
        (lambda: FromBijector(tfb.AbsoluteValue()), ValueError, "injective"),
        (lambda: FromBijector(tfb.Split(2)), ValueError, "several events"),
        (lambda: FromBijector(tfb.CholeskyOuterProduct(), event_ndims=1), ValueError, "at least 2"),
        (lambda: FromBijector(tfb.ScaleMatvecDiag(np.ones([4, 3], np.float32)))(tf.ones([4, 3])), ValueError, "batch of bij"),
    ],
)
def test_what_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()
