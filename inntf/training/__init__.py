"""What accompanies training: callbacks, strategies, resume, guards."""

from inntf.core.replicas import clip_what_replicas_add_up
from inntf.training.spectral_norms import SpectralNormCallback, certify_spectral_norms, update_spectral_norms
from inntf.training.stability_callback import StabilityCallback
from inntf.training.stability_summaries import write_stability

__all__ = [
    "SpectralNormCallback",
    "StabilityCallback",
    "certify_spectral_norms",
    "clip_what_replicas_add_up",
    "update_spectral_norms",
    "write_stability",
]
