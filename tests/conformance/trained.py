"""What a trained block must show beyond the checks of any state: it moved, and every promise still holds."""

from __future__ import annotations

import copy
import json
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import inntf
from inntf.models import DensityModel
from inntf.serving import export, load
from inntf.stability import certify, stability_report
from tests.conformance.derivatives import jacobians
from tests.conformance.subject import Subject

FEW = 8
VISIBLE = 1e-2  # an error of one percent of a sample: the library must not call that stable


def check_training_moved_it(s: Subject) -> None:
    if tuple(s.block.lipschitz_bounds()) == (1.0, 1.0):
        pytest.skip("it keeps lengths, whatever its weights: a standard normal density does not tell one from another")
    losses = s.training.losses
    assert np.all(np.isfinite(losses)), losses
    assert losses[-1] < losses[0], f"the loss went from {losses[0]} to {losses[-1]}"
    assert s.training.movement > 0.1, f"no weight moved by more than {s.training.movement}"
    assert all(np.all(np.isfinite(w)) for w in s.training.weights if w.dtype.kind == "f")


def check_data_come_back_as_well_as_the_conditioning_allows(s: Subject) -> None:
    x, c = s.x(FEW), s.condition(FEW)
    z, log_det = s.block.forward_and_log_det(x, c)
    back, _ = s.block.inverse_and_log_det(tf.identity(z), c)
    seen = s.conditioning(x, c)
    _explained(s, _lengths(_wide(back) - _wide(x)), seen.inverse, "x")
    if not _estimates(s):
        _explained(s, np.abs(_wide(log_det) - seen.exact_log_det), seen.log_det + 1, "log_det")


def check_latents_come_back_as_well_as_the_conditioning_allows(s: Subject) -> None:
    z, c = s.z(FEW), s.condition(FEW)
    x, log_det = s.block.inverse_and_log_det(z, c)
    back, _ = s.block.forward_and_log_det(tf.identity(x), c)
    seen = s.conditioning(x, c)
    _explained(s, _lengths(_wide(back) - _wide(z)), seen.forward, "z")
    if not _estimates(s):  # it is that at the x which came back, rounded: the error of `forward` there, twice
        _explained(s, np.abs(_wide(log_det) + seen.exact_log_det), 2 * seen.log_det + 1, "log_det")


def check_certificate_holds_at_data_and_samples(s: Subject) -> None:
    x, c = s.x(FEW), s.condition(FEW)
    drawn, _ = s.block.inverse_and_log_det(s.z(FEW), c)
    box = (float(tf.reduce_min(x)), float(tf.reduce_max(x)))
    for host in (s.block, flow(s)):
        everywhere, local = certify(host), certify(host, box)
        for certificate in (everywhere, local):
            _valid(certificate)
        _covers(s, everywhere.bounds, tf.concat([x, drawn], 0), None if c is None else tf.concat([c, c], 0))
        _covers(s, local.bounds, x, c)


def check_report_says_what_is_measured(s: Subject) -> None:
    x, c = s.x(32), s.condition(32)
    report = stability_report(model(s), x, c, passes=2, samples=4)
    z, _ = s.block.forward_and_log_det(x, c)
    back, _ = s.block.inverse_and_log_det(z, c)
    drawn, _ = s.block.inverse_and_log_det(s.z(32), c)
    lost = _lengths(_wide(back) - _wide(x)) / np.maximum(_lengths(_wide(x)), np.median(_lengths(_wide(x))))
    broken = max(1 - np.mean(np.isfinite(lost)), 1 - np.mean(np.isfinite(_lengths(_wide(drawn)))))
    if broken >= 0.01 or np.quantile(lost[np.isfinite(lost)], 0.99) > VISIBLE:
        assert report["verdict"] != "stable", f"{report}: {100 * broken} % are not finite, errors {np.sort(lost)[-3:]}"
    assert report["verdict"] in ("stable", "fragile", "broken") and report["reasons"]
    assert report["samples"] == 32 and str(report) and json.loads(report.to_json())["dtype"] == s.value_dtype.__name__
    bounds = report["bounds"]
    assert bounds["forward"] > 0 and bounds["inverse"] > 0


def check_export(s: Subject) -> None:
    x, c = s.x(3), s.condition(3)
    density = flow(s)
    with tempfile.TemporaryDirectory() as folder:
        served = load(export(density, folder + "/model").parent)
        kwargs = {} if c is None else {"condition": c}
        s.close(served.log_prob(x, **kwargs), density.log_prob(tf.identity(x), **kwargs), 10)
        if "distribution_samples" not in s.case.exempt:
            s.close(served.sample(2, seed=3, **kwargs), density.sample(2, seed=3, **kwargs), 10)


