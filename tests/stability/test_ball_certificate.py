"""Certificates in balls: never below what can be found there, and close to it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Coupling,
    ExactAdditiveCoupling,
    InvertibleLinear,
    Logit,
    MaskedAutoregressive,
    Permutation,
    Rescale,
    ResidualBlock,
    Squeeze,
    TwoSidedCoupling,
)
from inntf.compose import Chain, Repeat
from inntf.models import Flow, residual_flow
from inntf.nets import MLP, ConcatLipSwish, ConvNet, LipschitzMLP, MaskedMLP, SpectralConv2D, certify_norms
from inntf.numerics import ExpScale, ReciprocalScale, SigmoidScale, SoftplusScale, Transformer, batch_jacobian
from inntf.stability import certified_radius, certify
from inntf.stability.ball_certificate import certify_balls
from inntf.stability.precision import float64_copy


def shaken(block, event, gain=0.15, seed=0):
    """Weights as after a training: none zero, none at its start."""
    keras.utils.set_random_seed(seed)
    block.ensure_built(event)
    rng = np.random.default_rng(seed)
    for weight in block.trainable_weights:
        scale = gain / np.sqrt(max(1, int(np.prod(weight.shape[:-1])))) * 4 if weight.shape.rank > 1 else gain
        weight.assign_add(tf.constant(rng.normal(size=weight.shape) * scale, weight.dtype))
    certify_norms(block, rescale=True)
    return block


def net(activation="relu", width=16):
    return lambda channels: MLP([width, width], out_channels=channels, activation=activation, zero_last=False)


def images(channels):
    return ConvNet(5, out_channels=channels, zero_last=False, activation="tanh")


def conv(channels):
    return SpectralConv2D(channels, 3, coefficient=0.9, update_every_call=False)


def mixed(make, depth=4):
    return Chain([part for i in range(depth) for part in (ActNorm(), Permutation.shuffle(i), make())])


NARROW = SigmoidScale(0.5, 1.5)
VECTORS = {
    "additive relu": lambda: mixed(lambda: AdditiveCoupling(conditioner=net())),
    "additive tanh": lambda: mixed(lambda: AdditiveCoupling(conditioner=net("tanh"))),
    "additive deep": lambda: mixed(
        lambda: AdditiveCoupling(conditioner=lambda c: MLP([12] * 4, out_channels=c, activation="silu", zero_last=False))
    ),
    "affine exp": lambda: mixed(lambda: AffineCoupling(conditioner=net("elu"), scale=ExpScale(1.0))),
    "affine tanh exp": lambda: mixed(lambda: AffineCoupling(conditioner=net("gelu"), scale=ExpScale(1.0, kind="tanh"))),
    "affine sigmoid": lambda: mixed(lambda: AffineCoupling(conditioner=net("softplus"), scale=NARROW)),
    "affine softplus": lambda: mixed(lambda: AffineCoupling(conditioner=net(), scale=SoftplusScale(0.1))),
    "affine reciprocal": lambda: mixed(lambda: AffineCoupling(conditioner=net(), scale=ReciprocalScale(NARROW))),
    "two-sided": lambda: mixed(lambda: TwoSidedCoupling(conditioner=net("leaky_relu")), 2),
    "checkerboard": lambda: mixed(lambda: AffineCoupling(conditioner=net(), split="checkerboard"), 2),
    "halves": lambda: mixed(lambda: AffineCoupling(conditioner=net(), split="halves"), 2),
    "listed": lambda: mixed(lambda: AdditiveCoupling(conditioner=net(), split=[0, 3]), 2),
    "repeat": lambda: Repeat(
        lambda i: Chain([InvertibleLinear(), AffineCoupling(conditioner=net("tanh"), scale=SigmoidScale(0.5, 1.5))]), 3
    ),
    "residual": lambda: mixed(
        lambda: ResidualBlock(network=lambda c: LipschitzMLP([16, 16], out_channels=c, activation="tanh", coefficient=0.8)), 2
    ),
    "residual swish": lambda: mixed(lambda: ResidualBlock(network=lambda c: LipschitzMLP([16], out_channels=c)), 2),
    "residual flow": lambda: residual_flow(event_shape=6, depth=2, hidden=(8, 8), log_det="exact").block,
    "residual flow, halves": lambda: (
        residual_flow(event_shape=6, depth=2, hidden=(8, 8), activation=ConcatLipSwish, log_det="exact").block
    ),
    "sequential": lambda: mixed(
        lambda: AdditiveCoupling(
            conditioner=lambda c: keras.Sequential(
                [keras.layers.Dense(9), keras.layers.Activation("sigmoid"), keras.layers.Dense(c, activation="tanh")]
            )
        )
    ),
}
IMAGES = {
    "residual image, halves": lambda: Chain(
        [ResidualBlock(network=lambda c: keras.Sequential([ConcatLipSwish(), conv(3), ConcatLipSwish(), conv(c)]))]
    ),
    "glow": lambda: Chain([Squeeze(), ActNorm(), AffineCoupling(conditioner=images, scale=SigmoidScale(0.5, 1.5))] * 1),
    "checkerboard image": lambda: Chain([AdditiveCoupling(conditioner=images, split="checkerboard"), Rescale(scale=2.0)]),
}


def slopes(function, points):
    jacobian = batch_jacobian(function, tf.constant(points), rows=8)
    return np.linalg.norm(jacobian.numpy(), 2, axis=(1, 2))


def inside(rng, centres, radius, count):
    """Points of the balls, many of them on their surface."""
    step = rng.normal(size=(count, *centres.shape))
    axes = tuple(range(2, step.ndim))
    step *= radius / np.linalg.norm(step.reshape(count, len(centres), -1), axis=2).reshape(count, -1, *[1] * len(axes))
    step *= np.where(rng.random((count, len(centres))) < 0.7, 1.0, rng.random((count, len(centres)))).reshape(
        count, -1, *[1] * len(axes)
    )
    return centres[None] + step


def worst(function, centres, radius, count, seed):
    """Largest slope found in each ball, at random points and along the steepest way from each centre."""
    rng = np.random.default_rng(seed)
    points = inside(rng, centres, radius, count)
    x, r = tf.Variable(centres + points[0] * 0), radius
    vector = rng.normal(size=centres.shape)
    for _ in range(2):  # gradient ascent of |J v|^2, kept inside
        with tf.GradientTape() as tape:
            with tf.autodiff.ForwardAccumulator(x, tf.constant(vector)) as acc:
                y = function(tf.convert_to_tensor(x))
            size = tf.reduce_sum(acc.jvp(y) ** 2)
        gradient = tape.gradient(size, x, unconnected_gradients=tf.UnconnectedGradients.ZERO).numpy()
        norm = np.linalg.norm(gradient.reshape(len(gradient), -1), axis=1)
        step = gradient / np.maximum(norm, 1e-300).reshape(-1, *[1] * (gradient.ndim - 1)) * r
        x.assign(centres + step * 0.999)
    points = np.concatenate([points, x.numpy()[None]])
    found = slopes(function, points.reshape(-1, *centres.shape[1:]))
    return found.reshape(len(points), len(centres)).max(0)


def check(block, x, radii, count=6):
    """Nothing found in the balls is above; returns the ratio of certificate and finding at each radius, the worse direction."""
    wide, centres, ratios = float64_copy(block), np.asarray(x, np.float64), []
    z = wide.forward_and_log_det(tf.constant(centres))[0].numpy()
    for radius in radii:
        found = certify_balls(block, x, radius)
        ahead = worst(lambda v: wide.forward_and_log_det(v)[0], centres, radius, count, 1)
        back = worst(lambda v: wide.inverse_and_log_det(v)[0], z, radius, count, 2)
        assert (ahead <= found.forward * (1 + 1e-9)).all(), (radius, (ahead / found.forward).max())
        assert (back <= found.inverse * (1 + 1e-9)).all(), (radius, (back / found.inverse).max())
        ratios.append(max(np.median(found.forward / ahead), np.median(found.inverse / back)))
    return ratios


@pytest.mark.parametrize("name", VECTORS)
def test_nothing_in_the_ball_is_above(name):
    block = shaken(VECTORS[name](), (6,))
    x = np.random.default_rng(3).normal(size=(3, 6)).astype(np.float32)
    small, _ = check(block, x, [1e-4, 0.1])
    assert small < 1.1


@pytest.mark.parametrize("name", IMAGES)
def test_images(name):
    block = shaken(IMAGES[name](), (4, 4, 1))
    x = np.random.default_rng(3).uniform(size=(2, 4, 4, 1)).astype(np.float32)
    small, _ = check(block, x, [1e-4, 0.1], count=3)
    assert small < 1.1


def test_hidden_layers_too_large_to_be_followed_whole(monkeypatch):
    block = shaken(IMAGES["glow"](), (4, 4, 1))
    x = np.random.default_rng(3).uniform(size=(2, 4, 4, 1)).astype(np.float32)
    exact = certify_balls(block, x, 1e-2)
    monkeypatch.setattr("inntf.nets.local_network._EXPLICIT_UP_TO", 0)
    monkeypatch.setattr("inntf.stability.ball_path._PRODUCTS_UP_TO", 0)
    coarse = certify_balls(block, x, 1e-2)
    assert (exact.forward <= coarse.forward * (1 + 1e-9)).all() and (coarse.forward < 3 * exact.forward).all()
    small, _ = check(block, x, [1e-4, 0.1], count=3)
    assert small < 1.5


@pytest.mark.parametrize(("depth", "dim"), [(8, 2), (16, 32)])
def test_deep_chains_are_tight(depth, dim):
    block = shaken(mixed(lambda: AdditiveCoupling(conditioner=net("tanh", 32)), depth), (dim,), gain=0.1)
    x = np.random.default_rng(3).normal(size=(4, dim)).astype(np.float32)
    small, larger = check(block, x, [1e-4, 1e-3], count=4)
    assert small < 1.1 and larger < 5


def test_where_nothing_can_change_it_is_the_largest_singular_value():
    block = shaken(Chain([ActNorm(), InvertibleLinear(), Rescale(scale=3.0)]), (5,))
    x = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    found = certify(block, at=x, radius=100.0)
    np.testing.assert_allclose(found.forward, found.forward_at_centre, rtol=1e-9)
    np.testing.assert_allclose(found.inverse, found.inverse_at_centre, rtol=1e-9)


def test_a_condition_is_held_fixed():
    keras.utils.set_random_seed(0)
    block = AffineCoupling(conditioner=net("tanh"), scale=SigmoidScale(0.5, 1.5))
    condition = tf.random.normal([3, 2], seed=1)
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    block.forward_and_log_det(tf.constant(x), condition)
    found = certify(block, at=x, radius=1e-3, condition=condition)
    wide, wide_condition = float64_copy(block), tf.cast(condition, tf.float64)
    jacobian = batch_jacobian(lambda v: wide.forward_and_log_det(v, wide_condition)[0], tf.constant(x, tf.float64))
    seen = np.linalg.norm(jacobian.numpy(), 2, axis=(1, 2))
    assert (found.forward >= seen).all() and (found.forward < 1.1 * seen).all()


class Cubed(Transformer):
    """A user's own, with the bounds that everyone declares."""

    def forward(self, u, raw):
        return u + raw[..., 0], None

    def inverse(self, v, raw):
        return v - raw[..., 0], None

    def slopes(self, magnitude):
        return 1.0, 1.0

    def sensitivity(self, magnitude):
        return 1.0


