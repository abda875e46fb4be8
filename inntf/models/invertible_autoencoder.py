"""A keras.Model that trains an invertible network as an autoencoder, by a bottleneck of zeros."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from inntf.core import Block
from inntf.core.arguments import checked_count, typed
from inntf.core.checkpointing import Checkpointed
from inntf.core.errors import explain
from inntf.core.protocols import Regularizes
from inntf.core.shapes import built_shape, is_open, known_sizes
from inntf.models.autoencoder_losses import CODE_KERNEL, kernel_config, kernel_from, reconstruction_loss
from inntf.models.autoencoder_maps import AutoencoderMaps
from inntf.models.autoencoder_training import TERMS, AutoencoderTraining
from inntf.models.fit_end import FitEnd
from inntf.models.regularized import Regularized
from inntf.nets.norms import update_norms
from inntf.numerics.kernels import Kernel
from inntf.numerics.shared_traces import traced


@keras.saving.register_keras_serializable("inntf")
class InnAutoencoder(AutoencoderMaps, AutoencoderTraining, Regularized, Checkpointed, FitEnd, keras.Model):
    r"""`z = F(x)`, `y` its first `bottleneck` entries, and `x_hat = F^{-1}(y, 0)`: one network codes and decodes.

        loss = mean d(x, x_hat) + padding_weight * mean(z_pad^2) + prior_weight * MMD^2(y, N(0, I))

    where `z_pad` are the other entries of `z`, flat in raster order, which decoding replaces by zeros.  With a
    `prior_weight` it is the INN-VAE: `sample` draws codes from the prior.  `fit`, `evaluate`, saving as any Keras model; a `y`
    beside the data (as in `fit(x, x)`) is ignored.  What the network does backwards is differentiated as its composition
    does: with `backprop="reversible"` neither pass keeps its activations.

    The weights do not depend on the bottleneck: set `model.bottleneck` to another number at any time, also between epochs;
    Keras' compiled functions follow.  A `tf.function` of your own keeps the bottleneck with which it was traced.

    Args:
        block: a built block or composition; events and latents of any shape, of one size.
        bottleneck: number of entries of a code, at most all.
        reconstruction: `d`: `"l1"`, `"l2"` (means over entries of the absolute or squared difference), or a function
            `(x, x_hat) -> (batch,)`.
        padding_weight: of the zero-padding loss.
        prior_weight: of the squared maximum mean discrepancy, the biased estimate.
        kernel: of it; `k(d^2) = sum_a a^2 / (a^2 + d^2)` for `a` in 0.2, 0.5, 0.9, 1.3 by default.
        regularizers: of the block, such as `[inntf.stability.FlowRegularizer(1e-5)]`: terms of the loss in training steps,
            reported as metrics; `evaluate` and `val_loss` are without.
        seed: of the normal numbers that codes are compared with: what a step draws depends on it and on
            `optimizer.iterations` alone.  `None` draws anew.
        name: name of the model.

    Call arguments: `(batch, *event)`; with `parts=True` code and `z_pad` are returned as well.  Returns `x_hat`.

    Attributes:
        bottleneck: number of entries of a code; can be set.
        dim: number of entries of an event.

    Raises:
        TypeError: for what is no built block; ValueError: for a block that changes the size of events or takes a condition, a
            bottleneck out of range, or a negative weight.

    Source: Nguyen, Ardizzone, Koethe, "Training Invertible Neural Networks as Autoencoders" (2019), equations 5 and 6.

    Example:
        >>> import tensorflow as tf
        >>> from inntf.models import inn_autoencoder
        >>> model = inn_autoencoder((8, 8, 1), 3, stages=(1,), hidden=4, dense_hidden=4, seed=0)
        >>> x = tf.random.normal([5, 8, 8, 1])
        >>> model.encode(x).shape, model.decode(model.encode(x)).shape
        (TensorShape([5, 3]), TensorShape([5, 8, 8, 1]))
        >>> model.bottleneck = 64  # nothing is lost
        >>> bool(tf.reduce_max(tf.abs(model(x) - x)) < 1e-4)
        True
    """

    @typed
    def __init__(
        self,
        block: Block,
        bottleneck: int,
        *,
        reconstruction: Any = "l1",
        padding_weight: float = 1.0,
        prior_weight: float = 0.0,
        kernel: Kernel = CODE_KERNEL,
        regularizers: Sequence[Regularizes] = (),
        seed: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.autocast = False  # images must not be rounded to 16 bit
        _check_block(block)
        for key, value in {"padding_weight": padding_weight, "prior_weight": prior_weight}.items():
            if value < 0:
                raise ValueError(explain("InnAutoencoder", received=f"{key}={value}", expected="a number >= 0"))
        self.block, self.dim = block, math.prod(known_sizes(block.event_shape))
        self.reconstruction, self.kernel, self.seed = reconstruction, kernel, seed
        self._distance = reconstruction_loss("InnAutoencoder", reconstruction)
        self.padding_weight, self.prior_weight = float(padding_weight), float(prior_weight)
        self._means = {key: keras.metrics.Mean(name=key) for key in TERMS}
        self.set_regularizers(regularizers)
        self.bottleneck = bottleneck
        self.built = True

    @property
    def bottleneck(self) -> int:
        """Number of entries of a code."""
        return self._bottleneck

    @bottleneck.setter
    def bottleneck(self, value: int) -> None:
        checked_count("InnAutoencoder", bottleneck=value)
        if value > self.dim:
            raise ValueError(
                explain("InnAutoencoder", received=f"bottleneck={value}", expected=f"at most {self.dim}, the size of an event")
            )
        self._bottleneck = int(value)
        object.__setattr__(self, "_density", traced(self._log_prob_of_code))
        for kind in ("train", "test", "predict"):  # what was traced has the old one in it, perhaps in the middle of `fit`
            if getattr(self, f"{kind}_function", None) is not None:
                getattr(self, f"make_{kind}_function")(force=True)

    def call(self, x: Any, training: bool | None = None, parts: bool = False) -> Any:
        """`reconstruct(x)`; in training, after one update of spectral norms."""
        if training and self.trainable:
            update_norms(self.block)
        x = self._cast(x)
        regularized = bool(training and self.regularizers)
        outputs = self.block.forward_and_log_det(x) if regularized and self.wants_log_det else (self._forward(x), None)
        if regularized:
            self.regularize(self.block, x, None, outputs)
        y, pad = self._parted(outputs[0])
        x_hat = self.decode(y)
        return (x_hat, y, pad) if parts else x_hat

    def get_config(self) -> dict[str, Any]:
        """Block, its event shape, bottleneck, loss."""
        words = isinstance(self.reconstruction, str)
        return {
            "block": keras.saving.serialize_keras_object(self.block),
            "event_shape": list(built_shape(self.block.event_shape)),
            "bottleneck": self.bottleneck,
            "reconstruction": self.reconstruction if words else keras.saving.serialize_keras_object(self.reconstruction),
            "padding_weight": self.padding_weight,
            "prior_weight": self.prior_weight,
            "kernel": kernel_config(self.name, self.kernel),
            **self.regularizers_config(),
            "seed": self.seed,
            "trainable": self.trainable,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InnAutoencoder:
        """A model from `get_config()`."""
        config = dict(config)
        regularizers, kernel = cls.regularizers_from(config), kernel_from(config.pop("kernel"))
        for key in ("block", "reconstruction"):
            if isinstance(config[key], dict):
                config[key] = keras.saving.deserialize_keras_object(config[key])
        config["block"].ensure_built(tuple(config.pop("event_shape")))
        trainable = config.pop("trainable", True)
        model = cls(**config, kernel=kernel, regularizers=regularizers)
        if not trainable:
            model.trainable = False
        return model


def _check_block(block: Any) -> None:
    if not isinstance(block, Block) or not block.built:
        received = str(block) if isinstance(block, Block) else type(block).__name__
        remedy = "Call ensure_built(event_shape), or make the model by inn_autoencoder."
        raise TypeError(explain("InnAutoencoder", received=received, expected="a built block", remedy=remedy))
    x_shape, z_shape = block.event_shape, block._z_event_shape
    if is_open(x_shape) or is_open(z_shape) or math.prod(known_sizes(x_shape)) != math.prod(known_sizes(z_shape)):
        received = f"a block from events of shape {x_shape} to {z_shape}"
        raise ValueError(explain("InnAutoencoder", received=received, expected="known shapes of one size"))
    if block.condition_shape is not None:
        received = f"a block with conditions of shape {block.condition_shape}"
        raise ValueError(explain("InnAutoencoder", received=received, expected="a block without"))
