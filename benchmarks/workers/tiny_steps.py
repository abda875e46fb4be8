"""A training step of a tiny network in each framework: what it loads at its first step is no model's own."""

from __future__ import annotations


def torch_started(threads):
    """PyTorch, with this number of threads."""
    import torch

    torch.set_num_threads(threads)
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    torch.manual_seed(0)
    return torch


def tensorflow_started(threads):
    """TensorFlow, with this number of threads."""
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    net, optimizer = keras.layers.Dense(2), keras.optimizers.Adam()
    net.build((None, 2))
    optimizer.build(net.trainable_variables)

    @tf.function(autograph=False)
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(net(x))
        optimizer.apply_gradients(zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables, strict=True))
        return loss

    float(step(tf.ones([1, 2])))
    keras.utils.set_random_seed(0)
    return tf


def jax_started():
    """JAX; its threads are set by environment variables."""
    import jax
    import optax

    optimizer = optax.adam(1e-3)

    @jax.jit
    def step(w, state, x):
        updates, state = optimizer.update(jax.grad(lambda w: (x @ w).sum())(w), state)
        return optax.apply_updates(w, updates)

    w = jax.numpy.ones((2, 2))
    jax.block_until_ready(step(w, optimizer.init(w), jax.numpy.ones((1, 2))))
    return jax
