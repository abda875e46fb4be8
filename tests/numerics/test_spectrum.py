"""Explicit spectra: against numpy, and honest about what is not finite."""

import numpy as np
import tensorflow as tf

from inntf.numerics import all_singular_values, log_abs_det


def test_against_numpy():
    a = np.random.default_rng(0).normal(size=(2, 3, 6, 6))
    np.testing.assert_allclose(log_abs_det(a), np.linalg.slogdet(a)[1], rtol=1e-10)
    np.testing.assert_allclose(all_singular_values(a), np.linalg.svd(a)[1], rtol=1e-10)


def test_log_det_neither_overflows_nor_vanishes():
    large = 200 * np.log(1e6)
    np.testing.assert_allclose(log_abs_det(np.stack([1e6 * np.eye(200), 1e-6 * np.eye(200)])), [large, -large])


def test_singular_and_non_finite_matrices():
    a = np.stack([np.zeros((2, 2)), np.eye(2), np.full((2, 2), np.nan), np.diag([1.0, np.inf])])
    np.testing.assert_array_equal(log_abs_det(a), [-np.inf, 0.0, np.nan, np.nan])
    values = all_singular_values(a).numpy()
    np.testing.assert_array_equal(np.isfinite(values).all(1), [True, True, False, False])


def test_log_det_compiles_with_xla():
    a = np.random.default_rng(1).normal(size=(3, 4, 4))
    np.testing.assert_allclose(tf.function(log_abs_det, jit_compile=True)(tf.constant(a)), log_abs_det(a), rtol=1e-10)
