"""`export` takes whatever has a block, and its card says what was measured and what is known of the training."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.blocks import ActNorm, AffineCoupling, Dequantize
from inntf.compose import Chain
from inntf.models import DensityModel, Flow, FlowGan, glow, i_resnet_classifier, real_nvp
from inntf.serving import export
from inntf.serving.card import make_card
from inntf.serving.served import Served
from inntf.serving.signatures import trace

tfd = tfp.distributions
RNG = np.random.default_rng(0)


def served_and_card(model):
    served = Served.of(model)
    signatures = trace(served)[1]
    return served, signatures, make_card(served, signatures)


def trained(flow, x, **kwargs):
    model = DensityModel(flow)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(x, epochs=3, batch_size=32, verbose=0, **kwargs)
    return model


def test_a_trained_model_and_the_same_one_frozen():
    x = (2 * RNG.normal(size=(96, 4)) + 1).astype("float32")
    model = trained(real_nvp(event_shape=4, depth=2, hidden=(8,)), x)
    parameters = sum(int(np.prod(w.shape)) for w in model.flow.block.trainable_weights)
    for frozen in (False, True):
        model.trainable = not frozen
        _, signatures, card = served_and_card(model)
        np.testing.assert_allclose(signatures["log_prob"](x=tf.constant(x))["log_prob"], model.flow.log_prob(x), rtol=1e-5)
        assert card["parameters"] == parameters > 0
        assert card["trainable_parameters"] == (0 if frozen else card["parameters"])
        assert card["optimizer_steps"] == 9 and card["kind"] == "DensityModel" and card["nonfinite_parameters"] == 0
    assert served_and_card(model.flow)[2]["optimizer_steps"] is None  # a flow has no optimizer to ask
    made = DensityModel(real_nvp(event_shape=4, depth=1, hidden=(8,)))
    made.compile("adam")
    assert served_and_card(made)[2]["optimizer_steps"] == 0  # compiled, never trained


def test_a_model_that_ended_in_nan_says_so(tmp_path):
    flow = Flow(Chain([ActNorm(), AffineCoupling()]), event_shape=(4,))
    flow.block[0].shift.assign(np.array([0.0, np.nan, 1.0, np.inf], "float32"))
    card = json.loads((export(flow, tmp_path, batch=np.zeros((6, 4), "float32"), force=True) / "card.json").read_text())
    assert card["nonfinite_parameters"] == 2
    assert card["stability"]["verdict"] != "stable" and card["stability"]["reasons"]


def test_bounds_are_on_the_card_with_the_reason_where_there_are_none():
    chain = Chain([ActNorm(), AffineCoupling(name="scales")]).ensure_built((4,))
    bounds = served_and_card(chain)[2]["certificate"]
    assert bounds["forward"] == "inf" and "scales" in bounds["reason"] and bounds["scope"] == "global"
    json.dumps(bounds, allow_nan=False)
    assert served_and_card(ActNorm().ensure_built((4,)))[2]["certificate"]["forward"] == 1.0


def test_a_classifier_classifies_and_runs_backwards():
    model = i_resnet_classifier(event_shape=(2, 2, 2), classes=3, blocks=(1,), hidden=(4,), channels=3)
    x = RNG.normal(size=(5, 2, 2, 2)).astype("float32")
    model.initialize(x)
    model.certify(x)
    _served, signatures, card = served_and_card(model)
    assert set(signatures) == {"forward", "inverse", "reconstruct", "classify", "serving_default"}
    for name in ("classify", "serving_default"):
        np.testing.assert_allclose(signatures[name](x=tf.constant(x))["logits"], model(x), rtol=1e-5, atol=1e-6)
    z = signatures["forward"](x=tf.constant(x))["z"]
    np.testing.assert_allclose(z, model.features(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(signatures["inverse"](z=z)["x"], x, atol=1e-3)
    assert card["default_signature"] == "classify" and card["kind"] == "IResNetClassifier"
    head = sum(int(np.prod(w.shape)) for w in model.head.trainable_weights)
    assert card["parameters"] > head > 0


def test_models_around_a_block():
    x = RNG.normal(size=(6, 4)).astype("float32")
    block = AffineCoupling(name="inside")
    start = keras.Input((4,))
    functional = keras.Model(start, keras.layers.Dense(1)(block(start)))
    gan = FlowGan(glow(event_shape=(4, 4, 1), levels=1, depth=1, hidden=4), objective="mle")
    for model, inside in ((functional, block), (gan, gan.flow.block)):
        served = Served.of(model)
        assert served.block is inside and served.kind == type(model).__name__
    z = trace(Served.of(functional))[1]["forward"](x=tf.constant(x))["z"]
    np.testing.assert_allclose(z, block.forward_and_log_det(x)[0], rtol=1e-6)
    assert Served.of(gan).flow is gan.flow
    with pytest.raises(TypeError, match="received Sequential, expected an inntf block"):
        Served.of(keras.Sequential([keras.layers.Dense(2)]))
    with pytest.raises(ValueError, match="2 separate blocks"):
        Served.of(keras.Sequential([ActNorm(), keras.layers.Dense(4), ActNorm()]))


@pytest.mark.parametrize("network, shape", [(lambda: keras.layers.Dense(3), (2,)), (lambda: keras.layers.Embedding(3, 2), ())])
def test_conditions_have_the_shape_before_the_network(network, shape):
    x, condition = RNG.normal(size=(6, 4)).astype("float32"), RNG.integers(0, 3, (6, *shape))
    base = tfd.MultivariateNormalDiag(tf.zeros(4))
    for flow in (
        real_nvp(event_shape=4, depth=1, hidden=(4,), condition_shape=shape, condition_network=network()),
        Flow(AffineCoupling(), base, condition_network=network()),  # which learns it at the first call
    ):
        expected = flow.log_prob(x, condition=condition)
        _, signatures, card = served_and_card(flow)
        assert card["condition_shape"] == list(shape)
        got = signatures["log_prob"](x=tf.constant(x), condition=tf.constant(condition, tf.float32))["log_prob"]
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_base_without_a_mean_is_sampled_at_temperature_one():
    flow = Flow(AffineCoupling(), tfd.Independent(tfd.Cauchy(tf.zeros(4), 1.0), 1), event_shape=(4,))
    sample = served_and_card(flow)[1]["sample"]
    given = {"n": tf.constant(3), "seed": tf.constant(1)}
    np.testing.assert_allclose(sample(**given, temperature=tf.constant(1.0))["x"], flow.sample(3, seed=1), rtol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="no mean"):
        sample(**given, temperature=tf.constant(0.5))


def test_what_is_behind_a_rounding_front_is_measured(tmp_path):
    flow = Flow(Chain([Dequantize(levels=8, seed=1, name="front"), AffineCoupling()]), event_shape=(4,))
    for weight in flow.block.trainable_weights:
        weight.assign(weight + 0.1 * RNG.normal(size=weight.shape))
    path = export(flow, tmp_path, batch=RNG.integers(0, 8, (6, 4)))
    stability = json.loads((path / "card.json").read_text())["stability"]
    assert stability["measured_behind"] == ["front"] and stability["verdict"] == "stable"
    assert 0 < stability["reconstruction_error"]["max"] < 1e-5  # not the exact zero that the rounding would give


@pytest.mark.parametrize("wrong", [{"overwrite": "no"}, {"name": 3}, {"version": 1.5}])
def test_arguments_of_another_kind(tmp_path, wrong):
    with pytest.raises((TypeError, ValueError), match="export: received"):
        export(ActNorm().ensure_built((2,)), tmp_path, **wrong)
