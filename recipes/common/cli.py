"""The command line of a recipe: a frozen dataclass of typed settings with their ranges, presets, and clear endings.

A recipe imports nothing heavy at its top, so that `--help` and a mistyped flag answer at once:

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config(RecipeConfig):
        steps: Steps = 500                      # a type of `ranges`: an integer from 1 on

    RECIPE = Recipe(name="flowgan", config=Config, run="recipes.flowgan.experiment:run", presets=PRESETS)

    if __name__ == "__main__":
        sys.exit(main(RECIPE))
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from recipes.common import ranges
from recipes.common.endings import exit_code
from recipes.common.errors import UserError
from recipes.common.flags import flag_value, read_flags
from recipes.common.quiet import quiet_import, quiet_tensorflow

Preset = Literal["smoke", "small", "paper"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecipeConfig:
    """Settings that every recipe has; a recipe inherits from this and adds its own."""

    preset: Preset = "small"
    """Size of the run; sets the defaults of all other flags."""
    dataset: Literal["mnist_5k", "fashion_mnist", "mnist", "cifar10"] = "mnist_5k"
    """mnist_5k needs no preparation, the others `python -m recipes.prepare NAME --source DIR` once."""
    data_dir: pathlib.Path | None = None
    """Where the prepared data sets are; by default that of tensorflow-datasets."""
    strategy: Literal["none", "mirrored", "multiworker"] = "none"
    """How training is spread over devices: mirrored on all of this machine, multiworker on several (TF_CONFIG)."""
    replicas: ranges.Replicas | None = None
    """Without a GPU, mirror on so many parts of the CPU: what several devices would do, tried on one."""
    on_nonfinite: Literal["stop", "restore", "skip"] = "stop"
    """Where numbers become NaN or infinite: stop and name a block; go back to the last checkpoint, without the batches since;
    or take such gradients for zero."""
    seed: ranges.Seed = 0
    """Seed of everything random: weights, data, noise, samples."""
    out: pathlib.Path | None = None
    """Folder of this run; by default runs/NAME/PRESET-DATASET-seedN."""
    export_dir: pathlib.Path | None = None
    """Where the SavedModel goes, as NAME/VERSION; by default saved_models."""
    resume: bool = False
    """Go on with the run that is in the folder."""

    def check(self) -> None:
        """Hold the settings against their ranges, then against each other.

        Raises:
            UserError: for a value that is impossible, or two that contradict each other.
        """
        ranges.check(self)
        if self.replicas is not None and self.strategy != "mirrored":
            raise UserError(
                f"--replicas: received {self.replicas} with --strategy {self.strategy}", remedy="Add --strategy mirrored."
            )
        self.check_together()

    def check_together(self) -> None:
        """What a recipe asks of several settings at once; nothing by default.

        Raises:
            UserError: for settings that contradict each other.
        """


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What the command line needs to know of a recipe.

    Args:
        name: module name within `recipes`.
        config: the settings' type, a frozen dataclass that inherits from `RecipeConfig`.
        presets: settings by preset name.
        run: `run(config) -> dict`, or `"module:function"`, imported when it is needed.
        description: shown by `--help`; by default the docstring of `config`.
        environment: variables that TensorFlow reads as it starts; those that are set already stay.
    """

    name: str
    config: type[RecipeConfig]
    presets: Mapping[str, RecipeConfig]
    run: Callable[[Any], Mapping[str, Any] | None] | str
    description: str | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


def parse(recipe: Recipe, argv: Sequence[str]) -> RecipeConfig:
    """Settings from a command line: the preset's values, overridden by any flag.

    Args:
        recipe: the recipe.
        argv: arguments without the program name.

    Returns:
        The settings, with `preset` as asked for.

    Raises:
        UserError: for a preset the recipe does not have, an unknown flag, or an impossible value.
        SystemExit: with code 0 after `--help`.
    """
    default = str(next(f.default for f in dataclasses.fields(recipe.config) if f.name == "preset"))
    preset = flag_value(argv, "--preset") or default
    if preset not in recipe.presets:
        raise UserError(
            f"--preset: received {ranges.shown(preset)}, expected one of {', '.join(recipe.presets)}",
            remedy=f"Without --preset, {default!r} is taken.",
        )
    start = dataclasses.replace(recipe.presets[preset], preset=preset)
    config = read_flags(
        recipe.config,
        argv,
        default=start,
        prog=f"python -m recipes.{recipe.name}",
        description=recipe.description or recipe.config.__doc__,
    )
    config.check()
    return config


def main(recipe: Recipe, argv: Sequence[str] | None = None) -> int:
    """Parse, run, and end in an exit code.

    0 done; 2 the user can mend it, one line on stderr says how; 1 a mistake of ours, one line says where its traceback is;
    130 interrupted by Ctrl-C; 143 by SIGTERM, after the step of a training was kept.

    Args:
        recipe: the recipe.
        argv: arguments without the program name; by default those of the process.

    Returns:
        The exit code, for `sys.exit`.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    again = [a for a in argv if a not in ("--resume", "--no-resume")] + ["--resume"]

    def work() -> None:
        config = parse(recipe, argv)
        for name, value in recipe.environment.items():
            os.environ.setdefault(name, value)
        quiet_tensorflow()
        resolve(recipe.run)(config)

    return exit_code(work, interrupted=f"To go on: {command(recipe.name, again)}")


def command(name: str, argv: Sequence[str] | None = None) -> str:
    """The command that repeats a run, quoted for the shell.

    >>> command("flowgan", ["--out", "my runs"])
    "python -m recipes.flowgan --out 'my runs'"
    """
    return shlex.join(["python", "-m", f"recipes.{name}", *(sys.argv[1:] if argv is None else argv)])


def config_argv(config: RecipeConfig, presets: Mapping[str, RecipeConfig]) -> list[str]:
    """The flags that differ from the preset: with them `parse` gives the same settings again.

    >>> config_argv(RecipeConfig(seed=3), {"small": RecipeConfig()})
    ['--preset', 'small', '--seed', '3']
    """
    argv = ["--preset", config.preset]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "preset" or value == getattr(presets[config.preset], field.name):
            continue
        flag = field.name.replace("_", "-")
        if isinstance(value, bool):
            argv.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            argv += [f"--{flag}", *([str(v) for v in value] if isinstance(value, list | tuple) else [str(value)])]
    return argv


def resolve(run: Callable[..., Any] | str) -> Callable[..., Any]:
    """A function, or the one that `"module:function"` names."""
    if callable(run):
        return run
    module, _, function = run.partition(":")
    return getattr(quiet_import(module), function)
