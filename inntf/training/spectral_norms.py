"""Spectral norms in `fit`: continued after every batch, certified when it returns."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.core.arguments import typed
from inntf.nets import certify_norms, update_norms


def update_spectral_norms(network: Any) -> None:
    """`inntf.nets.update_norms`: continue every power iteration inside a network once, also in the blocks of a `Repeat`.

    Args:
        network: a built block, a `Flow`, a Keras model or layer, or a list or dictionary of these.

    Source: Miyato et al., "Spectral Normalization for Generative Adversarial Networks" (2018), algorithm 1.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> from inntf.compose import Repeat
        >>> from inntf.nets import SpectralDense
        >>> block = Repeat(lambda: AdditiveCoupling(conditioner=lambda n: SpectralDense(n, 0.5)), 2).ensure_built((4,))
        >>> tf.function(update_spectral_norms)(block)
    """
    update_norms(network)


def certify_spectral_norms(network: Any, rescale: bool = False) -> dict[str, float]:
    """`inntf.nets.certify_norms`: certified bounds of every spectrally normalized layer, also in the blocks of a `Repeat`.

    Args:
        network: a built block, a `Flow`, a Keras model or layer, or a list or dictionary of these.
        rescale: also scale the weights, if need be, so that each bound is at most the layer's coefficient.

    Returns:
        The bounds by the path of the layer; in a `Repeat` after its path and the number of the block.

    Raises:
        ValueError: if a layer is not built, or inside of a `tf.function`.

    Source: inntf; see `inntf.nets.certify_norms`.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> from inntf.compose import Repeat
        >>> from inntf.nets import SpectralDense
        >>> block = Repeat(lambda: AdditiveCoupling(conditioner=lambda n: SpectralDense(n, 0.5)), 2).ensure_built((4,))
        >>> [bound <= 0.5 for bound in certify_spectral_norms(block, rescale=True).values()]
        [True, True]
    """
    return certify_norms(network, rescale)


class SpectralNormCallback(keras.callbacks.Callback):
    """Keep the spectral norms of a model fresh in `fit`, and make them hold exactly when it returns.

    After every batch (every group of batches with `steps_per_execution`) it calls `inntf.nets.update_norms`, in one traced
    function; at the end `inntf.nets.certify_norms(model, rescale=True)`, whose result is kept in `bounds`.

    The place among the callbacks does not matter: weights that `EarlyStopping(restore_best_weights=True)` or another one brings
    back are certified as well.  A `DensityModel`, `FlowGan` or `IResNetClassifier` certifies after all callbacks are through;
    in a model of your own the weights are certified after every epoch too, so that those that are kept hold already.

    Args:
        certify: whether to certify and rescale at the end; otherwise the norms remain estimates from below.

    Attributes:
        bounds: the certified bounds by layer, after training.

    Source: Chen et al., "Residual Flows for Invertible Generative Modeling" (2019), appendix (norms after each step).

    Example:
        >>> SpectralNormCallback(certify=False).bounds
        {}
    """

    @typed
    def __init__(self, certify: bool = True):
        super().__init__()
        self.certify = certify
        self.bounds: dict[Any, Any] = {}
        self._update: Any = None
        self._comes_last = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Make the function anew: the model may be another one."""
        # Many tiny products one after the other: XLA makes one program of them.  It knows one device only.
        single = self.model.distribute_strategy.num_replicas_in_sync == 1
        self._update = tf.function(lambda: update_norms(self.model), jit_compile=single, autograph=False)
        ends = getattr(self.model, "when_fit_ends", None)
        self._comes_last = False
        if self.certify and ends is not None:
            self._comes_last = True
            ends.append(self._certify)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Once for the new weights."""
        self._update()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Certify what other callbacks keep, where none of us has the last word."""
        if self.certify and not self._comes_last:
            self._certify()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Certify."""
        if self.certify:
            self._certify()

    def _certify(self) -> None:
        self.bounds = certify_norms(self.model, rescale=True)
