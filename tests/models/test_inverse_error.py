"""Bounds on the error of an inverse hold in every chain that is accepted; the others are refused by name."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Haar,
    InjectivePadding,
    InvertibleConv1x1,
    Logit,
    Permutation,
    Rescale,
    ResidualBlock,
    Squeeze,
)
from inntf.compose import Chain, Repeat
from inntf.models import IResNetClassifier
from inntf.nets import ConvNet, SpectralConv2D

SHAPE = (4, 4, 2)


def branch(dtype):
    layer = SpectralConv2D(8, 3, coefficient=0.9, update_every_call=False, dtype=dtype, activation="elu")
    return keras.Sequential([layer])


def residual(dtype):
    return ResidualBlock(network=branch(dtype), dtype=dtype, **({} if dtype == "float64" else {"tolerance": 1e-4}))


def parts(name, dtype):
    net = ConvNet(4, dtype=dtype, zero_last=False)
    return {
        "rescale": lambda: [Rescale(1 / 255, -0.5, dtype=dtype)],
        "rescale-shift": lambda: [Rescale(4.0, 1e3, dtype=dtype), Rescale(0.01, -50.0, dtype=dtype)],
        "actnorm": lambda: [ActNorm(dtype=dtype)],
        "conv1x1": lambda: [InvertibleConv1x1(dtype=dtype)],
        "conv1x1-dense": lambda: [InvertibleConv1x1(parametrization="dense", dtype=dtype), Rescale(1 / 64, dtype=dtype)],
        "permutation": lambda: [Permutation.reverse(dtype=dtype)],
        "haar": lambda: [Rescale(1 / 255, dtype=dtype), Haar(dtype=dtype), ActNorm(dtype=dtype)],
        "logit": lambda: [Rescale(1 / 256, 0.2, dtype=dtype), Logit(dtype=dtype)],
        "additive": lambda: [Rescale(1 / 255, dtype=dtype), AdditiveCoupling(conditioner=net, dtype=dtype)],
        "nested": lambda: [Chain([Rescale(1 / 255, dtype=dtype), Chain([ActNorm(dtype=dtype)])])],
    }[name]()


def body(name, dtype):
    rest = [] if name == "haar" else [Squeeze(dtype=dtype)]
    return Chain([*parts(name, dtype), *rest, residual(dtype)]).ensure_built(SHAPE)


NAMES = [
    "rescale",
    "rescale-shift",
    "actnorm",
    "conv1x1",
    "conv1x1-dense",
    "permutation",
    "haar",
    "logit",
    "additive",
    "nested",
]


@pytest.mark.parametrize("name", [*NAMES, "nested"])
def test_the_bound_holds_against_float64(name):
    keras.utils.set_random_seed(3)
    narrow, wide = body(name, "float32"), body(name, "float64")
    for variable in narrow.trainable_variables:  # as training leaves them: far from where they began
        variable.assign_add(0.2 * tf.random.stateless_normal(variable.shape, [5, 6]))
    model = IResNetClassifier(narrow, keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)]))
    model.certify()
    wide.set_weights(narrow.get_weights())
    x = tf.random.stateless_uniform([6, *SHAPE], [1, 2], 0, 1 if name in ("actnorm", "conv1x1", "permutation") else 200)
    features = model.features(x)
    exact = wide.inverse_and_log_det(tf.cast(features, tf.float64))[0].numpy()
    for invert in (model.invert, tf.function(model.invert)):
        found = invert(features)
        error = np.linalg.norm((found.x.numpy() - exact).reshape(6, -1), axis=1)
        bound = found.error_bound.numpy()
        assert np.all(error <= bound) and np.all(np.isfinite(bound))
    assert np.all(bound < 1e6 * np.maximum(error, 1e-7)), "and says something"


def test_padding_drops_what_is_beside_the_data():
    chain = Chain([InjectivePadding(3), residual_three()]).ensure_built((2, 2, 1))
    model = IResNetClassifier(chain, keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)]))
    model.certify()
    x = tf.random.stateless_normal([4, 2, 2, 1], [1, 2])
    found = model.invert(model.features(x))
    error = np.linalg.norm((found.x - x).numpy().reshape(4, -1), axis=1)
    assert np.all(error <= found.error_bound.numpy() + 1e-6)


def residual_three():
    return ResidualBlock(network=keras.Sequential([SpectralConv2D(3, 3, coefficient=0.5, update_every_call=False)]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: AffineCoupling(conditioner=ConvNet(4)),
        lambda: Repeat(lambda: ActNorm(), 2),
        lambda: Chain([AffineCoupling(conditioner=ConvNet(4))]),
    ],
    ids=["affine", "repeat", "nested"],
)
def test_what_has_no_bound_is_refused_by_name(make):
    model = IResNetClassifier(Chain([make()]).ensure_built((2, 2, 2)), keras.Sequential([keras.layers.Flatten()]))
    with pytest.raises(ValueError, match=r"(affine_coupling|repeat).* in the body: no bound"):
        model.invert(model.features(tf.zeros([1, 2, 2, 2])))
