"""Engineering: what is refused where a method is entered, and what the message says; the data-dependent start."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.subject import Subject


def check_wrong_rank_is_refused(s: Subject) -> None:
    if len(s.case.event_shape) == 1:
        pytest.skip("every rank from 1 on is a batch of vectors")
    with pytest.raises(ValueError, match="expected"):
        s.block.forward_and_log_det(tf.zeros(s.case.event_shape[1:], s.value_dtype), s.condition(1))


def check_scalar_is_refused(s: Subject) -> None:
    for block in (s.block, s.fresh()):
        with pytest.raises(ValueError, match="expected"):
            block.forward_and_log_det(tf.zeros([], s.value_dtype), s.condition(1))


def check_wrong_width_is_refused(s: Subject) -> None:
    wide = (*s.case.event_shape[:-1], s.case.event_shape[-1] + 3)
    with pytest.raises(ValueError, match="expected"):
        s.block.forward_and_log_det(tf.zeros([2, *wide], s.value_dtype), s.condition(2))
    with pytest.raises(ValueError, match="expected"):
        s.block.inverse_and_log_det(tf.zeros([2, *s.z_shape[:-1], s.z_shape[-1] + 3], s.value_dtype), s.condition(2))


def check_wider_dtype_is_refused(s: Subject) -> None:
    if s.dtype == "float64":
        pytest.skip("nothing is wider than float64")
    if s.block.takes_any_dtype:
        pytest.skip("without floating weights any precision will do")
    with pytest.raises(TypeError, match="dtype='float64'"):
        s.block.forward_and_log_det(tf.cast(s.x(2), tf.float64), s.condition(2))


def check_complex_and_text_are_refused(s: Subject) -> None:
    for value in (tf.zeros([2, *s.case.event_shape], tf.complex64), tf.fill([2, *s.case.event_shape], "a")):
        with pytest.raises(TypeError):
            s.block.forward_and_log_det(value, s.condition(2))


def check_missing_condition_is_refused(s: Subject) -> None:
    s.needs_condition()
    with pytest.raises(ValueError, match="condition"):
        s.block.forward_and_log_det(s.x(2))


def check_wrong_condition_is_refused(s: Subject) -> None:
    s.needs_condition()
    wide = (*s.case.condition_shape[:-1], s.case.condition_shape[-1] + 3)
    with pytest.raises(ValueError, match="condition"):
        s.block.forward_and_log_det(s.x(2), tf.zeros([2, *wide], s.value_dtype))


def check_unknown_keyword_is_refused(s: Subject) -> None:
    with pytest.raises(TypeError):
        s.block.forward_and_log_det(s.x(2), s.condition(2), training=True)
    with pytest.raises(TypeError):
        s.block.forward(s.x(2), no_such_keyword=1)
    with pytest.raises(TypeError):
        type(s.block)(no_such_argument=1)


def check_nan_is_refused_where_asked(s: Subject) -> None:
    block = s.block.copy(validate_args=True)
    x = s.x(2).numpy()
    x.flat[0] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="NaN"):
        block.forward_and_log_det(tf.constant(x), s.condition(2))


def check_initialize_is_explicit_and_repeatable(s: Subject) -> None:
    block, again = s.twin().block, s.twin().block
    x, c = s.x(16), s.condition(16)
    z = block.initialize(x, c)
    s.close(block.forward_and_log_det(tf.identity(x), c)[0], z, 10)
    s.close(again.initialize(tf.identity(x), c), z, 10)
    before = block.get_weights()
    block.forward_and_log_det(s.x(16), c)
    for a, b in zip(before, block.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)  # a plain call changes nothing


def check_initialize_survives_one_sample_and_constants(s: Subject) -> None:
    for x in (s.x(1), tf.repeat(s.x(1), 4, 0)):
        block = s.twin().block
        block.initialize(x, s.condition(x.shape[0]))
        assert all(np.all(np.isfinite(w)) for w in block.get_weights() if w.dtype.kind == "f")
        z, log_det = block.forward_and_log_det(tf.identity(x), s.condition(x.shape[0]))
        assert np.all(np.isfinite(z)) and np.all(np.isfinite(log_det))


def check_unbuilt_block_answers_for_its_bounds(s: Subject) -> None:
    forward, inverse = s.fresh().lipschitz_bounds()
    assert forward > 0 and inverse > 0
