"""Many blocks of one make, scanned over: graph size and tracing time do not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.compose.chain import Chain
from inntf.compose.composition import Composition
from inntf.compose.for_each_block import for_each_block
from inntf.compose.initialization_in_turn import initialize_in_turn
from inntf.compose.linearized_scan import linearized_scan, scanned_product
from inntf.compose.reversible_scan import recomputed, step_back
from inntf.compose.scan import Scan, stored
from inntf.compose.stacking import Same, Template, assign, first_and_others
from inntf.core import Block, LipschitzBounds
from inntf.core.bounds import unknown
from inntf.core.boxes import Box
from inntf.core.errors import explain
from inntf.core.shapes import Shape, built_shape, static
from inntf.core.tags import Tags
from inntf.core.vjp import Gradients


@keras.saving.register_keras_serializable("inntf")
class Repeat(Composition):
    """`forward = F_n o ... o F_1` for `n` blocks of one make, each with weights of its own.

    The weights of all blocks are stacked on a leading axis and a loop runs over their slices, forward and inverse, so the
    graph holds one block whatever `n` is.  Every block is initialized as it would be alone.  The blocks may differ in
    their weights only, fixed ones (permutations, rotations) included: what alternates between blocks goes together
    into one step.  `unroll()` gives the equivalent `Chain`, `Repeat.from_chain` goes back.

    Args:
        make_block: a function that makes one block, called `n` times, with the index if it takes an argument; or a block,
            which stands for its configuration.  Use a `Chain` for a step of several blocks.
        n: number of blocks.
        backprop, checkpoint_every, drift_tolerance, on_drift: `backprop="reversible"` trains in memory that does not grow with
            depth, `"checkpointed"` keeps the blocks' inputs only; the others guard the accuracy.  See `Composition`.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`; the dtype is the blocks' by default.

    Shapes: those of the block, which must keep the event shape; `log_det`: `(batch,)`.

    Raises:
        ValueError: if `n` is not positive or the blocks differ in more than their weights; TypeError: if `make_block`
            makes no block.

    Source: inntf; change of variables for a composition.

    Example:
        >>> from inntf.blocks import ActNorm, AffineCoupling, Permutation
        >>> flow = Repeat(lambda i: Chain([ActNorm(), Permutation.shuffle(i), AffineCoupling()]), 8)
        >>> flow.forward_and_log_det(tf.ones([2, 4]))[1].shape
        TensorShape([2])
    """

    def __init__(self, make_block: Block | Callable[..., Block], n: int, **kwargs: Any):
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(
                explain("Repeat", received=f"n={n!r}", expected="a positive integer", remedy="Say how many blocks.")
            )
        if isinstance(make_block, Block):
            self._arguments["make_block"] = make_block = Same(make_block)
        block, others = first_and_others(make_block, n)
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = block.dtype_policy
        if kwargs.get("event_ndims") is None:
            kwargs["event_ndims"] = block._event_ndims or (
                block.default_event_ndims if block.default_event_ndims != 1 else None
            )
        super().__init__(**kwargs)
        self.n = int(n)
        object.__setattr__(self, "_template", Template(block, others))  # out of sight of every tracker

    @property
    def trainable(self) -> bool:
        """As in Keras; the block that computes for all, which Keras does not see, is told too once it is built."""
        return super().trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        Composition.trainable.fset(self, value)
        if self.built:
            for part in self._template.block._flatten_layers():
                part._trainable = bool(value)

    @property
    def uses_condition(self) -> bool:  # type: ignore[override]
        """Whether the block does."""
        return self._template.block.uses_condition

    @property
    def iterates(self) -> bool:
        """Whether the block does."""
        return self._template.block.iterates

    @property
    def tags(self) -> Tags:  # type: ignore[override]
        """The block's."""
        return self._template.block.tags

    @property
    def takes_any_dtype(self) -> bool:
        """Whether the block does."""
        return self._template.block.takes_any_dtype

    def build(self, input_shape: Shape) -> None:
        """Initialize every block and stack the weights."""
        event = tf.TensorShape(input_shape[1:])
        template = self._template
        z_event = template.block._forward_event_shape(event)
        if static(z_event) != static(event):
            received = f"a block that takes events of shape {static(event)} to {static(z_event)}"
            remedy = "Put it before or after the Repeat, in a Chain."
            raise ValueError(explain(self.name, received=received, expected="one that keeps the shape", remedy=remedy))
        values = template.build(static(event), self.condition_shape)
        made = {id(v) for part in template.block._flatten_layers() for v in part._trainable_variables}
        template.stacks = [
            self._stack(i, variable, value, id(variable) in made)
            for i, (variable, value) in enumerate(zip(template.variables, values, strict=True))
        ]
        for variable, stack in zip(template.variables, template.stacks, strict=True):
            stack.trainable = stack.trainable and variable.trainable

    def _stack(self, index: int, variable: keras.Variable, value: np.ndarray, trainable: bool) -> keras.Variable:
        # Keras lists weights by how they are made: what is frozen now must not change their places in files.
        return self.add_weight(
            shape=value.shape,
            dtype=variable._dtype,
            initializer=lambda shape, dtype=None: tf.constant(value, dtype),
            trainable=trainable,
            autocast=variable._autocast,
            aggregation=variable.aggregation,
            regularizer=_each(variable.regularizer, tf.add_n),
            constraint=_each(variable.constraint, tf.stack),
            name=f"{index:02d}_{variable.name}",
        )

    # ---- scanning -------------------------------------------------------------------------------------------

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Apply the blocks in order."""
        return self._scan(x, condition, inverse=False)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Undo the blocks in the opposite order."""
        return self._scan(z, condition, inverse=True)

    def value(self, x: Any, condition: Any = None) -> tf.Tensor:
        """As in `Block`, in one loop; reversible and checkpointed backpropagation take the log-determinants along."""
        if self.backprop.now().mode != "stored":
            return super().value(x, condition)
        return stored(Scan(self._template, self.n, inverse=False, values=True), x, condition)[0]

    def _scan(self, value: tf.Tensor, condition: tf.Tensor | None, inverse: bool) -> tuple[tf.Tensor, tf.Tensor]:
        settings = self.backprop.now()
        if settings.mode != "stored":
            scan = Scan(self._template, self.n, inverse, apart=True)
            return recomputed(scan, value, condition, settings, self._drift_guard(settings))
        return stored(Scan(self._template, self.n, inverse), value, condition)

    def linearize(self, value: Any, condition: Any = None, inverse: bool = False) -> tuple[tf.Tensor, Any]:
        """As in `Block`, in one loop."""
        return linearized_scan(Scan(self._template, self.n, inverse), value, condition)

    def jacobian_product(
        self, points: Any, vector: Any, condition: Any = None, inverse: bool = False, transposed: bool = False
    ) -> tf.Tensor:
        """As in `Block`, in one loop."""
        return scanned_product(Scan(self._template, self.n, inverse), points, vector, condition, transposed)

    def forward_backprop(
        self, z: tf.Tensor, dz: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, in one loop."""
        return step_back(Scan(self._template, self.n, inverse=False), z, dz, dlog_det, condition, sources)

    def inverse_backprop(
        self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, in one loop."""
        return step_back(Scan(self._template, self.n, inverse=True), x, dx, dlog_det, condition, sources)

    # ---- the blocks one by one ------------------------------------------------------------------------------

    def waits_for_data(self) -> bool:
        """Whether a slice of the weights is still as it was made, where `initialize` would set it."""
        return self.built and self.trainable and self._template.waits_for_data(self.n)

    def for_each_inner_block(self, function: Callable[[Block], Any]) -> list[Any]:
        """See `inntf.compose.for_each_block.for_each_block`."""
        return for_each_block(self, function)

    def initialize(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Initialize each block on what the ones before it make of the data."""
        if not self.trainable:
            return self.forward_and_log_det(x, condition)[0]
        return initialize_in_turn(self._template, self.n, x, condition)

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Product of the blocks' bounds; a box is carried from block to block."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        bounds, block = LipschitzBounds(1.0, 1.0), self._template.block
        for slices in self._slices():
            with self._template.scope([tf.constant(value) for value in slices]):
                bounds = bounds.then(block.lipschitz_bounds(domain))
                domain = block.image_box(domain)
        return bounds

    def image_box(self, domain: Box | None) -> Box | None:
        """From block to block."""
        if not self.built:
            return None
        for slices in self._slices() if domain is not None else ():
            with self._template.scope([tf.constant(value) for value in slices]):
                domain = self._template.block.image_box(domain)
        return domain

    def unroll(self, into: Chain | None = None) -> Chain:
        """The equivalent `Chain` of `n` blocks with copies of the weights.

        Args:
            into: what an earlier call returned: it gets today's weights and is returned, which is cheaper than a new one.

        Raises:
            ValueError: if it is not built yet.
        """
        if not self.built:
            raise ValueError(
                f"{self.name}.unroll: received an unbuilt Repeat, expected weights to copy. Call it on data, or ensure_built."
            )
        if into is not None:
            for block, slices in zip(into, self._slices(), strict=True):
                assign(block, slices)
            return into
        name = self._template.block.name
        chain = Chain([self._template.make(s, f"{name}_{i}") for i, s in enumerate(self._slices())], **self._common())
        return chain.ensure_built(built_shape(self.event_shape), self.condition_shape)

    @classmethod
    def from_chain(cls, chain: Chain, period: int = 1, **kwargs: Any) -> Repeat:
        """The equivalent `Repeat` of a built chain of blocks of one make, with copies of the weights.

        Args:
            chain: the chain.
            period: how many consecutive blocks of the chain make one step.
            kwargs: further arguments of `Repeat`.

        Raises:
            ValueError: if the chain is not built, is no multiple of the period, or its steps differ in more than weights.
        """
        if not chain.built or len(chain) % period:
            raise ValueError(
                explain(
                    "Repeat.from_chain",
                    received=f"a chain of {len(chain)} blocks, {'' if chain.built else 'not '}built, period {period}",
                    expected="a built chain whose length is a multiple of the period",
                    remedy="Call it on data first, or choose another period.",
                )
            )
        steps = list(chain) if period == 1 else [Chain(chain.blocks[i : i + period]) for i in range(0, len(chain), period)]
        for step in steps:  # a step made here of built blocks has no shapes yet
            step.ensure_built(built_shape(chain.event_shape), chain.condition_shape)
        fresh = iter([type(step).from_config(step.get_config()) for step in steps])
        repeat = cls(lambda: next(fresh), len(steps), **{"dtype": chain.dtype_policy, **kwargs})
        repeat._arguments["make_block"] = Same(steps[0])
        repeat.ensure_built(built_shape(chain.event_shape), chain.condition_shape)
        for stack, *values in zip(repeat._template.stacks, *(step.variables for step in steps), strict=True):
            stack.assign(np.stack([value.numpy() for value in values]))
        return repeat

    def _slices(self) -> list[tuple[np.ndarray, ...]]:
        return list(zip(*(stack.numpy() for stack in self._template.stacks), strict=True)) or [()] * self.n

    def _common(self) -> dict[str, Any]:
        names = ("backprop", "checkpoint_every", "drift_tolerance", "on_drift")
        settings = {k: v for k, v in self._arguments.items() if k in names}
        own = {"dtype": self.dtype_policy, "event_ndims": self._event_ndims, "validate_args": self.validate_args}
        return {"name": self.name} | own | settings

    def config_arguments(self) -> dict[str, Any]:
        """Constructor arguments, with the block that the function makes in place of the function."""
        return super().config_arguments() | {"make_block": self._template.block}

    def __len__(self) -> int:
        return self.n


def _each(function: Callable | None, join: Callable[[Sequence[tf.Tensor]], tf.Tensor]) -> Callable | None:
    # A regularizer or constraint written for the weight of one block.
    if function is None:
        return None
    return lambda stack: join([function(weight) for weight in tf.unstack(tf.convert_to_tensor(stack))])
