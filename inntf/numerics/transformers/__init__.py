"""Monotone maps of single numbers with parameters from a network, and the scales and splines that they are made of."""

from inntf.numerics.transformers.affine import AffineTransform, ShiftTransform
from inntf.numerics.transformers.circular_spline import CircularSplineTransform
from inntf.numerics.transformers.named import make_transformer
from inntf.numerics.transformers.scales import ExpScale, ReciprocalScale, Scale, SigmoidScale, SoftplusScale
from inntf.numerics.transformers.sinh_arcsinh import SinhArcsinhTransform
from inntf.numerics.transformers.spline import SplineTransform
from inntf.numerics.transformers.splines import spline_forward, spline_inverse, spline_slope_bounds
from inntf.numerics.transformers.transformer import Transformer

__all__ = [
    "AffineTransform",
    "CircularSplineTransform",
    "ExpScale",
    "ReciprocalScale",
    "Scale",
    "ShiftTransform",
    "SigmoidScale",
    "SinhArcsinhTransform",
    "SoftplusScale",
    "SplineTransform",
    "Transformer",
    "make_transformer",
    "spline_forward",
    "spline_inverse",
    "spline_slope_bounds",
]
