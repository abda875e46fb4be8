"""What is settled where a method is entered: conditions that do not fit, empty batches, dtypes of parts."""

import numpy as np
import pytest
import tensorflow as tf

import inntf
from inntf.blocks import ActNorm, AffineCoupling, Squeeze
from inntf.compose import Chain, Multiscale
from inntf.nets import MLP, ConvNet


def test_a_condition_for_another_batch_is_refused():
    block = AffineCoupling(conditioner=MLP((4,)))
    block.forward_and_log_det(tf.zeros([4, 2]), tf.zeros([4, 3]))
    with pytest.raises(ValueError, match="one for all"):
        block.forward_and_log_det(tf.zeros([4, 2]), tf.zeros([3, 3]))
    assert block.forward_and_log_det(tf.zeros([2, 4, 2]), tf.zeros([4, 3]))[1].shape == (2, 4)


def test_an_empty_batch_initializes_nothing():
    block = ActNorm().ensure_built((3,))
    with pytest.raises(ValueError, match="empty batch"):
        block.initialize(tf.zeros([0, 3]))
    for weight in block.get_weights():
        np.testing.assert_array_equal(weight, 0)


def test_networks_without_a_dtype_take_the_blocks():
    for net, x in ((MLP((4,)), tf.zeros([2, 4], tf.float64)), (ConvNet(4), tf.zeros([2, 4, 4, 2], tf.float64))):
        block = AffineCoupling(conditioner=net, dtype="float64")
        block.forward_and_log_det(x)
        assert {w.dtype for w in block.weights} == {"float64"}
    kept = AffineCoupling(conditioner=MLP((4,), dtype="float32"), dtype="float64")
    kept.forward_and_log_det(tf.zeros([2, 4], tf.float64))
    assert {w.dtype for w in kept.weights} == {"float32"}


def test_compositions_take_the_widest_dtype_of_their_parts():
    level = Chain([Squeeze(), AffineCoupling(conditioner=ConvNet(4), dtype="float64")])
    z, log_det = Multiscale([level], priors="learned").forward_and_log_det(tf.zeros([2, 4, 4, 1], tf.float64))
    assert z.dtype == tf.float64 and log_det.dtype == tf.float64


def test_a_first_input_of_rank_three_must_be_declared():
    with pytest.raises(ValueError, match="event_ndims"):
        ActNorm().forward_and_log_det(tf.zeros([2, 3, 4]))
    assert ActNorm(event_ndims=1).forward_and_log_det(tf.zeros([2, 3, 4]))[1].shape == (2, 3)
    assert ActNorm(event_ndims=3).forward_and_log_det(tf.zeros([2, 3, 4]))[1].shape == ()


def test_a_constructor_that_forgets_the_base_class_is_refused_where_the_block_is_made():
    class Forgetful(inntf.Block):
        def __init__(self, rate=1.0):
            self.rate = rate

        def forward_and_log_det(self, x, condition=None):
            return x, tf.zeros([])

    class Calls(Forgetful):
        def __init__(self):
            inntf.Block.__init__(self)

    with pytest.raises(TypeError, match=r"Forgetful.__init__: received .*super\(\).__init__\(\)"):
        Forgetful()
    assert Calls().forward(tf.ones([2, 3])).shape == (2, 3)  # a parent's mistake that the child makes good
