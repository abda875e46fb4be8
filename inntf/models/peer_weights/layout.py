"""How classes of a peer keep their weights, one after the other or in a sequence."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from inntf.compose import Chain
from inntf.core import Block
from inntf.core.errors import explain
from inntf.models.peer_weights.networks import Arrays
from inntf.models.peer_weights.state_dict import StateDict, float_dtype

Kind = str | tuple[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Layout:
    """One class of a peer.

    Attributes:
        read: `(weights, dtype, activation, *, options) -> block`, built.
        write: `(owner, block, like, *, options) -> arrays by name`.
    """

    read: Callable[..., Block]
    write: Callable[..., Arrays]


@dataclasses.dataclass(frozen=True)
class Library:
    """A peer.

    Attributes:
        name: as in `from_name`.
        layouts: its classes.
        sequence: the list in which its sequences hold their modules.
        constants: names in the state dict of a sequence that are no weights.
    """

    name: str
    layouts: Mapping[str, Layout]
    sequence: str
    constants: tuple[str, ...] = ()

    def read(
        self, state_dict: Mapping[str, Any], kind: Kind | Sequence[Kind], activation: Any, dtype: Any, options: dict[str, Any]
    ) -> Block:
        """One block, or a chain of several; nothing of the state dict may be left over."""
        owner = f"from_{self.name}"
        weights = StateDict(owner, state_dict)
        dtype = dtype or float_dtype(state_dict)
        modules = self._modules(owner, kind, options, "read")
        if not _several(kind):
            ((layout, given),) = modules
            block = layout.read(weights, dtype, activation, **given)
        else:
            weights.skip(*self.constants)
            prefix = self._prefix(weights)
            parts = [weights.below(f"{prefix}{i}.") for i in range(len(modules))]
            block = Chain([m.read(w, dtype, activation, **given) for w, (m, given) in zip(parts, modules, strict=True)])
        weights.finish()
        return block

    def write(
        self, block: Block, kind: Kind | Sequence[Kind], like: Mapping[str, Any] | None, options: dict[str, Any]
    ) -> Arrays:
        """The state dict: names and shapes those of `like`, where it is given; floats in the dtype of the block's variables."""
        owner = f"to_{self.name}"
        example = None if like is None else StateDict(owner, like)
        modules = self._modules(owner, kind, options, "write")
        if not _several(kind):
            ((layout, given),) = modules
            found = layout.write(owner, block, example, **given)
        else:
            blocks = expect(owner, block, Chain).blocks
            if len(blocks) != len(modules):
                raise ValueError(explain(owner, received=f"a chain of {len(blocks)} blocks", expected=f"{len(modules)} kinds"))
            prefix = f"{self.sequence}." if example is None else self._prefix(example)
            found = {}
            for i, (part, (layout, given)) in enumerate(zip(blocks, modules, strict=True)):
                below = None if example is None else example.below(f"{prefix}{i}.")
                found |= {f"{prefix}{i}.{name}": v for name, v in layout.write(owner, part, below, **given).items()}
        if example is not None:
            self._compare(owner, found, example)
        dtype = block.variable_dtype
        return {name: np.asarray(v, dtype) if np.asarray(v).dtype.kind == "f" else v for name, v in found.items()}

    def _modules(
        self, owner: str, kind: Kind | Sequence[Kind], options: dict[str, Any], way: str
    ) -> list[tuple[Layout, dict[str, Any]]]:
        found, taken = [], set()
        for one in kind if _several(kind) else [kind]:
            name, own = _with_options(one)
            if name not in self.layouts:
                expected = f"one of {', '.join(sorted(self.layouts))}, or a list of them"
                remedy = "docs/coming_from/equivalents.md names the equivalents of all others."
                raise ValueError(explain(owner, received=f"kind={name!r}", expected=expected, remedy=remedy))
            layout = self.layouts[name]
            # How a module was made is known to `read`; `write` takes the same, and needs less.
            allowed, needed = (
                {n for n, p in inspect.signature(f).parameters.items() if p.kind is p.KEYWORD_ONLY}
                for f in (layout.read, getattr(layout, way))
            )
            taken |= allowed
            unknown = set(own) - allowed or (set() if _several(kind) else set(options) - allowed)
            if unknown:
                self._unknown(owner, unknown, name, allowed)
            found.append((layout, {k: v for k, v in {**options, **own}.items() if k in needed}))
        if set(options) - taken:
            self._unknown(owner, set(options) - taken, "these kinds", taken)
        return found

    @staticmethod
    def _unknown(owner: str, unknown: set[str], name: str, allowed: set[str]) -> None:
        expected = f"for {name} one of {', '.join(sorted(allowed))}" if allowed else f"no options for {name}"
        raise TypeError(explain(owner, received=f"the option {', '.join(sorted(unknown))}", expected=expected))

    def _prefix(self, weights: StateDict) -> str:
        pattern = re.compile(rf"^((?:.*\.)?{self.sequence}\.)\d+\.")
        found = sorted({match.group(1) for name in weights.names() if (match := pattern.match(name))}, key=len)
        if not found:
            received = f"names such as {', '.join(weights.names()[:3])}"
            raise ValueError(explain(weights.owner, received=received, expected=f"a sequence, '{self.sequence}.0. ...'"))
        return found[0]

    def _compare(self, owner: str, found: Arrays, example: StateDict) -> None:
        example.skip(*self.constants)
        for name, value in found.items():
            if example.take(name).shape != np.shape(value):
                received, expected = f"{name!r} of shape {np.shape(value)}", f"{example.take(name).shape}, as in like"
                raise ValueError(explain(owner, received=received, expected=expected))
        example.finish()


def expect(owner: str, block: Any, cls: type) -> Any:
    """The block, if it is of the class.

    Raises:
        TypeError: if it is not.
    """
    if not isinstance(block, cls):
        remedy = "Blocks of the composition that the matching from_ function makes can be exported."
        raise TypeError(explain(owner, received=f"a {type(block).__name__}", expected=f"a {cls.__name__}", remedy=remedy))
    return block


def expect_chain(owner: str, block: Any, *classes: type) -> list[Any]:
    """The blocks of a chain, if they are of these classes.

    Raises:
        TypeError: if it is no chain of these.
    """
    blocks = list(expect(owner, block, Chain).blocks)
    if len(blocks) != len(classes) or not all(isinstance(b, c) for b, c in zip(blocks, classes, strict=True)):
        received = f"a chain of {', '.join(type(b).__name__ for b in blocks)}"
        raise TypeError(explain(owner, received=received, expected=f"one of {', '.join(c.__name__ for c in classes)}"))
    return blocks


def _with_options(kind: Any) -> tuple[str, Mapping[str, Any]]:
    return (kind, {}) if isinstance(kind, str) else kind


def _several(kind: Any) -> bool:
    return not isinstance(kind, str) and not (isinstance(kind, tuple) and len(kind) == 2 and isinstance(kind[1], Mapping))
