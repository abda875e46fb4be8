"""A served graph compares what it is given with what it was made for, also where nothing of inntf is left."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm
from inntf.compose import Chain
from inntf.models import Flow, autoregressive_flow, glow, real_nvp, residual_flow
from inntf.serving import export, load
from inntf.serving.served import Served
from inntf.serving.signatures import trace

VECTORS = {
    "affine": lambda: real_nvp(event_shape=6, depth=2, hidden=(8,)),
    "autoregressive": lambda: autoregressive_flow(event_shape=6, depth=2, hidden=(8,)),
    "residual": lambda: residual_flow(event_shape=6, depth=1, hidden=(8,)),
}
IMAGES = {"glow": lambda: glow(event_shape=(4, 4, 2), levels=2, depth=1, hidden=4)}
OTHER_VECTORS = [(2, 1), (2, 5), (2, 7), (6,), (1,), (), (2, 1, 6), (1, 2, 6), (0, 1)]
OTHER_IMAGES = [(2, 4, 4, 1), (2, 2, 4, 4), (2, 1, 1, 2), (2, 32), (4, 4, 2), (2, 4, 2, 4), (2, 1, 4, 4, 2)]


def refused(call, match="received"):
    with pytest.raises(tf.errors.InvalidArgumentError, match=match):
        call()


@pytest.mark.parametrize("kind", [*VECTORS, *IMAGES])
def test_another_event_is_refused_by_every_signature(kind):
    flow = {**VECTORS, **IMAGES}[kind]()
    _, signatures = trace(Served.of(flow))
    for name, signature in signatures.items():
        if name == "sample":
            continue
        key = "z" if name == "inverse" else "x"
        right = tuple(
            signature.structured_input_signature[1][key].shape[1:]
            if signature.structured_input_signature[1]
            else signature.structured_input_signature[0][0].shape[1:]
        )
        for shape in OTHER_VECTORS if kind in VECTORS else OTHER_IMAGES:
            if shape[1:] != right:
                refused(lambda: signature(tf.zeros(shape)), rf"received {key} of shape.*expected shape \(batch, ")  # noqa: B023
        assert all(np.isfinite(v).all() for v in signature(tf.zeros((3, *right))).values())


def test_a_loaded_model_compares(exported):
    signatures = tf.saved_model.load(str(exported("conditioned").path)).signatures
    x, c = tf.zeros([2, 4]), tf.zeros([2, 2])
    for name in ("forward", "inverse", "reconstruct", "log_prob", "serving_default"):
        key = "z" if name == "inverse" else "x"
        for other in [(2, 1), (1,), (4,), (2, 1, 4)]:
            refused(lambda: signatures[name](condition=c, **{key: tf.zeros(other)}), rf"received {key} of")  # noqa: B023
        for other in [(2, 1), (2,), (2, 3), (1, 1), (), (2, 1, 2)]:
            refused(lambda: signatures[name](condition=tf.zeros(other), **{key: x}), "received condition of")  # noqa: B023
        for other in [(3, 2), (4, 2), (0, 2)]:
            refused(lambda: signatures[name](condition=tf.zeros(other), **{key: x}), "conditions for")  # noqa: B023
        one, each = (signatures[name](condition=tf.zeros([n, 2]), **{key: x}) for n in (1, 2))
        for key in one:
            np.testing.assert_array_equal(one[key], each[key])  # one for all is documented
    numbers = {"n": tf.constant(2), "seed": tf.constant(1), "temperature": tf.constant(1.0)}
    refused(lambda: signatures["sample"](**numbers, condition=tf.zeros([2, 1])), "received condition of")


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": tf.constant(-1)},
        {"n": tf.constant([2, 3])},
        {"n": tf.constant([2])},
        {"n": tf.constant(2**31, tf.int64)},
        {"n": tf.constant(2, tf.int64)},
        {"n": tf.constant(2.5)},
        {"temperature": tf.constant(-1.0)},
        {"temperature": tf.constant(np.nan, tf.float32)},
        {"temperature": tf.constant(np.inf, tf.float32)},
        {"temperature": tf.constant([1.0, 2.0])},
        {"seed": tf.constant([1, 2, 3])},
        {"seed": tf.constant([], tf.int32)},
        {"seed": tf.constant(1.5)},
    ],
    ids=lambda wrong: re.sub(r"\W+", "-", str({k: v.numpy().tolist() for k, v in wrong.items()})),
)
def test_numbers_of_sample_are_refused(exported, wrong):
    sample = exported("real_nvp").model.signatures["sample"]
    right = {"n": tf.constant(2), "seed": tf.constant(1), "temperature": tf.constant(1.0)}
    refused(lambda: sample(**(right | wrong)), "received|expected")


def test_the_comparison_survives_the_optimizer(tmp_path):
    # A graph that inlines the signature, and is given to the optimizer with it.
    loaded = tf.saved_model.load(str(export(VECTORS["affine"](), tmp_path)))
    signature = loaded.signatures["log_prob"]

    def density(x):
        return signature(x=x)["log_prob"] + 1.0

    unknown = tf.TensorSpec(None, tf.float32)
    refused(lambda: tf.function(density, input_signature=[unknown])(tf.zeros([2, 1])))
    compiled = tf.function(density, jit_compile=True, input_signature=[unknown])  # XLA leaves assertions out
    np.testing.assert_allclose(compiled(tf.zeros([2, 6])), density(tf.zeros([2, 6])), rtol=1e-6)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="hape"):
        compiled(tf.zeros([2, 1]))


@pytest.mark.parametrize("n", [2.5, 2.0, True, "2", None, np.float32(2), 2**31, [2, 3], [[2]]], ids=repr)
def test_a_wrapped_model_takes_whole_numbers_of_samples(exported, n):
    with pytest.raises((TypeError, ValueError), match="sample: n: received .* expected"):
        exported("real_nvp").model.sample(n, seed=1)


@pytest.mark.parametrize("seed", [1.5, True, "1", 2.0, [1.0, 2.0], [2**31, 0]], ids=repr)
def test_a_wrapped_model_takes_whole_seeds(exported, seed):
    with pytest.raises((TypeError, ValueError), match="sample: seed: received .* expected"):
        exported("real_nvp").model.sample(2, seed=seed)


@pytest.mark.parametrize(
    "x",
    [[[1j] * 4], [["a"] * 4], [[None] * 4], [[1.0] * 3 + [[1.0]]], tf.ragged.constant([[1.0], [1.0, 2.0]]), object()],
    ids=["complex", "text", "none", "ragged list", "ragged tensor", "object"],
)
def test_a_wrapped_model_takes_real_numbers(exported, x):
    with pytest.raises(TypeError, match="log_prob: x: received .* expected real numbers"):
        exported("real_nvp").model.log_prob(x)


def test_wrapped_models_take_numpy_integers_as_seeds(exported):
    flow, model = exported("real_nvp").flow, exported("real_nvp").model
    for seed in (np.int64(2**40 + 3), np.int32(-5)):
        np.testing.assert_allclose(model.sample(3, seed=seed), flow.sample(3, seed=int(seed)), rtol=1e-5, atol=1e-5)
    assert model.sample(np.int64(3), seed=1).shape == (3, 4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_with_its_row(exported, bad):
    model = exported("conditioned").model
    x, c = np.zeros((3, 4), "float32"), np.zeros((3, 2), "float32")
    x[1, 2] = bad
    for name in ("log_prob", "score", "forward", "inverse", "reconstruct"):
        refused(lambda: getattr(model, name)(x, c), rf"{name}: received [xz] with NaN or infinity in row.*1.*expected finite")  # noqa: B023
    c[2, 0] = bad
    for call in (lambda: model.log_prob(np.zeros((3, 4)), c), lambda: model.sample(2, c, seed=1)):
        refused(call, "received condition with NaN or infinity in row.*2")


def test_nothing_is_refused_that_the_model_itself_makes(tmp_path):
    # The latent overflows: its own inverse must say so by NaN or infinity, not by an error about an input nobody gave.
    block = Chain([ActNorm(), ActNorm()]).ensure_built((3,))
    for part in block:
        part.trainable_weights[1].assign(np.full(3, 60.0))
    model = load(export(Flow(block, event_shape=3), tmp_path, force=True))
    assert not np.isfinite(model.reconstruction_error(np.ones((2, 3)))).any()
    assert not model.score(np.ones((2, 3))).trusted.numpy().any()


def test_a_wrapped_older_export_is_compared_too(exported):
    model = load(exported("real_nvp").path)
    with pytest.raises(ValueError, match=r"log_prob: x: received shape \(2, 1\), expected shape \(batch, 4\)"):
        model.log_prob(np.zeros((2, 1)))
