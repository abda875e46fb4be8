"""The course of a run, the same for every recipe: folder and lock, strategy, going on, report, export, result, summary."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
from matplotlib.figure import Figure

from recipes.common import workers
from recipes.common.cli import RecipeConfig
from recipes.common.numbers import claim_lines
from recipes.common.places import export_root
from recipes.common.run_folder import RunFolder
from recipes.common.strategy import check_batch_size, make_strategy, worker_number


@dataclasses.dataclass(frozen=True)
class Run:
    """What an experiment works with.

    Attributes:
        folder: of the run.
        strategy: under whose scope models are made.
        exports: folder under which SavedModels go, as `NAME/VERSION`.
    """

    folder: RunFolder
    strategy: tf.distribute.Strategy
    exports: pathlib.Path

    def once(
        self,
        part: str,
        name: str,
        make: Callable[[], Any],
        *,
        again: bool = False,
        steps: int | None = None,
        exports: Sequence[str] = (),
    ) -> Any:
        """What `make` returned the first time that this run, earlier parts included, asked for it: plain data, kept at once.

        Args:
            part: group within the progress of the run.
            name: of what is made.
            make: makes it.
            again: make it anew, whatever was kept: a file that belongs to it is gone.
            steps: of the training it is made from; what was made after other steps is of other weights, and is made anew.
            exports: names of the SavedModels of those weights; they are exported anew with it.
        """
        done, stamps = self.folder.noted(part), self.folder.noted("measured_at")
        of_part = stamps.get(part, {})
        others = name in done and steps is not None and of_part.get(name, _last_step(done[name], steps)) != steps
        if again or others or name not in done:
            done[name] = make()
            notes = {**self.folder.progress(), part: done}
            if steps is not None:
                notes["measured_at"] = {**stamps, part: {**of_part, name: steps}}
            if others:  # in one note with the numbers: a run that is killed in between exports what it has measured
                for what in ("exported", "exporting"):
                    notes[what] = {key: value for key, value in self.folder.strings(what).items() if key not in exports}
            self.folder.note_progress(**notes)
        return done[name]


@dataclasses.dataclass(frozen=True)
class Findings:
    """What an experiment has found.

    Attributes:
        numbers: measurements; entries called `history` go into the report alone.
        report: the page of figures.
        exported: path of each SavedModel by name, `None` for one that was not exported.
        more: further plain data for result.json.
    """

    numbers: Mapping[str, Any]
    report: Figure
    exported: Mapping[str, str | None]
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def conduct(
    config: RecipeConfig,
    name: str,
    work: Callable[[Run], Findings],
    *,
    claims: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    table: Callable[[Mapping[str, Any]], list[str]],
    exports: Sequence[str],
    batch_sizes: Sequence[int],
    may_change: Sequence[str] = (),
    extends: Sequence[str] = (),
) -> dict[str, Any]:
    """Run an experiment from the settings to `report.png`, `result.json` and the summary on the terminal.

    Args:
        config: the settings.
        name: of the recipe.
        work: the experiment.
        claims: the papers' claims, each with what the numbers show.
        table: the numbers as lines for the terminal.
        exports: names of the SavedModels; that they can be written is proved first.
        batch_sizes: of the trainings; a strategy must be able to divide them.
        may_change: settings that may differ when a run goes on.
        extends: those of them that take a finished run further.

    Returns:
        The result, as in result.json.

    Raises:
        UserError: for settings, data or folders that the user can mend.
    """
    config.check()
    strategy = make_strategy(config.strategy, config.replicas)
    for size in batch_sizes:
        check_batch_size(strategy, size)
    root = export_root(config.export_dir, list(exports))

    def open_folder(here: RecipeConfig) -> RunFolder:
        return RunFolder.open(here, name, may_change=may_change, extends=extends)

    with workers.quiet(strategy), workers.opened(config, strategy, root, open_folder) as (folder, place):
        if folder.finished:
            print(f"{folder.path} holds a finished run; its result stands.")
            return folder.result()
        found = work(Run(folder, strategy, place))
        folder.write_figure("report.png", found.report)
        metrics = without_histories(found.numbers)
        result = folder.finish(metrics, claims=claims(metrics), exported=dict(found.exported), **found.more)
    if worker_number(strategy):
        print(f"worker {worker_number(strategy)}: done; the run is in the first worker's folder")
        return result
    print("\n".join([*table(result["metrics"]), *claim_lines(result["claims"])]))
    print(f"report: {folder.path / 'report.png'}\nresult: {folder.path / 'result.json'}")
    for where in found.exported.values():
        print(f"SavedModel: {where or 'none'}")
    print(f"tensorboard --logdir {folder.logs}")
    return result


def without_histories(numbers: Any) -> Any:
    """Nested dictionaries without their entries called `history`."""
    if not isinstance(numbers, Mapping):
        return numbers
    return {key: without_histories(value) for key, value in numbers.items() if key != "history"}


def _last_step(made: Any, otherwise: int) -> int:
    """The step at which something was measured whose step was not noted: that of the last look in its history."""
    history = made.get("history") if isinstance(made, Mapping) else None
    return int(history[-1]["step"]) if history else otherwise
