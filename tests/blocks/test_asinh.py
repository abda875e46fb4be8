"""`Asinh`: the formula, the tails, and bounds that are attained."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import Asinh
from inntf.core.straight_line import straight_line


def test_the_formula_and_its_slope():
    x = np.array([[0.3, -2.0, 1e5]])
    z, log_det = Asinh([0.0, 1.0, -3.0], [0.5, 2.0, 1.0], dtype="float64").forward_and_log_det(tf.constant(x))
    u = (x - [0.0, 1.0, -3.0]) / [0.5, 2.0, 1.0]
    np.testing.assert_allclose(z, np.log(u + np.sqrt(1 + u**2)), rtol=1e-9)
    assert float(log_det[0]) == pytest.approx(-np.log([0.5, 2.0, 1.0]).sum() - 0.5 * np.log1p(u**2).sum(), abs=1e-9)


def test_the_far_tails_are_finite_both_ways():
    x = tf.constant([[-1e30], [1e-30], [1e30]])
    z, log_det = Asinh().forward_and_log_det(x)
    assert np.isfinite(z).all() and np.isfinite(log_det).all()
    np.testing.assert_allclose(Asinh().inverse_and_log_det(tf.identity(z))[0], x, rtol=1e-4)


def test_operations_for_other_runtimes_give_the_same():
    x = tf.constant([[-1e30], [-3.0], [0.0], [1e-3], [2e4]])
    z, log_det = Asinh(scale=2.0).forward_and_log_det(x)
    with straight_line():
        again, its = Asinh(scale=2.0).forward_and_log_det(x)
        back = Asinh(scale=2.0).inverse_and_log_det(tf.identity(z))[0]
    np.testing.assert_allclose(again, z, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(its, log_det, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(back, x, rtol=1e-4, atol=1e-6)


def test_bounds_on_a_box_are_attained():
    block = Asinh(1.0, 2.0, dtype="float64").ensure_built((1,))
    bounds = block.lipschitz_bounds((-7.0, 3.0))
    assert bounds.forward == pytest.approx(0.5) and bounds.inverse == pytest.approx(2.0 * np.hypot(1.0, 4.0))
    free = block.lipschitz_bounds()
    assert free.forward == pytest.approx(0.5) and np.isinf(free.inverse) and "pass a domain" in free.reason


@pytest.mark.parametrize(
    "arguments", [{"scale": 0.0}, {"scale": [1.0, -1.0]}, {"shift": np.nan}, {"shift": [[1.0]]}, {"scale": "a"}]
)
def test_numbers_that_are_none(arguments):
    with pytest.raises(ValueError, match="the scale above 0"):
        Asinh(**arguments)
    with pytest.raises(ValueError, match="one for each"):
        Asinh([1.0, 2.0])(tf.zeros([1, 3]))
