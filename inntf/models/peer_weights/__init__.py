"""Weights of FrEIA's and nflows' blocks, brought here and back."""

from inntf.models.peer_weights.both_ways import from_freia, from_nflows, to_freia, to_nflows

__all__ = ["from_freia", "from_nflows", "to_freia", "to_nflows"]
