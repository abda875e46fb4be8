"""Many blocks of one make as one template and stacked weights."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.shapes import Shape, built_shape


class Template:
    """One block that computes for many: its variables are stand-ins for slices of stacks.

    A plain object, so that neither Keras nor `tf.Module` nor checkpoints find the stand-ins behind it.
    """

    def __init__(self, block: Block, others: Sequence[Block | Later]):
        self.block = block
        self.others = list(others)
        self.variables: list[keras.Variable] = []
        self.stacks: list[keras.Variable] = []

    def build(self, event_shape: Shape, condition_shape: Shape | None) -> list[np.ndarray]:
        """Build the template; returns the initial stacks, one a variable, each block initialized as it would be alone."""
        own = architecture(self.block)
        for i, source in enumerate(self.others, 1):
            if isinstance(source, Block) and source is not self.block and (other := architecture(source)) != own:
                _refuse_other_architecture(self.block, i, own, other)
        initializers, first = _build_deferred(self.block, event_shape, condition_shape)
        self.variables = list(self.block.variables)
        values = [first]
        for i, source in enumerate(self.others, 1):
            drawn = _draw(self.block, source, initializers)
            values.append(
                drawn if drawn is not None else _draw_by_building(self.block, source, i, event_shape, condition_shape)
            )
        self.others = []
        return [np.stack(column) for column in zip(*values, strict=True)]

    def scope(self, slices: Sequence[tf.Tensor]) -> keras.StatelessScope:
        """Within it the template computes with these slices in place of its variables."""
        given = list(zip(self.variables, slices, strict=True))
        return keras.StatelessScope(given, collect_losses=True, initialize_variables=False)

    def states(self) -> list[int]:
        """Positions of the variables that a layer may update as it computes."""
        fixed = {id(v) for block in _blocks(self.block) if _draws(block) for v in block._non_trainable_variables}
        return [j for j, v in enumerate(self.variables) if not v.trainable and id(v) not in fixed]

    def waits_for_data(self, n: int) -> bool:
        """Whether one of the `n` blocks waits for data with its slices."""
        parts = [part for part in self.block._flatten_layers() if isinstance(part, Block)]
        asked = {id(v) for part in parts if _decides(part) for v in part.variables}
        pairs = [(v, s) for v, s in zip(self.variables, self.stacks, strict=True) if id(v) in asked]
        columns = [(variable, tf.convert_to_tensor(stack)) for variable, stack in pairs]
        for i in range(n if columns else 0):
            with keras.StatelessScope([(v, column[i]) for v, column in columns], initialize_variables=False):
                if self.block.waits_for_data():
                    return True
        return False

    def make(self, slices: Sequence[np.ndarray], name: str) -> Block:
        """A block of its own with these weights."""
        block = self.block.copy(name=name)
        assign(block, slices)
        return block


def assign(block: Block, values: Sequence[np.ndarray]) -> None:
    """Give a block these values of its variables."""
    for variable, value in zip(block.variables, values, strict=True):
        variable.assign(value)


@dataclass(frozen=True)
class Later:
    """A block that is not made before it has to be: the parts of it that draw weights jointly, and how to make it."""

    drawing: Sequence[Block]
    make: Callable[[], Block]


class Alike:
    """A maker `make(i)` of blocks that differ in nothing but what some parts draw, as rotations of other seeds do.

    Behind the first block only those parts are made, by `drawing(i)`, in the order they have in the block.
    """

    def __init__(self, make: Callable[[int], Block], drawing: Callable[[int], Sequence[Block]]):
        self._make = make
        self._drawing = drawing

    def __call__(self, i: int) -> Block:
        """The block of this index."""
        return self._make(i)

    def later(self, i: int) -> Later:
        """What the block of this index draws."""
        return Later(self._drawing(i), functools.partial(self._make, i))


class Same:
    """A maker of new blocks of one block's configuration; it hides that block from trackers."""

    def __init__(self, block: Block):
        self._block = block

    def __call__(self) -> Block:
        """A new, unbuilt block."""
        block = self._block
        return type(block).from_config(block.get_config()) if block.built else block.copy()


def first_and_others(make_block: Callable[..., Block], n: int) -> tuple[Block, Sequence[Block | Later]]:
    """The `n` blocks that a maker makes, unbuilt; `Same` makes one that stands for all, `Alike` the first.

    Raises:
        TypeError: if it makes something else than blocks.
    """
    if isinstance(make_block, Same):
        block = make_block()
        return block, [block] * (n - 1)
    if isinstance(make_block, Alike):
        return make_block(0), [make_block.later(i) for i in range(1, n)]
    if not callable(make_block):
        raise TypeError(
            explain(
                "Repeat",
                received=f"make_block of type {type(make_block).__name__}",
                expected="a function that makes a block, or a block",
                remedy="For example Repeat(lambda: AffineCoupling(), 8), or Repeat(lambda i: ..., 8) with the index.",
            )
        )
    made = [make_block(i) for i in range(n)] if _takes_index(make_block) else [make_block() for _ in range(n)]
    for block in made:
        if not isinstance(block, Block):
            raise TypeError(
                explain(
                    "Repeat",
                    received=f"a make_block that returned {type(block).__name__}",
                    expected="an inntf block",
                    remedy="Return a Block, for instance a Chain of the blocks of one step.",
                )
            )
    if any(block is made[0] for block in made[1:]) or made[0].built:
        raise ValueError(
            explain(
                "Repeat",
                received="a make_block that returns a block made before",
                expected="a new, unbuilt block at each call",
                remedy="Construct the block inside the function.",
            )
        )
    return made[0], made[1:]


