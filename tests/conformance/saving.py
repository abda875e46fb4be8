"""Engineering: configuration, copies, files."""

from __future__ import annotations

import json
import pathlib
import tempfile

import keras
import pytest
import tensorflow as tf

from tests.conformance.hosts import keras_model
from tests.conformance.subject import Subject


def check_configuration_makes_the_same_block(s: Subject) -> None:
    config = json.loads(json.dumps(s.block.get_config()))
    again = type(s.block).from_config(config)
    again.ensure_built(s.case.event_shape, s.case.condition_shape)
    _same_with_same_weights(s, again)


def check_unbuilt_configuration_makes_the_same_block(s: Subject) -> None:
    config = json.loads(json.dumps(s.fresh().get_config()))
    again = type(s.block).from_config(config)
    again.ensure_built(s.case.event_shape, s.case.condition_shape)
    _same_with_same_weights(s, again)


def check_copy_has_the_same_weights_and_shares_none(s: Subject) -> None:
    copy = s.block.copy(name="another")
    assert copy.name == "another" and copy is not s.block
    assert not {id(w.value) for w in s.block.weights} & {id(w.value) for w in copy.weights}
    _same(s, copy)
    assert type(s.block.copy()) is type(s.block)
    with pytest.raises(TypeError):
        s.block.copy(no_such_argument=1)


def check_parameters_show_the_configuration(s: Subject) -> None:
    parameters = s.block.parameters
    assert parameters["name"] == s.block.name
    assert set(parameters) >= set(s.fresh().parameters)


def check_keras_file(s: Subject) -> None:
    model = keras_model(s, s.twin().block)
    inputs = _inputs(s)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.keras"
        model.save(path)
        again = keras.saving.load_model(path)
    s.close(again(inputs), model(inputs))


def check_weights_file(s: Subject) -> None:
    model, other = keras_model(s, s.twin().block), keras_model(s, s.fresh())
    inputs = _inputs(s)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.weights.h5"
        model.save_weights(path)
        other.load_weights(path)
    s.close(other(inputs), model(inputs))


def check_checkpoint(s: Subject) -> None:
    other = s.fresh()
    other.ensure_built(s.case.event_shape, s.case.condition_shape)
    with tempfile.TemporaryDirectory() as folder:
        path = tf.train.Checkpoint(block=s.block).write(f"{folder}/checkpoint")
        tf.train.Checkpoint(block=other).read(path).assert_consumed()
    _same(s, other)


def check_checkpoint_restored_before_building(s: Subject) -> None:
    other = s.fresh()
    with tempfile.TemporaryDirectory() as folder:
        path = tf.train.Checkpoint(block=s.block).write(f"{folder}/checkpoint")
        status = tf.train.Checkpoint(block=other).read(path)
        other.ensure_built(s.case.event_shape, s.case.condition_shape)
        status.assert_existing_objects_matched()
    _same(s, other)


def check_saved_model(s: Subject) -> None:
    signature = [tf.TensorSpec([None, *s.case.event_shape], s.value_dtype, name="x")]
    back = [tf.TensorSpec([None, *s.z_shape], s.value_dtype, name="z")]
    if s.case.condition_shape is not None:
        condition = tf.TensorSpec([None, *s.case.condition_shape], s.value_dtype, name="condition")
        signature, back = [*signature, condition], [*back, condition]
    module = tf.Module()
    module.block = s.block
    module.forward = tf.function(lambda x, condition=None: s.block.forward_and_log_det(x, condition), input_signature=signature)
    module.inverse = tf.function(lambda z, condition=None: s.block.inverse_and_log_det(z, condition), input_signature=back)
    x, c = s.x(3), s.condition(3)
    more = [] if c is None else [c]
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder)
        again = tf.saved_model.load(folder)
        z, log_det = again.forward(x, *more)
        x_back, _ = again.inverse(z, *more)
    expected_z, expected_log_det = s.block.forward_and_log_det(tf.identity(x), c)
    s.close(z, expected_z)
    s.close(log_det, expected_log_det)
    s.close(x_back, x, 10)


def _inputs(s: Subject) -> tf.Tensor | list[tf.Tensor]:
    x, c = s.x(3), s.condition(3)
    return x if c is None else [x, c]


def _same_with_same_weights(s: Subject, other) -> None:
    assert [w.shape for w in other.weights] == [w.shape for w in s.block.weights]
    other.set_weights(s.block.get_weights())
    _same(s, other)


def _same(s: Subject, other) -> None:
    x, c = s.x(3), s.condition(3)
    for got, expected in zip(other.forward_and_log_det(x, c), s.block.forward_and_log_det(tf.identity(x), c), strict=True):
        s.close(got, expected)
