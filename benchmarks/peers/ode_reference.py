"""The log-density of the continuous flow of `benchmarks.peers`, solved in float64 to 1e-12: what solvers are measured by."""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import expit

from benchmarks.workers.cases import Case, data, velocity_weights


def reference_log_prob(case: Case, tolerance: float = 1e-12) -> np.ndarray:
    """`(batch,)`: by SciPy's DOP853, with the divergence of the network in closed form."""
    x = data(case).astype(np.float64)
    (w1, b1), (w2, b2), (w3, b3) = [(k.astype(np.float64), b.astype(np.float64)) for k, b in velocity_weights(case)]

    def velocity(t: float, state: np.ndarray) -> np.ndarray:
        y = state.reshape(case.batch, case.dim + 1)[:, : case.dim]
        raw1 = np.concatenate([y, np.full((case.batch, 1), t)], 1) @ w1 + b1
        raw2 = np.logaddexp(0, raw1) @ w2 + b2
        v = np.logaddexp(0, raw2) @ w3 + b3
        slope1, slope2 = expit(raw1), expit(raw2)  # of softplus
        divergence = sum((((slope1 * w1[i]) @ w2) * slope2) @ w3[:, i] for i in range(case.dim))
        return np.concatenate([v, divergence[:, None]], 1).ravel()

    start = np.concatenate([x, np.zeros((case.batch, 1))], 1).ravel()
    end = solve_ivp(velocity, (0.0, 1.0), start, method="DOP853", rtol=tolerance, atol=tolerance).y[:, -1]
    end = end.reshape(case.batch, case.dim + 1)
    return -0.5 * (end[:, :-1] ** 2).sum(1) - 0.5 * case.dim * math.log(2 * math.pi) + end[:, -1]
