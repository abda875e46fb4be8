"""An export tried out before anyone sees it: loaded in a process without inntf, every signature run, there and back."""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import IO, Any

import ml_dtypes
import numpy as np
import tensorflow as tf

from inntf.core.errors import explain
from inntf.core.random_states import same_draws
from inntf.core.shapes import closed
from inntf.serving import rehearsal_stage
from inntf.serving.served import Served
from inntf.serving.warm_up import write_warm_up

ROWS, TOLERANCE, _SAME = 8, 1e-2, 1e-3
_COARSER = {"score/inverse_lipschitz": 0.1, "score/trusted": math.inf}  # of differences, and on either side of a limit


class ExportRefusedError(ValueError):
    """A model whose export does not do what the model does, or whose inverse is lost.

    Args:
        message: what was found, in words.
        report: what was measured.

    Attributes:
        report: see above; as `rehearsal` in the card of a model that is exported.

    Source: inntf.

    Example:
        >>> ExportRefusedError("lost", {"faults": ["its inverse loses all"]}).report["faults"]
        ['its inverse loses all']
    """

    def __init__(self, message: str, report: Mapping[str, Any]):
        super().__init__(message)
        self.report = dict(report)


def rehearse(
    path: pathlib.Path, name: str, served: Served, signatures: Mapping[str, Any], x: Any, condition: Any
) -> dict[str, Any]:
    """Load a SavedModel in another process, run its signatures, compare with those in memory, and keep requests to warm it up.

    Args:
        path: of the SavedModel.
        name: that a server will know it by.
        served: the model it was made from.
        signatures: its concrete functions by name.
        x: data, or `None`: then samples of the model itself, or what its inverse makes of normal latents.
        condition: that belongs to `x`.

    Returns:
        `rows`, of data; `signatures`, run; `largest_difference` from the functions in memory, relative to the largest number of
        an output (where above 1); `round_trip_error`, the largest of `|x - inverse(forward(x))| / max(|x|, 1)`, and
        `nonfinite_rows`; `load_seconds`; `faults`, what speaks against the export, in words.
    """
    with same_draws(served.computed) as rewind:
        inputs = _inputs(served, signatures, x, condition)
        broken = {key: rows for key, value in inputs.items() if (rows := _broken_rows(value))}
        if broken:
            key, rows = min(broken.items())
            what = "the batch" if x is not None else "what the model makes of its own latents"
            return {"rows": 0, "faults": [f"{what} holds NaN or infinity in {rows} of {len(inputs[key])} samples"]}
        rewind()
        wanted = _wanted(signatures, inputs)
    data = next((value for key, value in inputs.items() if key.endswith("/x")), None)
    report = _tried(path, inputs, wanted, data)
    if "signatures" in report:  # it ran
        write_warm_up(path, name, {key: value[:1] if value.ndim > 1 else value for key, value in inputs.items()})
    return report


