"""The networks that are compared, the model that decorrelates, and the block over pixels that is exported."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from inntf.blocks import ActNorm, Rescale
from inntf.compose import Chain
from inntf.core import Block
from inntf.models import Flow, glow
from inntf.nets import ConvNet, SpectralConv2D, update_norms
from recipes.common.schedule import warm_cosine
from recipes.decorrelation.correlation import decorrelation_loss
from recipes.decorrelation.settings import Config


class Variant(NamedTuple):
    """One network of a run.

    Attributes:
        name: within the run.
        coupling: `additive_spectral`, `additive` or `affine`.
        actnorm: `none`, `between` the couplings, `inside` their networks, or `both`.
        depth: couplings per level.
    """

    name: str
    coupling: str
    actnorm: str
    depth: int


def variants(config: Config) -> list[Variant]:
    """The networks of a run; an ActNorm would void the bound of the spectrally normalized one, which has none.

    >>> [v.name for v in variants(Config(actnorms=("none", "both")))]
    ['additive_spectral', 'additive', 'additive_actnorm_both', 'affine', 'affine_actnorm_both']
    """
    found = []
    for depth in config.depths:
        for coupling in config.couplings:
            for actnorm in ("none",) if coupling == "additive_spectral" else config.actnorms:
                name = coupling if actnorm == "none" else f"{coupling}_actnorm_{actnorm}"
                found.append(Variant(f"{name}_depth_{depth}" if len(config.depths) > 1 else name, coupling, actnorm, depth))
    return found


def make_flow(config: Config, shape: tuple[int, int, int], variant: Variant) -> Flow:
    """Levels of [ActNorm, mixing, coupling] without factor-out; "On the Invertibility of INNs", section 4.4 and appendix H."""
    normalization = ActNorm if variant.actnorm in ("inside", "both") else None

    def conditioner(channels: int) -> ConvNet:
        if variant.coupling != "additive_spectral":
            return ConvNet(config.hidden, out_channels=channels, normalization=normalization)
        return ConvNet(
            config.hidden,
            out_channels=channels,
            convolution=SpectralConv2D,
            convolution_arguments={"coefficient": config.coefficient, "max_iterations": 5, "update_every_call": False},
            zero_last=False,
        )

    return glow(
        event_shape=shape,
        levels=config.levels,
        depth=variant.depth,
        permutation=config.mixing,
        additive=variant.coupling != "affine",
        actnorm=variant.actnorm in ("between", "both"),
        factor_out=False,
        conditioner=conditioner,
        repeat=False,  # slower to trace, faster in training and in eager Jacobians
        seed=config.seed,
        name=f"{variant.name}_flow",
    )


def make_optimizer(config: Config) -> keras.optimizers.Optimizer:
    """Adam, at a constant rate or along a cosine."""
    return keras.optimizers.Adam(warm_cosine(config.rate, config.steps) if config.schedule == "cosine" else config.rate)


class Decorrelator(keras.Model):
    """A block trained by `fit` to decorrelate its outputs: `loss = |C - diag(C)|_F` of the correlation `C` of a batch.

    A batch shared out among replicas has one correlation, that of all of it.  A gradient that is not finite counts as zero, so
    only the optimizer's momentum moves the weights in that step; such steps are counted in `skipped`.

    Args:
        block: a built block.
    """

    def __init__(self, block: Block, name: str | None = None):
        super().__init__(name=name)
        self.autocast = False
        self.block = block
        self._means = {key: keras.metrics.Mean(name=key) for key in ("loss", "skipped")}
        self.built = True

    def compile(self, optimizer: keras.optimizers.Optimizer, **kwargs: Any) -> None:
        """Keras' `compile`; the loss is the model's own."""
        super().compile(optimizer=optimizer, **kwargs)
        optimizer.build(self.block.trainable_variables)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means of the loss and of the share of steps that were skipped."""
        return list(self._means.values())

    def call(self, x: Any) -> tf.Tensor:
        """The block's outputs."""
        return self.block.forward_and_log_det(x)[0]

    def train_step(self, x: Any) -> dict[str, Any]:
        """One step on a batch `(n, height, width, channels)`."""
        update_norms(self.block)
        weights = self.block.trainable_variables
        context = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            z = self(x)
            if context.num_replicas_in_sync > 1:
                z = tf.ensure_shape(context.all_gather(z, 0), [None, *z.shape[1:]])
            loss = decorrelation_loss(z)
            share = loss / context.num_replicas_in_sync  # the gradients of all replicas are added up
        gradients = tape.gradient(share, [w.value for w in weights], unconnected_gradients=tf.UnconnectedGradients.ZERO)
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        if context.num_replicas_in_sync > 1:  # all or none
            finite = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(~finite, tf.int32)) == 0
        self.optimizer.apply([tf.where(finite, g, tf.zeros_like(g)) for g in gradients], weights)
        self._means["loss"].update_state(loss)
        self._means["skipped"].update_state(1.0 - tf.cast(finite, tf.float32))
        return {key: mean.result() for key, mean in self._means.items()}


def over_pixels(block: Block, shape: tuple[int, int, int]) -> Block:
    """The same block over pixels 0 to 255, for serving."""
    return Chain([Rescale(scale=1 / 256, shift=-0.5), block]).ensure_built(shape)
