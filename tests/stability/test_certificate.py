"""Certified bounds: tables add up, and hold over what is measured."""

import math

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AdditiveCoupling, AffineCoupling, Permutation, Rescale, Squeeze
from inntf.compose import Chain, Multiscale, Repeat
from inntf.nets import MLP
from inntf.numerics import SigmoidScale
from inntf.stability import certify, singular_values
from tests.stability.tiny_blocks import Additive, Linear


def network(channels):
    return MLP((8,), out_channels=channels, zero_last=False)


def test_a_chain_multiplies_and_lists_its_blocks():
    inner = Chain([Linear([2.0, 0.5]), Linear([3.0, 1.0])])
    chain = Chain([Linear([5.0, 0.1]), inner, Permutation.reverse()]).ensure_built((2,))
    out = certify(chain)
    assert [(row.kind, row.depth) for row in out.rows] == [
        ("Chain", 0),
        ("Linear", 1),
        ("Chain", 1),
        ("Linear", 2),
        ("Linear", 2),
        ("Permutation", 1),
    ]
    np.testing.assert_allclose(tuple(out.bounds), (5 * 2 * 3, 10 * 2 * 1), rtol=1e-9)
    np.testing.assert_allclose(tuple(out.rows[2].bounds), (6, 2), rtol=1e-9)
    assert out.bounded
    assert len(str(out).splitlines()) == 7 and "    linear" in str(out)


def test_large_bounds_are_bounds_though_their_product_is_beyond_float_range():
    out = certify(Chain([Rescale([1e200, 1e-200], dtype="float64")]).ensure_built((2,)))
    assert out.bounded and math.isinf(out.bounds.condition_number) and out.bounds.forward < 1.1e200


def test_a_block_without_a_bound_says_why():
    out = certify(Additive(1.0).ensure_built((2,)))
    assert not out.bounded and math.isinf(out.bounds.forward)
    assert "declares no Lipschitz bound" in str(out)


@pytest.mark.parametrize("domain", [None, (-2.0, 2.0)])
def test_bounds_hold_over_measured_singular_values(domain):
    coupling = AdditiveCoupling(conditioner=network)
    if domain is not None:
        coupling = AffineCoupling(conditioner=network, scale=SigmoidScale(low=0.5))
    chain = Chain([ActNorm(), Permutation.reverse(), coupling])
    x = np.random.default_rng(0).uniform(-2, 2, (50, 4)).astype("float32")
    chain.initialize(x)
    bounds = certify(chain, domain).bounds
    out = singular_values(chain, x)
    assert np.isfinite(bounds.condition_number)
    assert np.max(out.largest) <= bounds.forward * (1 + 1e-5)
    assert 1 / np.min(out.smallest) <= bounds.inverse * (1 + 1e-5)


def test_an_affine_coupling_needs_a_box():
    chain = Chain([AffineCoupling(conditioner=network, scale=SigmoidScale(low=0.5))]).ensure_built((4,))
    assert not certify(chain).bounded and "domain" in certify(chain).bounds.reason
    assert certify(chain, (-1.0, 1.0)).bounded
    assert {row.bounds.scope for row in certify(chain, (-1.0, 1.0)).rows} == {"local"}


def test_the_box_reaches_each_block_of_a_chain():
    chain = Chain([Linear([10.0, 10.0]), AffineCoupling(conditioner=network, scale=SigmoidScale(low=0.5))]).ensure_built((2,))
    alone = chain.blocks[1].lipschitz_bounds((-1.0, 1.0)).forward
    assert certify(chain, (-1.0, 1.0)).rows[2].bounds.forward > alone
    box = chain.blocks[0].image_box((-1.0, 1.0))
    assert certify(chain, (-1.0, 1.0)).rows[2].bounds == chain.blocks[1].lipschitz_bounds(box)


def test_parts_of_other_containers_are_listed():
    step = Chain([ActNorm(), AdditiveCoupling(conditioner=network)])
    repeat = Repeat(lambda: step.copy(), 3).ensure_built((4,))
    out = certify(repeat)
    assert [row.depth for row in out.rows] == [0] + 3 * [1, 2, 2]
    np.testing.assert_allclose(
        out.bounds.forward, np.prod([row.bounds.forward for row in out.rows if row.depth == 1]), rtol=1e-6
    )
    levels = [Chain([Squeeze(), ActNorm()]), Chain([Squeeze(), ActNorm()])]
    out = certify(Multiscale(levels, priors="learned").ensure_built((4, 4, 1)))
    assert [row.kind for row in out.rows if row.depth == 1] == ["Chain", "Chain", "AffineCoupling"]
    top, *_, last = str(out).splitlines()[1:]
    assert top.endswith("global") and "pass domain" in last, "the reason stands with the block that has it"


def test_no_block():
    with pytest.raises(TypeError, match="expected an inntf block"):
        certify(tf.keras.layers.Dense(3))
