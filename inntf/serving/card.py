"""The model card: what a served model takes and gives, how it was trained, how stable it was measured to be."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import math
import pathlib
import platform
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf._version import __version__
from inntf.compose import Chain
from inntf.core import Block
from inntf.core.errors import explain
from inntf.models import InnAutoencoder
from inntf.serving.served import Served
from inntf.stability import certify, stability_report
from inntf.stability.block_functions import BlockFunctions

CARD = "card.json"  # TF Serving reads saved_model.pb and variables/ of a version's folder and leaves other files alone
_PACKAGES = ("tensorflow", "tensorflow-probability", "keras", "numpy")


def make_card(
    served: Served,
    signatures: Mapping[str, Any],
    training: Mapping[str, Any] | None = None,
    stability: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The card as a dictionary of plain data, without name, version and size, which the export adds.

    Args:
        served: what is served.
        signatures: concrete functions by name.
        training: figures of the training, any plain data.
        stability: of `measured_stability`.

    Returns:
        Keys `model`, `kind`, `event_shape`, `latent_shape`, `condition_shape`, `dtype`, of an autoencoder `bottleneck`,
        `prior_weight` and `padding_weight`, of a model of tables `columns`, which `TableColumns` takes, `parameters` (numbers
        made to be learned, frozen ones too), `trainable_parameters` (those not frozen), `nonfinite_parameters`,
        `optimizer_steps` (`None` where the model has no optimizer, so that nothing is known), `stochastic_forward`,
        `default_signature`, `signatures`, `training`, `certificate` (Lipschitz bounds of both directions, with the reason
        where one is infinite), `stability`, `versions`, `created`.

    Raises:
        TypeError: if `training` holds what JSON cannot say.

    Source: inntf; after Mitchell et al., "Model Cards for Model Reporting" (2019).

    Example:
        >>> from inntf.models import real_nvp
        >>> make_card(Served.of(real_nvp(event_shape=2, depth=1)), {})["event_shape"]
        [2]
    """
    block = served.block
    bounds = certify(block).bounds
    return _plain(
        {
            "model": served.name,
            "kind": served.kind,
            "event_shape": served.x_shape,
            "latent_shape": served.z_shape,
            "condition_shape": served.condition_shape,
            **({} if served.autoencoder is None else _autoencoder(served.autoencoder)),
            **({} if served.columns is None else served.columns.get_config()),
            "dtype": served.dtype,
            **_weights(served),
            "stochastic_forward": any(part.tags.stochastic for part in _parts(block)),
            "default_signature": served.default,
            "signatures": {name: _described(function) for name, function in signatures.items() if name != "serving_default"},
            "training": training,
            "certificate": dataclasses.asdict(bounds),
            "stability": stability,
            "versions": {"python": platform.python_version(), "inntf": __version__, **_versions()},
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
        "card",
    )


def measured_stability(served: Served, x: Any, condition: Any = None, samples: int = 4) -> dict[str, Any]:
    """The stability report on a batch: verdict on both sides, reconstruction errors, extreme singular values, bounds.

    A block that begins with `Dequantize` is measured behind it, on the dequantized batch: rounding has no Jacobian.

    Args:
        served: what is served.
        x: `(batch, dim)` or `(batch, height, width, channels)`.
        condition: of the model, if it has one.
        samples: singular values are taken at that many samples.

    Returns:
        Keys of `stability_report` (`samples`, `verdict`, `reasons`, `reconstruction_error`, `singular_values`, ...), and
        `measured_behind`, names of the blocks left out.

    Raises:
        ValueError, TypeError: for data that the model refuses.

    Source: "On the Invertibility of Invertible Neural Networks", section 4.

    Example:
        >>> from inntf.models import real_nvp
        >>> measured = measured_stability(Served.of(real_nvp(event_shape=2, depth=1)), tf.zeros([4, 2]))
        >>> measured["singular_values"]["condition_number"]
        1.0
    """
    x = tf.cast(tf.convert_to_tensor(x), served.dtype)
    condition = None if condition is None else tf.cast(tf.convert_to_tensor(condition), served.dtype)
    subject = served.subject
    report = stability_report(subject, x, condition, passes=1, samples=samples)
    kept = {key: value for key, value in report.items() if key not in ("block", "dtype", "blocks", "error_by_pass")}
    measured = BlockFunctions.of(subject, x, condition).unrounded().block
    parts = _in_order(served.block)
    return kept | {"measured_behind": [part.name for part in parts[: len(parts) - len(_in_order(measured))]]}


def read_card(path: str | pathlib.Path) -> dict[str, Any]:
    """The card of an exported version, the contents of its `card.json`; `{}` where there is none.

    Args:
        path: folder of the version.

    Returns:
        The card.

    Raises:
        ValueError: if the file is no JSON.

    Source: inntf.

    Example:
        >>> read_card("no/such/folder")
        {}
    """
    file = pathlib.Path(path) / CARD
    if not file.exists():
        return {}
    try:
        return json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(
            explain("read_card", received=f"{file}, which is no JSON ({error})", expected="a card", remedy="Export again.")
        ) from error


def write_card(path: pathlib.Path, card: Mapping[str, Any]) -> None:
    """Write the card into the folder of a version."""
    text = json.dumps(_plain(card, "card"), indent=2, allow_nan=False)
    text = re.sub(r'\[\n\s+([^\[\]{}"]*)\n\s+\]', lambda found: "[" + " ".join(found[1].split()) + "]", text)  # a shape a line
    (path / CARD).write_text(text + "\n")


def _described(function: Any) -> dict[str, Any]:
    def specs(tensors: Any) -> dict[str, Any]:
        return {
            name: {"dtype": t.dtype.name, "shape": t.shape.as_list() if t.shape.rank is not None else None}
            for name, t in tensors
        }

    inputs = function.structured_input_signature
    named = [(spec.name, spec) for spec in tf.nest.flatten(inputs) if isinstance(spec, tf.TensorSpec)]
    return {"inputs": specs(named), "outputs": specs(function.structured_outputs.items())}


def _weights(served: Served) -> dict[str, Any]:
    holders = (served.block, served.flow and served.flow.condition_network, served.classifier)
    layers = [holder for holder in holders if isinstance(holder, keras.layers.Layer)]
    variables = {id(w.value): w.value for layer in layers for w in layer.weights}
    base = [] if served.flow is None else served.flow.base.variables
    made = [v for v in (*variables.values(), *base) if v.trainable]  # a frozen layer's tf.Variables still are
    free = {id(w.value) for layer in layers for w in layer.trainable_weights} | {id(v) for v in base}
    return {
        "parameters": sum(math.prod(v.shape) for v in made),
        "trainable_parameters": sum(math.prod(v.shape) for v in made if id(v) in free),
        "nonfinite_parameters": sum(int(np.sum(~np.isfinite(np.asarray(v, np.float64)))) for v in made),
        "optimizer_steps": served.steps,
    }


def _autoencoder(model: InnAutoencoder) -> dict[str, Any]:
    """The bottleneck of the export, and what codes were trained to be: without a weight of the prior samples say little."""
    return {"bottleneck": model.bottleneck, "prior_weight": model.prior_weight, "padding_weight": model.padding_weight}


def _in_order(block: Block) -> list[Block]:
    return [part for each in block.blocks for part in _in_order(each)] if isinstance(block, Chain) else [block]


def _parts(block: Block) -> list[Any]:
    return [part for part in block._flatten_layers() if isinstance(part, Block)]


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # tensorflow-cpu and the like
            found[package] = getattr(tf, "__version__", "") if package == "tensorflow" else ""
    return found


def _plain(value: Any, where: str) -> Any:
    """Plain data for strict JSON; numbers that are not finite become the strings "nan", "inf", "-inf"."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part, f"{where}[{key!r}]") for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part, where) for part in value]
    if isinstance(value, tf.Tensor | tf.Variable | np.ndarray | np.generic):
        return _plain(np.asarray(value).tolist(), where)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, pathlib.PurePath | datetime.date):
        return str(value)
    raise TypeError(
        explain(where, received=type(value).__name__, expected="numbers, text, lists, dictionaries", remedy="Convert it first.")
    )
