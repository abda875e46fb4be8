"""What generic tools must know of a composition is what holds of all of its parts."""

import pytest
import tensorflow as tf

from inntf import blocks as b
from inntf.compose import Blockwise, Chain, Multiscale, Repeat
from inntf.core.tags import Tags, joined

DRAWS = Tags(stochastic=True, exact_latent_round_trip=False)
COMPOSED = {
    "Chain": lambda part: Chain([b.Rescale(2.0), part()]),
    "Chain of chains": lambda part: Chain([Chain([b.Rescale(2.0)]), Chain([part()])]),
    "Repeat": lambda part: Repeat(lambda: Chain([b.Rescale(2.0), part()]), 2),
    "Blockwise": lambda part: Blockwise([Chain([part()]), b.Rescale(2.0)], [[0, 1], [2, 3]]),
}


@pytest.mark.parametrize("composed", COMPOSED.values(), ids=COMPOSED)
def test_of_compositions(composed):
    assert composed(lambda: b.Rescale(3.0)).tags == Tags(affine=True)
    assert composed(b.AffineCoupling).tags == Tags()
    assert composed(lambda: b.Dequantize(4)).tags == DRAWS


def test_of_levels_and_their_priors():
    levels = lambda: [Chain([b.Squeeze(), b.ActNorm()]), Chain([b.Squeeze()])]  # noqa: E731
    assert Multiscale(levels()).tags.affine and not Multiscale(levels(), priors="learned").tags.affine
    assert Multiscale([Chain([b.Dequantize(4), b.Squeeze()]), b.Squeeze()]).tags.stochastic


def test_of_a_coupling_of_two_sides():
    assert b.TwoSidedCoupling().tags == Tags()
    assert joined([]) == Tags(affine=True)


def test_a_composition_that_draws_does():
    chain = Chain([b.Dequantize(4), b.Rescale(0.5)])
    x = tf.ones([64, 2])
    first, second = (chain.forward_and_log_det(x)[0] for _ in range(2))
    assert bool(tf.reduce_any(first != second)) == chain.tags.stochastic


def test_a_mixin_may_say_so():
    class Linear:
        tags = {"affine": True}

    class Mixed(Linear, b.Rescale):
        pass

    assert Mixed(2.0).tags == Tags(affine=True)