def _takes_index(make_block: Callable[..., Block]) -> bool:
    parameters = inspect.signature(make_block).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)


def _build_deferred(block: Block, event_shape: Shape, condition_shape: Shape | None) -> tuple[dict[int, Any], list[np.ndarray]]:
    # In a stateless scope variables keep their initializers until its end, so that these can be used again.
    with keras.StatelessScope() as scope:
        block.ensure_built(event_shape, condition_shape)
        initializers = {id(v): getattr(v, "_initializer", None) for v in block.variables}
        assigned = {id(v): scope.get_current_value(v) for v in block.variables}
    first = [np.asarray(v.numpy() if assigned[id(v)] is None else assigned[id(v)]) for v in block.variables]
    return initializers, first


def _draw(template: Block, source: Block | Later, initializers: dict[int, Any]) -> list[np.ndarray] | None:
    """Initial weights of `source` without building it; `None` where that is not possible."""
    joint = [b for b in _blocks(template) if _draws(b)]
    theirs = [b for b in (_blocks(source) if isinstance(source, Block) else source.drawing) if _draws(b)]
    if [type(b) for b in joint] != [type(b) for b in theirs]:
        return None
    known: dict[int, np.ndarray] = {}
    for mine, other in zip(joint, theirs, strict=True):
        values = other.draw_weights((None, *built_shape(mine.event_shape)))
        known.update((id(getattr(mine, name)), value) for name, value in (values or {}).items())
    out = []
    for variable in template.variables:
        value = known.get(id(variable))
        if value is None:
            initializer = initializers.get(id(variable))
            if not isinstance(initializer, keras.initializers.Initializer):
                return None
            config = initializer.get_config()
            if config.get("seed") is not None:
                return None
            if isinstance(initializer, keras.initializers.Zeros):
                value = np.zeros(variable.shape)
            else:  # the same initializer object would draw the same numbers again
                value = type(initializer).from_config(config)(variable.shape, dtype=variable.dtype)
        out.append(np.asarray(value, np.dtype(str(keras.backend.standardize_dtype(variable.dtype)))))
    return out


def _draw_by_building(
    template: Block, source: Block | Later, index: int, event_shape: Shape, condition_shape: Shape | None
) -> list[np.ndarray]:
    block = source if isinstance(source, Block) else source.make()
    if block.built:
        block = type(block).from_config(block.get_config())
    block.ensure_built(event_shape, condition_shape)
    if [tuple(v.shape) for v in block.variables] != [tuple(v.shape) for v in template.variables]:
        _refuse_other_architecture(template, index, "weights of other shapes", "")
    return [v.numpy() for v in block.variables]


def _blocks(block: Block) -> list[Block]:
    return [layer for layer in block._flatten_layers() if isinstance(layer, Block)]


def _draws(block: Block) -> bool:
    return type(block).draw_weights is not Block.draw_weights


def architecture(value: Any) -> Any:
    """What a block is, without what only decides its initial weights, as something that compares."""
    if isinstance(value, Block):
        return {"type": type(value).__name__, **architecture(value.config_arguments())}
    if inspect.isfunction(value):
        return value.__code__
    if isinstance(value, dict):
        initial = {"name", "seed", "shared_object_id", "build_config"} | (
            {"indices"} if isinstance(value.get("indices"), list) else set()
        )
        return {k: architecture(v) for k, v in value.items() if k not in initial and not str(k).endswith("initializer")}
    if isinstance(value, list | tuple):
        return [architecture(v) for v in value]
    if hasattr(value, "get_config") and not isinstance(value, type):
        try:
            return {"type": type(value).__name__, **architecture(value.get_config())}
        except (TypeError, ValueError, NotImplementedError):
            return type(value)  # a layer that cannot write itself down: the shapes of its weights are compared all the same
    return value if isinstance(value, int | float | str | type(None)) else type(value)


def _refuse_other_architecture(block: Block, index: int, first: Any, other: Any) -> None:
    raise ValueError(
        explain(
            "Repeat",
            received=f"a block {index} that differs from block 0 ({block.name}) in more than its weights: "
            + _difference(first, other),
            expected="blocks of one make",
            remedy="Put what alternates into one step: make_block returns Chain([coupling, Permutation.reverse(), ...]), or a "
            "coupling and its swapped twin.",
        )
    )


def _difference(first: Any, other: Any) -> str:
    if isinstance(first, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*first, *other]):
            if first.get(key) != other.get(key):
                return (
                    _difference(first.get(key), other.get(key))
                    if isinstance(first.get(key), dict | list)
                    else (f"{key}={other.get(key)!r}, not {first.get(key)!r}")
                )
    if isinstance(first, list) and isinstance(other, list) and len(first) == len(other):
        for a, b in zip(first, other, strict=True):
            if a != b:
                return _difference(a, b)
    return f"{other!r}, not {first!r}" if other else str(first)


def _decides(block: Block) -> bool:
    # Whether it looks at weights of its own, rather than asking its parts.
    return type(block).waits_for_data is not Block.waits_for_data
