"""Turn the makers' own files of a data set into a directory of tensorflow-datasets.

    python -m recipes.prepare fashion_mnist --source DIR [--data-dir DIR]

fashion_mnist and mnist want the four IDX files, plain or .gz; cifar10 the six binary batches, or their tar.gz.
sbibm wants its wheel (`pip download --no-deps sbibm==1.1.0`), of which reference posteriors are read and nothing imported; they
become DATA_DIR/sbibm/TASK.npz.
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
from recipes.common.sbibm_wheel import prepare_sbibm


@dataclasses.dataclass(frozen=True)
class Config:
    """Turn the makers' own files of a data set into a directory of tensorflow-datasets."""

    name: tyro.conf.Positional[Literal["fashion_mnist", "mnist", "cifar10", "sbibm"]]
    """The data set."""
    source: pathlib.Path
    """Folder with the makers' files: four IDX files (plain or .gz), CIFAR-10's batches (or their tar.gz), sbibm's wheel."""
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
    if config.name == "sbibm":
        data_dir = config.data_dir or quiet_import("recipes.common.tfds_store").default_data_dir()
        folder = prepare_sbibm(config.source.expanduser(), data_dir.expanduser())
        print(f"sbibm: reference posteriors of five tasks in {folder}")
        return folder
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
