"""How an autoencoder compares images with their reconstructions, and codes with a normal distribution; as plain data, too."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from inntf.core.errors import explain
from inntf.numerics.kernels import Gaussian, InverseMultiquadric, InverseQuadratic, Kernel

Reconstruction = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
CODE_KERNEL = InverseQuadratic((0.2, 0.5, 0.9, 1.3))
_KERNELS = {kind.__name__: kind for kind in (Gaussian, InverseMultiquadric, InverseQuadratic)}


def _mean_absolute(x: tf.Tensor, x_hat: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.abs(x - x_hat), list(range(1, x.shape.rank)))


def _mean_square(x: tf.Tensor, x_hat: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.math.squared_difference(x, x_hat), list(range(1, x.shape.rank)))


RECONSTRUCTIONS: dict[str, Reconstruction] = {"l1": _mean_absolute, "l2": _mean_square}


def reconstruction_loss(model: str, wanted: str | Reconstruction) -> Reconstruction:
    """`(x, x_hat) -> (batch,)`: by name the mean over the entries of the absolute difference, or of its square.

    Raises:
        ValueError: for another name; TypeError: for what is no function.
    """
    if isinstance(wanted, str) and wanted in RECONSTRUCTIONS:
        return RECONSTRUCTIONS[wanted]
    if callable(wanted):
        return wanted
    expected = "'l1', 'l2' or a function (x, x_hat) -> (batch,)"
    error = ValueError if isinstance(wanted, str) else TypeError
    raise error(explain(model, received=f"reconstruction={wanted!r}", expected=expected))


def kernel_config(model: str, kernel: Kernel) -> dict[str, Any]:
    """A kernel of `inntf.numerics` as plain data.

    Raises:
        ValueError: for another one, of which nothing is known.
    """
    if type(kernel) not in _KERNELS.values():
        remedy = "Save its weights, or make the model with a kernel of inntf.numerics."
        raise ValueError(
            explain(f"{model}.get_config", received=f"the kernel {kernel!r}", expected=" or ".join(_KERNELS), remedy=remedy)
        )
    return {"kind": type(kernel).__name__, **dataclasses.asdict(kernel)}


def kernel_from(config: dict[str, Any]) -> Kernel:
    """The kernel that `kernel_config` wrote."""
    config = dict(config)
    return _KERNELS[config.pop("kind")](**config)
