"""`tf.train.Checkpoint` finds every variable of everything that `inntf` exports: saved, restored into a fresh object, the same.

What is exported and is a Keras layer, a distribution or makes one is in `SUBJECTS`, or in `WITHOUT` with the reason.  Blocks
come from the registry.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import inntf
from inntf import models, nets
from inntf.blocks import ActNorm, AffineCoupling
from inntf.compose import Chain, Repeat
from tests.registry import CASES

tfd = tfp.distributions
pytestmark = pytest.mark.filterwarnings("ignore:.*was called on layer")  # of Theirs, which has none
VECTORS = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
IMAGES = np.random.default_rng(1).uniform(size=(3, 8, 8, 1)).astype("float32")
TABLE = {"a": VECTORS[:, 0], "b": np.exp(VECTORS[:, 1])}
CONDITION = np.random.default_rng(2).normal(size=(6, 3)).astype("float32")
SIZES = [(8, 8), (4, 4)]


class Theirs(keras.layers.Layer):
    """A network of somebody else's, who keeps layers in lists and dictionaries and makes their weights when called."""

    def __init__(self, units):
        super().__init__()
        self.one = [keras.layers.Dense(5, "tanh"), {"deep": (keras.layers.Dense(units),)}]
        self.flat = keras.layers.Flatten()

    def call(self, x):
        return self.one[1]["deep"][0](self.one[0](x))


class TheirDiscriminator(Theirs):
    def call(self, x):
        return super().call(self.flat(x))


