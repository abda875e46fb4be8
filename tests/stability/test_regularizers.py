"""Regularizers: their values against dense Jacobians, their gradients against finite differences in every backprop mode."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from inntf import blocks as b
from inntf.compose import Chain, Multiscale, Repeat
from inntf.models import DensityModel, IResNetClassifier
from inntf.nets import MLP, ConvNet, LipschitzMLP
from inntf.numerics.jacobian import batch_jacobian
from inntf.stability import BlockRegularizer, FiniteDifferences, FlowRegularizer, GradientPenalty

MODES = ("stored", "reversible", "checkpointed")
KINDS = (FiniteDifferences, FlowRegularizer, GradientPenalty)


def net(channels):
    return MLP((5,), out_channels=channels, activation="tanh", zero_last=False)


def conv(channels):
    return ConvNet((4,), kernel_sizes=(3, 3), out_channels=channels, activation="tanh", zero_last=False)


def vectors(mode, dtype="float64"):
    parts = [
        b.ActNorm(dtype=dtype),
        b.AffineCoupling(conditioner=net, dtype=dtype),
        b.Permutation.reverse(dtype=dtype),
        b.AdditiveCoupling(conditioner=net, dtype=dtype),
    ]
    return Chain(parts, backprop=mode)


def residual(mode):
    def network(channels):
        return LipschitzMLP((6,), out_channels=channels, coefficient=0.6)

    return Chain([b.ResidualBlock(network=network, dtype="float64", seed=i) for i in range(2)], backprop=mode)


def scanned(mode):
    def step(i):
        parts = [b.InvertibleLinear(seed=i, dtype="float64"), b.AffineCoupling(conditioner=net, dtype="float64")]
        return Chain(parts, dtype="float64")

    return Repeat(step, 3, backprop=mode)


def images(mode):
    def level():
        return Chain([b.Squeeze(), b.ActNorm(dtype="float64"), b.AffineCoupling(conditioner=conv, dtype="float64")])

    return Multiscale([level(), level()], backprop=mode)


MAKERS = {"vectors": vectors, "residual": residual, "scanned": scanned, "images": images}


def data(kind, n=3, dtype=tf.float64):
    return tf.random.stateless_normal([n, 4, 4, 1] if kind == "images" else [n, 4], [1, 2], dtype=dtype)


def gradient_error(block, function):
    """Of the gradient by all weights along a random direction, relative, against central differences."""
    variables = block.trainable_variables
    with tf.GradientTape() as tape:
        value = function()
    grads = tape.gradient(value, [v._value for v in variables], unconnected_gradients="zero")
    along = [tf.random.stateless_normal(v.shape, [i, 7], dtype=tf.float64) for i, v in enumerate(variables)]
    before, h, found = [tf.identity(v._value) for v in variables], 1e-5, []
    for sign in (1.0, -1.0):
        for v, at, d in zip(variables, before, along, strict=True):
            v.assign(at + sign * h * d)
        found.append(float(function()))
    for v, at in zip(variables, before, strict=True):
        v.assign(at)
    measured = (found[0] - found[1]) / (2 * h)
    got = float(tf.add_n([tf.reduce_sum(g * d) for g, d in zip(grads, along, strict=True)]))
    assert abs(measured) > 1e-4, "nothing to compare"
    return abs(got - measured) / abs(measured)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", list(MAKERS))
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_weights(kind, name, mode):
    """Every second step, traced; those of finite differences and of the flow loss with the outputs of the step's own pass."""
    block, x = MAKERS[name](mode), data(name)
    block.initialize(x)
    # At a target of 1 there is hardly a gradient to compare: these maps are near to isometries.
    options = {FlowRegularizer: {}, FiniteDifferences: {"seed": 3}, GradientPenalty: {"seed": 3, "target": 0.0}}
    regularizer = kind(0.3, every=2, **options[kind])

    @tf.function
    def loss(step):
        outputs = None if kind is GradientPenalty else block.forward_and_log_det(x)
        return regularizer(block, x, step=step, outputs=outputs)

    assert float(loss(tf.constant(1))) == 0.0
    assert gradient_error(block, lambda: loss(tf.constant(2))) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_eager_and_traced_agree_and_the_condition_gets_a_gradient(kind):
    x, c = data("vectors"), tf.random.stateless_normal([3, 2], [4, 4], dtype=tf.float64)
    block = vectors("reversible")
    block.forward_and_log_det(x, c)
    regularizer = kind(0.3, every=3, **({} if kind is FlowRegularizer else {"seed": 3}))

    def both(step):
        with tf.GradientTape() as tape:
            tape.watch([x, c])
            value = regularizer(block, x, c, step=step)
        return value, tape.gradient(value, [x, c])

    (one, grads), (two, others) = both(tf.constant(3)), tf.function(both)(tf.constant(3))
    np.testing.assert_allclose(one, two, rtol=1e-10)
    for g, other in zip(grads, others, strict=True):
        assert float(tf.norm(g)) > 1e-6
        np.testing.assert_allclose(g, other, rtol=1e-8, atol=1e-12)


