"""Which tolerance a solver of `benchmarks.peers` runs at: the one asked for, or the loosest that is as true as asked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks.workers.cases import parser

LADDER = (1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7)


def ode_parser(variants: list[str]) -> argparse.ArgumentParser:
    """The command line of these workers."""
    found = parser(["ode"], variants)
    found.add_argument("--reference", required=True, help="a .npy file: log_prob of the data, solved to 1e-12")
    found.add_argument("--tolerance", type=float, default=1e-5)
    found.add_argument("--error", type=float, help="in place of --tolerance: the largest error of log_prob that is allowed")
    return found


def choose(density: Callable[[float], np.ndarray], args: argparse.Namespace) -> tuple[float, float]:
    """The tolerance and the largest error of `log_prob` that it leaves."""
    truth = np.load(args.reference)
    errors: dict[float, float] = {}
    for tolerance in LADDER if args.error else (args.tolerance,):
        errors[tolerance] = float(np.abs(np.asarray(density(tolerance), np.float64) - truth).max())
        if args.error and errors[tolerance] <= args.error:
            break
    else:
        if args.error:  # none is enough: the one that comes nearest
            tolerance = min(errors, key=errors.__getitem__)
    return tolerance, errors[tolerance]
