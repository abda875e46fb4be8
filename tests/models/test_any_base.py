"""A flow over bases other than the standard normal: densities, samples, training, and what a base may lack."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.blocks import ActNorm, AffineCoupling, Rescale
from inntf.models import DensityModel, Flow
from inntf.nets import MLP
from inntf.serving import export, load
from inntf.stability import stability_report

tfd = tfp.distributions


class DensityAlone(tfd.Distribution):
    """A Laplace density without samples or moments."""

    def __init__(self, loc):
        self._loc = loc
        kind = tfd.NOT_REPARAMETERIZED
        super().__init__(tf.float32, kind, validate_args=False, allow_nan_stats=True, parameters={"loc": loc}, name="alone")

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {}

    def _event_shape(self):
        return tf.TensorShape([2])

    def _batch_shape(self):
        return tf.TensorShape([])

    def _log_prob(self, x):
        return -tf.reduce_sum(tf.abs(x - self._loc) + math.log(2.0), -1)


def mixture():
    loc = tf.Variable([[-2.0, 0.0], [2.0, 0.0]])
    return tfd.MixtureSameFamily(tfd.Categorical(logits=[0.0, 0.0]), tfd.MultivariateNormalDiag(loc))


BASES = {
    "mixture": mixture,
    "von Mises": lambda: tfd.Independent(tfd.VonMises([0.0, 1.0], [1.0, 4.0]), 1),
    "uniform": lambda: tfd.Independent(tfd.Uniform([-2.0, -2.0], [2.0, 2.0]), 1),
    "heavy tails": lambda: tfd.Sample(tfd.StudentT(3.0, 0.0, 1.0), 2),
    "blockwise": lambda: tfd.Blockwise([tfd.Normal(0.0, 1.0), tfd.VonMises(0.0, 1.0)]),
}
X = np.random.default_rng(0).uniform(-0.9, 0.9, (16, 2)).astype(np.float32)


@pytest.mark.parametrize("make", BASES.values(), ids=BASES)
def test_density_and_samples_are_those_of_the_base_pulled_back(make):
    base = make()
    flow = Flow(Rescale(2.0, 0.1), base, event_shape=(2,))
    np.testing.assert_allclose(flow.log_prob(X), base.log_prob(2 * X + 0.1) + 2 * math.log(2.0), rtol=1e-5)
    x, log_prob = flow.sample_and_log_prob(5, seed=1)
    np.testing.assert_allclose(log_prob, flow.log_prob(tf.identity(x)), rtol=1e-4)
    assert np.isfinite(flow.sample(5, seed=1, temperature=0.5)).all()


def test_what_lies_beyond_the_support_has_no_density():
    flow = Flow(Rescale(2.0), BASES["uniform"](), event_shape=(2,))
    assert np.isneginf(flow.log_prob(tf.constant([[1.5, 0.0]]))[0])


@pytest.mark.parametrize("make", [mixture, lambda: DensityAlone(tf.Variable([0.5, 0.0]))])
def test_variables_of_the_base_train(make):
    model = DensityModel(Flow(AffineCoupling(conditioner=MLP((4,))), make(), event_shape=(2,)))
    before = [v.numpy().copy() for v in model.base_variables]
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    model.fit(X, epochs=1, verbose=0)
    assert before and all(np.any(a != b.numpy()) for a, b in zip(before, model.base_variables, strict=True))


def test_a_flow_as_base_trains_and_is_counted_once():
    inner = Flow(ActNorm(), event_shape=(2,))
    model = DensityModel(Flow(AffineCoupling(conditioner=MLP((4,))), inner, event_shape=(2,)))
    assert inner.block in model.base_blocks and len(model.trainable_variables) == 4 + 2
    before = inner.block.get_weights()
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    model.fit(X, epochs=1, verbose=0)
    assert all(np.any(a != b) for a, b in zip(before, inner.block.get_weights(), strict=True))
    holder = keras.layers.Layer()
    holder.flow = model.flow
    assert len(holder.trainable_variables) == 4 + 2


def test_without_samples_only_sampling_is_refused():
    flow = Flow(Rescale(2.0), DensityAlone(tf.zeros(2)), event_shape=(2,))
    for call in (lambda: flow.sample(2), lambda: flow.sample_and_log_prob(2), lambda: DensityModel(flow).sample(2)):
        with pytest.raises(NotImplementedError, match="density alone"):
            call()
    report = stability_report(flow, X)
    assert report["verdict"] == "stable" and "density alone" in report["own_samples_missing"]


@pytest.mark.slow
def test_without_samples_it_is_exported(tmp_path):
    flow = Flow(Rescale(2.0), DensityAlone(tf.zeros(2)), event_shape=(2,))
    served = load(export(flow, tmp_path / "model").parent)
    np.testing.assert_allclose(served.log_prob(X), flow.log_prob(X), rtol=1e-5)
    assert "sample" not in served.signatures


@pytest.mark.parametrize(
    "make",
    [
        lambda: tfd.Independent(tfd.Cauchy([0.0, 0.0], [1.0, 1.0]), 1),
        lambda: tfd.TransformedDistribution(tfd.MultivariateNormalDiag([0.0, 0.0]), tfp.bijectors.Tanh()),
    ],
)
def test_a_temperature_needs_a_mean(make):
    flow = Flow(Rescale(2.0), make(), event_shape=(2,))
    assert flow.sample(3, seed=1).shape == (3, 2)
    with pytest.raises(NotImplementedError, match="temperature 1"):
        flow.sample(3, seed=1, temperature=0.5)


@pytest.mark.parametrize(
    ("base", "match"),
    [
        (lambda: tfd.JointDistributionSequential([tfd.Normal(0.0, 1.0), tfd.Normal(0.0, 1.0)]), "Blockwise"),
        (lambda: tfd.MultivariateNormalDiag(np.zeros(2)), "float64"),
    ],
)
def test_bases_that_do_not_fit(base, match):
    with pytest.raises(TypeError, match=match):
        Flow(ActNorm(), base(), event_shape=(2,))
