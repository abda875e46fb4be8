"""Networks of dense layers bounded together: above what a search finds, below the product, and only where that is allowed."""

import collections
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import nets
from inntf.blocks import AffineCoupling
from inntf.nets import dense_chains, lipschitz_constant
from inntf.nets import remembered as memory
from inntf.nets.dense_chains import parts_in_turn
from inntf.nets.slope_ranges import global_slopes, slope_range
from inntf.numerics.norms import slope_restricted

L = keras.layers


def built(layer, shape):
    layer.build((None, *shape))
    return layer


def mlp(**kwargs):
    keras.utils.set_random_seed(kwargs.pop("seed", 0))
    return built(nets.MLP(kwargs.pop("hidden", (16, 16)), out_channels=3, zero_last=False, **kwargs), (4,))


def product_of(network):
    """The product of the layers' own bounds."""
    return math.prod(lipschitz_constant(part)[0] for part in parts_in_turn([network]))


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch):
    monkeypatch.setattr(memory, "_known", collections.OrderedDict())


def search(network, dim, points=2000, rounds=4):
    """The largest norm of a Jacobian, by differences in float64, among random points and then round the best of them."""
    rng = np.random.default_rng(0)
    kernels = [
        part.matrix_as_applied() if hasattr(part, "matrix_as_applied") else part.kernel.numpy() for part in network.layers
    ]
    layers = [
        (k.astype(np.float64), part.bias.numpy(), part.activation) for k, part in zip(kernels, network.layers, strict=True)
    ]

    def value(x):
        for kernel, bias, activation in layers:
            x = np.asarray(activation(tf.constant(x @ kernel + bias, tf.float64)))
        return x

    def slope(x):
        columns = [(value(x + e) - value(x - e)) / 2e-6 for e in 1e-6 * np.eye(dim)]
        return np.linalg.svd(np.stack(columns, 2), compute_uv=False)[:, 0]

    x, best = rng.normal(size=(points, dim)) * np.exp(rng.uniform(-3, 3, (points, 1))), 0.0
    for i in range(rounds):
        found = slope(x)
        best, top = max(best, found.max()), x[np.argsort(-found)[:40]]
        x = np.repeat(top, 10, 0) * (1 + 0.3 * 0.5**i * rng.normal(size=(400, dim)))
    return best


OTHERS = ["tanh", "softplus", "silu", "elu", "leaky_relu"]


@pytest.mark.parametrize("activation", ["relu", nets.lip_swish, *(pytest.param(n, marks=pytest.mark.slow) for n in OTHERS)])
def test_a_search_in_a_trained_coupling_finds_nothing_above(activation):
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1024, 4)).astype("float32")
    x[:, 1] = x[:, 1] * 0.3 + x[:, 0] ** 2  # a curved distribution
    x[:, 3] = x[:, 1] * np.sin(2 * x[:, 0]) + 0.3 * x[:, 3]
    hidden = (16,) * (4 if activation == "relu" else 2)
    block = AffineCoupling(conditioner=lambda n: nets.MLP(hidden, out_channels=n, activation=activation))
    block.ensure_built((4,))
    optimizer, weights = keras.optimizers.Adam(0.02), block.trainable_variables

    @tf.function(autograph=False)
    def step(batch):
        with tf.GradientTape() as tape:
            z, log_det = block.forward_and_log_det(batch)
            loss = tf.reduce_mean(tf.reduce_sum(z**2, 1) / 2 - log_det)
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss

    losses = [float(step(x[rng.integers(0, 1024, 128)])) for _ in range(100)]
    assert np.mean(losses[-5:]) < losses[0] - 0.3, "trained"
    bound, reason = lipschitz_constant(block.conditioner)
    found = search(block.conditioner, 2)
    assert reason == "" and found <= bound * (1 + 1e-6)
    assert found > 0.1 * bound, "the search finds something"
    assert bound < product_of(block.conditioner)
    assert block.lipschitz_bounds((-1.0, 1.0)).forward > 1.0


NAMES = ["celu", "elu", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "mish"]
NAMES += ["relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softplus", "softsign", "sparse_plus", "sparse_sigmoid"]
NAMES += ["squareplus", "tanh", "tanh_shrink"]
LAYERS = [L.ReLU(negative_slope=1.5), L.ReLU(max_value=3.0, negative_slope=0.1), L.LeakyReLU(0.3), L.ELU(alpha=2.0)]
LAYERS += [L.ELU(alpha=-0.5), L.Activation("gelu"), nets.LipSwish()]


