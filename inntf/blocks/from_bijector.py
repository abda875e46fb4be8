"""A TFP bijector as a block."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from inntf.blocks import bijector_bounds, bijector_parts
from inntf.blocks.entrywise import entrywise_in_balls
from inntf.core import Block, LipschitzBounds, configuration
from inntf.core.bounds import unknown
from inntf.core.boxes import EVERYWHERE, Box
from inntf.core.errors import explain
from inntf.core.local_maps import LocalMap
from inntf.core.shapes import Shape, built_shape
from inntf.core.tags import Tags


@keras.saving.register_keras_serializable("inntf")
class FromBijector(Block):
    """`z = bijector.forward(x)`, `log_det = bijector.forward_log_det_jacobian(x)`, for any TFP bijector.

    It goes into a `Chain`, a `Flow` and a Keras model.  The bijector's variables are its weights, the same objects: Keras,
    TFP and checkpoints see and train them.  So are Keras networks that the bijector, or one inside it, has as an attribute;
    what hides in a function is found by nobody.  Maps of numbers (`tfb.Scale`) act on each entry.  A bijector from latents to
    data goes in as `tfb.Invert(bijector)`.

    **Bounds** are exact for affine bijectors (Scale, Shift, ScaleMatvec*, Householder, Permute, Reshape, Cumsum, ...) and for
    Exp, Log, Expm1, Log1p, Softplus, Sigmoid, Tanh, Softsign, Sinh, NormalCDF, Power, Square and their inverses on a
    box; those of a `tfb.Chain` multiply.  Of others nothing is known: infinity, with the reason.

    **Files**: the configuration names the bijector's class, which must be one of `tfp.bijectors`, and its parameters: numbers,
    arrays, variables (`tfp.util.TransformedVariable` too) and other such bijectors.  With others it trains and is exported as a
    SavedModel, but `get_config`, `copy`, another dtype and `Repeat`, which make it again, raise.

    Args:
        bijector: injective, of one event of rank up to 3; not a batch of bijectors.
        event_ndims: as in `Block`; by default 1, or what the bijector needs.
        dtype: as in `Block`; by default that of the bijector.  In another one the bijector is made again.
        name, trainable, validate_args: as in `Block`.

    Shapes: `x`: `(batch, *event)`; `z`: `(batch, *bijector.forward_event_shape(event))`; `log_det`: `(batch,)`.

    Raises:
        TypeError: if it is no bijector, is a block already, or cannot be made again where it has to be; ValueError: for a
            bijector that is not injective, of several events, or a batch of bijectors.

    Source: Dillon et al., "TensorFlow Distributions" (2017), section 4.

    Example:
        >>> import tensorflow_probability as tfp
        >>> scale = tf.Variable([1.0, 2.0])
        >>> block = FromBijector(tfp.bijectors.Chain([tfp.bijectors.Shift(1.0), tfp.bijectors.Scale(scale)]))
        >>> z, log_det = block.forward_and_log_det(tf.ones([1, 2]))
        >>> z.numpy().tolist(), round(float(log_det[0]), 4), block.trainable_variables[0].value is scale
        ([[2.0, 3.0]], 0.6931, True)
    """

    uses_condition = False
    # The bijector's variables are found as weights of the layer, where those that are frozen are left out.
    _TF_MODULE_IGNORED_PROPERTIES = tfb.Bijector._TF_MODULE_IGNORED_PROPERTIES | {"_bijector", "_arguments"}

    def __init__(self, bijector: tfb.Bijector, **kwargs: Any):
        _check(bijector)
        own = bijector.dtype if isinstance(bijector.dtype, tf.DType) and bijector.dtype.is_floating else None
        if kwargs.get("dtype") is None and own is not None:
            kwargs["dtype"] = own.name
        least = int(bijector.forward_min_event_ndims)
        if kwargs.get("event_ndims") is None and least > 1:
            kwargs["event_ndims"] = least
        super().__init__(**kwargs)
        if self._event_ndims is not None and self._event_ndims < least:
            received, expected = f"event_ndims={self._event_ndims}", f"at least {least}, as {bijector.name} needs"
            raise ValueError(explain(self.name, received=received, expected=expected))
        if own is not None and own.name != self.variable_dtype:
            bijector = bijector_parts.remade(bijector, bijector_parts.FreshCopies(self.variable_dtype))
            if bijector.dtype != tf.as_dtype(self.variable_dtype):
                received, expected = f"{bijector.name}, which stays {bijector.dtype.name}", self.variable_dtype
                raise TypeError(explain(self.name, received=received, expected=expected, remedy="Make it in that dtype."))
        object.__setattr__(self, "_bijector", bijector)
        self.networks: list[keras.layers.Layer] = []
        self.bijector_variables: list[keras.Variable] = []
        self._track()

    @property
    def bijector(self) -> tfb.Bijector:
        """The bijector."""
        return self._bijector

    @property
    def inverse_event_ndims_offset(self) -> int:  # type: ignore[override]
        """Rank of `z` minus rank of `x`."""
        bijector = self._arguments["bijector"]
        return int(bijector.inverse_min_event_ndims) - int(bijector.forward_min_event_ndims)

    @property
    def tags(self) -> Tags:  # type: ignore[override]
        """Whether it is known to be affine."""
        return Tags(affine=bijector_bounds.is_affine(self._bijector))

    @property
    def takes_any_dtype(self) -> bool:
        """Whether the bijector has no dtype of its own."""
        return self._bijector.dtype is None and super().takes_any_dtype

    def build(self, input_shape: Shape) -> None:
        """Look at the shapes that the bijector gives; what makes its networks lazily makes them now."""
        event = tf.TensorShape(input_shape[1:])
        seen: list[tf.Tensor] = []

        @tf.function(autograph=False)
        def probe(x: tf.Tensor) -> tf.Tensor:
            seen[:] = self._pair(self._bijector, x, forward=True)
            return seen[0]

        probe.get_concrete_function(tf.TensorSpec([1, *event], self.variable_dtype))
        wanted = tf.TensorShape([1]).concatenate(self._forward_event_shape(event))
        fits = seen[0].shape.rank == wanted.rank and seen[0].shape.is_compatible_with(wanted)
        if not fits or (seen[1].shape.rank or 0) > 1:
            received = f"{self._bijector.name}, which makes {tuple(seen[0].shape)} of one event of shape {tuple(event)}"
            remedy = "A batch of bijectors is none: its parameters must fit one event."
            raise ValueError(explain(self.name, received=received, expected=f"{tuple(wanted)}", remedy=remedy))
        self._track()

    def _track(self) -> None:
        known = {id(variable._value) for variable in self.bijector_variables}
        for variable in self._bijector.variables:
            if id(variable) not in known:
                self.bijector_variables.append(keras.Variable(variable, trainable=variable.trainable, name="bijector_variable"))
        for network in bijector_parts.keras_networks(self._bijector):
            if not any(network is layer for layer in self.networks):
                self.networks.append(network)

    def _forward_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return self._bijector.forward_event_shape(shape)

    def _inverse_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return self._bijector.inverse_event_shape(shape)

    # ---- the map ----------------------------------------------------------------------------------------------

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The bijector's `forward`."""
        return self._pair(self._current(), x, forward=True)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The bijector's `inverse`."""
        return self._pair(self._current(), z, forward=False)

    def _pair(self, bijector: tfb.Bijector, value: tf.Tensor, forward: bool) -> tuple[tf.Tensor, tf.Tensor]:
        value = tf.identity(value)  # TFP remembers images by tensor, also those of variables that have changed since
        ndims = value.shape.rank - 1
        if forward:
            return bijector.forward(value), bijector.forward_log_det_jacobian(value, event_ndims=ndims)
        return bijector.inverse(value), bijector.inverse_log_det_jacobian(value, event_ndims=ndims)

    def _current(self) -> tfb.Bijector:
        # A bijector reads its variables themselves, where a stateless scope puts tensors in their places.
        if not self.bijector_variables or not keras.src.backend.in_stateless_scope():
            return self._bijector
        now = {id(variable._value): tf.convert_to_tensor(variable) for variable in self.bijector_variables}
        return bijector_parts.remade(self._bijector, lambda leaf: now.get(id(leaf), leaf))

    # ---- copies and files -------------------------------------------------------------------------------------

    def copy(self, **overrides: Any) -> FromBijector:
        """As in `Block`; the bijector is made again, with variables of its own."""
        if "bijector" not in overrides:
            overrides["bijector"] = bijector_parts.remade(self._bijector, bijector_parts.FreshCopies())
        return super().copy(**overrides)

    def config_arguments(self) -> dict[str, Any]:
        """Constructor arguments, the bijector as plain data."""
        return super().config_arguments() | {"bijector": bijector_parts.to_config(self._bijector)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FromBijector:
        """A new block from `get_config()`."""
        rest = configuration.deserialize({k: v for k, v in config.items() if k != "bijector"})
        return cls(bijector_parts.from_config(config["bijector"]), **rest)

    # ---- what is known ----------------------------------------------------------------------------------------

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """From what is known of the bijector's class and its parameters as they are."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        return self._known(domain)[0]

    def image_box(self, domain: Box | None) -> Box | None:
        """As in `Block`."""
        if domain is None or not self.built:
            return None if domain is None else EVERYWHERE
        return self._known(domain)[1]

    def _known(self, domain: Box | None) -> tuple[LipschitzBounds, Box]:
        return bijector_bounds.bounds_and_image(self._bijector, built_shape(self.event_shape), domain, self.variable_dtype)

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """As in `Block`: exact for affine bijectors and known maps of each entry."""
        entry = bijector_bounds.entry_map_of(self._bijector)
        return super().local_map(x, radius, None, inverse) if entry is None else entrywise_in_balls(entry, x, radius, inverse)


def _check(bijector: Any) -> None:
    if isinstance(bijector, Block) or not isinstance(bijector, tfb.Bijector):
        remedy = "A block goes where blocks go as it is." if isinstance(bijector, Block) else ""
        received = f"bijector of type {type(bijector).__name__}"
        raise TypeError(explain("FromBijector", received=received, expected="a TFP bijector", remedy=remedy))
    ranks = bijector.forward_min_event_ndims, bijector.inverse_min_event_ndims
    if not all(isinstance(rank, int | np.integer) for rank in ranks) or not bijector._is_injective:
        what = "not injective" if not bijector._is_injective else f"of several events (ranks {ranks})"
        expected = "one that is injective, of one event"
        raise ValueError(explain("FromBijector", received=f"{bijector.name}, {what}", expected=expected))
