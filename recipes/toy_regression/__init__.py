"""Two-dimensional regression with an invertible network: what a small flow loss does to its inverse."""
