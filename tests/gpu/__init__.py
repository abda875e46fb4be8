"""Checks on a GPU: `INNTF_TEST_GPU=1 python -m pytest tests/gpu -m gpu -n 6`."""
