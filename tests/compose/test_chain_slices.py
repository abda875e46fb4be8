"""A part of a chain shares its blocks, and is as built, and as made, as the chain."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AdditiveCoupling, AffineCoupling, Permutation, Squeeze
from inntf.compose import Chain
from inntf.models import Flow
from inntf.nets import MLP, LipschitzMLP

X = tf.random.stateless_normal([5, 4], [1, 2])


def chain(**kwargs):
    blocks = [ActNorm(), AffineCoupling(conditioner=MLP([8], zero_last=False)), Permutation.reverse()]
    return Chain([*blocks, AdditiveCoupling(conditioner=LipschitzMLP((8,)))], **kwargs)


def test_parts_of_a_built_chain_are_built():
    whole = chain().ensure_built((4,))
    part = whole[2:]
    assert part.built and part.event_shape == (4,) and part.condition_shape is None
    assert np.isfinite(part.lipschitz_bounds().forward)
    assert [id(w) for w in part.weights] == [id(w) for block in whole.blocks[2:] for w in block.weights]
    np.testing.assert_array_equal(Flow(whole[1:]).block(whole[0](X)), whole(X))
    np.testing.assert_array_equal(whole[:2].copy()(X), whole[:2](X))


def test_shapes_are_those_within_the_chain():
    whole = Chain([Squeeze(), ActNorm(), Squeeze(), ActNorm()]).ensure_built((8, 8, 1))
    assert [whole[i:].event_shape for i in range(4)] == [(8, 8, 1), (4, 4, 4), (4, 4, 4), (2, 2, 16)]


def test_conditions():
    whole = chain().ensure_built((4,), (3,))
    assert whole[1:].condition_shape == (3,)
    assert whole[:1].condition_shape is None
    y = tf.ones([5, 3])
    np.testing.assert_array_equal(whole[1:](whole[:1](X, y), y), whole(X, y))


def test_the_way_to_backpropagate_goes_along():
    made = chain(backprop="reversible", checkpoint_every=2, drift_tolerance=0.5, on_drift="warn")
    assert made[1:].backprop == made.backprop
    assert made[1:].get_config()["backprop"] == "reversible"


def test_what_is_not_built_stays_so():
    part = chain()[1:]
    assert not part.built
    assert part.ensure_built((4,)).forward(X).shape == (5, 4)
    with pytest.raises(ValueError, match="at least one"):
        part[3:]
