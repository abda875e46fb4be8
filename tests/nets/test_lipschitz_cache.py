"""A certificate is that of the network as it is now, whatever has changed; and an unchanged one is not computed again."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import inntf.nets.lipschitz_cache
from inntf.blocks import ResidualBlock
from inntf.compose import Repeat
from inntf.nets import LipschitzMLP, SpectralDense, certify_norms, lipschitz_constant

ORTHOGONAL = keras.initializers.Orthogonal(3.0, seed=0)


@keras.saving.register_keras_serializable("tests")
class Gain:
    """An activation that is an object, with a slope of its own."""

    lipschitz = 0.5

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls()

    def __call__(self, x):
        return self.lipschitz * x


def network():
    first = SpectralDense(6, coefficient=0.5, kernel_initializer=ORTHOGONAL, activation=Gain())
    return keras.Sequential([first, keras.layers.LeakyReLU(0.1), SpectralDense(4, coefficient=0.5)])


def built(**kwargs):
    return ResidualBlock(network=network(), **kwargs).ensure_built((4,))


def shrink(block):
    for weight in block.network.weights:
        weight.assign(0.3 * weight)


CHANGES = {
    "coefficient": lambda block: setattr(block.network.layers[0], "coefficient", 0.9),
    "coefficient of a later layer": lambda block: setattr(block.network.layers[2], "coefficient", 0.2),
    "activation": lambda block: setattr(block.network.layers[2], "activation", keras.activations.get("sigmoid")),
    "an attribute of an activation": lambda block: setattr(block.network.layers[0].activation, "lipschitz", 0.9),
    "slope": lambda block: setattr(block.network.layers[1], "negative_slope", 1.7),
    "assigned": shrink,
    "set_weights": lambda block: block.set_weights([0.5 * w for w in block.get_weights()]),
    "certified": lambda block: block.network.layers[0].kernel.assign(2.0 * tf.ones([4, 6])),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_certificate_follows_every_change(name):
    block = built()
    z = tf.random.stateless_normal([3, 4], [1, 2])
    before = block.certify()
    block.inverse_with_certificate(z)
    CHANGES[name](block)
    expected = lipschitz_constant(block.network)[0]
    assert abs(expected - before) > 1e-3, "the case itself must change something"
    assert block.certify() == pytest.approx(expected, rel=1e-5)
    x, _, certificate = block.inverse_with_certificate(tf.identity(z))
    assert float(certificate.lipschitz) == pytest.approx(expected, rel=1e-5)
    again = block.forward_and_log_det(x)[0]
    assert bool(tf.reduce_all(tf.norm(again - z, axis=1) <= (1 + expected) * certificate.error_bound + 1e-5))
    if name == "coefficient":
        in_graph = tf.function(lambda z: block.inverse_with_certificate(z)[2].lipschitz)(z)
        assert float(in_graph) == pytest.approx(expected, rel=0.02)


def test_loaded_and_restored_weights_have_their_own_certificate(tmp_path):
    one, other = built(), built()
    other.network.layers[0].kernel.assign(0.1 * tf.ones([4, 6]))
    here, there, keep = one.certify(), other.certify(), one.get_weights()
    assert abs(here - there) > 1e-3
    model = keras.Sequential([other])
    model(tf.zeros([1, 4]))
    model.save_weights(tmp_path / "w.weights.h5")
    path = tf.train.Checkpoint(block=other).write(str(tmp_path / "c"))
    tf.train.Checkpoint(block=one).read(path)
    assert one.certify() == pytest.approx(there)
    one.set_weights(keep)
    assert one.certify() == pytest.approx(here)
    target = keras.Sequential([one])
    target(tf.zeros([1, 4]))
    target.load_weights(tmp_path / "w.weights.h5")
    assert one.certify() == pytest.approx(there)


def test_the_float64_twin_is_that_of_the_network_as_it_is():
    block = built(refine="float64", tolerance=1e-5)
    z = tf.random.stateless_normal([3, 4], [1, 2])
    block.inverse_and_log_det(z)
    block.network.layers[0].coefficient = 0.9
    x, _, certificate = block.inverse_with_certificate(tf.identity(z))
    assert bool(tf.reduce_all(certificate.reached))
    np.testing.assert_allclose(block.forward_and_log_det(x)[0], z, atol=1e-5)


def test_what_has_not_changed_is_not_computed_again(monkeypatch):
    count = []

    def counted(layer):
        count.append(layer)
        return lipschitz_constant(layer)

    monkeypatch.setattr(inntf.nets.lipschitz_cache, "lipschitz_constant", counted)
    block = built()
    z = tf.random.stateless_normal([3, 4], [1, 2])
    for _ in range(3):
        block.inverse_and_log_det(tf.identity(z))
        block.certify()
    assert len(count) == 1
    keep = block.get_weights()
    shrink(block)
    block.certify()
    block.set_weights(keep)
    block.certify()
    assert len(count) == 2, "a set of weights that was there before is known"
    count.clear()
    repeat = Repeat(lambda: ResidualBlock(network=LipschitzMLP((5,))), 3).ensure_built((2,))
    certify_norms(repeat, rescale=True)
    for _ in range(2):
        repeat.lipschitz_bounds()
    assert len(count) == 3
