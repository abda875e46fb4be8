"""Derivatives at points where a formula changes sides: zero, the middle, a kink's place; automatic ones may see none."""

import numpy as np
import pytest
import tensorflow as tf

from inntf import blocks as b

DOUBLE = {"dtype": "float64"}
INF = float("inf")
ENTRYWISE = {
    "bounded": (lambda: b.Bounded(0.0, 1.0, **DOUBLE), 0.5),
    "low": (lambda: b.Bounded(1.0, INF, **DOUBLE), 2.0),
    "high": (lambda: b.Bounded(-INF, 1.0, **DOUBLE), 0.0),
    "tanh": (lambda: b.Tanh(**DOUBLE), 0.0),
    "asinh": (lambda: b.Asinh(0.7, 2.0, **DOUBLE), 0.7),
    "softplus": (lambda: b.Softplus(**DOUBLE), 0.0),
    "soft tails": (lambda: b.SoftTails(3.0, **DOUBLE), 0.0),
    "logit": (lambda: b.Logit(**DOUBLE), 0.5),
}


def derivatives(way, at):
    """The slope by automatic differentiation, `exp(log_det)`, and the log-determinant's first two derivatives."""
    x = tf.constant([[at]], tf.float64)
    with tf.GradientTape(persistent=True) as second:
        second.watch(x)
        with tf.GradientTape(persistent=True) as first:
            first.watch(x)
            value, log_det = way(x)
        slope, of_log_det = first.gradient(value, x), first.gradient(log_det, x)
        of_log_det = tf.zeros_like(x) if of_log_det is None else tf.identity(of_log_det)
    curvature = second.gradient(of_log_det, x)
    numbers = [slope, tf.exp(log_det), of_log_det, tf.zeros_like(x) if curvature is None else curvature]
    return np.array([float(tf.squeeze(n)) for n in numbers])


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("kind", ENTRYWISE)
def test_in_the_middle_derivatives_are_those_beside_it(kind, inverse):
    make, at = ENTRYWISE[kind]
    block = make()
    if inverse:
        at = float(block.forward_and_log_det(tf.constant([[at]], tf.float64))[0][0, 0])
    way = block.inverse_and_log_det if inverse else block.forward_and_log_det
    there, beside = derivatives(way, at), derivatives(way, at + 1e-7)
    assert abs(there[0]) == pytest.approx(there[1], rel=1e-12)
    np.testing.assert_allclose(there, beside, rtol=1e-5, atol=1e-5)


def test_where_the_quadratic_formula_of_a_radial_block_changes():
    block = b.Radial(**DOUBLE).ensure_built((2,))
    for variable, value in zip(block.variables, ([0.2, -0.1], 0.3, 0.8), strict=True):
        variable.assign(value)
    c, alpha, q = (np.asarray(part) for part in block._of_weights(tf.float64))
    z = tf.constant([[c[0] + q * alpha, c[1]], [c[0], c[1] - q * alpha]])
    with tf.GradientTape() as tape:
        tape.watch(z)
        x, log_det = block.inverse_and_log_det(z)
    jacobian = tape.batch_jacobian(x, z).numpy()
    np.testing.assert_allclose(np.linalg.slogdet(jacobian)[1], log_det, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("low", "high"), [(5.0, INF), (-INF, 100.0), (-300.0, INF), (3.0, 7.9), (0.0, INF), (0.0, 100.0), (-100.0, 0.0)]
)
def test_what_is_at_a_bound_counts_as_about_one_rounding_inside(low, high, dtype):
    block = b.Bounded(low, high, dtype=dtype)
    for bound, way in ((low, INF), (high, -INF)):
        if not np.isfinite(bound):
            continue
        at = np.array([[bound]], dtype)
        inside = np.nextafter(at, np.asarray(way, dtype))
        z, beside = (block.forward_and_log_det(tf.constant(x))[0].numpy() for x in (at, inside))
        assert np.all(np.isfinite(z)) and np.all(np.abs(z) >= np.abs(beside) - 1e-6)
        if bound:
            assert np.all(np.abs(z) < 1.2 * np.abs(beside))
        np.testing.assert_allclose(block.inverse_and_log_det(tf.constant(z))[0], at, rtol=0, atol=1e-37)
