"""Sizes, data and weights that the workers of `benchmarks.peers` share: numpy alone, so that every environment has them."""

from __future__ import annotations

import argparse
import dataclasses
import itertools

import numpy as np

RATE = 1e-3


@dataclasses.dataclass(frozen=True)
class Case:
    """A flow on vectors and what is asked of it."""

    dim: int
    layers: int
    hidden: int  # width of each of the two hidden layers
    batch: int
    samples: int
    bins: int = 8
    bound: float = 4.0  # of splines


CASES = {
    "couplings": Case(dim=4, layers=8, hidden=256, batch=1000, samples=100_000),
    "splines": Case(dim=6, layers=8, hidden=128, batch=1000, samples=10_000),
    "maf": Case(dim=20, layers=5, hidden=128, batch=1000, samples=1000),
    "ode": Case(dim=2, layers=1, hidden=64, batch=500, samples=1000),
}


def case_of(name: str, tiny: bool = False) -> Case:
    """A case; `tiny`: for smoke tests."""
    case = CASES[name]
    return dataclasses.replace(case, layers=min(case.layers, 2), hidden=8, batch=20, samples=30) if tiny else case


def data(case: Case) -> np.ndarray:
    """Curved, correlated data of unit size, `(batch, dim)`, float32."""
    z = np.random.default_rng(0).normal(size=(case.batch, case.dim))
    x = z + 0.5 * np.roll(z, 1, axis=1) ** 2 - 0.5 * np.sin(2 * np.roll(z, 2, axis=1))
    return ((x - x.mean(0)) / x.std(0)).astype(np.float32)


def velocity_weights(case: Case) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernels `(in, out)` and biases of the velocity's network, `[y, t] -> v`: the same in every library."""
    rng, widths = np.random.default_rng(1), (case.dim + 1, case.hidden, case.hidden, case.dim)
    layers = []
    for n_in, n_out in itertools.pairwise(widths):
        kernel = rng.normal(size=(n_in, n_out)) * np.sqrt(2.0 / n_in)
        layers.append((kernel.astype(np.float32), (0.1 * rng.normal(size=n_out)).astype(np.float32)))
    return layers


def parser(cases: list[str], variants: list[str]) -> argparse.ArgumentParser:
    """The command line of these workers."""
    found = argparse.ArgumentParser()
    found.add_argument("case", choices=cases)
    found.add_argument("variant", choices=variants)
    found.add_argument("--threads", type=int, default=1)
    found.add_argument("--tiny", action="store_true")
    return found
