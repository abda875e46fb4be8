"""The requests that warm a version up are what TensorFlow Serving's messages say, and the signatures answer them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from inntf.serving.warm_up import PLACE, write_warm_up

_FIELD = descriptor_pb2.FieldDescriptorProto


def _message(file, name, *fields):
    made = file.message_type.add(name=name)
    for number, field, kind, label in fields:
        message = kind[0] == "."
        made.field.add(
            name=field,
            number=number,
            label=label,
            type=_FIELD.TYPE_MESSAGE if message else _FIELD.TYPE_STRING,
            type_name=kind if message else None,
        )


def prediction_log():
    """`PredictionLog` as tensorflow_serving/apis has it (prediction_log.proto, predict.proto, model.proto), of what is used."""
    one, many = _FIELD.LABEL_OPTIONAL, _FIELD.LABEL_REPEATED
    file = descriptor_pb2.FileDescriptorProto(name="serving.proto", package="s", syntax="proto3")
    file.dependency.append("tensorflow/core/framework/tensor.proto")
    _message(file, "ModelSpec", (1, "name", "string", one), (3, "signature_name", "string", one))
    _message(file, "Input", (1, "key", "string", one), (2, "value", ".tensorflow.TensorProto", one))
    _message(file, "PredictRequest", (1, "model_spec", ".s.ModelSpec", one), (2, "inputs", ".s.Input", many))
    _message(file, "PredictLog", (1, "request", ".s.PredictRequest", one))
    _message(file, "PredictionLog", (6, "predict_log", ".s.PredictLog", one))
    pool = descriptor_pool.Default()
    try:
        pool.FindFileByName("serving.proto")
    except KeyError:
        pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("s.PredictionLog"))


def requests_of(path):
    for record in tf.data.TFRecordDataset(str(path / PLACE)):
        log = prediction_log()()
        assert log.ParseFromString(record.numpy()) == len(record.numpy())
        request = log.predict_log.request
        yield request.model_spec, {item.key: tf.make_ndarray(item.value) for item in request.inputs}


@pytest.mark.parametrize("kind", ["real_nvp", "conditioned"])
def test_each_signature_has_one_that_it_answers(exported, kind):
    path, signatures = exported(kind).path, exported(kind).model.signatures
    asked = {}
    for spec, inputs in requests_of(path):
        assert spec.name == path.parent.name
        asked[spec.signature_name] = signatures[spec.signature_name](**{k: tf.constant(v) for k, v in inputs.items()})
    assert set(asked) == set(signatures) - {"serving_default"}
    assert all(len(value) <= 2 for found in asked.values() for value in found.values())


def test_long_messages_and_all_kinds_of_numbers(tmp_path):
    inputs = {
        "a/x": np.arange(60_000, dtype="float64").reshape(2, -1),
        "a/n": np.int32(3),
        "b/seed": np.array([1, -2], "int32"),
    }
    write_warm_up(tmp_path, "m", inputs)
    found = {(spec.signature_name, key): value for spec, given in requests_of(tmp_path) for key, value in given.items()}
    assert found.keys() == {("a", "x"), ("a", "n"), ("b", "seed")}
    for key, value in inputs.items():
        np.testing.assert_array_equal(found[tuple(key.split("/"))], value)
        assert found[tuple(key.split("/"))].dtype == value.dtype
