"""Train the classifier of handwritten digits that all recipes measure samples with, and keep it.

    python -m recipes.digits            # about a minute; writes saved_models/digits_classifier/VERSION

It is trained on the 4000 training digits of `mnist_5k`, each in four more places, up to two pixels away, and on half as many
images that are no digits, an eleventh class: a classifier of digits alone is sure of noise.  The repository holds one: run
this only to make another, which makes distances before and after incomparable.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from recipes.common import cli
from recipes.common.flags import read_flags
from recipes.common.places import export_root
from recipes.common.quiet import quiet_import
from recipes.common.ranges import Seed, Steps, check

NAME = "digits_classifier"


@dataclasses.dataclass(frozen=True)
class Config:
    """Train the classifier of handwritten digits that all recipes measure samples with, and keep it."""

    seed: Seed = 0
    """Of weights and batches."""
    steps: Steps = 3000
    """Batches of 64 digits."""
    export_dir: pathlib.Path | None = None
    """Folder of the SavedModels; by default saved_models."""


def run(config: Config) -> pathlib.Path:
    """Train, measure, save; returns the folder of the version.

    Raises:
        UserError: for a setting out of its range, or a folder that cannot be written to.
    """
    check(config)
    folder = export_root(config.export_dir, [NAME]) / NAME
    return quiet_import("recipes.common.digits_training").make(folder, config.seed, config.steps)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    return cli.exit_code(
        lambda: print(run(read_flags(Config, argv, prog="python -m recipes.digits"))),
        interrupted=f"Nothing was written. To start again: {cli.command('digits', argv)}",
    )


if __name__ == "__main__":
    sys.exit(main())
