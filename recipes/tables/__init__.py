"""Densities of the rows of tables: spline flows beside Gaussian mixtures."""