def test_what_is_bounded_only_globally_says_so():
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    own = keras.saving.register_keras_serializable("tests")(Cubed)
    block = shaken(Coupling(transformer=own(), conditioner=net()), (4,))
    found = certify(block, at=x, radius=1e-3)
    assert np.isfinite(found.forward).all() and (found.forward >= found.forward_at_centre).all()
    normalized = keras.Sequential([keras.layers.Dense(4), keras.layers.LayerNormalization(), keras.layers.Dense(2)])
    found = certify(shaken(AdditiveCoupling(conditioner=normalized), (4,)), at=x, radius=1e-3)
    assert any("LayerNormalization" in reason for reason in found.reasons)
    grid = shaken(ExactAdditiveCoupling(conditioner=net()), (4,))
    found = certify(grid, at=np.round(x * 1024) / 1024, radius=1e-3)
    np.testing.assert_allclose(found.forward, certify(grid).bounds.forward)


@keras.saving.register_keras_serializable("tests")
def cube(x):
    return x * x * x


@keras.saving.register_keras_serializable("tests")
class Sine(keras.layers.Layer):
    slopes = (-1.0, 1.0)

    def call(self, x):
        return tf.sin(x)


def test_an_activation_of_your_own_says_what_it_lacks_or_is_used():
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    masked = MaskedAutoregressive(conditioner=MaskedMLP(hidden=(8,), activation=cube, zero_last=False))
    for block in (masked, AdditiveCoupling(conditioner=net(cube))):
        found = certify_balls(shaken(block, (4,)), x, 1e-3)
        assert np.isinf(found.forward).all() and np.isnan(found.forward_at_centre).all()
        assert len(found.reasons) == 1 and "slopes of cube are not declared" in found.reasons[0]
    sine = lambda c: keras.Sequential([keras.layers.Dense(8), Sine(), keras.layers.Dense(c)])  # noqa: E731
    block = shaken(AdditiveCoupling(conditioner=sine), (4,))
    check(block, x, [1e-3])
    wide, found = float64_copy(block), certify_balls(block, x, 1e-3)
    seen = slopes(lambda v: wide.forward_and_log_det(v)[0], x.astype(np.float64))
    np.testing.assert_allclose(found.forward_at_centre, seen, rtol=1e-6)
    assert not found.reasons and np.isfinite(found.forward).all()