@pytest.mark.parametrize(
    "activation",
    [*NAMES, nets.lip_swish, *LAYERS],
    ids=[*NAMES, "lip_swish", *(f"{type(layer).__name__}-{i}" for i, layer in enumerate(LAYERS))],  # the same in every process
)
def test_slopes_everywhere_are_the_infimum_and_the_supremum(activation):
    function = keras.activations.get(activation) if isinstance(activation, str) else activation
    x = tf.constant(np.concatenate([np.linspace(-40, 40, 80001), [-1e4, 1e4]]) + 1e-7)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.cast(function(x), tf.float64)
    found = tape.gradient(y, x).numpy()
    found = found[np.isfinite(found)]
    low, high = global_slopes(activation)
    assert low <= found.min() + 1e-6 and found.max() - 1e-6 <= high
    assert high - low <= 1.003 * (found.max() - found.min()) + 1e-3
    least, most = slope_range(activation, np.float64(-2.0), np.float64(3.0))
    if least > -most:  # of those whose ranges are known on intervals
        assert low - 1e-7 <= least and most <= high + 1e-7


def test_slopes_that_nobody_knows():
    for activation in ("softmax", "exponential", nets.max_min, nets.MaxMin(), nets.ConcatLipSwish(), L.Softmax(), L.PReLU()):
        assert global_slopes(activation) is None

    def mine(x):
        return tf.sin(x)

    mine.lipschitz = 1.0
    assert global_slopes(mine) is None and global_slopes(None) == (1.0, 1.0)
    mine.slopes = (-1.0, 1.0)
    assert global_slopes(mine) == (-1.0, 1.0)
    prelu = built(L.PReLU(alpha_initializer=keras.initializers.Constant(-0.5)), (3,))
    np.testing.assert_allclose(global_slopes(prelu), (-0.5, 1.0), atol=1e-7)


def test_sequential_nested_and_functional_networks_are_the_same_chain():
    network = mlp(activation="tanh")
    expected = lipschitz_constant(network)[0]
    assert expected < 0.95 * product_of(network)
    first, second, last = network.layers
    parts = [L.Dense(16), L.Activation("tanh"), L.Dropout(0.5), L.Dense(16, activation="tanh"), L.Dense(3)]
    inner = keras.Sequential(parts[1:4])
    outer = keras.Sequential([keras.Input((4,)), parts[0], inner, parts[4]])
    x = keras.Input((4,))
    functional = keras.Model(x, outer(x))
    for source, target in zip((first, second, last), (parts[0], parts[3], parts[4]), strict=True):
        target.set_weights(source.get_weights())
    for same in (outer, functional, [parts[0], inner, [parts[4]]]):
        assert lipschitz_constant(same)[0] == pytest.approx(expected, rel=1e-9)


class Doubled(nets.MLP):
    """A subclass that does something else with its layers."""

    def call(self, x):
        """Twice the parent."""
        return 2 * super().call(x)

    def lipschitz_bound(self):
        """Twice the parent's."""
        bound, reason = super().lipschitz_bound()
        return 2 * bound, reason


def test_what_is_no_chain_keeps_the_product():
    def dense(n, shape=(8,), **kwargs):
        return built(L.Dense(n, **kwargs), shape)

    keras.utils.set_random_seed(2)
    normalization = built(L.BatchNormalization(), (8,))
    for between in (normalization, nets.MaxMin(), L.Softmax(), L.Rescaling(2.0)):
        layers = [dense(8), between, dense(8)]
        assert lipschitz_constant(layers)[0] == math.prod(lipschitz_constant(layer)[0] for layer in layers)
    joined = lipschitz_constant([dense(8, activation=nets.max_min), dense(8, activation="relu"), dense(2)])[0]
    assert math.isfinite(joined)
    doubled = built(Doubled((8,), out_channels=2, zero_last=False), (4,))
    assert lipschitz_constant([doubled, dense(3, (2,))])[0] == pytest.approx(
        lipschitz_constant(doubled)[0] * lipschitz_constant(dense(3, (2,)))[0], rel=0.7
    )
    assert lipschitz_constant(doubled)[0] == pytest.approx(2 * lipschitz_constant(doubled.layers)[0])
    x = keras.Input((4,))
    h = L.Dense(4, activation="relu")(x)
    branched = keras.Model(x, L.Add()([L.Dense(4)(h), x]))
    offset = keras.Model(x, L.Dense(2)(L.Dense(4, activation="relu")(x) + 3.0))
    assert lipschitz_constant(offset)[0] == pytest.approx(product_of(offset.layers[1:]))
    both = keras.Model(x, [h, L.Dense(4)(h)])
    assert lipschitz_constant(both)[0] >= lipschitz_constant(keras.Model(x, h))[0]
    a, b = branched.layers[1:3]
    assert lipschitz_constant(branched)[0] == pytest.approx(lipschitz_constant(a)[0] * lipschitz_constant(b)[0] + 1)


