"""A flow trained by maximum likelihood, adversarially, or both."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from inntf.core.arguments import checked_count, typed
from inntf.core.errors import explain
from inntf.core.replicas import clip_what_replicas_add_up
from inntf.core.whole_batch import draw_rows, mean_of_part
from inntf.models.compile_arguments import refuse_losses
from inntf.models.flow import Flow
from inntf.models.flow_checkpoints import FlowHolder
from inntf.models.keras_tracking import base_parts
from inntf.models.step_seeds import step_seeds
from inntf.nets.norms import update_norms


class FlowGan(FlowHolder, keras.Model):
    """A `Flow` as the generator of a GAN, with its likelihood: three objectives on one architecture.

        mle     L_G = -mean log p(x)
        adv     L_G = -mean log D(sample)
        hybrid  L_G = -mean log D(sample) - mle_weight * mean log p(x)
        L_D     = 1/2 (BCE(D(x), 1) + BCE(D(sample), 0)) + gradient_penalty * mean (|grad D(x_mix)|_2 - 1)^2

    where `D` ends in a sigmoid, `log p` is in nats per image, `x_mix` lies at random between a real image and a sample,
    and uniform noise of width `noise` (the bin width of the data) is added to real images and samples alike.

    `evaluate`, and validation in `fit`, give `bits_per_dim` of noisy data, whatever the objective.  Saved are weights
    (`save_weights`, `tf.train.Checkpoint`); the flow's block is saved whole as any block.

    A gradient that is not finite counts as zero, so only the optimizer's momentum moves the weights in that step; such steps of
    the generator are counted in `skipped`.

    Args:
        flow: the generator; its `x` are images on the scale of the data, in bins of width `noise`.
        discriminator: a Keras layer from images to `(batch, 1)` logits, such as `Discriminator`; not needed for `"mle"`.
        objective: `"mle"`, `"adv"` or `"hybrid"`.
        mle_weight: weight of the likelihood in the hybrid objective.
        gradient_penalty: weight of the gradient penalty.
        noise: width of the dequantization noise; bits per dimension are those of the discrete data.
        discriminator_steps: steps of the discriminator before each one of the generator, with fresh noise and mixtures.
        seed: of everything drawn in training; what a step draws then depends on the seed and `optimizer.iterations` alone, so a
            training that goes on from a checkpoint is the same training.  `None` draws anew in each process.
        name: name of the model.

    Call arguments: images.  Returns `log p(images)`.

    Raises:
        ValueError: for an unknown objective, an adversarial one without a discriminator, or a flow with a condition.

    Source: Grover et al., "Flow-GAN" (2018), section 3; Behrmann et al., "Understanding and mitigating exploding
    inverses" (2021), supplement H.

    Example:
        >>> from inntf.models import glow
        >>> gan = FlowGan(glow(event_shape=(8, 8, 1), levels=1, depth=1, hidden=4), objective="mle")
        >>> gan.compile(keras.optimizers.Adam(1e-3))
        >>> sorted(gan.fit(tf.random.uniform([8, 8, 8, 1]), verbose=0).history)
        ['bits_per_dim', 'generator_loss', 'skipped']
    """

    @typed
    def __init__(
        self,
        flow: Flow,
        discriminator: keras.layers.Layer | None = None,
        *,
        objective: str = "hybrid",
        mle_weight: float = 1e-3,
        gradient_penalty: float = 10.0,
        noise: float = 1 / 256,
        discriminator_steps: int = 1,
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if not isinstance(flow, Flow):
            raise TypeError(explain("FlowGan", received=type(flow).__name__, expected="a Flow", remedy="See inntf.Flow."))
        checked_count("FlowGan", discriminator_steps=discriminator_steps)
        for key, value in {"mle_weight": mle_weight, "gradient_penalty": gradient_penalty, "noise": noise}.items():
            if value < 0 or (key == "noise" and not value):
                raise ValueError(explain("FlowGan", received=f"{key}={value}", expected="a positive number"))
        if objective not in ("mle", "adv", "hybrid"):
            raise ValueError(explain("FlowGan", received=f"objective={objective!r}", expected="'mle', 'adv' or 'hybrid'"))
        if objective != "mle" and discriminator is None:
            raise ValueError(
                explain(
                    "FlowGan", received=f"no discriminator for {objective!r}", expected="one", remedy="Pass Discriminator()."
                )
            )
        if flow.block.condition_shape is not None or flow.condition_network is not None:
            remedy = "DensityModel trains conditional flows by likelihood."
            raise ValueError(explain("FlowGan", received="a flow with a condition", expected="one without", remedy=remedy))
        self.autocast = False
        self.block = flow.block
        self.base_blocks, self.base_variables = base_parts(flow.base)
        object.__setattr__(self, "flow", flow)
        self.discriminator: Any = discriminator if objective != "mle" else None
        self.objective, self.mle_weight = objective, mle_weight
        self.gradient_penalty, self.noise = gradient_penalty, noise
        self.discriminator_steps = discriminator_steps
        self.seed = seed
        names = ["generator_loss", "skipped"]
        names += ["bits_per_dim"] if objective != "adv" else []
        names += ["discriminator_loss", "gradient_norm"] if objective != "mle" else []
        self._means = {key: keras.metrics.Mean(name=key) for key in names}
        self._held_out = self._means.get("bits_per_dim") or keras.metrics.Mean(name="bits_per_dim")
        if self.discriminator is not None:
            self.discriminator(tf.zeros([1, *flow.event_shape]))
        self.built = True

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer | None = None,
        **kwargs: Any,
    ) -> None:
        """Set the optimizers; the paper uses Adam(0.5, 0.99) for both.

        Raises:
            ValueError: without a discriminator's optimizer for an adversarial objective; for a loss, loss weights or metrics.
        """
        refuse_losses("FlowGan", **kwargs)
        if self.discriminator is not None and discriminator_optimizer is None:
            raise ValueError(explain("FlowGan.compile", received="one optimizer", expected="one for the discriminator too"))
        super().compile(optimizer=generator_optimizer, **kwargs)
        generator_optimizer.build(self.generator_weights)
        self.discriminator_optimizer = None if self.discriminator is None else discriminator_optimizer
        if self.discriminator is not None and discriminator_optimizer is not None:
            discriminator_optimizer.build(self.discriminator.trainable_variables)
        for optimizer in filter(None, (self.optimizer, self.discriminator_optimizer)):
            clip_what_replicas_add_up(optimizer)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The running means of the losses."""
        return list(self._means.values())

    @property
    def generator_weights(self) -> list[keras.Variable]:
        """What the generator's optimizer trains: of the block, and of a base that has weights."""
        parts = [*self.block.trainable_variables, *(v for block in self.base_blocks for v in block.trainable_variables)]
        return list({id(v): v for v in (*parts, *(v for v in self.base_variables if v.trainable))}.values())

    def call(self, x: Any) -> tf.Tensor:
        """`log p(x)`, nats."""
        return self.flow.log_prob(x)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of the discriminator, if there is one, then one of the generator."""
        x = self._batch(data)
        logs: dict[str, tf.Tensor] = {}
        seeds = step_seeds(self.seed, self.optimizer.iterations)
        update_norms(self)
        with tf.GradientTape() as tape:
            if self.discriminator is not None:
                fake = self._samples(tf.shape(x)[0], next(seeds))
                with tape.stop_recording():
                    for _ in range(self.discriminator_steps):
                        noisy = self._noisy(x, next(seeds)), self._noisy(fake, next(seeds))
                        logs |= self._train_discriminator(*noisy, next(seeds))
            loss = tf.zeros([], x.dtype)
            if self.objective != "adv":
                nll = -mean_of_part(self.flow.log_prob(self._noisy(x, next(seeds))))
                logs["bits_per_dim"] = self.bits_per_dim(nll)
                loss += nll * (1.0 if self.objective == "mle" else self.mle_weight)
            if self.discriminator is not None:
                loss += _cross_entropy(self.discriminator(self._noisy(fake, next(seeds)), training=True), 1.0)
            scaled = loss / _replicas()
        logs["generator_loss"] = loss
        logs["skipped"] = self._apply(tape, scaled, self.generator_weights, self.optimizer)
        for key, mean in self._means.items():  # of images, but skipped are steps
            mean.update_state(logs[key], sample_weight=None if key == "skipped" else tf.shape(x)[0])
        return {key: mean.result() for key, mean in self._means.items()}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Bits per dimension of noisy data."""
        x = self._batch(data)
        seed = next(step_seeds(self.seed, self.optimizer.iterations))
        bits = self.bits_per_dim(-mean_of_part(self.flow.log_prob(self._noisy(x, seed))))
        self._held_out.update_state(bits, sample_weight=tf.shape(x)[0])
        return {"bits_per_dim": self._held_out.result()}

    def reset_metrics(self) -> None:
        """As in Keras, with that of `evaluate`."""
        super().reset_metrics()
        self._held_out.reset_state()

    def _batch(self, data: Any) -> tf.Tensor:
        x, _, weights = keras.utils.unpack_x_y_sample_weight(data)
        if weights is not None:
            remedy = "Its losses are plain means."
            raise ValueError(explain(f"{self.name}.fit", received="sample weights", expected="none", remedy=remedy))
        return tf.cast(x, self.flow.dtype)

    def get_config(self) -> dict[str, Any]:
        """A GAN is made again by its parts, then given its weights.

        Raises:
            NotImplementedError: always.
        """
        remedy = "Keep the weights by save_weights or tf.train.Checkpoint, and flow.block as a whole by keras.saving."
        raise NotImplementedError(
            explain(f"{self.name}.get_config", received="a whole FlowGan to describe", expected="its parts", remedy=remedy)
        )

    def _samples(self, n: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        if seed is None:
            return self.flow.sample(n)
        base = self.flow.base
        z = draw_rows(lambda shape: base.sample(shape[0], seed=seed), tf.concat([[n], base.event_shape_tensor()], 0))
        return self.flow.block.inverse_value(z)

    def _noisy(self, x: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        return x + _uniform(tf.shape(x), self.noise, x.dtype, seed)

    def _train_discriminator(self, real: tf.Tensor, fake: tf.Tensor, seed: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        mix = _uniform([tf.shape(real)[0], 1, 1, 1], 1.0, real.dtype, seed)
        between = mix * real + (1 - mix) * fake
        with tf.GradientTape() as tape:
            logits = self.discriminator(tf.concat([real, fake], 0), training=True)
            on_real, on_fake = tf.split(logits, 2)
            loss = 0.5 * (_cross_entropy(on_real, 1.0) + _cross_entropy(on_fake, 0.0))
            with tf.GradientTape() as inner:
                inner.watch(between)
                output = tf.reduce_sum(self.discriminator(between, training=True))
            gradient = inner.gradient(output, between)
            # The small constant keeps the square root differentiable at zero.
            norm = tf.sqrt(tf.reduce_sum(tf.square(gradient), [1, 2, 3]) + 1e-12)
            loss += self.gradient_penalty * mean_of_part(tf.square(norm - 1))
            scaled = loss / _replicas()
        self._apply(tape, scaled, self.discriminator.trainable_variables, self.discriminator_optimizer)
        return {"discriminator_loss": loss, "gradient_norm": mean_of_part(norm)}

    def _apply(self, tape: tf.GradientTape, loss: tf.Tensor, weights: list[Any], optimizer: Any) -> tf.Tensor:
        tensors = [w.value for w in weights]
        gradients = tape.gradient(loss, tensors, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        gradients = [tf.where(finite, g, tf.zeros_like(g)) for g in gradients]
        optimizer.apply(gradients, weights)
        return 1.0 - tf.cast(finite, loss.dtype)

    def bits_per_dim(self, nll: tf.Tensor) -> tf.Tensor:
        """Bits per dimension of the discrete data from nats per image of the noisy data."""
        return nll / (self.flow.dim * math.log(2.0)) - math.log2(self.noise)


def _uniform(shape: Any, high: float, dtype: tf.DType, seed: tf.Tensor | None) -> tf.Tensor:
    if seed is None:
        return tf.random.uniform(shape, 0.0, high, dtype)
    return draw_rows(lambda whole: tf.random.stateless_uniform(whole, seed, 0.0, high, dtype), shape)


def _cross_entropy(logits: tf.Tensor, label: float) -> tf.Tensor:
    return mean_of_part(
        tf.nn.sigmoid_cross_entropy_with_logits(tf.fill(tf.shape(logits), tf.cast(label, logits.dtype)), logits)
    )


def _replicas() -> float:
    return float(tf.distribute.get_strategy().num_replicas_in_sync)
