"""Trains a line on two logical CPUs in a process of its own; prints replicas, loss and weight as JSON."""

import json

import keras
import numpy as np
import tensorflow as tf

from recipes.common.strategy import check_batch_size, distributed_step, loss_share, make_strategy, worker_number

strategy = make_strategy("mirrored", replicas=2)
x = np.arange(8, dtype=np.float32)[:, None]
with strategy.scope():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    optimizer = keras.optimizers.SGD(0.01)
    optimizer.build(model.trainable_variables)


def step(batch):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(batch) - 3.0 * batch) ** 2)
        share = loss_share(loss)
    variables = model.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(share, variables), variables, strict=True))
    return {"loss": loss}


train = distributed_step(strategy, step)
check_batch_size(strategy, 8)
dataset = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices(x).batch(8).repeat(3))
losses = [float(train(batch)["loss"]) for batch in dataset]
weights = [float(w[0, 0]) for w in strategy.experimental_local_results(model.trainable_variables[0].value)]
found = {"replicas": strategy.num_replicas_in_sync, "losses": losses, "weights": weights}
print(json.dumps({**found, "worker": worker_number(strategy)}))
