"""Spectral norms inside of scanned blocks: as fresh, and as certain, as in blocks that stand alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.blocks import ActNorm, AdditiveCoupling, ResidualBlock, Squeeze
from inntf.compose import Chain, Multiscale, Repeat
from inntf.compose.for_each_block import for_each_block
from inntf.models import DensityModel, Flow, FlowGan
from inntf.nets import MLP, ConvNet, LipschitzMLP, SpectralConv2D, SpectralDense, certify_norms, update_norms
from inntf.training import SpectralNormCallback, certify_spectral_norms, update_spectral_norms

tfb, tfd = tfp.bijectors, tfp.distributions

C = 0.7


def net(channels):
    options = {"coefficient": C, "update_every_call": False, "max_iterations": 40, "tolerance": 1e-6}
    return keras.Sequential([SpectralDense(8, activation="relu", **options), SpectralDense(channels, **options)])


def scanned(n=2):
    """A scan of couplings, spoiled: random kernels of norms far above the coefficient, singular vectors of others."""
    repeat = Repeat(lambda: AdditiveCoupling(conditioner=net), n).ensure_built((4,))
    spoil(repeat)
    return repeat


def spoil(block):
    rng = np.random.default_rng(3)
    for stack in block.weights:
        if "kernel" in stack.name or "singular" in stack.name:
            stack.assign(rng.normal(size=stack.shape) * 2)


def applied_norms(repeat):
    """Largest singular values of all kernels as they are applied, by a full decomposition, ascending."""

    def norms(block):
        return [np.linalg.norm(np.asarray(layer.effective_kernel()), 2) for layer in block.conditioner.layers]

    return np.sort(np.concatenate(for_each_block(repeat, norms)))


@pytest.mark.parametrize("compiled", [False, True])
def test_update_brings_every_block_of_a_scan_to_its_coefficient(compiled):
    scan = scanned()
    block = Chain([scan]).ensure_built((4,))
    assert np.abs(applied_norms(scan) / C - 1).min() > 0.05, "nothing was stale"
    kernels = [w.numpy() for w in block.trainable_weights]
    update = tf.function(update_spectral_norms, jit_compile=True) if compiled else update_spectral_norms
    for _ in range(3):
        update(block)
    np.testing.assert_allclose(applied_norms(scan), C, rtol=1e-3)
    for weight, kernel in zip(block.trainable_weights, kernels, strict=True):
        np.testing.assert_array_equal(weight.numpy(), kernel)


def test_certified_bounds_are_the_norms_and_rescaling_makes_them_hold():
    repeat = scanned()
    bounds = certify_spectral_norms(repeat)
    assert len(bounds) == 4
    np.testing.assert_allclose(sorted(bounds.values()), applied_norms(repeat), rtol=1e-5)
    bounds = certify_spectral_norms(repeat, rescale=True)
    assert max(bounds.values()) <= C
    assert applied_norms(repeat).max() <= C * (1 + 1e-6)
    with pytest.raises(ValueError, match="eager"):
        tf.function(lambda: certify_spectral_norms(repeat))()


def test_fit_keeps_the_norms():
    model = DensityModel(Flow(scanned(), event_shape=4), data_init=False)
    model.compile(keras.optimizers.Adam(0.1))
    callback = SpectralNormCallback()
    model.fit(tf.random.normal([64, 4]), batch_size=16, epochs=2, verbose=0, callbacks=[callback])
    assert len(callback.bounds) == 4 and 0.5 < max(callback.bounds.values()) <= C
    np.testing.assert_allclose(applied_norms(model.block), C, rtol=1e-3)


def test_for_each_block_returns_in_order_and_refuses_what_is_not_built():
    repeat = scanned(4)
    firsts = for_each_block(repeat, lambda block: float(block.conditioner.layers[0].kernel[0, 0]))
    kernel = next(w for w in repeat.weights if w.shape == (4, 2, 8))
    np.testing.assert_allclose(firsts, kernel.numpy()[:, 0, 0])
    with pytest.raises(ValueError, match="unbuilt"):
        for_each_block(Repeat(lambda: AdditiveCoupling(), 2), lambda block: None)


def test_for_each_block_in_a_graph_does_once_what_the_function_does_elsewhere():
    repeat = Repeat(ActNorm, 3).ensure_built((2,))
    count = tf.Variable(0)

    def visit(block):
        count.assign_add(1)
        block.shift.assign(block.shift + 0.5)

    assert tf.function(for_each_block, autograph=False)(repeat, visit) == []
    assert int(count) == 3
    assert [float(tf.reduce_max(v)) for v in for_each_block(repeat, lambda block: tf.identity(block.shift))] == [0.5] * 3


class PutsBack(keras.callbacks.Callback):
    """Ends training with weights of its own, as EarlyStopping does with the best ones."""

    def __init__(self, factor=3.0):
        super().__init__()
        self.factor = factor

    def on_train_end(self, logs=None):
        self.model.set_weights([self.factor * w if w.ndim > 1 and w.dtype.kind == "f" else w for w in self.model.get_weights()])


def largest(network):
    return max(certify_norms(network).values())


def restoring():
    # Never better than the first epoch: what it brings back are weights of the middle of training.
    return keras.callbacks.EarlyStopping("loss", mode="max", min_delta=1e9, patience=5, restore_best_weights=True)


def test_norms_hold_when_fit_returns_whatever_other_callbacks_put_back():
    block = AdditiveCoupling(conditioner=lambda n: SpectralDense(n, C, update_every_call=False))
    model = DensityModel(Flow(block, event_shape=4), data_init=False)
    model.compile(keras.optimizers.Adam(0.3))
    ours, x = SpectralNormCallback(), tf.random.normal([32, 4])
    for callbacks in ([ours, restoring()], [restoring(), ours], [ours, PutsBack()]):
        model.fit(x, batch_size=16, epochs=3, verbose=0, callbacks=callbacks)
        assert largest(model) <= C
    assert max(ours.bounds.values()) <= C
    assert model.when_fit_ends is None


@pytest.mark.parametrize("ours_first", [True, False])
def test_norms_of_a_model_of_ones_own_hold_with_early_stopping(ours_first):
    model = keras.Sequential([SpectralDense(3, C, update_every_call=False), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.3), "mse")
    ours, theirs = SpectralNormCallback(), restoring()
    callbacks = [ours, theirs] if ours_first else [theirs, ours]
    model.fit(tf.random.normal([32, 4]), tf.ones([32, 1]), batch_size=16, epochs=3, verbose=0, callbacks=callbacks)
    assert largest(model) <= C


def coupling():
    return AdditiveCoupling(conditioner=net)


def test_the_pair_enters_whatever_holds_layers():
    flow = Flow(Chain([Repeat(coupling, 2), coupling()]), event_shape=4)
    image_net = ConvNet(
        (), kernel_sizes=(3,), convolution=SpectralConv2D, convolution_arguments={"coefficient": C}, zero_last=False
    )
    level = Repeat(
        lambda: AdditiveCoupling(
            conditioner=lambda n: type(image_net).from_config(image_net.get_config() | {"out_channels": n})
        ),
        2,
    )
    pyramid = Multiscale([Chain([Squeeze(), level]), Squeeze()], priors="learned").ensure_built((4, 4, 1))
    alone = net(2)
    alone(tf.ones([1, 3]))
    twice = Chain([Repeat(lambda: Chain([Repeat(coupling, 2)]), 3)]).ensure_built((4,))
    embedded = Flow(coupling(), event_shape=4, condition_shape=3, condition_network=net(2))
    counts = {
        "flow": (flow, 6),
        "model": (DensityModel(flow), 6),
        "gan": (FlowGan(flow, objective="mle"), 6),
        "distribution": (tfd.TransformedDistribution(flow.base, tfb.Invert(flow.block)), 6),
        "multiscale": (pyramid, 2),
        "list": ([flow.block, {"one": (alone,)}, flow], 8),
        "nested": (twice, 12),
        "condition network": (embedded, 4),
        "condition network of a model": (DensityModel(embedded), 4),
        "copies of one name": (Chain([flow.block, flow.block.copy()]).ensure_built((4,)), 12),
    }
    for name, (thing, count) in counts.items():
        bounds = certify_norms(thing, rescale=True)
        assert len(bounds) == count, name
        assert max(bounds.values()) <= C, name
    things = [thing for thing, _ in counts.values()]
    spoil(twice)
    assert largest(things) > C * 1.001
    for _ in range(2):
        tf.function(update_norms, autograph=False)(things)
    assert largest(things) <= C * 1.001


def test_frozen_layers_are_left_alone():
    scan = scanned()
    scan.trainable = False
    before = scan.get_weights()
    update_norms([scan])
    for a, b in zip(before, scan.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("make", [lambda: SpectralDense(4), lambda: SpectralConv2D(2, 3)])
def test_an_unbuilt_layer_is_built_in_a_compiled_step(make):
    layer = make()
    x = tf.ones([2, 6]) if isinstance(layer, SpectralDense) else tf.ones([2, 4, 4, 1])
    out = tf.function(layer, jit_compile=True)(x)
    np.testing.assert_allclose(out, layer(x), rtol=1e-5, atol=1e-6)
    assert layer.certify() < 0.9 * 1.01  # the singular vector starts converged for the kernel's start


def test_under_a_mirrored_strategy_all_copies_change():
    strategy = tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices("CPU")])
    with strategy.scope():
        model = DensityModel(Flow(scanned(), event_shape=4), data_init=False)
        model.compile(keras.optimizers.Adam(0.1))

    def copies_agree():
        for variable in model.variables:
            first, *others = (copy.numpy() for copy in variable.value.values)
            for other in others:
                np.testing.assert_array_equal(first, other)

    update_norms(model)  # called outside of the scope
    copies_agree()
    strategy.run(tf.function(lambda: update_norms(model)))  # in replica context
    copies_agree()
    certify_norms(model, rescale=True)
    assert largest(model) <= C
    copies_agree()
    model.fit(tf.random.normal([32, 4]), batch_size=16, verbose=0, callbacks=[SpectralNormCallback(), PutsBack()])
    assert largest(model) <= C
    copies_agree()


def test_a_frozen_scan_of_residual_blocks_keeps_its_norms_in_training():
    repeat = Repeat(lambda: ResidualBlock(network=LipschitzMLP((3,))), 2).ensure_built((2,))
    spoil(repeat)
    repeat.trainable = False
    before = repeat.get_weights()
    model = DensityModel(Chain([repeat, AdditiveCoupling(conditioner=MLP((3,)))]), event_shape=(2,))
    model.compile("adam")
    model.fit(tf.random.normal([16, 2]), batch_size=8, verbose=0)
    for a, b in zip(before, repeat.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    repeat.trainable = True
    assert repeat.trainable_weights
