"""Implicit gradients of the inverse of a contraction, first and second, against finite differences."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from inntf.numerics import contraction_inverse, jvp

RNG = np.random.default_rng(0)
W1, W2 = (w * 0.9 / np.linalg.norm(w, 2) for w in (RNG.normal(size=(4, 6)), RNG.normal(size=(6, 4))))
LIPSCHITZ = 0.81 + 1e-9
COTANGENT = RNG.normal(size=(3, 4))


def g(x, w1, w2):
    return tf.tanh(x @ w1 + 0.3) @ w2


def variables():
    return [tf.Variable(v) for v in (np.random.default_rng(1).normal(size=(3, 4)), W1, W2)]


def both(vs):
    """A scalar of the root, a scalar of its gradients, and the gradients of each."""
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            z, *weights = [tf.identity(v) for v in vs]
            x = contraction_inverse(g, z, weights, LIPSCHITZ).x
            value = tf.reduce_sum(COTANGENT * x + tf.sin(x))
        first = inner.gradient(value, vs)
        second_value = tf.add_n([tf.reduce_sum(tf.sin(f) * f) for f in first])
    return value, second_value, first, outer.gradient(second_value, vs)


def test_first_and_second_derivatives():
    vs = variables()
    run = tf.function(lambda: both(vs), autograph=False)
    _, _, first, second = run()
    for v, f, s in zip(vs, first, second, strict=True):
        direction, start = RNG.normal(size=v.shape), v.numpy()
        values = []
        for step in (1e-6, -1e-6):
            v.assign(start + step * direction)
            values.append([float(a) for a in run()[:2]])
        v.assign(start)
        slopes = (np.array(values[0]) - values[1]) / 2e-6
        np.testing.assert_allclose([np.sum(f * direction), np.sum(s * direction)], slopes, rtol=1e-5, atol=1e-6)


def test_jacobian_product_of_the_inverse():
    """By two backward passes: the second differentiates the transposed solve."""
    z, v = tf.constant(RNG.normal(size=(3, 4))), tf.constant(RNG.normal(size=(3, 4)))
    inverse = lambda z: contraction_inverse(g, z, [tf.constant(W1), tf.constant(W2)], LIPSCHITZ).x  # noqa: E731
    product = jvp(inverse, z, v)
    x = inverse(z)
    forward = jvp(lambda x: x + g(x, tf.constant(W1), tf.constant(W2)), x, product)
    np.testing.assert_allclose(forward, v, atol=1e-10)


def test_third_derivative_is_refused():
    a = tf.constant([[0.5]], tf.float64)
    try:
        with tf.GradientTape() as one:
            one.watch(a)
            with tf.GradientTape() as two:
                two.watch(a)
                with tf.GradientTape() as three:
                    three.watch(a)
                    x = contraction_inverse(lambda x, a: 0.5 * tf.sin(a * x), tf.ones([1, 1], tf.float64), [a], 0.9).x
                first = three.gradient(x, a)
            second = two.gradient(first, a)
        one.gradient(second, a)
    except LookupError as error:
        assert "no third" in str(error)
    else:
        raise AssertionError("a third derivative came out")


def test_gradient_without_convergence_is_not_a_number():
    """A wrong bound of 1: there is no gradient, and no silent zero."""
    z = tf.constant([[1.0]])
    with tf.GradientTape() as tape:
        tape.watch(z)
        x = contraction_inverse(lambda x: 0.5 * x, z, [], 1.0).x
    assert np.isnan(tape.gradient(x, z)).all()
