"""Models for other runtimes: ONNX and LiteRT files of both directions and the density, compared with the model."""

from __future__ import annotations

import functools
import math
import os
import pathlib
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from inntf.compose.backprop import backprop_mode
from inntf.core.errors import explain
from inntf.core.straight_line import straight_line
from inntf.models.flow import Flow
from inntf.models.prior_refit import is_standard_normal
from inntf.serving import litert, onnx
from inntf.serving.autoencoder_signatures import autoencoder_functions
from inntf.serving.maps import Maps, given
from inntf.serving.served import Served
from inntf.serving.signatures import classify_function, concrete
from inntf.serving.static_graph import static_graph

ROWS, TOLERANCE = (1, 5), 1e-5
_LOOPS = ("While", "StatelessWhile")
TARGETS: dict[str, Any] = {"onnx": onnx, "litert": litert}


class NotPortableError(ValueError):
    """A function that the other runtime cannot compute, or computes differently.

    Source: inntf.

    Example:
        >>> raise NotPortableError("forward: Atan")
        Traceback (most recent call last):
        ...
        inntf.serving.portable.NotPortableError: forward: Atan
    """


def export_portable(
    model: Any, directory: str | os.PathLike[str], *, target: str = "onnx", functions: Sequence[str] | None = None
) -> dict[str, pathlib.Path]:
    """Write `FUNCTION.onnx` or `FUNCTION.tflite` for `forward`, `inverse` and, of a flow, `log_prob`.

    Of a classifier there is `classify`, too, of an autoencoder `encode` and `decode`.

    Inputs and outputs have the names and the order of the signatures of `export` (`x` to `z` and `log_det`, and so on), the
    batch size free.  In LiteRT they also are those of a signature with the function's name, for `get_signature_runner`.

    Loops of a known length (a `Repeat`, the sequential direction of autoregressive blocks) are written out.  Every file is
    run in the other runtime, on batches of one and of five, and compared with the model; nothing is written if one of them
    cannot be converted or is off by more than 1e-5 of the largest number of an output (where above 1).  What iterates until
    it is accurate (residual and continuous blocks) is refused with the operation that cannot be converted.

    Args:
        model: as for `export`, without a condition.
        directory: folder for the files; made if need be, files of the same name are replaced.
        target: `"onnx"` (needs tf2onnx and onnxruntime) or `"litert"` (needs ai-edge-litert): `pip install inntf[portable]`.
        functions: which of them; all by default.  No other is traced.

    Returns:
        Paths by function.

    Raises:
        NotPortableError: naming function and operation, or the difference; ImportError: where a package is missing;
        ValueError: for an unknown target or function, or a model with a condition; TypeError: as `export`.

    Source: inntf.

    Example:
        >>> from inntf.models import real_nvp
        >>> export_portable(real_nvp(event_shape=2, depth=1), "folder", target="onxx")
        Traceback (most recent call last):
        ...
        ValueError: export_portable: received target='onxx', expected one of onnx, litert. Choose one.
    """
    if target not in TARGETS:
        raise _refused(f"target={target!r}", f"one of {', '.join(TARGETS)}")
    served = Served.of(model, loops=False)
    if served.condition_shape is not None:
        raise _refused("a model with a condition", "a model of x alone")
    known = _functions(served)
    chosen = tuple(known) if functions is None else tuple(functions)
    if unknown := [name for name in chosen if name not in known]:
        raise _refused(f"functions={unknown}", f"some of {', '.join(known)}")
    runtime = TARGETS[target]
    files = {name: _converted(runtime, name, known[name], known["inverse"]) for name in chosen}
    folder = pathlib.Path(directory).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return {name: _write(folder / f"{name}{runtime.SUFFIX}", content) for name, content in files.items()}


class _WhenAsked:
    """A concrete function that is traced when it is first asked for; `reference` is what a file of it is compared with."""

    def __init__(self, trace: Callable[[], Any]):
        self._trace, self._traced = trace, None
        self.reference: Callable[..., Any] = self

    def traced(self) -> Any:
        """The concrete function."""
        if self._traced is None:
            with tf.init_scope(), backprop_mode("stored"), straight_line():  # one that calls it may be in the making
                self._traced = self._trace()
        return self._traced

    def __call__(self, *values: Any) -> Any:
        """What it gives."""
        return self.traced()(*values)


def _functions(served: Served) -> dict[str, _WhenAsked]:
    def make(name: str, function: Callable[..., Any], *specs: tf.TensorSpec) -> _WhenAsked:
        return _WhenAsked(functools.partial(concrete, served, name, function, *specs, guarded=False))

    maps = Maps.of(served, make)
    found = {"forward": maps.forward, "inverse": maps.inverse}
    if served.flow is not None:
        x_spec = tf.TensorSpec([None, *served.x_shape], served.dtype, "x")
        found["log_prob"] = make("log_prob", _log_prob(served.flow, maps), x_spec)
        found["log_prob"].reference = functools.partial(_own_log_prob, served.flow)
    if served.classifier is not None:
        found["classify"] = classify_function(served, served.classifier, make)
    if served.autoencoder is not None:
        more = autoencoder_functions(served.autoencoder, make, found)
        found |= {name: more[name] for name in ("encode", "decode")}
    return found