def test_a_branch_that_is_no_contraction_says_so():
    block = ResidualBlock(network=lambda c: LipschitzMLP([8], out_channels=c, coefficient=1.5)).ensure_built((4,))
    for weight in block.trainable_weights:
        weight.assign(weight * 3)
    block.certify(rescale=True)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    found, wide = certify_balls(Chain([block, ActNorm()]).ensure_built((4,)), x, 1e-3), float64_copy(block)
    jacobian = batch_jacobian(lambda v: wide.forward_and_log_det(v)[0], tf.constant(x, tf.float64)).numpy()
    np.testing.assert_allclose(found.forward_at_centre, np.linalg.norm(jacobian, 2, axis=(1, 2)), rtol=0.01)
    assert np.isfinite(found.forward).all() and np.isinf(found.inverse).all()
    assert any("Lip 1." in reason for reason in found.reasons)
    assert np.isnan(found.inverse_at_centre).all()


def test_a_residual_block_in_a_large_ball_keeps_its_global_bound():
    block = ResidualBlock(network=lambda c: LipschitzMLP([8], out_channels=c, activation="tanh", coefficient=0.95))
    for weight in block.ensure_built((4,)).trainable_weights:
        weight.assign(weight * 3)
    assert block.certify(rescale=True) > 0.4
    found, everywhere = certify_balls(block, np.random.default_rng(0).normal(size=(3, 4)), 10.0), block.lipschitz_bounds()
    assert (found.forward <= everywhere.forward * (1 + 1e-9)).all() and (found.inverse <= everywhere.inverse * (1 + 1e-9)).all()
    assert (found.inverse_at_centre > 1).all()


