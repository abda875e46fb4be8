"""Hand-written TensorFlow for `benchmarks.speed`: `python -m benchmarks.workers.raw_tensorflow WORKLOAD VARIANT`.

The same mathematics as inntf's models, NHWC, unrolled, one `tf.function`: what somebody writes who wants it fast and
needs no inverse, no checks and no library.  Adam is Keras' (`keras-adam`), or TensorFlow's fused kernel (`fused-adam`).
"""

from __future__ import annotations

import argparse
import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.workers.loop import claim_output, libraries_loaded, serve, timed
from benchmarks.workers.tiny_steps import tensorflow_started

LOG_2PI = math.log(2 * math.pi)


class Weights:
    """Makes variables and keeps the list of them."""

    def __init__(self, tf, seed=0):
        self.tf, self.rng, self.all = tf, np.random.default_rng(seed), []

    def __call__(self, value):
        variable = self.tf.Variable(np.asarray(value, np.float32))
        self.all.append(variable)
        return variable

    def dense(self, n_in, n_out, zero=False):
        bound = math.sqrt(6 / (n_in + n_out))
        return self(self.rng.uniform(-bound, bound, (n_in, n_out)) * (not zero)), self(np.zeros(n_out))

    def conv(self, size, n_in, n_out, zero=False):
        bound = math.sqrt(6 / (size * size * (n_in + n_out)))
        return self(self.rng.uniform(-bound, bound, (size, size, n_in, n_out)) * (not zero)), self(np.zeros(n_out))


class GlowStep:
    """ActNorm, PLU 1x1 convolution, affine coupling with a 3x3-1x1-3x3 network."""

    def __init__(self, tf, weights, channels, hidden=64):
        self.tf, self.channels = tf, channels
        self.shift, self.log_scale = weights(np.zeros(channels)), weights(np.zeros(channels))
        from scipy.linalg import lu

        p, lower, upper = lu(np.linalg.qr(weights.rng.normal(size=(channels, channels)))[0])
        diagonal = np.diag(upper)
        self.p, self.sign = tf.constant(p, tf.float32), tf.constant(np.sign(diagonal), tf.float32)
        self.lower, self.upper = weights(np.tril(lower, -1)), weights(np.triu(upper, 1))
        self.log_diagonal = weights(np.log(np.abs(diagonal)))
        self.mask, self.eye = tf.constant(np.tril(np.ones_like(p), -1), tf.float32), tf.eye(channels)
        half = channels // 2
        self.net = weights.conv(3, half, hidden), weights.conv(1, hidden, hidden), weights.conv(3, hidden, channels, zero=True)

    def initialize(self, x):
        mean, variance = self.tf.nn.moments(x, [0, 1, 2])
        self.shift.assign(-mean)
        self.log_scale.assign(-0.5 * self.tf.math.log(variance))
        return self(x)[0]

    def __call__(self, x):
        tf = self.tf
        pixels = float(x.shape[1] * x.shape[2])
        x = (x + self.shift) * tf.exp(self.log_scale)
        lower = self.lower * self.mask + self.eye
        upper = self.upper * tf.transpose(self.mask) + tf.linalg.diag(self.sign * tf.exp(self.log_diagonal))
        kernel = self.p @ lower @ upper
        x = tf.reshape(tf.matmul(tf.reshape(x, [-1, self.channels]), kernel, transpose_b=True), tf.shape(x))
        log_det = pixels * (tf.reduce_sum(self.log_scale) + tf.reduce_sum(self.log_diagonal))
        a, b = tf.split(x, 2, -1)
        (k1, b1), (k2, b2), (k3, b3) = self.net
        h = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(a, k1, 1, "SAME"), b1))
        h = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(h, k2, 1, "SAME"), b2))
        shift, raw = tf.split(tf.nn.bias_add(tf.nn.conv2d(h, k3, 1, "SAME"), b3), 2, -1)
        log_scale = tf.math.log_sigmoid(raw + 2.0)
        z = tf.concat([a, b * tf.exp(log_scale) + shift], -1)
        return z, log_det + tf.reduce_sum(log_scale, [1, 2, 3])


