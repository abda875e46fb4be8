"""Runs of blocks that are alike become loops of the same map."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AdditiveCoupling, AffineCoupling, Permutation, ResidualBlock, Squeeze
from inntf.compose import Chain
from inntf.compose.runs import runs_as_loops
from inntf.models import i_resnet_classifier, real_nvp
from inntf.nets import MLP, ConvNet, certify_norms
from inntf.numerics.log_dets.exact import ExactLogDet
from inntf.serving.served import Served
from inntf.serving.signatures import trace

RNG = np.random.default_rng(0)


def shaken(block):
    for v in block.trainable_variables:
        v.assign(v + 0.1 * RNG.normal(size=v.shape).astype(v.dtype))
    return block


def kinds(chain):
    return [type(block).__name__ + (f" of {len(block)}" if type(block).__name__ == "Repeat" else "") for block in chain]


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (lambda: [ActNorm() for _ in range(4)], ["Repeat of 4"]),
        (
            lambda: [AffineCoupling(), *(f() for _ in range(3) for f in (ActNorm, AdditiveCoupling))],
            ["AffineCoupling", "Repeat of 3"],
        ),
        (lambda: [ActNorm(), ActNorm(), AffineCoupling(), AffineCoupling()], ["ActNorm"] * 2 + ["AffineCoupling"] * 2),
        (lambda: [Chain([Permutation.shuffle(i), AffineCoupling()]) for i in range(3)], ["Repeat of 3"]),
        (lambda: [ActNorm(), *(AffineCoupling(conditioner=MLP([w])) for w in (4, 8, 4))], ["ActNorm"] + ["AffineCoupling"] * 3),
        (lambda: [Permutation.reverse()], ["Permutation"]),
    ],
)
def test_what_becomes_a_loop_and_that_it_is_the_same_map(blocks, expected):
    chain = shaken(Chain(blocks()).ensure_built((4,)))
    looped = runs_as_loops(chain)
    assert kinds(looped) == expected
    assert (looped is chain) == ("Repeat" not in str(expected))
    x = RNG.normal(size=(5, 4)).astype("float32")
    for one, other in zip(chain.forward_and_log_det(x), looped.forward_and_log_det(x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    for one, other in zip(chain.inverse_and_log_det(x), looped.inverse_and_log_det(x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_a_condition_and_changes_of_shape():
    chain = Chain([Squeeze(), *(AffineCoupling(conditioner=ConvNet(4)) for _ in range(3)), Squeeze()])
    looped = runs_as_loops(shaken(chain.ensure_built((4, 4, 1), (2,))))
    assert kinds(looped) == ["Squeeze", "Repeat of 3", "Squeeze"]
    x, c = RNG.normal(size=(3, 4, 4, 1)).astype("float32"), RNG.normal(size=(3, 2)).astype("float32")
    np.testing.assert_allclose(looped.forward_and_log_det(x, c)[0], chain.forward_and_log_det(x, c)[0], rtol=1e-5, atol=1e-6)


def test_only_blocks_that_iterate_are_served_as_loops_and_a_smaller_graph_answers_the_same():
    assert Served.of(flow := real_nvp(event_shape=2, depth=4, hidden=(4,))).computed is flow.block
    chain = shaken(Chain([ResidualBlock(log_det=ExactLogDet()) for _ in range(6)]).ensure_built((3,)))
    certify_norms(chain, rescale=True)
    x = tf.constant(RNG.normal(size=(4, 3)).astype("float32"))
    sizes, found = [], []
    for loops in (False, True):
        _, signatures = trace(Served.of(chain, loops=loops))
        found.append({**signatures["forward"](x=x), **signatures["reconstruct"](x=x)})
        sizes.append(signatures["inverse"].graph.as_graph_def().ByteSize())
    assert sizes[1] < 0.4 * sizes[0]
    for key, value in found[0].items():
        np.testing.assert_allclose(found[1][key], value, rtol=1e-4, atol=1e-4, err_msg=key)


def test_a_classifier_answers_the_same_logits_through_loops():
    model = i_resnet_classifier(event_shape=(8, 8, 1), blocks=(4, 3), hidden=(4, 4), channels=4, classes=3)
    x = tf.constant(RNG.normal(size=(5, 8, 8, 1)).astype("float32"))
    model.initialize(x)
    served = Served.of(model)
    assert kinds(served.computed).count("Repeat of 3") == 2  # the first block of all has no activation in front
    logits = trace(served)[1]["classify"](x=x)["logits"]
    np.testing.assert_allclose(logits, model(x, training=False), rtol=1e-4, atol=1e-5)
