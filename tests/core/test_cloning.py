"""Copies and files of what a block is made with: tied parts stay tied, functions and dictionaries of layers go along."""

import copy
import pickle
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import Block
from inntf.blocks import AdditiveCoupling, AffineCoupling, Permutation
from inntf.compose import Chain, Invert, Repeat
from inntf.core import configuration
from inntf.models import DensityModel, Flow, glow
from inntf.nets import MLP, ConvNet

X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def coupling(net=None):
    return AffineCoupling(conditioner=net or MLP([8]))


def same_block():
    a = coupling()
    return Chain([a, Permutation.reverse(), a])


def conjugated():
    a = coupling()
    return Chain([a, Permutation.reverse(), Invert(a)])


def same_net():
    net = MLP([8])
    return Chain([coupling(net), Permutation.reverse(), coupling(net)])


def in_inner_chains():
    a = coupling()
    return Chain([Chain([a, Permutation.reverse()]), Chain([Permutation.reverse(), a])])


TIED = {"block": same_block, "conjugated": conjugated, "net": same_net, "inner chains": in_inner_chains}
each_tied = pytest.mark.parametrize("make", TIED.values(), ids=TIED)


def moved(block):
    rng = np.random.default_rng(1)
    for variable in block.trainable_variables:
        variable.assign(variable.numpy() + 0.3 * rng.normal(size=variable.shape))
    return block


def built(make):
    return moved(make().ensure_built((4,)))


def through_file(model, path):
    model.save(path)
    return keras.models.load_model(path)


def assert_alike_and_apart(new, old):
    assert len(new.weights) == len(old.weights)
    assert not {id(w) for w in new.weights} & {id(w) for w in old.weights}
    np.testing.assert_array_equal(new.forward_and_log_det(X)[0], old.forward_and_log_det(X)[0])