def test_spectrally_normalized_layers_count_as_they_are_applied():
    network = built(nets.LipschitzMLP((16, 16), out_channels=4, coefficient=0.7), (4,))
    nets.certify_norms(network, rescale=True)
    bound = lipschitz_constant(network)[0]
    assert bound < product_of(network) <= 0.343 * (1 + 1e-6)
    assert search(network, 4) <= bound
    wrapped = keras.Sequential([keras.Input((4,)), L.SpectralNormalization(L.Dense(8, "relu")), L.Dense(3)])
    assert lipschitz_constant(wrapped)[0] < product_of(wrapped)


def test_convolutions_of_a_pixel_and_on_small_images():
    keras.utils.set_random_seed(3)
    pixel = built(nets.ConvNet(8, kernel_sizes=(1, 1, 1), out_channels=3, zero_last=False), (None, None, 2))
    matrices = keras.Sequential([L.Dense(8, "relu"), L.Dense(8, "relu"), L.Dense(3)])
    built(matrices, (2,))
    for conv, dense in zip(pixel.convolutions, matrices.layers, strict=True):
        dense.set_weights([conv.get_weights()[0][0, 0], conv.get_weights()[1]])
    assert lipschitz_constant(pixel)[0] == pytest.approx(lipschitz_constant(matrices)[0], rel=1e-9)
    small = built(nets.ConvNet(8, out_channels=2, zero_last=False, activation="softplus"), (4, 4, 2))
    bound = lipschitz_constant(small)[0]
    assert bound < 0.9 * product_of(small)
    x = tf.random.stateless_normal([4, 4, 4, 2], [0, 1])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = small(x)
    jacobian = tf.reshape(tape.batch_jacobian(y, x), [4, 32, 32])
    assert np.linalg.svd(jacobian, compute_uv=False).max() <= bound
    large = built(nets.ConvNet(8, out_channels=2, zero_last=False), (8, 8, 2))
    assert lipschitz_constant(large)[0] == pytest.approx(product_of(large), rel=1e-12)
    mixed = keras.Sequential([keras.Input((3, 3, 2)), L.Conv2D(4, 3, activation="tanh"), L.Flatten(), L.Dense(5)])
    per_pixel = keras.Sequential([keras.Input((3, 3, 2)), L.Conv2D(4, 3, padding="same", activation="tanh"), L.Dense(5)])
    for network in (mixed, per_pixel):  # flattened, or on the last axis: not the same run
        assert lipschitz_constant(network)[0] == pytest.approx(product_of(network), rel=1e-12)


def test_masked_networks():
    network = built(nets.MaskedMLP(2, hidden=(16, 16), zero_last=False), (4,))
    bound = lipschitz_constant(network)[0]
    assert bound < 0.9 * math.prod(np.linalg.norm(kernel, 2) for kernel in network.masked_kernels())
    x = tf.random.stateless_normal([64, 4], [3, 4])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reshape(network(x), [-1, 8])
    assert np.linalg.svd(tape.batch_jacobian(y, x), compute_uv=False).max() <= bound


def test_the_bound_follows_weights_and_is_computed_once(monkeypatch, tmp_path):
    calls = []

    def counted(*args):
        calls.append(args)
        return slope_restricted.slope_restricted_norm(*args)

    monkeypatch.setattr(dense_chains, "slope_restricted_norm", counted)
    network = mlp()
    first = lipschitz_constant(network)[0]
    assert lipschitz_constant(network)[0] == first and len(calls) == 1
    network.trainable = False
    assert lipschitz_constant(network)[0] == first and len(calls) == 1
    keep = network.get_weights()
    network.layers[1].kernel.assign(2 * network.layers[1].kernel)
    assert lipschitz_constant(network)[0] == pytest.approx(2 * first, rel=1e-6) and len(calls) == 2
    path = tf.train.Checkpoint(network=network).write(str(tmp_path / "c"))
    network.set_weights(keep)
    assert lipschitz_constant(network)[0] == first and len(calls) == 2
    tf.train.Checkpoint(network=network).read(path)
    assert lipschitz_constant(network)[0] == pytest.approx(2 * first, rel=1e-6) and len(calls) == 2
    network.layers[0].activation = keras.activations.get("sigmoid")
    assert lipschitz_constant(network)[0] < first and len(calls) == 3
    network.layers[1].kernel.assign(np.nan * network.layers[1].kernel)
    assert math.isinf(lipschitz_constant(network)[0]) and len(calls) == 3
