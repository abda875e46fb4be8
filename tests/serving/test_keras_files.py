"""Keras files from strangers: none of what they ask for is run, each is refused in clear words; honest ones load."""

from __future__ import annotations

import copy
import io
import json
import pathlib
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.models import DensityModel, glow, real_nvp, residual_flow
from inntf.nets import MLP
from inntf.serving import UnsafeFileError, load_keras

RAN = []


@keras.saving.register_keras_serializable("stranger")
class Foreign(keras.layers.Layer):
    def __init__(self, **kwargs):
        RAN.append("Foreign")
        super().__init__(**kwargs)

    def call(self, x):
        return x


@keras.saving.register_keras_serializable("stranger")
def ran(x):
    RAN.append("ran")
    return x


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A trained model's file, as bytes by entry."""
    model = DensityModel(residual_flow(event_shape=2, depth=1, hidden=(4,)))
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 10)))
    model.fit(np.random.default_rng(0).normal(size=(32, 2)).astype("float32") * 3 + 1, verbose=0)
    path = tmp_path_factory.mktemp("honest") / "model.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    return model, path, entries


def layer(class_name, module="keras.layers", config=None, registered=None):
    return {"module": module, "class_name": class_name, "config": config or {}, "registered_name": registered}


def within(entries, part):
    """The honest file with a part in the place of its optimizer, which Keras builds before it compiles."""
    config = json.loads(entries["config.json"])
    config["compile_config"]["optimizer"] = part
    return {**entries, "config.json": json.dumps(config).encode()}


def as_flow(entries, part):
    config = json.loads(entries["config.json"])
    config["config"]["flow"] = part
    return {**entries, "config.json": json.dumps(config).encode()}


def with_weights(entries, change):
    data = io.BytesIO(entries["model.weights.h5"])
    with h5py.File(data, "r+") as file:
        change(file)
    return {**entries, "model.weights.h5": data.getvalue()}


def marker(folder):
    return folder / "executed"


CODE = "__import__('pathlib').Path({!r}).write_text('')"


def function(name, module="builtins", registered="function"):
    return {"module": module, "class_name": "function", "config": name, "registered_name": registered}


HOSTILE = {
    "os.system": lambda e, p: as_flow(e, layer("system", "os", f"touch {marker(p)}")),
    "subprocess": lambda e, p: as_flow(e, layer("Popen", "subprocess", {"args": ["touch", str(marker(p))]})),
    "eval": lambda e, p: as_flow(e, function("eval", "builtins")),
    "a function of os": lambda e, p: within(e, function("system", "os", "system")),
    "Lambda layer": lambda e, p: as_flow(e, layer("Lambda", config={"function": layer("__lambda__", None, {"code": "4wA="})})),
    "lambda alone": lambda e, p: within(e, layer("__lambda__", None, {"code": "4wA="})),
    "TFSMLayer": lambda e, p: as_flow(e, layer("TFSMLayer", config={"filepath": str(p)})),
    "lookup of a file": lambda e, p: as_flow(e, layer("StringLookup", config={"vocabulary": "/etc/passwd"})),
    "foreign module": lambda e, p: as_flow(e, layer("Thing", "stranger.module")),
    "inntf's name, no class": lambda e, p: as_flow(e, layer("Nothing", "inntf.models", registered="inntf>Nothing")),
    "registered by another": lambda e, p: as_flow(e, layer("Foreign", None, registered="stranger>Foreign")),
    "function by another": lambda e, p: within(e, function("stranger>ran", __name__, "stranger>ran")),
    "name of another as text": lambda e, p: within(e, "stranger>ran"),
    "keras.utils": lambda e, p: within(e, function("get_file", "keras.utils", "get_file")),
    "type spec": lambda e, p: within(e, layer("__typespec__", "os", {"module": "os", "spec_name": "system"})),
    "objects as numbers": lambda e, p: within(e, layer("__numpy__", None, {"value": [1], "dtype": "object"})),
    "deep nesting": lambda e, p: {**e, "config.json": b'{"a":' * 5000 + b"1" + b"}" * 5000},
    "no JSON": lambda e, p: {**e, "config.json": b"\x80\x04\x95pickle"},
    "pickle beside": lambda e, p: {**e, "weights.pkl": b"cposix\nsystem\n."},
    "zip slip": lambda e, p: {**e, "../executed": b"x"},
    "absolute name": lambda e, p: {**e, str(marker(p)): b"x"},
    "weights missing": lambda e, p: {k: v for k, v in e.items() if not k.endswith("h5")},
    "weights no HDF5": lambda e, p: {**e, "model.weights.h5": b"cposix\nsystem\n."},
    "external link": lambda e, p: with_weights(e, lambda f: f.__setitem__("out", h5py.ExternalLink("/etc/passwd", "/"))),
    "external data": lambda e, p: with_weights(
        e, lambda f: f.create_dataset("out", (4,), "u1", external=[("/etc/passwd", 0, 4)])
    ),
    "a soft link": lambda e, p: with_weights(e, lambda f: f.__setitem__("out", h5py.SoftLink("/layers"))),
    "a loop": lambda e, p: with_weights(e, lambda f: f.__setitem__("layers/again", f)),
    "a bomb of weights": lambda e, p: with_weights(e, lambda f: f.create_dataset("big", (2**40,), "f4", chunks=(2**10,))),
    "text as weights": lambda e, p: with_weights(e, lambda f: f.create_dataset("s", data=["a"], dtype=h5py.string_dtype())),
    "a wrong class": lambda e, p: as_flow(e, layer("Dense", config={"units": -1})),
}


