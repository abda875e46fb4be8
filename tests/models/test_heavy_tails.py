"""Flows of affine steps whose default tails are bounded: trained, an outlier costs little, and the inverse holds there."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import RadialTails
from inntf.models import DensityModel, autoregressive_flow, real_nvp
from inntf.numerics import batch_jacobian

MAKE = {
    "real_nvp": functools.partial(real_nvp, event_shape=3, depth=4, hidden=(32,)),
    "maf": functools.partial(autoregressive_flow, event_shape=3, depth=3, hidden=(32,)),
    "iaf": functools.partial(autoregressive_flow, event_shape=3, depth=3, hidden=(32,), kind="iaf"),
}


def ridge(n, seed):
    """A narrow, bent ridge in units far from one."""
    rng = np.random.default_rng(seed)
    a, off = rng.normal(size=n), 0.05 * rng.normal(size=(2, n))
    return np.stack([500 + 80 * a, a**2 + off[0], np.exp(a) + off[1]], 1).astype("float32")


@functools.cache
def trained(name, heavy_tails=None):
    keras.utils.set_random_seed(1)
    flow = MAKE[name](heavy_tails=heavy_tails)
    model = DensityModel(flow)
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(ridge(3000, 0), epochs=15, batch_size=200, verbose=0)
    return flow


@pytest.mark.parametrize("name", list(MAKE))
def test_an_outlier_costs_little_and_comes_back(name):
    flow, x = trained(name), ridge(2000, 1)
    spread = x.std(0)
    far = x[:300] + spread * np.random.default_rng(2).normal(size=(300, 3)).astype("float32") * 10
    worst, usual = flow.log_prob(tf.constant(far)).numpy().min(), flow.log_prob(tf.constant(x)).numpy().mean()
    assert worst > -100 and np.isfinite(usual)
    back = flow.block.inverse(tf.identity(flow.block.forward(tf.constant(far)))).numpy()
    assert (np.abs(back - far) / spread).max() < 0.05
    samples = flow.sample(2000, seed=3).numpy()
    apart = np.abs(samples - x.mean(0)) / spread
    assert np.isfinite(samples).all() and (apart.max(1) > 20).mean() < 0.02


def test_without_them_it_is_thousands_of_nats():
    far = ridge(300, 1) + ridge(2000, 1).std(0) * np.random.default_rng(2).normal(size=(300, 3)).astype("float32") * 10
    plain, tailed = (trained("real_nvp", way).log_prob(tf.constant(far)).numpy() for way in (False, None))
    assert plain.min() < 10 * tailed.min() and np.median(plain) < np.median(tailed)
    x = tf.constant(ridge(2000, 3))
    fits = [float(tf.reduce_mean(trained("real_nvp", way).log_prob(x))) for way in (False, None)]
    assert fits[1] > fits[0] - 0.2  # nothing is paid for it where the data are


@pytest.mark.parametrize("name", list(MAKE))
def test_log_det_is_that_of_the_jacobian_far_out(name):
    flow = MAKE[name](dtype="float64")
    rng = np.random.default_rng(4)
    for v in flow.trainable_variables:
        v.assign(v + 0.2 * rng.normal(size=v.shape))
    x = tf.constant(rng.normal(size=(40, 3)) * 6)
    log_det = flow.block.forward_and_log_det(x)[1]
    np.testing.assert_allclose(np.linalg.slogdet(batch_jacobian(flow.block.forward, x))[1], log_det, atol=1e-8)


def test_a_condition_is_not_clipped():
    flow = real_nvp(event_shape=2, depth=2, hidden=(8,), condition_shape=1)
    rng = np.random.default_rng(5)
    for v in flow.trainable_variables:
        v.assign(v + 0.5 * rng.normal(size=v.shape).astype("float32"))
    x = tf.zeros([1, 2])
    assert abs(float(flow.log_prob(x, condition=[[100.0]])[0] - flow.log_prob(x, condition=[[50.0]])[0])) > 1e-3


def has_tails(flow):
    return any(isinstance(block, RadialTails) for block in flow.block._flatten_layers())


@pytest.mark.parametrize("make", [real_nvp, autoregressive_flow])
def test_by_default_with_actnorms(make):
    made = functools.partial(make, event_shape=2, depth=2, hidden=(4,))
    assert has_tails(made()) and has_tails(made(actnorm=False, heavy_tails=True))
    assert not has_tails(made(actnorm=False)) and not has_tails(made(heavy_tails=False))
    with pytest.raises((TypeError, ValueError), match="heavy_tails"):
        made(heavy_tails="yes")
