"""Checkerboard: three flows learn the same density in two dimensions; one of them loses its inverse outside of the data."""
