"""Decorrelation: an objective with stable and unstable solutions alike, and which of them each architecture takes."""
