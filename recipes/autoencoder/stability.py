"""How stable a decoder is, and with an INN its whole map: singular values, reconstruction, certificates."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from inntf.models import InnAutoencoder
from inntf.numerics.jacobian import jvp
from inntf.stability import certified_decoder_radius, certify_decoder, summarize
from inntf.training import write_stability
from recipes.autoencoder.data import scaled
from recipes.autoencoder.models import Autoencoder
from recipes.common.numbers import ratio

RADIUS = 1e-6  # of the balls of codes in which a decoder is certified
_PASSED = 256
_WATCHED = 32
_HALVINGS = 6  # of nine decades of radii: found within a third of what it is
_COLUMNS = 256  # more are not measured: the largest ones matter


def decoder_spectrum(model: Autoencoder, codes: np.ndarray) -> dict[str, Any]:
    """Singular values of the decoder's Jacobian at codes `(n, bottleneck)`: how it stretches, and what it forgets.

    The extremes are over all codes, the condition number is the median; `None` for a bottleneck beyond 256.
    """
    if codes.shape[1] > _COLUMNS:
        return {"decoder_stretch": None, "decoder_shrink": None, "decoder_condition": None}
    jacobians = decoder_jacobian(model, codes)
    values = np.linalg.svd(jacobians, compute_uv=False)
    with np.errstate(all="ignore"):
        conditions = values[:, 0] / values[:, -1]
    return {
        "decoder_stretch": float(values[:, 0].max()),
        "decoder_shrink": float(values[:, -1].min()),
        "decoder_condition": float(np.median(conditions)),
    }


def decoder_jacobian(model: Autoencoder, codes: np.ndarray) -> np.ndarray:
    """`(n, dims, bottleneck)` Jacobians of the decoder, in float64: a product a column, all codes together."""
    count, width = codes.shape
    y = tf.constant(codes)

    @tf.function(autograph=False)
    def column(direction: tf.Tensor) -> tf.Tensor:
        return jvp(model.decode, y, tf.broadcast_to(direction, y.shape))

    columns = [column(row).numpy().reshape(count, -1) for row in np.eye(width, dtype=codes.dtype)]
    return np.stack(columns, -1).astype(np.float64)


def of_an_inn(
    model: InnAutoencoder, pixels: np.ndarray, images: int, certified: int, board: tf.summary.SummaryWriter
) -> dict[str, Any]:
    """Of the whole invertible map: errors of its inverse, singular values in float64, certificates.

    Args:
        model: trained.
        pixels: test images, uint8.
        images: how many of them have their Jacobian measured.
        certified: at how many of their codes the decoder is certified.
        board: writer of TensorBoard, which shows the same in words and pictures.
    """
    block, x = model.block, scaled(pixels[:_PASSED])
    back = tf.function(lambda x: block.inverse_and_log_det(block.forward_and_log_det(x)[0])[0], autograph=False)(x).numpy()
    errors = np.linalg.norm((back.astype(np.float64) - x.numpy()).reshape(len(back), -1), axis=1)
    options = {"samples": images, "iterations": 25, "tolerance": 0.05, "precision": "float64"}
    found, verdict = write_stability(board, block, x[:_WATCHED], int(model.optimizer.iterations.numpy()), **options)
    same = ("condition_number", "largest_singular_value", "smallest_singular_value", "singular_values_unverified")
    return {
        "reconstruction_error": summarize(errors)._asdict(),
        **{key: found[key] for key in same},
        "verdict": str(verdict),
        "certified_decoder_everywhere": float(block.lipschitz_bounds().inverse),
        **(decoder_certificate(model, pixels[:certified]) if certified else {}),
    }


def decoder_certificate(model: InnAutoencoder, pixels: np.ndarray, radius: float = RADIUS) -> dict[str, Any]:
    """A certified Lipschitz constant of the decoder in balls round the codes of images, and the exact one at the codes.

    Of the image with the largest bound.
    """
    found = certify_decoder(model, scaled(pixels), radius)
    worst = int(np.argmax(found.bound))
    return {
        "certified_radius": radius,
        "certified_decoder": float(found.bound[worst]),
        "decoder_at_centre": float(found.at_centre[worst]),
        "certified_over_centre": ratio(found.bound[worst], found.at_centre[worst]),
    }


def certified_for_the_card(model: InnAutoencoder, pixels: np.ndarray) -> dict[str, float]:
    """How far round the codes of images the decoder's certificate is of use: at most twice the slope at the code.

    The smallest of the images' radii (`certified_decoder_radius`); nothing without images.
    """
    if not len(pixels):
        return {}
    radii = certified_decoder_radius(model, scaled(pixels), 2.0, steps=_HALVINGS)
    return {"certified_decoder_radius_to_factor_2": float(radii.min())}
