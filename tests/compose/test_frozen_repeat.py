"""A `Repeat` of which parts are frozen: its weights keep their places in files, checkpoints and lists."""

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import blocks as b
from inntf.compose import Chain, Repeat
from inntf.models import DensityModel, Flow, glow, real_nvp, residual_flow, spline_flow
from inntf.nets import MLP

X = tf.random.stateless_normal([6, 4], [0, 1])


def perturbed(block, seed=0):
    for i, variable in enumerate(block.variables):
        if variable.dtype == "float32":
            variable.assign(variable + 0.3 * tf.random.stateless_normal(variable.shape, [seed, i]))
    return block


def partly_frozen(frozen=True, seed=0):
    """Two couplings of equal shapes, of which the first may be frozen: no shape tells their weights apart."""

    def step():
        first = b.AffineCoupling(conditioner=MLP([8]), trainable=not frozen)
        return Chain([first, b.Permutation.reverse(), b.AffineCoupling(conditioner=MLP([8]))])

    return perturbed(Repeat(step, 3).ensure_built((4,)), seed)


def saved(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.saving.load_model(tmp_path / "model.keras")


def thawed(block):
    block.trainable = False
    block.trainable = True


@pytest.mark.parametrize(
    ("change", "left"), [(lambda block: None, 4), (lambda block: setattr(block, "trainable", False), 0), (thawed, 8)]
)
def test_files_copies_and_pickles(change, left, tmp_path):
    block = partly_frozen()
    change(block)
    model = DensityModel(Flow(block))
    assert len(model.trainable_weights) == left
    again = saved(model, tmp_path)
    assert len(again.trainable_weights) == left
    others = [again.block, block.copy(), block.unroll(), pickle.loads(pickle.dumps(Flow(block))).block]
    for other in [*others, copy.deepcopy(Flow(block)).block]:
        np.testing.assert_array_equal(other(X), block(X))


def test_weights_of_an_unfrozen_one_fit_a_partly_frozen_one(tmp_path):
    free = partly_frozen(False)
    tf.train.Checkpoint(flow=Flow(free)).write(str(tmp_path / "checkpoint"))
    DensityModel(Flow(free)).save_weights(tmp_path / "free.weights.h5")
    ways = {
        "checkpoint": lambda block: tf.train.Checkpoint(flow=Flow(block)).read(str(tmp_path / "checkpoint")).assert_consumed(),
        "file": lambda block: DensityModel(Flow(block)).load_weights(tmp_path / "free.weights.h5"),
        "list": lambda block: block.set_weights(free.get_weights()),
    }
    for name, load in ways.items():
        block = partly_frozen(True, seed=7)
        load(block)
        np.testing.assert_array_equal(block(X), free(X), err_msg=name)
        assert len(block.trainable_weights) == 4


@pytest.mark.parametrize(
    "make",
    [
        lambda: real_nvp(event_shape=4, depth=3, hidden=(8,)),
        lambda: spline_flow(event_shape=4, depth=2, hidden=(8,)),
        lambda: residual_flow(event_shape=4, depth=2, hidden=(8,)),
        lambda: glow(event_shape=(4, 4, 1), levels=1, depth=2, hidden=2),
    ],
    ids=["real_nvp", "spline_flow", "residual_flow", "glow"],
)
def test_a_flow_that_is_frozen_when_it_is_saved(make, tmp_path):
    flow = make()
    model = DensityModel(flow)
    model.compile("adam")
    x = tf.random.stateless_normal([8, *flow.event_shape], [0, 3])
    model.fit(x, verbose=0)
    model.trainable = False
    again = saved(model, tmp_path)
    np.testing.assert_array_equal(again.log_prob(x), model.log_prob(x))
    assert not again.trainable_weights
    again.trainable = True
    assert len(again.trainable_weights) == len(make().trainable_variables)