def jacobians(block, x):
    forward = batch_jacobian(lambda x: block.forward_and_log_det(x)[0], x).numpy()
    return forward, np.linalg.inv(forward)


def test_values_against_dense_jacobians():
    x = data("vectors", 2)
    block = vectors("stored")
    block.initialize(data("vectors", 64))
    there, back = jacobians(block, x)
    mean = {"forward": np.mean(np.sum(there**2, (1, 2))) / 4, "inverse": np.mean(np.sum(back**2, (1, 2))) / 4}
    many, copies = tf.repeat(x, 4000, 0), 1e-2
    for direction, wanted in {**mean, "both": sum(mean.values())}.items():
        for distribution in ("sphere", "gaussian", "rademacher"):
            options = {"direction": direction, "distribution": distribution, "seed": 1}
            for found in (
                FiniteDifferences(1.0, epsilon=1e-6, **options)(block, many, step=0),
                GradientPenalty(1.0, target=0.0, **options)(block, many, step=0),
            ):
                assert abs(float(found) / wanted - 1) < 4 * copies, (direction, distribution)


def test_the_flow_loss_is_that_of_the_density():
    x = data("vectors", 5)
    block = vectors("stored")
    block.initialize(x)
    density = DensityModel(block, event_shape=(4,))
    wanted = -float(tf.reduce_mean(density.log_prob(x)))
    assert abs(float(FlowRegularizer(2.0)(block, x)) - 2 * wanted) < 1e-10
    entries = tfp.distributions.Normal(tf.constant(0.0, tf.float64), 1.0)
    assert abs(float(FlowRegularizer(2.0, base=entries)(block, x)) - 2 * wanted) < 1e-10
    other = tfp.distributions.MultivariateNormalDiag(tf.ones(4, tf.float64))
    z, log_det = block.forward_and_log_det(x)
    assert abs(float(FlowRegularizer(1.0, base=other)(block, x)) + float(tf.reduce_mean(other.log_prob(z) + log_det))) < 1e-10


def test_the_conversion_from_the_released_code():
    """Sum over the batch of squared distances over epsilon, at directions of mean squared length D / B."""
    block, x, batch = b.Rescale(tf.constant([1.0, 2.0, 0.5, 3.0]), dtype="float64"), data("vectors", 200), 200
    x = tf.cast(x, tf.float64)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(batch, 4))
    directions /= np.linalg.norm(directions, axis=0)  # each entry over the batch, as there
    moved = block.forward_and_log_det(x + 0.1 * directions)[0] - block.forward_and_log_det(x)[0]
    released = 1e-3 / 0.1 * float(tf.reduce_sum(moved**2))
    ours = FiniteDifferences.as_released(1e-3, 4, batch, direction="forward", seed=1)
    assert abs(float(ours(block, tf.repeat(x, 50, 0), step=0)) / released - 1) < 0.1


def test_targets_and_sides():
    double, x = b.Rescale(2.0, dtype="float64"), data("vectors")
    both = float(GradientPenalty(1.0)(double, x))
    assert abs(both - 1.25) < 1e-9
    assert abs(float(GradientPenalty(1.0, one_sided=True)(double, x)) - 1.0) < 1e-9
    assert abs(float(GradientPenalty(1.0, target=3.0, direction="forward")(double, x)) - 1.0) < 1e-9


def test_steps_seeds_and_empty_batches():
    block, x = vectors("stored"), data("vectors")
    block.initialize(x)
    regularizer = FiniteDifferences(1.0, seed=5)
    again = FiniteDifferences.from_config(regularizer.get_config())
    assert float(regularizer(block, x, step=3)) == float(again(block, x, step=3))
    assert float(regularizer(block, x, step=3)) != float(regularizer(block, x, step=4))
    assert float(regularizer(block, x[:0], step=3)) == 0.0
    assert abs(float(regularizer(block, x[None], step=3)) - float(regularizer(block, x, step=3))) < 1e-12
    with pytest.raises(ValueError, match="no step"):
        FiniteDifferences(1.0, every=2)(block, x)


