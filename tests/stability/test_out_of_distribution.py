"""Inputs unlike the data: drawn as said, and measured as they are."""

import numpy as np
import pytest
import tensorflow as tf

from inntf import Block
from inntf.stability import input_sets, out_of_distribution
from tests.stability.tiny_blocks import Additive, Linear, Shifted


class Fragile(Block):
    """Misses by `size` times each entry; what has an entry beyond `wall` has no finite latent."""

    def __init__(self, size=0.5, wall=np.inf, **kwargs):
        super().__init__(**kwargs)
        self.size, self.wall = size, wall

    def forward_and_log_det(self, x, condition=None):
        return tf.where(tf.abs(x) > self.wall, tf.constant(np.inf, x.dtype), x), tf.zeros([], x.dtype)

    def inverse_and_log_det(self, z, condition=None):
        return z * (1 + self.size), tf.zeros([], z.dtype)


@pytest.mark.parametrize("shape", [(12,), (8, 6, 1), (6, 6, 3)])
@pytest.mark.parametrize("ends", [(-0.5, 0.5), (0.0, 1.0)])
def test_sets_are_what_they_say(shape, ends):
    sets = input_sets(shape, 40, ends, seed=1)
    low, high = ends
    for name, values in sets.items():
        assert values.shape == (40, *shape) and np.isfinite(values).all(), name
        assert values.min() >= low + 0.01 - 1e-12 and values.max() <= high - 0.01 + 1e-12, name
    assert sorted(set(np.unique(sets["rademacher"]).round(12))) == [round(low + 0.01, 12), round(high - 0.01, 12)]
    assert (np.ptp(sets["constant"].reshape(40, -1), axis=1) == 0).all() and len(np.unique(sets["constant"])) == 40
    on_the_edge = np.isclose(sets["gaussian"], high - 0.01).mean()
    np.testing.assert_allclose(on_the_edge, 0.3085, atol=0.06)  # a normal beyond half its standard deviation
    np.testing.assert_allclose(sets["uniform"].std(), 0.98 / np.sqrt(12), rtol=0.05)
    steps = np.abs(np.diff(sets["texture"], axis=1)).mean() / np.ptp(sets["texture"])
    assert steps < 0.7 * np.abs(np.diff(sets["uniform"], axis=1)).mean() / np.ptp(sets["uniform"]), "textures are smooth"
    again = input_sets(shape, 40, ends, seed=1)
    assert all((again[name] == sets[name]).all() for name in sets)
    assert all((input_sets(shape, 40, ends, seed=2)[name] != sets[name]).any() for name in sets)


def test_errors_and_ratios():
    data = np.full((10, 6), 0.1, "float32")
    found = out_of_distribution(Fragile(dtype="float32"), data, passes=3, others={"big": np.full((4, 6), 0.4)}, float64=False)
    one = found.sets["data"]
    np.testing.assert_allclose(one.errors[:, 0], 0.1 * np.sqrt(6) * (1.5 ** np.arange(1, 4) - 1), rtol=1e-5)
    np.testing.assert_allclose(one.pixels[0], 255 * 0.05, rtol=1e-5)
    assert found.sets["big"].errors.shape == (3, 4) and one.wide is None
    np.testing.assert_allclose(found.ratio("big"), 4, rtol=1e-5)
    np.testing.assert_allclose(found.ratio("rademacher"), 4.9, rtol=1e-5)
    assert str(found).splitlines()[0].split()[:2] == ["inputs", "not"] and len(str(found).splitlines()) == 8
    np.testing.assert_allclose(one.reconstructed, 1.5 * one.samples)


def test_what_is_not_finite_is_counted():
    data = np.full((5, 6), 0.1, "float32")
    found = out_of_distribution(Fragile(wall=0.4), data, passes=1, count=50, float64=False)
    assert found.sets["rademacher"].latent_nonfinite_share == 1 and found.sets["rademacher"].summary.nonfinite_share == 1
    assert found.ratio("rademacher") == np.inf and found.sets["data"].latent_nonfinite_share == 0
    assert 0 < found.sets["constant"].summary.nonfinite_share < 1
    broken = ~np.isfinite(found.sets["constant"].errors[0])
    assert found.sets["constant"].latent_nonfinite_share == broken.mean()


def test_float64_beside_float32():
    block = Linear(np.geomspace(1e-2, 1e2, 6)).ensure_built((6,))
    found = out_of_distribution(block, np.random.default_rng(0).uniform(-0.5, 0.5, (7, 6)), passes=1, batch_size=3)
    for one in found.sets.values():
        assert one.wide.shape == (7,) and np.median(one.errors[0]) > 1e6 * np.median(one.wide)


def test_conditions_take_turns():
    block = Additive(1.0, event_ndims=1)
    data, condition = np.zeros((3, 4), "float32"), np.float32([[0, 0], [1, 1], [2, 2]])
    found = out_of_distribution(block, data, condition, passes=1, count=5, batch_size=2, float64=False)
    assert all(one.summary.nonfinite_share == 0 and one.summary.max < 1e-5 for one in found.sets.values())
    with pytest.raises(ValueError, match="condition"):
        out_of_distribution(block, data)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"passes": 0}, "passes=0"),
        ({"count": 0}, "count=0"),
        ({"data_range": (0.5, -0.5)}, "low below high"),
        ({"others": {"data": np.zeros((1, 3))}}, "a name other than"),
        ({"others": {"more": np.zeros((1, 4))}}, r"\(batch, 3\)"),
    ],
)
def test_refusals(wrong, words):
    with pytest.raises(ValueError, match=words):
        out_of_distribution(Shifted(np.ones(3)), tf.zeros([2, 3]), **{"float64": False, **wrong})
    with pytest.raises(ValueError, match="at least one sample"):
        out_of_distribution(Shifted(np.ones(3)), tf.zeros([0, 3]))