class TheirBlock(inntf.Block):
    """A block of somebody else's without a `build`: its network gets weights at the first call."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.networks = [Theirs(4)]

    def forward_and_log_det(self, x, condition=None):
        return x + self.networks[0](tf.ones_like(x[:1])), tf.zeros([], x.dtype)

    def inverse_and_log_det(self, z, condition=None):
        return z - self.networks[0](tf.ones_like(z[:1])), tf.zeros([], z.dtype)


def _base():
    return tfd.Independent(tfd.Normal(tf.Variable(tf.zeros(4)), tf.Variable(tf.ones(4))), 1)


def _block():
    return Chain([ActNorm(), Repeat(lambda: AffineCoupling(conditioner=Theirs), 2)], event_ndims=1)


def _conditional(event_shape=4, condition_shape=3):
    shapes = {} if event_shape is None else {"event_shape": event_shape, "condition_shape": condition_shape}
    return inntf.Flow(_block(), base=_base(), condition_network=Theirs(2), **shapes)


def _log_prob(flow):
    return flow.log_prob(VECTORS, condition=CONDITION)


def _gan(discriminator):
    flow = models.glow(event_shape=(8, 8, 1), levels=1, depth=1, hidden=4)
    return models.FlowGan(flow, discriminator, objective="hybrid")


def _both(gan):
    return gan(IMAGES), gan.discriminator(IMAGES)


def _classifier():
    return models.i_resnet_classifier(
        event_shape=(8, 8, 1), classes=3, blocks=(2,), hidden=(2,), channels=2, activation=nets.LipSwish
    )


def _plain_classifier():
    body = Chain([ActNorm()]).ensure_built((8, 8, 1))
    return models.IResNetClassifier(body, TheirDiscriminator(3))


# name: (make, use); `make` gives a fresh object, `use` what it computes.
SUBJECTS = {
    "MLP": (lambda: nets.MLP((5,), out_channels=2, zero_last=False), lambda net: net(VECTORS)),
    "ConvNet": (
        lambda: nets.ConvNet(4, out_channels=2, zero_last=False, normalization=ActNorm, convolution=nets.SpectralConv2D),
        lambda net: net(IMAGES),
    ),
    "LipschitzMLP": (lambda: nets.LipschitzMLP((5,), out_channels=4), lambda net: net(VECTORS)),
    "OrthogonalNet": (lambda: nets.OrthogonalNet(4, 1, out_channels=4), lambda net: net(VECTORS)),
    "ResidualNet": (lambda: nets.ResidualNet(5, out_channels=2, gate_channels=1, zero_last=False), lambda net: net(IMAGES)),
    "SideBySide": (lambda: nets.SideBySide([nets.MLP(5, out_channels=2, zero_last=False)]), lambda net: net(VECTORS)),
    "FlatMLP": (lambda: nets.FlatMLP(5, out_channels=2, groups=2), lambda net: net(IMAGES)),
    "MaskedMLP": (lambda: nets.MaskedMLP(2, hidden=(6,), zero_last=False, direct=True), lambda net: net(VECTORS, CONDITION)),
    "ConditionPyramid": (lambda: nets.ConditionPyramid(3, 2), lambda net: net(IMAGES, SIZES)),
    "ConditionPyramid of vectors": (lambda: nets.ConditionPyramid(3, 2), lambda net: net(VECTORS, SIZES)),
    "Discriminator": (lambda: nets.Discriminator((3, 4)), lambda net: net(IMAGES)),
    "WholeBatchNormalization": (lambda: nets.WholeBatchNormalization(), lambda net: net(IMAGES, training=True)),
    "SpectralDense": (lambda: nets.SpectralDense(3), lambda net: net(VECTORS)),
    "SpectralConv2D": (lambda: nets.SpectralConv2D(2, 3), lambda net: net(IMAGES)),
    "LipSwish": (nets.LipSwish, lambda net: net(VECTORS)),
    "ConcatLipSwish": (nets.ConcatLipSwish, lambda net: net(VECTORS)),
    "Flow": (_conditional, _log_prob),
    "ConditionedFlow": (lambda: _conditional().given(CONDITION), lambda some: some.log_prob(VECTORS)),
    "Flow, unbuilt": (lambda: _conditional(None), _log_prob),
    "DensityModel": (lambda: models.DensityModel(_conditional()), lambda m: m((VECTORS, CONDITION))),
    "DensityModel, unbuilt": (lambda: models.DensityModel(_conditional(None)), lambda m: m((VECTORS, CONDITION))),
    "FlowGan": (lambda: _gan(nets.Discriminator((3, 4))), _both),
    "FlowGan, their discriminator": (lambda: _gan(TheirDiscriminator(1)), _both),
    "IResNetClassifier": (_classifier, lambda m: m(IMAGES)),
    "IResNetClassifier, their head": (_plain_classifier, lambda m: m(IMAGES)),
    "InnAutoencoder": (
        lambda: models.InnAutoencoder(Chain([ActNorm(), AffineCoupling(conditioner=Theirs)]).ensure_built((4,)), 2),
        lambda m: m(VECTORS),
    ),
    "inn_autoencoder": (
        lambda: models.inn_autoencoder((8, 8, 1), 3, stages=(1,), hidden=2, dense_hidden=3),
        lambda m: m(IMAGES),
    ),
    "real_nvp": (
        lambda: models.real_nvp(
            event_shape=4, depth=2, hidden=(5,), condition_shape=3, condition_network=nets.MLP((6,), out_channels=2)
        ),
        _log_prob,
    ),
    "glow": (
        lambda: models.glow(event_shape=(8, 8, 1), levels=2, depth=2, hidden=4),
        lambda flow: flow.log_prob(IMAGES),
    ),
    "autoregressive_flow": (
        lambda: models.autoregressive_flow(event_shape=4, depth=2, hidden=(5,)),
        lambda flow: flow.log_prob(VECTORS),
    ),
    "spline_flow": (
        lambda: models.spline_flow(event_shape=4, depth=2, hidden=(5,)),
        lambda flow: flow.log_prob(VECTORS),
    ),
    "table_flow": (
        lambda: models.table_flow(TABLE, depth=1, hidden=(5,), seed=0),
        lambda model: model.log_prob(TABLE),
    ),
    "residual_flow": (
        lambda: models.residual_flow(event_shape=4, depth=2, hidden=(5,)),
        lambda flow: flow.log_prob(VECTORS),
    ),
    "ffjord": (
        lambda: models.ffjord(event_shape=4, hidden=(2,), rtol=0.1, atol=0.1),
        lambda flow: flow.block.forward(VECTORS[:1]),
    ),
    "a block of somebody else": (TheirBlock, lambda block: block.forward(VECTORS)),
    "a chain of one": (lambda: Chain([ActNorm(), TheirBlock()]), lambda block: block.forward(VECTORS)),
}
WITHOUT = {
    "Block": "abstract; its subclasses are in the registry",
    "SpectralLayer": "abstract",
    "MaxMin": "no variables",
    "AngleFeatures": "no variables",
    "Clip": "no variables",
    "CircularBase": "no variables",
    "TableModel": "what table_flow makes",
    "i_resnet_classifier": "makes the IResNetClassifier below",
    "refit_prior": "makes a Flow around a Chain",
    **dict.fromkeys(("from_freia", "from_nflows"), "makes blocks of the registry"),
    **dict.fromkeys(("to_freia", "to_nflows"), "makes arrays"),
    **dict.fromkeys(
        (
            "backward_mmd_loss",
            "cycle_loss",
            "energy_score_loss",
            "joint_negative_log_likelihood",
            "l2_loss",
            "latent_mmd_loss",
        ),
        "a loss, without weights",
    ),
}


def _exported():
    for info in pkgutil.iter_modules(inntf.__path__, "inntf."):
        room = importlib.import_module(info.name)
        for name in getattr(room, "__all__", ()):
            yield info.name, name, getattr(room, name)


def test_everything_exported_is_here():
    in_registry = {type(case.make("float32")).__name__ for case in CASES.values()}
    missing = set()
    for room, name, value in _exported():
        holds = inspect.isclass(value) and issubclass(value, keras.layers.Layer | tf.Module)
        makes = inspect.isfunction(value) and room == "inntf.models"
        if (holds or makes) and name not in in_registry | SUBJECTS.keys() | WITHOUT.keys():
            missing.add(f"{room}.{name}")
    assert not missing


@pytest.fixture(scope="module")
def trained():
    """One object of each kind that is no longer as it was made."""
    made = {}

    def get(name):
        if name not in made:
            make, use = SUBJECTS[name]
            thing = make()
            use(thing)
            for i, variable in enumerate(_variables(thing)):
                value = getattr(variable, "_value", variable)
                if value.dtype.is_floating:
                    value.assign_add(0.05 * tf.random.stateless_uniform(value.shape, [i, 1], dtype=value.dtype))
            made[name] = thing
        return made[name]

    return get


def _variables(thing):
    if isinstance(thing, models.ConditionedFlow):
        thing = thing.flow
    if isinstance(thing, inntf.Flow):
        network = [] if thing.condition_network is None else thing.condition_network.variables
        return [*thing.block.variables, *network, *thing.base.variables]
    flow = getattr(thing, "flow", None)
    return [*thing.variables, *thing.metrics_variables, *(() if flow is None else flow.base.variables)]


@pytest.mark.parametrize("name", SUBJECTS)
def test_restored_into_a_fresh_object_it_is_the_same(name, trained, tmp_path):
    make, use = SUBJECTS[name]
    one = trained(name)
    path = tf.train.Checkpoint(it=one).write(str(tmp_path / "c"))
    expected = use(one)
    for restore_first in (False, True):
        other = make()
        if not restore_first:
            use(other)
        status = tf.train.Checkpoint(it=other).read(path)
        if not restore_first:
            status.assert_existing_objects_matched()
            status.assert_consumed()
        got = use(other)
        status.assert_consumed()
        tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-6), got, expected)
        for a, b in zip(_variables(one), _variables(other), strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_chain_that_is_not_built_keeps_what_its_blocks_have(tmp_path):
    def make(built):
        trained = ActNorm()
        if built:
            trained.ensure_built((4,))
        return Chain([AffineCoupling(), trained], event_ndims=1)

    one, same, later = make(True), make(True), make(True)
    one.blocks[1].shift.assign(tf.ones(4))
    path = tf.train.Checkpoint(it=one).write(str(tmp_path / "c"))
    tf.train.Checkpoint(it=same).read(path).assert_consumed()
    np.testing.assert_array_equal(same.blocks[1].shift, np.ones(4))
    one.ensure_built((4,))
    path = tf.train.Checkpoint(it=one).write(str(tmp_path / "d"))
    tf.train.Checkpoint(it=later).read(path)
    later.ensure_built((4,))
    for a, b in zip(one.get_weights(), later.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_freezing_does_not_move_weights(tmp_path):
    def make():
        return Chain([ActNorm(), AffineCoupling(conditioner=Theirs), ActNorm()]).ensure_built((4,))

    one, other = make(), make()
    one.blocks[2].shift.assign(tf.ones(4))
    path = tf.train.Checkpoint(it=one).write(str(tmp_path / "c"))
    other.blocks[0].trainable = False
    tf.train.Checkpoint(it=other).read(path).assert_consumed()
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_gan_resumes_with_both_optimizers(tmp_path):
    def make():
        keras.utils.set_random_seed(0)
        gan = _gan(TheirDiscriminator(1))
        gan.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
        return gan

    def more(gan):
        tf.random.set_seed(7)
        for _ in range(2):
            gan.train_step(IMAGES)
        return gan.get_weights()

    one, other = make(), make()
    more(one)
    path = tf.train.Checkpoint(gan=one).write(str(tmp_path / "c"))
    tf.train.Checkpoint(gan=other).read(path).assert_consumed()
    for a, b in zip(more(one), more(other), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
