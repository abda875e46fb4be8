"""One number whatever the way: eager, graph, XLA, dense or not; seeds, weights of samples, batches, saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import record

from inntf.numerics import ExactLogDet, Geometric, Poisson, PowerSeries, RussianRoulette
from tests.numerics.log_det_cases import DIM, POINTS, UPSTREAM, Branch, estimate

SEED = [11, 5]
SOME = [
    PowerSeries(6, dense=False),
    PowerSeries(3, gradient="neumann", noise="gaussian", dense=False),
    RussianRoulette(dense=False),
    RussianRoulette(gradient="neumann", per_sample=True, dense=False),
]
some = pytest.mark.parametrize("estimator", SOME, ids=repr)


def everything(estimator, x=POINTS, upstream=UPSTREAM, seed=SEED, branch=None, **jit):
    branch = branch or Branch()
    run = lambda x, seed: estimate(estimator, branch, x, upstream, seed)  # noqa: E731
    if jit:
        run = tf.function(run, autograph=False, **jit)
    return [part.numpy() for part in run(x, tf.constant(seed))]


def close(a, b):
    for got, expected in zip(a, b, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-13)


def copy(estimator, **changes):
    return type(estimator).from_config({**estimator.get_config(), **changes})


@some
def test_graph_and_xla_compute_what_eager_does(estimator):
    eager = everything(estimator)
    close(everything(estimator, jit_compile=False), eager)
    close(everything(estimator, jit_compile=True), eager)


@some
def test_products_from_the_whole_jacobian_give_the_same(estimator):
    close(everything(copy(estimator, dense=True)), everything(estimator))


def test_series_against_powers_of_the_jacobian():
    x, jacobian = tf.repeat(POINTS, 2, 0), Branch().jacobian(tf.repeat(POINTS, 2, 0)).numpy()
    # With x's own sign pattern unknown, the probes are recovered from a branch that returns them: v^T (cI) v = c |v|^2.
    value = PowerSeries(5)(lambda x: -0.5 * x, x, SEED)[1]
    np.testing.assert_allclose(value, DIM * sum((-1) ** (k + 1) / k * (-0.5) ** k for k in range(1, 6)) * np.ones(4))
    # The mean over all 16 sign vectors is the trace: many probes come close to it.
    many = PowerSeries(5, samples=600)(Branch(), x, SEED)[1]
    exact = sum((-1) ** (k + 1) / k * np.trace(np.linalg.matrix_power(jacobian, k), axis1=1, axis2=2) for k in range(1, 6))
    np.testing.assert_allclose(many, exact, atol=0.05)


def test_autodiff_gradient_is_that_of_the_returned_number():
    branch, step = Branch(), 1e-6
    for estimator in (PowerSeries(7, dense=False), RussianRoulette(dense=False)):
        gradient = everything(estimator, branch=branch)[2]
        direction = np.random.default_rng(0).normal(size=gradient.shape)
        start, values = branch.variables[0].numpy(), []
        for sign in (1, -1):
            branch.variables[0].assign(start + sign * step * direction)
            values.append(np.sum(UPSTREAM * everything(estimator, branch=branch)[0]))
        branch.variables[0].assign(start)
        np.testing.assert_allclose(np.sum(gradient * direction), (values[0] - values[1]) / (2 * step), rtol=1e-7)


@some
def test_value_does_not_depend_on_the_kind_of_gradient(estimator):
    other = {"autodiff": "neumann", "neumann": "autodiff"}[estimator.gradient]
    np.testing.assert_allclose(everything(copy(estimator, gradient=other))[0], everything(estimator)[0], rtol=1e-12)


@some
def test_every_sample_has_its_own_weight(estimator):
    parts = [everything(estimator, upstream=np.eye(2)[b]) for b in range(2)]
    assert not parts[0][1][1].any()  # sample 1 does not touch the loss
    assert not parts[1][1][0].any()
    assert np.abs(parts[0][2] - parts[1][2]).max() > 1e-3
    both = everything(estimator)
    for which in (1, 2, 3):
        np.testing.assert_allclose(both[which], 2 * parts[0][which] - parts[1][which], rtol=1e-9, atol=1e-12)


@some
def test_seed_decides(estimator):
    close(everything(estimator), everything(estimator))
    x = tf.repeat(POINTS, 8, 0)
    values = [everything(estimator, x, np.ones(16), seed)[0] for seed in ([11, 5], [11, 6], [12, 5])]
    for i in range(3):
        assert np.abs(values[i] - values[i - 1]).max() > 1e-3


@pytest.mark.parametrize("gradient", ["autodiff", "neumann"])
def test_empty_and_unknown_batches(gradient):
    for estimator in (PowerSeries(6, gradient=gradient, dense=False), RussianRoulette(gradient=gradient, per_sample=True)):
        branch = Branch()

        @tf.function(input_signature=[tf.TensorSpec([None, DIM], tf.float64)], autograph=False)
        def run(x, estimator=estimator, branch=branch):
            return estimate(estimator, branch, x, tf.ones(tf.shape(x)[:1], tf.float64), SEED)

        for batch in (0, 1, 2):
            log_det, by_x, *by_weights = run(POINTS[:batch])
            assert log_det.shape == (batch,)
            assert by_x.shape == (batch, DIM)
            assert all(np.isfinite(part).all() for part in by_weights)
        close(run(POINTS), everything(estimator, upstream=np.ones(2)))
        assert estimator(branch, POINTS[:0], SEED)[1].shape == (0,)


@some
def test_images_and_a_network_of_keras(estimator):
    network = keras.Sequential(
        [keras.layers.Conv2D(3, 3, padding="same", activation="tanh"), keras.layers.Conv2D(1, 3, padding="same")]
    )
    x = tf.random.stateless_normal([3, 4, 4, 1], [1, 1])
    calls = []

    def counted(x):
        calls.append(1)
        return network(x)

    @tf.function(autograph=False)
    def run(x):
        with tf.GradientTape() as tape:
            g, log_det = estimator(counted, x, SEED)
            loss = tf.reduce_sum(log_det)
        return g, log_det, tape.gradient(loss, network.trainable_variables)

    network.build(x.shape)
    g, log_det, gradients = run(x)
    np.testing.assert_allclose(g, network(x), rtol=1e-5, atol=1e-6)
    assert log_det.shape == (3,)
    assert len(calls) == 1, "a network with a state must be evaluated once"
    *kernels, last_bias = gradients
    assert all(np.abs(part).max() > 0 for part in kernels)
    assert last_bias is None or not np.any(last_bias)  # shifts the branch, not its Jacobian


def test_where_an_outer_engine_has_stopped_the_tapes():
    estimator = RussianRoulette(gradient="neumann", dense=False)
    expected = everything(estimator)
    with record.stop_recording():
        stopped = estimator(Branch(), POINTS, SEED)[1]
    np.testing.assert_allclose(stopped, expected[0], rtol=1e-12)
    branch = Branch()

    def inside(x):
        return estimator(branch, x, SEED)[1]

    for again in (tf.recompute_grad(inside), tf.function(tf.recompute_grad(inside), autograph=False)):
        with tf.GradientTape() as tape:
            x = tf.identity(POINTS)
            tape.watch(x)
            loss = tf.reduce_sum(again(x) * UPSTREAM)
        close(tape.gradient(loss, [x, *branch.variables]), expected[1:])


def test_half_precision_is_summed_in_float32():
    x = tf.cast(POINTS, tf.bfloat16)
    for estimator in (PowerSeries(3), RussianRoulette(gradient="neumann"), ExactLogDet()):
        g, log_det = estimator(lambda x: -0.5 * x, x, SEED)
        assert g.dtype == tf.bfloat16
        assert log_det.dtype == tf.float32


def test_no_terms_at_all():
    estimator = RussianRoulette(Poisson(0.01), exact_terms=0, gradient="neumann", dense=False)
    value = estimator(lambda x: -0.5 * x, POINTS, SEED)[1]  # N = 0 but in one of a hundred draws
    np.testing.assert_array_equal(value, [0.0, 0.0])


@pytest.mark.parametrize("distribution", [Geometric(0.5), Geometric(0.1), Poisson(2.0), Poisson(0.3), Poisson(20.0)], ids=repr)
def test_stopping_times(distribution):
    draws = distribution.sample([40000], tf.constant(SEED)).numpy()
    survival = distribution.survival
    assert np.all(np.diff(survival) <= 0)
    assert survival[-1] >= 1e-12 > distribution.survival_at(len(survival) + 1)
    for k in (1, 2, 3, 5, 10, 20):
        probability = distribution.survival_at(k)
        error = np.sqrt(max(probability * (1 - probability), 1e-4) / len(draws))
        assert abs(np.mean(draws >= k) - probability) < 4 * error
    mean = 1 / distribution.p if isinstance(distribution, Geometric) else distribution.rate
    assert survival.sum() == pytest.approx(mean, rel=1e-9)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(distribution))
    assert repr(again) == repr(distribution)


def test_warning_of_an_infinite_variance():
    roulette = RussianRoulette(Geometric(0.5))
    assert not roulette.warn_of_variance(0.7)
    with pytest.warns(UserWarning, match=r"p < 0\.36"):
        assert roulette.warn_of_variance(0.8)
    with pytest.warns(UserWarning, match="exact_terms"):
        assert RussianRoulette(Poisson(2.0)).warn_of_variance(0.3)


@pytest.mark.parametrize("estimator", [ExactLogDet(), *SOME, RussianRoulette(Poisson(3.0), 1, samples=2)], ids=repr)
def test_saving(estimator):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(estimator))
    assert type(again) is type(estimator)
    assert repr(again) == repr(estimator)
    np.testing.assert_array_equal(again(Branch(), POINTS, SEED)[1], estimator(Branch(), POINTS, SEED)[1])


def test_bad_input():
    for make, match in (
        (lambda: PowerSeries(0), "terms=0"),
        (lambda: PowerSeries(2.5), "terms=2.5"),
        (lambda: PowerSeries(noise="uniform"), "noise='uniform'"),
        (lambda: RussianRoulette(gradient="none"), "gradient='none'"),
        (lambda: RussianRoulette(distribution=0.5), "distribution=0.5"),
        (lambda: RussianRoulette(exact_terms=-1), "exact_terms=-1"),
        (lambda: Geometric(1.0), "p=1.0"),
        (lambda: Poisson(0.0), "rate=0.0"),
        (lambda: PowerSeries()(Branch(), POINTS), "received no seed"),
        (lambda: PowerSeries()(Branch(), POINTS, 3), r"seed of shape \(\)"),
        (lambda: PowerSeries()(lambda x: x[:, :1], POINTS, SEED), "keeps the shape"),
    ):
        with pytest.raises(ValueError, match=match):
            make()


@pytest.mark.parametrize("estimator", [*SOME, ExactLogDet(), PowerSeries(4, dense=True)], ids=repr)
def test_both_signs_of_a_branch_from_one_evaluation(estimator):
    calls = []

    def counted(x, branch):
        calls.append(1)
        return branch(x)

    def run(log_det):
        branch = Branch()
        with tf.GradientTape() as tape:
            tape.watch(POINTS)
            value, found = log_det(branch)
            loss = tf.reduce_sum(found * UPSTREAM)
        return [value, found, *tape.gradient(loss, [POINTS, *branch.variables])]

    def twice(branch):
        value, plus = estimator(branch, POINTS, SEED)
        return value, estimator(lambda x: -branch(x), POINTS, SEED)[1] - plus

    once = run(lambda branch: estimator.cayley(lambda x: counted(x, branch), POINTS, SEED))
    close(once, run(twice))
    assert len(calls) == 1
    if isinstance(estimator, ExactLogDet):
        jacobian = Branch().jacobian(POINTS).numpy()
        there, back = (np.linalg.slogdet(np.eye(DIM) + sign * jacobian)[1] for sign in (-1, 1))
        np.testing.assert_allclose(once[1], there - back, rtol=1e-10)
