"""MAF and IAF: triangular Jacobians, each the other's inverse, bounds, refusals."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import MaskedAutoregressive
from inntf.nets import MaskedMLP
from inntf.numerics import SplineTransform


def make(seed=0, dim=4, **settings):
    keras.utils.set_random_seed(seed)
    net = MaskedMLP(hidden=(8,), activation="tanh", zero_last=False)
    return MaskedAutoregressive(conditioner=net, dtype="float64", **settings).ensure_built((dim,))


def jacobian(block, x, inverse=False):
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        out = (block.inverse_and_log_det if inverse else block.forward_and_log_det)(x)[0]
    return tape.batch_jacobian(out, x, experimental_use_pfor=False).numpy()


def normal(*shape, seed=1):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))


@pytest.mark.parametrize("transform", ["affine", "spline"])
def test_iaf_is_the_inverse_of_maf(transform):
    maf, iaf = make(transformer=transform), make(transformer=transform, reads="latent")
    x = normal(5, 4)
    for a, b in zip(maf.inverse_and_log_det(x), iaf.forward_and_log_det(tf.identity(x)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    for a, b in zip(maf.forward_and_log_det(x), iaf.inverse_and_log_det(tf.identity(x)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_jacobian_is_triangular_both_ways():
    block = make()
    for inverse in (False, True):
        found = jacobian(block, normal(2, 4), inverse)
        assert np.all(np.triu(found, 1) == 0) and np.all(np.abs(found[:, np.tril_indices(4)[0], np.tril_indices(4)[1]]) > 0)


def test_one_entry_needs_no_others():
    block = make(dim=1)
    x = normal(3, 1)
    np.testing.assert_allclose(block.inverse_and_log_det(block.forward_and_log_det(x)[0])[0], x, atol=1e-14)


def test_refusals():
    with pytest.raises(ValueError, match="'data' .MAF"):
        MaskedAutoregressive(reads="both")
    with pytest.raises(ValueError, match="transformer='cubic'"):
        MaskedAutoregressive(transformer="cubic")
    with pytest.raises(TypeError, match="entry_by_entry"):
        MaskedAutoregressive(conditioner=keras.layers.Dense(2)).ensure_built((3,))
    with pytest.raises(ValueError, match="vectors"):
        MaskedAutoregressive().ensure_built((4, 4, 1))
    with pytest.raises(ValueError, match="at least 2 bins"):
        SplineTransform(1)
