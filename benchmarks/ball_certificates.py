"""Many small trained models: does `certify(model, at=x, radius=r)` ever lie below what is found in a ball, and how near is it?

    python -m benchmarks.ball_certificates [--count 1000] [--seed 0] [--out ball_certificates.jsonl]
        [--families spline maf ...] [--depths 1 2 ...] [--tables normal ...] [--exponents -6 0]

Each model is drawn (family, depth, data, learning rate, steps) and really trained, as in `benchmarks.trained_models`.  Two data
points get a ball each, of a radius from 1e-6 to 1 times the spread of the data (powers of ten by `--exponents`).  60 points of
each ball, most of them on its surface, and those that two steps of gradient ascent reach (in residual flows further random
ones) must have no larger slope than is certified, forward and inverse (float64, exact Jacobians).  One line a model is appended
to `--out`; models that are there already are skipped.  The last lines tell violations and, by family, the median of certificate
over finding.  The exit status is 1 unless there are no violations.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import sys
import zlib

import numpy as np
import tensorflow as tf

from benchmarks.trained_models import RATES, TABLES, Workshop, table
from inntf import stability
from inntf.core.refusals import marked_refusals
from inntf.numerics import batch_jacobian
from inntf.stability.ball_certificate import certify_balls

FAMILIES = ("additive", "affine-exp", "affine-sigmoid", "affine-softplus", "affine-unbounded", "two-sided", "residual", "image")
FAMILIES += ("spline", "maf", "iaf", "maf-spline", "multiscale")
DEPTHS = (1, 2, 4, 8)
POINTS = 60


class Searcher:
    """A workshop, a float64 copy of its model, and traced Jacobians of both directions."""

    def __init__(self, family: str, depth: int):
        self.shop = Workshop(family, depth)
        self.climbs = family != "residual"  # third derivatives of an inverse that iterates do not pass a loop in a graph
        self.wide = stability.float64_copy(self.shop.block)
        batch = tf.TensorSpec([None, *self.shop.event], tf.float64)
        latent = tf.TensorSpec([None, *self.wide._z_event_shape], tf.float64)
        self.slopes = {
            inverse: tf.function(lambda x, i=inverse: self._slopes(x, i), [latent if inverse else batch], autograph=False)
            for inverse in (False, True)
        }

    def value(self, x: tf.Tensor, inverse: bool) -> tf.Tensor:
        """`z` of `x`, or the other way round; NaN where a block would refuse."""
        with marked_refusals():
            return (self.wide.inverse_and_log_det if inverse else self.wide.forward_and_log_det)(x)[0]

    def _slopes(self, x: tf.Tensor, inverse: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """The Jacobian at each point, and where its Frobenius norm grows."""
        if not self.climbs:
            return batch_jacobian(lambda v: self.value(v, inverse), x, rows=8), tf.random.normal(tf.shape(x), dtype=x.dtype)
        with tf.GradientTape() as tape:
            tape.watch(x)
            jacobian = batch_jacobian(lambda v: self.value(v, inverse), x, rows=8)
            size = tf.reduce_sum(jacobian**2, [1, 2])
        return jacobian, tape.gradient(size, x)

    def worst(self, centre: np.ndarray, radius: float, inverse: bool, rng: np.random.Generator) -> float:
        """The largest slope found in the ball; of what is not finite nothing is said."""
        step = rng.normal(size=(POINTS, *centre.shape))
        length = np.linalg.norm(step.reshape(POINTS, -1), axis=1)
        share = np.where(rng.random(POINTS) < 0.7, 1.0, rng.random(POINTS))
        points = centre + step * (radius * share / length).reshape(-1, *[1] * centre.ndim)
        found = 0.0
        for _ in range(3):
            jacobian, gradient = (part.numpy() for part in self.slopes[inverse](tf.constant(points)))
            finite = np.isfinite(jacobian).all((1, 2))
            if finite.any():
                found = max(found, float(np.linalg.norm(jacobian[finite], 2, axis=(1, 2)).max()))
            size = np.linalg.norm(gradient.reshape(POINTS, -1), axis=1).reshape(-1, *[1] * centre.ndim)
            uphill = np.where(np.isfinite(gradient) & (size > 0), gradient / np.where(size > 0, size, 1.0), 0.0)
            points = centre + 0.999 * radius * uphill
        return found


def one(
    searcher: Searcher, kind: str, rate: float, steps: int, exponents: tuple[float, float], rng: np.random.Generator
) -> dict:
    """Train a model, certify it round two points, search there."""
    shop = searcher.shop
    shop.restart(rng)
    x = table(kind, shop.event, rng)
    shop.flow.initialize(x)
    shop.optimizer.learning_rate.assign(rate)
    for _ in range(steps):
        shop.train(x[rng.integers(0, len(x), 64)])
    searcher.wide.set_weights(shop.block.get_weights())
    at = x[:2].astype(np.float64)
    spread = float(np.std(x)) or 1.0
    exponent = float(rng.uniform(*exponents))
    radius = spread * 10.0**exponent
    found = certify_balls(searcher.wide, at, radius)
    z = searcher.value(tf.constant(at), False).numpy()
    out = {"radius": radius, "exponent": exponent, "ratios": [], "violations": []}
    for i in range(len(at)):
        for inverse, centre, bound in ((False, at[i], found.forward[i]), (True, z[i], found.inverse[i])):
            if not np.isfinite(centre).all():
                continue
            seen = searcher.worst(centre, radius, inverse, rng)
            out["ratios"].append(float(bound / seen) if seen else float("inf"))
            if seen > bound * (1 + 1e-9):
                out["violations"].append({"inverse": inverse, "found": seen, "bound": float(bound)})
    return out


def main(argv: list[str] | None = None) -> int:
    """Run, resume, sum up."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("ball_certificates.jsonl"))
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--depths", nargs="+", type=int, default=DEPTHS)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--exponents", nargs=2, type=float, default=(-6.0, 0.0))
    options = parser.parse_args(argv)
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    done = {(r["family"], r["depth"], r["number"]): r for r in map(json.loads, lines)}
    cells = [(family, depth) for family in options.families for depth in options.depths]
    each = -(-options.count // len(cells))
    for family, depth in cells:
        wanted = [n for n in range(each) if (family, depth, n) not in done]
        if not wanted:
            continue
        searcher = Searcher(family, depth)
        for number in wanted:
            rng = np.random.default_rng([options.seed, zlib.crc32(family.encode()), depth, number])
            kind, rate = str(rng.choice(options.tables)), float(rng.choice(RATES))
            row = {"family": family, "depth": depth, "number": number, "table": kind, "rate": rate}
            row |= one(searcher, kind, rate, int(rng.integers(20, 120)), options.exponents, rng)
            done[family, depth, number] = row
            with options.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
        print(f"{family}, depth {depth}: {len(wanted)} models", flush=True)
    rows = list(done.values())
    for family in options.families:
        ratios = collections.defaultdict(list)
        for row in rows:
            if row["family"] == family:
                ratios[int(np.floor(row["exponent"]))] += row["ratios"]
        medians = ", ".join(f"1e{key}: {np.median(ratios[key]):.4g}" for key in sorted(ratios) if ratios[key])
        print(f"{family}: median of certificate over finding by radius over spread, {medians}")
    violations = [row for row in rows if row["violations"]]
    print(f"{len(rows)} models, {sum(len(row['ratios']) for row in rows)} balls, {len(violations)} models with violations")
    return int(bool(violations))


if __name__ == "__main__":
    sys.exit(main())