def check_frozen_it_stays_as_it_is(s: Subject) -> None:
    block = s.twin().block
    block.trainable = False
    before = block.get_weights()
    chain = inntf.compose.Chain([block, inntf.blocks.ActNorm(dtype=s.dtype)])
    frozen = DensityModel(chain, event_shape=s.case.event_shape, condition_shape=s.case.condition_shape)
    frozen.compile(keras.optimizers.Adam(0.1), run_eagerly=True)
    fit(s, frozen)
    for old, new in zip(before, block.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert any(np.any(np.asarray(w)) for w in chain.blocks[-1].trainable_weights), "what is not frozen did not train"


def check_clone(s: Subject) -> None:
    original = model(s)
    clone = keras.models.clone_model(original)
    assert not {id(w) for w in original.weights} & {id(w) for w in clone.weights}
    clone.set_weights(original.get_weights())
    inputs = _inputs(s)
    s.close(clone(inputs), original(inputs))


def check_deepcopy(s: Subject) -> None:
    inputs = _inputs(s)
    for original in (model(s), s.block):
        again = copy.deepcopy(original)
        assert not {id(w.value) for w in original.weights} & {id(w.value) for w in again.weights}
        expected = original(*inputs) if original is s.block else original(inputs)
        s.close(again(*inputs) if original is s.block else again(inputs), expected)
        weight = again.trainable_weights[0]
        weight.assign(weight + 1)
        s.close(original(*inputs) if original is s.block else original(inputs), expected)


def check_resumed_it_is_the_same_training(s: Subject) -> None:
    whole, part, again = (model(s.twin()) for _ in range(3))
    for m in (whole, part, again):
        m.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
        m.optimizer.build(m.trainable_variables)
    x, c = s.x(16), s.condition(16)
    fit(s, whole, x, c, 2)
    fit(s, part, x, c, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = tf.train.Checkpoint(model=part).save(folder + "/c")
        for w in again.trainable_weights:
            w.assign(w + 1)
        tf.train.Checkpoint(model=again).restore(path).assert_existing_objects_matched()
    fit(s, again, x, c, 1)
    moved = 0.0
    for a, b, start in zip(whole.get_weights(), again.get_weights(), model(s).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
        moved = max(moved, float(np.max(np.abs(a - start), initial=0.0))) if a.dtype.kind == "f" else moved
    assert moved > 1e-4


# ---- around a block -----------------------------------------------------------------------------------------


def flow(s: Subject) -> inntf.Flow:
    """The trained density."""
    return inntf.Flow(s.block, event_shape=s.case.event_shape, condition_shape=s.case.condition_shape)


def model(s: Subject) -> DensityModel:
    """The trained Keras model."""
    return DensityModel(s.block, event_shape=s.case.event_shape, condition_shape=s.case.condition_shape)


def fit(s: Subject, density: DensityModel, x: tf.Tensor | None = None, c: tf.Tensor | None = None, epochs: int = 2) -> None:
    """A step an epoch."""
    x = s.x(16) if x is None else x
    c = s.condition(16) if c is None else c
    dataset = tf.data.Dataset.from_tensors((x if c is None else (x, c),))
    density.fit(dataset, epochs=epochs, verbose=0)


def _inputs(s: Subject) -> tuple[tf.Tensor, ...]:
    x, c = s.x(3), s.condition(3)
    return (x,) if c is None else (x, c)


def _estimates(s: Subject) -> bool:
    return "forward_log_det_is_that_of_the_jacobian" in s.case.exempt


def _explained(s: Subject, error: np.ndarray, amplification: np.ndarray, what: str) -> None:
    """Assert that rounding explains an error; where nothing finite came out, the report has to say so."""
    base = (1e-9 if s.dtype == "float64" else 2e-5) * s.case.tolerance
    allowed = np.maximum(base, 40 * float(np.finfo(s.value_dtype).eps) * amplification) + 4 * s.case.inverse_error
    known = np.isfinite(allowed)
    assert np.all(error[known] <= allowed[known]), f"{what} is off by {error}, where rounding explains {allowed}"


def _valid(certificate) -> None:
    for row in certificate.rows:
        forward, inverse = row.bounds
        assert forward >= 0 and inverse >= 0, row  # NaN is neither
        assert (np.isfinite(forward) and np.isfinite(inverse)) or row.bounds.reason, f"{row}: infinite without a reason"
    assert str(certificate)


def _covers(s: Subject, bounds, x: tf.Tensor, c: tf.Tensor | None) -> None:
    wide = None if c is None else tf.cast(c, tf.float64)
    jacobian = jacobians(lambda v, k: s.exact.block.forward_and_log_det(v, k)[0], tf.cast(x, tf.float64), wide)
    jacobian = jacobian[np.all(np.isfinite(jacobian), (1, 2))]
    singular = np.linalg.svd(jacobian, compute_uv=False)
    slack = 1 + 1e-5 * s.case.tolerance
    assert singular.max() <= bounds.forward * slack, f"measured {singular.max()} > certified {bounds.forward}"
    # Below the rounding of its own largest one, a singular value is noise.
    known = singular > 1e-12 * singular.max(axis=1, keepdims=True)
    assert (1 / singular[known]).max() <= bounds.inverse * slack, f"measured {(1 / singular[known]).max()} > {bounds.inverse}"


def _lengths(difference: np.ndarray) -> np.ndarray:
    return np.linalg.norm(difference.reshape(len(difference), -1), axis=1)


def _wide(value) -> np.ndarray:
    return np.asarray(value, np.float64)