def _log_prob(flow: Flow, maps: Maps) -> Callable[..., dict[str, tf.Tensor]]:
    base, normal = flow.base, is_standard_normal(flow.base)

    def log_prob(x: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        found = maps.forward(x, *given(condition))
        z = found["z"]
        if normal:  # in plain operations: not all of TFP's can be converted
            axes = list(range(1, z.shape.rank))
            prior = -0.5 * tf.reduce_sum(z * z, axes) - 0.5 * flow.dim * math.log(2 * math.pi)
        else:
            prior = base.log_prob(z)
        return _density(flow, prior + tf.cast(found["log_det"], prior.dtype))

    return log_prob


def _own_log_prob(flow: Flow, x: tf.Tensor) -> dict[str, tf.Tensor]:
    return _density(flow, flow.log_prob(x))


def _density(flow: Flow, log_prob: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"log_prob": log_prob, "bits_per_dim": -log_prob / tf.cast(flow.dim * math.log(2.0), log_prob.dtype)}


def _converted(runtime: Any, name: str, asked: _WhenAsked, inverse: _WhenAsked) -> bytes:
    function = asked.traced()
    outputs = list(function.structured_outputs)
    try:
        frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    except ValueError as error:  # it makes a constant of a variable that is assigned, too
        if "AssignVariableOp" not in str(error):
            raise
        raise _lacks(runtime, name, "AssignVariableOp, fresh noise at each call") from error
    if loop := next((op.type for op in frozen.graph.get_operations() if op.type in _LOOPS), None):
        raise _lacks(runtime, name, f"{loop}, a loop that goes on until a number is accurate")
    try:
        flat = dict(zip(sorted(outputs), frozen.outputs, strict=True))  # TensorFlow's order
        plain = static_graph(frozen, [flat[key] for key in outputs])
        content = runtime.convert(plain, name, [_spec(function).name], outputs)
        run = runtime.runner(content)
    except runtime.FAULTS as error:
        raise _lacks(runtime, name, runtime.operation(str(error))) from error
    for rows in ROWS:
        x, wanted = _compared_at(asked, inverse, rows)
        found = run(x)
        for key in outputs:
            off = _difference(wanted[key].numpy(), found[key])
            if not off <= TOLERANCE:
                raise NotPortableError(
                    explain(
                        f"{runtime.TITLE}, {name}",
                        received=f"{key} off by {off:.2g} of its largest number, for a batch of {rows}",
                        expected=f"at most {TOLERANCE:g}",
                        remedy="Serve the SavedModel of inntf.serving.export. Nothing was written.",
                    )
                )
    return content


def _compared_at(asked: _WhenAsked, inverse: _WhenAsked, rows: int) -> tuple[np.ndarray, dict[str, tf.Tensor]]:
    """Inputs, and what the model makes of them: normal numbers, or what the inverse makes of such where data have bounds."""
    x = _normal(asked.traced(), rows)
    try:
        return x, asked.reference(tf.constant(x))
    except (tf.errors.InvalidArgumentError, ValueError):  # of graphs, and of eager blocks
        x = inverse(tf.constant(_normal(inverse.traced(), rows)))["x"].numpy()
        return x, asked.reference(tf.constant(x))


def _spec(function: Any) -> tf.TensorSpec:
    return tf.nest.flatten(function.structured_input_signature)[0]


def _normal(function: Any, rows: int) -> np.ndarray:
    of = _spec(function)
    return np.random.default_rng(rows).normal(size=(rows, *of.shape[1:])).astype(of.dtype.as_numpy_dtype)


def _lacks(runtime: Any, name: str, received: str) -> NotPortableError:
    remedy = "Serve the SavedModel of inntf.serving.export. Nothing was written."
    who = f"{runtime.TITLE}, {name}"
    return NotPortableError(explain(who, received=received, expected="operations that it has", remedy=remedy))


def _difference(wanted: np.ndarray, found: np.ndarray) -> float:
    if wanted.shape != found.shape:
        return math.inf
    gap = np.abs(wanted.astype(np.float64) - found.astype(np.float64))
    return float(np.max(gap, initial=0.0) / max(1.0, float(np.max(np.abs(wanted), initial=0.0))))


def _write(path: pathlib.Path, content: bytes) -> pathlib.Path:
    beside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _refused(received: str, expected: str) -> ValueError:
    return ValueError(explain("export_portable", received=received, expected=expected, remedy="Choose one."))
