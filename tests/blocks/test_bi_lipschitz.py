"""Slopes between two numbers for any weights, both reached by training, and an inverse that knows its error."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import BiLipschitz, InverseNotReached, Permutation
from inntf.compose import Chain, Repeat
from inntf.numerics import batch_jacobian
from inntf.numerics.log_dets import ExactLogDet, RussianRoulette
from inntf.stability.ball_certificate import certify_balls
from inntf.stability.precision import float64_copy


def made(*constants, event=(3,), seed=0, noise=0.0, condition=None, **kwargs):
    keras.utils.set_random_seed(seed)
    block = BiLipschitz(*constants, **{"hidden": 8, **kwargs}).ensure_built(event, condition)
    rng = np.random.default_rng(seed)
    for weight in block.trainable_weights:
        scale = noise if "rotation" in weight.name else min(noise, 1.0)  # a bias beyond 1e16 leaves no digit of x
        weight.assign_add(tf.constant(scale * rng.normal(size=weight.shape), weight.dtype))
    return block


def data(n=6, event=(3,), seed=0, dtype="float64"):
    return tf.constant(np.random.default_rng(seed).normal(size=(n, *event)) * 2, dtype)


def slopes(block, x, condition=None):
    jacobian = batch_jacobian(lambda x: block.value(x, condition), x).numpy().astype(np.float64)
    return np.linalg.svd(jacobian, compute_uv=False)


def by_newton(block, z, x):
    """The inverse of the block with its kernels as they are rounded, in float64."""
    net = block.residual.network
    weights = [tf.cast(w, tf.float64) for w in net.effective_weights()]
    z, x = tf.cast(z, tf.float64), tf.cast(x, tf.float64)
    for _ in range(4):
        left = block.outer * (block.inner * x + net.apply(block.inner * x, weights)) - z
        slope = block.centre * (np.eye(x.shape[1]) + net.value_and_jacobian(block.inner * x, weights)[1].numpy())
        x = x - np.linalg.solve(slope, left.numpy()[..., None])[..., 0]
    return x.numpy()


@pytest.mark.parametrize("noise", [0.0, 0.3, 1e3, 1e18])
@pytest.mark.parametrize("event", [(3,), (2, 2, 2)])
def test_slopes_stay_between_the_constants_for_any_weights(noise, event):
    block = made(0.2, 5.0, event=event, noise=noise, dtype="float64")
    x = data(event=event)
    found = slopes(block, x)
    assert np.isfinite(found).all()
    assert found.min() >= 0.2 * (1 - 1e-9) and found.max() <= 5.0 * (1 + 1e-9)
    assert tuple(block.lipschitz_bounds()) == (5.0, 5.0)
    far = x + 100 * data(event=event, seed=1)
    moved = block.value(far) - block.value(x)
    ratio = np.linalg.norm(np.reshape(moved, [6, -1]), axis=1) / np.linalg.norm(np.reshape(far - x, [6, -1]), axis=1)
    assert ratio.min() >= 0.2 * (1 - 1e-9) and ratio.max() <= 5.0 * (1 + 1e-9)


def test_training_reaches_both_ends():
    """A likelihood of data that are wider and narrower than the bounds allow to compensate, in turned directions."""
    lower, upper = 0.2, 5.0
    block = made(lower, upper, event=(2,), hidden=16, depth=1)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(2, 2)))[0]
    x = (np.random.default_rng(2).normal(size=(256, 2)) * [10.0, 0.1] @ turn.T).astype("float32")
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.03, 200, 0.1))

    weights = block.trainable_weights
    optimizer.build(weights)

    @tf.function
    def train(x):
        for _ in tf.range(150):
            with tf.GradientTape() as tape:
                z, log_det = block.forward_and_log_det(x)
                loss = tf.reduce_mean(tf.reduce_sum(tf.square(z), 1) / 2 - log_det)
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    train(x)
    found = slopes(block, tf.constant(x[:32]))
    assert lower * (1 - 1e-5) <= found.min() < 1.1 * lower
    assert upper / 1.1 < found.max() <= upper * (1 + 1e-6)


@pytest.mark.parametrize(("lower", "upper"), [(0.2, 5.0), (0.01, 100.0), (3.0, 3.0)])
def test_the_start_is_close_to_the_geometric_mean(lower, upper):
    found = slopes(made(lower, upper, event=(4,), hidden=64, dtype="float64"), data(event=(4,)))
    middle = np.sqrt(lower * upper)
    assert 0.5 * middle < found.min() and found.max() < 2 * middle


@pytest.mark.parametrize(
    ("dtype", "constants"), [("float32", (0.2, 5.0)), ("float32", (0.01, 100.0)), ("float64", (1e-3, 1e3))]
)
def test_inverse_is_within_its_certificate(dtype, constants):
    block = made(*constants, noise=0.3, dtype=dtype)
    z = block.value(data(16, dtype=dtype))
    x, log_det, certificate = block.inverse_with_certificate(z)
    bound = certificate.error_bound.numpy()
    assert certificate.reached.numpy().all()
    exact = by_newton(block, z, x)
    assert (np.linalg.norm(x - exact, axis=1) <= bound).all()
    # Rounded to float32, or as far as float64 sees at a ratio of 1e6.
    assert (bound <= (1e-4 if dtype == "float32" else 1e-5) * (1 + np.linalg.norm(x, axis=1))).all()
    jacobian = batch_jacobian(float64_copy(block).value, tf.constant(exact)).numpy()
    np.testing.assert_allclose(log_det, -np.linalg.slogdet(jacobian)[1], atol=2e-2 if dtype == "float32" else 1e-6)


def test_an_inverse_out_of_reach_raises():
    block = made(0.01, 100.0, noise=0.5, max_evaluations=2, dtype="float64")
    z = block.value(data())
    with pytest.raises(InverseNotReached, match=f"{block.name}.*2 evaluations"):
        block.inverse_and_log_det(z)
    _, _, certificate = block.inverse_with_certificate(z)
    assert not certificate.reached.numpy().any()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((0.0, 1.0), "0 < lower"),
        ((-1.0, 1.0), "0 < lower"),
        ((2.0, 1.0), "lower <= upper"),
        ((float("nan"), 1.0), "finite"),
        ((1.0, float("inf")), "finite"),
        ((1e-3, 1e3), "Chain of blocks"),
    ],
)
def test_constants_out_of_order_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        BiLipschitz(*arguments)


def test_weights_that_are_not_finite_have_no_bound():
    block = made(0.5, 2.0)
    block.residual.network.rotations[0].assign(np.nan * block.residual.network.rotations[0])
    bounds = block.lipschitz_bounds()
    assert bounds.forward == np.inf and "not finite" in bounds.reason


def test_large_events_get_an_unbiased_estimate_of_finite_variance():
    block = made(0.5, 2.0, event=(40,), hidden=8, noise=0.2, dtype="float64", seed=3)
    estimator = block.residual.log_det
    assert isinstance(estimator, RussianRoulette) and estimator.distribution.finite_variance(block.contraction)
    x = data(2, (40,))
    exact = made(0.5, 2.0, event=(40,), hidden=8, noise=0.2, dtype="float64", seed=3, log_det=ExactLogDet())
    exact.set_weights(block.get_weights()[: len(exact.get_weights())])
    draw = tf.function(lambda: block.forward_and_log_det(x)[1])
    several = np.array([draw().numpy() for _ in range(200)])
    wanted = exact.forward_and_log_det(x)[1].numpy()
    assert (np.abs(several.mean(0) - wanted) < 5 * several.std(0) / np.sqrt(200)).all()
    assert isinstance(BiLipschitz(0.01, 100.0)._estimator(784), ExactLogDet), "a series would take thousands of terms"


def test_a_condition_moves_the_map_and_not_its_bounds():
    block = made(0.2, 5.0, noise=0.2, condition=(2,), dtype="float64")
    block.embedding.kernel.assign(50 * block.embedding.kernel)
    condition = data(6, (2,), seed=5)
    found = slopes(block, data(), condition)
    assert found.min() >= 0.2 * (1 - 1e-9) and found.max() <= 5.0 * (1 + 1e-9)
    assert np.abs(block.value(data(), condition) - block.value(data(), -condition)).max() > 1e-2
    z, log_det = block.forward_and_log_det(data(), condition)
    np.testing.assert_allclose(block.inverse_and_log_det(z, condition)[0], data(), atol=1e-9)
    np.testing.assert_allclose(log_det, np.log(found).sum(1), atol=1e-9)


@pytest.mark.parametrize(("event", "inverse"), [((3,), False), ((3,), True), ((2, 2, 2), False)])
def test_the_local_map_holds_in_its_ball(event, inverse):
    block = made(0.2, 5.0, event=event, noise=0.3, dtype="float64")
    x, radius = data(3, event).numpy(), np.full(3, 1e-2)
    found = block.local_map(x, radius, None, inverse)
    assert not found.reason and (found.deviation < 0.5).all()
    rng = np.random.default_rng(7)
    for _ in range(2):
        move = rng.normal(size=x.shape)
        move *= 1e-2 / np.linalg.norm(move.reshape(3, -1), axis=1).reshape(3, *[1] * len(event))
        way = (lambda v: block.inverse_and_log_det(v)[0]) if inverse else block.value
        at = way(x + move)  # the Jacobian of an inverse is the inverse of the Jacobian there
        jacobian = batch_jacobian(block.value, at if inverse else tf.constant(x + move)).numpy()
        jacobian = np.linalg.inv(jacobian) if inverse else jacobian
        assert (np.linalg.norm(jacobian - found.jacobian, 2, axis=(1, 2)) <= found.deviation).all()


@pytest.mark.parametrize(("lower", "upper"), [(2.0, 5.0), (0.1, 0.5), (0.2, 5.0)])
def test_its_balls_hold_wherever_the_constants_lie(lower, upper):
    block = made(lower, upper, event=(3,), noise=0.3, dtype="float64")
    found = certify_balls(block, data(3, (3,)).numpy(), 1e-4)
    slopes = np.linalg.svd(batch_jacobian(block.value, data(3, (3,))).numpy(), compute_uv=False)
    for bound, seen in ((found.forward, slopes.max(1)), (found.inverse, 1 / slopes.min(1))):
        assert (bound >= seen * (1 - 1e-9)).all() and (bound < 1.1 * seen).all()


@pytest.mark.parametrize("way", ["forward_and_log_det", "inverse_and_log_det"])
def test_gradients_without_stored_activations(way):
    def run(backprop):
        keras.utils.set_random_seed(3)
        parts = [BiLipschitz(0.5, 2.0, hidden=6, dtype="float64") for _ in range(2)]
        chain = Chain([parts[0], Permutation.reverse(dtype="float64"), parts[1]], backprop=backprop, dtype="float64")
        chain.ensure_built((3,), (2,))
        x, condition = data(), data(6, (2,))
        with tf.GradientTape() as tape:
            tape.watch([x, condition])
            out, log_det = getattr(chain, way)(x, condition)
            loss = tf.reduce_sum(tf.sin(out)) + tf.reduce_sum(log_det)
        return tape.gradient(loss, [x, condition, *[w.value for w in chain.trainable_weights]])

    for stored, recomputed in zip(run("stored"), run("reversible"), strict=True):
        np.testing.assert_allclose(stored, recomputed, rtol=1e-7, atol=1e-9)


def test_a_repeat_starts_each_block_by_itself():
    repeat = Repeat(lambda: BiLipschitz(0.8, 1.25, hidden=4), 3).ensure_built((2,))
    x = data(event=(2,), dtype="float32")
    z, log_det = repeat.forward_and_log_det(x)
    np.testing.assert_allclose(repeat.inverse_and_log_det(z)[0], x, atol=1e-5)
    firsts = repeat.for_each_inner_block(lambda block: block.residual.network.biases[0].numpy().tolist())
    assert firsts[0] != firsts[1]
    assert repeat.lipschitz_bounds().forward == pytest.approx(1.25**3)
    np.testing.assert_allclose(
        log_det, np.linalg.slogdet(batch_jacobian(lambda x: repeat.forward_and_log_det(x)[0], x))[1], atol=1e-5
    )
