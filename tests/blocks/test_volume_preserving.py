"""The coupling of constant volume: log-scales that sum to zero, bounds, and certificates in balls."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import Coupling, VolumePreservingCoupling
from inntf.nets import MLP, ConvNet
from inntf.numerics import batch_jacobian
from tests.stability.test_ball_certificate import check, shaken

NETS = {
    (5,): lambda: MLP((6,), activation="tanh", zero_last=False),
    (4, 4, 2): lambda: ConvNet(3, activation="tanh", zero_last=False),
}
CASES = [((5,), "channels"), ((5,), "checkerboard"), ((4, 4, 2), "channels"), ((4, 4, 2), "checkerboard")]


def made(event, split, **kwargs):
    block = VolumePreservingCoupling(conditioner=NETS[event](), split=split, dtype="float64", **kwargs)
    return shaken(block, event, gain=0.5)


def draw(event, n=3):
    return tf.constant(np.random.default_rng(4).normal(size=(n, *event)))


@pytest.mark.parametrize(("event", "split"), CASES)
def test_entries_stretch_and_the_volume_stays(event, split):
    block, x = made(event, split), draw(event)
    z, log_det = block.forward_and_log_det(x)
    jacobian = batch_jacobian(lambda v: block.forward_and_log_det(v)[0], x).numpy()
    jacobian = jacobian.reshape(len(x), np.prod(event), -1)
    assert np.all(log_det == 0.0) and np.all(block.inverse_and_log_det(z)[1] == 0.0)
    np.testing.assert_allclose(np.linalg.slogdet(jacobian)[1], 0, atol=1e-10)
    scales = np.sort(np.einsum("nii->ni", jacobian), 1)
    assert scales[:, 0].max() < 0.98 and scales[:, -1].min() > 1.02  # it is no additive coupling
    np.testing.assert_allclose(block.inverse_and_log_det(tf.identity(z))[0], x, atol=1e-10)


def test_no_scale_leaves_the_declared_range_and_one_can_reach_it():
    block = VolumePreservingCoupling(clamp=1.5, split=[0], dtype="float64").ensure_built((4,))
    low, high = block.transformer.slopes(1.0)
    raw = tf.constant([[0.0, 0.0, 0.0, 1e9, -1e9, -1e9]], tf.float64)
    u = tf.ones([1, 3], tf.float64)
    v = block.transform(u, block.constrain(raw))[0].numpy()
    np.testing.assert_allclose(v.max(), high, rtol=1e-6)
    np.testing.assert_allclose(np.log(high), 1.5 * 2 * 2 / 3, rtol=1e-9)
    np.testing.assert_allclose(low * high, 1.0, rtol=1e-9)
    np.testing.assert_allclose(np.log(v).sum(), 0, atol=1e-12)


@pytest.mark.parametrize(("event", "split"), CASES)
def test_bounds_on_a_box_hold_and_are_not_idle(event, split):
    block, x = made(event, split, clamp=0.5), tf.tanh(draw(event, 8))
    bounds = block.lipschitz_bounds((-1.0, 1.0))
    jacobian = batch_jacobian(lambda v: block.forward_and_log_det(v)[0], x).numpy().reshape(8, np.prod(event), -1)
    singular = np.linalg.svd(jacobian, compute_uv=False)
    assert bounds.scope == "local" and singular.max() <= bounds.forward and 1 / singular.min() <= bounds.inverse
    assert bounds.forward < 100 * singular.max()
    assert block.lipschitz_bounds().forward == np.inf and "pass domain" in block.lipschitz_bounds().reason


@pytest.mark.parametrize(("event", "split"), [CASES[0], pytest.param(*CASES[3], marks=pytest.mark.slow)])
def test_certificates_in_balls(event, split):
    block = made(event, split)
    x = np.random.default_rng(3).normal(size=(2, *event))
    small, _ = check(block, x, [1e-4, 0.1], count=2)
    assert small < 1.05


def test_one_transformed_entry_is_only_shifted():
    block = made((5,), [0, 1, 2, 3])
    x = draw((5,))
    z = block.forward_and_log_det(x)[0]
    moved = tf.concat([x[:, :4], x[:, 4:] + 3.0], 1)
    np.testing.assert_allclose(block.forward_and_log_det(moved)[0] - z, [[0, 0, 0, 0, 3]] * 3, atol=1e-12)


def test_it_is_kept_in_files_and_bad_clamps_are_refused():
    again = VolumePreservingCoupling.from_config(VolumePreservingCoupling(clamp=0.7).get_config())
    assert again.clamp == 0.7 and isinstance(again, Coupling)
    with pytest.raises(ValueError, match="clamp=-1"):
        VolumePreservingCoupling(clamp=-1.0)
