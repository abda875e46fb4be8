"""Repeat: exactly the unrolled chain, with stacked weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from inntf import blocks as b
from inntf.compose import Chain, Repeat, backprop_mode
from inntf.compose.stacking import Alike
from inntf.core import Block
from inntf.models import glow, real_nvp, spline_flow
from inntf.nets import MLP, ConvNet, SpectralDense

DOUBLE = {"dtype": "float64"}


def net(channels):
    return MLP((4,), out_channels=channels, activation="tanh", zero_last=False)


def step(i):
    """All kinds of weights: data-initialized, drawn together, fixed floats, fixed integers, a network's."""
    return Chain(
        [
            b.ActNorm(**DOUBLE),
            b.InvertibleLinear(seed=i, **DOUBLE),
            b.Permutation.shuffle(i, **DOUBLE),
            b.AffineCoupling(conditioner=net, **DOUBLE),
        ]
    )


def vectors(n=5):
    return tf.random.stateless_normal([n, 4], [0, 1], dtype=tf.float64)


@pytest.fixture
def repeat():
    block = Repeat(step, 3)
    block.initialize(2 + 3 * vectors(32))
    return block


def gradients(block, x, mode="stored", inverse=False):
    with backprop_mode(mode), tf.GradientTape() as tape:
        tape.watch(x)
        z, log_det = (block.inverse_and_log_det if inverse else block.forward_and_log_det)(x)
        value = tf.reduce_sum(tf.sin(z) * z) + tf.reduce_sum(log_det * tf.range(5, dtype=log_det.dtype))
    return tape.gradient(value, [x, *(v._value for v in block.trainable_variables)])


def stacked(gradients, n):
    """The gradients of an unrolled chain in the form of those of a Repeat."""
    each = (len(gradients) - 1) // n
    return [gradients[0], *(tf.stack(gradients[1 + j :: each]) for j in range(each))]


def largest_difference(a, b):
    return max(float(tf.reduce_max(tf.abs(p - q)) / (1 + tf.reduce_max(tf.abs(q)))) for p, q in zip(a, b, strict=True))


def test_equals_the_unrolled_chain(repeat):
    x = vectors()
    chain = repeat.unroll()
    assert isinstance(chain, Chain) and len(chain) == 3
    for mine, other in (
        (repeat.forward_and_log_det, chain.forward_and_log_det),
        (repeat.inverse_and_log_det, chain.inverse_and_log_det),
    ):
        for a, c in zip(mine(x), other(x), strict=True):
            np.testing.assert_array_equal(a, c)
    z, log_det = repeat.forward_and_log_det(x)
    back, back_log_det = repeat.inverse_and_log_det(z)
    np.testing.assert_allclose(back, x, atol=1e-11)
    np.testing.assert_allclose(back_log_det, -log_det, atol=1e-11)
    for weight in repeat.trainable_weights:
        weight.assign(weight + 0.1)
    assert repeat.unroll(into=chain) is chain
    np.testing.assert_array_equal(chain.forward(tf.identity(x)), repeat.forward(tf.identity(x)))
    assert np.abs(chain.forward(tf.identity(x)) - z).max() > 1e-3


@pytest.mark.parametrize("mode", ["stored", "reversible"])
@pytest.mark.parametrize("inverse", [False, True])
def test_gradients_equal_the_unrolled_chain(repeat, mode, inverse):
    x = vectors()
    wanted = stacked(gradients(repeat.unroll(), x, "stored", inverse), 3)
    got = gradients(repeat, x, mode, inverse)
    assert not any(isinstance(g, tf.IndexedSlices) for g in got)
    assert largest_difference(got, wanted) < 1e-10
    traced = tf.function(lambda x: gradients(repeat, x, mode, inverse), input_signature=[tf.TensorSpec([None, 4], tf.float64)])
    assert largest_difference(traced(x), wanted) < 1e-10


