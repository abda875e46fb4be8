"""Copies of a flow by `copy.deepcopy` and by pickle, whatever its base is."""

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.blocks import AffineCoupling, Rescale
from inntf.models import CircularBase, Flow
from inntf.nets import MLP

tfd, tfb = tfp.distributions, tfp.bijectors
X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


class Wrapped(tfd.Distribution):
    """A user's distribution around another one."""

    def __init__(self, inner, shift=0.5, name="Wrapped"):
        parameters = dict(locals())
        self._inner = inner
        self._shift = tf.Variable(shift)
        kind = tfd.FULLY_REPARAMETERIZED
        super().__init__(tf.float32, kind, validate_args=False, allow_nan_stats=True, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {}

    def _event_shape(self):
        return self._inner.event_shape

    def _batch_shape(self):
        return tf.TensorShape([])

    def _log_prob(self, x):
        return self._inner.log_prob(x - self._shift)


class NoFunctions(Wrapped):
    """One that holds what no copy can be made of."""

    def __init__(self, inner):
        super().__init__(inner)
        self._lock = tf.random.Generator  # of a class, which is fine
        self._iterator = (n for n in range(3))


def trained(value):
    return tf.Variable(value, name="trained")


def independent():
    return tfd.Independent(tfd.StudentT(5.0, trained(tf.zeros(4)), 1.0), 1)


def mixture():
    logits = trained([0.0, 1.0])
    return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), tfd.MultivariateNormalDiag(trained(tf.zeros([2, 4]))))


def transformed():
    scale = tfp.util.TransformedVariable(tf.ones(4), tfb.Chain([tfb.Shift(1e-3), tfb.Softplus()]))
    return tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), 4), tfb.Invert(tfb.Scale(scale)))


def one_location_twice():
    loc = trained(tf.zeros(2))
    return tfd.Blockwise([tfd.MultivariateNormalDiag(loc), tfd.Independent(tfd.Laplace(loc, 1.0), 1)])


BASES = {
    "diagonal": lambda: tfd.MultivariateNormalDiag(tf.zeros(4)),
    "diagonal, trained": lambda: tfd.MultivariateNormalDiag(trained(tf.zeros(4))),
    "triangular": lambda: tfd.MultivariateNormalTriL(trained(tf.zeros(4)), tf.eye(4)),
    "operator": lambda: tfd.MultivariateNormalLinearOperator(None, tf.linalg.LinearOperatorDiag(trained(tf.ones(4)))),
    "independent": independent,
    "sample": lambda: tfd.Sample(tfd.Normal(trained(0.0), 1.0), 4),
    "mixture": mixture,
    "mixture of several": lambda: tfd.Mixture(tfd.Categorical(logits=[0.0, 0.0]), [independent(), independent()]),
    "transformed": transformed,
    "blocks": one_location_twice,
    "a block in it": lambda: tfd.TransformedDistribution(
        tfd.MultivariateNormalDiag(tf.zeros(4)), tfb.Invert(AffineCoupling(conditioner=MLP([4])).ensure_built((4,)))
    ),
    "flow": lambda: Flow(Rescale(2.0).ensure_built((4,)), tfd.MultivariateNormalDiag(trained(tf.zeros(4)))),
    "circular": lambda: CircularBase(4, angles=[1]),
    "a user's": lambda: Wrapped(independent()),
    "none": lambda: None,
}
WAYS = {"deepcopy": copy.deepcopy, "pickle": lambda flow: pickle.loads(pickle.dumps(flow))}


def make(base):
    flow = Flow(AffineCoupling(conditioner=MLP([8])).ensure_built((4,)), base)
    rng = np.random.default_rng(1)
    for variable in flow.trainable_variables:
        variable.assign_add(0.1 * rng.normal(size=variable.shape))
    return flow


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_a_copy_has_its_own_weights_and_the_same_density(base, way):
    flow = make(base())
    other = way(flow)
    np.testing.assert_array_equal(other.log_prob(X), flow.log_prob(X))
    assert type(other.base) is type(flow.base)
    assert len(other.trainable_variables) == len(flow.trainable_variables)
    assert not {v.ref() for v in other.variables} & {v.ref() for v in flow.variables}
    before = flow.log_prob(X)
    for variable in other.trainable_variables:
        variable.assign_add(tf.ones_like(variable))
    np.testing.assert_array_equal(flow.log_prob(X), before)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_cannot_be_copied_says_what_to_do(way):
    flow = make(NoFunctions(independent()))
    with pytest.raises(TypeError, match="a base of type NoFunctions.*__deepcopy__|a base of type NoFunctions.*__reduce__"):
        way(flow)


def test_a_flow_in_two_places_is_copied_once():
    net = keras.layers.Dense(3)
    flow = Flow(AffineCoupling(conditioner=MLP([8])), event_shape=4, condition_network=net, condition_shape=2)
    other = copy.deepcopy([flow, flow])
    assert other[0] is other[1] and other[0].condition_network is not net


def test_base_tied_to_another_of_one_deepcopy_stays_tied():
    base = independent()
    one, two = copy.deepcopy([make(base), make(base)])
    assert one.base is two.base and one.base is not base
