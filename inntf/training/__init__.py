"""What accompanies training: callbacks, strategies, resume, guards."""

from inntf.training.spectral_norms import SpectralNormCallback, certify_spectral_norms, update_spectral_norms
from inntf.training.stability_callback import StabilityCallback, write_stability

__all__ = [
    "SpectralNormCallback",
    "StabilityCallback",
    "certify_spectral_norms",
    "update_spectral_norms",
    "write_stability",
]
