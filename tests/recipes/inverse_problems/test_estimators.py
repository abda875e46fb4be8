"""The yardstick estimators on a problem whose posterior is known: regression, embedding, flow, matching, resampling."""

import math

import numpy as np
import pytest
import tensorflow as tf

from recipes.inverse_problems.coordinates import Coordinates
from recipes.inverse_problems.early_stopping import Stopping, fit
from recipes.inverse_problems.methods.embedding import Embedding
from recipes.inverse_problems.methods.flow_matching import FlowMatching
from recipes.inverse_problems.methods.regression import LinearRegression
from recipes.inverse_problems.methods.resampled import ResampledFlow
from recipes.inverse_problems.methods.spline_maf import ConditionalSplineMaf
from recipes.inverse_problems.problems.problem import Problem, simulate
from recipes.inverse_problems.problems.supports import Real
from recipes.inverse_problems.training import Pairs, make_pairs


class Mean(Problem):
    """Two draws of a normal around a standard normal x: the posterior is N(mean(y) 2/3, 1/3)."""

    name = "mean"
    parameters = ("x",)
    observations = ("y 1", "y 2")
    supports = (Real(),)
    deterministic = False
    draws = 2

    def prior(self, n, seed):
        return tf.random.stateless_normal([n, 1], seed)

    def log_prior(self, x):
        return -0.5 * x[:, 0] ** 2 - 0.5 * math.log(2 * math.pi)

    def forward(self, x, seed):
        return x + tf.random.stateless_normal([tf.shape(x)[0], 2], seed)


@pytest.fixture(scope="module")
def coordinates():
    return Coordinates.of(Mean(), 4000, 0)


@pytest.fixture(scope="module")
def pairs(coordinates):
    return make_pairs(coordinates, 4000, 0, supervised=False)


def test_regression_whitens_what_is_left():
    rng = np.random.default_rng(0)
    f = rng.normal(size=(4000, 2)) * [1.0, 30.0]
    x = f @ [[1.0, -2.0], [0.5, 0.1]] + rng.normal(size=(4000, 2)) @ [[0.5, 0.2], [0.0, 0.1]] + 3.0
    regression = LinearRegression(2, 2)
    x, f = tf.constant(x, tf.float32), tf.constant(f, tf.float32)
    regression.fit(x, f)
    r = regression.residual(x, f)
    assert np.allclose(np.cov(r.numpy().T), np.eye(2), atol=0.01)
    assert np.allclose(regression.restore(r, f), x, atol=1e-3)
    assert float(regression.log_det()) == pytest.approx(-math.log(0.5 * 0.1), abs=0.1)


def test_an_embedding_of_draws_does_not_see_their_order():
    embedding = Embedding(6, draws=3, hidden=(8,), learned=4)
    y = tf.random.stateless_normal([5, 6], [0, 0])
    embedding.adapt(tf.random.stateless_normal([100, 6], [0, 1]))
    turned = tf.concat([y[:, 4:], y[:, :4]], -1)
    assert embedding(y).shape == (5, embedding.width)
    assert np.allclose(embedding(y), embedding(turned), atol=1e-5)
    assert not np.allclose(embedding(y), embedding(tf.reverse(y, [-1])), atol=1e-2)  # draws turned inside out


def test_the_flow_starts_as_the_linear_posterior(coordinates, pairs):
    model = ConditionalSplineMaf(1, 2, 2000, depth=1)
    model.prepare(tf.constant(pairs.x), tf.constant(pairs.y))
    y = coordinates.observed(tf.constant([[1.0, 2.0]]))
    x = coordinates.parameters(model.sample_posterior(tf.repeat(y, 4000, 0), tf.constant([0, 1]))).numpy()
    assert x.mean() == pytest.approx(1.0, abs=0.05) and x.std() == pytest.approx(math.sqrt(1 / 3), abs=0.03)


def random_weights(model, scale=0.1):
    for i, weight in enumerate(model.trainable_variables):
        weight.assign_add(scale * tf.random.stateless_normal(weight.shape, [i, 0]))


