"""The attack: on misses with a closed form, at the edges of its box to the last bit, and where the inverse breaks."""

import functools
from fractions import Fraction

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import Block
from inntf.blocks import AffineCoupling, Dequantize, ResidualBlock
from inntf.compose import Chain
from inntf.nets import LipschitzMLP
from inntf.stability import attack, dequantization_bin
from inntf.stability.attack import _step
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.perturbation_sets import PerturbationSet
from tests.stability.tiny_blocks import Additive, Linear


class Stretched(Block):
    """The inverse misses by `slope * x`: the worst point of a box is its far corner; beyond `wall` nothing is finite."""

    def __init__(self, slope=0.1, wall=np.inf, **kwargs):
        super().__init__(**kwargs)
        self.slope, self.wall = slope, wall

    def forward_and_log_det(self, x, condition=None):
        return x, tf.zeros([], x.dtype)

    def inverse_and_log_det(self, z, condition=None):
        first = tf.reshape(z, [tf.shape(z)[0], -1])[:, 0]
        wall = tf.where(first > self.wall, tf.constant(np.nan, z.dtype), 1.0)
        return z * (1 + self.slope) * tf.reshape(wall, [-1] + [1] * (z.shape.rank - 1)), tf.zeros([], z.dtype)


@functools.cache
def stretched(dtype, *event):
    """One block for many tests: its step is traced once."""
    return Stretched(dtype=dtype).ensure_built(event)


@pytest.mark.parametrize("shape", [(2, 3, 1), pytest.param((5,), marks=pytest.mark.slow)])
def test_the_worst_corner_and_the_worst_point_of_a_ball_are_found(shape):
    x = tf.random.stateless_normal([4, *shape], [0, 1], dtype=tf.float64)
    length = np.linalg.norm(x.numpy().reshape(4, -1), axis=1)
    block = stretched("float64", *shape)
    box = attack(block, x, radius=0.05, steps=40)
    corner = np.linalg.norm((np.abs(x) + 0.05).reshape(4, -1), axis=1)
    np.testing.assert_allclose(box.error, 0.1 * corner, rtol=1e-9)
    np.testing.assert_allclose(box.start_error, 0.1 * length, rtol=1e-9)
    np.testing.assert_allclose(box.growth, corner / length, rtol=1e-9)
    ball = attack(block, x, radius=[0.05, 0.1, 0.2, 0.4], norm="l2", steps=40)
    np.testing.assert_allclose(ball.error, 0.1 * (length + np.array([0.05, 0.1, 0.2, 0.4])), rtol=1e-9)


