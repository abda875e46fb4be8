"""Spectral norms inside of scanned blocks: as fresh, and as certain, as in blocks that stand alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AdditiveCoupling
from inntf.compose import Chain, Repeat
from inntf.compose.each import for_each_block
from inntf.models import DensityModel, Flow
from inntf.nets import SpectralDense
from inntf.training import SpectralNormCallback, certify_spectral_norms, update_spectral_norms

C = 0.7


def net(channels):
    options = {"coefficient": C, "update_every_call": False, "max_iterations": 40, "tolerance": 1e-6}
    return keras.Sequential([SpectralDense(8, activation="relu", **options), SpectralDense(channels, **options)])


def scanned(n=2):
    """A scan of couplings, spoiled: random kernels of norms far above the coefficient, singular vectors of others."""
    repeat = Repeat(lambda: AdditiveCoupling(conditioner=net), n).ensure_built((4,))
    rng = np.random.default_rng(3)
    for stack in repeat.weights:
        if "kernel" in stack.name or "singular" in stack.name:
            stack.assign(rng.normal(size=stack.shape) * 2)
    return repeat


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
