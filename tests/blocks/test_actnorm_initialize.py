"""Initialization from data: what has no variance is not blown up, and what was set before is left alone."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AffineCoupling, InvertibleLinear
from inntf.compose import Chain, Repeat
from inntf.core.initialization import under_way
from inntf.nets import MLP

DEPTH = 6


def table(seed=0, n=500):
    return np.random.default_rng(seed).normal(size=(n, 4)).astype("float32")


def log_scales(chain):
    return np.concatenate([b.log_scale.numpy() for b in chain._flatten_layers() if isinstance(b, ActNorm)])


def initialized(x):
    chain = Chain([ActNorm(dtype=str(x.dtype)) for _ in range(DEPTH)]).ensure_built((x.shape[-1],))
    chain.initialize(x)
    return chain


def nearly(value, noise=0.0, dtype="float32"):
    x = table().astype(dtype)
    x[:, 1] = (value + noise * np.random.default_rng(1).normal(size=len(x))).astype("float32")
    return x


@pytest.mark.parametrize(
    "x",
    [
        nearly(3.25),
        nearly(0.0),
        nearly(3.25, 1e-7),  # two or three neighbouring numbers
        nearly(-1e6, 0.05),
        nearly(3.25, 1e-7, "float64"),  # rounded to float32 before it came
        table()[:1],
        table()[:3] * 1e-3,
        np.full((50, 4), 7.0, "float32"),
    ],
    ids=["constant", "zero", "rounding", "rounding of a large one", "in float64", "one row", "three rows", "all"],
)
def test_no_variance_is_not_blown_up_at_any_depth(x):
    chain = initialized(x)
    assert log_scales(chain).max() < 0.2
    z = chain.forward_and_log_det(tf.constant(x))[0].numpy()
    assert abs(z[:, 1].mean()) < 1e-2 * max(1.0, z[:, 1].std())


@pytest.mark.parametrize("scale", [1e-20, 1e-6, 1e-3, 1e8])
def test_a_spread_of_its_own_counts_however_small(scale):
    x = table() * np.array([1.0, scale, 1.0, 1e4], "float32") + np.array([0.0, 0.0, 5.0, 0.0], "float32")
    z = initialized(x).forward_and_log_det(x)[0].numpy()
    np.testing.assert_allclose(z.std(0), 1.0, atol=1e-3)


def test_the_floor_is_still_one():
    block = ActNorm(variance_floor=0.01).ensure_built((4,))
    block.initialize(1e-3 * table())
    np.testing.assert_allclose(block.log_scale, np.log(10.0), rtol=1e-4)


def test_what_was_set_frozen_or_trained_is_left_alone():
    chain = Chain([ActNorm(), AffineCoupling(conditioner=MLP((4,))), ActNorm(), ActNorm(trainable=False)]).ensure_built((4,))
    chain.blocks[0].shift.assign([0.0, 0.0, 1e-6, 0.0])
    before = [b.get_weights() for b in chain]
    assert [b.waits_for_data() for b in chain] == [False, False, True, False]
    with under_way(fresh_only=True):
        chain.initialize(5 + 3 * table())
    for i in (0, 1, 3):
        for a, b in zip(before[i], chain.blocks[i].get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not chain.waits_for_data() and np.abs(chain.blocks[2].shift).min() > 1
    chain.trainable = False
    kept = chain.get_weights()
    chain.initialize(table() - 9)
    for a, b in zip(kept, chain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_slice_of_a_repeat_is_fresh_by_itself():
    repeat = Repeat(lambda: Chain([ActNorm(), InvertibleLinear(seed=1)]), 3).ensure_built((4,))
    repeat.initialize(2 + 3 * table())
    weights = repeat.get_weights()
    shift, log_scale = (next(i for i, w in enumerate(repeat.weights) if name in w.name) for name in ("shift", "log_scale"))
    emptied = [w.copy() for w in weights]
    emptied[shift][1], emptied[log_scale][1] = 0, 0
    repeat.set_weights(emptied)
    assert repeat.waits_for_data()
    with under_way(fresh_only=True):
        repeat.initialize(100 * table())
    for i in (0, 2):
        np.testing.assert_array_equal(repeat.get_weights()[shift][i], weights[shift][i])
    assert np.all(repeat.get_weights()[log_scale][1] < -2) and not repeat.waits_for_data()
    repeat.set_weights(emptied)
    repeat.trainable = False
    repeat.initialize(table())
    np.testing.assert_array_equal(repeat.get_weights()[log_scale], emptied[log_scale])
    assert not repeat.waits_for_data()


def test_copies_wait_as_the_original_does():
    fresh = Chain([ActNorm(), AffineCoupling(conditioner=MLP((4,)))]).ensure_built((4,))
    trained = fresh.copy()
    trained.initialize(3 + table())
    assert fresh.copy().waits_for_data() and not trained.copy().waits_for_data()
    assert type(trained).from_config(trained.get_config()).ensure_built((4,)).waits_for_data()
