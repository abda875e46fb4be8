"""Does an observation look like the simulations that a posterior was trained on?"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import scipy

from inntf.calibration.two_samples import checked_sets
from inntf.core.errors import explain

Distance = Literal["nearest", "mahalanobis"]
DISTANCES = ("nearest", "mahalanobis")


@dataclasses.dataclass(frozen=True)
class Misspecification:
    """What `misspecification` returns.

    Attributes:
        p_values: `(n_observations,)`, each valid by itself.
        p_value: of all observations together: the smallest, corrected for their number.
        distances: `(n_observations,)`, from the simulations.
        simulated_distances: of the simulations that the observations are ranked among, sorted.
        level: of the flags.
    """

    p_values: np.ndarray
    p_value: float
    distances: np.ndarray
    simulated_distances: np.ndarray
    level: float

    @property
    def flags(self) -> np.ndarray:
        """`(n_observations,)` booleans: which observations do not look like simulations; a share `level` does so by chance."""
        return self.p_values <= self.level


def misspecification(
    observed: Any,
    simulated: Any,
    *,
    distance: Distance = "nearest",
    neighbours: int = 5,
    level: float = 0.01,
    seed: int = 0,
) -> Misspecification:
    r"""Flag observations that do not look like the simulations: a posterior there is an extrapolation.

    Half of the simulations says what is normal, and the observation's distance from it is ranked among those of the other
    half: $p = (1 + \#\{\text{simulated} \ge \text{observed}\}) / (1 + \text{number})$ is exact for any distance and any
    number of simulations, ties counting against the flag.

    - `"nearest"`: the mean distance to the nearest simulations, in standard deviations of each entry; any shape of cloud.
    - `"mahalanobis"`: from the mean, by the covariance; sharper in many dimensions where the cloud is about normal.

    Args:
        observed: data, or summaries of data by a network, `(n_observations, dim)`.
        simulated: the same of simulations from the prior, `(n_simulations, dim)`; not those the summary network was trained on.
        distance: see above.
        neighbours: how many, for `"nearest"`.
        level: of the flags; below it there must be p-values: it wants about `2 / level` simulations.
        seed: of the halves.

    Returns:
        A `Misspecification`.

    Raises:
        ValueError: for other shapes, values that are not finite, an unknown distance, or too few simulations for the level.

    Source: Vovk, Gammerman and Shafer, "Algorithmic learning in a random world" (2005), for the p-value; Schmitt et al.,
        "Detecting model misspecification in amortized Bayesian inference" (2023), for the idea of asking this of summaries.

    Example:
        >>> simulated = np.random.default_rng(0).normal(size=(1000, 3))
        >>> misspecification([[0.0, 0.5, -0.5], [0.0, 6.0, 0.0]], simulated).flags.tolist()
        [False, True]
    """
    observed, simulated = checked_sets("misspecification", ("observed", "simulated"), observed, simulated, 1)
    if distance not in DISTANCES:
        raise ValueError(explain("misspecification", received=f"distance={distance!r}", expected=f"one of {DISTANCES}"))
    if not 0 < level < 1 or neighbours < 1:
        received, expected = f"level={level}, neighbours={neighbours}", "a level between 0 and 1, and one neighbour or more"
        raise ValueError(explain("misspecification", received=received, expected=expected))
    half = len(simulated) // 2
    least = max(neighbours, int(np.ceil(1 / level)) - 1, 2)
    if half < least:
        received, expected = f"{len(simulated)} simulations", f"at least {2 * least} for level={level}, neighbours={neighbours}"
        raise ValueError(explain("misspecification", received=received, expected=expected))
    simulated = simulated[np.random.default_rng(seed).permutation(len(simulated))]
    normal, ranked = simulated[:half], simulated[half:]
    score = _nearest(normal, neighbours) if distance == "nearest" else _mahalanobis(normal)
    of_ranked, of_observed = np.sort(score(ranked)), score(observed)
    at_least = len(ranked) - np.searchsorted(of_ranked, of_observed, side="left")
    p_values = (1 + at_least) / (1 + len(ranked))
    return Misspecification(p_values, min(1.0, float(p_values.min()) * len(observed)), of_observed, of_ranked, level)


def _scaled(normal: np.ndarray) -> Any:
    """In standard deviations; an entry that never changes says infinity once it does."""
    mean, deviation = normal.mean(0), normal.std(0)
    constant = np.ptp(normal, 0) == 0
    deviation = np.where(constant, 1, deviation)

    def scale(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (values - mean) / deviation, (values != normal[0])[:, constant].any(1)

    return scale


def _nearest(normal: np.ndarray, neighbours: int) -> Any:
    scale = _scaled(normal)
    tree = scipy.spatial.cKDTree(scale(normal)[0])

    def score(values: np.ndarray) -> np.ndarray:
        scaled, unheard = scale(values)
        distances = tree.query(scaled, neighbours)[0].reshape(len(values), neighbours).mean(1)
        return np.where(unheard, np.inf, distances)

    return score


def _mahalanobis(normal: np.ndarray) -> Any:
    scale = _scaled(normal)
    values, vectors = np.linalg.eigh(np.cov(scale(normal)[0], rowvar=False).reshape(normal.shape[1], -1))
    kept = values > 1e-10 * values.max()
    whiten = vectors[:, kept] / np.sqrt(values[kept])
    # Directions in which nothing varies but by rounding, such as the sum of shares: to go there is unheard of, too.  Fewer
    # simulations than entries leave directions out by their number alone.
    flat = vectors[:, ~kept & (len(normal) > len(values))]
    reach = np.maximum(10 * np.abs(scale(normal)[0] @ flat).max(0, initial=0.0), 1e-5)  # float32 rounds more than float64

    def score(values: np.ndarray) -> np.ndarray:
        scaled, unheard = scale(values)
        unheard = unheard | (np.abs(scaled @ flat) > reach).any(1)
        return np.where(unheard, np.inf, np.linalg.norm(scaled @ whiten, axis=1))

    return score
