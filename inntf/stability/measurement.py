"""One measurement of a model at data, both sides and both precisions: what the report and the callback judge."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.core.random_states import same_draws
from inntf.core.shapes import known_sizes
from inntf.models import InnAutoencoder
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.density_error import DensityError, density_error, log_density
from inntf.stability.precision import shared_float64_copy
from inntf.stability.singular_values import SingularValues
from inntf.stability.two_sides import Side, draw_latents, no_samples
from inntf.stability.verdict import Verdict, judge, which_case

_SIXTEEN_BITS = ("float16", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What `measure` returns.

    Attributes:
        data: data there and back, behind leading blocks that round to levels.
        samples: the model's own latents there and back; `None` where it has none, `samples_missing` says why.
        data_wide, samples_wide: the same of a float64 copy; `None` where there is none, `float64_missing` says why.
        density: error of the log-density against that copy; `None` without one, or without samples.
        computes_in: the narrowest dtype that a part computes in.
        between_evaluations: relative errors `x -> z` by eager operations, `z -> x` in a graph, where a part computes in 16
            bits: there two evaluations of one network differ.  Otherwise `None`.
    """

    data: Side
    samples: Side | None
    samples_missing: str
    data_wide: Side | None
    samples_wide: Side | None
    float64_missing: str
    density: DensityError | None
    computes_in: str
    between_evaluations: Side | None

    @property
    def case(self) -> str:
        """See `which_case`."""
        return which_case(self.between_evaluations or self.data, self.samples, self.density)

    def judge(self, condition: float = 1.0, unverified: int = 0) -> Verdict:
        """The verdict on it, with the largest condition number and the number of samples that failed the cross-check."""
        data = self.between_evaluations or self.data
        verdict = judge(
            data.relative,
            condition=condition,
            rounding=float(ml_dtypes.finfo(self.computes_in).eps),
            unverified=unverified,
            columns=(data.column, data.columns),
            samples=self.samples,
            wide=[side for side in (self.data_wide, self.samples_wide) if side is not None],
            density=self.density,
        )
        return verdict._replace(case=self.case)


def measure(model: Any, maps: BlockFunctions, *, wide: bool = True) -> Measurement:
    """Measure a model at the data of `maps`, which are those of its block.

    Both precisions see the same data, latents and random draws, and the model's random state is left as it was.

    Args:
        model: what the block was found in; its base gives the samples.
        maps: `BlockFunctions.of(model, x, condition)`.
        wide: whether to make a float64 copy at all.

    Returns:
        `Measurement`.

    Raises:
        ValueError: if the batch is empty.

    Source: inntf.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> block = AdditiveCoupling()
        >>> measure(block, BlockFunctions.of(block, tf.ones([2, 4]))).case
        'inverse whole, density right'
    """
    with same_draws(maps.block):
        maps = maps.unrounded()
    copy, missing = _float64(maps.block) if wide else (None, "It was not asked for.")
    if not (wide and missing):  # what cannot be serialized is measured eagerly: nothing would tell when it changes
        maps = maps.compiled()
    copies = [maps.block] if copy is None or copy is maps.block else [maps.block, copy]
    with same_draws(*copies) as rewind:
        latents = draw_latents(model, maps)
        narrow = _sides(maps, latents, rewind)
        sixteen = _narrowest(maps.block)
        between, computed = None, [(narrow.z, narrow.log_det)]
        if sixteen in _SIXTEEN_BITS:
            rewind()
            between, computed = _across(maps)
        broad = None if copy is None else narrow if copy is maps.block else _sides(maps.wide(copy).compiled(), latents, rewind)
    density = None
    if latents is not None and broad is not None and not isinstance(model, InnAutoencoder):  # whose density is on a surface
        size = math.prod(known_sizes(maps.block._z_event_shape))
        exact = log_density(model, maps.block, broad.z, broad.log_det)
        found = [density_error(log_density(model, maps.block, z, log_det), exact, size) for z, log_det in computed]
        density = max(found, key=lambda error: (error.wrong, error.nats.p99))
    return Measurement(
        data=narrow.data,
        samples=narrow.samples,
        samples_missing=no_samples(model, maps.block),
        data_wide=None if broad is None else broad.data,
        samples_wide=None if broad is None else broad.samples,
        float64_missing=missing,
        density=density,
        computes_in=sixteen,
        between_evaluations=between,
    )