@each_tied
@pytest.mark.parametrize("way", [lambda b: b.copy(), copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
def test_tied_weights_are_tied_in_copies(make, way):
    block = built(make)
    assert_alike_and_apart(way(block), block)


@each_tied
def test_tied_weights_are_tied_in_files(make, tmp_path):
    block = built(make)
    model = keras.Sequential([keras.Input((4,)), block])
    assert_alike_and_apart(through_file(model, tmp_path / "m.keras").layers[0], block)
    density = DensityModel(Flow(block))
    assert_alike_and_apart(through_file(density, tmp_path / "d.keras").block, block)


@each_tied
def test_tied_weights_are_tied_by_the_configuration_alone(make):
    block = built(make)
    new = type(block).from_config(block.get_config()).ensure_built((4,))
    assert len(new.weights) == len(block.weights)
    model = keras.Sequential([keras.Input((4,)), block])
    assert len(keras.models.clone_model(model).weights) == len(block.weights)


@each_tied
def test_repeat_of_tied_weights_unrolls(make):
    for step in (make, make(), built(make)):
        repeat = moved(Repeat(step, 3).ensure_built((4,)))
        chain = repeat.unroll()
        assert len(chain.weights) == 3 * len(built(make).weights)
        np.testing.assert_allclose(chain.forward_and_log_det(X)[0], repeat.forward_and_log_det(X)[0], atol=1e-5)


def test_net_of_two_layers_of_a_model_is_one_in_its_file(tmp_path):
    net = MLP([8])
    model = keras.Sequential([keras.Input((4,)), coupling(net), Permutation.reverse(), coupling(net)])
    moved(model)
    again = through_file(model, tmp_path / "m.keras")
    assert len(again.weights) == len(model.weights) == 4
    np.testing.assert_array_equal(again(X), model(X))


def test_deepcopy_ties_blocks_of_a_list():
    net = MLP([8])
    first, second = (moved(coupling(net).ensure_built((4,))) for _ in range(2))
    one, two = copy.deepcopy([first, second])
    assert one.conditioner is two.conditioner and one.conditioner is not net
    assert_alike_and_apart(two, second)


def test_separate_parts_stay_separate_and_unmarked(tmp_path):
    block = built(lambda: Chain([coupling(), Permutation.reverse(), coupling()]))
    assert "shared_object_id" not in str(block.get_config())
    assert block.copy().blocks[0].conditioner is not block.copy().blocks[2].conditioner
    again = through_file(keras.Sequential([keras.Input((4,)), block]), tmp_path / "m.keras").layers[0]
    assert again.blocks[0].conditioner is not again.blocks[2].conditioner
    assert_alike_and_apart(again, block)


def test_repeats_of_one_step_are_not_tied_by_a_copy():
    step = coupling()
    block = built(lambda: Chain([Repeat(step, 2), Permutation.reverse(), Repeat(step, 2)]))
    assert_alike_and_apart(block.copy(), block)
    templates = [block.copy().blocks[i]._template.block for i in (0, 2)]
    assert templates[0].conditioner is not templates[1].conditioner


def test_marks_of_a_configuration_made_within_a_load_are_of_their_own():
    block = built(same_net)
    with keras.src.saving.serialization_lib.ObjectSharingScope(), keras.src.saving.serialization_lib.SafeModeScope(True):
        one, two = (Chain.from_config(block.get_config()) for _ in range(2))
    assert one.blocks[0]._wanted is one.blocks[2]._wanted is not two.blocks[0]._wanted


def test_what_cannot_be_told_apart_is_said():
    dense = keras.layers.Dense(4)
    nets = [keras.Sequential([dense, keras.layers.Dense(4)]) for _ in range(2)]
    block = Chain([coupling(nets[0]), Permutation.reverse(), coupling(nets[1])]).ensure_built((4,))
    with pytest.raises(ValueError, match="received 8 weights .* expected 6.*one block or layer"):
        block.copy(name="other")
    with pytest.raises(ValueError, match="overrides .'conditioner'. change the shapes"):
        built(coupling).copy(conditioner=MLP([3]))


@keras.saving.register_keras_serializable("test_cloning")
class ShiftsByNets(Block):
    """Shifts by what networks make of ones."""

    def __init__(self, nets, **kwargs):
        super().__init__(**kwargs)
        self.nets = {name: parts["net"] for name, parts in nets.items()}

    def build(self, input_shape):
        for net in self.nets.values():
            if not net.built:
                net.build((None, input_shape[-1]))

    def _shift(self, x):
        return sum(net(tf.ones_like(x)) for net in self.nets.values())

    def forward_and_log_det(self, x, condition=None):
        return x + self._shift(x), tf.constant(0.0)

    def inverse_and_log_det(self, z, condition=None):
        return z - self._shift(z), tf.constant(0.0)


def test_dictionaries_of_layers_are_copied_and_saved(tmp_path):
    dense = keras.layers.Dense(4)
    block = built(lambda: ShiftsByNets({"a": {"net": dense, "more": (1, 2.0)}, "b": {"net": dense}}))
    assert len(block.weights) == 2
    assert_alike_and_apart(block.copy(), block)
    assert_alike_and_apart(pickle.loads(pickle.dumps(block)), block)
    assert_alike_and_apart(through_file(keras.Sequential([keras.Input((4,)), block]), tmp_path / "m.keras").layers[0], block)


def soft(v):
    return tf.nn.softplus(v) - 1.0


def other_soft():
    def soft(v):
        return tf.nn.softplus(v) - 2.0

    return soft


ACTIVATIONS = {"function": soft, "lambda": lambda v: tf.nn.softplus(v) - 1.0, "closure": other_soft()}


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_functions_go_along_with_copies(activation):
    net = MLP([8], activation=activation)
    block = built(lambda: coupling(net))
    with warnings.catch_warnings(action="error"):
        assert_alike_and_apart(block.copy(), block)
    assert Repeat(coupling(MLP([8], activation=activation)), 2).ensure_built((4,)).copy()(X).shape == X.shape


def test_functions_of_one_name_are_not_confused():
    chain = built(lambda: Chain([coupling(MLP([8], activation=f)) for f in (soft, other_soft())]))
    assert_alike_and_apart(chain.copy(), chain)
    layers = [keras.layers.Dense(8, activation=f) for f in (soft, other_soft(), ACTIVATIONS["lambda"])]
    block = built(lambda: coupling(keras.Sequential([*layers, keras.layers.Dense(4)])))
    assert_alike_and_apart(block.copy(), block)


def test_makers_of_convolutions_go_along_with_copies():
    images = np.random.default_rng(2).normal(size=(2, 4, 4, 2)).astype(np.float32)
    net = ConvNet(4, convolution=lambda *a, **k: keras.layers.Conv2D(*a, **k), normalization=lambda: keras.layers.ReLU())
    block = moved(AffineCoupling(conditioner=net).ensure_built((4, 4, 2)))
    np.testing.assert_array_equal(block.copy()(images), block(images))


class Hidden(keras.layers.Layer):
    """A layer that keeps its function where nobody finds it."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self._kept = [function]

    def call(self, x):
        return self._kept[0](x)

    def get_config(self):
        return {**super().get_config(), "function": keras.saving.serialize_keras_object(self._kept[0])}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "function": keras.saving.deserialize_keras_object(config["function"])})


class Doubled(keras.layers.Layer):
    """A layer whose attribute is another function than the argument."""

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.given = keras.activations.get(activation)
        self.activation = lambda x: 2.0 * self.given(x)

    def call(self, x):
        return self.activation(x)

    def get_config(self):
        return {**super().get_config(), "activation": keras.activations.serialize(self.given)}


def test_functions_made_of_an_argument_do_not_take_its_place():
    layer = Doubled("relu")
    np.testing.assert_array_equal(configuration.clone(layer)(X), layer(X))
    with pytest.raises(ValueError, match="Could not locate function 'soft'.*register_keras_serializable"):
        configuration.clone(Doubled(soft))


def test_functions_that_are_not_found_are_to_be_registered():
    with pytest.raises(ValueError, match="register_keras_serializable"):
        configuration.clone(Hidden(soft))


def test_glow_refuses_one_network_for_all_steps():
    for repeat in (True, False):
        with pytest.raises(TypeError, match="glow: received conditioner=.*expected a function"):
            glow(event_shape=(4, 4, 1), levels=1, depth=2, conditioner=ConvNet(4), repeat=repeat)
    with pytest.raises(TypeError, match="glow: received conditioner='convnet'"):
        glow(event_shape=(4, 4, 1), levels=1, depth=2, conditioner="convnet")
    flow = glow(event_shape=(4, 4, 1), levels=1, depth=2, conditioner=lambda n: ConvNet(4), repeat=False)
    nets = [layer for layer in flow.block._flatten_layers() if isinstance(layer, ConvNet)]
    assert len(nets) == 2


def test_override_of_a_tied_block():
    block = built(same_block)
    assert len(block.copy(name="other").weights) == 4
    assert AdditiveCoupling(conditioner=MLP([4])).copy(name="b").name == "b"
