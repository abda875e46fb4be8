"""Many small trained models: do certificates hold, do reports come through, and is "stable" never said of what breaks?

    python -m benchmarks.trained_models [--count 1000] [--seed 0] [--out trained_models.jsonl] [--depths 1 2 4 8 16 32 64]

Each model is drawn (family, depth, data, learning rate, steps), really trained, then asked: `certify` and
`stability_report` must not raise, no bound of the certificate may lie below a measured singular value or secant, and no
model may be called "stable" whose samples or reconstructions are not finite in 1 % of the cases or more.  Learning rates
reach into divergence on purpose: models whose weights are NaN count, too.

One line a model is appended to `--out`; models that are there already are skipped, so a run can be stopped and resumed.
Models of one family and depth follow each other and share their compiled graphs: about a second a model on one core.
The last lines tell the three counts, and the exit status is 1 unless all of them are zero.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import sys
import time
import traceback
import warnings

import keras
import numpy as np
import tensorflow as tf

import inntf
from inntf import blocks, compose, nets, numerics, stability
from inntf.core.refusals import marked_refusals
from inntf.stability.block_functions import BlockFunctions

DIM, IMAGE = 4, (4, 4, 2)
DEPTHS = (1, 2, 4, 8, 16, 32, 64)
BATCH, DATA, DRAWS = 64, 512, 2000
AFFINE = ["affine-exp", "affine-sigmoid", "affine-unbounded", "affine-softplus"]
FAMILIES = [*AFFINE, "additive", "two-sided", "spline", "residual", "maf", "iaf", "maf-spline", "mixed", "image"]
TABLES = ["normal", "heavy", "offset", "large-offset", "constant", "nearly-constant", "sorted", "tiny", "huge", "bimodal"]
TABLES += ["columns"]
RATES = (1e-3, 5e-3, 2e-2, 0.1, 0.5)


def net(n: int) -> keras.layers.Layer:
    """A small conditioner for vectors, not zero at the start."""
    return nets.MLP((8,), out_channels=n, zero_last=False)


def step(family: str, i: int) -> list[inntf.Block]:
    """The blocks of one step of a family."""
    turn = [blocks.Permutation.shuffle(i)]
    scales = {
        "affine-exp": numerics.ExpScale(2.0),
        "affine-sigmoid": numerics.SigmoidScale(low=0.5),
        "affine-unbounded": numerics.ExpScale(None),
        "affine-softplus": numerics.SoftplusScale(),
    }
    if family in scales:
        return [blocks.ActNorm(), *turn, blocks.AffineCoupling(conditioner=net, scale=scales[family])]
    if family == "image":
        conv = nets.ConvNet(4, zero_last=False)
        return [blocks.ActNorm(), blocks.InvertibleConv1x1(seed=i), blocks.AffineCoupling(conditioner=conv)]
    if family == "mixed":
        kinds = [
            lambda: blocks.AffineCoupling(conditioner=net),
            lambda: blocks.AdditiveCoupling(conditioner=net),
            lambda: blocks.SplineCoupling(conditioner=net),
            lambda: blocks.ResidualBlock(network=nets.LipschitzMLP((8,))),
            lambda: blocks.MaskedAutoregressive(conditioner=nets.MaskedMLP(hidden=(8,))),
        ]
        return [blocks.ActNorm(), blocks.InvertibleLinear(seed=i), kinds[i % len(kinds)]()]
    return {
        "additive": lambda: [blocks.ActNorm(), *turn, blocks.AdditiveCoupling(conditioner=net)],
        "two-sided": lambda: [blocks.ActNorm(), blocks.TwoSidedCoupling(conditioner=net), *turn],
        "spline": lambda: [blocks.ActNorm(), *turn, blocks.SplineCoupling(conditioner=net)],
        "residual": lambda: [blocks.ActNorm(), blocks.ResidualBlock(network=nets.LipschitzMLP((8,)))],
        "maf": lambda: [blocks.ActNorm(), *turn, blocks.MaskedAutoregressive(conditioner=nets.MaskedMLP(hidden=(8,)))],
        "iaf": lambda: [*turn, blocks.MaskedAutoregressive(conditioner=nets.MaskedMLP(hidden=(8,)), reads="latent")],
        "maf-spline": lambda: [
            blocks.ActNorm(),
            *turn,
            blocks.MaskedAutoregressive(conditioner=nets.MaskedMLP(hidden=(8,)), transformer="spline"),
        ],
    }[family]()


class Workshop:
    """One architecture with its compiled training step, sampling and reconstruction; many models are trained in it."""

    def __init__(self, family: str, depth: int):
        if family == "multiscale":
            level = lambda: compose.Chain([blocks.Squeeze(), *(part for i in range(depth) for part in step("image", i))])  # noqa: E731
            block = compose.Multiscale([level(), level()], priors="learned")
        elif depth <= 4 or family in ("mixed", "affine-softplus"):  # graphs of a chain grow with its depth, not those of a scan
            block = compose.Chain([part for i in range(depth) for part in step(family, i)])
        else:
            numbers = iter(range(depth + 1))
            block = compose.Repeat(lambda: compose.Chain(step(family, next(numbers) % depth)), depth)
        self.event = IMAGE if family in ("image", "multiscale") else (DIM,)
        self.flow = inntf.Flow(block, event_shape=self.event)
        self.block = self.flow.block
        self.fresh = self.block.get_weights()
        self.optimizer = keras.optimizers.Adam()
        self.optimizer.build(self.block.trainable_variables)
        self.cold = [v.numpy() for v in self.optimizer.variables]
        batch = tf.TensorSpec([None, *self.event], tf.float32)
        self.train = tf.function(self._train, input_signature=[batch])
        self.there_and_back = tf.function(self._there_and_back, input_signature=[batch])
        self.sample = tf.function(self._sample, input_signature=[tf.TensorSpec([None, *self.block._z_event_shape], tf.float32)])

    def _train(self, x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(self.flow.log_prob(x))
        variables = self.block.trainable_variables
        self.optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        return loss

    def _there_and_back(self, x: tf.Tensor) -> tf.Tensor:
        with marked_refusals():
            return self.block.inverse_and_log_det(self.block.forward_and_log_det(x)[0])[0]

    def _sample(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with marked_refusals():
            x = self.block.inverse_and_log_det(z)[0]
            return x, self.block.forward_and_log_det(x)[0]

    def restart(self, rng: np.random.Generator) -> None:
        """Other initial weights, and an optimizer without a memory."""
        sizes = [0.0 if w.dtype.kind in "iu" else 0.1 for w in self.fresh]
        noise = [s * rng.normal(size=w.shape) * (np.abs(w).mean() + 0.1) for w, s in zip(self.fresh, sizes, strict=True)]
        trainable = {id(v) for v in self.block.trainable_variables}
        kept = [id(v) in trainable for v in self.block.weights]
        self.block.set_weights([w + n * k for w, n, k in zip(self.fresh, noise, kept, strict=True)])
        for variable, value in zip(self.optimizer.variables, self.cold, strict=True):
            variable.assign(value)


def table(kind: str, event: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Data that real users bring."""
    x = rng.normal(size=(DATA, *event))
    x[..., -1] = 0.5 * x[..., 0] ** 2 + 0.3 * x[..., -1]
    if kind == "heavy":
        x = rng.standard_t(1.5, size=x.shape)
    elif kind in ("offset", "large-offset"):
        x = x * 10 + (1e3 if kind == "offset" else 1e5)
    elif kind in ("constant", "nearly-constant"):
        x[..., 1] = 3.25 + (1e-6 * x[..., 1] if kind == "nearly-constant" else 0)
    elif kind == "sorted":
        x = np.sort(x, axis=0)
    elif kind in ("tiny", "huge"):
        x = x * (1e-4 if kind == "tiny" else 1e6)
    elif kind == "bimodal":
        x = 0.1 * x + 5 * np.sign(rng.normal(size=(DATA,) + (1,) * len(event)))
    elif kind == "columns":
        x = x * 10.0 ** rng.integers(-4, 5, event[-1])
    return x.astype(np.float32)


