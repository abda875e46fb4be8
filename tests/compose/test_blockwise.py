"""Blocks side by side: what the registry's case does not see."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AffineCoupling, Bounded, Dequantize, InjectivePadding, Rescale, ResidualBlock
from inntf.compose import Blockwise, Chain, Repeat
from inntf.core.local_maps import LocalMap
from inntf.models import Flow
from inntf.nets import MLP, spectral_layers
from inntf.numerics import batch_jacobian
from inntf.serving.maps import split_at_rounding
from inntf.stability import certify, reconstruction_error
from inntf.stability.precision import float64_copy
from inntf.stability.unrolling import in_turn
from tests.stability.test_ball_certificate import check, shaken


def net(channels):
    return MLP([8], out_channels=channels, activation="tanh", zero_last=False)


def deep():
    steps = Repeat(lambda: Chain([ActNorm(), AffineCoupling(conditioner=net)]), 2)
    return Blockwise([steps, Bounded(-9.0, 9.0)], columns=[[3, 1, 0], 2])


def test_each_entry_goes_through_its_own_block():
    x = np.random.default_rng(0).uniform(0.1, 0.9, (3, 4)).astype(np.float32)
    bounded, scaled = Bounded(0.0, 1.0), Rescale([2.0, 3.0, 4.0])
    z, log_det = Blockwise([bounded, scaled], columns=[2, (3, 0, 1)]).forward_and_log_det(x)
    np.testing.assert_allclose(z.numpy()[:, [3, 0, 1]], x[:, [3, 0, 1]] * [2, 3, 4], rtol=1e-6)
    np.testing.assert_allclose(z.numpy()[:, 2:3], bounded.forward_and_log_det(x[:, 2:3])[0])
    np.testing.assert_allclose(log_det, bounded.forward_and_log_det(x[:, 2:3])[1] + np.log(24.0), rtol=1e-6)


@pytest.mark.parametrize("columns", [[0], [0, 0], [0, 2], [0, [1, 1]], [0, 1.5], [[], [0, 1]], "ab", 3, [0, True], [0, -1]])
def test_columns_that_do_not_share_all_entries_out(columns):
    with pytest.raises(ValueError, match="exactly once"):
        Blockwise([Rescale(2.0), Rescale(3.0)], columns=columns)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="events of 3 entries.*2, the columns"):
        Blockwise([Rescale(2.0)], columns=[[0, 1]])(tf.zeros([1, 3]))
    with pytest.raises(ValueError, match="keep the number of entries"):
        Blockwise([InjectivePadding(3)], columns=[[0, 1]])(tf.zeros([1, 2]))
    with pytest.raises(TypeError, match="inntf blocks"):
        Blockwise([keras.layers.Dense(2)], columns=[[0, 1]])
    with pytest.raises(ValueError, match="no block"):
        Blockwise([], columns=[])


def test_tags_are_those_of_all():
    assert Blockwise([Rescale(2.0), Rescale(3.0)], [0, 1]).tags.affine
    mixed = Blockwise([Rescale(2.0), Dequantize(4)], [0, 1]).tags
    assert mixed.stochastic and not mixed.affine and not mixed.exact_latent_round_trip and mixed.exact_data_round_trip


def test_bounds_are_the_largest_of_the_parts_on_their_boxes():
    block = Blockwise([Bounded(0.0), Rescale([0.5, 2.0])], columns=[1, [0, 2]]).ensure_built((3,))
    box = np.array([-5.0, 0.1, -5.0]), np.array([5.0, 4.0, 5.0])
    assert tuple(block.lipschitz_bounds(box)) == pytest.approx((10.0, 4.0))  # 1 / 0.1 of the logarithm, its inverse 4
    low, high = block.image_box(box)
    np.testing.assert_allclose([low, high], [[-2.5, np.log(0.1), -10], [2.5, np.log(4), 10]])
    rows = {row.kind: row.bounds for row in certify(block, box).rows}
    assert rows["Bounded"].forward == pytest.approx(10.0) and rows["Rescale"].forward == 2.0
    assert not np.isfinite(block.lipschitz_bounds().forward) and "steep" in block.lipschitz_bounds().reason


@pytest.mark.parametrize("inverse", [False, True])
def test_the_parts_in_turn_are_the_whole(inverse):
    block = float64_copy(shaken(deep(), (4,)))
    x = tf.random.stateless_normal([3, 4], [1, 2], dtype=tf.float64)
    start = block.forward_and_log_det(x)[0] if inverse else x
    way = block.inverse_and_log_det if inverse else block.forward_and_log_det
    value, product, parts = start.numpy(), np.eye(4)[None], list(in_turn(block))
    assert len(parts) == 5
    for part in parts[::-1] if inverse else parts:
        found: LocalMap = part.local_map(value, np.full(3, 1e-9), None, inverse)
        value, product = found.value, found.jacobian @ product
    np.testing.assert_allclose(value, way(tf.identity(start))[0].numpy(), atol=1e-12)
    np.testing.assert_allclose(product, batch_jacobian(lambda v: way(v)[0], start).numpy(), atol=1e-7)


@pytest.mark.slow
def test_nothing_in_a_ball_is_above_its_certificate():
    x = np.random.default_rng(3).normal(size=(2, 4)).astype(np.float32)
    small, _ = check(shaken(deep(), (4,)), x, [1e-4, 0.03], count=3)
    assert small < 1.1


def test_noise_that_one_block_leaves_is_none_of_the_others():
    """A column that is constant up to rounding must not make a small one beside it pass for rounding."""
    rng = np.random.default_rng(0)
    x = np.stack([1.0 + 1e-7 * rng.normal(size=64), 1e-6 * rng.normal(size=64)], 1).astype(np.float32)
    block = Blockwise([ActNorm(), ActNorm()], columns=[0, 1])
    z = block.initialize(x).numpy()
    assert z[:, 0].std() < 1e-3 and z[:, 1].std() == pytest.approx(1.0, abs=1e-3)
    assert not block.waits_for_data()


def test_walks_see_the_blocks_inside():
    block = Chain([deep()]).ensure_built((4,))
    kinds = {row.kind for row in certify(block).rows}
    assert {"Blockwise", "Repeat", "ActNorm", "AffineCoupling", "Bounded"} <= kinds
    beside = Blockwise([ResidualBlock(coefficient=0.5), Rescale(2.0)], columns=[[0, 1], 2]).ensure_built((3,))
    assert len(spectral_layers(beside)) == len(spectral_layers(beside.blocks[0])) > 0


def test_dequantization_in_a_part_is_left_out_where_errors_are_measured():
    coupling = AffineCoupling(conditioner=net)
    learned = Blockwise([Chain([Dequantize(4, seed=1), ActNorm()]), ActNorm()], columns=[1, [0, 2]])
    fixed = Blockwise([Dequantize(4, seed=1), Rescale()], columns=[1, [0, 2]])
    x = np.array([[0.3, 1.0, -2.0], [1.5, 3.0, 0.1]], np.float32)
    for first in (learned, fixed):
        chain = Chain([first, coupling]).ensure_built((3,))
        leading, rest = split_at_rounding(chain)
        assert leading and not any(block.trainable_variables for block in leading)
        assert rest.tags.exact_latent_round_trip and split_at_rounding(chain)[1] is rest
        h = leading[0].forward_and_log_det(x)[0]
        assert ((h[:, 1] * 4 >= x[:, 1]) & (h[:, 1] * 4 < x[:, 1] + 1)).numpy().all()
        z = rest.forward_and_log_det(h)[0]
        np.testing.assert_allclose(chain.inverse_and_log_det(z)[0], x, atol=1e-5)
        assert (reconstruction_error(chain, x).numpy() < 1e-5).all()


def test_gradients_of_reversible_training_and_saving(tmp_path):
    block = Chain([deep(), deep()], backprop="reversible")
    flow = Flow(block, event_shape=4)
    x = tf.random.stateless_normal([6, 4], [1, 2])

    def grads(way):
        block.backprop = type(block.backprop)(way)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(flow.log_prob(tf.identity(x)))
        return tape.gradient(loss, block.trainable_variables)

    for one, other in zip(grads("reversible"), grads("stored"), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    model = keras.Sequential([keras.Input((4,)), block])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(x), model(x), atol=1e-6)
    assert again.layers[0].blocks[0].columns == block.blocks[0].columns