def test_logit_and_rounding_in_front():
    x = np.random.default_rng(0).uniform(0.2, 0.8, size=(2, 4)).astype(np.float32)
    block = shaken(Chain([Logit(), AdditiveCoupling(conditioner=net("tanh"))]), (4,))
    check(block, x, [1e-3])


def test_a_flow_and_the_table_beside_it():
    block = shaken(mixed(lambda: AdditiveCoupling(conditioner=net())), (4,))
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    found = certify(Flow(block, event_shape=(4,)), at=x, radius=1e-3)
    assert (found.forward <= found.everywhere.bounds.forward).all()
    np.testing.assert_allclose(found.condition_number, found.forward * found.inverse)
    assert str(found).count("\n") > 4


def test_the_largest_radius():
    block = shaken(mixed(lambda: AdditiveCoupling(conditioner=net("tanh")), 2), (4,))
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    two, ten = (certified_radius(block, x, factor, steps=6) for factor in (2.0, 10.0))
    assert (two > 0).all() and (two <= ten).all()
    found = certify_balls(block, x, two)
    assert (found.forward <= 2 * found.forward_at_centre).all() and (found.inverse <= 2 * found.inverse_at_centre).all()
    wider = certify_balls(block, x, np.minimum(3 * two, 1.0))
    too_wide = (wider.forward > 2 * wider.forward_at_centre) | (wider.inverse > 2 * wider.inverse_at_centre)
    assert (too_wide | (two >= 0.99)).all()


