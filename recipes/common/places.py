"""Folders that a run is going to write to, proved before it starts."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterable

from recipes.common.errors import UserError


def expanded(path: str | os.PathLike[str], flag: str) -> pathlib.Path:
    """The path with `~` filled in.

    Raises:
        UserError: for the home of a user who does not exist.
    """
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{flag}: received {path} ({error})", remedy="Name another folder.") from error


def prove_writable(folder: pathlib.Path, flag: str) -> None:
    """Make the folder, write a file in it, and take away again what was made.

    Raises:
        UserError: if that cannot be done.
    """
    made: list[pathlib.Path] = []
    try:
        for path in (folder, *folder.parents):
            if path.exists():
                break
            made.append(path)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"cannot write to the folder {folder} ({why})", remedy=f"Choose another folder with {flag}.") from error
    finally:
        for path in made:
            with contextlib.suppress(OSError, ValueError):  # not empty: another run is at work there
                path.rmdir()


def export_root(export_dir: pathlib.Path | None, names: Iterable[str]) -> pathlib.Path:
    """Where the SavedModels go, as `ROOT/NAME/VERSION`; each `ROOT/NAME` is proved writable.

    Raises:
        UserError: if one is not.
    """
    root = expanded(export_dir or "saved_models", "--export-dir")
    for name in names:
        prove_writable(root / name, "--export-dir")
    return root