@dataclasses.dataclass(frozen=True)
class _Sides:
    data: Side
    samples: Side | None
    z: tf.Tensor
    log_det: tf.Tensor


def _sides(maps: BlockFunctions, latents: tf.Tensor | None, rewind: Any) -> _Sides:
    rewind()
    if latents is None:  # no density, so no log-determinant
        z = maps.forward(maps.x)
        log_det = tf.zeros(tf.shape(z)[:1], z.dtype)
    else:
        z, log_det = maps.both(maps.x)
    data = Side.of(maps.x, z, maps.inverse(z))
    samples = None
    if latents is not None:
        drawn = tf.cast(latents, maps.x.dtype)
        x = maps.inverse(drawn)
        samples = Side.of(drawn, x, maps.forward(x))
    return _Sides(data, samples, z, log_det)


def _across(maps: BlockFunctions) -> tuple[Side, list[tuple[tf.Tensor, tf.Tensor]]]:
    """There by eager operations and back in a graph; and what each of the two makes of the data."""
    plain = BlockFunctions(maps.block, maps.x, maps.condition, maps.lead)
    eager, graph = plain.both(maps.x), tf.function(lambda x: plain.both(x), autograph=False)(maps.x)
    back = tf.function(lambda z: plain.inverse(z), autograph=False)(eager[0])
    return Side.of(maps.x, eager[0], back), [eager, graph]


def _float64(block: Block) -> tuple[Block | None, str]:
    try:
        return shared_float64_copy(block), ""
    except ValueError as error:
        return None, str(error)


def _narrowest(block: Block) -> str:
    """The narrowest float dtype that a layer of the block computes in."""
    found = {layer.compute_dtype for layer in block._flatten_layers()}
    found = {dtype for dtype in found if tf.as_dtype(dtype).is_floating} | {block.variable_dtype}
    return min(found, key=lambda dtype: (tf.as_dtype(dtype).size, -float(ml_dtypes.finfo(dtype).eps)))


def worst_condition(numbers: dict[str, Any]) -> float:
    """The largest condition number of `singular_summary`, NaN where there is none."""
    seen = [n for n in (numbers["condition_number"], numbers["condition_at_least"]) if not math.isnan(n)]
    return max(seen, default=math.nan)


def singular_summary(values: SingularValues) -> dict[str, Any]:
    """The worst of the samples as plain numbers: largest of the largest, smallest of the smallest, largest condition number.

    Args:
        values: of `singular_values`, any batch shape; NaNs are left out.

    Returns:
        Keys `largest`, `smallest`, `condition_number`, `condition_at_least` (floats, NaN if no sample has one), `samples`,
        `nonfinite`, `unconverged`, `unverified` (counts), `method`.

    Source: inntf.

    Example:
        >>> from inntf.blocks import Rescale
        >>> from inntf.stability.singular_values import singular_values
        >>> numbers = singular_summary(singular_values(Rescale(scale=[4.0, 0.5]), tf.ones([3, 2])))
        >>> numbers["largest"], numbers["smallest"], numbers["condition_number"], numbers["samples"]
        (4.0, 0.5, 8.0, 3)
    """
    return {
        "largest": _worst(values.largest, max),
        "smallest": _worst(values.smallest, min),
        "condition_number": _worst(values.condition_number, max),
        "condition_at_least": _worst(values.condition_at_least, max),
        "samples": int(tf.size(values.largest)),
        "nonfinite": values.nonfinite,
        "unconverged": int(tf.math.count_nonzero(~values.converged)),
        "unverified": int(tf.math.count_nonzero(~values.consistent)),
        "method": values.method,
    }


def _worst(values: tf.Tensor, choose: Any) -> float:
    finite = [float(v) for v in np.ravel(values) if not math.isnan(v)]
    return choose(finite) if finite else math.nan