@pytest.mark.parametrize(
    "make",
    [lambda: ConditionalSplineMaf(2, 4, 2000, depth=2), lambda: FlowMatching(2, 4, 800, layers=2)],
    ids=["flow", "matching"],
)
def test_density_integrates_to_one_and_fits_the_samples(make):
    model = make()
    model.prepare(tf.random.stateless_normal([100, 2], [0, 2]), tf.random.stateless_normal([100, 4], [0, 3]))
    random_weights(model)
    y = tf.constant([[0.5, -1.0, 0.2, 0.0]])
    side = np.linspace(-6, 6, 61)
    grid = tf.constant(np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2), tf.float32)
    density = np.exp(model.log_prob(grid, tf.repeat(y, len(grid), 0)).numpy())
    assert density.sum() * 0.2**2 == pytest.approx(1.0, abs=0.01)
    x = model.sample_posterior(tf.repeat(y, 4000, 0), tf.constant([0, 1])).numpy()
    assert np.allclose(x.mean(0), (density[:, None] * grid.numpy()).sum(0) * 0.2**2, atol=0.08)


class TooWide:
    """q: the posterior's mean, 1.6 times its deviation."""

    sd = 1.6 * math.sqrt(1 / 3)

    def sample_posterior(self, y, seed):
        return tf.reduce_sum(y, -1, keepdims=True) / 3 + self.sd * tf.random.stateless_normal([tf.shape(y)[0], 1], seed)

    def log_prob(self, x, y):
        return -0.5 * ((x[:, 0] - tf.reduce_sum(y, -1) / 3) / self.sd) ** 2 - math.log(self.sd * math.sqrt(2 * math.pi))


class Likelihood:
    """l: the true one."""

    def log_prob(self, y, x):
        return tf.reduce_sum(-0.5 * (y - x) ** 2 - 0.5 * math.log(2 * math.pi), -1)


def test_resampling_corrects_a_posterior_flow_that_is_wrong():
    problem = Mean()
    model = ResampledFlow(1, 2, 100, log_prior=problem.log_prior, candidates=16, depth=1)
    model.posteriors, model.likelihoods = [TooWide()], [Likelihood()]
    x, y = simulate(problem, 2000, 0)
    found = model.tune(x, y, 0)
    assert float(model.power) == min(found, key=found.get) == 1.0
    entropy = 0.5 * math.log(2 * math.pi * math.e / 3)  # of the posterior
    assert found[1.0] == pytest.approx(entropy, abs=0.05) and found[0.0] > found[0.5] > found[1.0]
    density = model.log_prob(x[:500], y[:500]).numpy().mean()
    assert density == pytest.approx(-entropy, abs=0.1)
    sd = {}
    for power in (0.0, 1.0):
        model.power.assign(power)
        drawn = model.sample_posterior(tf.tile([[1.0, 2.0]], [3000, 1]), tf.constant([0, 1])).numpy()
        assert drawn.shape == (3000, 1) and drawn.mean() == pytest.approx(1.0, abs=0.06)
        sd[power] = drawn.std()
    assert sd[0.0] == pytest.approx(TooWide.sd, rel=0.05) and sd[1.0] == pytest.approx(math.sqrt(1 / 3), rel=0.06)


def test_fitting_keeps_the_best_averaged_weights(coordinates, pairs):
    model = ConditionalSplineMaf(1, 2, 1000, depth=1)
    few, held = Pairs(pairs.x[:40], pairs.y[:40]), Pairs(pairs.x[1000:], pairs.y[1000:])
    losses = fit(
        model, "few", coordinates, few, held, Stopping(steps=60, batch_size=32, rate=0.03, look_every=10, patience=3), 0
    )
    kept = float(model.objective(tf.constant(held.x), tf.constant(held.y), tf.constant([0, 0]), tf.constant(1.0)))
    assert kept == pytest.approx(min(losses), abs=1e-4)
    assert len(losses) <= 7
