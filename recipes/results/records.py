"""Compact results of finished runs: recipes/results/RECIPE/NAME.json holds of a run's result.json what tables need."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from recipes.common import files
from recipes.common.errors import UserError

FOLDER = pathlib.Path(__file__).parent
DIGITS = 6  # that numbers keep
_PLACES = ("out", "export_dir", "data_dir", "resume")  # where, not what
_NEEDED = ("recipe", "command", "seed", "metrics", "claims", "config", "git_commit", "machine", "duration_seconds", "finished")


@dataclasses.dataclass(frozen=True)
class Record:
    """What is kept of one finished run.

    Attributes:
        name: of its file.
        recipe: that ran.
        command: without folders.
        seed: of the run.
        settings: without folders.
        commit: of the working tree, with `-dirty` if it had changes; `None` where it was none.
        machine: as in result.json.
        seconds: of the run.
        finished: when.
        metrics: the numbers, with as many digits as `DIGITS`.
        claims: what the run said of the papers' claims.
        origin: where the numbers are from, if not from a result.json as it is.
        failed: trainings that stopped before their end, each with the reason.
    """

    name: str
    recipe: str
    command: str
    seed: int
    settings: Mapping[str, Any]
    commit: str | None
    machine: Mapping[str, Any]
    seconds: float
    finished: str
    metrics: Mapping[str, Any]
    claims: Mapping[str, Any]
    origin: str = ""
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)


def compact(result: Mapping[str, Any], left_out: Collection[str] = ()) -> dict[str, Any]:
    """What is kept of a result.json.

    Args:
        result: its content.
        left_out: names of entries of the metrics, at any depth, that no table reads.

    Raises:
        UserError: if it is no result of a recipe.
    """
    missing = [key for key in _NEEDED if key not in result]
    if missing:
        raise UserError(f"no result of a recipe: {', '.join(missing)} is missing", remedy="Name the folder of a finished run.")
    return {
        "recipe": result["recipe"],
        "command": without_folders(result["command"]),
        "seed": result["seed"],
        "settings": {k: v for k, v in result["config"].items() if k not in _PLACES},
        "commit": result["git_commit"],
        "machine": result["machine"],
        "seconds": result["duration_seconds"],
        "finished": result["finished"],
        "metrics": _trimmed(result["metrics"], frozenset(left_out)),
        "claims": _trimmed(result["claims"], frozenset()),
        **({"failed": result["failed"]} if result.get("failed") else {}),
    }


def without_folders(command: str) -> str:
    """A command as one types it anywhere: no folders of the machine that it ran on.

    >>> without_folders("python -m recipes.density --data-dir /data/tfds --seed 1 --out /tmp/a --resume")
    'python -m recipes.density --data-dir DIR --seed 1'
    """
    out: list[str] = []
    words = iter(shlex.split(command))
    for word in words:
        flag, equals, _ = word.partition("=")
        name = flag.lstrip("-").replace("-", "_") if flag.startswith("--") else ""
        if name == "resume":
            continue
        if name in _PLACES:
            if not equals:
                next(words, None)
            out += ["--data-dir", "DIR"] if name == "data_dir" else []
        else:
            out.append("PATH" if word.startswith(("/", "~")) else word)
    return shlex.join(out)


def read_records(recipe: str, folder: pathlib.Path = FOLDER) -> list[Record]:
    """The records of a recipe, by seed and name; kept tables are no records.

    Raises:
        UserError: for a file that holds none.
    """
    found = []
    for path in sorted((folder / recipe).glob("*.json")):
        data = _read(path)
        if "kept" in data:
            continue
        try:
            found.append(Record(name=path.stem, **data))
        except TypeError as error:
            raise UserError(f"{path} holds no record of a run ({error})", remedy="Add the run again.") from error
    return sorted(found, key=lambda record: (record.seed, record.name))


def read_kept(recipe: str, folder: pathlib.Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Tables that were typed, because the folders of their runs are gone: by name, `kept` (why), `head` and `rows`."""
    kept = [data for data in map(_read, sorted((folder / recipe).glob("*.json"))) if "kept" in data]
    return {name: {"kept": data["kept"], **table} for data in kept for name, table in data["tables"].items()}


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        return files.read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path} ({error})", remedy="Restore it from git, or add the run again.") from error


def _trimmed(data: Any, left_out: frozenset[str]) -> Any:
    if isinstance(data, Mapping):
        return {k: _trimmed(v, left_out) for k, v in data.items() if k not in left_out}
    if isinstance(data, list | tuple):
        return [_trimmed(v, left_out) for v in data]
    if isinstance(data, float) and math.isfinite(data):
        return float(f"{data:.{DIGITS}g}")
    return data
