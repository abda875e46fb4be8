"""Flow: densities, samples, and the places where TFP takes a distribution."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import inntf
from inntf.blocks import AffineCoupling, Dequantize, Rescale
from inntf.compose import Chain
from inntf.models import Flow, glow, real_nvp

tfd, tfb = tfp.distributions, tfp.bijectors


def stirred(flow, seed=0, by=0.2):
    """Move every weight off its start, or zero-initialized networks hide mistakes."""
    rng = np.random.default_rng(seed)
    for w in flow.block.trainable_weights:
        w.assign(w + by * rng.normal(size=w.shape))
    return flow


@pytest.fixture
def flow():
    return stirred(real_nvp(event_shape=3, depth=2, hidden=(8,), dtype="float64"))


def test_log_prob_integrates_to_one():
    flow = stirred(real_nvp(event_shape=2, depth=2, hidden=(8,), dtype="float64"))
    axis = np.linspace(-12, 12, 301)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    mass = np.sum(np.exp(flow.log_prob(tf.constant(grid)))) * (axis[1] - axis[0]) ** 2
    assert mass == pytest.approx(1.0, abs=2e-3)


def test_log_prob_is_the_change_of_variables(flow):
    x = tf.random.normal([4, 3], dtype="float64", seed=1)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = flow.block.forward_and_log_det(x)[0]
    log_det = np.linalg.slogdet(tape.batch_jacobian(z, x))[1]
    expected = flow.base.log_prob(z) + log_det
    np.testing.assert_allclose(flow.log_prob(tf.identity(x)), expected, atol=1e-10)


def test_samples_repeat_with_the_seed_and_differ_without(flow):
    np.testing.assert_array_equal(flow.sample(5, seed=3), flow.sample(5, seed=3))
    assert np.abs(flow.sample(5, seed=3) - flow.sample(5, seed=4)).max() > 1e-3
    assert flow.sample(seed=1).shape == (3,)
    assert flow.sample((2, 4), seed=1).shape == (2, 4, 3)


def test_sample_and_log_prob_evaluates_each_network_once_and_agrees(flow):
    x, log_prob = flow.sample_and_log_prob(6, seed=2)
    np.testing.assert_allclose(log_prob, flow.log_prob(tf.identity(x)), atol=1e-9)


def test_samples_have_the_density_of_the_flow():
    flow = Flow(Rescale(scale=0.5, shift=1.0), event_shape=(2,))  # x = (z - 1) / 0.5
    x = flow.sample(20_000, seed=0).numpy()
    np.testing.assert_allclose(x.mean(0), -2.0, atol=4 * 2 / np.sqrt(20_000))
    np.testing.assert_allclose(x.std(0), 2.0, rtol=0.03)
    cold = flow.sample(20_000, seed=0, temperature=0.5).numpy()
    np.testing.assert_allclose(cold.std(0), 1.0, rtol=0.03)
    with pytest.raises(ValueError, match="temperature"):
        flow.sample(2, temperature=-1.0)


def test_bits_per_dim_of_uniform_noise_on_levels_is_eight():
    flow = Flow(Chain([Dequantize(256, seed=0), Rescale(scale=np.sqrt(2 * np.pi) * 1.0)]), event_shape=(4,))
    x = tf.constant(np.random.default_rng(0).integers(0, 256, (64, 4)), tf.float32)
    uniform = 8 + np.mean((np.random.default_rng(1).uniform(size=100_000) ** 2) * np.pi) / np.log(2)
    assert float(tf.reduce_mean(flow.bits_per_dim(x))) == pytest.approx(uniform, abs=0.3)


def test_conditions_reach_every_step_and_samples_take_their_batch():
    flow = stirred(real_nvp(event_shape=2, depth=2, hidden=(8,), condition_shape=(3,)))
    c = tf.random.normal([5, 3], seed=0)
    assert flow.sample(4, condition=c, seed=1).shape == (4, 5, 2)
    x = flow.sample(condition=c, seed=1)
    assert np.abs(flow.log_prob(x, condition=c) - flow.log_prob(tf.identity(x), condition=c + 1)).max() > 1e-3
    with pytest.raises(ValueError, match="condition"):
        flow.log_prob(x)


def test_condition_network_embeds_images():
    net = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)])
    flow = real_nvp(event_shape=2, depth=2, hidden=(8,), condition_shape=(4, 4, 1), condition_network=net)
    c = tf.random.normal([3, 4, 4, 1], seed=0)
    assert flow.log_prob(tf.zeros([3, 2]), condition=c).shape == (3,)
    ids = {id(v) for v in flow.trainable_variables}
    assert all(id(w.value) in ids for w in net.trainable_weights)


@pytest.mark.parametrize("shape", [(8,), (8, 8, 1)])
def test_image_conditions_make_a_pyramid(shape):
    flow = glow(event_shape=(8, 8, 1), levels=2, depth=1, hidden=4, condition_shape=shape)
    stirred(flow, by=0.1)
    c = tf.random.normal([2, *shape], seed=0)
    x = tf.random.normal([2, 8, 8, 1], seed=1)
    assert np.abs(flow.reconstruct(x, c) - x).max() < 1e-4
    assert np.abs(flow.log_prob(x, condition=c) - flow.log_prob(tf.identity(x), condition=-c)).max() > 1e-4


def test_it_works_inside_tfp(flow):
    x = tf.random.normal([4, 3], dtype="float64", seed=1)
    batch = Flow(flow.block, tfd.MultivariateNormalDiag(tf.zeros([2, 3], tf.float64), tf.ones([2, 3], tf.float64)))
    assert batch.batch_shape == (2,)
    mixture = tfd.MixtureSameFamily(tfd.Categorical(probs=tf.constant([0.3, 0.7], tf.float64)), batch)
    np.testing.assert_allclose(mixture.log_prob(x), flow.log_prob(tf.identity(x)), atol=1e-6)
    assert mixture.sample(5).shape == (5, 3)
    independent = tfd.Independent(batch, 1)
    assert independent.log_prob(tf.zeros([7, 2, 3], tf.float64)).shape == (7,)
    mixed = tfb.Chain([flow.block, tfb.Scale(tf.constant(2.0, tf.float64))])
    assert len(mixed.trainable_variables) == len(flow.block.trainable_weights)
    plain = tfd.TransformedDistribution(flow.base, tfb.Invert(flow.block))
    np.testing.assert_allclose(plain.log_prob(x), flow.log_prob(tf.identity(x)), atol=1e-10)


def test_variational_inference_finds_a_gaussian():
    target = tfd.MultivariateNormalDiag([1.0, -1.0], [0.5, 2.0])
    keras.utils.set_random_seed(0)
    surrogate = real_nvp(event_shape=2, depth=2, hidden=(8,))
    losses = tfp.vi.fit_surrogate_posterior(
        target.log_prob, surrogate, optimizer=keras.optimizers.Adam(0.05), num_steps=80, sample_size=64, seed=0
    )
    assert losses[0] > 0.5 and np.mean(losses[-10:]) < 0.15


def test_mcmc_moves_in_the_latent_space(flow):
    kernel = tfp.mcmc.TransformedTransitionKernel(
        tfp.mcmc.HamiltonianMonteCarlo(flow.log_prob, step_size=tf.constant(0.3, tf.float64), num_leapfrog_steps=3),
        tfb.Invert(flow.block),
    )
    sample = tf.function(tfp.mcmc.sample_chain, autograph=False)
    states, accepted = sample(
        20, tf.zeros([3], tf.float64), kernel=kernel, trace_fn=lambda _, r: r.inner_results.is_accepted, seed=(0, 1)
    )
    assert np.isfinite(states).all() and np.mean(accepted) > 0.5


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="event_shape"):
        Flow(AffineCoupling())
    with pytest.raises(TypeError, match="inntf.Block"):
        Flow(tfb.Exp())
    with pytest.raises(ValueError, match="latents"):
        Flow(AffineCoupling(), tfd.MultivariateNormalDiag(tf.zeros(5)), event_shape=(4,))
    with pytest.raises(ValueError, match="depth"):
        real_nvp(event_shape=2, depth=0)
    with pytest.raises(TypeError):
        real_nvp(event_shape=2, foo=1)
    assert inntf.Flow is Flow


@pytest.mark.parametrize(
    "make",
    [
        lambda r: real_nvp(event_shape=4, depth=3, hidden=(8,), repeat=r, dtype="float64"),
        lambda r: glow(event_shape=(8, 8, 1), levels=2, depth=2, hidden=4, repeat=r, dtype="float64"),
    ],
)
def test_scanned_and_unrolled_steps_are_the_same_flow(make):
    scanned, unrolled = make(True), make(False)
    x = np.random.default_rng(0).normal(size=(3, *scanned.event_shape))
    for flow in (scanned, unrolled):
        flow.initialize(x)
    # couplings start as the identity, and everything else follows from seed and data
    np.testing.assert_allclose(scanned.log_prob(tf.constant(x)), unrolled.log_prob(tf.constant(x)), rtol=1e-8)
