"""Reference posteriors of the five tasks, as `python -m recipes.prepare sbibm` writes them."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from recipes.common.errors import UserError

TASKS = ("two_moons", "gaussian_linear", "gaussian_mixture", "slcp", "bernoulli_glm")
FIRST_FIVE = (1, 2, 3, 4, 5)


@dataclasses.dataclass(frozen=True)
class Reference:
    """One observation of a task.

    Attributes:
        number: of the observation, from 1 on.
        observation: `(dim x,)`.
        theta: what it was simulated from, `(dim theta,)`.
        posterior: samples of the reference posterior, `(n, dim theta)`.
    """

    number: int
    observation: np.ndarray
    theta: np.ndarray
    posterior: np.ndarray


def read_reference(task: str, data_dir: pathlib.Path, numbers: Sequence[int] = FIRST_FIVE) -> list[Reference]:
    """Observations of a task with their reference posteriors, float32.

    Args:
        task: one of `TASKS`; `slcp_ordered` is `slcp`.
        data_dir: holds `sbibm/TASK.npz`, or `TASK.npz`.
        numbers: of the observations.

    Raises:
        UserError: if the file or an observation is missing, or their shapes do not fit.
    """
    task = task.removesuffix("_ordered")
    data_dir = pathlib.Path(data_dir).expanduser()
    remedy = f"Prepare it: python -m recipes.prepare sbibm --source WHEEL --data-dir {data_dir}"
    if task not in TASKS:
        raise UserError(f"received the task {task!r}, expected one of {', '.join(TASKS)}")
    places = [data_dir / "sbibm" / f"{task}.npz", data_dir / f"{task}.npz"]
    found = [path for path in places if path.is_file()]
    if not found:
        raise UserError(f"{places[0]} is missing", remedy=remedy)
    references = []
    with np.load(found[0]) as arrays:
        for number in numbers:
            names = [f"{kind}_{number}" for kind in ("observation", "theta", "posterior")]
            missing = [name for name in names if name not in arrays]
            if missing:
                raise UserError(f"{found[0]} has no {', '.join(missing)}", remedy=remedy)
            observation, theta, posterior = (np.asarray(arrays[name], np.float32) for name in names)
            if posterior.ndim != 2 or theta.size != posterior.shape[1] or not np.isfinite(posterior).all():
                received = f"posterior_{number} of shape {posterior.shape}, theta_{number} of shape {theta.shape}"
                raise UserError(f"{found[0]}: received {received}, expected (n, dim) and (1, dim), finite", remedy=remedy)
            references.append(Reference(number, observation.reshape(-1), theta.reshape(-1), posterior))
    return references
