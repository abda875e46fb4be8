"""SavedModels of a run: each is exported once, however often the run went on."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

from recipes.common.run_folder import RunFolder


def export_once(folder: RunFolder, target: pathlib.Path, export: Callable[[], pathlib.Path]) -> str:
    """The version that this run has exported to `target`, made by `export` unless an earlier part of the run made it.

    Args:
        folder: of the run.
        target: folder of the model, `ROOT/NAME`.
        export: writes it, and returns its path, `ROOT/NAME/VERSION`.

    Returns:
        The path.
    """
    noted = folder.progress().get("exported")
    before = noted if isinstance(noted, dict) else {}
    earlier = before.get(target.name)
    if isinstance(earlier, str) and pathlib.Path(earlier).parent == target.absolute() and pathlib.Path(earlier).is_dir():
        return earlier
    where = str(export())
    folder.note_progress(**{**folder.progress(), "exported": {**before, target.name: str(pathlib.Path(where).absolute())}})
    return where
