"""Two hundred malformed requests to exported signatures: each is refused in words, or answered rightly."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AffineCoupling, Dequantize, Logit
from inntf.compose import Chain
from inntf.models import Flow, glow, inn_autoencoder, real_nvp
from inntf.serving import export

SEEDS = [1.5, -1.0, [1, 2, 3], [], [[1, 2], [3, 4]], "1", True, 2**40, None]
COUNTS = [-1, -(2**31), 2**31 - 1, 2**31, 2**40, 1.5, np.nan, "3", [2], [[2]], [], True, None]
TEMPERATURES = [-1.0, -0.0001, np.nan, np.inf, -np.inf, [1.0, 2.0], [], "1", 1j, None]
SHAPES = [
    (),
    (1,),
    (3,),
    (2, 1),
    (2, 3),
    (2, 5),
    (4, 2),
    (1, 2, 4),
    (2, 4, 1),
    (2, 2, 2),
    (0, 3),
    (2, 0),
    (2, 4, 4, 2),
    (2, 4, 4, 1),
]
BAD = [np.nan, np.inf, -np.inf]
DTYPES = ["float64", "int32", "complex64", "bool", "float16", "str"]


def models():
    keras.utils.set_random_seed(0)
    levels = Chain([Dequantize(levels=8, seed=1), Logit(), ActNorm(), AffineCoupling()]).ensure_built((4,))
    return {
        "real_nvp": real_nvp(event_shape=4, depth=2, hidden=(8,)),
        "conditioned": real_nvp(event_shape=4, depth=2, hidden=(8,), condition_shape=2),
        "glow": glow(event_shape=(4, 4, 2), levels=2, depth=1, hidden=4),
        "levels": Flow(levels, event_shape=4),
        "autoencoder": inn_autoencoder((8, 8, 1), 3, stages=(1,), hidden=4, dense_hidden=4, seed=0),
    }


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    return {name: tf.saved_model.load(str(export(model, folder, name=name))) for name, model in models().items()}


def right_request(signature):
    specs = signature.structured_input_signature[1]
    scalars = {"n": tf.constant(2), "seed": tf.constant(1), "temperature": tf.constant(1.0)}
    return {key: scalars[key] if key in scalars else tf.ones([2, *spec.shape[1:]]) for key, spec in specs.items()}


def malformed(signature):
    """Requests with one thing wrong each, and words for it."""
    right = right_request(signature)
    for key, value in right.items():
        yield f"without {key}", {k: v for k, v in right.items() if k != key}
        if key in ("n", "seed", "temperature"):
            for wrong in {"n": COUNTS, "seed": SEEDS, "temperature": TEMPERATURES}[key]:
                yield f"{key}={wrong!r}", {**right, key: wrong}
            continue
        for shape in SHAPES:
            if shape != tuple(value.shape):
                yield f"{key} of shape {shape}", {**right, key: tf.ones(shape)}
        for bad in BAD:
            broken = np.ones(value.shape, "float32")
            broken.flat[-1] = bad
            yield f"{key} with {bad}", {**right, key: tf.constant(broken)}
        for dtype in DTYPES:
            yield f"{key} of {dtype}", {**right, key: np.ones(value.shape).astype(dtype)}
    yield "another input", {**right, "y_": tf.ones([2, 2])}


def ask(signature, request):
    """The answer; what cannot be made a tensor of the dtype fails in the client, as it does before a request is sent."""
    specs = signature.structured_input_signature[1]
    sent = {
        k: v if tf.is_tensor(v) else tf.constant(v, specs[k].dtype if k in ("n", "temperature") else None)
        for k, v in request.items()
    }
    return signature(**sent)


def test_each_is_refused_in_words_or_answered_rightly(loaded):
    count = answered = 0
    for name, model in loaded.items():
        for key, signature in model.signatures.items():
            if key == "serving_default":
                continue
            expected = {k: v.shape for k, v in signature(**right_request(signature)).items()}
            for words, request in malformed(signature):
                count += 1
                try:
                    found = ask(signature, request)
                except (tf.errors.InvalidArgumentError, TypeError, ValueError, OverflowError) as error:
                    assert len(str(error)) > 20, f"{name}.{key}, {words}: {error!r}"
                    continue
                # What is left is no fault: an empty batch of the right event, one condition for all, a list of one seed.
                answered += 1
                assert set(found) == set(expected), f"{name}.{key}, {words}"
                for output, value in found.items():
                    assert value.shape[1:] == expected[output][1:] or key == "sample", f"{name}.{key}, {words}: {value.shape}"
                    assert value.dtype == tf.bool or np.isfinite(value).all(), f"{name}.{key}, {words}: {output} is not finite"
    assert count > 200 and answered < 0.1 * count


@pytest.mark.parametrize("value", [-1.0, 8.0, 300.0])
def test_levels_that_do_not_exist_are_refused(loaded, value):
    for name, output in itertools.product(("log_prob", "score", "forward"), (0, 3)):
        x = np.ones((3, 4), "float32")
        x[1, output] = value
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"received|range|level"):
            loaded["levels"].signatures[name](x=tf.constant(x))


def test_more_than_a_gigabyte_is_not_asked_for_at_once(loaded):
    numbers = {"seed": tf.constant(1), "temperature": tf.constant(1.0)}
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most.*67108864.*Ask several times"):
        loaded["real_nvp"].signatures["sample"](n=tf.constant(2**26 + 1), **numbers)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"at most.*{2**28 // 4000}"):
        loaded["conditioned"].signatures["sample"](n=tf.constant(2**18), condition=tf.ones([1000, 2]), **numbers)
