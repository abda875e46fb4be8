"""Densities and keras.Models made of blocks, and the factories of named architectures."""

from inntf.models.density_model import DensityModel
from inntf.models.factories import glow, real_nvp
from inntf.models.flow import Flow

__all__ = ["DensityModel", "Flow", "glow", "real_nvp"]
