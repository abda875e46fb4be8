"""Inputs that no training has seen: noise of several kinds, constant events and textures, from a seed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from inntf.core.errors import explain

_MARGIN = 0.01  # of the range, at each end: a logit or a quantization at its very ends is another question

Draw = Callable[[np.random.Generator, int, tuple[int, ...]], np.ndarray]


def input_sets(
    event_shape: tuple[int, ...], count: int, data_range: tuple[float, float] = (-0.5, 0.5), seed: int = 0
) -> dict[str, np.ndarray]:
    """Draw every kind of input within a range of data.

    `gaussian`: normal with the range as standard deviation, clipped; `uniform`; `rademacher`: one of both ends, entry by
    entry; `constant`: one level an event; `texture`: gratings and noise filtered to a power law, half of each, synthetic.
    All keep 1 % of the range away from its ends.

    Args:
        event_shape: `(dim,)` or `(height, width, channels)`.
        count: events of each kind.
        data_range: `(low, high)`.
        seed: of the draws.

    Returns:
        Arrays `(count, *event_shape)`, float64, by name.

    Raises:
        ValueError: for a range whose ends are not in order, or no events.

    Source: "Understanding and Mitigating Exploding Inverses", table 2 (Gaussian, uniform, Rademacher, textures).

    Example:
        >>> sets = input_sets((8, 8, 1), 3)
        >>> list(sets), float(sets["rademacher"].min())
        (['gaussian', 'uniform', 'rademacher', 'constant', 'texture'], -0.49)
    """
    low, high = map(float, data_range)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        expected = "finite numbers (low, high) with low below high"
        raise ValueError(explain("input_sets", received=f"data_range={data_range}", expected=expected))
    if count < 1:
        raise ValueError(explain("input_sets", received=f"count={count}", expected="at least 1"))
    width, centre = high - low, (low + high) / 2
    limits = low + _MARGIN * width, high - _MARGIN * width
    out = {}
    for number, (name, draw) in enumerate(_KINDS.items()):  # in units of half the range
        values = draw(np.random.default_rng((seed, number)), count, tuple(event_shape))
        out[name] = np.clip(centre + values * (limits[1] - limits[0]) / 2, *limits)
    return out


def _gaussian(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> np.ndarray:
    return 2 * rng.standard_normal((count, *shape))


def _uniform(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(-1, 1, (count, *shape))


def _rademacher(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, 2, (count, *shape)) * 2.0 - 1.0


def _constant(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(-1, 1, (count, *[1] * len(shape))) * np.ones(shape)


def _texture(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> np.ndarray:
    gratings = count // 2
    return np.concatenate([_gratings(rng, gratings, shape), _filtered_noise(rng, count - gratings, shape)])


def _gratings(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Waves of one direction and frequency, of a contrast and mean of each channel's own."""
    space, channels = (shape[:-1], shape[-1]) if len(shape) > 1 else (shape, 1)
    out = np.zeros((count, *space, channels))
    for one in out:
        direction = rng.standard_normal(len(space))
        direction /= np.linalg.norm(direction)
        cycles = rng.uniform(1, max(1.5, min(space) / 4))  # four entries a wave are left to see
        phase = rng.uniform(0, 2 * np.pi) + sum(
            2 * np.pi * cycles * way * place / size
            for way, size, place in zip(direction, space, np.meshgrid(*map(np.arange, space), indexing="ij"), strict=True)
        )
        one[:] = np.sin(phase)[..., None] * rng.uniform(0.3, 1, channels) + rng.uniform(-0.3, 0.3, channels)
    return out.reshape(count, *shape)


def _filtered_noise(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Gaussian noise whose spectrum falls by a power from 1/2 to 3/2 of the frequency, scaled to its largest entry."""
    space, channels = (shape[:-1], shape[-1]) if len(shape) > 1 else (shape, 1)
    axes = tuple(range(1, 1 + len(space)))
    spectrum = np.fft.fftn(rng.standard_normal((count, *space, channels)), axes=axes)
    grids = np.meshgrid(*(np.fft.fftfreq(n) for n in space), indexing="ij")
    frequency = np.maximum(np.sqrt(sum(g**2 for g in grids)), 1 / max(space))
    power = rng.uniform(0.5, 1.5, (count, *[1] * len(space), 1))
    noise = np.fft.ifftn(spectrum * frequency[None, ..., None] ** -power, axes=axes).real
    noise /= np.maximum(np.abs(noise).max(axis=(*axes, -1), keepdims=True), 1e-12)
    return noise.reshape(count, *shape)


_KINDS: dict[str, Draw] = {
    "gaussian": _gaussian,
    "uniform": _uniform,
    "rademacher": _rademacher,
    "constant": _constant,
    "texture": _texture,
}
