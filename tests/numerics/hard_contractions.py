"""Contractions for the tests of the fixed point: one function a sample, Lipschitz constants known and mostly attained."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

KINDS = ("rotation", "signs", "shift", "orthogonal", "minus", "elu", "tanh", "abs", "sin", "max_min", "random")


def orthogonal(rng, n, dim):
    return np.linalg.qr(rng.normal(size=(n, dim, dim)))[0]


class Contractions:
    """`n` functions on vectors of width `dim`, sample `i` with constant `lipschitz[i]`, of the kind `KINDS[kind[i]]`.

    The first kinds are linear and attain the constant in every direction, or nearly; then come two-layer networks of
    orthogonal kernels, whose slope reaches the constant where the activation's does; the last has random kernels.
    """

    def __init__(self, rng, n, dim, lipschitz, kinds=KINDS):
        self.dim = dim
        lipschitz = np.broadcast_to(lipschitz, [n])
        self.kind = rng.integers(0, len(kinds), n)
        q, r = orthogonal(rng, n, dim), orthogonal(rng, n, dim)
        first, last = np.broadcast_to(np.eye(dim), (n, dim, dim)).copy(), np.zeros((n, dim, dim))
        turn = np.zeros((n, dim, dim))
        for i in range(0, dim - 1, 2):
            angle = rng.uniform(0, 2 * np.pi, n)
            turn[:, i, i] = turn[:, i + 1, i + 1] = np.cos(angle)
            turn[:, i + 1, i], turn[:, i, i + 1] = np.sin(angle), -np.sin(angle)
        if dim % 2:
            turn[:, -1, -1] = rng.choice([-1.0, 1.0], n)
        signs = rng.choice([-1.0, 1.0], (n, dim)) * rng.uniform(0.9, 1, (n, dim))
        signs[:, 0] = -1
        random = rng.normal(size=(n, dim, dim))
        random /= np.linalg.norm(random, 2, axis=(1, 2))[:, None, None]
        linear = {
            "rotation": q @ turn @ q.transpose(0, 2, 1),
            "signs": (q * signs[:, None]) @ q.transpose(0, 2, 1),
            "shift": np.broadcast_to(np.roll(np.eye(dim), 1, 0), (n, dim, dim)),
            "orthogonal": q,
            "minus": np.broadcast_to(-np.eye(dim), (n, dim, dim)),
        }
        self.bias = np.zeros((n, dim))
        for k, name in enumerate(kinds):
            mine = self.kind == k
            last[mine] = linear.get(name, random if name == "random" else r)[mine]
            if name not in linear:
                first[mine] = (random.transpose(0, 2, 1) if name == "random" else q)[mine]
                self.bias[mine] = rng.normal(size=(n, dim))[mine]
        self.names = kinds
        self.first, self.last = first, last * lipschitz[:, None, None]

    def rounded(self, dtype):
        """The same with parameters of that dtype."""
        for name in ("first", "last", "bias"):
            setattr(self, name, getattr(self, name).astype(dtype).astype(np.float64))
        return self

    @property
    def lipschitz(self):
        """Bounds from exact norms of the parameters as they are."""
        norms = [np.linalg.norm(w, 2, axis=(1, 2)) for w in (self.first, self.last)]
        return norms[0] * norms[1] * (1 + 1e-12)

    def function(self, dtype):
        """`g` on `(n, dim)`."""
        first, last, bias = (tf.constant(v, dtype) for v in (self.first, self.last, self.bias))
        activations = {
            "elu": tf.nn.elu,
            "tanh": tf.tanh,
            "abs": tf.abs,
            "sin": tf.sin,
            "random": tf.tanh,
            "max_min": lambda h: tf.concat([tf.maximum(*_halves(h)), tf.minimum(*_halves(h)), h[:, 2 * (self.dim // 2) :]], 1),
        }
        used = [
            (tf.constant(self.kind == k)[:, None], activations[name])
            for k, name in enumerate(self.names)
            if name in activations
        ]

        def g(x):
            h = tf.linalg.matvec(first, x) + bias
            out = h
            for mine, activation in used:
                out = tf.where(mine, activation(h), out)
            return tf.linalg.matvec(last, out)

        return g

    def exact_inverse(self, z):
        """The root to 1e-14 or so, by Newton's method with plain steps between, in float64 and independent of the solver."""
        g = self.function(tf.float64)

        @tf.function(autograph=False)
        def newton(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                f = x + g(x) - z
            step = tf.linalg.solve(tape.batch_jacobian(f, x, experimental_use_pfor=False), f[..., None])[..., 0]
            trial = x - step
            better = tf.norm(trial + g(trial) - z, axis=1) < tf.norm(f, axis=1)
            return tf.where(better[:, None], trial, z - g(x)), tf.reduce_max(tf.norm(f, axis=1))

        x = tf.constant(z)
        for _ in range(400):
            x, size = newton(x)
            if size < 2e-14 * (1 + np.abs(z).max()):
                break
        return x.numpy(), np.linalg.norm(x + g(x) - z, axis=1)


def _halves(h):
    half = h.shape[1] // 2
    return h[:, :half], h[:, half : 2 * half]
