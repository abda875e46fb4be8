"""Engineering: batch dimensions, dtypes, tracing, compilation."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.subject import Subject


def check_any_leading_dimensions(s: Subject) -> None:
    x, c = s.x(6), s.condition(6)
    z, log_det = s.block.forward_and_log_det(x, c)
    for lead in ((2, 3), (1, 3, 2)):
        x_wide = tf.reshape(x, [*lead, *x.shape[1:]])
        c_wide = None if c is None else tf.reshape(c, [*lead, *c.shape[1:]])
        z_wide, log_det_wide = s.block.forward_and_log_det(x_wide, c_wide)
        assert z_wide.shape == (*lead, *z.shape[1:]) and log_det_wide.shape == lead
        s.close(tf.reshape(z_wide, z.shape), z)
        s.close(tf.reshape(log_det_wide, [6]), log_det)
        back, _ = s.block.inverse_and_log_det(tf.identity(z_wide), c_wide)
        s.close(back, x_wide, 10)


def check_no_leading_dimension(s: Subject) -> None:
    x, c = s.x(), s.condition()
    z, log_det = s.block.forward_and_log_det(x, c)
    z_one, log_det_one = s.block.forward_and_log_det(x[None], None if c is None else c[None])
    assert log_det.shape == ()
    s.close(z, z_one[0])
    s.close(log_det, log_det_one[0])


def check_batch_of_one_is_a_row_of_the_batch(s: Subject) -> None:
    x, c = s.x(3), s.condition(3)
    z, log_det = s.block.forward_and_log_det(x, c)
    z_one, log_det_one = s.block.forward_and_log_det(x[1:2], None if c is None else c[1:2])
    s.close(z_one, z[1:2])
    s.close(log_det_one, log_det[1:2])


def check_empty_batch(s: Subject) -> None:
    c = s.condition(0)
    for pair, value, out in (
        (s.block.forward_and_log_det, s.x(0), s.z(0)),
        (s.block.inverse_and_log_det, s.z(0), s.x(0)),
    ):
        inputs = [value] if c is None else [value, c]
        dynamic = tf.function(pair, input_signature=[tf.TensorSpec([None, *v.shape[1:]], v.dtype) for v in inputs])
        for function in (pair, dynamic):
            got, log_det = function(*map(tf.identity, inputs))
            assert got.shape == out.shape and log_det.shape == (0,)


def check_one_condition_for_all_samples(s: Subject) -> None:
    s.needs_condition()
    x, c = s.x(3), s.condition(1)
    z, _ = s.block.forward_and_log_det(x, c)
    expected, _ = s.block.forward_and_log_det(tf.identity(x), tf.repeat(c, 3, 0))
    s.close(z, expected)


def check_static_shapes_are_told(s: Subject) -> None:
    x, c = s.x(4), s.condition(4)
    z, _ = s.block.forward_and_log_det(x, c)
    event_x, event_z = tf.TensorShape(s.case.event_shape), tf.TensorShape(z.shape[1:])
    assert s.block.forward_event_shape(event_x) == event_z
    assert s.block.inverse_event_shape(event_z) == event_x
    assert tuple(s.block.forward_event_shape_tensor(list(event_x))) == tuple(event_z)
    assert tuple(s.block.inverse_event_shape_tensor(list(event_z))) == tuple(event_x)
    assert s.block.compute_output_shape((None, *s.case.event_shape)) == (None, *event_z)
    assert int(s.block.forward_min_event_ndims) == event_x.rank
    assert int(s.block.inverse_min_event_ndims) == event_z.rank


def check_dynamic_batch_traces_once(s: Subject) -> None:
    traces = []
    signature = [tf.TensorSpec([None, *s.case.event_shape], s.value_dtype)]
    if s.case.condition_shape is not None:
        signature.append(tf.TensorSpec([None, *s.case.condition_shape], s.value_dtype))

    @tf.function(input_signature=signature)
    def there_and_back(x, *condition):
        traces.append(1)
        z, log_det = s.block.forward_and_log_det(x, *condition)
        back, log_det_back = s.block.inverse_and_log_det(z, *condition)
        return z, log_det, back, log_det_back

    for batch in (3, 1, 5):
        x, c = s.x(batch), s.condition(batch)
        z, log_det, back, log_det_back = there_and_back(x, *([] if c is None else [c]))
        expected_z, expected_log_det = s.block.forward_and_log_det(tf.identity(x), c)
        s.close(z, expected_z)
        s.close(log_det, expected_log_det)
        s.close(back, x, 10)
        s.close(log_det_back, -expected_log_det, 10)
    assert len(traces) == 1


def check_xla_agrees(s: Subject) -> None:
    x, c = s.x(3), s.condition(3)

    @tf.function(jit_compile=True, autograph=False)
    def there_and_back(x, c):
        with tf.GradientTape() as tape:
            tape.watch(x)
            z, log_det = s.block.forward_and_log_det(x, c)
            target = tf.reduce_sum(z) + tf.reduce_sum(log_det)
        return z, log_det, s.block.inverse_and_log_det(z, c), tape.gradient(target, x)

    z, log_det, (back, log_det_back), gradient = there_and_back(x, c)
    expected_z, expected_log_det = s.block.forward_and_log_det(tf.identity(x), c)
    s.close(z, expected_z, 10)
    s.close(log_det, expected_log_det, 10)
    s.close(back, x, 10)
    s.close(log_det_back, -expected_log_det, 10)
    assert np.all(np.isfinite(gradient))


def check_vectorized_map_agrees(s: Subject) -> None:
    x, c = s.x(3), s.condition(3)
    if c is None:
        z, log_det = tf.vectorized_map(lambda v: s.block.forward_and_log_det(v), x)
    else:
        z, log_det = tf.vectorized_map(lambda v: s.block.forward_and_log_det(v[0], v[1]), (x, c))
    expected_z, expected_log_det = s.block.forward_and_log_det(tf.identity(x), c)
    s.close(z, expected_z)
    s.close(log_det, expected_log_det)


def check_arrays_are_taken(s: Subject) -> None:
    x, c = s.x(2), s.condition(2)
    z, log_det = s.block.forward_and_log_det(x.numpy().astype(np.float64), None if c is None else c.numpy().astype(np.float64))
    assert z.dtype == s.value_dtype and log_det.dtype == s.value_dtype
    expected_z, _ = s.block.forward_and_log_det(x, c)
    s.close(z, expected_z)
    s.close(s.block.forward(x.numpy().tolist(), condition=None if c is None else c.numpy()), expected_z)


def check_mixed_precision_keeps_values_wide(s: Subject) -> None:
    if s.dtype != "float32":
        pytest.skip("a mixed policy has float32 weights")
    mixed = s.twin("mixed_bfloat16")
    assert all(w.dtype == n.dtype for w, n in zip(s.block.weights, mixed.block.weights, strict=True)), "weights stay float32"
    x, c = s.x(3), s.condition(3)
    z, log_det = mixed.block.forward_and_log_det(x, c)
    assert z.dtype == tf.float32 and log_det.dtype == tf.float32
    expected_z, expected_log_det = s.block.forward_and_log_det(tf.identity(x), c)
    scale = 1 + float(tf.reduce_max(tf.abs(expected_z)))
    np.testing.assert_allclose(z, expected_z, atol=0.1 * scale * s.case.tolerance)
    scale = 1 + float(tf.reduce_max(tf.abs(expected_log_det)))
    np.testing.assert_allclose(log_det, expected_log_det, atol=0.2 * scale * s.case.tolerance)
    back, _ = mixed.block.inverse_and_log_det(tf.identity(z), c)
    assert back.dtype == tf.float32
    np.testing.assert_allclose(back, x, atol=0.1 * s.case.tolerance * (1 + float(tf.reduce_max(tf.abs(x)))))


def check_builds_lazily_inside_a_traced_function(s: Subject) -> None:
    block = s.fresh()
    x, c = s.x(3), s.condition(3)
    z, log_det = tf.function(block.forward_and_log_det, autograph=False)(x, c)
    assert block.built and block.event_shape == s.case.event_shape
    eager_z, eager_log_det = block.forward_and_log_det(tf.identity(x), c)
    s.close(z, eager_z)
    s.close(log_det, eager_log_det)


def check_builds_lazily_from_the_latent_side(s: Subject) -> None:
    block = s.fresh()
    if len(s.z_shape) != len(s.case.event_shape):
        block = s.case.make(s.dtype)
    z, c = s.z(3), s.condition(3)
    x, log_det = block.inverse_and_log_det(z, c)
    assert block.built and block.event_shape == s.case.event_shape
    assert x.shape == (3, *s.case.event_shape) and log_det.shape == (3,)
