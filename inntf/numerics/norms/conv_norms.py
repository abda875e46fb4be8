"""Certified l2 norms of convolutions: upper bounds that hold, from the eigenvalues of their symbol."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from inntf.core.shapes import is_open, known_sizes
from inntf.numerics.norms.conv_matrix import Pair, conv_matrix, dilate, extent, image_shapes
from inntf.numerics.norms.power_iteration import ROUND_OFF, pair, spectral_norm

_LARGEST_TORUS = 64 * 64  # frequencies; beyond, the bound for every size is within 1 % and cheaper
_SAMPLES_PER_DEGREE = 16  # grid of the bound for every size: each axis costs a factor 1 / cos(pi / 32) = 1.0048


def conv_norm_bound(
    kernel: Any,
    size: tuple[int | None, int | None] | None = None,
    strides: Pair = 1,
    padding: str = "same",
    dilation: Pair = 1,
    exact_below: int = 512,
) -> float:
    r"""Upper bound of the l2 operator norm of a zero-padded convolution, certified up to no rounding at all.

    Zero padding reads at most `n + k - 1` positions an axis, so the map is a compression (a choice of inputs and
    outputs) of the circular convolution on a torus of that size, and

    $$\|K\| \le \max_\omega \sigma_{\max}(\hat K(\omega)),\qquad \hat K(\omega) = \sum_a K_a e^{-i\omega a},$$

    over the frequencies of that torus.  A stride `s` becomes a stride of 1 by gathering `s x s` pixels into channels
    (polyphase form), which is exact.  Without a size, or on tori beyond 64 x 64, the maximum is taken over every
    real frequency: a grid of `16 (k - 1)` points an axis, times `1 / cos(pi / 32)` an axis, which bounds a
    trigonometric polynomial between grid points.  On small images, where borders weigh most (5 x 5 pixels: 13 %),
    the matrix itself is formed and the bound is the norm.

    Args:
        kernel: (kernel_height, kernel_width, in_channels, out_channels), as in Keras.
        size: (height, width) of the input in pixels; `None`, or a `None` inside, gives a bound for every size.
        strides: one number or (vertical, horizontal), in pixels.
        padding: "same" or "valid".
        dilation: one number or (vertical, horizontal), in pixels.
        exact_below: form the matrix if it has at most so many rows or columns.

    Returns:
        The bound, never below the norm; infinity if a weight is not finite.

    Raises:
        ValueError: if the kernel has not four axes, or on an unknown padding.

    Source: Sedghi, Gupta, Long, "The Singular Values of Convolutional Layers" (2019), theorem 6, for the circular case;
        the grid bound is the inequality of Duffin and Schaeffer (1938) for functions of bounded exponential type.

    Example:
        >>> round(conv_norm_bound(np.ones([3, 3, 1, 1]), (8, 8)), 3)  # (1 + 2 cos(pi / 9))^2
        8.291
    """
    if padding not in ("same", "valid"):
        raise ValueError(f"conv_norm_bound: received padding {padding!r}, expected 'same' or 'valid'. Choose one of them.")
    kernel, scale = _unit_kernel(kernel)
    if scale == 0 or math.isinf(scale):
        return scale
    strides, dilation = pair(strides), pair(dilation)
    if kernel.shape[:2] == (1, 1):  # a matrix at every pixel; a stride only drops pixels
        return scale * _grid_norm(kernel, (1, 1)) * (1 + ROUND_OFF)
    if not is_open(size):
        height, width = known_sizes(size)
        rows, columns = (math.prod(shape) for shape in image_shapes(kernel, (height, width), strides, padding, dilation))
        if min(rows, columns) <= exact_below and rows * columns <= 16 * exact_below**2:
            return scale * spectral_norm(conv_matrix(kernel, (height, width), strides, padding, dilation))
    torus = (
        None
        if is_open(size)
        else tuple(
            _up(n + (extent(k, d) - 1 if padding == "same" else 0), s)
            for n, k, d, s in zip(known_sizes(size), kernel.shape[:2], dilation, strides, strict=True)
        )
    )
    if torus is None or math.prod(torus) // math.prod(strides) > _LARGEST_TORUS:
        # Dilation only rescales the frequencies, and the supremum runs over all of them.
        kernel = _polyphase(kernel if strides == (1, 1) else dilate(kernel, dilation), strides)
        return scale * _norm_for_every_size(kernel) * (1 + ROUND_OFF)
    kernel = _polyphase(dilate(kernel, dilation), strides)
    return scale * _grid_norm(kernel, _divide(torus, strides)) * (1 + ROUND_OFF)


def circular_conv_norm(kernel: Any, size: tuple[int, int], strides: Pair = 1, dilation: Pair = 1) -> float:
    r"""Exact l2 operator norm of a circular convolution, $\max_\omega \sigma_{\max}(\hat K(\omega))$ over its torus.

    Args:
        kernel: `(kernel_height, kernel_width, in_channels, out_channels)`.
        size: `(height, width)` of the torus in pixels, divisible by the strides.
        strides: one number or (vertical, horizontal), in pixels.
        dilation: one number or (vertical, horizontal), in pixels.

    Returns:
        The norm, rounded up by one part in 10^10; infinity if a weight is not finite.

    Raises:
        ValueError: if the kernel has not four axes, or a stride does not divide the size.

    Source: Sedghi, Gupta, Long, "The Singular Values of Convolutional Layers" (2019), theorem 6.

    Example:
        >>> round(circular_conv_norm(np.ones([3, 3, 1, 1]), (8, 8)), 3)
        9.0
    """
    kernel, scale = _unit_kernel(kernel)
    strides = pair(strides)
    if any(n % s for n, s in zip(size, strides, strict=True)):
        raise ValueError(
            f"circular_conv_norm: received size {tuple(size)} with strides {strides}, expected sizes that the strides divide. "
            "Choose such a size, or use conv_norm_bound."
        )
    if scale == 0 or math.isinf(scale):
        return scale
    kernel = _polyphase(dilate(kernel, pair(dilation)), strides)
    return scale * _grid_norm(kernel, _divide(tuple(size), strides)) * (1 + ROUND_OFF)


def _unit_kernel(kernel: Any) -> tuple[np.ndarray, float]:
    """The kernel in float64 with largest entry 1 (so that Gram matrices neither overflow nor vanish), and that entry."""
    kernel = np.asarray(kernel, np.float64)
    if kernel.ndim != 4:
        raise ValueError(
            f"convolution norm: received a kernel of shape {kernel.shape}, expected "
            "(kernel_height, kernel_width, in_channels, out_channels). Add the missing axes."
        )
    if not np.all(np.isfinite(kernel)):
        return kernel, math.inf
    scale = float(np.max(np.abs(kernel), initial=0.0))
    return (kernel / scale if scale > 0 else kernel), scale


def _norm_for_every_size(kernel: np.ndarray) -> float:
    """Supremum over all real frequencies, from above.

    u* K(w) v is, up to a phase, of exponential type (k - 1) / 2 along an axis; near its maximum M it stays above
    M cos((k - 1) / 2 * distance), and no point is further from the grid than half a step.
    """
    degrees = [k - 1 for k in kernel.shape[:2]]
    grid = tuple(max(1, _SAMPLES_PER_DEGREE * d) for d in degrees)
    margin = math.prod(1 / math.cos(math.pi * d / (2 * n)) for d, n in zip(degrees, grid, strict=True))
    return margin * _grid_norm(kernel, grid)


def _grid_norm(kernel: np.ndarray, grid: tuple[int, int]) -> float:
    """Largest singular value of the symbol over the frequencies 2 pi (i / N, j / M)."""
    height, width, n_in, n_out = kernel.shape
    taps = kernel.reshape(height * width, n_in * n_out)
    used = np.any(taps != 0, axis=1)
    rows, columns = (a.ravel()[used] for a in np.indices((height, width)))
    # A real kernel has conjugate symbols at opposite frequencies: half the columns suffice.
    i, j = (a.ravel() for a in np.indices((grid[0], grid[1] // 2 + 1)))
    chunk = max(1, 2_000_000 // (n_in * n_out))
    largest = 0.0
    for start in range(0, len(i), chunk):
        part = slice(start, start + chunk)
        turns = np.outer(i[part], rows) / grid[0] + np.outer(j[part], columns) / grid[1]
        angle = 2 * np.pi * np.mod(turns, 1.0)
        symbol = (np.cos(angle) @ taps[used] - 1j * (np.sin(angle) @ taps[used])).reshape(-1, n_in, n_out)
        largest = max(largest, _largest_gram_eigenvalue(symbol, largest))
    return math.sqrt(largest)


def _largest_gram_eigenvalue(symbol: np.ndarray, floor: float) -> float:
    """Largest squared singular value in a batch of matrices, or `floor` if none exceeds it."""
    adjoint = np.conj(np.swapaxes(symbol, 1, 2))
    gram = symbol @ adjoint if symbol.shape[1] <= symbol.shape[2] else adjoint @ symbol
    if gram.shape[-1] <= 8:
        return max(floor, float(np.linalg.eigvalsh(gram)[:, -1].max()))
    # A Cholesky factor of floor * I - G proves that no eigenvalue exceeds the floor, far cheaper than eigenvalues do.
    # The Frobenius norm bounds the largest eigenvalue; the most promising frequencies go first.
    bound = np.linalg.norm(gram, axis=(1, 2))
    identity = np.eye(gram.shape[-1])
    for i in np.argsort(-bound):
        if bound[i] <= floor:
            break
        try:
            np.linalg.cholesky(floor * identity - gram[i])
        except np.linalg.LinAlgError:
            floor = max(floor, float(np.linalg.eigvalsh(gram[i])[-1]))
    return floor


def _polyphase(kernel: np.ndarray, strides: tuple[int, int]) -> np.ndarray:
    """The stride-1 kernel on `strides`-wide cells whose pixels are channels."""
    if strides == (1, 1):
        return kernel
    height, width, n_in, n_out = kernel.shape
    (sh, sw), tall, wide = strides, _up(height, strides[0]), _up(width, strides[1])
    padded = np.pad(kernel, [(0, tall - height), (0, wide - width), (0, 0), (0, 0)])
    cells = padded.reshape(tall // sh, sh, wide // sw, sw, n_in, n_out).transpose(0, 2, 1, 3, 4, 5)
    return cells.reshape(tall // sh, wide // sw, sh * sw * n_in, n_out)


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _divide(torus: tuple[int, ...], strides: tuple[int, int]) -> tuple[int, int]:
    return torus[0] // strides[0], torus[1] // strides[1]
