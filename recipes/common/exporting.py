"""SavedModels of a run: each is exported once, however often the run was killed and went on."""

from __future__ import annotations

import contextlib
import math
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any

from inntf.serving import ExportRefusedError, export, read_card
from inntf.serving.export import versions
from recipes.common.run_folder import RunFolder


def export_once(
    folder: RunFolder,
    model: Any,
    target: pathlib.Path,
    *,
    variant: str,
    measured: Mapping[str, Any],
    figure: float = 0.0,
    batch: Any = None,
) -> str | None:
    """The version that this run has exported to `target`; it is made unless an earlier part of the run made it.

    The card of every version carries a mark that the run notes before it exports: one killed between an export and the note
    of it finds its own version again.  A model whose figure is NaN or infinite does not pass for a trained one: it is not
    exported, nor does one whose export is refused (its inverse is lost), and a line says so.

    Args:
        folder: of the run.
        model: whatever `inntf.serving.export` takes.
        target: folder of the model, `ROOT/NAME`.
        variant: of the recipe, for the card.
        measured: numbers for the card; a history in them is left out.
        figure: of the trained model on test data, its bits per dimension say.
        batch: data for the card's stability.

    Returns:
        The path of the version, `ROOT/NAME/VERSION`; `None` for a model that is not exported.
    """
    name = target.name
    if not math.isfinite(figure):
        print(f"{name}: not exported, its figure on test data is {figure}: training broke it")
        return None
    done, begun = folder.strings("exported"), folder.strings("exporting")
    earlier = done.get(name)
    if earlier and pathlib.Path(earlier).parent == target.absolute() and pathlib.Path(earlier).is_dir():
        return earlier
    found = _marked(target, begun.get(name))
    if found is None:
        mark = uuid.uuid4().hex
        folder.note_progress(**{**folder.progress(), "exporting": {**begun, name: mark}})
        config = folder.config
        card = {"recipe": folder.recipe, "variant": variant, "preset": config.preset, "dataset": config.dataset}
        card |= {"seed": config.seed, "measured": {k: v for k, v in measured.items() if k != "history"}, "mark": mark}
        try:
            found = export(model, target, card=card, batch=batch)
        except ExportRefusedError as refused:
            print(f"{name}: not exported. {refused}")
            return None
    where = str(found.absolute())
    folder.note_progress(**{**folder.progress(), "exported": {**done, name: where}})
    return where


def _marked(target: pathlib.Path, mark: str | None) -> pathlib.Path | None:
    """The version whose card carries the mark."""
    for number in versions(target) if mark else []:
        with contextlib.suppress(OSError, ValueError):  # a version that others wrote there
            training = read_card(target / str(number)).get("training")
            if isinstance(training, dict) and training.get("mark") == mark:
                return target / str(number)
    return None
