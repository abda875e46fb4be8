"""`refit_prior`: what it promises is what the likelihood gains, also with conditions, networks for them, and other dtypes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.blocks import ActNorm, AffineCoupling, Rescale
from inntf.compose import Chain
from inntf.models import DensityModel, Flow, glow, real_nvp, refit_prior
from inntf.nets import MLP

tfd = tfp.distributions
RNG = np.random.default_rng(0)
C = RNG.normal(size=(300, 3)).astype("f4")
X = (RNG.normal(size=(300, 2)) * [1, 5] + C[:, :2]).astype("f4")


def conditional(dtype=None, network=True):
    keras.utils.set_random_seed(1)
    network = MLP((6,), out_channels=2, activation="tanh", zero_last=False) if network else None
    return real_nvp(event_shape=2, depth=2, hidden=(8,), condition_shape=3, condition_network=network, dtype=dtype)


def trained():
    flow = conditional()
    model = DensityModel(flow)
    model.compile(keras.optimizers.Adam(2e-2))
    data = tf.data.Dataset.from_tensor_slices(((X, C),)).batch(100)
    model.fit(data, epochs=4, verbose=0)
    return flow


def real_gain(refit, flow, x, condition):
    now, before = (f.log_prob(tf.cast(x, f.dtype), condition=tf.cast(condition, f.dtype)) for f in (refit.flow, flow))
    return float(tf.reduce_mean(now) - tf.reduce_mean(before))


def test_every_form_of_conditional_data_gives_the_gain_that_is_real(tmp_path):
    flow = trained()
    z = flow.block.forward_and_log_det(X, flow.embed(C))[0].numpy().astype("f8")
    fits = [
        refit_prior(flow, (X, C)),
        refit_prior(flow, {"x": X, "condition": C}),
        refit_prior(flow, X, condition=C, batch_size=70),
        refit_prior(flow, tf.constant(X), C.astype("f8")),
        refit_prior(flow, tf.data.Dataset.from_tensor_slices(((X, C),)).batch(100)),
        refit_prior(flow, second_moment=(z**2).mean(0)),
        refit_prior(flow, (X, C), method="gradient"),
    ]
    for fit in fits:
        np.testing.assert_allclose(fit.scale, fits[0].scale, rtol=1e-4)
        assert real_gain(fit, flow, X, C) == pytest.approx(fit.gain, abs=1e-4)
    assert fits[0].gain > 1e-3
    assert fits[0].flow.condition_network is flow.condition_network
    again = refit_prior(fits[0].flow, (X, C))  # the fitted base is a block: what comes out is standard again
    assert again.gain == pytest.approx(0, abs=1e-5)
    # Saved whole, and by a checkpoint.
    DensityModel(fits[0].flow).save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    expected = fits[0].flow.log_prob(X, condition=C)
    np.testing.assert_allclose(loaded((X, C)), expected, atol=1e-5)
    path = tf.train.Checkpoint(it=fits[0].flow).write(str(tmp_path / "c"))
    other = refit_prior(conditional(), second_moment=fits[0].scale ** 2)
    tf.train.Checkpoint(it=other.flow).read(path).assert_consumed()
    np.testing.assert_allclose(other.flow.log_prob(X, condition=C), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
def test_other_dtypes_and_frozen_flows(dtype):
    flow = conditional(dtype, network=False)
    flow.block.trainable = False
    before = flow.block.get_weights()
    fit = refit_prior(flow, (X, C))
    # The network in 16 bit sees the condition in another rounding; there is no network here.
    assert real_gain(fit, flow, X, C) == pytest.approx(fit.gain, abs=1e-2)
    for a, b in zip(before, flow.block.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_condition_for_all_and_images():
    flow = conditional(network=False)
    one = refit_prior(flow, X, condition=C[0])
    assert real_gain(one, flow, X, C[0]) == pytest.approx(one.gain, abs=1e-3)
    images = RNG.uniform(size=(5, 8, 8, 1))
    flow = glow(event_shape=(8, 8, 1), levels=2, depth=1, hidden=4)
    fit = refit_prior(flow, images)
    gain = np.mean(fit.flow.log_prob(images.astype("f4"))) - np.mean(flow.log_prob(images.astype("f4")))
    assert gain == pytest.approx(fit.gain, abs=1e-2)


def test_numbers_of_classes_go_with_their_rows():
    flow = real_nvp(event_shape=2, depth=2, hidden=(8,), condition_shape=(), condition_network=keras.layers.Embedding(3, 4))
    rng = np.random.default_rng(1)
    for v in flow.block.trainable_variables:
        v.assign_add(0.2 * rng.normal(size=v.shape))
    y = np.arange(300) % 3
    fit = refit_prior(flow, X, y)
    np.testing.assert_allclose(fit.scale, refit_prior(flow, X, y, batch_size=300).scale, rtol=1e-5)
    assert refit_prior(flow, X, 2).gain == pytest.approx(refit_prior(flow, X, np.full(300, 2)).gain, abs=1e-5)


def test_latents_that_do_not_vary_gain_what_is_said():
    flow = Flow(Rescale(1.0), event_shape=(2,))
    x = np.stack([np.zeros(50), RNG.normal(size=50)], 1).astype("f4")
    fit = refit_prior(flow, x)
    assert float(np.mean(fit.flow.log_prob(x)) - np.mean(flow.log_prob(x))) == pytest.approx(fit.gain, abs=1e-3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: refit_prior(conditional(), (X, C), condition=C),
        lambda: refit_prior(conditional(), (X, C, C)),
        lambda: refit_prior(conditional(), X),
        lambda: refit_prior(conditional(), (X[:0], C[:0])),
        lambda: refit_prior(conditional(), second_moment=np.ones(3)),
        lambda: refit_prior(conditional(), second_moment=2.0),
        lambda: refit_prior(conditional(), second_moment=np.array([-1.0, 1.0])),
        lambda: refit_prior(Flow(ActNorm(), base=tfd.MultivariateNormalDiag([1.0, 1.0]), event_shape=2), X),
        lambda: refit_prior(Flow(ActNorm(), base=tfd.MultivariateNormalDiag(tf.zeros([3, 2])), event_shape=2), X),
    ],
)
def test_what_cannot_be_fitted_is_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()


def test_a_standard_normal_of_ones_own_is_one():
    chain = Chain([ActNorm(), AffineCoupling(conditioner=MLP((4,)))])
    flow = Flow(chain, base=tfd.MultivariateNormalDiag(tf.zeros(2), tf.ones(2)), event_shape=2)
    assert refit_prior(flow, X).gain > 0
