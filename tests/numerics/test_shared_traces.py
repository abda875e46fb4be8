"""One trace for all who would trace the same, and never another's numbers."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import tensorflow as tf

from inntf.numerics.shared_traces import run_shared


def test_callers_of_one_key_share_a_trace_and_get_their_own_numbers():
    traced = []

    def times(x, w):
        traced.append(1)
        return x * w

    out = [float(run_shared("times", lambda x, w: times(x, w), tf.constant(3.0), tf.constant(w))) for w in (1.0, 2.0, 5.0)]
    assert out == [3.0, 6.0, 15.0] and len(traced) == 1
    assert float(run_shared(None, times, tf.constant(2.0), tf.constant(2.0))) == 4.0 and len(traced) == 2


def test_a_function_that_reads_more_than_its_arguments_is_called_as_it_is():
    for value in (1.0, 2.0):
        hidden = tf.Variable(value)
        assert float(run_shared("reads", lambda x, hidden=hidden: x + hidden, tf.constant(1.0))) == 1.0 + value
    for value in (1.0, 2.0):
        hidden = tf.fill([200], value)
        assert float(run_shared("large", lambda x, hidden=hidden: x + hidden[7], tf.constant(1.0))) == 1.0 + value


def test_nothing_is_held():
    class Owner:
        def half(self, x):
            return x / 2

    owner = Owner()
    run_shared("owner", owner.half, tf.constant(1.0))
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    assert float(run_shared("owner", Owner().half, tf.ones([3], tf.float64))[0]) == 0.5  # traced anew, by another


def test_an_exception_of_the_function_is_the_caller_s():
    for _ in range(2):
        try:
            run_shared("wrong", lambda x: x @ tf.ones([3, 3]), tf.ones([2, 2]))
        except ValueError:
            continue
        raise AssertionError("nothing was raised")
    np.testing.assert_array_equal(run_shared("wrong", lambda x: 2 * x, tf.ones([2, 2])), 2 * np.ones([2, 2]))
