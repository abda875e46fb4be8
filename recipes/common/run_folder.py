"""The folder of one run: config.json, progress, checkpoints, logs, report.png, result.json; never another run's."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from recipes.common import files, provenance
from recipes.common.cli import RecipeConfig, command
from recipes.common.errors import UserError

_PLACES = ("out", "export_dir", "data_dir", "resume")  # where, not what: they may differ when a run goes on


class RunFolder:
    """The folder of one run; made by `RunFolder.open`.

    Used in a `with` statement, a run that ends in a `UserError` before it wrote anything gives the folder back.

    Attributes:
        path: the folder.
        finished: whether result.json was there when the folder was opened (only with `resume`).
        resumed: whether the folder holds an earlier part of this run.
    """

    def __init__(self, path: pathlib.Path, recipe: str, config: RecipeConfig, *, resumed: bool, argv: Sequence[str]):
        self.path = path
        self.recipe = recipe
        self.config = config
        self.resumed = resumed
        self.finished = (path / "result.json").exists()
        self._argv = list(argv)
        self._start = time.monotonic()
        self._before = float(self.progress().get("elapsed_seconds", 0.0))

    @classmethod
    def open(
        cls, config: RecipeConfig, recipe: str, *, argv: Sequence[str] | None = None, may_change: Sequence[str] = ()
    ) -> RunFolder:
        """Make the folder of a new run, or go on with the run it holds if `config.resume`.

        Args:
            config: settings of the run; written to config.json.
            recipe: name of the recipe.
            argv: the command's arguments, recorded; by default those of the process.
            may_change: settings that may differ when a run goes on, such as the number of steps.

        Returns:
            The folder.

        Raises:
            UserError: if the folder cannot be written, holds anything without `--resume`, or holds another run
                (one with other settings) with it.
        """
        path = pathlib.Path(config.out or default_path(config, recipe)).expanduser()
        stored = files.plain({"recipe": recipe, **files.plain(config)})
        found = _prepare(path)
        if found and not config.resume:
            _refuse(path, finished=(path / "result.json").exists(), ours=(path / "config.json").exists())
        if found:
            _compare(path, stored, ignore={*_PLACES, *may_change})
        else:
            try:
                with open(path / "config.json", "x") as file:  # "x": of two runs started at once, one is refused
                    json.dump(stored, file, indent=2)
            except FileExistsError:
                _refuse(path, finished=False, ours=True)
        return cls(path, recipe, config, resumed=found, argv=sys.argv[1:] if argv is None else argv)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, UserError) and os.listdir(self.path) == ["config.json"]:
            (self.path / "config.json").unlink()
            self.path.rmdir()

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
            What was written: recipe, command, seed, metrics, config, git_commit, machine, duration_seconds, finished.

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
        return result


def default_path(config: RecipeConfig, recipe: str) -> pathlib.Path:
    """Folder of a run for which none was named.

    >>> str(default_path(RecipeConfig(seed=3), "flowgan"))
    'runs/flowgan/small-mnist_5k-seed3'
    """
    return pathlib.Path("runs") / recipe / f"{config.preset}-{config.dataset}-seed{config.seed}"


def _prepare(path: pathlib.Path) -> bool:
    """Make the folder, prove that it can be written, and say whether anything is in it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
        return any(path.iterdir())
    except OSError as error:
        raise UserError(
            f"cannot write to the folder {path} ({error.strerror or error})", remedy="Choose another folder with --out."
        ) from error


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
    if not (path / "config.json").exists():
        raise UserError(
            f"--resume: {path} holds no run (no config.json)", remedy="Name the run's folder with --out; nothing was changed."
        )
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
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"cannot read {path} ({error})", remedy="Choose another folder with --out.") from error
