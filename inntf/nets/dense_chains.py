"""Dense layers and activations one after the other, bounded together: sharper than the product of their norms."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import keras
import numpy as np

from inntf.core.shapes import is_open, known_sizes
from inntf.core.upper_bounds import upper_product
from inntf.nets.activations import activation_lipschitz
from inntf.nets.applied_weights import built_shape, built_size, weights_as_applied
from inntf.nets.remembered import remembered
from inntf.nets.slope_ranges import global_slopes
from inntf.numerics.norms.conv_matrix import conv_matrix
from inntf.numerics.norms.slope_restricted import slope_restricted_norm

_CONVOLUTION_UP_TO = 256  # numbers of an image, in and out, up to which a convolution is taken as a matrix
_NOTHING = (
    keras.layers.InputLayer,
    keras.layers.Identity,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianNoise,
    keras.layers.GaussianDropout,
)


@runtime_checkable
class InTurn(Protocol):
    """A network that applies layers one after the other."""

    def parts_in_turn(self) -> list[Any] | None:
        """The layers and activations in order; `None` where it does something else with them."""


@runtime_checkable
class HasMatrix(Protocol):
    """A layer that is a matrix on the last axis, a bias and an activation."""

    activation: Any

    def matrix_as_applied(self) -> np.ndarray | None:
        """`(in, out)`, float64, as at inference; `None` where it computes something else."""


@dataclasses.dataclass(frozen=True)
class _Linear:
    """A layer as a matrix `(in, out)`, on the last axis or on whole images.

    Attributes:
        slopes: of the activations that follow, `None` where they do not act entry by entry with slopes that are known.
        constant: their Lipschitz constant.
    """

    matrix: np.ndarray
    slopes: tuple[float, float] | None
    constant: float
    last_axis: bool
    whole: bool


def parts_in_turn(layers: Sequence[Any]) -> list[Any]:
    """Layers in order, with those inside of networks that apply them in turn; nothing for what does nothing at inference.

    Args:
        layers: layers, networks, activations.

    Source: inntf.

    Example:
        >>> inner = keras.Sequential([keras.layers.Dense(2), keras.layers.Dropout(0.5)]); inner.build((None, 1))
        >>> [part.name.split("_")[0] for part in parts_in_turn([inner, keras.layers.ReLU()])]
        ['dense', 're']
    """
    return [part for layer in layers for part in _opened(layer) if type(part) not in _NOTHING]


def _opened(layer: Any) -> list[Any]:
    inner: Sequence[Any] | None = layer if isinstance(layer, list | tuple) else None
    if type(layer) is keras.Sequential and layer.built:
        inner = layer.layers
    elif type(layer) is keras.layers.SpectralNormalization:
        inner = [layer.layer]  # at inference it applies the stored kernel as it is
    elif isinstance(layer, InTurn):
        inner = layer.parts_in_turn()
    return [layer] if inner is None else [part for layer in inner for part in _opened(layer)]


def bound_by_chains(parts: Sequence[Any], bounds: Sequence[float]) -> float:
    """The product of the parts' bounds; a run of dense layers counts by `slope_restricted_norm` where that is smaller.

    Convolutions count as matrices on images of up to 256 numbers, and with kernels of one pixel; larger ones by their norms.

    Args:
        parts: as `parts_in_turn` gives them.
        bounds: the finite bound of each.

    Source: inntf.

    Example:
        >>> layers = [keras.layers.Dense(8, "relu"), keras.layers.Dense(8)]
        >>> for layer in layers: layer.build((None, 8))
        >>> bound_by_chains(layers, [5.0, 5.0]) < 25.0
        True
    """
    total = 1.0
    for run, values in _runs(parts, bounds):
        value = 1.0
        for factor in values:
            value = upper_product(value, factor)
        if len(run) > 1:
            together = remembered(
                slope_restricted_norm, [part.matrix for part in run], [part.slopes for part in run[:-1] if part.slopes]
            )
            value = min(value, upper_product(together, run[-1].constant)) if together else value  # zero may be an underflow
        total = upper_product(total, value)
    return total


def _runs(parts: Sequence[Any], bounds: Sequence[float]) -> Iterator[tuple[list[_Linear], list[float]]]:
    """Matrices that follow each other with known slopes between them, and the bounds of the parts that they stand for."""
    run: list[_Linear] = []
    values: list[float] = []
    for part, bound in zip(parts, bounds, strict=True):
        slopes = global_slopes(part) if run else None
        if slopes is not None and run[-1].slopes is not None:  # an activation, perhaps after another one
            composed, constant = _composed(run[-1].slopes, slopes), upper_product(run[-1].constant, bound)
            run[-1] = dataclasses.replace(run[-1], slopes=composed, constant=constant)
            values.append(bound)
            continue
        linear = _linear(part)
        fits = linear is not None and bool(run) and run[-1].slopes is not None and _fit([*run, linear])
        if not fits:
            if values:
                yield run, values
            run, values = [], []
        if linear is None:
            yield [], [bound]
        else:
            run.append(linear)
            values.append(bound)
    if values:
        yield run, values


def _fit(run: Sequence[_Linear]) -> bool:
    same = all(a.matrix.shape[1] == b.matrix.shape[0] for a, b in itertools.pairwise(run))
    return same and (all(part.last_axis for part in run) or all(part.whole for part in run))


def _composed(inner: tuple[float, float], outer: tuple[float, float]) -> tuple[float, float]:
    ends = [a * b for a in inner for b in outer]
    return math.nextafter(min(ends), -math.inf), math.nextafter(max(ends), math.inf)


def _linear(part: Any) -> _Linear | None:
    if isinstance(part, HasMatrix):
        matrix = part.matrix_as_applied()
        return None if matrix is None else _on_last_axis(part, matrix)
    kind = type(part)
    if kind is keras.layers.Dense and part.built:
        return _on_last_axis(part, weights_as_applied(part, part.kernel))
    if kind is keras.layers.Conv2D and part.built and part.groups == 1 and part.data_format == "channels_last":
        return _convolution(part)
    return None


def _on_last_axis(layer: Any, matrix: np.ndarray) -> _Linear:
    return _linear_of(layer, matrix, True, len(built_shape(layer) or ()) == 2)


def _linear_of(layer: Any, matrix: np.ndarray, last_axis: bool, whole: bool) -> _Linear:
    return _Linear(matrix, global_slopes(layer.activation), activation_lipschitz(layer.activation), last_axis, whole)


def _convolution(layer: keras.layers.Conv2D) -> _Linear | None:
    size, kernel = built_size(layer), weights_as_applied(layer, layer.kernel)
    if not is_open(size) and math.prod(known_sizes(size)) * max(kernel.shape[2:]) <= _CONVOLUTION_UP_TO:
        height, width = known_sizes(size)
        matrix = conv_matrix(kernel, (height, width), layer.strides, layer.padding, layer.dilation_rate)
        return _linear_of(layer, matrix, False, True)
    if layer.kernel_size == (1, 1) and tuple(layer.strides) == (1, 1):
        return _linear_of(layer, kernel[0, 0], True, False)
    return None
