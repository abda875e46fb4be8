"""Lipschitz bounds of conditioners against the product of norms, what can be reached, and the package eclipse-nn.

    python -m benchmarks.conditioner_bounds [--steps 300] [--json conditioner_bounds.json] [--peers PATH]

Conditioners of two and of five hidden layers, with He's random weights and as they are in affine couplings trained on curved
data and on mixtures.  Each row is a median over networks, relative to the product of the layers' norms:

- bound: `lipschitz_constant`;
- eclipse-nn: its ECLipsE_Fast, where slopes are not negative and the peer's Python is there (`INNTF_PEERS` or --peers);
- search: the largest norm of an exact Jacobian among thousands of points and by gradient ascent from the best of them;
- slopes: the largest norm found by choosing each neuron's slope freely, below which no bound from slopes alone can lie;
- ms: CPU time of a bound after the first call, and of the peer's.

The exit status is 1 if a search is above a bound.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from inntf import blocks, compose, nets
from inntf.nets.dense_chains import parts_in_turn
from inntf.nets.remembered import _known
from inntf.nets.slope_ranges import global_slopes

HIDDEN = ((64, 64), (64,) * 5)
ACTIVATIONS: tuple[Any, ...] = ("relu", "softplus", nets.lip_swish)
DATA = (("curved", 2), ("mixture", 8))
COLUMNS = (
    ("bound", "bound", 8, 3),
    ("eclipse-nn", "eclipse", 12, 3),
    ("search", "search", 8, 3),
    ("slopes", "slopes", 8, 3),
    ("ms", "ms", 7, 0),
    ("peer ms", "peer_ms", 9, 0),
)
PEER = """
import json, sys, time, torch
from eclipse_nn.LipConstEstimator import LipConstEstimator
torch.set_num_threads(1)
out = []
for kernels in json.load(sys.stdin):
    weights = [torch.tensor(k, dtype=torch.float64).T.contiguous() for k in kernels]
    started = time.process_time()
    value = float(LipConstEstimator(weights=weights).estimate("ECLipsE_Fast"))
    out.append([value, time.process_time() - started])
print(json.dumps(out))
"""


def data(kind: str, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Samples that are far from normal, standardized."""
    x = rng.normal(size=(4096, dim))
    if kind == "curved":
        x[:, 1::2] = 0.5 * x[:, 1::2] + x[:, ::2] ** 2
    else:
        x = 2 * rng.normal(size=(8, dim))[rng.integers(0, 8, len(x))] + 0.3 * x
    return ((x - x.mean(0)) / x.std(0)).astype("float32")