def measure(shop: Workshop, x: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """The largest and smallest stretch seen: singular values in float64 at data and in their box, secants between them."""
    low, high = x.min(0), x.max(0)
    points = np.concatenate([x[:3], rng.uniform(low, high, (3, *x.shape[1:]))]).astype(np.float32)
    values = stability.singular_values(shop.block, points, method="exact", precision="float64")
    wide = stability.float64_copy(shop.block)
    ends = np.concatenate([x[:32], rng.uniform(low, high, (32, *x.shape[1:]))]).astype(np.float64)
    images = BlockFunctions.of(wide, ends).forward(tf.constant(ends)).numpy().reshape(64, -1)
    flat = ends.reshape(64, -1)
    other = rng.permutation(64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        secants = np.linalg.norm(images - images[other], axis=1) / np.linalg.norm(flat - flat[other], axis=1)
    sound = values.largest.numpy()[np.isfinite(values.largest)]
    small = values.smallest.numpy()[np.isfinite(values.smallest) & values.consistent.numpy()]
    return {
        "largest": float(max([*sound, *secants[np.isfinite(secants)]], default=0.0)),
        "smallest": float(min(small, default=np.inf)),
    }


def lost(shop: Workshop, x: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Shares of samples, and of reconstructions of either side, that are not finite."""

    def share(values: tf.Tensor) -> float:
        return float(1 - np.isfinite(values.numpy()).reshape(len(values), -1).all(1).mean())

    z = rng.normal(size=(DRAWS, *shop.block._z_event_shape)).astype(np.float32)
    sample, again = shop.sample(z)
    return {"samples": share(sample), "latents": share(again), "reconstructions": share(shop.there_and_back(x))}


def one(shop: Workshop, kind: str, rate: float, steps: int, initialize: bool, rng: np.random.Generator) -> dict:
    """Train one model, and ask it everything."""
    shop.restart(rng)
    x = table(kind, shop.event, rng)
    if initialize:
        shop.flow.initialize(x)
    shop.optimizer.learning_rate.assign(rate)
    for _ in range(steps):
        loss = shop.train(x[rng.integers(0, DATA, BATCH)])
    found = {"loss": float(loss), "exceptions": [], "below": [], "verdict": None}
    box = (float(x.min()), float(x.max()))
    certificates = {}
    for name, domain in (("global", None), ("box", box), ("far", (-1e30, 1e30))):
        try:
            certificates[name] = stability.certify(shop.flow, domain)
        except Exception:
            found["exceptions"].append(f"certify {name}: {traceback.format_exc(limit=-2)}")
    began = time.perf_counter()
    try:
        report = stability.stability_report(shop.flow, x[:BATCH], passes=3, samples=4)
        found["verdict"], found["case"] = report["verdict"], report["case"]
        str(report), report.to_json()
    except Exception:
        found["exceptions"].append(f"stability_report: {traceback.format_exc(limit=-2)}")
    found["report_s"] = time.perf_counter() - began
    seen = measure(shop, x, rng)
    for name, certificate in certificates.items():
        forward, inverse = certificate.bounds
        if seen["largest"] > forward * (1 + 1e-6):
            found["below"].append(f"{name}: forward {forward:.6g} below {seen['largest']:.6g}")
        if seen["smallest"] > 0 and 1 / seen["smallest"] > inverse * (1 + 1e-6):
            found["below"].append(f"{name}: inverse {inverse:.6g} below {1 / seen['smallest']:.6g}")
    found["lost"] = lost(shop, x, rng)
    found["false_stable"] = found["verdict"] == "stable" and max(found["lost"].values()) >= 0.01
    return found


def plan(count: int, seed: int, depths: list[int]) -> list[dict]:
    """What each model is to be, those of one architecture beside each other."""
    rng = np.random.default_rng(seed)
    models = []
    for number in range(count):
        model = {"number": number, "family": FAMILIES[number % len(FAMILIES)]}
        model["depth"] = int(depths[int(rng.integers(len(depths)))])
        if model["family"] in ("mixed", "affine-softplus"):
            model["depth"] = min(model["depth"], 16)
        model |= {"data": str(rng.choice(TABLES)), "rate": float(rng.choice(RATES)), "steps": int(rng.integers(30, 60))}
        models.append(model | {"initialize": bool(rng.integers(2))})
    return sorted(models, key=lambda m: (m["depth"], m["family"], m["number"]))


def summarize(lines: list[dict]) -> int:
    """Print the three counts and what they are made of; 0 if all are zero."""
    exceptions = sum(len(line["exceptions"]) for line in lines)
    below, false = sum(len(line["below"]) for line in lines), sum(line["false_stable"] for line in lines)
    print(f"{len(lines)} trained models: verdicts {dict(collections.Counter(line['verdict'] for line in lines))}")
    print(f"cases: {dict(collections.Counter(line.get('case') for line in lines))}")
    diverged = sum(not np.isfinite(line["loss"]) for line in lines)
    print(f"diverged: {diverged}; median time of a report: {np.median([line['report_s'] for line in lines]):.2f} s")
    for line in lines:
        for text in [*line["exceptions"], *line["below"], *(["stable, yet lost"] if line["false_stable"] else [])]:
            print(f"  model {line['number']} ({line['family']}, depth {line['depth']}, {line['data']}): {text}")
    print(f"exceptions: {exceptions}; certificates below a measured value: {below}; false 'stable': {false}")
    return int(bool(exceptions or below or false))


def main() -> int:
    """Train what is missing, then summarize."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("trained_models.jsonl"))
    parser.add_argument("--depths", type=int, nargs="+", default=list(DEPTHS))
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    lines = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    lines = [line for line in lines if line["seed"] == arguments.seed]
    done, shop, made, began = {line["number"] for line in lines}, None, None, time.perf_counter()
    models = [model for model in plan(arguments.count, arguments.seed, arguments.depths) if model["number"] not in done]
    for i, model in enumerate(models):
        if made != (model["family"], model["depth"]):
            made = model["family"], model["depth"]
            keras.utils.set_random_seed(arguments.seed)
            shop = Workshop(*made)
        rng = np.random.default_rng([arguments.seed, model["number"]])
        found = one(shop, model["data"], model["rate"], model["steps"], model["initialize"], rng)
        lines.append({"seed": arguments.seed, **model, **found})
        with arguments.out.open("a") as file:
            file.write(json.dumps(lines[-1]) + "\n")
        print(f"{i + 1} of {len(models)}, {time.perf_counter() - began:.0f} s: {model} {found['verdict']}", flush=True)
    return summarize(lines)


if __name__ == "__main__":
    sys.exit(main())
