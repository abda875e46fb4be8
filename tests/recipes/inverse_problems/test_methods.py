"""Every model: objectives fall, samples repeat, densities integrate to one, inverses invert, weights are as many as asked."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.common.errors import UserError
from recipes.inverse_problems.coordinates import Coordinates
from recipes.inverse_problems.evaluation.stability import stability
from recipes.inverse_problems.methods.mdn import Mdn
from recipes.inverse_problems.methods.method import mlp_weights, width_for
from recipes.inverse_problems.methods.registry import METHODS, method_named
from recipes.inverse_problems.posterior import Posterior
from recipes.inverse_problems.problems import Ballistics, Kinematics
from recipes.inverse_problems.training import Training, make_pairs, train

STRATEGY = tf.distribute.get_strategy()


@pytest.fixture(scope="module")
def kinematics():
    coordinates = Coordinates.of(Kinematics(), 5000)
    return coordinates, {kind: make_pairs(coordinates, 5000, 1, supervised=kind) for kind in (False, True)}


@pytest.mark.parametrize("name", METHODS)
def test_a_short_training(name, kinematics):
    coordinates, pairs = kinematics
    keras.utils.set_random_seed(0)
    method = METHODS[name](4, 2, 4000)
    data = pairs[method.supervised]
    now = tf.constant(data.x[:500]), tf.constant(data.y[:500]), tf.constant([3, 4]), tf.constant(1.0)
    method.prepare(tf.constant(data.x[:4096]), tf.constant(data.y[:4096]))  # as the training will
    before = float(method.objective(*now))
    steps = 200 if name == "flow_matching" else 40  # its loss is mostly noise
    train(method, name, coordinates, data, data, Training(steps, 200, 2e-3, 0, steps), STRATEGY)
    assert float(method.objective(*now)) < before
    posterior = Posterior(coordinates, method)
    y = np.array([[0.0, 1.5], [0.3, 1.0]], np.float32)
    samples = posterior.sample(y, 7, seed=5)
    assert samples.shape == (2, 7, 4) and np.isfinite(samples).all() and samples.std(1).min() > 0
    np.testing.assert_array_equal(samples, posterior.sample(y, 7, seed=5))
    assert not np.array_equal(samples, posterior.sample(y, 7, seed=6))
    if method.has_density:
        assert np.isfinite(posterior.log_prob(samples[0], np.repeat(y[:1], 7, 0))).all()
    else:
        with pytest.raises(NotImplementedError, match="no density"):
            method.log_prob(*now[:2])


@pytest.mark.parametrize("name", METHODS)
def test_about_as_many_weights_as_asked_for(name):
    for dims in ((4, 2), (4, 1)):
        assert 0.8 * 60_000 < METHODS[name](*dims, 60_000).count_weights() < 1.1 * 60_000


@pytest.mark.parametrize("name", ["inn", "iresnet", "maf_joint", "iaf_joint", "cinn", "maf_decoder", "spline_maf"])
def test_invertible_models_map_there_and_back(name, kinematics):
    method = METHODS[name](4, 2, 4000)
    data = kinematics[1][method.supervised]
    pair = tf.constant(data.x[:20]), tf.constant(data.y[:20])
    method.prepare(*pair)
    value, condition = method.block_input(*pair)
    z, log_det = method.invertible_block().forward_and_log_det(value, condition=condition)
    back, log_det_back = method.invertible_block().inverse_and_log_det(z + 0.0, condition=condition)
    np.testing.assert_allclose(back, value, atol=1e-4)
    np.testing.assert_allclose(log_det, -log_det_back, atol=1e-3)
    found = stability(method, data)
    assert found["reconstruction_max"] < 1e-3 and 1.0 <= found["condition_median"] <= found["condition_max"] * (1 + 1e-9)


def test_models_without_an_inverse_have_no_stability(kinematics):
    assert set(stability(METHODS["mdn"](4, 2, 4000), kinematics[1][False]).values()) == {None}


def test_the_mixture_is_a_density_and_its_samples_follow_it():
    keras.utils.set_random_seed(1)
    method = Mdn(2, 1, 2000, components=3)
    y = tf.constant([[0.4]])
    edge = np.linspace(-25, 25, 501)
    grid = np.stack(np.meshgrid(edge, edge, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)
    density = np.exp(method.log_prob(tf.constant(grid), tf.repeat(y, len(grid), 0)).numpy().astype(float))
    mass = density.sum() * (edge[1] - edge[0]) ** 2
    assert mass == pytest.approx(1.0, abs=2e-3)
    mean = (density[:, None] * grid).sum(0) / density.sum()
    covariance = np.cov(grid.T, aweights=density)
    drawn = method.sample_posterior(tf.repeat(y, 40_000, 0), tf.constant([0, 1])).numpy()
    np.testing.assert_allclose(drawn.mean(0), mean, atol=4 * np.sqrt(covariance.max() / 40_000))
    np.testing.assert_allclose(np.cov(drawn.T), covariance, rtol=0.06, atol=0.03 * covariance.max())


def test_densities_are_those_of_the_parameters():
    """The density of a cINN over ballistics integrates to one over angles within their interval."""
    coordinates = Coordinates.of(Ballistics(), 5000)
    keras.utils.set_random_seed(0)
    method = METHODS["cinn"](4, 1, 1000)
    posterior = Posterior(coordinates, method)
    y = np.array([[6.0]], np.float32)
    samples = posterior.sample(y, 2000, 0)[0]
    low, high = coordinates.problem.angles
    assert samples[:, 2].min() >= low and samples[:, 2].max() <= high
    # An untrained flow is a normal in coordinates; importance weights of uniform angles average to its marginal mass.
    x = samples.copy()
    x[:, 2] = np.random.default_rng(0).uniform(low, high, len(x))
    v = coordinates.centred(tf.constant(x))
    method_density = method.log_prob(v, coordinates.observed(tf.constant(np.repeat(y, len(x), 0))))
    np.testing.assert_allclose(
        posterior.log_prob(x, np.repeat(y, len(x), 0)), method_density - coordinates.log_slope(v), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", ["cinn", "maf_decoder", "cvae", "mdn", "spline_maf", "flow_matching"])
def test_noise_of_y_is_added_where_a_training_asks_for_it_alone(name, kinematics):
    method = METHODS[name](4, 2, 2000)
    data = kinematics[1][False]
    x, y = tf.constant(data.x[:200]), tf.constant(data.y[:200])
    method.prepare(x, y)
    for weight in method.trainable_weights:
        weight.assign(weight + 0.05 * tf.random.stateless_normal(weight.shape, [2, 3]))

    def losses():
        return [float(method.objective(x, y, tf.constant([1, 2]), tf.constant(share))) for share in (0.0, 0.9)]

    early, late = losses()
    assert early == late  # nothing falls in training: there is no noise
    method.noise_of_y = 1.0
    early, late = losses()
    assert early != late


def test_widths():
    assert mlp_weights(3, [5, 7], 2) == 4 * 5 + 6 * 7 + 8 * 2
    assert width_for(10, lambda width: width**2) == 4  # never narrower
    width = width_for(1000, lambda w: mlp_weights(2, [w, w], 2))
    assert mlp_weights(2, [width] * 2, 2) <= 1000 < mlp_weights(2, [width + 1] * 2, 2)


def test_a_users_own_model_by_its_place(kinematics):
    assert method_named("recipes.inverse_problems.methods.mdn:Mdn") is Mdn
    for wrong in ("nothing", "no.such.module:Mdn", "recipes.inverse_problems.methods.mdn:mlp_weights", "math:nothing", ":"):
        with pytest.raises(UserError, match="--methods"):
            method_named(wrong)


def test_an_inn_needs_as_many_parameters_as_observations():
    with pytest.raises(ValueError, match="dim y = 5 above dim x = 4"):
        METHODS["inn"](4, 5, 1000)
