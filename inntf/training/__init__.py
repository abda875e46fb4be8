"""What accompanies training: callbacks, strategies, resume, guards."""

from inntf.core.replicas import clip_what_replicas_add_up, skip_nonfinite
from inntf.training.nonfinite_guard import NonFiniteError, NonFiniteGuard
from inntf.training.spectral_norms import SpectralNormCallback, certify_spectral_norms, update_spectral_norms
from inntf.training.stability_callback import StabilityCallback
from inntf.training.stability_summaries import write_stability

__all__ = [
    "NonFiniteError",
    "NonFiniteGuard",
    "SpectralNormCallback",
    "StabilityCallback",
    "certify_spectral_norms",
    "clip_what_replicas_add_up",
    "skip_nonfinite",
    "update_spectral_norms",
    "write_stability",
]