def test_values_alone_and_their_gradients_are_those_of_the_map(repeat):
    x = vectors()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        both = tf.reduce_sum(tf.square(repeat.forward_and_log_det(x)[0]))
        alone = tf.reduce_sum(tf.square(repeat.value(x)))
    np.testing.assert_allclose(alone, both, rtol=1e-12)
    sources = [x, *(w.value for w in repeat.trainable_weights)]
    for got, expected in zip(tape.gradient(alone, sources), tape.gradient(both, sources), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_values_of_residual_blocks_ask_for_no_log_determinant(monkeypatch):
    block = Repeat(lambda: b.ResidualBlock(network=lambda n: SpectralDense(n, 0.5)), 3).ensure_built((4,))
    x = tf.cast(vectors(), tf.float32)
    expected = block.forward_and_log_det(x)[0]

    def dear(*_):
        raise AssertionError("a log-determinant was computed")

    monkeypatch.setattr(b.ResidualBlock, "forward_and_log_det", dear)
    np.testing.assert_allclose(block.value(x), expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["stored", "reversible"])
def test_xla(mode):
    block = Repeat(lambda: Chain([b.Permutation.reverse(), b.AffineCoupling(conditioner=net)]), 3)
    x = tf.cast(vectors(), tf.float32)
    block(x)
    compiled = tf.function(lambda x: gradients(block, x, mode), jit_compile=True)
    assert largest_difference(compiled(x), gradients(block, x)) < 1e-4


@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_any_checkpoint_interval(every):
    block = Repeat(step, 5, backprop="reversible", checkpoint_every=every, drift_tolerance=0.0)  # every segment recomputed
    x = vectors()
    block(x)
    for inverse in (False, True):
        assert largest_difference(gradients(block, x, "reversible", inverse), gradients(block, x, "stored", inverse)) < 1e-10
    assert block.worst_drift < 1e-10


def test_condition():
    block = Repeat(lambda: Chain([b.Permutation.reverse(**DOUBLE), b.AffineCoupling(conditioner=net, **DOUBLE)]), 3)
    x, condition = vectors(), tf.random.stateless_normal([5, 2], [7, 7], dtype=tf.float64)
    block(x, condition)
    results = []
    for which, mode in ((block.unroll(), "stored"), (block, "stored"), (block, "reversible")):
        with backprop_mode(mode), tf.GradientTape() as tape:
            tape.watch(condition)
            z, log_det = which.forward_and_log_det(x, condition)
            value = tf.reduce_sum(z**3) + tf.reduce_sum(log_det**2)
        results.append(tape.gradient(value, condition))
    assert np.abs(results[0]).max() > 1e-3
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-10, atol=1e-10)


def test_each_block_is_initialized_for_itself():
    block = Repeat(lambda: Chain([b.InvertibleLinear(), b.AffineCoupling(conditioner=net)]), 4)
    block.ensure_built((6,))
    for variable in block.trainable_variables:
        slices = variable.numpy().reshape(4, -1)
        if "bias" not in variable.name:
            assert len(np.unique(np.abs(slices).sum(1))) == 4, variable.name
    kernels = next(v.numpy() for v in block.trainable_variables if "kernel" in v.name)
    assert 0.3 < kernels.std() / np.sqrt(2 / (3 + 4)) < 2  # Glorot for one block's shape, not the stack's


def test_seeds_give_the_weights_of_the_blocks_alone():
    block = Repeat(step, 3).ensure_built((4,))
    for i, part in enumerate(block.unroll()):
        alone = step(i).ensure_built((4,))
        np.testing.assert_allclose(part[1].kernel(), alone[1].kernel(), atol=1e-12)
        np.testing.assert_array_equal(part[2].order, alone[2].order)


@pytest.mark.parametrize("drawing", [lambda i: [step(i)[1], step(i)[2]], lambda i: []], ids=["parts", "forgotten"])
def test_blocks_that_draw_their_own_parts_are_what_they_would_be_in_full(drawing):
    made = []

    def noted(i):
        made.append(i)
        return step(i)

    keras.utils.set_random_seed(0)
    whole = Repeat(step, 3).ensure_built((4,))
    keras.utils.set_random_seed(0)
    block = Repeat(Alike(noted, drawing), 3).ensure_built((4,))
    assert made == ([0] if drawing(0) else [0, 1, 2])  # what was not said is found by making the block
    for mine, other in zip(block.variables, whole.variables, strict=True):
        if drawing(0) or "kernel" not in mine.name:  # a block that is made draws its kernels itself
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    "make",
    [
        lambda repeat: glow(event_shape=(4, 4, 3), levels=2, depth=3, hidden=2, repeat=repeat),
        lambda repeat: glow(event_shape=(4, 4, 3), levels=2, depth=3, hidden=2, permutation="shuffle", repeat=repeat),
        lambda repeat: real_nvp(event_shape=7, depth=3, hidden=(2,), repeat=repeat),
        lambda repeat: spline_flow(event_shape=5, depth=3, hidden=(2,), mixing="linear", repeat=repeat),
        lambda repeat: spline_flow(event_shape=5, depth=3, hidden=(2,), affine=False, mixing="shuffle", repeat=repeat),
    ],
    ids=["glow", "glow shuffled", "real_nvp", "spline_flow", "splines alone"],
)
def test_steps_of_the_factories_have_the_seeds_of_the_blocks_alone(make):
    def fixed(flow):
        return [
            part.order.numpy() if isinstance(part, b.Permutation) else part.kernel().numpy()
            for part in leaves(flow.block)
            if isinstance(part, b.Permutation | b.InvertibleLinear | b.InvertibleConv1x1 | b.OrthogonalLinear)
        ]

    def leaves(block):
        if isinstance(block, Repeat):
            block = block.unroll()
        parts = [part for part in block._flatten_layers(recursive=False, include_self=False) if isinstance(part, Block)]
        return [leaf for part in parts for leaf in leaves(part)] or [block]

    scanned, unrolled = fixed(make(True)), fixed(make(False))
    assert len(scanned) == len(unrolled) >= 3
    for mine, other in zip(scanned, unrolled, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)
    assert any(np.any(mine != scanned[0]) for mine in scanned[1:])


