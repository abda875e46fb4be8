"""What accompanies training: callbacks, strategies, resume, guards."""

from inntf.training.stability_callback import StabilityCallback, write_stability

__all__ = ["StabilityCallback", "write_stability"]
