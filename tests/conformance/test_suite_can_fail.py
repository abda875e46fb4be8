"""Blocks that are wrong on purpose: each must fail the check that is there for its mistake."""

from __future__ import annotations

import dataclasses

import keras
import pytest
import tensorflow as tf

import inntf
from inntf.core import LipschitzBounds
from tests.conformance import errors, hosts, mathematics, saving, shapes
from tests.conformance.subject import Case, Subject


@keras.saving.register_keras_serializable("inntf_tests")
class Sound(inntf.Block):
    """`z = exp(w) x`, correct: passes every check."""

    def build(self, input_shape):
        self.dense = keras.layers.Dense(input_shape[-1], kernel_initializer="zeros", dtype=self.dtype_policy)
        self.dense.build((None, 1))

    def log_scale(self, x):
        return tf.cast(self.dense(tf.ones([1, 1], x.dtype))[0], x.dtype)

    def forward_and_log_det(self, x, condition=None):
        w = self.log_scale(x)
        return x * tf.exp(w), tf.reduce_sum(w)

    def inverse_and_log_det(self, z, condition=None):
        w = self.log_scale(z)
        return z * tf.exp(-w), -tf.reduce_sum(w)

    def lipschitz_bounds(self, domain=None):
        if not self.built:
            return LipschitzBounds(float("inf"), float("inf"), reason="not built")
        w = self.log_scale(tf.zeros([1, 1], self.variable_dtype))
        return LipschitzBounds(float(tf.exp(tf.reduce_max(w))), float(tf.exp(-tf.reduce_min(w))))


@keras.saving.register_keras_serializable("inntf_tests")
class AntisymmetricButWrong(Sound):
    """Both log-determinants are doubled: opposite to each other, yet wrong."""

    def forward_and_log_det(self, x, condition=None):
        z, log_det = super().forward_and_log_det(x)
        return z, 2 * log_det

    def inverse_and_log_det(self, z, condition=None):
        x, log_det = super().inverse_and_log_det(z)
        return x, 2 * log_det


@keras.saving.register_keras_serializable("inntf_tests")
class StoppedGradient(Sound):
    """The log-determinant is right, its gradient is not."""

    def forward_and_log_det(self, x, condition=None):
        z, log_det = super().forward_and_log_det(x)
        return z, tf.stop_gradient(log_det)


@keras.saving.register_keras_serializable("inntf_tests")
class CoarseInverse(Sound):
    """The inverse is off by a part in a thousand."""

    def inverse_and_log_det(self, z, condition=None):
        x, log_det = super().inverse_and_log_det(z)
        return 1.001 * x, log_det


@keras.saving.register_keras_serializable("inntf_tests")
class RunsTwice(Sound):
    """Evaluates its network twice."""

    def log_scale(self, x):
        return 0.5 * (super().log_scale(x) + super().log_scale(x))


@keras.saving.register_keras_serializable("inntf_tests")
class Untracked(Sound):
    """Holds a raw tf.Variable, different in each block, that Keras does not see."""

    def build(self, input_shape):
        super().build(input_shape)
        object.__setattr__(self, "hidden", [tf.Variable(tf.random.normal([], dtype=self.variable_dtype))])

    def log_scale(self, x):
        return super().log_scale(x) + self.hidden[0]


@keras.saving.register_keras_serializable("inntf_tests")
class TooSure(Sound):
    """Claims tighter bounds than it has."""

    def lipschitz_bounds(self, domain=None):
        forward, inverse = super().lipschitz_bounds()
        return LipschitzBounds(0.9 * forward, inverse)


@keras.saving.register_keras_serializable("inntf_tests")
class ForgetsAFactor(Sound):
    """Its Jacobians in balls are right, the bound that it says to know besides is another map's."""

    def local_map(self, x, radius, condition=None, inverse=False):
        return dataclasses.replace(super().local_map(x, radius, condition, inverse), bound=0.5)


@keras.saving.register_keras_serializable("inntf_tests")
class Mixing(Sound):
    """Normalizes by the batch."""

    def forward_and_log_det(self, x, condition=None):
        z, log_det = super().forward_and_log_det(x)
        return z - tf.reduce_mean(z, 0), log_det


def make(cls) -> Subject:
    return Subject("sound", Case(lambda dtype: cls(dtype=dtype), (3,)), "float64")


CHECKS = {
    name: check
    for module in (mathematics, shapes, hosts, saving, errors)
    for name, check in vars(module).items()
    if name.startswith("check_")
}


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_block_passes(check):
    CHECKS[check](make(Sound))


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (AntisymmetricButWrong, "forward_log_det_is_that_of_the_jacobian"),
        (AntisymmetricButWrong, "inverse_log_det_is_that_of_the_jacobian"),
        (StoppedGradient, "gradients_of_forward_agree_with_finite_differences"),
        (CoarseInverse, "inverse_undoes_forward"),
        (CoarseInverse, "forward_undoes_inverse"),
        (RunsTwice, "networks_run_once_a_log_prob"),
        (Untracked, "checkpoint"),
        (TooSure, "lipschitz_bounds_hold"),
        (TooSure, "slopes_in_balls_are_certified"),
        (ForgetsAFactor, "slopes_in_balls_are_certified"),
        (Mixing, "samples_do_not_mix"),
        (Mixing, "batch_of_one_is_a_row_of_the_batch"),
    ],
)
def test_a_wrong_block_fails(cls, check):
    with pytest.raises(AssertionError):
        CHECKS["check_" + check](make(cls))


def test_antisymmetric_log_dets_pass_the_weak_check():
    """Why the Jacobian is needed: the weak check is content."""
    mathematics.check_log_dets_are_opposite_at_the_recovered_point(make(AntisymmetricButWrong))
