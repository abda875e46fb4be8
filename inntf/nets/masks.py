"""Degrees of units and masks between layers, which make a network autoregressive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inntf.core.errors import explain

ORDERINGS = ("left-to-right", "right-to-left", "random")
HIDDEN_DEGREES = ("sequential", "random")


def entry_degrees(dim: int, ordering: str | Sequence[int], seed: int | None = None) -> np.ndarray:
    """The place of each entry in the order, from 1 to `dim`.

    Args:
        dim: number of entries.
        ordering: `"left-to-right"`, `"right-to-left"`, `"random"` (fixed by the seed), or the places themselves.
        seed: of the random order.

    Returns:
        Integers `(dim,)`, each of 1 to `dim` once.

    Raises:
        ValueError: for an unknown name, or places that are no permutation of 1 to `dim`.

    Source: Germain et al., "MADE: Masked Autoencoder for Distribution Estimation" (2015), section 4.2.

    Example:
        >>> entry_degrees(3, "right-to-left").tolist()
        [3, 2, 1]
    """
    if isinstance(ordering, str):
        places = np.arange(1, dim + 1)
        if ordering == "random":
            return np.random.default_rng(seed).permutation(places)
        if ordering in ORDERINGS:
            return places if ordering == "left-to-right" else places[::-1].copy()
    elif sorted(ordering) == list(range(1, dim + 1)):
        return np.asarray(ordering, np.int64)
    raise ValueError(
        explain(
            "MaskedMLP",
            received=f"ordering={ordering!r} for {dim} entries",
            expected=f"'left-to-right', 'right-to-left', 'random', or each of 1 to {dim} once",
            remedy="A degree of k means: the k-th entry in the order.",
        )
    )


def hidden_degrees(width: int, lowest: int, dim: int, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Degrees of the units of a hidden layer, between `lowest` and `dim - 1`, in ascending order.

    A unit of degree `m` sees the entries of degree up to `m`.  Sequential degrees are spread evenly and always hold `dim - 1`:
    a layer wide enough holds all, a narrow one leaves some entries blind for their nearest predecessors.

    Args:
        width: number of units.
        lowest: smallest degree.
        dim: number of entries.
        kind: `"sequential"` or `"random"`.
        rng: draws the random ones.

    Returns:
        Integers `(width,)`.

    Source: Germain et al., "MADE" (2015), eq. 12; the even spread is ours.

    Example:
        >>> hidden_degrees(4, 1, 3, "sequential", np.random.default_rng(0)).tolist()
        [1, 1, 2, 2]
    """
    lowest = min(lowest, dim - 1)
    count = dim - lowest
    if kind == "random":
        return np.sort(rng.integers(lowest, dim, width))
    return lowest + -(-(np.arange(1, width + 1) * count) // width) - 1


def given_degrees(degrees: Sequence[int], dim: int) -> np.ndarray:
    """Degrees of the units of a hidden layer as somebody gives them, for instance those of another library's network.

    Args:
        degrees: one a unit; a unit of degree `m` sees the entries of degree up to `m`.
        dim: number of entries.

    Returns:
        Integers `(width,)`.

    Raises:
        ValueError: for a degree out of 0 to `dim - 1`.

    Source: Germain et al., "MADE" (2015), eq. 12.

    Example:
        >>> given_degrees([1, 2, 1], 3).tolist()
        [1, 2, 1]
    """
    found = np.asarray(degrees, np.int64)
    if found.min() < 0 or found.max() >= dim:
        received = f"hidden degrees from {found.min()} to {found.max()} for {dim} entries"
        raise ValueError(explain("MaskedMLP", received=received, expected=f"0 to {dim - 1}"))
    return found


def connections(inputs: np.ndarray, outputs: np.ndarray, *, strict: bool = False) -> np.ndarray:
    """Mask of a kernel, `(inputs, outputs)`: 1 where the output may see the input, its degree not above (`strict`: below).

    Args:
        inputs: degrees of the inputs.
        outputs: degrees of the outputs.
        strict: for the last layer, where an entry must not see itself.

    Returns:
        Zeros and ones, float64.

    Source: Germain et al., "MADE" (2015), eqs 13 and 14.

    Example:
        >>> connections(np.array([1, 2]), np.array([1, 2]), strict=True).tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """
    before, after = np.asarray(inputs)[:, None], np.asarray(outputs)[None, :]
    return (before < after if strict else before <= after).astype(np.float64)


def blocks_of_units(degrees: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """The units of each degree, padded to equal numbers.

    Args:
        degrees: of a hidden layer, `(width,)`.
        dim: number of entries; degrees go from 0 to `dim - 1`.

    Returns:
        Indices `(dim, n)`, and ones where they count, `(dim, n)`.

    Source: inntf.

    Example:
        >>> blocks_of_units(np.array([1, 1, 2]), 3)[0].tolist()
        [[0, 0], [0, 1], [2, 0]]
    """
    groups: list[Any] = [np.flatnonzero(degrees == k) for k in range(dim)]
    size = max(1, *(len(g) for g in groups))
    indices, counts = np.zeros((dim, size), np.int32), np.zeros((dim, size))
    for k, group in enumerate(groups):
        indices[k, : len(group)], counts[k, : len(group)] = group, 1.0
    return indices, counts


def moved_entries(owner: str, identity: Sequence[int], dim: int) -> np.ndarray:
    """Which entries get numbers of their own: all but the identity ones.

    Args:
        owner: for messages.
        identity: indices of entries that are to stay.
        dim: number of entries.

    Returns:
        Zeros and ones, `(dim,)`, float64.

    Raises:
        ValueError: for an index that there is not, or no entry left.

    Source: inntf.

    Example:
        >>> moved_entries("net", [1], 3).tolist()
        [1.0, 0.0, 1.0]
    """
    if identity and (max(identity) >= dim or len(identity) == dim):
        expected = f"indices below {dim}, not all of them"
        raise ValueError(explain(owner, received=f"identity={list(identity)} for {dim} entries", expected=expected))
    found = np.ones(dim)
    found[list(identity)] = 0.0
    return found


def check_settings(hidden: tuple[int, ...], residual: bool, ordering: Any, degrees: Any) -> None:
    """Refuse settings that make no masked network.

    Args:
        hidden: widths.
        residual: whether layers add their inputs.
        ordering: of the entries.
        degrees: of the hidden units.

    Raises:
        ValueError: for them.

    Source: inntf.

    Example:
        >>> check_settings((8,), False, "left-to-right", "sequential")
    """
    wrong = remedy = ""
    if not hidden or min(hidden) < 1:
        wrong, remedy = f"hidden={hidden}", "Give at least one hidden layer of at least one unit."
    elif residual and len(set(hidden)) > 1:
        wrong, remedy = f"residual=True with hidden={hidden}", "Residual layers need equal widths."
    elif isinstance(ordering, str) and ordering not in ORDERINGS:
        wrong, remedy = f"ordering={ordering!r}", f"Choose one of {', '.join(ORDERINGS)}, or give the places."
    elif isinstance(degrees, str) and degrees not in HIDDEN_DEGREES:
        wrong, remedy = f"hidden_degrees={degrees!r}", "Choose 'sequential' or 'random', or give those of each layer."
    elif not isinstance(degrees, str) and not _fits(degrees, hidden):
        wrong, remedy = f"hidden_degrees={degrees!r} with hidden={hidden}", "Give one number a unit, for each layer."
    elif not isinstance(degrees, str) and residual and any(list(d) != list(degrees[0]) for d in degrees):
        wrong, remedy = "residual=True with layers of different degrees", "Residual layers need equal degrees."
    if wrong:
        raise ValueError(explain("MaskedMLP", received=wrong, expected="settings of a masked network", remedy=remedy))


def _fits(degrees: Any, hidden: tuple[int, ...]) -> bool:
    sequences = isinstance(degrees, list | tuple) and all(isinstance(d, list | tuple | np.ndarray) for d in degrees)
    return sequences and [len(d) for d in degrees] == list(hidden)