def test_the_weight_may_change_after_tracing():
    block, x = b.Rescale(2.0), tf.ones([2, 3])
    regularizer = FlowRegularizer(1.0)
    traced = tf.function(lambda: regularizer(block, x))
    before = float(traced())
    regularizer.weight = 3.0
    assert abs(float(traced()) - 3 * before) < 1e-5 and regularizer.get_config()["weight"] == 3.0


@pytest.mark.parametrize("traced", [False, True])
def test_a_lost_inverse_is_named(traced):
    block = b.Rescale(tf.constant([1e-38, 1.0]), dtype="float32")
    call = FiniteDifferences(1.0)
    call = tf.function(call) if traced else call
    with pytest.raises(tf.errors.InvalidArgumentError, match="finite difference of inverse(.|\n)*not finite") as error:
        call(block, tf.ones([3, 2]))
    assert "3" in str(error.value) and "forward of" not in str(error.value)


def test_dequantized_images_are_moved_behind_the_noise():
    parts = [b.Dequantize(), b.AffineCoupling(conditioner=conv)]
    block = Chain(parts).ensure_built((4, 4, 2))
    x = tf.cast(tf.random.stateless_uniform([4, 4, 4, 2], [1, 1], 0, 256, tf.int32), tf.float32)
    values = [float(FiniteDifferences(1.0, seed=1)(block, x, step=0)) for _ in range(2)]
    assert 0.1 < values[0] < 1e3 and abs(values[0] / values[1] - 1) < 0.2  # noise over epsilon would be some thousands


@pytest.mark.parametrize(
    "make",
    [
        lambda: FiniteDifferences(-1.0),
        lambda: FiniteDifferences(1.0, every=0),
        lambda: FiniteDifferences(1.0, epsilon=0.0),
        lambda: FiniteDifferences(1.0, direction="up"),
        lambda: GradientPenalty(1.0, distribution="cube"),
        lambda: GradientPenalty(1.0, target=-1.0),
        lambda: FlowRegularizer(math.nan),
        lambda: DensityModel(b.ActNorm(), event_shape=2, regularizers=[FlowRegularizer(1.0), FlowRegularizer(2.0)]),
    ],
)
def test_refusals(make):
    with pytest.raises(ValueError, match="expected"):
        make()


def test_what_is_no_regularizer_is_refused():
    with pytest.raises(TypeError, match="kernel_regularizer"):
        DensityModel(b.ActNorm(), event_shape=2, regularizers=[keras.regularizers.L2(1e-3)])
    with pytest.raises(TypeError, match="Distribution"):
        FlowRegularizer(1.0, base=3)


# ---- in fit ---------------------------------------------------------------------------------------------------


def classifier(regularizers, mode="reversible", dtype=None):
    body = Chain([b.AffineCoupling(conditioner=conv, dtype=dtype), b.Permutation.reverse(dtype=dtype)], backprop=mode)
    head = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    body.ensure_built((4, 4, 2))
    return IResNetClassifier(body, head, regularizers=regularizers)


def labelled(n=32):
    x = tf.random.stateless_normal([n, 4, 4, 2], [3, 3])
    return x.numpy(), (x[:, 0, 0, 0] > 0).numpy().astype(int)


