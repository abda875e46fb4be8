"""A Flow held by a Keras model or layer: trained, saved, or refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.blocks import AffineCoupling
from inntf.models import DensityModel, Flow
from inntf.nets import MLP


def make():
    return Flow(AffineCoupling(conditioner=MLP((4,))), event_shape=(2,))


@keras.saving.register_keras_serializable("inntf_tests")
class Holder(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.flow = make()

    def call(self, x):
        return -self.flow.log_prob(x)[:, None]


def test_it_trains_and_is_saved(tmp_path):
    x, model = tf.random.stateless_normal([32, 2], [1, 2], 3.0), Holder()
    assert len(model.trainable_variables) == len(model.flow.block.trainable_variables) > 0
    model.compile(keras.optimizers.SGD(0.01), "mean_absolute_error")
    before = model.get_weights()
    model.fit(x, tf.zeros([32, 1]), verbose=0)
    assert any(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(
        keras.models.load_model(tmp_path / "m.keras").predict(x, verbose=0), model.predict(x, verbose=0)
    )


def test_network_and_base_are_tracked_once():
    base = tfp.distributions.MultivariateNormalDiag(tf.Variable([0.0, 0.0]), [1.0, 1.0])
    flow = Flow(
        AffineCoupling(conditioner=MLP((4,))),
        base,
        event_shape=(2,),
        condition_shape=3,
        condition_network=keras.layers.Dense(2),
    )
    layer = keras.layers.Layer()
    layer.density = flow
    layer.again = flow
    assert len(layer.trainable_variables) == len(flow.trainable_variables)
    assert not hasattr(DensityModel(make()), "flow_block")  # it holds the parts itself


@pytest.mark.parametrize("hold", [lambda flow: [flow], lambda flow: {"a": flow}])
def test_in_a_list_it_is_refused_unless_it_is_frozen_or_the_block_is_held(hold):
    class Model(keras.Model):
        def __init__(self, flow, parts=()):
            super().__init__()
            self.flows, self.parts = hold(flow), list(parts)

        def call(self, x):
            flows = self.flows
            return (flows["a"] if isinstance(flows, dict) else flows[0]).log_prob(x)

    flow, x = make(), tf.ones([3, 2])
    with pytest.raises(ValueError, match=r"flow\.block"):
        Model(flow)(x)
    assert Model(flow, [flow.block])(x).shape == (3,)
    flow.block.trainable = False
    assert Model(flow)(x).shape == (3,)
