"""Trained models of the recipes: does `certify(model, at=x, radius=r)` ever lie below what is found in a ball?

    python -m benchmarks.recipe_balls RUN [RUN ...] [--exponents -4 -3] [--balls 2] [--seed 0] [--out recipe_balls.jsonl]
        [--data-dir DIR]

Each RUN is the folder of a finished run of a recipe (`python -m recipes.NAME --out RUN`).  Its models are made by the recipe's
code and get the weights of its newest checkpoints.  Balls lie round test data; their radius is a power of ten times the spread
of the data.  In each, 60 points, most of them on its surface, and those that two steps of gradient ascent reach must have no
larger slope than is certified, forward and inverse, in float64; beyond 256 dimensions 4 points and power iterations in place
of exact Jacobians: from below, too.  One line a ball is appended to `--out`; what is there already is skipped.  The last lines
tell, by model, how many times the certificate is the finding; the exit status is 1 unless there are no violations.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import zlib

import numpy as np
import tensorflow as tf

from benchmarks.recipe_models import Trained, trained_models
from inntf.core.refusals import marked_refusals
from inntf.numerics import Linearization
from inntf.stability.ball_certificate import certify_balls
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.block_products import BlockProducts
from inntf.stability.precision import shared_float64_copy

EXACT_UP_TO = 256
POINTS, POINTS_OF_IMAGES, CLIMBS = 60, 4, 2
PRODUCTS = 20  # of a power iteration


class Slopes:
    """Largest slopes of one direction of a model at many points, float64, and where they grow."""

    def __init__(self, maps: BlockFunctions, inverse: bool):
        self.maps, self.inverse = maps, inverse
        self.vector: np.ndarray | None = None

    def value(self, x: tf.Tensor) -> tf.Tensor:
        """`z` of `x`, or the other way round; NaN where a block would refuse."""
        return self.maps.value(x, self.inverse)

    def _linearized(self, x: np.ndarray) -> Linearization | BlockProducts:
        x = tf.constant(x)
        return Linearization(self.value, x) if self.maps.block.iterates else BlockProducts(self.maps, x, self.inverse)

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Slopes `(n,)`, NaN where something is not finite, and directions `(n, ...)` in which they grow.

        With singular vectors `u`, `v` the slope is `u' J v`, whose gradient is the derivative of `J' u` along `v`.
        """
        n, at = len(x), self._linearized(x)
        if x[0].size <= EXACT_UP_TO:
            units = np.eye(x[0].size).reshape(-1, 1, *at.value.shape[1:])
            jacobian = np.stack([at.vjp(tf.constant(np.repeat(unit, n, 0))).numpy().reshape(n, -1) for unit in units], 1)
            finite = np.isfinite(jacobian).all((1, 2))
            left, size, right = np.linalg.svd(np.where(finite[:, None, None], jacobian, 0.0))
            sigma, u, v = np.where(finite, size[:, 0], np.nan), left[:, :, 0], right[:, 0]
            u, v = u.reshape(at.value.shape), v.reshape(x.shape)
        else:
            v = self.vector if self.vector is not None else rng.normal(size=x.shape)
            for _ in range(PRODUCTS):
                u = at.jvp(tf.constant(v / _lengths(v))).numpy()
                sigma, u = _lengths(u).reshape(n), u / _lengths(u)
                v = at.vjp(tf.constant(u)).numpy()
            v /= _lengths(v)
            self.vector = np.where(np.isfinite(v), v, rng.normal(size=x.shape))
        step = 1e-6 * np.maximum(_lengths(x), 1e-3)
        ahead, here = (p.vjp(tf.constant(u)).numpy() for p in (self._linearized(x + step * v), at))
        return sigma, ahead - here

    def largest(self, centre: np.ndarray, radius: float, rng: np.random.Generator) -> float:
        """The largest slope found in a ball; of what is not finite nothing is said."""
        n = POINTS if centre.size <= EXACT_UP_TO else POINTS_OF_IMAGES
        direction = rng.normal(size=(n, *centre.shape))
        share = np.where(rng.random(n) < 0.7, 1.0, rng.random(n))
        points = centre + direction * (0.999 * radius) * share.reshape(-1, *[1] * centre.ndim) / _lengths(direction)
        found = 0.0
        for _ in range(1 + CLIMBS):
            slopes, uphill = self(points, rng)
            found = max([found, *slopes[np.isfinite(slopes)]])
            known = np.isfinite(uphill) & (_lengths(uphill) > 0)
            points = centre + 0.999 * radius * np.where(known, uphill / _lengths(uphill), 0.0)
        return float(found)


