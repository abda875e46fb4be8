"""Jacobians of affine maps, whatever digits their shifts hide; compositions are not asked as one."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, Rescale
from inntf.compose import Chain, Invert, Repeat
from inntf.core.local_maps import affine_map
from inntf.stability.ball_certificate import certify_balls

DOUBLE = {"dtype": "float64"}


@pytest.mark.parametrize("shift", [0.0, 1.0, 1e9, 1e30])
@pytest.mark.parametrize("slope", [3.0, 3e-20])
def test_a_large_shift_does_not_hide_the_slope(slope, shift):
    asked = []

    def function(x):
        asked.append(len(x))
        return slope * x[:, ::-1] + shift

    x = np.ones([2, 2])
    found = affine_map(function, x)
    np.testing.assert_allclose(found.jacobian[0], [[0, slope], [slope, 0]], rtol=1e-14, atol=0)
    np.testing.assert_array_equal(found.value, slope + shift)
    assert not found.deviation.any() and len(asked) == 1 if not shift else len(asked) <= 5


def test_what_does_not_move_is_not_known():
    assert np.isinf(affine_map(lambda x: 0 * x + 1, np.ones([2, 2])).deviation).all()
    assert not np.isfinite(affine_map(lambda x: x / 0.0, np.ones([1, 2])).jacobian).any()


@pytest.mark.parametrize("small", [1e-20, 1e-8])
def test_digits_lost_within_a_composition_are_not_lost_to_its_certificate(small):
    norm = ActNorm(**DOUBLE).ensure_built((3,))
    norm.shift.assign(tf.ones(3, tf.float64))
    chain = Chain([Rescale(small, **DOUBLE), norm, Rescale(1 / small, **DOUBLE)])
    for block in (chain, Invert(chain), Invert(Invert(chain)), Invert(Repeat(lambda: Rescale(1.0, **DOUBLE), 2))):
        found = certify_balls(block.ensure_built((3,)), np.zeros([1, 3]), 1e-6)
        for bound in (found.forward, found.inverse):
            assert 1 <= bound[0] < 1 + 1e-6
        assert not found.reasons