def trained(hidden: tuple[int, ...], activation: Any, kind: str, dim: int, steps: int, seed: int) -> list[Any]:
    """The conditioners of four affine couplings after maximum likelihood."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    x = data(kind, dim, rng)
    turn = [blocks.Permutation.shuffle(i) if dim > 2 else blocks.Permutation.reverse() for i in range(4)]
    couplings = [blocks.AffineCoupling(conditioner=nets.MLP(hidden, activation=activation)) for _ in turn]
    chain = compose.Chain([block for pair in zip(turn, couplings, strict=True) for block in pair]).ensure_built((dim,))
    optimizer, weights = keras.optimizers.Adam(1e-3), chain.trainable_variables

    @tf.function(autograph=False)
    def step(batch: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            z, log_det = chain.forward_and_log_det(batch)
            loss = tf.reduce_mean(tf.reduce_sum(z**2, 1) / 2 - log_det)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, weights), 10.0)
        optimizer.apply_gradients(zip(gradients, weights, strict=True))

    for _ in range(steps):
        step(tf.constant(x[rng.integers(0, len(x), 128)]))
    return [coupling.conditioner for coupling in couplings]


def random(hidden: tuple[int, ...], activation: Any, dim: int, seed: int) -> Any:
    """A conditioner with He's weights."""
    keras.utils.set_random_seed(seed)
    network = nets.MLP(hidden, out_channels=dim, activation=activation)
    network.build((None, max(1, dim // 2)))
    for layer in network.layers:
        layer.kernel.assign(keras.initializers.HeNormal(seed=seed)(layer.kernel.shape))
        seed += 1
    return network


def jacobian_norms(network: Any) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Norms of exact Jacobians in float64, and where they grow."""
    layers = [(tf.cast(p.kernel, tf.float64), tf.cast(p.bias, tf.float64), p.activation) for p in network.layers]

    def size(x: tf.Tensor) -> tf.Tensor:
        jacobian = None
        for i, (kernel, bias, activation) in enumerate(layers):
            x = x @ kernel + bias
            jacobian = tf.transpose(kernel)[None] if jacobian is None else tf.einsum("io,nid->nod", kernel, jacobian)
            if i < len(layers) - 1:
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    y = activation(x)
                jacobian = tape.gradient(y, x)[:, :, None] * jacobian
                x = y
        return tf.linalg.svd(jacobian, compute_uv=False)[:, 0]

    def both(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            found = size(x)
        return found, tape.gradient(found, x, unconnected_gradients="zero")

    return both


def search(network: Any, rng: np.random.Generator, points: int = 2000, best: int = 100, steps: int = 10) -> float:
    """The largest norm found; of piecewise linear networks, whose Jacobians have no gradient, by random steps."""
    norms, dim = jacobian_norms(network), network.layers[0].kernel.shape[0]
    x = rng.normal(size=(points, dim)) * np.exp(rng.uniform(-2, 3, (points, 1)))
    sizes = norms(tf.constant(x))[0].numpy()
    found, x = sizes.max(), x[np.argsort(-sizes)[:best]]
    for i in range(steps):
        sizes, uphill = (part.numpy() for part in norms(tf.constant(x)))
        found = max(found, sizes.max())
        uphill = np.where(np.any(uphill, 1, keepdims=True), uphill, rng.normal(size=x.shape))
        x = x + 0.5 * 0.8**i * (1 + np.abs(x)) * uphill / np.linalg.norm(uphill, axis=1, keepdims=True)
    return float(found)


def chosen_slopes(network: Any, rng: np.random.Generator, starts: int = 4, sweeps: int = 8) -> float:
    """The largest norm found by setting every neuron's slope to an end of its range, layer by layer."""
    weights = [layer.kernel.numpy().astype(np.float64).T for layer in network.layers]
    low, high = global_slopes(network.layers[0].activation)
    found = 0.0
    for start in range(starts):
        slopes = [np.where(rng.random(len(w)) < 0.3 * start, low, high) for w in weights[:-1]]
        for _ in range(sweeps):
            jacobian = weights[0]
            for d, w in zip(slopes, weights[1:], strict=True):
                jacobian = w @ (d[:, None] * jacobian)
            u, s, v = np.linalg.svd(jacobian)
            found, ahead, seen = max(found, s[0]), v[0], []
            for d, w in zip(slopes, weights, strict=False):
                seen.append(w @ ahead)
                ahead = d * seen[-1]
            back = u[:, 0]
            for i in reversed(range(len(slopes))):
                back = weights[i + 1].T @ back
                slopes[i] = np.where(back * seen[i] > 0, high, low)
                back = back * slopes[i]
    return float(found)


def peer(networks: list[Any], python: str | None) -> list[list[float] | None]:
    """eclipse-nn's bound and its time, where the slopes are those that its closed form is for: from 0 to 1."""
    known = [n for n in networks if global_slopes(n.layers[0].activation) == (0.0, 1.0)]
    if not python or not known:
        return [None] * len(networks)
    given = json.dumps([[layer.kernel.numpy().tolist() for layer in n.layers] for n in known])
    done = subprocess.run([python, "-W", "ignore", "-c", PEER], input=given, capture_output=True, text=True, check=True)
    answers = dict(zip(map(id, known), json.loads(done.stdout.splitlines()[-1]), strict=True))
    return [answers.get(id(n)) for n in networks]


def measure(network: Any, rng: np.random.Generator) -> dict[str, float]:
    """All the numbers of one network."""
    product = math.prod(nets.lipschitz_constant(part)[0] for part in parts_in_turn([network]))
    times = []
    for _ in range(3):
        _known.clear()
        started = time.process_time()
        bound = nets.lipschitz_constant(network)[0]
        times.append(time.process_time() - started)
    found = search(network, rng)
    row = {"bound": bound / product, "search": found / product, "slopes": chosen_slopes(network, rng) / product}
    return row | {"product": product, "ms": 1e3 * float(np.median(times[1:])), "below": found > bound * (1 + 1e-9)}


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--peers", default=os.environ.get("INNTF_PEERS"), help="Python of an environment with eclipse-nn")
    options = parser.parse_args(argv)
    rng, rows = np.random.default_rng(0), []
    print("  hidden  weights  activation" + "".join(f"{title:>{width}}" for title, _, width, _ in COLUMNS))
    for hidden, activation in itertools.product(HIDDEN, ACTIVATIONS):
        name = activation if isinstance(activation, str) else activation.__name__
        sets = {
            "random": [random(hidden, activation, dim, seed) for _, dim in DATA for seed in range(2)],
            "trained": [n for k, of in enumerate(DATA) for n in trained(hidden, activation, *of, options.steps, k)],
        }
        for weights, networks in sets.items():
            found = [measure(network, rng) for network in networks]
            for row, theirs in zip(found, peer(networks, options.peers), strict=True):
                if theirs is not None:
                    row |= {"eclipse": theirs[0] / row["product"], "peer_ms": 1e3 * theirs[1]}
            rows += [row | {"hidden": list(hidden), "weights": weights, "activation": name} for row in found]
            show(f"{len(hidden)}x{hidden[0]}", weights, name, found)
    for depth, weights in itertools.product((2, 5), ("random", "trained")):
        show(str(depth), weights, "all", [row for row in rows if len(row["hidden"]) == depth and row["weights"] == weights])
    below = sum(row["below"] for row in rows)
    print(f"{len(rows)} networks, {below} with a search above the bound, slowest bound {max(row['ms'] for row in rows):.0f} ms")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return int(bool(below))


def show(hidden: str, weights: str, activation: str, rows: list[dict[str, float]]) -> None:
    """A line of medians."""
    cells = []
    for _, key, width, digits in COLUMNS:
        values = [row[key] for row in rows if key in row]
        cells.append(f"{np.median(values):{width}.{digits}f}" if values else f"{'-':>{width}}")
    print(f"{hidden:>8}{weights:>9}{activation:>12}" + "".join(cells), flush=True)


if __name__ == "__main__":
    sys.exit(main())
