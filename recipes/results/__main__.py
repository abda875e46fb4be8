"""Write recipes/README.md from the results in recipes/results, or take the result of a run among them.

    python -m recipes.results                        # write the page
    python -m recipes.results --check                # exit code 2 where the page is not what would be written
    python -m recipes.results --add runs/flowgan/small-mnist_5k-seed0 [--name NAME] [--replace]

Cost: about a second; TensorFlow is not loaded.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import pathlib
import re
import sys
from collections.abc import Sequence

from recipes.common import cli, files
from recipes.common.errors import UserError
from recipes.common.flags import read_flags
from recipes.results import page
from recipes.results.records import FOLDER, compact


@dataclasses.dataclass(frozen=True)
class Config:
    """Write recipes/README.md from the results in recipes/results."""

    check: bool = False
    """Write nothing; say whether the page is what would be written."""
    add: pathlib.Path | None = None
    """Folder of a finished run (or a result.json) whose result is to be kept, before the page is written."""
    name: str | None = None
    """Under which it is kept; by default PRESET-DATASET-seedN."""
    replace: bool = False
    """Let the result take the place of one of that name."""


def run(config: Config, folder: pathlib.Path = FOLDER, readme: pathlib.Path = page.README) -> None:
    """Add, then write or check.

    Args:
        config: what to do.
        folder: of the records and sections.
        readme: the page.

    Raises:
        UserError: where the page is not up to date, a run has no result, or a name is taken.
    """
    if config.add is not None and config.check:
        raise UserError("received --add and --check, expected one of them")
    text = page.render(folder) if config.add is None else _render_with(config.add, config, folder)
    if config.check:
        difference = list(difflib.unified_diff(readme.read_text().splitlines(), text.splitlines(), lineterm="", n=0))
        if difference:
            first = "; ".join(line[:90] for line in difference[3:6])
            raise UserError(f"{readme.name} is not what its results give ({first})", remedy="Run python -m recipes.results.")
        print(f"{readme.name} is up to date")
        return
    with files.atomic(readme) as beside:
        beside.write_text(text)
    print(f"written: {readme}")


def _render_with(run_folder: pathlib.Path, config: Config, folder: pathlib.Path) -> str:
    """The page with another result, which goes again where the page cannot be made with it."""
    before = {path: path.read_bytes() for path in folder.glob("*/*.json")}
    target = add(run_folder, config.name, folder, replace=config.replace)
    try:
        text = page.render(folder)
    except BaseException:
        if target in before:
            target.write_bytes(before[target])
        else:
            target.unlink()
        raise
    print(f"kept: {target}")
    return text


def add(
    run_folder: pathlib.Path, name: str | None = None, folder: pathlib.Path = FOLDER, *, replace: bool = False
) -> pathlib.Path:
    """Keep the result of a finished run.

    Args:
        run_folder: of the run, or its result.json.
        name: of the record.
        folder: of the records.
        replace: whether a record of that name may go.

    Returns:
        The file of the record.

    Raises:
        UserError: if the run has no result, its recipe no section, or the name is taken by another result.
    """
    path = run_folder.expanduser()
    path = path / "result.json" if path.is_dir() else path
    try:
        result = files.read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"--add: cannot read {path} ({error})", remedy="Name the folder of a finished run.") from error
    recipe = str(result.get("recipe"))
    if recipe not in page.SECTIONS:
        raise UserError(f"--add: {path} is a run of {recipe}, expected one of {', '.join(page.SECTIONS)}")
    if result.get("config", {}).get("preset") == "smoke":
        raise UserError(f"--add: {path} is a run of the preset smoke, which only shows that a recipe runs")
    module = page.tables_of(recipe)
    record = compact(result, module.LEFT_OUT if module else ())
    default = f"{record['settings'].get('preset')}-{record['settings'].get('dataset')}-seed{record['seed']}"
    name = re.sub(r"[^\w.-]+", "-", name or default)
    target = folder / recipe / f"{name}.json"
    text = json.dumps(files.plain(record), indent=1) + "\n"
    if target.exists() and not replace and target.read_text() != text:
        raise UserError(f"--add: {target} holds another result", remedy="Give it another --name, or --replace it.")
    with files.atomic(target) as beside:
        beside.write_text(text)
    return target


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    return cli.exit_code(lambda: run(read_flags(Config, argv, prog="python -m recipes.results")))


if __name__ == "__main__":
    sys.exit(main())
