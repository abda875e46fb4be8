"""Tests that hold the house: layering, exports, registry, docstrings, sizes."""
