"""A conditioner gets its width from the block that asks for it, whoever made it and however it is given."""

import keras
import numpy as np
import pytest

from inntf import blocks, models, nets

X = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
IMAGES = np.random.default_rng(1).normal(size=(2, 4, 4, 2)).astype("float32")

CASES = {
    "affine": lambda: blocks.AffineCoupling(conditioner=lambda n: nets.MLP((8,)))(X),
    "image": lambda: blocks.AdditiveCoupling(conditioner=lambda n: nets.ConvNet(4))(IMAGES),
    "lipschitz": lambda: blocks.AdditiveCoupling(conditioner=lambda n: nets.LipschitzMLP(8))(X),
    "spline": lambda: blocks.SplineCoupling(conditioner=lambda n: nets.MLP((8,)))(X),
    "two-sided": lambda: blocks.TwoSidedCoupling(conditioner=lambda n: nets.MLP((8,)))(X),
    "exact": lambda: blocks.ExactAdditiveCoupling(conditioner=lambda n: nets.MLP((8,)))(np.round(X)),
    "autoregressive": lambda: blocks.MaskedAutoregressive(conditioner=lambda n: nets.MaskedMLP(hidden=(8,)))(X),
    "residual": lambda: blocks.ResidualBlock(network=lambda n: nets.LipschitzMLP((8,)))(X),
    "dynamics": lambda: blocks.ContinuousBlock(dynamics=lambda n: nets.MLP((8,)), rtol=0.1, atol=0.1)(X),
    "class": lambda: blocks.AffineCoupling(conditioner=nets.MLP)(X),
    "end of a Sequential": lambda: blocks.AffineCoupling(conditioner=keras.Sequential([keras.layers.Dense(3), nets.MLP((8,))]))(
        X
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_width_comes_from_the_block(name):
    x = IMAGES if name == "image" else X
    assert CASES[name]().shape == x.shape


def test_factories_take_such_functions_and_the_dtype_follows():
    flow = models.glow(event_shape=(4, 4, 2), levels=1, depth=2, conditioner=lambda n: nets.ConvNet(4))
    assert flow.log_prob(IMAGES).shape == (2,)
    block = blocks.AffineCoupling(conditioner=lambda n: nets.MLP((8,)), dtype="float64")
    assert block(X.astype("float64")).dtype == "float64"
    assert block.conditioner.variable_dtype == "float64"


@pytest.mark.parametrize(
    ("conditioner", "error", "words"),
    [
        (lambda: nets.MLP((8,)), TypeError, "number of output channels"),
        (lambda a, b: nets.MLP((8,)), TypeError, "number of output channels"),
        (lambda n: nets.MLP((8,), out_channels=3), ValueError, "3 output channels"),
        (lambda n: n, TypeError, "Keras layer"),
        (7, TypeError, "Keras layer"),
    ],
)
def test_mistakes_are_named(conditioner, error, words):
    with pytest.raises(error, match=words):
        blocks.AffineCoupling(conditioner=conditioner)(X)


@pytest.mark.parametrize("make", [nets.MLP, nets.LipschitzMLP, nets.MaskedMLP])
def test_a_network_alone_says_what_it_needs(make):
    with pytest.raises(ValueError, match="Set out_channels="):
        make()(X)


@pytest.mark.parametrize("policy", ["bfloat16", "mixed_bfloat16", "float64"])
@pytest.mark.parametrize("make", [nets.LipSwish, nets.ConcatLipSwish])
def test_trained_activations_in_every_dtype(make, policy):
    layer = make(dtype=policy)
    out = layer(np.ones([2, 4], "float64"))
    assert out.dtype == layer.compute_dtype
    np.testing.assert_allclose(np.asarray(out, "float64"), np.asarray(make(dtype="float64")(np.ones([2, 4]))), rtol=2e-2)


@pytest.mark.parametrize("wrong", ["actnorm", blocks.ActNorm(), 3], ids=["a name", "a layer", "a number"])
def test_a_conv_net_says_what_its_makers_of_layers_must_be(wrong):
    for key in ("normalization", "convolution"):
        with pytest.raises(TypeError, match=f"{key}=.*makes a layer"):
            nets.ConvNet(4, out_channels=2, **{key: wrong})
