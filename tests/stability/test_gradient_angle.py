"""Angles between stored and reversible gradients."""

import math

import numpy as np
import pytest
import tensorflow as tf

from inntf import blocks as b
from inntf.compose import Chain, Repeat
from inntf.nets import MLP
from inntf.numerics.transformers.scales import Scale
from inntf.stability import gradient_angle
from inntf.stability.gradient_angle import angle_between


def net(channels):
    return MLP((4,), out_channels=channels, activation="tanh", zero_last=False)


def step(i, dtype="float64", scale=None):
    return Chain(
        [
            b.InvertibleLinear(seed=i, dtype=dtype),
            b.Permutation.reverse(dtype=dtype),
            b.AffineCoupling(conditioner=net, scale=scale, dtype=dtype),
        ]
    )


class Tiny(Scale):
    low, high, lipschitz = 0.0, 1.0, 1.0

    def log_scale(self, raw):
        return tf.fill(tf.shape(raw), tf.constant(math.log(1e-7), raw.dtype))


def batches(dtype, n=2):
    return [tf.random.stateless_normal([6, 4], [i, 0], dtype=dtype) for i in range(n)]


def test_the_angle_itself():
    assert abs(angle_between(np.array([1.0, 0.0]), np.array([1.0, 1.0])) - math.pi / 4) < 1e-12
    assert abs(angle_between(np.array([1.0, 0.0]), np.array([1.0, 1e-9])) - 1e-9) < 1e-15  # arccos would say 0
    assert abs(angle_between(np.array([1.0, 0.0]), np.array([-2.0, 0.0])) - math.pi) < 1e-12


@pytest.mark.parametrize("kind", [Chain, Repeat])
def test_float64_gradients_agree(kind):
    model = Repeat(step, 3) if kind is Repeat else Chain([step(i) for i in range(3)])
    model.initialize(batches("float64")[0])
    result = gradient_angle(model, batches("float64"))
    assert result.angles.shape == (2,) and result.max < 1e-6
    assert result.nonfinite_stored == result.nonfinite_reversible == 0


def test_float32_additive_is_below_one_degree():
    model = Repeat(lambda: Chain([b.AdditiveCoupling(conditioner=net), b.Permutation.reverse()]), 128)
    model(batches("float32")[0])
    assert gradient_angle(model, batches("float32", 1)).degrees < 1.0


def test_a_broken_inverse_shows_and_the_guard_mends_it():
    model = Repeat(lambda i: step(i, "float32", Tiny()), 4)
    model(batches("float32")[0])
    open_ = gradient_angle(model, batches("float32"))
    assert open_.nonfinite_reversible or open_.degrees > 10
    guarded = gradient_angle(model, batches("float32"), guarded=True)
    assert guarded.nonfinite_reversible == 0 and np.degrees(guarded.max) < 0.1


def test_nonfinite_gradients_are_counted_not_averaged():
    model = Chain([step(0), step(1)])
    model(batches("float64")[0])
    bad = [*batches("float64"), batches("float64")[0] * float("nan")]
    result = gradient_angle(model, bad)
    assert result.nonfinite_stored == result.nonfinite_reversible == 1
    assert np.isnan(result.angles[2]) and result.max < 1e-6


def test_another_loss_and_no_batch():
    model = Chain([step(0), step(1)])
    model(batches("float64")[0])
    assert gradient_angle(model, batches("float64"), lambda m, x: tf.reduce_sum(m(x) ** 4)).max < 1e-6
    with pytest.raises(ValueError, match="no batch"):
        gradient_angle(model, [])
