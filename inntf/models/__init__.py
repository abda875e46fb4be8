"""Densities and keras.Models made of blocks, and the factories of named architectures."""

from inntf.models.autoregressive_flow import autoregressive_flow
from inntf.models.circular_base import CircularBase
from inntf.models.conditioned_flow import ConditionedFlow
from inntf.models.density_model import DensityModel
from inntf.models.factories import glow, real_nvp
from inntf.models.ffjord import ffjord
from inntf.models.flow import Flow
from inntf.models.flow_gan import FlowGan
from inntf.models.i_resnet_classifier import i_resnet_classifier
from inntf.models.inn_autoencoder import REFERENCE_AUTOENCODERS, inn_autoencoder
from inntf.models.inverse_losses import (
    backward_mmd_loss,
    cycle_loss,
    energy_score_loss,
    joint_negative_log_likelihood,
    l2_loss,
    latent_mmd_loss,
)
from inntf.models.invertible_autoencoder import InnAutoencoder
from inntf.models.invertible_classifier import IResNetClassifier, Reconstruction
from inntf.models.peer_weights import from_freia, from_nflows, to_freia, to_nflows
from inntf.models.prior_refit import RefittedPrior, refit_prior
from inntf.models.residual_flow import residual_flow
from inntf.models.spline_flow import spline_flow
from inntf.models.tables import TableColumns, TableModel, table_flow

__all__ = [
    "REFERENCE_AUTOENCODERS",
    "CircularBase",
    "ConditionedFlow",
    "DensityModel",
    "Flow",
    "FlowGan",
    "IResNetClassifier",
    "InnAutoencoder",
    "Reconstruction",
    "RefittedPrior",
    "TableColumns",
    "TableModel",
    "autoregressive_flow",
    "backward_mmd_loss",
    "cycle_loss",
    "energy_score_loss",
    "ffjord",
    "from_freia",
    "from_nflows",
    "glow",
    "i_resnet_classifier",
    "inn_autoencoder",
    "joint_negative_log_likelihood",
    "l2_loss",
    "latent_mmd_loss",
    "real_nvp",
    "refit_prior",
    "residual_flow",
    "spline_flow",
    "table_flow",
    "to_freia",
    "to_nflows",
]
