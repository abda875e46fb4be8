"""A Glow written by hand in JAX for `benchmarks.peers`: `JAX_PYTHON -m benchmarks.workers.glow_jax glow unrolled`.

The mathematics of `benchmarks.workers.raw_tensorflow`: 3 levels of ActNorm, PLU 1x1 convolution, affine coupling; NHWC,
unrolled, one `jax.jit`.  There is no inverse: nothing here needs one.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from benchmarks.workers.loop import claim_output, libraries_loaded, timed
from benchmarks.workers.tiny_steps import jax_started

SIZES = {False: (32, 32, 8, 64), True: (2, 8, 1, 4)}  # batch, image, steps a level, hidden channels


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=("glow",))
    parser.add_argument("variant", choices=("unrolled",))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    answers = claim_output()
    import jax
    import jax.numpy as jnp
    from scipy.linalg import lu

    from benchmarks.workers.jax_training import train_and_serve

    batch, size, depth, hidden = SIZES[args.tiny]
    rng = np.random.default_rng(0)
    x = rng.uniform(-0.5, 0.5, (batch, size, size, 3)).astype(np.float32)
    jax_started()
    start = libraries_loaded()
    fixed = {}  # permutations and signs, by level and step

    def conv_weights(k, n_in, n_out, zero=False):
        bound = math.sqrt(6 / (k * k * (n_in + n_out)))
        kernel = rng.uniform(-bound, bound, (k, k, n_in, n_out)) * (not zero)
        return jnp.asarray(kernel, jnp.float32), jnp.zeros(n_out)

    def make_step(where, channels):
        p, lower, upper = lu(np.linalg.qr(rng.normal(size=(channels, channels)))[0])
        fixed[where] = jnp.asarray(p, jnp.float32), jnp.asarray(np.sign(np.diag(upper)), jnp.float32)
        half = channels // 2
        return {
            "shift": jnp.zeros(channels),
            "log_scale": jnp.zeros(channels),
            "lower": jnp.asarray(np.tril(lower, -1), jnp.float32),
            "upper": jnp.asarray(np.triu(upper, 1), jnp.float32),
            "log_diagonal": jnp.asarray(np.log(np.abs(np.diag(upper))), jnp.float32),
            "net": [
                conv_weights(3, half, hidden),
                conv_weights(1, hidden, hidden),
                conv_weights(3, hidden, channels, zero=True),
            ],
        }

    def conv(x, weights):
        kernel, bias = weights
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias

    def one_step(step, where, x):
        p, sign = fixed[where]
        x = (x + step["shift"]) * jnp.exp(step["log_scale"])
        lower = jnp.tril(step["lower"], -1) + jnp.eye(len(p))
        upper = jnp.triu(step["upper"], 1) + jnp.diag(sign * jnp.exp(step["log_diagonal"]))
        x = x @ (p @ lower @ upper).T
        log_det = x.shape[1] * x.shape[2] * (step["log_scale"].sum() + step["log_diagonal"].sum())
        a, b = jnp.split(x, 2, -1)
        first, second, third = step["net"]
        raw = conv(jax.nn.relu(conv(jax.nn.relu(conv(a, first)), second)), third)
        shift, raw = jnp.split(raw, 2, -1)
        log_scale = jax.nn.log_sigmoid(raw + 2.0)
        return jnp.concatenate([a, b * jnp.exp(log_scale) + shift], -1), log_det + log_scale.sum((1, 2, 3))

    def squeeze(x):
        n, h, w, c = x.shape
        return x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4 * c)

    def log_prob(params, x):
        total = -0.5 * size * size * 3 * math.log(2 * math.pi)
        for i, steps in enumerate(params):
            x = squeeze(x)
            for j, step in enumerate(steps):
                x, log_det = one_step(step, (i, j), x)
                total = total + log_det
            if i < 2:
                x, left = jnp.split(x, 2, -1)
                total = total - 0.5 * (left**2).sum((1, 2, 3))
        return total - 0.5 * (x**2).sum((1, 2, 3))

    make = lambda: [[make_step((i, j), c) for j in range(depth)] for i, c in enumerate((12, 24, 48))]  # noqa: E731
    build, _, params = timed(make)
    train_and_serve(answers, params, log_prob, x, start, build)


if __name__ == "__main__":
    main()
