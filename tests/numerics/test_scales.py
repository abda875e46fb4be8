"""Scales: the ranges and slopes they declare, and those of other libraries."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.numerics import ExpScale, ReciprocalScale, Scale, SigmoidScale, SoftplusScale

RAW = np.linspace(-12.0, 12.0, 4801)
SCALES = [
    ExpScale(2.0),
    ExpScale(1.5, "tanh", slope=-0.5),
    ExpScale(None),
    SigmoidScale(),
    SigmoidScale(low=0.5),
    SigmoidScale(low=0.2, high=3.0, offset=0.0),
    SoftplusScale(),
    ReciprocalScale(SigmoidScale(low=0.01, high=1.01)),
    ReciprocalScale(SigmoidScale()),
    ReciprocalScale(ExpScale(2.0)),
]


@pytest.mark.parametrize("scale", SCALES, ids=repr)
def test_values_and_slopes_keep_to_what_is_declared(scale):
    values = scale.scale(tf.constant(RAW)).numpy()
    np.testing.assert_allclose(np.log(values), scale.log_scale(tf.constant(RAW)), atol=1e-12)
    assert scale.low <= values.min() and values.max() <= scale.high
    assert np.abs(np.gradient(values, RAW)).max() <= scale.lipschitz * (1 + 1e-9)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(scale))
    np.testing.assert_array_equal(again.scale(tf.constant(RAW)), values)


def test_scales_of_other_libraries_can_be_said():
    raw = tf.constant(RAW)
    freia = ExpScale(0.636 * 1.9 * math.pi / 2).scale(raw)
    np.testing.assert_allclose(freia, np.exp(1.9 * 0.636 * np.arctan(RAW)), rtol=1e-12)
    nflows = SigmoidScale(low=1e-3, high=1 + 1e-3).scale(raw)
    np.testing.assert_allclose(nflows, 1 / (1 + np.exp(-RAW - 2)) + 1e-3, rtol=1e-12)


def test_a_reciprocal_is_one():
    raw = tf.constant(RAW)
    scale = ReciprocalScale(SigmoidScale())
    np.testing.assert_allclose(scale.scale(raw) * SigmoidScale().scale(raw), 1.0, rtol=1e-12)
    assert (scale.low, scale.high, scale.lipschitz) == (1.0, math.inf, math.inf)
    with pytest.raises(TypeError, match="expected a Scale"):
        ReciprocalScale(0.5)


@keras.saving.register_keras_serializable("tests")
class Power(Scale):
    def __init__(self, exponent=1.0):
        self.exponent = exponent

    def log_scale(self, raw):
        return self.exponent * raw


def test_a_scale_of_ones_own_keeps_its_arguments():
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(Power(3.0)))
    assert isinstance(again, Power) and again.exponent == 3.0
    with pytest.raises(TypeError):
        Power(1.0, 2.0)