def written(path, entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_and_nothing_runs(kind, honest, tmp_path):
    RAN.clear()
    path = written(tmp_path / "model.keras", HOSTILE[kind](copy.deepcopy(honest[2]), tmp_path))
    with pytest.raises(UnsafeFileError, match="Nothing of it was run") as caught:
        load_keras(path)
    assert not RAN and not marker(tmp_path).exists()
    assert len(str(caught.value)) < 900 and str(path) in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", b"no archive at all", b"\x80\x04."], ids=["empty", "cut", "text", "pickle"]
)
def test_what_is_no_archive_is_refused(data, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(data)
    with pytest.raises(UnsafeFileError, match="no archive"):
        load_keras(path)


def test_a_bomb_is_refused_by_its_size(honest, tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in honest[2].items():
            archive.writestr(name, data + bytes(2**22) * name.endswith("h5"))
    assert path.stat().st_size < 2**20
    with pytest.raises(UnsafeFileError, match="largest"):
        load_keras(path, largest=2**20)


def test_an_honest_file_loads_with_its_optimizer(honest):
    model, path, _ = honest
    loaded = load_keras(path)
    x = tf.constant([[0.3, -2.0], [5.0, 1.0]])
    np.testing.assert_allclose(loaded.log_prob(x), model.log_prob(x), rtol=1e-6)
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) > 0
    assert isinstance(loaded.optimizer.learning_rate, tf.Tensor | keras.Variable)


def test_a_condition_network_loads(tmp_path):
    network = keras.Sequential([keras.Input((3,)), MLP((4,), out_channels=2, zero_last=False)])
    model = DensityModel(real_nvp(event_shape=2, depth=2, condition_shape=3, condition_network=network))
    x, c = tf.random.normal([4, 2]), tf.random.normal([4, 3])
    want = model.log_prob(x, condition=c)
    model.save(tmp_path / "m.keras")
    np.testing.assert_allclose(load_keras(tmp_path / "m.keras").log_prob(x, condition=c), want, rtol=1e-5)


def test_images_load(tmp_path):
    model, x = DensityModel(glow(event_shape=(8, 8, 1), levels=2, depth=1, hidden=4)), tf.random.normal([2, 8, 8, 1])
    want = model.log_prob(x)
    model.save(tmp_path / "m.keras")
    np.testing.assert_allclose(load_keras(tmp_path / "m.keras").log_prob(x), want, rtol=1e-5)


def test_functional_models_of_stock_layers_load(tmp_path):
    inputs = keras.Input((4,))
    h = keras.layers.Dense(3, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3))(inputs)
    model = keras.Model(inputs, keras.ops.tanh(h) + 1.0)
    model.compile("adam", loss="mse", metrics=[keras.metrics.RootMeanSquaredError()])
    model.save(tmp_path / "m.keras")
    x = np.ones([2, 4], "float32")
    np.testing.assert_allclose(load_keras(tmp_path / "m.keras")(x), model(x))


def test_classes_of_the_callers_load_by_name(tmp_path):
    keras.Sequential([keras.Input((2,)), Foreign()]).save(tmp_path / "m.keras")
    with pytest.raises(UnsafeFileError, match="stranger>Foreign"):
        load_keras(tmp_path / "m.keras")
    assert load_keras(tmp_path / "m.keras", classes=[Foreign])(np.ones([1, 2])).shape == (1, 2)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        load_keras(pathlib.Path(tmp_path) / "none.keras")
