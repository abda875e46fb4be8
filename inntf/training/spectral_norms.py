"""Spectral norms of everything inside a model: continued in training, certified after it."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.compose import Repeat
from inntf.compose.each import for_each_block
from inntf.core.errors import explain
from inntf.nets import certify_norms, update_norms


def update_spectral_norms(network: keras.layers.Layer) -> None:
    r"""Continue every power iteration inside a network once, also in the blocks of a `Repeat`.

    Each spectrally normalized layer goes on with $v \leftarrow W^\top W v / \|W^\top W v\|$ from its stored vector, by at most
    `max_iterations` steps.  Call it once after each optimizer step, inside of a `tf.function`, with
    `update_every_call=False` in the layers: then all evaluations of a step see the same kernels.

    Args:
        network: a built block, or a Keras model or layer around one; for a `Flow` its `block`.

    Source: Miyato et al., "Spectral Normalization for Generative Adversarial Networks" (2018), algorithm 1.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> from inntf.nets import SpectralDense
        >>> block = Repeat(lambda: AdditiveCoupling(conditioner=lambda n: SpectralDense(n, 0.5)), 2).ensure_built((4,))
        >>> tf.function(update_spectral_norms)(block)
    """
    update_norms(network)
    for repeat in _repeats(network):
        for_each_block(repeat, update_spectral_norms)


def certify_spectral_norms(network: keras.layers.Layer, rescale: bool = False) -> dict[str, float]:
    r"""Certified bounds of $\|W \min(1, c/\sigma)\|$ of every spectrally normalized layer, also in the blocks of a `Repeat`.

    Args:
        network: a built block, or a Keras model or layer around one; for a `Flow` its `block`.
        rescale: also scale the weights, if need be, so that each bound is at most the layer's coefficient.

    Returns:
        The bounds by the path of the layer; in a `Repeat` after its name and the number of the block.

    Raises:
        ValueError: if a layer is not built, or inside of a `tf.function`.

    Source: inntf; see `inntf.nets.certify_norms`.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> from inntf.nets import SpectralDense
        >>> block = Repeat(lambda: AdditiveCoupling(conditioner=lambda n: SpectralDense(n, 0.5)), 2).ensure_built((4,))
        >>> [bound <= 0.5 for bound in certify_spectral_norms(block, rescale=True).values()]
        [True, True]
    """
    if not tf.executing_eagerly():
        raise ValueError(
            explain(
                "certify_spectral_norms", received="a graph", expected="eager mode", remedy="Call it outside of tf.function."
            )
        )
    bounds = certify_norms(network, rescale)
    for repeat in _repeats(network):
        for i, found in enumerate(for_each_block(repeat, lambda block: certify_spectral_norms(block, rescale))):
            bounds |= {f"{repeat.path}/{i}/{path}": bound for path, bound in found.items()}
    return bounds


class SpectralNormCallback(keras.callbacks.Callback):
    """Keep the spectral norms of a model fresh in `fit`, and make them hold exactly when training ends.

    After every batch it calls `update_spectral_norms`, in one traced function; after training
    `certify_spectral_norms(model, rescale=True)`, whose result is kept in `bounds`.

    Args:
        certify: whether to certify and rescale at the end; otherwise the norms remain estimates from below.

    Attributes:
        bounds: the certified bounds by layer, after training.

    Source: Chen et al., "Residual Flows for Invertible Generative Modeling" (2019), appendix (norms after each step).

    Example:
        >>> SpectralNormCallback(certify=False).bounds
        {}
    """

    def __init__(self, certify: bool = True):
        super().__init__()
        self.certify, self.bounds = certify, {}
        self._update: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Make the function anew: the model may be another one."""
        # Many tiny products one after the other: XLA makes one program of them.  It knows one device only.
        single = tf.distribute.get_strategy().num_replicas_in_sync == 1
        self._update = tf.function(lambda: update_spectral_norms(self.model), jit_compile=single)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Once for the new weights."""
        self._update()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Certify."""
        if self.certify:
            self.bounds = certify_spectral_norms(self.model, rescale=True)


def _repeats(network: keras.layers.Layer) -> list[Repeat]:
    return list({id(part): part for part in network._flatten_layers() if isinstance(part, Repeat)}.values())
