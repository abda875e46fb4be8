"""Exp, Softplus, Tanh, Power, LeakyReLU: digits in the tails, domains, slopes on boxes and in balls."""

import math

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import Exp, LeakyReLU, Power, Softplus, Tanh
from inntf.compose import Invert
from inntf.stability import certify

BLOCKS = {
    "exp": (lambda **k: Exp(**k), -2.0, 3.0),
    "softplus": (lambda **k: Softplus(0.7, **k), -3.0, 4.0),
    "tanh": (lambda **k: Tanh(**k), -1.5, 0.5),
    "power": (lambda **k: Power(2.5, **k), 0.2, 3.0),
    "power-negative": (lambda **k: Power(-0.5, **k), 0.2, 3.0),
    "leaky": (lambda **k: LeakyReLU(0.2, **k), -1.0, 2.0),
}
EVERY = pytest.mark.parametrize(("make", "low", "high"), BLOCKS.values(), ids=BLOCKS)


def grid(low, high):
    return np.linspace(low, high, 401)[:, None]


def slopes_of(block, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = block.forward_and_log_det(x)[0]
    return np.abs(tape.gradient(z, x).numpy())


@EVERY
def test_bounds_on_a_box_are_attained(make, low, high):
    slopes = slopes_of(make(dtype="float64"), grid(low, high))
    bounds = make().lipschitz_bounds((low, high))
    assert bounds.scope == "local" and not bounds.reason
    assert bounds.forward == pytest.approx(slopes.max(), rel=1e-4) and bounds.forward >= slopes.max() * (1 - 1e-12)
    assert bounds.inverse == pytest.approx(1 / slopes.min(), rel=1e-4) and bounds.inverse >= (1 - 1e-12) / slopes.min()


@EVERY
@pytest.mark.parametrize("inverse", [False, True])
def test_in_a_ball_no_slope_is_further_off(make, low, high, inverse):
    block = make(dtype="float64").ensure_built((1,))
    middle, radius = np.array([[(low + high) / 2 + 0.1]]), np.array([0.3])
    if inverse:
        middle = block(middle).numpy()
        radius = 0.3 * np.abs(middle[0])
    found = block.local_map(middle, radius, None, inverse)
    ends = middle[0, 0] - radius[0], middle[0, 0] + radius[0]
    z = tf.constant(grid(*ends))
    x = block.inverse_and_log_det(z)[0] if inverse else z
    slopes = slopes_of(block, x.numpy()) ** (-1 if inverse else 1)
    off = np.abs(slopes - np.abs(found.jacobian[0, 0, 0])).max()
    assert off <= found.deviation[0] * (1 + 1e-9) and found.deviation[0] <= 1.1 * off + 1e-9
    way = block.inverse_and_log_det if inverse else block.forward_and_log_det
    np.testing.assert_allclose(found.value, way(tf.constant(middle))[0], rtol=1e-12)


def test_the_sign_of_a_falling_map_is_in_the_certificate():
    block = Power(-1.0, dtype="float64").ensure_built((1,))
    for inverse in (False, True):
        assert block.local_map(np.array([[2.0]]), np.zeros(1), None, inverse).jacobian[0, 0, 0] == pytest.approx(-0.25)


@EVERY
def test_an_image_box_holds_the_image(make, low, high):
    block = make(dtype="float64").ensure_built((1,))
    z = block(grid(low, high)).numpy()
    box = block.image_box((low, high))
    assert float(box[0]) == pytest.approx(z.min()) and float(box[1]) == pytest.approx(z.max())
    assert block.image_box(None) is None


@pytest.mark.parametrize("make", [Exp, Softplus, Tanh, lambda: Power(3.0), LeakyReLU])
def test_log_det_is_right_in_the_tails_of_float32(make):
    narrow, wide = make(), make().copy(dtype="float64")
    x = np.array([[1e-6], [1e-3], [0.3], [7.0], [30.0], [60.0]], np.float32)
    if not isinstance(narrow, Power):
        x = np.concatenate([x, -x])
    np.testing.assert_allclose(narrow.forward_and_log_det(x)[1], wide.forward_and_log_det(x.astype(np.float64))[1], rtol=2e-6)


def test_softplus_comes_back_from_small_and_large_values():
    block = Softplus()
    x = tf.constant([[-80.0, -20.0, -1.0, 0.5, 20.0, 1e4]])
    z, log_det = block.forward_and_log_det(x)
    back, log_det_back = block.inverse_and_log_det(tf.identity(z))
    np.testing.assert_allclose(back, x, rtol=1e-5)
    np.testing.assert_allclose(log_det_back, -log_det, rtol=1e-5)


def test_tanh_comes_back_as_far_as_its_digits_go():
    block = Tanh()
    x = np.array([[-7.0, -1e-4, 1e-30, 3.0, 8.0]], np.float32)
    z = block(x)
    back = block.inverse_and_log_det(z)[0].numpy()
    room = 1e-6 * np.abs(x) + 6e-8 * np.cosh(x.astype(np.float64)) ** 2  # half a rounding of z, divided by the slope
    assert (np.abs(back - x) <= room).all()
    assert np.isfinite(block.inverse_and_log_det(tf.constant([[1.0, -1.0, 1.0, 0.0, 1.0]]))[0]).all()


@pytest.mark.parametrize(
    ("block", "direction", "value"),
    [
        (Exp(), "inverse", -0.1), (Softplus(), "inverse", -0.1), (Tanh(), "inverse", 1.01), (Power(2.0), "inverse", -0.1),
        (Power(2.0), "forward", -0.1),
    ],
)  # fmt: skip
def test_beyond_the_range_is_an_error(block, direction, value):
    way = getattr(block, f"{direction}_and_log_det")
    with pytest.raises(ValueError, match="expected values in the range"):
        way(tf.constant([[value]]))
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.function(way)(tf.constant([[value]]))
    if isinstance(block, Exp):
        assert np.isnan(tf.function(way, jit_compile=True)(tf.constant([[value]]))[0]).all()
    assert np.isfinite(way(tf.constant([[0.0]]))[0]).all()


def test_gradients_are_finite_everywhere():
    values = tf.constant([[1e-30, 1e-6, 0.3, 0.6, 0.7, 0.999999]])
    for block in (Exp(), Softplus(), Tanh(), Power(2.0), LeakyReLU()):
        for way in (block.forward_and_log_det, block.inverse_and_log_det):
            with tf.GradientTape() as tape:
                tape.watch(values)
                total = tf.reduce_sum(way(tf.identity(values))[0])
            assert np.isfinite(tape.gradient(total, values)).all(), type(block)


def test_everywhere_and_by_invert():
    assert LeakyReLU(0.2).lipschitz_bounds().forward == 1.0 and LeakyReLU(4.0).lipschitz_bounds().inverse == 1.0
    assert LeakyReLU(0.2).lipschitz_bounds().inverse == pytest.approx(5.0)
    for block in (Tanh(), Softplus()):
        bounds = block.lipschitz_bounds()
        assert bounds.forward == 1.0 and math.isinf(bounds.inverse) and "pass a domain" in bounds.reason
    logarithm = Invert(Exp())
    assert float(logarithm(tf.constant([[math.e]]))[0, 0]) == pytest.approx(1.0)
    assert certify(Exp().ensure_built((2,)), (0.0, 1.0)).bounds.forward == pytest.approx(math.e)


@pytest.mark.parametrize(
    "make", [lambda: Softplus(0.0), lambda: LeakyReLU(0.0), lambda: LeakyReLU(-1.0), lambda: Power(0), lambda: Power(math.nan)]
)
def test_arguments_that_make_no_bijection(make):
    with pytest.raises(ValueError, match="expected"):
        make()
