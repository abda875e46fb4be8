"""FlowGan and prior refitting: losses, gradients, and what a broken step may not do."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.blocks import Rescale
from inntf.models import Flow, FlowGan, glow, refit_prior
from inntf.nets import Discriminator

tfd = tfp.distributions


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(-0.5, 0.5, (8, 8, 8, 1)).astype("float32")


def make(objective, depth=2, **kwargs):
    keras.utils.set_random_seed(0)
    flow = glow(event_shape=(8, 8, 1), levels=1, depth=depth, hidden=4, additive=True, permutation="shuffle")
    discriminator = None if objective == "mle" else Discriminator((4,) * 7)
    gan = FlowGan(flow, discriminator, objective=objective, **kwargs)
    gan.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    return gan


@pytest.mark.parametrize("objective", ["mle", "adv", "hybrid"])
def test_each_objective_trains_what_it_should(objective, images):
    gan = make(objective)
    flow_before = [w.numpy() for w in gan.block.trainable_weights]
    history = gan.fit(images, batch_size=4, epochs=2, verbose=0).history
    assert all(np.isfinite(v).all() for v in history.values())
    assert any(np.abs(w - b).max() > 0 for w, b in zip(gan.block.trainable_weights, flow_before, strict=True))
    assert ("discriminator_loss" in history) == (objective != "mle")
    assert ("bits_per_dim" in history) == (objective != "adv")


def test_maximum_likelihood_lowers_bits_per_dim(images):
    gan = make("mle")
    gan.flow.initialize(images)
    history = gan.fit(images, batch_size=8, epochs=30, verbose=0).history
    assert history["bits_per_dim"][-1] < history["bits_per_dim"][0] - 0.01


def test_bits_per_dim_are_those_of_discrete_data():
    # A uniform density on [-1/2, 1/2) has 0 nats, so 256 bins cost 8 bits.
    assert float(make("mle").bits_per_dim(tf.constant(0.0))) == pytest.approx(8.0)


def test_with_a_seed_a_step_draws_by_seed_and_step_alone(images):
    """So a training that goes on in another process, from the same variables, is the same training."""

    def trained(seed, steps, variables=None):
        gan = make("hybrid", depth=1, seed=seed)
        kept = [*gan.variables, *gan.optimizer.variables, *gan.discriminator_optimizer.variables]
        for variable, value in zip(kept, variables or [], strict=False):
            variable.assign(value)
        gan.fit(images, batch_size=8, epochs=steps, verbose=0, shuffle=False)
        return [v.numpy() for v in kept]

    whole, half = trained(3, 4), trained(3, 2)
    keras.utils.set_random_seed(99)
    for a, b in zip(whole, trained(3, 2, half), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-7)
    other = trained(4, 4)
    assert max(np.abs(a - b).max() for a, b in zip(whole, other, strict=True)) > 1e-4


def test_gradient_penalty_is_that_of_the_discriminator(images):
    gan = make("adv", gradient_penalty=0.0)
    keras.utils.set_random_seed(1)
    logs = gan._train_discriminator(tf.constant(images), tf.constant(images))
    x = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(make("adv").discriminator(x))
    norm = tf.sqrt(tf.reduce_sum(tape.gradient(y, x) ** 2, [1, 2, 3]))
    assert float(logs["gradient_norm"]) == pytest.approx(float(tf.reduce_mean(norm)), rel=0.2)


def test_a_step_with_nan_changes_nothing_and_is_counted(images):
    gan = make("mle")
    before = [w.numpy() for w in gan.block.trainable_weights]
    history = gan.fit(np.full_like(images, np.nan), batch_size=8, verbose=0).history
    assert history["skipped"] == [1.0]
    for w, b in zip(gan.block.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(w, b)


def test_errors():
    flow = glow(event_shape=(8, 8, 1), levels=1, depth=1, hidden=4)
    with pytest.raises(ValueError, match="objective"):
        FlowGan(flow, objective="wgan")
    with pytest.raises(ValueError, match="discriminator"):
        FlowGan(flow, objective="adv")
    with pytest.raises(ValueError, match="one optimizer"):
        FlowGan(flow, Discriminator((4,) * 7), objective="adv").compile(keras.optimizers.Adam())


def test_refit_matches_a_known_variance_and_never_lowers_the_likelihood():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(4000, 3)) * [0.1, 1.0, 30.0]).astype("float32")
    flow = Flow(Rescale(scale=2.0), event_shape=(3,))
    closed, gradient = (refit_prior(flow, x, method=m) for m in ("closed_form", "gradient"))
    np.testing.assert_allclose(closed.scale, [0.2, 2.0, 60.0], rtol=0.05)
    gain = np.mean(closed.flow.log_prob(x)) - np.mean(flow.log_prob(tf.identity(x)))
    assert closed.gain == pytest.approx(gain, rel=1e-3)
    assert gradient.gain == pytest.approx(closed.gain, rel=0.01) and gradient.gain <= closed.gain + 1e-9
    assert closed.flow.block.blocks[0] is flow.block  # shares the weights


def test_refit_refuses_latents_that_are_not_finite():
    flow = Flow(Rescale(scale=1e30), event_shape=(2,))
    with pytest.raises(ValueError, match="finite"):
        refit_prior(flow, np.full((4, 2), 1e30, "float32"))
    with pytest.raises(ValueError, match="method"):
        refit_prior(flow, np.ones((4, 2), "float32"), method="em")


def test_refit_by_gradient_reaches_the_closed_form_whatever_the_scale():
    second = 10.0 ** np.random.default_rng(0).uniform(-6, 14, 200)
    flow = Flow(Rescale(scale=2.0), event_shape=(200,))
    closed, gradient = (refit_prior(flow, second_moment=second, method=m) for m in ("closed_form", "gradient"))
    np.testing.assert_allclose(gradient.scale, closed.scale, rtol=1e-3)
    with pytest.raises(ValueError, match="second_moment"):
        refit_prior(flow)


@pytest.mark.parametrize("objective", ["mle", "adv", "hybrid"])
def test_evaluate_and_validation_report_bits_of_held_out_images(objective, images):
    model, x = make(objective, seed=0), images
    history = model.fit(x, validation_data=(x[:6],), batch_size=4, epochs=2, verbose=0).history
    assert len(history["val_bits_per_dim"]) == 2 and ("bits_per_dim" in history) == (objective != "adv")
    found = model.evaluate(x[:5], batch_size=4, verbose=0, return_dict=True)
    expected = float(model.bits_per_dim(-tf.reduce_mean(model.flow.log_prob(x[:5] + model.noise / 2))))
    assert found["bits_per_dim"] == pytest.approx(expected, rel=0.02)
    assert history["val_bits_per_dim"][-1] != history["val_bits_per_dim"][0]


def test_a_base_with_weights_is_trained_and_saved(tmp_path):
    def with_base():
        block = glow(event_shape=(4, 4, 1), levels=1, depth=1, hidden=2).block
        base = tfd.Independent(tfd.Normal(tf.Variable(tf.zeros([16])), 1.0), 1)
        model = FlowGan(Flow(block, base, event_shape=(4, 4, 1)), objective="mle", seed=0)
        model.compile(keras.optimizers.Adam(0.1))
        return model

    model, x = with_base(), np.random.default_rng(0).uniform(3, 4, size=(16, 4, 4, 1)).astype("float32")
    model.fit(x, epochs=3, verbose=0)
    (mean,) = model.flow.base.trainable_variables
    assert np.abs(mean.numpy()).max() > 0.1
    model.save_weights(tmp_path / "gan.weights.h5")
    other = with_base()
    other.load_weights(tmp_path / "gan.weights.h5")
    np.testing.assert_allclose(other.flow.log_prob(x), model.flow.log_prob(x), rtol=1e-5)


def test_what_a_gan_does_not_take_or_do_is_said_at_once(tmp_path):
    conditional = glow(event_shape=(4, 4, 1), levels=1, depth=1, hidden=2, condition_shape=3)
    with pytest.raises(ValueError, match="DensityModel trains conditional flows"):
        FlowGan(conditional, objective="mle")
    model = make("mle")
    with pytest.raises(NotImplementedError, match="save_weights"):
        model.save(tmp_path / "gan.keras")