def test_a_classifier_in_fit(tmp_path):
    x, y = labelled()
    parts = [FiniteDifferences(0.5, every=2, seed=1), FlowRegularizer(1e-2)]
    model = classifier(parts)
    kernel = model.body.trainable_variables[0].numpy()
    model.compile(keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(x, y, batch_size=16, epochs=1, validation_data=(x, y), verbose=0).history
    assert set(history) == {"loss", "val_loss", "finite_differences", "flow_regularizer"}
    assert (model.body.trainable_variables[0].numpy() == kernel).all()
    # Without a step the regularizers of two batches are what is above the loss without; the first applies to one of the two.
    flow = np.mean([float(FlowRegularizer(1e-2)(model.body, part)) for part in (x[:16], x[16:])])
    assert abs(history["flow_regularizer"][0] - flow) < 1e-4
    extra = history["loss"][0] - history["val_loss"][0]
    assert abs(extra - history["flow_regularizer"][0] - history["finite_differences"][0] / 2) < 1e-4
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [type(one) for one in loaded.regularizers] == [FiniteDifferences, FlowRegularizer]
    assert loaded.regularizers[0].get_config() == parts[0].get_config()
    np.testing.assert_allclose(loaded(x), model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("policy", [None, "mixed_bfloat16"])
def test_gradients_of_fit_are_those_of_a_loop(policy):
    """One step of SGD: the weights move by the gradient of task and regularizer."""
    x, y = labelled(8)
    model = classifier([FlowRegularizer(1e-1, every=1)], "checkpointed", policy)
    twin = classifier([], "stored", policy)
    twin.set_weights(model.get_weights())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss)
    model.fit(x, y, batch_size=8, epochs=1, verbose=0, shuffle=False)
    with tf.GradientTape() as tape:
        value = loss(y, twin(x, training=True)) + FlowRegularizer(1e-1)(twin.body, x)
    grads = tape.gradient(value, [v._value for v in twin.trainable_variables])
    close = {"rtol": 1e-3, "atol": 1e-5} if policy is None else {"rtol": 5e-2, "atol": 2e-2}
    for after, before, grad in zip(model.trainable_variables, twin.trainable_variables, grads, strict=True):
        np.testing.assert_allclose(after.numpy() - before.numpy(), -grad, **close)


def test_under_a_strategy():
    x, y = labelled()
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        parts = [FiniteDifferences(0.5, every=2, seed=1), GradientPenalty(0.1, every=2, seed=1)]
        model = classifier(parts)
        model.compile(keras.optimizers.SGD(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(x, y, batch_size=16, epochs=1, verbose=0).history
    assert history["finite_differences"][0] > 0 and np.isfinite(history["loss"][0])


def test_a_regularizer_keeps_an_inverse():
    """Squashing one of two entries: the smallest singular value stays up where a regularizer holds it."""

    def smallest(regularizers):
        keras.utils.set_random_seed(0)
        block = Chain([b.ActNorm(dtype="float64"), b.AffineCoupling(conditioner=net, dtype="float64")])
        model = Squash(block, regularizers)
        block.ensure_built((2,))
        optimizer, x = keras.optimizers.Adam(0.05), tf.random.stateless_normal([64, 2], [1, 1], dtype=tf.float64)

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                value = model(x)
            optimizer.apply(tape.gradient(value, block.trainable_variables), block.trainable_variables)

        optimizer.build(block.trainable_variables)
        for _ in range(400):
            step()
        return np.linalg.svd(batch_jacobian(lambda x: block.forward_and_log_det(x)[0], x).numpy(), compute_uv=False).min()

    free = smallest([])
    for one in (FiniteDifferences(0.01, direction="inverse"), FlowRegularizer(0.1)):
        assert smallest([one]) > 3 * free


class Squash:
    def __init__(self, block, regularizers):
        self.block, self.regularizers = block, regularizers

    def __call__(self, x):
        z = self.block.forward_and_log_det(x)[0]
        loss = tf.reduce_mean((z - x * [1.0, 0.0]) ** 2)
        for one in self.regularizers:
            loss += one(self.block, x)
        return loss


def test_one_of_your_own():
    class Latent(BlockRegularizer):
        def penalties(self, maps, outputs, draw):
            return {"latent": tf.reduce_sum(maps.forward(maps.x) ** 2, -1)}

    assert float(Latent(0.5, name="latent")(b.Rescale(2.0), tf.ones([2, 3]))) == 6.0


@pytest.mark.parametrize("kind", [FiniteDifferences, GradientPenalty])
def test_directions_are_the_same_under_xla(kind):
    block, x = vectors("stored"), tf.random.stateless_normal([4, 4], [0, 1], dtype=tf.float64)
    block(x)
    for variable in block.trainable_variables:
        variable.assign(
            variable + 0.3 * tf.random.stateless_normal(variable.shape, [len(variable.path), 3], dtype=variable.dtype)
        )
    regularizer = kind(1.0, seed=3)
    compiled = tf.function(lambda step: regularizer(block, x, step=step), jit_compile=True, autograph=False)
    for step in range(6):  # a seed that is negative after folding was another one there
        assert float(compiled(tf.constant(step))) == pytest.approx(float(regularizer(block, x, step=step)), rel=1e-9)
