"""Inpainting: the hidden part of a handwritten digit, given the rest."""
