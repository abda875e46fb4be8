"""Reversible backpropagation: the gradients of stored activations, or a clear refusal."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import blocks as b
from inntf.compose import Chain, Repeat, backprop_mode, worst_drift
from inntf.compose.drift import relative_drift
from inntf.core import Block
from inntf.models import glow
from inntf.nets import MLP, ConvNet
from inntf.numerics.transformers.scales import Scale
from inntf.stability import singular_values
from inntf.training import write_stability

DOUBLE = {"dtype": "float64"}
WEIGHT = tf.constant([1.0, -2.0, 0.5], tf.float64)  # a weight per sample


def net(channels):
    return MLP((4,), out_channels=channels, activation="tanh", zero_last=False)


def conv(channels):
    return ConvNet(3, out_channels=channels, activation="tanh", zero_last=False)


class Cubic(Block):
    """A block without a backward step of its own."""

    def build(self, input_shape):
        self.rate = self.add_weight(shape=(input_shape[-1],), initializer=keras.initializers.Constant(0.3), name="rate")

    def forward_and_log_det(self, x, condition=None):
        rate = tf.convert_to_tensor(self.rate)
        return tf.sinh(rate * x), tf.reduce_sum(tf.math.log(rate * tf.cosh(rate * x)), -1)

    def inverse_and_log_det(self, z, condition=None):
        rate = tf.convert_to_tensor(self.rate)
        x = tf.asinh(z) / rate
        return x, -tf.reduce_sum(tf.math.log(rate * tf.cosh(rate * x)), -1)


VECTOR = {
    "actnorm": lambda: b.ActNorm(**DOUBLE),
    "additive": lambda: b.AdditiveCoupling(conditioner=net, **DOUBLE),
    "affine": lambda: b.AffineCoupling(conditioner=net, **DOUBLE),
    "spline": lambda: b.SplineCoupling(conditioner=net, num_bins=3, **DOUBLE),
    "two_sided": lambda: b.TwoSidedCoupling(conditioner=net, **DOUBLE),
    "checkerboard": lambda: b.AffineCoupling(conditioner=net, split="checkerboard", **DOUBLE),
    "indices": lambda: b.AffineCoupling(conditioner=net, split=[0, 3], **DOUBLE),
    "plu": lambda: b.InvertibleLinear(seed=1, **DOUBLE),
    "dense": lambda: b.InvertibleLinear(seed=1, parametrization="dense", **DOUBLE),
    "shuffle": lambda: b.Permutation.shuffle(3, **DOUBLE),
    "reverse": lambda: b.Permutation.reverse(**DOUBLE),
    "generic": lambda: Cubic(**DOUBLE),
    "chain": lambda: Chain([b.ActNorm(**DOUBLE), b.Permutation.reverse(**DOUBLE), b.AffineCoupling(conditioner=net, **DOUBLE)]),
}
IMAGE = {
    "affine": lambda: b.AffineCoupling(conditioner=conv, **DOUBLE),
    "checkerboard": lambda: b.AffineCoupling(conditioner=conv, split="checkerboard", **DOUBLE),
    "conv1x1": lambda: b.InvertibleConv1x1(seed=1, **DOUBLE),
    "squeeze": lambda: b.Squeeze(**DOUBLE),
}


def perturb(block, seed=0):
    """Move every weight off its special initial value."""
    generator = np.random.default_rng(seed)
    for v in block.trainable_variables:
        v.assign(v.numpy() + 0.1 * generator.normal(size=v.shape))


def chain_of(make, x, condition=None, **kwargs):
    around = [b.AdditiveCoupling(conditioner=net if x.shape.rank == 2 else conv, **DOUBLE) for _ in range(2)]
    block = Chain([around[0], make(), around[1]], **({"backprop": "reversible", "checkpoint_every": 2} | kwargs))
    block.forward_and_log_det(x, condition)
    perturb(block)
    return block


def loss(z, log_det, kind):
    weight = tf.cast(WEIGHT, log_det.dtype)
    value = tf.reduce_sum(weight[:, None] * tf.reshape(tf.sin(z) * z, [3, -1]))
    return {"value": value, "log_det": tf.reduce_sum(weight * log_det**2), "both": value + tf.reduce_sum(weight * log_det)}[
        kind
    ]


def gradients(block, x, condition, kind, mode, inverse=False):
    given = [x] if condition is None else [x, condition]
    with backprop_mode(mode), tf.GradientTape() as tape:
        tape.watch(given)
        z, log_det = (block.inverse_and_log_det if inverse else block.forward_and_log_det)(x, condition)
        value = loss(z, log_det, kind)
    sources = given + [v._value for v in block.trainable_variables]
    return tape.gradient(value, sources, unconnected_gradients="zero")


def largest_difference(a, b):
    return max(float(tf.reduce_max(tf.abs(p - q)) / (1 + tf.reduce_max(tf.abs(q)))) for p, q in zip(a, b, strict=True))


def vectors(seed=0):
    return tf.random.stateless_normal([3, 4], [seed, 1], dtype=tf.float64)


@pytest.mark.parametrize("kind", ["value", "log_det", "both"])
@pytest.mark.parametrize("name", VECTOR)
def test_gradients_of_vector_blocks(name, kind):
    x = vectors()
    block = chain_of(VECTOR[name], x)
    for inverse in (False, True):
        stored = gradients(block, x, None, kind, "stored", inverse)
        assert largest_difference(gradients(block, x, None, kind, "reversible", inverse), stored) < 1e-10
    assert block.worst_drift < 1e-10


@pytest.mark.parametrize("name", IMAGE)
def test_gradients_of_image_blocks(name):
    x = tf.random.stateless_normal([3, 4, 4, 2], [0, 1], dtype=tf.float64)
    block = Chain([IMAGE[name](), b.AffineCoupling(conditioner=conv, **DOUBLE)], backprop="reversible")
    block.forward_and_log_det(x)
    perturb(block)
    stored = gradients(block, x, None, "both", "stored")
    assert largest_difference(gradients(block, x, None, "both", "reversible"), stored) < 1e-10


@pytest.mark.parametrize("name", ["affine", "spline", "two_sided", "chain"])
def test_gradients_by_the_condition(name):
    x, condition = vectors(), tf.random.stateless_normal([3, 2], [5, 5], dtype=tf.float64)
    block = chain_of(VECTOR[name], x, condition)
    stored = gradients(block, x, condition, "both", "stored")
    assert float(tf.reduce_max(tf.abs(stored[1]))) > 1e-3
    assert largest_difference(gradients(block, x, condition, "both", "reversible"), stored) < 1e-10


def test_gradients_against_finite_differences():
    x = vectors()
    block = chain_of(VECTOR["affine"], x)
    gradient = gradients(block, x, None, "both", "reversible")[0].numpy()
    step = 1e-6 * np.eye(12).reshape(12, 3, 4)

    def at(x):
        return float(loss(*block.forward_and_log_det(x), "both"))

    numeric = np.array([(at(x + d) - at(x - d)) / 2e-6 for d in step]).reshape(3, 4)
    assert np.abs(gradient - numeric).max() < 1e-6


def test_tf_function_and_dynamic_batch():
    x, condition = vectors(), tf.random.stateless_normal([3, 2], [5, 5], dtype=tf.float64)
    block = chain_of(VECTOR["chain"], x, condition)
    specs = [tf.TensorSpec([None, 4], tf.float64), tf.TensorSpec([None, 2], tf.float64)]
    traced = tf.function(lambda x, c: gradients(block, x, c, "both", "reversible"), input_signature=specs)
    assert largest_difference(traced(x, condition), gradients(block, x, condition, "both", "stored")) < 1e-10


def test_xla():
    x = vectors()
    block = chain_of(VECTOR["affine"], x)
    compiled = tf.function(lambda x: gradients(block, x, None, "both", "reversible"), jit_compile=True)
    assert largest_difference(compiled(x), gradients(block, x, None, "both", "stored")) < 1e-10


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("repeat", [False, True])
def test_a_second_derivative_is_refused(graph, repeat):
    x = vectors()
    block = Repeat(VECTOR["affine"], 2, backprop="reversible") if repeat else chain_of(VECTOR["affine"], x)
    block.forward_and_log_det(x)

    def second(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                value = tf.reduce_sum(block.forward_and_log_det(x)[0] ** 2)
            slope = inner.gradient(value, x)
        return outer.gradient(slope, x)

    # In a tf.function autograph may wrap the LookupError in a StagingError.
    with pytest.raises(Exception, match=r"no second derivative.*backprop_mode"):
        tf.function(second)(x) if graph else second(x)
    with backprop_mode("stored"):
        assert np.isfinite(second(x).numpy()).all()


class Tiny(Scale):
    """A scale that float32 cannot undo."""

    low, high, lipschitz = 0.0, 1.0, 1.0

    def log_scale(self, raw):
        return tf.fill(tf.shape(raw), tf.constant(math.log(1e-7), raw.dtype))


def broken(kind, **kwargs):
    def step():
        return Chain([b.AffineCoupling(conditioner=net, scale=Tiny()), b.Permutation.reverse()])

    make = {"chain": lambda: Chain([step() for _ in range(4)], **kwargs), "repeat": lambda: Repeat(step, 4, **kwargs)}
    block = make[kind]()
    block.forward_and_log_det(tf.ones([3, 4]))
    perturb(block)
    return block


def flat(gradients):
    return np.concatenate([np.ravel(g.numpy()).astype("float64") for g in gradients])


def angle(a, b):
    return math.degrees(math.acos(min(1.0, a @ b / np.linalg.norm(a) / np.linalg.norm(b))))


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("kind", ["chain", "repeat"])
def test_the_guard_mends_a_broken_chain(kind, graph):
    x = tf.cast(vectors(), tf.float32)

    def gradient(block, mode):
        def run(x):
            return gradients(block, x, None, "both", mode)

        return flat(tf.function(run)(x) if graph else run(x))

    open_, guarded = broken(kind, backprop="reversible", drift_tolerance=math.inf), broken(kind, backprop="reversible")
    guarded.set_weights(open_.get_weights())
    stored = gradient(guarded, "stored")
    wrong = gradient(open_, "reversible")
    assert not np.isfinite(wrong).all() or angle(wrong, stored) > 10
    assert angle(gradient(guarded, "reversible"), stored) < 0.1
    assert guarded.worst_drift > 1e-2


@pytest.mark.parametrize("kind", ["chain", "repeat"])
def test_drift_raises_or_warns(kind):
    x = tf.cast(vectors(), tf.float32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="drifted past"):
        gradients(broken(kind, backprop="reversible", on_drift="raise"), x, None, "both", "reversible")
    with pytest.warns(RuntimeWarning, match="drifted past"):
        gradients(broken(kind, backprop="reversible", on_drift="warn"), x, None, "both", "reversible")


def test_the_drift_of_a_model_is_readable(tmp_path):
    x = vectors()
    block = chain_of(VECTOR["affine"], x)
    model = keras.Sequential([keras.Input((4,), dtype="float64"), block])
    assert worst_drift(Chain([b.ActNorm()])) is None
    gradients(block, x, None, "both", "reversible")
    assert worst_drift(model) == block.worst_drift > 0
    numbers, _ = write_stability(tf.summary.create_file_writer(str(tmp_path)), block, x, step=0, passes=1)
    assert numbers["reversible_drift"] == block.worst_drift


class Diagonal(Block):
    """`scale * x + shift` with fixed numbers."""

    def __init__(self, scale, shift, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.shift = scale, shift

    def forward_and_log_det(self, x, condition=None):
        return tf.constant(self.scale) * x + tf.constant(self.shift), tf.zeros([], x.dtype)

    def inverse_and_log_det(self, z, condition=None):
        return (z - tf.constant(self.shift)) / tf.constant(self.scale), tf.zeros([], z.dtype)


def test_an_error_between_two_good_checkpoints_is_noticed():
    # Channels come as 1e-6 and are lifted to 1; some are conditioned on, then drowned beside a shift: float32 brings those
    # back with an error of some percent, which the inverse of the lift shrinks to nothing before the checkpoint.
    def parts():
        lift = Diagonal([1e6, 1e6, 1e6, 1e6, 1.0, 1.0], [0.0] * 6)
        drown = Diagonal([1e-6, 1e-6, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
        return [lift, b.AffineCoupling(conditioner=net, split=[0, 1, 4, 5]), drown]

    x = tf.random.stateless_normal([3, 6], [3, 1]) * [1e-6, 1e-6, 1e-6, 1e-6, 1.0, 1.0]
    block = Chain(parts(), backprop="reversible", checkpoint_every=3)
    block(x)
    perturb(block)
    assert relative_drift(block.inverse_and_log_det(block(x))[0], x) < 1e-6  # nothing to see at the ends
    stored, mended = (flat(gradients(block, x, None, "both", mode)[1:]) for mode in ("stored", "reversible"))
    with backprop_mode("reversible", guarded=False), tf.GradientTape() as tape:
        value = loss(*block.forward_and_log_det(x), "both")
    blind = flat(tape.gradient(value, [v._value for v in block.trainable_variables]))
    assert angle(blind, stored) > 0.05
    assert angle(mended, stored) < 1e-3
    assert block.worst_drift > 1e-3


def test_a_healthy_chain_passes_the_guard():
    block = chain_of(VECTOR["affine"], vectors(), on_drift="raise")
    gradients(block, vectors(), None, "both", "reversible")
    assert 0 <= block.worst_drift < 1e-12


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_any_checkpoint_interval(every):
    x = vectors()
    made = [VECTOR["affine"]() for _ in range(5)]
    block = Chain(made, backprop="reversible", checkpoint_every=every, drift_tolerance=0.0)  # every segment is recomputed
    block.forward_and_log_det(x)
    perturb(block)
    stored = gradients(block, x, None, "both", "stored")
    assert largest_difference(gradients(block, x, None, "both", "reversible"), stored) < 1e-10


@pytest.mark.parametrize(
    "settings", [{"backprop": "half"}, {"on_drift": "ignore"}, {"checkpoint_every": 0}, {"drift_tolerance": -1.0}]
)
def test_bad_settings(settings):
    with pytest.raises(ValueError, match="expected"):
        Chain([b.ActNorm()], **settings)


def test_dropout_and_moving_statistics_are_computed_once():
    def make(channels):
        return keras.Sequential(
            [keras.layers.Dense(6), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.Dense(channels)]
        )

    stored = Chain([b.AffineCoupling(conditioner=make), b.Permutation.reverse(), b.AffineCoupling(conditioner=make)])
    x = tf.cast(vectors(), tf.float32)
    stored(x)
    block = Chain(list(stored.blocks), backprop="reversible")
    block(x)
    before = [v.numpy() for v in stored.variables]
    results = []
    for which in (stored, block):
        for v, value in zip(stored.variables, before, strict=True):
            v.assign(value)
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(which(x, training=True) ** 3)
        grads = tape.gradient(value, [v._value for v in which.trainable_variables])
        results.append(([g.numpy() for g in grads], [v.numpy() for v in stored.non_trainable_variables]))
    # A bias before a batch normalization has no gradient: what is left there is rounding of the others' size.
    rounding = 1e-6 * max(np.abs(g).max() for g in results[0][0])
    for a, c in zip(*(r[0] for r in results), strict=True):
        np.testing.assert_allclose(a, c, rtol=2e-4, atol=rounding)
    for a, c in zip(*(r[1] for r in results), strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-6)


def test_fit_and_mixed_precision():
    for dtype in ("float32", "mixed_bfloat16"):
        steps = [b.ActNorm(dtype=dtype), b.AffineCoupling(conditioner=net, dtype=dtype)]
        model = keras.Sequential([keras.Input((4,)), Chain(steps, backprop="reversible", dtype=dtype)])
        model.compile(keras.optimizers.SGD(0.01), "mse")
        x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
        history = model.fit(x, np.tanh(x), epochs=3, batch_size=8, verbose=0).history["loss"]
        assert history[-1] < history[0]


def test_mirrored_strategy_sums_the_gradients_of_the_replicas():
    cpus = tf.config.list_logical_devices("CPU")
    strategy = tf.distribute.MirroredStrategy([cpu.name for cpu in cpus][:2])
    with strategy.scope():
        block = Chain([b.AffineCoupling(conditioner=net) for _ in range(2)], backprop="reversible")
        block.ensure_built((4,))
    x = tf.cast(vectors(), tf.float32)

    @tf.function
    def step(x):
        def one(x):
            with tf.GradientTape() as tape:
                z, log_det = block.forward_and_log_det(x)
                value = tf.reduce_sum(z**2) - tf.reduce_sum(log_det)
            return tape.gradient(value, [v._value for v in block.trainable_variables])

        return strategy.run(one, args=(x,))

    result = [strategy.experimental_local_results(g)[0] for g in step(x)]
    assert all(np.isfinite(g.numpy()).all() for g in result) and sum(float(tf.reduce_sum(tf.abs(g))) for g in result) > 0


def test_compositions_in_compositions():
    x = vectors()
    inner = Repeat(VECTOR["chain"], 2, backprop="stored", **DOUBLE)
    block = chain_of(lambda: inner, x)
    wanted = gradients(block, x, None, "both", "stored")
    assert largest_difference(gradients(block, x, None, "both", "reversible"), wanted) < 1e-10  # both reversible

    def own():  # each as it was made
        with tf.GradientTape() as tape:
            value = loss(*block.forward_and_log_det(x), "both")
        return tape.gradient(value, [v._value for v in block.trainable_variables])

    assert largest_difference(own(), wanted[1:]) < 1e-10
    assert largest_difference(tf.function(own)(), wanted[1:]) < 1e-10


@pytest.mark.parametrize("repeat", [False, True])
def test_a_reversible_glow(repeat):
    x = tf.random.stateless_uniform([3, 8, 8, 1], [0, 1], dtype=tf.float64)
    flow = glow(event_shape=(8, 8, 1), levels=2, depth=2, hidden=3, backprop="reversible", repeat=repeat, dtype="float64")
    perturb(flow.block)

    def gradient(mode):
        with backprop_mode(mode), tf.GradientTape() as tape:
            value = tf.reduce_sum(WEIGHT * flow.log_prob(tf.identity(x)))
        return tape.gradient(value, flow.trainable_variables)

    assert largest_difference(gradient("reversible"), gradient("stored")) < 1e-10
    assert worst_drift(flow.block) < 1e-10


def test_bit_exact_couplings_drift_by_nothing_at_any_depth():
    def step():
        return Chain([b.ExactAdditiveCoupling(conditioner=net), b.Permutation.reverse()])

    x = b.SnapToGrid()(tf.cast(vectors(), tf.float32))
    block = Repeat(step, 60, backprop="reversible", on_drift="raise", drift_tolerance=0.0)
    block(x)
    stored = gradients(block, x, None, "value", "stored")
    assert largest_difference(gradients(block, x, None, "value", "reversible"), stored) < 1e-4
    assert block.worst_drift == 0.0


def test_singular_values_of_a_reversible_model():
    x = vectors()
    block = chain_of(VECTOR["affine"], x)
    result = singular_values(block, x)
    with tf.GradientTape(persistent=True) as tape, backprop_mode("stored"):
        tape.watch(x)
        z = block.forward_and_log_det(x)[0]
    exact = np.linalg.svd(tape.batch_jacobian(z, x, experimental_use_pfor=False).numpy(), compute_uv=False)
    np.testing.assert_allclose(result.largest, exact[:, 0], rtol=1e-6)


def test_save_and_load(tmp_path):
    x = vectors()
    block = chain_of(VECTOR["affine"], x, drift_tolerance=1e-3)
    copy = block.copy()
    assert copy.backprop == block.backprop and copy.backprop.mode == "reversible"
    np.testing.assert_array_equal(copy.forward_and_log_det(x)[0], block.forward_and_log_det(x)[0])
    module = tf.Module()
    module.block = block
    module.run = tf.function(block.forward_and_log_det, input_signature=[tf.TensorSpec([None, 4], tf.float64)])
    tf.saved_model.save(module, str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_allclose(loaded.run(x)[0], block.forward_and_log_det(x)[0])
