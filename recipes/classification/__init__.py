"""Invertible classifiers: what their inverse becomes in training, with and without a regularizer."""
