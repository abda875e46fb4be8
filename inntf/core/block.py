"""The contract every invertible block keeps: one class, a Keras layer and a TFP bijector."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability.python.internal import cache_util

from inntf.core import checks, configuration, shapes
from inntf.core.backprop import Gradients, pullback
from inntf.core.bounds import LipschitzBounds, unknown
from inntf.core.faces import BijectorFace, LiveVariables, is_tfp, tfb

_PAIRS = ("forward_and_log_det", "inverse_and_log_det")


class Block(keras.layers.Layer, BijectorFace):
    """An invertible map with a log-determinant: at once a `keras.layers.Layer` and a `tfb.Bijector`.

    `forward` takes data `x` to the latent `z`, `inverse` takes `z` back.  Both come with the log-determinant of
    the direction called, natural log, of shape `batch`, at least float32:

        z, log_det = block.forward_and_log_det(x, condition=None)   # log|det dz/dx|
        x, log_det = block.inverse_and_log_det(z, condition=None)   # log|det dx/dz|

    A density is a base pulled back through `forward`, so a block goes into a `tfd.TransformedDistribution` as
    `tfb.Invert(block)`; `inntf.Flow` does that for you.  `block(x)` (the Keras call) returns `z` alone.

    To write a block, define `build`, `forward_and_log_det`, `inverse_and_log_det` and, where the mathematics gives
    it, `lipschitz_bounds`.  Inside them the value has exactly one batch dimension, the right rank, width and
    dtype: that is checked once, at the door, by the base class, which also builds lazily, flattens and restores
    any number of leading batch dimensions, and brings `log_det` to its shape.  Constructor arguments are recorded:
    `get_config`, `copy` and `parameters` need no code unless an argument cannot be serialized.

    Args:
        event_ndims: rank of one event: 1 for `(batch, dim)`, 3 for `(batch, height, width, channels)`.  By
            default it is taken from the first input (rank up to 2: vectors, rank 3 and more: images).
        name: name of the layer and of the bijector.
        dtype: dtype or Keras dtype policy.  The values and `log_det` keep the *variable* dtype of the policy; under
            a mixed policy only the networks inside compute in 16 bit.
        trainable: whether the weights train.
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

    _cache = cache_util.BijectorCacheWithGreedyAttrs("_forward_pair", "_inverse_pair")
    default_event_ndims = 1  # what the bijector reports before the first input is seen
    inverse_event_ndims_offset = 0  # rank of z minus rank of x
    uses_condition = True  # False: a condition passed along a chain is ignored here

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        for name in _PAIRS:
            if name in cls.__dict__:
                setattr(cls, name, _door(cls.__dict__[name], forward=name == _PAIRS[0]))
        if "initialize" in cls.__dict__:
            cls.initialize = _initialize_door(cls.__dict__["initialize"])
        if "build" in cls.__dict__:
            cls.build = _noting_shape(cls.__dict__["build"])

    def __new__(cls, *args: Any, **kwargs: Any):
        block = super().__new__(cls, *args, **kwargs)
        object.__setattr__(block, "_arguments", configuration.bind(cls, args, kwargs))
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
        self._convert_input_args = False  # Keras would cast to the 16-bit compute dtype; the door does it right
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
        """Fresh initial values of this block's own weights, by attribute, where they are drawn together.

        `None` (the default): each weight has an initializer of its own.  `Repeat` uses it to initialize many blocks
        without building them.
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
        """A box that holds `forward` of the box `domain`, `None` where none is known.

        `|F(x) - F(c)| <= Lip(F) |x - c|` from the centre `c`, so half the box's diagonal times the bound is enough.
        """
        if domain is None or not self.built or self._condition_event_shape is not None or None in self._x_event_shape:
            return None
        bound = self.lipschitz_bounds(domain).forward
        if not np.isfinite(bound):
            return None
        low, high = (np.broadcast_to(np.asarray(end, np.float64), self._x_event_shape) for end in domain)
        centre = self.forward_and_log_det(((low + high) / 2)[None])[0][0].numpy().astype(np.float64)
        radius = bound * np.linalg.norm((high - low) / 2)
        return centre - radius, centre + radius

    def initialize(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Data-dependent initialization, explicit and repeatable; returns `forward(x)` with the new weights.

        Only blocks that have one (ActNorm, and containers of it) change anything.
        """
        return self.forward_and_log_det(x, condition)[0]

    def forward_backprop(
        self, z: tf.Tensor, dz: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """One step of reversible backpropagation through `forward`: from `z` to `x` and the gradients there.

        The default inverts, then differentiates.  A block which shares work between the two overrides it.

        Args:
            z: `(batch, *event)`, what `forward` returned.
            dz, dlog_det: gradients of the loss by `z` and by the log-determinant.
            condition: as in `forward_and_log_det`.
            sources: further tensors to differentiate by (the condition, what stands for the weights).

        Returns:
            `x`, the gradient by `x`, and the gradients by `sources` (`None` where one is not used).
        """
        x = self.inverse_and_log_det(z, condition)[0]
        return x, *pullback(self.forward_and_log_det, x, dz, dlog_det, condition, sources)

    def inverse_backprop(
        self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """The same through `inverse`: from `x` to `z` and the gradients there."""
        z = self.forward_and_log_det(x, condition)[0]
        return z, *pullback(self.inverse_and_log_det, z, dx, dlog_det, condition, sources)

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
        return _shape_tensor(self._forward_event_shape, shape)

    def _inverse_event_shape_tensor(self, shape: tf.Tensor) -> tf.Tensor:
        return _shape_tensor(self._inverse_event_shape, shape)

    def compute_output_shape(self, input_shape: shapes.Shape, condition_shape: shapes.Shape | None = None) -> shapes.Shape:
        """Shape of `forward(x)`, batch dimensions included."""
        ndims = self._event_ndims or checks.infer_event_ndims(self, len(input_shape))
        cut = len(input_shape) - ndims
        return (*input_shape[:cut], *shapes.static(self._forward_event_shape(tf.TensorShape(input_shape[cut:]))))

    def compute_output_spec(self, x: Any, condition: Any = None, training: bool | None = None) -> keras.KerasTensor:
        """Symbolic output of the Keras call; the dtype of the value is kept, whatever the compute dtype."""
        dtype = x.dtype if keras.backend.is_float_dtype(x.dtype) else self.variable_dtype
        return keras.KerasTensor(self.compute_output_shape(tuple(x.shape)), dtype=dtype)

    def ensure_built(self, event_shape: shapes.Shape, condition_shape: shapes.Shape | None = None) -> Block:
        """Build for events of shape `event_shape` (and conditions of shape `condition_shape`) unless built; returns self."""
        event_shape = tuple(event_shape)
        if self.built:
            return self
        self._event_ndims = checks.agreed_event_ndims(self, self._event_ndims, len(event_shape))
        if condition_shape is not None and self.uses_condition:
            self._condition_event_shape = tuple(condition_shape)
        with tf.init_scope():
            self.build((None, *event_shape))
        return self

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

    # ---- the Keras face -------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args and is_tfp(args[0]):
            return tfb.Bijector.__call__(self, *args, **kwargs)
        args = tuple(a if _is_symbolic(a) else checks.as_tensor(self, a) for a in args)
        for name, value in tuple(zip(("x", "condition"), args, strict=False)) + tuple(kwargs.items()):
            if _is_symbolic(value) and name in ("x", "condition"):
                continue
            if name in ("x", "condition") and value is not None and name in kwargs:
                kwargs[name] = checks.as_tensor(self, value)
        if not self.built:
            bound = dict(zip(("x", "condition"), args, strict=False)) | kwargs
            if bound.get("x") is not None:
                self._build_from(_with_shape(bound["x"]), _with_shape(bound.get("condition")), forward=True)
        return super().__call__(*args, **kwargs)

    def call(self, x: Any, condition: Any = None, training: bool | None = None) -> tf.Tensor:
        """The Keras call: `z` alone."""
        return self.forward_and_log_det(x, condition)[0]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, serialized."""
        return {**keras.layers.Layer.get_config(self), **configuration.serialize(self.config_arguments())}

    def config_arguments(self) -> dict[str, Any]:
        """What `get_config` serializes; a block that has turned a function into a layer puts the layer here."""
        return dict(self._arguments)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Block:
        """A new, unbuilt block from `get_config()`."""
        return cls(**configuration.deserialize(config))

    def get_build_config(self) -> dict[str, Any] | None:
        """Shapes needed to make the weights before they are loaded."""
        if self._x_event_shape is None:
            return None
        return {"event_shape": list(self._x_event_shape), "condition_shape": _list(self._condition_event_shape)}

    def build_from_config(self, config: dict[str, Any] | None) -> None:
        """Build from `get_build_config()`."""
        if config:
            self.ensure_built(config["event_shape"], config.get("condition_shape"))

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        # TensorFlow's checkpoints and SavedModels do not look into the lists in which Keras layers keep layers.
        return super()._trackable_children(save_type, **kwargs) | self._checkpointed()

    def _checkpointed(self) -> dict[str, tf.Variable]:
        return {f"variable_{i:05d}": v._value for i, v in enumerate(self.variables)}

    # ---- the bijector face ----------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the layer and of the bijector."""
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    @property
    def parameters(self) -> dict[str, Any]:
        """The configuration: constructor arguments by name, as given."""
        return {**dict(self._arguments), "name": self.name}

    def copy(self, **overrides: Any) -> Block:
        """A new, independent block with the same configuration, changed by `overrides`, and the same weights.

        Raises:
            ValueError: if an override changes the shapes of the weights; TypeError: if it is no argument.
        """
        new = type(self)(**{**configuration.clone(dict(self._arguments)), "name": self.name, **overrides})
        if not self.built:
            return new
        new.ensure_built(self._x_event_shape, self._condition_event_shape)
        mine, theirs = self.get_weights(), new.get_weights()
        if [w.shape for w in mine] != [w.shape for w in theirs]:
            raise ValueError(
                f"{self.name}.copy: the overrides {sorted(overrides)} change the shapes of the weights, so the weights "
                "cannot be kept. Make a new block instead."
            )
        new.set_weights(mine)
        return new

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    @classmethod
    def _parameter_properties(cls, dtype: Any = None, num_classes: int | None = None) -> dict[str, Any]:
        return {}

    def forward_dtype(self, dtype: Any = None, name: str | None = None, **kwargs: Any) -> Any:
        """The dtype of `forward(x)` is that of `x`."""
        return dtype

    def inverse_dtype(self, dtype: Any = None, name: str | None = None, **kwargs: Any) -> Any:
        """The dtype of `inverse(z)` is that of `z`."""
        return dtype

    def forward(self, x: Any, condition: Any = None, name: str = "forward", **kwargs: Any) -> tf.Tensor:
        """Data to latent, without the log-determinant.  Cached by TFP: the same tensor gives the same object."""
        return super().forward(checks.as_tensor(self, x), name=name, **_condition(condition), **kwargs)

    def inverse(self, z: Any, condition: Any = None, name: str = "inverse", **kwargs: Any) -> tf.Tensor:
        """Latent to data, without the log-determinant.  Cached by TFP: the same tensor gives the same object."""
        return super().inverse(checks.as_tensor(self, z), name=name, **_condition(condition), **kwargs)

    def forward_log_det_jacobian(self, x: Any, event_ndims: Any = None, name: str = "forward_log_det_jacobian", **kwargs: Any):
        """`log|det dz/dx|`; TFP's name.  `event_ndims` beyond the block's own sums over the extra dimensions."""
        x = self._prepared(x, event_ndims, kwargs.get("condition"), forward=True)
        return super().forward_log_det_jacobian(x, event_ndims, name=name, **kwargs)

    def inverse_log_det_jacobian(self, z: Any, event_ndims: Any = None, name: str = "inverse_log_det_jacobian", **kwargs: Any):
        """`log|det dx/dz|`; TFP's name.  `event_ndims` beyond the block's own sums over the extra dimensions."""
        z = self._prepared(z, event_ndims, kwargs.get("condition"), forward=False)
        return super().inverse_log_det_jacobian(z, event_ndims, name=name, **kwargs)

    def _prepared(self, value: Any, event_ndims: Any, condition: Any, forward: bool) -> tf.Tensor:
        # TFP reads the event rank before it evaluates, so an unbuilt block must be built first.
        value = checks.as_tensor(self, value)
        if not self.built:
            ndims = tf.get_static_value(event_ndims) if event_ndims is not None else None
            if self._event_ndims is None and ndims is not None:
                self._event_ndims = int(ndims) - (0 if forward else self.inverse_event_ndims_offset)
            self._build_from(value, None if condition is None else checks.as_tensor(self, condition), forward)
        return value

    def _forward_pair(self, x: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        z, log_det = self.forward_and_log_det(x, condition)
        return z, {"fldj": log_det, "ildj": -log_det}

    def _inverse_pair(self, z: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        x, log_det = self.inverse_and_log_det(z, condition)
        return x, {"ildj": log_det, "fldj": -log_det}

    def _forward(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return self._forward_pair(x, condition)[0]

    def _inverse(self, z: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return self._inverse_pair(z, condition)[0]

    def _forward_log_det_jacobian(self, x: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        attributes = self._cache.forward_attributes(x, **kwargs)
        if "fldj" not in attributes:
            attributes.update(self._forward_pair(x, **kwargs)[1])
        return attributes["fldj"]

    def _inverse_log_det_jacobian(self, z: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        attributes = self._cache.inverse_attributes(z, **kwargs)
        if "ildj" not in attributes:
            attributes.update(self._inverse_pair(z, **kwargs)[1])
        return attributes["ildj"]


def _door(function: Callable, forward: bool) -> Callable:
    """Wrap a pair method: checks, lazy building, one batch dimension inside, `log_det` of the batch shape outside."""
    if getattr(function, "_is_door", False):
        return function

    @tf.autograph.experimental.do_not_convert  # blocks are plain TensorFlow; converting their source takes seconds
    @functools.wraps(function)
    def through(self: Block, value: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        value = checks.as_tensor(self, value)
        condition = checks.as_tensor(self, condition) if condition is not None and self.uses_condition else None
        if not self.built:
            self._build_from(value, condition, forward)
        value = checks.dtype(self, value)
        ndims = self._forward_min_event_ndims if forward else self._inverse_min_event_ndims
        checks.event(self, value, self._x_event_shape if forward else self._z_event_shape, forward)
        checks.finite(self, value, "input")
        lead = None if value.shape.rank == ndims + 1 else shapes.leading_shape(value, ndims)
        if condition is not None:
            condition = _one_batch_condition(self, value, condition, ndims)
        elif self._condition_event_shape is not None:
            checks.missing_condition(self)
        flat = value if lead is None else shapes.flatten_leading(value, ndims)
        out, log_det = _evaluate(function, self, flat, condition)
        checks.finite(self, out, "output")
        log_det = _per_sample(log_det, out)
        if lead is None:
            return out, log_det
        return shapes.restore_leading(out, lead), shapes.restore_leading(log_det, lead)

    through._is_door = True
    return through


def _initialize_door(function: Callable) -> Callable:
    # The same checks; an initialization returns a value and no log-determinant.
    def pair(self: Block, x: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        return function(self, x, condition), tf.zeros([], x.dtype)

    through = _door(pair, forward=True)

    @functools.wraps(function)
    def initialize(self: Block, x: Any, condition: Any = None) -> tf.Tensor:
        return through(self, x, condition)[0]

    return initialize


def _evaluate(function: Callable, block: Block, flat: tf.Tensor, condition: tf.Tensor | None):
    scope = keras.src.backend.get_autocast_scope()
    if scope is not None and scope.dtype is not None:
        # An outer mixed-precision layer must not hand this block's weights out in 16 bit.
        with keras.src.backend.AutocastScope(None):
            return _evaluate(function, block, flat, condition)
    if tf.executing_eagerly() and flat.shape[0] == 0:
        # Eager oneDNN convolutions return the input's shape for an empty batch: evaluate one row, keep none.
        one = tf.zeros([1, *flat.shape[1:]], flat.dtype)
        row = None if condition is None else tf.zeros([1, *condition.shape[1:]], condition.dtype)
        out, log_det = function(block, one, row)
        return out[:0], _per_sample(log_det, out)[:0]
    return function(block, flat, condition)


def _per_sample(log_det: Any, out: tf.Tensor) -> tf.Tensor:
    dtype = out.dtype if out.dtype.size >= 4 else tf.float32
    log_det = tf.cast(tf.convert_to_tensor(log_det), dtype)
    if log_det.shape.rank == 1 and (log_det.shape[0] == out.shape[0] or log_det.shape[0] is None):
        return log_det
    return tf.broadcast_to(log_det, tf.shape(out)[:1])


def _one_batch_condition(block: Block, value: tf.Tensor, condition: tf.Tensor, ndims: int) -> tf.Tensor:
    shape = block._condition_event_shape
    if shape is None:
        checks.surprising_condition(block)
    checks.condition(block, condition, shape)
    lead = shapes.leading_shape(value, ndims)
    return shapes.broadcast_leading(condition, len(shape), lead)


def _noting_shape(build: Callable) -> Callable:
    @functools.wraps(build)
    def noting(self: Block, input_shape: Any, *args: Any, **kwargs: Any) -> None:
        self._note_shape(input_shape)
        build(self, input_shape, *args, **kwargs)
        self.built = True
        if keras.src.backend.in_stateless_scope():
            return  # the variables do not exist yet
        for name, variable in self._checkpointed().items():
            self._handle_deferred_dependencies(name=name, trackable=variable)  # of a checkpoint restored before

    noting.__signature__ = inspect.signature(build)
    return noting


Block.build = _noting_shape(Block.build)


def _shape_tensor(function: Callable, shape: tf.Tensor) -> tf.Tensor:
    known = tf.get_static_value(shape)
    if known is None:
        raise NotImplementedError("inntf blocks need a statically known event shape; give the block a fixed input shape.")
    return tf.constant(shapes.static(function(tf.TensorShape(np.asarray(known).tolist()))), tf.int32)


def _condition(condition: Any) -> dict[str, Any]:
    return {} if condition is None else {"condition": condition}


def _is_symbolic(value: Any) -> bool:
    return value is None or isinstance(value, keras.KerasTensor)


def _with_shape(value: Any) -> Any:
    return tf.TensorSpec(value.shape, value.dtype) if isinstance(value, keras.KerasTensor) else value


def _list(shape: shapes.Shape | None) -> list | None:
    return None if shape is None else list(shape)