@pytest.mark.parametrize("radius", [1e-6, 0.3, 3.0])
def test_slopes_at_the_centres_are_those_of_the_jacobian(radius):
    block = shaken(mixed(lambda: AdditiveCoupling(conditioner=net()), 3), (4,))
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    found, wide = certify_balls(block, x, radius), float64_copy(block)
    z = wide.forward(tf.constant(x, tf.float64))
    for seen, way, at in ((found.forward_at_centre, wide.forward, x), (found.inverse_at_centre, wide.inverse, z)):
        jacobian = batch_jacobian(way, tf.cast(tf.identity(at), tf.float64))
        np.testing.assert_allclose(seen, np.linalg.norm(jacobian.numpy(), 2, axis=(1, 2)), rtol=0.01)


def test_it_sees_todays_weights_of_a_repeat():
    block = Repeat(AffineCoupling(conditioner=MLP((4,))), 3, dtype="float64").ensure_built((2,))
    x = np.float64([[0.3, -1.2]])
    before = certify(block, at=x, radius=1e-3)
    for weight in block.trainable_weights:
        weight.assign(weight + 0.3)
    after, fresh = certify(block, at=x, radius=1e-3), certify(block.unroll(), at=x, radius=1e-3)
    assert after.forward != before.forward and (after.forward, after.inverse) == (fresh.forward, fresh.inverse)


def test_a_centre_that_is_lost_costs_the_others_nothing():
    block = mixed(lambda: AffineCoupling(conditioner=net(), scale=ExpScale(None)), 3)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    shaken(block, (4,))
    alone = certify_balls(block, x, 1e-4)
    far = np.full([1, 4], 1e30, np.float32)
    found = certify_balls(block, np.concatenate([x, far]), 1e-4)
    np.testing.assert_allclose(found.forward[:2], alone.forward)
    np.testing.assert_allclose(found.inverse[:2], alone.inverse)
    assert np.isinf(found.forward[2]) and np.isinf(found.inverse[2])
    with np.errstate(all="ignore"):
        for weight in block.trainable_weights:
            weight.assign(tf.fill(weight.shape, np.nan))
    found = certify_balls(block, x, 1e-4)
    assert np.isinf(found.forward).all() and np.isinf(found.inverse).all()


def test_no_points():
    found = certify(
        shaken(mixed(lambda: AdditiveCoupling(conditioner=net())), (4,)), at=np.zeros([0, 4], np.float32), radius=1.0
    )
    assert found.forward.shape == (0,)


@pytest.mark.parametrize(
    "options", [{"at": [[0.0, 0.0]]}, {"radius": 1.0}, {"at": [[0.0, 0.0]], "radius": 1.0, "domain": (0, 1)}]
)
def test_half_a_question_is_refused(options):
    with pytest.raises(ValueError, match="expected domain alone, or at and radius"):
        certify(ActNorm().ensure_built((2,)), **options)


@pytest.mark.parametrize("radius", [0.0, -1.0, np.nan, np.inf])
def test_a_radius_is_positive(radius):
    with pytest.raises(ValueError, match="positive, finite"):
        certify(ActNorm().ensure_built((2,)), at=[[0.0, 0.0]], radius=radius)
