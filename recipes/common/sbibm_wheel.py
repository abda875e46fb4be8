"""Reference posteriors out of the wheel of the package sbibm, read as an archive: nothing of it is imported."""

from __future__ import annotations

import bz2
import io
import pathlib
import re
import zipfile

import numpy as np

from recipes.common import files
from recipes.common.errors import UserError

TASKS = {
    "two_moons": (2, 2),
    "gaussian_linear": (10, 10),
    "gaussian_mixture": (2, 2),
    "slcp": (5, 8),
    "bernoulli_glm": (10, 10),
}
_FETCH = "Fetch it: pip download --no-deps sbibm==1.1.0"
_PARTS = {
    "observation": "observation.csv",
    "theta": "true_parameters.csv",
    "posterior": "reference_posterior_samples.csv.bz2",
}


def prepare_sbibm(source: pathlib.Path, data_dir: pathlib.Path) -> pathlib.Path:
    """Write `data_dir/sbibm/TASK.npz` for five tasks, each whole or not at all: `observation_k`, `theta_k`, `posterior_k`.

    Args:
        source: the wheel, a folder that holds it, or the folder of the unpacked package.
        data_dir: where to.

    Returns:
        The folder of the files.

    Raises:
        UserError: if a file is missing, broken or of another shape, or the files are there already.
    """
    root = _root(source)
    target = data_dir / "sbibm"
    there = [task for task in TASKS if (target / f"{task}.npz").exists()]
    if there:
        raise UserError(f"{target} has {', '.join(there)} already", remedy="Remove it first, or name another --data-dir.")
    tasks = {task: read_task(root, task) for task in TASKS}
    target.mkdir(parents=True, exist_ok=True)
    for task, arrays in tasks.items():
        with files.atomic(target / f"{task}.npz") as beside, open(beside, "wb") as stream:
            np.savez_compressed(stream, **arrays)
    return target


def read_task(root: pathlib.Path | zipfile.Path, task: str) -> dict[str, np.ndarray]:
    """All observations of a task that are there: `observation_k` and `theta_k` float64, `posterior_k` float32.

    Args:
        root: the folder `sbibm/tasks`, on disk or in an archive.
        task: a name in `TASKS`.

    Raises:
        UserError: if something is missing or not what its name says.
    """
    folder = root / task / "files"
    found = [re.fullmatch(r"num_observation_(\d+)", entry.name) for entry in folder.iterdir()] if folder.is_dir() else []
    numbers = sorted(int(match[1]) for match in found if match)
    if not numbers:
        raise UserError(f"{folder} has no folders num_observation_K", remedy=_FETCH)
    arrays = {}
    for number in numbers:
        for part, file in _PARTS.items():
            entry = folder / f"num_observation_{number}" / file
            columns = TASKS[task][part == "observation"]
            table = _table(entry)
            if table.shape[1:] != (columns,) or (part != "posterior" and len(table) != 1) or not np.isfinite(table).all():
                rows = "n" if part == "posterior" else 1
                raise UserError(
                    f"{entry}: received a table of shape {table.shape}, expected ({rows}, {columns}), finite", remedy=_FETCH
                )
            arrays[f"{part}_{number}"] = table.astype(np.float32) if part == "posterior" else table
    return arrays


def _root(source: pathlib.Path) -> pathlib.Path | zipfile.Path:
    if not source.exists():
        raise UserError(f"--source {source} does not exist", remedy=_FETCH)
    if source.is_dir():
        unpacked = [path for path in (source / "sbibm" / "tasks", source / "tasks") if path.is_dir()]
        if unpacked:
            return unpacked[0]
        wheels = sorted(source.glob("sbibm-*.whl"))
        if len(wheels) != 1:
            received = ", ".join(w.name for w in wheels) or "no wheel sbibm-*.whl"
            raise UserError(f"--source {source}: received {received}, expected one", remedy=_FETCH)
        source = wheels[0]
    if not zipfile.is_zipfile(source):
        raise UserError(f"--source {source} is no wheel (a zip archive)", remedy=_FETCH)
    root = zipfile.Path(source) / "sbibm" / "tasks"
    if not root.is_dir():
        raise UserError(f"--source {source} has no folder sbibm/tasks", remedy=_FETCH)
    return root


def _table(entry: pathlib.Path | zipfile.Path) -> np.ndarray:
    if not entry.is_file():
        raise UserError(f"{entry} is missing", remedy=_FETCH)
    try:
        raw = entry.read_bytes()
        text = (bz2.decompress(raw) if entry.name.endswith(".bz2") else raw).decode()
        return np.loadtxt(io.StringIO(text), delimiter=",", skiprows=1, ndmin=2)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{entry} cannot be read ({error})", remedy=_FETCH) from error