def _lengths(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x.reshape(len(x), -1), axis=1).reshape(-1, *[1] * (x.ndim - 1))


def search(model: Trained, exponent: float, balls: int, rng: np.random.Generator) -> dict:
    """Certify balls round the first data of a model, and search them."""
    at = model.data[:balls]
    radius = float(np.std(model.data.astype(np.float64))) * 10.0**exponent
    certificate = certify_balls(model.block, at, radius)
    maps = BlockFunctions.of(model.block, at).smooth()
    maps = maps.wide(shared_float64_copy(maps.block))
    x = maps.x.numpy()
    with marked_refusals():
        z = maps.forward(maps.x).numpy()
    out: dict = {"radius": radius, "dimensions": int(x[0].size), "ratios": [], "violations": [], "reasons": certificate.reasons}
    sides = (False, x, certificate.forward), (True, z, certificate.inverse)
    for inverse, centres, bounds in sides:
        slopes = Slopes(maps, inverse)
        for centre, bound in zip(centres, bounds, strict=True):
            if not np.isfinite(centre).all():
                continue
            slopes.vector = None
            with np.errstate(all="ignore"), marked_refusals():  # a ball may reach out of a domain
                found = slopes.largest(centre, radius, rng)
            out["ratios"].append({"inverse": inverse, "found": found, "bound": float(bound)})
            if found > bound * (1 + 1e-9):
                out["violations"].append({"inverse": inverse, "found": found, "bound": float(bound)})
    return out


def main(argv: list[str] | None = None) -> int:
    """Search, resume, sum up."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("runs", nargs="+", type=pathlib.Path)
    parser.add_argument("--exponents", nargs="+", type=float, default=(-4.0, -3.0))
    parser.add_argument("--balls", type=int, default=2)
    parser.add_argument("--models", nargs="+", help="names of models; by default all of a run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("recipe_balls.jsonl"))
    parser.add_argument("--data-dir")
    options = parser.parse_args(argv)
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    done = {(r["run"], r["model"], r["exponent"]): r for r in map(json.loads, lines)}
    for run in options.runs:
        recipe = json.loads((run / "config.json").read_text())["recipe"]
        for model in trained_models(run, 64, options.data_dir):
            if options.models and model.name not in options.models:
                continue
            for exponent in options.exponents:
                key = str(run), model.name, exponent
                if key in done:
                    continue
                rng = np.random.default_rng([options.seed, zlib.crc32(model.name.encode()), int(10 * abs(exponent))])
                row = {"recipe": recipe, "run": key[0], "model": key[1], "exponent": exponent}
                done[key] = row | search(model, exponent, options.balls, rng)
                with options.out.open("a") as file:
                    file.write(json.dumps(done[key]) + "\n")
    for row in done.values():
        print(f"{row['recipe']}, {row['model']}, {row['dimensions']} dimensions, radius 1e{row['exponent']:g}: {told(row)}")
    violations = [row for row in done.values() if row["violations"]]
    print(f"{len(done)} lines, {sum(len(row['ratios']) for row in done.values())} balls, {len(violations)} with violations")
    return int(bool(violations))


def told(row: dict) -> str:
    """Certificate over finding, both directions: median and largest."""
    parts = []
    for inverse in (False, True):
        ratios = [r["bound"] / r["found"] if r["found"] else np.inf for r in row["ratios"] if r["inverse"] == inverse]
        name = "inverse" if inverse else "forward"
        parts.append(f"{name} {np.median(ratios):.4g}, at most {max(ratios):.4g}" if ratios else f"{name}: centres are lost")
    return "; ".join(parts) + (f" ({len(row['violations'])} VIOLATIONS)" if row["violations"] else "")


if __name__ == "__main__":
    sys.exit(main())
