"""A likelihood comes with what tells whether to believe it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AffineCoupling, Dequantize, Permutation
from inntf.compose import Chain
from inntf.models import DensityModel, Flow, autoregressive_flow, glow, real_nvp, residual_flow
from inntf.serving import export, load, read_card
from inntf.serving.served import Served
from inntf.serving.signatures import trace

RNG = np.random.default_rng(0)
KINDS = {
    "affine": lambda: real_nvp(event_shape=6, depth=3, hidden=(8,)),
    "autoregressive": lambda: autoregressive_flow(event_shape=3, depth=2, hidden=(8,)),
    "residual": lambda: residual_flow(event_shape=2, depth=2, hidden=(8,)),
    "float64": lambda: real_nvp(event_shape=4, depth=2, hidden=(8,), dtype="float64"),
}


def shaken(flow):
    rng = np.random.default_rng(1)
    for v in flow.block.trainable_variables:
        v.assign(v + 0.2 * rng.normal(size=v.shape).astype(v.dtype))
    return flow


def score_of(flow, x, condition=None):
    _, signatures = trace(Served.of(flow))
    given = {} if condition is None else {"condition": tf.constant(condition)}
    return {key: value.numpy() for key, value in signatures["score"](x=tf.constant(x), **given).items()}


def inverse_jacobians(flow, x, condition=None):
    z = flow.block.forward_and_log_det(x, condition)[0]
    with tf.GradientTape() as tape:
        tape.watch(z)
        back = flow.block.inverse_and_log_det(z, condition)[0]
    flat = tape.batch_jacobian(back, z).numpy().astype(np.float64)
    return flat.reshape(len(x), *2 * [np.prod(x.shape[1:], dtype=int)])


@pytest.mark.parametrize("kind", KINDS)
def test_up_to_eight_dimensions_the_bound_is_the_norm_of_the_inverse_jacobian(kind):
    flow = shaken(KINDS[kind]())
    x = RNG.normal(size=(5, *flow.event_shape)).astype(flow.block.variable_dtype)
    found, jacobians = score_of(flow, x), inverse_jacobians(flow, x)
    np.testing.assert_allclose(found["inverse_lipschitz"], np.linalg.norm(jacobians, axis=(1, 2)), rtol=0.02)
    assert np.all(found["inverse_lipschitz"] >= 0.99 * np.linalg.norm(jacobians, 2, axis=(1, 2)))
    np.testing.assert_allclose(found["log_prob"], flow.log_prob(x), rtol=1e-5, atol=1e-5)
    assert found["trusted"].all() and found["reconstruction_error"].max() < 1e-4


@pytest.mark.parametrize("outstanding", [1.0, 1e3], ids=["alike", "one stretches"])
def test_above_the_bound_holds_in_almost_all_draws(outstanding):
    # The directions are the same in every call: other maps are what is drawn here.
    held, dims = [], 40
    _, signatures = trace(Served.of(flow := Flow(Chain([norm := ActNorm(), Permutation.reverse()]), event_shape=dims)))
    for seed in range(dims):
        log_scale = np.zeros(dims, "float32")
        log_scale[seed] = -np.log(outstanding)
        norm.trainable_weights[1].assign(log_scale)
        bound = signatures["score"](x=tf.zeros([1, dims]))["inverse_lipschitz"].numpy()[0]
        largest = np.linalg.norm(inverse_jacobians(flow, np.zeros((1, dims), "float32"))[0], 2)
        held.append(bound >= largest)
        assert bound < 4 * np.sqrt(dims) * largest
    assert np.mean(held) > 0.9


def test_a_flow_that_has_lost_its_inverse_is_not_trusted_there_and_a_trained_one_is(tmp_path):
    keras.utils.set_random_seed(0)
    data = (RNG.normal(size=(2000, 2)) * [3.0, 0.02] + [40.0, -2.0]).astype("float32")
    model = DensityModel(real_nvp(event_shape=2, depth=4, hidden=(16,)))
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(data, epochs=5, batch_size=100, verbose=0)
    served = load(path := export(model, tmp_path, batch=data[:200]))
    found = served.score(data)
    np.testing.assert_allclose(read_card(path)["error_limit"], 0.01 * np.median(np.abs(data[:, 0] - 40)), rtol=0.2)
    assert found.trusted.numpy().mean() > 0.99
    # Where no data were: the log-density is a number still, and nothing comes back.
    far = served.score([[3e8, -2.0], [1e30, 1e30]])
    assert not far.trusted.numpy().any()
    # A scale that shrinks until the inverse enlarges rounding to what can be seen.
    tiny = ActNorm().ensure_built((2,))
    tiny.trainable_weights[1].assign([0.0, -17.0])
    back = ActNorm().ensure_built((2,))
    back.trainable_weights[1].assign([0.0, 17.0])
    coupling = AffineCoupling().ensure_built((2,))
    coupling.trainable_weights[-1].assign(np.full(coupling.trainable_weights[-1].shape, 1.0))  # adds to what has become tiny
    flow = Flow(Chain([model.flow.block, tiny, coupling, back]), event_shape=2)
    lost = load(export(flow, tmp_path, batch=data[:200], force=True)).score(data)
    assert np.isfinite(lost.log_prob).all() and not lost.trusted.numpy().any()


def test_conditions_one_for_each_or_one_for_all():
    flow = shaken(real_nvp(event_shape=3, depth=2, hidden=(8,), condition_shape=2))
    x, c = RNG.normal(size=(4, 3)).astype("float32"), RNG.normal(size=(4, 2)).astype("float32")
    found = score_of(flow, x, c)
    expected = np.linalg.norm(inverse_jacobians(flow, x, c), axis=(1, 2))
    np.testing.assert_allclose(found["inverse_lipschitz"], expected, rtol=0.02)
    one = score_of(flow, x, c[:1])
    np.testing.assert_allclose(one["log_prob"], flow.log_prob(x, condition=np.repeat(c[:1], 4, 0)), rtol=1e-5)


def test_rounding_to_levels_hides_no_error():
    block = Chain([Dequantize(levels=8, seed=1), ActNorm(), AffineCoupling()]).ensure_built((4,))
    flow = Flow(block, event_shape=4)
    x = RNG.integers(0, 8, (6, 4)).astype("float32")
    before = score_of(flow, x)
    assert before["trusted"].all() and before["inverse_lipschitz"].max() < 100
    block[1].trainable_weights[1].assign(np.full(4, -25.0))  # the inverse stretches by e^25
    after = score_of(flow, x)
    assert not after["trusted"].any()
    np.testing.assert_allclose(after["inverse_lipschitz"], 2 * np.exp(25.0), rtol=0.05)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_flows_of_sixteen_bits_are_served(dtype, tmp_path):
    keras.utils.set_random_seed(0)
    flow = shaken(real_nvp(event_shape=2, depth=1, hidden=(8,), dtype=dtype))
    x = RNG.normal(size=(9, 2)).astype("float32")
    served = load(path := export(flow, tmp_path))
    np.testing.assert_allclose(served.log_prob(x), flow.log_prob(x), rtol=0.02)
    assert served.score(x).log_prob.dtype == flow.log_prob(x).dtype
    assert read_card(path)["rehearsal"]["faults"] == [] and read_card(path)["dtype"] == dtype


def test_images_and_empty_batches():
    flow = shaken(glow(event_shape=(4, 4, 2), levels=2, depth=1, hidden=4))
    x = RNG.normal(size=(3, 4, 4, 2)).astype("float32")
    found = score_of(flow, x)
    assert np.all(found["inverse_lipschitz"] > np.linalg.norm(inverse_jacobians(flow, x), 2, axis=(1, 2)))
    assert all(value.shape == (0,) for value in score_of(flow, x[:0]).values())