def try_elsewhere(path: pathlib.Path, signatures: Mapping[str, Any], inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Load any SavedModel in another process, and compare what its signatures give there with what they give here.

    Args:
        path: of the SavedModel.
        signatures: concrete functions by name, which draw nothing but by their inputs.
        inputs: of all signatures, by `SIGNATURE/INPUT`.

    Returns:
        As `rehearse`, without what belongs to data and back.
    """
    return _tried(path, inputs, _wanted(signatures, inputs), None)


def refuse(name: str, report: Mapping[str, Any]) -> None:
    """Raise if a report has faults.

    Raises:
        ExportRefusedError: naming them.
    """
    if report["faults"]:
        raise ExportRefusedError(
            explain(
                "export",
                received=f"{name}: {'; '.join(report['faults'])}",
                expected="a model that does elsewhere what it does here, with an inverse that is one",
                remedy="Look at inntf.stability.stability_report, or pass force=True to export it all the same. "
                "Nothing was written.",
            ),
            report,
        )


def _tried(
    path: pathlib.Path, inputs: Mapping[str, np.ndarray], wanted: dict[str, np.ndarray], data: np.ndarray | None
) -> dict[str, Any]:
    """Run the signatures in the other process and report; of one that ends or fails there is the fault alone."""
    with tempfile.TemporaryDirectory(prefix="inntf-rehearsal-") as folder:
        there = {"model": str(path.absolute()), "inputs": f"{folder}/inputs.npz", "outputs": f"{folder}/outputs.npz"}
        wide = {key: value.astype(np.float32) for key, value in inputs.items() if value.dtype == ml_dtypes.bfloat16}
        np.savez(there["inputs"], **{**inputs, **wide})
        answer = _stage.perform(there)
        if "error" in answer:
            return {"faults": [f"it does not run in another process ({answer['error']})"]}
        with np.load(there["outputs"]) as file:
            return _report(data, wanted, dict(file), answer)


def _report(
    data: np.ndarray | None, wanted: dict[str, np.ndarray], outputs: dict[str, np.ndarray], answer: dict[str, Any]
) -> dict[str, Any]:
    faults, differences = [], {}
    for key, here in wanted.items():
        differences[key] = _difference(here, outputs[key])
        if not differences[key] <= _COARSER.get(key, max(_SAME, 4 * _rounding(here.dtype))):
            faults.append(f"{key} differs in another process, by {differences[key]:.2g} of its largest number")
    found: dict[str, Any] = {
        "rows": 0 if data is None else len(data),
        "signatures": sorted({key.split("/")[0] for key in wanted}),
        "largest_difference": max((v for key, v in differences.items() if key not in _COARSER), default=0.0),
        "load_seconds": answer["load_seconds"],
    }
    back = outputs.get("back")
    if data is not None and back is not None and len(data):
        errors = _round_trip(data, back)
        broken = int(np.sum(~np.isfinite(errors)))
        worst = float(np.max(errors[np.isfinite(errors)], initial=0.0))
        found |= {"round_trip_error": worst, "nonfinite_rows": broken}
        if broken:
            faults.append(f"its inverse gives NaN or infinity at {broken} of {len(data)} samples")
        if worst > TOLERANCE:
            lost = int(np.sum(errors > TOLERANCE))
            faults.append(f"its inverse loses up to {worst:.2g} of the input, at {lost} of {len(data)} samples")
    return {**found, "faults": faults}


def _rounding(dtype: np.dtype) -> float:
    return 0.0 if dtype.kind in "biu" else float(ml_dtypes.finfo(dtype).eps)


def _round_trip(x: np.ndarray, back: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        flat, again = (value.reshape(len(x), -1).astype(np.float64) for value in (x, back))
        return np.linalg.norm(flat - again, axis=1) / np.maximum(np.linalg.norm(flat, axis=1), 1.0)


def _broken_rows(value: np.ndarray) -> int:
    return int(np.sum(~np.isfinite(value).reshape(len(value), -1).all(1))) if value.ndim > 1 else 0


def _difference(here: np.ndarray, there: np.ndarray) -> float:
    if here.shape != there.shape:
        return math.inf
    a, b = here.astype(np.float64), there.astype(np.float64)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return math.inf
    finite = np.isfinite(a)
    size = max(1.0, float(np.max(np.abs(a[finite]), initial=0.0)))
    return float(np.max(np.abs(a[finite] - b[finite]), initial=0.0)) / size


def _wanted(signatures: Mapping[str, Any], inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the functions in memory give, in the order of the other process: random ones draw on."""
    found = {}
    for name in sorted(signatures):
        if name != "serving_default":
            for output, value in signatures[name](**_given(inputs, name)).items():
                found[f"{name}/{output}"] = value.numpy()
    return found


def _given(inputs: Mapping[str, np.ndarray], name: str) -> dict[str, tf.Tensor]:
    return {key.split("/")[1]: tf.constant(value) for key, value in inputs.items() if key.split("/")[0] == name}


def _inputs(served: Served, signatures: Mapping[str, Any], x: Any, condition: Any) -> dict[str, np.ndarray]:
    """Inputs of every signature, as `SIGNATURE/INPUT`."""
    rng, dtype = np.random.default_rng(0), tf.as_dtype(served.dtype).as_numpy_dtype
    values: dict[str, np.ndarray] = {"n": np.int32(2), "seed": np.array([1, 2], np.int32), "temperature": np.float32(1)}
    if condition is not None:
        values["condition"] = np.asarray(condition)[:ROWS].astype(dtype)
    elif served.condition_shape is not None:
        rows = ROWS if x is None else len(np.asarray(x)[:ROWS])
        values["condition"] = rng.normal(size=(rows, *closed(served.condition_shape))).astype(dtype)
    given = {} if "condition" not in values else {"condition": tf.constant(values["condition"])}
    if x is not None:
        values["x"] = np.asarray(x)[:ROWS].astype(dtype)
    elif "sample" in signatures:
        count = 1 if given else ROWS
        drawn = {key: tf.constant(values[key]) for key in ("seed", "temperature")}
        samples = signatures["sample"](n=tf.constant(count), **drawn, **given)["x"].numpy()
        values["x"] = samples[0] if given else samples
    else:
        z = rng.normal(size=(ROWS, *served.z_shape)).astype(dtype)
        values["x"] = signatures["inverse"](z=tf.constant(z), **given)["x"].numpy()
    values["z"] = rng.normal(size=(len(values["x"]), *served.z_shape)).astype(dtype)
    if served.autoencoder is not None:
        values["y"] = rng.normal(size=(len(values["x"]), served.autoencoder.bottleneck)).astype(dtype)
    return {
        f"{name}/{spec.name}": values[spec.name]
        for name, function in signatures.items()
        for spec in tf.nest.flatten(function.structured_input_signature)
        if name != "serving_default" and isinstance(spec, tf.TensorSpec)
    }


class _Stage:
    """The other process: started by the first export, it serves those that follow too, and ends with this one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        self._turn = threading.Lock()

    def perform(self, request: Mapping[str, str]) -> dict[str, Any]:
        """Its answer to a request; exports in other threads wait for their turn."""
        with self._turn:
            return self._answer(request)

    def _answer(self, request: Mapping[str, str]) -> dict[str, Any]:
        process = self._started()
        try:
            requests, answers = _pipes(process)
            requests.write(json.dumps(request) + "\n")
            requests.flush()
            line = answers.readline()
        except OSError:
            line = ""
        if line:
            return json.loads(line)
        self.end()
        return {"error": f"the process ended with code {process.wait()}"}

    def end(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            requests, answers = _pipes(process)
            with contextlib.suppress(OSError):
                requests.close()
            process.wait()
            answers.close()

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            alone = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
            quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
            self._process = subprocess.Popen(
                [sys.executable, "-P", rehearsal_stage.__file__],  # -P: the folder of the script shadows no module
                env={**alone, **quiet},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self._owner = os.getpid()
            atexit.register(self.end)
        return self._process


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process was started without pipes")
    return process.stdin, process.stdout


_stage = _Stage()
