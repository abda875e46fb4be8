"""Loads SavedModels and runs their signatures, in a process that has TensorFlow and nothing of inntf.

Run as a script by `inntf.serving.rehearsal`: a line of JSON on stdin names a SavedModel, a file with inputs and a file for
outputs; a line of JSON on stdout says how it went.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def perform(request: dict[str, str]) -> dict[str, Any]:
    """Load `request["model"]`, run every signature on `request["inputs"]`, write `request["outputs"]`; seconds of both."""
    import numpy as np
    import tensorflow as tf

    start = time.monotonic()
    model = tf.saved_model.load(request["model"])
    loaded = time.monotonic()
    with np.load(request["inputs"]) as file:
        inputs = dict(file)

    def given(name: str) -> dict[str, Any]:
        specs = model.signatures[name].structured_input_signature[1]  # a file of numpy's knows no bfloat16
        of_it = {key.split("/")[1]: value for key, value in inputs.items() if key.split("/")[0] == name}
        return {key: tf.cast(value, specs[key].dtype) for key, value in of_it.items()}

    def kept(value: Any) -> Any:
        return (tf.cast(value, tf.float32) if value.dtype == tf.bfloat16 else value).numpy()

    outputs: dict[str, Any] = {}
    signatures = {name: model.signatures[name] for name in sorted(model.signatures) if name != "serving_default"}
    for name, function in signatures.items():
        for output, value in function(**given(name)).items():
            outputs[f"{name}/{output}"] = kept(value)
    if {"forward", "inverse"} <= set(signatures):
        z = signatures["forward"](**given("forward"))["z"].numpy()
        whole = np.isfinite(z).reshape(len(z), -1).all(1)  # a signature refuses the others
        z[~whole] = 0.0
        back = kept(signatures["inverse"](**{**given("inverse"), "z": tf.constant(z)})["x"])
        back[~whole] = np.nan
        outputs["back"] = back
    np.savez(request["outputs"], **outputs)
    return {"load_seconds": round(loaded - start, 2), "run_seconds": round(time.monotonic() - loaded, 2)}


def main() -> None:
    """Answer requests until stdin ends."""
    for line in sys.stdin:
        try:
            answer = perform(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
