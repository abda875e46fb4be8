"""inntf's autoencoder for `benchmarks.autoencoder_step`: `python -m benchmarks.workers.autoencoder_ours MODE --threads N`."""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.workers.loop import claim_output, serve_training, timed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("stored", "reversible", "checkpointed"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    args = parser.parse_args()
    answers = claim_output()
    import keras
    import numpy as np
    import tensorflow as tf

    import inntf
    from inntf.models import REFERENCE_AUTOENCODERS, inn_autoencoder

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    tf.zeros([]).numpy()
    build, _, model = timed(
        lambda: inn_autoencoder(**REFERENCE_AUTOENCODERS["mnist"], bottleneck=12, backprop=args.mode, seed=0)
    )
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.8, beta_2=0.8, epsilon=1e-4))
    model.optimizer.build(model.trainable_variables)
    x = tf.constant(np.random.default_rng(0).uniform(size=(args.batch, 28, 28, 1)).astype("float32"))
    train = tf.function(lambda x: model.train_step((x,))["loss"])
    serve_training(
        answers,
        lambda: float(train(x)),
        library=f"inntf {inntf.__version__}",
        parameters=model.count_params(),
        build_seconds=build,
    )


if __name__ == "__main__":
    main()
