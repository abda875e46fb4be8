"""A served model back in Python, without the classes it was made of."""

from __future__ import annotations

import os
import pathlib
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from inntf.core.errors import explain
from inntf.serving.card import read_card
from inntf.serving.export import versions
from inntf.serving.folder_moves import set_aside, version_of
from inntf.serving.graph_operations import fault_of_graph


class Score(NamedTuple):
    """What `ServedModel.score` returns, `(batch,)` each.

    Attributes:
        log_prob: log-density in nats.
        reconstruction_error: `|x - inverse(forward(x))|_2`; behind leading blocks that round to levels, which would hide it.
        inverse_lipschitz: bound of the norm of the inverse's Jacobian at `forward(x)`; see `inntf.serving.export`.
        trusted: whether the log-density is finite, and the error of the inverse and what it can make of rounding are below
            `error_limit` of the card.

    Source: inntf.

    Example:
        >>> Score(tf.constant([-1.0]), tf.constant([1e-7]), tf.constant([2.0]), tf.constant([True])).trusted.numpy().tolist()
        [True]
    """

    log_prob: tf.Tensor
    reconstruction_error: tf.Tensor
    inverse_lipschitz: tf.Tensor
    trusted: tf.Tensor


class ServedModel:
    """An exported model, with the methods of the model; made by `load`.

    Its methods take tensors, arrays or lists with one batch dimension, `(batch, dim)` or `(batch, height, width, channels)`,
    cast them to the model's dtype, and return tensors.

    Args:
        path: folder of a version.
        trusted: load it whatever its graph may do; see `load`.

    Attributes:
        path: folder of the version.
        version: the version, an integer; 0 where the folder is not named by one.
        card: the model card, a dictionary.
        signatures: the signatures by name, TensorFlow functions of named tensors.

    Raises:
        ValueError: by the methods, for wrong shapes, a missing or needless condition, a density that a block alone lacks, a
            number of samples beyond int32, and as `load`; TypeError: for what is no real number, and a number of
            samples that is no integer;
        tf.errors.InvalidArgumentError: by the model itself, for NaN or infinity, a negative number of samples, a temperature
            that is negative or not finite.

    Source: inntf.

    Example:
        >>> import tempfile
        >>> from inntf.blocks import AdditiveCoupling
        >>> from inntf.serving import export
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     served = ServedModel(export(AdditiveCoupling().ensure_built((2,)), folder))
        >>> served.forward([[1.0, 2.0]]).numpy().tolist()
        [[1.0, 2.0]]
    """

    def __init__(self, path: pathlib.Path, *, trusted: bool = False):
        fault = None if trusted else fault_of_graph(path / "saved_model.pb")
        if fault is not None:
            remedy = "Nothing of it was run. Load it with trusted=True if you trust its maker."
            raise ValueError(explain(f"{path}", received=fault, expected="a model that only calculates", remedy=remedy))
        self.path = path
        self.version = version_of(path)
        self.card = read_card(path)
        self._loaded = tf.saved_model.load(str(path))  # keeps the variables alive
        self.signatures = dict(self._loaded.signatures)
        self._inputs = {name: function.structured_input_signature[1] for name, function in self.signatures.items()}

    def __repr__(self) -> str:
        return f"<ServedModel {self.path}: {', '.join(sorted(self.signatures))}>"

    def forward(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Data to latent: `z`."""
        return self.forward_and_log_det(x, condition)[0]

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Data to latent: `z` and `log|det dz/dx|`, `(batch,)`."""
        found = self._call("forward", x=x, condition=condition)
        return found["z"], found["log_det"]

    def inverse(self, z: Any, condition: Any = None) -> tf.Tensor:
        """Latent to data: `x`."""
        return self.inverse_and_log_det(z, condition)[0]

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Latent to data: `x` and `log|det dx/dz|`, `(batch,)`."""
        found = self._call("inverse", z=z, condition=condition)
        return found["x"], found["log_det"]

    def log_prob(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Log-density in nats, `(batch,)`."""
        return self._call("log_prob", x=x, condition=condition)["log_prob"]

    def bits_per_dim(self, x: Any, condition: Any = None) -> tf.Tensor:
        """`-log_prob / (D ln 2)`, `(batch,)`."""
        return self._call("log_prob", x=x, condition=condition)["bits_per_dim"]

    def sample(self, n: int, condition: Any = None, seed: Any = None, temperature: float = 1.0) -> tf.Tensor:
        """Samples, `(n, ...)`, with conditions `(n, batch, ...)`; the same seed (an integer or two) gives the same samples."""
        if seed is None:
            seed = tf.random.uniform([2], 0, np.iinfo(np.int32).max, tf.int32)
        elif isinstance(seed, int | np.integer) and not isinstance(seed, bool):
            seed = int(seed)
            seed = [seed & 0x7FFFFFFF, seed >> 31 & 0x7FFFFFFF]  # as Flow.sample does
        return self._call("sample", n=n, seed=seed, temperature=temperature, condition=condition)["x"]

    def reconstruct(self, x: Any, condition: Any = None) -> tf.Tensor:
        """`inverse(forward(x))`, both really computed; of an autoencoder `decode(encode(x))`."""
        return self._call("reconstruct", x=x, condition=condition)["x"]

    def reconstruction_error(self, x: Any, condition: Any = None) -> tf.Tensor:
        """`|x - reconstruct(x)|_2`, `(batch,)`."""
        return self._call("reconstruct", x=x, condition=condition)["reconstruction_error"]

    def score(self, x: Any, condition: Any = None) -> Score:
        """Log-densities, and whether to believe them; see `Score`."""
        return Score(**self._call("score", x=x, condition=condition))

    def encode(self, x: Any) -> tf.Tensor:
        """The code of data, `(batch, bottleneck)`, of an autoencoder."""
        return self._call("encode", x=x, condition=None)["y"]

    def decode(self, y: Any) -> tf.Tensor:
        """The data of codes `(batch, bottleneck)`, of an autoencoder."""
        return self._call("decode", y=y, condition=None)["x"]

    def _call(self, name: str, **values: Any) -> dict[str, tf.Tensor]:
        if name not in self.signatures:
            raise ValueError(
                explain(
                    f"{self.path}",
                    received=f"a call of {name}",
                    expected=", ".join(sorted(self.signatures)),
                    remedy="A block alone has no density. An older export may lack what a new one has.",
                )
            )
        specs = self._inputs[name]
        if values["condition"] is None:
            del values["condition"]
        if "condition" in values and "condition" not in specs:
            raise ValueError(explain(name, received="a condition", expected="none", remedy="This model was made without one."))
        if "condition" in specs and "condition" not in values:
            raise ValueError(
                explain(name, received="no condition", expected=_shape(specs["condition"]), remedy="Pass condition=...")
            )
        return self.signatures[name](**{key: _tensor(f"{name}: {key}", value, specs[key]) for key, value in values.items()})


def load(directory: str | os.PathLike[str], version: int | None = None, *, trusted: bool = False) -> ServedModel:
    """Load what `export` wrote; the classes of the model are not needed.

    A SavedModel is a program, and TensorFlow runs it without a sandbox: when it is loaded and called it can do whatever an
    operation of TensorFlow can, read and write the files that the process can, and send them elsewhere.  So its graph is read
    first, and refused if it holds anything but calculations, variables and control flow.  That bounds what it does, not how
    long it takes and how much memory, nor whether its numbers are right: run a stranger's model in a container of its own.

    Args:
        directory: folder of the model (the newest version is loaded) or of one version.
        version: which version, where `directory` is the model's folder.
        trusted: load it whatever its graph may do.

    Returns:
        A `ServedModel` with `forward`, `inverse`, `forward_and_log_det`, `inverse_and_log_det`, `log_prob`, `bits_per_dim`,
        `score`, `sample`, `reconstruct`, `reconstruction_error`, and the card in `.card`.

    Raises:
        FileNotFoundError: if there is no such folder, version, or SavedModel; ValueError: for a graph that does more than
            calculate, with the operation.

    Source: inntf.

    Example:
        >>> import tempfile
        >>> from inntf.models import real_nvp
        >>> from inntf.serving import export
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = export(real_nvp(event_shape=2, depth=1), folder)
        ...     model = load(folder)
        >>> model.sample(3, seed=1).shape
        TensorShape([3, 2])
    """
    folder = pathlib.Path(directory).expanduser()
    if not folder.is_dir():
        raise _missing(f"{folder}, which is no folder", "the folder of an exported model", "Check the path.")
    if version is None and _holds_model(folder):
        return ServedModel(folder, trusted=trusted)
    places = {**set_aside(folder), **{v: _version_folder(folder, v) for v in versions(folder)}}
    found = sorted(v for v, place in places.items() if _holds_model(place))
    if not found:
        raise _missing(
            f"{folder}, which holds no version", "folders 1, 2, ... with a saved_model.pb", "Export a model there first."
        )
    if version is not None and version not in found:
        raise _missing(f"version={version}", f"one of {', '.join(map(str, found))} in {folder}", "Leave it out for the newest.")
    return ServedModel(places[found[-1] if version is None else version], trusted=trusted)


def _version_folder(folder: pathlib.Path, version: int) -> pathlib.Path:
    # "007" is version 7 for TF Serving.
    return next(p for p in sorted(folder.iterdir()) if p.name.isdigit() and int(p.name) == version)


def _holds_model(folder: pathlib.Path) -> bool:
    return (folder / "saved_model.pb").is_file()


def _missing(received: str, expected: str, remedy: str) -> FileNotFoundError:
    return FileNotFoundError(explain("load", received=received, expected=expected, remedy=remedy))


def _tensor(what: str, value: Any, spec: tf.TensorSpec) -> tf.Tensor:
    tensor = _integers(what, value, spec) if spec.dtype.is_integer else _reals(what, value, spec)
    if not spec.shape.is_compatible_with(tensor.shape):
        raise ValueError(explain(what, received=f"shape {tuple(tensor.shape)}", expected=_shape(spec), remedy="Reshape it."))
    return tensor


def _reals(what: str, value: Any, spec: tf.TensorSpec) -> tf.Tensor:
    try:
        tensor = tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise _not_numbers(what, type(value).__name__, spec) from error
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer or (tensor.dtype.is_bool and spec.shape.rank)):
        raise _not_numbers(what, tensor.dtype.name, spec)
    return tf.cast(tensor, spec.dtype)


