"""Arrays by the names that a peer gives them, of which none may be missing, misshapen or left over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from inntf.core.errors import explain


class StateDict:
    """What `module.state_dict()` holds, as float64 (or integer) arrays; `below` looks at one module within it.

    Args:
        owner: who asks, for messages.
        arrays: anything `np.asarray` takes, by name.
    """

    def __init__(self, owner: str, arrays: Mapping[str, Any]):
        if not isinstance(arrays, Mapping):
            received = f"a state dict of type {type(arrays).__name__}"
            remedy = "Pass module.state_dict(), or {name: np.ndarray}."
            raise TypeError(explain(owner, received=received, expected="arrays by name", remedy=remedy))
        self.owner, self.prefix = owner, ""
        self._arrays = {str(name): _array(owner, name, value) for name, value in arrays.items()}
        self._left = dict.fromkeys(self._arrays)

    def below(self, prefix: str) -> StateDict:
        """The part whose names begin so; what is taken from it is taken from the whole."""
        part = object.__new__(StateDict)
        part.owner, part.prefix, part._arrays, part._left = self.owner, self.prefix + prefix, self._arrays, self._left
        return part

    def names(self) -> list[str]:
        """Names below the prefix, without it, in the order of the state dict."""
        return [name[len(self.prefix) :] for name in self._arrays if name.startswith(self.prefix)]

    def __contains__(self, name: str) -> bool:
        return self.prefix + name in self._arrays

    def take(self, name: str, shape: tuple[int | None, ...] | None = None) -> np.ndarray:
        """An array, which counts as used; its shape is checked where one is given (`None`: any size).

        Raises:
            ValueError: if it is not there, or of another shape.
        """
        full = self.prefix + name
        if full not in self._arrays:
            here = ", ".join(self.names()[:12]) or "nothing"
            raise ValueError(
                explain(
                    self.owner,
                    received=f"a state dict without {full!r} (below {self.prefix!r} it has {here})",
                    expected="all weights of the module",
                    remedy="Is it the state dict of this class, and of this version of the library?",
                )
            )
        array = self._arrays[full]
        self._left.pop(full, None)
        if shape is not None and (
            len(shape) != array.ndim or any(n is not None and n != m for n, m in zip(shape, array.shape, strict=True))
        ):
            wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
            raise ValueError(explain(self.owner, received=f"{full!r} of shape {array.shape}", expected=f"shape {wanted}"))
        return array

    def skip(self, *names: str) -> None:
        """Count arrays as used that say nothing more than others do."""
        for name in names:
            self._left.pop(self.prefix + name, None)

    def finish(self) -> None:
        """Complain about what nobody took.

        Raises:
            ValueError: with the names.
        """
        left = list(self._left)
        if left:
            raise ValueError(
                explain(
                    self.owner,
                    received=f"{len(left)} weights that this kind of module has no place for: {', '.join(left[:8])}",
                    expected="none",
                    remedy="Check the kind; what cannot be imported is not left out in silence.",
                )
            )

    def refuse(self, what: str, remedy: str) -> ValueError:
        """The error for an option of the peer that has no equivalent here."""
        return ValueError(explain(self.owner, received=what, expected="what has an equivalent here", remedy=remedy))


def float_dtype(arrays: Mapping[str, Any]) -> str:
    """`"float64"` if any array is; otherwise `"float32"`."""
    return "float64" if any(getattr(np.asarray(v), "dtype", None) == np.float64 for v in arrays.values()) else "float32"


def _array(owner: str, name: Any, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # tensors on a device, or with a gradient
        remedy = "Pass {name: tensor.detach().cpu().double().numpy()}."
        raise TypeError(explain(owner, received=f"{name!r} ({error})", expected="an array", remedy=remedy)) from error
    if array.dtype.kind not in "fiub":
        raise TypeError(explain(owner, received=f"{name!r} of dtype {array.dtype}", expected="numbers"))
    return array.astype(np.float64) if array.dtype.kind == "f" else array
