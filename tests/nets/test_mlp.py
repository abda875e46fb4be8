"""Arguments of the fully connected conditioner."""

import json

import numpy as np
import pytest
import tensorflow as tf

from inntf.nets import MLP


@pytest.mark.parametrize("hidden", [np.int64(8), np.array([8]), [np.int32(8)]])
def test_integers_of_numpy(hidden):
    net = MLP(hidden, out_channels=2)
    assert net.hidden == (8,) and json.dumps(net.get_config()["hidden"]) == "[8]"
    assert MLP.from_config(net.get_config())(tf.ones([3, 4])).shape == (3, 2)


def test_a_count_of_bounded_inputs_needs_a_bound():
    with pytest.raises(ValueError, match="bounded_inputs=2.*input_bound"):
        MLP([8], bounded_inputs=2)
    assert MLP([8], input_bound=1.0, bounded_inputs=2).bounded_inputs == 2


def test_files_that_hold_a_count_without_a_bound_are_still_read():
    config = MLP([8], out_channels=2).get_config() | {"bounded_inputs": 2}
    assert MLP.from_config(config).bounded_inputs is None
