"""The contract every invertible block keeps: one class, a Keras layer and a TFP bijector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import boxes, built_shapes, checks, local_maps, shapes
from inntf.core.arguments import bound_arguments, check_types, unnamed_arguments
from inntf.core.bijector_side import BijectorSide
from inntf.core.bounds import LipschitzBounds, unknown
from inntf.core.jacobian_products import JacobianProducts
from inntf.core.keras_side import KerasSide
from inntf.core.local_maps import LocalMap
from inntf.core.method_wrapping import guarded_init, guarded_initialize, guarded_pair, noting_shape
from inntf.core.tags import Tags
from inntf.core.tfp_bridge import BijectorBridge, LiveVariables, tfb
from inntf.core.values import Values
from inntf.core.vjp import Gradients, recomputed, recomputed_vjp

_PAIRS = ("forward_and_log_det", "inverse_and_log_det")


class Block(KerasSide, BijectorSide, JacobianProducts, Values, keras.layers.Layer, BijectorBridge):
    """An invertible map with a log-determinant: at once a `keras.layers.Layer` and a `tfb.Bijector`.

    `forward` takes data `x` to the latent `z`, `inverse` takes `z` back.  Both come with the log-determinant of
    the direction called, natural log, of shape `batch`, at least float32:

        z, log_det = block.forward_and_log_det(x, condition=None)   # log|det dz/dx|
        x, log_det = block.inverse_and_log_det(z, condition=None)   # log|det dx/dz|

    A density is a base pulled back through `forward`, so a block goes into a `tfd.TransformedDistribution` as
    `tfb.Invert(block)`; `inntf.Flow` does that for you.  `block(x)` (the Keras call) returns `z` alone.

    To write a block, define `build`, `forward_and_log_det`, `inverse_and_log_det` and, where the mathematics gives
    it, `lipschitz_bounds`.  Inside them the value has exactly one batch dimension, the right rank, width and
    dtype: the base class checks it once, builds lazily, and flattens and restores leading batch dimensions.  Constructor
    arguments are recorded: `get_config`, `copy` and `parameters` need no code unless one cannot be serialized.

    Args:
        event_ndims: rank of one event: 1 for `(batch, dim)`, 3 for `(batch, height, width, channels)`.  By
            default it is taken from the first input (rank up to 2: vectors, from 4 on: images; rank 3 must be declared).
        dtype: dtype or Keras dtype policy.  The values and `log_det` keep the *variable* dtype of the policy; under
            a mixed policy only the networks inside compute in 16 bit.
        name, trainable: name of the layer and of the bijector; whether the weights train.
        validate_args: check inputs and outputs for NaN and infinity (TFP's name for it); costs time.

    Raises:
        ValueError: on a wrong rank, width or condition; TypeError: on a wider dtype than the block's.

    Source: inntf; the notation follows "Normalizing Flows for Probabilistic Modeling and Inference",
    Papamakarios et al. (2021), section 2.1, with data on the input side.

    Example:
        >>> class Double(Block):
        ...     def forward_and_log_det(self, x, condition=None):
        ...         return 2 * x, x.shape[-1] * tf.math.log(tf.constant(2.0, x.dtype))
        ...     def inverse_and_log_det(self, z, condition=None):
        ...         return z / 2, -z.shape[-1] * tf.math.log(tf.constant(2.0, z.dtype))
        >>> z, log_det = Double().forward_and_log_det(tf.ones([5, 3]))
        >>> log_det.shape
        TensorShape([5])
    """

    default_event_ndims = 1  # what the bijector reports before the first input is seen
    inverse_event_ndims_offset = 0  # rank of z minus rank of x
    uses_condition = True  # False: a condition passed along a chain is ignored here
    allowed_event_ndims: tuple[int, ...] = (1, 2, 3)
    tags = Tags()  # or a property, where it depends on the arguments

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        for name in _PAIRS:
            if name in cls.__dict__:
                setattr(cls, name, guarded_pair(cls.__dict__[name], forward=name == _PAIRS[0]))
        if isinstance(cls.tags, dict):  # its own or a mixin's
            cls.tags = Tags(**cls.tags)
        for name, wrap in (("__init__", guarded_init), ("initialize", guarded_initialize), ("build", noting_shape)):
            if name in cls.__dict__:
                setattr(cls, name, wrap(cls.__dict__[name]))

    def __new__(cls, *args: Any, **kwargs: Any) -> Block:
        """Record the constructor's arguments."""
        block = super().__new__(cls, *args, **kwargs)
        arguments = bound_arguments(cls, args, kwargs)
        check_types(cls, arguments, cls.__name__)
        vars(block).update(_arguments=arguments, _has_unnamed=unnamed_arguments(cls, args))  # out of sight of trackers
        return block

    def __init__(
        self,
        *,
        event_ndims: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        validate_args: bool = False,
    ):
        keras.layers.Layer.__init__(self, name=name, dtype=dtype, trainable=trainable, autocast=False)
        self._convert_input_args = False  # Keras would cast to the 16-bit compute dtype; the wrapped methods do it right
        ndims = checks.event_ndims(self, event_ndims)
        layer_name = self._name
        tfb.Bijector.__init__(
            self,
            forward_min_event_ndims=ndims or self.default_event_ndims,
            inverse_min_event_ndims=(ndims or self.default_event_ndims) + self.inverse_event_ndims_offset,
            validate_args=validate_args,
            parameters=None,  # identity hash: no two blocks share a cache
            name=layer_name,
        )
        self._name = layer_name
        self._event_ndims = ndims
        self._x_event_shape: shapes.Shape | None = None
        self._z_event_shape: shapes.Shape | None = None
        self._condition_event_shape: shapes.Shape | None = None
        object.__setattr__(self, "_tf_variable_view", LiveVariables(self))

    # ---- what a contributor writes -------------------------------------------------------------------------

    def build(self, input_shape: shapes.Shape) -> None:
        """Make the weights for inputs of shape `(batch, *event)`; a block without weights needs none."""
        self.built = True

    def draw_weights(self, input_shape: shapes.Shape) -> dict[str, np.ndarray] | None:
        """Fresh values of this block's own weights, by attribute, where they are drawn together; `None`: each by itself.

        `Repeat` uses it to initialize many blocks without building them.
        """
        return None

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Data to latent: `z` and `log|det dz/dx|` of shape `batch`."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward_and_log_det.")

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Latent to data: `x` and `log|det dx/dz|` of shape `batch`."""
        raise NotImplementedError(f"{type(self).__name__} does not define inverse_and_log_det.")

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Upper bounds on `Lip(forward)` and `Lip(inverse)`, global or on the box `domain = (low, high)`.

        A block whose mathematics gives no bound answers infinity, with the reason.
        """
        return unknown(f"{type(self).__name__} declares no Lipschitz bound")

    def image_box(self, domain: tuple[Any, Any] | None) -> tuple[Any, Any] | None:
        """A box that holds `forward` of the box `domain`; `None` for `None`, all of space where no finite one is known.

        `|F(x) - F(c)| <= Lip(F) |x - c|` from the centre `c`, so half the box's diagonal times the bound is enough.
        """
        if domain is None or not self.built:
            return None
        if self._condition_event_shape is not None or shapes.is_open(self._x_event_shape) or not boxes.is_finite(domain):
            return boxes.EVERYWHERE
        bound = self.lipschitz_bounds(domain).forward
        if not np.isfinite(bound):
            return boxes.EVERYWHERE
        centre, radius = boxes.centre_and_radius(
            boxes.broadcast_box(domain, self._x_event_shape, self.name), self.variable_dtype
        )
        with np.errstate(over="ignore", invalid="ignore"):
            image = self.value(centre[None])[0].numpy().astype(np.float64)
            return boxes.around(image, bound * np.linalg.norm(radius), self.variable_dtype)

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """Jacobians at centres `(n, *event)`, of `z` if `inverse`, and how far off they can be in balls of radius `(n,)`."""
        return local_maps.of_block(self, x, radius, condition, inverse)

    def for_each_inner_block(self, function: Callable[[Block], Any]) -> list[Any]:
        """Call `function(block)` for blocks that Keras does not see (those of `Repeat`); what it assigns to weights is kept."""
        return []

    def initialize(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Data-dependent initialization, explicit and repeatable; returns `forward(x)` with the new weights.

        Only blocks that have one (ActNorm, and containers of it) change anything, and only where they are trainable.  In a
        `Repeat` of many blocks it is traced once for all of them: draw by TensorFlow, not by Python or numpy.
        """
        return self.forward_and_log_det(x, condition)[0]

    def waits_for_data(self) -> bool:
        """Whether weights inside that `initialize` would set are still as they were made; frozen ones do not count."""
        parts = self._flatten_layers(include_self=False)
        return any(part.waits_for_data() for part in parts if isinstance(part, Block))

    def forward_backprop(
        self, z: tf.Tensor, dz: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """One step of reversible backpropagation through `forward`: from `z` to `x` and the gradients there.

        The default inverts, then differentiates.  A block which shares work between the two overrides it.

        Args:
            z: `(batch, *event)`, what `forward` returned.
            dz: gradient of the loss by `z`.
            dlog_det: gradient of the loss by the log-determinant.
            condition: as in `forward_and_log_det`.
            sources: further tensors to differentiate by (the condition, what stands for the weights).

        Returns:
            `x`, the gradient by `x`, and the gradients by `sources` (`None` where one is not used).
        """
        x = recomputed(self.inverse_value, z, condition)
        return x, *recomputed_vjp(self.forward_and_log_det, x, dz, dlog_det, condition, sources)

    def inverse_backprop(
        self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """The same through `inverse`: from `x` to `z` and the gradients there."""
        z = recomputed(self.value, x, condition)
        return z, *recomputed_vjp(self.inverse_and_log_det, z, dx, dlog_det, condition, sources)

    @property
    def takes_any_dtype(self) -> bool:
        """Whether values of every floating dtype pass unchanged: without floating weights nothing would be lost."""
        return not any(keras.backend.is_float_dtype(weight.dtype) for weight in self.weights)

    # ---- shapes ---------------------------------------------------------------------------------------------

    @property
    def event_shape(self) -> shapes.Shape | None:
        """Shape of one `x`, once built."""
        return self._x_event_shape

    @property
    def condition_shape(self) -> shapes.Shape | None:
        """Shape of one condition, `None` where the block was built without."""
        return self._condition_event_shape

    def _forward_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return tf.TensorShape(shape)

    def _inverse_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return tf.TensorShape(shape)

    def _forward_event_shape_tensor(self, shape: tf.Tensor) -> tf.Tensor:
        return shapes.shape_tensor(self._forward_event_shape, shape)

    def _inverse_event_shape_tensor(self, shape: tf.Tensor) -> tf.Tensor:
        return shapes.shape_tensor(self._inverse_event_shape, shape)

    def ensure_built(self, event_shape: shapes.Shape, condition_shape: shapes.Shape | None = None) -> Block:
        """Build for events of shape `event_shape` (and conditions of shape `condition_shape`) unless built; returns self."""
        event_shape = tuple(event_shape)
        if self.built:
            built_shapes.agree(self, event_shape, condition_shape)
            return self
        self._event_ndims = checks.agreed_event_ndims(self, self._event_ndims, len(event_shape))
        if condition_shape is not None and self.uses_condition:
            self._condition_event_shape = tuple(condition_shape)
        with tf.init_scope():
            self.build((None, *event_shape))
        return self

    def expect_event_ndims(self, ndims: int) -> None:
        """Declare the rank of one `x` of an unbuilt block, as the argument `event_ndims` does.

        Raises:
            ValueError: if another was declared, or the block does not take that rank.
        """
        self._event_ndims = checks.agreed_event_ndims(self, self._event_ndims, ndims)
        self._forward_min_event_ndims = ndims
        self._inverse_min_event_ndims = ndims + self.inverse_event_ndims_offset

    def _note_shape(self, input_shape: Any) -> None:
        if self._x_event_shape is not None:
            return
        input_shape = tuple(input_shape)
        ndims = self._event_ndims or checks.infer_event_ndims(self, len(input_shape))
        checks.event_ndims(self, ndims)
        event = tf.TensorShape(input_shape[len(input_shape) - ndims :])
        self._z_event_shape = shapes.static(self._forward_event_shape(event))
        self._x_event_shape = shapes.static(event)
        self._event_ndims = ndims
        self._forward_min_event_ndims = ndims
        self._inverse_min_event_ndims = len(self._z_event_shape)

    def _build_from(self, value: tf.Tensor, condition: tf.Tensor | None, forward: bool) -> None:
        rank = value.shape.rank
        if forward:
            ndims = self._event_ndims or checks.infer_event_ndims(self, rank)
            checks.enough_rank(self, value, ndims)
            event = value.shape[rank - ndims :]
        else:
            ndims = (self._event_ndims or checks.infer_event_ndims(self, rank)) + self.inverse_event_ndims_offset
            checks.enough_rank(self, value, ndims)
            event = self._inverse_event_shape(value.shape[rank - ndims :])
        condition_shape = None
        if condition is not None and self.uses_condition:
            cut = checks.condition_batch_ndims(self, condition, rank - ndims)
            condition_shape = shapes.static(condition.shape[cut:])
        self.ensure_built(shapes.static(event), condition_shape)


Block.build = noting_shape(Block.build)  # type: ignore[method-assign]
