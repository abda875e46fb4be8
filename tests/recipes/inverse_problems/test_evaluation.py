"""Ground truth and errors: against exact posteriors, and the values that the metric must give."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.numerics import X_SIDE_KERNEL, mmd_squared
from recipes.inverse_problems.evaluation.ground_truth import GroundTruth, ground_truth, kept_ground_truth
from recipes.inverse_problems.evaluation.mean_shift import mode
from recipes.inverse_problems.evaluation.posterior_errors import posterior_errors
from recipes.inverse_problems.problems import Ballistics, Kinematics, Problem, simulate
from recipes.inverse_problems.problems.supports import Real


class Line(Problem):
    """`y = x_1` of two independent normals: the posterior is x_1 = y, x_2 standard normal."""

    name, parameters, observations, supports = "line", ("a", "b"), ("y",), (Real(), Real())

    def prior(self, n, seed):
        return tf.random.stateless_normal([n, 2], seed)

    def forward(self, x, seed=None):
        return x[:, :1]


def test_the_nearest_draws_are_the_posterior():
    truth = ground_truth(Line(), 5, 200, 50_000, np.array([0.5], np.float32), chunk=20_000)
    gaps = np.abs(truth.samples[..., 0] - truth.y)
    np.testing.assert_allclose(gaps.max(1), truth.radius, rtol=1e-5)
    assert truth.radius.max() < 0.2 and np.abs(truth.samples[..., 1].mean(1)).max() < 0.3
    assert np.abs(truth.shown[:, 0] - 0.5).max() < 0.05
    # In chunks as at once: nothing nearer is left out.
    whole = np.sort(
        np.abs(np.concatenate([_pool(turn, size) for turn, size in enumerate((20_000, 20_000, 10_000))])[:, 0] - truth.y[0])
    )
    np.testing.assert_allclose(truth.radius[0], whole[199], rtol=1e-5)


def _pool(turn, size):
    return simulate(Line(), size, 8_000_001 + turn)[0].numpy()


def test_a_kept_ground_truth_is_read_again(tmp_path):
    path = tmp_path / "a" / "truth.npz"
    first = kept_ground_truth(path, Line(), 3, 10, 1000, np.array([0.0], np.float32))
    again = kept_ground_truth(path, Line(), 3, 10, 1000, np.array([0.0], np.float32))
    np.testing.assert_array_equal(first.samples, again.samples)
    assert again.pool == 1000 and again.summary()["samples"] == 10


@pytest.mark.parametrize(("problem", "prior", "off"), [(Kinematics(), 0.46, 0.08), (Ballistics(), 0.19, 0.04)])
def test_the_metric_on_truth_prior_and_a_point(problem, prior, off):
    truth = ground_truth(problem, 20, 400, 400_000, np.zeros(problem.dim_y, np.float32))
    half = GroundTruth(truth.x, truth.y, truth.samples[:, ::2], truth.radius, truth.shown_y, truth.shown, truth.pool)
    same = posterior_errors(problem, truth.samples[:, 1::2], half)
    assert abs(same.posterior.mean()) < 0.005 and same.invalid.max() == 0
    assert same.resimulation.mean() < 0.05
    drawn = simulate(problem, 20 * 400, 9)[0].numpy().reshape(20, 400, 4)
    assert abs(posterior_errors(problem, drawn, truth).posterior.mean() - prior) < 1.7 * off  # of 20 observations
    if problem.name == "ballistics":
        point = np.repeat(truth.samples.mean(1, keepdims=True), 400, 1)
        assert abs(posterior_errors(problem, point, truth).posterior.mean() - 4.5) < 0.3


def test_errors_are_those_of_each_observation_and_kernel():
    truth = ground_truth(Line(), 23, 30, 3000, np.array([0.0], np.float32))
    drawn = np.random.default_rng(0).normal(size=(23, 40, 2)).astype(np.float32)
    found = posterior_errors(Line(), drawn, truth)
    one = mmd_squared(drawn[22], truth.samples[22], X_SIDE_KERNEL, "unbiased")
    assert found.posterior[22] == pytest.approx(float(one), abs=1e-5)
    apart = np.linalg.norm(drawn[22][:, None] - truth.samples[22][None], axis=-1).mean()
    within = [
        np.linalg.norm(a[:, None] - a[None], axis=-1).sum() / len(a) / (len(a) - 1) for a in (drawn[22], truth.samples[22])
    ]
    assert found.energy[22] == pytest.approx(2 * apart - sum(within), abs=1e-4)
    np.testing.assert_allclose(found.resimulation, ((drawn[..., 0] - truth.y) ** 2).mean(1), rtol=1e-5)


def test_invalid_samples_are_counted_and_left_out():
    truth = ground_truth(Ballistics(), 2, 10, 2000, np.array([5.0], np.float32))
    samples = truth.samples.copy()
    samples[0, :5, 1] = -50.0
    found = posterior_errors(Ballistics(), samples, truth)
    np.testing.assert_allclose(found.invalid, [0.5, 0.0])
    assert np.isfinite(found.resimulation).all()


def test_the_mode_of_two_clusters_is_the_larger_one():
    rng = np.random.default_rng(1)
    cloud = np.concatenate([rng.normal(0, 0.1, (300, 3)), rng.normal(2, 0.1, (100, 3))]).astype(np.float32)
    assert np.abs(mode(cloud)).max() < 0.1
