"""Solvers with an error bound: fixed points, implicit gradients, ordinary differential equations."""
