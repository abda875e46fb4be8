"""A keras.Model that classifies by an invertible body and a head, and runs backwards with a bound on the error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from inntf.compose.chain import Chain
from inntf.core.arguments import typed
from inntf.core.checkpointing import Checkpointed, settled
from inntf.core.errors import explain
from inntf.core.initialization import under_way
from inntf.core.protocols import Regularizes
from inntf.core.refusals import values_only
from inntf.core.replicas import clip_what_replicas_add_up
from inntf.core.shapes import built_shape
from inntf.models.fit_end import FitEnd
from inntf.models.inverse_error import invert_with_error, refuse_unbounded
from inntf.models.regularized import Regularized
from inntf.nets.norms import certify_norms, update_norms


class Reconstruction(NamedTuple):
    """What `IResNetClassifier.invert` returns.

    Attributes:
        x: `(batch, height, width, channels)`, what has these features.
        error_bound: `(batch,)`, no less than the l2 distance to the exact inverse.

    Source: inntf.

    Example:
        >>> Reconstruction(tf.zeros([1, 4, 4, 1]), tf.zeros([1])).error_bound.shape
        TensorShape([1])
    """

    x: tf.Tensor
    error_bound: tf.Tensor


@keras.saving.register_keras_serializable("inntf")
class IResNetClassifier(Regularized, Checkpointed, FitEnd, keras.Model):
    """`logits = h(F(x))` with an invertible body F of residual blocks and a small head h; made by `i_resnet_classifier`.

    `compile` and `fit` as any Keras model; no log-determinant is computed, unless a regularizer wants it.  After training
    `certify` makes the spectral norms hold exactly; from then on `invert` is certain to converge, and its error bound to hold.

    Args:
        body: a built `Chain`, images to features.
        head: a layer, features to logits `(batch, classes)`.
        invertible: whether the body's residual blocks are contractions, so that an inverse is promised.
        regularizers: of the body, such as `[inntf.stability.FlowRegularizer(1e-5)]`: terms of the loss in training steps,
            reported as metrics; `evaluate` and `val_loss` are without.
        name: name of the model.

    Call arguments: `(batch, height, width, channels)`.  Returns logits `(batch, classes)`.

    Raises:
        TypeError: if the body is no built `Chain`.

    Source: Behrmann et al., "Invertible Residual Networks" (2019), section 5.2.

    Example:
        >>> from inntf.models import i_resnet_classifier
        >>> model = i_resnet_classifier(event_shape=(8, 8, 1), classes=3, blocks=(1, 1), hidden=(4, 4), channels=4)
        >>> x = tf.random.normal([5, 8, 8, 1]); _ = model.initialize(x); _ = model.certify(x)
        >>> bool(tf.reduce_max(tf.abs(model.invert(model.features(x)).x - x)) < 1e-4)
        True
    """

    @typed
    def __init__(
        self,
        body: Chain,
        head: keras.layers.Layer,
        *,
        invertible: bool = True,
        regularizers: Sequence[Regularizes] = (),
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.autocast = False  # the body must not be given 16-bit images
        if not isinstance(body, Chain) or not body.built:
            raise TypeError(
                explain(
                    "IResNetClassifier", received=str(body), expected="a built Chain", remedy="Make it by i_resnet_classifier."
                )
            )
        self.body, self.head, self.invertible = body, head, invertible
        head.build((None, *built_shape(body._z_event_shape)))
        if not settled(head):
            head(tf.zeros([1, *built_shape(body._z_event_shape)]))  # a head with layers that are made at its first call
        self.set_regularizers(regularizers)
        self.built = True

    def call(self, x: Any, training: bool | None = None) -> tf.Tensor:
        """Logits, `(batch, classes)`; in training, after one update of the spectral norms."""
        if training and self.trainable:
            update_norms(self.body)
        if not (training and self.regularizers):
            return self.head(self.features(x), training=training)
        x = tf.cast(tf.convert_to_tensor(x), self.body.variable_dtype)
        outputs = self.body.forward_and_log_det(x) if self.wants_log_det else (self.features(x), None)
        self.regularize(self.body, x, None, outputs)
        return self.head(outputs[0], training=training)

    def features(self, x: Any) -> tf.Tensor:
        """`F(x)`, `(batch, *features)`."""
        x = tf.cast(tf.convert_to_tensor(x), self.body.variable_dtype)
        if self.body.backprop.now().mode != "stored":
            with values_only(weights=True):
                return self.body.forward_and_log_det(x)[0]
        for block in self.body:
            x = block.value(x)
        return x

    def initialize(self, x: Any) -> IResNetClassifier:
        """Data-dependent initialization of the ActNorms on a batch; returns self."""
        x = tf.cast(tf.convert_to_tensor(x), self.body.variable_dtype)
        with under_way():  # one initialization, block by block
            for block in self.body:
                x = block.initialize(x)
        return self

    def make_train_function(self, force: bool = False) -> Any:
        """Keras' own, where the optimizer clips what all replicas add up to."""
        clip_what_replicas_add_up(self.optimizer)
        return super().make_train_function(force)

    def invert(self, features: Any) -> Reconstruction:
        """The images with these features, and a bound on their error.

        An error e of a block's output is at most `Lip(F_i^{-1}) e` in its input, and the block's own inverse
        adds what its certificate says, or its roundings.  The bound is that of the worst case: far above the error.
        It is known for residual blocks, `ActNorm`, `Rescale`, `InvertibleConv1x1`, `Logit`, `AdditiveCoupling`, `Haar`,
        `Permutation`, `Squeeze`, padding, and chains of them; an affine coupling, for one, has no bound on all of space.

        Args:
            features: `(batch, *features)`, such as `features(x)`.

        Returns:
            `Reconstruction(x, error_bound)`; the bound is infinite where a block's branch is no contraction.

        Raises:
            ValueError: of a model without the constraint, which promises no inverse, or with a block in its body whose
                inverse has no bound, by name.
        """
        if not self.invertible:
            raise ValueError(
                explain(
                    f"{self.name}.invert",
                    received="a model made with coefficient=None",
                    expected="a constrained one",
                    remedy="Make it with a coefficient below 1.",
                )
            )
        x = tf.cast(tf.convert_to_tensor(features), self.body.variable_dtype)
        refuse_unbounded(f"{self.name}.invert", self.body)
        return Reconstruction(*invert_with_error(self.body, x, tf.zeros(tf.shape(x)[:1], x.dtype)))

    def certify(self, x: Any = None, batch_size: int = 250) -> dict[str, float]:
        """Make every spectral norm at most its coefficient, by the certified bound.

        Power iteration stops short of the norm, so this shrinks the kernels by a few percent and moves the features.  Given
        images, the head's batch statistics are taken anew from them.

        Args:
            x: `(n, height, width, channels)`, some of the training images.
            batch_size: images per pass.

        Returns:
            The certified norms by layer; none where the model is not constrained.
        """
        norms = certify_norms(self.body, rescale=True)
        normalization = self.head.layers[0] if isinstance(self.head, keras.Sequential) else None
        if x is not None and isinstance(normalization, keras.layers.BatchNormalization):
            features = tf.function(self.features, reduce_retracing=True, autograph=False)
            found = [features(tf.convert_to_tensor(x[i : i + batch_size])).numpy() for i in range(0, len(x), batch_size)]
            values = np.concatenate([f.reshape(-1, f.shape[-1]) for f in found]).astype(np.float64)
            normalization.moving_mean.assign(values.mean(0))
            normalization.moving_variance.assign(values.var(0))
        return norms

    def get_config(self) -> dict[str, Any]:
        """Body, its event shape, head."""
        return {
            "body": keras.saving.serialize_keras_object(self.body),
            "event_shape": list(built_shape(self.body.event_shape)),
            "head": keras.saving.serialize_keras_object(self.head),
            "invertible": self.invertible,
            **self.regularizers_config(),
            "trainable": self.trainable,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> IResNetClassifier:
        """A model from `get_config()`."""
        config = dict(config)
        regularizers = cls.regularizers_from(config)
        body, head = (keras.saving.deserialize_keras_object(config[key]) for key in ("body", "head"))
        body.ensure_built(tuple(config["event_shape"]))
        model = cls(body, head, invertible=config["invertible"], regularizers=regularizers, name=config["name"])
        if not config.get("trainable", True):
            model.trainable = False
        return model
