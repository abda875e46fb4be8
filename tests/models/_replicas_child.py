"""Trains a classifier for two steps on `argv[1]` parts of the CPU, by itself; writes weights and losses to `argv[2]`."""

import sys

import keras
import numpy as np
import tensorflow as tf

from inntf.models import i_resnet_classifier
from inntf.stability import FiniteDifferences
from recipes.common.strategy import make_strategy


def main(replicas: int, path: str) -> None:
    strategy = make_strategy("mirrored" if replicas > 1 else "none", replicas if replicas > 1 else None)
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(64, 8, 8, 1)).astype("float32") * 2 + 1
    y = np.random.default_rng(1).integers(0, 3, 64)
    with strategy.scope():
        model = i_resnet_classifier(event_shape=(8, 8, 1), blocks=(1, 1), hidden=(4, 4), channels=4, classes=3)
        model.set_regularizers([FiniteDifferences(1.0, seed=0)])  # a term of the loss beside that of the labels
        model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    model.initialize(x[:32])
    seen = model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(32), shuffle=False, verbose=0).history
    np.savez(path, *(w.numpy() for w in model.weights), **{name: np.float32(values) for name, values in seen.items()})


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
