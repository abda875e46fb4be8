"""How stable a block is: certificates, singular values, reconstruction, and a report of all."""

from inntf.stability.amplification import Amplification, amplification
from inntf.stability.attack import Attack, attack
from inntf.stability.ball_certificate import BallCertificate, certified_radius
from inntf.stability.block_regularizer import BlockRegularizer
from inntf.stability.certificate import Certificate, CertificateRow, certify
from inntf.stability.decoder_certificate import DecoderCertificate, certified_decoder_radius, certify_decoder
from inntf.stability.density_error import DensityError
from inntf.stability.find_block import find_block
from inntf.stability.finite_differences import FiniteDifferences
from inntf.stability.flow_regularizer import FlowRegularizer
from inntf.stability.gradient_angle import GradientAngle, gradient_angle
from inntf.stability.gradient_penalty import GradientPenalty
from inntf.stability.input_sets import input_sets
from inntf.stability.measure_stability import stability_report
from inntf.stability.measurement import Measurement, measure, singular_summary
from inntf.stability.out_of_distribution import InputSetErrors, OutOfDistribution, out_of_distribution
from inntf.stability.perturbation_sets import DequantizationBin, dequantization_bin
from inntf.stability.pictures import passes_picture
from inntf.stability.precision import float64_copy
from inntf.stability.reconstruction import (
    ErrorSummary,
    RepeatedReconstruction,
    reconstruction_error,
    repeated_reconstruction,
    summarize,
)
from inntf.stability.report import StabilityReport
from inntf.stability.singular_values import SingularValues, condition_number, singular_values
from inntf.stability.two_sides import Side, relative_summary, worst_column
from inntf.stability.verdict import Verdict, judge, which_case
from inntf.stability.weakest_block import weakest_block

__all__ = [
    "Amplification",
    "Attack",
    "BallCertificate",
    "BlockRegularizer",
    "Certificate",
    "CertificateRow",
    "DecoderCertificate",
    "DensityError",
    "DequantizationBin",
    "ErrorSummary",
    "FiniteDifferences",
    "FlowRegularizer",
    "GradientAngle",
    "GradientPenalty",
    "InputSetErrors",
    "Measurement",
    "OutOfDistribution",
    "RepeatedReconstruction",
    "Side",
    "SingularValues",
    "StabilityReport",
    "Verdict",
    "amplification",
    "attack",
    "certified_decoder_radius",
    "certified_radius",
    "certify",
    "certify_decoder",
    "condition_number",
    "dequantization_bin",
    "find_block",
    "float64_copy",
    "gradient_angle",
    "input_sets",
    "judge",
    "measure",
    "out_of_distribution",
    "passes_picture",
    "reconstruction_error",
    "relative_summary",
    "repeated_reconstruction",
    "singular_summary",
    "singular_values",
    "stability_report",
    "summarize",
    "weakest_block",
    "which_case",
    "worst_column",
]
