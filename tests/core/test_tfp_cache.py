"""TFP's cache and conditions: it tells them apart by identity, so an array or a variable counts as what it holds now."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from inntf.blocks import ActNorm, AffineCoupling
from inntf.compose import Chain
from inntf.nets import MLP

X = tf.random.stateless_normal([6, 4], [1, 2])
ZEROS, ONES = (np.full((6, 3), value, np.float32) for value in (0.0, 1.0))


def fill(array, value):
    array[...] = value


HOLDERS = {
    "array": (np.array, fill),
    "tf.Variable": (tf.Variable, lambda variable, value: variable.assign(value)),
    "keras.Variable": (keras.Variable, lambda variable, value: variable.assign(value)),
}
# What is kept alive keeps the cache's entry alive.
ASK = {
    "forward": lambda block, c: block.forward(X, condition=c),
    "inverse": lambda block, c: block.inverse(X, condition=c),
    "forward's log-det": lambda block, c: [block.forward(X, condition=c), block.forward_log_det_jacobian(X, condition=c)],
    "inverse's log-det": lambda block, c: [block.inverse(X, condition=c), block.inverse_log_det_jacobian(X, condition=c)],
    "through Invert": lambda block, c: tfb.Invert(block).forward_log_det_jacobian(X, condition=c),
}


def conditional():
    keras.utils.set_random_seed(1)
    return Chain([ActNorm(), AffineCoupling(conditioner=MLP([8], zero_last=False))]).ensure_built((4,), (3,))


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("kind", HOLDERS)
def test_a_condition_changed_in_place_is_read_anew(kind, ask):
    block, (make, change) = conditional(), HOLDERS[kind]
    condition = make(ZEROS)
    before = ASK[ask](block, condition)
    change(condition, 1.0 if kind == "array" else ONES)
    after = ASK[ask](block, condition)
    tf.nest.map_structure(np.testing.assert_array_equal, before, ASK[ask](conditional(), tf.constant(ZEROS)))
    tf.nest.map_structure(np.testing.assert_array_equal, after, ASK[ask](conditional(), tf.constant(ONES)))


def test_the_same_tensor_is_still_remembered():
    block, condition = conditional(), tf.constant(ONES)
    z = block.forward(X, condition=condition)
    assert block.forward(X, condition=condition) is z
    assert block.inverse(z, condition=condition) is X


def test_a_log_det_of_a_block_that_is_not_built():
    log_det = AffineCoupling().forward_log_det_jacobian(X, event_ndims=1, condition=ONES.tolist())
    assert log_det.shape == (6,)