def inside(found, data, radius, norm):
    """In exact arithmetic."""
    for point, centre in zip(found.reshape(len(found), -1), data.reshape(len(data), -1), strict=True):
        away = [abs(Fraction(float(a)) - Fraction(float(b))) for a, b in zip(point, centre, strict=True)]
        if not (max(away) < Fraction(radius) if norm == "linf" else sum(d * d for d in away) <= Fraction(radius) ** 2):
            return False
    return True


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("radius", [0.1, 1e-6, 1e-9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_point_is_inside_to_the_last_bit(norm, radius, dtype):
    x = np.random.default_rng(0).normal(size=(6, 5)).astype(dtype)
    found = attack(stretched(dtype, 5), x, radius=radius, norm=norm, steps=6, step_size=radius, starts=2)
    assert inside(found.adversarial, x, radius, norm)
    if radius > 1e-6:
        away = np.abs(found.adversarial.astype(float) - x)
        assert (away.max() if norm == "linf" else np.linalg.norm(away, axis=1).max()) > 0.99 * radius, "the edge is reached"


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_points_stay_in_the_range_of_data(norm):
    x = np.float32([[0.5, 0.1, -0.5, 0.2, 0.2], [0.3, 0.49, 0.0, 0.1, 0.1]])
    block = stretched("float32", 5)
    found = attack(block, x, radius=0.2, norm=norm, steps=20, starts=3, data_range=(-0.5, 0.5))
    assert np.abs(found.adversarial).max() <= 0.5 and inside(found.adversarial, x, 0.2, norm)
    third = attack(block, x[1:] / 5, radius=0.5, steps=40, data_range=(-0.1, 5 * [0.3])).adversarial
    assert third.max() <= Fraction(0.3) and third.max() > 0.2999
    with pytest.raises(ValueError, match="inside of data_range"):
        attack(block, x, radius=0.2, data_range=(-0.4, 0.4))


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_box_that_ends_at_zero_is_open_there(sign):
    centre = tf.fill([1, 3], sign / 64)
    region = PerturbationSet.of(centre, 1 / 64, "linf", None)
    for side in (-1.0, 1.0):
        away = np.abs(region.project(tf.fill([1, 3], side)).numpy().astype(np.float64) - sign / 64)
        assert away.max() < 1 / 64 and away.max() > 0.99 / 64


def test_it_stops_where_an_error_is_not_finite_and_says_when():
    x = np.float32([[0.5, 0.2], [-0.5, 0.2], [0.795, 0.2], [0.9, 0.0]])
    found = attack(Stretched(wall=0.8), x, radius=0.5, steps=50, step_size=0.01)
    assert found.nonfinite_at.tolist() == [[31, -1, 1, 0]] and found.broken_at.tolist() == [31, -1, 1, 0]
    assert found.nonfinite_share == 0.75 and found.growth[0] == np.inf
    np.testing.assert_array_equal(found.adversarial[0, 0] > 0.8, True)
    np.testing.assert_allclose(found.adversarial[0, 0], 0.81, atol=1e-3)
    assert np.isnan(found.error[[0, 2, 3]]).all() and np.isfinite(found.error[1])
    assert np.isfinite(found.errors[:31, 0, 0]).all() and np.isnan(found.errors[31:, 0, 0]).all()
    assert np.isfinite(found.errors[:, 0, 1]).all() and np.isnan(found.reconstructed[0]).all()
    np.testing.assert_allclose(found.error[1], 0.1 * np.hypot(1.0, 0.7), rtol=1e-4)
    assert "3 not finite, first at step 0" in str(found)


def test_starts_draw_from_the_seed_and_the_best_one_counts():
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    one, again, other = (attack(stretched("float32", 5), x, radius=0.3, steps=2, starts=4, seed=s) for s in (0, 0, 1))
    assert one.errors.shape == (3, 4, 3)
    np.testing.assert_array_equal(one.errors, again.errors)
    assert (one.errors[0, 1:] != other.errors[0, 1:]).all()
    np.testing.assert_allclose(one.error, one.errors.max((0, 1)))
    back = 1.1 * one.adversarial
    np.testing.assert_allclose(one.reconstructed, back, rtol=1e-6)
    np.testing.assert_allclose(one.error, np.linalg.norm(one.adversarial.astype(float) - back, axis=1), rtol=1e-5)


def test_a_gradient_of_zero_does_not_stop_the_search():
    found = attack(Additive(0.0), tf.zeros([2, 4]), radius=0.1, steps=5)
    assert found.adversarial.shape == (2, 4)
    assert (found.lost_gradients == 0).all()
    assert (found.error == 0).all() and (found.growth == 1).all()


def test_the_condition_goes_with_its_sample():
    """Of samples that are searched on while others have stopped, too."""

    class Conditioned(Stretched):
        def inverse_and_log_det(self, z, condition=None):
            return tf.where(z[:, :1] > self.wall, np.nan, z + condition), tf.zeros([], z.dtype)

    x = np.float32([[0.79, 0.0], [0.1, 0.1], [0.2, 0.2]])
    condition = np.float32([[1, 1], [2, 2], [4, 4]])
    block = Conditioned(slope=0.0, wall=0.8, event_ndims=1)
    found = attack(block, x, condition, radius=0.1, steps=3, starts=2)
    assert found.broken_at[0] >= 0
    np.testing.assert_allclose(found.error[1:], np.sqrt(2) * condition[1:, 0], rtol=1e-5)


def test_float64_leaves_rounding_alone():
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    block = Linear(np.geomspace(1e-3, 1e3, 6)).ensure_built((6,))
    narrow, wide = (attack(block, x, radius=0.1, steps=20, precision=p) for p in (None, "float64"))
    assert (narrow.error > 1e6 * wide.error).all() and wide.adversarial.dtype == np.float64


def test_latent_noise_leads_to_where_the_inverse_amplifies():
    """`z = (a, b exp(s(a)))`, whose inverse divides by the scale: the worst place of the box is where s is smallest."""
    block = AffineCoupling(conditioner=keras.Sequential([keras.layers.Dense(4)]), scale=None, dtype="float64")
    block.ensure_built((4,))
    kernel = np.zeros(block.get_weights()[0].shape)
    kernel[0] = kernel[1] = 1.5
    block.set_weights([kernel, np.zeros(4)])
    x = 0.1 * np.random.default_rng(0).normal(size=(16, 4))

    def slope(points):
        _, log_det = block.forward_and_log_det(tf.constant(points))
        return -log_det.numpy()

    maps = BlockFunctions.of(block, x)
    region, points = PerturbationSet.of(maps.x, 0.5, "linf", None), maps.x
    step = _step(maps, "linf", True)
    for k in range(32):
        points = step(points, None, *region.parts(), region.size / 32, tf.constant(1e-3, tf.float64), tf.constant([3, k]))[0]
    assert (slope(points.numpy()) > slope(x) + 0.8).all(), "both entries that the scale depends on went down"


@pytest.mark.slow
def test_the_gradient_through_a_residual_inverse_is_implicit_and_right():
    block = ResidualBlock(network=LipschitzMLP([6]), coefficient=0.9, dtype="float64").ensure_built((3,))
    x = tf.random.stateless_normal([2, 3], [0, 1], dtype=tf.float64)
    eta = 0.3 * tf.random.stateless_normal([2, 3], [1, 1], dtype=tf.float64)
    maps = BlockFunctions.of(block, x)

    def objective(x):
        return tf.reduce_sum((maps.inverse(maps.forward(x) + eta) - x) ** 2)

    with tf.GradientTape() as tape:
        tape.watch(x)
        value = objective(x)
    gradient = tape.gradient(value, x).numpy()
    for i, j in ((0, 1), (1, 2)):
        step = np.zeros((2, 3))
        step[i, j] = 1e-5
        slope = (objective(x + step) - objective(x - step)) / 2e-5
        np.testing.assert_allclose(gradient[i, j], slope, rtol=1e-6)


@pytest.mark.slow
def test_a_converged_residual_inverse_withstands_it():
    block = ResidualBlock(network=LipschitzMLP([16]), coefficient=0.9).ensure_built((4,))
    x = tf.random.stateless_normal([8, 4], [0, 1])
    for noise in (0.0, 1e-2):
        found = attack(block, x, radius=0.5, steps=30, starts=2, latent_noise=noise)
        assert found.nonfinite_share == 0 and found.error.max() < 1e-5
    loose = ResidualBlock(network=LipschitzMLP([16]), coefficient=0.9, tolerance=1e-12).ensure_built((4,))
    assert attack(loose, x, radius=0.5, steps=1).nonfinite_share == 1, "a tolerance that float32 cannot reach is a refusal"


def test_leading_blocks_that_round_are_left_out():
    block = Chain([Dequantize(256, noise="center"), Stretched()]).ensure_built((3,))
    found = attack(block, np.float32([[3, 7, 255]]), radius=1 / 512, steps=40)
    np.testing.assert_allclose(found.data * 256, [[3.5, 7.5, 255.5]])
    np.testing.assert_allclose(found.adversarial * 256, [[4, 8, 256]], atol=1e-3)


def test_an_empty_batch():
    found = attack(stretched("float32", 5), tf.zeros([0, 5]), radius=0.1, steps=2, starts=2)
    assert found.adversarial.shape == (0, 5) and found.errors.shape == (3, 2, 0) and found.nonfinite_share == 0.0
    assert str(found) == "no samples"


def test_bins():
    found = dequantization_bin(np.float32([[0.0, 0.5, 1.0, 0.999]]), bits=5)
    assert found.radius == 0.5 / 2**5 and found.centre.dtype == np.float32
    np.testing.assert_array_equal(found.centre * 64, [[1, 33, 63, 63]])
    shifted = dequantization_bin(np.array([[-0.5, 0.2]]), bits=1, low=-0.5, high=0.5)
    assert shifted.centre.tolist() == [[-0.25, 0.25]] and shifted.radius == 0.25
    for wrong in ({"bits": 0}, {"low": 0.1}):
        with pytest.raises(ValueError, match="dequantization_bin"):
            dequantization_bin(np.array([[0.0]]), **wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"radius": 0.0}, "a positive number"),
        ({"radius": [0.1, 0.2, 0.3]}, "or 2 of them"),
        ({"radius": np.nan}, "a positive number"),
        ({"norm": "l1"}, "'linf' or 'l2'"),
        ({"steps": 0}, "steps=0"),
        ({"starts": 1.5}, r"starts=1.5"),
        ({"step_size": -1.0}, "step_size"),
        ({"latent_noise": -1.0}, "latent_noise"),
        ({"precision": "float16"}, "precision"),
        ({"data_range": (1, 0)}, "low below high"),
    ],
)
def test_refusals(wrong, words):
    with pytest.raises(ValueError, match=words):
        attack(stretched("float32", 5), tf.zeros([2, 5]), **{"radius": 0.1, **wrong})


def test_a_graph_is_refused():
    with pytest.raises(ValueError, match="eager"):
        tf.function(lambda: attack(stretched("float32", 5), tf.zeros([2, 5]), radius=0.1).error, autograph=False)()
