"""The mean of every estimator, and of its gradient, is the exact one; of the one-term series it is not."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.numerics import Geometric, Poisson, PowerSeries, RussianRoulette
from tests.numerics.log_det_cases import DIM, FIRST, POINTS, SECOND, UPSTREAM, Branch, estimate, reference

COPIES, DRAWS = 32, 150  # of the two points in a batch; calls with seeds of their own
UNBIASED = [
    # Twenty terms: what is cut is far below the standard error.
    PowerSeries(20, gradient="autodiff", dense=False),
    PowerSeries(20, noise="gaussian", gradient="neumann", dense=False),
    PowerSeries(20, samples=2, gradient="neumann", dense=True),
    RussianRoulette(Geometric(0.5), gradient="autodiff", dense=False),
    RussianRoulette(Geometric(0.5), noise="gaussian", gradient="neumann", dense=False),
    RussianRoulette(Geometric(0.4), exact_terms=0, gradient="neumann", dense=True, per_sample=True),
    RussianRoulette(Poisson(2.0), gradient="autodiff", dense=True, per_sample=True),
    RussianRoulette(Poisson(2.0), exact_terms=1, noise="gaussian", gradient="neumann", dense=False),
]


def deviations(estimator):
    """In standard errors: of the mean log-determinant, and of its weighted gradient by x and by the weights."""
    branch = Branch()
    x = tf.repeat(POINTS, COPIES, 0)
    upstream = np.repeat(UPSTREAM, COPIES) / COPIES
    run = tf.function(lambda seed: estimate(estimator, branch, x, upstream, seed), autograph=False)
    draws = [[part.numpy() for part in run(tf.constant([3, i]))] for i in range(DRAWS)]
    exact = reference(branch, x, upstream)
    rng, out = np.random.default_rng(0), {}
    # One number a draw, along a fixed direction: three standard errors mean what they say.
    for name, which, direction in (
        ("value", 0, np.ones(len(x))),
        ("x", 1, rng.normal(size=DIM)),
        ("first", 2, FIRST),  # along itself: how the log-determinant grows with the branch
        ("second", 3, SECOND),
        ("first aside", 2, rng.normal(size=FIRST.shape)),
        ("second aside", 3, rng.normal(size=SECOND.shape)),
    ):
        numbers = np.array([np.sum(direction * draw[which]) for draw in draws])
        miss = numbers.mean() - np.sum(direction * exact[which].numpy())
        out[name] = float(miss / (numbers.std(ddof=1) / np.sqrt(DRAWS)))
    return out


@pytest.mark.parametrize("estimator", UNBIASED, ids=repr)
def test_mean_is_exact(estimator):
    found = deviations(estimator)
    assert max(map(abs, found.values())) < 3, found


@pytest.mark.parametrize("gradient", ["autodiff", "neumann"])
def test_one_term_is_detectably_biased(gradient):
    found = deviations(PowerSeries(1, gradient=gradient, dense=False))
    assert min(abs(found[name]) for name in ("value", "first", "second")) > 10, found


def test_more_probes_and_more_stopping_times_vary_less():
    x, branch = tf.repeat(POINTS[:1], 300, 0), Branch()

    def values(estimator, draws):
        run = tf.function(lambda seed: estimator(branch, x, seed)[1], autograph=False)
        return np.array([run(tf.constant([4, i])) for i in range(draws)])

    one, four = (np.var(values(PowerSeries(8, noise="gaussian", samples=n, dense=True), 2)) for n in (1, 4))
    assert 2.8 < one / four < 5.6
    shared, own = (values(RussianRoulette(exact_terms=0, per_sample=each, dense=True), 25) for each in (False, True))
    assert np.var(own.mean(1)) < 0.2 * np.var(shared.mean(1))