def test_data_initialization_equals_the_chains(repeat):
    fresh = Repeat(step, 3).ensure_built((4,))
    chain = fresh.unroll()
    x = 2 + 3 * vectors(32)
    np.testing.assert_allclose(fresh.initialize(x), chain.initialize(x), atol=1e-10)
    np.testing.assert_allclose(fresh.forward_and_log_det(x)[0], chain.forward_and_log_det(x)[0], atol=1e-10)


def test_from_chain(repeat):
    x = vectors()
    again = Repeat.from_chain(repeat.unroll())
    np.testing.assert_array_equal(again.forward_and_log_det(x)[0], repeat.forward_and_log_det(x)[0])
    flat = Chain([block for part in repeat.unroll() for block in part])
    flat.forward_and_log_det(x)
    periodic = Repeat.from_chain(flat, period=4)
    assert len(periodic) == 3
    np.testing.assert_array_equal(periodic.forward_and_log_det(x)[0], repeat.forward_and_log_det(x)[0])
    with pytest.raises(ValueError, match="period"):
        Repeat.from_chain(flat, period=5)


def test_saving(repeat, tmp_path):
    x = vectors()
    z = repeat.forward_and_log_det(x)[0].numpy()
    model = keras.Sequential([keras.Input((4,), dtype="float64"), repeat])
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "m.keras")(x), z)
    model.save_weights(tmp_path / "m.weights.h5")
    other = keras.Sequential([keras.Input((4,), dtype="float64"), Repeat(step, 3)])
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(other(x), z)
    np.testing.assert_array_equal(repeat.copy().forward_and_log_det(x)[0], z)
    path = tf.train.Checkpoint(block=repeat).save(str(tmp_path / "checkpoint"))
    third = Repeat(step, 3).ensure_built((4,))
    tf.train.Checkpoint(block=third).restore(path).assert_consumed()
    np.testing.assert_array_equal(third.forward_and_log_det(x)[0], z)


@pytest.mark.parametrize("backprop", ["stored", "reversible"])
def test_export(tmp_path, backprop):
    block = Repeat(step, 3, backprop=backprop)
    x = vectors()
    z = block.forward_and_log_det(x)[0].numpy()
    module = tf.Module()
    module.block = block
    module.run = tf.function(block.forward_and_log_det, input_signature=[tf.TensorSpec([None, 4], tf.float64)])
    tf.saved_model.save(module, str(tmp_path / "m"))
    loaded = tf.saved_model.load(str(tmp_path / "m"))
    np.testing.assert_allclose(loaded.run(x)[0], z, atol=1e-12)


def test_variables_on_both_faces(repeat):
    distribution = tfp.distributions.TransformedDistribution(
        tfp.distributions.MultivariateNormalDiag(tf.zeros(4, tf.float64)), tfp.bijectors.Invert(repeat)
    )
    assert len(distribution.trainable_variables) == len(repeat.trainable_variables) == 9
    assert len(repeat.variables) == 12  # and no trace of the template's own
    assert all(v.shape[0] == 3 for v in repeat.variables)
    repeat.trainable = False
    assert not repeat.trainable_variables


def test_bounds_are_those_of_the_chain():
    block = Repeat(lambda i: Chain([b.ActNorm(**DOUBLE), b.InvertibleLinear(seed=i, **DOUBLE)]), 3)
    block.initialize(vectors(16) * 3)
    a, c = block.lipschitz_bounds(), block.unroll().lipschitz_bounds()
    np.testing.assert_allclose([a.forward, a.inverse], [c.forward, c.inverse], rtol=1e-9)
    assert np.isfinite(a.forward)


