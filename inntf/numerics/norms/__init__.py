"""Norms of linear maps and of layers: certified bounds, and power iterations that estimate from below."""
