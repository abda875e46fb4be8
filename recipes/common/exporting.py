"""SavedModels of a run: each is exported once, however often the run went on."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable

from recipes.common.run_folder import RunFolder


def export_once(folder: RunFolder, target: pathlib.Path, export: Callable[[], pathlib.Path], figure: float = 0.0) -> str | None:
    """The version that this run has exported to `target`, made by `export` unless an earlier part of the run made it.

    A model whose figure is NaN or infinite does not pass for a trained one: it is not exported, and a line says so.

    Args:
        folder: of the run.
        target: folder of the model, `ROOT/NAME`.
        export: writes it, and returns its path, `ROOT/NAME/VERSION`.
        figure: of the trained model on test data, its bits per dimension say.

    Returns:
        The path; `None` for a model that is not exported.
    """
    if not math.isfinite(figure):
        print(f"{target.name}: not exported, its figure on test data is {figure}: training broke it")
        return None
    noted = folder.progress().get("exported")
    before = noted if isinstance(noted, dict) else {}
    earlier = before.get(target.name)
    if isinstance(earlier, str) and pathlib.Path(earlier).parent == target.absolute() and pathlib.Path(earlier).is_dir():
        return earlier
    where = str(export())
    folder.note_progress(**{**folder.progress(), "exported": {**before, target.name: str(pathlib.Path(where).absolute())}})
    return where