def _integers(what: str, value: Any, spec: tf.TensorSpec) -> tf.Tensor:
    """Whole numbers that the dtype holds; a fraction is not cut off, a larger one does not wrap round."""
    if tf.is_tensor(value) and not hasattr(value, "numpy"):  # in a graph its value is not known
        if value.dtype != spec.dtype:
            raise _not_numbers(what, f"a {value.dtype.name} tensor", spec)
        return tf.convert_to_tensor(value)
    array = np.asarray(value)
    if array.dtype.kind not in "iu" and array.size:
        raise _not_numbers(what, repr(value), spec)
    limits = np.iinfo(spec.dtype.as_numpy_dtype)
    if array.size and not limits.min <= array.min() <= array.max() <= limits.max:
        raise ValueError(
            explain(
                what,
                received=repr(value),
                expected=f"integers from {limits.min} to {limits.max}",
                remedy="Call it several times for more.",
            )
        )
    return tf.constant(array.astype(spec.dtype.as_numpy_dtype))


def _not_numbers(what: str, received: str, spec: tf.TensorSpec) -> TypeError:
    kind = "integers" if spec.dtype.is_integer else "real numbers"
    return TypeError(explain(what, received=received, expected=f"{kind}, {_shape(spec)}", remedy="Convert it first."))


def _shape(spec: tf.TensorSpec) -> str:
    if spec.shape.rank is None:
        return "one or two"
    names = ("batch" if i == 0 and size is None else str(size) for i, size in enumerate(spec.shape.as_list()))
    return f"shape ({', '.join(names)})"
