"""Turn the makers' own files of a data set into a directory of tensorflow-datasets.

    python -m recipes.prepare fashion_mnist --source DIR [--data-dir DIR]

fashion_mnist and mnist want the four IDX files, plain or .gz; cifar10 the six binary batches, or their tar.gz.
Nothing is downloaded, and nothing that is there is overwritten.
Cost: about half a minute for each data set, on one core.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Literal

import tyro

from recipes.common import cli
from recipes.common.flags import read_flags
from recipes.common.makers_files import read_makers_files
from recipes.common.quiet import quiet_import


@dataclasses.dataclass(frozen=True)
class Config:
    """Turn the makers' own files of a data set into a directory of tensorflow-datasets."""

    name: tyro.conf.Positional[Literal["fashion_mnist", "mnist", "cifar10"]]
    """The data set."""
    source: pathlib.Path
    """Folder with the makers' files: four IDX files (plain or .gz), or CIFAR-10's binary batches (or their tar.gz)."""
    data_dir: pathlib.Path | None = None
    """Directory of tensorflow-datasets to write to; by default its own."""
    partial: bool = False
    """Accept another number of images than published."""


def run(config: Config) -> pathlib.Path:
    """Read, check, write.

    Args:
        config: what to prepare, from where, to where.

    Returns:
        Folder of the data set.

    Raises:
        UserError: if a file is missing or wrong, or the data set is there already.
    """
    data = read_makers_files(config.name, config.source.expanduser(), config.partial)
    tfds_store = quiet_import("recipes.common.tfds_store")  # heavy; bad files are known by now
    folder = tfds_store.store(data, (config.data_dir or tfds_store.default_data_dir()).expanduser())
    print(f"{config.name}: {len(data.train)} train and {len(data.test)} test images in {folder}")
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    return cli.exit_code(
        lambda: run(read_flags(Config, argv, prog="python -m recipes.prepare")),
        interrupted=f"Nothing was written. To start again: {cli.command('prepare', argv)}",
    )


if __name__ == "__main__":
    sys.exit(main())
