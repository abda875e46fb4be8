"""The folder of one run: config.json, progress, checkpoints, logs, report.png, result.json; never another run's.

Every file is written beside its place and renamed, and the folder is locked while the run lives: a process may be killed at
any moment, and what is there is whole.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from recipes.common import files, provenance, run_lock
from recipes.common.cli import RecipeConfig, command
from recipes.common.errors import UserError, user_error_of
from recipes.common.places import expanded
from recipes.common.run_lock import RunLock

PLACES = ("out", "export_dir", "data_dir", "resume")  # where, not what: they may differ when a run goes on
_MAY_DIFFER = (*PLACES, "on_nonfinite")
_DAMAGED = "It is damaged: choose another folder with --out, or remove it if it is progress.json (checkpoints stay)."


class RunFolder:
    """The folder of one run; made by `RunFolder.open`.

    Used in a `with` statement, the folder is free again at its end, and a run that ends in a `UserError` before it wrote
    anything gives the folder back.

    Attributes:
        path: the folder.
        finished: whether result.json was there when the folder was opened (only with `resume`).
        resumed: whether the folder holds an earlier part of this run.
    """

    def __init__(
        self, path: pathlib.Path, recipe: str, config: RecipeConfig, lock: RunLock, *, resumed: bool, argv: Sequence[str]
    ):
        self.path = path
        self._lock = lock
        self.recipe = recipe
        self.config = config
        self.resumed = resumed
        self.finished = (path / "result.json").exists()
        self._argv = list(argv)
        self._start = time.monotonic()
        self._before = _seconds(self.progress().get("elapsed_seconds"))

    @classmethod
    def open(
        cls,
        config: RecipeConfig,
        recipe: str,
        *,
        argv: Sequence[str] | None = None,
        may_change: Sequence[str] = (),
        extends: Sequence[str] = (),
    ) -> RunFolder:
        """Make the folder of a new run, or go on with the run it holds if `config.resume`.

        Args:
            config: settings of the run; written to config.json.
            recipe: name of the recipe.
            argv: the command's arguments, recorded; by default those of the process.
            may_change: settings that may differ when a run goes on, such as the number of steps.
            extends: those of them by which a finished run is one no more; its result is kept as `result-before.json`.

        Returns:
            The folder.

        Raises:
            UserError: if the folder cannot be written, is used by a run that lives, holds anything without `--resume`, or
                holds another run (one with other settings) with it.
        """
        config.check()
        path = expanded(config.out or default_path(config, recipe), "--out")
        stored = files.plain({"recipe": recipe, **files.plain(config)})
        found = _prepare(path)
        if found and not config.resume:
            _refuse(path, finished=(path / "result.json").exists(), ours=(path / "config.json").exists())
        if found and not (path / "config.json").exists():
            raise UserError(
                f"--resume: {path} holds no run (no config.json)",
                remedy="Name the run's folder with --out; nothing was changed.",
            )
        lock = _locked(path)
        try:
            if found:
                _compare(path, stored, ignore={*_MAY_DIFFER, *may_change})
            elif (path / "config.json").exists():  # of two runs started at once, one is refused
                _refuse(path, finished=False, ours=True)
            lock.sign()
            files.sweep(path)
            if found and extends and (path / "result.json").exists():
                before = files.plain(_read_json(path / "result.json").get("config", {}))
                if any(before.get(field) != stored[field] for field in extends):
                    (path / "result.json").replace(path / "result-before.json")
            if not found:
                files.write_json(path / "config.json", stored)
            return cls(path, recipe, config, lock, resumed=found, argv=sys.argv[1:] if argv is None else argv)
        except BaseException:
            lock.release()
            _give_back(path)
            raise

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, Exception):
            if user_error_of(error) is None:
                with contextlib.suppress(AttributeError):
                    error.run_folder = self.path  # type: ignore[attr-defined]  # its traceback is kept there
            elif _names(self.path) == {"config.json"}:
                (self.path / "config.json").unlink()
                _give_back(self.path)
        self._lock.release()

    @property
    def checkpoints(self) -> pathlib.Path:
        """Folder for checkpoints."""
        return self.path / "checkpoints"

    @property
    def logs(self) -> pathlib.Path:
        """Folder for TensorBoard logs."""
        return self.path / "logs"

    @property
    def elapsed_seconds(self) -> float:
        """Seconds spent on this run, earlier parts included."""
        return self._before + time.monotonic() - self._start

    def progress(self) -> dict[str, Any]:
        """What `note_progress` noted last; empty at the start."""
        path = self.path / "progress.json"
        return _read_json(path) if path.exists() else {}

    def noted(self, what: str) -> dict[str, Any]:
        """The part of `progress` of that name, a dictionary; empty where nothing was noted.

        Raises:
            UserError: if progress.json holds something else there.
        """
        found = self.progress().get(what, {})
        if not isinstance(found, dict) or not all(isinstance(part, dict | list) for part in found.values()):
            raise UserError(f"cannot read {self.path / 'progress.json'} ({what}: no object)", remedy=_DAMAGED)
        return found

    def strings(self, what: str) -> dict[str, str]:
        """The part of `progress` of that name, names and strings; empty where there is no such part, or another there."""
        found = self.progress().get(what)
        return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}

    def note_progress(self, **what: Any) -> None:
        """Note how far the run is (beside a checkpoint, say `step=500`), and the time spent."""
        self.write_json("progress.json", {**what, "elapsed_seconds": self.elapsed_seconds})

    def write_json(self, name: str, data: Any) -> pathlib.Path:
        """Write plain data (arrays, paths, dataclasses too) to a file of the folder, atomically."""
        return files.write_json(self.path / name, data)

    def write_figure(self, name: str, figure: Any, dpi: int = 150) -> pathlib.Path:
        """Write a matplotlib figure to a file of the folder, atomically."""
        with files.atomic(self.path / name) as beside:
            figure.savefig(beside, dpi=dpi, facecolor="white")
        return self.path / name

    def result(self) -> dict[str, Any]:
        """The result of a finished run."""
        return _read_json(self.path / "result.json")

    def finish(self, metrics: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Write result.json: the numbers, and what is needed to get them again.

        Args:
            metrics: the numbers of the run.
            **more: further plain data, such as `exported="saved_models/flowgan/1"`.

        Returns:
            What was written: recipe, command, seed, metrics, config, git_commit, machine, duration_seconds, finished; numbers
            that are not finite are floats here and strings in the file.

        Raises:
            UserError: if there is a result already.
        """
        if (self.path / "result.json").exists():
            raise UserError(f"{self.path} holds a result already", remedy="Choose another folder with --out.")
        result = files.plain(
            {
                "recipe": self.recipe,
                "command": command(self.recipe, self._argv),
                "seed": self.config.seed,
                "metrics": metrics,
                **more,
                "config": self.config,
                "git_commit": provenance.git_commit(),
                "machine": provenance.machine(),
                "duration_seconds": round(self.elapsed_seconds, 1),
                "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
        )
        self.write_json("result.json", result)
        return files.restored(result)


def default_path(config: RecipeConfig, recipe: str) -> pathlib.Path:
    """Folder of a run for which none was named.

    >>> str(default_path(RecipeConfig(seed=3), "flowgan"))
    'runs/flowgan/small-mnist_5k-seed3'
    """
    return pathlib.Path("runs") / recipe / f"{config.preset}-{config.dataset}-seed{config.seed}"


def _prepare(path: pathlib.Path) -> bool:
    """Make the folder, prove that it can be written, and say whether anything is in it."""
    there = True
    try:
        there = path.exists()
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(bytes(4096))
        return bool(_names(path))
    except (OSError, ValueError) as error:
        if not there:
            _give_back(path)
        why = getattr(error, "strerror", None) or error
        raise UserError(f"cannot write to the folder {path} ({why})", remedy="Choose another folder with --out.") from error


def _names(path: pathlib.Path) -> set[str]:
    """What is in the folder, but for the lock and what a killed process left half-written."""
    return {p.name for p in path.iterdir() if p.name != run_lock.NAME and not p.name.startswith(files.PARTIAL)}


def _locked(path: pathlib.Path) -> RunLock:
    try:
        return RunLock(path)
    except OSError as error:
        raise UserError(
            f"cannot write to the folder {path} ({error.strerror or error})", remedy="Choose another folder with --out."
        ) from error


def _give_back(path: pathlib.Path) -> None:
    """Remove the folder if nothing is in it."""
    with contextlib.suppress(OSError, ValueError):
        if not _names(path):
            (path / run_lock.NAME).unlink(missing_ok=True)
            path.rmdir()


def _seconds(noted: Any) -> float:
    return float(noted) if isinstance(noted, int | float) and math.isfinite(noted) else 0.0


def _refuse(path: pathlib.Path, *, finished: bool, ours: bool) -> None:
    if finished:
        raise UserError(f"{path} holds a finished run", remedy="Choose another folder with --out; nothing was changed.")
    if ours:
        raise UserError(
            f"{path} holds an unfinished run",
            remedy="Go on with it by --resume, or choose another folder with --out; nothing was changed.",
        )
    raise UserError(f"{path} is not empty", remedy="Choose a new or empty folder with --out; nothing was changed.")


def _compare(path: pathlib.Path, wanted: Mapping[str, Any], ignore: set[str]) -> None:
    """The settings in config.json must be those wanted."""
    stored = _read_json(path / "config.json")
    differing = [k for k in {**stored, **wanted} if k not in ignore and stored.get(k) != wanted.get(k)]
    if differing:
        shown = ", ".join(f"{k} {stored.get(k)!r} there, {wanted.get(k)!r} asked for" for k in differing)
        raise UserError(
            f"--resume: {path} holds another run ({shown})",
            remedy="Give the flags of that run, or choose another folder with --out; nothing was changed.",
        )


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    try:
        return files.read_json(path)
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, no JSON, no object
        raise UserError(f"cannot read {path} ({error})", remedy=_DAMAGED) from error
