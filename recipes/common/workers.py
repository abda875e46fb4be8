"""Several workers in one run: the first one's folder is the run, the others work on copies of it that nobody keeps.

All workers do the same, so that each takes part in every sum over them: measuring, checkpoints and exports too.  Only what the
first one writes stays.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import json
import os
import pathlib
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.common import files, termination
from recipes.common.cli import RecipeConfig
from recipes.common.errors import UserError
from recipes.common.run_folder import PLACES, RunFolder
from recipes.common.strategy import worker_number

_AT_ONCE = 2**24  # bytes in one sum
_NOT_SENT = {"logs", "exports"}


@contextlib.contextmanager
def opened(
    config: RecipeConfig, strategy: tf.distribute.Strategy, root: pathlib.Path, open_folder: Callable[[RecipeConfig], RunFolder]
) -> Iterator[tuple[RunFolder, pathlib.Path]]:
    """The folder that this process works in, open, and where its SavedModels go.

    Args:
        config: the settings.
        strategy: of the run.
        root: where the run's SavedModels go.
        open_folder: opens a folder by the settings.

    Raises:
        UserError: of the first worker's folder, on every worker; on another one if its settings are not the first one's.
    """
    number = worker_number(strategy)
    if number is None:
        with open_folder(config) as folder:
            yield folder, root
        return
    termination.listen_again()
    with _told_of_the_dead(number), termination.agreed_by(lambda mine: bool(_summed(strategy, np.array([mine], np.int32))[0])):
        if number == 0:
            with _first_one(config, strategy, open_folder) as folder:
                yield folder, root
            return
        with tempfile.TemporaryDirectory(prefix="inntf-worker-") as place:
            copy = pathlib.Path(place)
            started = _received(config, strategy, copy / "run")
            here = dataclasses.replace(config, out=copy / "run", export_dir=copy / "exports", resume=started)
            with open_folder(here) as folder:
                _count_as_exported(folder, copy / "exports")
                yield folder, copy / "exports"


@contextlib.contextmanager
def _told_of_the_dead(number: int) -> Iterator[None]:
    """Sums that cannot be finished any more are the user's error."""
    gone = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)
    try:
        yield
    except gone as error:
        raise UserError(
            f"worker {number}: another worker is gone, or cannot be reached any more ({type(error).__name__})",
            remedy="Its own output says why. Start all of them again with --resume: what was kept is whole.",
        ) from error


@contextlib.contextmanager
def quiet(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Within it only the first worker prints."""
    if not worker_number(strategy):
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


@contextlib.contextmanager
def _first_one(
    config: RecipeConfig, strategy: tf.distribute.Strategy, open_folder: Callable[[RecipeConfig], RunFolder]
) -> Iterator[RunFolder]:
    try:
        opened_here = open_folder(config)
    except BaseException as error:
        _sent(strategy, b"!" + str(error).encode())
        raise
    with opened_here as folder:
        _sent(strategy, b"=" + _settings(config))
        _sent(strategy, _archive(folder.path))
        yield folder


def _settings(config: RecipeConfig) -> bytes:
    kept = {key: value for key, value in files.plain(config).items() if key not in PLACES}
    return json.dumps(kept, sort_keys=True).encode()


def _archive(path: pathlib.Path) -> bytes:
    """The files of a run that others need to do what it will do."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for part in sorted(path.iterdir()):
            if part.name not in _NOT_SENT and not part.name.startswith("."):
                archive.add(part, part.name)
    return packed.getvalue()


def _received(config: RecipeConfig, strategy: tf.distribute.Strategy, place: pathlib.Path) -> bool:
    """Unpack what the first worker sent; whether it is a run that was begun."""
    said = _sent(strategy, None)
    if said[:1] != b"=":
        raise UserError(f"the first worker could not begin: {said[1:].decode(errors='replace')}")
    archive = _sent(strategy, None)
    theirs, ours = json.loads(said[1:]), json.loads(_settings(config))
    other = [key for key in sorted({*theirs, *ours}) if theirs.get(key) != ours.get(key)]
    if other:
        raise UserError(
            f"--{other[0].replace('_', '-')}: received {ours.get(other[0])!r}, {theirs.get(other[0])!r} on the first worker",
            remedy="Give every worker the same settings.",
        )
    place.mkdir()
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(place, filter="data")
    return any(place.iterdir())


def _count_as_exported(folder: RunFolder, exports: pathlib.Path) -> None:
    """What the first worker has exported already, the others leave out as well."""
    done = {}
    for name, where in folder.strings("exported").items():
        version = exports / name / pathlib.Path(where).name
        version.mkdir(parents=True)
        done[name] = str(version.absolute())
    if done and not folder.finished:
        folder.note_progress(**{**folder.progress(), "exported": done})


def _sent(strategy: tf.distribute.Strategy, message: bytes | None) -> bytes:
    """The first worker's message, on every worker; `None` where it is to be received."""
    size = int(_summed(strategy, np.array([0 if message is None else len(message)], np.int32))[0])
    mine = np.zeros(size, np.uint8) if message is None else np.frombuffer(message, np.uint8)
    parts = [_summed(strategy, mine[i : i + _AT_ONCE].astype(np.int32)) for i in range(0, size, _AT_ONCE)]
    return np.concatenate([np.zeros(0, np.int32), *parts]).astype(np.uint8).tobytes()


def _summed(strategy: tf.distribute.Strategy, numbers: np.ndarray) -> Any:
    """Sums over workers, entry by entry."""
    found = _sum_over_workers(strategy)(tf.constant(numbers))
    return strategy.experimental_local_results(found)[0].numpy()


@functools.cache
def _sum_over_workers(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], Any]:
    """Traced once for each length: it is called at every step."""

    def of_replica(mine: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        first = tf.equal(context.replica_id_in_sync_group % len(strategy.extended.worker_devices), 0)  # of each worker
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first, mine, tf.zeros_like(mine)))

    return tf.function(lambda numbers: strategy.run(of_replica, args=(numbers,)), autograph=False)
