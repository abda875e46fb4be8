"""What a block was constructed with: its own, with names, and what is in it now."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import blocks as b
from inntf.compose import Blockwise, Chain, Repeat
from inntf.core import Block
from inntf.models import DensityModel, Flow

X = tf.random.stateless_normal([5, 4], [0, 1])


def saved(block, tmp_path):
    model = DensityModel(Flow(block, event_shape=4))
    model.save(tmp_path / "model.keras")
    return keras.saving.load_model(tmp_path / "model.keras").block


def test_a_list_of_the_caller_may_grow(tmp_path):
    parts = [b.ActNorm(), b.Rescale(2.0)]
    chain = Chain(parts)
    parts.append(b.Rescale(3.0))
    for other in (chain.copy(), saved(chain, tmp_path), Chain.from_config(chain.get_config())):
        np.testing.assert_allclose(other(X), chain(X))
    pieces, columns = [b.Rescale(2.0), b.Rescale(3.0)], [[0, 1], [2, 3]]
    block = Blockwise(pieces, columns)
    pieces.append(b.Rescale(5.0))
    columns.append([4])
    for other in (block.copy(), Blockwise.from_config(block.get_config())):
        np.testing.assert_allclose(other(X), block(X))


def test_a_block_that_is_added_to_a_chain_is_in_its_configuration(tmp_path):
    chain = Chain([b.ActNorm(), b.Rescale(2.0)])
    chain.blocks.append(b.Rescale(3.0))
    np.testing.assert_allclose(chain(X), 6 * X)
    for other in (chain.copy(), saved(chain, tmp_path)):
        np.testing.assert_allclose(other(X), chain(X))


@keras.saving.register_keras_serializable("tests")
class Shifts(Block):
    """Adds numbers that have no names."""

    def __init__(self, *shifts, **kwargs):
        super().__init__(**kwargs)
        self.shift = sum(shifts)

    def forward_and_log_det(self, x, condition=None):
        return x + self.shift, tf.zeros([], x.dtype)

    def inverse_and_log_det(self, z, condition=None):
        return z - self.shift, tf.zeros([], z.dtype)


def test_arguments_without_names_are_refused_where_they_would_be_lost(tmp_path):
    block = Shifts(1.0, 2.0)
    np.testing.assert_allclose(block(X), X + 3)
    for lose in (block.copy, block.get_config, lambda: Repeat(block, 3), lambda: saved(Chain([block]), tmp_path)):
        with pytest.raises(TypeError, match="without names"):
            lose()
    assert Shifts().copy().shift == 0
    with pytest.raises(TypeError, match="without names"):
        Repeat(lambda: Shifts(1.0, 2.0), 3)(X)  # the blocks may differ in them, and nobody could tell