def test_images_train():
    make = lambda: Chain([b.ActNorm(), b.InvertibleConv1x1(), b.AffineCoupling(conditioner=ConvNet(4))])  # noqa: E731
    block = Repeat(make, 2, backprop="reversible")
    x = tf.random.stateless_normal([4, 4, 4, 3], [0, 1])
    block.initialize(x)
    optimizer = keras.optimizers.Adam(0.02)

    @tf.function
    def train(x):
        with tf.GradientTape() as tape:
            z, log_det = block.forward_and_log_det(x)
            value = tf.reduce_mean(tf.reduce_sum(z**2, [1, 2, 3]) / 2 - log_det)
        optimizer.apply_gradients(zip(tape.gradient(value, block.trainable_variables), block.trainable_variables, strict=True))
        return value

    losses = [float(train(x)) for _ in range(8)]
    assert losses[-1] < losses[0]


def test_graph_does_not_grow_with_depth():
    def size(n, mode):
        block = Repeat(lambda: b.AffineCoupling(conditioner=net, **DOUBLE), n).ensure_built((4,))
        graph = tf.function(lambda x: gradients(block, x, mode)).get_concrete_function(vectors()).graph
        return len(graph.get_operations()) + sum(len(f.node_def) for f in graph.as_graph_def().library.function)

    for mode in ("stored", "reversible"):
        assert size(40, mode) <= 1.02 * size(4, mode)


def test_moving_statistics_are_kept():
    def normalized(channels):
        return keras.Sequential([keras.layers.Dense(6), keras.layers.BatchNormalization(), keras.layers.Dense(channels)])

    x = tf.cast(vectors(), tf.float32)
    block = Repeat(lambda: b.AffineCoupling(conditioner=normalized), 3)
    block(x)
    chain = block.unroll()
    for mode in ("stored", "reversible"):
        with backprop_mode(mode):
            block(x, training=True)
        chain(x, training=True)
        moving = [v.numpy() for v in block.variables if "moving" in v.name]
        theirs = [[v.numpy() for v in part.variables if "moving" in v.name] for part in chain]
        assert np.abs(moving[0]).max() > 0 and len(moving) == 2
        for mine, other in zip(moving, zip(*theirs, strict=True), strict=True):
            np.testing.assert_allclose(mine, np.stack(other), rtol=1e-5)


def test_what_alternates_is_refused():
    with pytest.raises(ValueError, match=r"swap=True.*one step"):
        Repeat(lambda i: b.AffineCoupling(split=b.ChannelSplit(swap=bool(i % 2))), 3).ensure_built((4,))
    with pytest.raises(ValueError, match="keeps the shape"):
        Repeat(lambda: b.Squeeze(), 2).ensure_built((4, 4, 2))
    with pytest.raises(ValueError, match="positive"):
        Repeat(lambda: b.ActNorm(), 0)
    with pytest.raises(TypeError, match="block"):
        Repeat(lambda: 3, 2)
    shared = b.ActNorm()
    with pytest.raises(ValueError, match="new, unbuilt"):
        Repeat(lambda: shared, 2)


def test_one_block_stands_for_all():
    block = Repeat(b.AffineCoupling(conditioner=net, **DOUBLE), 3)
    x = vectors()
    block(x)
    assert len(np.unique(block.trainable_variables[0].numpy()[:, 0, 0])) == 3
    np.testing.assert_array_equal(block.copy()(x), block(x))


def test_numerical_derivative_of_a_stack(repeat):
    x = vectors()
    gradient = gradients(repeat, x)
    variable = repeat.trainable_variables[0]
    value = variable.numpy()

    def at(shifted):
        variable.assign(shifted)
        z, log_det = repeat.forward_and_log_det(tf.identity(x))
        return float(tf.reduce_sum(tf.sin(z) * z) + tf.reduce_sum(log_det * tf.range(5, dtype=log_det.dtype)))

    direction = np.random.default_rng(0).normal(size=value.shape)
    slope = (at(value + 1e-6 * direction) - at(value - 1e-6 * direction)) / 2e-6
    assert abs(slope - float(np.sum(gradient[1].numpy() * direction))) < 1e-5 * (1 + abs(slope))


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("make", [lambda: b.ResidualBlock(seed=1), lambda: b.MonotoneBlock()], ids=["residual", "monotone"])
def test_gradients_of_contractions_in_a_graphs_loop_are_the_eager_ones(make, inverse):
    keras.utils.set_random_seed(0)
    block = Repeat(make, 3).ensure_built((4,))
    for variable in block.trainable_variables:
        variable.assign(1.2 * variable)
    x = tf.random.stateless_normal([5, 4], [0, 1])
    traced = tf.function(lambda x: gradients(block, x, inverse=inverse), autograph=False)
    eager, graph = gradients(block, x, inverse=inverse), traced(x)
    assert all(float(tf.norm(g)) > 0 for g in eager[1:])
    assert largest_difference(graph, eager) < 1e-4