def glow(tf, depth):
    weights = Weights(tf)
    levels = [[GlowStep(tf, weights, channels) for _ in range(depth)] for channels in (12, 24, 48)]

    def run(x, initialize=False):
        out, log_det = [], 0.0
        for i, steps in enumerate(levels):
            x = tf.nn.space_to_depth(x, 2)
            for step in steps:
                if initialize:
                    x = step.initialize(x)
                else:
                    x, more = step(x)
                    log_det += more
            if i < 2:
                x, left = tf.split(x, 2, -1)
                out.append(left)
        return [*out, x], log_det

    def log_prob(x):
        latents, log_det = run(x)
        return sum(-0.5 * tf.reduce_sum(z**2, [1, 2, 3]) for z in latents) - 0.5 * 3072 * LOG_2PI + log_det

    return weights.all, log_prob, lambda x: run(x, initialize=True), None


def couplings(tf, depth):
    weights = Weights(tf)
    nets = [(weights.dense(2, 256), weights.dense(256, 256), weights.dense(256, 4, zero=True)) for _ in range(depth)]
    clamp = 2.0 * 2 / math.pi

    def parameters(net, a):
        (k1, b1), (k2, b2), (k3, b3) = net
        h = tf.nn.relu(tf.nn.bias_add(tf.matmul(a, k1), b1))
        h = tf.nn.relu(tf.nn.bias_add(tf.matmul(h, k2), b2))
        shift, raw = tf.split(tf.nn.bias_add(tf.matmul(h, k3), b3), 2, -1)
        return shift, clamp * tf.atan(raw)

    def log_prob(x):
        log_det = 0.0
        for net in nets:
            b, a = tf.split(x, 2, -1)
            shift, log_scale = parameters(net, a)
            x = tf.concat([a, b * tf.exp(log_scale) + shift], -1)
            log_det += tf.reduce_sum(log_scale, -1)
        return -0.5 * tf.reduce_sum(x**2, -1) - 2 * LOG_2PI + log_det

    def sample(n):
        z = tf.random.stateless_normal([n, 4], [1, 2])
        for net in reversed(nets):
            a, b = tf.split(z, 2, -1)
            shift, log_scale = parameters(net, a)
            z = tf.concat([(b - shift) * tf.exp(-log_scale), a], -1)
        return z

    return weights.all, log_prob, None, sample


def fused_adam(tf, variables, rate=1e-4):
    count = tf.Variable(0.0)
    slots = [(tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v))) for v in variables]

    def apply(grads):
        n = count.assign_add(1.0)
        for v, g, (m, s) in zip(variables, grads, slots, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=v.handle,
                m=m.handle,
                v=s.handle,
                beta1_power=0.9**n,
                beta2_power=0.999**n,
                lr=rate,
                beta1=0.9,
                beta2=0.999,
                epsilon=1e-7,
                grad=g,
            )

    return apply


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=("glow", "couplings"))
    parser.add_argument("variant", choices=("keras-adam", "fused-adam"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--depth", type=int, default=8)
    args = parser.parse_args()
    answers = claim_output()
    import keras
    import tensorflow as tf

    tensorflow_started(args.threads)
    start_mib = libraries_loaded()
    shape = [32, 32, 32, 3] if args.workload == "glow" else [1000, 4]
    x = (
        tf.random.stateless_uniform(shape, [0, 0], -0.5, 0.5)
        if args.workload == "glow"
        else tf.random.stateless_normal(shape, [0, 0])
    )
    build, _, (variables, log_prob, initialize, draw) = timed(
        lambda: (glow if args.workload == "glow" else couplings)(tf, args.depth)
    )
    start = timed(lambda: initialize(x))[0] if initialize else 0.0
    if args.variant == "keras-adam":
        optimizer = keras.optimizers.Adam(1e-4)
        optimizer.build(variables)
        apply = lambda grads: optimizer.apply_gradients(zip(grads, variables, strict=True))  # noqa: E731
    else:
        apply = fused_adam(tf, variables)

    @tf.function
    def train(x):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(log_prob(x))
        apply(tape.gradient(loss, variables))
        return loss

    first_seconds, first_cpu, loss = timed(lambda: float(train(x)))
    density, sample = tf.function(log_prob), tf.function(lambda: draw(100_000))
    serve(
        answers,
        {"step": lambda: float(train(x)), "log_prob": lambda: density(x).numpy(), "sample": lambda: sample().numpy()},
        start_mib=start_mib,
        lacks=["inverse"],
        library=f"tensorflow {tf.__version__}",
        parameters=int(sum(v.shape.num_elements() for v in variables)),
        build_seconds=build,
        initialize_seconds=start,
        first_step_seconds=first_seconds,
        first_step_cpu=first_cpu,
        loss=loss,
    )


if __name__ == "__main__":
    main()
