"""From a model to a folder that TensorFlow Serving loads."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import uuid
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from inntf.core.errors import explain
from inntf.serving.batch_arguments import batch_and_condition
from inntf.serving.card import make_card, measured_stability, write_card
from inntf.serving.compact_graph import compact
from inntf.serving.folder_moves import move, sweep
from inntf.serving.rehearsal import refuse, rehearse
from inntf.serving.served import Served
from inntf.serving.signatures import trace


def export(
    model: Any,
    directory: str | os.PathLike[str],
    *,
    name: str | None = None,
    version: int | None = None,
    card: Mapping[str, Any] | None = None,
    batch: Any = None,
    condition: Any = None,
    overwrite: bool = False,
    gradients: bool = False,
    force: bool = False,
) -> pathlib.Path:
    """Write a SavedModel that TensorFlow Serving loads, into `directory/VERSION/` (with `name`: `directory/name/VERSION/`).

    Signatures, the batch size free, the event shapes fixed, all outputs named (`condition` only where the model has one):

        forward      x [, condition]                           -> z, log_det
        inverse      z [, condition]                           -> x, log_det
        reconstruct  x [, condition]                           -> x, reconstruction_error
        log_prob     x [, condition]                           -> log_prob, bits_per_dim
        sample       n, seed, temperature [, condition]        -> x
        score        x [, condition]                           -> log_prob, reconstruction_error, inverse_lipschitz, trusted

    Of an `InnAutoencoder` these are `encode` (`x -> y`), `decode` (`y -> x`), `reconstruct` (through the bottleneck it has
    now, `serving_default`) and `sample` (codes from N(0, I)), beside `forward` and `inverse` of its block.

    `n` is an int32 scalar, `seed` one or two int32 (the same seed gives the same samples; one alone gives those of
    `flow.sample(n, seed=seed)`), `temperature` a float32 scalar, 1 for the model itself.  With conditions there are `n`
    samples for each, `(n, batch, ...)`; elsewhere there is one condition for each value, or one for all.
    `serving_default` is `log_prob`; a block without a density has the first three signatures, `forward` by default.
    Values have the model's dtype, float32 unless made otherwise.  A flow that begins with `Dequantize` takes integer levels
    as floats and adds fresh noise at each call, so its `forward` and `log_prob` are random; after each load the noise begins
    where the model's stood at the export.

    The graphs themselves compare what they are given with these shapes, wherever they are loaded: another event or condition
    shape, NaN or infinity, an `n` that is negative or asks for more than a gigabyte, a temperature that is negative or not
    finite raise `InvalidArgumentError` (status INVALID_ARGUMENT), with what was received and expected.

    `score` says whether to believe a likelihood: `reconstruction_error` is `|x - inverse(forward(x))|`, `inverse_lipschitz`
    bounds the norm of the inverse's Jacobian there (from differences; above 8 dimensions with a probability of 99 %), and
    `trusted` is whether the error, and what the bound makes of rounding, are below `error_limit` of the card: 1 % of the median
    distance of `batch` from its mean, or of the model's own samples where there is no `batch`.

    The folder needs neither inntf nor TFP nor a class of yours to load.  It is written beside its place and moved there
    in one step: a reader never sees half of it, and a failure leaves nothing (a process that is killed leaves a hidden folder,
    which an export removes a day later).  `overwrite` takes two steps, the old version away and the new one there; of a process
    that is killed between them a hidden folder with the old version is left, which `load` reads and the next export puts back.

    Beside `saved_model.pb` lies `card.json`, which TF Serving ignores: shapes, dtypes, signatures, versions, number of
    parameters, how many steps the optimizer has made, certified bounds, `card`, and stability measured on `batch`; of a
    `TableModel` also its columns, so that `TableColumns(card["columns"]).decode` makes a table of what `sample` gives.

    Args:
        model: a `Flow`, a built `Block`, or whatever holds one: `DensityModel`, `FlowGan`, `IResNetClassifier`,
            `InnAutoencoder`, a Keras model of your own (see `inntf.stability.find_block`).  Of a classifier `classify`
            (`x -> logits`) is served too, as `serving_default`.
        directory: folder of the model, such as `saved_models/flowgan`; made if need be.
        name: name of the model; its folder is then `directory/name`.
        version: positive integer; by default one more than the largest there.
        card: figures of the training for the card, plain data.
        batch: data on which to measure reconstruction error and singular values for the card; an array, of a `TableModel`
            also a table.
        condition: conditions that belong to `batch`, or one for all.
        overwrite: replace an existing version in place of refusing; where it is a link, the link is replaced.
        gradients: save the gradients of blocks whose gradient is not that of their operations (residual and continuous blocks,
            not those within `Repeat`), so that a loaded model can be differentiated through them; without, a `LookupError`
            says that it cannot.  The graph is several times as large.
        force: export a model all the same that the rehearsal below speaks against; the card says so.

    **Rehearsal.**  Before it takes its place the SavedModel is loaded in another process, which has TensorFlow and nothing of
    inntf, and every signature runs there: on `batch` (its first 8 samples), else on samples of the model, or what its inverse
    makes of normal latents.  An export whose numbers differ from the model's, or whose inverse does not give back the
    data within 1 % of their length, is refused.  What was found is `rehearsal` in the card.  The process stays for
    the next export; the first one costs the seconds of TensorFlow's start.  The first row of these inputs becomes a request a
    signature in `assets.extra/`, by which TensorFlow Serving warms the version up.

    Returns:
        Path of the version's folder.

    Raises:
        TypeError: for an object that cannot be exported, or a batch that is no array; ValueError: for one that is not built,
        a bad name or version; FileExistsError: if the version is there already; OSError: if the folder cannot be written;
        ExportRefusedError: after a rehearsal that went wrong, with its `report`; nothing is left of it.

    Source: inntf; the layout is that of TensorFlow Serving's file system source.

    Example:
        >>> import tempfile
        >>> from inntf.models import real_nvp
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = export(real_nvp(event_shape=2, depth=1), folder, name="tiny")
        ...     sorted(p.name for p in path.iterdir() if p.suffix)
        ['assets.extra', 'card.json', 'fingerprint.pb', 'saved_model.pb']
        >>> path.parts[-2:]
        ('tiny', '1')
    """
    served = Served.of(model, loops=not gradients)
    folder = _model_folder(directory, name)
    _check_version(version)
    if version is not None and not overwrite:
        _refuse_existing(folder / str(version))
    for flag, value in {"overwrite": overwrite, "gradients": gradients, "force": force}.items():
        if not isinstance(value, bool):
            raise TypeError(explain("export", received=f"{flag}={value!r}", expected="True or False", remedy="Say which."))
    batch, condition = batch_and_condition(model, served, batch, condition)
    stability = None if batch is None else measured_stability(served, batch, condition)
    root, signatures = trace(served, batch, condition)
    text = make_card(served, signatures, card, stability) | {"error_limit": getattr(root, "error_limit", None)}
    made = _make_folders(folder)
    sweep(folder)
    beside = folder / f".export-{uuid.uuid4().hex}"  # no integer: TF Serving does not look at it
    try:
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=gradients)
        tf.saved_model.save(root, str(beside), signatures=signatures, options=options)
        compact(beside)
        rehearsal = rehearse(beside, name or folder.name, served, signatures, batch, condition)
        if not force:
            refuse(name or folder.name, rehearsal)
        size = sum(file.stat().st_size for file in beside.rglob("*") if file.is_file())
        while True:
            number = version or newest_version(folder) + 1
            write_card(beside, {"name": folder.name, "version": number, **text, "rehearsal": rehearsal, "size_bytes": size})
            if move(beside, folder / str(number), overwrite):
                return folder / str(number)
            if version is not None:
                _refuse_existing(folder / str(number))
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        _remove_empty(made)
        raise


def newest_version(folder: pathlib.Path) -> int:
    """The largest integer that names something in a folder, 0 where there is none."""
    return max(versions(folder), default=0)


def versions(folder: pathlib.Path) -> list[int]:
    """The integers that name something in a folder, in order; a folder that is not there has none."""
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if re.fullmatch("[0-9]+", p.name))


def _model_folder(directory: str | os.PathLike[str], name: str | None) -> pathlib.Path:
    folder = pathlib.Path(directory).expanduser()
    if name is not None:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*", name) or name.isdigit():
            raise ValueError(
                explain(
                    "export", received=f"name={name!r}", expected="letters, digits, '_', '-', '.'", remedy="Choose such a name."
                )
            )
        folder = folder / name
    return folder.absolute() if folder.name in ("", "..") else folder


def _check_version(version: Any) -> None:
    if version is not None and (isinstance(version, bool) or not isinstance(version, int) or not 1 <= version < 2**63):
        raise ValueError(
            explain(
                "export",
                received=f"version={version!r}",
                expected="a positive integer",
                remedy="Leave it out for the next one.",
            )
        )


def _refuse_existing(path: pathlib.Path) -> None:
    if path.exists() or path.is_symlink():
        raise FileExistsError(
            explain(
                "export",
                received=f"version {path.name}, which {path.parent} holds already",
                expected="a version that is not there",
                remedy="Leave version out for the next free one. Nothing was changed.",
            )
        )


def _make_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """Make a folder and its parents; returns those made, innermost first."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".export-{uuid.uuid4().hex}"
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        _remove_empty(missing)
        raise type(error)(
            explain(
                "export",
                received=f"{folder}, where nothing can be written ({error.strerror})",
                expected="a folder of your own",
                remedy="Choose another directory. Nothing was changed.",
            )
        ) from error
    return missing


def _remove_empty(folders: list[pathlib.Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:  # someone else has put something there, or it was never made
            return
